//! A mirror: a copy of everything that a programme published, which only ever grows (spec/audit.md 3).
//!
//! ```text
//! logs/, keys.bin, packs/, surrendered/    the published folder, as `load` reads it
//! announcement.bin                         the issuer's newest announcement, with the manifest chain
//! evidence/*.json                          what a log, or whoever serves it, did wrong
//! .mirror/                                 lock, and files on their way
//! ```

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use annona_protocol::{
    audit::{KeysError, keys_from_bytes, keys_to_bytes},
    ids::{Digest, ProgrammeId, Round, SiteId},
    log::{
        leaf::{FreezeLeaf, IssuerLeaf, MAX_LEAF_BYTES},
        merkle::leaf_hash,
        tile::{TileKind, decode_bundle, paths},
    },
    programme::{Announcement, KeyEntry},
    redeem::Surrender,
    slip::OpeningPack,
    wire::Message as _,
};
use annona_transport::{Client, TransportError};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::chain::{Chain, ChainError, NamedLog};

pub(crate) mod files;
pub(crate) mod log;
mod source;

use files::at;
pub use files::{FileError, replace};
use log::{Accusation, LogCopy, Step};
pub(crate) use source::MAX_BUNDLE;
use source::Source;
pub use source::SourceError;

/// The longest announcement or key list, in bytes.
pub(crate) const MAX_ANNOUNCEMENT: usize = (1 << 24) + 64;
/// The longest pack or surrendered voucher.
const MAX_MESSAGE: usize = 1 << 24;
/// The most files of evidence: each is enough, and a stolen key must not fill the disk.
const MAX_EVIDENCE: usize = 64;

/// Where a mirror copies from, and what it accepts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The programme.
    pub programme: ProgrammeId,
    /// The issuer's origin.
    pub issuer: Option<String>,
    /// The sites' origins.
    pub sites: Vec<(SiteId, String)>,
    /// Published folders, from memory sticks or other mirrors.
    pub folders: Vec<PathBuf>,
    /// How servers are reached.
    pub transport: annona_transport::Options,
    /// Whether files that are here already are fetched again and compared.
    pub recheck: bool,
    /// Whether checkpoints count that no witness cosigned.
    pub uncosigned: bool,
    /// The most leaves of a log.
    pub most: u64,
}

/// Why nothing could be mirrored. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// A file of the mirror.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The manifest.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Another process works on the folder.
    #[error("{} is in use by another mirror. Wait until it is done", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// What is here does not hold together, which says nothing about any log.
    #[error("{} is damaged. Set the mirror aside, make a new one, and `compare` both", path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
    },
    /// No source has the programme's manifest.
    #[error("no source has the programme's manifest. Give --issuer, or --from with a folder of the issuer's")]
    NoManifest,
    /// A site that the manifest does not name.
    #[error("the manifest names no site {site}. Check --site")]
    NoSite {
        /// The site.
        site: SiteId,
    },
    /// A log says that it is larger than this mirror takes.
    #[error("{log} has {size} leaves, more than this mirror takes. Give a larger --most if that can be")]
    TooLarge {
        /// The log.
        log: String,
        /// Its size.
        size: u64,
    },
}

/// What a log, or whoever serves it, did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The log signed two trees of different sizes, neither of which grows into the other: proven.
    Forked,
    /// The log signed two roots for one size: proven.
    TwoRoots,
    /// A server has a smaller tree than before.
    WentBack,
    /// A file does not lead to the root that the log signed.
    FalseTile,
    /// A file that was copied before has other content now, or is gone.
    ChangedTile,
    /// The checkpoint is not signed by its log, or not cosigned.
    Checkpoint,
    /// The announcement does not hold.
    Announcement,
    /// Officers signed two versions of one number.
    ManifestForked,
    /// The key list does not begin with the one before.
    KeysChanged,
    /// A pack is malformed, or not the one that the freeze fixes.
    PackDiffers,
}

impl FaultKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::TwoRoots => "two-roots",
            Self::WentBack => "went-back",
            Self::FalseTile => "false-tile",
            Self::ChangedTile => "changed-tile",
            Self::Checkpoint => "checkpoint-refused",
            Self::Announcement => "announcement-refused",
            Self::ManifestForked => "manifest-forked",
            Self::KeysChanged => "keys-changed",
            Self::PackDiffers => "pack-differs",
        }
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Forked => "the log signed two histories; the evidence proves it",
            Self::TwoRoots => "the log signed two roots for one size; the evidence proves it",
            Self::WentBack => "the server shows a smaller log than before",
            Self::FalseTile => "a file does not lead to the root that the log signed",
            Self::ChangedTile => "a file that was copied before has other content now, or is gone",
            Self::Checkpoint => "the checkpoint is not signed by its log, or too few witnesses cosigned it",
            Self::Announcement => "the announcement does not hold, or is of another programme",
            Self::ManifestForked => "the officers signed two versions of one number",
            Self::KeysChanged => "the key list does not begin with the one before",
            Self::PackDiffers => "an opening pack is not the one that the freeze fixes",
        }
    }
}

/// A fault with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was done.
    pub kind: FaultKind,
    /// The log's folder below `logs/`.
    pub log: String,
    /// The log's name; empty if the fault is of no log.
    pub origin: String,
    /// The file at fault, if it is one.
    pub path: Option<String>,
    /// Where the evidence is kept; none if there is too much already.
    pub evidence: Option<PathBuf>,
}

/// How a log is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The log's folder below `logs/`.
    pub log: String,
    /// The log's name.
    pub origin: String,
    /// Leaves before.
    pub before: u64,
    /// Leaves now.
    pub size: u64,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The logs that are here, the issuer's first.
    pub logs: Vec<LogState>,
    /// Other files that are new, below the folder.
    pub added: Vec<String>,
    /// Faults, all of them.
    pub faults: Vec<Fault>,
    /// Sources that could not be reached or used, and why.
    pub unreached: Vec<(String, MirrorError)>,
}

/// The mirror's folder while it is worked on.
struct Mirror<'a> {
    folder: &'a Path,
    options: &'a Options,
    stop: &'a AtomicBool,
    outcome: Outcome,
}

/// Removes what a run that was killed left half written, beside the files that it was to become. Tiles are seen to by their logs.
fn sweep(folder: &Path) -> Result<(), MirrorError> {
    let logs = folder.join("logs");
    let mut folders = ["", "packs", "surrendered", "evidence"].map(|name| folder.join(name)).to_vec();
    folders.extend(files::list(&logs)?.into_iter().filter(|path| path.is_dir()));
    for folder in folders {
        files::remove_parts(&folder)?;
    }
    Ok(())
}

/// What a source says of the programme.
struct Offer {
    chain: Chain,
    keys: Vec<KeyEntry>,
    /// The issuer's checkpoint.
    note: Vec<u8>,
    announcement: Option<Vec<u8>>,
}

/// A round and the digests of its packs.
type Frozen = (Round, Vec<(SiteId, Digest)>);

/// Copies what is new. Faults are in the outcome; so are sources that could not be reached, if any other could.
///
/// # Errors
/// [`MirrorError`] if nothing could be done.
pub fn mirror(folder: &Path, options: &Options, stop: &AtomicBool) -> Result<Outcome, MirrorError> {
    let _lock = lock(folder)?;
    sweep(folder)?;
    let mut mirror = Mirror { folder, options, stop, outcome: Outcome::default() };
    mirror.run()?;
    Ok(mirror.outcome)
}

/// The manifest chain of a folder: of its announcement, or read out of the issuer's log.
///
/// # Errors
/// [`MirrorError`].
pub fn chain_of(folder: &Path, programme: ProgrammeId) -> Result<Option<Chain>, MirrorError> {
    Ok(chains_of(folder, programme)?.into_iter().max_by_key(|chain| chain.versions().len()))
}

fn chains_of(folder: &Path, programme: ProgrammeId) -> Result<Vec<Chain>, MirrorError> {
    let mut chains = Vec::new();
    if let Some(bytes) = files::read(&folder.join("announcement.bin"), MAX_ANNOUNCEMENT)?
        && let Ok(announcement) = Announcement::decode(&bytes)
    {
        let versions = announcement.versions.into_iter().map(|version| version.leaf).collect();
        chains.push(Chain::new(programme, versions)?);
    }
    let log = folder.join("logs/issuer");
    if let Some(note) = files::read(&log.join("checkpoint"), MAX_MESSAGE)?
        && let Some(checkpoint) = log::parsed(&note)
    {
        let fetch = |path: &str| files::read(&log.join(path), MAX_BUNDLE).ok().flatten();
        chains.push(Chain::from_log(programme, fetch, checkpoint.size())?);
    }
    Ok(chains)
}

fn lock(folder: &Path) -> Result<File, MirrorError> {
    let own = folder.join(".mirror");
    fs::create_dir_all(&own).map_err(at(&own))?;
    let path = own.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(MirrorError::Locked { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(at(&path)(source).into()),
    }
}

impl Mirror<'_> {
    fn run(&mut self) -> Result<(), MirrorError> {
        let options = self.options;
        let mut chain = chain_of(self.folder, options.programme)?;
        let before = self.sizes(chain.as_ref())?;
        if let Some(url) = &options.issuer {
            match self.web_offer(url) {
                Ok(Some(offer)) => self.take_issuer(url, Some(url), offer, &mut chain)?,
                Ok(None) => {}
                Err(error) => self.missed(url, error)?,
            }
        }
        for folder in &options.folders {
            let name = folder.display().to_string();
            match self.folder_offer(folder) {
                Ok(Some(offer)) => self.take_issuer(&name, None, offer, &mut chain)?,
                // A site's stick has no manifest.
                Ok(None) => {}
                Err(error) => self.missed(&name, error)?,
            }
        }
        let Some(chain) = chain else {
            return Err(match self.outcome.unreached.pop() {
                Some((_, error)) => error,
                None if self.outcome.faults.is_empty() => MirrorError::NoManifest,
                // The fault is the answer.
                None => return Ok(()),
            });
        };
        for (site, url) in &options.sites {
            let log = chain.logs().into_iter().find(|log| log.site == Some(*site) && log.is_current);
            let Some(log) = log else { return Err(MirrorError::NoSite { site: *site }) };
            let taken = Source::web(url, log.key.key, &options.transport)
                .map_err(Into::into)
                .and_then(|source| self.take_log(&chain, &log, &source));
            taken.or_else(|error| self.missed(url, error))?;
        }
        for folder in &options.folders {
            for log in chain.logs().into_iter().filter(|log| log.site.is_some()) {
                let path = folder.join("logs").join(&log.folder);
                if path.is_dir() {
                    let taken = self.take_log(&chain, &log, &Source::Folder(path));
                    taken.or_else(|error| self.missed(&folder.display().to_string(), error))?;
                }
            }
            let taken = self.take_files(&chain, folder);
            taken.or_else(|error| self.missed(&folder.display().to_string(), error))?;
        }
        if let Some(url) = &options.issuer {
            let taken = self.take_packs(&chain, url);
            taken.or_else(|error| self.missed(url, error))?;
        }
        let sizes = self.sizes(Some(&chain))?;
        self.outcome.logs = sizes
            .into_iter()
            .map(|(log, size)| {
                let before = before.iter().find(|(known, _)| known.folder == log.folder).map_or(0, |(_, size)| *size);
                LogState { log: log.folder, origin: log.key.name, before, size }
            })
            .collect();
        Ok(())
    }

    /// A source that cannot be used must not hide the others; the disk, and a stop, end everything.
    fn missed(&mut self, source: &str, error: MirrorError) -> Result<(), MirrorError> {
        match error {
            MirrorError::Source(SourceError::Stopped) | MirrorError::Damaged { .. } | MirrorError::File(_) => {
                Err(error)
            }
            error => {
                self.outcome.unreached.push((source.to_owned(), error));
                Ok(())
            }
        }
    }

    fn sizes(&self, chain: Option<&Chain>) -> Result<Vec<(NamedLog, u64)>, MirrorError> {
        let mut sizes = Vec::new();
        for log in chain.map(Chain::logs).unwrap_or_default() {
            let path = self.folder.join("logs").join(&log.folder).join("checkpoint");
            if let Some(checkpoint) = files::read(&path, MAX_MESSAGE)?.and_then(|note| log::parsed(&note)) {
                sizes.push((log, checkpoint.size()));
            }
        }
        Ok(sizes)
    }

    /// The issuer's announcement, from whoever answers: it verifies by itself.
    fn web_offer(&mut self, url: &str) -> Result<Option<Offer>, MirrorError> {
        let options = annona_transport::Options { max_body: MAX_ANNOUNCEMENT, ..self.options.transport.clone() };
        let bytes = match Client::unpinned_announcement(url, &options) {
            Ok(bytes) => bytes,
            // What is too long to be one says so itself.
            Err(TransportError::TooLong { .. }) => {
                self.accuse_announcement(None)?;
                return Ok(None);
            }
            Err(error) => return Err(SourceError::from(error).into()),
        };
        self.announced(bytes)
    }

    fn folder_offer(&mut self, folder: &Path) -> Result<Option<Offer>, MirrorError> {
        if let Some(bytes) = files::read(&folder.join("announcement.bin"), MAX_ANNOUNCEMENT).map_err(foreign)? {
            return self.announced(bytes);
        }
        let log = folder.join("logs/issuer");
        let Some(note) = files::read(&log.join("checkpoint"), MAX_MESSAGE).map_err(foreign)? else { return Ok(None) };
        let keys = files::read(&folder.join("keys.bin"), MAX_ANNOUNCEMENT).map_err(foreign)?.unwrap_or_default();
        let (Some(checkpoint), Ok(keys)) = (log::parsed(&note), keys_from_bytes(&keys)) else {
            self.accuse_announcement(None)?;
            return Ok(None);
        };
        let size = checkpoint.size().min(self.options.most);
        let fetch = |path: &str| files::read(&log.join(path), MAX_BUNDLE).ok().flatten();
        let Ok(chain) = Chain::from_log(self.options.programme, fetch, size) else {
            self.accuse_announcement(None)?;
            return Ok(None);
        };
        Ok(Some(Offer { chain, keys, note, announcement: None }))
    }

    fn announced(&mut self, bytes: Vec<u8>) -> Result<Option<Offer>, MirrorError> {
        let announcement = Announcement::decode(&bytes).ok();
        let programme = self.options.programme;
        let chain = announcement.as_ref().and_then(|announcement| {
            if !self.options.uncosigned {
                announcement.verify(programme).ok()?;
            }
            Chain::new(programme, announcement.versions.iter().map(|version| version.leaf.clone()).collect()).ok()
        });
        match (announcement, chain) {
            (Some(Announcement { checkpoint: note, keys, .. }), Some(chain)) => {
                Ok(Some(Offer { chain, keys, note, announcement: Some(bytes) }))
            }
            _ => {
                self.accuse_announcement(Some(bytes))?;
                Ok(None)
            }
        }
    }

    fn accuse_announcement(&mut self, offered: Option<Vec<u8>>) -> Result<(), MirrorError> {
        let accusation =
            Accusation { kind: FaultKind::Announcement, path: None, notes: Vec::new(), offered, proof: None };
        self.accuse(None, accusation)
    }

    /// Takes the issuer's log, then what belongs to it.
    fn take_issuer(
        &mut self,
        name: &str,
        url: Option<&str>,
        offer: Offer,
        known: &mut Option<Chain>,
    ) -> Result<(), MirrorError> {
        if let Some(chain) = known
            && !chain.agrees(&offer.chain)
        {
            return self.accuse(
                None,
                Accusation {
                    kind: FaultKind::ManifestForked,
                    path: None,
                    notes: Vec::new(),
                    offered: offer.announcement,
                    proof: None,
                },
            );
        }
        let is_newer = known.as_ref().is_none_or(|chain| chain.versions().len() < offer.chain.versions().len());
        let newest = if is_newer { offer.chain } else { known.clone().expect("it is not newer than nothing") };
        let log = newest.logs().remove(0);
        let source = match url {
            Some(url) => Source::web(url, log.key.key, &self.options.transport),
            None => Ok(Source::Folder(Path::new(name).join("logs/issuer"))),
        };
        let taken = source.map_err(MirrorError::from).and_then(|source| {
            let is_taken = self.take_note(&newest, &log, &source, &offer.note, url.is_none())?;
            if url.is_some()
                && let Some(note) = source.checkpoint()?
            {
                self.take_note(&newest, &log, &source, &note, true)?;
            }
            Ok(is_taken)
        });
        match taken {
            Ok(true) => {
                self.take_keys(&offer.keys)?;
                if let Some(bytes) = offer.announcement {
                    self.put("announcement.bin", &bytes, true)?;
                }
                *known = Some(newest);
            }
            Ok(false) => {}
            Err(error) => self.missed(name, error)?,
        }
        Ok(())
    }

    fn take_log(&mut self, chain: &Chain, log: &NamedLog, source: &Source) -> Result<(), MirrorError> {
        match source.checkpoint()? {
            Some(note) => self.take_note(chain, log, source, &note, true).map(drop),
            None if source.is_live() && self.folder.join("logs").join(&log.folder).join("checkpoint").exists() => {
                let accusation = Accusation {
                    kind: FaultKind::WentBack,
                    path: Some("checkpoint".into()),
                    notes: vec![],
                    offered: None,
                    proof: None,
                };
                self.accuse(Some(log), accusation)
            }
            None => Ok(()),
        }
    }

    /// Takes a checkpoint and what is behind it, from a log or from an announcement of it. True if the mirror has just this tree now.
    fn take_note(
        &mut self,
        chain: &Chain,
        log: &NamedLog,
        source: &Source,
        note: &[u8],
        is_log: bool,
    ) -> Result<bool, MirrorError> {
        let copy = LogCopy {
            chain,
            log,
            folder: self.folder.join("logs").join(&log.folder),
            stage: self.folder.join(".mirror").join(&log.folder),
            options: self.options,
            stop: self.stop,
        };
        let step = copy.update(source, note)?;
        match step {
            Step::Grew | Step::Same => {
                if let (Step::Same, Some(held)) = (&step, copy.held()?) {
                    copy.tidy(held.checkpoint.size())?;
                    if self.options.recheck
                        && is_log
                        && let Some(accusation) = copy.recheck(source, &held)?
                    {
                        self.accuse(Some(log), accusation)?;
                    }
                }
                Ok(true)
            }
            Step::Older => Ok(false),
            // A live announcement may be a moment behind its log.
            Step::Fault(Accusation { kind: FaultKind::WentBack, .. }) if !is_log => Ok(false),
            Step::Fault(accusation) => {
                self.accuse(Some(log), accusation)?;
                Ok(false)
            }
        }
    }

    /// A key list only grows.
    fn take_keys(&mut self, keys: &[KeyEntry]) -> Result<(), MirrorError> {
        let path = self.folder.join("keys.bin");
        let damaged = |_: KeysError| MirrorError::Damaged { path: path.clone() };
        let own =
            files::read(&path, MAX_ANNOUNCEMENT)?.map(|bytes| keys_from_bytes(&bytes).map_err(damaged)).transpose()?;
        let own = own.unwrap_or_default();
        if own.iter().zip(keys).any(|(own, offered)| own != offered) {
            let offered = Some(keys_to_bytes(keys));
            let kind = FaultKind::KeysChanged;
            return self.accuse(None, Accusation { kind, path: None, notes: Vec::new(), offered, proof: None });
        }
        if keys.len() > own.len() || !path.exists() { self.put("keys.bin", &keys_to_bytes(keys), true) } else { Ok(()) }
    }

    /// The packs of every freeze in the issuer's log, from its server.
    fn take_packs(&mut self, chain: &Chain, url: &str) -> Result<(), MirrorError> {
        let log = chain.logs().remove(0);
        let source = Source::web(url, log.key.key, &self.options.transport)?;
        for (round, packs) in self.freezes()? {
            for (site, digest) in packs {
                if self.folder.join(pack_name(round, site)).exists() {
                    continue;
                }
                let bytes = source.message(&format!("/v1/packs/{}/{}", round.0, site.0))?;
                let Some(bytes) = bytes else { continue };
                self.take_pack(chain, &bytes, Some(digest))?;
            }
        }
        Ok(())
    }

    fn freezes(&self) -> Result<Vec<Frozen>, MirrorError> {
        let folder = self.folder.join("logs/issuer");
        let Some(note) = files::read(&folder.join("checkpoint"), MAX_MESSAGE)? else { return Ok(Vec::new()) };
        let size = log::parsed(&note).map_or(0, |checkpoint| checkpoint.size());
        let mut freezes = Vec::new();
        for path in paths(size).take_while(|path| path.kind() == TileKind::Entries) {
            let bytes = files::read(&folder.join(path.to_string()), MAX_BUNDLE)?;
            let entries = bytes.and_then(|bytes| decode_bundle(&bytes, path.width()));
            let entries = entries.ok_or_else(|| MirrorError::Damaged { path: folder.clone() })?;
            for entry in entries.iter().filter(|entry| entry.len() <= MAX_LEAF_BYTES) {
                if let Ok(IssuerLeaf::Freeze(FreezeLeaf { round, packs, .. })) = IssuerLeaf::decode(entry) {
                    freezes.push((round, packs));
                }
            }
        }
        Ok(freezes)
    }

    /// Keeps a pack that the issuer signed, also a second one for the same place: the audit has to see both.
    fn take_pack(&mut self, chain: &Chain, bytes: &[u8], digest: Option<Digest>) -> Result<(), MirrorError> {
        let accuse = |mirror: &mut Self| {
            mirror.accuse(
                None,
                Accusation {
                    kind: FaultKind::PackDiffers,
                    path: None,
                    notes: Vec::new(),
                    offered: Some(bytes.to_vec()),
                    proof: None,
                },
            )
        };
        let pack = OpeningPack::decode(bytes).ok();
        let Some(pack) = pack.filter(|pack| pack.verify(&chain.newest().issuer_log.key).is_ok()) else {
            return accuse(self);
        };
        let place = pack.content.place;
        let name = pack_name(place.round, place.site);
        let own = files::read(&self.folder.join(&name), MAX_MESSAGE)?;
        if digest.is_some_and(|digest| digest != pack.digest()) || own.as_ref().is_some_and(|own| own != bytes) {
            accuse(self)?;
            let hash = leaf_hash(bytes).to_string();
            return self.put(&name.replace(".bin", &format!(".{}.bin", &hash[..16])), bytes, false);
        }
        self.put(&name, bytes, false)
    }

    /// Packs and surrendered vouchers of a folder.
    fn take_files(&mut self, chain: &Chain, folder: &Path) -> Result<(), MirrorError> {
        let is_message = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "bin");
        for path in files::list(&folder.join("packs")).map_err(foreign)?.into_iter().filter(is_message) {
            if let Some(bytes) = files::read(&path, MAX_MESSAGE).map_err(foreign)? {
                self.take_pack(chain, &bytes, None)?;
            }
        }
        for path in files::list(&folder.join("surrendered")).map_err(foreign)?.into_iter().filter(is_message) {
            let bytes = files::read(&path, MAX_MESSAGE).map_err(foreign)?.unwrap_or_default();
            let Ok(surrender) = Surrender::decode(&bytes) else { continue };
            // Named by content: what a stick calls it is a stranger's text.
            let name = format!("surrendered/{}.bin", leaf_hash(&surrender.encode()));
            self.put(&name, &bytes, false)?;
        }
        Ok(())
    }

    /// Writes a file of ours if it is not there, or replaces it if it may change.
    fn put(&mut self, name: &str, content: &[u8], may_change: bool) -> Result<(), MirrorError> {
        let path = self.folder.join(name);
        let own = files::read(&path, MAX_ANNOUNCEMENT)?;
        if own.as_deref() != Some(content) && (own.is_none() || may_change) {
            files::replace(&path, content)?;
            self.outcome.added.push(name.to_owned());
        }
        Ok(())
    }

    /// Keeps the evidence and names the fault.
    fn accuse(&mut self, log: Option<&NamedLog>, accusation: Accusation) -> Result<(), MirrorError> {
        let Accusation { kind, path, notes, offered, proof } = accusation;
        let (folder, origin) = log
            .map_or_else(|| ("programme".to_owned(), String::new()), |log| (log.folder.clone(), log.key.name.clone()));
        let content = match &proof {
            Some(proof) => proof.to_json(),
            None => json!({
                "format": "annona-observation-1",
                "programme": self.options.programme.to_string(),
                "log": origin,
                "code": kind.code(),
                "notes": notes,
                "path": path,
                "offered": offered.as_ref().map(|bytes| BASE64.encode(bytes)),
            }),
        };
        let evidence = keep(self.folder, &folder, kind, &content)?;
        self.outcome.faults.push(Fault { kind, log: folder, origin, path, evidence });
        Ok(())
    }
}

/// What is wrong with a source's files is no damage here.
fn foreign(error: FileError) -> MirrorError {
    SourceError::from(error).into()
}

fn pack_name(round: Round, site: SiteId) -> String {
    format!("packs/round-{}-site-{}.bin", round.0, site.0)
}

/// Writes evidence once under a name of its content.
fn keep(folder: &Path, log: &str, kind: FaultKind, content: &Value) -> Result<Option<PathBuf>, MirrorError> {
    let evidence = folder.join("evidence");
    let text = format!("{content:#}\n");
    let hash = leaf_hash(text.as_bytes()).to_string();
    let path = evidence.join(format!("{log}-{}-{}.json", kind.code(), &hash[..16]));
    if path.exists() {
        return Ok(Some(path));
    }
    if files::list(&evidence)?.len() >= MAX_EVIDENCE {
        return Ok(None);
    }
    files::replace(&path, text.as_bytes())?;
    Ok(Some(path))
}

/// How much evidence a mirror holds.
///
/// # Errors
/// [`MirrorError::File`].
pub fn evidence_of(folder: &Path) -> Result<Vec<PathBuf>, MirrorError> {
    Ok(files::list(&folder.join("evidence"))?)
}
