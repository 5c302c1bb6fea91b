//! A report as one page of HTML: no script, nothing fetched, patterns beside colours, every chart with its table.
//!
//! Names in it come from a manifest, which anybody can write: they are escaped and isolated, and the page's policy lets nothing
//! run or load but its own style sheet.

mod chart;
mod page;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::{Document, clean, figures::Figure};

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(document: &Document) -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    let title = format!("{}: audit report", clean(&document.name));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    let body = page::body(document);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(&title)
    )
}

/// Text as HTML text or attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A name of the manifest in HTML: it does not turn what stands around it.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(&clean(text)))
}

/// A name of the manifest in a chart, cut to `most` characters: the table has all of it.
fn isolated(text: &str, most: usize) -> String {
    let text = clean(text);
    let cut: String =
        if text.chars().count() > most { text.chars().take(most - 1).chain(['…']).collect() } else { text };
    format!("\u{2068}{}\u{2069}", escape(&cut))
}

/// A figure with its thousands apart.
fn figure(figure: Figure) -> String {
    let Some(value) = figure else { return "(x)".to_owned() };
    let digits = value.unsigned_abs().to_string();
    let mut out = if value < 0 { "\u{2212}".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            // Narrow, and no break.
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped() {
        for (value, shown) in
            [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (-1_234_567, "\u{2212}1\u{202f}234\u{202f}567")]
        {
            assert_eq!(figure(Some(value)), shown);
        }
        assert_eq!(figure(None), "(x)");
    }

    #[test]
    fn names_are_escaped_isolated_and_cut() {
        assert_eq!(name("<b>&\"'"), "<bdi>&lt;b&gt;&amp;&quot;&#39;</bdi>");
        assert_eq!(name("a\u{202e}b\nc"), "<bdi>a\u{fffd}b\u{fffd}c</bdi>");
        assert_eq!(isolated("&&&&&", 3), "\u{2068}&amp;&amp;…\u{2069}");
    }
}
