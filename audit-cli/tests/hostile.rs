//! Files and names made to harm whoever audits: workbooks that unpack to more than there is memory for, names that move a
//! terminal's cursor, names that a spreadsheet runs.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod story;

use std::{
    fs,
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
    process::Output,
};

use annona_audit::print;
use annona_protocol::{
    audit::{Names, Note, Report, SiteTotals, Totals},
    ids::{LineId, ProgrammeId, Round, SiteId, Units},
};
use story::{STORY, folder, run, stderr, stdout};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// A true workbook with one of its parts replaced or added.
fn workbook(path: &Path, part: &str, content: &[u8]) -> PathBuf {
    let mut book = rust_xlsxwriter::Workbook::new();
    let page = book.add_worksheet();
    page.write(0, 0, "item").unwrap().write(0, 1, "received").unwrap();
    page.write(1, 0, "food").unwrap().write(1, 1, 13).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(book.save_to_buffer().unwrap())).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for at in 0..archive.len() {
        let mut old = archive.by_index(at).unwrap();
        let name = old.name().unwrap().into_owned();
        if name != part {
            writer.start_file(name, options).unwrap();
            std::io::copy(&mut old, &mut writer).unwrap();
        }
    }
    if !part.is_empty() {
        writer.start_file(part, options).unwrap();
        writer.write_all(content).unwrap();
    }
    fs::write(path, writer.finish().unwrap().into_inner()).unwrap();
    path.to_owned()
}

const STRINGS: &str = "xl/sharedStrings.xml";
const SHEET: &str = "xl/worksheets/sheet1.xml";
const MAIN: &str = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"";

fn strings(attributes: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><sst {MAIN} {attributes}><si><t>item</t></si><si><t>received</t></si><si><t>food</t></si></sst>"
    )
}

fn sheet(rows: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><worksheet {MAIN}><dimension ref=\"A1:XFD1048576\"/><sheetData>{rows}</sheetData></worksheet>"
    )
}

/// Refused by both commands with a message that says what to do, and neither a panic nor an abort.
fn refused(sheet: &Path, folder: &Path, expected: &str) {
    let stock = ["--site", "1", sheet.to_str().unwrap()];
    let argument = format!("1={}", sheet.display());
    for output in [run("stock", folder, &stock), run("report", folder, &["--stock", &argument])] {
        assert_eq!(output.status.code(), Some(2), "{expected}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{expected}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"));
    }
}

#[test]
fn a_hostile_workbook_is_refused_before_it_is_read() {
    let published = folder(&STORY.1);
    let path = published.path().join("sheet.xlsx");
    let refused = |part: &str, content: &[u8], expected: &str| {
        let made = workbook(&path, part, content);
        assert!(fs::metadata(&made).unwrap().len() < 2_000_000, "a bomb is small");
        refused(&made, published.path(), expected);
    };
    // A kilobyte that has room set aside for 10^18 strings.
    for attributes in [
        "count=\"3\" uniqueCount=\"1000000000000000000\"",
        "uniqueCount = '18446744073709551615'",
        "uniqueCount=\"1000001\"",
        "uniqueCount=\"99999999999999999999999\"",
    ] {
        refused(STRINGS, strings(attributes).as_bytes(), "declared number of strings beyond 1,000,000");
    }
    // The same hidden from whoever looks for it byte by byte.
    let wide: Vec<u8> =
        strings("uniqueCount=\"1000000000000000000\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(STRINGS, &[&[0xff, 0xfe], &wide[..]].concat(), "no workbook that can be read");
    refused(STRINGS, &wide, "no workbook that can be read");
    let escaped = strings("unique\u{1b}(BCount=\"1000000000000000000\"").replace("UTF-8", "ISO-2022-JP");
    refused(STRINGS, escaped.as_bytes(), "no workbook that can be read");
    // Bombs: 80 MiB of nothing in a part, of strings, of the sheet, or of one that no reader asks for.
    let zeros = vec![b' '; 80 << 20];
    for part in [STRINGS, SHEET, "docProps/thumbnail.jpeg"] {
        refused(part, &zeros, "more than 64 MiB");
    }
    // One string in as many cells as it takes.
    let text = "x".repeat(32_000);
    let strings = format!("<sst {MAIN}><si><t>item</t></si><si><t>received</t></si><si><t>{text}</t></si></sst>");
    let made = workbook(&path, STRINGS, strings.as_bytes());
    let rows: String =
        (1..4000).map(|row| format!("<row r=\"{row}\"><c r=\"A{row}\" t=\"s\"><v>2</v></c></row>")).collect();
    let mut archive = ZipArchive::new(Cursor::new(fs::read(&made).unwrap())).unwrap();
    let shared = std::io::read_to_string(archive.by_name(STRINGS).unwrap()).unwrap();
    drop(archive);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut archive = ZipArchive::new(Cursor::new(fs::read(&made).unwrap())).unwrap();
    for at in 0..archive.len() {
        let mut old = archive.by_index(at).unwrap();
        let name = old.name().unwrap().into_owned();
        writer.start_file(&name, SimpleFileOptions::default()).unwrap();
        match name.as_str() {
            SHEET => writer.write_all(sheet(&rows).as_bytes()).unwrap(),
            STRINGS => writer.write_all(shared.as_bytes()).unwrap(),
            _ => std::io::copy(&mut old, &mut writer).map(|_| ()).unwrap(),
        }
    }
    fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
    self::refused(&path, published.path(), "more than 64 MiB");
    // Rows, cells and columns.
    let rows: String = (1..100_002).map(|row| format!("<row r=\"{row}\"><c r=\"A{row}\"><v>1</v></c></row>")).collect();
    refused(SHEET, sheet(&rows).as_bytes(), "more than 100,000 rows");
    let rows: String = (1..5000).map(|row| format!("<row r=\"{row}\"><c r=\"IV{row}\"><v>1</v></c></row>")).collect();
    refused(SHEET, sheet(&rows).as_bytes(), "more than 1,000,000 cells");
    refused(SHEET, sheet("<row r=\"1\"><c r=\"XFD1\"><v>1</v></c></row>").as_bytes(), "more than 256 columns");
    let long = format!("<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>{}</t></is></c></row>", "x".repeat(200_000));
    refused(SHEET, sheet(&long).as_bytes(), "a cell of more than 32,767 characters");
    // Numbers of rows at the edge, and no zip at all.
    for row in ["10000000", "4294967295", "4294967296", "99999999999999999999"] {
        let rows = format!("<row r=\"{row}\"><c><v>1</v></c></row><row><c><v>2</v></c></row>");
        let made = workbook(&path, SHEET, sheet(&rows).as_bytes());
        self::refused(&made, published.path(), "more than 100,000 rows");
    }
    fs::write(&path, b"PK\x05\x06").unwrap();
    self::refused(&path, published.path(), "no workbook that can be read");
}

#[test]
fn a_workbook_of_more_than_a_thousand_parts_is_refused() {
    let published = folder(&STORY.1);
    let path = published.path().join("sheet.xlsx");
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for at in 0..1001 {
        writer.start_file(format!("{at}"), SimpleFileOptions::default()).unwrap();
    }
    fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
    refused(&path, published.path(), "more than 1,000 parts");
}

/// The workbook that the others are made from is read, so that they are refused for what was changed.
#[test]
fn the_same_workbook_without_harm_is_read() {
    let published = folder(&STORY.1);
    let path = published.path().join("sheet.xlsx");
    for (part, content) in [("", String::new()), (STRINGS, strings("count=\"3\" uniqueCount=\"3\""))] {
        let made = workbook(&path, part, content.as_bytes());
        let output = run("stock", published.path(), &["--site", "1", made.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stdout(&output).contains("food"), "{}", stdout(&output));
    }
}

#[test]
fn a_csv_of_commas_is_refused() {
    let published = folder(&STORY.1);
    let path = published.path().join("sheet.csv");
    fs::write(&path, format!("item,received\n{}\n", ",".repeat(1_100_000))).unwrap();
    refused(&path, published.path(), "more than 1,000,000 cells");
    fs::write(&path, format!("item,received\n{}", "food,1\n".repeat(100_001))).unwrap();
    refused(&path, published.path(), "more than 100,000 rows");
    fs::File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    refused(&path, published.path(), "more than 64 MiB");
}

/// Characters that a terminal acts on: C0, DEL, C1, line separators, and all that turn the direction of writing.
const HARM: [char; 20] = [
    '\u{1b}', '\r', '\u{7}', '\u{8}', '\u{7f}', '\u{80}', '\u{85}', '\u{9b}', '\u{9f}', '\u{200e}', '\u{200f}',
    '\u{61c}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{202c}',
];

fn harmless(output: &Output) {
    for text in [stdout(output), stderr(output)] {
        assert!(!text.contains(HARM), "{text:?}");
    }
}

/// A file's name cannot say "verified" on the terminal.
#[test]
fn the_name_of_a_file_moves_no_cursor() {
    for name in ["\u{1b}[2J\u{1b}[Hverified\n.bin", "\u{9b}2J\u{9b}Hverified\r.bin", "\u{202e}deifirev.bin"] {
        let published = folder(&STORY.1);
        fs::write(published.path().join("packs").join(name), b"no pack").unwrap();
        for command in ["verify", "report"] {
            let output = run(command, published.path(), &[]);
            assert_eq!(output.status.code(), Some(2));
            harmless(&output);
            assert_eq!(stderr(&output).lines().count(), 1, "{:?}", stderr(&output));
            assert!(stderr(&output).contains("Fetch the file again"));
        }
        let sheet = published.path().join(format!("{name}.ods"));
        let output = run("stock", published.path(), &["--site", "1", sheet.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        harmless(&output);
    }
    // A folder to compare, and one to mirror from.
    let published = folder(&STORY.1);
    let missing = published.path().join("\u{1b}[2J\u{9b}Hverified");
    let missing = missing.to_str().unwrap();
    harmless(&run("compare", published.path(), &[missing]));
    let target = tempfile::tempdir().unwrap();
    let output = run("mirror", target.path(), &["--from", missing]);
    assert_eq!(output.status.code(), Some(2));
    harmless(&output);
}

fn named(name: &str) -> Report {
    let mut totals = Totals::default();
    let row = SiteTotals { redeemed: Units(4), ..SiteTotals::default() };
    totals.sites.insert((Round(1), SiteId(1), LineId(1)), row);
    Report {
        programme: ProgrammeId([1; 32]),
        names: Names {
            agency: name.into(),
            programme: name.into(),
            sites: [(SiteId(1), name.into())].into(),
            lines: [(LineId(1), name.into())].into(),
        },
        findings: Vec::new(),
        notes: vec![Note::LogReplaced { site: SiteId(1), name: name.into(), leaves: 2 }],
        totals,
        leaves: 1,
    }
}

#[test]
fn names_are_shown_without_what_a_terminal_acts_on() {
    let name: String = HARM.iter().flat_map(|c| ['a', *c]).collect();
    let report = named(&name);
    let mut text = Vec::new();
    print::text(&report, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains(HARM) && text.matches('\u{fffd}').count() >= 4 * HARM.len(), "{text:?}");
    assert!(text.lines().any(|line| line.starts_with("note: ") && line.contains("a\u{fffd}a")));
    // JSON on a terminal is harmless, and the same value.
    let value = print::to_json(&report);
    let json = print::json(&value);
    assert!(!json.contains(HARM), "{json:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    assert_eq!(value["agency"], *name);
    // All of C0 and C1.
    let controls: String = (0..0xa0).filter_map(char::from_u32).filter(|c| c.is_control()).collect();
    assert_eq!(controls.chars().count(), 65);
    assert_eq!(print::clean(&controls), "\u{fffd}".repeat(65));
    assert_eq!(print::clean("Centre Nord, مركز, Ніжин"), "Centre Nord, مركز, Ніжин");
}

/// OWASP, "CSV Injection": a cell that begins so is a formula.
#[test]
fn a_name_in_the_totals_is_no_formula() {
    let csv = |name: &str| {
        let report = named(name);
        let mut out = Vec::new();
        let rows = [(Round(1), SiteId(1), LineId(1), Units(4))].into_iter();
        print::csv(&report.names, rows, &mut out).unwrap();
        let mut reader = csv::Reader::from_reader(&out[..]);
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!((&row[0], &row[3], &row[1]), ("1", "4", &row[2]));
        row[1].to_owned()
    };
    for first in ["=", "+", "-", "@", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}"] {
        let formula = format!("{first}HYPERLINK(\"https://annona.example\")");
        assert_eq!(csv(&formula), format!("'{formula}"));
        // Split at semicolons, or with quotes taken off, there is none either.
        assert_eq!(csv(&format!("north;{formula}")), format!("north;'{formula}"));
        assert_eq!(csv(&format!("north\"{formula}")), format!("north\"'{formula}"));
        assert_eq!(csv(&format!("  {formula}")), format!("  '{formula}"));
    }
    for control in ["\t=1", "\r=1", "\n=1"] {
        assert_eq!(csv(control), "\u{fffd}=1");
    }
    for name in ["north", "north-east", "A+B", "a=b", "Nord, est", "مركز"] {
        assert_eq!(csv(name), name);
    }
}
