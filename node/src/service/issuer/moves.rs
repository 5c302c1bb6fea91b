//! What wallets ask for: enrol, roll over, open a session, draw, amend, swap, surrender.

use annona_protocol::{
    bucket::{ENROLMENTS, SlotKind},
    cohort::{CohortClass, CohortMember, CohortSum},
    draw::{AmendRequest, DrawRequest, RollOverRequest, SessionGone, SessionRequest},
    enrol::EnrolRequest,
    group::PublicScalar,
    ids::{Digest, Round, SessionId, TicketHash},
    log::leaf::IssuerLeaf,
    programme::Schema,
    redeem::Surrender,
    slots::Slots,
    swap::SwapRequest,
    voucher::Mark,
    wire::{Message as _, request_digest},
};
use rand_core::CryptoRng;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{IssuerError, IssuerService, View, buckets};
use crate::store::{Pending, StoreError};

/// How often a commit of unknown outcome is looked at again.
const ATTEMPTS: u32 = 3;

impl IssuerService {
    /// Answers an enrolment.
    ///
    /// # Errors
    /// [`IssuerError`]; a repeat of the same request gets the stored answer.
    pub fn enrol<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let view = self.view();
        let decoded = EnrolRequest::decode(request)?;
        let ticket = decoded.ticket_hash(&view.programme);
        let _claim = self.tickets.claim(ticket.0)?;
        let grant = match self.ticket(ticket, digest)? {
            Ticket::Answered(answer) => return Ok(answer),
            Ticket::Unused(grant) => grant,
        };
        let slots = decoded.slots.clone();
        let verified = decoded.verify(&view.programme, rng)?;
        let issued = verified.issue(&view.programme, &self.secrets.credential, &grant, rng)?;
        let response = issued.response.encode();
        let (answer, leaf) = (response.clone(), IssuerLeaf::Enrol(issued.leaf));
        let sum = self.add_to_cohort(&view, issued.member);
        let done = self.store.write(move |connection| {
            use_ticket(connection, ticket, digest, &answer)?;
            sum(connection)?;
            log(connection, &leaf, ENROLMENTS, &slots, Some(ticket))
        });
        match done {
            Ok(Ok(())) => Ok(response),
            Ok(Err(error)) => Err(error),
            Err(StoreError::Unknown) => match self.ticket(ticket, digest)? {
                Ticket::Answered(answer) => Ok(answer),
                Ticket::Unused(_) => Err(StoreError::Unknown.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn ticket(&self, hash: TicketHash, request: Digest) -> Result<Ticket, IssuerError> {
        type Row = (Option<Vec<u8>>, Option<[u8; 32]>, Option<[u8; 32]>, Option<Vec<u8>>);
        let row: Option<Row> = self.store.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT grant_sealed, after, request, response FROM tickets JOIN lots USING (lot)
                     WHERE hash = ?1 AND approved = 1",
                )?
                .query_row([hash.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .optional()
        })?;
        match row {
            None if self.guesses.wrong() => Err(IssuerError::TicketUnknown),
            None => Err(IssuerError::TicketGuesses),
            Some((_, _, Some(used), response)) if used == request.0 => {
                response.map(Ticket::Answered).ok_or(IssuerError::AnswerErased)
            }
            Some((Some(sealed), after, ..)) => {
                if let Some(after) = after
                    && !self.store.read(|connection| is_used(connection, &after))?
                {
                    return Err(IssuerError::TicketEarly);
                }
                self.secrets.store.open_grant(&hash, &sealed).map(Ticket::Unused)
            }
            Some(_) => Err(IssuerError::TicketUsed),
        }
    }

    /// Prepares the row of the member's class: the job reads, adds and writes it.
    fn add_to_cohort(
        &self,
        view: &View,
        member: CohortMember,
    ) -> impl FnOnce(&Connection) -> Result<(), IssuerError> + Send + use<> {
        let class = member.class();
        let schema: Schema = view.programme.schema().clone();
        let key = super::StoreKey::new(*self.secrets.store.expose());
        move |connection| {
            let row = class_row(class);
            let stored: Option<(u64, u64, Option<Vec<u8>>)> = connection
                .prepare_cached("SELECT start, members, sealed FROM cohorts WHERE class = ?1")?
                .query_row([&row], |found| Ok((found.get(0)?, found.get(1)?, found.get(2)?)))
                .optional()?;
            let (start, members, sealed) = stored.unwrap_or((0, 0, None));
            let sum = match sealed {
                Some(sealed) => Some(key.open_sum(class, &row, &sealed, &schema)?),
                None if members == 0 => Some(CohortSum::new(class, &schema)),
                // Lost with the store that a backup was made of: a part of the members opens nothing.
                None => None,
            };
            let sealed = sum.map(|mut sum| {
                sum.add(&member);
                key.seal_sum(&row, &sum, &mut crate::random::os())
            });
            connection.prepare_cached("INSERT OR REPLACE INTO cohorts VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                row,
                start,
                members + 1,
                sealed
            ])?;
            Ok(())
        }
    }

    /// Answers a roll-over.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn roll_over<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = RollOverRequest::decode(request)?;
        let (round, serial) = (request.round, request.show.serial);
        self.spend(serial, digest, round, |view| {
            let slots = request.slots.clone();
            let now = view.programme.in_force(round)?;
            let (response, record) =
                request.verify(&now, &self.secrets.credential, rng)?.answer(&self.secrets.credential, rng)?;
            let leaf = IssuerLeaf::RollOver(record);
            Ok(Spending { session: None, slots, ticket: None, response: response.encode(), leaf })
        })
    }

    /// Opens a signing session.
    ///
    /// # Errors
    /// [`IssuerError::Sessions`] at the cap.
    pub fn open_session<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let request = SessionRequest::decode(request)?;
        let view = self.view();
        let now = view.programme.in_force(request.round)?;
        let keys = view.keys.get(&request.round).ok_or(IssuerError::Round(request.round))?;
        let session = keys.open(&now, &request, rng)?;
        let offer = session.offer().encode();
        let inserted = self.sessions.insert(request.round, session);
        // The round may have been closed since: its nonces must not outlive its master.
        if !self.view().keys.contains_key(&request.round) {
            self.sessions.drop_round(request.round);
            return Err(IssuerError::Round(request.round));
        }
        if inserted { Ok(offer) } else { Err(IssuerError::Sessions) }
    }

    /// Answers a draw, or a refresh. The session is taken out before anything is answered, whatever comes of it.
    ///
    /// # Errors
    /// [`IssuerError`]; [`IssuerError::SessionGone`] carries the signed word.
    pub fn draw<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = DrawRequest::decode(request)?;
        let (round, serial, id) = (request.round, request.show.serial, request.session);
        self.spend(serial, digest, round, |view| {
            let slots = request.slots.clone();
            let now = view.programme.in_force(round)?;
            let session = self.sessions.take(&id);
            if session.is_none() && !request.keys.is_empty() {
                // The serial was read as unspent under the claim, and only the claim's holder spends it.
                let word = SessionGone::sign(view.programme.id(), id, serial, &self.secrets.log);
                return Err(IssuerError::SessionGone(Box::new(word)));
            }
            let used = session.is_some().then_some(id);
            let verified = request.verify(&now, &self.secrets.credential, session.as_ref(), rng)?;
            let (response, leaf) = verified.answer(&self.secrets.credential, session, rng)?;
            let leaf = IssuerLeaf::Draw(leaf);
            Ok(Spending { session: used, slots, ticket: None, response: response.encode(), leaf })
        })
    }

    /// The look-up order of spec 5.4, and the one job that spends a serial.
    fn spend(
        &self,
        serial: PublicScalar,
        request: Digest,
        round: Round,
        answer: impl FnOnce(&View) -> Result<Spending, IssuerError>,
    ) -> Result<Vec<u8>, IssuerError> {
        let serial = serial.0.to_bytes();
        let _claim = self.serials.claim(serial)?;
        if let Some(stored) = self.spent(serial, request)? {
            return Ok(stored);
        }
        let view = self.view();
        if !view.keys.contains_key(&round) {
            return Err(IssuerError::Round(round));
        }
        let spending = answer(&view)?;
        let response = spending.response.clone();
        match self.store.write(move |connection| spending.run(connection, serial, request, round)) {
            Ok(Ok(())) => Ok(response),
            Ok(Err(error)) => Err(error),
            Err(StoreError::Unknown) => self.read_again(serial, request),
            Err(error) => Err(error.into()),
        }
    }

    /// After a commit of unknown outcome: what the store says now.
    fn read_again(&self, serial: [u8; 32], request: Digest) -> Result<Vec<u8>, IssuerError> {
        let mut last = StoreError::Unknown;
        for _ in 0..ATTEMPTS {
            match self.spent(serial, request) {
                Ok(Some(stored)) => return Ok(stored),
                Ok(None) => return Err(StoreError::Unknown.into()),
                Err(IssuerError::Store(error)) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last.into())
    }

    /// The stored answer to this request, if its serial is spent.
    fn spent(&self, serial: [u8; 32], request: Digest) -> Result<Option<Vec<u8>>, IssuerError> {
        let row: Option<([u8; 32], Option<Vec<u8>>)> = self.store.read(|connection| {
            connection
                .prepare_cached("SELECT request, response FROM serials WHERE serial = ?1")?
                .query_row([serial], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })?;
        match row {
            None => Ok(None),
            Some((same, Some(response))) if same == request.0 => Ok(Some(response)),
            Some((same, None)) if same == request.0 => Err(IssuerError::AnswerErased),
            Some(_) => Err(IssuerError::Spent),
        }
    }

    /// Answers an amend: the ticket is used and the serial spent in one job.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn amend<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = AmendRequest::decode(request)?;
        let (round, serial) = (request.round, request.show.serial.0.to_bytes());
        let _claim = self.serials.claim(serial)?;
        if let Some(stored) = self.spent(serial, digest)? {
            return Ok(stored);
        }
        let view = self.view();
        if !view.keys.contains_key(&round) {
            return Err(IssuerError::Round(round));
        }
        let now = view.programme.in_force(round)?;
        let ticket = request.ticket_hash(&view.programme.id());
        let _ticket = self.tickets.claim(ticket.0)?;
        let grant = match self.ticket(ticket, digest)? {
            Ticket::Answered(answer) => return Ok(answer),
            Ticket::Unused(grant) => grant,
        };
        let slots = request.slots.clone();
        let verified = request.verify(&now, &self.secrets.credential, rng)?;
        let issued = verified.answer(&now, &self.secrets.credential, &grant, rng)?;
        let response = issued.response.encode();
        let sum = self.add_to_cohort(&view, issued.member);
        let answer = response.clone();
        let leaf = IssuerLeaf::Amend(issued.leaf);
        let spending = Spending { session: None, slots, ticket: Some(ticket), response: answer.clone(), leaf };
        let done = self.store.write(move |connection| {
            use_ticket(connection, ticket, digest, &answer)?;
            sum(connection)?;
            spending.run(connection, serial, digest, round)
        });
        match done {
            Ok(Ok(())) => Ok(response),
            Ok(Err(error)) => Err(error),
            Err(StoreError::Unknown) => self.read_again(serial, digest),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers a swap. The freeze is checked, and all old vouchers are marked, in the job that answers.
    ///
    /// # Errors
    /// [`IssuerError`]; [`IssuerError::SwapSessionGone`] after a look at the stored answers.
    pub fn swap(&self, request: &[u8]) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = SwapRequest::decode(request)?;
        let (round, id) = (request.round, request.session);
        let _claim = self.serials.claim(digest.0)?;
        if let Some(stored) = self.swapped(digest)? {
            return Ok(stored);
        }
        let view = self.view();
        let now = view.programme.in_force(round)?;
        let session = self.sessions.take(&id).ok_or(IssuerError::SwapSessionGone)?;
        let slots = request.slots.clone();
        let verified = request.verify(&now, &session)?;
        let marks: Vec<Mark> = verified.marks().collect();
        let (response, leaf) = verified.answer(session)?;
        let response = response.encode();
        let answer = response.clone();
        let done = self.store.write(move |connection| {
            let open: Option<bool> = connection
                .query_row("SELECT frozen = 0 AND closed = 0 FROM rounds WHERE round = ?1", [round.0], |row| row.get(0))
                .optional()?;
            if open != Some(true) {
                return Err(IssuerError::Round(round));
            }
            for mark in marks {
                connection
                    .prepare_cached("INSERT INTO swapped VALUES (?1, ?2)")?
                    .execute(params![mark.key.0, mark.holder.0])
                    .map_err(spent_if_constraint)?;
            }
            use_session(connection, &id, round)?;
            connection
                .execute("INSERT INTO swaps VALUES (?1, ?2)", params![digest.0, answer])
                .map_err(spent_if_constraint)?;
            log(connection, &IssuerLeaf::Swap(leaf), round, &slots, None)
        });
        match done {
            Ok(Ok(())) => Ok(response),
            Ok(Err(error)) => Err(error),
            Err(StoreError::Unknown) => self.swapped(digest)?.ok_or_else(|| StoreError::Unknown.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn swapped(&self, request: Digest) -> Result<Option<Vec<u8>>, IssuerError> {
        let row: Option<Option<Vec<u8>>> = self.store.read(|connection| {
            connection
                .prepare_cached("SELECT response FROM swaps WHERE request = ?1")?
                .query_row([request.0], |row| row.get(0))
                .optional()
        })?;
        row.map(|response| response.ok_or(IssuerError::AnswerErased)).transpose()
    }

    /// Keeps an unspent voucher that its holder publishes after the round.
    ///
    /// # Errors
    /// [`IssuerError::Surrender`]; the same voucher again changes nothing.
    pub fn surrender(&self, surrender: &[u8]) -> Result<(), IssuerError> {
        let surrender = Surrender::decode(surrender)?;
        let view = self.view();
        let entry = view.programme.key(surrender.voucher.shown.key);
        let round = entry.ok_or(annona_protocol::voucher::VoucherError::UnknownKey)?.id.round;
        let mark = surrender.verify(&view.programme.in_force(round)?)?;
        self.store.write(move |connection| {
            // Surrenders count after the close: before it the voucher may still be redeemed.
            let closed: Option<bool> = connection
                .query_row("SELECT closed FROM rounds WHERE round = ?1", [round.0], |row| row.get(0))
                .optional()?;
            if closed != Some(true) {
                return Err(IssuerError::Round(round));
            }
            connection.execute(
                "INSERT OR IGNORE INTO surrendered VALUES (?1, ?2, ?3)",
                params![mark.key.0, mark.holder.0, surrender.encode()],
            )?;
            Ok(())
        })?
    }
}

/// What the store says of a ticket.
enum Ticket {
    Unused(annona_protocol::enrol::TicketGrant),
    Answered(Vec<u8>),
}

/// What is written when a serial is spent.
struct Spending {
    session: Option<SessionId>,
    slots: Slots,
    ticket: Option<TicketHash>,
    response: Vec<u8>,
    leaf: IssuerLeaf,
}

impl Spending {
    fn run(self, connection: &Connection, serial: [u8; 32], request: Digest, round: Round) -> Result<(), IssuerError> {
        let open: Option<bool> = connection
            .prepare_cached("SELECT closed = 0 FROM rounds WHERE round = ?1")?
            .query_row([round.0], |row| row.get(0))
            .optional()?;
        if open != Some(true) {
            return Err(IssuerError::Round(round));
        }
        connection
            .prepare_cached("INSERT INTO serials VALUES (?1, ?2, ?3)")?
            .execute(params![serial, request.0, self.response])
            .map_err(spent_if_constraint)?;
        if let Some(session) = self.session {
            use_session(connection, &session, round)?;
        }
        log(connection, &self.leaf, round, &self.slots, self.ticket)
    }
}

fn constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

fn spent_if_constraint(error: rusqlite::Error) -> IssuerError {
    if constraint(&error) { IssuerError::Spent } else { error.into() }
}

fn use_session(connection: &Connection, session: &SessionId, round: Round) -> Result<(), IssuerError> {
    connection
        .prepare_cached("INSERT INTO sessions VALUES (?1, ?2)")?
        .execute(params![session.0, round.0])
        .map(drop)
        .map_err(spent_if_constraint)
}

/// Queues the leaf of a message, and files its two slots under the leaf. That an id exists is decided by the primary key: the whole
/// job is undone. With the credential slot goes the answer of its ticket, if it has one: a wallet cannot do without.
fn log(
    connection: &Connection,
    leaf: &IssuerLeaf,
    round: Round,
    slots: &Slots,
    ticket: Option<TicketHash>,
) -> Result<(), IssuerError> {
    let leaf = Pending::queue(connection, round, leaf)?;
    for (kind, slot, ticket) in
        [(SlotKind::Vouchers, &slots.vouchers, None), (SlotKind::Credential, &slots.credential, ticket)]
    {
        let inserted =
            connection.prepare_cached("INSERT INTO slots VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                slot.id,
                buckets::row(kind),
                round.0,
                slot.ciphertext,
                leaf.0,
                ticket.map(|ticket| ticket.0)
            ]);
        match inserted {
            Ok(_) => {}
            Err(error) if constraint(&error) => return Err(IssuerError::SlotExists),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Uses a ticket up: what it granted is overwritten by the masked answer.
fn use_ticket(
    connection: &Connection,
    ticket: TicketHash,
    request: Digest,
    response: &[u8],
) -> Result<(), IssuerError> {
    let used = connection
        .prepare_cached(
            "UPDATE tickets SET grant_sealed = NULL, after = NULL, request = ?2, response = ?3
             WHERE hash = ?1 AND request IS NULL",
        )?
        .execute(params![ticket.0, request.0, response])?;
    if used == 1 { Ok(()) } else { Err(IssuerError::TicketUsed) }
}

fn is_used(connection: &Connection, ticket: &[u8; 32]) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM tickets WHERE hash = ?1 AND request IS NOT NULL")?.exists([ticket])
}

/// The primary key of a class.
pub(super) fn class_row(class: CohortClass) -> Vec<u8> {
    postcard::to_stdvec(&class).expect("writing to memory cannot fail")
}
