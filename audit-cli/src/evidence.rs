//! Proofs that convince anybody who knows the programme's id, as JSON files (spec/audit.md, 3 and 4).
//!
//! Each holds the manifest chain, so that nothing else is needed: its genesis hashes to the id, and the chain names the keys that
//! signed the notes. A file from a stranger is judged by [`SplitView::verify`] and [`OmissionProof::verify`], never by its words.

use annona_protocol::{
    audit::receipt::{Omission, ReceiptError},
    ids::ProgrammeId,
    log::{
        Checkpoint, MerkleError, NoteError, TreeHash,
        merkle::{self, verify_consistency},
    },
    programme::SignedHeader,
    wire::{DecodeError, Message},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::chain::{Chain, ChainError, NamedLog};

/// The longest file that is read, in bytes.
pub const MAX_EVIDENCE_BYTES: usize = 1 << 26;
const SPLIT_VIEW: &str = "annona-split-view-1";
pub(crate) const OMISSION: &str = "annona-omission-1";

/// Why a proof does not hold. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Not JSON, another kind of file, or a member is missing or malformed.
    #[error("`{member}` is missing or malformed: this is no such proof. Check which file it is")]
    Member {
        /// The member; empty if the file is not JSON.
        member: &'static str,
    },
    /// The manifest.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The manifest names no such log.
    #[error("the manifest names no such log. The proof shows nothing: ask whoever made it")]
    Log,
    /// The log did not sign a note, or too few witnesses did.
    #[error("a checkpoint does not hold: {0}. The proof shows nothing: ask whoever made it")]
    Note(#[from] NoteError),
    /// The two checkpoints do not contradict each other.
    #[error("the two checkpoints do not contradict each other. The proof shows nothing: ask whoever made it")]
    Agrees,
    /// A path does not lead to a root.
    #[error("the proof's hashes do not hold: {0}. The proof shows nothing: ask whoever made it")]
    Merkle(#[from] MerkleError),
    /// The omission is not proven.
    #[error("the omission is not proven: {0}. The proof shows nothing: ask whoever made it")]
    Receipt(#[from] ReceiptError),
    /// The file would be longer than what is read.
    #[error("the proof is longer than {MAX_EVIDENCE_BYTES} bytes, which nobody reads")]
    Long,
    /// A message does not decode.
    #[error("a message in the file does not decode: {0}. Check which file it is")]
    Message(#[from] DecodeError),
}

/// Proof that a log signed two trees, neither of which grows into the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitView {
    programme: ProgrammeId,
    manifest: Vec<SignedHeader>,
    log: String,
    /// The note of the smaller tree, and that of the larger one.
    notes: [String; 2],
    /// What the larger tree has in place of the smaller one, with its consistency proof; none if both have one size.
    prefix: Option<(TreeHash, Vec<TreeHash>)>,
}

/// Proof that a site broke a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OmissionProof {
    programme: ProgrammeId,
    manifest: Vec<SignedHeader>,
    log: String,
    note: String,
    /// What the notes's tree says of the receipt.
    pub omission: Omission,
}

/// The two sides of a split view, both signed by the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The log.
    pub log: String,
    /// The smaller tree, or either if both have one size.
    pub smaller: Checkpoint,
    /// The other.
    pub larger: Checkpoint,
}

impl SplitView {
    /// The proof from two notes of a log and the leaf hashes of the larger tree. None if the smaller one is its beginning.
    pub fn find(
        chain: &Chain,
        log: &NamedLog,
        smaller: (&str, u64, TreeHash),
        larger: (&str, &[TreeHash]),
    ) -> Option<Self> {
        let (note, size, root) = smaller;
        let (other, leaves) = larger;
        let beginning = leaves.get(..usize::try_from(size).ok()?)?;
        let found = merkle::root(beginning);
        if found == root {
            return None;
        }
        let is_longer = leaves.len() > beginning.len();
        let prefix = is_longer.then(|| merkle::consistency_proof(leaves, size).map(|proof| (found, proof))).flatten();
        Some(Self {
            programme: chain.programme(),
            manifest: chain.versions().to_vec(),
            log: log.key.name.clone(),
            notes: [note.to_owned(), other.to_owned()],
            prefix,
        })
    }

    /// Whether the log signed both, and one contradicts the other.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn verify(&self, programme: ProgrammeId) -> Result<Sides, EvidenceError> {
        let chain = Chain::new(programme, self.manifest.clone())?;
        let log = chain.log(&self.log).ok_or(EvidenceError::Log)?;
        let [smaller, larger] = &self.notes;
        let smaller = chain.signed_by(smaller.as_bytes(), &log)?;
        let larger = chain.signed_by(larger.as_bytes(), &log)?;
        match &self.prefix {
            None if smaller.size() != larger.size() || smaller.root() == larger.root() => {
                return Err(EvidenceError::Agrees);
            }
            None => {}
            Some((root, proof)) => {
                // Equal sizes would make the root a free choice.
                if smaller.size() >= larger.size() || *root == smaller.root() {
                    return Err(EvidenceError::Agrees);
                }
                verify_consistency(smaller.size(), root, larger.size(), &larger.root(), proof)?;
            }
        }
        Ok(Sides { log: self.log.clone(), smaller, larger })
    }

    /// The file.
    pub fn to_json(&self) -> Value {
        json!({
            "format": SPLIT_VIEW,
            "programme": self.programme.to_string(),
            "log": self.log,
            "notes": self.notes,
            "prefix_root": self.prefix.as_ref().map(|(root, _)| BASE64.encode(root.0)),
            "consistency": self.prefix.as_ref().map(|(_, proof)| hashes(proof)),
            "manifest": messages(&self.manifest),
        })
    }

    /// Reads the file. Proves nothing.
    ///
    /// # Errors
    /// [`EvidenceError::Member`], [`EvidenceError::Message`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let value = parse(bytes, SPLIT_VIEW)?;
        let note = |at: usize| value["notes"][at].as_str().map(str::to_owned).ok_or(member("notes"));
        let prefix = match &value["prefix_root"] {
            Value::Null => None,
            root => Some((hash(root, "prefix_root")?, list(&value, "consistency", hash)?)),
        };
        Ok(Self {
            programme: programme(&value)?,
            manifest: manifest(&value)?,
            log: text(&value, "log")?,
            notes: [note(0)?, note(1)?],
            prefix,
        })
    }
}

impl OmissionProof {
    /// A proof under a site's note.
    pub fn new(chain: &Chain, log: &NamedLog, note: &str, omission: Omission) -> Self {
        Self {
            programme: chain.programme(),
            manifest: chain.versions().to_vec(),
            log: log.key.name.clone(),
            note: note.to_owned(),
            omission,
        }
    }

    /// Whether the site promised the leaf, and a log that it signed and witnesses cosigned lacks it.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn verify(&self, programme: ProgrammeId) -> Result<Checkpoint, EvidenceError> {
        let chain = Chain::new(programme, self.manifest.clone())?;
        let log = chain.log(&self.log).ok_or(EvidenceError::Log)?;
        let note = chain.verify_checkpoint(self.note.as_bytes(), &log, false)?;
        self.omission.verify(chain.newest(), note.checkpoint())?;
        Ok(note.checkpoint().clone())
    }

    /// Whether the file can be read again, and then proves what this does: a site chooses how many batches it needs.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn verify_file(&self, programme: ProgrammeId) -> Result<(), EvidenceError> {
        let file = format!("{:#}\n", self.to_json());
        if file.len() > MAX_EVIDENCE_BYTES {
            return Err(EvidenceError::Long);
        }
        Self::from_json(file.as_bytes())?.verify(programme).map(drop)
    }

    /// The file.
    pub fn to_json(&self) -> Value {
        json!({
            "format": OMISSION,
            "programme": self.programme.to_string(),
            "log": self.log,
            "note": self.note,
            "omission": BASE64.encode(self.omission.encode()),
            "manifest": messages(&self.manifest),
        })
    }

    /// Reads the file. Proves nothing.
    ///
    /// # Errors
    /// [`EvidenceError::Member`], [`EvidenceError::Message`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let value = parse(bytes, OMISSION)?;
        Ok(Self {
            programme: programme(&value)?,
            manifest: manifest(&value)?,
            log: text(&value, "log")?,
            note: text(&value, "note")?,
            omission: Omission::decode(&decoded(&value["omission"], "omission")?)?,
        })
    }
}

fn hashes(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(|hash| BASE64.encode(hash.0)).collect()
}

fn messages(messages: &[SignedHeader]) -> Vec<String> {
    messages.iter().map(|message| BASE64.encode(message.encode())).collect()
}

fn member(member: &'static str) -> EvidenceError {
    EvidenceError::Member { member }
}

fn parse(bytes: &[u8], format: &str) -> Result<Value, EvidenceError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| member(""))?;
    if value["format"] == format { Ok(value) } else { Err(member("format")) }
}

fn text(value: &Value, name: &'static str) -> Result<String, EvidenceError> {
    value[name].as_str().map(str::to_owned).ok_or(member(name))
}

fn decoded(value: &Value, name: &'static str) -> Result<Vec<u8>, EvidenceError> {
    value.as_str().and_then(|text| BASE64.decode(text).ok()).ok_or(member(name))
}

fn hash(value: &Value, name: &'static str) -> Result<TreeHash, EvidenceError> {
    decoded(value, name)?.try_into().map(TreeHash).map_err(|_| member(name))
}

fn list<T>(
    value: &Value,
    name: &'static str,
    read: impl Fn(&Value, &'static str) -> Result<T, EvidenceError>,
) -> Result<Vec<T>, EvidenceError> {
    value[name].as_array().ok_or(member(name))?.iter().map(|item| read(item, name)).collect()
}

fn programme(value: &Value) -> Result<ProgrammeId, EvidenceError> {
    let mut id = [0; 32];
    hex::decode_to_slice(text(value, "programme")?, &mut id).map_err(|_| member("programme"))?;
    Ok(ProgrammeId(id))
}

fn manifest(value: &Value) -> Result<Vec<SignedHeader>, EvidenceError> {
    list(value, "manifest", |item, name| Ok(SignedHeader::decode(&decoded(item, name)?)?))
}
