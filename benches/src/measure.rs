//! Sampling: medians, and ratios of what was measured in turns.
//!
//! A machine's speed drifts by a quarter while other programs run. Two figures that are compared are therefore sampled in
//! turns, a sample of one and then a sample of the other, and the ratio is the median of the pairs' ratios.
//!
//! An operation that takes longer than a fifth of a millisecond may lose the processor to another program: its thread's
//! processor time counts. A shorter one rarely does, and reading that clock would show in its figure: elapsed time counts, as
//! it does for what runs on several cores.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// From here on a thread's processor time counts.
const LONG: Duration = Duration::from_micros(200);

/// The processor time of this thread.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Something to measure: every call makes its input outside the clock, runs once, and returns nanoseconds a unit.
pub struct Case {
    /// The part of the protocol.
    pub group: &'static str,
    /// What is done.
    pub name: String,
    run: Box<dyn FnMut() -> f64>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Case({}, {})", self.group, self.name)
    }
}

impl Case {
    /// An operation on an input that `prepare` makes anew each time.
    pub fn new<I, O>(
        group: &'static str,
        name: impl Into<String>,
        prepare: impl FnMut() -> I + 'static,
        operation: impl FnMut(I) -> O + 'static,
    ) -> Self
    where
        I: 'static,
        O: 'static,
    {
        Self::batch(group, name, 1, prepare, operation)
    }

    /// As [`Case::new`], for an operation on `units` things at once: the time is a unit's share.
    pub fn batch<I, O>(
        group: &'static str,
        name: impl Into<String>,
        units: usize,
        mut prepare: impl FnMut() -> I + 'static,
        mut operation: impl FnMut(I) -> O + 'static,
    ) -> Self
    where
        I: 'static,
        O: 'static,
    {
        let run = move || {
            let input = black_box(prepare());
            let (processor, start) = (processor_time(), Instant::now());
            let output = black_box(operation(input));
            let elapsed = start.elapsed();
            let used = processor_time().saturating_sub(processor);
            drop(output);
            let counted = if elapsed > LONG { used } else { elapsed };
            counted.as_nanos() as f64 / units as f64
        };
        Self { group, name: name.into(), run: Box::new(run) }
    }

    /// As [`Case::new`], for an operation that is short beside the clock's own cost: `times` runs between two readings.
    pub fn short<O: 'static>(
        group: &'static str,
        name: impl Into<String>,
        times: usize,
        mut operation: impl FnMut() -> O + 'static,
    ) -> Self {
        let repeat = move |()| {
            for _ in 0..times {
                black_box(operation());
            }
        };
        Self::batch(group, name, times, || (), repeat)
    }

    /// As [`Case::batch`], for an operation on several cores: elapsed time counts.
    pub fn parallel<I: 'static, O: 'static>(
        group: &'static str,
        name: impl Into<String>,
        units: usize,
        mut prepare: impl FnMut() -> I + 'static,
        mut operation: impl FnMut(I) -> O + 'static,
    ) -> Self {
        let run = move || {
            let input = black_box(prepare());
            let start = Instant::now();
            let output = black_box(operation(input));
            let elapsed = start.elapsed();
            drop(output);
            elapsed.as_nanos() as f64 / units as f64
        };
        Self { group, name: name.into(), run: Box::new(run) }
    }

    /// One sample, in nanoseconds a unit.
    pub fn sample(&mut self) -> f64 {
        (self.run)()
    }

    /// A case whose sample is one of this and `times` of `other`.
    #[must_use]
    pub fn plus(mut self, times: usize, mut other: Self) -> Self {
        let name = format!("{} + {times} x {}", self.name, other.name);
        let run = move || self.sample() + (0..times).map(|_| other.sample()).sum::<f64>();
        Self { group: "sum", name, run: Box::new(run) }
    }
}

/// How long to sample.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Samples at least.
    pub least: usize,
    /// Samples at most.
    pub most: usize,
    /// No further sample after this time.
    pub time: Duration,
}

impl Budget {
    /// A budget of `milliseconds`, 9 to 501 samples.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self { least: 9, most: 501, time: Duration::from_millis(milliseconds) }
    }

    fn rounds(self) -> impl Iterator<Item = usize> {
        let start = Instant::now();
        (0..self.most).take_while(move |done| *done < self.least || start.elapsed() < self.time)
    }
}

/// The median; the mean of the middle two for an even count, not a number for none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        (_, middle) => sorted[middle],
    }
}

/// The median of one case, in nanoseconds a unit.
pub fn measure(case: &mut Case, budget: Budget) -> f64 {
    case.sample();
    let samples: Vec<f64> = budget.rounds().map(|_| case.sample()).collect();
    median(&samples)
}

/// Two cases measured in turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Median of the first, in nanoseconds.
    pub ours: f64,
    /// Median of the second, in nanoseconds.
    pub yardstick: f64,
    /// Median of the pairs' ratios, first by second.
    pub ratio: f64,
}

/// Measures two cases in turns; which goes first alternates.
pub fn compare(ours: &mut Case, yardstick: &mut Case, budget: Budget) -> Comparison {
    ours.sample();
    yardstick.sample();
    let pairs: Vec<(f64, f64)> = budget
        .rounds()
        .map(|round| {
            if round % 2 == 0 {
                let first = ours.sample();
                (first, yardstick.sample())
            } else {
                let second = yardstick.sample();
                (ours.sample(), second)
            }
        })
        .collect();
    let column = |pick: fn(&(f64, f64)) -> f64| median(&pairs.iter().map(pick).collect::<Vec<_>>());
    Comparison { ours: column(|pair| pair.0), yardstick: column(|pair| pair.1), ratio: column(|pair| pair.0 / pair.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(value: f64) -> Case {
        Case { group: "test", name: "fixed".into(), run: Box::new(move || value) }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn comparisons_and_sums() {
        let budget = Budget { least: 3, most: 5, time: Duration::ZERO };
        let mut sum = fixed(10.0).plus(4, fixed(5.0));
        let result = compare(&mut fixed(15.0), &mut sum, budget);
        assert_eq!(result, Comparison { ours: 15.0, yardstick: 30.0, ratio: 0.5 });
        assert_eq!(measure(&mut fixed(7.0), budget), 7.0);
    }

    #[test]
    fn units_share_the_time() {
        let sleep = |()| std::thread::sleep(Duration::from_millis(5));
        let elapsed = Case::parallel("test", "sleep", 10, || (), sleep).sample();
        assert!((500_000.0..5_000_000.0).contains(&elapsed), "{elapsed}");
        // A thread that sleeps uses no processor.
        let used = Case::batch("test", "sleep", 10, || (), sleep).sample();
        assert!(used < 100_000.0, "{used}");
    }
}
