//! What Annona prints: pages, text of several scripts, QR codes, pictograms.
//!
//! Slips of headquarters and sheets of wallets are drawn with it. It knows no protocol: callers bring texts and places. A place
//! is in points, 72 to an inch, from a page's upper left corner. The same calls give the same bytes.
#![forbid(unsafe_code)]

mod page;
mod pictogram;
mod symbol;
mod text;

pub use page::{A4, Canvas, Document, MILLIMETRE, PdfError};
pub use pictogram::Pictogram;
pub use symbol::{Backdrop, Symbol, SymbolError};
pub use text::{Face, Line, Style};
