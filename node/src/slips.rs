//! Slips: the one file that pairs a household with its ticket, for the printer.
//!
//! A CSV for a print shop or a mail merge, or a PDF that is ready to print and cut. Either is a new file of mode 0600, to be
//! erased ([`crate::keys::erase`]) once it is printed. Nothing else holds the pair: the issuer keeps hashes of codes, and no
//! case id.
//!
//! On a printed slip the case id stands on a stub of its own: whoever hands the slip out cuts it off, so that a lost slip names
//! nobody.

mod amends;
mod pdf;
#[cfg(test)]
mod tests;
mod words;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use annona_protocol::{
    ids::ProgrammeId,
    programme::{Header, TicketKind},
    ticket::{TicketCode, TicketSlip, TicketSlipError},
};
use zeroize::Zeroizing;

pub use self::amends::{AmendSlips, AmendSlipsError};
use crate::{
    caseload::import::Identity,
    keys::{KeyFileError, erase, write_new, write_new_with},
};

/// The most slips of one PDF: larger lots go to a print shop as CSV, or in parts.
pub const MAX_PRINTED: usize = 20_000;

/// What all slips of a lot share.
#[derive(Debug)]
pub struct SlipSheet {
    agency: String,
    name: String,
    programme: ProgrammeId,
    kind: TicketKind,
    server: Option<String>,
    languages: Vec<String>,
}

/// Why slips cannot be written. Carries nothing of a slip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlipError {
    /// The server is not an origin.
    #[error(transparent)]
    Server(#[from] TicketSlipError),
    /// The file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Not as many codes as cases.
    #[error("there are {cases} cases and {codes} ticket codes: make the slips from the lot that this caseload gave")]
    Count {
        /// How many cases.
        cases: usize,
        /// How many codes.
        codes: usize,
    },
    /// More slips than one PDF takes.
    #[error(
        "a PDF has at most {MAX_PRINTED} slips: write a CSV for a print shop, or split the caseload into several lots"
    )]
    TooMany,
    /// A text that the built-in font cannot print.
    #[error(
        "the text on slip {slip} has letters that the built-in font lacks (it has Latin, Greek, Cyrillic, Arabic and Hebrew): \
         write a CSV and print it with another program"
    )]
    Letters {
        /// The slip, counted from 1 in the order of the caseload; 0 for what all slips share.
        slip: usize,
    },
    /// A file that holds no slips.
    #[error("{} holds no slips, and nothing was erased. Name the files that `tickets import` wrote", .0.display())]
    NoSlips(PathBuf),
    /// The PDF library refused; no content is known to bring that about.
    #[error("the PDF cannot be made: write a CSV in its place, and report this")]
    Pdf,
}

impl SlipError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Server(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Count { .. } => "slips_count",
            Self::TooMany => "slips_too_many",
            Self::Letters { .. } => "slips_letters",
            Self::NoSlips(_) => "slips_none",
            Self::Pdf => "slips_pdf",
        }
    }
}

/// The columns of a CSV with slips.
const COLUMNS: [&str; 4] = ["case_id", "site", "ticket_code", "qr"];
/// How files with slips begin.
const BEGINNINGS: [&[u8]; 2] = [b"case_id,site,ticket_code,qr", b"%PDF-"];

/// Erases files with slips, once they are printed: all are looked at before the first is gone.
///
/// # Errors
/// [`SlipError::NoSlips`] for another kind of file, [`SlipError::File`].
pub fn forget(paths: &[PathBuf]) -> Result<(), SlipError> {
    for path in paths {
        let failed = |source| KeyFileError::Read { path: path.clone(), source };
        if !path.symlink_metadata().map_err(failed)?.is_file() {
            return Err(SlipError::NoSlips(path.clone()));
        }
        let mut beginning = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(64).read_to_end(&mut beginning).map_err(failed)?;
        if !BEGINNINGS.iter().any(|start| beginning.starts_with(start)) {
            return Err(SlipError::NoSlips(path.clone()));
        }
    }
    Ok(paths.iter().try_for_each(|path| erase(path))?)
}

impl SlipSheet {
    /// Slips of a lot's kind for a programme as its newest version names it. `server` is the issuer's origin, if wallets are to
    /// find it on the slip.
    ///
    /// # Errors
    /// [`SlipError::Server`].
    pub fn new(header: &Header, kind: TicketKind, server: Option<&str>) -> Result<Self, SlipError> {
        let labels = header.lines.first().map(|line| line.labels.as_slice()).unwrap_or_default();
        let sheet = Self {
            agency: header.agency.clone(),
            name: header.name.clone(),
            programme: header.programme_id(),
            kind,
            server: server.map(str::to_owned),
            languages: labels.iter().map(|label| label.language.clone()).collect(),
        };
        sheet.qr(&TicketCode::from_bytes([0; TicketCode::BYTES]))?;
        Ok(sheet)
    }

    /// Writes `case_id,site,ticket_code,qr`, one line a slip. A text that a spreadsheet would run as a formula gets an
    /// apostrophe in front.
    ///
    /// # Errors
    /// [`SlipError::Count`], [`SlipError::File`]; the file is there whole or not at all.
    pub fn write_csv(&self, path: &Path, identities: &[Identity], codes: &[TicketCode]) -> Result<(), SlipError> {
        check_count(identities, codes)?;
        let texts = codes.iter().map(|code| self.qr(code)).collect::<Result<Vec<_>, _>>()?;
        write_new_with(path, |file| {
            let mut writer = csv::Writer::from_writer(io::BufWriter::new(file));
            writer.write_record(COLUMNS)?;
            for ((identity, code), qr) in identities.iter().zip(codes).zip(&texts) {
                let case_id = harmless(identity.case_id());
                let site = harmless(identity.site().map_or("", |site| site.as_str()));
                writer.write_record([case_id.as_str(), &site, &code.to_print(), qr])?;
            }
            writer.flush()
        })?;
        Ok(())
    }

    /// Writes a PDF on A4, eight slips a page, with lines to cut along.
    ///
    /// # Errors
    /// [`SlipError`]; the file is there whole or not at all.
    pub fn write_pdf(&self, path: &Path, identities: &[Identity], codes: &[TicketCode]) -> Result<(), SlipError> {
        Ok(write_new(path, &self.pdf(identities, codes)?)?)
    }

    /// The content of [`SlipSheet::write_pdf`].
    ///
    /// # Errors
    /// [`SlipError`], but of files.
    pub fn pdf(&self, identities: &[Identity], codes: &[TicketCode]) -> Result<Zeroizing<Vec<u8>>, SlipError> {
        check_count(identities, codes)?;
        if identities.len() > MAX_PRINTED {
            return Err(SlipError::TooMany);
        }
        pdf::document(self, identities, codes)
    }

    fn qr(&self, code: &TicketCode) -> Result<Zeroizing<String>, TicketSlipError> {
        let code = TicketCode::from_bytes(*code.expose());
        TicketSlip { kind: self.kind, code, programme: self.programme, server: self.server.clone() }.to_qr()
    }
}

fn check_count(identities: &[Identity], codes: &[TicketCode]) -> Result<(), SlipError> {
    let (cases, codes) = (identities.len(), codes.len());
    if cases == codes { Ok(()) } else { Err(SlipError::Count { cases, codes }) }
}

/// A text that no spreadsheet takes for a formula. Full-width signs are formulas too for some.
fn harmless(text: &str) -> Zeroizing<String> {
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    Zeroizing::new(if is_formula { format!("'{text}") } else { text.to_owned() })
}
