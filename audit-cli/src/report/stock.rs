//! Stock reconciliation: what left a site's store against what its vouchers say (spec/audit.md, 7).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use annona_protocol::{
    audit::Totals,
    ids::{Round, SiteId},
};

use super::{
    figures::Figures,
    manifest::ManifestFacts,
    sheet::{self, SheetError, SheetRow, Thousandths},
};
use crate::print::clean;

/// An item in a round, or in all rounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockRow {
    /// The site.
    pub site: SiteId,
    /// The item.
    pub item: String,
    /// What amounts are in.
    pub measure: String,
    /// The round; nothing for all rounds.
    pub round: Option<Round>,
    /// What left the store by the sheet: opening + received - left - returned - damaged. Nothing if the sheet does not name
    /// the item, or if the amount is withheld.
    pub sheet: Option<Thousandths>,
    /// What the vouchers say was handed out: redeemed, less what is owed, plus what was collected. Nothing if withheld.
    pub vouchers: Option<Thousandths>,
    /// Whether amounts are withheld.
    pub withheld: bool,
}

impl StockRow {
    /// By how much the sheet says more than the vouchers. Of an item that the sheet does not name, all is missing.
    pub fn difference(&self) -> Option<Thousandths> {
        if self.withheld { None } else { Some(self.sheet.unwrap_or(0) - self.vouchers.unwrap_or(0)) }
    }

    /// Whether it says nothing: of an item that the sheet does not name, nothing was handed out, and that may be said.
    pub fn is_idle(&self) -> bool {
        !self.withheld && self.sheet.is_none() && self.vouchers == Some(0)
    }

    /// Whether sheet and vouchers agree.
    pub fn agrees(&self) -> bool {
        self.sheet.is_some() && self.sheet == self.vouchers
    }
}

/// An amount as text.
#[derive(Clone, Copy, Debug)]
pub struct Amount(
    /// How much.
    pub Thousandths,
);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, value) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let part = format!("{:03}", value % 1000);
        match part.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", value / 1000),
            part => write!(f, "{sign}{}.{part}", value / 1000),
        }
    }
}

/// Why a sheet cannot be reconciled. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StockError {
    /// The sheet cannot be read.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// No such site.
    #[error("the manifest names no site {site}. Give the site's number")]
    Site {
        /// The site.
        site: SiteId,
    },
    /// No line hands out the item.
    #[error("row {row}: the manifest names no such item in the round. Name it as the manifest does: {known}")]
    Item {
        /// The row.
        row: u64,
        /// What it knows.
        known: KnownItems,
    },
    /// The measure cannot be converted.
    #[error("row {row}: the manifest counts this item in another measure: {measure}. Convert the row's amounts")]
    Measure {
        /// The row.
        row: u64,
        /// The manifest's.
        measure: KnownItems,
    },
    /// Two rows say the same.
    #[error("row {row} is about an item and rounds that an earlier row is about. Add them up, in one row")]
    Repeated {
        /// The row.
        row: u64,
    },
}

/// Items of a manifest, listed in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownItems(Vec<String>);

impl fmt::Display for KnownItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|item| clean(item)).collect::<Vec<_>>().join(", "))
    }
}

/// Reconciles a site's sheet with the totals of an audit. What the sheet does not name has a row for every round, also if nothing
/// was handed out ([`StockRow::is_idle`]): whether there is a row would tell.
///
/// # Errors
/// [`StockError`].
pub fn reconcile(
    site: SiteId,
    path: &Path,
    totals: &Totals,
    facts: &ManifestFacts,
) -> Result<Vec<StockRow>, StockError> {
    if !facts.has_site(site) {
        return Err(StockError::Site { site });
    }
    let expected = expected(site, totals, facts);
    let mut rows: Vec<StockRow> = Vec::new();
    for row in sheet::read(path)? {
        let reconciled = reconcile_row(site, &row, &expected, facts)?;
        let overlaps = |other: &StockRow| {
            other.item == reconciled.item
                && (other.round == reconciled.round || other.round.is_none() || reconciled.round.is_none())
        };
        if rows.iter().any(overlaps) {
            return Err(StockError::Repeated { row: row.number });
        }
        rows.push(reconciled);
    }
    // What the sheet does not speak of was handed out of no stock.
    let of_drawn = totals.drawn.keys().chain(totals.swapped.keys()).map(|(round, _)| *round);
    let of_sites = totals.sites.keys().map(|(round, ..)| *round);
    let rounds: BTreeSet<Round> = of_sites.chain(of_drawn).chain(facts.rounds()).collect();
    for (item, measure) in facts.items() {
        let by_round = expected.get(&(item.clone(), measure.clone()));
        for round in &rounds {
            let spoken = |row: &StockRow| row.item == item && row.round.is_none_or(|of| of == *round);
            if !rows.iter().any(spoken) {
                let amount = by_round.and_then(|by_round| by_round.get(round)).copied().unwrap_or(0);
                let (item, measure, round, vouchers) = (item.clone(), measure.clone(), Some(*round), Some(amount));
                rows.push(StockRow { site, item, measure, round, sheet: None, vouchers, withheld: false });
            }
        }
    }
    Ok(rows)
}

/// What the vouchers say, by item with its measure, and round.
type Expected = BTreeMap<(String, String), BTreeMap<Round, Thousandths>>;

fn expected(site: SiteId, totals: &Totals, facts: &ManifestFacts) -> Expected {
    let mut expected = Expected::new();
    for ((round, at, line), units) in &totals.sites {
        if *at != site {
            continue;
        }
        let handed_out = i128::from(units.redeemed.0) - i128::from(units.owed.0) + i128::from(units.collected.0);
        for worth in facts.worth(*line, *round) {
            let by_round = expected.entry((worth.item, worth.measure)).or_default();
            let amount = handed_out.saturating_mul(i128::from(worth.amount)).saturating_mul(1000);
            let sum = by_round.entry(*round).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    expected
}

fn reconcile_row(
    site: SiteId,
    row: &SheetRow,
    expected: &Expected,
    facts: &ManifestFacts,
) -> Result<StockRow, StockError> {
    let same = |left: &str, right: &str| left.trim().to_lowercase() == right.trim().to_lowercase();
    let mut found = facts.items().into_iter().filter(|(item, _)| same(item, &row.item)).collect::<Vec<_>>();
    if found.is_empty() {
        let mut known: Vec<String> = facts.items().into_iter().map(|(item, _)| item).collect();
        known.dedup();
        return Err(StockError::Item { row: row.number, known: KnownItems(known) });
    }
    // An item that the manifest counts in two measures needs the row's to tell which.
    if let Some(measure) = &row.measure {
        found.sort_by_key(|(_, of)| factor(measure, of).is_none());
    }
    let (item, measure) = found.swap_remove(0);
    let (times, by) = match &row.measure {
        None => (1, 1),
        Some(of) => factor(of, &measure)
            .ok_or_else(|| StockError::Measure { row: row.number, measure: KnownItems(vec![measure.clone()]) })?,
    };
    let out = row.opening + row.received - row.left - row.returned - row.damaged;
    let by_round = expected.get(&(item.clone(), measure.clone()));
    let vouchers = by_round.into_iter().flatten().filter(|(round, _)| row.round.is_none_or(|of| of == **round));
    Ok(StockRow {
        site,
        item,
        measure,
        round: row.round,
        sheet: Some(out * times / by),
        vouchers: Some(vouchers.map(|(_, amount)| *amount).fold(0, i128::saturating_add)),
        withheld: false,
    })
}

/// How amounts in one measure become amounts in another: times, and divided by.
fn factor(from: &str, to: &str) -> Option<(i128, i128)> {
    let (from, to) = (from.trim().to_lowercase(), to.trim().to_lowercase());
    const SCALES: [[(&str, i128); 4]; 2] = [
        [("mg", 1), ("g", 1000), ("kg", 1_000_000), ("t", 1_000_000_000)],
        [("ml", 1), ("cl", 10), ("l", 1000), ("hl", 100_000)],
    ];
    if from == to {
        return Some((1, 1));
    }
    SCALES.iter().find_map(|scale| {
        let of = |name: &str| scale.iter().find(|(known, _)| *known == name).map(|(_, size)| *size);
        Some((of(&from)?, of(&to)?))
    })
}

/// Withholds the rows that tell of withheld units: a row is shown only if it follows from figures that are.
pub(super) fn suppress(rows: &mut [StockRow], figures: &Figures, facts: &ManifestFacts) {
    for row in rows {
        let Some(site) = figures.sites.iter().position(|(site, _)| *site == row.site) else { continue };
        let rounds = figures.rounds.iter().enumerate().filter(|(_, round)| row.round.is_none_or(|of| of == **round));
        row.withheld = rounds.into_iter().any(|(at, round)| {
            figures.lines.iter().any(|line| {
                let counts = facts.worth(line.line, *round).iter().any(|worth| worth.item == row.item);
                let cells = [&line.redeemed, &line.owed, &line.collected].map(|grid| grid.cells[at][site]);
                counts && cells.iter().any(Option::is_none)
            })
        });
        if row.withheld {
            (row.sheet, row.vouchers) = (None, None);
        }
    }
}
