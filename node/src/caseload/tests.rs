//! Files as agencies' spreadsheets write them, and as they break them.

use proptest::prelude::*;

use super::*;

const HEADER: &str = "case_id,document_no,phone,site,members,under_two,pregnant_or_lactating,months_registered\n";

fn parse(content: impl AsRef<[u8]>) -> Result<Caseload, CaseloadError> {
    Caseload::parse(content.as_ref(), &Limits::default())
}

/// The error of a file with the usual header.
fn refused(rows: &str) -> CaseloadError {
    parse(format!("{HEADER}{rows}")).unwrap_err()
}

/// The problems of a file with the usual header: line, column, reason.
fn problems(rows: &str) -> Vec<(u64, Option<Column>, Reason)> {
    all_problems(format!("{HEADER}{rows}"))
}

fn all_problems(content: impl AsRef<[u8]>) -> Vec<(u64, Option<Column>, Reason)> {
    match parse(content).unwrap_err() {
        CaseloadError::Rows(bad) => bad.problems().iter().map(|p| (p.line, p.column, p.reason)).collect(),
        other => panic!("{other}"),
    }
}

fn identifiers(household: &Household) -> [&str; 3] {
    let identifiers = household.identifiers();
    [identifiers.case_id(), identifiers.document_no(), identifiers.phone()]
}

fn numbers(household: &Household) -> [u16; 3] {
    let attributes = household.attributes();
    [attributes.members, attributes.under_two, attributes.months_registered]
}

#[test]
fn a_plain_file_is_read() {
    let caseload =
        parse(format!("{HEADER}c1,d1,p1,north,4,1,0,12\nc2,d2,p2,east,1,0,1,120\nc3,d3,p3,north,15,15,1,1")).unwrap();
    let households = caseload.households();
    assert_eq!(
        households.iter().map(identifiers).collect::<Vec<_>>(),
        [["c1", "d1", "p1"], ["c2", "d2", "p2"], ["c3", "d3", "p3"]]
    );
    assert_eq!(households.iter().map(numbers).collect::<Vec<_>>(), [[4, 1, 12], [1, 0, 120], [15, 15, 1]]);
    assert_eq!(households[1].attributes().site.as_str(), "east");
    assert_eq!(caseload.sites().iter().map(SiteName::as_str).collect::<Vec<_>>(), ["east", "north"]);
    assert!(caseload.ignored_columns().is_empty());
    let (identifiers, attributes) = caseload.into_households().swap_remove(2).into_parts();
    assert_eq!((identifiers.case_id(), attributes.members), ("c3", 15));
}

#[test]
fn the_caseload_of_the_repository_is_read() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../caseload/caseload-2000.csv"));
    let caseload = Caseload::open(path, &Limits::default()).unwrap();
    // The figures of caseload/README.md.
    let totals = |site: &str| {
        let of_site = |household: &&Household| household.attributes().site.as_str() == site;
        caseload.households().iter().filter(of_site).fold([0, 0, 0], |[households, members, under_two], household| {
            let [more_members, more_under_two, _] = numbers(household).map(u32::from);
            [households + 1, members + more_members, under_two + more_under_two]
        })
    };
    assert_eq!(
        caseload.sites().iter().map(SiteName::as_str).collect::<Vec<_>>(),
        ["north-gate", "old-school", "river-camp"]
    );
    assert_eq!(totals("north-gate"), [984, 4991, 447]);
    assert_eq!(totals("old-school"), [406, 2052, 191]);
    assert_eq!(totals("river-camp"), [610, 3122, 260]);
}

#[test]
fn what_spreadsheets_write_is_read() {
    let plain = format!("{HEADER}c1,d1,p1,north,4,1,0,12\nc2,d2,p2,east,1,0,1,3\n");
    let marked = format!("\u{feff}{plain}");
    let quoted = plain.lines().map(|line| format!("\"{}\"\n", line.replace(',', "\",\""))).collect::<String>();
    for content in [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace('\n', "\n\n"),
        plain.trim_end().to_owned(),
        format!("\r\n\n{plain}\r\n\r\n"),
        plain.replace(',', " ,\t").replace('\n', " \n"),
        plain.replacen(HEADER, &HEADER.to_uppercase(), 1),
        quoted.clone(),
        format!("\u{feff}{}", quoted.replace('\n', "\r\n")),
        marked.replace('\n', "\r\n"),
        marked,
        plain,
    ] {
        let caseload = parse(&content).unwrap();
        assert_eq!(
            caseload.households().iter().map(numbers).collect::<Vec<_>>(),
            [[4, 1, 12], [1, 0, 3]],
            "{content:?}"
        );
        assert_eq!(
            caseload.households().iter().map(identifiers).collect::<Vec<_>>(),
            [["c1", "d1", "p1"], ["c2", "d2", "p2"]]
        );
    }
}

#[test]
fn columns_come_in_any_order_and_others_are_told() {
    let caseload = parse(
        "notes,months_registered,phone,site,members,case_id,,under_two,document_no,pregnant_or_lactating,Camp block\n\
         \"tall, \"\"quiet\"\"\nnew\",12,p,\"Gate, \"\"2\"\"\",4,c,,1,d,0,B\n",
    )
    .unwrap();
    assert_eq!(caseload.ignored_columns(), ["notes", "", "Camp block"]);
    assert_eq!(identifiers(&caseload.households()[0]), ["c", "d", "p"]);
    assert_eq!(numbers(&caseload.households()[0]), [4, 1, 12]);
    assert_eq!(caseload.sites()[0].as_str(), "Gate, \"2\"");
}

#[test]
fn every_missing_column_is_named() {
    for missing in Column::ALL {
        let header = HEADER.replace(missing.name(), "other");
        match parse(format!("{header}c,d,p,s,1,0,0,1\n")).unwrap_err() {
            CaseloadError::MissingColumns { line: 1, columns } => assert_eq!(columns, [missing]),
            other => panic!("{other}"),
        }
    }
    let error = parse("\n\ncase_id,phone,site,members,under_two,pregnant_or_lactating\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3 of the caseload, its header, lacks document_no, months_registered: add it, or give the right column this name"
    );
}

#[test]
fn files_that_are_wrong_as_a_whole() {
    for (content, code) in [
        ("", "caseload_empty"),
        ("\u{feff}", "caseload_empty"),
        ("\r\n\n\r", "caseload_empty"),
        (HEADER, "caseload_no_households"),
        (HEADER.trim_end(), "caseload_no_households"),
        ("c1,d1,p1,north,4,1,0,12\n", "caseload_no_header"),
        ("   \n", "caseload_no_header"),
        ("annona: end of file", "caseload_no_header"),
        ("annona: end of file\n", "caseload_no_header"),
        (&HEADER.replace(',', ";"), "caseload_separator"),
        (&HEADER.replace(',', "\t"), "caseload_separator"),
        (&HEADER.replace("phone", "Site"), "caseload_repeated_column"),
        (&HEADER.replace("phone", "phone, PHONE "), "caseload_repeated_column"),
        (&HEADER.replace("phone", "\"phone"), "caseload_bad_rows"),
    ] {
        assert_eq!(parse(content).unwrap_err().code(), code, "{content:?}");
    }
    let missing = Caseload::open(Path::new("no such file"), &Limits::default()).unwrap_err();
    assert_eq!(missing.code(), "caseload_unreadable");
    assert!(std::error::Error::source(&missing).is_some());
}

#[test]
fn bytes_that_are_not_utf8_are_found() {
    let mut latin1 = format!("{HEADER}c1,d1,p1,north,4,1,0,12\r\nc2,d2,p2,caf").into_bytes();
    latin1.extend(b"\xe9,4,1,0,12\r\n");
    assert!(matches!(parse(&latin1).unwrap_err(), CaseloadError::NotUtf8 { line: 3 }));
    let utf16: Vec<u8> = "\u{feff}case_id".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(parse(utf16).unwrap_err(), CaseloadError::NotUtf8 { line: 1 }));
}

#[test]
fn every_bad_field_is_named() {
    use Column::*;
    let members = Reason::OutOfRange { min: 1, max: 15 };
    let under_two = Reason::OutOfRange { min: 0, max: 15 };
    let months = Reason::OutOfRange { min: 1, max: 120 };
    for (row, column, reason) in [
        (",d,p,s,4,1,0,12", CaseId, Reason::Empty),
        ("c, ,p,s,4,1,0,12", DocumentNo, Reason::Empty),
        ("c,d,\"\",s,4,1,0,12", Phone, Reason::Empty),
        ("c,d,p,\t,4,1,0,12", Site, Reason::Empty),
        ("c,d,p,s,,1,0,12", Members, Reason::Empty),
        ("c,d,p,s,4,,0,12", UnderTwo, Reason::Empty),
        ("c,d,p,s,4,1,,12", PregnantOrLactating, Reason::Empty),
        ("c,d,p,s,4,1,0,", MonthsRegistered, Reason::Empty),
        ("c,d,p,s,four,1,0,12", Members, Reason::NotWhole),
        ("c,d,p,s,4.0,1,0,12", Members, Reason::NotWhole),
        ("c,d,p,s,+4,1,0,12", Members, Reason::NotWhole),
        ("c,d,p,s,-4,1,0,12", Members, Reason::NotWhole),
        ("c,d,p,s,\u{664},1,0,12", Members, Reason::NotWhole),
        ("c,d,p,s,0,0,0,12", Members, members),
        ("c,d,p,s,16,1,0,12", Members, members),
        ("c,d,p,s,65537,1,0,12", Members, members),
        ("c,d,p,s,99999999999999999999999999,1,0,12", Members, members),
        ("c,d,p,s,4,no,0,12", UnderTwo, Reason::NotWhole),
        ("c,d,p,s,4,16,0,12", UnderTwo, under_two),
        ("c,d,p,s,4,5,0,12", UnderTwo, Reason::MoreThanMembers),
        ("c,d,p,s,4,1,2,12", PregnantOrLactating, Reason::NotZeroOrOne),
        ("c,d,p,s,4,1,yes,12", PregnantOrLactating, Reason::NotZeroOrOne),
        ("c,d,p,s,4,1,01,12", PregnantOrLactating, Reason::NotZeroOrOne),
        ("c,d,p,s,4,1,0,a year", MonthsRegistered, Reason::NotWhole),
        ("c,d,p,s,4,1,0,0", MonthsRegistered, months),
        ("c,d,p,s,4,1,0,121", MonthsRegistered, months),
        ("c,d,p,\"a\nb\",4,1,0,12", Site, Reason::Unprintable),
        ("c,d,p,a\u{200b}b,4,1,0,12", Site, Reason::Unprintable),
        ("c,d,p,a\u{202e}b,4,1,0,12", Site, Reason::Unprintable),
        ("c,d,p,a\u{0}b,4,1,0,12", Site, Reason::Unprintable),
    ] {
        assert_eq!(problems(row), [(2, Some(column), reason)], "{row:?}");
    }
    let long = "\u{e9}".repeat(65);
    assert_eq!(problems(&format!("c,d,p,{long},4,1,0,12")), [(2, Some(Site), Reason::TooLong { max: 64 })]);
    parse(format!("{HEADER}c,d,p,{},4,1,0,12", &long[2..])).unwrap();
    parse(format!("{HEADER}c,d,p,\u{645}\u{6cc}\u{200c}\u{62f},004,4,0,012")).unwrap();
}

#[test]
fn limits_are_the_programmes() {
    let limits = Limits { members_max: 30, under_two_max: 2, months_max: 6 };
    let parse = |row: &str| Caseload::parse(format!("{HEADER}{row}").as_bytes(), &limits);
    parse("c,d,p,s,30,2,0,6").unwrap();
    for row in ["c,d,p,s,31,2,0,6", "c,d,p,s,30,3,0,6", "c,d,p,s,30,2,0,7"] {
        assert_eq!(parse(row).unwrap_err().code(), "caseload_bad_rows");
    }
}

#[test]
fn rows_that_are_wrong_as_a_whole() {
    for (row, reason) in [
        ("c,d,p,s,4,1,0", Reason::Ragged { found: 7, expected: 8 }),
        ("c,d,p,s,4,1,0,12,", Reason::Ragged { found: 9, expected: 8 }),
        ("c,d,p,s, Gate 2,4,1,0,12", Reason::Ragged { found: 9, expected: 8 }),
        ("c", Reason::Ragged { found: 1, expected: 8 }),
        ("annona: end of file\nc,d,p,s,4,1,0,12", Reason::Ragged { found: 1, expected: 8 }),
        (",,,,,,,", Reason::EmptyRow),
        (" , ,\"\"", Reason::EmptyRow),
        ("  ", Reason::EmptyRow),
        ("c,d,p,s,4,1,0,\"12", Reason::UnclosedQuote),
        ("c,d,p,\"s,4,1,0,12\nc,d,p,s,4,1,0,12\n", Reason::UnclosedQuote),
    ] {
        assert_eq!(problems(row), [(2, None, reason)], "{row:?}");
    }
}

/// With a lenient reader the rest of the file would become one note.
#[test]
fn an_unclosed_quote_in_an_ignored_column_loses_nobody() {
    let header = HEADER.replace('\n', ",notes\n");
    let content = format!("{header}c1,d,p,s,4,1,0,12,5 ft\nc2,d,p,s,4,1,0,12,\"6 ft\nc3,d,p,s,4,1,0,12,\n");
    assert_eq!(all_problems(content), [(3, None, Reason::UnclosedQuote)]);
}

#[test]
fn a_repeated_case_names_both_lines() {
    let rows = "c1,d,p,s,4,1,0,12\nc2,d,p,s,4,1,0,12\n\" c1 \",d,p,s,99,1,0,12\nc2,d,p,s,4,1,0,12\nc1,d,p,s,4,1,0,12\n";
    assert_eq!(
        problems(rows),
        [
            (4, Some(Column::CaseId), Reason::Duplicate { first_line: 2 }),
            (4, Some(Column::Members), Reason::OutOfRange { min: 1, max: 15 }),
            (5, Some(Column::CaseId), Reason::Duplicate { first_line: 3 }),
            (6, Some(Column::CaseId), Reason::Duplicate { first_line: 2 }),
        ]
    );
    // Bad rows count as well.
    let rows = "c1,d,p,s,0,0,0,12\nc1,d,p,s,4,1,0,12";
    assert_eq!(problems(rows)[1], (3, Some(Column::CaseId), Reason::Duplicate { first_line: 2 }));
    assert_eq!(
        refused("c1,d,p,s,4,1,0,12\nc1,d,p,s,4,1,0,12").to_string(),
        "1 row of the caseload cannot be used; nothing was imported. Correct the file and try again:\n  line 3, case_id: is \
         the same as in line 2; keep one row for the household, or correct the number"
    );
}

/// Line numbers are those of an editor, whatever ends the lines and however many a quoted field spans.
#[test]
fn line_numbers_are_an_editors() {
    let good = |case| format!("c{case},\"two\nlines\",\"1\n\n2\",s,4,1,0,12\n");
    let bad = |case| format!("c{case},d,p,s,0,0,0,12\n");
    // Lines: header 1, 2-5, bad 6, blank 7 and 8, 9-12, bad 13.
    let content = format!("{HEADER}{}{}\n\n{}{}", good(1), bad(2), good(3), bad(4));
    for ends in ["\n", "\r\n", "\r"] {
        let content = content.replace('\n', ends);
        for content in [content.clone(), format!("\u{feff}{content}"), content.trim_end().to_owned()] {
            let lines: Vec<_> = all_problems(&content).into_iter().map(|(line, _, _)| line).collect();
            assert_eq!(lines, [6, 13], "{content:?}");
        }
    }
}

#[test]
fn a_long_list_is_cut_when_printed_only() {
    let rows: String = (0..30).map(|case| format!("c{case},d,p,s,0,0,2,12\n")).collect();
    let CaseloadError::Rows(bad) = refused(&rows) else { panic!() };
    assert_eq!((bad.rows(), bad.problems().len()), (30, 60));
    let printed = bad.to_string();
    assert_eq!(printed.lines().count(), 22);
    assert!(printed.starts_with("30 rows of the caseload cannot be used; nothing was imported."));
    assert!(printed.contains("\n  line 11, pregnant_or_lactating: is neither 0 nor 1; write 1 for yes or 0 for no\n"));
    assert!(printed.ends_with("\n  and 40 more like these"));
    let rows: String = (0..20).map(|case| format!("c{case},d,p,s,0,0,0,12\n")).collect();
    assert!(!refused(&rows).to_string().contains("more like these"));
}

#[test]
fn every_reason_says_what_to_do() {
    for reason in [
        Reason::Empty,
        Reason::EmptyRow,
        Reason::Ragged { found: 7, expected: 8 },
        Reason::UnclosedQuote,
        Reason::NotWhole,
        Reason::OutOfRange { min: 1, max: 15 },
        Reason::MoreThanMembers,
        Reason::NotZeroOrOne,
        Reason::Duplicate { first_line: 2 },
        Reason::TooLong { max: 64 },
        Reason::Unprintable,
    ] {
        assert!(reason.to_string().contains("; "), "{reason}");
    }
}

/// Whatever goes wrong, neither message nor `Debug` shows personal data.
#[test]
fn errors_show_no_identifier() {
    const SECRETS: [&str; 3] = ["HH-secret-1", "DOC-secret-2", "+000-secret-3"];
    let row = |rest: &str| format!("{},{rest}\n", SECRETS.join(","));
    let good = row("s,4,1,0,12");
    for content in [
        good.clone(),
        format!("{HEADER}{good}{good}"),
        format!("{HEADER}{}", row("s,4,1,0")),
        format!("{HEADER}{}", row("s,0,1,9,x")),
        format!("{HEADER}{}", row("s,\"4,1,0,12")),
        // Columns that moved: the phone number stands where a number is due.
        format!("{HEADER}a,b,c,d,{}\n", SECRETS.join(",")),
        format!("{HEADER}a,b,c,d,{},1\n", SECRETS.join(",")),
        format!("case_id,{good}"),
    ] {
        let error = parse(&content).unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
    let caseload = parse(format!("{HEADER}{good}")).unwrap();
    let shown = format!("{caseload:?}");
    assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    assert!(shown.contains("AgencyIdentifiers(redacted)"));
}

/// Compiles because `AgencyIdentifiers` has none of these traits: with one, two implementations would match.
#[test]
fn identifiers_cannot_be_serialized_or_copied() {
    trait Unambiguous<Because> {
        const HOLDS: bool = true;
    }
    struct Serializes;
    struct Clones;
    struct Displays;
    impl<T> Unambiguous<()> for T {}
    impl<T: serde::Serialize> Unambiguous<Serializes> for T {}
    impl<T: Clone> Unambiguous<Clones> for T {}
    impl<T: fmt::Display> Unambiguous<Displays> for T {}
    const { assert!(<AgencyIdentifiers as Unambiguous<_>>::HOLDS) };
    const { assert!(<Household as Unambiguous<_>>::HOLDS) };
}

#[test]
fn half_a_million_rows_are_read() {
    // The size that country programmes import at once.
    let rows: String = (0..500_000).map(|case| format!("c{case},d,p,site {},4,1,0,12\r\n", case % 40)).collect();
    let caseload = parse(format!("{HEADER}{rows}")).unwrap();
    assert_eq!((caseload.households().len(), caseload.sites().len()), (500_000, 40));
}

/// Text as it comes out of address books: separators, quotes, line ends, other scripts.
fn odd_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(",".to_owned()),
        Just("\"".to_owned()),
        Just("\"\"".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just(";".to_owned()),
        Just("\t".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\u{642}\u{631}\u{6cc}\u{647}".to_owned()),
        "[a-zA-Z0-9 =+@'-]{1,6}",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// What the csv crate writes, in any style, is read back: identifiers byte for byte, apart from white space around
    /// them; and with the last row broken, its line is the one that an editor shows.
    #[test]
    fn written_files_are_read_back(
        rows in proptest::collection::vec(
            (odd_text(), odd_text(), odd_text(), 1u16..=15, 0u16..=15, 0u8..=1, 1u16..=120),
            1..12,
        ),
        order in Just([0usize, 1, 2, 3, 4, 5, 6, 7, 8]).prop_shuffle(),
        always_quoted: bool,
        ends in prop_oneof![Just("\n"), Just("\r\n")],
        marked: bool,
    ) {
        let style = if always_quoted { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let terminator = if ends == "\n" { csv::Terminator::Any(b'\n') } else { csv::Terminator::CRLF };
        let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(terminator).from_writer(Vec::new());
        let shuffled = |fields: [&str; 9]| order.map(|place| fields[place].to_owned());
        let mut headings = Column::ALL.map(Column::name).to_vec();
        headings.push("notes");
        let headings: [&str; 9] = headings.try_into().unwrap();
        writer.write_record(shuffled(headings)).unwrap();
        for (case, (document, phone, note, members, under_two, nursing, months)) in rows.iter().enumerate() {
            let [case, document, phone] = [format!("{case} {document}"), format!("d{document}d"), format!("p{phone}p")];
            let site = format!("site {}", months % 3);
            let under_two = under_two.min(members).to_string();
            let [members, nursing, months] = [members.to_string(), nursing.to_string(), months.to_string()];
            let row = [&case, &document, &phone, &site, &members, &under_two, &nursing, &months, note];
            writer.write_record(shuffled(row.map(String::as_str))).unwrap();
        }
        let mut content = if marked { BYTE_ORDER_MARK.to_vec() } else { Vec::new() };
        content.extend(writer.into_inner().unwrap());

        let caseload = parse(&content).unwrap();
        prop_assert_eq!(caseload.ignored_columns(), ["notes"]);
        prop_assert_eq!(caseload.households().len(), rows.len());
        for (case, (household, row)) in caseload.households().iter().zip(&rows).enumerate() {
            let (document, phone, _, members, under_two, _, months) = row;
            let expected = [format!("{case} {document}").trim().to_owned(), format!("d{document}d"), format!("p{phone}p")];
            prop_assert_eq!(identifiers(household), expected.each_ref().map(String::as_str));
            prop_assert_eq!(numbers(household), [*members, *under_two.min(members), *months]);
        }

        let lines = String::from_utf8(content.clone()).unwrap().replace("\r\n", "\n").replace('\r', "\n").matches('\n').count();
        content.extend(b"short,row");
        let expected = Reason::Ragged { found: 2, expected: 9 };
        prop_assert_eq!(all_problems(&content), [(lines as u64 + 1, None, expected)]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(content: Vec<u8>) {
        let _ = parse(content);
    }

    #[test]
    fn any_rows_are_read_or_refused(rows in "[,\"\r\n0-9c ]{0,200}") {
        let _ = parse(format!("{HEADER}{rows}"));
    }
}
