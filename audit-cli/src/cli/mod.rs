//! The commands, a file each (spec/audit.md).

use std::{
    error::Error,
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use annona_audit::print::clean;
use annona_protocol::ids::ProgrammeId;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

mod compare;
mod mirror;
mod omission;
mod receipt;
mod report;
mod stock;
mod tuning;
mod verify;
mod watch;
mod witness;

/// Recomputes every total of a programme from what it published, checks every signature and proof, and witnesses logs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verifies a published folder. Exit status: 0 verified, 1 not verified, 2 could not run.
    Verify(verify::Verify),
    /// Reports what an audit found: text, JSON, a page. Exit status: 0 verified, 1 not verified, 2 could not run.
    Report(report::Report),
    /// Compares a site's stock sheet with its vouchers. Exit status: 0 agree, 1 differ or not verified, 2 could not run.
    Stock(stock::Stock),
    /// Copies everything that a programme published. Exit status: 0 done, 1 a fault was named, 2 could not run, or not all.
    Mirror(mirror::Mirror),
    /// Compares two mirrors: whether both were shown one history. Exit status: 0 one history, 1 not, 2 could not run.
    Compare(compare::Compare),
    /// Mirrors and verifies again and again, and prints what changed. Exit status: 0 stopped, 1 something failed, 2 could not run.
    Watch(watch::Watch),
    /// Says what became of receipts and other slips. Exit status: 0 honoured or may still be, 1 one is not, 2 could not run.
    Receipt(receipt::Receipt),
    /// Proves that a receipt was not honoured, or checks such a proof. Exit status: 0 proven, 1 not proven, 2 could not run.
    Omission(omission::Omission),
    /// Makes a witness' key, serves as a witness, or cosigns a folder. Exit status: 0 done or stopped, 1 not cosigned, 2 could not run.
    Witness {
        /// What to do.
        #[command(subcommand)]
        command: witness::WitnessCommand,
    },
}

/// What a command found: the exit status says it to programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything holds: exit status 0.
    Holds,
    /// Something does not hold, and was named: exit status 1.
    Fails,
}

/// A command's result. An error means that it could not run, and ends with what to do: exit status 2.
type Done = Result<Outcome, Box<dyn Error>>;

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Verify(verify) => verify.run(),
        Command::Report(report) => report.run(),
        Command::Stock(stock) => stock.run(),
        Command::Mirror(mirror) => mirror.run(),
        Command::Compare(compare) => compare.run(),
        Command::Watch(watch) => watch.run(),
        Command::Receipt(receipt) => receipt.run(),
        Command::Omission(omission) => omission.run(),
        Command::Witness { command } => witness::run(command).map_err(Into::into),
    };
    match done {
        Ok(Outcome::Holds) => ExitCode::SUCCESS,
        Ok(Outcome::Fails) => ExitCode::from(1),
        Err(failure) => {
            // Nothing is left to tell if even this cannot be written.
            drop(writeln!(io::stderr(), "annona-audit: {}.", clean(&failure.to_string())));
            ExitCode::from(2)
        }
    }
}

/// Reads a programme's id from an argument.
fn programme(text: &str) -> Result<ProgrammeId, &'static str> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| "a programme id has 64 hexadecimal digits; the agency prints it")?;
    Ok(ProgrammeId(id))
}

/// Reads a proof of at most `limit` bytes.
fn evidence(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if count <= limit => Ok(bytes),
        Ok(_) => Err(format!("{} is longer than any proof. Check which file it is", path.display())),
        Err(error) => Err(format!("cannot read {}: {error}. Check the path", path.display())),
    }
}

/// A bar on the terminal; nothing where standard error is none.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} leaves, {per_sec}, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
