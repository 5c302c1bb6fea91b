//! A memory stick between the counters of a site ([`SiteService::hand_over`]).
//!
//! ```text
//! annona/<programme>/counters/site-<id>-slot-<slots>.admission   ...-<number>-<hash>.package   ...-<number>-<hash>.taken
//! ```
//!
//! As in [`super::stick`]: files are whole or not there, and may be anybody's.

use std::{ffi::OsStr, path::Path};

use annona_protocol::ids::{ProgrammeId, SiteId, Slot};

use super::{folder::Folder, stick::Refused};
use crate::{
    publisher::files::FileError,
    service::site::{SiteError, SiteService, TakenIn},
};

/// The longest package of a counter, in bytes.
const MOST_PACKAGE: usize = 64 << 20;
/// The longest admission or confirmation.
const MOST_NOTE: usize = 4096;
const MOST_NAMES: usize = 4096;

/// A site's part of a stick between its counters.
#[derive(Debug)]
pub struct Desk {
    folder: Folder,
    site: SiteId,
}

/// Why a stick between counters is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The site.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// There is no admission.
    #[error("the stick has no admission for these slots. Run `site counter admit` for them at the main counter")]
    NoAdmission,
}

impl DeskError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Site(error) if error.is_transient())
    }
}

/// What a main counter found on a stick.
#[derive(Debug, Default)]
pub struct Found {
    /// Packages that were taken.
    pub taken: Vec<TakenIn>,
    /// Those that were not, and why. They stay on the stick.
    pub refused: Vec<String>,
}

/// What a counter found on a stick.
#[derive(Debug, Default)]
pub struct Confirmed {
    /// Packages that are confirmed.
    pub confirmed: usize,
    /// What does not hold, and why.
    pub refused: Vec<String>,
}

impl Desk {
    /// A site's part of a stick.
    ///
    /// # Errors
    /// [`DeskError::File`] if the stick is not there, or something else is in the way.
    pub fn new(stick: &Path, programme: ProgrammeId, site: SiteId) -> Result<Self, DeskError> {
        let folder = Folder::root(stick)?.make("annona")?.make(&programme.to_string())?.make("counters")?;
        Ok(Self { folder, site })
    }

    /// Writes an admission.
    ///
    /// # Errors
    /// [`DeskError::File`].
    pub fn put_admission(&self, slots: &[Slot], admission: &[u8]) -> Result<(), DeskError> {
        Ok(self.folder.replace(&format!("{}.admission", self.stem(slots)), admission)?)
    }

    /// Takes up an admission.
    ///
    /// # Errors
    /// [`DeskError::NoAdmission`], or what is wrong with it.
    pub fn admission(
        &self,
        slots: &[Slot],
        take_up: impl FnOnce(&[u8]) -> Result<(), SiteError>,
    ) -> Result<(), DeskError> {
        let name = format!("{}.admission", self.stem(slots));
        let admission = self.folder.read(name.as_ref(), MOST_NOTE)?.ok_or(DeskError::NoAdmission)?;
        Ok(take_up(&admission)?)
    }

    /// Writes a counter's packages.
    ///
    /// # Errors
    /// [`DeskError::File`]; the counter has them until they are confirmed.
    pub fn put_packages(&self, slots: &[Slot], packages: &[(u32, Vec<u8>)]) -> Result<(), DeskError> {
        for (number, package) in packages {
            let hash = blake3::hash(package).to_hex();
            self.folder.replace(&format!("{}-{number}-{}.package", self.stem(slots), &hash[..16]), package)?;
        }
        Ok(())
    }

    /// At the main counter: takes in every package of this site, confirms it on the stick, and takes it off.
    ///
    /// # Errors
    /// [`DeskError::File`], or a store that fails; a package that is refused stays, and stops nothing.
    pub fn take_in(&self, site: &SiteService) -> Result<Found, DeskError> {
        let (mut found, mut refused) = (Found::default(), Refused::default());
        self.each("package", MOST_PACKAGE, &mut refused, |name, package| {
            let taken = site.take_in(package)?;
            let confirmation = name.trim_end_matches("package").to_owned() + "taken";
            self.folder.replace(&confirmation, &taken.confirmation)?;
            found.taken.push(taken);
            Ok(true)
        })?;
        found.refused = refused.0;
        Ok(found)
    }

    /// At a counter: reads every confirmation of this store, and takes it off the stick.
    ///
    /// # Errors
    /// [`DeskError::File`], or a store that fails.
    pub fn handed_in(&self, site: &SiteService) -> Result<Confirmed, DeskError> {
        let (mut found, mut refused) = (Confirmed::default(), Refused::default());
        self.each("taken", MOST_NOTE, &mut refused, |_, confirmation| match site.handed_in(confirmation) {
            Ok(gone) => {
                found.confirmed += usize::from(gone);
                Ok(true)
            }
            // Another counter's.
            Err(SiteError::HandoverOther) => Ok(false),
            Err(error) => Err(error.into()),
        })?;
        found.refused = refused.0;
        Ok(found)
    }

    fn stem(&self, slots: &[Slot]) -> String {
        let mut slots: Vec<u8> = slots.iter().map(|slot| slot.0).collect();
        slots.sort_unstable();
        let slots: Vec<String> = slots.iter().map(u8::to_string).collect();
        format!("site-{}-slot-{}", self.site, slots.join("-"))
    }

    /// Does something with every file of this site that ends so; true takes it off the stick.
    fn each(
        &self,
        ending: &str,
        most: usize,
        refused: &mut Refused,
        mut act: impl FnMut(&str, &[u8]) -> Result<bool, DeskError>,
    ) -> Result<(), DeskError> {
        for name in self.folder.names(MOST_NAMES)? {
            let Some(text) = name.to_str().filter(|text| self.is_ours(text, ending)) else { continue };
            let done = match self.folder.read(OsStr::new(text), most) {
                Ok(Some(bytes)) => act(text, &bytes),
                Ok(None) => continue,
                Err(error) => Err(error.into()),
            };
            match done {
                Ok(true) => self.folder.remove(&name)?,
                Ok(false) => {}
                Err(DeskError::Site(error @ SiteError::Store(_))) => return Err(error.into()),
                Err(error) => refused.push(text, error),
            }
        }
        Ok(())
    }

    fn is_ours(&self, name: &str, ending: &str) -> bool {
        name.starts_with(&format!("site-{}-", self.site)) && name.ends_with(&format!(".{ending}"))
    }
}
