//! Affine forms: over programme attributes (what a manifest says) and over credential coordinates (what a proof says).

use serde::{Deserialize, Serialize};

use super::schema::Schema;
use crate::group::Scalar;

/// `constant + sum coefficient * attribute`, over the programme attributes of the schema (0-based).
///
/// Accrual forms have coefficients >= 0; predicates may have any sign.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Form {
    /// The constant term.
    pub constant: i64,
    /// `(attribute, coefficient)`, strictly ascending by attribute, coefficients not zero.
    pub terms: Vec<(u8, i64)>,
}

impl Form {
    /// The form's value for given programme attributes, or `None` if an attribute is missing.
    pub fn evaluate(&self, attributes: &[u64]) -> Option<i128> {
        self.terms.iter().try_fold(i128::from(self.constant), |sum, (at, coefficient)| {
            Some(sum + i128::from(*coefficient) * i128::from(*attributes.get(usize::from(*at))?))
        })
    }

    /// The largest value over the schema's ranges.
    pub(crate) fn maximum(&self, schema: &Schema) -> i128 {
        self.terms.iter().fold(i128::from(self.constant), |sum, (at, coefficient)| {
            let attribute = &schema.attributes[usize::from(*at)];
            let at_bound = if *coefficient > 0 { attribute.max } else { attribute.min };
            sum + i128::from(*coefficient) * i128::from(at_bound)
        })
    }

    /// Whether the terms are sorted, distinct, non-zero and within the schema.
    pub(crate) fn is_well_formed(&self, schema: &Schema) -> bool {
        self.terms.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self
                .terms
                .iter()
                .all(|(at, coefficient)| usize::from(*at) < schema.attributes.len() && *coefficient != 0)
    }

    /// Whether no coefficient and no constant is negative.
    pub(crate) fn is_monotone(&self) -> bool {
        self.constant >= 0 && self.terms.iter().all(|(_, coefficient)| *coefficient > 0)
    }
}

/// `constant + sum coefficient * m_i` over the coordinates of a credential (1-based, `m_1` the serial never occurs).
///
/// Every value it takes on valid credentials stays below 2^100 in absolute value, so nothing wraps around the group order
/// (spec 6.4).
#[derive(Clone, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Affine {
    constant: i128,
    /// Strictly ascending by coordinate, coefficients not zero.
    terms: Vec<(u8, i128)>,
}

impl Affine {
    /// A constant.
    pub fn constant(value: i128) -> Self {
        Self { constant: value, terms: Vec::new() }
    }

    /// A single coordinate.
    pub fn coordinate(at: u8) -> Self {
        Self { constant: 0, terms: vec![(at, 1)] }
    }

    /// A manifest form, lifted to the credential's coordinates.
    pub fn from_form(form: &Form, schema: &Schema) -> Self {
        form.terms.iter().fold(Self::constant(form.constant.into()), |sum, (at, coefficient)| {
            sum.plus_term(schema.attribute(*at), i128::from(*coefficient))
        })
    }

    fn plus_term(mut self, at: u8, coefficient: i128) -> Self {
        match self.terms.binary_search_by_key(&at, |term| term.0) {
            Ok(found) => {
                self.terms[found].1 += coefficient;
                if self.terms[found].1 == 0 {
                    self.terms.remove(found);
                }
            }
            Err(insert) if coefficient != 0 => self.terms.insert(insert, (at, coefficient)),
            Err(_) => {}
        }
        self
    }

    /// The sum of two forms.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let constant = self.constant + other.constant;
        let sum = other.terms.iter().fold(self, |sum, (at, coefficient)| sum.plus_term(*at, *coefficient));
        Self { constant, ..sum }
    }

    /// The difference of two forms.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        let negated = Self {
            constant: -other.constant,
            terms: other.terms.iter().map(|(at, coefficient)| (*at, -coefficient)).collect(),
        };
        self.plus(&negated)
    }

    /// The sum of a form and a constant.
    #[must_use]
    pub fn plus_constant(mut self, value: i128) -> Self {
        self.constant += value;
        self
    }

    /// The form with one coordinate replaced by its value.
    pub(crate) fn substitute(mut self, at: u8, value: i64) -> Self {
        if let Ok(found) = self.terms.binary_search_by_key(&at, |term| term.0) {
            let (_, coefficient) = self.terms.remove(found);
            self.constant += coefficient * i128::from(value);
        }
        self
    }

    pub(crate) fn constant_term(&self) -> i128 {
        self.constant
    }

    pub(crate) fn terms(&self) -> &[(u8, i128)] {
        &self.terms
    }

    /// The value for the coordinates `m_2..m_n` given from index 2 on; no secret-dependent branch or look-up.
    pub(crate) fn evaluate(&self, values_from_2: &[i64]) -> i128 {
        self.terms.iter().fold(self.constant, |sum, (at, coefficient)| {
            sum + coefficient * i128::from(values_from_2[usize::from(*at) - 2])
        })
    }

    /// Appends the canonical description (spec 6.4): constant and terms, little-endian, 16-byte two's complement.
    pub(crate) fn describe(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.constant.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.terms.len()).expect("at most one term a coordinate").to_le_bytes());
        for (at, coefficient) in &self.terms {
            bytes.push(*at);
            bytes.extend_from_slice(&coefficient.to_le_bytes());
        }
    }
}

/// A public signed integer as a scalar modulo the group order.
pub(crate) fn scalar_of(value: i128) -> Scalar {
    let magnitude = Scalar::from(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affine_arithmetic() {
        let x = Affine::coordinate(4).plus(&Affine::coordinate(5)).plus_constant(-3);
        assert_eq!(x.evaluate(&[0, 0, 10, 20]), 27);
        let y = x.clone().minus(&Affine::coordinate(4));
        assert_eq!(y.terms(), &[(5, 1)]);
        assert_eq!(x.minus(&y), Affine::coordinate(4));
        assert_eq!(scalar_of(-5) + Scalar::from(5u64), Scalar::ZERO);
    }
}
