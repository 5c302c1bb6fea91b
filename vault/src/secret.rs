//! Files encrypted under a passphrase (age, scrypt), each written once.
//!
//! A secret file appears whole or not at all, is readable by its owner only, and is never overwritten. age's scrypt header
//! carries the work factor: 2^18 takes about a second and 256 MiB, for whoever guesses as well.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use age::{DecryptError, EncryptError, scrypt};
use zeroize::Zeroizing;

use crate::{
    Passphrase,
    files::{is_private, write_new},
};

/// The default work factor: the logarithm of scrypt's cost.
pub const WORK_FACTOR: u8 = 18;
/// The largest work factor that is written or read: 2^22 needs 4 GiB of memory.
pub const MAX_WORK_FACTOR: u8 = 22;
/// The most bytes of a secret.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Why a secret file cannot be written, read or erased. Carries no content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read {path}: check the path and that you may read the file")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: check that its folder exists, is writable and has space")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there already.
    #[error("{0} exists and is not overwritten: give another path, or move the file away if it is no longer needed")]
    Exists(PathBuf),
    /// Others than the owner may read or write the file.
    #[error(
        "{0} can be read or written by others: run `chmod 600` on it, and replace its keys if anyone else had access"
    )]
    Permissions(PathBuf),
    /// Not a regular file of a secret's size.
    #[error("{0} is no secret file: check the path")]
    NotASecret(PathBuf),
    /// The passphrase is not the file's.
    #[error("the passphrase does not open {0}: try again")]
    Passphrase(PathBuf),
    /// Not an age file, or one that was changed or cut off.
    #[error("{0} is damaged or no age file with a passphrase: restore it from a backup")]
    Damaged(PathBuf),
    /// A work factor outside 1 to [`MAX_WORK_FACTOR`].
    #[error("{path} asks for a work factor of {work_factor}: use 1 to {MAX_WORK_FACTOR}, {WORK_FACTOR} if in doubt")]
    WorkFactor {
        /// The file.
        path: PathBuf,
        /// The work factor.
        work_factor: u8,
    },
    /// More bytes than a secret has.
    #[error("a secret has at most {MAX_SECRET_BYTES} bytes: nothing was written")]
    TooLong,
}

impl KeyFileError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "key_file_unreadable",
            Self::Write { .. } => "key_file_unwritable",
            Self::Exists(_) => "key_file_exists",
            Self::Permissions(_) => "key_file_permissions",
            Self::NotASecret(_) => "key_file_foreign",
            Self::Passphrase(_) => "key_file_passphrase",
            Self::Damaged(_) => "key_file_damaged",
            Self::WorkFactor { .. } => "key_file_work_factor",
            Self::TooLong => "key_file_too_long",
        }
    }
}

/// Encrypts a secret under a passphrase into a new file of mode 0600. The file appears whole, and is on the disk when this
/// returns.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is one, [`KeyFileError::WorkFactor`], [`KeyFileError::TooLong`],
/// [`KeyFileError::Write`].
pub fn write_secret(path: &Path, bytes: &[u8], passphrase: &Passphrase, work_factor: u8) -> Result<(), KeyFileError> {
    if !(1..=MAX_WORK_FACTOR).contains(&work_factor) {
        return Err(KeyFileError::WorkFactor { path: path.into(), work_factor });
    }
    if bytes.len() > MAX_SECRET_BYTES {
        return Err(KeyFileError::TooLong);
    }
    // Before the work, which takes a second.
    if path.symlink_metadata().is_ok() {
        return Err(KeyFileError::Exists(path.into()));
    }
    let mut recipient = scrypt::Recipient::new(passphrase.secret());
    recipient.set_work_factor(work_factor);
    let sealed = age::encrypt(&recipient, bytes).map_err(|error| KeyFileError::Write {
        path: path.into(),
        source: match error {
            EncryptError::Io(source) => source,
            other => io::Error::other(other),
        },
    })?;
    write_new(path, &sealed)
}

/// Decrypts a secret file.
///
/// # Errors
/// [`KeyFileError`]; a wrong passphrase and a damaged file are told apart.
pub fn read_secret(path: &Path, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let unreadable = |source| KeyFileError::Read { path: path.into(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() || about.len() > SEALED_BYTES {
        return Err(KeyFileError::NotASecret(path.into()));
    }
    if !is_private(&about) {
        return Err(KeyFileError::Permissions(path.into()));
    }
    let mut sealed = Vec::new();
    Read::by_ref(&mut file).take(SEALED_BYTES).read_to_end(&mut sealed).map_err(unreadable)?;

    let damaged = || KeyFileError::Damaged(path.into());
    let decryptor = age::Decryptor::new_buffered(&sealed[..]).map_err(|_| damaged())?;
    if !decryptor.is_scrypt() {
        return Err(damaged());
    }
    let mut identity = scrypt::Identity::new(passphrase.secret());
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let mut opened =
        decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| match error {
            // The file key is sealed under the passphrase by itself: only the passphrase, or those few bytes, can be wrong.
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => KeyFileError::Passphrase(path.into()),
            DecryptError::ExcessiveWork { required, .. } => {
                KeyFileError::WorkFactor { path: path.into(), work_factor: required }
            }
            _ => damaged(),
        })?;
    // Never reallocated: no copy is left behind.
    let mut secret = Zeroizing::new(vec![0; MAX_SECRET_BYTES + 1]);
    let mut length = 0;
    while length < secret.len() {
        match opened.read(&mut secret[length..]).map_err(|_| damaged())? {
            0 => break,
            read => length += read,
        }
    }
    if length > MAX_SECRET_BYTES {
        return Err(KeyFileError::NotASecret(path.into()));
    }
    secret.truncate(length);
    Ok(secret)
}

/// Header, file key, tags: more than an age file with one passphrase adds.
const SEALED_BYTES: u64 = MAX_SECRET_BYTES as u64 + 4096;
