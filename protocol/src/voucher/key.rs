//! Voucher keys: one independent pair for each `k`, derived from a round master that is erased at the round's close (spec 5.1).
//!
//! Independent keys, never tweaks of one key: a tweak would let a holder convert a voucher of one key into another's.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    group::{self, Point, Scalar},
    programme::{KeyEntry, KeyId},
    registry,
    secret::{SecretBytes, SecretScalar},
    transcript,
};

/// The secret from which all voucher keys of a round derive.
#[derive(Debug)]
pub struct RoundMaster {
    master: SecretBytes,
    nonce: [u8; 32],
}

/// The secret key `x_k` of one `k`, with its public half.
#[derive(Debug)]
pub struct VoucherSecret {
    pub(crate) x: SecretScalar,
    entry: KeyEntry,
}

impl RoundMaster {
    /// A fresh master.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self { master: SecretBytes::random(rng), nonce }
    }

    /// Reads a stored master: 32 secret bytes, 32 bytes of nonce.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut master, mut nonce) = (Zeroizing::new([0; 32]), [0; 32]);
        master.copy_from_slice(&bytes[..32]);
        nonce.copy_from_slice(&bytes[32..]);
        Self { master: SecretBytes::new(*master), nonce }
    }

    /// The master's 64 bytes, for an encrypted store.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(self.master.expose());
        bytes[32..].copy_from_slice(&self.nonce);
        bytes
    }

    /// `x_k = H(master || nonce || canonical k)`, or `None` for the value 0 that has probability 2^-252.
    pub fn derive(&self, id: KeyId) -> Option<VoucherSecret> {
        let mut input = Zeroizing::new(Vec::with_capacity(96));
        input.extend_from_slice(self.master.expose());
        input.extend_from_slice(&self.nonce);
        input.extend_from_slice(&id.canonical());
        let wide = Zeroizing::new(transcript::hash_wide(registry::VOUCHER_KEY, &input));
        let x = SecretScalar::new(Scalar::from_bytes_mod_order_wide(&wide));
        let key = Point::encode(group::multiply_base(x.expose())).ok()?;
        Some(VoucherSecret { x, entry: KeyEntry { id, key } })
    }
}

impl VoucherSecret {
    /// The public entry `k -> X_k`.
    pub fn entry(&self) -> &KeyEntry {
        &self.entry
    }
}
