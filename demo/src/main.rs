//! The main job on real input: a caseload goes through enrolment, draw, redemption at its sites and audit; cheats try what
//! cheats try; the audited totals stand beside what the caseload's own columns sum to.
#![forbid(unsafe_code)]

mod cheats;
mod distribution;
mod expected;
mod progress;
mod report;
mod setup;
mod tools;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use annona_node::caseload::{Caseload, Limits};
use annona_protocol::{audit, ids::Round};
use anyhow::Context as _;
use clap::Parser;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use crate::{cheats::Outcome, distribution::Distribution, progress::Step, tools::Tools};

/// A distribution from caseload to audit.
#[derive(Parser)]
struct Arguments {
    /// The agency's export: one household a row.
    #[arg(long)]
    caseload: PathBuf,
    /// Where files and report go. An earlier run's files there are replaced.
    #[arg(long)]
    out: PathBuf,
}

/// The operating system's generator; a machine without one cannot run this.
fn os_rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// One line for the person who watches.
#[expect(clippy::print_stdout, reason = "the demo's output")]
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the demo's errors")]
fn complain(error: &anyhow::Error) {
    eprintln!("demo: {error:#}");
}

/// The whole demo; `false` if totals differ, a cheat passed, or the audit found anything.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let started = Instant::now();
    let Arguments { caseload: file, out } = arguments;
    let limits = Limits::default();
    let caseload = Caseload::open(file, &limits)?;
    say(format!("caseload: {} households, {} sites", caseload.households().len(), caseload.sites().len()));
    for column in caseload.ignored_columns() {
        say(format!("  column {column:?} is not used"));
    }
    prepare(out)?;

    let mut live = cheats::Live::default();
    let mut distribution = Distribution::set_up(Tools::find()?, caseload, file, out)?;
    for round in distribution::ROUNDS {
        distribution.round(Round(round), &mut live)?;
    }
    let (folder, parties) = distribution.publish()?;

    say("audit, from the published files alone");
    let programme = parties.programme.id();
    let published = annona_audit::load(&folder)?;
    let verdict = audited(programme, &published, "every signature, proof and total").verified();
    let totals = match verdict {
        Ok(verified) => verified,
        Err(report) => {
            for finding in &report.findings {
                say(format!("  {finding}"));
            }
            anyhow::bail!("the audit of an honest run found something: this is a fault of the program");
        }
    };
    let mut outcomes = std::mem::take(&mut live.outcomes);
    say("cheats in the published files");
    for (cheat, forged) in live.published(&parties, &published)? {
        let report = audited(programme, &forged, cheat);
        let finding = report.findings.first().with_context(|| format!("the audit missed that {cheat}"))?;
        let (refused_by, code) = ("audit".to_owned(), finding.to_string());
        outcomes.push(Outcome { cheat, refused_by, code });
    }

    let expected = expected::totals(file, distribution::ROUNDS)?;
    let comparison = report::Comparison::new(&totals, &parties.sites, &parties.programme, expected);
    report::print(&comparison, &outcomes);
    let elapsed = started.elapsed();
    report::write(out, &comparison, &outcomes, &parties.programme, elapsed)?;
    say(format!(
        "\n{} in {:.0} s; files and report are in {}",
        comparison.verdict(),
        elapsed.as_secs_f64(),
        out.display()
    ));
    Ok(comparison.agrees())
}

/// Clears what an earlier run left, and nothing else.
fn prepare(out: &std::path::Path) -> anyhow::Result<()> {
    for name in ["parties", "published", "receipts", "stick"] {
        let folder = out.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
    }
    for name in ["announcement.bin", "slips.csv", "totals.csv", "report.md"] {
        let file = out.join(name);
        if file.exists() {
            std::fs::remove_file(&file).with_context(|| format!("cannot clear {}", file.display()))?;
        }
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))
}

fn audited(programme: annona_protocol::ids::ProgrammeId, published: &audit::Published, what: &str) -> audit::Report {
    let step = Step::new(what, 1);
    let report = audit::audit(programme, published, &mut os_rng(), &|progress| step.set(progress.done, progress.total));
    let findings = report.findings.len();
    step.finish(if findings == 0 { "verified".to_owned() } else { format!("{findings} findings") });
    report
}
