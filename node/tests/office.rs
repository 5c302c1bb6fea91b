//! The office's whole way: a programme's file, its officers, a caseload, tickets, slips, and the wallets that scan them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, process::Command, time::Instant};

use annona_node::{
    authoring::{Draft, SAMPLE, add_keys, round_keys, signing_key},
    caseload::import::{Cases, Mapping},
    keys::{self, Passphrase, PassphraseError, PassphraseSource, erase, passphrase, read_secret, write_secret},
    officers::{Approved, OfficerKey, Proposal},
    slips::SlipSheet,
    tickets::{PreparedLot, TicketRow},
};
use annona_protocol::{
    credential::IssuerKey,
    enrol::{EnrolContext, EnrolRequest, EnrolResponse, TicketGrant},
    ids::{LotId, ProgrammeId, Round},
    programme::{Header, KeyEntry, Programme, SignedHeader, TicketKind},
    signature::PublicKey,
    slots::Slots,
    ticket::TicketSlip,
    voucher::RoundMaster,
    wire::Message,
};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

/// Fast enough for tests.
const QUICK: u8 = 2;

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn words(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

/// Three officers with key files, two of whom must sign.
fn officers(folder: &Path) -> Vec<OfficerKey> {
    let open = |at: usize| {
        let (path, words) = (folder.join(format!("officer-{at}.age")), words(&format!("passphrase {at}")));
        OfficerKey::generate(&mut rng()).save(&path, &words, QUICK).unwrap();
        OfficerKey::open(&path, &words).unwrap()
    };
    (0..3).map(open).collect()
}

/// The sample with the officers' own keys, and lots for changes and splits.
fn programme_file(officers: &[OfficerKey]) -> String {
    let mut text = SAMPLE.to_owned();
    let start = text.find("keys = [\n").unwrap();
    text.truncate(start);
    let keys: Vec<String> = officers.iter().map(|key| format!("\"{}\"", hex::encode(key.public().0))).collect();
    text.push_str(&format!("keys = [{}]\n", keys.join(", ")));
    let more = "[[lots]]\nid = 2\nkind = \"amend\"\nstart = { drawn = 0 }\n\n\
                [[lots]]\nid = 3\nkind = \"split\"\nstart = { drawn = 1, balances = { food = \"members\" } }\n\n[witnesses]";
    text.replace("[witnesses]", more)
}

fn approve(mut proposal: Proposal, officers: &[OfficerKey], previous: Option<&Header>) -> Approved {
    for officer in [&officers[2], &officers[0]] {
        // By file, as it goes from desk to desk.
        proposal = Proposal::from_bytes(&proposal.to_bytes()).unwrap();
        assert!(!proposal.describe(previous).unwrap().is_empty());
        proposal.sign(officer, previous).unwrap();
    }
    proposal.approve(previous).unwrap()
}

fn version(approved: Approved) -> (SignedHeader, Vec<KeyEntry>) {
    match approved {
        Approved::Version { signed, added } => (signed, added),
        Approved::Lot(_) => panic!("a version"),
    }
}

#[test]
fn from_a_file_to_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let officers = officers(folder.path());
    let text = programme_file(&officers);
    let issuer = IssuerKey::generate(&mut rng());
    let log = PublicKey::of(&signing_key(&mut rng()));

    // The genesis, then a version with the first round's keys and an edit besides.
    let genesis = Draft::parse(&text, "programme.toml").unwrap().genesis(issuer.public(), log).unwrap();
    let (genesis, _) = version(approve(Proposal::version(genesis, &[], Vec::new()), &officers, None));
    let mut programme = Programme::new(std::slice::from_ref(&genesis), Vec::new()).unwrap();
    let edited = text.replace("last = 12", "last = 24");
    let next = Draft::parse(&edited, "programme.toml").unwrap().next(&genesis.header).unwrap();
    let added = round_keys(&next, &RoundMaster::generate(&mut rng()), Round(1)).unwrap();
    let proposal = Proposal::version(add_keys(next, &[], &added), &[], added);
    let (second, added) = version(approve(proposal, &officers, Some(&genesis.header)));
    programme.append(&second, &added).unwrap();

    // The repository's caseload under its own column names.
    let header = programme.latest().clone();
    let pairs = ["under-two=under_two", "expires=months_registered"];
    let mapping = Mapping::parse(&pairs, None, &header.schema).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../caseload/caseload-2000.csv");
    let cases = Cases::open(&file, &mapping, &header, &header.lots[0]).unwrap();
    assert_eq!(cases.ignored_columns(), ["document_no", "phone", "pregnant_or_lactating"]);
    let (identities, rows) = cases.into_parts();
    let members: u64 = rows.iter().map(|row| row.attributes[0]).sum();
    assert_eq!((rows.len(), members), (2000, 10_165));

    let lot = PreparedLot::new(programme.id(), &header.schema, &header.lots[0], rows.clone(), &mut rng()).unwrap();
    let Approved::Lot(leaf) = approve(lot.proposal(), &officers, Some(&header)) else { panic!("a lot") };
    assert_eq!((leaf.lot, leaf.count, leaf.root), (LotId(1), 2000, lot.root()));

    // The printer's file is the only one with cases and codes; what a wallet scans pins the programme.
    let sheet = SlipSheet::new(&header, lot.kind(), Some("https://aid.example.org:8443")).unwrap();
    let slips = folder.path().join("slips.csv");
    sheet.write_csv(&slips, &identities, lot.codes()).unwrap();
    let grants: Vec<TicketGrant> = lot.grants().collect();
    let mut reader = csv::Reader::from_path(&slips).unwrap();
    for (record, (identity, row)) in reader.records().map(Result::unwrap).zip(identities.iter().zip(&rows)).take(20) {
        assert_eq!((&record[0], Some(&record[1])), (identity.case_id(), identity.site().map(|site| site.as_str())));
        let slip = TicketSlip::parse(&record[3]).unwrap();
        assert_eq!(slip.programme, programme.id());
        let hash = slip.code.hash(&programme.id(), TicketKind::Enrol);
        let grant = grants.iter().find(|grant| grant.place.hash == hash).unwrap();
        assert_eq!((grant.expires, &grant.attributes), (row.expires, &row.attributes));
    }

    // One of them enrols.
    let record = csv::Reader::from_path(&slips).unwrap().records().next().unwrap().unwrap();
    let slip = TicketSlip::parse(&record[3]).unwrap();
    let slots = Slots::random(32, &mut rng());
    let (context, request) = EnrolContext::new(&programme, slip.kind, slip.code, slots, &mut rng()).unwrap();
    let verified = EnrolRequest::decode(&request.encode()).unwrap().verify(&programme, &mut rng()).unwrap();
    let grant = grants.iter().find(|grant| grant.place.hash == verified.ticket()).unwrap();
    let issued = verified.issue(&programme, &issuer, grant, &mut rng()).unwrap();
    let answer = EnrolResponse::decode(&issued.response.encode()).unwrap();
    context.finish(&programme, &answer, &mut rng()).unwrap();

    // Once it is printed, the file goes.
    erase(&slips).unwrap();
    assert!(!slips.exists());
}

/// Tickets of the other kinds are lots of their own; a code of one kind is none of another.
#[test]
fn lots_of_changes_and_splits() {
    let folder = tempfile::tempdir().unwrap();
    let officers = officers(folder.path());
    let log = PublicKey::of(&signing_key(&mut rng()));
    let issuer = IssuerKey::generate(&mut rng());
    let header =
        Draft::parse(&programme_file(&officers), "programme.toml").unwrap().genesis(issuer.public(), log).unwrap();
    for (terms, kind) in header.lots.iter().zip([TicketKind::Enrol, TicketKind::Amend, TicketKind::Split]) {
        let mapping = Mapping::parse::<&str>(&[], Some(Round(6)), &header.schema).unwrap();
        let cases = Cases::parse(b"case_id,members,under-two\nA,4,1\nB,2,0\n", &mapping, &header, terms).unwrap();
        let (identities, rows) = cases.into_parts();
        let lot = PreparedLot::new(header.programme_id(), &header.schema, terms, rows, &mut rng()).unwrap();
        let Approved::Lot(leaf) = approve(lot.proposal(), &officers, Some(&header)) else { panic!("a lot") };
        assert_eq!((leaf.count, lot.kind()), (2, kind));
        let pdf = SlipSheet::new(&header, kind, None).unwrap().pdf(&identities, lot.codes()).unwrap();
        assert!(pdf.starts_with(b"%PDF-"));
        let of = |kind| lot.codes()[0].hash(&header.programme_id(), kind);
        let known = |kind| lot.grants().any(|grant| grant.place.hash == of(kind));
        let kinds = [TicketKind::Enrol, TicketKind::Amend, TicketKind::Split];
        assert_eq!(kinds.map(known), kinds.map(|other| other == kind));
    }
}

/// The files of an issuer's home open with the passphrase from the environment; children do not see it.
#[test]
fn a_passphrase_comes_from_the_environment() {
    if std::env::var_os("ANNONA_TEST_CHILD").is_some() {
        let path = std::env::var_os("ANNONA_TEST_SECRET").unwrap();
        let words = passphrase(PassphraseSource::choose(None)).unwrap();
        assert_eq!(**read_secret(Path::new(&path), &words).unwrap(), *b"issuer's secret");
        let grandchild = keys::without_passphrase(&mut Command::new("env")).output().unwrap();
        let seen = String::from_utf8(grandchild.stdout).unwrap();
        assert!(seen.contains("ANNONA_TEST_CHILD") && !seen.contains("ANNONA_PASSPHRASE"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.age");
    write_secret(&path, b"issuer's secret", &words("from the environment"), QUICK).unwrap();
    let run = |value: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_passphrase_comes_from_the_environment"])
            .env("ANNONA_TEST_CHILD", "1")
            .env("ANNONA_TEST_SECRET", &path)
            .env("ANNONA_PASSPHRASE", value)
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(run("from the environment"));
    assert!(!run("another passphrase") && !run(""));
    assert!(matches!(
        passphrase(PassphraseSource::Environment(keys::PASSPHRASE_VARIABLE)),
        Err(PassphraseError::Environment(_))
    ));
}

/// The sample is a file that an agency can begin with: commented, and with keys that nobody holds.
#[test]
fn the_sample_explains_itself() {
    let comments = SAMPLE.lines().filter(|line| line.starts_with('#')).count();
    assert!(comments >= 30);
    for word in ["agency", "languages", "cohort_min", "advance", "width", "spares", "accrual", "predicates", "worth"] {
        let explained = SAMPLE.lines().any(|line| line.starts_with('#') && line.to_lowercase().contains(word));
        assert!(explained, "{word}");
    }
    assert!(
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/food-and-cash.toml")).unwrap() == SAMPLE
    );
}

/// How long a large lot takes: `cargo test -p annona-node --test office -- --ignored --nocapture a_large_lot`.
#[test]
#[ignore = "a measurement"]
fn a_large_lot_takes() {
    const CASES: usize = 500_000;
    let log = PublicKey::of(&signing_key(&mut rng()));
    let header =
        Draft::parse(SAMPLE, "sample").unwrap().genesis(IssuerKey::generate(&mut rng()).public(), log).unwrap();
    let mapping = Mapping::parse::<&str>(&[], Some(Round(12)), &header.schema).unwrap();
    let mut text = String::from("case_id,site,members,under-two,notes\n");
    for at in 0..CASES {
        text.push_str(&format!("HH-07-{at:07},north-gate,{},{},a note of some length\n", 1 + at % 15, at % 3));
    }
    let start = Instant::now();
    let cases = Cases::parse(text.as_bytes(), &mapping, &header, &header.lots[0]).unwrap();
    println!("CSV of {CASES}: {:?}", start.elapsed());

    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (at, line) in text.lines().enumerate() {
        for (column, field) in line.split(',').enumerate() {
            sheet.write(u32::try_from(at).unwrap(), u16::try_from(column).unwrap(), field).unwrap();
        }
    }
    let content = book.save_to_buffer().unwrap();
    let start = Instant::now();
    let again = Cases::parse(&content, &mapping, &header, &header.lots[0]).unwrap();
    println!("XLSX of {CASES}, {} bytes: {:?}", content.len(), start.elapsed());
    assert_eq!(again.len(), cases.len());

    let (identities, rows) = cases.into_parts();
    let start = Instant::now();
    let rows: Vec<TicketRow> = rows;
    let lot = PreparedLot::new(ProgrammeId([1; 32]), &header.schema, &header.lots[0], rows, &mut rng()).unwrap();
    println!("codes and tree: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(lot.grants().map(|grant| grant.place.path.len()).max(), Some(19));
    println!("grants: {:?}", start.elapsed());
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let sheet = SlipSheet::new(&header, TicketKind::Enrol, None).unwrap();
    sheet.write_csv(&folder.path().join("slips.csv"), &identities, lot.codes()).unwrap();
    println!("slips: {:?}", start.elapsed());
}
