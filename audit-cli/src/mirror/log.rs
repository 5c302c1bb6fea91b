//! One log of a mirror: grows it from a source, and never lets it go back, fork or change.
//!
//! Bundles are staged, hashed behind what is here, and only put in place once they lead to the signed root; the checkpoint comes
//! last. Hash tiles are made here, from the entries.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use annona_protocol::{
    log::{
        Checkpoint, SignedNote, TilePath, TreeHash,
        merkle::{self, leaf_hash},
        note::MAX_NOTE_BYTES,
        tile::{TILE_WIDTH, TileKind, decode_bundle, decode_hashes, encode_bundle, paths, paths_between},
    },
    programme::Header,
};

use super::{
    FaultKind, MirrorError, Options,
    files::{self, FileError, at},
    source::{MAX_BUNDLE, Source, SourceError},
};
use crate::{
    chain::{Chain, NamedLog},
    evidence::SplitView,
};

const WIDTH: u64 = TILE_WIDTH as u64;
const MAX_TILE: usize = 256 * 32;

/// What a mirror holds of a log.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: String,
    pub(crate) leaves: Vec<TreeHash>,
}

/// What came of a source's checkpoint.
#[derive(Debug)]
pub(crate) enum Step {
    /// The tree is here.
    Held {
        /// How many leaves were here before.
        before: u64,
    },
    /// A folder with an older state: nothing to take.
    Older,
    /// The log, or whoever serves it, is at fault; the files here are untouched.
    Fault(Accusation),
}

/// What a log did, before it is written down.
#[derive(Debug)]
pub(crate) struct Accusation {
    pub(crate) kind: FaultKind,
    pub(crate) path: Option<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) offered: Option<Vec<u8>>,
    pub(crate) proof: Option<Box<SplitView>>,
}

impl Accusation {
    fn new(kind: FaultKind, notes: &[&str]) -> Self {
        let notes = notes.iter().map(|note| (*note).to_owned()).collect();
        Self { kind, path: None, notes, offered: None, proof: None }
    }
}

/// A log of a mirror and where its files go.
pub(crate) struct LogCopy<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) log: &'a NamedLog,
    pub(crate) folder: PathBuf,
    pub(crate) stage: PathBuf,
    pub(crate) options: &'a Options,
    pub(crate) stop: &'a AtomicBool,
}

/// Reads what a folder holds of a log: the note, if the log signed it, and the leaf hashes of its level-0 tiles, if they lead to the
/// note's root. None if there is no checkpoint.
pub(crate) fn held(chain: &Chain, log: &NamedLog, folder: &Path) -> Result<Option<Held>, MirrorError> {
    let damaged = || MirrorError::Damaged { path: folder.to_owned() };
    let Some(note) = files::read(&folder.join("checkpoint"), MAX_NOTE_BYTES)? else { return Ok(None) };
    let checkpoint = chain.signed_by(&note, log).map_err(|_| damaged())?;
    let mut leaves = Vec::new();
    for path in tiles(TileKind::Hashes { level: 0 }, checkpoint.size()) {
        leaves.extend(local(folder, path, MAX_TILE, decode_hashes)?.ok_or_else(damaged)?);
    }
    if merkle::root(&leaves) != checkpoint.root() {
        return Err(damaged());
    }
    let note = String::from_utf8(note).map_err(|_| damaged())?;
    Ok(Some(Held { checkpoint, note, leaves }))
}

fn tiles(kind: TileKind, size: u64) -> impl Iterator<Item = TilePath> {
    paths(size).filter(move |path| path.kind() == kind)
}

/// Reads a tile here; a partial one that is gone from the full one.
fn local<T>(
    folder: &Path,
    path: TilePath,
    limit: usize,
    decode: fn(&[u8], u16) -> Option<Vec<T>>,
) -> Result<Option<Vec<T>>, FileError> {
    for found in [path, path.full()] {
        if let Some(bytes) = files::read_below(folder, &found.to_string(), limit)? {
            let items = decode(&bytes, found.width());
            return Ok(items.map(|mut items| {
                items.truncate(path.width().into());
                items
            }));
        }
    }
    Ok(None)
}

/// Why bundles do not lead to the root.
enum Unfit {
    /// This file is missing, malformed, or not what is here.
    File(TilePath),
    /// All of them are well formed.
    Root,
}

impl LogCopy<'_> {
    pub(crate) fn held(&self) -> Result<Option<Held>, MirrorError> {
        held(self.chain, self.log, &self.folder)
    }

    /// Takes a checkpoint and what is behind it.
    pub(crate) fn update(&self, source: &Source, note: &[u8]) -> Result<Step, MirrorError> {
        let offered = String::from_utf8_lossy(note).into_owned();
        let Ok(verified) = self.chain.verify_checkpoint(note, self.log, self.options.uncosigned) else {
            // What the log did not sign says nothing about it, but about whoever serves it.
            return Ok(Step::Fault(Accusation::new(FaultKind::Checkpoint, &[&offered])));
        };
        let (new, text) = (verified.checkpoint(), verified.note().to_string());
        let held = self.held()?;
        let (have, leaves) = held.as_ref().map_or((0, &[][..]), |held| (held.checkpoint.size(), &held.leaves[..]));
        if new.size() > self.options.most {
            return Err(MirrorError::TooLarge { log: self.log.key.name.clone(), size: new.size() });
        }
        if let Some(held) = &held
            && new.size() <= have
        {
            return Ok(
                match SplitView::find(self.chain, self.log, (&text, new.size(), new.root()), (&held.note, leaves)) {
                    Some(proof) => {
                        let kind = if new.size() == have { FaultKind::TwoRoots } else { FaultKind::Forked };
                        Step::Fault(Accusation {
                            proof: Some(Box::new(proof)),
                            ..Accusation::new(kind, &[&held.note, &text])
                        })
                    }
                    None if new.size() == have => {
                        self.improve(held, &text)?;
                        self.tidy(have)?;
                        Step::Held { before: have }
                    }
                    None if source.is_live() => Step::Fault(Accusation::new(FaultKind::WentBack, &[&held.note, &text])),
                    None => Step::Older,
                },
            );
        }
        self.grow(source, held.as_ref(), new, &text)
    }

    /// Takes a note of the tree that is here, if it is cosigned as a newer manifest version asks for than ours is: witnesses change,
    /// and `--uncosigned` takes notes without any.
    fn improve(&self, held: &Held, note: &str) -> Result<(), MirrorError> {
        let version = |note: &str| {
            let holds = |header: &Header| header.verify_checkpoint(note.as_bytes(), &self.log.key).is_ok();
            self.chain.versions().iter().rposition(|version| holds(&version.header))
        };
        if note != held.note && version(note) > version(&held.note) {
            files::replace(&self.folder.join("checkpoint"), note.as_bytes())?;
        }
        Ok(())
    }

    fn grow(&self, source: &Source, held: Option<&Held>, new: &Checkpoint, note: &str) -> Result<Step, MirrorError> {
        let leaves = held.map_or(&[][..], |held| &held.leaves);
        let mut outcome = self.collect(source, leaves, new)?;
        if outcome.is_err() && self.stage.exists() {
            // What an earlier run left may be of another tree: once more, from the source alone.
            fs::remove_dir_all(&self.stage).map_err(at(&self.stage))?;
            outcome = self.collect(source, leaves, new)?;
        }
        match outcome {
            Ok(all) => {
                self.place(leaves.len() as u64, &all, note)?;
                Ok(Step::Held { before: leaves.len() as u64 })
            }
            Err(unfit) => {
                if self.stage.exists() {
                    fs::remove_dir_all(&self.stage).map_err(at(&self.stage))?;
                }
                self.accuse(source, held, new, note, unfit).map(Step::Fault)
            }
        }
    }

    /// Stages the bundles behind `leaves`, and gives all leaf hashes if they lead to the root.
    fn collect(
        &self,
        source: &Source,
        leaves: &[TreeHash],
        new: &Checkpoint,
    ) -> Result<Result<Vec<TreeHash>, Unfit>, MirrorError> {
        let mut all = leaves.to_vec();
        for path in paths_between(leaves.len() as u64, new.size()).filter(|path| path.kind() == TileKind::Entries) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(SourceError::Stopped.into());
            }
            let staged = self.stage.join(path.to_string());
            let here = files::read(&staged, MAX_BUNDLE)?.and_then(|bytes| decode_bundle(&bytes, path.width()));
            let (entries, is_new) = match here {
                Some(entries) => (entries, false),
                None => match fetched(source, path, decode_bundle)? {
                    Some(entries) => (entries, true),
                    None => return Ok(Err(Unfit::File(path))),
                },
            };
            for (index, entry) in (path.index() * WIDTH..).zip(&entries) {
                let hash = leaf_hash(entry);
                match usize::try_from(index).ok().and_then(|index| all.get(index)) {
                    Some(known) if *known == hash => {}
                    Some(_) => return Ok(Err(Unfit::File(path))),
                    None => all.push(hash),
                }
            }
            if is_new {
                let content = encode_bundle(&entries, path.index() * WIDTH).expect("entries of a bundle fit one");
                files::replace(&staged, &content)?;
            }
        }
        Ok(if merkle::root(&all) == new.root() { Ok(all) } else { Err(Unfit::Root) })
    }

    /// Puts what was staged in place, then its hash tiles, then the checkpoint, and takes partial tiles away that are full now.
    fn place(&self, have: u64, leaves: &[TreeHash], note: &str) -> Result<(), MirrorError> {
        let size = leaves.len() as u64;
        let mut levels = vec![leaves.to_vec()];
        while let Some(below) = levels.last().filter(|below| below.len() >= usize::from(TILE_WIDTH)) {
            levels.push(below.chunks_exact(TILE_WIDTH.into()).map(merkle::root).collect());
        }
        for path in paths_between(have, size) {
            let target = self.folder.join(path.to_string());
            match path.kind() {
                TileKind::Entries => {
                    let staged = self.stage.join(path.to_string());
                    let content = files::read(&staged, MAX_BUNDLE)?;
                    let content = content.ok_or_else(|| MirrorError::Damaged { path: staged.clone() })?;
                    // Hashed once more: what counts is what is written.
                    let entries = decode_bundle(&content, path.width()).unwrap_or_default();
                    let from = usize::try_from(path.index() * WIDTH).unwrap_or(usize::MAX);
                    let known = leaves.get(from..).unwrap_or_default();
                    let fits = entries.len() == usize::from(path.width())
                        && entries.iter().zip(known).all(|(entry, known)| leaf_hash(entry) == *known);
                    if !fits {
                        return Err(MirrorError::Damaged { path: staged });
                    }
                    files::replace(&target, &content)?;
                }
                TileKind::Hashes { level } => {
                    let from = usize::try_from(path.index() * WIDTH).unwrap_or(usize::MAX);
                    let hashes = &levels[usize::from(level)][from..from + usize::from(path.width())];
                    let content: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
                    files::replace(&target, &content)?;
                }
            }
        }
        files::replace(&self.folder.join("checkpoint"), note.as_bytes())?;
        self.tidy(size)
    }

    /// Removes the stage, and partial tiles that are none of a log of this size.
    pub(crate) fn tidy(&self, size: u64) -> Result<(), MirrorError> {
        if self.stage.exists() {
            fs::remove_dir_all(&self.stage).map_err(at(&self.stage))?;
        }
        let partial: BTreeSet<PathBuf> = paths(size)
            .filter(|path| path.width() < TILE_WIDTH)
            .map(|path| self.folder.join(path.to_string()))
            .collect();
        tidy(&self.folder.join("tile"), &partial)
    }

    /// Finds out whether the log signed another history, or its files are not what it signed.
    fn accuse(
        &self,
        source: &Source,
        held: Option<&Held>,
        new: &Checkpoint,
        note: &str,
        unfit: Unfit,
    ) -> Result<Accusation, MirrorError> {
        let notes: Vec<&str> = held.map(|held| held.note.as_str()).into_iter().chain([note]).collect();
        let mut stated = Vec::new();
        for path in tiles(TileKind::Hashes { level: 0 }, new.size()) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(SourceError::Stopped.into());
            }
            match fetched(source, path, decode_hashes)? {
                Some(hashes) => stated.extend(hashes),
                None => break,
            }
        }
        let is_true = merkle::root(&stated) == new.root();
        if let Some(held) = held.filter(|_| is_true) {
            let smaller = (held.note.as_str(), held.checkpoint.size(), held.checkpoint.root());
            if let Some(proof) = SplitView::find(self.chain, self.log, smaller, (note, &stated)) {
                return Ok(Accusation { proof: Some(Box::new(proof)), ..Accusation::new(FaultKind::Forked, &notes) });
            }
        }
        let path = match unfit {
            Unfit::File(path) => Some(path),
            Unfit::Root if is_true => {
                let from = held.map_or(0, |held| held.checkpoint.size());
                self.first_false(source, from, new.size(), &stated)?
            }
            Unfit::Root => None,
        };
        let offered = path.map(|path| source.tile(&path.to_string())).transpose()?.flatten();
        let path = path.map(|path| path.to_string());
        Ok(Accusation { path, offered, ..Accusation::new(FaultKind::FalseTile, &notes) })
    }

    fn first_false(
        &self,
        source: &Source,
        from: u64,
        size: u64,
        stated: &[TreeHash],
    ) -> Result<Option<TilePath>, MirrorError> {
        for path in paths_between(from, size).filter(|path| path.kind() == TileKind::Entries) {
            let start = usize::try_from(path.index() * WIDTH).unwrap_or(usize::MAX);
            let known = stated.get(start..).unwrap_or_default();
            let entries = fetched(source, path, decode_bundle)?.unwrap_or_default();
            let hashes: Vec<TreeHash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            if hashes.len() != usize::from(path.width()) || hashes[..] != known[..hashes.len().min(known.len())] {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Fetches every file again that was here when there were `before` leaves, and the hash tiles, which were made here: the first
    /// that differs, or is gone, is a fault.
    pub(crate) fn recheck(&self, source: &Source, before: u64) -> Result<Option<Accusation>, MirrorError> {
        let Some(held) = self.held()? else { return Ok(None) };
        // Of a log that grew, bundles from the last one on were just fetched, and their old entries compared.
        let fetched_from = if before < held.checkpoint.size() { before / WIDTH } else { u64::MAX };
        let is_old = |path: &TilePath| path.kind() != TileKind::Entries || path.index() < fetched_from;
        for path in paths(held.checkpoint.size()).filter(is_old) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(SourceError::Stopped.into());
            }
            let same = match path.kind() {
                TileKind::Entries => {
                    let own = local(&self.folder, path, MAX_BUNDLE, decode_bundle)?;
                    own.is_some() && fetched(source, path, decode_bundle)? == own
                }
                TileKind::Hashes { .. } => {
                    let own = local(&self.folder, path, MAX_TILE, decode_hashes)?;
                    own.is_some() && fetched(source, path, decode_hashes)? == own
                }
            };
            if !same {
                let offered = source.tile(&path.to_string())?;
                let path = Some(path.to_string());
                let accusation = Accusation::new(FaultKind::ChangedTile, &[&held.note]);
                return Ok(Some(Accusation { path, offered, ..accusation }));
            }
        }
        Ok(None)
    }
}

/// Fetches a tile; a partial one that is gone from the full one. None if it is missing or malformed.
fn fetched<T>(
    source: &Source,
    path: TilePath,
    decode: fn(&[u8], u16) -> Option<Vec<T>>,
) -> Result<Option<Vec<T>>, SourceError> {
    let (found, bytes) = match source.tile(&path.to_string())? {
        Some(bytes) => (path, Some(bytes)),
        None if path.width() == TILE_WIDTH => (path, None),
        None => (path.full(), source.tile(&path.full().to_string())?),
    };
    let items = bytes.and_then(|bytes| decode(&bytes, found.width()));
    Ok(items.map(|mut items| {
        items.truncate(path.width().into());
        items
    }))
}

/// Removes partial tiles other than these, and what a killed process left.
fn tidy(folder: &Path, partial: &BTreeSet<PathBuf>) -> Result<(), MirrorError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(at(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            tidy(&path, partial)?;
            if name.ends_with(".p") && fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_none()) {
                fs::remove_dir(&path).map_err(at(&path))?;
            }
        } else {
            let is_partial = folder.extension().is_some_and(|extension| extension == "p");
            if (is_partial && !partial.contains(&path)) || files::is_part(&name) {
                files::remove(&path)?;
            }
        }
    }
    Ok(())
}

/// The note's text if it parses, for messages and comparison.
pub(crate) fn parsed(note: &[u8]) -> Option<Checkpoint> {
    SignedNote::parse(note).ok()?.text().parse().ok()
}
