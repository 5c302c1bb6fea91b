//! The sites' logs at headquarters: `received/site-<id>[.<n>]/` with the site's newest checkpoint, its tiles, and the newest
//! checkpoint that the witnesses cosigned.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use annona_protocol::{
    ids::ProgrammeId,
    log::{
        SignedNote, TilePath, TreeHash, VerifierKey,
        merkle::{empty_root, leaf_hash, verify_consistency},
        note::{KeyType, verify_checkpoint},
        tile::{self, TILE_WIDTH, TileKind},
    },
    programme::Header,
};

use super::{Package, PackageError, package::Proven};
use crate::{
    faults,
    publisher::{
        files::{self, FileError},
        owner::LogTerms,
        tree::{self, Hashes},
    },
    witness::WitnessClient,
};

/// Why a package is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// No package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Another programme's, or of a log that the manifest does not name.
    #[error(
        "the package is of another programme, or of a log that the manifest does not name. Check where it came from"
    )]
    Foreign,
    /// The site signed two logs.
    #[error("the package contradicts what this site sent before: its log was forked. Both are kept, in {}. Tell the auditors", kept.display())]
    Fork {
        /// Where the package is kept.
        kept: PathBuf,
    },
    /// Too many packages wait.
    #[error("too many packages of this log wait for what is before them. Bring those first")]
    TooEarly,
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process works on the folder.
    #[error("the received logs are in use by another process. Try again when it is done")]
    Locked,
    /// What is here already does not hold together.
    #[error("the received log in {} is damaged. Set the folder aside, and sync every site again", .0.display())]
    Damaged(PathBuf),
}

impl MirrorError {
    /// The stable code for problems.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Package(PackageError::Malformed(_)) => "package-malformed",
            Self::Package(PackageError::Checkpoint(_)) => "package-unsigned",
            Self::Package(PackageError::Entries) => "package-false",
            Self::Foreign => "package-foreign",
            Self::TooEarly => "package-early",
            Self::Fork { .. } => "package-fork",
            Self::File(_) => "file",
            Self::Locked => "received-locked",
            Self::Damaged(_) => "received-damaged",
        }
    }
}

/// What became of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Received {
    /// The folder of the log.
    pub log: String,
    /// How many entries of the log are here.
    pub size: u64,
    /// Whether the package waits for one before it.
    pub waits: bool,
    /// The log's own checkpoint of that size: what the site signed itself it believes.
    pub checkpoint: Option<String>,
    /// The newest checkpoint that enough witnesses cosigned.
    pub cosigned: Option<String>,
}

/// The most packages of a log that wait, and the most that are kept as evidence of a fork. Nobody needs a token to send one.
const MOST_KEPT: usize = 16;

/// The received logs of one programme.
#[derive(Debug)]
pub struct Mirror {
    folder: PathBuf,
    _lock: File,
}

/// A log that the manifest names.
struct Known {
    folder: String,
    key: VerifierKey,
}

/// Hashes of a received log, from its tiles.
struct Files<'a> {
    folder: &'a Path,
    size: u64,
}

impl Hashes for Files<'_> {
    type Error = MirrorError;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<TreeHash>, MirrorError> {
        let width = u64::from(TILE_WIDTH);
        let mut hashes = Vec::new();
        for index in from / width..(from + count).div_ceil(width) {
            let path = tile_path(TileKind::Hashes { level }, index, self.size >> (8 * u32::from(level)));
            let file = self.folder.join(path.to_string());
            let bytes = files::read(&file)?.ok_or_else(|| MirrorError::Damaged(self.folder.to_owned()))?;
            let tile = tile::decode_hashes(&bytes, path.width());
            let tile = tile.ok_or_else(|| MirrorError::Damaged(self.folder.to_owned()))?;
            let start = usize::try_from(from.saturating_sub(index * width)).unwrap_or(usize::MAX);
            let end = usize::try_from((from + count - index * width).min(width)).unwrap_or(usize::MAX);
            hashes.extend(tile.get(start..end).ok_or_else(|| MirrorError::Damaged(self.folder.to_owned()))?);
        }
        Ok(hashes)
    }
}

/// The tile of a level that has `size` hashes or entries.
fn tile_path(kind: TileKind, index: u64, size: u64) -> TilePath {
    let width = (size - index * u64::from(TILE_WIDTH)).min(TILE_WIDTH.into());
    let width = u16::try_from(width).expect("at most 256");
    TilePath::new(kind, index, width).expect("the index is below the size")
}

impl Mirror {
    /// Opens the folder; one process at a time.
    ///
    /// # Errors
    /// [`MirrorError::Locked`].
    pub fn open(folder: &Path) -> Result<Self, MirrorError> {
        let path = folder.join(".lock");
        let failed = |source| MirrorError::File(FileError::Io { path: path.clone(), source });
        std::fs::create_dir_all(folder).map_err(failed)?;
        let failed = |source| MirrorError::File(FileError::Io { path: path.clone(), source });
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(MirrorError::Locked),
            Err(TryLockError::Error(source)) => Err(MirrorError::File(FileError::Io { path, source })),
        }
    }

    /// How much of a log is here.
    ///
    /// # Errors
    /// [`MirrorError::Foreign`] for a log that the manifest does not name.
    pub fn state(&self, header: &Header, origin: &str) -> Result<Received, MirrorError> {
        let known = known(header, origin)?;
        let folder = self.folder.join(&known.folder);
        let head = head(&folder, &known.key)?;
        let size = head.as_ref().map_or(0, |head| head.size);
        let checkpoint = head.map(|head| head.note.to_string());
        let cosigned = files::read(&folder.join("cosigned"))?.and_then(|note| String::from_utf8(note).ok());
        Ok(Received { log: known.folder, size, waits: false, checkpoint, cosigned })
    }

    /// Takes a package in. Older is a no-op, a gap waits, a fork is kept aside with both its sides.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn receive(&self, programme: ProgrammeId, header: &Header, package: &Package) -> Result<Received, MirrorError> {
        if package.programme != programme {
            return Err(MirrorError::Foreign);
        }
        let known = known(header, &package.origin)?;
        let waits = self.apply(&known, package)?.is_none();
        if waits {
            self.keep_waiting(&known, package)?;
        } else {
            self.apply_waiting(&known)?;
        }
        Ok(Received { waits, ..self.state(header, &package.origin)? })
    }

    /// Keeps what came too early; it was proven, so nobody but the log's key fills the folder.
    fn keep_waiting(&self, known: &Known, package: &Package) -> Result<(), MirrorError> {
        let folder = self.waiting(known);
        let to = package.from + package.entries.len() as u64;
        let path = folder.join(format!("{:020}-{to:020}", package.from));
        let waiting = files::list(&folder)?;
        if waiting.len() >= MOST_KEPT && !waiting.contains(&path) {
            return Err(MirrorError::TooEarly);
        }
        files::replace(&path, &package.to_bytes())?;
        Ok(())
    }

    fn waiting(&self, known: &Known) -> PathBuf {
        self.folder.join(".waiting").join(&known.folder)
    }

    /// Packages that came too early, in order.
    fn apply_waiting(&self, known: &Known) -> Result<(), MirrorError> {
        for path in files::list(&self.waiting(known))? {
            let Some(bytes) = files::read(&path)? else { continue };
            // One that does not hold says so when it is sent again; it must not stop the others.
            let package = Package::from_bytes(&bytes).map_err(MirrorError::from);
            match package.and_then(|package| self.apply(known, &package)) {
                Ok(None) => return Ok(()),
                Ok(Some(_)) | Err(MirrorError::Fork { .. } | MirrorError::Package(_)) => files::remove(&path)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends what is new. None if something is missing before it.
    fn apply(&self, known: &Known, package: &Package) -> Result<Option<u64>, MirrorError> {
        let folder = self.folder.join(&known.folder);
        let Proven { to, root } = package.prove(&known.key)?;
        let (have, here) = head(&folder, &known.key)?.map_or((0, empty_root()), |head| (head.size, head.root));
        let files = Files { folder: &folder, size: have };
        // Tiles that were damaged here must not accuse a site.
        if tree::root(&files, have)? != here {
            return Err(MirrorError::Damaged(folder));
        }
        if to <= have {
            let own = tree::root(&files, to)?;
            if own == root {
                return Ok(Some(have));
            }
            let proof = tree::consistency(&files, to, have)?;
            let is_whole = verify_consistency(to, &own, have, &here, &proof).is_ok();
            return Err(if is_whole { self.fork(known, package)? } else { MirrorError::Damaged(folder) });
        }
        let Some(skip) = have.checked_sub(package.from) else { return Ok(None) };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(package.entries.len());
        // The log's key signed both roots: nobody else can make these differ.
        if package.frontier(skip)?.root() != here {
            return Err(self.fork(known, package)?);
        }
        append(&folder, have, &package.entries[skip..])?;
        faults::at("received");
        files::replace(&folder.join("checkpoint"), &package.checkpoint)?;
        Ok(Some(to))
    }

    /// Keeps a package that contradicts the log here, with the checkpoint that it contradicts.
    fn fork(&self, known: &Known, package: &Package) -> Result<MirrorError, MirrorError> {
        let folder = self.folder.join(".quarantine").join(&known.folder);
        let bytes = package.to_bytes();
        let kept = folder.join(&blake3::hash(&bytes).to_hex().as_str()[..16]);
        // Each is evidence enough: a key that was stolen must not fill the disk.
        if files::list(&folder)?.len() < 2 * MOST_KEPT {
            if let Some(own) = files::read(&self.folder.join(&known.folder).join("checkpoint"))? {
                files::replace(&kept.with_extension("checkpoint"), &own)?;
            }
            files::replace(&kept, &bytes)?;
        }
        Ok(MirrorError::Fork { kept })
    }

    /// Asks the witnesses to cosign a received log. Returns whether enough have.
    ///
    /// # Errors
    /// [`MirrorError`]; a witness that cannot be reached is none.
    pub fn cosign(&self, header: &Header, origin: &str, witnesses: &[WitnessClient]) -> Result<bool, MirrorError> {
        let known = known(header, origin)?;
        let folder = self.folder.join(&known.folder);
        let Some(Head { size, mut note, .. }) = head(&folder, &known.key)? else { return Ok(false) };
        let log = header.sites.iter().flat_map(|site| &site.logs).find(|log| log.name == origin);
        let terms = LogTerms::new(log.ok_or(MirrorError::Foreign)?, header).map_err(PackageError::Checkpoint)?;
        let path = folder.join("cosigned");
        let before = files::read(&path)?.and_then(|note| SignedNote::parse(&note).ok());
        let before = before.and_then(|note| note.text().parse::<annona_protocol::log::Checkpoint>().ok());
        let before = before.map_or(0, |checkpoint| checkpoint.size());
        if before == size {
            return Ok(true);
        }
        let files = Files { folder: &folder, size };
        let mut count = 0;
        for witness in witnesses.iter().filter(|witness| terms.witnesses.contains(witness.key())) {
            if let Ok(signature) =
                witness.cosign(&note, &known.key, before, |old| tree::consistency(&files, old, size).ok())
            {
                note = note.with_signature(signature);
                count += 1;
            }
            if count >= terms.threshold {
                files::replace(&path, note.to_string().as_bytes())?;
                return Ok(true);
            }
        }
        Ok(terms.threshold == 0)
    }
}

fn known(header: &Header, origin: &str) -> Result<Known, MirrorError> {
    let log = header.sites.iter().flat_map(|site| &site.logs).find(|log| log.name == origin);
    let log = log.ok_or(MirrorError::Foreign)?;
    let folder = crate::publisher::log_folder(header, origin).ok_or(MirrorError::Foreign)?;
    Ok(Known { folder, key: log.verifier(KeyType::Log).map_err(PackageError::Checkpoint)? })
}

/// The newest checkpoint of a received log.
struct Head {
    size: u64,
    root: TreeHash,
    note: SignedNote,
}

fn head(folder: &Path, key: &VerifierKey) -> Result<Option<Head>, MirrorError> {
    let Some(bytes) = files::read(&folder.join("checkpoint"))? else { return Ok(None) };
    let verified = verify_checkpoint(&bytes, key, &[], 0).map_err(|_| MirrorError::Damaged(folder.to_owned()))?;
    let (size, root) = (verified.checkpoint().size(), verified.checkpoint().root());
    Ok(Some(Head { size, root, note: verified.note().clone() }))
}

/// Writes the tiles of a log that grows. Run again after a crash it writes the same files.
fn append(folder: &Path, have: u64, new: &[Vec<u8>]) -> Result<(), MirrorError> {
    let damaged = || MirrorError::Damaged(folder.to_owned());
    let size = have + new.len() as u64;
    let width = u64::from(TILE_WIDTH);
    // The last bundle of what is here is rewritten under a wider name.
    let tail_from = have / width * width;
    let mut entries: Vec<Vec<u8>> = Vec::new();
    if tail_from < have {
        let path = tile_path(TileKind::Entries, have / width, have);
        let bytes = files::read(&folder.join(path.to_string()))?.ok_or_else(damaged)?;
        entries = tile::decode_bundle(&bytes, path.width()).ok_or_else(damaged)?;
        let hashes = Files { folder, size: have }.hashes(0, tail_from, have - tail_from)?;
        if !entries.iter().map(|entry| leaf_hash(entry)).eq(hashes) {
            return Err(damaged());
        }
    }
    entries.extend_from_slice(new);
    let mut level: Vec<TreeHash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let (mut from, mut total) = (tail_from, size);
    for (at, chunk) in (from / width..).zip(entries.chunks(TILE_WIDTH.into())) {
        let path = tile_path(TileKind::Entries, at, size);
        let content = tile::encode_bundle(chunk, at * width).map_err(|_| PackageError::Entries)?;
        files::write_once(&folder.join(path.to_string()), &content)?;
    }
    for number in 0..8u8 {
        for (at, chunk) in (from / width..).zip(level.chunks(TILE_WIDTH.into())) {
            let path = tile_path(TileKind::Hashes { level: number }, at, total);
            let content: Vec<u8> = chunk.iter().flat_map(|hash| hash.0).collect();
            files::write_once(&folder.join(path.to_string()), &content)?;
        }
        // The roots of the tiles that are full now, behind those of the level above that share its last tile.
        let full: Vec<TreeHash> =
            level.chunks_exact(TILE_WIDTH.into()).map(annona_protocol::log::merkle::root).collect();
        let above_from = from / width;
        total /= width;
        if full.is_empty() {
            return Ok(());
        }
        let start = above_from / width * width;
        level = if start < above_from {
            let path = tile_path(TileKind::Hashes { level: number + 1 }, start / width, above_from);
            let bytes = files::read(&folder.join(path.to_string()))?.ok_or_else(damaged)?;
            tile::decode_hashes(&bytes, path.width()).ok_or_else(damaged)?
        } else {
            Vec::new()
        };
        level.extend(full);
        from = start;
    }
    Ok(())
}
