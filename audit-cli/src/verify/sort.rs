//! Sorts more records than memory holds: sorted runs in temporary files, merged as they are read.
//!
//! The files have no names where the system can do that, and vanish with the program however it ends.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _},
    path::PathBuf,
    sync::Arc,
    vec,
};

use annona_protocol::audit::{Recall, Sorter, Workspace};
use rayon::prelude::*;

use super::{VerifyError, cache::Cache};

/// Runs that are merged at once.
const FAN_IN: usize = 64;
/// How many sorters are filled at the same time.
const SORTERS: usize = 3;

/// What an audit works on: sorters that share a memory, and a cache.
pub(super) struct Desk {
    temp: Arc<PathBuf>,
    memory: usize,
    cache: Option<Cache>,
}

impl Desk {
    /// Sorts `memory` bytes of records at most in memory, the rest in the folder `temp`.
    pub(super) fn new(temp: PathBuf, memory: usize, cache: Option<Cache>) -> Self {
        Self { temp: Arc::new(temp), memory, cache }
    }

    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }
}

impl Workspace for Desk {
    type Error = VerifyError;
    type Sorter<const N: usize> = DiskSorter<N>;

    fn sorter<const N: usize>(&self) -> DiskSorter<N> {
        let budget = self.memory / SORTERS;
        DiskSorter { temp: Arc::clone(&self.temp), budget, buffer: Vec::new(), levels: Vec::new() }
    }

    fn remembers(&self) -> bool {
        self.cache.is_some()
    }

    fn recall(&self, log: &str, chunk: u64, statement: &[u8]) -> Recall {
        self.cache.as_ref().map_or(Recall::Unknown, |cache| cache.recall(log, chunk, statement))
    }

    fn keep(&self, log: &str, chunk: u64, statement: &[u8]) {
        self.cache.iter().for_each(|cache| cache.keep(log, chunk, statement));
    }
}

/// Records in memory, and runs of sorted records in files.
pub(super) struct DiskSorter<const N: usize> {
    temp: Arc<PathBuf>,
    /// Bytes in memory.
    budget: usize,
    buffer: Vec<[u8; N]>,
    /// Runs; [`FAN_IN`] of a level are merged into one of the next.
    levels: Vec<Vec<Run<N>>>,
}

impl<const N: usize> DiskSorter<N> {
    fn failed(&self, source: io::Error) -> VerifyError {
        VerifyError::Sort { path: PathBuf::clone(&self.temp), source }
    }

    /// Bytes of a file that are in memory at once.
    fn window(&self) -> usize {
        (self.budget / FAN_IN).clamp(4096, 1 << 20)
    }

    /// Sorts what is in memory into a new run.
    fn spill(&mut self) -> Result<(), VerifyError> {
        self.buffer.par_sort_unstable();
        let records = std::mem::take(&mut self.buffer);
        let run = self.write(records.iter().map(|record| Ok(*record)))?;
        self.buffer = records;
        self.buffer.clear();
        self.place(run, 0)
    }

    fn place(&mut self, run: Run<N>, level: usize) -> Result<(), VerifyError> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run);
        if self.levels[level].len() < FAN_IN {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.levels[level]);
        let merged = self.write(Merge::new(runs, Arc::clone(&self.temp))?)?;
        self.place(merged, level + 1)
    }

    fn write(&self, records: impl Iterator<Item = Result<[u8; N], VerifyError>>) -> Result<Run<N>, VerifyError> {
        let file = tempfile::tempfile_in(&*self.temp).map_err(|error| self.failed(error))?;
        let mut out = BufWriter::with_capacity(self.window(), file);
        let mut left = 0;
        for record in records {
            out.write_all(&record?).map_err(|error| self.failed(error))?;
            left += 1;
        }
        let mut file = out.into_inner().map_err(|error| self.failed(error.into_error()))?;
        file.rewind().map_err(|error| self.failed(error))?;
        Ok(Run { reader: BufReader::with_capacity(self.window(), file), left })
    }
}

impl<const N: usize> Sorter<N> for DiskSorter<N> {
    type Error = VerifyError;
    type Sorted = Sorted<N>;

    fn push(&mut self, record: [u8; N]) -> Result<(), VerifyError> {
        let most = (self.budget / N).max(1);
        if self.buffer.len() == self.buffer.capacity() {
            let more = self.buffer.len().clamp(16, 1 << 20).min(most - self.buffer.len());
            self.buffer.reserve_exact(more);
        }
        self.buffer.push(record);
        if self.buffer.len() == most { self.spill() } else { Ok(()) }
    }

    fn sorted(mut self) -> Result<Sorted<N>, VerifyError> {
        if self.levels.is_empty() {
            self.buffer.par_sort_unstable();
            return Ok(Sorted::Memory(self.buffer.into_iter()));
        }
        if !self.buffer.is_empty() {
            self.spill()?;
        }
        let runs = self.levels.into_iter().flatten().collect();
        Ok(Sorted::Files(Merge::new(runs, self.temp)?))
    }
}

/// A sorted run in a file.
struct Run<const N: usize> {
    reader: BufReader<File>,
    left: u64,
}

impl<const N: usize> Run<N> {
    fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let mut record = [0; N];
        self.reader.read_exact(&mut record)?;
        self.left = left;
        Ok(Some(record))
    }
}

/// Sorted records.
pub(super) enum Sorted<const N: usize> {
    Memory(vec::IntoIter<[u8; N]>),
    Files(Merge<N>),
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = Result<[u8; N], VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(records) => records.next().map(Ok),
            Self::Files(merge) => merge.next(),
        }
    }
}

/// Merges runs.
pub(super) struct Merge<const N: usize> {
    temp: Arc<PathBuf>,
    runs: Vec<Run<N>>,
    /// The next record of each run that has one.
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Merge<N> {
    fn new(mut runs: Vec<Run<N>>, temp: Arc<PathBuf>) -> Result<Self, VerifyError> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (index, run) in runs.iter_mut().enumerate() {
            let head = run.next().map_err(|source| VerifyError::Sort { path: PathBuf::clone(&temp), source })?;
            heads.extend(head.map(|head| Reverse((head, index))));
        }
        Ok(Self { temp, runs, heads })
    }
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = Result<[u8; N], VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, index)) = self.heads.pop()?;
        match self.runs[index].next() {
            Ok(next) => {
                self.heads.extend(next.map(|next| Reverse((next, index))));
                Some(Ok(record))
            }
            Err(source) => Some(Err(VerifyError::Sort { path: PathBuf::clone(&self.temp), source })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(records: &[[u8; 3]], budget: usize) -> (Vec<[u8; 3]>, usize) {
        let folder = tempfile::tempdir().expect("a folder");
        let desk = Desk::new(folder.path().to_owned(), budget * SORTERS, None);
        let mut sorter = desk.sorter::<3>();
        let mut runs = 0;
        for record in records {
            sorter.push(*record).expect("there is space");
            runs = runs.max(sorter.levels.iter().map(Vec::len).sum());
            assert!(sorter.buffer.len() <= (budget / 3).max(1));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "runs have no names");
        (sorter.sorted().expect("files").map(|record| record.expect("a record")).collect(), runs)
    }

    #[test]
    fn every_size_around_powers_of_two_comes_back_sorted() {
        let sizes = (0..14).flat_map(|k| [(1usize << k) - 1, 1 << k, (1 << k) + 1]);
        for size in sizes.chain([FAN_IN * FAN_IN - 1, FAN_IN * FAN_IN, FAN_IN * FAN_IN + 1]) {
            let scrambled = |at: usize| (at.wrapping_mul(2_654_435_761) % 1009) as u32;
            let records: Vec<[u8; 3]> =
                (0..size).map(|at| scrambled(at).to_be_bytes()).map(|bytes| [bytes[1], bytes[2], bytes[3]]).collect();
            let mut expected = records.clone();
            expected.sort_unstable();
            // One record a run, and three.
            for budget in [0, 9] {
                let (found, runs) = sorted(&records, budget);
                assert!(found == expected, "{size} records");
                assert!(runs <= 3 * FAN_IN, "{runs} runs are open");
            }
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_named() {
        let desk = Desk::new("/nonexistent/folder".into(), 0, None);
        let error = desk.sorter::<3>().push([0; 3]).expect_err("no folder").to_string();
        assert!(error.contains("/nonexistent/folder") && error.contains("--temp"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_sorted_is_what_was_pushed(
            records in prop::collection::vec(any::<[u8; 3]>(), 0..300), budget in 0usize..200,
        ) {
            let mut expected = records.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(&records, budget).0, expected);
        }
    }
}
