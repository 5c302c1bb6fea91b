//! Rows of a workbook's first sheet. The file is the site's that is being checked, and so anybody's: its parts are unpacked
//! within bounds, and looked at, before the reader of workbooks sees them.

use std::io::{Cursor, Read as _};

use calamine::{DataRef, Reader as _, Xlsx};
use zip::ZipArchive;

use super::sheet::{Hostile, MOST_BYTES, Rows, Taken};

/// More than any stock sheet has.
const MOST_COLUMNS: usize = 256;
const MOST_PARTS: usize = 1000;
/// Of a row's number: a sheet has at most 1,048,576 rows.
const MOST_DIGITS: usize = 7;
const MOST_STRINGS: u64 = 1_000_000;
/// The most that a cell of a workbook holds, in UTF-16 units: four bytes each at most.
const MOST_TEXT: usize = 4 * 32_767;

/// Why a workbook is not read.
pub(super) enum WorkbookFault {
    /// It is none.
    Malformed,
    /// It says or has more than a stock sheet has.
    Hostile(Hostile),
}

impl From<Hostile> for WorkbookFault {
    fn from(hostile: Hostile) -> Self {
        Self::Hostile(hostile)
    }
}

pub(super) fn rows(content: &[u8]) -> Result<Rows, WorkbookFault> {
    unpacks(content)?;
    let malformed = |_| WorkbookFault::Malformed;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(content)).map_err(malformed)?;
    let first = book.sheet_names().first().ok_or(WorkbookFault::Malformed)?.clone();
    let mut reader = book.worksheet_cells_reader(&first).map_err(malformed)?;
    let mut taken = Taken::default();
    let mut rows: Rows = Vec::new();
    while let Some(cell) = reader.next_cell().map_err(malformed)? {
        let (row, column) = cell.get_position();
        let (number, column) =
            (u64::from(row) + 1, usize::try_from(column).ok().filter(|column| *column < MOST_COLUMNS));
        let column = column.ok_or(Hostile::Columns)?;
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
            taken.row()?;
            rows.push((number, Vec::new()));
        }
        let Some((_, cells)) = rows.last_mut() else { return Err(WorkbookFault::Malformed) };
        if cells.len() <= column {
            taken.cells(column + 1 - cells.len())?;
            cells.resize(column + 1, String::new());
        }
        taken.text(text.len())?;
        cells[column] = text;
    }
    Ok(rows)
}

/// Unpacks every part within bounds: what a part says of its own size is not believed. All are UTF-8, as every spreadsheet
/// program writes them, so that the counts that they declare can be read here as the reader of workbooks reads them.
fn unpacks(content: &[u8]) -> Result<(), WorkbookFault> {
    let mut archive = ZipArchive::new(Cursor::new(content)).map_err(|_| WorkbookFault::Malformed)?;
    if archive.len() > MOST_PARTS {
        return Err(Hostile::Parts.into());
    }
    let mut left = MOST_BYTES;
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).map_err(|_| WorkbookFault::Malformed)?;
        if part.size() > left {
            return Err(Hostile::Bytes.into());
        }
        let mut bytes = Vec::new();
        let read = part.by_ref().take(left + 1).read_to_end(&mut bytes).map_err(|_| WorkbookFault::Malformed)?;
        left = left.checked_sub(read as u64).ok_or(Hostile::Bytes)?;
        let name = part.name().map_err(|_| WorkbookFault::Malformed)?.to_ascii_lowercase();
        if name.ends_with(".xml") || name.ends_with(".rels") {
            let text = std::str::from_utf8(&bytes).ok().filter(|text| !has_controls(text));
            let text = text.ok_or(WorkbookFault::Malformed)?;
            declares(text)?;
            numbers_rows(text)?;
        }
    }
    Ok(())
}

/// Whether there are control characters but those that XML has: zeros are UTF-16, escapes are in encodings that could hide a
/// name.
fn has_controls(text: &str) -> bool {
    text.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r'))
}

/// A row's number beyond those that a sheet can have makes the reader of workbooks count too far.
fn numbers_rows(text: &str) -> Result<(), Hostile> {
    for (at, _) in text.match_indices('=') {
        let Some(before) = text[..at].trim_end().strip_suffix('r') else { continue };
        if before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ':' | '-' | '_' | '.')) {
            continue;
        }
        let number = attribute(&text[at..]).map(|value| value.trim().trim_start_matches('+'));
        let number = number.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        if number.is_some_and(|number| number.trim_start_matches('0').len() > MOST_DIGITS) {
            return Err(Hostile::Rows);
        }
    }
    Ok(())
}

/// Space is set aside for as many shared strings as the part says that it has.
fn declares(text: &str) -> Result<(), Hostile> {
    for rest in text.split("uniqueCount").skip(1).filter(|rest| rest.trim_start().starts_with('=')) {
        if attribute(rest).and_then(|count| count.trim().parse().ok()).is_none_or(|count: u64| count > MOST_STRINGS) {
            return Err(Hostile::Count);
        }
    }
    Ok(())
}

/// What is between the quotes after `=`.
fn attribute(rest: &str) -> Option<&str> {
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(value, _)| value)
}

impl Taken {
    fn text(&mut self, bytes: usize) -> Result<(), Hostile> {
        if bytes > MOST_TEXT {
            return Err(Hostile::Text);
        }
        self.bytes(bytes)
    }
}
