//! Roll-over, draw, refresh and amend: shows with update, answered with a refreshed credential (spec 4.3, 4.4, 5.3, 6.4).
//!
//! A draw is two round trips: open a session for a list of keys; send show and challenges in one transcript, get signatures and
//! the refreshed credential. The issuer's step 2 is one transaction: serial spent, session used, answer stored, leaf queued.

use std::{collections::BTreeMap, sync::Arc};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    Rejected,
    cohort::{CohortClass, CohortMember},
    credential::{
        Binding, Credential, IssueError, IssuerKey, Prover, Refresh, Show, ShowError, Shown, Unsigned, successor,
    },
    enrol::TicketGrant,
    group::{Accumulator, EncodedPoint, GroupError, Point, PublicScalar, Scalar},
    ids::{Digest, KeyIndex, LotId, ManifestHash, ProgrammeId, Round, SessionId, TicketHash},
    log::leaf::{AmendLeaf, DrawLeaf, ShowRecord},
    programme::{
        InForce, KeyCounts, KeyEntry, KeyListError, TicketKind,
        statement::{Statement, amended_values},
    },
    recovery::Contents,
    registry::{operation, tag},
    secret::{SecretBytes, SecretScalar, Weights},
    sigma::LinearProof,
    signature::{self, BadSignature, Signature},
    slots::{Sealing, Slots},
    ticket::{Grant, TicketCode},
    voucher::{
        Answer, Blinded, RoundMaster, SessionOffer, SigningSession, UnblindError, Voucher, VoucherSecret,
        answers_digest, blind, challenges_digest, unblind,
    },
    wire::message,
};

/// Why a roll-over, draw or amend is refused, by either side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrawError {
    /// Another round than the request's, or slots out of shape.
    #[error("the request is malformed")]
    Malformed,
    /// The list of keys.
    #[error(transparent)]
    Keys(#[from] KeyListError),
    /// The show.
    #[error(transparent)]
    Show(#[from] ShowError),
    /// The session is another one, or was opened for other keys.
    #[error("the signing session does not belong to this request")]
    Session,
    /// The ticket's terms do not fit.
    #[error("the ticket's terms do not fit the programme")]
    Terms,
    /// The issuer's commitments or signatures.
    #[error(transparent)]
    Vouchers(#[from] UnblindError),
    /// The issuer's proof does not hold.
    #[error("the issuer's answer does not verify")]
    Answer,
    /// See [`IssueError`].
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A voucher key that the issuer derives is not the manifest's.
    #[error("the round's master does not give the listed keys")]
    Master,
}

impl From<GroupError> for DrawError {
    fn from(error: GroupError) -> Self {
        Self::Show(error.into())
    }
}

// --- Sessions -----------------------------------------------------------------------------------------------------------

/// A wallet's request for a signing session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRequest {
    /// The round of all keys.
    pub round: Round,
    /// Keys and counts, ascending.
    pub keys: KeyCounts,
}

message!(SessionRequest, SESSION_REQUEST, 4096);

/// The issuer's voucher secrets of one round.
#[derive(Debug)]
pub struct RoundKeys {
    secrets: BTreeMap<KeyIndex, Arc<VoucherSecret>>,
}

impl RoundKeys {
    /// Derives the secrets of all keys that the version in force lists for its round.
    ///
    /// # Errors
    /// [`DrawError::Master`] if a derived key is not the listed one.
    pub fn derive(view: &InForce<'_>, master: &RoundMaster) -> Result<Self, DrawError> {
        let listed = view.programme.keys().iter().take(view.header.key_count as usize).enumerate();
        let secrets = listed
            .filter(|(_, entry)| entry.id.round == view.round)
            .map(|(at, entry)| match master.derive(entry.id) {
                Some(secret) if secret.entry() == entry => Ok((KeyIndex(at as u32), Arc::new(secret))),
                _ => Err(DrawError::Master),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { secrets })
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`DrawError::Malformed`] for another round, [`DrawError::Keys`] for a list that is malformed or not in force.
    pub fn open<R: CryptoRng + ?Sized>(
        &self,
        view: &InForce<'_>,
        request: &SessionRequest,
        rng: &mut R,
    ) -> Result<SigningSession, DrawError> {
        // A refresh asks for nothing and has no session.
        if request.round != view.round || request.keys.is_empty() {
            return Err(DrawError::Malformed);
        }
        view.units(&request.keys)?;
        let mut secrets = Vec::new();
        for (at, count) in &request.keys {
            let secret = self.secrets.get(at).ok_or(KeyListError::Unknown)?;
            secrets.extend(std::iter::repeat_n(Arc::clone(secret), *count as usize));
        }
        Ok(SigningSession::open(request.keys.clone(), &secrets, rng))
    }
}

/// The issuer's signed word that a session is gone and the serial unspent: only then may a wallet open a new one (spec 5.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionGone {
    /// The programme.
    pub programme: ProgrammeId,
    /// The session.
    pub session: SessionId,
    /// The serial, unspent.
    pub serial: PublicScalar,
    signature: Signature,
}

message!(SessionGone, SESSION_GONE, 512);

impl SessionGone {
    fn signed(programme: &ProgrammeId, session: &SessionId, serial: &PublicScalar) -> Vec<u8> {
        postcard::to_stdvec(&(programme, session, serial)).expect("writing to memory cannot fail")
    }

    /// Signs the word with the issuer's log key.
    pub fn sign(
        programme: ProgrammeId,
        session: SessionId,
        serial: PublicScalar,
        key: &ed25519_dalek::SigningKey,
    ) -> Self {
        let signature = signature::sign(tag::SESSION_GONE, &Self::signed(&programme, &session, &serial), key);
        Self { programme, session, serial, signature }
    }

    /// Verifies the word under the manifest's issuer log key.
    ///
    /// # Errors
    /// [`BadSignature`], also for another programme.
    pub fn verify(&self, view: &InForce<'_>) -> Result<(), BadSignature> {
        if self.programme != view.programme.id() {
            return Err(BadSignature);
        }
        let bytes = Self::signed(&self.programme, &self.session, &self.serial);
        signature::verify(tag::SESSION_GONE, &bytes, &view.header.issuer_log.key, &self.signature)
    }
}

// --- What all shows share -----------------------------------------------------------------------------------------------

/// The issuer's answer to any show: the refreshed credential and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    pub(crate) a: Point,
    pub(crate) e: PublicScalar,
    pub(crate) proof: LinearProof,
}

impl Refreshed {
    fn new(refresh: &Refresh) -> Self {
        Self { a: refresh.issued.a, e: PublicScalar(refresh.issued.e), proof: refresh.proof.clone() }
    }
}

/// The part of a wallet's context that all shows share.
#[derive(Debug, Serialize, Deserialize)]
struct PendingShow {
    programme: ProgrammeId,
    manifest: ManifestHash,
    round: Round,
    digest: Digest,
    a_prime: Point,
    a_bar: Point,
    commitment: Point,
    unsigned: Unsigned,
}

impl PendingShow {
    /// Fixes the successor, seals it with what else is secret, and proves; `binding`'s slots are filled in here.
    #[allow(clippy::too_many_arguments)]
    fn new<'s, R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        credential: &Credential,
        statement: &Statement,
        binding: Binding<'_>,
        sealing: impl Into<Sealing<'s>>,
        mask: Option<&SecretBytes>,
        vouchers: Option<(&SecretBytes, Vec<EncodedPoint>)>,
        rng: &mut R,
    ) -> Result<(Self, Show, Slots), DrawError> {
        let unsigned = successor(view, credential, statement, &binding, rng)?;
        let arity = view.programme.parameters().arity();
        let contents = Contents { arity, mask, unsigned: Some(&unsigned), vouchers };
        let slots = sealing.into().slots(view.round, &contents, rng);
        if !slots.is_well_formed() {
            return Err(DrawError::Malformed);
        }
        let binding = Binding { slots: slots.digest(), ..binding };
        let Prover { show, unsigned, digest } = Prover::new(view, credential, statement, &binding, unsigned, rng)?;
        let pending = Self {
            programme: view.programme.id(),
            manifest: view.hash,
            round: view.round,
            digest,
            a_prime: show.a_prime,
            a_bar: show.a_bar,
            commitment: show.commitment,
            unsigned,
        };
        Ok((pending, show, slots))
    }

    /// Checks the issuer's proof; returns `B*`.
    fn check<R: CryptoRng + ?Sized>(
        &self,
        view: &InForce<'_>,
        refreshed: &Refreshed,
        added: Option<&Point>,
        answers: &Digest,
        rng: &mut R,
    ) -> Result<Point, DrawError> {
        if (self.programme, self.manifest, self.round) != (view.programme.id(), view.hash, view.round) {
            return Err(DrawError::Malformed);
        }
        let shown =
            Shown { digest: self.digest, a_prime: self.a_prime, a_bar: self.a_bar, commitment: self.commitment };
        let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
        let b = Refresh::accumulate(
            view.header.issuer_key,
            &shown,
            added,
            answers,
            refreshed.a,
            refreshed.e.0,
            &refreshed.proof,
            &mut weights,
            &mut accumulator,
        )
        .map_err(|_| DrawError::Answer)?;
        accumulator.verify().map_err(|_| DrawError::Answer)?;
        Ok(b)
    }
}

const NO_SESSION: SessionId = SessionId([0; 16]);
const NOTHING: Digest = Digest([0; 32]);
const NO_TICKET: TicketHash = TicketHash([0; 32]);

fn roll_over_binding(slots: Digest) -> Binding<'static> {
    Binding {
        operation: operation::ROLL_OVER,
        session: NO_SESSION,
        keys: &[],
        challenges: NOTHING,
        ticket: NO_TICKET,
        slots,
    }
}

fn draw_binding(session: SessionId, keys: &[(KeyIndex, u32)], challenges: Digest, slots: Digest) -> Binding<'_> {
    Binding { operation: operation::DRAW, session, keys, challenges, ticket: NO_TICKET, slots }
}

fn amend_binding(ticket: TicketHash, slots: Digest) -> Binding<'static> {
    Binding { operation: operation::AMEND, session: NO_SESSION, keys: &[], challenges: NOTHING, ticket, slots }
}

impl ShowRecord {
    fn new(round: Round, show: Show, slots: Digest, refreshed: &Refreshed) -> Self {
        Self { round, show, slots, a: refreshed.a, e: refreshed.e, proof: refreshed.proof.clone() }
    }

    /// Adds the show's and the issuer's proof to `accumulator`.
    #[allow(clippy::too_many_arguments)]
    fn accumulate(
        &self,
        view: &InForce<'_>,
        statement: &Statement,
        binding: &Binding<'_>,
        added: Option<&Point>,
        answers: &Digest,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<(), DrawError> {
        if self.round != view.round {
            return Err(DrawError::Malformed);
        }
        let shown = self.show.accumulate(view, statement, binding, weights, accumulator)?;
        Refresh::accumulate(
            view.header.issuer_key,
            &shown,
            added,
            answers,
            self.a,
            self.e.0,
            &self.proof,
            weights,
            accumulator,
        )?;
        Ok(())
    }
}

// --- Roll-over ----------------------------------------------------------------------------------------------------------

/// A wallet's request to roll over into a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollOverRequest {
    /// The round.
    pub round: Round,
    /// The show.
    pub show: Show,
    /// Sealed slots for recovery.
    pub slots: Slots,
}

message!(RollOverRequest, ROLL_OVER_REQUEST);

/// The issuer's answer to a roll-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollOverResponse(pub Refreshed);

message!(RollOverResponse, ROLL_OVER_RESPONSE, 4096);

/// What the wallet keeps of a roll-over.
#[derive(Debug, Serialize, Deserialize)]
pub struct RollOverContext {
    pending: PendingShow,
}

message!(RollOverContext, PENDING_ROLL_OVER);

impl RollOverContext {
    /// Prepares a roll-over into the view's round. Both context and request must be stored before the request is sent.
    ///
    /// # Errors
    /// [`ShowError::Uncovered`] if the credential has expired or was rolled over already.
    pub fn new<'s, R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        credential: &Credential,
        sealing: impl Into<Sealing<'s>>,
        rng: &mut R,
    ) -> Result<(Self, RollOverRequest), DrawError> {
        let statement = Statement::roll_over(view);
        let (pending, show, slots) =
            PendingShow::new(view, credential, &statement, roll_over_binding(NOTHING), sealing, None, None, rng)?;
        Ok((Self { pending }, RollOverRequest { round: view.round, show, slots }))
    }

    /// Checks the answer and gives the refreshed credential.
    ///
    /// # Errors
    /// [`Rejected`] gives the context back.
    pub fn finish<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        response: &RollOverResponse,
        rng: &mut R,
    ) -> Result<Credential, Rejected<Self, DrawError>> {
        let RollOverResponse(refreshed) = response;
        match self.pending.check(view, refreshed, None, &NOTHING, rng) {
            Ok(b) => Ok(self.pending.unsigned.complete(&Scalar::ZERO, &[], refreshed.a, refreshed.e.0, b)),
            Err(error) => Err(Rejected { context: Box::new(self), error }),
        }
    }
}

/// A roll-over whose show holds.
#[must_use]
#[derive(Debug)]
pub struct VerifiedRollOver {
    request: RollOverRequest,
    shown: Shown,
}

impl RollOverRequest {
    /// Verifies the show, then that the credential is the issuer's.
    ///
    /// # Errors
    /// [`DrawError::Malformed`] or [`ShowError::Invalid`].
    pub fn verify<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        key: &IssuerKey,
        rng: &mut R,
    ) -> Result<VerifiedRollOver, DrawError> {
        if self.round != view.round || !self.slots.is_well_formed() {
            return Err(DrawError::Malformed);
        }
        let binding = roll_over_binding(self.slots.digest());
        let shown = self.show.verify(view, &Statement::roll_over(view), &binding, key, rng)?;
        Ok(VerifiedRollOver { request: self, shown })
    }
}

impl VerifiedRollOver {
    /// The serial that is spent by the answer.
    pub fn serial(&self) -> PublicScalar {
        self.request.show.serial
    }

    /// Answers. The caller spends the serial, stores the response and queues the leaf in one transaction.
    ///
    /// # Errors
    /// [`DrawError::Issue`] for a degenerate value.
    pub fn answer<R: CryptoRng + ?Sized>(
        self,
        key: &IssuerKey,
        rng: &mut R,
    ) -> Result<(RollOverResponse, ShowRecord), DrawError> {
        let refreshed = Refreshed::new(&Refresh::answer(key, &self.shown, None, &NOTHING, rng)?);
        let RollOverRequest { round, show, slots } = self.request;
        let record = ShowRecord::new(round, show, slots.digest(), &refreshed);
        Ok((RollOverResponse(refreshed), record))
    }
}

/// Adds the proofs of a logged roll-over to `accumulator`.
pub(crate) fn accumulate_roll_over(
    view: &InForce<'_>,
    record: &ShowRecord,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), DrawError> {
    let binding = roll_over_binding(record.slots);
    record.accumulate(view, &Statement::roll_over(view), &binding, None, &NOTHING, weights, accumulator)
}

// --- Draw ---------------------------------------------------------------------------------------------------------------

/// A wallet's request for vouchers and a refreshed credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawRequest {
    /// The round.
    pub round: Round,
    /// The signing session; all zero in a refresh, which asks for no key.
    pub session: SessionId,
    /// Keys and counts, ascending.
    pub keys: KeyCounts,
    /// `c`, one a voucher.
    pub challenges: Vec<PublicScalar>,
    /// The show.
    pub show: Show,
    /// Sealed slots for recovery.
    pub slots: Slots,
}

message!(DrawRequest, DRAW_REQUEST);

/// The issuer's answer to a draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawResponse {
    refreshed: Refreshed,
    /// `(s, y)`, one a voucher.
    answers: Vec<Answer>,
}

message!(DrawResponse, DRAW_RESPONSE);

/// What the wallet keeps of a draw.
#[derive(Serialize, Deserialize)]
pub struct DrawContext {
    pending: PendingShow,
    blinded: Vec<Blinded>,
}

message!(DrawContext, PENDING_DRAW);

impl std::fmt::Debug for DrawContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DrawContext({} vouchers, redacted)", self.blinded.len())
    }
}

/// Keys of an expanded list beside their positions.
pub(crate) fn positions(
    view: &InForce<'_>,
    keys: &[(KeyIndex, u32)],
) -> Result<Vec<(KeyIndex, KeyEntry)>, KeyListError> {
    let entries = view.expand(keys)?;
    let at = keys.iter().flat_map(|(at, count)| std::iter::repeat_n(*at, *count as usize));
    Ok(at.zip(entries).collect())
}

impl DrawContext {
    /// Prepares a draw of `keys` with a session's commitments. Both context and request must be stored before sending.
    ///
    /// # Errors
    /// [`ShowError::Uncovered`] if the credential does not cover the units; [`DrawError::Keys`], [`DrawError::Vouchers`] for
    /// a malformed list or offer.
    pub fn new<'s, R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        credential: &Credential,
        keys: KeyCounts,
        offer: &SessionOffer,
        sealing: impl Into<Sealing<'s>>,
        rng: &mut R,
    ) -> Result<(Self, DrawRequest), DrawError> {
        let statement = Statement::draw(view, &view.units(&keys)?)?;
        let entries = positions(view, &keys)?;
        let seed = SecretBytes::random(rng);
        let (blinded, challenges) = blind(&entries, offer, &seed)?;
        let entries: Vec<KeyEntry> = entries.into_iter().map(|(_, entry)| entry).collect();
        let digest = challenges_digest(&entries, &offer.commitments, &challenges);
        let binding = draw_binding(offer.session, &keys, digest, NOTHING);
        let vouchers = Some((&seed, blinded.iter().map(Blinded::r_prime).collect()));
        let (pending, show, slots) =
            PendingShow::new(view, credential, &statement, binding, sealing, None, vouchers, rng)?;
        let request = DrawRequest { round: view.round, session: offer.session, keys, challenges, show, slots };
        Ok((Self { pending, blinded }, request))
    }

    /// Prepares a refresh: a draw of nothing, for instance after a refused show burned the serial.
    ///
    /// # Errors
    /// As [`DrawContext::new`].
    pub fn refresh<'s, R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        credential: &Credential,
        sealing: impl Into<Sealing<'s>>,
        rng: &mut R,
    ) -> Result<(Self, DrawRequest), DrawError> {
        let offer = SessionOffer { session: NO_SESSION, commitments: Vec::new() };
        Self::new(view, credential, Vec::new(), &offer, sealing, rng)
    }

    /// Checks the answer: the issuer's proof, then every signature. Gives the refreshed credential and the vouchers.
    ///
    /// # Errors
    /// [`Rejected`] gives the context back: the secrets of an attempt are kept until one answer verifies.
    pub fn finish<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        response: &DrawResponse,
        rng: &mut R,
    ) -> Result<(Credential, Vec<Voucher>), Rejected<Self, DrawError>> {
        match self.check(view, response, rng) {
            Ok((b, vouchers)) => {
                let Refreshed { a, e, .. } = &response.refreshed;
                Ok((self.pending.unsigned.complete(&Scalar::ZERO, &[], *a, e.0, b), vouchers))
            }
            Err(error) => Err(Rejected { context: Box::new(self), error }),
        }
    }

    fn check<R: CryptoRng + ?Sized>(
        &self,
        view: &InForce<'_>,
        response: &DrawResponse,
        rng: &mut R,
    ) -> Result<(Point, Vec<Voucher>), DrawError> {
        let answers = answers_digest(&response.answers);
        let b = self.pending.check(view, &response.refreshed, None, &answers, rng)?;
        let entries = self
            .blinded
            .iter()
            .map(|state| view.key(state.key()).copied().ok_or(KeyListError::Unknown))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((b, unblind(&self.blinded, &entries, &response.answers)?))
    }
}

/// A draw whose show holds.
#[must_use]
#[derive(Debug)]
pub struct VerifiedDraw {
    request: DrawRequest,
    shown: Shown,
    challenges: Digest,
}

impl DrawRequest {
    /// Verifies the show against the session's commitments, then that the credential is the issuer's. `session` is the open
    /// session that the request names, `None` for a refresh; it is not answered yet.
    ///
    /// # Errors
    /// [`DrawError::Session`] if the session is another one or was opened for other keys; [`DrawError::Malformed`],
    /// [`DrawError::Keys`], [`ShowError::Invalid`].
    pub fn verify<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        key: &IssuerKey,
        session: Option<&SigningSession>,
        rng: &mut R,
    ) -> Result<VerifiedDraw, DrawError> {
        if self.round != view.round || !self.slots.is_well_formed() {
            return Err(DrawError::Malformed);
        }
        // The counts are the sender's: checked before a list of that many entries is made.
        let statement = Statement::draw(view, &view.units(&self.keys)?)?;
        let entries = view.expand(&self.keys)?;
        let commitments = match session {
            Some(session) if session.offer().session == self.session && session.keys() == self.keys => {
                session.offer().commitments.as_slice()
            }
            None if self.keys.is_empty() && self.session == NO_SESSION => &[],
            _ => return Err(DrawError::Session),
        };
        if self.challenges.len() != commitments.len() {
            return Err(UnblindError::Count.into());
        }
        let challenges = challenges_digest(&entries, commitments, &self.challenges);
        let binding = draw_binding(self.session, &self.keys, challenges, self.slots.digest());
        let shown = self.show.verify(view, &statement, &binding, key, rng)?;
        Ok(VerifiedDraw { request: self, shown, challenges })
    }
}

impl VerifiedDraw {
    /// The serial that is spent by the answer.
    pub fn serial(&self) -> PublicScalar {
        self.request.show.serial
    }

    /// Answers, consuming the session. The caller has removed the session from the open ones, and spends the serial, marks the
    /// session used, stores the response and queues the leaf in one transaction.
    ///
    /// # Errors
    /// [`DrawError::Session`] for another session than was verified; [`DrawError::Issue`].
    pub fn answer<R: CryptoRng + ?Sized>(
        self,
        key: &IssuerKey,
        session: Option<SigningSession>,
        rng: &mut R,
    ) -> Result<(DrawResponse, DrawLeaf), DrawError> {
        let answers = match session {
            Some(session) if session.offer().session == self.request.session => {
                session.answer(&self.request.challenges)?
            }
            None if self.request.keys.is_empty() => Vec::new(),
            _ => return Err(DrawError::Session),
        };
        let refresh = Refresh::answer(key, &self.shown, None, &answers_digest(&answers), rng)?;
        let refreshed = Refreshed::new(&refresh);
        let DrawRequest { round, session, keys, show, slots, .. } = self.request;
        let record = ShowRecord::new(round, show, slots.digest(), &refreshed);
        let leaf = DrawLeaf { record, session, keys, challenges: self.challenges, answers: answers.clone() };
        Ok((DrawResponse { refreshed, answers }, leaf))
    }
}

/// Adds the proofs of a logged draw to `accumulator`.
pub(crate) fn accumulate_draw(
    view: &InForce<'_>,
    leaf: &DrawLeaf,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), DrawError> {
    let statement = Statement::draw(view, &view.units(&leaf.keys)?)?;
    let count: usize = leaf.keys.iter().map(|(_, count)| *count as usize).sum();
    if count != leaf.answers.len() {
        return Err(UnblindError::Count.into());
    }
    let binding = draw_binding(leaf.session, &leaf.keys, leaf.challenges, leaf.record.slots);
    let answers = answers_digest(&leaf.answers);
    leaf.record.accumulate(view, &statement, &binding, None, &answers, weights, accumulator)
}

// --- Amend --------------------------------------------------------------------------------------------------------------

/// A wallet's request to take over the attributes of a ticket.
#[derive(Debug, Serialize, Deserialize)]
pub struct AmendRequest {
    /// The round.
    pub round: Round,
    /// The ticket's code.
    pub ticket: TicketCode,
    mask: SecretBytes,
    /// The show.
    pub show: Show,
    /// Sealed slots for recovery.
    pub slots: Slots,
}

message!(AmendRequest, AMEND_REQUEST);

/// The issuer's answer to an amend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendResponse {
    /// The lot that the ticket is of.
    pub lot: LotId,
    /// The new expiry.
    pub expires: Round,
    refreshed: Refreshed,
    /// `rho` and the attributes, masked.
    sealed: Vec<u8>,
}

message!(AmendResponse, AMEND_RESPONSE, 4096);

/// What the wallet keeps of an amend.
#[derive(Debug, Serialize, Deserialize)]
pub struct AmendContext {
    pending: PendingShow,
    ticket: TicketHash,
    mask: SecretBytes,
}

message!(AmendContext, PENDING_AMEND);

fn amend_member(
    view: &InForce<'_>,
    expires: Round,
    attributes: &[u64],
    rho: Scalar,
) -> Result<(CohortMember, Point, Vec<i64>), DrawError> {
    // `drawn = now` stands only beside `expires >= now` (spec 6.4): an expiry before this round is refused.
    if expires < view.round {
        return Err(DrawError::Terms);
    }
    let values = amended_values(view, expires, attributes).ok_or(DrawError::Terms)?;
    let class = CohortClass { amend: true, expires, drawn: view.round };
    let member = CohortMember::new(class, rho, values.clone());
    let added = Point::encode(member.commitment(view.programme.parameters()))?;
    Ok((member, added, values))
}

impl AmendContext {
    /// Prepares an amend. Both context and request must be stored before sending.
    ///
    /// # Errors
    /// [`ShowError::Uncovered`] if the credential has not rolled over into the round.
    pub fn new<'s, R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        credential: &Credential,
        ticket: TicketCode,
        sealing: impl Into<Sealing<'s>>,
        rng: &mut R,
    ) -> Result<(Self, AmendRequest), DrawError> {
        let hash = ticket.hash(&view.programme.id(), TicketKind::Amend);
        let mask = SecretBytes::random(rng);
        let (statement, binding) = (Statement::amend(view), amend_binding(hash, NOTHING));
        let (pending, show, slots) =
            PendingShow::new(view, credential, &statement, binding, sealing, Some(&mask), None, rng)?;
        let context = Self { pending, ticket: hash, mask: mask.duplicate() };
        Ok((context, AmendRequest { round: view.round, ticket, mask, show, slots }))
    }

    /// Checks the answer: `M` is what the ticket's attributes make it, and the issuer's proof holds.
    ///
    /// # Errors
    /// [`Rejected`] gives the context back.
    pub fn finish<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        response: &AmendResponse,
        rng: &mut R,
    ) -> Result<Credential, Rejected<Self, DrawError>> {
        match self.check(view, response, rng) {
            Ok((grant, values, b)) => {
                let Refreshed { a, e, .. } = &response.refreshed;
                Ok(self.pending.unsigned.complete(&grant.rho.0, &values, *a, e.0, b))
            }
            Err(error) => Err(Rejected { context: Box::new(self), error }),
        }
    }

    fn check<R: CryptoRng + ?Sized>(
        &self,
        view: &InForce<'_>,
        response: &AmendResponse,
        rng: &mut R,
    ) -> Result<(Grant, Vec<i64>, Point), DrawError> {
        // The lot says nothing in an amend but that the ticket was one of an amend lot.
        view.header.lot(response.lot).filter(|lot| lot.kind == TicketKind::Amend).ok_or(DrawError::Terms)?;
        let grant = Grant::open(&response.sealed, &self.mask, &self.ticket).ok_or(DrawError::Answer)?;
        let (_, added, values) = amend_member(view, response.expires, &grant.attributes, grant.rho.0)?;
        let b = self.pending.check(view, &response.refreshed, Some(&added), &NOTHING, rng)?;
        Ok((grant, values, b))
    }
}

impl AmendResponse {
    /// `rho` and the values that an amend adds, of a masked answer: for a restore, which checks them against the log.
    pub(crate) fn granted(
        &self,
        view: &InForce<'_>,
        mask: &SecretBytes,
        ticket: &TicketHash,
    ) -> Result<(Scalar, Vec<i64>), DrawError> {
        let grant = Grant::open(&self.sealed, mask, ticket).ok_or(DrawError::Answer)?;
        let (_, _, values) = amend_member(view, self.expires, &grant.attributes, grant.rho.0)?;
        Ok((grant.rho.0, values))
    }
}

/// An amend whose show holds.
#[must_use]
#[derive(Debug)]
pub struct VerifiedAmend {
    request: AmendRequest,
    ticket: TicketHash,
    shown: Shown,
}

/// What the issuer makes of an amend.
#[derive(Debug)]
pub struct IssuedAmend {
    /// Stored under serial and ticket, and sent.
    pub response: AmendResponse,
    /// Queued for the log in the same transaction.
    pub leaf: AmendLeaf,
    /// Added to its cohort's running sum in the same transaction, then erased.
    pub member: CohortMember,
}

impl AmendRequest {
    /// The ticket's hash.
    pub fn ticket_hash(&self, programme: &ProgrammeId) -> TicketHash {
        self.ticket.hash(programme, TicketKind::Amend)
    }

    /// Verifies the show, then that the credential is the issuer's.
    ///
    /// # Errors
    /// [`DrawError::Malformed`] or [`ShowError::Invalid`].
    pub fn verify<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        key: &IssuerKey,
        rng: &mut R,
    ) -> Result<VerifiedAmend, DrawError> {
        if self.round != view.round || !self.slots.is_well_formed() {
            return Err(DrawError::Malformed);
        }
        let ticket = self.ticket_hash(&view.programme.id());
        let binding = amend_binding(ticket, self.slots.digest());
        let shown = self.show.verify(view, &Statement::amend(view), &binding, key, rng)?;
        Ok(VerifiedAmend { request: self, ticket, shown })
    }
}

impl VerifiedAmend {
    /// The serial that is spent by the answer.
    pub fn serial(&self) -> PublicScalar {
        self.request.show.serial
    }

    /// The ticket that is used by the answer.
    pub fn ticket(&self) -> TicketHash {
        self.ticket
    }

    /// Answers. The caller uses the ticket, spends the serial, stores the response, queues the leaf and adds the member in one
    /// transaction.
    ///
    /// # Errors
    /// [`DrawError::Terms`] if the grant is another ticket's or does not fit; [`DrawError::Issue`].
    pub fn answer<R: CryptoRng + ?Sized>(
        self,
        view: &InForce<'_>,
        key: &IssuerKey,
        grant: &TicketGrant,
        rng: &mut R,
    ) -> Result<IssuedAmend, DrawError> {
        let lot = view.header.lot(grant.place.lot).filter(|lot| lot.kind == TicketKind::Amend);
        let (Some(lot), true) = (lot, grant.place.hash == self.ticket) else { return Err(DrawError::Terms) };
        let rho = SecretScalar::random(rng);
        let (member, added, _) = amend_member(view, grant.expires, &grant.attributes, *rho.expose())?;
        let refreshed = Refreshed::new(&Refresh::answer(key, &self.shown, Some(&added), &NOTHING, rng)?);
        let sealed = Grant { rho: PublicScalar(*rho.expose()), attributes: grant.attributes.clone() }
            .seal(&self.request.mask, &self.ticket);
        let record = ShowRecord::new(self.request.round, self.request.show, self.request.slots.digest(), &refreshed);
        let leaf = AmendLeaf { record, ticket: grant.place.clone(), expires: grant.expires, added };
        let response = AmendResponse { lot: lot.id, expires: grant.expires, refreshed, sealed };
        Ok(IssuedAmend { response, leaf, member })
    }
}

/// Adds the proofs of a logged amend to `accumulator`.
pub(crate) fn accumulate_amend(
    view: &InForce<'_>,
    leaf: &AmendLeaf,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), DrawError> {
    let binding = amend_binding(leaf.ticket.hash, leaf.record.slots);
    let statement = Statement::amend(view);
    leaf.record.accumulate(view, &statement, &binding, Some(&leaf.added), &NOTHING, weights, accumulator)
}
