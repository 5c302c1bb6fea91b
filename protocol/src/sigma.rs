//! Non-interactive proofs of linear relations in the group (spec 3.5).
//!
//! Maurer, "Unifying zero-knowledge proofs of knowledge" (Africacrypt 2009); batchable form as in the CFRG draft
//! `draft-irtf-cfrg-sigma-protocols`: the commitments are sent, not the challenge, so that all equations of many proofs can be
//! checked in one multi-scalar multiplication.
//!
//! Relation, for secret scalars `x`, public elements `P` and public coefficients `a, b`:
//!
//! ```text
//! equation q:   sum_t  a_t * x_var(t) * P_el(t)  =  sum_s  b_s * P_el(s)
//! ```
//!
//! Prover: nonces `k`, commitments `T_q = sum_t a_t * k_var(t) * P_el(t)`, challenge `c`, responses `z = k + c x`.
//! Verifier: `sum_t a_t * z_var(t) * P_el(t) - T_q - c * sum_s b_s * P_el(s) = 0` for every `q`.
//!
//! Transcript: the relation itself (all elements and coefficients), the commitments, the challenge, the responses. A relation
//! that left out a public element could therefore not be stated, let alone proven.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    group::{self, Accumulator, Element, EncodedPoint, GroupError, Point, PublicScalar, Scalar},
    secret::Weights,
    transcript::{ByteStream, Transcript},
};

/// A secret scalar of a relation.
#[derive(Clone, Copy)]
pub(crate) struct ScalarVar(usize);

/// A public element of a relation.
#[derive(Clone, Copy)]
pub(crate) struct ElementVar(usize);

/// One equation: `sum coefficient * scalar * element = image`.
#[derive(Default)]
struct Equation {
    terms: Vec<(Scalar, ScalarVar, ElementVar)>,
    image: Vec<(Scalar, ElementVar)>,
}

/// A linear relation between secret scalars and public elements.
#[derive(Default)]
pub(crate) struct Relation {
    scalars: usize,
    elements: Vec<(Point, bool)>,
    equations: Vec<Equation>,
}

/// A proof: a commitment an equation and a response a secret scalar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearProof {
    pub(crate) commitments: Vec<EncodedPoint>,
    pub(crate) responses: Vec<PublicScalar>,
}

/// Why a proof cannot be checked. A false proof shows when the accumulator is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Other numbers of commitments or responses than the relation has.
    #[error("the proof is not of this relation's size")]
    Size,
    /// A commitment is not a point.
    #[error("a commitment of the proof is not a point")]
    Commitment(#[from] GroupError),
}

impl Relation {
    pub(crate) fn scalar(&mut self) -> ScalarVar {
        self.scalars += 1;
        ScalarVar(self.scalars - 1)
    }

    pub(crate) fn scalars(&mut self, count: usize) -> Vec<ScalarVar> {
        (0..count).map(|_| self.scalar()).collect()
    }

    /// An element of this proof alone.
    pub(crate) fn element(&mut self, point: Point) -> ElementVar {
        self.elements.push((point, false));
        ElementVar(self.elements.len() - 1)
    }

    /// An element that other proofs of a batch share: a generator, a key, a commitment that a range proof is about.
    pub(crate) fn shared(&mut self, point: Point) -> ElementVar {
        self.elements.push((point, true));
        ElementVar(self.elements.len() - 1)
    }

    /// Adds an equation.
    pub(crate) fn equation(
        &mut self,
        terms: impl IntoIterator<Item = (Scalar, ScalarVar, ElementVar)>,
        image: impl IntoIterator<Item = (Scalar, ElementVar)>,
    ) {
        self.equations.push(Equation { terms: terms.into_iter().collect(), image: image.into_iter().collect() });
    }

    /// The canonical description (spec 3.5): counts, elements, and every equation's terms and image, little-endian.
    pub(crate) fn description(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2048);
        let count = |bytes: &mut Vec<u8>, value: usize| {
            bytes.extend_from_slice(&u32::try_from(value).expect("relations are small").to_le_bytes());
        };
        count(&mut bytes, self.scalars);
        count(&mut bytes, self.elements.len());
        for (point, _) in &self.elements {
            bytes.extend_from_slice(point.as_bytes());
        }
        count(&mut bytes, self.equations.len());
        for equation in &self.equations {
            count(&mut bytes, equation.terms.len());
            for (coefficient, scalar, element) in &equation.terms {
                count(&mut bytes, scalar.0);
                count(&mut bytes, element.0);
                bytes.extend_from_slice(coefficient.as_bytes());
            }
            count(&mut bytes, equation.image.len());
            for (coefficient, element) in &equation.image {
                count(&mut bytes, element.0);
                bytes.extend_from_slice(coefficient.as_bytes());
            }
        }
        bytes
    }

    /// Half of each commitment, in constant time in `nonces`: [`group::encode_doubled`] doubles while it encodes.
    fn half_commitments(&self, nonces: &[Scalar]) -> Vec<Element> {
        self.equations
            .iter()
            .map(|equation| {
                // One scalar an element: which elements occur is public.
                let mut order: Vec<usize> = Vec::with_capacity(equation.terms.len());
                let mut scalars = Zeroizing::new(Vec::with_capacity(equation.terms.len()));
                for (coefficient, scalar, element) in &equation.terms {
                    let term = coefficient * nonces[scalar.0];
                    match order.iter().position(|known| *known == element.0) {
                        Some(at) => scalars[at] += term,
                        None => {
                            order.push(element.0);
                            scalars.push(term);
                        }
                    }
                }
                scalars.iter_mut().for_each(|scalar| *scalar = scalar.div_by_2());
                let elements: Vec<Element> = order.iter().map(|at| *self.elements[*at].0.element()).collect();
                group::combine(&scalars, &elements)
            })
            .collect()
    }

    /// Proves the relation for `witness`, the secret scalars in the order in which they were allocated.
    ///
    /// `nonces` is hedged randomness (spec 3.3). Constant time in the witness. A witness that does not satisfy the relation
    /// gives a proof that does not verify.
    pub(crate) fn prove(
        &self,
        witness: &[Scalar],
        transcript: &mut Transcript,
        nonces: &mut ByteStream,
    ) -> LinearProof {
        assert_eq!(witness.len(), self.scalars, "one value a scalar of the relation");
        let nonces = Zeroizing::new((0..self.scalars).map(|_| nonces.scalar()).collect::<Vec<_>>());
        let commitments: Vec<EncodedPoint> =
            group::encode_doubled(&self.half_commitments(&nonces)).into_iter().map(EncodedPoint).collect();
        let challenge = self.challenge(&commitments, transcript);
        let responses = nonces.iter().zip(witness).map(|(k, x)| PublicScalar(k + challenge * x)).collect();
        let proof = LinearProof { commitments, responses };
        proof.append_responses(transcript);
        proof
    }

    pub(crate) fn challenge(&self, commitments: &[EncodedPoint], transcript: &mut Transcript) -> Scalar {
        transcript.append("relation", &self.description());
        for commitment in commitments {
            transcript.append("commitment", &commitment.0);
        }
        transcript.challenge_scalar("challenge")
    }

    /// Which equations of a proof hold, each by itself: shows that an attack breaks the one that it is meant to break.
    #[cfg(test)]
    pub(crate) fn equations_hold(&self, proof: &LinearProof, transcript: &mut Transcript) -> Vec<bool> {
        assert_eq!((proof.commitments.len(), proof.responses.len()), (self.equations.len(), self.scalars));
        let challenge = self.challenge(&proof.commitments, transcript);
        let responses: Vec<Scalar> = proof.responses.iter().map(|z| z.0).collect();
        let sides = self.left_hand_sides(&responses).into_iter().zip(self.right_hand_sides());
        sides
            .zip(&proof.commitments)
            .map(|((left, right), commitment)| {
                commitment.decode().is_ok_and(|commitment| left == commitment.element() + right * challenge)
            })
            .collect()
    }

    /// The left-hand side of each equation for given scalars.
    #[cfg(test)]
    pub(crate) fn left_hand_sides(&self, scalars: &[Scalar]) -> Vec<Element> {
        let term = |(by, scalar, at): &(Scalar, ScalarVar, ElementVar)| {
            self.elements[at.0].0.element() * (by * scalars[scalar.0])
        };
        self.equations.iter().map(|equation| equation.terms.iter().map(term).sum()).collect()
    }

    /// The right-hand side of each equation.
    #[cfg(test)]
    pub(crate) fn right_hand_sides(&self) -> Vec<Element> {
        let term = |(by, at): &(Scalar, ElementVar)| self.elements[at.0].0.element() * by;
        self.equations.iter().map(|equation| equation.image.iter().map(term).sum()).collect()
    }

    /// Adds every equation, each under a weight of its own, to `accumulator`.
    ///
    /// # Errors
    /// [`ProofError`] if the proof is not of this relation's shape.
    pub(crate) fn accumulate(
        &self,
        proof: &LinearProof,
        transcript: &mut Transcript,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<(), ProofError> {
        if proof.commitments.len() != self.equations.len() || proof.responses.len() != self.scalars {
            return Err(ProofError::Size);
        }
        let commitments = proof.commitments.iter().map(EncodedPoint::decode).collect::<Result<Vec<_>, GroupError>>()?;
        let challenge = self.challenge(&proof.commitments, transcript);
        proof.append_responses(transcript);
        let mut totals = vec![Scalar::ZERO; self.elements.len()];
        for (equation, commitment) in self.equations.iter().zip(&commitments) {
            let weight = weights.next();
            for (coefficient, scalar, element) in &equation.terms {
                totals[element.0] -= weight * coefficient * proof.responses[scalar.0].0;
            }
            let weighted_challenge = weight * challenge;
            for (coefficient, element) in &equation.image {
                totals[element.0] += weighted_challenge * coefficient;
            }
            // The commitment keeps the short weight itself: half the work of a full-size scalar.
            accumulator.add(*commitment.element(), weight);
        }
        for ((point, shared), total) in self.elements.iter().zip(totals) {
            if *shared {
                accumulator.add_shared(point, total);
            } else {
                accumulator.add(*point.element(), total);
            }
        }
        Ok(())
    }
}

impl LinearProof {
    fn append_responses(&self, transcript: &mut Transcript) {
        for response in &self.responses {
            transcript.append_scalar("response", &response.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry, secret};
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    fn point(i: u64) -> Point {
        Point::from_uniform(&crate::transcript::hash_wide(registry::GENERATOR, &i.to_le_bytes()))
    }

    /// `x*P + y*Q = I1`, `x*Q - 2y*P = I2`, `x*P + x*Q = I3`.
    fn relation(x: Scalar, y: Scalar) -> Relation {
        let two = Scalar::from(2u64);
        let (p, q) = (point(1), point(2));
        let (mut relation, one) = (Relation::default(), Scalar::ONE);
        let (sx, sy) = (relation.scalar(), relation.scalar());
        let (ep, eq) = (relation.shared(p), relation.element(q));
        let (p, q) = (p.element(), q.element());
        let images = [p * x + q * y, q * x - p * (two * y), (p + q) * x].map(|image| Point::encode(image).unwrap());
        let images = images.map(|image| relation.element(image));
        relation.equation([(one, sx, ep), (one, sy, eq)], [(one, images[0])]);
        relation.equation([(one, sx, eq), (-two, sy, ep)], [(one, images[1])]);
        relation.equation([(one, sx, ep), (one, sx, eq)], [(one, images[2])]);
        relation
    }

    fn prove(relation: &Relation, x: Scalar, y: Scalar) -> LinearProof {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut nonces = secret::hedged(&[x, y], &[0; 64], &mut rng);
        relation.prove(&[x, y], &mut Transcript::new(registry::TRANSCRIPT_ENROL), &mut nonces)
    }

    fn verifies(relation: &Relation, proof: &LinearProof) -> bool {
        let mut rng = ChaCha20Rng::seed_from_u64(8);
        let (mut weights, mut accumulator) = (Weights::new(&mut rng), Accumulator::new());
        let mut transcript = Transcript::new(registry::TRANSCRIPT_ENROL);
        relation.accumulate(proof, &mut transcript, &mut weights, &mut accumulator).is_ok()
            && accumulator.verify().is_ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn complete_and_sound_under_mutation(a in 1u64.., b in 1u64..) {
            let (x, y) = (Scalar::from(a), Scalar::from(b));
            let honest = relation(x, y);
            let proof = prove(&honest, x, y);
            prop_assert!(verifies(&honest, &proof));
            prop_assert!(!verifies(&honest, &prove(&honest, x + Scalar::ONE, y)));
            prop_assert!(!verifies(&relation(x + Scalar::ONE, y), &proof));
            for at in 0..3 {
                let mut bad = proof.clone();
                bad.commitments[at] = (point(9)).into();
                prop_assert!(!verifies(&honest, &bad));
            }
            for at in 0..2 {
                let mut bad = proof.clone();
                bad.responses[at].0 += Scalar::ONE;
                prop_assert!(!verifies(&honest, &bad));
            }
            let mut bad = proof.clone();
            bad.commitments.pop();
            prop_assert!(!verifies(&honest, &bad));
            bad = proof.clone();
            bad.responses.push(PublicScalar(Scalar::ONE));
            prop_assert!(!verifies(&honest, &bad));
        }
    }

    /// Each equation carries weight: leaving the image of any one wrong fails.
    #[test]
    fn every_equation_counts() {
        let (x, y) = (Scalar::from(3u64), Scalar::from(5u64));
        for at in 0..3 {
            let mut wrong = relation(x, y);
            let image = wrong.equations[at].image[0].1.0;
            wrong.elements[image].0 = point(11);
            assert!(!verifies(&wrong, &prove(&wrong, x, y)));
        }
    }
}
