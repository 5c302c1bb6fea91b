//! Wire format: a versioned envelope around canonical postcard (spec `wire.md`).
//!
//! ```text
//! u8 version (1) || u8 kind || postcard body
//! ```
//!
//! Decoding refuses unknown versions and kinds, trailing bytes, oversized messages, and any body that is not the unique
//! encoding of what it decodes to (postcard itself accepts over-long integers).

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::registry::VERSION;

/// A message with an envelope.
pub trait Message: Serialize + DeserializeOwned {
    /// The second byte of the envelope.
    const KIND: u8;
    /// The longest accepted encoding, in bytes.
    const MAX_BYTES: usize = 64 * 1024;

    /// The canonical encoding, envelope included.
    fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION, Self::KIND]).expect("writing to memory cannot fail")
    }

    /// The encoding in a buffer that is wiped on drop, for messages that carry secrets.
    fn encode_secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.encode())
    }

    /// Decodes a whole byte string.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is kept of a refused message.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(DecodeError::TooLong { limit: Self::MAX_BYTES });
        }
        let (&version, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        if version != VERSION {
            return Err(DecodeError::Version { found: version });
        }
        let (&kind, body) = rest.split_first().ok_or(DecodeError::Truncated)?;
        if kind != Self::KIND {
            return Err(DecodeError::Kind { found: kind, expected: Self::KIND });
        }
        let (message, trailing) = postcard::take_from_bytes::<Self>(body)?;
        if !trailing.is_empty() {
            return Err(DecodeError::Trailing);
        }
        if *message.encode_secret() != bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(message)
    }
}

/// Why bytes are not a message. Carries no content of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than the kind allows.
    #[error("message longer than {limit} bytes")]
    TooLong {
        /// The kind's limit.
        limit: usize,
    },
    /// Ends inside the envelope.
    #[error("message is cut off")]
    Truncated,
    /// A version that this program does not speak.
    #[error("unknown protocol version {found}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Another kind of message.
    #[error("message of kind {found:#04x} where {expected:#04x} is expected")]
    Kind {
        /// The kind found.
        found: u8,
        /// The kind expected.
        expected: u8,
    },
    /// The body does not decode: cut off, or a field out of its range.
    #[error("malformed message")]
    Malformed(#[from] postcard::Error),
    /// Bytes after the message.
    #[error("bytes after the message")]
    Trailing,
    /// Decodes, but is not the canonical encoding.
    #[error("message is not canonically encoded")]
    NotCanonical,
}

/// Binds a type to its kind.
macro_rules! message {
    ($type:ty, $kind:ident) => {
        impl $crate::wire::Message for $type {
            const KIND: u8 = $crate::registry::kind::$kind;
        }
    };
    ($type:ty, $kind:ident, $max:expr) => {
        impl $crate::wire::Message for $type {
            const KIND: u8 = $crate::registry::kind::$kind;
            const MAX_BYTES: usize = $max;
        }
    };
}
pub(crate) use message;

/// The digest of a whole encoded request: what idempotence compares (spec 5.4).
pub fn request_digest(bytes: &[u8]) -> crate::ids::Digest {
    crate::ids::Digest(crate::transcript::hash(crate::registry::REQUEST, bytes))
}
