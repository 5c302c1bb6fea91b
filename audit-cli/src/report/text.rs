//! A report for the terminal.

use std::io::{self, Write};

use annona_protocol::ids::SiteId;

use super::{
    Document,
    figures::{Figure, Grid},
    stock::{Amount, StockRow},
};
use crate::print::{clean, table};

/// Writes the document: verdict, findings, tables, notes.
///
/// # Errors
/// Those of `out`.
pub fn document(document: &Document, out: &mut impl Write) -> io::Result<()> {
    let figures = &document.figures;
    writeln!(out, "{}, {}", clean(&document.agency), clean(&document.name))?;
    writeln!(out, "programme {}\n", document.programme)?;
    writeln!(out, "{}", if document.verified() { "VERIFIED" } else { "NOT VERIFIED" })?;
    writeln!(out, "{}\n{}\n", document.verdict(), document.limits())?;
    for sentence in document.protection_text() {
        writeln!(out, "{sentence}\n")?;
    }
    findings(document, out)?;
    let unverified = if document.verified() { "" } else { " (NOT VERIFIED)" };
    let counts = [figures.enrolments, figures.amends, figures.leaves].map(figure);
    writeln!(out, "enrolments {}, amends {}, leaves {}{unverified}\n", counts[0], counts[1], counts[2])?;
    for line in &figures.lines {
        let name = clean(&line.name);
        writeln!(out, "{name}: draws{unverified}")?;
        let head = ["round", "drawn", "counted", "granted at most", "swapped"].map(str::to_owned).to_vec();
        let body = figures.rounds.iter().zip(&line.drawn).map(|(round, row)| {
            let mut cells = vec![round.to_string()];
            cells.extend([row.drawn, row.counted, row.granted, row.swapped].map(figure));
            cells
        });
        table(&std::iter::once(head).chain(body).collect::<Vec<_>>(), 1, out)?;
        for (what, grid) in measures(line) {
            if !is_zero(grid) {
                writeln!(out, "{name}: {what}{unverified}")?;
                grid_table(document, grid, out)?;
            }
        }
    }
    stock(&document.stock, out)?;
    for note in &document.notes {
        writeln!(out, "note: {}", clean(note))?;
    }
    match document.findings.len() {
        0 => writeln!(out, "verified"),
        1 => writeln!(out, "NOT VERIFIED: 1 finding"),
        count => writeln!(out, "NOT VERIFIED: {count} findings"),
    }
}

/// A line's tables, with what they count.
pub(super) fn measures(line: &super::figures::LineFigures) -> [(&'static str, &Grid); 4] {
    [("redeemed", &line.redeemed), ("voided", &line.voided), ("owed", &line.owed), ("collected", &line.collected)]
}

/// Whether nothing is in a table, and nothing withheld.
pub(super) fn is_zero(grid: &Grid) -> bool {
    grid.total == Some(0) && grid.cells.iter().flatten().all(|cell| *cell == Some(0))
}

/// A figure as text.
pub(super) fn figure(figure: Figure) -> String {
    figure.map_or_else(|| "(x)".to_owned(), |value| value.to_string())
}

/// Writes stock rows as a table, if there are any.
///
/// # Errors
/// Those of `out`.
pub fn stock(rows: &[StockRow], out: &mut impl Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "stock against vouchers")?;
    let head = ["site", "round", "item", "sheet", "vouchers", "difference", "measure"].map(str::to_owned).to_vec();
    let amount = |amount: Option<i128>, none: &str| amount.map_or(none.to_owned(), |amount| Amount(amount).to_string());
    let body = rows.iter().map(|row| {
        let SiteId(site) = row.site;
        vec![
            site.to_string(),
            row.round.map_or("all".to_owned(), |round| round.to_string()),
            clean(&row.item),
            amount(row.sheet, if row.withheld { "(x)" } else { "not on it" }),
            amount(row.vouchers, "(x)"),
            amount(row.difference(), "(x)"),
            clean(&row.measure),
        ]
    });
    table(&std::iter::once(head).chain(body).collect::<Vec<_>>(), 3, out)
}

fn findings(document: &Document, out: &mut impl Write) -> io::Result<()> {
    for finding in &document.findings {
        let leaf = finding.leaf.map_or("no single leaf".to_owned(), |leaf| format!("leaf {leaf}"));
        writeln!(
            out,
            "[{}] {}: {}, {}, {leaf}, units at stake {}\n    {}",
            finding.check.number(),
            finding.check,
            finding.party,
            clean(&finding.log),
            figure(document.stake(finding)),
            finding.check.meaning()
        )?;
    }
    if document.findings.is_empty() { Ok(()) } else { writeln!(out) }
}

fn grid_table(document: &Document, grid: &Grid, out: &mut impl Write) -> io::Result<()> {
    let figures = &document.figures;
    let mut rows = vec![vec!["site".to_owned()]];
    rows[0].extend(figures.rounds.iter().map(|round| format!("round {round}")).chain(["all".to_owned()]));
    for (at, (_, name)) in figures.sites.iter().enumerate() {
        let cells = grid.cells.iter().map(|row| row[at]).chain([grid.by_site[at]]);
        rows.push(std::iter::once(clean(name)).chain(cells.map(figure)).collect());
    }
    let sums = grid.by_round.iter().copied().chain([grid.total]);
    rows.push(std::iter::once("all".to_owned()).chain(sums.map(figure)).collect());
    table(&rows, 1, out)
}
