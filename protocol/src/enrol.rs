//! Enrol: a ticket becomes a credential (spec 4.2).
//!
//! ```text
//! wallet                                               issuer
//! EnrolContext (kept)    -- EnrolRequest -->           VerifiedEnrol
//!   r', serial                ticket, mask, C, proof     ticket looked up by hash, used once
//! Credential             <-- EnrolResponse --          EnrolLeaf (logged), CohortMember (kept until opened)
//!   r = r' + rho              A, e, proof, masked rho and attributes
//! ```

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    Rejected,
    bucket::ENROLMENTS,
    cohort::{CohortClass, CohortMember},
    credential::{Credential, IssueError, IssueProof, IssuedCommitment, IssuerKey, OpeningProof, Unsigned},
    group::{Accumulator, GroupError, Point, PublicScalar},
    ids::{Digest, LotId, Round, TicketHash},
    log::leaf::EnrolLeaf,
    programme::{Programme, TicketKind, statement::starting_values},
    recovery::Contents,
    registry::{self, operation},
    secret::{SecretBytes, SecretScalar, Weights},
    sigma::LinearProof,
    slots::{Sealing, Slots},
    ticket::{Grant, TicketCode, TicketUse},
    transcript::Transcript,
    wire::message,
};

/// A wallet's request for a credential.
#[derive(Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The ticket's kind: enrol or split.
    pub kind: TicketKind,
    /// The ticket's code.
    pub ticket: TicketCode,
    mask: SecretBytes,
    commitment: Point,
    opening: LinearProof,
    /// Sealed slots for recovery.
    pub slots: Slots,
}

message!(EnrolRequest, ENROL_REQUEST);

/// The issuer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolResponse {
    /// The lot that the ticket is of.
    pub lot: LotId,
    /// The last round in which the credential may roll over.
    pub expires: Round,
    pub(crate) a: Point,
    pub(crate) e: PublicScalar,
    pub(crate) proof: LinearProof,
    /// `rho` and the attributes, masked.
    sealed: Vec<u8>,
}

message!(EnrolResponse, ENROL_RESPONSE);

/// What the wallet keeps between request and answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct EnrolContext {
    kind: TicketKind,
    ticket: TicketHash,
    mask: SecretBytes,
    commitment: Point,
    unsigned: Unsigned,
}

message!(EnrolContext, PENDING_ENROL);

/// Why an enrolment is refused, by either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// An amend ticket, or slots out of shape.
    #[error("the request is malformed")]
    Malformed,
    /// The opening of the commitment is not proven.
    #[error("the request does not verify")]
    Invalid,
    /// The lot is unknown, of another kind, or the ticket's attributes are outside the schema.
    #[error("the ticket's terms do not fit the programme")]
    Terms,
    /// The issuer's proof does not hold for this starting state.
    #[error("the issuer's answer does not verify")]
    Answer,
    /// See [`IssueError`].
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A computed point is the identity.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// What a caseworker's ticket grants; the issuer keeps it until the ticket is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketGrant {
    /// The ticket's place in its lot.
    pub place: TicketUse,
    /// The credential's expiry.
    pub expires: Round,
    /// The programme attributes, in schema order.
    pub attributes: Vec<u64>,
}

pub(crate) fn bind_programme(transcript: &mut Transcript, operation: u8, programme: &Programme) {
    transcript.append("operation", &[operation]);
    transcript.append("programme", &programme.id().0);
    transcript.append_point("W", &programme.latest().issuer_key);
    transcript.append("schema", programme.parameters().schema_digest());
    transcript.append_u64("arity", programme.parameters().arity().into());
}

pub(crate) fn request_transcript(
    programme: &Programme,
    ticket: &TicketHash,
    commitment: &Point,
    slots: &Digest,
) -> Transcript {
    let mut transcript = Transcript::new(registry::TRANSCRIPT_ENROL);
    bind_programme(&mut transcript, operation::ENROL, programme);
    transcript.append("ticket", &ticket.0);
    transcript.append("slots", &slots.0);
    transcript.append_point("C", commitment);
    transcript
}

pub(crate) fn answer_transcript(
    programme: &Programme,
    ticket: &TicketHash,
    commitment: &Point,
    lot: LotId,
    expires: Round,
) -> Transcript {
    let mut transcript = Transcript::new(registry::TRANSCRIPT_ISSUE);
    bind_programme(&mut transcript, operation::ENROL, programme);
    transcript.append("ticket", &ticket.0);
    transcript.append_u64("lot", lot.0.into());
    transcript.append_u64("expires", expires.0.into());
    transcript.append_point("C", commitment);
    transcript
}

impl EnrolContext {
    /// A context that a sealed slot brought back.
    pub(crate) fn recovered(
        kind: TicketKind,
        ticket: TicketHash,
        mask: SecretBytes,
        commitment: Point,
        unsigned: Unsigned,
    ) -> Self {
        Self { kind, ticket, mask, commitment, unsigned }
    }

    /// Prepares a request. The context must be stored before the request is sent.
    ///
    /// # Errors
    /// [`EnrolError::Malformed`] for an amend ticket or malformed slots.
    pub fn new<'s, R: CryptoRng + ?Sized>(
        programme: &Programme,
        kind: TicketKind,
        ticket: TicketCode,
        sealing: impl Into<Sealing<'s>>,
        rng: &mut R,
    ) -> Result<(Self, EnrolRequest), EnrolError> {
        if kind == TicketKind::Amend {
            return Err(EnrolError::Malformed);
        }
        let hash = ticket.hash(&programme.id(), kind);
        let (r, serial) = (SecretScalar::random(rng), SecretScalar::random(rng));
        let mask = SecretBytes::random(rng);
        let arity = programme.parameters().arity();
        let unsigned = Unsigned { r, serial, values: vec![0; usize::from(arity) - 1] };
        let contents = Contents { arity, mask: Some(&mask), unsigned: Some(&unsigned), vouchers: None };
        let slots = sealing.into().slots(ENROLMENTS, &contents, rng);
        if !slots.is_well_formed() {
            return Err(EnrolError::Malformed);
        }
        let (r, serial) = (&unsigned.r, &unsigned.serial);
        let commitment = OpeningProof::commit(programme.parameters(), r, serial)?;
        let mut transcript = request_transcript(programme, &hash, &commitment, &slots.digest());
        let opening = OpeningProof::prove(programme.parameters(), commitment, r, serial, &mut transcript, rng);
        let context = Self { kind, ticket: hash, mask: mask.duplicate(), commitment, unsigned };
        Ok((context, EnrolRequest { kind, ticket, mask, commitment, opening, slots }))
    }

    /// Checks the issuer's answer: the starting state is the lot's, the attributes are in range, and `(x+e)*A = B` under `W`.
    ///
    /// # Errors
    /// [`Rejected`] gives the context back: another answer may still come.
    pub fn finish<R: CryptoRng + ?Sized>(
        self,
        programme: &Programme,
        response: &EnrolResponse,
        rng: &mut R,
    ) -> Result<Credential, Rejected<Self, EnrolError>> {
        match self.check(programme, response, rng) {
            Ok((grant, values, b)) => Ok(self.unsigned.complete(&grant.rho.0, &values, response.a, response.e.0, b)),
            Err(error) => Err(Rejected { context: Box::new(self), error }),
        }
    }

    fn check<R: CryptoRng + ?Sized>(
        &self,
        programme: &Programme,
        response: &EnrolResponse,
        rng: &mut R,
    ) -> Result<(Grant, Vec<i64>, Point), EnrolError> {
        let grant = Grant::open(&response.sealed, &self.mask, &self.ticket).ok_or(EnrolError::Answer)?;
        let header = programme.latest();
        let lot = header.lot(response.lot).filter(|lot| lot.kind == self.kind).ok_or(EnrolError::Terms)?;
        let values =
            starting_values(header, &lot.start, response.expires, &grant.attributes).ok_or(EnrolError::Terms)?;
        let member = CohortMember::new(CohortClass::of_lot(lot, response.expires), grant.rho.0, values.clone());
        let b = IssuedCommitment::b(&self.commitment, Some(&member.commitment(programme.parameters())))?;
        let issued = IssuedCommitment { b, a: response.a, e: response.e.0 };
        let mut transcript =
            answer_transcript(programme, &self.ticket, &self.commitment, response.lot, response.expires);
        let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
        IssueProof::accumulate(
            header.issuer_key,
            &issued,
            None,
            &response.proof,
            &mut transcript,
            &mut weights,
            &mut accumulator,
        )
        .map_err(|_| EnrolError::Answer)?;
        accumulator.verify().map_err(|_| EnrolError::Answer)?;
        Ok((grant, values, b))
    }
}

impl EnrolRequest {
    /// The ticket's hash: what the issuer looks up and marks used.
    pub fn ticket_hash(&self, programme: &Programme) -> TicketHash {
        self.ticket.hash(&programme.id(), self.kind)
    }

    /// Verifies the wallet's proof.
    ///
    /// # Errors
    /// [`EnrolError::Malformed`] or [`EnrolError::Invalid`].
    pub fn verify<R: CryptoRng + ?Sized>(
        self,
        programme: &Programme,
        rng: &mut R,
    ) -> Result<VerifiedEnrol, EnrolError> {
        if self.kind == TicketKind::Amend || !self.slots.is_well_formed() {
            return Err(EnrolError::Malformed);
        }
        let ticket = self.ticket_hash(programme);
        let slots = self.slots.digest();
        let mut transcript = request_transcript(programme, &ticket, &self.commitment, &slots);
        let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
        OpeningProof::accumulate(
            programme.parameters(),
            self.commitment,
            &self.opening,
            &mut transcript,
            &mut weights,
            &mut accumulator,
        )
        .map_err(|_| EnrolError::Invalid)?;
        accumulator.verify().map_err(|_| EnrolError::Invalid)?;
        Ok(VerifiedEnrol { request: self, ticket, slots })
    }
}

/// A request whose proof holds.
#[must_use]
#[derive(Debug)]
pub struct VerifiedEnrol {
    request: EnrolRequest,
    ticket: TicketHash,
    slots: Digest,
}

/// What the issuer makes of an enrolment: the answer to store and send, the leaf to log, the sum to keep.
#[derive(Debug)]
pub struct IssuedEnrol {
    /// Stored under the ticket's hash, and sent.
    pub response: EnrolResponse,
    /// Queued for the log in the same transaction.
    pub leaf: EnrolLeaf,
    /// Added to its cohort's running sum in the same transaction, then erased.
    pub member: CohortMember,
}

impl VerifiedEnrol {
    /// The ticket's hash.
    pub fn ticket(&self) -> TicketHash {
        self.ticket
    }

    /// Issues the credential. The caller marks the ticket used, stores the response, queues the leaf and adds the member in
    /// one transaction, and erases the grant's attributes.
    ///
    /// # Errors
    /// [`EnrolError::Terms`] if the grant does not fit the programme, [`EnrolError::Issue`] for a degenerate value.
    pub fn issue<R: CryptoRng + ?Sized>(
        self,
        programme: &Programme,
        key: &IssuerKey,
        grant: &TicketGrant,
        rng: &mut R,
    ) -> Result<IssuedEnrol, EnrolError> {
        let header = programme.latest();
        let lot = header.lot(grant.place.lot).filter(|lot| lot.kind == self.request.kind).ok_or(EnrolError::Terms)?;
        if grant.place.hash != self.ticket {
            return Err(EnrolError::Terms);
        }
        let values = starting_values(header, &lot.start, grant.expires, &grant.attributes).ok_or(EnrolError::Terms)?;
        let rho = SecretScalar::random(rng);
        let member = CohortMember::new(CohortClass::of_lot(lot, grant.expires), *rho.expose(), values);
        let commitment = self.request.commitment;
        let b = IssuedCommitment::b(&commitment, Some(&member.commitment(programme.parameters())))?;
        let issued = IssuedCommitment::sign(key, b)?;
        let mut transcript = answer_transcript(programme, &self.ticket, &commitment, lot.id, grant.expires);
        let proof = IssueProof::prove(key, &issued, None, &mut transcript, rng)?;
        let sealed = Grant { rho: PublicScalar(*rho.expose()), attributes: grant.attributes.clone() }
            .seal(&self.request.mask, &self.ticket);
        let (a, e) = (issued.a, PublicScalar(issued.e));
        let response = EnrolResponse { lot: lot.id, expires: grant.expires, a, e, proof: proof.clone(), sealed };
        let leaf = EnrolLeaf {
            kind: self.request.kind,
            ticket: grant.place.clone(),
            expires: grant.expires,
            commitment,
            opening: self.request.opening.clone(),
            slots: self.slots,
            b,
            a,
            e,
            proof,
        };
        Ok(IssuedEnrol { response, leaf, member })
    }
}

impl EnrolLeaf {
    /// Adds the wallet's and the issuer's proof of a logged enrolment to `accumulator`.
    ///
    /// # Errors
    /// [`EnrolError`] if the leaf has not the shape of an enrolment.
    pub(crate) fn accumulate(
        &self,
        programme: &Programme,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<(), EnrolError> {
        let mut transcript = request_transcript(programme, &self.ticket.hash, &self.commitment, &self.slots);
        OpeningProof::accumulate(
            programme.parameters(),
            self.commitment,
            &self.opening,
            &mut transcript,
            weights,
            accumulator,
        )
        .map_err(|_| EnrolError::Invalid)?;
        let issued = IssuedCommitment { b: self.b, a: self.a, e: self.e.0 };
        let mut transcript =
            answer_transcript(programme, &self.ticket.hash, &self.commitment, self.ticket.lot, self.expires);
        IssueProof::accumulate(
            programme.latest().issuer_key,
            &issued,
            None,
            &self.proof,
            &mut transcript,
            weights,
            accumulator,
        )
        .map_err(|_| EnrolError::Answer)
    }
}
