//! Cohort openings: every bound field and every equation (spec 4.5).

use super::{balances, each_fails, forge, mutations, other_point, proof_mutations, rng, shifted, world};
use crate::{
    cohort::{CohortClass, CohortError, CohortSum},
    credential::Parameters,
    draw::AmendContext,
    fixture::{AMEND_LOT, LOT},
    group::{Element, Point, Scalar},
    ids::Round,
    log::leaf::CohortOpening,
    programme::{Header, TicketKind},
    slots::Slots,
    ticket::TicketCode,
};

#[derive(Clone, Debug, PartialEq)]
struct Case {
    opening: CohortOpening,
    total: Point,
    header: Header,
}

impl Case {
    /// Three enrolments, opened over positions 5 to 20.
    fn new() -> Self {
        let (world, mut rng) = (world(), rng(1));
        let class = CohortClass { amend: false, expires: Round(12), drawn: Round(0) };
        let mut sum = CohortSum::new(class, world.programme().schema());
        let mut total = Element::default();
        for attributes in [[4, 1], [7, 0], [2, 2]] {
            let (_, issued) = world.fixture.enrol(LOT, 12, &attributes, &mut rng);
            sum.add(&issued.member);
            total += issued.leaf.b.element() - Point::generator().element() - issued.leaf.commitment.element();
        }
        let opening = sum.open(world.programme(), 5, 20, &mut rng).unwrap();
        Self { opening, total: Point::encode(total).unwrap(), header: world.programme().latest().clone() }
    }

    /// Two amends in round 1. Their `drawn` stays with the wallets: the class alone names it.
    fn amends() -> Self {
        let (world, view, mut rng) = (world(), world().view(), rng(4));
        let class = CohortClass { amend: true, expires: Round(12), drawn: Round(1) };
        let mut sum = CohortSum::new(class, world.programme().schema());
        let mut total = Element::default();
        for code in [1, 2] {
            let code = || TicketCode::from_bytes([code; 10]);
            let grant = world.fixture.grant(AMEND_LOT, TicketKind::Amend, &code(), 12, &[6, 2]);
            let slots = Slots::random(8, &mut rng);
            let (_, request) = AmendContext::new(&view, &world.rolled, code(), slots, &mut rng).unwrap();
            let verified = request.verify(&view, &world.fixture.issuer, &mut rng).unwrap();
            let issued = verified.answer(&view, &world.fixture.issuer, &grant, &mut rng).unwrap();
            sum.add(&issued.member);
            total += issued.leaf.added.element();
        }
        let opening = sum.open(world.programme(), 5, 20, &mut rng).unwrap();
        Self { opening, total: Point::encode(total).unwrap(), header: world.programme().latest().clone() }
    }

    fn passes(&self) -> bool {
        balances(|weights, accumulator| {
            self.opening.accumulate(world().programme(), &self.header, self.total, weights, accumulator)
        })
    }
}

#[test]
fn every_field_of_an_opening_is_bound() {
    let case = Case::new();
    assert_eq!(case.opening.forms.len(), 2, "members, and children under two");
    each_fails(
        &case,
        Case::passes,
        mutations![Case;
            "class, amend" => |case| case.opening.class.amend = true,
            "class, expires" => |case| case.opening.class.expires.0 += 1,
            "class, drawn" => |case| case.opening.class.drawn.0 += 1,
            "from" => |case| case.opening.from -= 1,
            "to" => |case| case.opening.to += 1,
            "count, less" => |case| case.opening.count -= 1,
            "count, more" => |case| case.opening.count += 1,
            "count, below the minimum" => |case| case.opening.count = 1,
            "sum of the first form" => |case| case.opening.forms[0].1 += 1,
            "sum of the last form" => |case| case.opening.forms[1].1 -= 1,
            "sums swapped" => |case| {
                (case.opening.forms[0].1, case.opening.forms[1].1) = (case.opening.forms[1].1, case.opening.forms[0].1)
            },
            "another form" => |case| case.opening.forms[0].0.constant = 1,
            "form missing" => |case| case.opening.forms.pop(),
            "form twice" => |case| case.opening.forms.push(case.opening.forms[1].clone()),
            "first state" => |case| case.opening.states[0] += 1,
            "debit, negative" => |case| case.opening.states[2] = -1,
            "last state, a spare" => |case| case.opening.states[4] = 1,
            "state missing" => |case| case.opening.states.pop(),
            "state more" => |case| case.opening.states.push(0),
            "total" => |case| case.total = shifted(case.total),
            "manifest" => |case| case.header.agency.push('!'),
            "W" => |case| case.header.issuer_key = other_point(),
        ],
    );
    each_fails(&case, Case::passes, proof_mutations(&case.opening.proof, |case: &mut Case| &mut case.opening.proof));
    let (programme, w) = (world().programme(), case.header.issuer_key);
    let parameters = programme.parameters();
    let generators: Vec<_> = (0..=parameters.arity()).map(|at| *parameters.h(at)).collect();
    let mut id = programme.id();
    id.0[5] ^= 1;
    let verdicts = [
        ("honest", programme.tampered(programme.id(), w, parameters.clone()), true),
        ("programme", programme.tampered(id, w, parameters.clone()), false),
        ("schema", programme.tampered(programme.id(), w, Parameters::from_raw([0; 32], generators)), false),
    ];
    for (name, programme, expected) in verdicts {
        let accepted = balances(|weights, accumulator| {
            case.opening.accumulate(&programme, &case.header, case.total, weights, accumulator)
        });
        assert_eq!(accepted, expected, "{name}");
    }
}

#[test]
fn the_class_of_amends_is_bound() {
    each_fails(
        &Case::amends(),
        Case::passes,
        mutations![Case;
            "amend" => |case| case.opening.class.amend = false,
            "drawn" => |case| case.opening.class.drawn.0 += 1,
            "expires" => |case| case.opening.class.expires.0 += 1,
        ],
    );
}

/// An issuer that opens a sum to what it is not, with Fiat-Shamir redone: to hide what it granted, or to invent members.
#[test]
fn every_equation_of_an_opening_counts() {
    let (world, honest) = (world(), Case::new());
    // `rho` is the sum of three secrets of the issuer; the dishonest issuer knows it, and opens all of it.
    let mut rng = rng(2);
    let class = honest.opening.class;
    let mut sum = CohortSum::new(class, world.programme().schema());
    let mut total = Element::default();
    for _ in 0..3 {
        let (_, issued) = world.fixture.enrol(LOT, 12, &[5, 1], &mut rng);
        sum.add(&issued.member);
        total += issued.leaf.b.element() - Point::generator().element() - issued.leaf.commitment.element();
    }
    let opening = sum.open(world.programme(), 0, 9, &mut rng).unwrap();
    let total = Point::encode(total).unwrap();
    let (_, rho, _) = sum.expose();
    let witness = [*rho.expose(), Scalar::from(15u64), Scalar::from(3u64)];
    type Forgery = (&'static str, fn(&mut CohortOpening), [bool; 3]);
    let forgeries: [Forgery; 6] = [
        ("honest", |_| {}, [true; 3]),
        ("a member more", |opening| opening.count += 1, [false, true, true]),
        ("a balance", |opening| opening.states[0] += 8, [false, true, true]),
        ("another expiry", |opening| opening.class.expires.0 += 1, [false, true, true]),
        ("fewer members of households", |opening| opening.forms[0].1 -= 1, [true, false, true]),
        ("fewer children", |opening| opening.forms[1].1 -= 1, [true, true, false]),
    ];
    for (name, tamper, expected) in forgeries {
        let mut opening = opening.clone();
        tamper(&mut opening);
        // Forms are in ascending order of their terms; which sum is whose follows from the manifest.
        let relation = opening.relation(world.programme(), world.programme().latest(), total).unwrap();
        let transcript = opening.transcript(world.programme(), world.programme().latest(), &total);
        let (proof, holds) = forge(&relation, &witness, &transcript);
        opening.proof = proof;
        assert_eq!(holds, expected, "{name}");
        let case = Case { opening, total, header: world.programme().latest().clone() };
        assert_eq!(case.passes(), !expected.contains(&false), "{name}");
    }
}

/// A cohort of one would be a household.
#[test]
fn a_small_cohort_is_not_opened() {
    let (world, mut rng) = (world(), rng(3));
    let class = CohortClass { amend: false, expires: Round(12), drawn: Round(0) };
    let mut sum = CohortSum::new(class, world.programme().schema());
    for expected in [Err(CohortError::TooSmall), Err(CohortError::TooSmall), Ok(())] {
        assert_eq!(sum.open(world.programme(), 0, 9, &mut rng).map(drop), expected);
        sum.add(&world.fixture.enrol(LOT, 12, &[4, 1], &mut rng).1.member);
    }
}

/// A store gives the sum back, or refuses it if it is another programme's.
#[test]
fn a_stored_sum_opens_as_it_would_have() {
    let (world, mut rng) = (world(), rng(5));
    let class = CohortClass { amend: false, expires: Round(12), drawn: Round(0) };
    let schema = world.programme().schema();
    let mut sum = CohortSum::new(class, schema);
    for _ in 0..2 {
        sum.add(&world.fixture.enrol(LOT, 12, &[4, 1], &mut rng).1.member);
    }
    let (count, rho, values) = sum.expose();
    let restored = CohortSum::restore(class, count, &rho, values, schema).unwrap();
    let (count_again, rho_again, values_again) = restored.expose();
    assert_eq!((count_again, rho_again.expose(), values_again), (2, rho.expose(), values));
    let [first, second] = [&sum, &restored].map(|sum| sum.open(world.programme(), 5, 20, &mut rng).unwrap());
    assert_eq!((first.count, first.forms, first.states), (second.count, second.forms, second.states));
    let cut = CohortSum::restore(class, count, &rho, &values[1..], schema);
    assert!(matches!(cut, Err(CohortError::Stored)));
}
