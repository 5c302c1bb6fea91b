//! Attacks on the crash, race and retry paths of issuer and site.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::channel,
};

use annona_node::{
    random::os as rng,
    service::{
        issuer::IssuerError,
        site::{CounterId, SiteError, SiteOptions, SiteService},
    },
    store::{Role, Store, StoreError, prepare_second_medium},
};
use annona_protocol::{
    draw::AmendContext,
    group::PublicScalar,
    ids::{Digest, Slot, Units},
    log::leaf::SiteLeaf,
    programme::TicketKind,
    redeem::{CollectRequest, Outcome, RedeemResponse},
    secret::SecretScalar,
    slip::{OwedSlip, RefusalCode},
    ticket::TicketCode,
    voucher::Voucher,
    wire::Message,
};
use world::{CASH, COUNTER, FOOD, Open, ROUND, World, code, entries, slots, world};

// --- A visit's goods, twice ---------------------------------------------------------------------------------------------

fn collect(open: &Open, slip: &OwedSlip, spare: &SecretScalar) -> Result<Outcome, SiteError> {
    let view = open.programme.in_force(ROUND).unwrap();
    let request = CollectRequest::new(&view, slip, &open.place(), spare, &mut rng()).unwrap();
    open.site.collect(&request.encode()).map(|answer| answer.outcome)
}

/// Two units given, the rest owed, the batch closed, the vouchers shown again: what was owed does not go out beside its slip.
#[test]
fn owed_goods_are_not_taken_by_showing_the_vouchers_again_after_the_batch() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(CASH, 34)]);
    let open = world.site(0, 2);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let spare = SecretScalar::random(&mut rng());
    let slip = open.site.redeem(&open.request(COUNTER, &all, &spare)).unwrap().owed.unwrap();
    open.site.close_batch(true).unwrap();
    open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
    let again = open.redeem(&all).unwrap();
    assert_eq!((again.outcome, again.units), (Outcome::AlreadyAccepted, vec![(CASH, Units(2))]));
    let named = open.site.redeem(&open.request(COUNTER, &all, &spare)).unwrap();
    assert_eq!((named.units, named.owed), (vec![(CASH, Units(2))], Some(slip.clone())));
    assert_eq!(collect(&open, &slip, &spare).unwrap(), Outcome::Accepted);
}

/// After the batch one voucher is shown in two visits before either's goods went: they go with one of them.
#[test]
fn goods_of_an_earlier_batch_are_not_taken_by_two_overlapping_visits() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    open.redeem(&all).unwrap();
    open.site.close_batch(true).unwrap();
    let request = open.request(COUNTER, &all, &SecretScalar::random(&mut rng()));
    let whole = open.site.redeem(&request).unwrap();
    let part = open.redeem(&all[..1]).unwrap();
    assert_eq!((whole.outcome, part.outcome), (Outcome::AlreadyAccepted, Outcome::AlreadyAccepted));
    open.site.handed_over(part.visit, COUNTER).unwrap();
    assert!(matches!(open.site.handed_over(part.visit, COUNTER), Err(SiteError::AlreadyHandedOver)));
    assert!(matches!(open.site.handed_over(whole.visit, COUNTER), Err(SiteError::VisitUnknown)));
    assert!(open.site.redeem(&request).is_err(), "the stored answer does not bring them either");
    let mixed = open.redeem(&all).unwrap();
    assert_eq!((mixed.outcome, mixed.receipts.len()), (Outcome::AlreadyAccepted, all.len()));
    let rest = open.redeem(&all[1..]).unwrap();
    assert_eq!(rest.outcome, Outcome::AlreadyAccepted, "the rest still comes");
    assert_eq!(mixed.units, rest.units, "and nothing else with it");
    let units = |answer: &RedeemResponse| answer.units.iter().map(|(_, units)| units.0).sum::<u64>();
    assert_eq!(units(&part) + units(&mixed), 3);
    open.site.handed_over(mixed.visit, COUNTER).unwrap();
    assert!(matches!(open.site.handed_over(rest.visit, COUNTER), Err(SiteError::VisitUnknown)));
    assert_eq!(open.redeem(&all).unwrap().outcome, Outcome::AlreadyHandedOver);
}

/// A collection that was begun before the round's close is not logged behind its statement.
#[test]
fn a_collection_in_flight_does_not_pass_the_statement() {
    for _ in 0..8 {
        let world = world();
        let (_, vouchers) = world.drawn(&[(CASH, 34)]);
        let open = world.site(0, 2);
        let all: Vec<&Voucher> = vouchers.iter().collect();
        let spare = SecretScalar::random(&mut rng());
        let slip = open.site.redeem(&open.request(COUNTER, &all, &spare)).unwrap().owed.unwrap();
        open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
        let ((go, wait), (busy, is_busy)) = (channel::<()>(), channel());
        std::thread::scope(|scope| {
            let store = open.site.store();
            // Whoever holds the reading connection stops the collection at its look at the slip, but not the closing.
            scope.spawn(move || {
                let hold = |_: &rusqlite::Connection| {
                    busy.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                };
                store.read(hold).unwrap();
            });
            is_busy.recv().unwrap();
            let collecting = scope.spawn(|| collect(&open, &slip, &spare));
            let closing = scope.spawn(|| open.site.close_round());
            let closed = || matches!(open.site.take_over(Digest::default(), COUNTER), Err(SiteError::NotOpen));
            while !closed() {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            closing.join().unwrap().unwrap();
            let collected = collecting.join().unwrap().is_ok();
            let log = entries(open.site.store());
            let leaves = log.iter().filter(|entry| matches!(SiteLeaf::decode(entry), Ok(SiteLeaf::Collected(_))));
            assert_eq!(leaves.count(), usize::from(collected), "logged before the statement, or refused");
            assert_eq!(open.site.status().unwrap().pending, 0, "nothing waits behind the statement");
        });
    }
}

// --- Counters' packages -------------------------------------------------------------------------------------------------

struct Counters {
    world: World,
    packs: Vec<Vec<u8>>,
}

impl Counters {
    fn new() -> Self {
        let world = world::world_with(1, 2);
        Self { world, packs: Vec::new() }
    }

    fn open(&mut self, name: &str, slot: u8) -> Open {
        if self.packs.is_empty() {
            self.packs = self.world.issuer.freeze(ROUND).unwrap().iter().map(Message::encode).collect();
        }
        let world = &self.world;
        let (home, key) = (world.homes.path().join(name), world.site_keys[0].clone());
        let new = !home.exists();
        if new {
            SiteService::create(&home, world.programme().id(), &world.announcement(), world::SITE, &key).unwrap();
        }
        let options = SiteOptions { slots: vec![Slot(slot)], ..SiteOptions::default() };
        let site = SiteService::open(Store::open(&home, Role::Site).unwrap(), key, options).unwrap();
        if new {
            site.open_round(&self.packs[0]).unwrap();
            site.set_stock(BTreeMap::from([(FOOD, Units(100)), (CASH, Units(2))])).unwrap();
        }
        Open { site, programme: world.programme() }
    }
}

/// The main store ran with a counter's slot for a while: one voucher, goods at both. The package does not hide it.
#[test]
fn a_voucher_that_two_counters_accepted_is_not_hidden_by_the_package() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 1)]);
    let shared = all.open("main", 1);
    shared.redeem(&[&vouchers[0]]).unwrap();
    drop(shared);
    let (main, other) = (all.open("main", 0), all.open("other", 1));
    other.site.become_counter().unwrap();
    other.redeem(&[&vouchers[0]]).unwrap();
    let package = other.site.hand_over().unwrap();
    assert!(matches!(main.site.take_in(&package), Err(SiteError::HandoverDouble)));
}

/// An earlier package that comes late does not undo the void that came after it; once handed in, a slip is the main store's.
#[test]
fn a_late_package_revives_nothing_and_a_slip_is_paid_by_one_store() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 1), (CASH, 34)]);
    let (main, other) = (all.open("main", 0), all.open("other", 1));
    other.site.become_counter().unwrap();
    let line = |voucher: &&Voucher| other.programme.key(voucher.key()).unwrap().id.line;
    let food: Vec<&Voucher> = vouchers.iter().filter(|voucher| line(voucher) == FOOD).collect();
    let cash: Vec<&Voucher> = vouchers.iter().filter(|voucher| line(voucher) == CASH).collect();
    other.redeem(&food).unwrap();
    let early = other.site.hand_over().unwrap();
    other.void(&food.iter().map(|voucher| (*voucher, 1)).collect::<Vec<_>>()).unwrap();
    let spare = SecretScalar::random(&mut rng());
    let slip = other.site.redeem(&other.request(COUNTER, &cash, &spare)).unwrap().owed.unwrap();
    let package = other.site.hand_over().unwrap();
    for package in [&early, &package, &early] {
        main.site.take_in(package).unwrap();
    }
    let voided = "SELECT count(*) FROM fresh WHERE voided = 1";
    let count: u64 = main.site.store().read(|connection| connection.query_row(voided, [], |row| row.get(0))).unwrap();
    assert_eq!(count, food.len() as u64);
    main.site.close_batch(true).unwrap();
    other.site.handed_in(&package).unwrap();
    for open in [&main, &other] {
        open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
    }
    assert_eq!(collect(&main, &slip, &spare).unwrap(), Outcome::Accepted);
    assert_eq!(collect(&other, &slip, &spare).map_err(code), Err(RefusalCode::OwedUnknown));
    let again = other.site.redeem(&other.request(COUNTER, &cash, &spare)).unwrap();
    assert_eq!(again.owed, Some(slip), "a lost slip comes again where it was given");
}

// --- Commits whose outcome is unknown -----------------------------------------------------------------------------------

/// The ordinary way up to a household's vouchers. Run by the next test in processes whose n-th commit seems to fail.
#[test]
fn a_household_draws_although_a_commit_seems_to_fail() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    assert_eq!(vouchers.len(), 2);
    assert_eq!(world.programme().latest().version, 1);
}

/// Version, opening, enrolment, roll-over, draw: each answer is looked up, and memory follows the store.
#[test]
fn memory_follows_the_store_after_a_commit_of_unknown_outcome() {
    for nth in 6..=10 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_household_draws_although_a_commit_seems_to_fail", "--nocapture"])
            .env("ANNONA_FAULT", format!("commit-unknown:{nth}"))
            .output()
            .unwrap();
        assert!(child.status.success(), "commit {nth}: {}", String::from_utf8_lossy(&child.stderr));
    }
}

// --- The second medium --------------------------------------------------------------------------------------------------

/// A small medium of its own; `None` where this user may not mount one.
struct Stick(PathBuf);

impl Stick {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn probe(store: &Store, at: u64, bytes: usize) -> Result<(), StoreError> {
    let note = vec![7_u8; bytes];
    store
        .write(move |connection| {
            connection.execute("INSERT INTO checkpoints VALUES (?1, x'00', ?2)", rusqlite::params![at, note]).map(drop)
        })?
        .map_err(StoreError::from)
}

fn rows(store: &Store) -> Result<u64, StoreError> {
    store.read(|connection| connection.query_row("SELECT count(*) FROM checkpoints", [], |row| row.get(0)))
}

fn copied(stick: &Path) -> u64 {
    let copy = rusqlite::Connection::open(stick.join("annona-copy.db")).unwrap();
    copy.query_row("SELECT count(*) FROM m_checkpoints", [], |row| row.get(0)).unwrap()
}

/// The second medium fills up in a commit that the first has already made: nothing is read, and so nothing answered, until
/// both have it.
#[test]
fn a_full_second_medium_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stick");
    let Some(stick) = Stick::mount(&path, "2m") else { return };
    prepare_second_medium(&path).unwrap();
    let home = folder.path().join("home");
    drop(Store::create(&home, Role::Site).unwrap());
    let store = Store::open_with(&home, Role::Site, Some(&path)).unwrap();
    probe(&store, 1, 10).unwrap();
    stick.resize("400k");
    assert!(probe(&store, 2, 800_000).is_err());
    assert!(matches!(rows(&store), Err(StoreError::Unknown)), "what only the first medium has is not read");
    assert!(probe(&store, 3, 10).is_err());
    stick.resize("8m");
    probe(&store, 4, 10).unwrap();
    assert_eq!(rows(&store).unwrap(), 3, "the group of unknown outcome holds, the one that was refused does not");
    assert_eq!(copied(&path), 3);
}

/// A first copy that is cut off does not spoil the medium.
#[test]
fn a_first_copy_that_was_cut_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stick");
    let Some(stick) = Stick::mount(&path, "400k") else { return };
    prepare_second_medium(&path).unwrap();
    let home = folder.path().join("home");
    probe(&Store::create(&home, Role::Site).unwrap(), 1, 800_000).unwrap();
    assert!(Store::open_with(&home, Role::Site, Some(&path)).is_err());
    stick.resize("8m");
    drop(Store::open_with(&home, Role::Site, Some(&path)).unwrap());
    assert_eq!(copied(&path), 1);
}

/// The medium is pulled out and put back: another file to the system. The store goes on, in step, without a restart.
#[test]
fn a_second_medium_that_was_pulled_out_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (home, path, away) = (folder.path().join("home"), folder.path().join("stick"), folder.path().join("away"));
    std::fs::create_dir(&path).unwrap();
    prepare_second_medium(&path).unwrap();
    drop(Store::create(&home, Role::Site).unwrap());
    let store = Store::open_with(&home, Role::Site, Some(&path)).unwrap();
    probe(&store, 1, 10).unwrap();
    std::fs::rename(&path, &away).unwrap();
    assert!(probe(&store, 2, 10).is_err());
    assert!(probe(&store, 3, 10).is_err());
    std::fs::create_dir(&path).unwrap();
    for file in std::fs::read_dir(&away).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), path.join(file.file_name())).unwrap();
    }
    probe(&store, 4, 10).unwrap();
    store.compact().unwrap();
    store.truncate_wal().unwrap();
    probe(&store, 5, 10).unwrap();
    assert_eq!((rows(&store).unwrap(), copied(&path)), (3, 3));
}

// --- Waiting for oneself ------------------------------------------------------------------------------------------------

/// A serial that equals the request's own ticket hash: nobody waits twenty seconds for a claim that is its own.
#[test]
fn a_serial_that_is_its_tickets_hash_holds_no_thread() {
    let world = world();
    let credential = world.roll_over(&world.enrol());
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    let (ticket, serial) = std::iter::repeat_with(|| TicketCode::random(&mut rng()))
        .find_map(|code| {
            let scalar = PublicScalar::decode(code.hash(&programme.id(), TicketKind::Amend).0).ok()?;
            Some((code, scalar))
        })
        .unwrap();
    let (_, mut request) = AmendContext::new(&view, &credential, ticket, slots(), &mut rng()).unwrap();
    request.show.serial = serial;
    assert!(matches!(world.issuer.amend(&request.encode(), &mut rng()), Err(IssuerError::TicketUnknown)));
}

#[test]
fn a_counter_that_took_over_is_the_one_that_shows_goods() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let visit = open.redeem(&all).unwrap().visit;
    open.site.take_over(visit, CounterId(2)).unwrap();
    assert_eq!(open.redeem(&all).unwrap().outcome, Outcome::AcceptedAtCounter);
    open.site.close_batch(true).unwrap();
    assert_eq!(open.redeem(&all).unwrap().outcome, Outcome::AcceptedAtCounter);
    assert_eq!(open.redeem_at(CounterId(2), &all).unwrap().units, vec![(FOOD, Units(3))]);
}
