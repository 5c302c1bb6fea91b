//! The tables at the end: audited totals beside the file's, and what became of each cheat.

use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

use annona_node::{caseload::SiteName, publisher::files};
use annona_protocol::{
    audit::VerifiedTotals,
    ids::{Round, SiteId},
    programme::Programme,
};

use crate::{cheats::Outcome, distribution::ROUNDS, expected::Totals, say};

/// One cell: what the audit recomputed from the logs, and what the file's columns sum to.
struct Cell {
    round: u32,
    site: String,
    line: String,
    unit: String,
    audited: u64,
    expected: u64,
}

/// All cells: every round, site and line.
pub(crate) struct Comparison(Vec<Cell>);

impl Comparison {
    /// Puts audited and expected totals side by side. A cell that only one of them has counts as 0 in the other.
    pub(crate) fn new(
        audited: &VerifiedTotals,
        sites: &[SiteName],
        programme: &Programme,
        mut expected: Totals,
    ) -> Self {
        let mut cells = Vec::new();
        for round in ROUNDS {
            for (id, site) in (1u16..).zip(sites) {
                for line in &programme.latest().lines {
                    let key = (Round(round), SiteId(id), line.id);
                    let units = audited.totals().sites.get(&key).map_or(0, |totals| totals.redeemed.0);
                    let (site, name) = (site.to_string(), line.name.clone());
                    let expected = expected.remove(&(round, site.clone(), name.clone())).unwrap_or_default();
                    cells.push(Cell { round, site, line: name, unit: line.unit.clone(), audited: units, expected });
                }
            }
        }
        // What the file has and the programme does not: a cell of its own, so that it cannot go unnoticed.
        cells.extend(expected.into_iter().map(|((round, site, line), expected)| Cell {
            round,
            site,
            line,
            unit: "?".into(),
            audited: 0,
            expected,
        }));
        Self(cells)
    }

    /// Whether every cell agrees.
    pub(crate) fn agrees(&self) -> bool {
        self.0.iter().all(|cell| cell.audited == cell.expected)
    }

    /// The verdict in words.
    pub(crate) fn verdict(&self) -> &'static str {
        if self.agrees() { "audited totals equal the caseload's" } else { "AUDITED TOTALS DIFFER FROM THE CASELOAD'S" }
    }

    fn csv(&self) -> anyhow::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["round", "site", "line", "units"])?;
        for cell in &self.0 {
            writer.write_record([&cell.round.to_string(), &cell.site, &cell.line, &cell.audited.to_string()])?;
        }
        Ok(writer.into_inner()?)
    }

    fn table(&self) -> String {
        let mut text =
            String::from("| round | site | line | audited | caseload | |\n| --- | --- | --- | ---: | ---: | --- |\n");
        for cell in &self.0 {
            let Cell { round, site, line, audited, expected, .. } = cell;
            let mark = if audited == expected { "=" } else { "DIFFERS" };
            let site = site.replace('|', "\\|");
            writeln!(text, "| {round} | {site} | {line} | {audited} | {expected} | {mark} |")
                .expect("writing to a string");
        }
        text
    }

    /// Totals by round and line.
    fn sums(&self) -> Vec<(u32, String, String, u64, u64)> {
        let lines: BTreeSet<(u32, &str, &str)> =
            self.0.iter().map(|cell| (cell.round, cell.line.as_str(), cell.unit.as_str())).collect();
        lines
            .into_iter()
            .map(|(round, line, unit)| {
                let of_line = || self.0.iter().filter(move |cell| cell.round == round && cell.line == line);
                let audited = of_line().map(|cell| cell.audited).sum();
                let expected = of_line().map(|cell| cell.expected).sum();
                (round, line.to_owned(), unit.to_owned(), audited, expected)
            })
            .collect()
    }
}

/// Prints the tables.
pub(crate) fn print(comparison: &Comparison, outcomes: &[Outcome]) {
    let width = comparison.0.iter().map(|cell| cell.site.chars().count()).max().unwrap_or(4).max(4);
    say(format!("\n  round  {:<width$}  {:<8} {:>10} {:>10}", "site", "line", "audited", "caseload"));
    for cell in &comparison.0 {
        let mark = if cell.audited == cell.expected { "" } else { "  DIFFERS" };
        let Cell { round, site, line, audited, expected, .. } = cell;
        say(format!("  {round:>5}  {site:<width$}  {line:<8} {audited:>10} {expected:>10}{mark}"));
    }
    say("");
    for (round, line, unit, audited, expected) in comparison.sums() {
        say(format!("  round {round}: {audited:>8} of {expected:>8} {line} ({unit})"));
    }
    say("\n  cheats");
    for outcome in outcomes {
        say(format!("  {:<52} {}: {}", outcome.cheat, outcome.refused_by, outcome.code));
    }
}

/// Writes `totals.csv` and `report.md`.
pub(crate) fn write(
    out: &Path,
    comparison: &Comparison,
    outcomes: &[Outcome],
    programme: &Programme,
    elapsed: Duration,
) -> anyhow::Result<()> {
    files::replace(&out.join("totals.csv"), &comparison.csv()?)?;
    let mut text = String::from("# A verified distribution\n\n");
    writeln!(text, "{}.\n", comparison.verdict())?;
    writeln!(
        text,
        "Units by round, site and line: recomputed by the audit from `published/` alone, beside what the caseload's"
    )?;
    writeln!(text, "own columns sum to.\n\n{}", comparison.table())?;
    writeln!(text, "## Cheats\n\n| what was tried | refused by | as |\n| --- | --- | --- |")?;
    for outcome in outcomes {
        writeln!(text, "| {} | {} | {} |", outcome.cheat, outcome.refused_by, outcome.code)?;
    }
    writeln!(text, "\n## Files\n")?;
    writeln!(
        text,
        "- `published/`: the issuer's and the sites' logs, the key list, the opening packs. Check them anew with"
    )?;
    writeln!(text, "  `annona-audit verify published --programme {}`.", programme.id())?;
    writeln!(text, "- `receipts/`: what households hold, here in one file a round.")?;
    writeln!(text, "- `slips.csv`: for the printer; the only file with the agency's identifiers and ticket codes.")?;
    writeln!(text, "- `totals.csv`: the audited totals.\n\nThe run took {:.0} s.", elapsed.as_secs_f64())?;
    Ok(files::replace(&out.join("report.md"), text.as_bytes())?)
}
