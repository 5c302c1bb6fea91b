//! Sheets of single-use vouchers for households without a phone, and key slips of split sheets, as PDF.
//!
//! ```text
//! | agency                                    page 1/2 |
//! | programme                              mark: 7Q2K  |
//! |----------------------------------------------------|
//! | heading, instructions in the holder's language     |
//! |- - - - - - - - - - - - - -|- - - - - - - - - - - - |
//! | ######### (o) 8 kg        | ######### (o) 2        |
//! | ######### Wheat flour     | ######### Soap         |  two columns of six, cut where dashed
//! | ######### site            | ######### site         |
//! | ######### round      1/24 | ######### round   2/24 |
//! ```
//!
//! A page in a script that runs from the right is mirrored. The same input gives the same bytes: a sheet that a printer tore is
//! printed again, and is the same sheet.

mod page;
#[cfg(test)]
mod tests;

use annona_protocol::{
    ids::{ProgrammeId, Round},
    secret::SecretBytes,
    voucher::Voucher,
};
use zeroize::Zeroizing;

use crate::{
    code::{KeySlip, VoucherCode},
    scanned::Scanned,
};

/// The most vouchers of a sheet: as many as one request may show.
pub const MAX_VOUCHERS: usize = annona_protocol::programme::MAX_VOUCHERS;

/// What stands on each page of a sheet, and on its key slip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetText {
    /// The holder's language, a BCP 47 tag: of headings and instructions. Without words in it, they are English.
    pub language: String,
    /// Who gives.
    pub agency: String,
    /// The programme's name.
    pub programme: String,
}

/// What stands beside one voucher, in the holder's language as far as the caller has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The line's label.
    pub line: String,
    /// The manifest's name for the line's pictogram.
    pub pictogram: String,
    /// How much.
    pub value: u32,
    /// Of what.
    pub unit: String,
    /// The site's label, or none for a voucher of any site.
    pub site: Option<String>,
    /// The round.
    pub round: Round,
}

/// A sheet of vouchers, whole or split.
pub struct Sheet {
    text: SheetText,
    vouchers: Vec<(Zeroizing<String>, Printed)>,
    key_slip: Option<KeySlip>,
}

/// Why there is no sheet. Says nothing of a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// No vouchers, or too many.
    #[error("a sheet has 1 to {MAX_VOUCHERS} vouchers: choose which to print")]
    Count,
    /// A text that the built-in font cannot print.
    #[error(
        "{} letters that the built-in font lacks (it has Latin, Greek, Cyrillic, Arabic and Hebrew): \
         choose another language for the sheet", place(*.voucher)
    )]
    Letters {
        /// The voucher, counted from 1; 0 for what all share.
        voucher: usize,
    },
    /// The PDF library refused; no content is known to bring that about.
    #[error("the PDF cannot be made: show the vouchers on a screen in its place, and report this")]
    Pdf,
}

fn place(voucher: usize) -> String {
    match voucher {
        0 => "the name of agency or programme has".to_owned(),
        voucher => format!("the text beside voucher {voucher} has"),
    }
}

impl SheetError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Count => "sheet_count",
            Self::Letters { .. } => "sheet_letters",
            Self::Pdf => "sheet_pdf",
        }
    }
}

impl Sheet {
    /// A sheet whose codes are vouchers.
    ///
    /// # Errors
    /// [`SheetError::Count`].
    pub fn whole(
        text: SheetText,
        programme: &ProgrammeId,
        vouchers: &[(&Voucher, Printed)],
    ) -> Result<Self, SheetError> {
        Self::new(text, vouchers, |voucher| VoucherCode::of(programme, voucher).to_qr())
    }

    /// A sheet whose codes are halves, of no use without the key slip that `seed` makes. The seed is fresh for each sheet, and
    /// kept to print the same one again.
    ///
    /// # Errors
    /// [`SheetError::Count`].
    pub fn split(
        text: SheetText,
        programme: &ProgrammeId,
        seed: SecretBytes,
        vouchers: &[(&Voucher, Printed)],
    ) -> Result<Self, SheetError> {
        let key_slip = KeySlip::from_seed(programme, seed);
        let sheet = Self::new(text, vouchers, |voucher| key_slip.split(programme, voucher).to_qr())?;
        Ok(Self { key_slip: Some(key_slip), ..sheet })
    }

    fn new(
        text: SheetText,
        vouchers: &[(&Voucher, Printed)],
        code: impl Fn(&Voucher) -> Zeroizing<String>,
    ) -> Result<Self, SheetError> {
        if vouchers.is_empty() || vouchers.len() > MAX_VOUCHERS {
            return Err(SheetError::Count);
        }
        let vouchers = vouchers.iter().map(|(voucher, printed)| (code(voucher), printed.clone())).collect();
        Ok(Self { text, vouchers, key_slip: None })
    }

    /// The sheet, on A4: twelve vouchers a page.
    ///
    /// # Errors
    /// [`SheetError::Letters`], [`SheetError::Pdf`].
    pub fn pdf(&self) -> Result<Zeroizing<Vec<u8>>, SheetError> {
        page::sheet(&self.text, &self.vouchers, self.key_slip.as_ref().map(KeySlip::mark).as_deref())
    }

    /// The key slip of a split sheet, as a document of its own: the two are not to lie in one tray.
    ///
    /// # Errors
    /// [`SheetError::Letters`], [`SheetError::Pdf`].
    pub fn key_slip_pdf(&self) -> Option<Result<Zeroizing<Vec<u8>>, SheetError>> {
        self.key_slip.as_ref().map(|slip| page::key_slip(&self.text, slip))
    }

    /// The texts of the vouchers' codes, in the sheet's order.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.vouchers.iter().map(|(code, _)| code.as_str())
    }

    /// What is to be scanned back from paper before the vouchers may be forgotten: all codes, and the key slip's.
    pub fn to_scan(&self) -> Scanned {
        Scanned::new(self.vouchers.iter().map(|(code, _)| code.clone()), self.key_slip.as_ref().map(KeySlip::to_qr))
    }
}

impl std::fmt::Debug for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sheet({} vouchers, redacted)", self.vouchers.len())
    }
}
