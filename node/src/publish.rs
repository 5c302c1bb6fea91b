//! Logs in memory, and the folder of files that anyone may audit.
//!
//! ```text
//! logs/issuer/{checkpoint, tile/...}     logs/site-<id>/{checkpoint, tile/...}     C2SP tlog-tiles
//! keys.bin                               the key list
//! packs/round-<round>-site-<id>.bin      opening packs
//! ```

use std::{fs, io, path::Path};

use annona_protocol::{
    ids::Round,
    log::{
        Checkpoint, Frontier, MerkleError, NoteError, SignedNote, TileError, TreeHash, VerifierKey,
        leaf::{Leaf, close_batch},
        merkle::leaf_hash,
        note::{KeyType, cosign, sign_checkpoint, verify_checkpoint},
        tile::tiles_for,
    },
};
use ed25519_dalek::SigningKey;

/// Why a log cannot be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A checkpoint cannot be signed or cosigned.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// An entry is too long for a tile.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The log is full.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
}

/// An append-only log of encoded leaves.
#[derive(Debug, Default)]
pub struct Log {
    entries: Vec<Vec<u8>>,
    frontier: Frontier,
    batches: u32,
}

impl Log {
    /// Takes over the entries of a log that ends with `batches` closed batches.
    ///
    /// # Errors
    /// [`MerkleError::Full`].
    pub fn restore(entries: Vec<Vec<u8>>, batches: u32) -> Result<Self, MerkleError> {
        let mut log = Self { batches, ..Self::default() };
        entries.into_iter().try_for_each(|entry| log.push(entry))?;
        Ok(log)
    }

    /// Appends a control leaf.
    ///
    /// # Errors
    /// [`MerkleError::Full`].
    pub fn append<L: Leaf>(&mut self, leaf: &L) -> Result<(), MerkleError> {
        debug_assert!(leaf.is_control());
        self.push(leaf.encode())
    }

    /// Closes a batch of event leaves: sorted by hash, with its header behind it. Nothing happens for an empty batch.
    ///
    /// # Errors
    /// [`MerkleError::Full`].
    pub fn append_batch<L: Leaf>(&mut self, events: &[L], round: Round) -> Result<(), MerkleError> {
        if events.is_empty() {
            return Ok(());
        }
        self.batches += 1;
        close_batch(events, self.batches, round, self.size()).into_iter().try_for_each(|entry| self.push(entry))
    }

    fn push(&mut self, entry: Vec<u8>) -> Result<(), MerkleError> {
        self.frontier.append(leaf_hash(&entry))?;
        self.entries.push(entry);
        Ok(())
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    pub fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    /// The number of the batch that is open now.
    pub fn open_batch(&self) -> u32 {
        self.batches + 1
    }

    /// The encoded leaves.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// A checkpoint, signed by the log and cosigned by a witness.
    ///
    /// # Errors
    /// [`PublishError::Note`].
    pub fn checkpoint(&self, origin: &str, key: &SigningKey, witness: &Witness) -> Result<SignedNote, PublishError> {
        let note = sign_checkpoint(key, origin, &Checkpoint::new(origin, self.size(), self.root())?)?;
        let log_key = VerifierKey::new(origin, KeyType::Log, key.verifying_key())?;
        Ok(witness.cosign(note, &log_key)?)
    }

    /// Writes checkpoint and tiles below `folder`.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn write(&self, folder: &Path, checkpoint: &SignedNote) -> Result<(), PublishError> {
        for tile in tiles_for(&self.entries)? {
            write_file(&folder.join(tile.path.to_string()), &tile.content)?;
        }
        write_file(&folder.join("checkpoint"), checkpoint.to_string().as_bytes())
    }
}

/// Writes a file and the folders above it.
///
/// # Errors
/// [`PublishError::Write`] names the file.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), PublishError> {
    let named = |source| PublishError::Write { path: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(named)?;
    }
    fs::write(path, content).map_err(named)
}

/// Who cosigns checkpoints. Verifies the log's own signature only: a witness that also audits comes with the audit tool.
#[derive(Debug)]
pub struct Witness {
    name: String,
    key: SigningKey,
    /// Seconds since 1970, whole days: what cosignatures say.
    day: u64,
}

impl Witness {
    /// A witness whose cosignatures name the given day, in seconds since 1970.
    pub fn new(name: &str, key: SigningKey, day: u64) -> Self {
        Self { name: name.into(), key, day }
    }

    /// The name and key for the manifest.
    pub fn log_key(&self) -> annona_protocol::programme::LogKey {
        annona_protocol::programme::LogKey {
            name: self.name.clone(),
            key: annona_protocol::signature::PublicKey::of(&self.key),
        }
    }

    fn cosign(&self, note: SignedNote, log_key: &VerifierKey) -> Result<SignedNote, NoteError> {
        let verified = verify_checkpoint(note.to_string().as_bytes(), log_key, &[], 0)?;
        let signature = cosign(&self.key, &self.name, self.day, &verified)?;
        Ok(note.with_signature(signature))
    }
}
