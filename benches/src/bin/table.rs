//! Measures everything in one run and prints it as markdown: criteria first, then operations, libraries, sizes.
//!
//! `table [WORD]` measures only parts whose name has the word. Never fails on a figure.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use annona_benches::{
    measure::Budget,
    operations::{self, Part},
    report, sizes,
    world::{self, World},
    yardsticks,
};

const EACH: Budget = Budget::milliseconds(400);

fn rows(parts: Vec<Part>, only: &str) {
    for part in parts.into_iter().filter(|part| part.name.contains(only)) {
        for mut case in part.cases() {
            println!("{}", report::operation_row(&mut case, EACH));
        }
    }
}

fn main() {
    let start = Instant::now();
    let only = std::env::args().nth(1).unwrap_or_default();
    let (world, wide) = (World::leak(16), World::leak(32));
    world.check(&mut world::rng(1));
    wide.check(&mut world::rng(2));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("# Annona: measured costs\n");
    println!(
        "{} cores. curve25519-dalek 5 and ed25519-dalek 3 run on {}; bulletproofs 5 is bound to curve25519-dalek 4.1, \
         which has no stable AVX-512 and runs on AVX2 at best. Medians, one thread unless two cores are named; the two \
         sides of a criterion are sampled in turns, its ratio is the median of the pairs' ratios.\n",
        cores,
        yardsticks::backend()
    );
    println!("## Criteria\n\n{}", report::CRITERIA);
    for row in report::size_rows(sizes::promised(world)) {
        println!("{row}");
    }
    let pairs = report::pairs(world, wide)
        .into_iter()
        .filter(|pair| format!("criterion {}", pair.name).contains(&only))
        .collect();
    for row in report::criterion_rows(pairs) {
        println!("{row}");
    }
    println!("\n## Operations\n\n{}", report::OPERATIONS);
    rows(operations::single(world, wide), &only);
    println!("\n## Batches, an item\n\n{}", report::OPERATIONS);
    rows(operations::batches(world), &only);
    println!("\n## Libraries\n\n{}", report::OPERATIONS);
    rows(yardsticks::all(), &only);
    println!("\n## Sizes\n\n{}\n{}", report::size_table(world), sizes::note());
    println!("\nMeasured in {} s.", start.elapsed().as_secs());
}
