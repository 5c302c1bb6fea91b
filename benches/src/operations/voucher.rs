//! Blind signing, verification of vouchers, holder proofs.

use annona_protocol::{
    hazmat,
    ids::{LineId, Round, SiteId},
    programme::{KeyEntry, KeyId},
    voucher::{PreparedKey, RoundMaster},
};

use crate::{
    measure::Case,
    world::{self, World},
};

const GROUP: &str = "voucher";

/// Which part of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Opening the session.
    Open,
    /// Answering it.
    Answer,
    /// Both: all that a signature costs the issuer.
    Both,
}

/// The issuer's side of `count` vouchers in one session, a voucher.
pub fn sign(world: &'static World, count: u32, part: Signing) -> Case {
    let keys = world.one_key(count);
    let (mut r1, mut r2) = (world::rng(70), world::rng(71));
    let units = count as usize;
    // A challenge is any scalar: what the holder hides in it does not matter to the signer.
    let challenges = {
        let session = world.open(&keys, &mut r1);
        hazmat::blind(&world.view(), &keys, session.offer(), &mut r1).expect("listed").1
    };
    let again = keys.clone();
    match part {
        Signing::Open => Case::batch(
            GROUP,
            format!("open a session of {count}, a voucher"),
            units,
            || (),
            move |()| world.open(&keys, &mut r2),
        ),
        Signing::Answer => Case::batch(
            GROUP,
            format!("answer a session of {count}, a voucher"),
            units,
            move || world.open(&again, &mut r1),
            move |session| session.answer(&challenges).expect("one a nonce"),
        ),
        Signing::Both => Case::batch(
            GROUP,
            format!("open and answer a session of {count}, a voucher"),
            units,
            || (),
            move |()| world.open(&keys, &mut r2).answer(&challenges).expect("one a nonce"),
        ),
    }
}

/// The holder's side of a session, a voucher.
fn hold(world: &'static World, count: u32) -> Vec<Case> {
    let (keys, units) = (world.one_key(count), count as usize);
    let (mut r1, mut r2, mut r3) = (world::rng(72), world::rng(73), world::rng(74));
    let session = world.open(&keys, &mut r1);
    let (blinded, challenges) = hazmat::blind(&world.view(), &keys, session.offer(), &mut r1).expect("listed");
    let entries: Vec<KeyEntry> = vec![*world.entry(); units];
    let answers = session.answer(&challenges).expect("one a nonce");
    vec![
        Case::batch(
            GROUP,
            format!("blind {count}, a voucher"),
            units,
            move || world.open(&keys, &mut r2).offer().clone(),
            move |offer| hazmat::blind(&world.view(), &world.one_key(count), &offer, &mut r3).expect("listed"),
        ),
        Case::batch(
            GROUP,
            format!("check and unblind {count}, a voucher"),
            units,
            || (),
            move |()| blinded.unblind(&entries, &answers).expect("honest"),
        ),
    ]
}

/// One voucher under a prepared key, as a counter verifies it.
pub fn verify_prepared(world: &'static World) -> Case {
    let (key, mut at) = (PreparedKey::new(world.entry()), 0);
    let next = move || {
        at = (at + 1) % world.vouchers.len();
        *world.vouchers[at].shown()
    };
    Case::new(GROUP, "verify one, prepared key", next, move |shown| key.verify(&shown).expect("honest"))
}

/// All operations on vouchers by themselves.
pub fn vouchers(world: &'static World) -> Vec<Case> {
    let master = RoundMaster::generate(&mut world::rng(75));
    let id = KeyId { line: LineId(1), value: 1, round: Round(1), site: Some(SiteId(1)), slot: None };
    let mut cases = vec![
        Case::new(GROUP, "derive a key", || (), move |()| master.derive(id)),
        Case::new(GROUP, "prepare a key", || (), move |()| PreparedKey::new(world.entry())),
    ];
    for count in [1, 12] {
        cases.push(sign(world, count, Signing::Open));
        cases.extend(hold(world, count));
        cases.push(sign(world, count, Signing::Answer));
    }
    cases.push(verify_prepared(world));
    let mut at = 0;
    let next = move || {
        at = (at + 1) % world.vouchers.len();
        *world.vouchers[at].shown()
    };
    cases.push(Case::new(GROUP, "verify one", next, |shown| {
        hazmat::verify_voucher(world.entry(), &shown).expect("honest")
    }));
    for count in [1, 4, 12] {
        let shown: Vec<_> = world.vouchers.iter().take(count).map(|voucher| (world.entry(), voucher)).collect();
        let public: Vec<_> = shown.iter().map(|(entry, voucher)| (*entry, *voucher.shown())).collect();
        let mut rng = world::rng(76);
        let proof = hazmat::prove_holder(&shown, &mut rng);
        cases.push(Case::new(
            "holder proof",
            format!("prove, {count} vouchers"),
            || (),
            move |()| hazmat::prove_holder(&shown, &mut rng),
        ));
        cases.push(Case::new(
            "holder proof",
            format!("verify, {count} vouchers"),
            || (),
            move |()| hazmat::verify_holder(&public, &proof).expect("honest"),
        ));
    }
    cases
}
