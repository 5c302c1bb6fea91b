//! Messages as QR codes: one, or several for a message above 640 bytes (spec bearer.md, 3).
//!
//! A message of 640 bytes fills a QR code of 97 modules, about the largest that telephones read from a screen. A longer one is
//! cut into parts of equal length, the last perhaps shorter, each of at most 600 bytes and so of no larger code.
//!
//! The digest in each part tells the parts of one message from those of another, and a whole message from a damaged one. It
//! authenticates nothing: messages are checked by whoever they are for.

use std::fmt;

use annona_protocol::registry;
use zeroize::Zeroizing;

use crate::{
    base45,
    text::{self, Foreign},
};

/// The longest message of one code, in bytes.
pub const MAX_SINGLE: usize = 640;
/// The longest part of a longer message, in bytes.
pub const MAX_PART: usize = 600;
/// The most parts of a message.
pub const MAX_PARTS: usize = 64;
/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = MAX_PARTS * MAX_PART;

const SINGLE: &str = "M";
const PART: &str = "P";
const DIGEST: usize = 8;

/// The first bytes of a message's hash.
type Digest = [u8; DIGEST];

/// Why a message has no codes, or a text is not taken. Says nothing of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// No message.
    #[error("there is nothing to show")]
    Empty,
    /// More than the most parts hold.
    #[error("the message is too long for QR codes: send it as a file, or show fewer vouchers at once")]
    TooLong,
    /// Not the text of a message.
    #[error("this is not a message's code: scan the squares on the other screen")]
    NotAFrame,
    /// Another kind of Annona's codes.
    #[error("this is another code of Annona, a ticket or a voucher: scan the squares on the other screen")]
    OtherKind,
    /// A code of a later version.
    #[error("this code is of a newer kind than this program reads: update the program")]
    Version,
    /// A part of the text is missing, too long, or cannot be.
    #[error("the code is damaged: scan it again")]
    Damaged,
    /// A part of another message than the one begun.
    #[error("this part is of another message: finish the one that was begun, or begin again")]
    OtherMessage,
    /// Two contents for one part.
    #[error("this part was scanned before with another content: begin again")]
    Conflict,
    /// The parts are not those of the message that they name.
    #[error("the parts do not make up the message that they name: begin again")]
    Mismatch,
}

impl FrameError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "frames_empty",
            Self::TooLong => "frames_too_long",
            Self::NotAFrame => "frames_foreign",
            Self::OtherKind => "frames_kind",
            Self::Version => "frames_version",
            Self::Damaged => "frames_damaged",
            Self::OtherMessage => "frames_other_message",
            Self::Conflict => "frames_conflict",
            Self::Mismatch => "frames_mismatch",
        }
    }
}

/// The texts for a message's QR codes, in order; one alone for up to [`MAX_SINGLE`] bytes.
///
/// # Errors
/// [`FrameError::Empty`], [`FrameError::TooLong`].
pub fn split(message: &[u8]) -> Result<Vec<Zeroizing<String>>, FrameError> {
    match message.len() {
        0 => Err(FrameError::Empty),
        1..=MAX_SINGLE => Ok(vec![text::write(SINGLE, message)]),
        length if length > MAX_MESSAGE => Err(FrameError::TooLong),
        length => {
            let (of, digest) = (count(length), hexadecimal(&digest(message)));
            let parts = (1..).zip(message.chunks(length.div_ceil(of)));
            Ok(parts.map(|(n, part)| text::write(&format!("{PART}/{n}/{of}/{digest}"), part)).collect())
        }
    }
}

/// Collects the parts of one message, in any order and as often as they come. Holds at most [`MAX_MESSAGE`] bytes.
#[derive(Default)]
pub struct Collector {
    begun: Option<Begun>,
}

struct Begun {
    digest: Digest,
    parts: Vec<Option<Zeroizing<Vec<u8>>>>,
}

/// How far a [`Collector`] is.
#[derive(PartialEq, Eq)]
pub enum Progress {
    /// Parts are missing.
    Waiting {
        /// How many are there.
        have: usize,
        /// Of how many.
        of: usize,
    },
    /// The whole message; the collector is empty again.
    Complete(Zeroizing<Vec<u8>>),
}

impl Collector {
    /// Nothing collected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the text of a code. After any error but [`FrameError::Mismatch`] what was collected is still there; after that
    /// one, nothing is.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn add(&mut self, text: &str) -> Result<Progress, FrameError> {
        match Frame::parse(text)? {
            Frame::Single(_) if self.begun.is_some() => Err(FrameError::OtherMessage),
            Frame::Single(message) => Ok(Progress::Complete(message)),
            Frame::Part { n, of, digest, bytes } => {
                let begun = self.begun.get_or_insert_with(|| Begun { digest, parts: vec![None; of] });
                if begun.digest != digest || begun.parts.len() != of {
                    return Err(FrameError::OtherMessage);
                }
                match &begun.parts[n - 1] {
                    Some(known) if *known != bytes => return Err(FrameError::Conflict),
                    Some(_) => {}
                    None => begun.parts[n - 1] = Some(bytes),
                }
                let have = begun.parts.iter().flatten().count();
                if have < of {
                    return Ok(Progress::Waiting { have, of });
                }
                self.begun.take().ok_or(FrameError::Mismatch)?.message().map(Progress::Complete)
            }
        }
    }

    /// Which parts are missing, counted from 1; none before the first part, for nobody knows how many there are.
    pub fn missing(&self) -> Vec<usize> {
        let parts = self.begun.iter().flat_map(|begun| (1..).zip(&begun.parts));
        parts.filter(|(_, part)| part.is_none()).map(|(n, _)| n).collect()
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.begun = None;
    }
}

impl Begun {
    /// The message, if its parts are what [`split`] makes of it.
    fn message(self) -> Result<Zeroizing<Vec<u8>>, FrameError> {
        let parts: Vec<&[u8]> = self.parts.iter().flatten().map(|part| part.as_slice()).collect();
        let length = parts.iter().map(|part| part.len()).sum();
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        parts.iter().for_each(|part| message.extend_from_slice(part));
        let is_split_so = length > MAX_SINGLE
            && parts.len() == count(length)
            && message.chunks(length.div_ceil(parts.len())).eq(parts.iter().copied());
        if is_split_so && digest(&message) == self.digest { Ok(message) } else { Err(FrameError::Mismatch) }
    }
}

enum Frame {
    Single(Zeroizing<Vec<u8>>),
    Part { n: usize, of: usize, digest: Digest, bytes: Zeroizing<Vec<u8>> },
}

impl Frame {
    fn parse(text: &str) -> Result<Self, FrameError> {
        let (kind, rest) = text::open(text).map_err(|foreign| match foreign {
            Foreign::Other => FrameError::NotAFrame,
            Foreign::Newer => FrameError::Version,
        })?;
        match kind {
            SINGLE => bytes(rest, MAX_SINGLE).map(Self::Single),
            PART => {
                let mut fields = rest.splitn(4, '/');
                let mut field = || fields.next().ok_or(FrameError::Damaged);
                let (n, of) = (number(field()?)?, number(field()?)?);
                let (digest, content) = (read_digest(field()?)?, field()?);
                if !(2..=MAX_PARTS).contains(&of) || !(1..=of).contains(&n) {
                    return Err(FrameError::Damaged);
                }
                Ok(Self::Part { n, of, digest, bytes: bytes(content, MAX_PART)? })
            }
            "E" | "A" | "S" | "V" | "H" | "K" => Err(FrameError::OtherKind),
            _ => Err(FrameError::NotAFrame),
        }
    }
}

/// How many parts a long message has.
fn count(length: usize) -> usize {
    length.div_ceil(MAX_PART)
}

fn digest(message: &[u8]) -> Digest {
    let hash = blake3::derive_key(registry::FRAMES, message);
    *hash.first_chunk().expect("a hash has 32 bytes")
}

/// A name for the files of a message's images: half of its digest.
pub(crate) fn name(message: &[u8]) -> String {
    hexadecimal(&digest(message))[..DIGEST].to_ascii_lowercase()
}

fn hexadecimal(digest: &Digest) -> String {
    format!("{:016X}", u64::from_be_bytes(*digest))
}

fn read_digest(text: &str) -> Result<Digest, FrameError> {
    let digest = u64::from_str_radix(text, 16).map_err(|_| FrameError::Damaged)?.to_be_bytes();
    if hexadecimal(&digest) == text { Ok(digest) } else { Err(FrameError::Damaged) }
}

/// A number below 100 without a sign or a zero in front.
fn number(text: &str) -> Result<usize, FrameError> {
    let is_plain = matches!(text.as_bytes(), [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9']);
    if is_plain { text.parse().map_err(|_| FrameError::Damaged) } else { Err(FrameError::Damaged) }
}

fn bytes(text: &str, most: usize) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    if text.is_empty() || text.len() > base45::encoded_length(most) {
        return Err(FrameError::Damaged);
    }
    base45::decode(text).map_err(|_| FrameError::Damaged)
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.begun.as_ref().map_or(0, |begun| begun.parts.len());
        write!(f, "Collector({} of {of} parts, redacted)", of - self.missing().len())
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { have, of } => write!(f, "Waiting({have} of {of})"),
            Self::Complete(message) => write!(f, "Complete({} bytes, redacted)", message.len()),
        }
    }
}

#[cfg(test)]
mod tests;
