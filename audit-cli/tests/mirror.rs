//! `mirror` and `compare` by the real program, against servers on this machine that have a published folder as the node has it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod published;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, LazyLock, Mutex},
    thread,
};

use annona_protocol::audit::{
    Published,
    testing::{Story, checkpoint},
};
use published::{announcement, write, write_log};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

static STORY: LazyLock<(Story, Published)> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(31);
    let story = Story::new(&mut rng);
    let published = story.draft.publish(&story, &mut rng);
    (story, published)
});

fn programme() -> String {
    STORY.0.fixture.programme.id().to_string()
}

fn publish(folder: &Path) {
    published::publish(folder, &STORY.1);
}

/// A log of site 1 that says nothing but is as long as wanted; from `fork` on it is another history.
fn long(size: usize, fork: usize) -> Vec<Vec<u8>> {
    (0..size).map(|index| format!("{index} {}", index >= fork).into_bytes()).collect()
}

fn write_site(folder: &Path, entries: &[Vec<u8>]) {
    let fixture = &STORY.0.fixture;
    let name = &fixture.programme.latest().sites[0].logs[0].name;
    let note = checkpoint(fixture, name, &fixture.site_logs[0], entries);
    write_log(&folder.join("logs/site-1"), &note, entries);
}

/// What a server does at a request of this number.
type Trick = Arc<Mutex<dyn FnMut(usize, &str, Vec<u8>, &mut TcpStream) -> Option<Vec<u8>> + Send>>;

/// A party's server: its log at `/log/`, for the issuer announcement and packs.
struct Server {
    url: String,
    trick: Arc<Mutex<Option<Trick>>>,
}

impl Server {
    fn new(folder: &Path, log: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let trick: Arc<Mutex<Option<Trick>>> = Arc::default();
        let (folder, log, own) = (folder.to_owned(), log.to_owned(), Arc::clone(&trick));
        thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                if reader.read_line(&mut line).is_err() || line.is_empty() {
                    continue;
                }
                let mut rest = String::new();
                while reader.read_line(&mut rest).is_ok_and(|read| read > 2) {
                    rest.clear();
                }
                number += 1;
                let path = line.split(' ').nth(1).unwrap().to_owned();
                let found = fs::read(file(&folder, &log, &path));
                let status = if found.is_ok() { "200 OK" } else { "404 Not Found" };
                let body = found.unwrap_or_default();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let answer = [head.as_bytes(), &body].concat();
                let trick = own.lock().unwrap().clone();
                let answer = match trick {
                    Some(trick) => (trick.lock().unwrap())(number, &path, answer, &mut stream),
                    None => Some(answer),
                };
                if let Some(answer) = answer {
                    drop(stream.write_all(&answer));
                }
            }
        });
        Self { url, trick }
    }

    fn set(&self, trick: impl FnMut(usize, &str, Vec<u8>, &mut TcpStream) -> Option<Vec<u8>> + Send + 'static) {
        *self.trick.lock().unwrap() = Some(Arc::new(Mutex::new(trick)));
    }

    fn honest(&self) {
        *self.trick.lock().unwrap() = None;
    }
}

/// The node's routes.
fn file(folder: &Path, log: &str, path: &str) -> PathBuf {
    if let Some(below) = path.strip_prefix("/log/") {
        return folder.join("logs").join(log).join(below);
    }
    match path.strip_prefix("/v1/packs/").and_then(|rest| rest.split_once('/')) {
        Some((round, site)) => folder.join(format!("packs/round-{round}-site-{site}.bin")),
        None => folder.join(format!("{}.bin", path.strip_prefix("/v1/").unwrap_or("none"))),
    }
}

struct World {
    home: tempfile::TempDir,
    issuer: Server,
    sites: [Server; 2],
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let published = home.path().join("published");
        publish(&published);
        let server = |log| Server::new(&published, log);
        Self { issuer: server("issuer"), sites: [server("site-1"), server("site-2")], home }
    }

    fn published(&self) -> PathBuf {
        self.home.path().join("published")
    }

    fn mirror(&self) -> PathBuf {
        self.home.path().join("mirror")
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annona-audit"));
        command.arg("mirror").arg(self.mirror()).args(["--programme", &programme()]);
        command.args(["--issuer", &self.issuer.url, "--site", &format!("1={}", self.sites[0].url)]);
        command.args(["--site", &format!("2={}", self.sites[1].url), "--json"]).args(more);
        command
    }

    fn run(&self, more: &[&str]) -> (Option<i32>, Value, String) {
        let output = self.command(more).output().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), json, String::from_utf8(output.stderr).unwrap())
    }

    /// Runs and expects this fault of site 1, and nothing of the log changed; gives the evidence.
    fn accused(&self, code: &str, more: &[&str]) -> PathBuf {
        let before = files(&self.mirror().join("logs"));
        let (status, json, errors) = self.run(more);
        assert_eq!(status, Some(1), "{json} {errors}");
        let faults = json["faults"].as_array().unwrap();
        assert_eq!(
            (faults.len(), &faults[0]["code"], &faults[0]["log"]),
            (1, &code.into(), &"site-1".into()),
            "{json}"
        );
        assert_eq!(files(&self.mirror().join("logs")), before, "the old files are kept");
        PathBuf::from(faults[0]["evidence"].as_str().unwrap())
    }
}

/// All files with their contents.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { drop(found.insert(path.clone(), fs::read(path).unwrap())) }
        }
    }
    found
}

/// The logs of a mirror are those that are published, file by file.
fn assert_same_logs(world: &World) {
    let below = |folder: PathBuf| -> BTreeMap<PathBuf, Vec<u8>> {
        let strip = |(path, content): (PathBuf, _)| (path.strip_prefix(&folder).unwrap().to_owned(), content);
        files(&folder).into_iter().map(strip).collect()
    };
    assert!(below(world.mirror().join("logs")) == below(world.published().join("logs")));
}

fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annona-audit"))
        .args(arguments)
        .args(["--programme", &programme()])
        .output()
        .unwrap()
}

fn is_proof(path: &Path) -> Option<i32> {
    audit(&["compare", "--verify-proof", path.to_str().unwrap()]).status.code()
}

#[test]
fn a_mirror_of_servers_is_what_they_publish_and_verifies() {
    let world = World::new();
    let (status, json, errors) = world.run(&[]);
    assert_eq!(status, Some(0), "{json} {errors}");
    assert_eq!(json["logs"].as_array().unwrap().len(), 3);
    assert_same_logs(&world);
    let output = audit(&["verify", world.mirror().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let before = files(&world.mirror());
    let (status, json, _) = world.run(&["--recheck"]);
    assert_eq!((status, json["added"].as_array().unwrap().len()), (Some(0), 0));
    assert!(files(&world.mirror()) == before);
}

#[test]
fn a_mirror_of_a_folder_is_that_of_the_servers() {
    let world = World::new();
    for manifest in ["announcement.bin", "none"] {
        if manifest == "none" {
            fs::remove_file(world.published().join("announcement.bin")).unwrap();
        }
        let mirror = world.home.path().join(manifest);
        let output = audit(&["mirror", mirror.to_str().unwrap(), "--from", world.published().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(audit(&["verify", mirror.to_str().unwrap()]).status.code(), Some(0));
    }
}

/// The process is killed while the server holds its request, at every request of a run: the next runs end where one would have.
#[test]
fn killed_at_every_request_it_goes_on() {
    let world = World::new();
    write_site(&world.published(), &long(300, usize::MAX));
    assert_eq!(world.run(&[]).0, Some(0));
    write_site(&world.published(), &long(1000, usize::MAX));
    let mut kills = 0;
    for at in 1..20 {
        let child: Arc<Mutex<Option<std::process::Child>>> = Arc::default();
        let victim = Arc::clone(&child);
        let mut seen = 0;
        world.sites[0].set(move |_, _, answer, _| {
            seen += 1;
            if seen == at {
                // Whoever spawned it holds the lock until the handle is there.
                victim.lock().unwrap().as_mut().unwrap().kill().unwrap();
                return None;
            }
            Some(answer)
        });
        let status = {
            let mut own = child.lock().unwrap();
            *own = Some(world.command(&[]).stdout(std::process::Stdio::null()).spawn().unwrap());
            drop(own);
            loop {
                if let Some(status) = child.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
                    break status;
                }
                thread::yield_now();
            }
        };
        if status.code() == Some(0) {
            break;
        }
        assert_eq!(status.code(), None, "killed");
        kills += 1;
        let note = fs::read_to_string(world.mirror().join("logs/site-1/checkpoint")).unwrap();
        assert!(note.contains("\n300\n") || note.contains("\n1000\n"), "{note}");
    }
    assert!(kills >= 2, "{kills}");
    world.sites[0].honest();
    assert_eq!(world.run(&[]).0, Some(0));
    assert_same_logs(&world);
}

#[test]
fn broken_answers_end_the_run_and_change_nothing() {
    let world = World::new();
    write_site(&world.published(), &long(300, usize::MAX));
    assert_eq!(world.run(&[]).0, Some(0));
    write_site(&world.published(), &long(700, usize::MAX));
    let before = files(&world.mirror().join("logs"));
    let is_tile = |path: &str| path.contains("/tile/");
    let refused = |name: &str, expected: i32| {
        let (status, json, errors) = world.run(&["--timeout", "20"]);
        assert_eq!(status, Some(expected), "{name}: {json} {errors}");
        assert!(files(&world.mirror().join("logs")) == before, "{name}");
    };
    world.sites[0].set(move |_, path, answer, _| if is_tile(path) { None } else { Some(answer) });
    refused("dropped", 2);
    world.sites[0].set(move |_, path, mut answer, _| {
        answer.truncate(if is_tile(path) { answer.len() - 1 } else { answer.len() });
        Some(answer)
    });
    refused("cut off", 2);
    world.sites[0].set(move |_, path, answer, stream| {
        if !is_tile(path) {
            return Some(answer);
        }
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"));
        while stream.write_all(&[0; 65_536]).is_ok() {}
        None
    });
    refused("endless", 2);
    let moved = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    world.sites[0].set(move |_, _, _, _| Some(moved.into()));
    refused("moved", 2);
    world.sites[0]
        .set(|_, _, _, _| Some(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnote".into()));
    refused("no note", 1);
    world.sites[0].honest();
    assert_eq!(world.run(&[]).0, Some(0));
    assert_same_logs(&world);
}

#[test]
fn a_log_that_goes_back_is_named() {
    let world = World::new();
    write_site(&world.published(), &long(600, usize::MAX));
    assert_eq!(world.run(&[]).0, Some(0));
    write_site(&world.published(), &long(500, usize::MAX));
    let evidence = world.accused("went-back", &[]);
    let value: Value = serde_json::from_slice(&fs::read(&evidence).unwrap()).unwrap();
    assert_eq!(value["notes"].as_array().unwrap().len(), 2);
    assert_ne!(is_proof(&evidence), Some(0), "an older checkpoint alone proves nothing");
}

/// A server that builds its announcement a moment after its log is not accused; one whose log is behind is.
#[test]
fn an_announcement_may_be_behind_its_log() {
    let world = World::new();
    assert_eq!(world.run(&[]).0, Some(0));
    let (story, published) = &*STORY;
    let mut older = published.clone();
    older.issuer.entries.pop();
    let (name, key) = (&older.issuer.name, &story.fixture.issuer_log);
    older.issuer.checkpoint = checkpoint(&story.fixture, name, key, &older.issuer.entries);
    write(world.published().join("announcement.bin"), &announcement(&older));
    let (status, json, errors) = world.run(&[]);
    assert_eq!(status, Some(0), "{json} {errors}");
    write_log(&world.published().join("logs/issuer"), &older.issuer.checkpoint, &older.issuer.entries);
    let (status, json, _) = world.run(&[]);
    assert_eq!(
        (status, &json["faults"][0]["code"], &json["faults"][0]["log"]),
        (Some(1), &"went-back".into(), &"issuer".into())
    );
}

#[test]
fn a_fork_is_proven_whatever_its_size() {
    for (size, code) in [(500, "forked"), (600, "two-roots"), (601, "forked"), (900, "forked")] {
        let world = World::new();
        write_site(&world.published(), &long(600, usize::MAX));
        assert_eq!(world.run(&[]).0, Some(0));
        write_site(&world.published(), &long(size, 400));
        let evidence = world.accused(code, &[]);
        assert_eq!(is_proof(&evidence), Some(0), "{size}");
    }
}

#[test]
fn a_false_or_changed_file_is_named() {
    let world = World::new();
    write_site(&world.published(), &long(300, usize::MAX));
    assert_eq!(world.run(&[]).0, Some(0));
    let bundle = world.published().join("logs/site-1/tile/entries/000");
    let good = fs::read(&bundle).unwrap();
    let flipped = |bytes: &[u8]| {
        let mut bad = bytes.to_vec();
        *bad.last_mut().unwrap() ^= 1;
        bad
    };
    fs::write(&bundle, flipped(&good)).unwrap();
    assert_ne!(is_proof(&world.accused("changed-tile", &["--recheck"])), Some(0));
    write_site(&world.published(), &long(700, usize::MAX));
    let bundle = world.published().join("logs/site-1/tile/entries/002.p/188");
    let good = fs::read(&bundle).unwrap();
    fs::write(&bundle, flipped(&good)).unwrap();
    world.accused("false-tile", &[]);
    fs::remove_file(&bundle).unwrap();
    world.accused("false-tile", &[]);
    fs::write(&bundle, good).unwrap();
    assert_eq!(world.run(&[]).0, Some(0));
    assert_same_logs(&world);
}

#[test]
fn two_mirrors_that_were_shown_two_histories_prove_it() {
    let world = World::new();
    let folder = |name: &str, size, fork| {
        let folder = world.home.path().join(name);
        publish(&folder);
        write_site(&folder, &long(size, fork));
        folder.to_str().unwrap().to_owned()
    };
    let honest = folder("a", 600, usize::MAX);
    assert_eq!(audit(&["compare", &honest, &folder("older", 300, usize::MAX)]).status.code(), Some(0));
    assert_eq!(audit(&["compare", &honest, "nowhere"]).status.code(), Some(2));
    let proof = world.home.path().join("proof.json");
    for (name, size) in [("b", 600), ("c", 450), ("d", 800)] {
        let other = folder(name, size, 400);
        for pair in [[&honest, &other], [&other, &honest]] {
            let output = audit(&["compare", pair[0], pair[1], "--proof", proof.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(is_proof(&proof), Some(0));
        }
    }
    // No note may be exchanged, no root chosen, and no other programme accused.
    let good: Value = serde_json::from_slice(&fs::read(&proof).unwrap()).unwrap();
    let note = |value: &Value| value["notes"][0].clone();
    let edits: [&dyn Fn(&mut Value); 5] = [
        &|value| value["notes"][1] = note(value),
        &|value| value["notes"].as_array_mut().unwrap().swap(0, 1),
        &|value| value["prefix_root"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
        &|value| value["manifest"] = Vec::<Value>::new().into(),
        &|value| value["consistency"].as_array_mut().unwrap().clear(),
    ];
    for (at, edit) in edits.iter().enumerate() {
        let mut bad = good.clone();
        edit(&mut bad);
        fs::write(&proof, bad.to_string()).unwrap();
        assert_eq!(is_proof(&proof), Some(1), "edit {at}");
    }
    let mut text = Vec::new();
    fs::File::open(&proof).unwrap().read_to_end(&mut text).unwrap();
    for cut in [0, 1, text.len() / 2, text.len() - 1] {
        fs::write(&proof, &text[..cut]).unwrap();
        assert_eq!(is_proof(&proof), Some(2));
    }
}
