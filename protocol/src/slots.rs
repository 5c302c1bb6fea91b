//! Sealed slots: what a state-changing message carries for recovery (spec 10).
//!
//! Two ciphertexts of equal length under ids that are independent PRF outputs. A wallet without recovery words sends random
//! bytes of the same shape, so that having words does not show. This module knows the shape only.

use serde::{Deserialize, Serialize};

use crate::{ids::Digest, registry, transcript};

/// The longest ciphertext of a slot, in bytes.
pub const MAX_SLOT_BYTES: usize = 16 * 1024;

/// One sealed slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSlot {
    /// The slot's id.
    pub id: [u8; 32],
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
}

/// The two slots of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Deleted at the round's close.
    pub vouchers: SealedSlot,
    /// Kept until the credential expires.
    pub credential: SealedSlot,
}

impl Slots {
    /// Random slots with ciphertexts of `length` bytes: what a wallet without recovery words sends.
    pub fn random<R: rand_core::CryptoRng + ?Sized>(length: usize, rng: &mut R) -> Self {
        let mut slot = || {
            let mut slot = SealedSlot { id: [0; 32], ciphertext: vec![0; length] };
            rng.fill_bytes(&mut slot.id);
            rng.fill_bytes(&mut slot.ciphertext);
            slot
        };
        Self { vouchers: slot(), credential: slot() }
    }

    /// Whether the ciphertexts have the same, bounded length and the ids differ.
    pub fn is_well_formed(&self) -> bool {
        self.vouchers.ciphertext.len() == self.credential.ciphertext.len()
            && self.vouchers.ciphertext.len() <= MAX_SLOT_BYTES
            && self.vouchers.id != self.credential.id
    }

    /// The digest that a show binds.
    pub fn digest(&self) -> Digest {
        Digest(transcript::hash(registry::SLOTS, &postcard::to_stdvec(self).expect("writing to memory cannot fail")))
    }
}
