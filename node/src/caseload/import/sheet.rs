//! Rows of a CSV file or of a workbook's first sheet, one at a time.

use std::{
    borrow::Cow,
    io::{Cursor, Read as _},
};

use calamine::{DataRef, Reader as _, Xlsx};

use zeroize::Zeroizing;
use zip::ZipArchive;

use super::{MAX_BYTES, MAX_CASES, problem::ImportError};
use crate::caseload::{BYTE_ORDER_MARK, Lines, Reason, Rows};

/// A cell.
pub(super) enum Cell<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Bad(Reason),
}

impl Cell<'_> {
    /// The text of a heading.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Bad(_) => Cow::Borrowed(""),
        }
    }
}

/// A row.
pub(super) struct Row<'a> {
    /// A workbook's row, or the line on which the row starts; from 1.
    pub(super) number: u64,
    pub(super) cells: Vec<Cell<'a>>,
    /// What is wrong with the row as a whole.
    pub(super) whole: Option<Reason>,
}

type Take<'t> = &'t mut dyn FnMut(Row<'_>) -> Result<(), ImportError>;

/// Gives up reading where `take` says stop.
fn stopped(result: Result<(), ImportError>) -> Result<bool, ImportError> {
    match result {
        Ok(()) => Ok(false),
        Err(ImportError::Stop) => Ok(true),
        Err(error) => Err(error),
    }
}

pub(super) fn csv(content: &[u8], take: Take<'_>) -> Result<(), ImportError> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    let mut lines = Lines::new(content);
    if let Err(error) = std::str::from_utf8(content) {
        return Err(ImportError::NotUtf8 { row: lines.at(error.valid_up_to()) });
    }
    for row in Rows::new(content, lines) {
        let row = row.map_err(|_| ImportError::Csv)?;
        let whole = if !row.closed {
            Some(Reason::UnclosedQuote)
        } else if row.record.iter().all(|field| field.trim().is_empty()) {
            Some(Reason::EmptyRow)
        } else {
            None
        };
        let cells = row.record.iter().map(|field| Cell::Text(Cow::Borrowed(field))).collect();
        if stopped(take(Row { number: row.line, cells, whole }))? {
            break;
        }
    }
    Ok(())
}

/// The most columns of a workbook's sheet.
const MAX_COLUMNS: usize = 16_384;

pub(super) fn workbook(content: &[u8], take: Take<'_>) -> Result<(), ImportError> {
    unpacks(content).ok_or(ImportError::Workbook)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(content)).map_err(|_| ImportError::Workbook)?;
    let first = book.sheet_names().first().cloned().ok_or(ImportError::Workbook)?;
    let mut reader = book.worksheet_cells_reader(&first).map_err(|_| ImportError::Workbook)?;
    let mut gathered = Gathered { width: None, row: 0, cells: Vec::new() };
    while let Some(cell) = reader.next_cell().map_err(|_| ImportError::Workbook)? {
        let (row, column) = cell.get_position();
        let column = usize::try_from(column).map_err(|_| ImportError::Workbook)?;
        if row < gathered.row || column >= MAX_COLUMNS {
            return Err(ImportError::Workbook);
        }
        if row > gathered.row && gathered.finish(row, take)? {
            return Ok(());
        }
        if let Some(cell) = cell_of(cell.get_value()) {
            gathered.put(column, cell);
        }
    }
    gathered.finish(u32::MAX, take).map(|_| ())
}

/// The most parts of a workbook, and shared strings.
const MAX_PARTS: usize = 1000;
const MAX_STRINGS: u64 = 32 * MAX_CASES as u64;

/// Unpacks every part within bounds before the reader of workbooks does: what a part says of its own size is not believed. All
/// are UTF-8 without control characters, as every spreadsheet program writes them, so that the number of strings for which
/// space is set aside can be read here as the reader reads it.
fn unpacks(content: &[u8]) -> Option<()> {
    let mut archive = ZipArchive::new(Cursor::new(content)).ok()?;
    let mut left = MAX_BYTES;
    for at in 0..Some(archive.len()).filter(|parts| *parts <= MAX_PARTS)? {
        let mut part = archive.by_index(at).ok()?;
        let name = part.name().ok()?.to_ascii_lowercase();
        // Whole from the start, so that no copy is left where it grew.
        let size = usize::try_from(Some(part.size()).filter(|size| *size <= left)?).ok()?;
        let mut bytes = Zeroizing::new(Vec::new());
        bytes.try_reserve_exact(size).ok()?;
        part.by_ref().take(size as u64).read_to_end(&mut bytes).ok()?;
        // More than it says, or another checksum.
        if part.read(&mut [0]).ok()? != 0 {
            return None;
        }
        left -= bytes.len() as u64;
        if name.ends_with(".xml") || name.ends_with(".rels") {
            let text = std::str::from_utf8(&bytes).ok()?;
            let control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
            if text.bytes().any(control) || !declares_little(text) {
                return None;
            }
        }
    }
    Some(())
}

/// Whether the part declares no more shared strings, and numbers no row higher, than a workbook can have.
fn declares_little(text: &str) -> bool {
    text.match_indices('=').all(|(at, _)| {
        let before = text[..at].trim_end();
        let name = before.rfind(|c: char| !c.is_alphanumeric() && !matches!(c, ':' | '-' | '_' | '.'));
        let most = match &before[name.map_or(0, |end| end + before[end..].chars().next().map_or(1, char::len_utf8))..] {
            "uniqueCount" => MAX_STRINGS,
            "r" => u64::from(u32::MAX / 2),
            _ => return true,
        };
        let rest = text[at + 1..].trim_start();
        let quoted =
            |quote: char| rest.strip_prefix(quote).and_then(|rest| rest.split_once(quote)).map(|(value, _)| value);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or_default().trim().trim_start_matches('+');
        // What is no number is none to the reader either.
        !value.bytes().all(|byte| byte.is_ascii_digit())
            || value.is_empty()
            || value.parse().is_ok_and(|value: u64| value <= most)
    })
}

/// A row while its cells come in.
struct Gathered {
    /// The header's, once it is known: later rows are filled up to it.
    width: Option<usize>,
    row: u32,
    cells: Vec<Cell<'static>>,
}

impl Gathered {
    fn put(&mut self, column: usize, cell: Cell<'static>) {
        while self.cells.len() <= column {
            self.cells.push(Cell::Text(Cow::Borrowed("")));
        }
        self.cells[column] = cell;
    }

    /// Hands over the row, unless it is empty, and begins another. Whether reading stops.
    fn finish(&mut self, next: u32, take: Take<'_>) -> Result<bool, ImportError> {
        let number = u64::from(self.row) + 1;
        self.row = next;
        let mut cells = std::mem::take(&mut self.cells);
        if cells.is_empty() {
            return Ok(false);
        }
        let width = *self.width.get_or_insert(cells.len());
        while cells.len() < width {
            cells.push(Cell::Text(Cow::Borrowed("")));
        }
        stopped(take(Row { number, cells, whole: None }))
    }
}

/// A cell's value; none for an empty one.
fn cell_of(value: &DataRef<'_>) -> Option<Cell<'static>> {
    let text = |text: &str| (!text.trim().is_empty()).then(|| Cell::Text(Cow::Owned(text.to_owned())));
    match value {
        DataRef::Int(number) => Some(Cell::Number(*number as f64)),
        DataRef::Float(number) => Some(Cell::Number(*number)),
        DataRef::String(string) => text(string),
        DataRef::SharedString(string) => text(string),
        DataRef::Bool(value) => Some(Cell::Number(f64::from(u8::from(*value)))),
        DataRef::DateTime(_) | DataRef::DateTimeIso(_) | DataRef::DurationIso(_) => Some(Cell::Bad(Reason::Date)),
        DataRef::Error(_) => Some(Cell::Bad(Reason::CellError)),
        DataRef::Empty => None,
    }
}
