//! Import of an agency's registration export, a CSV file.
//!
//! The file knows who people are, Annona must not: each row becomes a [`Household`] whose [`AgencyIdentifiers`] may reach
//! the slip that pairs a household with its ticket and nothing else, and whose [`Attributes`] go on to the programme.
//!
//! The whole file is checked before anything is returned. A bad row is named by its line in an editor, its column and what
//! to do about it, never by a value: error messages end up in terminals, logs and mails.
//!
//! | column | accepted |
//! | --- | --- |
//! | `case_id` | not empty, once a file |
//! | `document_no`, `phone` | not empty |
//! | `site` | [`SiteName`] |
//! | `members` | 1 to [`Limits::members_max`] |
//! | `under_two` | 0 to `members`, at most [`Limits::under_two_max`] |
//! | `pregnant_or_lactating` | 0 or 1; checked, then dropped: no line of a programme asks for it |
//! | `months_registered` | 1 to [`Limits::months_max`] |
//!
//! Columns come in any order, under these names in upper or lower case; others are ignored and listed in
//! [`Caseload::ignored_columns`]. The file is UTF-8 with or without a byte-order mark, its lines end in LF, CRLF or CR, and
//! fields may be quoted. White space around a field is dropped, and so are lines without a character on them.

pub mod import;
mod problem;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt, fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use csv::StringRecord;

pub use self::problem::{BadRows, CaseloadError, Column, Reason, RowProblem};

/// The largest values that a programme's schema has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Persons in a household.
    pub members_max: u16,
    /// Children under two years in a household.
    pub under_two_max: u16,
    /// Months until a registration must be renewed.
    pub months_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members_max: 15, under_two_max: 15, months_max: 120 }
    }
}

/// A caseload that passed every check: at least one household, each case once.
#[derive(Debug)]
pub struct Caseload {
    households: Vec<Household>,
    sites: Vec<SiteName>,
    ignored_columns: Vec<String>,
}

impl Caseload {
    /// Reads a caseload from a file.
    ///
    /// # Errors
    /// [`CaseloadError::Read`], or what [`Caseload::parse`] finds.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, CaseloadError> {
        Self::parse(&fs::read(path).map_err(CaseloadError::Read)?, limits)
    }

    /// Reads a caseload from a file's content.
    ///
    /// # Errors
    /// The first thing that is wrong with the file as a whole, or else [`CaseloadError::Rows`] with everything that is
    /// wrong with its rows.
    pub fn parse(content: &[u8], limits: &Limits) -> Result<Self, CaseloadError> {
        let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        let mut lines = Lines::new(content);
        if let Err(error) = std::str::from_utf8(content) {
            return Err(CaseloadError::NotUtf8 { line: lines.at(error.valid_up_to()) });
        }
        let mut rows = Rows::new(content, lines);

        let header = match rows.next().transpose()? {
            None => return Err(CaseloadError::Empty),
            Some(row) if !row.closed => return Err(BadRows::one(row.line, Reason::UnclosedQuote).into()),
            Some(row) => Header::parse(&row)?,
        };
        let mut import = Import { limits, first_line: HashMap::new(), problems: Vec::new(), households: Vec::new() };
        for row in rows {
            import.row(&header, &row?);
        }
        let Import { problems, households, .. } = import;
        if !problems.is_empty() {
            return Err(BadRows::new(problems).into());
        }
        if households.is_empty() {
            return Err(CaseloadError::NoHouseholds);
        }
        let sites: BTreeSet<_> = households.iter().map(|household| &household.attributes.site).collect();
        let sites = sites.into_iter().cloned().collect();
        Ok(Self { households, sites, ignored_columns: header.ignored })
    }

    /// The households in the order of the file.
    pub fn households(&self) -> &[Household] {
        &self.households
    }

    /// Gives up the households, in the order of the file.
    pub fn into_households(self) -> Vec<Household> {
        self.households
    }

    /// The sites that occur, each once, sorted by the bytes of their names.
    pub fn sites(&self) -> &[SiteName] {
        &self.sites
    }

    /// Headings of columns that the import did not read. Whoever imports is to be told.
    pub fn ignored_columns(&self) -> &[String] {
        &self.ignored_columns
    }
}

/// One row of the caseload.
#[derive(Debug)]
pub struct Household {
    identifiers: AgencyIdentifiers,
    attributes: Attributes,
}

impl Household {
    /// What the agency calls the household: for its slip only.
    pub fn identifiers(&self) -> &AgencyIdentifiers {
        &self.identifiers
    }

    /// What goes on to the programme.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Parts the two, so that the attributes can go where identifiers must not.
    pub fn into_parts(self) -> (AgencyIdentifiers, Attributes) {
        (self.identifiers, self.attributes)
    }
}

/// Personal data: cannot be serialized or cloned, and shows nothing in `Debug`.
pub struct AgencyIdentifiers {
    case_id: String,
    document_no: String,
    phone: String,
}

impl AgencyIdentifiers {
    /// The agency's number of the case.
    pub fn case_id(&self) -> &str {
        &self.case_id
    }

    /// The number of the identity or registration document.
    pub fn document_no(&self) -> &str {
        &self.document_no
    }

    /// The telephone number.
    pub fn phone(&self) -> &str {
        &self.phone
    }
}

impl fmt::Debug for AgencyIdentifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgencyIdentifiers(redacted)")
    }
}

/// What a programme needs to know of a household.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// The distribution site.
    pub site: SiteName,
    /// Persons in the household, from 1.
    pub members: u16,
    /// Children under two years among them.
    pub under_two: u16,
    /// Months until the registration must be renewed, from 1.
    pub months_registered: u16,
}

/// The name of a distribution site: 1 to 64 characters, none of them a control character or an invisible one, no white
/// space at the ends. Not fit for a path: it may contain a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName(Arc<str>);

impl SiteName {
    /// The most characters (Unicode scalar values) in a name.
    pub const MAX_CHARACTERS: usize = 64;

    /// Reads a name, dropping white space around it.
    ///
    /// # Errors
    /// Why it is none: [`Reason::Empty`], [`Reason::TooLong`] or [`Reason::Unprintable`].
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let text = text.trim();
        if text.is_empty() {
            Err(Reason::Empty)
        } else if text.chars().count() > Self::MAX_CHARACTERS {
            Err(Reason::TooLong { max: Self::MAX_CHARACTERS })
        } else if text.chars().any(is_unprintable) {
            Err(Reason::Unprintable)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Control characters, and those by which two names that look alike could differ or a line could be shown in another order.
/// Joiners stay: Persian, Hindi and others are written with them.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The state of reading rows; goes on after a bad one, to find them all.
struct Import<'a> {
    limits: &'a Limits,
    /// The line in which a case was first seen.
    first_line: HashMap<String, u64>,
    problems: Vec<RowProblem>,
    households: Vec<Household>,
}

impl Import<'_> {
    fn row(&mut self, header: &Header, row: &Row) {
        let before = self.problems.len();
        let household = self.household(header, row);
        // Once a row is bad nothing will be returned.
        if self.problems.len() == before
            && let Some(household) = household
        {
            self.households.push(household);
        }
    }

    /// Nothing only if it also noted a problem.
    fn household(&mut self, header: &Header, row: &Row) -> Option<Household> {
        let whole_row = if !row.closed {
            Some(Reason::UnclosedQuote)
        } else if row.record.iter().all(|field| field.trim().is_empty()) {
            Some(Reason::EmptyRow)
        } else if row.record.len() != header.fields {
            Some(Reason::Ragged { found: row.record.len(), expected: header.fields })
        } else {
            None
        };
        if let Some(reason) = whole_row {
            self.problems.push(RowProblem { line: row.line, column: None, reason });
            return None;
        }

        let text = |column| header.field(column, &row.record);
        let Limits { members_max, under_two_max, months_max } = *self.limits;
        let case_id = self.keep(row, Column::CaseId, required(text(Column::CaseId)));
        if let Some(case_id) = case_id {
            if let Some(&first_line) = self.first_line.get(case_id) {
                self.problem(row, Column::CaseId, Reason::Duplicate { first_line });
            } else {
                self.first_line.insert(case_id.to_owned(), row.line);
            }
        }
        let document_no = self.keep(row, Column::DocumentNo, required(text(Column::DocumentNo)));
        let phone = self.keep(row, Column::Phone, required(text(Column::Phone)));
        let site = self.keep(row, Column::Site, SiteName::parse(text(Column::Site)));
        let members = self.keep(row, Column::Members, number(text(Column::Members), 1, members_max));
        let under_two = number(text(Column::UnderTwo), 0, under_two_max).and_then(|under_two| match members {
            Some(members) if under_two > members => Err(Reason::MoreThanMembers),
            _ => Ok(under_two),
        });
        let under_two = self.keep(row, Column::UnderTwo, under_two);
        let pregnant_or_lactating = match text(Column::PregnantOrLactating) {
            "" => Err(Reason::Empty),
            "0" | "1" => Ok(()),
            _ => Err(Reason::NotZeroOrOne),
        };
        self.keep(row, Column::PregnantOrLactating, pregnant_or_lactating);
        let months = number(text(Column::MonthsRegistered), 1, months_max);
        let months_registered = self.keep(row, Column::MonthsRegistered, months);

        Some(Household {
            identifiers: AgencyIdentifiers {
                case_id: case_id?.to_owned(),
                document_no: document_no?.to_owned(),
                phone: phone?.to_owned(),
            },
            attributes: Attributes {
                site: site?,
                members: members?,
                under_two: under_two?,
                months_registered: months_registered?,
            },
        })
    }

    /// The value, or a note of what is wrong with it.
    fn keep<T>(&mut self, row: &Row, column: Column, value: Result<T, Reason>) -> Option<T> {
        value.map_err(|reason| self.problem(row, column, reason)).ok()
    }

    fn problem(&mut self, row: &Row, column: Column, reason: Reason) {
        self.problems.push(RowProblem { line: row.line, column: Some(column), reason });
    }
}

fn required(text: &str) -> Result<&str, Reason> {
    if text.is_empty() { Err(Reason::Empty) } else { Ok(text) }
}

/// Digits only: no sign, no point, no separators.
fn number(text: &str, min: u16, max: u16) -> Result<u16, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Reason::NotWhole);
    }
    // Digits that do not fit are too many.
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or(Reason::OutOfRange { min: min.into(), max: max.into() })
}

/// Where the columns are.
struct Header {
    /// By the order of [`Column::ALL`].
    places: [usize; Column::ALL.len()],
    fields: usize,
    ignored: Vec<String>,
}

impl Header {
    fn parse(row: &Row) -> Result<Self, CaseloadError> {
        let line = row.line;
        let headings: Vec<&str> = row.record.iter().map(str::trim).collect();
        let named = |column: Column| {
            headings.iter().enumerate().filter(move |(_, heading)| heading.eq_ignore_ascii_case(column.name()))
        };
        let mut places = [0; Column::ALL.len()];
        let mut missing = Vec::new();
        for (place, column) in places.iter_mut().zip(Column::ALL) {
            let mut found = named(column).map(|(index, _)| index);
            match (found.next(), found.next()) {
                (None, _) => missing.push(column),
                (Some(index), None) => *place = index,
                (Some(_), Some(_)) => return Err(CaseloadError::RepeatedColumn { line, column }),
            }
        }
        // A row of data in the header's place must not be quoted back.
        if missing.len() == Column::ALL.len() {
            let separated = |by| headings.iter().any(|heading| heading.contains(by));
            return Err(if headings.len() == 1 && (separated(';') || separated('\t')) {
                CaseloadError::Separator { line }
            } else {
                CaseloadError::NoHeader { line }
            });
        }
        if !missing.is_empty() {
            return Err(CaseloadError::MissingColumns { line, columns: missing });
        }
        let ignored = headings.iter().enumerate().filter(|(index, _)| !places.contains(index));
        let ignored = ignored.map(|(_, heading)| (*heading).to_owned()).collect();
        Ok(Self { places, fields: headings.len(), ignored })
    }

    /// A field without the white space around it.
    fn field<'a>(&self, column: Column, record: &'a StringRecord) -> &'a str {
        // Rows of another length than the header's were refused.
        record.get(self.places[column as usize]).unwrap_or_default().trim()
    }
}

/// A row of the file.
struct Row {
    /// Where it starts, counted from 1 as editors do.
    line: u64,
    record: StringRecord,
    /// Whether its quotes are closed: false in the last row only, which then has swallowed the rest of the file.
    closed: bool,
}

/// The rows of a file. The csv crate forgives a quote that never closes; a mark that it must find as a row of its own, at
/// the end, tells.
struct Rows<'a> {
    records: std::iter::Peekable<csv::StringRecordsIntoIter<io::Chain<&'a [u8], &'static [u8]>>>,
    lines: Lines<'a>,
}

const END_MARK: &str = "annona: end of file";
const END_LINE: &[u8] = b"\nannona: end of file\n";

impl<'a> Rows<'a> {
    fn new(content: &'a [u8], lines: Lines<'a>) -> Self {
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content.chain(END_LINE));
        Self { records: reader.into_records().peekable(), lines }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, CaseloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error.into())),
        };
        let closed = self.records.peek().is_some();
        if !closed && record == [END_MARK][..] {
            return None;
        }
        let start = record.position().map_or(0, csv::Position::byte);
        // A slice's offsets fit.
        let line = self.lines.at_text(usize::try_from(start).unwrap_or(usize::MAX));
        Some(Ok(Row { line, record, closed }))
    }
}

/// Counts lines as an editor shows them: LF, CRLF and CR each end one, inside quotes as well. Only goes forward.
struct Lines<'a> {
    content: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(content: &'a [u8]) -> Self {
        Self { content, at: 0, line: 1 }
    }

    /// The line of a place in the file.
    fn at(&mut self, place: usize) -> u64 {
        while self.at < place {
            self.step();
        }
        self.line
    }

    /// The same, after passing line ends: the csv crate starts a record where the last one stopped, before blank lines and
    /// in the middle of a CRLF.
    fn at_text(&mut self, place: usize) -> u64 {
        self.at(place);
        while matches!(self.content.get(self.at), Some(b'\n' | b'\r')) {
            self.step();
        }
        self.line
    }

    fn step(&mut self) {
        let next = self.content.get(self.at + 1);
        match self.content.get(self.at) {
            Some(b'\n') => self.line += 1,
            Some(b'\r') if next != Some(&b'\n') => self.line += 1,
            _ => {}
        }
        self.at += 1;
    }
}
