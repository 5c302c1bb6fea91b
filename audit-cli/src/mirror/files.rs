//! Files that are there whole or not at all, and files of others that are read within bounds.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

const PREFIX: &str = ".annona-";
const SUFFIX: &str = ".part";

/// Why a file cannot be used. Each ends with what to do.
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
    /// A link, a device or a folder.
    #[error("{} is no plain file, and was not read. Remove it", path.display())]
    Plain {
        /// What it is.
        path: PathBuf,
    },
    /// Longer than anything of its kind.
    #[error("{} is longer than {limit} bytes, and was not read. Remove it", path.display())]
    Long {
        /// The file.
        path: PathBuf,
        /// The most.
        limit: usize,
    },
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    move |source| FileError::Io { path: path.to_owned(), source }
}

/// Reads a plain file of at most `limit` bytes; none if there is none.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, FileError> {
    let Some(about) = about(path)? else { return Ok(None) };
    if about.len() > limit as u64 {
        return Err(FileError::Long { path: path.to_owned(), limit });
    }
    let file = File::open(path).map_err(at(path))?;
    let opened = file.metadata().map_err(at(path))?;
    // Somebody may have put a link there meanwhile.
    if (opened.dev(), opened.ino()) != (about.dev(), about.ino()) {
        return Err(FileError::Plain { path: path.to_owned() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(limit));
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() > limit { Err(FileError::Long { path: path.to_owned(), limit }) } else { Ok(Some(bytes)) }
}

/// What is at a path, if that is a plain file; none if nothing is.
fn about(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::symlink_metadata(path) {
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(at(path)(error)),
        Ok(about) if about.is_file() => Ok(Some(about)),
        Ok(_) => Err(FileError::Plain { path: path.to_owned() }),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads a plain file below a folder of somebody else's, who may have put links on the way: none is followed. `folder` itself
/// may be one, as its owner here chose it. None if there is no such file.
pub(crate) fn read_below(folder: &Path, below: &str, limit: usize) -> Result<Option<Vec<u8>>, FileError> {
    let (way, name) = below.rsplit_once('/').unwrap_or(("", below));
    match folder_below(folder, way)? {
        Some(found) => read(&found.join(name), limit),
        None => Ok(None),
    }
}

/// What is in a folder below a folder of somebody else's, as [`list`]; none if there is no such folder.
pub(crate) fn list_below(folder: &Path, below: &str) -> Result<Vec<PathBuf>, FileError> {
    folder_below(folder, below)?.map_or_else(|| Ok(Vec::new()), |found| list(&found))
}

/// The path of a folder below another, if every part of it is a folder and no link; none if there is none.
pub(crate) fn folder_below(folder: &Path, below: &str) -> Result<Option<PathBuf>, FileError> {
    let mut path = folder.to_owned();
    for part in below.split('/').filter(|part| !part.is_empty()) {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
            Ok(about) if about.is_dir() => {}
            // A plain file in place of a folder: what is below it is absent.
            Ok(about) if about.is_file() => return Ok(None),
            Ok(_) => return Err(FileError::Plain { path }),
        }
    }
    Ok(Some(path))
}

/// What is in a folder in the order of names, without what is hidden; none if there is no such folder.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(folder)(error)),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(at(folder))?;
    paths.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

/// Puts a file in place of what is there, and waits for the disk: after a crash there is the old one or the new one.
///
/// # Errors
/// [`FileError::Io`].
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let mut temporary = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(at(folder))?;
    temporary.write_all(content).and_then(|()| temporary.as_file().sync_all()).map_err(at(path))?;
    temporary.persist(path).map_err(|error| at(path)(error.error))?;
    sync(folder)
}

/// Whether [`replace`] makes files of this name on their way.
pub(crate) fn is_part(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Removes what a killed process left on its way in a folder, if there is one.
pub(crate) fn remove_parts(folder: &Path) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(at(folder))?.path();
        if path.file_name().is_some_and(|name| is_part(&name.to_string_lossy())) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Waits until the disk has the names in a folder.
pub(crate) fn sync(folder: &Path) -> Result<(), FileError> {
    match File::open(folder).and_then(|file| file.sync_all()) {
        // Some file systems of memory sticks cannot.
        Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(at(folder)(error))
        }
        _ => Ok(()),
    }
}
