//! Counters without a network between them (spec 7.3-M9).
//!
//! A site with slots may run one store a counter; each owns slots and so its own part of the spent set. Only one of them, the main
//! store, writes the site's log. The others hand over what they accepted before the main store closes its batch: the package
//! names no visits and is sorted, and handing it over twice changes nothing. A counter's batch has the number of the main
//! store's, so that receipts promise what will be kept.

use std::collections::BTreeSet;

use annona_protocol::{
    group::EncodedPoint,
    ids::{Digest, KeyIndex, ProgrammeId, Round, SiteId, Slot},
    log::{TreeHash, leaf::SiteLeaf, merkle::leaf_hash},
    registry::tag,
    signature::{self, PublicKey, Signature},
    voucher::Mark,
    wire::Message as _,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{SiteError, SiteService, round, visit};
use crate::store::{LogState, Pending};

/// The name of the row in `meta` that makes a store a counter's.
const COUNTER: &str = "counter-store";
const MAGIC: &[u8] = b"annona counter 1\n";

/// What a counter hands over: everything of its open batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Handover {
    programme: ProgrammeId,
    site: SiteId,
    round: Round,
    batch: u32,
    slots: Vec<Slot>,
    /// Encoded leaves, ascending by hash.
    leaves: Vec<Vec<u8>>,
    /// Ascending by mark.
    accepted: Vec<Accepted>,
    owed: Vec<Owed>,
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
    /// Makes this store a counter's: it accepts visits for its slots and writes no log.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`] without slots of its own, or if its log has begun.
    pub fn become_counter(&self) -> Result<(), SiteError> {
        if self.options.slots.is_empty() || self.store.log_size()? > 0 {
            return Err(SiteError::NotACounter);
        }
        self.store.write(|connection| {
            connection.execute("INSERT OR IGNORE INTO meta VALUES (?1, 1)", [COUNTER])?;
            Ok::<_, SiteError>(())
        })?
    }

    /// Whether this store is a counter's.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn is_counter(&self) -> Result<bool, SiteError> {
        Ok(self.store.read(is_counter)?)
    }

    /// Closes a counter's batch into a package for the site's main store. Until the main store has it, the same package can be made
    /// again.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`], [`SiteError::NotOpen`].
    pub fn hand_over(&self) -> Result<Vec<u8>, SiteError> {
        let open = self.opened()?;
        let (programme, site, round, slots) = (open.programme.id(), self.site, open.round, self.options.slots.clone());
        let handover = self.store.read(|connection| {
            if !is_counter(connection)? {
                return Ok(None);
            }
            let batch = LogState::load(connection)?.open_batch();
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
            Ok(Some(Handover { programme, site, round, batch, slots, leaves, accepted, owed }))
        })?;
        let handover = handover.ok_or(SiteError::NotACounter)?;
        let body = postcard::to_stdvec(&handover).expect("writing to memory cannot fail");
        let signature = signature::sign(tag::COUNTER, &body, &self.key);
        Ok(postcard::to_extend(&(signature, body), MAGIC.to_vec()).expect("writing to memory cannot fail"))
    }

    /// Begins a counter's next batch, once the main store has closed the one that was handed over: visits are no longer grouped.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`]; [`SiteError::HandoverOther`] if the package is not of the batch that is open here.
    pub fn handed_in(&self, package: &[u8]) -> Result<(), SiteError> {
        let handed = parse(package, &PublicKey::of(&self.key))?;
        self.store.write(move |connection| {
            if !is_counter(connection)? {
                return Err(SiteError::NotACounter);
            }
            let log = LogState::load(connection)?;
            if handed.batch < log.open_batch() {
                return Ok(());
            }
            let waiting: BTreeSet<TreeHash> = connection
                .prepare("SELECT hash FROM pending")?
                .query_map([], |row| Ok(TreeHash(row.get(0)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let gone: BTreeSet<TreeHash> = handed.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
            if handed.batch != log.open_batch() || waiting != gone {
                return Err(SiteError::HandoverOther);
            }
            round::end_of_batch(connection)?;
            // The main store pays the owed slips now: two stores would pay each twice. Here they are known, so that their visits
            // get them again, and no key gets a second one.
            connection.execute_batch(
                "DELETE FROM pending; UPDATE owed SET state = 3 WHERE state < 2;
                 UPDATE log_state SET batches = batches + 1",
            )?;
            Ok(())
        })??;
        Ok(self.store.truncate_wal()?)
    }

    /// Ends a round in a counter's store, once everything was handed in.
    ///
    /// # Errors
    /// [`SiteError::NotACounter`]; [`SiteError::HandoverWaits`] while something was not handed in.
    pub fn end_counter_round(&self) -> Result<(), SiteError> {
        let round = self.opened()?.round;
        self.store.write(move |connection| {
            if !is_counter(connection)? {
                return Err(SiteError::NotACounter);
            }
            if Pending::count(connection)? > 0 {
                return Err(SiteError::HandoverWaits);
            }
            round::forget(connection, round)?;
            Ok(())
        })??;
        *self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        self.quotes.clear();
        Ok(self.store.compact()?)
    }

    /// Takes over what a counter accepted, before the batch closes. The same package again changes nothing.
    ///
    /// # Errors
    /// [`SiteError::HandoverOther`] for another site, round or batch, or slots that this store owns itself;
    /// [`SiteError::HandoverFalse`] for a package that is damaged or not signed by this site's key.
    pub fn take_in(&self, package: &[u8]) -> Result<(), SiteError> {
        let open = self.opened()?;
        let handover = parse(package, &PublicKey::of(&self.key))?;
        let here = (open.programme.id(), self.site, open.round);
        let overlap = handover.slots.iter().any(|slot| self.options.slots.contains(slot));
        if (handover.programme, handover.site, handover.round) != here || overlap {
            return Err(SiteError::HandoverOther);
        }
        self.store.write(move |connection| {
            let batch = LogState::load(connection)?.open_batch();
            if is_counter(connection)? || batch != handover.batch || !round::is_open(connection, handover.round)? {
                return Err(SiteError::HandoverOther);
            }
            take_in(connection, &handover)
        })?
    }
}

pub(super) fn is_counter(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM meta WHERE name = ?1")?.exists([COUNTER])
}

fn parse(package: &[u8], key: &PublicKey) -> Result<Handover, SiteError> {
    let body = package.strip_prefix(MAGIC).ok_or(SiteError::HandoverFalse)?;
    let (signature, body): (Signature, Vec<u8>) = postcard::from_bytes(body).map_err(|_| SiteError::HandoverFalse)?;
    signature::verify(tag::COUNTER, &body, key, &signature).map_err(|_| SiteError::HandoverFalse)?;
    postcard::from_bytes(&body).map_err(|_| SiteError::HandoverFalse)
}

fn take_in(connection: &Connection, handover: &Handover) -> Result<(), SiteError> {
    let round = handover.round;
    for bytes in &handover.leaves {
        let leaf = SiteLeaf::decode(bytes)?;
        let hash = leaf_hash(bytes);
        if connection.prepare_cached("SELECT 1 FROM pending WHERE hash = ?1")?.exists([hash.0])? {
            continue;
        }
        Pending::queue(connection, round, &leaf)?;
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
        // The leaf's hash stands for the visit: nothing is grouped.
        let visit = Digest(leaf.0);
        // What stands here under a visit of its own was accepted by this store: two counters gave out one voucher's goods.
        let own = connection
            .prepare_cached("SELECT 1 FROM fresh WHERE key = ?1 AND holder = ?2 AND visit <> leaf")?
            .exists(params![mark.key.0, mark.holder.0])?;
        if own {
            return Err(SiteError::HandoverDouble);
        }
        // An earlier package that comes late takes nothing back.
        connection
            .prepare_cached(
                "INSERT INTO fresh VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (key, holder) DO UPDATE SET
                 number = excluded.number, leaf = excluded.leaf, counter = excluded.counter, voided = excluded.voided,
                 handed = excluded.handed, provisional = excluded.provisional, due = excluded.due, visit = excluded.visit
                 WHERE (excluded.number, excluded.voided, excluded.handed) >= (number, voided, handed)",
            )?
            .execute(params![
                mark.key.0,
                mark.holder.0,
                number,
                handover.batch,
                leaf.0,
                counter,
                voided,
                handed,
                provisional,
                due,
                visit.0
            ])
            .map_err(|error| match error.sqlite_error_code() {
                // The trigger: the mark was spent in an earlier batch of this store.
                Some(rusqlite::ErrorCode::ConstraintViolation) => SiteError::HandoverDouble,
                _ => error.into(),
            })?;
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
    Ok(())
}

fn lines(leaf: &[u8]) -> Result<Vec<(annona_protocol::ids::LineId, annona_protocol::ids::Units)>, SiteError> {
    match SiteLeaf::decode(leaf)? {
        SiteLeaf::Owed(owed) => Ok(owed.lines),
        _ => Err(SiteError::HandoverFalse),
    }
}
