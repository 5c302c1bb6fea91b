//! Cases and files, and the mutants that make the negative cases: every field of a message changed, one at a time.

use annona_protocol::programme::Programme;
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::IsIdentity as _,
};

use super::check::evaluate;
use crate::{fields::Row, json::Json, kinds};

/// The group order `l`, little-endian: the smallest scalar that is not canonical.
pub(super) const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// One case of a file.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique in its file.
    pub name: String,
    /// What to do with the inputs.
    pub check: &'static str,
    /// As written: a whole set, or a change of another case's.
    pub inputs: Json,
    /// The verdict and what the verifier computes on the way.
    pub expected: Json,
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// The file's name without its extension.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    /// Sections of `spec/protocol.md`.
    pub spec: &'static str,
    /// The cases.
    pub cases: Vec<Case>,
}

/// Inputs with the other case they may refer to filled in.
///
/// # Panics
/// If that case is not there.
pub fn resolve<'a>(inputs: &Json, find: impl Fn(&str) -> Option<&'a Json>) -> Json {
    let Some(base) = inputs.find("base") else { return inputs.clone() };
    let mut result = find(base.str()).unwrap_or_else(|| panic!("no case {base}")).clone();
    if let Some(Json::Object(members)) = inputs.find("set") {
        for (name, value) in members {
            result = result.with(name, value.clone());
        }
    }
    if let Some(splice) = inputs.find("splice") {
        let name = splice.get("input").str();
        let mut bytes = result.get(name).bytes();
        let (offset, remove): (usize, usize) = (splice.get("offset").integer(), splice.get("remove").integer());
        bytes.splice(offset..offset + remove, splice.get("insert").bytes());
        result = result.with(name, Json::hex(bytes));
    }
    result
}

impl File {
    pub(super) fn new(name: &'static str, spec: &'static str, description: &'static str) -> Self {
        Self { name, description, spec, cases: Vec::new() }
    }

    fn push(&mut self, name: &str, check: &'static str, inputs: Json, expected: Json) {
        assert!(self.cases.iter().all(|case| case.name != name), "{}: {name} twice", self.name);
        self.cases.push(Case { name: name.to_owned(), check, inputs, expected });
    }

    fn run(&self, programme: &Programme, check: &'static str, inputs: &Json) -> Json {
        let find = |name: &str| self.cases.iter().find(|case| case.name == name).map(|case| &case.inputs);
        evaluate(programme, check, &resolve(inputs, find))
    }

    /// A computation without a verdict.
    pub(super) fn compute(&mut self, programme: &Programme, name: &str, check: &'static str, inputs: Json) -> Json {
        let expected = self.run(programme, check, &inputs);
        assert!(expected.find("verdict").is_none(), "{name}: {expected}");
        self.push(name, check, inputs, expected.clone());
        expected
    }

    /// Inputs that have to be accepted.
    pub(super) fn accept(&mut self, programme: &Programme, name: &str, check: &'static str, inputs: Json) -> Json {
        let expected = self.run(programme, check, &inputs);
        assert_eq!(expected.get("verdict").str(), "accept", "{}: {name}", self.name);
        self.push(name, check, inputs, expected.clone());
        expected
    }

    /// Inputs that have to be refused, and the rule that refuses them.
    pub(super) fn refuse(&mut self, programme: &Programme, name: &str, check: &'static str, inputs: Json, rule: &str) {
        let expected = self.run(programme, check, &inputs);
        assert_ne!(expected.get("verdict").str(), "accept", "{}: {name}", self.name);
        self.push(name, check, inputs, expected.with("rule", Json::text(rule)));
    }

    /// Another case's inputs with some of them set anew, to be refused.
    pub(super) fn refuse_set<const N: usize>(
        &mut self,
        programme: &Programme,
        name: &str,
        base: &str,
        set: [(&str, Json); N],
        rule: &str,
    ) {
        let check = self.case(base).check;
        let inputs = Json::object([("base", Json::text(base)), ("set", Json::object(set))]);
        self.refuse(programme, name, check, inputs, rule);
    }

    fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).expect("the base comes first")
    }

    /// Every field of `input` of the case `base`, a message of `kind`, changed one at a time. All must be refused but those
    /// whose path starts with one of `free`, which must be accepted.
    pub(super) fn mutants(&mut self, programme: &Programme, base: &str, input: &str, kind: &str, free: &[&str]) {
        let (check, bytes) = (self.case(base).check, self.case(base).inputs.get(input).bytes());
        let node = kinds::decode(kind, &bytes).expect("a known kind").expect("the base decodes");
        for row in node.rows("", 2) {
            let is_free = free.iter().any(|free| row.path.starts_with(free));
            for (how, changed) in changes(&row) {
                if is_free && how != "changed" {
                    continue;
                }
                let name = format!("{base}: {} {how}", row.path);
                let splice = Json::object([
                    ("input", Json::text(input)),
                    ("field", Json::text(&row.path)),
                    ("offset", Json::number(row.offset as i128)),
                    ("remove", Json::number(row.bytes.len() as i128)),
                    ("insert", Json::hex(&changed)),
                ]);
                let inputs = Json::object([("base", Json::text(base)), ("splice", splice)]);
                let expected = self.run(programme, check, &inputs);
                let verdict = expected.get("verdict").str();
                if is_free {
                    assert_eq!(verdict, "accept", "{}: {name}", self.name);
                } else {
                    assert_ne!(verdict, "accept", "{}: {name}", self.name);
                }
                let why = if is_free {
                    ("note", "nothing checked here depends on the field")
                } else if verdict == "refuse at decode" {
                    (
                        "rule",
                        "a point is canonical and not the identity, a scalar is below l, a value is in its range (3.1)",
                    )
                } else {
                    ("rule", rule(&row.path))
                };
                let expected = Json::object([("verdict", expected.get("verdict").clone()), (why.0, Json::text(why.1))]);
                self.push(&name, check, inputs, expected);
            }
        }
    }

    /// The file as JSON.
    pub fn json(&self) -> Json {
        let cases = self.cases.iter().map(|case| {
            Json::object([
                ("name", Json::text(&case.name)),
                ("check", Json::text(case.check)),
                ("inputs", case.inputs.clone()),
                ("expected", case.expected.clone()),
            ])
        });
        Json::object([
            ("description", Json::text(self.description)),
            ("spec", Json::text(self.spec)),
            ("cases", Json::list(cases)),
        ])
    }
}

/// Why a message with this field changed does not verify.
fn rule(path: &str) -> &'static str {
    let has = |part: &str| path.contains(part);
    if has("commitments[") && !has("offer") {
        "a commitment of a linear proof: its own equation, and the challenge (3.5)"
    } else if has("responses[") {
        "a response of a linear proof: the equations that it occurs in (3.5)"
    } else if has("range") {
        "the range proof (3.6), and what follows it in the transcript (4.3)"
    } else if has("values[") {
        "V is absorbed before the folding challenge, and is in equation (4) (4.3)"
    } else if has("serial") {
        "the serial is bound, and is in equation (2) (4.3)"
    } else if has("slots") {
        "the digest of the slots is bound (4.3)"
    } else if has("challenges") {
        "the challenges' digest is bound (5.3)"
    } else if has("answers") {
        "the answers are bound by the issuer's proof, and satisfy the equations of 5.2 (4.4, 5.3)"
    } else if has("sealed") {
        "rho and attributes are those of B (4.2)"
    } else if path == "lot" {
        "the lot is the ticket's, and of its kind (4.2, 6.4)"
    } else if has("signature") {
        "the signature (3.7)"
    } else if has("old[") || has("vouchers[") || has("voucher.") || has("shown") {
        "the voucher's equations (5.5), and the holder proof (7.2)"
    } else if has("round") {
        "the round is that of the version in force (6.3)"
    } else {
        "the field is bound by the proof's transcript"
    }
}

/// Other bytes in a field's place.
fn changes(row: &Row) -> Vec<(&'static str, Vec<u8>)> {
    let flipped = || {
        let mut bytes = row.bytes.clone();
        bytes[0] ^= 1;
        bytes
    };
    match row.form.as_str() {
        "32 bytes" => {
            let word: [u8; 32] = row.bytes.as_slice().try_into().expect("32 bytes");
            let mut changes = vec![("changed", change_word(word).unwrap_or_else(flipped))];
            if word != [0; 32] {
                changes.push(("zero", vec![0; 32]));
            }
            if bool::from(Scalar::from_canonical_bytes(word).is_some()) {
                changes.push(("plus l", plus_order(word)));
            }
            changes
        }
        "count" | "present" | "absent" | "string" => Vec::new(),
        form if form.starts_with("variant") => Vec::new(),
        "bool" => vec![("changed", vec![row.bytes[0] ^ 1])],
        form if form.starts_with("varint") || form.starts_with("zigzag") => vec![("changed", next_varint(&row.bytes))],
        _ => vec![("changed", flipped())],
    }
}

/// The point plus `G`, or the scalar plus 1.
fn change_word(word: [u8; 32]) -> Option<Vec<u8>> {
    if let Some(point) = CompressedRistretto(word).decompress().filter(|point| !point.is_identity()) {
        return Some((point + RistrettoPoint::mul_base(&Scalar::ONE)).compress().to_bytes().to_vec());
    }
    let scalar: Option<Scalar> = Scalar::from_canonical_bytes(word).into();
    scalar.map(|scalar| (scalar + Scalar::ONE).to_bytes().to_vec())
}

/// A canonical scalar plus the group order: the same scalar, not canonically encoded.
pub(super) fn plus_order(word: [u8; 32]) -> Vec<u8> {
    let order = hex::decode(ORDER).expect("a constant");
    let mut carry = 0u16;
    word.iter()
        .zip(order)
        .map(|(left, right)| {
            carry += u16::from(*left) + u16::from(right);
            let byte = carry.to_le_bytes()[0];
            carry >>= 8;
            byte
        })
        .collect()
}

/// The varint of the value plus one.
fn next_varint(bytes: &[u8]) -> Vec<u8> {
    let value = bytes.iter().rev().fold(0u128, |value, byte| value << 7 | u128::from(byte & 0x7f));
    crate::fields::varint(value + 1)
}
