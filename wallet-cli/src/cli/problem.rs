//! Why a command is not done: a stable code, an exit status, and words with what to do next.

use std::{
    error::Error as _,
    io::{self, Write as _},
};

use annona_bearer::{CardError, CodeError, SheetError, frames::FrameError};
use annona_protocol::{
    audit::receipt::ReceiptError,
    bucket::DirectoryError,
    ids::SiteId,
    programme::ManifestError,
    recovery::EnvelopeError,
    ticket::{TicketCodeError, TicketSlipError},
};
use annona_transport::{AddressError, TransportError};
use annona_vault::{KeyFileError, PassphraseError, VaultError};
use annona_wallet::{
    AgentError, LinkError, LogError, PhraseError, Refusal, RestoreError, WalletError, WalletFileError,
};
use fluent_bundle::FluentValue;
use serde_json::json;

use super::Desk;
use crate::state::StateError;

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    WalletFile(#[from] WalletFileError),
    #[error(transparent)]
    Slip(#[from] TicketSlipError),
    #[error(transparent)]
    Code(#[from] TicketCodeError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Log(LogError),
    #[error(transparent)]
    Receipt(ReceiptError),
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    VoucherCode(#[from] CodeError),
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error(transparent)]
    CardContent(#[from] CardError),
    #[error("the card's file cannot be read or written")]
    Card(#[source] io::Error),
    #[error("the codes cannot be read")]
    CodesUnread(#[source] io::Error),
    #[error(transparent)]
    Frames(FrameError),
    #[error("no square was scanned")]
    QrNothing,
    #[error("squares are missing")]
    QrMissing(Vec<usize>),
    #[error("these squares are no answer of a counter")]
    QrForeign,
    #[error("these squares are not the answer to this visit")]
    QrAnswer(#[source] WalletError),
    #[error("no request waits for an answer from a counter's screen")]
    QrNotAsked,
    #[error("these squares are no quote")]
    QuoteForeign,
    #[error("the quote is of another programme")]
    QuoteProgramme,
    #[error("the quote is of site {0}")]
    QuoteSite(SiteId),
    #[error("the quote is of a manifest that is not in force, as far as this wallet knows")]
    QuoteManifest,
    #[error("the quote is not signed by the site's key")]
    QuoteFalse,
    #[error("halves of a split sheet come with one key slip")]
    KeySlips,
    #[error("a split sheet is printed with --split, another one without")]
    SplitDiffers,
    #[error("nothing with number {0} is packed")]
    NoParcel(u32),
    #[error("no visit waits for its goods")]
    NoVisit,
    #[error("the words cannot be read")]
    WordsUnread(#[source] io::Error),
    #[error("words need --programme and --issuer")]
    WordsAlone,
    #[error("this wallet has recovery words")]
    HasWords,
    #[error("this wallet has no recovery words")]
    NoWords,
    #[error("the ticket's text cannot be read")]
    TicketUnread(#[source] io::Error),
    #[error("a typed ticket code needs --programme and --issuer")]
    TicketAlone,
    #[error("this ticket is for `amend`")]
    TicketAmends,
    #[error("this ticket is for `enrol`")]
    TicketEnrols,
    #[error("the ticket names no server: give --issuer")]
    TicketWithoutServer,
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Wallet(#[from] WalletError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("no file is named: give --wallet")]
    NoFile,
    #[error("this wallet has used no ticket yet")]
    NotEnrolled,
    #[error("the wallet is of another programme")]
    OtherProgramme,
    #[error("the issuer's announcement contradicts the one that this wallet knows")]
    Contradiction,
    #[error("no round is open")]
    NoRound,
    #[error(transparent)]
    Round(#[from] ManifestError),
    #[error("the programme has no site {0}")]
    UnknownSite(String),
    #[error("which site? give --site")]
    WhichSite(Vec<String>),
    #[error("no address is known for site {0}: give --site-url")]
    NoAddress(String),
    #[error("the programme has no line {0}")]
    UnknownLine(String),
    #[error("no vouchers of {line} make up {units} units")]
    NoChange { line: String, units: u64 },
    #[error("fewer draws than asked for brought as much: {0}")]
    SmallCrowd(u64),
    #[error("no check looked at all these vouchers")]
    CrowdUnknown,
    #[error("nothing is owed")]
    NothingOwed,
    #[error("a folder cannot be written")]
    Folder(#[source] io::Error),
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
}

/// How the program ends.
const REFUSED: u8 = 1;
const CANNOT: u8 = 2;
pub(super) const LATER: u8 = 75;

impl Problem {
    /// A stable name, for programs; `error-` and it names the message for people.
    pub(super) fn code(&self) -> String {
        match self {
            Self::Vault(error) => error.code(),
            Self::Passphrase(error) => return error.code().replace('_', "-"),
            Self::State(StateError::Format { .. }) | Self::WalletFile(WalletFileError::Format { .. }) => "file-newer",
            Self::State(StateError::Malformed) | Self::WalletFile(_) => "file-damaged",
            Self::Slip(error) => return error.code().replace('_', "-"),
            Self::Code(error) => return error.code().replace('_', "-"),
            Self::Restore(error) => of_restore(error),
            Self::Log(LogError::NoCheckpoint) => "log-missing",
            Self::Log(_) => "log-false",
            Self::Receipt(_) => "receipt-false",
            Self::Phrase(error) => super::words::code(*error),
            Self::Envelope(_) => "envelope-damaged",
            Self::KeyFile(KeyFileError::Exists(_)) => "file-exists",
            Self::KeyFile(_) => "file-unwritable",
            Self::VoucherCode(error) => of_code(*error),
            Self::Sheet(SheetError::Count) => "nothing-to-redeem",
            Self::Sheet(_) => "sheet",
            Self::CardContent(error) => of_card(*error),
            Self::Card(_) => "card-file",
            Self::CodesUnread(_) => "codes-unread",
            Self::Frames(error) => return super::screen::of_frame(*error),
            Self::QrNothing => "qr-nothing",
            Self::QrMissing(_) => "qr-missing",
            Self::QrForeign => "qr-foreign",
            Self::QrAnswer(_) => "qr-answer",
            Self::QrNotAsked => "qr-not-asked",
            Self::QuoteForeign => "quote-foreign",
            Self::QuoteProgramme => "quote-programme",
            Self::QuoteSite(_) => "quote-site",
            Self::QuoteManifest => "quote-manifest",
            Self::QuoteFalse => "quote-false",
            Self::KeySlips => "key-slips",
            Self::SplitDiffers => "split-differs",
            Self::NoParcel(_) => "no-parcel",
            Self::NoVisit => "no-visit",
            Self::WordsUnread(_) => "words-unread",
            Self::WordsAlone => "words-alone",
            Self::HasWords => "has-words",
            Self::NoWords => "no-words",
            Self::TicketUnread(_) => "ticket-unread",
            Self::TicketAlone => "ticket-alone",
            Self::TicketAmends => "ticket-amends",
            Self::TicketEnrols => "ticket-enrols",
            Self::TicketWithoutServer => "ticket-without-server",
            Self::Agent(error) => of_agent(error),
            Self::Wallet(error) => of_wallet(error),
            Self::Link(error) => of_link(error),
            Self::Transport(error) => of_transport(error),
            Self::NoFile => "no-file",
            Self::NotEnrolled => "not-enrolled",
            Self::OtherProgramme => "other-programme",
            Self::Contradiction => "contradiction",
            Self::NoRound => "no-round",
            Self::Round(_) => "round-not-open",
            Self::UnknownSite(_) => "unknown-site",
            Self::WhichSite(_) => "which-site",
            Self::NoAddress(_) => "no-address",
            Self::UnknownLine(_) => "unknown-line",
            Self::NoChange { .. } => "no-change",
            Self::SmallCrowd(_) => "small-crowd",
            Self::CrowdUnknown => "crowd-unknown",
            Self::NothingOwed => "nothing-owed",
            Self::Folder(_) => "folder",
            Self::Output(_) => "output",
        }
        .to_owned()
    }

    pub(super) fn exit(&self) -> u8 {
        if matches!(self, Self::Vault(error) if error.is_transient()) {
            return LATER;
        }
        match &*self.code() {
            "unreached" | "no-end" | "log-missing" | "restore-later" | "qr-nothing" | "qr-missing" => LATER,
            "code-invalid" | "log-false" | "receipt-false" | "no-visit" | "no-parcel" | "refused" | "answer-false"
            | "contradiction" | "nothing-to-redeem" | "nothing-owed" | "uncovered" | "voucher-not-free"
            | "draws-left" | "words-too-few" | "visit-open" | "pending" | "refresh-due" | "already-enrolled"
            | "qr-answer" | "qr-not-asked" | "quote-false" | "quote-manifest" | "quote-programme" | "quote-site"
            | "small-crowd" | "crowd-unknown" => REFUSED,
            _ => CANNOT,
        }
    }

    /// Tells it to people and programs.
    pub(super) fn print(&self, desk: &Desk) {
        let text = self.told(desk);
        // Nothing is left to tell if even this cannot be written.
        drop(writeln!(io::stderr(), "annona-wallet: {text}"));
        if desk.global.json {
            drop(writeln!(io::stdout(), "{:#}", json!({ "error": self.value() })));
        }
    }

    /// For programs: `code`, what it is about, and for people who help with it the causes in English.
    pub(super) fn value(&self) -> serde_json::Value {
        let reason = self.refusal().map(|refusal| refusal.code.as_str()).filter(|code| !code.is_empty());
        json!({ "code": self.code(), "reason": reason, "exit": self.exit(), "detail": self.causes() })
    }

    /// For people.
    pub(super) fn told(&self, desk: &Desk) -> String {
        if let Some(refusal) = self.refusal() {
            let known = format!("refused-{}", refusal.code);
            return if desk.words.has(&known) {
                desk.say(&known, &[])
            } else {
                desk.say("error-refused", &[("reason", refusal.to_string().into())])
            };
        }
        let list = match self {
            Self::WhichSite(sites) => desk.words.list(sites),
            Self::QrMissing(parts) => desk.words.list(&parts.iter().map(usize::to_string).collect::<Vec<_>>()),
            _ => String::new(),
        };
        let (about, number) = self.about();
        let places = [("about", about.into()), ("number", number), ("list", list.into())];
        desk.say(&format!("error-{}", self.code()), &places)
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Agent(AgentError::Refused(refusal)) | Self::Link(LinkError::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// What stands in a message's places: a name and a number.
    fn about(&self) -> (String, FluentValue<'static>) {
        let nothing = FluentValue::from(0);
        match self {
            Self::Vault(
                VaultError::Read { path, .. }
                | VaultError::Write { path, .. }
                | VaultError::Exists(path)
                | VaultError::Permissions(path)
                | VaultError::Folder(path)
                | VaultError::Locked(path)
                | VaultError::NotAVault(path)
                | VaultError::Version(path)
                | VaultError::Truncated { path, .. }
                | VaultError::Passphrase(path)
                | VaultError::Damaged(path)
                | VaultError::WorkFactor { path, .. },
            ) => (path.display().to_string(), nothing),
            Self::Phrase(PhraseError::Count(count) | PhraseError::Word(count)) => (String::new(), (*count).into()),
            Self::Passphrase(PassphraseError::TooShort { least }) => (String::new(), (*least).into()),
            Self::Round(ManifestError::NotInForce(round)) => (String::new(), round.0.into()),
            Self::KeyFile(KeyFileError::Exists(path) | KeyFileError::Write { path, .. }) => {
                (path.display().to_string(), nothing)
            }
            Self::NoParcel(number) => (String::new(), (*number).into()),
            Self::SmallCrowd(crowd) => (String::new(), (*crowd).into()),
            Self::QuoteSite(site) => (String::new(), site.0.into()),
            Self::UnknownSite(name) | Self::NoAddress(name) | Self::UnknownLine(name) => (name.clone(), nothing),
            Self::Agent(AgentError::Wallet(error)) | Self::Wallet(error) => of_counts(error),
            Self::NoChange { line, units } => (line.clone(), (*units).into()),
            _ => (String::new(), nothing),
        }
    }

    /// The error with its causes, each once: many name theirs in their own text.
    fn causes(&self) -> String {
        let (mut text, mut next) = (self.to_string(), self.source());
        while let Some(cause) = next {
            let more = cause.to_string();
            if !text.contains(more.trim_end()) {
                text = format!("{text}: {more}");
            }
            next = cause.source();
        }
        text
    }
}

/// How many draws, and how many of them recovery words bring back.
fn of_counts(error: &WalletError) -> (String, FluentValue<'static>) {
    match error {
        WalletError::WordsFew { draws, covered } => (covered.to_string(), (*draws).into()),
        WalletError::ManyDraws { draws } => (String::new(), (*draws).into()),
        _ => (String::new(), FluentValue::from(0)),
    }
}

fn of_agent(error: &AgentError) -> &'static str {
    match error {
        AgentError::Wallet(error) => of_wallet(error),
        AgentError::Refused(_) => "refused",
        AgentError::Unreached { .. } => "unreached",
        AgentError::Link(error) => of_link(error),
        AgentError::Persist { .. } => "file-unwritable",
        AgentError::Tries(_) => "no-end",
        _ => "answer-false",
    }
}

fn of_code(error: CodeError) -> &'static str {
    match error {
        CodeError::OtherProgramme => "code-programme",
        CodeError::UnknownKey => "code-key",
        CodeError::Invalid => "code-invalid",
        CodeError::OtherKeySlip => "key-slips",
        CodeError::NotACode | CodeError::OtherKind => "code-foreign",
        _ => "code-damaged",
    }
}

fn of_card(error: CardError) -> &'static str {
    match error {
        CardError::Closed => "card-pin",
        CardError::Full => "card-full",
        CardError::ShortPin => "card-short-pin",
        _ => "card-damaged",
    }
}

fn of_restore(error: &RestoreError) -> &'static str {
    match error {
        RestoreError::Wallet(error) => of_wallet(error),
        RestoreError::Link(error) => of_agent(error),
        RestoreError::Directory(DirectoryError::Depth) | RestoreError::Incomplete => "restore-later",
        RestoreError::Directory(_) => "restore-small",
        _ => "answer-false",
    }
}

fn of_link(error: &LinkError) -> &'static str {
    match error {
        LinkError::Lost { .. } => "unreached",
        LinkError::Refused(_) => "refused",
        _ => "no-way",
    }
}

fn of_transport(error: &TransportError) -> &'static str {
    match error {
        TransportError::Address(AddressError::Proxy) => "proxy",
        TransportError::Address(_) => "address",
        error if error.is_transient() => "unreached",
        _ => "no-way",
    }
}

pub(super) fn of_wallet(error: &WalletError) -> &'static str {
    match error {
        WalletError::NotEnrolled => "not-enrolled",
        WalletError::AlreadyEnrolled => "already-enrolled",
        WalletError::OtherProgramme => "other-programme",
        WalletError::Copied => "copied",
        WalletError::HasWords => "has-words",
        WalletError::NoWords => "no-words",
        WalletError::Pending => "pending",
        WalletError::RefreshDue => "refresh-due",
        WalletError::Uncovered => "uncovered",
        WalletError::VoucherNotFree => "voucher-not-free",
        WalletError::DrawsLeft => "draws-left",
        WalletError::ManyDraws { .. } => "draws-too-many",
        WalletError::WordsFew { .. } => "words-too-few",
        WalletError::NothingToRedeem => "nothing-to-redeem",
        WalletError::VisitOpen => "visit-open",
        WalletError::NoParcel => "no-parcel",
        WalletError::NoSlip => "nothing-owed",
        WalletError::Change { .. } => "values",
        WalletError::Manifest(_) => "round-not-open",
        _ => "answer-false",
    }
}

#[cfg(test)]
pub(crate) const CODES: &[&str] = &[
    "already-enrolled",
    "address",
    "answer-false",
    "card-damaged",
    "card-file",
    "card-full",
    "card-pin",
    "card-short-pin",
    "code-damaged",
    "code-foreign",
    "code-invalid",
    "code-key",
    "code-programme",
    "codes-unread",
    "contradiction",
    "copied",
    "crowd-unknown",
    "draws-left",
    "draws-too-many",
    "envelope-damaged",
    "file-cut-off",
    "file-damaged",
    "file-exists",
    "file-foreign",
    "file-in-use",
    "file-newer",
    "file-permissions",
    "file-unreadable",
    "file-unwritable",
    "folder",
    "folder-permissions",
    "frames-conflict",
    "frames-damaged",
    "frames-foreign",
    "frames-kind",
    "frames-mismatch",
    "frames-other-message",
    "frames-too-long",
    "frames-version",
    "has-words",
    "key-slips",
    "log-false",
    "log-missing",
    "no-address",
    "no-change",
    "no-end",
    "no-file",
    "no-parcel",
    "no-round",
    "no-visit",
    "no-way",
    "no-words",
    "not-enrolled",
    "nothing-owed",
    "nothing-to-redeem",
    "other-programme",
    "output",
    "passphrase-descriptor",
    "passphrase-differs",
    "passphrase-empty",
    "passphrase-no-terminal",
    "passphrase-not-text",
    "passphrase-too-long",
    "passphrase-too-short",
    "passphrase-unset",
    "pending",
    "proxy",
    "qr-answer",
    "qr-foreign",
    "qr-missing",
    "qr-not-asked",
    "qr-nothing",
    "quote-false",
    "quote-foreign",
    "quote-manifest",
    "quote-programme",
    "quote-site",
    "receipt-false",
    "refresh-due",
    "refused",
    "restore-later",
    "restore-small",
    "round-not-open",
    "sheet",
    "small-crowd",
    "split-differs",
    "state-too-long",
    "ticket-alone",
    "ticket-amends",
    "ticket-code-character",
    "ticket-code-check",
    "ticket-code-length",
    "ticket-enrols",
    "ticket-slip-damaged",
    "ticket-slip-foreign",
    "ticket-slip-server",
    "ticket-slip-version",
    "ticket-unread",
    "ticket-without-server",
    "uncovered",
    "unknown-line",
    "unknown-site",
    "unreached",
    "values",
    "visit-open",
    "voucher-not-free",
    "which-site",
    "work-factor",
    "words-alone",
    "words-count",
    "words-together",
    "words-too-few",
    "words-unknown",
    "words-unread",
    "wrong-passphrase",
];
