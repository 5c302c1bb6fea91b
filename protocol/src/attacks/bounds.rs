//! Overflow and time: counts and units that would wrap, negative balances, expiry, rounds out of order (spec 6.4).

use super::{balances, draw_request, forger::Forger, key_at, mint, open, quote, rng, world};
use crate::{
    credential::{Binding, Credential, ShowError},
    draw::{AmendContext, DrawContext, DrawError, DrawRequest, RollOverContext, SessionRequest},
    fixture::{AMEND_LOT, CASH, FOOD, Fixture, INFANT, LOT, SITE, next_version, round_keys, sign_header},
    group::Scalar,
    ids::{Digest, KeyIndex, LineId, Round, SessionId, TicketHash},
    programme::{
        Carry, Form, Header, InForce, KeyCounts, KeyListError, MAX_VOUCHERS, Programme, Since, TicketKind,
        statement::{Statement, amended_values, starting_values},
    },
    redeem::{Counter, RedeemRequest},
    registry::operation,
    slip::RefusalCode,
    slots::Slots,
    ticket::TicketCode,
    voucher::Voucher,
};

fn slots() -> Slots {
    Slots::random(64, &mut rng(1))
}

/// A fixture whose genesis was changed before it was signed.
fn altered(change: impl Fn(&mut Header)) -> Fixture {
    let mut fixture = Fixture::new(&mut rng(77));
    let mut genesis = fixture.chain[0].header.clone();
    change(&mut genesis);
    let keys: Vec<_> =
        (1..).zip(&fixture.masters).flat_map(|(round, master)| round_keys(&genesis, master, Round(round))).collect();
    let next = next_version(&genesis, &keys);
    fixture.chain = vec![sign_header(genesis, &fixture.officers), sign_header(next, &fixture.officers)];
    fixture.programme = Programme::new(&fixture.chain, keys).unwrap();
    for round in 1..=3 {
        fixture.programme.open_round(Round(round), fixture.chain[1].header.hash()).unwrap();
    }
    fixture
}

/// Counts that would overflow a sum, a list or a machine: refused at each entry before anything is allocated for them.
#[test]
fn counts_do_not_wrap() {
    let (world, view) = (world(), world().view());
    let one = key_at(&world.fixture, FOOD, 1, 1, SITE, None);
    let (two, next) = (KeyIndex(one.0 + 1), key_at(&world.fixture, FOOD, 1, 2, SITE, None));
    let shape = Err(KeyListError::Shape);
    let lists: Vec<(KeyCounts, Result<(), KeyListError>)> = vec![
        (vec![(one, 128)], Ok(())),
        (vec![(one, 64), (two, 64)], Ok(())),
        (vec![(one, 129)], shape),
        (vec![(one, 64), (two, 65)], shape),
        (vec![(one, u32::MAX)], shape),
        (vec![(one, u32::MAX), (two, 1)], shape),
        (vec![(one, u32::MAX), (two, u32::MAX), (next, 2)], shape),
        (vec![(one, 0)], shape),
        (vec![(one, 1), (one, 1)], shape),
        (vec![(two, 1), (one, 1)], shape),
        (vec![(one, 1), (next, 1)], Err(KeyListError::Round)),
        (vec![(KeyIndex(u32::MAX), 1)], Err(KeyListError::Unknown)),
        (vec![(KeyIndex(view.header.key_count), 1)], Err(KeyListError::Unknown)),
    ];
    let honest = world.fixture.keys(1, &[(FOOD, 1)]);
    let (_, request, session) = draw_request(&world.fixture, 1, &world.rolled, &honest);
    let rolled = &world.rolled;
    for (keys, expected) in lists {
        assert_eq!(view.units(&keys).map(drop), expected, "{keys:?}");
        let open = SessionRequest { round: Round(1), keys: keys.clone() };
        let opened = world.fixture.secrets(1).open(&view, &open, &mut rng(1)).map(drop);
        assert_eq!(opened, expected.map_err(DrawError::Keys), "{keys:?}");
        let Err(error) = expected else { continue };
        let prepared = DrawContext::new(&view, rolled, keys.clone(), session.offer(), slots(), &mut rng(1)).map(drop);
        assert_eq!(prepared, Err(DrawError::Keys(error)), "{keys:?}");
        let sent = DrawRequest { keys: keys.clone(), ..request.clone() };
        let verified = sent.verify(&view, &world.fixture.issuer, Some(&session), &mut rng(1)).map(drop);
        assert_eq!(verified, Err(DrawError::Keys(error)), "{keys:?}");
        let mut leaf = world.draw.clone();
        leaf.keys = keys.clone();
        assert!(!balances(|w, a| crate::draw::accumulate_draw(&view, &leaf, w, a)));
        let mut leaf = world.swap.clone();
        leaf.new = keys;
        assert!(!balances(|w, a| crate::swap::accumulate_swap(&view, &leaf, w, a)));
    }
}

/// Units at the width, and values whose sum leaves 32 or 64 bits.
#[test]
fn units_do_not_wrap() {
    let fixture = altered(|header| header.lines[0].values = vec![1, 512, 65_535, u32::MAX]);
    let view = fixture.view(1);
    let at = |value| key_at(&fixture, FOOD, value, 1, SITE, None);
    let lists = [
        (vec![(at(512), 127)], true),
        (vec![(at(65_535), 1)], true),
        (vec![(at(512), 128)], false),
        (vec![(at(1), 1), (at(65_535), 1)], false),
        (vec![(at(u32::MAX), 1)], false),
        (vec![(at(1), 1), (at(u32::MAX), 1)], false),
        (vec![(at(u32::MAX), 128)], false),
    ];
    let mut rng = rng(1);
    let (credential, _) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
    let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
    for (keys, within) in lists {
        assert_eq!(view.units(&keys).map(drop), if within { Ok(()) } else { Err(KeyListError::Units) }, "{keys:?}");
        if within {
            // Below the width, but not covered: four members draw four.
            let session = open(&fixture, 1, &keys);
            let context = DrawContext::new(&view, &credential, keys, session.offer(), slots(), &mut rng);
            assert_eq!(context.map(drop), Err(DrawError::Show(ShowError::Uncovered)));
        }
    }
    // A visit sums up to 128 values of 32 bits each.
    let vouchers = mint(&fixture, at(u32::MAX), MAX_VOUCHERS, 1);
    let counter = Counter::new(view, crate::slip::Place::new(&view, SITE), Vec::new());
    let quote = quote(&fixture, 1, SITE);
    let shown: Vec<&Voucher> = vouchers.iter().collect();
    let spare = super::holder_secret(1);
    let request = RedeemRequest::new(&view, &quote, &shown, &spare, &mut rng).unwrap();
    let visit = counter.verify(&quote, &request).unwrap();
    assert_eq!(visit.units()[&FOOD].0, u64::from(u32::MAX) * 128);
    // One more voucher than a visit takes.
    let more = mint(&fixture, at(1), 1, 2);
    let shown: Vec<&Voucher> = vouchers.iter().chain(&more).collect();
    assert!(RedeemRequest::new(&view, &quote, &shown, &spare, &mut rng).is_err());
    let mut request = request;
    request.vouchers.push(*more[0].shown());
    assert_eq!(counter.verify(&quote, &request).map(drop).unwrap_err().code, RefusalCode::Malformed);
}

fn binding(operation: u8, keys: &[(KeyIndex, u32)]) -> Binding<'_> {
    let (nothing, ticket) = (Digest([0; 32]), TicketHash([0; 32]));
    Binding { operation, session: SessionId([0; 16]), keys, challenges: nothing, ticket, slots: nothing }
}

/// Whether a wallet that checks nothing gets this show past the issuer, in any way it has: proving another value in range,
/// or committing to the true one.
fn forged(view: InForce<'_>, credential: &Credential, statement: &Statement, operation: u8) -> bool {
    let attempt = |draft: &Forger<'_>| {
        let show = draft.show(Scalar::ZERO);
        show.verify(&view, statement, &binding(operation, &[]), &world().fixture.issuer, &mut rng(1)).is_ok()
    };
    let mut draft = Forger::new(view, credential, statement, binding(operation, &[]), 1);
    let clamped = attempt(&draft);
    let values = draft.values.clone();
    draft.commitments = Some(values.iter().enumerate().map(|(at, value)| draft.commit(at, *value)).collect());
    clamped || attempt(&draft)
}

/// Rounds out of order: an expired credential, a second roll-over, a draw before the roll-over, a draw in a round that is over.
#[test]
fn rounds_out_of_order() {
    let world = world();
    let (first, second, mut rng) = (world.view(), world.fixture.view(2), rng(2));
    let (short, _) = world.fixture.enrol(LOT, 1, &[4, 1], &mut rng);
    let (short, _) = world.fixture.roll_over(1, &short, &mut rng);
    let (next, _) = world.fixture.roll_over(2, &world.rolled, &mut rng);
    let roll_over = |view: &InForce<'_>, credential: &Credential| {
        let context = RollOverContext::new(view, credential, slots(), &mut super::rng(1)).map(drop);
        (context.is_ok(), forged(*view, credential, &Statement::roll_over(view), operation::ROLL_OVER))
    };
    let draw = |view: &InForce<'_>, credential: &Credential| {
        let context = DrawContext::refresh(view, credential, slots(), &mut super::rng(1)).map(drop);
        let statement = Statement::draw(view, &Default::default()).unwrap();
        (context.is_ok(), forged(*view, credential, &statement, operation::DRAW))
    };
    let amend = |view: &InForce<'_>, credential: &Credential| {
        let context =
            AmendContext::new(view, credential, TicketCode::from_bytes([1; 10]), slots(), &mut super::rng(1)).map(drop);
        (context.is_ok(), forged(*view, credential, &Statement::amend(view), operation::AMEND))
    };
    let (allowed, refused) = ((true, true), (false, false));
    assert_eq!(roll_over(&first, &world.fresh), allowed);
    assert_eq!(roll_over(&second, &world.fresh), allowed, "a missed round");
    assert_eq!(roll_over(&first, &world.rolled), refused, "twice");
    assert_eq!(roll_over(&first, &next), refused, "back");
    assert_eq!(roll_over(&second, &short), refused, "expired");
    for show in [&draw as &dyn Fn(&InForce<'_>, &Credential) -> (bool, bool), &amend] {
        assert_eq!(show(&first, &world.rolled), allowed);
        assert_eq!(show(&first, &world.fresh), refused, "before the roll-over");
        assert_eq!(show(&second, &world.rolled), refused, "before the roll-over into this round");
        assert_eq!(show(&first, &next), refused, "in a round that is over");
        assert_eq!(show(&second, &short), refused, "expired, and not rolled over");
        assert_eq!(show(&first, &short), allowed, "in its last round");
    }
}

/// Exactly what there is, and one unit more, line by line: before and after a first draw.
#[test]
fn one_unit_too_many() {
    let (world, view, mut rng) = (world(), world().view(), rng(3));
    let covered = |credential: &Credential, line: LineId, units: u64| {
        let keys = world.fixture.keys(1, &[(line, units)]);
        let statement = Statement::draw(&view, &view.units(&keys).unwrap()).unwrap();
        let session = open(&world.fixture, 1, &keys);
        let context = DrawContext::new(&view, credential, keys, session.offer(), slots(), &mut super::rng(1)).map(drop);
        let forged = forged(view, credential, &statement, operation::DRAW);
        assert_eq!(context, if forged { Ok(()) } else { Err(DrawError::Show(ShowError::Uncovered)) });
        forged
    };
    for (line, units) in [(FOOD, 4), (INFANT, 1), (CASH, 34)] {
        assert!(covered(&world.rolled, line, units) && !covered(&world.rolled, line, units + 1));
        let (rest, _, _) = world.fixture.draw(1, &world.rolled, world.fixture.keys(1, &[(line, units - 1)]), &mut rng);
        assert!(covered(&rest, line, 1) && !covered(&rest, line, 2));
    }
    // The predicate of a line: no child under two, no infant ration, whatever the balance says.
    let (none, _) = world.fixture.enrol(LOT, 12, &[4, 0], &mut rng);
    let (mut none, _) = world.fixture.roll_over(1, &none, &mut rng);
    assert!(!covered(&none, INFANT, 1));
    let parameters = world.programme().parameters();
    let infant = world.programme().schema().state(1);
    none.values[usize::from(infant) - 2] = 1;
    none.b = crate::group::Point::encode(none.b.element() + parameters.h(infant).element()).unwrap();
    let issued = crate::credential::IssuedCommitment::sign(&world.fixture.issuer, none.b).unwrap();
    (none.a, none.e) = (issued.a, crate::secret::SecretScalar::new(issued.e));
    assert!(!covered(&none, INFANT, 1), "with a balance that it should not have");
    assert!(covered(&none, FOOD, 4));
}

/// A household that shrinks has a negative debit: it keeps what had accrued and was not drawn, to the unit, and no more.
#[test]
fn negative_debits_do_not_wrap() {
    let (world, view, mut rng) = (world(), world().view(), rng(4));
    let debit = world.programme().schema().state(2);
    // E(15 members, 1) = 100; E(1, 1) = 16.
    for (drawn, left) in [(0, 100), (40, 60), (100, 0)] {
        let (credential, _) = world.fixture.enrol(LOT, 12, &[15, 0], &mut rng);
        let (mut credential, _) = world.fixture.roll_over(1, &credential, &mut rng);
        if drawn > 0 {
            credential = world.fixture.draw(1, &credential, world.fixture.keys(1, &[(CASH, drawn)]), &mut rng).0;
        }
        let code = TicketCode::random(&mut rng);
        let grant = world.fixture.grant(AMEND_LOT, TicketKind::Amend, &code, 12, &[1, 0]);
        let (context, request) = AmendContext::new(&view, &credential, code, slots(), &mut rng).unwrap();
        let verified = request.verify(&view, &world.fixture.issuer, &mut rng).unwrap();
        let issued = verified.answer(&view, &world.fixture.issuer, &grant, &mut rng).unwrap();
        let credential = context.finish(&view, &issued.response, &mut rng).unwrap();
        assert_eq!(credential.value(debit), Some(16 - left));
        let statement = |units| {
            let keys = world.fixture.keys(1, &[(CASH, units)]);
            Statement::draw(&view, &view.units(&keys).unwrap()).unwrap()
        };
        if left > 0 {
            let all = world.fixture.keys(1, &[(CASH, left as u64)]);
            let (after, _, _) = world.fixture.draw(1, &credential, all, &mut rng);
            assert_eq!(after.value(debit), Some(16));
            assert!(!forged(view, &after, &statement(1), operation::DRAW));
        }
        assert!(!forged(view, &credential, &statement(left as u64 + 1), operation::DRAW));
    }
}

/// The widest programme that validation admits: every form of every statement stays below 2^100 in absolute value, so that no
/// sum wraps around the group order; and what cannot be represented is refused.
#[test]
fn affine_forms_stay_small() {
    let extreme = |width: u8, accrual: i64| {
        move |header: &mut Header| {
            let limit = (1u64 << width) - 1;
            header.schema.width = width;
            header.schema.attributes.iter_mut().for_each(|attribute| attribute.max = limit);
            for line in &mut header.lines {
                line.predicates.clear();
                let per_round = if line.carry == Carry::Carry { accrual / 12 } else { accrual };
                line.accrual = vec![Since { round: Round(1), value: Form { constant: per_round, terms: Vec::new() } }];
            }
            // A predicate of the most negative kind.
            let lowest = Form { constant: -(limit as i64), terms: vec![(0, -(limit as i64)), (1, -(limit as i64))] };
            header.lines[0].predicates = vec![Since { round: Round(1), value: vec![lowest] }];
            header.lots.retain(|lot| lot.id != crate::fixture::LATE_LOT);
        }
    };
    let fixture = altered(extreme(32, u32::MAX.into()));
    let (view, limit) = (fixture.view(3), 1i128 << 32);
    let units = [FOOD, INFANT, CASH].map(|line| (line, crate::ids::Units(u32::MAX.into()))).into_iter().collect();
    let statements = [Statement::roll_over(&view), Statement::draw(&view, &units).unwrap(), Statement::amend(&view)];
    let count = usize::from(view.header.schema.arity()) - 1;
    let mut largest = 0;
    for statement in &statements {
        for form in statement.update.iter().chain(&statement.nonnegative) {
            // The corner of the cube |m_i| < 2^w in which the form is largest, and the opposite one.
            for sign in [1i64, -1] {
                let mut corner = vec![0i64; count];
                for (at, coefficient) in form.terms() {
                    let direction = if *coefficient > 0 { sign } else { -sign };
                    corner[usize::from(*at) - 2] = direction * (limit - 1) as i64;
                }
                largest = form.evaluate(&corner).abs().max(largest);
            }
        }
    }
    assert!((1 << 64..1 << 100).contains(&largest), "{largest:#x}");

    // Beyond the width by one: an accrual, a sum of accruals, an attribute, an expiry.
    let refused = |change: &dyn Fn(&mut Header)| {
        let mut header = world().fixture.chain[0].header.clone();
        assert_eq!(header.validate(), Ok(()));
        change(&mut header);
        header.validate().is_err()
    };
    let form = |constant| Form { constant, terms: Vec::new() };
    assert!(!refused(&|header| header.lines[0].accrual[0].value = form(65_535)));
    assert!(refused(&|header| header.lines[0].accrual[0].value = form(65_536)));
    assert!(!refused(&|header| header.lines[2].accrual[0].value = form(5_400)));
    assert!(refused(&|header| header.lines[2].accrual[0].value = form(5_462)), "12 rounds of it");
    assert!(refused(&|header| header.lines[0].accrual[0].value = form(-1)));
    assert!(refused(&|header| header.lines[0].accrual[0].value = form(i64::MIN)));
    assert!(refused(&|header| header.lines[0].accrual[0].value = form(i64::MAX)));
    assert!(refused(&|header| header.lines[0].accrual[0].value.terms[0].1 = i64::MAX));
    assert!(refused(&|header| header.schema.attributes[0].max = u64::MAX));
    assert!(refused(&|header| header.last_round = Round(u32::MAX)));
    let header = world().programme().latest();
    let start = &header.lot(LOT).unwrap().start;
    assert!(starting_values(header, start, Round(65_535), &[4, 1]).is_some());
    assert!(starting_values(header, start, Round(65_536), &[4, 1]).is_none());
    assert!(starting_values(header, start, Round(u32::MAX), &[4, 1]).is_none());
    assert!(starting_values(header, start, Round(12), &[u64::MAX, 1]).is_none());
    assert!(amended_values(&world().view(), Round(65_536), &[4, 1]).is_none());
}
