//! Visits to sites: redeeming and collecting, and what becomes of the answers (spec 7, 8.3).
//!
//! A visit is a set of vouchers at a site in a round. Its request goes out as it is until it is answered; a new quote makes a new
//! request over the same vouchers and the same spare key. While a request of it may have been accepted, its vouchers go nowhere
//! else and in no other set: the set brings the receipts again, the key the slip for what is owed.

use annona_protocol::{
    group::EncodedPoint,
    ids::{QuoteId, Round, SiteId},
    programme::{InForce, MAX_VOUCHERS, Programme},
    redeem::{CollectRequest, Outcome, RedeemRequest, RedeemResponse, holder_key},
    secret::SecretScalar,
    slip::{OwedSlip, Place, Quote, RefusalCode, RefusalSlip},
    voucher::{Mark, ShownVoucher, Voucher},
    wire::Message,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Endpoint, Event, Handover, Next, Outgoing, Refusal, Task, Wallet, WalletError};

/// The most refusal slips that are kept: the oldest go first.
const MAX_REFUSALS: usize = 64;

/// Which vouchers to redeem.
#[derive(Clone, Copy, Debug)]
pub enum Choice<'a> {
    /// All that fit the quote.
    All,
    /// These.
    These(&'a [Mark]),
}

/// A visit that is not settled.
#[derive(Serialize, Deserialize)]
pub(crate) struct Visit {
    place: Place,
    marks: Vec<Mark>,
    /// Of all requests.
    quotes: Vec<QuoteId>,
    /// All that an owed slip may be made out to; the last is the last request's.
    spares: Vec<SecretScalar>,
    /// The last.
    request: Vec<u8>,
    state: State,
    /// Whether a request may have been accepted although the last one was not.
    doubt: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// The last request is to be sent.
    Open,
    /// The site said that it did not accept the last request: a new quote is needed.
    Declined,
    /// The same, as the spare key has a slip: a new key is needed too.
    KeyUsed,
    /// The site says that these vouchers were redeemed before. Kept for its keys and as evidence; goes again when asked to.
    Disputed,
}

/// An owed slip with the key that collects it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) slip: OwedSlip,
    spare: SecretScalar,
    /// Where it is to be collected, and the request.
    request: Option<(Place, Vec<u8>)>,
    pub(crate) collected: bool,
}

/// Vouchers of an accepted visit, until their goods are in hand: once the site's batch is closed, they alone bring them (spec 7.3).
#[derive(Serialize, Deserialize)]
pub(crate) struct Accepted {
    place: Place,
    vouchers: Vec<Voucher>,
}

impl Wallet {
    /// Answers a quote. With a visit to this site and round open, its vouchers go again under the new quote.
    ///
    /// # Errors
    /// [`WalletError::Quote`], [`WalletError::NothingToRedeem`], [`WalletError::VoucherNotFree`], [`WalletError::VisitOpen`]:
    /// nothing is revealed then.
    pub fn redeem<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        quote: &Quote,
        choice: Choice<'_>,
        rng: &mut R,
    ) -> Result<Task, WalletError> {
        self.is_of(view.programme)?;
        let place = quote.content.place;
        // Before the wallet believes its lines; the request checks it again.
        quote.verify(&place.site_key(view)?)?;
        let known = self.known(view, quote, choice);
        let waits = |at: &usize| self.visits[*at].is(place.site, place.round) && self.visits[*at].state == State::Open;
        if (0..self.visits.len()).filter(waits).any(|at| known != Some(at)) {
            return Err(WalletError::VisitOpen);
        }
        let (marks, spare) = match known.map(|at| &self.visits[at]) {
            Some(visit) => (visit.marks.clone(), visit.spares.last().filter(|_| visit.state != State::KeyUsed)),
            None => (self.chosen(view, quote, choice)?, None),
        };
        let vouchers: Vec<&Voucher> = marks.iter().filter_map(|mark| self.voucher(mark)).collect();
        let fresh = spare.is_none().then(|| SecretScalar::random(rng));
        let spare = spare.or(fresh.as_ref()).expect("there is one or the other");
        let request = RedeemRequest::new(view, quote, &vouchers, spare, rng)?.encode();
        let id = quote.content.id;
        match known.map(|at| &mut self.visits[at]) {
            Some(visit) => {
                // A request that was not answered may have been accepted.
                visit.doubt |= visit.state == State::Open;
                (visit.place, visit.request, visit.state) = (place, request, State::Open);
                visit.quotes.push(id);
                visit.spares.extend(fresh);
            }
            None => {
                // What was declined for sure is given up.
                self.visits.retain(|visit| !visit.is(place.site, place.round) || visit.doubt || visit.is_disputed());
                let (quotes, spares) = (vec![id], Vec::from_iter(fresh));
                self.visits.push(Visit { place, marks, quotes, spares, request, state: State::Open, doubt: false });
            }
        }
        Ok(Task::Visit(place.site, place.round))
    }

    /// Visits that were accepted and whose goods nobody has confirmed, the oldest first.
    pub fn unconfirmed(&self) -> impl Iterator<Item = (SiteId, Round)> {
        self.accepted.iter().map(|accepted| (accepted.place.site, accepted.place.round))
    }

    /// The holder has the goods of all visits to a site in a round: their vouchers are erased. Gives the number of vouchers.
    pub fn received(&mut self, site: SiteId, round: Round) -> usize {
        self.take_accepted(site, round).len()
    }

    /// The goods of an accepted visit never came: its vouchers can be shown again, and bring the old receipts with the goods that
    /// were not handed over. Gives the number of vouchers.
    pub fn not_received(&mut self, site: SiteId, round: Round) -> usize {
        let vouchers = self.take_accepted(site, round);
        let count = vouchers.len();
        self.restored.retain(|mark| !vouchers.iter().any(|voucher| voucher.shown().mark() == *mark));
        self.hold(vouchers);
        count
    }

    pub(crate) fn accepted_marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.accepted.iter().flat_map(|accepted| &accepted.vouchers).map(|voucher| voucher.shown().mark())
    }

    fn take_accepted(&mut self, site: SiteId, round: Round) -> Vec<Voucher> {
        let is = |accepted: &mut Accepted| (accepted.place.site, accepted.place.round) == (site, round);
        self.accepted.extract_if(.., is).flat_map(|accepted| accepted.vouchers).collect()
    }

    /// Vouchers of rounds that no site serves any more bring nothing: rounds overlap by the policy's advance.
    pub(crate) fn forget_accepted(&mut self, view: &InForce<'_>) {
        let first = view.round.0.saturating_sub(view.header.policy.advance).saturating_sub(1);
        self.accepted.retain(|accepted| accepted.place.round.0 >= first);
    }

    /// Prepares to collect what a slip promises, at `place`: its site, in the round that is open now.
    ///
    /// # Errors
    /// [`WalletError::NoSlip`], [`WalletError::Signature`] if the place is another site.
    pub fn collect<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        holder: EncodedPoint,
        place: &Place,
        rng: &mut R,
    ) -> Result<Task, WalletError> {
        self.is_of(programme)?;
        let owed = self.owed.iter_mut().find(|owed| owed.is(holder) && !owed.collected).ok_or(WalletError::NoSlip)?;
        if owed.request.as_ref().is_none_or(|(at, _)| at != place) {
            let view = programme.in_force(owed.slip.content.place.round)?;
            let request = CollectRequest::new(&view, &owed.slip, place, &owed.spare, rng)?;
            owed.request = Some((*place, request.encode()));
        }
        Ok(Task::Collect(holder))
    }

    /// Collections that are not answered: the slip's key, and where it is collected.
    pub fn collecting(&self) -> impl Iterator<Item = (EncodedPoint, Place)> {
        self.owed.iter().filter_map(|owed| Some((owed.slip.content.holder, owed.request.as_ref()?.0)))
    }

    /// The visit to this place whose vouchers go again: one that was not answered before one that was declined.
    fn known(&self, view: &InForce<'_>, quote: &Quote, choice: Choice<'_>) -> Option<usize> {
        let place = &quote.content.place;
        let goes = |at: &usize| {
            let visit = &self.visits[*at];
            let asked = match choice {
                Choice::All => !visit.is_disputed(),
                Choice::These(marks) => is_same_set(marks, &visit.marks),
            };
            let fits = |mark: &Mark| {
                let sound = visit.is_disputed() || !self.faults.contains_key(mark);
                sound && self.voucher(mark).is_some() && fits(view, quote, mark)
            };
            asked && visit.is(place.site, place.round) && visit.marks.iter().all(fits)
        };
        let rank = |at: &usize| (self.visits[*at].state != State::Open, !self.visits[*at].doubt);
        (0..self.visits.len()).filter(goes).min_by_key(rank)
    }

    /// Whether exactly these vouchers were shown to this site, which says that they had been redeemed. They go again when asked to:
    /// once its batch is closed, a site gives the receipts of any vouchers that it accepted.
    pub(crate) fn is_disputed(&self, site: SiteId, round: Round, marks: &[Mark]) -> bool {
        self.visits.iter().any(|visit| visit.is(site, round) && visit.is_disputed() && is_same_set(marks, &visit.marks))
    }

    fn chosen(&self, view: &InForce<'_>, quote: &Quote, choice: Choice<'_>) -> Result<Vec<Mark>, WalletError> {
        let is_free = |mark: &Mark| !self.is_busy(mark) && !self.faults.contains_key(mark);
        match choice {
            Choice::These(marks) => {
                let held = |mark: &Mark| self.voucher(mark).is_some();
                let free = marks.iter().all(|mark| held(mark) && is_free(mark));
                if free && !marks.is_empty() { Ok(marks.to_vec()) } else { Err(WalletError::VoucherNotFree) }
            }
            Choice::All => {
                let all = self.vouchers.iter().map(|voucher| voucher.shown().mark());
                let marks: Vec<Mark> =
                    all.filter(|mark| is_free(mark) && fits(view, quote, mark)).take(MAX_VOUCHERS).collect();
                if marks.is_empty() { Err(WalletError::NothingToRedeem) } else { Ok(marks) }
            }
        }
    }

    pub(crate) fn visit(&self, site: SiteId, round: Round) -> Option<&Visit> {
        self.visits.iter().find(|visit| visit.is_waiting(site, round))
    }

    fn visit_at(&self, site: SiteId, round: Round) -> Result<usize, WalletError> {
        let waiting = self.visits.iter().position(|visit| visit.is_waiting(site, round));
        waiting.ok_or(WalletError::NotPending)
    }

    pub(crate) fn absorb_visit(
        &mut self,
        programme: &Programme,
        site: SiteId,
        round: Round,
        answer: &[u8],
    ) -> Result<Event, WalletError> {
        let at = self.visit_at(site, round)?;
        let visit = &self.visits[at];
        let response = RedeemResponse::decode(answer)?;
        let shown: Vec<ShownVoucher> =
            visit.marks.iter().filter_map(|mark| self.voucher(mark)).map(|voucher| *voucher.shown()).collect();
        let spares: Vec<EncodedPoint> = visit.spares.iter().map(holder_key).collect();
        response.check_visit(&programme.in_force(round)?, &visit.place, &shown, &spares)?;
        let handover = Handover::new(&visit.place, &response);
        self.keep_receipts(response.receipts);
        if response.outcome == Outcome::AcceptedAtCounter {
            // The vouchers stay: only the other counter can say what became of the goods.
            return Ok(Event::AtAnotherCounter(handover));
        }
        let visit = self.visits.remove(at);
        let shown = |voucher: &mut Voucher| visit.marks.contains(&voucher.shown().mark());
        let vouchers: Vec<Voucher> = self.vouchers.extract_if(.., shown).collect();
        if handover.outcome != Outcome::AlreadyHandedOver {
            self.accepted.push(Accepted { place: visit.place, vouchers });
        }
        self.faults.retain(|mark, _| !visit.marks.contains(mark));
        if let Some(slip) = response.owed {
            let spare = visit.spares.into_iter().find(|spare| holder_key(spare) == slip.content.holder);
            let spare = spare.expect("the response was checked against these keys");
            // A slip of several visits comes with each.
            if !self.owed.iter().any(|owed| owed.is(slip.content.holder)) {
                self.owed.push(Owed { slip, spare, request: None, collected: false });
            }
        }
        self.latest = Some(handover.clone());
        Ok(Event::Redeemed(handover))
    }

    pub(crate) fn refuse_visit(
        &mut self,
        programme: &Programme,
        site: SiteId,
        round: Round,
        refusal: &Refusal,
    ) -> Result<Next, WalletError> {
        let at = self.visit_at(site, round)?;
        let Some(signed) = &refusal.signed else {
            return Ok(if refusal.is_transient() { Next::Send } else { Next::Stop });
        };
        let visit = &self.visits[at];
        let slip = RefusalSlip::decode(signed).map_err(|_| WalletError::Word)?;
        let terms = slip.verify(&visit.place.site_key(&programme.in_force(round)?)?).map_err(|_| WalletError::Word)?;
        let known = visit.quotes.contains(&terms.quote);
        if terms.place != visit.place || !terms.marks.iter().all(|mark| visit.marks.contains(mark)) {
            return Err(WalletError::Word);
        }
        let (code, marks) = (terms.code, terms.marks.clone());
        // Without this visit's quote the slip may be about somebody else: it is kept, and changes nothing.
        if !known {
            self.keep_refusal(slip);
            return Ok(Next::Stop);
        }
        let visit = &mut self.visits[at];
        visit.state = State::Declined;
        let next = match code {
            // Another counter's: this one cannot say what became of an earlier request.
            RefusalCode::OtherSlot if visit.doubt => Next::Stop,
            RefusalCode::KeyUnknown
            | RefusalCode::OtherRound
            | RefusalCode::OtherSite
            | RefusalCode::OtherSlot
            | RefusalCode::VoucherInvalid
            | RefusalCode::AlreadyRedeemed
            | RefusalCode::Swapped => {
                let rest = visit.marks.iter().any(|mark| !marks.contains(mark));
                // Its keys may be all that collects what is owed for those.
                if code == RefusalCode::AlreadyRedeemed && !marks.is_empty() {
                    (visit.state, visit.marks) = (State::Disputed, marks.clone());
                }
                self.faults.extend(marks.into_iter().map(|mark| (mark, code)));
                if rest { Next::Quote } else { Next::Stop }
            }
            // The quote may have been used up, by this request and an answer that was lost.
            RefusalCode::QuoteUnknown => {
                visit.doubt = true;
                Next::Quote
            }
            RefusalCode::OwedUnknown => {
                visit.state = State::KeyUsed;
                Next::Quote
            }
            RefusalCode::LineNotQuoted => Next::Quote,
            _ => Next::Stop,
        };
        self.keep_refusal(slip);
        Ok(next)
    }

    pub(crate) fn absorb_collection(&mut self, holder: EncodedPoint, answer: &[u8]) -> Result<Event, WalletError> {
        let waiting = |owed: &&mut Owed| owed.is(holder) && owed.request.is_some();
        let owed = self.owed.iter_mut().find(waiting).ok_or(WalletError::NotPending)?;
        let response = RedeemResponse::decode(answer)?;
        response.check_collection(&owed.slip)?;
        let handover = Handover::new(&owed.slip.content.place, &response);
        if response.outcome == Outcome::AcceptedAtCounter {
            return Ok(Event::AtAnotherCounter(handover));
        }
        (owed.collected, owed.request) = (true, None);
        self.latest = Some(handover.clone());
        Ok(Event::Collected(handover))
    }

    pub(crate) fn refuse_collection(
        &mut self,
        programme: &Programme,
        holder: EncodedPoint,
        refusal: &Refusal,
    ) -> Result<Next, WalletError> {
        let waiting = |owed: &&mut Owed| owed.is(holder) && owed.request.is_some();
        let owed = self.owed.iter_mut().find(waiting).ok_or(WalletError::NotPending)?;
        let (place, _) = owed.request.as_ref().ok_or(WalletError::NotPending)?;
        let place = *place;
        let Some(signed) = &refusal.signed else {
            return Ok(if refusal.is_transient() { Next::Send } else { Next::Stop });
        };
        let slip = RefusalSlip::decode(signed).map_err(|_| WalletError::Word)?;
        slip.verify(&place.site_key(&programme.in_force(place.round)?)?).map_err(|_| WalletError::Word)?;
        if slip.content.place != place {
            return Err(WalletError::Word);
        }
        // The slip and its key stay: a site that lies now has signed both.
        owed.request = None;
        self.keep_refusal(slip);
        Ok(Next::Stop)
    }

    fn keep_refusal(&mut self, slip: RefusalSlip) {
        if !self.refusals.contains(&slip) {
            self.refusals.push(slip);
        }
        let surplus = self.refusals.len().saturating_sub(MAX_REFUSALS);
        self.refusals.drain(..surplus);
    }
}

impl Visit {
    fn is(&self, site: SiteId, round: Round) -> bool {
        (self.place.site, self.place.round) == (site, round)
    }

    /// What is to be sent, if anything is.
    pub(crate) fn task(&self) -> Option<Task> {
        (self.state == State::Open).then_some(Task::Visit(self.place.site, self.place.round))
    }

    fn is_disputed(&self) -> bool {
        self.state == State::Disputed
    }

    pub(crate) fn is_waiting(&self, site: SiteId, round: Round) -> bool {
        self.is(site, round) && self.state == State::Open
    }

    /// Whether a voucher must not go elsewhere: the visit may have been accepted.
    pub(crate) fn holds(&self, mark: &Mark) -> bool {
        (self.state == State::Open || self.doubt && !self.is_disputed()) && self.marks.contains(mark)
    }

    /// Whether a voucher was shown in it.
    pub(crate) fn shows(&self, mark: &Mark) -> bool {
        self.marks.contains(mark)
    }

    pub(crate) fn outgoing(&self) -> Outgoing {
        Outgoing { endpoint: Endpoint::Redeem(self.place.site), body: Zeroizing::new(self.request.clone()) }
    }
}

impl Owed {
    fn is(&self, holder: EncodedPoint) -> bool {
        self.slip.content.holder == holder
    }

    pub(crate) fn outgoing(&self) -> Option<Outgoing> {
        let (place, request) = self.request.as_ref()?;
        Some(Outgoing { endpoint: Endpoint::Collect(place.site), body: Zeroizing::new(request.clone()) })
    }
}

impl Handover {
    fn new(place: &Place, response: &RedeemResponse) -> Self {
        Self {
            site: place.site,
            round: place.round,
            outcome: response.outcome,
            visit: response.visit,
            units: response.units.clone(),
            owed: response.owed.as_ref().map(|slip| slip.content.lines.clone()).unwrap_or_default(),
        }
    }
}

/// Whether a voucher is of the quote's round, site and lines ([7.1-M2]).
fn fits(view: &InForce<'_>, quote: &Quote, mark: &Mark) -> bool {
    let terms = &quote.content;
    view.key(mark.key).is_some_and(|entry| {
        entry.id.round == view.round
            && entry.id.site.is_none_or(|site| site == terms.place.site)
            && terms.lines.contains(&entry.id.line)
    })
}

fn is_same_set(left: &[Mark], right: &[Mark]) -> bool {
    let sorted = |marks: &[Mark]| {
        let mut marks = marks.to_vec();
        marks.sort_unstable();
        marks
    };
    sorted(left) == sorted(right)
}
