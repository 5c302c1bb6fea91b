//! Slips of a lot of amends, read back while both lots are printed: which ticket has to be used before a split's (spec 10.4).

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, fs, io,
    path::Path,
};

use annona_protocol::{
    ids::{ProgrammeId, TicketHash},
    programme::TicketKind,
    ticket::{TicketCode, TicketSlip},
};
use zeroize::Zeroizing;

use super::{COLUMNS, harmless};
use crate::caseload::import::fingerprint;

/// The amend tickets of a file of slips, by case. Keeps hashes of both.
pub struct AmendSlips(HashMap<u128, TicketHash>);

/// Why slips of amends cannot be read. Carries nothing of a slip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AmendSlipsError {
    /// The file.
    #[error("the amends' slips cannot be read: check the path and that you may read the file")]
    Read(#[source] io::Error),
    /// Another kind of file.
    #[error("the file of --after holds no slips: give the CSV that `tickets import` wrote for the lot of amends")]
    NoSlips,
    /// A line that is not as it was written.
    #[error("line {line} of the amends' slips is damaged: give the CSV as `tickets import` wrote it")]
    Damaged {
        /// The line.
        line: u64,
    },
    /// A slip of another programme or kind.
    #[error("line {line} of the amends' slips is no amend of this programme: give the CSV of the lot of amends")]
    Foreign {
        /// The line.
        line: u64,
    },
    /// Two slips of one case.
    #[error("line {line} of the amends' slips is of the same case as an earlier one: give the CSV of one lot")]
    Repeated {
        /// The line.
        line: u64,
    },
}

impl AmendSlipsError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "amend_slips_unreadable",
            Self::NoSlips => "amend_slips_none",
            Self::Damaged { .. } => "amend_slips_damaged",
            Self::Foreign { .. } => "amend_slips_foreign",
            Self::Repeated { .. } => "amend_slips_repeated",
        }
    }
}

impl fmt::Debug for AmendSlips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmendSlips({} cases)", self.0.len())
    }
}

impl AmendSlips {
    /// Reads the CSV that [`super::SlipSheet::write_csv`] wrote for a lot of amends of this programme.
    ///
    /// # Errors
    /// [`AmendSlipsError`], with the first line that is wrong.
    pub fn read(path: &Path, programme: ProgrammeId) -> Result<Self, AmendSlipsError> {
        let content = Zeroizing::new(fs::read(path).map_err(AmendSlipsError::Read)?);
        Self::parse(&content, programme)
    }

    fn parse(content: &[u8], programme: ProgrammeId) -> Result<Self, AmendSlipsError> {
        let mut reader = csv::Reader::from_reader(content);
        if !reader.headers().is_ok_and(|headers| headers == COLUMNS.as_slice()) {
            return Err(AmendSlipsError::NoSlips);
        }
        let mut tickets = HashMap::new();
        let mut record = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(Self(tickets)),
                Err(_) => return Err(AmendSlipsError::Damaged { line }),
            }
            let slip = TicketSlip::parse(&record[3]).map_err(|_| AmendSlipsError::Damaged { line })?;
            let printed = TicketCode::parse(&record[2]).map_err(|_| AmendSlipsError::Damaged { line })?;
            if printed.expose() != slip.code.expose() {
                return Err(AmendSlipsError::Damaged { line });
            }
            if slip.kind != TicketKind::Amend || slip.programme != programme {
                return Err(AmendSlipsError::Foreign { line });
            }
            match tickets.entry(fingerprint(&record[0])) {
                Entry::Vacant(place) => {
                    place.insert(slip.code.hash(&programme, TicketKind::Amend));
                }
                Entry::Occupied(_) => return Err(AmendSlipsError::Repeated { line }),
            }
        }
    }

    /// The ticket of a case's amend.
    pub fn ticket(&self, case_id: &str) -> Option<TicketHash> {
        self.0.get(&fingerprint(&harmless(case_id))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAMME: ProgrammeId = ProgrammeId([7; 32]);

    fn line(case: &str, kind: TicketKind, byte: u8) -> String {
        let code = || TicketCode::from_bytes([byte; 10]);
        let slip = TicketSlip { kind, code: code(), programme: PROGRAMME, server: None };
        format!("{case},,{},{}\n", *code().to_print(), *slip.to_qr().unwrap())
    }

    fn file(lines: &[String]) -> Vec<u8> {
        format!("case_id,site,ticket_code,qr\n{}", lines.concat()).into_bytes()
    }

    #[test]
    fn a_cases_amend_is_found_as_the_slips_spell_it() {
        let lines = [line("A-1", TicketKind::Amend, 1), line("'-2", TicketKind::Amend, 2)];
        let slips = AmendSlips::parse(&file(&lines), PROGRAMME).unwrap();
        let hash = |byte| TicketCode::from_bytes([byte; 10]).hash(&PROGRAMME, TicketKind::Amend);
        assert_eq!((slips.ticket("A-1"), slips.ticket("-2")), (Some(hash(1)), Some(hash(2))));
        assert_eq!(slips.ticket("A-2"), None);
        assert_eq!(format!("{slips:?}"), "AmendSlips(2 cases)");
    }

    #[test]
    fn files_that_are_no_slips_of_amends_are_refused_by_line() {
        let amend = line("A-1", TicketKind::Amend, 1);
        let parse = |content: &[u8]| AmendSlips::parse(content, PROGRAMME).map(drop);
        let of = |lines: &[String]| parse(&file(lines)).unwrap_err();
        assert!(matches!(parse(b"case_id,members\nA-1,3\n"), Err(AmendSlipsError::NoSlips)));
        assert!(matches!(parse(b"%PDF-1.7"), Err(AmendSlipsError::NoSlips)));
        let split = line("A-2", TicketKind::Split, 2);
        assert!(matches!(of(&[amend.clone(), split]), AmendSlipsError::Foreign { line: 3 }));
        let error = AmendSlips::parse(&file(std::slice::from_ref(&amend)), ProgrammeId([8; 32])).unwrap_err();
        assert!(matches!(error, AmendSlipsError::Foreign { line: 2 }));
        let same = line("A-1", TicketKind::Amend, 3);
        assert!(matches!(of(&[amend.clone(), same]), AmendSlipsError::Repeated { line: 3 }));
        let other =
            amend.replace(&*TicketCode::from_bytes([1; 10]).to_print(), &TicketCode::from_bytes([2; 10]).to_print());
        let short = "A-3,,\n".to_owned();
        for damaged in [other, short, amend.replace("A-1,", "A-1,x,y,")] {
            let error = of(&[amend.replace("A-1", "A-0"), damaged]);
            assert!(matches!(error, AmendSlipsError::Damaged { line: 3 }), "{error}");
            assert!(!error.to_string().contains("A-"));
        }
    }
}
