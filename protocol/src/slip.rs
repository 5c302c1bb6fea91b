//! What a site and the issuer sign: quotes, receipts, refusal, owed and void slips, round statements, opening packs (spec 7, 8).
//!
//! All are Ed25519 signatures under a tag of their own over the canonical encoding of the fields. Sites sign with the key of
//! their current log, the issuer with that of its log. None names a time.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    group::EncodedPoint,
    ids::{Digest, KeyIndex, LineId, ManifestHash, ProgrammeId, QuoteId, Round, SiteId, Units},
    log::merkle::TreeHash,
    programme::{InForce, Site},
    registry::{self, tag},
    signature::{self, BadSignature, PublicKey, Signature},
    transcript,
    voucher::Mark,
    wire::{Message, message},
};

/// What every slip of a site names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The programme.
    pub programme: ProgrammeId,
    /// The site.
    pub site: SiteId,
    /// The round.
    pub round: Round,
    /// The manifest in force.
    pub manifest: ManifestHash,
}

impl Place {
    /// A site in a round.
    pub fn new(view: &InForce<'_>, site: SiteId) -> Self {
        Self { programme: view.programme.id(), site, round: view.round, manifest: view.hash }
    }

    /// The site, if the place is of this view.
    pub fn site<'a>(&self, view: &InForce<'a>) -> Option<&'a Site> {
        (*self == Self::new(view, self.site)).then(|| view.header.site(self.site)).flatten()
    }

    /// The key that the site signs with now.
    pub fn site_key(&self, view: &InForce<'_>) -> Result<PublicKey, BadSignature> {
        self.site(view).and_then(|site| site.logs.last()).map(|log| log.key).ok_or(BadSignature)
    }
}

/// Signed content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// The content.
    pub content: T,
    /// The signature over the content's encoding.
    pub signature: Signature,
}

/// Content with a signature tag.
pub trait Slip: Serialize {
    /// The tag of [`crate::registry::tag`].
    const TAG: &'static str;
}

impl<T: Slip> Signed<T> {
    /// Signs.
    pub fn sign(content: T, key: &SigningKey) -> Self {
        let bytes = postcard::to_stdvec(&content).expect("writing to memory cannot fail");
        Self { signature: signature::sign(T::TAG, &bytes, key), content }
    }

    /// Verifies.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<&T, BadSignature> {
        let bytes = postcard::to_stdvec(&self.content).expect("writing to memory cannot fail");
        signature::verify(T::TAG, &bytes, key, &self.signature)?;
        Ok(&self.content)
    }
}

macro_rules! slip {
    ($content:ty, $tag:ident, $kind:ident, $max:expr) => {
        impl Slip for $content {
            const TAG: &'static str = tag::$tag;
        }
        message!(Signed<$content>, $kind, $max);
    };
}

/// What a site says first: a single-use challenge, the round that is open, and what is in stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// Random, single-use.
    pub id: QuoteId,
    /// Lines in stock, ascending.
    pub lines: Vec<LineId>,
}

slip!(QuoteTerms, QUOTE, QUOTE, 4096);

/// A signed quote.
pub type Quote = Signed<QuoteTerms>;

/// A promise to log an acceptance by its batch's close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// The voucher.
    pub mark: Mark,
    /// The acceptance's number.
    pub number: u32,
    /// The hash of the leaf that is promised: the mark alone would let the holder of two signatures on one mark accuse the
    /// site of leaving out the one that it was never shown.
    pub leaf: TreeHash,
    /// The latest batch by which the leaf is logged.
    pub batch: u32,
    /// Whether the round was opened without its pack.
    pub pending: bool,
}

slip!(ReceiptTerms, RECEIPT, RECEIPT, 512);

/// A signed receipt.
pub type Receipt = Signed<ReceiptTerms>;

/// Why a site refuses: stable codes (registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The request is malformed: empty, too long, or a voucher twice.
    #[error("malformed")]
    Malformed,
    /// The quote is unknown or used.
    #[error("quote-unknown")]
    QuoteUnknown,
    /// A key that the manifest in force does not list.
    #[error("key-unknown")]
    KeyUnknown,
    /// A voucher of another round.
    #[error("other-round")]
    OtherRound,
    /// A voucher of another site.
    #[error("other-site")]
    OtherSite,
    /// A voucher of a slot that another counter owns.
    #[error("other-slot")]
    OtherSlot,
    /// A line that was not quoted.
    #[error("line-not-quoted")]
    LineNotQuoted,
    /// The voucher's signature does not verify.
    #[error("voucher-invalid")]
    VoucherInvalid,
    /// The holder proof does not verify.
    #[error("holder-invalid")]
    HolderInvalid,
    /// The voucher was redeemed before.
    #[error("already-redeemed")]
    AlreadyRedeemed,
    /// The voucher was swapped for another.
    #[error("swapped")]
    Swapped,
    /// The owed slip is unknown, collected or voided.
    #[error("owed-unknown")]
    OwedUnknown,
    /// Not the whole visit.
    #[error("visit-incomplete")]
    VisitIncomplete,
    /// The batch or the round is closed.
    #[error("closed")]
    Closed,
}

impl RefusalCode {
    /// All codes, in wire order.
    pub const ALL: &[Self] = &[
        Self::Malformed,
        Self::QuoteUnknown,
        Self::KeyUnknown,
        Self::OtherRound,
        Self::OtherSite,
        Self::OtherSlot,
        Self::LineNotQuoted,
        Self::VoucherInvalid,
        Self::HolderInvalid,
        Self::AlreadyRedeemed,
        Self::Swapped,
        Self::OwedUnknown,
        Self::VisitIncomplete,
        Self::Closed,
    ];

    /// The stable code, for complaint desks and programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::QuoteUnknown => "quote-unknown",
            Self::KeyUnknown => "key-unknown",
            Self::OtherRound => "other-round",
            Self::OtherSite => "other-site",
            Self::OtherSlot => "other-slot",
            Self::LineNotQuoted => "line-not-quoted",
            Self::VoucherInvalid => "voucher-invalid",
            Self::HolderInvalid => "holder-invalid",
            Self::AlreadyRedeemed => "already-redeemed",
            Self::Swapped => "swapped",
            Self::OwedUnknown => "owed-unknown",
            Self::VisitIncomplete => "visit-incomplete",
            Self::Closed => "closed",
        }
    }
}

/// A refusal that the person takes to a complaint desk. Names vouchers, nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// The quote of the visit.
    pub quote: QuoteId,
    /// Why.
    pub code: RefusalCode,
    /// The vouchers at fault; all, if no one is.
    pub marks: Vec<Mark>,
}

slip!(RefusalTerms, REFUSAL, REFUSAL, 16 * 1024);

/// A signed refusal slip.
pub type RefusalSlip = Signed<RefusalTerms>;

/// What a site owes after stock ran out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// Missing units by line, ascending.
    pub lines: Vec<(LineId, Units)>,
    /// The holder's key for collecting.
    pub holder: EncodedPoint,
}

slip!(OwedTerms, OWED, OWED_SLIP, 4096);

/// A signed owed slip.
pub type OwedSlip = Signed<OwedTerms>;

/// What a void gives back: the acceptances that no longer count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// Voided acceptances.
    pub voided: Vec<(Mark, u32)>,
}

slip!(VoidTerms, VOID, VOID_SLIP, 16 * 1024);

/// A signed void slip.
pub type VoidSlip = Signed<VoidTerms>;

/// A site's account of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// Redeemed and not voided, by line, ascending.
    pub units: Vec<(LineId, Units)>,
    /// Redeemed and not voided, by key, ascending.
    pub vouchers: Vec<(KeyIndex, u64)>,
    /// Voids by key, ascending.
    pub voids: Vec<(KeyIndex, u64)>,
    /// Units promised on owed slips and not voided, by line, ascending.
    pub owed: Vec<(LineId, Units)>,
    /// Units of owed slips that were collected, by line, ascending.
    pub collected: Vec<(LineId, Units)>,
    /// The log's size before this statement.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
}

slip!(StatementTerms, STATEMENT, STATEMENT, 60_000);

/// A signed round statement.
pub type SiteStatement = Signed<StatementTerms>;

/// What a site needs to open a round: the version in force, and vouchers that were swapped for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackTerms {
    /// Site, round and manifest.
    pub place: Place,
    /// Marks that this site must refuse, ascending.
    pub swapped: Vec<Mark>,
    /// The issuer's log when the pack was made.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
}

slip!(PackTerms, PACK, PACK, 1 << 24);

/// A signed opening pack.
pub type OpeningPack = Signed<PackTerms>;

impl OpeningPack {
    /// The digest that the freeze fixes.
    pub fn digest(&self) -> Digest {
        Digest(transcript::hash(registry::PACK, &self.encode()))
    }
}
