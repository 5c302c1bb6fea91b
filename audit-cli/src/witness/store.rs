//! The state folder: for each log the largest checkpoint that was cosigned, with the log's signature.
//!
//! ```text
//! lock                    held by the one process that uses the folder
//! <hash>.checkpoint       the checkpoint; <hash> is that of a leaf that holds the origin
//! <hash>.conflict         the first checkpoint seen with another root for the size in `<hash>.checkpoint` at that time
//! <hash>.*.new            not yet in place when the process died
//! ```

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use annona_protocol::log::{
    Checkpoint, NoteError, SignedNote, VerifiedCheckpoint, VerifierKey, merkle::leaf_hash, note::verify_checkpoint,
};

const CHECKPOINT: &str = "checkpoint";
const CONFLICT: &str = "conflict";
const UNFINISHED: &str = "new";
const LOCK: &str = "lock";

/// A state folder that this process alone uses.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Notes by origin, as they were when the folder was opened.
    found: BTreeMap<String, Vec<u8>>,
    /// Unlocks when it is closed, also by a death of the process.
    _lock: File,
}

impl Store {
    /// Makes the folder if it is missing, locks it and reads every file in it.
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Io { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = private(OpenOptions::new().create(true).truncate(false)).open(folder.join(LOCK)).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::Locked { path: folder.into() },
            TryLockError::Error(source) => failed(source),
        })?;
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match path.extension().and_then(|suffix| suffix.to_str()) {
                Some(CHECKPOINT) => {
                    let bytes = fs::read(&path).map_err(|source| StateError::Io { path: path.clone(), source })?;
                    let origin = origin_of(&path, &bytes)?;
                    found.insert(origin, bytes);
                }
                // Never in place, so nothing was cosigned for it.
                Some(UNFINISHED) => fs::remove_file(&path).map_err(failed)?,
                Some(CONFLICT) => {}
                _ if path.ends_with(LOCK) => {}
                _ => return Err(StateError::Stranger { path }),
            }
        }
        // What a process that died had put in place may not be on the disk yet, and is taken for it from now on.
        sync_folder(folder).and_then(|()| sync_folder(folder_of(folder))).map_err(failed)?;
        Ok(Self { folder: folder.into(), found, _lock: lock })
    }

    /// What was found of a log when the folder was opened.
    pub(super) fn stored(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, StateError> {
        let Some(bytes) = self.found.get(key.name()) else { return Ok(None) };
        let note = verify_checkpoint(bytes, key, &[], 0).map_err(|source| StateError::Malformed {
            path: self.path(key.name(), CHECKPOINT),
            source: Some(source),
        })?;
        Ok(Some(note.checkpoint().clone()))
    }

    /// Puts a checkpoint in the place of the log's last one, and waits for the disk.
    pub(super) fn keep(&self, note: &VerifiedCheckpoint, key: &VerifierKey) -> Result<(), StateError> {
        // Strangers' lines have no place here.
        let own = note.note().signatures().iter().find(|line| line.key_id() == key.id() && line.name() == key.name());
        let own = own.expect("the log's signature was verified");
        let content = format!("{}\n{own}\n", note.note().text());
        self.replace(&self.path(note.checkpoint().origin(), CHECKPOINT), content.as_bytes())
    }

    /// Keeps a checkpoint that shows, beside the log's last one, that the log signed two roots. The first is kept.
    pub(super) fn keep_conflict(&self, note: &VerifiedCheckpoint) -> Result<(), StateError> {
        let path = self.path(note.checkpoint().origin(), CONFLICT);
        if path.exists() { Ok(()) } else { self.replace(&path, note.note().to_string().as_bytes()) }
    }

    fn path(&self, origin: &str, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}.{suffix}", leaf_hash(origin.as_bytes())))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), StateError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".");
        unfinished.push(UNFINISHED);
        private(OpenOptions::new().create(true).truncate(true))
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, path))
            .and_then(|()| sync_folder(&self.folder))
            .map_err(|source| StateError::Io { path: path.into(), source })
    }
}

/// The origin of the checkpoint in a file of this name, which is all that the file holds, in its one spelling.
fn origin_of(path: &Path, bytes: &[u8]) -> Result<String, StateError> {
    let malformed = |source| StateError::Malformed { path: path.into(), source };
    let note = SignedNote::parse(bytes).map_err(|source| malformed(Some(source)))?;
    let checkpoint: Checkpoint = note.text().parse().map_err(|source| malformed(Some(source)))?;
    let named = leaf_hash(checkpoint.origin().as_bytes()).to_string();
    let whole = note.to_string().as_bytes() == bytes && path.file_stem().is_some_and(|stem| stem == named.as_str());
    if whole { Ok(checkpoint.origin().to_owned()) } else { Err(malformed(None)) }
}

fn private(options: &mut OpenOptions) -> &OpenOptions {
    options.write(true).mode(0o600)
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Waits until the disk has the names in a folder.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Why the state folder cannot be used. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Something cannot be read or written.
    #[error("cannot use {}: {source}. Check its permissions and the room on the disk", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("another witness uses {}. Stop it, or take a folder for each witness", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file does not hold a checkpoint that its log signed under the key given. To start without it would let the log
    /// take back what was cosigned.
    #[error(
        "{} is damaged, or of another key than the log's{}. Do not remove it: find out what happened to the disk, and go on \
         with a new key and an empty folder",
        path.display(), source.as_ref().map(|source| format!(": {source}")).unwrap_or_default()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why, if it does not parse or verify; otherwise its name or spelling is another.
        source: Option<NoteError>,
    },
    /// A file that is none of a witness'.
    #[error("{} is none of a witness' files. Move it away, or correct the path of the state folder", path.display())]
    Stranger {
        /// The file.
        path: PathBuf,
    },
}
