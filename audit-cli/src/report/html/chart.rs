//! Charts as SVG: bars that differ by fill pattern, not by colour alone; every figure is in a table beside its chart.

use std::fmt::Write as _;

use super::{escape, figure, isolated};
use crate::report::figures::Figure;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A full bar.
    Solid,
    /// A hatched bar.
    Hatched,
    /// An outlined bar.
    Outlined,
    /// A line across the place.
    Line,
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::Solid => "solid",
            Self::Hatched => "hatched",
            Self::Outlined => "outlined",
            Self::Line => "mark",
        }
    }
}

/// A series of figures.
pub(super) struct Series<'a> {
    pub(super) label: &'a str,
    pub(super) mark: Mark,
    pub(super) values: Vec<Figure>,
}

/// What a chart shows, in words.
pub(super) struct Words<'a> {
    /// Unique on the page.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    /// What its axis counts.
    pub(super) unit: &'a str,
}

/// How the bars of a horizontal chart are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// All alike.
    Common,
    /// From nothing to this.
    To(i128),
    /// Each place for itself: its longest bar fills the width.
    Each,
}

const WIDTH: f64 = 720.0;

fn open(words: &Words<'_>, height: f64) -> String {
    let Words { id, title, description, .. } = words;
    format!(
        "<svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" viewBox=\"0 0 {WIDTH} {height:.0}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n",
        escape(title),
        escape(description)
    )
}

fn text(out: &mut String, x: f64, y: f64, class: &str, anchor: &str, content: &str) {
    // Writing to a String cannot fail.
    let _ =
        writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

fn rectangle(out: &mut String, x: f64, y: f64, width: f64, height: f64, class: &str) {
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        width.max(0.0),
        height.max(0.0)
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), class: &str) {
    let _ = writeln!(
        out,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

/// The series' names with their marks, from `x` on.
fn legend(out: &mut String, series: &[Series<'_>], mut x: f64, y: f64) {
    for Series { label, mark, .. } in series {
        match mark {
            Mark::Line => line(out, (x, y - 4.0), (x + 18.0, y - 4.0), "mark"),
            _ => rectangle(out, x, y - 9.0, 18.0, 10.0, mark.class()),
        }
        text(out, x + 24.0, y, "legend", "start", &escape(label));
        x += 24.0 + 6.6 * label.chars().count() as f64 + 22.0;
    }
}

/// The largest figure shown, at least 1.
fn largest(series: &[Series<'_>]) -> i128 {
    series.iter().flat_map(|series| &series.values).flatten().copied().max().unwrap_or(1).max(1)
}

/// A round step that divides an axis into some four parts.
fn step(largest: i128) -> i128 {
    let mut size = 1;
    loop {
        for step in [size, 2 * size, 5 * size] {
            if step * 5 >= largest {
                return step;
            }
        }
        size *= 10;
    }
}

/// Bars side by side, for rounds.
pub(super) fn columns(words: &Words<'_>, places: &[String], series: &[Series<'_>]) -> String {
    const HEIGHT: f64 = 262.0;
    const TOP: f64 = 44.0;
    const BOTTOM: f64 = 222.0;
    const LEFT: f64 = 64.0;
    let mut out = open(words, HEIGHT);
    legend(&mut out, series, LEFT, 14.0);
    text(&mut out, 0.0, 32.0, "axis", "start", &isolated(words.unit, 12));
    let step = step(largest(series));
    let ticks = (largest(series) + step - 1) / step;
    let top = (ticks * step) as f64;
    let height = |value: i128| (value.max(0) as f64 / top) * (BOTTOM - TOP);
    for tick in 0..=ticks {
        let y = BOTTOM - height(tick * step);
        line(&mut out, (LEFT, y), (WIDTH - 4.0, y), if tick == 0 { "base" } else { "grid" });
        text(&mut out, LEFT - 8.0, y + 4.0, "axis", "end", &figure(Some(tick * step)));
    }
    let band = (WIDTH - 8.0 - LEFT) / places.len().max(1) as f64;
    let bars = series.iter().filter(|series| series.mark != Mark::Line).count().max(1) as f64;
    let width = (band * 0.72 / bars).min(44.0);
    let every = places.len().div_ceil(24).max(1);
    let label_bars = places.len() <= 6;
    for (at, place) in places.iter().enumerate() {
        let middle = LEFT + band * (at as f64 + 0.5);
        if at % every == 0 {
            text(&mut out, middle, BOTTOM + 18.0, "axis", "middle", &escape(place));
        }
        let mut x = middle - width * bars / 2.0;
        for Series { mark, values, .. } in series {
            let value = values.get(at).copied().flatten();
            if *mark == Mark::Line {
                if let Some(value) = value {
                    let (half, y) = ((width * bars / 2.0 + 5.0).min(band / 2.0), BOTTOM - height(value));
                    line(&mut out, (middle - half, y), (middle + half, y), "mark");
                } else {
                    text(&mut out, middle, TOP - 2.0, "value", "middle", "(x)");
                }
                continue;
            }
            // Bars do not touch.
            let (at, wide) = (x + width * 0.04, width * 0.92);
            match value {
                Some(value) => {
                    rectangle(&mut out, at, BOTTOM - height(value), wide, height(value), mark.class());
                    if label_bars {
                        text(
                            &mut out,
                            x + width / 2.0,
                            BOTTOM - height(value) - 4.0,
                            "value",
                            "middle",
                            &figure(Some(value)),
                        );
                    }
                }
                None => {
                    rectangle(&mut out, at, BOTTOM - 22.0, wide, 22.0, "withheld");
                    if label_bars || wide > 16.0 {
                        text(&mut out, x + width / 2.0, BOTTOM - 7.0, "value", "middle", "(x)");
                    }
                }
            }
            x += width;
        }
    }
    text(&mut out, WIDTH - 4.0, BOTTOM + 34.0, "axis", "end", "round");
    out.push_str("</svg>\n");
    out
}

/// Bars from the left, for sites, lines and items; each with its figure.
pub(super) fn bars(
    words: &Words<'_>,
    places: &[String],
    series: &[Series<'_>],
    scale: Scale,
    shown: &dyn Fn(usize, usize) -> String,
) -> String {
    const LEFT: f64 = 190.0;
    const RIGHT: f64 = 96.0;
    const BAR: f64 = 13.0;
    let row = BAR * series.len() as f64 + 12.0;
    let top = if series.len() > 1 { 30.0 } else { 8.0 };
    let height = top + row * places.len() as f64 + 4.0;
    let mut out = open(words, height);
    if series.len() > 1 {
        legend(&mut out, series, LEFT, 14.0);
    }
    line(&mut out, (LEFT, top), (LEFT, height - 4.0), "base");
    let common = largest(series);
    for (at, place) in places.iter().enumerate() {
        let y = top + row * at as f64 + 6.0;
        text(&mut out, LEFT - 10.0, y + BAR * series.len() as f64 / 2.0 + 4.0, "place", "end", &isolated(place, 26));
        let full = match scale {
            Scale::Common => common,
            Scale::To(full) => full.max(1),
            Scale::Each => {
                series.iter().filter_map(|series| series.values.get(at).copied().flatten()).max().unwrap_or(1).max(1)
            }
        };
        for (which, Series { mark, values, .. }) in series.iter().enumerate() {
            let y = y + BAR * which as f64;
            let length = match values.get(at).copied().flatten() {
                Some(value) => {
                    let length = value.clamp(0, full) as f64 / full as f64 * (WIDTH - LEFT - RIGHT);
                    rectangle(&mut out, LEFT, y + 1.0, length, BAR - 2.0, mark.class());
                    length
                }
                None => {
                    rectangle(&mut out, LEFT, y + 1.0, 26.0, BAR - 2.0, "withheld");
                    26.0
                }
            };
            text(&mut out, LEFT + length + 6.0, y + BAR - 2.5, "value", "start", &escape(&shown(which, at)));
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (largest, expected) in
            [(1, 1), (4, 1), (5, 1), (6, 2), (11, 5), (26, 10), (99, 20), (101, 50), (12_345, 5000)]
        {
            assert_eq!(step(largest), expected, "{largest}");
        }
        assert!(step(i128::from(u64::MAX)) > 0);
    }
}
