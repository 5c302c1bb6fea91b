//! A distribution site for one round, in memory: quotes, the spent set, receipts, slips, the log (spec 7, 8).
//!
//! Holds public keys only, beside the key of its own log. A visit's marks are inserted all or nothing, with its receipts and
//! leaves, under one lock.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use annona_protocol::{
    ids::{Digest, KeyIndex, LineId, QuoteId, Round, Units},
    log::{
        MerkleError,
        leaf::{Leaf as _, OwedLeaf, OwedVoidedLeaf, SiteLeaf, VoidLeaf},
    },
    programme::InForce,
    redeem::{BearerVoucher, Counter, RedeemRequest, Refusal, VerifiedVisit, VoidRequest},
    signature::BadSignature,
    slip::{
        OpeningPack, OwedSlip, OwedTerms, Place, Quote, QuoteTerms, Receipt, ReceiptTerms, RefusalCode, RefusalSlip,
        RefusalTerms, Signed, SiteStatement, StatementTerms, VoidSlip, VoidTerms,
    },
    voucher::Mark,
    wire::{Message, request_digest},
};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;

use crate::publish::Log;

/// Why a site does not open or close a round.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The pack is not signed by the issuer, or is for another site, round or manifest.
    #[error("the opening pack is not this site's for the manifest in force")]
    Pack(#[from] BadSignature),
    /// The log is full.
    #[error(transparent)]
    Log(#[from] MerkleError),
}

/// What a site answers to a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to hand over, by line.
    pub units: BTreeMap<LineId, Units>,
    /// One receipt a voucher.
    pub receipts: Vec<Receipt>,
    /// What the site owes, if stock ran out.
    pub owed: Option<OwedSlip>,
}

struct Visit {
    marks: HashSet<Mark>,
    accepted: Accepted,
}

struct Acceptance {
    visit: Digest,
    number: u32,
    voided: bool,
}

#[derive(Default)]
struct State {
    quotes: HashMap<QuoteId, Quote>,
    spent: HashMap<Mark, Acceptance>,
    visits: HashMap<Digest, Visit>,
    pending: Vec<SiteLeaf>,
    log: Log,
    redeemed: BTreeMap<KeyIndex, u64>,
    voids: BTreeMap<KeyIndex, u64>,
    owed: BTreeMap<LineId, Units>,
    stock: BTreeMap<LineId, Units>,
}

/// A site in a round.
pub struct Site<'a> {
    view: InForce<'a>,
    counter: Counter<'a>,
    key: SigningKey,
    swapped: HashSet<Mark>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Site<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Site({:?})", self.counter.place())
    }
}

impl<'a> Site<'a> {
    /// Opens a round with its pack. `log` is the site's log so far; `stock` bounds what can be handed over, by line, and lines
    /// that it does not name are not in stock.
    ///
    /// # Errors
    /// [`SiteError::Pack`].
    pub fn open(
        view: InForce<'a>,
        pack: &OpeningPack,
        key: SigningKey,
        log: Log,
        stock: BTreeMap<LineId, Units>,
    ) -> Result<Self, SiteError> {
        let content = pack.verify(&view.header.issuer_log.key)?;
        let place = Place::new(&view, content.place.site);
        if content.place != place || place.site_key(&view)? != annona_protocol::signature::PublicKey::of(&key) {
            return Err(BadSignature.into());
        }
        let swapped = content.swapped.iter().copied().collect();
        let state = State { log, stock, ..State::default() };
        Ok(Self { view, counter: Counter::new(view, place, Vec::new()), key, swapped, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves a half-made change behind when it panics: refusals come before the first insert.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the site stands.
    pub fn place(&self) -> &Place {
        self.counter.place()
    }

    /// A fresh quote.
    pub fn quote<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Quote {
        let mut id = QuoteId::default();
        rng.fill_bytes(&mut id.0);
        let mut state = self.state();
        let lines = state.stock.keys().copied().collect();
        let quote = Signed::sign(QuoteTerms { place: *self.place(), id, lines }, &self.key);
        state.quotes.insert(id, quote.clone());
        quote
    }

    /// Redeems a visit's vouchers.
    ///
    /// # Errors
    /// A signed refusal slip with a stable code. A repeat of the same visit gets the old answer.
    pub fn redeem(&self, request: &[u8]) -> Result<Accepted, RefusalSlip> {
        let decoded = RedeemRequest::decode(request)
            .map_err(|_| self.refuse(QuoteId::default(), RefusalCode::Malformed, Vec::new()))?;
        // The same bytes again: the old answer, though the quote is used by now.
        if let Some(visit) = self.state().visits.get(&request_digest(request)) {
            return Ok(visit.accepted.clone());
        }
        let quote = self.find_quote(decoded.quote)?;
        let visit = self.counter.verify(&quote, &decoded).map_err(|refusal| self.slip(decoded.quote, refusal))?;
        self.accept(request_digest(request), &quote, visit)
    }

    /// Redeems a printed voucher under a quote of the counter's own.
    ///
    /// # Errors
    /// A signed refusal slip.
    pub fn redeem_bearer(&self, quote: QuoteId, sheet: &[u8]) -> Result<Accepted, RefusalSlip> {
        let bearer =
            BearerVoucher::decode(sheet).map_err(|_| self.refuse(quote, RefusalCode::Malformed, Vec::new()))?;
        let quote = self.find_quote(quote)?;
        let visit =
            self.counter.verify_bearer(&quote, &bearer).map_err(|refusal| self.slip(quote.content.id, refusal))?;
        self.accept(request_digest(sheet), &quote, visit)
    }

    fn find_quote(&self, id: QuoteId) -> Result<Quote, RefusalSlip> {
        self.state().quotes.get(&id).cloned().ok_or_else(|| self.refuse(id, RefusalCode::QuoteUnknown, Vec::new()))
    }

    fn slip(&self, quote: QuoteId, refusal: Refusal) -> RefusalSlip {
        self.refuse(quote, refusal.code, refusal.marks)
    }

    fn refuse(&self, quote: QuoteId, code: RefusalCode, marks: Vec<Mark>) -> RefusalSlip {
        Signed::sign(RefusalTerms { place: *self.place(), quote, code, marks }, &self.key)
    }

    /// The one step that spends: all marks, the receipts and the leaves, or nothing.
    fn accept(&self, digest: Digest, quote: &Quote, verified: VerifiedVisit) -> Result<Accepted, RefusalSlip> {
        let marks: HashSet<Mark> = verified.marks().collect();
        let mut state = self.state();
        // Idempotence is by the exact set of marks: the same visit gets the same receipts.
        let earlier = marks.iter().find_map(|mark| state.spent.get(mark).filter(|known| !known.voided));
        let visit = earlier.and_then(|known| state.visits.get(&known.visit)).filter(|visit| visit.marks == marks);
        if let Some(visit) = visit {
            return Ok(visit.accepted.clone());
        }
        let fault = |is: &dyn Fn(&Mark) -> bool| marks.iter().filter(|mark| is(mark)).copied().collect::<Vec<_>>();
        let swapped = fault(&|mark| self.swapped.contains(mark));
        if !swapped.is_empty() {
            return Err(self.refuse(quote.content.id, RefusalCode::Swapped, swapped));
        }
        let spent = fault(&|mark| state.spent.get(mark).is_some_and(|known| !known.voided));
        if !spent.is_empty() {
            return Err(self.refuse(quote.content.id, RefusalCode::AlreadyRedeemed, spent));
        }
        // A quote is used by the visit that it led to, and by no other.
        if state.quotes.remove(&quote.content.id).is_none() {
            return Err(self.refuse(quote.content.id, RefusalCode::QuoteUnknown, Vec::new()));
        }
        let batch = state.log.open_batch();
        let number = |mark: &Mark| state.spent.get(mark).map_or(1, |known| known.number + 1);
        let leaves = verified.leaves(number);
        let receipts = leaves
            .iter()
            .map(|leaf| {
                let mark = leaf.voucher.shown.mark();
                let hash = SiteLeaf::Voucher(*leaf).tree_hash();
                let terms =
                    ReceiptTerms { place: *self.place(), mark, number: leaf.number, leaf: hash, batch, pending: false };
                Signed::sign(terms, &self.key)
            })
            .collect();
        let (units, short) = hand_over(&mut state.stock, verified.units());
        let owed = (!short.is_empty()).then(|| {
            let lines: Vec<(LineId, Units)> = short.into_iter().collect();
            Signed::sign(OwedTerms { place: *self.place(), lines, holder: verified.spare() }, &self.key)
        });
        if let Some(slip) = &owed {
            for (line, units) in &slip.content.lines {
                state.owed.entry(*line).or_default().0 += units.0;
            }
            let leaf =
                OwedLeaf { round: self.place().round, lines: slip.content.lines.clone(), holder: slip.content.holder };
            state.pending.push(SiteLeaf::Owed(leaf));
        }
        for leaf in leaves {
            let mark = leaf.voucher.shown.mark();
            state.spent.insert(mark, Acceptance { visit: digest, number: leaf.number, voided: false });
            *state.redeemed.entry(mark.key).or_default() += 1;
            state.pending.push(SiteLeaf::Voucher(leaf));
        }
        let accepted = Accepted { units, receipts, owed };
        state.visits.insert(digest, Visit { marks, accepted: accepted.clone() });
        Ok(accepted)
    }

    /// Voids a whole visit before its batch closes: a supervisor's act, with the holder's proof a voucher.
    ///
    /// # Errors
    /// A signed refusal slip.
    pub fn void(&self, request: &[u8]) -> Result<VoidSlip, RefusalSlip> {
        let none = QuoteId::default();
        let refuse = |code, marks| self.refuse(none, code, marks);
        let request = VoidRequest::decode(request).map_err(|_| refuse(RefusalCode::Malformed, Vec::new()))?;
        let leaves = self.counter.verify_void(&request).map_err(|refusal| self.slip(none, refusal))?;
        let mut state = self.state();
        let marks: HashSet<Mark> = leaves.iter().map(|leaf| leaf.mark).collect();
        let current = |leaf: &VoidLeaf| {
            state.spent.get(&leaf.mark).is_some_and(|known| !known.voided && known.number == leaf.number)
        };
        if !leaves.iter().all(current) {
            return Err(refuse(RefusalCode::Closed, marks.into_iter().collect()));
        }
        let visit = leaves.first().and_then(|leaf| state.spent.get(&leaf.mark)).map(|known| known.visit);
        let visit = visit.and_then(|digest| state.visits.remove(&digest).map(|visit| (digest, visit)));
        let visit = match visit {
            Some((_, visit)) if visit.marks == marks => visit,
            Some((digest, visit)) => {
                state.visits.insert(digest, visit);
                return Err(refuse(RefusalCode::VisitIncomplete, marks.into_iter().collect()));
            }
            None => return Err(refuse(RefusalCode::Closed, marks.into_iter().collect())),
        };
        for (line, units) in &visit.accepted.units {
            state.stock.entry(*line).or_default().0 += units.0;
        }
        if let Some(slip) = &visit.accepted.owed {
            for (line, units) in &slip.content.lines {
                state.owed.entry(*line).or_default().0 -= units.0;
            }
            state.pending.push(SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: slip.content.holder }));
        }
        for leaf in &leaves {
            if let Some(known) = state.spent.get_mut(&leaf.mark) {
                known.voided = true;
            }
            *state.voids.entry(leaf.mark.key).or_default() += 1;
            if let Some(count) = state.redeemed.get_mut(&leaf.mark.key) {
                *count -= 1;
            }
            state.pending.push(SiteLeaf::Void(*leaf));
        }
        let voided = leaves.iter().map(|leaf| (leaf.mark, leaf.number)).collect();
        Ok(Signed::sign(VoidTerms { place: *self.place(), voided }, &self.key))
    }

    /// Closes the batch: leaves are sorted, visits are no longer grouped.
    ///
    /// # Errors
    /// [`SiteError::Log`].
    pub fn close_batch(&self) -> Result<(), SiteError> {
        let mut state = self.state();
        let events = std::mem::take(&mut state.pending);
        state.visits.clear();
        Ok(state.log.append_batch(&events, self.place().round)?)
    }

    /// Closes the round with its statement, and hands back the log.
    ///
    /// # Errors
    /// [`SiteError::Log`].
    pub fn close_round(self) -> Result<(SiteStatement, Log), SiteError> {
        self.close_batch()?;
        let place = *self.place();
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut units: BTreeMap<LineId, Units> = BTreeMap::new();
        for (at, count) in &state.redeemed {
            let entry = self.view.key(*at).expect("only listed keys are redeemed");
            units.entry(entry.id.line).or_default().0 += u64::from(entry.id.value) * count;
        }
        units.retain(|_, units| units.0 > 0);
        state.redeemed.retain(|_, count| *count > 0);
        let statement = StatementTerms {
            place,
            units: units.into_iter().collect(),
            vouchers: state.redeemed.into_iter().collect(),
            voids: state.voids.into_iter().collect(),
            owed: state.owed.into_iter().filter(|(_, units)| units.0 > 0).collect(),
            collected: Vec::new(),
            size: state.log.size(),
            root: state.log.root(),
        };
        let statement = Signed::sign(statement, &self.key);
        state.log.append(&SiteLeaf::Statement(statement.clone()))?;
        Ok((statement, state.log))
    }

    /// The round.
    pub fn round(&self) -> Round {
        self.place().round
    }
}

/// Takes what is asked for from stock: what is handed over, and what is missing.
fn hand_over(
    stock: &mut BTreeMap<LineId, Units>,
    asked: &BTreeMap<LineId, Units>,
) -> (BTreeMap<LineId, Units>, BTreeMap<LineId, Units>) {
    let (mut given, mut short) = (BTreeMap::new(), BTreeMap::new());
    for (line, units) in asked {
        let left = stock.entry(*line).or_default();
        let now = units.0.min(left.0);
        left.0 -= now;
        given.insert(*line, Units(now));
        if now < units.0 {
            short.insert(*line, Units(units.0 - now));
        }
    }
    (given, short)
}
