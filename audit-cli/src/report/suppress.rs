//! Hides small figures, and with them whatever would tell them (spec/audit.md, 6).

use std::collections::BTreeMap;

use super::{
    amounts::{Amounts, divisor},
    figures::{Figure, Figures, Grid, LineFigures},
    manifest::ManifestFacts,
    network::{Cell, Network},
};

/// Withholds every figure from 1 to `below - 1`, and others as it takes. Zeros are shown, but of
/// owed and collected units.
///
/// The redeemed units of a line, with all their sums, are one table (`network.rs`). Everything else that is related to it by an
/// equation or an inequality is shown only where it tells nothing of a hidden figure.
pub(super) fn suppress(figures: &mut Figures, facts: &ManifestFacts, below: u64) {
    // Leaves are vouchers and draws, counted.
    figures.leaves = None;
    for at in 0..figures.lines.len() {
        let values = values(figures, at, facts);
        let line = &mut figures.lines[at];
        let below = hide_redeemed(&mut line.redeemed, &values, below);
        hide_promises(line, below);
        hide_drawn(line, below);
    }
    // As many households have at most so many times what one can have, and of a constant line exactly so many times. So a line's
    // grants tell how many households there are, and with them the grants of every other line.
    let few = small(figures.enrolments, below) || small(figures.amends, below);
    let told = figures
        .lines
        .iter()
        .flat_map(|line| &line.drawn)
        .all(|row| row.drawn.is_some() && row.counted.is_some() && row.granted.is_some());
    if few || !told {
        [figures.enrolments, figures.amends] = [None; 2];
        figures.lines.iter_mut().flat_map(|line| &mut line.drawn).for_each(|row| hide(&mut row.granted));
    }
}

/// The values of a line's vouchers, by round, then site.
fn values(figures: &Figures, line: usize, facts: &ManifestFacts) -> Vec<Vec<Vec<u64>>> {
    let line = figures.lines[line].line;
    let of_site = |round| figures.sites.iter().map(|(site, _)| facts.values(line, round, *site)).collect();
    figures.rounds.iter().map(|round| of_site(*round)).collect()
}

fn small(figure: Figure, below: u64) -> bool {
    figure.is_some_and(|value| value > 0 && value < i128::from(below))
}

/// Withholds a figure that is not zero.
fn hide(figure: &mut Figure) {
    *figure = figure.filter(|value| *value == 0);
}

/// Returns the smallest figure of the line that is not small.
fn hide_redeemed(grid: &mut Grid, values: &[Vec<Vec<u64>>], below: u64) -> u64 {
    let value = |figure: &Figure| u64::try_from(figure.unwrap_or(0)).unwrap_or(u64::MAX / 8);
    let figures: Vec<Vec<u64>> = grid.cells.iter().map(|row| row.iter().map(value).collect()).collect();
    // Everything is counted in what divides all values; in single units if there is a figure that no vouchers make up.
    let all = values.iter().flatten().flatten().chain(figures.iter().flatten()).copied().fold(0, divisor);
    let unit = values.iter().flatten().flatten().copied().fold(0, divisor).max(1);
    let (unit, known) = if all == unit { (unit, true) } else { (1, false) };
    let mut amounts: BTreeMap<Vec<u64>, Amounts> = BTreeMap::new();
    let key = |values: &[u64]| {
        let units: Vec<u64> = values.iter().map(|value| value / unit).collect();
        if known && !units.is_empty() { units } else { vec![1] }
    };
    let not_zero = figures.iter().flatten().zip(values.iter().flatten()).filter(|(figure, _)| **figure > 0);
    for (_, values) in not_zero {
        let key = key(values);
        amounts.entry(key.clone()).or_insert_with(|| Amounts::of(&key));
    }
    let limit = limit(below.div_ceil(unit), amounts.values());
    let nothing = Amounts::of(&[1]);
    let cell = |(value, values): (&u64, &Vec<u64>)| amounts.get(&key(values)).unwrap_or(&nothing).cell(value / unit);
    let row = |(row, values): (&Vec<u64>, &Vec<Vec<u64>>)| row.iter().zip(values).map(cell).collect();
    let cells: Vec<Vec<Cell>> = figures.iter().zip(values).map(row).collect();
    let mut network = Network::new(&cells, grid.by_site.len(), limit);
    network.protect();
    let drop_if = |figure: &mut Figure, hidden: bool| *figure = figure.filter(|_| !hidden);
    for (round, row) in grid.cells.iter_mut().enumerate() {
        for (site, cell) in row.iter_mut().enumerate() {
            drop_if(cell, network.hides_cell(round, site));
        }
    }
    grid.by_round.iter_mut().enumerate().for_each(|(round, sum)| drop_if(sum, network.hides_round(round)));
    grid.by_site.iter_mut().enumerate().for_each(|(site, sum)| drop_if(sum, network.hides_site(site)));
    drop_if(&mut grid.total, network.hides_total());
    limit.saturating_mul(unit)
}

/// The limit, raised so that at least two amounts that vouchers make up are below it wherever one is: a reader who knows that a
/// figure is small would know the figure.
fn limit<'a>(below: u64, amounts: impl Iterator<Item = &'a Amounts> + Clone) -> u64 {
    let raised = |limit: u64| {
        amounts
            .clone()
            .map(Amounts::smallest)
            .fold(limit, |limit, (smallest, second)| if smallest < limit { limit.max(second + 1) } else { limit })
    };
    let mut limit = below;
    while raised(limit) > limit {
        limit = raised(limit);
    }
    limit
}

/// Voided, owed and collected units: their sums are shown only where all their cells are, so no equation binds a hidden one.
fn hide_promises(line: &mut LineFigures, below: u64) {
    let sites = line.redeemed.by_site.len();
    let mut cells = [&line.voided, &line.owed, &line.collected].map(|grid| grid.cells.clone());
    let [voided, owed, collected] = &mut cells;
    for figure in voided.iter_mut().chain(owed.iter_mut()).chain(collected.iter_mut()).flatten() {
        if small(*figure, below) {
            *figure = None;
        }
    }
    // No more is owed than was redeemed.
    for (owed, redeemed) in owed.iter_mut().flatten().zip(line.redeemed.cells.iter().flatten()) {
        if redeemed.is_none() {
            hide(owed);
        }
    }
    // No more is collected than was owed, in this round or before.
    for site in 0..sites {
        let hides = |cells: &[Vec<Figure>]| cells.iter().any(|row| row[site].is_none());
        if hides(owed) || hides(collected) {
            // Zeros too, as the number of rounds in which something was collected bounds what was owed; but not those that
            // follow: where nothing was redeemed nothing is owed, and before anything is owed nothing is collected.
            let mut begun = false;
            for ((owed, collected), redeemed) in owed.iter_mut().zip(collected.iter_mut()).zip(&line.redeemed.cells) {
                let nothing = redeemed[site] == Some(0) && owed[site].is_none_or(|owed| owed == 0);
                begun |= !nothing;
                if !nothing {
                    owed[site] = None;
                }
                if begun || collected[site] != Some(0) {
                    collected[site] = None;
                }
            }
        }
    }
    [line.voided, line.owed, line.collected] = cells.map(|cells| Grid::of(cells, sites));
}

/// Draws bound what is redeemed in the round from above, and grants bound draws: of a carry line, all draws so far.
fn hide_drawn(line: &mut LineFigures, below: u64) {
    let mut any = false;
    for (row, redeemed) in line.drawn.iter_mut().zip(&line.redeemed.by_round) {
        if redeemed.is_none() || small(row.drawn, below) || small(row.counted, below) {
            [&mut row.drawn, &mut row.counted, &mut row.granted, &mut row.swapped].into_iter().for_each(hide);
            any = true;
        }
        for figure in [&mut row.granted, &mut row.swapped] {
            if small(*figure, below) {
                *figure = None;
            }
        }
    }
    if any && line.carry {
        // Up to the first withheld draw the sums follow from what is shown.
        let mut follows = true;
        for row in &mut line.drawn {
            follows &= row.drawn.is_some();
            if !follows {
                hide(&mut row.counted);
            }
            hide(&mut row.granted);
        }
    }
}
