//! A log in a folder, read bundle by bundle.

use std::{
    borrow::Cow,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use annona_protocol::{
    audit::{Entries, PublishedLog},
    log::{
        merkle::{self, TreeHash},
        tile::{TILE_WIDTH, TileError, TileKind, TilePath, decode_bundle, decode_hashes},
    },
};

use super::VerifyError;
use crate::{
    load::{self, LoadError},
    mirror::MAX_BUNDLE,
};

const WIDTH: u64 = TILE_WIDTH as u64;

/// A log as tiles, of which none is kept in memory.
pub(super) struct TiledLog {
    /// The published folder.
    folder: PathBuf,
    /// The log's folder below it.
    log: String,
    size: u64,
    /// The checkpoint's root: not verified yet.
    root: TreeHash,
    tiles: Mutex<Tiles>,
}

/// The published hash tiles, held against the hashes of the entries as these come.
#[derive(Default)]
struct Tiles {
    /// The hashes of each level's last tile, and the tiles before it.
    levels: Vec<(u64, Vec<TreeHash>)>,
    /// The first tile that is bad.
    fault: Option<LoadError>,
}

impl TiledLog {
    /// Opens a log's folder below a published one.
    pub(super) fn open(folder: &Path, log: &str) -> Result<PublishedLog<Self>, LoadError> {
        let (checkpoint, parsed) = load::checkpoint(folder, log)?;
        let (size, root) = (parsed.size(), parsed.root());
        let entries = Self { folder: folder.to_owned(), log: log.to_owned(), size, root, tiles: Mutex::default() };
        Ok(PublishedLog { name: parsed.origin().to_owned(), checkpoint, entries })
    }

    fn failed(&self, source: TileError) -> LoadError {
        LoadError::Tile { path: self.folder.join(&self.log), source }
    }

    /// Reads one file; a partial one that is gone, from the full one.
    fn items<T>(
        &self,
        kind: TileKind,
        index: u64,
        width: usize,
        decode: fn(&[u8], u16) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, LoadError> {
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        let path = TilePath::new(kind, index, width).map_err(|source| self.failed(source))?;
        let (found, content) = match (self.fetch(path)?, path.full()) {
            (Some(content), _) => (path, content),
            (None, full) => (full, self.fetch(full)?.ok_or_else(|| self.failed(TileError::Missing { path }))?),
        };
        let malformed = || self.failed(TileError::Malformed { path: found });
        let mut items = decode(&content, found.width()).ok_or_else(malformed)?;
        items.truncate(usize::from(width));
        Ok(items)
    }

    fn fetch(&self, path: TilePath) -> Result<Option<Vec<u8>>, LoadError> {
        load::find(&self.folder, &format!("{}/{path}", self.log), MAX_BUNDLE)
    }

    /// Takes the next hash of a level; a tile that is full is compared and hashed into the level above.
    fn take(&self, tiles: &mut Tiles, hash: TreeHash) {
        let (mut level, mut hash) = (0, Some(hash));
        while let Some(next) = hash.take() {
            if tiles.levels.len() == level {
                tiles.levels.push((0, Vec::with_capacity(usize::from(TILE_WIDTH))));
            }
            let (index, hashes) = &mut tiles.levels[level];
            hashes.push(next);
            if hashes.len() == usize::from(TILE_WIDTH) {
                hash = Some(merkle::root(hashes));
                let compared = self.compare(level, *index, hashes);
                (*index, *hashes) = (*index + 1, Vec::with_capacity(usize::from(TILE_WIDTH)));
                tiles.fault = tiles.fault.take().or(compared.err());
                level += 1;
            }
        }
    }

    fn compare(&self, level: usize, index: u64, hashes: &[TreeHash]) -> Result<(), LoadError> {
        let kind = TileKind::Hashes { level: u8::try_from(level).unwrap_or(u8::MAX) };
        if self.items(kind, index, hashes.len(), decode_hashes)? == hashes {
            return Ok(());
        }
        let width = u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH);
        let path = TilePath::new(kind, index, width).map_err(|source| self.failed(source))?;
        Err(self.failed(TileError::Mismatch { path }))
    }
}

impl Entries for TiledLog {
    type Error = VerifyError;

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [Vec<u8>]>, VerifyError> {
        let mut entries = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (bundle, offset) = (at / WIDTH, (at % WIDTH) as usize);
            let width = WIDTH.min(self.size - bundle * WIDTH) as usize;
            let items = self.items(TileKind::Entries, bundle, width, decode_bundle)?;
            let wanted = (width - offset).min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
            entries.extend(items.into_iter().skip(offset).take(wanted));
            at += wanted as u64;
        }
        Ok(Cow::Owned(entries))
    }

    fn hashed(&self, hashes: &[TreeHash]) -> Result<(), VerifyError> {
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.iter().for_each(|hash| self.take(&mut tiles, *hash));
        Ok(())
    }

    fn ended(&self, root: &TreeHash) -> Result<(), VerifyError> {
        let mut tiles = std::mem::take(&mut *self.tiles.lock().unwrap_or_else(PoisonError::into_inner));
        for (level, (index, hashes)) in tiles.levels.iter().enumerate().filter(|(_, (_, hashes))| !hashes.is_empty()) {
            tiles.fault = tiles.fault.take().or(self.compare(level, *index, hashes).err());
        }
        match tiles.fault {
            // The entries were changed, which the audit finds.
            Some(LoadError::Tile { source: TileError::Mismatch { .. }, .. }) if *root != self.root => Ok(()),
            Some(fault) => Err(fault.into()),
            None => Ok(()),
        }
    }
}
