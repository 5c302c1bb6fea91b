//! Audit: every total recomputed from what is published, by anyone, without a single identity (spec 9).
//!
//! [`audit`] takes the logs, the key list and the opening packs, and nothing else. It never stops at the first failure: each
//! failed check is a [`Finding`] that names who answers for it and, where one is at fault, the leaf; a batch of proofs that
//! fails is halved down to the culprit. The verdict is a type: [`Report::verified`].
//!
//! Who answers: a false leaf of a log, its signer. A voucher that two *different* sites accepted, the voucher only.
//!
//! | number | code | a finding means |
//! | --- | --- | --- |
//! | 9.1.1 | `log-unknown` | The manifest names no such log of this party, or the log is published twice. |
//! | 9.1.2 | `log-missing` | A log that the manifest names, of a site with keys in an opened round, is not published. |
//! | 9.1.3 | `checkpoint-invalid` | The checkpoint is not one of this log, signed by the key that the manifest names. |
//! | 9.1.4 | `checkpoint-witnesses` | Fewer witnesses than the manifest asks for have cosigned the checkpoint. |
//! | 9.1.5 | `log-size` | The log has more or fewer entries than its checkpoint says. |
//! | 9.1.6 | `log-root` | The entries do not hash to the checkpoint's root. |
//! | 9.1.7 | `leaf-malformed` | An entry is not the canonical encoding of a leaf of this kind of log. |
//! | 9.1.8 | `batch-unsorted` | The leaves of a batch are not in strictly ascending order of their hashes. |
//! | 9.1.9 | `batch-header` | A batch header does not continue the log: number, range, or a round that goes back. |
//! | 9.1.10 | `batch-missing` | An event leaf is in no batch. |
//! | 9.2.1 | `genesis-invalid` | The issuer's log does not begin with the genesis whose hash is the programme id. |
//! | 9.2.2 | `manifest-invalid` | A manifest version breaks the rules or does not follow the version before it. |
//! | 9.2.3 | `manifest-signatures` | Too few valid officers' signatures on a manifest version. |
//! | 9.2.4 | `key-list` | The published voucher keys are not the list whose root a manifest version names. |
//! | 9.2.5 | `lot-invalid` | A ticket lot is not in the manifest, or was approved before. |
//! | 9.2.6 | `lot-signatures` | Too few valid officers' signatures on a ticket lot. |
//! | 9.2.7 | `open-invalid` | A round is opened twice, under an unknown version, or is not planned. |
//! | 9.2.8 | `freeze-invalid` | A round is frozen before it opens, twice, after its close, or under another version. |
//! | 9.2.9 | `close-invalid` | A round is closed before it opens or is frozen, or twice. |
//! | 9.2.10 | `round-not-open` | A leaf of a round stands before the round's opening leaf, or there is none. |
//! | 9.2.11 | `round-closed` | A leaf of a round stands after the round's close. |
//! | 9.2.12 | `swap-after-freeze` | A swap stands after the freeze of its round. |
//! | 9.2.13 | `pack-missing` | An opening pack is not published, or the freeze fixes none for a site with keys in the round. |
//! | 9.2.14 | `pack-invalid` | An opening pack has a bad signature, another place, or is not of this log. |
//! | 9.2.15 | `pack-differs` | The issuer signed an opening pack other than the one that the freeze fixes. |
//! | 9.2.16 | `pack-swapped` | An opening pack does not list exactly the site's swapped vouchers. |
//! | 9.3.1 | `ticket-outside-lot` | A used ticket is not of an approved lot. |
//! | 9.3.2 | `ticket-kind` | A ticket was used for something else than its lot is for. |
//! | 9.3.3 | `ticket-reused` | A ticket was used twice. |
//! | 9.3.4 | `enrolment-invalid` | The proofs of an enrolment do not hold, or its expiry is out of range. |
//! | 9.3.5 | `roll-over-invalid` | The proofs of a roll-over do not hold. |
//! | 9.3.6 | `draw-invalid` | The proofs of a draw do not hold, or its keys are not the round's. |
//! | 9.3.7 | `amend-invalid` | The proofs of an amend do not hold, or its expiry is out of range. |
//! | 9.3.8 | `swap-invalid` | The old vouchers or the holder proof of a swap do not hold. |
//! | 9.3.9 | `swap-not-conserved` | A swap does not keep line, value, round and count. |
//! | 9.3.10 | `serial-reused` | A credential's serial was spent twice. |
//! | 9.3.11 | `session-reused` | A signing session was answered twice. |
//! | 9.3.12 | `e-reused` | One `e` was issued with two commitments: their holder can combine them. |
//! | 9.3.13 | `roll-overs-past-enrolled` | More credentials rolled over into a round than were live. |
//! | 9.3.14 | `double-swap` | A voucher was swapped twice. |
//! | 9.4.1 | `opening-range` | A cohort opening does not continue where the class's last one ended. |
//! | 9.4.2 | `opening-count` | A cohort opening names another count than the log has members in its range. |
//! | 9.4.3 | `cohort-too-small` | A cohort smaller than the manifest allows was opened. |
//! | 9.4.4 | `opening-invalid` | The proof of a cohort opening does not hold for the sum of its members. |
//! | 9.4.5 | `opening-beyond-schema` | An opened sum exceeds what as many households can have by the manifest. |
//! | 9.4.6 | `class-unopened` | A freeze leaves a class unopened that has enough members. |
//! | 9.4.7 | `drawn-past-granted` | More was drawn of a line than was granted. |
//! | 9.5.1 | `voucher-unknown-key` | A redeemed voucher's key is not listed by the version in force for its round. |
//! | 9.5.2 | `voucher-elsewhere` | A redeemed voucher is bound to another site. |
//! | 9.5.3 | `leaf-round` | A leaf is of another round than its batch. |
//! | 9.5.4 | `voucher-invalid` | A redeemed voucher's signature does not hold: nobody issued it. |
//! | 9.5.5 | `double-redemption` | A voucher was accepted twice without a void. |
//! | 9.5.6 | `acceptance-number` | The acceptances of a voucher are not numbered one by one. |
//! | 9.5.7 | `void-unmatched` | A void cancels no acceptance, or one that was voided before. |
//! | 9.5.8 | `void-invalid` | The holder's proof of a void does not hold. |
//! | 9.5.9 | `owed-invalid` | An owed slip is malformed, or its holder key occurs twice. |
//! | 9.5.10 | `owed-past-redeemed` | A site owes more of a line than was redeemed there in the round. |
//! | 9.5.11 | `collected-unmatched` | A collection has no owed slip, or the slip was collected before or voided. |
//! | 9.5.12 | `collected-invalid` | The holder's proof of a collection does not hold, or it precedes the slip. |
//! | 9.5.13 | `owed-void-unmatched` | A voided owed slip does not exist, or was voided before. |
//! | 9.5.14 | `after-statement` | A leaf of a round stands after the round's statement. |
//! | 9.5.15 | `statement-invalid` | A round statement has a bad signature or another place. |
//! | 9.5.16 | `statement-position` | A round statement names another size or root than the log before it. |
//! | 9.5.17 | `statement-totals` | A round statement's totals are not those of the log before it. |
//! | 9.5.18 | `statement-repeated` | A site stated a round twice. |
//! | 9.6.1 | `swapped-and-redeemed` | A voucher was redeemed although it had been swapped for another. |
//! | 9.6.2 | `minted-past-draws` | More valid vouchers of a key exist than were drawn: the issuer signed some outside the log. |
//!
//! Not in the logs, so not checked: how far ahead of the round in force a request ran, that goods were handed over, and that
//! a household exists (threats).

mod account;
mod balance;
mod batch;
mod check;
mod control;
mod grants;
mod issuer;
mod log;
pub mod receipt;
mod report;
mod site;
#[cfg(any(test, feature = "hazmat"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use rand_core::CryptoRng;

pub use account::statement;
pub use check::Check;
pub use report::{DrawnTotals, Finding, KeyTotals, Names, Note, Party, Report, SiteTotals, Totals, VerifiedTotals};

use self::{
    control::Control,
    grants::{Granted, Sums},
    log::LogView,
    site::SiteLog,
};
use crate::{
    ids::{ProgrammeId, SiteId, Units},
    programme::{Header, KeyEntry},
    redeem::Surrender,
    secret::Weights,
    slip::OpeningPack,
    wire::{DecodeError, Message},
};

/// A log as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedLog {
    /// The log's name: its origin in the manifest.
    pub name: String,
    /// The checkpoint, a signed note.
    pub checkpoint: Vec<u8>,
    /// The entries, as read by [`crate::log::tile::read_log`].
    pub entries: Vec<Vec<u8>>,
}

/// Everything that an audit reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The issuer's log.
    pub issuer: PublishedLog,
    /// The sites' logs. A site may have had several over time.
    pub sites: Vec<(SiteId, PublishedLog)>,
    /// The key list, in its order.
    pub keys: Vec<KeyEntry>,
    /// The opening packs.
    pub packs: Vec<OpeningPack>,
    /// Surrendered vouchers.
    pub surrendered: Vec<Surrender>,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Leaves done.
    pub done: u64,
    /// All leaves.
    pub total: u64,
}

/// Issuer leaves whose proofs share a multi-scalar multiplication.
const ISSUER_CHUNK: usize = 256;
/// The same for the leaves of sites, which are smaller.
const SITE_CHUNK: usize = 1024;

/// Audits everything that a programme published. Never stops at a failure; bounded memory beside the published bytes.
///
/// `rng` must be the operating system's: a verifier whose weights can be foreseen accepts forgeries. `progress` is called from
/// many threads, and not in order.
pub fn audit<R: CryptoRng + ?Sized>(
    programme: ProgrammeId,
    published: &Published,
    rng: &mut R,
    progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    let entries = |log: &PublishedLog| log.entries.len() as u64;
    let total = entries(&published.issuer) + published.sites.iter().map(|(_, log)| entries(log)).sum::<u64>();
    let done = AtomicU64::new(0);
    let advance = |leaves: usize| {
        let done = done.fetch_add(leaves as u64, Ordering::Relaxed) + leaves as u64;
        progress(Progress { done, total });
    };
    let mut report = Report {
        programme,
        names: Names::default(),
        findings: Vec::new(),
        notes: Vec::new(),
        totals: Totals::default(),
        leaves: total,
    };
    let mut weights = Weights::new(rng);
    let mut issuer = LogView::new(Party::Issuer, &published.issuer);
    let Some(genesis) = control::genesis(&issuer, programme) else {
        report.findings.push(issuer.finding(Check::GenesisInvalid).at(0));
        report.notes.push(Note::NothingElseChecked);
        return report;
    };
    let Report { findings, notes, totals, names, .. } = &mut report;
    let control = Control::read(&mut issuer, genesis, &published.keys, findings);
    let newest = control.programme.latest();
    *names = names_of(newest);
    if issuer.name != newest.issuer_log.name {
        findings.push(issuer.finding(Check::LogUnknown));
    }
    issuer.check_checkpoint(&published.issuer.checkpoint, &newest.issuer_log, &control.witnesses[..1], findings);

    let openings = Sums::new(&issuer, &control, findings);
    let mut facts = issuer::read(&issuer, &control, &openings, ISSUER_CHUNK, &mut weights, findings, &advance);
    facts.check(&issuer, findings);
    control.check_packs(&issuer, published, &facts.swapped, findings, notes);
    let granted = Granted::new(&issuer, &control, &facts.members, &facts.sums, &mut weights, findings, notes);
    let drawn = balance::drawn_units(&control, &facts);
    totals.drawn = granted.check(&issuer, &control, &drawn, findings);
    let swapped = balance::swapped_units(&control, &facts);
    totals.swapped =
        swapped.into_iter().map(|(row, units)| (row, Units(units.try_into().unwrap_or(u64::MAX)))).collect();
    totals.amends = facts.members.iter().filter(|member| member.class.amend).count() as u64;
    totals.enrolments = facts.members.len() as u64 - totals.amends;

    let mut sites = read_sites(&control, published, &mut weights, findings, notes, &advance);
    let mut unstated = Vec::new();
    for of_site in sites.chunk_by_mut(|left, right| left.site == right.site) {
        site::check_site(of_site[0].site, of_site, &control, totals, findings, &mut unstated);
    }
    notes.extend(unstated.into_iter().map(|(site, round)| Note::StatementMissing { site, round }));
    let surrendered = balance::surrendered(&control, &published.surrendered, notes);
    totals.vouchers = balance::check(issuer.name, &control, &facts, &sites, surrendered, findings);
    report
}

fn names_of(newest: &Header) -> Names {
    Names {
        agency: newest.agency.clone(),
        programme: newest.name.clone(),
        sites: newest.sites.iter().map(|site| (site.id, site.name.clone())).collect(),
        lines: newest.lines.iter().map(|line| (line.id, line.name.clone())).collect(),
    }
}

/// Reads the logs that the manifest names, site by site and the oldest first; finds those that are missing or unknown.
fn read_sites<'a>(
    control: &Control,
    published: &'a Published,
    weights: &mut Weights,
    findings: &mut Vec<Finding>,
    notes: &mut Vec<Note>,
    advance: &(dyn Fn(usize) + Sync),
) -> Vec<SiteLog<'a>> {
    let newest = control.programme.latest();
    let mut logs: BTreeMap<(SiteId, usize), &PublishedLog> = BTreeMap::new();
    for (id, log) in &published.sites {
        let named = newest.site(*id).and_then(|site| site.logs.iter().position(|known| known.name == log.name));
        match named {
            Some(index) if !logs.contains_key(&(*id, index)) => drop(logs.insert((*id, index), log)),
            _ => {
                findings.push(Finding::new(Check::LogUnknown, Party::Site(*id), &log.name));
                advance(log.entries.len());
            }
        }
    }
    let owing: BTreeSet<SiteId> =
        newest.sites.iter().map(|site| site.id).filter(|site| control.owes_a_log(*site)).collect();
    let mut sites = Vec::new();
    for site in &newest.sites {
        for (index, key) in site.logs.iter().enumerate() {
            let Some(log) = logs.get(&(site.id, index)) else {
                if owing.contains(&site.id) {
                    findings.push(Finding::new(Check::LogMissing, Party::Site(site.id), &key.name));
                }
                continue;
            };
            let view = LogView::new(Party::Site(site.id), log);
            // A log that another replaced was cosigned by the witnesses of its time.
            let replaced = index + 1 < site.logs.len();
            if replaced {
                notes.push(Note::LogReplaced {
                    site: site.id,
                    name: key.name.clone(),
                    leaves: log.entries.len() as u64,
                });
            }
            let deciding = if replaced { &control.witnesses } else { &control.witnesses[..1] };
            view.check_checkpoint(&log.checkpoint, key, deciding, findings);
            let mut read = SiteLog::new(site.id, view, key.key, findings);
            read.read(control, SITE_CHUNK, weights, findings, advance);
            sites.push(read);
        }
    }
    sites
}

/// Writes a key list: each entry's encoding behind its length as a big-endian `u16`.
pub fn keys_to_bytes(keys: &[KeyEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 * keys.len());
    for entry in keys.iter().map(KeyEntry::encode) {
        let length = u16::try_from(entry.len()).expect("key entries have at most 256 bytes");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&entry);
    }
    bytes
}

/// Reads what [`keys_to_bytes`] writes.
///
/// # Errors
/// [`KeysError`] names the first entry that is cut off or malformed.
pub fn keys_from_bytes(mut bytes: &[u8]) -> Result<Vec<KeyEntry>, KeysError> {
    let mut keys = Vec::new();
    while !bytes.is_empty() {
        let index = keys.len();
        let (length, rest) = bytes.split_first_chunk().ok_or(KeysError::Truncated { index })?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length).ok_or(KeysError::Truncated { index })?;
        keys.push(KeyEntry::decode(entry).map_err(|source| KeysError::Entry { index, source })?);
        bytes = rest;
    }
    Ok(keys)
}

/// Why bytes are not a key list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The bytes end inside an entry.
    #[error("key {index} is cut off")]
    Truncated {
        /// The entry.
        index: usize,
    },
    /// An entry does not decode.
    #[error("key {index}: {source}")]
    Entry {
        /// The entry.
        index: usize,
        /// Why.
        source: DecodeError,
    },
}
