//! What was proven before: a chunk whose proofs all held is known again by everything that they depend on.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{Note, Recall, Workspace, log::Chunk};
use crate::{
    ids::{KeyIndex, ProgrammeId, Round},
    programme::Programme,
    wire::Message as _,
};

/// The rules by which proofs were verified. Goes up with every change of what a chunk's proofs must satisfy: what an older
/// auditor remembers is verified again.
const RULES: u64 = 1;

/// A workspace's memory, and how often it served.
pub(super) struct Memory<'a, W> {
    workspace: &'a W,
    programme: ProgrammeId,
    /// Leaves whose proofs were known.
    recalled: AtomicU64,
    /// Leaves whose proofs were verified.
    verified: AtomicU64,
    /// What was remembered by somebody else.
    tampered: Mutex<Vec<(String, u64, u64)>>,
}

impl<'a, W: Workspace> Memory<'a, W> {
    pub(super) fn new(workspace: &'a W, programme: ProgrammeId) -> Self {
        let (recalled, verified) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { workspace, programme, recalled, verified, tampered: Mutex::new(Vec::new()) }
    }

    /// Verifies the proofs of a chunk's event leaves unless they are known to hold: then gives `None`. `state` writes what they
    /// depend on beside the entries; `verify` says whether all hold.
    pub(super) fn unless_proven<T>(
        &self,
        log: &str,
        chunk: Chunk<'_>,
        leaves: usize,
        state: impl FnOnce(&mut Statement),
        verify: impl FnOnce() -> (bool, T),
    ) -> Option<T> {
        let statement = (self.workspace.remembers() && leaves > 0).then(|| {
            let mut statement = Statement::new(self.programme, log, chunk);
            state(&mut statement);
            statement
        });
        let known = statement.as_ref().map(|statement| self.workspace.recall(log, chunk.number, &statement.0));
        if known == Some(Recall::Held) {
            self.recalled.fetch_add(leaves as u64, Ordering::Relaxed);
            return None;
        }
        if known == Some(Recall::Tampered) {
            let part = (log.to_owned(), chunk.start, chunk.start + chunk.entries.len() as u64);
            self.tampered.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        }
        let (all_hold, found) = verify();
        self.verified.fetch_add(leaves as u64, Ordering::Relaxed);
        if let Some(statement) = statement.filter(|_| all_hold) {
            self.workspace.keep(log, chunk.number, &statement.0);
        }
        Some(found)
    }

    /// What to say of it.
    pub(super) fn notes(self) -> impl Iterator<Item = Note> {
        let mut tampered = self.tampered.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Threads find them out of order.
        tampered.sort_unstable();
        let tampered = tampered.into_iter().map(|(log, from, to)| Note::MemoryTampered { log, from, to });
        let (recalled, verified) = (self.recalled.into_inner(), self.verified.into_inner());
        let counts = self.workspace.remembers().then_some(Note::Remembered { recalled, verified });
        tampered.chain(counts)
    }
}

/// Everything that a chunk's proofs were held against.
pub(super) struct Statement(Vec<u8>);

impl Statement {
    fn new(programme: ProgrammeId, log: &str, chunk: Chunk<'_>) -> Self {
        let mut statement = Self(Vec::with_capacity(32 * chunk.hashes.len() + 4096));
        statement.number(RULES);
        statement.bytes(&programme.0);
        statement.bytes(log.as_bytes());
        statement.number(chunk.start);
        statement.number(chunk.hashes.len() as u64);
        chunk.hashes.iter().for_each(|hash| statement.0.extend(hash.0));
        statement
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// The version in force for a round: it names the key list too.
    pub(super) fn in_force(&mut self, programme: &Programme, round: Round) {
        self.bytes(programme.in_force(round).map(|view| view.hash.0).as_ref().map_or(&[], |hash| hash));
    }

    /// A voucher key, as the programme has it now.
    pub(super) fn key(&mut self, programme: &Programme, key: KeyIndex) {
        self.number(key.0.into());
        match programme.key(key) {
            Some(entry) => {
                self.bytes(&entry.encode());
                self.in_force(programme, entry.id.round);
            }
            None => self.bytes(&[]),
        }
    }
}
