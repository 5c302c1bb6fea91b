//! The witness' key and its file.
//!
//! ```text
//! annona-witness-key-v1+name+key id+base64(seed)
//! ```

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use annona_protocol::log::{KeyType, NoteError, VerifierKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::SigningKey;
use rand::rngs::{SysError, SysRng};
use rand_core::TryRng as _;
use zeroize::Zeroizing;

use super::store::{folder_of, sync_folder};

const PREFIX: &str = "annona-witness-key-v1+";
/// Longer than any key file that this program writes under a sensible name.
const MAX_BYTES: u64 = 4096;

/// The Ed25519 key that a witness cosigns with, and its name. The seed is zeroed on drop and never shown.
pub struct WitnessKey {
    name: String,
    key: SigningKey,
}

impl WitnessKey {
    /// A key of the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Randomness`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *seed).map_err(|source| KeyError::Randomness { source })?;
        Self::from_seed(name, &seed)
    }

    /// The key of a seed, which has to be secret and uniform.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(seed);
        VerifierKey::new(name, KeyType::Witness, key.verifying_key()).map_err(|source| KeyError::Name { source })?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// Writes the key to a new file of mode 0600 that appears whole, and waits for the disk.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::Write { path: path.into(), source };
        let seed = Zeroizing::new(self.key.to_bytes());
        let seed = Zeroizing::new(BASE64.encode(seed.as_slice()));
        let mut file = tempfile::Builder::new()
            .prefix(".annona-")
            .suffix(".part")
            // The default of the library is the same; this file's mode is a promise.
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder_of(path))
            .map_err(failed)?;
        // Straight to the file: no buffer holds the seed.
        writeln!(file, "{PREFIX}{}+{}+{}", self.name, self.verifier_key().id(), seed.as_str()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
            _ => failed(error.error),
        })?;
        sync_folder(folder_of(path)).map_err(failed)
    }

    /// Reads a key file. Nobody but its owner may have any right to it.
    ///
    /// # Errors
    /// [`KeyError::Read`], [`KeyError::Mode`], [`KeyError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: path.into(), source };
        let malformed = || KeyError::Malformed { path: path.into() };
        let about = fs::metadata(path).map_err(failed)?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::Mode { path: path.into() });
        }
        if about.len() > MAX_BYTES {
            return Err(malformed());
        }
        let text = Zeroizing::new(fs::read(path).map_err(failed)?);
        let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
        let line = text.strip_suffix('\n').and_then(|line| line.strip_prefix(PREFIX)).ok_or_else(malformed)?;
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(id), Some(seed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let seed = Zeroizing::new(BASE64.decode(seed).map_err(|_| malformed())?);
        let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| malformed())?;
        let key = Self::from_seed(name, seed).map_err(|_| malformed())?;
        if key.verifier_key().id().to_string() == id { Ok(key) } else { Err(malformed()) }
    }

    /// The witness' name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half, of type 0x04.
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(&self.name, KeyType::Witness, self.key.verifying_key())
            .expect("name and key were checked when they were put together")
    }

    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.key
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({})", self.verifier_key())
    }
}

/// Why a key cannot be made, written or read. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is not one of a key.
    #[error("{source}. Choose a name without spaces and `+`, such as witness.example.net/w1")]
    Name {
        /// Why.
        source: NoteError,
    },
    /// The system gives no randomness.
    #[error("the operating system gives no randomness: {source}. Start again once the system is up")]
    Randomness {
        /// What the system said.
        source: SysError,
    },
    /// A file is never overwritten: it may be the only copy of a key.
    #[error("{} is there already. Choose another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}. Check the folder, its permissions and the room on the disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}. Make a key with `annona-audit witness keygen`, or correct the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner have rights to the file.
    #[error(
        "{} is open to others than its owner. If nobody read it, `chmod 600` it; else make a new key", path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no key.
    #[error("{} is not a witness' key file. Restore it from a backup, or correct the path", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}
