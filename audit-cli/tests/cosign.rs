//! `witness cosign` by the real program: a folder is verified, cosigned and carried back, in one history with the server.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod published;

use std::{fs, path::PathBuf, process::Output, sync::LazyLock};

use annona_audit::witness::{Options, Refusal, Witness, WitnessKey};
use annona_protocol::{
    audit::{
        Published, PublishedLog,
        testing::{Block, Draft, Story},
    },
    log::{
        Checkpoint, KeyType, VerifierKey,
        leaf::IssuerLeaf,
        merkle::{consistency_proof, leaf_hash, root},
        note::{sign_checkpoint, verify_checkpoint},
    },
    wire::Message as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::SigningKey;
use published::{audit, publish, said};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

const NAME: &str = "witness.example";

static STORY: LazyLock<Story> = LazyLock::new(|| Story::new(&mut ChaCha20Rng::seed_from_u64(71)));

/// The story as edited, with checkpoints that no witness has seen.
fn uncosigned(edit: impl FnOnce(&mut Draft)) -> Published {
    let mut draft = STORY.draft.clone();
    edit(&mut draft);
    let mut published = draft.publish(&STORY, &mut ChaCha20Rng::seed_from_u64(72));
    let fixture = &STORY.fixture;
    sign(&mut published.issuer, &fixture.issuer_log);
    for ((_, log), key) in published.sites.iter_mut().zip(&fixture.site_logs) {
        sign(log, key);
    }
    published
}

fn sign(log: &mut PublishedLog, key: &SigningKey) {
    let leaves: Vec<_> = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let checkpoint = Checkpoint::new(&log.name, leaves.len() as u64, root(&leaves)).unwrap();
    log.checkpoint = sign_checkpoint(key, &log.name, &checkpoint).unwrap().to_string().into_bytes();
}

fn first_round(draft: &mut Draft) {
    draft.sites.iter_mut().for_each(|(_, blocks)| blocks.truncate(2));
}

/// A log and its key, by the name of its folder.
fn vkey(published: &Published, folder: &str) -> VerifierKey {
    let fixture = &STORY.fixture;
    let (log, key) = match folder {
        "issuer" => (&published.issuer, &fixture.issuer_log),
        "site-1" => (&published.sites[0].1, &fixture.site_logs[0]),
        _ => (&published.sites[1].1, &fixture.site_logs[1]),
    };
    VerifierKey::new(&log.name, KeyType::Log, key.verifying_key()).unwrap()
}

struct World {
    home: tempfile::TempDir,
}

impl World {
    /// A witness of the manifest, and a mirror of what is published.
    fn new(published: &Published) -> Self {
        let world = Self { home: tempfile::tempdir().unwrap() };
        key().write(&world.path("key")).unwrap();
        world.mirror(published);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn mirror(&self, published: &Published) {
        publish(&self.path("published"), published);
        drop(fs::remove_dir_all(self.path("mirror")));
        let programme = STORY.fixture.programme.id().to_string();
        let from = ["--from", &self.text("published"), "--programme", &programme];
        let output = audit(&[&["mirror", &self.text("mirror"), "--uncosigned"][..], &from].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    fn run(&self, more: &[&str]) -> Output {
        let programme = STORY.fixture.programme.id().to_string();
        let (mirror, key, state, carried) =
            (self.text("mirror"), self.text("key"), self.text("state"), self.text("carried"));
        let arguments = [
            "witness",
            "cosign",
            &mirror,
            "--programme",
            &programme,
            "--key",
            &key,
            "--name",
            NAME,
            "--state",
            &state,
            "-o",
            &carried,
        ];
        audit(&[&arguments[..], more].concat())
    }

    /// What is said of each log: its folder, and why it is not cosigned.
    fn cosign(&self) -> (Option<i32>, Vec<(String, Option<String>)>) {
        let output = self.run(&["--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let logs = json["logs"].as_array().unwrap().iter().map(|log| (text(&log["log"]).unwrap(), text(&log["why"])));
        (output.status.code(), logs.collect())
    }

    fn open(&self, published: &Published) -> Witness {
        let logs = ["issuer", "site-1", "site-2"].map(|folder| vkey(published, folder)).to_vec();
        Witness::open(key(), Options { state: self.path("state"), logs, logs_file: None }).unwrap()
    }
}

fn key() -> WitnessKey {
    WitnessKey::from_seed(NAME, &STORY.fixture.witness.to_bytes()).unwrap()
}

/// A request of a log to the witness' server.
fn request(log: &PublishedLog, old: u64) -> Vec<u8> {
    let leaves: Vec<_> = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let proof = consistency_proof(&leaves, old).unwrap_or_default();
    let proof: String = proof.iter().map(|hash| BASE64.encode(hash.0) + "\n").collect();
    format!("old {old}\n{proof}\n{}", String::from_utf8_lossy(&log.checkpoint)).into_bytes()
}

fn reason<'a>(logs: &'a [(String, Option<String>)], log: &str) -> Option<&'a str> {
    logs.iter().find(|(known, _)| known == log).unwrap().1.as_deref()
}

#[test]
fn what_was_cosigned_is_carried_back_and_then_verifies() {
    let published = uncosigned(first_round);
    let world = World::new(&published);
    let programme = STORY.fixture.programme.id().to_string();
    let verify = || audit(&["verify", &world.text("mirror"), "--programme", &programme]).status.code();
    assert_eq!(verify(), Some(1), "nobody vouches for the logs yet");
    let (status, logs) = world.cosign();
    assert_eq!((status, logs.len()), (Some(0), 3), "{logs:?}");
    for folder in ["issuer", "site-1", "site-2"] {
        let note = fs::read(world.path("carried").join(format!("{folder}.checkpoint"))).unwrap();
        let log = vkey(&published, folder);
        let verified = verify_checkpoint(&note, &log, &[key().verifier_key()], 1).unwrap();
        assert_eq!(verified.cosignatures()[0].time % (24 * 60 * 60), 0, "times are days");
        fs::write(world.path("mirror/logs").join(folder).join("checkpoint"), note).unwrap();
    }
    assert_eq!(verify(), Some(0));
    // Again: the same tree, one line of this witness.
    assert_eq!(world.cosign().0, Some(0));
    let note = fs::read_to_string(world.path("carried/site-1.checkpoint")).unwrap();
    assert_eq!(note.matches(&format!("\u{2014} {NAME} ")).count(), 1, "{note}");
    // It grew.
    world.mirror(&uncosigned(|_| {}));
    let (status, logs) = world.cosign();
    assert_eq!(status, Some(0), "{logs:?}");
    // Text for people.
    let text = said(&world.run(&[]));
    assert_eq!(text.lines().filter(|line| line.ends_with(" leaves, cosigned")).count(), 3, "{text}");
}

#[test]
fn a_log_with_a_finding_is_not_cosigned() {
    let world = World::new(&uncosigned(|draft| {
        let Block::Batch(_, events) = &mut draft.sites[0].1[0] else { panic!("a batch") };
        let twin = events[0].clone();
        events.push(twin);
    }));
    let (status, logs) = world.cosign();
    assert_eq!(status, Some(1));
    assert!(reason(&logs, "site-1").unwrap().starts_with("the audit found: "), "{logs:?}");
    assert_eq!((reason(&logs, "issuer"), reason(&logs, "site-2")), (None, None));
    assert!(!world.path("carried/site-1.checkpoint").exists());
    // Nothing of it is known to the witness: the honest log is cosigned from its beginning.
    world.mirror(&uncosigned(|_| {}));
    assert_eq!(world.cosign().0, Some(0));
}

/// The genesis stands where the audit does not look for it: no log was audited, whatever was not found against it.
#[test]
fn without_a_genesis_nothing_is_cosigned() {
    let world = World::new(&uncosigned(|_| {}));
    let mut published = uncosigned(|_| {});
    let is_other = |entry: &Vec<u8>| !matches!(IssuerLeaf::decode(entry), Ok(IssuerLeaf::Manifest(_)));
    let other = published.issuer.entries.iter().position(is_other).unwrap();
    published.issuer.entries[..=other].rotate_right(1);
    sign(&mut published.issuer, &STORY.fixture.issuer_log);
    publish(&world.path("mirror"), &published);
    let (status, logs) = world.cosign();
    assert_eq!((status, logs.len()), (Some(1), 3), "{logs:?}");
    for folder in ["issuer", "site-1", "site-2"] {
        assert!(reason(&logs, folder).is_some_and(|why| why.starts_with("the audit found")), "{logs:?}");
        assert!(!world.path("carried").join(format!("{folder}.checkpoint")).exists());
    }
}

/// The audit leaves the entries of a log alone that nobody has cosigned; the witness does not.
#[test]
fn entries_that_the_log_did_not_sign_are_not_cosigned() {
    let world = World::new(&uncosigned(|_| {}));
    let bundle = fs::read_dir(world.path("mirror/logs/site-1/tile/entries/000.p")).unwrap().next().unwrap();
    let bundle = bundle.unwrap().path();
    let good = fs::read(&bundle).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&bundle, bad).unwrap();
    let (status, logs) = world.cosign();
    assert_eq!(
        (status, reason(&logs, "site-1")),
        (Some(1), Some("its entries do not lead to the root that it signed"))
    );
    fs::write(&bundle, good).unwrap();
    fs::write(world.path("mirror/logs/site-1/checkpoint"), uncosigned(first_round).sites[0].1.checkpoint.clone())
        .unwrap();
    // An older checkpoint over newer files: no audit, no cosignature.
    let output = world.run(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_log_that_goes_back_or_forks_is_not_cosigned() {
    let world = World::new(&uncosigned(|_| {}));
    assert_eq!(world.cosign().0, Some(0));
    let size = uncosigned(|_| {}).sites[0].1.entries.len();
    world.mirror(&uncosigned(first_round));
    let (status, logs) = world.cosign();
    assert_eq!(status, Some(1));
    assert!(reason(&logs, "site-1").unwrap().starts_with(&format!("{size} leaves were cosigned before")), "{logs:?}");
    assert_eq!(reason(&logs, "issuer"), None);
    // A larger tree that holds by itself, and did not grow from the one before: a batch stands where the statement stood.
    world.mirror(&uncosigned(|draft| {
        let blocks = &mut draft.sites[1].1;
        let Block::Batch(round, _) = blocks[2] else { panic!("a batch") };
        blocks.insert(3, Block::Batch(round, Vec::new()));
    }));
    let (status, logs) = world.cosign();
    assert_eq!((status, reason(&logs, "site-1")), (Some(1), None));
    let why = reason(&logs, "site-2").unwrap();
    assert!(!why.starts_with("the audit found"), "{why}");
}

/// Server and folder are one witness: what either cosigned binds the other, and only one is at work.
#[test]
fn server_and_folder_share_one_history() {
    let (half, whole) = (uncosigned(first_round), uncosigned(|_| {}));
    let world = World::new(&half);
    assert_eq!(world.cosign().0, Some(0));
    let (old, new) = (&half.sites[0].1, &whole.sites[0].1);
    let known = old.entries.len() as u64;
    let witness = world.open(&whole);
    assert!(matches!(witness.add_checkpoint(&request(old, 0)), Err(Refusal::Old { known: at }) if at == known));
    assert!(witness.add_checkpoint(&request(old, known)).is_ok());
    assert!(witness.add_checkpoint(&request(new, known)).is_ok());
    let output = world.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("another witness uses"), "{}", said(&output));
    drop(witness);
    let (status, logs) = world.cosign();
    assert_eq!(status, Some(1));
    assert!(reason(&logs, "site-1").unwrap().contains("this is an older copy"), "{logs:?}");
    assert_eq!(reason(&logs, "site-2"), None);
}

#[test]
fn a_key_that_is_not_the_manifests_says_so() {
    let world = World::new(&uncosigned(|_| {}));
    fs::remove_file(world.path("key")).unwrap();
    WitnessKey::from_seed(NAME, &[5; 32]).unwrap().write(&world.path("key")).unwrap();
    let text = said(&world.run(&[]));
    assert!(text.starts_with(&format!("{NAME} is none of the manifest's witnesses")), "{text}");
    fs::write(world.path("key"), "nothing").unwrap();
    assert_eq!(world.run(&[]).status.code(), Some(2));
}
