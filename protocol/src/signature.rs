//! Ed25519 signatures of officers, sites and the issuer over tagged messages (spec 3.7).
//!
//! Signed bytes: `"annona v1 signature" || 0x00 || tag || 0x00 || message`. Tags contain no zero byte. Verification is strict
//! (RFC 8032, canonical, no small-order keys). Checkpoints are signed notes of their own (`log::note`).

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The public key of a signing key.
    pub fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }

    /// Whether the bytes are a usable key: the canonical encoding of a point that is not of small order.
    pub fn is_valid(&self) -> bool {
        is_canonical(&self.0) && VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}

/// Whether the encoded y is below the field's modulus 2^255 - 19. Decompression accepts a second encoding of the same key.
pub(crate) fn is_canonical([low, middle @ .., high]: &[u8; 32]) -> bool {
    *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    r: [u8; 32],
    s: [u8; 32],
}

/// A signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct BadSignature;

fn tagged(tag: &'static str, message: &[u8]) -> Vec<u8> {
    [b"annona v1 signature\0", tag.as_bytes(), b"\0", message].concat()
}

/// Signs a message under a tag of [`crate::registry::tag`].
pub fn sign(tag: &'static str, message: &[u8], key: &SigningKey) -> Signature {
    let bytes = key.sign(&tagged(tag, message)).to_bytes();
    let (mut r, mut s) = ([0; 32], [0; 32]);
    r.copy_from_slice(&bytes[..32]);
    s.copy_from_slice(&bytes[32..]);
    Signature { r, s }
}

/// Verifies a signature under a tag.
///
/// # Errors
/// [`BadSignature`]: wrong key, tag, message or signature, or a key that is not one.
pub fn verify(tag: &'static str, message: &[u8], key: &PublicKey, signature: &Signature) -> Result<(), BadSignature> {
    if !is_canonical(&key.0) {
        return Err(BadSignature);
    }
    let key = VerifyingKey::from_bytes(&key.0).map_err(|_| BadSignature)?;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&signature.r);
    bytes[32..].copy_from_slice(&signature.s);
    key.verify_strict(&tagged(tag, message), &ed25519_dalek::Signature::from_bytes(&bytes)).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tag;

    #[test]
    fn tag_key_and_message_are_bound() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::of(&key);
        let signature = sign(tag::QUOTE, b"message", &key);
        assert_eq!(verify(tag::QUOTE, b"message", &public, &signature), Ok(()));
        assert_eq!(verify(tag::RECEIPT, b"message", &public, &signature), Err(BadSignature));
        assert_eq!(verify(tag::QUOTE, b"massage", &public, &signature), Err(BadSignature));
        let other = PublicKey::of(&SigningKey::from_bytes(&[8; 32]));
        assert_eq!(verify(tag::QUOTE, b"message", &other, &signature), Err(BadSignature));
        assert_eq!(verify(tag::QUOTE, b"message", &PublicKey([0; 32]), &signature), Err(BadSignature));
        assert!(!PublicKey([0; 32]).is_valid() && public.is_valid());
    }

    /// y = 3 is a point of large order; its second encoding is 2^255 - 19 + 3 and decompresses in the library.
    #[test]
    fn a_second_encoding_of_a_key_is_refused() {
        let (mut low, mut high) = ([0; 32], [0xff; 32]);
        (low[0], high[0], high[31]) = (3, 0xf0, 0x7f);
        assert!(PublicKey(low).is_valid());
        assert!(VerifyingKey::from_bytes(&high).is_ok_and(|key| !key.is_weak()) && !PublicKey(high).is_valid());
    }
}
