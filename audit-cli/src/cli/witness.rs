//! `annona-audit witness`: makes a witness' key, serves with it, and cosigns folders.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use annona_audit::{
    VerifyError,
    mirror::{FileError, MirrorError, chain_of, replace},
    verify_folder,
    witness::{
        Cosigning, FolderError, KeyError, Listen, Options, ServeError, Witness, WitnessError, WitnessKey,
        cosign_folder, is_named, serve as start,
    },
};
use annona_protocol::{ids::ProgrammeId, log::VerifierKey};
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, programme, tuning::Tuning};

/// What `annona-audit witness` does.
#[derive(Subcommand)]
pub(super) enum WitnessCommand {
    /// Makes a key in a new file and prints its verifier key, which goes into manifests.
    Keygen {
        /// The new key file, of mode 0600. An existing file is never overwritten.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The name that the witness cosigns under, such as witness.example.net/w1.
        #[arg(long)]
        name: String,
    },
    /// Cosigns checkpoints of known logs that only ever grow, at POST /add-checkpoint (C2SP tlog-witness).
    ///
    /// Speaks plain HTTP: let a proxy with TLS stand in front. Stops on SIGTERM and SIGINT; requests that are there are
    /// answered first. Writes no access log.
    Serve(Box<Serve>),
    /// Verifies a mirrored folder, and cosigns each log of it that nothing was found against. Exit status: 0 all were cosigned, 1 one
    /// was not, 2 could not run.
    ///
    /// For a witness whom logs cannot ask: what it cosigned goes back by hand. Shares its state with `serve`, which must not run
    /// meanwhile. A folder whose logs nobody has cosigned yet comes from `annona-audit mirror --uncosigned`.
    Cosign(Box<Cosign>),
}

/// How a folder is cosigned.
#[derive(Args)]
pub(super) struct Cosign {
    /// The mirrored folder.
    folder: PathBuf,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    /// The key file that `keygen` made.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The name in the key file.
    #[arg(long)]
    name: String,
    /// The folder of what was cosigned, the same as for `serve`. Keep it as long as the key.
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Where the cosigned checkpoints go, one file a log. What is there of the same log is replaced.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Prints what was cosigned as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tuning: Tuning,
}

/// How a witness serves.
#[derive(Args)]
pub(super) struct Serve {
    /// The key file that `keygen` made.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The name in the key file.
    #[arg(long)]
    name: String,
    /// The folder of what was cosigned. Keep it as long as the key: without it, or with an older copy of it, logs could
    /// take back what was cosigned.
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// The verifier key of a log, from the programme's manifest. May be given more than once.
    #[arg(long = "log", value_name = "VKEY")]
    logs: Vec<VerifierKey>,
    /// A file of more logs, one verifier key a line. Read again whenever a log is asked for that is not known.
    #[arg(long = "logs", value_name = "FILE")]
    logs_file: Option<PathBuf>,
    /// Address and port; port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Allows an address outside loopback: only where a proxy with TLS stands in front, in a network that you trust.
    #[arg(long)]
    allow_remote: bool,
    /// Writes the bound address to this file once the witness serves.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

/// Why a command failed. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum WitnessFailure {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the key in {path} is {name}'s. Give that name, or another key file")]
    Name { path: PathBuf, name: String },
    #[error(transparent)]
    Witness(#[from] WitnessError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("no log is given. Add --log or --logs")]
    NoLog,
    #[error("cannot wait for signals: {0}. Look at the limits of this user")]
    Signals(io::Error),
    #[error("cannot write {path}: {source}. Choose another file for --address-file")]
    AddressFile { path: PathBuf, source: io::Error },
    #[error("cannot write: {0}. Check where the output goes")]
    Output(io::Error),
}

/// Runs a command to its end.
pub(super) fn run(command: WitnessCommand) -> Result<Outcome, WitnessFailure> {
    match command {
        WitnessCommand::Keygen { key, name } => keygen(&key, &name).map(|()| Outcome::Holds),
        WitnessCommand::Serve(options) => serve(*options).map(|()| Outcome::Holds),
        WitnessCommand::Cosign(options) => cosign(*options),
    }
}

fn cosign(options: Cosign) -> Result<Outcome, WitnessFailure> {
    let Cosign { folder, programme, key: path, name, state, output, json, tuning } = options;
    let key = read_key(path, &name)?;
    let chain = chain_of(&folder, programme)?.ok_or(MirrorError::NoManifest)?;
    let (is_named, tuning) = (is_named(&chain, &key), tuning.options()?);
    let logs = cosign_folder(&folder, programme, key, &state, || verify_folder(&folder, programme, &tuning, &|_| {}))?;
    let mut listed = Vec::new();
    for log in &logs {
        let Cosigning { log: folder, origin, size, outcome } = log;
        let file = format!("{folder}.checkpoint");
        match outcome {
            Ok((note, line)) => {
                replace(&output.join(&file), note.to_string().as_bytes())?;
                listed.push(json!({
                    "log": folder, "origin": origin, "size": size, "file": file, "cosignature": line.to_string(), "why": null,
                }));
            }
            Err(why) => listed.push(json!({
                "log": folder, "origin": origin, "size": size, "file": null, "cosignature": null, "why": why.to_string(),
            })),
        }
    }
    if json {
        say(&format!("{:#}", json!({ "witness": name, "named": is_named, "logs": listed })))?;
    } else {
        if !is_named {
            say(&format!("{name} is none of the manifest's witnesses: its cosignatures count for nobody yet"))?;
        }
        for Cosigning { origin, size, outcome, .. } in &logs {
            let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
            say(&match outcome {
                Ok(_) => format!("{origin}: {size} leaves, cosigned"),
                Err(why) => format!("{origin}: {size} leaves, not cosigned: {why}"),
            })?;
        }
    }
    let all = !logs.is_empty() && logs.iter().all(|log| log.outcome.is_ok());
    Ok(if all { Outcome::Holds } else { Outcome::Fails })
}

/// The key in a file, if it bears this name.
fn read_key(path: PathBuf, name: &str) -> Result<WitnessKey, WitnessFailure> {
    let key = WitnessKey::read(&path)?;
    if key.name() == name { Ok(key) } else { Err(WitnessFailure::Name { path, name: key.name().to_owned() }) }
}

fn keygen(path: &Path, name: &str) -> Result<(), WitnessFailure> {
    let key = WitnessKey::generate(name)?;
    key.write(path)?;
    say(&key.verifier_key().to_string())
}

fn serve(options: Serve) -> Result<(), WitnessFailure> {
    let Serve { key: path, name, state, logs, logs_file, listen, allow_remote, address_file } = options;
    if logs.is_empty() && logs_file.is_none() {
        return Err(WitnessFailure::NoLog);
    }
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(colours).with_max_level(tracing::Level::WARN).init();
    let key = read_key(path, &name)?;
    let witness = Arc::new(Witness::open(key, Options { state, logs, logs_file })?);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(WitnessFailure::Signals)?;
    // Before anybody is told that it serves, so that no signal after that kills it.
    let (mut terminate, mut interrupt) = runtime
        .block_on(async { io::Result::Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) })
        .map_err(WitnessFailure::Signals)?;
    let server = start(witness, Listen { address: listen, allow_remote })?;
    if let Some(path) = address_file {
        write_address(&path, server.address()).map_err(|source| WitnessFailure::AddressFile { path, source })?;
    }
    say(&format!("{}/add-checkpoint", server.url()))?;
    runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    server.stop();
    Ok(())
}

/// The file appears whole: whoever waits for it reads an address or nothing.
fn write_address(path: &Path, address: SocketAddr) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{address}")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn say(line: &str) -> Result<(), WitnessFailure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(WitnessFailure::Output)
}
