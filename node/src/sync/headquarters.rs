//! Headquarters as a site, or a stick on its way, sees them: in this process, or over HTTP.

use std::sync::Mutex;

use annona_protocol::ids::{Round, SiteId};
use annona_transport::{Client, TransportError};

use super::{Mirror, MirrorError, Package, Received};
use crate::{
    publisher::{AnnounceError, Announcer},
    service::issuer::{IssuerError, IssuerService},
    witness::WitnessClient,
};

/// Why headquarters do not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HqError {
    /// Not reached, or refused.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The received logs.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// No announcement.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    /// A stick on its way to them.
    #[error(transparent)]
    Stick(#[from] Box<super::stick::StickError>),
    /// An answer that is none.
    #[error("headquarters answered with something else. Check the address")]
    Answer(#[source] serde_json::Error),
}

impl HqError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_transient(),
            Self::Mirror(error) => matches!(error, MirrorError::Locked),
            Self::Issuer(error) => error.is_transient(),
            Self::Announce(_) | Self::Stick(_) | Self::Answer(_) => false,
        }
    }
}

/// What headquarters do for sites.
pub trait Headquarters {
    /// The newest announcement, encoded; none on a stick that was not there yet.
    ///
    /// # Errors
    /// [`HqError`].
    fn announcement(&self) -> Result<Option<Vec<u8>>, HqError>;
    /// A site's opening pack of a round, encoded; none before the freeze.
    ///
    /// # Errors
    /// [`HqError`].
    fn pack(&self, round: Round, site: SiteId) -> Result<Option<Vec<u8>>, HqError>;
    /// How much of a log they have.
    ///
    /// # Errors
    /// [`HqError`].
    fn state(&self, origin: &str) -> Result<Received, HqError>;
    /// Takes a package of a log.
    ///
    /// # Errors
    /// [`HqError`].
    fn receive(&self, package: &[u8]) -> Result<Received, HqError>;
}

/// Headquarters in this process.
#[derive(Debug)]
pub struct Local<'a> {
    issuer: &'a IssuerService,
    announcer: &'a Announcer,
    mirror: Mutex<Mirror>,
    witnesses: Vec<WitnessClient>,
}

impl<'a> Local<'a> {
    /// Over an issuer and its received logs.
    pub fn new(
        issuer: &'a IssuerService,
        announcer: &'a Announcer,
        mirror: Mirror,
        witnesses: Vec<WitnessClient>,
    ) -> Self {
        Self { issuer, announcer, mirror: Mutex::new(mirror), witnesses }
    }
}

/// Takes a package, and has the log cosigned as far as witnesses are in reach.
pub(crate) fn receive(
    issuer: &IssuerService,
    mirror: &Mutex<Mirror>,
    witnesses: &[WitnessClient],
    package: &[u8],
) -> Result<Received, MirrorError> {
    let (id, header) = issuer.with_programme(|programme| (programme.id(), programme.latest().clone()));
    let package = Package::from_bytes(package)?;
    let mirror = mirror.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let received = mirror.receive(id, &header, &package)?;
    mirror.cosign(&header, &package.origin, witnesses)?;
    Ok(Received { waits: received.waits, ..mirror.state(&header, &package.origin)? })
}

/// What is here of a log. A witness that was out of reach before may be in reach now.
pub(crate) fn state(
    issuer: &IssuerService,
    mirror: &Mutex<Mirror>,
    witnesses: &[WitnessClient],
    origin: &str,
) -> Result<Received, MirrorError> {
    let header = issuer.with_programme(|programme| programme.latest().clone());
    let mirror = mirror.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    mirror.cosign(&header, origin, witnesses)?;
    mirror.state(&header, origin)
}

impl Headquarters for Local<'_> {
    fn announcement(&self) -> Result<Option<Vec<u8>>, HqError> {
        Ok(Some(self.announcer.announcement()?.to_vec()))
    }

    fn pack(&self, round: Round, site: SiteId) -> Result<Option<Vec<u8>>, HqError> {
        match self.issuer.pack(round, site) {
            Ok(pack) => Ok(Some(pack)),
            Err(IssuerError::Round(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn state(&self, origin: &str) -> Result<Received, HqError> {
        Ok(state(self.issuer, &self.mirror, &self.witnesses, origin)?)
    }

    fn receive(&self, package: &[u8]) -> Result<Received, HqError> {
        Ok(receive(self.issuer, &self.mirror, &self.witnesses, package)?)
    }
}

/// Headquarters over HTTP.
#[derive(Debug)]
pub struct Remote(pub Client);

impl Headquarters for Remote {
    fn announcement(&self) -> Result<Option<Vec<u8>>, HqError> {
        Ok(Some(self.0.get("/v1/announcement")?))
    }

    fn pack(&self, round: Round, site: SiteId) -> Result<Option<Vec<u8>>, HqError> {
        match self.0.get(&format!("/v1/packs/{round}/{site}")) {
            Ok(pack) => Ok(Some(pack)),
            Err(TransportError::Refused(problem)) if problem.code == "pack-unknown" => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn state(&self, origin: &str) -> Result<Received, HqError> {
        let answer = self.0.post("/v1/logs/state", origin.as_bytes())?;
        serde_json::from_slice(&answer).map_err(HqError::Answer)
    }

    fn receive(&self, package: &[u8]) -> Result<Received, HqError> {
        let answer = self.0.post("/v1/logs", package)?;
        serde_json::from_slice(&answer).map_err(HqError::Answer)
    }
}
