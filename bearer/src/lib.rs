//! How vouchers and messages leave a wallet on paper and screens (spec bearer.md).
//!
//! ```text
//! ANNONA1/V/<base45>                          a voucher: whoever reads it can redeem it
//! ANNONA1/H/<base45>                          half a voucher, of a split sheet
//! ANNONA1/K/<base45>                          a key slip: the other half of a whole split sheet
//! ANNONA1/M/<base45>                          a message
//! ANNONA1/P/<n>/<of>/<digest>/<base45>        a part of a longer message
//! ```
//!
//! All are texts of QR codes' alphanumeric mode. There is exactly one text for each thing, and no other is read. Texts of
//! vouchers are secrets: they are wiped when dropped, and no error repeats any of one.
#![forbid(unsafe_code)]

pub mod base45;
mod card;
mod code;
pub mod frames;
mod scanned;
pub mod screen;
mod sheet;
mod text;
mod words;

pub use annona_paper::{Backdrop, Symbol, SymbolError};
pub use card::{Card, CardError};
pub use code::{Code, CodeError, HalfCode, KeySlip, VoucherCode};
pub use scanned::{NotOfTheSheet, Piece, Scanned};
pub use sheet::{MAX_VOUCHERS, Printed, Sheet, SheetError, SheetText};
