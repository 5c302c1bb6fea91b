//! Holder proofs: redeem, void, collect, surrender, swap (spec 7): every bound field, by mutation.

use std::collections::BTreeMap;

use super::{balances, each_fails, holder_secret, key_at, mint, mutations, other_encoded, rng, world};
use crate::{
    fixture::{CASH, FOOD, INFANT, SITE, SLOTTED},
    group::{EncodedPoint, Scalar},
    ids::{KeyIndex, LineId, ManifestHash, ProgrammeId, QuoteId, Round, Slot, Units},
    log::leaf::{CollectedLeaf, OwedLeaf, SwapLeaf, VoidLeaf},
    programme::{InForce, KeyEntry},
    redeem::{
        CollectRequest, Counter, RedeemRequest, Surrender, VoidRequest, holder_key, redeem_context, verify_collected,
        verify_void,
    },
    slip::{OwedTerms, Place, RefusalCode, Signed},
    swap::{SwapContext, accumulate_swap},
    voucher::{HolderProof, HolderStatement, ShownVoucher},
};

/// A visit as the holder proof sees it.
#[derive(Clone, Debug, PartialEq)]
struct Visit {
    place: Place,
    quote: QuoteId,
    spare: EncodedPoint,
    units: BTreeMap<LineId, Units>,
    vouchers: Vec<(KeyEntry, ShownVoucher)>,
    proof: HolderProof,
}

impl Visit {
    fn new() -> Self {
        let (world, view) = (world(), world().view());
        let vouchers: Vec<_> = world.vouchers.iter().collect();
        let request = RedeemRequest::new(&view, &world.quote(), &vouchers, &holder_secret(1), &mut rng(1)).unwrap();
        let entries = request.vouchers.iter().map(|shown| (*view.key(shown.key).unwrap(), *shown)).collect();
        let units = BTreeMap::from([(FOOD, Units(4)), (INFANT, Units(1)), (CASH, Units(30))]);
        let RedeemRequest { quote, spare, proof, .. } = request;
        Self { place: world.place(), quote, spare, units, vouchers: entries, proof }
    }

    fn passes(&self) -> bool {
        let mut statement = HolderStatement::new(redeem_context(&self.place, &self.quote, &self.spare, &self.units));
        self.vouchers.iter().for_each(|(entry, shown)| statement.voucher(entry, shown));
        statement.verify(&self.proof).is_ok()
    }
}

/// The proof of a visit, apart from the vouchers' own validity: everything it binds.
#[test]
fn every_field_of_a_visit_is_bound() {
    let visit = Visit::new();
    let last = visit.vouchers.len() - 1;
    each_fails(
        &visit,
        Visit::passes,
        mutations![Visit;
            "programme" => |visit| visit.place.programme.0[0] ^= 1,
            "site" => |visit| visit.place.site = SLOTTED,
            "round" => |visit| visit.place.round.0 += 1,
            "manifest" => |visit| visit.place.manifest.0[0] ^= 1,
            "quote" => |visit| visit.quote.0[0] ^= 1,
            "spare" => |visit| visit.spare = other_encoded(),
            "units" => |visit| visit.units.get_mut(&CASH).unwrap().0 += 1,
            "line" => |visit| { visit.units.remove(&INFANT); visit.units.insert(LineId(9), Units(1)) },
            "line, in its place" => |visit| {
                let units = visit.units.remove(&CASH).unwrap();
                visit.units.insert(LineId(9), units)
            },
            "line missing" => |visit| visit.units.remove(&CASH),
            "line more" => |visit| visit.units.insert(LineId(9), Units(1)),
            "order" => |visit| visit.vouchers.swap(0, last),
            "voucher missing" => |visit| visit.vouchers.pop(),
            "voucher twice" => |visit| visit.vouchers.push(visit.vouchers[last]),
            "commitment" => |visit| visit.proof.commitment = other_encoded(),
            "commitment, identity" => |visit| visit.proof.commitment.0 = [0; 32],
            "response" => |visit| visit.proof.response.0 += Scalar::ONE,
        ],
    );
    for at in 0..=last {
        each_fails(
            &visit,
            Visit::passes,
            mutations![Visit;
                "k, line" => |visit| visit.vouchers[at].0.id.line = LineId(9),
                "k, value" => |visit| visit.vouchers[at].0.id.value += 1,
                "k, round" => |visit| visit.vouchers[at].0.id.round.0 += 1,
                "k, site" => |visit| visit.vouchers[at].0.id.site = None,
                "k, slot" => |visit| visit.vouchers[at].0.id.slot = Some(Slot(0)),
                "P" => |visit| visit.vouchers[at].1.holder = other_encoded(),
                "P, identity" => |visit| visit.vouchers[at].1.holder.0 = [0; 32],
                "R'" => |visit| visit.vouchers[at].1.r = other_encoded(),
                "s'" => |visit| visit.vouchers[at].1.s.0 += Scalar::ONE,
                "y'" => |visit| visit.vouchers[at].1.y.0 += Scalar::ONE,
            ],
        );
    }
}

/// The same at a counter: every field of the request, with the refusal's code.
#[test]
fn a_counter_refuses_every_mutation() {
    let world = world();
    let (quote, counter) = (world.quote(), Counter::new(world.view(), world.place(), Vec::new()));
    let vouchers: Vec<_> = world.vouchers.iter().collect();
    let honest = RedeemRequest::new(&world.view(), &quote, &vouchers, &holder_secret(1), &mut rng(1)).unwrap();
    let refusal = |request: &RedeemRequest| counter.verify(&quote, request).map(drop).map_err(|refusal| refusal.code);
    assert_eq!(refusal(&honest), Ok(()));
    type Mutation = (fn(&mut RedeemRequest), RefusalCode);
    let mutations: [Mutation; 16] = [
        (|request| request.quote.0[0] ^= 1, RefusalCode::QuoteUnknown),
        (|request| request.spare = other_encoded(), RefusalCode::HolderInvalid),
        (|request| request.spare.0 = [0; 32], RefusalCode::Malformed),
        (|request| request.spare.0 = [0xff; 32], RefusalCode::Malformed),
        (|request| request.vouchers.clear(), RefusalCode::Malformed),
        (|request| request.vouchers.push(request.vouchers[0]), RefusalCode::Malformed),
        (|request| request.vouchers.swap(0, 1), RefusalCode::HolderInvalid),
        (|request| request.vouchers.truncate(3), RefusalCode::HolderInvalid),
        (|request| request.vouchers[3].key.0 -= 1, RefusalCode::VoucherInvalid),
        (|request| request.vouchers[3].key.0 = u32::MAX, RefusalCode::KeyUnknown),
        (|request| request.vouchers[3].holder = other_encoded(), RefusalCode::VoucherInvalid),
        (|request| request.vouchers[3].r = other_encoded(), RefusalCode::VoucherInvalid),
        (|request| request.vouchers[3].s.0 += Scalar::ONE, RefusalCode::VoucherInvalid),
        (|request| request.vouchers[3].y.0 += Scalar::ONE, RefusalCode::VoucherInvalid),
        (|request| request.vouchers[3].y.0 = Scalar::ZERO, RefusalCode::VoucherInvalid),
        (|request| request.proof.response.0 += Scalar::ONE, RefusalCode::HolderInvalid),
    ];
    for (at, (mutate, code)) in mutations.into_iter().enumerate() {
        let mut request = honest.clone();
        mutate(&mut request);
        assert_eq!(refusal(&request), Err(code), "mutation {at}");
    }
    // Only the voucher at fault is named, so that the rest can go.
    let mut request = honest.clone();
    request.vouchers[3].s.0 += Scalar::ONE;
    assert_eq!(counter.verify(&quote, &request).unwrap_err().marks, [request.vouchers[3].mark()]);
}

#[derive(Clone, Debug, PartialEq)]
struct At<T> {
    place: Place,
    leaf: T,
}

/// A void binds operation, place, key, number and holder.
#[test]
fn every_field_of_a_void_is_bound() {
    let (world, view) = (world(), world().view());
    let accepted: Vec<_> = world.vouchers.iter().map(|voucher| (voucher, 1)).collect();
    let request = VoidRequest::new(&view, &world.place(), &accepted, &mut rng(1)).unwrap();
    let counter = Counter::new(view, world.place(), Vec::new());
    assert_eq!(counter.verify_void(&request).as_ref(), Ok(&request.voids));
    for (at, leaf) in request.voids.iter().enumerate() {
        each_fails(
            &At { place: world.place(), leaf: *leaf },
            |case| verify_void(&view, &case.place, &case.leaf).is_ok(),
            mutations![At<VoidLeaf>;
                "programme" => |case| case.place.programme = ProgrammeId([1; 32]),
                "site" => |case| case.place.site = SLOTTED,
                "round" => |case| case.place.round.0 += 1,
                "manifest" => |case| case.place.manifest.0[0] ^= 1,
                "key" => |case| case.leaf.mark.key.0 += 1,
                "unknown key" => |case| case.leaf.mark.key.0 = u32::MAX,
                "holder" => |case| case.leaf.mark.holder = other_encoded(),
                "number" => |case| case.leaf.number += 1,
                "commitment" => |case| case.leaf.holder.commitment = other_encoded(),
                "response" => |case| case.leaf.holder.response.0 += Scalar::ONE,
            ],
        );
        let mut bad = request.clone();
        bad.voids[at].number = 2;
        let refusal = counter.verify_void(&bad).unwrap_err();
        assert_eq!((refusal.code, refusal.marks), (RefusalCode::HolderInvalid, vec![leaf.mark]));
    }
    let mut twice = request.clone();
    twice.voids.push(twice.voids[0]);
    assert_eq!(counter.verify_void(&twice).unwrap_err().code, RefusalCode::Malformed);
    assert_eq!(counter.verify_void(&VoidRequest { voids: Vec::new() }).unwrap_err().code, RefusalCode::Malformed);
}

/// A collection binds operation, place, the slip's round, lines and holder.
#[test]
fn every_field_of_a_collection_is_bound() {
    let (world, view) = (world(), world().view());
    let secret = holder_secret(5);
    let lines = vec![(FOOD, Units(2)), (CASH, Units(10))];
    let terms = OwedTerms { place: world.place(), lines: lines.clone(), holder: holder_key(&secret) };
    let slip = Signed::sign(terms, &world.fixture.site_logs[0]);
    let later = Place { round: Round(2), ..world.place() };
    let request = CollectRequest::new(&view, &slip, &later, &secret, &mut rng(1)).unwrap();
    let owed = OwedLeaf { round: Round(1), lines, holder: holder_key(&secret) };
    let leaf = request.verify(&later, &owed).unwrap();
    each_fails(
        &At { place: later, leaf: (owed, leaf) },
        |case| verify_collected(&case.place, &case.leaf.0, &case.leaf.1).is_ok(),
        mutations![At<(OwedLeaf, CollectedLeaf)>;
            "programme" => |case| case.place.programme.0[0] ^= 1,
            "site" => |case| case.place.site = SLOTTED,
            "round" => |case| { case.place.round.0 = 3; case.leaf.1.round.0 = 3 },
            "round of the place" => |case| case.place.round.0 = 3,
            "manifest" => |case| case.place.manifest = ManifestHash([1; 32]),
            "round of the slip" => |case| case.leaf.0.round.0 = 2,
            "line" => |case| case.leaf.0.lines[0].0 = INFANT,
            "units" => |case| case.leaf.0.lines[1].1.0 += 1,
            "line missing" => |case| case.leaf.0.lines.pop(),
            "line more" => |case| case.leaf.0.lines.push((LineId(9), Units(1))),
            "holder of the slip" => |case| case.leaf.0.holder = other_encoded(),
            "holder of the collection" => |case| case.leaf.1.holder = other_encoded(),
            "another holder" => |case| {
                (case.leaf.0.holder, case.leaf.1.holder) = (other_encoded(), other_encoded())
            },
            "holder, identity" => |case| {
                (case.leaf.0.holder.0, case.leaf.1.holder.0) = ([0; 32], [0; 32])
            },
            "commitment" => |case| case.leaf.1.proof.commitment = other_encoded(),
            "response" => |case| case.leaf.1.proof.response.0 += Scalar::ONE,
        ],
    );
    // The wallet itself does not collect at another site, with another key, or on a slip that the site did not sign.
    let elsewhere = Place { site: SLOTTED, ..later };
    assert!(CollectRequest::new(&view, &slip, &elsewhere, &secret, &mut rng(1)).is_err());
    assert!(CollectRequest::new(&view, &slip, &later, &holder_secret(6), &mut rng(1)).is_err());
    let foreign = Signed::sign(slip.content.clone(), &world.fixture.site_logs[1]);
    assert!(CollectRequest::new(&view, &foreign, &later, &secret, &mut rng(1)).is_err());
}

#[derive(Clone, Debug, PartialEq)]
struct Published {
    surrender: Surrender,
    hash: ManifestHash,
    round: Round,
    programme: ProgrammeId,
}

/// A surrender binds operation, programme, round, manifest and the whole voucher.
#[test]
fn every_field_of_a_surrender_is_bound() {
    let (world, view) = (world(), world().view());
    let surrender = Surrender::new(&view, &world.vouchers[0], &mut rng(1)).unwrap();
    let honest = Published { surrender, hash: view.hash, round: view.round, programme: view.programme.id() };
    let passes = |case: &Published| {
        let parameters = view.programme.parameters().clone();
        let programme = view.programme.tampered(case.programme, view.header.issuer_key, parameters);
        let view = InForce { programme: &programme, hash: case.hash, round: case.round, ..view };
        case.surrender.verify(&view).is_ok()
    };
    each_fails(
        &honest,
        passes,
        mutations![Published;
            "programme" => |case| case.programme.0[0] ^= 1,
            "round" => |case| case.round.0 += 1,
            "manifest" => |case| case.hash.0[0] ^= 1,
            "k" => |case| case.surrender.voucher.shown.key.0 += 1,
            "unknown k" => |case| case.surrender.voucher.shown.key = KeyIndex(u32::MAX),
            "P" => |case| case.surrender.voucher.shown.holder = other_encoded(),
            "R'" => |case| case.surrender.voucher.shown.r = other_encoded(),
            "s'" => |case| case.surrender.voucher.shown.s.0 += Scalar::ONE,
            "y'" => |case| case.surrender.voucher.shown.y.0 += Scalar::ONE,
            "Y'" => |case| case.surrender.voucher.y_point = other_encoded(),
            "commitment" => |case| case.surrender.proof.commitment = other_encoded(),
            "response" => |case| case.surrender.proof.response.0 += Scalar::ONE,
        ],
    );
}

#[derive(Clone, Debug, PartialEq)]
struct Swapped {
    leaf: SwapLeaf,
    hash: ManifestHash,
    programme: ProgrammeId,
}

/// A swap binds operation, programme, round, manifest, session, new keys and counts, challenges, slots and old vouchers.
#[test]
fn every_field_of_a_swap_is_bound() {
    let (world, view) = (world(), world().view());
    let honest = Swapped { leaf: world.swap.clone(), hash: view.hash, programme: view.programme.id() };
    let passes = |case: &Swapped| {
        let parameters = view.programme.parameters().clone();
        let programme = view.programme.tampered(case.programme, view.header.issuer_key, parameters);
        let view = InForce { programme: &programme, hash: case.hash, ..view };
        balances(|weights, accumulator| accumulate_swap(&view, &case.leaf, weights, accumulator))
    };
    let other_slot = key_at(&world.fixture, FOOD, 4, 1, SLOTTED, Some(Slot(1)));
    let larger = key_at(&world.fixture, FOOD, 8, 1, SLOTTED, Some(Slot(0)));
    let other_round = key_at(&world.fixture, FOOD, 4, 2, SITE, None);
    let more = mint(&world.fixture, world.vouchers[0].key(), 1, 3)[0].shown;
    each_fails(
        &honest,
        passes,
        mutations![Swapped;
            "programme" => |case| case.programme.0[0] ^= 1,
            "manifest" => |case| case.hash.0[0] ^= 1,
            "round" => |case| case.leaf.round.0 += 1,
            "session" => |case| case.leaf.session.0[0] ^= 1,
            "new key of another slot" => |case| { case.leaf.new.remove(0); case.leaf.new.push((other_slot, 1)); },
            "new key of a larger value" => |case| case.leaf.new[0].0 = larger,
            "new key of another round" => |case| case.leaf.new[0].0 = other_round,
            "count" => |case| case.leaf.new[0].1 += 1,
            "count of zero" => |case| case.leaf.new[0].1 = 0,
            "new key missing" => |case| case.leaf.new.pop(),
            "challenges" => |case| case.leaf.challenges.0[0] ^= 1,
            "slots" => |case| case.leaf.slots.0[0] ^= 1,
            "answer missing" => |case| case.leaf.answers.pop(),
            "old voucher missing" => |case| case.leaf.old.pop(),
            "old vouchers missing" => |case| { case.leaf.old.clear(); case.leaf.new.clear(); case.leaf.answers.clear() },
            "old order" => |case| case.leaf.old.swap(0, 1),
            "old twice" => |case| case.leaf.old[1] = case.leaf.old[0],
            "another old voucher" => |case| case.leaf.old[0] = crate::voucher::LoggedVoucher { shown: more, ..case.leaf.old[0] },
            "old of another line" => |case| case.leaf.old[0].shown.key = KeyIndex(0),
            "P" => |case| case.leaf.old[1].shown.holder.0[0] ^= 1,
            "R'" => |case| case.leaf.old[1].shown.r = other_encoded(),
            "s'" => |case| case.leaf.old[1].shown.s.0 += Scalar::ONE,
            "y'" => |case| case.leaf.old[1].shown.y.0 += Scalar::ONE,
            "Y'" => |case| case.leaf.old[1].y_point = other_encoded(),
            "commitment" => |case| case.leaf.holder.commitment = other_encoded(),
            "response" => |case| case.leaf.holder.response.0 += Scalar::ONE,
        ],
    );
}

/// Counts that conserve the shape: two new vouchers on one slot and one on the other, or the other way round.
#[test]
fn counts_of_a_swap_are_bound() {
    let (world, view, mut rng) = (world(), world().view(), rng(1));
    let old = mint(&world.fixture, key_at(&world.fixture, FOOD, 4, 1, SITE, None), 3, 8);
    let at = |slot| key_at(&world.fixture, FOOD, 4, 1, SLOTTED, Some(Slot(slot)));
    let new = vec![(at(0), 2), (at(1), 1)];
    let session = super::open(&world.fixture, 1, &new);
    let slots = crate::slots::Slots::random(8, &mut rng);
    let (_, request) = SwapContext::new(&view, old.iter().collect(), new, session.offer(), slots, &mut rng).unwrap();
    let (_, leaf) = request.verify(&view, &session).unwrap().answer(session).unwrap();
    each_fails(
        &leaf,
        |leaf| balances(|weights, accumulator| accumulate_swap(&view, leaf, weights, accumulator)),
        mutations![SwapLeaf;
            "counts" => |leaf| (leaf.new[0].1, leaf.new[1].1) = (1, 2),
            "keys and counts" => |leaf| { leaf.new.remove(1); leaf.new[0].1 = 3; },
        ],
    );
}
