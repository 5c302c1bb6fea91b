//! Swap: old vouchers for new, and what becomes of the answer (spec 5.6).
//!
//! Old vouchers are busy until the answer or a refusal. They stay after a refusal, and so do the contexts: if it was a lie, the
//! same bytes still get the answer.

use std::collections::BTreeSet;

use annona_protocol::{
    ids::Round,
    programme::{InForce, KeyCounts, Programme},
    swap::{SwapContext, SwapResponse},
    voucher::{Mark, SessionOffer, Voucher},
    wire::Message,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    Endpoint, Event, Next, Outgoing, Refusal, Wallet, WalletError,
    secret::SecretVec,
    show::{finish, session_request},
};

/// A swap of one set of vouchers.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingSwap {
    round: Round,
    /// Ascending.
    old: Vec<Mark>,
    new: KeyCounts,
    attempts: Vec<Attempt>,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// A session has to be asked for.
    Session,
    /// The attempt at a position; how many were answered with a conflict in a row.
    Send { at: usize, conflicts: usize },
    /// Refused.
    Refused,
}

#[derive(Serialize, Deserialize)]
struct Attempt {
    context: SwapContext,
    request: SecretVec,
}

impl PendingSwap {
    /// Whether one of these is given up by it.
    pub(crate) fn gives_any(&self, marks: &BTreeSet<Mark>) -> bool {
        self.old.iter().any(|mark| marks.contains(mark))
    }
}

impl Wallet {
    /// Prepares to swap vouchers for others of the same lines, values and round: a session first. The same swap again goes on
    /// where it was.
    ///
    /// # Errors
    /// [`WalletError::VoucherNotFree`], [`WalletError::Pending`], [`WalletError::Keys`].
    pub fn swap(&mut self, view: &InForce<'_>, old: &[Mark], new: KeyCounts) -> Result<(), WalletError> {
        self.is_of(view.programme)?;
        self.is_current()?;
        view.units(&new)?;
        let mut old = old.to_vec();
        old.sort_unstable();
        let is_same = |pending: &PendingSwap| (pending.round, &pending.old, &pending.new) == (view.round, &old, &new);
        if let Some(pending) = &self.swap {
            match (is_same(pending), pending.step) {
                (true, Step::Refused) => {}
                (true, _) => return Ok(()),
                // Swaps of a round end at its freeze: what was refused then stays refused.
                (false, Step::Refused) if pending.round < view.round => {}
                (false, _) => return Err(WalletError::Pending),
            }
        }
        let is_free = |mark: &Mark| self.voucher(mark).is_some() && !self.is_busy(mark);
        let distinct = old.windows(2).all(|pair| pair[0] != pair[1]);
        if old.is_empty() || !distinct || !old.iter().all(is_free) {
            return Err(WalletError::VoucherNotFree);
        }
        match &mut self.swap {
            // The same bytes first.
            Some(pending) if is_same(pending) && !pending.attempts.is_empty() => {
                pending.step = Step::Send { at: pending.attempts.len() - 1, conflicts: 0 };
            }
            _ => {
                let (round, attempts, step) = (view.round, Vec::new(), Step::Session);
                self.swap = Some(PendingSwap { round, old, new, attempts, step });
            }
        }
        Ok(())
    }

    pub(crate) fn absorb_swap<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        answer: &[u8],
        rng: &mut R,
    ) -> Result<Event, WalletError> {
        let pending = self.swap.as_ref().ok_or(WalletError::NotPending)?;
        let view = programme.in_force(pending.round)?;
        if pending.step == Step::Session
            && let Ok(offer) = SessionOffer::decode(answer)
        {
            let old: Vec<&Voucher> = pending
                .old
                .iter()
                .map(|mark| self.voucher(mark).ok_or(WalletError::VoucherNotFree))
                .collect::<Result<_, _>>()?;
            let seal = self.seal(view.round);
            let (context, request) = SwapContext::new(&view, old, pending.new.clone(), &offer, seal.sealing(), rng)?;
            let attempt = Attempt { context, request: request.encode_secret().into() };
            self.sealed(view.round);
            let pending = self.swap.as_mut().ok_or(WalletError::NotPending)?;
            pending.step = Step::Send { at: pending.attempts.len(), conflicts: 0 };
            pending.attempts.push(attempt);
            return Ok(Event::Session);
        }
        let pending = self.swap.as_mut().ok_or(WalletError::NotPending)?;
        let vouchers = pending.finish(&view, answer)?;
        let event = Event::Swapped(vouchers.len());
        let old = std::mem::take(&mut pending.old);
        self.swap = None;
        self.vouchers.retain(|voucher| !old.contains(&voucher.shown().mark()));
        self.faults.retain(|mark, _| !old.contains(mark));
        self.hold(vouchers);
        Ok(event)
    }

    pub(crate) fn refuse_swap(&mut self, refusal: &Refusal) -> Result<Next, WalletError> {
        let pending = self.swap.as_mut().ok_or(WalletError::NotPending)?;
        if refusal.is_transient() {
            return Ok(Next::Send);
        }
        let attempts = pending.attempts.len();
        pending.step = match pending.step {
            Step::Send { at, conflicts } if refusal.is_conflict() && conflicts + 1 < attempts => {
                Step::Send { at: (at + 1) % attempts, conflicts: conflicts + 1 }
            }
            // The vouchers are spent at most once: a second session risks nothing, as every context is kept.
            Step::Send { .. } if refusal.code == SESSION_GONE => Step::Session,
            _ => Step::Refused,
        };
        if pending.step != Step::Refused {
            return Ok(Next::Send);
        }
        if attempts == 0 {
            self.swap = None;
        }
        Ok(Next::Stop)
    }

    pub(crate) fn voucher(&self, mark: &Mark) -> Option<&Voucher> {
        self.vouchers.iter().find(|voucher| voucher.shown().mark() == *mark)
    }
}

/// The issuer's code for a swap whose session is gone: no serial is at stake, so it signs no word.
const SESSION_GONE: &str = "swap-session-gone";

impl PendingSwap {
    pub(crate) fn outgoing(&self) -> Option<Outgoing> {
        match self.step {
            Step::Refused => None,
            Step::Session => Some(session_request(self.round, &self.new)),
            Step::Send { at, .. } => {
                Some(Outgoing { endpoint: Endpoint::Swap, body: self.attempts[at].request.0.clone() })
            }
        }
    }

    /// Whether the voucher must not be used elsewhere: the swap is not refused.
    pub(crate) fn holds(&self, mark: &Mark) -> bool {
        self.step != Step::Refused && self.old.contains(mark)
    }

    fn finish(&mut self, view: &InForce<'_>, answer: &[u8]) -> Result<Vec<Voucher>, WalletError> {
        let mut error = WalletError::NotPending;
        for at in 0..self.attempts.len() {
            let Attempt { context, request } = self.attempts.remove(at);
            let done = finish(context, answer, |context, response: &SwapResponse| context.finish(view, response));
            match done {
                Ok(vouchers) => return Ok(vouchers),
                Err((context, why)) => {
                    self.attempts.insert(at, Attempt { context, request });
                    error = why;
                }
            }
        }
        Err(error)
    }
}
