//! Perfect blindness, computed (spec 5.6, 4.6; property P1).
//!
//! What an issuer of unbounded power saw of a session explains every voucher of the key equally well, and what it saw of an
//! issuance explains every later show of the same statement: by exactly one set of blinding factors each. So neither narrows
//! down the other.

use super::{forger::Forger, fresh_seed, key_at, mint, rng, world};
use crate::{
    credential::{Binding, Credential, Parameters, Show, bind_points, fold, relation, secret_scalar_of},
    draw::RollOverContext,
    enrol::EnrolContext,
    fixture::{FOOD, Fixture, LOT, SITE},
    group::{Element, Point, Scalar, multiply_base},
    ids::{Digest, SessionId, TicketHash},
    programme::{InForce, Programme, TicketKind, form::scalar_of, statement::Statement},
    range,
    registry::operation,
    slots::Slots,
    ticket::TicketCode,
    voucher::{Answer, Commitment, ShownVoucher, SigningSession, blind, challenge, unblind},
};

/// What the signer keeps of a session, at worst.
struct Transcript {
    commitment: Commitment,
    c: Scalar,
    answer: Answer,
}

/// `(r1, r2, g)`.
type Factors = [Scalar; 3];

/// Whether the factors turn the transcript into the voucher: the holder's own computation, step by step.
fn explains(x: &Point, transcript: &Transcript, voucher: &ShownVoucher, [r1, r2, g]: Factors) -> bool {
    let Transcript { commitment, c, answer } = transcript;
    let y_prime = commitment.y.element() * g;
    let r_prime = multiply_base(&r1) + commitment.r.element() * g + y_prime * r2;
    let [Ok(r_prime), Ok(y_prime)] = [r_prime, y_prime].map(Point::encode) else { return false };
    let c_prime = challenge(x, &r_prime.into(), &y_prime.into(), &voucher.holder);
    r_prime == voucher.r.decode().unwrap()
        && *c == c_prime + r2
        && voucher.s.0 == g * answer.s.0 + r1
        && voucher.y.0 == g * answer.y.0
}

/// For all pairs of 6 signing transcripts and 6 vouchers of one key, made together or not, exactly one `(r1, r2, g)` leads from
/// one to the other. It follows from the pair: `g = y'/y`, `r1 = s' - g*s`, `r2 = c - c'`.
#[test]
fn every_transcript_explains_every_voucher_once() {
    let fixture = &world().fixture;
    let at = key_at(fixture, FOOD, 4, 1, SITE, None);
    let entry = *fixture.programme.key(at).unwrap();
    let secret = std::sync::Arc::new(fixture.masters[0].derive(entry.id).unwrap());
    let session = SigningSession::open(vec![(at, 5)], &vec![secret; 5], &mut rng(1));
    let commitments = session.offer().commitments.clone();
    let keys = vec![(at, entry); 5];
    let (states, challenges) = blind(&keys, session.offer(), &fresh_seed(2)).unwrap();
    let answers = session.answer(&challenges).unwrap();
    let mut vouchers = unblind(&states, &vec![entry; 5], &answers).unwrap();
    // One voucher of a session that is not among the transcripts.
    vouchers.extend(mint(fixture, at, 1, 3));
    let transcripts = commitments.into_iter().zip(challenges).zip(answers);
    let transcripts: Vec<_> =
        transcripts.map(|((commitment, c), answer)| Transcript { commitment, c: c.0, answer }).collect();

    let mut own = 0;
    for transcript in &transcripts {
        for voucher in vouchers.iter().map(|voucher| voucher.shown()) {
            let g = voucher.y.0 * transcript.answer.y.0.invert();
            let y_prime = Point::encode(entry.key.element() * voucher.y.0).unwrap();
            let r2 = transcript.c - challenge(&entry.key, &voucher.r, &y_prime.into(), &voucher.holder);
            let factors = [voucher.s.0 - g * transcript.answer.s.0, r2, g];
            assert!(explains(&entry.key, transcript, voucher, factors));
            assert_ne!(g, Scalar::ZERO);
            // g, r1 and r2 are each fixed by one linear equation with a coefficient that is not zero: no other set does.
            for at in 0..3 {
                let mut other = factors;
                other[at] += Scalar::ONE;
                assert!(!explains(&entry.key, transcript, voucher, other));
            }
            own += 1;
        }
    }
    assert_eq!(own, 5 * 6);
}

/// A programme whose generators have known logarithms, and the logarithms of `G, H_0, .. H_n`.
///
/// Only with them can the unique factors be *computed*: that they exist needs no trapdoor, only that the group has prime order.
fn trapdoored(fixture: &Fixture) -> (Programme, Vec<Scalar>) {
    let programme = &fixture.programme;
    let logs: Vec<_> = (0..=programme.parameters().arity()).map(|at| Scalar::from(1000 + u64::from(at) * 7)).collect();
    let generators = logs.iter().map(|log| Point::encode(multiply_base(log)).unwrap()).collect();
    let parameters = Parameters::from_raw(*programme.parameters().schema_digest(), generators);
    let w = programme.latest().issuer_key;
    (programme.tampered(programme.id(), w, parameters), logs)
}

/// A show and the logarithms that its maker knows.
struct Shown {
    show: Show,
    log_d: Scalar,
    log_a_prime: Scalar,
    log_commitment: Scalar,
    serial_new: Scalar,
}

/// `1 + r*h_0 + sum m_i*h_i`.
fn log_of_b(credential: &Credential, r: Scalar, serial: Scalar, logs: &[Scalar]) -> Scalar {
    Scalar::ONE + r * logs[0] + serial * logs[1] + log_of_values(&credential.values, logs)
}

fn log_of_values(values: &[i64], logs: &[Scalar]) -> Scalar {
    values.iter().zip(&logs[2..]).map(|(value, log)| secret_scalar_of(*value) * log).sum()
}

/// Every secret of a show but `t`: `r1, e, r3, r`, hidden `m`, `r*, serial*`.
fn explain(
    shown: &Shown,
    credential: &Credential,
    statement: &Statement,
    x: Scalar,
    logs: &[Scalar],
) -> Option<Vec<Scalar>> {
    // The issuer knows (A, e, B, C, rho, attributes); C opens to every serial, with one r each.
    let serial = shown.show.serial.0;
    let (issued_r, issued_serial) = (*credential.r.expose(), *credential.serial.expose());
    let r = issued_r + (issued_serial - serial) * logs[1] * logs[0].invert();
    let (log_b, e) = (log_of_b(credential, r, serial, logs), *credential.e.expose());
    let log_a = log_b * (x + e).invert();
    let r2 = shown.log_d * log_b.invert();
    let r1 = shown.log_a_prime * (r2 * log_a).invert();
    let new: Vec<i64> =
        statement.update.iter().map(|form| form.evaluate(&credential.values).try_into().unwrap()).collect();
    let serial_new = shown.serial_new;
    let r_new = (shown.log_commitment - serial_new * logs[1] - log_of_values(&new, logs)) * logs[0].invert();
    // The equations of the page, on points.
    let (a, b) = (*credential.a.element(), *credential.b.element());
    let Show { a_prime, d, a_bar, .. } = &shown.show;
    let holds = multiply_base(&log_b) == b
        && *a_prime.element() == a * (r1 * r2)
        && *d.element() == b * r2
        && *a_bar.element() == d.element() * r1 - a_prime.element() * e;
    let mut witness = vec![r1, e, r2.invert(), r];
    let disclosed = |at: usize| statement.disclosed.iter().any(|(known, _)| usize::from(*known) == at);
    let hidden = credential.values.iter().enumerate().filter(|(at, _)| !disclosed(at + 2));
    witness.extend(hidden.map(|(_, m)| secret_scalar_of(*m)));
    witness.extend([r_new, serial_new]);
    holds.then_some(witness)
}

/// Whether the four equations hold for this witness, and whether the four commitments are those of a prover with it, whose
/// nonces `z - c*witness` are then the only ones.
///
/// In equation (4) the point `t*B_blind` stands for `t`, whose computation would take the logarithm of `B_blind`; given the
/// point, `t` exists once.
fn fits(
    view: InForce<'_>,
    show: &Show,
    statement: &Statement,
    binding: &Binding<'_>,
    witness: &[Scalar],
    values: &[i128],
) -> [bool; 8] {
    let mut transcript = binding.transcript(&view, statement).unwrap();
    bind_points(&mut transcript, statement, &show.points(), view.header.schema.width);
    transcript.challenge_bytes("range proof seed");
    let powers = fold(&mut transcript, &show.values, show.range.as_ref().unwrap());
    let relation = relation(&view, statement, &show.points(), &show.values, &powers);
    let c = relation.challenge(&show.linear.commitments, &mut transcript);

    let committed: Element = show.values.iter().zip(&powers).map(|(value, power)| value.element() * power).sum();
    let opened: Scalar = values.iter().zip(&powers).map(|(value, power)| scalar_of(*value) * power).sum();
    let t_blind = committed - multiply_base(&opened);
    let (z_t, z) = show.linear.responses.split_last().unwrap();
    let nonce_blind = range::blinding_generator().element() * z_t.0 - t_blind * c;

    let sides = |scalars: Vec<Scalar>, blind: Element| {
        let mut sides = relation.left_hand_sides(&[scalars, vec![Scalar::ZERO]].concat());
        sides[3] += blind;
        sides
    };
    let equations = sides(witness.to_vec(), t_blind);
    let nonces = z.iter().zip(witness).map(|(z, secret)| z.0 - c * secret).collect();
    let commitments = sides(nonces, nonce_blind);
    let sent = show.linear.commitments.iter().map(|commitment| *commitment.decode().unwrap().element());
    let expected = relation.right_hand_sides().into_iter().chain(sent);
    let mut holds = equations.into_iter().chain(commitments).zip(expected).map(|(left, right)| left == right);
    std::array::from_fn(|_| holds.next().unwrap())
}

/// For all pairs of three shows and three credentials that satisfy the same statement, there is exactly one
/// `(r1, r2, r, r*)`, with exactly one set of nonces, that makes the show one of that credential.
///
/// Computed, with generators of known logarithms: everything about `A', D, Abar, C*` and the linear proof. Argued: `t` and the
/// `t_j` (each `V_j` opens to every value under exactly one `t_j`, since `B_blind` generates the group) and the inside of the
/// range proof (perfect special honest-verifier zero-knowledge: Bünz et al., section 4).
#[test]
fn every_show_explains_every_credential_once() {
    let mut rng = rng(9);
    let fixture = Fixture::new(&mut rng);
    let (programme, logs) = trapdoored(&fixture);
    let view = InForce { programme: &programme, ..fixture.view(1) };
    let x = super::issuer_secret(&fixture);
    let keys = fixture.keys(1, &[(FOOD, 2)]);
    let statement = Statement::draw(&view, &view.units(&keys).unwrap()).unwrap();
    let binding = Binding {
        operation: operation::DRAW,
        session: SessionId([1; 16]),
        keys: &keys,
        challenges: Digest([2; 32]),
        ticket: TicketHash([0; 32]),
        slots: Digest([3; 32]),
    };
    let families = [[4, 1], [9, 3], [2, 0]];
    let credentials = families.map(|attributes| rolled(&fixture, &view, &attributes, &mut rng));
    let mut pairs = 0;
    for (at, shown) in credentials.iter().enumerate() {
        let draft = Forger::new(view, shown, &statement, binding, at as u64);
        let show = draft.show(Scalar::ZERO);
        // Not the forger's word: the real verifier and the real issuer accept it.
        assert!(show.verify(&view, &statement, &binding, &fixture.issuer, &mut rng).is_ok());
        let e = *shown.e.expose();
        let log_b = log_of_b(shown, *shown.r.expose(), *shown.serial.expose(), &logs);
        let new: Vec<i64> =
            statement.update.iter().map(|form| form.evaluate(&shown.values).try_into().unwrap()).collect();
        let shown = Shown {
            log_d: draft.r2 * log_b,
            log_a_prime: draft.r1 * draft.r2 * log_b * (x + e).invert(),
            log_commitment: draft.r_new * logs[0] + draft.serial_new * logs[1] + log_of_values(&new, &logs),
            serial_new: draft.serial_new,
            show,
        };
        for credential in &credentials {
            let witness = explain(&shown, credential, &statement, x, &logs).expect("A', D and Abar are explained");
            let values: Vec<i128> =
                statement.nonnegative.iter().map(|form| form.evaluate(&credential.values)).collect();
            let fits = |witness: &[Scalar]| fits(view, &shown.show, &statement, &binding, witness, &values);
            assert_eq!(fits(&witness), [true; 8]);
            // Every entry but serial* is fixed: one equation each is linear in it, with a base that is not the identity.
            for at in 0..witness.len() - 1 {
                let mut other = witness.clone();
                other[at] += Scalar::ONE;
                assert_ne!(fits(&other)[..4], [true; 4], "{at}");
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 9);
}

/// A credential of round 1 under the trapdoored generators.
fn rolled<R: rand_core::CryptoRng>(
    fixture: &Fixture,
    view: &InForce<'_>,
    attributes: &[u64],
    rng: &mut R,
) -> Credential {
    let code = TicketCode::random(rng);
    let grant = fixture.grant(LOT, TicketKind::Enrol, &code, 12, attributes);
    // The ticket hash names the programme, whose id is unchanged.
    let slots = || Slots::random(64, &mut super::rng(1));
    let (context, request) = EnrolContext::new(view.programme, TicketKind::Enrol, code, slots(), rng).unwrap();
    let verified = request.verify(view.programme, rng).unwrap();
    let issued = verified.issue(view.programme, &fixture.issuer, &grant, rng).unwrap();
    let credential = context.finish(view.programme, &issued.response, rng).unwrap();
    let (context, request) = RollOverContext::new(view, &credential, slots(), rng).unwrap();
    let (response, _) = request.verify(view, &fixture.issuer, rng).unwrap().answer(&fixture.issuer, rng).unwrap();
    context.finish(view, &response, rng).unwrap()
}
