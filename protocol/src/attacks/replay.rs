//! Replay: what was made for one operation, programme, round, site, slot, session or ticket is worth nothing for another.

use super::{draw_request, holder_secret, key_at, mint, open, quote, rng, world};
use crate::{
    draw::{
        AmendContext, DrawContext, DrawError, DrawRequest, RollOverContext, RollOverRequest, RoundKeys, SessionGone,
    },
    enrol::{EnrolContext, EnrolError, EnrolRequest},
    fixture::{AMEND_LOT, CASH, FOOD, Fixture, LATE_LOT, LOT, SITE, SLOTTED, next_version, round_keys, sign_header},
    ids::{QuoteId, Round, SessionId, Slot, Units},
    log::leaf::OwedLeaf,
    programme::{Programme, TicketKind},
    redeem::{
        CollectRequest, Counter, RedeemRequest, Surrender, VoidRequest, holder_key, verify_collected, verify_void,
    },
    slip::{OwedTerms, Place, RefusalCode, Signed},
    slots::Slots,
    swap::{SwapContext, SwapError},
    ticket::TicketCode,
    voucher::{RoundMaster, Voucher},
    wire::Message,
};

fn slots(seed: u64) -> Slots {
    Slots::random(64, &mut rng(seed))
}

/// The same agency's next programme: every key the same, another name. Masters too, which an issuer must never do.
fn sibling(fixture: &Fixture) -> Fixture {
    let masters: Vec<_> = fixture.masters.iter().map(|master| RoundMaster::from_bytes(&master.to_bytes())).collect();
    let mut genesis = fixture.chain[0].header.clone();
    genesis.name = "Sibling".into();
    let keys: Vec<_> =
        (1..).zip(&masters).flat_map(|(round, master)| round_keys(&genesis, master, Round(round))).collect();
    let next = next_version(&genesis, &keys);
    let chain = vec![sign_header(genesis, &fixture.officers), sign_header(next, &fixture.officers)];
    let mut programme = Programme::new(&chain, keys).unwrap();
    for round in 1..=3 {
        programme.open_round(Round(round), chain[1].header.hash()).unwrap();
    }
    Fixture {
        programme,
        chain,
        issuer: crate::credential::IssuerKey::from_bytes(&fixture.issuer.to_bytes()).unwrap(),
        masters,
        officers: fixture.officers.clone(),
        issuer_log: fixture.issuer_log.clone(),
        site_logs: fixture.site_logs.clone(),
        witness: fixture.witness.clone(),
    }
}

/// A show of one operation inside the request of another.
#[test]
fn a_show_is_of_one_operation() {
    let (world, view) = (world(), world().view());
    let issuer = &world.fixture.issuer;
    let (_, roll_over) = RollOverContext::new(&view, &world.fresh, slots(1), &mut rng(1)).unwrap();
    let (_, refresh) = DrawContext::refresh(&view, &world.rolled, slots(1), &mut rng(1)).unwrap();
    let code = || TicketCode::from_bytes([7; 10]);
    let amend = || AmendContext::new(&view, &world.rolled, code(), slots(1), &mut rng(1)).unwrap().1;
    let shows = [&roll_over.show, &refresh.show, &amend().show];
    for (of, show) in shows.into_iter().enumerate() {
        let as_roll_over = RollOverRequest { show: show.clone(), ..roll_over.clone() };
        assert_eq!(as_roll_over.verify(&view, issuer, &mut rng(2)).is_ok(), of == 0);
        let as_refresh = DrawRequest { show: show.clone(), ..refresh.clone() };
        assert_eq!(as_refresh.verify(&view, issuer, None, &mut rng(2)).is_ok(), of == 1);
        let mut as_amend = amend();
        as_amend.show = show.clone();
        assert_eq!(as_amend.verify(&view, issuer, &mut rng(2)).is_ok(), of == 2);
    }
}

/// Requests, credentials and visits of one programme at another that shares every secret key.
#[test]
fn nothing_carries_over_to_another_programme() {
    let world = world();
    let (view, other) = (world.view(), sibling(&world.fixture));
    let (there, issuer) = (other.view(1), &other.issuer);
    assert_eq!(issuer.public(), world.fixture.issuer.public());
    assert_eq!(other.programme.keys(), world.programme().keys(), "the worst case: one list of voucher keys");

    // A credential: its generators are the programme's own.
    let (_, request) = RollOverContext::new(&there, &world.fresh, slots(1), &mut rng(1)).unwrap();
    assert!(request.verify(&there, issuer, &mut rng(1)).is_err(), "credential");
    // A request.
    let (_, request) = RollOverContext::new(&view, &world.fresh, slots(1), &mut rng(1)).unwrap();
    assert!(request.clone().verify(&there, issuer, &mut rng(1)).is_err(), "roll-over");
    assert!(request.verify(&view, &world.fixture.issuer, &mut rng(1)).is_ok());
    let (_, request, session) = draw_request(&world.fixture, 1, &world.rolled, &world.fixture.keys(1, &[(FOOD, 1)]));
    assert!(request.clone().verify(&there, issuer, Some(&session), &mut rng(1)).is_err(), "draw");
    assert!(request.verify(&view, &world.fixture.issuer, Some(&session), &mut rng(1)).is_ok());
    // A ticket: the code's hash is another one, and so is the proof's statement.
    let code = || TicketCode::from_bytes([7; 10]);
    assert_ne!(
        code().hash(&view.programme.id(), TicketKind::Enrol),
        code().hash(&there.programme.id(), TicketKind::Enrol)
    );
    let (_, request) = EnrolContext::new(world.programme(), TicketKind::Enrol, code(), slots(1), &mut rng(1)).unwrap();
    assert!(request.verify(&other.programme, &mut rng(1)).is_err(), "enrolment");

    // A visit at the same site of the other programme. The vouchers themselves are valid there, since the keys are the same
    // (masters must be fresh for that reason); the holder proof is not.
    let shown: Vec<&Voucher> = world.vouchers.iter().collect();
    let request = RedeemRequest::new(&view, &world.quote(), &shown, &holder_secret(1), &mut rng(1)).unwrap();
    let counter = Counter::new(there, Place::new(&there, SITE), Vec::new());
    let refusal = counter.verify(&quote(&other, 1, SITE), &request).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::HolderInvalid);
    // A wallet does not answer the other programme's quote with this programme's manifest, nor the reverse.
    assert!(RedeemRequest::new(&view, &quote(&other, 1, SITE), &shown, &holder_secret(1), &mut rng(1)).is_err());
    let surrender = Surrender::new(&view, shown[0], &mut rng(1)).unwrap();
    assert!(surrender.verify(&view).is_ok() && surrender.verify(&there).is_err(), "surrender");
    let voids = VoidRequest::new(&view, &world.place(), &[(shown[0], 1)], &mut rng(1)).unwrap().voids;
    assert!(verify_void(&view, &world.place(), &voids[0]).is_ok());
    assert!(verify_void(&there, &Place::new(&there, SITE), &voids[0]).is_err(), "void");
    // The issuer's word on a session.
    let serial = world.roll_over.show.serial;
    let gone = SessionGone::sign(view.programme.id(), SessionId([1; 16]), serial, &world.fixture.issuer_log);
    assert!(gone.verify(&view).is_ok() && gone.verify(&there).is_err(), "session gone");
    let mut relabelled = gone.clone();
    relabelled.programme = there.programme.id();
    assert!(relabelled.verify(&there).is_err(), "session gone, relabelled");
    let (mut session, mut other_serial) = (gone.clone(), gone);
    session.session.0[0] ^= 1;
    other_serial.serial = world.draw.record.show.serial;
    assert!(session.verify(&view).is_err() && other_serial.verify(&view).is_err(), "session gone, of another");
    // The masters of another programme, when they are its own.
    let stranger = Fixture::new(&mut rng(5));
    let at = key_at(&stranger, FOOD, 4, 1, SITE, None);
    let foreign = mint(&stranger, at, 1, 6);
    let surrender = Surrender::new(&view, &foreign[0], &mut rng(1));
    assert!(surrender.is_err(), "a voucher of other keys");
}

/// Requests, sessions, vouchers and visits of one round in the next, and the reverse.
#[test]
fn nothing_carries_over_to_another_round() {
    let world = world();
    let (first, second, issuer) = (world.view(), world.fixture.view(2), &world.fixture.issuer);
    let (_, request) = RollOverContext::new(&first, &world.fresh, slots(1), &mut rng(1)).unwrap();
    let rejected = request.clone().verify(&second, issuer, &mut rng(1)).unwrap_err();
    assert_eq!(rejected, DrawError::Malformed, "as it is");
    let relabelled = RollOverRequest { round: Round(2), ..request };
    assert!(relabelled.verify(&second, issuer, &mut rng(1)).is_err(), "relabelled");

    let keys = world.fixture.keys(1, &[(FOOD, 1)]);
    let (_, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
    let relabelled = DrawRequest { round: Round(2), ..request.clone() };
    assert!(matches!(relabelled.verify(&second, issuer, Some(&session), &mut rng(1)), Err(DrawError::Keys(_))));
    let next = world.fixture.keys(2, &[(FOOD, 1)]);
    let session = open(&world.fixture, 2, &next);
    let moved = DrawRequest { round: Round(2), keys: next.clone(), session: session.offer().session, ..request };
    assert!(moved.verify(&second, issuer, Some(&session), &mut rng(1)).is_err(), "with the next round's keys");
    // A session of the next round's keys is not opened in this one.
    let request = crate::draw::SessionRequest { round: Round(1), keys: next };
    assert!(matches!(
        world.fixture.secrets(1).open(&first, &request, &mut rng(1)),
        Err(DrawError::Keys(crate::programme::KeyListError::Round))
    ));
    // The masters of another round do not give the listed keys.
    assert!(matches!(RoundKeys::derive(&second, &world.fixture.masters[0]), Err(DrawError::Master)));

    let shown: Vec<&Voucher> = world.vouchers.iter().collect();
    let request = RedeemRequest::new(&first, &world.quote(), &shown, &holder_secret(1), &mut rng(1)).unwrap();
    let counter = Counter::new(second, Place::new(&second, SITE), Vec::new());
    assert_eq!(counter.verify(&quote(&world.fixture, 2, SITE), &request).unwrap_err().code, RefusalCode::OtherRound);
    assert!(
        RedeemRequest::new(&second, &quote(&world.fixture, 2, SITE), &shown, &holder_secret(1), &mut rng(1)).is_err()
    );
    assert!(Surrender::new(&second, shown[0], &mut rng(1)).is_err());
    let new = world.fixture.keys(2, &[(FOOD, 4)]);
    let session = open(&world.fixture, 2, &new);
    let swap = SwapContext::new(&second, vec![shown[0]], new, session.offer(), slots(1), &mut rng(1));
    assert!(matches!(swap, Err(SwapError::Keys(crate::programme::KeyListError::Round))));
}

/// Vouchers and visits of one site or slot at another.
#[test]
fn nothing_carries_over_to_another_site() {
    let (world, view) = (world(), world().view());
    let shown: Vec<&Voucher> = world.vouchers.iter().collect();
    let there = quote(&world.fixture, 1, SLOTTED);
    let counter = |slots| Counter::new(view, Place::new(&view, SLOTTED), slots);
    let request = RedeemRequest::new(&view, &world.quote(), &shown, &holder_secret(1), &mut rng(1)).unwrap();
    assert_eq!(counter(vec![Slot(0)]).verify(&there, &request).unwrap_err().code, RefusalCode::OtherSite);
    // The quote is one site's, and names one counter's round.
    assert_eq!(counter(vec![Slot(0)]).verify(&world.quote(), &request).unwrap_err().code, RefusalCode::QuoteUnknown);
    // The wallet reveals nothing to the other site, nor to a site that signs with another's name.
    assert!(RedeemRequest::new(&view, &there, &shown, &holder_secret(1), &mut rng(1)).is_err());
    let forged = Signed::sign(world.quote().content, &world.fixture.site_logs[1]);
    assert!(RedeemRequest::new(&view, &forged, &shown, &holder_secret(1), &mut rng(1)).is_err());

    let at = key_at(&world.fixture, FOOD, 4, 1, SLOTTED, Some(Slot(0)));
    let voucher = &mint(&world.fixture, at, 1, 7)[0];
    let request = RedeemRequest::new(&view, &there, &[voucher], &holder_secret(1), &mut rng(1)).unwrap();
    assert!(counter(vec![Slot(0)]).verify(&there, &request).is_ok());
    assert_eq!(counter(vec![Slot(1)]).verify(&there, &request).unwrap_err().code, RefusalCode::OtherSlot);
    assert_eq!(counter(Vec::new()).verify(&there, &request).unwrap_err().code, RefusalCode::OtherSlot);
    // A second quote of the same counter: the answer to the first is not an answer to it.
    let mut second = there.content.clone();
    second.id = QuoteId([9; 16]);
    let second = Signed::sign(second, &world.fixture.site_logs[1]);
    assert_eq!(counter(vec![Slot(0)]).verify(&second, &request).unwrap_err().code, RefusalCode::QuoteUnknown);
    let mut relabelled = request;
    relabelled.quote = QuoteId([9; 16]);
    assert_eq!(counter(vec![Slot(0)]).verify(&second, &relabelled).unwrap_err().code, RefusalCode::HolderInvalid);
    // A line that is not quoted.
    let mut terms = there.content.clone();
    terms.lines = vec![CASH];
    let partial = Signed::sign(terms, &world.fixture.site_logs[1]);
    assert!(RedeemRequest::new(&view, &partial, &[voucher], &holder_secret(1), &mut rng(1)).is_err());
    let request = RedeemRequest::new(&view, &there, &[voucher], &holder_secret(1), &mut rng(1)).unwrap();
    assert_eq!(counter(vec![Slot(0)]).verify(&partial, &request).unwrap_err().code, RefusalCode::LineNotQuoted);
}

/// A request belongs to one signing session, and the session to one list of keys.
#[test]
fn a_request_is_of_one_session() {
    let (world, view, issuer) = (world(), world().view(), &world().fixture.issuer);
    let keys = world.fixture.keys(1, &[(FOOD, 1), (CASH, 10)]);
    let (_, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
    let secrets = world.fixture.secrets(1);
    let fresh = |keys: &[_], seed| {
        let request = crate::draw::SessionRequest { round: Round(1), keys: keys.to_vec() };
        secrets.open(&view, &request, &mut rng(seed)).unwrap()
    };
    let (other, fewer) = (fresh(&keys, 1), fresh(&keys[..1], 2));
    for (session, name) in [(Some(&other), "another"), (Some(&fewer), "other keys"), (None, "none")] {
        assert_eq!(
            request.clone().verify(&view, issuer, session, &mut rng(1)).unwrap_err(),
            DrawError::Session,
            "{name}"
        );
    }
    // Relabelled to the other session: the transcript says otherwise.
    let relabelled = DrawRequest { session: other.offer().session, ..request.clone() };
    assert!(matches!(relabelled.verify(&view, issuer, Some(&other), &mut rng(1)), Err(DrawError::Show(_))));
    // Verified against one session, answered with another or none.
    for answering in [Some(other), None] {
        let verified = request.clone().verify(&view, issuer, Some(&session), &mut rng(1)).unwrap();
        assert_eq!(verified.answer(issuer, answering, &mut rng(1)).unwrap_err(), DrawError::Session);
    }
    // A refresh has no session, and a draw no way to pass as one.
    let (_, refresh) = DrawContext::refresh(&view, &world.rolled, slots(1), &mut rng(1)).unwrap();
    let stray = DrawRequest { session: SessionId([1; 16]), ..refresh.clone() };
    assert_eq!(stray.verify(&view, issuer, None, &mut rng(1)).unwrap_err(), DrawError::Session);
    assert_eq!(refresh.clone().verify(&view, issuer, Some(&session), &mut rng(1)).unwrap_err(), DrawError::Session);
    assert!(refresh.verify(&view, issuer, None, &mut rng(1)).is_ok());

    // The same for a swap.
    let new = world.fixture.keys_at(1, SLOTTED, Some(Slot(1)), &[(FOOD, 4)]);
    let (one, two) = (fresh(&new, 3), fresh(&new, 4));
    let old = || vec![&world.vouchers[0]];
    let (_, request) = SwapContext::new(&view, old(), new, one.offer(), slots(1), &mut rng(1)).unwrap();
    assert_eq!(request.clone().verify(&view, &two).unwrap_err(), SwapError::Session);
    let mut relabelled = request.clone();
    relabelled.session = two.offer().session;
    assert!(matches!(relabelled.verify(&view, &two).unwrap_err(), SwapError::Voucher(_)));
    assert_eq!(request.verify(&view, &one).unwrap().answer(two).unwrap_err(), SwapError::Session);
}

/// Tickets of one kind as another, and grants of another ticket or lot.
#[test]
fn a_ticket_is_of_one_kind() {
    let (world, programme, view) = (world(), world().programme(), world().view());
    let code = || TicketCode::from_bytes([7; 10]);
    let kinds = [TicketKind::Enrol, TicketKind::Amend, TicketKind::Split];
    let hashes = kinds.map(|kind| code().hash(&programme.id(), kind));
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);

    let request = |kind| EnrolContext::new(programme, kind, code(), slots(1), &mut rng(1));
    assert_eq!(request(TicketKind::Amend).unwrap_err(), EnrolError::Malformed);
    let copy = |request: &EnrolRequest| EnrolRequest::decode(&request.encode()).unwrap();
    let (_, honest) = request(TicketKind::Enrol).unwrap();
    for (kind, error) in [(TicketKind::Split, EnrolError::Invalid), (TicketKind::Amend, EnrolError::Malformed)] {
        let mut relabelled = copy(&honest);
        relabelled.kind = kind;
        assert_eq!(relabelled.verify(programme, &mut rng(1)).unwrap_err(), error);
    }
    let mut other_code = copy(&honest);
    other_code.ticket = TicketCode::from_bytes([8; 10]);
    assert_eq!(other_code.verify(programme, &mut rng(1)).unwrap_err(), EnrolError::Invalid);

    // Grants: of an amend lot, of another ticket, outside the schema, expired before the start, of an unknown lot.
    let grant = |lot, code: TicketCode, expires, attributes: &[u64]| {
        world.fixture.grant(lot, TicketKind::Enrol, &code, expires, attributes)
    };
    let grants = [
        (grant(LOT, code(), 12, &[4, 1]), true),
        (grant(AMEND_LOT, code(), 12, &[4, 1]), false),
        (grant(crate::ids::LotId(77), code(), 12, &[4, 1]), false),
        (grant(LOT, TicketCode::from_bytes([8; 10]), 12, &[4, 1]), false),
        (grant(LOT, code(), 12, &[0, 1]), false),
        (grant(LOT, code(), 12, &[16, 1]), false),
        (grant(LOT, code(), 12, &[4]), false),
        (grant(LOT, code(), 12, &[4, 1, 1]), false),
        (grant(LOT, code(), 65_536, &[4, 1]), false),
        (grant(LATE_LOT, code(), 1, &[4, 1]), false),
        (grant(LATE_LOT, code(), 2, &[4, 1]), true),
    ];
    for (at, (grant, expected)) in grants.iter().enumerate() {
        let issued = copy(&honest).verify(programme, &mut rng(1)).unwrap().issue(
            programme,
            &world.fixture.issuer,
            grant,
            &mut rng(1),
        );
        assert_eq!(
            issued.map(drop).map_err(|error| error == EnrolError::Terms),
            if *expected { Ok(()) } else { Err(true) },
            "{at}"
        );
    }

    // The same for an amend.
    let amend = |kind, lot, code: &TicketCode, expires| {
        let (_, request) =
            AmendContext::new(&view, &world.rolled, TicketCode::from_bytes([7; 10]), slots(1), &mut rng(1)).unwrap();
        let grant = world.fixture.grant(lot, kind, code, expires, &[6, 2]);
        request
            .verify(&view, &world.fixture.issuer, &mut rng(1))
            .unwrap()
            .answer(&view, &world.fixture.issuer, &grant, &mut rng(1))
            .map(drop)
    };
    assert_eq!(amend(TicketKind::Amend, AMEND_LOT, &code(), 12), Ok(()));
    assert_eq!(amend(TicketKind::Enrol, AMEND_LOT, &code(), 12), Err(DrawError::Terms), "an enrolment ticket");
    assert_eq!(amend(TicketKind::Split, AMEND_LOT, &code(), 12), Err(DrawError::Terms), "a split ticket");
    assert_eq!(amend(TicketKind::Amend, LOT, &code(), 12), Err(DrawError::Terms), "an enrolment lot");
    assert_eq!(amend(TicketKind::Amend, AMEND_LOT, &TicketCode::from_bytes([8; 10]), 12), Err(DrawError::Terms));
    assert_eq!(amend(TicketKind::Amend, AMEND_LOT, &code(), 0), Err(DrawError::Terms), "expired");
}

/// A holder proof of one operation is none of another, for the same holder key at the same place.
#[test]
fn a_holder_proof_is_of_one_operation() {
    let (world, view, place) = (world(), world().view(), world().place());
    let secret = holder_secret(11);
    // A voucher whose holder key also stands on an owed slip: a wallet never does that, an attacker may.
    let voucher = &world.vouchers[0];
    let lines = vec![(FOOD, Units(4))];
    let slip = |holder| Signed::sign(OwedTerms { place, lines: lines.clone(), holder }, &world.fixture.site_logs[0]);
    let owed = |holder| OwedLeaf { round: place.round, lines: lines.clone(), holder };

    let void = VoidRequest::new(&view, &place, &[(voucher, 1)], &mut rng(1)).unwrap().voids[0];
    let collect = CollectRequest::new(&view, &slip(holder_key(&secret)), &place, &secret, &mut rng(1)).unwrap();
    let own = holder_key(&voucher.secret);
    let own_collect = CollectRequest::new(&view, &slip(own), &place, &voucher.secret, &mut rng(1)).unwrap();
    let surrender = Surrender::new(&view, voucher, &mut rng(1)).unwrap();
    let redeem = RedeemRequest::new(&view, &world.quote(), &[voucher], &secret, &mut rng(1)).unwrap();
    assert!(own_collect.verify(&place, &owed(own)).is_ok());
    assert!(collect.verify(&place, &owed(own)).is_err(), "another holder's collection");

    let counter = Counter::new(view, place, Vec::new());
    let proofs = [redeem.proof, void.holder, own_collect.proof, surrender.proof, world.swap.holder];
    for (of, proof) in proofs.into_iter().enumerate() {
        let mut as_redeem = redeem.clone();
        as_redeem.proof = proof;
        assert_eq!(counter.verify(&world.quote(), &as_redeem).is_ok(), of == 0, "redeem");
        let mut as_void = void;
        as_void.holder = proof;
        assert_eq!(verify_void(&view, &place, &as_void).is_ok(), of == 1, "void");
        let mut as_collect = own_collect.verify(&place, &owed(own)).unwrap();
        as_collect.proof = proof;
        assert_eq!(verify_collected(&place, &owed(own), &as_collect).is_ok(), of == 2, "collect");
        let mut as_surrender = surrender;
        as_surrender.proof = proof;
        assert_eq!(as_surrender.verify(&view).is_ok(), of == 3, "surrender");
        let mut as_swap = world.swap.clone();
        as_swap.holder = proof;
        let accepted = super::balances(|w, a| crate::swap::accumulate_swap(&view, &as_swap, w, a));
        assert_eq!(accepted, of == 4, "swap");
    }
}
