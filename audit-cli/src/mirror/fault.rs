//! Faults, and the evidence that is kept of them.

use std::path::{Path, PathBuf};

use annona_protocol::log::merkle::leaf_hash;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{Mirror, MirrorError, files, log::Accusation};
use crate::chain::NamedLog;

/// The most proofs of one log's split views: one convinces.
const MAX_PROOFS: usize = 2;
/// The most observations of one log and code. They cost nothing to make, so those of one kind must not crowd out others, nor fill
/// the disk.
const MAX_OBSERVATIONS: usize = 6;

/// What a log, or whoever serves it, did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The log signed two trees of different sizes, neither of which grows into the other: proven.
    Forked,
    /// The log signed two roots for one size: proven.
    TwoRoots,
    /// A server has a smaller tree than before.
    WentBack,
    /// A file does not lead to the root that the log signed.
    FalseTile,
    /// A file that was copied before has other content now, or is gone.
    ChangedTile,
    /// The checkpoint is not signed by its log, or not cosigned.
    Checkpoint,
    /// The announcement does not hold.
    Announcement,
    /// Officers signed two versions of one number.
    ManifestForked,
    /// The key list is not the one that the manifest fixes.
    KeysChanged,
    /// A pack is not the issuer's for this programme, or not the one that the freeze fixes.
    PackDiffers,
}

impl FaultKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::TwoRoots => "two-roots",
            Self::WentBack => "went-back",
            Self::FalseTile => "false-tile",
            Self::ChangedTile => "changed-tile",
            Self::Checkpoint => "checkpoint-refused",
            Self::Announcement => "announcement-refused",
            Self::ManifestForked => "manifest-forked",
            Self::KeysChanged => "keys-changed",
            Self::PackDiffers => "pack-differs",
        }
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Forked => "the log signed two histories; the evidence proves it",
            Self::TwoRoots => "the log signed two roots for one size; the evidence proves it",
            Self::WentBack => "the server shows a smaller log than before",
            Self::FalseTile => "a file does not lead to the root that the log signed",
            Self::ChangedTile => "a file that was copied before has other content now, or is gone",
            Self::Checkpoint => "the checkpoint is not signed by its log, or too few witnesses cosigned it",
            Self::Announcement => "the announcement does not hold, or is of another programme",
            Self::ManifestForked => "the officers signed two versions of one number",
            Self::KeysChanged => "the key list is not the one that the manifest fixes",
            Self::PackDiffers => {
                "an opening pack is not the issuer's for this programme, or not the one that the freeze fixes"
            }
        }
    }
}

/// A fault with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was done.
    pub kind: FaultKind,
    /// The log's folder below `logs/`.
    pub log: String,
    /// The log's name; empty if the fault is of no log.
    pub origin: String,
    /// The file at fault, if it is one.
    pub path: Option<String>,
    /// Where the evidence is kept; none if there is too much already.
    pub evidence: Option<PathBuf>,
}

impl Mirror<'_> {
    /// Keeps the evidence and names the fault.
    pub(super) fn accuse(&mut self, log: Option<&NamedLog>, accusation: Accusation) -> Result<(), MirrorError> {
        let Accusation { kind, path, notes, offered, proof } = accusation;
        let (folder, origin) = log
            .map_or_else(|| ("programme".to_owned(), String::new()), |log| (log.folder.clone(), log.key.name.clone()));
        let content = match &proof {
            Some(proof) => proof.to_json(),
            None => json!({
                "format": "annona-observation-1",
                "programme": self.options.programme.to_string(),
                "log": origin,
                "code": kind.code(),
                "notes": notes,
                "path": path,
                "offered": offered.as_ref().map(|bytes| BASE64.encode(bytes)),
            }),
        };
        let evidence = keep(self.folder, &folder, kind, &content)?;
        self.outcome.faults.push(Fault { kind, log: folder, origin, path, evidence });
        Ok(())
    }
}

/// Writes evidence once under a name of its content; none if there is enough of its kind.
fn keep(folder: &Path, log: &str, kind: FaultKind, content: &Value) -> Result<Option<PathBuf>, MirrorError> {
    let evidence = folder.join("evidence");
    let text = format!("{content:#}\n");
    let hash = leaf_hash(text.as_bytes()).to_string();
    let path = evidence.join(format!("{log}-{}-{}.json", kind.code(), &hash[..16]));
    if path.exists() {
        return Ok(Some(path));
    }
    let is_proof = |kind: FaultKind| matches!(kind, FaultKind::Forked | FaultKind::TwoRoots);
    let (kinds, most) = if is_proof(kind) {
        (vec![FaultKind::Forked, FaultKind::TwoRoots], MAX_PROOFS)
    } else {
        (vec![kind], MAX_OBSERVATIONS)
    };
    let beginnings: Vec<_> = kinds.iter().map(|kind| format!("{log}-{}-", kind.code())).collect();
    let alike = files::list(&evidence)?.into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        beginnings.iter().any(|beginning| name.starts_with(beginning))
    });
    if alike.count() >= most {
        return Ok(None);
    }
    files::replace(&path, text.as_bytes())?;
    Ok(Some(path))
}

/// How much evidence a mirror holds.
///
/// # Errors
/// [`MirrorError::File`].
pub fn evidence_of(folder: &Path) -> Result<Vec<PathBuf>, MirrorError> {
    Ok(files::list(&folder.join("evidence"))?)
}
