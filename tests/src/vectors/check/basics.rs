//! Hashes, group, range proofs, relations, messages, manifest, statements, tickets.

use annona_protocol::{
    credential::{IssuerKey, Parameters},
    group::{EncodedPoint, Point, PublicScalar, Scalar},
    hazmat::vectors::{self as hazmat, Equation, RelationParts},
    ids::{KeyIndex, LineId, LotId, ManifestHash, ProgrammeId, Round, TicketHash},
    log::{
        leaf::{IssuerLeaf, LotLeaf},
        merkle,
    },
    programme::{
        Form, KeyEntry, KeyId, Programme, Schema, SignedHeader, TicketKind,
        form::Affine,
        statement::{Statement, starting_values},
    },
    range,
    registry::{self, kind},
    secret::SecretBytes,
    sigma::LinearProof,
    ticket::{TicketCode, TicketUse},
    voucher::RoundMaster,
    wire::Message,
};
use merlin::Transcript as Merlin;

use super::{accept, context, message, refuse, refuse_decode, traced, verifier, view};
use crate::{fields::tree, json::Json, kinds};

pub(super) fn evaluate(programme: &Programme, check: &str, inputs: &Json) -> Option<Json> {
    Some(match check {
        "hash" => {
            let (name, input) = (context(inputs.get("context").str()), inputs.get("input").bytes());
            Json::object([
                ("32 bytes", Json::hex(hazmat::hash(name, &input))),
                ("64 bytes", Json::hex(hazmat::hash_wide(name, &input))),
            ])
        }
        "transcript" => transcript(inputs),
        "point" => match Point::decode(inputs.get("bytes").array()) {
            Ok(_) => accept([]),
            Err(_) => refuse_decode(),
        },
        "scalar" => match PublicScalar::decode(inputs.get("bytes").array()) {
            Ok(_) => accept([]),
            Err(_) => refuse_decode(),
        },
        "reduce" => {
            let scalar = Scalar::from_bytes_mod_order_wide(&inputs.get("bytes").array());
            Json::object([("scalar", Json::hex(scalar.as_bytes()))])
        }
        "hash to group" => {
            Json::object([("point", Json::hex(hazmat::hash_to_group(&inputs.get("bytes").array()).as_bytes()))])
        }
        "generators" => generators(inputs),
        "range generators" => range_generators(inputs),
        "range proof" => range_proof(inputs),
        "relation" => relation(inputs),
        "message" => {
            let (name, bytes) = (inputs.get("kind").str(), inputs.get("bytes").bytes());
            match kinds::decode(name, &bytes).expect("a known kind") {
                Ok(node) => accept([("fields", node.json())]),
                Err(_) => refuse_decode(),
            }
        }
        "manifest" => manifest(inputs),
        "key inclusion" => {
            let leaf = merkle::leaf_hash(&inputs.get("entry").bytes());
            inclusion(inputs, &leaf, inputs.get("count").integer())
        }
        "cumulative accrual" => {
            let header = programme.latest();
            let line = header.line(LineId(inputs.get("line").integer())).expect("a line of the example");
            let through = Round(inputs.get("through").integer());
            Json::object([("form", form(&line.cumulative(header.policy.first_round, through)))])
        }
        "starting values" => {
            let header = programme.latest();
            let lot = header.lot(LotId(inputs.get("lot").integer())).expect("a lot of the example");
            let attributes: Vec<u64> = inputs.get("attributes").items().iter().map(Json::integer).collect();
            match starting_values(header, &lot.start, Round(inputs.get("expires").integer()), &attributes) {
                Some(values) => accept([("values from m_2", Json::list(values.into_iter().map(Json::number)))]),
                None => refuse(),
            }
        }
        "voucher key" => {
            let master = RoundMaster::from_bytes(&inputs.get("master and nonce").array());
            let id: KeyId = postcard::from_bytes(&inputs.get("key id").bytes()).expect("a key id");
            let (secret, hashed) = traced(|| master.derive(id));
            let secret = secret.expect("not zero");
            Json::object([("X", Json::hex(secret.entry().key.as_bytes())), ("hashed", hashed)])
        }
        "issuer key" => {
            let key = IssuerKey::from_bytes(&inputs.get("x and secret").array()).expect("a key");
            let b = Point::decode(inputs.get("B").array()).expect("a point");
            let ((a, e), hashed) = traced(|| key.mac_for_vectors(&b).expect("not degenerate"));
            Json::object([
                ("W", Json::hex(key.public().as_bytes())),
                ("e", Json::hex(e.0.as_bytes())),
                ("A", Json::hex(a.as_bytes())),
                ("hashed", hashed),
            ])
        }
        "statement" => statement(programme, inputs),
        "ticket" => {
            let id = ProgrammeId(inputs.get("programme id").array());
            let kind = match inputs.get("kind").str() {
                "Enrol" => TicketKind::Enrol,
                "Amend" => TicketKind::Amend,
                _ => TicketKind::Split,
            };
            let (_, hashed) = traced(|| TicketCode::from_bytes(inputs.get("code").array()).hash(&id, kind));
            Json::object([("hashed", hashed)])
        }
        "ticket in lot" => match postcard::from_bytes::<TicketUse>(&inputs.get("place").bytes()) {
            Err(_) => refuse_decode(),
            Ok(place) => {
                let leaf = TicketUse::leaf(&place.hash, &place.salt);
                let root = merkle::TreeHash(inputs.get("root").array());
                match place.verify(inputs.get("count").integer(), &root) {
                    Ok(()) => accept([("leaf hash", Json::hex(leaf.0))]),
                    Err(_) => refuse(),
                }
            }
        },
        "lot" => match message::<IssuerLeaf>(inputs, "leaf") {
            Some(IssuerLeaf::Lot(leaf)) if hazmat::verify_lot(programme, &leaf) => {
                let signed = LotLeaf::signed_bytes(&programme.id(), leaf.lot, leaf.count, &leaf.root);
                accept([("signed content", Json::hex(signed))])
            }
            Some(_) => refuse(),
            None => refuse_decode(),
        },
        "grant" => {
            let mask = SecretBytes::new(inputs.get("mask").array());
            let ticket = TicketHash(inputs.get("ticket hash").array());
            match hazmat::open_grant(&inputs.get("sealed").bytes(), &mask, &ticket) {
                Some((rho, attributes)) => accept([
                    ("rho", Json::hex(rho.0.as_bytes())),
                    ("attributes", Json::list(attributes.into_iter().map(Json::number))),
                ]),
                None => refuse(),
            }
        }
        _ => return None,
    })
}

fn transcript(inputs: &Json) -> Json {
    const LABELS: [&str; 4] = ["first", "second", "challenge", "later"];
    let label = |item: &Json| {
        let name = item.get("label").str();
        *LABELS.iter().find(|known| **known == name).expect("one of the labels of these vectors")
    };
    let items: Vec<_> =
        inputs.get("items").items().iter().map(|item| (label(item), item.find("bytes").map(Json::bytes))).collect();
    let outputs = hazmat::replay(context(inputs.get("context").str()), &items);
    let scalars = outputs.iter().map(Scalar::from_bytes_mod_order_wide);
    Json::object([
        ("challenges", Json::list(outputs.iter().map(Json::hex))),
        ("as scalars", Json::list(scalars.map(|scalar| Json::hex(scalar.as_bytes())))),
    ])
}

fn generators(inputs: &Json) -> Json {
    let programme = ProgrammeId(inputs.get("programme id").array());
    let schema: Schema = postcard::from_bytes(&inputs.get("schema").bytes()).expect("a schema");
    let (parameters, hashed) = traced(|| Parameters::new(programme, &schema));
    let h = (0..=parameters.arity()).map(|at| Json::hex(parameters.h(at).as_bytes()));
    Json::object([("arity", Json::number(parameters.arity())), ("H", Json::list(h)), ("hashed", hashed)])
}

fn range_generators(inputs: &Json) -> Json {
    let (party, from, to): (usize, usize, usize) =
        (inputs.get("party").integer(), inputs.get("from").integer(), inputs.get("to").integer());
    let pairs: Vec<_> = (from..to).map(|position| hazmat::range_generators(party, position)).collect();
    Json::object([
        ("B", Json::hex(Point::generator().as_bytes())),
        ("B_blind", Json::hex(range::blinding_generator().as_bytes())),
        ("G", Json::list(pairs.iter().map(|pair| Json::hex(pair.0.as_bytes())))),
        ("H", Json::list(pairs.iter().map(|pair| Json::hex(pair.1.as_bytes())))),
    ])
}

fn range_proof(inputs: &Json) -> Json {
    let (width, seed): (usize, _) = (inputs.get("width").integer(), inputs.get("seed").array());
    let commitments: Option<Vec<Point>> =
        inputs.get("commitments").items().iter().map(|point| Point::decode(point.array()).ok()).collect();
    let Some(commitments) = commitments else { return refuse_decode() };
    let proof = inputs.get("proof").bytes();
    if !hazmat::range_verify(width, &commitments, &proof, &seed, &mut verifier()) {
        return refuse();
    }
    let padded = commitments.len().next_power_of_two();
    accept([
        ("padded", Json::number(padded as i128)),
        ("challenges", range_challenges(width, padded, &commitments, &proof, &seed)),
    ])
}

/// The range proof's own challenges, by merlin alone.
fn range_challenges(width: usize, padded: usize, commitments: &[Point], proof: &[u8], seed: &[u8; 64]) -> Json {
    let mut transcript = Merlin::new(registry::RANGE_PROOF);
    transcript.append_message(b"seed", seed);
    transcript.append_message(b"dom-sep", b"rangeproof v1");
    transcript.append_u64(b"n", width as u64);
    transcript.append_u64(b"m", padded as u64);
    for at in 0..padded {
        transcript.append_message(b"V", commitments.get(at).map_or(&[0; 32], |point| point.as_bytes()));
    }
    let words: Vec<&[u8]> = proof.chunks_exact(32).collect();
    let challenge = |transcript: &mut Merlin, label: &'static [u8]| {
        let mut wide = [0; 64];
        transcript.challenge_bytes(label, &mut wide);
        Json::hex(Scalar::from_bytes_mod_order_wide(&wide).as_bytes())
    };
    transcript.append_message(b"A", words[0]);
    transcript.append_message(b"S", words[1]);
    let (y, z) = (challenge(&mut transcript, b"y"), challenge(&mut transcript, b"z"));
    transcript.append_message(b"T_1", words[2]);
    transcript.append_message(b"T_2", words[3]);
    let x = challenge(&mut transcript, b"x");
    transcript.append_message(b"t_x", words[4]);
    transcript.append_message(b"t_x_blinding", words[5]);
    transcript.append_message(b"e_blinding", words[6]);
    let w = challenge(&mut transcript, b"w");
    transcript.append_message(b"dom-sep", b"ipp v1");
    transcript.append_u64(b"n", (width * padded) as u64);
    let u = words[7..words.len() - 2].chunks_exact(2).map(|pair| {
        transcript.append_message(b"L", pair[0]);
        transcript.append_message(b"R", pair[1]);
        challenge(&mut transcript, b"u")
    });
    let u = Json::list(u.collect::<Vec<_>>());
    Json::object([("y", y), ("z", z), ("x", x), ("w", w), ("u", u)])
}

fn relation(inputs: &Json) -> Json {
    let scalar = |json: &Json| PublicScalar::decode(json.array()).expect("a scalar").0;
    let equations = inputs.get("equations").items().iter().map(|equation| Equation {
        terms: equation
            .get("terms")
            .items()
            .iter()
            .map(|term| (scalar(term.get("coefficient")), term.get("scalar").integer(), term.get("element").integer()))
            .collect(),
        image: equation
            .get("image")
            .items()
            .iter()
            .map(|term| (scalar(term.get("coefficient")), term.get("element").integer()))
            .collect(),
    });
    let parts = RelationParts {
        scalars: inputs.get("scalars").integer(),
        elements: inputs
            .get("elements")
            .items()
            .iter()
            .map(|point| EncodedPoint(point.array()).decode().expect("a point"))
            .collect(),
        equations: equations.collect(),
    };
    let Ok(proof) = postcard::from_bytes::<LinearProof>(&inputs.get("proof").bytes()) else { return refuse_decode() };
    let name = context(inputs.get("context").str());
    let (verdict, hashed) = traced(|| parts.verify(&proof, name, &mut verifier()));
    if verdict { accept([("description", Json::hex(parts.description())), ("hashed", hashed)]) } else { refuse() }
}

fn manifest(inputs: &Json) -> Json {
    let chain: Option<Vec<SignedHeader>> =
        inputs.get("chain").items().iter().map(|signed| SignedHeader::decode(&signed.bytes()).ok()).collect();
    let keys: Option<Vec<KeyEntry>> =
        inputs.get("keys").items().iter().map(|entry| KeyEntry::decode(&entry.bytes()).ok()).collect();
    let (Some(chain), Some(keys)) = (chain, keys) else { return refuse_decode() };
    let hashes = chain.iter().map(|signed| {
        // What is hashed is the header under an envelope of its own.
        let header = signed.header.encode();
        assert_eq!((header[0], header[1]), (registry::VERSION, kind::HEADER));
        Json::object([("header", Json::hex(header)), ("hash", Json::hex(signed.header.hash().0))])
    });
    let headers = Json::list(hashes);
    match Programme::new(&chain, keys.clone()) {
        Ok(programme) => accept([
            ("programme id", Json::hex(programme.id().0)),
            ("headers", headers),
            ("key root", Json::hex(programme.latest().key_root.0)),
        ]),
        Err(error) => refuse().with("this library says", Json::text(error.to_string())),
    }
}

/// Inclusion of a leaf hash at `index` in a tree of `size`.
pub(super) fn inclusion(inputs: &Json, leaf: &merkle::TreeHash, size: u64) -> Json {
    let path: Vec<_> = inputs.get("path").items().iter().map(|hash| merkle::TreeHash(hash.array())).collect();
    let root = merkle::TreeHash(inputs.get("root").array());
    match merkle::verify_inclusion(&root, leaf, inputs.get("index").integer(), size, &path) {
        Ok(()) => accept([("leaf hash", Json::hex(leaf.0))]),
        Err(_) => refuse(),
    }
}

fn form(form: &Form) -> Json {
    let terms = form.terms.iter().map(|(at, by)| Json::list([Json::number(*at), Json::number(*by)]));
    Json::object([("constant", Json::number(form.constant)), ("terms", Json::list(terms))])
}

fn affine(form: &Affine) -> Json {
    let (constant, terms) = hazmat::parts(form);
    let terms = terms.into_iter().map(|(at, by)| Json::list([Json::number(at), Json::number(by)]));
    Json::object([("constant", Json::number(constant)), ("terms", Json::list(terms))])
}

/// Keys and counts among the inputs.
pub(super) fn key_counts(inputs: &Json) -> Vec<(KeyIndex, u32)> {
    let pair = |pair: &Json| (KeyIndex(pair.items()[0].integer()), pair.items()[1].integer());
    inputs.get("keys").items().iter().map(pair).collect()
}

fn statement(programme: &Programme, inputs: &Json) -> Json {
    let view = view(programme, inputs);
    let keys = key_counts(inputs);
    let statement = match inputs.get("operation").str() {
        "roll-over" => Statement::roll_over(&view),
        "amend" => Statement::amend(&view),
        _ => match view.units(&keys).and_then(|units| Statement::draw(&view, &units)) {
            Ok(statement) => statement,
            Err(_) => return refuse(),
        },
    };
    let units = view.units(&keys).unwrap_or_default();
    let units = units.iter().map(|(line, units)| Json::list([Json::number(line.0), Json::number(units.0)]));
    let disclosed = statement.disclosed.iter().map(|(at, value)| Json::list([Json::number(*at), Json::number(*value)]));
    accept([
        ("units by line", Json::list(units)),
        ("disclosed", Json::list(disclosed)),
        ("update from m_2", Json::list(statement.update.iter().map(affine))),
        ("nonnegative", Json::list(statement.nonnegative.iter().map(affine))),
        ("description", Json::hex(hazmat::describe(&statement))),
    ])
}

/// The canonical bytes of something without an envelope.
pub(super) fn bare<T: serde::Serialize>(value: &T) -> Json {
    Json::hex(tree(value).bytes())
}

/// The hash of a header, for inputs that name one.
pub(super) fn header_of<'a>(programme: &'a Programme, inputs: &Json) -> &'a annona_protocol::programme::Header {
    programme.version(&ManifestHash(inputs.get("manifest").array())).expect("a version of the example")
}
