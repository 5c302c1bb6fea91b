//! `annona-audit report`.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use annona_audit::{
    print,
    report::{
        Document, Epsilon, NoiseError, Protection, html, json,
        manifest::{ManifestFacts, ManifestReadError},
        stock::{self, StockError},
        text,
    },
};
use annona_protocol::{
    audit::{Progress, Report as Audited, audit},
    ids::{ProgrammeId, SiteId},
};
use clap::Args;
use rand::rngs::SysRng;
use rand_core::{TryRng as _, UnwrapErr};

use super::{Done, Outcome, programme, progress_bar};

#[derive(Args)]
pub(super) struct Report {
    /// The published folder: logs, key list, opening packs.
    folder: PathBuf,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    /// Writes the report as JSON (spec/audit.md, 5).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report as one page of HTML, which needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Withholds figures from 1 to K-1, and others so that they cannot be computed. Protects readers of the report only.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(2..=1_000_000_000))]
    suppress_below: Option<u64>,
    /// Shows noisy figures instead, differentially private for one household's round. Each run spends E again.
    #[arg(long, value_name = "E", conflicts_with_all = ["suppress_below", "stock"])]
    epsilon: Option<Epsilon>,
    /// Reconciles a site's stock sheet, CSV or XLSX (spec/audit.md, 7). May be given once a site.
    #[arg(long, value_name = "SITE=FILE", value_parser = site_sheet)]
    stock: Vec<(SiteId, PathBuf)>,
}

/// Why a report could not be made. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ReportError {
    #[error(transparent)]
    Load(#[from] annona_audit::LoadError),
    #[error(transparent)]
    Manifest(#[from] ManifestReadError),
    #[error("the operating system gives no randomness: {0}. Start the audit again once the system is up")]
    Randomness(rand::rngs::SysError),
    #[error("cannot write the report: {0}. Check where the output goes")]
    Output(#[from] io::Error),
    #[error("cannot write {}: {source}. Choose another file", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Stock { path: PathBuf, source: StockError },
    #[error("--stock names site {site} twice. Give each site one sheet")]
    StockTwice { site: SiteId },
    #[error(transparent)]
    Noise(#[from] NoiseError),
}

impl Report {
    pub(super) fn run(self) -> Done {
        Ok(self.report()?)
    }

    fn report(self) -> Result<Outcome, ReportError> {
        let facts = ManifestFacts::read(&self.folder, self.programme)?;
        let report = audited(&self.folder, self.programme)?;
        let mut stock = Vec::new();
        for (at, (site, path)) in self.stock.iter().enumerate() {
            if self.stock[..at].iter().any(|(other, _)| other == site) {
                return Err(ReportError::StockTwice { site: *site });
            }
            let failed = |source| ReportError::Stock { path: path.clone(), source };
            stock.extend(stock::reconcile(*site, path, &report.totals, &facts).map_err(failed)?);
        }
        let protection = match (self.suppress_below, self.epsilon) {
            (Some(below), _) => Protection::SuppressBelow(below),
            (None, Some(epsilon)) => Protection::Noise(epsilon),
            (None, None) => Protection::None,
        };
        let document = Document::new(&report, &facts, stock, protection, &mut UnwrapErr(SysRng))?;
        if let Some(path) = &self.json {
            write(path, &format!("{}\n", print::json(&json::document(&document))))?;
        }
        if let Some(path) = &self.html {
            write(path, &html::page(&document))?;
        }
        let mut out = BufWriter::new(io::stdout().lock());
        text::document(&document, &mut out)?;
        out.flush()?;
        Ok(if document.verified() { Outcome::Holds } else { Outcome::Fails })
    }
}

/// What an audit of the folder says.
pub(super) fn audited(folder: &Path, programme: ProgrammeId) -> Result<Audited, ReportError> {
    SysRng.try_next_u64().map_err(ReportError::Randomness)?;
    let bar = progress_bar();
    let published = annona_audit::load(folder)?;
    let report = audit(programme, &published, &mut UnwrapErr(SysRng), &|Progress { done, total, .. }| {
        bar.set_length(total);
        // Threads report out of order.
        bar.set_position(bar.position().max(done));
    });
    bar.finish_and_clear();
    Ok(report)
}

fn write(path: &Path, content: &str) -> Result<(), ReportError> {
    fs::write(path, content).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

fn site_sheet(text: &str) -> Result<(SiteId, PathBuf), &'static str> {
    const WANTED: &str = "give the site's number and its sheet: --stock 3=sheet.csv";
    let (site, path) = text.split_once('=').ok_or(WANTED)?;
    Ok((SiteId(site.parse().map_err(|_| WANTED)?), PathBuf::from(path)))
}
