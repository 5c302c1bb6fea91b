//! A witness without a network: it cosigns the logs of a mirrored folder that it verified itself (spec/audit.md 3.2).
//!
//! The state is that of the server, so that both share one history: never two roots of one size, never a smaller tree.

use std::{fmt, path::Path};

use annona_protocol::{
    audit::{Check, Finding, Note, Party, Report},
    ids::ProgrammeId,
    log::{
        Checkpoint, NoteError, NoteSignature, SignedNote, TreeHash,
        merkle::{consistency_proof, leaf_hash, root},
        note::{MAX_NOTE_BYTES, verify_checkpoint},
        tile::{TileKind, decode_bundle, paths},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Options, Refusal, Witness, WitnessError, WitnessKey};
use crate::{
    VerifyError,
    chain::{Chain, NamedLog},
    mirror::{FileError, MAX_BUNDLE, MirrorError, chain_of, files},
};

/// Why no log of a folder can be cosigned. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder's manifest.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The audit could not be done.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The witness' state.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

/// Why a log is not cosigned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Withheld {
    /// A file is missing or cannot be read.
    #[error("its files cannot be read: mirror it again")]
    Unreadable,
    /// The log's own signature does not hold.
    #[error("its checkpoint does not hold: {0}")]
    Note(#[from] NoteError),
    /// Its entries are not those that it signed.
    #[error("its entries do not lead to the root that it signed")]
    Root,
    /// The audit found something against it.
    #[error("the audit found: {}", Listed(.0))]
    Findings(Vec<Check>),
    /// The audit stopped at the genesis, and read no site's log.
    #[error("the audit found no genesis of the programme, and so read no log: cosign a copy that has it")]
    NotAudited,
    /// The folder changed while it was verified.
    #[error("it changed while it was verified: cosign a copy that nobody writes to")]
    Changed,
    /// A larger tree was cosigned before.
    #[error(
        "{known} leaves were cosigned before, and here are {size}: this is an older copy, or the log took leaves back"
    )]
    Behind {
        /// The size that was cosigned.
        known: u64,
        /// The size here.
        size: u64,
    },
    /// The witness refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Checks by their codes, each once.
struct Listed<'a>(&'a [Check]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<&str> = self.0.iter().map(|check| check.code()).collect();
        f.write_str(&codes.join(", "))
    }
}

/// What became of a log.
#[derive(Debug)]
pub struct Cosigning {
    /// Its folder below `logs/`.
    pub log: String,
    /// Its name.
    pub origin: String,
    /// Leaves here; none if the checkpoint does not parse.
    pub size: Option<u64>,
    /// The note with the log's signature, other witnesses' and the new line; and that line.
    pub outcome: Result<(SignedNote, NoteSignature), Withheld>,
}

/// A log as it is in a folder: signed, and hashed from its entries.
struct Offered {
    checkpoint: Checkpoint,
    note: SignedNote,
    leaves: Vec<TreeHash>,
}

/// Verifies a folder by `verify`, then cosigns every log of it against which nothing was found. Too few cosignatures are no
/// finding here: they are what is asked for.
///
/// # Errors
/// [`FolderError`]. What is wrong with one log is said of it, and the others are cosigned.
pub fn cosign_folder(
    folder: &Path,
    programme: ProgrammeId,
    key: WitnessKey,
    state: &Path,
    verify: impl FnOnce() -> Result<Report, VerifyError>,
) -> Result<Vec<Cosigning>, FolderError> {
    let chain = chain_of(folder, programme)?.ok_or(MirrorError::NoManifest)?;
    let logs: Vec<NamedLog> = chain
        .logs()
        .into_iter()
        .filter(|log| folder.join("logs").join(&log.folder).join("checkpoint").exists())
        .collect();
    let keys = logs.iter().filter_map(|log| log.verifier().ok()).collect();
    // The state is locked before the work: an audit takes long.
    let witness = Witness::open(key, Options { state: state.to_owned(), logs: keys, logs_file: None })?;
    let before: Vec<_> = logs.iter().map(|log| Offered::read(folder, log)).collect();
    let report = verify()?;
    let is_audited = !report.notes.contains(&Note::NothingElseChecked)
        && report.findings.iter().all(|finding| finding.check != Check::GenesisInvalid);
    let cosigned = logs.into_iter().zip(before).map(|(log, before)| {
        let size = before.as_ref().ok().map(|offered| offered.checkpoint.size());
        let outcome = before.and_then(|before| {
            let found = findings(&report, &log);
            if !found.is_empty() {
                return Err(Withheld::Findings(found));
            }
            // No finding says nothing of a log that was not read.
            if !is_audited {
                return Err(Withheld::NotAudited);
            }
            // The audit read the files in between: what it read is what is cosigned.
            let now = Offered::read(folder, &log)?;
            if now.note != before.note || now.leaves != before.leaves {
                return Err(Withheld::Changed);
            }
            cosign(&witness, &now)
        });
        Cosigning { log: log.folder, origin: log.key.name, size, outcome }
    });
    Ok(cosigned.collect())
}

/// What an audit found against a log, each check once. What accuses a voucher accuses no log.
fn findings(report: &Report, log: &NamedLog) -> Vec<Check> {
    let party = log.site.map_or(Party::Issuer, Party::Site);
    let against = |finding: &&Finding| {
        let of_log = finding.log == log.key.name && finding.party != Party::Voucher;
        let of_party = finding.party == party && finding.log.is_empty();
        (of_log || of_party) && finding.check != Check::CheckpointWitnesses
    };
    let mut found: Vec<Check> = report.findings.iter().filter(against).map(|finding| finding.check).collect();
    found.sort_unstable();
    found.dedup();
    found
}

impl Offered {
    /// The entries are hashed here: an audit does not hold an uncosigned checkpoint against them.
    fn read(folder: &Path, log: &NamedLog) -> Result<Self, Withheld> {
        let unreadable = |_: FileError| Withheld::Unreadable;
        let below = |name: &str| format!("logs/{}/{name}", log.folder);
        let read = |name: &str, limit| files::read_below(folder, &below(name), limit).map_err(unreadable);
        let note = read("checkpoint", MAX_NOTE_BYTES)?.ok_or(Withheld::Unreadable)?;
        let verified = verify_checkpoint(&note, &log.verifier()?, &[], 0)?;
        let mut leaves = Vec::new();
        let size = verified.checkpoint().size();
        for path in paths(size).take_while(|path| path.kind() == TileKind::Entries) {
            let bytes = read(&path.to_string(), MAX_BUNDLE)?.ok_or(Withheld::Unreadable)?;
            let entries = decode_bundle(&bytes, path.width()).ok_or(Withheld::Unreadable)?;
            leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
        }
        if root(&leaves) != verified.checkpoint().root() {
            return Err(Withheld::Root);
        }
        Ok(Self { checkpoint: verified.checkpoint().clone(), note: verified.note().clone(), leaves })
    }
}

/// Asks the witness as a client of its server would.
fn cosign(witness: &Witness, offered: &Offered) -> Result<(SignedNote, NoteSignature), Withheld> {
    let size = offered.checkpoint.size();
    let ask = |old: u64| {
        let proof: String = consistency_proof(&offered.leaves, old)
            .unwrap_or_default()
            .iter()
            .map(|hash| BASE64.encode(hash.0) + "\n")
            .collect();
        witness.add_checkpoint(format!("old {old}\n{proof}\n{}", offered.note).as_bytes())
    };
    let line = match ask(0) {
        Err(Refusal::Old { known }) if known > size => return Err(Withheld::Behind { known, size }),
        Err(Refusal::Old { known }) => ask(known)?,
        answer => answer?,
    };
    let own = witness.verifier_key();
    let others = offered.note.signatures().iter().filter(|other| {
        // An older line of this witness says less than the new one.
        other.name() != own.name() || other.key_id() != own.id()
    });
    let lines: String = others.chain([&line]).map(|line| format!("{line}\n")).collect();
    let note = SignedNote::parse(format!("{}\n{lines}", offered.note.text()).as_bytes())?;
    Ok((note, line))
}

/// Whether a manifest's newest version names a witness.
pub fn is_named(chain: &Chain, key: &WitnessKey) -> bool {
    let own = key.verifier_key();
    chain.newest().witnesses.iter().any(|witness| witness.name == own.name() && witness.key.0 == own.key().to_bytes())
}
