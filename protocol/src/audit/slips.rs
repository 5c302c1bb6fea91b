//! Owed slips of all sites, with their collections and voids (spec 9.5).

use std::collections::BTreeMap;

use super::{
    Check, Finding, Run, SiteTotals, Sorter as _, Workspace,
    account::Account,
    control::Control,
    record::{SlipEvent, SlipRecord},
    site::SiteLog,
    source::waves,
};
use crate::{
    group::{EncodedPoint, PublicScalar},
    ids::{LineId, Round, SiteId, Units},
    log::leaf::{CollectedLeaf, OwedLeaf},
    redeem::verify_collected,
    slip::Place,
    voucher::HolderProof,
};

/// Holder keys that a thread looks at together.
const AT_ONCE: usize = 64;

/// A site's units of a line in a round.
type SiteRows = BTreeMap<(Round, SiteId, LineId), SiteTotals>;

/// An owed slip, with what became of it.
struct Slip {
    log: u32,
    at: u64,
    leaf: OwedLeaf,
    voided: bool,
    collected: bool,
}

/// What one slip says.
#[derive(Default)]
struct Part {
    found: Vec<Finding>,
    /// The slip, kept once however often it is collected.
    slip: Option<(SiteId, OwedLeaf)>,
    /// The log in whose statement of the slip's round it is owed.
    owed: Option<u32>,
    /// How often it must be in the log's statement of a round as collected.
    collected: BTreeMap<(u32, Round), u64>,
    /// Whether the site's totals have it as owed.
    counts: bool,
    /// The round in whose totals it is collected and proven.
    proven: Option<Round>,
}

/// Matches slips with what became of them, and adds them to accounts and totals.
pub(super) fn check<W: Workspace>(
    sorter: W::Sorter<{ SlipRecord::SIZE }>,
    sites: &mut [SiteLog<'_>],
    control: &Control,
    run: &mut Run<'_, W>,
    totals: &mut SiteRows,
) -> Result<(), W::Error> {
    let mut records = sorter.sorted()?.map(|record| Ok(SlipRecord::from_bytes(&record?))).peekable();
    let groups = std::iter::from_fn(|| next_groups(&mut records).transpose());
    let logs = &*sites;
    // Accounts are added to once the logs are read from no more.
    let mut accounts: BTreeMap<(u32, Round), Account> = BTreeMap::new();
    let examine = |groups: Result<Vec<Vec<SlipRecord>>, W::Error>| {
        Ok(groups?.iter().map(|group| examine(group, logs, control)).collect::<Vec<_>>())
    };
    waves(groups, run.chunks.waiting, examine, |found| {
        for part in found {
            run.findings.extend(part.found);
            let Some((site, slip)) = part.slip else { continue };
            if let Some(log) = part.owed {
                accounts.entry((log, slip.round)).or_default().owed(&slip);
            }
            for (of, times) in part.collected {
                accounts.entry(of).or_default().collected(&slip, times);
            }
            for (line, units) in &slip.lines {
                let mut add = |round, sum: fn(&mut SiteTotals) -> &mut Units| {
                    let sum = sum(totals.entry((round, site, *line)).or_default());
                    sum.0 = sum.0.saturating_add(units.0);
                };
                if part.counts {
                    add(slip.round, |row| &mut row.owed);
                }
                if let Some(round) = part.proven {
                    add(round, |row| &mut row.collected);
                }
            }
        }
        Ok(())
    })?;
    for ((log, round), account) in accounts {
        sites[log as usize].accounts.entry(round).or_default().add_slips(account);
    }
    Ok(())
}

/// The records of the next holder keys, a group each.
fn next_groups<E>(
    records: &mut std::iter::Peekable<impl Iterator<Item = Result<SlipRecord, E>>>,
) -> Result<Option<Vec<Vec<SlipRecord>>>, E> {
    let mut groups: Vec<Vec<SlipRecord>> = Vec::new();
    while let Some(record) = records.next_if(|record| {
        let known = |group: &Vec<SlipRecord>| {
            let same = |record: &SlipRecord| (record.site, record.holder) == (group[0].site, group[0].holder);
            record.as_ref().is_ok_and(same)
        };
        groups.len() < AT_ONCE || groups.last().is_some_and(known)
    }) {
        let record = record?;
        match groups.last_mut().filter(|group| (group[0].site, group[0].holder) == (record.site, record.holder)) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    Ok((!groups.is_empty()).then_some(groups))
}

/// All that a site's logs say of one holder key, in the order of [`SlipRecord`].
fn examine(group: &[SlipRecord], logs: &[SiteLog<'_>], control: &Control) -> Part {
    let mut part = Part::default();
    let (slip, rest) = first_slip(group, logs, &mut part);
    let Some(mut slip) = slip else {
        for record in rest {
            let log = &logs[record.log as usize].log;
            match record.what {
                SlipEvent::Void => part.found.push(log.finding(Check::OwedVoidUnmatched).at(record.at)),
                SlipEvent::Collected { round, .. } => {
                    part.found.push(log.finding(Check::CollectedUnmatched).at(record.at).round(round));
                }
                SlipEvent::Owed { .. } | SlipEvent::Line { .. } => {}
            }
        }
        return part;
    };
    let site = group[0].site;
    for record in rest {
        let log = &logs[record.log as usize];
        match record.what {
            SlipEvent::Owed { .. } | SlipEvent::Line { .. } => {}
            SlipEvent::Void => {
                if slip.log == record.log && !slip.voided {
                    slip.voided = true;
                } else {
                    part.found.push(log.log.finding(Check::OwedVoidUnmatched).at(record.at));
                }
                if log.log.batch_of(record.at).is_some_and(|batch| batch.round != slip.leaf.round) {
                    part.found.push(log.log.finding(Check::LeafRound).at(record.at).round(slip.leaf.round));
                }
                if log.late(slip.leaf.round, record.at) {
                    part.found.push(log.late_finding(slip.leaf.round, record.at));
                }
            }
            SlipEvent::Collected { round, late, proof } => {
                if !late {
                    *part.collected.entry((record.log, round)).or_default() += 1;
                }
                let found = |check| log.log.finding(check).at(record.at).round(round);
                if slip.voided || slip.collected {
                    part.found.push(found(Check::CollectedUnmatched));
                } else if slip.refuses(record, round, proof, log, control) {
                    part.found.push(found(Check::CollectedInvalid));
                } else {
                    slip.collected = true;
                    part.proven = Some(round);
                }
            }
        }
    }
    part.counts = !slip.voided;
    part.owed = (part.counts && !logs[slip.log as usize].late(slip.leaf.round, slip.at)).then_some(slip.log);
    part.slip = Some((site, slip.leaf));
    part
}

/// The first slip of a holder key, with the records behind it. Others of the same key are found: they are no slips.
fn first_slip<'a>(group: &'a [SlipRecord], logs: &[SiteLog<'_>], part: &mut Part) -> (Option<Slip>, &'a [SlipRecord]) {
    let mut slip: Option<Slip> = None;
    for record in group {
        let (holder, log) = (record.holder, &logs[record.log as usize]);
        match (record.what, &mut slip) {
            (SlipEvent::Owed { round, .. }, None) => {
                let leaf = OwedLeaf { round, lines: Vec::new(), holder };
                slip = Some(Slip { log: record.log, at: record.at, leaf, voided: false, collected: false });
                if log.late(round, record.at) {
                    part.found.push(log.late_finding(round, record.at));
                }
            }
            // One that is malformed too has its finding.
            (SlipEvent::Owed { round, sound }, Some(_)) => {
                part.found.extend(sound.then(|| log.log.finding(Check::OwedInvalid).at(record.at).round(round)));
            }
            (SlipEvent::Line { line, units, .. }, Some(slip)) if (slip.log, slip.at) == (record.log, record.at) => {
                slip.leaf.lines.push((line, units));
            }
            _ => {}
        }
    }
    let owed = |record: &SlipRecord| matches!(record.what, SlipEvent::Owed { .. } | SlipEvent::Line { .. });
    (slip, &group[group.partition_point(owed)..])
}

/// A holder's proof from a record.
fn holder_proof(bytes: &[u8; 64]) -> Option<HolderProof> {
    let (commitment, response) = bytes.split_first_chunk()?;
    let response = PublicScalar::decode(response.try_into().ok()?).ok()?;
    Some(HolderProof { commitment: EncodedPoint(*commitment), response })
}

impl Slip {
    /// Whether a collection is none: before the slip, or without its holder.
    fn refuses(
        &self,
        record: &SlipRecord,
        round: Round,
        proof: [u8; 64],
        log: &SiteLog<'_>,
        control: &Control,
    ) -> bool {
        let batch = |at| log.log.batch_of(at).map(|batch| batch.number);
        // A slip of an older log came before; in one log, in the same batch or an earlier one.
        let precedes = self.log > record.log || (self.log == record.log && batch(self.at) > batch(record.at));
        let proven = || {
            let leaf = CollectedLeaf { round, holder: record.holder, proof: holder_proof(&proof)? };
            // A round that was never opened has its own finding, and no version to check against.
            let Ok(view) = control.programme.in_force(round) else { return Some(()) };
            verify_collected(&Place::new(&view, record.site), &self.leaf, &leaf).ok()
        };
        precedes || round < self.leaf.round || proven().is_none()
    }
}
