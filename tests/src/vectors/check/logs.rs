//! Signatures, cohorts, trees, batches, notes, logs, receipts.

use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    draw::SessionGone,
    group::Point,
    hazmat::vectors as hazmat,
    ids::Round,
    log::{
        self,
        leaf::{IssuerLeaf, Leaf, SiteLeaf, close_batch},
        merkle::{self, TreeHash},
        note::{Checkpoint, VerifierKey, verify_checkpoint},
    },
    programme::Programme,
    registry::tag,
    signature::{self, PublicKey, Signature},
    slip::{OpeningPack, OwedSlip, Quote, Receipt, RefusalSlip, Signed, SiteStatement, Slip, VoidSlip},
    wire::Message,
};
use curve25519_dalek::{ristretto::CompressedRistretto, ristretto::RistrettoPoint, traits::Identity as _};

use super::{accept, message, refuse, refuse_decode, traced, verifier, view};
use crate::{fields::tree, json::Json};

pub(super) fn evaluate(programme: &Programme, check: &str, inputs: &Json) -> Option<Json> {
    let result = match check {
        "signature" => Some(plain(inputs)),
        "signed" => signed(inputs),
        "session gone" => session_gone(programme, inputs),
        "pack digest" => {
            message::<OpeningPack>(inputs, "message").map(|pack| Json::object([("digest", Json::hex(pack.digest().0))]))
        }
        "cohort opening" => cohort(programme, inputs),
        "tree" => {
            let leaves: Vec<TreeHash> =
                inputs.get("entries").items().iter().map(|entry| merkle::leaf_hash(&entry.bytes())).collect();
            Some(Json::object([
                ("leaf hashes", Json::list(leaves.iter().map(|leaf| Json::hex(leaf.0)))),
                ("root", Json::hex(merkle::root(&leaves).0)),
            ]))
        }
        "inclusion" => {
            let leaf = TreeHash(inputs.get("leaf hash").array());
            Some(super::basics::inclusion(inputs, &leaf, inputs.get("size").integer()))
        }
        "consistency" => Some(consistency(inputs)),
        "batch" => Some(batch(inputs)),
        "checkpoint" => Some(checkpoint(inputs)),
        "log" => Some(files(inputs)),
        "inclusion proof" => kept(programme, inputs),
        "omission proof" => broken(programme, inputs),
        _ => return None,
    };
    Some(result.unwrap_or_else(refuse_decode))
}

fn plain(inputs: &Json) -> Json {
    let name = inputs.get("tag").str();
    let tag = tag::ALL.iter().find(|tag| **tag == name).expect("a tag of the registry");
    let (key, content) = (PublicKey(inputs.get("key").array()), inputs.get("content").bytes());
    let signature: Signature = postcard::from_bytes(&inputs.get("signature").bytes()).expect("64 bytes");
    match signature::verify(tag, &content, &key, &signature) {
        Ok(()) => accept([("signed bytes", Json::hex(signed_bytes(tag, &content)))]),
        Err(_) => refuse(),
    }
}

/// Spec 3.7.
fn signed_bytes(tag: &str, content: &[u8]) -> Vec<u8> {
    [b"annona v1 signature\0", tag.as_bytes(), b"\0", content].concat()
}

fn signed(inputs: &Json) -> Option<Json> {
    match inputs.get("kind").str() {
        "QUOTE" => slip::<Quote, _>(inputs, Signed::verify),
        "RECEIPT" => slip::<Receipt, _>(inputs, Signed::verify),
        "REFUSAL" => slip::<RefusalSlip, _>(inputs, Signed::verify),
        "OWED_SLIP" => slip::<OwedSlip, _>(inputs, Signed::verify),
        "VOID_SLIP" => slip::<VoidSlip, _>(inputs, Signed::verify),
        "STATEMENT" => slip::<SiteStatement, _>(inputs, Signed::verify),
        _ => slip::<OpeningPack, _>(inputs, Signed::verify),
    }
}

fn slip<M: Message, T: Slip + 'static>(
    inputs: &Json,
    verify: impl for<'a> Fn(&'a M, &PublicKey) -> Result<&'a T, annona_protocol::signature::BadSignature>,
) -> Option<Json> {
    let slip: M = message(inputs, "message")?;
    Some(match verify(&slip, &PublicKey(inputs.get("key").array())) {
        Ok(content) => {
            let content = tree(content).bytes();
            accept([("tag", Json::text(T::TAG)), ("signed bytes", Json::hex(signed_bytes(T::TAG, &content)))])
        }
        Err(_) => refuse(),
    })
}

fn session_gone(programme: &Programme, inputs: &Json) -> Option<Json> {
    let gone: SessionGone = message(inputs, "message")?;
    let content = tree(&(gone.programme, gone.session, gone.serial)).bytes();
    Some(match gone.verify(&view(programme, inputs)) {
        Ok(()) => accept([("signed bytes", Json::hex(signed_bytes(tag::SESSION_GONE, &content)))]),
        Err(_) => refuse(),
    })
}

fn cohort(programme: &Programme, inputs: &Json) -> Option<Json> {
    let Some(IssuerLeaf::Freeze(freeze)) = message::<IssuerLeaf>(inputs, "leaf") else { return None };
    let opening = freeze.openings.first()?;
    let members = inputs.get("M").items().iter().map(|point| CompressedRistretto(point.array()).decompress());
    let sum = members.collect::<Option<Vec<_>>>()?.into_iter().fold(RistrettoPoint::identity(), |sum, m| sum + m);
    let total = Point::decode(sum.compress().to_bytes()).ok()?;
    let header = super::basics::header_of(programme, inputs);
    let (holds, hashed) = traced(|| hazmat::verify_opening(programme, header, opening, total, &mut verifier()));
    Some(if holds {
        accept([("opening", tree(opening).json()), ("sum of M", Json::hex(total.as_bytes())), ("hashed", hashed)])
    } else {
        refuse()
    })
}

fn hashes(json: &Json) -> Vec<TreeHash> {
    json.items().iter().map(|hash| TreeHash(hash.array())).collect()
}

fn consistency(inputs: &Json) -> Json {
    let (old, new) = (TreeHash(inputs.get("old root").array()), TreeHash(inputs.get("new root").array()));
    let sizes = (inputs.get("old size").integer(), inputs.get("new size").integer());
    match merkle::verify_consistency(sizes.0, &old, sizes.1, &new, &hashes(inputs.get("path"))) {
        Ok(()) => accept([]),
        Err(_) => refuse(),
    }
}

fn batch(inputs: &Json) -> Json {
    if inputs.get("log").str() == "issuer" { closed::<IssuerLeaf>(inputs) } else { closed::<SiteLeaf>(inputs) }
}

fn closed<L: Leaf>(inputs: &Json) -> Json {
    let events: Vec<L> =
        inputs.get("events").items().iter().map(|leaf| L::decode(&leaf.bytes()).expect("a leaf")).collect();
    let (number, round) = (inputs.get("number").integer(), Round(inputs.get("round").integer()));
    let entries = close_batch(&events, number, round, inputs.get("start").integer());
    let entry = |entry: &Vec<u8>| {
        Json::object([("entry", Json::hex(entry)), ("leaf hash", Json::hex(merkle::leaf_hash(entry).0))])
    };
    Json::object([("entries", Json::list(entries.iter().map(entry)))])
}

fn checkpoint(inputs: &Json) -> Json {
    let key = |json: &Json| json.str().parse::<VerifierKey>().ok();
    let witnesses: Option<Vec<_>> = inputs.get("witnesses").items().iter().map(key).collect();
    let (Some(log), Some(witnesses)) = (key(inputs.get("log key")), witnesses) else { return refuse_decode() };
    let threshold = inputs.get("threshold").integer();
    match verify_checkpoint(inputs.get("note").str().as_bytes(), &log, &witnesses, threshold) {
        Ok(verified) => accept([
            ("origin", Json::text(verified.checkpoint().origin())),
            ("size", Json::number(verified.checkpoint().size())),
            ("root", Json::hex(verified.checkpoint().root().0)),
            ("log signs", Json::text(verified.note().text())),
            (
                "cosignatures",
                Json::list(verified.cosignatures().iter().map(|cosignature| {
                    let text = format!("cosignature/v1\ntime {}\n{}", cosignature.time, verified.note().text());
                    Json::object([
                        ("witness", Json::text(cosignature.witness.to_string())),
                        ("time", Json::number(cosignature.time)),
                        ("witness signs", Json::text(text)),
                    ])
                })),
            ),
        ]),
        Err(_) => refuse(),
    }
}

fn files(inputs: &Json) -> Json {
    let files: Vec<(String, Vec<u8>)> = inputs
        .get("files")
        .items()
        .iter()
        .map(|file| (file.get("path").str().to_owned(), file.get("content").bytes()))
        .collect();
    let fetch = |path: &str| files.iter().find(|file| file.0 == path).map(|file| file.1.clone());
    match log::tile::read_log(fetch, inputs.get("size").integer()) {
        Ok(contents) => accept([
            ("root", Json::hex(contents.root.0)),
            ("entries", Json::list(contents.entries.iter().map(Json::hex))),
        ]),
        Err(_) => refuse(),
    }
}

fn checkpoint_of(inputs: &Json) -> Checkpoint {
    let root = TreeHash(inputs.get("root").array());
    Checkpoint::new(inputs.get("origin").str(), inputs.get("size").integer(), root).expect("an origin")
}

fn kept(programme: &Programme, inputs: &Json) -> Option<Json> {
    let proof: Inclusion = message(inputs, "proof")?;
    Some(match proof.verify(programme.latest(), &checkpoint_of(inputs)) {
        Ok(()) => accept([("proof", tree(&proof).json())]),
        Err(_) => refuse(),
    })
}

fn broken(programme: &Programme, inputs: &Json) -> Option<Json> {
    let proof: Omission = message(inputs, "proof")?;
    Some(match proof.verify(programme.latest(), &checkpoint_of(inputs)) {
        Ok(()) => accept([("proof", tree(&proof).json())]),
        Err(_) => refuse(),
    })
}
