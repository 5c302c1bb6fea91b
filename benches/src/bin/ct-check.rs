//! Looks for timing that depends on secrets: `ct-check [SECONDS [NAME]]`, seconds for each operation.
//!
//! Fails if an operation of ours leaks, or if the control, which does leak, is not found out.
#![allow(clippy::print_stdout)]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use annona_benches::{
    leak::{Class, Verdict, largest_t},
    secret_inputs::{Probe, Whose, probes},
    world::{self, World},
    yardsticks,
};
use rand_core::Rng;

const MOST: usize = 200_000;

fn collect(probe: &mut Probe, time: Duration) -> Vec<(Class, f64)> {
    let mut rng = world::rng(300);
    let (start, mut samples) = (Instant::now(), Vec::new());
    // The first runs fill caches and tables.
    let mut warm = 20;
    while samples.len() < MOST && start.elapsed() < time {
        let class = if rng.next_u64() & 1 == 0 { Class::Fixed } else { Class::Random };
        let mut elapsed = Duration::ZERO;
        probe.run(class, &mut rng, &mut |operation| {
            let start = Instant::now();
            operation();
            elapsed = start.elapsed();
        });
        if warm > 0 {
            warm -= 1;
        } else {
            samples.push((class, elapsed.as_nanos() as f64));
        }
    }
    samples
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(5.0);
    let only = arguments.next().unwrap_or_default();
    println!("# Timing of operations on secrets\n");
    println!(
        "A fixed secret against random ones, Welch's t over cropped samples, {seconds} s each, on {}. \
         Below 4.5: nothing seen; below 10: look again with more time; else the times differ.\n",
        yardsticks::backend()
    );
    println!("| operation | secret | code | samples | max abs t | verdict |\n| --- | --- | --- | --- | --- | --- |");
    let mut failed = false;
    for mut probe in probes(World::leak(16)).into_iter().filter(|probe| probe.name.contains(&only)) {
        let samples = collect(&mut probe, Duration::from_secs_f64(seconds));
        let t = largest_t(&samples);
        let verdict = Verdict::of(t);
        let whose = match probe.whose {
            Whose::Ours => "ours",
            Whose::RangeProof => "ours, range proof",
            Whose::Control => "control",
        };
        println!("| {} | {} | {whose} | {} | {t:.1} | {verdict} |", probe.name, probe.secret, samples.len());
        failed |= (probe.whose == Whose::Control) != (verdict == Verdict::Leak);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
