//! What the programme grants, computed straight from the agency's file: what a spreadsheet would do. Shares no code with the
//! distribution or the audit, so that agreement means something.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;

/// Units by round, site and line.
pub(crate) type Totals = BTreeMap<(u32, String, String), u64>;

/// Sums the file's columns for the rounds given.
pub(crate) fn totals(path: &Path, rounds: std::ops::RangeInclusive<u32>) -> anyhow::Result<Totals> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header: Vec<String> = reader.headers()?.iter().map(|name| name.trim().to_owned()).collect();
    let column =
        |name: &str| header.iter().position(|known| known == name).with_context(|| format!("no column {name}"));
    let (site, members, under_two, months) =
        (column("site")?, column("members")?, column("under_two")?, column("months_registered")?);
    let mut totals = Totals::new();
    for record in reader.records() {
        let record = record?;
        let number = |at: usize| record[at].trim().parse::<u64>().context("not a number");
        let (members, under_two, months) = (number(members)?, number(under_two)?, number(months)?);
        for round in rounds.clone().filter(|round| u64::from(*round) <= months) {
            let granted = [("food", members), ("soap", members), ("infant", under_two), ("cash", 10 + 6 * members)];
            for (line, units) in granted.into_iter().filter(|(_, units)| *units > 0) {
                *totals.entry((round, record[site].trim().to_owned(), line.to_owned())).or_default() += units;
            }
        }
    }
    Ok(totals)
}
