//! Reports as text, JSON and CSV. Whatever leaves the program for a terminal or a spreadsheet passes here: names are the
//! manifest's, file names are whoever filled the folder.

use std::io::{self, Write};

use annona_protocol::{
    audit::{Finding, Names, Note, Report, SiteTotals, Totals},
    ids::{LineId, Round, SiteId, Units},
};
use serde_json::{Value, json};

/// Whether a character moves a terminal's cursor, breaks a line, or turns the direction of writing.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // Control characters are C0, DEL and C1.
    turns || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A text of somebody else's, fit for showing: without control characters and without those that turn the direction of writing.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// JSON in lines, for programs and for terminals: the same value, with what [`clean`] takes out written as escapes.
pub fn json(value: &Value) -> String {
    let text = format!("{value:#}");
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // The only ones outside of strings are ends of lines, and none is beyond 16 bits.
        if c != '\n' && acts(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A name for a spreadsheet, as OWASP's "CSV Injection" says: what a program would take for a formula begins with an
/// apostrophe. Some split cells at other characters than the comma, and a name has to be harmless in these as well.
fn in_sheet(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    let mut first = true;
    for c in clean(text).chars() {
        if first && matches!(c, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}') {
            safe.push('\'');
        }
        safe.push(c);
        first = matches!(c, ',' | ';' | '|' | '"' | '\'') || (first && c.is_whitespace());
    }
    safe
}

fn site_name(names: &Names, site: SiteId) -> String {
    names.sites.get(&site).map_or_else(|| site.to_string(), |name| clean(name))
}

fn line_name(names: &Names, line: LineId) -> String {
    names.lines.get(&line).map_or_else(|| line.to_string(), |name| clean(name))
}

/// Writes a report for people: the totals, notes, every finding in one line, the verdict.
///
/// # Errors
/// Those of `out`.
pub fn text(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { names, totals, findings, notes, leaves, programme } = report;
    writeln!(out, "programme {programme}")?;
    if !names.programme.is_empty() {
        writeln!(out, "{}, {}", clean(&names.agency), clean(&names.programme))?;
    }
    writeln!(out, "{leaves} leaves, {} enrolments, {} amends\n", totals.enrolments, totals.amends)?;
    site_table(names, totals, out)?;
    drawn_table(names, totals, out)?;
    for note in notes {
        writeln!(out, "note: {}", clean(&note.to_string()))?;
    }
    for finding in findings {
        writeln!(out, "{}", clean(&finding.to_string()))?;
    }
    match findings.len() {
        0 => writeln!(out, "verified"),
        1 => writeln!(out, "NOT VERIFIED: 1 finding"),
        count => writeln!(out, "NOT VERIFIED: {count} findings"),
    }
}

/// Writes rows in columns: the first `left` to the left, the rest to the right.
pub(crate) fn table(rows: &[Vec<String>], left: usize, out: &mut impl Write) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| if at < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    writeln!(out)
}

fn site_table(names: &Names, totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    let head = ["round", "site", "line", "redeemed", "voided", "owed", "collected"].map(str::to_owned).to_vec();
    let body = totals.sites.iter().map(|((round, site, line), row)| {
        let SiteTotals { redeemed, voided, owed, collected } = row;
        let mut cells = vec![round.to_string(), site_name(names, *site), line_name(names, *line)];
        cells.extend([redeemed, voided, owed, collected].map(Units::to_string));
        cells
    });
    table(&std::iter::once(head).chain(body).collect::<Vec<_>>(), 3, out)
}

fn drawn_table(names: &Names, totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    let head = ["round", "line", "drawn", "counted", "granted at most", "swapped"].map(str::to_owned).to_vec();
    let body = totals.drawn.iter().map(|((round, line), row)| {
        let swapped = totals.swapped.get(&(*round, *line)).copied().unwrap_or_default();
        let mut cells = vec![round.to_string(), line_name(names, *line)];
        cells.extend([row.drawn, row.bounded, row.granted, swapped].map(|units| units.to_string()));
        cells
    });
    table(&std::iter::once(head).chain(body).collect::<Vec<_>>(), 2, out)
}

/// A report for programs.
pub fn to_json(report: &Report) -> Value {
    let Report { names, totals, findings, notes, leaves, programme } = report;
    let sites: Vec<Value> = totals
        .sites
        .iter()
        .map(|((round, site, line), row)| {
            json!({
                "round": round.0, "site": site.0, "site_name": names.sites.get(site), "line": line.0,
                "line_name": names.lines.get(line), "redeemed": row.redeemed.0, "voided": row.voided.0,
                "owed": row.owed.0, "collected": row.collected.0,
            })
        })
        .collect();
    let drawn: Vec<Value> = totals
        .drawn
        .iter()
        .map(|((round, line), row)| {
            let swapped = totals.swapped.get(&(*round, *line)).map_or(0, |units| units.0);
            json!({
                "round": round.0, "line": line.0, "line_name": names.lines.get(line), "drawn": row.drawn.0,
                "counted": row.bounded.0, "granted_at_most": row.granted.0, "swapped": swapped,
            })
        })
        .collect();
    let vouchers: Vec<Value> = totals
        .vouchers
        .iter()
        .map(|(key, row)| {
            json!({
                "key": key.0, "drawn": row.drawn, "swapped_in": row.swapped_in, "swapped_out": row.swapped_out,
                "redeemed": row.redeemed, "voided": row.voided, "surrendered": row.surrendered,
            })
        })
        .collect();
    json!({
        "verified": findings.is_empty(),
        "programme": programme.to_string(),
        "agency": names.agency,
        "name": names.programme,
        "leaves": leaves,
        "enrolments": totals.enrolments,
        "amends": totals.amends,
        "totals": sites,
        "drawn": drawn,
        "vouchers": vouchers,
        "notes": notes.iter().map(Note::to_string).collect::<Vec<_>>(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// A finding for programs.
pub(crate) fn finding(finding: &Finding) -> Value {
    json!({
        "check": finding.check.code(),
        "number": finding.check.number(),
        "meaning": finding.check.meaning(),
        "party": finding.party.to_string(),
        "log": finding.log,
        "leaf": finding.leaf,
        "round": finding.round.map(|round| round.0),
        "line": finding.line.map(|line| line.0),
        "units": finding.units.0,
        "key": finding.mark.map(|mark| mark.key.0),
        "holder": finding.mark.map(|mark| hex::encode(mark.holder.0)),
    })
}

/// Redeemed units as `round,site,line,units`, with names; rows without units are left out. A name that a spreadsheet would take
/// for a formula has an apostrophe before it.
///
/// # Errors
/// Those of `out`.
pub fn csv(
    names: &Names,
    rows: impl Iterator<Item = (Round, SiteId, LineId, Units)>,
    out: impl Write,
) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["round", "site", "line", "units"])?;
    for (round, site, line, units) in rows {
        let [site, line] = [site_name(names, site), line_name(names, line)].map(|name| in_sheet(&name));
        writer.write_record([round.to_string(), site, line, units.to_string()])?;
    }
    writer.flush()?;
    Ok(())
}
