//! Degenerate and rogue choices: zero blinding, points made of public ones, keys that cancel, and the oracle for `x`.

use super::{
    balances,
    forger::{Forger, Verdict},
    holder_secret, issuer_secret, mint, other_point, rng, world,
};
use crate::{
    credential::{Binding, ShowError},
    draw::RollOverRequest,
    fixture::FOOD,
    group::{EncodedPoint, GroupError, Point, PublicScalar, Scalar, multiply_base},
    ids::{Digest, SessionId, TicketHash},
    programme::statement::Statement,
    registry::{self, operation},
    secret::SecretScalar,
    transcript::{Transcript, hash_wide},
    voucher::{HolderProof, HolderStatement, ShownVoucher, verify},
    wire::Message,
};

fn roll_over_binding() -> Binding<'static> {
    Binding {
        operation: operation::ROLL_OVER,
        session: SessionId([0; 16]),
        keys: &[],
        challenges: Digest([0; 32]),
        ticket: TicketHash([0; 32]),
        slots: Digest([0; 32]),
    }
}

/// `r1 = 0` or `r2 = 0` would make `A'` or `D` the identity, and anything a show: there is no such point to send.
#[test]
fn zero_blinding_cannot_be_said() {
    let (world, zero) = (world(), Scalar::ZERO);
    for point in [world.fresh.a, world.fresh.b] {
        assert_eq!(Point::encode(point.element() * zero), Err(GroupError::Identity));
    }
    let request = RollOverRequest {
        round: crate::ids::Round(1),
        show: world.roll_over.show.clone(),
        slots: crate::slots::Slots::random(8, &mut rng(1)),
    };
    let bytes = request.encode();
    let show = &world.roll_over.show;
    for point in [show.a_prime, show.d, show.a_bar, show.commitment, show.values[0]] {
        let at = bytes.windows(32).position(|window| window == point.as_bytes()).unwrap();
        let mut identity = bytes.clone();
        identity[at..at + 32].fill(0);
        assert!(RollOverRequest::decode(&bytes).is_ok() && RollOverRequest::decode(&identity).is_err());
    }
}

/// What a stranger can build from `W` alone: `A' = a*G`, `Abar = a*W`, so that `Abar = x*A'` holds, and `D` such that (1) does.
/// It has no opening of `D` as a `B`: (2) is what is left, and fails.
#[test]
fn a_mac_made_of_the_public_key_is_refused() {
    let (world, view) = (world(), world().view());
    let statement = Statement::roll_over(&view);
    let mut draft = Forger::new(view, &world.fresh, &statement, roll_over_binding(), 1);
    assert!(draft.proves(&draft.show(Scalar::ZERO)));
    let (a, e, r1) = (Scalar::from(3u64), Scalar::from(5u64), Scalar::from(7u64));
    let a_bar = view.header.issuer_key.element() * a;
    draft.points.a_prime = Point::encode(multiply_base(&a)).unwrap();
    draft.points.a_bar = Point::encode(a_bar).unwrap();
    draft.points.d = Point::encode((a_bar + multiply_base(&(a * e))) * r1.invert()).unwrap();
    (draft.witness[0], draft.witness[1]) = (r1, e);
    assert!(world.fixture.issuer.recognises(&draft.points.a_prime, &draft.points.a_bar), "the issuer's own test holds");
    let show = draft.show(Scalar::ZERO);
    let Verdict { equations, .. } = draft.verdict(&show);
    assert_eq!(equations[..2], [true, false]);
    assert!(!draft.proves(&show));
}

/// `r1 = 0` in the witness: `Abar = -e*A'` for any `A'` at all. The proof is true; that `x = -e` is not is for the issuer to see.
#[test]
fn a_show_without_r1_is_refused() {
    let (world, view) = (world(), world().view());
    let statement = Statement::roll_over(&view);
    let mut draft = Forger::new(view, &world.fresh, &statement, roll_over_binding(), 2);
    draft.points.a_prime = other_point();
    draft.points.a_bar = Point::encode(other_point().element() * -Scalar::from(5u64)).unwrap();
    (draft.witness[0], draft.witness[1]) = (Scalar::ZERO, Scalar::from(5u64));
    let show = draft.show(Scalar::ZERO);
    assert!(draft.proves(&show), "nothing is wrong with the proof");
    let verdict = show.verify(&view, &statement, &roll_over_binding(), &world.fixture.issuer, &mut rng(1));
    assert_eq!(verdict.map(drop), Err(ShowError::Invalid));
    // With the issuer's x for -e it would be a credential out of nothing: x is what must not leak.
    let x = issuer_secret(&world.fixture);
    draft.points.a_bar = Point::encode(other_point().element() * x).unwrap();
    draft.witness[1] = -x;
    let show = draft.show(Scalar::ZERO);
    assert!(show.verify(&view, &statement, &roll_over_binding(), &world.fixture.issuer, &mut rng(1)).is_ok());
}

/// The issuer does not tell whether `Abar = x*A'` to somebody who has not proven (1): with `A'` and `Abar` of choice, the answer
/// would be an oracle for decisional Diffie-Hellman under `x`. One code for both refusals, and the order in the source.
#[test]
fn the_issuer_is_no_oracle() {
    let (world, view) = (world(), world().view());
    let statement = Statement::roll_over(&view);
    let verify = |show: &crate::credential::Show| {
        show.verify(&view, &statement, &roll_over_binding(), &world.fixture.issuer, &mut rng(1)).map(drop)
    };
    let honest = Forger::new(view, &world.fresh, &statement, roll_over_binding(), 3).show(Scalar::ZERO);
    assert_eq!(verify(&honest), Ok(()));
    // A probe: A' and Abar that do or do not match, without a proof.
    let x = issuer_secret(&world.fixture);
    for matching in [x, x + Scalar::ONE] {
        let mut probe = honest.clone();
        probe.a_prime = other_point();
        probe.a_bar = Point::encode(other_point().element() * matching).unwrap();
        assert_eq!(world.fixture.issuer.recognises(&probe.a_prime, &probe.a_bar), matching == x);
        assert_eq!(verify(&probe), Err(ShowError::Invalid));
    }
    // A proof that holds, with a credential of another issuer.
    let mut draft = Forger::new(view, &world.fresh, &statement, roll_over_binding(), 4);
    draft.points.a_prime = other_point();
    draft.points.a_bar = Point::encode(-*other_point().element()).unwrap();
    (draft.witness[0], draft.witness[1]) = (Scalar::ZERO, Scalar::ONE);
    let foreign = draft.show(Scalar::ZERO);
    assert!(draft.proves(&foreign));
    assert_eq!(verify(&foreign), Err(ShowError::Invalid));
    // Malformed shows give the same code, so that the shape tells nothing either.
    let mut malformed = honest.clone();
    malformed.linear.responses.pop();
    assert_eq!(verify(&malformed), Err(ShowError::Invalid));

    let source = include_str!("../credential/show.rs");
    let at = |text: &str| source.find(text).unwrap_or_else(|| panic!("{text} is not in the source"));
    assert!(at("accumulator.verify()") < at("key.recognises("));
    assert_eq!(source.matches("recognises(").count(), 1);
}

/// A visit's proof as one must not write it: knowledge of `sum p_i` for `sum P_i`, all weights one.
fn unweighted(holders: &[EncodedPoint], proof: &HolderProof, mut context: Transcript) -> bool {
    holders.iter().for_each(|holder| context.append("P", &holder.0));
    context.append("T", &proof.commitment.0);
    let c = context.challenge_scalar("challenge");
    let sum: crate::group::Element = holders.iter().map(|holder| *holder.decode().unwrap().element()).sum();
    let commitment = multiply_base(&proof.response.0) - sum * c;
    Point::encode(commitment).is_ok_and(|point| EncodedPoint::from(point) == proof.commitment)
}

fn context() -> Transcript {
    Transcript::new(registry::TRANSCRIPT_HOLDER)
}

/// `T = k*G`, `c` from the transcript so far, `z = k + c*witness`.
fn schnorr(mut transcript: Transcript, witness: Scalar) -> HolderProof {
    let k = Scalar::from(31u64);
    let commitment = EncodedPoint::from(Point::encode(multiply_base(&k)).unwrap());
    transcript.append("T", &commitment.0);
    let c = transcript.challenge_scalar("challenge");
    HolderProof { commitment, response: PublicScalar(k + c * witness) }
}

/// The weights of a holder statement, recomputed.
fn weights(transcript: &mut Transcript, count: u32) -> Vec<Scalar> {
    let seed = transcript.challenge_bytes("holders");
    let weight = |i: u32| hash_wide(registry::HOLDER_WEIGHT, &[&seed[..], &i.to_le_bytes()].concat());
    (0..count).map(|i| Scalar::from_bytes_mod_order_wide(&weight(i))).collect()
}

/// A thief shows somebody else's `P` beside a key of the own that cancels it. Against a plain sum it works; our weights come
/// after all keys are fixed, and it fails, also when the thief solves for the weights of an earlier draft.
#[test]
fn rogue_keys_do_not_cancel() {
    let victim = world().vouchers[0].shown().holder;
    let (p, p_victim) = (Scalar::from(9u64), *victim.decode().unwrap().element());
    let rogue = EncodedPoint::from(Point::encode(multiply_base(&p) - p_victim).unwrap());
    let mut transcript = context();
    [victim, rogue].iter().for_each(|holder| transcript.append("P", &holder.0));
    let proof = schnorr(transcript, p);
    assert!(unweighted(&[victim, rogue], &proof, context()), "the attack works on a plain sum");

    let ours = |holders: &[EncodedPoint], proof: &HolderProof| {
        let mut statement = HolderStatement::new(context());
        holders.iter().for_each(|holder| statement.holder(*holder));
        statement.verify(proof).is_ok()
    };
    let attempt = |holders: &[EncodedPoint; 2], witness: &dyn Fn(&[Scalar]) -> Scalar| {
        let mut transcript = context();
        holders.iter().for_each(|holder| transcript.append("P", &holder.0));
        let z = weights(&mut transcript, 2);
        ours(holders, &schnorr(transcript, witness(&z)))
    };
    // This local prover is a true one: with both secrets it is accepted.
    let own = [Scalar::from(9u64), Scalar::from(10u64)];
    let holders = own.map(|p| EncodedPoint::from(Point::encode(multiply_base(&p)).unwrap()));
    assert!(attempt(&holders, &|z| z[0] * own[0] + z[1] * own[1]));
    for witness in [p, Scalar::ZERO, Scalar::ONE] {
        assert!(!attempt(&[victim, rogue], &|_| witness));
        assert!(!attempt(&[victim, rogue], &|z| z[1] * witness));
    }
    // Solved for the weights of a draft: P2 = (p*G - z1*P1)/z2. The weights of the result are others.
    let mut draft = context();
    [victim, rogue].iter().for_each(|holder| draft.append("P", &holder.0));
    let z = weights(&mut draft, 2);
    let solved = (multiply_base(&p) - p_victim * z[0]) * z[1].invert();
    let solved = EncodedPoint::from(Point::encode(solved).unwrap());
    assert!(!attempt(&[victim, solved], &|_| p));
    // The same with whole vouchers: R', s' and y' as in the draft, P2 solved for.
    let entry = *world().view().key(world().vouchers[0].key()).unwrap();
    let shown = |holder| ShownVoucher { holder, ..*world().vouchers[0].shown() };
    let absorb = |transcript: &mut Transcript, holder: EncodedPoint| {
        let ShownVoucher { r, s, y, .. } = shown(holder);
        transcript.append("k", &entry.id.canonical());
        transcript.append("P", &holder.0);
        transcript.append("R'", &r.0);
        transcript.append_scalar("s'", &s.0);
        transcript.append_scalar("y'", &y.0);
    };
    let visit = |holders: &[EncodedPoint; 2], witness: &dyn Fn(&[Scalar]) -> Scalar| {
        let mut transcript = context();
        holders.iter().for_each(|holder| absorb(&mut transcript, *holder));
        let z = weights(&mut transcript, 2);
        let mut statement = HolderStatement::new(context());
        holders.iter().for_each(|holder| statement.voucher(&entry, &shown(*holder)));
        statement.verify(&schnorr(transcript, witness(&z))).is_ok()
    };
    assert!(visit(&holders, &|z| z[0] * own[0] + z[1] * own[1]));
    let mut draft = context();
    [victim, rogue].iter().for_each(|holder| absorb(&mut draft, *holder));
    let z = weights(&mut draft, 2);
    let solved = (multiply_base(&p) - p_victim * z[0]) * z[1].invert();
    assert!(!visit(&[victim, EncodedPoint::from(Point::encode(solved).unwrap())], &|_| p));
    // The same key twice does not cancel either, and no keys at all prove nothing.
    let negated = EncodedPoint::from(Point::encode(-p_victim).unwrap());
    assert!(!attempt(&[victim, negated], &|_| Scalar::ZERO));
    assert!(!ours(&[], &schnorr(context(), Scalar::ZERO)));
}

/// A voucher on the identity as holder key has no secret to prove: it is refused at a counter, in a visit and on paper alike.
#[test]
fn a_voucher_without_a_holder_is_refused() {
    use crate::{
        redeem::{BearerVoucher, Counter, RedeemRequest, Surrender},
        slip::RefusalCode,
    };
    let (world, view) = (world(), world().view());
    let at = super::key_at(&world.fixture, FOOD, 4, 1, crate::fixture::SITE, None);
    let entry = *view.key(at).unwrap();
    // The signer is blind: it signs for the identity as for any key. Here with the signer's own secret, for brevity.
    let x = *world.fixture.masters[0].derive(entry.id).unwrap().x.expose();
    let sign = |p: Scalar| {
        let holder = EncodedPoint(multiply_base(&p).compress().to_bytes());
        let (a, y) = (Scalar::from(6u64), Scalar::from(7u64));
        let encode = |scalar: &Scalar| EncodedPoint::from(Point::encode(multiply_base(scalar)).unwrap());
        let (r, y_point) = (encode(&a), encode(&(y * x)));
        let c = crate::voucher::challenge(&entry.key, &r, &y_point, &holder);
        let shown =
            crate::voucher::ShownVoucher { key: at, holder, r, s: PublicScalar(a + c * y * x), y: PublicScalar(y) };
        assert!(verify(&entry, &shown).is_ok(), "the signature itself is valid");
        crate::voucher::Voucher { secret: SecretScalar::new(p), shown }
    };
    let counter = Counter::new(view, world.place(), Vec::new());
    for (voucher, expected) in
        [(sign(Scalar::from(8u64)), Ok(())), (sign(Scalar::ZERO), Err(RefusalCode::HolderInvalid))]
    {
        let quote = world.quote();
        let request = RedeemRequest::new(&view, &quote, &[&voucher], &holder_secret(1), &mut rng(1)).unwrap();
        assert_eq!(counter.verify(&quote, &request).map(drop).map_err(|refusal| refusal.code), expected, "visit");
        let sheet = BearerVoucher::new(&voucher);
        assert_eq!(counter.verify_bearer(&quote, &sheet).map(drop).map_err(|refusal| refusal.code), expected, "sheet");
        let surrender = Surrender::new(&view, &voucher, &mut rng(1)).unwrap();
        assert_eq!(surrender.verify(&view).is_ok(), expected.is_ok(), "surrender");
    }
    // A sheet with a secret that is not the voucher's.
    let [one, two]: [crate::voucher::Voucher; 2] = mint(&world.fixture, at, 2, 9).try_into().unwrap();
    let mixed = crate::voucher::Voucher { secret: two.secret.duplicate(), shown: one.shown };
    let refusal = counter.verify_bearer(&world.quote(), &BearerVoucher::new(&mixed)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::HolderInvalid);
    assert!(balances(|weights, accumulator| {
        let logged = verify(&entry, &one.shown).unwrap();
        crate::voucher::accumulate([&logged], |at| view.key(at), weights, accumulator)
    }));
}
