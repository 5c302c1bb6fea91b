//! The ledger: random lives of a few households, with real proofs, against a reference that knows only integers.
//!
//! After every step what the protocol allows is what the reference allows, in both directions, and every credential and every
//! published total is the reference's. Where the reference says no, an honest wallet refuses, and the issuer refuses a wallet
//! that lies about its credential.
//!
//! `ANNONA_LEDGER_CASES` sets the number of lives, `ANNONA_LEDGER_SEED` other ones. A failing life is shrunk and printed.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod counter;
mod manifest;
mod model;
mod moves;
mod world;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
};

use annona_protocol::fixture::{LATE_LOT, LOT};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    model::{CASH, FOOD, INFANT, Rate},
    world::World,
};

const CASES: u32 = 80;
const STEPS: std::ops::RangeInclusive<usize> = 1..=80;
const HOUSEHOLDS: usize = 4;
const LAST_ROUND: u32 = 8;

/// How much of what is left.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Nothing,
    One,
    Half,
    All,
    Over,
    FarOver,
}

impl Amount {
    fn of(self, left: i64) -> i64 {
        match self {
            Self::Nothing => 0,
            Self::One => 1,
            Self::Half => (left + 1) / 2,
            Self::All => left,
            Self::Over => left + 1,
            Self::FarOver => left + 5_000,
        }
    }
}

/// A step. Households, visits, slips, lots and places are picked by a number, whatever there is of them.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enrol {
        lot: usize,
        members: i64,
        infants: i64,
        lasts: u32,
    },
    RollOver {
        who: usize,
    },
    /// Rolls over before, if it has to and may.
    Draw {
        who: usize,
        amounts: [Amount; 3],
        place: usize,
        prepared: bool,
    },
    Refresh {
        who: usize,
    },
    Amend {
        who: usize,
        members: i64,
        infants: i64,
        lasts: u32,
    },
    Replay {
        who: usize,
        at: usize,
    },
    Lag {
        who: usize,
    },
    Swap {
        who: usize,
        count: usize,
        to: usize,
    },
    Redeem {
        who: usize,
        place: usize,
        count: usize,
        short: bool,
    },
    Void {
        at: usize,
    },
    Collect {
        at: usize,
    },
    Advance {
        food: usize,
        cash: usize,
        more: u32,
    },
}

/// Rates that a new version may plan. The last two of cash soon reach the width.
const FOOD_RATES: [Rate; 3] = [Rate(0, 1, 0), Rate(0, 2, 1), Rate(0, 0, 0)];
const CASH_RATES: [Rate; 6] =
    [Rate(10, 6, 0), Rate(0, 0, 0), Rate(7, 0, 3), Rate(300, 50, 10), Rate(20_000, 0, 0), Rate(60_000, 100, 0)];

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        4 => Just(Amount::Nothing),
        2 => Just(Amount::One),
        4 => Just(Amount::Half),
        5 => Just(Amount::All),
        2 => Just(Amount::Over),
        1 => Just(Amount::FarOver),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..HOUSEHOLDS;
    // Now and then a household that no schema admits.
    let members = prop_oneof![12 => 1..=15i64, 1 => Just(0i64), 1 => Just(16i64)];
    let infants = prop_oneof![12 => 0..=3i64, 1 => Just(15i64), 1 => Just(16i64)];
    let ticket = (members, infants, 0..8u32).boxed();
    prop_oneof![
        3 => (0..4usize, ticket.clone())
            .prop_map(|(lot, (members, infants, lasts))| Step::Enrol { lot, members, infants, lasts }),
        9 => who.clone().prop_map(|who| Step::RollOver { who }),
        9 => (who.clone(), [amount(), amount(), amount()], 0..3usize, prop::bool::weighted(0.75))
            .prop_map(|(who, amounts, place, prepared)| Step::Draw { who, amounts, place, prepared }),
        1 => who.clone().prop_map(|who| Step::Refresh { who }),
        3 => (who.clone(), ticket)
            .prop_map(|(who, (members, infants, lasts))| Step::Amend { who, members, infants, lasts }),
        2 => (who.clone(), any::<usize>()).prop_map(|(who, at)| Step::Replay { who, at }),
        1 => who.clone().prop_map(|who| Step::Lag { who }),
        3 => (who.clone(), 1..5usize, 0..3usize).prop_map(|(who, count, to)| Step::Swap { who, count, to }),
        7 => (who, 0..3usize, 1..6usize, any::<bool>())
            .prop_map(|(who, place, count, short)| Step::Redeem { who, place, count, short }),
        3 => any::<usize>().prop_map(|at| Step::Void { at }),
        2 => any::<usize>().prop_map(|at| Step::Collect { at }),
        3 => (0..FOOD_RATES.len(), 0..CASH_RATES.len(), 0..3u32)
            .prop_map(|(food, cash, more)| Step::Advance { food, cash, more }),
    ]
}

impl Step {
    /// Takes the step; says what came of it.
    fn take(self, world: &mut World) -> (&'static str, &'static str) {
        let households = world.wallets.len();
        let now = world.model.now;
        // Tickets may have expired, and last for a few rounds.
        let expires = |lasts: u32| (now + lasts).saturating_sub(1);
        let holder = |world: &World, who: usize| world.holder(who);
        let pick = |who: usize| who % households;
        match self {
            Self::Enrol { lot, members, infants, lasts } if households < HOUSEHOLDS => {
                let lots: Vec<u32> = world.model.lots.keys().copied().collect();
                ("enrol", world.enrol(lots[lot % lots.len()], members, infants, expires(lasts)))
            }
            Self::Advance { food, cash, more } if now < LAST_ROUND => {
                let mut rates = [Rate::default(), Rate(1, 0, 1), CASH_RATES[cash]];
                rates[FOOD] = FOOD_RATES[food];
                let outcome = world.advance(rates, more);
                world.lapse();
                ("advance", outcome)
            }
            Self::Void { at } => ("void", world.void(at)),
            Self::Collect { at } => ("collect", world.collect(at)),
            Self::RollOver { who } => ("roll over", world.roll_over(pick(who))),
            Self::Draw { who, amounts, place, prepared } => {
                if prepared && world.model.may_roll_over(pick(who)) {
                    world.roll_over(pick(who));
                }
                let left = world.model.households[pick(who)].left;
                let units = [FOOD, INFANT, CASH].map(|line| amounts[line].of(left[line]));
                ("draw", world.draw(pick(who), units, place))
            }
            Self::Refresh { who } => ("refresh", world.draw(pick(who), [0; 3], 0)),
            Self::Amend { who, members, infants, lasts } => {
                ("amend", world.amend(pick(who), members, infants, expires(lasts)))
            }
            Self::Replay { who, at } => ("replay", world.replay(pick(who), at)),
            Self::Lag { who } => ("lag", world.lag(pick(who))),
            Self::Swap { who, count, to } => ("swap", world.swap(holder(world, who), count, to)),
            Self::Redeem { who, place, count, short } => {
                ("redeem", world.redeem(holder(world, who), place, count, short))
            }
            Self::Enrol { .. } | Self::Advance { .. } => ("nothing", "more of it"),
        }
    }
}

type Tally = BTreeMap<(&'static str, &'static str), u64>;

/// A programme that begins with two households, and one that arrives late.
fn live(seed: u64, steps: &[Step]) -> Tally {
    let mut world = World::new(seed);
    let mut tally = Tally::new();
    for (lot, members, infants) in [(LOT, 4, 1), (LOT, 15, 0), (LATE_LOT, 7, 2)] {
        assert_eq!(world.enrol(lot.0, members, infants, 6), "done");
    }
    for step in steps {
        *tally.entry(step.take(&mut world)).or_default() += 1;
        world.check();
    }
    world.audit();
    tally
}

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Some lives, the same for the same seed.
fn lives(seed: u32, cases: u32, tally: &Mutex<Tally>) {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = (any::<u64>().no_shrink(), prop::collection::vec(step(), STEPS));
    let result = runner.run(&strategy, |(seed, steps)| {
        let seen = live(seed, &steps);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        seen.into_iter().for_each(|(outcome, count)| *tally.entry(outcome).or_default() += count);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn random_lives() {
    let (cases, seed) = (setting("ANNONA_LEDGER_CASES", CASES), setting("ANNONA_LEDGER_SEED", 1));
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u32).min(cases).max(1);
    let tally = Mutex::new(Tally::new());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (tally, share) = (&tally, cases / threads + u32::from(thread < cases % threads));
            scope.spawn(move || lives(seed.wrapping_mul(1_000).wrapping_add(thread), share, tally));
        }
    });
    let tally = tally.into_inner().unwrap();
    tally.iter().for_each(|((step, outcome), count)| println!("{count:>6}  {step}: {outcome}"));
    // A run that never came to one of these would prove little.
    if cases >= CASES {
        for outcome in OUTCOMES {
            assert!(tally.contains_key(outcome), "no life came to {outcome:?}");
        }
    }
}

const OUTCOMES: &[(&str, &str)] = &[
    ("advance", "opened"),
    ("advance", "opened after a refused plan"),
    ("amend", "done"),
    ("amend", "not rolled over"),
    ("amend", "ticket refused"),
    ("collect", "done"),
    ("collect", "in a later round"),
    ("collect", "refused: collected or voided"),
    ("draw", "done"),
    ("draw", "everything"),
    ("draw", "not covered"),
    ("draw", "not rolled over"),
    ("enrol", "done"),
    ("enrol", "refused"),
    ("lag", "refused"),
    ("redeem", "again after a void"),
    ("redeem", "done"),
    ("redeem", "partly owed"),
    ("redeem", "swapped"),
    ("refresh", "refreshed"),
    ("refresh", "not rolled over"),
    ("replay", "draw refused"),
    ("replay", "roll-over refused"),
    ("roll over", "done"),
    ("roll over", "after missed rounds"),
    ("roll over", "expired"),
    ("roll over", "refused"),
    ("swap", "done"),
    ("void", "done"),
    ("void", "refused: its slip was collected"),
    ("void", "refused: voided already"),
];
