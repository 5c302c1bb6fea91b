//! Text on a page: bidirectional runs, shaped glyphs, broken lines.

use krilla::{
    geom::Point,
    text::{Font, GlyphId, KrillaGlyph},
};
use rustybuzz::{Direction, UnicodeBuffer};
use unicode_bidi::ParagraphBidiInfo;

use crate::page::Canvas;

/// A font, for shaping and for the page.
pub struct Face {
    font: Font,
    shaper: rustybuzz::Face<'static>,
}

/// A line as it stands on the page, in units of the font's size.
pub struct Line {
    /// From left to right.
    runs: Vec<Run>,
    width: f32,
    /// Whether the font has a glyph for every letter.
    pub is_complete: bool,
    is_right_to_left: bool,
}

impl Line {
    /// In units of the font's size.
    pub fn width(&self) -> f32 {
        self.width
    }
}

/// Letters of one direction.
struct Run {
    text: String,
    glyphs: Vec<KrillaGlyph>,
    width: f32,
}

impl Face {
    /// Letters of prose.
    pub fn regular() -> Self {
        Self::new(dejavu::sans::regular())
    }

    /// Letters of headings.
    pub fn bold() -> Self {
        Self::new(dejavu::sans::bold())
    }

    /// Letters of one width, for codes.
    pub fn fixed() -> Self {
        Self::new(dejavu::sans_mono::bold())
    }

    /// A font file that is part of the program.
    fn new(file: &'static [u8]) -> Self {
        let font = Font::new(file.into(), 0).expect("the file is a font");
        Self { font, shaper: rustybuzz::Face::from_slice(file, 0).expect("the file is a font") }
    }

    /// A line, whatever its scripts.
    pub fn line(&self, text: &str) -> Line {
        // The bidirectional algorithm has no answer for nothing, and the library panics.
        if text.is_empty() {
            return Line { runs: Vec::new(), width: 0.0, is_complete: true, is_right_to_left: false };
        }
        let bidi = ParagraphBidiInfo::new(text, None);
        let (levels, ranges) = bidi.visual_runs(0..text.len());
        let mut line = Line {
            runs: Vec::with_capacity(ranges.len()),
            width: 0.0,
            is_complete: true,
            is_right_to_left: bidi.paragraph_level.is_rtl(),
        };
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            let run = self.run(&text[range.clone()], levels[range.start].is_rtl());
            line.is_complete &= run.glyphs.iter().all(|glyph| glyph.glyph_id.to_u32() != 0);
            line.width += run.width;
            line.runs.push(run);
        }
        line
    }

    fn run(&self, text: &str, is_right_to_left: bool) -> Run {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(if is_right_to_left { Direction::RightToLeft } else { Direction::LeftToRight });
        let shaped = rustybuzz::shape(&self.shaper, &[], buffer);
        // A cluster's letters reach to where the next one begins.
        let mut starts: Vec<usize> = shaped.glyph_infos().iter().map(|info| info.cluster as usize).collect();
        starts.sort_unstable();
        let em = self.font.units_per_em();
        let glyphs = shaped.glyph_infos().iter().zip(shaped.glyph_positions()).map(|(info, position)| {
            let start = info.cluster as usize;
            let next = starts.partition_point(|other| *other <= start);
            KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                position.x_advance as f32 / em,
                position.x_offset as f32 / em,
                position.y_offset as f32 / em,
                position.y_advance as f32 / em,
                start..starts.get(next).copied().unwrap_or(text.len()),
                None,
            )
        });
        let glyphs: Vec<KrillaGlyph> = glyphs.collect();
        let width = glyphs.iter().map(|glyph| glyph.x_advance).sum();
        Run { text: text.to_owned(), glyphs, width }
    }

    /// Breaks a text between words into lines at most `width` wide.
    pub fn paragraph(&self, text: &str, size: f32, width: f32) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut current = String::new();
        for word in text.split(' ') {
            let longer = if current.is_empty() { word.to_owned() } else { format!("{current} {word}") };
            if !current.is_empty() && self.line(&longer).width * size > width {
                lines.push(self.line(&current));
                word.clone_into(&mut current);
            } else {
                current = longer;
            }
        }
        if !current.is_empty() {
            lines.push(self.line(&current));
        }
        lines
    }

    /// Draws a line with its left end, or the right end if `from_right`, at a place. Shrinks what is wider than `width`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, line: &Line, at: (f32, f32), style: Style) {
        let size = if line.width * style.size > style.width { style.width / line.width } else { style.size };
        let mut x = if style.from_right { at.0 - line.width * size } else { at.0 };
        for run in &line.runs {
            canvas.glyphs(Point::from_xy(x, at.1), &run.glyphs, self.font.clone(), &run.text, size);
            x += run.width * size;
        }
    }

    /// Draws a paragraph's lines one below the other, each from the side where its script begins. Returns where the next
    /// line would stand.
    pub fn draw_lines(&self, canvas: &mut Canvas<'_>, lines: &[Line], (x, y): (f32, f32), style: Style) -> f32 {
        let mut y = y;
        for line in lines {
            let from_right = line.is_right_to_left;
            let x = if from_right { x + style.width } else { x };
            self.draw(canvas, line, (x, y), Style { from_right, ..style });
            y += style.size * LEADING;
        }
        y
    }
}

/// The distance of lines, in sizes.
const LEADING: f32 = 1.22;

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// In points.
    pub size: f32,
    /// The most points that it may take: what is wider shrinks.
    pub width: f32,
    /// Whether the place is the line's right end.
    pub from_right: bool,
}

impl Style {
    /// From the left.
    pub fn left(size: f32, width: f32) -> Self {
        Self { size, width, from_right: false }
    }

    /// From the right.
    pub fn right(size: f32, width: f32) -> Self {
        Self { size, width, from_right: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glyphs(line: &Line) -> Vec<u32> {
        line.runs.iter().flat_map(|run| &run.glyphs).map(|glyph| glyph.glyph_id.to_u32()).collect()
    }

    /// Arabic letters join: the same letter has another shape alone, and a line begins at the right.
    #[test]
    fn arabic_is_joined_and_runs_from_the_right() {
        let face = Face::regular();
        let (alone, joined) = (glyphs(&face.line("ب")), glyphs(&face.line("ببب")));
        assert_eq!((alone.len(), joined.len()), (1, 3));
        assert!(!joined.contains(&alone[0]), "initial, medial and final shapes");
        assert!(joined[0] != joined[1] && joined[1] != joined[2]);
        let line = face.line("ببب");
        assert!(line.is_right_to_left && line.is_complete);
        // The last letter stands leftmost.
        assert_eq!(line.runs[0].glyphs[0].text_range, 4..6);
    }

    #[test]
    fn mixed_scripts_are_ordered_as_they_are_read() {
        let face = Face::regular();
        let texts = |text: &str| face.line(text).runs.iter().map(|run| run.text.clone()).collect::<Vec<_>>();
        // In a right-to-left line the number stands left of the word that comes before it.
        assert_eq!(texts("حالة 123"), ["123", "حالة "]);
        assert_eq!(texts("ID حالة"), ["ID ", "حالة"]);
        assert_eq!(texts("Справа 7 A"), ["Справа 7 A"]);
        assert!(!face.line("ID حالة").is_right_to_left);
    }

    #[test]
    fn letters_that_the_font_lacks_are_noticed() {
        let face = Face::regular();
        for text in ["HH-07", "Їжак", "حالة ١٢٣ گ پ", "ĞŞİ", "Ελλ", "שלום"] {
            assert!(face.line(text).is_complete, "{text}");
        }
        for text in ["家庭", "ဗမာ", "한국"] {
            assert!(!face.line(text).is_complete, "{text}");
        }
    }

    #[test]
    fn lines_break_between_words_and_keep_them_all() {
        let face = Face::regular();
        let lines = face.paragraph("one two three four five six seven", 10.0, 60.0);
        assert!(lines.len() > 2 && lines.iter().all(|line| line.width * 10.0 <= 60.0));
        let words: Vec<&str> =
            lines.iter().flat_map(|line| &line.runs).flat_map(|run| run.text.split_whitespace()).collect();
        assert_eq!(words.join(" "), "one two three four five six seven");
        assert_eq!(face.paragraph("unbreakableword", 10.0, 5.0).len(), 1);
        assert!(face.paragraph("", 10.0, 5.0).is_empty());
        assert!(face.line("").runs.is_empty());
    }
}
