//! A site's side: what it sends, and what it takes over.

use std::path::PathBuf;

use annona_protocol::{
    ids::Round,
    log::{SignedNote, TreeHash},
};

use super::{
    Package, Received,
    headquarters::{Headquarters, HqError},
    package::{MAX_COUNT, portion},
};
use crate::{
    publisher::{
        LogOwner, PublishError, Publisher, entries,
        files::{self, FileError},
        tree::{self, Rows},
    },
    service::site::{SiteError, SiteService},
};

/// The most pieces of evidence that are kept: a hostile stick must not fill the disk.
const MOST_KEPT: usize = 16;

/// Why a site is not in step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Headquarters.
    #[error(transparent)]
    Headquarters(#[from] HqError),
    /// The site.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The log.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Headquarters have more of this site's log than the site.
    #[error(
        "headquarters have {theirs} leaves of this site's log, signed by its key, and this store has {own}: it is older. Restore the newest copy and run `recover`"
    )]
    Behind {
        /// What they have.
        theirs: u64,
        /// What the site has.
        own: u64,
    },
}

impl SyncError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Headquarters(error) => error.is_transient(),
            Self::Site(error) => error.is_transient(),
            Self::Publish(error) => error.is_transient(),
            Self::File(_) | Self::Behind { .. } => false,
        }
    }
}

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Synced {
    /// Leaves that went up.
    pub sent: u64,
    /// Whether a newer announcement came.
    pub announced: bool,
    /// Rounds whose opening packs came.
    pub packs: Vec<u32>,
    /// The size of the newest cosigned checkpoint.
    pub cosigned: Option<u64>,
    /// What was not taken over, and why. The rest was done.
    pub refused: Vec<String>,
}

/// Takes over what headquarters have for this site, and sends what they lack. Opening packs wait in `inbox` for a supervisor;
/// what contradicts the programme as the site knows it is kept in `inbox/.quarantine`. Nothing that comes is believed: what does
/// not verify is told, and stops nothing else.
///
/// # Errors
/// [`SyncError`].
pub fn sync(
    publisher: &Publisher<SiteService>,
    headquarters: &dyn Headquarters,
    inbox: PathBuf,
) -> Result<Synced, SyncError> {
    let mut step = Step { publisher, headquarters, inbox, synced: Synced::default() };
    step.announcement()?;
    step.packs()?;
    step.log()?;
    Ok(step.synced)
}

struct Step<'a> {
    publisher: &'a Publisher<SiteService>,
    headquarters: &'a dyn Headquarters,
    inbox: PathBuf,
    synced: Synced,
}

impl Step<'_> {
    fn announcement(&mut self) -> Result<(), SyncError> {
        let site = self.publisher.owner();
        let Some(announcement) = self.headquarters.announcement()? else { return Ok(()) };
        let before = site.announcement()?;
        if announcement == before {
            return Ok(());
        }
        match site.announce(&announcement) {
            Ok(()) => self.synced.announced = true,
            Err(SiteError::Older) => {}
            Err(SiteError::Store(error)) => return Err(SiteError::Store(error).into()),
            Err(error @ SiteError::Contradiction) => self.keep("announcement", &announcement, &error)?,
            Err(error) => self.synced.refused.push(format!("announcement: {error}")),
        }
        Ok(())
    }

    fn packs(&mut self) -> Result<(), SyncError> {
        let site = self.publisher.owner();
        let programme = site.programme();
        let header = programme.latest();
        for round in (header.policy.first_round.0..=header.last_round.0).map(Round) {
            if programme.in_force(round).is_err() || site.is_over(round)? {
                continue;
            }
            let Some(pack) = self.headquarters.pack(round, site.site())? else { continue };
            let what = format!("pack of round {round}");
            match site.check_pack(&pack) {
                Ok(found) if found == round => {}
                Ok(_) => {
                    self.synced.refused.push(format!("{what}: it is of another round"));
                    continue;
                }
                Err(SiteError::Store(error)) => return Err(SiteError::Store(error).into()),
                Err(error @ SiteError::SecondPack(_)) => {
                    self.keep(&what, &pack, &error)?;
                    continue;
                }
                Err(error) => {
                    self.synced.refused.push(format!("{what}: {error}"));
                    continue;
                }
            }
            let path = self.inbox.join(format!("round-{round}.pack"));
            match files::read(&path)? {
                Some(here) if here == pack => {}
                // Two that the issuer signed: neither goes.
                Some(here) if site.check_pack(&here).is_ok_and(|found| found == round) => {
                    self.keep(&what, &pack, &SiteError::SecondPack(round))?;
                }
                _ => {
                    files::replace(&path, &pack)?;
                    self.synced.packs.push(round.0);
                }
            }
        }
        Ok(())
    }

    fn log(&mut self) -> Result<(), SyncError> {
        self.publisher.publish(&[])?;
        let site = self.publisher.owner();
        let origin = site.terms().map_err(PublishError::from)?.log.name().to_owned();
        let own = site.store().log_size().map_err(SiteError::from)?;
        let state = self.headquarters.state(&origin)?;
        let mut size = self.known(&state, own)?;
        self.take_over(&state)?;
        while size < own {
            let bytes = package(self.publisher, &origin, size, own)?;
            let answer = self.headquarters.receive(&bytes)?;
            if answer.waits || answer.size <= size {
                break;
            }
            let now = answer.size.min(own);
            self.synced.sent += now - size;
            size = now;
            self.take_over(&answer)?;
        }
        self.synced.cosigned = self.publisher.cosigned()?.map(|(size, _)| size);
        Ok(())
    }

    /// How much of the log headquarters have: what this log's key signed, and nothing else that they say.
    fn known(&mut self, state: &Received, own: u64) -> Result<u64, SyncError> {
        let Some(note) = &state.checkpoint else { return Ok(0) };
        match self.publisher.recognise(note.as_bytes()) {
            Ok(size) => Ok(size),
            Err(PublishError::Behind { published, .. }) => Err(SyncError::Behind { theirs: published, own }),
            Err(PublishError::Note(error)) => {
                self.synced.refused.push(format!("what headquarters have of the log: {error}"));
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Publishes the checkpoint that the witnesses cosigned at headquarters.
    fn take_over(&mut self, state: &Received) -> Result<(), SyncError> {
        let Some(note) = &state.cosigned else { return Ok(()) };
        match self.publisher.accept(note.as_bytes()) {
            Ok(_) => Ok(()),
            Err(PublishError::Note(error)) => {
                self.synced.refused.push(format!("cosigned checkpoint: {error}"));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps what the issuer signed against itself.
    fn keep(&mut self, what: &str, bytes: &[u8], error: &SiteError) -> Result<(), SyncError> {
        let folder = self.inbox.join(".quarantine");
        let path = folder.join(&blake3::hash(bytes).to_hex().as_str()[..16]);
        if files::list(&folder)?.len() < MOST_KEPT {
            files::replace(&path, bytes)?;
        }
        self.synced.refused.push(format!("{what}: {error}. It is kept as {}", path.display()));
        Ok(())
    }
}

/// The package of the log from a position on: as much as fits.
fn package(publisher: &Publisher<SiteService>, origin: &str, from: u64, size: u64) -> Result<Vec<u8>, SyncError> {
    let site = publisher.owner();
    let most = size.min(from + MAX_COUNT as u64);
    let (before, entries): (Vec<TreeHash>, Vec<Vec<u8>>) = site
        .store()
        .read(|connection| {
            let before = tree::frontier(&Rows(connection), from)?.nodes().to_vec();
            Ok((before, entries(connection, from, most)?))
        })
        .map_err(SiteError::from)?;
    let count = portion(&entries);
    let checkpoint: SignedNote = publisher.checkpoint_at(from + count as u64)?;
    let package = Package {
        programme: site.programme().id(),
        origin: origin.to_owned(),
        from,
        before,
        checkpoint: checkpoint.to_string().into_bytes(),
        entries: entries[..count].to_vec(),
    };
    Ok(package.to_bytes())
}
