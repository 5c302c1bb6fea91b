//! The published folder.

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::{KeysError, Published, PublishedLog, keys_from_bytes},
    ids::SiteId,
    log::{
        note::{Checkpoint, MAX_NOTE_BYTES, NoteError, SignedNote},
        tile::{TileError, read_entries, read_log},
    },
    slip::OpeningPack,
    wire::{DecodeError, Message},
};

use crate::mirror::{FileError, MAX_ANNOUNCEMENT, MAX_BUNDLE, MAX_MESSAGE, WAITING, files};

/// The most bytes of packs, and of surrendered vouchers: both are kept in memory.
const MAX_MESSAGES: usize = 1 << 30;

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
    /// A link, a device, or a file that is longer than anything of its kind.
    #[error(transparent)]
    File(FileError),
    /// More packs or surrendered vouchers than memory is given to.
    #[error("{} holds more than {limit} bytes. Remove what is none of the programme's", path.display())]
    Much {
        /// The folder.
        path: PathBuf,
        /// The most.
        limit: usize,
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

/// Reads all of a published folder but the logs' entries, which `open` gives from the log's folder below it.
pub(crate) fn published<E>(
    folder: &Path,
    open: impl Fn(&Path, &str) -> Result<PublishedLog<E>, LoadError>,
) -> Result<Published<E>, LoadError> {
    let mut sites = Vec::new();
    for path in listed(folder, "logs")? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.strip_prefix("site-") {
            _ if name == "issuer" => {}
            Some(rest) => {
                // `site-3`, or `site-3.2` for the second log of site 3.
                let (id, log) = rest.split_once('.').unwrap_or((rest, "1"));
                let numbered = id.parse().ok().zip(log.parse::<u16>().ok());
                let (id, log) = numbered.ok_or_else(|| LoadError::Folder { path: path.clone() })?;
                sites.push((SiteId(id), log, format!("logs/{name}")));
            }
            None => return Err(LoadError::Folder { path }),
        }
    }
    sites.sort();
    let sites =
        sites.into_iter().map(|(id, _, log)| Ok((id, open(folder, &log)?))).collect::<Result<_, LoadError>>()?;
    // A mirror keeps packs apart whose freeze it has not copied yet. They clear the site that they were given to.
    let mut packs: Vec<OpeningPack> = messages(folder, "packs")?;
    for pack in messages(folder, WAITING)? {
        if !packs.contains(&pack) {
            packs.push(pack);
        }
    }
    let keys = keys_from_bytes(&read(folder, "keys.bin", MAX_ANNOUNCEMENT)?);
    Ok(Published {
        issuer: open(folder, "logs/issuer")?,
        sites,
        keys: keys.map_err(|source| LoadError::Keys { path: folder.join("keys.bin"), source })?,
        packs,
        surrendered: messages(folder, "surrendered")?,
    })
}

/// Reads a log's checkpoint.
pub(crate) fn checkpoint(folder: &Path, log: &str) -> Result<(Vec<u8>, Checkpoint), LoadError> {
    let name = format!("{log}/checkpoint");
    let note = read(folder, &name, MAX_NOTE_BYTES)?;
    let parsed = SignedNote::parse(&note).and_then(|note| note.text().parse::<Checkpoint>());
    let parsed = parsed.map_err(|source| LoadError::Checkpoint { path: folder.join(name), source })?;
    Ok((note, parsed))
}

/// Reads a plain file below a published folder, through no link; none if there is none.
pub(crate) fn find(folder: &Path, below: &str, limit: usize) -> Result<Option<Vec<u8>>, LoadError> {
    files::read_below(folder, below, limit).map_err(unread)
}

/// The same, where the file has to be there.
pub(crate) fn read(folder: &Path, below: &str, limit: usize) -> Result<Vec<u8>, LoadError> {
    let absent = || LoadError::Read { path: folder.join(below), source: io::ErrorKind::NotFound.into() };
    find(folder, below, limit)?.ok_or_else(absent)
}

fn unread(error: FileError) -> LoadError {
    match error {
        FileError::Io { path, source } => LoadError::Read { path, source },
        error => LoadError::File(error),
    }
}

/// What is in a folder that has to be there, in the order of names.
fn listed(folder: &Path, below: &str) -> Result<Vec<PathBuf>, LoadError> {
    match files::folder_below(folder, below).map_err(unread)? {
        Some(found) => files::list(&found).map_err(unread),
        None => Err(LoadError::Read { path: folder.join(below), source: io::ErrorKind::NotFound.into() }),
    }
}

/// All messages of a folder's `*.bin`; none if there is no such folder.
fn messages<M: Message>(folder: &Path, below: &str) -> Result<Vec<M>, LoadError> {
    let (mut found, mut left) = (Vec::new(), MAX_MESSAGES);
    let paths = files::list_below(folder, below).map_err(unread)?;
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "bin")) {
        let absent = || LoadError::Read { path: path.clone(), source: io::ErrorKind::NotFound.into() };
        let bytes = files::read(&path, MAX_MESSAGE).map_err(unread)?.ok_or_else(absent)?;
        let much = || LoadError::Much { path: folder.join(below), limit: MAX_MESSAGES };
        left = left.checked_sub(bytes.len()).ok_or_else(much)?;
        found.push(M::decode(&bytes).map_err(|source| LoadError::Message { path, source })?);
    }
    Ok(found)
}

fn load_log(folder: &Path, log: &str) -> Result<PublishedLog, LoadError> {
    let (checkpoint, parsed) = checkpoint(folder, log)?;
    // The first file that is none of a log: for the reader of tiles it is missing.
    let refused = RefCell::new(None);
    let fetch = |name: &str| match find(folder, &format!("{log}/{name}"), MAX_BUNDLE) {
        Ok(bytes) => bytes,
        Err(error) => {
            refused.borrow_mut().get_or_insert(error);
            None
        }
    };
    let failed = |source| {
        let refused = refused.borrow_mut().take();
        refused.unwrap_or_else(|| LoadError::Tile { path: folder.join(log), source })
    };
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
