use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    fixture::{CASH, FOOD, Fixture, INFANT, LOT, SITE, SLOTTED},
    log::merkle::TreeHash,
    redeem::{Counter, RedeemRequest, holder_key},
    secret::SecretScalar,
    slip::{OwedTerms, QuoteTerms, ReceiptTerms, Signed},
    voucher::Voucher,
};

/// A visit at the first site, and its true answer: 3 of food, 7 of 10 of cash.
struct Visit {
    fixture: Fixture,
    place: Place,
    shown: Vec<ShownVoucher>,
    spare: EncodedPoint,
    response: RedeemResponse,
}

impl Visit {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let fixture = Fixture::new(&mut rng);
        let (credential, _) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
        let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
        let keys = fixture.keys(1, &[(FOOD, 3), (CASH, 10)]);
        let (_, vouchers, _) = fixture.draw(1, &credential, keys, &mut rng);
        let (view, key) = (fixture.view(1), &fixture.site_logs[0]);
        let place = Place::new(&view, SITE);
        let quote = QuoteTerms { place, id: Default::default(), lines: vec![FOOD, CASH] };
        let quote = Signed::sign(quote, key);
        let spare = SecretScalar::random(&mut rng);
        let all: Vec<&Voucher> = vouchers.iter().collect();
        let request = RedeemRequest::new(&view, &quote, &all, &spare, &mut rng).unwrap();
        let leaves = Counter::new(view, place, Vec::new()).verify(&quote, &request).unwrap().leaves(|_| 1);
        let receipts = leaves
            .iter()
            .map(|leaf| {
                let (mark, hash) = (leaf.voucher.shown.mark(), SiteLeaf::Voucher(*leaf).tree_hash());
                Signed::sign(ReceiptTerms { place, mark, number: 1, leaf: hash, batch: 1, pending: false }, key)
            })
            .collect();
        let spare = holder_key(&spare);
        let owed = Signed::sign(OwedTerms { place, lines: vec![(CASH, Units(3))], holder: spare }, key);
        let response = RedeemResponse {
            outcome: Outcome::Accepted,
            visit: Digest([7; 32]),
            units: vec![(FOOD, Units(3)), (CASH, Units(7))],
            receipts,
            owed: Some(owed),
        };
        Self { place, shown: request.vouchers, spare, response, fixture }
    }

    fn check(&self, change: impl FnOnce(&mut RedeemResponse)) -> Result<(), ResponseError> {
        let mut response = self.response.clone();
        change(&mut response);
        let other = EncodedPoint([9; 32]);
        response.check_visit(&self.fixture.view(1), &self.place, &self.shown, &[other, self.spare])
    }

    /// Signs a receipt anew after a change.
    fn resign(&self, response: &mut RedeemResponse, change: impl FnOnce(&mut ReceiptTerms)) {
        let mut terms = response.receipts[0].content;
        change(&mut terms);
        response.receipts[0] = Signed::sign(terms, &self.fixture.site_logs[0]);
    }
}

/// [7.3-M10], [7.3-M11]
#[test]
fn every_outcome_of_a_true_answer_is_taken() {
    let visit = Visit::new();
    for outcome in [Outcome::Accepted, Outcome::AlreadyAccepted] {
        assert_eq!(visit.check(|response| response.outcome = outcome), Ok(()));
        let with_zero = |response: &mut RedeemResponse| {
            response.outcome = outcome;
            response.units.insert(1, (INFANT, Units(0)));
        };
        assert_eq!(visit.check(with_zero), Ok(()));
    }
    let handed_over = |response: &mut RedeemResponse| {
        (response.outcome, response.units) = (Outcome::AlreadyHandedOver, Vec::new());
    };
    assert_eq!(visit.check(handed_over), Ok(()));
    assert_eq!(visit.check(|response| response.outcome = Outcome::AlreadyHandedOver), Err(ResponseError::Units));
    let elsewhere = |response: &mut RedeemResponse| {
        (response.outcome, response.units) = (Outcome::AcceptedAtCounter, Vec::new());
    };
    assert_eq!(visit.check(elsewhere), Ok(()));
    let without_receipts = |response: &mut RedeemResponse| {
        elsewhere(response);
        response.receipts.clear();
    };
    assert_eq!(visit.check(without_receipts), Ok(()));
    let with_some = |response: &mut RedeemResponse| {
        elsewhere(response);
        response.receipts.pop();
    };
    assert_eq!(visit.check(with_some), Err(ResponseError::Receipts));
    assert_eq!(visit.check(|response| response.outcome = Outcome::AcceptedAtCounter), Err(ResponseError::Units));
}

/// [7.3-M11]: of a repeat, the receipts count; some of the goods may have gone, with a part of the vouchers or before the answer
/// was lost, and the slip may be of more vouchers than were shown again.
#[test]
fn a_repeat_is_taken_for_its_receipts() {
    let visit = Visit::new();
    let repeat = |change: &dyn Fn(&mut RedeemResponse)| {
        visit.check(|response| {
            response.outcome = Outcome::AlreadyAccepted;
            change(response);
        })
    };
    assert_eq!(repeat(&|response| response.units = vec![(FOOD, Units(1))]), Ok(()));
    assert_eq!(repeat(&|response| response.units.clear()), Ok(()));
    assert_eq!(repeat(&|response| response.owed = None), Ok(()));
    let of_more = |response: &mut RedeemResponse| {
        let mut terms = response.owed.clone().unwrap().content;
        terms.lines = vec![(INFANT, Units(1)), (CASH, Units(90))];
        response.owed = Some(Signed::sign(terms, &visit.fixture.site_logs[0]));
    };
    assert_eq!(repeat(&of_more), Ok(()));
    assert_eq!(repeat(&|response| response.units[0].1 = Units(4)), Err(ResponseError::Units));
    assert_eq!(repeat(&|response| response.units.push((LineId(9), Units(1)))), Err(ResponseError::Units));
    assert_eq!(repeat(&|response| response.units.reverse()), Err(ResponseError::Units));
}

/// [7.3-M11]: whatever a site says became of the goods, a wallet gives up no voucher without its receipt, nor takes a slip that
/// it cannot collect.
#[test]
fn no_outcome_replaces_a_receipt() {
    let visit = Visit::new();
    for outcome in [Outcome::Accepted, Outcome::AlreadyAccepted, Outcome::AlreadyHandedOver] {
        let said = |change: &dyn Fn(&mut RedeemResponse)| {
            visit.check(|response| {
                response.outcome = outcome;
                if outcome == Outcome::AlreadyHandedOver {
                    response.units.clear();
                }
                change(response);
            })
        };
        assert_eq!(said(&|_| {}), Ok(()));
        assert_eq!(said(&|response| response.receipts.clear()), Err(ResponseError::Receipts), "{outcome:?}");
        assert_eq!(said(&|response| response.receipts.truncate(1)), Err(ResponseError::Receipts), "{outcome:?}");
        let unsigned = |response: &mut RedeemResponse| response.receipts[0].content.batch += 1;
        assert_eq!(said(&unsigned), Err(ResponseError::Signature(BadSignature)), "{outcome:?}");
        let other = |response: &mut RedeemResponse| visit.resign(response, |terms| terms.number = 2);
        assert_eq!(said(&other), Err(ResponseError::Leaf), "{outcome:?}");
        let strangers = |response: &mut RedeemResponse| {
            let mut terms = response.owed.clone().unwrap().content;
            terms.holder = EncodedPoint([8; 32]);
            response.owed = Some(Signed::sign(terms, &visit.fixture.site_logs[0]));
        };
        assert_eq!(said(&strangers), Err(ResponseError::Holder), "{outcome:?}");
    }
}

/// [7.3-M8], [8.3-M4]
#[test]
fn a_missing_foreign_or_forged_receipt_is_refused() {
    let visit = Visit::new();
    let check = |change: &dyn Fn(&mut RedeemResponse)| visit.check(|response| change(response)).unwrap_err();
    assert_eq!(check(&|response| response.receipts.truncate(1)), ResponseError::Receipts);
    assert_eq!(check(&|response| response.receipts.clear()), ResponseError::Receipts);
    assert_eq!(check(&|response| response.receipts[1] = response.receipts[0].clone()), ResponseError::Receipts);
    assert_eq!(check(&|response| response.receipts[0].content.batch = 2), ResponseError::Signature(BadSignature));
    let leaf = |response: &mut RedeemResponse| visit.resign(response, |terms| terms.leaf = TreeHash([1; 32]));
    assert_eq!(check(&leaf), ResponseError::Leaf);
    let number = |response: &mut RedeemResponse| visit.resign(response, |terms| terms.number = 2);
    assert_eq!(check(&number), ResponseError::Leaf);
    let place = Place::new(&visit.fixture.view(2), SITE);
    let round = |response: &mut RedeemResponse| visit.resign(response, |terms| terms.place = place);
    assert_eq!(check(&round), ResponseError::Place);
    let other = Place::new(&visit.fixture.view(1), SLOTTED);
    let elsewhere = visit.response.check_visit(&visit.fixture.view(1), &other, &visit.shown, &[visit.spare]);
    assert_eq!(elsewhere, Err(ResponseError::Signature(BadSignature)));
}

/// [7.3-M11]
#[test]
fn units_that_do_not_add_up_and_a_strangers_slip_are_refused() {
    let visit = Visit::new();
    let key = &visit.fixture.site_logs[0];
    let owe = |response: &mut RedeemResponse, change: &dyn Fn(&mut OwedTerms)| {
        let mut terms = response.owed.clone().unwrap().content;
        change(&mut terms);
        response.owed = Some(Signed::sign(terms, key));
    };
    let check = |change: &dyn Fn(&mut RedeemResponse)| visit.check(|response| change(response)).unwrap_err();
    assert_eq!(check(&|response| response.owed = None), ResponseError::Units);
    assert_eq!(check(&|response| response.units[0].1 = Units(2)), ResponseError::Units);
    assert_eq!(check(&|response| response.units[0].1 = Units(u64::MAX)), ResponseError::Units);
    assert_eq!(check(&|response| response.units.reverse()), ResponseError::Units);
    assert_eq!(check(&|response| response.units.push((LineId(9), Units(1)))), ResponseError::Units);
    assert_eq!(check(&|response| owe(response, &|terms| terms.lines[0].1 = Units(4))), ResponseError::Units);
    assert_eq!(check(&|response| owe(response, &|terms| terms.holder = EncodedPoint([8; 32]))), ResponseError::Holder);
    let later = Place::new(&visit.fixture.view(2), SITE);
    assert_eq!(check(&|response| owe(response, &|terms| terms.place = later)), ResponseError::Place);
    let unsigned = |response: &mut RedeemResponse| response.owed.as_mut().unwrap().content.lines.clear();
    assert_eq!(check(&unsigned), ResponseError::Signature(BadSignature));
}

/// [7.3-M10] for collections.
#[test]
fn a_collection_gives_the_slips_lines() {
    let visit = Visit::new();
    let slip = visit.response.owed.clone().unwrap();
    let answer = |outcome, units: &[(LineId, Units)]| RedeemResponse {
        outcome,
        visit: Digest([7; 32]),
        units: units.to_vec(),
        receipts: Vec::new(),
        owed: None,
    };
    assert_eq!(answer(Outcome::Accepted, &[(CASH, Units(3))]).check_collection(&slip), Ok(()));
    for outcome in [Outcome::AlreadyHandedOver, Outcome::AcceptedAtCounter] {
        assert_eq!(answer(outcome, &[]).check_collection(&slip), Ok(()));
        let goods = answer(outcome, &[(CASH, Units(3))]);
        assert_eq!(goods.check_collection(&slip), Err(ResponseError::Units));
    }
    assert_eq!(answer(Outcome::Accepted, &[]).check_collection(&slip), Err(ResponseError::Units));
    assert_eq!(visit.response.check_collection(&slip), Err(ResponseError::Receipts));
}
