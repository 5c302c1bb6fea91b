//! Internals that benches and timing checks need by themselves. Behind `hazmat`: never in a release.

#[cfg(feature = "hazmat")]
pub mod vectors;

use rand_core::CryptoRng;

use crate::{
    cohort::CohortError,
    credential::{Binding, Credential, IssueError, IssuerKey, Prover, Show, successor},
    draw::{self, DrawError, positions},
    enrol::EnrolError,
    group::{self, Accumulator, GroupError, Point, PublicScalar, Scalar},
    ids::{Digest, KeyIndex, SessionId, TicketHash},
    log::leaf::{CohortOpening, DrawLeaf, EnrolLeaf, ShowRecord},
    programme::{InForce, KeyEntry, Programme, statement::Statement},
    range::{self, RangeError, RangeProof},
    registry::{self, operation},
    secret::{SecretBytes, SecretScalar, Weights},
    transcript::Transcript,
    voucher::{
        self, Answer, Blinded, HolderProof, HolderStatement, LoggedVoucher, SessionOffer, ShownVoucher, UnblindError,
        Voucher, VoucherError,
    },
};

/// A secret signed value as a scalar.
pub fn secret_scalar_of(value: i64) -> Scalar {
    crate::credential::secret_scalar_of(value)
}

/// `A` for a `B`: the credential's MAC alone.
///
/// # Errors
/// [`IssueError`].
pub fn mac(key: &IssuerKey, b: &Point) -> Result<Point, IssueError> {
    key.mac(b).map(|(a, _)| a)
}

/// A non-zero secret as the public point `p*G`.
pub fn public_point(secret: &SecretScalar) -> Option<Point> {
    Point::encode(group::multiply_base(secret.expose())).ok()
}

/// The holder's secrets of a blinded session.
#[derive(Debug)]
pub struct BlindedSession(Vec<Blinded>);

/// Blinds an offer; the challenges are the second part.
///
/// # Errors
/// [`DrawError`] for keys that are not listed.
pub fn blind<R: CryptoRng + ?Sized>(
    view: &InForce<'_>,
    keys: &[(KeyIndex, u32)],
    offer: &SessionOffer,
    rng: &mut R,
) -> Result<(BlindedSession, Vec<PublicScalar>), DrawError> {
    let (states, challenges) = voucher::blind(&positions(view, keys)?, offer, &SecretBytes::random(rng))?;
    Ok((BlindedSession(states), challenges))
}

impl BlindedSession {
    /// Unblinds the answers.
    ///
    /// # Errors
    /// [`UnblindError`].
    pub fn unblind(&self, entries: &[KeyEntry], answers: &[Answer]) -> Result<Vec<Voucher>, UnblindError> {
        voucher::unblind(&self.0, entries, answers)
    }
}

/// Verifies one voucher without a table.
///
/// # Errors
/// [`VoucherError`].
pub fn verify_voucher(entry: &KeyEntry, shown: &ShownVoucher) -> Result<LoggedVoucher, VoucherError> {
    voucher::verify(entry, shown)
}

fn holder_statement(vouchers: &[(&KeyEntry, ShownVoucher)]) -> HolderStatement {
    let mut transcript = Transcript::new(registry::TRANSCRIPT_HOLDER);
    transcript.append("operation", &[operation::REDEEM]);
    let mut statement = HolderStatement::new(transcript);
    vouchers.iter().for_each(|(entry, shown)| statement.voucher(entry, shown));
    statement
}

/// A holder proof without a visit around it.
pub fn prove_holder<R: CryptoRng + ?Sized>(vouchers: &[(&KeyEntry, &Voucher)], rng: &mut R) -> HolderProof {
    let shown: Vec<_> = vouchers.iter().map(|(entry, voucher)| (*entry, voucher.shown)).collect();
    holder_statement(&shown).prove(vouchers.iter().map(|(_, voucher)| &voucher.secret), rng)
}

/// Verifies [`prove_holder`].
///
/// # Errors
/// [`VoucherError`].
pub fn verify_holder(vouchers: &[(&KeyEntry, ShownVoucher)], proof: &HolderProof) -> Result<(), VoucherError> {
    holder_statement(vouchers).verify(proof)
}

/// The show of a draw without its vouchers.
///
/// # Errors
/// [`DrawError`].
pub fn show_draw<R: CryptoRng + ?Sized>(
    view: &InForce<'_>,
    credential: &Credential,
    keys: &[(KeyIndex, u32)],
    rng: &mut R,
) -> Result<Show, DrawError> {
    let (statement, binding) = (Statement::draw(view, &view.units(keys)?)?, bare(keys));
    let next = successor(view, credential, &statement, &binding, rng)?;
    Ok(Prover::new(view, credential, &statement, &binding, next, rng)?.show)
}

fn bare(keys: &[(KeyIndex, u32)]) -> Binding<'_> {
    Binding {
        operation: operation::DRAW,
        session: SessionId::default(),
        keys,
        challenges: Digest::default(),
        ticket: TicketHash::default(),
        slots: Digest::default(),
    }
}

/// A range proof under random blindings, with its commitments.
///
/// # Errors
/// [`RangeError`].
pub fn prove_range<R: CryptoRng + ?Sized>(
    width: usize,
    values: &[u64],
    rng: &mut R,
) -> Result<(RangeProof, Vec<Point>), RangeError> {
    let blindings: Vec<_> = values.iter().map(|_| SecretScalar::random(rng)).collect();
    let nonces = crate::secret::hedged(&[], &[0; 64], rng);
    range::prove(width, values, &blindings, &[0; 64], nonces)
}

/// The part of [`prove_range`] that the bits themselves go into; the points are of no use.
///
/// # Errors
/// [`GroupError`] for the identity.
pub fn commit_bits<R: CryptoRng + ?Sized>(width: usize, values: &[u64], rng: &mut R) -> Result<[Point; 2], GroupError> {
    let [a, s] = range::commit_bits(width, values, crate::secret::hedged(&[], &[0; 64], rng));
    Ok([Point::encode(a)?, Point::encode(s)?])
}

/// Adds the equation of [`prove_range`] to `accumulator`.
///
/// # Errors
/// [`RangeError`].
pub fn accumulate_range(
    width: usize,
    commitments: &[Point],
    proof: &RangeProof,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), RangeError> {
    range::accumulate(width, commitments, proof, &[0; 64], weights, accumulator)
}

/// Adds the proofs of a logged draw.
///
/// # Errors
/// [`DrawError`].
pub fn accumulate_draw(
    view: &InForce<'_>,
    leaf: &DrawLeaf,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), DrawError> {
    draw::accumulate_draw(view, leaf, weights, accumulator)
}

/// Adds the proofs of a logged roll-over.
///
/// # Errors
/// [`DrawError`].
pub fn accumulate_roll_over(
    view: &InForce<'_>,
    record: &ShowRecord,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), DrawError> {
    draw::accumulate_roll_over(view, record, weights, accumulator)
}

/// Adds the proofs of a logged enrolment.
///
/// # Errors
/// [`EnrolError`].
pub fn accumulate_enrol(
    programme: &Programme,
    leaf: &EnrolLeaf,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), EnrolError> {
    leaf.accumulate(programme, weights, accumulator)
}

/// Adds logged vouchers.
///
/// # Errors
/// [`VoucherError`].
pub fn accumulate_vouchers(
    view: &InForce<'_>,
    vouchers: &[LoggedVoucher],
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), VoucherError> {
    voucher::accumulate(vouchers, |at| view.key(at), weights, accumulator)
}

/// Verifies an opening against the sum of its members' `M = B - G - C`.
///
/// # Errors
/// [`CohortError`].
pub fn accumulate_opening<'a>(
    programme: &Programme,
    opening: &CohortOpening,
    members: impl IntoIterator<Item = &'a EnrolLeaf>,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), CohortError> {
    let generator = *Point::generator().element();
    let sum = members.into_iter().map(|leaf| leaf.b.element() - generator - leaf.commitment.element()).sum();
    opening.accumulate(programme, programme.latest(), Point::encode(sum)?, weights, accumulator)
}

/// Whether `Abar = x*A'`: the only use of `x` on what a wallet sent.
pub fn recognises(key: &IssuerKey, a_prime: &Point, a_bar: &Point) -> bool {
    key.recognises(a_prime, a_bar)
}
