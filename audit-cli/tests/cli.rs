//! What the program says and how it ends, a file a behaviour in `tests/cli/`. `TRYCMD=overwrite` writes them anew: read the
//! difference.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_annona-audit");

#[test]
fn the_program_says_what_the_cases_say() {
    let folder = tempfile::tempdir().unwrap();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/*.trycmd");
    // Nothing that a case names is there.
    std::env::set_current_dir(folder.path()).unwrap();
    trycmd::TestCases::new()
        .case(cases)
        .register_bin("annona-audit", PathBuf::from(PROGRAM))
        .env("LC_ALL", "C")
        .env("COLUMNS", "100")
        .run();
}

fn walk(command: &[&str], found: &mut BTreeSet<String>) {
    found.insert(command.join(" "));
    let output = Command::new(PROGRAM).args(command).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let Some((_, commands)) = text.split_once("\nCommands:\n") else { return };
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else { continue };
        let name = name.split(' ').next().unwrap();
        if name != "help" {
            walk(&[command, &[name]].concat(), found);
        }
    }
}

/// A new command without a line in `help.trycmd` fails here.
#[test]
fn the_help_of_every_command_is_a_case() {
    let mut commands = BTreeSet::new();
    walk(&[], &mut commands);
    assert!(commands.len() > 10, "{commands:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.trycmd");
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    let pinned: BTreeSet<String> = pinned
        .lines()
        .filter_map(|line| line.strip_prefix("$ annona-audit ")?.strip_suffix("--help"))
        .map(|command| command.trim().to_owned())
        .collect();
    let missing: Vec<_> = commands.symmetric_difference(&pinned).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
