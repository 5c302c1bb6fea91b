//! The sites' logs at headquarters: `received/site-<id>[.<n>]/` with the site's newest checkpoint, its tiles, and the newest
//! checkpoint that the witnesses cosigned.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use annona_protocol::{
    ids::ProgrammeId,
    log::{
        NoteError, SignedNote, TilePath, TreeHash, VerifierKey,
        merkle::leaf_hash,
        note::{KeyType, verify_checkpoint},
        tile::{self, TILE_WIDTH, TileKind},
    },
    programme::Header,
};

use super::{Package, PackageError};
use crate::{
    publisher::{
        files::{self, FileError},
        owner::{LogTerms, verifier_key},
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
    /// The checkpoint is not the log's.
    #[error("the package is not signed by its site's log: {0}. Make it again at the site")]
    Checkpoint(#[source] NoteError),
    /// The entries do not have the checkpoint's root.
    #[error("the package's entries are not what its checkpoint signs. Make it again at the site")]
    Entries,
    /// The site signed two logs.
    #[error("the package contradicts what this site sent before: its log was forked. Both are kept, in {}. Tell the auditors", kept.display())]
    Fork {
        /// Where the package is kept.
        kept: PathBuf,
    },
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
            Self::Package(_) => "package-malformed",
            Self::Foreign => "package-foreign",
            Self::Checkpoint(_) => "package-unsigned",
            Self::Entries => "package-false",
            Self::Fork { .. } => "package-fork",
            Self::File(_) => "file",
            Self::Locked => "received-locked",
            Self::Damaged(_) => "received-damaged",
        }
    }
}

/// What became of a package.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Received {
    /// The folder of the log.
    pub log: String,
    /// How many entries of the log are here.
    pub size: u64,
    /// Whether the package waits for one before it.
    pub waits: bool,
    /// The newest checkpoint that enough witnesses cosigned.
    pub cosigned: Option<String>,
}

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
        let size = head(&folder, &known.key)?.map_or(0, |(size, _)| size);
        let cosigned = files::read(&folder.join("cosigned"))?.and_then(|note| String::from_utf8(note).ok());
        Ok(Received { log: known.folder, size, waits: false, cosigned })
    }

    /// Takes a package in. Older is a no-op, a gap waits, a fork is kept aside with both its sides.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn receive(&self, programme: ProgrammeId, header: &Header, bytes: &[u8]) -> Result<Received, MirrorError> {
        let package = Package::from_bytes(bytes)?;
        if package.programme != programme {
            return Err(MirrorError::Foreign);
        }
        let known = known(header, &package.origin)?;
        let size = self.apply(&known, &package, bytes)?;
        let waits = size.is_none();
        if waits {
            let path = self.waiting(&known).join(format!("{:020}", package.from));
            files::replace(&path, bytes)?;
        } else {
            self.apply_waiting(&known)?;
        }
        Ok(Received { waits, ..self.state(header, &package.origin)? })
    }

    fn waiting(&self, known: &Known) -> PathBuf {
        self.folder.join(".waiting").join(&known.folder)
    }

    /// Packages that came too early, in order.
    fn apply_waiting(&self, known: &Known) -> Result<(), MirrorError> {
        for path in files::list(&self.waiting(known))? {
            let Some(bytes) = files::read(&path)? else { continue };
            // One that does not hold says so when it is sent again; it must not stop the others.
            let done = Package::from_bytes(&bytes).map_err(MirrorError::from);
            match done.and_then(|package| self.apply(known, &package, &bytes)) {
                Ok(None) => return Ok(()),
                Ok(Some(_)) | Err(MirrorError::Fork { .. } | MirrorError::Entries | MirrorError::Package(_)) => {
                    files::remove(&path)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends what is new. None if something is missing before it.
    fn apply(&self, known: &Known, package: &Package, bytes: &[u8]) -> Result<Option<u64>, MirrorError> {
        let folder = self.folder.join(&known.folder);
        let verified = verify_checkpoint(&package.checkpoint, &known.key, &[], 0).map_err(MirrorError::Checkpoint)?;
        let (to, root) = (verified.checkpoint().size(), verified.checkpoint().root());
        if package.from.checked_add(package.entries.len() as u64) != Some(to) {
            return Err(MirrorError::Entries);
        }
        let have = head(&folder, &known.key)?.map_or(0, |(size, _)| size);
        let files = Files { folder: &folder, size: have };
        if to <= have {
            return if tree::root(&files, to)? == root { Ok(Some(have)) } else { Err(self.fork(known, bytes)?) };
        }
        if package.from > have {
            return Ok(None);
        }
        let skip = usize::try_from(have - package.from).unwrap_or(usize::MAX);
        let new = &package.entries[skip..];
        let mut frontier = tree::frontier(&files, have)?;
        for entry in new {
            frontier.append(leaf_hash(entry)).map_err(|_| MirrorError::Entries)?;
        }
        if frontier.root() != root {
            // Either the package is false, or the site signed two logs: its own prefix says which.
            let own: Option<TreeHash> = (package.from == 0).then(|| {
                package.entries.iter().map(|entry| leaf_hash(entry)).collect::<annona_protocol::log::Frontier>().root()
            });
            let is_fork = match own {
                Some(own) => own == root,
                None => {
                    package.entries[..skip].iter().zip(package.from..).any(|(entry, at)| {
                        tree::Hashes::hashes(&files, 0, at, 1).is_ok_and(|known| known != [leaf_hash(entry)])
                    }) || skip == 0
                }
            };
            return Err(if is_fork { self.fork(known, bytes)? } else { MirrorError::Entries });
        }
        append(&folder, have, new)?;
        files::replace(&folder.join("checkpoint"), &package.checkpoint)?;
        Ok(Some(to))
    }

    fn fork(&self, known: &Known, bytes: &[u8]) -> Result<MirrorError, MirrorError> {
        let name = blake3::hash(bytes).to_hex();
        let kept = self.folder.join(".quarantine").join(&known.folder).join(&name.as_str()[..16]);
        files::replace(&kept, bytes)?;
        Ok(MirrorError::Fork { kept })
    }

    /// Asks the witnesses to cosign a received log. Returns whether enough have.
    ///
    /// # Errors
    /// [`MirrorError`]; a witness that cannot be reached is none.
    pub fn cosign(&self, header: &Header, origin: &str, witnesses: &[WitnessClient]) -> Result<bool, MirrorError> {
        let known = known(header, origin)?;
        let folder = self.folder.join(&known.folder);
        let Some((size, mut note)) = head(&folder, &known.key)? else { return Ok(false) };
        let log = header.sites.iter().flat_map(|site| &site.logs).find(|log| log.name == origin);
        let terms = LogTerms::new(log.ok_or(MirrorError::Foreign)?, header).map_err(MirrorError::Checkpoint)?;
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
    Ok(Known { folder, key: verifier_key(log, KeyType::Log).map_err(MirrorError::Checkpoint)? })
}

/// Size and note of the newest checkpoint of a received log.
fn head(folder: &Path, key: &VerifierKey) -> Result<Option<(u64, SignedNote)>, MirrorError> {
    let Some(bytes) = files::read(&folder.join("checkpoint"))? else { return Ok(None) };
    let verified = verify_checkpoint(&bytes, key, &[], 0).map_err(|_| MirrorError::Damaged(folder.to_owned()))?;
    Ok(Some((verified.checkpoint().size(), verified.note().clone())))
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
    }
    entries.extend_from_slice(new);
    let mut level: Vec<TreeHash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let (mut from, mut total) = (tail_from, size);
    for (at, chunk) in (from / width..).zip(entries.chunks(TILE_WIDTH.into())) {
        let path = tile_path(TileKind::Entries, at, size);
        let content = tile::encode_bundle(chunk, at * width).map_err(|_| MirrorError::Entries)?;
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
