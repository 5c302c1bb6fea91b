//! Uniform draws: many draws of one voucher each, so that no draw has the shape of a household (spec/wallet.md, 11).
//!
//! The list is part of the state before the first of them is sent, and a draw leaves it with the answer that brings its voucher:
//! whatever happens in between, the rest of the list is what is still to be drawn.

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    programme::{Form, InForce, KeyCounts, Line, Schema, statement::make_change},
    voucher::Voucher,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{Agent, AgentError, Link, Persist, SEALED_MESSAGES, Task, Wallet, WalletError, plan::keys_at};

/// The most draws of one list.
pub const MOST_SINGLES: usize = 500;

/// Draws of one voucher each that were asked for, and which of them are left.
#[derive(Serialize, Deserialize)]
pub struct Singles {
    round: Round,
    site: SiteId,
    /// What was asked for; nothing if that was everything.
    asked: BTreeMap<LineId, Units>,
    manner: Manner,
    /// The keys of the draws that are not made, in their order.
    left: Vec<KeyIndex>,
    made: usize,
}

/// How a list is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manner {
    /// The draws come at random times: nobody goes on with them without being told over which.
    pub spread: bool,
    /// Also those that recovery words would not bring back.
    pub beyond_words: bool,
}

impl Singles {
    /// The round.
    pub fn round(&self) -> Round {
        self.round
    }

    /// The site.
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// How it is drawn.
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// How many draws are left.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// How many draws were made.
    pub fn made(&self) -> usize {
        self.made
    }

    fn next(&self) -> Option<KeyIndex> {
        self.left.first().copied()
    }
}

/// The value that every household draws of a line in the view's round: the largest that fits into the smallest accrual of any
/// household that has one, by the schema's bounds; the smallest there is if none does. It depends on the manifest alone. Nothing if
/// the site has no keys of the line.
pub fn common_value(view: &InForce<'_>, line: &Line, site: SiteId) -> Option<u32> {
    let least = least_accrual(&line.accrual_at(view.round), &view.header.schema);
    let values = keys_at(view, line.id, site).into_iter().filter_map(|at| view.key(at)).map(|entry| entry.id.value);
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    let fitting = values.iter().rev().find(|value| i128::from(**value) <= least);
    fitting.or(values.first()).copied()
}

/// The smallest value other than zero that a form without negative terms takes within the schema's bounds; zero if it has none.
fn least_accrual(form: &Form, schema: &Schema) -> i128 {
    let terms = || {
        let bounds = |(at, coefficient): &(u8, i64)| {
            schema.attributes.get(usize::from(*at)).map(|attribute| (attribute, i128::from(*coefficient)))
        };
        form.terms.iter().filter_map(bounds)
    };
    let least = i128::from(form.constant)
        + terms().map(|(attribute, coefficient)| coefficient * i128::from(attribute.min)).sum::<i128>();
    if least > 0 {
        return least;
    }
    // Everything is at its bound, which is zero: one attribute more is the least.
    terms().filter(|(attribute, _)| attribute.max > 0).map(|(_, coefficient)| coefficient).min().unwrap_or(0)
}

/// The keys of single draws that make up these units at a site: as many of the line's common value as fit, and smaller ones for the
/// rest.
///
/// # Errors
/// [`WalletError::Change`] if the values do not make up the units.
pub fn plan_singles(
    view: &InForce<'_>,
    site: SiteId,
    units: &BTreeMap<LineId, Units>,
) -> Result<KeyCounts, WalletError> {
    let mut list = KeyCounts::new();
    for (&line, &units) in units {
        let missing = WalletError::Change { line, units };
        let Some(terms) = view.header.lines.iter().find(|terms| terms.id == line) else { return Err(missing) };
        let Some(common) = common_value(view, terms, site) else { return Err(missing) };
        let is_common = |at: &KeyIndex| view.key(*at).is_some_and(|entry| entry.id.value <= common);
        let keys: Vec<KeyIndex> = keys_at(view, line, site).into_iter().filter(is_common).collect();
        // The largest first: the common value, and what is left in smaller ones.
        list.extend(make_change(view, &keys, units).ok_or(missing)?);
    }
    list.sort_unstable();
    Ok(list)
}

impl Wallet {
    /// The single draws that were asked for and are not done.
    pub fn singles(&self) -> Option<&Singles> {
        self.singles.as_ref()
    }

    /// Plans single draws in random order, or goes on with the same ones; an empty list of units is everything.
    ///
    /// # Errors
    /// [`WalletError::DrawsLeft`] if others are left, [`WalletError::WordsFew`], [`WalletError::ManyDraws`],
    /// [`WalletError::Uncovered`], [`WalletError::Change`].
    pub fn start_singles<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        site: SiteId,
        asked: &BTreeMap<LineId, Units>,
        manner: Manner,
        rng: &mut R,
    ) -> Result<(), WalletError> {
        self.is_of(view.programme)?;
        self.is_current()?;
        if let Some(singles) = &mut self.singles {
            if (singles.round, singles.site, &singles.asked) != (view.round, site, asked) {
                return Err(WalletError::DrawsLeft);
            }
            singles.manner = manner;
            return Ok(());
        }
        let keys = self.singles_of(view, site, asked, manner)?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut left: Vec<KeyIndex> =
            keys.into_iter().flat_map(|(at, count)| std::iter::repeat_n(at, count as usize)).collect();
        shuffle(&mut left, rng);
        self.singles = Some(Singles { round: view.round, site, asked: asked.clone(), manner, left, made: 0 });
        Ok(())
    }

    /// The keys of the draws that are asked for, if they may be made: a refresh that is due is one message more.
    fn singles_of(
        &self,
        view: &InForce<'_>,
        site: SiteId,
        asked: &BTreeMap<LineId, Units>,
        manner: Manner,
    ) -> Result<KeyCounts, WalletError> {
        let units = if asked.is_empty() { self.available(view) } else { asked.clone() };
        let keys = plan_singles(view, site, &units)?;
        if keys.is_empty() {
            return Ok(keys);
        }
        let draws = keys.iter().fold(0usize, |sum, (_, count)| sum.saturating_add(*count as usize));
        if draws > MOST_SINGLES {
            return Err(WalletError::ManyDraws { draws });
        }
        self.covers_units(view, &units)?;
        let covered = self.sealed_messages_left(view.round).saturating_sub(usize::from(self.refresh_due()));
        if self.has_words() && !manner.beyond_words && draws > covered {
            return Err(WalletError::WordsFew { draws, covered });
        }
        Ok(keys)
    }

    /// Gives up what is left of single draws: it can be drawn in another way.
    pub fn drop_singles(&mut self) {
        self.singles = None;
    }

    /// How many messages of a round recovery words would still bring back.
    pub fn sealed_messages_left(&self, round: Round) -> usize {
        (0..SEALED_MESSAGES).filter(|index| self.covers_message(round, *index)).count()
    }

    /// Takes note of what a draw brought: in one step with the voucher itself.
    pub(crate) fn note_single(&mut self, drawn: &[Voucher]) {
        if let ([voucher], Some(singles)) = (drawn, &mut self.singles)
            && singles.next() == Some(voucher.key())
        {
            singles.left.remove(0);
            singles.made += 1;
        }
    }

    /// Whether the pending show may go on: a session that is asked for anew seals a new message.
    pub(crate) fn may_go_on(&self) -> Result<(), WalletError> {
        match (&self.singles, self.session_asked()) {
            (Some(singles), Some((round, [(key, 1)]))) if (singles.round, singles.next()) == (round, Some(*key)) => {
                self.may_draw_single(round)
            }
            _ => Ok(()),
        }
    }

    /// Whether recovery words would bring the next message back, or that is not wanted: so also before a refresh.
    fn may_draw_single(&self, round: Round) -> Result<(), WalletError> {
        let beyond = self.singles.as_ref().is_some_and(|singles| singles.manner.beyond_words);
        if self.has_words() && !beyond && !self.is_covered(round) {
            let draws = self.singles.as_ref().map_or(0, Singles::left);
            return Err(WalletError::WordsFew { draws, covered: 0 });
        }
        Ok(())
    }
}

impl<P: Persist, L: Link> Agent<P, L> {
    /// Plans single draws, after what is pending and the refresh that may be due, and makes the plan durable: see
    /// [`Wallet::start_singles`].
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn start_singles<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        site: SiteId,
        asked: &BTreeMap<LineId, Units>,
        manner: Manner,
        rng: &mut R,
    ) -> Result<(), AgentError> {
        if self.wallet().singles().is_none() {
            self.finish_show(view, rng)?;
            if self.wallet().refresh_due() {
                // A refresh is sealed too: not before it is clear that the words reach.
                if self.wallet().singles_of(view, site, asked, manner)?.is_empty() {
                    return self.save();
                }
                self.refresh(view, rng)?;
            }
        }
        self.wallet_mut().start_singles(view, site, asked, manner, rng)?;
        self.save()
    }

    /// Makes the next single draw, or goes on with it; gives how many are left. If anything else had to be sent first, that is all
    /// that it does.
    ///
    /// # Errors
    /// [`AgentError`]; [`WalletError::WordsFew`] if recovery words would not bring it back.
    pub fn draw_single<R: CryptoRng + ?Sized>(&mut self, view: &InForce<'_>, rng: &mut R) -> Result<usize, AgentError> {
        let left = |wallet: &Wallet| wallet.singles().map_or(0, Singles::left);
        let before = left(self.wallet());
        let next = |wallet: &Wallet| wallet.singles().filter(|it| it.round == view.round).and_then(Singles::next);
        let Some(key) = next(self.wallet()) else {
            return if before == 0 { Ok(0) } else { Err(WalletError::DrawsLeft.into()) };
        };
        let keys = vec![(key, 1)];
        if !self.wallet().is_drawing(view.round, &keys) {
            let mut is_sent = self.wallet().outgoing(Task::Credential).is_some();
            self.finish_show(view, rng)?;
            if left(self.wallet()) == before && self.wallet().refresh_due() {
                self.wallet().may_draw_single(view.round)?;
                self.refresh(view, rng)?;
                is_sent = true;
            }
            // What was sent is not followed at once by a draw, which would tell that they belong together; or it was a draw of the
            // list, whose answer was lost or denied.
            if is_sent || left(self.wallet()) < before {
                return Ok(left(self.wallet()));
            }
            self.wallet().may_draw_single(view.round)?;
        }
        self.draw(view, keys, rng)?;
        Ok(left(self.wallet()))
    }
}

/// Fisher and Yates; the bias of a 64-bit remainder is below 2^-50.
pub(crate) fn shuffle<T, R: CryptoRng + ?Sized>(all: &mut [T], rng: &mut R) {
    for at in (1..all.len()).rev() {
        all.swap(at, (rng.next_u64() % (at as u64 + 1)) as usize);
    }
}
