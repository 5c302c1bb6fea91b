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

use annona_protocol::ticket::TicketCode;
use krilla::{
    Document,
    color::luma,
    geom::{PathBuilder, Rect},
    page::PageSettings,
    paint::{Fill, FillRule, Stroke, StrokeDash},
    surface::Surface,
};
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use super::{
    SlipError, SlipSheet,
    text::{Face, Line, Style},
    words,
};
use crate::caseload::import::Identity;

// In points, 72 to an inch.
const PAGE: (f32, f32) = (595.28, 841.89);
const COLUMNS: usize = 2;
const ROWS: usize = 4;
const SLIP: (f32, f32) = (PAGE.0 / COLUMNS as f32, PAGE.1 / ROWS as f32);
const MARGIN: f32 = 17.0;
const INNER: f32 = SLIP.0 - 2.0 * MARGIN;
const STUB: f32 = 34.0;
/// The QR code with its quiet zone.
const SQUARE: f32 = 108.0;
/// Modules of quiet around a QR code.
const QUIET: f32 = 4.0;
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
        let face = |file| Face::new(file).ok_or(SlipError::Pdf);
        let regular = face(dejavu::sans::regular())?;
        let bold = face(dejavu::sans::bold())?;
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
            code: face(dejavu::sans_mono::bold())?,
            regular,
            bold,
        };
        let is_complete = template.agency.is_complete && template.name.is_complete;
        if is_complete { Ok(template) } else { Err(SlipError::Letters { slip: 0 }) }
    }

    fn draw(
        &self,
        surface: &mut Surface<'_>,
        (x, y): (f32, f32),
        identity: &Identity,
        code: &TicketCode,
        qr: &QrCode,
    ) -> Option<()> {
        let case = self.bold.line(identity.case_id());
        let site = self.regular.line(identity.site().map_or("", |site| site.as_str()));
        if !case.is_complete || !site.is_complete {
            return None;
        }
        let left = x + MARGIN;
        self.bold.draw(surface, &case, (left, y + 19.0), Style::left(11.0, INNER));
        self.regular.draw(surface, &site, (left, y + 29.5), Style::left(7.5, INNER));
        dashes(surface, (left, y + STUB), (left + INNER, y + STUB), 1.0);

        let mut line = y + STUB + 16.0;
        self.bold.draw(surface, &self.agency, (left, line), Style::left(8.5, BESIDE));
        line += 11.0;
        self.regular.draw(surface, &self.name, (left, line), Style::left(8.5, BESIDE));
        line += 12.0;
        self.bold.draw(surface, &self.heading, (left, line), Style::left(7.5, BESIDE));
        line += 12.0;
        for paragraph in &self.beside {
            line = self.regular.draw_lines(surface, paragraph, (left, line), Style::left(SMALL, BESIDE)) + 2.5;
        }
        square(surface, (left + INNER - SQUARE + 8.0, y + STUB + 4.0), qr);

        let printed = self.code.line(&code.to_print());
        self.code.draw(surface, &printed, (left, y + STUB + 126.0), Style::left(19.0, INNER));
        let mut line = y + STUB + 139.0;
        for paragraph in &self.below {
            line = self.regular.draw_lines(surface, paragraph, (left, line), Style::left(SMALLER, INNER)) + 1.5;
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
        let settings = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or(SlipError::Pdf)?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        surface.set_stroke(None);
        for (place, (at, (identity, code))) in slips.iter().enumerate() {
            let text = sheet.qr(code)?;
            let qr = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M).map_err(|_| SlipError::Pdf)?;
            let corner = ((place % COLUMNS) as f32 * SLIP.0, (place / COLUMNS) as f32 * SLIP.1);
            let drawn = template.draw(&mut surface, corner, identity, code, &qr);
            drawn.ok_or(SlipError::Letters { slip: at + 1 })?;
        }
        for column in 1..COLUMNS {
            let x = column as f32 * SLIP.0;
            dashes(&mut surface, (x, 0.0), (x, PAGE.1), 4.0);
        }
        for row in 1..ROWS {
            let y = row as f32 * SLIP.1;
            dashes(&mut surface, (0.0, y), (PAGE.0, y), 4.0);
        }
        surface.finish();
        page.finish();
    }
    document.finish().map(Zeroizing::new).map_err(|_| SlipError::Pdf)
}

/// A grey line to cut along.
fn dashes(surface: &mut Surface<'_>, from: (f32, f32), to: (f32, f32), length: f32) {
    let mut path = PathBuilder::new();
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
    let Some(path) = path.finish() else { return };
    let dash = Some(StrokeDash { array: vec![length, length], offset: 0.0 });
    surface.set_fill(None);
    surface.set_stroke(Some(Stroke { paint: luma::Color::new(130).into(), width: 0.5, dash, ..Stroke::default() }));
    surface.draw_path(&path);
    surface.set_stroke(None);
    surface.set_fill(Some(Fill::default()));
}

/// A QR code in one path: runs of dark modules as rectangles, nothing between them for a printer to blur.
fn square(surface: &mut Surface<'_>, (x, y): (f32, f32), qr: &QrCode) {
    let width = qr.width();
    let module = SQUARE / (width as f32 + 2.0 * QUIET);
    let colors = qr.to_colors();
    let mut path = PathBuilder::new();
    for (row, modules) in colors.chunks(width).enumerate() {
        let top = y + (row as f32 + QUIET) * module;
        let mut column = 0;
        for run in modules.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                let left = x + (column as f32 + QUIET) * module;
                let rect = Rect::from_xywh(left, top, run.len() as f32 * module, module);
                path.push_rect(rect.expect("a module has a width and a height"));
            }
            column += run.len();
        }
    }
    if let Some(path) = path.finish() {
        surface.set_fill(Some(Fill { rule: FillRule::NonZero, ..Fill::default() }));
        surface.draw_path(&path);
    }
}
