//! Requests that are being answered: a second one for the same thing waits for the first (spec 5.4-M5).

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What is being worked on.
#[derive(Debug)]
pub struct InFlight<K> {
    claimed: Mutex<HashSet<K>>,
    released: Condvar,
    patience: Duration,
}

/// The right to work on a key; given back on drop.
#[derive(Debug)]
pub struct Claim<'a, K: Eq + Hash> {
    of: &'a InFlight<K>,
    key: K,
}

/// The first request takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the same request is still being answered; ask again")]
pub struct StillBusy;

impl<K: Eq + Hash + Clone> InFlight<K> {
    /// Nothing in flight; a second request waits this long.
    pub fn new(patience: Duration) -> Self {
        Self { claimed: Mutex::default(), released: Condvar::new(), patience }
    }

    /// Waits until nobody works on the key, and claims it.
    ///
    /// # Errors
    /// [`StillBusy`] when patience ends.
    pub fn claim(&self, key: K) -> Result<Claim<'_, K>, StillBusy> {
        let deadline = Instant::now() + self.patience;
        let mut claimed = self.claimed();
        while !claimed.insert(key.clone()) {
            let left = deadline.checked_duration_since(Instant::now()).ok_or(StillBusy)?;
            claimed = self.released.wait_timeout(claimed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Claim { of: self, key })
    }

    fn claimed(&self) -> MutexGuard<'_, HashSet<K>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Claim<'_, K> {
    fn drop(&mut self) {
        self.of.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.of.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_waits_for_the_first() {
        let all = InFlight::new(Duration::from_secs(60));
        let first = all.claim(1).unwrap();
        let _other = all.claim(2).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| all.claim(1).map(drop));
            drop(first);
            assert_eq!(second.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn patience_ends() {
        let all = InFlight::new(Duration::ZERO);
        let _first = all.claim(1).unwrap();
        assert!(all.claim(1).is_err());
    }
}
