//! The body of a request: the old size, a consistency proof, an empty line, a checkpoint.

use annona_protocol::log::{NoteError, TreeHash, merkle::MAX_SIZE, note::MAX_NOTE_BYTES};
use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::Refusal;

/// The most hashes of a consistency proof.
pub const MAX_PROOF: usize = 63;
/// The longest accepted request, in bytes: the longest note and proof.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + 4096;

/// A request that parses. Proves nothing.
pub(super) struct Request<'a> {
    /// The size that the proof starts from.
    pub(super) old: u64,
    pub(super) proof: Vec<TreeHash>,
    /// The signed checkpoint, not parsed.
    pub(super) note: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(Refusal::TooLarge);
        }
        let end = body.windows(2).position(|pair| pair == b"\n\n").ok_or(MalformedRequest::NoCheckpoint)?;
        let (head, note) = (&body[..end], &body[end + 2..]);
        let mut lines = std::str::from_utf8(head).map_err(|_| MalformedRequest::Old)?.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(MalformedRequest::Old)?;
        let old = old.parse().ok().filter(|number: &u64| number.to_string() == old).ok_or(MalformedRequest::Old)?;
        if old > MAX_SIZE {
            return Err(MalformedRequest::Old.into());
        }
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF {
                return Err(MalformedRequest::LongProof.into());
            }
            let hash = BASE64.decode(line).map_err(|source| MalformedRequest::ProofBase64 { source })?;
            proof.push(TreeHash(hash.try_into().map_err(|_| MalformedRequest::ProofLength)?));
        }
        Ok(Self { old, proof, note })
    }
}

/// Why a request does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedRequest {
    /// No empty line.
    #[error("no empty line with a checkpoint after it")]
    NoCheckpoint,
    /// The first line is not `old` and a size in its one spelling.
    #[error("the first line is not `old`, a space and a size")]
    Old,
    /// More than [`MAX_PROOF`] hashes.
    #[error("a consistency proof has at most {MAX_PROOF} hashes")]
    LongProof,
    /// A hash is not canonical base64.
    #[error("a line of the consistency proof is not base64")]
    ProofBase64 {
        /// Where and why.
        source: DecodeError,
    },
    /// A hash is not 32 bytes.
    #[error("a hash of the consistency proof is not 32 bytes")]
    ProofLength,
    /// The checkpoint does not parse.
    #[error("{source}")]
    Checkpoint {
        /// Why.
        source: NoteError,
    },
    /// The old size is above that of the checkpoint.
    #[error("the old size is larger than the checkpoint's")]
    OldAboveSize,
    /// The checkpoint is larger than any tree can be.
    #[error("the checkpoint's size is out of range")]
    SizeRange,
}
