//! A site's log, leaf by leaf: vouchers, voids, owed slips, statements (spec 9.5).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    AuditError, Check, Chunks, Entries, Finding, Findings, Party, PublishedLog, Run, Sorter as _, Workspace,
    account::{Account, Accounts},
    batch,
    control::Control,
    log::{Chunk, LogView, variant},
    memory::Memory,
    record::{Seen, SlipEvent, SlipRecord},
};
use crate::{
    group::EncodedPoint,
    ids::{KeyIndex, Round, SiteId, Units},
    log::{
        leaf::{CollectedLeaf, OwedLeaf, SiteLeaf, VoidLeaf, VoucherLeaf},
        merkle::TreeHash,
    },
    programme::{InForce, KeyEntry},
    redeem::verify_void,
    secret::Weights,
    signature::PublicKey,
    slip::{Place, SiteStatement},
    voucher::{LoggedVoucher, Mark, accumulate},
    wire::Message,
};

/// A statement, where it stands.
struct Stated {
    at: u64,
    statement: SiteStatement,
    /// The root of the log before it.
    root: TreeHash,
}

/// A site's log after its first pass, and what its events add up to.
pub(super) struct SiteLog<'a> {
    pub(super) site: SiteId,
    pub(super) log: LogView<'a>,
    /// Its place among the logs that are read.
    pub(super) index: u32,
    key: PublicKey,
    statements: Vec<Stated>,
    /// Where the first statement of each round stands.
    ends: BTreeMap<Round, u64>,
    /// Rounds that an earlier log of the site states.
    ended: BTreeSet<Round>,
    /// By round, what the statements must say: what the leaves say, true or not.
    pub(super) accounts: Accounts,
}

/// What is sorted across the logs of all sites.
pub(super) struct SiteSorters<W: Workspace> {
    pub(super) seen: W::Sorter<{ Seen::SIZE }>,
    pub(super) slips: W::Sorter<{ SlipRecord::SIZE }>,
}

impl<W: Workspace> SiteSorters<W> {
    pub(super) fn new(workspace: &W) -> Self {
        Self { seen: workspace.sorter(), slips: workspace.sorter() }
    }
}

/// Events of one chunk.
#[derive(Default)]
struct Part {
    found: Vec<Finding>,
    seen: Vec<Seen>,
    slips: Vec<SlipRecord>,
}

/// Reads one chunk.
struct Reader<'a> {
    log: &'a SiteLog<'a>,
    control: &'a Control,
    part: Part,
}

impl<'a> SiteLog<'a> {
    /// The first pass: follows the statements, and the batches between them.
    pub(super) fn walk<S: Entries>(
        (site, index, key): (SiteId, u32, PublicKey),
        log: &'a PublishedLog<S>,
        chunks: Chunks,
        findings: &mut Findings,
    ) -> Result<Self, S::Error> {
        let mut statements = Vec::new();
        let log = LogView::walk(
            Party::Site(site),
            log,
            is_control,
            &BTreeSet::new(),
            chunks,
            findings,
            |at, leaf, before, _| {
                if let SiteLeaf::Statement(statement) = leaf {
                    statements.push(Stated { at, statement, root: before.root() });
                }
            },
        )?;
        let mut ends = BTreeMap::new();
        for stated in &statements {
            ends.entry(stated.statement.content.place.round).or_insert(stated.at);
        }
        Ok(Self { site, log, index, key, statements, ends, ended: BTreeSet::new(), accounts: Accounts::new() })
    }

    /// The second pass: reads and verifies all events, chunk by chunk on all cores.
    pub(super) fn read<S: Entries, W: Workspace<Error = S::Error>>(
        &self,
        entries: &S,
        control: &Control,
        run: &mut Run<'_, W>,
        sorters: &mut SiteSorters<W>,
    ) -> Result<(), AuditError<S::Error>> {
        let Run { chunks, memory, weights, findings, advance, .. } = run;
        let memory = &*memory;
        // A batch of a round that nobody planned: its leaves could not be of any.
        for batch in self.log.batches.iter().filter(|batch| !control.is_open(batch.round)) {
            if !control.may_open(self.site, batch.round) {
                findings.push(self.log.finding(Check::RoundNotOpen).at(batch.end).round(batch.round));
            }
        }
        self.log.verify(
            entries,
            (chunks.site, chunks.waiting),
            weights,
            *advance,
            |chunk, weights| Reader { log: self, control, part: Part::default() }.read(chunk, memory, weights),
            |part| {
                findings.extend(part.found);
                part.seen.into_iter().try_for_each(|seen| sorters.seen.push(seen.to_bytes()))?;
                part.slips.into_iter().try_for_each(|slip| sorters.slips.push(slip.to_bytes()))?;
                Ok(())
            },
        )
    }

    /// Whether a leaf of `round` stands after the round's statement: then it is found, and left out of what that must say.
    pub(super) fn late(&self, round: Round, at: u64) -> bool {
        self.ended.contains(&round) || self.ends.get(&round).is_some_and(|end| *end < at)
    }

    /// Takes note of an earlier log of the same site: what that stated is ended here too.
    pub(super) fn follows(&mut self, before: &Self) {
        self.ended.extend(before.ends.keys().chain(&before.ended));
    }

    /// Whether the log has a statement of a round.
    pub(super) fn states(&self, round: Round) -> bool {
        self.ends.contains_key(&round)
    }

    /// Whether keys may be missing that officers listed for the round of a leaf: then the site need not be at fault. The opening of
    /// a round fixes its keys; a copy of the issuer's log that ends before it may lack some.
    fn keys_in_doubt(&self, control: &Control, at: u64) -> bool {
        let batch = self.log.batch_of(at).map(|batch| batch.round);
        let not_yet = batch.filter(|round| !control.is_open(*round) && control.may_open(self.site, *round));
        control.keys_in_doubt || not_yet.is_some()
    }

    /// A leaf that is late.
    pub(super) fn late_finding(&self, round: Round, at: u64) -> Finding {
        self.log.finding(Check::AfterStatement).at(at).round(round)
    }

    /// Checks what the site stated of each round; `stated` are the rounds that its logs stated before.
    pub(super) fn check_statements(&self, control: &Control, stated: &mut BTreeSet<Round>, findings: &mut Findings) {
        for Stated { at, statement, root } in &self.statements {
            let terms = &statement.content;
            let round = terms.place.round;
            let mut found = |check| findings.push(self.log.finding(check).at(*at).round(round));
            if let Some(party) = control.unopened(self.site, round) {
                findings.push(self.log.finding(Check::RoundNotOpen).at(*at).round(round).of(party));
                continue;
            }
            let place = control.programme.in_force(round).ok().map(|view| Place::new(&view, self.site));
            if statement.verify(&self.key).is_err() || Some(terms.place) != place {
                found(Check::StatementInvalid);
                continue;
            }
            if !stated.insert(round) {
                found(Check::StatementRepeated);
                continue;
            }
            if terms.size != *at || terms.root != *root {
                found(Check::StatementPosition);
            }
            let nothing = Account::default();
            if !self.accounts.get(&round).unwrap_or(&nothing).agrees(terms) {
                found(Check::StatementTotals);
            }
        }
    }
}

/// Whether a variant of a site's leaf is a control leaf.
fn is_control(variant: u8) -> bool {
    variant < 2
}

/// Adds what a mark is worth.
pub(super) fn stake(finding: Finding, control: &Control, mark: &Mark) -> Finding {
    let finding = finding.mark(*mark);
    match control.programme.key(mark.key) {
        Some(entry) => finding.round(entry.id.round).stake(entry.id.line, Units(entry.id.value.into())),
        None => finding,
    }
}

/// The entry of a voucher's key, and the view of its round.
pub(super) fn key_in_force<'a>(control: &'a Control, mark: &Mark) -> Option<(&'a KeyEntry, InForce<'a>)> {
    let round = control.programme.key(mark.key)?.id.round;
    let view = control.programme.in_force(round).ok()?;
    Some((view.key(mark.key)?, view))
}

/// The entry of a voucher's key, if its round is one that the issuer's log does not open.
fn unopened_key<'a>(control: &'a Control, mark: &Mark) -> Option<&'a KeyEntry> {
    control.programme.key(mark.key).filter(|entry| !control.is_open(entry.id.round))
}

/// Leaves of a chunk whose proofs are checked, and the others that were decoded.
#[derive(Default)]
struct Events {
    vouchers: Vec<(u64, u32, LoggedVoucher)>,
    voids: Vec<(u64, VoidLeaf)>,
}

/// What the proofs of a chunk say: the false ones, by their place.
#[derive(Default)]
struct False {
    vouchers: HashSet<usize>,
    voids: HashSet<usize>,
}

impl Reader<'_> {
    fn read<W: Workspace>(mut self, chunk: Chunk<'_>, memory: &Memory<'_, W>, weights: &mut Weights) -> Part {
        let mut events = Events::default();
        for (at, entry) in (chunk.start..).zip(chunk.entries) {
            if variant::<SiteLeaf>(entry).is_some_and(is_control) {
                continue;
            }
            match SiteLeaf::decode(entry) {
                Ok(SiteLeaf::Voucher(VoucherLeaf { number, voucher })) => events.vouchers.push((at, number, voucher)),
                Ok(SiteLeaf::Void(leaf)) => events.voids.push((at, leaf)),
                Ok(SiteLeaf::Owed(leaf)) => self.owed(at, &leaf),
                Ok(SiteLeaf::Collected(leaf)) => self.collected(at, &leaf),
                Ok(SiteLeaf::OwedVoided(leaf)) => self.slip(at, leaf.holder, SlipEvent::Void),
                Ok(SiteLeaf::Batch(_) | SiteLeaf::Statement(_)) | Err(_) => {
                    self.part.found.push(self.log.log.finding(Check::LeafMalformed).at(at));
                }
            }
        }
        let (control, site) = (self.control, self.log.site);
        let proven = memory.unless_proven(
            self.log.log.name,
            chunk,
            events.vouchers.len() + events.voids.len(),
            |statement| {
                statement.number(site.0.into());
                let vouchers = events.vouchers.iter().map(|(.., voucher)| voucher.shown.key);
                let keys: BTreeSet<KeyIndex> =
                    vouchers.chain(events.voids.iter().map(|(_, leaf)| leaf.mark.key)).collect();
                keys.into_iter().for_each(|key| statement.key(&control.programme, key));
            },
            || {
                let found = events.verify(site, control, weights);
                (found.vouchers.is_empty() && found.voids.is_empty(), found)
            },
        );
        let found = proven.unwrap_or_default();
        for (index, (at, number, voucher)) in events.vouchers.iter().enumerate() {
            self.voucher(*at, *number, &voucher.shown.mark(), !found.vouchers.contains(&index));
        }
        for (index, (at, leaf)) in events.voids.iter().enumerate() {
            self.void(*at, leaf, !found.voids.contains(&index));
        }
        self.part
    }

    /// A batch holds leaves of its own round only; and none stands after its round's statement.
    fn round(&mut self, at: u64, round: Round) -> bool {
        if self.log.log.batch_of(at).is_some_and(|batch| batch.round != round) {
            self.part.found.push(self.log.log.finding(Check::LeafRound).at(at).round(round));
        }
        let late = self.log.late(round, at);
        self.part.found.extend(late.then(|| self.log.late_finding(round, at)));
        late
    }

    fn voucher(&mut self, at: u64, number: u32, mark: &Mark, holds: bool) {
        let (log, control) = (self.log, self.control);
        let own = Party::Site(log.site);
        let mut found =
            |check, party| self.part.found.push(stake(log.log.finding(check).at(at).of(party), control, mark));
        let unopened = unopened_key(control, mark);
        let listed = key_in_force(control, mark).map(|(entry, _)| entry).or(unopened);
        let valid = match listed {
            None => {
                found(Check::VoucherUnknownKey, if log.keys_in_doubt(control, at) { Party::Voucher } else { own });
                false
            }
            Some(_) if !holds => {
                found(Check::VoucherInvalid, own);
                false
            }
            Some(_) if unopened.is_some() => {
                // Nobody but the issuer can have signed it.
                found(Check::RoundNotOpen, Party::Issuer);
                true
            }
            Some(entry) if entry.id.site.is_some_and(|bound| bound != log.site) => {
                found(Check::VoucherElsewhere, own);
                true
            }
            Some(_) => true,
        };
        let late = listed.is_some_and(|entry| self.round(at, entry.id.round));
        self.part.seen.push(Seen { mark: *mark, log: log.index, number, void: false, at, valid, late });
    }

    fn void(&mut self, at: u64, leaf: &VoidLeaf, holds: bool) {
        let unopened = unopened_key(self.control, &leaf.mark);
        let listed = key_in_force(self.control, &leaf.mark).map(|(entry, _)| entry).or(unopened);
        let late = listed.is_some_and(|entry| self.round(at, entry.id.round));
        // Without the version in force the holder's proof cannot be checked; the acceptance has a finding.
        let valid = unopened.is_some() || (listed.is_some() && holds);
        if !valid {
            let in_doubt = listed.is_none() && self.log.keys_in_doubt(self.control, at);
            let party = if in_doubt { Party::Voucher } else { Party::Site(self.log.site) };
            let finding = self.log.log.finding(Check::VoidInvalid).at(at).of(party);
            self.part.found.push(stake(finding, self.control, &leaf.mark));
        }
        let VoidLeaf { mark, number, .. } = *leaf;
        self.part.seen.push(Seen { mark, log: self.log.index, number, void: true, at, valid, late });
    }

    fn slip(&mut self, at: u64, holder: EncodedPoint, what: SlipEvent) {
        let (site, log) = (self.log.site, self.log.index);
        self.part.slips.push(SlipRecord { site, holder, log, at, what });
    }

    /// A slip's leaf of a round that the issuer's log does not open.
    fn unopened(&mut self, at: u64, round: Round) {
        let party = self.control.unopened(self.log.site, round);
        let finding = |party| self.log.log.finding(Check::RoundNotOpen).at(at).round(round).of(party);
        self.part.found.extend(party.map(finding));
    }

    fn owed(&mut self, at: u64, leaf: &OwedLeaf) {
        // Whether it is late shows where it is known to be the first of its holder key.
        if self.log.log.batch_of(at).is_some_and(|batch| batch.round != leaf.round) {
            self.part.found.push(self.log.log.finding(Check::LeafRound).at(at).round(leaf.round));
        }
        self.unopened(at, leaf.round);
        let lines_ascend = leaf.lines.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let view = self.control.programme.in_force(leaf.round).ok();
        let lines_known = view.is_none_or(|view| {
            leaf.lines.iter().all(|(line, units)| *units > Units(0) && view.header.line(*line).is_some())
        });
        let sound = lines_ascend && lines_known && !leaf.lines.is_empty() && leaf.holder.decode().is_ok();
        if !sound {
            self.part.found.push(self.log.log.finding(Check::OwedInvalid).at(at).round(leaf.round));
        }
        self.slip(at, leaf.holder, SlipEvent::Owed { round: leaf.round, sound });
        // A malformed slip can have tens of thousands of lines, a sound one as many as the manifest: more count for nothing.
        let fits = leaf.lines.len() <= self.control.programme.latest().lines.len();
        let lines = if fits { &leaf.lines[..] } else { &[] };
        for (part, (line, units)) in (1..=u16::MAX).zip(lines) {
            self.slip(at, leaf.holder, SlipEvent::Line { part, line: *line, units: *units });
        }
    }

    fn collected(&mut self, at: u64, leaf: &CollectedLeaf) {
        self.unopened(at, leaf.round);
        let late = self.round(at, leaf.round);
        let mut proof = [0; 64];
        proof[..32].copy_from_slice(&leaf.proof.commitment.0);
        proof[32..].copy_from_slice(&leaf.proof.response.0.to_bytes());
        self.slip(at, leaf.holder, SlipEvent::Collected { round: leaf.round, late, proof });
    }
}

impl Events {
    fn verify(&self, site: SiteId, control: &Control, weights: &mut Weights) -> False {
        let programme = &control.programme;
        let culprits = batch::culprits(&self.vouchers, weights, &|(.., voucher), weights, accumulator| {
            accumulate([voucher], |at| programme.key(at), weights, accumulator)
        });
        let false_void = |(index, (_, leaf)): (usize, &(u64, VoidLeaf))| {
            let holds = key_in_force(control, &leaf.mark)
                .is_some_and(|(_, view)| verify_void(&view, &Place::new(&view, site), leaf).is_ok());
            (!holds).then_some(index)
        };
        False {
            vouchers: culprits.into_iter().map(|(index, _)| index).collect(),
            voids: self.voids.iter().enumerate().filter_map(false_void).collect(),
        }
    }
}
