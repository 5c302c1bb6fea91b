//! Where a mirror copies from: a party's server, or a published folder.

use std::path::{Path, PathBuf};

use annona_protocol::{log::note::MAX_NOTE_BYTES, signature::PublicKey};
use annona_transport::{Client, Options, Server, TransportError};

use super::files::{self, FileError};

/// The longest bundle: 256 entries of the greatest length.
pub(crate) const MAX_BUNDLE: usize = 256 * (2 + 65_535);
/// How often a request is sent whose answer is lost.
const ATTEMPTS: usize = 3;

/// Why something could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The server does not answer, or refuses.
    #[error("{0}. Try again later; what is here already is kept")]
    Transport(#[from] TransportError),
    /// A file of the folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The mirror was told to stop.
    #[error("stopped. Run it again to go on")]
    Stopped,
}

/// A log as one source has it.
#[derive(Debug)]
pub(crate) enum Source {
    Web {
        notes: Client,
        tiles: Client,
    },
    /// The log in a folder of a published folder.
    Folder {
        published: PathBuf,
        log: String,
    },
}

impl Source {
    /// A log of a published folder, by its folder below `logs/`.
    pub(crate) fn folder(published: &Path, log: &str) -> Self {
        Self::Folder { published: published.to_owned(), log: format!("logs/{log}") }
    }

    /// The log that a server has at `/log/`; its TLS key is the log's.
    pub(crate) fn web(url: &str, key: PublicKey, options: &Options) -> Result<Self, SourceError> {
        let client = |max_body| {
            let options = Options { max_body, reuse_connections: true, ..options.clone() };
            // Plain http, which is for this machine only, has no key.
            let key = url.starts_with("https:").then_some(key);
            Client::new(Server { url: url.to_owned(), key }, &options)
        };
        Ok(Self::Web { notes: client(MAX_NOTE_BYTES)?, tiles: client(MAX_BUNDLE)? })
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Web { .. })
    }

    /// The log's checkpoint; none if nothing was published.
    pub(crate) fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::Web { notes, .. } => get(notes, "/log/checkpoint"),
            Self::Folder { published, log } => {
                Ok(files::read_below(published, &format!("{log}/checkpoint"), MAX_NOTE_BYTES)?)
            }
        }
    }

    /// A tile or bundle; none if there is none.
    pub(crate) fn tile(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::Web { tiles, .. } => get(tiles, &format!("/log/{path}")),
            Self::Folder { published, log } => file(published, &format!("{log}/{path}")),
        }
    }

    /// Anything else that the server has.
    pub(crate) fn message(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::Web { tiles, .. } => get(tiles, path),
            Self::Folder { .. } => Ok(None),
        }
    }
}

fn file(folder: &Path, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
    match files::read_below(folder, path, MAX_BUNDLE) {
        // A file that is no plain file, or too long, is none of a log.
        Err(FileError::Plain { .. } | FileError::Long { .. }) => Ok(None),
        other => Ok(other?),
    }
}

/// Gets what is at a path; a lost answer is asked for again.
fn get(client: &Client, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
    let mut attempt = 1;
    loop {
        match client.get(path) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(TransportError::Refused(problem)) if matches!(problem.status, 404 | 410) => return Ok(None),
            Err(TransportError::AnswerLost { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}
