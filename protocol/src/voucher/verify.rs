//! Verification of vouchers, single and batched (spec 5.5).
//!
//! The two equations `Y' = y'*X` and `s'*G = R' + c'*Y'` are checked as
//!
//! ```text
//! gamma * (Y' - y'*X)  +  beta * (R' + c'*y'*X - s'*G)  =  0
//! ```
//!
//! with two independent 128-bit weights a voucher. The second bracket is the second equation with the first put in; the pair
//! of brackets vanishes exactly if both equations hold. One weight for both would be a universal forgery: pick `Y'` freely
//! and let the errors cancel (spec 5.5.1; tried in the tests).

use std::{collections::HashMap, fmt};

use super::{LoggedVoucher, ShownVoucher, challenge};
use crate::{
    group::{self, Accumulator, EncodedPoint, GroupError, Point, Scalar, Table},
    ids::KeyIndex,
    programme::KeyEntry,
    secret::Weights,
};

/// Why a voucher is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// The key is not listed by the manifest in force.
    #[error("the voucher's key is not listed by the manifest in force")]
    UnknownKey,
    /// A point is not canonical, or the identity.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// `y' = 0`, or an equation does not hold.
    #[error("the voucher does not verify")]
    Invalid,
}

/// A voucher key prepared for many single verifications, as a counter does them.
pub struct PreparedKey {
    entry: KeyEntry,
    table: Table,
}

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedKey({:?})", self.entry)
    }
}

impl PreparedKey {
    /// Builds the key's table: about 1 ms and 30 KB.
    pub fn new(entry: &KeyEntry) -> Self {
        Self { entry: *entry, table: Table::new(&entry.key) }
    }

    /// Verifies one voucher, and returns `Y'` for the log. Public data: variable time.
    ///
    /// # Errors
    /// [`VoucherError`].
    pub fn verify(&self, voucher: &ShownVoucher) -> Result<LoggedVoucher, VoucherError> {
        let y_point = Point::encode(self.table.multiply(&voucher.y.0)).map_err(|_| VoucherError::Invalid)?;
        finish(&self.entry, voucher, y_point.into())
    }
}

/// Verifies one voucher without a table.
///
/// # Errors
/// [`VoucherError`].
pub(crate) fn verify(entry: &KeyEntry, voucher: &ShownVoucher) -> Result<LoggedVoucher, VoucherError> {
    let y_point = group::double_base_vartime(&voucher.y.0, entry.key.element(), &Scalar::ZERO);
    let y_point = Point::encode(y_point).map_err(|_| VoucherError::Invalid)?;
    finish(entry, voucher, y_point.into())
}

/// `R' = s'*G - c'*y'*X`, compared by encoding: a non-canonical or identity `R'` equals none.
fn finish(entry: &KeyEntry, voucher: &ShownVoucher, y_point: EncodedPoint) -> Result<LoggedVoucher, VoucherError> {
    let c = challenge(&entry.key, &voucher.r, &y_point, &voucher.holder);
    let r = group::double_base_vartime(&-(c * voucher.y.0), entry.key.element(), &voucher.s.0);
    let r = Point::encode(r).map_err(|_| VoucherError::Invalid)?;
    if EncodedPoint::from(r) == voucher.r {
        Ok(LoggedVoucher { shown: *voucher, y_point })
    } else {
        Err(VoucherError::Invalid)
    }
}

/// Adds the equations of many logged vouchers to `accumulator`. `keys` finds the key of each.
///
/// # Errors
/// [`VoucherError`] for a voucher that cannot be checked; a false one shows when the accumulator is verified.
pub(crate) fn accumulate<'a>(
    vouchers: impl IntoIterator<Item = &'a LoggedVoucher>,
    keys: impl Fn(KeyIndex) -> Option<&'a KeyEntry>,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), VoucherError> {
    let mut by_key: HashMap<KeyIndex, (&KeyEntry, Scalar)> = HashMap::new();
    let mut base = Scalar::ZERO;
    for LoggedVoucher { shown, y_point } in vouchers {
        let sum = match by_key.entry(shown.key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert((keys(shown.key).ok_or(VoucherError::UnknownKey)?, Scalar::ZERO))
            }
        };
        // `Y'` is never the identity, so `y' = 0` cannot balance; it is refused by name all the same.
        if shown.y.0 == Scalar::ZERO {
            return Err(VoucherError::Invalid);
        }
        let (r_element, y_element) = (shown.r.decode()?, y_point.decode()?);
        let c = challenge(&sum.0.key, &shown.r, y_point, &shown.holder);
        let (gamma, beta) = (weights.next(), weights.next());
        accumulator.add(*y_element.element(), gamma);
        accumulator.add(*r_element.element(), beta);
        sum.1 += shown.y.0 * (beta * c - gamma);
        base -= beta * shown.s.0;
    }
    for (entry, scalar) in by_key.values() {
        accumulator.add_shared(&entry.key, *scalar);
    }
    accumulator.add_shared(&Point::generator(), base);
    Ok(())
}
