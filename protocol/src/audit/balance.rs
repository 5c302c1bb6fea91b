//! Across all logs: every voucher once, and none from nothing (spec 9.6).

use std::collections::BTreeMap;

use super::{
    Check, Finding, KeyTotals, Note, Party, batch, control::Control, issuer::Facts, site::SiteLog, site::stake,
};
use crate::{
    ids::{KeyIndex, LineId, Round, Units},
    redeem::Surrender,
    voucher::Mark,
};

/// A valid acceptance, beside its log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    mark: Mark,
    log: usize,
    at: u64,
    voided: bool,
}

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

/// Doubles, swapped vouchers that were redeemed, and minting; gives the totals by key.
pub(super) fn check(
    issuer: &str,
    control: &Control,
    facts: &Facts,
    sites: &[SiteLog<'_>],
    surrendered: Vec<Mark>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<KeyIndex, KeyTotals> {
    let mut totals: BTreeMap<KeyIndex, KeyTotals> = BTreeMap::new();
    facts.drawn.iter().for_each(|(key, count)| totals.entry(*key).or_default().drawn = *count);
    facts.swapped_in.iter().for_each(|(key, count)| totals.entry(*key).or_default().swapped_in = *count);
    let mut seen: Vec<Seen> = Vec::new();
    for (log, site) in sites.iter().enumerate() {
        let valid = site.accepted.iter().filter(|accepted| accepted.valid);
        seen.extend(valid.map(|one| Seen { mark: one.mark, log, at: one.at, voided: one.voided }));
    }
    batch::sort(&mut seen);
    // `facts.swapped` is sorted by mark already.
    let mut out: Vec<Mark> = facts.swapped.iter().map(|(mark, _)| *mark).collect();
    out.dedup();
    let mut given_up = surrendered;
    batch::sort(&mut given_up);
    given_up.dedup();
    given_up
        .retain(|mark| out.binary_search(mark).is_err() && seen.binary_search_by_key(mark, |seen| seen.mark).is_err());
    // Distinct valid vouchers of each key, wherever they were seen.
    let mut distinct: BTreeMap<KeyIndex, u64> = BTreeMap::new();
    let mut one_more = |mark: &Mark| *distinct.entry(mark.key).or_default() += 1;
    for mark in &out {
        totals.entry(mark.key).or_default().swapped_out += 1;
        one_more(mark);
    }
    for mark in &given_up {
        totals.entry(mark.key).or_default().surrendered += 1;
        one_more(mark);
    }
    for of_mark in seen.chunk_by(|left, right| left.mark == right.mark) {
        let mark = of_mark[0].mark;
        let live: Vec<&Seen> = of_mark.iter().filter(|seen| !seen.voided).collect();
        let row = totals.entry(mark.key).or_default();
        row.voided += (of_mark.len() - live.len()) as u64;
        row.redeemed += live.len() as u64;
        let swapped = out.binary_search(&mark).is_ok();
        if !swapped {
            one_more(&mark);
        }
        for (index, again) in live.iter().enumerate() {
            let site = &sites[again.log];
            let found = |check, party| stake(Finding::new(check, party, site.log.name).at(again.at), control, &mark);
            if swapped {
                let warned = control.warned(site.site, &mark);
                let party = if warned { Party::Site(site.site) } else { Party::Voucher };
                findings.push(found(Check::SwappedAndRedeemed, party));
            }
            if index > 0 {
                // A site answers for its own spent set; of two sites neither may be at fault.
                let own = live[..index].iter().any(|before| sites[before.log].site == site.site);
                let party = if own { Party::Site(site.site) } else { Party::Voucher };
                findings.push(found(Check::DoubleRedemption, party));
            }
        }
    }
    for (key, count) in distinct {
        let signed = totals.get(&key).map_or(0, |row| row.drawn.saturating_add(row.swapped_in));
        if let (Some(excess @ 1..), Some(entry)) = (count.checked_sub(signed), control.programme.key(key)) {
            let units = Units(excess.saturating_mul(entry.id.value.into()));
            let finding = Finding::new(Check::MintedPastDraws, Party::Issuer, issuer);
            findings.push(finding.round(entry.id.round).stake(entry.id.line, units));
        }
    }
    totals
}
