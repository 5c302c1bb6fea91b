//! The prover of aggregated range proofs: byte for byte what the `bulletproofs` crate makes of the same values, blindings and
//! randomness, on the same curve library as everything else, in about a third of the time. The crate is the oracle of the test.
//!
//! Bits, blindings and the vectors `s_L, s_R` meet points in constant time only. The inner-product argument runs in variable
//! time on `l = l(x)` and `r = r(x)`, as it does in the crate: the protocol of section 4.1 of the paper sends the two vectors in
//! the clear and is zero-knowledge, so they say nothing about the values.

use merlin::Transcript as Merlin;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

use super::{GENERATORS, MAX_WIDTH, RangeError, RangeProof, challenge, padded, powers};
use crate::{
    group::{self, Element, Point, Scalar},
    secret::SecretScalar,
    transcript::ByteStream,
};

type Secrets = Zeroizing<Vec<Scalar>>;

/// After how many rounds of halving the generators are computed anew: until then a round is a sum over the old ones.
const ROUNDS_BETWEEN_FOLDS: usize = 3;

fn inner_product(left: &[Scalar], right: &[Scalar]) -> Scalar {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

fn append(transcript: &mut Merlin, bytes: &mut Vec<u8>, label: &'static [u8], word: &[u8; 32]) {
    transcript.append_message(label, word);
    bytes.extend_from_slice(word);
}

fn append_element(transcript: &mut Merlin, bytes: &mut Vec<u8>, label: &'static [u8], element: &Element) {
    append(transcript, bytes, label, &element.compress().to_bytes());
}

/// `count` scalars from the stream, read at once.
fn scalars(stream: &mut ByteStream, count: usize) -> Secrets {
    let mut wide = Zeroizing::new(vec![0u8; 64 * count]);
    stream.fill(&mut wide);
    let (chunks, _) = wide.as_chunks::<64>();
    Zeroizing::new(chunks.iter().map(Scalar::from_bytes_mod_order_wide).collect())
}

/// `value*G + blinding*B_blind`, constant time.
fn commit(value: &Scalar, blinding: &Scalar) -> Element {
    let scalars = Zeroizing::new([*value, *blinding]);
    group::combine(&*scalars, &[*Point::generator().element(), *GENERATORS.blind.element()])
}

/// The commitments to bits and to their blinding vectors, and what they hide.
struct Bits {
    /// `a_L`.
    bits: Secrets,
    s_left: Secrets,
    s_right: Secrets,
    a_blinding: Zeroizing<Scalar>,
    s_blinding: Zeroizing<Scalar>,
    a: Element,
    s: Element,
}

impl Bits {
    fn new(width: usize, values: &[u64], nonces: &mut ByteStream) -> Self {
        let size = width * values.len();
        let secrets = || Zeroizing::new(Vec::with_capacity(size));
        let (mut bits, mut s_left, mut s_right): (Secrets, Secrets, Secrets) = (secrets(), secrets(), secrets());
        let (mut a_blinding, mut s_blinding) = (Zeroizing::new(Scalar::ZERO), Zeroizing::new(Scalar::ZERO));
        let (mut a, mut s) = (group::identity(), group::identity());
        for (party, value) in values.iter().enumerate() {
            let at = party * MAX_WIDTH..party * MAX_WIDTH + width;
            let (g, h) = (&GENERATORS.g[at.clone()], &GENERATORS.h[at]);
            let drawn = scalars(nonces, 2 + 2 * width);
            *a_blinding += drawn[0];
            *s_blinding += drawn[1];
            for (bit, (g, h)) in g.iter().zip(h).enumerate() {
                let bit = ((value >> bit) & 1) as u8;
                // a_L*G + (a_L - 1)*H: G for a one, -H for a zero.
                a += Element::conditional_select(&-h, g, Choice::from(bit));
                bits.push(Scalar::from(bit));
            }
            // One sum a party: its tables fit the processor's cache.
            s += group::combine(&drawn[2..], &[g, h].concat());
            s_left.extend_from_slice(&drawn[2..2 + width]);
            s_right.extend_from_slice(&drawn[2 + width..]);
        }
        let blind = GENERATORS.blind.element();
        a += group::multiply(blind, &a_blinding);
        s += group::multiply(blind, &s_blinding);
        Self { bits, s_left, s_right, a_blinding, s_blinding, a, s }
    }
}

/// `A` and `S` alone: all that the bits themselves go into.
#[cfg(any(test, feature = "hazmat"))]
pub(super) fn commit_bits(width: usize, values: &[u64], mut nonces: ByteStream) -> [Element; 2] {
    let committed = Bits::new(width, values, &mut nonces);
    [committed.a, committed.s]
}

/// Proves that `values`, padded to a power of two under zero blinding, fit `width` bits. Sizes and ranges are checked already.
pub(super) fn prove(
    width: usize,
    values: &[u64],
    blindings: &[SecretScalar],
    transcript: &mut Merlin,
    mut nonces: ByteStream,
) -> Result<(RangeProof, Vec<Point>), RangeError> {
    let parties = padded(values.len());
    let size = width * parties;
    let mut padded_values = Zeroizing::new(Vec::with_capacity(parties));
    padded_values.extend_from_slice(values);
    padded_values.resize(parties, 0);
    let mut bytes = Vec::with_capacity(RangeProof::encoded_length(width, values.len()));

    transcript.append_message(b"dom-sep", b"rangeproof v1");
    transcript.append_u64(b"n", width as u64);
    transcript.append_u64(b"m", parties as u64);
    let commitments = values
        .iter()
        .zip(blindings)
        .map(|(value, blinding)| Point::encode(commit(&Scalar::from(*value), blinding.expose())))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| RangeError::Malformed)?;
    for commitment in &commitments {
        transcript.append_message(b"V", commitment.as_bytes());
    }
    for _ in commitments.len()..parties {
        transcript.append_message(b"V", &[0; 32]);
    }
    let committed = Bits::new(width, &padded_values, &mut nonces);
    append_element(transcript, &mut bytes, b"A", &committed.a);
    append_element(transcript, &mut bytes, b"S", &committed.s);
    let y = challenge(transcript, b"y");
    let z = challenge(transcript, b"z");

    // l(X) = (a_L - z) + s_L X and r(X) = y^i (a_R + z + s_R X) + z^(2+j) 2^i, where a_R = a_L - 1.
    let zz = z * z;
    let mut left = Zeroizing::new(Vec::with_capacity(size));
    let mut right = Zeroizing::new(Vec::with_capacity(size));
    let mut right_slope = Zeroizing::new(Vec::with_capacity(size));
    let mut y_power = Scalar::ONE;
    for (party, z_power) in powers(z).take(parties).enumerate() {
        let mut z_and_2 = zz * z_power;
        for i in party * width..(party + 1) * width {
            left.push(committed.bits[i] - z);
            right.push(y_power * (committed.bits[i] - Scalar::ONE + z) + z_and_2);
            right_slope.push(y_power * committed.s_right[i]);
            y_power *= y;
            z_and_2 += z_and_2;
        }
    }
    // <l(X), r(X)> = t_0 + t_1 X + t_2 X^2
    let t_0 = Zeroizing::new(inner_product(&left, &right));
    let t_1 = Zeroizing::new(inner_product(&left, &right_slope) + inner_product(&committed.s_left, &right));
    let t_2 = Zeroizing::new(inner_product(&committed.s_left, &right_slope));
    let drawn = scalars(&mut nonces, 2 * parties);
    let t_1_blinding: Zeroizing<Scalar> = Zeroizing::new(drawn.iter().step_by(2).sum());
    let t_2_blinding: Zeroizing<Scalar> = Zeroizing::new(drawn.iter().skip(1).step_by(2).sum());
    append_element(transcript, &mut bytes, b"T_1", &commit(&t_1, &t_1_blinding));
    append_element(transcript, &mut bytes, b"T_2", &commit(&t_2, &t_2_blinding));
    let x = challenge(transcript, b"x");
    // At zero the blindings would fall away; the challenge is zero with probability 2^-252.
    if x == Scalar::ZERO || y == Scalar::ZERO {
        return Err(RangeError::Malformed);
    }

    let t_x = *t_0 + x * (*t_1 + x * *t_2);
    let value_blinding: Zeroizing<Scalar> =
        Zeroizing::new(blindings.iter().zip(powers(z)).map(|(t, z_power)| zz * z_power * t.expose()).sum());
    let t_x_blinding = *value_blinding + x * (*t_1_blinding + x * *t_2_blinding);
    let e_blinding = *committed.a_blinding + x * *committed.s_blinding;
    append(transcript, &mut bytes, b"t_x", t_x.as_bytes());
    append(transcript, &mut bytes, b"t_x_blinding", t_x_blinding.as_bytes());
    append(transcript, &mut bytes, b"e_blinding", e_blinding.as_bytes());
    let w = challenge(transcript, b"w");
    left.iter_mut().zip(committed.s_left.iter()).for_each(|(l, slope)| *l += x * slope);
    right.iter_mut().zip(right_slope.iter()).for_each(|(r, slope)| *r += x * slope);

    transcript.append_message(b"dom-sep", b"ipp v1");
    transcript.append_u64(b"n", size as u64);
    let generators = |all: &[Element]| (0..size).map(|i| all[(i / width) * MAX_WIDTH + i % width]).collect();
    let g = Folded { elements: generators(&GENERATORS.g), weights: vec![Scalar::ONE; size] };
    let h = Folded { elements: generators(&GENERATORS.h), weights: powers(y.invert()).take(size).collect() };
    argue(&w, g, h, left, right, transcript, &mut bytes);
    Ok((RangeProof(bytes), commitments))
}

/// Generators after some rounds of halving: number `i` of `n` is the sum of `weights_j * elements_j` over `j = i mod n`.
struct Folded {
    elements: Vec<Element>,
    weights: Vec<Scalar>,
}

impl Folded {
    /// The terms of `sum scalars_i * generator_(from+i)`, where `2 * scalars.len()` generators are left.
    fn terms(&self, scalars: &[Scalar], from: usize, out: &mut (Vec<Scalar>, Vec<Element>)) {
        for start in (from..self.elements.len()).step_by(2 * scalars.len()) {
            for (i, scalar) in scalars.iter().enumerate() {
                out.0.push(scalar * self.weights[start + i]);
                out.1.push(self.elements[start + i]);
            }
        }
    }

    /// Halves to `half` generators: `low * first + high * second`.
    fn fold(&mut self, half: usize, low: Scalar, high: Scalar) {
        for (j, weight) in self.weights.iter_mut().enumerate() {
            *weight *= if j & half == 0 { low } else { high };
        }
    }

    /// Computes the `count` generators that are left.
    fn compute(&mut self, count: usize) {
        let every = |i: usize| (i..self.elements.len()).step_by(count);
        self.elements = (0..count)
            .map(|i| {
                let weights: Vec<Scalar> = every(i).map(|j| self.weights[j]).collect();
                let elements: Vec<Element> = every(i).map(|j| self.elements[j]).collect();
                group::combine_vartime(&weights, &elements)
            })
            .collect();
        self.weights = vec![Scalar::ONE; count];
    }
}

/// The inner-product argument (section 3): `log2` rounds of `L, R`, then the last two scalars.
fn argue(
    w: &Scalar,
    mut g: Folded,
    mut h: Folded,
    mut a: Secrets,
    mut b: Secrets,
    transcript: &mut Merlin,
    bytes: &mut Vec<u8>,
) {
    let base = *Point::generator().element();
    let mut round = 0;
    while a.len() > 1 {
        let half = a.len() / 2;
        let ((a_low, a_high), (b_low, b_high)) = (a.split_at(half), b.split_at(half));
        let side = |a: &[Scalar], g_from: usize, b: &[Scalar], h_from: usize| {
            let mut terms = (vec![w * inner_product(a, b)], vec![base]);
            g.terms(a, g_from, &mut terms);
            h.terms(b, h_from, &mut terms);
            group::combine_vartime(&terms.0, &terms.1)
        };
        append_element(transcript, bytes, b"L", &side(a_low, half, b_high, 0));
        append_element(transcript, bytes, b"R", &side(a_high, 0, b_low, half));
        let u = challenge(transcript, b"u");
        let inverse = u.invert();
        let join = |low: &[Scalar], high: &[Scalar], x: Scalar, y: Scalar| -> Secrets {
            Zeroizing::new(low.iter().zip(high).map(|(low, high)| low * x + high * y).collect())
        };
        let (next_a, next_b) = (join(a_low, a_high, u, inverse), join(b_low, b_high, inverse, u));
        (a, b) = (next_a, next_b);
        g.fold(half, inverse, u);
        h.fold(half, u, inverse);
        round += 1;
        if round % ROUNDS_BETWEEN_FOLDS == 0 && half > 1 {
            g.compute(half);
            h.compute(half);
        }
    }
    bytes.extend_from_slice(a[0].as_bytes());
    bytes.extend_from_slice(b[0].as_bytes());
}
