//! Stock sheets: rows of a CSV file or of a workbook's first sheet, with exact amounts.

use std::{
    fs, io,
    io::Cursor,
    path::{Path, PathBuf},
};

use annona_protocol::ids::Round;
use calamine::{DataRef, Reader as _, Xlsx};

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

/// Reads a sheet.
///
/// # Errors
/// [`SheetError`], with the row.
pub fn read(path: &Path) -> Result<Vec<SheetRow>, SheetError> {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_ascii_lowercase();
    let content = fs::read(path).map_err(|source| SheetError::Read { path: path.to_owned(), source })?;
    let rows = match kind.as_str() {
        "csv" => csv_rows(&content)?,
        "xlsx" => workbook_rows(&content).ok_or_else(|| SheetError::Workbook { path: path.to_owned() })?,
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

type Rows = Vec<(u64, Vec<String>)>;

fn csv_rows(content: &[u8]) -> Result<Rows, SheetError> {
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
        rows.push((row, record.iter().map(str::to_owned).collect()));
    }
    Ok(rows)
}

/// More than any stock sheet has.
const MOST_COLUMNS: usize = 256;
const MOST_ROWS: usize = 100_000;

fn workbook_rows(content: &[u8]) -> Option<Rows> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(content)).ok()?;
    let first = book.sheet_names().first()?.clone();
    let mut reader = book.worksheet_cells_reader(&first).ok()?;
    let mut rows: Rows = Vec::new();
    while let Some(cell) = reader.next_cell().ok()? {
        let (row, column) = cell.get_position();
        let (number, column) = (u64::from(row) + 1, usize::try_from(column).ok()?);
        if column >= MOST_COLUMNS || rows.len() >= MOST_ROWS {
            return None;
        }
        let text = match cell.get_value() {
            DataRef::Int(number) => number.to_string(),
            DataRef::Float(number) => number.to_string(),
            DataRef::String(text) => text.clone(),
            DataRef::SharedString(text) => (*text).to_owned(),
            DataRef::Empty => continue,
            // Refused as an amount, with its row.
            _ => "?".to_owned(),
        };
        if rows.last().is_none_or(|(last, _)| *last != number) {
            rows.push((number, Vec::new()));
        }
        let (_, cells) = rows.last_mut()?;
        if cells.len() <= column {
            cells.resize(column + 1, String::new());
        }
        cells[column] = text;
    }
    Some(rows)
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
