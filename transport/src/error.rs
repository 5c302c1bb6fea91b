//! Why a request has no answer, sorted by what the caller can do about it.

use std::error::Error as StdError;

use serde::Deserialize;

use crate::AddressError;

/// The longest wait that a server may ask for, in seconds.
const MAX_RETRY_AFTER: u64 = 3600;
/// The longest text of a server that is kept, in characters.
const MAX_TEXT: usize = 300;

/// A server's refusal (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code; empty if the server gave none.
    pub code: String,
    /// A short text.
    pub title: String,
    /// A longer one.
    pub detail: String,
    /// After how many seconds to ask again, at most an hour.
    pub retry_after: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    code: String,
    title: String,
    detail: String,
}

impl Problem {
    pub(crate) fn parse(status: u16, body: &[u8], retry_after: &str) -> Self {
        let Body { code, title, detail } = serde_json::from_slice(body).unwrap_or_default();
        let retry_after = retry_after.trim().parse().ok().map(|seconds: u64| seconds.min(MAX_RETRY_AFTER));
        Self { status, code: printable(&code), title: printable(&title), detail: printable(&detail), retry_after }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 502 | 503 | 504)
    }
}

/// A server's text is shown to people: no control characters, not too long.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_TEXT).collect()
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address is not usable.
    #[error("the server's address is not usable: {0}")]
    Address(#[from] AddressError),
    /// The client cannot be made.
    #[error("the HTTP client cannot start")]
    Client {
        /// Why.
        source: reqwest::Error,
    },
    /// No connection: nothing was sent.
    #[error("the server cannot be reached: try again later")]
    Unreachable {
        /// Why.
        source: reqwest::Error,
    },
    /// Somebody answered who does not hold the server's key: nothing was sent.
    #[error("whoever answers does not hold the server's key: try another network")]
    WrongKey {
        /// Why.
        source: reqwest::Error,
    },
    /// The request may have arrived; its answer did not.
    #[error("the answer was lost: repeat the same request")]
    AnswerLost {
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The answer is longer than the client reads.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The server refused.
    #[error("the server refused with status {}: {} {}", .0.status, .0.code, .0.title)]
    Refused(Box<Problem>),
    /// The server refused with a signed message.
    #[error("the server refused with status {status} and a signed message: {code}")]
    Signed {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// The message.
        body: Vec<u8>,
    },
}

impl TransportError {
    /// Whether the same bytes may be answered later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::WrongKey { .. } | Self::AnswerLost { .. } => true,
            Self::Refused(problem) => problem.is_transient(),
            Self::Address(_) | Self::Client { .. } | Self::TooLong { .. } | Self::Signed { .. } => false,
        }
    }

    /// After how many seconds the server wants to be asked again.
    pub fn retry_after(&self) -> Option<u64> {
        if let Self::Refused(problem) = self { problem.retry_after } else { None }
    }

    pub(crate) fn of_sending(source: reqwest::Error) -> Self {
        // The URL is whom the household asks: not for a log.
        let source = source.without_url();
        if is_certificate(&source) {
            Self::WrongKey { source }
        } else if source.is_connect() {
            Self::Unreachable { source }
        } else {
            Self::AnswerLost { source: source.into() }
        }
    }
}

/// Whether the server's certificate or its signature was refused.
fn is_certificate(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An I/O error is not the source of what it wraps: it shows it by reference.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
