//! Wallets that are lost with everything but their words, and copies of one wallet that race (spec 10.1, 10.2).

use std::collections::BTreeSet;

use annona_protocol::{bucket::Bucket, voucher::Voucher};
use annona_wallet::{RestoreError, Restored, SEALED_MESSAGES};

use super::*;

const SEED: [u8; 32] = [7; 32];

/// A new wallet with these words.
pub(crate) fn with_words(world: &World, seed: &[u8; 32]) -> Disk {
    let mut wallet = Wallet::new(world.programme().id());
    wallet.set_words(seed).unwrap();
    Disk::new(wallet.encode().to_vec().into())
}

/// Restores what the log has.
pub(crate) fn restore(world: &World, disk: &Disk) -> Result<Restored, RestoreError> {
    // Slots are given out once their batch is closed.
    let size: usize = world.logged().iter().sum();
    let wire = Wire::new(&world.issuer, None, 30);
    agent(disk, &wire).restore(world.programme(), size as u64, &mut rng(31))
}

fn holdings(wallet: &Wallet) -> (Option<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let secret = |voucher: &Voucher| voucher.encode_secret().to_vec();
    let credential = wallet.credential().map(|credential| credential.encode_secret().to_vec());
    (credential, wallet.vouchers().iter().map(secret).collect())
}

/// Everything comes back from the words, to the byte, and is redeemed; without them, or with others, nothing is found.
#[test]
fn a_lost_wallet_comes_back_from_its_words() {
    let world = World::new();
    let (lost, wire) = (with_words(&world, &SEED), Wire::new(&world.issuer, None, 3));
    at_issuer(&mut agent(&lost, &wire), &world, 4).unwrap();
    let (lost, food) = (state(&lost), world.view());
    let food = held(&food, &lost)[&(NORTH.0, FOOD)];

    let found = with_words(&world, &SEED);
    let restored = restore(&world, &found).unwrap();
    assert_eq!((restored.messages, restored.credential), (4, true));
    assert_eq!((restored.vouchers, restored.unusable.len()), (lost.vouchers().len(), 0));
    assert_eq!(holdings(&state(&found)), holdings(&lost));
    let again = restore(&world, &found).unwrap();
    assert_eq!((again.credential, again.vouchers), (false, 0), "what is held is not taken twice");
    assert_eq!(holdings(&state(&found)), holdings(&lost));

    let other = with_words(&world, &[8; 32]);
    assert_eq!(restore(&world, &other).unwrap().messages, 0);
    assert!(state(&other).credential().is_none());
    let without = disk(&world);
    assert!(matches!(restore(&world, &without), Err(RestoreError::Wallet(WalletError::NoWords))));

    let site = world.site(food, 1000);
    let wire = Wire::new(&world.issuer, Some(&site), 6);
    at_site(&mut agent(&found, &wire), &world, &site, 7).unwrap();
    assert_eq!(
        site.close_round().unwrap().content.units.iter().find(|(line, _)| *line == FOOD).unwrap().1,
        Units(food)
    );
}

/// [P7] Lost at any step, with its disk: the words and the ticket bring back or do all of it, once.
#[test]
fn a_wallet_lost_at_any_step_is_restored_and_goes_on() {
    let (expected, _, steps) = undisturbed();
    for dies_at in 0..steps {
        let case = format!("lost at {dies_at}");
        let world = World::new();
        let (lost, wire) = (with_words(&world, &SEED), Wire::new(&world.issuer, None, 3));
        wire.power.dies_at.set(Some(dies_at));
        at_issuer(&mut agent(&lost, &wire), &world, 4).expect_err("killed");
        let found = with_words(&world, &SEED);
        restore(&world, &found).unwrap_or_else(|error| panic!("{case}: {error}"));
        let wire = Wire::new(&world.issuer, None, 5);
        at_issuer(&mut agent(&found, &wire), &world, 6).unwrap_or_else(|error| panic!("{case}: {error}"));
        check_issuer(&world, &state(&found), &expected, &case);
    }
}

/// Of two copies that draw from one serial one is answered; the other restores, and has what the winner has.
#[test]
fn the_copy_that_lost_a_serial_goes_on_where_the_winner_is() {
    let world = World::new();
    let (view, wire) = (world.view(), Wire::new(&world.issuer, None, 3));
    let winner = with_words(&world, &SEED);
    let mut first = agent(&winner, &wire);
    first.enrol(world.programme(), TicketKind::Enrol, world.ticket(0), &mut rng(1)).unwrap();
    first.roll_over(&view, &mut rng(1)).unwrap();
    let loser = Disk::new(winner.borrow().clone().into());
    let mut second = agent(&loser, &wire);
    let keys = first.wallet().plan(&view, NORTH).unwrap();
    let drawn = first.draw(&view, keys.clone(), &mut rng(2)).unwrap();
    let error = second.draw(&view, keys, &mut rng(3)).unwrap_err();
    assert!(matches!(&error, AgentError::Refused(_)), "{error}");

    let restored = restore(&world, &loser).unwrap();
    assert_eq!((restored.credential, restored.vouchers), (true, drawn));
    assert_eq!(holdings(&state(&loser)), holdings(&state(&winner)));
    assert!(!state(&loser).refresh_due() && state(&loser).tasks().is_empty());
    // Either goes on; the other one has lost again, and shows nothing before it has asked.
    agent(&loser, &wire).refresh(&view, &mut rng(4)).unwrap();
    assert!(matches!(agent(&winner, &wire).refresh(&view, &mut rng(5)), Err(AgentError::Refused(_))));
    assert!(matches!(agent(&winner, &wire).refresh(&view, &mut rng(6)), Err(AgentError::Refused(_))));
    let sent = wire.sent.borrow();
    assert_eq!(sent[sent.len() - 1], sent[sent.len() - 2], "the same bytes again, and no others");
    drop(sent);
    // [10.2-M6] What was sent after the restore is in no slot until the next round, and no id came twice.
    assert!(!restore(&world, &winner).unwrap().credential);
    assert_eq!(world.logged(), [1, 1, 2, 0]);
}

/// A swap whose answer was lost, and a restore before it goes on: its new vouchers are held once.
#[test]
fn a_restore_and_a_swap_without_its_answer_do_not_double() {
    let world = World::new();
    let (disk, wire) = (with_words(&world, &SEED), Wire::new(&world.issuer, None, 3));
    // Messages 0 to 5: the last is the swap, whose answers are lost.
    wire.faults.borrow_mut().extend((5..9).map(|at| (at, Fault::LostAfter)));
    assert!(at_issuer(&mut agent(&disk, &wire), &world, 4).is_err());
    let before = state(&disk).vouchers().len();
    assert_eq!(state(&disk).tasks(), [Task::Swap]);
    restore(&world, &disk).unwrap();
    assert_eq!((state(&disk).vouchers().len(), state(&disk).tasks().len()), (before, 0));
    let wire = Wire::new(&world.issuer, None, 5);
    at_issuer(&mut agent(&disk, &wire), &world, 6).unwrap();
    assert_eq!(state(&disk).vouchers().len(), before);
    assert_eq!(world.logged(), [1, 1, 1, 1]);
}

/// [10.2-M2] A backup shows nothing before it has asked what the wallet did since.
#[test]
fn a_backup_restores_before_it_shows_anything() {
    let world = World::new();
    let (view, wire) = (world.view(), Wire::new(&world.issuer, None, 3));
    let kept = with_words(&world, &SEED);
    agent(&kept, &wire).enrol(world.programme(), TicketKind::Enrol, world.ticket(0), &mut rng(1)).unwrap();
    let copy = Disk::new(state(&kept).encode_backup().to_vec().into());
    at_issuer(&mut agent(&kept, &wire), &world, 4).unwrap();

    let before = wire.count.get();
    let error = agent(&copy, &wire).roll_over(&view, &mut rng(2)).unwrap_err();
    assert!(matches!(error, AgentError::Wallet(WalletError::Copied)), "{error}");
    assert_eq!(wire.count.get(), before, "nothing was sent");
    restore(&world, &copy).unwrap();
    assert_eq!(holdings(&state(&copy)), holdings(&state(&kept)));
    agent(&copy, &wire).refresh(&view, &mut rng(3)).unwrap();
    // A backup of a wallet without words has nobody to ask.
    let mut without = Wallet::decode(&drawn(&World::new())).unwrap();
    assert!(!Wallet::decode(&without.encode_backup()).unwrap().has_words());
}

/// [10.2-M1, 10.2-M3] The issuer sees the same of every restore: how many buckets of each kind and round, each once.
#[test]
fn a_restore_asks_for_as_many_buckets_whatever_the_wallet_did() {
    let world = World::new();
    let wire = Wire::new(&world.issuer, None, 3);
    at_issuer(&mut agent(&with_words(&world, &SEED), &wire), &world, 4).unwrap();
    let size: usize = world.logged().iter().sum();
    let asked = |seed: &[u8; 32]| {
        let wire = Wire::new(&world.issuer, None, 30);
        agent(&with_words(&world, seed), &wire).restore(world.programme(), size as u64, &mut rng(31)).unwrap();
        let mut buckets: Vec<Bucket> = Vec::new();
        for (endpoint, _) in wire.sent.borrow().iter() {
            match endpoint {
                Endpoint::Slots(bucket, None) => buckets.push(*bucket),
                Endpoint::SlotDirectory => {}
                other => panic!("{other:?}"),
            }
        }
        let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
        buckets.iter().for_each(|bucket| *kinds.entry((bucket.kind, bucket.round)).or_default() += 1);
        kinds
    };
    let (own, other) = (asked(&SEED), asked(&[9; 32]));
    assert_eq!(own, other);
    assert!(own.len() >= 3 && own.values().all(|count| (1..=SEALED_MESSAGES as usize).contains(count)));
}

/// More messages than words cover are sealed at random, and said to be.
#[test]
fn words_cover_a_number_of_messages_of_each_round() {
    let world = World::new();
    let (view, wire) = (world.view(), Wire::new(&world.issuer, None, 3));
    let disk = with_words(&world, &SEED);
    let mut agent = agent(&disk, &wire);
    agent.enrol(world.programme(), TicketKind::Enrol, world.ticket(0), &mut rng(1)).unwrap();
    agent.roll_over(&view, &mut rng(1)).unwrap();
    for at in 1..SEALED_MESSAGES {
        assert!(agent.wallet().is_covered(Round(1)), "{at}");
        agent.refresh(&view, &mut rng(10 + u64::from(at))).unwrap();
    }
    assert!(!agent.wallet().is_covered(Round(1)) && agent.wallet().is_covered(Round(2)));
    let covered = holdings(agent.wallet());
    agent.refresh(&view, &mut rng(50)).unwrap();
    let found = with_words(&world, &SEED);
    let restored = restore(&world, &found).unwrap();
    assert_eq!(restored.messages, 1 + SEALED_MESSAGES as usize);
    assert_eq!(holdings(&state(&found)), covered, "the last that was covered");
}
