//! Slips on A4: two columns of four, each with a stub, a QR code, the code in large letters, and instructions.
//!
//! ```text
//! | case id                             |
//! | site                                |
//! |- - - - - - - - - - - - - - - - - - -|  the stub is cut off when the slip is handed out
//! | agency                    ######### |
//! | programme                 ######### |
//! | heading                   ######### |
//! | instructions              ######### |
//! |  9X4C-0TQA-3ZK7-VE2M-7              |
//! | instructions in more languages      |
//! ```

use annona_paper::{A4, Canvas, Document, Face, Line, Style, Symbol};
use annona_protocol::ticket::TicketCode;
use zeroize::Zeroizing;

use super::{SlipError, SlipSheet, words};
use crate::caseload::import::Identity;

const COLUMNS: usize = 2;
const ROWS: usize = 4;
const SLIP: (f32, f32) = (A4.0 / COLUMNS as f32, A4.1 / ROWS as f32);
const MARGIN: f32 = 17.0;
const INNER: f32 = SLIP.0 - 2.0 * MARGIN;
const STUB: f32 = 34.0;
/// The QR code with its quiet zone.
const SQUARE: f32 = 108.0;
const BESIDE: f32 = INNER - SQUARE + 6.0;
/// Sizes of instructions beside the QR code and below it.
const SMALL: f32 = 6.4;
const SMALLER: f32 = 5.9;

/// What is the same on all slips, shaped once.
struct Template {
    regular: Face,
    bold: Face,
    code: Face,
    agency: Line,
    name: Line,
    heading: Line,
    /// Beside the square: the first two languages.
    beside: Vec<Vec<Line>>,
    /// Below the code: the others.
    below: Vec<Vec<Line>>,
}

impl Template {
    fn new(sheet: &SlipSheet) -> Result<Self, SlipError> {
        let (regular, bold) = (Face::regular(), Face::bold());
        let languages = words::spoken(&sheet.languages);
        let paragraphs = |languages: &[&str], size, width| {
            languages.iter().map(|language| regular.paragraph(words::instructions(language), size, width)).collect()
        };
        let split = languages.len().min(2);
        let template = Self {
            agency: bold.line(&sheet.agency),
            name: regular.line(&sheet.name),
            heading: bold.line(words::heading(languages[0], sheet.kind)),
            beside: paragraphs(&languages[..split], SMALL, BESIDE),
            below: paragraphs(&languages[split..], SMALLER, INNER),
            code: Face::fixed(),
            regular,
            bold,
        };
        let is_complete = template.agency.is_complete && template.name.is_complete;
        if is_complete { Ok(template) } else { Err(SlipError::Letters { slip: 0 }) }
    }

    fn draw(
        &self,
        canvas: &mut Canvas<'_>,
        (x, y): (f32, f32),
        identity: &Identity,
        code: &TicketCode,
        qr: &Symbol,
    ) -> Option<()> {
        let case = self.bold.line(identity.case_id());
        let site = self.regular.line(identity.site().map_or("", |site| site.as_str()));
        if !case.is_complete || !site.is_complete {
            return None;
        }
        let left = x + MARGIN;
        self.bold.draw(canvas, &case, (left, y + 19.0), Style::left(11.0, INNER));
        self.regular.draw(canvas, &site, (left, y + 29.5), Style::left(7.5, INNER));
        canvas.dashes((left, y + STUB), (left + INNER, y + STUB), 1.0);

        let mut line = y + STUB + 16.0;
        self.bold.draw(canvas, &self.agency, (left, line), Style::left(8.5, BESIDE));
        line += 11.0;
        self.regular.draw(canvas, &self.name, (left, line), Style::left(8.5, BESIDE));
        line += 12.0;
        self.bold.draw(canvas, &self.heading, (left, line), Style::left(7.5, BESIDE));
        line += 12.0;
        for paragraph in &self.beside {
            line = self.regular.draw_lines(canvas, paragraph, (left, line), Style::left(SMALL, BESIDE)) + 2.5;
        }
        qr.draw(canvas, (left + INNER - SQUARE + 8.0, y + STUB + 4.0), SQUARE);

        let printed = self.code.line(&code.to_print());
        self.code.draw(canvas, &printed, (left, y + STUB + 126.0), Style::left(19.0, INNER));
        let mut line = y + STUB + 139.0;
        for paragraph in &self.below {
            line = self.regular.draw_lines(canvas, paragraph, (left, line), Style::left(SMALLER, INNER)) + 1.5;
        }
        Some(())
    }
}

pub(super) fn document(
    sheet: &SlipSheet,
    identities: &[Identity],
    codes: &[TicketCode],
) -> Result<Zeroizing<Vec<u8>>, SlipError> {
    let template = Template::new(sheet)?;
    let mut document = Document::new();
    let slips: Vec<(usize, (&Identity, &TicketCode))> = identities.iter().zip(codes).enumerate().collect();
    for slips in slips.chunks(COLUMNS * ROWS) {
        document.page(|canvas| {
            for (place, (at, (identity, code))) in slips.iter().enumerate() {
                let qr = Symbol::new(&sheet.qr(code)?).map_err(|_| SlipError::Pdf)?;
                let corner = ((place % COLUMNS) as f32 * SLIP.0, (place / COLUMNS) as f32 * SLIP.1);
                let drawn = template.draw(canvas, corner, identity, code, &qr);
                drawn.ok_or(SlipError::Letters { slip: at + 1 })?;
            }
            for column in 1..COLUMNS {
                let x = column as f32 * SLIP.0;
                canvas.dashes((x, 0.0), (x, A4.1), 4.0);
            }
            for row in 1..ROWS {
                let y = row as f32 * SLIP.1;
                canvas.dashes((0.0, y), (A4.0, y), 4.0);
            }
            Ok::<(), SlipError>(())
        })?;
    }
    document.finish().map_err(|_| SlipError::Pdf)
}
