//! Sealed slots by the bucket: what a wallet without its phone asks for (spec 10.2; spec/node.md, 6.1).
//!
//! A slot is given out once its leaf is in a closed batch. Before that, whoever asks for all buckets every second would see draws
//! one by one, which a batch hides. There is no look-up by id anywhere.

use annona_protocol::{
    bucket::{Bucket, SlotBucket, SlotDirectory, SlotKind, SlotRound, StoredSlot, depth_of},
    ids::Round,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{IssuerError, IssuerService};

impl IssuerService {
    /// How slots are cut into buckets of at least `minimum` slots on average.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn slot_directory(&self, minimum: u32) -> Result<SlotDirectory, IssuerError> {
        let rounds = self.store.read_apart(|connection| {
            connection
                .prepare_cached(
                    "SELECT round, max(slots) FILTER (WHERE kind = 0), max(slots) FILTER (WHERE kind = 1)
                     FROM slot_counts GROUP BY round ORDER BY round",
                )?
                .query_map([], |row| {
                    let depth = |slots: Option<u64>| slots.map(|slots| depth_of(slots, minimum));
                    Ok(SlotRound {
                        round: Round(row.get(0)?),
                        vouchers: depth(row.get(1)?),
                        credential: depth(row.get(2)?).unwrap_or_default(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()
        })?;
        Ok(SlotDirectory { minimum, rounds })
    }

    /// The slots of a bucket behind the id `after`, as many as fit. The bucket is one of the directory's depth, or of one less:
    /// the depth may have grown since the directory was read.
    ///
    /// # Errors
    /// [`IssuerError::BucketUnknown`].
    pub fn slot_bucket(
        &self,
        bucket: &Bucket,
        after: Option<&[u8; 32]>,
        minimum: u32,
    ) -> Result<SlotBucket, IssuerError> {
        if after.is_some_and(|after| !bucket.contains(after)) {
            return Err(IssuerError::BucketUnknown);
        }
        let found = self.store.read_apart(|connection| {
            let slots: Option<u64> = connection
                .prepare_cached("SELECT slots FROM slot_counts WHERE round = ?1 AND kind = ?2")?
                .query_row(params![bucket.round.0, row(bucket.kind)], |row| row.get(0))
                .optional()?;
            let depth = slots.map(|slots| depth_of(slots, minimum));
            if depth.is_some_and(|depth| bucket.depth == depth || bucket.depth + 1 == depth) {
                part(connection, bucket, after).map(Some)
            } else {
                Ok(None)
            }
        })?;
        found.ok_or(IssuerError::BucketUnknown)
    }
}

fn part(connection: &Connection, bucket: &Bucket, after: Option<&[u8; 32]>) -> rusqlite::Result<SlotBucket> {
    let (low, high) = bucket.range();
    // The order of the tables is forced: first the bucket's slots, then what belongs to each.
    let mut slots = connection.prepare_cached(
        "SELECT id, ciphertext, entry, coalesce(response, x'') FROM slots INDEXED BY slots_by_round
         CROSS JOIN entries ON entries.hash = slots.leaf LEFT JOIN tickets ON tickets.hash = slots.ticket
         WHERE slots.round = ?1 AND kind = ?2 AND id BETWEEN ?3 AND ?4 ORDER BY id",
    )?;
    let mut rows = slots.query(params![bucket.round.0, row(bucket.kind), after.unwrap_or(&low), high])?;
    let (mut slots, mut room) = (Vec::new(), SlotBucket::ROOM);
    while let Some(row) = rows.next()? {
        let slot = StoredSlot { id: row.get(0)?, ciphertext: row.get(1)?, leaf: row.get(2)?, answer: row.get(3)? };
        if after == Some(&slot.id) {
            continue;
        }
        let Some(left) = room.checked_sub(slot.max_bytes()) else { return Ok(SlotBucket { slots, more: true }) };
        room = left;
        slots.push(slot);
    }
    Ok(SlotBucket { slots, more: false })
}

/// Counts the slots of the open batch as given out: every leaf that waits has one of each kind.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<()> {
    let waiting: Vec<(u32, u64)> = connection
        .prepare_cached("SELECT round, count(*) FROM pending GROUP BY round")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (round, slots) in waiting {
        for kind in SlotKind::ALL {
            connection
                .prepare_cached("INSERT OR IGNORE INTO slot_counts VALUES (?1, ?2, 0)")?
                .execute(params![round, row(kind)])?;
            connection
                .prepare_cached("UPDATE slot_counts SET slots = slots + ?3 WHERE round = ?1 AND kind = ?2")?
                .execute(params![round, row(kind), slots])?;
        }
    }
    Ok(())
}

/// A kind in the store.
pub(super) fn row(kind: SlotKind) -> u8 {
    match kind {
        SlotKind::Vouchers => 0,
        SlotKind::Credential => 1,
    }
}
