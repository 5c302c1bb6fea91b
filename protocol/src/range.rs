//! Aggregated range proofs (spec 3.6). Sole user of the `bulletproofs` crate.
//!
//! Bünz, Bootle, Boneh, Poelstra, Wuille, Maxwell, "Bulletproofs" (S&P 2018), section 4.2, as in the `bulletproofs` crate:
//! its generators, its merlin transcript, its bytes. Proofs are made here because the crate is bound to an older
//! curve25519-dalek; verification adds the single equation of section 6.2 to an [`Accumulator`], so that many proofs and the
//! linear relations around them cost one multi-scalar multiplication. The crate is the oracle of the tests, for both.
//!
//! Relation, for `m` values (a power of two) of `n` bits: `V_j = v_j * B + t_j * B_blind` and `0 <= v_j < 2^n`.
//!
//! Padding: the list of values is filled with zeros under zero blinding, so a padded `V` is the identity and is implied by
//! both sides, never sent.

#[cfg(any(test, feature = "hazmat"))]
mod oracle;
mod prover;

use std::sync::LazyLock;

use merlin::Transcript as Merlin;
use serde::{Deserialize, Serialize};
use sha3::{
    Shake256,
    digest::{ExtendableOutput, Update, XofReader},
};

#[cfg(any(test, feature = "hazmat"))]
pub use oracle::verify_by_crate;

use crate::{
    group::{Accumulator, Element, Point, PublicScalar, Scalar},
    registry,
    secret::{SecretScalar, Weights},
    transcript::ByteStream,
};

/// The widest value in bits.
pub const MAX_WIDTH: usize = 32;
/// The most values, padding included, that one proof aggregates.
pub const MAX_VALUES: usize = 16;

/// Why a range proof cannot be made or does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// Not 8, 16 or 32 bits, or more values than one proof takes.
    #[error("unsupported width or number of values")]
    Size,
    /// A value does not fit the width.
    #[error("a value is out of range")]
    OutOfRange,
    /// The proof's bytes are malformed.
    #[error("malformed range proof")]
    Malformed,
}

/// The bytes of an aggregated proof: `(9 + 2 log2(n m)) * 32` of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProof(pub(crate) Vec<u8>);

impl RangeProof {
    /// The proof's bytes, in the `bulletproofs` crate's encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The length of a proof for `values` values (before padding) of `width` bits.
    pub fn encoded_length(width: usize, values: usize) -> usize {
        let lg = (width * padded(values)).trailing_zeros() as usize;
        (9 + 2 * lg) * 32
    }
}

/// Generators of the proof system: the crate's own, and the same chains (SHAKE256 of `"GeneratorsChain" || 'G' or 'H' ||
/// u32 party`, 64 bytes a generator through the one-way map) recomputed here, since the crate keeps half of its own private.
struct Generators {
    /// `G` and `H` of party `j`, position `i`, at `j * MAX_WIDTH + i`.
    g: Vec<Element>,
    h: Vec<Element>,
    blind: Point,
}

static GENERATORS: LazyLock<Generators> = LazyLock::new(|| {
    let chain = |vector: u8| {
        (0..MAX_VALUES as u32)
            .flat_map(|party| {
                let mut reader = Shake256::default()
                    .chain(b"GeneratorsChain")
                    .chain([vector])
                    .chain(party.to_le_bytes())
                    .finalize_xof();
                std::iter::repeat_with(move || {
                    let mut uniform = [0; 64];
                    reader.read(&mut uniform);
                    *Point::from_uniform(&uniform).element()
                })
                .take(MAX_WIDTH)
            })
            .collect()
    };
    let (g, h) = (chain(b'G'), chain(b'H'));
    let blind = bulletproofs::PedersenGens::default().B_blinding;
    let blind = Point::decode(blind.compress().to_bytes()).expect("the crate's generator is a point");
    Generators { g, h, blind }
});

/// The blinding generator `B_blind` of `PedersenGens::default()`; the value generator is `G`.
pub fn blinding_generator() -> Point {
    GENERATORS.blind
}

/// `G` and `H` of a party and position, for test vectors.
#[cfg(feature = "hazmat")]
pub(crate) fn generators(party: usize, position: usize) -> (Point, Point) {
    let encode = |element: &Element| Point::encode(*element).expect("generators are not the identity");
    let at = party * MAX_WIDTH + position;
    (encode(&GENERATORS.g[at]), encode(&GENERATORS.h[at]))
}

/// `values`, rounded up to a power of two.
pub(crate) fn padded(values: usize) -> usize {
    values.next_power_of_two()
}

fn check_size(width: usize, values: usize) -> Result<(), RangeError> {
    if matches!(width, 8 | 16 | 32) && (1..=MAX_VALUES).contains(&values) { Ok(()) } else { Err(RangeError::Size) }
}

fn merlin(seed: &[u8; 64]) -> Merlin {
    let mut transcript = Merlin::new(registry::RANGE_PROOF);
    transcript.append_message(b"seed", seed);
    transcript
}

/// Proves that `values` fit `width` bits; returns the proof and the commitments `V_j`. `seed` is the state of the surrounding transcript; `nonces` are hedged randomness.
///
/// # Errors
/// [`RangeError`] for sizes or values that cannot be proven.
pub(crate) fn prove(
    width: usize,
    values: &[u64],
    blindings: &[SecretScalar],
    seed: &[u8; 64],
    nonces: ByteStream,
) -> Result<(RangeProof, Vec<Point>), RangeError> {
    check_size(width, values.len())?;
    if values.iter().any(|value| value >> width != 0) {
        return Err(RangeError::OutOfRange);
    }
    prover::prove(width, values, blindings, &mut merlin(seed), nonces)
}

/// The part of [`prove`] that the bits themselves go into, for timing checks.
#[cfg(any(test, feature = "hazmat"))]
pub(crate) fn commit_bits(width: usize, values: &[u64], nonces: ByteStream) -> [Element; 2] {
    prover::commit_bits(width, values, nonces)
}

/// Scalars of the range proofs' own generators, merged over a batch.
#[derive(Default)]
pub(crate) struct GeneratorScalars {
    g: Vec<Scalar>,
    h: Vec<Scalar>,
}

impl GeneratorScalars {
    fn reserve(&mut self) {
        let needed = MAX_WIDTH * MAX_VALUES;
        if self.g.is_empty() {
            self.g = vec![Scalar::ZERO; needed];
            self.h = vec![Scalar::ZERO; needed];
        }
    }

    pub(crate) fn terms(&self) -> usize {
        self.g.iter().chain(&self.h).filter(|scalar| **scalar != Scalar::ZERO).count()
    }

    pub(crate) fn drain_into(self, scalars: &mut Vec<Scalar>, elements: &mut Vec<Element>) {
        let generators = GENERATORS.g.iter().chain(&GENERATORS.h);
        for (scalar, generator) in self.g.into_iter().chain(self.h).zip(generators) {
            if scalar != Scalar::ZERO {
                scalars.push(scalar);
                elements.push(*generator);
            }
        }
    }
}

/// A cursor over the 32-byte words of a proof.
struct Words<'a>(std::slice::ChunksExact<'a, u8>);

impl Words<'_> {
    fn word(&mut self) -> Result<[u8; 32], RangeError> {
        self.0.next().and_then(|word| word.try_into().ok()).ok_or(RangeError::Malformed)
    }
    fn point(&mut self) -> Result<Point, RangeError> {
        Point::decode(self.word()?).map_err(|_| RangeError::Malformed)
    }
    fn scalar(&mut self) -> Result<Scalar, RangeError> {
        PublicScalar::decode(self.word()?).map(|scalar| scalar.0).map_err(|_| RangeError::Malformed)
    }
}

fn challenge(transcript: &mut Merlin, label: &'static [u8]) -> Scalar {
    let mut wide = [0; 64];
    transcript.challenge_bytes(label, &mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// `1 + x + .. + x^(count-1)` for a power of two: `(1 + x) (1 + x^2) (1 + x^4) ..`.
fn sum_of_powers(x: Scalar, count: usize) -> Scalar {
    debug_assert!(count.is_power_of_two());
    let squares = std::iter::successors(Some(x), |power| Some(power * power));
    squares.take(count.trailing_zeros() as usize).map(|power| Scalar::ONE + power).product()
}

fn powers(x: Scalar) -> impl Iterator<Item = Scalar> {
    std::iter::successors(Some(Scalar::ONE), move |power| Some(power * x))
}

/// Adds a proof's verification equation, under fresh weights, to `accumulator`.
///
/// The two equations of the protocol (the polynomial identity and the inner product) get independent weights.
///
/// # Errors
/// [`RangeError`] if the proof is malformed or of another size; a false proof shows when the accumulator is verified.
pub(crate) fn accumulate(
    width: usize,
    commitments: &[Point],
    proof: &RangeProof,
    seed: &[u8; 64],
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), RangeError> {
    check_size(width, commitments.len())?;
    let parties = padded(commitments.len());
    let size = width * parties;
    if proof.0.len() != RangeProof::encoded_length(width, commitments.len()) {
        return Err(RangeError::Malformed);
    }
    let mut words = Words(proof.0.chunks_exact(32));
    let mut transcript = merlin(seed);
    transcript.append_message(b"dom-sep", b"rangeproof v1");
    transcript.append_u64(b"n", width as u64);
    transcript.append_u64(b"m", parties as u64);
    for commitment in commitments {
        transcript.append_message(b"V", commitment.as_bytes());
    }
    for _ in commitments.len()..parties {
        transcript.append_message(b"V", &[0; 32]);
    }
    let point = |transcript: &mut Merlin, words: &mut Words<'_>, label| {
        let point = words.point()?;
        transcript.append_message(label, point.as_bytes());
        Ok::<_, RangeError>(point)
    };
    let a_commitment = point(&mut transcript, &mut words, b"A")?;
    let s_commitment = point(&mut transcript, &mut words, b"S")?;
    let y = challenge(&mut transcript, b"y");
    let z = challenge(&mut transcript, b"z");
    let t_1 = point(&mut transcript, &mut words, b"T_1")?;
    let t_2 = point(&mut transcript, &mut words, b"T_2")?;
    let x = challenge(&mut transcript, b"x");
    let t_x = words.scalar()?;
    let t_x_blinding = words.scalar()?;
    let e_blinding = words.scalar()?;
    transcript.append_message(b"t_x", t_x.as_bytes());
    transcript.append_message(b"t_x_blinding", t_x_blinding.as_bytes());
    transcript.append_message(b"e_blinding", e_blinding.as_bytes());
    let w = challenge(&mut transcript, b"w");

    transcript.append_message(b"dom-sep", b"ipp v1");
    transcript.append_u64(b"n", size as u64);
    let rounds = size.trailing_zeros() as usize;
    let (mut left, mut right, mut u) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        left.push(point(&mut transcript, &mut words, b"L")?);
        right.push(point(&mut transcript, &mut words, b"R")?);
        u.push(challenge(&mut transcript, b"u"));
    }
    let a = words.scalar()?;
    let b = words.scalar()?;

    // Challenges are zero with probability 2^-252; their inverses, and the inverse of y, share one inversion.
    let mut inverses = u.clone();
    inverses.push(y);
    if inverses.contains(&Scalar::ZERO) {
        return Err(RangeError::Malformed);
    }
    Scalar::invert_batch_alloc(&mut inverses);
    let y_inverse = inverses.pop().expect("just pushed");
    let all_inverse: Scalar = inverses.iter().product();
    let u_squared: Vec<Scalar> = u.iter().map(|u| u * u).collect();
    let u_inverse_squared: Vec<Scalar> = inverses.iter().map(|u| u * u).collect();
    // `outer` weighs the inner-product equation, `inner` the polynomial identity.
    let (outer, inner) = (weights.next(), weights.next());
    // `first * s_i`, where `s_i` is the product of all `u_k` or `1/u_k`, by the bits of `i`.
    let multiples_of_s = |first: Scalar| {
        let mut s = Vec::with_capacity(size);
        s.push(first * all_inverse);
        for i in 1..size {
            let level = i.ilog2() as usize;
            s.push(s[i - (1 << level)] * u_squared[rounds - 1 - level]);
        }
        s
    };
    let (a_s, b_s) = (multiples_of_s(outer * a), multiples_of_s(b));
    let (zz, outer_z) = (z * z, outer * z);
    accumulator.range.reserve();
    let (mut y_power, mut z_power) = (outer, zz);
    for party in 0..parties {
        let mut z_and_2 = z_power;
        for bit in 0..width {
            let (i, at) = (party * width + bit, party * MAX_WIDTH + bit);
            accumulator.range.g[at] -= outer_z + a_s[i];
            accumulator.range.h[at] += outer_z + y_power * (z_and_2 - b_s[size - 1 - i]);
            y_power *= y_inverse;
            z_and_2 += z_and_2;
        }
        z_power *= z;
    }
    let delta =
        (z - zz) * sum_of_powers(y, size) - zz * z * Scalar::from((1u64 << width) - 1) * sum_of_powers(z, parties);
    accumulator.add_shared(&Point::generator(), outer * w * (t_x - a * b) + inner * (delta - t_x));
    accumulator.add_shared(&GENERATORS.blind, -(outer * e_blinding + inner * t_x_blinding));
    accumulator.add(*a_commitment.element(), outer);
    accumulator.add(*s_commitment.element(), outer * x);
    accumulator.add(*t_1.element(), inner * x);
    accumulator.add(*t_2.element(), inner * x * x);
    for ((l, r), (u_squared, u_inverse_squared)) in
        left.iter().zip(&right).zip(u_squared.iter().zip(&u_inverse_squared))
    {
        accumulator.add(*l.element(), outer * u_squared);
        accumulator.add(*r.element(), outer * u_inverse_squared);
    }
    // The relation around a range proof uses its commitments too.
    for (commitment, z_power) in commitments.iter().zip(powers(z)) {
        accumulator.add_shared(commitment, inner * zz * z_power);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{
        ChaCha20Rng,
        rand_core::{Rng, SeedableRng},
    };

    struct Case {
        width: usize,
        points: Vec<Point>,
        proof: RangeProof,
        seed: [u8; 64],
    }

    fn case(width: usize, values: &[u64], rng: &mut ChaCha20Rng) -> Case {
        let blindings: Vec<_> = values.iter().map(|_| SecretScalar::random(rng)).collect();
        let seed = [width as u8; 64];
        let nonces = crate::secret::hedged(&[], &seed, rng);
        let (proof, points) = prove(width, values, &blindings, &seed, nonces).unwrap();
        Case { width, points, proof, seed }
    }

    fn ours(case: &Case, rng: &mut ChaCha20Rng) -> bool {
        let mut accumulator = Accumulator::new();
        accumulate(case.width, &case.points, &case.proof, &case.seed, &mut Weights::new(rng), &mut accumulator).is_ok()
            && accumulator.verify().is_ok()
    }

    /// The batch verifier and the crate agree on true proofs of all sizes and on every mutated word of some.
    #[test]
    fn agrees_with_the_crate() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for width in [8, 16, 32] {
            for count in [1, 2, 3, 4, 5, 7, 8, 9] {
                let values: Vec<u64> = (0..count).map(|i| if i % 2 == 0 { (1 << width) - 1 } else { i }).collect();
                let mut case = case(width, &values, &mut rng);
                assert_eq!(case.proof.0.len(), RangeProof::encoded_length(width, values.len()));
                assert!(
                    ours(&case, &mut rng)
                        && verify_by_crate(width, &case.points, &case.proof, &case.seed, &mut rng).is_ok()
                );
                if width == 16 && count <= 3 {
                    for at in (0..case.proof.0.len()).step_by(16) {
                        case.proof.0[at] ^= 1;
                        let theirs = verify_by_crate(width, &case.points, &case.proof, &case.seed, &mut rng).is_ok();
                        assert!(!ours(&case, &mut rng) && !theirs, "byte {at}");
                        case.proof.0[at] ^= 1;
                    }
                    case.seed[0] ^= 1;
                    assert!(!ours(&case, &mut rng));
                    case.seed[0] ^= 1;
                    case.points[0] = Point::generator();
                    assert!(!ours(&case, &mut rng));
                }
            }
        }
    }

    /// Proofs are the crate's own, byte for byte: same values, blindings and randomness, padding included.
    #[test]
    fn proves_what_the_crate_proves() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        for width in [8, 16, 32] {
            for count in [1, 2, 3, 4, 7, 8, 16] {
                let values: Vec<u64> = (0..count)
                    .map(|i| match i % 3 {
                        0 => (1 << width) - 1,
                        1 => 0,
                        _ => rng.next_u64() & ((1 << width) - 1),
                    })
                    .collect();
                let blindings: Vec<_> = values.iter().map(|_| SecretScalar::random(&mut rng)).collect();
                let seed = [count as u8; 64];
                let nonces = || ByteStream::new(registry::NONCE, &[&[width as u8, count as u8]]);
                let ours = prove(width, &values, &blindings, &seed, nonces()).unwrap();
                assert_eq!(
                    ours,
                    oracle::prove_by_crate(width, &values, &blindings, &seed, nonces()),
                    "{width} x {count}"
                );
            }
        }
    }

    #[test]
    fn many_proofs_share_one_multiplication() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut accumulator = Accumulator::new();
        let mut weights = Weights::new(&mut rng);
        for i in 0..5 {
            let case = case(16, &vec![i; 1 + i as usize], &mut rng);
            accumulate(16, &case.points, &case.proof, &case.seed, &mut weights, &mut accumulator).unwrap();
        }
        assert_eq!(accumulator.verify(), Ok(()));
    }

    #[test]
    fn out_of_range_values_have_no_proof() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let blinding = [SecretScalar::random(&mut rng)];
        let nonces = crate::secret::hedged(&[], &[0; 64], &mut rng);
        assert_eq!(prove(16, &[1 << 16], &blinding, &[0; 64], nonces), Err(RangeError::OutOfRange));
        let nonces = crate::secret::hedged(&[], &[0; 64], &mut rng);
        assert_eq!(prove(17, &[1], &blinding, &[0; 64], nonces), Err(RangeError::Size));
    }
}
