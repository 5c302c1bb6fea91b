//! Criterion's statistics for every operation: the cases of the table.
//!
//! `cargo bench -p annona-benches -- FILTER` measures those whose group or name matches.

use std::{hint::black_box, time::Duration};

use annona_benches::{
    operations::{self, Part},
    world::World,
    yardsticks,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn run(criterion: &mut Criterion, parts: Vec<Part>) {
    for mut case in parts.into_iter().flat_map(Part::cases) {
        criterion.benchmark_group(case.group).bench_function(case.name.clone(), |bencher| {
            // A case reads the clock itself, around the operation only.
            bencher.iter_custom(|times| {
                let nanoseconds: f64 = (0..times).map(|_| black_box(case.sample())).sum();
                Duration::from_nanos(nanoseconds as u64)
            });
        });
    }
}

fn all(criterion: &mut Criterion) {
    let (world, wide) = (World::leak(16), World::leak(32));
    run(criterion, operations::single(world, wide));
    run(criterion, operations::batches(world));
    run(criterion, yardsticks::all());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = all
}
criterion_main!(benches);
