//! Vouchers, swaps, and what happens at a site.

use annona_protocol::{
    hazmat::vectors as hazmat,
    ids::{SiteId, Slot},
    log::leaf::OwedLeaf,
    programme::Programme,
    redeem::{BearerVoucher, CollectRequest, Counter, RedeemRequest, Refusal, Surrender, VerifiedVisit, VoidRequest},
    slip::{Place, Quote},
    swap::{SwapContext, SwapRequest, SwapResponse},
    voucher::{LoggedVoucher, Mark, PreparedKey, ShownVoucher},
};
use curve25519_dalek::{ristretto::CompressedRistretto, ristretto::RistrettoPoint, scalar::Scalar};

use super::{accept, context, message, refuse, refuse_decode, traced, verifier, view};
use crate::{fields::tree, json::Json};

pub(super) fn evaluate(programme: &Programme, check: &str, inputs: &Json) -> Option<Json> {
    let result = match check {
        "blind" => Some(blind(inputs)),
        "unblind" => Some(unblind(inputs)),
        "voucher" => voucher(programme, inputs),
        "voucher batch" => batch(programme, inputs),
        "swap request" => swap_request(programme, inputs),
        "swap response" => swap_response(programme, inputs),
        "redeem request" | "printed voucher" => redeem(programme, check, inputs),
        "void request" => void(programme, inputs),
        "collect request" => collect(programme, inputs),
        "surrender" => surrender(programme, inputs),
        _ => return None,
    };
    Some(result.unwrap_or_else(refuse_decode))
}

/// The equations of spec 5.2 on the curve library alone.
fn blind(inputs: &Json) -> Json {
    let point = |name: &str| decompress(inputs.get(name)).expect("a point");
    let scalar = |name: &str| decode(inputs.get(name)).expect("a scalar");
    let (y, g) = (point("Y") * scalar("g"), scalar("g"));
    let r = RistrettoPoint::mul_base(&scalar("r1")) + point("R") * g + y * scalar("r2");
    let holder = RistrettoPoint::mul_base(&scalar("p"));
    let encode = |point: RistrettoPoint| point.compress().to_bytes();
    let input = [inputs.get("X").array(), encode(r), encode(y), encode(holder)].concat();
    let wide = hazmat::hash_wide(context("annona v1 voucher challenge"), &input);
    let challenge = Scalar::from_bytes_mod_order_wide(&wide);
    Json::object([
        ("P", Json::hex(encode(holder))),
        ("R'", Json::hex(encode(r))),
        ("Y'", Json::hex(encode(y))),
        ("hashed for c'", Json::hex(&input)),
        ("c'", Json::hex(challenge.as_bytes())),
        ("c", Json::hex((challenge + scalar("r2")).as_bytes())),
    ])
}

fn decompress(json: &Json) -> Option<RistrettoPoint> {
    CompressedRistretto(json.array()).decompress()
}

fn decode(json: &Json) -> Option<Scalar> {
    Scalar::from_canonical_bytes(json.array()).into()
}

fn unblind(inputs: &Json) -> Json {
    let point = |name: &str| decompress(inputs.get(name)).expect("a point");
    let scalar = |name: &str| decode(inputs.get(name)).expect("a scalar");
    let (s, y) = (scalar("s"), scalar("y"));
    let holds = y != Scalar::ZERO
        && point("Y") == point("X") * y
        && RistrettoPoint::mul_base(&s) == point("R") + point("Y") * scalar("c");
    if !holds {
        return refuse();
    }
    accept([
        ("s'", Json::hex((scalar("g") * s + scalar("r1")).as_bytes())),
        ("y'", Json::hex((scalar("g") * y).as_bytes())),
    ])
}

fn voucher(programme: &Programme, inputs: &Json) -> Option<Json> {
    let shown: ShownVoucher = postcard::from_bytes(&inputs.get("voucher").bytes()).ok()?;
    let view = view(programme, inputs);
    let Some(entry) = view.key(shown.key) else { return Some(refuse()) };
    let (result, hashed) = traced(|| PreparedKey::new(entry).verify(&shown));
    Some(match result {
        Ok(logged) => accept([
            ("fields", tree(&shown).json()),
            ("X", Json::hex(entry.key.as_bytes())),
            ("Y'", Json::hex(logged.y_point.0)),
            ("hashed", hashed),
        ]),
        Err(_) => refuse(),
    })
}

fn batch(programme: &Programme, inputs: &Json) -> Option<Json> {
    let vouchers = inputs.get("vouchers").items().iter().map(|bytes| postcard::from_bytes(&bytes.bytes()).ok());
    let vouchers = vouchers.collect::<Option<Vec<LoggedVoucher>>>()?;
    let holds = hazmat::verify_vouchers(&view(programme, inputs), &vouchers, &mut verifier());
    Some(if holds { accept([]) } else { refuse() })
}

fn swap_request(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: SwapRequest = message(inputs, "request")?;
    let keys = super::basics::key_counts(inputs);
    let session = super::shows::session(inputs, &keys).flatten().expect("the issuer's own");
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| request.verify(&view, &session));
    Some(match result {
        Ok(verified) => accept([("marks", Json::list(verified.marks().map(|mark| json(&mark)))), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn swap_response(programme: &Programme, inputs: &Json) -> Option<Json> {
    let context: SwapContext = message(inputs, "context").expect("the wallet's own");
    let response: SwapResponse = message(inputs, "response")?;
    Some(match context.finish(&view(programme, inputs), &response) {
        Ok(vouchers) => accept([("vouchers", Json::list(vouchers.iter().map(|voucher| tree(voucher).json())))]),
        Err(_) => refuse(),
    })
}

fn json(mark: &Mark) -> Json {
    tree(mark).json()
}

fn counter<'a>(programme: &'a Programme, inputs: &Json) -> Counter<'a> {
    let view = view(programme, inputs);
    let place = Place::new(&view, SiteId(inputs.get("site").integer()));
    let slots = inputs.get("slots").items().iter().map(|slot| Slot(slot.integer())).collect();
    Counter::new(view, place, slots)
}

fn visited(result: Result<VerifiedVisit, Refusal>, hashed: Json) -> Json {
    match result {
        Ok(visit) => {
            let units = visit.units().iter().map(|(line, units)| [Json::number(line.0), Json::number(units.0)]);
            accept([
                ("marks", Json::list(visit.marks().map(|mark| json(&mark)))),
                ("units by line", Json::list(units.map(Json::list))),
                ("hashed", hashed),
            ])
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Json {
    refuse()
        .with("code", Json::text(refusal.code.code()))
        .with("marks at fault", Json::list(refusal.marks.iter().map(json)))
}

fn redeem(programme: &Programme, check: &str, inputs: &Json) -> Option<Json> {
    let quote: Quote = message(inputs, "quote")?;
    let counter = counter(programme, inputs);
    Some(if check == "printed voucher" {
        let bearer: BearerVoucher = message(inputs, "sheet")?;
        let (result, hashed) = traced(|| counter.verify_bearer(&quote, &bearer));
        visited(result, hashed)
    } else {
        let request: RedeemRequest = message(inputs, "request")?;
        let (result, hashed) = traced(|| counter.verify(&quote, &request));
        visited(result, hashed)
    })
}

fn void(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: VoidRequest = message(inputs, "request")?;
    let counter = counter(programme, inputs);
    let (result, hashed) = traced(|| counter.verify_void(&request));
    Some(match result {
        Ok(_) => accept([("hashed", hashed)]),
        Err(refusal) => refused(&refusal),
    })
}

fn collect(programme: &Programme, inputs: &Json) -> Option<Json> {
    let request: CollectRequest = message(inputs, "request")?;
    let owed: OwedLeaf = postcard::from_bytes(&inputs.get("owed leaf").bytes()).ok()?;
    let place = Place::new(&view(programme, inputs), SiteId(inputs.get("site").integer()));
    let (result, hashed) = traced(|| request.verify(&place, &owed));
    Some(match result {
        Ok(leaf) => accept([("collected leaf", super::basics::bare(&leaf)), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}

fn surrender(programme: &Programme, inputs: &Json) -> Option<Json> {
    let surrender: Surrender = message(inputs, "surrender")?;
    let view = view(programme, inputs);
    let (result, hashed) = traced(|| surrender.verify(&view));
    Some(match result {
        Ok(mark) => accept([("mark", json(&mark)), ("hashed", hashed)]),
        Err(_) => refuse(),
    })
}
