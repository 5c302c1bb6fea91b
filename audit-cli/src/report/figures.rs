//! The figures of a report: tables of units by line, each figure shown or withheld.
//!
//! What every output of a run shows is decided here, once: text, JSON and page are written from the same [`Figures`].

use std::collections::BTreeSet;

use annona_protocol::{
    audit::{Report, SiteTotals},
    ids::{LineId, Round, SiteId},
};

use super::manifest::ManifestFacts;

/// A figure; nothing if it is withheld.
pub type Figure = Option<i128>;

/// The sum of figures; withheld if one of them is.
pub fn sum(figures: impl IntoIterator<Item = Figure>) -> Figure {
    figures.into_iter().try_fold(0, |sum, figure| Some(sum + figure?))
}

/// A table of rounds by sites with its sums.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Grid {
    /// By round, then site.
    pub cells: Vec<Vec<Figure>>,
    /// The sum of each round.
    pub by_round: Vec<Figure>,
    /// The sum of each site.
    pub by_site: Vec<Figure>,
    /// The sum of all.
    pub total: Figure,
}

impl Grid {
    /// The table of these cells, with sums of what is shown: a sum is withheld if one of its cells is.
    pub fn of(cells: Vec<Vec<Figure>>, sites: usize) -> Self {
        Self {
            by_round: cells.iter().map(|row| sum(row.iter().copied())).collect(),
            by_site: (0..sites).map(|site| sum(cells.iter().map(|row| row[site]))).collect(),
            total: sum(cells.iter().flatten().copied()),
            cells,
        }
    }

    /// Every figure.
    pub fn figures_mut(&mut self) -> impl Iterator<Item = &mut Figure> {
        let margins = self.by_round.iter_mut().chain(&mut self.by_site).chain(std::iter::once(&mut self.total));
        self.cells.iter_mut().flatten().chain(margins)
    }
}

/// What was drawn of a line in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DrawnFigures {
    /// Units drawn.
    pub drawn: Figure,
    /// What the bound is held against: of a carry line, all draws so far.
    pub counted: Figure,
    /// The bound.
    pub granted: Figure,
    /// Units swapped.
    pub swapped: Figure,
}

/// A line's figures.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LineFigures {
    /// The line.
    pub line: LineId,
    /// Its name.
    pub name: String,
    /// What a unit is called; empty if no manifest says so.
    pub unit: String,
    /// Whether what is not drawn stays.
    pub carry: bool,
    /// The most that a household can draw in each round, where the manifest tells.
    pub household: Vec<Option<u64>>,
    /// Redeemed and not voided.
    pub redeemed: Grid,
    /// Voided.
    pub voided: Grid,
    /// Promised on owed slips.
    pub owed: Grid,
    /// Collected on owed slips.
    pub collected: Grid,
    /// Draws, by round.
    pub drawn: Vec<DrawnFigures>,
}

/// All figures of a report.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Figures {
    /// The rounds, ascending.
    pub rounds: Vec<Round>,
    /// The sites, ascending, with their names.
    pub sites: Vec<(SiteId, String)>,
    /// The lines, ascending.
    pub lines: Vec<LineFigures>,
    /// Enrolments, splits included.
    pub enrolments: Figure,
    /// Amends.
    pub amends: Figure,
    /// Leaves read.
    pub leaves: Figure,
}

impl Figures {
    /// Every figure of an audit.
    pub fn new(report: &Report, facts: &ManifestFacts) -> Self {
        let Report { names, totals, .. } = report;
        let of_drawn = totals.drawn.keys().chain(totals.swapped.keys());
        let rounds: BTreeSet<Round> = totals
            .sites
            .keys()
            .map(|key| key.0)
            .chain(of_drawn.clone().map(|key| key.0))
            .chain(facts.rounds())
            .collect();
        let sites: BTreeSet<SiteId> = totals.sites.keys().map(|key| key.1).chain(names.sites.keys().copied()).collect();
        let of_sites = totals.sites.keys().map(|key| key.2);
        let lines: BTreeSet<LineId> =
            of_sites.chain(of_drawn.map(|key| key.1)).chain(names.lines.keys().copied()).collect();
        let (rounds, sites): (Vec<Round>, Vec<SiteId>) = (rounds.into_iter().collect(), sites.into_iter().collect());
        let grid = |line: LineId, measure: &dyn Fn(&SiteTotals) -> u64| {
            let cell = |round: Round, site: SiteId| totals.sites.get(&(round, site, line)).map_or(0, measure);
            let row = |round: &Round| sites.iter().map(|site| Some(i128::from(cell(*round, *site)))).collect();
            Grid::of(rounds.iter().map(row).collect(), sites.len())
        };
        let line_figures = |line: LineId| LineFigures {
            line,
            name: names.lines.get(&line).cloned().unwrap_or_else(|| line.to_string()),
            unit: facts.unit(line).to_owned(),
            carry: facts.carries(line),
            household: rounds.iter().map(|round| facts.household_maximum(line, *round)).collect(),
            redeemed: grid(line, &|totals| totals.redeemed.0),
            voided: grid(line, &|totals| totals.voided.0),
            owed: grid(line, &|totals| totals.owed.0),
            collected: grid(line, &|totals| totals.collected.0),
            drawn: rounds
                .iter()
                .map(|round| {
                    let row = totals.drawn.get(&(*round, line)).copied().unwrap_or_default();
                    let swapped = totals.swapped.get(&(*round, line)).copied().unwrap_or_default();
                    let [drawn, counted, granted, swapped] =
                        [row.drawn, row.bounded, row.granted, swapped].map(|units| Some(i128::from(units.0)));
                    DrawnFigures { drawn, counted, granted, swapped }
                })
                .collect(),
        };
        Self {
            lines: lines.into_iter().map(line_figures).collect(),
            sites: sites
                .iter()
                .map(|site| (*site, names.sites.get(site).cloned().unwrap_or_else(|| site.to_string())))
                .collect(),
            rounds,
            enrolments: Some(totals.enrolments.into()),
            amends: Some(totals.amends.into()),
            leaves: Some(report.leaves.into()),
        }
    }

    /// Withholds every figure.
    pub fn withhold(&mut self) {
        [self.enrolments, self.amends, self.leaves] = [None; 3];
        for line in &mut self.lines {
            line.drawn.fill(DrawnFigures::default());
            for grid in [&mut line.redeemed, &mut line.voided, &mut line.owed, &mut line.collected] {
                grid.figures_mut().for_each(|figure| *figure = None);
            }
        }
    }

    /// Whether the redeemed units of a line, at a site, in a round, are shown.
    pub fn redeemed(&self, round: Round, site: SiteId, line: LineId) -> Figure {
        let line = self.lines.iter().find(|figures| figures.line == line)?;
        let round = self.rounds.binary_search(&round).ok()?;
        let site = self.sites.iter().position(|(id, _)| *id == site)?;
        line.redeemed.cells[round][site]
    }
}
