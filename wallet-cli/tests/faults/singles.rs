//! Uniform draws: one voucher each, the same values for every household, and exactly the rest after whatever happens.

use std::{collections::BTreeSet, time::Duration};

use annona_wallet::{Manner, Pace, SEALED_MESSAGES, Singles, common_value, plan_singles};

use super::*;

const EVERYTHING: BTreeMap<LineId, Units> = BTreeMap::new();

/// The values of a list by line, with how many of each.
fn values(view: &InForce<'_>, keys: &KeyCounts) -> BTreeMap<LineId, BTreeMap<u32, u32>> {
    let mut values: BTreeMap<LineId, BTreeMap<u32, u32>> = BTreeMap::new();
    for (at, count) in keys {
        let id = view.key(*at).unwrap().id;
        assert_eq!((id.site, id.round, id.slot), (Some(NORTH), view.round, None));
        *values.entry(id.line).or_default().entry(id.value).or_default() += count;
    }
    values
}

/// What households of any size draw of a line: whole common values, which do not depend on the household, and less than one in
/// smaller ones.
#[test]
fn households_of_any_two_sizes_draw_the_same_values_up_to_the_rest() {
    let world = World::new();
    let view = world.view();
    let mut several = 0;
    for line in &view.header.lines {
        let common = common_value(&view, line, NORTH).unwrap();
        several += u32::from(common > line.values[0]);
        for units in 1..=1000u64 {
            let keys = plan_singles(&view, NORTH, &BTreeMap::from([(line.id, Units(units))])).unwrap();
            let by_line = values(&view, &keys);
            assert_eq!(by_line.len(), 1);
            let of_line = &by_line[&line.id];
            let sum: u64 = of_line.iter().map(|(value, count)| u64::from(*value) * u64::from(*count)).sum();
            assert_eq!(sum, units, "{}", line.name);
            let lots = u64::from(of_line.get(&common).copied().unwrap_or_default());
            assert_eq!(lots, units / u64::from(common), "{} units of {}", units, line.name);
            assert!(of_line.keys().all(|value| *value <= common), "{} units of {}", units, line.name);
        }
        // Whoever is due something of the line is due one of them, in every round.
        let schema = &view.header.schema;
        let [members, children] = [0, 1].map(|at| schema.attributes[at].min..=schema.attributes[at].max);
        for (members, children) in members.flat_map(|members| children.clone().map(move |child| (members, child))) {
            let due = line.accrual_at(view.round).evaluate(&[members, children]).unwrap();
            assert!(due == 0 || due >= i128::from(common), "{}: {members}, {children}", line.name);
        }
    }
    assert!(several > 0, "a line whose common value is not its smallest");
    let unknown = BTreeMap::from([(LineId(99), Units(1))]);
    assert!(matches!(plan_singles(&view, NORTH, &unknown), Err(WalletError::Change { .. })));
}

/// Enrolled, and in the round.
fn begun(world: &World) -> Disk {
    let (disk, wire) = (disk(world), Wire::new(&world.issuer, None, 3));
    enrolled(world, &disk, &wire);
    disk
}

/// Some single draws, from wherever the wallet stands; in the end the list is done.
fn drawn_singly<P: Persist, L: Link>(
    agent: &mut Agent<P, L>,
    world: &World,
    asked: &BTreeMap<LineId, Units>,
    seed: u64,
) -> Result<(), AgentError> {
    let (view, rng) = (world.view(), &mut rng(seed));
    agent.start_singles(&view, NORTH, asked, Manner::default(), rng)?;
    while agent.draw_single(&view, rng)? > 0 {}
    Ok(())
}

/// The lists of keys that the issuer's log has.
fn logged_lists(world: &World) -> Vec<KeyCounts> {
    world.logged();
    let of_draw = |entry: Vec<u8>| match annona_protocol::log::leaf::IssuerLeaf::decode(&entry).unwrap() {
        annona_protocol::log::leaf::IssuerLeaf::Draw(leaf) => Some(leaf.keys),
        _ => None,
    };
    world::entries(world).into_iter().filter_map(of_draw).collect()
}

#[test]
fn a_household_draws_everything_one_voucher_at_a_time() {
    let world = World::new();
    let disk = begun(&world);
    let view = world.view();
    let due = state(&disk).available(&view);
    let wire = Wire::new(&world.issuer, None, 5);
    drawn_singly(&mut agent(&disk, &wire), &world, &EVERYTHING, 6).unwrap();
    let wallet = state(&disk);
    assert!(wallet.available(&view).is_empty());
    let drawn: BTreeMap<LineId, Units> =
        held(&view, &wallet).into_iter().map(|((_, line), units)| (line, Units(units))).collect();
    assert_eq!(drawn, due);
    let singles = wallet.singles().unwrap();
    assert_eq!((singles.left(), singles.made()), (0, wallet.vouchers().len()));
    // A draw each, in an order that is not that of the lines.
    let lists = logged_lists(&world);
    assert_eq!(lists.len(), wallet.vouchers().len());
    assert!(lists.iter().all(|keys| matches!(keys[..], [(_, 1)])), "{lists:?}");
    let order: Vec<_> = lists.iter().map(|keys| keys[0].0).collect();
    assert!(!order.is_sorted() && !order.iter().rev().is_sorted(), "{order:?}");
    // Begun again it is done.
    let messages = wire.count.get();
    drawn_singly(&mut agent(&disk, &wire), &world, &EVERYTHING, 7).unwrap();
    assert_eq!(wire.count.get(), messages);
    let mut wallet = state(&disk);
    wallet.drop_singles();
    wallet.start_singles(&view, NORTH, &EVERYTHING, Manner::default(), &mut rng(8)).unwrap();
    assert!(wallet.singles().is_none(), "nothing is left to plan");
}

/// Killed at every step, refused and lied to, of three units exactly three are drawn.
#[test]
fn single_draws_that_are_disturbed_anywhere_draw_exactly_the_rest() {
    let three = BTreeMap::from([(FOOD, Units(3))]);
    let check = |world: &World, disk: &Disk, refreshes: usize, case: &str| {
        let wallet = state(disk);
        assert_eq!(held(&world.view(), &wallet), BTreeMap::from([((NORTH.0, FOOD), 3)]), "{case}");
        assert_eq!(world.logged(), [1, 1, 3 + refreshes, 0], "{case}");
        assert!(wallet.tasks().is_empty() && !wallet.refresh_due(), "{case}");
        assert_eq!(wallet.singles().map(|it| (it.left(), it.made())), Some((0, 3)), "{case}");
    };
    let steps = {
        let world = World::new();
        let (disk, wire) = (begun(&world), Wire::new(&world.issuer, None, 3));
        drawn_singly(&mut agent(&disk, &wire), &world, &three, 4).unwrap();
        check(&world, &disk, 0, "undisturbed");
        assert_eq!(wire.count.get(), 6, "a session and a draw each");
        wire.power.steps.get()
    };
    for dies_at in 0..steps {
        let world = World::new();
        let (disk, wire) = (begun(&world), Wire::new(&world.issuer, None, 3));
        wire.power.dies_at.set(Some(dies_at));
        drawn_singly(&mut agent(&disk, &wire), &world, &three, 4).expect_err("killed");
        let case = format!("killed at {dies_at}");
        // Resumed first in every second case: what is out is of the list too.
        if dies_at % 2 == 0 {
            agent(&disk, &wire).resume(world.programme(), &mut rng(5)).unwrap();
        }
        drawn_singly(&mut agent(&disk, &wire), &world, &three, 6).unwrap_or_else(|error| panic!("{case}: {error}"));
        check(&world, &disk, 0, &case);
    }
    for (fault, refreshes) in [(Fault::Refused, 1), (Fault::Lied, 0), (Fault::Gone, 0), (Fault::LostAfter, 0)] {
        for at in [1, 3, 5] {
            let world = World::new();
            let (disk, wire) = (begun(&world), Wire::new(&world.issuer, None, 3));
            wire.faults.borrow_mut().insert(at, fault);
            let case = format!("{fault:?} at {at}");
            let first = drawn_singly(&mut agent(&disk, &wire), &world, &three, 4);
            assert_eq!(first.is_err(), matches!(fault, Fault::Refused | Fault::Lied), "{case}: {first:?}");
            drawn_singly(&mut agent(&disk, &wire), &world, &three, 6).unwrap_or_else(|error| panic!("{case}: {error}"));
            check(&world, &disk, refreshes, &case);
        }
    }
}

/// Other draws wait until the list is done or dropped, and none is made twice.
#[test]
fn a_list_is_gone_on_with_or_dropped() {
    let world = World::new();
    let (disk, view) = (begun(&world), world.view());
    let wire = Wire::new(&world.issuer, None, 5);
    let (mut agent, rng) = (agent(&disk, &wire), &mut rng(6));
    let due = agent.wallet().available(&view);
    let two = BTreeMap::from([(FOOD, Units(2))]);
    agent.start_singles(&view, NORTH, &two, Manner::default(), rng).unwrap();
    assert_eq!(agent.draw_single(&view, rng).unwrap(), 1);
    for (site, asked) in [(SOUTH, &two), (NORTH, &EVERYTHING)] {
        let other = agent.start_singles(&view, site, asked, Manner::default(), rng);
        assert!(matches!(other, Err(AgentError::Wallet(WalletError::DrawsLeft))));
    }
    let more = BTreeMap::from([(FOOD, Units(due[&FOOD].0 + 1))]);
    agent.wallet_mut().drop_singles();
    let uncovered = agent.start_singles(&view, NORTH, &more, Manner::default(), rng);
    assert!(matches!(uncovered, Err(AgentError::Wallet(WalletError::Uncovered))));
    let many = BTreeMap::from([(FOOD, Units(501))]);
    let too_many = agent.start_singles(&view, NORTH, &many, Manner::default(), rng);
    assert!(matches!(too_many, Err(AgentError::Wallet(WalletError::ManyDraws { draws: 501 }))));
    assert_eq!(agent.draw_single(&view, rng).unwrap(), 0, "nothing is planned");
    let rest = agent.wallet().plan(&view, NORTH).unwrap();
    agent.draw(&view, rest, rng).unwrap();
    assert_eq!(held(&view, agent.wallet())[&(NORTH.0, FOOD)], due[&FOOD].0);
    assert!(agent.wallet().available(&view).is_empty());
}

/// The draws come at moments within the time, one before each; what was drawn before a kill is not drawn after it.
#[test]
fn draws_are_spread_over_the_time_and_go_on_after_a_kill() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let world = World::new();
    let (disk, view) = (begun(&world), world.view());
    let wire = Wire::new(&world.issuer, None, 5);
    let manner = Manner { spread: true, beyond_words: false };
    let mut lives = Vec::new();
    for (life, most) in [(0, 4), (1, usize::MAX)] {
        let mut waits = Vec::new();
        let mut pace = Pace::new(DAY, |wait| waits.push((wait, wire.count.get())));
        let (mut agent, rng) = (agent(&disk, &wire), &mut rng(7 + life));
        agent.start_singles(&view, NORTH, &EVERYTHING, manner, rng).unwrap();
        let left = |wallet: &Wallet| wallet.singles().map_or(0, Singles::left);
        let mut made = 0;
        while left(agent.wallet()) > 0 && made < most {
            pace.wait(left(agent.wallet()), rng);
            agent.draw_single(&view, rng).unwrap();
            made += 1;
        }
        assert_eq!(agent.wallet().singles().unwrap().manner(), manner);
        let all: Duration = waits.iter().map(|(wait, _)| *wait).sum();
        assert!(all <= DAY && (most == 4 || all > DAY / 2), "{all:?}");
        assert!(waits.iter().map(|(wait, _)| wait).collect::<BTreeSet<_>>().len() == waits.len());
        // Session and draw between two waits, and nothing else.
        assert!(waits.windows(2).all(|pair| pair[1].1 - pair[0].1 == 2), "{waits:?}");
        lives.push(made);
    }
    assert_eq!((lives[0], lives[0] + lives[1]), (4, state(&disk).vouchers().len()));
    assert!(state(&disk).available(&view).is_empty());
}

/// [10.1-M5]: draws that the words would not bring back are not made unless that is wanted; those that are made come back.
#[test]
fn words_bring_single_draws_back_or_they_are_not_made() {
    let world = World::new();
    let lost = restore::with_words(&world, &[7; 32]);
    let (view, wire) = (world.view(), Wire::new(&world.issuer, None, 3));
    enrolled(&world, &lost, &wire);
    let (mut first, rng) = (agent(&lost, &wire), &mut rng(6));
    // The roll-over was a message of the round.
    let covered = SEALED_MESSAGES as usize - 1;
    assert_eq!(first.wallet().sealed_messages_left(view.round), covered);
    let before = (wire.count.get(), first.wallet().encode());
    match first.start_singles(&view, NORTH, &EVERYTHING, Manner::default(), rng) {
        Err(AgentError::Wallet(WalletError::WordsFew { draws, covered: left })) => {
            assert!(draws > covered && left == covered, "{draws}");
        }
        other => panic!("{other:?}"),
    }
    assert!((wire.count.get(), first.wallet().encode()) == before, "nothing was sent or planned");
    let most = BTreeMap::from([(FOOD, Units(4)), (LineId(2), Units(3))]);
    drawn_singly(&mut first, &world, &most, 8).unwrap();
    assert_eq!((first.wallet().vouchers().len(), first.wallet().is_covered(view.round)), (covered, false));

    // The phone is lost: everything is there again.
    let found = restore::with_words(&world, &[7; 32]);
    let restored = restore::restore(&world, &found).unwrap();
    assert_eq!((restored.vouchers, restored.credential), (covered, true));
    assert!(state(&found).available(&view) == first.wallet().available(&view));

    // No more without a word; a refresh may have used up what a plan counted on.
    first.wallet_mut().drop_singles();
    let one = BTreeMap::from([(CASH, Units(1))]);
    let refused = first.start_singles(&view, NORTH, &one, Manner::default(), rng);
    assert!(matches!(refused, Err(AgentError::Wallet(WalletError::WordsFew { draws: 1, covered: 0 }))));
    let beyond = Manner { beyond_words: true, ..Manner::default() };
    first.start_singles(&view, NORTH, &one, beyond, rng).unwrap();
    assert_eq!(first.draw_single(&view, rng).unwrap(), 0);
    assert_eq!(held(&view, first.wallet())[&(NORTH.0, CASH)], 1);
}

/// A plan that counted on seals which a refresh used up stops before the first draw that would not come back.
#[test]
fn a_refresh_does_not_push_a_draw_beyond_the_words() {
    let world = World::new();
    let disk = restore::with_words(&world, &[7; 32]);
    let wire = Wire::new(&world.issuer, None, 3);
    enrolled(&world, &disk, &wire);
    let most = BTreeMap::from([(FOOD, Units(4)), (LineId(2), Units(3))]);
    // Two messages were before; the first draw is refused.
    wire.faults.borrow_mut().insert(3, Fault::Refused);
    assert!(drawn_singly(&mut agent(&disk, &wire), &world, &most, 4).is_err());
    match drawn_singly(&mut agent(&disk, &wire), &world, &most, 5) {
        Err(AgentError::Wallet(WalletError::WordsFew { draws, covered: 0 })) => assert_eq!(draws, 2),
        other => panic!("{other:?}"),
    }
    let found = restore::with_words(&world, &[7; 32]);
    assert_eq!(restore::restore(&world, &found).unwrap().vouchers, state(&disk).vouchers().len());
}

/// Refused, or its session gone, at the last index of the words: neither a refresh nor a new attempt goes beyond them.
#[test]
fn nothing_goes_beyond_the_words_unasked() {
    let most = BTreeMap::from([(FOOD, Units(4)), (LineId(2), Units(3))]);
    for fault in [Fault::Refused, Fault::Gone] {
        let world = World::new();
        let disk = restore::with_words(&world, &[7; 32]);
        let (view, wire) = (world.view(), Wire::new(&world.issuer, None, 3));
        enrolled(&world, &disk, &wire);
        // Ticket and roll-over, six sessions and draws, a session: the last draw has index 7.
        wire.faults.borrow_mut().insert(2 + 12 + 1, fault);
        let stopped = drawn_singly(&mut agent(&disk, &wire), &world, &most, 4);
        assert!(stopped.is_err(), "{fault:?}");
        let sent = wire.count.get();
        for seed in 5..7 {
            match drawn_singly(&mut agent(&disk, &wire), &world, &most, seed) {
                Err(AgentError::Wallet(WalletError::WordsFew { draws: 1, covered: 0 })) => {}
                other => panic!("{fault:?}: {other:?}"),
            }
        }
        agent(&disk, &wire).resume(world.programme(), &mut rng(7)).unwrap();
        let wallet = state(&disk);
        assert_eq!((wire.count.get(), wallet.is_beyond_words(view.round)), (sent, false), "{fault:?}");
        if fault == Fault::Refused {
            // Nor does a plan begin with a refresh that they do not bring back.
            let mut begun = agent(&disk, &wire);
            begun.wallet_mut().drop_singles();
            let one =
                begun.start_singles(&view, NORTH, &BTreeMap::from([(CASH, Units(1))]), Manner::default(), &mut rng(8));
            assert!(matches!(one, Err(AgentError::Wallet(WalletError::WordsFew { draws: 1, covered: 0 }))));
            assert_eq!(wire.count.get(), sent);
        }
        // What was drawn comes back.
        let found = restore::with_words(&world, &[7; 32]);
        assert_eq!(restore::restore(&world, &found).unwrap().vouchers, 6, "{fault:?}");
        // Asked for, it goes on.
        let (mut rest, rng) = (agent(&disk, &wire), &mut rng(9));
        let beyond = Manner { beyond_words: true, ..Manner::default() };
        rest.start_singles(&view, NORTH, &most, beyond, rng).unwrap();
        // The refresh first, and nothing with it.
        assert_eq!(rest.draw_single(&view, rng).unwrap(), usize::from(fault == Fault::Refused), "{fault:?}");
        assert_eq!(rest.draw_single(&view, rng).unwrap(), 0, "{fault:?}");
        assert!(rest.wallet().is_beyond_words(view.round));
    }
}

/// A copy that drew the list leaves nothing of it to the other one, which restores first.
#[test]
fn a_list_that_a_copy_drew_is_given_up_by_a_restore() {
    let world = World::new();
    let disk = restore::with_words(&world, &[7; 32]);
    let (view, wire) = (world.view(), Wire::new(&world.issuer, None, 3));
    enrolled(&world, &disk, &wire);
    let three = BTreeMap::from([(FOOD, Units(3))]);
    agent(&disk, &wire).start_singles(&view, NORTH, &three, Manner::default(), &mut rng(4)).unwrap();
    let copy = Disk::new(disk.borrow().clone().into());
    drawn_singly(&mut agent(&copy, &wire), &world, &three, 5).unwrap();

    let late = drawn_singly(&mut agent(&disk, &wire), &world, &three, 6);
    assert!(matches!(late, Err(AgentError::Refused(_))), "{late:?}");
    assert_eq!(state(&disk).singles().map(Singles::left), Some(3));
    let copied = drawn_singly(&mut agent(&disk, &wire), &world, &three, 7);
    assert!(matches!(copied, Err(AgentError::Wallet(WalletError::Copied))), "{copied:?}");
    let restored = restore::restore(&world, &disk).unwrap();
    assert_eq!((restored.vouchers, restored.credential), (3, true));
    assert!(state(&disk).singles().is_none());
    assert_eq!(held(&view, &state(&disk))[&(NORTH.0, FOOD)], 3);
    assert_eq!(world.logged(), [1, 1, 3, 0]);
}
