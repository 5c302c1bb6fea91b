//! What the QR code of a recovery envelope says: the words' seed on paper, with where to use it (spec 10.1).
//!
//! ```text
//! ANNONA1/R/<52 characters: seed>/<52 characters: programme id>/HTTPS://AID.EXAMPLE.ORG:8443
//! ```
//!
//! Written as a ticket slip is: Crockford's base 32, the alphabet of QR codes' alphanumeric mode, one text for an envelope.

use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    ids::ProgrammeId,
    secret::SecretBytes,
    ticket::slip::{decode, decode_origin, encode, encode_origin},
};

const PREFIX: &str = "ANNONA1/R/";

/// A recovery envelope: who has it can take the wallet back, and read what it asked the issuer for.
#[derive(Debug)]
pub struct Envelope {
    /// What the words stand for.
    pub seed: SecretBytes,
    /// The programme.
    pub programme: ProgrammeId,
    /// The issuer's origin, as on a [`TicketSlip`](crate::ticket::TicketSlip).
    pub server: Option<String>,
}

/// Why a text is no recovery envelope, or an envelope has no text. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Another kind of code.
    #[error("this is not the code of a recovery envelope: scan the square code in the envelope")]
    NotAnEnvelope,
    /// A part is missing, too long, or has characters that it cannot have.
    #[error("the envelope's code is damaged: scan it again, or type the 24 words")]
    Damaged,
    /// The server is not an origin.
    #[error("the server is not an address such as https://aid.example.org:8443: give it without a path")]
    Server,
}

impl Envelope {
    /// The text for the QR code.
    ///
    /// # Errors
    /// [`EnvelopeError::Server`].
    pub fn to_qr(&self) -> Result<Zeroizing<String>, EnvelopeError> {
        // Room for the longest server, so that no copy is left behind.
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str(PREFIX);
        encode(self.seed.expose(), &mut text);
        text.push('/');
        encode(&self.programme.0, &mut text);
        if let Some(server) = &self.server {
            encode_origin(server, &mut text).map_err(|()| EnvelopeError::Server)?;
        }
        Ok(text)
    }

    /// Reads exactly what [`Envelope::to_qr`] writes.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let rest = text.strip_prefix(PREFIX).ok_or(EnvelopeError::NotAnEnvelope)?;
        let mut parts = rest.splitn(3, '/');
        let mut seed = decode::<32>(parts.next()).ok_or(EnvelopeError::Damaged)?;
        let kept = SecretBytes::new(seed);
        seed.zeroize();
        let programme = ProgrammeId(decode(parts.next()).ok_or(EnvelopeError::Damaged)?);
        let server = parts.next().map(decode_origin).transpose().map_err(|()| EnvelopeError::Server)?;
        Ok(Self { seed: kept, programme, server })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_one_text() {
        for server in [None, Some("https://aid.example.org:8443".to_owned())] {
            let programme = ProgrammeId([0xa5; 32]);
            let envelope = Envelope { seed: SecretBytes::new([7; 32]), programme, server: server.clone() };
            let text = envelope.to_qr().unwrap();
            let read = Envelope::parse(&text).unwrap();
            assert_eq!((read.seed.expose(), read.programme, &read.server), (&[7; 32], programme, &server));
            assert!(text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase() || "/:.-".contains(c)));
            for changed in [text.to_ascii_lowercase(), format!("{}/", *text), text[..text.len() / 3].to_owned()] {
                assert!(Envelope::parse(&changed).is_err());
            }
        }
        assert_eq!(Envelope::parse("ANNONA1/E/9X4C0TQA3ZK7VE2M").unwrap_err(), EnvelopeError::NotAnEnvelope);
        let elsewhere = Envelope {
            seed: SecretBytes::new([7; 32]),
            programme: ProgrammeId::default(),
            server: Some("https://aid.example.org/path".into()),
        };
        assert_eq!(elsewhere.to_qr().unwrap_err(), EnvelopeError::Server);
    }
}
