//! Whether times of two classes of inputs differ: Welch's t over cropped samples.
//!
//! Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?" (DATE 2017). One class gets the same secret every time, the
//! other a fresh one; the classes are drawn at random, so that drift hits both alike. Slow samples are noise more often than
//! signal: the test is repeated with samples cropped at a hundred percentiles, and the largest `|t|` counts.

/// Which inputs an operation gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same secret every time.
    Fixed,
    /// A fresh secret.
    Random,
}

/// The outcome for one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `|t| < 4.5`: no difference seen.
    Ok,
    /// `|t| < 10`: repeat with more samples.
    Look,
    /// `|t| >= 10`: the times differ.
    Leak,
}

impl Verdict {
    /// The verdict on a largest `|t|`. Not a number counts as a leak: nothing was measured.
    pub fn of(t: f64) -> Self {
        match t {
            t if t < 4.5 => Self::Ok,
            t if t < 10.0 => Self::Look,
            _ => Self::Leak,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Look => "look",
            Self::Leak => "LEAK",
        })
    }
}

/// Fewer samples of a class after cropping give no test.
const LEAST: usize = 100;

/// Welch's t of two samples; not a number below [`LEAST`] samples of either.
fn welch(fixed: &[f64], random: &[f64]) -> f64 {
    if fixed.len() < LEAST || random.len() < LEAST {
        return f64::NAN;
    }
    let moments = |samples: &[f64]| {
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((first, first_error), (second, second_error)) = (moments(fixed), moments(random));
    let error = (first_error + second_error).sqrt();
    if error == 0.0 && first == second { 0.0 } else { (first - second) / error }
}

/// The largest `|t|` over all croppings; not a number if there were too few samples.
pub fn largest_t(samples: &[(Class, f64)]) -> f64 {
    let mut sorted: Vec<f64> = samples.iter().map(|(_, time)| *time).collect();
    sorted.sort_by(f64::total_cmp);
    // The percentiles of the paper's program: dense near the top.
    let cut = |i: i32| 1.0 - 0.5f64.powf(10.0 * f64::from(i) / 100.0);
    let limits = (1..=100).filter_map(|i| sorted.get((cut(i) * sorted.len() as f64) as usize).copied());
    let of = |class, limit: f64| -> Vec<f64> {
        samples.iter().filter(|(of, time)| *of == class && *time <= limit).map(|(_, time)| *time).collect()
    };
    let mut limits: Vec<f64> = limits.chain([f64::INFINITY]).collect();
    limits.dedup();
    limits
        .into_iter()
        .map(|limit| welch(&of(Class::Fixed, limit), &of(Class::Random, limit)).abs())
        .filter(|t| !t.is_nan())
        .fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;
    use crate::world;

    fn samples(shift: f64) -> Vec<(Class, f64)> {
        let mut rng = world::rng(1);
        (0..20_000)
            .map(|_| {
                let word = rng.next_u64();
                let class = if word & 1 == 0 { Class::Fixed } else { Class::Random };
                let noise = ((word >> 8) % 1000) as f64;
                // One sample in sixteen lost the processor.
                let late = if (word >> 4) & 15 == 0 { 1e6 * ((word >> 32) % 7) as f64 } else { 0.0 };
                let shift = if class == Class::Fixed { shift } else { 0.0 };
                (class, 10_000.0 + noise + late + shift)
            })
            .collect()
    }

    #[test]
    fn finds_a_difference_below_the_noise_and_no_other() {
        assert_eq!(Verdict::of(largest_t(&samples(0.0))), Verdict::Ok);
        assert_eq!(Verdict::of(largest_t(&samples(60.0))), Verdict::Leak);
    }

    #[test]
    fn too_few_samples_are_no_pass() {
        assert_eq!(Verdict::of(largest_t(&samples(0.0)[..50])), Verdict::Leak);
    }

    #[test]
    fn welch_of_known_samples() {
        let first: Vec<f64> = (0..100).map(f64::from).collect();
        let second: Vec<f64> = (0..100).map(|i| f64::from(i) + 10.0).collect();
        // Means 10 apart, variances 841.67 each: 10 / sqrt(2 * 841.67 / 100).
        assert!((welch(&first, &second) + 2.4373).abs() < 1e-3);
    }
}
