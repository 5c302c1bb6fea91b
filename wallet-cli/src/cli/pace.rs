//! Messages at random moments: the wallet's file is closed in between.

use std::{thread, time::Duration};

use annona_wallet::Pace;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::{Desk, Problem, holder::Holder};

/// The longest time to spread over: rounds are not longer.
const MOST: Duration = Duration::from_secs(31 * 24 * 3600);
/// At how many moments in a row another command may have the file open.
const PATIENCE: u32 = 600;

/// A time such as 30min, 2h or 3d.
pub(super) fn time(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_duration(text).map_err(|_| "write a time such as 30min, 2h or 3d")?;
    if time <= MOST { Ok(time) } else { Err("the longest time is 31d") }
}

/// When messages go: at once, or at random moments within a time.
pub(super) struct Moments(Option<Pace<fn(Duration)>>);

impl Moments {
    pub(super) fn new(within: Option<Duration>) -> Self {
        Self(within.map(|within| Pace::new(within, thread::sleep as fn(Duration))))
    }

    /// Waits for the first of so many moments. The file is closed meanwhile, so that the wallet can be shown and used; the holder that
    /// comes back has what was done to it.
    pub(super) fn wait(&mut self, desk: &Desk, holder: Holder, count: usize) -> Result<Holder, Problem> {
        let Some(pace) = &mut self.0 else { return Ok(holder) };
        let resting = holder.rest();
        pace.wait(count, &mut UnwrapErr(SysRng));
        let mut patience = PATIENCE;
        loop {
            match Holder::wake(desk, &resting) {
                Err(Problem::Vault(error)) if error.is_transient() && patience > 0 => {
                    // Not as soon as it is free: what the other command sends would tell when this one does.
                    patience -= 1;
                    pace.wait_again(count, &mut UnwrapErr(SysRng));
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn times_are_read_and_bounded() {
        for (text, seconds) in [("30min", 1800), ("2h", 7200), ("3d", 259_200), ("1h 30m", 5400), ("31d", 2_678_400)] {
            assert_eq!(time(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "2", "h", "-2h", "2 fortnights", "32d", "99999999999999999999d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
