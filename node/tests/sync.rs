//! Sites and headquarters: replay, order, gaps, forks, strangers, sticks that are pulled out or hostile, kills.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod logs;
mod world;

use std::{
    cell::RefCell,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use annona_node::{
    publisher::{
        Announcer, PublishError, Publisher, export_issuer,
        tree::{self, Rows},
    },
    random::os as rng,
    service::{
        issuer::IssuerService,
        site::{SiteError, SiteOptions, SiteService},
    },
    store::{LogState, Role, Store},
    sync::{
        Mirror, MirrorError, Package, PackageError, Received,
        headquarters::{Headquarters, HqError, Local},
        site::{SyncError, Synced, sync},
        stick::{Carried, Stick},
    },
    witness::WitnessClient,
};
use annona_protocol::{
    audit::audit,
    ids::{ProgrammeId, Round, SiteId, Units},
    log::{
        VerifierKey,
        leaf::{BatchHeader, SiteLeaf},
    },
    slip::{OpeningPack, Signed},
    wire::Message as _,
};
use ed25519_dalek::SigningKey;
use logs::{files, third_party};
use tempfile::TempDir;
use world::{FOOD, ROUND, World, world};

struct Parties {
    folder: TempDir,
    issuer: Arc<IssuerService>,
    announcer: Announcer,
    client: WitnessClient,
    _serving: annona_audit::witness::Server,
    _homes: TempDir,
    sites: Vec<Site>,
    keys: Vec<SigningKey>,
    witness: SigningKey,
}

struct Site {
    publisher: Publisher<SiteService>,
    home: PathBuf,
}

fn parties() -> Parties {
    let world = world();
    let sites = [0, 1].map(|at| world.announced(at)).into();
    parties_of(world, sites)
}

fn parties_of(world: World, sites: Vec<SiteService>) -> Parties {
    let folder = tempfile::tempdir().unwrap();
    let logs = world::log_keys(&world.programme());
    let (serving, client) = logs::witness(world.witness.clone(), logs, &folder.path().join("witness"));
    let issuer = Arc::new(world.issuer);
    let published = Publisher::new(Arc::clone(&issuer), folder.path().join("published"));
    assert!(published.publish(std::slice::from_ref(&client)).unwrap().is_complete());
    let site = |(at, service)| {
        let home = world.homes.path().join(format!("site-{at}"));
        Site { publisher: Publisher::new(Arc::new(service), home.join("published")), home }
    };
    Parties {
        announcer: Announcer::new(Arc::clone(&issuer)),
        issuer,
        client,
        _serving: serving,
        sites: sites.into_iter().enumerate().map(site).collect(),
        keys: world.site_keys,
        witness: world.witness,
        _homes: world.homes,
        folder,
    }
}

impl Parties {
    fn received(&self) -> PathBuf {
        self.folder.path().join("received")
    }

    fn headquarters(&self) -> Local<'_> {
        let mirror = Mirror::open(&self.received()).unwrap();
        Local::new(&self.issuer, &self.announcer, mirror, vec![self.client.clone()])
    }

    fn receive(&self, package: &Package) -> Result<Received, MirrorError> {
        self.receive_bytes(&package.to_bytes())
    }

    fn receive_bytes(&self, package: &[u8]) -> Result<Received, MirrorError> {
        self.headquarters().receive(package).map_err(|error| match error {
            HqError::Mirror(error) => error,
            other => panic!("{other}"),
        })
    }

    fn size(&self, at: usize) -> u64 {
        self.headquarters().state(&self.sites[at].origin()).unwrap().size
    }

    fn id(&self) -> ProgrammeId {
        self.issuer.with_programme(annona_protocol::programme::Programme::id)
    }

    fn stick(&self, name: &str) -> (PathBuf, Stick) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        let stick = Stick::new(&path, self.id()).unwrap();
        (path.join("annona").join(self.id().to_string()), stick)
    }

    fn carry(&self, stick: &Stick) -> Carried {
        let programme = self.issuer.with_programme(Clone::clone);
        stick.at_headquarters(&self.headquarters(), &programme).unwrap()
    }

    /// The first site's store as a copy that went another way: same key, other leaves.
    fn twin(&self) -> Site {
        let home = self.folder.path().join("twin");
        let announcement = self.sites[0].service().announcement().unwrap();
        SiteService::create(&home, self.id(), &announcement, SiteId(1), &self.keys[0]).unwrap();
        let store = Store::open(&home, Role::Site).unwrap();
        let service = SiteService::open(store, self.keys[0].clone(), SiteOptions::default()).unwrap();
        Site { publisher: Publisher::new(Arc::new(service), home.join("published")), home }
    }

    fn quarantined(&self) -> Vec<PathBuf> {
        let folder = self.received().join(".quarantine");
        if folder.exists() { files(&folder) } else { Vec::new() }
    }
}

impl Site {
    fn service(&self) -> &SiteService {
        self.publisher.owner()
    }

    fn origin(&self) -> String {
        let programme = self.service().programme();
        programme.latest().site(self.service().site()).unwrap().logs.last().unwrap().name.clone()
    }

    fn inbox(&self) -> PathBuf {
        self.home.join("inbox")
    }

    fn sync(&self, headquarters: &dyn Headquarters) -> Synced {
        sync(&self.publisher, headquarters, self.inbox()).unwrap()
    }

    /// Appends leaves that are all different; those of another `fork` are others.
    fn grow(&self, count: u64, fork: u32) {
        let grow = move |connection: &rusqlite::Connection| {
            let mut log = LogState::load(connection)?;
            for _ in 0..count {
                let at = log.frontier.size();
                let header = BatchHeader { number: fork, round: Round(1), start: at, end: at };
                log.append(connection, &SiteLeaf::Batch(header))?;
            }
            Ok::<_, rusqlite::Error>(())
        };
        self.service().store().write(grow).unwrap().unwrap();
    }

    fn package(&self, from: u64, to: u64) -> Package {
        let checkpoint = self.publisher.checkpoint_at(to).unwrap().to_string().into_bytes();
        let before = self.service().store().read(|connection| tree::frontier(&Rows(connection), from)).unwrap();
        let entries = world::entries(self.service().store());
        Package {
            programme: self.service().programme().id(),
            origin: self.origin(),
            from,
            before: before.nodes().to_vec(),
            checkpoint,
            entries: entries[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].to_vec(),
        }
    }
}

/// All files below a folder with their contents.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    if !folder.exists() {
        return Vec::new();
    }
    let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_owned();
    files(folder).iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[test]
fn ranges_come_in_any_order_and_as_often_as_one_likes() {
    let parties = parties();
    let site = &parties.sites[0];
    site.grow(324, 0);
    // Two of them overlap.
    let ranges = [(0, 3), (3, 303), (303, 304), (200, 324)].map(|(from, to)| site.package(from, to));
    for order in [[0, 1, 2, 3], [2, 1, 0, 3], [1, 2, 3, 0], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        for at in order {
            let before = parties.size(0);
            let received = parties.receive(&ranges[at]).unwrap();
            assert_eq!(received.waits, ranges[at].from > before, "{order:?} {at}");
            assert!(received.size >= before && received.size == parties.size(0));
            let held = contents(&parties.received());
            let again = parties.receive(&ranges[at]).unwrap();
            assert_eq!((again.size, again.waits), (received.size, received.waits), "{order:?} {at}");
            assert_eq!(contents(&parties.received()), held, "the same again changes nothing");
        }
        assert_eq!(parties.size(0), 324, "{order:?}");
        assert!(contents(&parties.received().join(".waiting")).is_empty(), "nothing waits any more");
        fs::remove_dir_all(parties.received()).unwrap();
    }
}

#[test]
fn a_received_log_is_the_sites_byte_for_byte() {
    let parties = parties();
    let site = &parties.sites[0];
    for (from, to) in [(0, 1), (1, 255), (255, 257), (257, 557)] {
        site.grow(to - from, 0);
        parties.receive(&site.package(from, to)).unwrap();
        let published = contents(&site.home.join("published"));
        site.publisher.publish(std::slice::from_ref(&parties.client)).unwrap();
        assert_ne!(contents(&site.home.join("published")), published);
    }
    for (name, content) in contents(&site.home.join("published")) {
        let path = parties.received().join("site-1").join(&name);
        if name == Path::new("checkpoint") {
            continue;
        }
        assert_eq!(fs::read(&path).unwrap(), content, "{}", name.display());
    }
    // What lies here may be damaged later: that accuses no site.
    let tile = parties.received().join("site-1/tile/1/000.p/2");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[7] ^= 1;
    fs::write(&tile, bytes).unwrap();
    site.grow(1, 0);
    for package in [site.package(557, 558), site.package(0, 558), site.package(0, 300)] {
        assert!(matches!(parties.receive(&package), Err(MirrorError::Damaged(_))));
    }
    assert!(parties.quarantined().is_empty());
}

#[test]
fn a_fork_is_quarantined_with_both_its_sides() {
    let parties = parties();
    let (site, twin) = (&parties.sites[0], parties.twin());
    site.grow(15, 0);
    twin.grow(15, 1);
    parties.receive(&site.package(0, 5)).unwrap();
    let held = contents(&parties.received().join("site-1"));
    // Smaller, the same size, larger from the beginning, from the middle, from the end.
    for (from, to) in [(0, 4), (0, 5), (0, 9), (3, 9), (5, 9)] {
        let package = twin.package(from, to);
        let Err(MirrorError::Fork { kept }) = parties.receive(&package) else { panic!("{from}..{to} was taken") };
        assert_eq!(fs::read(&kept).unwrap(), package.to_bytes());
        let own = fs::read(kept.with_extension("checkpoint")).unwrap();
        assert_eq!(own, site.package(0, 5).checkpoint, "what it contradicts is kept beside it");
    }
    assert_eq!(parties.quarantined().len(), 10);
    // One that waits behind a gap is found when the gap is filled.
    assert!(parties.receive(&twin.package(9, 12)).unwrap().waits);
    assert_eq!(contents(&parties.received().join("site-1")), held);
    assert_eq!(parties.receive(&site.package(5, 15)).unwrap().size, 15, "the log itself goes on");
    assert_eq!(parties.quarantined().len(), 12);
    assert!(files(&parties.received().join(".waiting")).is_empty());
    // A stolen key does not fill the disk.
    for to in 1..=15 {
        for from in 0..to {
            assert!(matches!(parties.receive(&twin.package(from, to)), Err(MirrorError::Fork { .. })));
        }
    }
    assert_eq!(parties.quarantined().len(), 32);
}

/// Checkpoints and leaves are public: what anybody can make of them must not look like a site that signed two logs.
#[test]
fn nobody_accuses_a_site_with_its_own_checkpoint() {
    let parties = parties();
    let site = &parties.sites[0];
    site.grow(12, 0);
    parties.receive(&site.package(0, 5)).unwrap();
    let forged = [(0, 12), (5, 12), (3, 12), (8, 12), (0, 5), (0, 4)].map(|(from, to)| {
        let mut package = site.package(from, to);
        package.entries[0][0] ^= 1;
        package
    });
    let mut other_before = site.package(5, 12);
    other_before.before[0].0[0] ^= 1;
    for package in forged.iter().chain([&other_before]) {
        let refused = parties.receive(package);
        assert!(matches!(refused, Err(MirrorError::Package(PackageError::Entries))), "{refused:?}");
    }
    assert!(parties.quarantined().is_empty());
    assert!(!parties.received().join(".waiting").exists(), "nor does what is forged wait");
    assert_eq!(parties.receive(&site.package(5, 12)).unwrap().size, 12);
}

#[test]
fn what_is_anothers_is_refused() {
    let parties = parties();
    let [first, second] = &parties.sites[..] else { unreachable!() };
    first.grow(3, 0);
    let package = first.package(0, 3);
    let other = Package { programme: ProgrammeId([9; 32]), ..package.clone() };
    assert!(matches!(parties.receive(&other), Err(MirrorError::Foreign)));
    for name in ["nobody", "../../../etc", "", "annona.example/food-and-cash/issuer"] {
        let other = Package { origin: name.into(), ..package.clone() };
        assert!(matches!(parties.receive(&other), Err(MirrorError::Foreign)), "{name}");
    }
    // Under the other site's name, its key does not verify.
    let other = Package { origin: second.origin(), ..package.clone() };
    assert!(matches!(parties.receive(&other), Err(MirrorError::Package(PackageError::Checkpoint(_)))));
    for broken in [
        Package { entries: package.entries[1..].to_vec(), ..package.clone() },
        Package { from: 1, ..package.clone() },
        Package { from: u64::MAX, ..package.clone() },
        Package { from: u64::MAX, before: vec![annona_protocol::log::TreeHash([0; 32]); 64], ..package.clone() },
        Package { entries: [&package.entries[..], &package.entries[..1]].concat(), ..package.clone() },
        Package { before: vec![annona_protocol::log::TreeHash([0; 32])], ..package.clone() },
    ] {
        assert!(matches!(parties.receive(&broken), Err(MirrorError::Package(PackageError::Entries))));
    }
    assert_eq!(parties.size(0) + parties.size(1), 0);
}

#[test]
fn only_so_many_packages_wait() {
    let parties = parties();
    let site = &parties.sites[0];
    site.grow(40, 0);
    for from in 1..=16 {
        assert!(parties.receive(&site.package(from, 40)).unwrap().waits);
    }
    assert!(matches!(parties.receive(&site.package(17, 40)), Err(MirrorError::TooEarly)));
    assert!(parties.receive(&site.package(16, 40)).unwrap().waits, "again is no other");
    assert_eq!(parties.receive(&site.package(0, 1)).unwrap().size, 40);
    assert!(files(&parties.received().join(".waiting")).is_empty());
}

/// The one file that a site put on a stick.
fn sent(stick: &Path) -> PathBuf {
    let up = files(&stick.join("up"));
    assert_eq!(up.len(), 1, "{up:?}");
    up[0].clone()
}

#[test]
fn a_stick_that_was_pulled_out_is_read_as_if_the_file_were_not_there() {
    let parties = parties();
    let site = &parties.sites[0];
    site.grow(4, 0);
    let (path, stick) = parties.stick("stick");
    assert_eq!(site.sync(&stick).sent, 4, "a new stick: nothing of headquarters is on it");
    let file = sent(&path);
    let good = fs::read(&file).unwrap();
    for cut in 0..good.len() {
        fs::write(&file, &good[..cut]).unwrap();
        let carried = parties.carry(&stick);
        assert!(carried.taken.is_empty() && carried.refused.len() == 1, "{cut}: {carried:?}");
        assert!(file.exists(), "what was refused stays");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        assert!(parties.carry(&stick).taken.is_empty(), "byte {at}");
    }
    assert!(parties.size(0) == 0 && parties.quarantined().is_empty(), "a damaged file is no fork");
    // Half a file under the temporary name is not looked at, and goes with the next writing.
    fs::write(file.with_file_name(format!(".{}.part", file.file_name().unwrap().display())), b"half").unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(parties.carry(&stick), Carried::default());
    assert_eq!(site.sync(&stick).sent, 4);
    assert_eq!(fs::read(&file).unwrap(), good);
    assert_eq!(parties.carry(&stick).taken[0].size, 4);
    assert!(files(&path.join("up")).is_empty(), "nothing is left over");

    // Headquarters' files, cut or damaged: the site sends everything again, and tells.
    for name in fs::read_dir(path.join("down")).unwrap().map(|entry| entry.unwrap().path()) {
        let whole = fs::read(&name).unwrap();
        let step = (whole.len() / 200).max(1);
        for cut in (0..whole.len()).step_by(step) {
            fs::write(&name, &whole[..cut]).unwrap();
            let synced = site.sync(&stick);
            let text = name.file_name().unwrap().to_str().unwrap().to_owned();
            match text.split('-').next().unwrap() {
                "announcement" => assert!(synced.refused.len() == 1 && !synced.announced, "{cut}: {synced:?}"),
                _ => assert!(synced.refused.is_empty(), "{text}, {cut}: {synced:?}"),
            }
            let own = name == state_of(&path, site);
            assert_eq!(synced.sent, if own { 4 } else { 0 }, "{text}, {cut}");
        }
        fs::write(&name, &whole).unwrap();
    }
    // Replayed, it is older, and goes.
    assert_eq!(parties.carry(&stick).taken[0].size, 4);
    assert_eq!(site.sync(&stick), Synced { cosigned: Some(4), ..Synced::default() });
}

/// What headquarters tell on a stick of a log.
fn state_of(stick: &Path, site: &Site) -> PathBuf {
    stick.join(format!("down/state-{}", &blake3::hash(site.origin().as_bytes()).to_hex()[..32]))
}

#[test]
fn sticks_that_cross_each_other_lose_nothing() {
    let parties = parties();
    let site = &parties.sites[0];
    let sticks: Vec<_> = ["a", "b", "c"].map(|name| parties.stick(name)).into();
    site.grow(10, 0);
    assert_eq!(site.sync(&sticks[0].1).sent, 10);
    site.grow(10, 0);
    assert_eq!(site.sync(&sticks[1].1).sent, 20);
    // The later one arrives first; the earlier one says nothing new.
    assert_eq!(parties.carry(&sticks[1].1).taken[0].size, 20);
    assert_eq!(parties.carry(&sticks[0].1).taken[0].size, 20);
    site.grow(5, 0);
    assert_eq!(site.sync(&sticks[1].1).sent, 5, "only what is new");
    let package = sent(&sticks[1].0);
    // A copy of it travels twice.
    let copy = sticks[2].0.join(package.strip_prefix(&sticks[1].0).unwrap());
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(&package, &copy).unwrap();
    assert_eq!(parties.carry(&sticks[2].1).taken[0].size, 25);
    assert_eq!(parties.carry(&sticks[1].1).taken[0].size, 25);
    // An old state sends again what is known; a lost one sends everything.
    fs::remove_file(state_of(&sticks[1].0, site)).unwrap();
    assert_eq!(site.sync(&sticks[1].1).sent, 25);
    assert_eq!(parties.carry(&sticks[1].1).taken[0].size, 25);
    assert_eq!(site.sync(&sticks[0].1).sent, 5);
}

#[test]
fn a_hostile_stick_gets_nothing_written_read_or_followed() {
    let parties = parties();
    let site = &parties.sites[0];
    site.grow(3, 0);
    let outside = parties.folder.path().join("outside");
    fs::create_dir_all(outside.join("folder")).unwrap();
    let package = site.package(0, 3).to_bytes();
    for name in ["package", "folder/package"] {
        fs::write(outside.join(name), &package).unwrap();
    }
    let before = contents(&outside);
    let log = blake3::hash(site.origin().as_bytes()).to_hex()[..32].to_owned();
    let unharmed = || {
        assert_eq!(contents(&outside), before, "nothing outside was changed, made or removed");
        assert_eq!(parties.size(0), 0, "nor read");
    };
    let programme = parties.issuer.with_programme(Clone::clone);
    let at_headquarters = |stick: &Stick| stick.at_headquarters(&parties.headquarters(), &programme);

    // Links in place of each folder.
    for (number, link) in ["up", "down", &format!("up/{log}")].iter().enumerate() {
        let (path, stick) = parties.stick(&format!("folder-{number}"));
        fs::create_dir_all(path.join(link).parent().unwrap()).unwrap();
        symlink(outside.join("folder"), path.join(link)).unwrap();
        let carried = at_headquarters(&stick);
        assert!(carried.is_err() || carried.is_ok_and(|carried| carried.refused.len() == 1), "{link}");
        assert!(sync(&site.publisher, &stick, site.inbox()).is_err(), "{link}");
        unharmed();
    }
    let linked = parties.folder.path().join("linked");
    fs::create_dir_all(&linked).unwrap();
    symlink(outside.join("folder"), linked.join("annona")).unwrap();
    assert!(Stick::new(&linked, parties.id()).is_err());
    assert!(Stick::new(&parties.folder.path().join("not-there"), parties.id()).is_err());
    unharmed();

    // Links in place of files, also of the temporary ones.
    let (path, stick) = parties.stick("files");
    for folder in [path.join("up").join(&log), path.join("down")] {
        fs::create_dir_all(&folder).unwrap();
    }
    let names = [
        "down/announcement",
        "down/.announcement.part",
        &format!("down/state-{log}"),
        &format!("down/.state-{log}.part"),
        &format!("up/{log}/00000000000000000000"),
        &format!("up/{log}/.00000000000000000000.part"),
        &format!("up/{log}/x"),
    ];
    for name in names {
        symlink(outside.join("package"), path.join(name)).unwrap();
    }
    let carried = at_headquarters(&stick).unwrap();
    assert!(carried.taken.is_empty() && carried.refused.len() == 2, "{carried:?}");
    unharmed();
    assert!(!path.join("down/announcement").is_symlink(), "a link was replaced, not followed");
    assert_eq!(site.sync(&stick).sent, 3);
    assert_eq!(contents(&outside), before);

    // A device that never ends, a file that takes all memory, folders for files, thousands of names, names for a terminal.
    let (path, stick) = parties.stick("strange");
    let up = path.join("up").join(&log);
    fs::create_dir_all(up.join("folder")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(up.join("fifo")).status().unwrap().success());
    File::create(up.join("long")).unwrap().set_len(1 << 40).unwrap();
    fs::write(up.join("\u{1b}[2Jname\u{202e}"), b"x").unwrap();
    for number in 0..5000 {
        fs::write(up.join(format!("many-{number}")), b"").unwrap();
    }
    fs::create_dir_all(path.join("up/another-log")).unwrap();
    let carried = at_headquarters(&stick).unwrap();
    assert!(carried.taken.is_empty() && (10..=100).contains(&carried.refused.len()), "{}", carried.refused.len());
    fs::remove_dir_all(&up).unwrap();
    fs::create_dir_all(up.join("folder")).unwrap();
    fs::write(up.join("\u{1b}[2Jname\u{202e}"), b"x").unwrap();
    let text = at_headquarters(&stick).unwrap().refused.join("\n");
    assert!(text.lines().count() == 3 && text.contains("another-log") && text.contains("no plain file"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    for (name, long) in [("announcement", true), ("pack-1-1", true), (&*format!("state-{log}"), false)] {
        let path = path.join("down").join(name);
        drop(fs::remove_file(&path));
        if long {
            File::create(&path).unwrap().set_len(1 << 40).unwrap();
        } else {
            fs::create_dir(&path).unwrap();
        }
        assert!(matches!(sync(&site.publisher, &stick, site.inbox()), Err(SyncError::Headquarters(HqError::Stick(_)))));
        if long {
            fs::remove_file(&path).unwrap();
        }
    }
    unharmed();
}

/// Headquarters that say what a test wants.
#[derive(Default)]
struct Says {
    announcement: Option<Vec<u8>>,
    pack: RefCell<Option<Vec<u8>>>,
    state: Received,
}

impl Headquarters for Says {
    fn announcement(&self) -> Result<Option<Vec<u8>>, HqError> {
        Ok(self.announcement.clone())
    }

    fn pack(&self, _: Round, _: SiteId) -> Result<Option<Vec<u8>>, HqError> {
        Ok(self.pack.borrow().clone())
    }

    fn state(&self, _: &str) -> Result<Received, HqError> {
        Ok(self.state.clone())
    }

    fn receive(&self, package: &[u8]) -> Result<Received, HqError> {
        let package = Package::from_bytes(package).unwrap();
        Ok(Received { size: package.from + package.entries.len() as u64, ..Received::default() })
    }
}

#[test]
fn an_old_a_second_and_a_foreign_opening_pack_open_nothing() {
    let parties = parties();
    let site = &parties.sites[0];
    let packs = parties.issuer.freeze(ROUND).unwrap();
    let (good, other_site) = (packs[0].encode(), packs[1].encode());
    let mut terms = packs[0].content.clone();
    terms.size += 1;
    let second = Signed::sign(terms.clone(), parties.issuer.log_key()).encode();
    let forged = Signed::sign(terms, &parties.keys[0]).encode();
    let says = Says::default();
    let comes = |pack: &[u8]| {
        *says.pack.borrow_mut() = Some(pack.to_vec());
        site.sync(&says)
    };
    let inbox = site.inbox().join("round-1.pack");
    for wrong in [&other_site, &forged, &good[..good.len() - 1].to_vec(), &Vec::new()] {
        let synced = comes(wrong);
        assert!(synced.packs.is_empty() && synced.refused.len() == 1, "{synced:?}");
        assert!(!inbox.exists(), "what does not verify does not lie in the way");
    }
    // What lies there by other ways does not either.
    fs::create_dir_all(site.inbox()).unwrap();
    fs::write(&inbox, b"half").unwrap();
    assert_eq!(comes(&good).packs, [1]);
    assert_eq!(fs::read(&inbox).unwrap(), good);
    assert_eq!(comes(&good), Synced::default(), "again is nothing new");
    assert_eq!(site.service().status().unwrap().round, None, "no round is opened by a sync");
    let kept = || files(&site.inbox().join(".quarantine"));
    let synced = comes(&second);
    assert!(synced.packs.is_empty() && synced.refused.len() == 1, "{synced:?}");
    assert_eq!((fs::read(&inbox).unwrap(), fs::read(&kept()[0]).unwrap()), (good.clone(), second.clone()));
    site.service().open_round(&good).unwrap();
    fs::remove_file(&inbox).unwrap();
    assert_eq!(comes(&second).refused.len(), 1, "the open round's own pack is compared too");
    assert!(!inbox.exists() && kept().len() == 1);
    site.service().close_round().unwrap();
    for old in [&good, &second] {
        let synced = comes(old);
        assert!(synced.packs.is_empty() && synced.refused.is_empty() && !inbox.exists(), "{synced:?}");
    }
}

#[test]
fn what_headquarters_claim_counts_only_with_the_sites_own_signature() {
    let parties = parties();
    let (site, twin) = (&parties.sites[0], parties.twin());
    site.grow(5, 0);
    twin.grow(9, 1);
    let claims = |size, checkpoint: Option<Vec<u8>>, cosigned: Option<&str>| {
        let checkpoint = checkpoint.map(|note| String::from_utf8(note).unwrap());
        let state = Received { size, checkpoint, cosigned: cosigned.map(str::to_owned), ..Received::default() };
        sync(&site.publisher, &Says { state, ..Says::default() }, site.inbox())
    };
    assert_eq!(claims(0, None, None).unwrap().sent, 5);
    assert_eq!(claims(u64::MAX, None, None).unwrap().sent, 5, "a number alone is nothing");
    let unsigned = claims(u64::MAX, Some(b"x\n9\n".to_vec()), Some("y")).unwrap();
    assert!(unsigned.sent == 5 && unsigned.refused.len() == 2, "{unsigned:?}");
    assert_eq!(claims(0, Some(site.package(0, 3).checkpoint), None).unwrap().sent, 2);
    // More than this store has, or another root, under its own key: the store was rolled back or copied.
    let ahead = claims(0, Some(twin.package(0, 9).checkpoint), None);
    assert!(matches!(ahead, Err(SyncError::Behind { theirs: 9, own: 5 })), "{ahead:?}");
    let other = claims(0, Some(twin.package(0, 4).checkpoint), None);
    assert!(matches!(other, Err(SyncError::Publish(PublishError::SecondRoot { size: 4 }))), "{other:?}");
    // An announcement that contradicts is kept, and stops nothing.
    let other_world = world();
    let says = Says { announcement: Some(other_world.announcement()), ..Says::default() };
    let synced = site.sync(&says);
    assert!(synced.sent == 5 && synced.refused.len() == 1 && !synced.announced, "{synced:?}");
    assert!(matches!(site.service().announce(&other_world.announcement()), Err(SiteError::Announcement(_))));
}

/// Sites that never reach a witness or headquarters but by a stick, up to an audit that verifies.
#[test]
fn a_whole_round_by_stick() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let [north, south] = [0, 1].map(|at| world.site(at, 100));
    north.redeem(&vouchers.iter().collect::<Vec<_>>()).unwrap();
    for open in [&north, &south] {
        open.site.close_round().unwrap();
    }
    world.issuer.close_round(ROUND).unwrap();
    let logs: Vec<VerifierKey> = world::log_keys(&world.programme());
    let parties = parties_of(world, vec![north.site, south.site]);
    let (_, stick) = parties.stick("stick");
    for site in &parties.sites {
        assert!(site.sync(&stick).sent > 0);
    }
    let carried = parties.carry(&stick);
    assert!(carried.taken.len() == 2 && carried.refused.is_empty(), "{carried:?}");
    let export = parties.folder.path().join("export");
    export_issuer(&parties.issuer, &parties.received(), &export).unwrap();
    for (at, log) in logs[1..].iter().enumerate() {
        third_party(&export.join(format!("logs/site-{}", at + 1)), log, &parties.witness).unwrap();
    }
    let published = annona_audit::load(&export).unwrap();
    let verified = audit(parties.id(), &published, &mut rng(), &|_| {}).verified().unwrap();
    assert_eq!(verified.totals().redeemed().collect::<Vec<_>>(), [(ROUND, world::SITE, FOOD, Units(3))]);
    // The sites learn that they are cosigned, without a link.
    for (site, log) in parties.sites.iter().zip(&logs[1..]) {
        let synced = site.sync(&stick);
        let size = site.service().store().log_size().unwrap();
        assert!(synced.sent == 0 && synced.cosigned == Some(size), "{synced:?}");
        assert_eq!(third_party(&site.home.join("published"), log, &parties.witness).unwrap(), size);
    }
}

#[test]
fn one_process_works_on_the_received_logs() {
    let parties = parties();
    let _held = parties.headquarters();
    assert!(matches!(Mirror::open(&parties.received()), Err(MirrorError::Locked)));
}

#[test]
fn packs_reach_a_site_by_stick_and_only_its_own() {
    let parties = parties();
    let (path, stick) = parties.stick("stick");
    assert_eq!(parties.carry(&stick), Carried::default());
    assert!(parties.sites[0].sync(&stick).packs.is_empty(), "before the freeze there is none");
    let packs = parties.issuer.freeze(ROUND).unwrap();
    parties.carry(&stick);
    for (site, pack) in parties.sites.iter().zip(&packs) {
        assert_eq!(site.sync(&stick).packs, [1]);
        let pack_here = fs::read(site.inbox().join("round-1.pack")).unwrap();
        assert_eq!(OpeningPack::decode(&pack_here).unwrap(), *pack);
    }
    // Headquarters put right what somebody changed.
    fs::write(path.join("down/pack-1-1"), packs[1].encode()).unwrap();
    parties.carry(&stick);
    assert_eq!(fs::read(path.join("down/pack-1-1")).unwrap(), packs[0].encode());
}
