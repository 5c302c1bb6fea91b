//! When to try again: waits that double, with jitter, up to a number of tries.

use std::time::Duration;

use rand_core::CryptoRng;

/// How often and how patiently a request is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The most times that a message is sent for one operation, the first included.
    pub tries: u32,
    /// The first wait.
    pub base: Duration,
    /// The longest wait, also if a server asks for more.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { tries: 8, base: Duration::from_millis(500), most: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// Without waits: for tests, and for links in memory.
    pub fn instant(tries: u32) -> Self {
        Self { tries, base: Duration::ZERO, most: Duration::ZERO }
    }

    /// The wait before a try, counted from 1 for the first repeat: between half of the doubled wait and all of it, and not less
    /// than the server asked for.
    pub fn wait<R: CryptoRng + ?Sized>(&self, repeat: u32, asked: Option<Duration>, rng: &mut R) -> Duration {
        let doubled = self.base.saturating_mul(1 << repeat.saturating_sub(1).min(16)).min(self.most);
        // So that wallets that lost one server together do not come back together.
        let jitter = doubled.mul_f64(0.5 * f64::from(rng.next_u32()) / f64::from(u32::MAX));
        (doubled / 2 + jitter).max(asked.unwrap_or_default().min(self.most))
    }
}
