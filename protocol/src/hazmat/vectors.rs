//! Behind the test vectors: a record of every transcript and hash, and the checks that the public interface makes only as
//! parts of larger ones. `spec/vectors/README.md` describes what is written with it.

use std::cell::RefCell;

use rand_core::CryptoRng;

use crate::{
    credential::{IssueError, IssuerKey},
    draw::{accumulate_amend, accumulate_draw, accumulate_roll_over},
    group::{Accumulator, Point, PublicScalar, Scalar},
    log::leaf::{AmendLeaf, CohortOpening, DrawLeaf, EnrolLeaf, ShowRecord, SwapLeaf},
    programme::{Header, InForce, Programme, form::Affine, statement::Statement},
    range::{self, RangeProof},
    registry,
    secret::{SecretBytes, SecretScalar, Weights, hedged},
    sigma::{LinearProof, Relation},
    swap::accumulate_swap,
    ticket::Grant,
    transcript::{self, Transcript},
    voucher::LoggedVoucher,
};

// --- Record -------------------------------------------------------------------------------------------------------------

/// One item that a transcript absorbed; a challenge is an item without bytes that gives 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The item's label.
    pub label: &'static str,
    /// What was absorbed.
    pub bytes: Vec<u8>,
    /// What a challenge gave.
    pub output: Option<[u8; 64]>,
}

/// What was hashed while recording, in order of completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transcript, from its context to its last item.
    Transcript {
        /// The hash context.
        context: &'static str,
        /// Everything absorbed.
        items: Vec<Item>,
    },
    /// A hash of one byte string, 32 or 64 bytes long.
    Hash {
        /// The hash context.
        context: &'static str,
        /// What was hashed.
        input: Vec<u8>,
        /// The digest.
        output: Vec<u8>,
    },
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Event>>> = const { RefCell::new(None) };
}

/// Runs `action` and returns what was hashed on this thread meanwhile. Transcripts that gave no challenge are left out.
pub fn record<T>(action: impl FnOnce() -> T) -> (T, Vec<Event>) {
    RECORD.with_borrow_mut(|record| *record = Some(Vec::new()));
    let result = action();
    (result, RECORD.with_borrow_mut(Option::take).unwrap_or_default())
}

fn push(event: Event) {
    RECORD.with_borrow_mut(|record| {
        if let Some(events) = record {
            events.push(event);
        }
    });
}

pub(crate) fn hashed(context: &'static str, input: &[u8], output: &[u8]) {
    if RECORD.with_borrow(Option::is_some) {
        push(Event::Hash { context, input: input.to_vec(), output: output.to_vec() });
    }
}

/// The record of one transcript: written out when the transcript is dropped.
#[derive(Clone)]
pub(crate) struct Tracer {
    context: &'static str,
    items: Vec<Item>,
}

impl Tracer {
    pub(crate) fn start(context: &'static str) -> Option<Self> {
        RECORD.with_borrow(Option::is_some).then(|| Self { context, items: Vec::new() })
    }

    pub(crate) fn item(&mut self, label: &'static str, bytes: &[u8]) {
        self.items.push(Item { label, bytes: bytes.to_vec(), output: None });
    }

    pub(crate) fn challenge(&mut self, output: &[u8; 64]) {
        self.items.last_mut().into_iter().for_each(|item| item.output = Some(*output));
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.items.iter().any(|item| item.output.is_some()) {
            push(Event::Transcript { context: self.context, items: std::mem::take(&mut self.items) });
        }
    }
}

// --- Hashes and transcripts ---------------------------------------------------------------------------------------------

/// 32 bytes under a context of the registry.
pub fn hash(context: &'static str, bytes: &[u8]) -> [u8; 32] {
    transcript::hash(context, bytes)
}

/// 64 bytes under a context of the registry.
pub fn hash_wide(context: &'static str, bytes: &[u8]) -> [u8; 64] {
    transcript::hash_wide(context, bytes)
}

/// Replays items, `None` for a challenge; returns what the challenges gave.
pub fn replay(context: &'static str, items: &[(&'static str, Option<Vec<u8>>)]) -> Vec<[u8; 64]> {
    // The version item comes with every transcript: a record's own is skipped.
    let mut transcript = Transcript::new(context);
    let mut outputs = Vec::new();
    for (label, bytes) in items.iter().skip_while(|(label, _)| *label == "version") {
        match bytes {
            Some(bytes) => transcript.append(label, bytes),
            None => outputs.push(transcript.challenge_bytes(label)),
        }
    }
    outputs
}

/// 64 uniform bytes to the group.
pub fn hash_to_group(bytes: &[u8; 64]) -> Point {
    Point::from_uniform(bytes)
}

// --- Proof engine -------------------------------------------------------------------------------------------------------

/// One equation by indices: `sum coefficient * scalar * element = sum coefficient * element`.
#[derive(Clone, Debug)]
pub struct Equation {
    /// Coefficient, scalar, element.
    pub terms: Vec<(Scalar, usize, usize)>,
    /// Coefficient, element.
    pub image: Vec<(Scalar, usize)>,
}

/// A relation given by its parts.
#[derive(Clone, Debug)]
pub struct RelationParts {
    /// How many secret scalars there are.
    pub scalars: usize,
    /// The public elements.
    pub elements: Vec<Point>,
    /// The equations.
    pub equations: Vec<Equation>,
}

impl RelationParts {
    fn relation(&self) -> Relation {
        let mut relation = Relation::default();
        let scalars = relation.scalars(self.scalars);
        let elements: Vec<_> = self.elements.iter().map(|point| relation.element(*point)).collect();
        for Equation { terms, image } in &self.equations {
            relation.equation(
                terms
                    .iter()
                    .map(|(by, scalar, element)| (*by, scalars[*scalar], elements[*element]))
                    .collect::<Vec<_>>(),
                image.iter().map(|(by, element)| (*by, elements[*element])).collect::<Vec<_>>(),
            );
        }
        relation
    }

    /// The canonical description.
    pub fn description(&self) -> Vec<u8> {
        self.relation().description()
    }

    /// Proves the relation alone in a transcript.
    pub fn prove<R: CryptoRng + ?Sized>(&self, witness: &[Scalar], context: &'static str, rng: &mut R) -> LinearProof {
        let mut nonces = hedged(witness, &[0; 64], rng);
        self.relation().prove(witness, &mut Transcript::new(context), &mut nonces)
    }

    /// Verifies such a proof.
    pub fn verify<R: CryptoRng + ?Sized>(&self, proof: &LinearProof, context: &'static str, rng: &mut R) -> bool {
        settle(rng, |weights, accumulator| {
            self.relation().accumulate(proof, &mut Transcript::new(context), weights, accumulator)
        })
    }
}

/// Accumulates and settles: whether everything held.
fn settle<R: CryptoRng + ?Sized, E>(
    rng: &mut R,
    accumulate: impl FnOnce(&mut Weights, &mut Accumulator) -> Result<(), E>,
) -> bool {
    let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
    accumulate(&mut weights, &mut accumulator).is_ok() && accumulator.verify().is_ok()
}

/// Proves that values fit a width, with blindings from the generator.
///
/// # Errors
/// As the range proof's.
pub fn range_prove<R: CryptoRng + ?Sized>(
    width: usize,
    values: &[u64],
    seed: &[u8; 64],
    rng: &mut R,
) -> Result<(Vec<u8>, Vec<Point>), range::RangeError> {
    let blindings: Vec<SecretScalar> = values.iter().map(|_| SecretScalar::random(rng)).collect();
    let nonces = hedged(&[], seed, rng);
    let (proof, commitments) = range::prove(width, values, &blindings, seed, nonces)?;
    Ok((proof.as_bytes().to_vec(), commitments))
}

/// Verifies such a proof by itself.
pub fn range_verify<R: CryptoRng + ?Sized>(
    width: usize,
    commitments: &[Point],
    proof: &[u8],
    seed: &[u8; 64],
    rng: &mut R,
) -> bool {
    let proof = RangeProof(proof.to_vec());
    settle(rng, |weights, accumulator| range::accumulate(width, commitments, &proof, seed, weights, accumulator))
}

/// The range proofs' generators `(G, H)` of a party and position.
pub fn range_generators(party: usize, position: usize) -> (Point, Point) {
    range::generators(party, position)
}

// --- Statements ---------------------------------------------------------------------------------------------------------

/// The canonical description of a statement: what transcripts bind.
pub fn describe(statement: &Statement) -> Vec<u8> {
    statement.describe()
}

/// A form's constant and its terms by coordinate.
pub fn parts(form: &Affine) -> (i128, Vec<(u8, i128)>) {
    (form.constant_term(), form.terms().to_vec())
}

// --- Operations ---------------------------------------------------------------------------------------------------------

impl IssuerKey {
    /// `(A, e)` for a `B`.
    ///
    /// # Errors
    /// As an issue's.
    pub fn mac_for_vectors(&self, b: &Point) -> Result<(Point, PublicScalar), IssueError> {
        let issued = crate::credential::IssuedCommitment::sign(self, *b)?;
        Ok((issued.a, PublicScalar(issued.e)))
    }
}

/// Opens a masked grant: `rho` and the attributes.
pub fn open_grant(
    sealed: &[u8],
    mask: &SecretBytes,
    ticket: &crate::ids::TicketHash,
) -> Option<(PublicScalar, Vec<u64>)> {
    let grant = Grant::open(sealed, mask, ticket)?;
    Some((PublicScalar(grant.rho.0), grant.attributes.clone()))
}

/// Both proofs of a logged enrolment.
pub fn verify_enrol<R: CryptoRng + ?Sized>(programme: &Programme, leaf: &EnrolLeaf, rng: &mut R) -> bool {
    settle(rng, |weights, accumulator| leaf.accumulate(programme, weights, accumulator))
}

/// All proofs of a logged roll-over.
pub fn verify_roll_over<R: CryptoRng + ?Sized>(view: &InForce<'_>, record: &ShowRecord, rng: &mut R) -> bool {
    settle(rng, |weights, accumulator| accumulate_roll_over(view, record, weights, accumulator))
}

/// All proofs of a logged draw.
pub fn verify_draw<R: CryptoRng + ?Sized>(view: &InForce<'_>, leaf: &DrawLeaf, rng: &mut R) -> bool {
    settle(rng, |weights, accumulator| accumulate_draw(view, leaf, weights, accumulator))
}

/// All proofs of a logged amend.
pub fn verify_amend<R: CryptoRng + ?Sized>(view: &InForce<'_>, leaf: &AmendLeaf, rng: &mut R) -> bool {
    settle(rng, |weights, accumulator| accumulate_amend(view, leaf, weights, accumulator))
}

/// All proofs of a logged swap.
pub fn verify_swap<R: CryptoRng + ?Sized>(view: &InForce<'_>, leaf: &SwapLeaf, rng: &mut R) -> bool {
    settle(rng, |weights, accumulator| accumulate_swap(view, leaf, weights, accumulator))
}

/// A batch of logged vouchers.
pub fn verify_vouchers<R: CryptoRng + ?Sized>(view: &InForce<'_>, vouchers: &[LoggedVoucher], rng: &mut R) -> bool {
    settle(rng, |weights, accumulator| crate::voucher::accumulate(vouchers, |at| view.key(at), weights, accumulator))
}

/// An opening over the sum of its members' `M`.
pub fn verify_opening<R: CryptoRng + ?Sized>(
    programme: &Programme,
    header: &Header,
    opening: &CohortOpening,
    total: Point,
    rng: &mut R,
) -> bool {
    settle(rng, |weights, accumulator| opening.accumulate(programme, header, total, weights, accumulator))
}

/// Officers' signatures over an approved lot.
pub fn verify_lot(programme: &Programme, leaf: &crate::log::leaf::LotLeaf) -> bool {
    let bytes = crate::log::leaf::LotLeaf::signed_bytes(&programme.id(), leaf.lot, leaf.count, &leaf.root);
    crate::programme::validate::verify_officers(registry::tag::LOT, &bytes, programme.latest(), &leaf.signatures)
        .is_ok()
}
