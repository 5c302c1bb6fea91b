//! Operations on secrets, each with a fixed and a random secret: what the timing checks run.

use std::{cell::LazyCell, hint::black_box};

use annona_protocol::{
    credential::{Credential, IssuerKey},
    draw::{DrawContext, RollOverContext},
    enrol::EnrolContext,
    fixture::LOT,
    group::Point,
    hazmat,
    programme::TicketKind,
    secret::SecretScalar,
    slots::Slots,
    ticket::TicketCode,
    voucher::{SessionOffer, Voucher},
};
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use crate::{
    leak::Class,
    world::{self, EXPIRES, World, slots},
    yardsticks,
};

type Around<'a> = &'a mut dyn FnMut(&mut dyn FnMut());
type Run = Box<dyn FnMut(Class, &mut ChaCha20Rng, Around<'_>)>;

/// Whose code an operation runs, and so what a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours and the curve library's: must not differ.
    Ours,
    /// With a range proof inside, whose inner-product argument takes variable time on what would be public without it.
    RangeProof,
    /// Known to differ: shows that the check sees something.
    Control,
}

/// An operation on a secret.
pub struct Probe {
    /// A name without spaces.
    pub name: &'static str,
    /// Which secret is fixed or random.
    pub secret: &'static str,
    /// Whose code it is.
    pub whose: Whose,
    run: Run,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", self.name)
    }
}

impl Probe {
    fn new<I: 'static, O: 'static>(
        name: &'static str,
        secret: &'static str,
        whose: Whose,
        mut prepare: impl FnMut(Class, &mut ChaCha20Rng) -> I + 'static,
        mut operation: impl FnMut(I) -> O + 'static,
    ) -> Self {
        let run: Run = Box::new(move |class, rng, around| {
            let (mut input, mut output) = (Some(prepare(class, rng)), None);
            around(&mut || output = input.take().map(&mut operation));
            assert!(output.is_some(), "run once");
        });
        Self { name, secret, whose, run }
    }

    /// Prepares an input of a class and runs the operation inside `around`, which must call its argument once.
    pub fn run(&mut self, class: Class, rng: &mut ChaCha20Rng, around: Around<'_>) {
        (self.run)(class, rng, around);
    }
}

/// A fixed or a random generator: the same or fresh nonces.
fn generator(class: Class, rng: &mut ChaCha20Rng) -> ChaCha20Rng {
    let fresh = rng.next_u64();
    world::rng(if class == Class::Fixed { 0 } else { fresh })
}

/// Copies of one thing, and as many different ones: both classes read memory alike.
struct Pool<T> {
    fixed: Vec<T>,
    random: Vec<T>,
}

impl<T> Pool<T> {
    const SIZE: usize = 64;

    fn new(mut make: impl FnMut(usize) -> T, copy: impl Fn(&T) -> T) -> Self {
        let first = make(0);
        Self {
            fixed: (0..Self::SIZE).map(|_| copy(&first)).collect(),
            random: (1..=Self::SIZE).map(&mut make).collect(),
        }
    }

    fn pick(&self, class: Class, rng: &mut ChaCha20Rng) -> &T {
        let at = rng.next_u64() as usize % Self::SIZE;
        if class == Class::Fixed { &self.fixed[at] } else { &self.random[at] }
    }
}

fn point(rng: &mut ChaCha20Rng) -> Point {
    let secret = SecretScalar::random(rng);
    hazmat::public_point(&secret).expect("not zero")
}

/// An issuer key: the smallest `x` there is, or a random one.
fn issuer_key(class: Class, rng: &mut ChaCha20Rng) -> IssuerKey {
    let (mut bytes, mut e_secret) = ([0; 64], [0; 32]);
    let x = yardsticks::scalar(rng);
    rng.fill_bytes(&mut e_secret);
    if class == Class::Fixed {
        bytes[0] = 1;
    } else {
        bytes[..32].copy_from_slice(x.as_bytes());
        bytes[32..].copy_from_slice(&e_secret);
    }
    IssuerKey::from_bytes(&bytes).expect("canonical and not zero")
}

fn issuing() -> Vec<Probe> {
    let mut points = world::rng(200);
    let pool: Vec<Point> = (0..64).map(|_| point(&mut points)).collect();
    let again = pool.clone();
    let at = |rng: &mut ChaCha20Rng| rng.next_u64() as usize % 64;
    vec![
        Probe::new(
            "issue-mac",
            "x, and the secret behind e",
            Whose::Ours,
            move |class, rng| (issuer_key(class, rng), pool[at(rng)]),
            |(key, b)| hazmat::mac(&key, &b),
        ),
        Probe::new(
            "issue-recognise",
            "x",
            Whose::Ours,
            move |class, rng| (issuer_key(class, rng), again[at(rng)]),
            |(key, a_prime)| hazmat::recognises(&key, &a_prime, &a_prime),
        ),
    ]
}

fn enrolment(world: &'static World) -> Vec<Probe> {
    let programme = &world.fixture.programme;
    let request = |rng: &mut ChaCha20Rng, code: [u8; 10]| {
        let slots = slots(rng);
        EnrolContext::new(programme, TicketKind::Enrol, TicketCode::from_bytes(code), slots, rng).expect("well formed")
    };
    vec![
        Probe::new(
            "enrol-request",
            "r', serial, nonces, ticket code",
            Whose::Ours,
            |class, rng| {
                let mut code = [0; 10];
                rng.fill_bytes(&mut code);
                if class == Class::Fixed {
                    code = [0; 10];
                }
                (generator(class, rng), slots(rng), TicketCode::from_bytes(code))
            },
            |(mut rng, slots, code)| EnrolContext::new(programme, TicketKind::Enrol, code, slots, &mut rng).is_ok(),
        ),
        Probe::new(
            "issue",
            "x, rho, nonces, attributes",
            Whose::Ours,
            move |class, rng| {
                let code = [7; 10];
                let mut attributes = [1 + rng.next_u64() % 15, rng.next_u64() % 16];
                if class == Class::Fixed {
                    attributes = [1, 0];
                }
                let ticket = TicketCode::from_bytes(code);
                let grant = world.fixture.grant(LOT, TicketKind::Enrol, &ticket, EXPIRES, &attributes);
                let verified = request(rng, code).1.verify(programme, rng).expect("honest");
                (verified, issuer_key(class, rng), grant, generator(class, rng))
            },
            |(verified, key, grant, mut rng)| verified.issue(programme, &key, &grant, &mut rng).is_ok(),
        ),
    ]
}

fn signing(world: &'static World) -> Vec<Probe> {
    let keys = world.one_key(4);
    let (one, two, three) = (keys.clone(), keys.clone(), keys.clone());
    let challenges = {
        let mut rng = world::rng(201);
        let session = world.open(&keys, &mut rng);
        hazmat::blind(&world.view(), &keys, session.offer(), &mut rng).expect("listed").1
    };
    let mut offers = world::rng(202);
    let offers: Vec<SessionOffer> = (0..64).map(|_| world.open(&keys, &mut offers).offer().clone()).collect();
    vec![
        Probe::new("sign-open", "a, y of 4 signatures", Whose::Ours, generator, move |mut rng| {
            world.open(&one, &mut rng)
        }),
        Probe::new(
            "sign-answer",
            "a, y, x of 4 signatures",
            Whose::Ours,
            move |class, rng| world.open(&two, &mut generator(class, rng)),
            move |session| session.answer(&challenges),
        ),
        Probe::new(
            "blind",
            "p, r1, r2, g of 4 vouchers",
            Whose::Ours,
            move |class, rng| {
                let offer = offers[rng.next_u64() as usize % 64].clone();
                (offer, generator(class, rng))
            },
            move |(offer, mut rng)| hazmat::blind(&world.view(), &three, &offer, &mut rng).is_ok(),
        ),
        Probe::new(
            "holder-key",
            "p",
            Whose::Ours,
            |class, rng| SecretScalar::random(&mut generator(class, rng)),
            |secret| annona_protocol::redeem::holder_key(&secret),
        ),
    ]
}

/// Vouchers whose public parts are all different, and whose secrets are the point.
fn holding(world: &'static World) -> Vec<Probe> {
    let mut rng = world::rng(203);
    let vouchers = move |_| {
        let keys = world.one_key(1);
        let session = world.open(&keys, &mut rng);
        let (blinded, challenges) = hazmat::blind(&world.view(), &keys, session.offer(), &mut rng).expect("listed");
        let answers = session.answer(&challenges).expect("one a nonce");
        blinded.unblind(&[*world.entry()], &answers).expect("honest").remove(0)
    };
    let pool = LazyCell::new(move || Pool::new(vouchers, Voucher::duplicate));
    vec![Probe::new(
        "holder-proof",
        "p, nonce",
        Whose::Ours,
        move |class, rng| (pool.pick(class, rng).duplicate(), generator(class, rng)),
        |(voucher, mut rng)| hazmat::prove_holder(&[(world.entry(), &voucher)], &mut rng),
    )]
}

/// A household: the first is the fixed one.
fn enrolled(world: &World, at: usize, rng: &mut ChaCha20Rng) -> Credential {
    let attributes = if at == 0 { [1, 0] } else { [1 + rng.next_u64() % 15, rng.next_u64() % 16] };
    world.fixture.enrol(LOT, EXPIRES, &attributes, rng).0
}

fn shows(world: &'static World) -> Vec<Probe> {
    // Made at the first use: an instruction counter asks for one probe only.
    let enrolled = LazyCell::new(|| {
        let mut rng = world::rng(204);
        Pool::new(|at| enrolled(world, at, &mut rng), Credential::duplicate)
    });
    let rolled = LazyCell::new(|| {
        let mut rng = world::rng(205);
        let roll = |at| {
            let credential = self::enrolled(world, at, &mut rng);
            world.fixture.roll_over(1, &credential, &mut rng).0
        };
        Pool::new(roll, Credential::duplicate)
    });
    let input = |pool: &Pool<Credential>, class, rng: &mut ChaCha20Rng| {
        (pool.pick(class, rng).duplicate(), slots(rng), generator(class, rng))
    };
    vec![
        Probe::new(
            "show-linear",
            "credential, blindings, nonces",
            Whose::Ours,
            move |class, rng| input(&rolled, class, rng),
            |(credential, slots, mut rng): (Credential, Slots, ChaCha20Rng)| {
                DrawContext::refresh(&world.view(), &credential, slots, &mut rng).is_ok()
            },
        ),
        // Fresh nonces in both classes: what takes variable time is masked by them.
        Probe::new(
            "roll-over",
            "credential; fresh nonces",
            Whose::RangeProof,
            move |class, rng| {
                let (credential, slots, _) = input(&enrolled, class, rng);
                (credential, slots, generator(Class::Random, rng))
            },
            |(credential, slots, mut rng)| RollOverContext::new(&world.view(), &credential, slots, &mut rng).is_ok(),
        ),
        Probe::new(
            "range-bits",
            "2 values of 16 bits, blindings",
            Whose::Ours,
            move |class, rng| (two_values(class, rng), generator(class, rng)),
            |(values, mut rng)| hazmat::commit_bits(16, &values, &mut rng).is_ok(),
        ),
        Probe::new(
            "range-proof",
            "2 values of 16 bits; fresh nonces",
            Whose::RangeProof,
            move |class, rng| (two_values(class, rng), generator(Class::Random, rng)),
            |(values, mut rng)| hazmat::prove_range(16, &values, &mut rng).is_ok(),
        ),
    ]
}

fn two_values(class: Class, rng: &mut ChaCha20Rng) -> [u64; 2] {
    let word = rng.next_u64();
    if class == Class::Fixed { [0, 0] } else { [word & 0xffff, (word >> 16) & 0xffff] }
}

fn scalars() -> Vec<Probe> {
    let mut rng = world::rng(206);
    let element = RistrettoPoint::mul_base(&yardsticks::scalar(&mut rng));
    vec![
        Probe::new(
            "value-as-scalar",
            "64 signed values",
            Whose::Ours,
            |class, rng| -> [i64; 64] {
                // Both are made and one is picked by its position: so short an operation shows what was computed before it.
                let both = [[0; 64], std::array::from_fn(|_| rng.next_u64().cast_signed() >> 32)];
                black_box(both)[black_box(class as usize)]
            },
            |values| values.map(hazmat::secret_scalar_of),
        ),
        Probe::new(
            "control",
            "a scalar, in variable time on purpose",
            Whose::Control,
            |class, rng| {
                let scalar = yardsticks::scalar(rng);
                if class == Class::Fixed { Scalar::ONE } else { scalar }
            },
            move |scalar| RistrettoPoint::vartime_double_scalar_mul_basepoint(&scalar, &element, &Scalar::ONE),
        ),
    ]
}

/// All operations, the control last.
pub fn probes(world: &'static World) -> Vec<Probe> {
    let mut probes = issuing();
    probes.extend(enrolment(world));
    probes.extend(signing(world));
    probes.extend(holding(world));
    probes.extend(shows(world));
    probes.extend(scalars());
    probes
}
