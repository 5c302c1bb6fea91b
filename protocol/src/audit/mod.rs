//! Audit: every total recomputed from what is published, by anyone, without a single identity (spec 9).
//!
//! [`audit`] takes the logs, the key list and the opening packs, and nothing else. It never stops at the first failure: each
//! failed check is a [`Finding`] that names who answers for it and, where one is at fault, the leaf; a batch of proofs that
//! fails is halved down to the culprit. The verdict is a type: [`Report::verified`]. [`audit_streamed`] is the same for logs that
//! no memory holds.
//!
//! Who answers: a false leaf of a log, its signer. A voucher that two *different* sites accepted, the voucher only. A true voucher
//! of a round that the issuer's log does not open, the issuer.
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
mod findings;
#[cfg(any(test, feature = "hazmat"))]
pub mod forge;
mod grants;
mod issuer;
mod log;
mod memory;
pub mod receipt;
mod record;
mod report;
#[cfg(any(test, feature = "hazmat"))]
pub mod scramble;
mod site;
mod slips;
mod source;
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
pub use source::{AuditError, Chunks, Entries, InMemory, Recall, Sorter, Workspace};

use self::{
    balance::Balance,
    control::Control,
    findings::Findings,
    grants::{Granted, Openings},
    issuer::IssuerSorters,
    log::LogView,
    memory::Memory,
    site::{SiteLog, SiteSorters},
};
use crate::{
    ids::{ProgrammeId, Round, SiteId, Units},
    log::merkle::leaf_hash,
    programme::{Header, KeyEntry},
    redeem::Surrender,
    secret::Weights,
    slip::OpeningPack,
    wire::{DecodeError, Message},
};

/// A log as it is published. Its entries are in memory, or wherever `E` reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedLog<E = Vec<Vec<u8>>> {
    /// The log's name: its origin in the manifest.
    pub name: String,
    /// The checkpoint, a signed note.
    pub checkpoint: Vec<u8>,
    /// The entries, as read by [`crate::log::tile::read_log`].
    pub entries: E,
}

/// Everything that an audit reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published<E = Vec<Vec<u8>>> {
    /// The issuer's log.
    pub issuer: PublishedLog<E>,
    /// The sites' logs. A site may have had several over time.
    pub sites: Vec<(SiteId, PublishedLog<E>)>,
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

/// Audits everything that a programme published, in memory. Never stops at a failure.
///
/// `rng` must be the operating system's: a verifier whose weights can be foreseen accepts forgeries. `progress` is called from
/// many threads, and not in order.
pub fn audit<R: CryptoRng + ?Sized>(
    programme: ProgrammeId,
    published: &Published,
    rng: &mut R,
    progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    match audit_streamed(programme, published, &InMemory, Chunks::default(), rng, progress) {
        Ok(report) => report,
        Err(AuditError::Medium(never)) => match never {},
        Err(AuditError::Changed { .. }) => unreachable!("entries that are borrowed do not change"),
    }
}

/// Audits everything that a programme published, wherever its logs are kept. Never stops at a failure.
///
/// Memory is bounded by the chunks that are worked on, by what the workspace's sorters hold, and by what does not grow with
/// vouchers: keys, batches, rounds, lots, classes. Beside that only findings, packs and surrenders are in memory, and all
/// acceptances of one voucher at a time. `rng` and `progress` are those of [`audit`].
///
/// # Errors
/// [`AuditError`]: what could not be read or kept, or a log that changed meanwhile. A failed check is no error.
pub fn audit_streamed<S: Entries, W: Workspace<Error = S::Error>, R: CryptoRng + ?Sized>(
    programme: ProgrammeId,
    published: &Published<S>,
    workspace: &W,
    chunks: Chunks,
    rng: &mut R,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, AuditError<S::Error>> {
    let entries = |log: &PublishedLog<S>| log.entries.size();
    let logs = published.sites.iter().map(|(_, log)| entries(log));
    let total = logs.fold(entries(&published.issuer), u64::saturating_add);
    let done = AtomicU64::new(0);
    let advance = |leaves: u64| {
        let done = done.fetch_add(leaves, Ordering::Relaxed).saturating_add(leaves);
        progress(Progress { done, total });
    };
    let mut run = Run {
        chunks,
        workspace,
        memory: Memory::new(workspace, programme),
        weights: Weights::new(rng),
        findings: Findings::default(),
        notes: Vec::new(),
        advance: &advance,
    };
    let mut report = Report {
        programme,
        names: Names::default(),
        findings: Vec::new(),
        notes: Vec::new(),
        totals: Totals::default(),
        leaves: total,
    };
    run.audit(programme, published, &mut report)?;
    let Run { findings, notes, memory, .. } = run;
    let (findings, left_out) = findings.sorted();
    report.findings.extend(findings);
    report.notes.extend(left_out);
    report.notes.extend(notes);
    report.notes.extend(memory.notes());
    Ok(report)
}

/// The sites' logs, and what is sorted across them.
type SitesRead<'p, W> = (Vec<SiteLog<'p>>, SiteSorters<W>);

/// What goes through a whole audit.
struct Run<'a, W> {
    chunks: Chunks,
    workspace: &'a W,
    memory: Memory<'a, W>,
    weights: Weights,
    findings: Findings,
    notes: Vec<Note>,
    /// Told how many leaves more are done.
    advance: &'a (dyn Fn(u64) + Sync),
}

impl<W: Workspace> Run<'_, W> {
    fn audit<S: Entries<Error = W::Error>>(
        &mut self,
        programme: ProgrammeId,
        published: &Published<S>,
        report: &mut Report,
    ) -> Result<(), AuditError<W::Error>> {
        let Some((issuer, mut control)) = self.read_control(programme, published)? else {
            let name = &published.issuer.name;
            self.findings.push(Finding::new(Check::GenesisInvalid, Party::Issuer, name).at(0));
            self.notes.push(Note::NothingElseChecked);
            return Ok(());
        };
        control.note_packs(&published.packs);
        let newest = control.programme.latest();
        let Report { totals, names, .. } = report;
        *names = names_of(newest);
        if issuer.name != newest.issuer_log.name {
            self.findings.push(issuer.finding(Check::LogUnknown));
        }
        let (checkpoint, witnesses) = (&published.issuer.checkpoint, &control.witnesses[..1]);
        issuer.check_checkpoint(checkpoint, &newest.issuer_log, witnesses, &mut self.findings);

        let (openings, entries) = (Openings::new(&issuer, &control, &mut self.findings), &published.issuer.entries);
        let mut sorters = IssuerSorters::new(self.workspace);
        let facts = issuer::read(&issuer, entries, &control, &openings, self, &mut sorters)?;
        let swapped = facts.check(&issuer, entries, sorters, &mut self.findings)?;
        let lists = control.check_packs(&issuer, &published.packs, &mut self.findings, &mut self.notes);
        let Self { weights, findings, notes, .. } = &mut *self;
        let granted = Granted::new(&issuer, &control, &openings, &facts, weights, findings, notes);
        let drawn = balance::drawn_units(&control, &facts);
        totals.drawn = granted.check(&issuer, &control, &drawn, findings);
        let swapped_units = balance::swapped_units(&control, &facts).into_iter();
        totals.swapped = swapped_units.map(|(row, units)| (row, Units(units.try_into().unwrap_or(u64::MAX)))).collect();
        for (member, count) in facts.members.iter() {
            *(if member.class.amend { &mut totals.amends } else { &mut totals.enrolments }) += count;
        }

        let (mut sites, SiteSorters { seen, slips }) = self.read_sites(&control, published)?;
        let before = self.notes.len();
        let surrendered = balance::surrendered(&control, &published.surrendered, &mut self.notes);
        let ignored = self.notes.split_off(before);
        let balance = Balance {
            issuer: &issuer,
            control: &control,
            packs: &published.packs,
            lists,
            sites: &mut sites,
            totals: &mut *totals,
            findings: &mut self.findings,
            distinct: BTreeMap::new(),
        };
        let awaited = balance.check::<W>(&facts, swapped, seen, surrendered)?;
        self.notes.extend(awaited);
        slips::check(slips, &mut sites, &control, self, &mut totals.sites)?;
        self.check_statements(&control, &sites);
        self.notes.extend(ignored);
        Ok(())
    }

    /// The first pass over the issuer's log; nothing if it does not begin with the programme's genesis.
    fn read_control<'p, S: Entries<Error = W::Error>>(
        &mut self,
        programme: ProgrammeId,
        published: &'p Published<S>,
    ) -> Result<Option<(LogView<'p>, Control)>, AuditError<W::Error>> {
        let log = &published.issuer;
        let first = log.entries.read(0..log.entries.size().min(1))?;
        let Some(genesis) = control::genesis(first.first(), programme) else { return Ok(None) };
        let mut control = Control::new(genesis);
        let blank = Finding::new(Check::GenesisInvalid, Party::Issuer, &log.name);
        let issuer = LogView::walk(
            Party::Issuer,
            log,
            Control::is_control,
            &Control::pack_sizes(&published.packs),
            self.chunks,
            &mut self.findings,
            |at, leaf, _, findings| {
                let mut found = |check| findings.push(Finding { check, ..blank.clone() }.at(at));
                control.follow(at, leaf, &published.keys, &mut found);
            },
        )?;
        if issuer.first != first.first().map(|entry| leaf_hash(entry)) {
            return Err(issuer.changed());
        }
        if control.programme.keys() != published.keys && !self.findings.has(Check::KeyList) {
            self.findings.push(issuer.finding(Check::KeyList));
        }
        let doubtful = [Check::ManifestInvalid, Check::ManifestSignatures, Check::KeyList];
        control.keys_in_doubt = doubtful.into_iter().any(|check| self.findings.has(check));
        Ok(Some((issuer, control)))
    }

    /// Reads the logs that the manifest names, site by site and the oldest first; finds those that are missing or unknown.
    fn read_sites<'p, S: Entries<Error = W::Error>>(
        &mut self,
        control: &Control,
        published: &'p Published<S>,
    ) -> Result<SitesRead<'p, W>, AuditError<W::Error>> {
        let newest = control.programme.latest();
        let mut logs: BTreeMap<(SiteId, usize), &'p PublishedLog<S>> = BTreeMap::new();
        for (id, log) in &published.sites {
            let named = newest.site(*id).and_then(|site| site.logs.iter().position(|known| known.name == log.name));
            match named {
                Some(index) if !logs.contains_key(&(*id, index)) => drop(logs.insert((*id, index), log)),
                _ => {
                    self.findings.push(Finding::new(Check::LogUnknown, Party::Site(*id), &log.name));
                    (self.advance)(log.entries.size());
                }
            }
        }
        let mut sorters = SiteSorters::new(self.workspace);
        let mut sites: Vec<SiteLog<'p>> = Vec::new();
        for site in &newest.sites {
            let owes = control.owes_a_log(site.id);
            for (index, key) in site.logs.iter().enumerate() {
                let Some(log) = logs.get(&(site.id, index)).copied() else {
                    if owes {
                        self.findings.push(Finding::new(Check::LogMissing, Party::Site(site.id), &key.name));
                    }
                    continue;
                };
                let number = u32::try_from(sites.len()).expect("a manifest names fewer logs");
                let mut read = SiteLog::walk((site.id, number, key.key), log, self.chunks, &mut self.findings)?;
                sites.iter().filter(|before| before.site == site.id).for_each(|before| read.follows(before));
                // A log that another replaced was cosigned by the witnesses of its time.
                let replaced = index + 1 < site.logs.len();
                if replaced {
                    let (name, leaves) = (key.name.clone(), log.entries.size());
                    self.notes.push(Note::LogReplaced { site: site.id, name, leaves });
                }
                let deciding = if replaced { &control.witnesses } else { &control.witnesses[..1] };
                read.log.check_checkpoint(&log.checkpoint, key, deciding, &mut self.findings);
                read.read(&log.entries, control, self, &mut sorters)?;
                sites.push(read);
            }
        }
        Ok((sites, sorters))
    }

    /// What each site stated, against what all of its logs say.
    fn check_statements(&mut self, control: &Control, sites: &[SiteLog<'_>]) {
        for of_site in sites.chunk_by(|left, right| left.site == right.site) {
            let (mut stated, mut unstated): (BTreeSet<Round>, BTreeSet<Round>) = (BTreeSet::new(), BTreeSet::new());
            for log in of_site {
                for (round, account) in log.accounts.iter().filter(|(round, _)| control.is_open(**round)) {
                    for (line, excess) in account.owed_past_redeemed() {
                        let finding = log.log.finding(Check::OwedPastRedeemed).round(*round);
                        self.findings.push(finding.stake(line, excess));
                    }
                }
                log.check_statements(control, &mut stated, &mut self.findings);
                // A statement says what its own log has: that of another log is none of this one's leaves.
                unstated.extend(log.accounts.keys().copied().filter(|round| !log.states(*round)));
            }
            let site = of_site[0].site;
            self.notes.extend(unstated.into_iter().map(|round| Note::StatementMissing { site, round }));
        }
    }
}

fn names_of(newest: &Header) -> Names {
    Names {
        agency: newest.agency.clone(),
        programme: newest.name.clone(),
        sites: newest.sites.iter().map(|site| (site.id, site.name.clone())).collect(),
        lines: newest.lines.iter().map(|line| (line.id, line.name.clone())).collect(),
    }
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
