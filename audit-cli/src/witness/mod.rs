//! A witness: a server of C2SP `tlog-witness` (<https://c2sp.org/tlog-witness>) that cosigns checkpoints of known logs.
//!
//! ```text
//! POST /add-checkpoint            old 20852014
//!                                 base64(hash)             consistency proof from the old size, at most 63 lines
//!
//!                                 checkpoint note, signed by its log
//!
//! 200  — witness.example/w1 base64(key id || time || signature)
//! 409  the size that it knows, as text/x.tlog.size: the request's `old` is another
//! ```
//!
//! For each log it keeps the largest checkpoint that it cosigned, on the disk before it answers, and cosigns only what
//! is consistent with that (spec 8.2-M6). One [`Witness`] owns its state folder; requests for one log are served one
//! after the other. A log is known by its origin and has one key for ever: a later log bears another name. Times of
//! cosignatures are whole days (P9), and nothing is written of who asked or when.
//!
//! One answer differs from C2SP, which asks for 409 where the log signed another root for the size that the witness
//! knows: here it is 422, so that 409 always says a size.
//!
//! What it cannot see: that its state folder is gone or was put back to an older state. Whoever restores it from a
//! backup, or starts the key with an empty folder, lets a log take back what was cosigned since: make a new key instead.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use annona_protocol::log::{
    Checkpoint, KeyType, MerkleError, NoteError, NoteSignature, SignedNote, VerifiedCheckpoint, VerifierKey,
    merkle::{MAX_SIZE, empty_root, verify_consistency},
    note::{cosign, verify_checkpoint},
};

mod folder;
mod key;
mod request;
mod server;
mod store;

pub use folder::{Cosigning, FolderError, Withheld, cosign_folder, is_named};
pub use key::{KeyError, WitnessKey};
pub use request::{MAX_PROOF, MAX_REQUEST_BYTES, MalformedRequest};
pub use server::{Listen, ServeError, Server, serve};
pub use store::StateError;

use request::Request;
use store::Store;

/// The longest accepted file of logs, in bytes.
pub const MAX_LOGS_BYTES: u64 = 1 << 20;

/// What a witness knows of the world.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder of its state, made if it is missing. One process at a time.
    pub state: PathBuf,
    /// The logs that it cosigns.
    pub logs: Vec<VerifierKey>,
    /// A file of more logs, one verifier key a line; empty lines and lines that begin with `#` are left out. Read again
    /// whenever a log is asked for that is not known. What is taken out of it stays known until the next start.
    pub logs_file: Option<PathBuf>,
}

/// Cosigns checkpoints of known logs that only ever grow. Shared by reference between threads.
#[derive(Debug)]
pub struct Witness {
    key: WitnessKey,
    store: Store,
    logs: RwLock<BTreeMap<String, Arc<Log>>>,
    /// Held while the file is read.
    logs_file: Mutex<Option<PathBuf>>,
}

/// A known log and the largest checkpoint of it that was cosigned, as it is on the disk.
#[derive(Debug)]
struct Log {
    key: VerifierKey,
    latest: Mutex<Option<Checkpoint>>,
}

impl Witness {
    /// Takes up the state in its folder.
    ///
    /// # Errors
    /// [`WitnessError`]: another process has the folder, a file in it does not parse or is not signed by its log, or
    /// the logs are not usable. Nothing is ever reset.
    pub fn open(key: WitnessKey, options: Options) -> Result<Self, WitnessError> {
        let Options { state, logs, logs_file } = options;
        let store = Store::open(&state)?;
        let file = Mutex::new(logs_file);
        let witness = Self { key, store, logs: RwLock::default(), logs_file: file };
        witness.add_logs(logs)?;
        witness.read_logs_file()?;
        Ok(witness)
    }

    /// The key that its cosignatures verify under.
    pub fn verifier_key(&self) -> VerifierKey {
        self.key.verifier_key()
    }

    /// The number of known logs.
    pub fn known_logs(&self) -> usize {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Answers the body of a request. The checkpoint is on the disk when this returns its cosignature; a repeated
    /// request whose answer was lost is refused with [`Refusal::Old`] and then asked again with that size.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<NoteSignature, Refusal> {
        let Request { old, proof, note } = Request::parse(body)?;
        let origin = SignedNote::parse(note)
            .and_then(|note| note.text().parse::<Checkpoint>())
            .map_err(|source| MalformedRequest::Checkpoint { source })?;
        let log = self.log(origin.origin())?;
        let note = verify_checkpoint(note, &log.key, &[], 0).map_err(|source| Refusal::Signature { source })?;
        let (size, root) = (note.checkpoint().size(), note.checkpoint().root());
        if old > size {
            return Err(MalformedRequest::OldAboveSize.into());
        }
        if size > MAX_SIZE {
            return Err(MalformedRequest::SizeRange.into());
        }
        let time = today()?;
        // Held until the disk has the checkpoint: no other request for this log is judged by what was before.
        let mut latest = log.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (known_size, known_root) =
            latest.as_ref().map_or_else(|| (0, empty_root()), |known| (known.size(), known.root()));
        if old != known_size {
            return Err(Refusal::Old { known: known_size });
        }
        if size == known_size && root != known_root {
            tracing::error!(origin = origin.origin(), size, "a log signed two roots for one size");
            self.store.keep_conflict(&note)?;
            return Err(Refusal::TwoRoots { size });
        }
        verify_consistency(known_size, &known_root, size, &root, &proof)
            .map_err(|source| Refusal::Consistency { source })?;
        if latest.as_ref() != Some(note.checkpoint()) {
            self.store.keep(&note, &log.key)?;
            *latest = Some(note.checkpoint().clone());
        }
        Ok(self.cosign(time, &note))
    }

    fn cosign(&self, time: u64, note: &VerifiedCheckpoint) -> NoteSignature {
        cosign(self.key.signing_key(), self.key.name(), time, note)
            .expect("the name was checked with the key, and today is below 2^63")
    }

    /// The log of this origin, of which the file of logs may know by now.
    fn log(&self, origin: &str) -> Result<Arc<Log>, Refusal> {
        if let Some(log) = self.known(origin) {
            return Ok(log);
        }
        self.read_logs_file().map_err(|source| Refusal::Logs { source: Box::new(source) })?;
        self.known(origin).ok_or(Refusal::UnknownLog)
    }

    fn known(&self, origin: &str) -> Option<Arc<Log>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).get(origin).cloned()
    }

    fn read_logs_file(&self) -> Result<(), WitnessError> {
        let path = self.logs_file.lock().unwrap_or_else(PoisonError::into_inner);
        match path.as_deref() {
            Some(path) => self.add_logs(logs_of(path)?),
            None => Ok(()),
        }
    }

    /// Adds those that are not known yet, or none if one of them is not usable.
    fn add_logs(&self, keys: Vec<VerifierKey>) -> Result<(), WitnessError> {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let mut added = BTreeMap::new();
        for key in keys {
            let origin = key.name().to_owned();
            if key.key_type() != KeyType::Log || key.key() == self.key.verifier_key().key() {
                return Err(WitnessError::NotALog { key: Box::new(key) });
            }
            match logs.get(&origin).or_else(|| added.get(&origin)) {
                Some(known) if known.key == key => {}
                Some(_) => return Err(WitnessError::TwoKeys { origin }),
                None => {
                    let latest = Mutex::new(self.store.stored(&key)?);
                    added.insert(origin, Arc::new(Log { key, latest }));
                }
            }
        }
        logs.append(&mut added);
        Ok(())
    }
}

/// Reads a file of logs.
fn logs_of(path: &Path) -> Result<Vec<VerifierKey>, WitnessError> {
    let failed = |source| WitnessError::LogsFile { path: path.into(), source };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LOGS_BYTES + 1).read_to_string(&mut text))
        .and_then(|_| if text.len() as u64 > MAX_LOGS_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) })
        .map_err(failed)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            line.parse().map_err(|source| WitnessError::LogsLine { path: path.into(), line: index + 1, source })
        })
        .collect()
}

/// The start of the day in UTC, in seconds since 1970.
fn today() -> Result<u64, Refusal> {
    const DAY: u64 = 24 * 60 * 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Refusal::Clock)?.as_secs();
    Ok(now - now % DAY)
}

/// Why a witness cannot start, or cannot take up a log. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file of logs cannot be read, or is longer than [`MAX_LOGS_BYTES`].
    #[error("cannot read {}: {source}. Check the path given for the logs, and its permissions", path.display())]
    LogsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of the file of logs is no verifier key.
    #[error("{} line {line}: {source}. Put one verifier key of a log in each line", path.display())]
    LogsLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: NoteError,
    },
    /// Not a log's key, or the witness' own.
    #[error("{key} is not the key of a log that this witness could cosign. Take a log's key from the manifest")]
    NotALog {
        /// The key.
        key: Box<VerifierKey>,
    },
    /// A log has one key for ever.
    #[error("two keys are given for {origin}. Keep the one in the manifest: a later log bears another name")]
    TwoKeys {
        /// The log.
        origin: String,
    },
}

/// Why a checkpoint is not cosigned. The text of those that are the client's to mend is shown to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than [`MAX_REQUEST_BYTES`]: 413.
    #[error("the request is longer than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    /// The request does not parse: 400.
    #[error("{0}")]
    Malformed(#[from] MalformedRequest),
    /// No such log is known: 404.
    #[error("this witness does not know the log")]
    UnknownLog,
    /// The log did not sign the checkpoint: 403.
    #[error("{source}")]
    Signature {
        /// Why.
        source: NoteError,
    },
    /// The request's `old` is not the size that was cosigned last: 409 with that size.
    #[error("the largest size cosigned is {known}")]
    Old {
        /// The size that was cosigned last, 0 if none was.
        known: u64,
    },
    /// The log signed two roots for one size: 422. Both are kept in the state folder.
    #[error("another root was cosigned for size {size}")]
    TwoRoots {
        /// The size.
        size: u64,
    },
    /// The consistency proof does not hold: 422.
    #[error("{source}")]
    Consistency {
        /// Why.
        source: MerkleError,
    },
    /// The checkpoint cannot be kept, so it is not cosigned: 500.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file of logs was read again and is not usable: 500.
    #[error(transparent)]
    Logs {
        /// Why.
        source: Box<WitnessError>,
    },
    /// The system's clock is before 1970: 500.
    #[error("the system's clock is before 1970. Set it")]
    Clock,
}
