//! Slips as printers, spreadsheets and finders of lost paper meet them.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

use annona_protocol::{group::Point, signature::PublicKey};
use ed25519_dalek::SigningKey;

use super::*;
use crate::{
    authoring::{Draft, SAMPLE},
    caseload::SiteName,
};

fn header() -> Header {
    let log = PublicKey::of(&SigningKey::from_bytes(&[1; 32]));
    Draft::parse(SAMPLE, "sample").unwrap().genesis(Point::generator(), log).unwrap()
}

fn sheet() -> SlipSheet {
    SlipSheet::new(&header(), TicketKind::Enrol, Some("https://aid.example.org:8443")).unwrap()
}

fn codes(count: usize) -> Vec<TicketCode> {
    (0..count).map(|_| TicketCode::random(&mut rand_core::UnwrapErr(rand::rngs::SysRng))).collect()
}

fn identities(ids: &[&str]) -> Vec<Identity> {
    ids.iter().map(|id| Identity::new(id, SiteName::parse("north-gate").ok()).unwrap()).collect()
}

#[test]
fn a_csv_pairs_cases_with_codes_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slips.csv");
    let (ids, codes) = (["HH-1", "حالة 12", "Справа, \"7\""], codes(3));
    sheet().write_csv(&path, &identities(&ids), &codes).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut reader = csv::Reader::from_path(&path).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["case_id", "site", "ticket_code", "qr"]);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3);
    for ((record, id), code) in records.iter().zip(ids).zip(&codes) {
        assert_eq!((&record[0], &record[1]), (id, "north-gate"));
        assert_eq!(&TicketCode::parse(&record[2]).unwrap(), code);
        let slip = TicketSlip::parse(&record[3]).unwrap();
        assert_eq!((&slip.code, slip.kind, slip.programme), (code, TicketKind::Enrol, header().programme_id()));
        assert_eq!(slip.server.as_deref(), Some("https://aid.example.org:8443"));
    }
    let again = sheet().write_csv(&path, &identities(&ids), &codes);
    assert!(matches!(again, Err(SlipError::File(KeyFileError::Exists(_)))));
}

#[test]
fn formulas_in_a_csv_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slips.csv");
    let ids = ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "＝1", "1=1"];
    sheet().write_csv(&path, &identities(&ids), &codes(6)).unwrap();
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let first: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    assert_eq!(first, ["'=cmd|'/c calc'!A1", "'+1", "'-1", "'@SUM(A1)", "'＝1", "1=1"]);
    // What could end a field or move a cursor is no case id.
    for id in ["a\nb", "a\r=1", "a\0b", "a\u{1b}[2J", "a\u{202e}b", "a\tb"] {
        assert!(Identity::new(id, None).is_err(), "{id:?}");
    }
}

#[test]
fn slips_that_cannot_be_are_refused() {
    let header = header();
    for server in ["aid.example.org", "https://aid.example.org/path", "http://aid.example.org", "javascript:alert(1)"] {
        let error = SlipSheet::new(&header, TicketKind::Enrol, Some(server)).unwrap_err();
        assert!(matches!(error, SlipError::Server(TicketSlipError::Server)), "{server}");
    }
    let (three, two) = (identities(&["a", "b", "c"]), codes(2));
    assert!(matches!(sheet().pdf(&three, &two), Err(SlipError::Count { cases: 3, codes: 2 })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slips.csv");
    assert!(matches!(sheet().write_csv(&path, &three, &two), Err(SlipError::Count { .. })));
    assert!(!path.exists());
    let error = sheet().pdf(&identities(&["a", "家庭"]), &codes(2)).unwrap_err();
    assert!(matches!(error, SlipError::Letters { slip: 2 }) && !error.to_string().contains('家'));
    let mut foreign = header.clone();
    foreign.agency = "家庭".into();
    let sheet = SlipSheet::new(&foreign, TicketKind::Enrol, None).unwrap();
    assert!(matches!(sheet.pdf(&[], &[]), Err(SlipError::Letters { slip: 0 })));
    let many: Vec<Identity> = (0..=MAX_PRINTED).map(|at| Identity::new(&at.to_string(), None).unwrap()).collect();
    assert!(matches!(sheet.pdf(&many, &codes(MAX_PRINTED + 1)), Err(SlipError::TooMany)));
}

#[test]
fn a_pdf_has_eight_slips_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slips.pdf");
    let long = "W".repeat(64);
    let ids = ["HH-07-000001", "حالة ١٢٣-أ", "Справа № 7", &long, "5", "6", "7", "8", "9"];
    for kind in [TicketKind::Enrol, TicketKind::Amend, TicketKind::Split] {
        let sheet = SlipSheet::new(&header(), kind, None).unwrap();
        let pdf = sheet.pdf(&identities(&ids), &codes(9)).unwrap();
        assert!(pdf.starts_with(b"%PDF-") && pdf.len() < 400_000);
        let text = String::from_utf8_lossy(&pdf);
        assert_eq!(text.matches("/Type/Page/").count() + text.matches("/Type /Page\n").count(), 2, "{kind:?}");
    }
    sheet().write_pdf(&path, &identities(&ids), &codes(9)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    if let Ok(target) = std::env::var("ANNONA_TEST_SLIPS") {
        fs::copy(&path, target).unwrap();
    }
}

/// How long a full PDF takes: `cargo test --release -p annona-node --lib -- --ignored --nocapture a_full_pdf`.
#[test]
#[ignore = "a measurement"]
fn a_full_pdf_takes() {
    let ids: Vec<Identity> =
        (0..MAX_PRINTED).map(|at| Identity::new(&format!("HH-07-{at:06}"), None).unwrap()).collect();
    let codes = codes(MAX_PRINTED);
    let start = Instant::now();
    let pdf = sheet().pdf(&ids, &codes).unwrap();
    println!("{MAX_PRINTED} slips: {:?}, {} bytes", start.elapsed(), pdf.len());
}

#[test]
fn slips_are_erased_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (codes, ids) = (codes(1), identities(&["HH-1"]));
    let (csv, pdf, other) = (path("slips.csv"), path("slips.pdf"), path("caseload.csv"));
    sheet().write_csv(&csv, &ids, &codes).unwrap();
    sheet().write_pdf(&pdf, &ids, &codes).unwrap();
    fs::write(&other, "case_id,members\nHH-1,4\n").unwrap();
    std::os::unix::fs::symlink(&csv, path("link")).unwrap();
    for wrong in [other.clone(), path("link"), folder.path().to_owned()] {
        assert!(matches!(forget(&[csv.clone(), wrong]), Err(SlipError::NoSlips(_))));
    }
    assert!(matches!(forget(&[csv.clone(), path("missing")]), Err(SlipError::File(_))));
    assert!(csv.exists() && other.exists(), "none is gone before all were looked at");
    forget(&[csv.clone(), pdf.clone()]).unwrap();
    assert!(!csv.exists() && !pdf.exists() && other.exists());
}
