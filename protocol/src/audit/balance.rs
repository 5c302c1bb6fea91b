//! Across all logs: every voucher once, and none from nothing (spec 9.6).

use std::{collections::BTreeMap, iter::Peekable};

use super::{
    Check, Finding, Findings, KeyTotals, Note, Party, Sorter as _, Totals, Workspace, batch,
    control::{Control, SwappedList},
    issuer::Facts,
    log::LogView,
    record::{Seen, Swapped},
    site::{SiteLog, key_in_force, stake},
};
use crate::{
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    redeem::Surrender,
    slip::OpeningPack,
    voucher::Mark,
};

/// Units drawn by round and line.
pub(super) fn drawn_units(control: &Control, facts: &Facts) -> BTreeMap<(Round, LineId), u128> {
    units_of(control, &facts.drawn)
}

/// Units swapped by round and line.
pub(super) fn swapped_units(control: &Control, facts: &Facts) -> BTreeMap<(Round, LineId), u128> {
    units_of(control, &facts.swapped_in)
}

fn units_of(control: &Control, counts: &BTreeMap<KeyIndex, u64>) -> BTreeMap<(Round, LineId), u128> {
    let mut units = BTreeMap::new();
    for (key, count) in counts {
        if let Some(entry) = control.programme.key(*key) {
            let sum: &mut u128 = units.entry((entry.id.round, entry.id.line)).or_default();
            *sum += u128::from(*count) * u128::from(entry.id.value);
        }
    }
    units
}

/// Marks of surrendered vouchers that verify.
pub(super) fn surrendered(control: &Control, published: &[Surrender], notes: &mut Vec<Note>) -> Vec<Mark> {
    let verified = batch::map(published.iter().collect(), |surrender: &Surrender| {
        let entry = control.programme.key(surrender.voucher.shown.key)?;
        let view = control.programme.in_force(entry.id.round).ok()?;
        surrender.verify(&view).ok()
    });
    let ignored = verified.iter().enumerate().filter(|(_, mark)| mark.is_none());
    notes.extend(ignored.map(|(index, _)| Note::SurrenderIgnored { index }));
    verified.into_iter().flatten().collect()
}

/// What the logs of all parties say of vouchers, mark by mark.
pub(super) struct Balance<'a, 'b> {
    pub(super) issuer: &'a LogView<'b>,
    pub(super) control: &'a Control,
    pub(super) packs: &'a [OpeningPack],
    /// What the packs list as swapped.
    pub(super) lists: Vec<SwappedList>,
    pub(super) sites: &'a mut [SiteLog<'b>],
    pub(super) totals: &'a mut Totals,
    pub(super) findings: &'a mut Findings,
    /// Distinct valid vouchers of each key, wherever they were seen.
    pub(super) distinct: BTreeMap<KeyIndex, u64>,
}

/// Records of one mark after the other, ascending.
struct Groups<T, I: Iterator> {
    records: Peekable<I>,
    mark: fn(&T) -> Mark,
}

impl<T, E, I: Iterator<Item = Result<T, E>>> Groups<T, I> {
    /// The mark that comes next.
    fn peek(&mut self) -> Result<Option<Mark>, E> {
        match self.records.peek() {
            Some(Ok(record)) => Ok(Some((self.mark)(record))),
            Some(Err(_)) => self.records.next().transpose().map(|_| None),
            None => Ok(None),
        }
    }

    /// All records of a mark, which has come.
    fn of(&mut self, mark: &Mark) -> Result<Vec<T>, E> {
        let mut group = Vec::new();
        while self.peek()?.as_ref() == Some(mark) {
            group.extend(self.records.next().transpose()?);
        }
        Ok(group)
    }
}

impl Balance<'_, '_> {
    /// Voids, numbers, doubles, swapped vouchers that were redeemed, and minting; fills in the totals by key. Gives what is not to
    /// be decided yet.
    pub(super) fn check<W: Workspace>(
        mut self,
        facts: &Facts,
        swapped: W::Sorter<{ Swapped::SIZE }>,
        seen: W::Sorter<{ Seen::SIZE }>,
        mut surrendered: Vec<Mark>,
    ) -> Result<Vec<Note>, W::Error> {
        facts.drawn.iter().for_each(|(key, count)| self.row(*key).drawn = *count);
        facts.swapped_in.iter().for_each(|(key, count)| self.row(*key).swapped_in = *count);
        let swapped = swapped.sorted()?.map(|record| Ok::<_, W::Error>(Swapped::from_bytes(&record?)));
        let mut swapped = Groups { records: swapped.peekable(), mark: |record: &Swapped| record.mark };
        let seen = seen.sorted()?.map(|record| Ok::<_, W::Error>(Seen::from_bytes(&record?)));
        let mut seen = Groups { records: seen.peekable(), mark: |record: &Seen| record.mark };
        batch::sort(&mut surrendered);
        surrendered.dedup();
        let mut surrendered = surrendered.into_iter().peekable();
        while let Some(mark) = [swapped.peek()?, seen.peek()?, surrendered.peek().copied()].into_iter().flatten().min()
        {
            let given_up = surrendered.next_if_eq(&mark).is_some();
            self.mark(&mark, &swapped.of(&mark)?, &seen.of(&mark)?, given_up);
        }
        for list in self.lists.iter().filter(|list| list.differs(self.packs)) {
            self.findings.push(self.issuer.finding(Check::PackSwapped).at(list.freeze).round(list.round));
        }
        let mut awaited: BTreeMap<(Round, LineId), Units> = BTreeMap::new();
        for (key, count) in &self.distinct {
            let signed = self.totals.vouchers.get(key).map_or(0, |row| row.drawn.saturating_add(row.swapped_in));
            if let (Some(excess @ 1..), Some(entry)) = (count.checked_sub(signed), self.control.programme.key(*key)) {
                let (round, line) = (entry.id.round, entry.id.line);
                let units = Units(excess.saturating_mul(entry.id.value.into()));
                // Until it is over, draws of a round may wait in an open batch, or be in a newer copy of the log.
                if self.control.over(round).is_some() {
                    self.findings.push(self.issuer.finding(Check::MintedPastDraws).round(round).stake(line, units));
                } else {
                    let sum = awaited.entry((round, line)).or_default();
                    sum.0 = sum.0.saturating_add(units.0);
                }
            }
        }
        Ok(awaited.into_iter().map(|((round, line), units)| Note::DrawsAwaited { round, line, units }).collect())
    }

    fn row(&mut self, key: KeyIndex) -> &mut KeyTotals {
        self.totals.vouchers.entry(key).or_default()
    }

    /// A finding of what a mark is worth.
    fn found(&mut self, check: Check, party: Option<Party>, record: &Seen) {
        let log = &self.sites[record.log as usize];
        let finding = Finding::new(check, party.unwrap_or(Party::Site(log.site)), log.log.name).at(record.at);
        self.findings.push(stake(finding, self.control, &record.mark));
    }

    /// Whether the pack that the freeze fixed for a site told it to refuse a swapped voucher.
    fn warned(&self, site: SiteId, mark: &Mark) -> bool {
        let Some(entry) = self.control.programme.key(mark.key) else { return false };
        let lists = self.lists.iter().filter(|list| (list.round, list.site) == (entry.id.round, site));
        lists.into_iter().any(|list| list.names(self.packs, mark))
    }

    /// Everything that is said of one mark.
    fn mark(&mut self, mark: &Mark, swapped: &[Swapped], seen: &[Seen], given_up: bool) {
        for again in swapped.iter().skip(1) {
            self.findings.push(self.issuer.finding(Check::DoubleSwap).at(again.at).mark(*mark));
        }
        if let (Some(first), Some(entry)) = (swapped.first(), self.control.programme.key(mark.key)) {
            // Lists ascend by round.
            let start = self.lists.partition_point(|list| list.round < entry.id.round);
            let of_round = self.lists[start..].iter_mut().take_while(|list| list.round == entry.id.round);
            of_round.for_each(|list| list.swapped(self.packs, &entry.id, mark, first.at));
        }
        self.check_numbers(seen);
        let accepted = self.match_voids(seen);
        self.account(mark, &accepted);
        let mut valid: Vec<&Accepted> = accepted.iter().filter(|one| one.seen.valid).collect();
        valid.sort_by_key(|one| (one.seen.log, one.seen.at, one.voided));
        if !swapped.is_empty() {
            self.row(mark.key).swapped_out += 1;
        } else if given_up && valid.is_empty() {
            self.row(mark.key).surrendered += 1;
        }
        if !swapped.is_empty() || !valid.is_empty() || given_up {
            *self.distinct.entry(mark.key).or_default() += 1;
        }
        if valid.is_empty() {
            return;
        }
        let live: Vec<&Accepted> = valid.iter().copied().filter(|one| !one.voided).collect();
        let row = self.row(mark.key);
        row.voided += (valid.len() - live.len()) as u64;
        row.redeemed += live.len() as u64;
        let mut before: Option<SiteId> = None;
        for one in live {
            let site = self.sites[one.seen.log as usize].site;
            if !swapped.is_empty() {
                let warned = self.warned(site, mark);
                self.found(Check::SwappedAndRedeemed, (!warned).then_some(Party::Voucher), &one.seen);
            }
            if let Some(before) = before {
                // A site answers for its own spent set; of two sites neither may be at fault. A site's logs stand together.
                let own = before == site;
                self.found(Check::DoubleRedemption, (!own).then_some(Party::Voucher), &one.seen);
            }
            before = Some(site);
        }
    }

    /// Acceptances of a mark are numbered from 1, each number once in a log.
    fn check_numbers(&mut self, seen: &[Seen]) {
        let site = |record: &Seen| self.sites[record.log as usize].site;
        let mut wrong = Vec::new();
        for of_site in seen.chunk_by(|left, right| site(left) == site(right)) {
            let accepted: Vec<&Seen> = of_site.iter().filter(|record| !record.void).collect();
            let most = u32::try_from(accepted.len()).unwrap_or(u32::MAX);
            for (index, one) in accepted.iter().enumerate() {
                let before = index.checked_sub(1).map(|before| accepted[before]);
                let repeated = before.is_some_and(|before| (before.log, before.number) == (one.log, one.number));
                if repeated || !(1..=most).contains(&one.number) {
                    wrong.push(**one);
                }
            }
        }
        wrong.iter().for_each(|record| self.found(Check::AcceptanceNumber, None, record));
    }

    /// Each void cancels one acceptance of its log: the first of its number.
    fn match_voids(&mut self, seen: &[Seen]) -> Vec<Accepted> {
        let mut accepted: Vec<Accepted> = Vec::new();
        for of_number in seen.chunk_by(|left, right| (left.log, left.number) == (right.log, right.number)) {
            let first = accepted.len();
            for record in of_number {
                if !record.void {
                    accepted.push(Accepted { seen: *record, void_claimed: false, voided: false });
                    continue;
                }
                match accepted.get_mut(first).filter(|one| !one.void_claimed) {
                    Some(one) => (one.void_claimed, one.voided) = (true, record.valid),
                    None => self.found(Check::VoidUnmatched, None, record),
                }
            }
        }
        accepted
    }

    /// Adds acceptances to what statements must say, and to the totals, where only valid vouchers count.
    fn account(&mut self, mark: &Mark, accepted: &[Accepted]) {
        let Some((entry, _)) = key_in_force(self.control, mark) else { return };
        let id = &entry.id;
        for one in accepted {
            let log = &mut self.sites[one.seen.log as usize];
            if !one.seen.late {
                let account = log.accounts.entry(id.round).or_default();
                account.accepted(mark.key, id.line, id.value, one.void_claimed);
            }
            if one.seen.valid {
                let row = self.totals.sites.entry((id.round, log.site, id.line)).or_default();
                let units = if one.voided { &mut row.voided } else { &mut row.redeemed };
                units.0 = units.0.saturating_add(id.value.into());
            }
        }
    }
}

/// An acceptance, and what became of it.
struct Accepted {
    seen: Seen,
    /// Whether a void names it: what the site states.
    void_claimed: bool,
    /// Whether the holder agreed to the void.
    voided: bool,
}
