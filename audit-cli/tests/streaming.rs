//! `verify` on real folders, with hardly any memory, and with a cache: the findings are those of the audit in memory.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod story;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use annona_audit::{CacheOptions, Options, VerifyError, verify_folder};
use annona_protocol::{
    audit::{
        Note, Published, Report, audit,
        scramble::{Change, sign_again},
        testing::{Block, Story},
    },
    log::leaf::SiteLeaf,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;
use story::{STORY, folder, write};

fn in_memory(published: &Published) -> Report {
    let rng = &mut ChaCha20Rng::seed_from_u64(32);
    audit(STORY.0.fixture.programme.id(), published, rng, &|_| {})
}

fn verified(folder: &Path, options: &Options) -> Result<Report, VerifyError> {
    verify_folder(folder, STORY.0.fixture.programme.id(), options, &|_| {})
}

/// A false voucher among true ones.
fn forged() -> Published {
    let mut draft = STORY.0.draft.clone();
    let Block::Batch(_, events) = &mut draft.sites[1].1[0] else { panic!("a batch") };
    let Some(SiteLeaf::Voucher(leaf)) = events.first_mut() else { panic!("a voucher") };
    leaf.voucher.shown.holder = leaf.voucher.shown.r;
    draft.publish(&STORY.0, &mut ChaCha20Rng::seed_from_u64(33))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One record a run, every record in a file of its own: the report is that of the audit in memory.
    #[test]
    fn without_memory_the_report_is_the_same(
        changes in prop::collection::vec(any::<(u8, u16, u8, u16)>(), 0..3), signed: bool,
    ) {
        let mut published = STORY.1.clone();
        for (log, leaf, how, other) in changes {
            Change { log, leaf, how, other }.apply(&mut published);
        }
        if signed {
            sign_again(&STORY.0, &mut published);
        }
        let folder = folder(&published);
        // Of a log that lost its end, tiles are missing: that is no audit.
        let Ok(loaded) = annona_audit::load(folder.path()) else {
            // Without a genesis the sites' logs are not even read.
            let stops = |report: Report| report.notes.contains(&Note::NothingElseChecked);
            prop_assert!(verified(folder.path(), &Options::default()).map_or(true, stops));
            return Ok(());
        };
        let temp = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.memory = 0;
        options.temp = Some(temp.path().to_owned());
        options.threads = Some(2.try_into().unwrap());
        prop_assert_eq!(verified(folder.path(), &options).unwrap(), in_memory(&loaded));
        prop_assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

/// A folder, and a cache with its key beside it.
struct Cached {
    home: tempfile::TempDir,
}

impl Cached {
    fn new(published: &Published) -> Self {
        let home = tempfile::tempdir().unwrap();
        write(published, &home.path().join("published"));
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn options(&self, key: &str) -> Options {
        let mut options = Options::default();
        options.cache = Some(CacheOptions { folder: self.path("cache"), key: self.path(key) });
        options
    }

    fn run_with(&self, key: &str) -> Report {
        verified(&self.path("published"), &self.options(key)).unwrap()
    }

    fn run(&self) -> Report {
        self.run_with("state/key")
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.path("cache")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

/// Recalled, verified, and how often tampering was noticed.
fn counts(report: &Report) -> (u64, u64, usize) {
    let tampered = report.notes.iter().filter(|note| matches!(note, Note::MemoryTampered { .. })).count();
    let counted = report.notes.iter().find_map(|note| match note {
        Note::Remembered { recalled, verified } => Some((*recalled, *verified, tampered)),
        _ => None,
    });
    counted.unwrap()
}

#[test]
fn the_second_run_reads_everything_from_the_cache() {
    let cached = Cached::new(&STORY.1);
    let (first, second) = (cached.run(), cached.run());
    let (recalled, all, tampered) = counts(&first);
    assert!(recalled == 0 && all > 20 && tampered == 0, "{:?}", first.notes);
    assert_eq!(counts(&second), (all, 0, 0));
    assert_eq!((first.findings, first.totals), (second.findings, second.totals));
    let mode = fs::metadata(cached.path("state/key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Every byte of a record is noticed, the part is verified again, and the record mended.
#[test]
fn every_flipped_byte_of_the_cache_is_noticed() {
    let cached = Cached::new(&STORY.1);
    let (_, all, _) = counts(&cached.run());
    let files = cached.files();
    assert_eq!(files.len(), 3);
    let true_records: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(true_records.iter().all(|records| records.len() == 64));
    for (file, record) in files.iter().zip(&true_records) {
        for at in (0..64).step_by(9) {
            let mut changed = record.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(file, &changed).unwrap();
            let report = cached.run();
            let (recalled, verified, tampered) = counts(&report);
            assert!(tampered == 1 && verified > 0 && recalled + verified == all, "{at}: {:?}", report.notes);
            assert_eq!(report.findings, []);
            assert_eq!(&fs::read(file).unwrap(), record, "written anew");
        }
        // Cut off inside of a record.
        fs::write(file, &record[..63]).unwrap();
        assert_eq!(counts(&cached.run()).2, 1);
    }
    // Another log's record.
    fs::write(&files[0], &true_records[1]).unwrap();
    assert_eq!(counts(&cached.run()).2, 1);
    // Nothing at all is no lie.
    fs::write(&files[0], []).unwrap();
    let (recalled, verified, tampered) = counts(&cached.run());
    assert!(recalled > 0 && verified > 0 && tampered == 0);
    assert_eq!(counts(&cached.run()), (all, 0, 0));
}

#[test]
fn what_another_key_wrote_is_refused() {
    let cached = Cached::new(&STORY.1);
    let (_, all, _) = counts(&cached.run_with("state/another"));
    assert_eq!(counts(&cached.run()), (0, all, 3));
    assert_eq!(counts(&cached.run()), (all, 0, 0));
}

/// What was proven of the true log says nothing of a changed one.
#[test]
fn a_true_cache_hides_no_false_leaf() {
    let cached = Cached::new(&STORY.1);
    drop(cached.run());
    let forged = forged();
    fs::remove_dir_all(cached.path("published")).unwrap();
    write(&forged, &cached.path("published"));
    for _ in 0..2 {
        let report = cached.run();
        assert_eq!(report.findings, in_memory(&forged).findings);
        assert_eq!(report.findings.len(), 1);
        let (recalled, verified, tampered) = counts(&report);
        assert!(recalled > 0 && verified > 0 && tampered == 0);
    }
}

#[test]
fn the_cache_of_another_programme_is_ignored() {
    let cached = Cached::new(&STORY.1);
    let (_, all, _) = counts(&cached.run());
    let mut rng = ChaCha20Rng::seed_from_u64(34);
    let other = Story::new(&mut rng);
    let published = other.draft.publish(&other, &mut rng);
    let folder = folder(&published);
    let run =
        || verify_folder(folder.path(), other.fixture.programme.id(), &cached.options("state/key"), &|_| {}).unwrap();
    let (recalled, others, tampered) = counts(&run());
    assert!(recalled == 0 && others > 20 && tampered == 0);
    assert_eq!(counts(&run()), (others, 0, 0));
    assert_eq!(counts(&cached.run()), (all, 0, 0));
    assert_eq!(cached.files().len(), 6);
}

#[test]
fn a_key_that_is_not_safe_is_refused() {
    let cached = Cached::new(&STORY.1);
    drop(cached.run());
    let said = |key: &str| verified(&cached.path("published"), &cached.options(key)).unwrap_err().to_string();
    assert!(said("cache/key").contains("inside of the cache"));
    fs::write(cached.path("state/key"), "no key").unwrap();
    assert!(said("state/key").contains("64 hexadecimal digits"));
    fs::set_permissions(cached.path("state/key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(said("state/key").contains("others can read"));
}

fn program(folder: &Path, more: &[&str]) -> Output {
    let programme = STORY.0.fixture.programme.id().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    command.arg("verify").arg(folder).args(["--programme", &programme]).args(more).output().unwrap()
}

#[test]
fn the_program_names_a_tampered_cache() {
    let cached = Cached::new(&STORY.1);
    let (cache, key) = (cached.path("cache"), cached.path("state/key"));
    let more =
        ["--threads", "2", "--memory", "1", "--cache", cache.to_str().unwrap(), "--cache-key", key.to_str().unwrap()];
    let run = || program(&cached.path("published"), &more);
    let first = run();
    assert_eq!((first.status.code(), String::from_utf8(first.stderr).unwrap().as_str()), (Some(0), ""));
    let text = String::from_utf8(run().stdout).unwrap();
    assert!(text.contains("verified by an earlier audit, those of 0 now\n"), "{text}");
    fs::write(&cached.files()[0], [1; 64]).unwrap();
    let output = run();
    assert_eq!(output.status.code(), Some(0));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(err.starts_with("annona-audit: TAMPERED CACHE: ") && out.contains("note: TAMPERED CACHE: "), "{err}{out}");
}

#[test]
fn the_key_is_in_the_users_state_folder() {
    let cached = Cached::new(&STORY.1);
    let programme = STORY.0.fixture.programme.id().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    command.arg("verify").arg(cached.path("published")).args(["--programme", &programme, "--cache"]);
    command.arg(cached.path("cache")).env("XDG_STATE_HOME", cached.path("home"));
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    assert!(cached.path("home/annona-audit/cache.key").exists());
}

/// The names of an object's members, below each name those of its first row.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(rows) => rows.first().map_or(Value::Null, shape),
        _ => Value::Null,
    }
}

/// The example of the page has the members that the program writes, all of them.
#[test]
fn json_is_as_documented() {
    let page = include_str!("../../spec/audit.md");
    let (_, example) = page.split_once("```json\n").unwrap();
    let example: Value = serde_json::from_str(example.split("```").next().unwrap()).unwrap();
    let folder = folder(&forged());
    let output = program(folder.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shape(&report), shape(&example));
    let (found, expected) = (&report["findings"][0], &example["findings"][0]);
    for member in ["check", "number", "meaning", "party", "log", "round"] {
        assert_eq!(found[member], expected[member]);
    }
}
