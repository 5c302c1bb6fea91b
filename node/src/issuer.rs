//! The issuer, in memory: tickets, spent serials, open sessions, cohort sums, and the log (spec 4, 5.4, 8).
//!
//! Requests are answered from several threads: proofs are checked outside the lock, and what must happen together (serial
//! spent, answer stored, leaf queued) happens under one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use annona_protocol::{
    cohort::{CohortClass, CohortError, CohortSum},
    credential::IssuerKey,
    draw::{DrawError, DrawRequest, RollOverRequest, RoundKeys, SessionGone, SessionRequest},
    enrol::{EnrolError, EnrolRequest, TicketGrant},
    ids::{Digest, LotId, Round, SessionId, SiteId, TicketHash},
    log::{
        MerkleError, TreeHash,
        leaf::{CloseLeaf, FreezeLeaf, IssuerLeaf, LotLeaf, OpenLeaf},
        merkle::{inclusion_proof, root},
    },
    programme::{KeyEntry, ManifestError, Programme, SignedHeader, TicketKind},
    registry::tag,
    slip::{OpeningPack, PackTerms, Place, Signed},
    swap::{SwapError, SwapRequest},
    ticket::{TicketCode, TicketUse},
    voucher::{Mark, RoundMaster, SigningSession},
    wire::{DecodeError, Message, request_digest},
};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;

use crate::{
    authoring::{self, Officers},
    publish::Log,
};

/// The most signing sessions that may be open at once.
pub const MAX_SESSIONS: usize = 4096;

/// Why the issuer refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// The message does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The manifest or the round.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// A roll-over or draw.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// A swap.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The ticket is unknown.
    #[error("the ticket is unknown")]
    TicketUnknown,
    /// The ticket was used with another request.
    #[error("the ticket is used")]
    TicketUsed,
    /// The serial, or a voucher of a swap, was spent with another request.
    #[error("the credential or voucher is spent")]
    Spent,
    /// The same request is being answered: ask again.
    #[error("the request is being answered; ask again")]
    InFlight,
    /// The session is gone, and this is the signed word that the serial is unspent.
    #[error("the signing session is gone; the serial is unspent")]
    SessionGone(Box<SessionGone>),
    /// Too many open sessions: ask later.
    #[error("too many open sessions; ask later")]
    Busy,
    /// The round is not open for this, or frozen.
    #[error("round {0} is not open for this")]
    Round(Round),
    /// A cohort cannot be opened.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// The log is full.
    #[error(transparent)]
    Log(#[from] MerkleError),
    /// A voucher key could not be derived.
    #[error("a voucher key is degenerate: generate another master")]
    Master,
}

/// A stored answer: the digest of the request that it answers, and its bytes.
struct Stored {
    request: Digest,
    response: Vec<u8>,
}

enum Ticket {
    Unused(TicketGrant),
    /// Attributes are gone; the answer is masked.
    Used(Stored),
}

enum Serial {
    InFlight(Digest),
    Spent(Stored),
}

struct Cohort {
    sum: CohortSum,
    /// Where the class's next opening starts.
    from: u64,
}

#[derive(Default)]
struct State {
    tickets: HashMap<TicketHash, Ticket>,
    serials: HashMap<[u8; 32], Serial>,
    sessions: HashMap<SessionId, SigningSession>,
    swapped: HashMap<Mark, Digest>,
    swap_answers: HashMap<Digest, Vec<u8>>,
    cohorts: BTreeMap<CohortClass, Cohort>,
    pending: Vec<IssuerLeaf>,
    log: Log,
    frozen: BTreeSet<Round>,
    closed: BTreeSet<Round>,
}

/// The issuer.
pub struct Issuer {
    programme: Programme,
    key: IssuerKey,
    log_key: SigningKey,
    officers: Officers,
    masters: BTreeMap<Round, RoundMaster>,
    round_keys: BTreeMap<Round, RoundKeys>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.programme.id())
    }
}

impl Issuer {
    /// Takes a signed genesis into force and logs it.
    ///
    /// # Errors
    /// [`IssuerError::Manifest`].
    pub fn new(
        genesis: SignedHeader,
        key: IssuerKey,
        log_key: SigningKey,
        officers: Officers,
    ) -> Result<Self, IssuerError> {
        let programme = Programme::new(std::slice::from_ref(&genesis), Vec::new())?;
        let mut state = State::default();
        state.log.append(&IssuerLeaf::Manifest(genesis))?;
        Ok(Self {
            programme,
            key,
            log_key,
            officers,
            masters: BTreeMap::new(),
            round_keys: BTreeMap::new(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves a half-made change behind when it panics: maps and queues change last.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The programme.
    pub fn programme(&self) -> &Programme {
        &self.programme
    }

    /// The log key, for checkpoints.
    pub fn log_key(&self) -> &SigningKey {
        &self.log_key
    }

    /// Runs `with` on the log.
    pub fn with_log<T>(&self, with: impl FnOnce(&Log) -> T) -> T {
        with(&self.state().log)
    }

    /// Imports tickets with their expiries and attributes as an approved lot; returns a code a ticket, in order.
    ///
    /// The officers' signatures stand in for an approval that takes t of n people.
    ///
    /// # Errors
    /// [`IssuerError::Log`].
    pub fn import_lot<R: CryptoRng + ?Sized>(
        &self,
        lot: LotId,
        tickets: Vec<(Round, Vec<u64>)>,
        rng: &mut R,
    ) -> Result<Vec<TicketCode>, IssuerError> {
        let codes: Vec<TicketCode> = tickets.iter().map(|_| TicketCode::random(rng)).collect();
        let mut leaves: Vec<(TreeHash, TicketHash, [u8; 32], usize)> = codes
            .iter()
            .enumerate()
            .map(|(at, code)| {
                let hash = code.hash(&self.programme.id(), TicketKind::Enrol);
                let mut salt = [0; 32];
                rng.fill_bytes(&mut salt);
                (TicketUse::leaf(&hash, &salt), hash, salt, at)
            })
            .collect();
        // Sorted by leaf, so that a ticket's position says nothing about its household.
        leaves.sort_unstable();
        let hashes: Vec<TreeHash> = leaves.iter().map(|(leaf, ..)| *leaf).collect();
        let (count, root) = (hashes.len() as u64, root(&hashes));
        let message = LotLeaf::signed_bytes(&self.programme.id(), lot, count, &root);
        let signatures = self.officers.sign(tag::LOT, &message, self.programme.latest().threshold);
        let mut state = self.state();
        for (index, (_, hash, salt, at)) in (0u64..).zip(leaves) {
            let path = inclusion_proof(&hashes, index).expect("the index is below the count");
            let (expires, attributes) = tickets[at].clone();
            let place = TicketUse { lot, hash, salt, index, path };
            state.tickets.insert(hash, Ticket::Unused(TicketGrant { place, expires, attributes }));
        }
        state.log.append(&IssuerLeaf::Lot(LotLeaf { lot, count, root, signatures }))?;
        Ok(codes)
    }

    /// Generates a round's keys, publishes them in a new manifest version, and puts it in force for the round.
    ///
    /// # Errors
    /// [`IssuerError::Manifest`], [`IssuerError::Master`].
    pub fn open_round<R: CryptoRng + ?Sized>(&mut self, round: Round, rng: &mut R) -> Result<(), IssuerError> {
        let master = RoundMaster::generate(rng);
        let previous = self.programme.latest();
        let keys = authoring::round_keys(previous, &master, round).ok_or(IssuerError::Master)?;
        let next = authoring::with_keys(previous, self.programme.keys(), &keys);
        let signed = self.officers.sign_header(next);
        let manifest = signed.header.hash();
        self.programme.append(&signed, &keys)?;
        self.programme.open_round(round, manifest)?;
        let secrets = RoundKeys::derive(&self.programme.in_force(round)?, &master)?;
        let mut state = self.state();
        state.log.append(&IssuerLeaf::Manifest(signed))?;
        state.log.append(&IssuerLeaf::Open(OpenLeaf { round, manifest }))?;
        drop(state);
        self.masters.insert(round, master);
        self.round_keys.insert(round, secrets);
        Ok(())
    }

    /// Appends what is pending to the log as one batch.
    ///
    /// # Errors
    /// [`IssuerError::Log`].
    pub fn close_batch(&self, round: Round) -> Result<(), IssuerError> {
        let mut state = self.state();
        let events = std::mem::take(&mut state.pending);
        Ok(state.log.append_batch(&events, round)?)
    }

    /// Freezes a round: swaps end, opening packs are fixed, every cohort that is large enough is opened.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn freeze<R: CryptoRng + ?Sized>(&self, round: Round, rng: &mut R) -> Result<Vec<OpeningPack>, IssuerError> {
        let view = self.programme.in_force(round)?;
        self.close_batch(round)?;
        let mut state = self.state();
        if !state.frozen.insert(round) {
            return Err(IssuerError::Round(round));
        }
        let to = state.log.size();
        let mut openings = Vec::new();
        for cohort in state.cohorts.values_mut() {
            let enough = cohort.sum.count() >= u64::from(self.programme.latest().policy.cohort_min);
            if enough {
                openings.push(cohort.sum.open(&self.programme, cohort.from, to, rng)?);
                *cohort = Cohort { sum: CohortSum::new(cohort.sum.class(), self.programme.schema()), from: to };
            }
        }
        let (size, root) = (state.log.size(), state.log.root());
        let pack = |site: SiteId| {
            let of_site = |mark: &&Mark| {
                view.key(mark.key).is_some_and(|entry| entry.id.round == round && entry.id.site == Some(site))
            };
            let mut swapped: Vec<Mark> = state.swapped.keys().filter(of_site).copied().collect();
            swapped.sort_unstable();
            Signed::sign(PackTerms { place: Place::new(&view, site), swapped, size, root }, &self.log_key)
        };
        let packs: Vec<OpeningPack> = view.header.sites.iter().map(|site| pack(site.id)).collect();
        let digests = packs.iter().map(|pack| (pack.content.place.site, pack.digest())).collect();
        let leaf = FreezeLeaf { round, manifest: view.hash, packs: digests, openings };
        state.log.append(&IssuerLeaf::Freeze(leaf))?;
        Ok(packs)
    }

    /// Closes a round: no draws any more, its master is erased, its sessions are dropped.
    ///
    /// # Errors
    /// [`IssuerError::Log`].
    pub fn close_round(&mut self, round: Round) -> Result<(), IssuerError> {
        self.close_batch(round)?;
        self.masters.remove(&round);
        self.round_keys.remove(&round);
        let mut state = self.state();
        state.sessions.clear();
        if state.closed.insert(round) {
            state.log.append(&IssuerLeaf::Close(CloseLeaf { round }))?;
        }
        Ok(())
    }

    /// The secrets of a round that is open: what a dishonest issuer would mint with, and the demo does.
    pub fn round_keys(&self, round: Round) -> Option<&RoundKeys> {
        self.round_keys.get(&round)
    }

    /// The key list.
    pub fn keys(&self) -> &[KeyEntry] {
        self.programme.keys()
    }

    /// Answers an enrolment.
    ///
    /// # Errors
    /// [`IssuerError`]; a repeat of the same request gets the stored answer.
    pub fn enrol<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let verified = EnrolRequest::decode(request)?.verify(&self.programme, rng)?;
        let ticket = verified.ticket();
        let mut state = self.state();
        let grant = match state.tickets.get(&ticket) {
            None => return Err(IssuerError::TicketUnknown),
            Some(Ticket::Used(stored)) if stored.request == digest => return Ok(stored.response.clone()),
            Some(Ticket::Used(_)) => return Err(IssuerError::TicketUsed),
            Some(Ticket::Unused(grant)) => grant.clone(),
        };
        let issued = verified.issue(&self.programme, &self.key, &grant, rng)?;
        let response = issued.response.encode();
        let class = issued.member.class();
        state
            .cohorts
            .entry(class)
            .or_insert_with(|| Cohort { sum: CohortSum::new(class, self.programme.schema()), from: 0 })
            .sum
            .add(&issued.member);
        state.pending.push(IssuerLeaf::Enrol(issued.leaf));
        state.tickets.insert(ticket, Ticket::Used(Stored { request: digest, response: response.clone() }));
        Ok(response)
    }

    /// Reserves a serial for a request, or gives the stored answer: the look-up order of spec 5.4.
    fn reserve(state: &mut State, serial: [u8; 32], digest: Digest) -> Result<Option<Vec<u8>>, IssuerError> {
        match state.serials.get(&serial) {
            Some(Serial::Spent(stored)) if stored.request == digest => Ok(Some(stored.response.clone())),
            Some(Serial::Spent(_)) => Err(IssuerError::Spent),
            Some(Serial::InFlight(same)) if *same == digest => Err(IssuerError::InFlight),
            Some(Serial::InFlight(_)) => Err(IssuerError::Spent),
            None => {
                state.serials.insert(serial, Serial::InFlight(digest));
                Ok(None)
            }
        }
    }

    /// Ends a reservation: spends the serial with answer and leaf, or releases it.
    fn settle(
        &self,
        serial: [u8; 32],
        request: Digest,
        outcome: Result<(Vec<u8>, IssuerLeaf), DrawError>,
    ) -> Result<Vec<u8>, IssuerError> {
        let mut state = self.state();
        match outcome {
            Ok((response, leaf)) => {
                state.serials.insert(serial, Serial::Spent(Stored { request, response: response.clone() }));
                state.pending.push(leaf);
                Ok(response)
            }
            Err(error) => {
                state.serials.remove(&serial);
                Err(error.into())
            }
        }
    }

    fn refuse_closed(state: &State, round: Round) -> Result<(), IssuerError> {
        if state.closed.contains(&round) { Err(IssuerError::Round(round)) } else { Ok(()) }
    }

    /// Answers a roll-over.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn roll_over<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = RollOverRequest::decode(request)?;
        let view = self.programme.in_force(request.round)?;
        let serial = request.show.serial.0.to_bytes();
        {
            let mut state = self.state();
            if let Some(stored) = Self::reserve(&mut state, serial, digest)? {
                return Ok(stored);
            }
            if let Err(error) = Self::refuse_closed(&state, request.round) {
                state.serials.remove(&serial);
                return Err(error);
            }
        }
        let outcome = request
            .verify(&view, &self.key, rng)
            .and_then(|verified| verified.answer(&self.key, rng))
            .map(|(response, record)| (response.encode(), IssuerLeaf::RollOver(record)));
        self.settle(serial, digest, outcome)
    }

    /// Opens a signing session.
    ///
    /// # Errors
    /// [`IssuerError::Busy`] at the cap.
    pub fn open_session<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let request = SessionRequest::decode(request)?;
        let view = self.programme.in_force(request.round)?;
        let keys = self.round_keys.get(&request.round).ok_or(IssuerError::Round(request.round))?;
        let session = keys.open(&view, &request, rng)?;
        let offer = session.offer().encode();
        let mut state = self.state();
        if state.sessions.len() >= MAX_SESSIONS {
            return Err(IssuerError::Busy);
        }
        state.sessions.insert(session.offer().session, session);
        Ok(offer)
    }

    /// Answers a draw, or a refresh. The session is removed before anything is answered, whatever comes of it.
    ///
    /// # Errors
    /// [`IssuerError`]; [`IssuerError::SessionGone`] carries the signed word.
    pub fn draw<R: CryptoRng + ?Sized>(&self, request: &[u8], rng: &mut R) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = DrawRequest::decode(request)?;
        let view = self.programme.in_force(request.round)?;
        let serial = request.show.serial;
        let session = {
            let mut state = self.state();
            if let Some(stored) = Self::reserve(&mut state, serial.0.to_bytes(), digest)? {
                return Ok(stored);
            }
            if let Err(error) = Self::refuse_closed(&state, request.round) {
                state.serials.remove(&serial.0.to_bytes());
                return Err(error);
            }
            let session = state.sessions.remove(&request.session);
            if session.is_none() && !request.keys.is_empty() {
                state.serials.remove(&serial.0.to_bytes());
                let word = SessionGone::sign(self.programme.id(), request.session, serial, &self.log_key);
                return Err(IssuerError::SessionGone(Box::new(word)));
            }
            session
        };
        let outcome = request
            .verify(&view, &self.key, session.as_ref(), rng)
            .and_then(|verified| verified.answer(&self.key, session, rng))
            .map(|(response, leaf)| (response.encode(), IssuerLeaf::Draw(leaf)));
        self.settle(serial.0.to_bytes(), digest, outcome)
    }

    /// Answers a swap. The freeze is checked, and all old vouchers are marked, in the step that answers.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn swap(&self, request: &[u8]) -> Result<Vec<u8>, IssuerError> {
        let digest = request_digest(request);
        let request = SwapRequest::decode(request)?;
        let round = request.round;
        let view = self.programme.in_force(round)?;
        let mut state = self.state();
        if let Some(answer) = state.swap_answers.get(&digest) {
            return Ok(answer.clone());
        }
        let session = state.sessions.remove(&request.session).ok_or(SwapError::Session)?;
        let verified = request.verify(&view, &session)?;
        let marks: HashSet<Mark> = verified.marks().collect();
        if state.frozen.contains(&round) {
            return Err(IssuerError::Round(round));
        }
        if marks.iter().any(|mark| state.swapped.contains_key(mark)) {
            return Err(IssuerError::Spent);
        }
        let (response, leaf) = verified.answer(session)?;
        let response = response.encode();
        state.swapped.extend(marks.into_iter().map(|mark| (mark, digest)));
        state.swap_answers.insert(digest, response.clone());
        state.pending.push(IssuerLeaf::Swap(leaf));
        Ok(response)
    }
}
