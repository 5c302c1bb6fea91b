//! Issuing: the wallet's opening proof, and the issuer's proof that `(x+e)*A = B` under `W` (spec 4.2).

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{IssueError, IssuerKey, Parameters};
use crate::{
    group::{self, Accumulator, GroupError, Point, Scalar},
    secret::{SecretScalar, Weights, hedged},
    sigma::{LinearProof, ProofError, Relation},
    transcript::Transcript,
};

/// `C = r'*H_0 + serial*H_1` with a proof of its opening.
pub(crate) struct OpeningProof;

impl OpeningProof {
    pub(crate) fn relation(parameters: &Parameters, commitment: Point) -> Relation {
        let mut relation = Relation::default();
        let (r, serial) = (relation.scalar(), relation.scalar());
        let (h0, h1) = (relation.shared(*parameters.h(0)), relation.shared(*parameters.h(1)));
        let image = relation.element(commitment);
        relation.equation([(Scalar::ONE, r, h0), (Scalar::ONE, serial, h1)], [(Scalar::ONE, image)]);
        relation
    }

    /// `C` for fresh `r'` and `serial`.
    pub(crate) fn commit(
        parameters: &Parameters,
        r: &SecretScalar,
        serial: &SecretScalar,
    ) -> Result<Point, GroupError> {
        let elements = [*parameters.h(0).element(), *parameters.h(1).element()];
        Point::encode(group::combine(&[*r.expose(), *serial.expose()], &elements))
    }

    pub(crate) fn prove<R: CryptoRng + ?Sized>(
        parameters: &Parameters,
        commitment: Point,
        r: &SecretScalar,
        serial: &SecretScalar,
        transcript: &mut Transcript,
        rng: &mut R,
    ) -> LinearProof {
        let witness = Zeroizing::new(vec![*r.expose(), *serial.expose()]);
        let mut nonces = hedged(&witness, &transcript.clone().challenge_bytes("nonce"), rng);
        Self::relation(parameters, commitment).prove(&witness, transcript, &mut nonces)
    }

    pub(crate) fn accumulate(
        parameters: &Parameters,
        commitment: Point,
        proof: &LinearProof,
        transcript: &mut Transcript,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<(), ProofError> {
        Self::relation(parameters, commitment).accumulate(proof, transcript, weights, accumulator)
    }
}

/// A `B` that the issuer is about to sign, or has signed.
pub(crate) struct IssuedCommitment {
    pub(crate) b: Point,
    pub(crate) a: Point,
    pub(crate) e: Scalar,
}

impl IssuedCommitment {
    /// `B = G + C + M`, where `added` is `M`; `A` and `e` follow.
    pub(crate) fn sign(key: &IssuerKey, b: Point) -> Result<Self, IssueError> {
        let (a, e) = key.mac(&b)?;
        Ok(Self { b, a, e })
    }

    /// `G + C + M`.
    ///
    /// # Errors
    /// [`GroupError::Identity`] if the sum is the identity.
    pub(crate) fn b(commitment: &Point, added: Option<&group::Element>) -> Result<Point, GroupError> {
        let sum = Point::generator().element() + commitment.element();
        Point::encode(added.map_or(sum, |added| sum + added))
    }
}

/// The one proof of the issuer: `W = x*G`, `B - e*A = x*A`, and for a show also `Abar = x*A'`, with one nonce.
pub(crate) struct IssueProof;

impl IssueProof {
    pub(crate) fn relation(
        issuer: Point,
        issued: &IssuedCommitment,
        shown: Option<(Point, Point)>,
    ) -> Result<Relation, GroupError> {
        let mut relation = Relation::default();
        let x = relation.scalar();
        let (g, w) = (relation.shared(Point::generator()), relation.shared(issuer));
        let (a, b) = (relation.element(issued.a), relation.element(issued.b));
        relation.equation([(Scalar::ONE, x, g)], [(Scalar::ONE, w)]);
        if let Some((a_prime, a_bar)) = shown {
            let (a_prime, a_bar) = (relation.element(a_prime), relation.element(a_bar));
            relation.equation([(Scalar::ONE, x, a_prime)], [(Scalar::ONE, a_bar)]);
        }
        relation.equation([(Scalar::ONE, x, a)], [(Scalar::ONE, b), (-issued.e, a)]);
        Ok(relation)
    }

    pub(crate) fn bind(issued: &IssuedCommitment, transcript: &mut Transcript) {
        transcript.append_point("B", &issued.b);
        transcript.append_point("A", &issued.a);
        transcript.append_scalar("e", &issued.e);
    }

    pub(crate) fn prove<R: CryptoRng + ?Sized>(
        key: &IssuerKey,
        issued: &IssuedCommitment,
        shown: Option<(Point, Point)>,
        transcript: &mut Transcript,
        rng: &mut R,
    ) -> Result<LinearProof, IssueError> {
        Self::bind(issued, transcript);
        let relation = Self::relation(key.public, issued, shown).map_err(|_| IssueError::Degenerate)?;
        let witness = Zeroizing::new(vec![*key.x.expose()]);
        let mut nonces = hedged(&witness, &transcript.clone().challenge_bytes("nonce"), rng);
        Ok(relation.prove(&witness, transcript, &mut nonces))
    }

    pub(crate) fn accumulate(
        issuer: Point,
        issued: &IssuedCommitment,
        shown: Option<(Point, Point)>,
        proof: &LinearProof,
        transcript: &mut Transcript,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<(), ProofError> {
        Self::bind(issued, transcript);
        Self::relation(issuer, issued, shown)?.accumulate(proof, transcript, weights, accumulator)
    }
}

impl IssuerKey {
    /// Whether `Abar = x*A'`, in constant time: what only the issuer can tell of a show.
    pub(crate) fn recognises(&self, a_prime: &Point, a_bar: &Point) -> bool {
        use subtle::ConstantTimeEq;
        bool::from(group::multiply(a_prime.element(), self.x.expose()).ct_eq(a_bar.element()))
    }
}
