//! What wallets and sites take a programme from: its chain and openings, proven under one cosigned checkpoint (spec 6.3).
//!
//! An announcement is believed for what it proves and for nothing else: not for where it came from. It may be old; what it
//! lacks then shows as a round that is not open.

use serde::{Deserialize, Serialize};

use super::{KeyEntry, ManifestError, Programme, SignedHeader};
use crate::{
    ids::{ProgrammeId, Round},
    log::{
        leaf::{IssuerLeaf, Leaf as _, OpenLeaf},
        merkle::{MerkleError, TreeHash, verify_inclusion},
        note::{Checkpoint, NoteError},
    },
    wire::message,
};

/// Every manifest version and opening leaf of a programme, with the key list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The issuer's checkpoint with its cosignatures: the text of a signed note.
    pub checkpoint: Vec<u8>,
    /// All manifest versions, from the genesis on.
    pub versions: Vec<Announced<SignedHeader>>,
    /// All opening leaves, in the order of the log.
    pub openings: Vec<Announced<OpenLeaf>>,
    /// The whole key list of the newest version.
    pub keys: Vec<KeyEntry>,
}

message!(Announcement, ANNOUNCEMENT, 1 << 24);

/// The content of a leaf of the issuer's log, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced<T> {
    /// What the leaf holds.
    pub leaf: T,
    /// The leaf's position.
    pub index: u64,
    /// The inclusion path, from the leaf up.
    pub path: Vec<TreeHash>,
}

/// Why an announcement is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncementError {
    /// There is no version, or the first is not the genesis with the given id.
    #[error("the announcement is not of this programme: check the programme id")]
    Programme,
    /// The chain, its signatures or its key list.
    #[error("the announced manifest does not hold: {0}")]
    Manifest(#[from] ManifestError),
    /// The checkpoint is not the issuer's, or too few witnesses cosigned it.
    #[error("the announced checkpoint does not hold: {0}")]
    Checkpoint(#[from] NoteError),
    /// A leaf is not in the log at its position.
    #[error("a leaf is not in the issuer's log: {0}")]
    Inclusion(#[from] MerkleError),
    /// Leaves are not in the order of the log, the genesis is not its first, or a round opens under a later version.
    #[error("the announced leaves are not in the order of the log")]
    Order,
    /// A round has two opening leaves.
    #[error("round {0} is opened twice")]
    OpenedTwice(Round),
}

impl Announcement {
    /// Verifies everything, and gives the programme with its rounds opened.
    ///
    /// # Errors
    /// [`AnnouncementError`]: nothing of a refused announcement may be used.
    pub fn verify(&self, programme: ProgrammeId) -> Result<Programme, AnnouncementError> {
        self.verify_sized(programme).map(|(programme, _)| programme)
    }

    /// The same with the size of the log that the checkpoint proves.
    ///
    /// # Errors
    /// As [`Announcement::verify`].
    pub fn verify_sized(&self, programme: ProgrammeId) -> Result<(Programme, u64), AnnouncementError> {
        let genesis = &self.versions.first().ok_or(AnnouncementError::Programme)?.leaf.header;
        if genesis.version != 0 || genesis.programme_id() != programme {
            return Err(AnnouncementError::Programme);
        }
        let chain: Vec<SignedHeader> = self.versions.iter().map(|version| version.leaf.clone()).collect();
        let mut verified = Programme::new(&chain, self.keys.clone())?;
        let checkpoint = self.verify_checkpoint(&verified)?;
        for version in &self.versions {
            version.verify(&checkpoint, |leaf| IssuerLeaf::Manifest(leaf.clone()))?;
        }
        for opening in &self.openings {
            opening.verify(&checkpoint, |leaf| IssuerLeaf::Open(*leaf))?;
        }
        self.check_order()?;
        for opening in &self.openings {
            let OpenLeaf { round, manifest } = opening.leaf;
            if verified.in_force(round).is_ok() {
                return Err(AnnouncementError::OpenedTwice(round));
            }
            verified.open_round(round, manifest)?;
        }
        Ok((verified, checkpoint.size()))
    }

    /// The newest version says who must have cosigned.
    fn verify_checkpoint(&self, programme: &Programme) -> Result<Checkpoint, NoteError> {
        let header = programme.latest();
        let verified = header.verify_checkpoint(&self.checkpoint, &header.issuer_log)?;
        Ok(verified.checkpoint().clone())
    }

    /// Positions ascend, the genesis is the log's first leaf, and a round is opened under a version that stands before.
    fn check_order(&self) -> Result<(), AnnouncementError> {
        let ascending = |positions: &[u64]| positions.windows(2).all(|pair| pair[0] < pair[1]);
        let versions: Vec<u64> = self.versions.iter().map(|version| version.index).collect();
        let openings: Vec<u64> = self.openings.iter().map(|opening| opening.index).collect();
        let follows = self.openings.iter().all(|opening| {
            let version = self.versions.iter().find(|version| version.leaf.header.hash() == opening.leaf.manifest);
            // A hash of no version is refused when the round is opened.
            version.is_none_or(|version| version.index < opening.index)
        });
        let ordered = versions.first() == Some(&0) && ascending(&versions) && ascending(&openings) && follows;
        if ordered { Ok(()) } else { Err(AnnouncementError::Order) }
    }
}

impl<T> Announced<T> {
    fn verify(&self, checkpoint: &Checkpoint, wrap: impl FnOnce(&T) -> IssuerLeaf) -> Result<(), MerkleError> {
        let leaf = wrap(&self.leaf).tree_hash();
        verify_inclusion(&checkpoint.root(), &leaf, self.index, checkpoint.size(), &self.path)
    }
}

#[cfg(test)]
mod tests;
