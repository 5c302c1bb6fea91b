//! A range of a site's log, as it travels.

use std::fmt;

use annona_protocol::{
    ids::ProgrammeId,
    log::{Frontier, NoteError, TreeHash, VerifierKey, merkle::leaf_hash, note::verify_checkpoint},
    wire::DecodeError,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, SeqAccess, Visitor},
};

/// The most bytes of a package, and of the entries that one is made of.
pub(crate) const MAX_BYTES: usize = 16 << 20;
const MAX_ENTRIES: usize = 8 << 20;
/// The most entries of a package: what is read takes no more memory than a few times its bytes.
pub(super) const MAX_COUNT: usize = 65_536;
/// The most bytes of a checkpoint with its signatures.
const MAX_CHECKPOINT: usize = 16 << 10;
/// The most bytes of a log's name.
const MAX_ORIGIN: usize = 1024;
const MAGIC: &[u8] = b"annona log package 1\n";

/// Entries of a log, with the signed checkpoint of the size that they end at. It proves itself: `before` and the entries give the
/// root that the checkpoint signs, so that nobody but the log's key makes one that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The programme.
    pub programme: ProgrammeId,
    /// The log's name in the manifest.
    pub origin: String,
    /// The position of the first entry.
    pub from: u64,
    /// The roots of the complete subtrees before the first entry, the largest first ([`Frontier::nodes`]).
    pub before: Vec<TreeHash>,
    /// The log's own signed note; its size is one past the last entry.
    pub checkpoint: Vec<u8>,
    /// The entries.
    #[serde(deserialize_with = "entries")]
    pub entries: Vec<Vec<u8>>,
}

/// Why bytes are no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Cut off, changed, or no package at all.
    #[error("this is no package of a log, or only a part of one. Copy it again")]
    Malformed(#[source] Option<DecodeError>),
    /// The checkpoint is not the log's.
    #[error("the package is not signed by its site's log: {0}. Make it again at the site")]
    Checkpoint(#[source] NoteError),
    /// The entries do not have the checkpoint's root.
    #[error("the package's entries are not what its checkpoint signs. Make it again at the site")]
    Entries,
}

/// What the site's log key signed, with the entries that prove it.
#[derive(Debug)]
pub(super) struct Proven {
    /// The size of the log after the last entry.
    pub(super) to: u64,
    /// Its root.
    pub(super) root: TreeHash,
}

impl Package {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = postcard::to_extend(self, MAGIC.to_vec()).expect("writing to memory cannot fail");
        // Tells a cut or damaged copy from a dishonest one. What the entries are worth, the checkpoint says.
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(&sum.as_bytes()[..8]);
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`PackageError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackageError> {
        let (content, sum) = bytes.split_last_chunk::<8>().ok_or(PackageError::Malformed(None))?;
        if bytes.len() > MAX_BYTES || blake3::hash(content).as_bytes()[..8] != *sum {
            return Err(PackageError::Malformed(None));
        }
        let body = content.strip_prefix(MAGIC).ok_or(PackageError::Malformed(None))?;
        match postcard::take_from_bytes::<Self>(body) {
            Ok((package, [])) if package.origin.len() <= MAX_ORIGIN && package.checkpoint.len() <= MAX_CHECKPOINT => {
                Ok(package)
            }
            Ok(_) => Err(PackageError::Malformed(Some(DecodeError::Trailing))),
            Err(error) => Err(PackageError::Malformed(Some(error.into()))),
        }
    }

    /// Checks that the log's key signed exactly this range.
    pub(super) fn prove(&self, key: &VerifierKey) -> Result<Proven, PackageError> {
        let verified = verify_checkpoint(&self.checkpoint, key, &[], 0).map_err(PackageError::Checkpoint)?;
        let (to, root) = (verified.checkpoint().size(), verified.checkpoint().root());
        let whole = self.frontier(self.entries.len())?;
        if (whole.size(), whole.root()) == (to, root) { Ok(Proven { to, root }) } else { Err(PackageError::Entries) }
    }

    /// The log up to so many of the entries.
    pub(super) fn frontier(&self, count: usize) -> Result<Frontier, PackageError> {
        let mut frontier = Frontier::from_nodes(self.from, self.before.clone()).map_err(|_| PackageError::Entries)?;
        for entry in &self.entries[..count] {
            frontier.append(leaf_hash(entry)).map_err(|_| PackageError::Entries)?;
        }
        Ok(frontier)
    }
}

/// Entries, as many as a package may have: a short file must not ask for much memory.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Vec<u8>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_COUNT} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = sequence.next_element()? {
                if entries.len() == MAX_COUNT {
                    return Err(A::Error::invalid_length(MAX_COUNT + 1, &self));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_seq(Bounded)
}

/// How many of these entries go into one package: at least one.
pub(super) fn portion(entries: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take(MAX_COUNT).take_while(|entry| {
        bytes += entry.len() + 4;
        bytes <= MAX_ENTRIES
    });
    fits.count().max(1).min(entries.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short file that claims many entries is refused before they are in memory.
    #[test]
    fn a_package_of_too_many_entries_is_refused() {
        let package = |count: usize| Package {
            programme: ProgrammeId([0; 32]),
            origin: "log.example".into(),
            from: 0,
            before: Vec::new(),
            checkpoint: Vec::new(),
            entries: vec![Vec::new(); count],
        };
        assert_eq!(Package::from_bytes(&package(MAX_COUNT).to_bytes()).unwrap().entries.len(), MAX_COUNT);
        assert!(matches!(Package::from_bytes(&package(MAX_COUNT + 1).to_bytes()), Err(PackageError::Malformed(_))));
        let long = Package { origin: "x".repeat(MAX_ORIGIN + 1), ..package(1) };
        assert!(Package::from_bytes(&long.to_bytes()).is_err());
        let long = Package { checkpoint: vec![0; MAX_CHECKPOINT + 1], ..package(1) };
        assert!(Package::from_bytes(&long.to_bytes()).is_err());
        let entries = vec![vec![0; MAX_ENTRIES / 4]; 5];
        assert_eq!(portion(&entries), 3, "an entry has a length before it");
        assert_eq!(portion(&vec![vec![0]; MAX_COUNT + 1]), MAX_COUNT);
    }
}
