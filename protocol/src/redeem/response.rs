//! A site's answer to a visit, and what a wallet checks of it before it erases a voucher (spec 7.3, 8.3).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::units_of;
use crate::{
    group::EncodedPoint,
    ids::{Digest, LineId, Units},
    log::leaf::{Leaf as _, SiteLeaf, VoucherLeaf},
    programme::InForce,
    signature::{BadSignature, PublicKey},
    slip::{OwedSlip, Place, Receipt},
    voucher::{Mark, ShownVoucher},
    wire::message,
};

/// What became of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Accepted now: goods are to be handed over.
    Accepted,
    /// Accepted before, by a request for the same vouchers; goods are still to be handed over.
    AlreadyAccepted,
    /// Accepted before, and goods were handed over.
    AlreadyHandedOver,
    /// Accepted at another counter, which alone knows whether goods were handed over.
    AcceptedAtCounter,
}

/// A site's answer to a redemption, a sheet or a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedeemResponse {
    /// What became of it.
    pub outcome: Outcome,
    /// What the site calls the visit, for the counter where goods are handed over.
    pub visit: Digest,
    /// What is to be handed over now, ascending by line.
    pub units: Vec<(LineId, Units)>,
    /// One receipt a voucher; none for a collection.
    pub receipts: Vec<Receipt>,
    /// The slip for what the site owes, if stock ran out: in every answer to the visit, also once the rest was handed over.
    pub owed: Option<OwedSlip>,
}

message!(RedeemResponse, REDEEM_RESPONSE);

/// Why a wallet does not take a site's answer for one: nothing is erased then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// A receipt or owed slip is not signed by the site.
    #[error("a receipt or owed slip is not signed by the site")]
    Signature(#[from] BadSignature),
    /// A receipt or owed slip names another place.
    #[error("a receipt or owed slip is of another site, round or manifest")]
    Place,
    /// Not one receipt for each voucher shown.
    #[error("the answer does not have one receipt for each voucher")]
    Receipts,
    /// A receipt promises another leaf than the voucher's.
    #[error("a receipt does not promise the voucher's leaf")]
    Leaf,
    /// Units handed over and owed are not those of the vouchers or the slip.
    #[error("units handed over and owed do not add up to what was redeemed")]
    Units,
    /// The owed slip is made out to another key than the request's.
    #[error("the owed slip is not made out to this visit's key")]
    Holder,
}

impl RedeemResponse {
    /// Checks the answer to a visit at `place`: `vouchers` were shown, under requests with the keys `spares`, as a repeat gets
    /// the first answer.
    ///
    /// # Errors
    /// [`ResponseError`]; the vouchers must be kept then.
    pub fn check_visit(
        &self,
        view: &InForce<'_>,
        place: &Place,
        vouchers: &[ShownVoucher],
        spares: &[EncodedPoint],
    ) -> Result<(), ResponseError> {
        let key = place.site_key(view)?;
        let at_another_counter = self.outcome == Outcome::AcceptedAtCounter;
        if !(at_another_counter && self.receipts.is_empty()) {
            self.check_receipts(view, place, &key, vouchers)?;
        }
        let entries = vouchers.iter().map(|shown| view.key(shown.key).ok_or(ResponseError::Receipts));
        let shown = units_of(entries.collect::<Result<Vec<_>, _>>()?);
        let owed = match &self.owed {
            Some(slip) => check_owed(slip, place, &key, spares)?,
            None => &[],
        };
        match self.outcome {
            Outcome::Accepted => self.check_units(owed, &shown),
            // Some goods may have gone, and the slip may be of more vouchers than these: receipts stand for what was accepted.
            Outcome::AlreadyAccepted => rest_of(&shown, &self.units).map(drop),
            Outcome::AlreadyHandedOver | Outcome::AcceptedAtCounter => self.check_units(&[], &shown),
        }
    }

    /// Checks the answer to a collection on a slip.
    ///
    /// # Errors
    /// [`ResponseError`]; the slip must be kept then.
    pub fn check_collection(&self, slip: &OwedSlip) -> Result<(), ResponseError> {
        if !self.receipts.is_empty() {
            return Err(ResponseError::Receipts);
        }
        if self.owed.is_some() {
            return Err(ResponseError::Units);
        }
        self.check_units(&[], &slip.content.lines.iter().copied().collect())
    }

    /// Goods that are due and what is owed add up to what was redeemed; or none are due.
    fn check_units(&self, owed: &[(LineId, Units)], redeemed: &BTreeMap<LineId, Units>) -> Result<(), ResponseError> {
        let holds = match self.outcome {
            Outcome::Accepted | Outcome::AlreadyAccepted => {
                rest_of(&rest_of(redeemed, &self.units)?, owed)?.values().all(|units| units.0 == 0)
            }
            Outcome::AlreadyHandedOver | Outcome::AcceptedAtCounter => self.units.is_empty(),
        };
        if holds { Ok(()) } else { Err(ResponseError::Units) }
    }

    /// One receipt a voucher, signed here, for the leaf of that voucher.
    fn check_receipts(
        &self,
        view: &InForce<'_>,
        place: &Place,
        key: &PublicKey,
        vouchers: &[ShownVoucher],
    ) -> Result<(), ResponseError> {
        let mut open: HashMap<Mark, &ShownVoucher> = vouchers.iter().map(|shown| (shown.mark(), shown)).collect();
        for receipt in &self.receipts {
            let terms = receipt.verify(key)?;
            if terms.place != *place {
                return Err(ResponseError::Place);
            }
            let shown = open.remove(&terms.mark).ok_or(ResponseError::Receipts)?;
            let entry = view.key(shown.key).ok_or(ResponseError::Receipts)?;
            let voucher = crate::voucher::verify(entry, shown).map_err(|_| ResponseError::Leaf)?;
            let leaf = SiteLeaf::Voucher(VoucherLeaf { number: terms.number, voucher });
            // Acceptances count from 1.
            if terms.number == 0 || leaf.tree_hash() != terms.leaf {
                return Err(ResponseError::Leaf);
            }
        }
        if open.is_empty() { Ok(()) } else { Err(ResponseError::Receipts) }
    }
}

/// What is left of units by line, less a list that is ascending by line and within them.
fn rest_of(of: &BTreeMap<LineId, Units>, less: &[(LineId, Units)]) -> Result<BTreeMap<LineId, Units>, ResponseError> {
    if !less.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return Err(ResponseError::Units);
    }
    let mut rest = of.clone();
    for (line, units) in less.iter().filter(|(_, units)| units.0 > 0) {
        let open = rest.get_mut(line).ok_or(ResponseError::Units)?;
        open.0 = open.0.checked_sub(units.0).ok_or(ResponseError::Units)?;
    }
    Ok(rest)
}

/// The missing units of a slip that is this place's and made out to one of the keys.
fn check_owed<'a>(
    slip: &'a OwedSlip,
    place: &Place,
    key: &PublicKey,
    spares: &[EncodedPoint],
) -> Result<&'a [(LineId, Units)], ResponseError> {
    let terms = slip.verify(key)?;
    if terms.place != *place {
        return Err(ResponseError::Place);
    }
    if !terms.lines.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return Err(ResponseError::Units);
    }
    if spares.contains(&terms.holder) { Ok(&terms.lines) } else { Err(ResponseError::Holder) }
}

#[cfg(test)]
mod tests;
