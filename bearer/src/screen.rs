//! Messages from screen to camera: a message's squares, and what a scanner writes of another screen's (spec bearer.md, 3).
//!
//! Shows and reads bytes. What they say is checked by whoever they are for.

use std::io::{self, BufRead, Read as _};

use annona_paper::{Backdrop, Symbol};
use zeroize::Zeroizing;

use crate::frames::{self, Collector, FrameError, Progress};

/// More than the text of any code has.
const MAX_LINE: usize = 2048;

/// Pixels of a module in a file: the largest code has some 840 a side.
const SCALE: u32 = 8;

/// The squares of a message, in order. The same message has the same squares, texts, images and names of files.
#[derive(Debug)]
pub struct Squares {
    name: String,
    texts: Vec<Zeroizing<String>>,
    symbols: Vec<Symbol>,
}

impl Squares {
    /// Cuts a message into as many squares as it needs.
    ///
    /// # Errors
    /// [`FrameError::Empty`], [`FrameError::TooLong`].
    pub fn of(message: &[u8]) -> Result<Self, FrameError> {
        let texts = frames::split(message)?;
        let symbol = |text: &Zeroizing<String>| Symbol::alphanumeric(text).expect("a frame fits a code");
        Ok(Self { name: frames::name(message), symbols: texts.iter().map(symbol).collect(), texts })
    }

    /// The texts, for whatever shows them otherwise.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.texts.iter().map(|text| text.as_str())
    }

    /// Lines of half blocks for a terminal with this ground.
    pub fn terminal(&self, backdrop: Backdrop) -> impl ExactSizeIterator<Item = Zeroizing<String>> {
        self.symbols.iter().map(move |symbol| symbol.terminal(backdrop))
    }

    /// PNG images, with names for files that tell the messages apart and say nothing of them.
    pub fn images(&self) -> impl ExactSizeIterator<Item = (String, Zeroizing<Vec<u8>>)> {
        let of = self.symbols.len();
        self.symbols
            .iter()
            .enumerate()
            .map(move |(at, symbol)| (format!("annona-{}-{:02}-of-{of:02}.png", self.name, at + 1), symbol.png(SCALE)))
    }
}

/// What a line of a scanner was.
#[derive(Debug)]
pub enum Heard {
    /// A part; so many are there, of so many.
    Part {
        /// How many are there.
        have: usize,
        /// Of how many.
        of: usize,
    },
    /// The last part: a whole message.
    Message(Zeroizing<Vec<u8>>),
    /// Nothing that can be used. What was collected is still there, but for [`FrameError::Mismatch`].
    Unusable(FrameError),
    /// The scanner is done.
    End,
}

/// Reads the texts of codes as a scanner writes them, a line each, in any order and repeated.
#[derive(Debug)]
pub struct Scanner<R> {
    lines: R,
    collector: Collector,
}

impl<R: BufRead> Scanner<R> {
    /// A scanner that has read nothing.
    pub fn new(lines: R) -> Self {
        Self { lines, collector: Collector::new() }
    }

    /// Reads on to the next line that is not empty.
    ///
    /// # Errors
    /// The input's. A line that is not text is [`Heard::Unusable`].
    pub fn hear(&mut self) -> io::Result<Heard> {
        loop {
            // Of its length from the start: a buffer that grows leaves copies behind.
            let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE + 1));
            let read = (&mut self.lines).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(Heard::End);
            }
            if read == MAX_LINE && line.last() != Some(&b'\n') {
                self.lines.skip_until(b'\n')?;
                return Ok(Heard::Unusable(FrameError::NotAFrame));
            }
            let Ok(text) = std::str::from_utf8(&line) else { return Ok(Heard::Unusable(FrameError::NotAFrame)) };
            // No text of a code begins or ends with a space.
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            return Ok(match self.collector.add(text) {
                Ok(Progress::Waiting { have, of }) => Heard::Part { have, of },
                Ok(Progress::Complete(message)) => Heard::Message(message),
                Err(error) => Heard::Unusable(error),
            });
        }
    }

    /// Which parts of the message that was begun are missing, counted from 1.
    pub fn missing(&self) -> Vec<usize> {
        self.collector.missing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn squares_of_a_message_are_always_the_same() {
        for (length, count) in [(1, 1), (640, 1), (641, 2), (5000, 9)] {
            let (one, two) = (Squares::of(&message(length)).unwrap(), Squares::of(&message(length)).unwrap());
            assert_eq!(one.texts().len(), count);
            assert!(one.texts().eq(two.texts()) && one.images().eq(two.images()));
            assert!(one.terminal(Backdrop::Dark).eq(two.terminal(Backdrop::Dark)));
            let names: std::collections::BTreeSet<String> = one.images().map(|(name, _)| name).collect();
            assert_eq!(names.len(), count);
            assert!(names.iter().all(|name| name.ends_with(&format!("-of-{count:02}.png"))), "{names:?}");
            // Another message's files have other names.
            let other = Squares::of(&[message(length), vec![1]].concat()).unwrap();
            assert!(other.images().all(|(name, _)| !names.contains(&name)));
        }
        assert_eq!(Squares::of(&[]).unwrap_err(), FrameError::Empty);
    }

    #[test]
    fn a_scanner_takes_parts_in_any_order_and_says_what_else_it_hears() {
        let (one, two) = (Squares::of(&message(1500)).unwrap(), Squares::of(&message(1501)).unwrap());
        let (one, two): (Vec<&str>, Vec<&str>) = (one.texts().collect(), two.texts().collect());
        let long = "A".repeat(3 * MAX_LINE);
        let lines = [one[2], "", "  ", one[2], two[0], "hello", &long, one[0], "ANNONA1/V/000", one[1]];
        let mut text = lines.join("\r\n").into_bytes();
        text.extend_from_slice(b"\n\xff\xfe\n");
        let mut scanner = Scanner::new(&text[..]);
        assert!(scanner.missing().is_empty());
        let mut hear = || match scanner.hear().unwrap() {
            Heard::Part { have, of } => format!("{have}/{of}"),
            Heard::Message(bytes) => format!("{} bytes", bytes.len()),
            Heard::Unusable(error) => error.code().to_owned(),
            Heard::End => "end".to_owned(),
        };
        let expected = [
            "1/3",
            "1/3",
            "frames_other_message",
            "frames_foreign",
            "frames_foreign",
            "2/3",
            "frames_kind",
            "1500 bytes",
            "frames_foreign",
            "end",
            "end",
        ];
        assert_eq!(expected.map(|_| hear()), expected);
    }
}
