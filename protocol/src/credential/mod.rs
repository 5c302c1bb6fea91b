//! The credential: an algebraic BBS MAC over Pedersen-committed attributes, refreshed at each use (spec 4).
//!
//! Barki, Brunet, Desmoulins, Traoré, "Improved algebraic MACs and practical keyed-verification anonymous credentials"
//! (SAC 2016); Orrù, "Revisiting keyed-verification anonymous credentials" (2024); the shape of the CFRG BBS draft without
//! pairings; refresh at use as in Anonymous Credit Tokens (Katz, Schlesinger).
//!
//! ```text
//! B = G + r*H_0 + m_1*H_1 + .. + m_n*H_n          A = (x+e)^-1 * B          W = x*G
//! ```
//!
//! `m_1` is the serial: random, hidden from everybody until it is spent. The letters are the papers'.

mod issue;
mod show;

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    group::{self, Point, PublicScalar, Scalar},
    ids::ProgrammeId,
    programme::Schema,
    registry,
    secret::{SecretBytes, SecretScalar},
    transcript,
    wire::message,
};

pub(crate) use issue::{IssueProof, IssuedCommitment, OpeningProof};
pub(crate) use show::{Binding, Prover, Refresh, Shown, successor};
#[cfg(test)]
pub(crate) use show::{Points, bind_points, fold, relation};
pub use show::{Show, ShowError};

/// Generators of a schema's credentials.
#[derive(Clone, Debug)]
pub struct Parameters {
    schema_digest: [u8; 32],
    /// `H_0 .. H_n`.
    h: Vec<Point>,
}

impl Parameters {
    /// Derives `H_0 .. H_n` by hashing programme, schema, arity and index to the group (spec 3.4).
    ///
    /// The programme is part of it, so that a credential of one programme is not one of another that shares its key by mistake.
    pub fn new(programme: ProgrammeId, schema: &Schema) -> Self {
        let (schema_digest, arity) = (schema.digest(), schema.arity());
        let h = (0..=arity)
            .map(|index| {
                let mut input = programme.0.to_vec();
                input.extend_from_slice(&schema_digest);
                input.extend_from_slice(&u32::from(arity).to_le_bytes());
                input.extend_from_slice(&u32::from(index).to_le_bytes());
                Point::from_uniform(&transcript::hash_wide(registry::GENERATOR, &input))
            })
            .collect();
        Self { schema_digest, h }
    }

    /// Generators of the attacker's choice.
    #[cfg(test)]
    pub(crate) fn from_raw(schema_digest: [u8; 32], h: Vec<Point>) -> Self {
        Self { schema_digest, h }
    }

    /// The generator `H_index`.
    pub fn h(&self, index: u8) -> &Point {
        &self.h[usize::from(index)]
    }

    /// The number `n` of coordinates.
    pub fn arity(&self) -> u8 {
        (self.h.len() - 1) as u8
    }

    /// The digest of the schema that the generators belong to.
    pub(crate) fn schema_digest(&self) -> &[u8; 32] {
        &self.schema_digest
    }

    /// `sum values_i * H_(i+2)`, constant time.
    pub(crate) fn commit_values(&self, values: &[i64]) -> group::Element {
        let scalars = Zeroizing::new(values.iter().map(|value| secret_scalar_of(*value)).collect::<Vec<_>>());
        let elements: Vec<_> = self.h[2..].iter().map(|h| *h.element()).collect();
        group::combine(&scalars, &elements)
    }
}

/// A secret signed value as a scalar, without a branch on its sign.
pub(crate) fn secret_scalar_of(value: i64) -> Scalar {
    use subtle::{Choice, ConditionallySelectable};
    let negative = ((value >> 63) & 1) as u8;
    let mask = value >> 63;
    let magnitude = Scalar::from(((value ^ mask).wrapping_sub(mask)) as u64);
    Scalar::conditional_select(&magnitude, &-magnitude, Choice::from(negative))
}

/// The issuer's credential key.
pub struct IssuerKey {
    x: SecretScalar,
    e_secret: SecretBytes,
    public: Point,
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerKey({:?})", self.public)
    }
}

impl IssuerKey {
    /// A fresh key.
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_parts(SecretScalar::random(rng), SecretBytes::random(rng))
    }

    fn from_parts(x: SecretScalar, e_secret: SecretBytes) -> Self {
        let public = Point::encode(group::multiply_base(x.expose())).expect("x is not zero");
        Self { x, e_secret, public }
    }

    /// Reads a stored key: 32 bytes of `x`, 32 of the secret behind `e`.
    ///
    /// # Errors
    /// [`group::GroupError::NotAScalar`] unless `x` is canonical and not zero.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, group::GroupError> {
        let (mut x, mut e_secret) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        x.copy_from_slice(&bytes[..32]);
        e_secret.copy_from_slice(&bytes[32..]);
        let x = PublicScalar::decode(*x)?.0;
        if x == Scalar::ZERO {
            return Err(group::GroupError::NotAScalar);
        }
        Ok(Self::from_parts(SecretScalar::new(x), SecretBytes::new(*e_secret)))
    }

    /// The key's 64 bytes, for an encrypted store.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(self.x.expose().as_bytes());
        bytes[32..].copy_from_slice(self.e_secret.expose());
        bytes
    }

    /// `W = x*G`.
    pub fn public(&self) -> Point {
        self.public
    }

    /// `e = KDF(issuer secret, B)`: the same `B` always gets the same `e`, another `B` another one. Two credentials that
    /// share `e` could be combined into any attribute value.
    fn e(&self, b: &Point) -> Scalar {
        let mut input = Zeroizing::new([0u8; 64]);
        input[..32].copy_from_slice(self.e_secret.expose());
        input[32..].copy_from_slice(b.as_bytes());
        Scalar::from_bytes_mod_order_wide(&transcript::hash_wide(registry::CREDENTIAL_E, &input[..]))
    }

    /// `(A, e)` for a `B`.
    pub(crate) fn mac(&self, b: &Point) -> Result<(Point, Scalar), IssueError> {
        let e = self.e(b);
        let sum = Zeroizing::new(self.x.expose() + e);
        if *sum == Scalar::ZERO {
            return Err(IssueError::Degenerate);
        }
        let inverse = Zeroizing::new(sum.invert());
        let a = Point::encode(group::multiply(b.element(), &inverse)).map_err(|_| IssueError::Degenerate)?;
        Ok((a, e))
    }
}

/// Why the issuer cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// `x + e = 0` or `B` is the identity: the request has to be made anew.
    #[error("the request hits a degenerate value and must be made anew")]
    Degenerate,
}

/// What a wallet holds: `(A, e, r, m)` with its `B`.
#[derive(Serialize, Deserialize)]
pub struct Credential {
    pub(crate) a: Point,
    pub(crate) e: SecretScalar,
    pub(crate) r: SecretScalar,
    pub(crate) serial: SecretScalar,
    /// `m_2 .. m_n`.
    pub(crate) values: Vec<i64>,
    pub(crate) b: Point,
}

message!(Credential, STORED_CREDENTIAL);

impl Credential {
    /// The value of a coordinate from 2 on.
    pub fn value(&self, coordinate: u8) -> Option<i64> {
        self.values.get(usize::from(coordinate).checked_sub(2)?).copied()
    }

    /// Whether a serial that was spent is this credential's: its show was answered, here or by a copy of the wallet.
    pub fn has_serial(&self, spent: &PublicScalar) -> bool {
        use subtle::ConstantTimeEq as _;
        self.serial.expose().ct_eq(&spent.0).into()
    }

    /// Whether `B` is what these secrets make it.
    pub(crate) fn opens(&self, parameters: &Parameters) -> bool {
        if self.values.len() + 1 != usize::from(parameters.arity()) {
            return false;
        }
        let scalars = Zeroizing::new([*self.r.expose(), *self.serial.expose()]);
        let opened = group::combine(&*scalars, &[*parameters.h(0).element(), *parameters.h(1).element()])
            + parameters.commit_values(&self.values)
            + Point::generator().element();
        opened == *self.b.element()
    }

    /// A second copy, on purpose: a backup.
    pub fn duplicate(&self) -> Self {
        Self {
            a: self.a,
            e: self.e.duplicate(),
            r: self.r.duplicate(),
            serial: self.serial.duplicate(),
            values: self.values.clone(),
            b: self.b,
        }
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

/// A credential that awaits the issuer's `(A, e)`: everything else about it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Unsigned {
    pub(crate) r: SecretScalar,
    pub(crate) serial: SecretScalar,
    pub(crate) values: Vec<i64>,
}

impl Unsigned {
    /// Adds what the issuer contributed.
    pub(crate) fn complete(mut self, rho: &Scalar, added: &[i64], a: Point, e: Scalar, b: Point) -> Credential {
        let r = SecretScalar::new(self.r.expose() + rho);
        let mut values = std::mem::take(&mut self.values);
        values.iter_mut().zip(added).for_each(|(value, more)| *value += more);
        Credential { a, e: SecretScalar::new(e), r, serial: self.serial.duplicate(), values, b }
    }
}

impl Drop for Unsigned {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsigned(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_as_scalars() {
        for value in [0, 1, -1, 65535, -65536, i64::MAX, i64::MIN + 1, i64::MIN] {
            let expected = crate::programme::form::scalar_of(value.into());
            assert_eq!(secret_scalar_of(value), expected, "{value}");
        }
    }

    #[test]
    fn arity_and_schema_separate_generators() {
        let schema = |spares| Schema { width: 16, lapse: 1, carry: 1, spares, attributes: Vec::new() };
        let (five, six) =
            (Parameters::new(ProgrammeId::default(), &schema(0)), Parameters::new(ProgrammeId::default(), &schema(1)));
        for index in 0..=5 {
            assert_ne!(five.h(index), six.h(index));
        }
    }
}
