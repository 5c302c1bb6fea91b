//! Where an audit reads, sorts and remembers: it has no I/O of its own.
//!
//! An audit reads each log twice. The first pass hashes it and follows its control leaves, the second verifies its events and
//! hashes it again: what both passes read has one root, so that nobody is judged by bytes that were changed in between. What
//! must not occur twice anywhere is sorted, in fixed-size records, by a [`Workspace`].

use std::{borrow::Cow, convert::Infallible, ops::Range};

use super::batch;
use crate::log::merkle::TreeHash;

/// A log's entries. Read in chunks, by many threads, and more than once.
pub trait Entries: Sync {
    /// Why entries cannot be read.
    type Error: Send;

    /// How many entries the log has.
    fn size(&self) -> u64;

    /// The entries of a range within the size.
    ///
    /// # Errors
    /// Those of the medium.
    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [Vec<u8>]>, Self::Error>;

    /// Told the leaf hashes of the first pass, in order: a log's published hash tiles can be held against them.
    ///
    /// # Errors
    /// Those of the medium.
    fn hashed(&self, hashes: &[TreeHash]) -> Result<(), Self::Error> {
        let _ = hashes;
        Ok(())
    }

    /// Told the root once the first pass has ended.
    ///
    /// # Errors
    /// Those of the medium.
    fn ended(&self, root: &TreeHash) -> Result<(), Self::Error> {
        let _ = root;
        Ok(())
    }
}

impl Entries for Vec<Vec<u8>> {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [Vec<u8>]>, Infallible> {
        Ok(Cow::Borrowed(&self[range.start as usize..range.end as usize]))
    }
}

/// What an audit works in: it makes sorters, and may remember what was proven before.
pub trait Workspace: Sync {
    /// Why records cannot be kept.
    type Error: Send;
    /// Sorts records of `N` bytes.
    type Sorter<const N: usize>: Sorter<N, Error = Self::Error>;

    /// A sorter without records.
    fn sorter<const N: usize>(&self) -> Self::Sorter<N>;

    /// Whether it remembers at all.
    fn remembers(&self) -> bool {
        false
    }

    /// Whether all proofs of a chunk were found to hold before. `chunk` counts the chunks of the log; `statement` is everything
    /// that the proofs depend on, so that a chunk is known again only if nothing of it changed.
    fn recall(&self, log: &str, chunk: u64, statement: &[u8]) -> Recall {
        let _ = (log, chunk, statement);
        Recall::Unknown
    }

    /// Told that all proofs of a chunk hold.
    fn keep(&self, log: &str, chunk: u64, statement: &[u8]) {
        let _ = (log, chunk, statement);
    }
}

/// What is remembered of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// Nothing, or something of another chunk: verify it.
    Unknown,
    /// All its proofs hold.
    Held,
    /// Something that this auditor never wrote: verify it, and say so.
    Tampered,
}

/// Sorts records, which may be more than memory holds.
pub trait Sorter<const N: usize>: Sized {
    /// Why records cannot be kept.
    type Error: Send;
    /// The records in ascending order of their bytes, repeats included.
    type Sorted: Iterator<Item = Result<[u8; N], Self::Error>>;

    /// Takes a record.
    ///
    /// # Errors
    /// Those of the medium.
    fn push(&mut self, record: [u8; N]) -> Result<(), Self::Error>;

    /// Gives all records back.
    ///
    /// # Errors
    /// Those of the medium.
    fn sorted(self) -> Result<Self::Sorted, Self::Error>;
}

/// Sorts in memory.
#[derive(Clone, Copy, Debug)]
pub struct InMemory;

impl Workspace for InMemory {
    type Error = Infallible;
    type Sorter<const N: usize> = Vec<[u8; N]>;

    fn sorter<const N: usize>(&self) -> Vec<[u8; N]> {
        Vec::new()
    }
}

impl<const N: usize> Sorter<N> for Vec<[u8; N]> {
    type Error = Infallible;
    type Sorted = std::iter::Map<std::vec::IntoIter<[u8; N]>, fn([u8; N]) -> Result<[u8; N], Infallible>>;

    fn push(&mut self, record: [u8; N]) -> Result<(), Infallible> {
        self.push(record);
        Ok(())
    }

    fn sorted(mut self) -> Result<Self::Sorted, Infallible> {
        batch::sort(&mut self);
        Ok(self.into_iter().map(Ok as fn([u8; N]) -> Result<[u8; N], Infallible>))
    }
}

/// How much is done at once. The defaults are for logs of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Leaves that a thread hashes at once.
    pub hashes: u64,
    /// Issuer leaves whose proofs share a multi-scalar multiplication.
    pub issuer: u64,
    /// The same for the leaves of sites, which are smaller.
    pub site: u64,
    /// Chunks in memory, a thread.
    pub waiting: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { hashes: 4096, issuer: 256, site: 1024, waiting: 4 }
    }
}

/// Why an audit could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError<E> {
    /// A log cannot be read, or records cannot be kept.
    #[error(transparent)]
    Medium(#[from] E),
    /// A log was another when it was read again.
    #[error("the log {log} changed while it was read. Verify a copy that nobody writes to")]
    Changed {
        /// The log's name.
        log: String,
    },
}

/// The ranges of a log's chunks, from the first.
pub(super) fn ranges(size: u64, width: u64) -> impl Iterator<Item = Range<u64>> {
    let width = width.max(1);
    (0..size.div_ceil(width)).map(move |chunk| chunk * width..size.min((chunk + 1).saturating_mul(width)))
}

/// Maps the chunks of a log on all cores, a bounded number at a time, and folds what comes out in the log's order.
pub(super) fn waves<T: Send, U: Send, E: Send>(
    mut chunks: impl Iterator<Item = T>,
    waiting: usize,
    map: impl Fn(T) -> Result<U, E> + Send + Sync,
    mut fold: impl FnMut(U) -> Result<(), E>,
) -> Result<(), E> {
    let at_once = waiting.max(1) * batch::threads();
    loop {
        let wave: Vec<T> = chunks.by_ref().take(at_once).collect();
        if wave.is_empty() {
            return Ok(());
        }
        for result in batch::map(wave, &map) {
            fold(result?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_a_log_once() {
        let of = |size, width| ranges(size, width).map(|range| (range.start, range.end)).collect::<Vec<_>>();
        assert_eq!(of(0, 4), []);
        assert_eq!(of(4, 4), [(0, 4)]);
        assert_eq!(of(5, 4), [(0, 4), (4, 5)]);
        assert_eq!(of(2, 0), [(0, 1), (1, 2)]);
        assert_eq!(of(3, u64::MAX), [(0, 3)]);
    }

    #[test]
    fn waves_keep_the_order_and_stop_at_the_first_error() {
        let mut seen = Vec::new();
        let done = waves(0..100, 1, Ok::<_, ()>, |at| {
            seen.push(at);
            Ok(())
        });
        assert_eq!((done, seen), (Ok(()), (0..100).collect()));
        let mut count = 0;
        let stopped = waves(
            0..,
            1,
            |at| if at == 7 { Err(at) } else { Ok(at) },
            |_| {
                count += 1;
                Ok(())
            },
        );
        assert_eq!((stopped, count), (Err(7), 7));
    }
}
