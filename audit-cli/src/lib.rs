//! Reads the published files of a programme for [`annona_protocol::audit`].
//!
//! ```text
//! logs/issuer/{checkpoint, tile/...}     logs/site-<id>[-<n>]/{checkpoint, tile/...}     C2SP tlog-tiles
//! keys.bin                               the key list
//! packs/*.bin                            opening packs
//! surrendered/*.bin                      surrendered vouchers, if any
//! ```
//!
//! Nothing that is read here is believed: the audit checks signatures, roots and leaves.
#![forbid(unsafe_code)]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::{KeysError, Published, PublishedLog, keys_from_bytes},
    ids::SiteId,
    log::{Checkpoint, NoteError, SignedNote, TileError, tile::read_log},
    redeem::Surrender,
    slip::OpeningPack,
    wire::{DecodeError, Message},
};

/// Why a folder cannot be audited: not a verdict, but a file that cannot be read as what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or folder is missing or cannot be read.
    #[error("cannot read {path}: {source}; give the folder that holds logs, keys.bin and packs", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A checkpoint is not a signed note, or its text no checkpoint.
    #[error("{path} is no checkpoint: {source}; fetch it again", path = .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoteError,
    },
    /// A log's tiles are missing, malformed, or do not match each other.
    #[error("the log in {path} cannot be read: {source}; fetch its tiles again", path = .path.display())]
    Tiles {
        /// The log's folder.
        path: PathBuf,
        /// Why.
        source: TileError,
    },
    /// The key list.
    #[error("{path} is no key list: {source}; fetch it again", path = .path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeysError,
    },
    /// A pack or a surrendered voucher.
    #[error("{path} does not decode: {source}; fetch it again, or leave it out", path = .path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// A folder of `logs` that is named after neither the issuer nor a site.
    #[error("{path} is neither issuer nor site-<number>", path = .path.display())]
    LogName {
        /// The folder.
        path: PathBuf,
    },
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// The entries of a folder, in the order of their names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Read { path: folder.to_owned(), source };
    let mut paths = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn messages<M: Message>(folder: &Path) -> Result<Vec<M>, LoadError> {
    list(folder)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| M::decode(&read(&path)?).map_err(|source| LoadError::Decode { path, source }))
        .collect()
}

/// Reads one log: its checkpoint, and the tiles of the size that the checkpoint names.
///
/// # Errors
/// [`LoadError`].
pub fn load_log(folder: &Path) -> Result<PublishedLog, LoadError> {
    let path = folder.join("checkpoint");
    let checkpoint = read(&path)?;
    let parsed = SignedNote::parse(&checkpoint).and_then(|note| note.text().parse::<Checkpoint>());
    let parsed = parsed.map_err(|source| LoadError::Checkpoint { path, source })?;
    let fetch = |path: &str| fs::read(folder.join(path)).ok();
    let contents =
        read_log(fetch, parsed.size()).map_err(|source| LoadError::Tiles { path: folder.to_owned(), source })?;
    Ok(PublishedLog { name: parsed.origin().to_owned(), checkpoint, entries: contents.entries })
}

/// `site-3` and `site-3-2` are logs of site 3.
fn site_of(folder: &Path) -> Option<SiteId> {
    let name = folder.file_name()?.to_str()?.strip_prefix("site-")?;
    name.split('-').next()?.parse().ok().map(SiteId)
}

/// Reads everything that an audit needs.
///
/// # Errors
/// [`LoadError`] names the file.
pub fn load(folder: &Path) -> Result<Published, LoadError> {
    let logs = folder.join("logs");
    let issuer = load_log(&logs.join("issuer"))?;
    let mut sites = Vec::new();
    for path in list(&logs)?.into_iter().filter(|path| path.file_name().is_none_or(|name| name != "issuer")) {
        let site = site_of(&path).ok_or_else(|| LoadError::LogName { path: path.clone() })?;
        sites.push((site, load_log(&path)?));
    }
    sites.sort_by_key(|(site, _)| *site);
    let path = folder.join("keys.bin");
    let keys = keys_from_bytes(&read(&path)?).map_err(|source| LoadError::Keys { path, source })?;
    let surrendered = folder.join("surrendered");
    Ok(Published {
        issuer,
        sites,
        keys,
        packs: messages::<OpeningPack>(&folder.join("packs"))?,
        surrendered: if surrendered.is_dir() { messages::<Surrender>(&surrendered)? } else { Vec::new() },
    })
}
