//! Documents of A4 pages, and what is drawn on them besides text.

use krilla::{
    color::luma,
    geom::{Path, PathBuilder, Point},
    page::PageSettings,
    paint::{Fill, LineCap, LineJoin, Stroke, StrokeDash},
    surface::Surface,
    text::{Font, KrillaGlyph},
};
use zeroize::Zeroizing;

/// Width and height of a page.
pub const A4: (f32, f32) = (595.28, 841.89);

/// Points to a millimetre.
pub const MILLIMETRE: f32 = 72.0 / 25.4;

/// A PDF that is being drawn.
pub struct Document(krilla::Document);

/// A page to draw on.
pub struct Canvas<'a>(Surface<'a>);

/// The PDF library refused; no content is known to bring that about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the PDF cannot be made: report this")]
pub struct PdfError;

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// No pages yet.
    pub fn new() -> Self {
        Self(krilla::Document::new())
    }

    /// Adds a page.
    ///
    /// # Errors
    /// What `draw` returns; the document is of no use then.
    pub fn page<E>(&mut self, draw: impl FnOnce(&mut Canvas<'_>) -> Result<(), E>) -> Result<(), E> {
        let settings = PageSettings::from_wh(A4.0, A4.1).expect("A4 has a width and a height");
        let mut page = self.0.start_page_with(settings);
        let drawn = {
            let mut canvas = Canvas(page.surface());
            canvas.0.set_stroke(None);
            draw(&mut canvas)
        };
        page.finish();
        drawn
    }

    /// The file's content.
    ///
    /// # Errors
    /// [`PdfError`].
    pub fn finish(self) -> Result<Zeroizing<Vec<u8>>, PdfError> {
        self.0.finish().map(Zeroizing::new).map_err(|_| PdfError)
    }
}

impl Canvas<'_> {
    /// A grey line of dashes to cut along.
    pub fn dashes(&mut self, from: (f32, f32), to: (f32, f32), length: f32) {
        let dash = Some(StrokeDash { array: vec![length, length], offset: 0.0 });
        self.line(from, to, Stroke { paint: luma::Color::new(130).into(), width: 0.5, dash, ..Stroke::default() });
    }

    /// A thin black line.
    pub fn rule(&mut self, from: (f32, f32), to: (f32, f32)) {
        self.line(from, to, Stroke { width: 0.6, ..Stroke::default() });
    }

    fn line(&mut self, from: (f32, f32), to: (f32, f32), stroke: Stroke) {
        let mut path = PathBuilder::new();
        path.move_to(from.0, from.1);
        path.line_to(to.0, to.1);
        if let Some(path) = path.finish() {
            self.stroke(&path, stroke);
        }
    }

    pub(crate) fn fill(&mut self, path: &Path, grey: u8) {
        self.0.set_fill(Some(Fill { paint: luma::Color::new(grey).into(), ..Fill::default() }));
        self.0.draw_path(path);
        self.0.set_fill(Some(Fill::default()));
    }

    /// A black line with round ends and corners.
    pub(crate) fn pen(&mut self, path: &Path, width: f32) {
        let (line_cap, line_join) = (LineCap::Round, LineJoin::Round);
        self.stroke(path, Stroke { width, line_cap, line_join, ..Stroke::default() });
    }

    pub(crate) fn glyphs(&mut self, at: Point, glyphs: &[KrillaGlyph], font: Font, text: &str, size: f32) {
        self.0.draw_glyphs(at, glyphs, font, text, size, false);
    }

    fn stroke(&mut self, path: &Path, stroke: Stroke) {
        self.0.set_fill(None);
        self.0.set_stroke(Some(stroke));
        self.0.draw_path(path);
        self.0.set_stroke(None);
        self.0.set_fill(Some(Fill::default()));
    }
}
