//! Parcels: vouchers on their way out of the wallet, to paper, to a card, or to another wallet (spec 10.3).
//!
//! ```text
//! held --pack--> parcel --read back, each--> handed out: erased here
//!   ^               |
//!   +----unpack-----+
//! ```
//!
//! A parcel keeps its vouchers, in their order, until each was read back from where it went: a sheet that was torn by the printer
//! is printed again, the same to the byte. Meanwhile the wallet redeems and swaps none of them.

use std::collections::BTreeSet;

use annona_protocol::{
    ids::KeyIndex,
    programme::InForce,
    secret::SecretBytes,
    voucher::{Mark, Voucher},
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{Wallet, WalletError};

/// Where a parcel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// Paper.
    Sheet,
    /// Paper in two parts, each useless alone.
    SplitSheet,
    /// A storage card.
    Card,
    /// Another wallet.
    Gift,
}

/// Vouchers on their way out.
#[derive(Serialize, Deserialize)]
pub struct Parcel {
    number: u32,
    medium: Medium,
    vouchers: Vec<Voucher>,
    /// What a split sheet's halves come from.
    seed: SecretBytes,
    read_back: BTreeSet<Mark>,
}

impl Parcel {
    /// What the wallet calls it.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where it goes.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// Its vouchers, in the order of their keys.
    pub fn vouchers(&self) -> &[Voucher] {
        &self.vouchers
    }

    /// The seed of a split sheet's key slip.
    pub fn seed(&self) -> &SecretBytes {
        &self.seed
    }

    /// How many of its vouchers were not read back yet.
    pub fn missing(&self) -> usize {
        self.vouchers.len() - self.read_back.len()
    }
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parcel({}, {} vouchers, redacted)", self.number, self.vouchers.len())
    }
}

impl Wallet {
    /// Sets vouchers apart for a medium.
    ///
    /// # Errors
    /// [`WalletError::VoucherNotFree`] if one is not held, in an unanswered request, refused before, or named twice.
    pub fn pack<R: CryptoRng + ?Sized>(
        &mut self,
        medium: Medium,
        marks: &[Mark],
        rng: &mut R,
    ) -> Result<&Parcel, WalletError> {
        let wanted: BTreeSet<Mark> = marks.iter().copied().collect();
        let is_free =
            |mark: &Mark| self.voucher(mark).is_some() && !self.is_busy(mark) && !self.faults.contains_key(mark);
        if marks.is_empty() || wanted.len() != marks.len() || !wanted.iter().all(is_free) {
            return Err(WalletError::VoucherNotFree);
        }
        let mut vouchers: Vec<Voucher> =
            self.vouchers.extract_if(.., |voucher| wanted.contains(&voucher.shown().mark())).collect();
        vouchers.sort_by_key(|voucher| voucher.shown().mark());
        let number = self.parcels.iter().map(|parcel| parcel.number).max().unwrap_or_default() + 1;
        let (seed, read_back) = (SecretBytes::random(rng), BTreeSet::new());
        self.parcels.push(Parcel { number, medium, vouchers, seed, read_back });
        Ok(self.parcels.last().expect("just pushed"))
    }

    /// Parcels that are not handed out yet.
    pub fn parcels(&self) -> &[Parcel] {
        &self.parcels
    }

    /// One of a parcel's vouchers was read from where the parcel went. Gives how many are missing; with the last one the parcel's
    /// vouchers are erased here.
    ///
    /// # Errors
    /// [`WalletError::NoParcel`] if no parcel of this number holds the voucher.
    pub fn read_back(&mut self, number: u32, mark: Mark) -> Result<usize, WalletError> {
        let parcel = self.parcels.iter_mut().find(|parcel| parcel.number == number).ok_or(WalletError::NoParcel)?;
        if !parcel.vouchers.iter().any(|voucher| voucher.shown().mark() == mark) {
            return Err(WalletError::NoParcel);
        }
        parcel.read_back.insert(mark);
        let missing = parcel.missing();
        self.parcels.retain(|parcel| parcel.missing() > 0);
        Ok(missing)
    }

    /// A parcel's vouchers are held again: its paper or card must be destroyed, or whoever comes first has the goods.
    ///
    /// # Errors
    /// [`WalletError::NoParcel`].
    pub fn unpack(&mut self, number: u32) -> Result<usize, WalletError> {
        let at = self.parcels.iter().position(|parcel| parcel.number == number).ok_or(WalletError::NoParcel)?;
        let parcel = self.parcels.remove(at);
        let count = parcel.vouchers.len();
        self.vouchers.extend(parcel.vouchers);
        Ok(count)
    }

    /// Takes in a voucher from paper, a card or another wallet. Gives `false` if it is held already.
    ///
    /// # Errors
    /// [`WalletError::OtherProgramme`]; [`WalletError::VoucherNotFree`] if its key is not of the view's round.
    pub fn take(&mut self, view: &InForce<'_>, voucher: Voucher) -> Result<bool, WalletError> {
        self.is_of(view.programme)?;
        let is_of_round = |key: KeyIndex| view.key(key).is_some_and(|entry| entry.id.round == view.round);
        if !is_of_round(voucher.key()) {
            return Err(WalletError::VoucherNotFree);
        }
        let mark = voucher.shown().mark();
        let held = self.voucher(&mark).is_some() || self.is_out(&mark) || self.accepted_marks().any(|it| it == mark);
        if !held {
            self.vouchers.push(voucher);
        }
        Ok(!held)
    }

    /// Whether a voucher is in a parcel.
    pub(crate) fn is_out(&self, mark: &Mark) -> bool {
        self.parcels.iter().flat_map(|parcel| &parcel.vouchers).any(|voucher| voucher.shown().mark() == *mark)
    }
}
