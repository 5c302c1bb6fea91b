//! The form of a log, before what it says: checkpoint, root, and batches (spec 9.1).

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Finding, Party, PublishedLog, batch};
use crate::{
    log::{
        leaf::{BatchHeader, Leaf},
        merkle::{Frontier, TreeHash, leaf_hash},
        note::{self, KeyType, NoteError},
    },
    programme::{Header, LogKey},
    registry::VERSION,
};

/// Leaf hashes a parallel task computes.
const HASH_CHUNK: usize = 4096;

/// A log under audit: its entries with their hashes, and where its batches are.
pub(super) struct LogView<'a> {
    pub(super) party: Party,
    pub(super) name: &'a str,
    pub(super) entries: &'a [Vec<u8>],
    pub(super) hashes: Vec<TreeHash>,
    /// The headers of well-formed batches, ascending by position.
    pub(super) batches: Vec<BatchHeader>,
}

impl<'a> LogView<'a> {
    pub(super) fn new(party: Party, log: &'a PublishedLog) -> Self {
        let chunks: Vec<&[Vec<u8>]> = log.entries.chunks(HASH_CHUNK).collect();
        let hashes =
            batch::map(chunks, |chunk| chunk.iter().map(|entry| leaf_hash(entry)).collect::<Vec<_>>()).concat();
        Self { party, name: &log.name, entries: &log.entries, hashes, batches: Vec::new() }
    }

    /// A finding in this log.
    pub(super) fn finding(&self, check: Check) -> Finding {
        Finding::new(check, self.party, self.name)
    }

    /// The roots of the log at these sizes; none for sizes beyond its end.
    pub(super) fn roots(&self, sizes: &BTreeSet<u64>) -> BTreeMap<u64, TreeHash> {
        let (mut frontier, mut roots) = (Frontier::new(), BTreeMap::new());
        let mut hashes = self.hashes.iter();
        for size in sizes.iter().take_while(|size| **size <= self.hashes.len() as u64) {
            hashes.by_ref().take((size - frontier.size()) as usize).for_each(|hash| {
                frontier.append(*hash).expect("a tree in memory is not full");
            });
            roots.insert(*size, frontier.root());
        }
        roots
    }

    /// Checks the checkpoint against the manifest's key and witnesses, and the entries against the checkpoint. `witnesses` are
    /// those of each version that may decide, the newest first.
    pub(super) fn check_checkpoint(
        &self,
        note: &[u8],
        key: &LogKey,
        witnesses: &[Witnesses],
        findings: &mut Vec<Finding>,
    ) {
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
        let size = self.entries.len() as u64;
        if checkpoint.size() != size {
            findings.push(self.finding(Check::LogSize));
        } else if self.roots(&BTreeSet::from([size])).get(&size) != Some(&checkpoint.root()) {
            findings.push(self.finding(Check::LogRoot));
        }
    }

    /// Where a kind of leaf is a control leaf, decodes it; calls `control` with each, in order, and checks the batches.
    ///
    /// Event leaves are left encoded: they are decoded, batch by batch, where their proofs are checked.
    pub(super) fn walk<L: Leaf>(
        &mut self,
        is_control: impl Fn(u8) -> bool,
        findings: &mut Vec<Finding>,
        mut control: impl FnMut(u64, L, &mut Vec<Finding>),
    ) {
        let mut batches = Batches::default();
        for (at, entry) in (0u64..).zip(self.entries) {
            if !variant::<L>(entry).is_some_and(&is_control) {
                continue;
            }
            match L::decode(entry) {
                Ok(leaf) if leaf.is_control() => {
                    if let Some(header) = leaf.as_batch() {
                        batches.header(self, at, header, findings);
                    } else {
                        batches.gap(self, at, findings);
                    }
                    control(at, leaf, findings);
                }
                _ => {
                    batches.gap(self, at, findings);
                    findings.push(self.finding(Check::LeafMalformed).at(at));
                }
            }
        }
        batches.gap(self, self.entries.len() as u64, findings);
        self.batches = batches.headers;
    }

    /// The batch that a leaf is in.
    pub(super) fn batch_of(&self, at: u64) -> Option<&BatchHeader> {
        let next = self.batches.partition_point(|header| header.end <= at);
        self.batches.get(next).filter(|header| header.start <= at)
    }
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
#[derive(Default)]
struct Batches {
    headers: Vec<BatchHeader>,
    /// Where the leaves after the last control leaf begin.
    start: u64,
    number: u32,
}

impl Batches {
    /// A control leaf that is no header, or the log's end: no event leaf may stand before it without a header.
    fn gap(&mut self, log: &LogView<'_>, at: u64, findings: &mut Vec<Finding>) {
        if self.start < at {
            findings.push(log.finding(Check::BatchMissing).at(self.start));
        }
        self.start = at + 1;
    }

    fn header(&mut self, log: &LogView<'_>, at: u64, header: &BatchHeader, findings: &mut Vec<Finding>) {
        let goes_back = self.headers.last().is_some_and(|last| last.round > header.round);
        if header.number != self.number.saturating_add(1) || (header.start, header.end) != (self.start, at) || goes_back
        {
            findings.push(log.finding(Check::BatchHeader).at(at));
        }
        let (start, end) = (self.start as usize, at as usize);
        let leaves = &log.hashes[start..end];
        if let Some(fault) = leaves.windows(2).position(|pair| pair[0] >= pair[1]) {
            findings.push(log.finding(Check::BatchUnsorted).at(self.start + fault as u64 + 1));
        }
        // What the log shows counts, not what the header claims.
        self.headers.push(BatchHeader { start: self.start, end: at, ..*header });
        self.number = header.number;
        self.start = at + 1;
    }
}
