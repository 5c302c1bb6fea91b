//! Exports as agencies have them, in CSV and XLSX, and as they break them.

use annona_protocol::{group::Point, ids::LotId, signature::PublicKey};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};

use super::*;
use crate::authoring::{Draft, SAMPLE};

fn header() -> Header {
    let log = PublicKey::of(&SigningKey::from_bytes(&[1; 32]));
    Draft::parse(SAMPLE, "sample").unwrap().genesis(Point::generator(), log).unwrap()
}

fn mapping(pairs: &[&str]) -> Mapping {
    Mapping::parse(pairs, None, &header().schema).unwrap()
}

fn import_with(content: &[u8], mapping: &Mapping) -> Result<Cases, ImportError> {
    let header = header();
    Cases::parse(content, mapping, &header, &header.lots[0])
}

fn import(content: impl AsRef<[u8]>) -> Result<Cases, ImportError> {
    import_with(content.as_ref(), &mapping(&[]))
}

type Column = Option<(usize, String)>;

fn problems(content: impl AsRef<[u8]>) -> Vec<(u64, Column, Reason)> {
    match import(content).unwrap_err() {
        ImportError::Rows(rows) => rows.problems().iter().map(|p| (p.row, p.column.clone(), p.reason)).collect(),
        other => panic!("{other}"),
    }
}

fn at(column: usize, field: &str) -> Column {
    Some((column, field.to_owned()))
}

fn rows(cases: Cases) -> Vec<(String, Option<String>, u32, Vec<u64>)> {
    let (identities, tickets) = cases.into_parts();
    identities
        .iter()
        .zip(&tickets)
        .map(|(identity, ticket)| {
            let site = identity.site().map(|site| site.as_str().to_owned());
            (identity.case_id().to_owned(), site, ticket.expires.0, ticket.attributes.clone())
        })
        .collect()
}

const HEAD: &str = "case_id,expires,members,under_two\n";

/// A workbook whose first sheet `write` fills.
fn workbook(write: impl FnOnce(&mut rust_xlsxwriter::Worksheet)) -> Vec<u8> {
    let mut book = Workbook::new();
    write(book.add_worksheet());
    book.save_to_buffer().unwrap()
}

#[test]
fn columns_have_any_names() {
    let text = "Barcode, Months left ,Distribution point,Name,Household SIZE,Infants\n\
                A-1,12,north-gate,somebody,4,1\nA-2,3,\"old, school\",somebody else,15,0\n";
    let pairs = [
        "case_id=barcode",
        "expires=months-left",
        "site=Distribution point",
        "members = household size",
        "under-two=Infants",
    ];
    let cases = import_with(text.as_bytes(), &mapping(&pairs)).unwrap();
    assert_eq!((cases.len(), cases.ignored_columns()), (2, &["Name".to_owned()][..]));
    assert_eq!(
        rows(cases),
        [
            ("A-1".into(), Some("north-gate".into()), 12, vec![4, 1]),
            ("A-2".into(), Some("old, school".into()), 3, vec![15, 0]),
        ]
    );
    // Without a mapping, fields go by their own names; a site is optional; one expiry for all needs no column.
    let cases = import(format!("\u{feff}{HEAD}A-1,12,4,1\r\n")).unwrap();
    assert_eq!(rows(cases), [("A-1".into(), None, 12, vec![4, 1])]);
    let fixed = Mapping::parse(&["attribute.members=n"], Some(Round(9)), &header().schema).unwrap();
    let cases = import_with(b"case_id,n,under-two,site\nA-1,4,1,east\n", &fixed).unwrap();
    assert_eq!(rows(cases), [("A-1".into(), Some("east".into()), 9, vec![4, 1])]);
}

#[test]
fn mappings_that_mean_nothing_are_refused() {
    let schema = header().schema;
    let parse = |pairs: &[&str]| Mapping::parse(pairs, None, &schema).unwrap_err();
    assert_eq!(parse(&["members"]), MappingError::Pair);
    assert_eq!(parse(&["members= "]), MappingError::Pair);
    assert!(matches!(parse(&["member=x"]), MappingError::UnknownField { field, .. } if field == "member"));
    assert_eq!(parse(&["members=a", "attribute.members=b"]), MappingError::Repeated);
    let both = Mapping::parse(&["expires=x"], Some(Round(3)), &schema);
    assert_eq!(both, Err(MappingError::ExpiresTwice));
    assert!(parse(&["member=x"]).to_string().ends_with("use case_id, site, expires, members, under-two"));
}

#[test]
fn a_workbook_reads_like_its_csv() {
    let content = workbook(|sheet| {
        for (column, heading) in ["case_id", "expires", "members", "under two", "site", "notes"].iter().enumerate() {
            sheet.write(2, column as u16, *heading).unwrap();
        }
        // Numbers, numbers as text, formulas with their results, blank rows, cells without content.
        sheet.write(3, 0, 1001).unwrap().write(3, 1, 12).unwrap().write(3, 2, 4).unwrap().write(3, 3, 1).unwrap();
        sheet.write(3, 4, "north-gate").unwrap();
        sheet.write(6, 0, "  B-2 ").unwrap().write(6, 1, "3").unwrap().write(6, 3, false).unwrap();
        sheet.write(6, 2, Formula::new("=10+5").set_result("15")).unwrap();
        sheet.write(6, 4, "old-school").unwrap().write(6, 5, "note").unwrap();
    });
    let cases = import(content).unwrap();
    assert_eq!(cases.ignored_columns(), ["notes"]);
    assert_eq!(
        rows(cases),
        [
            ("1001".into(), Some("north-gate".into()), 12, vec![4, 1]),
            ("B-2".into(), Some("old-school".into()), 3, vec![15, 0]),
        ]
    );
}

#[test]
fn a_workbooks_cells_are_named() {
    let content = workbook(|sheet| {
        for (column, heading) in ["case_id", "expires", "members", "under-two"].iter().enumerate() {
            sheet.write(0, column as u16, *heading).unwrap();
        }
        let date = ExcelDateTime::from_ymd(2026, 1, 31).unwrap();
        let format = Format::new().set_num_format("yyyy-mm-dd");
        sheet.write(1, 0, "A").unwrap().write_with_format(1, 1, &date, &format).unwrap();
        sheet.write(1, 2, 4.5).unwrap().write(1, 3, -1).unwrap();
        sheet.write(2, 0, 1_234_567_890_123_456_789u64 as f64).unwrap().write(2, 1, 12).unwrap();
        sheet.write(2, 2, 1e300).unwrap();
        sheet.write(3, 0, "C").unwrap().write(3, 1, 12).unwrap().write(3, 2, 1).unwrap().write(3, 3, 0).unwrap();
        sheet.write(3, 7, "stray").unwrap();
    });
    assert_eq!(
        problems(&content),
        [
            (2, at(1, "expires"), Reason::Date),
            (2, at(2, "members"), Reason::NotWhole),
            (2, at(3, "under-two"), Reason::NotWhole),
            (3, at(0, "case_id"), Reason::Rounded),
            (3, at(2, "members"), Reason::NotWhole),
            (3, at(3, "under-two"), Reason::Empty),
            (4, None, Reason::Ragged { found: 8, expected: 4 }),
        ]
    );
    let text = import(&content).unwrap_err().to_string();
    assert!(text.contains("\n  row 2, column B (expires): is a date or time"), "{text}");
}

/// A workbook with one of its parts replaced.
fn with_part(part: &str, content: &[u8]) -> Vec<u8> {
    let good = workbook(|sheet| {
        sheet.write(0, 0, "case_id").unwrap();
    });
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(good)).unwrap();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for at in 0..archive.len() {
        let mut old = archive.by_index(at).unwrap();
        let name = old.name().unwrap().into_owned();
        writer.start_file(&name, zip::write::SimpleFileOptions::default()).unwrap();
        if name == part {
            std::io::Write::write_all(&mut writer, content).unwrap();
        } else {
            std::io::copy(&mut old, &mut writer).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// A workbook from elsewhere does not kill the office: it has space set aside for 10^18 strings, or counts rows too far.
#[test]
fn hostile_workbooks_are_refused() {
    let main = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"";
    let strings = |count: &str| format!("<sst {main} {count}><si><t>case_id</t></si></sst>");
    let part = "xl/sharedStrings.xml";
    let read = |content: &[u8]| import(with_part(part, content)).unwrap_err();
    assert!(matches!(read(strings("uniqueCount=\"1\"").as_bytes()), ImportError::MissingColumns { row: 1, .. }));
    for count in
        ["uniqueCount=\"1000000000000000000\"", "uniqueCount = '+99999999999'", "uniqueCount=\"99999999999999999999\""]
    {
        assert!(matches!(read(strings(count).as_bytes()), ImportError::Workbook), "{count}");
        let wide: Vec<u8> = strings(count).encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(matches!(read(&[&[0xff, 0xfe], &wide[..]].concat()), ImportError::Workbook), "{count}");
    }
    let sheet = format!("<worksheet {main}><sheetData><row r=\"4294967295\"/><row/></sheetData></worksheet>");
    let content = with_part("xl/worksheets/sheet1.xml", sheet.as_bytes());
    assert!(matches!(import(content), Err(ImportError::Workbook)));
}

#[test]
fn broken_workbooks_are_refused() {
    let good = workbook(|sheet| {
        sheet.write(0, 0, "case_id").unwrap();
    });
    assert!(matches!(import(&good), Err(ImportError::MissingColumns { row: 1, .. })));
    for cut in [4, good.len() / 2, good.len() - 1] {
        assert!(matches!(import(&good[..cut]), Err(ImportError::Workbook)), "{cut}");
    }
    assert!(matches!(import(workbook(|_| {})), Err(ImportError::Empty)));
    // A cell far away costs nothing but is not a heading.
    let far = workbook(|sheet| {
        sheet.write(1_048_575, 16_383, "x").unwrap();
    });
    assert!(matches!(import(far), Err(ImportError::MissingColumns { row: 1_048_576, .. })));
}

#[test]
fn every_problem_of_a_row_is_named() {
    let text = format!("{HEAD}A,12,4,1\n,0,16,x\nB,12,0,\nA,65536,1.5,0\nC,12\n\nD,12,-1,99999999999999999999\n,,,\n");
    assert_eq!(
        problems(&text),
        [
            (3, at(0, "case_id"), Reason::Empty),
            (3, at(1, "expires"), Reason::OutOfRange { min: 1, max: 65_535 }),
            (3, at(2, "members"), Reason::OutOfRange { min: 1, max: 15 }),
            (3, at(3, "under-two"), Reason::NotWhole),
            (4, at(2, "members"), Reason::OutOfRange { min: 1, max: 15 }),
            (4, at(3, "under-two"), Reason::Empty),
            (5, at(0, "case_id"), Reason::Duplicate { first_line: 2 }),
            (5, at(1, "expires"), Reason::OutOfRange { min: 1, max: 65_535 }),
            (5, at(2, "members"), Reason::NotWhole),
            (6, None, Reason::Ragged { found: 2, expected: 4 }),
            (8, at(2, "members"), Reason::NotWhole),
            (8, at(3, "under-two"), Reason::OutOfRange { min: 0, max: 15 }),
            (9, None, Reason::EmptyRow),
        ]
    );
    assert_eq!(problems(format!("{HEAD}A,12,4,\"1\nB,12,4,1\n")), [(2, None, Reason::UnclosedQuote)]);
    assert_eq!(
        problems(format!("{HEAD}\"a\nb\",12,4,1\nx\u{202e}y,12,4,1\n{},12,4,1\n", "x".repeat(65))),
        [
            (2, at(0, "case_id"), Reason::Unprintable),
            (4, at(0, "case_id"), Reason::Unprintable),
            (5, at(0, "case_id"), Reason::TooLong { max: 64 }),
        ]
    );
}

/// Values of a file reach no error, whatever is wrong with it.
#[test]
fn no_error_quotes_the_file() {
    const SECRET: &str = "Kowalczyk-77";
    let files = [
        format!("{HEAD}{SECRET},{SECRET},{SECRET},{SECRET}\n"),
        format!("{HEAD}{SECRET},12,4,1\n{SECRET},12,4,1\n"),
        format!("{HEAD}{SECRET}\n"),
        format!("{HEAD}\"{SECRET},12,4,1\n"),
        format!("{SECRET},12,4,1\n"),
        format!("\"{SECRET}\n"),
        format!("{SECRET};12;4;1\n"),
    ];
    for file in files {
        let error = import(&file).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{file}");
    }
    let cases = import(format!("{HEAD}{SECRET},12,13,1\n")).unwrap();
    assert!(!format!("{cases:?}").contains(SECRET) && !format!("{cases:?}").contains("13"));
}

#[test]
fn files_that_are_wrong_as_a_whole() {
    for (content, code) in [
        (&b""[..], "import_empty"),
        (b"\xef\xbb\xbf\r\n", "import_empty"),
        (HEAD.as_bytes(), "import_no_cases"),
        (b"case_id;expires;members;under_two\nA;12;4;1\n", "import_separator"),
        (b"case_id,expires,members\nA,12,4\n", "import_missing_columns"),
        (b"case_id,CASE ID,expires,members,under_two\n", "import_repeated_column"),
        (b"case_id,expires,members,under_two\n\xff,12,4,1\n", "import_not_utf8"),
        (b"\"case_id,expires\n", "import_unclosed_header"),
    ] {
        assert_eq!(import(content).unwrap_err().code(), code);
    }
    let error = import("case_id,expires,members\nA,12,4\n").unwrap_err().to_string();
    assert!(error.ends_with(
        "`under-two` (for under-two): add the column, or say which one it is with `--map under-two=COLUMN`"
    ));
    assert!(matches!(
        Cases::open(Path::new("/nonexistent"), &mapping(&[]), &header(), &header().lots[0]),
        Err(ImportError::Read(_))
    ));
}

#[test]
fn a_file_full_of_problems_ends_early() {
    let text = format!("{HEAD}{}", "x,x,x,x\n".repeat(50_000));
    let ImportError::Rows(rows) = import(&text).unwrap_err() else { panic!("rows") };
    assert!((MAX_PROBLEMS..MAX_PROBLEMS + 8).contains(&rows.problems().len()));
    let printed = rows.to_string();
    assert!(printed.starts_with("more than ") && printed.lines().count() == ImportProblems::PRINTED + 2);
}

/// An expiry fits the lot: what starts in round 5 does not expire before round 6.
#[test]
fn an_expiry_is_behind_the_lots_start() {
    let mut header = header();
    header.lots[0].start.drawn = Round(5);
    let parse = |kind, text: &str| {
        let lot = LotTerms { kind, id: LotId(1), ..header.lots[0].clone() };
        Cases::parse(format!("{HEAD}{text}").as_bytes(), &mapping(&[]), &header, &lot).is_ok()
    };
    assert!(!parse(TicketKind::Enrol, "A,5,4,1\n") && parse(TicketKind::Enrol, "A,6,4,1\n"));
    assert!(parse(TicketKind::Amend, "A,1,4,1\n") && !parse(TicketKind::Amend, "A,0,4,1\n"));
}

#[test]
fn columns_have_letters() {
    let names: Vec<String> = [0, 25, 26, 51, 52, 701, 702].into_iter().map(problem::letters).collect();
    assert_eq!(names, ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(content: Vec<u8>) {
        let _ = import(&content);
        let _ = import([b"PK\x03\x04", &content[..]].concat());
    }

    #[test]
    fn any_rows_are_read_or_refused(rows in "[,\"\r\n0-9c ]{0,200}") {
        let _ = import(format!("{HEAD}{rows}"));
    }
}
