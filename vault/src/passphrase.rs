//! Where passphrases come from: the terminal, a file descriptor, the environment; never an argument.

use std::{
    env,
    fs::File,
    io::{self, Read},
    process::Command,
};

use age::secrecy::{ExposeSecret as _, SecretString};
use zeroize::{Zeroize as _, Zeroizing};

/// The environment variable that may hold a passphrase.
pub const PASSPHRASE_VARIABLE: &str = "ANNONA_PASSPHRASE";
/// The environment variable that may hold the new passphrase where one is changed.
pub const NEW_PASSPHRASE_VARIABLE: &str = "ANNONA_NEW_PASSPHRASE";
/// The fewest characters of a server's new passphrase.
pub const MIN_PASSPHRASE_CHARACTERS: usize = 12;
/// The most bytes of a passphrase.
const MAX_PASSPHRASE_BYTES: usize = 1024;

/// A passphrase: wiped on drop, redacted in `Debug`.
#[derive(Clone, Debug)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes over a text.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// For the age library.
    pub(crate) fn secret(&self) -> SecretString {
        self.0.clone()
    }

    /// Borrows the text, for a key derivation that is not age's: the name marks every use of a secret.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn characters(&self) -> usize {
        self.0.expose_secret().chars().count()
    }
}

/// Where a passphrase comes from. Never an argument: other users see those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// Asked for on the terminal, without echo.
    Prompt,
    /// The first line of an open file descriptor.
    Descriptor(u32),
    /// A variable such as [`PASSPHRASE_VARIABLE`]. It stays in this process's environment, as removing it is not safe while other
    /// threads run: start children through [`without_passphrase`].
    Environment(&'static str),
}

impl PassphraseSource {
    /// The descriptor if one was named, or else the environment if it holds a passphrase, or else the terminal.
    pub fn choose(descriptor: Option<u32>) -> Self {
        Self::choose_from(descriptor, PASSPHRASE_VARIABLE)
    }

    /// The same with another variable.
    pub fn choose_from(descriptor: Option<u32>, variable: &'static str) -> Self {
        match descriptor {
            Some(descriptor) => Self::Descriptor(descriptor),
            None if env::var_os(variable).is_some() => Self::Environment(variable),
            None => Self::Prompt,
        }
    }
}

/// What a terminal shows when it asks for a passphrase.
#[derive(Clone, Copy, Debug)]
pub struct Questions<'a> {
    /// The first time.
    pub first: &'a str,
    /// The second time, for a new one.
    pub again: &'a str,
}

impl Default for Questions<'_> {
    fn default() -> Self {
        Self { first: "Passphrase: ", again: "The same again: " }
    }
}

/// Why there is no passphrase. Carries none of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// No terminal to ask on.
    #[error(
        "no passphrase can be asked for here: run this on a terminal, give `--passphrase-fd N`, or set {PASSPHRASE_VARIABLE}"
    )]
    Prompt(#[source] io::Error),
    /// The descriptor cannot be read.
    #[error(
        "no passphrase can be read from file descriptor {descriptor}: open it for reading, such as with `{descriptor}<file`"
    )]
    Descriptor {
        /// Its number.
        descriptor: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The variable is not set.
    #[error("{0} is not set: set it, or give `--passphrase-fd N`")]
    Environment(&'static str),
    /// Bytes that are not UTF-8.
    #[error("the passphrase is not UTF-8 text: choose another, or correct the terminal's encoding")]
    NotText,
    /// Nothing was given.
    #[error("the passphrase is empty: give one")]
    Empty,
    /// More bytes than any passphrase has.
    #[error("the passphrase has more than 1024 bytes: check what the file or variable holds")]
    TooLong,
    /// A new passphrase that would be guessed.
    #[error("a new passphrase needs at least {least} characters: five or six random words are good")]
    TooShort {
        /// The fewest characters.
        least: usize,
    },
    /// The second entry of a new passphrase differs.
    #[error("the two entries differ: try again")]
    Differs,
}

impl PassphraseError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Prompt(_) => "passphrase_no_terminal",
            Self::Descriptor { .. } => "passphrase_descriptor",
            Self::Environment(_) => "passphrase_unset",
            Self::NotText => "passphrase_not_text",
            Self::Empty => "passphrase_empty",
            Self::TooLong => "passphrase_too_long",
            Self::TooShort { .. } => "passphrase_too_short",
            Self::Differs => "passphrase_differs",
        }
    }
}

/// The passphrase of files that exist.
///
/// # Errors
/// [`PassphraseError`].
pub fn passphrase(source: PassphraseSource) -> Result<Passphrase, PassphraseError> {
    passphrase_by(source, Questions::default())
}

/// The same, asked in other words.
///
/// # Errors
/// [`PassphraseError`].
pub fn passphrase_by(source: PassphraseSource, questions: Questions<'_>) -> Result<Passphrase, PassphraseError> {
    match source {
        PassphraseSource::Prompt => checked(prompt(questions.first)?),
        // `/dev/fd` opens a descriptor again without unsafe code. It stays open besides: children inherit it unless whoever
        // starts this program closes it for them.
        PassphraseSource::Descriptor(descriptor) => {
            let failed = |source| PassphraseError::Descriptor { descriptor, source };
            first_line(File::open(format!("/dev/fd/{descriptor}")).map_err(failed)?, failed)
        }
        PassphraseSource::Environment(variable) => match env::var(variable) {
            Ok(text) => checked(Zeroizing::new(text)),
            Err(env::VarError::NotPresent) => Err(PassphraseError::Environment(variable)),
            Err(env::VarError::NotUnicode(_)) => Err(PassphraseError::NotText),
        },
    }
}

/// A passphrase for files that are made now: a terminal asks twice.
///
/// # Errors
/// [`PassphraseError`]; [`PassphraseError::TooShort`] below [`MIN_PASSPHRASE_CHARACTERS`].
pub fn new_passphrase(source: PassphraseSource) -> Result<Passphrase, PassphraseError> {
    new_passphrase_by(source, Questions::default(), MIN_PASSPHRASE_CHARACTERS)
}

/// The same, asked in other words, of at least so many characters.
///
/// # Errors
/// [`PassphraseError`].
pub fn new_passphrase_by(
    source: PassphraseSource,
    questions: Questions<'_>,
    least: usize,
) -> Result<Passphrase, PassphraseError> {
    let first = passphrase_by(source, questions)?;
    if first.characters() < least {
        return Err(PassphraseError::TooShort { least });
    }
    if source == PassphraseSource::Prompt && *prompt(questions.again)? != *first.0.expose_secret() {
        return Err(PassphraseError::Differs);
    }
    Ok(first)
}

/// Keeps the passphrase variables from a child process.
pub fn without_passphrase(command: &mut Command) -> &mut Command {
    command.env_remove(PASSPHRASE_VARIABLE).env_remove(NEW_PASSPHRASE_VARIABLE)
}

fn prompt(question: &str) -> Result<Zeroizing<String>, PassphraseError> {
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(PassphraseError::Prompt)
}

/// Reads to the first line end, or to the end.
fn first_line(
    mut input: impl Read,
    failed: impl Fn(io::Error) -> PassphraseError,
) -> Result<Passphrase, PassphraseError> {
    let mut line = Zeroizing::new(vec![0; MAX_PASSPHRASE_BYTES + 2]);
    let mut length = 0;
    while length < line.len() && !line[..length].contains(&b'\n') {
        match input.read(&mut line[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let end = line[..length].iter().position(|byte| *byte == b'\n').unwrap_or(length);
    let text = std::str::from_utf8(&line[..end]).map_err(|_| PassphraseError::NotText)?;
    checked(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn checked(mut text: Zeroizing<String>) -> Result<Passphrase, PassphraseError> {
    if text.is_empty() {
        return Err(PassphraseError::Empty);
    }
    if text.len() > MAX_PASSPHRASE_BYTES {
        return Err(PassphraseError::TooLong);
    }
    let passphrase = Passphrase::new(text.as_str().to_owned());
    text.zeroize();
    Ok(passphrase)
}
