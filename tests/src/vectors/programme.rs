//! Manifest, keys, forms, statements, tickets.

use annona_protocol::{
    fixture::{CASH, FOOD, Fixture, INFANT, LATE_LOT, LOT, next_version, sign_header},
    ids::{LotId, ManifestHash},
    log::{leaf::IssuerLeaf, merkle},
    programme::{Form, Header, KeyEntry, SignedHeader},
    wire::Message,
};

use super::build::File;
use crate::{fields::tree, json::Json, kinds, life::World};

pub(super) fn files(world: &World) -> Vec<File> {
    vec![manifest(world), statement(world), ticket(world)]
}

fn chain(headers: &[SignedHeader], keys: &[KeyEntry]) -> Json {
    Json::object([
        ("chain", Json::list(headers.iter().map(|signed| Json::hex(signed.encode())))),
        ("keys", Json::list(keys.iter().map(|entry| Json::hex(entry.encode())))),
    ])
}

/// The second version changed and signed again; the genesis stays.
fn second(fixture: &Fixture, change: impl FnOnce(&mut Header)) -> Vec<SignedHeader> {
    let mut header = fixture.chain[1].header.clone();
    change(&mut header);
    vec![fixture.chain[0].clone(), sign_header(header, &fixture.officers)]
}

fn manifest(world: &World) -> File {
    let (fixture, programme) = (&world.fixture, &world.fixture.programme);
    let mut file = File::new(
        "programme",
        "5.1, 6",
        "The example programme that all other files refer to: its chain and key list. Then chains that are refused, key inclusion, accrual and key derivation.",
    );
    let (signed, keys) = (&fixture.chain, programme.keys());
    file.accept(programme, "example", "manifest", chain(signed, keys));
    let mut refuse = |name: &str, headers: &[SignedHeader], keys: &[KeyEntry], rule: &str| {
        file.refuse(programme, name, "manifest", chain(headers, keys), rule);
    };
    refuse("no genesis", &signed[1..], keys, "a chain starts at its genesis (6.2)");
    let mut few = signed.clone();
    few[1].signatures.pop();
    refuse("too few signatures", &few, keys, "as many officers of the version before as its threshold (6.2)");
    let mut twice = signed.clone();
    twice[1].signatures[1] = twice[1].signatures[0];
    refuse("an officer twice", &twice, keys, "officers are distinct and ascending (6.2)");
    let mut outside = signed.clone();
    outside[1].signatures[1].officer = 3;
    refuse("an unknown officer", &outside, keys, "every signature is by an officer of the version before (6.2)");
    let mut edited = signed.clone();
    edited[1].header.name.push('!');
    refuse("a header edited after signing", &edited, keys, "officers sign the header's hash (6.1)");
    let chained = "a version names its predecessor's hash, counts up and keeps the programme (6.2)";
    refuse("another predecessor", &second(fixture, |h| h.previous = ManifestHash([1; 32])), keys, chained);
    refuse("a version left out", &second(fixture, |h| h.version = 2), keys, chained);
    refuse("another programme id", &second(fixture, |h| h.programme.0[0] ^= 1), keys, chained);
    refuse("another schema", &second(fixture, |h| h.schema.spares = 1), keys, "the schema is constant (6.2)");
    let other = annona_protocol::group::Point::generator();
    refuse("another issuer key", &second(fixture, |h| h.issuer_key = other), keys, "W is constant (6.2)");
    let log = fixture.chain[0].header.witnesses[0].clone();
    refuse("another issuer log", &second(fixture, |h| h.issuer_log = log), keys, "the issuer's log is constant (6.2)");
    refuse(
        "a smaller cohort",
        &second(fixture, |h| h.policy.cohort_min = 1),
        keys,
        "cohort_min is at least 2 and never shrinks (6.2)",
    );
    refuse("fewer rounds", &second(fixture, |h| h.last_round.0 = 11), keys, "rounds are not taken away (6.2)");
    let accrual = |h: &mut Header| h.lines[0].accrual[0].value.terms[0].1 = 2;
    refuse(
        "another accrual in a planned round",
        &second(fixture, accrual),
        keys,
        "accruals of planned rounds are constant (6.2)",
    );
    let predicate = |h: &mut Header| h.lines[1].predicates.clear();
    refuse("a predicate dropped", &second(fixture, predicate), keys, "predicates of planned rounds are constant (6.2)");
    let balance = |h: &mut Header| h.lots[1].start.balances.clear();
    refuse("another starting balance", &second(fixture, balance), keys, "a lot's terms are constant (6.2)");
    refuse("a site dropped", &second(fixture, |h| h.sites.truncate(1)), keys, "a site stays (6.2)");
    refuse(
        "a site with another past log",
        &second(fixture, |h| h.sites[0].logs[0].name.push('x')),
        keys,
        "a site's logs are only appended to (6.2)",
    );
    let too_much = |h: &mut Header| {
        h.last_round.0 = 1100;
        h.lines[2].accrual.push(annona_protocol::programme::Since {
            round: annona_protocol::ids::Round(13),
            value: Form { constant: 60, terms: Vec::new() },
        });
    };
    refuse(
        "an accrual that leaves the width",
        &second(fixture, too_much),
        keys,
        "cumulative accrual stays below 2^w (6.2)",
    );
    let cut = &keys[..keys.len() - 1];
    refuse("a key left out", signed, cut, "the key list has the header's count and root (6.1)");
    let mut swapped = keys.to_vec();
    swapped.swap(0, 1);
    refuse("keys in another order", signed, &swapped, "the key list has the header's count and root (6.1)");
    let with_keys = |keys: &[KeyEntry]| {
        let genesis = &fixture.chain[0];
        vec![genesis.clone(), sign_header(next_version(&genesis.header, keys), &fixture.officers)]
    };
    let mut repeated = keys.to_vec();
    repeated[1].key = repeated[0].key;
    refuse("one point for two ids", &with_keys(&repeated), &repeated, "keys are distinct (5.1, 6.2)");
    let mut repeated = keys.to_vec();
    repeated[1].id = repeated[0].id;
    refuse("two points for one id", &with_keys(&repeated), &repeated, "keys are distinct (5.1, 6.2)");
    let mut unknown = keys.to_vec();
    unknown[0].id.value = 3;
    refuse("a value that the line does not have", &with_keys(&unknown), &unknown, "a key is of a line's value (6.2)");
    let mut slot = keys.to_vec();
    slot[14].id.slot = None;
    refuse(
        "no slot at a site with slots",
        &with_keys(&slot),
        &slot,
        "a key names a slot where the site has slots (6.2)",
    );

    let leaves: Vec<_> = keys.iter().map(KeyEntry::leaf).collect();
    for index in [0usize, 77, leaves.len() - 1] {
        let path = merkle::inclusion_proof(&leaves, index as u64).expect("a key");
        let inputs = Json::object([
            ("entry", Json::hex(keys[index].encode())),
            ("index", Json::number(index as i128)),
            ("count", Json::number(keys.len() as i128)),
            ("root", Json::hex(programme.latest().key_root.0)),
            ("path", Json::list(path.iter().map(|hash| Json::hex(hash.0)))),
        ]);
        file.accept(programme, &format!("key {index} in the list"), "key inclusion", inputs);
    }
    let base = "key 77 in the list";
    let rule = "an entry is proven at its position (6.1)";
    file.refuse_set(programme, "key at another position", base, [("index", Json::number(76))], rule);
    file.refuse_set(programme, "another key", base, [("entry", Json::hex(keys[76].encode()))], rule);
    for (line, through) in [(FOOD, 1), (CASH, 0), (CASH, 1), (CASH, 3), (INFANT, 12)] {
        let inputs = Json::object([("line", Json::number(line.0)), ("through", Json::number(through))]);
        file.compute(
            programme,
            &format!("accrual of line {line} through round {through}"),
            "cumulative accrual",
            inputs,
        );
    }
    for (at, round) in [(0usize, 1usize), (14, 1), (50, 2)] {
        let inputs = Json::object([
            ("master and nonce", Json::hex(*fixture.masters[round - 1].to_bytes())),
            ("key id", Json::hex(keys[at].id.canonical())),
        ]);
        let expected = file.compute(programme, &format!("voucher key {at}"), "voucher key", inputs);
        assert_eq!(expected.get("X").bytes(), keys[at].key.as_bytes());
    }
    file
}

fn statement(world: &World) -> File {
    let (fixture, programme) = (&world.fixture, &world.fixture.programme);
    let mut file = File::new(
        "statement",
        "4.1, 6.4",
        "What a show discloses, updates and proves non-negative, computed from the version in force and the request; starting values of credentials.",
    );
    let inputs = |round: u32, operation: &str, keys: &[(annona_protocol::ids::KeyIndex, u32)]| {
        let keys = keys.iter().map(|(at, count)| Json::list([Json::number(at.0), Json::number(*count)]));
        Json::object([("round", Json::number(round)), ("operation", Json::text(operation)), ("keys", Json::list(keys))])
    };
    for round in [1, 3] {
        file.accept(programme, &format!("roll-over into round {round}"), "statement", inputs(round, "roll-over", &[]));
        file.accept(programme, &format!("amend in round {round}"), "statement", inputs(round, "amend", &[]));
        file.accept(programme, &format!("refresh in round {round}"), "statement", inputs(round, "draw", &[]));
        for (name, units) in [
            ("food", vec![(FOOD, 4)]),
            ("infants' food", vec![(INFANT, 3)]),
            ("cash", vec![(CASH, 33)]),
            ("all lines", vec![(FOOD, 7), (INFANT, 1), (CASH, 120)]),
        ] {
            let keys = fixture.keys(round, &units);
            file.accept(
                programme,
                &format!("draw of {name} in round {round}"),
                "statement",
                inputs(round, "draw", &keys),
            );
        }
    }
    let keys = fixture.keys(1, &[(FOOD, 7)]);
    let mut refuse = |name: &str, round: u32, keys: &[_], rule: &str| {
        file.refuse(programme, name, "statement", inputs(round, "draw", keys), rule);
    };
    refuse("keys of another round", 2, &keys, "every key is of the round (6.4)");
    let reversed: Vec<_> = keys.iter().rev().copied().collect();
    refuse("keys not ascending", 1, &reversed, "keys are strictly ascending (6.4)");
    refuse("a key twice", 1, &[keys[0], keys[0]], "keys are strictly ascending (6.4)");
    refuse("a count of zero", 1, &[(keys[0].0, 0)], "counts are at least 1 (6.4)");
    refuse("too many vouchers", 1, &[(keys[0].0, 129)], "at most 128 vouchers (6.4)");
    refuse(
        "a key that is not listed",
        1,
        &[(annona_protocol::ids::KeyIndex(9999), 1)],
        "keys are listed by the version in force (6.4)",
    );

    let start = |lot: LotId, expires: u32, attributes: &[u64]| {
        Json::object([
            ("lot", Json::number(lot.0)),
            ("expires", Json::number(expires)),
            ("attributes", Json::list(attributes.iter().map(|value| Json::number(*value)))),
        ])
    };
    file.accept(programme, "start of a regular lot", "starting values", start(LOT, 12, &[4, 1]));
    file.accept(programme, "start in round 2 with balances", "starting values", start(LATE_LOT, 12, &[4, 1]));
    let within = "attributes are as many as the schema's and in their ranges (4.1)";
    file.refuse(programme, "an attribute too large", "starting values", start(LOT, 12, &[16, 0]), within);
    file.refuse(programme, "an attribute too small", "starting values", start(LOT, 12, &[0, 0]), within);
    file.refuse(programme, "an attribute missing", "starting values", start(LOT, 12, &[4]), within);
    file.refuse(
        programme,
        "expired at its start",
        "starting values",
        start(LATE_LOT, 1, &[4, 1]),
        "a start that is rolled over already has not expired (4.1)",
    );
    file.refuse(
        programme,
        "expiry beyond the width",
        "starting values",
        start(LOT, 1 << 16, &[4, 1]),
        "expires is below 2^w (4.1)",
    );
    file
}

fn ticket(world: &World) -> File {
    let programme = &world.fixture.programme;
    let mut file =
        File::new("ticket", "4.1, 4.2", "Ticket hashes, approved lots, a ticket's place in its lot, masked grants.");
    let ticket = &world.lots[0].tickets[3];
    for kind in ["Enrol", "Amend", "Split"] {
        let inputs = Json::object([
            ("programme id", Json::hex(programme.id().0)),
            ("kind", Json::text(kind)),
            ("code", Json::hex(ticket.code)),
        ]);
        file.compute(programme, &format!("ticket of kind {kind}"), "ticket", inputs);
    }
    for (lot, name) in world.lots.iter().zip(["enrolment lot", "amend lot"]) {
        let leaf = IssuerLeaf::Lot(lot.leaf.clone());
        file.accept(programme, name, "lot", Json::object([("leaf", Json::hex(leaf.encode()))]));
        for (index, ticket) in lot.tickets.iter().enumerate() {
            let inputs = Json::object([
                ("place", Json::hex(tree(&ticket.place).bytes())),
                ("count", Json::number(lot.leaf.count)),
                ("root", Json::hex(lot.leaf.root.0)),
            ]);
            file.accept(programme, &format!("ticket {index} of the {name}"), "ticket in lot", inputs);
        }
    }
    file.mutants(programme, "enrolment lot", "leaf", "ISSUER_LEAF", &[]);
    let (base, place) = ("ticket 3 of the enrolment lot", &ticket.place);
    let rule = "a ticket is in its lot's tree (4.1)";
    let mut refuse = |name: &str, change: &dyn Fn(&mut annona_protocol::ticket::TicketUse)| {
        let mut other = place.clone();
        change(&mut other);
        file.refuse_set(programme, name, base, [("place", Json::hex(tree(&other).bytes()))], rule);
    };
    refuse("another ticket hash", &|place| place.hash.0[0] ^= 1);
    refuse("another salt", &|place| place.salt[0] ^= 1);
    refuse("another position", &|place| place.index = 2);
    refuse("a sibling fewer", &|place| place.path.truncate(place.path.len() - 1));
    refuse("another sibling", &|place| place.path[0].0[0] ^= 1);
    file.refuse_set(programme, "another count", base, [("count", Json::number(4))], rule);
    file.refuse_set(programme, "another root", base, [("root", Json::hex([0; 32]))], rule);

    let fields = |kind: &str, bytes: &[u8]| kinds::decode(kind, bytes).expect("known").expect("a sample").json();
    let request = fields("ENROL_REQUEST", &world.enrol[0].request);
    let response = fields("ENROL_RESPONSE", &world.enrol[0].response);
    let inputs = Json::object([
        ("mask", request.get("mask").clone()),
        ("ticket hash", Json::hex(world.lots[0].tickets[0].place.hash.0)),
        ("sealed", response.get("sealed").clone()),
    ]);
    file.accept(programme, "grant of an enrolment", "grant", inputs);
    let (request, response) =
        (fields("AMEND_REQUEST", &world.amend.request), fields("AMEND_RESPONSE", &world.amend.response));
    let inputs = Json::object([
        ("mask", request.get("mask").clone()),
        ("ticket hash", Json::hex(world.lots[1].tickets[0].place.hash.0)),
        ("sealed", response.get("sealed").clone()),
    ]);
    file.accept(programme, "grant of an amend", "grant", inputs);
    let long = [response.get("sealed").bytes(), vec![0]].concat();
    file.refuse_set(
        programme,
        "a grant with a byte more",
        "grant of an amend",
        [("sealed", Json::hex(long))],
        "a grant is whole (4.2)",
    );
    file
}
