//! What wallets and sites take the programme from, built from the issuer's rows (spec 6.3).

use std::sync::{Arc, Mutex, PoisonError};

use annona_protocol::{
    ids::Round,
    log::leaf::{IssuerLeaf, OpenLeaf},
    programme::{Announced, Announcement, AnnouncementError, KeyEntry, SignedHeader},
    wire::{DecodeError, Message},
};
use rusqlite::Connection;

use super::{
    PublishError, cosigned,
    tree::{self, Rows},
};
use crate::{service::issuer::IssuerService, store::StoreError};

/// Why there is no announcement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// No checkpoint has enough cosignatures.
    #[error("no checkpoint of the log is cosigned yet. Ask again when the witnesses were reached")]
    NotYet,
    /// The store or the rows.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A row does not decode.
    #[error("a row of the store does not decode: {0}. Restore a backup and run `recover`")]
    Row(#[from] DecodeError),
    /// What was built would be refused: the rows do not hold together.
    #[error("the store gives an announcement that does not hold: {0}. Restore a backup and run `recover`")]
    Invalid(#[from] AnnouncementError),
}

impl From<StoreError> for AnnounceError {
    fn from(error: StoreError) -> Self {
        Self::Publish(error.into())
    }
}

/// The leaves of the issuer's log that others need, with their positions: found once, then followed as the log grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    scanned: u64,
    pub(super) versions: Vec<(u64, SignedHeader)>,
    pub(super) openings: Vec<(u64, OpenLeaf)>,
    pub(super) freezes: Vec<(u64, Round)>,
}

impl Control {
    pub(super) fn follow(&mut self, connection: &Connection, size: u64) -> rusqlite::Result<Result<(), DecodeError>> {
        // The third byte of an entry is the kind of leaf: 0 manifest, 2 opening, 3 freeze. Others are not decoded.
        let mut query = connection.prepare_cached(
            "SELECT at, entry FROM entries WHERE at >= ?1 AND at < ?2 AND substr(entry, 3, 1) IN (x'00', x'02', x'03')
             ORDER BY at",
        )?;
        let mut rows = query.query([self.scanned, size])?;
        while let Some(row) = rows.next()? {
            let at = row.get(0)?;
            match IssuerLeaf::decode(row.get_ref(1)?.as_blob()?) {
                Ok(IssuerLeaf::Manifest(version)) => self.versions.push((at, version)),
                Ok(IssuerLeaf::Open(opening)) => self.openings.push((at, opening)),
                Ok(IssuerLeaf::Freeze(freeze)) => self.freezes.push((at, freeze.round)),
                Ok(_) => {}
                Err(error) => return Ok(Err(error)),
            }
            self.scanned = at + 1;
        }
        self.scanned = self.scanned.max(size);
        Ok(Ok(()))
    }
}

/// The key list of the newest version of these.
pub(super) fn keys(
    connection: &Connection,
    versions: &[(u64, SignedHeader)],
) -> rusqlite::Result<Result<Vec<KeyEntry>, DecodeError>> {
    let count = versions.last().map_or(0, |(_, version)| version.header.key_count);
    let rows = connection
        .prepare_cached("SELECT entry FROM voucher_keys ORDER BY at LIMIT ?1")?
        .query_map([count], |row| row.get::<_, Vec<u8>>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.iter().map(|row| KeyEntry::decode(row)).collect())
}

#[derive(Debug, Default)]
struct Cache {
    control: Control,
    built: Option<(u64, Arc<[u8]>)>,
}

/// Builds announcements of one issuer.
#[derive(Debug)]
pub struct Announcer {
    issuer: Arc<IssuerService>,
    cache: Mutex<Cache>,
}

impl Announcer {
    /// Of an issuer.
    pub fn new(issuer: Arc<IssuerService>) -> Self {
        Self { issuer, cache: Mutex::default() }
    }

    /// The encoded announcement under the newest cosigned checkpoint: built once for a size, and verified before it is given out.
    ///
    /// # Errors
    /// [`AnnounceError::NotYet`] before the first cosigned checkpoint.
    pub fn announcement(&self) -> Result<Arc<[u8]>, AnnounceError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, note) = cosigned(self.issuer.store())?.ok_or(AnnounceError::NotYet)?;
        if let Some((built, bytes)) = &cache.built
            && *built == size
        {
            return Ok(Arc::clone(bytes));
        }
        let mut control = cache.control.clone();
        self.issuer.store().read(|connection| control.follow(connection, size))??;
        let announcement = self.issuer.store().read(|connection| build(connection, &control, size, note))??;
        let programme = self.issuer.with_programme(annona_protocol::programme::Programme::id);
        announcement.verify(programme)?;
        let bytes: Arc<[u8]> = announcement.encode().into();
        *cache = Cache { control, built: Some((size, Arc::clone(&bytes))) };
        Ok(bytes)
    }
}

fn build(
    connection: &Connection,
    control: &Control,
    size: u64,
    checkpoint: Vec<u8>,
) -> rusqlite::Result<Result<Announcement, DecodeError>> {
    let rows = Rows(connection);
    let keys = match keys(connection, &control.versions)? {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Announcement {
        checkpoint,
        versions: announced(&rows, &control.versions, size)?,
        openings: announced(&rows, &control.openings, size)?,
        keys,
    }))
}

fn announced<T: Clone>(rows: &Rows<'_>, leaves: &[(u64, T)], size: u64) -> rusqlite::Result<Vec<Announced<T>>> {
    let announced = |(index, leaf): &(u64, T)| {
        Ok(Announced { leaf: leaf.clone(), index: *index, path: tree::inclusion(rows, *index, size)? })
    };
    leaves.iter().map(announced).collect()
}
