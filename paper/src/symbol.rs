//! QR codes: on a page, as an image, and in a terminal.

use krilla::geom::{PathBuilder, Rect};
use qrcode::{Color, EcLevel, QrCode, Version, bits::Bits, types::QrError};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::page::Canvas;

/// A QR code with error correction level M: 15 % of it may be dirt. Wiped on drop, as far as this program made copies.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Symbol {
    width: usize,
    /// Row by row.
    dark: Vec<bool>,
}

/// Why there is no QR code for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// More than the largest QR code takes.
    #[error("the text is too long for one QR code: show it in parts")]
    TooLong,
    /// A character outside the alphanumeric mode.
    #[error("the text has characters that its kind of QR code cannot hold: report this")]
    Character,
}

/// What a terminal shows behind its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backdrop {
    /// Light text on a dark ground.
    Dark,
    /// Dark text on a light ground.
    Light,
}

/// Modules of quiet around a QR code.
const QUIET: usize = 4;

const LEVEL: EcLevel = EcLevel::M;

impl Symbol {
    /// A QR code for any text, in the modes that make it smallest.
    ///
    /// # Errors
    /// [`SymbolError::TooLong`].
    pub fn new(text: &str) -> Result<Self, SymbolError> {
        QrCode::with_error_correction_level(text, LEVEL).map(|code| Self::of(&code)).map_err(|_| SymbolError::TooLong)
    }

    /// A QR code in alphanumeric mode alone: texts of one length have codes of one size.
    ///
    /// # Errors
    /// [`SymbolError`].
    pub fn alphanumeric(text: &str) -> Result<Self, SymbolError> {
        // The library would write something else in their place.
        if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z') || b" $%*+-./:".contains(&byte)) {
            return Err(SymbolError::Character);
        }
        for version in 1..=40 {
            let mut bits = Bits::new(Version::Normal(version));
            let filled = bits.push_alphanumeric_data(text.as_bytes()).and_then(|()| bits.push_terminator(LEVEL));
            match filled.and_then(|()| QrCode::with_bits(bits, LEVEL)) {
                Ok(code) => return Ok(Self::of(&code)),
                Err(QrError::DataTooLong) => {}
                Err(_) => return Err(SymbolError::Character),
            }
        }
        Err(SymbolError::TooLong)
    }

    fn of(code: &QrCode) -> Self {
        Self { width: code.width(), dark: code.to_colors().into_iter().map(|color| color == Color::Dark).collect() }
    }

    /// Modules a side, with the quiet zone.
    pub fn modules(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// Draws the code, quiet zone included, into a square of `side` points: runs of dark modules as rectangles of one path,
    /// nothing between them for a printer to blur.
    pub fn draw(&self, canvas: &mut Canvas<'_>, (x, y): (f32, f32), side: f32) {
        let module = side / self.modules() as f32;
        let mut path = PathBuilder::new();
        for (row, modules) in self.dark.chunks(self.width).enumerate() {
            let top = y + (row + QUIET) as f32 * module;
            let mut column = 0;
            for run in modules.chunk_by(|a, b| a == b) {
                if run[0] {
                    let left = x + (column + QUIET) as f32 * module;
                    let rect = Rect::from_xywh(left, top, run.len() as f32 * module, module);
                    path.push_rect(rect.expect("a module has a width and a height"));
                }
                column += run.len();
            }
        }
        if let Some(path) = path.finish() {
            canvas.fill(&path, 0);
        }
    }

    /// A PNG of black and white, `scale` pixels a module and at least one, with the quiet zone.
    pub fn png(&self, scale: u32) -> Zeroizing<Vec<u8>> {
        let scale = scale.clamp(1, 64) as usize;
        let side = self.modules() * scale;
        let mut rows = Zeroizing::new(vec![0xff_u8; side * side.div_ceil(8)]);
        for (y, row) in rows.chunks_mut(side.div_ceil(8)).enumerate() {
            for x in (0..side).filter(|x| self.is_dark(x / scale, y / scale)) {
                row[x / 8] &= !(0x80 >> (x % 8));
            }
        }
        let mut file = Zeroizing::new(Vec::with_capacity(rows.len() + 1024));
        let pixels = u32::try_from(side).expect("at most 185 modules of 64 pixels");
        let mut encoder = png::Encoder::new(&mut *file, pixels, pixels);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&rows)?;
            writer.finish()
        });
        written.expect("writing to memory cannot fail");
        file
    }

    /// Lines of half blocks, two rows of modules a line, with the quiet zone: light on dark or dark on light as the terminal is.
    pub fn terminal(&self, backdrop: Backdrop) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity((3 * self.modules() + 1) * self.modules().div_ceil(2)));
        for y in (0..self.modules()).step_by(2) {
            for x in 0..self.modules() {
                // The row below the last is quiet too.
                let ink = [y, y + 1].map(|y| self.is_dark(x, y) == (backdrop == Backdrop::Light));
                text.push(match ink {
                    [true, true] => '█',
                    [true, false] => '▀',
                    [false, true] => '▄',
                    [false, false] => ' ',
                });
            }
            text.push('\n');
        }
        text
    }

    /// Whether a module is dark, counted with the quiet zone.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = QUIET..QUIET + self.width;
        inside.contains(&x) && inside.contains(&y) && self.dark[(y - QUIET) * self.width + x - QUIET]
    }
}

impl std::fmt::Debug for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Symbol({} modules, redacted)", self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_one_length_have_codes_of_one_size() {
        for (text, width) in
            [("A".repeat(220), 49), ("0".repeat(220), 49), ("/ %".repeat(73), 49), ("A".repeat(970), 97)]
        {
            assert_eq!(Symbol::alphanumeric(&text).unwrap().width, width);
        }
        assert!(Symbol::new(&"0".repeat(220)).unwrap().width < 49, "digits alone take less");
    }

    #[test]
    fn what_no_code_can_hold_is_refused() {
        for text in ["annona", "A_B", "Ä", "A\n", "A,B"] {
            assert_eq!(Symbol::alphanumeric(text).unwrap_err(), SymbolError::Character, "{text}");
        }
        assert_eq!(Symbol::alphanumeric(&"A".repeat(4000)).unwrap_err(), SymbolError::TooLong);
        assert_eq!(Symbol::new(&"a".repeat(4000)).unwrap_err(), SymbolError::TooLong);
    }

    #[test]
    fn an_image_reads_back_module_by_module() {
        let symbol = Symbol::alphanumeric("ANNONA1/M/ABC").unwrap();
        for scale in [1, 3, 8] {
            let file = symbol.png(scale);
            let mut reader = png::Decoder::new(&file[..]).read_info().unwrap();
            let mut bits = vec![0; reader.output_buffer_size()];
            let info = reader.next_frame(&mut bits).unwrap();
            assert_eq!((info.width, info.height), (symbol.modules() as u32 * scale, symbol.modules() as u32 * scale));
            for y in 0..info.height as usize {
                for x in 0..info.width as usize {
                    let white = bits[y * info.line_size + x / 8] & (0x80 >> (x % 8)) != 0;
                    assert_eq!(white, !symbol.is_dark(x / scale as usize, y / scale as usize));
                }
            }
        }
    }

    #[test]
    fn a_terminal_shows_each_module_in_either_colour() {
        let symbol = Symbol::alphanumeric("ANNONA1/M/ABC").unwrap();
        for (backdrop, ink) in [(Backdrop::Dark, false), (Backdrop::Light, true)] {
            let text = symbol.terminal(backdrop);
            assert!(text.lines().all(|line| line.chars().count() == symbol.modules()));
            assert_eq!(text.lines().count(), symbol.modules().div_ceil(2));
            for (row, line) in text.lines().enumerate() {
                for (x, character) in line.chars().enumerate() {
                    let (upper, lower) = match character {
                        '█' => (true, true),
                        '▀' => (true, false),
                        '▄' => (false, true),
                        _ => (false, false),
                    };
                    assert_eq!(
                        (upper, lower),
                        (symbol.is_dark(x, 2 * row) == ink, symbol.is_dark(x, 2 * row + 1) == ink)
                    );
                }
            }
        }
    }

    #[test]
    fn debug_output_shows_no_code() {
        assert_eq!(format!("{:?}", Symbol::alphanumeric("A").unwrap()), "Symbol(21 modules, redacted)");
    }
}
