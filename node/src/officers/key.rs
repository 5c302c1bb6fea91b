//! An officer's signing key and its file.

use std::{fmt, path::Path};

use annona_protocol::signature::{self, PublicKey, Signature};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::keys::{KeyFileError, Passphrase, read_secret, write_secret};

/// An officer's Ed25519 key. Wiped on drop by the key type, redacted in `Debug`.
pub struct OfficerKey(SigningKey);

/// Tells an officer's key from other secrets.
const MAGIC: &[u8] = b"annona officer key 1\n";

impl OfficerKey {
    /// A fresh key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half, which the programme's file names in hexadecimal.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(&self.0)
    }

    /// Writes the key to a new file under a passphrase.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn save(&self, path: &Path, passphrase: &Passphrase, work_factor: u8) -> Result<(), KeyFileError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + 32));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(Zeroizing::new(self.0.to_bytes()).as_slice());
        write_secret(path, &bytes, passphrase, work_factor)
    }

    /// Reads a key's file.
    ///
    /// # Errors
    /// [`KeyFileError`]; [`KeyFileError::NotASecret`] for another kind of secret.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Self, KeyFileError> {
        let bytes = read_secret(path, passphrase)?;
        let seed = bytes.strip_prefix(MAGIC).and_then(|seed| <&[u8; 32]>::try_from(seed).ok());
        seed.map(|seed| Self(SigningKey::from_bytes(seed))).ok_or_else(|| KeyFileError::NotASecret(path.into()))
    }

    pub(super) fn sign(&self, tag: &'static str, message: &[u8]) -> Signature {
        signature::sign(tag, message, &self.0)
    }
}

impl fmt::Debug for OfficerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfficerKey({:?}, redacted)", self.public())
    }
}
