//! Random moments: when messages go that were asked for at once (spec 10.5).

use std::time::Duration;

use rand_core::CryptoRng;

/// A time over which messages are spread.
///
/// Their moments are as if each had chosen one by itself, evenly over the time: whoever sees the messages of many wallets learns from
/// the moments nothing of which belong together, or of how many each wallet sends. Exponential waits would have the same form, but
/// not an end.
#[derive(Debug)]
pub struct Pace<S> {
    left: Duration,
    sleep: S,
}

impl<S: FnMut(Duration)> Pace<S> {
    /// Spreads over a time; `sleep` lets time pass.
    pub fn new(within: Duration, sleep: S) -> Self {
        Self { left: within, sleep }
    }

    /// Waits for the first of so many moments in what is left of the time. The others are chosen when their turn comes, which comes to
    /// the same.
    pub fn wait<R: CryptoRng + ?Sized>(&mut self, count: usize, rng: &mut R) {
        let wait = first_of(count, self.left, rng);
        self.left = self.left.saturating_sub(wait);
        (self.sleep)(wait);
    }

    /// Waits for another moment, when nothing could be sent at the last one; if the time is over, within a minute.
    pub fn wait_again<R: CryptoRng + ?Sized>(&mut self, count: usize, rng: &mut R) {
        self.left = self.left.max(AFTERWARDS);
        self.wait(count, rng);
    }
}

/// The time for what found no moment in its own.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// The first of `count` moments that are independent and even over a time: `P(first > t) = (1 - t/T)^count`.
fn first_of<R: CryptoRng + ?Sized>(count: usize, within: Duration, rng: &mut R) -> Duration {
    let even = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    within.mul_f64(1.0 - even.powf(1.0 / count.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// The moments of so many messages.
    fn moments(count: usize, rng: &mut ChaCha20Rng) -> Vec<f64> {
        let mut waits = Vec::new();
        let mut pace = Pace::new(HOUR, |wait: Duration| waits.push(wait.as_secs_f64()));
        (0..count).rev().for_each(|left| pace.wait(left + 1, rng));
        let mut now = 0.0;
        waits.into_iter().map(|wait| (now += wait, now).1 / HOUR.as_secs_f64()).collect()
    }

    /// Whatever their number, the moments of all wallets together are even over the time: each tenth has its tenth.
    #[test]
    fn moments_are_even_over_the_time_whatever_their_number() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        for count in [1, 2, 5, 14] {
            let mut tenths = [0u32; 10];
            let wallets = 14_000 / u32::try_from(count).unwrap();
            for _ in 0..wallets {
                let moments = moments(count, rng);
                assert!(moments.is_sorted() && moments.iter().all(|at| (0.0..=1.0).contains(at)));
                moments.iter().for_each(|at| tenths[((at * 10.0) as usize).min(9)] += 1);
            }
            // 1,400 each, with a deviation of 36.
            assert!(tenths.iter().all(|tenth| (1220..1580).contains(tenth)), "{count}: {tenths:?}");
        }
    }

    #[test]
    fn no_time_is_no_wait() {
        let mut waits = Vec::new();
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        Pace::new(Duration::ZERO, |wait| waits.push(wait)).wait(3, rng);
        assert_eq!(waits, [Duration::ZERO]);
        // Missed, there is one more.
        let mut pace = Pace::new(Duration::ZERO, |wait| waits.push(wait));
        pace.wait(1, rng);
        pace.wait_again(1, rng);
        assert!(waits[2] > Duration::ZERO && waits[2] <= AFTERWARDS, "{waits:?}");
    }
}
