//! `spec/wire.md` against the code: every kind, every field of every type, every example.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use annona_protocol::{registry::kind, slip::RefusalCode};
use annona_tests::{
    fields::{Node, tree},
    kinds::{self, KINDS},
    life::World,
    page,
};

fn read(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec").join(name)).unwrap()
}

fn nodes(world: &World) -> Vec<(String, Vec<u8>, Node)> {
    let samples = kinds::samples(world).into_iter();
    samples
        .map(|(kind, _, bytes)| (kind.to_owned(), bytes.clone(), kinds::decode(kind, &bytes).unwrap().unwrap()))
        .collect()
}

#[test]
fn every_kind_has_a_type_a_section_and_its_limit() {
    let types: Vec<(&str, u8)> = KINDS.iter().map(|kind| (kind.0, kind.1)).collect();
    assert_eq!(types, kind::ALL, "tests/src/kinds.rs knows every kind");
    let text = read("wire.md");
    for (name, code, _, limit) in KINDS {
        let row = text.lines().find(|line| line.starts_with(&format!("| {code:#04x} | `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        assert!(row.ends_with(&format!("| {limit} |")), "{name} is at most {limit} bytes: {row}");
        assert!(text.contains(&format!("### {code:#04x} `{name}`: ")), "no section for {name}");
    }
    assert_eq!(text.matches("\n### 0x").count(), KINDS.len());
}

#[test]
fn examples_are_the_samples_and_decode() {
    let text = read("wire.md");
    let examples = page::examples(&text);
    for (name, code, _, _) in KINDS {
        assert!(examples.iter().any(|example| example.0 == *name), "no example of {name} ({code:#04x})");
    }
    for (kind, case, bytes) in &examples {
        // Decodes, and encodes to the same bytes by the library and by the second encoder.
        let decoded = kinds::decode(kind, bytes).unwrap_or_else(|| panic!("unknown kind {kind}"));
        assert!(decoded.is_ok(), "{kind}: {case}");
    }
    assert!(page::fill(&text, &World::new()) == text, "the examples differ: run `make vectors`");
}

/// What a type's cell may say of a value.
fn describes(cell: &str, node: &Node) -> bool {
    let words = [cell, cell.strip_prefix("list of ").unwrap_or_default()];
    match node {
        Node::Leaf { form, .. } => match *form {
            "u8" => cell == "u8",
            "bool" => cell == "flag",
            "string" => cell == "text",
            other => other.split_whitespace().last().is_some_and(|form| cell == form),
        },
        Node::Array(bytes) => {
            let words = ["point", "encoded point", "scalar", "Ed25519 key"];
            (bytes.len() == 32 && words.contains(&cell)) || cell == format!("{} bytes", bytes.len())
        }
        Node::Newtype(_, inner) => describes(cell, inner),
        Node::Struct(name, _) | Node::Variant(name, ..) => cell == format!("`{name}`"),
        Node::Tuple(items) => cell
            .strip_prefix("pair of ")
            .and_then(|rest| rest.split_once(", "))
            .is_some_and(|(left, right)| describes(left, &items[0]) && describes(right, &items[1])),
        Node::List(items) => !words[1].is_empty() && items.iter().all(|item| describes(words[1], item)),
        Node::Optional(inner) => cell
            .strip_prefix("option of ")
            .is_some_and(|rest| inner.as_ref().is_none_or(|inner| describes(rest, inner))),
    }
}

/// Visits every field: `Type.field` and its value.
fn visit(node: &Node, found: &mut impl FnMut(&'static str, usize, &'static str, &Node)) {
    match node {
        Node::Leaf { .. } | Node::Array(_) | Node::Optional(None) | Node::Variant(_, _, _, None) => {}
        Node::Newtype(_, inner) | Node::Optional(Some(inner)) | Node::Variant(_, _, _, Some(inner)) => {
            visit(inner, found);
        }
        Node::Struct(name, fields) => {
            for (at, (field, node)) in fields.iter().enumerate() {
                found(name, at, field, node);
                visit(node, found);
            }
        }
        Node::Tuple(items) | Node::List(items) => items.iter().for_each(|item| visit(item, found)),
    }
}

#[test]
fn tables_have_every_field_in_order_with_its_type_and_length() {
    let tables = page::tables(&read("wire.md"));
    let mut met: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (_, _, node) in nodes(&World::new()) {
        visit(&node, &mut |name, at, field, value| {
            met.entry(name).or_default().insert(at);
            let table = tables.get(name).unwrap_or_else(|| panic!("no table for {name}"));
            let [known, form, bytes] = table.get(at).unwrap_or_else(|| panic!("{name}.{field} has no row"));
            assert_eq!(known, field, "{name}: field {at}");
            // Generic fields hold what the message says.
            if form != "as the field says" && form != "as the message says" {
                assert!(describes(form, value), "{name}.{field} is not {form}: {value:?}");
            }
            let length = value.bytes().len();
            let range = bytes.split_once('-').unwrap_or((bytes, bytes));
            if let (Ok(from), Ok(to)) = (range.0.parse::<usize>(), range.1.parse::<usize>()) {
                assert!((from..=to).contains(&length), "{name}.{field} has {length} bytes, not {bytes}");
            }
        });
    }
    // And no row too many.
    for (name, rows) in &met {
        assert_eq!(tables[*name].len(), rows.len(), "{name} has other rows than fields");
    }
    let known =
        |name: &str| met.contains_key(name) || ["Carry", "TicketKind", "RefusalCode", "Outcome"].contains(&name);
    for name in tables.keys() {
        assert!(known(name), "{name} is no type of any message");
    }
}

/// The page says where points and scalars are checked: a `point` and a `scalar` at decoding, an `encoded point` later.
#[test]
fn points_and_scalars_are_checked_where_the_page_says() {
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let tables = page::tables(&read("wire.md"));
    let order = hex::decode(ORDER).unwrap();
    let mut checked = BTreeMap::new();
    for (kind, bytes, node) in nodes(&World::new()) {
        let mut words = Vec::new();
        label(&node, "", &mut { 2 }, &mut words);
        for (label, offset) in words {
            let (name, field) = label.split_once('.').unwrap();
            let row = tables[name].iter().find(|row| row[0] == field).unwrap();
            let decodes = |word: &[u8]| {
                let mut bytes = bytes.clone();
                bytes[offset..offset + 32].copy_from_slice(word);
                kinds::decode(&kind, &bytes).unwrap().is_ok()
            };
            let (identity, order) = (decodes(&[0; 32]), decodes(&order));
            let expected = match row[1].strip_prefix("list of ").unwrap_or(&row[1]) {
                // l is no scalar, and no point either: its encoding is even and small, but of no element.
                "scalar" => (true, false),
                "point" => (false, false),
                _ => (true, true),
            };
            assert_eq!((identity, order), expected, "{kind}: {label} is {}", row[1]);
            *checked.entry(row[1].clone()).or_insert(0) += 1;
        }
    }
    for form in ["scalar", "point", "encoded point", "32 bytes", "list of scalar", "list of point"] {
        assert!(checked.contains_key(form), "{form} was met: {checked:?}");
    }
}

/// Every 32-byte value with the field that it belongs to.
fn label(node: &Node, field: &str, offset: &mut usize, words: &mut Vec<(String, usize)>) {
    match node {
        Node::Array(bytes) if bytes.len() == 32 && !field.is_empty() => {
            words.push((field.to_owned(), *offset));
            *offset += 32;
        }
        Node::Newtype(_, inner) => label(inner, field, offset, words),
        Node::Struct(name, fields) => {
            fields.iter().for_each(|(field, node)| label(node, &format!("{name}.{field}"), offset, words));
        }
        Node::Tuple(items) => {
            // What a pair holds is said by its own words: only whole fields are checked here.
            items.iter().for_each(|item| label(item, "", offset, words));
        }
        Node::List(items) => {
            *offset += node.bytes().len() - items.iter().map(|item| item.bytes().len()).sum::<usize>();
            items.iter().for_each(|item| label(item, field, offset, words));
        }
        Node::Optional(Some(inner)) | Node::Variant(_, _, _, Some(inner)) => {
            *offset += 1;
            label(inner, field, offset, words);
        }
        other => *offset += other.bytes().len(),
    }
}

#[test]
fn variants_are_listed_with_their_index() {
    let text = read("wire.md");
    let row = |index: u32, name: &str| text.contains(&format!("| {index} | `{name}` |"));
    for code in RefusalCode::ALL {
        let Node::Variant(_, index, name, None) = tree(code) else { panic!("a plain variant") };
        assert!(text.contains(&format!("| {index} | `{name}` | `{}` |", code.code())), "{name}");
    }
    for (kind, _, node) in nodes(&World::new()) {
        if let Node::Variant(_, index, name, Some(_)) = &node {
            let section = text.split(&format!("`{kind}`: leaf")).nth(1).unwrap();
            assert!(section.contains(&format!("| {index} | `{name}` |")), "{kind}: {name}");
        }
        visit(&node, &mut |_, _, _, value| {
            if let Node::Variant(_, index, name, None) = value {
                assert!(row(*index, name), "{name}");
            }
        });
    }
}
