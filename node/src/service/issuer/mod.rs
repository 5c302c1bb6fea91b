//! The issuer (spec 4, 5, 6, 8): tickets, spent serials, signing sessions, swaps, rounds, and the log.
//!
//! Requests are answered from several threads. Proofs are checked outside the store; serial spent, answer stored and leaf queued
//! are one job of it. Nonces of sessions live in this process' memory only.

mod buckets;
mod forget;
mod moves;
mod office;
mod rounds;
mod sealed;
mod sessions;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use annona_protocol::{
    cohort::CohortError,
    credential::IssuerKey,
    draw::{DrawError, RoundKeys, SessionGone},
    enrol::EnrolError,
    ids::{LotId, ProgrammeId, Round},
    log::{
        leaf::{IssuerLeaf, LotLeaf},
        merkle::MerkleError,
    },
    programme::{KeyEntry, ManifestError, Programme, SignedHeader},
    signature::PublicKey,
    swap::SwapError,
    voucher::{RoundMaster, VoucherError},
    wire::{DecodeError, Message},
};
use ed25519_dalek::SigningKey;
pub use office::{Grant, LotPlan};
pub use rounds::LostSums;
use rusqlite::{OptionalExtension as _, params};
pub use sealed::StoreKey;
use sessions::Sessions;
use zeroize::Zeroizing;

use super::in_flight::{InFlight, StillBusy};
use crate::store::{LogState, Pending, Role, Store, StoreError};

/// How long a repeated request waits for the first.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the issuer refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The manifest or the round.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// A roll-over, draw or amend.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// A swap.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// A surrender.
    #[error(transparent)]
    Surrender(#[from] VoucherError),
    /// The ticket is unknown, or its lot is not approved.
    #[error("the ticket is unknown")]
    TicketUnknown,
    /// Too many unknown tickets were tried.
    #[error("too many unknown tickets were tried; ask again later")]
    TicketGuesses,
    /// The ticket was used with another request.
    #[error("the ticket is used")]
    TicketUsed,
    /// The ticket is for the leaving part of a household whose amend has not been made.
    #[error("the ticket becomes valid when the household's amend is made")]
    TicketEarly,
    /// A split is to wait for an amend whose ticket is not here.
    #[error(
        "the tickets of the amends are not here, or went when their rounds closed: import the lot of the amends first"
    )]
    AmendUnknown,
    /// The serial, or a voucher of a swap, was spent with another request.
    #[error("the credential or voucher is spent")]
    Spent,
    /// The request was answered, and the answer went when the programme ended.
    #[error("the request was answered before the programme ended; the answer is in the issuer's log")]
    AnswerErased,
    /// A slot of that id exists: another one is to be chosen.
    #[error("a recovery slot of this id exists; take the next")]
    SlotExists,
    /// There is no such bucket of slots, or no more.
    #[error("there is no such bucket of slots; look into the directory again")]
    BucketUnknown,
    /// The same request is being answered.
    #[error(transparent)]
    Busy(#[from] StillBusy),
    /// The session is gone, and this is the signed word that the serial is unspent.
    #[error("the signing session is gone; the serial is unspent")]
    SessionGone(Box<SessionGone>),
    /// The session of a swap is gone; its vouchers are unswapped.
    #[error("the signing session is gone; open another")]
    SwapSessionGone,
    /// Too many open sessions.
    #[error("too many open sessions; ask again later")]
    Sessions,
    /// The round is not open for this.
    #[error("round {0} is not open for this")]
    Round(Round),
    /// The round before has to be closed.
    #[error("round {0} has to be closed first: the programme lets requests run ahead no further")]
    Ahead(Round),
    /// A cohort cannot be opened.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// The running sum of a class that has to be opened is gone.
    #[error(
        "the sum of a cohort of {waiting} households is lost: this store was made from a backup, which has no sums. Recover the store from its second medium; if there is none, freeze with --leave-lost-cohorts: the audit will say class-unopened"
    )]
    CohortLost {
        /// How many members wait.
        waiting: u64,
    },
    /// The log is full.
    #[error(transparent)]
    Log(#[from] MerkleError),
    /// The master of the round is missing, or a key that it gives is degenerate.
    #[error("the master of round {0} does not give the listed keys. Check keys/")]
    Master(Round),
    /// A sealed row does not open under this store key.
    #[error("a sealed row does not open: the store and the key file do not belong together. Check keys/issuer.age")]
    Sealed,
    /// A ticket lot exists.
    #[error("lot {0} exists already. Choose another number")]
    LotExists(LotId),
    /// A ticket lot that the manifest does not name, or an approval of another one.
    #[error("lot {0} is not this programme's, or its count and root are others")]
    LotUnknown(LotId),
    /// The officers' signatures do not suffice.
    #[error("too few officers signed, or a signature does not hold")]
    Signatures,
}

impl From<rusqlite::Error> for IssuerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl IssuerError {
    /// The stable code for problems (registry).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Full) => "disk-full",
            Self::Store(_) => "store",
            Self::Decode(_) => "malformed",
            Self::Manifest(ManifestError::NotInForce(_)) => "round-not-open",
            Self::Manifest(_) => "manifest",
            Self::Enrol(_) => "enrolment-invalid",
            // One code for every way in which a show fails (spec 4.3-M6).
            Self::Draw(_) => "show-invalid",
            Self::Swap(_) => "swap-invalid",
            Self::Surrender(_) => "surrender-invalid",
            Self::TicketUnknown => "ticket-unknown",
            Self::TicketGuesses => "ticket-guesses",
            Self::TicketUsed => "ticket-used",
            Self::TicketEarly => "ticket-early",
            Self::AmendUnknown => "amend-unknown",
            Self::Spent => "spent",
            Self::AnswerErased => "answer-erased",
            Self::SlotExists => "slot-exists",
            Self::BucketUnknown => "bucket-unknown",
            Self::Busy(_) => "in-flight",
            Self::SessionGone(_) => "session-gone",
            Self::SwapSessionGone => "swap-session-gone",
            Self::Sessions => "sessions",
            Self::Round(_) => "round-not-open",
            Self::Ahead(_) => "round-ahead",
            Self::Cohort(_) => "cohort",
            Self::CohortLost { .. } => "cohort-lost",
            Self::Log(_) => "log-full",
            Self::Master(_) => "round-master",
            Self::Sealed => "sealed",
            Self::LotExists(_) => "lot-exists",
            Self::LotUnknown(_) => "lot-unknown",
            Self::Signatures => "signatures",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Busy(_) | Self::Sessions | Self::TicketGuesses => true,
            _ => false,
        }
    }
}

/// The issuer's long-lived secrets.
#[derive(Debug)]
pub struct IssuerSecrets {
    /// `x`, and what `e` is derived from.
    pub credential: IssuerKey,
    /// The key of the log.
    pub log: SigningKey,
    /// What rows at rest are sealed under.
    pub store: StoreKey,
}

impl IssuerSecrets {
    /// Length of the stored form in bytes.
    pub const BYTES: usize = 128;

    /// Fresh secrets.
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        let log = SigningKey::from_bytes(&seed);
        Self { credential: IssuerKey::generate(rng), log, store: StoreKey::generate(rng) }
    }

    /// Reads what [`IssuerSecrets::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (credential, rest) = bytes.split_first_chunk::<64>()?;
        let (log, rest) = rest.split_first_chunk::<32>()?;
        let store = <&[u8; 32]>::try_from(rest).ok()?;
        let credential = IssuerKey::from_bytes(credential).ok()?;
        Some(Self { credential, log: SigningKey::from_bytes(log), store: StoreKey::new(*store) })
    }

    /// For an encrypted file: credential key, log seed, store key.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::BYTES));
        bytes.extend_from_slice(&*self.credential.to_bytes());
        bytes.extend_from_slice(self.log.as_bytes());
        bytes.extend_from_slice(self.store.expose());
        bytes
    }
}

/// What requests are answered from: replaced as a whole when versions or rounds change.
#[derive(Debug)]
struct View {
    programme: Programme,
    /// Rounds that are open for draws, with their voucher secrets.
    keys: BTreeMap<Round, Arc<RoundKeys>>,
}

/// What the issuer says of itself to its officers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct IssuerStatus {
    /// The programme's id, in hexadecimal.
    pub programme: String,
    /// The newest version.
    pub version: u32,
    /// Rounds: open, frozen, closed.
    pub rounds: BTreeMap<u32, &'static str>,
    /// Leaves that wait for the batch to close.
    pub pending: u64,
    /// The log's size.
    pub log_size: u64,
    /// Closed batches.
    pub batches: u32,
    /// Tickets that were not used, and that were.
    pub tickets: (u64, u64),
    /// Open signing sessions.
    pub sessions: usize,
}

/// The issuer.
#[derive(Debug)]
pub struct IssuerService {
    store: Store,
    secrets: IssuerSecrets,
    view: RwLock<Arc<View>>,
    sessions: Sessions,
    serials: InFlight<[u8; 32]>,
    /// Apart from the serials: an amend claims one of each, and could name its own ticket's hash as its serial.
    tickets: InFlight<[u8; 32]>,
    guesses: sessions::Guesses,
}

impl IssuerService {
    /// Makes an issuer's store from a genesis that its officers signed. It begins the log.
    ///
    /// # Errors
    /// [`IssuerError::Manifest`]; nothing is left behind then.
    pub fn create(home: &Path, genesis: &SignedHeader, secrets: &IssuerSecrets) -> Result<ProgrammeId, IssuerError> {
        let programme = Programme::new(std::slice::from_ref(genesis), Vec::new())?;
        let header = &genesis.header;
        if header.issuer_key != secrets.credential.public() || header.issuer_log.key != PublicKey::of(&secrets.log) {
            return Err(IssuerError::Sealed);
        }
        Store::create_with(home, Role::Issuer, |connection| {
            connection.execute("INSERT INTO versions VALUES (0, ?1)", [genesis.encode()])?;
            LogState::load(connection)?.append(connection, &IssuerLeaf::Manifest(genesis.clone()))?;
            Ok::<_, IssuerError>(())
        })?;
        Ok(programme.id())
    }

    /// Opens an issuer's store. `masters` are those of the rounds that are not closed.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn open(
        store: Store,
        secrets: IssuerSecrets,
        masters: &BTreeMap<Round, RoundMaster>,
    ) -> Result<Self, IssuerError> {
        let programme = load_programme(&store)?;
        if programme.latest().issuer_key != secrets.credential.public() {
            return Err(IssuerError::Sealed);
        }
        let open = Self::unclosed_rounds(&store)?;
        let mut keys = BTreeMap::new();
        for round in open {
            let master = masters.get(&round).ok_or(IssuerError::Master(round))?;
            keys.insert(round, Arc::new(RoundKeys::derive(&programme.in_force(round)?, master)?));
        }
        Ok(Self {
            store,
            secrets,
            view: RwLock::new(Arc::new(View { programme, keys })),
            sessions: Sessions::default(),
            serials: InFlight::new(PATIENCE),
            tickets: InFlight::new(PATIENCE),
            guesses: sessions::Guesses::default(),
        })
    }

    /// The rounds whose masters [`IssuerService::open`] needs.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn unclosed_rounds(store: &Store) -> Result<Vec<Round>, IssuerError> {
        Ok(store.read(|connection| {
            connection
                .prepare("SELECT round FROM rounds WHERE closed = 0 ORDER BY round")?
                .query_map([], |row| Ok(Round(row.get(0)?)))?
                .collect()
        })?)
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `with` on the programme as it stands.
    pub fn with_programme<T>(&self, with: impl FnOnce(&Programme) -> T) -> T {
        with(&self.view().programme)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The key of the log.
    pub fn log_key(&self) -> &SigningKey {
        &self.secrets.log
    }

    /// What an officer wants to know.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn status(&self) -> Result<IssuerStatus, IssuerError> {
        let (log, pending, rounds, tickets) = self.store.read(|connection| {
            let rounds = connection
                .prepare("SELECT round, frozen, closed FROM rounds")?
                .query_map([], |row| {
                    let state = match (row.get(1)?, row.get(2)?) {
                        (_, true) => "closed",
                        (true, false) => "frozen",
                        (false, false) => "open",
                    };
                    Ok((row.get(0)?, state))
                })?
                .collect::<rusqlite::Result<BTreeMap<u32, &'static str>>>()?;
            let tickets = connection.query_row(
                "SELECT count(*) FILTER (WHERE request IS NULL), count(*) FILTER (WHERE request IS NOT NULL) FROM tickets",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok((LogState::load(connection)?, Pending::count(connection)?, rounds, tickets))
        })?;
        let view = self.view();
        Ok(IssuerStatus {
            programme: view.programme.id().to_string(),
            version: view.programme.latest().version,
            rounds,
            pending,
            log_size: log.frontier.size(),
            batches: log.batches,
            tickets,
            sessions: self.sessions.count(),
        })
    }

    /// Rounds that are not closed.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn open_rounds(&self) -> Result<Vec<u32>, IssuerError> {
        Ok(self.store.read(|connection| {
            connection
                .prepare_cached("SELECT round FROM rounds WHERE closed = 0 ORDER BY round")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?)
    }

    /// Leaves of the log, and batches.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn log_counts(&self) -> Result<(u64, u32), IssuerError> {
        let log = self.store.read(LogState::load)?;
        Ok((log.frontier.size(), log.batches))
    }

    /// Signing sessions that are open.
    pub fn sessions(&self) -> usize {
        self.sessions.count()
    }

    /// The newest version with its signatures, encoded.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn newest_version(&self) -> Result<Vec<u8>, IssuerError> {
        Ok(self.store.read(|connection| {
            connection.query_row("SELECT signed FROM versions ORDER BY version DESC LIMIT 1", [], |row| row.get(0))
        })?)
    }

    /// Appends a version that the officers signed, with the keys that it adds.
    ///
    /// # Errors
    /// [`IssuerError::Manifest`].
    pub fn append_version(&self, signed: &SignedHeader, new_keys: &[KeyEntry]) -> Result<(), IssuerError> {
        let mut guard = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut programme = guard.programme.clone();
        let before = programme.keys().len();
        programme.append(signed, new_keys)?;
        let (signed, keys) = (signed.clone(), new_keys.to_vec());
        let hash = signed.header.hash();
        let done = self.store.write(move |connection| {
            connection
                .execute("INSERT INTO versions VALUES (?1, ?2)", params![signed.header.version, signed.encode()])?;
            for (offset, entry) in keys.iter().enumerate() {
                connection
                    .prepare_cached("INSERT INTO voucher_keys VALUES (?1, ?2)")?
                    .execute(params![before + offset, entry.encode()])?;
            }
            LogState::load(connection)?.append(connection, &IssuerLeaf::Manifest(signed))?;
            Ok::<_, IssuerError>(())
        });
        if let Err(error) = done.map_err(IssuerError::from).flatten()
            // A commit of unknown outcome, now or at an earlier try: the store says what holds.
            && load_programme(&self.store)?.latest().hash() != hash
        {
            return Err(error);
        }
        *guard = Arc::new(View { programme, keys: guard.keys.clone() });
        Ok(())
    }

    /// Takes an approved lot into the log: its tickets can be used from now on.
    ///
    /// # Errors
    /// [`IssuerError::Signatures`], [`IssuerError::LotUnknown`] unless count and root are those of the imported tickets.
    pub fn approve_lot(&self, leaf: &LotLeaf) -> Result<(), IssuerError> {
        // No version comes between this and the job: the officers of the newest one in the log decide.
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.programme.latest().lot(leaf.lot).ok_or(IssuerError::LotUnknown(leaf.lot))?;
        leaf.verify(view.programme.id(), view.programme.latest()).map_err(|_| IssuerError::Signatures)?;
        let leaf = leaf.clone();
        self.store.write(move |connection| {
            let lot = leaf.lot;
            let changed = connection.execute(
                "UPDATE lots SET approved = 1 WHERE lot = ?1 AND count = ?2 AND root = ?3 AND approved = 0",
                params![lot.0, leaf.count, leaf.root.0],
            )?;
            if changed == 1 {
                LogState::load(connection)?.append(connection, &IssuerLeaf::Lot(leaf))?;
                return Ok(());
            }
            let known: Option<bool> = connection
                .query_row(
                    "SELECT approved FROM lots WHERE lot = ?1 AND count = ?2 AND root = ?3",
                    params![lot.0, leaf.count, leaf.root.0],
                    |row| row.get(0),
                )
                .optional()?;
            // The same approval again changes nothing.
            if known == Some(true) { Ok(()) } else { Err(IssuerError::LotUnknown(lot)) }
        })?
    }
}

/// The programme as the store has it: chain, key list, rounds.
///
/// # Errors
/// [`IssuerError`] if it does not hold together.
fn load_programme(store: &Store) -> Result<Programme, IssuerError> {
    let blobs = |sql: &'static str| {
        store.read(move |connection| {
            connection
                .prepare(sql)?
                .query_map([], |row| row.get::<_, Vec<u8>>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })
    };
    let chain = blobs("SELECT signed FROM versions ORDER BY version")?;
    let chain = chain.iter().map(|bytes| SignedHeader::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
    let keys = blobs("SELECT entry FROM voucher_keys ORDER BY at")?;
    let keys = keys.iter().map(|bytes| KeyEntry::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
    let mut programme = Programme::new(&chain, keys)?;
    let rounds = store.read(|connection| {
        connection
            .prepare("SELECT round, manifest FROM rounds")?
            .query_map([], |row| Ok((Round(row.get(0)?), row.get::<_, [u8; 32]>(1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()
    })?;
    for (round, manifest) in rounds {
        programme.open_round(round, annona_protocol::ids::ManifestHash(manifest))?;
    }
    Ok(programme)
}
