//! One process at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// An advisory lock that the kernel drops with the process. Given back by word: a child that was forked meanwhile holds the file
/// until it runs its own program.
#[derive(Debug)]
pub struct Lock(File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("{0} is in use: wait for the other program to end")]
    Taken(PathBuf),
    /// The lock's file cannot be used.
    #[error("cannot lock {path}: check that its folder is writable")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of a file of its own, which is made if it is not there and stays.
    ///
    /// # Errors
    /// [`LockError::Taken`] at once if another process has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|source| LockError::File { path: path.to_owned(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(LockError::File { path: path.to_owned(), source }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is closed next, which does the same.
        let _given_back = self.0.unlock();
    }
}
