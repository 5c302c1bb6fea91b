//! The nonce rule: a session is never written down.

use annona_protocol::voucher::SigningSession;
use serde::Serialize;

fn store(session: SigningSession) {
    let _stored = session.serialize(serde_json::value::Serializer);
}

fn main() {}
