//! `spec/wire.md`: its worked examples, written from the samples, and its tables, read back.

use std::collections::BTreeMap;

use crate::{fields::Row, kinds, life::World};

/// A type's fields as its table gives them: name, type, bytes.
pub type Table = Vec<[String; 3]>;

const MARK: &str = "<!-- example ";

/// The lines of an example: offset, bytes, path, encoding.
pub fn annotate(kind: &str, bytes: &[u8]) -> String {
    let node = kinds::decode(kind, bytes).expect("a known kind").expect("a sample");
    let mut rows = vec![
        Row { offset: 0, path: "version".to_owned(), form: "u8".to_owned(), bytes: vec![bytes[0]] },
        Row { offset: 1, path: "kind".to_owned(), form: kind.to_owned(), bytes: vec![bytes[1]] },
    ];
    rows.extend(node.rows("", 2));
    let mut text = String::new();
    for row in rows {
        for (at, chunk) in row.bytes.chunks(32).enumerate() {
            let (path, form) = if at == 0 { (row.path.as_str(), row.form.as_str()) } else { ("", "") };
            let line = format!("{:>5}  {:<8}  {path}  {form}", row.offset + 32 * at, hex::encode(chunk));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// The page with every example written anew.
///
/// # Panics
/// If the page asks for an example that there is not.
pub fn fill(page: &str, world: &World) -> String {
    let samples = kinds::samples(world);
    let mut out = String::new();
    let mut rest = page;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at);
        let (name, body) = after[MARK.len()..].split_once(" -->\n```text\n").expect("a mark stands before a block");
        let (_, tail) = body.split_once("```\n").expect("a block ends");
        let (kind, case) = name.split_once(": ").expect("kind and case");
        let sample = samples.iter().find(|sample| sample.0 == kind && sample.1 == case);
        let (_, _, bytes) = sample.unwrap_or_else(|| panic!("no sample {name}"));
        out.push_str(&format!("{before}{MARK}{name} -->\n```text\n{}```\n", annotate(kind, bytes)));
        rest = tail;
    }
    out + rest
}

/// The examples on the page: kind, case, bytes as printed.
///
/// # Panics
/// If a line's offset is not where its bytes stand.
pub fn examples(page: &str) -> Vec<(String, String, Vec<u8>)> {
    let parts = page.split(MARK).skip(1);
    parts
        .map(|part| {
            let (name, body) = part.split_once(" -->\n```text\n").expect("a mark stands before a block");
            let (body, _) = body.split_once("```\n").expect("a block ends");
            let (kind, case) = name.split_once(": ").expect("kind and case");
            let mut bytes = Vec::new();
            for line in body.lines() {
                let mut words = line.split_whitespace();
                let offset: usize = words.next().and_then(|word| word.parse().ok()).expect("an offset");
                assert_eq!(offset, bytes.len(), "{name}");
                bytes.extend(words.next().and_then(|word| hex::decode(word).ok()).expect("bytes"));
            }
            (kind.to_owned(), case.to_owned(), bytes)
        })
        .collect()
}

/// The tables behind headings of the fourth level, by the type that the heading names.
pub fn tables(page: &str) -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    for part in page.split("\n#### `").skip(1) {
        let (name, body) = part.split_once('`').expect("a heading names a type");
        let rows = body.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let table = rows.skip(2).map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
            let mut cell = || cells.next().unwrap_or_default();
            let field = cell().trim_matches('`').to_owned();
            [field, cell(), cell()]
        });
        let known = tables.insert(name.to_owned(), table.collect());
        assert!(known.is_none(), "{name} has two tables");
    }
    tables
}
