//! `spec/registry.md` against the code, both ways: every entry has exactly one row, and every row has an entry.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::Check,
    ids::ProgrammeId,
    programme::TicketKind,
    registry::{self, CONTEXTS, RANGE_PROOF, VERSION, kind, operation, tag},
    slip::RefusalCode,
    ticket::{TicketCode, TicketSlip},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    fs::read_to_string(root().join("spec/registry.md")).expect("the page is in the repository")
}

/// The text below a heading, up to the next heading of its level.
fn section(page: &str, title: &str) -> String {
    let heading = format!("\n## {title}\n");
    let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no section {title}"));
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The rows of all tables of a text, without heads.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: Option<&&str>| line.is_some_and(|line| line.starts_with("| ---"));
    let body = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with('|') && !is_rule(Some(line)) && !is_rule(lines.get(at + 1)));
    body.map(|(_, line)| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// The first `width` cells of the rows of a section, and that none of them stands twice.
fn cells(title: &str, width: usize) -> BTreeSet<Vec<String>> {
    let rows = rows(&section(&page(), title));
    assert!(!rows.is_empty(), "{title}");
    let set: BTreeSet<Vec<String>> = rows.iter().map(|row| row[..width].to_vec()).collect();
    assert_eq!(set.len(), rows.len(), "{title}: a row stands twice");
    set
}

fn pair(first: impl ToString, second: impl ToString) -> Vec<String> {
    vec![first.to_string(), second.to_string()]
}

#[test]
fn contexts_are_distinct_and_listed() {
    let listed = cells("1. Hash contexts", 2);
    assert_eq!(listed, CONTEXTS.iter().map(|(name, value)| pair(name, value)).collect());
    let values: BTreeSet<&str> = CONTEXTS.iter().map(|(_, value)| *value).collect();
    assert_eq!(values.len(), CONTEXTS.len(), "two contexts are equal");
    assert!(values.iter().all(|value| value.as_bytes() != RANGE_PROOF), "merlin's label is a context's");
    assert!(page().contains(&format!("The protocol version is `{VERSION}`")));
}

#[test]
fn tags_kinds_and_operations_are_distinct_and_listed() {
    let tags = cells("4. Signature tags", 1);
    assert_eq!(tags, tag::ALL.iter().map(|tag| vec![(*tag).to_owned()]).collect());
    assert_eq!(tags.len(), tag::ALL.len(), "two tags are equal");
    for (title, all) in [("5. Message kinds", kind::ALL), ("6. Operation codes", operation::ALL)] {
        let expected: BTreeSet<_> = all.iter().map(|(name, value)| pair(format!("{value:#04x}"), name)).collect();
        assert_eq!(cells(title, 2), expected);
        let values: BTreeSet<u8> = all.iter().map(|(_, value)| *value).collect();
        assert_eq!(values.len(), all.len(), "{title}: two values are equal");
    }
}

/// The lists that the other tests trust name every constant of the module.
#[test]
fn the_lists_of_the_registry_are_complete() {
    let source = fs::read_to_string(root().join("protocol/src/registry.rs")).expect("readable");
    let constants = |text: &str, type_name: &str| text.matches(&format!(": {type_name} = ")).count();
    let of = |module: &str| {
        let (_, rest) = source.split_once(&format!("pub mod {module} {{")).expect("a module");
        rest.split("\n}\n").next().expect("its end").to_owned()
    };
    assert_eq!(constants(&of("tag"), "&str"), tag::ALL.len());
    assert_eq!(constants(&of("operation"), "u8"), operation::ALL.len());
    assert_eq!(source.matches(" = \"annona v1 ").count(), CONTEXTS.len());
}

#[test]
fn ticket_kinds_hash_as_listed() {
    let (programme, code) = (ProgrammeId([7; 32]), TicketCode::from_bytes([9; 10]));
    let kinds = [TicketKind::Enrol, TicketKind::Amend, TicketKind::Split];
    let listed = cells("7. Ticket kinds", 2);
    assert_eq!(listed.len(), kinds.len());
    for row in listed {
        let kind = kinds.iter().find(|kind| format!("{kind:?}") == row[1]).expect("a kind");
        let byte: u8 = row[0].parse().expect("a number");
        let input = [&programme.0[..], &[byte], &[9; 10]].concat();
        assert_eq!(code.hash(&programme, *kind).0, blake3::derive_key(registry::TICKET, &input));
        assert_eq!(postcard::to_stdvec(kind).expect("to memory"), [byte - 1]);
    }
}

#[test]
fn refusal_codes_have_their_wire_index() {
    let encoded = RefusalCode::ALL.iter().map(|code| {
        let bytes = postcard::to_stdvec(code).expect("to memory");
        assert_eq!((bytes.len(), code.to_string().as_str()), (1, code.code()));
        pair(bytes[0], code.code())
    });
    let expected: BTreeSet<_> = encoded.collect();
    assert_eq!(expected.len(), RefusalCode::ALL.len());
    assert_eq!(cells("8. Refusal codes", 2), expected);
    let unknown = u8::try_from(RefusalCode::ALL.len()).expect("few");
    assert!(postcard::from_bytes::<RefusalCode>(&[unknown]).is_err(), "the list of codes is not complete");
}

#[test]
fn audit_checks_are_listed() {
    let expected = Check::ALL
        .iter()
        .map(|check| vec![check.number().to_owned(), check.code().to_owned(), check.meaning().replace('`', "")]);
    assert_eq!(cells("9. Audit checks", 3), expected.collect());
}

/// Every problem of the servers has its row, with status and title, and every row a problem.
#[test]
fn problem_codes_are_those_of_the_servers() {
    let source = fs::read_to_string(root().join("node/src/server/problem.rs")).expect("readable");
    let (_, rest) = source.split_once("const KINDS: &[Kind] = &[").expect("the problems");
    let body = rest.split("\n];").next().expect("their end");
    let entries = body.split("\n    ").filter(|line| line.starts_with("kind(") || line.starts_with("later("));
    let known: BTreeSet<Vec<String>> = entries
        .map(|line| {
            let mut texts = line.split('"').skip(1).step_by(2);
            let (code, title) = (texts.next().expect("a code"), texts.next().expect("a title"));
            let status = line.split(", ").nth(1).expect("a status");
            vec![code.to_owned(), status.to_owned(), title.to_owned()]
        })
        .collect();
    assert!(known.len() > 50, "the source was not understood");
    let listed =
        cells("11. Problem codes", 4).into_iter().map(|row| vec![row[0].clone(), row[1].clone(), row[3].clone()]);
    assert_eq!(listed.collect::<BTreeSet<_>>(), known);
}

/// The magic lines of the node's files stand in its sources.
#[test]
fn magic_lines_of_the_node_are_those_of_the_sources() {
    let text = section(&page(), "12. Texts and files of the node");
    for (file, magic) in [
        ("officers.rs", "annona proposal 1"),
        ("officers/key.rs", "annona officer key 1"),
        ("service/site/counters.rs", "annona counter 1"),
    ] {
        let source = fs::read_to_string(root().join("node/src").join(file)).expect("readable");
        assert!(source.contains(&format!("b\"{magic}\\n\"")), "{file}");
        assert!(text.contains(&format!("| `{magic}` |")), "{magic}");
    }
}

/// The example of a ticket slip is one.
#[test]
fn the_example_of_a_ticket_slip_reads_back() {
    let text = section(&page(), "12. Texts and files of the node");
    let (_, rest) = text.split_once("*Example*: `").expect("an example");
    let example = rest.split('`').next().expect("its end");
    let slip = TicketSlip::parse(example).expect("a slip");
    assert_eq!(*slip.to_qr().expect("its text"), example);
    assert!(text.contains(&format!("at most {} bytes, all", TicketSlip::MAX_BYTES)));
    assert!(text.contains(&format!("at most {} bytes |", TicketSlip::MAX_SERVER_BYTES)));
}

/// The protocol's sources without tests, and without what only tests use.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    const APART: [&str; 5] = ["tests", "testing", "hazmat", "fixture", "transcription"];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if APART.iter().any(|name| path.file_stem().is_some_and(|stem| stem == *name)) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else {
            let text = fs::read_to_string(&path).expect("readable");
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((path, text));
        }
    }
}

/// The first string of every call of a function whose name begins with `name`.
fn labels(text: &str, name: &str, open: &str) -> BTreeSet<String> {
    let calls = text.match_indices(name).filter_map(|(at, _)| {
        let rest = text[at..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let argument = rest.strip_prefix('(')?.trim_start().strip_prefix(open)?;
        argument.split('"').next().map(str::to_owned)
    });
    calls.collect()
}

#[test]
fn transcript_labels_are_those_of_the_sources() {
    let mut found = Vec::new();
    sources(&root().join("protocol/src"), &mut found);
    assert!(found.len() > 30, "the sources are elsewhere");
    let used: BTreeSet<String> = found
        .iter()
        .flat_map(|(_, text)| ["append", "challenge_", "digest"].map(|name| labels(text, name, "\"")))
        .flatten()
        .collect();
    let listed: BTreeSet<String> = rows(&section(&page(), "2. Transcripts"))
        .into_iter()
        .map(|row| row[0].clone())
        .filter(|label| !label.is_empty())
        .collect();
    assert_eq!(used, listed);

    // Each transcript's context has its own part of the section.
    let text = section(&page(), "2. Transcripts");
    let parts = |name: &str| text.lines().filter(|line| line.starts_with("### ") && line.contains(name)).count();
    for (name, _) in CONTEXTS.iter().filter(|(name, _)| name.starts_with("TRANSCRIPT_")) {
        assert_eq!(parts(&format!("`{name}`")), 1, "{name}");
    }
}

/// The labels that the verifier absorbs itself; the rest are the crate's, and its proofs would not verify with others.
#[test]
fn range_proof_labels_are_those_of_the_source() {
    let source = fs::read_to_string(root().join("protocol/src/range.rs")).expect("readable");
    let text = section(&page(), "3. Range proof");
    let label = std::str::from_utf8(RANGE_PROOF).expect("text");
    assert!(text.contains(&format!("protocol label `{label}`")));
    let listed: BTreeSet<String> = rows(&text).into_iter().map(|row| row[0].clone()).collect();
    // Every byte string from the transcript's beginning on, but the values of `dom-sep`.
    let code = source.split("#[cfg(test)]\nmod tests {").next().expect("a first part");
    let (_, code) = code.split_once("fn merlin(").expect("where the transcript begins");
    let used: BTreeSet<String> = code
        .split("b\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|text| !text.contains(' '))
        .map(str::to_owned)
        .collect();
    assert_eq!(used, listed);
    for value in ["rangeproof v1", "ipp v1"] {
        assert!(code.contains(&format!("b\"{value}\"")) && text.contains(&format!("`{value}`")), "{value}");
    }
}

#[test]
fn a_missing_row_and_a_stray_row_are_seen() {
    let table = "| a | b |\n| --- | --- |\n| `1` | x |\n\ntext\n\n| a |\n| --- |\n| `2` |\n";
    assert_eq!(rows(table), [vec!["1".to_owned(), "x".to_owned()], vec!["2".to_owned()]]);
    let code = "transcript.append_u64(\n    \"now\", 1); tree.append(leaf); t.challenge_bytes(\"fold\")";
    assert_eq!(labels(code, "append", "\""), BTreeSet::from(["now".to_owned()]));
    assert_eq!(labels(code, "challenge_", "\""), BTreeSet::from(["fold".to_owned()]));
}
