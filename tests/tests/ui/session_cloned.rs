//! The nonce rule: there is no second copy of a session.

use annona_protocol::voucher::SigningSession;

fn copy(session: SigningSession) {
    let _second = session.clone();
}

fn main() {}
