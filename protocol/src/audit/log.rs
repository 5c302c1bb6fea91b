//! The form of a log, before what it says: checkpoint, root, and batches (spec 9.1).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    AuditError, Check, Chunks, Entries, Finding, Findings, Party, PublishedLog,
    source::{ranges, waves},
};
use crate::{
    log::{
        leaf::{BatchHeader, Leaf},
        merkle::{Frontier, TreeHash, leaf_hash},
        note::{self, KeyType, NoteError},
    },
    programme::{Header, LogKey},
    registry::VERSION,
    secret::Weights,
};

/// A log under audit, after its first pass: its form, and where its batches are.
pub(super) struct LogView<'a> {
    pub(super) party: Party,
    pub(super) name: &'a str,
    pub(super) size: u64,
    pub(super) root: TreeHash,
    /// The hash of the first leaf.
    pub(super) first: Option<TreeHash>,
    /// The roots at the sizes that were asked for; none for sizes beyond the log's end.
    pub(super) roots: BTreeMap<u64, TreeHash>,
    /// The headers of well-formed batches, ascending by position.
    pub(super) batches: Vec<BatchHeader>,
}

/// Entries of one chunk, hashed.
struct Hashed {
    start: u64,
    hashes: Vec<TreeHash>,
    /// What claims to be a control leaf, by position.
    control: Vec<(u64, Vec<u8>)>,
}

impl<'a> LogView<'a> {
    /// The first pass: hashes the log and checks its batches. Where a kind of leaf is a control leaf, decodes it; calls `control`
    /// with each, in order, and with the tree of all leaves before it.
    ///
    /// Event leaves are left encoded: they are decoded, chunk by chunk, where their proofs are checked.
    pub(super) fn walk<L: Leaf, S: Entries>(
        party: Party,
        log: &'a PublishedLog<S>,
        is_control: impl Fn(u8) -> bool + Sync,
        sizes: &BTreeSet<u64>,
        chunks: Chunks,
        findings: &mut Findings,
        mut control: impl FnMut(u64, L, &Frontier, &mut Findings),
    ) -> Result<Self, S::Error> {
        let (entries, size) = (&log.entries, log.entries.size());
        let (mut roots, mut sizes) = (BTreeMap::new(), sizes.iter().copied().peekable());
        let (mut batches, mut frontier, mut first) = (Batches::new(party, &log.name), Frontier::new(), None);
        let hash = |range: Range<u64>| {
            let read = entries.read(range.clone())?;
            let hashes = read.iter().map(|entry| leaf_hash(entry)).collect();
            let control = (range.start..).zip(read.iter());
            let control = control.filter(|(_, entry)| variant::<L>(entry).is_some_and(&is_control));
            Ok(Hashed { start: range.start, hashes, control: control.map(|(at, entry)| (at, entry.clone())).collect() })
        };
        waves(ranges(size, chunks.hashes), chunks.waiting, hash, |part| {
            entries.hashed(&part.hashes)?;
            first = first.or(part.hashes.first().copied());
            let mut waiting = part.control.into_iter().peekable();
            for (at, hash) in (part.start..).zip(part.hashes) {
                if sizes.next_if_eq(&at).is_some() {
                    roots.insert(at, frontier.root());
                }
                match waiting.next_if(|(next, _)| *next == at).map(|(_, entry)| L::decode(&entry)) {
                    None => batches.event(at, hash),
                    Some(Ok(leaf)) if leaf.is_control() => {
                        match leaf.as_batch() {
                            Some(header) => batches.header(at, header, findings),
                            None => batches.gap(at, findings),
                        }
                        control(at, leaf, &frontier, findings);
                    }
                    Some(_) => {
                        batches.gap(at, findings);
                        findings.push(batches.finding(Check::LeafMalformed).at(at));
                    }
                }
                frontier.append(hash).expect("2^63 leaves are more than any program reaches from zero");
            }
            Ok(())
        })?;
        if sizes.next_if_eq(&size).is_some() {
            roots.insert(size, frontier.root());
        }
        batches.gap(size, findings);
        let root = frontier.root();
        entries.ended(&root)?;
        Ok(Self { party, name: &log.name, size, root, first, roots, batches: batches.headers })
    }

    /// The second pass: maps the log chunk by chunk on all cores, and folds what comes out in its order.
    ///
    /// What is read must hash to the root of the first pass: otherwise parts of two logs would be audited as one.
    pub(super) fn verify<S: Entries, T: Send>(
        &self,
        entries: &S,
        (width, waiting): (u64, usize),
        weights: &mut Weights,
        progress: &(dyn Fn(u64) + Sync),
        map: impl Fn(Chunk<'_>, &mut Weights) -> T + Send + Sync,
        mut fold: impl FnMut(T) -> Result<(), AuditError<S::Error>>,
    ) -> Result<(), AuditError<S::Error>> {
        let mut frontier = Frontier::new();
        let chunks = (0u64..).zip(ranges(self.size, width)).map(|(number, range)| (number, range, weights.fork()));
        let map = |(number, range, mut weights): (u64, Range<u64>, Weights)| {
            let start = range.start;
            let read = entries.read(range)?;
            let hashes: Vec<TreeHash> = read.iter().map(|entry| leaf_hash(entry)).collect();
            let part = map(Chunk { number, start, entries: &read, hashes: &hashes }, &mut weights);
            progress(hashes.len() as u64);
            Ok((hashes, part))
        };
        waves(chunks, waiting, map, |(hashes, part)| {
            for hash in hashes {
                frontier.append(hash).expect("2^63 leaves are more than any program reaches from zero");
            }
            fold(part)
        })?;
        if frontier.root() == self.root { Ok(()) } else { Err(self.changed()) }
    }

    /// The log is not what it was in the first pass.
    pub(super) fn changed<E>(&self) -> AuditError<E> {
        AuditError::Changed { log: self.name.to_owned() }
    }

    /// A finding in this log.
    pub(super) fn finding(&self, check: Check) -> Finding {
        Finding::new(check, self.party, self.name)
    }

    /// Checks the checkpoint against the manifest's key and witnesses, and the entries against the checkpoint. `witnesses` are
    /// those of each version that may decide, the newest first.
    pub(super) fn check_checkpoint(&self, note: &[u8], key: &LogKey, witnesses: &[Witnesses], findings: &mut Findings) {
        let mut results = witnesses.iter().map(|of_version| verify_checkpoint(note, key, of_version));
        let newest = results.next().expect("a genesis was read");
        let checkpoint = match results.fold(newest, Result::or) {
            Ok(verified) => verified.checkpoint().clone(),
            Err(error) => {
                findings.push(self.finding(match error {
                    NoteError::TooFewWitnesses { .. } => Check::CheckpointWitnesses,
                    _ => Check::CheckpointInvalid,
                }));
                return;
            }
        };
        if checkpoint.size() != self.size {
            findings.push(self.finding(Check::LogSize));
        } else if checkpoint.root() != self.root {
            findings.push(self.finding(Check::LogRoot));
        }
    }

    /// The batch that a leaf is in.
    pub(super) fn batch_of(&self, at: u64) -> Option<&BatchHeader> {
        let next = self.batches.partition_point(|header| header.end <= at);
        self.batches.get(next).filter(|header| header.start <= at)
    }
}

/// A chunk of the second pass.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// Counts the log's chunks.
    pub(super) number: u64,
    pub(super) start: u64,
    pub(super) entries: &'a [Vec<u8>],
    pub(super) hashes: &'a [TreeHash],
}

/// The variant of an entry that claims to be a leaf: strict decoding follows.
pub(super) fn variant<L: Leaf>(entry: &[u8]) -> Option<u8> {
    match entry {
        [VERSION, kind, variant, ..] if *kind == L::KIND => Some(*variant),
        _ => None,
    }
}

/// The witnesses of a manifest version, and how many of them must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witnesses {
    keys: Vec<LogKey>,
    threshold: u8,
}

impl Witnesses {
    pub(super) fn of(header: &Header) -> Self {
        Self { keys: header.witnesses.clone(), threshold: header.witness_threshold }
    }
}

fn verify_checkpoint(note: &[u8], key: &LogKey, witnesses: &Witnesses) -> Result<note::VerifiedCheckpoint, NoteError> {
    let keys = witnesses.keys.iter().map(|key| key.verifier(KeyType::Witness)).collect::<Result<Vec<_>, _>>()?;
    note::verify_checkpoint(note, &key.verifier(KeyType::Log)?, &keys, witnesses.threshold.into())
}

/// Follows batch headers through a log.
struct Batches<'a> {
    party: Party,
    name: &'a str,
    headers: Vec<BatchHeader>,
    /// Where the leaves after the last control leaf begin.
    start: u64,
    number: u32,
    /// The last of these leaves, and the first that is not above the one before it.
    last: Option<TreeHash>,
    fault: Option<u64>,
}

impl<'a> Batches<'a> {
    fn new(party: Party, name: &'a str) -> Self {
        Self { party, name, headers: Vec::new(), start: 0, number: 0, last: None, fault: None }
    }

    fn finding(&self, check: Check) -> Finding {
        Finding::new(check, self.party, self.name)
    }

    /// An event leaf.
    fn event(&mut self, at: u64, hash: TreeHash) {
        if self.fault.is_none() && self.last.is_some_and(|last| last >= hash) {
            self.fault = Some(at);
        }
        self.last = Some(hash);
    }

    /// A control leaf that is no header, or the log's end: no event leaf may stand before it without a header.
    fn gap(&mut self, at: u64, findings: &mut Findings) {
        if self.start < at {
            findings.push(self.finding(Check::BatchMissing).at(self.start));
        }
        self.restart(at + 1);
    }

    fn header(&mut self, at: u64, header: &BatchHeader, findings: &mut Findings) {
        let goes_back = self.headers.last().is_some_and(|last| last.round > header.round);
        if header.number != self.number.saturating_add(1) || (header.start, header.end) != (self.start, at) || goes_back
        {
            findings.push(self.finding(Check::BatchHeader).at(at));
        }
        findings.extend(self.fault.map(|fault| self.finding(Check::BatchUnsorted).at(fault)));
        // What the log shows counts, not what the header claims.
        self.headers.push(BatchHeader { start: self.start, end: at, ..*header });
        self.number = header.number;
        self.restart(at + 1);
    }

    fn restart(&mut self, start: u64) {
        (self.start, self.last, self.fault) = (start, None, None);
    }
}
