//! What the program says and how it ends, a file a behaviour in `tests/cli/`. `TRYCMD=overwrite` writes them anew: read the
//! difference.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use annona_node::{
    keys::{Passphrase, write_secret},
    publisher::Announcer,
    service::site::SiteService,
    store::{Role, Store},
};
use annona_protocol::{ids::Round, wire::Message as _};
use harness::{PASSPHRASE, Plan, QUICK, copy, passphrase, prepare, site_id};

fn poke(home: &Path, sql: &str) {
    rusqlite::Connection::open(home.join("annona.db")).unwrap().execute_batch(sql).unwrap();
}

/// Homes for the cases, each its own: `tests/cli/` names them.
fn homes(folder: &Path) {
    let prepared = prepare(Plan { tickets: 1, rounds: 1, advance: 0 });
    let witness = prepared.start_witness();
    let service = std::sync::Arc::new(prepared.issuer.open(&passphrase(), None).unwrap());
    let config = annona_node::server::config::Publish { witnesses: witness.setting(), ..Default::default() };
    let clients = annona_node::runner::witnesses(&*service, &config.witnesses).unwrap();
    annona_node::publisher::Publisher::new(std::sync::Arc::clone(&service), prepared.issuer.published())
        .publish(&clients)
        .unwrap();
    let announcement = Announcer::new(std::sync::Arc::clone(&service)).announcement().unwrap().to_vec();
    let packs = service.freeze(Round(1)).unwrap();
    drop(service);
    for (at, pack) in packs.iter().enumerate() {
        fs::write(folder.join(format!("site-{}.pack", at + 1)), pack.encode()).unwrap();
    }
    let home = &prepared.sites[0];
    SiteService::create(home.path(), prepared.id, &announcement, site_id(0), &prepared.site_keys[0]).unwrap();
    for name in ["ready", "passphrase", "foreign", "newer", "busy", "readable", "packs", "other-party"] {
        copy(home.path(), &folder.join(name));
        fs::set_permissions(folder.join(name).join("keys/site.age"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let key = folder.join("passphrase/keys/site.age");
    fs::remove_file(&key).unwrap();
    let other = Passphrase::new("another passphrase altogether".into());
    write_secret(&key, prepared.site_keys[0].as_bytes(), &other, QUICK).unwrap();
    fs::write(folder.join("foreign/annona.db"), "a letter, and no database").unwrap();
    poke(&folder.join("newer"), "PRAGMA user_version = 99");
    fs::set_permissions(folder.join("readable/keys/site.age"), fs::Permissions::from_mode(0o640)).unwrap();
    copy(prepared.issuer.path(), &folder.join("issuer"));

    fs::write(folder.join("bad.toml"), annona_node::authoring::SAMPLE.replace("advance = 0", "advance = many"))
        .unwrap();
    fs::write(folder.join("site.toml"), "[listen]\naddress = \"127.0.0.1:0\"\ntsl = true\n").unwrap();
    fs::write(folder.join("cases.csv"), "case,people\nHH-1,4\n").unwrap();
    fs::write(folder.join("slips.csv"), "case_id,site,ticket_code,qr\n").unwrap();
    fs::write(folder.join("slips.pdf"), "%PDF-1.7\n").unwrap();
}

/// A process that a test starts holds, until it runs its program, the lock of a store that another test has open.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_program_says_what_the_cases_say() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    homes(folder.path());
    let _busy = Store::open(&folder.path().join("busy"), Role::Site).unwrap();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/*.trycmd");
    // The cases name homes as they stand in their folder.
    std::env::set_current_dir(folder.path()).unwrap();
    trycmd::TestCases::new()
        .case(cases)
        .register_bin("annona-node", PathBuf::from(env!("CARGO_BIN_EXE_annona-node")))
        .env("ANNONA_PASSPHRASE", PASSPHRASE)
        .env("COLUMNS", "100")
        .run();
}

fn help(command: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_annona-node"));
    String::from_utf8(program.args(command).arg("--help").output().unwrap().stdout).unwrap()
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
    let _alone = alone();
    let mut commands = BTreeSet::new();
    walk(&[], &mut commands);
    assert!(commands.len() > 50, "{commands:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.trycmd");
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    let pinned: BTreeSet<String> = pinned
        .lines()
        .filter_map(|line| line.strip_prefix("$ annona-node ")?.strip_suffix("--help"))
        .map(|command| command.trim().to_owned())
        .collect();
    let missing: Vec<_> = commands.symmetric_difference(&pinned).collect();
    assert!(
        missing.is_empty(),
        "{}",
        missing.iter().map(|c| format!("\n$ annona-node {c} --help")).collect::<String>()
    );
}
