//! The group: ristretto255 with canonical encodings (spec 3.1). Sole user of the curve library besides `range`.
//!
//! Decoding refuses what is not canonical, and refuses the identity: no public point of the protocol is ever the identity
//! (the padded commitments of a range proof are implied, never sent). Multiplications with secret scalars go through
//! `multiply` and `combine`, which run in constant time; the `vartime` functions take public data only.

use std::{collections::HashMap, fmt};

use curve25519_dalek::{
    constants::{RISTRETTO_BASEPOINT_COMPRESSED, RISTRETTO_BASEPOINT_POINT},
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    traits::{Identity, IsIdentity, MultiscalarMul, VartimeMultiscalarMul},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use curve25519_dalek::scalar::Scalar;

/// A group element in working form, possibly the identity. Not a wire type: see [`Point`].
pub(crate) type Element = RistrettoPoint;

/// A canonical, non-identity point together with its 32-byte encoding.
#[derive(Clone, Copy)]
pub struct Point {
    element: Element,
    encoding: [u8; 32],
}

/// Why 32 bytes are not a point or a scalar of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The bytes are not the canonical encoding of a ristretto255 point.
    #[error("not a canonical point encoding")]
    NotAPoint,
    /// The identity stands where a public point is expected.
    #[error("the identity is not allowed here")]
    Identity,
    /// The bytes are not a scalar below the group order.
    #[error("not a canonical scalar encoding")]
    NotAScalar,
}

impl Point {
    /// The generator `G`.
    pub fn generator() -> Self {
        Self { element: RISTRETTO_BASEPOINT_POINT, encoding: RISTRETTO_BASEPOINT_COMPRESSED.to_bytes() }
    }

    /// Decodes 32 bytes.
    ///
    /// # Errors
    /// [`GroupError::NotAPoint`] if the bytes are not canonical, [`GroupError::Identity`] for the identity.
    pub fn decode(bytes: [u8; 32]) -> Result<Self, GroupError> {
        // The identity has this one encoding.
        if bytes == [0; 32] {
            return Err(GroupError::Identity);
        }
        let element = CompressedRistretto(bytes).decompress().ok_or(GroupError::NotAPoint)?;
        Ok(Self { element, encoding: bytes })
    }

    /// Encodes a computed element.
    ///
    /// # Errors
    /// [`GroupError::Identity`] for the identity.
    pub(crate) fn encode(element: Element) -> Result<Self, GroupError> {
        if element.is_identity() {
            return Err(GroupError::Identity);
        }
        Ok(Self { element, encoding: element.compress().to_bytes() })
    }

    /// The double of `half`, whose encoding is known already.
    pub(crate) fn from_half(half: &Element, encoding: [u8; 32]) -> Self {
        Self { element: half + half, encoding }
    }

    /// The doubles of `halves`, encoded together: one inversion for all.
    ///
    /// # Errors
    /// [`GroupError::Identity`] if one is the identity.
    pub(crate) fn encode_halves<const N: usize>(halves: [Element; N]) -> Result<[Self; N], GroupError> {
        let encodings = encode_doubled(&halves);
        if encodings.contains(&[0; 32]) {
            return Err(GroupError::Identity);
        }
        Ok(std::array::from_fn(|at| Self::from_half(&halves[at], encodings[at])))
    }

    /// Hashes 64 uniform bytes to the group by the ristretto one-way map.
    pub(crate) fn from_uniform(bytes: &[u8; 64]) -> Self {
        let element = Element::from_uniform_bytes(bytes);
        Self { element, encoding: element.compress().to_bytes() }
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.encoding
    }

    pub(crate) fn element(&self) -> &Element {
        &self.element
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.encoding == other.encoding
    }
}

impl Eq for Point {}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EncodedPoint(self.encoding).fmt(f)
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoding.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(<[u8; 32]>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// 32 bytes that claim to be a point: kept encoded until a verifier needs the element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EncodedPoint(pub [u8; 32]);

impl EncodedPoint {
    /// Decodes the bytes.
    ///
    /// # Errors
    /// As [`Point::decode`].
    pub fn decode(&self) -> Result<Point, GroupError> {
        Point::decode(self.0)
    }
}

impl From<Point> for EncodedPoint {
    fn from(point: Point) -> Self {
        Self(point.encoding)
    }
}

impl fmt::Debug for EncodedPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "point:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A public scalar on the wire: canonical, below the group order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicScalar(pub Scalar);

impl PublicScalar {
    /// Decodes 32 little-endian bytes.
    ///
    /// # Errors
    /// [`GroupError::NotAScalar`] if the value is not below the group order.
    pub fn decode(bytes: [u8; 32]) -> Result<Self, GroupError> {
        Option::from(Scalar::from_canonical_bytes(bytes)).map(Self).ok_or(GroupError::NotAScalar)
    }
}

impl fmt::Debug for PublicScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scalar:")?;
        self.0.as_bytes().iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for PublicScalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(<[u8; 32]>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The identity.
pub(crate) fn identity() -> Element {
    Element::identity()
}

/// `scalar * G`, constant time, from the precomputed table.
pub(crate) fn multiply_base(scalar: &Scalar) -> Element {
    Element::mul_base(scalar)
}

/// `scalar * element`, constant time.
pub(crate) fn multiply(element: &Element, scalar: &Scalar) -> Element {
    element * scalar
}

/// `sum scalars_i * elements_i`, constant time in the scalars.
pub(crate) fn combine(scalars: &[Scalar], elements: &[Element]) -> Element {
    debug_assert_eq!(scalars.len(), elements.len());
    match (scalars, elements) {
        ([scalar], [element]) => element * scalar,
        _ => Element::multiscalar_mul(scalars, elements),
    }
}

/// `sum scalars_i * elements_i` for public data.
pub(crate) fn combine_vartime(scalars: &[Scalar], elements: &[Element]) -> Element {
    debug_assert_eq!(scalars.len(), elements.len());
    Element::vartime_multiscalar_mul(scalars, elements)
}

/// Encodes many elements, each given as *half* of what is to be encoded: one shared inversion for all (spec 3.1).
pub(crate) fn encode_doubled(halves: &[Element]) -> Vec<[u8; 32]> {
    Element::double_and_compress_batch(halves).iter().map(CompressedRistretto::to_bytes).collect()
}

/// `a * A + b * G` for public data.
pub(crate) fn double_base_vartime(a: &Scalar, element: &Element, b: &Scalar) -> Element {
    Element::vartime_double_scalar_mul_basepoint(a, element, b)
}

/// A table for fast multiplications of one fixed public point: about 30 KB, and 1 ms to build.
pub(crate) struct Table(Box<RistrettoBasepointTable>);

impl Table {
    pub(crate) fn new(point: &Point) -> Self {
        Self(Box::new(RistrettoBasepointTable::create(&point.element)))
    }

    pub(crate) fn multiply(&self, scalar: &Scalar) -> Element {
        &*self.0 * scalar
    }
}

/// A sum of scalar multiples that must come out as the identity: what batch verification collects (spec 3.5).
///
/// Points that many proofs share (generators, keys) are merged into one term each.
#[derive(Default)]
pub struct Accumulator {
    index: HashMap<[u8; 32], usize>,
    scalars: Vec<Scalar>,
    elements: Vec<Element>,
    pub(crate) range: crate::range::GeneratorScalars,
}

/// The collected equations do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an equation of the batch does not hold")]
pub struct Unbalanced;

impl Accumulator {
    /// An empty sum.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `scalar * point` for a point that other proofs of the batch use too.
    pub(crate) fn add_shared(&mut self, point: &Point, scalar: Scalar) {
        let Point { encoding, element } = *point;
        let (scalars, elements) = (&mut self.scalars, &mut self.elements);
        let at = *self.index.entry(encoding).or_insert_with(|| {
            scalars.push(Scalar::ZERO);
            elements.push(element);
            scalars.len() - 1
        });
        self.scalars[at] += scalar;
    }

    /// Adds `scalar * element` for an element of one proof.
    pub(crate) fn add(&mut self, element: Element, scalar: Scalar) {
        self.scalars.push(scalar);
        self.elements.push(element);
    }

    /// How many terms the final multi-scalar multiplication has.
    pub fn terms(&self) -> usize {
        self.scalars.len() + self.range.terms()
    }

    /// Evaluates the sum in one multi-scalar multiplication.
    ///
    /// # Errors
    /// [`Unbalanced`] if it is not the identity.
    pub fn verify(mut self) -> Result<(), Unbalanced> {
        let range = std::mem::take(&mut self.range);
        range.drain_into(&mut self.scalars, &mut self.elements);
        if self.scalars.is_empty() || combine_vartime(&self.scalars, &self.elements).is_identity() {
            Ok(())
        } else {
            Err(Unbalanced)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_refuses_identity_and_non_canonical() {
        assert_eq!(Point::decode([0; 32]), Err(GroupError::Identity));
        assert_eq!(Point::decode([0xff; 32]), Err(GroupError::NotAPoint));
        let mut odd = *Point::generator().as_bytes();
        odd[0] ^= 1;
        assert_eq!(Point::decode(odd), Err(GroupError::NotAPoint));
        assert_eq!(Point::decode(*Point::generator().as_bytes()), Ok(Point::generator()));
    }

    #[test]
    fn scalars_are_canonical() {
        let order = hex_order();
        assert_eq!(PublicScalar::decode(order), Err(GroupError::NotAScalar));
        assert_eq!(PublicScalar::decode([0xff; 32]), Err(GroupError::NotAScalar));
        assert_eq!(PublicScalar::decode((-Scalar::ONE).to_bytes()), Ok(PublicScalar(-Scalar::ONE)));
    }

    fn hex_order() -> [u8; 32] {
        // l - 1, plus one in the lowest byte.
        let mut bytes = (-Scalar::ONE).to_bytes();
        bytes[0] += 1;
        bytes
    }

    #[test]
    fn accumulator_merges_shared_points() {
        let mut sum = Accumulator::new();
        let g = Point::generator();
        sum.add_shared(&g, Scalar::from(3u64));
        sum.add_shared(&g, Scalar::from(4u64));
        sum.add(*g.element(), -Scalar::from(7u64));
        assert_eq!(sum.terms(), 2);
        assert_eq!(sum.verify(), Ok(()));
        let mut unbalanced = Accumulator::new();
        unbalanced.add_shared(&g, Scalar::ONE);
        assert_eq!(unbalanced.verify(), Err(Unbalanced));
        assert_eq!(Accumulator::new().verify(), Ok(()));
    }
}
