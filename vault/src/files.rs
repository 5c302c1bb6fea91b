//! Files that appear whole, and are their owner's only.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use crate::KeyFileError;

/// Erases a file: overwrites it with zeros, unlinks it, and waits for the disk after each. On flash memory and on file systems
/// that copy on write old blocks may stay readable, encrypted under the passphrase.
///
/// # Errors
/// [`KeyFileError::Write`]; asked again, it goes on where it failed.
pub fn erase(path: &Path) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.into(), source };
    let about = path.symlink_metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(KeyFileError::NotASecret(path.into()));
    }
    let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    io::copy(&mut io::repeat(0).take(about.len()), &mut file).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    drop(file);
    fs::remove_file(path).map_err(failed)?;
    sync_folder(path).map_err(failed)
}

/// Writes a new file of mode 0600 that appears whole, and waits for the disk. A power cut in the middle can leave a hidden
/// `.annona-*.part` of the same mode beside it, to be erased.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is one, [`KeyFileError::Write`].
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    write_new_with(path, |file| file.write_all(content))
}

/// The same; a file that has just this content already is left as it is.
///
/// # Errors
/// As [`write_new`]: [`KeyFileError::Exists`] if the file has another content.
pub fn write_same(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    match write_new(path, content) {
        Err(KeyFileError::Exists(_)) if fs::read(path).is_ok_and(|known| known == content) => Ok(()),
        written => written,
    }
}

/// The same for content that is written in parts.
///
/// # Errors
/// As [`write_new`]; what `write` says is the source.
pub fn write_new_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.into(), source };
    let mut file = tempfile::Builder::new()
        .prefix(".annona-")
        .suffix(".part")
        // The default of the library is the same; this file's mode is a promise.
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder(path))
        .map_err(failed)?;
    write(file.as_file_mut()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.into()),
        _ => failed(error.error),
    })?;
    sync_folder(path).map_err(failed)
}

/// Whether nobody but the owner may do anything with a file.
pub(crate) fn is_private(about: &Metadata) -> bool {
    about.mode() & 0o077 == 0
}

/// Whether others than the owner may put another file in the place of one in this folder.
pub(crate) fn others_can_replace(folder: &Metadata) -> bool {
    let (writable, sticky) = (folder.mode() & 0o022 != 0, folder.mode() & 0o1000 != 0);
    writable && !sticky
}

pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}
