//! `annona-audit stock`.

use std::{
    io::{self, BufWriter, Write as _},
    path::PathBuf,
};

use annona_audit::{
    print::clean,
    report::{
        manifest::ManifestFacts,
        stock::{StockRow, reconcile},
        text,
    },
};
use annona_protocol::ids::{ProgrammeId, SiteId};
use clap::Args;

use super::{
    Done, Outcome, programme,
    report::{ReportError, audited},
};

#[derive(Args)]
pub(super) struct Stock {
    /// The published folder: logs, key list, opening packs.
    folder: PathBuf,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    /// The site's number.
    #[arg(long, value_name = "N")]
    site: u16,
    /// The stock sheet, CSV or XLSX (spec/audit.md, 7).
    sheet: PathBuf,
}

impl Stock {
    pub(super) fn run(self) -> Done {
        Ok(self.reconcile()?)
    }

    fn reconcile(self) -> Result<Outcome, ReportError> {
        let facts = ManifestFacts::read(&self.folder, self.programme)?;
        let report = audited(&self.folder, self.programme)?;
        let failed = |source| ReportError::Stock { path: self.sheet.clone(), source };
        let mut rows = reconcile(SiteId(self.site), &self.sheet, &report.totals, &facts).map_err(failed)?;
        rows.retain(|row| !row.is_idle());
        let differ = rows.iter().filter(|row| !row.agrees()).count();
        let mut out = BufWriter::new(io::stdout().lock());
        text::stock(&rows, &mut out)?;
        for row in rows.iter().filter(|row| !row.agrees()) {
            writeln!(out, "{}", explain(row))?;
        }
        match differ {
            0 => writeln!(out, "sheet and vouchers agree")?,
            1 => writeln!(out, "1 row DIFFERS")?,
            count => writeln!(out, "{count} rows DIFFER")?,
        }
        let findings = report.findings.len();
        if findings > 0 {
            writeln!(
                out,
                "NOT VERIFIED: {findings} findings, see `annona-audit verify`; the vouchers' side is no basis"
            )?;
        }
        out.flush()?;
        Ok(if differ == 0 && findings == 0 { Outcome::Holds } else { Outcome::Fails })
    }
}

fn explain(row: &StockRow) -> String {
    let item = clean(&row.item);
    match (row.sheet, row.difference()) {
        (None, _) => format!("{item}: vouchers were redeemed, and the sheet does not speak of it"),
        (_, Some(1..)) => format!("{item}: more left the store than vouchers account for"),
        _ => format!("{item}: less left the store than vouchers were redeemed for"),
    }
}
