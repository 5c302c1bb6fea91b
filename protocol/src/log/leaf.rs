//! Leaves of the issuer's log and of site logs (spec 8).
//!
//! A log is a sequence of *control leaves*, which stand where they happened, and *batches*: runs of event leaves in ascending
//! order of their RFC 6962 leaf hashes, closed by a batch header. Order and adjacency inside a batch say nothing.

use serde::{Deserialize, Serialize};

use super::merkle::{TreeHash, leaf_hash};
use crate::{
    cohort::CohortClass,
    credential::Show,
    group::{EncodedPoint, Point, PublicScalar},
    ids::{Digest, LineId, LotId, ManifestHash, Round, SessionId, SiteId, Units},
    programme::{
        Form, Header, KeyCounts, ManifestError, OfficerSignature, SignedHeader, TicketKind, validate::verify_officers,
    },
    registry::tag,
    sigma::LinearProof,
    slip::SiteStatement,
    ticket::TicketUse,
    voucher::{Answer, HolderProof, LoggedVoucher, Mark},
    wire::{Message, message},
};

/// A leaf of the issuer's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IssuerLeaf {
    /// Control: a manifest version.
    Manifest(SignedHeader),
    /// Control: an approved ticket lot.
    Lot(LotLeaf),
    /// Control: the version in force for a round, before any draw of it.
    Open(OpenLeaf),
    /// Control: ends swaps of a round, fixes its opening packs, opens cohorts.
    Freeze(FreezeLeaf),
    /// Control: ends draws of a round; its master is erased.
    Close(CloseLeaf),
    /// Control: closes a batch.
    Batch(BatchHeader),
    /// Event: an enrolment.
    Enrol(EnrolLeaf),
    /// Event: a roll-over.
    RollOver(ShowRecord),
    /// Event: a draw or refresh.
    Draw(DrawLeaf),
    /// Event: an amend.
    Amend(AmendLeaf),
    /// Event: a swap.
    Swap(SwapLeaf),
}

/// Entries of `tlog-tiles` bundles are bounded by 65,535 bytes.
pub const MAX_LEAF_BYTES: usize = 65_535;

message!(IssuerLeaf, ISSUER_LEAF, MAX_LEAF_BYTES);

/// A leaf of a site's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiteLeaf {
    /// Control: closes a batch.
    Batch(BatchHeader),
    /// Control: a round's signed statement.
    Statement(SiteStatement),
    /// Event: a redeemed voucher.
    Voucher(VoucherLeaf),
    /// Event: a voided acceptance.
    Void(VoidLeaf),
    /// Event: an owed slip.
    Owed(OwedLeaf),
    /// Event: an owed slip was redeemed.
    Collected(CollectedLeaf),
    /// Event: an owed slip was voided with its visit.
    OwedVoided(OwedVoidedLeaf),
}

message!(SiteLeaf, SITE_LEAF, MAX_LEAF_BYTES);

/// An approved ticket lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotLeaf {
    /// The lot; its terms are in the manifest.
    pub lot: LotId,
    /// How many tickets it has.
    pub count: u64,
    /// The RFC 6962 root over the tickets' leaves.
    pub root: TreeHash,
    /// t of n officers over `lot || count || root`, ascending.
    pub signatures: Vec<OfficerSignature>,
}

impl LotLeaf {
    /// What the officers sign: programme, lot, count and root.
    pub fn signed_bytes(programme: &crate::ids::ProgrammeId, lot: LotId, count: u64, root: &TreeHash) -> Vec<u8> {
        postcard::to_stdvec(&(programme, lot, count, root)).expect("writing to memory cannot fail")
    }

    /// Checks the officers' signatures; `deciding` is the newest version in the log.
    ///
    /// # Errors
    /// [`ManifestError::Signatures`].
    pub fn verify(&self, programme: crate::ids::ProgrammeId, deciding: &Header) -> Result<(), ManifestError> {
        let message = Self::signed_bytes(&programme, self.lot, self.count, &self.root);
        verify_officers(tag::LOT, &message, deciding, &self.signatures)
    }
}

/// The version in force for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLeaf {
    /// The round.
    pub round: Round,
    /// The version.
    pub manifest: ManifestHash,
}

/// The freeze of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeLeaf {
    /// The round.
    pub round: Round,
    /// The version in force, as the opening leaf said.
    pub manifest: ManifestHash,
    /// The digest of each site's opening pack, ascending by site; none in a closing freeze.
    pub packs: Vec<(SiteId, Digest)>,
    /// Cohorts opened now.
    pub openings: Vec<CohortOpening>,
}

/// The close of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseLeaf {
    /// The round.
    pub round: Round,
}

/// Closes a batch: `start..end` are the positions of its leaves; the header itself stands at `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchHeader {
    /// Batches of a log count from 1.
    pub number: u32,
    /// The round during which the batch was collected.
    pub round: Round,
    /// The first leaf's position.
    pub start: u64,
    /// One past the last leaf's position.
    pub end: u64,
}

/// The opened sum of a cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortOpening {
    /// What the members share.
    pub class: CohortClass,
    /// The range of the issuer's log whose members of the class the opening covers, all of them.
    pub from: u64,
    /// One past the range's last position.
    pub to: u64,
    /// How many members there are.
    pub count: u64,
    /// The sums of the manifest's primitive accrual forms, in their order.
    pub forms: Vec<(Form, i64)>,
    /// The sums of all state coordinates: starting balances and debits.
    pub states: Vec<i64>,
    pub(crate) proof: LinearProof,
}

/// A logged enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolLeaf {
    /// Enrol or split.
    pub kind: TicketKind,
    /// The ticket, in its lot.
    pub ticket: TicketUse,
    /// The credential's expiry.
    pub expires: Round,
    pub(crate) commitment: Point,
    pub(crate) opening: LinearProof,
    pub(crate) slots: Digest,
    pub(crate) b: Point,
    pub(crate) a: Point,
    pub(crate) e: PublicScalar,
    pub(crate) proof: LinearProof,
}

/// What roll-overs, draws and amends log alike: the show and the issuer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowRecord {
    /// The round, `now`.
    pub round: Round,
    /// The show.
    pub show: Show,
    pub(crate) slots: Digest,
    pub(crate) a: Point,
    pub(crate) e: PublicScalar,
    pub(crate) proof: LinearProof,
}

/// A logged draw. The answers are logged too: they are blind, and an issuer that withholds an answer has published it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawLeaf {
    /// The show and the answer.
    pub record: ShowRecord,
    /// The signing session.
    pub session: SessionId,
    /// Keys and counts.
    pub keys: KeyCounts,
    /// The digest of all `(X, R, Y, c)`.
    pub challenges: Digest,
    /// `(s, y)` a voucher.
    pub answers: Vec<Answer>,
}

/// A logged amend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendLeaf {
    /// The show and the answer.
    pub record: ShowRecord,
    /// The ticket, in its lot.
    pub ticket: TicketUse,
    /// The new expiry.
    pub expires: Round,
    /// `M`.
    pub(crate) added: Point,
}

/// A logged swap: old vouchers in full, new keys and counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapLeaf {
    /// The round of all vouchers.
    pub round: Round,
    /// The signing session.
    pub session: SessionId,
    /// The old vouchers, ascending by mark.
    pub old: Vec<LoggedVoucher>,
    pub(crate) holder: HolderProof,
    pub(crate) slots: Digest,
    /// The new keys and counts.
    pub new: KeyCounts,
    /// The digest of all `(X, R, Y, c)`.
    pub challenges: Digest,
    /// `(s, y)` a voucher.
    pub answers: Vec<Answer>,
}

/// A redeemed voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherLeaf {
    /// Acceptances of one mark count from 1; each void cancels one.
    pub number: u32,
    /// The voucher.
    pub voucher: LoggedVoucher,
}

/// A voided acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidLeaf {
    /// Whose acceptance.
    pub mark: Mark,
    /// Which acceptance.
    pub number: u32,
    pub(crate) holder: HolderProof,
}

/// Something the site owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedLeaf {
    /// The round of the visit.
    pub round: Round,
    /// Missing units by line, ascending.
    pub lines: Vec<(LineId, Units)>,
    /// The holder's key for collecting.
    pub holder: EncodedPoint,
}

/// An owed slip that was redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedLeaf {
    /// The round of the collection.
    pub round: Round,
    /// The holder's key on the slip.
    pub holder: EncodedPoint,
    pub(crate) proof: HolderProof,
}

/// An owed slip that was voided with its visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedVoidedLeaf {
    /// The holder's key on the slip.
    pub holder: EncodedPoint,
}

/// A leaf with its bytes' hash: what batches sort by.
pub trait Leaf: Message + Clone {
    /// Whether the leaf stands alone rather than in a batch.
    fn is_control(&self) -> bool;
    /// Wraps a batch header.
    fn batch(header: BatchHeader) -> Self;
    /// The batch header, if the leaf is one.
    fn as_batch(&self) -> Option<&BatchHeader>;

    /// The RFC 6962 leaf hash of the encoding.
    fn tree_hash(&self) -> TreeHash {
        leaf_hash(&self.encode())
    }
}

impl Leaf for IssuerLeaf {
    fn is_control(&self) -> bool {
        match self {
            Self::Manifest(_) | Self::Lot(_) | Self::Open(_) | Self::Freeze(_) | Self::Close(_) | Self::Batch(_) => {
                true
            }
            Self::Enrol(_) | Self::RollOver(_) | Self::Draw(_) | Self::Amend(_) | Self::Swap(_) => false,
        }
    }

    fn batch(header: BatchHeader) -> Self {
        Self::Batch(header)
    }

    fn as_batch(&self) -> Option<&BatchHeader> {
        if let Self::Batch(header) = self { Some(header) } else { None }
    }
}

impl Leaf for SiteLeaf {
    fn is_control(&self) -> bool {
        match self {
            Self::Batch(_) | Self::Statement(_) => true,
            Self::Voucher(_) | Self::Void(_) | Self::Owed(_) | Self::Collected(_) | Self::OwedVoided(_) => false,
        }
    }

    fn batch(header: BatchHeader) -> Self {
        Self::Batch(header)
    }

    fn as_batch(&self) -> Option<&BatchHeader> {
        if let Self::Batch(header) = self { Some(header) } else { None }
    }
}

/// Closes a batch: sorts event leaves by hash, fixes their positions from `start`, and returns the encodings to append, the
/// header's last.
pub fn close_batch<L: Leaf>(events: &[L], number: u32, round: Round, start: u64) -> Vec<Vec<u8>> {
    let mut entries: Vec<(TreeHash, Vec<u8>)> = events
        .iter()
        .map(|leaf| {
            let bytes = leaf.encode();
            (leaf_hash(&bytes), bytes)
        })
        .collect();
    entries.sort_unstable();
    let end = start + entries.len() as u64;
    let header = L::batch(BatchHeader { number, round, start, end }).encode();
    entries.into_iter().map(|(_, bytes)| bytes).chain([header]).collect()
}
