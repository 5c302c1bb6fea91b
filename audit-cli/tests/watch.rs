//! `watch` by the real program: what changes is said once, servers come and go, and a signal ends it between two writes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod published;

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
};

use annona_protocol::{
    audit::{
        Published,
        testing::{Block, Draft, Story, checkpoint},
    },
    ids::Round,
    log::{leaf::IssuerLeaf, tile::tiles_for},
    wire::Message as _,
};
use published::{answer, publish, said, serve, write};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

static STORY: LazyLock<Story> = LazyLock::new(|| Story::new(&mut ChaCha20Rng::seed_from_u64(61)));

fn published_as(edit: impl FnOnce(&mut Draft)) -> Published {
    let mut draft = STORY.draft.clone();
    edit(&mut draft);
    draft.publish(&STORY, &mut ChaCha20Rng::seed_from_u64(62))
}

/// The whole story, and that of the first round at the sites.
static WHOLE: LazyLock<Published> = LazyLock::new(|| published_as(|_| {}));
static HALF: LazyLock<Published> =
    LazyLock::new(|| published_as(|draft| draft.sites.iter_mut().for_each(|(_, blocks)| blocks.truncate(2))));

fn leaves(published: &Published) -> u64 {
    let sites: usize = published.sites.iter().map(|(_, log)| log.entries.len()).sum();
    (published.issuer.entries.len() + sites) as u64
}

/// Publishes more of the sites' logs as a node does: tiles, then the checkpoint in one step.
fn grow(folder: &Path, published: &Published) {
    for (site, log) in &published.sites {
        let folder = folder.join(format!("logs/site-{site}"));
        for tile in tiles_for(&log.entries).unwrap() {
            write(folder.join(tile.path.to_string()), &tile.content);
        }
        write(folder.join("next"), &log.checkpoint);
        fs::rename(folder.join("next"), folder.join("checkpoint")).unwrap();
    }
}

struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new(published: &Published) -> Self {
        let world = Self { home: tempfile::tempdir().unwrap() };
        publish(&world.path("published"), published);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
        command.arg("watch").arg(self.path("mirror")).args(["--programme", &STORY.fixture.programme.id().to_string()]);
        command.args(["--every", "1s", "--threads", "1"]);
        command.arg("--cache").arg(self.path("cache")).arg("--cache-key").arg(self.path("cache.key"));
        command.args(more);
        command
    }

    /// One round from the published folder: status and events.
    fn once(&self, more: &[&str]) -> (Option<i32>, Vec<Value>) {
        let from = self.path("published");
        let mut command = self.command(&["--once", "--json", "--from", from.to_str().unwrap()]);
        let output = command.args(more).output().unwrap();
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let events =
            lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{}", said(&output))));
        (output.status.code(), events.collect())
    }

    fn start(&self, more: &[&str]) -> Running {
        let from = self.path("published");
        let mut command = self.command(&["--json", "--from", from.to_str().unwrap()]);
        let mut child = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }
}

/// A watch that runs.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Reads events up to the one that is meant.
    fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        for line in self.lines.by_ref() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if is(&event) {
                return event;
            }
        }
        panic!("the watch ended: {:?}", self.child.wait())
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn ended(mut self) -> ExitStatus {
        self.lines.by_ref().for_each(drop);
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().unwrap().success());
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

fn verifies(leaves: u64) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == "verified" && event["leaves"] == leaves
}

#[test]
fn a_round_says_what_is_new_and_a_restart_goes_on() {
    let world = World::new(&HALF);
    let (status, events) = world.once(&[]);
    assert_eq!(status, Some(0), "{events:?}");
    assert_eq!(names(&events).iter().filter(|name| **name == "log").count(), 3, "{events:?}");
    assert!(verifies(leaves(&HALF))(events.last().unwrap()), "{events:?}");
    // Nothing is new: only that everything holds is said, and notes of before.
    let (status, events) = world.once(&[]);
    assert_eq!(status, Some(0));
    assert!(names(&events).iter().all(|name| ["note", "verified"].contains(name)), "{events:?}");
    grow(&world.path("published"), &WHOLE);
    let (status, events) = world.once(&[]);
    let grown: Vec<_> = events.iter().filter(|event| event["event"] == "log").map(|event| &event["log"]).collect();
    assert_eq!((status, grown), (Some(0), vec![&Value::from("site-1"), &Value::from("site-2")]));
    assert!(verifies(leaves(&WHOLE))(events.last().unwrap()), "{events:?}");
}

#[test]
fn growth_is_verified_while_it_runs_and_a_signal_ends_it() {
    for name in ["TERM", "INT"] {
        let world = World::new(&HALF);
        let mut watch = world.start(&[]);
        watch.until(verifies(leaves(&HALF)));
        grow(&world.path("published"), &WHOLE);
        watch.until(verifies(leaves(&WHOLE)));
        watch.signal(name);
        assert_eq!(watch.ended().code(), Some(0));
    }
}

#[test]
fn what_does_not_hold_is_said_once_and_decides_the_status() {
    let forged = published_as(|draft| {
        let Block::Batch(_, events) = &mut draft.sites[0].1[2] else { panic!("a batch") };
        let twin = events[0].clone();
        events.push(twin);
    });
    let world = World::new(&HALF);
    let mut watch = world.start(&[]);
    watch.until(verifies(leaves(&HALF)));
    grow(&world.path("published"), &forged);
    let finding = watch.until(|event| event["event"] == "finding");
    assert_eq!(finding["party"], "site-1", "{finding}");
    watch.signal("TERM");
    assert_eq!(watch.ended().code(), Some(1));
    // It is found again by whoever begins anew, who may ask to be told by the end of the program.
    let until = world.start(&["--until-failure"]);
    assert_eq!(until.ended().code(), Some(1));
    let (status, events) = world.once(&[]);
    assert_eq!(status, Some(1));
    assert!(names(&events).contains(&"finding") && !names(&events).contains(&"verified"), "{events:?}");
}

#[test]
fn a_server_that_does_not_answer_hides_no_other() {
    let (world, (tell, told)) = (World::new(&HALF), mpsc::channel::<()>());
    let mut is_up = false;
    let url = serve(move |_| {
        is_up = is_up || told.try_recv().is_ok();
        is_up.then(|| answer("404 Not Found", b""))
    });
    let site = format!("1={url}");
    let (status, events) = world.once(&["--site", &site]);
    assert_eq!(status, Some(2), "{events:?}");
    assert!(names(&events).contains(&"unreached") && names(&events).contains(&"verified"), "{events:?}");
    let mut watch = world.start(&["--site", &site]);
    let unreached = watch.until(|event| event["event"] == "unreached");
    assert_eq!(unreached["source"], url);
    watch.until(|event| event["event"] == "verified");
    tell.send(()).unwrap();
    let reached = watch.until(|event| ["unreached", "reached", "fault"].contains(&event["event"].as_str().unwrap()));
    // It has no checkpoint though one was copied: reached, and at fault.
    assert_eq!(reached["event"], "fault", "{reached}");
    assert_eq!(reached["code"], "went-back");
    assert_eq!(watch.until(|event| event["event"] == "reached")["source"], url);
    watch.signal("TERM");
    assert_eq!(watch.ended().code(), Some(1));
}

/// The sites are a round ahead of the copy of an issuer that does not answer. Nobody is accused before it was asked.
#[test]
fn an_issuer_that_was_not_reached_may_have_opened_the_round() {
    let fixture = &STORY.fixture;
    let mut behind = WHOLE.clone();
    let opens =
        |entry: &Vec<u8>| matches!(IssuerLeaf::decode(entry), Ok(IssuerLeaf::Open(leaf)) if leaf.round == Round(2));
    let at = behind.issuer.entries.iter().position(opens).unwrap();
    let issuer = &mut behind.issuer;
    issuer.entries.truncate(at);
    issuer.checkpoint = checkpoint(fixture, &issuer.name, &fixture.issuer_log, &issuer.entries);
    let world = World::new(&behind);
    let url = serve(|_| None);
    let (status, events) = world.once(&["--issuer", &url]);
    let is_accused = |event: &Value| event["event"] == "finding" && event["check"] == "round-not-open";
    assert!(!events.iter().any(is_accused), "{events:?}");
    assert!(!names(&events).contains(&"verified"), "{events:?}");
    let why = events.iter().find(|event| event["event"] == "unverified").unwrap()["why"].to_string();
    assert!(why.contains("the issuer was not reached"), "{why}");
    assert_eq!(status, Some(2), "{events:?}");
    // The issuer's own folder is this one: what it lacks, it did not log.
    let (status, events) = world.once(&[]);
    assert_eq!(status, Some(1));
    assert!(events.iter().any(is_accused), "{events:?}");
    // The packs that wait for their freeze clear the sites, which stated the round.
    assert!(fs::read_dir(world.path("mirror/.mirror/packs")).unwrap().count() > 0);
    let mut parties = events.iter().filter(|event| event["event"] == "finding").map(|event| &event["party"]);
    assert!(parties.all(|party| party == "issuer"), "{events:?}");
    let parked = world.path("mirror/.mirror/packs");
    fs::remove_dir_all(parked).unwrap();
    let programme = STORY.fixture.programme.id().to_string();
    let mirror = world.path("mirror");
    let output = published::audit(&["verify", mirror.to_str().unwrap(), "--programme", &programme, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut findings = report["findings"].as_array().unwrap().iter();
    assert!(findings.any(|finding| finding["party"] == "site-1"), "without them a site would be blamed: {report}");
}

/// A manifest chain of the mirror itself that does not hold is mended by no later round.
#[test]
fn a_damaged_manifest_of_its_own_ends_it() {
    let world = World::new(&HALF);
    assert_eq!(world.once(&[]).0, Some(0));
    fs::remove_dir_all(world.path("published")).unwrap();
    let mut command = world.command(&["--from", "nowhere"]);
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
    let other = "00".repeat(32);
    let id = STORY.fixture.programme.id().to_string();
    command.args(arguments.into_iter().map(|argument| if argument == *id { other.clone().into() } else { argument }));
    // Without --once it would ask again for ever.
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!said(&output).contains("not reached"), "{}", said(&output));
}

/// A signal does not take back what was proven before it.
#[test]
fn a_fault_outlives_the_signal() {
    let fixture = &STORY.fixture;
    let long = |from: usize, size: usize| -> Vec<Vec<u8>> {
        (from..from + size).map(|index| index.to_string().into_bytes()).collect()
    };
    let mut bare = HALF.clone();
    bare.sites.clear();
    let world = World::new(&bare);
    let put = |at: usize, entries: &[Vec<u8>]| {
        let (name, key) = (&fixture.programme.latest().sites[at].logs[0].name, &fixture.site_logs[at]);
        published::write_log(&world.path(&format!("site-{at}")), &checkpoint(fixture, name, key, entries), entries);
    };
    let victim = std::sync::Arc::new(std::sync::Mutex::new(None::<u32>));
    let served = |at: usize| {
        let (folder, id) = (world.path(&format!("site-{at}")), std::sync::Arc::clone(&victim));
        serve(move |path| {
            if at == 1
                && path.contains("/tile/entries/")
                && let Some(id) = id.lock().unwrap().take()
            {
                signal(id, "TERM");
            }
            let found = fs::read(folder.join(path.strip_prefix("/log/").unwrap_or("none")));
            Some(found.map_or_else(|_| answer("404 Not Found", b""), |body| answer("200 OK", &body)))
        })
    };
    put(0, &long(0, 300));
    put(1, &long(0, 300));
    let more = ["--site", &format!("1={}", served(0)), "--site", &format!("2={}", served(1))];
    assert_eq!(world.once(&more).0, Some(1));
    put(0, &long(1, 400));
    put(1, &long(0, 20_000));
    let mut id = victim.lock().unwrap();
    let mut watch = world.start(&more);
    *id = Some(watch.child.id());
    drop(id);
    let fault = watch.until(|event| event["event"] == "fault");
    assert_eq!(fault["code"], "forked", "{fault}");
    assert_eq!(watch.ended().code(), Some(1));
    let note = fs::read_to_string(world.path("mirror/logs/site-2/checkpoint")).unwrap();
    assert!(note.contains("\n300\n"), "it was stopped before the log was whole");
}

#[test]
fn nobody_answers_at_first() {
    let world = World::new(&HALF);
    fs::rename(world.path("published"), world.path("away")).unwrap();
    let (status, events) = world.once(&[]);
    assert_eq!((status, names(&events)), (Some(2), vec!["unreached", "unverified"]));
    let mut watch = world.start(&[]);
    watch.until(|event| event["event"] == "unverified");
    fs::rename(world.path("away"), world.path("published")).unwrap();
    watch.until(verifies(leaves(&HALF)));
    watch.signal("INT");
    assert_eq!(watch.ended().code(), Some(0));
}

/// The signal comes while a bundle is on its way: what was there stays as it was, and the next run ends where one would have.
#[test]
fn a_signal_ends_it_between_two_writes() {
    let world = World::new(&HALF);
    let long = |size: usize| -> Vec<Vec<u8>> { (0..size).map(|index| index.to_string().into_bytes()).collect() };
    let fixture = &STORY.fixture;
    let name = &fixture.programme.latest().sites[0].logs[0].name;
    let site = world.path("site");
    let put = |entries: &[Vec<u8>]| {
        published::write_log(&site, &checkpoint(fixture, name, &fixture.site_logs[0], entries), entries);
    };
    let mut half = HALF.clone();
    half.sites.clear();
    publish(&world.path("published"), &half);
    put(&long(300));
    let (served, victim) = (site.clone(), std::sync::Arc::new(std::sync::Mutex::new(None::<u32>)));
    let id = std::sync::Arc::clone(&victim);
    let url = serve(move |path| {
        if path.contains("/tile/entries/")
            && let Some(id) = id.lock().unwrap().take()
        {
            signal(id, "TERM");
        }
        let found = fs::read(served.join(path.strip_prefix("/log/").unwrap_or("none")));
        Some(found.map_or_else(|_| answer("404 Not Found", b""), |body| answer("200 OK", &body)))
    });
    let more = ["--site", &format!("1={url}")];
    // Such a log does not verify; what is shown here is that it is whole.
    assert_eq!(world.once(&more).0, Some(1));
    let checkpoint_of = || fs::read_to_string(world.path("mirror/logs/site-1/checkpoint")).unwrap();
    assert!(checkpoint_of().contains("\n300\n"));
    put(&long(20_000));
    {
        // The server waits for the handle.
        let mut id = victim.lock().unwrap();
        let watch = world.start(&more);
        *id = Some(watch.child.id());
        drop(id);
        let status = watch.ended();
        assert_eq!(status.code(), Some(0), "nothing was found before it was told to end");
    }
    assert!(checkpoint_of().contains("\n300\n"));
    assert_eq!(world.once(&more).0, Some(1));
    assert!(checkpoint_of().contains("\n20000\n"));
    let mut bytes = Vec::new();
    fs::File::open(world.path("mirror/logs/site-1/tile/entries/000")).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, fs::read(site.join("tile/entries/000")).unwrap());
}
