//! The nonce rule: answering consumes the session.

use annona_protocol::voucher::SigningSession;

fn twice(session: SigningSession) {
    let _first = session.answer(&[]);
    let _second = session.answer(&[]);
}

fn main() {}
