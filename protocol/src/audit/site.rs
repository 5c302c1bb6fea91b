//! A site's log: vouchers, voids, owed slips, statements (spec 9.5).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
};

use super::{
    Check, Finding, SiteTotals, Totals,
    account::{Account, Accounts},
    batch,
    control::Control,
    log::{LogView, variant},
};
use crate::{
    group::EncodedPoint,
    ids::{LineId, Round, SiteId, Units},
    log::leaf::{CollectedLeaf, OwedLeaf, SiteLeaf, VoidLeaf, VoucherLeaf},
    programme::{InForce, KeyEntry},
    redeem::{verify_collected, verify_void},
    secret::Weights,
    signature::PublicKey,
    slip::{Place, SiteStatement},
    voucher::{LoggedVoucher, Mark, accumulate},
    wire::Message,
};

/// An acceptance in a site's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Accepted {
    pub(super) mark: Mark,
    pub(super) number: u32,
    pub(super) at: u64,
    /// Whether the voucher verifies: a false one proves nothing.
    pub(super) valid: bool,
    /// Whether a void names it: what the site states.
    void_claimed: bool,
    /// Whether the holder agreed to the void.
    pub(super) voided: bool,
}

/// A void in a site's log.
#[derive(Clone, Copy)]
struct Void {
    mark: Mark,
    number: u32,
    at: u64,
    proven: bool,
}

/// What a site's log says.
pub(super) struct SiteLog<'a> {
    pub(super) site: SiteId,
    pub(super) log: LogView<'a>,
    key: PublicKey,
    statements: Vec<(u64, SiteStatement)>,
    pub(super) accepted: Vec<Accepted>,
    voids: Vec<Void>,
    owed: Vec<(u64, OwedLeaf)>,
    collected: Vec<(u64, CollectedLeaf)>,
    owed_voids: Vec<(u64, EncodedPoint)>,
}

/// Events of one chunk.
#[derive(Default)]
struct Part {
    found: Vec<Finding>,
    accepted: Vec<Accepted>,
    voids: Vec<Void>,
    owed: Vec<(u64, OwedLeaf)>,
    collected: Vec<(u64, CollectedLeaf)>,
    owed_voids: Vec<(u64, EncodedPoint)>,
}

impl<'a> SiteLog<'a> {
    /// Follows the statements, and the batches between them.
    pub(super) fn new(site: SiteId, mut log: LogView<'a>, key: PublicKey, findings: &mut Vec<Finding>) -> Self {
        let mut statements = Vec::new();
        // Variants 0 and 1 of a site's leaf are control leaves.
        log.walk(
            |variant| variant < 2,
            findings,
            |at, leaf: SiteLeaf, _| {
                if let SiteLeaf::Statement(statement) = leaf {
                    statements.push((at, statement));
                }
            },
        );
        Self {
            site,
            log,
            key,
            statements,
            accepted: Vec::new(),
            voids: Vec::new(),
            owed: Vec::new(),
            collected: Vec::new(),
            owed_voids: Vec::new(),
        }
    }

    /// Reads and verifies all events, chunk by chunk on all cores.
    pub(super) fn read(
        &mut self,
        control: &Control,
        chunk: usize,
        weights: &mut Weights,
        findings: &mut Vec<Finding>,
        progress: &(dyn Fn(usize) + Sync),
    ) {
        let starts = (0u64..).step_by(chunk);
        let chunks: Vec<_> =
            starts.zip(self.log.entries.chunks(chunk)).map(|(at, part)| (at, part, weights.fork())).collect();
        let (site, log) = (self.site, &self.log);
        let parts = batch::map(chunks, |(start, entries, mut weights)| {
            let mut part = Part::default();
            part.read(site, log, control, start, entries, &mut weights);
            progress(entries.len());
            part
        });
        for part in parts {
            findings.extend(part.found);
            self.accepted.extend(part.accepted);
            self.voids.extend(part.voids);
            self.owed.extend(part.owed);
            self.collected.extend(part.collected);
            self.owed_voids.extend(part.owed_voids);
        }
        self.match_voids(control, findings);
    }

    /// Each void cancels one acceptance of this log.
    fn match_voids(&mut self, control: &Control, findings: &mut Vec<Finding>) {
        batch::sort(&mut self.accepted);
        for Void { mark, number, at, proven } in &self.voids {
            let found = self.accepted.binary_search_by_key(&(*mark, *number), |known| (known.mark, known.number));
            match found.ok().map(|index| &mut self.accepted[index]) {
                Some(accepted) if !accepted.void_claimed => {
                    (accepted.void_claimed, accepted.voided) = (true, *proven);
                }
                _ => findings.push(stake(self.log.finding(Check::VoidUnmatched).at(*at), control, mark)),
            }
        }
    }
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
fn key_in_force<'a>(control: &'a Control, mark: &Mark) -> Option<(&'a KeyEntry, InForce<'a>)> {
    let round = control.programme.key(mark.key)?.id.round;
    let view = control.programme.in_force(round).ok()?;
    Some((view.key(mark.key)?, view))
}

impl Part {
    fn read(
        &mut self,
        site: SiteId,
        log: &LogView<'_>,
        control: &Control,
        start: u64,
        entries: &[Vec<u8>],
        weights: &mut Weights,
    ) {
        let mut vouchers: Vec<(u64, u32, LoggedVoucher)> = Vec::with_capacity(entries.len());
        for (at, entry) in (start..).zip(entries) {
            if variant::<SiteLeaf>(entry).is_some_and(|variant| variant < 2) {
                continue;
            }
            match SiteLeaf::decode(entry) {
                Ok(SiteLeaf::Voucher(VoucherLeaf { number, voucher })) => vouchers.push((at, number, voucher)),
                Ok(SiteLeaf::Void(leaf)) => self.void(site, log, control, at, &leaf),
                Ok(SiteLeaf::Owed(leaf)) => {
                    self.round(log, at, leaf.round);
                    self.owed.push((at, leaf));
                }
                Ok(SiteLeaf::Collected(leaf)) => {
                    self.round(log, at, leaf.round);
                    self.collected.push((at, leaf));
                }
                Ok(SiteLeaf::OwedVoided(leaf)) => self.owed_voids.push((at, leaf.holder)),
                Ok(SiteLeaf::Batch(_) | SiteLeaf::Statement(_)) | Err(_) => {
                    self.found.push(log.finding(Check::LeafMalformed).at(at));
                }
            }
        }
        self.vouchers(site, log, control, &vouchers, weights);
    }

    /// A batch holds leaves of its own round only.
    fn round(&mut self, log: &LogView<'_>, at: u64, round: Round) {
        if log.batch_of(at).is_some_and(|batch| batch.round != round) {
            self.found.push(log.finding(Check::LeafRound).at(at).round(round));
        }
    }

    fn void(&mut self, site: SiteId, log: &LogView<'_>, control: &Control, at: u64, leaf: &VoidLeaf) {
        let proven = key_in_force(control, &leaf.mark).is_some_and(|(entry, view)| {
            self.round(log, at, entry.id.round);
            verify_void(&view, &Place::new(&view, site), leaf).is_ok()
        });
        self.voids.push(Void { mark: leaf.mark, number: leaf.number, at, proven });
        if !proven {
            self.found.push(stake(log.finding(Check::VoidInvalid).at(at), control, &leaf.mark));
        }
    }

    fn vouchers(
        &mut self,
        site: SiteId,
        log: &LogView<'_>,
        control: &Control,
        vouchers: &[(u64, u32, LoggedVoucher)],
        weights: &mut Weights,
    ) {
        let programme = &control.programme;
        let culprits = batch::culprits(vouchers, weights, &|(_, _, voucher), weights, accumulator| {
            accumulate([voucher], |at| programme.key(at), weights, accumulator)
        });
        let false_vouchers: HashSet<usize> = culprits.iter().map(|(index, _)| *index).collect();
        for (index, (at, number, voucher)) in vouchers.iter().enumerate() {
            let mark = voucher.shown.mark();
            let mut found = |check| self.found.push(stake(log.finding(check).at(*at), control, &mark));
            let listed = key_in_force(control, &mark);
            let valid = match listed {
                None => {
                    found(Check::VoucherUnknownKey);
                    false
                }
                Some(_) if false_vouchers.contains(&index) => {
                    found(Check::VoucherInvalid);
                    false
                }
                Some((entry, _)) if entry.id.site.is_some_and(|bound| bound != site) => {
                    found(Check::VoucherElsewhere);
                    true
                }
                Some(_) => true,
            };
            if let Some((entry, _)) = listed {
                self.round(log, *at, entry.id.round);
            }
            self.accepted.push(Accepted { mark, number: *number, at: *at, valid, void_claimed: false, voided: false });
        }
    }
}

/// All logs of one site, the oldest first.
pub(super) fn check_site(
    site: SiteId,
    logs: &mut [SiteLog<'_>],
    control: &Control,
    totals: &mut Totals,
    findings: &mut Vec<Finding>,
    unstated: &mut Vec<(SiteId, Round)>,
) {
    let owed = owed_slips(logs, control, findings);
    let mut stated: BTreeMap<Round, u64> = BTreeMap::new();
    let mut active: BTreeSet<Round> = BTreeSet::new();
    for (index, log) in logs.iter().enumerate() {
        let (accounts, late) = log.accounts(control, index, &owed, &mut totals.sites);
        findings.extend(late.into_iter().map(|(at, round)| log.log.finding(Check::AfterStatement).at(at).round(round)));
        for (round, account) in &accounts {
            for (line, excess) in account.owed_past_redeemed() {
                findings.push(log.log.finding(Check::OwedPastRedeemed).round(*round).stake(line, excess));
            }
        }
        active.extend(accounts.keys());
        log.check_statements(control, &accounts, &mut stated, findings);
    }
    check_numbers(logs, control, findings);
    unstated.extend(active.into_iter().filter(|round| !stated.contains_key(round)).map(|round| (site, round)));
}

/// An owed slip, with what became of it.
struct Slip {
    index: usize,
    at: u64,
    leaf: OwedLeaf,
    voided: bool,
    collected: Option<(usize, u64)>,
}

type Slips = HashMap<EncodedPoint, Slip>;

/// Owed slips of a site with their collections and voids.
fn owed_slips(logs: &[SiteLog<'_>], control: &Control, findings: &mut Vec<Finding>) -> Slips {
    let mut slips: Slips = HashMap::new();
    for (index, log) in logs.iter().enumerate() {
        for (at, leaf) in &log.owed {
            let lines_ascend = leaf.lines.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let view = control.programme.in_force(leaf.round).ok();
            let lines_known = view.is_some_and(|view| {
                leaf.lines.iter().all(|(line, units)| *units > Units(0) && view.header.line(*line).is_some())
            });
            let fresh = !slips.contains_key(&leaf.holder);
            if !(lines_ascend && lines_known && fresh && !leaf.lines.is_empty() && leaf.holder.decode().is_ok()) {
                findings.push(log.log.finding(Check::OwedInvalid).at(*at).round(leaf.round));
            }
            let slip = Slip { index, at: *at, leaf: leaf.clone(), voided: false, collected: None };
            slips.entry(leaf.holder).or_insert(slip);
        }
    }
    for (index, log) in logs.iter().enumerate() {
        for (at, holder) in &log.owed_voids {
            match slips.get_mut(holder).filter(|slip| slip.index == index && !slip.voided) {
                Some(slip) => slip.voided = true,
                None => findings.push(log.log.finding(Check::OwedVoidUnmatched).at(*at)),
            }
        }
    }
    for (index, log) in logs.iter().enumerate() {
        for (at, leaf) in &log.collected {
            let found = |check| log.log.finding(check).at(*at).round(leaf.round);
            let Some(slip) = slips.get_mut(&leaf.holder).filter(|slip| !slip.voided && slip.collected.is_none()) else {
                findings.push(found(Check::CollectedUnmatched));
                continue;
            };
            let batch = |log: &SiteLog<'_>, at| log.log.batch_of(at).map(|batch| batch.number);
            // A slip of an older log came before; in one log, in the same batch or an earlier one.
            let precedes = slip.index > index || (slip.index == index && batch(log, slip.at) > batch(log, *at));
            let view = control.programme.in_force(leaf.round).ok();
            let proven =
                view.is_some_and(|view| verify_collected(&Place::new(&view, log.site), &slip.leaf, leaf).is_ok());
            if precedes || leaf.round < slip.leaf.round || !proven {
                findings.push(found(Check::CollectedInvalid));
            } else {
                slip.collected = Some((index, *at));
            }
        }
    }
    slips
}

type SiteRows = BTreeMap<(Round, SiteId, LineId), SiteTotals>;

impl SiteLog<'_> {
    /// The log's accounts by round, as statements must give them: what the leaves say, true or not. And the leaves that stand after their round's statement.
    /// Adds to the site's totals, where only valid vouchers count.
    fn accounts(
        &self,
        control: &Control,
        index: usize,
        slips: &Slips,
        totals: &mut SiteRows,
    ) -> (Accounts, Vec<(u64, Round)>) {
        let mut accounts: Accounts = BTreeMap::new();
        let mut late = Vec::new();
        let mut ends: BTreeMap<Round, u64> = BTreeMap::new();
        for (at, statement) in &self.statements {
            ends.entry(statement.content.place.round).or_insert(*at);
        }
        // Leaves after their round's statement are found, and left out of what it must say.
        let mut in_time = |round: Round, at: u64| {
            let late_by = ends.get(&round).is_some_and(|end| *end < at);
            if late_by {
                late.push((at, round));
            }
            !late_by
        };
        for accepted in &self.accepted {
            let Some((entry, _)) = key_in_force(control, &accepted.mark) else { continue };
            let id = &entry.id;
            if in_time(id.round, accepted.at) {
                let account = accounts.entry(id.round).or_default();
                account.accepted(accepted.mark.key, id.line, id.value, accepted.void_claimed);
            }
            if accepted.valid {
                let row = totals.entry((id.round, self.site, id.line)).or_default();
                let units = if accepted.voided { &mut row.voided } else { &mut row.redeemed };
                units.0 = units.0.saturating_add(id.value.into());
            }
        }
        let mut tally = |round: Round, slip: &OwedLeaf, column: fn(&mut SiteTotals) -> &mut Units| {
            for (line, units) in &slip.lines {
                let sum = column(totals.entry((round, self.site, *line)).or_default());
                sum.0 = sum.0.saturating_add(units.0);
            }
        };
        // In the order of the log: a map's own order is no report's.
        for (at, leaf) in &self.owed {
            let Some(slip) = slips.get(&leaf.holder).filter(|slip| (slip.index, slip.at) == (index, *at)) else {
                continue;
            };
            let in_time = in_time(leaf.round, *at);
            if in_time && !slip.voided {
                accounts.entry(leaf.round).or_default().owed(&slip.leaf);
            }
            if !slip.voided {
                tally(leaf.round, leaf, |row| &mut row.owed);
            }
        }
        for (at, leaf) in &self.collected {
            let in_time = in_time(leaf.round, *at);
            let Some(slip) = slips.get(&leaf.holder) else { continue };
            if in_time {
                accounts.entry(leaf.round).or_default().collected(&slip.leaf);
            }
            if slip.collected == Some((index, *at)) {
                tally(leaf.round, &slip.leaf, |row| &mut row.collected);
            }
        }
        for (at, holder) in &self.owed_voids {
            if let Some(slip) = slips.get(holder) {
                in_time(slip.leaf.round, *at);
            }
        }
        let void_rounds =
            self.voids.iter().filter_map(|void| Some((key_in_force(control, &void.mark)?.0.id.round, void.at)));
        for (round, at) in void_rounds {
            in_time(round, at);
        }
        (accounts, late)
    }

    fn check_statements(
        &self,
        control: &Control,
        accounts: &Accounts,
        stated: &mut BTreeMap<Round, u64>,
        findings: &mut Vec<Finding>,
    ) {
        let roots = self.log.roots(&self.statements.iter().map(|(at, _)| *at).collect());
        for (at, statement) in &self.statements {
            let terms = &statement.content;
            let round = terms.place.round;
            let mut found = |check| findings.push(self.log.finding(check).at(*at).round(round));
            let place = control.programme.in_force(round).ok().map(|view| Place::new(&view, self.site));
            if statement.verify(&self.key).is_err() || Some(terms.place) != place {
                found(Check::StatementInvalid);
                continue;
            }
            if stated.insert(round, *at).is_some() {
                found(Check::StatementRepeated);
                continue;
            }
            if terms.size != *at || roots.get(at) != Some(&terms.root) {
                found(Check::StatementPosition);
            }
            let nothing = Account::default();
            if !accounts.get(&round).unwrap_or(&nothing).agrees(terms) {
                found(Check::StatementTotals);
            }
        }
    }
}

/// Acceptances of a mark are numbered from 1, each number once in a log.
fn check_numbers(logs: &[SiteLog<'_>], control: &Control, findings: &mut Vec<Finding>) {
    let mut counts: HashMap<Mark, u32> = HashMap::new();
    if logs.len() > 1 {
        logs.iter().flat_map(|log| &log.accepted).for_each(|one| *counts.entry(one.mark).or_default() += 1);
    }
    for log in logs {
        let mut start = 0;
        while start < log.accepted.len() {
            let mark = log.accepted[start].mark;
            let of_mark: Range<usize> =
                start..start + log.accepted[start..].iter().take_while(|one| one.mark == mark).count();
            start = of_mark.end;
            let most = counts.get(&mark).copied().unwrap_or(of_mark.len() as u32);
            let numbers = &log.accepted[of_mark];
            for (index, one) in numbers.iter().enumerate() {
                let repeated = index > 0 && numbers[index - 1].number == one.number;
                if repeated || !(1..=most).contains(&one.number) {
                    let finding = log.log.finding(Check::AcceptanceNumber).at(one.at);
                    findings.push(stake(finding, control, &mark));
                }
            }
        }
    }
}
