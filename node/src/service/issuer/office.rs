//! Ticket lots: what the office imports (spec 4.1).

use annona_protocol::{
    enrol::TicketGrant,
    ids::{LotId, TicketHash},
    log::{TreeHash, leaf::LotLeaf},
};
use rand_core::CryptoRng;
use rusqlite::params;

use super::{IssuerError, IssuerService};

/// Tickets of one transaction.
const PORTION: usize = 10_000;

/// A ticket of a lot: what it grants, and the amend ticket after which it becomes valid.
#[derive(Debug)]
pub struct Grant {
    /// What it grants.
    pub grant: TicketGrant,
    /// For a split: the ticket of the amend that has to be made first.
    pub after: Option<TicketHash>,
}

/// A lot as it was imported, before its approval: what the officers sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotPlan {
    /// The lot.
    pub lot: LotId,
    /// How many tickets.
    pub count: u64,
    /// The root over their leaves.
    pub root: TreeHash,
}

impl LotPlan {
    /// The leaf without signatures.
    pub fn unsigned(&self) -> LotLeaf {
        LotLeaf { lot: self.lot, count: self.count, root: self.root, signatures: Vec::new() }
    }
}

impl IssuerService {
    /// Checks that these tickets are here, used or not: a ticket that waits for one that is not would wait for ever.
    ///
    /// # Errors
    /// [`IssuerError::AmendUnknown`].
    pub fn check_amends(&self, tickets: &[TicketHash]) -> Result<(), IssuerError> {
        let here = self.store.read(|connection| {
            let mut find = connection.prepare_cached("SELECT 1 FROM tickets JOIN lots USING (lot) WHERE hash = ?1")?;
            for ticket in tickets {
                if !find.exists([ticket.0])? {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if here { Ok(()) } else { Err(IssuerError::AmendUnknown) }
    }

    /// Stores the tickets of a lot, sealed. None can be used before the lot is approved. Takes them in portions: what an import
    /// that was cut off left behind goes with the next one.
    ///
    /// # Errors
    /// [`IssuerError::LotExists`], [`IssuerError::LotUnknown`] for a lot that the manifest does not name.
    pub fn import_lot<R: CryptoRng + ?Sized>(
        &self,
        plan: &LotPlan,
        tickets: impl Iterator<Item = Grant>,
        rng: &mut R,
    ) -> Result<(), IssuerError> {
        let LotPlan { lot, count, root } = plan.clone();
        self.view().programme.latest().lot(lot).ok_or(IssuerError::LotUnknown(lot))?;
        self.store.write(move |connection| {
            if connection.prepare("SELECT 1 FROM lots WHERE lot = ?1")?.exists([lot.0])? {
                return Err(IssuerError::LotExists(lot));
            }
            connection.execute("DELETE FROM tickets WHERE lot = ?1", [lot.0])?;
            Ok(())
        })??;
        let mut tickets = tickets.peekable();
        while tickets.peek().is_some() {
            let rows: Vec<_> = tickets
                .by_ref()
                .take(PORTION)
                .map(|ticket| {
                    let sealed = self.secrets.store.seal_grant(&ticket.grant, rng);
                    (ticket.grant.place.hash, sealed, ticket.after.map(|after| after.0))
                })
                .collect();
            self.store.write(move |connection| {
                let mut insert = connection
                    .prepare("INSERT INTO tickets (hash, lot, grant_sealed, after) VALUES (?1, ?2, ?3, ?4)")?;
                for (hash, sealed, after) in rows {
                    insert.execute(params![hash.0, lot.0, sealed, after])?;
                }
                Ok::<_, IssuerError>(())
            })??;
        }
        // The lot's own row comes last: without it its tickets are not there.
        self.store.write(move |connection| {
            let inserted = connection
                .execute("INSERT INTO lots (lot, count, root) VALUES (?1, ?2, ?3)", params![lot.0, count, root.0]);
            match inserted {
                Ok(_) => Ok(()),
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                    Err(IssuerError::LotExists(lot))
                }
                Err(error) => Err(error.into()),
            }
        })?
    }
}
