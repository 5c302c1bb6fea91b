//! What can be wrong with a caseload. Nothing here carries a value of the file, so nothing can print one.

use std::{fmt, io};

use thiserror::Error;

/// Why a caseload was not imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaseloadError {
    /// The file could not be read.
    #[error("the caseload cannot be read: check the path and that you may read the file")]
    Read(#[source] io::Error),
    /// The CSV reader failed; no content is known to bring that about.
    #[error("the caseload cannot be taken apart as CSV: export it again as \"CSV UTF-8\"")]
    Csv(#[from] csv::Error),
    /// Bytes that are not UTF-8.
    #[error("line {line} of the caseload is not UTF-8 text: export it again as \"CSV UTF-8\"")]
    NotUtf8 {
        /// The line of the first such byte.
        line: u64,
    },
    /// Nothing but blank lines.
    #[error("the caseload is empty: give a file with a header line and a line for each household")]
    Empty,
    /// Semicolons or tabs where commas belong.
    #[error("line {line} of the caseload is separated by semicolons or tabs: export it again with commas")]
    Separator {
        /// The line of the header.
        line: u64,
    },
    /// The first row has none of the columns.
    #[error("line {line} of the caseload is not its header: put {} there", names(&Column::ALL))]
    NoHeader {
        /// The line of the first row.
        line: u64,
    },
    /// The header lacks columns.
    #[error(
        "line {line} of the caseload, its header, lacks {}: add it, or give the right column this name",
        names(columns)
    )]
    MissingColumns {
        /// The line of the header.
        line: u64,
        /// Which are missing.
        columns: Vec<Column>,
    },
    /// The header names a column twice.
    #[error("line {line} of the caseload, its header, has {column} twice: keep one")]
    RepeatedColumn {
        /// The line of the header.
        line: u64,
        /// Which.
        column: Column,
    },
    /// A header and nothing below it.
    #[error("the caseload has a header and no household: add a line for each household")]
    NoHouseholds,
    /// Rows that cannot be used.
    #[error(transparent)]
    Rows(#[from] BadRows),
}

impl CaseloadError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "caseload_unreadable",
            Self::Csv(_) => "caseload_not_csv",
            Self::NotUtf8 { .. } => "caseload_not_utf8",
            Self::Empty => "caseload_empty",
            Self::Separator { .. } => "caseload_separator",
            Self::NoHeader { .. } => "caseload_no_header",
            Self::MissingColumns { .. } => "caseload_missing_columns",
            Self::RepeatedColumn { .. } => "caseload_repeated_column",
            Self::NoHouseholds => "caseload_no_households",
            Self::Rows(_) => "caseload_bad_rows",
        }
    }
}

/// Everything that is wrong with the rows of a file, in the order of its lines; prints the first
/// [`BadRows::PRINTED`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRows {
    problems: Vec<RowProblem>,
}

impl BadRows {
    /// How many problems the printed list names.
    pub const PRINTED: usize = 20;

    pub(super) fn new(problems: Vec<RowProblem>) -> Self {
        Self { problems }
    }

    pub(super) fn one(line: u64, reason: Reason) -> Self {
        Self::new(vec![RowProblem { line, column: None, reason }])
    }

    /// All of them.
    pub fn problems(&self) -> &[RowProblem] {
        &self.problems
    }

    /// How many rows have at least one.
    pub fn rows(&self) -> usize {
        self.problems.chunk_by(|a, b| a.line == b.line).count()
    }
}

impl std::error::Error for BadRows {}

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let plural = if rows == 1 { "" } else { "s" };
        write!(
            f,
            "{rows} row{plural} of the caseload cannot be used; nothing was imported. Correct the file and try again:"
        )?;
        for problem in self.problems.iter().take(Self::PRINTED) {
            write!(f, "\n  {problem}")?;
        }
        match self.problems.len().saturating_sub(Self::PRINTED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more like these"),
        }
    }
}

/// One thing wrong with one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowProblem {
    /// The line on which the row starts, counted from 1 as editors do.
    pub line: u64,
    /// The column, unless the row as a whole is meant.
    pub column: Option<Column>,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What is wrong; its text ends with what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A field without content.
    Empty,
    /// A row without content.
    EmptyRow,
    /// A row of another length than the header.
    Ragged {
        /// Its fields.
        found: usize,
        /// The header's.
        expected: usize,
    },
    /// The last row's quoted field reaches to the end of the file.
    UnclosedQuote,
    /// Not digits only.
    NotWhole,
    /// A number out of its range.
    OutOfRange {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// More children than persons.
    MoreThanMembers,
    /// Neither 0 nor 1.
    NotZeroOrOne,
    /// A case that an earlier row has.
    Duplicate {
        /// Where that row starts.
        first_line: u64,
    },
    /// Too many characters.
    TooLong {
        /// The most.
        max: usize,
    },
    /// Control or invisible characters.
    Unprintable,
    /// A spreadsheet's cell that shows an error.
    CellError,
    /// A spreadsheet's date or time.
    Date,
    /// A number that a spreadsheet has rounded.
    Rounded,
    /// A case that the slips of the amends do not have.
    NoAmend,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("is empty; fill it in"),
            Self::EmptyRow => f.write_str("the row is empty; delete it"),
            Self::Ragged { found, expected } => write!(
                f,
                "the number of fields is {found}, the header's is {expected}; look for a missing comma, or for a comma or \
                 quote inside a field that is not quoted"
            ),
            Self::UnclosedQuote => f.write_str(
                "a quote opens here and never closes; close it, or double it if it belongs to the text, and look at the rows \
                 below it again",
            ),
            Self::NotWhole => f.write_str("is not a whole number; write it in digits alone, such as 4"),
            Self::OutOfRange { min, max } => write!(f, "is not between {min} and {max}; correct it"),
            Self::MoreThanMembers => f.write_str("is more than members; correct one of the two"),
            Self::NotZeroOrOne => f.write_str("is neither 0 nor 1; write 1 for yes or 0 for no"),
            Self::Duplicate { first_line } => {
                write!(f, "is the same as in line {first_line}; keep one row for the household, or correct the number")
            }
            Self::TooLong { max } => write!(f, "has more than {max} characters; shorten it in every row"),
            Self::Unprintable => {
                f.write_str("has a line break or another character that cannot be seen; type the name again")
            }
            Self::CellError => f.write_str("shows an error of the spreadsheet; correct its formula"),
            Self::Date => f.write_str("is a date or time; format the column as text or number and type it again"),
            Self::NoAmend => f.write_str(
                "is no case of the amends' slips; write the number of the case that is amended, or give the slips of its lot",
            ),
            Self::Rounded => f.write_str(
                "is a number of more than 15 digits, which the spreadsheet rounds; format the column as text and import the \
                 data again",
            ),
        }
    }
}

/// The columns that the import reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `case_id`
    CaseId,
    /// `document_no`
    DocumentNo,
    /// `phone`
    Phone,
    /// `site`
    Site,
    /// `members`
    Members,
    /// `under_two`
    UnderTwo,
    /// `pregnant_or_lactating`
    PregnantOrLactating,
    /// `months_registered`
    MonthsRegistered,
}

impl Column {
    /// All, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::CaseId,
        Self::DocumentNo,
        Self::Phone,
        Self::Site,
        Self::Members,
        Self::UnderTwo,
        Self::PregnantOrLactating,
        Self::MonthsRegistered,
    ];

    /// The heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::CaseId => "case_id",
            Self::DocumentNo => "document_no",
            Self::Phone => "phone",
            Self::Site => "site",
            Self::Members => "members",
            Self::UnderTwo => "under_two",
            Self::PregnantOrLactating => "pregnant_or_lactating",
            Self::MonthsRegistered => "months_registered",
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}
