//! Issuer and site services as their users meet them: retries, conflicts, sessions, visits, voids, owed slips, swaps; over real
//! stores on disk.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::BTreeMap;

use annona_node::{
    random::os as rng,
    service::{
        issuer::IssuerError,
        site::{CounterId, SiteError, SiteOptions, SiteService},
    },
    store::{Role, Store},
};
use annona_protocol::{
    credential::Credential,
    draw::{AmendContext, DrawContext, DrawResponse, RollOverContext, SessionRequest},
    enrol::EnrolContext,
    group::{PublicScalar, Scalar},
    ids::{Round, Slot, Units},
    log::leaf::{IssuerLeaf, Leaf as _, SiteLeaf},
    programme::{KeyCounts, TicketKind},
    redeem::{BearerVoucher, CollectRequest, Outcome, RedeemResponse},
    secret::SecretScalar,
    signature::PublicKey,
    slip::{OpeningPack, RefusalCode},
    swap::{SwapContext, SwapResponse},
    ticket::TicketCode,
    voucher::{SessionOffer, Voucher},
    wire::Message,
};
use world::{CASH, COUNTER, FOOD, Open, ROUND, World, code, entries, slots, world};

#[test]
fn a_ticket_enrols_once_and_a_retry_gets_the_stored_answer() {
    let world = world();
    let programme = &world.programme();
    let request = || {
        let code = TicketCode::from_bytes(*world.codes[0].expose());
        EnrolContext::new(programme, TicketKind::Enrol, code, slots(), &mut rng()).unwrap().1.encode()
    };
    let first = request();
    let answer = world.issuer.enrol(&first, &mut rng()).unwrap();
    assert_eq!(world.issuer.enrol(&first, &mut rng()).unwrap(), answer);
    assert!(matches!(world.issuer.enrol(&request(), &mut rng()), Err(IssuerError::TicketUsed)));
    let (_, wrong) =
        EnrolContext::new(programme, TicketKind::Enrol, TicketCode::random(&mut rng()), slots(), &mut rng()).unwrap();
    assert!(matches!(world.issuer.enrol(&wrong.encode(), &mut rng()), Err(IssuerError::TicketUnknown)));
}

#[test]
fn a_serial_is_spent_once_and_a_retry_gets_the_stored_answer() {
    let world = world();
    let credential = world.enrol();
    let request = || {
        RollOverContext::new(&world.programme().in_force(ROUND).unwrap(), &credential, slots(), &mut rng())
            .unwrap()
            .1
            .encode()
    };
    let (first, second) = (request(), request());
    let answer = world.issuer.roll_over(&first, &mut rng()).unwrap();
    assert_eq!(world.issuer.roll_over(&first, &mut rng()).unwrap(), answer);
    assert!(matches!(world.issuer.roll_over(&second, &mut rng()), Err(IssuerError::Spent)));
}

/// Two threads race with two requests on one serial: exactly one is answered.
#[test]
fn racing_requests_on_one_serial() {
    let world = world();
    let credential = world.enrol();
    let requests: Vec<Vec<u8>> = (0..8)
        .map(|_| {
            RollOverContext::new(&world.programme().in_force(ROUND).unwrap(), &credential, slots(), &mut rng())
                .unwrap()
                .1
                .encode()
        })
        .collect();
    let answered = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(|| world.issuer.roll_over(request, &mut rng()).is_ok()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|ok| *ok).count()
    });
    assert_eq!(answered, 1);
}

/// A request that names its own ticket's hash as its serial does not wait for itself: nothing is proven yet, and each would hold
/// a worker for as long as patience lasts.
#[test]
fn an_amend_does_not_wait_for_itself() {
    let world = world();
    let credential = world.roll_over(&world.enrol());
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    // One hash in sixteen is a scalar.
    let (code, serial) = loop {
        let code = TicketCode::random(&mut rng());
        let hash = code.hash(&programme.id(), TicketKind::Amend);
        if let Some(serial) = Option::from(Scalar::from_canonical_bytes(hash.0)) {
            break (code, serial);
        }
    };
    let (_, mut request) = AmendContext::new(&view, &credential, code, slots(), &mut rng()).unwrap();
    request.show.serial = PublicScalar(serial);
    assert!(matches!(world.issuer.amend(&request.encode(), &mut rng()), Err(IssuerError::TicketUnknown)));
}

#[test]
fn a_session_is_answered_once_and_its_loss_is_signed() {
    let world = world();
    let credential = world.roll_over(&world.enrol());
    let keys = world.keys(1, &[(FOOD, 3)]);
    let offer = world.session(&keys);
    let draw = || {
        DrawContext::new(
            &world.programme().in_force(ROUND).unwrap(),
            &credential,
            keys.clone(),
            &offer,
            slots(),
            &mut rng(),
        )
        .unwrap()
    };
    // A false show takes the session with it.
    let (_, mut false_show) = draw();
    false_show.challenges[0].0 += annona_protocol::group::Scalar::ONE;
    assert!(matches!(world.issuer.draw(&false_show.encode(), &mut rng()), Err(IssuerError::Draw(_))));
    let (_, request) = draw();
    let Err(IssuerError::SessionGone(word)) = world.issuer.draw(&request.encode(), &mut rng()) else {
        panic!("the session was answered after a false show")
    };
    assert_eq!((word.session, word.serial), (offer.session, request.show.serial));
    word.verify(&world.programme().in_force(ROUND).unwrap()).unwrap();
    // With the signed word in hand the wallet opens a new session and draws; a retry gets the stored bytes.
    let fresh = world.session(&keys);
    let (context, request) = DrawContext::new(
        &world.programme().in_force(ROUND).unwrap(),
        &credential,
        keys.clone(),
        &fresh,
        slots(),
        &mut rng(),
    )
    .unwrap();
    let answer = world.issuer.draw(&request.encode(), &mut rng()).unwrap();
    assert_eq!(world.issuer.draw(&request.encode(), &mut rng()).unwrap(), answer);
    assert_eq!(
        context
            .finish(&world.programme().in_force(ROUND).unwrap(), &DrawResponse::decode(&answer).unwrap(), &mut rng())
            .unwrap()
            .1
            .len(),
        2
    );
}

#[test]
fn a_visit_is_accepted_once_and_repeats_get_the_old_receipts() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3), (CASH, 34)]);
    let mut open = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let request = open.request(COUNTER, &all, &SecretScalar::random(&mut rng()));
    let accepted = open.site.redeem(&request).unwrap();
    assert_eq!(accepted.outcome, Outcome::Accepted);
    assert_eq!(accepted.units, vec![(FOOD, Units(3)), (CASH, Units(34))]);
    let same = |answer: RedeemResponse, outcome| {
        assert_eq!((answer.outcome, &answer.receipts), (outcome, &accepted.receipts));
        answer.units
    };
    let due = accepted.units.clone();
    assert_eq!(same(open.site.redeem(&request).unwrap(), Outcome::AlreadyAccepted), due, "the same bytes");
    assert_eq!(same(open.redeem(&all).unwrap(), Outcome::AlreadyAccepted), due, "another quote, the same counter");
    let elsewhere = open.redeem_at(CounterId(2), &all).unwrap();
    assert!(same(elsewhere, Outcome::AcceptedAtCounter).is_empty(), "another counter never shows goods");
    assert_eq!(open.redeem(&all[..1]), Err(RefusalCode::AlreadyRedeemed));
    // A power cut after "accepted", before the goods.
    open = world.restart_site(0, open);
    assert_eq!(same(open.site.redeem(&request).unwrap(), Outcome::AlreadyAccepted), due);
    open.site.take_over(accepted.visit, CounterId(2)).unwrap();
    assert_eq!(same(open.redeem_at(CounterId(2), &all).unwrap(), Outcome::AlreadyAccepted), due, "taken over");
    open.site.handed_over(accepted.visit, CounterId(2)).unwrap();
    assert!(matches!(open.site.handed_over(accepted.visit, CounterId(2)), Err(SiteError::AlreadyHandedOver)));
    assert!(same(open.site.redeem(&request).unwrap(), Outcome::AlreadyHandedOver).is_empty());
    assert!(matches!(open.site.close_batch(false), Err(SiteError::BatchSmall { .. })));
    assert_eq!(open.site.close_batch(true).unwrap(), accepted.receipts.len() as u64);
    // Nothing groups them any more; each voucher still says that its goods went.
    let sorted = |mut receipts: Vec<_>| {
        receipts.sort_unstable_by_key(|receipt: &annona_protocol::slip::Receipt| receipt.content.mark);
        receipts
    };
    let after = open.redeem_at(CounterId(2), &all).unwrap();
    assert_eq!(after.outcome, Outcome::AlreadyHandedOver);
    assert_eq!(sorted(after.receipts), sorted(accepted.receipts.clone()), "the same receipts, byte for byte");
    let statement = open.site.close_round().unwrap();
    assert_eq!(statement.content.units, vec![(FOOD, Units(3)), (CASH, Units(34))]);
    assert_eq!(statement.content.size + 1, entries(open.site.store()).len() as u64);
    assert!(matches!(open.site.redeem(&request), Err(SiteError::NotOpen)));
}

/// Accepted, and the batch closed before the goods went: the vouchers themselves bring the goods, once.
#[test]
fn what_was_accepted_in_an_earlier_batch_is_handed_over_once() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    open.redeem(&all).unwrap();
    open.site.close_batch(true).unwrap();
    let again = open.redeem(&all).unwrap();
    assert_eq!((again.outcome, &again.units), (Outcome::AlreadyAccepted, &vec![(FOOD, Units(3))]));
    open.site.handed_over(again.visit, COUNTER).unwrap();
    let after = open.redeem(&all).unwrap();
    assert_eq!((after.outcome, after.units.len()), (Outcome::AlreadyHandedOver, 0));
    assert_eq!(open.site.close_round().unwrap().content.units, vec![(FOOD, Units(3))]);
}

/// The same with a part that is owed: the slip comes again to whom names its key, and nothing is promised twice, not even to
/// parts of the visit that go alone.
#[test]
fn an_owed_visit_of_an_earlier_batch_keeps_its_slip() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 2);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let spare = SecretScalar::random(&mut rng());
    let show = |vouchers: &[&Voucher]| open.site.redeem(&open.request(COUNTER, vouchers, &spare)).unwrap();
    let first = show(&all);
    assert!(first.owed.is_some());
    open.site.close_batch(true).unwrap();
    let parts: Vec<RedeemResponse> = all.iter().map(|voucher| show(&[voucher])).collect();
    let units: u64 = parts.iter().flat_map(|part| &part.units).map(|(_, units)| units.0).sum();
    assert_eq!(units, 2, "what is owed is not due as well");
    assert!(parts.iter().all(|part| part.owed == first.owed && first.receipts.contains(&part.receipts[0])));
    let again = show(&all);
    assert_eq!((again.outcome, &again.units, &again.owed), (Outcome::AlreadyAccepted, &first.units, &first.owed));
    assert!(open.redeem(&all).unwrap().owed.is_none(), "another key has no slip");
    open.site.handed_over(again.visit, COUNTER).unwrap();
    assert!(parts.iter().all(|part| open.site.handed_over(part.visit, COUNTER).is_err()), "they went");
    open.site.close_batch(true).unwrap();
    let after = show(&all);
    assert_eq!((after.outcome, after.units.len(), &after.owed), (Outcome::AlreadyHandedOver, 0, &first.owed));
}

/// [7.3-M6], [7.3-M12]: an answer to a short visit that was lost at any point comes again with all receipts and the slip: before
/// or after the goods went, before or after the batch closed, over a restart; and the slip pays, once.
#[test]
fn a_lost_answer_to_a_short_visit_comes_again_whole() {
    let sorted = |mut answer: RedeemResponse| {
        answer.receipts.sort_unstable_by_key(|receipt| receipt.content.mark);
        answer.receipts
    };
    for (handed, closed, restarted) in (0..8).map(|case| (case & 1 > 0, case & 2 > 0, case & 4 > 0)) {
        let case = format!("handed over: {handed}, batch closed: {closed}, restarted: {restarted}");
        let world = world();
        let (_, vouchers) = world.drawn(&[(FOOD, 3), (CASH, 34)]);
        let mut open = world.site(0, 2);
        let all: Vec<&Voucher> = vouchers.iter().collect();
        let spare = SecretScalar::random(&mut rng());
        let first = open.site.redeem(&open.request(COUNTER, &all, &spare)).unwrap();
        let slip = first.owed.clone().unwrap();
        if handed {
            open.site.handed_over(first.visit, COUNTER).unwrap();
        }
        if closed {
            open.site.close_batch(true).unwrap();
        }
        if restarted {
            open = world.restart_site(0, open);
        }
        let again = open.site.redeem(&open.request(COUNTER, &all, &spare)).unwrap();
        let outcome = if handed { Outcome::AlreadyHandedOver } else { Outcome::AlreadyAccepted };
        let due = if handed { Vec::new() } else { first.units.clone() };
        assert_eq!((again.outcome, &again.units, &again.owed), (outcome, &due, &first.owed), "{case}");
        let view = open.programme.in_force(ROUND).unwrap();
        let shown: Vec<_> = all.iter().map(|voucher| *voucher.shown()).collect();
        again.check_visit(&view, &open.place(), &shown, &[slip.content.holder]).expect("the wallet takes it");
        assert_eq!(sorted(again), sorted(first), "{case}");
        open.site.set_stock(BTreeMap::from([(FOOD, Units(9)), (CASH, Units(99))])).unwrap();
        let request = CollectRequest::new(&view, &slip, &open.place(), &spare, &mut rng()).unwrap();
        assert_eq!(open.site.collect(&request.encode()).unwrap().outcome, Outcome::Accepted, "{case}");
        let statement = open.site.close_round().unwrap().content;
        assert_eq!(statement.collected, slip.content.lines, "{case}");
    }
}

/// A key has one slip, ever. A sheet has one key: voided, and short again, it is refused, stays good, and goes when there is
/// stock for all of it.
#[test]
fn a_sheet_that_was_short_and_voided_waits_for_stock() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 1);
    let voucher = vouchers.iter().find(|voucher| open.programme.key(voucher.key()).unwrap().id.value == 2).unwrap();
    let sheet = BearerVoucher::new(voucher).encode();
    let show = || {
        let quote = open.site.quote(COUNTER, &mut rng()).unwrap();
        open.site.redeem_sheet(quote.content.id, &sheet)
    };
    let slip = show().unwrap().owed.unwrap();
    assert_eq!((slip.content.holder, &slip.content.lines), (voucher.shown().mark().holder, &vec![(FOOD, Units(1))]));
    assert_eq!(open.void(&[(voucher, 1)]), Ok(1));
    let pending = open.site.status().unwrap().pending;
    for _ in 0..2 {
        assert_eq!(show().map_err(code), Err(RefusalCode::OwedUnknown));
    }
    let status = open.site.status().unwrap();
    assert_eq!(status.pending, pending, "nothing was accepted or logged");
    open.site.set_stock(BTreeMap::from([(FOOD, Units(2))])).unwrap();
    let whole = show().unwrap();
    assert_eq!((whole.outcome, &whole.units, &whole.owed), (Outcome::Accepted, &vec![(FOOD, Units(2))], &None));
    assert_eq!(whole.receipts[0].content.number, 2);
    let statement = open.site.close_round().unwrap().content;
    assert_eq!((statement.units, statement.owed), (vec![(FOOD, Units(2))], Vec::new()));
}

/// A wallet whose key has a voided slip is told so, and takes another key.
#[test]
fn a_key_with_a_voided_slip_gets_no_second_one() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 2);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let spare = SecretScalar::random(&mut rng());
    let show = |spare: &SecretScalar| open.site.redeem(&open.request(COUNTER, &all, spare));
    show(&spare).unwrap().owed.unwrap();
    let numbered: Vec<(&Voucher, u32)> = all.iter().map(|voucher| (*voucher, 1)).collect();
    assert_eq!(open.void(&numbered), Ok(2));
    assert_eq!(show(&spare).map_err(code), Err(RefusalCode::OwedUnknown));
    let again = show(&SecretScalar::random(&mut rng())).unwrap();
    assert_eq!((again.outcome, again.owed.is_some()), (Outcome::Accepted, true));
    let holders: Vec<_> = {
        open.site.close_batch(true).unwrap();
        let leaves =
            entries(open.site.store()).iter().map(|entry| SiteLeaf::decode(entry).unwrap()).collect::<Vec<_>>();
        leaves.into_iter().filter_map(|leaf| if let SiteLeaf::Owed(owed) = leaf { Some(owed.holder) } else { None })
    }
    .collect();
    assert!(holders.len() == 2 && holders[0] != holders[1], "the audit's 9.5.9");
}

/// Many threads show overlapping visits: each voucher counts once.
#[test]
fn racing_visits_count_once() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 1000);
    let requests: Vec<Vec<u8>> = (0..16)
        .map(|at| {
            let shown: Vec<&Voucher> = if at % 3 == 2 { vouchers.iter().collect() } else { vec![&vouchers[at % 3]] };
            open.request(COUNTER, &shown, &SecretScalar::random(&mut rng()))
        })
        .collect();
    let accepted = std::thread::scope(|scope| {
        let threads: Vec<_> = requests.iter().map(|request| scope.spawn(|| open.site.redeem(request))).collect();
        let answers = threads.into_iter().filter_map(|thread| thread.join().unwrap().ok());
        answers
            .filter(|answer| answer.outcome == Outcome::Accepted)
            .flat_map(|answer| answer.units)
            .map(|(_, units)| units.0)
            .sum::<u64>()
    });
    assert_eq!(accepted, 3);
    assert_eq!(open.site.close_round().unwrap().content.units, vec![(FOOD, Units(3))]);
}

#[test]
fn a_void_takes_the_whole_visit_and_the_vouchers_go_again() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    open.redeem(&all).unwrap();
    assert_eq!(open.void(&[(all[0], 1)]), Err(RefusalCode::VisitIncomplete));
    assert_eq!(open.void(&[(all[0], 2), (all[1], 2)]), Err(RefusalCode::Closed), "no second acceptance yet");
    assert_eq!(open.void(&[(all[0], 1), (all[1], 1)]), Ok(2));
    assert_eq!(open.void(&[(all[0], 1), (all[1], 1)]), Err(RefusalCode::Closed), "voided once");
    let again = open.redeem(&all).unwrap();
    assert_eq!(again.outcome, Outcome::Accepted);
    assert!(again.receipts.iter().all(|receipt| receipt.content.number == 2));
    open.site.close_batch(true).unwrap();
    assert_eq!(open.void(&[(all[0], 2), (all[1], 2)]), Err(RefusalCode::Closed), "not after the batch");
    let statement = open.site.close_round().unwrap();
    assert_eq!(statement.content.units, vec![(FOOD, Units(3))]);
    assert_eq!(statement.content.voids.len(), 2);
}

#[test]
fn short_stock_is_owed_collected_once_or_voided_with_its_visit() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3), (CASH, 34)]);
    let open = world.site(0, 2);
    let food: Vec<&Voucher> =
        vouchers.iter().filter(|voucher| open.programme.key(voucher.key()).unwrap().id.line == FOOD).collect();
    let cash: Vec<&Voucher> =
        vouchers.iter().filter(|voucher| open.programme.key(voucher.key()).unwrap().id.line == CASH).collect();
    let accepted = open.redeem(&food).unwrap();
    assert_eq!(accepted.units, vec![(FOOD, Units(2))]);
    let slip = accepted.owed.unwrap();
    assert_eq!(slip.content.lines, vec![(FOOD, Units(1))]);
    slip.verify(&PublicKey::of(&world.site_keys[0])).unwrap();
    let numbered: Vec<(&Voucher, u32)> = food.iter().map(|voucher| (*voucher, 1)).collect();
    assert_eq!(open.void(&numbered), Ok(2));

    let spare = SecretScalar::random(&mut rng());
    let request = open.request(COUNTER, &cash, &spare);
    let slip = open.site.redeem(&request).unwrap().owed.unwrap();
    assert_eq!(slip.content.lines, vec![(CASH, Units(32))]);
    assert!(matches!(open.void(&[]), Err(RefusalCode::Malformed)));
    let collect = || {
        let view = open.programme.in_force(ROUND).unwrap();
        let request = CollectRequest::new(&view, &slip, &open.place(), &spare, &mut rng()).unwrap();
        open.site.collect(&request.encode())
    };
    assert_eq!(collect().map_err(code), Err(RefusalCode::LineNotQuoted), "nothing has come yet");
    open.site.set_stock(BTreeMap::from([(CASH, Units(40))])).unwrap();
    let collected = collect().unwrap();
    assert_eq!((collected.outcome, &collected.units), (Outcome::Accepted, &vec![(CASH, Units(32))]));
    assert_eq!(collect().unwrap().outcome, Outcome::AlreadyAccepted);
    open.site.handed_over(collected.visit, COUNTER).unwrap();
    let again = collect().unwrap();
    assert_eq!((again.outcome, again.units.len()), (Outcome::AlreadyHandedOver, 0));
    let numbered: Vec<(&Voucher, u32)> = cash.iter().map(|voucher| (*voucher, 1)).collect();
    assert_eq!(open.void(&numbered), Err(RefusalCode::OwedUnknown), "its slip was collected");

    let statement = open.site.close_round().unwrap().content;
    assert_eq!(statement.units, vec![(CASH, Units(34))]);
    assert_eq!(statement.owed, vec![(CASH, Units(32))]);
    assert_eq!(statement.collected, vec![(CASH, Units(32))]);
    let log = entries(open.site.store());
    let voided = log.iter().filter(|entry| matches!(SiteLeaf::decode(entry), Ok(SiteLeaf::OwedVoided(_))));
    assert_eq!(voided.count(), 1);
}

#[test]
fn a_printed_voucher_is_redeemed_by_who_holds_the_sheet_once() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let mut open = world.site(0, 1000);
    let sheet = BearerVoucher::new(&vouchers[0]).encode();
    let quote = |open: &Open| open.site.quote(COUNTER, &mut rng()).unwrap().content.id;
    assert_eq!(open.site.redeem_sheet(quote(&open), &sheet).unwrap().outcome, Outcome::Accepted);
    // Power cut just after "accepted": the sheet again is the same visit, the same receipts, nothing counted twice.
    open = world.restart_site(0, open);
    assert_eq!(open.site.redeem_sheet(quote(&open), &sheet).unwrap().outcome, Outcome::AlreadyAccepted);
    let mut wrong = sheet.clone();
    wrong[3] ^= 1;
    let refused = code(open.site.redeem_sheet(quote(&open), &wrong).unwrap_err());
    assert!(matches!(refused, RefusalCode::HolderInvalid | RefusalCode::Malformed));
    assert_eq!(open.site.close_round().unwrap().content.vouchers.iter().map(|(_, count)| count).sum::<u64>(), 1);
}

#[test]
fn a_swapped_voucher_is_refused_and_the_freeze_ends_swaps() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let (old, target) = (&vouchers[0], world.keys(2, &[(FOOD, 1)]));
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    assert_eq!(view.key(old.key()).unwrap().id.value, 1);
    let swap = |voucher: &Voucher, target: &KeyCounts| {
        let offer = world.session(target);
        let (context, request) =
            SwapContext::new(&view, vec![voucher], target.clone(), &offer, slots(), &mut rng()).unwrap();
        (context, request.encode())
    };
    let (context, request) = swap(old, &target);
    let answer = world.issuer.swap(&request).unwrap();
    assert_eq!(world.issuer.swap(&request).unwrap(), answer, "a retry gets the stored answer");
    assert!(matches!(world.issuer.swap(&swap(old, &target).1), Err(IssuerError::Spent)));
    let new = context.finish(&view, &SwapResponse::decode(&answer).unwrap()).unwrap();

    let (_, late) = swap(&vouchers[1], &world.keys(2, &[(FOOD, 2)]));
    let (north, south) = (world.site(0, 1000), world.site(1, 1000));
    assert!(matches!(world.issuer.swap(&late), Err(IssuerError::Round(_))));
    assert_eq!(north.redeem(&[old]), Err(RefusalCode::Swapped));
    assert_eq!(south.redeem(&[&new[0]]).unwrap().units, vec![(FOOD, Units(1))]);
}

#[test]
fn packs_open_their_own_site_once() {
    let world = world();
    let packs = world.issuer.freeze(ROUND).unwrap();
    assert_eq!(world.issuer.freeze(ROUND).unwrap(), packs, "a freeze again gives the same packs");
    let site = world.announced(0);
    assert!(matches!(site.open_round(&packs[1].encode()), Err(SiteError::Pack(_))), "another site's");
    let mut forged = packs[0].clone();
    forged.content.size += 1;
    assert!(matches!(site.open_round(&forged.encode()), Err(SiteError::Pack(_))), "a false signature");
    site.open_round(&packs[0].encode()).unwrap();
    site.open_round(&packs[0].encode()).unwrap();
    let second = OpeningPack::sign(forged.content, world.issuer.log_key());
    assert!(matches!(site.open_round(&second.encode()), Err(SiteError::SecondPack(ROUND))), "a second, signed pack");
    site.close_round().unwrap();
    assert!(matches!(site.open_round(&packs[0].encode()), Err(SiteError::Tombstone(ROUND))), "an old pack");
}

#[test]
fn without_its_pack_a_round_is_pending_until_the_pack_comes() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let packs = world.issuer.freeze(ROUND).unwrap();
    let site = world.announced(0);
    site.open_without_pack(ROUND).unwrap();
    site.set_stock(BTreeMap::from([(FOOD, Units(10))])).unwrap();
    let open = Open { site, programme: world.programme() };
    let first = open.redeem(&[&vouchers[0]]).unwrap();
    assert!(first.receipts[0].content.pending);
    open.site.open_round(&packs[0].encode()).unwrap();
    let second = open.redeem(&[&vouchers[1]]).unwrap();
    assert!(!second.receipts[0].content.pending);
    assert_eq!(open.redeem(&[&vouchers[0]]).unwrap().receipts, first.receipts, "a receipt never changes");
}

#[test]
fn a_closed_round_gives_nothing() {
    let world = world();
    let credential = world.enrol();
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    let (_, request) = RollOverContext::new(&view, &credential, slots(), &mut rng()).unwrap();
    let request = request.encode();
    assert!(matches!(world.issuer.close_round(ROUND), Err(IssuerError::Round(ROUND))), "not before its freeze");
    world.issuer.freeze(ROUND).unwrap();
    world.issuer.close_round(ROUND).unwrap();
    assert!(matches!(world.issuer.roll_over(&request, &mut rng()), Err(IssuerError::Round(_))));
    let session = SessionRequest { round: ROUND, keys: world.keys(1, &[(FOOD, 1)]) };
    assert!(matches!(world.issuer.open_session(&session.encode(), &mut rng()), Err(IssuerError::Round(_))));
}

/// [6.4-M5], [8.1-M3]: rounds that are open are no further apart than the programme says, whichever was opened first; each opens
/// once; and the rounds of batches never go back.
#[test]
fn rounds_open_near_each_other_and_batches_never_go_back() {
    let mut world = world();
    assert_eq!(world.programme().latest().policy.advance, 0);
    (2..=3).for_each(|round| world.prepare(Round(round)));
    let open = |round: u32| world.issuer.open_round(Round(round), &world.masters[&Round(round)]);
    let close = |round| {
        world.issuer.freeze(Round(round)).unwrap();
        world.issuer.close_round(Round(round)).unwrap();
    };
    assert!(matches!(open(2), Err(IssuerError::Ahead(ROUND))));
    close(1);
    assert!(open(1).is_err(), "opened once");
    open(3).unwrap();
    assert!(matches!(open(2), Err(IssuerError::Ahead(Round(3)))), "an older one beside a newer one");
    close(3);
    open(2).unwrap();
    world.enrol();
    world.issuer.close_batch().unwrap();
    let batches: Vec<_> = entries(world.issuer.store())
        .iter()
        .filter_map(|entry| IssuerLeaf::decode(entry).unwrap().as_batch().map(|header| (header.number, header.round)))
        .collect();
    assert_eq!(batches, [(1, Round(3))]);
}

/// After a restart the issuer answers what it answered, and nothing twice; its open sessions are gone, in signed words.
#[test]
fn a_restarted_issuer_repeats_itself_and_has_no_sessions() {
    let world = world();
    let credential = world.roll_over(&world.enrol());
    let keys = world.keys(1, &[(FOOD, 3)]);
    let (offer, lost) = (world.session(&keys), world.session(&keys));
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    let draw = |credential: &Credential, offer: &SessionOffer| {
        DrawContext::new(&view, credential, keys.clone(), offer, slots(), &mut rng()).unwrap()
    };
    let ((context, request), (_, late)) = (draw(&credential, &offer), draw(&credential, &lost));
    let request = request.encode();
    let answer = world.issuer.draw(&request, &mut rng()).unwrap();
    let world = world.restart();
    assert_eq!(world.issuer.draw(&request, &mut rng()).unwrap(), answer);
    assert!(matches!(world.issuer.draw(&late.encode(), &mut rng()), Err(IssuerError::Spent)), "the serial is spent");
    let (credential, _) = context.finish(&view, &DrawResponse::decode(&answer).unwrap(), &mut rng()).unwrap();
    let keys = world.keys(1, &[(FOOD, 1)]);
    let (_, request) =
        DrawContext::new(&view, &credential, keys.clone(), &world.session(&keys), slots(), &mut rng()).unwrap();
    let world = world.restart();
    let Err(IssuerError::SessionGone(word)) = world.issuer.draw(&request.encode(), &mut rng()) else {
        panic!("a session survived a restart")
    };
    word.verify(&view).unwrap();
    let status = world.issuer.status().unwrap();
    assert_eq!((status.sessions, status.tickets), (0, (0, 1)));
}

/// What must not be in a backup is not in it; what must be, is; and it opens.
#[test]
fn a_backup_opens_and_holds_no_running_sums() {
    let world = world();
    world.enrol();
    let copy = world.homes.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    world.issuer.store().backup(&copy.join("annona.db")).unwrap();
    let store = Store::open(&copy, Role::Issuer).unwrap();
    let count = |table: &str| {
        store
            .read(|connection| {
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u64>(0))
            })
            .unwrap()
    };
    assert_eq!((count("cohorts"), count("tickets"), count("pending")), (0, 1, 1));
    store.check().unwrap();
}

/// The second medium holds what was answered: a store that is older is refused, and made anew from the copy.
#[test]
fn a_rolled_back_store_is_refused_and_recovered_from_the_second_medium() {
    use annona_node::store::{StoreError, prepare_second_medium};
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let Open { site, programme } = world.site(0, 100);
    drop(site);
    let (home, second) = (world.homes.path().join("site-0"), world.homes.path().join("stick"));
    std::fs::create_dir(&second).unwrap();
    let with = || Store::open_with(&home, Role::Site, Some(&second));
    assert!(matches!(with(), Err(StoreError::SecondMedium { .. })), "an empty mount point is no second medium");
    prepare_second_medium(&second).unwrap();
    let open = |store| {
        let site = SiteService::open(store, world.site_keys[0].clone(), SiteOptions::default()).unwrap();
        Open { site, programme: programme.clone() }
    };
    let visits = open(with().unwrap());
    let first = visits.redeem(&[&vouchers[0]]).unwrap();
    visits.site.close_batch(true).unwrap();
    drop(visits);
    let old = std::fs::read(home.join("annona.db")).unwrap();
    let visits = open(with().unwrap());
    let second_visit = visits.redeem(&[&vouchers[1]]).unwrap();
    let code = visits.site.store().day_code().unwrap();
    drop(visits);
    // The whole disk goes back to the morning.
    std::fs::write(home.join("annona.db"), old).unwrap();
    assert!(matches!(with(), Err(StoreError::RolledBack { .. })));
    std::fs::rename(home.join("annona.db"), home.join("aside.db")).unwrap();
    Store::recover(&home, Role::Site, &second).unwrap();
    let visits = open(with().unwrap());
    visits.site.store().check_day_code(&code).unwrap();
    assert_eq!(visits.redeem(&[&vouchers[1]]).unwrap().receipts, second_visit.receipts);
    assert_eq!(visits.redeem(&[&vouchers[0]]).unwrap().receipts, first.receipts);
    assert_eq!(visits.site.close_round().unwrap().content.units, vec![(FOOD, Units(3))]);
    drop(visits);
    // Another store does not take this medium for its own.
    let other = world.homes.path().join("issuer");
    drop(world.issuer);
    assert!(matches!(Store::open_with(&other, Role::Issuer, Some(&second)), Err(StoreError::OtherMedium { .. })));
}

/// Without a second medium the code of the day tells that the store was rolled back.
#[test]
fn a_day_code_tells_a_rolled_back_store() {
    use annona_node::store::{DayCode, StoreError};
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let open = world.site(0, 100);
    drop(open.site);
    let file = world.homes.path().join("site-0/annona.db");
    let morning = std::fs::read(&file).unwrap();
    let site = || {
        let store = Store::open(&world.homes.path().join("site-0"), Role::Site).unwrap();
        let site = SiteService::open(store, world.site_keys[0].clone(), SiteOptions::default()).unwrap();
        Open { site, programme: open.programme.clone() }
    };
    let day = site();
    day.redeem(&[&vouchers[0]]).unwrap();
    day.site.close_batch(true).unwrap();
    let printed = day.site.store().day_code().unwrap().to_string();
    let code = DayCode::parse(&printed.to_lowercase().replace("day", "DAY")).unwrap();
    day.site.store().check_day_code(&code).unwrap();
    drop(day);
    std::fs::write(&file, morning).unwrap();
    assert!(matches!(site().site.store().check_day_code(&code), Err(StoreError::DayCode)));
    assert!(DayCode::parse("DAY 0000-0000").is_none());
}

/// Two counters without a network: each owns a slot; what the second accepted comes into the one log by a stick, twice, in spite
/// of a restart, and counts once.
#[test]
fn two_counters_without_a_network_share_a_log_and_no_slot() {
    let world = world::world_with(2, 2);
    let (_, first) = world.drawn_on(0, Some(Slot(0)), &[(FOOD, 3)]);
    let (_, second) = world.drawn_on(1, Some(Slot(1)), &[(FOOD, 3), (CASH, 2)]);
    let packs = world.issuer.freeze(ROUND).unwrap();
    let counter = |name: &str, slot: u8| {
        let home = world.homes.path().join(name);
        let key = world.site_keys[0].clone();
        if !home.exists() {
            SiteService::create(&home, world.programme().id(), &world.announcement(), world::SITE, &key).unwrap();
        }
        let options = SiteOptions { slots: vec![Slot(slot)], ..SiteOptions::default() };
        let site = SiteService::open(Store::open(&home, Role::Site).unwrap(), key, options).unwrap();
        Open { site, programme: world.programme() }
    };
    let (main, other) = (counter("main", 0), counter("other", 1));
    assert!(matches!(main.site.hand_over(), Err(SiteError::NotOpen)));
    other.site.become_counter().unwrap();
    for (open, stock) in [(&main, 100), (&other, 2)] {
        open.site.open_round(&packs[0].encode()).unwrap();
        open.site.set_stock(BTreeMap::from([(FOOD, Units(stock)), (CASH, Units(stock))])).unwrap();
    }
    let (first, second): (Vec<&Voucher>, Vec<&Voucher>) = (first.iter().collect(), second.iter().collect());
    assert_eq!(main.redeem(&second), Err(RefusalCode::OtherSlot), "no counter takes another's slot");
    assert_eq!(other.redeem(&first), Err(RefusalCode::OtherSlot));
    main.redeem(&first).unwrap();
    let accepted = other.redeem(&second).unwrap();
    assert_eq!(accepted.owed.as_ref().unwrap().content.lines, vec![(FOOD, Units(1))]);
    assert!(matches!(other.site.close_batch(true), Err(SiteError::NotACounter)), "one log a site");

    let package = other.site.hand_over().unwrap();
    drop(other);
    let other = counter("other", 1);
    assert_eq!(other.site.hand_over().unwrap(), package, "until it is handed in, the same again");
    let mut damaged = package.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(main.site.take_in(&damaged), Err(SiteError::HandoverFalse)));
    assert!(matches!(other.site.take_in(&package), Err(SiteError::HandoverOther)));
    main.site.take_in(&package).unwrap();
    main.site.take_in(&package).unwrap();
    main.site.close_batch(true).unwrap();
    assert!(matches!(main.site.take_in(&package), Err(SiteError::HandoverOther)), "an old package");
    assert!(matches!(other.site.end_counter_round(), Err(SiteError::HandoverWaits)));
    other.site.handed_in(&package).unwrap();
    other.site.handed_in(&package).unwrap();
    assert_eq!(other.redeem(&second).unwrap().outcome, Outcome::AlreadyAccepted, "the counter still knows its own");
    other.site.end_counter_round().unwrap();

    let statement = main.site.close_round().unwrap().content;
    assert_eq!(statement.units, vec![(FOOD, Units(6)), (CASH, Units(2))]);
    assert_eq!(statement.owed, vec![(FOOD, Units(1))]);
    let logged: Vec<_> =
        entries(main.site.store()).iter().map(|entry| annona_protocol::log::merkle::leaf_hash(entry)).collect();
    assert!(accepted.receipts.iter().all(|receipt| logged.contains(&receipt.content.leaf)), "every promise is kept");
    assert!(accepted.receipts.iter().all(|receipt| receipt.content.batch == 1));
}

#[test]
fn one_process_a_store_and_no_foreign_files() {
    use annona_node::store::StoreError;
    let world = world();
    let home = world.homes.path().join("issuer");
    assert!(matches!(Store::open(&home, Role::Issuer), Err(StoreError::Locked { .. })));
    let missing = world.homes.path().join("nothing");
    assert!(matches!(Store::open(&missing, Role::Site), Err(StoreError::Missing { .. })));
    let World { homes, issuer, .. } = world;
    drop(issuer);
    assert!(matches!(Store::open(&home, Role::Site), Err(StoreError::Role { .. })));
    assert!(matches!(Store::create(&home, Role::Site), Err(StoreError::Exists { .. })));
    let file = home.join("annona.db");
    let poke = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    poke("PRAGMA user_version = 99");
    assert!(matches!(Store::open(&home, Role::Issuer), Err(StoreError::Newer { found: 99, .. })));
    poke("PRAGMA user_version = 1; PRAGMA application_id = 1");
    assert!(matches!(Store::open(&home, Role::Issuer), Err(StoreError::Foreign { .. })));
    let other = homes.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("annona.db"), "not a database").unwrap();
    assert!(matches!(Store::open(&other, Role::Issuer), Err(StoreError::Foreign { .. })));
}
