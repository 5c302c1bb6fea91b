//! A wallet over a link that fails in every way and is killed at every step: nothing is lost, nothing is doubled.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod parcels;
mod restore;
mod singles;
mod visits;
mod world;

use std::collections::BTreeMap;

use annona_protocol::{
    draw::{DrawRequest, SessionGone},
    group::PublicScalar,
    ids::{LineId, Round, SessionId, Units},
    programme::{InForce, KeyCounts, TicketKind},
    redeem::Outcome,
    voucher::Mark,
    wire::{Message as _, request_digest},
};
use annona_wallet::{Agent, AgentError, Choice, Endpoint, Link, Persist, Refusal, Task, Wallet, WalletError};

use world::{CASH, Disk, FOOD, Fault, NORTH, SOUTH, Site, Wire, World, agent, disk, rng};

const FAULTS: [Fault; 5] = [Fault::LostBefore, Fault::LostAfter, Fault::Twice, Fault::Flipped, Fault::Busy];

/// Units of held vouchers, by site and line.
fn held(view: &InForce<'_>, wallet: &Wallet) -> BTreeMap<(u16, LineId), u64> {
    let mut units = BTreeMap::new();
    for voucher in wallet.vouchers() {
        let id = view.key(voucher.key()).unwrap().id;
        *units.entry((id.site.unwrap().0, id.line)).or_default() += u64::from(id.value);
    }
    units
}

/// The same keys at the other site.
fn moved(view: &InForce<'_>, wallet: &Wallet, old: &[Mark]) -> KeyCounts {
    let mut keys = KeyCounts::new();
    for mark in old {
        assert!(wallet.vouchers().iter().any(|voucher| voucher.shown().mark() == *mark));
        let mut id = view.key(mark.key).unwrap().id;
        id.site = Some(SOUTH);
        keys.push((view.programme.key_index(&id).unwrap(), 1));
    }
    keys.sort_unstable();
    keys
}

/// What a household wants of the issuer: everything drawn for the first site, and one voucher of cash moved to the second.
/// Goes on from wherever the wallet stands.
fn at_issuer<P: Persist, L: Link>(agent: &mut Agent<P, L>, world: &World, seed: u64) -> Result<(), AgentError> {
    let (view, rng) = (world.view(), &mut rng(seed));
    for (_, result) in agent.resume(world.programme(), rng)? {
        result?;
    }
    if agent.wallet().credential().is_none() {
        agent.enrol(world.programme(), TicketKind::Enrol, world.ticket(0), rng)?;
    }
    agent.roll_over(&view, rng)?;
    let keys = agent.wallet().plan(&view, NORTH)?;
    if !keys.is_empty() {
        agent.draw(&view, keys, rng)?;
    }
    if held(&view, agent.wallet()).keys().all(|(site, _)| *site == NORTH.0) {
        let marks = agent.wallet().vouchers().iter().map(|voucher| voucher.shown().mark());
        let old: Vec<Mark> = marks.filter(|mark| view.key(mark.key).unwrap().id.line == CASH).take(1).collect();
        let new = moved(&view, agent.wallet(), &old);
        agent.swap(&view, &old, new, rng)?;
    }
    Ok(())
}

/// What it wants of the site: everything there, and what is owed.
fn at_site<P: Persist, L: Link>(
    agent: &mut Agent<P, L>,
    world: &World,
    site: &Site,
    seed: u64,
) -> Result<(), AgentError> {
    let (view, rng) = (world.view(), &mut rng(seed));
    for (_, result) in agent.resume(world.programme(), rng)? {
        result?;
    }
    if held(&view, agent.wallet()).keys().any(|(site, _)| *site == NORTH.0) {
        agent.redeem(&view, NORTH, Choice::All, rng)?;
    }
    let slips: Vec<_> = agent.wallet().owed().cloned().collect();
    for slip in slips {
        // What was missing has come.
        site.set_stock(slip.content.lines.iter().copied().collect()).unwrap();
        agent.collect(&view, slip.content.holder, rng)?;
    }
    Ok(())
}

fn state(disk: &Disk) -> Wallet {
    Wallet::decode(&disk.borrow()).unwrap()
}

/// What there is after the issuer's part: the credential is drawn empty, each operation is logged once.
fn check_issuer(world: &World, wallet: &Wallet, expected: &BTreeMap<(u16, LineId), u64>, case: &str) {
    let view = world.view();
    assert_eq!(&held(&view, wallet), expected, "{case}");
    assert!(wallet.available(&view).is_empty(), "{case}");
    assert_eq!(world.logged(), [1, 1, 1, 1], "{case}");
    assert!(wallet.tasks().is_empty() && !wallet.refresh_due(), "{case}");
}

/// The issuer's part without a fault: what is held, how many messages, how many steps.
fn undisturbed() -> (BTreeMap<(u16, LineId), u64>, usize, usize) {
    let world = World::new();
    let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
    at_issuer(&mut agent(&disk, &wire), &world, 4).unwrap();
    let expected = held(&world.view(), &state(&disk));
    assert!(expected.keys().any(|(site, line)| (*site, *line) == (SOUTH.0, CASH)));
    assert!(expected[&(NORTH.0, FOOD)] > 0);
    check_issuer(&world, &state(&disk), &expected, "undisturbed");
    (expected, wire.count.get(), wire.power.steps.get())
}

#[test]
fn a_fault_of_any_message_to_the_issuer_changes_nothing() {
    let (expected, messages, _) = undisturbed();
    // Enrolment, roll-over, session and draw, session and swap.
    assert_eq!(messages, 6);
    for fault in FAULTS {
        for at in 0..messages {
            let world = World::new();
            let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
            wire.faults.borrow_mut().insert(at, fault);
            // A session whose offer was changed opens for nothing: the draw is refused, and made again after a refresh.
            at_issuer(&mut agent(&disk, &wire), &world, 4).unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            check_issuer(&world, &state(&disk), &expected, &format!("{fault:?} at {at}"));
        }
    }
}

#[test]
fn a_wallet_killed_at_any_step_with_the_issuer_goes_on() {
    let (expected, _, steps) = undisturbed();
    assert!(steps > 30);
    for dies_at in 0..steps {
        let world = World::new();
        let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
        wire.power.dies_at.set(Some(dies_at));
        at_issuer(&mut agent(&disk, &wire), &world, 4).expect_err("killed");
        // Another life, with another generator.
        at_issuer(&mut agent(&disk, &wire), &world, 5).unwrap_or_else(|error| panic!("killed at {dies_at}: {error}"));
        check_issuer(&world, &state(&disk), &expected, &format!("killed at {dies_at}"));
    }
}

/// A wallet that has been at the issuer, on a disk.
fn drawn(world: &World) -> Vec<u8> {
    let (disk, wire) = (disk(world), Wire::new(&world.issuer, None, 3));
    at_issuer(&mut agent(&disk, &wire), world, 4).unwrap();
    disk.take()
}

/// Runs the site's part under a set-up of the link, twice if the first life ends early; gives messages and steps.
fn visit(case: &str, set_up: impl Fn(&Wire<'_>), dies: bool) -> (usize, usize) {
    let world = World::new();
    let disk = Disk::new(drawn(&world).into());
    let before = held(&world.view(), &state(&disk));
    // Two units of food too few: they are owed.
    let food = before[&(NORTH.0, FOOD)];
    let site = world.site(food - 2, 1000);
    let wire = Wire::new(&world.issuer, Some(&site), 6);
    set_up(&wire);
    let first = at_site(&mut agent(&disk, &wire), &world, &site, 7);
    assert_eq!(first.is_err(), dies, "{case}: {first:?}");
    if dies {
        at_site(&mut agent(&disk, &wire), &world, &site, 8).unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    let wallet = state(&disk);
    let rest: u64 = held(&world.view(), &wallet).iter().filter(|((at, _), _)| *at == NORTH.0).map(|(_, n)| n).sum();
    assert_eq!(rest, 0, "{case}");
    assert_eq!(held(&world.view(), &wallet)[&(SOUTH.0, CASH)], before[&(SOUTH.0, CASH)], "{case}");
    // One receipt a voucher, and the slip collected; the site has handed out each line once.
    let mut marks: Vec<Mark> = wallet.receipts().iter().map(|receipt| receipt.content.mark).collect();
    marks.sort_unstable();
    marks.dedup();
    assert_eq!(marks.len(), wallet.receipts().len(), "{case}");
    assert_eq!((wallet.owed().count(), wallet.tasks().len(), wallet.faults().len()), (0, 0, 0), "{case}");
    let latest = wallet.latest().unwrap();
    assert_eq!(latest.units, [(FOOD, Units(2))], "{case}");
    let (messages, steps) = (wire.count.get(), wire.power.steps.get());
    let statement = site.close_round().unwrap();
    let units: BTreeMap<LineId, u64> = statement.content.units.iter().map(|(line, units)| (*line, units.0)).collect();
    let expected = before.iter().filter(|((at, _), _)| *at == NORTH.0).map(|((_, line), units)| (*line, *units));
    assert_eq!(units, expected.collect(), "{case}");
    assert_eq!(statement.content.owed, [(FOOD, Units(2))], "{case}");
    assert_eq!(statement.content.collected, [(FOOD, Units(2))], "{case}");
    (messages, steps)
}

#[test]
fn a_fault_of_any_message_to_a_site_changes_nothing() {
    let (messages, _) = visit("undisturbed", |_| {}, false);
    // Quote, visit, collection.
    assert_eq!(messages, 3);
    for fault in FAULTS {
        for at in 1..messages {
            visit(&format!("{fault:?} at {at}"), |wire| wire.faults.borrow_mut().extend([(at, fault)]), false);
        }
    }
}

#[test]
fn a_wallet_killed_at_any_step_of_a_visit_goes_on() {
    let (_, steps) = visit("undisturbed", |_| {}, false);
    for dies_at in 0..steps {
        visit(&format!("killed at {dies_at}"), |wire| wire.power.dies_at.set(Some(dies_at)), true);
    }
}

fn enrolled(world: &World, disk: &Disk, wire: &Wire<'_>) {
    let (mut agent, rng) = (agent(disk, wire), &mut rng(10));
    agent.enrol(world.programme(), TicketKind::Enrol, world.ticket(0), rng).unwrap();
    agent.roll_over(&world.view(), rng).unwrap();
}

/// [5.4-M9]: after the issuer's word a new session, for the same list.
#[test]
fn a_session_that_is_gone_is_opened_anew() {
    let world = World::new();
    let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
    enrolled(&world, &disk, &wire);
    // Enrolment and roll-over were 0 and 1; 2 is the session, 3 the draw.
    wire.faults.borrow_mut().extend([(3, Fault::Gone), (5, Fault::Gone)]);
    let mut agent = agent(&disk, &wire);
    let keys = agent.wallet().plan(&world.view(), NORTH).unwrap();
    let vouchers: u32 = keys.iter().map(|(_, count)| count).sum();
    assert_eq!(agent.draw(&world.view(), keys, &mut rng(11)).unwrap(), vouchers as usize);
    let endpoints: Vec<Endpoint> = wire.sent.borrow()[2..].iter().map(|(endpoint, _)| *endpoint).collect();
    assert_eq!(endpoints, [Endpoint::Session, Endpoint::Draw].repeat(3));
    assert_eq!(world.logged(), [1, 1, 1, 0]);
}

/// [5.4-M9]: not after anybody else's word, nor one about another session.
#[test]
fn a_false_word_opens_no_session() {
    let world = World::new();
    let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
    enrolled(&world, &disk, &wire);
    let mut agent = agent(&disk, &wire);
    wire.faults.borrow_mut().extend((3..9).map(|at| (at, Fault::LostBefore)));
    let keys = agent.wallet().plan(&world.view(), NORTH).unwrap();
    let error = agent.draw(&world.view(), keys, &mut rng(11)).unwrap_err();
    assert!(matches!(error, AgentError::Unreached { .. }));
    let mut wallet = agent.into_wallet();
    let body = wallet.outgoing(Task::Credential).unwrap().body;
    let draw = DrawRequest::decode(&body).unwrap();
    let (id, serial) = (world.programme().id(), draw.show.serial);
    let thief = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let other = SessionId([9; 16]);
    let words = [
        SessionGone::sign(id, draw.session, serial, &thief),
        SessionGone::sign(id, other, serial, world.issuer.log_key()),
        SessionGone::sign(id, draw.session, PublicScalar(-serial.0), world.issuer.log_key()),
    ];
    let before = wallet.encode();
    for word in words {
        let refusal =
            Refusal { status: 409, code: "session-gone".into(), text: String::new(), signed: Some(word.encode()) };
        let error = wallet.refused(world.programme(), Task::Credential, &refusal).unwrap_err();
        assert!(matches!(error, WalletError::Word));
        assert!(*wallet.encode() == *before, "the same bytes are to be sent");
    }
}

/// [4.3-M10]: a refused draw is followed by a refresh, and only then by a draw.
#[test]
fn a_refused_show_is_followed_by_a_refresh() {
    let world = World::new();
    let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
    enrolled(&world, &disk, &wire);
    wire.faults.borrow_mut().insert(3, Fault::Refused);
    let (view, mut agent) = (world.view(), agent(&disk, &wire));
    let keys = agent.wallet().plan(&view, NORTH).unwrap();
    assert!(matches!(agent.draw(&view, keys.clone(), &mut rng(11)), Err(AgentError::Refused(_))));
    assert!(agent.wallet().refresh_due() && state(&disk).refresh_due());
    let again = state(&disk).draw(&view, keys.clone(), &mut rng(12));
    assert!(matches!(again, Err(WalletError::RefreshDue)));
    assert!(agent.draw(&view, keys, &mut rng(13)).unwrap() > 0);
    assert_eq!(world.logged(), [1, 1, 2, 0], "a refresh and a draw");
    assert!(!agent.wallet().refresh_due());
}

/// [5.4-M10]: a draw that was made and called refused is found again, as its context was kept.
#[test]
fn a_lie_about_a_refusal_loses_nothing() {
    let world = World::new();
    let (disk, wire) = (disk(&world), Wire::new(&world.issuer, None, 3));
    enrolled(&world, &disk, &wire);
    wire.faults.borrow_mut().insert(3, Fault::Lied);
    let (view, mut agent) = (world.view(), agent(&disk, &wire));
    let keys = agent.wallet().plan(&view, NORTH).unwrap();
    let vouchers: u32 = keys.iter().map(|(_, count)| count).sum();
    assert!(matches!(agent.draw(&view, keys, &mut rng(11)), Err(AgentError::Refused(_))));
    // The refresh meets a spent serial; the draw's bytes get the stored answer.
    agent.refresh(&view, &mut rng(12)).unwrap();
    assert_eq!(agent.wallet().vouchers().len(), vouchers as usize);
    assert!(agent.wallet().available(&view).is_empty());
    assert_eq!(world.logged(), [1, 1, 1, 0]);
}

/// Answers with a bit changed, and another household's answers, change no byte of the state.
#[test]
fn hostile_answers_change_nothing() {
    let world = World::new();
    let mut wallets = [0, 1].map(|_| Wallet::new(world.programme().id()));
    let wire = Wire::new(&world.issuer, None, 3);
    let (mut generator, seed) = (rng(20), std::cell::Cell::new(21));
    for step in 0..4 {
        let view = world.view();
        let mut answers = Vec::new();
        for (at, wallet) in wallets.iter_mut().enumerate() {
            let generator = &mut generator;
            match step {
                0 => wallet.enrol(world.programme(), TicketKind::Enrol, world.ticket(at), generator).unwrap(),
                1 => wallet.roll_over(&view, generator).unwrap(),
                2 => {
                    let keys = wallet.plan(&view, NORTH).unwrap();
                    wallet.draw(&view, keys, generator).unwrap();
                }
                // After the session, the draw.
                _ => {}
            }
            let outgoing = wallet.outgoing(Task::Credential).unwrap();
            answers.push(wire.send(outgoing.endpoint, &outgoing.body).unwrap());
        }
        let absorb = |wallet: &mut Wallet, answer: &[u8]| {
            // Two wallets have two generators: the issuer refuses a second slot of one id.
            seed.set(seed.get() + 1);
            wallet.absorb(world.programme(), Task::Credential, answer, &mut rng(seed.get()))
        };
        let before = wallets[0].encode();
        // An offer of a session can be anybody's: what it leads to is what has to verify.
        if step != 2 {
            for byte in (0..answers[0].len()).step_by(5) {
                let mut flipped = answers[0].clone();
                flipped[byte] ^= 1 << (byte % 8);
                assert!(absorb(&mut wallets[0], &flipped).is_err(), "step {step}, byte {byte}");
                assert!(*wallets[0].encode() == *before, "step {step}, byte {byte}");
            }
            assert!(absorb(&mut wallets[0], &answers[1]).is_err(), "step {step}: another's answer");
            assert!(*wallets[0].encode() == *before, "step {step}");
        }
        for (wallet, answer) in wallets.iter_mut().zip(&answers) {
            absorb(wallet, answer).unwrap();
            // A second delivery finds nothing that waits for it.
            let after = wallet.encode();
            assert!(absorb(wallet, answer).is_err(), "step {step}");
            assert!(*wallet.encode() == *after, "step {step}");
        }
    }
    assert!(wallets.iter().all(|wallet| !wallet.vouchers().is_empty()));
}

/// [7.7-M1] and the choice of vouchers: what a refusal names stays behind, the rest goes.
#[test]
fn what_a_site_refuses_stays_and_the_rest_goes() {
    let world = World::new();
    let disk = Disk::new(drawn(&world).into());
    // A copy of the wallet redeems one voucher first.
    let copy = Disk::new(disk.borrow().clone().into());
    let site = world.site(1000, 1000);
    let wire = Wire::new(&world.issuer, Some(&site), 6);
    let view = world.view();
    let first = state(&disk).vouchers()[0].shown().mark();
    let taken = agent(&copy, &wire).redeem(&view, NORTH, Choice::These(&[first]), &mut rng(30)).unwrap();
    assert_eq!((taken.outcome, state(&copy).receipts().len()), (Outcome::Accepted, 1));
    let all = state(&disk).vouchers().len();
    agent(&disk, &wire).redeem(&view, NORTH, Choice::All, &mut rng(31)).unwrap();
    let wallet = state(&disk);
    assert_eq!(wallet.faults().keys().collect::<Vec<_>>(), [&first]);
    // All but the refused one and the one for the other site.
    assert_eq!((wallet.receipts().len(), wallet.vouchers().len(), wallet.refusals().len()), (all - 2, 2, 1));
    assert_eq!(wallet.refusals()[0].content.marks, [first]);
    // By itself it goes nowhere; when asked to, to the site that has seen it, for its receipt.
    let none = agent(&disk, &wire).redeem(&view, NORTH, Choice::All, &mut rng(32));
    assert!(matches!(none, Err(AgentError::Wallet(WalletError::NothingToRedeem))));
    let again = agent(&disk, &wire).redeem(&view, NORTH, Choice::These(&[first]), &mut rng(33)).unwrap();
    assert_eq!(again.outcome, Outcome::AlreadyAccepted);
    let wallet = state(&disk);
    assert_eq!((wallet.receipts().len(), wallet.vouchers().len(), wallet.faults().len()), (all - 1, 1, 0));
    assert!(wallet.receipts().contains(&state(&copy).receipts()[0]));
}

/// A quote that is gone: the same vouchers under another one.
#[test]
fn a_new_quote_makes_a_new_request_over_the_same_vouchers() {
    let world = World::new();
    let disk = Disk::new(drawn(&world).into());
    let pack = world.pack();
    let site = world.site_with(&pack, 1000, 1000);
    let view = world.view();
    // The wallet's request names a quote of a site that has forgotten it since.
    let forgotten = {
        let wire = Wire::new(&world.issuer, Some(&site), 6);
        wire.faults.borrow_mut().extend((1..4).map(|at| (at, Fault::LostBefore)));
        let error = agent(&disk, &wire).redeem(&view, NORTH, Choice::All, &mut rng(40)).unwrap_err();
        assert!(matches!(error, AgentError::Unreached { .. }));
        let sent = wire.sent.borrow();
        // Three times the same bytes.
        assert_eq!(sent[1..], [sent[1], sent[1], sent[1]]);
        state(&disk).outgoing(Task::Visit(NORTH, Round(1))).unwrap().body
    };
    // Another device with the site's key, which never gave that quote.
    let site = world.site_with(&pack, 1000, 1000);
    let wire = Wire::new(&world.issuer, Some(&site), 9);
    let all = state(&disk).vouchers().len();
    agent(&disk, &wire).redeem(&view, NORTH, Choice::All, &mut rng(41)).unwrap();
    let endpoints: Vec<Endpoint> = wire.sent.borrow().iter().map(|(endpoint, _)| *endpoint).collect();
    assert_eq!(endpoints, [Endpoint::Redeem(NORTH), Endpoint::Quote(NORTH), Endpoint::Redeem(NORTH)]);
    assert_eq!(wire.sent.borrow()[0].1, request_digest(&forgotten));
    assert_eq!((state(&disk).receipts().len(), state(&disk).vouchers().len()), (all - 1, 1));
}

#[test]
fn bytes_that_are_no_wallet_are_refused() {
    let world = World::new();
    let bytes = drawn(&world);
    let again = Wallet::decode(&bytes).unwrap();
    assert!(*again.encode() == bytes[..]);
    for length in (0..bytes.len()).step_by(7) {
        assert!(Wallet::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Wallet::decode(&[&bytes[..], &[0]].concat()).is_err());
    let mut newer = bytes.clone();
    newer[0] = 3;
    let error = Wallet::decode(&newer).unwrap_err();
    assert_eq!(error, annona_wallet::WalletFileError::Format { found: 3 });
    // The format before ended where the single draws stand, which are none here.
    let mut older = bytes[..bytes.len() - 1].to_vec();
    older[0] = 1;
    assert!(*Wallet::decode(&older).unwrap().encode() == bytes[..]);
    assert!(Wallet::decode(&older[..older.len() - 1]).is_err());
    assert_eq!(format!("{again:?}"), "Wallet(redacted)");
}
