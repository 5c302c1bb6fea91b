//! Enrol, roll-over, draw, amend: requests, responses, leaves.

use annona_protocol::{
    credential::{Credential, IssuerKey},
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    hazmat::vectors as hazmat,
    ids::KeyIndex,
    log::leaf::{IssuerLeaf, Leaf as _},
    programme::Programme,
    voucher::{SessionOffer, SigningSession, Voucher},
};

use super::{accept, message, refuse, refuse_decode, traced, verifier, view};
use crate::{fields::tree, json::Json};

pub(super) fn evaluate(programme: &Programme, check: &str, inputs: &Json) -> Option<Json> {
    let result = match check {
        "enrol request" => enrol_request(programme, inputs),
        "enrol response" => enrol_response(programme, inputs),
        "roll-over request" => roll_over_request(programme, inputs),
        "roll-over response" => roll_over_response(programme, inputs),
        "draw request" => draw_request(programme, inputs),
        "draw response" => draw_response(programme, inputs),
        "amend request" => amend_request(programme, inputs),
        "amend response" => amend_response(programme, inputs),
        "enrol leaf" | "roll-over leaf" | "draw leaf" | "amend leaf" | "swap leaf" => leaf(programme, check, inputs),
        _ => return None,
    };
    Some(result.unwrap_or_else(refuse_decode))
}

fn issuer(inputs: &Json) -> IssuerKey {
    IssuerKey::from_bytes(&inputs.get("issuer secret").array()).expect("a key")
}

fn credential(credential: &Credential) -> Json {
    tree(credential).json()
}

fn vouchers(vouchers: &[Voucher]) -> Json {
    Json::list(vouchers.iter().map(|voucher| tree(voucher).json()))
}

/// An open session as a verifier needs it: the offer, and the keys that it was opened for.
pub(super) fn session(inputs: &Json, keys: &[(KeyIndex, u32)]) -> Option<Option<SigningSession>> {
    if inputs.get("offer") == &Json::Null {
        return Some(None);
    }
    let offer: SessionOffer = message(inputs, "offer")?;
    Some(Some(SigningSession::verifying_only(offer, keys.to_vec())))
}

fn enrol_request(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: EnrolRequest = message(inputs, "request")?;
    let (result, hashed) = traced(|| request.verify(programme, &mut verifier()));
    Some(match result {
        Ok(verified) => accept([("ticket hash", Json::hex(verified.ticket().0)), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn enrol_response(programme: &Programme, inputs: &Json) -> Option<Json> {
    let context: EnrolContext = message(inputs, "context").expect("the wallet's own");
    let response: EnrolResponse = message(inputs, "response")?;
    let (result, hashed) = traced(|| context.finish(programme, &response, &mut verifier()));
    Some(match result {
        Ok(done) => accept([("credential", credential(&done)), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn roll_over_request(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: RollOverRequest = message(inputs, "request")?;
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| request.verify(&view, &issuer(inputs), &mut verifier()));
    Some(match result {
        Ok(verified) => accept([("serial", Json::hex(verified.serial().0.as_bytes())), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn roll_over_response(programme: &Programme, inputs: &Json) -> Option<Json> {
    let context: RollOverContext = message(inputs, "context").expect("the wallet's own");
    let response: RollOverResponse = message(inputs, "response")?;
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| context.finish(&view, &response, &mut verifier()));
    Some(match result {
        Ok(done) => accept([("credential", credential(&done)), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn draw_request(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: DrawRequest = message(inputs, "request")?;
    let keys = super::basics::key_counts(inputs);
    let session = session(inputs, &keys).expect("the issuer's own");
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| request.verify(&view, &issuer(inputs), session.as_ref(), &mut verifier()));
    Some(match result {
        Ok(verified) => accept([("serial", Json::hex(verified.serial().0.as_bytes())), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn draw_response(programme: &Programme, inputs: &Json) -> Option<Json> {
    let context: DrawContext = message(inputs, "context").expect("the wallet's own");
    let response: DrawResponse = message(inputs, "response")?;
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| context.finish(&view, &response, &mut verifier()));
    Some(match result {
        Ok((done, drawn)) => {
            accept([("credential", credential(&done)), ("vouchers", vouchers(&drawn)), ("hashed", hashed)])
        }
        Err(_) => refuse(),
    })
}

fn amend_request(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: AmendRequest = message(inputs, "request")?;
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| request.verify(&view, &issuer(inputs), &mut verifier()));
    Some(match result {
        Ok(verified) => accept([
            ("serial", Json::hex(verified.serial().0.as_bytes())),
            ("ticket hash", Json::hex(verified.ticket().0)),
            ("hashed", hashed),
        ]),
        Err(_) => refuse(),
    })
}

fn amend_response(programme: &Programme, inputs: &Json) -> Option<Json> {
    let context: AmendContext = message(inputs, "context").expect("the wallet's own");
    let response: AmendResponse = message(inputs, "response")?;
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| context.finish(&view, &response, &mut verifier()));
    Some(match result {
        Ok(done) => accept([("credential", credential(&done)), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn leaf(programme: &Programme, check: &str, inputs: &Json) -> Option<Json> {
    let leaf: IssuerLeaf = message(inputs, "leaf")?;
    let rng = &mut verifier();
    let (holds, hashed) = traced(|| match (check, &leaf) {
        ("enrol leaf", IssuerLeaf::Enrol(leaf)) => hazmat::verify_enrol(programme, leaf, rng),
        ("roll-over leaf", IssuerLeaf::RollOver(leaf)) => hazmat::verify_roll_over(&view(programme, inputs), leaf, rng),
        ("draw leaf", IssuerLeaf::Draw(leaf)) => hazmat::verify_draw(&view(programme, inputs), leaf, rng),
        ("amend leaf", IssuerLeaf::Amend(leaf)) => hazmat::verify_amend(&view(programme, inputs), leaf, rng),
        ("swap leaf", IssuerLeaf::Swap(leaf)) => hazmat::verify_swap(&view(programme, inputs), leaf, rng),
        _ => false,
    });
    Some(if holds { accept([("leaf hash", Json::hex(leaf.tree_hash().0)), ("hashed", hashed)]) } else { refuse() })
}
