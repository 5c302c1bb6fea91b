//! The voucher: a blind signature that anyone can verify (spec 5).
//!
//! Tessaro, Zhu, "Short pairing-free blind signatures with exponential security" (Eurocrypt 2022), scheme BS1: perfectly
//! blind, concurrently one-more unforgeable in the generic group model with a random oracle. The letters are the paper's.
//!
//! ```text
//! signer (x, X = x*G)                                     holder (p, P = p*G)
//!   a, y random, y != 0
//!   R = a*G, Y = y*X            ---- R, Y ---->            r1, r2, g random, g != 0
//!                                                          Y' = g*Y, R' = r1*G + g*R + r2*Y'
//!                               <---- c -------            c' = H(X, R', Y', P), c = c' + r2
//!   s = a + c*x*y               ---- s, y ---->            y != 0, Y = y*X, s*G = R + c*Y
//!                                                          voucher: (P, R', s' = g*s + r1, y' = g*y)
//! ```
//!
//! Verification: `y' != 0`, `Y' = y'*X`, `s'*G = R' + c'*Y'`.

mod blind;
mod holder;
mod key;
mod parts;
mod verify;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{
    group::{EncodedPoint, Point, PublicScalar, Scalar},
    ids::KeyIndex,
    registry,
    secret::SecretScalar,
    transcript::KeyedContext,
    wire::message,
};

pub use blind::{Answer, Commitment, SessionOffer, SigningSession, UnblindError};
pub(crate) use blind::{Blinded, answers_digest, blind, challenges_digest, unblind};
pub use holder::HolderProof;
pub(crate) use holder::HolderStatement;
pub use key::{RoundMaster, VoucherSecret};
pub use parts::{HalfParts, VoucherParts};
pub use verify::{PreparedKey, VoucherError};
pub(crate) use verify::{accumulate, verify};

/// A voucher as its holder keeps it: the signature and the one-time secret `p`.
#[derive(Serialize, Deserialize)]
pub struct Voucher {
    pub(crate) secret: SecretScalar,
    pub(crate) shown: ShownVoucher,
}

message!(Voucher, STORED_VOUCHER, 1024);

impl Voucher {
    /// The key under which it was signed.
    pub fn key(&self) -> KeyIndex {
        self.shown.key
    }

    /// The public part: what a site is shown.
    pub fn shown(&self) -> &ShownVoucher {
        &self.shown
    }

    /// A second copy, on purpose: a backup, or a sheet.
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret.duplicate(), shown: self.shown }
    }
}

impl std::fmt::Debug for Voucher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Voucher(key {}, redacted)", self.shown.key)
    }
}

/// The public part of a voucher: 128 bytes and the position of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownVoucher {
    /// The key's position in the key list.
    pub key: KeyIndex,
    /// `P`, the holder's one-time public key.
    pub holder: EncodedPoint,
    /// `R'`.
    pub r: EncodedPoint,
    /// `s'`.
    pub s: PublicScalar,
    /// `y'`.
    pub y: PublicScalar,
}

/// A voucher as logs keep it: with `Y' = y'*X`, so that auditors verify batches without a multiplication a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedVoucher {
    /// The voucher.
    pub shown: ShownVoucher,
    /// `Y'`.
    pub y_point: EncodedPoint,
}

/// What makes a voucher spent: its key and holder key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The key's position.
    pub key: KeyIndex,
    /// `P`.
    pub holder: EncodedPoint,
}

impl ShownVoucher {
    /// The spent mark.
    pub fn mark(&self) -> Mark {
        Mark { key: self.key, holder: self.holder }
    }
}

/// `c' = H(X, R', Y', P)`: four encodings of 32 bytes each.
pub(crate) fn challenge(key: &Point, r: &EncodedPoint, y_point: &EncodedPoint, holder: &EncodedPoint) -> Scalar {
    static CONTEXT: LazyLock<KeyedContext> = LazyLock::new(|| KeyedContext::new(registry::VOUCHER_CHALLENGE));
    Scalar::from_bytes_mod_order_wide(&CONTEXT.wide(&[key.as_bytes(), &r.0, &y_point.0, &holder.0]))
}
