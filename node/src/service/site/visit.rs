//! Visits: quote, redeem, hand over, void, collect (spec 7).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use annona_protocol::{
    group::EncodedPoint,
    ids::{Digest, KeyIndex, LineId, QuoteId, Round, Units},
    log::{
        TreeHash,
        leaf::{Leaf as _, OwedLeaf, OwedVoidedLeaf, SiteLeaf, VoidLeaf, VoucherLeaf},
    },
    programme::Programme,
    redeem::{
        BearerVoucher, CollectRequest, Outcome, RedeemRequest, RedeemResponse, Refusal, VerifiedVisit, VoidRequest,
    },
    slip::{
        OwedSlip, OwedTerms, Place, Quote, QuoteTerms, Receipt, ReceiptTerms, RefusalCode, RefusalTerms, Signed,
        VoidSlip, VoidTerms,
    },
    voucher::Mark,
    wire::{Message as _, request_digest},
};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    CounterId, OpenRound, SiteError, SiteService,
    round::{count_act, is_open},
};
use crate::store::{LogState, Pending, StoreError};

/// Why a visit's job undoes itself.
enum Undone {
    Refused(Refusal),
    Error(SiteError),
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        Self::Error(error.into())
    }
}

fn refused<T>(code: RefusalCode, marks: impl IntoIterator<Item = Mark>) -> Result<T, Undone> {
    Err(Undone::Refused(Refusal { code, marks: marks.into_iter().collect() }))
}

/// A desk's random name for one tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapId(pub [u8; 16]);

impl SiteService {
    /// A fresh quote of a counter: the lines that are offered in the round that is open. One that ran out is still quoted, so that
    /// its vouchers are accepted and the goods owed; a supervisor takes it off by setting its stock to nothing.
    ///
    /// # Errors
    /// [`SiteError::NotOpen`].
    pub fn quote<R: CryptoRng + ?Sized>(&self, counter: CounterId, rng: &mut R) -> Result<Quote, SiteError> {
        let open = self.opened()?;
        let lines = self.store.read(|connection| {
            connection
                .prepare_cached("SELECT line FROM stock ORDER BY line")?
                .query_map([], |row| Ok(LineId(row.get(0)?)))?
                .collect()
        })?;
        let mut id = QuoteId::default();
        rng.fill_bytes(&mut id.0);
        let quote = self.sign(QuoteTerms { place: open.place, id, lines });
        self.quotes.give(quote.clone(), counter);
        Ok(quote)
    }

    /// Redeems a visit's vouchers, all or nothing.
    ///
    /// # Errors
    /// [`SiteError::Refused`] with a signed slip. A repeat gets what was promised before.
    pub fn redeem(&self, request: &[u8]) -> Result<RedeemResponse, SiteError> {
        let open = self.opened()?;
        let Ok(decoded) = RedeemRequest::decode(request) else {
            return Err(self.slip(&open, QuoteId::default(), RefusalCode::Malformed, Vec::new()));
        };
        self.visit(&open, request_digest(request), decoded.quote, |quote| open.counter().verify(quote, &decoded))
    }

    /// Redeems a printed voucher under a quote of the counter's own.
    ///
    /// # Errors
    /// As [`SiteService::redeem`].
    pub fn redeem_sheet(&self, quote: QuoteId, sheet: &[u8]) -> Result<RedeemResponse, SiteError> {
        let open = self.opened()?;
        let Ok(bearer) = BearerVoucher::decode(sheet) else {
            return Err(self.slip(&open, quote, RefusalCode::Malformed, Vec::new()));
        };
        self.visit(&open, request_digest(sheet), quote, |quote| open.counter().verify_bearer(quote, &bearer))
    }

    /// The one path of both: what was answered before is answered again; the rest is verified and accepted in one job.
    fn visit(
        &self,
        open: &OpenRound,
        visit: Digest,
        id: QuoteId,
        verify: impl Fn(&Quote) -> Result<VerifiedVisit, Refusal>,
    ) -> Result<RedeemResponse, SiteError> {
        let _claim = self.in_flight.claim(id)?;
        // After a commit of unknown outcome nothing leaves until the store has been read again.
        for _ in 0..3 {
            let given = self.quotes.find(id);
            if let Some(answer) = self.answered(visit, given.as_ref().map(|(_, counter)| *counter))? {
                self.quotes.used(id);
                return Ok(answer);
            }
            let Some((quote, counter)) = given else {
                return Err(self.slip(open, id, RefusalCode::QuoteUnknown, Vec::new()));
            };
            let verified = verify(&quote).map_err(|refusal| self.slip(open, id, refusal.code, refusal.marks))?;
            let mut job = Acceptance {
                programme: Arc::clone(&open.programme),
                visit,
                counter,
                place: open.place,
                without_pack: open.without_pack,
                key: self.key.clone(),
                verified,
                likely: BTreeMap::new(),
            };
            job.sign_ahead(self.store.read(LogState::load)?.open_batch());
            match self.store.write(move |connection| job.run(connection)) {
                Ok(Ok(answer)) => {
                    self.quotes.used(id);
                    return Ok(answer);
                }
                Ok(Err(Undone::Refused(refusal))) => return Err(self.slip(open, id, refusal.code, refusal.marks)),
                Ok(Err(Undone::Error(error))) => return Err(error),
                Err(StoreError::Unknown) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Unknown.into())
    }

    /// The stored answer to the same bytes, as it stands now. Without a quote in memory the request came to the counter that
    /// it was first answered by: its proof binds that counter's quote.
    fn answered(&self, visit: Digest, counter: Option<CounterId>) -> Result<Option<RedeemResponse>, SiteError> {
        let programme = self.programme();
        Ok(self.store.read(|connection| stored_answer(connection, &programme, visit, counter))?)
    }

    fn slip(&self, open: &OpenRound, quote: QuoteId, code: RefusalCode, marks: Vec<Mark>) -> SiteError {
        SiteError::Refused(Box::new(self.sign(RefusalTerms { place: open.place, quote, code, marks })))
    }

    /// The officer's tap at a counter: the goods of a visit go out. Durable before they do, and once.
    ///
    /// # Errors
    /// [`SiteError::VisitUnknown`] if there is no such visit in the open batch, or it is another counter's;
    /// [`SiteError::AlreadyHandedOver`].
    pub fn handed_over(&self, visit: Digest, counter: CounterId) -> Result<(), SiteError> {
        self.tapped(visit, counter, None)
    }

    /// The same by a tap that has a random name: sent again, because its answer was lost, it is the same tap, and is answered as at
    /// first until the batch closes. Another desk's is not.
    ///
    /// # Errors
    /// The same.
    pub fn tapped(&self, visit: Digest, counter: CounterId, tap: Option<TapId>) -> Result<(), SiteError> {
        let programme = Arc::clone(&self.opened()?.programme);
        self.store.write(move |connection| {
            if let Some((answer, own, handed)) = load_visit(connection, visit)? {
                if own != counter {
                    return Err(SiteError::VisitUnknown);
                }
                if handed {
                    return again(connection, "SELECT tap FROM visits WHERE visit = ?1", visit, tap);
                }
                // Some of them went with another visit.
                if still_due(connection, &programme, &answer)? != answer.units {
                    return Err(SiteError::VisitUnknown);
                }
                connection.execute(
                    "UPDATE visits SET handed = 1, tap = ?2 WHERE visit = ?1",
                    params![visit.0, tap.map(|tap| tap.0)],
                )?;
                for receipt in &answer.receipts {
                    let Mark { key, holder } = receipt.content.mark;
                    for table in ["fresh", "spent"] {
                        let sql =
                            format!("UPDATE {table} SET handed = 1 WHERE key = ?1 AND holder = ?2 AND voided = 0");
                        connection.prepare_cached(&sql)?.execute(params![key.0, holder.0])?;
                    }
                }
                return Ok(());
            }
            // A collection has its holder key for a visit.
            let known: Option<bool> = connection
                .query_row("SELECT handed FROM owed WHERE holder = ?1 AND state = 1", [visit.0], |row| row.get(0))
                .optional()?;
            match known {
                Some(false) => {
                    connection.execute(
                        "UPDATE owed SET handed = 1, tap = ?2 WHERE holder = ?1",
                        params![visit.0, tap.map(|tap| tap.0)],
                    )?;
                    Ok(())
                }
                Some(true) => again(connection, "SELECT tap FROM owed WHERE holder = ?1", visit, tap),
                None => Err(SiteError::VisitUnknown),
            }
        })?
    }

    /// A supervisor lets another counter serve a visit. Counted.
    ///
    /// # Errors
    /// [`SiteError::VisitUnknown`].
    pub fn take_over(&self, visit: Digest, counter: CounterId) -> Result<(), SiteError> {
        let round = self.opened()?.round;
        self.store.write(move |connection| {
            let changed =
                connection.execute("UPDATE visits SET counter = ?2 WHERE visit = ?1", params![visit.0, counter.0])?;
            if changed == 0 {
                return Err(SiteError::VisitUnknown);
            }
            connection.execute("UPDATE fresh SET counter = ?2 WHERE visit = ?1", params![visit.0, counter.0])?;
            count_act(connection, round, "take-over", counter.0)?;
            Ok(())
        })?
    }

    /// Voids a whole visit before its batch closes: a supervisor's act with the holder's proof for each voucher.
    ///
    /// # Errors
    /// [`SiteError::Refused`].
    pub fn void(&self, request: &[u8]) -> Result<VoidSlip, SiteError> {
        let open = self.opened()?;
        let none = QuoteId::default();
        let Ok(request) = VoidRequest::decode(request) else {
            return Err(self.slip(&open, none, RefusalCode::Malformed, Vec::new()));
        };
        let leaves = open
            .counter()
            .verify_void(&request)
            .map_err(|refusal| self.slip(&open, none, refusal.code, refusal.marks))?;
        let (round, place) = (open.round, open.place);
        let done = self.store.write(move |connection| void(connection, round, &leaves).map(|()| leaves))?;
        match done {
            Ok(leaves) => {
                let voided = leaves.iter().map(|leaf| (leaf.mark, leaf.number)).collect();
                Ok(self.sign(VoidTerms { place, voided }))
            }
            Err(Undone::Refused(refusal)) => Err(self.slip(&open, none, refusal.code, refusal.marks)),
            Err(Undone::Error(error)) => Err(error),
        }
    }

    /// Pays out an owed slip, once. The answer has no receipts: the holder's proof is in the log.
    ///
    /// # Errors
    /// [`SiteError::Refused`].
    pub fn collect(&self, request: &[u8]) -> Result<RedeemResponse, SiteError> {
        let open = self.opened()?;
        let none = QuoteId::default();
        let slip = |code| self.slip(&open, none, code, Vec::new());
        let request = CollectRequest::decode(request).map_err(|_| slip(RefusalCode::Malformed))?;
        let holder = request.holder;
        let known: Option<(Vec<u8>, u8, bool)> = self.store.read(|connection| {
            connection
                .prepare_cached("SELECT leaf, state, handed FROM owed WHERE holder = ?1")?
                .query_row([holder.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
        })?;
        let Some((leaf, state, handed)) = known else { return Err(slip(RefusalCode::OwedUnknown)) };
        let Ok(SiteLeaf::Owed(owed)) = SiteLeaf::decode(&leaf) else {
            return Err(StoreError::Damaged("an owed slip does not decode".into()).into());
        };
        let collected = request.verify(&open.place, &owed).map_err(|_| slip(RefusalCode::HolderInvalid))?;
        let answer = |outcome, units| RedeemResponse {
            outcome,
            visit: Digest(holder.0),
            units,
            receipts: Vec::new(),
            owed: None,
        };
        match (state, handed) {
            (1, true) => return Ok(answer(Outcome::AlreadyHandedOver, Vec::new())),
            (1, false) => return Ok(answer(Outcome::AlreadyAccepted, owed.lines)),
            (0, _) => {}
            _ => return Err(slip(RefusalCode::OwedUnknown)),
        }
        let (round, lines) = (open.round, owed.lines.clone());
        let done = self.store.write(move |connection| {
            if !is_open(connection, round)? {
                return refused(RefusalCode::Closed, []);
            }
            let first = connection.execute(
                "UPDATE owed SET state = 1, collected_round = ?2 WHERE holder = ?1 AND state = 0",
                params![holder.0, round.0],
            )?;
            if first == 0 {
                // Another copy of the request may have been first: looked at before this job, it was still open.
                let handed: Option<bool> = connection
                    .query_row("SELECT handed FROM owed WHERE holder = ?1 AND state = 1", [holder.0], |row| row.get(0))
                    .optional()?;
                return match handed {
                    Some(true) => Ok(Outcome::AlreadyHandedOver),
                    Some(false) => Ok(Outcome::AlreadyAccepted),
                    None => refused(RefusalCode::OwedUnknown, []),
                };
            }
            for (line, units) in &owed.lines {
                let taken = connection.execute(
                    "UPDATE stock SET units = units - ?2 WHERE line = ?1 AND units >= ?2",
                    params![line.0, units.0],
                )?;
                if taken == 0 {
                    return refused(RefusalCode::LineNotQuoted, []);
                }
                add_owed(connection, round, *line, 0, i64_of(*units))?;
            }
            Pending::queue(connection, round, &SiteLeaf::Collected(collected))?;
            Ok(Outcome::Accepted)
        })?;
        match done {
            Ok(Outcome::AlreadyHandedOver) => Ok(answer(Outcome::AlreadyHandedOver, Vec::new())),
            Ok(outcome) => Ok(answer(outcome, lines)),
            Err(Undone::Refused(refusal)) => Err(slip(refusal.code)),
            Err(Undone::Error(error)) => Err(error),
        }
    }
}

/// A tap on a visit whose goods went: the one that sent them, or another.
fn again(connection: &Connection, sql: &str, visit: Digest, tap: Option<TapId>) -> Result<(), SiteError> {
    let by: Option<[u8; 16]> = connection.query_row(sql, [visit.0], |row| row.get(0))?;
    if by.is_some() && by == tap.map(|tap| tap.0) { Ok(()) } else { Err(SiteError::AlreadyHandedOver) }
}

/// Units in SQLite's integers; a visit's and a stock's fit.
pub(super) fn i64_of(units: Units) -> i64 {
    i64::try_from(units.0).unwrap_or(i64::MAX)
}

fn load_visit(connection: &Connection, visit: Digest) -> rusqlite::Result<Option<(RedeemResponse, CounterId, bool)>> {
    let row: Option<(Vec<u8>, u32, bool)> = connection
        .prepare_cached("SELECT answer, counter, handed FROM visits WHERE visit = ?1")?
        .query_row([visit.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    row.map(|(answer, counter, handed)| {
        let answer = RedeemResponse::decode(&answer).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
        })?;
        Ok((answer, CounterId(counter), handed))
    })
    .transpose()
}

/// What is to be handed over of an answer's vouchers: after the close of their batch they can be shown in other visits.
fn still_due(connection: &Connection, programme: &Programme, answer: &RedeemResponse) -> rusqlite::Result<Lines> {
    let mut due: BTreeMap<LineId, Units> = BTreeMap::new();
    for receipt in &answer.receipts {
        let mark = receipt.content.mark;
        if let Some(known) = known(connection, &mark)?.filter(|known| !known.voided && !known.handed) {
            due.entry(worth(programme, &mark).0).or_default().0 += known.due;
        }
    }
    Ok(due.into_iter().collect())
}

/// A visit's answer as it stands: goods show only at its own counter, and only until they went. None if some of them went with
/// another visit: then each voucher is looked at.
fn stored_answer(
    connection: &Connection,
    programme: &Programme,
    visit: Digest,
    counter: Option<CounterId>,
) -> rusqlite::Result<Option<RedeemResponse>> {
    let Some((answer, own, handed)) = load_visit(connection, visit)? else { return Ok(None) };
    let outcome = match counter {
        Some(counter) if counter != own => Outcome::AcceptedAtCounter,
        _ if handed => Outcome::AlreadyHandedOver,
        _ if still_due(connection, programme, &answer)? != answer.units => return Ok(None),
        _ => Outcome::AlreadyAccepted,
    };
    let units = if outcome == Outcome::AlreadyAccepted { answer.units } else { Vec::new() };
    Ok(Some(RedeemResponse { outcome, units, ..answer }))
}

/// Line and units of a verified voucher.
fn worth(programme: &Programme, mark: &Mark) -> (LineId, u64) {
    let id = programme.key(mark.key).expect("verified vouchers have listed keys").id;
    (id.line, id.value.into())
}

/// The job that accepts a visit.
struct Acceptance {
    programme: Arc<Programme>,
    visit: Digest,
    counter: CounterId,
    place: Place,
    without_pack: bool,
    key: SigningKey,
    verified: VerifiedVisit,
    /// Receipts as they will most likely be. They leave with an acceptance only.
    likely: BTreeMap<Mark, Receipt>,
}

/// What the store knows of a mark that has an acceptance.
struct Known {
    number: u32,
    batch: u32,
    leaf: TreeHash,
    counter: u32,
    voided: bool,
    handed: bool,
    /// Accepted before the opening pack came.
    provisional: bool,
    /// Units that were handed over for it; the rest is owed.
    due: u64,
    /// The visit, while the batch is open.
    visit: Option<Digest>,
}

fn known(connection: &Connection, mark: &Mark) -> rusqlite::Result<Option<Known>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Known {
            number: row.get(0)?,
            batch: row.get(1)?,
            leaf: TreeHash(row.get(2)?),
            counter: row.get(3)?,
            voided: row.get(4)?,
            handed: row.get(5)?,
            provisional: row.get(6)?,
            due: row.get(7)?,
            visit: row.get::<_, Option<[u8; 32]>>(8)?.map(Digest),
        })
    };
    for sql in [
        "SELECT number, batch, leaf, counter, voided, handed, provisional, due, visit FROM fresh WHERE key = ?1 AND holder = ?2",
        "SELECT number, batch, leaf, counter, voided, handed, provisional, due, NULL FROM spent WHERE key = ?1 AND holder = ?2",
    ] {
        let row = connection.prepare_cached(sql)?.query_row(params![mark.key.0, mark.holder.0], read).optional()?;
        if row.is_some() {
            return Ok(row);
        }
    }
    Ok(None)
}

impl Acceptance {
    fn run(self, connection: &Connection) -> Result<RedeemResponse, Undone> {
        let round = self.place.round;
        let open: Option<bool> = connection
            .prepare_cached("SELECT closed = 0 FROM rounds WHERE round = ?1")?
            .query_row([round.0], |row| row.get(0))
            .optional()?;
        let marks: BTreeSet<Mark> = self.verified.marks().collect();
        if open != Some(true) {
            return refused(RefusalCode::Closed, marks);
        }
        // What is bound to no slot has no spent set that a counter could own: the main store alone takes it.
        if super::counters::is_counter(connection)? {
            let free = |mark: &Mark| self.programme.key(mark.key).is_none_or(|entry| entry.id.slot.is_none());
            let free: Vec<Mark> = marks.iter().copied().filter(free).collect();
            if !free.is_empty() {
                return refused(RefusalCode::OtherSlot, free);
            }
        }
        let mut earlier: BTreeMap<Mark, Known> = BTreeMap::new();
        let mut swapped = Vec::new();
        for mark in &marks {
            if let Some(known) = known(connection, mark)? {
                earlier.insert(*mark, known);
            }
            let is_swapped = connection
                .prepare_cached("SELECT 1 FROM swapped WHERE round = ?1 AND key = ?2 AND holder = ?3")?
                .exists(params![round.0, mark.key.0, mark.holder.0])?;
            if is_swapped {
                swapped.push(*mark);
            }
        }
        let accepted: Vec<Mark> = earlier.iter().filter(|(_, known)| !known.voided).map(|(mark, _)| *mark).collect();
        if accepted.len() == marks.len()
            && let Some(answer) = self.repeated(connection, &earlier)?
        {
            return Ok(answer);
        }
        if !swapped.is_empty() {
            return refused(RefusalCode::Swapped, swapped);
        }
        if !accepted.is_empty() {
            return refused(RefusalCode::AlreadyRedeemed, accepted);
        }
        self.accept(connection, &earlier)
    }

    /// The answer to a visit whose vouchers were all accepted before, if they were one visit, or their batch is closed and
    /// nobody can tell any more.
    fn repeated(
        &self,
        connection: &Connection,
        earlier: &BTreeMap<Mark, Known>,
    ) -> Result<Option<RedeemResponse>, Undone> {
        let visits: BTreeSet<Option<Digest>> = earlier.values().map(|known| known.visit).collect();
        match visits.into_iter().collect::<Vec<_>>()[..] {
            [Some(visit)] => {
                let answer = stored_answer(connection, &self.programme, visit, Some(self.counter))?;
                Ok(answer.filter(|answer| answer.receipts.len() == earlier.len()))
            }
            [None] => self.regrouped(connection, earlier).map(Some),
            _ => Ok(None),
        }
    }

    /// After the close only the vouchers themselves say what was accepted, and the spare key which slip was theirs. Receipts and
    /// slip are the same bytes as before; the units are those that did not go.
    fn regrouped(&self, connection: &Connection, earlier: &BTreeMap<Mark, Known>) -> Result<RedeemResponse, Undone> {
        let outcome = if earlier.values().any(|known| known.counter != self.counter.0) {
            Outcome::AcceptedAtCounter
        } else if earlier.values().all(|known| known.handed) {
            Outcome::AlreadyHandedOver
        } else {
            Outcome::AlreadyAccepted
        };
        let receipts = earlier
            .iter()
            .map(|(mark, known)| self.receipt(*mark, known.number, known.leaf, known.batch, known.provisional))
            .collect();
        let owed = self.slip_of(connection, self.verified.spare())?;
        let answer = RedeemResponse { outcome, visit: self.visit, units: Vec::new(), receipts, owed };
        if outcome != Outcome::AlreadyAccepted {
            return Ok(answer);
        }
        let answer = RedeemResponse { units: still_due(connection, &self.programme, &answer)?, ..answer };
        // So that the officer can hand over what an earlier batch only accepted.
        self.remember(connection, &answer)?;
        Ok(answer)
    }

    /// The slip of this place that was made out to a key and not voided. It is of use only to whom holds the key.
    fn slip_of(&self, connection: &Connection, holder: EncodedPoint) -> Result<Option<OwedSlip>, Undone> {
        let leaf: Option<Vec<u8>> = connection
            .prepare_cached("SELECT leaf FROM owed WHERE holder = ?1 AND round = ?2 AND state <> 2")?
            .query_row(params![holder.0, self.place.round.0], |row| row.get(0))
            .optional()?;
        let Some(leaf) = leaf else { return Ok(None) };
        let Ok(SiteLeaf::Owed(OwedLeaf { lines, .. })) = SiteLeaf::decode(&leaf) else {
            return Err(Undone::Error(StoreError::Damaged("an owed slip does not decode".into()).into()));
        };
        Ok(Some(self.owed_slip(lines, holder)))
    }

    fn owed_slip(&self, lines: Lines, holder: EncodedPoint) -> OwedSlip {
        Signed::sign(OwedTerms { place: self.place, lines, holder }, &self.key)
    }

    fn receipt(&self, mark: Mark, number: u32, leaf: TreeHash, batch: u32, pending: bool) -> Receipt {
        let terms = ReceiptTerms { place: self.place, mark, number, leaf, batch, pending };
        match self.likely.get(&mark) {
            Some(receipt) if receipt.content == terms => receipt.clone(),
            _ => Signed::sign(terms, &self.key),
        }
    }

    /// Signs the receipts of first acceptances in this batch: signing takes as long as storing does, and one thread stores for all.
    fn sign_ahead(&mut self, batch: u32) {
        let leaves = self.verified.leaves(|_| 1);
        let receipts = leaves.into_iter().map(|leaf| {
            let mark = leaf.voucher.shown.mark();
            let hash = SiteLeaf::Voucher(leaf).tree_hash();
            (mark, self.receipt(mark, 1, hash, batch, self.without_pack))
        });
        self.likely = receipts.collect();
    }

    fn remember(&self, connection: &Connection, answer: &RedeemResponse) -> Result<(), Undone> {
        connection
            .prepare_cached("INSERT INTO visits (visit, counter, handed, answer) VALUES (?1, ?2, 0, ?3)")?
            .execute(params![self.visit.0, self.counter.0, answer.encode()])?;
        Ok(())
    }

    fn accept(&self, connection: &Connection, earlier: &BTreeMap<Mark, Known>) -> Result<RedeemResponse, Undone> {
        let round = self.place.round;
        let batch = LogState::load(connection)?.open_batch();
        let leaves: Vec<VoucherLeaf> =
            self.verified.leaves(|mark| earlier.get(mark).map_or(1, |known| known.number + 1));
        let (units, short) = hand_over(connection, self.verified.units())?;
        let mut left: BTreeMap<LineId, u64> = units.iter().map(|(line, units)| (*line, units.0)).collect();
        let mut receipts = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let (mark, number) = (leaf.voucher.shown.mark(), leaf.number);
            let leaf = SiteLeaf::Voucher(leaf);
            let hash = leaf.tree_hash();
            let (line, value) = worth(&self.programme, &mark);
            let left = left.entry(line).or_default();
            let due = value.min(*left);
            *left -= due;
            // The primary key and the trigger decide; an earlier acceptance gives way only if it was voided.
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO fresh VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8, ?9) ON CONFLICT (key, holder) DO UPDATE SET
                     number = excluded.number, batch = excluded.batch, leaf = excluded.leaf, counter = excluded.counter,
                     voided = 0, handed = 0, provisional = excluded.provisional, due = excluded.due, visit = excluded.visit
                     WHERE voided = 1 AND excluded.number = number + 1",
                )?
                .execute(params![
                    mark.key.0,
                    mark.holder.0,
                    number,
                    batch,
                    hash.0,
                    self.counter.0,
                    self.without_pack,
                    due,
                    self.visit.0,
                ]);
            match inserted {
                Ok(1) => {}
                Ok(_) => return refused(RefusalCode::AlreadyRedeemed, [mark]),
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                    return refused(RefusalCode::AlreadyRedeemed, [mark]);
                }
                Err(error) => return Err(error.into()),
            }
            add_total(connection, round, mark.key, 1, 0)?;
            Pending::queue(connection, round, &leaf)?;
            receipts.push(self.receipt(mark, number, hash, batch, self.without_pack));
        }
        let owed = if short.is_empty() {
            None
        } else {
            let holder = self.verified.spare();
            let leaf = OwedLeaf { round, lines: short.clone(), holder };
            owe(connection, round, &leaf)?;
            Some(self.owed_slip(short, holder))
        };
        let answer = RedeemResponse { outcome: Outcome::Accepted, visit: self.visit, units, receipts, owed };
        self.remember(connection, &answer)?;
        Ok(answer)
    }
}

/// Units by line, ascending.
type Lines = Vec<(LineId, Units)>;

/// Takes what is asked for from stock: what goes out, and what is missing.
fn hand_over(connection: &Connection, asked: &BTreeMap<LineId, Units>) -> Result<(Lines, Lines), Undone> {
    let (mut given, mut short) = (Vec::new(), Vec::new());
    for (line, units) in asked {
        let left: Option<u64> = connection
            .prepare_cached("SELECT units FROM stock WHERE line = ?1")?
            .query_row([line.0], |row| row.get(0))
            .optional()?;
        let now = units.0.min(left.unwrap_or(0));
        connection
            .prepare_cached("UPDATE stock SET units = units - ?2 WHERE line = ?1")?
            .execute(params![line.0, now])?;
        given.push((*line, Units(now)));
        if now < units.0 {
            short.push((*line, Units(units.0 - now)));
        }
    }
    Ok((given, short))
}

fn owe(connection: &Connection, round: Round, leaf: &OwedLeaf) -> Result<(), Undone> {
    let logged = SiteLeaf::Owed(leaf.clone());
    let inserted = connection
        .prepare_cached("INSERT INTO owed (holder, round, leaf, state) VALUES (?1, ?2, ?3, 0)")?
        .execute(params![leaf.holder.0, round.0, logged.encode()]);
    match inserted {
        Ok(_) => {}
        // A key has one slip, ever: a proof that collects one would collect the next. Nothing is accepted.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            return refused(RefusalCode::OwedUnknown, []);
        }
        Err(error) => return Err(error.into()),
    }
    for (line, units) in &leaf.lines {
        add_owed(connection, round, *line, i64_of(*units), 0)?;
    }
    Pending::queue(connection, round, &logged)?;
    Ok(())
}

pub(super) fn add_total(
    connection: &Connection,
    round: Round,
    key: KeyIndex,
    redeemed: i64,
    voided: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO totals VALUES (?1, ?2, ?3, ?4) ON CONFLICT (round, key) DO UPDATE SET
             redeemed = redeemed + ?3, voided = voided + ?4",
        )?
        .execute(params![round.0, key.0, redeemed, voided])
        .map(drop)
}

pub(super) fn add_owed(
    connection: &Connection,
    round: Round,
    line: LineId,
    owed: i64,
    collected: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO owed_totals VALUES (?1, ?2, ?3, ?4) ON CONFLICT (round, line) DO UPDATE SET
             owed = owed + ?3, collected = collected + ?4",
        )?
        .execute(params![round.0, line.0, owed, collected])
        .map(drop)
}

/// Voids all acceptances of one visit of the open batch, and its owed slip.
fn void(connection: &Connection, round: Round, leaves: &[VoidLeaf]) -> Result<(), Undone> {
    let marks = || leaves.iter().map(|leaf| leaf.mark);
    let mut visits = BTreeSet::new();
    let mut before = 0;
    for leaf in leaves {
        match known(connection, &leaf.mark)? {
            // Of the open batch, and voided by the same proof: the answer was lost.
            Some(Known { number, voided: true, visit: Some(_), .. }) if number == leaf.number => before += 1,
            Some(Known { number, voided: false, visit: Some(visit), .. }) if number == leaf.number => {
                visits.insert(visit);
            }
            _ => return refused(RefusalCode::Closed, marks()),
        }
    }
    if before == leaves.len() {
        return Ok(());
    }
    let [visit] = visits.into_iter().collect::<Vec<_>>()[..] else {
        return refused(RefusalCode::VisitIncomplete, marks());
    };
    let Some((answer, ..)) = load_visit(connection, visit)? else { return refused(RefusalCode::Closed, marks()) };
    if answer.receipts.len() != leaves.len() {
        return refused(RefusalCode::VisitIncomplete, marks());
    }
    if let Some(slip) = &answer.owed {
        void_owed(connection, round, slip.content.holder, &slip.content.lines)?;
    }
    for (line, units) in &answer.units {
        connection
            .prepare_cached("UPDATE stock SET units = units + ?2 WHERE line = ?1")?
            .execute(params![line.0, units.0])?;
    }
    for leaf in leaves {
        connection
            .prepare_cached("UPDATE fresh SET voided = 1 WHERE key = ?1 AND holder = ?2")?
            .execute(params![leaf.mark.key.0, leaf.mark.holder.0])?;
        add_total(connection, round, leaf.mark.key, -1, 1)?;
        Pending::queue(connection, round, &SiteLeaf::Void(*leaf))?;
    }
    connection.execute("DELETE FROM visits WHERE visit = ?1", [visit.0])?;
    count_act(connection, round, "void", 0)?;
    Ok(())
}

fn void_owed(
    connection: &Connection,
    round: Round,
    holder: EncodedPoint,
    lines: &[(LineId, Units)],
) -> Result<(), Undone> {
    let voided = connection.execute("UPDATE owed SET state = 2 WHERE holder = ?1 AND state = 0", [holder.0])?;
    if voided == 0 {
        return refused(RefusalCode::OwedUnknown, []);
    }
    for (line, units) in lines {
        add_owed(connection, round, *line, -i64_of(*units), 0)?;
    }
    Pending::queue(connection, round, &SiteLeaf::OwedVoided(OwedVoidedLeaf { holder }))?;
    Ok(())
}
