//! `annona-audit`: what anyone runs on published files, with no secret and no trust in the agency.
//!
//! Exit status: 0 verified, 1 something was found, 2 could not run.
#![forbid(unsafe_code)]

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use annona_protocol::{
    audit::{self, Finding, Names, Note, Published, Report, Totals},
    ids::{LineId, ProgrammeId, SiteId},
};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

/// Recomputes every total of a programme from its published files.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every check and prints the totals, or all that was found.
    Verify {
        /// The folder that holds `logs`, `keys.bin` and `packs`.
        folder: PathBuf,
        /// The programme's id, 64 hexadecimal digits: from a source that you trust, not from the folder.
        #[arg(long, value_parser = programme_id)]
        programme: ProgrammeId,
        /// Also writes the totals as CSV: round, site, line, units.
        #[arg(long)]
        totals: Option<PathBuf>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

fn programme_id(text: &str) -> Result<ProgrammeId, String> {
    let byte = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(byte).collect();
    let bytes: Option<[u8; 32]> = bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(ProgrammeId)
        .ok_or_else(|| "a programme's id has 64 hexadecimal digits; the agency publishes it".to_owned())
}

fn main() -> ExitCode {
    let Command::Verify { folder, programme, totals, json } = Arguments::parse().command;
    match verify(&folder, programme, totals.as_deref(), json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Where even the complaint cannot be written, the exit status still tells.
            let _ = writeln!(io::stderr(), "annona-audit: {error}");
            ExitCode::from(2)
        }
    }
}

/// What keeps the tool from running.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Load(#[from] annona_audit::LoadError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    #[error("cannot write the totals: {0}")]
    Csv(#[from] csv::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn verify(folder: &Path, programme: ProgrammeId, csv: Option<&Path>, json: bool) -> Result<bool, RunError> {
    let published = annona_audit::load(folder)?;
    let report = run(programme, &published);
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &as_json(&report))?;
        writeln!(out)?;
    } else {
        print(&mut out, &report)?;
    }
    match report.verified() {
        Ok(verified) => {
            if let Some(path) = csv {
                write_totals(path, verified.names(), verified.totals())?;
            }
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

fn run(programme: ProgrammeId, published: &Published) -> Report {
    let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} leaves {per_sec} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let report = audit::audit(programme, published, &mut UnwrapErr(SysRng), &|progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    report
}

fn site_name(names: &Names, site: SiteId) -> String {
    names.sites.get(&site).cloned().unwrap_or_else(|| format!("site {site}"))
}

fn line_name(names: &Names, line: LineId) -> String {
    names.lines.get(&line).cloned().unwrap_or_else(|| format!("line {line}"))
}

fn print(out: &mut impl io::Write, report: &Report) -> io::Result<()> {
    writeln!(out, "programme {} ({})", report.programme, report.names.programme)?;
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    if !report.findings.is_empty() {
        for finding in &report.findings {
            writeln!(out, "{finding}")?;
        }
        return writeln!(out, "FAILED: {} findings in {} leaves", report.findings.len(), report.leaves);
    }
    writeln!(
        out,
        "{:>5}  {:<24} {:<12} {:>12} {:>8} {:>8} {:>9}",
        "round", "site", "line", "redeemed", "voided", "owed", "collected"
    )?;
    for ((round, site, line), totals) in &report.totals.sites {
        let (site, line) = (site_name(&report.names, *site), line_name(&report.names, *line));
        let audit::SiteTotals { redeemed, voided, owed, collected } = totals;
        writeln!(out, "{round:>5}  {site:<24} {line:<12} {redeemed:>12} {voided:>8} {owed:>8} {collected:>9}")?;
    }
    for ((round, line), totals) in &report.totals.drawn {
        let line = line_name(&report.names, *line);
        writeln!(out, "round {round} {line}: drawn {}, granted at most {}", totals.drawn, totals.granted)?;
    }
    writeln!(out, "VERIFIED: {} leaves", report.leaves)
}

fn write_totals(path: &Path, names: &Names, totals: &Totals) -> Result<(), RunError> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["round", "site", "line", "units"])?;
    for (round, site, line, units) in totals.redeemed() {
        let record = [round.to_string(), site_name(names, site), line_name(names, line), units.to_string()];
        writer.write_record(&record)?;
    }
    Ok(writer.flush()?)
}

fn as_json(report: &Report) -> serde_json::Value {
    let finding = |finding: &Finding| {
        serde_json::json!({
            "check": finding.check.to_string(),
            "number": finding.check.number(),
            "party": finding.party.to_string(),
            "log": finding.log,
            "leaf": finding.leaf,
            "round": finding.round.map(|round| round.0),
            "line": finding.line.map(|line| line_name(&report.names, line)),
            "units": finding.units.0,
        })
    };
    let totals =
        |(round, site, line, units): (annona_protocol::ids::Round, SiteId, LineId, annona_protocol::ids::Units)| {
            serde_json::json!({
                "round": round.0,
                "site": site_name(&report.names, site),
                "line": line_name(&report.names, line),
                "units": units.0,
            })
        };
    serde_json::json!({
        "programme": report.programme.to_string(),
        "verified": report.findings.is_empty(),
        "leaves": report.leaves,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "notes": report.notes.iter().map(Note::to_string).collect::<Vec<_>>(),
        "totals": report.totals.redeemed().map(totals).collect::<Vec<_>>(),
    })
}
