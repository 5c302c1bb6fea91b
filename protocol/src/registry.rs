//! Every label of the protocol in one place: hash contexts, transcript protocols, signature tags and message kinds.
//!
//! `spec/registry.md` prints this table; a test holds the two against each other. A context is never reused for a second
//! purpose, and none is a prefix of what a caller can choose, because BLAKE3's `derive_key` mode separates them by key.

/// The protocol version: the first byte of every envelope, and part of every statement.
pub const VERSION: u8 = 1;

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
        /// All hash contexts, for the registry page and the test that they are distinct.
        pub const CONTEXTS: &[(&str, &str)] = &[$((stringify!($name), $value)),*];
    };
}

contexts! {
    /// Generators `H_0..H_n` of a schema (spec 3.4).
    GENERATOR = "annona v1 generator";
    /// Digest of a schema: part of every generator label (spec 3.4).
    SCHEMA = "annona v1 schema";
    /// The deterministic `e` of a credential (spec 4.2).
    CREDENTIAL_E = "annona v1 credential e";
    /// Secret keys of vouchers (spec 5.1).
    VOUCHER_KEY = "annona v1 voucher key";
    /// The blind signature's challenge `c'` (spec 5.2).
    VOUCHER_CHALLENGE = "annona v1 voucher challenge";
    /// The holder's secrets of a session's vouchers (spec 10.1).
    VOUCHER_SECRETS = "annona v1 voucher secrets";
    /// The digest of `(X, R, Y, c)` of a session (spec 5.3).
    CHALLENGES = "annona v1 challenges";
    /// The digest of the issuer's `(s, y)` answers (spec 5.3).
    ANSWERS = "annona v1 answers";
    /// The digest of the two sealed slots of a message (spec 10.1).
    SLOTS = "annona v1 slots";
    /// Ids of sealed slots (spec 10.1).
    SLOT_ID = "annona v1 slot id";
    /// Keys of sealed slots (spec 10.1).
    SLOT_KEY = "annona v1 slot key";
    /// Hash of a ticket code (spec 4.1).
    TICKET = "annona v1 ticket";
    /// Hash of a manifest header; the genesis' is the programme id (spec 6).
    MANIFEST = "annona v1 manifest";
    /// Digest of a whole request, for idempotence (spec 5.4).
    REQUEST = "annona v1 request";
    /// Weights `z_i` of the holder proof (spec 7.2).
    HOLDER_WEIGHT = "annona v1 holder weight";
    /// Digest of an opening pack (spec 8).
    PACK = "annona v1 opening pack";
    /// Masks what a stored answer would otherwise say about a household (spec 4.2).
    ANSWER_MASK = "annona v1 answer mask";
    /// Transcript of an enrolment request (spec 4.2).
    TRANSCRIPT_ENROL = "annona v1 transcript enrol";
    /// Transcript of the issuer's proof for an enrolment (spec 4.2).
    TRANSCRIPT_ISSUE = "annona v1 transcript issue";
    /// Transcript of a show with update (spec 4.3).
    TRANSCRIPT_SHOW = "annona v1 transcript show";
    /// Transcript of the issuer's proof for a show (spec 4.4).
    TRANSCRIPT_REFRESH = "annona v1 transcript refresh";
    /// Transcript of a cohort opening (spec 4.5).
    TRANSCRIPT_COHORT = "annona v1 transcript cohort";
    /// Transcript of a holder proof (spec 7.2).
    TRANSCRIPT_HOLDER = "annona v1 transcript holder";
    /// Hedged nonces of provers (spec 3.3).
    NONCE = "annona v1 nonce";
    /// Weights of batch verification (spec 3.5); never leaves the verifier.
    BATCH_WEIGHTS = "annona v1 batch weights";
    /// The half of a printed voucher's secret that its key slip gives (spec bearer.md).
    BEARER_HALF = "annona v1 bearer half";
    /// The mark by which a split sheet and its key slip are found together (spec bearer.md).
    BEARER_MARK = "annona v1 bearer mark";
    /// Digest of a message that is shown in several QR codes (spec bearer.md).
    FRAMES = "annona v1 frames";
}

/// The merlin protocol label of the aggregated range proof (spec 3.6).
pub const RANGE_PROOF: &[u8] = b"annona v1 range proof";

/// Tags of Ed25519 signatures: the signed bytes are `"annona v1 signature" || 0x00 || tag || 0x00 || message`.
pub mod tag {
    /// Officers over a manifest header's hash.
    pub const MANIFEST: &str = "manifest";
    /// Officers over a ticket lot.
    pub const LOT: &str = "lot";
    /// A site's quote.
    pub const QUOTE: &str = "quote";
    /// A site's receipt.
    pub const RECEIPT: &str = "receipt";
    /// A site's refusal slip.
    pub const REFUSAL: &str = "refusal";
    /// A site's owed slip.
    pub const OWED: &str = "owed";
    /// A site's void slip.
    pub const VOID: &str = "void";
    /// A site's round statement.
    pub const STATEMENT: &str = "statement";
    /// The issuer's opening pack.
    pub const PACK: &str = "opening pack";
    /// The issuer's word that a session is gone and the serial unspent.
    pub const SESSION_GONE: &str = "session gone";
    /// What a counter without a network hands over to its site's store.
    pub const COUNTER: &str = "counter";
    /// All tags.
    pub const ALL: &[&str] =
        &[MANIFEST, LOT, QUOTE, RECEIPT, REFUSAL, OWED, VOID, STATEMENT, PACK, SESSION_GONE, COUNTER];
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        /// Message kinds: the second byte of every envelope.
        pub mod kind {
            $($(#[$doc])* pub const $name: u8 = $value;)*
            /// All kinds, for the registry page and the test that they are distinct.
            pub const ALL: &[(&str, u8)] = &[$((stringify!($name), $value)),*];
        }
    };
}

kinds! {
    /// A manifest header.
    HEADER = 0x01;
    /// A signed manifest header.
    SIGNED_HEADER = 0x02;
    /// An entry of the key list.
    KEY_ENTRY = 0x03;
    /// A signed opening pack.
    PACK = 0x04;
    /// A programme with the proofs that it is in the issuer's log.
    ANNOUNCEMENT = 0x05;
    /// Enrolment request.
    ENROL_REQUEST = 0x10;
    /// Enrolment response.
    ENROL_RESPONSE = 0x11;
    /// Request for a signing session.
    SESSION_REQUEST = 0x12;
    /// The issuer's commitments of a signing session.
    SESSION_OFFER = 0x13;
    /// Roll-over request.
    ROLL_OVER_REQUEST = 0x14;
    /// Roll-over response.
    ROLL_OVER_RESPONSE = 0x15;
    /// Draw request.
    DRAW_REQUEST = 0x16;
    /// Draw response.
    DRAW_RESPONSE = 0x17;
    /// Amend request.
    AMEND_REQUEST = 0x18;
    /// Amend response.
    AMEND_RESPONSE = 0x19;
    /// Swap request.
    SWAP_REQUEST = 0x1a;
    /// Swap response.
    SWAP_RESPONSE = 0x1b;
    /// The issuer's signed word that a session is gone.
    SESSION_GONE = 0x1c;
    /// How sealed slots are cut into buckets.
    SLOT_DIRECTORY = 0x1d;
    /// The sealed slots of a bucket.
    SLOT_BUCKET = 0x1e;
    /// A site's quote.
    QUOTE = 0x20;
    /// Redemption request.
    REDEEM_REQUEST = 0x21;
    /// Void request.
    VOID_REQUEST = 0x22;
    /// A request to collect on an owed slip.
    COLLECT_REQUEST = 0x23;
    /// A receipt.
    RECEIPT = 0x24;
    /// A refusal slip.
    REFUSAL = 0x25;
    /// An owed slip.
    OWED_SLIP = 0x26;
    /// A void slip.
    VOID_SLIP = 0x27;
    /// A printed bearer voucher.
    BEARER = 0x28;
    /// A published unspent voucher.
    SURRENDER = 0x29;
    /// A site's round statement.
    STATEMENT = 0x2a;
    /// A site's answer to a redemption.
    REDEEM_RESPONSE = 0x2b;
    /// A leaf of the issuer's log.
    ISSUER_LEAF = 0x30;
    /// A leaf of a site's log.
    SITE_LEAF = 0x31;
    /// A proof that a receipt's leaf is in its log.
    INCLUSION = 0x32;
    /// A proof that a receipt's leaf is not in its log.
    OMISSION = 0x33;
    /// A wallet's credential, at rest.
    STORED_CREDENTIAL = 0x40;
    /// A wallet's voucher, at rest.
    STORED_VOUCHER = 0x41;
    /// A wallet's pending enrolment, at rest.
    PENDING_ENROL = 0x42;
    /// A wallet's pending roll-over, at rest.
    PENDING_ROLL_OVER = 0x43;
    /// A wallet's pending draw, at rest.
    PENDING_DRAW = 0x44;
    /// A wallet's pending amend, at rest.
    PENDING_AMEND = 0x45;
    /// A wallet's pending swap, at rest.
    PENDING_SWAP = 0x46;
}

/// Operation codes that statements and holder proofs bind.
pub mod operation {
    /// Enrolment.
    pub const ENROL: u8 = 0x01;
    /// Roll-over into a round.
    pub const ROLL_OVER: u8 = 0x02;
    /// Draw, or refresh when no key is asked for.
    pub const DRAW: u8 = 0x03;
    /// Amend with a ticket.
    pub const AMEND: u8 = 0x04;
    /// Redemption at a site.
    pub const REDEEM: u8 = 0x11;
    /// Void of a redemption.
    pub const VOID: u8 = 0x12;
    /// Collecting what an owed slip promises.
    pub const COLLECT: u8 = 0x13;
    /// Swap of old vouchers for new at the issuer.
    pub const SWAP: u8 = 0x14;
    /// Publication of an unspent voucher.
    pub const SURRENDER: u8 = 0x15;
    /// All operations.
    pub const ALL: &[(&str, u8)] = &[
        ("ENROL", ENROL),
        ("ROLL_OVER", ROLL_OVER),
        ("DRAW", DRAW),
        ("AMEND", AMEND),
        ("REDEEM", REDEEM),
        ("VOID", VOID),
        ("COLLECT", COLLECT),
        ("SWAP", SWAP),
        ("SURRENDER", SURRENDER),
    ];
}
