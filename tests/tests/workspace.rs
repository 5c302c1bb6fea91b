//! Rules for the workspace as a whole: dependencies, lints, what may link what, and that the README tells the truth.
//!
//! `cargo metadata` runs offline: `cargo fetch --locked` must have run on the machine before, as `make test` does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Crates on which cryptography or wire bytes depend. Who uses one names its exact version.
const PINNED: [&str; 15] = [
    "blake3",
    "bulletproofs",
    "curve25519-dalek",
    "ed25519-dalek",
    "getrandom",
    "merlin",
    "postcard",
    "rand",
    "rand_core",
    "rayon",
    "sha2",
    "sha3",
    "subtle",
    "x25519-dalek",
    "zeroize",
];

/// What runs where aid is handed out or checked. `hazmat` opens deterministic and weakened entry points.
const SHIPPED: [&str; 7] = [
    "annona-protocol",
    "annona-vault",
    "annona-paper",
    "annona-bearer",
    "annona-node",
    "annona-wallet",
    "annona-audit",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

struct Metadata(Value);

impl Metadata {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--format-version", "1", "--all-features"])
            .current_dir(root())
            .output()
            .expect("cargo runs this test");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "run `cargo fetch --locked` once, then try again: {errors}");
        Self(serde_json::from_slice(&output.stdout).expect("cargo prints JSON"))
    }

    fn packages(&self) -> &[Value] {
        list(&self.0, "packages")
    }

    /// The workspace's own.
    fn members(&self) -> impl Iterator<Item = &Value> {
        self.packages().iter().filter(|package| package["source"].is_null())
    }

    /// Names of all packages that a member is linked with, itself included.
    fn linked(&self, member: &str) -> BTreeSet<&str> {
        let names: BTreeMap<_, _> = self.packages().iter().map(|p| (text(p, "id"), text(p, "name"))).collect();
        let nodes: BTreeMap<_, _> = list(&self.0["resolve"], "nodes").iter().map(|n| (text(n, "id"), n)).collect();
        let mut open: Vec<_> = names.iter().filter(|(_, name)| **name == member).map(|(id, _)| *id).collect();
        assert_eq!(open.len(), 1, "{member}");
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                let normal = |d: &&Value| list(d, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
                open.extend(list(nodes[id], "deps").iter().filter(normal).map(|dependency| text(dependency, "pkg")));
            }
        }
        seen.into_iter().map(|id| names[id]).collect()
    }
}

/// Whether the licences in an SPDX expression leave a choice that is on the list. `/` is the old way to write `OR`.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = any_of(&words, &mut at, allowed);
    result == Some(true) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut result = all_of(words, at, allowed)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= all_of(words, at, allowed)?;
    }
    Some(result)
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut result = one(words, at, allowed)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= one(words, at, allowed)?;
    }
    Some(result)
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    match word {
        "(" => {
            let result = any_of(words, at, allowed)?;
            let closed = words.get(*at) == Some(&")");
            *at += 1;
            closed.then_some(result)
        }
        "OR" | "AND" | "WITH" | ")" => None,
        licence if words.get(*at) == Some(&"WITH") => {
            let exception = words.get(*at + 1)?;
            *at += 2;
            Some(allowed.contains(&format!("{licence} WITH {exception}")))
        }
        licence => Some(allowed.contains(licence)),
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for expression in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "MIT OR GPL-3.0",
        "(MIT OR GPL-3.0) AND Apache-2.0",
        "GPL-3.0 AND MIT OR Apache-2.0",
        "Apache-2.0 WITH LLVM-exception AND MIT",
        "((MIT))",
    ] {
        assert!(permitted(expression, &allowed), "{expression}");
    }
    for expression in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Apache-2.0) AND GPL-3.0",
        "GPL-3.0 AND (MIT OR Apache-2.0)",
        "MIT WITH LLVM-exception",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT Apache-2.0",
        "MIT WITH",
    ] {
        assert!(!permitted(expression, &allowed), "{expression}");
    }
}

#[test]
fn every_dependency_has_a_permitted_licence() {
    let deny: toml::Table = read("deny.toml").parse().expect("deny.toml is TOML");
    let allowed: BTreeSet<String> = deny["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap().to_owned())
        .collect();
    let metadata = Metadata::read();
    assert!(metadata.packages().len() > 50, "the graph is there");
    for package in metadata.packages() {
        let licence = text(package, "license");
        assert!(permitted(licence, &allowed), "{} {}: licence {licence:?}", package["name"], package["version"]);
    }
}

#[test]
fn every_dependency_comes_from_the_default_registry() {
    let metadata = Metadata::read();
    let root = root().canonicalize().unwrap();
    for package in metadata.packages() {
        match package["source"].as_str() {
            Some(source) => {
                assert!(
                    source.starts_with("registry+") && source.ends_with("/crates.io-index"),
                    "{}: {source}",
                    package["name"]
                );
            }
            None => assert!(Path::new(text(package, "manifest_path")).starts_with(&root), "{}", package["name"]),
        }
    }
    // The lock file holds a checksum of each.
    let lock: toml::Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    for package in lock["package"].as_array().unwrap() {
        assert_eq!(package.get("source").is_some(), package.get("checksum").is_some(), "{}", package["name"]);
    }
}

#[test]
fn the_crypto_core_is_pinned() {
    let metadata = Metadata::read();
    let mut checked = BTreeSet::new();
    for member in metadata.members() {
        for dependency in list(member, "dependencies") {
            let (name, requirement) = (text(dependency, "name"), text(dependency, "req"));
            if PINNED.contains(&name) {
                checked.insert(name);
                let exact = requirement.strip_prefix('=').is_some_and(|version| version.split('.').count() == 3);
                assert!(exact, "{}: {name} = \"{requirement}\" is not an exact version", member["name"]);
            }
        }
    }
    assert!(checked.contains("curve25519-dalek") && checked.contains("blake3") && checked.contains("bulletproofs"));
}

#[test]
fn every_member_has_the_workspace_lints_and_is_not_published() {
    let workspace: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in Metadata::read().members() {
        let manifest: toml::Table = fs::read_to_string(text(member, "manifest_path")).unwrap().parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{}", member["name"]);
        assert_eq!(member["publish"].as_array().map(Vec::len), Some(0), "{}", member["name"]);
    }
}

/// An auditor does not have to trust the code that it audits.
#[test]
fn the_audit_does_not_link_the_node_or_the_wallet() {
    let metadata = Metadata::read();
    let linked = metadata.linked("annona-audit");
    assert!(linked.contains("annona-protocol"));
    assert!(!linked.contains("annona-node") && !linked.contains("annona-wallet"));
    assert!(!metadata.linked("annona-wallet").contains("annona-node"));
    let own = metadata.linked("annona-protocol").into_iter().filter(|name| name.starts_with("annona-")).count();
    assert_eq!(own, 1, "the protocol depends on no other crate of the workspace");
}

#[test]
fn nothing_shipped_enables_hazmat() {
    for member in Metadata::read().members().filter(|member| SHIPPED.contains(&text(member, "name"))) {
        for dependency in list(member, "dependencies").iter().filter(|dependency| dependency["kind"].is_null()) {
            assert!(!list(dependency, "features").contains(&"hazmat".into()), "{}", member["name"]);
        }
        for feature in list(&member["features"], "default") {
            assert!(!feature.as_str().unwrap().contains("hazmat"), "{}", member["name"]);
        }
    }
}

/// The README's commands exist and its table names every crate, with its folder.
#[test]
fn the_readme_matches_the_workspace() {
    let makefile = read("Makefile");
    let mut commands = 0;
    for page in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "caseload/README.md"] {
        // In backticks, or a line of a code block.
        for after in read(page).replace("\nmake ", "`make ").split("`make ").skip(1) {
            let target =
                after.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).next().unwrap();
            let known =
                makefile.lines().any(|line| line.strip_prefix(target).is_some_and(|rest| rest.starts_with(':')));
            assert!(known, "{page}: `make {target}` is no target of the Makefile");
            commands += 1;
        }
    }
    assert!(commands >= 6);

    let readme = read("README.md");
    let root = root().canonicalize().unwrap();
    for member in Metadata::read().members() {
        let folder = Path::new(text(member, "manifest_path")).parent().unwrap().strip_prefix(&root).unwrap().to_owned();
        let row = format!("| [`{}/`]({}) | `{}` |", folder.display(), folder.display(), text(member, "name"));
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}

/// The rust-version of the workspace is the README's.
#[test]
fn the_readme_names_the_rust_version() {
    let workspace: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let version = workspace["workspace"]["package"]["rust-version"].as_str().unwrap().to_owned();
    assert!(read("README.md").contains(&format!("Rust {version}")));
}
