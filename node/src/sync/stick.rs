//! A memory stick between a site and headquarters.
//!
//! ```text
//! annona/<programme>/down/announcement.bin   down/packs/round-<n>-site-<id>.bin   down/logs/<origin in hex>.json
//! annona/<programme>/up/<origin in hex>/<from>
//! ```
//!
//! Every file is written whole and then renamed. What is half there, or was pulled out, is read as not there.

use std::path::{Path, PathBuf};

use annona_protocol::{
    ids::{ProgrammeId, Round, SiteId},
    programme::Programme,
};

use super::{
    Package, Received,
    headquarters::{Headquarters, HqError},
};
use crate::publisher::files::{self, FileError};

/// A stick as a site sees it: headquarters that answer by the next visit.
#[derive(Clone, Debug)]
pub struct Stick {
    folder: PathBuf,
}

/// Why a stick is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StickError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Headquarters.
    #[error(transparent)]
    Headquarters(#[from] HqError),
    /// Nothing of headquarters is on it.
    #[error("there is nothing of headquarters on this stick. Take it there first, and run `issuer sync --usb` there")]
    Empty,
}

/// What headquarters found on a stick.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// Packages that were taken, by log, with what is there of it now.
    pub taken: Vec<Received>,
    /// Packages that were not, and why. They stay on the stick.
    pub refused: Vec<String>,
}

impl Stick {
    /// A programme's part of a stick.
    pub fn new(folder: &Path, programme: ProgrammeId) -> Self {
        Self { folder: folder.join("annona").join(programme.to_string()) }
    }

    fn down(&self) -> PathBuf {
        self.folder.join("down")
    }

    fn pack_path(&self, round: Round, site: SiteId) -> PathBuf {
        self.down().join(format!("packs/round-{round}-site-{site}.bin"))
    }

    fn state_path(&self, origin: &str) -> PathBuf {
        self.down().join(format!("logs/{}.json", hex::encode(origin)))
    }

    /// At headquarters: takes in what sites sent, and writes what they need.
    ///
    /// # Errors
    /// [`StickError`]; a package that is refused stays, and stops nothing.
    pub fn at_headquarters(
        &self,
        headquarters: &dyn Headquarters,
        programme: &Programme,
    ) -> Result<Carried, StickError> {
        let mut carried = Carried::default();
        for folder in files::list(&self.folder.join("up"))? {
            for path in files::list(&folder)? {
                let Some(bytes) = files::read(&path)? else { continue };
                match headquarters.receive(&bytes) {
                    Ok(received) => {
                        // Taken or waiting there: it need not come again.
                        files::remove(&path)?;
                        carried.taken.push(received);
                    }
                    Err(error) => carried.refused.push(format!("{}: {error}", path.display())),
                }
            }
        }
        files::replace(&self.down().join("announcement.bin"), &headquarters.announcement()?)?;
        let header = programme.latest();
        for round in (header.policy.first_round.0..=header.last_round.0).map(Round) {
            for site in header.sites.iter().filter(|_| programme.in_force(round).is_ok()) {
                if let Some(pack) = headquarters.pack(round, site.id)? {
                    files::write_once(&self.pack_path(round, site.id), &pack)?;
                }
            }
        }
        for log in header.sites.iter().flat_map(|site| &site.logs) {
            let state = headquarters.state(&log.name)?;
            let json = serde_json::to_vec(&state).map_err(HqError::Answer)?;
            files::replace(&self.state_path(&log.name), &json)?;
        }
        Ok(carried)
    }
}

impl Headquarters for Stick {
    fn announcement(&self) -> Result<Vec<u8>, HqError> {
        let path = self.down().join("announcement.bin");
        read(&path)?.ok_or(HqError::Stick(Box::new(StickError::Empty)))
    }

    fn pack(&self, round: Round, site: SiteId) -> Result<Option<Vec<u8>>, HqError> {
        read(&self.pack_path(round, site))
    }

    fn state(&self, origin: &str) -> Result<Received, HqError> {
        let Some(bytes) = read(&self.state_path(origin))? else {
            return Ok(Received { log: String::new(), size: 0, waits: false, cosigned: None });
        };
        serde_json::from_slice(&bytes).map_err(HqError::Answer)
    }

    fn receive(&self, package: &[u8]) -> Result<Received, HqError> {
        let read = Package::from_bytes(package).map_err(|error| HqError::Mirror(error.into()))?;
        let path = self.folder.join("up").join(hex::encode(&read.origin)).join(format!("{:020}", read.from));
        files::replace(&path, package).map_err(stick)?;
        let state = self.state(&read.origin)?;
        Ok(Received { size: read.from + read.entries.len() as u64, ..state })
    }
}

fn stick(error: FileError) -> HqError {
    HqError::Stick(Box::new(error.into()))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, HqError> {
    files::read(path).map_err(stick)
}
