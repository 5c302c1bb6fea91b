//! Attacks on the crash, race and retry paths of issuer and site.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod disk;
mod world;

use std::{collections::BTreeMap, path::Path, process::Command, sync::mpsc::channel};

use annona_node::{
    random::os as rng,
    service::{
        issuer::IssuerError,
        site::{CounterId, SiteError, SiteOptions, SiteService, TakenIn, TapId},
    },
    store::{Role, Store, StoreError, prepare_second_medium},
};
use annona_protocol::{
    audit::receipt::Inclusion,
    draw::AmendContext,
    enrol::EnrolContext,
    group::PublicScalar,
    ids::{Digest, Slot, Units},
    log::{leaf::SiteLeaf, merkle::leaf_hash},
    programme::TicketKind,
    redeem::{CollectRequest, Outcome, RedeemResponse},
    secret::SecretScalar,
    slip::{OwedSlip, RefusalCode},
    ticket::TicketCode,
    voucher::Voucher,
    wire::Message,
};
use disk::{Disk, with_disk};
use world::{CASH, COUNTER, FOOD, Open, ROUND, World, code, entries, slots, world};

// --- A visit's goods, twice ---------------------------------------------------------------------------------------------

fn collect(open: &Open, slip: &OwedSlip, spare: &SecretScalar) -> Result<Outcome, SiteError> {
    let view = open.programme.in_force(ROUND).unwrap();
    let request = CollectRequest::new(&view, slip, &open.place(), spare, &mut rng()).unwrap();
    open.site.collect(&request.encode()).map(|answer| answer.outcome)
}

/// A visit of 34 units to a site that has two: with its vouchers, its spare key, and the answer.
fn short_visit(world: &World) -> (Open, Vec<Voucher>, SecretScalar, RedeemResponse) {
    let (_, vouchers) = world.drawn(&[(CASH, 34)]);
    let open = world.site(0, 2);
    let spare = SecretScalar::random(&mut rng());
    let answer = open.site.redeem(&open.request(COUNTER, &vouchers.iter().collect::<Vec<_>>(), &spare)).unwrap();
    (open, vouchers, spare, answer)
}

/// Two units given, the rest owed, the batch closed, the vouchers shown again: what was owed does not go out beside its slip.
#[test]
fn owed_goods_are_not_taken_by_showing_the_vouchers_again_after_the_batch() {
    let world = world();
    let (open, vouchers, spare, visit) = short_visit(&world);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let slip = visit.owed.unwrap();
    open.site.close_batch(true).unwrap();
    open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
    let again = open.redeem(&all).unwrap();
    assert_eq!((again.outcome, again.units), (Outcome::AlreadyAccepted, vec![(CASH, Units(2))]));
    let named = open.site.redeem(&open.request(COUNTER, &all, &spare)).unwrap();
    assert_eq!((named.units, named.owed), (vec![(CASH, Units(2))], Some(slip.clone())));
    assert_eq!(collect(&open, &slip, &spare).unwrap(), Outcome::Accepted);
}

/// The answer to a tap is lost: the same desk's tap again is the same tap, and goods are handed out; another desk's is not.
#[test]
fn a_tap_sent_again_is_the_same_tap() {
    let world = world();
    let (open, _, spare, visit) = short_visit(&world);
    let [ours, theirs] = [TapId([1; 16]), TapId([2; 16])];
    let twice = |visit| {
        open.site.tapped(visit, COUNTER, Some(ours)).unwrap();
        open.site.tapped(visit, COUNTER, Some(ours)).unwrap();
        for other in [None, Some(theirs)] {
            assert!(matches!(open.site.tapped(visit, COUNTER, other), Err(SiteError::AlreadyHandedOver)));
        }
    };
    twice(visit.visit);
    open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
    let slip = visit.owed.unwrap();
    assert_eq!(collect(&open, &slip, &spare).unwrap(), Outcome::Accepted);
    twice(Digest(slip.content.holder.0));
    // The batch forgets which tap it was.
    open.site.close_batch(true).unwrap();
    let again = open.site.tapped(Digest(slip.content.holder.0), COUNTER, Some(ours));
    assert!(matches!(again, Err(SiteError::AlreadyHandedOver)));
}

/// One collection sent many times at once: one is paid out, and no copy of it hears that there is no such slip.
#[test]
fn a_collection_sent_at_once_is_one_and_none_is_refused() {
    let world = world();
    let (open, _, spare, visit) = short_visit(&world);
    let slip = visit.owed.unwrap();
    open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
    let view = open.programme.in_force(ROUND).unwrap();
    let request = CollectRequest::new(&view, &slip, &open.place(), &spare, &mut rng()).unwrap().encode();
    let barrier = std::sync::Barrier::new(8);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let one = || {
            barrier.wait();
            open.site.collect(&request).unwrap().outcome
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Accepted).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted | Outcome::AlreadyAccepted)));
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

// --- Floods ----------------------------------------------------------------------------------------------------------

/// Somebody tries tickets at random: they are told to wait, and whoever has a ticket enrols.
#[test]
fn wrong_tickets_of_others_keep_nobody_out() {
    let world = world();
    let code = TicketCode::random(&mut rng());
    let (_, wrong) = EnrolContext::new(&world.programme(), TicketKind::Enrol, code, slots(), &mut rng()).unwrap();
    let wrong = wrong.encode();
    let refused = (0..100_000).find_map(|_| match world.issuer.enrol(&wrong, &mut rng()) {
        Err(IssuerError::TicketUnknown) => None,
        Err(error) => Some(error),
        Ok(_) => panic!("a wrong ticket enrols"),
    });
    assert!(matches!(refused, Some(IssuerError::TicketGuesses)), "{refused:?}");
    let _credential = world.enrol();
}

// --- Counters' packages -------------------------------------------------------------------------------------------------

struct Counters {
    world: World,
    packs: Vec<Vec<u8>>,
}

impl Counters {
    fn new() -> Self {
        let world = world::world_with(2, 2);
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
        Open { site, programme: world.programme(), round: ROUND }
    }
}

impl Counters {
    /// A main store with slot 0 and a counter with slot 1.
    fn pair(&mut self) -> (Open, Open) {
        let (main, other) = (self.open("main", 0), self.open("other", 1));
        other.site.become_counter(&main.site.admit_counter(vec![Slot(1)]).unwrap()).unwrap();
        (main, other)
    }
}

/// A counter makes a package and the main store takes it; the counter is told.
fn hand_in(main: &Open, other: &Open) -> TakenIn {
    let packages = other.site.hand_over().unwrap();
    let taken = main.site.take_in(&packages.last().unwrap().1).unwrap();
    other.site.handed_in(&taken.confirmation).unwrap();
    taken
}

fn act(open: &Open, act: &str) -> u64 {
    open.site.status().unwrap().acts.get(act).copied().unwrap_or_default()
}

/// All receipts of an answer, against the main store's log.
fn kept(main: &Open, answer: &RedeemResponse) -> usize {
    let entries = world::entries(main.site.store());
    let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    answer.receipts.iter().filter(|receipt| Inclusion::find(receipt, &entries, &hashes).is_ok()).count()
}

/// The main store ran with a counter's slot for a while: one voucher, goods at both. The first is logged, the second is told, and
/// nobody's receipt is broken by it, in the same batch or a later one.
#[test]
fn a_voucher_that_two_counters_accepted_breaks_nobodys_receipt() {
    for closed in [false, true] {
        let mut all = Counters::new();
        let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 3), (CASH, 2)]);
        let (twice, honest) = vouchers.split_first().unwrap();
        let shared = all.open("main", 1);
        let first = shared.redeem(&[twice]).unwrap();
        if closed {
            shared.site.close_batch(true).unwrap();
        }
        drop(shared);
        let (main, other) = all.pair();
        let second = other.redeem(&[twice]).unwrap();
        let honest = other.redeem(&honest.iter().collect::<Vec<_>>()).unwrap();
        let taken = hand_in(&main, &other);
        assert_eq!(taken.doubled, [twice.shown().mark()], "named");
        assert_eq!((taken.leaves, act(&main, "counter-double")), (honest.receipts.len() as u64, 1));
        main.site.close_batch(true).unwrap();
        assert_eq!([&first, &second, &honest].map(|answer| kept(&main, answer)), [1, 1, honest.receipts.len()]);
        let last = hand_in(&main, &other);
        assert_eq!((last.leaves, last.doubled.len()), (0, 0));
        let statement = main.site.close_round().unwrap().content;
        let counted: u64 = statement.vouchers.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, vouchers.len() as u64, "each voucher once");
    }
}

/// One admission was copied to two machines: both gave goods for one voucher.
#[test]
fn two_stores_with_one_admission_are_told_apart() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 3)]);
    let (main, other) = all.pair();
    let copy = all.open("copy", 1);
    copy.site.become_counter(&main.site.admit_counter(vec![Slot(1)]).unwrap()).unwrap();
    let first = other.redeem(&[&vouchers[0]]).unwrap();
    let both = copy.redeem(&vouchers.iter().collect::<Vec<_>>()).unwrap();
    let (taken, copied) = (hand_in(&main, &other), hand_in(&main, &copy));
    assert_eq!((taken.doubled.len(), copied.doubled.len()), (0, 1));
    main.site.close_batch(true).unwrap();
    assert_eq!((kept(&main, &first), kept(&main, &both)), (1, vouchers.len()));
}

/// What is valid at any slot has no spent set that a counter owns: two counters would both give goods for it.
#[test]
fn a_voucher_of_no_slot_is_taken_by_the_main_store_only() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_anywhere(0, 2);
    let vouchers: Vec<&Voucher> = vouchers.iter().collect();
    let (main, other) = all.pair();
    assert_eq!(other.redeem(&vouchers), Err(RefusalCode::OtherSlot));
    assert_eq!(main.redeem(&vouchers).unwrap().outcome, Outcome::Accepted);
    assert_eq!(main.redeem(&vouchers).unwrap().outcome, Outcome::AlreadyAccepted);
}

/// A dismissed counter comes back after batches were closed without it: what it accepted counts, and nobody is paid twice.
#[test]
fn a_package_that_comes_late_is_logged_late() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 3)]);
    let (_, own) = all.world.drawn_on(1, Some(Slot(0)), &[(FOOD, 3)]);
    let (main, other) = all.pair();
    let answer = other.redeem(&vouchers.iter().collect::<Vec<_>>()).unwrap();
    main.redeem(&own.iter().collect::<Vec<_>>()).unwrap();
    assert!(matches!(main.site.close_batch(true), Err(SiteError::CounterMissing(slots)) if slots == [Slot(1)]));
    assert!(matches!(main.site.dismiss_counter(vec![Slot(0)]), Err(SiteError::NotACounter)));
    main.site.dismiss_counter(vec![Slot(1)]).unwrap();
    assert_eq!(act(&main, "counter-dismissed"), 1);
    main.site.close_batch(true).unwrap();
    let taken = hand_in(&main, &other);
    assert!(taken.late && taken.leaves == answer.receipts.len() as u64);
    assert_eq!(act(&main, "counter-late"), 1);
    main.site.close_batch(true).unwrap();
    assert_eq!(kept(&main, &answer), 0, "logged, but later than promised");
    let units: u64 = main.site.close_round().unwrap().content.units.iter().map(|(_, units)| units.0).sum();
    assert_eq!(units, 6, "and counted");
}

/// A counter goes on while its packages travel, for as many batches as one likes: every promise is kept.
#[test]
fn every_receipt_of_a_counter_is_kept_while_packages_travel() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(FOOD, 3), (CASH, 20)]);
    let (main, other) = all.pair();
    let mut answers = Vec::new();
    let mut travelling = Vec::new();
    for (number, voucher) in vouchers.iter().enumerate() {
        answers.push(other.redeem(&[voucher]).unwrap());
        travelling = other.site.hand_over().unwrap();
        // A stick every second time brings all that waits, the newest first.
        if number % 2 == 1 {
            for (_, package) in travelling.drain(..).rev() {
                other.site.handed_in(&main.site.take_in(&package).unwrap().confirmation).unwrap();
            }
            main.site.close_batch(true).unwrap();
        }
    }
    for (_, package) in travelling {
        other.site.handed_in(&main.site.take_in(&package).unwrap().confirmation).unwrap();
    }
    hand_in(&main, &other);
    other.site.end_counter_round().unwrap();
    main.site.close_round().unwrap();
    assert!(answers.len() > 2 && answers.iter().all(|answer| kept(&main, answer) == 1));
    assert_eq!(act(&main, "counter-late"), 0);
}

/// Once a package is made, its slips are the main store's, also before it arrives, and whatever was closed meanwhile.
#[test]
fn a_slip_is_paid_by_one_store() {
    let mut all = Counters::new();
    let (_, vouchers) = all.world.drawn_on(0, Some(Slot(1)), &[(CASH, 34)]);
    let (main, other) = all.pair();
    let spare = SecretScalar::random(&mut rng());
    let vouchers: Vec<&Voucher> = vouchers.iter().collect();
    let slip = other.site.redeem(&other.request(COUNTER, &vouchers, &spare)).unwrap().owed.unwrap();
    for open in [&main, &other] {
        open.site.set_stock(BTreeMap::from([(CASH, Units(100))])).unwrap();
    }
    assert_eq!(collect(&main, &slip, &spare).map_err(code), Err(RefusalCode::OwedUnknown));
    let packages = other.site.hand_over().unwrap();
    assert_eq!(collect(&other, &slip, &spare).map_err(code), Err(RefusalCode::OwedUnknown), "not while it travels");
    let taken = main.site.take_in(&packages[0].1).unwrap();
    main.site.close_batch(true).unwrap();
    assert_eq!(collect(&other, &slip, &spare).map_err(code), Err(RefusalCode::OwedUnknown), "nor before it is told");
    other.site.handed_in(&taken.confirmation).unwrap();
    assert_eq!(collect(&main, &slip, &spare).unwrap(), Outcome::Accepted);
    assert_eq!(collect(&main, &slip, &spare).unwrap(), Outcome::AlreadyAccepted);
    assert_eq!(collect(&other, &slip, &spare).map_err(code), Err(RefusalCode::OwedUnknown));
    let again = other.site.redeem(&other.request(COUNTER, &vouchers, &spare)).unwrap();
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
    with_disk("a_full_second_medium_is_not_left_behind", &path, 2048, |stick| full_second_medium(stick, folder.path()));
}

fn full_second_medium(stick: &Disk, folder: &Path) {
    let path = stick.path();
    prepare_second_medium(path).unwrap();
    let home = folder.join("home");
    drop(Store::create(&home, Role::Site).unwrap());
    let store = Store::open_with(&home, Role::Site, Some(path)).unwrap();
    probe(&store, 1, 10).unwrap();
    stick.resize(400);
    assert!(probe(&store, 2, 800_000).is_err());
    assert!(matches!(rows(&store), Err(StoreError::Unknown)), "what only the first medium has is not read");
    assert!(probe(&store, 3, 10).is_err());
    stick.resize(8192);
    probe(&store, 4, 10).unwrap();
    assert_eq!(rows(&store).unwrap(), 3, "the group of unknown outcome holds, the one that was refused does not");
    assert_eq!(copied(path), 3);
}

/// A first copy that is cut off does not spoil the medium.
#[test]
fn a_first_copy_that_was_cut_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stick");
    with_disk("a_first_copy_that_was_cut_off_is_made_again", &path, 400, |stick| {
        prepare_second_medium(&path).unwrap();
        let home = folder.path().join("home");
        probe(&Store::create(&home, Role::Site).unwrap(), 1, 800_000).unwrap();
        assert!(Store::open_with(&home, Role::Site, Some(&path)).is_err());
        stick.resize(8192);
        drop(Store::open_with(&home, Role::Site, Some(&path)).unwrap());
        assert_eq!(copied(&path), 1);
    });
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
