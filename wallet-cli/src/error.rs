//! Why a wallet does not do what it was asked to, or does not take an answer.

use annona_protocol::{
    draw::DrawError,
    enrol::EnrolError,
    ids::{LineId, Units},
    programme::{KeyListError, ManifestError},
    redeem::{QuoteError, ResponseError},
    signature::BadSignature,
    swap::SwapError,
    wire::DecodeError,
};

/// Why a wallet does not do what it was asked to, or does not take an answer. The state is unchanged then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// There is no credential yet.
    #[error("no credential: enrol first")]
    NotEnrolled,
    /// There is a credential.
    #[error("this wallet has enrolled: a second ticket needs a second wallet")]
    AlreadyEnrolled,
    /// The wallet is of another programme.
    #[error("the wallet is of another programme: take the wallet file that belongs to it")]
    OtherProgramme,
    /// There are recovery words.
    #[error("this wallet has recovery words already: keep using them")]
    HasWords,
    /// A restore without recovery words.
    #[error("this wallet has no recovery words: nothing can be restored without them")]
    NoWords,
    /// A backup.
    #[error("this is a backup: restore it before anything else, as the wallet that it was made of may have gone on")]
    Copied,
    /// A request has not been answered yet.
    #[error("a request is not answered yet: resume it first")]
    Pending,
    /// A refused show has to be followed by a refresh.
    #[error("the last request was refused: refresh before anything else")]
    RefreshDue,
    /// Nothing is waiting for such an answer.
    #[error("nothing waits for this answer")]
    NotPending,
    /// The credential does not cover what is asked for.
    #[error("the credential does not cover this: ask for what is available")]
    Uncovered,
    /// A voucher is not held, is part of an unanswered request, or was found at fault.
    #[error("a voucher is not free: it is not held, in an unanswered request, or refused before")]
    VoucherNotFree,
    /// Single draws of another kind are left.
    #[error("draws of one voucher each are left: go on with them first, or drop them")]
    DrawsLeft,
    /// Recovery words do not bring so many draws back.
    #[error("recovery words bring back {covered} more messages of this round, and these are {draws} draws: draw less")]
    WordsFew {
        /// How many draws are left.
        draws: usize,
        /// How many messages of the round are still sealed.
        covered: usize,
    },
    /// More single draws than one list has.
    #[error("these are {draws} draws of one voucher each: draw less at once")]
    ManyDraws {
        /// How many.
        draws: usize,
    },
    /// No such parcel, or another voucher.
    #[error("no parcel of this number holds that voucher")]
    NoParcel,
    /// No voucher fits the quote.
    #[error("no voucher is for this site, round and stock")]
    NothingToRedeem,
    /// A visit at this site and round is not answered yet, with other vouchers.
    #[error("a visit to this site is not answered yet: repeat it with all its vouchers")]
    VisitOpen,
    /// No such owed slip.
    #[error("no owed slip has this key")]
    NoSlip,
    /// A signed word does not hold for what was sent.
    #[error("a refusal is not about this request, or not signed by whom it should")]
    Word,
    /// The manifest's voucher values cannot make up the units.
    #[error("the programme's voucher values do not make up {units} units of line {line}")]
    Change {
        /// The line.
        line: LineId,
        /// The units.
        units: Units,
    },
    /// An answer does not decode.
    #[error("the answer is no message: {0}")]
    Decode(#[from] DecodeError),
    /// Manifest or round.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A list of keys.
    #[error(transparent)]
    Keys(#[from] KeyListError),
    /// Enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Roll-over, draw or amend.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// Swap.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The quote is not answered.
    #[error(transparent)]
    Quote(#[from] QuoteError),
    /// A site's answer.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// A slip of a site.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}
