//! A lot of tickets: codes for paper, salted leaves under one root for the officers, and what each ticket grants (spec 4.1).
//!
//! The codes leave on slips and are forgotten; the issuer keeps hashes. Grants come in the order of the lot's leaves, so that
//! neither a ticket's position nor the order in which the store took it says anything about its household.

use std::collections::HashSet;

use annona_protocol::{
    enrol::TicketGrant,
    ids::{LotId, ProgrammeId, Round, TicketHash},
    log::{
        TreeHash,
        merkle::{empty_root, node_hash},
    },
    programme::{LotTerms, Schema, TicketKind},
    ticket::{TicketCode, TicketUse},
};
use rand_core::CryptoRng;
use zeroize::Zeroize as _;

use crate::officers::Proposal;

/// What a ticket grants. No `Debug`: it describes a household.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// The last round in which the credential rolls over.
    pub expires: Round,
    /// The programme's attributes, in the schema's order.
    pub attributes: Vec<u64>,
}

impl std::fmt::Debug for TicketRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketRow(redacted)")
    }
}

impl Drop for TicketRow {
    fn drop(&mut self) {
        self.attributes.zeroize();
    }
}

/// Why no lot can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LotError {
    /// No tickets.
    #[error("a lot needs at least one ticket: give a caseload with cases")]
    Empty,
    /// Attributes that the schema does not admit.
    #[error("ticket {0} has attributes outside the programme's ranges: import the caseload for this programme again")]
    Attributes(usize),
    /// An expiry that the width or the lot's start does not admit.
    #[error("ticket {0} expires before it starts, or too late: correct the expiry in the caseload")]
    Expiry(usize),
}

impl LotError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "lot_empty",
            Self::Attributes(_) => "lot_attributes",
            Self::Expiry(_) => "lot_expiry",
        }
    }
}

/// A lot that is ready for its officers, its store and its printer.
pub struct PreparedLot {
    programme: ProgrammeId,
    lot: LotId,
    kind: TicketKind,
    rows: Vec<TicketRow>,
    codes: Vec<TicketCode>,
    /// In the order of the leaves.
    places: Vec<Place>,
    tree: LotTree,
}

struct Place {
    leaf: TreeHash,
    hash: TicketHash,
    salt: [u8; 32],
    row: usize,
}

impl std::fmt::Debug for PreparedLot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedLot")
            .field("lot", &self.lot)
            .field("kind", &self.kind)
            .field("tickets", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl PreparedLot {
    /// Makes a ticket for each row.
    ///
    /// # Errors
    /// [`LotError`], which counts tickets from 0 in the order of the rows.
    pub fn new<R: CryptoRng + ?Sized>(
        programme: ProgrammeId,
        schema: &Schema,
        terms: &LotTerms,
        rows: Vec<TicketRow>,
        rng: &mut R,
    ) -> Result<Self, LotError> {
        if rows.is_empty() {
            return Err(LotError::Empty);
        }
        let starts = match terms.kind {
            TicketKind::Enrol | TicketKind::Split => terms.start.drawn,
            TicketKind::Amend => Round(0),
        };
        for (at, row) in rows.iter().enumerate() {
            if !schema.admits(&row.attributes) {
                return Err(LotError::Attributes(at));
            }
            if row.expires < starts || i128::from(row.expires.0) >= schema.limit() {
                return Err(LotError::Expiry(at));
            }
        }
        let mut seen = HashSet::with_capacity(rows.len());
        let mut codes = Vec::with_capacity(rows.len());
        let mut places = Vec::with_capacity(rows.len());
        while codes.len() < rows.len() {
            let code = TicketCode::random(rng);
            let hash = code.hash(&programme, terms.kind);
            // Two equal codes of 80 bits would be one ticket for two households.
            if !seen.insert(hash) {
                continue;
            }
            let mut salt = [0; 32];
            rng.fill_bytes(&mut salt);
            places.push(Place { leaf: TicketUse::leaf(&hash, &salt), hash, salt, row: codes.len() });
            codes.push(code);
        }
        places.sort_unstable_by_key(|place| place.leaf);
        let tree = LotTree::new(places.iter().map(|place| place.leaf).collect());
        Ok(Self { programme, lot: terms.id, kind: terms.kind, rows, codes, places, tree })
    }

    /// The lot.
    pub fn lot(&self) -> LotId {
        self.lot
    }

    /// What its tickets are for.
    pub fn kind(&self) -> TicketKind {
        self.kind
    }

    /// How many tickets it has.
    pub fn count(&self) -> u64 {
        self.codes.len() as u64
    }

    /// The root over the tickets' leaves.
    pub fn root(&self) -> TreeHash {
        self.tree.root()
    }

    /// What the officers sign.
    pub fn proposal(&self) -> Proposal {
        Proposal::lot(self.programme, self.lot, self.count(), self.root())
    }

    /// The codes, in the order of the rows: for the slips.
    pub fn codes(&self) -> &[TicketCode] {
        &self.codes
    }

    /// The row of each grant, in the order of [`PreparedLot::grants`].
    pub fn order(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|place| place.row)
    }

    /// What the store keeps of each ticket, in the order of the leaves. Made one by one: paths of a large lot fill gigabytes.
    pub fn grants(&self) -> impl Iterator<Item = TicketGrant> + '_ {
        (0u64..).zip(&self.places).map(|(index, place)| {
            let row = &self.rows[place.row];
            let path = self.tree.path(index).expect("a place of the lot is a leaf of its tree");
            TicketGrant {
                place: TicketUse { lot: self.lot, hash: place.hash, salt: place.salt, index, path },
                expires: row.expires,
                attributes: row.attributes.clone(),
            }
        })
    }
}

/// An RFC 6962 tree with all its nodes: every path in logarithmic time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotTree {
    /// Leaves first. A node without a right neighbour stands for itself one level up.
    levels: Vec<Vec<TreeHash>>,
}

impl LotTree {
    /// The tree over leaf hashes.
    pub fn new(leaves: Vec<TreeHash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last()
            && last.len() > 1
        {
            let parents = last.chunks(2).map(|pair| match pair {
                [left, right] => node_hash(left, right),
                [alone, ..] => *alone,
                [] => empty_root(),
            });
            let parents = parents.collect();
            levels.push(parents);
        }
        Self { levels }
    }

    /// The root.
    pub fn root(&self) -> TreeHash {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_else(empty_root)
    }

    /// The inclusion path of a leaf, or nothing if there is no such leaf.
    pub fn path(&self, index: u64) -> Option<Vec<TreeHash>> {
        let mut at = usize::try_from(index).ok().filter(|at| *at < self.levels[0].len())?;
        let mut path = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            path.extend(level.get(at ^ 1).filter(|_| level.len() > 1));
            at /= 2;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use annona_protocol::{
        log::merkle::{inclusion_proof, leaf_hash, root},
        programme::Attribute,
    };

    use super::*;
    use crate::officers::Subject;

    fn schema() -> Schema {
        let attributes = vec![
            Attribute { name: "members".into(), min: 1, max: 15 },
            Attribute { name: "under-two".into(), min: 0, max: 15 },
        ];
        Schema { width: 16, lapse: 1, carry: 0, spares: 0, attributes }
    }

    fn terms(kind: TicketKind, drawn: u32) -> LotTerms {
        let start = annona_protocol::programme::Start { drawn: Round(drawn), balances: Vec::new() };
        LotTerms { id: LotId(7), kind, start }
    }

    fn row(expires: u32, members: u64) -> TicketRow {
        TicketRow { expires: Round(expires), attributes: vec![members, 0] }
    }

    fn prepare(terms: &LotTerms, rows: Vec<TicketRow>) -> Result<PreparedLot, LotError> {
        PreparedLot::new(ProgrammeId([3; 32]), &schema(), terms, rows, &mut rand_core::UnwrapErr(rand::rngs::SysRng))
    }

    #[test]
    fn trees_are_those_of_rfc_6962() {
        for size in 0..70 {
            let leaves: Vec<TreeHash> = (0..size).map(|at: u64| leaf_hash(&at.to_be_bytes())).collect();
            let tree = LotTree::new(leaves.clone());
            assert_eq!(tree.root(), root(&leaves), "{size}");
            for index in 0..=size {
                assert_eq!(tree.path(index), inclusion_proof(&leaves, index), "{index} of {size}");
            }
        }
    }

    #[test]
    fn every_ticket_is_in_its_lot_and_grants_its_row() {
        for kind in [TicketKind::Enrol, TicketKind::Amend, TicketKind::Split] {
            let rows: Vec<TicketRow> = (0..100).map(|at| row(12 + at % 3, u64::from(1 + at % 15))).collect();
            let lot = prepare(&terms(kind, 0), rows.clone()).unwrap();
            let grants: Vec<TicketGrant> = lot.grants().collect();
            assert_eq!((grants.len() as u64, lot.count(), lot.kind(), lot.lot()), (100, 100, kind, LotId(7)));
            for (code, row) in lot.codes().iter().zip(&rows) {
                let hash = code.hash(&ProgrammeId([3; 32]), kind);
                let grant = grants.iter().find(|grant| grant.place.hash == hash).unwrap();
                assert_eq!(
                    (grant.expires, &grant.attributes, grant.place.lot),
                    (row.expires, &row.attributes, LotId(7))
                );
                grant.place.verify(lot.count(), &lot.root()).unwrap();
            }
            let leaves: Vec<TreeHash> =
                grants.iter().map(|grant| TicketUse::leaf(&grant.place.hash, &grant.place.salt)).collect();
            assert!(leaves.is_sorted());
            let expected =
                Subject::Lot { programme: ProgrammeId([3; 32]), lot: LotId(7), count: 100, root: lot.root() };
            assert_eq!(*lot.proposal().subject(), expected);
        }
    }

    #[test]
    fn rows_that_no_wallet_would_accept_are_refused() {
        let enrol = terms(TicketKind::Enrol, 3);
        assert_eq!(prepare(&enrol, Vec::new()).unwrap_err(), LotError::Empty);
        assert_eq!(prepare(&enrol, vec![row(12, 1), row(12, 16)]).unwrap_err(), LotError::Attributes(1));
        assert_eq!(prepare(&enrol, vec![row(12, 0)]).unwrap_err(), LotError::Attributes(0));
        let short = TicketRow { expires: Round(12), attributes: vec![1] };
        assert_eq!(prepare(&enrol, vec![short]).unwrap_err(), LotError::Attributes(0));
        assert_eq!(prepare(&enrol, vec![row(2, 1)]).unwrap_err(), LotError::Expiry(0));
        assert_eq!(prepare(&enrol, vec![row(65_536, 1)]).unwrap_err(), LotError::Expiry(0));
        assert_eq!(prepare(&enrol, vec![row(u32::MAX, 1)]).unwrap_err(), LotError::Expiry(0));
        assert!(prepare(&enrol, vec![row(3, 1), row(65_535, 15)]).is_ok());
        // A change of a household does not start anew.
        assert!(prepare(&terms(TicketKind::Amend, 3), vec![row(1, 1)]).is_ok());
    }

    #[test]
    fn a_lot_shows_no_code_and_no_household() {
        let lot = prepare(&terms(TicketKind::Enrol, 0), vec![row(12, 13)]).unwrap();
        assert_eq!(format!("{lot:?}"), "PreparedLot { lot: LotId(7), kind: Enrol, tickets: 1, .. }");
    }
}
