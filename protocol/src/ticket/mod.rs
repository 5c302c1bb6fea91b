//! Tickets: single-use codes on paper, and the approved lots that they belong to (spec 4.1).

mod code;
pub(crate) mod slip;

pub use code::{TicketCode, TicketCodeError};
use serde::{Deserialize, Serialize};
pub use slip::{TicketSlip, TicketSlipError};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    group::PublicScalar,
    ids::{LotId, ProgrammeId, TicketHash},
    log::merkle::{self, MerkleError, TreeHash},
    programme::TicketKind,
    registry,
    secret::SecretBytes,
    transcript::{self, ByteStream},
};

impl TicketCode {
    /// The ticket's hash: kinds and programmes are separated.
    pub fn hash(&self, programme: &ProgrammeId, kind: TicketKind) -> TicketHash {
        let kind = match kind {
            TicketKind::Enrol => 1,
            TicketKind::Amend => 2,
            TicketKind::Split => 3,
        };
        let mut input = Zeroizing::new([0u8; 43]);
        input[..32].copy_from_slice(&programme.0);
        input[32] = kind;
        input[33..].copy_from_slice(self.expose());
        TicketHash(transcript::hash(registry::TICKET, &input[..]))
    }
}

/// A ticket's place in its lot: what a used ticket leaves in the log.
///
/// The lot's tree has one leaf a ticket, `ticket hash || salt`, in ascending order of leaf hashes. The salt keeps the
/// siblings in a path from being guessed against: a code has 80 bits only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketUse {
    /// The lot.
    pub lot: LotId,
    /// The ticket's hash.
    pub hash: TicketHash,
    /// 32 random bytes a ticket.
    pub salt: [u8; 32],
    /// The leaf's position.
    pub index: u64,
    /// The inclusion path.
    pub path: Vec<TreeHash>,
}

impl TicketUse {
    /// The leaf of a ticket in its lot's tree.
    pub fn leaf(hash: &TicketHash, salt: &[u8; 32]) -> TreeHash {
        merkle::leaf_hash(&[hash.0, *salt].concat())
    }

    /// Checks the ticket against its lot's approved count and root.
    ///
    /// # Errors
    /// [`MerkleError`] if the ticket is not of the lot.
    pub fn verify(&self, count: u64, root: &TreeHash) -> Result<(), MerkleError> {
        merkle::verify_inclusion(root, &Self::leaf(&self.hash, &self.salt), self.index, count, &self.path)
    }
}

/// What the issuer tells the wallet of a ticket, and must not keep in its stored answer.
pub(crate) struct Grant {
    pub(crate) rho: PublicScalar,
    pub(crate) attributes: Vec<u64>,
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.rho.0.zeroize();
        self.attributes.zeroize();
    }
}

/// The mask that a wallet sends with a ticket: the issuer stores its answer masked, and erases the mask with the request.
///
/// `rho` beside the public `M` would otherwise let whoever takes the issuer's disk guess a household's attributes (spec 4.2).
pub(crate) fn apply_mask(mask: &SecretBytes, ticket: &TicketHash, bytes: &mut [u8]) {
    let mut stream = ByteStream::new(registry::ANSWER_MASK, &[mask.expose(), &ticket.0]);
    let mut key = Zeroizing::new(vec![0u8; bytes.len()]);
    stream.fill(&mut key);
    bytes.iter_mut().zip(key.iter()).for_each(|(byte, key)| *byte ^= key);
}

impl Grant {
    /// `rho || each attribute as u64 little-endian`, masked. The length depends on the schema only: a stored answer's length
    /// says nothing about a household.
    pub(crate) fn seal(&self, mask: &SecretBytes, ticket: &TicketHash) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + 8 * self.attributes.len());
        bytes.extend_from_slice(self.rho.0.as_bytes());
        self.attributes.iter().for_each(|attribute| bytes.extend_from_slice(&attribute.to_le_bytes()));
        apply_mask(mask, ticket, &mut bytes);
        bytes
    }

    /// The grant under the mask, or `None` if it has not the form of one. A changed bit that keeps the form gives another `M`,
    /// for which the issuer's proof does not hold.
    pub(crate) fn open(sealed: &[u8], mask: &SecretBytes, ticket: &TicketHash) -> Option<Self> {
        let mut bytes = Zeroizing::new(sealed.to_vec());
        apply_mask(mask, ticket, &mut bytes);
        let (rho, attributes) = bytes.split_first_chunk()?;
        let (attributes, rest) = attributes.as_chunks();
        if !rest.is_empty() {
            return None;
        }
        let rho = PublicScalar::decode(*rho).ok()?;
        Some(Self { rho, attributes: attributes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Scalar;

    #[test]
    fn a_sealed_grant_opens_and_its_length_tells_nothing() {
        let (mask, ticket) = (SecretBytes::new([3; 32]), TicketHash([4; 32]));
        let sealed = |attributes: &[u64]| {
            Grant { rho: PublicScalar(-Scalar::ONE), attributes: attributes.to_vec() }.seal(&mask, &ticket)
        };
        let (small, large) = (sealed(&[1, 0]), sealed(&[u64::MAX, 1 << 40]));
        assert_eq!((small.len(), large.len()), (48, 48));
        let opened = Grant::open(&large, &mask, &ticket).unwrap();
        assert_eq!((opened.rho.0, &opened.attributes[..]), (-Scalar::ONE, &[u64::MAX, 1 << 40][..]));
        assert!(Grant::open(&large[..47], &mask, &ticket).is_none() && Grant::open(&[], &mask, &ticket).is_none());
        // Neither the scalar nor the numbers stand in the clear, and another mask or ticket gives something else.
        assert_ne!(small[..32], (-Scalar::ONE).to_bytes());
        assert!(
            Grant::open(&large, &SecretBytes::new([5; 32]), &ticket)
                .is_none_or(|grant| grant.attributes[0] != u64::MAX)
        );
        assert!(Grant::open(&large, &mask, &TicketHash([5; 32])).is_none_or(|grant| grant.attributes[0] != u64::MAX));
    }
}
