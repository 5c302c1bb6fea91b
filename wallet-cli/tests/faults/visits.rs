//! Visits that a site accepted and whose first answer was lost, and sites that lie about them (spec 7.3-M11 to 7.3-M13, 7.5).

use annona_protocol::{
    ids::Digest,
    redeem::{RedeemResponse, VoidRequest},
    slip::{OpeningPack, Place, RefusalCode},
    voucher::Voucher,
};

use super::{world::COUNTER, *};

const VISIT: Task = Task::Visit(NORTH, Round(1));

/// A household that has drawn, and what it holds at the first site.
pub(super) struct Drawn {
    pub(super) world: World,
    pub(super) wallet: Vec<u8>,
    pub(super) pack: OpeningPack,
    food: u64,
    pub(super) marks: usize,
}

impl Drawn {
    pub(super) fn new() -> Self {
        let world = World::new();
        let wallet = drawn(&world);
        let (pack, view) = (world.pack(), world.view());
        let held_here = Wallet::decode(&wallet).unwrap();
        let food = held(&view, &held_here)[&(NORTH.0, FOOD)];
        let here = |voucher: &&Voucher| view.key(voucher.key()).unwrap().id.site == Some(NORTH);
        let marks = held_here.vouchers().iter().filter(here).count();
        Self { wallet, pack, food, marks, world }
    }

    /// The first site with two units of food too few, and a wallet all of whose vouchers there it has just accepted, without its
    /// answer; gives the visit's name.
    fn unanswered(&self) -> (Site, Disk, Digest) {
        let site = self.world.site_with(&self.pack, self.food - 2, 1000);
        let disk = Disk::new(self.wallet.clone().into());
        let wire = Wire::new(&self.world.issuer, Some(&site), 6);
        wire.faults.borrow_mut().extend((1..4).map(|at| (at, Fault::LostAfter)));
        let error = agent(&disk, &wire).redeem(&self.world.view(), NORTH, Choice::All, &mut rng(40)).unwrap_err();
        assert!(matches!(error, AgentError::Unreached { .. }));
        let visit = request_digest(&state(&disk).outgoing(VISIT).unwrap().body);
        (site, disk, visit)
    }

    /// All receipts, each once, the slip, and no voucher of the site.
    fn check_settled(&self, disk: &Disk, case: &str) {
        let wallet = state(disk);
        assert!(held(&self.world.view(), &wallet).keys().all(|(site, _)| *site != NORTH.0), "{case}");
        let mut marks: Vec<Mark> = wallet.receipts().iter().map(|receipt| receipt.content.mark).collect();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!((marks.len(), wallet.receipts().len()), (self.marks, self.marks), "{case}");
        let owed: Vec<_> = wallet.owed().map(|slip| slip.content.lines.clone()).collect();
        assert_eq!(owed, [vec![(FOOD, Units(2))]], "{case}");
        assert!(wallet.tasks().is_empty() && wallet.faults().is_empty(), "{case}");
    }

    /// What is owed is collected, and the site's statement says so.
    fn collect(&self, site: &Site, disk: &Disk, case: &str) {
        let wire = Wire::new(&self.world.issuer, Some(site), 12);
        at_site(&mut agent(disk, &wire), &self.world, site, 13).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(state(disk).owed().count(), 0, "{case}");
        let statement = site.close_round().unwrap().content;
        assert_eq!((statement.owed, statement.collected), (vec![(FOOD, Units(2))], vec![(FOOD, Units(2))]), "{case}");
    }
}

/// Before or after the goods went, before or after the batch closed, over a restart of the site: the wallet gets all receipts and
/// the slip, gives up its vouchers for them, and collects.
#[test]
fn a_short_visit_without_its_answer_is_settled_whole() {
    let all = Drawn::new();
    for (handed, closed, restarted) in (0..8).map(|case| (case & 1 > 0, case & 2 > 0, case & 4 > 0)) {
        let case = format!("handed over: {handed}, batch closed: {closed}, restarted: {restarted}");
        let (mut site, disk, visit) = all.unanswered();
        if handed {
            site.handed_over(visit, COUNTER).unwrap();
        }
        if closed {
            site.close_batch(true).unwrap();
        }
        if restarted {
            site = site.restarted();
        }
        let wire = Wire::new(&all.world.issuer, Some(&site), 9);
        let result = agent(&disk, &wire).redeem(&all.world.view(), NORTH, Choice::All, &mut rng(41));
        let handover = result.unwrap_or_else(|error| panic!("{case}: {error}"));
        let food = handover.units.iter().find(|(line, _)| *line == FOOD).map(|(_, units)| units.0);
        let expected =
            if handed { (Outcome::AlreadyHandedOver, None) } else { (Outcome::AlreadyAccepted, Some(all.food - 2)) };
        assert_eq!((handover.outcome, food), expected, "{case}");
        assert_eq!(handover.owed, [(FOOD, Units(2))], "{case}");
        all.check_settled(&disk, &case);
        all.collect(&site, &disk, &case);
    }
}

#[test]
fn a_wallet_killed_while_it_settles_a_visit_goes_on() {
    let all = Drawn::new();
    let settle = |dies_at: Option<usize>| {
        let case = format!("killed at {dies_at:?}");
        let (site, disk, visit) = all.unanswered();
        site.handed_over(visit, COUNTER).unwrap();
        site.close_batch(true).unwrap();
        let wire = Wire::new(&all.world.issuer, Some(&site), 9);
        wire.power.dies_at.set(dies_at);
        let first = agent(&disk, &wire).redeem(&all.world.view(), NORTH, Choice::All, &mut rng(41));
        assert_eq!(first.is_err(), dies_at.is_some(), "{case}");
        let rest = held(&all.world.view(), &state(&disk)).keys().any(|(site, _)| *site == NORTH.0);
        if rest {
            let again = agent(&disk, &wire).redeem(&all.world.view(), NORTH, Choice::All, &mut rng(42));
            again.unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        all.check_settled(&disk, &case);
        all.collect(&site, &disk, &case);
        wire.power.steps.get()
    };
    let steps = settle(None);
    assert!(steps > 8);
    for dies_at in 0..steps {
        settle(Some(dies_at));
    }
}

/// Whatever a site says of goods, a wallet gives up a voucher for its receipt only.
#[test]
fn a_word_about_goods_is_no_receipt() {
    let all = Drawn::new();
    let (site, disk, _) = all.unanswered();
    let mut wallet = state(&disk);
    let before = wallet.encode();
    let body = wallet.outgoing(VISIT).unwrap().body;
    let truth = site.redeem(&body).unwrap();
    assert_eq!(truth.outcome, Outcome::AlreadyAccepted);
    let gone = RedeemResponse { outcome: Outcome::AlreadyHandedOver, units: Vec::new(), ..truth.clone() };
    let without = |response: &RedeemResponse, keep: usize| {
        let receipts = response.receipts.iter().take(keep).cloned().collect();
        RedeemResponse { receipts, ..response.clone() }
    };
    let mut doubled = gone.clone();
    doubled.receipts[0] = doubled.receipts[1].clone();
    let mut strangers = gone.clone();
    strangers.owed.as_mut().unwrap().content.holder = truth.receipts[0].content.mark.holder;
    let lies = [
        without(&gone, 0),
        without(&gone, all.marks - 1),
        without(&truth, 0),
        without(&truth, all.marks - 1),
        doubled,
        strangers,
        // As if it had never accepted before: then all has to be there.
        RedeemResponse { outcome: Outcome::Accepted, owed: None, ..truth.clone() },
        RedeemResponse { outcome: Outcome::Accepted, units: Vec::new(), ..truth.clone() },
    ];
    for (at, lie) in lies.iter().enumerate() {
        let error = wallet.absorb(all.world.programme(), VISIT, &lie.encode(), &mut rng(50)).unwrap_err();
        assert!(matches!(error, WalletError::Response(_)), "lie {at}: {error}");
        assert!(*wallet.encode() == *before, "lie {at}");
    }
    wallet.absorb(all.world.programme(), VISIT, &gone.encode(), &mut rng(50)).unwrap();
    assert_eq!((wallet.receipts().len(), wallet.owed().count()), (all.marks, 1));
}

/// Vouchers that may have been accepted go in no other set and not into a swap; a line that is taken off meanwhile only delays
/// them.
#[test]
fn vouchers_in_doubt_go_in_no_other_set() {
    let all = Drawn::new();
    let (site, disk, visit) = all.unanswered();
    site.handed_over(visit, COUNTER).unwrap();
    site.close_batch(true).unwrap();
    site.set_stock(BTreeMap::from([(CASH, Units(0))])).unwrap();
    let wire = Wire::new(&all.world.issuer, Some(&site), 9);
    let view = all.world.view();
    let of = |line| {
        let wallet = state(&disk);
        let mut marks = wallet.vouchers().iter().map(|voucher| voucher.shown().mark());
        let found = marks.find(|mark| {
            let id = view.key(mark.key).unwrap().id;
            (id.site, id.line) == (Some(NORTH), line)
        });
        found.unwrap()
    };
    let redeem = |choice: Choice<'_>| agent(&disk, &wire).redeem(&view, NORTH, choice, &mut rng(41));
    assert!(matches!(redeem(Choice::All), Err(AgentError::Wallet(WalletError::NothingToRedeem))));
    let part = redeem(Choice::These(&[of(FOOD)]));
    assert!(matches!(part, Err(AgentError::Wallet(WalletError::VoucherNotFree))));
    let shown: Vec<Endpoint> = wire.sent.borrow().iter().map(|(endpoint, _)| *endpoint).collect();
    let expected = [Endpoint::Redeem(NORTH), Endpoint::Quote(NORTH), Endpoint::Quote(NORTH)];
    assert_eq!(shown, expected, "the old bytes, and then no voucher");
    let cash = of(CASH);
    let new = moved(&view, &state(&disk), &[cash]);
    assert!(matches!(state(&disk).swap(&view, &[cash], new), Err(WalletError::VoucherNotFree)));
    site.set_stock(BTreeMap::from([(CASH, Units(1))])).unwrap();
    assert_eq!(redeem(Choice::All).unwrap().outcome, Outcome::AlreadyHandedOver);
    all.check_settled(&disk, "the line is back");
}

/// The visit is voided before its answer came, its slip with it: the vouchers go again, and what is owed then is owed to a new key.
#[test]
fn after_a_void_the_wallet_takes_a_new_key() {
    let all = Drawn::new();
    let (site, disk, _) = all.unanswered();
    let (view, wallet) = (all.world.view(), state(&disk));
    let place = Place::new(&view, NORTH);
    let here = |voucher: &&Voucher| view.key(voucher.key()).unwrap().id.site == Some(NORTH);
    let accepted: Vec<(&Voucher, u32)> = wallet.vouchers().iter().filter(here).map(|voucher| (voucher, 1)).collect();
    let void = VoidRequest::new(&view, &place, &accepted, &mut rng(60)).unwrap();
    assert_eq!(site.void(&void.encode()).unwrap().content.voided.len(), all.marks);
    let wire = Wire::new(&all.world.issuer, Some(&site), 9);
    let handover = agent(&disk, &wire).redeem(&view, NORTH, Choice::All, &mut rng(41)).unwrap();
    assert_eq!((handover.outcome, handover.owed), (Outcome::Accepted, vec![(FOOD, Units(2))]));
    let codes: Vec<RefusalCode> = state(&disk).refusals().iter().map(|slip| slip.content.code).collect();
    assert_eq!(codes, [RefusalCode::QuoteUnknown, RefusalCode::OwedUnknown]);
    all.check_settled(&disk, "voided");
    assert!(state(&disk).receipts().iter().all(|receipt| receipt.content.number == 2));
    all.collect(&site, &disk, "voided");
}

/// A batch that closes before anybody tapped the visit leaves the vouchers as all that brings its goods: the wallet has kept them,
/// they bring the goods once, and are erased with the answer that the goods went.
#[test]
fn goods_that_did_not_come_before_the_batch_closed_come_after_it() {
    let all = Drawn::new();
    let site = all.world.site_with(&all.pack, 1000, 1000);
    let disk = Disk::new(all.wallet.clone().into());
    let wire = Wire::new(&all.world.issuer, Some(&site), 6);
    let (view, rng) = (all.world.view(), &mut rng(40));
    let mut agent = agent(&disk, &wire);
    let first = agent.redeem(&view, NORTH, Choice::All, rng).unwrap();
    let receipts = agent.wallet().receipts().to_vec();
    assert!(held(&view, agent.wallet()).keys().all(|(site, _)| *site != NORTH.0), "they do not go twice by themselves");
    site.close_batch(true).unwrap();

    assert_eq!(agent.wallet().unconfirmed().collect::<Vec<_>>(), [(NORTH, Round(1))]);
    assert_eq!(agent.wallet_mut().not_received(NORTH, Round(1)), all.marks);
    let again = agent.redeem(&view, NORTH, Choice::All, rng).unwrap();
    assert_eq!((again.outcome, &again.units), (Outcome::AlreadyAccepted, &first.units));
    assert_eq!(agent.wallet().receipts(), receipts);
    site.handed_over(again.visit, COUNTER).unwrap();

    assert_eq!(agent.wallet_mut().not_received(NORTH, Round(1)), all.marks);
    let late = agent.redeem(&view, NORTH, Choice::All, rng).unwrap();
    assert_eq!((late.outcome, late.units.len()), (Outcome::AlreadyHandedOver, 0));
    assert_eq!(agent.wallet().unconfirmed().count(), 0);
    assert!(held(&view, agent.wallet()).keys().all(|(site, _)| *site != NORTH.0), "erased");
}
