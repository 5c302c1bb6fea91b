//! Copies of a store: two processes on one, and whole disks that are put back to an earlier day.

use std::{
    fs,
    path::{Path, PathBuf},
};

use annona_node::{
    random::os,
    service::site::SiteOptions,
    store::{Role, Store, prepare_second_medium},
};
use annona_wallet::Choice;

use super::{FOOD, NORTH, ROUND, accepted, agent, copy, drawn, keys, net};
use crate::harness::{
    PASSPHRASE, passphrase,
    process::{Ended, Net, Party},
};

/// The party's home as it is now, while nothing runs on it.
fn photograph(party: &Party) -> PathBuf {
    party.kill();
    let copied = party.home.with_extension("earlier");
    copy(&party.home, &copied);
    copied
}

/// Puts an earlier home in the place of the party's: all of it, the published files too.
fn roll_back(party: &Party, copied: &Path) {
    party.kill();
    fs::rename(&party.home, party.home.with_extension("later")).unwrap();
    copy(copied, &party.home);
}

fn refused(party: &Party, code: i32, says: &str) {
    let Ended { code: ended, said } = party.start(None).expect_err("it serves");
    assert!(ended == Some(code) && said.contains(says), "{ended:?} {said}");
}

#[test]
fn a_second_process_on_a_store_says_so() {
    let net = net(1, 1);
    for party in net.parties() {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_annona-node"));
        party.arguments(&mut command);
        let done = command.env("ANNONA_PASSPHRASE", PASSPHRASE).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(75), "{said}");
        assert!(said.contains("is in use by another process. Stop that one first"), "{said}");
        assert!(!party.died(), "the first goes on");
    }
}

fn close_and_publish(net: &Net, party: &Party, path: &str, log: &str) {
    let before = net.witness.size(log);
    party.supervise(path, &[]).unwrap();
    // Cosigned, and then published with the cosignature.
    let published = || {
        let note = party.client().get("/log/checkpoint").unwrap();
        let size = String::from_utf8(note).unwrap().lines().nth(1).unwrap().parse::<u64>().unwrap();
        size > before && size == net.witness.size(log)
    };
    let deadline = std::time::Instant::now() + crate::harness::process::PATIENCE;
    while !published() {
        assert!(std::time::Instant::now() < deadline, "nothing is published");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Serials that were spent after the copy was made would be unspent again.
#[test]
fn an_issuer_that_was_rolled_back_does_not_serve() {
    let net = net(2, 1);
    let log = net.header.issuer_log.name.clone();
    let mut wallet = drawn(&net, 0, 1);
    close_and_publish(&net, &net.issuer, "/operator/close-batch", &log);
    let earlier = photograph(&net.issuer);
    net.issuer.start(None).unwrap();
    let (programme, _) = net.programme(1);
    wallet.draw(&programme.in_force(ROUND).unwrap(), keys(&programme, FOOD, ROUND, 1), &mut os()).ok();
    drop(drawn(&net, 1, 1));
    close_and_publish(&net, &net.issuer, "/operator/close-batch", &log);

    // The whole disk: only the witness remembers.
    roll_back(&net.issuer, &earlier);
    refused(&net.issuer, 2, "this store has only");
    // The store alone: what it published is ahead, and no witness is needed.
    fs::remove_dir_all(net.issuer.home.join("published")).unwrap();
    copy(&net.issuer.home.with_extension("later").join("published"), &net.issuer.home);
    refused(&net.issuer, 2, "of the log was published, the store has only");
    // The right store goes on.
    fs::remove_dir_all(&net.issuer.home).unwrap();
    fs::rename(net.issuer.home.with_extension("later"), &net.issuer.home).unwrap();
    net.issuer.start(None).unwrap();
}

/// A copy that went its own way, and has as many leaves: the witness sees that, too.
#[test]
fn a_copy_of_an_issuer_that_went_its_own_way_does_not_serve() {
    let net = net(2, 1);
    let log = net.header.issuer_log.name.clone();
    let earlier = photograph(&net.issuer);
    net.issuer.start(None).unwrap();
    drop(drawn(&net, 0, 1));
    close_and_publish(&net, &net.issuer, "/operator/close-batch", &log);
    roll_back(&net.issuer, &earlier);
    let service = net.prepared.issuer.open(&passphrase(), None).unwrap();
    let (context, request) = annona_protocol::enrol::EnrolContext::new(
        &service.with_programme(Clone::clone),
        annona_protocol::programme::TicketKind::Enrol,
        super::ticket(&net, 1),
        annona_protocol::slots::Slots::random(32, &mut os()),
        &mut os(),
    )
    .unwrap();
    drop(context);
    use annona_protocol::wire::Message as _;
    service.enrol(&request.encode(), &mut os()).unwrap();
    service.close_batch().unwrap();
    let freeze = service.freeze(ROUND).unwrap();
    assert!(!freeze.is_empty());
    service.close_round(ROUND).unwrap();
    drop(service);
    refused(&net.issuer, 2, "contradicts what it cosigned before");
}

/// Without a second medium the code of the last day tells, and a witness in reach.
#[test]
fn a_site_that_was_rolled_back_is_found_by_its_day_code() {
    let net = net(2, 1);
    let wallets: Vec<_> = (0..2).map(|at| drawn(&net, at, 1).into_wallet()).collect();
    net.open_sites(1);
    let (site, home) = (&net.sites[0], &net.prepared.sites[0]);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let log = net.header.site(NORTH).unwrap().logs[0].name.clone();
    let earlier = photograph(site);
    site.start(None).unwrap();
    for wallet in wallets {
        agent(&net, wallet).redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
    }
    close_and_publish(&net, site, "/operator/close-batch?insist=true", &log);
    site.kill();
    let day = {
        let service = home.open(&passphrase(), None, SiteOptions::default()).unwrap();
        service.store().day_code().unwrap().to_string()
    };
    let pack = net.prepared.folder.path().join("pack");
    fs::write(&pack, net.issuer.client().get("/v1/packs/1/1").unwrap()).unwrap();
    let open = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_annona-node"));
        command.args(["site", "open", "--home"]).arg(&site.home).arg(&pack).args(["--day-code", &day]);
        command.env("ANNONA_PASSPHRASE", PASSPHRASE).output().unwrap()
    };
    assert!(open().status.success(), "the code of the store that went on");
    roll_back(site, &earlier);
    let done = open();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("does not hold what the day code stands for: it was rolled back"), "{said}");
    refused(site, 2, "this store has only");
}

/// With a second medium the store finds out by itself, and comes back from it with everything that was promised.
#[test]
fn a_site_that_was_rolled_back_comes_back_from_its_second_medium() {
    let net = net(2, 1);
    let mut wallets: Vec<_> = (0..2).map(|at| drawn(&net, at, 1).into_wallet()).collect();
    net.open_sites(1);
    let site = &net.sites[0];
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let medium = net.prepared.folder.path().join("medium");
    fs::create_dir(&medium).unwrap();
    prepare_second_medium(&medium).unwrap();
    site.kill();
    site.more.lock().unwrap().0 = vec!["--second-medium".into(), medium.display().to_string()];
    site.start(None).unwrap();
    let mut first = agent(&net, wallets.remove(0));
    first.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
    let earlier = photograph(site);
    site.start(None).unwrap();
    let mut second = agent(&net, wallets.remove(0));
    second.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();

    roll_back(site, &earlier);
    refused(site, 2, "it was rolled back. Set it aside and run `recover`");
    fs::remove_file(annona_node::store::database(&site.home)).unwrap();
    for ending in ["-wal", "-shm"] {
        drop(fs::remove_file(site.home.join(format!("annona.db{ending}"))));
    }
    Store::recover(&site.home, Role::Site, &medium).unwrap();
    site.start(None).unwrap();
    site.supervise("/operator/close-batch?insist=true", &[]).unwrap();
    site.kill();
    let with = site.more.lock().unwrap().0.drain(..).collect::<Vec<_>>();
    refused(site, 2, "this store has a second medium. Give its folder");
    site.more.lock().unwrap().0 = with;
    assert_eq!(accepted(site), [2, 0, 0]);
    // Without its stick it does not serve, and says so.
    fs::remove_dir_all(&medium).unwrap();
    refused(site, 75, "is not there. Plug it in");
}

/// What was made from a backup does not serve before something vouches for it: a witness that saw its log, or the day's code.
#[test]
fn a_backup_serves_once_a_witness_has_seen_its_log() {
    let net = net(1, 1);
    let log = net.header.issuer_log.name.clone();
    drop(drawn(&net, 0, 1));
    close_and_publish(&net, &net.issuer, "/operator/close-batch", &log);
    let issuer = &net.issuer;
    issuer.kill();
    let backup = net.prepared.folder.path().join("backup.db");
    {
        let service = net.prepared.issuer.open(&passphrase(), None).unwrap();
        service.store().backup(&backup).unwrap();
    }
    // A new machine: keys and backup, nothing that was published.
    fs::remove_dir_all(issuer.home.join("published")).unwrap();
    for ending in ["", "-wal", "-shm"] {
        drop(fs::remove_file(issuer.home.join(format!("annona.db{ending}"))));
    }
    fs::rename(backup, annona_node::store::database(&issuer.home)).unwrap();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let silent = format!("publish.witnesses=\"witness.example\" = \"http://{nobody}\"");
    issuer.more.lock().unwrap().0 = vec!["--set".into(), silent];
    refused(issuer, 75, "made from a backup, and no witness was there to compare it with");
    issuer.more.lock().unwrap().0.clear();
    issuer.start(None).unwrap();
    // Once compared it is a store as any other.
    issuer.kill();
    let store = Store::open(&issuer.home, Role::Issuer).unwrap();
    assert!(!store.is_uncompared().unwrap());
    let other = net.prepared.folder.path().join("other.db");
    store.backup(&other).unwrap();
    drop(store);

    // At a site the code does the same.
    net.sites[0].kill();
    let site = net.prepared.sites[0].open(&passphrase(), None, SiteOptions::default()).unwrap();
    let day = site.store().day_code().unwrap().to_string();
    let copied = net.prepared.folder.path().join("restored");
    fs::create_dir(&copied).unwrap();
    site.store().backup(&annona_node::store::database(&copied)).unwrap();
    let restored = Store::open(&copied, Role::Site).unwrap();
    assert!(restored.check_day(Some("0000-0000-0000-0000-0")).is_err() && restored.is_uncompared().unwrap());
    restored.check_day(Some(&day)).unwrap();
    assert!(!restored.is_uncompared().unwrap());
}

/// Power fails while a store is made, or while it is rewritten after its round: there is a whole one or none, and the next try
/// ends it.
#[test]
fn a_cut_while_a_store_is_made_or_rewritten_costs_nothing() {
    let net = net(1, 1);
    drop(drawn(&net, 0, 1));
    net.open_sites(1);
    let (_, announcement) = net.programme(1);
    let site = &net.sites[0];
    site.kill();
    let run = |arguments: &[&str], fault: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_annona-node"));
        command.arg("site").args(arguments).env("ANNONA_PASSPHRASE", PASSPHRASE).env_remove("ANNONA_FAULT");
        let done = command.envs(fault.map(|point| ("ANNONA_FAULT", point))).output().unwrap();
        assert_eq!(done.status.success(), fault.is_none(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let due = || {
        let file = rusqlite::Connection::open(annona_node::store::database(&site.home)).unwrap();
        file.prepare("SELECT 1 FROM meta WHERE name = 'compact'").unwrap().exists([]).unwrap()
    };
    let home = site.home.display().to_string();
    assert!(!due());
    run(&["close-round", "--home", &home], Some("store-rewriting"));
    assert!(due());
    assert!(site.start(Some("store-rewritten")).is_err());
    assert!(due());
    site.start(None).unwrap();
    site.kill();
    assert!(!due());
    run(&["check", "--home", &home], None);
    let left: std::collections::BTreeSet<_> =
        fs::read_dir(&site.home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let known = ["annona.db", "annona.db-shm", "annona.db-wal", "inbox", "keys", "lock", "published"];
    assert!(left.iter().all(|name| known.contains(&name.as_str())), "{left:?}");

    let other = net.prepared.folder.path().join("made");
    fs::create_dir_all(other.join("keys")).unwrap();
    fs::copy(site.home.join("keys/site.age"), other.join("keys/site.age")).unwrap();
    let file = net.prepared.folder.path().join("announcement.bin");
    fs::write(&file, announcement).unwrap();
    let (other, file, id) = (other.display().to_string(), file.display().to_string(), net.id().to_string());
    let init = ["init", "--programme", &id, "--announcement", &file, "--site", "1", "--home", &other];
    run(&init, Some("store-made"));
    run(&init, Some("store-filled"));
    run(&init, None);
    run(&["status", "--home", &other], None);
}
