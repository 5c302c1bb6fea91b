//! `spec/inventory.md` against the wire types: every field of every message has exactly one row, and no row is of none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
};

use annona_protocol::{
    audit::receipt::{Gap, Inclusion, Omission, Placed, PlacedHeader},
    bucket::{SlotBucket, SlotDirectory},
    credential::Credential,
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse, SessionGone, SessionRequest,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    ids::Round,
    log::{
        TreeHash,
        leaf::{BatchHeader, IssuerLeaf, SiteLeaf},
    },
    programme::{Header, KeyEntry, Label, SignedHeader, Since, Worth, announcement::Announcement},
    redeem::{BearerVoucher, CollectRequest, RedeemRequest, RedeemResponse, Surrender, VoidRequest},
    registry::kind,
    slip::{OpeningPack, OwedSlip, Quote, Receipt, RefusalSlip, SiteStatement, VoidSlip},
    swap::{SwapContext, SwapRequest, SwapResponse},
    voucher::{SessionOffer, Voucher},
    wire::Message,
};
use annona_tests::{fields::tree, samples::Samples};

/// Fields of every type, by the type's name.
type Types = BTreeMap<String, BTreeSet<String>>;

macro_rules! visitors {
    ($($name:ident => $type:ty,)*) => {
        /// Decodes a message of a kind and records its fields; false if the kind has no type here.
        fn record(kind: u8, bytes: &[u8], types: &mut Types) -> bool {
            match kind {
                $(kind::$name => {
                    let message = <$type>::decode(bytes).expect("samples are valid");
                    let node = tree(&message);
                    assert_eq!(node.bytes(), &bytes[2..], "the tree is the encoding");
                    node.names(&mut |path| {
                        if let Some((name, field)) = path.split_once('.') {
                            types.entry(name.to_owned()).or_default().insert(field.to_owned());
                        }
                    });
                    true
                })*
                _ => false,
            }
        }
    };
}

visitors! {
    HEADER => Header,
    SIGNED_HEADER => SignedHeader,
    KEY_ENTRY => KeyEntry,
    PACK => OpeningPack,
    ANNOUNCEMENT => Announcement,
    ENROL_REQUEST => EnrolRequest,
    ENROL_RESPONSE => EnrolResponse,
    SESSION_REQUEST => SessionRequest,
    SESSION_OFFER => SessionOffer,
    ROLL_OVER_REQUEST => RollOverRequest,
    ROLL_OVER_RESPONSE => RollOverResponse,
    DRAW_REQUEST => DrawRequest,
    DRAW_RESPONSE => DrawResponse,
    AMEND_REQUEST => AmendRequest,
    AMEND_RESPONSE => AmendResponse,
    SWAP_REQUEST => SwapRequest,
    SWAP_RESPONSE => SwapResponse,
    SESSION_GONE => SessionGone,
    SLOT_DIRECTORY => SlotDirectory,
    SLOT_BUCKET => SlotBucket,
    QUOTE => Quote,
    REDEEM_REQUEST => RedeemRequest,
    VOID_REQUEST => VoidRequest,
    COLLECT_REQUEST => CollectRequest,
    RECEIPT => Receipt,
    REFUSAL => RefusalSlip,
    OWED_SLIP => OwedSlip,
    VOID_SLIP => VoidSlip,
    BEARER => BearerVoucher,
    SURRENDER => Surrender,
    STATEMENT => SiteStatement,
    REDEEM_RESPONSE => RedeemResponse,
    ISSUER_LEAF => IssuerLeaf,
    SITE_LEAF => SiteLeaf,
    INCLUSION => Inclusion,
    OMISSION => Omission,
    STORED_CREDENTIAL => Credential,
    STORED_VOUCHER => Voucher,
    PENDING_ENROL => EnrolContext,
    PENDING_ROLL_OVER => RollOverContext,
    PENDING_DRAW => DrawContext,
    PENDING_AMEND => AmendContext,
    PENDING_SWAP => SwapContext,
}

/// A receipt's proofs, of the right shape: what they prove does not matter here.
fn proofs(receipt: &[u8]) -> [(u8, Vec<u8>); 2] {
    let receipt = Receipt::decode(receipt).expect("a sample");
    let path = vec![TreeHash([1; 32])];
    let header =
        || PlacedHeader { header: BatchHeader { number: 1, round: Round(1), start: 0, end: 2 }, path: path.clone() };
    let placed = || Some(Placed { index: 0, leaf: TreeHash([2; 32]), path: path.clone() });
    let inclusion = Inclusion { receipt: receipt.clone(), index: 0, path: path.clone(), batch: header() };
    let gap = Gap { batch: header(), below: placed(), above: placed() };
    let omission = Omission { receipt, before: Some(header()), gaps: vec![gap], after: Some(header()) };
    [(kind::INCLUSION, inclusion.encode()), (kind::OMISSION, omission.encode())]
}

/// A header whose optional lists are all filled.
fn full_header(header: &[u8]) -> Vec<u8> {
    let mut header = Header::decode(header).expect("a sample");
    let label = || Label { language: "en".into(), text: "rice".into() };
    header.lines[0].labels = vec![label()];
    header.sites[0].labels = vec![label()];
    let worth = Worth { item: "rice".into(), amount: 1, measure: "kg".into() };
    header.lines[0].worth = vec![Since { round: Round(1), value: vec![worth] }];
    header.encode()
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let samples = Samples::new();
    let mut all: Vec<(u8, Vec<u8>)> = samples.all.iter().map(|sample| (sample.kind, sample.bytes.clone())).collect();
    all.extend(proofs(&samples.get("receipt").bytes));
    all.push((kind::HEADER, full_header(&samples.get("header").bytes)));
    let (mut types, mut kinds) = (Types::new(), BTreeSet::new());
    for (kind, bytes) in &all {
        assert!(record(*kind, bytes, &mut types), "kind {kind:#04x} has no type here");
        kinds.insert(*kind);
    }
    assert_eq!(kinds, kind::ALL.iter().map(|(_, kind)| *kind).collect(), "every kind is recorded");
    types
});

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect("readable")
}

/// Rows of the page: a table's cells, if its line is of a table and not its head.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = page.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("| ---"));
    lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with('|') && !is_rule(Some(line)) && !is_rule(lines.get(at + 1)))
        .map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// `Type.field` of a row's first cell.
fn path(cell: &str) -> Option<&str> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    let (name, field) = inner.split_once('.')?;
    (name.starts_with(|c: char| c.is_ascii_uppercase()) && !field.contains(' ')).then_some(inner)
}

#[test]
fn every_field_has_one_row_and_every_row_a_field() {
    let page = read("spec/inventory.md");
    let listed: Vec<&str> = rows(&page).iter().filter_map(|row| path(row[0])).collect();
    let distinct: BTreeSet<String> = listed.iter().map(|path| (*path).to_owned()).collect();
    let recorded: BTreeSet<String> =
        TYPES.iter().flat_map(|(name, fields)| fields.iter().map(move |field| format!("{name}.{field}"))).collect();
    let missing: Vec<_> = recorded.difference(&distinct).collect();
    let stray: Vec<_> = distinct.difference(&recorded).collect();
    assert!(missing.is_empty() && stray.is_empty(), "without a row: {missing:#?}\nwithout a field: {stray:#?}");
    assert_eq!(listed.len(), distinct.len(), "a field has two rows");
    assert!(recorded.len() > 150, "the samples are not recorded");
}

#[test]
fn every_row_answers_every_question() {
    for row in rows(&read("spec/inventory.md")).iter().filter(|row| path(row[0]).is_some()) {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(["no", "one-use", "hidden", "yes", "secret"].contains(&row[2]), "{row:?}");
    }
}

/// State that is no wire type.
#[test]
fn what_is_not_on_the_wire_is_marked() {
    let page = read("spec/inventory.md");
    let rows = rows(&page);
    let marked: Vec<&str> = rows.iter().map(|row| row[0]).filter(|cell| cell.ends_with("(not on the wire)")).collect();
    for state in [
        "ticket's attributes",
        "ticket's hash and salt",
        "cohort sums",
        "signing sessions",
        "round masters",
        "credential key",
        "log keys",
        "spent serials",
        "stored answers",
        "spent set",
        "pending batch",
        "quotes",
        "slip file",
        "printed sheet",
        "key slip",
        "wallet file",
        "kept receipts",
        "exported receipts",
        "uniform draws",
    ] {
        assert_eq!(marked.iter().filter(|cell| cell.contains(state)).count(), 1, "{state}");
    }
}

/// The words that a field would be called by if it were a person's; none may come to the wire unseen.
#[test]
fn no_field_is_named_after_a_person() {
    const WORDS: [&str; 14] = [
        "person",
        "phone",
        "address",
        "birth",
        "gender",
        "sex",
        "biometric",
        "document",
        "time",
        "date",
        "ip",
        "device",
        "case",
        "household",
    ];
    for (name, fields) in &*TYPES {
        for field in fields {
            let parts: Vec<&str> = field.split('_').collect();
            assert!(WORDS.iter().all(|word| !parts.contains(word)), "{name}.{field}");
        }
    }
}
