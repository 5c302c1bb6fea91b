//! What the program says and how it ends, a file a behaviour in `tests/cli/`; a case with something on standard input is a `.toml`.
//! `TRYCMD=overwrite` writes them anew: read the difference.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use aid::Aid;
use annona_vault::{Passphrase, Vault};

const PROGRAM: &str = env!("CARGO_BIN_EXE_annona-wallet");
const PIN: &str = "246810";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("ANNONA_PASSPHRASE", PIN).env("LC_ALL", "C").env("COLUMNS", "100");
    command
}

/// Wallets for the cases, each its own as they run at once: `tests/cli/` names them.
fn wallets(folder: &Path) {
    let make = |name: &str, pin: &str| {
        let path = folder.join(name);
        let made = program(&["new", "--work-factor", "2"]).arg(&path).env("ANNONA_PASSPHRASE", pin).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::read(path).unwrap()
    };
    for name in ["other", "other-program", "other-spoken"] {
        make(name, "135790");
    }
    let bytes = make("empty", PIN);
    let put = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    for name in ["readable", "busy", "repinned", "saved", "spoken", "status", "program", "named", "unused"] {
        put(name, &bytes);
    }
    fs::set_permissions(folder.join("readable"), fs::Permissions::from_mode(0o640)).unwrap();
    let enrolled = enrolled();
    for name in ["places", "cards"] {
        put(name, &enrolled);
    }
    // Cases with an input have a wallet each, of their own name.
    for case in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli")).unwrap() {
        let case = case.unwrap().path();
        let name = case.file_stem().unwrap().to_str().unwrap();
        if case.extension().is_some_and(|kind| kind == "toml") && !name.starts_with("words-") {
            put(name, if name.starts_with("ticket-") { &bytes } else { &enrolled });
        }
    }
    put("cut", &bytes[..bytes.len() / 2]);
    let mut damaged = bytes.clone();
    let at = damaged.len() - 100;
    damaged[at] ^= 1;
    put("damaged", &damaged);
    put("newer", b"annona-vault 7\nsomething");
    put("letter", b"Dear all, this is no wallet");
    fs::create_dir(folder.join("open")).unwrap();
    fs::write(folder.join("open/wallet"), &bytes).unwrap();
    fs::set_permissions(folder.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
}

/// A wallet with five vouchers for the first site of a programme whose servers are gone.
fn enrolled() -> Vec<u8> {
    let aid = Aid::new(2);
    aid.make("wallet");
    aid.enrol("wallet", 1).json();
    assert_eq!(aid.wallet("wallet", &["draw", "--site", "1"], "", None).json()["drawn"], 5);
    fs::read(aid.path("wallet")).unwrap()
}

#[test]
fn the_program_says_what_the_cases_say() {
    let folder = tempfile::tempdir().unwrap();
    wallets(folder.path());
    let _busy = Vault::open(&folder.path().join("busy"), &Passphrase::new(PIN.into())).unwrap();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    // The cases name wallets as they stand in their folder.
    std::env::set_current_dir(folder.path()).unwrap();
    trycmd::TestCases::new()
        .case(cases.join("*.trycmd"))
        .case(cases.join("*.toml"))
        .register_bin("annona-wallet", PathBuf::from(PROGRAM))
        .env("ANNONA_PASSPHRASE", PIN)
        .env("LC_ALL", "C")
        .env("COLUMNS", "100")
        .run();
}

#[test]
fn the_environment_says_the_language_and_a_short_pin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str, pin: &str, locale: &str| {
        let mut command = program(&["new", "--work-factor", "2"]);
        let output = command.arg(folder.path().join(name)).env("ANNONA_PASSPHRASE", pin).env("LC_ALL", locale).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = new("short", "12345", "uk_UA.UTF-8");
    assert_eq!(code, Some(2));
    assert!(said.contains("6 знаків"), "{said}");
    let (code, said) = new("long", "дванадцять слів", "fr_FR.UTF-8");
    assert!(code == Some(0) && said.contains("Votre portefeuille est"), "{said}");
}

fn help(command: &[&str]) -> String {
    String::from_utf8(program(command).arg("--help").output().unwrap().stdout).unwrap()
}

fn walk(command: &[&str], found: &mut BTreeSet<String>) {
    found.insert(command.join(" "));
    let text = help(command);
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
    assert!(commands.len() > 15, "{commands:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.trycmd");
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    let pinned: BTreeSet<String> = pinned
        .lines()
        .filter_map(|line| line.strip_prefix("$ annona-wallet ")?.strip_suffix("--help"))
        .map(|command| command.trim().to_owned())
        .collect();
    let missing: Vec<_> = commands.symmetric_difference(&pinned).collect();
    assert!(
        missing.is_empty(),
        "{}",
        missing.iter().map(|c| format!("\n$ annona-wallet {c} --help")).collect::<String>()
    );
}

#[test]
fn a_page_of_the_manual_for_every_command_and_completions_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    assert!(program(&["man"]).arg(&pages).output().unwrap().status.success());
    let mut commands = BTreeSet::new();
    walk(&[], &mut commands);
    for command in commands {
        let name = ["annona-wallet", &command].join(" ").trim().replace(' ', "-");
        let page =
            fs::read_to_string(pages.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = program(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("redeem") && script.contains("site-url"), "{shell}");
    }
}

/// `format-1.wallet` was made by the program before crowds were kept, with `--language fr --proxy 127.0.0.1:9050` and this PIN.
#[test]
fn a_file_of_format_1_opens_and_is_saved_in_the_format_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wallet");
    fs::write(&path, include_bytes!("format-1.wallet")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let format = || Vault::open(&path, &Passphrase::new(PIN.into())).unwrap().1[0];
    let show = || {
        let output = program(&["show", "--wallet"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(format(), 1);
    assert!(show().contains("Ce portefeuille est vide"));
    assert_eq!(format(), 1, "a look changes nothing");
    let worded = program(&["--json", "words", "--new", "--wallet"]).arg(&path).output().unwrap();
    assert!(worded.status.success(), "{worded:?}");
    assert_eq!(format(), 2);
    assert!(show().contains("Ce portefeuille est vide"));
}
