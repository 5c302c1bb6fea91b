//! What can be wrong with an import. Nothing here carries a value of the file.

use std::{fmt, io};

use annona_protocol::programme::Schema;

use super::{MAX_BYTES, MAX_CASES, MAX_PROBLEMS};
use crate::caseload::Reason;

/// Why `field=column` pairs are no mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// Not `field=column`.
    #[error("a mapping is written `field=column`, such as `members=Household size`: write it so")]
    Pair,
    /// A field that the import does not have.
    #[error("`{field}` is no field of this programme: use {}", known.join(", "))]
    UnknownField {
        /// The field.
        field: String,
        /// The fields that there are.
        known: Vec<String>,
    },
    /// A field that two pairs name.
    #[error("a field is mapped twice: keep one of the two")]
    Repeated,
    /// One round for all, and a column besides.
    #[error("`expires` is one round for all cases and a column at once: give one of the two")]
    ExpiresTwice,
}

impl MappingError {
    pub(super) fn unknown(field: &str, schema: &Schema) -> Self {
        let attributes = schema.attributes.iter().map(|attribute| attribute.name.clone());
        let known = ["case_id", "site", "expires"].into_iter().map(str::to_owned).chain(attributes).collect();
        Self::UnknownField { field: field.to_owned(), known }
    }

    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Pair => "mapping_malformed",
            Self::UnknownField { .. } => "mapping_unknown_field",
            Self::Repeated => "mapping_repeated",
            Self::ExpiresTwice => "mapping_expires_twice",
        }
    }
}

/// Why a file was not imported. Columns are named as the mapping does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read.
    #[error("the caseload cannot be read: check the path and that you may read the file")]
    Read(#[source] io::Error),
    /// More bytes than an import takes.
    #[error("the caseload has more than {MAX_BYTES} bytes: split it into several lots")]
    TooLong,
    /// More cases than a lot takes.
    #[error("the caseload has more than {MAX_CASES} cases: split it into several lots")]
    TooManyCases,
    /// Bytes that are not UTF-8.
    #[error("line {row} of the caseload is not UTF-8 text: export it again as \"CSV UTF-8\" or XLSX")]
    NotUtf8 {
        /// The line of the first such byte.
        row: u64,
    },
    /// The CSV reader failed.
    #[error("the caseload cannot be taken apart as CSV: export it again as \"CSV UTF-8\" or XLSX")]
    Csv,
    /// The workbook cannot be read. The reader's own words may quote the file.
    #[error("the workbook is damaged, locked with a password, or has no sheet of cells: save it again as plain XLSX")]
    Workbook,
    /// Nothing in it.
    #[error("the caseload is empty: give a file with a header row and a row for each case")]
    Empty,
    /// Semicolons or tabs where commas belong.
    #[error("line {row} of the caseload is separated by semicolons or tabs: export it with commas, or as XLSX")]
    Separator {
        /// The header's line.
        row: u64,
    },
    /// A quote that never closes in the header.
    #[error("line {row} of the caseload, its header, has a quote that never closes: close it")]
    UnclosedHeader {
        /// The header's line.
        row: u64,
    },
    /// The header lacks columns.
    #[error("row {row} of the caseload, its header, lacks {}", columns(missing))]
    MissingColumns {
        /// The header's row.
        row: u64,
        /// Fields, and the columns that were looked for.
        missing: Vec<(String, String)>,
    },
    /// The header names a column twice.
    #[error("row {row} of the caseload, its header, has the column `{column}` twice: rename one")]
    RepeatedColumn {
        /// The header's row.
        row: u64,
        /// The column, as it was looked for.
        column: String,
    },
    /// A header and nothing below it.
    #[error("the caseload has a header and no case: add a row for each case")]
    NoCases,
    /// Rows that cannot be used.
    #[error(transparent)]
    Rows(#[from] ImportProblems),
    /// Ends the reading of a file with too many problems; never returned.
    #[doc(hidden)]
    #[error("too many problems: correct those that are named")]
    Stop,
}

impl ImportError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "import_unreadable",
            Self::TooLong => "import_too_long",
            Self::TooManyCases => "import_too_many_cases",
            Self::NotUtf8 { .. } => "import_not_utf8",
            Self::Csv => "import_not_csv",
            Self::Workbook => "import_not_a_workbook",
            Self::Empty => "import_empty",
            Self::Separator { .. } => "import_separator",
            Self::UnclosedHeader { .. } => "import_unclosed_header",
            Self::MissingColumns { .. } => "import_missing_columns",
            Self::RepeatedColumn { .. } => "import_repeated_column",
            Self::NoCases => "import_no_cases",
            Self::Rows(_) | Self::Stop => "import_bad_rows",
        }
    }
}

fn columns(missing: &[(String, String)]) -> String {
    let names: Vec<String> = missing.iter().map(|(field, column)| format!("`{column}` (for {field})")).collect();
    format!("{}: add the column, or say which one it is with `--map {}=COLUMN`", names.join(", "), missing[0].0)
}

/// What is wrong with the rows of a file, in their order; prints the first [`ImportProblems::PRINTED`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProblems {
    problems: Vec<ImportProblem>,
    is_workbook: bool,
}

impl ImportProblems {
    /// How many problems the printed list names.
    pub const PRINTED: usize = 20;

    pub(super) fn new(problems: Vec<ImportProblem>, is_workbook: bool) -> Self {
        Self { problems, is_workbook }
    }

    /// All that were found.
    pub fn problems(&self) -> &[ImportProblem] {
        &self.problems
    }
}

impl std::error::Error for ImportProblems {}

impl fmt::Display for ImportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = (self.problems.len(), if self.is_workbook { "row" } else { "line" });
        let more = if count >= MAX_PROBLEMS { "more than " } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        write!(
            f,
            "{more}{count} problem{plural} in the caseload; nothing was imported. Correct the file and try again:"
        )?;
        for ImportProblem { row, column, reason } in self.problems.iter().take(Self::PRINTED) {
            write!(f, "\n  {unit} {row}")?;
            if let Some((at, field)) = column {
                write!(f, ", column {} ({field})", letters(*at))?;
            }
            write!(f, ": {reason}")?;
        }
        match count.saturating_sub(Self::PRINTED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more like these"),
        }
    }
}

/// One thing wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProblem {
    /// A workbook's row, or the line on which a CSV row starts; counted from 1.
    pub row: u64,
    /// The column's position, from 0, and the field that it holds; none if the row as a whole is meant.
    pub column: Option<(usize, String)>,
    /// What is wrong.
    pub reason: Reason,
}

impl ImportProblem {
    pub(super) fn at(row: u64, column: usize, field: &str, reason: Reason) -> Self {
        Self { row, column: Some((column, field.to_owned())), reason }
    }
}

/// A column as spreadsheets name it: A to Z, AA and on.
pub(super) fn letters(mut at: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'A' + u8::try_from(at % 26).expect("below 26")));
        if at < 26 {
            break;
        }
        at = at / 26 - 1;
    }
    letters.iter().rev().collect()
}
