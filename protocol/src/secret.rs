//! Secret values: redacted in `Debug`, zeroized on drop, never `Copy` (spec 3.3).

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    group::{PublicScalar, Scalar},
    registry,
    transcript::ByteStream,
};

/// A secret scalar. Serializes (canonically) only so that a wallet can keep it in its encrypted file.
pub struct SecretScalar(Scalar);

impl SecretScalar {
    pub(crate) fn new(scalar: Scalar) -> Self {
        Self(scalar)
    }

    /// A uniformly random non-zero scalar.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        loop {
            let mut wide = Zeroizing::new([0u8; 64]);
            rng.fill_bytes(&mut wide[..]);
            let scalar = Scalar::from_bytes_mod_order_wide(&wide);
            // Reveals only that a draw of probability 2^-252 happened.
            if scalar != Scalar::ZERO {
                return Self(scalar);
            }
        }
    }

    /// Borrows the scalar: the name marks every use of a secret.
    pub(crate) fn expose(&self) -> &Scalar {
        &self.0
    }

    /// A second copy, on purpose.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0)
    }
}

impl Drop for SecretScalar {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScalar(redacted)")
    }
}

impl Serialize for SecretScalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Zeroizing::new(self.0.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PublicScalar::deserialize(deserializer).map(|scalar| Self(scalar.0))
    }
}

/// 32 secret bytes: seeds and masters.
pub struct SecretBytes(Zeroizing<[u8; 32]>);

impl SecretBytes {
    /// Takes over 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// 32 fresh bytes.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        rng.fill_bytes(&mut bytes[..]);
        Self(bytes)
    }

    /// Borrows the bytes: the name marks every use of a secret.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second copy, on purpose.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(redacted)")
    }
}

/// Hedged randomness of a prover: derived from the secret, the statement and fresh bytes together, so that neither a broken
/// generator nor a repeated statement alone repeats a nonce (spec 3.3).
pub(crate) fn hedged<R: CryptoRng + ?Sized>(secrets: &[Scalar], statement: &[u8; 64], rng: &mut R) -> ByteStream {
    let mut fresh = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(&mut fresh[..]);
    let mut secret_bytes = Zeroizing::new(Vec::with_capacity(32 * secrets.len()));
    for secret in secrets {
        secret_bytes.extend_from_slice(secret.as_bytes());
    }
    ByteStream::new(registry::NONCE, &[&secret_bytes, statement, &fresh[..]])
}

/// Verifier's weights: 128-bit scalars from the operating system's randomness, fixed only after the batch is (spec 3.5).
pub struct Weights {
    stream: ByteStream,
    buffer: [u8; 1024],
    at: usize,
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weights(..)")
    }
}

impl Weights {
    /// Seeds a stream of weights. `rng` must be the operating system's: a verifier whose weights can be foreseen accepts
    /// forgeries.
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = [0u8; 32];
        rng.fill_bytes(&mut seed);
        Self { stream: ByteStream::new(registry::BATCH_WEIGHTS, &[&seed]), buffer: [0; 1024], at: 1024 }
    }

    /// An independent stream, for another thread.
    pub(crate) fn fork(&mut self) -> Self {
        let mut seed = [0u8; 32];
        self.stream.fill(&mut seed);
        Self { stream: ByteStream::new(registry::BATCH_WEIGHTS, &[&seed]), buffer: [0; 1024], at: 1024 }
    }

    /// The next 128-bit weight; zero with probability 2^-128.
    pub(crate) fn next(&mut self) -> Scalar {
        if self.at == self.buffer.len() {
            self.stream.fill(&mut self.buffer);
            self.at = 0;
        }
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&self.buffer[self.at..self.at + 16]);
        self.at += 16;
        Scalar::from(u128::from_le_bytes(bytes))
    }
}
