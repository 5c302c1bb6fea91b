//! The command line. Secrets never come as arguments; every command that asks has `--passphrase-fd`; `--json` for programs.

mod counter;
mod desk;
mod issuer;
mod officer;
mod operators;
mod serve;
mod site;

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use annona_node::{
    home::HomeError,
    keys::{Passphrase, PassphraseSource, WORK_FACTOR, new_passphrase, passphrase},
    publisher::PublishError,
    runner::RunError,
    service::{issuer::IssuerError, site::SiteError},
    store::StoreError,
    sync::{desk::DeskError, headquarters::HqError, site::SyncError, stick::StickError},
};
use annona_protocol::{
    ids::{ProgrammeId, Round},
    signature::PublicKey,
};
use annona_transport::TransportError;
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

/// Headquarters and distribution sites of an aid programme.
///
/// Exit status: 0 done, 2 error, 75 try again later.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The issuer: the agency's headquarters.
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// A distribution site.
    #[command(subcommand)]
    Site(site::Command),
    /// Officers: keys, and what they sign.
    #[command(subcommand)]
    Officer(officer::Command),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Issuer(command) => issuer::run(command),
        Command::Site(command) => site::run(command),
        Command::Officer(command) => officer::run(command),
    }
}

/// An error with its causes, each once: many name theirs in their own text.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.contains(cause.trim_end()) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
        text
    })
}

/// Whether the same command may succeed later.
pub(crate) fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        // A transparent error shows its source's source: each layer that wraps a store has to be named.
        let store = cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient);
        let home = cause.downcast_ref::<HomeError>().is_some_and(HomeError::is_transient);
        let sync = cause.downcast_ref::<SyncError>().is_some_and(SyncError::is_transient);
        let stick = cause.downcast_ref::<StickError>().is_some_and(StickError::is_transient);
        let headquarters = cause.downcast_ref::<HqError>().is_some_and(HqError::is_transient);
        let desk = cause.downcast_ref::<DeskError>().is_some_and(DeskError::is_transient);
        let issuer = cause.downcast_ref::<IssuerError>().is_some_and(IssuerError::is_transient);
        let site = cause.downcast_ref::<SiteError>().is_some_and(SiteError::is_transient);
        let publish = cause.downcast_ref::<PublishError>().is_some_and(PublishError::is_transient);
        let transport = cause.downcast_ref::<TransportError>().is_some_and(TransportError::is_transient);
        issuer
            || transport
            || site
            || publish
            || desk
            || store
            || home
            || sync
            || stick
            || headquarters
            || cause.downcast_ref::<RunError>().is_some_and(RunError::is_transient)
    })
}

/// Where passphrases come from.
#[derive(Args)]
struct Secret {
    /// Reads the passphrase from this open file descriptor; without it from ANNONA_PASSPHRASE, or from the terminal.
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
}

impl Secret {
    fn ask(&self) -> anyhow::Result<Passphrase> {
        Ok(passphrase(PassphraseSource::choose(self.passphrase_fd))?)
    }

    fn ask_new(&self) -> anyhow::Result<Passphrase> {
        Ok(new_passphrase(PassphraseSource::choose(self.passphrase_fd))?)
    }
}

/// How hard new key files are to guess.
#[derive(Args)]
struct NewSecret {
    #[command(flatten)]
    secret: Secret,
    /// scrypt's cost for new key files, as a power of two; lower only where the passphrase is random and long.
    #[arg(long, value_name = "LOG2", default_value_t = WORK_FACTOR)]
    work_factor: u8,
}

fn round(text: &str) -> Result<Round, std::num::ParseIntError> {
    text.parse().map(Round)
}

fn programme(text: &str) -> Result<ProgrammeId, &'static str> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| "a programme id has 64 hexadecimal digits; the agency prints it")?;
    Ok(ProgrammeId(id))
}

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map_err(|_| "a key has 64 hexadecimal digits; the manifest names it")?;
    Ok(PublicKey(key))
}

/// Reads a file, or standard input for `-`.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("cannot read {}. Check the path", path.display()))
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| anyhow::anyhow!("{} is not UTF-8 text", path.display()))
}

/// Writes a file whole or not at all; an existing one is replaced.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}. Check the folder and its space", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(failed)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part: PathBuf = folder.join(name);
    let mut file = fs::File::create(&part).with_context(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(failed)?;
    fs::rename(&part, path).with_context(failed)
}

/// An error that names what was refused of something whose rest was done.
fn rest_was_done(refused: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(refused.is_empty(), "the rest was done, but not taken:\n  {}", refused.join("\n  "));
    Ok(())
}

/// A line for whoever runs the command.
fn say(line: impl fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("cannot write to standard output")
}

/// A result for programs.
fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?)
}
