//! Issuer and site as their users meet them: retries, conflicts, sessions, visits, voids, owed slips, swaps.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use annona_node::{
    authoring::{self, LOT, Officers, Parties, keys_of, signing_key},
    caseload::{Limits, SiteName},
    issuer::{Issuer, IssuerError},
    publish::{Log, Witness},
    site::{Accepted, Site},
};
use annona_protocol::{
    credential::{Credential, IssuerKey},
    draw::{DrawContext, DrawResponse, RollOverContext, RollOverResponse, SessionRequest},
    enrol::{EnrolContext, EnrolResponse},
    ids::{LineId, Round, SiteId, Units},
    log::leaf::SiteLeaf,
    programme::{InForce, KeyCounts, TicketKind, statement::make_change},
    redeem::{BearerVoucher, RedeemRequest, VoidRequest},
    secret::SecretScalar,
    signature::PublicKey,
    slip::RefusalCode,
    slots::Slots,
    swap::{SwapContext, SwapResponse},
    ticket::TicketCode,
    voucher::{SessionOffer, Voucher},
    wire::Message,
};
use ed25519_dalek::SigningKey;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

const FOOD: LineId = LineId(1);
const CASH: LineId = LineId(4);

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

struct World {
    issuer: Issuer,
    codes: Vec<TicketCode>,
    site_keys: Vec<SigningKey>,
}

/// Two sites, round 1 open, one ticket: four members, one child.
fn world() -> World {
    let rng = &mut rng();
    let site_keys: Vec<SigningKey> = (0..2).map(|_| signing_key(rng)).collect();
    let names = ["north", "south"].map(|name| SiteName::parse(name).unwrap());
    let sites: Vec<_> = names.into_iter().zip(site_keys.iter().map(PublicKey::of)).collect();
    let (key, log_key, officers) = (IssuerKey::generate(rng), signing_key(rng), Officers::generate(3, rng));
    let witness = Witness::new("witness.example", signing_key(rng), 0);
    let parties = Parties {
        issuer_key: key.public(),
        issuer_log: PublicKey::of(&log_key),
        officers: &officers,
        witness: witness.log_key(),
        sites: &sites,
    };
    let genesis = officers.sign_header(authoring::genesis(&parties, &Limits::default()));
    let mut issuer = Issuer::new(genesis, key, log_key, officers).unwrap();
    let codes = issuer.import_lot(LOT, vec![(Round(12), vec![4, 1])], rng).unwrap();
    issuer.open_round(Round(1), rng).unwrap();
    World { issuer, codes, site_keys }
}

fn slots() -> Slots {
    Slots::random(32, &mut rng())
}

impl World {
    fn view(&self) -> InForce<'_> {
        self.issuer.programme().in_force(Round(1)).unwrap()
    }

    fn enrol(&self) -> Credential {
        let code = TicketCode::from_bytes(*self.codes[0].expose());
        let programme = self.issuer.programme();
        let (context, request) = EnrolContext::new(programme, TicketKind::Enrol, code, slots(), &mut rng()).unwrap();
        let answer = self.issuer.enrol(&request.encode(), &mut rng()).unwrap();
        context.finish(programme, &EnrolResponse::decode(&answer).unwrap(), &mut rng()).unwrap()
    }

    fn roll_over(&self, credential: &Credential) -> Credential {
        let (context, request) = RollOverContext::new(&self.view(), credential, slots(), &mut rng()).unwrap();
        let answer = self.issuer.roll_over(&request.encode(), &mut rng()).unwrap();
        context.finish(&self.view(), &RollOverResponse::decode(&answer).unwrap(), &mut rng()).unwrap()
    }

    fn keys(&self, site: u16, units: &[(LineId, u64)]) -> KeyCounts {
        let of = |line| keys_of(self.issuer.keys(), line, Round(1), SiteId(site));
        let mut list: KeyCounts = units
            .iter()
            .flat_map(|(line, units)| make_change(&self.view(), &of(*line), Units(*units)).unwrap())
            .collect();
        list.sort_unstable();
        list
    }

    fn session(&self, keys: &KeyCounts) -> SessionOffer {
        let request = SessionRequest { round: Round(1), keys: keys.clone() };
        SessionOffer::decode(&self.issuer.open_session(&request.encode(), &mut rng()).unwrap()).unwrap()
    }

    /// A household that has drawn `units` at the first site.
    fn drawn(&self, units: &[(LineId, u64)]) -> (Credential, Vec<Voucher>) {
        let credential = self.roll_over(&self.enrol());
        let keys = self.keys(1, units);
        let offer = self.session(&keys);
        let (context, request) =
            DrawContext::new(&self.view(), &credential, keys, &offer, slots(), &mut rng()).unwrap();
        let answer = self.issuer.draw(&request.encode(), &mut rng()).unwrap();
        context.finish(&self.view(), &DrawResponse::decode(&answer).unwrap(), &mut rng()).unwrap()
    }

    fn site(&self, at: usize, stock: u64) -> Site<'_> {
        let packs = self.issuer.freeze(Round(1), &mut rng()).unwrap();
        let stock = BTreeMap::from([(FOOD, Units(stock)), (CASH, Units(stock))]);
        Site::open(self.view(), &packs[at], self.site_keys[at].clone(), Log::default(), stock).unwrap()
    }

    fn request(&self, site: &Site<'_>, vouchers: &[&Voucher], spare: &SecretScalar) -> Vec<u8> {
        let quote = site.quote(&mut rng());
        RedeemRequest::new(&self.view(), &quote, vouchers, spare, &mut rng()).unwrap().encode()
    }

    fn redeem(&self, site: &Site<'_>, vouchers: &[&Voucher]) -> Result<Accepted, RefusalCode> {
        let request = self.request(site, vouchers, &SecretScalar::random(&mut rng()));
        site.redeem(&request).map_err(|slip| {
            let key = slip.content.place.site_key(&self.view()).unwrap();
            slip.verify(&key).expect("slips are signed").code
        })
    }
}

#[test]
fn a_ticket_enrols_once_and_a_retry_gets_the_stored_answer() {
    let world = world();
    let programme = world.issuer.programme();
    let request = || {
        let code = TicketCode::from_bytes(*world.codes[0].expose());
        EnrolContext::new(programme, TicketKind::Enrol, code, slots(), &mut rng()).unwrap().1.encode()
    };
    let first = request();
    let answer = world.issuer.enrol(&first, &mut rng()).unwrap();
    assert_eq!(world.issuer.enrol(&first, &mut rng()).unwrap(), answer);
    assert!(matches!(world.issuer.enrol(&request(), &mut rng()), Err(IssuerError::TicketUsed)));
    let (_, wrong) =
        EnrolContext::new(programme, TicketKind::Enrol, TicketCode::random(&mut rng()), slots(), &mut rng()).unwrap();
    assert!(matches!(world.issuer.enrol(&wrong.encode(), &mut rng()), Err(IssuerError::TicketUnknown)));
}

#[test]
fn a_serial_is_spent_once_and_a_retry_gets_the_stored_answer() {
    let world = world();
    let credential = world.enrol();
    let request = || RollOverContext::new(&world.view(), &credential, slots(), &mut rng()).unwrap().1.encode();
    let (first, second) = (request(), request());
    let answer = world.issuer.roll_over(&first, &mut rng()).unwrap();
    assert_eq!(world.issuer.roll_over(&first, &mut rng()).unwrap(), answer);
    assert!(matches!(world.issuer.roll_over(&second, &mut rng()), Err(IssuerError::Spent)));
}

/// Two threads race with two requests on one serial: exactly one is answered.
#[test]
fn racing_requests_on_one_serial() {
    let world = world();
    let credential = world.enrol();
    let requests: Vec<Vec<u8>> = (0..8)
        .map(|_| RollOverContext::new(&world.view(), &credential, slots(), &mut rng()).unwrap().1.encode())
        .collect();
    let answered = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(|| world.issuer.roll_over(request, &mut rng()).is_ok()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|ok| *ok).count()
    });
    assert_eq!(answered, 1);
}

#[test]
fn a_session_is_answered_once_and_its_loss_is_signed() {
    let world = world();
    let credential = world.roll_over(&world.enrol());
    let keys = world.keys(1, &[(FOOD, 3)]);
    let offer = world.session(&keys);
    let draw = || DrawContext::new(&world.view(), &credential, keys.clone(), &offer, slots(), &mut rng()).unwrap();
    // A false show takes the session with it.
    let (_, mut false_show) = draw();
    false_show.challenges[0].0 += annona_protocol::group::Scalar::ONE;
    assert!(matches!(world.issuer.draw(&false_show.encode(), &mut rng()), Err(IssuerError::Draw(_))));
    let (_, request) = draw();
    let Err(IssuerError::SessionGone(word)) = world.issuer.draw(&request.encode(), &mut rng()) else {
        panic!("the session was answered after a false show")
    };
    assert_eq!((word.session, word.serial), (offer.session, request.show.serial));
    word.verify(&world.view()).unwrap();
    // With the signed word in hand the wallet opens a new session and draws; a retry gets the stored bytes.
    let fresh = world.session(&keys);
    let (context, request) =
        DrawContext::new(&world.view(), &credential, keys.clone(), &fresh, slots(), &mut rng()).unwrap();
    let answer = world.issuer.draw(&request.encode(), &mut rng()).unwrap();
    assert_eq!(world.issuer.draw(&request.encode(), &mut rng()).unwrap(), answer);
    assert_eq!(context.finish(&world.view(), &DrawResponse::decode(&answer).unwrap(), &mut rng()).unwrap().1.len(), 2);
}

#[test]
fn a_visit_is_accepted_once_and_repeats_get_the_old_receipts() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3), (CASH, 34)]);
    let site = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let request = world.request(&site, &all, &SecretScalar::random(&mut rng()));
    let accepted = site.redeem(&request).unwrap();
    assert_eq!(accepted.units, BTreeMap::from([(FOOD, Units(3)), (CASH, Units(34))]));
    assert_eq!(site.redeem(&request).unwrap(), accepted, "the same bytes");
    assert_eq!(world.redeem(&site, &all).unwrap(), accepted, "the same vouchers under another quote");
    assert_eq!(world.redeem(&site, &all[..1]), Err(RefusalCode::AlreadyRedeemed));
    site.close_batch().unwrap();
    assert_eq!(world.redeem(&site, &all), Err(RefusalCode::AlreadyRedeemed));
    let (statement, log) = site.close_round().unwrap();
    assert_eq!(statement.content.units, vec![(FOOD, Units(3)), (CASH, Units(34))]);
    assert_eq!(statement.content.size + 1, log.size());
}

/// Many threads show overlapping visits: each voucher counts once.
#[test]
fn racing_visits_count_once() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let site = world.site(0, 1000);
    let requests: Vec<Vec<u8>> =
        (0..8).map(|at| world.request(&site, &[&vouchers[at % 2]], &SecretScalar::random(&mut rng()))).collect();
    std::thread::scope(|scope| {
        for request in &requests {
            scope.spawn(|| site.redeem(request));
        }
    });
    let (statement, _) = site.close_round().unwrap();
    assert_eq!(statement.content.units, vec![(FOOD, Units(3))]);
}

#[test]
fn a_void_takes_the_whole_visit_and_the_vouchers_go_again() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let site = world.site(0, 1000);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    world.redeem(&site, &all).unwrap();
    let void = |accepted: &[(&Voucher, u32)]| {
        let request = VoidRequest::new(&world.view(), site.place(), accepted, &mut rng()).unwrap();
        site.void(&request.encode()).map_err(|slip| slip.content.code)
    };
    assert_eq!(void(&[(all[0], 1)]), Err(RefusalCode::VisitIncomplete));
    assert_eq!(void(&[(all[0], 2), (all[1], 2)]), Err(RefusalCode::Closed), "no second acceptance yet");
    let slip = void(&[(all[0], 1), (all[1], 1)]).unwrap();
    assert_eq!(slip.content.voided.len(), 2);
    assert_eq!(void(&[(all[0], 1), (all[1], 1)]), Err(RefusalCode::Closed), "voided once");
    let again = world.redeem(&site, &all).unwrap();
    assert!(again.receipts.iter().all(|receipt| receipt.content.number == 2));
    site.close_batch().unwrap();
    assert_eq!(void(&[(all[0], 2), (all[1], 2)]), Err(RefusalCode::Closed), "not after the batch");
    let (statement, _) = site.close_round().unwrap();
    assert_eq!(statement.content.units, vec![(FOOD, Units(3))]);
    assert_eq!(statement.content.voids.len(), 2);
}

#[test]
fn short_stock_is_owed_and_a_void_takes_the_slip_back() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let site = world.site(0, 2);
    let all: Vec<&Voucher> = vouchers.iter().collect();
    let accepted = world.redeem(&site, &all).unwrap();
    assert_eq!(accepted.units, BTreeMap::from([(FOOD, Units(2))]));
    let slip = accepted.owed.unwrap();
    assert_eq!(slip.content.lines, vec![(FOOD, Units(1))]);
    slip.verify(&PublicKey::of(&world.site_keys[0])).unwrap();
    let voids: Vec<(&Voucher, u32)> = all.iter().map(|voucher| (*voucher, 1)).collect();
    let request = VoidRequest::new(&world.view(), site.place(), &voids, &mut rng()).unwrap();
    site.void(&request.encode()).unwrap();
    let (statement, log) = site.close_round().unwrap();
    assert!(statement.content.owed.is_empty() && statement.content.units.is_empty());
    let voided = log.entries().iter().filter(|entry| matches!(SiteLeaf::decode(entry), Ok(SiteLeaf::OwedVoided(_))));
    assert_eq!(voided.count(), 1);
}

#[test]
fn a_printed_voucher_is_redeemed_by_who_holds_the_sheet_once() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let site = world.site(0, 1000);
    let sheet = BearerVoucher::new(&vouchers[0]).encode();
    let quote = site.quote(&mut rng()).content.id;
    site.redeem_bearer(quote, &sheet).unwrap();
    let quote = site.quote(&mut rng()).content.id;
    // The same sheet again: the same visit, the same receipts, nothing counted twice.
    site.redeem_bearer(quote, &sheet).unwrap();
    let mut wrong = sheet.clone();
    wrong[3] ^= 1;
    let code = site.redeem_bearer(quote, &wrong).unwrap_err().content.code;
    assert!(matches!(code, RefusalCode::HolderInvalid | RefusalCode::Malformed));
    assert_eq!(site.close_round().unwrap().0.content.vouchers.iter().map(|(_, count)| count).sum::<u64>(), 1);
}

#[test]
fn a_swapped_voucher_is_refused_and_the_freeze_ends_swaps() {
    let world = world();
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let (old, target) = (&vouchers[0], world.keys(2, &[(FOOD, 1)]));
    let value = |at| world.issuer.keys()[at as usize].id.value;
    assert_eq!(value(old.key().0), 1);
    let swap = |voucher: &Voucher, target: &KeyCounts| {
        let offer = world.session(target);
        let (context, request) =
            SwapContext::new(&world.view(), vec![voucher], target.clone(), &offer, slots(), &mut rng()).unwrap();
        (context, request.encode())
    };
    let (context, request) = swap(old, &target);
    let answer = world.issuer.swap(&request).unwrap();
    assert_eq!(world.issuer.swap(&request).unwrap(), answer, "a retry gets the stored answer");
    assert!(matches!(world.issuer.swap(&swap(old, &target).1), Err(IssuerError::Spent)));
    let new = context.finish(&world.view(), &SwapResponse::decode(&answer).unwrap()).unwrap();

    let (_, late) = swap(&vouchers[1], &world.keys(2, &[(FOOD, 2)]));
    let packs = world.issuer.freeze(Round(1), &mut rng()).unwrap();
    assert!(matches!(world.issuer.swap(&late), Err(IssuerError::Round(_))));
    let stock = BTreeMap::from([(FOOD, Units(1000))]);
    let open = |at: usize| {
        Site::open(world.view(), &packs[at], world.site_keys[at].clone(), Log::default(), stock.clone()).unwrap()
    };
    let (north, south) = (open(0), open(1));
    assert_eq!(world.redeem(&north, &[old]), Err(RefusalCode::Swapped));
    assert_eq!(world.redeem(&south, &[&new[0]]).unwrap().units, BTreeMap::from([(FOOD, Units(1))]));
}

#[test]
fn another_sites_pack_does_not_open_a_site() {
    let world = world();
    let packs = world.issuer.freeze(Round(1), &mut rng()).unwrap();
    let stock = BTreeMap::new();
    assert!(Site::open(world.view(), &packs[1], world.site_keys[0].clone(), Log::default(), stock.clone()).is_err());
    let mut forged = packs[0].clone();
    forged.content.size += 1;
    assert!(Site::open(world.view(), &forged, world.site_keys[0].clone(), Log::default(), stock).is_err());
}

#[test]
fn a_closed_round_gives_nothing() {
    let mut world = world();
    let credential = world.enrol();
    let (_, request) = RollOverContext::new(&world.view(), &credential, slots(), &mut rng()).unwrap();
    let request = request.encode();
    world.issuer.close_round(Round(1)).unwrap();
    assert!(matches!(world.issuer.roll_over(&request, &mut rng()), Err(IssuerError::Round(_))));
    let session = SessionRequest { round: Round(1), keys: world.keys(1, &[(FOOD, 1)]) };
    assert!(matches!(world.issuer.open_session(&session.encode(), &mut rng()), Err(IssuerError::Round(_))));
}
