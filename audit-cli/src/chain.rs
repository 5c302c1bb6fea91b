//! A programme's manifest chain, believed by the programme's id alone, and the logs that it names.

use annona_protocol::{
    ids::{ProgrammeId, SiteId},
    log::{
        Checkpoint, KeyType, NoteError, VerifiedCheckpoint, VerifierKey,
        leaf::IssuerLeaf,
        note::verify_checkpoint,
        tile::{TileError, TileKind, decode_bundle, paths},
    },
    programme::{Header, LogKey, ManifestError, SignedHeader},
    wire::Message as _,
};

/// A manifest chain whose genesis hashes to the programme's id and whose versions the officers signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    programme: ProgrammeId,
    versions: Vec<SignedHeader>,
}

/// A log that the newest version names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLog {
    /// Its folder below `logs/`.
    pub folder: String,
    /// Whose it is; none for the issuer's.
    pub site: Option<SiteId>,
    /// Its name and key.
    pub key: LogKey,
    /// Whether it is its party's last: others were replaced.
    pub is_current: bool,
}

/// Why versions are no chain of the programme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// There is no version, or the first is not the genesis with this id.
    #[error("the manifest is not of this programme. Check the programme id")]
    Programme,
    /// A version breaks the rules, or its officers did not sign it.
    #[error("the manifest does not hold: {0}. Get it from another source")]
    Manifest(#[from] ManifestError),
    /// The issuer's log cannot be read.
    #[error("the issuer's log cannot be read: {0}. Fetch its tiles again")]
    Tile(#[from] TileError),
}

impl Chain {
    /// Verifies versions, from the genesis on. The key list is not part of it.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn new(programme: ProgrammeId, versions: Vec<SignedHeader>) -> Result<Self, ChainError> {
        let genesis = &versions.first().ok_or(ChainError::Programme)?.header;
        if genesis.version != 0 || genesis.programme_id() != programme {
            return Err(ChainError::Programme);
        }
        let mut deciding = genesis;
        for signed in &versions {
            signed.header.validate()?;
            if signed.header.version != 0 {
                signed.header.follows(deciding)?;
            }
            signed.verify_signatures(deciding)?;
            deciding = &signed.header;
        }
        Ok(Self { programme, versions })
    }

    /// Reads the versions out of an issuer's log of this size, through a fetcher below the log's folder.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn from_log(
        programme: ProgrammeId,
        fetch: impl Fn(&str) -> Option<Vec<u8>>,
        size: u64,
    ) -> Result<Self, ChainError> {
        let mut versions = Vec::new();
        for path in paths(size).take_while(|path| path.kind() == TileKind::Entries) {
            let bytes = fetch(&path.to_string()).ok_or(TileError::Missing { path })?;
            let entries = decode_bundle(&bytes, path.width()).ok_or(TileError::Malformed { path })?;
            versions.extend(entries.iter().filter_map(|entry| match IssuerLeaf::decode(entry) {
                Ok(IssuerLeaf::Manifest(version)) => Some(version),
                _ => None,
            }));
        }
        Self::new(programme, versions)
    }

    /// The programme's id.
    pub fn programme(&self) -> ProgrammeId {
        self.programme
    }

    /// All versions, from the genesis on.
    pub fn versions(&self) -> &[SignedHeader] {
        &self.versions
    }

    /// The newest version.
    pub fn newest(&self) -> &Header {
        &self.versions.last().expect("a chain has a genesis").header
    }

    /// Whether one of the two chains begins with the other.
    pub fn agrees(&self, other: &Self) -> bool {
        self.versions.iter().zip(&other.versions).all(|(own, other)| own.header == other.header)
    }

    /// The logs, the issuer's first.
    pub fn logs(&self) -> Vec<NamedLog> {
        let newest = self.newest();
        let issuer = NamedLog { folder: "issuer".into(), site: None, key: newest.issuer_log.clone(), is_current: true };
        let sites = newest.sites.iter().flat_map(|site| {
            site.logs.iter().enumerate().map(|(at, key)| NamedLog {
                folder: if at == 0 { format!("site-{}", site.id) } else { format!("site-{}.{}", site.id, at + 1) },
                site: Some(site.id),
                key: key.clone(),
                is_current: at + 1 == site.logs.len(),
            })
        });
        std::iter::once(issuer).chain(sites).collect()
    }

    /// The log of this name.
    pub fn log(&self, origin: &str) -> Option<NamedLog> {
        self.logs().into_iter().find(|log| log.key.name == origin)
    }

    /// Verifies a checkpoint, cosigned as any version asked for: a party that is behind is not a party that lies, and an audit
    /// asks for the witnesses of the right version. `uncosigned` asks for the log's own signature only.
    ///
    /// # Errors
    /// [`NoteError`] under the newest version.
    pub fn verify_checkpoint(
        &self,
        note: &[u8],
        log: &NamedLog,
        uncosigned: bool,
    ) -> Result<VerifiedCheckpoint, NoteError> {
        if uncosigned {
            return verify_checkpoint(note, &log.verifier()?, &[], 0);
        }
        let newest = self.newest().verify_checkpoint(note, &log.key);
        newest.or_else(|error| {
            let older = self.versions.iter().rev().skip(1);
            older
                .map(|version| version.header.verify_checkpoint(note, &log.key))
                .find(Result::is_ok)
                .unwrap_or(Err(error))
        })
    }

    /// What a note says, if the log itself signed it.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn signed_by(&self, note: &[u8], log: &NamedLog) -> Result<Checkpoint, NoteError> {
        Ok(verify_checkpoint(note, &log.verifier()?, &[], 0)?.checkpoint().clone())
    }
}

impl NamedLog {
    /// The key as notes name it.
    ///
    /// # Errors
    /// [`NoteError`] for keys that no manifest should hold.
    pub fn verifier(&self) -> Result<VerifierKey, NoteError> {
        self.key.verifier(KeyType::Log)
    }
}
