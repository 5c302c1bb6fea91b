//! Enrol, roll-over, draw, amend.

use annona_protocol::{group::Point, hazmat::vectors as hazmat, log::leaf::IssuerLeaf, wire::Message};
use curve25519_dalek::scalar::Scalar;

use super::build::File;
use crate::{
    fields::tree,
    json::Json,
    kinds,
    life::{Exchange, World},
};

pub(super) fn files(world: &World) -> Vec<File> {
    vec![enrol(world), roll_over(world), draw(world), amend(world)]
}

fn secret(world: &World) -> Json {
    Json::hex(*world.fixture.issuer.to_bytes())
}

fn response<L>(exchange: &Exchange<L>) -> Json {
    Json::object([
        ("round", Json::number(1)),
        ("context", Json::hex(&exchange.context)),
        ("response", Json::hex(&exchange.response)),
    ])
}

fn leaf(leaf: &IssuerLeaf) -> Json {
    Json::object([("round", Json::number(1)), ("leaf", Json::hex(leaf.encode()))])
}

const OTHER_ROUND: &str = "a request is of the round in force; manifest and round are bound (4.3, 6.3)";

fn enrol(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("enrol", "4.2", "Enrolment: request, issuer's key and answer, leaf.");
    let exchange = &world.enrol[0];
    let inputs = Json::object([("request", Json::hex(&exchange.request))]);
    file.accept(programme, "request", "enrol request", inputs);
    let enrolled = tree(&exchange.leaf).json();
    let inputs = Json::object([("x and secret", secret(world)), ("B", enrolled.get("b").clone())]);
    let mac = file.compute(programme, "e and A of B", "issuer key", inputs);
    assert_eq!((mac.get("A"), mac.get("e")), (enrolled.get("a"), enrolled.get("e")));
    let inputs = response(exchange);
    file.accept(programme, "response", "enrol response", inputs);
    file.accept(programme, "leaf", "enrol leaf", leaf(&IssuerLeaf::Enrol(exchange.leaf.clone())));
    // The mask only hides the answer in the issuer's store.
    file.mutants(programme, "request", "request", "ENROL_REQUEST", &["mask"]);
    file.mutants(programme, "response", "response", "ENROL_RESPONSE", &[]);
    // A ticket's place is checked against its lot, not by the proofs.
    let free = ["Enrol.ticket.salt", "Enrol.ticket.index", "Enrol.ticket.path"];
    file.mutants(programme, "leaf", "leaf", "ISSUER_LEAF", &free);
    let other = Json::hex(&world.enrol[1].response);
    file.refuse_set(
        programme,
        "another household's response",
        "response",
        [("response", other)],
        "the answer is for this C and ticket (4.2)",
    );
    file
}

fn roll_over(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("roll-over", "4.3, 4.4, 6.4", "Roll-over: show with update, the issuer's answer, leaf.");
    let exchange = &world.roll_over;
    let inputs = Json::object([
        ("round", Json::number(1)),
        ("issuer secret", secret(world)),
        ("request", Json::hex(&exchange.request)),
    ]);
    file.accept(programme, "request", "roll-over request", inputs);
    file.accept(programme, "response", "roll-over response", response(exchange));
    file.accept(programme, "leaf", "roll-over leaf", leaf(&IssuerLeaf::RollOver(exchange.leaf.clone())));
    file.mutants(programme, "request", "request", "ROLL_OVER_REQUEST", &[]);
    file.mutants(programme, "response", "response", "ROLL_OVER_RESPONSE", &[]);
    file.mutants(programme, "leaf", "leaf", "ISSUER_LEAF", &[]);
    file.refuse_set(programme, "request in another round", "request", [("round", Json::number(2))], OTHER_ROUND);
    file.refuse_set(programme, "leaf in another round", "leaf", [("round", Json::number(2))], OTHER_ROUND);
    let other = annona_protocol::credential::IssuerKey::generate(&mut crate::life::rng("another issuer"));
    let set = [("issuer secret", Json::hex(*other.to_bytes()))];
    file.refuse_set(programme, "a credential of another issuer", "request", set, "Abar = x*A' (4.4)");
    file
}

fn draw(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new(
        "draw",
        "4.3, 4.4, 5.2, 5.3, 6.4",
        "Draw and refresh: session, blinding, show, answer, vouchers, leaf.",
    );
    let context = kinds::decode("PENDING_DRAW", &world.draw.context).expect("known").expect("a sample").json();
    let answers = kinds::decode("DRAW_RESPONSE", &world.draw.response).expect("known").expect("a sample").json();
    let sent = kinds::decode("DRAW_REQUEST", &world.draw.request).expect("known").expect("a sample").json();
    for (at, blinded) in context.get("blinded").items().iter().enumerate() {
        let entry = world.view(1).key(annona_protocol::ids::KeyIndex(blinded.get("key").integer())).expect("listed");
        let (offered, c) = (blinded.get("commitment"), blinded.get("c"));
        let base = Json::object([
            ("X", Json::hex(entry.key.as_bytes())),
            ("R", offered.get("r").clone()),
            ("Y", offered.get("y").clone()),
            ("p", blinded.get("secret").clone()),
            ("r1", blinded.get("r1").clone()),
            ("r2", r2(entry.key, blinded)),
            ("g", blinded.get("g").clone()),
        ]);
        let expected = file.compute(programme, &format!("voucher {at} blinded"), "blind", base.clone());
        assert_eq!(
            (expected.get("c"), expected.get("P")),
            (&sent.get("challenges").items()[at], blinded.get("holder"))
        );
        let answer = &answers.get("answers").items()[at];
        let inputs = base.with("c", c.clone()).with("s", answer.get("s").clone()).with("y", answer.get("y").clone());
        let name = format!("voucher {at} unblinded");
        file.accept(programme, &name, "unblind", inputs);
        if at == 0 {
            let equations = "y is not 0, Y = y*X, s*G = R + c*Y (5.2)";
            let one = || Json::hex(Scalar::ONE.as_bytes());
            file.refuse_set(programme, "another s", &name, [("s", one())], equations);
            file.refuse_set(programme, "another y", &name, [("y", one())], equations);
            file.refuse_set(programme, "y of zero", &name, [("y", Json::hex([0; 32]))], equations);
        }
    }
    let keys = sent.get("keys").clone();
    let inputs = Json::object([
        ("round", Json::number(1)),
        ("issuer secret", secret(world)),
        ("offer", Json::hex(&world.session[1])),
        ("keys", keys),
        ("request", Json::hex(&world.draw.request)),
    ]);
    file.accept(programme, "request", "draw request", inputs);
    let inputs = Json::object([
        ("round", Json::number(1)),
        ("issuer secret", secret(world)),
        ("offer", Json::Null),
        ("keys", Json::list([])),
        ("request", Json::hex(&world.refresh.request)),
    ]);
    file.accept(programme, "refresh request", "draw request", inputs);
    file.accept(programme, "response", "draw response", response(&world.draw));
    file.accept(programme, "refresh response", "draw response", response(&world.refresh));
    file.accept(programme, "leaf", "draw leaf", leaf(&IssuerLeaf::Draw(world.draw.leaf.clone())));
    for (name, (offer, exchange)) in ["three values, padded", "one value, a key twice"].iter().zip(&world.second_draws)
    {
        let sent = kinds::decode("DRAW_REQUEST", &exchange.request).expect("known").expect("a sample").json();
        let inputs = Json::object([
            ("round", Json::number(1)),
            ("issuer secret", secret(world)),
            ("offer", Json::hex(offer)),
            ("keys", sent.get("keys").clone()),
            ("request", Json::hex(&exchange.request)),
        ]);
        file.accept(programme, &format!("request of {name}"), "draw request", inputs);
        file.accept(programme, &format!("response of {name}"), "draw response", response(exchange));
        file.accept(programme, &format!("leaf of {name}"), "draw leaf", leaf(&IssuerLeaf::Draw(exchange.leaf.clone())));
    }
    file.accept(programme, "refresh leaf", "draw leaf", leaf(&IssuerLeaf::Draw(world.refresh.leaf.clone())));
    for (base, input, kind) in [
        ("request", "request", "DRAW_REQUEST"),
        ("refresh request", "request", "DRAW_REQUEST"),
        ("response", "response", "DRAW_RESPONSE"),
        ("leaf", "leaf", "ISSUER_LEAF"),
        ("refresh leaf", "leaf", "ISSUER_LEAF"),
    ] {
        file.mutants(programme, base, input, kind, &[]);
    }
    file.refuse_set(programme, "request in another round", "request", [("round", Json::number(2))], OTHER_ROUND);
    file.refuse_set(programme, "leaf in another round", "leaf", [("round", Json::number(2))], OTHER_ROUND);
    let other = [("keys", Json::list([Json::list([Json::number(0), Json::number(1)])]))];
    file.refuse_set(programme, "a session for other keys", "request", other, "a session is for one list of keys (5.3)");
    file.refuse_set(programme, "no session", "request", [("offer", Json::Null)], "only a refresh has no session (5.3)");
    // The first of the commitments changed after the show was made.
    let offer = Json::hex(swap_commitments(&world.session[1]));
    file.refuse_set(
        programme,
        "commitments in another order",
        "request",
        [("offer", offer)],
        "all (X, R, Y, c) are bound in order (5.3)",
    );
    let mixed = IssuerLeaf::RollOver(world.draw.leaf.record.clone());
    let inputs = leaf(&mixed);
    file.refuse(programme, "a draw's show as a roll-over", "roll-over leaf", inputs, "the operation is bound (4.3)");
    file
}

/// `r2 = c - c'`.
fn r2(key: Point, blinded: &Json) -> Json {
    let scalar = |name: &str| Scalar::from_canonical_bytes(blinded.get(name).array()).expect("canonical");
    let y = curve25519_dalek::ristretto::CompressedRistretto(blinded.get("commitment").get("y").array());
    let y = (y.decompress().expect("a point") * scalar("g")).compress().to_bytes();
    let input = [*key.as_bytes(), blinded.get("r_prime").array(), y, blinded.get("holder").array()].concat();
    let wide = hazmat::hash_wide(super::check::context("annona v1 voucher challenge"), &input);
    Json::hex((scalar("c") - Scalar::from_bytes_mod_order_wide(&wide)).as_bytes())
}

/// The offer with its first two commitments exchanged.
fn swap_commitments(offer: &[u8]) -> Vec<u8> {
    // Envelope, session, count.
    let from = 2 + 16 + 1;
    let (head, rest) = offer.split_at(from);
    [head, &rest[64..128], &rest[..64], &rest[128..]].concat()
}

fn amend(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file = File::new("amend", "4.3, 4.4, 6.4", "Amend: show, the issuer's M and answer, leaf.");
    let exchange = &world.amend;
    let inputs = Json::object([
        ("round", Json::number(1)),
        ("issuer secret", secret(world)),
        ("request", Json::hex(&exchange.request)),
    ]);
    file.accept(programme, "request", "amend request", inputs);
    file.accept(programme, "response", "amend response", response(exchange));
    file.accept(programme, "leaf", "amend leaf", leaf(&IssuerLeaf::Amend(exchange.leaf.clone())));
    file.mutants(programme, "request", "request", "AMEND_REQUEST", &["mask"]);
    file.mutants(programme, "response", "response", "AMEND_RESPONSE", &[]);
    // Place and lot are checked against the lot's tree, the expiry by the cohort's opening.
    let free = ["Amend.ticket.lot", "Amend.ticket.salt", "Amend.ticket.index", "Amend.ticket.path", "Amend.expires"];
    file.mutants(programme, "leaf", "leaf", "ISSUER_LEAF", &free);
    file.refuse_set(programme, "request in another round", "request", [("round", Json::number(2))], OTHER_ROUND);
    file
}
