//! The blind signature: its equations, its nonce rule, and the forgery that one shared weight would allow (spec 5).

use std::sync::Arc;

use super::{each_fails, fresh_seed, key_at, mint, mutations, other_encoded, other_scalar, rng, world};
use crate::{
    fixture::{CASH, FOOD, SITE},
    group::{Accumulator, EncodedPoint, Point, PublicScalar, Scalar, multiply_base},
    ids::KeyIndex,
    programme::KeyEntry,
    secret::Weights,
    voucher::{
        Answer, Commitment, LoggedVoucher, PreparedKey, SessionOffer, ShownVoucher, UnblindError, VoucherSecret,
        accumulate, blind, challenge, unblind, verify,
    },
};

fn entry(at: KeyIndex) -> KeyEntry {
    *world().programme().key(at).unwrap()
}

fn food() -> KeyIndex {
    key_at(&world().fixture, FOOD, 4, 1, SITE, None)
}

/// The batch verifier's verdict.
fn batch(vouchers: &[LoggedVoucher]) -> bool {
    super::balances(|weights, accumulator| accumulate(vouchers, |at| world().programme().key(at), weights, accumulator))
}

/// The verdicts of both single verifiers; they agree.
fn single(shown: &ShownVoucher) -> bool {
    let Some(entry) = world().programme().key(shown.key) else { return false };
    let (plain, prepared) = (verify(entry, shown), PreparedKey::new(entry).verify(shown));
    assert_eq!(plain, prepared);
    plain.is_ok()
}

/// `X, R', Y', P, s', y'`, in the single verifiers and in the batch.
#[test]
fn every_field_of_a_voucher_counts() {
    let vouchers = mint(&world().fixture, food(), 3, 1);
    let logged: Vec<_> = vouchers.iter().map(|voucher| verify(&entry(food()), &voucher.shown).unwrap()).collect();
    let shown_mutations = || {
        mutations![ShownVoucher;
            "X" => |shown| shown.key.0 += 1,
            "X unknown" => |shown| shown.key.0 = u32::MAX,
            "P" => |shown| shown.holder = other_encoded(),
            "P, any bytes" => |shown| shown.holder.0 = [0xff; 32],
            "R'" => |shown| shown.r = other_encoded(),
            "R', identity" => |shown| shown.r.0 = [0; 32],
            "R', not a point" => |shown| shown.r.0 = [0xff; 32],
            "s'" => |shown| shown.s.0 += Scalar::ONE,
            "s' negated" => |shown| shown.s.0 = -shown.s.0,
            "y'" => |shown| shown.y.0 += Scalar::ONE,
            "y' = 0" => |shown| shown.y.0 = Scalar::ZERO,
            "s' = y' = 0" => |shown| (shown.s.0, shown.y.0) = (Scalar::ZERO, Scalar::ZERO),
        ]
    };
    each_fails(&vouchers[0].shown, single, shown_mutations());
    for at in 0..logged.len() {
        let alone = |shown: &ShownVoucher| {
            let mut logged = logged.clone();
            logged[at].shown = *shown;
            batch(&logged)
        };
        each_fails(&vouchers[at].shown, alone, shown_mutations());
        each_fails(
            &logged,
            |logged| batch(logged),
            mutations![Vec<LoggedVoucher>;
                "Y'" => |logged| logged[at].y_point = other_encoded(),
                "Y', identity" => |logged| logged[at].y_point.0 = [0; 32],
                "Y', not a point" => |logged| logged[at].y_point.0 = [0xff; 32],
                "Y' and y' of another" => |logged| {
                    let other = logged[(at + 1) % 3];
                    (logged[at].y_point, logged[at].shown.y) = (other.y_point, other.shown.y)
                },
            ],
        );
    }
    // Errors that cancel between two vouchers do not cancel under their weights.
    let mut cancelling = logged.clone();
    cancelling[0].shown.s.0 += Scalar::ONE;
    cancelling[1].shown.s.0 -= Scalar::ONE;
    assert!(!batch(&cancelling));
}

/// A batch verifier as one must not write it: one weight for both equations. `second` is the second bracket of voucher `v`.
fn shared_weight(vouchers: &[LoggedVoucher], second: impl Fn(&LoggedVoucher, Scalar) -> (Scalar, Scalar)) -> bool {
    let (mut weights, mut accumulator) = (Weights::new(&mut rng(11)), Accumulator::new());
    for logged in vouchers {
        let (shown, key) = (&logged.shown, entry(logged.shown.key).key);
        let weight = weights.next();
        let c = challenge(&key, &shown.r, &logged.y_point, &shown.holder);
        let (of_y, of_x) = second(logged, c);
        accumulator.add(*logged.y_point.decode().unwrap().element(), weight * (Scalar::ONE + of_y));
        accumulator.add(*shown.r.decode().unwrap().element(), weight);
        accumulator.add_shared(&key, weight * (of_x - shown.y.0));
        accumulator.add_shared(&Point::generator(), -(weight * shown.s.0));
    }
    accumulator.verify().is_ok()
}

/// `R' + c'*Y' - s'*G`, as the equation is written.
fn as_written(_: &LoggedVoucher, c: Scalar) -> (Scalar, Scalar) {
    (c, Scalar::ZERO)
}

/// `R' + c'*y'*X - s'*G`, as our verifier writes it.
fn substituted(logged: &LoggedVoucher, c: Scalar) -> (Scalar, Scalar) {
    (Scalar::ZERO, c * logged.shown.y.0)
}

/// A voucher from public data alone: `R' = u*G + X`, `Y' = v*G + X`, and `y', s'` that make the *sum* of the two brackets zero.
/// Neither is hashed, so both can be chosen last.
fn forge(key: KeyIndex, solve: impl Fn(Scalar, Scalar, Scalar) -> (Scalar, Scalar)) -> LoggedVoucher {
    let (x, [u, v, p]) = (entry(key).key, [21u64, 22, 23].map(Scalar::from));
    let plus_x = |by: &Scalar| EncodedPoint::from(Point::encode(multiply_base(by) + x.element()).unwrap());
    let (r, y_point, holder) = (plus_x(&u), plus_x(&v), EncodedPoint::from(Point::encode(multiply_base(&p)).unwrap()));
    let (s, y) = solve(challenge(&x, &r, &y_point, &holder), u, v);
    LoggedVoucher { shown: ShownVoucher { key, holder, r, s: PublicScalar(s), y: PublicScalar(y) }, y_point }
}

/// One shared weight for both equations is a universal forgery: without any secret, for any key, for any holder. It passes both
/// ways to write such a verifier; ours, with two weights, refuses it, alone and among true vouchers.
#[test]
fn shared_weight_is_a_universal_forgery() {
    let honest: Vec<_> = mint(&world().fixture, food(), 4, 2)
        .iter()
        .map(|voucher| verify(&entry(food()), &voucher.shown).unwrap())
        .collect();
    assert!(shared_weight(&honest, as_written) && shared_weight(&honest, substituted) && batch(&honest));
    let key = key_at(&world().fixture, CASH, 50, 1, SITE, None);
    // (1 + c)(v*G + X) + u*G + X - y*X - s*G = 0, and (v*G + X) - y*X + u*G + X + c*y*X - s*G = 0.
    let one = Scalar::ONE;
    let first = forge(key, |c, u, v| ((one + c) * v + u, one + c + one));
    let second = forge(key, |c, u, v| (u + v, (one + one) * (one - c).invert()));
    assert!(shared_weight(&[first], as_written), "the attack works on one shared weight");
    assert!(shared_weight(&[second], substituted), "the attack works on one shared weight");
    for forged in [first, second] {
        assert!(!batch(&[forged]), "two weights");
        assert!(!single(&forged.shown), "a site");
        let among: Vec<_> = honest.iter().copied().chain([forged]).collect();
        assert!(!batch(&among), "two weights, among true vouchers");
    }
}

/// A signer that breaks the nonce rule: it answers twice with one `(a, y)`.
struct CarelessSigner {
    x: Scalar,
    a: Scalar,
    y: Scalar,
}

impl CarelessSigner {
    fn answer(&self, c: &PublicScalar) -> Answer {
        Answer { s: PublicScalar(self.a + c.0 * self.y * self.x), y: PublicScalar(self.y) }
    }
}

/// Two answers for one `(a, y)` give away the key, and with it every voucher of the key. That [`crate::voucher::SigningSession`]
/// cannot do it is for the compiler to say: `tests/ui`, and `a_session_has_no_copies`.
#[test]
fn nonce_reuse_reveals_the_key() {
    let secret: Arc<VoucherSecret> = Arc::new(world().fixture.masters[0].derive(entry(food()).id).unwrap());
    let entry = *secret.entry();
    let signer = CarelessSigner { x: *secret.x.expose(), a: other_scalar(), y: Scalar::from(17u64) };
    let commitment = Commitment {
        r: Point::encode(multiply_base(&signer.a)).unwrap(),
        y: Point::encode(entry.key.element() * signer.y).unwrap(),
    };
    let offer = SessionOffer { session: Default::default(), commitments: vec![commitment; 2] };
    let keys = vec![(food(), entry); 2];
    let (states, challenges) = blind(&keys, &offer, &fresh_seed(3)).unwrap();
    let answers: Vec<_> = challenges.iter().map(|c| signer.answer(c)).collect();
    assert_eq!(unblind(&states, &[entry; 2], &answers).unwrap().len(), 2, "both answers are valid");

    // What the holder of the two answers computes.
    let (s, c) = (answers[0].s.0 - answers[1].s.0, challenges[0].0 - challenges[1].0);
    let x = s * (c * answers[0].y.0).invert();
    assert_eq!(Point::encode(multiply_base(&x)).unwrap(), entry.key, "the secret key");
    let (p, a, y) = (Scalar::from(5u64), Scalar::from(6u64), Scalar::from(7u64));
    let encode = |scalar: &Scalar| EncodedPoint::from(Point::encode(multiply_base(scalar)).unwrap());
    let (holder, r, y_point) = (encode(&p), encode(&a), encode(&(y * x)));
    let s = a + challenge(&entry.key, &r, &y_point, &holder) * y * x;
    let forged = ShownVoucher { key: food(), holder, r, s: PublicScalar(s), y: PublicScalar(y) };
    assert!(single(&forged), "a voucher that the signer never signed");

    // An honest session never shares nonces between vouchers, nor between sessions of one generator.
    let session =
        |seed| crate::voucher::SigningSession::open(vec![(food(), 3)], &vec![secret.clone(); 3], &mut rng(seed));
    let (one, two) = (session(1), session(2));
    let mut points: Vec<_> = one.offer().commitments.iter().chain(&two.offer().commitments).collect();
    points.sort_by_key(|commitment| *commitment.r.as_bytes());
    points.dedup_by_key(|commitment| *commitment.r.as_bytes());
    assert_eq!(points.len(), 6);
    let mut points: Vec<_> = points.iter().map(|commitment| *commitment.y.as_bytes()).collect();
    points.sort_unstable();
    points.dedup();
    assert_eq!(points.len(), 6);
}

/// What the compiler knows of a type: an inherent constant hides the trait's where its bound holds.
mod probe {
    use std::marker::PhantomData;

    pub(super) struct Probe<T>(PhantomData<T>);
    pub(super) trait Not {
        const CLONE: bool = false;
        const SERIALIZE: bool = false;
        const DESERIALIZE: bool = false;
    }
    impl<T> Not for Probe<T> {}
    impl<T: Clone> Probe<T> {
        pub(super) const CLONE: bool = true;
    }
    impl<T: serde::Serialize> Probe<T> {
        pub(super) const SERIALIZE: bool = true;
    }
    impl<T: serde::de::DeserializeOwned> Probe<T> {
        pub(super) const DESERIALIZE: bool = true;
    }
}

/// A session can be neither cloned nor written down nor read back.
#[test]
fn a_session_has_no_copies() {
    use probe::{Not as _, Probe};
    type Session = crate::voucher::SigningSession;
    let of_session = [Probe::<Session>::CLONE, Probe::<Session>::SERIALIZE, Probe::<Session>::DESERIALIZE];
    let of_offer = [Probe::<SessionOffer>::CLONE, Probe::<SessionOffer>::SERIALIZE, Probe::<SessionOffer>::DESERIALIZE];
    assert_eq!((of_session, of_offer), ([false; 3], [true; 3]));
}

/// The holder's three checks: `y != 0`, `Y = y*X`, `s*G = R + c*Y`; and that the offer has the list's length.
#[test]
fn a_holder_refuses_a_wrong_answer() {
    let secret = world().fixture.masters[0].derive(entry(food()).id).unwrap();
    let (entry, x) = (*secret.entry(), *secret.x.expose());
    let attempt = |tamper: fn(&mut Commitment, Scalar, &KeyEntry), answer: fn(Answer, Scalar) -> Answer| {
        let signer = CarelessSigner { x, a: other_scalar(), y: Scalar::from(17u64) };
        let mut commitment = Commitment {
            r: Point::encode(multiply_base(&signer.a)).unwrap(),
            y: Point::encode(entry.key.element() * signer.y).unwrap(),
        };
        tamper(&mut commitment, x, &entry);
        let offer = SessionOffer { session: Default::default(), commitments: vec![commitment] };
        let (states, challenges) = blind(&[(food(), entry)], &offer, &fresh_seed(4)).unwrap();
        let honest = signer.answer(&challenges[0]);
        unblind(&states, &[entry], &[answer(honest, challenges[0].0)]).map(|vouchers| single(&vouchers[0].shown))
    };
    type Tamper = (fn(&mut Commitment, Scalar, &KeyEntry), fn(Answer, Scalar) -> Answer);
    let attempts: [(&str, Tamper); 6] = [
        ("s", (|_, _, _| {}, |answer, _| Answer { s: PublicScalar(answer.s.0 + Scalar::ONE), ..answer })),
        ("y", (|_, _, _| {}, |answer, _| Answer { y: PublicScalar(answer.y.0 + Scalar::ONE), ..answer })),
        ("y = 0", (|_, _, _| {}, |answer, _| Answer { y: PublicScalar(Scalar::ZERO), ..answer })),
        ("R", (|commitment, _, _| commitment.r = super::shifted(commitment.r), |answer, _| answer)),
        // Y of another key, with an s that satisfies the last equation: Y = y2*G, s = a + c*y2.
        (
            "Y of another key",
            (
                |commitment, _, _| commitment.y = super::other_point(),
                |answer, c| Answer { s: PublicScalar(other_scalar() + c * other_scalar()), ..answer },
            ),
        ),
        ("Y = X", (|commitment, _, entry| commitment.y = entry.key, |answer, _| answer)),
    ];
    assert_eq!(attempt(|_, _, _| {}, |answer, _| answer), Ok(true));
    for (name, (tamper, answer)) in attempts {
        assert_eq!(attempt(tamper, answer), Err(UnblindError::Invalid), "{name}");
    }
    let offer = SessionOffer { session: Default::default(), commitments: Vec::new() };
    assert_eq!(blind(&[(food(), entry)], &offer, &fresh_seed(4)).err(), Some(UnblindError::Count));
    // A zero y makes Y the identity: there is no such commitment to send.
    assert!(Point::encode(entry.key.element() * Scalar::ZERO).is_err());
}

/// A voucher of one key is none of another, even of the same line, value and round: keys are independent.
#[test]
fn a_voucher_belongs_to_one_key() {
    let fixture = &world().fixture;
    let voucher = &mint(fixture, food(), 1, 5)[0];
    let accepted: Vec<u32> = (0..world().programme().keys().len() as u32)
        .filter(|at| verify(&entry(KeyIndex(*at)), &ShownVoucher { key: KeyIndex(*at), ..voucher.shown }).is_ok())
        .collect();
    assert_eq!(accepted, [food().0]);
}
