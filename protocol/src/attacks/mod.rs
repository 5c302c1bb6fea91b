//! Attacks on the protocol, each refused (spec: every MUST of a verifier has one here).
//!
//! By theme: what is bound and what is checked ([`show`], [`issue`], [`wallet`], [`voucher`],
//! [`holder`], [`cohort`]); what bytes may say
//! ([`encoding`], [`bounds`]); what one party could do to another ([`replay`], [`degenerate`], [`blindness`],
//! [`bugs_of_others`]).
//!
//! Two ways to attack a proof, both needed. *Mutation*: a true proof, one field of its statement changed ([`each_fails`]); shows
//! that the field is bound. *Forgery*: the attacker redoes the Fiat-Shamir transform honestly over a statement that is false in
//! one equation; a verifier that checks the equations one by one names the broken one, so that the refusal is that equation's.

mod blindness;
mod bounds;
mod bugs_of_others;
mod cohort;
mod degenerate;
mod encoding;
mod forger;
mod holder;
mod issue;
mod replay;
mod show;
mod voucher;
mod wallet;

use std::{
    fmt::Debug,
    sync::{Arc, LazyLock},
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{
    credential::Credential,
    draw::{AmendContext, DrawContext, DrawRequest, SessionRequest},
    fixture::{AMEND_LOT, CASH, FOOD, Fixture, INFANT, LOT, SITE, SLOTTED},
    group::{Accumulator, EncodedPoint, Point, PublicScalar, Scalar, multiply_base},
    ids::{KeyIndex, LineId, Round, SiteId, Slot},
    log::leaf::{AmendLeaf, DrawLeaf, EnrolLeaf, ShowRecord, SwapLeaf},
    programme::{InForce, KeyCounts, Programme, TicketKind},
    secret::{SecretBytes, SecretScalar, Weights},
    sigma::{LinearProof, Relation},
    slip::{Place, Quote, QuoteTerms, Signed},
    slots::Slots,
    swap::SwapContext,
    ticket::TicketCode,
    transcript::Transcript,
    voucher::{SigningSession, Voucher, blind, unblind},
};

/// An honest life, done once: what attacks start from.
struct World {
    fixture: Fixture,
    /// Enrolled with 4 members, one under two; not rolled over.
    fresh: Credential,
    enrol: EnrolLeaf,
    /// `fresh`, rolled over into round 1.
    rolled: Credential,
    roll_over: ShowRecord,
    /// Food 4, infant 1, cash 20 and 10, at the first site.
    vouchers: Vec<Voucher>,
    draw: DrawLeaf,
    amend: AmendLeaf,
    swap: SwapLeaf,
}

fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| {
        let mut rng = rng(0xa770_ac45);
        let fixture = Fixture::new(&mut rng);
        let view = fixture.view(1);
        let (fresh, issued) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
        let (rolled, roll_over) = fixture.roll_over(1, &fresh, &mut rng);
        let keys = fixture.keys(1, &[(FOOD, 4), (INFANT, 1), (CASH, 30)]);
        let (after, vouchers, draw) = fixture.draw(1, &rolled, keys, &mut rng);

        let code = TicketCode::random(&mut rng);
        let grant = fixture.grant(AMEND_LOT, TicketKind::Amend, &code, 12, &[6, 2]);
        let slots = Slots::random(64, &mut rng);
        let (_, request) = AmendContext::new(&view, &after, code, slots, &mut rng).unwrap();
        let verified = request.verify(&view, &fixture.issuer, &mut rng).unwrap();
        let amend = verified.answer(&view, &fixture.issuer, &grant, &mut rng).unwrap().leaf;

        let new = fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(FOOD, 4), (INFANT, 1)]);
        let session = open(&fixture, 1, &new);
        let old = vouchers[..2].iter().collect();
        let (_, request) =
            SwapContext::new(&view, old, new, session.offer(), Slots::random(64, &mut rng), &mut rng).unwrap();
        let (_, swap) = request.verify(&view, &session).unwrap().answer(session).unwrap();
        World { fresh, enrol: issued.leaf, rolled, roll_over, vouchers, draw, amend, swap, fixture }
    });
    &WORLD
}

impl World {
    fn view(&self) -> InForce<'_> {
        self.fixture.view(1)
    }

    fn programme(&self) -> &Programme {
        &self.fixture.programme
    }

    fn place(&self) -> Place {
        Place::new(&self.view(), SITE)
    }

    fn quote(&self) -> Quote {
        quote(&self.fixture, 1, SITE)
    }
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn fresh_seed(seed: u64) -> SecretBytes {
    SecretBytes::random(&mut rng(seed))
}

/// A scalar and a point that nothing else uses.
fn other_scalar() -> Scalar {
    Scalar::from(0x0bad_5eed_u64)
}

/// See [`other_scalar`].
fn other_point() -> Point {
    Point::encode(multiply_base(&other_scalar())).unwrap()
}

fn other_encoded() -> EncodedPoint {
    other_point().into()
}

/// `point + G`.
fn shifted(point: Point) -> Point {
    Point::encode(point.element() + Point::generator().element()).unwrap()
}

/// A signed quote of all lines.
fn quote(fixture: &Fixture, round: u32, site: SiteId) -> Quote {
    let place = Place::new(&fixture.view(round), site);
    let terms = QuoteTerms { place, id: Default::default(), lines: vec![FOOD, INFANT, CASH] };
    Signed::sign(terms, &fixture.site_logs[usize::from(site.0) - 1])
}

/// A name, and what is changed.
type Mutation<'a, T> = (&'a str, Box<dyn Fn(&mut T) + 'a>);

/// Asserts that `honest` passes, and that none of its mutations does.
fn each_fails<T: Clone + PartialEq + Debug>(honest: &T, passes: impl Fn(&T) -> bool, mutations: Vec<Mutation<'_, T>>) {
    assert!(passes(honest), "unmutated");
    for (name, mutate) in mutations {
        let mut bad = honest.clone();
        mutate(&mut bad);
        assert_ne!(bad, *honest, "{name}: not a mutation");
        assert!(!passes(&bad), "{name}");
    }
}

/// A list for [`each_fails`]: `"name" => |value| change`.
macro_rules! mutations {
    ($type:ty; $($name:expr => |$value:ident| $change:expr),* $(,)?) => {
        vec![$(($name, Box::new(move |$value: &mut $type| { $change; }) as Box<dyn Fn(&mut $type) + '_>)),*]
    };
}
use mutations;

/// Whether what `add` accumulates can be accumulated and balances.
fn balances<E>(add: impl FnOnce(&mut Weights, &mut Accumulator) -> Result<(), E>) -> bool {
    let (mut weights, mut accumulator) = (Weights::new(&mut rng(99)), Accumulator::new());
    add(&mut weights, &mut accumulator).is_ok() && accumulator.verify().is_ok()
}

/// Runs a prover on a relation whatever its truth, and says which equations hold.
fn forge(relation: &Relation, witness: &[Scalar], transcript: &Transcript) -> (LinearProof, Vec<bool>) {
    let mut nonces = crate::secret::hedged(witness, &[0; 64], &mut rng(98));
    let proof = relation.prove(witness, &mut transcript.clone(), &mut nonces);
    let holds = relation.equations_hold(&proof, &mut transcript.clone());
    (proof, holds)
}

/// Mutations of a linear proof by name, each applied through `at`.
fn proof_mutations<'a, T: 'a>(
    proof: &LinearProof,
    at: impl Fn(&mut T) -> &mut LinearProof + Copy + 'a,
) -> Vec<Mutation<'a, T>> {
    let mut mutations: Vec<Mutation<'a, T>> = Vec::new();
    for i in 0..proof.commitments.len() {
        mutations.push(("commitment", Box::new(move |value| at(value).commitments[i] = other_encoded())));
        mutations.push(("commitment identity", Box::new(move |value| at(value).commitments[i].0 = [0; 32])));
    }
    for i in 0..proof.responses.len() {
        mutations.push(("response", Box::new(move |value| at(value).responses[i].0 += Scalar::ONE)));
    }
    mutations.push((
        "commitment missing",
        Box::new(move |value| {
            at(value).commitments.pop();
        }),
    ));
    mutations.push(("commitment more", Box::new(move |value| at(value).commitments.push(other_encoded()))));
    mutations.push((
        "response missing",
        Box::new(move |value| {
            at(value).responses.pop();
        }),
    ));
    mutations.push(("response more", Box::new(move |value| at(value).responses.push(PublicScalar(Scalar::ZERO)))));
    mutations
}

/// A signing session of the honest issuer.
fn open(fixture: &Fixture, round: u32, keys: &KeyCounts) -> SigningSession {
    let request = SessionRequest { round: Round(round), keys: keys.clone() };
    fixture.secrets(round).open(&fixture.view(round), &request, &mut rng(97)).unwrap()
}

/// An honest draw request with its context and session.
fn draw_request(
    fixture: &Fixture,
    round: u32,
    credential: &Credential,
    keys: &KeyCounts,
) -> (DrawContext, DrawRequest, SigningSession) {
    let session = open(fixture, round, keys);
    let mut rng = rng(96);
    let slots = Slots::random(64, &mut rng);
    let (context, request) =
        DrawContext::new(&fixture.view(round), credential, keys.clone(), session.offer(), slots, &mut rng).unwrap();
    (context, request, session)
}

/// Vouchers straight from the signer, `count` of one key: what a draw would have given.
fn mint(fixture: &Fixture, at: KeyIndex, count: usize, seed: u64) -> Vec<Voucher> {
    let entry = *fixture.programme.key(at).unwrap();
    let secret = Arc::new(fixture.masters[entry.id.round.0 as usize - 1].derive(entry.id).unwrap());
    let session = SigningSession::open(vec![(at, count as u32)], &vec![secret; count], &mut rng(seed));
    let keys = vec![(at, entry); count];
    let (states, challenges) = blind(&keys, session.offer(), &fresh_seed(seed + 1000)).unwrap();
    unblind(&states, &vec![entry; count], &session.answer(&challenges).unwrap()).unwrap()
}

/// The position of a key.
fn key_at(fixture: &Fixture, line: LineId, value: u32, round: u32, site: SiteId, slot: Option<Slot>) -> KeyIndex {
    let id = crate::programme::KeyId { line, value, round: Round(round), site: Some(site), slot };
    fixture.programme.key_index(&id).unwrap()
}

/// The issuer's `x`, for attacks that an issuer makes, or that would end with it.
fn issuer_secret(fixture: &Fixture) -> Scalar {
    let mut x = [0; 32];
    x.copy_from_slice(&fixture.issuer.to_bytes()[..32]);
    PublicScalar::decode(x).unwrap().0
}

fn holder_secret(seed: u64) -> SecretScalar {
    SecretScalar::random(&mut rng(seed))
}
