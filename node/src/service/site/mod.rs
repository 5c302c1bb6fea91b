//! A distribution site (spec 7, 8): quotes, the spent set, receipts, slips, batches, round statements.
//!
//! Holds public keys only, beside the key of its own log. A visit's marks, its receipts and its leaves are one job of the store.

mod counters;
mod quotes;
mod round;
mod visit;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use annona_protocol::{
    ids::{LineId, ProgrammeId, QuoteId, Round, SiteId, Slot, Units},
    log::merkle::MerkleError,
    programme::{Announcement, AnnouncementError, InForce, Programme},
    redeem::{Counter, CounterKeys},
    signature::{BadSignature, PublicKey},
    slip::{Place, RefusalSlip, Signed},
    wire::{DecodeError, Message},
};
pub use counters::{CounterState, TakenIn};
use ed25519_dalek::SigningKey;
pub use quotes::{CounterId, Quotes};
use rusqlite::{OptionalExtension as _, params};

use super::in_flight::{InFlight, StillBusy};
use crate::store::{LogState, Pending, Role, Store, StoreError};

/// How long a repeated request waits for the first.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a site cannot do what an officer or a wallet asks. A refused visit has a signed slip instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The visit is refused, and this is the signed slip.
    #[error("refused: {}", .0.content.code.code())]
    Refused(Box<RefusalSlip>),
    /// No round is open.
    #[error("no round is open at this site. A supervisor opens it with its opening pack")]
    NotOpen,
    /// Another round is open.
    #[error("round {0} is still open. Close it first")]
    StillOpen(Round),
    /// The round was closed here before.
    #[error("round {0} was closed at this site: it cannot be opened again")]
    Tombstone(Round),
    /// The announcement does not hold.
    #[error("the announcement does not hold: {0}. Fetch it again from the issuer")]
    Announcement(#[from] AnnouncementError),
    /// The announcement is older than the one that the site has.
    #[error("the announcement is older than the one that this site has. Fetch the newest")]
    Older,
    /// The announcement says something else about what this site was told before.
    #[error("the announcement contradicts what this site was told before. Keep both files and tell the auditors")]
    Contradiction,
    /// The programme opens no such round.
    #[error("the programme has not opened round {0}. Sync first")]
    RoundUnknown(Round),
    /// The version in force for the round names another log of this site.
    #[error(
        "round {0} began while this site had another log: its vouchers are good there only, and its spent set is not here. Open the next round; households surrender what they could not redeem"
    )]
    OtherLog(Round),
    /// The pack is not this site's.
    #[error("the opening pack is not signed by the issuer for this site, round and manifest. Fetch it again")]
    Pack(#[from] BadSignature),
    /// A second pack for the same round.
    #[error("another opening pack for round {0} is here already. Keep both files and tell the auditors")]
    SecondPack(Round),
    /// The site or its key is not in the manifest.
    #[error("the manifest names another log key for site {0}. Check the site's number and its key file")]
    Key(SiteId),
    /// The visit is unknown, or its batch is closed.
    #[error("no such visit at this counter in the open batch. Let the household show its vouchers again")]
    VisitUnknown,
    /// The goods of the visit went out before.
    #[error("the goods of this visit were handed over before. Hand out nothing")]
    AlreadyHandedOver,
    /// Too few leaves to hide each other.
    #[error(
        "only {waiting} leaves wait and a batch hides people behind at least {minimum}. Close it with the round, or insist"
    )]
    BatchSmall {
        /// How many wait.
        waiting: u64,
        /// The minimum.
        minimum: u64,
    },
    /// A counter's store, or none, where the other is expected.
    #[error(
        "this is not a counter's store, or it is one and the site's main store is meant. Check the folder and its slots"
    )]
    NotACounter,
    /// A counter's package of another place or batch.
    #[error(
        "the file is of another site, round, counter or slot, or not what this command takes. Check which file it is"
    )]
    HandoverOther,
    /// A counter's package that does not hold.
    #[error("the counter's file is damaged, or not this site's. Make it again where it came from")]
    HandoverFalse,
    /// A counter's round ends before everything was handed in.
    #[error(
        "not all of the counter's packages were handed in. Take them to the main store, and its confirmation back, first"
    )]
    HandoverWaits,
    /// A batch that closes before every counter has handed over.
    #[error("the counter of {} did not hand over since the last batch. Take its package in, or dismiss the counter", slots(.0))]
    CounterMissing(Vec<Slot>),
    /// Slots that are not to be had.
    #[error(
        "each slot is one counter's, and these are this store's, another counter's, or none of the site. Choose others"
    )]
    SlotTaken,
    /// The message does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The same request is being answered.
    #[error(transparent)]
    Busy(#[from] StillBusy),
    /// A line that the programme does not have.
    #[error("the programme has no line {0}")]
    LineUnknown(LineId),
    /// More than can be counted.
    #[error("too many units of line {0}")]
    StockRange(LineId),
    /// The log is full.
    #[error(transparent)]
    Log(#[from] MerkleError),
}

fn slots(slots: &[Slot]) -> String {
    let slots: Vec<String> = slots.iter().map(|slot| format!("slot {}", slot.0)).collect();
    slots.join(", ")
}

impl From<rusqlite::Error> for SiteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl SiteError {
    /// The stable code for problems (registry).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Full) => "disk-full",
            Self::Store(StoreError::DayCode) => "day-code",
            Self::Store(StoreError::DayCodeMissing { .. }) => "day-code-missing",
            Self::Store(StoreError::DayCodeMalformed) => "day-code-malformed",
            Self::Store(_) => "store",
            Self::Refused(slip) => slip.content.code.code(),
            Self::NotOpen => "no-round-open",
            Self::StillOpen(_) => "round-still-open",
            Self::Tombstone(_) => "round-closed",
            Self::Announcement(_) => "announcement-invalid",
            Self::Older => "announcement-older",
            Self::Contradiction => "announcement-contradicts",
            Self::RoundUnknown(_) => "round-unknown",
            Self::OtherLog(_) => "round-other-log",
            Self::Pack(_) => "pack-invalid",
            Self::SecondPack(_) => "pack-differs",
            Self::Key(_) => "site-key",
            Self::VisitUnknown => "visit-unknown",
            Self::AlreadyHandedOver => "already-handed-over",
            Self::BatchSmall { .. } => "batch-small",
            Self::NotACounter => "not-a-counter",
            Self::HandoverOther => "handover-other",
            Self::HandoverFalse => "handover-false",
            Self::HandoverWaits => "handover-waits",
            Self::CounterMissing(_) => "counter-missing",
            Self::SlotTaken => "slot-taken",
            Self::Decode(_) => "malformed",
            Self::Busy(_) => "in-flight",
            Self::LineUnknown(_) => "line-unknown",
            Self::StockRange(_) => "stock-range",
            Self::Log(_) => "log-full",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Busy(_) => true,
            _ => false,
        }
    }
}

/// A round that is open here.
#[derive(Debug)]
struct OpenRound {
    programme: Arc<Programme>,
    round: Round,
    place: Place,
    slots: Vec<Slot>,
    keys: CounterKeys,
    without_pack: bool,
}

impl OpenRound {
    fn view(&self) -> InForce<'_> {
        self.programme.in_force(self.round).expect("checked when the round was opened")
    }

    fn counter(&self) -> Counter<'_> {
        Counter::with_keys(self.view(), self.place, self.slots.clone(), self.keys.clone())
    }
}

/// How a site is set up.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// The slots that this process owns, where the site has slots.
    pub slots: Vec<Slot>,
    /// A batch closes at this many leaves, or with its round.
    pub batch_min: u64,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self { slots: Vec::new(), batch_min: 50 }
    }
}

/// What a site says of itself to its officers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SiteStatus {
    /// The programme's id, in hexadecimal.
    pub programme: String,
    /// The site's number.
    pub site: u16,
    /// The round that is open.
    pub round: Option<u32>,
    /// Whether it was opened without its pack.
    pub without_pack: bool,
    /// Leaves that wait for the batch to close.
    pub pending: u64,
    /// Visits of the open batch whose goods were not handed over.
    pub waiting: u64,
    /// The log's size.
    pub log_size: u64,
    /// Closed batches.
    pub batches: u32,
    /// Units in stock, by line.
    pub stock: BTreeMap<u16, u64>,
    /// Officers' acts of the open round, by kind.
    pub acts: BTreeMap<String, u64>,
}

/// A site.
#[derive(Debug)]
pub struct SiteService {
    store: Store,
    key: SigningKey,
    site: SiteId,
    options: SiteOptions,
    programme: RwLock<Arc<Programme>>,
    open: RwLock<Option<Arc<OpenRound>>>,
    quotes: Quotes,
    in_flight: InFlight<QuoteId>,
}

impl SiteService {
    /// Makes a site's store from an announcement of its programme.
    ///
    /// # Errors
    /// [`SiteError`]; nothing is left behind if the announcement or the key does not hold.
    pub fn create(
        home: &Path,
        programme: ProgrammeId,
        announcement: &[u8],
        site: SiteId,
        key: &SigningKey,
    ) -> Result<(), SiteError> {
        let announced = Announcement::decode(announcement)?.verify(programme)?;
        check_key(&announced, site, key)?;
        Store::create_with(home, Role::Site, |connection| {
            for (name, value) in [("programme", &programme.0[..]), ("announcement", announcement)] {
                connection.execute("INSERT INTO meta VALUES (?1, ?2)", params![name, value])?;
            }
            connection.execute("INSERT INTO meta VALUES ('site', ?1)", [site.0])?;
            Ok::<_, SiteError>(())
        })
        .map(drop)
    }

    /// Opens a site's store, and the round that was open in it.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn open(store: Store, key: SigningKey, options: SiteOptions) -> Result<Self, SiteError> {
        let meta = |name: &'static str| {
            store.read(move |connection| {
                connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get::<_, Vec<u8>>(0))
            })
        };
        let site = SiteId(store.read(|connection| {
            connection.query_row("SELECT value FROM meta WHERE name = 'site'", [], |row| row.get(0))
        })?);
        let id = <[u8; 32]>::try_from(meta("programme")?)
            .map_err(|_| StoreError::Damaged("the programme's id has another length".into()))?;
        let programme = Announcement::decode(&meta("announcement")?)?.verify(ProgrammeId(id))?;
        check_key(&programme, site, &key)?;
        let service = Self {
            store,
            key,
            site,
            options,
            programme: RwLock::new(Arc::new(programme)),
            open: RwLock::new(None),
            quotes: Quotes::default(),
            in_flight: InFlight::new(PATIENCE),
        };
        let round: Option<(u32, bool)> = service.store.read(|connection| {
            connection
                .query_row("SELECT round, without_pack FROM rounds WHERE closed = 0", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()
        })?;
        if let Some((round, without_pack)) = round {
            service.show_open(Round(round), without_pack)?;
        }
        Ok(service)
    }

    /// The programme as the site knows it.
    pub fn programme(&self) -> Arc<Programme> {
        Arc::clone(&self.programme.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The site's number.
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// The key of the site's log.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Takes over a newer announcement of the same programme.
    ///
    /// # Errors
    /// [`SiteError::Older`] for one that says less, [`SiteError::Contradiction`] for one that says otherwise.
    pub fn announce(&self, announcement: &[u8]) -> Result<(), SiteError> {
        let current = self.programme();
        let next = Announcement::decode(announcement)?.verify(current.id())?;
        check_key(&next, self.site, &self.key)?;
        // A chain from one genesis: the newest version that both know has to be the same.
        let known = next.version(&current.latest().hash()).is_some();
        if !known && next.latest().version <= current.latest().version {
            return Err(if current.version(&next.latest().hash()).is_some() {
                SiteError::Older
            } else {
                SiteError::Contradiction
            });
        }
        if !known {
            return Err(SiteError::Contradiction);
        }
        for round in current.latest().policy.first_round.0..=current.latest().last_round.0 {
            let (old, new) = (current.in_force(Round(round)), next.in_force(Round(round)));
            match (old, new) {
                (Ok(old), Ok(new)) if old.hash != new.hash => return Err(SiteError::Contradiction),
                (Ok(_), Err(_)) => return Err(SiteError::Older),
                _ => {}
            }
        }
        let bytes = announcement.to_vec();
        self.store.write(move |connection| {
            connection.execute("UPDATE meta SET value = ?1 WHERE name = 'announcement'", [bytes])?;
            Ok::<_, SiteError>(())
        })??;
        *self.programme.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// The newest announcement that was taken over, encoded.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn announcement(&self) -> Result<Vec<u8>, SiteError> {
        Ok(self.store.read(|connection| {
            connection.query_row("SELECT value FROM meta WHERE name = 'announcement'", [], |row| row.get(0))
        })?)
    }

    fn opened(&self) -> Result<Arc<OpenRound>, SiteError> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(SiteError::NotOpen)
    }

    /// What is in force for a round, if this site's log is the one that it names. After a loss the site goes on with another log;
    /// what the old one accepted of a round is in no store then, so that nothing of the round may be accepted here (spec 8.4).
    fn in_force<'a>(&self, programme: &'a Programme, round: Round) -> Result<InForce<'a>, SiteError> {
        let view = programme.in_force(round).map_err(|_| SiteError::RoundUnknown(round))?;
        let log = view.header.site(self.site).and_then(|site| site.logs.last());
        if log.map(|log| log.key) == Some(PublicKey::of(&self.key)) {
            Ok(view)
        } else {
            Err(SiteError::OtherLog(round))
        }
    }

    fn show_open(&self, round: Round, without_pack: bool) -> Result<(), SiteError> {
        let programme = self.programme();
        let view = self.in_force(&programme, round)?;
        let place = Place::new(&view, self.site);
        let keys = CounterKeys::new(&view, self.site);
        let slots = self.options.slots.clone();
        let open = OpenRound { programme: Arc::clone(&programme), round, place, slots, keys, without_pack };
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(open));
        Ok(())
    }

    /// What an officer wants to know.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn status(&self) -> Result<SiteStatus, SiteError> {
        let open = self.opened().ok();
        let round = open.as_ref().map(|open| open.round.0);
        let (log, pending, waiting, stock, acts) = self.store.read(|connection| {
            let log = LogState::load(connection)?;
            let pending = Pending::count(connection)?;
            let waiting =
                connection.query_row("SELECT count(*) FROM visits WHERE handed = 0", [], |row| row.get::<_, u64>(0))?;
            let stock = connection
                .prepare("SELECT line, units FROM stock")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<BTreeMap<u16, u64>>>()?;
            let acts = connection
                .prepare("SELECT act, sum(count) FROM acts WHERE round = ?1 GROUP BY act")?
                .query_map([round], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<BTreeMap<String, u64>>>()?;
            Ok((log, pending, waiting, stock, acts))
        })?;
        Ok(SiteStatus {
            programme: self.programme().id().to_string(),
            site: self.site.0,
            round,
            without_pack: open.is_some_and(|open| open.without_pack),
            pending,
            waiting,
            log_size: log.frontier.size(),
            batches: log.batches,
            stock,
            acts,
        })
    }

    /// Sets what is in stock: units by line, replacing what was there for these lines. A line without units is not offered.
    ///
    /// # Errors
    /// [`SiteError::LineUnknown`].
    pub fn set_stock(&self, stock: BTreeMap<LineId, Units>) -> Result<(), SiteError> {
        let programme = self.programme();
        for (line, units) in &stock {
            programme.latest().line(*line).ok_or(SiteError::LineUnknown(*line))?;
            i64::try_from(units.0).map_err(|_| SiteError::StockRange(*line))?;
        }
        self.store.write(move |connection| {
            for (line, units) in stock {
                if units.0 == 0 {
                    connection.execute("DELETE FROM stock WHERE line = ?1", [line.0])?;
                } else {
                    connection.execute("INSERT OR REPLACE INTO stock VALUES (?1, ?2)", params![line.0, units.0])?;
                }
            }
            Ok::<_, SiteError>(())
        })?
    }

    fn sign<T: annona_protocol::slip::Slip>(&self, content: T) -> Signed<T> {
        Signed::sign(content, &self.key)
    }
}

fn check_key(programme: &Programme, site: SiteId, key: &SigningKey) -> Result<(), SiteError> {
    let named = programme.latest().site(site).and_then(|site| site.logs.last()).map(|log| log.key);
    if named == Some(PublicKey::of(key)) { Ok(()) } else { Err(SiteError::Key(site)) }
}
