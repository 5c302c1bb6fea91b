//! A memory stick between a site and headquarters.
//!
//! ```text
//! annona/<programme>/down/announcement   down/pack-<round>-<site>   down/state-<log>
//! annona/<programme>/up/<log>/<from>
//! ```
//!
//! `<log>` is the start of the BLAKE3 hash of the log's name. Every file is written whole and then renamed. What is half there, or
//! was pulled out, is read as not there; names and contents may be anybody's.

use std::{ffi::OsStr, path::Path};

use annona_protocol::{
    ids::{ProgrammeId, Round, SiteId},
    programme::{Announcement, Programme},
    slip::OpeningPack,
    wire::Message as _,
};

use super::{
    MAX_BYTES, Package, Received,
    folder::Folder,
    headquarters::{Headquarters, HqError},
};
use crate::publisher::files::FileError;

/// The most names of a folder that are looked at.
const MOST_NAMES: usize = 4096;
/// The most that is told of what was refused.
const MOST_TOLD: usize = 100;
/// The longest state of a log.
const MOST_STATE: usize = 64 << 10;

/// A stick as a site sees it: headquarters that answer by the next visit.
#[derive(Clone, Debug)]
pub struct Stick {
    folder: Folder,
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
}

impl StickError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Headquarters(error) if error.is_transient())
    }
}

/// What headquarters found on a stick.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// Packages that were taken, by log, with what is there of it now.
    pub taken: Vec<Received>,
    /// What was not taken, and why. It stays on the stick.
    pub refused: Vec<String>,
}

/// What was refused, and why, for a terminal.
#[derive(Debug, Default)]
pub(super) struct Refused(pub(super) Vec<String>);

impl Refused {
    /// Names come from the stick: no control character, nothing that turns a line round.
    pub(super) fn push(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
        if self.0.len() < MOST_TOLD {
            let escape = |c: char| if matches!(c, '"' | '\'') { c.to_string() } else { c.escape_debug().to_string() };
            self.0.push(format!("{what}: {why}").chars().map(escape).collect());
        }
    }
}

/// The name of a log on a stick.
fn log_name(origin: &str) -> String {
    blake3::hash(origin.as_bytes()).to_hex()[..32].to_owned()
}

impl Stick {
    /// A programme's part of a stick, which is made if it is not there.
    ///
    /// # Errors
    /// [`StickError::File`] if the stick is not there, or something else is in the way.
    pub fn new(folder: &Path, programme: ProgrammeId) -> Result<Self, StickError> {
        let folder = Folder::root(folder)?.make("annona")?.make(&programme.to_string())?;
        Ok(Self { folder })
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
        let header = programme.latest();
        let (mut carried, mut refused) = (Carried::default(), Refused::default());
        let mut folders = Vec::new();
        if let Some(up) = self.folder.enter("up")? {
            for log in header.sites.iter().flat_map(|site| &site.logs) {
                let name = log_name(&log.name);
                match up.enter(&name) {
                    Ok(Some(folder)) => take_in(&folder, headquarters, &mut carried, &mut refused)?,
                    Ok(None) => {}
                    Err(error) => refused.push(&name, error),
                }
                folders.push(name);
            }
            for name in up.names(MOST_NAMES)? {
                if !folders.iter().any(|known| OsStr::new(known) == name) {
                    refused.push(name.to_string_lossy(), "is of no log that the manifest names");
                }
            }
        }
        let down = self.folder.make("down")?;
        if let Some(announcement) = headquarters.announcement()? {
            down.replace("announcement", &announcement)?;
        }
        for round in (header.policy.first_round.0..=header.last_round.0).map(Round) {
            for site in header.sites.iter().filter(|_| programme.in_force(round).is_ok()) {
                if let Some(pack) = headquarters.pack(round, site.id)? {
                    down.replace(&pack_name(round, site.id), &pack)?;
                }
            }
        }
        for log in header.sites.iter().flat_map(|site| &site.logs) {
            match headquarters.state(&log.name) {
                Ok(state) => {
                    let json = serde_json::to_vec(&state).map_err(HqError::Answer)?;
                    down.replace(&state_name(&log.name), &json)?;
                }
                // What is wrong with one log stops no other site.
                Err(error @ HqError::Mirror(_)) => refused.push(&log.name, error),
                Err(error) => return Err(error.into()),
            }
        }
        carried.refused = refused.0;
        Ok(carried)
    }
}

/// Takes in the packages of one log.
fn take_in(
    folder: &Folder,
    headquarters: &dyn Headquarters,
    carried: &mut Carried,
    refused: &mut Refused,
) -> Result<(), StickError> {
    for name in folder.names(MOST_NAMES)? {
        let bytes = match folder.read(&name, MAX_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) => {
                refused.push(name.to_string_lossy(), error);
                continue;
            }
        };
        match headquarters.receive(&bytes) {
            Ok(received) => {
                // Taken or waiting there: it need not come again.
                folder.remove(&name)?;
                carried.taken.push(received);
            }
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => refused.push(name.to_string_lossy(), error),
        }
    }
    Ok(())
}

fn pack_name(round: Round, site: SiteId) -> String {
    format!("pack-{round}-{site}")
}

fn state_name(origin: &str) -> String {
    format!("state-{}", log_name(origin))
}

impl Stick {
    fn down(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, HqError> {
        let down = self.folder.enter("down").map_err(of_stick)?;
        down.map_or(Ok(None), |down| down.read(name.as_ref(), most).map_err(of_stick))
    }
}

impl Headquarters for Stick {
    fn announcement(&self) -> Result<Option<Vec<u8>>, HqError> {
        self.down("announcement", Announcement::MAX_BYTES)
    }

    fn pack(&self, round: Round, site: SiteId) -> Result<Option<Vec<u8>>, HqError> {
        self.down(&pack_name(round, site), OpeningPack::MAX_BYTES)
    }

    fn state(&self, origin: &str) -> Result<Received, HqError> {
        let bytes = self.down(&state_name(origin), MOST_STATE)?;
        // Half a state is none: everything is sent again.
        let state = bytes.and_then(|bytes| serde_json::from_slice::<Received>(&bytes).ok());
        Ok(Received { waits: false, ..state.unwrap_or_default() })
    }

    fn receive(&self, package: &[u8]) -> Result<Received, HqError> {
        let read = Package::from_bytes(package).map_err(|error| HqError::Mirror(error.into()))?;
        let up = self.folder.make("up").and_then(|up| up.make(&log_name(&read.origin))).map_err(of_stick)?;
        up.replace(&format!("{:020}", read.from), package).map_err(of_stick)?;
        // Nothing answers: the next package begins where this one ends.
        Ok(Received { size: read.from + read.entries.len() as u64, ..Received::default() })
    }
}

fn of_stick(error: FileError) -> HqError {
    HqError::Stick(Box::new(error.into()))
}
