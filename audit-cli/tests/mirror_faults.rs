//! What a mirror refuses, each fault by its code; surrendered vouchers; and a mirror that is killed before any system call that writes.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and tells how far it is")]

mod published;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use annona_protocol::{
    audit::{
        Published, keys_to_bytes,
        testing::{Story, checkpoint, checkpoint_by},
    },
    fixture::{next_version, sign_header},
    log::leaf::IssuerLeaf,
    slip::Signed,
    wire::Message as _,
};
use ed25519_dalek::SigningKey;
use published::{answer, audit, publish, said, serve, write, write_log};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

static STORY: LazyLock<(Story, Published)> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(81);
    let story = Story::new(&mut rng);
    let published = story.draft.publish(&story, &mut rng);
    (story, published)
});

fn programme() -> String {
    STORY.0.fixture.programme.id().to_string()
}

struct World {
    home: tempfile::TempDir,
}

impl World {
    /// A folder and a mirror of it.
    fn new() -> Self {
        let world = Self { home: tempfile::tempdir().unwrap() };
        publish(&world.path("published"), &STORY.1);
        assert_eq!(world.mirror(&[]).0, Some(0));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn mirror(&self, more: &[&str]) -> (Option<i32>, Value) {
        let (mirror, from) = (self.text("mirror"), self.text("published"));
        let arguments = ["mirror", &mirror, "--from", &from, "--programme", &programme(), "--json"];
        let output = audit(&[&arguments[..], more].concat());
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        (output.status.code(), json)
    }

    /// The published folder is refused for just this, with evidence, and nothing of the mirror changes.
    fn accused(&self, code: &str, log: &str) -> Value {
        let before = self.kept();
        let (status, json) = self.mirror(&[]);
        let faults = json["faults"].as_array().unwrap();
        let said: Vec<_> = faults.iter().map(|fault| (fault["code"].as_str(), fault["log"].as_str())).collect();
        assert_eq!((status, said), (Some(1), vec![(Some(code), Some(log))]), "{json}");
        assert!(self.kept() == before, "{code}: what was here is kept");
        let evidence = fs::read(faults[0]["evidence"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&evidence).unwrap()
    }

    /// What the mirror has, without evidence.
    fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut kept = files(&self.path("mirror"));
        kept.retain(|path, _| !path.starts_with("evidence"));
        kept
    }
}

/// All files of a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The story with one more manifest version, which the officers signed.
fn with_version(name: &str) -> Published {
    let (story, published) = &*STORY;
    let fixture = &story.fixture;
    let mut next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    next.name = name.into();
    let mut published = published.clone();
    let issuer = &mut published.issuer;
    issuer.entries.push(IssuerLeaf::Manifest(sign_header(next, &fixture.officers)).encode());
    issuer.checkpoint = checkpoint(fixture, &issuer.name, &fixture.issuer_log, &issuer.entries);
    published
}

#[test]
fn checkpoint_refused() {
    let (story, published) = &*STORY;
    let fixture = &story.fixture;
    let log = &published.sites[0].1;
    let [stranger, other] = [[7; 32], [8; 32]].map(|seed| SigningKey::from_bytes(&seed));
    let mut cut = String::from_utf8(log.checkpoint.clone()).unwrap();
    cut.truncate(cut.trim_end().rfind('\n').unwrap() + 1);
    let notes = [
        cut.into_bytes(),
        // A key that is not the log's, and a witness that is none.
        checkpoint(fixture, &log.name, &stranger, &log.entries),
        checkpoint_by(("witness.example", &other), &log.name, &fixture.site_logs[0], &log.entries),
        b"nothing".to_vec(),
    ];
    let world = World::new();
    for note in notes {
        write(world.path("published/logs/site-1/checkpoint"), &note);
        let evidence = world.accused("checkpoint-refused", "site-1");
        assert_eq!(evidence["notes"][0], String::from_utf8(note).unwrap());
    }
}

#[test]
fn announcement_refused() {
    let world = World::new();
    let path = world.path("published/announcement.bin");
    let good = fs::read(&path).unwrap();
    let foreign = {
        let mut rng = ChaCha20Rng::seed_from_u64(83);
        let story = Story::new(&mut rng);
        published::announcement(&story.draft.publish(&story, &mut rng))
    };
    for bad in [foreign, good[..good.len() - 1].to_vec(), b"nothing".to_vec()] {
        write(path.clone(), &bad);
        let evidence = world.accused("announcement-refused", "programme");
        assert_eq!(evidence["code"], "announcement-refused");
    }
    // No folder of another programme becomes a mirror of this one.
    let mut rng = ChaCha20Rng::seed_from_u64(83);
    let story = Story::new(&mut rng);
    publish(&world.path("published"), &story.draft.publish(&story, &mut rng));
    fs::remove_file(path).unwrap();
    let before = world.kept();
    let (status, json) = world.mirror(&[]);
    assert_eq!((status, &json["faults"][0]["code"]), (Some(1), &"announcement-refused".into()), "{json}");
    assert!(world.kept() == before);
}

#[test]
fn manifest_forked() {
    let world = World::new();
    publish(&world.path("published"), &with_version("One name"));
    assert_eq!(world.mirror(&[]).0, Some(0));
    publish(&world.path("published"), &with_version("Another name"));
    let before = world.kept();
    let (status, json) = world.mirror(&[]);
    assert_eq!((status, &json["faults"][0]["code"]), (Some(1), &"manifest-forked".into()), "{json}");
    assert!(world.kept() == before);
}

#[test]
fn keys_changed() {
    let world = World::new();
    // A folder without an announcement has a key list that nothing vouches for but the audit.
    fs::remove_file(world.path("published/announcement.bin")).unwrap();
    let mut keys = STORY.1.keys.clone();
    let last = keys.len() - 1;
    keys.swap(0, last);
    write(world.path("published/keys.bin"), &keys_to_bytes(&keys));
    world.accused("keys-changed", "programme");
    // One that is only shorter is that of no version either; none is no fault.
    write(world.path("published/keys.bin"), &keys_to_bytes(&STORY.1.keys[..last]));
    world.accused("keys-changed", "programme");
    fs::remove_file(world.path("published/keys.bin")).unwrap();
    assert_eq!(world.mirror(&[]).0, Some(0));
}

#[test]
fn pack_differs() {
    let world = World::new();
    let (story, published) = &*STORY;
    let true_pack = &published.packs[0];
    let place = true_pack.content.place;
    let path = world.path(&format!("published/packs/round-{}-site-{}.bin", place.round.0, place.site.0));
    // Nobody's, and a stranger's.
    let forged = Signed::sign(true_pack.content.clone(), &story.fixture.site_logs[0]);
    for bad in [b"nothing".to_vec(), forged.encode()] {
        write(path.clone(), &bad);
        world.accused("pack-differs", "programme");
    }
    // A second one that the issuer signed is kept beside the first: the audit has to see both.
    let mut terms = true_pack.content.clone();
    terms.size -= 1;
    let second = Signed::sign(terms, &story.fixture.issuer_log).encode();
    write(path, &second);
    let (status, json) = world.mirror(&[]);
    assert_eq!((status, &json["faults"][0]["code"]), (Some(1), &"pack-differs".into()), "{json}");
    let packs: Vec<_> = files(&world.path("mirror/packs")).into_values().collect();
    assert!(packs.contains(&true_pack.encode()) && packs.contains(&second));
    assert_eq!(audit(&["verify", &world.text("mirror"), "--programme", &programme()]).status.code(), Some(1));
}

/// From the issuer's server a pack has to be the one of the freeze, before there is any other.
#[test]
fn a_pack_of_a_server_is_held_against_the_freeze() {
    let (story, published) = &*STORY;
    let world = World::new();
    fs::remove_dir_all(world.path("mirror")).unwrap();
    let folder = world.path("published");
    let mut terms = published.packs[0].content.clone();
    terms.size -= 1;
    let second = Signed::sign(terms, &story.fixture.issuer_log).encode();
    let place = published.packs[0].content.place;
    let wrong = format!("/v1/packs/{}/{}", place.round.0, place.site.0);
    let url = serve(move |path| {
        let file = match path.strip_prefix("/log/") {
            _ if path == wrong => return Some(answer("200 OK", &second)),
            Some(below) => folder.join("logs/issuer").join(below),
            None => match path.strip_prefix("/v1/packs/").and_then(|rest| rest.split_once('/')) {
                Some((round, site)) => folder.join(format!("packs/round-{round}-site-{site}.bin")),
                None => folder.join(format!("{}.bin", path.strip_prefix("/v1/").unwrap_or("none"))),
            },
        };
        Some(fs::read(file).map_or_else(|_| answer("404 Not Found", b""), |body| answer("200 OK", &body)))
    });
    let mirror = world.text("mirror");
    let output = audit(&["mirror", &mirror, "--issuer", &url, "--programme", &programme(), "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!((output.status.code(), json["faults"].as_array().unwrap().len()), (Some(1), 1), "{json}");
    assert_eq!(json["faults"][0]["code"], "pack-differs");
}

/// Surrendered vouchers come from folders, under names of their content; what is none stays where it is.
#[test]
fn surrendered_vouchers_are_copied_once() {
    let world = World::new();
    let surrender = STORY.0.draft.surrendered[0].encode();
    for name in ["a.bin", "again.bin", "..strange name.bin"] {
        write(world.path(&format!("published/surrendered/{name}")), &surrender);
    }
    write(world.path("published/surrendered/junk.bin"), b"nothing");
    write(world.path("published/surrendered/note.txt"), &surrender);
    let (status, json) = world.mirror(&[]);
    assert_eq!((status, json["added"].as_array().unwrap().len()), (Some(0), 1), "{json}");
    let copied: Vec<_> = files(&world.path("mirror/surrendered")).into_values().collect();
    assert_eq!(copied, [surrender]);
    let output = audit(&["verify", &world.text("mirror"), "--programme", &programme(), "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let surrendered: u64 =
        json["vouchers"].as_array().unwrap().iter().map(|row| row["surrendered"].as_u64().unwrap()).sum();
    assert_eq!((output.status.code(), surrendered), (Some(0), 1));
}

/// Everything that changes a disk.
const CALLS: [&str; 7] = ["write", "fsync", "rename", "renameat", "renameat2", "unlink", "unlinkat"];

/// Runs the program and kills it before the n-th such call of a thread. None if it was killed.
fn killed(arguments: &[&str], call: &str, n: usize) -> Option<Output> {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    let output = command.arg(env!("CARGO_BIN_EXE_annona-audit")).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("strace: {error}"));
    // It ends as its program did: the same signal, or the same status.
    output.status.code().is_some().then_some(output)
}

/// Wherever it was killed, the old tree or the new one is there whole, and the next run ends where one would have.
#[test]
fn killed_before_any_write_a_mirror_is_whole() {
    let (story, published) = &*STORY;
    let world = World::new();
    let fixture = &story.fixture;
    let log = &published.sites[0].1;
    let put = |size: usize| {
        let entries: Vec<Vec<u8>> = (0..size).map(|index| index.to_string().into_bytes()).collect();
        let note = checkpoint(fixture, &log.name, &fixture.site_logs[0], &entries);
        write_log(&world.path("published/logs/site-1"), &note, &entries);
    };
    // This log says nothing of the story.
    fs::remove_dir_all(world.path("mirror")).unwrap();
    put(300);
    assert_eq!(world.mirror(&[]).0, Some(0));
    let base = files(&world.path("mirror"));
    put(600);
    let whole = files(&world.path("published/logs"));
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    for call in CALLS {
        for n in 1.. {
            let name = format!("{call}-{n}");
            for (path, content) in &base {
                write(world.path(&name).join(path), content);
            }
            let (mirror, from) = (world.text(&name), world.text("published"));
            let id = programme();
            let arguments = ["mirror", &mirror, "--from", &from, "--programme", &id, "--json"];
            if let Some(output) = killed(&arguments, call, n) {
                assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output));
                break;
            }
            *kills.entry(call).or_default() += 1;
            // Two mirrors of which one is older do not differ; one that is damaged cannot be compared.
            let compared = audit(&["compare", &mirror, &from, "--programme", &id]);
            let said_of_it = said(&compared);
            let is_old = said_of_it.contains(": 300 and 600 leaves") || said_of_it.contains(": 600 and 600 leaves");
            assert!(compared.status.code() == Some(0) && is_old, "{name}: {said_of_it}");
            let again = audit(&arguments);
            assert_eq!(again.status.code(), Some(0), "{name}: {}", said(&again));
            assert!(files(&world.path(&name).join("logs")) == whole, "{name}");
            let left: Vec<_> = files(&world.path(&name)).into_keys().filter(|path| is_left_over(path)).collect();
            assert!(left.is_empty(), "{name}: {left:?}");
        }
    }
    eprintln!("killed: {kills:?}");
    let renamed: usize = CALLS[2..5].iter().filter_map(|call| kills.get(call)).sum();
    assert!(kills["write"] > 5 && kills["fsync"] > 10 && renamed > 5, "{kills:?}");
}

/// What is on its way, or half written.
fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.ends_with(".part") || (path.starts_with(".mirror") && name != "lock")
}
