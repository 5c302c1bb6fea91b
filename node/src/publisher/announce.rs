//! The announcement of a programme from the issuer's rows: versions and openings, proven under the newest cosigned checkpoint
//! (spec 6.3).

use std::sync::{Arc, Mutex, PoisonError};

use annona_protocol::{
    log::leaf::{IssuerLeaf, OpenLeaf},
    programme::{Announced, Announcement, KeyEntry, SignedHeader},
    registry::{VERSION, kind},
    wire::{DecodeError, Message},
};
use rusqlite::params;

use super::tree::{self, Rows};
use crate::store::{Store, StoreError};

/// Why there is no announcement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row that is no leaf or key.
    #[error("a row of the store does not decode: {0}. Restore a backup and run `recover`")]
    Row(#[from] DecodeError),
}

impl From<rusqlite::Error> for AnnounceError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Builds announcements and keeps the newest.
#[derive(Debug, Default)]
pub struct Announcer(Mutex<Option<(u64, Arc<Vec<u8>>)>>);

/// The first bytes of manifest and opening leaves: envelope and variant.
const LEAVES: [[u8; 3]; 2] = [[VERSION, kind::ISSUER_LEAF, 0], [VERSION, kind::ISSUER_LEAF, 2]];

impl Announcer {
    /// The announcement under the newest cosigned checkpoint, encoded; none before the first.
    ///
    /// # Errors
    /// [`AnnounceError`].
    pub fn newest(&self, store: &Store) -> Result<Option<Arc<Vec<u8>>>, AnnounceError> {
        let Some((size, note)) = store.read(super::cosigned)? else { return Ok(None) };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, bytes)) = kept.as_ref()
            && *of == size
        {
            return Ok(Some(Arc::clone(bytes)));
        }
        let bytes = Arc::new(build(store, size, note)?.encode());
        *kept = Some((size, Arc::clone(&bytes)));
        Ok(Some(bytes))
    }
}

fn build(store: &Store, size: u64, checkpoint: Vec<u8>) -> Result<Announcement, AnnounceError> {
    let [manifest, open] = LEAVES;
    let rows: Vec<(u64, Vec<u8>)> = store.read(|connection| {
        connection
            .prepare("SELECT at, entry FROM entries WHERE at < ?1 AND substr(entry, 1, 3) IN (?2, ?3) ORDER BY at")?
            .query_map(params![size, manifest, open], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    })?;
    let (mut versions, mut openings): (Vec<Announced<SignedHeader>>, Vec<Announced<OpenLeaf>>) = Default::default();
    for (index, entry) in rows {
        let path = store.read(|connection| tree::inclusion(&Rows(connection), index, size))?;
        match IssuerLeaf::decode(&entry)? {
            IssuerLeaf::Manifest(leaf) => versions.push(Announced { leaf, index, path }),
            IssuerLeaf::Open(leaf) => openings.push(Announced { leaf, index, path }),
            _ => {}
        }
    }
    let count = versions.last().map_or(0, |version| version.leaf.header.key_count);
    let keys: Vec<Vec<u8>> = store.read(|connection| {
        connection
            .prepare("SELECT entry FROM voucher_keys WHERE at < ?1 ORDER BY at")?
            .query_map([count], |row| row.get(0))?
            .collect()
    })?;
    let keys = keys.iter().map(|bytes| KeyEntry::decode(bytes)).collect::<Result<_, _>>()?;
    Ok(Announcement { checkpoint, versions, openings, keys })
}
