//! What is published: accepted by code that is not ours, the same after a kill anywhere, never two roots for a size.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod logs;
mod world;

use std::{fs, path::Path, process::Command, sync::Arc};

use annona_node::{
    publisher::{
        AnnounceError, Announcer, ExportError, PublishError, Publisher, export_issuer, export_site, files::FileError,
    },
    service::{
        issuer::{IssuerError, IssuerSecrets, IssuerService, LostSums},
        site::{SiteError, SiteService},
    },
    store::{Role, Store},
    witness::{WitnessClient, WitnessError},
};
use annona_protocol::{
    audit::{Note, audit},
    ids::{Round, Units},
    log::{
        KeyType, VerifierKey,
        tile::{fsck, tiles_for},
    },
    programme::{Announcement, LogKey},
    signature::PublicKey,
    wire::Message,
};
use ed25519_dalek::SigningKey;
use logs::{Plain, files, third_party, vkey, witness, witness_key};
use world::{FOOD, Open, ROUND, World, world};

fn entries_of(store: &Store) -> Vec<Vec<u8>> {
    world::entries(store)
}

#[test]
fn a_log_is_published_step_by_step_as_it_would_be_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_serving, client) = witness(witness_key(), vec![vkey()], &folder.path().join("witness"));
    let plain = Arc::new(Plain::open(&folder.path().join("home")));
    let published = folder.path().join("published");
    let publisher = Publisher::new(Arc::clone(&plain), &published);
    let mut size = 0;
    for more in [0, 1, 2, 100, 153, 1, 255, 600] {
        plain.grow(more, 0);
        size += more;
        let outcome = publisher.publish(std::slice::from_ref(&client)).unwrap();
        assert!(outcome.is_complete() && outcome.size == size, "{outcome:?}");
        assert_eq!(third_party(&published, &vkey(), &witness_key()).unwrap(), size);
        assert!(fsck(|path| fs::read(published.join(path)).ok(), size, 9).is_empty());
    }
    for tile in tiles_for(&entries_of(&plain.store)).unwrap() {
        assert_eq!(fs::read(published.join(tile.path.to_string())).unwrap(), tile.content, "{}", tile.path);
    }
    let before = files(&published);
    assert!(publisher.publish(&[]).unwrap().is_complete(), "again, without a witness: nothing is left to do");
    assert_eq!(publisher.rebuild().unwrap(), 0);
    assert_eq!(files(&published), before);
}

/// Level 2 has its first hash at 65,536 entries.
#[test]
fn a_large_log_is_accepted_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let (_serving, client) = witness(witness_key(), vec![vkey()], &folder.path().join("witness"));
    let plain = Arc::new(Plain::open(&folder.path().join("home")));
    let published = folder.path().join("published");
    let publisher = Publisher::new(Arc::clone(&plain), &published);
    for size in [65_000, 1_200] {
        plain.grow(size, 0);
        assert!(publisher.publish(std::slice::from_ref(&client)).unwrap().is_complete());
    }
    assert_eq!(third_party(&published, &vkey(), &witness_key()).unwrap(), 66_200);
}

#[test]
fn others_reject_a_flipped_byte_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (_serving, client) = witness(witness_key(), vec![vkey()], &folder.path().join("witness"));
    let plain = Arc::new(Plain::open(&folder.path().join("home")));
    plain.grow(300, 0);
    let published = folder.path().join("published");
    let publisher = Publisher::new(plain, &published);
    publisher.publish(&[client]).unwrap();
    third_party(&published, &vkey(), &witness_key()).unwrap();
    for path in files(&published) {
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(third_party(&published, &vkey(), &witness_key()).is_err(), "{} at {at}", path.display());
        }
        // Nor is it overwritten silently by us.
        assert!(
            matches!(
                publisher.rebuild(),
                Err(PublishError::File(FileError::Differs { .. })
                    | PublishError::Checkpoint { .. }
                    | PublishError::SecondRoot { .. })
            ),
            "{}",
            path.display()
        );
        fs::remove_file(&path).unwrap();
        publisher.rebuild().unwrap();
        assert_eq!(fs::read(&path).unwrap(), good, "rows give it again");
    }
}

/// Runs in a process of its own, which is killed at the point that `ANNONA_FAULT` names.
#[test]
fn child_publishes() {
    let Some(home) = std::env::var_os("ANNONA_TEST_HOME") else { return };
    let address = std::env::var("ANNONA_TEST_WITNESS").unwrap();
    let key = VerifierKey::new(logs::WITNESS, KeyType::Witness, witness_key().verifying_key()).unwrap();
    let client = WitnessClient::new(key, &address).unwrap();
    let plain = Arc::new(Plain::open(&Path::new(&home).join("home")));
    assert!(Publisher::new(plain, Path::new(&home).join("published")).publish(&[client]).unwrap().is_complete());
}

#[test]
fn killed_anywhere_the_next_run_ends_where_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, _) = witness(witness_key(), vec![vkey()], &folder.path().join("witness"));
    let run = |fault: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_publishes"])
            .env("ANNONA_TEST_HOME", folder.path())
            .env("ANNONA_TEST_WITNESS", format!("http://{}", serving.address()))
            .env("ANNONA_FAULT", fault)
            .output()
            .unwrap()
            .status
    };
    let points = [
        "store-before-commit",
        "store-after-commit",
        "store-before-commit:2",
        "store-after-commit:3",
        "publish-row",
        "publish-tile",
        "publish-tile:2",
        "publish-tile:4",
        "publish-tiles",
        "publish-note",
        "publish-checkpoint",
    ];
    let mut size = 0;
    for point in points {
        Plain::open(&folder.path().join("home")).grow(130, 0);
        size += 130;
        assert!(!run(point).success(), "{point} was not reached");
        if let Ok(note) = fs::read(folder.path().join("published/checkpoint")) {
            // Whatever is shown has its tiles.
            assert!(!note.is_empty());
            third_party(&folder.path().join("published"), &vkey(), &witness_key()).unwrap();
        }
        assert!(run("").success(), "after {point}");
        assert_eq!(third_party(&folder.path().join("published"), &vkey(), &witness_key()).unwrap(), size, "{point}");
        assert!(
            files(&folder.path().join("published")).iter().all(|path| path.extension().is_none_or(|e| e != "part"))
        );
    }
}

#[test]
fn without_witnesses_the_newest_cosigned_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("witness");
    let plain = Arc::new(Plain::open(&folder.path().join("home")));
    let publisher = Publisher::new(Arc::clone(&plain), folder.path().join("published"));
    plain.grow(5, 0);
    let outcome = publisher.publish(&[]).unwrap();
    assert_eq!((outcome.size, outcome.cosigned, outcome.cosignatures, outcome.threshold), (5, None, 0, 1));
    assert!(!folder.path().join("published/checkpoint").exists());
    let (serving, client) = witness(witness_key(), vec![vkey()], &state);
    let clients = std::slice::from_ref(&client);
    assert_eq!(publisher.publish(clients).unwrap().cosigned, Some(5));
    drop(serving);
    plain.grow(5, 0);
    let outcome = publisher.publish(clients).unwrap();
    assert_eq!((outcome.size, outcome.cosigned), (10, Some(5)));
    assert!(matches!(&outcome.waiting[..], [(name, WitnessError::Unreachable(_))] if name == logs::WITNESS));
    assert_eq!(third_party(&folder.path().join("published"), &vkey(), &witness_key()).unwrap(), 5);
    // A witness that the manifest does not name counts for nothing, and one that does not know the log says so.
    let (_strange, stranger) = witness(SigningKey::from_bytes(&[7; 32]), vec![vkey()], &folder.path().join("w2"));
    let outcome = publisher.publish(&[stranger]).unwrap();
    assert!(matches!(outcome.waiting[..], [(_, WitnessError::NotInManifest)]) && outcome.cosigned == Some(5));
    let (unknowing, client) = witness(witness_key(), vec![], &state);
    let outcome = publisher.publish(&[client]).unwrap();
    assert!(matches!(outcome.waiting[..], [(_, WitnessError::UnknownLog)]), "{outcome:?}");
    drop(unknowing);
    let (_serving, client) = witness(witness_key(), vec![vkey()], &state);
    assert_eq!(publisher.publish(&[client]).unwrap().cosigned, Some(10));
}

#[test]
fn a_store_that_was_rolled_back_or_forked_publishes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_serving, client) = witness(witness_key(), vec![vkey()], &folder.path().join("witness"));
    let clients = std::slice::from_ref(&client);
    let published = folder.path().join("published");
    let plain = Arc::new(Plain::open(&folder.path().join("home")));
    plain.grow(300, 0);
    Publisher::new(plain, &published).publish(clients).unwrap();
    let shown = fs::read(published.join("checkpoint")).unwrap();
    // Older than the folder.
    let old = Arc::new(Plain::open(&folder.path().join("old")));
    old.grow(200, 0);
    let publisher = Publisher::new(Arc::clone(&old), &published);
    assert!(matches!(publisher.publish(clients), Err(PublishError::Behind { size: 200, published: 300 })));
    // Into another folder: the witness remembers.
    let elsewhere = Publisher::new(Arc::clone(&old), folder.path().join("elsewhere"));
    let outcome = elsewhere.publish(clients).unwrap();
    assert!(matches!(outcome.waiting[..], [(_, WitnessError::Behind { size: 300, ours: 200 })]), "{outcome:?}");
    // Another log under the same name and key.
    let fork = Arc::new(Plain::open(&folder.path().join("fork")));
    fork.grow(310, 1);
    let publisher = Publisher::new(Arc::clone(&fork), &published);
    assert!(matches!(publisher.publish(clients), Err(PublishError::SecondRoot { size: 300 })));
    let outcome = Publisher::new(fork, folder.path().join("fork-out")).publish(clients).unwrap();
    assert!(matches!(outcome.waiting[..], [(_, WitnessError::Inconsistent { .. })]), "{outcome:?}");
    assert_eq!(fs::read(published.join("checkpoint")).unwrap(), shown);
}

#[test]
fn a_size_gets_one_root_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Arc::new(Plain::open(&folder.path().join("home")));
    plain.grow(10, 0);
    let publisher = Publisher::new(Arc::clone(&plain), folder.path().join("published"));
    let note = publisher.checkpoint_at(7).unwrap();
    assert_eq!(publisher.checkpoint_at(7).unwrap(), note);
    assert!(matches!(publisher.checkpoint_at(11), Err(PublishError::Behind { .. })));
    // Rows that change under a promise are noticed before anything is signed.
    let tamper = |sql: &'static str| {
        plain.store.write(move |connection| connection.execute_batch(sql)).unwrap().unwrap();
    };
    tamper("UPDATE checkpoints SET root = zeroblob(32) WHERE size = 7");
    assert!(matches!(publisher.checkpoint_at(7), Err(PublishError::SecondRoot { size: 7 })));
    tamper("UPDATE checkpoints SET root = zeroblob(32) WHERE size = 10");
    assert!(matches!(publisher.publish(&[]), Err(PublishError::SecondRoot { size: 10 })));
    tamper("DELETE FROM checkpoints; UPDATE entries SET hash = zeroblob(32) WHERE at = 3");
    assert!(matches!(publisher.publish(&[]), Err(PublishError::Rows { size: 10 })));
    assert!(matches!(publisher.rebuild(), Err(PublishError::Rows { size: 3 })));
    assert!(!folder.path().join("published").exists(), "nothing was published meanwhile");
}

#[test]
fn a_key_that_is_not_the_manifests_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Plain::open(&folder.path().join("home"));
    plain.key = SigningKey::from_bytes(&[8; 32]);
    let publisher = Publisher::new(Arc::new(plain), folder.path().join("published"));
    assert!(matches!(publisher.publish(&[]), Err(PublishError::Note(_))));
}

#[test]
fn addresses_of_witnesses_are_encrypted_or_local() {
    let key = VerifierKey::new("w", KeyType::Witness, witness_key().verifying_key()).unwrap();
    for good in ["https://w.example", "http://127.0.0.1:80/x/", "http://[::1]:80", "http://localhost"] {
        assert!(WitnessClient::new(key.clone(), good).is_ok(), "{good}");
    }
    for bad in ["http://w.example", "http://10.0.0.1", "ftp://localhost", "w.example", "http://localhost.example"] {
        assert!(matches!(WitnessClient::new(key.clone(), bad), Err(WitnessError::Address { .. })), "{bad}");
    }
}

/// Issuer and sites, from the first leaf to a folder that verifies.
#[test]
fn announcement_and_export_of_a_whole_round() {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let logs = world::log_keys(&world.programme());
    let (_serving, client) = witness(world.witness.clone(), logs.clone(), &folder.path().join("witness"));
    let clients = std::slice::from_ref(&client);
    // A household draws and redeems; the round ends everywhere.
    let (_, vouchers) = world.drawn(&[(FOOD, 3)]);
    let [north, south] = [0, 1].map(|at| world.site(at, 100));
    north.redeem(&vouchers.iter().collect::<Vec<_>>()).unwrap();
    for open in [&north, &south] {
        open.site.close_round().unwrap();
    }
    world.issuer.close_round(ROUND).unwrap();
    let programme = world.programme().id();
    let sites = [north, south].map(|open| Arc::new(open.site));
    let World { issuer, homes: _homes, .. } = world;
    let issuer = Arc::new(issuer);

    let announcer = Announcer::new(Arc::clone(&issuer));
    assert!(matches!(announcer.announcement(), Err(AnnounceError::NotYet)));
    let (received, export) = (folder.path().join("received"), folder.path().join("export"));
    assert!(matches!(export_issuer(&issuer, &received, &export), Err(ExportError::NotYet)));
    let publisher = Publisher::new(Arc::clone(&issuer), folder.path().join("published"));
    let outcome = publisher.publish(clients).unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    third_party(&folder.path().join("published"), &logs[0], &world.witness).unwrap();

    let bytes = announcer.announcement().unwrap();
    assert!(Arc::ptr_eq(&bytes, &announcer.announcement().unwrap()), "built once for a size");
    let announced = Announcement::decode(&bytes).unwrap().verify(programme).unwrap();
    assert!(announced.in_force(ROUND).is_ok());
    for site in &sites {
        // The site accepts it in place of the one it began with.
        site.announce(&bytes).unwrap();
    }

    export_issuer(&issuer, &received, &export).unwrap();
    for (at, site) in sites.iter().enumerate() {
        let publisher = Publisher::new(Arc::clone(site), folder.path().join(format!("published-{at}")));
        assert!(publisher.publish(clients).unwrap().is_complete());
        export_site(site, &export).unwrap();
    }
    // Again: nothing changes.
    let before: Vec<_> = files(&export).iter().map(|path| fs::read(path).unwrap()).collect();
    export_issuer(&issuer, &received, &export).unwrap();
    export_site(&sites[0], &export).unwrap();
    assert_eq!(files(&export).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);
    let published = annona_audit::load(&export).unwrap();
    assert_eq!((published.sites.len(), published.packs.len()), (2, 2));
    let verified = audit(programme, &published, &mut annona_node::random::os(), &|_| {}).verified();
    let redeemed: Vec<_> = verified.unwrap().totals().redeemed().collect();
    assert_eq!(redeemed, [(ROUND, world::SITE, FOOD, Units(3))]);
}

/// An issuer over a store that was made from a backup, in place of the one that is lost.
fn from_backup(world: World) -> World {
    let copy = world.homes.path().join("backup.db");
    world.issuer.store().backup(&copy).unwrap();
    let home = world.homes.path().join("issuer");
    let World { homes, issuer, masters, secrets, codes, site_keys, witness, officers, round } = world;
    drop(issuer);
    fs::remove_dir_all(&home).unwrap();
    fs::create_dir(&home).unwrap();
    fs::rename(copy, home.join("annona.db")).unwrap();
    let store = Store::open(&home, Role::Issuer).unwrap();
    let issuer = IssuerService::open(store, IssuerSecrets::from_bytes(&secrets).unwrap(), &masters).unwrap();
    World { homes, issuer, masters, secrets, codes, site_keys, witness, officers, round }
}

/// What an audit finds in an issuer's log: codes.
fn findings(world: World) -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let logs = world::log_keys(&world.programme());
    let (_serving, client) = witness(world.witness.clone(), logs, &folder.path().join("witness"));
    let programme = world.programme().id();
    let issuer = Arc::new(world.issuer);
    let publisher = Publisher::new(Arc::clone(&issuer), folder.path().join("published"));
    assert!(publisher.publish(std::slice::from_ref(&client)).unwrap().is_complete());
    let export = folder.path().join("export");
    export_issuer(&issuer, &folder.path().join("received"), &export).unwrap();
    let published = annona_audit::load(&export).unwrap();
    let report = audit(programme, &published, &mut annona_node::random::os(), &|_| {});
    assert!(report.leaves > 5);
    // Its sites have published nothing.
    report.findings.iter().map(|finding| finding.check.code()).filter(|code| *code != "log-missing").collect()
}

/// What was opened before a backup was made stays opened after it: the next range begins where the last one ended.
#[test]
fn an_issuer_from_a_backup_opens_cohorts_where_the_last_ones_ended() {
    let world = world::world_where(4, |header| header.policy.cohort_min = 2);
    world.enrol_with(0);
    world.enrol_with(1);
    world.issuer.freeze(ROUND).unwrap();
    let world = from_backup(world);
    world.enrol_with(2);
    world.enrol_with(3);
    assert_eq!(world.issuer.closing_freeze(ROUND).unwrap(), 1);
    world.issuer.close_round(ROUND).unwrap();
    assert_eq!(findings(world), [""; 0]);
}

/// A class that waited when the backup was made has lost its sum: too small, it waits on; otherwise the freeze says so, and who
/// insists gets what the audit says of it.
#[test]
fn an_issuer_from_a_backup_does_not_open_what_it_has_lost() {
    let world = world::world_where(3, |header| header.policy.cohort_min = 3);
    world.enrol_with(0);
    let small = from_backup(world);
    small.enrol_with(1);
    small.issuer.freeze(ROUND).unwrap();
    small.enrol_with(2);
    assert_eq!(small.issuer.closing_freeze(ROUND).unwrap(), 0);
    small.issuer.close_round(ROUND).unwrap();
    assert_eq!(findings(small), ["class-unopened"]);

    let world = world::world_where(3, |header| header.policy.cohort_min = 3);
    world.enrol_with(0);
    world.enrol_with(1);
    let lost = from_backup(world);
    lost.enrol_with(2);
    let before = world::entries(lost.issuer.store()).len();
    let refused = lost.issuer.freeze(ROUND).unwrap_err();
    assert!(matches!(refused, IssuerError::CohortLost { waiting: 3 }), "{refused}");
    assert_eq!(world::entries(lost.issuer.store()).len(), before, "nothing of a refused freeze holds");
    lost.issuer.freeze_with(ROUND, LostSums::Leave).unwrap();
    lost.issuer.close_round(ROUND).unwrap();
    assert_eq!(findings(lost), ["class-unopened"]);
}

/// A site's disk is lost in the middle of a round, with what was accepted since it last published. Officers sign a version that
/// names another log; nothing of the round goes at the new origin, whose store does not know what the old one accepted; the next
/// round does. The audit has nothing to accuse, and names the gap.
#[test]
fn a_site_that_lost_its_store_goes_on_with_another_log() {
    let mut world = world::world_of(2);
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("export");
    let (credential, vouchers) = world.drawn_with(0, &[(FOOD, 3)]);
    let [north, south] = [0, 1].map(|at| world.site(at, 100));
    south.site.close_round().unwrap();
    north.redeem(&[&vouchers[0]]).unwrap();
    north.site.close_batch(true).unwrap();
    let published = north.programme.key(vouchers[0].key()).unwrap().id.value;
    let packs = world.issuer.freeze(ROUND).unwrap();
    let key = annona_node::authoring::signing_key(&mut annona_node::random::os());
    let name = "annona.example/food-and-cash/site-1-again".to_owned();
    let again = LogKey { name, key: PublicKey::of(&key) };
    let logs = world::log_keys(&world.programme()).into_iter().chain([again.verifier(KeyType::Log).unwrap()]);
    let (_serving, client) = witness(world.witness.clone(), logs.collect(), &folder.path().join("witness"));
    let clients = std::slice::from_ref(&client);
    let publish = |site: &Arc<SiteService>, name: &str| {
        assert!(Publisher::new(Arc::clone(site), folder.path().join(name)).publish(clients).unwrap().is_complete());
        export_site(site, &export).unwrap();
    };
    let (site, south) = (Arc::new(north.site), Arc::new(south.site));
    publish(&site, "north");
    publish(&south, "south");
    // What came after is in no log: the disk goes.
    let north = Open { site: Arc::into_inner(site).unwrap(), programme: north.programme, round: ROUND };
    north.redeem(&[&vouchers[1]]).unwrap();
    let old = north.site;

    world.issuer.close_round(ROUND).unwrap();
    world.begin(Round(2), |header| header.sites[0].logs.push(again.clone()));
    let announcement = world.announcement();
    assert!(
        matches!(old.announce(&announcement), Err(SiteError::Key(_))),
        "the old store does not take the new origin"
    );
    drop(old);
    fs::remove_dir_all(world.homes.path().join("site-0")).unwrap();
    world.site_keys[0] = key;
    let fresh = world.announced(0);
    assert!(
        matches!(fresh.open_round(&packs[0].encode()), Err(SiteError::OtherLog(ROUND))),
        "both vouchers would go again"
    );
    assert!(matches!(fresh.open_without_pack(ROUND), Err(SiteError::OtherLog(ROUND))));

    let credential = world.roll_over(&credential);
    let (_, drawn) = world.draw(&credential, None, &[(FOOD, 3)]);
    let pack = world.issuer.freeze(Round(2)).unwrap().swap_remove(0);
    fresh.open_round(&pack.encode()).unwrap();
    fresh.set_stock([(FOOD, Units(100))].into()).unwrap();
    let open = Open { site: fresh, programme: world.programme(), round: Round(2) };
    assert_eq!(open.redeem(&drawn.iter().collect::<Vec<_>>()).unwrap().units, [(FOOD, Units(3))]);
    open.site.close_round().unwrap();
    world.issuer.close_round(Round(2)).unwrap();

    publish(&Arc::new(open.site), "north-again");
    let programme = world.programme().id();
    let issuer = Arc::new(world.issuer);
    let publisher = Publisher::new(Arc::clone(&issuer), folder.path().join("issuer"));
    assert!(publisher.publish(clients).unwrap().is_complete());
    export_issuer(&issuer, &folder.path().join("received"), &export).unwrap();
    let published_logs = annona_audit::load(&export).unwrap();
    let report = audit(programme, &published_logs, &mut annona_node::random::os(), &|_| {});
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.check.code()).collect();
    assert_eq!(codes, [""; 0]);
    let old = world::SITE;
    let gap = Note::LogReplaced { site: old, name: annona_node::authoring::site_log(old), leaves: 2 };
    assert!(report.notes.contains(&gap), "{:?}", report.notes);
    assert!(report.notes.contains(&Note::StatementMissing { site: old, round: ROUND }), "{:?}", report.notes);
    let redeemed: Vec<_> = report.totals.redeemed().collect();
    assert_eq!(redeemed, [(ROUND, old, FOOD, Units(published.into())), (Round(2), old, FOOD, Units(3))]);
}
