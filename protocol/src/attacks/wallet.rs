//! What a wallet refuses of its issuer: tags, other keys, touched answers, wrong signatures (spec 4.2, 4.4, 5.2; property P6).

use super::{draw_request, rng, shifted, world};
use crate::{
    credential::{Binding, IssueProof, IssuedCommitment, IssuerKey, Refresh, ShowError, Shown},
    draw::{AmendContext, DrawError, DrawResponse},
    enrol::{EnrolContext, EnrolError, EnrolResponse, answer_transcript},
    fixture::{AMEND_LOT, FOOD, LATE_LOT, LOT},
    group::{Element, Point, PublicScalar, Scalar},
    ids::{Digest, LotId, Round, TicketHash},
    log::leaf::EnrolLeaf,
    programme::{TicketKind, statement::Statement},
    registry::operation,
    slots::Slots,
    ticket::TicketCode,
    voucher::{Answer, answers_digest, challenges_digest},
    wire::Message,
};

/// An enrolment up to the issuer's answer, with what a dishonest issuer knows.
fn enrolment(seed: u64) -> (EnrolContext, EnrolResponse, EnrolLeaf) {
    let (world, mut rng) = (world(), rng(seed));
    let code = TicketCode::random(&mut rng);
    let grant = world.fixture.grant(LOT, TicketKind::Enrol, &code, 12, &[4, 1]);
    let slots = Slots::random(64, &mut rng);
    let (context, request) = EnrolContext::new(world.programme(), TicketKind::Enrol, code, slots, &mut rng).unwrap();
    let verified = request.verify(world.programme(), &mut rng).unwrap();
    let issued = verified.issue(world.programme(), &world.fixture.issuer, &grant, &mut rng).unwrap();
    (context, issued.response, issued.leaf)
}

/// An issuer signs a `B` of its choice for an enrolment, with a proof that is true for it.
fn sign_other(key: &IssuerKey, leaf: &EnrolLeaf, b: Element) -> EnrolResponse {
    let (_, mut response, _) = enrolment(1);
    let issued = IssuedCommitment::sign(key, Point::encode(b).unwrap()).unwrap();
    let mut transcript = answer_transcript(world().programme(), &leaf.ticket.hash, &leaf.commitment, LOT, Round(12));
    response.proof = IssueProof::prove(key, &issued, None, &mut transcript, &mut rng(2)).unwrap();
    (response.a, response.e) = (issued.a, PublicScalar(issued.e));
    response
}

/// A wallet refuses a credential with a starting state of its own (a tag), attributes that are not the ticket's, another
/// issuer key, and an answer that was touched; and takes the honest answer after all of them.
#[test]
fn a_wallet_refuses_a_tagged_start() {
    let (world, programme) = (world(), world().programme());
    let (mut context, honest, leaf) = enrolment(1);
    let schema = programme.schema();
    let tagged = |at: u8| leaf.b.element() + programme.parameters().h(at).element();
    let stranger = IssuerKey::generate(&mut rng(3));
    let change = |tamper: fn(&mut EnrolResponse)| {
        let mut response = honest.clone();
        tamper(&mut response);
        response
    };
    let mut attempts = vec![
        ("another issuer key", sign_other(&stranger, &leaf, *leaf.b.element())),
        ("r", sign_other(&world.fixture.issuer, &leaf, tagged(0))),
        ("lot", change(|response| response.lot = LATE_LOT)),
        ("unknown lot", change(|response| response.lot = LotId(9))),
        ("amend lot", change(|response| response.lot = AMEND_LOT)),
        ("expires", change(|response| response.expires = Round(11))),
        ("A", change(|response| response.a = shifted(response.a))),
        ("e", change(|response| response.e.0 += Scalar::ONE)),
    ];
    for (name, at) in [
        ("serial", 1),
        ("expires", 2),
        ("drawn", 3),
        ("balance", schema.state(0)),
        ("debit", schema.state(2)),
        ("spare", schema.state(4)),
        ("members", schema.attribute(0)),
    ] {
        attempts.push((name, sign_other(&world.fixture.issuer, &leaf, tagged(at))));
    }
    // Any byte of the sealed grant, and a grant that is longer or shorter.
    let bytes = honest.encode();
    let sealed = bytes.len() - 36;
    for at in sealed..bytes.len() {
        let mut touched = bytes.clone();
        touched[at] ^= 1;
        if let Ok(response) = EnrolResponse::decode(&touched) {
            attempts.push(("sealed", response));
        }
    }
    assert!(attempts.len() > 40);
    for (name, response) in attempts {
        let rejected = context.finish(programme, &response, &mut rng(4)).expect_err(name);
        assert!(matches!(rejected.error, EnrolError::Answer | EnrolError::Terms), "{name}: {}", rejected.error);
        context = *rejected.context;
    }
    // The same helper with the honest B is accepted: the refusals above are due to the tag.
    let response = sign_other(&world.fixture.issuer, &leaf, *leaf.b.element());
    let credential = context.finish(programme, &response, &mut rng(4)).unwrap();
    assert_eq!(credential.value(schema.attribute(0)), Some(4));
}

/// A wallet refuses refreshed credentials with a wrong `A*`, from another key or programme, and answers that are swapped.
#[test]
fn a_wallet_refuses_a_wrong_refresh() {
    let (world, view) = (world(), world().view());
    let keys = world.fixture.keys(1, &[(FOOD, 3)]);
    let (mut context, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
    let verified = request.verify(&view, &world.fixture.issuer, Some(&session), &mut rng(1)).unwrap();
    let (honest, leaf) = verified.answer(&world.fixture.issuer, Some(session), &mut rng(1)).unwrap();

    // The issuer answers under another key: proof, A* and e* are all consistent with it.
    let stranger = IssuerKey::generate(&mut rng(3));
    let shown = Shown {
        digest: Digest([0; 32]),
        a_prime: leaf.record.show.a_prime,
        a_bar: leaf.record.show.a_bar,
        commitment: leaf.record.show.commitment,
    };
    let foreign = Refresh::answer(&stranger, &shown, None, &answers_digest(&leaf.answers), &mut rng(1)).unwrap();

    let bytes = honest.encode();
    let swap = |old: &[u8], new: &[u8]| {
        let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        DrawResponse::decode(&bytes).unwrap()
    };
    let (first, second) = (leaf.answers[0], leaf.answers[1]);
    let pair = |left: PublicScalar, right: PublicScalar| [left.0.to_bytes(), right.0.to_bytes()].concat();
    let both = |s1, y1, s2, y2| [pair(s1, y1), pair(s2, y2)].concat();
    let answers = both(first.s, first.y, second.s, second.y);
    let attempts = [
        ("A*", swap(leaf.record.a.as_bytes(), shifted(leaf.record.a).as_bytes())),
        ("A* of another key", swap(leaf.record.a.as_bytes(), foreign.issued.a.as_bytes())),
        ("e*", swap(leaf.record.e.0.as_bytes(), foreign.issued.e.as_bytes())),
        ("answers swapped", swap(&answers, &both(second.s, second.y, first.s, first.y))),
        ("s swapped", swap(&answers, &both(second.s, first.y, first.s, second.y))),
        ("one answer twice", swap(&answers, &both(first.s, first.y, first.s, first.y))),
        ("y = 0", swap(first.y.0.as_bytes(), &[0; 32])),
        ("s", swap(first.s.0.as_bytes(), (first.s.0 + Scalar::ONE).as_bytes())),
    ];
    for (name, response) in attempts {
        let rejected = context.finish(&view, &response, &mut rng(4)).expect_err(name);
        assert_eq!(rejected.error, DrawError::Answer, "{name}");
        context = *rejected.context;
    }
    // Another version or programme in force: not even looked at.
    let mut later = view;
    later.hash.0[0] ^= 1;
    let rejected = context.finish(&later, &honest, &mut rng(4)).unwrap_err();
    assert_eq!(rejected.error, DrawError::Malformed);
    let rejected = rejected.context.finish(&world.fixture.view(2), &honest, &mut rng(4)).unwrap_err();
    assert_eq!(rejected.error, DrawError::Malformed);
    assert_eq!(rejected.context.finish(&view, &honest, &mut rng(4)).unwrap().1.len(), 2);
}

/// Signatures that are wrong although the issuer proves that it sent them: the second check of a draw.
#[test]
fn a_wallet_refuses_wrong_signatures_that_are_proven() {
    let (world, view, issuer) = (world(), world().view(), &world().fixture.issuer);
    let keys = world.fixture.keys(1, &[(FOOD, 3)]);
    let (mut context, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
    let statement = Statement::draw(&view, &view.units(&keys).unwrap()).unwrap();
    let entries = view.expand(&keys).unwrap();
    let binding = Binding {
        operation: operation::DRAW,
        session: request.session,
        keys: &keys,
        challenges: challenges_digest(&entries, &session.offer().commitments, &request.challenges),
        ticket: TicketHash([0; 32]),
        slots: request.slots.digest(),
    };
    let shown = request.show.verify(&view, &statement, &binding, issuer, &mut rng(1)).unwrap();
    let honest = session.answer(&request.challenges).unwrap();
    let respond = |answers: &[Answer]| {
        let refresh = Refresh::answer(issuer, &shown, None, &answers_digest(answers), &mut rng(1)).unwrap();
        let refreshed = (refresh.issued.a, PublicScalar(refresh.issued.e), refresh.proof);
        let envelope = vec![crate::registry::VERSION, DrawResponse::KIND];
        DrawResponse::decode(&postcard::to_extend(&(refreshed, answers), envelope).unwrap()).unwrap()
    };
    let change = |tamper: fn(&mut Vec<Answer>)| {
        let mut answers = honest.clone();
        tamper(&mut answers);
        answers
    };
    let attempts = [
        ("swapped", change(|answers| answers.swap(0, 1))),
        ("s", change(|answers| answers[1].s.0 += Scalar::ONE)),
        ("y", change(|answers| answers[1].y.0 += Scalar::ONE)),
        ("y = 0", change(|answers| answers[0].y.0 = Scalar::ZERO)),
        (
            "s and y zero",
            change(|answers| answers[0] = Answer { s: PublicScalar(Scalar::ZERO), y: PublicScalar(Scalar::ZERO) }),
        ),
        ("one missing", change(|answers| answers.truncate(1))),
        ("one more", change(|answers| answers.push(answers[0]))),
        ("none", Vec::new()),
    ];
    for (name, answers) in attempts {
        let rejected = context.finish(&view, &respond(&answers), &mut rng(4)).expect_err(name);
        assert!(matches!(rejected.error, DrawError::Vouchers(_)), "{name}: {}", rejected.error);
        context = *rejected.context;
    }
    assert_eq!(context.finish(&view, &respond(&honest), &mut rng(4)).unwrap().1.len(), 2);
}

/// An amend whose `M` is not what the ticket's attributes make it, or whose answer was touched.
#[test]
fn a_wallet_refuses_a_tagged_amend() {
    let (world, view, mut rng) = (world(), world().view(), rng(6));
    let code = TicketCode::random(&mut rng);
    let grant = world.fixture.grant(AMEND_LOT, TicketKind::Amend, &code, 12, &[6, 2]);
    let slots = Slots::random(64, &mut rng);
    let (mut context, request) = AmendContext::new(&view, &world.rolled, code, slots, &mut rng).unwrap();
    let verified = request.verify(&view, &world.fixture.issuer, &mut rng).unwrap();
    let issued = verified.answer(&view, &world.fixture.issuer, &grant, &mut rng).unwrap();
    let bytes = issued.response.encode();
    let mut refused = 0;
    // Every byte but the envelope and the lot, which names the ticket's lot for the holder's records and grants nothing.
    for at in 3..bytes.len() {
        let mut touched = bytes.clone();
        touched[at] ^= 1;
        let Ok(response) = crate::draw::AmendResponse::decode(&touched) else { continue };
        let rejected = context.finish(&view, &response, &mut rng).expect_err("touched");
        assert!(matches!(rejected.error, DrawError::Answer | DrawError::Terms | DrawError::Show(ShowError::Group(_))));
        context = *rejected.context;
        refused += 1;
    }
    assert!(refused > 200, "{refused} of {}", bytes.len());
    assert_eq!(context.finish(&view, &issued.response, &mut rng).unwrap().value(9), Some(6));
}
