//! The folder that anyone may audit: what `annona-audit` reads (spec 9).
//!
//! ```text
//! logs/issuer/{checkpoint, tile/...}     logs/site-<id>[.<n>]/{checkpoint, tile/...}
//! keys.bin     packs/round-<round>-site-<id>.bin     surrendered/<key>-<holder>.bin
//! announcement.bin                       for sites and wallets without a connection
//! ```

use std::path::Path;

use annona_protocol::{audit::keys_to_bytes, ids::SiteId, log::SignedNote, programme::Programme};

use super::{
    AnnounceError, Announcer, PublishError,
    files::{self, FileError},
};
use crate::store::{Store, StoreError};

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The announcement.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    /// Nothing was published yet.
    #[error("no checkpoint of the log has been cosigned yet. Publish first, with a witness within reach")]
    Unpublished,
    /// The folder of the published log is not a log.
    #[error("{0} does not hold a published log. Check the folder")]
    NotALog(std::path::PathBuf),
}

/// Copies the published files of a log: tiles first, the checkpoint last.
///
/// # Errors
/// [`ExportError`].
pub fn copy_log(published: &Path, target: &Path) -> Result<(), ExportError> {
    let checkpoint = published.join("checkpoint");
    let note = files::read(&checkpoint)?.ok_or(ExportError::Unpublished)?;
    let text = SignedNote::parse(&note).ok();
    let size = text.and_then(|note| note.text().parse::<annona_protocol::log::Checkpoint>().ok());
    let size = size.ok_or_else(|| ExportError::NotALog(published.to_owned()))?.size();
    for path in annona_protocol::log::tile::paths(size) {
        let (from, to) = (published.join(path.to_string()), target.join(path.to_string()));
        if to.exists() {
            continue;
        }
        // A partial tile may have been followed by a full one: the checkpoint's own is always there.
        let content = files::read(&from)?.ok_or_else(|| ExportError::NotALog(published.to_owned()))?;
        files::write_once(&to, &content)?;
    }
    Ok(files::replace(&target.join("checkpoint"), &note)?)
}

/// Writes the issuer's part.
///
/// # Errors
/// [`ExportError`].
pub fn export_issuer(store: &Store, programme: &Programme, published: &Path, target: &Path) -> Result<(), ExportError> {
    copy_log(published, &target.join("logs/issuer"))?;
    files::replace(&target.join("keys.bin"), &keys_to_bytes(programme.keys()))?;
    if let Some(bytes) = Announcer::default().newest(store)? {
        files::replace(&target.join("announcement.bin"), &bytes)?;
    }
    let packs: Vec<(u32, u16, Vec<u8>)> = store.read(|connection| {
        connection
            .prepare("SELECT round, site, pack FROM packs")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    })?;
    for (round, site, pack) in packs {
        files::write_once(&target.join(format!("packs/round-{round}-site-{site}.bin")), &pack)?;
    }
    let surrendered: Vec<(u32, [u8; 32], Vec<u8>)> = store.read(|connection| {
        connection
            .prepare("SELECT key, holder, surrender FROM surrendered")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    })?;
    for (key, holder, surrender) in surrendered {
        files::write_once(&target.join(format!("surrendered/{key}-{}.bin", hex::encode(holder))), &surrender)?;
    }
    Ok(())
}

/// The folder of a site's log below `logs/`: the first log bears the site's number, later ones are counted from 2.
pub fn site_folder(site: SiteId, log: usize) -> String {
    if log == 0 { format!("site-{site}") } else { format!("site-{site}.{}", log + 1) }
}

/// Writes a site's part; `log` counts the site's logs in the manifest from 0.
///
/// # Errors
/// [`ExportError`].
pub fn export_site(site: SiteId, log: usize, published: &Path, target: &Path) -> Result<(), ExportError> {
    copy_log(published, &target.join("logs").join(site_folder(site, log)))
}
