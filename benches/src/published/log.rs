//! A log that is written to disk as it grows: in memory are one bundle, one unfinished tile a level, and the frontier.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use annona_protocol::log::{
    merkle::{Frontier, TreeHash, leaf_hash, root},
    note::{self, Checkpoint, KeyType, VerifierKey},
    tile::{TILE_WIDTH, TileKind, TilePath, encode_bundle},
};
use ed25519_dalek::SigningKey;

const WIDTH: usize = TILE_WIDTH as usize;

/// The writer of one log's folder.
#[derive(Debug)]
pub struct LogWriter {
    folder: PathBuf,
    name: String,
    key: SigningKey,
    frontier: Frontier,
    bundle: Vec<Vec<u8>>,
    /// Hashes of the unfinished tile of each level, and how many tiles of the level are finished.
    levels: Vec<(Vec<TreeHash>, u64)>,
    batches: u32,
}

impl LogWriter {
    /// An empty log of this origin.
    pub fn new(folder: PathBuf, name: &str, key: &SigningKey) -> Self {
        Self {
            folder,
            name: name.into(),
            key: key.clone(),
            frontier: Frontier::new(),
            bundle: Vec::new(),
            levels: Vec::new(),
            batches: 0,
        }
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Their root.
    pub fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    /// The number of the batch that is to be closed next.
    pub fn next_batch(&mut self) -> u32 {
        self.batches += 1;
        self.batches
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn append(&mut self, entry: Vec<u8>) -> io::Result<()> {
        let hash = leaf_hash(&entry);
        self.frontier.append(hash).map_err(io::Error::other)?;
        self.bundle.push(entry);
        if self.bundle.len() == WIDTH {
            self.write_bundle()?;
        }
        self.push(0, hash)
    }

    fn write_bundle(&mut self) -> io::Result<()> {
        let entries = std::mem::take(&mut self.bundle);
        let first = self.size() - entries.len() as u64;
        let bytes = encode_bundle(&entries, first).map_err(io::Error::other)?;
        self.write(TileKind::Entries, first >> 8, entries.len(), &bytes)
    }

    fn push(&mut self, level: usize, hash: TreeHash) -> io::Result<()> {
        if self.levels.len() == level {
            self.levels.push((Vec::new(), 0));
        }
        self.levels[level].0.push(hash);
        if self.levels[level].0.len() == WIDTH {
            let tile = self.write_tile(level)?;
            self.push(level + 1, root(&tile))?;
        }
        Ok(())
    }

    fn write_tile(&mut self, level: usize) -> io::Result<Vec<TreeHash>> {
        let (tile, finished) = &mut self.levels[level];
        let (tile, index) = (std::mem::take(tile), *finished);
        *finished += 1;
        let bytes: Vec<u8> = tile.iter().flat_map(|hash| hash.0).collect();
        let kind = TileKind::Hashes { level: u8::try_from(level).map_err(io::Error::other)? };
        self.write(kind, index, tile.len(), &bytes)?;
        Ok(tile)
    }

    fn write(&self, kind: TileKind, index: u64, width: usize, bytes: &[u8]) -> io::Result<()> {
        let width = u16::try_from(width).map_err(io::Error::other)?;
        let path = TilePath::new(kind, index, width).map_err(io::Error::other)?;
        write(&self.folder.join(path.to_string()), bytes)
    }

    /// Writes what is unfinished, and the checkpoint, cosigned by a witness of this name and key.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self, witness: (&str, &SigningKey)) -> io::Result<()> {
        if !self.bundle.is_empty() {
            self.write_bundle()?;
        }
        for level in 0..self.levels.len() {
            if !self.levels[level].0.is_empty() {
                self.write_tile(level)?;
            }
        }
        let checkpoint = Checkpoint::new(&self.name, self.size(), self.root()).map_err(io::Error::other)?;
        let signed = note::sign_checkpoint(&self.key, &self.name, &checkpoint).map_err(io::Error::other)?;
        let key = VerifierKey::new(&self.name, KeyType::Log, self.key.verifying_key()).map_err(io::Error::other)?;
        let verified =
            note::verify_checkpoint(signed.to_string().as_bytes(), &key, &[], 0).map_err(io::Error::other)?;
        let line = note::cosign(witness.1, witness.0, 1, &verified).map_err(io::Error::other)?;
        write(&self.folder.join("checkpoint"), signed.with_signature(line).to_string().as_bytes())
    }
}

/// Writes a file, and the folders above it.
///
/// # Errors
/// Those of the disk.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use annona_protocol::log::tile::{paths, tiles_for};

    /// Byte for byte what the library makes of the same entries, at sizes on either side of a tile's edge.
    #[test]
    fn streamed_files_are_the_librarys() {
        let key = SigningKey::from_bytes(&[1; 32]);
        for size in [0usize, 1, 255, 256, 257, 65_536, 65_537, 66_000] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut log = LogWriter::new(folder.path().into(), "example/log", &key);
            let entries: Vec<Vec<u8>> = (0..size).map(|at| at.to_be_bytes().to_vec()).collect();
            entries.iter().for_each(|entry| log.append(entry.clone()).expect("a writable folder"));
            log.finish(("witness.example", &SigningKey::from_bytes(&[2; 32]))).expect("a writable folder");
            let tiles = tiles_for(&entries).expect("short entries");
            for tile in &tiles {
                assert_eq!(fs::read(folder.path().join(tile.path.to_string())).expect("written"), tile.content);
            }
            assert_eq!(tiles.len(), paths(size as u64).count());
        }
    }
}
