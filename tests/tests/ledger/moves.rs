//! What households do with the issuer, each move by an honest wallet where the model allows it, and by one that lies about
//! what it holds where the model does not.

use annona_protocol::{
    credential::{Credential, ShowError},
    draw::{
        AmendContext, AmendRequest, DrawContext, DrawError, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse, SessionRequest,
    },
    enrol::{EnrolContext, EnrolError, EnrolRequest, EnrolResponse},
    fixture::AMEND_LOT,
    group::PublicScalar,
    ids::{KeyIndex, LotId, Round, SessionId},
    log::leaf::IssuerLeaf,
    programme::{KeyId, TicketKind},
    registry::{VERSION, kind},
    swap::{SwapContext, SwapError, SwapRequest, SwapResponse},
    ticket::TicketCode,
    voucher::{SessionOffer, SigningSession, Voucher},
    wire::Message,
};
use serde::{Deserialize, Serialize};

use crate::{
    model::{Household, Kind, Model, VALUES},
    world::{Held, LINES, PLACES, Wallet, World},
};

/// Why the issuer's store refuses what the protocol would accept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Spent,
    Draw(DrawError),
}

/// The stored form of a credential, for wallets that lie.
#[derive(Serialize, Deserialize)]
struct Raw {
    a: [u8; 32],
    e: [u8; 32],
    r: [u8; 32],
    serial: [u8; 32],
    values: Vec<i64>,
    b: [u8; 32],
}

/// The credential with other values, which its `B` does not open to.
fn forge(credential: &Credential, values: Vec<i64>) -> Credential {
    let mut raw: Raw = postcard::from_bytes(&credential.encode()[2..]).unwrap();
    assert_ne!(raw.values, values, "a lie");
    raw.values = values;
    Credential::decode(&postcard::to_extend(&raw, vec![VERSION, kind::STORED_CREDENTIAL]).unwrap()).unwrap()
}

const INVALID: Refused = Refused::Draw(DrawError::Show(ShowError::Invalid));

impl World {
    // --- The issuer: one transaction an answer, the stored answer for a repeat, nothing for a second use ---------------------

    fn look_up(&self, serial: &PublicScalar, request: &[u8]) -> Option<Result<Vec<u8>, Refused>> {
        let (stored, answer) = self.issuer.spent.get(serial.0.as_bytes())?;
        Some(if stored == request { Ok(answer.clone()) } else { Err(Refused::Spent) })
    }

    fn store(&mut self, serial: &PublicScalar, request: &[u8], response: &[u8]) {
        let before = self.issuer.spent.insert(*serial.0.as_bytes(), (request.to_vec(), response.to_vec()));
        assert!(before.is_none(), "a serial is spent twice");
    }

    fn answer_roll_over(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let request = RollOverRequest::decode(bytes).unwrap();
        if let Some(stored) = self.look_up(&request.show.serial, bytes) {
            return stored;
        }
        let Self { fixture, rng, model, .. } = self;
        let verified = request.verify(&fixture.view(model.now), &fixture.issuer, rng).map_err(Refused::Draw)?;
        let serial = verified.serial();
        let (response, record) = verified.answer(&fixture.issuer, rng).unwrap();
        let response = response.encode();
        self.store(&serial, bytes, &response);
        self.log(IssuerLeaf::RollOver(record));
        Ok(response)
    }

    fn answer_draw(&mut self, bytes: &[u8], session: Option<SigningSession>) -> Result<Vec<u8>, Refused> {
        let request = DrawRequest::decode(bytes).unwrap();
        if let Some(stored) = self.look_up(&request.show.serial, bytes) {
            return stored;
        }
        let Self { fixture, rng, model, .. } = self;
        let view = fixture.view(model.now);
        let verified = request.verify(&view, &fixture.issuer, session.as_ref(), rng).map_err(Refused::Draw)?;
        let serial = verified.serial();
        let (response, leaf) = verified.answer(&fixture.issuer, session, rng).unwrap();
        let response = response.encode();
        self.store(&serial, bytes, &response);
        self.log(IssuerLeaf::Draw(leaf));
        Ok(response)
    }

    // --- Households ----------------------------------------------------------------------------------------------------------

    pub(crate) fn enrol(&mut self, lot: u32, members: i64, infants: i64, expires: u32) -> &'static str {
        let code = TicketCode::random(&mut self.rng);
        let attributes = [members as u64, infants as u64];
        let grant = self.fixture.grant(LotId(lot), TicketKind::Enrol, &code, expires, &attributes);
        let slots = self.slots();
        let Self { fixture, rng, .. } = self;
        let (context, request) =
            EnrolContext::new(&fixture.programme, TicketKind::Enrol, code, slots, rng).expect("well formed");
        let (context, request) = (context.encode(), request.encode());
        let verified = EnrolRequest::decode(&request).unwrap().verify(&fixture.programme, rng).unwrap();
        let issued = verified.issue(&fixture.programme, &fixture.issuer, &grant, rng);
        if !self.model.may_enrol(lot, members, infants, expires) {
            assert_eq!(issued.err(), Some(EnrolError::Terms));
            return "refused";
        }
        let issued = issued.unwrap();
        let ticket = grant.place.hash.0;
        assert!(self.issuer.tickets.insert(ticket, issued.response.encode()).is_none());
        self.approve(&grant.place);
        self.add_member(&issued.member);
        self.log(IssuerLeaf::Enrol(issued.leaf));
        // The answer was lost; the wallet asks again and gets the stored one.
        let again = EnrolRequest::decode(&request).unwrap().ticket_hash(&self.fixture.programme);
        let response = EnrolResponse::decode(&self.issuer.tickets[&again.0]).unwrap();
        let context = EnrolContext::decode(&context).unwrap();
        let credential = context.finish(&self.fixture.programme, &response, &mut self.rng).unwrap();
        self.wallets.push(Wallet { credential, old: Vec::new(), hand: Vec::new(), swapped: Vec::new() });
        self.model.enrol(lot, members, infants, expires);
        "done"
    }

    fn replace(&mut self, who: usize, credential: Credential) {
        let old = std::mem::replace(&mut self.wallets[who].credential, credential);
        self.wallets[who].old.push(old);
    }

    /// What a wallet that lies holds: the household as it would have to be.
    fn lie(&self, who: usize, change: impl FnOnce(&mut Household)) -> Credential {
        let mut household = self.model.households[who].clone();
        change(&mut household);
        forge(&self.wallets[who].credential, self.model.values_of(&household))
    }

    pub(crate) fn roll_over(&mut self, who: usize) -> &'static str {
        let now = self.model.now;
        let slots = self.slots();
        let Self { fixture, rng, wallets, .. } = self;
        let view = fixture.view(now);
        let prepared = RollOverContext::new(&view, &wallets[who].credential, slots.clone(), rng);
        if !self.model.may_roll_over(who) {
            assert_eq!(prepared.err(), Some(DrawError::Show(ShowError::Uncovered)));
            let liar = self.lie(who, |household| {
                household.drawn = household.drawn.min(now - 1);
                household.expires = household.expires.max(now);
            });
            let view = self.fixture.view(now);
            let (_, request) = RollOverContext::new(&view, &liar, slots, &mut self.rng).expect("so it says");
            assert_eq!(self.answer_roll_over(&request.encode()), Err(INVALID));
            return if self.model.households[who].expires < now { "expired" } else { "refused" };
        }
        let (context, request) = prepared.unwrap();
        let (context, request) = (context.encode(), request.encode());
        let response = self.answer_roll_over(&request).unwrap();
        assert_eq!(self.answer_roll_over(&request).unwrap(), response, "a repeat gets the stored answer");
        let response = RollOverResponse::decode(&response).unwrap();
        let view = self.fixture.view(now);
        let context = RollOverContext::decode(&context).unwrap();
        let credential = context.finish(&view, &response, &mut self.rng).unwrap();
        self.replace(who, credential);
        let missed = now - self.model.households[who].drawn > 1;
        self.model.roll_over(who);
        if missed { "after missed rounds" } else { "done" }
    }

    fn keys(&self, units: &[i64; 3], place: usize) -> Vec<(KeyIndex, u32)> {
        let wanted: Vec<_> = LINES.iter().zip(units).filter(|(_, units)| **units > 0).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(line, units)| (*line, *units as u64)).collect();
        self.fixture.keys_at(self.model.now, PLACES[place].0, PLACES[place].1, &wanted)
    }

    /// Opens a session, unless nothing is asked for.
    fn session(&mut self, keys: &[(KeyIndex, u32)]) -> Result<Option<SigningSession>, DrawError> {
        if keys.is_empty() {
            return Ok(None);
        }
        let now = self.model.now;
        let request = SessionRequest { round: Round(now), keys: keys.to_vec() };
        self.round_keys[&now].open(&self.fixture.view(now), &request, &mut self.rng).map(Some)
    }

    /// Draws, or refreshes if no units are asked for.
    pub(crate) fn draw(&mut self, who: usize, units: [i64; 3], place: usize) -> &'static str {
        let now = self.model.now;
        let keys = self.keys(&units, place);
        let slots = self.slots();
        if !Model::listable(&units) {
            assert!(matches!(self.session(&keys), Err(DrawError::Keys(_))));
            return "list too long";
        }
        let session = self.session(&keys).unwrap();
        let nothing = SessionOffer { session: SessionId::default(), commitments: Vec::new() };
        let offer = session.as_ref().map_or(&nothing, SigningSession::offer);
        let view = self.fixture.view(now);
        let credential = &self.wallets[who].credential;
        let prepared = DrawContext::new(&view, credential, keys.clone(), offer, slots.clone(), &mut self.rng);
        if !self.model.may_draw(who, &units) {
            assert_eq!(prepared.err(), Some(DrawError::Show(ShowError::Uncovered)));
            let liar = self.lie(who, |household| {
                household.drawn = now;
                household.infants = household.infants.max(1);
                (0..3).for_each(|line| household.left[line] = household.left[line].max(units[line]));
            });
            let view = self.fixture.view(now);
            let (_, request) =
                DrawContext::new(&view, &liar, keys.clone(), offer, slots.clone(), &mut self.rng).expect("so it says");
            let relabelled = session.as_ref().and_then(|session| self.relabel(who, keys, session));
            if let Some(request) = relabelled {
                let again = session.as_ref();
                let Self { fixture, rng, .. } = self;
                let result = request.verify(&fixture.view(now), &fixture.issuer, again, rng);
                assert_eq!(result.err(), Some(DrawError::Show(ShowError::Invalid)));
            }
            assert_eq!(self.answer_draw(&request.encode(), session), Err(INVALID));
            return if self.model.households[who].drawn == now { "not covered" } else { "not rolled over" };
        }
        let (context, request) = prepared.unwrap();
        let (context, request) = (context.encode(), request.encode());
        let response = self.answer_draw(&request, session).unwrap();
        assert_eq!(self.answer_draw(&request, None).unwrap(), response, "a repeat gets the stored answer");
        let response = DrawResponse::decode(&response).unwrap();
        let view = self.fixture.view(now);
        let context = DrawContext::decode(&context).unwrap();
        let (credential, vouchers) = context.finish(&view, &response, &mut self.rng).unwrap();
        self.replace(who, credential);
        self.take(who, vouchers);
        let all = self.model.households[who].left == units;
        self.model.draw(who, &units, place);
        match units {
            [0, 0, 0] => "refreshed",
            _ if all => "everything",
            _ => "done",
        }
    }

    fn take(&mut self, who: usize, vouchers: Vec<Voucher>) {
        let held: Vec<Held> =
            vouchers.into_iter().map(|voucher| Held { kind: self.kind(voucher.key()), voucher }).collect();
        self.wallets[who].hand.extend(held);
    }

    /// A true proof for a draw of nothing, sent with a list of vouchers.
    fn relabel(&mut self, who: usize, keys: Vec<(KeyIndex, u32)>, session: &SigningSession) -> Option<DrawRequest> {
        let slots = self.slots();
        let view = self.fixture.view(self.model.now);
        let offer = SessionOffer { session: session.offer().session, commitments: Vec::new() };
        let credential = &self.wallets[who].credential;
        let (_, mut request) = DrawContext::new(&view, credential, Vec::new(), &offer, slots, &mut self.rng).ok()?;
        let count: u32 = keys.iter().map(|(_, count)| count).sum();
        request.challenges = (0..count).map(|_| request.show.serial).collect();
        request.keys = keys;
        Some(request)
    }

    pub(crate) fn amend(&mut self, who: usize, members: i64, infants: i64, expires: u32) -> &'static str {
        let now = self.model.now;
        let code = TicketCode::random(&mut self.rng);
        let (again, attributes) = (TicketCode::from_bytes(*code.expose()), [members as u64, infants as u64]);
        let grant = self.fixture.grant(AMEND_LOT, TicketKind::Amend, &code, expires, &attributes);
        let slots = self.slots();
        let Self { fixture, rng, wallets, .. } = self;
        let view = fixture.view(now);
        let prepared = AmendContext::new(&view, &wallets[who].credential, code, slots.clone(), rng);
        if !self.model.may_amend(who) {
            assert_eq!(prepared.err(), Some(DrawError::Show(ShowError::Uncovered)));
            let liar = self.lie(who, |household| household.drawn = now);
            let Self { fixture, rng, .. } = self;
            let view = fixture.view(now);
            let (_, request) = AmendContext::new(&view, &liar, again, slots, rng).expect("so it says");
            let refused = request.verify(&view, &fixture.issuer, rng).err();
            assert_eq!(refused, Some(DrawError::Show(ShowError::Invalid)));
            return "not rolled over";
        }
        let (context, request) = prepared.unwrap();
        let (context, bytes) = (context.encode(), request.encode());
        let verified = AmendRequest::decode(&bytes).unwrap().verify(&view, &fixture.issuer, rng).unwrap();
        let serial = verified.serial();
        let issued = verified.answer(&view, &fixture.issuer, &grant, rng);
        if !self.model.may_use_amend_ticket(members, infants, expires) {
            assert_eq!(issued.err(), Some(DrawError::Terms));
            return "ticket refused";
        }
        let issued = issued.unwrap();
        let context = AmendContext::decode(&context).unwrap();
        let credential = context.finish(&view, &issued.response, rng).unwrap();
        assert!(self.issuer.tickets.insert(grant.place.hash.0, issued.response.encode()).is_none());
        self.approve(&grant.place);
        self.store(&serial, &bytes, &issued.response.encode());
        self.add_member(&issued.member);
        self.log(IssuerLeaf::Amend(issued.leaf));
        self.replace(who, credential);
        self.model.amend(who, members, infants, expires);
        "done"
    }

    /// Restores a backup from before a move, and makes a move with it: the proof is a good one, the serial is spent.
    pub(crate) fn replay(&mut self, who: usize, at: usize) -> &'static str {
        let now = self.model.now;
        let count = self.wallets[who].old.len();
        if count == 0 {
            return "nothing to replay";
        }
        let slots = self.slots();
        let Self { fixture, rng, wallets, .. } = self;
        let view = fixture.view(now);
        let old = &wallets[who].old[at % count];
        if let Ok((_, request)) = DrawContext::refresh(&view, old, slots.clone(), rng) {
            assert!(request.clone().verify(&view, &fixture.issuer, None, rng).is_ok(), "the old credential is genuine");
            assert_eq!(self.answer_draw(&request.encode(), None), Err(Refused::Spent));
            return "draw refused";
        }
        if let Ok((_, request)) = RollOverContext::new(&view, old, slots, rng) {
            assert!(request.clone().verify(&view, &fixture.issuer, rng).is_ok(), "the old credential is genuine");
            assert_eq!(self.answer_roll_over(&request.encode()), Err(Refused::Spent));
            return "roll-over refused";
        }
        "nothing to replay"
    }

    /// Prepares a refresh in the round before and sends it in this one.
    pub(crate) fn lag(&mut self, who: usize) -> &'static str {
        let before = self.model.now - 1;
        if before == 0 || self.model.households[who].drawn != before {
            return "nothing to send";
        }
        let slots = self.slots();
        let view = self.fixture.view(before);
        let credential = &self.wallets[who].credential;
        let (_, mut request) = DrawContext::refresh(&view, credential, slots, &mut self.rng).expect("rolled over");
        assert_eq!(self.answer_draw(&request.encode(), None), Err(Refused::Draw(DrawError::Malformed)));
        request.round = Round(self.model.now);
        assert_eq!(self.answer_draw(&request.encode(), None), Err(INVALID));
        "refused"
    }

    /// Swaps up to `count` vouchers for ones of another place.
    pub(crate) fn swap(&mut self, who: usize, count: usize, to: usize) -> &'static str {
        let now = self.model.now;
        let from = |held: &&Held| held.kind.place != to;
        let mut old: Vec<usize> =
            self.wallets[who].hand.iter().enumerate().filter(|(_, held)| from(held)).map(|(at, _)| at).collect();
        old.truncate(count);
        if self.frozen || old.is_empty() {
            return "nothing to swap";
        }
        let kinds: Vec<Kind> = old.iter().map(|at| self.wallets[who].hand[*at].kind).collect();
        let new = self.keys_like(&kinds, to);
        let session = self.session(&new).unwrap().expect("not empty");
        let slots = self.slots();
        let vouchers = |wallets: &'_ [Wallet]| -> Vec<Voucher> {
            old.iter().map(|at| wallets[who].hand[*at].voucher.duplicate()).collect()
        };
        let shown = vouchers(&self.wallets);

        // More than was given: another value, or one voucher more.
        let greedy = self.greedier(&kinds, to);
        let richer = self.session(&greedy).unwrap().expect("not empty");
        let view = self.fixture.view(now);
        let refused = SwapContext::new(
            &view,
            shown.iter().collect(),
            greedy.clone(),
            richer.offer(),
            slots.clone(),
            &mut self.rng,
        );
        assert_eq!(refused.err(), Some(SwapError::NotConserved));
        let refs = shown.iter().collect();
        let (context, request) =
            SwapContext::new(&view, refs, new, session.offer(), slots, &mut self.rng).expect("conserved");
        let mut cheat = request.clone();
        (cheat.new, cheat.session) = (greedy, richer.offer().session);
        assert_eq!(cheat.verify(&view, &richer).err(), Some(SwapError::NotConserved));

        let (context, request) = (context.encode(), request.encode());
        let verified = SwapRequest::decode(&request).unwrap().verify(&view, &session).expect("honest");
        for mark in verified.marks() {
            assert!(self.issuer.swapped.insert(mark), "a voucher in hand was not swapped before");
        }
        let (response, leaf) = verified.answer(session).expect("same session");
        let response = SwapResponse::decode(&response.encode()).unwrap();
        let fresh = SwapContext::decode(&context).unwrap().finish(&view, &response).expect("honest");
        self.log(IssuerLeaf::Swap(leaf));
        for at in old.into_iter().rev() {
            let held = self.wallets[who].hand.remove(at);
            self.wallets[who].swapped.push(held);
        }
        self.take(who, fresh);
        self.model.swap(who, &kinds, to);
        "done"
    }

    fn keys_like(&self, kinds: &[Kind], place: usize) -> Vec<(KeyIndex, u32)> {
        let mut keys = std::collections::BTreeMap::new();
        for kind in kinds {
            let (site, slot) = PLACES[place];
            let id =
                KeyId { line: LINES[kind.line], value: kind.value, round: Round(kind.round), site: Some(site), slot };
            *keys.entry(self.fixture.programme.key_index(&id).expect("listed")).or_default() += 1;
        }
        keys.into_iter().collect()
    }

    /// A list that is worth more: the first voucher's value grows to the next, or there is one more of it.
    fn greedier(&self, kinds: &[Kind], place: usize) -> Vec<(KeyIndex, u32)> {
        let mut kinds = kinds.to_vec();
        match VALUES[kinds[0].line].iter().find(|value| **value > kinds[0].value) {
            Some(value) => kinds[0].value = *value,
            None => kinds.push(kinds[0]),
        }
        self.keys_like(&kinds, place)
    }
}
