//! Remembers which chunks of a log had only proofs that hold.
//!
//! ```text
//! <folder>/<id>.proven     id = BLAKE3 derive_key("annona-audit 1 log", programme id || log name), in hexadecimal
//! record i, 64 bytes       digest || mac, of chunk i; zeros if nothing is known of it
//! digest                   BLAKE3 derive_key("annona-audit 1 proven chunk", statement)
//! mac                      BLAKE3 keyed_hash(key, id || u64 i || digest)
//! ```
//!
//! The statement is everything that the proofs depend on, the leaves' hashes first. A record of something else is of no use, one
//! that this auditor's key did not make is tampered with: either way the chunk is verified.

use std::{
    collections::HashMap,
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use annona_protocol::{audit::Recall, ids::ProgrammeId};
use rand::rngs::SysRng;
use rand_core::TryRng as _;
use zeroize::Zeroizing;

use super::CacheOptions;

/// Bytes of a record.
const RECORD: usize = 64;

/// Why a cache cannot be used. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A file or the folder cannot be read or written.
    #[error("cannot use the cache's {}: {source}. Choose another folder with --cache, or another file with --cache-key", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file has another form.
    #[error("{} holds no key of 64 hexadecimal digits. Remove it; the cache is then made anew", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
    },
    /// Others can read the key.
    #[error("others can read {}, the key of the cache. Remove it, so that a new one is made", path.display())]
    Readable {
        /// The key file.
        path: PathBuf,
    },
    /// The key lies beside what it protects.
    #[error("{} is inside of the cache, which it protects. Choose a file elsewhere with --cache-key", path.display())]
    Inside {
        /// The key file.
        path: PathBuf,
    },
    /// There is no place for the key.
    #[error("neither XDG_STATE_HOME nor HOME is set. Name a file for the cache's key with --cache-key")]
    NoHome,
    /// A key cannot be made.
    #[error("the operating system gives no randomness: {0}. Start the audit again once the system is up")]
    Randomness(rand::rngs::SysError),
}

/// Where the key is unless another file is named: `annona-audit/cache.key` in the user's state folder.
///
/// # Errors
/// [`CacheError::NoHome`].
pub fn default_key() -> Result<PathBuf, CacheError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Ok(state.ok_or(CacheError::NoHome)?.join("annona-audit/cache.key"))
}

/// A cache of one programme.
pub(super) struct Cache {
    folder: PathBuf,
    key: Zeroizing<[u8; 32]>,
    programme: ProgrammeId,
    logs: Mutex<HashMap<String, Option<Arc<Log>>>>,
    /// Whether something could not be written.
    failed: AtomicBool,
}

/// What is known of a log.
struct Log {
    id: [u8; 32],
    file: File,
}

impl Cache {
    /// Opens a cache, or makes it.
    pub(super) fn open(options: &CacheOptions, programme: ProgrammeId) -> Result<Self, CacheError> {
        let CacheOptions { folder, key } = options;
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| CacheError::File { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let key_folder = key.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(key_folder).map_err(failed(key_folder))?;
        let (inner, outer) =
            (key_folder.canonicalize().map_err(failed(key_folder))?, folder.canonicalize().map_err(failed(folder))?);
        if inner.starts_with(&outer) {
            return Err(CacheError::Inside { path: key.clone() });
        }
        let key = read_key(key)?;
        Ok(Self { folder: folder.clone(), key, programme, logs: Mutex::default(), failed: AtomicBool::new(false) })
    }

    /// What is known of a chunk.
    pub(super) fn recall(&self, log: &str, chunk: u64, statement: &[u8]) -> Recall {
        let Some(log) = self.log(log) else { return Recall::Unknown };
        let mut record = [0; RECORD];
        match read_at(&log.file, &mut record, chunk) {
            Ok(0) => return Recall::Unknown,
            Ok(RECORD) => {}
            Ok(_) | Err(_) => return Recall::Tampered,
        }
        if record == [0; RECORD] {
            return Recall::Unknown;
        }
        let (digest, mac) = record.split_at(32);
        // Compares in constant time.
        if self.mac(&log, chunk, digest) != *mac {
            return Recall::Tampered;
        }
        if digest == digest_of(statement) { Recall::Held } else { Recall::Unknown }
    }

    /// Writes that all proofs of a chunk hold.
    pub(super) fn keep(&self, log: &str, chunk: u64, statement: &[u8]) {
        let Some(log) = self.log(log) else { return };
        let digest = digest_of(statement);
        let mut record = [0; RECORD];
        record[..32].copy_from_slice(&digest);
        record[32..].copy_from_slice(self.mac(&log, chunk, &digest).as_bytes());
        if log.file.write_all_at(&record, offset(chunk)).is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something could not be written.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn mac(&self, log: &Log, chunk: u64, digest: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&log.id).update(&chunk.to_be_bytes()).update(digest);
        hasher.finalize()
    }

    fn log(&self, name: &str) -> Option<Arc<Log>> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = logs.get(name) {
            return known.clone();
        }
        let id = blake3::derive_key("annona-audit 1 log", &[&self.programme.0, name.as_bytes()].concat());
        let path = self.folder.join(format!("{}.proven", hex::encode(id)));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let log = file.ok().map(|file| Arc::new(Log { id, file }));
        if log.is_none() {
            self.failed.store(true, Ordering::Relaxed);
        }
        logs.insert(name.to_owned(), log.clone());
        log
    }
}

fn digest_of(statement: &[u8]) -> [u8; 32] {
    blake3::derive_key("annona-audit 1 proven chunk", statement)
}

fn offset(chunk: u64) -> u64 {
    chunk.saturating_mul(RECORD as u64)
}

/// Fills a record as far as the file goes.
fn read_at(file: &File, record: &mut [u8; RECORD], chunk: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < RECORD {
        match file.read_at(&mut record[filled..], offset(chunk) + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads the key, or makes one in a file that appears whole.
fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, CacheError> {
    let failed = |source| CacheError::File { path: path.to_owned(), source };
    if !path.exists() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut key = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *key).map_err(CacheError::Randomness)?;
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let line = Zeroizing::new(hex::encode(*key));
        file.write_all(line.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        match file.persist_noclobber(path) {
            Ok(_) => {}
            // Another audit was faster: its key is read.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.error)),
        }
    }
    if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(CacheError::Readable { path: path.to_owned() });
    }
    let line = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(line.trim_end(), &mut *key).map_err(|_| CacheError::Key { path: path.to_owned() })?;
    Ok(key)
}
