//! `annona-audit verify`.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::PathBuf,
};

use annona_audit::{
    print::{self, clean},
    verify_folder,
};
use annona_protocol::{
    audit::{Note, Progress, Report},
    ids::ProgrammeId,
};
use clap::Args;

use super::{Done, Outcome, programme, progress_bar, tuning::Tuning};

#[derive(Args)]
pub(super) struct Verify {
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
    #[command(flatten)]
    tuning: Tuning,
}

/// Why a folder could not be verified. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum VerifyFailure {
    #[error(transparent)]
    Verify(#[from] annona_audit::VerifyError),
    #[error("cannot write the report: {0}. Check where the output goes")]
    Output(#[from] io::Error),
    #[error("cannot write {path}: {source}. Choose another file for --totals")]
    Totals { path: String, source: csv::Error },
}

impl Verify {
    pub(super) fn run(self) -> Done {
        Ok(self.verify()?)
    }

    fn verify(self) -> Result<Outcome, VerifyFailure> {
        let options = self.tuning.options()?;
        let bar = progress_bar();
        let progress = |Progress { done, total, .. }| {
            bar.set_length(total);
            // Threads report out of order.
            bar.set_position(bar.position().max(done));
        };
        let report = verify_folder(&self.folder, self.programme, &options, &progress);
        bar.finish_and_clear();
        let report = report?;
        warn(&report)?;
        show(&report, self.json)?;
        let Ok(verified) = report.verified() else { return Ok(Outcome::Fails) };
        if let Some(path) = &self.totals {
            let failed = |source| VerifyFailure::Totals { path: path.display().to_string(), source };
            let file = File::create(path).map_err(|error| failed(error.into()))?;
            print::csv(verified.names(), verified.totals().redeemed(), BufWriter::new(file)).map_err(failed)?;
        }
        Ok(Outcome::Holds)
    }
}

/// A tampered cache is named where it is seen, even if the report goes to a file.
fn warn(report: &Report) -> io::Result<()> {
    let mut out = io::stderr().lock();
    let tampered = report.notes.iter().filter(|note| matches!(note, Note::MemoryTampered { .. }));
    tampered.into_iter().try_for_each(|note| writeln!(out, "annona-audit: {}.", clean(&note.to_string())))
}

fn show(report: &Report, json: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        writeln!(out, "{}", print::json(&print::to_json(report)))?;
    } else {
        print::text(report, &mut out)?;
    }
    out.flush()
}
