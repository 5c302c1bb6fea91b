//! The program on real folders: exit status, text, JSON, CSV, and what it says of folders that it cannot use.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod story;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use annona_protocol::{
    audit::{Published, testing::Story},
    log::leaf::SiteLeaf,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;
use story::folder;

static STORY: LazyLock<(Story, Published)> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(21);
    let story = Story::new(&mut rng);
    let published = story.draft.publish(&story, &mut rng);
    (story, published)
});

fn programme() -> String {
    STORY.0.fixture.programme.id().to_string()
}

fn verify(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    command.arg("verify").arg(folder).args(["--programme", &programme()]).args(more).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_true_folder_reads_back_and_verifies() {
    let (_, published) = &*STORY;
    let folder = folder(published);
    assert_eq!(&annona_audit::load(folder.path()).unwrap(), published);

    let totals = folder.path().join("totals.csv");
    let output = verify(folder.path(), &["--totals", totals.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let text = stdout(&output);
    assert!(text.ends_with("verified\n") && !text.contains("NOT"));
    assert!(text.contains("1      north  food           4       0     0          0"), "{text}");
    assert!(text.contains("1      north  cash          50      10     5          0"), "{text}");
    assert!(text.contains("note: 1 enrolments (drawn 2, expires 12) are in no opened cohort"), "{text}");
    assert_eq!(stderr(&output), "", "no progress bar off a terminal");
    let expected = "round,site,line,units\n1,north,food,4\n1,north,infant,1\n1,north,cash,50\n1,river,food,8\n\
                    1,river,cash,40\n2,north,food,9\n2,north,cash,64\n";
    assert_eq!(fs::read_to_string(totals).unwrap(), expected);
}

#[test]
fn json_says_the_same() {
    let folder = folder(&STORY.1);
    let output = verify(folder.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verified"], true);
    assert_eq!(report["programme"], programme());
    assert_eq!(report["findings"].as_array().unwrap().len(), 0);
    let row = &report["totals"][2];
    assert_eq!((&row["site_name"], &row["line_name"], &row["redeemed"]), (&"north".into(), &"cash".into(), &50.into()));
}

/// One byte of an entry, changed on disk: the audit names the log, and writes no totals.
#[test]
fn a_changed_entry_is_a_finding() {
    let folder = folder(&STORY.1);
    let bundle = folder.path().join("logs/site-1/tile/entries/000.p");
    let bundle = fs::read_dir(bundle).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&bundle).unwrap();
    // The last byte of the first entry.
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[1 + length] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let totals = folder.path().join("totals.csv");
    let output = verify(folder.path(), &["--totals", totals.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("log-root [9.1.6] site-1 annona.example/site/north leaf - units 0\n"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("NOT VERIFIED: "));
    assert!(!totals.exists());
    let report: Value = serde_json::from_slice(&verify(folder.path(), &["--json"]).stdout).unwrap();
    assert_eq!(report["verified"], false);
    assert!(report["findings"].as_array().unwrap().iter().any(|finding| finding["check"] == "log-root"));
}

/// A site that signs a log with a forged voucher in it: the line names check, party, log, leaf and units.
#[test]
fn a_forged_voucher_is_one_line() {
    let (story, _) = &*STORY;
    let mut draft = story.draft.clone();
    let annona_protocol::audit::testing::Block::Batch(_, events) = &mut draft.sites[1].1[0] else { panic!("a batch") };
    let Some(SiteLeaf::Voucher(leaf)) = events.first_mut() else { panic!("a voucher") };
    leaf.voucher.shown.holder = leaf.voucher.shown.r;
    let published = draft.publish(story, &mut ChaCha20Rng::seed_from_u64(22));
    let output = verify(folder(&published).path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let line = text.lines().find(|line| line.starts_with("voucher-invalid")).unwrap();
    assert!(line.starts_with("voucher-invalid [9.5.4] site-2 annona.example/site/river leaf "), "{line}");
    assert!(text.ends_with("NOT VERIFIED: 1 finding\n"));
}

#[test]
fn another_programme_is_not_verified() {
    let folder = folder(&STORY.1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    let output = command.arg("verify").arg(folder.path()).args(["--programme", &"00".repeat(32)]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("genesis-invalid [9.2.1] issuer"));
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let could_not_run = |edit: &dyn Fn(&Path), expected: [&str; 2]| {
        let folder = folder(&STORY.1);
        edit(folder.path());
        let output = verify(folder.path(), &[]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
        let text = stderr(&output);
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    };
    could_not_run(&|path| fs::remove_dir_all(path.join("logs")).unwrap(), ["cannot read", "published folder"]);
    could_not_run(&|path| fs::remove_file(path.join("keys.bin")).unwrap(), ["keys.bin", "fetch the file again"]);
    could_not_run(
        &|path| fs::remove_file(path.join("logs/issuer/checkpoint")).unwrap(),
        ["checkpoint", "fetch the file again"],
    );
    could_not_run(
        &|path| fs::write(path.join("logs/issuer/checkpoint"), "no note").unwrap(),
        ["checkpoint", "Fetch the checkpoint again"],
    );
    could_not_run(
        &|path| fs::remove_dir_all(path.join("logs/issuer/tile/entries")).unwrap(),
        ["is missing", "tiles again"],
    );
    could_not_run(&|path| fs::create_dir(path.join("logs/extra")).unwrap(), ["extra", "rename it"]);
    could_not_run(&|path| fs::write(path.join("keys.bin"), [0, 9, 1]).unwrap(), ["key 0 is cut off", "again"]);
    could_not_run(&|path| fs::write(path.join("packs/0.bin"), [1]).unwrap(), ["packs/0.bin", "remove it"]);
    // A hash tile that does not belong to entries that are right.
    let tile = |path: &Path| {
        let tile = fs::read_dir(path.join("logs/issuer/tile/0/000.p")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&tile).unwrap();
        bytes[0] ^= 1;
        fs::write(tile, bytes).unwrap();
    };
    could_not_run(&tile, ["tile/0/", "Fetch the log's tiles again"]);
}

#[test]
fn a_bad_programme_id_says_what_one_is() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    let output = command.args(["verify", "nowhere", "--programme", "12"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("64 hexadecimal digits"));
}
