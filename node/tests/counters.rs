//! Two counters without a network, by the real program and a memory stick.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use annona_node::{
    keys::{Passphrase, write_secret},
    service::site::{SiteOptions, SiteService},
    store::{Role, Store},
};
use annona_protocol::{
    audit::receipt::Inclusion,
    ids::Slot,
    log::merkle::leaf_hash,
    redeem::{Outcome, RedeemResponse},
    voucher::Voucher,
    wire::Message as _,
};
use world::{CASH, FOOD, Open, ROUND, World};

/// A process that a test starts holds, until it runs its program, the lock of a store that another test has open.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const PASSPHRASE: &str = "correct horse battery staple";

struct Site {
    world: World,
    stick: PathBuf,
}

impl Site {
    fn new() -> Self {
        let world = world::world_with(2, 2);
        let root = world.homes.path().to_owned();
        let stick = root.join("stick");
        fs::create_dir(&stick).unwrap();
        let pack = root.join("pack");
        fs::write(&pack, world.issuer.freeze(ROUND).unwrap()[0].encode()).unwrap();
        let site = Self { world, stick };
        for (name, slot) in [("main", "0"), ("other", "1")] {
            let (world, home) = (&site.world, root.join(name));
            let key = &world.site_keys[0];
            SiteService::create(&home, world.programme().id(), &world.announcement(), world::SITE, key).unwrap();
            fs::create_dir(home.join("keys")).unwrap();
            let passphrase = Passphrase::new(PASSPHRASE.into());
            write_secret(&home.join("keys/site.age"), key.as_bytes(), &passphrase, 2).unwrap();
            let pack = pack.to_str().unwrap();
            site.done(name, &["open", pack, "--day-code", "none", "--slot", slot]);
            site.done(name, &["stock", "1=100", "4=2", "--slot", slot]);
        }
        site
    }

    fn run(&self, name: &str, arguments: &[&str], fault: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annona-node"));
        command.arg("site").args(arguments).arg("--home").arg(self.world.homes.path().join(name));
        command.env("ANNONA_PASSPHRASE", PASSPHRASE).env_remove("ANNONA_FAULT").stdin(Stdio::null());
        if let Some(fault) = fault {
            command.env("ANNONA_FAULT", fault);
        }
        command.output().unwrap()
    }

    fn done(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(name, arguments, None);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(name, arguments, None);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn counter<'a>(&'a self, name: &str, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let slot = if name == "main" { "0" } else { "1" };
        let stick = self.stick.to_str().unwrap();
        [&["counter", command, "--usb", stick, "--slot", slot], more].concat()
    }

    /// The store in this process, while no command runs.
    fn open(&self, name: &str, slot: u8) -> Open {
        let options = SiteOptions { slots: vec![Slot(slot)], ..SiteOptions::default() };
        let store = Store::open(&self.world.homes.path().join(name), Role::Site).unwrap();
        let site = SiteService::open(store, self.world.site_keys[0].clone(), options).unwrap();
        Open { site, programme: self.world.programme() }
    }

    fn on_stick(&self, ending: &str) -> Vec<PathBuf> {
        let folder = self.stick.join("annona").join(self.world.programme().id().to_string()).join("counters");
        let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == ending));
        found.sort();
        found
    }
}

fn kept(main: &Open, answer: &RedeemResponse) -> usize {
    let entries = world::entries(main.site.store());
    let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    answer.receipts.iter().filter(|receipt| Inclusion::find(receipt, &entries, &hashes).is_ok()).count()
}

#[test]
fn two_counters_share_a_log_by_a_stick() {
    let _alone = alone();
    let site = Site::new();
    let (_, first) = site.world.drawn_on(0, Some(Slot(0)), &[(FOOD, 3)]);
    let (_, second) = site.world.drawn_on(1, Some(Slot(1)), &[(FOOD, 3), (CASH, 2)]);
    let (first, second): (Vec<&Voucher>, Vec<&Voucher>) = (first.iter().collect(), second.iter().collect());
    assert!(site.refused("other", &site.counter("other", "become", &[])).contains("site counter admit"));
    assert!(site.refused("main", &site.counter("main", "admit", &["--for-slot", "0"])).contains("Choose others"));
    site.done("main", &site.counter("main", "admit", &["--for-slot", "1"]));
    site.done("other", &site.counter("other", "become", &[]));
    let (of_main, of_other) =
        (site.open("main", 0).redeem(&first).unwrap(), site.open("other", 1).redeem(&second).unwrap());
    let missing = site.refused("main", &["close-batch", "--insist", "--slot", "0"]);
    assert!(missing.contains("slot 1 did not hand over"), "{missing}");
    assert!(site.done("main", &["counter", "list", "--slot", "0"]).contains("slot 1        has to hand over"));

    // A stick that is not there closes nothing; one that is pulled out at any step costs nothing.
    let (away, slot) = (site.stick.join("away"), ["--slot", "1"]);
    site.refused("other", &[&["counter", "hand-over", "--usb", away.to_str().unwrap()], &slot[..]].concat());
    assert_eq!(site.open("other", 1).site.unconfirmed().unwrap(), 0);
    for (name, command) in [("other", "hand-over"), ("main", "take-in"), ("other", "handed-in")] {
        let mut kills = 0;
        while !site.run(name, &site.counter(name, command, &[]), Some("stick:1")).status.success() {
            kills += 1;
            assert!(kills < 3, "{command} does not get further");
            for step in 2..6 {
                site.run(name, &site.counter(name, command, &[]), Some(&format!("stick:{step}")));
            }
            site.done(name, &site.counter(name, command, &[]));
        }
        assert!(kills > 0, "{command} was not killed");
    }
    assert!(site.done("main", &["counter", "list", "--slot", "0"]).contains("slot 1        handed over"));
    assert_eq!(site.on_stick("package"), Vec::<PathBuf>::new(), "taken, and off the stick");
    assert_eq!(site.open("other", 1).site.unconfirmed().unwrap(), 0);
    site.done("main", &["close-batch", "--insist", "--slot", "0"]);

    // The round's end: once more each way.
    site.refused("main", &["close-round", "--slot", "0"]);
    site.done("other", &site.counter("other", "hand-over", &[]));
    assert!(site.refused("other", &["counter", "end-round", "--slot", "1"]).contains("handed in"));
    site.done("main", &site.counter("main", "take-in", &[]));
    assert!(site.done("other", &site.counter("other", "handed-in", &[])).contains("1 packages are confirmed"));
    site.done("other", &["counter", "end-round", "--slot", "1"]);
    site.done("main", &["close-round", "--slot", "0"]);
    let main = site.open("main", 0);
    assert_eq!([kept(&main, &of_main), kept(&main, &of_other)], [of_main.receipts.len(), of_other.receipts.len()]);
    assert_eq!(of_other.outcome, Outcome::Accepted);
}

#[test]
fn what_else_lies_on_a_counters_stick_is_told_and_stays() {
    let _alone = alone();
    let site = Site::new();
    site.done("main", &site.counter("main", "admit", &["--for-slot", "1"]));
    site.done("other", &site.counter("other", "become", &[]));
    let (_, vouchers) = site.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 3)]);
    site.open("other", 1).redeem(&vouchers.iter().collect::<Vec<_>>()).unwrap();
    site.done("other", &site.counter("other", "hand-over", &[]));
    let package = site.on_stick("package").pop().unwrap();
    let good = fs::read(&package).unwrap();
    let beside = |name: &str| package.with_file_name(name);
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let outside = site.world.homes.path().join("outside");
    fs::write(&outside, &good).unwrap();
    symlink(&outside, beside("site-1-link.package")).unwrap();
    fs::create_dir(beside("site-1-folder.package")).unwrap();
    fs::write(beside("site-1-half.package"), &good[..good.len() / 2]).unwrap();
    fs::write(beside("site-1-flip.package"), damaged(good.len() / 2)).unwrap();
    fs::write(beside("site-1-\u{1b}[2J.package"), b"").unwrap();
    fs::write(beside("site-2-other.package"), &good).unwrap();
    fs::File::create(beside("site-1-long.package")).unwrap().set_len(1 << 40).unwrap();
    let told = site.refused("main", &site.counter("main", "take-in", &[]));
    assert!(told.lines().count() == 7 && !told.contains('\u{1b}'), "{told}");
    assert_eq!(fs::read(&outside).unwrap(), good);
    assert_eq!(site.on_stick("package").len(), 7, "what was refused stays, and another site's");
    assert!(!Path::new(&package).exists(), "the good one was taken");
    // Confirmations: another's, half of one, none.
    let confirmation = site.on_stick("taken").pop().unwrap();
    let whole = fs::read(&confirmation).unwrap();
    fs::write(&confirmation, &whole[..whole.len() - 1]).unwrap();
    site.refused("other", &site.counter("other", "handed-in", &[]));
    assert_eq!(site.open("other", 1).site.unconfirmed().unwrap(), 1);
    fs::write(&confirmation, &whole).unwrap();
    site.done("main", &site.counter("main", "handed-in", &[]));
    assert!(confirmation.exists(), "not this store's");
    site.done("other", &site.counter("other", "handed-in", &[]));
    assert!(!confirmation.exists() && site.open("other", 1).site.unconfirmed().unwrap() == 0);
}
