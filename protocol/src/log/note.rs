//! What a log signs: C2SP `signed-note`, `tlog-checkpoint` and `tlog-cosignature` (<https://c2sp.org>), all Ed25519.
//!
//! ```text
//! example.org/issuer                         origin, also the name of the log's key
//! 20852163                                   size
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.org/issuer base64(key id || signature of the text above)
//! — witness.example.net/w1 base64(key id || u64 big-endian time || signature)
//! ```
//!
//! A log signs the text, up to and with the newline before the empty line. A witness signs the line `cosignature/v1`,
//! the line `time <time>` and the text: at that time this was the largest tree it saw of the log, consistent with all
//! before. The two cannot be taken for each other, as no checkpoint has `time` in its second line; nor for the
//! protocol's own signatures, which all contain a zero byte.
//!
//! Where C2SP leaves room this reader is strict: the origin is the log key's name, there are no extension lines, the
//! root of an empty tree is the right one, keys are canonical and not of small order, and Ed25519 is verified strictly.

use std::{fmt, str::FromStr};

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey};

pub(crate) use self::key::check_name;
use super::merkle::{TreeHash, empty_root};

mod key;

pub use self::key::{KeyId, KeyType, VerifierKey};

/// The longest accepted note, in bytes.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;
/// The most signature lines of an accepted note; the specification asks for 16 at least.
pub const MAX_SIGNATURES: usize = 100;
/// The latest time of a cosignature, in seconds since 1970.
pub const MAX_TIME: u64 = (1 << 63) - 1;

/// What a log says of itself: its tree at a size. Shown as the text of a note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: TreeHash,
}

impl Checkpoint {
    /// The checkpoint of the log `origin` at `size` entries.
    ///
    /// # Errors
    /// [`NoteError::Origin`] if the origin is empty or holds control characters, [`NoteError::EmptyRoot`] if the size
    /// is 0 and the root is not [`empty_root`].
    pub fn new(origin: &str, size: u64, root: TreeHash) -> Result<Self, NoteError> {
        if origin.is_empty() || origin.contains(|character| character < ' ') {
            return Err(NoteError::Origin);
        }
        if size == 0 && root != empty_root() {
            return Err(NoteError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over them.
    pub fn root(&self) -> TreeHash {
        self.root
    }
}

impl fmt::Display for Checkpoint {
    /// The three lines, each with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    /// Parses exactly three lines in their one spelling.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::CheckpointLines)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::CheckpointLines);
        };
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size).ok_or(NoteError::Size)?;
        let root = BASE64.decode(root).map_err(|source| NoteError::RootBase64 { source })?;
        let root = root.try_into().map_err(|_| NoteError::RootLength)?;
        Self::new(origin, number, TreeHash(root))
    }
}

/// A signature line of a note. Proves nothing until it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: KeyId,
    signature: Vec<u8>,
}

impl NoteSignature {
    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The bytes behind the key id.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for NoteSignature {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "— {} {}", self.name, BASE64.encode([&self.key_id.0, &self.signature[..]].concat()))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Parses a line without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, bytes) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Line)?;
        check_name(name)?;
        let bytes = BASE64.decode(bytes).map_err(|source| NoteError::LineBase64 { source })?;
        match bytes.split_first_chunk() {
            Some((id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: KeyId(*id), signature: signature.to_vec() })
            }
            _ => Err(NoteError::Line),
        }
    }
}

/// A text and signatures that nobody has verified yet. Shown as the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Parses a note: UTF-8 without control characters but newlines, a text, an empty line, signature lines.
    ///
    /// # Errors
    /// [`NoteError`]. Unknown keys and repeated lines are none; [`verify_checkpoint`] ignores them.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|source| NoteError::NotUtf8 { source })?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::ControlCharacter);
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines.split('\n').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The text that is signed, with its last newline. To be ignored until it is verified.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The note with one more signature line, unless it has it already: a log collects cosignatures so.
    #[must_use]
    pub fn with_signature(mut self, signature: NoteSignature) -> Self {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
        self
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Signs a checkpoint as the log `name`. A log signs one root a size, ever; the caller sees to it.
///
/// # Errors
/// [`NoteError::OriginMismatch`] if the checkpoint is of another log, [`NoteError::KeyName`] if the name is not one of
/// a key.
pub fn sign_checkpoint(key: &SigningKey, name: &str, checkpoint: &Checkpoint) -> Result<SignedNote, NoteError> {
    if checkpoint.origin != name {
        return Err(NoteError::OriginMismatch);
    }
    sign(key, name, checkpoint.to_string())
}

/// Signs a text that ends in a newline.
fn sign(key: &SigningKey, name: &str, text: String) -> Result<SignedNote, NoteError> {
    let public = VerifierKey::new(name, KeyType::Log, key.verifying_key())?;
    let signature = key.sign(text.as_bytes()).to_vec();
    let signatures = vec![NoteSignature { name: public.name().to_owned(), key_id: public.id(), signature }];
    Ok(SignedNote { text, signatures })
}

/// Cosigns a checkpoint as the witness `name`, at `time` in seconds since 1970. The caller has checked that the log's
/// tree is consistent with the largest it cosigned before, which is not larger.
///
/// # Errors
/// [`NoteError::Time`] above [`MAX_TIME`], [`NoteError::KeyName`] if the name is not one of a key.
pub fn cosign(key: &SigningKey, name: &str, time: u64, note: &VerifiedCheckpoint) -> Result<NoteSignature, NoteError> {
    if time > MAX_TIME {
        return Err(NoteError::Time);
    }
    let public = VerifierKey::new(name, KeyType::Witness, key.verifying_key())?;
    let signature = key.sign(&cosigned_message(time, &note.note.text)).to_bytes();
    let signature = [&time.to_be_bytes(), &signature[..]].concat();
    Ok(NoteSignature { name: public.name().to_owned(), key_id: public.id(), signature })
}

/// What a witness signs.
fn cosigned_message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// A checkpoint signed by its log and cosigned by as many witnesses as asked for.
#[must_use = "a checkpoint is verified to be used in place of what was received"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
    cosignatures: Vec<Cosignature>,
}

impl VerifiedCheckpoint {
    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note it came in, unknown signatures included.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The witnesses that cosigned, each once, in the caller's order.
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }
}

/// A verified word of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness.
    pub witness: VerifierKey,
    /// When it saw the log at this size, in seconds since 1970: the latest if it cosigned more than once.
    pub time: u64,
}

/// Verifies a checkpoint of the log whose key this is, cosigned by at least `threshold` of the witnesses.
///
/// The log's signature is mandatory. A witness is counted once by its public key, however many lines or names it has,
/// and the log's own key never. Lines of unknown keys are ignored, but each line of a known key must verify. The caller
/// judges the times, as there is no clock here, and the consistency with what it saw before.
///
/// # Errors
/// [`NoteError`]: the note does not parse, a key is of the wrong type, a signature is missing or false, the origin is
/// not the log's name, or there are too few witnesses.
pub fn verify_checkpoint(
    note: &[u8],
    log_key: &VerifierKey,
    witnesses: &[VerifierKey],
    threshold: usize,
) -> Result<VerifiedCheckpoint, NoteError> {
    log_key.expect_type(KeyType::Log)?;
    witnesses.iter().try_for_each(|witness| witness.expect_type(KeyType::Witness))?;
    let note = SignedNote::parse(note)?;
    let mut signed = false;
    for line in log_key.lines_of(&note) {
        log_key.verify(note.text.as_bytes(), &line.signature)?;
        signed = true;
    }
    if !signed {
        return Err(NoteError::NotSignedByLog);
    }
    let checkpoint: Checkpoint = note.text.parse()?;
    if checkpoint.origin != log_key.name() {
        return Err(NoteError::OriginMismatch);
    }
    let mut cosignatures: Vec<Cosignature> = Vec::new();
    for witness in witnesses.iter().filter(|witness| witness.key() != log_key.key()) {
        for line in witness.lines_of(&note) {
            let time = verify_cosignature(witness, &note.text, &line.signature)?;
            match cosignatures.iter_mut().find(|other| other.witness.key() == witness.key()) {
                Some(counted) => counted.time = counted.time.max(time),
                None => cosignatures.push(Cosignature { witness: witness.clone(), time }),
            }
        }
    }
    if cosignatures.len() < threshold {
        return Err(NoteError::TooFewWitnesses { found: cosignatures.len(), threshold });
    }
    Ok(VerifiedCheckpoint { checkpoint, note, cosignatures })
}

/// Verifies one line of a witness and returns its time.
fn verify_cosignature(witness: &VerifierKey, text: &str, bytes: &[u8]) -> Result<u64, NoteError> {
    let (time, signature) = bytes.split_first_chunk().ok_or(NoteError::Signature { key: witness.id() })?;
    let time = u64::from_be_bytes(*time);
    if time > MAX_TIME {
        return Err(NoteError::Time);
    }
    witness.verify(&cosigned_message(time, text), signature)?;
    Ok(time)
}

/// Why a note, a key or a checkpoint is refused. Keys are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_BYTES`].
    #[error("the note is longer than {MAX_NOTE_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8 {
        /// Where and why.
        source: std::str::Utf8Error,
    },
    /// A control character other than a newline, such as that of a Windows line end.
    #[error("the note contains a control character")]
    ControlCharacter,
    /// No empty line with lines after it, or the last line does not end.
    #[error("the note has no signatures, or is cut off")]
    NoSignatures,
    /// More than [`MAX_SIGNATURES`] lines.
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A line after the text is not a signature line.
    #[error("not a signature line")]
    Line,
    /// A signature is not canonical base64.
    #[error("the signature is not base64")]
    LineBase64 {
        /// Where and why.
        source: DecodeError,
    },
    /// The name of a key is empty, or contains a space, a control character or a `+`.
    #[error("not a name of a key")]
    KeyName,
    /// A key is not `name+key id+base64(type || key)`, or its bytes are no point of the curve.
    #[error("not a verifier key")]
    KeyText,
    /// A key is not canonical base64.
    #[error("the verifier key is not base64")]
    KeyBase64 {
        /// Where and why.
        source: DecodeError,
    },
    /// A key is of another type than [`KeyType`] has.
    #[error("a verifier key of an unknown type")]
    UnknownKeyType,
    /// A key's text carries another id than the key has.
    #[error("the verifier key does not have the id it claims")]
    KeyId,
    /// A key is of small order or not canonically encoded.
    #[error("a weak verifier key")]
    WeakKey,
    /// A log's key where a witness's is expected, or the other way round.
    #[error("key {key} is not of the type {expected:?}")]
    KeyType {
        /// The key given.
        key: KeyId,
        /// What is expected there.
        expected: KeyType,
    },
    /// The text is not three lines.
    #[error("a checkpoint has exactly three lines")]
    CheckpointLines,
    /// The origin is empty or contains a control character.
    #[error("not an origin of a log")]
    Origin,
    /// The size is not a decimal number below 2^64 without leading zeros.
    #[error("not a size of a log")]
    Size,
    /// The root is not canonical base64.
    #[error("the root is not base64")]
    RootBase64 {
        /// Where and why.
        source: DecodeError,
    },
    /// The root is not 32 bytes.
    #[error("the root is not 32 bytes")]
    RootLength,
    /// A checkpoint of size 0 with a root other than the empty tree's.
    #[error("the empty log has another root")]
    EmptyRoot,
    /// The checkpoint is of another log than the key's.
    #[error("the checkpoint is of another log")]
    OriginMismatch,
    /// No line of the log's key.
    #[error("the log did not sign the checkpoint")]
    NotSignedByLog,
    /// A line of a known key is false.
    #[error("the signature of key {key} does not verify")]
    Signature {
        /// The key.
        key: KeyId,
    },
    /// The time of a cosignature is above [`MAX_TIME`].
    #[error("the time of a cosignature is out of range")]
    Time,
    /// Fewer witnesses cosigned than asked for.
    #[error("{found} witnesses cosigned, {threshold} are needed")]
    TooFewWitnesses {
        /// How many cosigned.
        found: usize,
        /// How many are needed.
        threshold: usize,
    },
}

#[cfg(test)]
mod tests;
