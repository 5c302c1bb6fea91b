//! The issuer's events: enrolments, shows and swaps (spec 9.3).

use std::collections::{BTreeMap, HashSet};

use super::{
    AuditError, Check, Entries, Finding, Findings, Run, Sorter as _, Workspace, batch,
    control::Control,
    grants::{Member, Members, Openings, Sums},
    log::{Chunk, LogView, variant},
    memory::{Memory, Statement},
    record::{IssuedE, Once, Swapped},
};
use crate::{
    cohort::CohortClass,
    credential::IssuedCommitment,
    draw::{accumulate_amend, accumulate_draw, accumulate_roll_over},
    group::{Accumulator, Point},
    ids::{KeyIndex, Round, SessionId},
    log::{
        leaf::{AmendLeaf, DrawLeaf, EnrolLeaf, IssuerLeaf, ShowRecord, SwapLeaf},
        merkle::{TreeHash, leaf_hash},
    },
    programme::{TicketKind, schema::Schema},
    secret::Weights,
    swap::{SwapError, accumulate_swap},
    ticket::TicketUse,
    wire::Message,
};

/// What the events say together.
pub(super) struct Facts {
    /// By round: how many rolled over, and the last of them.
    roll_overs: BTreeMap<Round, (u64, u64)>,
    /// Enrolments and amends.
    pub(super) members: Members,
    /// Sums of `M` by opening.
    pub(super) sums: Sums,
    /// Vouchers signed in draws, by key.
    pub(super) drawn: BTreeMap<KeyIndex, u64>,
    /// Vouchers signed in swaps, by key.
    pub(super) swapped_in: BTreeMap<KeyIndex, u64>,
}

/// What goes into sorters: what must not occur twice.
pub(super) struct IssuerSorters<W: Workspace> {
    once: W::Sorter<{ Once::SIZE }>,
    es: W::Sorter<{ IssuedE::SIZE }>,
    /// Vouchers that valid swaps gave up.
    pub(super) swapped: W::Sorter<{ Swapped::SIZE }>,
}

impl<W: Workspace> IssuerSorters<W> {
    pub(super) fn new(workspace: &W) -> Self {
        Self { once: workspace.sorter(), es: workspace.sorter(), swapped: workspace.sorter() }
    }
}

/// What the events of one chunk say.
#[derive(Default)]
struct Part {
    found: Vec<Finding>,
    once: Vec<Once>,
    es: Vec<IssuedE>,
    swapped: Vec<Swapped>,
    roll_overs: Vec<(Round, u64)>,
    members: Vec<Member>,
    sums: Sums,
    drawn: BTreeMap<KeyIndex, u64>,
    swapped_in: BTreeMap<KeyIndex, u64>,
}

fn merge_counts(into: &mut BTreeMap<KeyIndex, u64>, from: BTreeMap<KeyIndex, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}

impl Facts {
    fn take<W: Workspace>(
        &mut self,
        part: Part,
        sorters: &mut IssuerSorters<W>,
        findings: &mut Findings,
    ) -> Result<(), W::Error> {
        findings.extend(part.found);
        part.once.into_iter().try_for_each(|once| sorters.once.push(once.to_bytes()))?;
        part.es.into_iter().try_for_each(|e| sorters.es.push(e.to_bytes()))?;
        part.swapped.into_iter().try_for_each(|swapped| sorters.swapped.push(swapped.to_bytes()))?;
        for (round, at) in part.roll_overs {
            let (count, last) = self.roll_overs.entry(round).or_default();
            (*count, *last) = (*count + 1, (*last).max(at));
        }
        part.members.into_iter().for_each(|member| self.members.add(member));
        self.sums.merge(part.sums);
        merge_counts(&mut self.drawn, part.drawn);
        merge_counts(&mut self.swapped_in, part.swapped_in);
        Ok(())
    }
}

/// Reads and verifies all events, chunk by chunk on all cores.
pub(super) fn read<S: Entries, W: Workspace<Error = S::Error>>(
    log: &LogView<'_>,
    entries: &S,
    control: &Control,
    openings: &Openings,
    run: &mut Run<'_, W>,
    sorters: &mut IssuerSorters<W>,
) -> Result<Facts, AuditError<S::Error>> {
    let mut facts = Facts {
        roll_overs: BTreeMap::new(),
        members: Members::new(log, control, openings),
        sums: Sums::default(),
        drawn: BTreeMap::new(),
        swapped_in: BTreeMap::new(),
    };
    let Run { chunks, memory, weights, findings, advance, .. } = run;
    let (memory, advance) = (&*memory, *advance);
    log.verify(
        entries,
        (chunks.issuer, chunks.waiting),
        weights,
        advance,
        |chunk, weights| {
            let reader = Reader { log, control, openings, part: Part::default() };
            reader.read(chunk, memory, weights)
        },
        |part| Ok(facts.take(part, sorters, findings)?),
    )?;
    Ok(facts)
}

/// One chunk of events.
struct Reader<'a> {
    log: &'a LogView<'a>,
    control: &'a Control,
    openings: &'a Openings,
    part: Part,
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
    fn read<W: Workspace>(mut self, chunk: Chunk<'_>, memory: &Memory<'_, W>, weights: &mut Weights) -> Part {
        let mut events = Vec::with_capacity(chunk.entries.len());
        for ((at, entry), hash) in (chunk.start..).zip(chunk.entries).zip(chunk.hashes) {
            if variant::<IssuerLeaf>(entry).is_some_and(Control::is_control) {
                continue;
            }
            match IssuerLeaf::decode(entry) {
                Ok(leaf) => events.push((at, leaf, *hash)),
                Err(_) => self.part.found.push(self.log.finding(Check::LeafMalformed).at(at)),
            }
        }
        let control = self.control;
        let culprits = memory.unless_proven(
            self.log.name,
            chunk,
            events.len(),
            |statement| events.iter().for_each(|(_, leaf, _)| state(control, leaf, statement)),
            || {
                let culprits = batch::culprits(&events, weights, &|(_, leaf, _), weights, accumulator| {
                    accumulate(control, leaf, weights, accumulator)
                });
                (culprits.is_empty(), culprits)
            },
        );
        let culprits = culprits.unwrap_or_default();
        let false_events: HashSet<usize> = culprits.iter().map(|(index, _)| *index).collect();
        for (index, error) in culprits {
            let (at, leaf, _) = &events[index];
            let finding = self.log.finding(error.unwrap_or_else(|| proofs_of(leaf))).at(*at);
            self.part.found.push(round_of(leaf).into_iter().fold(finding, Finding::round));
        }
        for (index, (at, leaf, hash)) in events.iter().enumerate() {
            self.take(*at, leaf, *hash, !false_events.contains(&index));
        }
        self.part
    }

    fn finding(&mut self, check: Check, at: u64, round: Option<Round>) {
        let finding = self.log.finding(check).at(at);
        self.part.found.push(round.into_iter().fold(finding, Finding::round));
    }

    fn take(&mut self, at: u64, leaf: &IssuerLeaf, hash: TreeHash, holds: bool) {
        let round = round_of(leaf);
        if let Some(check) = round.and_then(|round| self.control.round_fault(round, at)) {
            self.finding(check, at, round);
        }
        match leaf {
            IssuerLeaf::Enrol(leaf) => self.enrol(at, leaf, hash),
            IssuerLeaf::RollOver(record) => {
                self.show(at, record, hash);
                self.part.roll_overs.push((record.round, at));
            }
            IssuerLeaf::Draw(leaf) => self.draw(at, leaf, hash),
            IssuerLeaf::Amend(leaf) => self.amend(at, leaf, hash),
            IssuerLeaf::Swap(leaf) => self.swap(at, leaf, holds),
            _ => {}
        }
    }

    fn once(&mut self, kind: u8, id: &[u8], at: u64) {
        let mut key = [0; 32];
        key[..id.len()].copy_from_slice(id);
        self.part.once.push(Once { kind, key, at });
    }

    fn show(&mut self, at: u64, record: &ShowRecord, leaf: TreeHash) {
        self.once(Once::SERIAL, &record.show.serial.0.to_bytes(), at);
        self.part.es.push(IssuedE { e: record.e.0.to_bytes(), at, leaf });
    }

    /// Checks a used ticket against its lot; gives the lot's starting round.
    fn ticket(&mut self, at: u64, ticket: &TicketUse, kind: TicketKind) -> Option<Round> {
        self.once(Once::TICKET, &ticket.hash.0, at);
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

    fn enrol(&mut self, at: u64, leaf: &EnrolLeaf, hash: TreeHash) {
        self.part.es.push(IssuedE { e: leaf.e.0.to_bytes(), at, leaf: hash });
        if let Some(drawn) = self.ticket(at, &leaf.ticket, leaf.kind) {
            let class = CohortClass { amend: false, expires: leaf.expires, drawn };
            let m = leaf.b.element() - Point::generator().element() - leaf.commitment.element();
            self.part.sums.add(self.openings, &class, at, m);
            self.part.members.push(Member { class, lot: leaf.ticket.lot, at });
        }
    }

    fn draw(&mut self, at: u64, leaf: &DrawLeaf, hash: TreeHash) {
        self.show(at, &leaf.record, hash);
        if !leaf.keys.is_empty() {
            self.once(Once::SESSION, &leaf.session.0, at);
        }
        for (key, count) in &leaf.keys {
            *self.part.drawn.entry(*key).or_default() += u64::from(*count);
        }
    }

    fn amend(&mut self, at: u64, leaf: &AmendLeaf, hash: TreeHash) {
        self.show(at, &leaf.record, hash);
        if self.ticket(at, &leaf.ticket, TicketKind::Amend).is_some() {
            let class = CohortClass { amend: true, expires: leaf.expires, drawn: leaf.record.round };
            self.part.sums.add(self.openings, &class, at, *leaf.added.element());
            self.part.members.push(Member { class, lot: leaf.ticket.lot, at });
        }
    }

    fn swap(&mut self, at: u64, leaf: &SwapLeaf, holds: bool) {
        let frozen = self.control.rounds.get(&leaf.round).and_then(|span| span.freeze);
        if frozen.is_some_and(|freeze| freeze < at) {
            self.finding(Check::SwapAfterFreeze, at, Some(leaf.round));
        }
        self.once(Once::SESSION, &leaf.session.0, at);
        for (key, count) in &leaf.new {
            *self.part.swapped_in.entry(*key).or_default() += u64::from(*count);
        }
        // Vouchers that do not verify prove nothing.
        if holds {
            self.part.swapped.extend(leaf.old.iter().map(|old| Swapped { mark: old.shown.mark(), at }));
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

/// What a leaf's proofs depend on beside the leaf and the programme's id: what [`accumulate`] reads.
fn state(control: &Control, leaf: &IssuerLeaf, statement: &mut Statement) {
    let programme = &control.programme;
    statement.number(programme.latest().policy.first_round.0.into());
    statement.bytes(programme.latest().issuer_key.as_bytes());
    match round_of(leaf) {
        Some(round) => statement.in_force(programme, round),
        None => {
            let IssuerLeaf::Enrol(leaf) = leaf else { return };
            statement.number(control.lots.get(&leaf.ticket.lot).map_or(0, |lot| lot.terms.start.drawn.0).into());
        }
    }
}

impl Facts {
    /// What must not occur twice in the log, and how many credentials can have rolled over. Gives the sorter of swapped vouchers
    /// back.
    pub(super) fn check<S: Entries, W: Workspace<Error = S::Error>>(
        &self,
        log: &LogView<'_>,
        entries: &S,
        sorters: IssuerSorters<W>,
        findings: &mut Findings,
    ) -> Result<W::Sorter<{ Swapped::SIZE }>, AuditError<S::Error>> {
        let IssuerSorters { once, es, swapped } = sorters;
        let mut before: Option<Once> = None;
        for record in once.sorted()? {
            let record = Once::from_bytes(&record?);
            if before.is_some_and(|before| (before.kind, before.key) == (record.kind, record.key)) {
                let check = match record.kind {
                    Once::SERIAL => Check::SerialReused,
                    Once::SESSION => Check::SessionReused,
                    _ => Check::TicketReused,
                };
                findings.push(log.finding(check).at(record.at));
            }
            before = Some(record);
        }
        check_e::<S, W>(log, entries, es, findings)?;
        self.check_roll_overs(log, findings);
        Ok(swapped)
    }

    /// Roll-overs of a round against enrolments that stand before the last of them and have not expired.
    fn check_roll_overs(&self, log: &LogView<'_>, findings: &mut Findings) {
        for (round, (count, last)) in &self.roll_overs {
            // Order in a batch says nothing: the enrolment may stand behind.
            let end = log.batch_of(*last).map_or(*last, |batch| batch.end);
            let before = self.members.iter().filter(|(member, _)| member.at < end && member.class.drawn < *round);
            let (mut enrolled, mut live) = (0, 0);
            for (member, members) in before {
                enrolled += if member.class.amend { 0 } else { members };
                // An amend may have given one credential a later expiry.
                live += if member.class.expires >= *round { members } else { 0 };
            }
            if *count > enrolled.min(live) {
                findings.push(log.finding(Check::RollOversPastEnrolled).at(*last).round(*round));
            }
        }
    }
}

/// One `e` with two commitments; `e` is a function of the commitment, so honest repeats are the same credential.
fn check_e<S: Entries, W: Workspace<Error = S::Error>>(
    log: &LogView<'_>,
    entries: &S,
    es: W::Sorter<{ IssuedE::SIZE }>,
    findings: &mut Findings,
) -> Result<(), AuditError<S::Error>> {
    let mut before: Option<IssuedE> = None;
    for record in es.sorted()? {
        let record = IssuedE::from_bytes(&record?);
        if let Some(before) = before.filter(|before| before.e == record.e) {
            // Rare: the leaves are read again rather than their commitments kept.
            if commitment(log, entries, &before)? != commitment(log, entries, &record)? {
                findings.push(log.finding(Check::EReused).at(record.at));
            }
        }
        before = Some(record);
    }
    Ok(())
}

/// `B` of the credential that a leaf issued.
fn commitment<S: Entries>(
    log: &LogView<'_>,
    entries: &S,
    issued: &IssuedE,
) -> Result<Option<Point>, AuditError<S::Error>> {
    let read = entries.read(issued.at..issued.at + 1)?;
    let entry = read.first().filter(|entry| leaf_hash(entry) == issued.leaf).ok_or_else(|| log.changed())?;
    let show = |record: &ShowRecord, added: Option<&Point>| {
        IssuedCommitment::b(&record.show.commitment, added.map(Point::element)).ok()
    };
    Ok(match IssuerLeaf::decode(entry) {
        Ok(IssuerLeaf::Enrol(leaf)) => Some(leaf.b),
        Ok(IssuerLeaf::RollOver(record)) => show(&record, None),
        Ok(IssuerLeaf::Draw(leaf)) => show(&leaf.record, None),
        Ok(IssuerLeaf::Amend(leaf)) => show(&leaf.record, Some(&leaf.added)),
        _ => None,
    })
}
