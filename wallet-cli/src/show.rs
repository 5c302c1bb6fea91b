//! The credential: enrolment, roll-over, draw, refresh, amend, and what becomes of their answers (spec 4.2, 4.3, 5.4).
//!
//! All attempts on one serial are kept until one answer verifies. A refused show is followed by a refresh, or by the roll-over
//! again, under the same serial: if the refusal was a lie, the issuer finds the serial spent and the earlier bytes get the
//! answer.

use annona_protocol::{
    Rejected,
    bucket::ENROLMENTS,
    credential::Credential,
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverResponse, SessionGone, SessionRequest,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    ids::{KeyIndex, ManifestHash, Round, TicketHash},
    programme::{InForce, KeyCounts, Programme, TicketKind},
    ticket::TicketCode,
    voucher::{SessionOffer, Voucher},
    wire::Message,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Endpoint, Event, Next, Outgoing, Refusal, SEALED_MESSAGES, Wallet, WalletError, recovery::SLOT_TAKEN,
    secret::SecretVec,
};

/// Every request on one serial or, before there is a credential, every enrolment.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingShow {
    attempts: Vec<Attempt>,
    step: Step,
}

/// What is to be sent.
#[derive(Serialize, Deserialize)]
pub(crate) enum Step {
    /// A request for a session.
    Session { round: Round, keys: KeyCounts },
    /// The attempt at a position; how many were answered with a conflict in a row.
    Send { at: usize, conflicts: usize },
    /// Nothing: the last request was refused.
    Refused,
}

#[derive(Serialize, Deserialize)]
struct Attempt {
    /// The round and version of its statement; nothing for an enrolment.
    view: Option<(Round, ManifestHash)>,
    context: Context,
    request: SecretVec,
    /// The issuer has a slot of this id: other bytes are needed.
    slot_taken: bool,
}

#[derive(Serialize, Deserialize)]
enum Context {
    Enrol(EnrolContext),
    RollOver(RollOverContext),
    Draw(DrawContext),
    Amend(AmendContext),
}

impl Wallet {
    /// Prepares to turn a ticket into a credential. The same ticket again gives the same bytes.
    ///
    /// # Errors
    /// [`WalletError::AlreadyEnrolled`], [`WalletError::Pending`], [`WalletError::Enrol`].
    pub fn enrol<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        kind: TicketKind,
        ticket: TicketCode,
        rng: &mut R,
    ) -> Result<(), WalletError> {
        self.is_of(programme)?;
        if self.credential.is_some() {
            return Err(WalletError::AlreadyEnrolled);
        }
        self.is_current()?;
        let hash = ticket.hash(&programme.id(), kind);
        if self.send_again(|attempt| attempt.ticket(programme) == Some(hash)) {
            return Ok(());
        }
        self.is_free_for_a_show()?;
        let seal = self.seal(ENROLMENTS);
        let (context, request) = EnrolContext::new(programme, kind, ticket, seal.sealing(), rng)?;
        self.attempt(None, Context::Enrol(context), request.encode_secret());
        Ok(())
    }

    /// Prepares to roll the credential over into the view's round; also after a refused show.
    ///
    /// # Errors
    /// [`WalletError::NotEnrolled`], [`WalletError::Pending`], [`WalletError::Draw`].
    pub fn roll_over<R: CryptoRng + ?Sized>(&mut self, view: &InForce<'_>, rng: &mut R) -> Result<(), WalletError> {
        self.is_of(view.programme)?;
        let place = (view.round, view.hash);
        if self.send_again(|attempt| attempt.view == Some(place) && matches!(attempt.context, Context::RollOver(_))) {
            return Ok(());
        }
        self.is_free_for_a_show()?;
        let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
        let (context, request) = RollOverContext::new(view, credential, self.seal(view.round).sealing(), rng)?;
        self.forget_accepted(view);
        self.attempt(Some(place), Context::RollOver(context), request.encode_secret());
        Ok(())
    }

    /// Prepares to draw a list of keys: a session first. An empty list is a refresh; a draw of the same list that is not answered
    /// yet goes on.
    ///
    /// # Errors
    /// [`WalletError::Uncovered`], [`WalletError::RefreshDue`], [`WalletError::Pending`].
    pub fn draw<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        keys: KeyCounts,
        rng: &mut R,
    ) -> Result<(), WalletError> {
        if keys.is_empty() {
            return self.refresh(view, rng);
        }
        self.is_of(view.programme)?;
        if self.is_drawing(view.round, &keys) {
            return Ok(());
        }
        self.may_show_anything()?;
        self.covers(view, &keys)?;
        let step = Step::Session { round: view.round, keys };
        self.show = Some(PendingShow { attempts: Vec::new(), step });
        Ok(())
    }

    /// Prepares a refresh: what is due after a refused show ([4.3-M10]).
    ///
    /// # Errors
    /// [`WalletError::NotEnrolled`], [`WalletError::Pending`], [`WalletError::Draw`].
    pub fn refresh<R: CryptoRng + ?Sized>(&mut self, view: &InForce<'_>, rng: &mut R) -> Result<(), WalletError> {
        self.is_of(view.programme)?;
        let place = (view.round, view.hash);
        if self.send_again(|attempt| attempt.view == Some(place) && attempt.is_refresh()) {
            return Ok(());
        }
        self.is_free_for_a_show()?;
        let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
        let (context, request) = DrawContext::refresh(view, credential, self.seal(view.round).sealing(), rng)?;
        self.attempt(Some(place), Context::Draw(context), request.encode_secret());
        Ok(())
    }

    /// Prepares to take over the attributes of an amend ticket.
    ///
    /// # Errors
    /// [`WalletError::NotEnrolled`], [`WalletError::RefreshDue`], [`WalletError::Pending`], [`WalletError::Draw`].
    pub fn amend<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        ticket: TicketCode,
        rng: &mut R,
    ) -> Result<(), WalletError> {
        self.is_of(view.programme)?;
        if self.is_amending(&ticket) {
            return Ok(());
        }
        self.may_show_anything()?;
        let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
        let seal = self.seal(view.round);
        let (context, request) = AmendContext::new(view, credential, ticket, seal.sealing(), rng)?;
        self.attempt(Some((view.round, view.hash)), Context::Amend(context), request.encode_secret());
        Ok(())
    }

    /// Whether an amend with this ticket is not answered yet.
    pub fn is_amending(&self, ticket: &TicketCode) -> bool {
        let Some(PendingShow { attempts, step: Step::Send { at, .. } }) = &self.show else { return false };
        AmendRequest::decode(&attempts[*at].request.0).is_ok_and(|request| request.ticket == *ticket)
    }

    /// Whether a draw of this list is not answered yet.
    pub fn is_drawing(&self, round: Round, keys: &[(KeyIndex, u32)]) -> bool {
        let Some(show) = &self.show else { return false };
        match &show.step {
            Step::Session { round: at, keys: list } => (*at, list.as_slice()) == (round, keys),
            Step::Send { at, .. } => DrawRequest::decode(&show.attempts[*at].request.0)
                .is_ok_and(|request| (request.round, request.keys.as_slice()) == (round, keys)),
            Step::Refused => false,
        }
    }

    /// The list that a session is to be asked for.
    pub(crate) fn session_asked(&self) -> Option<(Round, &[(KeyIndex, u32)])> {
        match self.show.as_ref().map(|show| &show.step) {
            Some(Step::Session { round, keys }) => Some((*round, keys)),
            _ => None,
        }
    }

    /// Whether a refused show has to be followed by a refresh or roll-over before anything else.
    pub fn refresh_due(&self) -> bool {
        self.credential.is_some() && self.show.as_ref().is_some_and(|show| matches!(show.step, Step::Refused))
    }

    pub(crate) fn absorb_show<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        answer: &[u8],
        rng: &mut R,
    ) -> Result<Event, WalletError> {
        let show = self.show.as_ref().ok_or(WalletError::NotPending)?;
        if let Step::Session { round, keys } = &show.step
            && let Ok(offer) = SessionOffer::decode(answer)
        {
            self.is_current()?;
            self.may_go_on()?;
            let view = programme.in_force(*round)?;
            let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
            let seal = self.seal(view.round);
            let (context, request) = DrawContext::new(&view, credential, keys.clone(), &offer, seal.sealing(), rng)?;
            self.attempt(Some((view.round, view.hash)), Context::Draw(context), request.encode_secret());
            return Ok(Event::Session);
        }
        let show = self.show.as_mut().ok_or(WalletError::NotPending)?;
        let (credential, vouchers) = show.finish(programme, answer, rng)?;
        let event = if vouchers.is_empty() { Event::Credential } else { Event::Drawn(vouchers.len()) };
        self.credential = Some(credential);
        self.note_single(&vouchers);
        self.hold(vouchers);
        self.show = None;
        Ok(event)
    }

    pub(crate) fn refuse_show(&mut self, programme: &Programme, refusal: &Refusal) -> Result<Next, WalletError> {
        let show = self.show.as_mut().ok_or(WalletError::NotPending)?;
        if refusal.is_transient() {
            return Ok(Next::Send);
        }
        let (at, conflicts) = match &show.step {
            Step::Send { at, conflicts } => (*at, *conflicts),
            // Nothing was shown, and nothing burned.
            Step::Session { .. } if show.attempts.is_empty() => {
                self.show = None;
                return Ok(Next::Stop);
            }
            Step::Session { .. } => {
                show.step = Step::Refused;
                return Ok(Next::Stop);
            }
            Step::Refused => return Ok(Next::Stop),
        };
        if let Some(word) = &refusal.signed {
            show.step = show.attempts[at].gone(programme, word)?;
            return Ok(Next::Send);
        }
        let is_taken = refusal.code == SLOT_TAKEN;
        show.attempts[at].slot_taken = is_taken;
        let round = show.attempts[at].view.map_or(ENROLMENTS, |(round, _)| round);
        if refusal.is_conflict() && conflicts + 1 < show.attempts.len() {
            let at = (at + 1) % show.attempts.len();
            show.step = Step::Send { at, conflicts: conflicts + 1 };
            return Ok(Next::Send);
        }
        show.step = Step::Refused;
        // A copy of this wallet may have gone on: what comes next is asked of the slots ([10.2-M7]).
        if refusal.is_conflict() || is_taken {
            self.set_copied();
        }
        // Nor is a second id repeated: ids that come twice join a wallet's messages ([10.2-M6]).
        if is_taken {
            self.sealed_before(round, SEALED_MESSAGES);
        }
        Ok(Next::Stop)
    }

    /// The same bytes again, if there is such an attempt and nothing else is out.
    fn send_again(&mut self, is_same: impl Fn(&Attempt) -> bool) -> bool {
        let Some(show) = &mut self.show else { return false };
        let Some(found) = show.attempts.iter().position(|attempt| !attempt.slot_taken && is_same(attempt)) else {
            return false;
        };
        match show.step {
            Step::Refused => show.step = Step::Send { at: found, conflicts: 0 },
            Step::Send { at, .. } if at == found => {}
            _ => return false,
        }
        true
    }

    fn is_free_for_a_show(&self) -> Result<(), WalletError> {
        self.is_current()?;
        match &self.show {
            None | Some(PendingShow { step: Step::Refused, .. }) => Ok(()),
            Some(_) => Err(WalletError::Pending),
        }
    }

    fn may_show_anything(&self) -> Result<(), WalletError> {
        if self.refresh_due() {
            return Err(WalletError::RefreshDue);
        }
        self.is_free_for_a_show()
    }

    fn attempt(&mut self, view: Option<(Round, ManifestHash)>, context: Context, request: Zeroizing<Vec<u8>>) {
        self.sealed(view.map_or(ENROLMENTS, |(round, _)| round));
        let show = self.show.get_or_insert_with(|| PendingShow { attempts: Vec::new(), step: Step::Refused });
        show.step = Step::Send { at: show.attempts.len(), conflicts: 0 };
        show.attempts.push(Attempt { view, context, request: request.into(), slot_taken: false });
    }
}

impl PendingShow {
    pub(crate) fn outgoing(&self) -> Option<Outgoing> {
        match &self.step {
            Step::Refused => None,
            Step::Session { round, keys } => Some(session_request(*round, keys)),
            Step::Send { at, .. } => {
                let attempt = &self.attempts[*at];
                Some(Outgoing { endpoint: attempt.context.endpoint(), body: attempt.request.0.clone() })
            }
        }
    }

    /// The first attempt whose context the answer verifies with; all stay if there is none.
    fn finish<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        answer: &[u8],
        rng: &mut R,
    ) -> Result<(Credential, Vec<Voucher>), WalletError> {
        let mut error = WalletError::NotPending;
        for at in 0..self.attempts.len() {
            let Attempt { view, context, request, slot_taken } = self.attempts.remove(at);
            match context.finish(programme, view, answer, rng) {
                Ok(done) => return Ok(done),
                Err(rejected) => {
                    self.attempts.insert(at, Attempt { view, context: *rejected.context, request, slot_taken });
                    error = rejected.error;
                }
            }
        }
        Err(error)
    }
}

impl Attempt {
    fn ticket(&self, programme: &Programme) -> Option<TicketHash> {
        EnrolRequest::decode(&self.request.0).ok().map(|request| request.ticket_hash(programme))
    }

    fn is_refresh(&self) -> bool {
        DrawRequest::decode(&self.request.0).is_ok_and(|request| request.keys.is_empty())
    }

    /// After the issuer's word that this session is gone and this serial unspent: a session for the same list ([5.4-M9]).
    fn gone(&self, programme: &Programme, word: &[u8]) -> Result<Step, WalletError> {
        let request = DrawRequest::decode(&self.request.0).map_err(|_| WalletError::Word)?;
        let word = SessionGone::decode(word).map_err(|_| WalletError::Word)?;
        word.verify(&programme.in_force(request.round)?).map_err(|_| WalletError::Word)?;
        if request.keys.is_empty() || (word.session, word.serial) != (request.session, request.show.serial) {
            return Err(WalletError::Word);
        }
        Ok(Step::Session { round: request.round, keys: request.keys })
    }
}

type Finished = Result<(Credential, Vec<Voucher>), Rejected<Context, WalletError>>;

impl Context {
    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Enrol(_) => Endpoint::Enrol,
            Self::RollOver(_) => Endpoint::RollOver,
            Self::Draw(_) => Endpoint::Draw,
            Self::Amend(_) => Endpoint::Amend,
        }
    }

    fn finish<R: CryptoRng + ?Sized>(
        self,
        programme: &Programme,
        view: Option<(Round, ManifestHash)>,
        answer: &[u8],
        rng: &mut R,
    ) -> Finished {
        let view = view.map(|(round, _)| programme.in_force(round)).transpose();
        let view = match view {
            Ok(view) => view,
            Err(error) => return Err(rejected(self, error.into())),
        };
        match (self, view) {
            (Self::Enrol(context), _) => {
                let done = finish(context, answer, |context, response: &EnrolResponse| {
                    context.finish(programme, response, rng)
                });
                done.map(alone).map_err(|(context, error)| rejected(Self::Enrol(context), error))
            }
            (Self::RollOver(context), Some(view)) => {
                let done = finish(context, answer, |context, response: &RollOverResponse| {
                    context.finish(&view, response, rng)
                });
                done.map(alone).map_err(|(context, error)| rejected(Self::RollOver(context), error))
            }
            (Self::Draw(context), Some(view)) => {
                let done =
                    finish(context, answer, |context, response: &DrawResponse| context.finish(&view, response, rng));
                done.map_err(|(context, error)| rejected(Self::Draw(context), error))
            }
            (Self::Amend(context), Some(view)) => {
                let done =
                    finish(context, answer, |context, response: &AmendResponse| context.finish(&view, response, rng));
                done.map(alone).map_err(|(context, error)| rejected(Self::Amend(context), error))
            }
            (context, None) => Err(rejected(context, WalletError::NotPending)),
        }
    }
}

fn rejected(context: Context, error: WalletError) -> Rejected<Context, WalletError> {
    Rejected { context: Box::new(context), error }
}

fn alone(credential: Credential) -> (Credential, Vec<Voucher>) {
    (credential, Vec::new())
}

/// Decodes an answer and finishes with it; the context comes back if either fails.
pub(crate) fn finish<C, M: Message, T, E: Into<WalletError>>(
    context: C,
    answer: &[u8],
    finish: impl FnOnce(C, &M) -> Result<T, Rejected<C, E>>,
) -> Result<T, (C, WalletError)> {
    match M::decode(answer) {
        Ok(response) => finish(context, &response).map_err(|rejected| (*rejected.context, rejected.error.into())),
        Err(error) => Err((context, error.into())),
    }
}

pub(crate) fn session_request(round: Round, keys: &KeyCounts) -> Outgoing {
    let request = SessionRequest { round, keys: keys.clone() };
    Outgoing { endpoint: Endpoint::Session, body: request.encode_secret() }
}
