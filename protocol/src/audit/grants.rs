//! Cohort openings, and what they grant against what was drawn (spec 9.4).
//!
//! ```text
//! lapse, round t:      drawn <= sum_c [drawn_c < t <= expires_c] accrual_j(S_c, n_c) + sum_c [drawn_c = t] S_c.balance_j
//! carry, up to t:      drawn <= sum_c [drawn_c <= t] (E_j(S_c, n_c, min(t, expires_c)) - S_c.debit_j)
//! ```
//!
//! `S_c` is the opened sum of a cohort, `n_c` its count. Amends are cohorts of their own, and the old `M` still counts: an
//! upper bound. `E_j` is evaluated accrual by accrual, each of which an opening discloses. Members that no valid opening covers
//! count with the maximum that schema and lots allow.
//!
//! Who is logged after the close of `t` has drawn nothing until then, and is in no bound of `t`: otherwise a round that was
//! overdrawn would be made good by enrolments of later rounds. Of an opening that has `k` of its `n` members before the close, at
//! most `min(sum - (n - k) * minimum, k * maximum)` is theirs.

use std::collections::BTreeMap;

use super::{
    Check, DrawnTotals, Findings, Note, batch,
    control::{Approved, Control},
    issuer::Facts,
    log::LogView,
};
use crate::{
    cohort::{CohortClass, CohortError},
    group::{Element, Point},
    ids::{LineId, LotId, Round, Units},
    log::leaf::CohortOpening,
    programme::{Carry, Form, Header, Line, Schema},
    secret::Weights,
};

/// An enrolment or amend, as far as grants go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) class: CohortClass,
    pub(super) lot: LotId,
    pub(super) at: u64,
}

/// All enrolments and amends, counted: as many rows as there are batches and classes, however many members.
pub(super) struct Members {
    /// The positions that members are ever compared with, ascending.
    cuts: Vec<u64>,
    /// Members of a stretch between two cuts stand at its beginning.
    counts: BTreeMap<Member, u64>,
}

impl Members {
    /// No members yet. Ranges of openings, freezes, closes and ends of batches are what counts.
    pub(super) fn new(log: &LogView<'_>, control: &Control, openings: &Openings) -> Self {
        let ranges = openings.ranges.values().flatten().flat_map(|(from, to, _)| [*from, *to]);
        let freezes = control.freezes.iter().map(|freeze| freeze.at);
        let closes = control.rounds.keys().filter_map(|round| control.over(*round));
        let batches = log.batches.iter().map(|batch| batch.end);
        let mut cuts: Vec<u64> = ranges.chain(freezes).chain(closes).chain(batches).collect();
        cuts.sort_unstable();
        cuts.dedup();
        Self { cuts, counts: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, member: Member) {
        let cut = self.cuts.partition_point(|cut| *cut <= member.at).checked_sub(1);
        let at = cut.map_or(0, |cut| self.cuts[cut]);
        *self.counts.entry(Member { at, ..member }).or_default() += 1;
    }

    /// Members with how many there are of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Member, u64)> {
        self.counts.iter().map(|(member, count)| (member, *count))
    }
}

/// Where openings stand: freeze and place in its list.
type Place = (usize, usize);

/// The openings whose ranges continue their class's: ranges by class, ascending and without overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct Openings {
    ranges: BTreeMap<CohortClass, Vec<(u64, u64, Place)>>,
}

impl Openings {
    pub(super) fn new(log: &LogView<'_>, control: &Control, findings: &mut Findings) -> Self {
        let mut ranges: BTreeMap<CohortClass, Vec<(u64, u64, Place)>> = BTreeMap::new();
        for (index, freeze) in control.freezes.iter().enumerate() {
            for (offset, opening) in freeze.leaf.openings.iter().enumerate() {
                let class = ranges.entry(opening.class).or_default();
                let start = class.last().map_or(0, |(_, to, _)| *to);
                if opening.from == start && opening.from < opening.to && opening.to <= freeze.at {
                    class.push((opening.from, opening.to, (index, offset)));
                } else {
                    findings.push(log.finding(Check::OpeningRange).at(freeze.at));
                }
            }
        }
        Self { ranges }
    }

    fn place(&self, class: &CohortClass, at: u64) -> Option<Place> {
        let ranges = self.ranges.get(class)?;
        let next = ranges.partition_point(|(_, to, _)| *to <= at);
        ranges.get(next).filter(|(from, ..)| *from <= at).map(|(.., place)| *place)
    }
}

/// Sums of `M` by opening.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(BTreeMap<Place, Element>);

impl Sums {
    /// Adds the `M` of a member to the opening that covers it, if one does.
    pub(super) fn add(&mut self, openings: &Openings, class: &CohortClass, at: u64, m: Element) {
        if let Some(place) = openings.place(class, at) {
            self.add_at(place, m);
        }
    }

    fn add_at(&mut self, place: Place, m: Element) {
        self.0.entry(place).and_modify(|sum| *sum += m).or_insert(m);
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(place, sum)| self.add_at(place, sum));
    }
}

/// An opening under audit.
struct Claimed<'a> {
    place: Place,
    opening: &'a CohortOpening,
    header: &'a Header,
    at: u64,
    total: Option<Point>,
    /// Members by lot.
    lots: BTreeMap<LotId, u64>,
    /// All members, where they stand.
    members: Count,
}

/// How many members stand where.
#[derive(Clone, Debug, Default)]
struct Count(BTreeMap<u64, u64>);

impl Count {
    fn add(&mut self, at: u64, count: u64) {
        *self.0.entry(at).or_default() += count;
    }

    /// The most that members before a position can have of a sum that all share, of which each has at least `least` and at most
    /// `most`.
    fn share(&self, end: Option<u64>, sum: i128, least: i128, most: i128) -> i128 {
        let (all, before) = (self.before(None), self.before(end));
        // The sum itself is held against the same limits elsewhere (9.4.5).
        if before == all { sum } else { (sum - (all - before) * least).min(before * most) }
    }

    /// All that stand before a position; all there are without one.
    fn before(&self, end: Option<u64>) -> i128 {
        let counted = end.map_or_else(|| self.0.range(..), |end| self.0.range(..end));
        counted.map(|(_, count)| i128::from(*count)).sum()
    }
}

/// An opening that holds, with its members and the lots that they are of.
struct Opened<'a> {
    opening: &'a CohortOpening,
    members: Count,
    lots: Vec<LotId>,
}

/// What is granted: opened sums, and members that are bounded by the maximum.
pub(super) struct Granted<'a> {
    opened: Vec<Opened<'a>>,
    /// Members that no valid opening covers, by class and lot.
    unopened: BTreeMap<(CohortClass, LotId), Count>,
    /// Where each round is over, and where all are that are open until it.
    over: BTreeMap<Round, (Option<u64>, Option<u64>)>,
    lots: &'a BTreeMap<LotId, Approved>,
    first: Round,
    schema: &'a Schema,
}

impl<'a> Granted<'a> {
    /// Checks all openings.
    pub(super) fn new(
        log: &LogView<'_>,
        control: &'a Control,
        openings: &Openings,
        Facts { members, sums, .. }: &Facts,
        weights: &mut Weights,
        findings: &mut Findings,
        notes: &mut Vec<Note>,
    ) -> Self {
        let mut by_place: BTreeMap<Place, (BTreeMap<LotId, u64>, Count)> = BTreeMap::new();
        for (member, count) in members.iter() {
            if let Some(place) = openings.place(&member.class, member.at) {
                let (lots, places) = by_place.entry(place).or_default();
                *lots.entry(member.lot).or_default() += count;
                places.add(member.at, count);
            }
        }
        let mut claims: Vec<Claimed<'a>> = openings
            .ranges
            .values()
            .flatten()
            .map(|(.., place)| {
                let freeze = &control.freezes[place.0];
                let (lots, members) = by_place.remove(place).unwrap_or_default();
                Claimed {
                    place: *place,
                    opening: &freeze.leaf.openings[place.1],
                    header: control.version(&freeze.newest),
                    at: freeze.at,
                    total: sums.0.get(place).and_then(|sum| Point::encode(*sum).ok()),
                    lots,
                    members,
                }
            })
            .collect();
        claims.sort_by_key(|claim| claim.place);
        let mut refuse = |claim: &Claimed<'_>, check| {
            findings.push(log.finding(check).at(claim.at));
        };
        claims.retain(|claim| {
            let counted = claim.lots.values().sum::<u64>() == claim.opening.count;
            if !counted {
                refuse(claim, Check::OpeningCount);
            }
            counted
        });
        let programme = &control.programme;
        let culprits = batch::culprits(&claims, weights, &|claim, weights, accumulator| {
            let total = claim.total.ok_or(CohortError::Shape)?;
            claim.opening.accumulate(programme, claim.header, total, weights, accumulator)
        });
        for (index, error) in culprits.into_iter().rev() {
            let claim = claims.remove(index);
            let too_small = matches!(error, Some(CohortError::TooSmall));
            refuse(&claim, if too_small { Check::CohortTooSmall } else { Check::OpeningInvalid });
        }
        for claim in &claims {
            if claim.exceeds(control) {
                refuse(claim, Check::OpeningBeyondSchema);
            }
        }
        let valid: Vec<Place> = claims.iter().map(|claim| claim.place).collect();
        let mut unopened: BTreeMap<(CohortClass, LotId), Count> = BTreeMap::new();
        let mut classes: BTreeMap<CohortClass, u64> = BTreeMap::new();
        for (member, count) in members.iter() {
            let place = openings.place(&member.class, member.at);
            if place.is_none_or(|place| valid.binary_search(&place).is_err()) {
                unopened.entry((member.class, member.lot)).or_default().add(member.at, count);
                *classes.entry(member.class).or_default() += count;
            }
        }
        notes.extend(classes.into_iter().map(|(class, count)| Note::BoundByMaximum { class, count }));
        check_classes(log, control, members, openings, findings);
        Self {
            opened: claims
                .into_iter()
                .map(|Claimed { opening, members, lots, .. }| Opened {
                    opening,
                    members,
                    lots: lots.into_keys().collect(),
                })
                .collect(),
            unopened,
            over: control
                .rounds
                .keys()
                .map(|round| (*round, (control.over(*round), control.all_over(*round))))
                .collect(),
            lots: &control.lots,
            first: programme.latest().policy.first_round,
            schema: programme.schema(),
        }
    }

    /// What a member of a lot starts with of a line, at most.
    fn start(&self, class: &CohortClass, lot: LotId, line: LineId) -> i128 {
        start(self.lots, class, lot, line, self.schema)
    }

    /// The same for the members of an opening, whichever lot they are of.
    fn start_of(&self, Opened { opening, lots, .. }: &Opened<'_>, line: LineId) -> i128 {
        lots.iter().map(|lot| self.start(&opening.class, *lot, line)).max().unwrap_or(0)
    }

    /// The bound of a lapse line in a round.
    fn lapse(&self, line: &Line, round: Round) -> i128 {
        let close = self.over.get(&round).and_then(|(over, _)| *over);
        let (form, state) = (line.accrual_at(round), usize::from(line.state));
        let (least, most) = (minimum(&form, self.schema), form.maximum(self.schema));
        let live = |class: &CohortClass| class.drawn < round && round <= class.expires;
        let opened = self.opened.iter().map(|opened| {
            let Opened { opening, members, .. } = opened;
            if live(&opening.class) {
                members.share(close, opening.evaluate(&form, self.schema), least, most)
            } else if opening.class.drawn == round {
                members.share(close, opening.states[state].into(), 0, self.start_of(opened, line.id))
            } else {
                0
            }
        });
        let unopened = self.unopened.iter().map(|((class, lot), members)| {
            let each = match class.drawn == round {
                true => self.start(class, *lot, line.id),
                false if live(class) => most,
                false => 0,
            };
            each.saturating_mul(members.before(close))
        });
        opened.chain(unopened).fold(0, i128::saturating_add)
    }

    /// The bound of a carry line up to a round.
    fn carry(&self, line: &Line, round: Round) -> i128 {
        // The draws of all rounds until this one are held against it, in whatever order these were closed.
        let (close, state) = (self.over.get(&round).and_then(|(_, all)| *all), usize::from(line.state));
        // From the round after the start: the debit began with what had accrued until then.
        let since = |class: &CohortClass| self.first.max(Round(class.drawn.0.saturating_add(1)));
        let opened = self.opened.iter().filter(|opened| opened.opening.class.drawn <= round).map(|opened| {
            let Opened { opening, members, .. } = opened;
            let (class, schema) = (&opening.class, self.schema);
            let until = round.min(class.expires);
            let sum = accrued(line, self.first, until, |form| opening.evaluate(form, schema))
                - i128::from(opening.states[state]);
            let least = accrued(line, since(class), until, |form| minimum(form, schema));
            let most = accrued(line, since(class), until, |form| form.maximum(schema)) + self.start_of(opened, line.id);
            members.share(close, sum, least, most)
        });
        let unopened = self.unopened.iter().filter(|((class, _), _)| class.drawn <= round);
        let unopened = unopened.map(|((class, lot), members)| {
            let until = round.min(class.expires);
            let each =
                accrued(line, since(class), until, |form| form.maximum(self.schema)) + self.start(class, *lot, line.id);
            each.saturating_mul(members.before(close))
        });
        opened.chain(unopened).fold(0, i128::saturating_add)
    }

    /// Holds the draws of every opened round against the bound; `drawn` has the units by round and line.
    pub(super) fn check(
        &self,
        log: &LogView<'_>,
        control: &Control,
        drawn: &BTreeMap<(Round, LineId), u128>,
        findings: &mut Findings,
    ) -> BTreeMap<(Round, LineId), DrawnTotals> {
        let units = |value: i128| Units(u64::try_from(value.max(0)).unwrap_or(u64::MAX));
        let mut totals = BTreeMap::new();
        let mut carried: BTreeMap<LineId, (i128, i128)> = BTreeMap::new();
        for round in control.rounds.keys() {
            let Ok(view) = control.programme.in_force(*round) else { continue };
            for line in &view.header.lines {
                let now = drawn.get(&(*round, line.id)).map_or(0, |units| i128::try_from(*units).unwrap_or(i128::MAX));
                let (sum, excess) = carried.entry(line.id).or_default();
                let (bounded, granted) = match line.carry {
                    Carry::Lapse => (now, self.lapse(line, *round)),
                    Carry::Carry => {
                        *sum = sum.saturating_add(now);
                        (*sum, self.carry(line, *round))
                    }
                };
                // A carry line's excess of an earlier round is not found again.
                let before = if line.carry == Carry::Carry { *excess } else { 0 };
                let over = bounded.saturating_sub(granted.max(0)).max(0);
                if over > before {
                    let finding = log.finding(Check::DrawnPastGranted).round(*round);
                    findings.push(finding.stake(line.id, units(over - before)));
                }
                *excess = over.max(before);
                let row = DrawnTotals { drawn: units(now), bounded: units(bounded), granted: units(granted) };
                totals.insert((*round, line.id), row);
            }
        }
        totals
    }
}

/// What a member of a lot starts with of a line, at most. Amends start with nothing.
fn start(lots: &BTreeMap<LotId, Approved>, class: &CohortClass, lot: LotId, line: LineId, schema: &Schema) -> i128 {
    let terms = lots.get(&lot).filter(|_| !class.amend);
    let given = terms.and_then(|lot| lot.terms.start.balances.iter().find(|(id, _)| *id == line));
    given.map_or(0, |(_, form)| form.maximum(schema))
}

/// `E_j` from one round to another, both included, accrual by accrual.
fn accrued(line: &Line, from: Round, until: Round, evaluate: impl Fn(&Form) -> i128) -> i128 {
    let mut sum = 0;
    for (index, entry) in line.accrual.iter().enumerate() {
        let begins = entry.round.max(from);
        let next = line.accrual.get(index + 1).map_or(u32::MAX, |next| next.round.0 - 1);
        let ends = next.min(until.0);
        if begins.0 <= ends {
            sum += evaluate(&entry.value) * i128::from(ends - begins.0 + 1);
        }
    }
    sum
}

/// The smallest value of a form over the schema's ranges.
fn minimum(form: &Form, schema: &Schema) -> i128 {
    form.terms.iter().fold(i128::from(form.constant), |sum, (at, coefficient)| {
        let attribute = &schema.attributes[usize::from(*at)];
        let at_bound = if *coefficient > 0 { attribute.min } else { attribute.max };
        sum + i128::from(*coefficient) * i128::from(at_bound)
    })
}

impl Claimed<'_> {
    /// Whether the sums are beyond what as many households can have: attributes outside the schema, more at the start than the
    /// lots give, or anything on a spare.
    fn exceeds(&self, control: &Control) -> bool {
        let (opening, schema, lines) = (self.opening, &self.header.schema, &self.header.lines);
        let count = i128::from(opening.count);
        let forms = opening.forms.iter().any(|(form, sum)| {
            !(minimum(form, schema) * count..=form.maximum(schema) * count).contains(&i128::from(*sum))
        });
        let first = self.header.policy.first_round;
        let starts = lines.iter().any(|line| {
            let each = self.lots.iter().map(|(lot, members)| {
                start(&control.lots, &opening.class, *lot, line.id, schema) * i128::from(*members)
            });
            let state = i128::from(opening.states[usize::from(line.state)]);
            let held = match line.carry {
                Carry::Lapse => state,
                Carry::Carry => {
                    accrued(line, first, opening.class.drawn, |form| opening.evaluate(form, schema)) - state
                }
            };
            !(0..=each.sum()).contains(&held)
        });
        let spare = |at: usize| !lines.iter().any(|line| usize::from(line.state) == at);
        forms || starts || opening.states.iter().enumerate().any(|(at, state)| spare(at) && *state != 0)
    }
}

/// At each freeze, every class with enough members since its last opening must have been opened.
fn check_classes(
    log: &LogView<'_>,
    control: &Control,
    members: &Members,
    openings: &Openings,
    findings: &mut Findings,
) {
    let mut by_class: BTreeMap<CohortClass, BTreeMap<u64, u64>> = BTreeMap::new();
    for (member, count) in members.iter() {
        *by_class.entry(member.class).or_default().entry(member.at).or_default() += count;
    }
    for (class, counts) in by_class {
        let ranges = openings.ranges.get(&class).map_or(&[][..], Vec::as_slice);
        for (index, freeze) in control.freezes.iter().enumerate() {
            let opened = ranges.iter().take_while(|(.., place)| place.0 <= index).last().map_or(0, |(_, to, _)| *to);
            let waiting: u64 = counts.range(opened..freeze.at.max(opened)).map(|(_, count)| count).sum();
            if waiting >= u64::from(control.version(&freeze.newest).policy.cohort_min) {
                findings.push(log.finding(Check::ClassUnopened).at(freeze.at));
            }
        }
    }
}
