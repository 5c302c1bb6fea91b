//! What the issuer forgets, and when (spec/inventory.md, 6).
//!
//! An answer is kept for as long as a wallet can lose by its absence: a household that drew and lost the answer has no other
//! credential, whichever round closes meanwhile. So answers go when no round is left to use a credential in. That a serial, a
//! ticket or a swap was used is kept for ever, with the digest of its request: a repeat is told `answer-erased`, anything else
//! `spent`. Answers of draws, refreshes, roll-overs and swaps are in the public log, too.

use annona_protocol::ids::{Round, TicketHash};
use rusqlite::{Connection, params};

use super::{IssuerError, IssuerService};

/// Tickets of one transaction.
const PORTION: u32 = 10_000;

/// What a round's close takes: voucher slots, and ids of used sessions, whose nonces go with the round.
pub(super) fn round(connection: &Connection, round: Round) -> rusqlite::Result<()> {
    // Those of enrolments with them: an enrolment gives no vouchers.
    for table in ["slots", "slot_counts"] {
        connection.execute(&format!("DELETE FROM {table} WHERE kind = 0 AND round IN (?1, 0)"), [round.0])?;
    }
    connection.execute("DELETE FROM sessions WHERE round = ?1", [round.0])?;
    Ok(())
}

/// Whether the last planned round is closed, and no other is open.
pub(super) fn is_over(connection: &Connection, last: Round) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(*) FILTER (WHERE closed = 0) = 0 AND count(*) FILTER (WHERE round >= ?1) > 0 FROM rounds",
        [last.0],
        |row| row.get(0),
    )
}

/// What the programme's end takes: all answers, credential slots, unused tickets.
pub(super) fn programme(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "UPDATE serials SET response = NULL; UPDATE swaps SET response = NULL;
         UPDATE tickets SET response = NULL WHERE request IS NOT NULL;
         DELETE FROM tickets WHERE request IS NULL; DELETE FROM slots; DELETE FROM slot_counts;
         DELETE FROM sessions",
    )
}

impl IssuerService {
    /// Whether the programme is over: no round is open, and the last one that is planned is closed.
    ///
    /// # Errors
    /// [`IssuerError::Store`].
    pub fn is_over(&self) -> Result<bool, IssuerError> {
        let last = self.view().programme.latest().last_round;
        Ok(self.store.read(|connection| is_over(connection, last))?)
    }

    /// Deletes unused tickets that grant nothing any more: every round that they reach is closed.
    pub(super) fn forget_lapsed_tickets(&self) -> Result<(), IssuerError> {
        let closed = self.closed_rounds()?;
        let first = self.with_programme(|programme| programme.latest().policy.first_round);
        let settled = (first.0..).map(Round).take_while(|round| closed.contains(round)).last();
        let Some(settled) = settled else { return Ok(()) };
        let mut from: Vec<u8> = Vec::new();
        loop {
            let rows: Vec<([u8; 32], Vec<u8>)> = self.store.read(|connection| {
                connection
                    .prepare_cached(
                        "SELECT hash, grant_sealed FROM tickets WHERE hash > ?1 AND grant_sealed IS NOT NULL
                         ORDER BY hash LIMIT ?2",
                    )?
                    .query_map(params![from, PORTION], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from = last.to_vec();
            let mut lapsed = Vec::new();
            for (hash, sealed) in rows {
                if self.secrets.store.open_grant(&TicketHash(hash), &sealed)?.expires <= settled {
                    lapsed.push(hash);
                }
            }
            if lapsed.is_empty() {
                continue;
            }
            self.store.write(move |connection| {
                let mut delete =
                    connection.prepare_cached("DELETE FROM tickets WHERE hash = ?1 AND request IS NULL")?;
                for hash in lapsed {
                    delete.execute([hash])?;
                }
                Ok::<_, IssuerError>(())
            })??;
        }
    }
}
