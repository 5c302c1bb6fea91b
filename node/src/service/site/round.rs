//! Rounds and batches of a site (spec 8.1, 8.3, 8.4).

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{KeyIndex, LineId, ManifestHash, Round, Units},
    log::leaf::SiteLeaf,
    signature::BadSignature,
    slip::{OpeningPack, Place, SiteStatement, StatementTerms},
    wire::Message as _,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{PoisonError, SiteError, SiteService, counters};
use crate::{
    faults,
    store::{LogState, Pending, Store},
};

impl SiteService {
    /// Opens a round by its pack: a supervisor's act. The same pack again changes nothing.
    ///
    /// # Errors
    /// [`SiteError::Pack`], [`SiteError::SecondPack`], [`SiteError::StillOpen`], [`SiteError::Tombstone`], [`SiteError::OtherLog`].
    pub fn open_round(&self, pack: &[u8]) -> Result<Round, SiteError> {
        let (pack, manifest) = self.verified_pack(pack)?;
        let round = pack.content.place.round;
        self.store.write(move |connection| {
            let stored: Option<Vec<u8>> = connection
                .query_row("SELECT pack FROM packs WHERE round = ?1", [round.0], |row| row.get(0))
                .optional()?;
            match stored {
                Some(stored) if stored == pack.encode() => {}
                Some(_) => return Err(SiteError::SecondPack(round)),
                None => {
                    let site = pack.content.place.site;
                    connection
                        .execute("INSERT INTO packs VALUES (?1, ?2, ?3)", params![round.0, site.0, pack.encode()])?;
                    for mark in &pack.content.swapped {
                        connection.execute(
                            "INSERT INTO swapped VALUES (?1, ?2, ?3)",
                            params![round.0, mark.key.0, mark.holder.0],
                        )?;
                    }
                }
            }
            begin(connection, round, &manifest.0, false)
        })??;
        self.show_open(round, false)?;
        Ok(round)
    }

    /// Checks that a pack is this site's, and that none that says otherwise opened the round. Returns its round.
    ///
    /// # Errors
    /// [`SiteError::Decode`], [`SiteError::RoundUnknown`], [`SiteError::Pack`], [`SiteError::SecondPack`].
    pub fn check_pack(&self, pack: &[u8]) -> Result<Round, SiteError> {
        let round = self.verified_pack(pack)?.0.content.place.round;
        let stored: Option<Vec<u8>> = self.store.read(|connection| {
            connection.query_row("SELECT pack FROM packs WHERE round = ?1", [round.0], |row| row.get(0)).optional()
        })?;
        if stored.is_some_and(|stored| stored != pack) { Err(SiteError::SecondPack(round)) } else { Ok(round) }
    }

    /// Whether no pack opens a round any more: it, or a later one, was closed or opened here.
    ///
    /// # Errors
    /// [`SiteError::Store`].
    pub fn is_over(&self, round: Round) -> Result<bool, SiteError> {
        let over = "SELECT 1 FROM rounds WHERE round > ?1 OR (round = ?1 AND closed = 1)";
        Ok(self.store.read(|connection| connection.prepare_cached(over)?.exists([round.0]))?)
    }

    /// A pack that the issuer signed for this place, and the hash of the version in force.
    fn verified_pack(&self, pack: &[u8]) -> Result<(OpeningPack, ManifestHash), SiteError> {
        let pack = OpeningPack::decode(pack)?;
        let round = pack.content.place.round;
        let programme = self.programme();
        let view = self.in_force(&programme, round)?;
        let content = pack.verify(&view.header.issuer_log.key)?;
        if content.place != Place::new(&view, self.site) {
            return Err(SiteError::Pack(BadSignature));
        }
        Ok((pack, view.hash))
    }

    /// Opens a round whose pack did not arrive: a supervisor's act, counted, and all receipts say pending.
    ///
    /// # Errors
    /// As [`SiteService::open_round`].
    pub fn open_without_pack(&self, round: Round) -> Result<(), SiteError> {
        let programme = self.programme();
        let manifest = self.in_force(&programme, round)?.hash;
        self.store.write(move |connection| {
            begin(connection, round, &manifest.0, true)?;
            count_act(connection, round, "open-without-pack", 0)?;
            Ok::<_, SiteError>(())
        })??;
        self.show_open(round, true)
    }

    /// Closes the batch: leaves are sorted into the log, visits are no longer grouped, and nothing tells in what order they came.
    /// Returns how many leaves it had.
    ///
    /// # Errors
    /// [`SiteError::BatchSmall`] below the minimum, unless `insist`; [`SiteError::CounterMissing`] while a counter did not hand
    /// over.
    pub fn close_batch(&self, insist: bool) -> Result<u64, SiteError> {
        let round = self.opened()?.round;
        let minimum = self.options.batch_min;
        let count = self.store.write(move |connection| {
            let waiting = Pending::count(connection)?;
            if waiting < minimum && !insist {
                return Err(SiteError::BatchSmall { waiting, minimum });
            }
            close_batch(connection, round)
        })??;
        faults::at("batch-closed");
        self.store.truncate_wal()?;
        Ok(count)
    }

    /// Closes the round with its statement. What remains of it is the log, the totals in the statement, and a tombstone.
    ///
    /// # Errors
    /// [`SiteError::NotOpen`], [`SiteError::CounterMissing`].
    pub fn close_round(&self) -> Result<SiteStatement, SiteError> {
        let open = self.opened()?;
        let (round, place, key) = (open.round, open.place, self.key.clone());
        let programme = std::sync::Arc::clone(&open.programme);
        let statement = self.store.write(move |connection| {
            close_batch(connection, round)?;
            let mut log = LogState::load(connection)?;
            let (mut vouchers, mut voids) = (Vec::new(), Vec::new());
            let mut units: BTreeMap<LineId, Units> = BTreeMap::new();
            let mut rows =
                connection.prepare("SELECT key, redeemed, voided FROM totals WHERE round = ?1 ORDER BY key")?;
            let mut rows = rows.query([round.0])?;
            while let Some(row) = rows.next()? {
                let (at, redeemed, voided) = (KeyIndex(row.get(0)?), row.get::<_, u64>(1)?, row.get::<_, u64>(2)?);
                let entry = programme.key(at).expect("only listed keys are redeemed");
                if redeemed > 0 {
                    units.entry(entry.id.line).or_default().0 += u64::from(entry.id.value) * redeemed;
                    vouchers.push((at, redeemed));
                }
                if voided > 0 {
                    voids.push((at, voided));
                }
            }
            let column = |name: &str| -> rusqlite::Result<Vec<(LineId, Units)>> {
                let sql = format!("SELECT line, {name} FROM owed_totals WHERE round = ?1 AND {name} > 0 ORDER BY line");
                connection
                    .prepare(&sql)?
                    .query_map([round.0], |row| Ok((LineId(row.get(0)?), Units(row.get(1)?))))?
                    .collect()
            };
            let statement = StatementTerms {
                place,
                units: units.into_iter().collect(),
                vouchers,
                voids,
                owed: column("owed")?,
                collected: column("collected")?,
                size: log.frontier.size(),
                root: log.frontier.root(),
            };
            let statement = SiteStatement::sign(statement, &key);
            log.append(connection, &SiteLeaf::Statement(statement.clone()))?;
            forget(connection, round)?;
            Ok::<_, SiteError>(statement)
        })??;
        let mut shown = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // The next round may have been opened since the commit.
        if shown.as_ref().is_some_and(|open| open.round == round) {
            *shown = None;
            self.quotes.clear();
        }
        drop(shown);
        faults::at("round-closed");
        self.store.compact_if_due();
        Ok(statement)
    }
}

/// Writes the round down as open. One round at a time, never again after its close.
fn begin(connection: &Connection, round: Round, manifest: &[u8; 32], without_pack: bool) -> Result<(), SiteError> {
    let known: Option<bool> =
        connection.query_row("SELECT closed FROM rounds WHERE round = ?1", [round.0], |row| row.get(0)).optional()?;
    match known {
        Some(true) => return Err(SiteError::Tombstone(round)),
        Some(false) => {
            if !without_pack {
                // The pack came after all.
                connection.execute("UPDATE rounds SET without_pack = 0 WHERE round = ?1", [round.0])?;
            }
            return Ok(());
        }
        None => {}
    }
    let open: Option<u32> =
        connection.query_row("SELECT round FROM rounds WHERE closed = 0", [], |row| row.get(0)).optional()?;
    if let Some(open) = open {
        return Err(SiteError::StillOpen(Round(open)));
    }
    // Rounds of batches never go back.
    let last: Option<u32> = connection.query_row("SELECT max(round) FROM rounds", [], |row| row.get(0))?;
    if last.is_some_and(|last| round.0 <= last) {
        return Err(SiteError::Tombstone(round));
    }
    connection.execute(
        "INSERT INTO rounds (round, manifest, without_pack) VALUES (?1, ?2, ?3)",
        params![round.0, manifest, without_pack],
    )?;
    Ok(())
}

/// Whether the round is open, seen from inside a job: nothing of a round stands behind its statement.
pub(super) fn is_open(connection: &Connection, round: Round) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM rounds WHERE round = ?1 AND closed = 0")?.exists([round.0])
}

fn close_batch(connection: &Connection, round: Round) -> Result<u64, SiteError> {
    // Asked here and not before the job: two requests to close a round may wait in one queue.
    if !is_open(connection, round)? {
        return Err(SiteError::NotOpen);
    }
    counters::close_batch(connection)?;
    let count = LogState::load(connection)?.close_batch::<SiteLeaf>(connection, round)?;
    end_of_batch(connection)?;
    Ok(count)
}

/// Leaves a tombstone of a round, and nothing else.
pub(super) fn forget(connection: &Connection, round: Round) -> rusqlite::Result<()> {
    connection.execute("UPDATE rounds SET closed = 1 WHERE round = ?1", [round.0])?;
    connection.execute("DELETE FROM swapped WHERE round = ?1", [round.0])?;
    connection.execute("DELETE FROM totals WHERE round = ?1", [round.0])?;
    counters::forget(connection)?;
    // One round is open at a time, so every acceptance is of this one.
    connection.execute_batch("DELETE FROM spent; DELETE FROM visits")?;
    Store::compact_later(connection)?;
    Ok(())
}

/// Forgets what groups the acceptances of the batch.
pub(super) fn end_of_batch(connection: &Connection) -> rusqlite::Result<()> {
    // In the order of keys: where a row stands in the file says nothing about when it came.
    connection.execute(
        "INSERT OR REPLACE INTO spent SELECT key, holder, number, batch, leaf, counter, voided, handed,
         provisional, due FROM fresh
         ORDER BY key, holder",
        [],
    )?;
    connection.execute_batch("DELETE FROM fresh; DELETE FROM visits")
}

/// Counts an officer's act.
pub(super) fn count_act(connection: &Connection, round: Round, act: &str, counter: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO acts VALUES (?1, ?2, ?3, 1) ON CONFLICT (round, act, counter) DO UPDATE SET count = count + 1",
        )?
        .execute(params![round.0, act, counter])
        .map(drop)
}
