//! The demo as its user runs it: a whole run on small files, what it leaves, and what it says about bad rows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use tempfile::TempDir;

const HEADER: &str = "case_id,document_no,phone,site,members,under_two,pregnant_or_lactating,months_registered";

fn demo(caseload: &Path, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annona-demo"))
        .args(["--caseload".as_ref(), caseload.as_os_str(), "--out".as_ref(), out.as_os_str()])
        .output()
        .expect("the demo starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// The first households of the repository's caseload.
fn households(count: usize) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../caseload/caseload-2000.csv");
    fs::read_to_string(file).unwrap().lines().take(count + 1).map(|line| format!("{line}\n")).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// `totals.csv` as written: (round, site, line) to units.
fn totals(out: &Path) -> BTreeMap<(String, String, String), u64> {
    let mut reader = csv::Reader::from_path(out.join("totals.csv")).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["round", "site", "line", "units"]);
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            ((record[0].to_owned(), record[1].to_owned(), record[2].to_owned()), record[3].parse().unwrap())
        })
        .collect()
}

/// The ways in which a string might hide in a file: raw, hex in both cases, base64 in both alphabets at every alignment.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let mut forms = vec![secret.to_vec(), hex::encode(secret).into_bytes(), hex::encode_upper(secret).into_bytes()];
    for shift in 0..3usize {
        let padded = [vec![0; shift], secret.to_vec()].concat();
        // Only characters that depend on the secret alone: the first and the last may mix in neighbours.
        let from = (shift * 8).div_ceil(6);
        let to = padded.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&padded).into_bytes()[from..to].to_vec());
        }
    }
    forms
}

fn assert_trace_is_identity_free(out: &Path) {
    let mut secrets: Vec<String> = Vec::new();
    for slip in files(out).iter().filter(|path| path.file_stem().is_some_and(|stem| stem == "slips")) {
        let mut reader = csv::Reader::from_path(slip).unwrap();
        // The name of a site is in the manifest; every other cell is a household's.
        let is_site: Vec<bool> = reader.headers().unwrap().iter().map(|name| name == "site").collect();
        assert_eq!(is_site, [false, true, false, false]);
        for record in reader.records() {
            let record = record.unwrap();
            let cells = record.iter().zip(&is_site).filter(|(_, is_site)| !**is_site);
            secrets.extend(cells.map(|(cell, _)| cell.to_owned()));
        }
    }
    assert!(!secrets.is_empty(), "the slip file lists nothing");
    let mut needles: Vec<Vec<u8>> = Vec::new();
    for secret in &secrets {
        needles.extend(forms(secret.as_bytes()));
        if let Ok(code) = annona_protocol::ticket::TicketCode::parse(secret) {
            needles.extend(forms(code.expose()));
            needles.extend(forms(secret.replace('-', "").as_bytes()));
        }
    }
    for record in csv::Reader::from_reader(households(80).as_bytes()).records() {
        let record = record.unwrap();
        needles.extend((0..3).flat_map(|at| forms(record[at].as_bytes())));
    }
    let search = AhoCorasick::new(&needles).unwrap();
    let mut searched = 0;
    for path in files(out).iter().filter(|path| path.file_stem().is_none_or(|stem| stem != "slips")) {
        let bytes = fs::read(path).unwrap();
        searched += bytes.len();
        let found = search.find(&bytes).map(|found| found.start());
        assert_eq!(found, None, "{} holds an identifier or a ticket code", path.display());
    }
    assert!(searched > 1_000_000, "only {searched} bytes were searched");
}

/// The search finds what it looks for, in every form.
#[test]
fn search_finds_every_form() {
    let secret = b"HH-07-000001";
    let search = AhoCorasick::new(forms(secret)).unwrap();
    for shift in 0..3 {
        let hidden = [vec![0xa5; 5 + shift], secret.to_vec(), vec![0x5a; 5]].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(&hidden);
        assert!(search.is_match(&encoded), "base64 at {shift}");
        assert!(search.is_match(&hidden) && search.is_match(&hex::encode(&hidden)));
    }
    assert!(!search.is_match("nothing of the kind"));
}

#[test]
fn distributes_audits_and_leaves_no_trace() {
    let folder = TempDir::new().unwrap();
    let (file, out) = (folder.path().join("caseload.csv"), folder.path().join("out"));
    fs::write(&file, households(80)).unwrap();
    let output = demo(&file, &out);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("audited totals equal the caseload's"), "{said}");
    for code in ["already-redeemed", "voucher-invalid", "other-site", "the request does not hold", "minted-past-draws"]
    {
        assert!(said.contains(code), "no cheat was refused as {code}:\n{said}");
    }
    for name in ["slips.csv", "totals.csv", "report.md", "published/keys.bin", "published/logs/issuer/checkpoint"] {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    assert_trace_is_identity_free(&out);

    // The sums once more, by the shortest way from file to number.
    let mut expected: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for record in csv::Reader::from_path(&file).unwrap().records() {
        let record = record.unwrap();
        let number = |at: usize| record[at].parse::<u64>().unwrap();
        for round in 1..=2.min(number(7)) {
            for (line, units) in
                [("food", number(4)), ("soap", number(4)), ("infant", number(5)), ("cash", 10 + 6 * number(4))]
            {
                *expected.entry((round.to_string(), record[3].to_owned(), line.to_owned())).or_default() += units;
            }
        }
    }
    assert_eq!(totals(&out), expected);
}

/// A byte-order mark, CRLF, quoted fields, columns in another order, other sites, one of them with a comma and one in Arabic; a
/// registration that ends after the first round.
#[test]
fn reads_what_agencies_export() {
    let folder = TempDir::new().unwrap();
    let (file, out) = (folder.path().join("caseload.csv"), folder.path().join("out"));
    let rows = [
        "\u{feff}site,case_id,document_no,phone,members,under_two,pregnant_or_lactating,months_registered,note",
        "\"Gate, north\",A1,D1,+1,15,2,0,12,\"said \"\"hello\"\"\"",
        "مخيم النهر,A2,D2,+2,1,0,1,1,\"two\r\nlines\"",
        "\"Gate, north\",A3,D3,+3,4,1,0,2,",
    ];
    fs::write(&file, rows.map(|row| format!("{row}\r\n")).concat()).unwrap();
    let output = demo(&file, &out);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let totals = totals(&out);
    let units = |round: &str, site: &str, line: &str| totals[&(round.to_owned(), site.to_owned(), line.to_owned())];
    assert_eq!(units("1", "Gate, north", "food"), 19);
    assert_eq!(units("2", "Gate, north", "cash"), 100 + 34);
    assert_eq!(units("1", "مخيم النهر", "cash"), 16);
    assert_eq!(units("2", "مخيم النهر", "cash"), 0);
}

/// A bad row is named with its line and what to do; nothing is issued, and no identifier is repeated.
#[test]
fn bad_rows_are_named_before_anything_is_issued() {
    let good = "HH-1,DOC-1,+100,north,4,1,0,12";
    for (bad, line, hint) in [
        ("HH-2,DOC-2,+200,north,,1,0,12", 3, "members"),
        ("HH-2,DOC-2,+200,north,0,0,0,12", 3, "members"),
        ("HH-2,DOC-2,+200,north,16,0,0,12", 3, "members"),
        ("HH-1,DOC-2,+200,north,4,0,0,12", 3, "case_id"),
        ("HH-2,DOC-2,+200,north,4,0,0", 3, ""),
    ] {
        let folder = TempDir::new().unwrap();
        let (file, out) = (folder.path().join("caseload.csv"), folder.path().join("out"));
        fs::write(&file, format!("{HEADER}\n{good}\n{bad}\n")).unwrap();
        let output = demo(&file, &out);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{bad}: {said}");
        assert!(said.contains(&format!("line {line}")) && said.contains(hint), "{bad}: {said}");
        for identifier in ["HH-1", "HH-2", "DOC-1", "DOC-2", "+100", "+200"] {
            assert!(!said.contains(identifier), "{bad}: {said}");
        }
        assert!(!out.exists(), "{bad}: something was written");
    }
}
