//! `spec/vectors`: the committed files are what the generator writes, and say what the library says of them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use annona_protocol::{
    ids::Round,
    programme::{KeyEntry, Programme, SignedHeader},
    wire::Message,
};
use annona_tests::{
    json::Json,
    life::World,
    vectors::{check::evaluate, files, resolve},
};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

fn read_all() -> BTreeMap<String, Value> {
    fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
        })
        .collect()
}

#[test]
fn the_committed_files_are_the_generated_ones() {
    let generated: BTreeMap<String, String> =
        files(&World::new()).iter().map(|file| (file.name.to_owned(), file.json().to_pretty())).collect();
    let committed = read_all();
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(generated.keys().collect()), names(committed.keys().collect()), "run `make vectors`");
    let mut total = 0;
    for (name, text) in &generated {
        let bytes = fs::read(folder().join(name).with_extension("json")).unwrap();
        total += bytes.len();
        assert!(bytes == text.as_bytes(), "{name}.json differs: run `make vectors` and look at what changed");
    }
    assert!(total < 3 << 20, "{total} bytes");
}

/// The printer writes JSON that another reader understands.
fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => Json::Number(number.to_string().parse().expect("integers only")),
        Value::String(text) => Json::text(text),
        Value::Array(items) => Json::list(items.iter().map(json)),
        Value::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}

/// The same value whatever the order of members.
fn sorted(value: &Json) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn programme(files: &BTreeMap<String, Value>) -> Programme {
    let example = &files["programme"]["cases"][0];
    assert_eq!(example["name"], "example");
    let list = |name: &str| -> Vec<Vec<u8>> {
        let items = example["inputs"][name].as_array().unwrap();
        items.iter().map(|item| hex::decode(item.as_str().unwrap()).unwrap()).collect()
    };
    let chain: Vec<_> = list("chain").iter().map(|bytes| SignedHeader::decode(bytes).unwrap()).collect();
    let keys: Vec<_> = list("keys").iter().map(|bytes| KeyEntry::decode(bytes).unwrap()).collect();
    let mut programme = Programme::new(&chain, keys).unwrap();
    for round in 1..=3 {
        programme.open_round(Round(round), chain[1].header.hash()).unwrap();
    }
    programme
}

/// From the files alone: every verdict, and every value that is computed on the way.
#[test]
fn the_library_agrees_with_the_files() {
    let files = read_all();
    let programme = programme(&files);
    let (mut accepted, mut refused, mut computed) = (0, 0, 0);
    for (name, file) in &files {
        let cases = file["cases"].as_array().unwrap();
        let inputs: BTreeMap<&str, Json> =
            cases.iter().map(|case| (case["name"].as_str().unwrap(), json(&case["inputs"]))).collect();
        assert_eq!(inputs.len(), cases.len(), "{name}: names are unique");
        for case in cases {
            let label = format!("{name}: {}", case["name"]);
            let resolved = resolve(&inputs[case["name"].as_str().unwrap()], |base| inputs.get(base));
            let found = sorted(&evaluate(&programme, case["check"].as_str().unwrap(), &resolved));
            let expected = case["expected"].as_object().unwrap();
            for (key, value) in expected.iter().filter(|(key, _)| !["rule", "note"].contains(&key.as_str())) {
                assert_eq!(&found[key], value, "{label}: {key}");
            }
            match expected.get("verdict").and_then(Value::as_str) {
                Some("accept") => accepted += 1,
                Some("refuse at decode" | "refuse at verification") => {
                    assert!(expected["rule"].as_str().is_some_and(|rule| !rule.is_empty()), "{label}: a rule is named");
                    refused += 1;
                }
                Some(other) => panic!("{label}: verdict {other}"),
                None => computed += 1,
            }
        }
    }
    assert!(
        accepted > 100 && refused > 1500 && computed > 50,
        "{accepted} accepted, {refused} refused, {computed} computed"
    );
}

/// The README describes every check with all its inputs.
#[test]
fn every_check_is_described() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    for (name, file) in read_all() {
        for case in file["cases"].as_array().unwrap() {
            let check = format!("`{}`", case["check"].as_str().unwrap());
            let row = rows.iter().find(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(&check)));
            let row = row.unwrap_or_else(|| panic!("{name}: the README does not describe {check}"));
            if case["inputs"].get("base").is_none() && check != "`unblind`" {
                for input in case["inputs"].as_object().unwrap().keys() {
                    assert!(row.contains(&format!("`{input}`")), "{check}: the README does not name `{input}`");
                }
            }
        }
    }
}

/// The readers notice: a changed expectation, or changed inputs, fail.
#[test]
fn a_changed_file_would_be_noticed() {
    let files = read_all();
    let programme = programme(&files);
    let case = &files["voucher"]["cases"][0];
    let inputs = json(&case["inputs"]);
    let right = sorted(&evaluate(&programme, "voucher", &inputs));
    assert_eq!(right["verdict"], "accept");
    let mut bytes = inputs.get("voucher").bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let wrong = sorted(&evaluate(&programme, "voucher", &inputs.with("voucher", Json::hex(bytes))));
    assert_ne!(wrong["verdict"], "accept");
}
