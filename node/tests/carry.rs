//! Sync by the real program: the commands of the operators' guide at both ends, over https, and killed at every step.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;
mod logs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use annona_node::{
    publisher::LogOwner as _,
    store::{Role, Store},
    sync::{Package, Received},
};
use annona_protocol::{
    log::{KeyType, VerifierKey},
    programme::Announcement,
    wire::Message as _,
};
use harness::{
    PASSPHRASE, Plan, Prepared, copy, http, prepare,
    process::{Net, PATIENCE, client},
    running::Server,
    witness::Witness,
};
use logs::third_party;

/// A process that a test starts holds, until it runs its program, the lock of a store that another test has open.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const PLAN: Plan = Plan { tickets: 1, rounds: 1, advance: 0 };

fn run(arguments: &[&str], fault: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-node"));
    command.args(arguments).env("ANNONA_PASSPHRASE", PASSPHRASE).env_remove("ANNONA_FAULT").stdin(Stdio::null());
    if let Some(fault) = fault {
        command.env("ANNONA_FAULT", fault);
    }
    command.output().unwrap()
}

/// Runs the program, which does what it is told.
fn done(arguments: &[&str]) -> String {
    let output = run(arguments, None);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which refuses: exit status and what it says.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments, None);
    assert!(!output.status.success(), "{arguments:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The folders of an office, a site and a stick; and the witness, which the office reaches.
struct Office {
    prepared: Prepared,
    witness: Witness,
    root: PathBuf,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Office {
    fn new() -> Self {
        let prepared = prepare(PLAN);
        let (witness, root) = (prepared.start_witness(), prepared.folder.path().to_owned());
        fs::create_dir(root.join("stick")).unwrap();
        Self { prepared, witness, root }
    }

    fn path(&self, name: &str) -> String {
        text(&self.root.join(name)).to_owned()
    }

    /// `issuer sync --usb`, with the witness in reach.
    fn issuer_sync(&self, fault: Option<&str>) -> Output {
        let witness = format!("publish.witnesses=\"witness.example\" = \"{}\"", self.witness.url());
        let (stick, home) = (self.path("stick"), self.path("issuer"));
        run(&["issuer", "sync", "--usb", &stick, "--home", &home, "--set", &witness], fault)
    }

    fn site_sync(&self, fault: Option<&str>) -> Output {
        run(&["site", "sync", "--usb", &self.path("stick"), "--home", &self.path("site-1")], fault)
    }

    fn at_issuer(&self) -> String {
        said(&self.issuer_sync(None))
    }

    fn at_site(&self) -> String {
        said(&self.site_sync(None))
    }

    /// Sets the first site up from what headquarters put on the stick, and brings it a closed round.
    fn site_with_a_log(&self) {
        let home = self.path("site-1");
        self.at_issuer();
        let announcement = self.path(&format!("stick/annona/{}/down/announcement", self.prepared.id));
        let id = self.prepared.id.to_string();
        done(&["site", "init", "--programme", &id, "--announcement", &announcement, "--site", "1", "--home", &home]);
        done(&["issuer", "freeze", "1", "--home", &self.path("issuer")]);
        self.at_issuer();
        assert!(self.at_site().contains("the opening pack of round 1 is in inbox/"));
        done(&["site", "open", &self.path("site-1/inbox/round-1.pack"), "--day-code", "none", "--home", &home]);
        done(&["site", "close-round", "--home", &home]);
    }

    fn site_vkey(&self) -> VerifierKey {
        let key = self.prepared.site_keys[0].verifying_key();
        VerifierKey::new("annona.example/food-and-cash/site-1", KeyType::Log, key).unwrap()
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn both_ends_run_the_documented_commands() {
    let _alone = alone();
    let office = Office::new();
    office.site_with_a_log();
    let up = office.at_site();
    assert!(up.contains("1 leaves went up") && up.contains("nothing is cosigned yet"), "{up}");
    let at_issuer = office.at_issuer();
    assert!(at_issuer.contains("site-1: 1 leaves") && at_issuer.contains("the stick is in step"), "{at_issuer}");
    let down = office.at_site();
    assert!(down.contains("0 leaves went up") && down.contains("cosigned up to 1 leaves"), "{down}");
    for folder in ["site-1/published", "issuer/received/site-1"] {
        let folder = office.root.join(folder);
        if folder.join("cosigned").exists() {
            fs::copy(folder.join("cosigned"), folder.join("checkpoint")).unwrap();
        }
        assert_eq!(third_party(&folder, &office.site_vkey(), &office.prepared.witness).unwrap(), 1);
    }
    // What is wrong is told, the rest is done, and the status says that something was.
    let stick = office.root.join("stick/annona").join(office.prepared.id.to_string());
    fs::write(stick.join("down/announcement"), b"half").unwrap();
    let json = run(&["site", "sync", "--json", "--usb", &office.path("stick"), "--home", &office.path("site-1")], None);
    assert_eq!(json.status.code(), Some(2));
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&told["cosigned"], told["refused"].as_array().unwrap().len()), (&1.into(), 1));
    fs::create_dir_all(stick.join("up/other")).unwrap();
    let output = office.issuer_sync(None);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("the rest was done") && text.contains("other: is of no log"), "{text}");
    assert!(office.at_site().contains("cosigned up to 1 leaves"), "headquarters put it right");
    let home = office.path("site-1");
    let (code, text) = refused(&["site", "sync", "--usb", &office.path("no-stick"), "--home", &home]);
    assert!(code == Some(2) && text.contains("Check that the disk is there"), "{text}");
    let _other = Store::open(Path::new(&home), Role::Site).unwrap();
    let (code, _) = refused(&["site", "sync", "--usb", &office.path("stick"), "--home", &home]);
    assert_eq!(code, Some(75), "in use by another process: later");
}

/// Kills one end at each step, puts everything back before it, and counts the steps.
fn at_each_step(office: &Office, points: &[&str], sync: impl Fn(Option<&str>) -> Output, check: impl Fn()) -> usize {
    let folders = ["issuer", "site-1", "stick"];
    let restore = || {
        for folder in folders {
            fs::remove_dir_all(office.root.join(folder)).unwrap();
            copy(&office.root.join("before").join(folder), &office.root.join(folder));
        }
    };
    drop(fs::remove_dir_all(office.root.join("before")));
    for folder in folders {
        copy(&office.root.join(folder), &office.root.join("before").join(folder));
    }
    let mut steps = 0;
    for point in points {
        for number in 1.. {
            restore();
            let output = sync(Some(&format!("{point}:{number}")));
            if output.status.success() {
                break;
            }
            assert_eq!(output.status.code(), None, "killed: {}", String::from_utf8_lossy(&output.stderr));
            steps += 1;
            said(&sync(None));
            check();
        }
    }
    restore();
    steps
}

#[test]
fn killed_at_any_step_the_next_sync_ends_where_it_would_have() {
    let _alone = alone();
    let office = Office::new();
    let stick = office.root.join("stick/annona").join(office.prepared.id.to_string());
    let steps = at_each_step(
        &office,
        &["stick"],
        |fault| office.issuer_sync(fault),
        || {
            let announcement = fs::read(stick.join("down/announcement")).unwrap();
            Announcement::decode(&announcement).unwrap().verify(office.prepared.id).unwrap();
            let states = logs::files(&stick.join("down"));
            let states =
                states.iter().filter(|path| serde_json::from_slice::<Received>(&fs::read(path).unwrap()).is_ok());
            assert_eq!(states.count(), 3);
        },
    );
    assert!(steps > 12, "{steps}");
    office.site_with_a_log();
    let steps = at_each_step(
        &office,
        &["stick", "file-written"],
        |fault| office.site_sync(fault),
        || {
            let up = logs::files(&stick.join("up"));
            let whole = up.iter().filter(|path| Package::from_bytes(&fs::read(path).unwrap()).is_ok());
            assert_eq!(whole.count(), 1, "{up:?}");
        },
    );
    assert!(steps > 5, "{steps}");
    office.at_site();
    let received = office.root.join("issuer/received/site-1");
    let points = ["stick", "received", "file-written"];
    let steps = at_each_step(
        &office,
        &points,
        |fault| office.issuer_sync(fault),
        || {
            assert!(logs::files(&stick.join("up")).is_empty(), "it was taken, and is gone");
            fs::copy(received.join("cosigned"), received.join("checkpoint")).unwrap();
            assert_eq!(third_party(&received, &office.site_vkey(), &office.prepared.witness).unwrap(), 1);
            assert!(office.at_site().contains("cosigned up to 1 leaves"));
        },
    );
    assert!(steps > 8, "{steps}");
}

fn server_sync(office: &Office, url: &str) -> Output {
    run(&["site", "sync", "--server", url, "--home", &office.path("site-1")], None)
}

#[test]
fn over_https_headquarters_are_known_by_the_manifests_key() {
    let _alone = alone();
    let office = Office::new();
    office.site_with_a_log();
    let tls = |config: &mut annona_node::server::Config| config.listen.tls = true;
    let stranger = prepare(PLAN);
    let strange_witness = stranger.start_witness();
    let mut other: Server = stranger.start_issuer(&strange_witness, tls);
    let output = server_sync(&office, &format!("https://{}", other.address));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(75) && text.contains("key"), "{text}");
    other.stop();
    let mut issuer = office.prepared.start_issuer(&office.witness, tls);
    let up = said(&server_sync(&office, &format!("https://{}", issuer.address)));
    assert!(up.contains("1 leaves went up") && up.contains("cosigned up to 1 leaves"), "{up}");
    let again = said(&server_sync(&office, &format!("https://{}", issuer.address)));
    assert!(again.contains("0 leaves went up") && again.contains("cosigned up to 1 leaves"), "{again}");
    issuer.stop();
    let gone = server_sync(&office, &format!("https://{}", issuer.address));
    assert_eq!(gone.status.code(), Some(75), "later");
}

/// What arrives at headquarters by HTTP, by anybody: half, damaged, foreign, twice, at once; and kills in the middle of it.
#[test]
fn headquarters_take_ranges_over_http_whatever_comes_with_them() {
    let _alone = alone();
    let office = Office::new();
    office.site_with_a_log();
    office.at_site();
    let stick = office.root.join("stick/annona").join(office.prepared.id.to_string());
    let good = fs::read(&logs::files(&stick.join("up"))[0]).unwrap();
    let package = Package::from_bytes(&good).unwrap();
    let origin = package.origin.clone();
    let Office { prepared, witness, root } = office;
    drop(witness);
    let net = Net::start(prepared, 0, 1);
    let address = || net.issuer.address().parse().unwrap();
    let send = |bytes: &[u8]| {
        let reply = http::send(address(), "POST", "/v1/logs", &[http::MESSAGE], bytes);
        (reply.status, reply.header("content-type").unwrap().to_owned(), reply.body)
    };
    let code = |bytes: &[u8]| {
        let (_, kind, body) = send(bytes);
        assert_eq!(kind, "application/problem+json");
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"].as_str().unwrap().to_owned()
    };
    for cut in [0, 1, 8, 20, 21, good.len() / 2, good.len() - 1] {
        assert_eq!(code(&good[..cut]), "package-malformed", "{cut}");
    }
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(code(&bad), "package-malformed", "{at}");
    }
    let foreign = Package { origin: "../../etc".into(), ..package.clone() };
    assert_eq!(code(&foreign.to_bytes()), "package-foreign");
    let foreign = Package { programme: annona_protocol::ids::ProgrammeId([1; 32]), ..package.clone() };
    assert_eq!(code(&foreign.to_bytes()), "package-foreign");
    let other = Package { origin: origin.replace("site-1", "site-2"), ..package.clone() };
    assert_eq!(code(&other.to_bytes()), "package-unsigned");
    let mut forged = package.clone();
    forged.entries[0][0] ^= 1;
    assert_eq!(code(&forged.to_bytes()), "package-false");
    for name in ["../../etc", "\u{fffd}", ""] {
        let reply = http::send(address(), "POST", "/v1/logs/state", &[http::MESSAGE], name.as_bytes());
        assert_eq!(reply.status, 404, "{name}");
    }

    // Killed between what it received and the rename, at each of its files.
    let received = net.prepared.issuer.received().join("site-1");
    let mut kills = 0;
    for fault in ["received:1", "file-written:1", "file-written:2", "file-written:3", "file-written:4"] {
        drop(fs::remove_dir_all(&received));
        net.issuer.restart(Some(fault));
        let sent = client(&format!("http://{}", net.issuer.address())).post("/v1/logs", &good);
        if sent.is_err() {
            let deadline = Instant::now() + PATIENCE;
            while !net.issuer.died() {
                assert!(Instant::now() < deadline, "{fault}: {sent:?}");
                std::thread::sleep(Duration::from_millis(3));
            }
            kills += 1;
        }
        net.issuer.restart(None);
        let url = format!("http://{}", net.issuer.address());
        let home = text(&root.join("site-1")).to_owned();
        done(&["site", "sync", "--server", &url, "--home", &home]);
        let (status, _, body) = send(&good);
        let state: Received = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, state.size, state.waits), (200, 1, false), "again is a no-op");
        assert!(state.cosigned.is_some());
    }
    assert!(kills >= 3, "{kills}");
    // All at once.
    drop(fs::remove_dir_all(&received));
    let url = format!("http://{}", net.issuer.address());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client(&url).post("/v1/logs", &good).unwrap());
        }
    });
    net.issuer.kill();
    fs::copy(received.join("cosigned"), received.join("checkpoint")).unwrap();
    let site = VerifierKey::new(&origin, KeyType::Log, net.prepared.site_keys[0].verifying_key()).unwrap();
    assert_eq!(third_party(&received, &site, &net.prepared.witness).unwrap(), 1);
    let issuer = net.prepared.issuer.open(&harness::passphrase(), None).unwrap();
    assert_eq!(issuer.terms().unwrap().threshold, 1, "what was cosigned had to be");
}
