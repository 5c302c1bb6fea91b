//! Privacy-preserving distribution of humanitarian aid: the Annona protocol.
//!
//! Agencies issue unlinkable anonymous credentials; beneficiaries prove that they are eligible without saying who they are;
//! sites in the field, often offline, check with public keys only; anyone verifies every total without a single identity.
//! `spec/protocol.md` is the normative text; section numbers in the documentation refer to it.
//!
//! ```text
//!  wallet                          issuer                          site                     log, audit
//!  EnrolContext  --EnrolRequest--> VerifiedEnrol                                            EnrolLeaf
//!  Credential    <-EnrolResponse--
//!  RollOverContext --request-----> VerifiedRollOver                                         RollOverLeaf
//!  Credential    <-response-------
//!                --SessionRequest> SigningSession
//!  DrawContext   <-SessionOffer---
//!                --DrawRequest---> VerifiedDraw                                             DrawLeaf
//!  Credential,   <-DrawResponse---
//!  Vouchers                                                        Quote
//!  RedeemRequest -------------------------------------------------> VerifiedVisit           VoucherLeaf
//!  Receipts      <-------------------------------------------------                         SiteStatement
//! ```
//!
//! Contexts are kept (and stored before the request is sent), requests and responses travel, verified types prove that a check
//! was made and are consumed by the step that needs it. No I/O, no clock, no global randomness; generators are passed in and
//! must be the operating system's.
//!
//! Three layers: the proof engine ([`sigma`], [`range`]), the two schemes ([`credential`], [`voucher`]), the product
//! ([`programme`], the moves, [`log`], [`audit`]).
#![forbid(unsafe_code)]

#[cfg(test)]
mod attacks;
pub mod audit;
pub mod bucket;
pub mod cohort;
pub mod credential;
pub mod draw;
pub mod enrol;
#[cfg(any(test, feature = "hazmat"))]
pub mod fixture;
pub mod group;
#[cfg(any(test, feature = "hazmat"))]
pub mod hazmat;
pub mod ids;
pub mod log;
pub mod programme;
pub mod range;
pub mod recovery;
pub mod redeem;
pub mod registry;
pub mod secret;
pub mod sigma;
pub mod signature;
pub mod slip;
pub mod slots;
pub mod swap;
pub mod ticket;
pub mod transcript;
#[cfg(test)]
mod transcription;
pub mod voucher;
pub mod wire;

/// A refused answer, with the context that may still get another one.
#[derive(Debug)]
pub struct Rejected<C, E> {
    /// The context, unchanged.
    pub context: Box<C>,
    /// Why the answer was refused.
    pub error: E,
}
