//! Files that are there whole or not at all: temporary file, fsync, rename, fsync of the folder.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::faults;

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses.
    #[error("cannot use {}: {source}. Check that the disk is there, has room and may be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link, a device, or a folder where a file is expected, or the other way round.
    #[error("{} is no plain file or folder, and was not touched. Take it off the stick, or use another one", path.display())]
    Plain {
        /// What it is.
        path: PathBuf,
    },
    /// A file that is too long.
    #[error("{} is longer than {most} bytes, and was not read. Take it off the stick, or use another one", path.display())]
    Long {
        /// The file.
        path: PathBuf,
        /// The most.
        most: usize,
    },
    /// A file is there with other content.
    #[error("{} is there with other content. Nothing was overwritten: keep it and tell the auditors", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Reads a file; `None` if there is none.
///
/// # Errors
/// [`FileError::Io`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::at(path)(error)),
    }
}

/// Puts a file in place of what is there. After a crash there is the old one or the new one.
///
/// # Errors
/// [`FileError::Io`].
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(FileError::at(path)(io::ErrorKind::InvalidInput.into()));
    };
    make_folder(folder)?;
    let temporary = folder.join(format!(".{}.part", name.to_string_lossy()));
    let failed = FileError::at(&temporary);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(failed)?;
    faults::at("file-written");
    fs::rename(&temporary, path).map_err(FileError::at(path))?;
    sync_folder(folder)
}

/// Writes a file that never changes. True if it was not there.
///
/// # Errors
/// [`FileError::Differs`] if it is there with other content, which stays.
pub fn write_once(path: &Path, content: &[u8]) -> Result<bool, FileError> {
    match read(path)? {
        Some(found) if found == content => Ok(false),
        Some(_) => Err(FileError::Differs { path: path.to_owned() }),
        None => replace(path, content).map(|()| true),
    }
}

/// Removes a file if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::at(path)(error)),
        _ => Ok(()),
    }
}

/// The files of a folder in the order of their names, without temporary ones; none if there is no such folder.
///
/// # Errors
/// [`FileError::Io`].
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::at(folder)(error)),
    };
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(FileError::at(folder))?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

/// Makes a folder and those above it, each durable in the one above.
fn make_folder(folder: &Path) -> Result<(), FileError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(FileError::at(folder)(error)),
        _ => {}
    }
    sync_folder(above)
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder).and_then(|file| file.sync_all()) {
        // Some file systems of memory sticks cannot.
        Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(FileError::at(folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> Result<(), FileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        assert!(write_once(&path, b"one").unwrap());
        assert!(!write_once(&path, b"one").unwrap());
        assert!(matches!(write_once(&path, b"two"), Err(FileError::Differs { .. })));
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!(list(path.parent().unwrap()).unwrap(), std::slice::from_ref(&path));
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
