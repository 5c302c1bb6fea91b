//! Rounds of the issuer: open, freeze, close, and the batches between (spec 6.3, 8.1, 8.4).

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use annona_protocol::{
    cohort::{CohortClass, CohortSum},
    draw::RoundKeys,
    group::EncodedPoint,
    ids::{KeyIndex, ManifestHash, Round, SiteId},
    log::leaf::{CloseLeaf, CohortOpening, FreezeLeaf, IssuerLeaf, OpenLeaf},
    slip::{OpeningPack, PackTerms, Place, Signed},
    voucher::{Mark, RoundMaster},
    wire::Message as _,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{IssuerError, IssuerService, View, buckets, forget, moves::class_row};
use crate::{
    faults, random,
    store::{LogState, Pending, Store},
};

/// What a freeze does about classes that are to be opened, and whose running sum is lost: those of a store from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostSums {
    /// It is refused, so that the store that has the sums can be found.
    Refuse,
    /// They are left unopened; the audit says `class-unopened` of every freeze from here on, and counts them at the maximum.
    Leave,
}

impl IssuerService {
    /// Puts the newest version in force for a round and opens it for draws.
    ///
    /// # Errors
    /// [`IssuerError::Master`] if the master does not give the listed keys, [`IssuerError::Ahead`] if this round and one that is
    /// open would be further apart than the policy lets requests run ahead, [`IssuerError::Round`] if it was opened before.
    pub fn open_round(&self, round: Round, master: &RoundMaster) -> Result<(), IssuerError> {
        let mut guard = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut programme = guard.programme.clone();
        let manifest = programme.latest().hash();
        programme.open_round(round, manifest)?;
        let derived = RoundKeys::derive(&programme.in_force(round)?, master).map_err(|_| IssuerError::Master(round))?;
        let advance = programme.latest().policy.advance;
        let done = self.store.write(move |connection| {
            // An older round beside a newer one runs as far behind as the newer one runs ahead.
            let far: Option<u32> = connection
                .query_row(
                    "SELECT round FROM rounds WHERE closed = 0 AND abs(round - ?1) > ?2 ORDER BY round LIMIT 1",
                    [round.0, advance],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(far) = far {
                return Err(IssuerError::Ahead(Round(far)));
            }
            let opened = connection.execute(
                "INSERT OR IGNORE INTO rounds (round, manifest) VALUES (?1, ?2)",
                params![round.0, manifest.0],
            )?;
            if opened == 0 {
                return Err(IssuerError::Round(round));
            }
            LogState::load(connection)?.append(connection, &IssuerLeaf::Open(OpenLeaf { round, manifest }))?;
            Ok(())
        });
        if let Err(error) = done.map_err(IssuerError::from).flatten()
            // A commit of unknown outcome, now or at an earlier try: the store says what holds.
            && !self.is_stored_open(round, manifest)?
        {
            return Err(error);
        }
        let mut keys = guard.keys.clone();
        keys.insert(round, Arc::new(derived));
        *guard = Arc::new(View { programme, keys });
        Ok(())
    }

    fn is_stored_open(&self, round: Round, manifest: ManifestHash) -> Result<bool, IssuerError> {
        Ok(self.store.read(|connection| {
            connection
                .prepare("SELECT 1 FROM rounds WHERE round = ?1 AND manifest = ?2 AND closed = 0")?
                .exists(params![round.0, manifest.0])
        })?)
    }

    /// Appends what waits to the log as one batch. Returns how many leaves it had.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn close_batch(&self) -> Result<u64, IssuerError> {
        self.close_batch_of(0)
    }

    /// The same if so many leaves wait; otherwise none goes.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn close_batch_of(&self, least: u64) -> Result<u64, IssuerError> {
        let first = self.with_programme(|programme| programme.latest().policy.first_round);
        let count = self.store.write(move |connection| {
            let few = Pending::count(connection)? < least;
            Ok::<_, IssuerError>(if few { 0 } else { close_batch(connection, first)? })
        })??;
        faults::at("batch-closed");
        self.store.truncate_wal()?;
        Ok(count)
    }

    /// Freezes a round: swaps end, opening packs are fixed, every class that is large enough is opened. Again: the same packs.
    ///
    /// # Errors
    /// [`IssuerError::Round`] if the round is not open, [`IssuerError::CohortLost`] after a restore from a backup.
    pub fn freeze(&self, round: Round) -> Result<Vec<OpeningPack>, IssuerError> {
        self.freeze_with(round, LostSums::Refuse)
    }

    /// The same; `lost` says what becomes of classes whose running sum is gone.
    ///
    /// # Errors
    /// The same.
    pub fn freeze_with(&self, round: Round, lost: LostSums) -> Result<Vec<OpeningPack>, IssuerError> {
        // No version comes between what is looked at here and the job: openings are of the newest one in the log.
        let guard = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let view = Arc::clone(&guard);
        let now = view.programme.in_force(round)?;
        let sites: Vec<SiteId> = now.header.sites.iter().map(|site| site.id).collect();
        let places: Vec<Place> = sites.iter().map(|site| Place::new(&now, *site)).collect();
        let manifest = now.hash;
        let (key, store_key) = (self.secrets.log.clone(), super::StoreKey::new(*self.secrets.store.expose()));
        let shared = Arc::clone(&view);
        let packs = self.store.write(move |connection| {
            let state: Option<(bool, bool)> = connection
                .query_row("SELECT frozen, closed FROM rounds WHERE round = ?1", [round.0], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            match state {
                Some((true, _)) => return stored_packs(connection, round),
                Some((false, false)) => {}
                _ => return Err(IssuerError::Round(round)),
            }
            close_batch(connection, round)?;
            let openings = open_cohorts(connection, &shared, &store_key, lost)?;
            let mut log = LogState::load(connection)?;
            let (size, root) = (log.frontier.size(), log.frontier.root());
            let swapped = swapped_marks(connection)?;
            let mut digests = Vec::new();
            let mut packs = Vec::new();
            for place in places {
                let of_site = |mark: &&Mark| {
                    let id = shared.programme.key(mark.key).map(|entry| entry.id);
                    id.is_some_and(|id| id.round == round && id.site.is_none_or(|site| site == place.site))
                };
                let swapped = swapped.iter().filter(of_site).copied().collect();
                let pack: OpeningPack = Signed::sign(PackTerms { place, swapped, size, root }, &key);
                connection
                    .execute("INSERT INTO packs VALUES (?1, ?2, ?3)", params![round.0, place.site.0, pack.encode()])?;
                digests.push((place.site, pack.digest()));
                packs.push(pack);
            }
            log.append(connection, &IssuerLeaf::Freeze(FreezeLeaf { round, manifest, packs: digests, openings }))?;
            connection.execute("UPDATE rounds SET frozen = 1 WHERE round = ?1", [round.0])?;
            Ok(packs)
        })??;
        drop(guard);
        faults::at("round-frozen");
        self.store.truncate_wal()?;
        Ok(packs)
    }

    /// Opens the cohorts that are left, once, after the freeze of the programme's last round; but those whose sum is lost, which the
    /// audit says.
    ///
    /// # Errors
    /// [`IssuerError::Round`] if the round is not frozen, or its closing freeze was made.
    pub fn closing_freeze(&self, round: Round) -> Result<usize, IssuerError> {
        let guard = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let view = Arc::clone(&guard);
        let manifest = view.programme.in_force(round)?.hash;
        let store_key = super::StoreKey::new(*self.secrets.store.expose());
        let count = self.store.write(move |connection| {
            let changed = connection
                .execute("UPDATE rounds SET closing = 1 WHERE round = ?1 AND frozen = 1 AND closing = 0", [round.0])?;
            if changed == 0 {
                return Err(IssuerError::Round(round));
            }
            close_batch(connection, round)?;
            let openings = open_cohorts(connection, &view, &store_key, LostSums::Leave)?;
            let count = openings.len();
            let leaf = FreezeLeaf { round, manifest, packs: Vec::new(), openings };
            LogState::load(connection)?.append(connection, &IssuerLeaf::Freeze(leaf))?;
            Ok(count)
        })??;
        drop(guard);
        self.store.truncate_wal()?;
        Ok(count)
    }

    /// Closes a round: no draws any more, voucher slots are deleted, sessions are dropped. The caller erases the round's master
    /// afterwards. Again: nothing changes.
    ///
    /// # Errors
    /// [`IssuerError::Round`] if the round is not frozen.
    pub fn close_round(&self, round: Round) -> Result<(), IssuerError> {
        let mut guard = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let last = guard.programme.latest().last_round;
        self.store.write(move |connection| {
            let state: Option<(bool, bool)> = connection
                .query_row("SELECT frozen, closed FROM rounds WHERE round = ?1", [round.0], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            match state {
                Some((_, true)) => return Ok(()),
                Some((true, false)) => {}
                _ => return Err(IssuerError::Round(round)),
            }
            close_batch(connection, round)?;
            LogState::load(connection)?.append(connection, &IssuerLeaf::Close(CloseLeaf { round }))?;
            connection.execute("UPDATE rounds SET closed = 1 WHERE round = ?1", [round.0])?;
            forget::round(connection, round)?;
            if forget::is_over(connection, last)? {
                forget::programme(connection)?;
            }
            Store::compact_later(connection)?;
            Ok(())
        })??;
        let mut keys = guard.keys.clone();
        keys.remove(&round);
        *guard = Arc::new(View { programme: guard.programme.clone(), keys });
        self.sessions.drop_round(round);
        faults::at("round-closed");
        drop(guard);
        // The round is closed, and whoever asked has to hear so: what is left over here goes with the next one.
        if let Err(error) = self.forget_lapsed_tickets() {
            tracing::error!(code = error.code(), "lapsed tickets were not deleted");
        }
        self.store.compact_if_due();
        Ok(())
    }

    /// The opening pack of a site, once the round is frozen.
    ///
    /// # Errors
    /// [`IssuerError::Round`].
    pub fn pack(&self, round: Round, site: SiteId) -> Result<Vec<u8>, IssuerError> {
        self.store
            .read(|connection| {
                connection
                    .query_row(
                        "SELECT pack FROM packs WHERE round = ?1 AND site = ?2",
                        params![round.0, site.0],
                        |row| row.get(0),
                    )
                    .optional()
            })?
            .ok_or(IssuerError::Round(round))
    }

    /// Rounds whose masters can be erased: those that are closed.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn closed_rounds(&self) -> Result<BTreeSet<Round>, IssuerError> {
        Ok(self.store.read(|connection| {
            connection
                .prepare("SELECT round FROM rounds WHERE closed = 1")?
                .query_map([], |row| Ok(Round(row.get(0)?)))?
                .collect()
        })?)
    }

    /// What is in force for a round, if it was opened.
    pub fn manifest_of(&self, round: Round) -> Option<ManifestHash> {
        self.view().programme.in_force(round).ok().map(|view| view.hash)
    }
}

/// Closes the batch under the newest round that was opened, as rounds of batches never go back; under `first` before any was. From
/// here on the slots of its leaves are given out.
fn close_batch(connection: &Connection, first: Round) -> rusqlite::Result<u64> {
    let round: Option<u32> = connection.query_row("SELECT max(round) FROM rounds", [], |row| row.get(0))?;
    buckets::count(connection)?;
    LogState::load(connection)?.close_batch::<IssuerLeaf>(connection, round.map_or(first, Round))
}

fn stored_packs(connection: &Connection, round: Round) -> Result<Vec<OpeningPack>, IssuerError> {
    let packs = connection
        .prepare("SELECT pack FROM packs WHERE round = ?1 ORDER BY site")?
        .query_map([round.0], |row| row.get::<_, Vec<u8>>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(packs.iter().map(|pack| OpeningPack::decode(pack)).collect::<Result<_, _>>()?)
}

fn swapped_marks(connection: &Connection) -> rusqlite::Result<Vec<Mark>> {
    connection
        .prepare("SELECT key, holder FROM swapped ORDER BY key, holder")?
        .query_map([], |row| Ok(Mark { key: KeyIndex(row.get(0)?), holder: EncodedPoint(row.get(1)?) }))?
        .collect()
}

/// Opens every class that has enough members, over the log up to here; their sums start anew.
fn open_cohorts(
    connection: &Connection,
    view: &View,
    key: &super::StoreKey,
    lost: LostSums,
) -> Result<Vec<CohortOpening>, IssuerError> {
    let to = LogState::load(connection)?.frontier.size();
    let rows = connection
        .prepare("SELECT class, start, members, sealed FROM cohorts WHERE members >= ?1")?
        .query_map([view.programme.latest().policy.cohort_min], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u64>(1)?, row.get(2)?, row.get::<_, Option<Vec<u8>>>(3)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut openings = Vec::new();
    let mut classes = rows
        .into_iter()
        .filter_map(|(row, start, waiting, sealed)| match (sealed, lost) {
            (Some(sealed), _) => Some(Ok((row, start, sealed))),
            (None, LostSums::Refuse) => Some(Err(IssuerError::CohortLost { waiting })),
            (None, LostSums::Leave) => None,
        })
        .map(|found| {
            let (row, start, sealed) = found?;
            let class: CohortClass = postcard::from_bytes(&row).map_err(|_| IssuerError::Sealed)?;
            Ok((class, start, key.open_sum(class, &row, &sealed, view.programme.schema())?))
        })
        .collect::<Result<Vec<_>, IssuerError>>()?;
    classes.sort_by_key(|(class, ..)| *class);
    for (class, start, sum) in classes {
        openings.push(sum.open(&view.programme, start, to, &mut random::os())?);
        let row = class_row(class);
        let sealed = key.seal_sum(&row, &CohortSum::new(class, view.programme.schema()), &mut random::os());
        connection.execute(
            "UPDATE cohorts SET start = ?2, members = 0, sealed = ?3 WHERE class = ?1",
            params![row, to, sealed],
        )?;
    }
    Ok(openings)
}
