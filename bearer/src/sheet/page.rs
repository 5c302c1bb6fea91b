//! The pages of sheets and key slips: where what stands.

use annona_paper::{A4, Canvas, Document, Face, Line, MILLIMETRE, Pictogram, Style, Symbol};
use zeroize::Zeroizing;

use super::{Printed, SheetError, SheetText};
use crate::{
    code::KeySlip,
    words::{Words, words},
};

const COLUMNS: usize = 2;
const ROWS: usize = 6;
const MARGIN: f32 = 10.0 * MILLIMETRE;
const INNER: f32 = A4.0 - 2.0 * MARGIN;
/// Where the vouchers begin.
const GRID: f32 = 154.0;
const CELL: (f32, f32) = (INNER / COLUMNS as f32, (A4.1 - GRID - 6.0 * MILLIMETRE) / ROWS as f32);
/// A voucher's code with its quiet zone: 57 modules of 0.65 mm.
const SQUARE: f32 = 37.05 * MILLIMETRE;
/// Between a cell's edge and what stands in it.
const PAD: f32 = 2.5;
const PICTURE: f32 = 30.0;
/// A key slip's code with its quiet zone: 41 modules of 1.1 mm.
const KEY_SQUARE: f32 = 45.1 * MILLIMETRE;
const KEY_FRAME: (f32, f32) = (MARGIN, 190.0);
/// The distance of lines, in sizes.
const LEADING: f32 = 1.22;

/// The sheet's pages.
pub(super) fn sheet(
    text: &SheetText,
    vouchers: &[(Zeroizing<String>, Printed)],
    mark: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, SheetError> {
    let template = Template::new(text);
    let pages = vouchers.len().div_ceil(COLUMNS * ROWS);
    let numbered: Vec<_> = (1..).zip(vouchers).collect();
    let mut document = Document::new();
    for (page, vouchers) in (1..).zip(numbered.chunks(COLUMNS * ROWS)) {
        document.page(|canvas| {
            template.head(canvas, (page, pages), mark)?;
            for (place, (number, (code, printed))) in vouchers.iter().enumerate() {
                let corner = template.corner(place);
                template.voucher(canvas, corner, code, printed, (*number, numbered.len()))?;
            }
            cuts(canvas, vouchers.len().div_ceil(COLUMNS));
            Ok::<(), SheetError>(())
        })?;
    }
    document.finish().map_err(|_| SheetError::Pdf)
}

/// The key slip: one on a page, to be cut out.
pub(super) fn key_slip(text: &SheetText, slip: &KeySlip) -> Result<Zeroizing<Vec<u8>>, SheetError> {
    let template = Template::new(text);
    let mut document = Document::new();
    document.page(|canvas| template.key_slip(canvas, slip))?;
    document.finish().map_err(|_| SheetError::Pdf)
}

/// What all pages share.
struct Template<'t> {
    regular: Face,
    bold: Face,
    fixed: Face,
    text: &'t SheetText,
    words: &'static Words,
}

impl<'t> Template<'t> {
    fn new(text: &'t SheetText) -> Self {
        let words = words(&text.language);
        Self { regular: Face::regular(), bold: Face::bold(), fixed: Face::fixed(), text, words }
    }

    /// Agency, programme, page and mark; then what the sheet is, and how it is used.
    fn head(
        &self,
        canvas: &mut Canvas<'_>,
        (page, pages): (usize, usize),
        mark: Option<&str>,
    ) -> Result<(), SheetError> {
        let words = self.words;
        let across = self.span(MARGIN, MARGIN + INNER);
        let (names, notes) = across.divide(INNER * 0.74);
        names.start(canvas, &self.bold, &complete(&self.bold, &self.text.agency, 0)?, 41.0, 12.0);
        names.start(canvas, &self.regular, &complete(&self.regular, &self.text.programme, 0)?, 56.0, 10.5);
        let number = complete(&self.regular, &format!("{} {page}/{pages}", words.page), 0)?;
        notes.end(canvas, &self.regular, &number, 41.0, 9.0);
        if let Some(mark) = mark {
            let mark = complete(&self.bold, &format!("{}: {mark}", words.mark), 0)?;
            notes.end(canvas, &self.bold, &mark, 56.0, 10.5);
        }
        canvas.rule((MARGIN, 63.0), (MARGIN + INNER, 63.0));
        across.start(canvas, &self.bold, &complete(&self.bold, words.sheet, 0)?, 79.0, 12.0);
        let (lines, size) =
            fitted(&self.regular, if mark.is_some() { words.split } else { words.whole }, INNER, 5, 9.5);
        across.lines(canvas, &self.regular, &lines, 94.0, size);
        Ok(())
    }

    fn voucher(
        &self,
        canvas: &mut Canvas<'_>,
        (x, y): (f32, f32),
        code: &str,
        printed: &Printed,
        (number, of): (usize, usize),
    ) -> Result<(), SheetError> {
        let (regular, bold, words) = (&self.regular, &self.bold, self.words);
        let symbol = Symbol::alphanumeric(code).map_err(|_| SheetError::Pdf)?;
        let cell = self.span(x + PAD, x + CELL.0 - PAD);
        let (square, beside) = cell.divide(SQUARE);
        symbol.draw(canvas, (square.left, y + (CELL.1 - SQUARE) / 2.0), SQUARE);

        let beside = beside.without(3.0, 3.0);
        let (picture, amount) = beside.divide(PICTURE);
        Pictogram::named(&printed.pictogram).draw(canvas, (picture.left, y + 9.0), PICTURE);
        let value = complete(bold, &format!("{} {}", printed.value, printed.unit), number)?;
        amount.without(7.0, 0.0).start(canvas, bold, &value, y + 30.0, 16.0);

        complete(bold, &printed.line, number)?;
        let (label, size) = fitted(bold, &printed.line, beside.width(), 2, 10.5);
        beside.lines(canvas, bold, &label, y + 54.0, size);
        let site = printed.site.as_deref().unwrap_or(words.any_site);
        let site = format!("{}: {site}", words.site);
        complete(regular, &site, number)?;
        let (site, size) = fitted(regular, &site, beside.width(), 2, 9.5);
        beside.lines(canvas, regular, &site, y + 80.0, size);
        let (round, place) = beside.divide(beside.width() * 0.7);
        round.start(
            canvas,
            regular,
            &complete(regular, &format!("{} {}", words.round, printed.round), number)?,
            y + 104.0,
            9.5,
        );
        place.end(canvas, regular, &complete(regular, &format!("{number}/{of}"), number)?, y + 104.0, 8.0);
        Ok(())
    }

    fn key_slip(&self, canvas: &mut Canvas<'_>, slip: &KeySlip) -> Result<(), SheetError> {
        let (x, y) = (MARGIN, KEY_FRAME.0);
        let (right, bottom) = (x + INNER, y + KEY_FRAME.1);
        for (from, to) in
            [((x, y), (right, y)), ((x, bottom), (right, bottom)), ((x, y), (x, bottom)), ((right, y), (right, bottom))]
        {
            canvas.dashes(from, to, 4.0);
        }
        let symbol = Symbol::alphanumeric(&slip.to_qr()).map_err(|_| SheetError::Pdf)?;
        let (square, beside) = self.span(x + 10.0, right - 10.0).divide(KEY_SQUARE);
        symbol.draw(canvas, (square.left, y + (KEY_FRAME.1 - KEY_SQUARE) / 2.0), KEY_SQUARE);

        let beside = beside.without(12.0, 2.0);
        beside.start(canvas, &self.bold, &complete(&self.bold, &self.text.agency, 0)?, y + 24.0, 11.0);
        beside.start(canvas, &self.regular, &complete(&self.regular, &self.text.programme, 0)?, y + 39.0, 10.0);
        canvas.rule((beside.left, y + 46.0), (beside.right, y + 46.0));
        beside.start(canvas, &self.bold, &complete(&self.bold, self.words.key_slip, 0)?, y + 68.0, 15.0);
        let mark = complete(&self.bold, &format!("{}:", self.words.mark), 0)?;
        beside.start(canvas, &self.bold, &mark, y + 90.0, 11.0);
        let letters = self.fixed.line(&slip.mark());
        beside.without(mark.width() * 11.0 + 7.0, 0.0).start(canvas, &self.fixed, &letters, y + 90.0, 16.0);
        let (lines, size) = fitted(&self.regular, self.words.key_slip_use, beside.width(), 6, 10.0);
        beside.lines(canvas, &self.regular, &lines, y + 112.0, size);
        Ok(())
    }

    /// The upper left corner of a cell; the first is where reading begins.
    fn corner(&self, place: usize) -> (f32, f32) {
        let column = if self.words.is_right_to_left { COLUMNS - 1 - place % COLUMNS } else { place % COLUMNS };
        (MARGIN + column as f32 * CELL.0, GRID + (place / COLUMNS) as f32 * CELL.1)
    }

    fn span(&self, left: f32, right: f32) -> Span {
        Span { left, right, is_right_to_left: self.words.is_right_to_left }
    }
}

/// Dashed lines round all cells of some rows.
fn cuts(canvas: &mut Canvas<'_>, rows: usize) {
    let bottom = GRID + rows as f32 * CELL.1;
    for row in 0..=rows {
        let y = GRID + row as f32 * CELL.1;
        canvas.dashes((MARGIN, y), (MARGIN + INNER, y), 4.0);
    }
    for column in 0..=COLUMNS {
        let x = MARGIN + column as f32 * CELL.0;
        canvas.dashes((x, GRID), (x, bottom), 4.0);
    }
}

/// From left to right on a page, with the side where reading begins.
#[derive(Clone, Copy)]
struct Span {
    left: f32,
    right: f32,
    is_right_to_left: bool,
}

impl Span {
    fn width(&self) -> f32 {
        self.right - self.left
    }

    /// The first `width` points in the direction of reading, and the rest.
    fn divide(self, width: f32) -> (Self, Self) {
        if self.is_right_to_left {
            let at = self.right - width;
            (Self { left: at, ..self }, Self { right: at, ..self })
        } else {
            let at = self.left + width;
            (Self { right: at, ..self }, Self { left: at, ..self })
        }
    }

    /// Shorter where reading begins, and where it ends.
    fn without(self, start: f32, end: f32) -> Self {
        let (left, right) = if self.is_right_to_left { (end, start) } else { (start, end) };
        Self { left: self.left + left, right: self.right - right, ..self }
    }

    fn start(&self, canvas: &mut Canvas<'_>, face: &Face, line: &Line, y: f32, size: f32) {
        self.draw(canvas, face, line, y, size, self.is_right_to_left);
    }

    fn end(&self, canvas: &mut Canvas<'_>, face: &Face, line: &Line, y: f32, size: f32) {
        self.draw(canvas, face, line, y, size, !self.is_right_to_left);
    }

    fn lines(&self, canvas: &mut Canvas<'_>, face: &Face, lines: &[Line], y: f32, size: f32) {
        for (line, at) in lines.iter().zip(0u8..) {
            self.start(canvas, face, line, y + f32::from(at) * size * LEADING, size);
        }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, face: &Face, line: &Line, y: f32, size: f32, from_right: bool) {
        let x = if from_right { self.right } else { self.left };
        face.draw(canvas, line, (x, y), Style { size, width: self.width(), from_right });
    }
}

/// A line with a glyph for every letter.
fn complete(face: &Face, text: &str, voucher: usize) -> Result<Line, SheetError> {
    let line = face.line(text);
    if line.is_complete { Ok(line) } else { Err(SheetError::Letters { voucher }) }
}

/// Breaks a text into at most so many lines, in the largest size that allows it; one line, to be shrunk, if none does.
fn fitted(face: &Face, text: &str, width: f32, most: usize, largest: f32) -> (Vec<Line>, f32) {
    let mut size = largest;
    while size >= 6.0 {
        let lines = face.paragraph(text, size, width);
        if lines.len() <= most && lines.iter().all(|line| line.width() * size <= width) {
            return (lines, size);
        }
        size -= 0.5;
    }
    (vec![face.line(text)], largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_at_least_half_a_millimetre_wide() {
        for (square, characters, modules) in [(SQUARE, 220, 57), (KEY_SQUARE, 70, 41)] {
            let symbol = Symbol::alphanumeric(&"A".repeat(characters)).unwrap();
            assert_eq!(symbol.modules(), modules);
            assert!(square / modules as f32 >= 0.6 * MILLIMETRE);
        }
        const { assert!(SQUARE < CELL.1 && SQUARE < CELL.0 / 2.0 && KEY_SQUARE < KEY_FRAME.1) };
    }
}
