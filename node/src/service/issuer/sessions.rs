//! Open signing sessions, in memory only (spec 5.4-M1..M3), and the limit on guessed tickets.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use annona_protocol::{
    ids::{Round, SessionId},
    voucher::SigningSession,
};

/// The most signing sessions that may be open at once.
pub(super) const MAX_SESSIONS: usize = 4096;
/// A session that is younger is not dropped for a new one: who floods waits, not who draws.
const SHORTEST_LIFE: Duration = Duration::from_secs(30);
/// A session that is older answers nothing any more.
const LONGEST_LIFE: Duration = Duration::from_secs(15 * 60);

/// Sessions by id. Taking one out is the only way to use it.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<SessionId, (Round, SigningSession)>,
    /// Oldest first; ids that were taken stay until they come up.
    order: VecDeque<(Instant, SessionId)>,
}

impl Sessions {
    /// Opens a session; `false` if there is no room.
    pub(super) fn insert(&self, round: Round, session: SigningSession) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        while let Some((since, id)) = state.order.front().copied() {
            let age = now.duration_since(since);
            let taken = !state.open.contains_key(&id);
            let full = state.open.len() >= MAX_SESSIONS;
            if !(taken || age > LONGEST_LIFE || full && age > SHORTEST_LIFE) {
                break;
            }
            state.order.pop_front();
            state.open.remove(&id);
        }
        if state.open.len() >= MAX_SESSIONS {
            return false;
        }
        let id = session.offer().session;
        state.order.push_back((now, id));
        state.open.insert(id, (round, session));
        true
    }

    /// Takes a session out, for good.
    pub(super) fn take(&self, id: &SessionId) -> Option<SigningSession> {
        self.state().open.remove(id).map(|(_, session)| session)
    }

    /// Drops the sessions of a round that closes.
    pub(super) fn drop_round(&self, round: Round) {
        self.state().open.retain(|_, (of, _)| *of != round);
    }

    pub(super) fn count(&self) -> usize {
        self.state().open.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unknown tickets that may be tried at once, and how fast new tries come.
const GUESSES: f64 = 2000.0;
const GUESSES_A_SECOND: f64 = 200.0;

/// A bucket of tries, for all callers together: a ticket has 80 bits, addresses are cheap.
#[derive(Debug)]
pub(super) struct Guesses(Mutex<(f64, Instant)>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Mutex::new((GUESSES, Instant::now())))
    }
}

impl Guesses {
    /// Notes a wrong ticket.
    pub(super) fn wrong(&self) {
        let mut bucket = self.bucket();
        bucket.0 = (bucket.0 - 1.0).max(0.0);
    }

    /// Whether another ticket may be tried.
    pub(super) fn allowed(&self) -> bool {
        self.bucket().0 >= 1.0
    }

    fn bucket(&self) -> MutexGuard<'_, (f64, Instant)> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.1).as_secs_f64() * GUESSES_A_SECOND;
        *bucket = ((bucket.0 + gained).min(GUESSES), now);
        bucket
    }
}
