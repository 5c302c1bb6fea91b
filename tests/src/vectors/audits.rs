//! The published files of the example, and what an audit finds when they are tampered with.

use annona_protocol::{
    ids::Round,
    log::{
        leaf::{IssuerLeaf, SiteLeaf, close_batch},
        merkle::{self, TreeHash},
        note::{Checkpoint, KeyType, VerifierKey, cosign, sign_checkpoint, verify_checkpoint},
    },
    programme::KeyEntry,
    wire::Message,
};
use ed25519_dalek::SigningKey;

use super::build::File;
use crate::{json::Json, life::World};

/// A log under a checkpoint that its signer and the witness made of whatever it holds.
fn published(world: &World, name: &str, key: &SigningKey, entries: &[Vec<u8>]) -> Json {
    let leaves: Vec<TreeHash> = entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    let checkpoint = Checkpoint::new(name, leaves.len() as u64, merkle::root(&leaves)).expect("an origin");
    let note = sign_checkpoint(key, name, &checkpoint).expect("its own log");
    let public = VerifierKey::new(name, KeyType::Log, key.verifying_key()).expect("a key");
    let verified = verify_checkpoint(note.to_string().as_bytes(), &public, &[], 0).expect("just signed");
    let witness = &world.fixture.programme.latest().witnesses[0].name;
    let cosignature = cosign(&world.fixture.witness, witness, 1_700_000_000, &verified).expect("a time");
    Json::object([
        ("name", Json::text(name)),
        ("checkpoint", Json::text(note.with_signature(cosignature).to_string())),
        ("entries", Json::list(entries.iter().map(Json::hex))),
    ])
}

fn sites(world: &World, first: &[Vec<u8>]) -> Json {
    let named = world.fixture.programme.latest().sites.iter().zip(&world.fixture.site_logs);
    Json::list(named.zip([first, &[]]).map(|((site, key), entries)| {
        let log = published(world, &site.logs[0].name, key, entries);
        log.with("site", Json::number(site.id.0))
    }))
}

pub(super) fn file(world: &World) -> File {
    let (fixture, programme) = (&world.fixture, &world.fixture.programme);
    let mut file = File::new(
        "audit",
        "9",
        "Everything that the example published, audited; and tampered logs, each signed and cosigned as it is, with what the audit finds.",
    );
    let name = &programme.latest().issuer_log.name;
    let issuer = |entries: &[Vec<u8>]| published(world, name, &fixture.issuer_log, entries);
    let (issued, visited) = (world.issuer_log(), world.site_log());
    let inputs = Json::object([
        ("programme id", Json::hex(programme.id().0)),
        ("issuer", issuer(&issued)),
        ("sites", sites(world, &visited)),
        ("keys", Json::list(programme.keys().iter().map(|entry| Json::hex(KeyEntry::encode(entry))))),
        ("packs", Json::list(world.packs.iter().map(|pack| Json::hex(pack.encode())))),
        ("surrendered", Json::list([Json::hex(world.visit.surrender.encode())])),
    ]);
    let base = "published";
    file.accept(programme, base, "audit", inputs);

    // Positions: versions 0 and 1, lots 2 and 3, opening 4, events from 5.
    let position = |is: &dyn Fn(&IssuerLeaf) -> bool| {
        issued.iter().position(|entry| is(&IssuerLeaf::decode(entry).expect("a leaf"))).expect("the leaf is there")
    };
    let mut tamper = |name: &str, rule: &str, set: (&str, Json)| {
        file.refuse_set(programme, name, base, [set], rule);
    };
    let without = |at: usize| [&issued[..at], &issued[at + 1..]].concat();
    tamper(
        "the freeze left out",
        "9.2",
        ("issuer", issuer(&without(position(&|leaf| matches!(leaf, IssuerLeaf::Freeze(_)))))),
    );
    tamper("a lot left out", "9.3.1", ("issuer", issuer(&without(2))));
    let events = |events: Vec<IssuerLeaf>| {
        let mut entries = issued[..5].to_vec();
        entries.extend(close_batch(&events, 1, Round(1), 5));
        entries.extend(world.closing().iter().map(Message::encode));
        entries
    };
    let kept = |drop: &dyn Fn(&IssuerLeaf) -> bool| world.events.iter().filter(|leaf| !drop(leaf)).cloned().collect();
    let draws = events(kept(&|leaf| matches!(leaf, IssuerLeaf::Draw(leaf) if !leaf.keys.is_empty())));
    tamper("draws left out", "9.6.2: redeemed and swapped vouchers that were never drawn", ("issuer", issuer(&draws)));
    let twice: Vec<IssuerLeaf> = world
        .events
        .iter()
        .map(|leaf| {
            if matches!(leaf, IssuerLeaf::Draw(leaf) if leaf.keys.is_empty()) {
                IssuerLeaf::RollOver(world.roll_over.leaf.clone())
            } else {
                leaf.clone()
            }
        })
        .collect();
    tamper("a roll-over twice", "9.3.10", ("issuer", issuer(&events(twice))));
    let mut unsorted = issued.clone();
    unsorted.swap(5, 6);
    tamper("a batch that is not sorted", "9.1.8", ("issuer", issuer(&unsorted)));
    let mut minted = world.site_events();
    minted.push(SiteLeaf::Voucher(annona_protocol::log::leaf::VoucherLeaf {
        number: 1,
        voucher: world.visit.surrender.voucher,
    }));
    let log = close_batch(&minted, 1, Round(1), 0);
    tamper("a swapped voucher redeemed", "9.6.1", ("sites", sites(world, &log)));
    let mut forged = world.visit.leaves[1];
    forged.voucher.shown.s = world.visit.leaves[0].voucher.shown.s;
    let log = close_batch(&[SiteLeaf::Voucher(forged)], 1, Round(1), 0);
    tamper("a forged voucher", "9.5.4", ("sites", sites(world, &log)));
    let log = close_batch(
        &[SiteLeaf::Voucher(world.visit.leaves[1]), SiteLeaf::Voucher(world.visit.leaves[1])],
        1,
        Round(1),
        0,
    );
    tamper("a voucher logged twice", "9.5.5", ("sites", sites(world, &log)));
    let log = close_batch(&world.site_events()[1..3], 1, Round(1), 0);
    let log = [log, vec![SiteLeaf::Statement(world.statement()).encode()]].concat();
    tamper("a statement of another log", "9.5.16", ("sites", sites(world, &log)));
    let mut cut = visited.clone();
    cut.pop();
    let set = Json::list(sites(world, &visited).items().iter().enumerate().map(|(at, site)| match at {
        0 => site.clone().with("entries", Json::list(cut.iter().map(Json::hex))),
        _ => site.clone(),
    }));
    tamper("a log shorter than its checkpoint", "9.1.5", ("sites", set));
    tamper("a site's log not published", "9.1.2", ("sites", Json::list([sites(world, &visited).items()[0].clone()])));
    tamper("no packs", "9.2.13", ("packs", Json::list([])));
    file
}
