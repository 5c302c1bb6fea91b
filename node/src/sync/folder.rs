//! A folder of a memory stick, which anybody may have had in hands: nothing is written outside it, no link is followed, nothing
//! but plain files is opened, and no file is read beyond a limit.
//!
//! A stick cannot change between two looks; somebody who writes to it on this machine at the same time can, and could do worse.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::{faults, publisher::files::FileError};

/// A folder that is one, below the stick's own.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// What stands under a name.
enum Found {
    Nothing,
    Plain(u64),
    Folder,
    Other,
}

fn find(path: &Path) -> Result<Found, FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(Found::Folder),
        Ok(found) if found.is_file() => Ok(Found::Plain(found.len())),
        Ok(_) => Ok(Found::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(FileError::at(path)(error)),
    }
}

impl Folder {
    /// The stick's own folder, which has to be there.
    pub(super) fn root(path: &Path) -> Result<Self, FileError> {
        if path.is_dir() { Ok(Self(path.to_owned())) } else { Err(FileError::at(path)(io::ErrorKind::NotFound.into())) }
    }

    /// A folder in it; none if there is none.
    pub(super) fn enter(&self, name: &str) -> Result<Option<Self>, FileError> {
        let path = self.0.join(name);
        match find(&path)? {
            Found::Folder => Ok(Some(Self(path))),
            Found::Nothing => Ok(None),
            Found::Plain(_) | Found::Other => Err(FileError::Plain { path }),
        }
    }

    /// A folder in it, which is made if there is none.
    pub(super) fn make(&self, name: &str) -> Result<Self, FileError> {
        if let Some(folder) = self.enter(name)? {
            return Ok(folder);
        }
        let path = self.0.join(name);
        fs::create_dir(&path).map_err(FileError::at(&path))?;
        faults::at("stick");
        self.sync()?;
        Ok(Self(path))
    }

    /// The names in it, in order, without those that begin with a dot; of very many only some.
    pub(super) fn names(&self, most: usize) -> Result<Vec<std::ffi::OsString>, FileError> {
        let failed = |error| FileError::at(&self.0)(error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                names.push(name);
            }
            if names.len() == most {
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    /// A file's content; none if there is none.
    pub(super) fn read(&self, name: &OsStr, most: usize) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.0.join(name);
        match find(&path)? {
            Found::Nothing => return Ok(None),
            Found::Plain(length) if length <= most as u64 => {}
            Found::Plain(_) => return Err(FileError::Long { path, most }),
            Found::Folder | Found::Other => return Err(FileError::Plain { path }),
        }
        let mut content = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut content));
        read.map_err(FileError::at(&path))?;
        if content.len() > most { Err(FileError::Long { path, most }) } else { Ok(Some(content)) }
    }

    /// Puts a file in place of what is there, unless that is the same: written beside it, made durable, renamed.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> Result<(), FileError> {
        let path = self.0.join(name);
        match find(&path)? {
            Found::Plain(length)
                if length == content.len() as u64
                    && self.read(name.as_ref(), content.len())?.is_some_and(|found| found == content) =>
            {
                return Ok(());
            }
            Found::Folder => return Err(FileError::Plain { path }),
            // A link is replaced, not followed.
            Found::Plain(_) | Found::Nothing | Found::Other => {}
        }
        let part = self.0.join(format!(".{name}.part"));
        match find(&part)? {
            Found::Nothing => {}
            Found::Folder => return Err(FileError::Plain { path: part }),
            Found::Plain(_) | Found::Other => fs::remove_file(&part).map_err(FileError::at(&part))?,
        }
        let written = OpenOptions::new().write(true).create_new(true).open(&part).and_then(|mut file| {
            file.write_all(content)?;
            faults::at("stick");
            file.sync_all()
        });
        written.map_err(FileError::at(&part))?;
        faults::at("stick");
        fs::rename(&part, &path).map_err(FileError::at(&path))?;
        faults::at("stick");
        self.sync()
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), FileError> {
        let path = self.0.join(name);
        fs::remove_file(&path).map_err(FileError::at(&path))?;
        faults::at("stick");
        self.sync()
    }

    fn sync(&self) -> Result<(), FileError> {
        crate::publisher::files::sync_folder(&self.0)
    }
}
