//! Publishes the log of a store as static files, C2SP `tlog-tiles` (spec 8.2, 8.4-M7).
//!
//! ```text
//! rows entries -> row checkpoints (size, root) -> tiles -> cosignatures -> column note -> file `checkpoint`
//! ```
//!
//! Each arrow is durable before the next step, and each step can be run again: after a crash anywhere the next run ends where the
//! crashed one would have. Tiles and roots are functions of rows alone. A file that says something else than the rows, a second
//! root for a size, or a checkpoint beyond the store stop everything: they mean a copy of the store, or a tampered disk.

mod announce;
mod export;
pub mod files;
pub mod owner;
pub mod tree;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use annona_protocol::log::{
    Checkpoint, NoteError, SignedNote, TileError, TilePath, TreeHash,
    merkle::leaf_hash,
    note::{self, sign_checkpoint},
    tile::{self, TileKind},
};
pub(crate) use export::log_folder;
pub use export::{ExportError, export_issuer, export_site};
use files::FileError;
pub use owner::{LogOwner, LogTerms};
use rusqlite::{Connection, OptionalExtension as _, params};
use tree::{Hashes as _, Rows};

pub use self::announce::{AnnounceError, Announcer};
use crate::{
    faults,
    store::{LogState, Store, StoreError},
    witness::{WitnessClient, WitnessError},
};

/// Roots of tiles that one job of the store computes at most: requests wait no longer than that.
const FILL: u64 = 1024;

/// Why a log cannot be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file, or one that is there with other content.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log's name or key, or a cosignature.
    #[error("a checkpoint does not hold: {0}. Check that the key file is this log's, and the manifest")]
    Note(#[from] NoteError),
    /// An entry does not fit.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// A size would get a second root.
    #[error(
        "another root is already promised for size {size} of the log. Stop: this store is a copy or was changed. Keep it, restore the newest backup and run `recover`"
    )]
    SecondRoot {
        /// The size.
        size: u64,
    },
    /// The rows do not hash to what they say.
    #[error("the log's rows do not give its root at size {size}. Stop: restore a backup and run `recover`")]
    Rows {
        /// The size.
        size: u64,
    },
    /// A larger log was published or promised.
    #[error(
        "size {published} of the log was published, the store has only {size}: it is older. Restore the newest backup and run `recover`"
    )]
    Behind {
        /// The size of the store's log.
        size: u64,
        /// What was published.
        published: u64,
    },
    /// A witness remembers another log.
    #[error(transparent)]
    Witness(Box<WitnessError>),
    /// The published checkpoint is not this log's.
    #[error("{} is no checkpoint of this log: {source}. Keep it, tell the auditors, and publish into another folder", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoteError,
    },
}

impl From<rusqlite::Error> for PublishError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl PublishError {
    /// The stable code for problems.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::File(FileError::Differs { .. }) => "published-file-differs",
            Self::File(_) => "file",
            Self::Note(_) => "checkpoint",
            Self::Tile(_) => "tile",
            Self::SecondRoot { .. } => "second-root",
            Self::Rows { .. } => "log-damaged",
            Self::Behind { .. } => "log-behind",
            Self::Witness(_) => "log-behind",
            Self::Checkpoint { .. } => "checkpoint-foreign",
        }
    }

    /// Whether the same may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::File(FileError::Io { .. }) => true,
            _ => false,
        }
    }
}

/// What is published and what waits.
#[derive(Debug)]
pub struct Published {
    /// The size of the log; its tiles are published.
    pub size: u64,
    /// The size of the published checkpoint, cosigned by enough witnesses.
    pub cosigned: Option<u64>,
    /// How many witnesses cosigned the newest size, of those asked now.
    pub cosignatures: usize,
    /// How many have to.
    pub threshold: usize,
    /// Witnesses that did not cosign, and why.
    pub waiting: Vec<(String, WitnessError)>,
}

impl Published {
    /// Whether everything that the log has is published under a cosigned checkpoint.
    pub fn is_complete(&self) -> bool {
        self.cosigned == Some(self.size)
    }
}

/// Publishes one log below one folder. One at a time: the store's lock keeps other processes out, a mutex other threads.
#[derive(Debug)]
pub struct Publisher<S> {
    owner: Arc<S>,
    folder: PathBuf,
    gate: Mutex<()>,
}

impl<S: LogOwner> Publisher<S> {
    /// Nothing is written yet. `folder` gets `checkpoint` and `tile/`.
    pub fn new(owner: Arc<S>, folder: impl Into<PathBuf>) -> Self {
        Self { owner, folder: folder.into(), gate: Mutex::new(()) }
    }

    /// The folder: what `/log/` serves.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whose log it is.
    pub fn owner(&self) -> &Arc<S> {
        &self.owner
    }

    fn store(&self) -> &Store {
        self.owner.store()
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes all tiles of the log, asks the witnesses, and publishes the checkpoint if enough of them cosigned it. A witness
    /// that cannot be reached is no error: the checkpoint before stays. Blocks on the network: not for an async task.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish(&self, witnesses: &[WitnessClient]) -> Result<Published, PublishError> {
        let _gate = self.gate();
        let terms = self.owner.terms()?;
        let (size, root) = self.claim()?;
        faults::at("publish-row");
        let before = self.shown(&terms)?.map_or(0, |checkpoint| checkpoint.size());
        self.write_tiles(before, size)?;
        faults::at("publish-tiles");
        let mut outcome =
            Published { size, cosigned: None, cosignatures: 0, threshold: terms.threshold, waiting: vec![] };
        if self.stored_note(size)?.is_none() {
            let signed = self.sign(&terms, size, root)?;
            let (note, waiting) = self.ask(&terms, signed, size, witnesses)?;
            let count = note::verify_checkpoint(note.to_string().as_bytes(), &terms.log, &terms.witnesses, 0)?
                .cosignatures()
                .len();
            (outcome.cosignatures, outcome.waiting) = (count, waiting);
            if count >= terms.threshold {
                self.store_note(size, &note)?;
                faults::at("publish-note");
            }
        } else {
            outcome.cosignatures = terms.threshold;
        }
        outcome.cosigned = self.show(&terms)?;
        faults::at("publish-checkpoint");
        Ok(outcome)
    }

    /// Asks each witness whether it cosigned more of this log than the store has, or another log under its name: then the store is
    /// an older copy. Those that do not answer are passed over, and given back.
    ///
    /// # Errors
    /// [`PublishError::Witness`] with what one of them says.
    pub fn compare(&self, witnesses: &[WitnessClient]) -> Result<Vec<(String, WitnessError)>, PublishError> {
        let _gate = self.gate();
        let terms = self.owner.terms()?;
        let (size, root) = self.claim()?;
        let note = self.sign(&terms, size, root)?;
        let prove = |old| self.store().read(|connection| tree::consistency(&Rows(connection), old, size)).ok();
        let mut silent = Vec::new();
        for witness in witnesses {
            match witness.cosign(&note, &terms.log, size, prove) {
                Ok(_) => {}
                Err(error @ (WitnessError::Behind { .. } | WitnessError::Inconsistent { .. })) => {
                    return Err(PublishError::Witness(Box::new(error)));
                }
                Err(error) => silent.push((witness.key().name().to_owned(), error)),
            }
        }
        Ok(silent)
    }

    /// Takes over a checkpoint of this log that enough witnesses cosigned elsewhere, and publishes it.
    ///
    /// # Errors
    /// [`PublishError::Note`] if it is not this log's or has too few cosignatures, [`PublishError::Behind`] if it is larger than
    /// the log, [`PublishError::SecondRoot`] if it contradicts the log.
    pub fn accept(&self, note: &[u8]) -> Result<Option<u64>, PublishError> {
        let _gate = self.gate();
        let terms = self.owner.terms()?;
        let verified = note::verify_checkpoint(note, &terms.log, &terms.witnesses, terms.threshold)?;
        let (size, root) = (verified.checkpoint().size(), verified.checkpoint().root());
        let (now, _) = self.claim()?;
        if size > now {
            return Err(PublishError::Behind { size: now, published: size });
        }
        self.claim_at(size, Some(root))?;
        let before = self.shown(&terms)?.map_or(0, |checkpoint| checkpoint.size());
        self.write_tiles(before, size.max(before))?;
        if self.stored_note(size)?.is_none() {
            self.store_note(size, verified.note())?;
        }
        self.show(&terms)
    }

    /// The size of a checkpoint that this log's key signed, checked against the log. Nothing is published.
    ///
    /// # Errors
    /// As [`Publisher::accept`], whatever witnesses say.
    pub fn recognise(&self, note: &[u8]) -> Result<u64, PublishError> {
        let _gate = self.gate();
        let terms = self.owner.terms()?;
        let verified = note::verify_checkpoint(note, &terms.log, &[], 0)?;
        let (size, root) = (verified.checkpoint().size(), verified.checkpoint().root());
        let (now, _) = self.claim()?;
        if size > now {
            return Err(PublishError::Behind { size: now, published: size });
        }
        self.claim_at(size, Some(root))?;
        Ok(size)
    }

    /// The signed checkpoint of a size that the log has reached, with cosignatures if enough were collected. The size is promised
    /// durably before it is signed.
    ///
    /// # Errors
    /// [`PublishError::Behind`] for a size that the log has not reached.
    pub fn checkpoint_at(&self, size: u64) -> Result<SignedNote, PublishError> {
        let _gate = self.gate();
        let terms = self.owner.terms()?;
        let (now, _) = self.claim()?;
        if size > now {
            return Err(PublishError::Behind { size: now, published: size });
        }
        let root = self.claim_at(size, None)?;
        match self.stored_note(size)? {
            Some(note) => Ok(SignedNote::parse(&note)?),
            None => self.sign(&terms, size, root),
        }
    }

    /// The newest checkpoint that enough witnesses cosigned: size and note.
    ///
    /// # Errors
    /// [`PublishError::Store`].
    pub fn cosigned(&self) -> Result<Option<(u64, Vec<u8>)>, PublishError> {
        cosigned(self.store())
    }

    /// Computes all roots of tiles anew from the entries, and writes every file that is missing. Returns how many were.
    ///
    /// # Errors
    /// [`PublishError::Rows`] if an entry does not have the hash that stands beside it, [`FileError::Differs`] for a file that
    /// is not what the rows say.
    pub fn rebuild(&self) -> Result<u64, PublishError> {
        let _gate = self.gate();
        let terms = self.owner.terms()?;
        self.store().write(|connection| {
            connection.execute("DELETE FROM tile_roots", [])?;
            Ok::<_, PublishError>(())
        })??;
        let wrong = self.store().read(|connection| {
            let mut entries = connection.prepare("SELECT at, hash, entry FROM entries ORDER BY at")?;
            let mut rows = entries.query([])?;
            let mut next = 0;
            while let Some(row) = rows.next()? {
                let at: u64 = row.get(0)?;
                if at != next || TreeHash(row.get(1)?) != leaf_hash(row.get_ref(2)?.as_blob()?) {
                    return Ok(Some(next));
                }
                next += 1;
            }
            Ok(None)
        })?;
        if let Some(size) = wrong {
            return Err(PublishError::Rows { size });
        }
        let (size, _) = self.claim()?;
        self.shown(&terms)?;
        let written = self.write_tiles(0, size)?;
        self.show(&terms)?;
        Ok(written)
    }

    /// Promises the log's size and root, after checking that the rows give them and every promise before.
    fn claim(&self) -> Result<(u64, TreeHash), PublishError> {
        while !self.store().write(|connection| {
            let size = LogState::load(connection)?.frontier.size();
            Ok::<_, PublishError>(tree::fill(connection, size, FILL)?)
        })?? {}
        self.store().write(|connection| {
            let size = LogState::load(connection)?.frontier.size();
            // Leaves of the last moments may have filled a tile.
            while !tree::fill(connection, size, FILL)? {}
            let frontier = LogState::load(connection)?.frontier;
            if tree::frontier(&Rows(connection), size)? != frontier {
                return Err(PublishError::Rows { size });
            }
            let last: Option<(u64, [u8; 32])> = connection
                .prepare_cached("SELECT size, root FROM checkpoints ORDER BY size DESC LIMIT 1")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match last {
                Some((published, _)) if published > size => return Err(PublishError::Behind { size, published }),
                Some((before, root)) if tree::root(&Rows(connection), before)?.0 != root => {
                    return Err(PublishError::SecondRoot { size: before });
                }
                _ => {}
            }
            promise(connection, size, frontier.root())?;
            Ok((size, frontier.root()))
        })?
    }

    /// Promises the root of a size that the log has reached; `expected` is what someone else says it is.
    fn claim_at(&self, size: u64, expected: Option<TreeHash>) -> Result<TreeHash, PublishError> {
        self.store().write(move |connection| {
            let root = tree::root(&Rows(connection), size)?;
            if expected.is_some_and(|expected| expected != root) {
                return Err(PublishError::SecondRoot { size });
            }
            promise(connection, size, root)?;
            Ok(root)
        })?
    }

    fn sign(&self, terms: &LogTerms, size: u64, root: TreeHash) -> Result<SignedNote, PublishError> {
        let checkpoint = Checkpoint::new(terms.log.name(), size, root)?;
        let note = sign_checkpoint(self.owner.log_key(), terms.log.name(), &checkpoint)?;
        // The key at hand may not be the manifest's.
        let _verified = note::verify_checkpoint(note.to_string().as_bytes(), &terms.log, &[], 0)?;
        Ok(note)
    }

    /// Collects cosignatures of the manifest's witnesses until there are enough.
    fn ask(
        &self,
        terms: &LogTerms,
        mut note: SignedNote,
        size: u64,
        witnesses: &[WitnessClient],
    ) -> Result<(SignedNote, Vec<(String, WitnessError)>), PublishError> {
        let known = self.cosigned()?.map_or(0, |(size, _)| size);
        let (mut waiting, mut count) = (Vec::new(), 0);
        for witness in witnesses {
            if count >= terms.threshold {
                break;
            }
            if !terms.witnesses.contains(witness.key()) {
                waiting.push((witness.key().name().to_owned(), WitnessError::NotInManifest));
                continue;
            }
            let prove = |old| self.store().read(|connection| tree::consistency(&Rows(connection), old, size)).ok();
            match witness.cosign(&note, &terms.log, known, prove) {
                Ok(signature) => {
                    note = note.with_signature(signature);
                    count += 1;
                }
                Err(error) => waiting.push((witness.key().name().to_owned(), error)),
            }
        }
        Ok((note, waiting))
    }

    fn stored_note(&self, size: u64) -> Result<Option<Vec<u8>>, PublishError> {
        Ok(self.store().read(|connection| {
            connection
                .query_row("SELECT note FROM checkpoints WHERE size = ?1", [size], |row| row.get(0))
                .optional()
                .map(Option::flatten)
        })?)
    }

    fn store_note(&self, size: u64, note: &SignedNote) -> Result<(), PublishError> {
        let note = note.to_string().into_bytes();
        self.store().write(move |connection| {
            connection.execute("UPDATE checkpoints SET note = ?2 WHERE size = ?1", params![size, note])?;
            Ok::<_, PublishError>(())
        })?
    }

    fn write_tiles(&self, old: u64, new: u64) -> Result<u64, PublishError> {
        let mut written = 0;
        for path in tile::paths_between(old, new) {
            let content = self.store().read(|connection| tile_content(connection, path))??;
            written += u64::from(files::write_once(&self.folder.join(path.to_string()), &content)?);
            faults::at("publish-tile");
        }
        Ok(written)
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("checkpoint")
    }

    /// The published checkpoint, checked against the rows.
    fn shown(&self, terms: &LogTerms) -> Result<Option<Checkpoint>, PublishError> {
        let path = self.checkpoint_path();
        let Some(bytes) = files::read(&path)? else { return Ok(None) };
        let verified = note::verify_checkpoint(&bytes, &terms.log, &[], 0)
            .map_err(|source| PublishError::Checkpoint { path, source })?;
        let checkpoint = verified.checkpoint().clone();
        let size = self.store().read(|connection| Ok(LogState::load(connection)?.frontier.size()))?;
        if checkpoint.size() > size {
            return Err(PublishError::Behind { size, published: checkpoint.size() });
        }
        self.claim_at(checkpoint.size(), Some(checkpoint.root()))?;
        Ok(Some(checkpoint))
    }

    /// Publishes the newest cosigned checkpoint, unless it is there.
    fn show(&self, terms: &LogTerms) -> Result<Option<u64>, PublishError> {
        let shown = self.shown(terms)?.map(|checkpoint| checkpoint.size());
        match self.cosigned()? {
            Some((size, note)) if shown.is_none_or(|shown| shown < size) => {
                files::replace(&self.checkpoint_path(), &note)?;
                Ok(Some(size))
            }
            _ => Ok(shown),
        }
    }
}

/// Writes a promise down: this size has this root. One root for a size, for ever.
fn promise(connection: &Connection, size: u64, root: TreeHash) -> Result<(), PublishError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO checkpoints (size, root) VALUES (?1, ?2)")?
        .execute(params![size, root.0])?;
    let promised: [u8; 32] = connection
        .prepare_cached("SELECT root FROM checkpoints WHERE size = ?1")?
        .query_row([size], |row| row.get(0))?;
    if promised == root.0 { Ok(()) } else { Err(PublishError::SecondRoot { size }) }
}

fn cosigned(store: &Store) -> Result<Option<(u64, Vec<u8>)>, PublishError> {
    Ok(store.read(|connection| {
        connection
            .prepare_cached("SELECT size, note FROM checkpoints WHERE note IS NOT NULL ORDER BY size DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    })?)
}

/// What a file of the log holds, from rows.
fn tile_content(connection: &Connection, path: TilePath) -> rusqlite::Result<Result<Vec<u8>, TileError>> {
    let (from, count) = (path.index() * u64::from(tile::TILE_WIDTH), u64::from(path.width()));
    Ok(match path.kind() {
        TileKind::Hashes { level } => {
            Ok(Rows(connection).hashes(level, from, count)?.iter().flat_map(|hash| hash.0).collect())
        }
        TileKind::Entries => {
            let entries = entries(connection, from, from + count)?;
            tile::encode_bundle(&entries, from)
        }
    })
}

/// The entries of a range, all of them.
pub(crate) fn entries(connection: &Connection, from: u64, to: u64) -> rusqlite::Result<Vec<Vec<u8>>> {
    let entries = connection
        .prepare_cached("SELECT entry FROM entries WHERE at >= ?1 AND at < ?2 ORDER BY at")?
        .query_map([from, to], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
    if entries.len() as u64 == to - from { Ok(entries) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
}
