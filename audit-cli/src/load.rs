//! The published folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::{KeysError, Published, PublishedLog, keys_from_bytes},
    ids::SiteId,
    log::{
        note::{Checkpoint, NoteError, SignedNote},
        tile::{TileError, read_entries, read_log},
    },
    wire::{DecodeError, Message},
};

/// Why a folder cannot be audited. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}. Check that this is the published folder, and fetch the file again", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder of `logs/` has no meaning.
    #[error("{} is neither `issuer` nor `site-<id>`. Remove it, or rename it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint is no signed note.
    #[error("{}: {source}. Fetch the checkpoint again", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoteError,
    },
    /// A tile is missing or malformed, or does not match the entries though these have the checkpoint's root.
    #[error("{}: {source}. Fetch the log's tiles again", path.display())]
    Tile {
        /// The log's folder.
        path: PathBuf,
        /// Which tile.
        source: TileError,
    },
    /// The key list is malformed.
    #[error("{}: {source}. Fetch the key list again", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Which key.
        source: KeysError,
    },
    /// A pack or a surrendered voucher does not decode.
    #[error("{}: {source}. Fetch the file again, or remove it if it is none of the programme's", path.display())]
    Message {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
}

/// Reads a published folder into memory. Nothing in it is trusted: [`annona_protocol::audit::audit`] checks what was read.
///
/// # Errors
/// [`LoadError`]: something is missing or is no file of its kind. A log whose entries were changed is read all the same, so
/// that the audit says so.
pub fn load(folder: &Path) -> Result<Published, LoadError> {
    published(folder, load_log)
}

/// Reads all of a published folder but the logs' entries, which `open` gives.
pub(crate) fn published<E>(
    folder: &Path,
    open: impl Fn(&Path) -> Result<PublishedLog<E>, LoadError>,
) -> Result<Published<E>, LoadError> {
    let logs = folder.join("logs");
    let mut sites = Vec::new();
    for path in listed(&logs)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.strip_prefix("site-") {
            _ if name == "issuer" => {}
            Some(rest) => {
                // `site-3`, or `site-3.2` for the second log of site 3.
                let (id, log) = rest.split_once('.').unwrap_or((rest, "1"));
                let numbered = id.parse().ok().zip(log.parse::<u16>().ok());
                let (id, log) = numbered.ok_or_else(|| LoadError::Folder { path: path.clone() })?;
                sites.push((SiteId(id), log, path));
            }
            None => return Err(LoadError::Folder { path }),
        }
    }
    sites.sort();
    let sites = sites.into_iter().map(|(id, _, path)| Ok((id, open(&path)?))).collect::<Result<_, LoadError>>()?;
    let keys = folder.join("keys.bin");
    Ok(Published {
        issuer: open(&logs.join("issuer"))?,
        sites,
        keys: keys_from_bytes(&read(&keys)?).map_err(|source| LoadError::Keys { path: keys, source })?,
        packs: messages(&folder.join("packs"))?,
        surrendered: messages(&folder.join("surrendered"))?,
    })
}

/// Reads a log's checkpoint.
pub(crate) fn checkpoint(folder: &Path) -> Result<(Vec<u8>, Checkpoint), LoadError> {
    let path = folder.join("checkpoint");
    let note = read(&path)?;
    let parsed = SignedNote::parse(&note).and_then(|note| note.text().parse::<Checkpoint>());
    let parsed = parsed.map_err(|source| LoadError::Checkpoint { path, source })?;
    Ok((note, parsed))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// What is in a folder, in the order of names.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, io::Error>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// All messages of a folder's `*.bin`; none if there is no such folder.
fn messages<M: Message>(folder: &Path) -> Result<Vec<M>, LoadError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let files = listed(folder)?.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "bin"));
    files
        .map(|path| M::decode(&read(&path)?).map_err(|source| LoadError::Message { path: path.clone(), source }))
        .collect()
}

fn load_log(folder: &Path) -> Result<PublishedLog, LoadError> {
    let (checkpoint, parsed) = checkpoint(folder)?;
    let fetch = |name: &str| fs::read(folder.join(name)).ok();
    let failed = |source| LoadError::Tile { path: folder.to_owned(), source };
    let entries = match read_log(fetch, parsed.size()) {
        Ok(contents) => contents.entries,
        Err(fault @ TileError::Mismatch { .. }) => {
            // Either the entries were changed, which the audit finds, or the hash tile alone is bad.
            let contents = read_entries(fetch, parsed.size()).map_err(failed)?;
            if contents.root == parsed.root() {
                return Err(failed(fault));
            }
            contents.entries
        }
        Err(fault) => return Err(failed(fault)),
    };
    Ok(PublishedLog { name: parsed.origin().to_owned(), checkpoint, entries })
}
