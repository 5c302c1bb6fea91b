//! Enrol, roll over, draw, amend, open a cohort.

use annona_protocol::{
    cohort::{CohortClass, CohortSum},
    draw::{AmendContext, DrawContext, RollOverContext},
    enrol::{EnrolContext, TicketGrant},
    fixture::{AMEND_LOT, LOT},
    group::Accumulator,
    hazmat,
    ids::Round,
    log::leaf::EnrolLeaf,
    programme::TicketKind,
    secret::Weights,
    ticket::TicketCode,
};

use super::copy;
use crate::{
    measure::Case,
    world::{self, ATTRIBUTES, EXPIRES, World, slots},
};

const CODE: [u8; 10] = [5; 10];

fn grant(world: &World, kind: TicketKind) -> TicketGrant {
    let lot = if kind == TicketKind::Amend { AMEND_LOT } else { LOT };
    world.fixture.grant(lot, kind, &TicketCode::from_bytes(CODE), EXPIRES, &ATTRIBUTES)
}

/// Enrolment, step by step.
pub fn enrol(world: &'static World) -> Vec<Case> {
    const GROUP: &str = "enrol";
    let programme = &world.fixture.programme;
    let (mut r0, mut r1, mut r2, mut r3, mut r4) =
        (world::rng(20), world::rng(21), world::rng(22), world::rng(23), world::rng(24));
    let request = move || {
        let slots = slots(&mut r0);
        EnrolContext::new(programme, TicketKind::Enrol, TicketCode::from_bytes(CODE), slots, &mut r0)
            .expect("well formed")
    };
    let (mut one, mut two, mut three) = (request.clone(), request.clone(), request);
    let grant = grant(world, TicketKind::Enrol);
    let (granted, mut r5, mut r6) = (grant.clone(), world::rng(25), world::rng(26));
    let mut r7 = world::rng(27);
    vec![
        Case::new(
            GROUP,
            "request",
            move || (TicketCode::from_bytes(CODE), slots(&mut r1)),
            move |(code, slots)| EnrolContext::new(programme, TicketKind::Enrol, code, slots, &mut r2),
        ),
        Case::new(GROUP, "verify", move || one().1, move |request| request.verify(programme, &mut r3).expect("honest")),
        Case::new(
            GROUP,
            "issue",
            move || two().1.verify(programme, &mut r4).expect("honest"),
            move |verified| verified.issue(programme, &world.fixture.issuer, &grant, &mut r5).expect("fits"),
        ),
        Case::new(
            GROUP,
            "finish",
            move || {
                let (context, request) = three();
                let verified = request.verify(programme, &mut r6).expect("honest");
                let issued = verified.issue(programme, &world.fixture.issuer, &granted, &mut r6).expect("fits");
                (context, issued.response)
            },
            move |(context, response)| context.finish(programme, &response, &mut r7).expect("honest"),
        ),
    ]
}

/// Roll-over, step by step.
pub fn roll_over(world: &'static World) -> Vec<Case> {
    const GROUP: &str = "roll over";
    let issuer = &world.fixture.issuer;
    let mut rng = world::rng(30);
    let (context, request) =
        RollOverContext::new(&world.view(), &world.enrolled, slots(&mut rng), &mut rng).expect("may roll over");
    let (again, verified) = (request.clone(), request.clone());
    let response = request.clone().verify(&world.view(), issuer, &mut rng).expect("honest");
    let response = response.answer(issuer, &mut rng).expect("not degenerate").0;
    let (mut r1, mut r2, mut r3, mut r4, mut r5) =
        (world::rng(31), world::rng(32), world::rng(33), world::rng(34), world::rng(35));
    let mut r6 = world::rng(36);
    vec![
        Case::new(
            GROUP,
            "prove",
            move || slots(&mut r1),
            move |slots| RollOverContext::new(&world.view(), &world.enrolled, slots, &mut r2).expect("may roll over"),
        ),
        Case::new(
            GROUP,
            "verify",
            move || again.clone(),
            move |request| request.verify(&world.view(), issuer, &mut r3).expect("honest"),
        ),
        Case::new(
            GROUP,
            "answer",
            move || verified.clone().verify(&world.view(), issuer, &mut r4).expect("honest"),
            move |verified| verified.answer(issuer, &mut r5).expect("not degenerate"),
        ),
        Case::new(
            GROUP,
            "finish",
            move || (copy(&context), response.clone()),
            move |(context, response)| context.finish(&world.view(), &response, &mut r6).expect("honest"),
        ),
    ]
}

fn name(world: &World, values: u16, step: &str) -> String {
    format!("{step}, {values} x {} bits", world.width)
}

/// A whole draw request: the show, and one voucher blinded for each value.
pub fn draw_prove(world: &'static World, values: u16) -> Case {
    let (mut r1, mut r2, keys) = (world::rng(40), world::rng(41), world.keys(values));
    Case::new(
        "draw",
        name(world, values, &format!("prove with {values} vouchers")),
        move || (world.open(&keys, &mut r1), keys.clone(), slots(&mut r1)),
        move |(session, keys, slots)| {
            DrawContext::new(&world.view(), &world.credential, keys, session.offer(), slots, &mut r2).expect("covered")
        },
    )
}

/// The show of a draw alone: all that the range-proven values and the credential cost.
pub fn draw_show(world: &'static World, values: u16) -> Case {
    let (keys, mut rng) = (world.keys(values), world::rng(42));
    Case::new(
        "draw",
        name(world, values, "prove, show alone"),
        || (),
        move |()| hazmat::show_draw(&world.view(), &world.credential, &keys, &mut rng).expect("covered"),
    )
}

/// The issuer's verification of a whole draw request.
pub fn draw_verify(world: &'static World, values: u16) -> Case {
    let (mut rng, mut weights, keys) = (world::rng(43), world::rng(44), world.keys(values));
    let session = world.open(&keys, &mut rng);
    let slots = slots(&mut rng);
    let (_, request) =
        DrawContext::new(&world.view(), &world.credential, keys, session.offer(), slots, &mut rng).expect("covered");
    Case::new(
        "draw",
        name(world, values, "verify"),
        move || request.clone(),
        move |request| {
            let issuer = &world.fixture.issuer;
            request.verify(&world.view(), issuer, Some(&session), &mut weights).expect("honest")
        },
    )
}

/// Draw, step by step, with one voucher for each value.
pub fn draw(world: &'static World, values: u16) -> Vec<Case> {
    const GROUP: &str = "draw";
    let issuer = &world.fixture.issuer;
    let keys = world.keys(values);
    let mut r0 = world::rng(45);
    let mut begin = move || {
        let session = world.open(&keys, &mut r0);
        let slots = slots(&mut r0);
        let (context, request) =
            DrawContext::new(&world.view(), &world.credential, keys.clone(), session.offer(), slots, &mut r0)
                .expect("covered");
        let verified = request.verify(&world.view(), issuer, Some(&session), &mut r0).expect("honest");
        (context, verified, session)
    };
    let (context, verified, session) = begin();
    let mut r1 = world::rng(46);
    let response = verified.answer(issuer, Some(session), &mut r1).expect("not degenerate").0;
    let mut r2 = world::rng(47);
    vec![
        draw_show(world, values),
        draw_prove(world, values),
        draw_verify(world, values),
        Case::new(
            GROUP,
            name(world, values, "answer"),
            move || {
                let (_, verified, session) = begin();
                (verified, session)
            },
            move |(verified, session)| verified.answer(issuer, Some(session), &mut r1).expect("not degenerate"),
        ),
        Case::new(
            GROUP,
            name(world, values, "finish"),
            move || (copy(&context), response.clone()),
            move |(context, response)| context.finish(&world.view(), &response, &mut r2).expect("honest"),
        ),
    ]
}

/// Amend, step by step.
pub fn amend(world: &'static World) -> Vec<Case> {
    const GROUP: &str = "amend";
    let issuer = &world.fixture.issuer;
    let grant = grant(world, TicketKind::Amend);
    let mut r0 = world::rng(50);
    let (context, request) =
        AmendContext::new(&world.view(), &world.credential, TicketCode::from_bytes(CODE), slots(&mut r0), &mut r0)
            .expect("rolled over");
    let (one, two) = (copy(&request), copy(&request));
    let verified = request.verify(&world.view(), issuer, &mut r0).expect("honest");
    let response = verified.answer(&world.view(), issuer, &grant, &mut r0).expect("fits").response;
    let (mut r1, mut r2, mut r3, mut r4, mut r5) =
        (world::rng(51), world::rng(52), world::rng(53), world::rng(54), world::rng(55));
    vec![
        Case::new(
            GROUP,
            "prove",
            move || (TicketCode::from_bytes(CODE), slots(&mut r1)),
            move |(code, slots)| {
                AmendContext::new(&world.view(), &world.credential, code, slots, &mut r2).expect("rolled over")
            },
        ),
        Case::new(
            GROUP,
            "verify",
            move || copy(&one),
            move |request| request.verify(&world.view(), issuer, &mut r3).expect("honest"),
        ),
        Case::new(
            GROUP,
            "answer",
            move || copy(&two).verify(&world.view(), issuer, &mut r4).expect("honest"),
            move |verified| verified.answer(&world.view(), issuer, &grant, &mut r5).expect("fits"),
        ),
        Case::new(
            GROUP,
            "finish",
            move || (copy(&context), response.clone()),
            move |(context, response)| context.finish(&world.view(), &response, &mut r0).expect("honest"),
        ),
    ]
}

/// Opening the sum of a cohort, and verifying the opening with the sum over its members' leaves.
pub fn cohort(world: &'static World, members: usize) -> Vec<Case> {
    const GROUP: &str = "cohort";
    let mut rng = world::rng(60);
    let programme = &world.fixture.programme;
    let class = CohortClass { amend: false, expires: Round(EXPIRES), drawn: Round(0) };
    let mut sum = CohortSum::new(class, programme.schema());
    let leaves: Vec<EnrolLeaf> = (0..members)
        .map(|_| {
            let (_, issued) = world.fixture.enrol(LOT, EXPIRES, &ATTRIBUTES, &mut rng);
            sum.add(&issued.member);
            issued.leaf
        })
        .collect();
    let opening = sum.open(programme, 0, members as u64, &mut rng).expect("large enough");
    let mut weights = world::rng(61);
    vec![
        Case::new(
            GROUP,
            format!("open, {members} members"),
            || (),
            move |()| sum.open(programme, 0, members as u64, &mut rng).expect("large enough"),
        ),
        Case::new(
            GROUP,
            format!("verify, {members} members"),
            || (),
            move |()| {
                let (mut weights, mut accumulator) = (Weights::new(&mut weights), Accumulator::new());
                hazmat::accumulate_opening(programme, &opening, &leaves, &mut weights, &mut accumulator)
                    .expect("honest");
                accumulator.verify().expect("honest");
            },
        ),
    ]
}

/// Range proofs alone, beside the crate's own among the libraries.
pub fn range(width: usize, count: usize) -> Vec<Case> {
    const GROUP: &str = "range proof";
    let (mut r1, mut r2) = (world::rng(65), world::rng(66));
    let values = vec![3; count];
    let (proof, commitments) = hazmat::prove_range(width, &values, &mut r1).expect("in range");
    vec![
        Case::new(
            GROUP,
            format!("prove, {count} x {width} bits"),
            || (),
            move |()| hazmat::prove_range(width, &values, &mut r1).expect("in range"),
        ),
        Case::new(
            GROUP,
            format!("verify, {count} x {width} bits"),
            || (),
            move |()| {
                let (mut weights, mut accumulator) = (Weights::new(&mut r2), Accumulator::new());
                hazmat::accumulate_range(width, &commitments, &proof, &mut weights, &mut accumulator).expect("honest");
                accumulator.verify().expect("honest");
            },
        ),
    ]
}
