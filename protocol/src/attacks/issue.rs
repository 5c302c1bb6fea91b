//! Issuing and refreshing: the wallet's opening, the issuer's one proof, and what a MAC is worth (spec 4.2, 4.4).

use super::{balances, each_fails, forge, issuer_secret, mutations, other_point, proof_mutations, rng, shifted, world};
use crate::{
    credential::{
        Credential, IssueProof, IssuedCommitment, IssuerKey, OpeningProof, Parameters, Refresh, ShowError, Shown,
    },
    draw::{DrawError, RollOverContext, RollOverResponse, accumulate_amend, accumulate_draw, accumulate_roll_over},
    enrol::{answer_transcript, request_transcript},
    fixture::{LATE_LOT, LOT},
    group::{Point, Scalar},
    ids::{Digest, Round},
    log::leaf::{AmendLeaf, DrawLeaf, EnrolLeaf, ShowRecord},
    programme::{Programme, statement::starting_values},
    slots::Slots,
    voucher::answers_digest,
};

fn enrol_passes(programme: &Programme, leaf: &EnrolLeaf) -> bool {
    balances(|weights, accumulator| leaf.accumulate(programme, weights, accumulator))
}

/// Every field of a logged enrolment that its two proofs bind. `kind` and the path are the lot's to check.
#[test]
fn every_field_of_an_enrolment_is_bound() {
    let (world, programme) = (world(), world().programme());
    let passes = |leaf: &EnrolLeaf| enrol_passes(programme, leaf);
    each_fails(
        &world.enrol,
        passes,
        mutations![EnrolLeaf;
            "ticket" => |leaf| leaf.ticket.hash.0[0] ^= 1,
            "lot" => |leaf| leaf.ticket.lot = LATE_LOT,
            "expires" => |leaf| leaf.expires.0 += 1,
            "C" => |leaf| leaf.commitment = shifted(leaf.commitment),
            "slots" => |leaf| leaf.slots.0[0] ^= 1,
            "B" => |leaf| leaf.b = shifted(leaf.b),
            "A" => |leaf| leaf.a = shifted(leaf.a),
            "e" => |leaf| leaf.e.0 += Scalar::ONE,
            "opening and answer swapped" => |leaf| std::mem::swap(&mut leaf.opening, &mut leaf.proof),
        ],
    );
    each_fails(&world.enrol, passes, proof_mutations(&world.enrol.opening, |leaf: &mut EnrolLeaf| &mut leaf.opening));
    each_fails(&world.enrol, passes, proof_mutations(&world.enrol.proof, |leaf: &mut EnrolLeaf| &mut leaf.proof));

    for (name, programme, expected) in tampered_programmes() {
        assert_eq!(enrol_passes(&programme, &world.enrol), expected, "{name}");
    }
}

/// The programme, and the same with one thing changed that statements bind.
fn tampered_programmes() -> [(&'static str, Programme, bool); 5] {
    let programme = world().programme();
    let (w, parameters) = (programme.latest().issuer_key, programme.parameters().clone());
    let (digest, mut more) = (*parameters.schema_digest(), generators(programme));
    let mut id = programme.id();
    id.0[0] ^= 1;
    more.push(other_point());
    let raw = Parameters::from_raw;
    [
        ("honest", programme.tampered(programme.id(), w, parameters.clone()), true),
        ("programme", programme.tampered(id, w, parameters.clone()), false),
        ("W", programme.tampered(programme.id(), other_point(), parameters), false),
        ("schema", programme.tampered(programme.id(), w, raw([1; 32], generators(programme))), false),
        ("arity", programme.tampered(programme.id(), w, raw(digest, more)), false),
    ]
}

/// Each of the two proofs of an enrolment by itself: the wallet's opening, and the issuer's answer.
#[test]
fn each_proof_of_an_enrolment_is_bound() {
    let leaf = &world().enrol;
    for (name, programme, expected) in tampered_programmes() {
        let opened = balances(|weights, accumulator| {
            let mut transcript = request_transcript(&programme, &leaf.ticket.hash, &leaf.commitment, &leaf.slots);
            let parameters = world().programme().parameters();
            let (commitment, proof) = (leaf.commitment, &leaf.opening);
            OpeningProof::accumulate(parameters, commitment, proof, &mut transcript, weights, accumulator)
        });
        assert_eq!((opened, answers(&programme, leaf)), (expected, expected), "{name}");
    }
    each_fails(
        leaf,
        |leaf| answers(world().programme(), leaf),
        mutations![EnrolLeaf;
            "ticket" => |leaf| leaf.ticket.hash.0[0] ^= 1,
            "lot" => |leaf| leaf.ticket.lot = LATE_LOT,
            "expires" => |leaf| leaf.expires.0 += 1,
            "C" => |leaf| leaf.commitment = shifted(leaf.commitment),
            "B" => |leaf| leaf.b = shifted(leaf.b),
            "A" => |leaf| leaf.a = shifted(leaf.a),
            "e" => |leaf| leaf.e.0 += Scalar::ONE,
        ],
    );
}

/// Whether the issuer's proof of a leaf holds by itself, under the issuer's true key.
fn answers(programme: &Programme, leaf: &EnrolLeaf) -> bool {
    let issued = IssuedCommitment { b: leaf.b, a: leaf.a, e: leaf.e.0 };
    let EnrolLeaf { commitment, expires, ref ticket, .. } = *leaf;
    let mut transcript = answer_transcript(programme, &ticket.hash, &commitment, ticket.lot, expires);
    balances(|weights, accumulator| {
        let w = world().fixture.issuer.public();
        IssueProof::accumulate(w, &issued, None, &leaf.proof, &mut transcript, weights, accumulator)
    })
}

fn generators(programme: &Programme) -> Vec<Point> {
    (0..=programme.parameters().arity()).map(|at| *programme.parameters().h(at)).collect()
}

/// `C` with an attribute smuggled in, or an opening of something else: the one equation of the opening.
#[test]
fn the_opening_of_an_enrolment_counts() {
    let (programme, leaf) = (world().programme(), &world().enrol);
    let parameters = programme.parameters();
    let (r, serial) = (super::holder_secret(1), super::holder_secret(2));
    let honest = OpeningProof::commit(parameters, &r, &serial).unwrap();
    let smuggled = honest.element() + parameters.h(10).element();
    for (commitment, expected) in [(honest, true), (Point::encode(smuggled).unwrap(), false)] {
        let transcript = request_transcript(programme, &leaf.ticket.hash, &commitment, &leaf.slots);
        let relation = OpeningProof::relation(parameters, commitment);
        let (proof, holds) = forge(&relation, &[*r.expose(), *serial.expose()], &transcript);
        assert_eq!(holds, [expected]);
        let accepted = balances(|weights, accumulator| {
            OpeningProof::accumulate(parameters, commitment, &proof, &mut transcript.clone(), weights, accumulator)
        });
        assert_eq!(accepted, expected);
    }
}

/// An issuer that lies in one of its equations, with Fiat-Shamir redone: `W = x*G`, `Abar = x*A'`, `B - e*A = x*A`.
#[test]
fn every_equation_of_the_issuer_counts() {
    let (world, x) = (world(), issuer_secret(&world().fixture));
    let record = &world.roll_over;
    let b = IssuedCommitment::b(&record.show.commitment, None).unwrap();
    let honest = |w, a_bar, a| (w, a_bar, IssuedCommitment { b, a, e: record.e.0 });
    let (w, a_bar, a) = (world.fixture.issuer.public(), record.show.a_bar, record.a);
    let cases = [
        ("honest", honest(w, a_bar, a), [true, true, true]),
        ("W", honest(shifted(w), a_bar, a), [false, true, true]),
        ("Abar", honest(w, shifted(a_bar), a), [true, false, true]),
        ("A*", honest(w, a_bar, shifted(a)), [true, true, false]),
    ];
    let (a_prime, commitment) = (record.show.a_prime, record.show.commitment);
    for (name, (w, a_bar, issued), expected) in cases {
        // As a refresh, and without the show as an enrolment.
        for shown in [Some((a_prime, a_bar)), None] {
            let digest = Shown { digest: Digest([3; 32]), a_prime, a_bar, commitment };
            let mut transcript = Refresh::transcript(&digest, None, &Digest([0; 32]));
            let whole = transcript.clone();
            IssueProof::bind(&issued, &mut transcript);
            let relation = IssueProof::relation(w, &issued, shown).unwrap();
            let (proof, holds) = forge(&relation, &[x], &transcript);
            let mut expected = expected.to_vec();
            if shown.is_none() {
                expected.remove(1);
            }
            assert_eq!(holds, expected, "{name}");
            let accepted = balances(|weights, accumulator| {
                IssueProof::accumulate(w, &issued, shown, &proof, &mut whole.clone(), weights, accumulator)
            });
            assert_eq!(accepted, !expected.contains(&false), "{name}");
        }
    }
}

/// Every field of the leaves of roll-over, draw and amend that the issuer's proof binds: the show's digest, `M`, `C*`, `A'`,
/// `Abar`, `B*`, `A*`, `e*`, all `(s, y)`.
#[test]
fn every_field_of_an_answer_is_bound() {
    let (world, view) = (world(), world().view());
    let record_mutations = || {
        mutations![ShowRecord;
            "round" => |record| record.round.0 += 1,
            "slots, by the digest of the show" => |record| record.slots.0[0] ^= 1,
            "serial" => |record| record.show.serial.0 += Scalar::ONE,
            "A'" => |record| record.show.a_prime = shifted(record.show.a_prime),
            "Abar" => |record| record.show.a_bar = shifted(record.show.a_bar),
            "C*" => |record| record.show.commitment = shifted(record.show.commitment),
            "A*" => |record| record.a = shifted(record.a),
            "e*" => |record| record.e.0 += Scalar::ONE,
        ]
    };
    let roll_over = |record: &ShowRecord| balances(|w, a| accumulate_roll_over(&view, record, w, a));
    each_fails(&world.roll_over, roll_over, record_mutations());
    let proof = &world.roll_over.proof;
    each_fails(&world.roll_over, roll_over, proof_mutations(proof, |record: &mut ShowRecord| &mut record.proof));

    let draw = |leaf: &DrawLeaf| balances(|w, a| accumulate_draw(&view, leaf, w, a));
    let last = world.draw.answers.len() - 1;
    each_fails(
        &world.draw,
        draw,
        mutations![DrawLeaf;
            "session" => |leaf| leaf.session.0[0] ^= 1,
            "key" => |leaf| leaf.keys[0].0.0 += 1,
            "count" => |leaf| leaf.keys[0].1 += 1,
            "challenges" => |leaf| leaf.challenges.0[0] ^= 1,
            "first s" => |leaf| leaf.answers[0].s.0 += Scalar::ONE,
            "first y" => |leaf| leaf.answers[0].y.0 += Scalar::ONE,
            "last s" => |leaf| leaf.answers[last].s.0 += Scalar::ONE,
            "last y" => |leaf| leaf.answers[last].y.0 += Scalar::ONE,
            "answers swapped" => |leaf| leaf.answers.swap(0, last),
            "answer missing" => |leaf| leaf.answers.pop(),
            "answer twice" => |leaf| leaf.answers.push(leaf.answers[last]),
            "no answers" => |leaf| leaf.answers.clear(),
        ],
    );
    each_fails(
        &world.draw.record,
        |record| draw(&DrawLeaf { record: record.clone(), ..world.draw.clone() }),
        record_mutations(),
    );

    let amend = |leaf: &AmendLeaf| balances(|w, a| accumulate_amend(&view, leaf, w, a));
    each_fails(
        &world.amend,
        amend,
        mutations![AmendLeaf;
            "ticket" => |leaf| leaf.ticket.hash.0[0] ^= 1,
            "M" => |leaf| leaf.added = shifted(leaf.added),
            // B* stays: what moves from M to C* is caught by the show, and by the proof's M.
            "M and C*" => |leaf| {
                let g = Point::generator();
                leaf.added = shifted(leaf.added);
                leaf.record.show.commitment =
                    Point::encode(leaf.record.show.commitment.element() - g.element()).unwrap()
            },
        ],
    );
    each_fails(
        &world.amend.record,
        |record| amend(&AmendLeaf { record: record.clone(), ..world.amend.clone() }),
        record_mutations(),
    );
}

/// The show's digest and `M` alone: a proof made for another show of the same points, or another `M` with the same `B*`.
#[test]
fn an_answer_belongs_to_one_show() {
    let (world, record) = (world(), &world().roll_over);
    let shown = |digest: u8| Shown {
        digest: Digest([digest; 32]),
        a_prime: record.show.a_prime,
        a_bar: record.show.a_bar,
        commitment: record.show.commitment,
    };
    let (issuer, none) = (&world.fixture.issuer, Digest([0; 32]));
    let refresh = Refresh::answer(issuer, &shown(1), None, &none, &mut rng(1)).unwrap();
    let passes = |shown: &Shown, added: Option<&Point>, answers: &Digest| {
        balances(|w, a| {
            let IssuedCommitment { a: mac, e, .. } = refresh.issued;
            Refresh::accumulate(issuer.public(), shown, added, answers, mac, e, &refresh.proof, w, a).map(drop)
        })
    };
    assert!(passes(&shown(1), None, &none));
    assert!(!passes(&shown(2), None, &none), "show");
    assert!(!passes(&shown(1), None, &answers_digest(&world.draw.answers)), "answers");
    assert!(!passes(&shown(1), Some(&other_point()), &none), "M");
    let moved = Shown { commitment: shifted(record.show.commitment), ..shown(1) };
    let minus = Point::encode(-*Point::generator().element()).unwrap();
    assert!(!passes(&moved, Some(&minus), &none), "C* and M with the same B*");
}

/// A credential of the attacker's making: `(A, e)` for a `B` that opens to `values`.
fn credential(x: Scalar, e: Scalar, attributes: &[u64], seed: u64) -> Credential {
    let (programme, mut rng) = (world().programme(), rng(seed));
    let parameters = programme.parameters();
    let lot = programme.latest().lot(LOT).unwrap();
    let values = starting_values(programme.latest(), &lot.start, Round(12), attributes).unwrap();
    let (r, serial) = (crate::secret::SecretScalar::random(&mut rng), crate::secret::SecretScalar::random(&mut rng));
    let hidden = OpeningProof::commit(parameters, &r, &serial).unwrap();
    let b = Point::generator().element() + hidden.element() + parameters.commit_values(&values);
    let a = Point::encode(b * (x + e).invert()).unwrap();
    Credential { a, e: secret(e), r, serial, values, b: Point::encode(b).unwrap() }
}

fn secret(scalar: Scalar) -> crate::secret::SecretScalar {
    crate::secret::SecretScalar::new(scalar)
}

/// `weight * left + (1 - weight) * right`, coordinate by coordinate, as a credential under the `e` of the left.
fn combine(left: &Credential, right: &Credential, weight: i64) -> Credential {
    let (by, rest) = (crate::credential::secret_scalar_of(weight), crate::credential::secret_scalar_of(1 - weight));
    let point = |left: &Point, right: &Point| Point::encode(left.element() * by + right.element() * rest).unwrap();
    let scalar = |left: &Scalar, right: &Scalar| secret(left * by + right * rest);
    Credential {
        a: point(&left.a, &right.a),
        e: left.e.duplicate(),
        r: scalar(left.r.expose(), right.r.expose()),
        serial: scalar(left.serial.expose(), right.serial.expose()),
        values: left.values.iter().zip(&right.values).map(|(l, r)| weight * l + (1 - weight) * r).collect(),
        b: point(&left.b, &right.b),
    }
}

/// Two credentials with one `e` are a line of credentials: three members and one member make fifteen, which nobody issued.
/// With the `e` of our issuer the same combination is worth nothing.
#[test]
fn repeated_e_makes_attributes_that_nobody_issued() {
    let (world, view) = (world(), world().view());
    let (x, mut rng) = (issuer_secret(&world.fixture), rng(7));
    let mut accepted = |credential: &Credential| {
        let slots = Slots::random(64, &mut rng);
        let (_, request) = RollOverContext::new(&view, credential, slots, &mut rng).unwrap();
        request.verify(&view, &world.fixture.issuer, &mut rng).is_ok()
    };
    let members = world.programme().schema().attribute(0);
    let same = Scalar::from(77u64);
    let (three, one) = (credential(x, same, &[3, 0], 1), credential(x, same, &[1, 0], 2));
    let fifteen = combine(&three, &one, 7);
    assert_eq!(fifteen.value(members), Some(15));
    assert!(accepted(&three) && accepted(&one));
    assert!(accepted(&fifteen), "the attack works against an issuer that repeats e");

    let honest = |mut credential: Credential| {
        let issued = IssuedCommitment::sign(&world.fixture.issuer, credential.b).unwrap();
        (credential.a, credential.e) = (issued.a, secret(issued.e));
        credential
    };
    let (three, one) = (honest(three), honest(one));
    assert!(accepted(&three) && accepted(&one));
    assert_eq!(combine(&three, &one, 7).value(members), Some(15));
    assert!(!accepted(&combine(&three, &one, 7)), "ours: every B has an e of its own");
    assert!(!accepted(&combine(&one, &three, -6)), "nor under the other's e");
}

/// `e` is a function of `B` and of the issuer's secret.
#[test]
fn e_is_a_function_of_b() {
    let issuer = &world().fixture.issuer;
    let e = |key: &IssuerKey, b| IssuedCommitment::sign(key, b).unwrap().e;
    let (b, other) = (world().enrol.b, world().amend.added);
    assert_eq!(e(issuer, b), e(issuer, b));
    assert_ne!(e(issuer, b), e(issuer, other));
    let restored = IssuerKey::from_bytes(&issuer.to_bytes()).unwrap();
    assert_eq!(e(issuer, b), e(&restored, b));
    assert_ne!(e(issuer, b), e(&IssuerKey::generate(&mut rng(1)), b));
    assert_eq!(world().enrol.e.0, e(issuer, b));
}

/// `A` and `e` of one credential do not fit the `B` of another, nor a show of it.
#[test]
fn a_mac_belongs_to_one_credential() {
    let (world, view, mut rng) = (world(), world().view(), rng(8));
    let mut accepted = |credential: &Credential| {
        let (_, request) = RollOverContext::new(&view, credential, Slots::random(64, &mut rng), &mut rng).unwrap();
        request.verify(&view, &world.fixture.issuer, &mut rng).map(drop)
    };
    assert_eq!(accepted(&world.fresh), Ok(()));
    let stranger = credential(Scalar::from(5u64), Scalar::from(6u64), &[4, 1], 3);
    let change = |tamper: &dyn Fn(&mut Credential)| {
        let mut credential = world.fresh.duplicate();
        tamper(&mut credential);
        credential
    };
    let touched = [
        ("A and e", change(&|c| (c.a, c.e) = (world.rolled.a, world.rolled.e.duplicate()))),
        ("A", change(&|c| c.a = shifted(c.a))),
        ("e", change(&|c| c.e = secret(Scalar::ONE))),
        ("r", change(&|c| c.r = secret(Scalar::ONE))),
        ("serial", change(&|c| c.serial = secret(Scalar::ONE))),
        ("B", change(&|c| c.b = shifted(c.b))),
        ("attributes", change(&|c| c.values[7] += 1)),
        ("another issuer", stranger),
    ];
    for (name, credential) in touched {
        assert_eq!(accepted(&credential), Err(DrawError::Show(ShowError::Invalid)), "{name}");
    }
    // A roll-over's answer is checked like any other.
    let (context, request) = RollOverContext::new(&view, &world.fresh, Slots::random(64, &mut rng), &mut rng).unwrap();
    let verified = request.verify(&view, &world.fixture.issuer, &mut rng).unwrap();
    let (RollOverResponse(mut refreshed), _) = verified.answer(&world.fixture.issuer, &mut rng).unwrap();
    refreshed.a = shifted(refreshed.a);
    assert!(context.finish(&view, &RollOverResponse(refreshed), &mut rng).is_err());
}
