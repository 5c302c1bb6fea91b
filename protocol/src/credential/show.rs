//! Show with update: the one operation behind roll-over, draw and amend (spec 4.3).
//!
//! Random `r1, r2`; `A' = r1*r2*A`, `D = r2*B`, `Abar = r1*D - e*A'`, so that `Abar = x*A'`. One linear proof of
//! `(r1, e, r3 = 1/r2, r, hidden m, r*, serial*, t)` for
//!
//! ```text
//! (1)  r1*D - e*A'                                         = Abar
//! (2)  r3*D - r*H_0 - sum_hidden m_i*H_i                   = G + serial*H_1 + sum_disclosed m_i*H_i
//! (3)  r3*D + (r*-r)*H_0 + serial* *H_1 + sum L_i(m)*H_i   = C* + G + serial*H_1 - sum c_i*H_i
//! (4)  sum_j w^j v_j(m)*G + t*B_blind                      = sum_j w^j V_j
//! ```
//!
//! and one aggregated range proof that every `v_j` is in `[0, 2^w)`. (3) is `C* = r* *H_0 + serial* *H_1 + sum m*_i*H_i` less
//! (2), where `m*_i - m_i = L_i(m) + c_i`: the same relation, with fewer terms. (4) folds the equations
//! `V_j = v_j*G + t_j*B_blind` into one by powers of a challenge `w` drawn after all `V_j` are fixed, `t = sum_j w^j t_j`
//! (argument: spec 4.3.2).
//!
//! Transcript: the whole statement, the seed of the range proof's own transcript (whose first items are the `V_j`), all `V_j`,
//! the range proof, the folding challenge, the linear proof.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Credential, IssueError, IssueProof, IssuedCommitment, IssuerKey, Unsigned, secret_scalar_of};
use crate::{
    group::{self, Accumulator, GroupError, Point, PublicScalar, Scalar},
    ids::{Digest, KeyIndex, SessionId, TicketHash},
    programme::{
        InForce,
        form::{Affine, scalar_of},
        schema::SERIAL,
        statement::Statement,
    },
    range::{self, RangeError, RangeProof},
    registry,
    secret::{SecretScalar, Weights, hedged},
    sigma::{LinearProof, ProofError, Relation},
    transcript::Transcript,
};

/// The public part of a show, as it travels and as it is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// The old credential's serial.
    pub serial: PublicScalar,
    pub(crate) a_prime: Point,
    pub(crate) d: Point,
    pub(crate) a_bar: Point,
    /// `C*`, the new credential's commitment.
    pub(crate) commitment: Point,
    /// `V_j`, without padding.
    pub(crate) values: Vec<Point>,
    /// Absent if nothing has to be non-negative.
    pub(crate) range: Option<RangeProof>,
    pub(crate) linear: LinearProof,
}

/// Why a show is refused, or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// The credential does not satisfy the statement: the wallet sends nothing.
    #[error("the credential does not cover this request")]
    Uncovered,
    /// The linear proof has another shape.
    #[error(transparent)]
    Linear(#[from] ProofError),
    /// The range proof has another shape, or is absent or present against the statement.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A computed point is the identity.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A proof does not hold, or the credential is not the issuer's: one code for both (spec 4.4).
    #[error("the show does not verify")]
    Invalid,
}

/// What a show is bound to beside its statement.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub(crate) operation: u8,
    pub(crate) session: SessionId,
    pub(crate) keys: &'a [(KeyIndex, u32)],
    pub(crate) challenges: Digest,
    pub(crate) ticket: TicketHash,
    pub(crate) slots: Digest,
}

/// Begins a transcript with what every statement of a programme binds.
pub(crate) fn bind_round(transcript: &mut Transcript, operation: u8, view: &InForce<'_>) {
    transcript.append("operation", &[operation]);
    transcript.append("programme", &view.programme.id().0);
    transcript.append("manifest", &view.hash.0);
    transcript.append_u64("now", view.round.0.into());
    transcript.append_point("W", &view.header.issuer_key);
    transcript.append("schema", view.programme.parameters().schema_digest());
    transcript.append_u64("arity", view.programme.parameters().arity().into());
}

impl Binding<'_> {
    pub(crate) fn transcript(&self, view: &InForce<'_>, statement: &Statement) -> Result<Transcript, ShowError> {
        let mut transcript = self.without_slots(view, statement)?;
        transcript.append("slots", &self.slots.0);
        Ok(transcript)
    }

    fn without_slots(&self, view: &InForce<'_>, statement: &Statement) -> Result<Transcript, ShowError> {
        let mut transcript = Transcript::new(registry::TRANSCRIPT_SHOW);
        bind_round(&mut transcript, self.operation, view);
        transcript.append("statement", &statement.describe());
        transcript.append("session", &self.session.0);
        transcript.append_u64("key count", self.keys.len() as u64);
        for (at, count) in self.keys {
            let entry = view.key(*at).ok_or(ShowError::Invalid)?;
            transcript.append("key", &entry.id.canonical());
            transcript.append_u64("count", (*count).into());
        }
        transcript.append("challenges", &self.challenges.0);
        transcript.append("ticket", &self.ticket.0);
        Ok(transcript)
    }
}

/// Absorbs the show's points and disclosed values.
pub(crate) fn bind_points(transcript: &mut Transcript, statement: &Statement, points: &Points, width: u8) {
    transcript.append_point("A'", &points.a_prime);
    transcript.append_point("D", &points.d);
    transcript.append_point("Abar", &points.a_bar);
    transcript.append_u64("disclosed index", SERIAL.into());
    transcript.append_scalar("disclosed value", &points.serial);
    for (at, value) in &statement.disclosed {
        transcript.append_u64("disclosed index", (*at).into());
        transcript.append_scalar("disclosed value", &scalar_of((*value).into()));
    }
    transcript.append_point("C*", &points.commitment);
    transcript.append_u64("width", width.into());
    transcript.append_u64("values", statement.nonnegative.len() as u64);
    transcript.append_u64("padded", range::padded(statement.nonnegative.len().max(1)) as u64);
}

/// The points of a show, and the disclosed serial.
pub(crate) struct Points {
    pub(crate) serial: Scalar,
    pub(crate) a_prime: Point,
    pub(crate) d: Point,
    pub(crate) a_bar: Point,
    pub(crate) commitment: Point,
}

impl Show {
    pub(crate) fn points(&self) -> Points {
        Points {
            serial: self.serial.0,
            a_prime: self.a_prime,
            d: self.d,
            a_bar: self.a_bar,
            commitment: self.commitment,
        }
    }
}

/// A form with the disclosed coordinates folded into its constant.
fn reduce(form: &Affine, disclosed: &[(u8, i64)]) -> Affine {
    disclosed.iter().fold(form.clone(), |form, (at, value)| form.substitute(*at, *value))
}

/// Equations (1) to (4). Scalars in order: `r1, e, r3, r`, hidden `m` ascending, `r*, serial*`, and `t` if there are values.
pub(crate) fn relation(
    view: &InForce<'_>,
    statement: &Statement,
    points: &Points,
    values: &[Point],
    fold: &[Scalar],
) -> Relation {
    let parameters = view.programme.parameters();
    let one = Scalar::ONE;
    let mut relation = Relation::default();
    let [r1, e, r3, r] = std::array::from_fn(|_| relation.scalar());
    let is_disclosed = |at: u8| statement.disclosed.iter().any(|(known, _)| *known == at);
    let hidden: Vec<u8> = (2..=parameters.arity()).filter(|at| !is_disclosed(*at)).collect();
    let m = relation.scalars(hidden.len());
    let m_of = |at: u8| hidden.iter().position(|known| *known == at).map(|position| m[position]);
    let (r_new, serial_new) = (relation.scalar(), relation.scalar());

    let g = relation.shared(Point::generator());
    let h: Vec<_> = (0..=parameters.arity()).map(|at| relation.shared(*parameters.h(at))).collect();
    let a_prime = relation.element(points.a_prime);
    let d = relation.element(points.d);
    let a_bar = relation.element(points.a_bar);
    let commitment = relation.element(points.commitment);

    relation.equation([(one, r1, d), (-one, e, a_prime)], [(one, a_bar)]);

    let opened = hidden.iter().zip(&m).map(|(at, m)| (-one, *m, h[usize::from(*at)]));
    let mut image = vec![(one, g), (points.serial, h[1])];
    image.extend(statement.disclosed.iter().map(|(at, value)| (scalar_of((*value).into()), h[usize::from(*at)])));
    relation.equation([(one, r3, d), (-one, r, h[0])].into_iter().chain(opened).collect::<Vec<_>>(), image);

    let mut terms = vec![(one, r3, d), (one, r_new, h[0]), (-one, r, h[0]), (one, serial_new, h[1])];
    let mut image = vec![(one, commitment), (one, g), (points.serial, h[1])];
    for (offset, update) in statement.update.iter().enumerate() {
        let at = offset as u8 + 2;
        let change = reduce(&update.clone().minus(&Affine::coordinate(at)), &statement.disclosed);
        for (coordinate, coefficient) in change.terms() {
            let m = m_of(*coordinate).expect("disclosed coordinates are folded away");
            terms.push((scalar_of(*coefficient), m, h[usize::from(at)]));
        }
        if change.constant_term() != 0 {
            image.push((-scalar_of(change.constant_term()), h[usize::from(at)]));
        }
    }
    relation.equation(terms, image);

    if !values.is_empty() {
        let t = relation.scalar();
        let blind = relation.shared(range::blinding_generator());
        let mut coefficients = vec![Scalar::ZERO; hidden.len()];
        let mut constant = Scalar::ZERO;
        for (form, power) in statement.nonnegative.iter().zip(fold) {
            let form = reduce(form, &statement.disclosed);
            constant += power * scalar_of(form.constant_term());
            for (coordinate, coefficient) in form.terms() {
                let position = hidden.iter().position(|known| known == coordinate).expect("not disclosed");
                coefficients[position] += power * scalar_of(*coefficient);
            }
        }
        let folded = coefficients.iter().zip(&m).map(|(coefficient, m)| (*coefficient, *m, g));
        let terms: Vec<_> = folded.filter(|term| term.0 != Scalar::ZERO).chain([(one, t, blind)]).collect();
        let mut image = vec![(-constant, g)];
        for (value, power) in values.iter().zip(fold) {
            // Shared with the range proof.
            let value = relation.shared(*value);
            image.push((*power, value));
        }
        relation.equation(terms, image);
    }
    relation
}

fn powers(base: Scalar, count: usize) -> Vec<Scalar> {
    std::iter::successors(Some(Scalar::ONE), |power| Some(power * base)).take(count).collect()
}

/// Absorbs values and range proof, and draws the folding challenge's powers.
pub(crate) fn fold(transcript: &mut Transcript, values: &[Point], range: &RangeProof) -> Vec<Scalar> {
    for value in values {
        transcript.append_point("V", value);
    }
    transcript.append("range proof", range.as_bytes());
    powers(transcript.challenge_scalar("fold"), values.len())
}

/// The credential that a show asks for: `r*`, `serial*` and the values. It is fixed before the slots, which seal it; `binding`'s
/// slots are not used.
///
/// # Errors
/// [`ShowError::Uncovered`] for a credential of another schema, or values that do not fit.
pub(crate) fn successor<R: CryptoRng + ?Sized>(
    view: &InForce<'_>,
    credential: &Credential,
    statement: &Statement,
    binding: &Binding<'_>,
    rng: &mut R,
) -> Result<Unsigned, ShowError> {
    if credential.values.len() + 1 != usize::from(view.programme.parameters().arity()) {
        return Err(ShowError::Uncovered);
    }
    let seed = binding.without_slots(view, statement)?.challenge_bytes("successor");
    let mut stream = hedged(&secrets(credential), &seed, rng);
    let [r, serial] = std::array::from_fn(|_| SecretScalar::new(stream.scalar()));
    let values = statement
        .update
        .iter()
        .map(|form| i64::try_from(form.evaluate(&credential.values)).map_err(|_| ShowError::Uncovered))
        .collect::<Result<_, _>>()?;
    Ok(Unsigned { r, serial, values })
}

/// What hedges a show's randomness.
fn secrets(credential: &Credential) -> Zeroizing<Vec<Scalar>> {
    Zeroizing::new(vec![*credential.e.expose(), *credential.r.expose(), *credential.serial.expose()])
}

/// What a wallet computes for a show.
pub(crate) struct Prover {
    pub(crate) show: Show,
    /// The new credential, until the issuer signs it.
    pub(crate) unsigned: Unsigned,
    /// What the issuer's answer must bind.
    pub(crate) digest: Digest,
}

impl Prover {
    /// Shows `credential` under `statement`, for its [`successor`].
    ///
    /// # Errors
    /// [`ShowError::Uncovered`] if the credential does not satisfy the statement: nothing may be sent then.
    pub(crate) fn new<R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        credential: &Credential,
        statement: &Statement,
        binding: &Binding<'_>,
        unsigned: Unsigned,
        rng: &mut R,
    ) -> Result<Self, ShowError> {
        let width = view.header.schema.width;
        // The verdict itself is public: a wallet that may not show stays silent.
        let held = statement.disclosed.iter().all(|(at, value)| credential.value(*at) == Some(*value));
        let proven: Zeroizing<Vec<i128>> =
            Zeroizing::new(statement.nonnegative.iter().map(|form| form.evaluate(&credential.values)).collect());
        if !held || proven.iter().any(|value| *value < 0 || *value >= view.header.schema.limit()) {
            return Err(ShowError::Uncovered);
        }
        let proven: Zeroizing<Vec<u64>> = Zeroizing::new(proven.iter().map(|value| *value as u64).collect());

        let mut transcript = binding.transcript(view, statement)?;
        let secrets = secrets(credential);
        let mut blinds = hedged(&secrets, &transcript.clone().challenge_bytes("blinds"), rng);
        let [r1, r2] = std::array::from_fn(|_| SecretScalar::new(blinds.scalar()));
        let blindings: Vec<SecretScalar> = proven.iter().map(|_| SecretScalar::new(blinds.scalar())).collect();
        let r3 = Zeroizing::new(r2.expose().invert());
        let r12 = Zeroizing::new(r1.expose() * r2.expose());

        // Halves, because doubles are cheap to encode together. `Abar = r1*D - e*A'`.
        let half = |scalar: &Scalar| Zeroizing::new(scalar.div_by_2());
        let a_prime = group::multiply(credential.a.element(), &half(&r12));
        let d = group::multiply(credential.b.element(), &half(r2.expose()));
        let minus_e = Zeroizing::new(-credential.e.expose());
        let a_bar = group::combine(&[*r1.expose(), *minus_e], &[d, a_prime]);
        let [a_prime, d, a_bar] = Point::encode_halves([a_prime, d, a_bar])?;
        let commitment = new_commitment(view, credential, statement, &unsigned)?;
        let points = Points { serial: *credential.serial.expose(), a_prime, d, a_bar, commitment };
        bind_points(&mut transcript, statement, &points, width);

        let (mut range, mut values, mut powers, mut t) = (None, Vec::new(), Vec::new(), Zeroizing::new(Scalar::ZERO));
        if !proven.is_empty() {
            let seed = transcript.challenge_bytes("range proof seed");
            let nonces = hedged(&secrets, &seed, rng);
            let (proof, commitments) = range::prove(width.into(), &proven, &blindings, &seed, nonces)?;
            powers = fold(&mut transcript, &commitments, &proof);
            *t = blindings.iter().zip(&powers).map(|(t, power)| t.expose() * power).sum();
            (range, values) = (Some(proof), commitments);
        }
        let relation = relation(view, statement, &points, &values, &powers);
        let is_disclosed = |at: usize| statement.disclosed.iter().any(|(known, _)| usize::from(*known) == at);
        let mut witness = Zeroizing::new(vec![*r1.expose(), *credential.e.expose(), *r3, *credential.r.expose()]);
        for (offset, value) in credential.values.iter().enumerate() {
            if !is_disclosed(offset + 2) {
                witness.push(secret_scalar_of(*value));
            }
        }
        witness.extend([*unsigned.r.expose(), *unsigned.serial.expose()]);
        if !values.is_empty() {
            witness.push(*t);
        }
        let mut nonces = hedged(&witness, &transcript.clone().challenge_bytes("nonce"), rng);
        let linear = relation.prove(&witness, &mut transcript, &mut nonces);
        let digest = Digest(transcript.digest("show"));
        let serial = PublicScalar(points.serial);
        Ok(Self { show: Show { serial, a_prime, d, a_bar, commitment, values, range, linear }, unsigned, digest })
    }
}

/// `C*`, computed from `B` by what changes: `C* = B - G + (r*-r)*H_0 + (serial*-serial)*H_1 + sum (m*_i - m_i)*H_i`.
///
/// Which coordinates can change is public (the statement); by how much is not.
fn new_commitment(
    view: &InForce<'_>,
    credential: &Credential,
    statement: &Statement,
    unsigned: &Unsigned,
) -> Result<Point, ShowError> {
    let parameters = view.programme.parameters();
    let mut scalars = Zeroizing::new(vec![
        unsigned.r.expose() - credential.r.expose(),
        unsigned.serial.expose() - credential.serial.expose(),
    ]);
    let mut elements = vec![*parameters.h(0).element(), *parameters.h(1).element()];
    for (offset, form) in statement.update.iter().enumerate() {
        let at = offset as u8 + 2;
        if *form != Affine::coordinate(at) {
            scalars.push(secret_scalar_of(unsigned.values[offset] - credential.values[offset]));
            elements.push(*parameters.h(at).element());
        }
    }
    let change = group::combine(&scalars, &elements);
    Ok(Point::encode(credential.b.element() - Point::generator().element() + change)?)
}

/// A show whose proofs have been added to an accumulator; [`Show::verify`] settles them at once.
#[must_use]
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) digest: Digest,
    pub(crate) a_prime: Point,
    pub(crate) a_bar: Point,
    pub(crate) commitment: Point,
}

impl Show {
    /// Adds the show's proofs to `accumulator`.
    ///
    /// # Errors
    /// [`ShowError`] if the show has not the statement's shape.
    pub(crate) fn accumulate(
        &self,
        view: &InForce<'_>,
        statement: &Statement,
        binding: &Binding<'_>,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<Shown, ShowError> {
        let width = view.header.schema.width;
        if self.values.len() != statement.nonnegative.len() {
            return Err(RangeError::Size.into());
        }
        let mut transcript = binding.transcript(view, statement)?;
        let points = self.points();
        bind_points(&mut transcript, statement, &points, width);
        let powers = match (&self.range, self.values.is_empty()) {
            (None, true) => Vec::new(),
            (Some(range), false) => {
                let seed = transcript.challenge_bytes("range proof seed");
                range::accumulate(width.into(), &self.values, range, &seed, weights, accumulator)?;
                fold(&mut transcript, &self.values, range)
            }
            _ => return Err(RangeError::Size.into()),
        };
        relation(view, statement, &points, &self.values, &powers).accumulate(
            &self.linear,
            &mut transcript,
            weights,
            accumulator,
        )?;
        let digest = Digest(transcript.digest("show"));
        Ok(Shown { digest, a_prime: self.a_prime, a_bar: self.a_bar, commitment: self.commitment })
    }

    /// Verifies the show's proofs, and then that the credential is the issuer's: in this order, and with one error for both,
    /// lest the answer be an oracle for `x` (spec 4.4).
    pub(crate) fn verify<R: CryptoRng + ?Sized>(
        &self,
        view: &InForce<'_>,
        statement: &Statement,
        binding: &Binding<'_>,
        key: &IssuerKey,
        rng: &mut R,
    ) -> Result<Shown, ShowError> {
        let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
        let shown = self
            .accumulate(view, statement, binding, &mut weights, &mut accumulator)
            .map_err(|_| ShowError::Invalid)?;
        accumulator.verify().map_err(|_| ShowError::Invalid)?;
        if key.recognises(&self.a_prime, &self.a_bar) { Ok(shown) } else { Err(ShowError::Invalid) }
    }
}

/// The issuer's answer to a show: `A*`, `e*` and the one proof (spec 4.4).
pub(crate) struct Refresh {
    pub(crate) issued: IssuedCommitment,
    pub(crate) proof: LinearProof,
}

impl Refresh {
    /// The transcript of the issuer's proof: the show's digest, `M`, `C*` and all `(s, y)`.
    pub(crate) fn transcript(shown: &Shown, added: Option<&Point>, answers: &Digest) -> Transcript {
        let mut transcript = Transcript::new(registry::TRANSCRIPT_REFRESH);
        transcript.append("show", &shown.digest.0);
        transcript.append("M", added.map_or(&[][..], |added| added.as_bytes()));
        transcript.append_point("C*", &shown.commitment);
        transcript.append("answers", &answers.0);
        transcript
    }

    /// Signs the new commitment and proves all of it.
    pub(crate) fn answer<R: CryptoRng + ?Sized>(
        key: &IssuerKey,
        shown: &Shown,
        added: Option<&Point>,
        answers: &Digest,
        rng: &mut R,
    ) -> Result<Self, IssueError> {
        let b =
            IssuedCommitment::b(&shown.commitment, added.map(Point::element)).map_err(|_| IssueError::Degenerate)?;
        let issued = IssuedCommitment::sign(key, b)?;
        let mut transcript = Self::transcript(shown, added, answers);
        let proof = IssueProof::prove(key, &issued, Some((shown.a_prime, shown.a_bar)), &mut transcript, rng)?;
        Ok(Self { issued, proof })
    }

    /// Adds the issuer's proof to `accumulator`: what wallets and auditors check.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn accumulate(
        issuer: Point,
        shown: &Shown,
        added: Option<&Point>,
        answers: &Digest,
        a: Point,
        e: Scalar,
        proof: &LinearProof,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<Point, ShowError> {
        let b = IssuedCommitment::b(&shown.commitment, added.map(Point::element))?;
        let issued = IssuedCommitment { b, a, e };
        let mut transcript = Self::transcript(shown, added, answers);
        let shown = Some((shown.a_prime, shown.a_bar));
        IssueProof::accumulate(issuer, &issued, shown, proof, &mut transcript, weights, accumulator)?;
        Ok(b)
    }
}
