//! Whose log it is, and what its checkpoints have to bear.

use annona_protocol::{
    log::{KeyType, NoteError, VerifierKey},
    programme::{Header, LogKey},
};
use ed25519_dalek::SigningKey;

use crate::{
    service::{issuer::IssuerService, site::SiteService},
    store::Store,
};

/// A party with a store and a log of its own.
pub trait LogOwner: Send + Sync {
    /// The store that has the log's rows.
    fn store(&self) -> &Store;

    /// What signs the log's checkpoints.
    fn log_key(&self) -> &SigningKey;

    /// Name and witnesses by the newest manifest version that the party knows.
    ///
    /// # Errors
    /// [`NoteError`] for keys that no manifest should hold.
    fn terms(&self) -> Result<LogTerms, NoteError>;
}

/// What a checkpoint of a log must bear.
#[derive(Clone, Debug)]
pub struct LogTerms {
    /// The log's name, the first line of its checkpoints, and its key.
    pub log: VerifierKey,
    /// Who may cosign.
    pub witnesses: Vec<VerifierKey>,
    /// How many have to.
    pub threshold: usize,
}

impl LogTerms {
    /// The terms of a log under a manifest version.
    ///
    /// # Errors
    /// [`NoteError`] for keys that no manifest should hold.
    pub fn new(log: &LogKey, header: &Header) -> Result<Self, NoteError> {
        let witnesses = header.witnesses.iter().map(|witness| witness.verifier(KeyType::Witness));
        Ok(Self {
            log: log.verifier(KeyType::Log)?,
            witnesses: witnesses.collect::<Result<_, _>>()?,
            threshold: usize::from(header.witness_threshold),
        })
    }
}

impl LogOwner for IssuerService {
    fn store(&self) -> &Store {
        self.store()
    }

    fn log_key(&self) -> &SigningKey {
        self.log_key()
    }

    fn terms(&self) -> Result<LogTerms, NoteError> {
        self.with_programme(|programme| LogTerms::new(&programme.latest().issuer_log, programme.latest()))
    }
}

impl LogOwner for SiteService {
    fn store(&self) -> &Store {
        self.store()
    }

    fn log_key(&self) -> &SigningKey {
        self.key()
    }

    fn terms(&self) -> Result<LogTerms, NoteError> {
        let programme = self.programme();
        let header = programme.latest();
        let log = header.site(self.site()).and_then(|site| site.logs.last()).ok_or(NoteError::Origin)?;
        LogTerms::new(log, header)
    }
}
