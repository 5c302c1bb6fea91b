//! Import of an agency's export for a lot of tickets: CSV or XLSX, with columns of any names.
//!
//! A [`Mapping`] says which column holds what: the case's id, the round in which the credential expires, perhaps the site that
//! the slip names, and each attribute of the programme's schema. Of all other columns nothing is kept. The whole file is
//! checked before anything is returned; problems name row and column and never a value.
//!
//! What the agency calls a case and what goes on to the programme part in [`Cases::into_parts`]: [`Identity`] may reach the
//! slips only, [`TicketRow`] the ticket store only.

mod problem;
mod sheet;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, fs,
    io::Read as _,
    ops::RangeInclusive,
    path::Path,
};

use annona_protocol::{
    ids::{Round, TicketHash},
    programme::{Header, LotTerms, Schema, TicketKind},
};
use zeroize::{Zeroize as _, Zeroizing};

pub use self::problem::{ImportError, ImportProblem, ImportProblems, MappingError};
use self::sheet::{Cell, Row};
use super::{Reason, SiteName, is_unprintable};
use crate::tickets::TicketRow;

/// The most bytes of a file.
pub const MAX_BYTES: u64 = 1 << 30;
/// The most cases of a file.
pub const MAX_CASES: usize = 2_000_000;
/// How many problems are looked for before the import gives up.
const MAX_PROBLEMS: usize = 10_000;

/// Which column holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    case_id: String,
    site: Option<String>,
    after: Option<String>,
    expires: Expiry,
    /// By the schema's order.
    attributes: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expiry {
    Column(String),
    /// One round for all: no case stands out by its expiry.
    Fixed(Round),
}

impl Mapping {
    /// Reads `field=column` pairs for a programme. Fields are `case_id`, `site`, `expires`, `after` and the attributes by their names
    /// (`attribute.NAME` if one has the name of another field). What no pair names is looked for under its own name. With
    /// `expires` given, all cases expire in that round and no column is read for it.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn parse<S: AsRef<str>>(pairs: &[S], expires: Option<Round>, schema: &Schema) -> Result<Self, MappingError> {
        let attribute = |field: &str| {
            let name = field.strip_prefix("attribute.").unwrap_or(field);
            schema.attributes.iter().find(|attribute| attribute.name == name).map(|found| found.name.clone())
        };
        let mut columns: HashMap<String, String> = HashMap::new();
        for pair in pairs {
            let (field, column) = pair.as_ref().split_once('=').ok_or(MappingError::Pair)?;
            let (field, column) = (field.trim(), column.trim());
            if column.is_empty() {
                return Err(MappingError::Pair);
            }
            let field = match field {
                CASE_ID | SITE | AFTER => field.to_owned(),
                EXPIRES if expires.is_some() => return Err(MappingError::ExpiresTwice),
                EXPIRES => field.to_owned(),
                other => match attribute(other) {
                    Some(name) => format!("attribute.{name}"),
                    None => return Err(MappingError::unknown(other, schema)),
                },
            };
            if let Entry::Vacant(place) = columns.entry(field) {
                place.insert(column.to_owned());
            } else {
                return Err(MappingError::Repeated);
            }
        }
        let mut of = |field: &str, fallback: &str| columns.remove(field).unwrap_or_else(|| fallback.to_owned());
        let attributes =
            schema.attributes.iter().map(|a| (a.name.clone(), of(&format!("attribute.{}", a.name), &a.name))).collect();
        Ok(Self {
            case_id: of(CASE_ID, CASE_ID),
            expires: expires.map_or_else(|| Expiry::Column(of(EXPIRES, EXPIRES)), Expiry::Fixed),
            site: columns.remove(SITE),
            after: columns.remove(AFTER),
            attributes,
        })
    }

    /// Each case names the one whose amend comes first, in the column that is mapped to `after`, or that has this name.
    #[must_use]
    pub fn with_after(mut self) -> Self {
        self.after.get_or_insert_with(|| AFTER.to_owned());
        self
    }

    /// Whether a column says whose amend comes first.
    pub fn has_after(&self) -> bool {
        self.after.is_some()
    }
}

const CASE_ID: &str = "case_id";
const SITE: &str = "site";
const EXPIRES: &str = "expires";
const AFTER: &str = "after";

/// What the agency calls a case: for its slip only. Cannot be cloned or serialized, shows nothing in `Debug`, and is wiped on
/// drop.
pub struct Identity {
    case_id: String,
    site: Option<SiteName>,
}

impl Identity {
    /// The most characters of a case's id.
    pub const MAX_CHARACTERS: usize = 64;

    /// Takes over a case's id: 1 to 64 characters that can be seen, white space around them dropped.
    ///
    /// # Errors
    /// Why it is none: [`Reason::Empty`], [`Reason::TooLong`] or [`Reason::Unprintable`].
    pub fn new(case_id: &str, site: Option<SiteName>) -> Result<Self, Reason> {
        let case_id = case_id.trim();
        if case_id.is_empty() {
            Err(Reason::Empty)
        } else if case_id.chars().count() > Self::MAX_CHARACTERS {
            Err(Reason::TooLong { max: Self::MAX_CHARACTERS })
        } else if case_id.chars().any(is_unprintable) {
            Err(Reason::Unprintable)
        } else {
            Ok(Self { case_id: case_id.to_owned(), site })
        }
    }

    /// The agency's number of the case.
    pub fn case_id(&self) -> &str {
        &self.case_id
    }

    /// The site at which the slip is handed out, if the file names one.
    pub fn site(&self) -> Option<&SiteName> {
        self.site.as_ref()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.case_id.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

/// A file that passed every check: at least one case, each once.
#[derive(Debug)]
pub struct Cases {
    identities: Vec<Identity>,
    tickets: Vec<TicketRow>,
    /// Of each case, if the mapping has a column for it.
    after: Vec<After>,
    ignored_columns: Vec<String>,
    is_workbook: bool,
}

/// The case whose amend comes first, and where it is named.
#[derive(Debug)]
struct After {
    row: u64,
    column: usize,
    case: Identity,
}

impl Cases {
    /// Reads a file for a lot of a programme.
    ///
    /// # Errors
    /// [`ImportError::Read`], [`ImportError::TooLong`], or what [`Cases::parse`] finds.
    pub fn open(path: &Path, mapping: &Mapping, header: &Header, lot: &LotTerms) -> Result<Self, ImportError> {
        let file = fs::File::open(path).map_err(ImportError::Read)?;
        let mut content = Zeroizing::new(Vec::new());
        file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(ImportError::Read)?;
        Self::parse(&content, mapping, header, lot)
    }

    /// Reads a file's content: an XLSX workbook's first sheet, or CSV in UTF-8 with commas.
    ///
    /// # Errors
    /// The first thing that is wrong with the file as a whole, or else [`ImportError::Rows`] with what is wrong with its rows.
    pub fn parse(content: &[u8], mapping: &Mapping, header: &Header, lot: &LotTerms) -> Result<Self, ImportError> {
        if content.len() as u64 > MAX_BYTES {
            return Err(ImportError::TooLong);
        }
        let mut import = Import {
            mapping,
            schema: &header.schema,
            expires: expiry_range(header, lot),
            columns: None,
            first_row: HashMap::new(),
            problems: Vec::new(),
            cases: Self {
                identities: Vec::new(),
                tickets: Vec::new(),
                after: Vec::new(),
                ignored_columns: Vec::new(),
                is_workbook: content.starts_with(b"PK\x03\x04"),
            },
        };
        let is_workbook = import.cases.is_workbook;
        if is_workbook {
            sheet::workbook(content, &mut |row| import.row(row))?;
        } else {
            sheet::csv(content, &mut |row| import.row(row))?;
        }
        let Import { columns, problems, cases, .. } = import;
        if !problems.is_empty() {
            return Err(ImportProblems::new(problems, is_workbook).into());
        }
        match (columns, cases.identities.is_empty()) {
            (None, _) => Err(ImportError::Empty),
            (Some(_), true) => Err(ImportError::NoCases),
            (Some(_), false) => Ok(cases),
        }
    }

    /// How many cases there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Headings of columns that the import did not read. Whoever imports is to be told.
    pub fn ignored_columns(&self) -> &[String] {
        &self.ignored_columns
    }

    /// The amend ticket that has to be used before the ticket of each case, in the order of the file; nothing if the mapping has
    /// no column `after`. `find` gives the ticket of a case's amend.
    ///
    /// # Errors
    /// [`ImportError::Rows`] names every row whose case has none.
    pub fn after(&self, find: impl Fn(&str) -> Option<TicketHash>) -> Result<Vec<TicketHash>, ImportError> {
        let (mut found, mut problems) = (Vec::with_capacity(self.after.len()), Vec::new());
        for After { row, column, case } in &self.after {
            match find(case.case_id()) {
                Some(ticket) => found.push(ticket),
                None => problems.push(ImportProblem::at(*row, *column, AFTER, Reason::NoAmend)),
            }
        }
        if problems.is_empty() { Ok(found) } else { Err(ImportProblems::new(problems, self.is_workbook).into()) }
    }

    /// Parts what only slips may carry from what tickets grant; both in the order of the file.
    pub fn into_parts(self) -> (Vec<Identity>, Vec<TicketRow>) {
        (self.identities, self.tickets)
    }
}

/// The rounds in which a credential of the lot may expire.
fn expiry_range(header: &Header, lot: &LotTerms) -> RangeInclusive<u64> {
    let first = header.policy.first_round.0;
    let least = match lot.kind {
        TicketKind::Enrol | TicketKind::Split => first.max(lot.start.drawn.0.saturating_add(1)),
        TicketKind::Amend => first,
    };
    let most = u64::try_from(header.schema.limit() - 1).unwrap_or(0).min(u32::MAX.into());
    least.into()..=most
}

/// The state of an import; goes on after a bad row, to find more.
struct Import<'a> {
    mapping: &'a Mapping,
    schema: &'a Schema,
    expires: RangeInclusive<u64>,
    columns: Option<Columns>,
    /// The row in which a case was first seen, by a fingerprint: ids are not kept twice.
    first_row: HashMap<u128, u64>,
    problems: Vec<ImportProblem>,
    cases: Cases,
}

/// Where the columns are.
struct Columns {
    case_id: usize,
    site: Option<usize>,
    expires: Option<usize>,
    after: Option<usize>,
    attributes: Vec<usize>,
    width: usize,
}

impl Import<'_> {
    fn row(&mut self, row: Row<'_>) -> Result<(), ImportError> {
        let Some(columns) = self.columns.take() else {
            self.columns = Some(self.header(&row)?);
            return Ok(());
        };
        if self.cases.identities.len() >= MAX_CASES {
            return Err(ImportError::TooManyCases);
        }
        self.case(&columns, &row);
        self.columns = Some(columns);
        // Nothing will be returned any more; what is known so far is enough to work on.
        if self.problems.len() >= MAX_PROBLEMS { Err(ImportError::Stop) } else { Ok(()) }
    }

    fn header(&mut self, row: &Row<'_>) -> Result<Columns, ImportError> {
        if row.whole == Some(Reason::UnclosedQuote) {
            return Err(ImportError::UnclosedHeader { row: row.number });
        }
        let headings: Vec<String> = row.cells.iter().map(|cell| cell.text().trim().to_owned()).collect();
        let find = |column: &str| {
            let same = |heading: &&String| normal(heading) == normal(column);
            let mut found = headings.iter().enumerate().filter(|(_, heading)| same(heading)).map(|(at, _)| at);
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => Err(ImportError::RepeatedColumn { row: row.number, column: column.to_owned() }),
                (first, _) => Ok(first),
            }
        };
        let mapping = self.mapping;
        let mut missing = Vec::new();
        let mut required = |field: &str, column: &str| -> Result<usize, ImportError> {
            Ok(find(column)?.unwrap_or_else(|| {
                missing.push((field.to_owned(), column.to_owned()));
                0
            }))
        };
        let case_id = required(CASE_ID, &mapping.case_id)?;
        let expires = match &mapping.expires {
            Expiry::Column(column) => Some(required(EXPIRES, column)?),
            Expiry::Fixed(_) => None,
        };
        let after = mapping.after.as_ref().map(|column| required(AFTER, column)).transpose()?;
        let attributes = mapping.attributes.iter().map(|(field, column)| required(field, column));
        let attributes = attributes.collect::<Result<Vec<_>, _>>()?;
        let site = match &mapping.site {
            Some(column) => Some(required(SITE, column)?),
            None => find(SITE)?,
        };
        if !missing.is_empty() {
            // A row of data in the header's place must not be quoted back.
            let separated = |by| headings.iter().any(|heading| heading.contains(by));
            return Err(if headings.len() == 1 && (separated(';') || separated('\t')) {
                ImportError::Separator { row: row.number }
            } else {
                ImportError::MissingColumns { row: row.number, missing }
            });
        }
        let others = [site, expires, after].into_iter().flatten();
        let read: Vec<usize> = attributes.iter().copied().chain([case_id]).chain(others).collect();
        let ignored = headings.iter().enumerate().filter(|(at, _)| !read.contains(at));
        self.cases.ignored_columns = ignored.map(|(_, heading)| heading.clone()).collect();
        Ok(Columns { case_id, site, expires, after, attributes, width: headings.len() })
    }

    fn case(&mut self, columns: &Columns, row: &Row<'_>) {
        let before = self.problems.len();
        if let Some(reason) = row.whole_row(columns.width) {
            self.problems.push(ImportProblem { row: row.number, column: None, reason });
            return;
        }
        let site = match columns.site {
            Some(at) => self.keep(row, at, SITE, row.text(at).and_then(SiteName::parse)).map(Some),
            None => Some(None),
        };
        let identity = row.identifier(columns.case_id).and_then(|id| Identity::new(&id, site.clone().flatten()));
        let identity = self.keep(row, columns.case_id, CASE_ID, identity);
        if let Some(identity) = &identity {
            match self.first_row.entry(fingerprint(identity.case_id())) {
                Entry::Occupied(first) => {
                    let reason = Reason::Duplicate { first_line: *first.get() };
                    self.problems.push(ImportProblem::at(row.number, columns.case_id, CASE_ID, reason));
                }
                Entry::Vacant(place) => {
                    place.insert(row.number);
                }
            }
        }
        let expires = match (&self.mapping.expires, columns.expires) {
            (Expiry::Fixed(round), _) => Some(u64::from(round.0)),
            (Expiry::Column(_), Some(at)) => {
                let round = row.number_in(at, self.expires.clone());
                self.keep(row, at, EXPIRES, round)
            }
            (Expiry::Column(_), None) => None,
        };
        let after = columns.after.and_then(|column| {
            let case = row.identifier(column).and_then(|id| Identity::new(&id, None));
            self.keep(row, column, AFTER, case).map(|case| After { row: row.number, column, case })
        });
        let mut attributes = Vec::with_capacity(columns.attributes.len());
        for (at, attribute) in columns.attributes.iter().zip(&self.schema.attributes) {
            let number = row.number_in(*at, attribute.min..=attribute.max);
            match number {
                Ok(number) => attributes.push(number),
                Err(reason) => {
                    self.problems.push(ImportProblem::at(row.number, *at, &attribute.name, reason));
                }
            }
        }
        // Once a row is bad nothing will be returned.
        if let (true, Some(identity), Some(expires)) = (self.problems.len() == before, identity, expires)
            && let Ok(expires) = u32::try_from(expires)
        {
            self.cases.identities.push(identity);
            self.cases.after.extend(after);
            self.cases.tickets.push(TicketRow { expires: Round(expires), attributes });
        }
    }

    fn keep<T>(&mut self, row: &Row<'_>, at: usize, field: &str, value: Result<T, Reason>) -> Option<T> {
        value.map_err(|reason| self.problems.push(ImportProblem::at(row.number, at, field, reason))).ok()
    }
}

impl Row<'_> {
    fn whole_row(&self, width: usize) -> Option<Reason> {
        self.whole.or_else(|| {
            let found = self.cells.len();
            (found != width).then_some(Reason::Ragged { found, expected: width })
        })
    }

    fn text(&self, at: usize) -> Result<&str, Reason> {
        match self.cells.get(at) {
            Some(Cell::Text(text)) => Ok(text),
            Some(Cell::Bad(reason)) => Err(*reason),
            Some(Cell::Number(_)) | None => Err(Reason::Unprintable),
        }
    }

    /// An id, also one that a spreadsheet keeps as a number.
    fn identifier(&self, at: usize) -> Result<Zeroizing<String>, Reason> {
        match self.cells.get(at) {
            Some(Cell::Number(number)) if number.abs() >= 1e15 => Err(Reason::Rounded),
            Some(Cell::Number(number)) => Ok(Zeroizing::new(number.to_string())),
            _ => self.text(at).map(|text| Zeroizing::new(text.to_owned())),
        }
    }

    /// Digits only: no sign, no point, no separators.
    fn number_in(&self, at: usize, range: RangeInclusive<u64>) -> Result<u64, Reason> {
        let (min, max) = (*range.start(), *range.end());
        let number = match self.cells.get(at) {
            // Whole numbers below 2^53 are exact.
            Some(Cell::Number(number)) if number.fract() == 0.0 && (0.0..9e15).contains(number) => Some(*number as u64),
            Some(Cell::Number(_)) => return Err(Reason::NotWhole),
            _ => {
                let text = self.text(at)?.trim();
                if text.is_empty() {
                    return Err(Reason::Empty);
                }
                if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Reason::NotWhole);
                }
                // Digits that do not fit are too many.
                text.parse().ok()
            }
        };
        number.filter(|number| range.contains(number)).ok_or(Reason::OutOfRange { min, max })
    }
}

/// 128 bits of a hash: two of a file's ids collide with probability 2^-88 at most.
pub(crate) fn fingerprint(case_id: &str) -> u128 {
    let hash = blake3::hash(case_id.as_bytes());
    hash.as_bytes().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Headings are the same in upper and lower case, and with spaces, hyphens or underscores.
fn normal(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    lower.chars().map(|c| if c == '-' || c == ' ' { '_' } else { c }).collect()
}
