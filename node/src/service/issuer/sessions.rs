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

/// The most nonce pairs that all open sessions may have together: some 250 MiB, while somebody floods.
const MAX_NONCES: usize = 1 << 19;
/// Sessions of more nonce pairs than this get half the room. So one address, at the default rate, fills neither half with what it
/// opens before its oldest sessions give way: long lists leave the second half, and short ones are too short.
const SHORT: usize = 16;
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
    /// Nonce pairs of all that are open.
    nonces: usize,
}

impl Sessions {
    /// Opens a session; `false` if there is no room.
    pub(super) fn insert(&self, round: Round, session: SigningSession) -> bool {
        self.insert_at(round, session, Instant::now())
    }

    fn insert_at(&self, round: Round, session: SigningSession, now: Instant) -> bool {
        let mut state = self.state();
        let more = session.offer().commitments.len();
        let most = if more > SHORT { MAX_NONCES / 2 } else { MAX_NONCES };
        while let Some((since, id)) = state.order.front().copied() {
            let age = now.saturating_duration_since(since);
            let taken = !state.open.contains_key(&id);
            let full = state.nonces + more > most;
            if !(taken || age > LONGEST_LIFE || full && age > SHORTEST_LIFE) {
                break;
            }
            state.order.pop_front();
            state.remove(&id);
        }
        if state.nonces + more > most {
            return false;
        }
        let id = session.offer().session;
        state.nonces += more;
        state.order.push_back((now, id));
        state.open.insert(id, (round, session));
        true
    }

    /// Takes a session out, for good.
    pub(super) fn take(&self, id: &SessionId) -> Option<SigningSession> {
        self.state().remove(id)
    }

    /// Drops the sessions of a round that closes.
    pub(super) fn drop_round(&self, round: Round) {
        let mut state = self.state();
        let of_round: Vec<SessionId> =
            state.open.iter().filter(|(_, (of, _))| *of == round).map(|(id, _)| *id).collect();
        of_round.iter().for_each(|id| drop(state.remove(id)));
    }

    pub(super) fn count(&self) -> usize {
        self.state().open.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, id: &SessionId) -> Option<SigningSession> {
        let (_, session) = self.open.remove(id)?;
        self.nonces -= session.offer().commitments.len();
        Some(session)
    }
}

/// Unknown tickets that may be tried at once, and how fast new tries come.
const GUESSES: f64 = 2000.0;
const GUESSES_A_SECOND: f64 = 200.0;

/// A bucket of tries, for all callers together: addresses are cheap. A right ticket passes an empty bucket, or whoever sends wrong
/// ones would keep everybody from enrolling; a ticket has 80 bits, and at a million tickets the rate of a whole server finds none.
#[derive(Debug)]
pub(super) struct Guesses(Mutex<(f64, Instant)>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Mutex::new((GUESSES, Instant::now())))
    }
}

impl Guesses {
    /// Notes a wrong ticket; `false` if there were too many of late.
    #[must_use]
    pub(super) fn wrong(&self) -> bool {
        let mut bucket = self.bucket();
        let allowed = bucket.0 >= 1.0;
        bucket.0 = (bucket.0 - 1.0).max(0.0);
        allowed
    }

    fn bucket(&self) -> MutexGuard<'_, (f64, Instant)> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.1).as_secs_f64() * GUESSES_A_SECOND;
        *bucket = ((bucket.0 + gained).min(GUESSES), now);
        bucket
    }
}

#[cfg(test)]
mod tests {
    use annona_protocol::{
        ids::{KeyIndex, LineId},
        programme::KeyId,
        voucher::RoundMaster,
    };

    use super::*;

    fn opener(count: u32) -> impl Fn() -> SigningSession {
        let master = RoundMaster::generate(&mut crate::random::os());
        let id = KeyId { line: LineId(1), value: 1, round: Round(1), site: None, slot: None };
        let secret = std::sync::Arc::new(master.derive(id).unwrap());
        move || {
            let secrets = vec![std::sync::Arc::clone(&secret); count as usize];
            SigningSession::open(vec![(KeyIndex(0), count)], &secrets, &mut crate::random::os())
        }
    }

    /// Whoever opens the longest lists as fast as one address may keeps nobody with a short one from drawing.
    #[test]
    fn long_lists_leave_room_for_short_ones() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        sessions.state().nonces = MAX_NONCES / 2 - 17;
        let (long, short) = (opener(17), opener(16));
        assert!(sessions.insert_at(Round(1), long(), now));
        assert!(!sessions.insert_at(Round(1), long(), now));
        assert!(sessions.insert_at(Round(1), short(), now));
        // The oldest gives way once it had its time.
        assert!(!sessions.insert_at(Round(1), long(), now + SHORTEST_LIFE));
        sessions.state().nonces -= 16;
        assert!(sessions.insert_at(Round(1), long(), now + 2 * SHORTEST_LIFE));
        assert_eq!(sessions.count(), 2);
    }

    #[test]
    fn what_leaves_gives_its_room_back() {
        let (sessions, now, open) = (Sessions::default(), Instant::now(), opener(3));
        let first = open();
        let id = first.offer().session;
        assert!(sessions.insert_at(Round(1), first, now) && sessions.insert_at(Round(2), open(), now));
        assert!(sessions.take(&id).is_some() && sessions.take(&id).is_none());
        let room = || sessions.state().nonces;
        assert_eq!((room(), sessions.count()), (3, 1));
        sessions.drop_round(Round(2));
        assert_eq!((room(), sessions.count()), (0, 0));
    }

    #[test]
    fn wrong_tickets_run_out_and_come_again() {
        let guesses = Guesses::default();
        let passed = (0..10_000).filter(|_| guesses.wrong()).count();
        assert!((2000..10_000).contains(&passed), "{passed}");
        assert!(!guesses.wrong());
        guesses.bucket().0 = 1.0;
        assert!(guesses.wrong());
    }
}
