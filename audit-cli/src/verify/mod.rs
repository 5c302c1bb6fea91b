//! Verifies a published folder, however large, in fixed memory.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::{AuditError, Chunks, Note, Progress, Report, audit_streamed},
    ids::ProgrammeId,
};
use rand::rngs::SysRng;
use rand_core::{TryRng as _, UnwrapErr};

mod cache;
mod folder;
mod sort;

pub use cache::{CacheError, default_key};

use self::{cache::Cache, folder::TiledLog, sort::Desk};
use crate::{LoadError, load};

/// How a folder is verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many threads verify; as many as there are cores if `None`.
    pub threads: Option<NonZeroUsize>,
    /// Bytes of records that are sorted in memory. What is more goes to temporary files.
    pub memory: usize,
    /// Where the temporary files are; the system's folder if `None`.
    pub temp: Option<PathBuf>,
    /// Where what was proven is remembered.
    pub cache: Option<CacheOptions>,
}

/// A folder that remembers which proofs were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// The folder, made if it is not there.
    pub folder: PathBuf,
    /// The file of the key that tells this auditor's words from others', made with mode 0600 if it is not there. Outside of
    /// the folder.
    pub key: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: None, memory: 256 << 20, temp: None, cache: None }
    }
}

/// Why a folder could not be verified. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Something of the folder cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A log was another when it was read again.
    #[error("the log {log} changed while it was read. Verify a copy that nobody writes to")]
    Changed {
        /// The log's name.
        log: String,
    },
    /// Records that do not fit memory cannot be kept.
    #[error("cannot sort in {}: {source}. Free space there, choose another folder with --temp, or give more --memory", path.display())]
    Sort {
        /// The folder of temporary files.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Threads cannot be started.
    #[error("cannot start threads: {0}. Give fewer --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Without randomness no batch of proofs can be checked.
    #[error("the operating system gives no randomness: {0}. Start the audit again once the system is up")]
    Randomness(rand::rngs::SysError),
}

/// Verifies everything that a programme published in a folder (spec/audit.md 2). `progress` is called from many threads, and not
/// in order.
///
/// # Errors
/// [`VerifyError`] if the audit could not be done; what does not hold is a finding of the report.
pub fn verify_folder(
    folder: &Path,
    programme: ProgrammeId,
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, VerifyError> {
    let Options { threads, memory, temp, cache } = options;
    SysRng.try_next_u64().map_err(VerifyError::Randomness)?;
    let cache = cache.as_ref().map(|cache| Cache::open(cache, programme)).transpose()?;
    let desk = Desk::new(temp.clone().unwrap_or_else(std::env::temp_dir), *memory, cache);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.map_or(0, NonZeroUsize::get)).build()?;
    pool.install(|| {
        let published = load::published(folder, TiledLog::open)?;
        let rng = &mut UnwrapErr(SysRng);
        let audited = audit_streamed(programme, &published, &desk, Chunks::default(), rng, progress);
        let mut report = audited.map_err(|error| match error {
            AuditError::Medium(error) => error,
            AuditError::Changed { log } => VerifyError::Changed { log },
        })?;
        if desk.cache().is_some_and(Cache::failed) {
            report.notes.push(Note::MemoryNotKept);
        }
        Ok(report)
    })
}
