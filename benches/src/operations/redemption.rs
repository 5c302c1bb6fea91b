//! What happens at a site, and swaps.

use annona_protocol::{
    fixture::{SITE, SLOTTED},
    ids::{LineId, Slot},
    programme::KeyCounts,
    redeem::{BearerVoucher, RedeemRequest, Surrender, VoidRequest},
    secret::SecretScalar,
    signature::PublicKey,
    slip::Place,
    swap::SwapContext,
    voucher::Voucher,
};

use crate::{
    measure::Case,
    world::{self, World, slots},
};

const GROUP: &str = "redeem";

/// A visit with `count` vouchers.
pub fn redeem(world: &'static World, count: usize) -> Vec<Case> {
    let mut rng = world::rng(80);
    let (quote, spare, counter) = (world.quote(), SecretScalar::random(&mut rng), world.counter());
    let vouchers: Vec<&Voucher> = world.vouchers.iter().take(count).collect();
    let request = RedeemRequest::new(&world.view(), &quote, &vouchers, &spare, &mut rng).expect("quoted");
    let shown = quote.clone();
    vec![
        Case::new(
            GROUP,
            format!("request, {count} vouchers"),
            || (),
            move |()| RedeemRequest::new(&world.view(), &quote, &vouchers, &spare, &mut rng).expect("quoted"),
        ),
        Case::new(
            GROUP,
            format!("verify, {count} vouchers"),
            || (),
            move |()| counter.verify(&shown, &request).expect("honest"),
        ),
    ]
}

/// Quotes, sheets, voids, surrenders.
pub fn rest(world: &'static World) -> Vec<Case> {
    let (quote, counter) = (world.quote(), world.counter());
    let (checked, key) = (quote.clone(), PublicKey::of(&world.fixture.site_logs[0]));
    let place = Place::new(&world.view(), SITE);
    let (mut r1, mut r2) = (world::rng(81), world::rng(82));
    let voucher = &world.vouchers[0];
    let bearer = BearerVoucher::new(voucher);
    let void = VoidRequest::new(&world.view(), &place, &[(voucher, 1)], &mut r1).expect("listed");
    let surrender = Surrender::new(&world.view(), voucher, &mut r1).expect("listed");
    let void_counter = world.counter();
    vec![
        Case::new(GROUP, "sign a quote", || (), move |()| world.quote()),
        Case::new(GROUP, "check a quote", || (), move |()| checked.verify(&key).is_ok()),
        Case::new(GROUP, "verify a sheet", || (), move |()| counter.verify_bearer(&quote, &bearer).expect("honest")),
        Case::new(
            GROUP,
            "void one, prove",
            || (),
            move |()| VoidRequest::new(&world.view(), &place, &[(voucher, 1)], &mut r1).expect("listed"),
        ),
        Case::new(GROUP, "void one, verify", || (), move |()| void_counter.verify_void(&void).expect("honest")),
        Case::new(
            GROUP,
            "surrender one",
            || (),
            move |()| Surrender::new(&world.view(), voucher, &mut r2).expect("listed"),
        ),
        Case::new(GROUP, "verify a surrender", || (), move |()| surrender.verify(&world.view()).expect("honest")),
    ]
}

/// A swap of one voucher of the first site for one of the second.
pub fn swap(world: &'static World) -> Vec<Case> {
    const GROUP: &str = "swap";
    let other: KeyCounts = world.fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(LineId(1), 1)]);
    let mut r0 = world::rng(90);
    let keys = other.clone();
    let mut begin = move || {
        let session = world.open(&keys, &mut r0);
        let old = vec![&world.vouchers[0]];
        let slots = slots(&mut r0);
        let (context, request) =
            SwapContext::new(&world.view(), old, keys.clone(), session.offer(), slots, &mut r0).expect("conserved");
        (context, request, session)
    };
    let (_, request, session) = begin();
    let (mut two, mut three) = (begin.clone(), begin);
    let (mut r1, mut r2) = (world::rng(91), world::rng(92));
    vec![
        Case::new(
            GROUP,
            "request, 1 voucher",
            move || (world.open(&other, &mut r1), other.clone(), slots(&mut r1)),
            move |(session, keys, slots)| {
                let old = vec![&world.vouchers[0]];
                SwapContext::new(&world.view(), old, keys, session.offer(), slots, &mut r2).expect("conserved")
            },
        ),
        Case::new(
            GROUP,
            "verify, 1 voucher",
            move || request.clone(),
            move |request| request.verify(&world.view(), &session).expect("honest"),
        ),
        Case::new(
            GROUP,
            "answer, 1 voucher",
            move || {
                let (_, request, session) = two();
                (request.verify(&world.view(), &session).expect("honest"), session)
            },
            |(verified, session)| verified.answer(session).expect("the same session"),
        ),
        Case::new(
            GROUP,
            "finish, 1 voucher",
            move || {
                let (context, request, session) = three();
                let verified = request.verify(&world.view(), &session).expect("honest");
                (context, verified.answer(session).expect("the same session").0)
            },
            |(context, response)| context.finish(&world.view(), &response).expect("honest"),
        ),
    ]
}
