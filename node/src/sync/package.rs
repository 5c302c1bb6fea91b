//! A range of a site's log, as it travels.

use annona_protocol::{ids::ProgrammeId, wire::DecodeError};
use serde::{Deserialize, Serialize};

/// The most bytes of a package, and of the entries that one is made of.
pub(crate) const MAX_BYTES: usize = 16 << 20;
const MAX_ENTRIES: usize = 8 << 20;
const MAGIC: &[u8] = b"annona log package 1\n";

/// Entries of a log, with the signed checkpoint of the size that they end at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The programme.
    pub programme: ProgrammeId,
    /// The log's name in the manifest.
    pub origin: String,
    /// The position of the first entry.
    pub from: u64,
    /// The log's own signed note; its size is one past the last entry.
    pub checkpoint: Vec<u8>,
    /// The entries.
    pub entries: Vec<Vec<u8>>,
}

/// Why bytes are no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Cut off, changed, or no package at all.
    #[error("this is no package of a log, or only a part of one. Copy it again")]
    Malformed(#[source] Option<DecodeError>),
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
    /// [`PackageError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackageError> {
        let (content, sum) = bytes.split_last_chunk::<8>().ok_or(PackageError::Malformed(None))?;
        if bytes.len() > MAX_BYTES || blake3::hash(content).as_bytes()[..8] != *sum {
            return Err(PackageError::Malformed(None));
        }
        let body = content.strip_prefix(MAGIC).ok_or(PackageError::Malformed(None))?;
        match postcard::take_from_bytes(body) {
            Ok((package, [])) => Ok(package),
            Ok(_) => Err(PackageError::Malformed(Some(DecodeError::Trailing))),
            Err(error) => Err(PackageError::Malformed(Some(error.into()))),
        }
    }
}

/// How many of these entries go into one package: at least one.
pub(super) fn portion(entries: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        bytes += entry.len() + 4;
        bytes <= MAX_ENTRIES
    });
    fits.count().max(1).min(entries.len())
}
