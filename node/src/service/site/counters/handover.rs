//! A counter's package: what it holds, how it is made, and how the main store takes it.

use std::collections::BTreeSet;

use annona_protocol::{
    group::EncodedPoint,
    ids::{KeyIndex, ProgrammeId, Round, SiteId, Slot},
    log::{
        TreeHash,
        leaf::{Leaf as _, SiteLeaf},
        merkle::leaf_hash,
    },
    voucher::Mark,
    wire::Message as _,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{
    super::{SiteError, round::count_act, visit},
    TakenIn, first,
};
use crate::store::Pending;

/// What a counter hands over: everything since the package before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handover {
    pub(super) programme: ProgrammeId,
    pub(super) site: SiteId,
    pub(super) round: Round,
    /// The random number of the counter's store: two of them may be given one slot by mistake.
    pub(super) store: i64,
    /// The batch that its receipts promise.
    pub(super) number: u32,
    pub(super) slots: Vec<Slot>,
    /// Encoded leaves, ascending by hash.
    pub(super) leaves: Vec<Vec<u8>>,
    /// Ascending by mark.
    pub(super) accepted: Vec<Accepted>,
    pub(super) owed: Vec<Owed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accepted {
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
pub(super) struct Owed {
    holder: EncodedPoint,
    round: Round,
    leaf: Vec<u8>,
    state: u8,
    collected: Option<Round>,
    handed: bool,
}

pub(super) type Collected = (Vec<Vec<u8>>, Vec<Accepted>, Vec<Owed>);

/// Everything of a counter's open batch.
pub(super) fn collected(connection: &Connection) -> rusqlite::Result<Collected> {
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

pub(super) fn take_in(connection: &Connection, handover: &Handover, batch: u32) -> Result<TakenIn, SiteError> {
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
                "INSERT OR REPLACE INTO owed (holder, round, leaf, state, collected_round, handed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
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
