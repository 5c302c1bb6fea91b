//! What a verifier makes of a vector's inputs: verdict and every intermediate value, by the library alone.
//!
//! The generator fills in `expected` with it, and the test that reads the files back calls it again on what it read.

mod audits;
mod basics;
mod logs;
mod shows;
mod vouchers;

use annona_protocol::{
    hazmat::vectors::{Event, record},
    programme::{InForce, Programme},
    registry,
    wire::Message,
};
use rand_chacha::ChaCha20Rng;

use crate::json::Json;

/// Carries out a named check.
///
/// # Panics
/// For an unknown check, or inputs that lack what the check needs.
pub fn evaluate(programme: &Programme, check: &str, inputs: &Json) -> Json {
    basics::evaluate(programme, check, inputs)
        .or_else(|| shows::evaluate(programme, check, inputs))
        .or_else(|| vouchers::evaluate(programme, check, inputs))
        .or_else(|| logs::evaluate(programme, check, inputs))
        .or_else(|| audits::evaluate(check, inputs))
        .unwrap_or_else(|| panic!("unknown check {check}"))
}

/// Accepted, with what the verifier computed.
pub(crate) fn accept<const N: usize>(values: [(&str, Json); N]) -> Json {
    let Json::Object(mut members) = Json::object([("verdict", Json::text("accept"))]) else { unreachable!() };
    members.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Json::Object(members)
}

/// Refused because the bytes are no message.
pub(crate) fn refuse_decode() -> Json {
    Json::object([("verdict", Json::text("refuse at decode"))])
}

/// Decoded and refused.
pub(crate) fn refuse() -> Json {
    Json::object([("verdict", Json::text("refuse at verification"))])
}

/// The verifier's generator. A real one takes the operating system's: whoever foresees the weights can forge.
fn verifier() -> ChaCha20Rng {
    crate::life::rng("verifier")
}

/// Runs `action` and returns what was hashed meanwhile, as JSON.
pub(crate) fn traced<T>(action: impl FnOnce() -> T) -> (T, Json) {
    let (result, events) = record(action);
    let events = events.into_iter().filter_map(|event| match event {
        // The header's hash is a vector of its own and its input long.
        Event::Hash { context, .. } if context == registry::MANIFEST => None,
        Event::Hash { context, input, output } => Some(Json::object([
            ("hash", Json::text(context)),
            ("input", Json::hex(input)),
            ("output", Json::hex(output)),
        ])),
        Event::Transcript { context, items } => {
            let items = items.into_iter().map(|item| match item.output {
                None => Json::object([("label", Json::text(item.label)), ("bytes", Json::hex(item.bytes))]),
                Some(output) => Json::object([("label", Json::text(item.label)), ("challenge", Json::hex(output))]),
            });
            Some(Json::object([("transcript", Json::text(context)), ("items", Json::list(items))]))
        }
    });
    (result, Json::list(events))
}

/// Decodes a message among the inputs.
pub(crate) fn message<M: Message>(inputs: &Json, name: &str) -> Option<M> {
    M::decode(&inputs.get(name).bytes()).ok()
}

/// The view that the inputs name.
pub(crate) fn view<'a>(programme: &'a Programme, inputs: &Json) -> InForce<'a> {
    let round = annona_protocol::ids::Round(inputs.get("round").integer());
    programme.in_force(round).expect("rounds 1 to 3 of the example are open")
}

/// The registry's constant of a context.
pub(crate) fn context(name: &str) -> &'static str {
    registry::CONTEXTS.iter().find(|(_, context)| *context == name).expect("a context of the registry").1
}
