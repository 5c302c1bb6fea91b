//! A site's side: what it sends, and what it takes over.

use std::path::PathBuf;

use annona_protocol::{ids::Round, log::note::SignedNote};

use super::{
    Package, Received,
    headquarters::{Headquarters, HqError},
    package::portion,
};
use crate::{
    publisher::{
        LogOwner, PublishError, Publisher, entries,
        files::{self, FileError},
    },
    service::site::{SiteError, SiteService},
};

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
        "headquarters have {theirs} leaves of this site's log, and this store has {own}: it is older. Restore the newest copy and run `recover`"
    )]
    Behind {
        /// What they have.
        theirs: u64,
        /// What the site has.
        own: u64,
    },
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
}

/// Takes over what headquarters have for this site, and sends what they lack. Opening packs wait in `inbox` for a supervisor.
///
/// # Errors
/// [`SyncError`].
pub fn sync(
    publisher: &Publisher<SiteService>,
    headquarters: &dyn Headquarters,
    inbox: PathBuf,
) -> Result<Synced, SyncError> {
    let site = publisher.owner();
    let mut synced = Synced::default();
    match site.announce(&headquarters.announcement()?) {
        Ok(()) => synced.announced = true,
        Err(SiteError::Older) => {}
        Err(error) => return Err(error.into()),
    }
    let programme = site.programme();
    let policy = &programme.latest().policy;
    for round in (policy.first_round.0..=programme.latest().last_round.0).map(Round) {
        let path = inbox.join(format!("round-{round}.pack"));
        if programme.in_force(round).is_ok()
            && !path.exists()
            && let Some(pack) = headquarters.pack(round, site.site())?
        {
            files::write_once(&path, &pack)?;
            synced.packs.push(round.0);
        }
    }
    publisher.publish(&[])?;
    let terms = site.terms().map_err(PublishError::from)?;
    let origin = terms.log.name().to_owned();
    let own = site.store().log_size().map_err(SiteError::from)?;
    let mut state = headquarters.state(&origin)?;
    if state.size > own {
        return Err(SyncError::Behind { theirs: state.size, own });
    }
    while state.size < own && !state.waits {
        let (from, bytes) = (state.size, package(publisher, &origin, state.size, own)?);
        state = headquarters.receive(&bytes)?;
        synced.sent += state.size.saturating_sub(from);
        if state.size <= from {
            // On a stick nothing answers: the next package begins where this one ends.
            break;
        }
    }
    take_over(publisher, &state, &mut synced)?;
    Ok(synced)
}

/// Publishes the checkpoint that the witnesses cosigned at headquarters.
fn take_over(publisher: &Publisher<SiteService>, state: &Received, synced: &mut Synced) -> Result<(), SyncError> {
    if let Some(note) = &state.cosigned {
        publisher.accept(note.as_bytes())?;
    }
    synced.cosigned = publisher.cosigned()?.map(|(size, _)| size);
    Ok(())
}

/// The package of the log from a position on: as much as fits.
fn package(publisher: &Publisher<SiteService>, origin: &str, from: u64, size: u64) -> Result<Vec<u8>, SyncError> {
    let site = publisher.owner();
    let entries =
        site.store().read(|connection| entries(connection, from, size.min(from + 65_536))).map_err(SiteError::from)?;
    let count = portion(&entries);
    let to = from + count as u64;
    let checkpoint: SignedNote = publisher.checkpoint_at(to)?;
    let package = Package {
        programme: site.programme().id(),
        origin: origin.to_owned(),
        from,
        checkpoint: checkpoint.to_string().into_bytes(),
        entries: entries[..count].to_vec(),
    };
    Ok(package.to_bytes())
}
