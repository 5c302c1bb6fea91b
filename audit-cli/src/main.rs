//! `annona-audit`: verifies everything that a programme published, and witnesses its logs.
#![forbid(unsafe_code)]

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use annona_protocol::{
    audit::{Progress, Report, audit},
    ids::ProgrammeId,
};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::SysRng;
use rand_core::{TryRng as _, UnwrapErr};

use self::witness_command::{WitnessCommand, WitnessFailure};

mod witness_command;

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
    Verify {
        /// The published folder: logs, key list, opening packs.
        folder: PathBuf,
        /// The programme's id, from a source that you trust: 64 hexadecimal digits.
        #[arg(long, value_name = "HEX", value_parser = programme)]
        programme: ProgrammeId,
        /// Prints the whole report as JSON.
        #[arg(long)]
        json: bool,
        /// Writes the redeemed units as CSV (round,site,line,units), if everything verifies.
        #[arg(long, value_name = "FILE")]
        totals: Option<PathBuf>,
    },
    /// Makes a witness' key, or serves as a witness. Exit status: 0 done or stopped, 2 could not run.
    Witness {
        #[command(subcommand)]
        command: WitnessCommand,
    },
}

fn programme(text: &str) -> Result<ProgrammeId, &'static str> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| "a programme id has 64 hexadecimal digits; the agency prints it")?;
    Ok(ProgrammeId(id))
}

/// Why the program could not run. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Load(#[from] annona_audit::LoadError),
    #[error("the operating system gives no randomness: {0}. Start the audit again once the system is up")]
    Randomness(rand::rngs::SysError),
    #[error("cannot write the report: {0}. Check where the output goes")]
    Output(#[from] io::Error),
    #[error("cannot write {path}: {source}. Choose another file for --totals")]
    Totals { path: String, source: csv::Error },
    #[error(transparent)]
    Witness(#[from] WitnessFailure),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let done = match command {
        Command::Verify { folder, programme, json, totals } => verify(&folder, programme, json, totals.as_deref()),
        Command::Witness { command } => witness_command::run(command).map(|()| true).map_err(Failure::from),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            // Nothing is left to tell if even this cannot be written.
            drop(writeln!(io::stderr(), "annona-audit: {failure}."));
            ExitCode::from(2)
        }
    }
}

fn verify(folder: &Path, programme: ProgrammeId, json: bool, totals: Option<&Path>) -> Result<bool, Failure> {
    let published = annona_audit::load(folder)?;
    SysRng.try_next_u64().map_err(Failure::Randomness)?;
    let bar = progress_bar();
    let report = audit(programme, &published, &mut UnwrapErr(SysRng), &|Progress { done, total, .. }| {
        bar.set_length(total);
        // Threads report out of order.
        bar.set_position(bar.position().max(done));
    });
    bar.finish_and_clear();
    show(&report, json)?;
    let verified = match report.verified() {
        Ok(verified) => verified,
        Err(_) => return Ok(false),
    };
    if let Some(path) = totals {
        let failed = |source| Failure::Totals { path: path.display().to_string(), source };
        let file = File::create(path).map_err(|error| failed(error.into()))?;
        annona_audit::print::csv(verified.names(), verified.totals().redeemed(), BufWriter::new(file))
            .map_err(failed)?;
    }
    Ok(true)
}

fn show(report: &Report, json: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        serde_json::to_writer_pretty(&mut out, &annona_audit::print::to_json(report))?;
        writeln!(out)?;
    } else {
        annona_audit::print::text(report, &mut out)?;
    }
    out.flush()
}

/// A bar on the terminal; nothing where standard error is none.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} leaves, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
