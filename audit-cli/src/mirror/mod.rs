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
    audit::keys_to_bytes,
    ids::{ProgrammeId, SiteId},
    log::note::MAX_NOTE_BYTES,
    programme::Announcement,
    wire::Message as _,
};

use crate::chain::{Chain, ChainError, NamedLog};

mod fault;
pub(crate) mod files;
pub(crate) mod log;
mod offer;
mod packs;
mod source;

pub use fault::{Fault, FaultKind, evidence_of};
use files::at;
pub use files::{FileError, replace};
use log::{Accusation, LogCopy, Step};
use offer::{Keys, Offer};
pub(crate) use packs::WAITING;
pub(crate) use source::MAX_BUNDLE;
use source::Source;
pub use source::SourceError;

/// The longest announcement or key list, in bytes.
pub(crate) const MAX_ANNOUNCEMENT: usize = (1 << 24) + 64;
/// The longest pack or surrendered voucher.
pub(crate) const MAX_MESSAGE: usize = 1 << 24;

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
    /// A folder with a newer manifest than is here, and without its key list: what is here would not verify any more.
    #[error("{} has not the key list of its newest manifest. Copy keys.bin too, or wait until the folder is whole", path.display())]
    NoKeys {
        /// The folder.
        path: PathBuf,
    },
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

/// Copies what is new. Faults are in the outcome, also if it was told to stop after the first; so are sources that could not be
/// reached, if any other could.
///
/// # Errors
/// [`MirrorError`] if nothing could be done.
pub fn mirror(folder: &Path, options: &Options, stop: &AtomicBool) -> Result<Outcome, MirrorError> {
    let _lock = lock(folder)?;
    sweep(folder)?;
    let mut mirror = Mirror { folder, options, stop, outcome: Outcome::default() };
    match mirror.run() {
        // What was proven before it was told to stop stays proven.
        Err(MirrorError::Source(SourceError::Stopped)) if !mirror.outcome.faults.is_empty() => {}
        done => done?,
    }
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
    if let Some(bytes) = files::read_below(folder, "announcement.bin", MAX_ANNOUNCEMENT)?
        && let Ok(announcement) = Announcement::decode(&bytes)
    {
        let versions = announcement.versions.into_iter().map(|version| version.leaf).collect();
        chains.push(Chain::new(programme, versions)?);
    }
    if let Some(note) = files::read_below(folder, "logs/issuer/checkpoint", MAX_NOTE_BYTES)?
        && let Some(checkpoint) = log::parsed(&note)
    {
        let fetch = |path: &str| files::read_below(folder, &format!("logs/issuer/{path}"), MAX_BUNDLE).ok().flatten();
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
        let reached = self.ask_issuer(&mut chain)?;
        for folder in &options.folders {
            let name = folder.display().to_string();
            match self.folder_offer(folder) {
                Ok(Some(offer)) => self.take_issuer(&name, None, offer, &mut chain)?,
                // A site's stick has no manifest.
                Ok(None) => {}
                Err(error) => self.missed(&name, error)?,
            }
        }
        let Some(mut chain) = chain else {
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
        // What a site accepts rests on what the issuer logged before: the issuer's log must not be the older copy.
        if reached && !options.sites.is_empty() {
            let mut newer = Some(chain.clone());
            self.ask_issuer(&mut newer)?;
            chain = newer.unwrap_or(chain);
        }
        for folder in &options.folders {
            for log in chain.logs().into_iter().filter(|log| log.site.is_some()) {
                // None if there is no such log.
                let taken = self.take_log(&chain, &log, &Source::folder(folder, &log.folder));
                taken.or_else(|error| self.missed(&folder.display().to_string(), error))?;
            }
        }
        self.take_files(&chain)?;
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
            if let Some(checkpoint) = files::read(&path, MAX_NOTE_BYTES)?.and_then(|note| log::parsed(&note)) {
                sizes.push((log, checkpoint.size()));
            }
        }
        Ok(sizes)
    }

    /// Asks the issuer's server, if there is one to ask. Says whether it answered.
    fn ask_issuer(&mut self, chain: &mut Option<Chain>) -> Result<bool, MirrorError> {
        let Some(url) = &self.options.issuer else { return Ok(false) };
        match self.web_offer(url) {
            Ok(Some(offer)) => self.take_issuer(url, Some(url), offer, chain).map(|()| true),
            Ok(None) => Ok(true),
            Err(error) => self.missed(url, error).map(|()| false),
        }
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
        let has_keys = match offer.keys() {
            Keys::Fixed => true,
            Keys::Older => false,
            Keys::Foreign => {
                self.accuse_keys(&offer.keys)?;
                if is_newer {
                    return Ok(());
                }
                false
            }
        };
        // With a manifest, and without the keys that it fixes, an audit of the mirror would accuse the issuer.
        if is_newer && !has_keys {
            return self.missed(name, MirrorError::NoKeys { path: name.into() });
        }
        let keys = (has_keys && offer.is_of(known.as_ref())).then(|| keys_to_bytes(&offer.keys));
        if let (Some(keys), false) = (&keys, is_newer) {
            // The manifest that is here fixes them, whatever becomes of the offered log.
            self.put("keys.bin", keys, true)?;
        }
        let newest = if is_newer { offer.chain } else { known.clone().expect("it is not newer than nothing") };
        let log = newest.logs().remove(0);
        let source = match url {
            Some(url) => Source::web(url, log.key.key, &self.options.transport),
            None => Ok(Source::folder(Path::new(name), &log.folder)),
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
                if let Some(keys) = keys {
                    self.put("keys.bin", &keys, true)?;
                }
                if let Some(bytes) = offer.announcement {
                    self.take_announcement(&newest, &bytes)?;
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
        match copy.update(source, note)? {
            Step::Held { before } => {
                if self.options.recheck
                    && is_log
                    && let Some(accusation) = copy.recheck(source, before)?
                {
                    self.accuse(Some(log), accusation)?;
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
}

/// What is wrong with a source's files is no damage here.
fn foreign(error: FileError) -> MirrorError {
    SourceError::from(error).into()
}
