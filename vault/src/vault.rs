//! A state that is saved often: the passphrase is worked out once, when the file is opened.
//!
//! ```text
//! annona-vault 1\n      15 bytes
//! lengths               u32, u64, little-endian: of the two age files
//! age file 1            under the passphrase (scrypt): an X25519 identity
//! age file 2            to that identity: saves u64, length u64, the state, zeros up to a multiple of 16 KiB
//! ```
//!
//! A save writes age file 2 anew: a new file beside the old one, on the disk before it takes the name. Killed anywhere, the file holds
//! the state before or the state after. The identity changes with the passphrase.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use age::{DecryptError, EncryptError, scrypt, secrecy::ExposeSecret as _, x25519};
use zeroize::Zeroizing;

use crate::{
    KeyFileError, Lock, LockError, MAX_WORK_FACTOR, Passphrase, faults,
    files::{folder, is_private, others_can_replace, sync_folder, write_new},
};

/// The default work factor of vaults: the logarithm of scrypt's cost.
pub const VAULT_WORK_FACTOR: u8 = 16;
/// The most bytes of a state.
pub const MAX_STATE_BYTES: usize = 64 << 20;

const MAGIC: &[u8; 15] = b"annona-vault 1\n";
/// What all versions begin with.
const NAME: &[u8; 13] = b"annona-vault ";
const HEAD: usize = MAGIC.len() + 12;
/// An age file with one scrypt stanza over an identity has some 300 bytes.
const MAX_SEALED_IDENTITY: u32 = 4096;
/// The length of the file tells the state's size to this step.
const STEP: usize = 16 * 1024;
/// `saves` and the length, before the state.
const PREFIX: usize = 16;

/// Why a vault cannot be opened, saved or made. Carries no content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The file cannot be read.
    #[error("cannot read {path}: check the path and that you may read the file")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written. What it held before is still there.
    #[error("cannot write {path}: check that its folder exists, is writable and has space")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is there already.
    #[error("{0} exists and is not overwritten: give another path")]
    Exists(PathBuf),
    /// Others than the owner may read or write the file.
    #[error("{0} can be read or written by others: run `chmod 600` on it, and change its passphrase")]
    Permissions(PathBuf),
    /// Others may put another file in its place.
    #[error("others may replace files in {0}: run `chmod go-w` on the folder, or move the file")]
    Folder(PathBuf),
    /// Another process has it open.
    #[error("{0} is in use: wait for the other program to end")]
    Locked(PathBuf),
    /// Not a vault.
    #[error("{0} is no such file: check the path")]
    NotAVault(PathBuf),
    /// A vault of a later version.
    #[error("{0} was written by a newer program: update this one")]
    Version(PathBuf),
    /// The end is missing.
    #[error("{path} is cut off, {found} bytes of {expected}: restore it from a backup")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// What its head says.
        expected: u64,
    },
    /// The passphrase is not the file's.
    #[error("the passphrase does not open {0}: try again")]
    Passphrase(PathBuf),
    /// Something in it was changed.
    #[error("{0} is damaged: restore it from a backup")]
    Damaged(PathBuf),
    /// A work factor outside 1 to [`MAX_WORK_FACTOR`].
    #[error(
        "{path} asks for a work factor of {work_factor}: use 1 to {MAX_WORK_FACTOR}, {VAULT_WORK_FACTOR} if in doubt"
    )]
    WorkFactor {
        /// The file.
        path: PathBuf,
        /// The work factor.
        work_factor: u8,
    },
    /// More bytes than a state has.
    #[error("a state has at most {MAX_STATE_BYTES} bytes: nothing was written")]
    TooLong,
}

impl VaultError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "file-unreadable",
            Self::Write { .. } => "file-unwritable",
            Self::Exists(_) => "file-exists",
            Self::Permissions(_) => "file-permissions",
            Self::Folder(_) => "folder-permissions",
            Self::Locked(_) => "file-in-use",
            Self::NotAVault(_) => "file-foreign",
            Self::Version(_) => "file-newer",
            Self::Truncated { .. } => "file-cut-off",
            Self::Passphrase(_) => "wrong-passphrase",
            Self::Damaged(_) => "file-damaged",
            Self::WorkFactor { .. } => "work-factor",
            Self::TooLong => "state-too-long",
        }
    }

    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Locked(_))
    }
}

/// An open vault. No other process opens it until it is dropped.
///
/// **What the passphrase is worth.** Whoever has the file guesses at the price of scrypt: with 2^16, 64 MiB and some 0.2 s of one
/// core a guess, and no lock-out. Six random digits fall in two days to one core and in minutes to a rented hundred; they stop a
/// finder, not somebody who prepared. Five random words do not fall. Old copies open with the passphrase of their day.
///
/// **What this cannot tell** is an older copy of the file in the newer one's place: `saves` counts, but whoever puts the copy back
/// puts its number back too. For a wallet, a spent serial's slot at the issuer tells (spec 9).
pub struct Vault {
    path: PathBuf,
    identity: x25519::Identity,
    sealed_identity: Vec<u8>,
    saves: u64,
    _lock: Lock,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({}, redacted)", self.path.display())
    }
}

impl Vault {
    /// Makes a new file of mode 0600 that holds a state.
    ///
    /// # Errors
    /// [`VaultError::Exists`], [`VaultError::Folder`], [`VaultError::WorkFactor`], [`VaultError::Write`].
    pub fn create(path: &Path, passphrase: &Passphrase, work_factor: u8, state: &[u8]) -> Result<Self, VaultError> {
        // Before the work, which takes a while.
        if path.symlink_metadata().is_ok() {
            return Err(VaultError::Exists(path.into()));
        }
        check_folder(path)?;
        let lock = lock(path)?;
        let (identity, sealed_identity) = new_identity(path, passphrase, work_factor)?;
        let vault = Self { path: path.into(), identity, sealed_identity, saves: 1, _lock: lock };
        write_new(path, &vault.sealed(state)?).map_err(|error| key_file(error, path))?;
        Ok(vault)
    }

    /// Opens a file and gives its state.
    ///
    /// # Errors
    /// [`VaultError`]. A wrong passphrase, a file that was cut off, one that was changed and one that is something else are told
    /// apart; a change in the few bytes that seal the identity looks like a wrong passphrase.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<(Self, Zeroizing<Vec<u8>>), VaultError> {
        let unreadable = |source| VaultError::Read { path: path.into(), source };
        // Saved where the file is, not where a link to it is.
        let path = &fs::canonicalize(path).map_err(unreadable)?;
        check_folder(path)?;
        let lock = lock(path)?;
        let bytes = read(path)?;
        let (sealed_identity, sealed_state) = parts(path, &bytes)?;
        let identity = open_identity(path, sealed_identity, passphrase)?;
        let (saves, state) = open_state(path, sealed_state, &identity)?;
        Ok((
            Self { path: path.clone(), identity, sealed_identity: sealed_identity.to_vec(), saves, _lock: lock },
            state,
        ))
    }

    /// Replaces the state. It survives a loss of power once this returns.
    ///
    /// # Errors
    /// [`VaultError::Write`], [`VaultError::TooLong`]: the file holds the state before.
    pub fn save(&mut self, state: &[u8]) -> Result<(), VaultError> {
        faults::at(faults::SAVE);
        self.saves += 1;
        self.replace(&self.sealed(state)?)
    }

    /// Puts the file under another passphrase and another identity. Older copies keep theirs.
    ///
    /// # Errors
    /// As [`Vault::save`], and [`VaultError::WorkFactor`].
    pub fn change_passphrase(
        &mut self,
        passphrase: &Passphrase,
        work_factor: u8,
        state: &[u8],
    ) -> Result<(), VaultError> {
        let (identity, sealed_identity) = new_identity(&self.path, passphrase, work_factor)?;
        let before = (
            std::mem::replace(&mut self.identity, identity),
            std::mem::replace(&mut self.sealed_identity, sealed_identity),
        );
        let saved = self.save(state);
        if saved.is_err() {
            (self.identity, self.sealed_identity) = before;
        }
        saved
    }

    /// Writes a new file beside this one with a state under the same passphrase: a backup.
    ///
    /// # Errors
    /// [`VaultError::Exists`], [`VaultError::Write`], [`VaultError::TooLong`].
    pub fn copy_to(&self, path: &Path, state: &[u8]) -> Result<(), VaultError> {
        write_new(path, &self.sealed(state)?).map_err(|error| key_file(error, path))
    }

    /// Closes the file for a while: other processes may open it until [`Resting::wake`].
    pub fn rest(self) -> Resting {
        let Self { path, identity, sealed_identity, .. } = self;
        Resting { path, identity, sealed_identity }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often the state was saved.
    pub fn saves(&self) -> u64 {
        self.saves
    }

    fn sealed(&self, state: &[u8]) -> Result<Vec<u8>, VaultError> {
        if state.len() > MAX_STATE_BYTES {
            return Err(VaultError::TooLong);
        }
        let mut plain = Zeroizing::new(vec![0; (PREFIX + state.len()).next_multiple_of(STEP)]);
        plain[..8].copy_from_slice(&self.saves.to_le_bytes());
        plain[8..PREFIX].copy_from_slice(&(state.len() as u64).to_le_bytes());
        plain[PREFIX..PREFIX + state.len()].copy_from_slice(state);
        let sealed_state = encrypt(&self.path, &self.identity.to_public(), &plain)?;
        let identity_length = u32::try_from(self.sealed_identity.len()).expect("checked when it was made or read");
        let mut bytes = Vec::with_capacity(HEAD + self.sealed_identity.len() + sealed_state.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&identity_length.to_le_bytes());
        bytes.extend_from_slice(&(sealed_state.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&self.sealed_identity);
        bytes.extend_from_slice(&sealed_state);
        Ok(bytes)
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), VaultError> {
        let failed = |source| VaultError::Write { path: self.path.clone(), source };
        // One name, so that a crash leaves at most one such file; never one that somebody else made.
        let part = beside(&self.path, ".part");
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            faults::at(faults::RENAME);
            fs::rename(&part, &self.path)
        })();
        if let Err(error) = written {
            // Its name is free again; if not, the next save frees it.
            let _removed = fs::remove_file(&part);
            return Err(failed(error));
        }
        sync_folder(&self.path).map_err(failed)?;
        faults::at(faults::SAVED);
        Ok(())
    }
}

/// A vault that is closed and can be opened without the passphrase: the identity is kept, which opens this file, and its copies under
/// the same passphrase, and nothing else.
pub struct Resting {
    path: PathBuf,
    identity: x25519::Identity,
    sealed_identity: Vec<u8>,
}

impl std::fmt::Debug for Resting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resting({}, redacted)", self.path.display())
    }
}

impl Resting {
    /// Opens the file again, and gives the state that it has by now.
    ///
    /// # Errors
    /// As [`Vault::open`]; [`VaultError::Passphrase`] if the passphrase was changed meanwhile.
    pub fn wake(&self) -> Result<(Vault, Zeroizing<Vec<u8>>), VaultError> {
        let path = &self.path;
        check_folder(path)?;
        let lock = lock(path)?;
        let bytes = read(path)?;
        let (sealed_identity, sealed_state) = parts(path, &bytes)?;
        if sealed_identity != self.sealed_identity {
            return Err(VaultError::Passphrase(path.clone()));
        }
        let (saves, state) = open_state(path, sealed_state, &self.identity)?;
        let (identity, sealed_identity) = (self.identity.clone(), sealed_identity.to_vec());
        Ok((Vault { path: path.clone(), identity, sealed_identity, saves, _lock: lock }, state))
    }
}

fn new_identity(
    path: &Path,
    passphrase: &Passphrase,
    work_factor: u8,
) -> Result<(x25519::Identity, Vec<u8>), VaultError> {
    if !(1..=MAX_WORK_FACTOR).contains(&work_factor) {
        return Err(VaultError::WorkFactor { path: path.into(), work_factor });
    }
    let identity = x25519::Identity::generate();
    let mut recipient = scrypt::Recipient::new(passphrase.secret());
    recipient.set_work_factor(work_factor);
    let sealed = encrypt(path, &recipient, identity.to_string().expose_secret().as_bytes())?;
    Ok((identity, sealed))
}

fn encrypt(path: &Path, recipient: &impl age::Recipient, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    age::encrypt(recipient, plain).map_err(|error| VaultError::Write {
        path: path.into(),
        source: match error {
            EncryptError::Io(source) => source,
            other => io::Error::other(other),
        },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, VaultError> {
    let unreadable = |source| VaultError::Read { path: path.into(), source };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    // Twice: age adds 16 bytes to each 64 KiB.
    let most = 2 * MAX_STATE_BYTES as u64;
    if !about.is_file() || about.len() > most {
        return Err(VaultError::NotAVault(path.into()));
    }
    if !is_private(&about) {
        return Err(VaultError::Permissions(path.into()));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The two age files.
fn parts<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), VaultError> {
    let truncated = |expected| VaultError::Truncated { path: path.into(), found: bytes.len() as u64, expected };
    if !bytes.starts_with(MAGIC) {
        return Err(match bytes.strip_prefix(NAME) {
            Some(rest) if rest.first().is_some_and(u8::is_ascii_digit) && rest.contains(&b'\n') => {
                VaultError::Version(path.into())
            }
            // Nothing, or the beginning of the first line.
            None if NAME.starts_with(bytes) => truncated(HEAD as u64),
            Some(_) if MAGIC.starts_with(bytes) => truncated(HEAD as u64),
            _ => VaultError::NotAVault(path.into()),
        });
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Err(truncated(HEAD as u64)) };
    let identity = u32::from_le_bytes(head[MAGIC.len()..MAGIC.len() + 4].try_into().expect("four bytes"));
    let state = u64::from_le_bytes(head[MAGIC.len() + 4..].try_into().expect("eight bytes"));
    if identity > MAX_SEALED_IDENTITY || state > 2 * MAX_STATE_BYTES as u64 {
        return Err(VaultError::Damaged(path.into()));
    }
    let expected = HEAD as u64 + u64::from(identity) + state;
    match (bytes.len() as u64).cmp(&expected) {
        std::cmp::Ordering::Less => Err(truncated(expected)),
        std::cmp::Ordering::Greater => Err(VaultError::Damaged(path.into())),
        std::cmp::Ordering::Equal => Ok(rest.split_at(identity as usize)),
    }
}

fn open_identity(path: &Path, sealed: &[u8], passphrase: &Passphrase) -> Result<x25519::Identity, VaultError> {
    let damaged = || VaultError::Damaged(path.into());
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(|_| damaged())?;
    if !decryptor.is_scrypt() {
        return Err(damaged());
    }
    let mut identity = scrypt::Identity::new(passphrase.secret());
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => VaultError::Passphrase(path.into()),
        DecryptError::ExcessiveWork { required, .. } => {
            VaultError::WorkFactor { path: path.into(), work_factor: required }
        }
        _ => damaged(),
    })?;
    let text = read_plain(opened, MAX_SEALED_IDENTITY as usize).ok_or_else(damaged)?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged())?;
    x25519::Identity::from_str(text).map_err(|_| damaged())
}

fn open_state(
    path: &Path,
    sealed: &[u8],
    identity: &x25519::Identity,
) -> Result<(u64, Zeroizing<Vec<u8>>), VaultError> {
    let damaged = || VaultError::Damaged(path.into());
    // The passphrase was right: whatever is wrong now is damage.
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(|_| damaged())?;
    let opened = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).map_err(|_| damaged())?;
    let plain = read_plain(opened, sealed.len()).ok_or_else(damaged)?;
    let (prefix, rest) = plain.split_at_checked(PREFIX).ok_or_else(damaged)?;
    let saves = u64::from_le_bytes(prefix[..8].try_into().expect("eight bytes"));
    let length = u64::from_le_bytes(prefix[8..].try_into().expect("eight bytes"));
    let state = usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or_else(damaged)?;
    Ok((saves, Zeroizing::new(state.to_vec())))
}

/// The whole content, of at most so many bytes, without a copy left behind.
fn read_plain(mut opened: impl io::Read, most: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(vec![0; most]);
    let mut length = 0;
    while length < plain.len() {
        match opened.read(&mut plain[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return None,
        }
    }
    plain.truncate(length);
    Some(plain)
}

fn check_folder(path: &Path) -> Result<(), VaultError> {
    let folder = folder(path);
    let about = fs::metadata(folder).map_err(|source| VaultError::Read { path: folder.into(), source })?;
    if others_can_replace(&about) { Err(VaultError::Folder(folder.into())) } else { Ok(()) }
}

/// A lock of its own: the vault's file is another one after each save.
fn lock(path: &Path) -> Result<Lock, VaultError> {
    Lock::take(&beside(path, ".lock")).map_err(|error| match error {
        LockError::File { source, .. } => VaultError::Write { path: path.into(), source },
        LockError::Taken(_) => VaultError::Locked(path.into()),
    })
}

/// A hidden file in the same folder that is named after this one.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

fn key_file(error: KeyFileError, path: &Path) -> VaultError {
    match error {
        KeyFileError::Write { path, source } => VaultError::Write { path, source },
        _ => VaultError::Exists(path.into()),
    }
}
