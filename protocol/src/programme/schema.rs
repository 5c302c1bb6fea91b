//! The shape of a programme's credentials: which coordinates there are, and how wide (spec 4.1).

use serde::{Deserialize, Serialize};

use crate::{registry, transcript};

/// Coordinate of the serial.
pub const SERIAL: u8 = 1;
/// Coordinate of the last round in which the credential may roll over.
pub const EXPIRES: u8 = 2;
/// Coordinate of the last round rolled over.
pub const DRAWN: u8 = 3;
const FIRST_STATE: u8 = 4;

/// The schema of a programme, fixed in its genesis.
///
/// Coordinates, in order: serial, expires, drawn; a balance for each lapse line; a debit for each carry line; spares; the
/// programme attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Bits of every value that is range-proven: 16 or 32.
    pub width: u8,
    /// State coordinates of lapse lines.
    pub lapse: u8,
    /// State coordinates of carry lines.
    pub carry: u8,
    /// State coordinates that later lines may use.
    pub spares: u8,
    /// The programme attributes.
    pub attributes: Vec<Attribute>,
}

/// A programme attribute: a small number about a household.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The smallest value a wallet accepts.
    pub min: u64,
    /// The largest value a wallet accepts.
    pub max: u64,
}

impl Schema {
    /// The number `n` of coordinates.
    pub fn arity(&self) -> u8 {
        FIRST_STATE - 1 + self.states() + u8::try_from(self.attributes.len()).expect("checked by validation")
    }

    /// The number of state coordinates, spares included.
    pub fn states(&self) -> u8 {
        self.lapse + self.carry + self.spares
    }

    /// The coordinate of a state (0-based).
    pub fn state(&self, at: u8) -> u8 {
        FIRST_STATE + at
    }

    /// The coordinate of a programme attribute (0-based).
    pub fn attribute(&self, at: u8) -> u8 {
        FIRST_STATE + self.states() + at
    }

    /// `2^width`.
    pub fn limit(&self) -> i128 {
        1 << self.width
    }

    /// The digest that every generator label contains.
    pub fn digest(&self) -> [u8; 32] {
        transcript::hash(registry::SCHEMA, &postcard::to_stdvec(self).expect("writing to memory cannot fail"))
    }

    /// Whether `values` are as many as there are attributes, each in its range.
    pub fn admits(&self, values: &[u64]) -> bool {
        values.len() == self.attributes.len()
            && values
                .iter()
                .zip(&self.attributes)
                .all(|(value, attribute)| (attribute.min..=attribute.max).contains(value))
    }
}
