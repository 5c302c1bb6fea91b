//! Verification of many logged proofs at once, on one core and on two.
//!
//! Every core adds its share of the batch to an accumulator of its own and evaluates it: one multi-scalar multiplication a
//! core, no step that all cores wait for.

use annona_protocol::{
    fixture::LOT,
    group::Accumulator,
    hazmat,
    log::leaf::{EnrolLeaf, ShowRecord},
    secret::Weights,
};
use rand_chacha::ChaCha20Rng;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

use super::{BATCHES, Part};
use crate::{
    measure::Case,
    world::{self, ATTRIBUTES, EXPIRES, World},
};

/// Distinct proofs that a batch repeats where making as many as it holds would take minutes. Nothing is merged between
/// proofs but generators and keys, which all proofs share anyway: the work is that of distinct ones.
const DISTINCT: usize = 64;

fn pool(cores: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(cores).build().expect("threads can be started")
}

fn cores(count: usize) -> &'static str {
    if count == 1 { "1 core" } else { "2 cores" }
}

/// A batch of `items`, verified by `add` on `cores` cores, an item.
fn batch<T: Send + Sync + 'static>(
    name: &str,
    items: Vec<T>,
    cores_used: usize,
    add: impl Fn(&[T], &mut Weights, &mut Accumulator) + Send + Sync + 'static,
) -> Case {
    let (pool, count) = (pool(cores_used), items.len());
    let mut seeds = world::rng(100);
    let name = format!("{name}, {count}, {}", cores(cores_used));
    let share = items.len().div_ceil(cores_used);
    let prepare = move || (0..cores_used).map(|_| Weights::new(&mut seeds)).collect::<Vec<_>>();
    let verify = move |items: &[T], mut weights: Weights| {
        let mut accumulator = Accumulator::new();
        add(items, &mut weights, &mut accumulator);
        accumulator.verify().expect("honest");
    };
    if cores_used == 1 {
        return Case::batch("batch", name, count, prepare, move |weights| {
            items.chunks(share).zip(weights).for_each(|(items, weights)| verify(items, weights));
        });
    }
    Case::parallel("batch", name, count, prepare, move |weights| {
        let shares: Vec<_> = items.chunks(share).zip(weights).collect();
        pool.install(|| shares.into_par_iter().for_each(|(items, weights)| verify(items, weights)));
    })
}

/// Logged vouchers: all distinct, of eight keys.
pub fn voucher_batch(world: &'static World, count: usize, cores: usize) -> Case {
    let vouchers = world.logged(count, &mut world::rng(101));
    batch("vouchers", vouchers, cores, |vouchers, weights, accumulator| {
        hazmat::accumulate_vouchers(&world.view(), vouchers, weights, accumulator).expect("honest");
    })
}

fn repeat<T: Clone>(distinct: &[T], count: usize) -> Vec<T> {
    distinct.iter().cycle().take(count).cloned().collect()
}

/// Logged draws of four values: the show, its range proof, and the issuer's proof.
pub fn draw_batch(world: &'static World, count: usize, cores: usize) -> Case {
    let distinct = world.draws(count.min(DISTINCT), 4, &mut world::rng(102));
    batch("draws of 4 values", repeat(&distinct, count), cores, |leaves, weights, accumulator| {
        for leaf in leaves {
            hazmat::accumulate_draw(&world.view(), leaf, weights, accumulator).expect("honest");
        }
    })
}

fn roll_over_batch(world: &'static World, count: usize, cores: usize) -> Case {
    let mut rng: ChaCha20Rng = world::rng(103);
    let distinct: Vec<ShowRecord> =
        (0..count.min(DISTINCT)).map(|_| world.fixture.roll_over(1, &world.enrolled, &mut rng).1).collect();
    batch("roll-overs", repeat(&distinct, count), cores, |leaves, weights, accumulator| {
        for leaf in leaves {
            hazmat::accumulate_roll_over(&world.view(), leaf, weights, accumulator).expect("honest");
        }
    })
}

fn enrol_batch(world: &'static World, count: usize, cores: usize) -> Case {
    let mut rng = world::rng(104);
    let distinct: Vec<EnrolLeaf> =
        (0..count.min(DISTINCT)).map(|_| world.fixture.enrol(LOT, EXPIRES, &ATTRIBUTES, &mut rng).1.leaf).collect();
    batch("enrolments", repeat(&distinct, count), cores, |leaves, weights, accumulator| {
        for leaf in leaves {
            hazmat::accumulate_enrol(&world.fixture.programme, leaf, weights, accumulator).expect("honest");
        }
    })
}

/// All batches, in all sizes, on one core and on two.
pub fn batches(world: &'static World) -> Vec<Part> {
    type Make = fn(&'static World, usize, usize) -> Case;
    let kinds: [(&str, Make); 4] = [
        ("batch of vouchers", voucher_batch),
        ("batch of draws", draw_batch),
        ("batch of roll-overs", roll_over_batch),
        ("batch of enrolments", enrol_batch),
    ];
    let mut parts = Vec::new();
    for (name, make) in kinds {
        for (count, cores) in BATCHES.into_iter().flat_map(|count| [(count, 1), (count, 2)]) {
            // A batch of one cannot be shared out.
            if count > 1 || cores == 1 {
                parts.push(Part::new(format!("{name}, {count}"), move || vec![make(world, count, cores)]));
            }
        }
    }
    parts
}
