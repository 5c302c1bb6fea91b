//! Counters without a network between them (spec 7.3-M9).
//!
//! A site with slots may run one store a counter; each owns slots and so its own part of the spent set. Only one of them, the main
//! store, writes the site's log. It admits the others, and closes no batch before each of them has handed over what it accepted:
//!
//! ```text
//! main: admit -> counter: become -> counter: hand_over -> main: take_in -> counter: handed_in -> main: close_batch
//! ```
//!
//! A counter's receipts promise the batch of its next package. The number of that is never below the main store's open batch, so
//! every promise is kept, unless the main store dismissed the counter: what comes then is logged late, and counted. A package
//! names no visits and is sorted, and taking it in twice changes nothing.

use std::collections::BTreeSet;

use annona_protocol::{
    group::EncodedPoint,
    ids::{KeyIndex, ProgrammeId, Round, SiteId, Slot},
    log::{
        TreeHash,
        leaf::{Leaf as _, SiteLeaf},
        merkle::leaf_hash,
    },
    registry::tag,
    signature::{self, PublicKey, Signature},
    voucher::Mark,
    wire::Message as _,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    SiteError, SiteService,
    round::{self, count_act},
    visit,
};
use crate::store::{LogState, Pending};

/// The row in `meta` that makes a store a counter's: its slots.
const COUNTER: &str = "counter-store";
/// The row in `meta` with the counters that a main store admitted, and what it took from them in this round.
const COUNTERS: &str = "counters";
/// Rows in `meta` with packages that were not confirmed yet, by number.
const PACKAGE: &str = "counter-package-";
const MAGIC: &[u8] = b"annona counter 1\n";

/// What counters and their main store tell each other, signed with the site's key.
#[derive(Serialize, Deserialize)]
enum Told {
    Admission(Admission),
    Handover(Handover),
    Taken(Taken),
}

/// The main store makes another store a counter's.
#[derive(Serialize, Deserialize)]
struct Admission {
    programme: ProgrammeId,
    site: SiteId,
    slots: Vec<Slot>,
    /// The main store's open batch.
    number: u32,
}

/// The main store took a package in.
#[derive(Serialize, Deserialize)]
struct Taken {
    store: i64,
    number: u32,
    /// The batch that it is logged in.
    batch: u32,
}

/// What a counter hands over: everything since the package before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Handover {
    programme: ProgrammeId,
    site: SiteId,
    round: Round,
    /// The random number of the counter's store: two of them may be given one slot by mistake.
    store: i64,
    /// The batch that its receipts promise.
    number: u32,
    slots: Vec<Slot>,
    /// Encoded leaves, ascending by hash.
    leaves: Vec<Vec<u8>>,
    /// Ascending by mark.
    accepted: Vec<Accepted>,
    owed: Vec<Owed>,
}

/// A counter that the main store admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Admitted {
    slots: Vec<Slot>,
    /// Whether it handed something over since the last batch.
    handed_over: bool,
}

/// What a main store knows of its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Register {
    admitted: Vec<Admitted>,
    /// Packages of this round that were taken: store, number, and the batch that they are logged in.
    taken: Vec<(i64, u32, u32)>,
}

/// What the main store took in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenIn {
    /// Leaves of the package that are logged.
    pub leaves: u64,
    /// Whether its receipts promise an earlier batch.
    pub late: bool,
    /// Vouchers that another counter gave goods for before: their first acceptance is logged, this one is not.
    pub doubled: Vec<Mark>,
    /// Tells the counter.
    pub confirmation: Vec<u8>,
}

/// A counter as its main store sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CounterState {
    /// Its slots.
    pub slots: Vec<u8>,
    /// Whether it handed something over since the last batch.
    pub handed_over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Accepted {
    mark: Mark,
    number: u32,
    leaf: TreeHash,
    counter: u32,
    voided: bool,
    handed: bool,
    provisional: bool,
    due: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owed {
    holder: EncodedPoint,
    round: Round,
    leaf: Vec<u8>,
    state: u8,
    collected: Option<Round>,
    handed: bool,
}

impl SiteService {
    /// At the main store: admits a counter that takes vouchers of these slots. The answer makes another store that counter's
    /// ([`SiteService::become_counter`]); for the slots of a counter that was admitted before it is made again.
    ///
    /// # Errors
    /// [`SiteError::SlotTaken`] for none, or for slots that this store or another counter owns, or that the site does not have.
    pub fn admit_counter(&self, mut slots: Vec<Slot>) -> Result<Vec<u8>, SiteError> {
        slots.sort_unstable();
        slots.dedup();
        let programme = self.programme();
        let count = programme.latest().site(self.site).map_or(0, |site| site.slots);
        let own = self.options.slots.clone();
        if slots.is_empty() || slots.iter().any(|slot| slot.0 >= count || own.contains(slot)) {
            return Err(SiteError::SlotTaken);
        }
        let admitted = slots.clone();
        let number = self.store.write(move |connection| {
            if is_counter(connection)? {
                return Err(SiteError::NotACounter);
            }
            let mut register = Register::load(connection)?;
            if !register.admitted.iter().any(|known| known.slots == admitted) {
                if register.admitted.iter().any(|known| known.slots.iter().any(|slot| admitted.contains(slot))) {
                    return Err(SiteError::SlotTaken);
                }
                register.admitted.push(Admitted { slots: admitted, handed_over: false });
                register.store(connection)?;
            }
            Ok(LogState::load(connection)?.open_batch())
        })??;
        Ok(self.tell(&Told::Admission(Admission { programme: programme.id(), site: self.site, slots, number })))
    }

    /// At the main store: no longer waits for a counter. Counted; what it still brings is logged late.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`] if no counter has exactly these slots.
    pub fn dismiss_counter(&self, mut slots: Vec<Slot>) -> Result<(), SiteError> {
        slots.sort_unstable();
        let round = self.opened().map_or(Round(0), |open| open.round);
        self.store.write(move |connection| {
            let mut register = Register::load(connection)?;
            let before = register.admitted.len();
            register.admitted.retain(|known| known.slots != slots);
            if register.admitted.len() == before {
                return Err(SiteError::NotACounter);
            }
            register.store(connection)?;
            Ok(count_act(connection, round, "counter-dismissed", first(&slots))?)
        })?
    }

    /// At the main store: its counters.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn counters(&self) -> Result<Vec<CounterState>, SiteError> {
        let register = self.store.read(Register::load)?;
        let state = |known: Admitted| CounterState {
            slots: known.slots.iter().map(|slot| slot.0).collect(),
            handed_over: known.handed_over,
        };
        Ok(register.admitted.into_iter().map(state).collect())
    }

    /// Makes this store a counter's: it accepts vouchers of the admitted slots and of no others, and writes no log. Again between
    /// rounds, by a newer admission, it takes up the main store's number.
    ///
    /// # Errors
    /// [`SiteError::HandoverFalse`], [`SiteError::HandoverOther`] for another site's admission; [`SiteError::NotACounter`] unless
    /// the slots are those of this process, and no log began here; [`SiteError::HandoverWaits`] while something waits.
    pub fn become_counter(&self, admission: &[u8]) -> Result<(), SiteError> {
        let Told::Admission(admission) = self.told(admission)? else { return Err(SiteError::HandoverOther) };
        if (admission.programme, admission.site) != (self.programme().id(), self.site) {
            return Err(SiteError::HandoverOther);
        }
        let own: BTreeSet<Slot> = self.options.slots.iter().copied().collect();
        if own != admission.slots.iter().copied().collect() || self.store.log_size()? > 0 {
            return Err(SiteError::NotACounter);
        }
        self.store.write(move |connection| {
            if Pending::count(connection)? > 0 || is_outstanding(connection)? {
                return Err(SiteError::HandoverWaits);
            }
            put(connection, COUNTER, &admission.slots)?;
            // Never back: what was promised stays promised.
            connection
                .execute("UPDATE log_state SET batches = max(batches, ?1)", [admission.number.saturating_sub(1)])?;
            Ok(())
        })?
    }

    /// Whether this store is a counter's.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn is_counter(&self) -> Result<bool, SiteError> {
        Ok(self.store.read(is_counter)?)
    }

    /// At a counter: closes its batch into a package for the main store, and begins the next. Visits are no longer grouped, and
    /// owed slips are paid by the main store from here on. Gives all packages that the main store did not confirm yet, by number;
    /// if nothing was accepted since, the same again.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`], [`SiteError::NotOpen`].
    pub fn hand_over(&self) -> Result<Vec<(u32, Vec<u8>)>, SiteError> {
        let open = self.opened()?;
        let (programme, site, round) = (open.programme.id(), self.site, open.round);
        let key = self.key.clone();
        let packages = self.store.write(move |connection| {
            let Some(slots) = take::<Vec<Slot>>(connection, COUNTER)? else { return Err(SiteError::NotACounter) };
            if Pending::count(connection)? > 0 || !is_outstanding(connection)? {
                let number = LogState::load(connection)?.open_batch();
                let store =
                    connection.query_row("SELECT value FROM meta WHERE name = 'store'", [], |row| row.get(0))?;
                let (leaves, accepted, owed) = collected(connection)?;
                let handover = Handover { programme, site, round, store, number, slots, leaves, accepted, owed };
                connection.execute(
                    "INSERT INTO meta VALUES (?1, ?2)",
                    params![format!("{PACKAGE}{number:010}"), sign(&key, &Told::Handover(handover))],
                )?;
                round::end_of_batch(connection)?;
                // The main store pays the owed slips now: two stores would pay each twice. Here they are known, so that their visits
                // get them again, and no key gets a second one.
                connection.execute_batch(
                    "DELETE FROM pending; UPDATE owed SET state = 3 WHERE state < 2;
                     UPDATE log_state SET batches = batches + 1",
                )?;
            }
            Ok(outstanding(connection)?)
        })??;
        self.store.truncate_wal()?;
        Ok(packages)
    }

    /// At a counter: how many packages the main store did not confirm yet.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn unconfirmed(&self) -> Result<usize, SiteError> {
        Ok(self.store.read(outstanding)?.len())
    }

    /// At a counter: the main store has a package. Again it changes nothing; true if it waited.
    ///
    /// # Errors
    /// [`SiteError::HandoverOther`] for another store's confirmation.
    pub fn handed_in(&self, confirmation: &[u8]) -> Result<bool, SiteError> {
        let Told::Taken(taken) = self.told(confirmation)? else { return Err(SiteError::HandoverOther) };
        let gone = self.store.write(move |connection| {
            let store: i64 =
                connection.query_row("SELECT value FROM meta WHERE name = 'store'", [], |row| row.get(0))?;
            if !is_counter(connection)? || store != taken.store {
                return Err(SiteError::HandoverOther);
            }
            let name = format!("{PACKAGE}{:010}", taken.number);
            let gone = connection.execute("DELETE FROM meta WHERE name = ?1", [name])?;
            // Packages without a leaf may have run ahead of the main store: a promise should be due soon.
            if gone > 0 && LogState::load(connection)?.batches == taken.number && !is_outstanding(connection)? {
                connection.execute("UPDATE log_state SET batches = ?1", [taken.batch])?;
            }
            Ok::<_, SiteError>(gone > 0)
        })??;
        self.store.truncate_wal()?;
        Ok(gone)
    }

    /// At a counter: ends the round, once everything was handed in.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`]; [`SiteError::HandoverWaits`] while something was not handed in.
    pub fn end_counter_round(&self) -> Result<(), SiteError> {
        let round = self.opened()?.round;
        self.store.write(move |connection| {
            if !is_counter(connection)? {
                return Err(SiteError::NotACounter);
            }
            if Pending::count(connection)? > 0 || is_outstanding(connection)? {
                return Err(SiteError::HandoverWaits);
            }
            round::forget(connection, round)?;
            Ok(())
        })??;
        *self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        self.quotes.clear();
        self.store.compact_if_due();
        Ok(())
    }

    /// At the main store: takes over what a counter accepted, while the round is open. The same package again changes nothing.
    ///
    /// # Errors
    /// [`SiteError::HandoverOther`] for another site or round, or slots that this store owns itself; [`SiteError::HandoverFalse`]
    /// for a package that is damaged or not signed by this site's key.
    pub fn take_in(&self, package: &[u8]) -> Result<TakenIn, SiteError> {
        let open = self.opened()?;
        let Told::Handover(handover) = self.told(package)? else { return Err(SiteError::HandoverOther) };
        let here = (open.programme.id(), self.site, open.round);
        let overlap = handover.slots.iter().any(|slot| self.options.slots.contains(slot));
        if (handover.programme, handover.site, handover.round) != here || overlap {
            return Err(SiteError::HandoverOther);
        }
        let (store, number) = (handover.store, handover.number);
        let (batch, mut taken) = self.store.write(move |connection| {
            if is_counter(connection)? || !round::is_open(connection, handover.round)? {
                return Err(SiteError::HandoverOther);
            }
            let mut register = Register::load(connection)?;
            if let Some((_, _, batch)) = register.taken.iter().find(|(by, at, _)| (*by, *at) == (store, number)) {
                let none = TakenIn { leaves: 0, late: false, doubled: Vec::new(), confirmation: Vec::new() };
                return Ok((*batch, none));
            }
            let batch = LogState::load(connection)?.open_batch();
            let taken = take_in(connection, &handover, batch)?;
            register.taken.push((store, number, batch));
            if let Some(known) = register.admitted.iter_mut().find(|known| known.slots == handover.slots) {
                // A package that is late says nothing of what the counter promised since.
                known.handed_over |= !taken.late;
            }
            register.store(connection)?;
            Ok((batch, taken))
        })??;
        taken.confirmation = self.tell(&Told::Taken(Taken { store, number, batch }));
        Ok(taken)
    }

    fn tell(&self, told: &Told) -> Vec<u8> {
        sign(&self.key, told)
    }

    fn told(&self, bytes: &[u8]) -> Result<Told, SiteError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(SiteError::HandoverFalse)?;
        let (signature, body): (Signature, &[u8]) = postcard::from_bytes(body).map_err(|_| SiteError::HandoverFalse)?;
        let key = PublicKey::of(&self.key);
        signature::verify(tag::COUNTER, body, &key, &signature).map_err(|_| SiteError::HandoverFalse)?;
        postcard::from_bytes(body).map_err(|_| SiteError::HandoverFalse)
    }
}

fn sign(key: &ed25519_dalek::SigningKey, told: &Told) -> Vec<u8> {
    let body = postcard::to_stdvec(told).expect("writing to memory cannot fail");
    let signature = signature::sign(tag::COUNTER, &body, key);
    postcard::to_extend(&(signature, &body[..]), MAGIC.to_vec()).expect("writing to memory cannot fail")
}

fn first(slots: &[Slot]) -> u32 {
    slots.first().map_or(0, |slot| slot.0.into())
}

pub(super) fn is_counter(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM meta WHERE name = ?1")?.exists([COUNTER])
}

/// A row of `meta`.
fn take<T: DeserializeOwned>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    let bytes: Option<Vec<u8>> =
        connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    let failed = |error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::<postcard::Error>::new(error))
    };
    bytes.map(|bytes| postcard::from_bytes(&bytes).map_err(failed)).transpose()
}

fn put(connection: &Connection, name: &str, value: &impl Serialize) -> rusqlite::Result<()> {
    let bytes = postcard::to_stdvec(value).expect("writing to memory cannot fail");
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![name, bytes]).map(drop)
}

impl Register {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(take(connection, COUNTERS)?.unwrap_or_default())
    }

    fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        put(connection, COUNTERS, self)
    }
}

/// A main store closes its batch: every counter has handed over, and is to do it again before the next.
pub(super) fn close_batch(connection: &Connection) -> Result<(), SiteError> {
    if is_counter(connection)? {
        return Err(SiteError::NotACounter);
    }
    let mut register = Register::load(connection)?;
    if let Some(missing) = register.admitted.iter().find(|known| !known.handed_over) {
        return Err(SiteError::CounterMissing(missing.slots.clone()));
    }
    if !register.admitted.is_empty() {
        register.admitted.iter_mut().for_each(|known| known.handed_over = false);
        register.store(connection)?;
    }
    Ok(())
}

/// The round is over: which packages made it says nothing any more.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let mut register = Register::load(connection)?;
    if register.taken.is_empty() {
        return Ok(());
    }
    register.taken.clear();
    register.store(connection)
}

fn outstanding(connection: &Connection) -> rusqlite::Result<Vec<(u32, Vec<u8>)>> {
    connection
        .prepare("SELECT name, value FROM meta WHERE name GLOB ?1 ORDER BY name")?
        .query_map([format!("{PACKAGE}*")], |row| {
            let name: String = row.get(0)?;
            Ok((name[PACKAGE.len()..].parse().unwrap_or_default(), row.get(1)?))
        })?
        .collect()
}

fn is_outstanding(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM meta WHERE name GLOB ?1")?.exists([format!("{PACKAGE}*")])
}

type Collected = (Vec<Vec<u8>>, Vec<Accepted>, Vec<Owed>);

/// Everything of a counter's open batch.
fn collected(connection: &Connection) -> rusqlite::Result<Collected> {
    let leaves = connection
        .prepare("SELECT leaf FROM pending ORDER BY hash")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let accepted = connection
        .prepare(
            "SELECT key, holder, number, leaf, counter, voided, handed, provisional, due FROM fresh ORDER BY key, holder",
        )?
        .query_map([], |row| {
            Ok(Accepted {
                mark: Mark { key: KeyIndex(row.get(0)?), holder: EncodedPoint(row.get(1)?) },
                number: row.get(2)?,
                leaf: TreeHash(row.get(3)?),
                counter: row.get(4)?,
                voided: row.get(5)?,
                handed: row.get(6)?,
                provisional: row.get(7)?,
                due: row.get(8)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let owed = connection
        .prepare(
            "SELECT holder, round, leaf, state, collected_round, handed FROM owed WHERE state < 3 ORDER BY holder",
        )?
        .query_map([], |row| {
            Ok(Owed {
                holder: EncodedPoint(row.get(0)?),
                round: Round(row.get(1)?),
                leaf: row.get(2)?,
                state: row.get(3)?,
                collected: row.get::<_, Option<u32>>(4)?.map(Round),
                handed: row.get(5)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok((leaves, accepted, owed))
}

fn take_in(connection: &Connection, handover: &Handover, batch: u32) -> Result<TakenIn, SiteError> {
    let round = handover.round;
    let doubled = doubled(connection, handover)?;
    let late = handover.number < batch;
    let mut count = 0;
    for bytes in &handover.leaves {
        let leaf = SiteLeaf::decode(bytes)?;
        let hash = leaf_hash(bytes);
        let mark = match &leaf {
            SiteLeaf::Voucher(voucher) => Some(voucher.voucher.shown.mark()),
            SiteLeaf::Void(void) => Some(void.mark),
            _ => None,
        };
        if leaf.is_control() {
            return Err(SiteError::HandoverFalse);
        }
        if mark.is_some_and(|mark| doubled.contains(&mark)) {
            continue;
        }
        if connection.prepare_cached("SELECT 1 FROM pending WHERE hash = ?1")?.exists([hash.0])? {
            continue;
        }
        Pending::queue(connection, round, &leaf)?;
        count += 1;
        match &leaf {
            SiteLeaf::Voucher(voucher) => visit::add_total(connection, round, voucher.voucher.shown.key, 1, 0)?,
            SiteLeaf::Void(void) => visit::add_total(connection, round, void.mark.key, -1, 1)?,
            SiteLeaf::Owed(owed) => {
                for (line, units) in &owed.lines {
                    visit::add_owed(connection, round, *line, visit::i64_of(*units), 0)?;
                }
            }
            SiteLeaf::Collected(collected) => {
                let owed = handover.owed.iter().find(|owed| owed.holder == collected.holder);
                for (line, units) in owed.map(|owed| lines(&owed.leaf)).transpose()?.unwrap_or_default() {
                    visit::add_owed(connection, round, line, 0, visit::i64_of(units))?;
                }
            }
            SiteLeaf::OwedVoided(voided) => {
                let owed = handover.owed.iter().find(|owed| owed.holder == voided.holder);
                for (line, units) in owed.map(|owed| lines(&owed.leaf)).transpose()?.unwrap_or_default() {
                    visit::add_owed(connection, round, line, -visit::i64_of(units), 0)?;
                }
            }
            SiteLeaf::Batch(_) | SiteLeaf::Statement(_) => return Err(SiteError::HandoverFalse),
        }
    }
    for Accepted { mark, number, leaf, counter, voided, handed, provisional, due } in &handover.accepted {
        if doubled.contains(mark) {
            continue;
        }
        // The leaf's hash stands for the visit: nothing is grouped. What stands here already was voided before.
        connection
            .prepare_cached("INSERT OR REPLACE INTO fresh VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
            .execute(params![
                mark.key.0,
                mark.holder.0,
                number,
                handover.number,
                leaf.0,
                counter,
                voided,
                handed,
                provisional,
                due,
                leaf.0
            ])?;
    }
    for Owed { holder, round, leaf, state, collected, handed } in &handover.owed {
        let known: Option<u8> = connection
            .query_row("SELECT state FROM owed WHERE holder = ?1", [holder.0], |row| row.get(0))
            .optional()?;
        if known.unwrap_or(0) <= *state {
            connection.execute(
                "INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![holder.0, round.0, leaf, state, collected.map(|round| round.0), handed],
            )?;
        }
    }
    if late {
        count_act(connection, round, "counter-late", first(&handover.slots))?;
    }
    for _ in &doubled {
        count_act(connection, round, "counter-double", first(&handover.slots))?;
    }
    Ok(TakenIn { leaves: count, late, doubled: doubled.into_iter().collect(), confirmation: Vec::new() })
}

/// Vouchers of a package that stand here from elsewhere: each package is taken once, so another store gave goods for them.
/// The first acceptance is logged. A leaf is of a voucher and no visit, so the other's receipt names the same leaf, and none is
/// broken; the goods that went twice are told, and counted.
fn doubled(connection: &Connection, handover: &Handover) -> rusqlite::Result<BTreeSet<Mark>> {
    let mut doubled = BTreeSet::new();
    for accepted in &handover.accepted {
        for table in ["fresh", "spent"] {
            let sql = format!("SELECT 1 FROM {table} WHERE key = ?1 AND holder = ?2 AND (voided = 0 OR number >= ?3)");
            let Mark { key, holder } = accepted.mark;
            if connection.prepare_cached(&sql)?.exists(params![key.0, holder.0, accepted.number])? {
                doubled.insert(accepted.mark);
            }
        }
    }
    Ok(doubled)
}

fn lines(leaf: &[u8]) -> Result<Vec<(annona_protocol::ids::LineId, annona_protocol::ids::Units)>, SiteError> {
    match SiteLeaf::decode(leaf)? {
        SiteLeaf::Owed(owed) => Ok(owed.lines),
        _ => Err(SiteError::HandoverFalse),
    }
}
