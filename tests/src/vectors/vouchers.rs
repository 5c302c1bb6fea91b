//! Vouchers, swap, and the visit.

use annona_protocol::{
    fixture::SITE,
    log::leaf::{IssuerLeaf, OwedLeaf},
    slip::{QuoteTerms, Signed},
    voucher::{LoggedVoucher, ShownVoucher},
    wire::Message,
};

use super::build::{File, plus_order};
use crate::{fields::tree, json::Json, kinds, life::World};

pub(super) fn files(world: &World) -> Vec<File> {
    vec![voucher(world), swap(world), redeem(world)]
}

fn logged(world: &World) -> Vec<LoggedVoucher> {
    let mut logged: Vec<LoggedVoucher> = world.visit.leaves.iter().map(|leaf| leaf.voucher).collect();
    logged.push(world.visit.surrender.voucher);
    logged
}

fn voucher(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("voucher", "5.5", "Vouchers verified one by one and in a batch.");
    let one =
        |shown: &ShownVoucher| Json::object([("round", Json::number(1)), ("voucher", Json::hex(tree(shown).bytes()))]);
    for (at, voucher) in world.vouchers.iter().chain(&world.swapped).enumerate() {
        file.accept(programme, &format!("voucher {at}"), "voucher", one(voucher.shown()));
    }
    let base = "voucher 0";
    // Key index, P, R', s', y'.
    let shown = *world.vouchers[0].shown();
    let key_length = tree(&shown.key).bytes().len();
    let words = [("P", 0), ("R'", 1), ("s'", 2), ("y'", 3)];
    let bytes = tree(&shown).bytes();
    for (part, word) in words {
        let offset = key_length + 32 * word;
        let old: [u8; 32] = bytes[offset..offset + 32].try_into().expect("a word");
        let other = tree(world.vouchers[1].shown()).bytes();
        let other_length = tree(&world.vouchers[1].key()).bytes().len();
        let other = other[other_length + 32 * word..][..32].to_vec();
        let mut changes = vec![("of another voucher", other), ("zero", vec![0; 32])];
        if word >= 2 {
            changes.push(("plus l", plus_order(old)));
        } else {
            changes.push(("no point", vec![0xff; 32]));
        }
        for (how, insert) in changes {
            let splice = Json::object([
                ("input", Json::text("voucher")),
                ("field", Json::text(part)),
                ("offset", Json::number(offset as i128)),
                ("remove", Json::number(32)),
                ("insert", Json::hex(insert)),
            ]);
            let inputs = Json::object([("base", Json::text(base)), ("splice", splice)]);
            let rule = "y' is not 0, Y' = y'*X, s'*G = R' + c'*Y' with c' over X, R', Y', P (5.5)";
            file.refuse(programme, &format!("{part} {how}"), "voucher", inputs, rule);
        }
    }
    let mut other = shown;
    other.key = world.vouchers[1].key();
    file.refuse(programme, "another key", "voucher", one(&other), "a voucher verifies under its own key (5.5)");
    other.key = annona_protocol::ids::KeyIndex(9999);
    file.refuse(
        programme,
        "a key that is not listed",
        "voucher",
        one(&other),
        "the version in force lists the key (5.5)",
    );

    let batch = |vouchers: &[LoggedVoucher]| {
        Json::object([
            ("round", Json::number(1)),
            ("vouchers", Json::list(vouchers.iter().map(|voucher| Json::hex(tree(voucher).bytes())))),
        ])
    };
    let vouchers = logged(world);
    file.accept(programme, "batch", "voucher batch", batch(&vouchers));
    file.accept(programme, "batch of none", "voucher batch", batch(&[]));
    let mut swapped = vouchers.clone();
    (swapped[0].y_point, swapped[1].y_point) = (swapped[1].y_point, swapped[0].y_point);
    file.refuse(
        programme,
        "batch with two Y' exchanged",
        "voucher batch",
        batch(&swapped),
        "Y' = y'*X for each voucher (5.5)",
    );
    let mut swapped = vouchers.clone();
    (swapped[0].shown.s, swapped[1].shown.s) = (swapped[1].shown.s, swapped[0].shown.s);
    file.refuse(
        programme,
        "batch with two s' exchanged",
        "voucher batch",
        batch(&swapped),
        "s'*G = R' + c'*Y' for each voucher (5.5)",
    );
    file.refuse(
        programme,
        "batch with a forgery under one shared weight",
        "voucher batch",
        batch(&[forged(world)]),
        "two independent weights a voucher (5.5): this one satisfies the sum of the two equations, and neither",
    );
    file
}

/// A voucher from nothing that satisfies `(Y' - y'*X) + (R' + c'*y'*X - s'*G) = 0` and neither equation: pick `Y'`, `y'`, `s'`
/// and `R'` such that the errors cancel, with `c'` hashed over them.
///
/// `R' = s'*G + k*G`, `Y' = (y' - c'*y')*X - k*G` cannot be solved as `c'` is over `Y'`; so pick `Y' = u*X + v*G`, get `c'`, and
/// solve `u - y' + c'*y' = 0` for `y'`, and `v + rho - s' = 0` for `s'` with `R' = rho*G`.
fn forged(world: &World) -> LoggedVoucher {
    use curve25519_dalek::{
        ristretto::{CompressedRistretto, RistrettoPoint},
        scalar::Scalar,
    };
    let mut logged = logged(world)[0];
    let entry = world.view(1).key(logged.shown.key).expect("listed");
    let x = CompressedRistretto(*entry.key.as_bytes()).decompress().expect("a point");
    let (u, v, rho, p) = (Scalar::from(3u64), Scalar::from(5u64), Scalar::from(7u64), Scalar::from(11u64));
    let y_point = (x * u + RistrettoPoint::mul_base(&v)).compress().to_bytes();
    let r = RistrettoPoint::mul_base(&rho).compress().to_bytes();
    let holder = RistrettoPoint::mul_base(&p).compress().to_bytes();
    let input = [*entry.key.as_bytes(), r, y_point, holder].concat();
    let context = super::check::context("annona v1 voucher challenge");
    let c = Scalar::from_bytes_mod_order_wide(&annona_protocol::hazmat::vectors::hash_wide(context, &input));
    let y = u * (Scalar::ONE - c).invert();
    let s = v + rho;
    let encoded = annona_protocol::group::EncodedPoint;
    (logged.y_point, logged.shown.r, logged.shown.holder) = (encoded(y_point), encoded(r), encoded(holder));
    let public = annona_protocol::group::PublicScalar;
    (logged.shown.s, logged.shown.y) = (public(s), public(y));
    let g = RistrettoPoint::mul_base;
    let decompressed = |bytes: [u8; 32]| CompressedRistretto(bytes).decompress().expect("a point");
    let first = decompressed(y_point) - x * y;
    let second = decompressed(r) + x * (c * y) - g(&s);
    assert_eq!((first + second).compress().to_bytes(), [0; 32], "the errors cancel");
    assert_ne!(first.compress().to_bytes(), [0; 32]);
    logged
}

fn swap(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file =
        File::new("swap", "5.6", "Swap of old vouchers for new of the same lines, values, round and counts.");
    let sent = kinds::decode("SWAP_REQUEST", &world.swap.request).expect("known").expect("a sample").json();
    let inputs = Json::object([
        ("round", Json::number(1)),
        ("offer", Json::hex(&world.swap_offer)),
        ("keys", sent.get("new").clone()),
        ("request", Json::hex(&world.swap.request)),
    ]);
    file.accept(programme, "request", "swap request", inputs);
    let inputs = Json::object([
        ("round", Json::number(1)),
        ("context", Json::hex(&world.swap.context)),
        ("response", Json::hex(&world.swap.response)),
    ]);
    file.accept(programme, "response", "swap response", inputs);
    let leaf = IssuerLeaf::Swap(world.swap.leaf.clone());
    file.accept(
        programme,
        "leaf",
        "swap leaf",
        Json::object([("round", Json::number(1)), ("leaf", Json::hex(leaf.encode()))]),
    );
    file.mutants(programme, "request", "request", "SWAP_REQUEST", &[]);
    file.mutants(programme, "response", "response", "SWAP_RESPONSE", &[]);
    // The answers of a swap are the wallet's to check: they are in the log for it, under no proof.
    file.mutants(programme, "leaf", "leaf", "ISSUER_LEAF", &["Swap.answers"]);
    let round = "old vouchers are of the round (5.6)";
    file.refuse_set(programme, "request in another round", "request", [("round", Json::number(2))], round);
    file.refuse_set(programme, "leaf in another round", "leaf", [("round", Json::number(2))], round);
    file
}

fn redeem(world: &World) -> File {
    let programme = &world.fixture.programme;
    let (visit, key) = (&world.visit, &world.fixture.site_logs[0]);
    let mut file =
        File::new("redeem", "7", "At the site: redemption, printed voucher, void, owed and collect; and surrender.");
    let quote = Json::hex(visit.quote.encode());
    let at = |name: &str, message: Json| {
        Json::object([
            ("round", Json::number(1)),
            ("site", Json::number(SITE.0)),
            ("slots", Json::list([])),
            ("quote", quote.clone()),
            (name, message),
        ])
    };
    file.accept(programme, "redemption", "redeem request", at("request", Json::hex(visit.request.encode())));
    file.mutants(programme, "redemption", "request", "REDEEM_REQUEST", &[]);
    let terms = QuoteTerms { lines: vec![annona_protocol::fixture::INFANT], ..visit.quote.content.clone() };
    let less = Json::hex(Signed::sign(terms, key).encode());
    file.refuse_set(
        programme,
        "a line that is not quoted",
        "redemption",
        [("quote", less)],
        "only quoted lines are redeemed (7.3)",
    );
    let mut terms = visit.quote.content.clone();
    terms.id.0[0] ^= 1;
    let other = Json::hex(Signed::sign(terms, key).encode());
    file.refuse_set(
        programme,
        "another quote",
        "redemption",
        [("quote", other)],
        "the quote is bound and single-use (7.1)",
    );
    file.refuse_set(
        programme,
        "at another site",
        "redemption",
        [("site", Json::number(2))],
        "the quote is of this site (7.1)",
    );
    file.refuse_set(
        programme,
        "in another round",
        "redemption",
        [("round", Json::number(2))],
        "the quote is of this round (7.1)",
    );
    let mut twice = visit.request.clone();
    twice.vouchers[1] = twice.vouchers[0];
    file.refuse_set(
        programme,
        "a voucher twice",
        "redemption",
        [("request", Json::hex(twice.encode()))],
        "a voucher occurs once (7.3)",
    );
    let mut none = visit.request.clone();
    none.vouchers.clear();
    file.refuse_set(
        programme,
        "no voucher",
        "redemption",
        [("request", Json::hex(none.encode()))],
        "there is a voucher (7.3)",
    );
    let mut order = visit.request.clone();
    order.vouchers.reverse();
    file.refuse_set(
        programme,
        "vouchers in another order",
        "redemption",
        [("request", Json::hex(order.encode()))],
        "the holder proof binds all vouchers in order (7.2)",
    );
    let mut fewer = visit.request.clone();
    fewer.vouchers.pop();
    file.refuse_set(
        programme,
        "a voucher left out",
        "redemption",
        [("request", Json::hex(fewer.encode()))],
        "the holder proof binds all vouchers (7.2)",
    );
    let mut other_site = visit.request.clone();
    other_site.vouchers[0] = *world.swapped[0].shown();
    file.refuse_set(
        programme,
        "a voucher of another site",
        "redemption",
        [("request", Json::hex(other_site.encode()))],
        "a voucher is for its site (7.3)",
    );

    file.accept(programme, "sheet", "printed voucher", at("sheet", Json::hex(visit.bearer.encode())));
    file.mutants(programme, "sheet", "sheet", "BEARER", &[]);
    file.accept(programme, "void", "void request", at("request", Json::hex(visit.void.encode())));
    file.mutants(programme, "void", "request", "VOID_REQUEST", &[]);
    file.refuse_set(programme, "void at another site", "void", [("site", Json::number(2))], "the place is bound (7.4)");
    file.refuse_set(
        programme,
        "void in another round",
        "void",
        [("round", Json::number(2))],
        "the place is bound (7.4)",
    );

    let owed: OwedLeaf = world.owed_leaf();
    let inputs = Json::object([
        ("round", Json::number(3)),
        ("site", Json::number(SITE.0)),
        ("owed leaf", Json::hex(tree(&owed).bytes())),
        ("request", Json::hex(visit.collect.encode())),
    ]);
    file.accept(programme, "collect", "collect request", inputs);
    file.mutants(programme, "collect", "request", "COLLECT_REQUEST", &[]);
    file.refuse_set(
        programme,
        "collect in another round",
        "collect",
        [("round", Json::number(2))],
        "the round of collecting is bound (7.5)",
    );
    file.refuse_set(
        programme,
        "collect at another site",
        "collect",
        [("site", Json::number(2))],
        "the site is bound (7.5)",
    );
    let mut more = owed.clone();
    more.lines[0].1.0 += 1;
    file.refuse_set(
        programme,
        "collect more than is owed",
        "collect",
        [("owed leaf", Json::hex(tree(&more).bytes()))],
        "the slip's lines are bound (7.5)",
    );

    let inputs = Json::object([("round", Json::number(1)), ("surrender", Json::hex(visit.surrender.encode()))]);
    file.accept(programme, "surrendered", "surrender", inputs);
    file.mutants(programme, "surrendered", "surrender", "SURRENDER", &[]);
    file.refuse_set(
        programme,
        "surrendered in another round",
        "surrendered",
        [("round", Json::number(2))],
        "the round is the key's (7.6)",
    );
    file
}
