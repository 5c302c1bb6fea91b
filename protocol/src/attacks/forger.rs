//! A wallet that lies: an own prover of shows, with every intermediate value open to change before it is committed to.
//!
//! It repeats `credential::show::Prover` step by step without its checks; the honest draft is accepted by the real verifier
//! (asserted where it is used), so that a refusal of a changed draft is due to the change.

use super::rng;
use crate::{
    credential::{Binding, Credential, Points, Show, bind_points, fold, relation, secret_scalar_of},
    group::{self, Point, PublicScalar, Scalar},
    programme::{InForce, statement::Statement},
    range,
    secret::{SecretScalar, hedged},
};

/// A show before Fiat-Shamir.
pub(super) struct Forger<'a> {
    pub(super) view: InForce<'a>,
    pub(super) statement: &'a Statement,
    pub(super) binding: Binding<'a>,
    pub(super) r1: Scalar,
    pub(super) r2: Scalar,
    pub(super) r_new: Scalar,
    pub(super) serial_new: Scalar,
    pub(super) points: Points,
    /// The true values of the statement's forms.
    pub(super) values: Vec<i128>,
    /// The values that the range proof is made for.
    pub(super) claimed: Vec<u64>,
    pub(super) blindings: Vec<Scalar>,
    /// Replaces the `V_j` that belong to `claimed`.
    pub(super) commitments: Option<Vec<Point>>,
    /// `r1, e, r3, r`, hidden `m`, `r*, serial*`; `t` follows.
    pub(super) witness: Vec<Scalar>,
}

/// What a verifier that takes the proofs apart says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Equations (1) to (4).
    pub(super) equations: Vec<bool>,
    /// The range proof.
    pub(super) range: bool,
}

impl<'a> Forger<'a> {
    /// The honest draft, whether or not the credential satisfies the statement.
    pub(super) fn new(
        view: InForce<'a>,
        credential: &Credential,
        statement: &'a Statement,
        binding: Binding<'a>,
        seed: u64,
    ) -> Self {
        let mut rng = rng(seed);
        let mut random = || *SecretScalar::random(&mut rng).expose();
        let [r1, r2, r_new, serial_new] = std::array::from_fn(|_| random());
        let blindings = statement.nonnegative.iter().map(|_| random()).collect();
        let parameters = view.programme.parameters();
        let new: Vec<i64> =
            statement.update.iter().map(|form| form.evaluate(&credential.values).try_into().unwrap()).collect();
        let commitment = Point::encode(
            group::combine(&[r_new, serial_new], &[*parameters.h(0).element(), *parameters.h(1).element()])
                + parameters.commit_values(&new),
        );
        let (a, b, e) = (*credential.a.element(), *credential.b.element(), *credential.e.expose());
        let (a_prime, d) = (a * (r1 * r2), b * r2);
        let points = Points {
            serial: *credential.serial.expose(),
            a_prime: Point::encode(a_prime).unwrap(),
            d: Point::encode(d).unwrap(),
            a_bar: Point::encode(d * r1 - a_prime * e).unwrap(),
            commitment: commitment.unwrap(),
        };
        let values: Vec<i128> = statement.nonnegative.iter().map(|form| form.evaluate(&credential.values)).collect();
        let claimed = values.iter().map(|value| (*value).clamp(0, 65_535) as u64).collect();
        let mut witness = vec![r1, e, r2.invert(), *credential.r.expose()];
        let disclosed = |at: usize| statement.disclosed.iter().any(|(known, _)| usize::from(*known) == at);
        witness.extend(
            credential
                .values
                .iter()
                .enumerate()
                .filter(|(at, _)| !disclosed(at + 2))
                .map(|(_, m)| secret_scalar_of(*m)),
        );
        witness.extend([r_new, serial_new]);
        let commitments = None;
        Self {
            view,
            statement,
            binding,
            r1,
            r2,
            r_new,
            serial_new,
            points,
            values,
            claimed,
            blindings,
            commitments,
            witness,
        }
    }

    /// `V_j` for a value under the draft's blinding.
    pub(super) fn commit(&self, at: usize, value: i128) -> Point {
        let value = crate::programme::form::scalar_of(value);
        let blind = range::blinding_generator().element() * self.blindings[at];
        Point::encode(group::multiply_base(&value) + blind).unwrap()
    }

    /// The show, with `extra` added to the witness `t` of equation (4).
    pub(super) fn show(&self, extra: Scalar) -> Show {
        let width = self.view.header.schema.width;
        let mut transcript = self.binding.transcript(&self.view, self.statement).unwrap();
        bind_points(&mut transcript, self.statement, &self.points, width);
        let (mut range, mut values, mut powers) = (None, Vec::new(), Vec::new());
        let mut witness = self.witness.clone();
        if !self.claimed.is_empty() {
            let seed = transcript.challenge_bytes("range proof seed");
            let blindings: Vec<_> = self.blindings.iter().map(|t| SecretScalar::new(*t)).collect();
            let nonces = hedged(&[], &seed, &mut rng(95));
            let (proof, honest) = range::prove(width.into(), &self.claimed, &blindings, &seed, nonces).unwrap();
            values = self.commitments.clone().unwrap_or(honest);
            powers = fold(&mut transcript, &values, &proof);
            witness.push(self.blindings.iter().zip(&powers).map(|(t, power)| t * power).sum::<Scalar>() + extra);
            range = Some(proof);
        }
        let relation = relation(&self.view, self.statement, &self.points, &values, &powers);
        let mut nonces = hedged(&witness, &[0; 64], &mut rng(94));
        let linear = relation.prove(&witness, &mut transcript, &mut nonces);
        let Points { serial, a_prime, d, a_bar, commitment } = self.points;
        Show { serial: PublicScalar(serial), a_prime, d, a_bar, commitment, values, range, linear }
    }

    /// Takes a show of this draft apart.
    pub(super) fn verdict(&self, show: &Show) -> Verdict {
        let width = self.view.header.schema.width;
        let mut transcript = self.binding.transcript(&self.view, self.statement).unwrap();
        bind_points(&mut transcript, self.statement, &show.points(), width);
        let (mut range, mut powers) = (true, Vec::new());
        if let Some(proof) = &show.range {
            let seed = transcript.challenge_bytes("range proof seed");
            range = super::balances(|weights, accumulator| {
                range::accumulate(width.into(), &show.values, proof, &seed, weights, accumulator)
            });
            powers = fold(&mut transcript, &show.values, proof);
        }
        let relation = relation(&self.view, self.statement, &show.points(), &show.values, &powers);
        Verdict { equations: relation.equations_hold(&show.linear, &mut transcript), range }
    }

    /// Whether the real verifier takes the show's proofs; the test of `Abar = x*A'` is not part of it.
    pub(super) fn proves(&self, show: &Show) -> bool {
        super::balances(|weights, accumulator| {
            show.accumulate(&self.view, self.statement, &self.binding, weights, accumulator).map(drop)
        })
    }
}
