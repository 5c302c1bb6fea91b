//! Stock sheets: rows of a CSV file or of a workbook's first sheet, with exact amounts.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use annona_protocol::ids::Round;

use super::workbook::{self, WorkbookFault};

/// An amount in thousandths of the sheet's measure.
pub type Thousandths = i128;

/// The columns of a sheet; the first two must be there.
pub const COLUMNS: [&str; 8] = ["item", "received", "measure", "round", "opening", "left", "returned", "damaged"];
const NEEDED: usize = 2;
const AMOUNTS: [&str; 5] = ["opening", "received", "left", "returned", "damaged"];

/// A row of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetRow {
    /// Its number in the file, from 1.
    pub number: u64,
    /// The item, as the manifest names it.
    pub item: String,
    /// The round; nothing for all rounds.
    pub round: Option<Round>,
    /// The measure, if the row says so.
    pub measure: Option<String>,
    /// What was there before.
    pub opening: Thousandths,
    /// What came.
    pub received: Thousandths,
    /// What is left.
    pub left: Thousandths,
    /// What went back.
    pub returned: Thousandths,
    /// What was lost or spoilt.
    pub damaged: Thousandths,
}

/// Why a stock sheet cannot be read. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}. Check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither CSV nor a workbook by its name.
    #[error("{} is neither .csv nor .xlsx. Save the sheet as one of them", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// The workbook cannot be opened.
    #[error("{} is no workbook that can be read. Save it again as .xlsx", path.display())]
    Workbook {
        /// The file.
        path: PathBuf,
    },
    /// The file has, or says that it has, more than a stock sheet can have.
    #[error("{} has {what}: more than any stock sheet has. Ask the site for a sheet with the rows of the stock and nothing else", path.display())]
    Hostile {
        /// The file.
        path: PathBuf,
        /// More of what.
        what: Hostile,
    },
    /// The CSV is malformed or not UTF-8.
    #[error("row {row} is no CSV in UTF-8. Save the sheet again as CSV (UTF-8), with commas")]
    Csv {
        /// The row.
        row: u64,
    },
    /// There is no heading.
    #[error("the sheet is empty. Its first row names the columns: item, received, left, ...")]
    Empty,
    /// A needed column is missing.
    #[error("row {row}: the column `{column}` is missing. Add it, or name it so")]
    MissingColumn {
        /// The heading's row.
        row: u64,
        /// The column.
        column: &'static str,
    },
    /// A column that is none of a stock sheet, or a second time.
    #[error("row {row}: column {at} is unknown or there twice. Remove it, or name it as one of: {}", COLUMNS.join(", "))]
    Column {
        /// The heading's row.
        row: u64,
        /// Its position, from 1.
        at: usize,
    },
    /// An amount is no amount.
    #[error(
        "row {row}: `{column}` is no amount. Write digits with at most three behind a point, and no unit: 1250 or 0.5"
    )]
    Amount {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
    },
    /// A round is none.
    #[error("row {row}: `round` is no round. Write its number, or leave it empty for all rounds")]
    Round {
        /// The row.
        row: u64,
    },
    /// A row has more cells than the heading.
    #[error("row {row} has more cells than the first row. Remove them, or name their columns")]
    Long {
        /// The row.
        row: u64,
    },
    /// A row without an item.
    #[error("row {row}: `item` is empty. Name the item, or remove the row")]
    Item {
        /// The row.
        row: u64,
    },
}

/// What a file has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hostile {
    /// The file, or what it unpacks to.
    Bytes,
    /// Parts of the workbook.
    Parts,
    /// Strings, by its own word.
    Count,
    /// Columns.
    Columns,
    /// Rows.
    Rows,
    /// Cells.
    Cells,
    /// The text of one cell.
    Text,
}

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "more than 64 MiB, as it is or unpacked",
            Self::Parts => "more than 1,000 parts",
            Self::Count => "a declared number of strings beyond 1,000,000",
            Self::Columns => "more than 256 columns",
            Self::Rows => "more than 100,000 rows",
            Self::Cells => "more than 1,000,000 cells",
            Self::Text => "a cell of more than 32,767 characters",
        })
    }
}

/// The most bytes of a file, and of what it unpacks to.
pub(super) const MOST_BYTES: u64 = 64 << 20;
const MOST_ROWS: usize = 100_000;
const MOST_CELLS: usize = 1_000_000;

/// What was taken from a file so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    rows: usize,
    cells: usize,
    bytes: u64,
}

impl Taken {
    pub(super) fn row(&mut self) -> Result<(), Hostile> {
        self.rows += 1;
        if self.rows > MOST_ROWS { Err(Hostile::Rows) } else { Ok(()) }
    }

    pub(super) fn cells(&mut self, more: usize) -> Result<(), Hostile> {
        self.cells += more;
        if self.cells > MOST_CELLS { Err(Hostile::Cells) } else { Ok(()) }
    }

    /// A string that many cells share counts in each of them.
    pub(super) fn bytes(&mut self, more: usize) -> Result<(), Hostile> {
        self.bytes += more as u64;
        if self.bytes > MOST_BYTES { Err(Hostile::Bytes) } else { Ok(()) }
    }
}

/// Reads a sheet.
///
/// # Errors
/// [`SheetError`], with the row.
pub fn read(path: &Path) -> Result<Vec<SheetRow>, SheetError> {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_ascii_lowercase();
    let hostile = |what| SheetError::Hostile { path: path.to_owned(), what };
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut content));
    let size = read.map_err(|source| SheetError::Read { path: path.to_owned(), source })?;
    if size as u64 > MOST_BYTES {
        return Err(hostile(Hostile::Bytes));
    }
    let rows = match kind.as_str() {
        "csv" => csv_rows(&content, &hostile)?,
        "xlsx" => workbook::rows(&content).map_err(|fault| match fault {
            WorkbookFault::Malformed => SheetError::Workbook { path: path.to_owned() },
            WorkbookFault::Hostile(what) => hostile(what),
        })?,
        _ => return Err(SheetError::Kind { path: path.to_owned() }),
    };
    let mut rows = rows.into_iter().filter(|(_, cells)| cells.iter().any(|cell| !cell.trim().is_empty()));
    let (row, heading) = rows.next().ok_or(SheetError::Empty)?;
    let columns = columns(row, &heading)?;
    rows.map(|(number, cells)| parse(number, &cells, &columns)).collect()
}

/// For each of [`COLUMNS`], where it is.
type Columns = [Option<usize>; COLUMNS.len()];

fn columns(row: u64, heading: &[String]) -> Result<Columns, SheetError> {
    let mut columns = [None; COLUMNS.len()];
    for (at, name) in heading.iter().enumerate() {
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            continue;
        }
        let known = COLUMNS.iter().position(|column| *column == name).filter(|known| columns[*known].is_none());
        columns[known.ok_or(SheetError::Column { row, at: at + 1 })?] = Some(at);
    }
    match COLUMNS[..NEEDED].iter().zip(columns).find(|(_, at)| at.is_none()) {
        Some((column, _)) => Err(SheetError::MissingColumn { row, column }),
        None => Ok(columns),
    }
}

fn parse(number: u64, cells: &[String], columns: &Columns) -> Result<SheetRow, SheetError> {
    let beyond = cells.iter().enumerate().any(|(at, cell)| !cell.trim().is_empty() && !columns.contains(&Some(at)));
    if beyond {
        return Err(SheetError::Long { row: number });
    }
    let cell = |name: &str| {
        let column = COLUMNS.iter().position(|column| *column == name).and_then(|at| columns[at]);
        column.and_then(|at| cells.get(at)).map_or("", |cell| cell.trim())
    };
    let item = cell("item");
    if item.is_empty() {
        return Err(SheetError::Item { row: number });
    }
    let round = match cell("round") {
        "" => None,
        round => Some(Round(round.parse().map_err(|_| SheetError::Round { row: number })?)),
    };
    let measure = Some(cell("measure")).filter(|measure| !measure.is_empty()).map(str::to_owned);
    let mut amounts = [0; AMOUNTS.len()];
    for (amount, column) in amounts.iter_mut().zip(AMOUNTS) {
        *amount = thousandths(cell(column)).ok_or(SheetError::Amount { row: number, column })?;
    }
    let [opening, received, left, returned, damaged] = amounts;
    Ok(SheetRow { number, item: item.to_owned(), round, measure, opening, received, left, returned, damaged })
}

/// An amount; nothing written is nothing there.
fn thousandths(text: &str) -> Option<Thousandths> {
    if text.is_empty() {
        return Some(0);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole, 15) || !digits(part, 15) {
        return None;
    }
    // Spreadsheets pad with zeros.
    let part = part.trim_end_matches('0');
    if part.len() > 3 {
        return None;
    }
    Some(whole.parse::<i128>().ok()? * 1000 + format!("{part:0<3}").parse::<i128>().ok()?)
}

/// Rows with their numbers.
pub(super) type Rows = Vec<(u64, Vec<String>)>;

fn csv_rows(content: &[u8], hostile: &dyn Fn(Hostile) -> SheetError) -> Result<Rows, SheetError> {
    let mut taken = Taken::default();
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record =
            record.map_err(|error| SheetError::Csv { row: error.position().map_or(1, csv::Position::line) })?;
        let row = record.position().map_or(0, |position| {
            // A record begins, for the reader, with the empty lines before it.
            let from = content.get(position.byte() as usize..).unwrap_or_default();
            let empty = from.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
            position.line() + empty.count() as u64
        });
        taken.row().and_then(|()| taken.cells(record.len())).map_err(hostile)?;
        rows.push((row, record.iter().map(str::to_owned).collect()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, amount) in
            [("", 0), ("0", 0), ("1250", 1_250_000), ("0.5", 500), ("12.125", 12_125), ("3.1000", 3100)]
        {
            assert_eq!(thousandths(text), Some(amount), "{text}");
        }
        for text in ["-1", "1,5", "1 000", "12kg", ".5", "5.", "0.0001", "1e3", "NaN", "٣", "?"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
