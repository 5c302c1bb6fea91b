//! The link to real servers: the issuer's and the sites' HTTP interfaces.

use std::{collections::BTreeMap, time::Duration};

use annona_protocol::{
    bucket::Bucket,
    ids::{ProgrammeId, SiteId},
    programme::{
        Programme,
        announcement::{Announcement, AnnouncementError},
    },
    wire::{DecodeError, Message},
};
use annona_transport::{ANNOUNCEMENT, Client, Options, Server, TransportError};

use crate::{Endpoint, Link, LinkError, Refusal};

/// Clients of an issuer and of sites.
#[derive(Clone, Debug)]
pub struct HttpLink {
    issuer: Client,
    sites: BTreeMap<SiteId, Client>,
}

/// No address is known for a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address for site {0}")]
struct UnknownSite(SiteId);

/// An announcement that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Unannounced {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Announcement(#[from] AnnouncementError),
}

impl HttpLink {
    /// A link to an issuer; sites are added.
    pub fn new(issuer: Client) -> Self {
        Self { issuer, sites: BTreeMap::new() }
    }

    /// A link to the issuer that a ticket slip names by programme and address. Its key comes from its announcement, which verifies
    /// against the programme's id whoever gives it; everything else is asked of the holder of that key, the announcement too
    /// ([`HttpLink::programme`]), as whoever stands in between may give an older one.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::Unusable`] if the announcement does not hold.
    pub fn first(id: ProgrammeId, server: &str, options: &Options) -> Result<Self, LinkError> {
        let server = Self::pin(id, server, options)?;
        Ok(Self::new(Client::new(server, options).map_err(link_error)?))
    }

    /// The same issuer as an origin with its key, to be kept.
    ///
    /// # Errors
    /// As [`HttpLink::first`].
    pub fn pin(id: ProgrammeId, server: &str, options: &Options) -> Result<Server, LinkError> {
        let bytes = Client::unpinned_announcement(server, options).map_err(link_error)?;
        let key = Some(announced(&bytes, id)?.latest().issuer_log.key);
        Ok(Server { url: server.to_owned(), key })
    }

    /// Adds a site.
    #[must_use]
    pub fn with_site(mut self, site: SiteId, client: Client) -> Self {
        self.sites.insert(site, client);
        self
    }

    /// The programme as the issuer announces it, verified against its id.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::Unusable`] if the announcement does not hold.
    pub fn programme(&self, id: ProgrammeId) -> Result<Programme, LinkError> {
        self.announcement(id).map(|(_, programme)| programme)
    }

    /// The same with the announcement's bytes, to be kept.
    ///
    /// # Errors
    /// As [`HttpLink::programme`].
    pub fn announcement(&self, id: ProgrammeId) -> Result<(Vec<u8>, Programme), LinkError> {
        let bytes = self.issuer.get(ANNOUNCEMENT).map_err(link_error)?;
        let programme = announced(&bytes, id)?;
        Ok((bytes, programme))
    }

    /// A file of the issuer's log, or of a site's; nothing if it is not there.
    pub fn log_file(&self, site: Option<SiteId>, path: &str) -> Option<Vec<u8>> {
        let client = match site {
            None => &self.issuer,
            Some(site) => self.sites.get(&site)?,
        };
        client.get(&format!("/log/{path}")).ok()
    }

    fn site(&self, site: SiteId) -> Result<&Client, LinkError> {
        self.sites.get(&site).ok_or_else(|| LinkError::Unusable { source: UnknownSite(site).into() })
    }
}

fn announced(bytes: &[u8], id: ProgrammeId) -> Result<Programme, LinkError> {
    let announcement = Announcement::decode(bytes).map_err(Unannounced::from);
    let programme = announcement.and_then(|announcement| Ok(announcement.verify(id)?));
    programme.map_err(|error| LinkError::Unusable { source: error.into() })
}

fn slots_path(bucket: &Bucket, after: Option<[u8; 32]>) -> String {
    let path = format!("/v1/slots/{}", bucket.path());
    after.map_or_else(|| path.clone(), |after| format!("{path}?after={}", hex::encode(after)))
}

impl Link for HttpLink {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (client, path) = match endpoint {
            Endpoint::Enrol => (&self.issuer, "/v1/enrol"),
            Endpoint::RollOver => (&self.issuer, "/v1/roll-over"),
            Endpoint::Session => (&self.issuer, "/v1/sessions"),
            Endpoint::Draw => (&self.issuer, "/v1/draw"),
            Endpoint::Swap => (&self.issuer, "/v1/swap"),
            Endpoint::Amend => (&self.issuer, "/v1/amend"),
            Endpoint::SlotDirectory => return self.issuer.get("/v1/slots").map_err(link_error),
            Endpoint::Slots(bucket, after) => return self.issuer.get(&slots_path(&bucket, after)).map_err(link_error),
            Endpoint::Quote(site) => (self.site(site)?, "/v1/quote"),
            Endpoint::Redeem(site) => (self.site(site)?, "/v1/redeem"),
            Endpoint::Collect(site) => (self.site(site)?, "/v1/collect"),
        };
        client.post(path, body).map_err(link_error)
    }
}

fn link_error(error: TransportError) -> LinkError {
    let retry_after = error.retry_after().map(Duration::from_secs);
    match error {
        error if error.is_transient() => LinkError::Lost { retry_after, source: error.into() },
        TransportError::Refused(problem) => LinkError::Refused(Refusal {
            status: problem.status,
            text: if problem.title.is_empty() { problem.code.clone() } else { problem.title },
            code: problem.code,
            signed: None,
        }),
        TransportError::Signed { status, code, body } => {
            LinkError::Refused(Refusal { status, text: code.clone(), code, signed: Some(body) })
        }
        error => LinkError::Unusable { source: error.into() },
    }
}
