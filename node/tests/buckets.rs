//! Sealed slots by the bucket, as a wallet that restores gets them (spec 10.2; spec/node.md, 6.1): over real stores on disk.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc::channel,
};

use annona_node::{
    random::os as rng,
    service::issuer::{Grant, IssuerError, IssuerSecrets, IssuerService, LotPlan},
    store::{Role, Store},
    tickets::{PreparedLot, TicketRow},
};
use annona_protocol::{
    bucket::{Bucket, ENROLMENTS, SlotBucket, SlotDirectory, SlotKind, SlotRound, StoredSlot, depth_of},
    credential::Credential,
    draw::{AmendContext, AmendResponse, DrawContext, DrawResponse, RollOverContext, RollOverResponse},
    enrol::{EnrolContext, EnrolResponse},
    ids::{LotId, Round},
    log::leaf::{IssuerLeaf, LotLeaf},
    programme::{LotTerms, Start, TicketKind},
    registry::tag,
    slots::Slots,
    swap::{SwapContext, SwapResponse},
    ticket::TicketCode,
    wire::Message as _,
};
use world::{FOOD, ROUND, World, entries, slots, world, world_of, world_where};

const AMENDS: LotId = LotId(2);
const ONE: u32 = 1;

fn directory(world: &World, minimum: u32) -> Vec<SlotRound> {
    let directory = world.issuer.slot_directory(minimum).unwrap();
    assert_eq!(SlotDirectory::decode(&directory.encode()), Ok(directory.clone()));
    assert_eq!(directory.minimum, minimum);
    directory.rounds
}

fn of(round: Round, vouchers: Option<u8>, credential: u8) -> SlotRound {
    SlotRound { round, vouchers, credential }
}

/// One bucket, which has to be what a wallet takes.
fn bucket(world: &World, bucket: Bucket, minimum: u32) -> Vec<StoredSlot> {
    let found = world.issuer.slot_bucket(&bucket, None, minimum).unwrap();
    assert!(found.is_of(&bucket, None) && !found.more);
    assert_eq!(SlotBucket::decode(&found.encode()), Ok(found.clone()));
    found.slots
}

/// Every bucket of a round and kind at a depth.
fn all(world: &World, kind: SlotKind, round: Round, depth: u8, minimum: u32) -> Vec<StoredSlot> {
    (0..1 << depth)
        .flat_map(|number| bucket(world, Bucket::new(kind, round, depth, number).unwrap(), minimum))
        .collect()
}

fn ids(slots: &[StoredSlot]) -> BTreeSet<[u8; 32]> {
    slots.iter().map(|slot| slot.id).collect()
}

fn is_unknown(world: &World, kind: SlotKind, round: Round, depth: u8, minimum: u32) -> bool {
    let bucket = Bucket::new(kind, round, depth, 0).unwrap();
    match world.issuer.slot_bucket(&bucket, None, minimum) {
        Err(error @ IssuerError::BucketUnknown) => error.code() == "bucket-unknown",
        _ => false,
    }
}

fn enrol(world: &World, ticket: usize, slots: &Slots) -> Result<(Credential, Vec<u8>), IssuerError> {
    let code = TicketCode::from_bytes(*world.codes[ticket].expose());
    let programme = world.programme();
    let (context, request) = EnrolContext::new(&programme, TicketKind::Enrol, code, slots.clone(), &mut rng()).unwrap();
    let answer = world.issuer.enrol(&request.encode(), &mut rng())?;
    Ok((context.finish(&programme, &EnrolResponse::decode(&answer).unwrap(), &mut rng()).unwrap(), answer))
}

fn roll_over(world: &World, credential: &Credential, slots: &Slots) -> Result<Credential, IssuerError> {
    let programme = world.programme();
    let view = programme.in_force(world.round).unwrap();
    let (context, request) = RollOverContext::new(&view, credential, slots.clone(), &mut rng()).unwrap();
    let answer = world.issuer.roll_over(&request.encode(), &mut rng())?;
    Ok(context.finish(&view, &RollOverResponse::decode(&answer).unwrap(), &mut rng()).unwrap())
}

/// The same ids, other ciphertexts: what a second copy of a wallet sends.
fn again(slots: &Slots) -> Slots {
    let mut again = Slots::random(slots.vouchers.ciphertext.len(), &mut rng());
    (again.vouchers.id, again.credential.id) = (slots.vouchers.id, slots.credential.id);
    again
}

fn close_round(world: &World, round: Round) {
    world.issuer.freeze(round).unwrap();
    world.issuer.close_round(round).unwrap();
}

fn holds(world: &World, needle: &[u8]) -> bool {
    ["annona.db", "annona.db-wal"].iter().any(|name| {
        let bytes = std::fs::read(world.homes.path().join("issuer").join(name)).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

/// Whoever polls buckets sees no draw before its batch is closed; after that, what was sent, the leaf that the log has, and what a
/// wallet needs of the answer.
#[test]
fn buckets_hold_what_is_in_the_log_and_nothing_that_waits() {
    let world = world_of(2);
    let (first, second, rolled) = (slots(), slots(), slots());
    let (credential, answer) = enrol(&world, 0, &first).unwrap();
    roll_over(&world, &credential, &rolled).unwrap();
    assert_eq!(directory(&world, ONE), []);
    for kind in SlotKind::ALL {
        assert!(is_unknown(&world, kind, ENROLMENTS, 0, ONE) && is_unknown(&world, kind, ROUND, 0, ONE));
    }
    assert_eq!(world.issuer.close_batch().unwrap(), 2);
    enrol(&world, 1, &second).unwrap();
    assert_eq!(directory(&world, ONE), [of(ENROLMENTS, Some(0), 0), of(ROUND, Some(0), 0)]);

    let log = entries(world.issuer.store());
    for (round, slots, answer) in [(ENROLMENTS, &first, &answer[..]), (ROUND, &rolled, &[])] {
        for (kind, sent, answer) in
            [(SlotKind::Vouchers, &slots.vouchers, &[][..]), (SlotKind::Credential, &slots.credential, answer)]
        {
            let found = all(&world, kind, round, 0, ONE);
            assert_eq!(found.len(), 1, "what waits is not given out");
            assert_eq!((found[0].id, &found[0].ciphertext), (sent.id, &sent.ciphertext));
            assert_eq!(found[0].answer, answer);
            assert!(log.contains(&found[0].leaf));
            let of_round = match IssuerLeaf::decode(&found[0].leaf).unwrap() {
                IssuerLeaf::Enrol(_) => ENROLMENTS,
                IssuerLeaf::RollOver(record) => record.round,
                _ => panic!("another leaf"),
            };
            assert_eq!(of_round, round);
        }
    }
    world.issuer.close_batch().unwrap();
    assert_eq!(
        ids(&all(&world, SlotKind::Credential, ENROLMENTS, 1, ONE)),
        BTreeSet::from([first.credential.id, second.credential.id])
    );
}

/// At every minimum: depth and buckets are those that the number of slots gives; all buckets together are all slots, each once; and
/// any other depth is refused.
#[test]
fn buckets_of_a_round_together_are_all_its_slots() {
    const HOUSEHOLDS: usize = 37;
    let world = world_of(HOUSEHOLDS);
    let sent: Vec<Slots> = (0..HOUSEHOLDS)
        .map(|ticket| {
            let slots = slots();
            enrol(&world, ticket, &slots).unwrap();
            slots
        })
        .collect();
    world.issuer.close_batch().unwrap();
    for minimum in (1..=10).chain([18, 19, HOUSEHOLDS as u32]) {
        let depth = depth_of(HOUSEHOLDS as u64, minimum);
        assert!(HOUSEHOLDS >> depth >= minimum as usize && HOUSEHOLDS >> (depth + 1) < minimum as usize);
        assert_eq!(directory(&world, minimum), [of(ENROLMENTS, Some(depth), depth)]);
        for kind in SlotKind::ALL {
            let expected: BTreeSet<[u8; 32]> = sent
                .iter()
                .map(|slots| if kind == SlotKind::Vouchers { slots.vouchers.id } else { slots.credential.id })
                .collect();
            for depth in [Some(depth), depth.checked_sub(1)].into_iter().flatten() {
                let found = all(&world, kind, ENROLMENTS, depth, minimum);
                assert_eq!((found.len(), ids(&found)), (HOUSEHOLDS, expected.clone()), "minimum {minimum}");
            }
            assert!(is_unknown(&world, kind, ENROLMENTS, depth + 1, minimum), "finer than the minimum");
            assert!(depth < 2 || is_unknown(&world, kind, ENROLMENTS, depth - 2, minimum), "coarser than needed");
            assert!(is_unknown(&world, kind, ROUND, 0, minimum), "a round without slots");
        }
    }
}

/// Whoever chooses ids can fill one bucket: it comes in parts, each within a message's limit, and they are the whole.
#[test]
fn a_bucket_that_is_too_long_comes_in_parts() {
    const MORE: usize = 600;
    let world = world();
    let first = slots();
    enrol(&world, 0, &first).unwrap();
    world.issuer.close_batch().unwrap();
    let id = first.credential.id;
    let fill = move |connection: &rusqlite::Connection| {
        for _ in 0..MORE {
            connection.execute(
                "INSERT INTO slots SELECT randomblob(32), 1, 0, randomblob(16384), leaf, ticket FROM slots WHERE id = ?1",
                [id],
            )?;
        }
        Ok::<_, rusqlite::Error>(())
    };
    world.issuer.store().write(fill).unwrap().unwrap();
    let whole = Bucket::new(SlotKind::Credential, ENROLMENTS, 0, 0).unwrap();
    let (mut found, mut parts) = (Vec::new(), 0);
    loop {
        let after: Option<[u8; 32]> = found.last().map(|slot: &StoredSlot| slot.id);
        let part = world.issuer.slot_bucket(&whole, after.as_ref(), ONE).unwrap();
        assert!(part.is_of(&whole, after.as_ref()));
        assert!(part.encode().len() <= SlotBucket::MAX_BYTES);
        SlotBucket::decode(&part.encode()).unwrap();
        parts += 1;
        let more = part.more;
        found.extend(part.slots);
        if !more {
            break;
        }
    }
    assert!((3..6).contains(&parts), "{parts}");
    assert_eq!((found.len(), ids(&found).len()), (MORE + 1, MORE + 1));
    let elsewhere = Bucket::new(SlotKind::Credential, ENROLMENTS, 1, 0).unwrap();
    let after = Some(&[0xff; 32]);
    assert!(matches!(world.issuer.slot_bucket(&elsewhere, after, ONE), Err(IssuerError::BucketUnknown)));
}

/// [10.1]: voucher slots of a round, and those of enrolments, go with the round, from the file too; the others stay until the
/// programme ends.
#[test]
fn voucher_slots_go_with_their_round() {
    let mut world = world_where(2, |header| header.last_round = Round(2));
    let (enrolled, rolled, late) = (slots(), slots(), slots());
    let (credential, _) = enrol(&world, 0, &enrolled).unwrap();
    let credential = roll_over(&world, &credential, &rolled).unwrap();
    world.issuer.close_batch().unwrap();
    let gone = [&enrolled.vouchers, &rolled.vouchers];
    let kept = [&enrolled.credential, &rolled.credential];
    assert!(gone.iter().chain(&kept).all(|slot| holds(&world, &slot.ciphertext) && holds(&world, &slot.id)));

    close_round(&world, ROUND);
    assert!(gone.iter().all(|slot| !holds(&world, &slot.ciphertext) && !holds(&world, &slot.id)));
    assert!(kept.iter().all(|slot| holds(&world, &slot.ciphertext)));
    assert_eq!(directory(&world, ONE), [of(ENROLMENTS, None, 0), of(ROUND, None, 0)]);
    for round in [ENROLMENTS, ROUND] {
        assert!(is_unknown(&world, SlotKind::Vouchers, round, 0, ONE));
        assert_eq!(all(&world, SlotKind::Credential, round, 0, ONE).len(), 1);
    }
    // Between two rounds, and in the next.
    enrol(&world, 1, &late).unwrap();
    world.issuer.close_batch().unwrap();
    assert_eq!(directory(&world, ONE), [of(ENROLMENTS, Some(0), 1), of(ROUND, None, 0)]);
    assert_eq!(all(&world, SlotKind::Vouchers, ENROLMENTS, 0, ONE).len(), 1);
    world.begin(Round(2), |_| {});
    let next = slots();
    roll_over(&world, &credential, &next).unwrap();
    world.issuer.freeze(Round(2)).unwrap();
    assert_eq!(all(&world, SlotKind::Vouchers, Round(2), 0, ONE)[0].ciphertext, next.vouchers.ciphertext);
    assert!(holds(&world, &late.vouchers.ciphertext));
    // The programme's last round takes the rest.
    world.issuer.close_round(Round(2)).unwrap();
    assert_eq!(directory(&world, ONE), []);
    assert!(is_unknown(&world, SlotKind::Credential, ENROLMENTS, 0, ONE));
    for slot in kept.into_iter().chain([&late.vouchers, &late.credential, &next.vouchers, &next.credential]) {
        assert!(!holds(&world, &slot.ciphertext) && !holds(&world, &slot.id));
    }
}

/// Who reads slots, however slowly, keeps nobody from enrolling or rolling over.
#[test]
fn who_reads_slots_keeps_nobody_waiting() {
    let world = world_of(2);
    enrol(&world, 0, &slots()).unwrap();
    world.issuer.close_batch().unwrap();
    let ((reads, started), (release, held)) = (channel(), channel());
    std::thread::scope(|scope| {
        let store = world.issuer.store();
        let slow = scope.spawn(move || {
            store.read_apart(|connection| {
                reads.send(()).unwrap();
                held.recv().unwrap();
                connection.query_row("SELECT count(*) FROM slots", [], |row| row.get::<_, u64>(0))
            })
        });
        started.recv().unwrap();
        let credential = enrol(&world, 1, &slots()).unwrap().0;
        roll_over(&world, &credential, &slots()).unwrap();
        assert_eq!(world.issuer.status().unwrap().pending, 2);
        release.send(()).unwrap();
        assert_eq!(slow.join().unwrap().unwrap(), 2, "it saw one moment");
    });
}

/// A restart, and an issuer from a backup, cut the same buckets.
#[test]
fn buckets_outlive_a_restart_and_a_backup() {
    let world = world_of(5);
    let credentials: Vec<Credential> = (0..5).map(|ticket| enrol(&world, ticket, &slots()).unwrap().0).collect();
    world.issuer.close_batch().unwrap();
    roll_over(&world, &credentials[0], &slots()).unwrap();
    let before = |issuer: &IssuerService| {
        let bucket = Bucket::new(SlotKind::Credential, ENROLMENTS, 1, 1).unwrap();
        (issuer.slot_directory(2).unwrap(), issuer.slot_bucket(&bucket, None, 2).unwrap())
    };
    let first = before(&world.issuer);
    assert_eq!(first.0.rounds, [of(ENROLMENTS, Some(1), 1)]);
    let copy = world.homes.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    world.issuer.store().backup(&copy.join("annona.db")).unwrap();
    let world = world.restart();
    assert_eq!(before(&world.issuer), first);
    let secrets = IssuerSecrets::from_bytes(&world.secrets).unwrap();
    let copied = IssuerService::open(Store::open(&copy, Role::Issuer).unwrap(), secrets, &world.masters).unwrap();
    assert_eq!(before(&copied), first);
    // What waited when it was copied comes with its batch.
    for issuer in [&world.issuer, &copied] {
        issuer.close_batch().unwrap();
        assert_eq!(issuer.slot_directory(2).unwrap().rounds, [of(ENROLMENTS, Some(1), 1), of(ROUND, Some(0), 0)]);
    }
}

/// [10.1-M4]: an id that exists is refused, whatever it is used for, and nothing is burnt: the same wallet goes on with other ids.
#[test]
fn an_existing_slot_id_is_refused_and_burns_nothing() {
    let world = world_of(2);
    let taken = slots();
    let (credential, _) = enrol(&world, 0, &taken).unwrap();
    let crossed = |mut slots: Slots| {
        slots.credential.id = taken.vouchers.id;
        slots.vouchers.id[..4].copy_from_slice(&taken.vouchers.id[..4]);
        slots
    };
    let refused = |error: IssuerError| matches!(error, IssuerError::SlotExists) && error.code() == "slot-exists";
    let waiting = || world.issuer.status().unwrap().pending;

    // An enrolment: the ticket is not used.
    for slots in [again(&taken), crossed(slots())] {
        assert!(refused(enrol(&world, 1, &slots).unwrap_err()));
    }
    assert_eq!((waiting(), world.issuer.status().unwrap().tickets), (1, (1, 1)));
    enrol(&world, 1, &slots()).unwrap();

    // A roll-over: the serial is not spent.
    assert!(refused(roll_over(&world, &credential, &again(&taken)).unwrap_err()));
    assert_eq!(waiting(), 2);
    let credential = roll_over(&world, &credential, &slots()).unwrap();

    // A draw: its session is gone, as after any refusal, and the issuer signs that the serial is unspent.
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    let keys = world.keys(1, &[(FOOD, 3)]);
    let draw = |slots: Slots| {
        let offer = world.session(&keys);
        let (context, request) = DrawContext::new(&view, &credential, keys.clone(), &offer, slots, &mut rng()).unwrap();
        (context, request.encode(), offer.session)
    };
    let (_, request, session) = draw(crossed(slots()));
    assert!(refused(world.issuer.draw(&request, &mut rng()).unwrap_err()));
    let Err(IssuerError::SessionGone(word)) = world.issuer.draw(&request, &mut rng()) else { panic!("no word") };
    assert_eq!(word.session, session);
    word.verify(&view).unwrap();
    let (context, request, _) = draw(slots());
    let answer = world.issuer.draw(&request, &mut rng()).unwrap();
    let (_, vouchers) = context.finish(&view, &DrawResponse::decode(&answer).unwrap(), &mut rng()).unwrap();

    // A swap: the old voucher is not swapped.
    let value = programme.key(vouchers[0].key()).unwrap().id.value;
    let target = world.keys(2, &[(FOOD, u64::from(value))]);
    let swap = |slots: Slots| {
        let offer = world.session(&target);
        let (context, request) =
            SwapContext::new(&view, vec![&vouchers[0]], target.clone(), &offer, slots, &mut rng()).unwrap();
        (context, request.encode())
    };
    let (_, request) = swap(again(&taken));
    assert!(refused(world.issuer.swap(&request).unwrap_err()));
    assert!(matches!(world.issuer.swap(&request), Err(IssuerError::SwapSessionGone)));
    let (context, request) = swap(slots());
    let answer = world.issuer.swap(&request).unwrap();
    context.finish(&view, &SwapResponse::decode(&answer).unwrap()).unwrap();
    assert_eq!(waiting(), 5, "what was refused left no leaf");
    world.issuer.close_batch().unwrap();
    assert_eq!(all(&world, SlotKind::Credential, ROUND, 0, 3).len(), 3);
}

/// An amend's credential slot brings the masked answer that the wallet needs; a refused one burns neither ticket nor serial.
#[test]
fn an_amends_slot_comes_with_its_answer() {
    let world = world_where(1, |header| {
        let start = Start { drawn: Round(0), balances: Vec::new() };
        header.lots.push(LotTerms { id: AMENDS, kind: TicketKind::Amend, start });
    });
    let ticket = import_amend(&world, vec![6, 2]);
    let taken = slots();
    let credential = roll_over(&world, &enrol(&world, 0, &taken).unwrap().0, &slots()).unwrap();
    let programme = world.programme();
    let view = programme.in_force(ROUND).unwrap();
    let amend = |slots: &Slots| {
        let code = TicketCode::from_bytes(*ticket.expose());
        let (context, request) = AmendContext::new(&view, &credential, code, slots.clone(), &mut rng()).unwrap();
        world.issuer.amend(&request.encode(), &mut rng()).map(|answer| (context, answer))
    };
    assert!(matches!(amend(&again(&taken)), Err(IssuerError::SlotExists)));
    assert_eq!(world.issuer.status().unwrap().tickets, (1, 1));
    let sent = slots();
    let (context, answer) = amend(&sent).unwrap();
    world.issuer.close_batch().unwrap();
    let by_id = |kind| -> BTreeMap<[u8; 32], StoredSlot> {
        all(&world, kind, ROUND, 1, ONE).into_iter().map(|slot| (slot.id, slot)).collect()
    };
    let slot = by_id(SlotKind::Credential).remove(&sent.credential.id).unwrap();
    assert!(matches!(IssuerLeaf::decode(&slot.leaf), Ok(IssuerLeaf::Amend(_))));
    assert_eq!(slot.answer, answer);
    context.finish(&view, &AmendResponse::decode(&slot.answer).unwrap(), &mut rng()).unwrap();
    let vouchers = by_id(SlotKind::Vouchers);
    assert_eq!(vouchers.len(), 2);
    assert!(vouchers.values().all(|slot| slot.answer.is_empty()));
}

/// A ticket of an approved lot of amends.
fn import_amend(world: &World, attributes: Vec<u64>) -> TicketCode {
    let header = world.programme().latest().clone();
    let row = TicketRow { expires: Round(12), attributes };
    let terms = header.lot(AMENDS).unwrap();
    let lot = PreparedLot::new(world.programme().id(), &header.schema, terms, vec![row], &mut rng()).unwrap();
    let plan = LotPlan { lot: AMENDS, count: lot.count(), root: lot.root() };
    let grants: Vec<Grant> = lot.grants().map(|grant| Grant { grant, after: None }).collect();
    world.issuer.import_lot(&plan, grants.into_iter(), &mut rng()).unwrap();
    let message = LotLeaf::signed_bytes(&world.programme().id(), AMENDS, plan.count, &plan.root);
    let signatures = world.officers.sign(tag::LOT, &message, 2);
    world.issuer.approve_lot(&LotLeaf { signatures, ..plan.unsigned() }).unwrap();
    TicketCode::from_bytes(*lot.codes()[0].expose())
}
