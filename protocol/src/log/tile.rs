//! A log as static files: C2SP `tlog-tiles` (<https://c2sp.org/tlog-tiles>).
//!
//! ```text
//! tile/<L>/<N>[.p/<W>]        W (or 256) hashes of 32 bytes: hash i of tile N at level L is
//!                             MTH(D[(256 N + i) 256^L : (256 N + i + 1) 256^L])
//! tile/entries/<N>[.p/<W>]    W (or 256) entries, each u16 big-endian length || bytes
//! ```
//!
//! `<N>` is written in groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`. A partial
//! tile (`.p/<W>`, W from 1 to 255) is only ever the last of its level and is not hashed into the level above.
//!
//! The layout and the contents are pure functions of the entries, so whoever has them can publish again, byte for byte.
//! Reading goes through a fetcher from path to bytes, and trusts nothing it returns.

use std::{fmt, ops::ControlFlow, str::FromStr};

use super::merkle::{self, TreeHash, leaf_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// The longest entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;
/// The highest level that a path can name.
pub const MAX_LEVEL: u8 = 63;

const WIDTH: usize = TILE_WIDTH as usize;

/// What a file of a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Entries.
    Entries,
    /// Hashes of the tree at a level: leaf hashes at level 0, roots of full tiles of the level below above it.
    Hashes {
        /// From 0 to [`MAX_LEVEL`].
        level: u8,
    },
}

/// The place of a tile or of an entry bundle. Shown and parsed as the path below the log's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// The path of tile `index` (from 0 at each level) with `width` hashes or entries (1 to 256; 256 is a full tile).
    ///
    /// # Errors
    /// [`TileError::Path`] if the width or the level is out of range.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, TileError> {
        let level = if let TileKind::Hashes { level } = kind { level } else { 0 };
        if !(1..=TILE_WIDTH).contains(&width) || level > MAX_LEVEL {
            return Err(TileError::Path);
        }
        Ok(Self { kind, index, width })
    }

    /// What the file holds.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// The number of the tile within its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The number of hashes or entries: 256 if full.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The path of the same tile once it is full.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
        }
        let digits = self.index.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        let (groups, last) = digits.split_at(digits.len() - 3);
        for start in (0..groups.len()).step_by(3) {
            write!(f, "x{}/", &groups[start..start + 3])?;
        }
        f.write_str(last)?;
        if self.width == TILE_WIDTH { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    /// Parses the one spelling of a path: a server that maps requests through it serves nothing else.
    fn from_str(text: &str) -> Result<Self, TileError> {
        let (kind, rest) = text.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(TileError::Path)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes { level: level.parse().map_err(|_| TileError::Path)? },
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().map_err(|_| TileError::Path)?),
            None => (rest, TILE_WIDTH),
        };
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let path = Self::new(kind, digits.parse().map_err(|_| TileError::Path)?, width)?;
        // Refuses every other spelling: missing groups, signs, leading zeros, a full tile written as partial.
        if path.to_string() == text { Ok(path) } else { Err(TileError::Path) }
    }
}

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Where it is served.
    pub path: TilePath,
    /// What is served: at most 8 KiB of hashes or 16 MiB of entries.
    pub content: Vec<u8>,
}

/// The files of a log of this size: its entry bundles, then its hash tiles from level 0 up.
pub fn paths(size: u64) -> impl Iterator<Item = TilePath> {
    paths_between(0, size)
}

/// The files that appear when a log grows: all that belong to `new_size` and not to `old_size`, in the order of
/// [`paths`]. Files never change their content; a partial tile is followed by a wider one under another path. Nothing
/// if the log does not grow.
pub fn paths_between(old_size: u64, new_size: u64) -> impl Iterator<Item = TilePath> {
    let hashes = (0..8).map(|level| TileKind::Hashes { level });
    std::iter::once(TileKind::Entries).chain(hashes).flat_map(move |kind| {
        let shift = if let TileKind::Hashes { level } = kind { 8 * u32::from(level) } else { 0 };
        let (old, new) = (old_size >> shift, new_size >> shift);
        let last = u16::from(new.to_le_bytes()[0]);
        let full = (old >> 8..new >> 8).map(move |index| TilePath { kind, index, width: TILE_WIDTH });
        let partial = (new > old && last > 0).then_some(TilePath { kind, index: new >> 8, width: last });
        full.chain(partial)
    })
}

/// All files of the log with these entries, in the order of [`paths`].
///
/// # Errors
/// [`TileError::EntryTooLong`].
pub fn tiles_for<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<Tile>, TileError> {
    tiles_between(entries, 0)
}

/// The files that appear when a log grows from its first `old_size` entries to all of these, in the order of
/// [`paths_between`].
///
/// # Errors
/// [`TileError::EntryTooLong`].
pub fn tiles_between<E: AsRef<[u8]>>(entries: &[E], old_size: u64) -> Result<Vec<Tile>, TileError> {
    let mut levels = vec![entries.iter().map(|entry| leaf_hash(entry.as_ref())).collect::<Vec<_>>()];
    while let Some(below) = levels.last().filter(|below| below.len() >= WIDTH) {
        levels.push(below.chunks_exact(WIDTH).map(merkle::root).collect());
    }
    let tile = |path: TilePath| {
        let start = usize::try_from(path.index).expect("a tile of entries in memory") * WIDTH;
        let range = start..start + usize::from(path.width);
        let content = match path.kind {
            TileKind::Entries => encode_bundle(&entries[range], path.index * u64::from(TILE_WIDTH))?,
            TileKind::Hashes { level } => levels[usize::from(level)][range].iter().flat_map(|hash| hash.0).collect(),
        };
        Ok(Tile { path, content })
    };
    paths_between(old_size, entries.len() as u64).map(tile).collect()
}

/// An entry bundle: each entry behind its big-endian `u16` length. `first` is the log index of the first entry, for
/// errors.
///
/// # Errors
/// [`TileError::EntryTooLong`].
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E], first: u64) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for (index, entry) in (first..).zip(entries) {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong { index, length: entry.len() })?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// The entries of a bundle, or `None` if it is not a sequence of exactly `width` entries.
pub fn decode_bundle(mut bytes: &[u8], width: u16) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    for _ in 0..width {
        let (length, rest) = bytes.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry.to_vec());
        bytes = rest;
    }
    bytes.is_empty().then_some(entries)
}

/// The hashes of a tile, or `None` if it is not exactly `width` hashes.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Option<Vec<TreeHash>> {
    let (hashes, rest) = bytes.as_chunks();
    (rest.is_empty() && hashes.len() == usize::from(width)).then(|| hashes.iter().copied().map(TreeHash).collect())
}

/// A log read back in full, each of its files checked against its entries.
#[must_use = "compare the root with that of a verified checkpoint"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogContents {
    /// The entries, in the log's order.
    pub entries: Vec<Vec<u8>>,
    /// Their leaf hashes, for proofs.
    pub leaves: Vec<TreeHash>,
    /// The root they hash to. The caller compares it with that of a verified checkpoint.
    pub root: TreeHash,
}

/// Reads a log of this size through a fetcher and checks every file of it.
///
/// A partial tile that is gone is read from the full one, as the log may have grown since. Take the size from a
/// verified checkpoint: reading stops at the first fault, but goes on for as long as the fetcher serves.
///
/// # Errors
/// The first fault: [`TileError::Missing`], [`TileError::Malformed`] or [`TileError::Mismatch`], with the path.
pub fn read_log<F: Fn(&str) -> Option<Vec<u8>>>(fetch: F, size: u64) -> Result<LogContents, TileError> {
    let (leaves, entries) = match walk(fetch, size, ControlFlow::Break) {
        ControlFlow::Continue(contents) => contents,
        ControlFlow::Break(fault) => return Err(fault),
    };
    let root = merkle::root(&leaves);
    Ok(LogContents { entries, leaves, root })
}

/// Reads the entries of a log of this size, and no hash tile: what an auditor needs, who hashes the entries anyway.
///
/// # Errors
/// The first fault: [`TileError::Missing`] or [`TileError::Malformed`], with the path.
pub fn read_entries<F: Fn(&str) -> Option<Vec<u8>>>(fetch: F, size: u64) -> Result<LogContents, TileError> {
    let mut entries = Vec::new();
    for path in paths(size).take_while(|path| path.kind == TileKind::Entries) {
        entries.extend(read(&fetch, path, decode_bundle)?);
    }
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let root = merkle::root(&leaves);
    Ok(LogContents { entries, leaves, root })
}

/// Checks every file of a log of this size, and lists what is wrong, up to `limit` faults (at least one). An empty list
/// means that [`read_log`] succeeds.
///
/// A bad file does not hide the others: where entries are missing, higher tiles are checked against what level 0 says.
pub fn fsck<F: Fn(&str) -> Option<Vec<u8>>>(fetch: F, size: u64, limit: usize) -> Vec<TileError> {
    let mut faults = Vec::new();
    let _stopped = walk(fetch, size, |fault| {
        faults.push(fault);
        if faults.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    faults
}

/// Leaf hashes and entries.
type Walked = (Vec<TreeHash>, Vec<Vec<u8>>);

/// Reads bundles, then tiles level by level, and reports faults. The contents are complete if there was none.
fn walk<F, R, B>(fetch: F, size: u64, mut report: R) -> ControlFlow<B, Walked>
where
    F: Fn(&str) -> Option<Vec<u8>>,
    R: FnMut(TileError) -> ControlFlow<B>,
{
    let (mut leaves, mut entries) = (Vec::new(), Vec::new());
    // What the hashes of the current level must be, where known, and of the next.
    let (mut expected, mut above) = (Vec::new(), Vec::new());
    let mut current = 0;
    for path in paths(size) {
        let TileKind::Hashes { level } = path.kind else {
            match read(&fetch, path, decode_bundle) {
                Ok(bundle) => {
                    leaves.extend(bundle.iter().map(|entry| leaf_hash(entry)));
                    expected.extend(leaves[leaves.len() - bundle.len()..].iter().copied().map(Some));
                    entries.extend(bundle);
                }
                Err(fault) => {
                    expected.extend(std::iter::repeat_n(None, usize::from(path.width)));
                    report(fault)?;
                }
            }
            continue;
        };
        if level != current {
            (expected, current) = (std::mem::take(&mut above), level);
        }
        let start = usize::try_from(path.index).expect("as many hashes are in memory") * WIDTH;
        let known = &expected[start..start + usize::from(path.width)];
        let stated = match read(&fetch, path, decode_hashes) {
            Ok(stated) => Some(stated),
            Err(fault) => {
                report(fault)?;
                None
            }
        };
        if stated.iter().flatten().zip(known).any(|(stated, known)| known.is_some_and(|known| known != *stated)) {
            report(TileError::Mismatch { path })?;
        }
        if path.width == TILE_WIDTH {
            let hashes = known.iter().copied().collect::<Option<Vec<_>>>().or(stated);
            above.push(hashes.map(|hashes| merkle::root(&hashes)));
        }
    }
    ControlFlow::Continue((leaves, entries))
}

/// Fetches and decodes one file; a partial one that is gone, from the full one.
fn read<F, T>(fetch: F, path: TilePath, decode: fn(&[u8], u16) -> Option<Vec<T>>) -> Result<Vec<T>, TileError>
where
    F: Fn(&str) -> Option<Vec<u8>>,
{
    let (found, content) = match fetch(&path.to_string()) {
        Some(content) => (path, content),
        None if path.width == TILE_WIDTH => return Err(TileError::Missing { path }),
        None => (path.full(), fetch(&path.full().to_string()).ok_or(TileError::Missing { path })?),
    };
    let mut items = decode(&content, found.width).ok_or(TileError::Malformed { path: found })?;
    items.truncate(usize::from(path.width));
    Ok(items)
}

/// Why entries cannot be laid out, or what is wrong with files read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// An entry does not fit a bundle.
    #[error("entry {index} has {length} bytes, above {MAX_ENTRY_BYTES}")]
    EntryTooLong {
        /// The entry's index in the log.
        index: u64,
        /// Its length in bytes.
        length: usize,
    },
    /// Not a path of a tile or of an entry bundle.
    #[error("not a path of a tile")]
    Path,
    /// The file cannot be fetched.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: TilePath,
    },
    /// The file is not as many hashes or entries as its path says.
    #[error("{path} is malformed")]
    Malformed {
        /// The file, the full one if that was read for want of the partial one.
        path: TilePath,
    },
    /// The hashes are not those of the files below. At level 0 the entry bundle of the same index may be the wrong one
    /// of the two; the root of a verified checkpoint tells.
    #[error("{path} does not match the files below it")]
    Mismatch {
        /// The hash tile.
        path: TilePath,
    },
}

#[cfg(test)]
mod tests;
