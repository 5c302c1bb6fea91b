//! The issuer's events: enrolments, shows and swaps (spec 9.3).

use std::collections::{BTreeMap, HashSet};

use super::{
    Check, Finding, batch,
    control::Control,
    grants::{Member, Sums},
    log::{LogView, variant},
};
use crate::{
    cohort::CohortClass,
    credential::IssuedCommitment,
    draw::{accumulate_amend, accumulate_draw, accumulate_roll_over},
    group::{Accumulator, Point},
    ids::{KeyIndex, Round, SessionId, TicketHash},
    log::leaf::{AmendLeaf, DrawLeaf, EnrolLeaf, IssuerLeaf, ShowRecord, SwapLeaf},
    programme::{TicketKind, schema::Schema},
    secret::Weights,
    swap::{SwapError, accumulate_swap},
    ticket::TicketUse,
    voucher::Mark,
    wire::Message,
};

/// What the events say together.
#[derive(Default)]
pub(super) struct Facts {
    serials: Vec<([u8; 32], u64)>,
    sessions: Vec<(SessionId, u64)>,
    tickets: Vec<(TicketHash, u64)>,
    es: Vec<([u8; 32], u64)>,
    roll_overs: Vec<(Round, u64)>,
    /// Enrolments and amends, by position.
    pub(super) members: Vec<Member>,
    /// Sums of `M` by opening.
    pub(super) sums: Sums,
    /// Marks that valid swaps gave up.
    pub(super) swapped: Vec<(Mark, u64)>,
    /// Vouchers signed in draws, by key.
    pub(super) drawn: BTreeMap<KeyIndex, u64>,
    /// Vouchers signed in swaps, by key.
    pub(super) swapped_in: BTreeMap<KeyIndex, u64>,
}

fn merge_counts(into: &mut BTreeMap<KeyIndex, u64>, from: BTreeMap<KeyIndex, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}

impl Facts {
    fn merge(&mut self, other: Self) {
        self.serials.extend(other.serials);
        self.sessions.extend(other.sessions);
        self.tickets.extend(other.tickets);
        self.es.extend(other.es);
        self.roll_overs.extend(other.roll_overs);
        self.members.extend(other.members);
        self.sums.merge(other.sums);
        self.swapped.extend(other.swapped);
        merge_counts(&mut self.drawn, other.drawn);
        merge_counts(&mut self.swapped_in, other.swapped_in);
    }
}

/// Reads and verifies all events, chunk by chunk on all cores.
pub(super) fn read(
    log: &LogView<'_>,
    control: &Control,
    openings: &Sums,
    chunk: usize,
    weights: &mut Weights,
    findings: &mut Vec<Finding>,
    progress: &(dyn Fn(usize) + Sync),
) -> Facts {
    let starts = (0u64..).step_by(chunk);
    let chunks: Vec<_> = starts.zip(log.entries.chunks(chunk)).map(|(at, part)| (at, part, weights.fork())).collect();
    let parts = batch::map(chunks, |(start, entries, mut weights)| {
        let reader =
            Reader { log, control, facts: Facts { sums: openings.empty(), ..Facts::default() }, found: Vec::new() };
        let part = reader.read(start, entries, &mut weights);
        progress(entries.len());
        part
    });
    let mut facts = Facts { sums: openings.empty(), ..Facts::default() };
    for (part, found) in parts {
        facts.merge(part);
        findings.extend(found);
    }
    facts
}

/// One chunk of events.
struct Reader<'a> {
    log: &'a LogView<'a>,
    control: &'a Control,
    facts: Facts,
    found: Vec<Finding>,
}

/// The check that a leaf fails if its proofs do not hold.
fn proofs_of(leaf: &IssuerLeaf) -> Check {
    match leaf {
        IssuerLeaf::Enrol(_) => Check::EnrolmentInvalid,
        IssuerLeaf::RollOver(_) => Check::RollOverInvalid,
        IssuerLeaf::Draw(_) => Check::DrawInvalid,
        IssuerLeaf::Amend(_) => Check::AmendInvalid,
        IssuerLeaf::Swap(_) => Check::SwapInvalid,
        IssuerLeaf::Manifest(_)
        | IssuerLeaf::Lot(_)
        | IssuerLeaf::Open(_)
        | IssuerLeaf::Freeze(_)
        | IssuerLeaf::Close(_)
        | IssuerLeaf::Batch(_) => Check::LeafMalformed,
    }
}

/// The round of an event, where it has one.
fn round_of(leaf: &IssuerLeaf) -> Option<Round> {
    match leaf {
        IssuerLeaf::RollOver(record) => Some(record.round),
        IssuerLeaf::Draw(leaf) => Some(leaf.record.round),
        IssuerLeaf::Amend(leaf) => Some(leaf.record.round),
        IssuerLeaf::Swap(leaf) => Some(leaf.round),
        _ => None,
    }
}

impl Reader<'_> {
    fn read(mut self, start: u64, entries: &[Vec<u8>], weights: &mut Weights) -> (Facts, Vec<Finding>) {
        let mut events = Vec::with_capacity(entries.len());
        for (at, entry) in (start..).zip(entries) {
            if variant::<IssuerLeaf>(entry).is_some_and(|variant| variant < 6) {
                continue;
            }
            match IssuerLeaf::decode(entry) {
                Ok(leaf) => events.push((at, leaf)),
                Err(_) => self.found.push(self.log.finding(Check::LeafMalformed).at(at)),
            }
        }
        let control = self.control;
        let culprits = batch::culprits(&events, weights, &|(_, leaf), weights, accumulator| {
            accumulate(control, leaf, weights, accumulator)
        });
        let false_events: HashSet<usize> = culprits.iter().map(|(index, _)| *index).collect();
        for (index, error) in culprits {
            let (at, leaf) = &events[index];
            let finding = self.log.finding(error.unwrap_or_else(|| proofs_of(leaf))).at(*at);
            self.found.push(round_of(leaf).into_iter().fold(finding, Finding::round));
        }
        for (index, (at, leaf)) in events.iter().enumerate() {
            self.take(*at, leaf, !false_events.contains(&index));
        }
        (self.facts, self.found)
    }

    fn finding(&mut self, check: Check, at: u64, round: Option<Round>) {
        let finding = self.log.finding(check).at(at);
        self.found.push(round.into_iter().fold(finding, Finding::round));
    }

    fn take(&mut self, at: u64, leaf: &IssuerLeaf, holds: bool) {
        let round = round_of(leaf);
        if let Some(check) = round.and_then(|round| self.control.round_fault(round, at)) {
            self.finding(check, at, round);
        }
        match leaf {
            IssuerLeaf::Enrol(leaf) => self.enrol(at, leaf),
            IssuerLeaf::RollOver(record) => {
                self.show(at, record);
                self.facts.roll_overs.push((record.round, at));
            }
            IssuerLeaf::Draw(leaf) => self.draw(at, leaf),
            IssuerLeaf::Amend(leaf) => self.amend(at, leaf),
            IssuerLeaf::Swap(leaf) => self.swap(at, leaf, holds),
            _ => {}
        }
    }

    fn show(&mut self, at: u64, record: &ShowRecord) {
        self.facts.serials.push((record.show.serial.0.to_bytes(), at));
        self.facts.es.push((record.e.0.to_bytes(), at));
    }

    /// Checks a used ticket against its lot; gives the lot's starting round.
    fn ticket(&mut self, at: u64, ticket: &TicketUse, kind: TicketKind) -> Option<Round> {
        self.facts.tickets.push((ticket.hash, at));
        let lot = self.control.lots.get(&ticket.lot).filter(|lot| lot.at < at);
        let Some(lot) = lot.filter(|lot| ticket.verify(lot.count, &lot.root).is_ok()) else {
            self.finding(Check::TicketOutsideLot, at, None);
            return None;
        };
        if lot.terms.kind != kind {
            self.finding(Check::TicketKind, at, None);
        }
        Some(lot.terms.start.drawn)
    }

    fn enrol(&mut self, at: u64, leaf: &EnrolLeaf) {
        self.facts.es.push((leaf.e.0.to_bytes(), at));
        if let Some(drawn) = self.ticket(at, &leaf.ticket, leaf.kind) {
            let class = CohortClass { amend: false, expires: leaf.expires, drawn };
            let m = leaf.b.element() - Point::generator().element() - leaf.commitment.element();
            self.facts.sums.add(&class, at, m);
            self.facts.members.push(Member { class, lot: leaf.ticket.lot, at });
        }
    }

    fn draw(&mut self, at: u64, leaf: &DrawLeaf) {
        self.show(at, &leaf.record);
        if !leaf.keys.is_empty() {
            self.facts.sessions.push((leaf.session, at));
        }
        for (key, count) in &leaf.keys {
            *self.facts.drawn.entry(*key).or_default() += u64::from(*count);
        }
    }

    fn amend(&mut self, at: u64, leaf: &AmendLeaf) {
        self.show(at, &leaf.record);
        if self.ticket(at, &leaf.ticket, TicketKind::Amend).is_some() {
            let class = CohortClass { amend: true, expires: leaf.expires, drawn: leaf.record.round };
            self.facts.sums.add(&class, at, *leaf.added.element());
            self.facts.members.push(Member { class, lot: leaf.ticket.lot, at });
        }
    }

    fn swap(&mut self, at: u64, leaf: &SwapLeaf, holds: bool) {
        let frozen = self.control.rounds.get(&leaf.round).and_then(|span| span.freeze);
        if frozen.is_some_and(|freeze| freeze < at) {
            self.finding(Check::SwapAfterFreeze, at, Some(leaf.round));
        }
        self.facts.sessions.push((leaf.session, at));
        for (key, count) in &leaf.new {
            *self.facts.swapped_in.entry(*key).or_default() += u64::from(*count);
        }
        // Vouchers that do not verify prove nothing.
        if holds {
            self.facts.swapped.extend(leaf.old.iter().map(|old| (old.shown.mark(), at)));
        }
    }
}

/// Whether a credential may have this expiry and starting round.
fn expiry_fits(expires: Round, drawn: Round, first: Round, schema: &Schema) -> bool {
    i128::from(expires.0) < schema.limit() && (drawn < first || expires >= drawn)
}

/// Adds a leaf's proofs.
fn accumulate(
    control: &Control,
    leaf: &IssuerLeaf,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), Check> {
    let (programme, invalid) = (&control.programme, proofs_of(leaf));
    let first = programme.latest().policy.first_round;
    // A round that was never opened has its own finding, and no statement to check against.
    let Ok(view) = round_of(leaf).map(|round| programme.in_force(round)).transpose() else { return Ok(()) };
    match (leaf, view) {
        (IssuerLeaf::Enrol(leaf), None) => {
            let drawn = control.lots.get(&leaf.ticket.lot).map_or(Round(0), |lot| lot.terms.start.drawn);
            if leaf.kind == TicketKind::Amend || !expiry_fits(leaf.expires, drawn, first, programme.schema()) {
                return Err(invalid);
            }
            leaf.accumulate(programme, weights, accumulator).map_err(|_| invalid)
        }
        (IssuerLeaf::RollOver(record), Some(view)) => {
            accumulate_roll_over(&view, record, weights, accumulator).map_err(|_| invalid)
        }
        (IssuerLeaf::Draw(leaf), Some(view)) => {
            // A draw of nothing is a refresh, and has no session.
            if leaf.keys.is_empty() != (leaf.session == SessionId::default()) {
                return Err(invalid);
            }
            accumulate_draw(&view, leaf, weights, accumulator).map_err(|_| invalid)
        }
        (IssuerLeaf::Amend(leaf), Some(view)) => {
            if !expiry_fits(leaf.expires, leaf.record.round, first, programme.schema()) {
                return Err(invalid);
            }
            accumulate_amend(&view, leaf, weights, accumulator).map_err(|_| invalid)
        }
        (IssuerLeaf::Swap(leaf), Some(view)) => {
            accumulate_swap(&view, leaf, weights, accumulator).map_err(|error| match error {
                SwapError::NotConserved => Check::SwapNotConserved,
                _ => invalid,
            })
        }
        _ => Err(invalid),
    }
}

/// The later positions of repeated items.
fn repeats<K: Ord + Send>(mut items: Vec<(K, u64)>) -> Vec<u64> {
    batch::sort(&mut items);
    items.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).collect()
}

impl Facts {
    /// What must not occur twice in the log, and how many credentials can have rolled over.
    pub(super) fn check(&mut self, log: &LogView<'_>, findings: &mut Vec<Finding>) {
        let once = [
            (Check::SerialReused, repeats(std::mem::take(&mut self.serials))),
            (Check::SessionReused, repeats(std::mem::take(&mut self.sessions))),
            (Check::TicketReused, repeats(std::mem::take(&mut self.tickets))),
        ];
        for (check, repeated) in once {
            findings.extend(repeated.into_iter().map(|at| log.finding(check).at(at)));
        }
        self.check_e(log, findings);
        self.check_roll_overs(log, findings);
        batch::sort(&mut self.swapped);
        for pair in self.swapped.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            findings.push(log.finding(Check::DoubleSwap).at(pair[1].1).mark(pair[1].0));
        }
    }

    /// One `e` with two commitments; `e` is a function of the commitment, so honest repeats are the same credential.
    fn check_e(&mut self, log: &LogView<'_>, findings: &mut Vec<Finding>) {
        let mut es = std::mem::take(&mut self.es);
        batch::sort(&mut es);
        for pair in es.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            if commitment(log, pair[0].1) != commitment(log, pair[1].1) {
                findings.push(log.finding(Check::EReused).at(pair[1].1));
            }
        }
    }

    /// Roll-overs of a round against enrolments that stand before the last of them and have not expired.
    fn check_roll_overs(&mut self, log: &LogView<'_>, findings: &mut Vec<Finding>) {
        let mut by_round: BTreeMap<Round, (u64, u64)> = BTreeMap::new();
        for (round, at) in &self.roll_overs {
            let (count, last) = by_round.entry(*round).or_default();
            (*count, *last) = (*count + 1, (*last).max(*at));
        }
        for (round, (count, last)) in by_round {
            // Order in a batch says nothing: the enrolment may stand behind.
            let end = log.batch_of(last).map_or(last, |batch| batch.end);
            let before = self.members.iter().filter(|member| member.at < end && member.class.drawn < round);
            let (mut enrolled, mut live) = (0, 0);
            for member in before {
                enrolled += u64::from(!member.class.amend);
                // An amend may have given one credential a later expiry.
                live += u64::from(member.class.expires >= round);
            }
            if count > enrolled.min(live) {
                findings.push(log.finding(Check::RollOversPastEnrolled).at(last).round(round));
            }
        }
    }
}

/// `B` of the credential that a leaf issued.
fn commitment(log: &LogView<'_>, at: u64) -> Option<Point> {
    let show = |record: &ShowRecord, added: Option<&Point>| {
        IssuedCommitment::b(&record.show.commitment, added.map(Point::element)).ok()
    };
    match IssuerLeaf::decode(log.entries.get(at as usize)?).ok()? {
        IssuerLeaf::Enrol(leaf) => Some(leaf.b),
        IssuerLeaf::RollOver(record) => show(&record, None),
        IssuerLeaf::Draw(leaf) => show(&leaf.record, None),
        IssuerLeaf::Amend(leaf) => show(&leaf.record, Some(&leaf.added)),
        _ => None,
    }
}
