//! The folder that anyone can audit: `annona-audit verify` reads it.
//!
//! ```text
//! logs/issuer/   logs/site-<id>[.<n>]/    checkpoint, tile/...
//! keys.bin   packs/   surrendered/
//! ```
//!
//! Headquarters write all of it, with the logs that sites sent; a site writes its log and the packs that it was opened with. The
//! parts of different parties may be merged: a file of the same name has the same content, but a checkpoint may be newer.

use std::path::{Path, PathBuf};

use annona_protocol::{
    audit::keys_to_bytes,
    log::{
        NoteError, SignedNote,
        note::Checkpoint,
        tile::{self, TilePath},
    },
    programme::Header,
    wire::DecodeError,
};

use super::{
    LogOwner, PublishError, announce,
    files::{self, FileError},
    tile_content,
};
use crate::{
    service::{issuer::IssuerService, site::SiteService},
    store::{Store, StoreError},
};

/// Why nothing, or not everything, could be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No checkpoint has enough cosignatures.
    #[error("no checkpoint of the log is cosigned yet. Publish first, with the witnesses in reach")]
    NotYet,
    /// The store, rows or files.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A row does not decode.
    #[error("a row of the store does not decode: {0}. Restore a backup and run `recover`")]
    Row(#[from] DecodeError),
    /// What is exported already is of a newer state.
    #[error("{} is of a larger log than this one. Export into another folder", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint that does not parse.
    #[error("{}: {source}. Keep the file and export into another folder", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoteError,
    },
    /// A tile is missing.
    #[error("{} is missing or malformed. Receive the site's log again", path.display())]
    Tile {
        /// The file.
        path: PathBuf,
    },
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Publish(error.into())
    }
}

impl From<FileError> for ExportError {
    fn from(error: FileError) -> Self {
        Self::Publish(error.into())
    }
}

/// Exports what the issuer has: its log up to the newest cosigned checkpoint, the key list, opening packs of frozen rounds,
/// surrendered vouchers, and the logs of sites below `received` (see [`crate::sync`]) that enough witnesses cosigned. Returns the
/// exported size of the issuer's log. Exporting again into the same folder adds what is new.
///
/// # Errors
/// [`ExportError`].
pub fn export_issuer(issuer: &IssuerService, received: &Path, folder: &Path) -> Result<u64, ExportError> {
    let size = export_log(issuer.store(), &folder.join("logs/issuer"))?;
    let mut control = announce::Control::default();
    issuer.store().read(|connection| control.follow(connection, size))??;
    let keys = issuer.store().read(|connection| announce::keys(connection, &control.versions))??;
    files::replace(&folder.join("keys.bin"), &keys_to_bytes(&keys))?;
    let packs = issuer.store().read(pack_rows)?;
    for (round, site, pack) in packs {
        // A pack of a freeze that is not cosigned yet would stand without its digest.
        if control.freezes.iter().any(|(_, frozen)| frozen.0 == round) {
            files::write_once(&pack_path(folder, round, site), &pack)?;
        }
    }
    let surrendered = issuer.store().read(|connection| {
        connection
            .prepare("SELECT key, holder, surrender FROM surrendered")?
            .query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()
    })?;
    for (key, holder, surrender) in surrendered {
        let name = format!("surrendered/{key}-{}.bin", hex::encode(holder));
        files::write_once(&folder.join(name), &surrender)?;
    }
    for log in files::list(received)?.iter().filter(|path| path.is_dir()) {
        let name = log.file_name().unwrap_or_default();
        copy_log(log, &folder.join("logs").join(name))?;
    }
    Ok(size)
}

/// Exports what a site has: its log up to the newest cosigned checkpoint, and the packs that it was opened with.
///
/// # Errors
/// [`ExportError`].
pub fn export_site(site: &SiteService, folder: &Path) -> Result<u64, ExportError> {
    let terms = site.terms().map_err(PublishError::from)?;
    let name = log_folder(site.programme().latest(), terms.log.name()).ok_or(ExportError::NotYet)?;
    let size = export_log(site.store(), &folder.join("logs").join(name))?;
    for (round, number, pack) in site.store().read(pack_rows)? {
        files::write_once(&pack_path(folder, round, number), &pack)?;
    }
    Ok(size)
}

/// The folder of a site's log: `site-<id>` for its first, `site-<id>.<n>` for a later one.
pub(crate) fn log_folder(header: &Header, origin: &str) -> Option<String> {
    header.sites.iter().find_map(|site| {
        let at = site.logs.iter().position(|log| log.name == origin)?;
        Some(if at == 0 { format!("site-{}", site.id) } else { format!("site-{}.{}", site.id, at + 1) })
    })
}

fn pack_path(folder: &Path, round: u32, site: u16) -> PathBuf {
    folder.join(format!("packs/round-{round}-site-{site}.bin"))
}

fn pack_rows(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<(u32, u16, Vec<u8>)>> {
    connection
        .prepare("SELECT round, site, pack FROM packs ORDER BY round, site")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Writes a store's own log, from rows, as its newest cosigned checkpoint has it.
fn export_log(store: &Store, folder: &Path) -> Result<u64, ExportError> {
    let (size, note) = super::cosigned(store)?.ok_or(ExportError::NotYet)?;
    let content = |path: TilePath| {
        let content = store.read(|connection| tile_content(connection, path)).map_err(PublishError::from)?;
        Ok(content.map_err(PublishError::from)?)
    };
    write_log(folder, size, &note, content)?;
    Ok(size)
}

/// Copies a mirrored log as its newest cosigned checkpoint has it; nothing if it has none yet.
fn copy_log(from: &Path, to: &Path) -> Result<(), ExportError> {
    let path = from.join("cosigned");
    let Some(note) = files::read(&path)? else { return Ok(()) };
    let size = parse(&path, &note)?.size();
    write_log(to, size, &note, |path| {
        let exact = from.join(path.to_string());
        files::read(&exact)?.ok_or(ExportError::Tile { path: exact })
    })
}

fn write_log(
    folder: &Path,
    size: u64,
    note: &[u8],
    content: impl Fn(TilePath) -> Result<Vec<u8>, ExportError>,
) -> Result<(), ExportError> {
    let path = folder.join("checkpoint");
    let before = match files::read(&path)? {
        Some(found) => parse(&path, &found)?.size(),
        None => 0,
    };
    if before > size {
        return Err(ExportError::Newer { path });
    }
    for tile in tile::paths_between(before, size) {
        files::write_once(&folder.join(tile.to_string()), &content(tile)?)?;
    }
    Ok(files::replace(&path, note)?)
}

fn parse(path: &Path, note: &[u8]) -> Result<Checkpoint, ExportError> {
    SignedNote::parse(note)
        .and_then(|note| note.text().parse())
        .map_err(|source| ExportError::Checkpoint { path: path.to_owned(), source })
}
