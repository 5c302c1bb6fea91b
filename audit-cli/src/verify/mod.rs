//! Verifies a published folder.

use std::{num::NonZeroUsize, path::Path};

use annona_protocol::{
    audit::{Progress, Report, audit},
    ids::ProgrammeId,
};
use rand::rngs::SysRng;
use rand_core::{TryRng as _, UnwrapErr};

use crate::{LoadError, load};

/// How a folder is verified.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// How many threads verify; as many as there are cores if `None`.
    pub threads: Option<NonZeroUsize>,
}

/// Why a folder could not be verified. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Something of the folder cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
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
    let Options { threads: _ } = options;
    let published = load(folder)?;
    SysRng.try_next_u64().map_err(VerifyError::Randomness)?;
    Ok(audit(programme, &published, &mut UnwrapErr(SysRng), progress))
}
