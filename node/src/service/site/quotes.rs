//! Quotes that were given out: in memory only. After a restart a wallet asks for another; what was accepted is in the store.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use annona_protocol::{ids::QuoteId, slip::Quote};

/// A counter of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct CounterId(pub u32);

/// The most quotes that are kept: the oldest goes for the newest. One address at the default rate needs minutes for that, a visit
/// seconds.
const KEPT: usize = 1 << 16;

/// Quotes that may still be answered.
#[derive(Debug, Default)]
pub struct Quotes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    given: HashMap<QuoteId, (Quote, CounterId)>,
    /// Oldest first; ids that were used stay until they come up.
    order: VecDeque<QuoteId>,
}

impl Quotes {
    /// Keeps a quote that goes out.
    pub fn give(&self, quote: Quote, counter: CounterId) {
        let mut state = self.state();
        while state.order.len() >= KEPT {
            if let Some(oldest) = state.order.pop_front() {
                state.given.remove(&oldest);
            }
        }
        state.order.push_back(quote.content.id);
        state.given.insert(quote.content.id, (quote, counter));
    }

    /// A quote that may still be answered.
    pub fn find(&self, id: QuoteId) -> Option<(Quote, CounterId)> {
        self.state().given.get(&id).cloned()
    }

    /// Uses a quote up.
    pub fn used(&self, id: QuoteId) {
        self.state().given.remove(&id);
    }

    /// Forgets all: the round is over.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
