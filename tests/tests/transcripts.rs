//! Section 2 of `spec/registry.md` against transcripts as they happen: every item in its order, with its length, as often as
//! the page says. What is compared is recorded while the library verifies the vectors.

use std::{collections::BTreeMap, fs, path::PathBuf};

use annona_protocol::registry::{CONTEXTS, operation};
use annona_tests::{json::Json, life::World, vectors::files};

/// How often items stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Once,
    Optional,
    Many,
}

/// Items that stand together: label, and what the page says of the bytes.
#[derive(Clone, Debug)]
struct Group {
    items: Vec<(String, String)>,
    times: Times,
}

fn page() -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/registry.md"))
        .expect("it is in the repository")
}

/// The part below a heading of the third level that contains `title`.
fn part<'a>(page: &'a str, title: &str) -> &'a str {
    let mut parts = page.split("\n### ").filter(|part| part.lines().next().is_some_and(|line| line.contains(title)));
    let found = parts.next().unwrap_or_else(|| panic!("no part {title}"));
    found.split("\n## ").next().unwrap_or(found)
}

/// The tables of a text: cells without back quotes.
fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    let mut tables: Vec<Vec<Vec<String>>> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with('|') {
            if !inside {
                tables.push(Vec::new());
            }
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
            tables.last_mut().expect("just pushed").push(cells.collect());
        }
        inside = line.starts_with('|');
    }
    // Heads and rules are no rows.
    tables.iter_mut().for_each(|table| drop(table.drain(..2)));
    tables
}

/// The groups that rows describe; `linear` stands where a row says so.
fn groups(rows: &[Vec<String>], linear: &[Group]) -> Vec<Group> {
    let mut groups = Vec::new();
    let (mut at, mut optional) = (0, 0u32);
    while let Some(row) = rows.get(at) {
        let (label, bytes) = (row[0].clone(), row[1].clone());
        at += 1;
        if bytes.contains("on a copy") {
            continue;
        }
        if label.is_empty() {
            assert_eq!(bytes, "then 2.7");
            groups.extend(linear.iter().cloned());
            continue;
        }
        if bytes.contains("and so the next three") {
            optional = 4;
        }
        let repeated = ["once a", "once an", "times"].iter().any(|word| bytes.contains(word));
        let mut group = Group { items: vec![(label, bytes.clone())], times: Times::Once };
        if bytes.contains("this and the next") {
            group.items.push((rows[at][0].clone(), rows[at][1].clone()));
            at += 1;
        }
        group.times = match (repeated, optional) {
            (true, _) => Times::Many,
            (false, 0) => Times::Once,
            (false, _) => Times::Optional,
        };
        optional = optional.saturating_sub(1);
        groups.push(group);
    }
    groups
}

/// The length that the page gives an item, if it is fixed.
fn length(bytes: &str) -> Option<usize> {
    let starts = |words: &[&str]| words.iter().any(|word| bytes.starts_with(word));
    match bytes {
        _ if bytes.contains("empty unless") => None,
        _ if starts(&["u64"]) => Some(8),
        _ if starts(&["u8"]) => Some(1),
        _ if starts(&["16 bytes"]) => Some(16),
        _ if starts(&["point", "scalar", "32 bytes", "programme id", "schema digest", "slots digest"]) => Some(32),
        _ if starts(&["hash of", "ticket hash", "show digest"]) => Some(32),
        _ => None,
    }
}

/// Whether the items from `at` on are the group's, once.
fn stands(group: &Group, items: &[Json], at: usize) -> bool {
    group.items.iter().enumerate().all(|(offset, (label, bytes))| {
        items.get(at + offset).is_some_and(|item| {
            let challenge = item.find("challenge").is_some();
            item.get("label").str() == label
                && challenge == bytes.starts_with("challenge")
                && (challenge || length(bytes).is_none_or(|length| length == item.get("bytes").bytes().len()))
        })
    })
}

fn follows(groups: &[Group], items: &[Json]) -> Result<(), String> {
    let mut at = 0;
    for group in groups {
        let most = if group.times == Times::Many { usize::MAX } else { 1 };
        let mut found = 0;
        while found < most && stands(group, items, at) {
            at += group.items.len();
            found += 1;
        }
        if found == 0 && group.times == Times::Once {
            return Err(format!("{group:?} does not stand at {at}: {:?}", items.get(at)));
        }
    }
    if at == items.len() { Ok(()) } else { Err(format!("nothing is said of {:?}", items.get(at))) }
}

/// What the page says of a transcript that begins with these items.
fn expected(page: &str, context: &str, items: &[Json]) -> (String, Vec<Group>) {
    let linear = groups(&tables(part(page, "2.7 "))[0], &[]);
    let mut whole = groups(&tables(part(page, "2.0 "))[0], &[]);
    let (name, _) = CONTEXTS.iter().find(|(_, known)| *known == context).expect("a context of the registry");
    let tables = tables(part(page, &format!("`{name}`")));
    if *name != "TRANSCRIPT_HOLDER" {
        whole.extend(groups(&tables[0], &linear));
        return ((*name).to_owned(), whole);
    }
    let code = items[1].get("bytes").bytes()[0];
    let (operation, _) = operation::ALL.iter().find(|(_, known)| *known == code).expect("an operation");
    let column = ["REDEEM", "VOID", "COLLECT", "SWAP", "SURRENDER"].iter().position(|known| known == operation);
    let column = 2 + column.expect("an operation with a holder proof");
    let mut rows: Vec<_> = tables[0].iter().filter(|row| !row[column].is_empty()).collect();
    rows.sort_by_key(|row| row[column].parse::<u32>().expect("a place"));
    whole.extend(groups(&rows.into_iter().cloned().collect::<Vec<_>>(), &[]));
    let items = tables[1].iter().map(|row| (row[0].clone(), row[1].clone()));
    whole.push(match *operation {
        "VOID" | "COLLECT" => Group { items: items.filter(|item| item.0 == "P").collect(), times: Times::Once },
        _ => Group { items: items.collect(), times: Times::Many },
    });
    whole.extend(groups(&tables[2], &[]));
    (format!("{name} {operation}"), whole)
}

/// Context and items of every transcript recorded with the vectors.
fn recorded() -> Vec<(String, String, Vec<Json>)> {
    let mut transcripts = Vec::new();
    for file in files(&World::new()) {
        // The cases of a bare relation are in a transcript of their own.
        for case in file.cases.iter().filter(|case| case.check != "relation") {
            for entry in case.expected.find("hashed").into_iter().flat_map(Json::items) {
                if let Some(context) = entry.find("transcript") {
                    let label = format!("{}: {}", file.name, case.name);
                    transcripts.push((label, context.str().to_owned(), entry.get("items").items().to_vec()));
                }
            }
        }
    }
    transcripts
}

#[test]
fn every_recorded_transcript_follows_the_page() {
    let (page, recorded) = (page(), recorded());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (label, context, items) in &recorded {
        let (name, groups) = expected(&page, context, items);
        if let Err(error) = follows(&groups, items) {
            panic!("{label}: {name}: {error}");
        }
        *seen.entry(name).or_default() += 1;
    }
    let holders = operation::ALL.iter().filter(|(_, code)| *code >= 0x10).count();
    let others = CONTEXTS.iter().filter(|(name, _)| name.starts_with("TRANSCRIPT_")).count() - 1;
    assert_eq!(seen.len(), holders + others, "{seen:?}");

    // A page with a row less, a row moved, another length or another number of times is noticed.
    for (from, to) in [
        ("| `slots` | slots digest |\n| `C` | point |", "| `C` | point |"),
        ("| `A'` | point |\n| `D` | point |", "| `D` | point |\n| `A'` | point |"),
        ("| `now` | `u64`, the round |", "| `now` | 32 bytes |"),
        ("| `commitment` | point, once an equation |", "| `commitment` | point |"),
    ] {
        let lie = page.replace(from, to);
        assert_ne!(lie, page, "{from}");
        let noticed =
            recorded.iter().any(|(_, context, items)| follows(&expected(&lie, context, items).1, items).is_err());
        assert!(noticed, "{to}");
    }
}
