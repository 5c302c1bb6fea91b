//! The folders that an issuer and a site keep: keys under a passphrase beside a store that knows none.
//!
//! ```text
//! annona.db  lock  published/                         both
//! keys/issuer.age  keys/round-<n>.age  proposals/     issuer: the masters of rounds that are not closed
//! keys/site.age                                       site: the key of its log
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use annona_protocol::{
    ids::{ProgrammeId, Round},
    voucher::RoundMaster,
};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::{
    authoring::{self, Draft, DraftError},
    keys::{self, KeyFileError, Passphrase},
    officers::{Approved, Proposal, ProposalError},
    random,
    service::{
        issuer::{IssuerError, IssuerSecrets, IssuerService},
        site::{SiteError, SiteOptions, SiteService},
    },
    store::{Role, Store, StoreError, database},
};

/// Why a home folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A key file that holds something else.
    #[error("{} does not hold the keys that belong there. Restore it from its backup", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The programme's file.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// A proposal.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The site.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error("cannot use {}: {source}. Check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The programme's rounds do not reach that far, or it was opened before.
    #[error(
        "round {0} cannot be prepared: it is not planned, or its keys are listed already. Check the programme's file"
    )]
    Round(Round),
    /// A degenerate key: practically never.
    #[error("the keys of round {0} came out degenerate. Remove keys/round-{0}.age and prepare the round again")]
    Degenerate(Round),
}

impl HomeError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Issuer(error) => error.is_transient(),
            Self::Site(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// An issuer's folder.
#[derive(Clone, Debug)]
pub struct IssuerHome(PathBuf);

impl IssuerHome {
    /// A folder, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the log is published.
    pub fn published(&self) -> PathBuf {
        self.0.join("published")
    }

    /// Where the sites' logs are kept that they sent.
    pub fn received(&self) -> PathBuf {
        self.0.join("received")
    }

    fn issuer_key(&self) -> PathBuf {
        self.0.join("keys/issuer.age")
    }

    fn round_key(&self, round: Round) -> PathBuf {
        self.0.join(format!("keys/round-{round}.age"))
    }

    /// Makes the issuer's keys and proposes the genesis. The store begins when enough officers have signed it.
    ///
    /// # Errors
    /// [`HomeError::Draft`] names the line; [`HomeError::Key`] if there are keys already.
    pub fn init(&self, draft: &Draft, passphrase: &Passphrase, work_factor: u8) -> Result<Proposal, HomeError> {
        let secrets = IssuerSecrets::generate(&mut random::os());
        // Everything that can be wrong with the file is found before a key is written.
        let log = annona_protocol::signature::PublicKey::of(&secrets.log);
        let genesis = draft.genesis(secrets.credential.public(), log)?;
        make_folder(&self.0.join("keys"))?;
        keys::write_secret(&self.issuer_key(), &secrets.to_bytes(), passphrase, work_factor)?;
        Ok(Proposal::version(genesis, &[], Vec::new()))
    }

    /// The long-lived secrets.
    ///
    /// # Errors
    /// [`HomeError::Key`], [`HomeError::Content`].
    pub fn secrets(&self, passphrase: &Passphrase) -> Result<IssuerSecrets, HomeError> {
        let path = self.issuer_key();
        let bytes = keys::read_secret(&path, passphrase)?;
        IssuerSecrets::from_bytes(&bytes).ok_or(HomeError::Content { path })
    }

    /// The master of a round; none if there is no file.
    ///
    /// # Errors
    /// [`HomeError::Key`], [`HomeError::Content`].
    pub fn master(&self, round: Round, passphrase: &Passphrase) -> Result<Option<RoundMaster>, HomeError> {
        let path = self.round_key(round);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = keys::read_secret(&path, passphrase)?;
        let bytes = <&[u8; 64]>::try_from(&bytes[..]).map_err(|_| HomeError::Content { path })?;
        Ok(Some(RoundMaster::from_bytes(bytes)))
    }

    /// Starts the store from an approved genesis.
    ///
    /// # Errors
    /// [`HomeError::Proposal`], [`HomeError::Issuer`].
    pub fn begin(&self, genesis: Proposal, passphrase: &Passphrase) -> Result<ProgrammeId, HomeError> {
        let Approved::Version { signed, .. } = genesis.approve(None)? else {
            return Err(ProposalError::Stale.into());
        };
        Ok(IssuerService::create(&self.0, &signed, &self.secrets(passphrase)?)?)
    }

    /// Whether the store was begun.
    pub fn is_begun(&self) -> bool {
        database(&self.0).exists()
    }

    /// Opens the issuer with the masters of its open rounds, and erases those of rounds that were closed.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(&self, passphrase: &Passphrase, second: Option<&Path>) -> Result<IssuerService, HomeError> {
        let store = Store::open_with(&self.0, Role::Issuer, second)?;
        let secrets = self.secrets(passphrase)?;
        let mut masters = BTreeMap::new();
        let open = IssuerService::unclosed_rounds(&store)?;
        for round in open {
            let master = self.master(round, passphrase)?.ok_or(IssuerError::Master(round))?;
            masters.insert(round, master);
        }
        let service = IssuerService::open(store, secrets, &masters)?;
        self.erase_closed(&service)?;
        Ok(service)
    }

    /// Erases the masters of closed rounds (spec 5.1-M4), and at the programme's end those of rounds that were never opened.
    ///
    /// # Errors
    /// [`HomeError::Key`].
    pub fn erase_closed(&self, service: &IssuerService) -> Result<(), HomeError> {
        for round in service.closed_rounds()? {
            let path = self.round_key(round);
            if path.exists() {
                keys::erase(&path)?;
            }
        }
        if service.is_over()? {
            self.erase_unopened(service.with_programme(|programme| programme.latest().last_round))?;
        }
        Ok(())
    }

    /// Masters of rounds that were prepared and never opened; those beyond the last planned round wait for its extension.
    fn erase_unopened(&self, last: Round) -> Result<(), HomeError> {
        let folder = self.0.join("keys");
        let failed = |source| HomeError::File { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let round = name.strip_prefix("round-").and_then(|name| name.strip_suffix(".age"));
            if round.and_then(|round| round.parse().ok()).is_some_and(|round: u32| round <= last.0) {
                keys::erase(&path)?;
            }
        }
        Ok(())
    }

    /// Makes a round's master, unless it was made before, and proposes the version that lists its keys. `draft` is the edited
    /// programme's file, if it changed.
    ///
    /// # Errors
    /// [`HomeError::Round`], [`HomeError::Draft`].
    pub fn prepare_round(
        &self,
        service: &IssuerService,
        round: Round,
        draft: Option<&Draft>,
        passphrase: &Passphrase,
        work_factor: u8,
    ) -> Result<Proposal, HomeError> {
        let (latest, keys) =
            service.with_programme(|programme| (programme.latest().clone(), programme.keys().to_vec()));
        let next = match draft {
            Some(draft) => draft.next(&latest)?,
            None => authoring::with_keys(&latest, &keys, &[]),
        };
        if !next.plans(round) || keys.iter().any(|entry| entry.id.round == round) {
            return Err(HomeError::Round(round));
        }
        let master = match self.master(round, passphrase)? {
            Some(master) => master,
            None => {
                let master = RoundMaster::generate(&mut random::os());
                make_folder(&self.0.join("keys"))?;
                keys::write_secret(&self.round_key(round), &*master.to_bytes(), passphrase, work_factor)?;
                master
            }
        };
        let added = authoring::round_keys(&next, &master, round).ok_or(HomeError::Degenerate(round))?;
        let header = authoring::add_keys(next, &keys, &added);
        Ok(Proposal::version(header, &keys, added))
    }

    /// Takes what the officers approved.
    ///
    /// # Errors
    /// [`HomeError::Proposal`], [`HomeError::Issuer`].
    pub fn approve(service: &IssuerService, proposal: Proposal) -> Result<(), HomeError> {
        let latest = service.with_programme(|programme| programme.latest().clone());
        match proposal.approve(Some(&latest))? {
            Approved::Version { signed, added } => service.append_version(&signed, &added)?,
            Approved::Lot(leaf) => service.approve_lot(&leaf)?,
        }
        Ok(())
    }

    /// Opens a round for draws.
    ///
    /// # Errors
    /// [`HomeError::Issuer`].
    pub fn open_round(&self, service: &IssuerService, round: Round, passphrase: &Passphrase) -> Result<(), HomeError> {
        let master = self.master(round, passphrase)?.ok_or(IssuerError::Master(round))?;
        Ok(service.open_round(round, &master)?)
    }

    /// Closes a round, and erases its master.
    ///
    /// # Errors
    /// [`HomeError::Issuer`].
    pub fn close_round(&self, service: &IssuerService, round: Round) -> Result<(), HomeError> {
        service.close_round(round)?;
        self.erase_closed(service)
    }
}

/// A site's folder.
#[derive(Clone, Debug)]
pub struct SiteHome(PathBuf);

impl SiteHome {
    /// A folder, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the log is published.
    pub fn published(&self) -> PathBuf {
        self.0.join("published")
    }

    /// Where opening packs wait for a supervisor.
    pub fn inbox(&self) -> PathBuf {
        self.0.join("inbox")
    }

    fn key_file(&self) -> PathBuf {
        self.0.join("keys/site.age")
    }

    /// Makes the key of the site's log: the programme's file names its public half.
    ///
    /// # Errors
    /// [`HomeError::Key`] if there is one.
    pub fn make_key(&self, passphrase: &Passphrase, work_factor: u8) -> Result<SigningKey, HomeError> {
        let key = authoring::signing_key(&mut random::os());
        make_folder(&self.0.join("keys"))?;
        keys::write_secret(&self.key_file(), key.as_bytes(), passphrase, work_factor)?;
        Ok(key)
    }

    /// The key of the site's log.
    ///
    /// # Errors
    /// [`HomeError::Key`], [`HomeError::Content`].
    pub fn key(&self, passphrase: &Passphrase) -> Result<SigningKey, HomeError> {
        let path = self.key_file();
        let bytes = keys::read_secret(&path, passphrase)?;
        let seed = <[u8; 32]>::try_from(&bytes[..]).map_err(|_| HomeError::Content { path })?;
        Ok(SigningKey::from_bytes(&Zeroizing::new(seed)))
    }

    /// Opens the site.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(
        &self,
        passphrase: &Passphrase,
        second: Option<&Path>,
        options: SiteOptions,
    ) -> Result<SiteService, HomeError> {
        let store = Store::open_with(&self.0, Role::Site, second)?;
        Ok(SiteService::open(store, self.key(passphrase)?, options)?)
    }
}

/// Makes a folder that only its owner reads.
fn make_folder(path: &Path) -> Result<(), HomeError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| HomeError::File { path: path.to_owned(), source })
}
