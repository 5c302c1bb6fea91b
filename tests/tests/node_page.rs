//! `spec/node.md` and `spec/bearer.md`: their rules are numbered without gaps, and each names the tests that show it, or says
//! that there is none.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages, and how many sections of theirs have rules at least.
const PAGES: [(&str, usize); 2] = [("node", 11), ("bearer", 4)];

fn page(name: &str) -> String {
    fs::read_to_string(root().join(format!("spec/{name}.md"))).unwrap()
}

/// The rules of a page: section, number, text.
fn rules(name: &str, page: &str) -> Vec<(String, u32, String)> {
    page.split(&format!("\n- **[{name}-"))
        .skip(1)
        .map(|part| {
            let (number, rest) = part.split_once("]** ").unwrap();
            let (section, number) = number.split_once("-M").unwrap();
            let text = rest.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            (section.to_owned(), number.parse().unwrap(), text)
        })
        .collect()
}

/// The tests that a rule names after a word such as `Shown by`: the words in backticks up to the end of its sentence.
fn named(text: &str, word: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once(word) else { return Vec::new() };
    let sentence = rest.split(". ").next().unwrap();
    sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All functions of the crates that run the node.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let names =
        ["node", "transport", "vault", "paper", "bearer", "wallet-cli", "audit-cli", "demo", "protocol", "tests"];
    let mut folders: Vec<PathBuf> = names.map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let names = text.split("fn ").skip(1).map(|rest| {
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
                });
                found.extend(names);
            }
        }
    }
    found
}

#[test]
fn rules_are_numbered_without_gaps() {
    for (name, least) in PAGES {
        let mut last: Option<(String, u32)> = None;
        let mut sections = BTreeSet::new();
        for (section, number, _) in rules(name, &page(name)) {
            match &last {
                Some((before, last)) if *before == section => {
                    assert_eq!(number, last + 1, "{name}-{section}-M{number}")
                }
                _ => {
                    assert_eq!(number, 1, "{name}-{section}-M{number}");
                    assert!(sections.insert(section.clone()), "section {section} stands twice");
                }
            }
            last = Some((section, number));
        }
        assert!(sections.len() >= least, "the rules are not found");
    }
}

#[test]
fn every_rule_names_its_test_or_says_that_there_is_none() {
    let functions = functions();
    for (name, _) in PAGES {
        for (section, number, text) in rules(name, &page(name)) {
            let tests = named(&text, "*Shown by* ");
            assert_eq!(tests.is_empty(), text.contains("*No test yet"), "{name}-{section}-M{number}: {text}");
            for test in tests {
                assert!(functions.contains(&test), "{name}-{section}-M{number}: there is no test {test}");
            }
        }
    }
}

/// What the threat model calls built rests on tests that exist: its long names in backticks are theirs.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("spec/threats.md")).unwrap();
    let functions = functions();
    let is_name = |word: &&str| {
        word.split('_').count() > 3 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let names: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(names.len() > 20, "the names are not found");
    for name in names {
        assert!(functions.iter().any(|function| function.starts_with(name)), "there is no test {name}");
    }
}

/// The search for rules and tests can fail.
#[test]
fn a_rule_without_a_test_is_seen() {
    let page = "x\n- **[node-1-M1]** It MUST. *Shown by* `a_b`, `c`. More `d`.\n- **[node-1-M2]** It MUST.\n\ny";
    let rules = rules("node", page);
    assert_eq!(rules.len(), 2);
    assert_eq!(named(&rules[0].2, "*Shown by* "), ["a_b", "c"]);
    assert!(named(&rules[1].2, "*Shown by* ").is_empty());
}
