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
    draw::{AmendContext, DrawContext, DrawResponse, RollOverContext, RollOverResponse, SessionRequest},
    enrol::{EnrolContext, EnrolResponse},
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
    assert_eq!(
        open.void(&[(all[0], 1), (all[1], 1)]),
        Ok(2),
        "the answer was lost: the same again, and nothing is voided"
    );
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
    let open = Open { site, programme: world.programme(), round: ROUND };
    let first = open.redeem(&[&vouchers[0]]).unwrap();
    assert!(first.receipts[0].content.pending);
    open.site.open_round(&packs[0].encode()).unwrap();
    open.site.open_without_pack(ROUND).unwrap();
    assert_eq!(open.site.status().unwrap().acts["open-without-pack"], 1, "sent again, it is no second act");
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
    let (sums, classes) = (count("cohorts WHERE sealed IS NOT NULL"), count("cohorts WHERE start = 0 AND members = 1"));
    assert_eq!((sums, classes, count("tickets"), count("pending")), (0, 1, 1, 1));
    assert!(store.is_uncompared().unwrap() && !world.issuer.store().is_uncompared().unwrap());
    store.check().unwrap();
}

/// The second medium holds what was answered: a store that is older is refused, and made anew from the copy.
#[test]
fn a_rolled_back_store_is_refused_and_recovered_from_the_second_medium() {
    use annona_node::store::{StoreError, prepare_second_medium};
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let Open { site, programme, .. } = world.site(0, 100);
    drop(site);
    let (home, second) = (world.homes.path().join("site-0"), world.homes.path().join("stick"));
    std::fs::create_dir(&second).unwrap();
    let with = || Store::open_with(&home, Role::Site, Some(&second));
    assert!(matches!(with(), Err(StoreError::SecondMedium { .. })), "an empty mount point is no second medium");
    prepare_second_medium(&second).unwrap();
    let open = |store| {
        let site = SiteService::open(store, world.site_keys[0].clone(), SiteOptions::default()).unwrap();
        Open { site, programme: programme.clone(), round: ROUND }
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

/// The attack on a count: a store that was rolled back runs without its medium until it counts as many groups as the copy, or more.
#[test]
fn a_store_that_went_another_way_than_its_second_medium_is_refused() {
    use annona_node::store::{StoreError, prepare_second_medium};
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let Open { site, programme, .. } = world.site(0, 100);
    drop(site);
    let (home, medium) = (world.homes.path().join("site-0"), world.homes.path().join("stick"));
    let (file, copied) = (home.join("annona.db"), medium.join("annona-copy.db"));
    std::fs::create_dir(&medium).unwrap();
    prepare_second_medium(&medium).unwrap();
    let with = || Store::open_with(&home, Role::Site, Some(&medium));
    let open = |store| {
        let site = SiteService::open(store, world.site_keys[0].clone(), SiteOptions::default()).unwrap();
        Open { site, programme: programme.clone(), round: ROUND }
    };
    let before_it = std::fs::read(&file).unwrap();
    drop(with().unwrap());
    let morning = std::fs::read(&file).unwrap();
    let visits = open(with().unwrap());
    let promised = visits.redeem(&[&vouchers[0]]).unwrap();
    drop(visits);
    let copy = std::fs::read(&copied).unwrap();

    // A store that remembers its medium does not run without it, nor with an empty one.
    std::fs::write(&file, &morning).unwrap();
    assert!(matches!(Store::open(&home, Role::Site), Err(StoreError::MediumExpected)));
    std::fs::remove_file(&copied).unwrap();
    assert!(matches!(with(), Err(StoreError::MediumEmpty { .. })));
    std::fs::write(&copied, &copy).unwrap();

    // Who insists runs it alone; one that is older than its medium remembers none. Neither passes for the other.
    for (earlier, remembers) in [(&morning, true), (&before_it, false)] {
        std::fs::write(&file, earlier).unwrap();
        assert_eq!(Store::detach_medium(&home, Role::Site).unwrap(), remembers);
        let (mut behind, mut ahead) = (0, 0);
        for count in 0..12 {
            let alone = open(Store::open(&home, Role::Site).unwrap());
            if count == 0 {
                assert_eq!(alone.redeem(&[&vouchers[0]]).unwrap().outcome, Outcome::Accepted, "a second time");
            } else {
                alone.site.set_stock(BTreeMap::from([(FOOD, Units(count))])).unwrap();
            }
            drop(alone);
            match with() {
                Err(StoreError::RolledBack { .. }) => behind += 1,
                Err(StoreError::Diverged { .. }) => ahead += 1,
                other => panic!("{other:?}"),
            }
            assert_eq!(std::fs::read(&copied).unwrap(), copy, "the copy is left as it was");
        }
        assert!(ahead > 1, "{behind} {ahead}");
    }
    std::fs::remove_file(&file).unwrap();
    Store::recover(&home, Role::Site, &medium).unwrap();
    assert!(matches!(Store::open(&home, Role::Site), Err(StoreError::MediumExpected)), "what was made anew remembers");
    let visits = open(with().unwrap());
    let again = visits.redeem(&[&vouchers[0]]).unwrap();
    assert_eq!((again.outcome, again.receipts), (Outcome::AlreadyAccepted, promised.receipts));
}

/// A copy that lacks the last group, as after a crash between two commits, is filled up; one that lacks two is of another past.
#[test]
fn a_copy_that_lacks_the_last_group_is_filled_up() {
    use annona_node::store::{StoreError, prepare_second_medium};
    let homes = tempfile::tempdir().unwrap();
    let (home, medium) = (homes.path().join("home"), homes.path().join("stick"));
    std::fs::create_dir(&medium).unwrap();
    prepare_second_medium(&medium).unwrap();
    drop(Store::create(&home, Role::Site).unwrap());
    let with = || Store::open_with(&home, Role::Site, Some(&medium));
    let put = |line: u64| {
        let job =
            move |connection: &rusqlite::Connection| connection.execute("INSERT INTO stock VALUES (?1, 1)", [line]);
        with().unwrap().write(job).unwrap().unwrap();
    };
    put(1);
    let copied = medium.join("annona-copy.db");
    let copy = std::fs::read(&copied).unwrap();
    put(2);
    std::fs::write(&copied, &copy).unwrap();
    drop(with().unwrap());
    let lines = |file: &std::path::Path, table: &str| {
        let sql = format!("SELECT group_concat(line) FROM {table}");
        let text: String = rusqlite::Connection::open(file).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap();
        text
    };
    assert_eq!(lines(&copied, "m_stock"), "1,2");
    let copy = std::fs::read(&copied).unwrap();
    put(3);
    put(4);
    std::fs::write(&copied, &copy).unwrap();
    assert!(matches!(with(), Err(StoreError::Diverged { .. })));
    assert_eq!(lines(&copied, "m_stock"), "1,2");
}

/// The medium is pulled out under a running store: nothing is answered from one disk, neither then nor after a restart without
/// it; and it goes on where it was once the medium is back.
#[test]
fn without_its_second_medium_nothing_is_answered() {
    use annona_node::store::{StoreError, prepare_second_medium};
    let homes = tempfile::tempdir().unwrap();
    let (home, medium) = (homes.path().join("home"), homes.path().join("stick"));
    std::fs::create_dir(&medium).unwrap();
    prepare_second_medium(&medium).unwrap();
    drop(Store::create(&home, Role::Site).unwrap());
    let with = || Store::open_with(&home, Role::Site, Some(&medium));
    let store = with().unwrap();
    let put = |store: &Store, line: u64| {
        store
            .write(move |connection| connection.execute("INSERT INTO stock VALUES (?1, 1)", [line]).map(drop))
            .and_then(|done| done.map_err(StoreError::from))
    };
    let count = |store: &Store| {
        store.read(|connection| connection.query_row("SELECT count(*) FROM stock", [], |row| row.get::<_, u64>(0)))
    };
    put(&store, 1).unwrap();
    let pulled = homes.path().join("pulled");
    std::fs::rename(&medium, &pulled).unwrap();
    let refused = put(&store, 2).expect_err("answered from one disk");
    assert!(refused.is_transient(), "{refused}");
    let refused = put(&store, 3).expect_err("answered from one disk");
    assert!(matches!(refused, StoreError::SecondMedium { .. }), "{refused}");
    match count(&store) {
        Ok(seen) => assert_eq!(seen, 1, "shown before both disks had it"),
        Err(error) => assert!(matches!(error, StoreError::Unknown), "{error}"),
    }
    drop(store);
    assert!(matches!(Store::open(&home, Role::Site), Err(StoreError::MediumExpected)));
    assert!(matches!(with(), Err(StoreError::SecondMedium { .. })));
    std::fs::rename(&pulled, &medium).unwrap();
    let store = with().unwrap();
    put(&store, 4).unwrap();
    let seen = count(&store).unwrap();
    let copy = rusqlite::Connection::open(medium.join("annona-copy.db")).unwrap();
    assert_eq!(copy.query_row("SELECT count(*) FROM m_stock", [], |row| row.get::<_, u64>(0)).unwrap(), seen);
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
        Open { site, programme: open.programme.clone(), round: ROUND }
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

/// What the issuer keeps of who came goes as soon as no wallet can miss it; that somebody came once stays.
#[test]
fn an_issuer_forgets_tickets_that_lapsed_and_in_the_end_all_answers() {
    let mut world = world::world_until(2, Round(1), |header| header.last_round = Round(2));
    let programme = world.programme();
    let code = TicketCode::from_bytes(*world.codes[0].expose());
    let (context, enrol) = EnrolContext::new(&programme, TicketKind::Enrol, code, slots(), &mut rng()).unwrap();
    let enrol = enrol.encode();
    let enrolled = world.issuer.enrol(&enrol, &mut rng()).unwrap();
    let credential = context.finish(&programme, &EnrolResponse::decode(&enrolled).unwrap(), &mut rng()).unwrap();
    let view = programme.in_force(ROUND).unwrap();
    let roll_over = || RollOverContext::new(&view, &credential, slots(), &mut rng()).unwrap();
    let ((context, first), (_, second)) = (roll_over(), roll_over());
    let (first, second) = (first.encode(), second.encode());
    let rolled = world.issuer.roll_over(&first, &mut rng()).unwrap();
    let credential = context.finish(&view, &RollOverResponse::decode(&rolled).unwrap(), &mut rng()).unwrap();
    world.draw(&credential, None, &[(FOOD, 3)]);
    let home = world.homes.path().join("issuer");
    let holds = |needle: &[u8]| {
        ["annona.db", "annona.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(home.join(name)).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    };
    let unused = world.codes[1].hash(&programme.id(), TicketKind::Enrol).0;
    let masked = &enrolled[enrolled.len() - 24..];
    let rows = |world: &World, of: &str| -> u64 {
        let sql = format!("SELECT count(*) FROM {of}");
        world.issuer.store().read(|connection| connection.query_row(&sql, [], |row| row.get(0))).unwrap()
    };
    assert!(holds(&unused) && holds(masked));
    assert_eq!((rows(&world, "sessions"), rows(&world, "slots")), (1, 6));

    world.issuer.freeze(ROUND).unwrap();
    world.issuer.close_round(ROUND).unwrap();
    assert!(!holds(&unused) && holds(masked));
    assert_eq!((rows(&world, "sessions"), rows(&world, "slots")), (0, 3));
    assert_eq!(
        world.issuer.roll_over(&first, &mut rng()).unwrap(),
        rolled,
        "who lost the answer gets it, after the close too"
    );
    assert_eq!(world.issuer.enrol(&enrol, &mut rng()).unwrap(), enrolled);
    let code = TicketCode::from_bytes(*world.codes[1].expose());
    let (_, late) = EnrolContext::new(&programme, TicketKind::Enrol, code, slots(), &mut rng()).unwrap();
    assert!(matches!(world.issuer.enrol(&late.encode(), &mut rng()), Err(IssuerError::TicketUnknown)));

    world.begin(Round(2), |_| ());
    assert!(!world.issuer.is_over().unwrap());
    world.issuer.freeze(Round(2)).unwrap();
    world.issuer.close_round(Round(2)).unwrap();
    assert!(world.issuer.is_over().unwrap() && !holds(masked));
    assert_eq!((rows(&world, "slots"), rows(&world, "serials WHERE response IS NOT NULL")), (0, 0));
    assert!(matches!(world.issuer.roll_over(&first, &mut rng()), Err(IssuerError::AnswerErased)));
    assert!(matches!(world.issuer.roll_over(&second, &mut rng()), Err(IssuerError::Spent)), "not a second time");
    assert!(matches!(world.issuer.enrol(&enrol, &mut rng()), Err(IssuerError::AnswerErased)));
    assert_eq!(IssuerError::AnswerErased.code(), "answer-erased");
}

/// A store that was cut off while it was made is no store: the next try makes it.
#[test]
fn a_store_that_was_half_made_is_made_again() {
    let homes = tempfile::tempdir().unwrap();
    let home = homes.path().join("home");
    std::fs::create_dir(&home).unwrap();
    for name in ["annona.db.part", "annona.db.part-wal", "annona.db.part-shm"] {
        std::fs::write(home.join(name), "cut off").unwrap();
    }
    use annona_node::store::StoreError;
    assert!(matches!(Store::open(&home, Role::Site), Err(StoreError::Missing { .. })));
    let refused = Store::create_with(&home, Role::Site, |_| Err(StoreError::Full));
    assert!(matches!(refused, Err(StoreError::Full)));
    assert!(matches!(Store::open(&home, Role::Site), Err(StoreError::Missing { .. })), "no half of it");
    drop(Store::create(&home, Role::Site).unwrap());
    Store::open(&home, Role::Site).unwrap().check().unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["annona.db", "lock"]);
}

/// Rows that came in an order lie in the file in another once it is rewritten, on the second medium too; what could not be
/// rewritten is at the next start.
#[test]
fn a_store_is_rewritten_in_the_order_of_keys_with_its_copy() {
    use annona_node::store::prepare_second_medium;
    let homes = tempfile::tempdir().unwrap();
    let (home, medium) = (homes.path().join("home"), homes.path().join("stick"));
    std::fs::create_dir(&medium).unwrap();
    prepare_second_medium(&medium).unwrap();
    drop(Store::create(&home, Role::Site).unwrap());
    let with = || Store::open_with(&home, Role::Site, Some(&medium)).unwrap();
    let store = with();
    // Large rows of one key each, the largest key first; the first pages are the earliest.
    for line in (0..200u32).rev() {
        let job = move |connection: &rusqlite::Connection| {
            connection.execute("INSERT INTO packs VALUES (?1, 1, ?2)", rusqlite::params![line, marker(line)])
        };
        store.write(job).unwrap().unwrap();
    }
    store
        .write(|connection| connection.execute("INSERT OR REPLACE INTO meta VALUES ('compact', 1)", []))
        .unwrap()
        .unwrap();
    drop(store);
    fn marker(line: u32) -> Vec<u8> {
        let mut bytes = vec![0xa7; 900];
        bytes.extend_from_slice(b"marker");
        bytes.extend_from_slice(&line.to_be_bytes());
        bytes
    }
    let order = |path: &std::path::Path| -> Vec<u32> {
        let bytes = std::fs::read(path).unwrap();
        let at = (0..=bytes.len() - 10).filter(|at| &bytes[*at..at + 6] == b"marker");
        at.map(|at| u32::from_be_bytes(bytes[at + 6..at + 10].try_into().unwrap())).collect()
    };
    // How much later a larger key stands: 1 for always, -1 for the other way round.
    let trend = |path: &std::path::Path| {
        let found = order(path);
        assert_eq!(found.len(), 200, "each row once");
        let mean = 99.5;
        let sum = |of: &dyn Fn(f64, f64) -> f64| {
            (0..).zip(&found).map(|(at, line)| of(f64::from(at), f64::from(*line))).sum::<f64>()
        };
        sum(&|at, line| (at - mean) * (line - mean)) / sum(&|at, _| (at - mean) * (at - mean))
    };
    let copy = medium.join("annona-copy.db");
    let came = trend(&copy);
    assert!(came < 0.0, "the order in which they came: {came}");
    drop(with());
    let file = annona_node::store::database(&home);
    assert!(trend(&file) > 0.9 && trend(&copy) > 0.9, "{} {}", trend(&file), trend(&copy));
    let left: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    with().check().unwrap();
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
        Open { site, programme: world.programme(), round: ROUND }
    };
    let (main, other) = (counter("main", 0), counter("other", 1));
    assert!(matches!(main.site.hand_over(), Err(SiteError::NotOpen)));
    for slots in [vec![], vec![Slot(0)], vec![Slot(0), Slot(1)], vec![Slot(2)]] {
        assert!(matches!(main.site.admit_counter(slots), Err(SiteError::SlotTaken)), "its own, or none of the site");
    }
    let admission = main.site.admit_counter(vec![Slot(1)]).unwrap();
    assert!(matches!(main.site.become_counter(&admission), Err(SiteError::NotACounter)), "of other slots");
    assert!(matches!(other.site.become_counter(&admission[1..]), Err(SiteError::HandoverFalse)));
    other.site.become_counter(&admission).unwrap();
    other.site.become_counter(&main.site.admit_counter(vec![Slot(1)]).unwrap()).unwrap();
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

    assert!(matches!(main.site.close_batch(true), Err(SiteError::CounterMissing(_))), "no batch without the counter");
    assert!(matches!(main.site.close_round(), Err(SiteError::CounterMissing(_))));
    let packages = other.site.hand_over().unwrap();
    drop(other);
    let other = counter("other", 1);
    assert_eq!(other.site.hand_over().unwrap(), packages, "until it is handed in, the same again");
    let [(1, package)] = &packages[..] else { panic!("{} packages", packages.len()) };
    let mut damaged = package.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(main.site.take_in(&damaged), Err(SiteError::HandoverFalse)));
    assert!(matches!(main.site.take_in(&admission), Err(SiteError::HandoverOther)));
    assert!(matches!(other.site.take_in(package), Err(SiteError::HandoverOther)));
    let taken = main.site.take_in(package).unwrap();
    assert_eq!((taken.leaves, taken.late, taken.doubled.len()), (accepted.receipts.len() as u64 + 1, false, 0));
    let again = main.site.take_in(package).unwrap();
    assert_eq!((again.leaves, &again.confirmation), (0, &taken.confirmation), "once");
    main.site.close_batch(true).unwrap();
    assert_eq!(main.site.take_in(package).unwrap().leaves, 0, "an old package");
    assert!(matches!(main.site.close_batch(true), Err(SiteError::CounterMissing(_))), "nor the next one");
    assert!(matches!(other.site.end_counter_round(), Err(SiteError::HandoverWaits)));
    assert!(matches!(other.site.handed_in(package), Err(SiteError::HandoverOther)), "the package is no confirmation");
    other.site.handed_in(&taken.confirmation).unwrap();
    other.site.handed_in(&taken.confirmation).unwrap();
    assert_eq!(other.redeem(&second).unwrap().outcome, Outcome::AlreadyAccepted, "the counter still knows its own");
    let last = other.site.hand_over().unwrap();
    let taken = main.site.take_in(&last[0].1).unwrap();
    other.site.handed_in(&taken.confirmation).unwrap();
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
