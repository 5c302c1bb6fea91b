//! A site's log as far as slips need it: leaf hashes, control leaves, and the events that slips name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use annona_protocol::{
    group::EncodedPoint,
    ids::Round,
    log::{
        Checkpoint, NoteError, TreeHash,
        leaf::{BatchHeader, OwedLeaf, SiteLeaf},
        merkle::{self, leaf_hash},
        note::MAX_NOTE_BYTES,
        tile::{TileKind, decode_bundle, paths},
    },
    voucher::Mark,
    wire::Message as _,
};

use super::Paper;
use crate::{
    chain::{Chain, NamedLog},
    mirror::{FileError, MAX_BUNDLE, files},
};

/// Why a log of the folder cannot be used. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteLogError {
    /// There is none.
    #[error("the folder has no copy of the log. Mirror it")]
    Absent,
    /// The checkpoint.
    #[error("the log's checkpoint does not hold: {0}. Mirror it again")]
    Note(#[from] NoteError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A bundle is missing or malformed.
    #[error("{path} of the log is missing or malformed. Mirror it again")]
    Bundle {
        /// Its path below the log.
        path: String,
    },
    /// The entries are not those that the log signed.
    #[error("the log's entries do not lead to the signed root. Verify the folder, and mirror it again")]
    Root,
}

/// What slips name.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    marks: BTreeSet<Mark>,
    holders: BTreeSet<EncodedPoint>,
}

impl Wanted {
    pub(super) fn of<'a>(papers: impl IntoIterator<Item = &'a Paper>) -> Self {
        let mut wanted = Self::default();
        for paper in papers {
            match paper {
                Paper::Receipt(slip) => drop(wanted.marks.insert(slip.content.mark)),
                Paper::Owed(slip) => drop(wanted.holders.insert(slip.content.holder)),
                Paper::Void(slip) => wanted.marks.extend(slip.content.voided.iter().map(|(mark, _)| *mark)),
                Paper::Refusal(slip) => wanted.marks.extend(&slip.content.marks),
            }
        }
        wanted
    }
}

/// A log, read whole under a checkpoint that the programme's witnesses cosigned. In memory is what does not fit a slip: a hash a leaf.
#[derive(Debug)]
pub(super) struct SiteLog {
    pub(super) named: NamedLog,
    pub(super) note: String,
    pub(super) checkpoint: Checkpoint,
    pub(super) leaves: Vec<TreeHash>,
    pub(super) headers: Vec<BatchHeader>,
    statements: BTreeSet<Round>,
    /// The first acceptance of each voucher that a slip names.
    pub(super) accepted: BTreeMap<Mark, u64>,
    pub(super) voids: BTreeMap<(Mark, u32), u64>,
    pub(super) owed: BTreeMap<EncodedPoint, Vec<(u64, OwedLeaf)>>,
    pub(super) collected: BTreeMap<EncodedPoint, u64>,
    pub(super) owed_voided: BTreeMap<EncodedPoint, u64>,
}

impl SiteLog {
    pub(super) fn read(folder: &Path, chain: &Chain, named: NamedLog, wanted: &Wanted) -> Result<Self, SiteLogError> {
        let of_log = named.folder.clone();
        let read = |name: &str, limit| files::read_below(folder, &format!("logs/{of_log}/{name}"), limit);
        let note = read("checkpoint", MAX_NOTE_BYTES)?.ok_or(SiteLogError::Absent)?;
        let verified = chain.verify_checkpoint(&note, &named, false)?;
        let checkpoint = verified.checkpoint().clone();
        let mut log = Self {
            named,
            note: verified.note().to_string(),
            checkpoint,
            leaves: Vec::new(),
            headers: Vec::new(),
            statements: BTreeSet::new(),
            accepted: BTreeMap::new(),
            voids: BTreeMap::new(),
            owed: BTreeMap::new(),
            collected: BTreeMap::new(),
            owed_voided: BTreeMap::new(),
        };
        for path in paths(log.checkpoint.size()).take_while(|path| path.kind() == TileKind::Entries) {
            let mut bytes = read(&path.to_string(), MAX_BUNDLE)?;
            if bytes.is_none() {
                bytes = read(&path.full().to_string(), MAX_BUNDLE)?;
            }
            let entries = bytes.as_deref().and_then(|bytes| {
                let full = || decode_bundle(bytes, path.full().width());
                decode_bundle(bytes, path.width()).or_else(full)
            });
            let entries = entries.ok_or_else(|| SiteLogError::Bundle { path: path.to_string() })?;
            entries.iter().take(path.width().into()).for_each(|entry| log.take(entry, wanted));
        }
        if merkle::root(&log.leaves) == log.checkpoint.root() { Ok(log) } else { Err(SiteLogError::Root) }
    }

    fn take(&mut self, entry: &[u8], wanted: &Wanted) {
        let at = self.leaves.len() as u64;
        self.leaves.push(leaf_hash(entry));
        // What is no leaf is the audit's to find, and promises nothing to anybody.
        let Ok(leaf) = SiteLeaf::decode(entry) else { return };
        match leaf {
            SiteLeaf::Batch(header) => self.headers.push(header),
            SiteLeaf::Statement(statement) => drop(self.statements.insert(statement.content.place.round)),
            SiteLeaf::Voucher(leaf) => {
                let mark = leaf.voucher.shown.mark();
                if wanted.marks.contains(&mark) {
                    self.accepted.entry(mark).or_insert(at);
                }
            }
            SiteLeaf::Void(leaf) if wanted.marks.contains(&leaf.mark) => {
                self.voids.entry((leaf.mark, leaf.number)).or_insert(at);
            }
            SiteLeaf::Owed(leaf) if wanted.holders.contains(&leaf.holder) => {
                self.owed.entry(leaf.holder).or_default().push((at, leaf));
            }
            SiteLeaf::Collected(leaf) if wanted.holders.contains(&leaf.holder) => {
                self.collected.entry(leaf.holder).or_insert(at);
            }
            SiteLeaf::OwedVoided(leaf) if wanted.holders.contains(&leaf.holder) => {
                self.owed_voided.entry(leaf.holder).or_insert(at);
            }
            SiteLeaf::Void(_) | SiteLeaf::Owed(_) | SiteLeaf::Collected(_) | SiteLeaf::OwedVoided(_) => {}
        }
    }

    /// Whether a leaf stands in a batch that was closed.
    pub(super) fn is_in_batch(&self, at: u64) -> bool {
        self.headers.iter().any(|header| (header.start..header.end).contains(&at))
    }

    /// Whether the log states a round.
    pub(super) fn is_stated(&self, round: Round) -> bool {
        self.statements.contains(&round)
    }

    /// Whether the log says that a round is over: no leaf of it can follow.
    pub(super) fn is_over(&self, round: Round) -> bool {
        self.is_stated(round) || self.headers.iter().any(|header| header.round > round)
    }

    /// How many batches were closed.
    pub(super) fn closed(&self) -> u32 {
        self.headers.last().map_or(0, |header| header.number)
    }
}
