//! Bytes that are no point or no scalar, in every place of every message where one stands (spec 3.1).
//!
//! Points: the identity; what does not decompress; other encodings of the same point (high bit set, the negative field element,
//! the field's modulus). Scalars: the same residue with the group order added, once and more often; the order; all ones.

use super::{balances, draw_request, holder_secret, open, rng, world};
use crate::{
    credential::{Credential, Show},
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse, accumulate_amend, accumulate_draw, accumulate_roll_over,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    fixture::{AMEND_LOT, FOOD, LOT, SLOTTED},
    group::{EncodedPoint, GroupError, Point, PublicScalar, Scalar},
    ids::{Slot, Units},
    log::leaf::{IssuerLeaf, OwedLeaf, SiteLeaf, VoucherLeaf},
    programme::{Header, KeyEntry, TicketKind},
    redeem::{BearerVoucher, CollectRequest, Counter, RedeemRequest, Surrender, VoidRequest, holder_key},
    sigma::LinearProof,
    slip::{OwedTerms, Signed},
    slots::Slots,
    swap::{SwapContext, SwapRequest, SwapResponse, accumulate_swap},
    ticket::TicketCode,
    voucher::{Answer, HolderProof, SessionOffer, ShownVoucher, Voucher},
    wire::Message,
};

/// `left + right` of little-endian numbers, if it fits.
fn add(left: &[u8; 32], right: &[u8; 32]) -> Option<[u8; 32]> {
    let (mut sum, mut carry) = ([0; 32], 0u16);
    for at in 0..32 {
        carry += u16::from(left[at]) + u16::from(right[at]);
        sum[at] = carry as u8;
        carry >>= 8;
    }
    (carry == 0).then_some(sum)
}

fn order() -> [u8; 32] {
    let mut one = [0; 32];
    one[0] = 1;
    add(&(-Scalar::ONE).to_bytes(), &one).unwrap()
}

/// `2^255 - 19`.
fn modulus() -> [u8; 32] {
    let mut modulus = [0xff; 32];
    (modulus[0], modulus[31]) = (0xed, 0x7f);
    modulus
}

/// `modulus - value`, for `value` below it.
fn negated(value: &[u8; 32]) -> [u8; 32] {
    let complement = value.map(|byte| !byte);
    let mut one = [0; 32];
    one[0] = 1;
    // p - v = p + (2^256 - v) - 2^256: the carry is dropped by hand.
    let (mut sum, mut carry) = ([0; 32], 0u16);
    let (modulus, minus) = (modulus(), add(&complement, &one).unwrap());
    for at in 0..32 {
        carry += u16::from(modulus[at]) + u16::from(minus[at]);
        sum[at] = carry as u8;
        carry >>= 8;
    }
    sum
}

fn bad_points(honest: &[u8; 32]) -> Vec<[u8; 32]> {
    let mut high = *honest;
    high[31] |= 0x80;
    vec![[0; 32], [0xff; 32], modulus(), high, negated(honest)]
}

fn bad_scalars(honest: &[u8; 32]) -> Vec<[u8; 32]> {
    let mut bad = vec![order(), [0xff; 32]];
    bad.extend(std::iter::successors(add(honest, &order()), |more| add(more, &order())));
    bad
}

/// The helpers above are what they say, and decoding refuses all of it.
#[test]
fn aliases_are_refused() {
    for seed in 0..20 {
        let scalar = *holder_secret(seed).expose();
        let point = Point::encode(crate::group::multiply_base(&scalar)).unwrap();
        let reduce = |bytes: &[u8; 32]| Scalar::from_bytes_mod_order(*bytes);
        let aliases = bad_scalars(scalar.as_bytes());
        assert!(aliases.len() >= 15 && aliases[2..].iter().all(|alias| reduce(alias) == scalar));
        for alias in aliases {
            assert_eq!(PublicScalar::decode(alias), Err(GroupError::NotAScalar));
        }
        assert_eq!(PublicScalar::decode(scalar.to_bytes()), Ok(PublicScalar(scalar)));
        for bytes in bad_points(point.as_bytes()) {
            assert!(Point::decode(bytes).is_err() && EncodedPoint(bytes).decode().is_err());
        }
        assert_eq!(Point::decode(*point.as_bytes()), Ok(point));
    }
}

type Accepts<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// A message with everything in it that is a point or a scalar.
struct Case<'a> {
    name: &'static str,
    bytes: Vec<u8>,
    points: Vec<[u8; 32]>,
    scalars: Vec<[u8; 32]>,
    accepts: Box<Accepts<'a>>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, bytes: Vec<u8>, accepts: impl Fn(&[u8]) -> bool + 'a) -> Self {
        Self { name, bytes, points: Vec::new(), scalars: Vec::new(), accepts: Box::new(accepts) }
    }

    fn point(mut self, point: impl Into<EncodedPoint>) -> Self {
        self.points.push(point.into().0);
        self
    }

    fn scalar(mut self, scalar: PublicScalar) -> Self {
        self.scalars.push(scalar.0.to_bytes());
        self
    }

    fn linear(mut self, proof: &LinearProof) -> Self {
        self.points.extend(proof.commitments.iter().map(|point| point.0));
        self.scalars.extend(proof.responses.iter().map(|z| z.0.to_bytes()));
        self
    }

    fn holder(self, proof: &HolderProof) -> Self {
        self.point(proof.commitment).scalar(proof.response)
    }

    fn show(mut self, show: &Show) -> Self {
        for point in [&show.a_prime, &show.d, &show.a_bar, &show.commitment].into_iter().chain(&show.values) {
            self = self.point(*point);
        }
        // A, S, T1, T2; t_x, its blinding, e's blinding; L and R; a, b.
        let words = show.range.as_ref().unwrap().0.chunks_exact(32).map(|word| word.try_into().unwrap());
        let words: Vec<[u8; 32]> = words.collect();
        let (last, is_scalar) = (words.len() - 2, |at: usize, last: usize| (4..7).contains(&at) || at >= last);
        for (at, word) in words.into_iter().enumerate() {
            if is_scalar(at, last) { self.scalars.push(word) } else { self.points.push(word) }
        }
        self.scalar(show.serial).linear(&show.linear)
    }

    fn shown(self, shown: &ShownVoucher) -> Self {
        self.point(shown.r).scalar(shown.s).scalar(shown.y)
    }

    fn answers(mut self, answers: &[Answer]) -> Self {
        for answer in answers {
            self = self.scalar(answer.s).scalar(answer.y);
        }
        self
    }

    /// Puts everything bad in every place; returns how often.
    fn run(self) -> usize {
        assert!((self.accepts)(&self.bytes), "{}: unmutated", self.name);
        let points = self.points.iter().flat_map(|honest| bad_points(honest).into_iter().map(move |bad| (honest, bad)));
        let scalars =
            self.scalars.iter().flat_map(|honest| bad_scalars(honest).into_iter().map(move |bad| (honest, bad)));
        let mut tried = 0;
        for (honest, bad) in points.chain(scalars) {
            let at = self.bytes.windows(32).position(|window| window == honest).expect(self.name);
            let mut bytes = self.bytes.clone();
            bytes[at..at + 32].copy_from_slice(&bad);
            assert!(!(self.accepts)(&bytes), "{}: {bad:02x?} at {at}", self.name);
            tried += 1;
        }
        assert!(tried > 0);
        tried
    }
}

/// Runs `finish` on a copy of a stored context.
fn with<C: Message, T>(context: &C, finish: impl FnOnce(C) -> Option<T>) -> bool {
    finish(C::decode(&context.encode()).unwrap()).is_some()
}

fn slots() -> Slots {
    Slots::random(32, &mut rng(1))
}

#[test]
fn in_enrolments_and_shows() {
    let (world, view, programme) = (world(), world().view(), world().programme());
    let (issuer, mut rng) = (&world.fixture.issuer, rng(1));
    let code = || TicketCode::from_bytes([5; 10]);
    let (context, request) = EnrolContext::new(programme, TicketKind::Enrol, code(), slots(), &mut rng).unwrap();
    let request = request.encode();
    let verify = |bytes: &[u8]| EnrolRequest::decode(bytes).ok()?.verify(programme, &mut super::rng(2)).ok();
    let grant = world.fixture.grant(LOT, TicketKind::Enrol, &code(), 12, &[4, 1]);
    let issued = verify(&request).unwrap().issue(programme, issuer, &grant, &mut rng).unwrap();
    let (response, leaf) = (&issued.response, &issued.leaf);
    let mut tried = Case::new("enrol request", request, |bytes| verify(bytes).is_some())
        .point(leaf.commitment)
        .linear(&leaf.opening)
        .run();
    tried += Case::new("enrol response", response.encode(), |bytes| {
        let Ok(response) = EnrolResponse::decode(bytes) else { return false };
        with(&context, |context| context.finish(programme, &response, &mut super::rng(3)).ok())
    })
    .point(response.a)
    .scalar(response.e)
    .linear(&response.proof)
    .run();

    let (context, request) = RollOverContext::new(&view, &world.fresh, slots(), &mut rng).unwrap();
    let (show, request) = (request.show.clone(), request.encode());
    let verify = |bytes: &[u8]| RollOverRequest::decode(bytes).ok()?.verify(&view, issuer, &mut super::rng(2)).ok();
    let (response, record) = verify(&request).unwrap().answer(issuer, &mut rng).unwrap();
    tried += Case::new("roll-over request", request, |bytes| verify(bytes).is_some()).show(&show).run();
    tried += Case::new("roll-over response", response.encode(), |bytes| {
        let Ok(response) = RollOverResponse::decode(bytes) else { return false };
        with(&context, |context| context.finish(&view, &response, &mut super::rng(3)).ok())
    })
    .point(record.a)
    .scalar(record.e)
    .linear(&record.proof)
    .run();

    let code = || TicketCode::from_bytes([6; 10]);
    let (context, request) = AmendContext::new(&view, &world.rolled, code(), slots(), &mut rng).unwrap();
    // An amend range-proves nothing: its points are those of the show without a range proof.
    let (show, request) = (request.show.clone(), request.encode());
    let verify = |bytes: &[u8]| AmendRequest::decode(bytes).ok()?.verify(&view, issuer, &mut super::rng(2)).ok();
    let grant = world.fixture.grant(AMEND_LOT, TicketKind::Amend, &code(), 12, &[5, 1]);
    let issued = verify(&request).unwrap().answer(&view, issuer, &grant, &mut rng).unwrap();
    let record = &issued.leaf.record;
    tried += Case::new("amend request", request, |bytes| verify(bytes).is_some())
        .point(show.a_prime)
        .point(show.d)
        .point(show.a_bar)
        .point(show.commitment)
        .scalar(show.serial)
        .linear(&show.linear)
        .run();
    tried += Case::new("amend response", issued.response.encode(), |bytes| {
        let Ok(response) = AmendResponse::decode(bytes) else { return false };
        with(&context, |context| context.finish(&view, &response, &mut super::rng(3)).ok())
    })
    .point(record.a)
    .scalar(record.e)
    .linear(&record.proof)
    .run();
    assert!(tried > 800, "{tried}");
}

#[test]
fn in_draws_and_swaps() {
    let (world, view, mut rng) = (world(), world().view(), rng(1));
    let issuer = &world.fixture.issuer;
    let keys = world.fixture.keys(1, &[(FOOD, 3)]);
    let (context, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
    let offer = session.offer();
    let mut tried = Case::new("session offer", offer.encode(), |bytes| {
        SessionOffer::decode(bytes).is_ok_and(|offer| {
            DrawContext::new(&view, &world.rolled, keys.clone(), &offer, slots(), &mut super::rng(2)).is_ok()
        })
    })
    .point(offer.commitments[0].r)
    .point(offer.commitments[1].y)
    .run();
    let verify =
        |bytes: &[u8]| DrawRequest::decode(bytes).ok()?.verify(&view, issuer, Some(&session), &mut super::rng(2)).ok();
    let bytes = request.encode();
    tried += Case::new("draw request", bytes.clone(), |bytes| verify(bytes).is_some())
        .show(&request.show)
        .scalar(request.challenges[0])
        .scalar(request.challenges[1])
        .run();
    let verified = verify(&bytes).unwrap();
    let (response, leaf) = verified.answer(issuer, Some(session), &mut rng).unwrap();
    tried += Case::new("draw response", response.encode(), |bytes| {
        let Ok(response) = DrawResponse::decode(bytes) else { return false };
        with(&context, |context| context.finish(&view, &response, &mut super::rng(3)).ok())
    })
    .point(leaf.record.a)
    .scalar(leaf.record.e)
    .linear(&leaf.record.proof)
    .answers(&leaf.answers)
    .run();

    let new = world.fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(FOOD, 4)]);
    let session = open(&world.fixture, 1, &new);
    let (context, request) =
        SwapContext::new(&view, vec![&world.vouchers[0]], new, session.offer(), slots(), &mut rng).unwrap();
    let verify = |bytes: &[u8]| SwapRequest::decode(bytes).ok()?.verify(&view, &session).ok();
    let bytes = request.encode();
    let verified = verify(&bytes).unwrap();
    // The proof's fields are the leaf's.
    let copy = open(&world.fixture, 1, &request.new);
    assert_eq!(copy.offer(), session.offer(), "the same generator gives the same session, in tests only");
    let (response, leaf) = verified.answer(copy).unwrap();
    tried += Case::new("swap request", bytes, |bytes| verify(bytes).is_some())
        .shown(&request.old[0])
        .point(request.old[0].holder)
        .holder(&leaf.holder)
        .run();
    tried += Case::new("swap response", response.encode(), |bytes| {
        let Ok(response) = SwapResponse::decode(bytes) else { return false };
        with(&context, |context| context.finish(&view, &response).ok())
    })
    .answers(&leaf.answers)
    .run();
    assert!(tried > 500, "{tried}");
}

#[test]
fn at_a_site() {
    let (world, view, mut rng) = (world(), world().view(), rng(1));
    let (quote, place, voucher) = (world.quote(), world.place(), &world.vouchers[0]);
    let counter = Counter::new(view, place, Vec::new());
    let vouchers: Vec<_> = world.vouchers.iter().collect();
    let request = RedeemRequest::new(&view, &quote, &vouchers, &holder_secret(1), &mut rng).unwrap();
    let mut case = Case::new("redeem request", request.encode(), |bytes| {
        RedeemRequest::decode(bytes).is_ok_and(|request| counter.verify(&quote, &request).is_ok())
    })
    .point(request.spare)
    .holder(&request.proof);
    for shown in &request.vouchers {
        case = case.shown(shown).point(shown.holder);
    }
    let mut tried = case.run();

    let request = VoidRequest::new(&view, &place, &[(voucher, 1)], &mut rng).unwrap();
    tried += Case::new("void request", request.encode(), |bytes| {
        VoidRequest::decode(bytes).is_ok_and(|request| counter.verify_void(&request).is_ok())
    })
    .point(request.voids[0].mark.holder)
    .holder(&request.voids[0].holder)
    .run();

    let (secret, lines) = (holder_secret(2), vec![(FOOD, Units(1))]);
    let holder = holder_key(&secret);
    let slip = Signed::sign(OwedTerms { place, lines: lines.clone(), holder }, &world.fixture.site_logs[0]);
    let owed = OwedLeaf { round: place.round, lines, holder };
    let request = CollectRequest::new(&view, &slip, &place, &secret, &mut rng).unwrap();
    tried += Case::new("collect request", request.encode(), |bytes| {
        CollectRequest::decode(bytes).is_ok_and(|request| request.verify(&place, &owed).is_ok())
    })
    .point(request.holder)
    .holder(&request.proof)
    .run();

    let surrender = Surrender::new(&view, voucher, &mut rng).unwrap();
    tried += Case::new("surrender", surrender.encode(), |bytes| {
        Surrender::decode(bytes).is_ok_and(|surrender| surrender.verify(&view).is_ok())
    })
    .shown(&surrender.voucher.shown)
    .point(surrender.voucher.shown.holder)
    .point(surrender.voucher.y_point)
    .holder(&surrender.proof)
    .run();

    let sheet = BearerVoucher::new(voucher);
    tried += Case::new("bearer voucher", sheet.encode(), |bytes| {
        BearerVoucher::decode(bytes).is_ok_and(|sheet| counter.verify_bearer(&quote, &sheet).is_ok())
    })
    .scalar(PublicScalar(*voucher.secret.expose()))
    .shown(&sheet.shown)
    .point(sheet.shown.holder)
    .run();
    assert!(tried > 350, "{tried}");
}

#[test]
fn in_logs_and_stores() {
    let (world, view, programme) = (world(), world().view(), world().programme());
    let logged = surrendered();
    let issuer_leaf = |name, leaf: IssuerLeaf| {
        Case::new(name, leaf.encode(), |bytes| match IssuerLeaf::decode(bytes) {
            Ok(IssuerLeaf::Enrol(leaf)) => balances(|w, a| leaf.accumulate(programme, w, a)),
            Ok(IssuerLeaf::RollOver(record)) => balances(|w, a| accumulate_roll_over(&view, &record, w, a)),
            Ok(IssuerLeaf::Draw(leaf)) => balances(|w, a| accumulate_draw(&view, &leaf, w, a)),
            Ok(IssuerLeaf::Amend(leaf)) => balances(|w, a| accumulate_amend(&view, &leaf, w, a)),
            Ok(IssuerLeaf::Swap(leaf)) => balances(|w, a| accumulate_swap(&view, &leaf, w, a)),
            _ => false,
        })
    };
    let (enrol, draw, amend, swap) = (&world.enrol, &world.draw, &world.amend, &world.swap);
    let mut tried = issuer_leaf("enrol leaf", IssuerLeaf::Enrol(enrol.clone()))
        .point(enrol.b)
        .point(enrol.a)
        .point(enrol.commitment)
        .scalar(enrol.e)
        .linear(&enrol.opening)
        .linear(&enrol.proof)
        .run();
    tried += issuer_leaf("roll-over leaf", IssuerLeaf::RollOver(world.roll_over.clone()))
        .show(&world.roll_over.show)
        .point(world.roll_over.a)
        .scalar(world.roll_over.e)
        .linear(&world.roll_over.proof)
        .run();
    tried += issuer_leaf("draw leaf", IssuerLeaf::Draw(draw.clone()))
        .show(&draw.record.show)
        .point(draw.record.a)
        .linear(&draw.record.proof)
        .answers(&draw.answers)
        .run();
    tried += issuer_leaf("amend leaf", IssuerLeaf::Amend(amend.clone())).point(amend.added).point(amend.record.a).run();
    tried += issuer_leaf("swap leaf", IssuerLeaf::Swap(swap.clone()))
        .shown(&swap.old[0].shown)
        .point(swap.old[1].y_point)
        .holder(&swap.holder)
        .answers(&swap.answers)
        .run();
    tried +=
        Case::new("voucher leaf", SiteLeaf::Voucher(VoucherLeaf { number: 1, voucher: logged }).encode(), |bytes| {
            let Ok(SiteLeaf::Voucher(leaf)) = SiteLeaf::decode(bytes) else { return false };
            balances(|w, a| crate::voucher::accumulate([&leaf.voucher], |at| view.key(at), w, a))
        })
        .shown(&logged.shown)
        .point(logged.y_point)
        .run();

    let (entry, header) = (programme.keys()[0], programme.latest());
    tried += Case::new("key entry", entry.encode(), |bytes| KeyEntry::decode(bytes).is_ok()).point(entry.key).run();
    tried += Case::new("header", header.encode(), |bytes| Header::decode(bytes).is_ok()).point(header.issuer_key).run();
    let (credential, voucher) = (&world.fresh, &world.vouchers[0]);
    tried += Case::new("stored credential", credential.encode(), |bytes| Credential::decode(bytes).is_ok())
        .point(credential.a)
        .point(credential.b)
        .scalar(PublicScalar(*credential.e.expose()))
        .scalar(PublicScalar(*credential.r.expose()))
        .scalar(PublicScalar(*credential.serial.expose()))
        .run();
    tried += Case::new("stored voucher", voucher.encode(), |bytes| Voucher::decode(bytes).is_ok())
        .scalar(PublicScalar(*voucher.secret.expose()))
        .scalar(voucher.shown.s)
        .run();
    assert!(tried > 1000, "{tried}");
}

fn surrendered() -> crate::voucher::LoggedVoucher {
    Surrender::new(&world().view(), &world().vouchers[0], &mut rng(1)).unwrap().voucher
}
