//! Sealed slots: what a state-changing message carries for recovery (spec 10.1).
//!
//! Two ciphertexts of equal length under ids that are independent PRF outputs. A wallet without recovery words sends random
//! bytes of the same shape, so that having words does not show. What is sealed, and how it is opened, is in [`crate::recovery`].

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{Digest, Round},
    recovery::{Contents, RecoveryKeys},
    registry, transcript,
};

/// The longest ciphertext of a slot, in bytes.
pub const MAX_SLOT_BYTES: usize = 16 * 1024;

/// How many bytes both ids of a message begin with. A restore looks both up, each in its bucket: with independent ids the two buckets
/// together would name the message.
pub(crate) const SHARED_ID_BYTES: usize = 4;

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
    pub fn random<R: CryptoRng + ?Sized>(length: usize, rng: &mut R) -> Self {
        let mut slot = || {
            let mut slot = SealedSlot { id: [0; 32], ciphertext: vec![0; length] };
            rng.fill_bytes(&mut slot.id);
            rng.fill_bytes(&mut slot.ciphertext);
            slot
        };
        let (vouchers, mut credential) = (slot(), slot());
        credential.id[..SHARED_ID_BYTES].copy_from_slice(&vouchers.id[..SHARED_ID_BYTES]);
        Self { vouchers, credential }
    }

    /// Whether the ciphertexts have the same, bounded length, and the ids differ behind their first bytes, which are the same.
    pub fn is_well_formed(&self) -> bool {
        self.vouchers.ciphertext.len() == self.credential.ciphertext.len()
            && self.vouchers.ciphertext.len() <= MAX_SLOT_BYTES
            && self.vouchers.id != self.credential.id
            && self.vouchers.id[..SHARED_ID_BYTES] == self.credential.id[..SHARED_ID_BYTES]
    }

    /// The digest that a show binds.
    pub fn digest(&self) -> Digest {
        Digest(transcript::hash(registry::SLOTS, &postcard::to_stdvec(self).expect("writing to memory cannot fail")))
    }
}

/// Where a message's slots come from. Slots are made before the statement, which binds them, and after the secrets, which they
/// seal.
#[derive(Debug)]
pub enum Sealing<'a> {
    /// Random bytes of the right length: a wallet without recovery words ([10.1-M2]).
    Random,
    /// Sealed as the message with this index, counted from 0, in its round; enrolments are messages of round 0.
    Sealed {
        /// The wallet's.
        keys: &'a RecoveryKeys,
        /// No index may seal two messages that were both answered.
        index: u32,
    },
    /// Made elsewhere.
    Given(Slots),
}

impl From<Slots> for Sealing<'_> {
    fn from(slots: Slots) -> Self {
        Self::Given(slots)
    }
}

impl Sealing<'_> {
    pub(crate) fn slots<R: CryptoRng + ?Sized>(self, round: Round, contents: &Contents<'_>, rng: &mut R) -> Slots {
        match self {
            Self::Random => Slots::random(contents.ciphertext_bytes(), rng),
            Self::Sealed { keys, index } => keys.seal(round, index, contents, rng),
            Self::Given(slots) => slots,
        }
    }
}
