//! One fault at a time against the real program: commits of unknown outcome, power cuts, full disks, wrong clocks, copies.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "faults/copies.rs"]
mod copies;
mod disk;
mod harness;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Barrier, Mutex},
    time::Duration,
};

use annona_node::{
    random::os,
    service::site::SiteOptions,
    store::{LogState, Pending, Role, Store},
};
use annona_protocol::{
    ids::{KeyIndex, LineId, Round, SiteId},
    log::leaf::{IssuerLeaf, SiteLeaf},
    programme::{KeyCounts, Programme, TicketKind},
    redeem::{BearerVoucher, Outcome, RedeemResponse},
    signature::PublicKey,
    slip::{OpeningPack, PackTerms, Quote, Signed},
    ticket::TicketCode,
    wire::Message as _,
};
use annona_transport::{Client, Options, Server, TransportError};
use annona_wallet::{Agent, Backoff, Choice, Endpoint, HttpLink, Link, LinkError, Wallet};
use disk::{Disk, with_disk};
use harness::{
    Plan, passphrase, prepare,
    process::{Net, Party, patiently},
};

const FOOD: LineId = LineId(1);
const ROUND: Round = Round(1);
const NORTH: SiteId = SiteId(1);
const BACKOFF: Backoff = Backoff { tries: 100, base: Duration::from_millis(10), most: Duration::from_millis(200) };

fn net(tickets: usize, rounds: u32) -> Net {
    Net::start(prepare(Plan { tickets, rounds, advance: 0 }), 1, 7)
}

type Forgetful = fn(&[u8]) -> std::io::Result<()>;

fn agent(net: &Net, wallet: Wallet) -> Agent<Forgetful, HttpLink> {
    Agent::new(wallet, (|_: &[u8]| Ok(())) as Forgetful, net.link(), BACKOFF)
}

fn ticket(net: &Net, at: usize) -> TicketCode {
    TicketCode::from_bytes(*net.prepared.codes[at].expose())
}

/// Vouchers of the smallest value of a line, at the first site.
fn keys(programme: &Programme, line: LineId, round: Round, count: u32) -> KeyCounts {
    let at = programme.keys().iter().position(|entry| {
        (entry.id.line, entry.id.round, entry.id.site, entry.id.value) == (line, round, Some(NORTH), 1)
    });
    vec![(KeyIndex(u32::try_from(at.unwrap()).unwrap()), count)]
}

/// A wallet that has drawn this much food.
fn drawn(net: &Net, at: usize, count: u32) -> Agent<Forgetful, HttpLink> {
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let mut agent = agent(net, Wallet::new(net.id()));
    agent.enrol(&programme, TicketKind::Enrol, ticket(net, at), &mut os()).unwrap();
    agent.roll_over(&view, &mut os()).unwrap();
    agent.draw(&view, keys(&programme, FOOD, ROUND, count), &mut os()).unwrap();
    agent
}

/// All leaves of a party that does not run, those that wait too.
fn leaves(home: &Path) -> Vec<Vec<u8>> {
    // With or without its second medium: the file alone says it.
    let connection = rusqlite::Connection::open(annona_node::store::database(home)).unwrap();
    let mut all = connection.prepare("SELECT entry FROM entries UNION ALL SELECT leaf FROM pending").unwrap();
    all.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// How many enrolments, roll-overs and draws the issuer wrote down, refreshes among the draws.
fn issued(net: &Net) -> [usize; 3] {
    let mut counts = [0; 3];
    for entry in leaves(&net.issuer.home) {
        match IssuerLeaf::decode(&entry).unwrap() {
            IssuerLeaf::Enrol(_) => counts[0] += 1,
            IssuerLeaf::RollOver(_) => counts[1] += 1,
            IssuerLeaf::Draw(_) => counts[2] += 1,
            _ => {}
        }
    }
    counts
}

/// How many acceptances, owed slips and collections a site wrote down.
fn accepted(site: &Party) -> [usize; 3] {
    let mut counts = [0; 3];
    for entry in leaves(&site.home) {
        match SiteLeaf::decode(&entry).unwrap() {
            SiteLeaf::Voucher(_) => counts[0] += 1,
            SiteLeaf::Owed(_) => counts[1] += 1,
            SiteLeaf::Collected(_) => counts[2] += 1,
            _ => {}
        }
    }
    counts
}

/// Starts a party with a fault that is due at some commit; one that comes before it listens has to be worth another try.
fn start_with(party: &Party, fault: &str) {
    party.kill();
    if let Err(ended) = party.start(Some(fault)) {
        assert_eq!(ended.code, Some(75), "{ended:?}");
        party.start(None).unwrap();
    }
}

#[test]
fn a_commit_of_unknown_outcome_has_one_effect() {
    const COMMITS: usize = 12;
    let net = net(COMMITS, 1);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let mut wallets = Vec::new();
    for n in 1..=COMMITS {
        start_with(&net.issuer, &format!("commit-unknown:{n}"));
        let mut agent = drawn(&net, n - 1, 1);
        agent.refresh(&view, &mut os()).unwrap();
        assert_eq!(agent.wallet().vouchers().len(), 1);
        wallets.push(agent.into_wallet());
        net.issuer.supervise("/operator/close-batch", &[]).unwrap();
    }
    start_with(&net.issuer, "commit-unknown:5");
    net.open_sites(1);
    net.issuer.kill();
    assert_eq!(issued(&net), [COMMITS, COMMITS, 2 * COMMITS]);

    let site = &net.sites[0];
    for (n, wallet) in (1..).zip(wallets) {
        start_with(site, &format!("commit-unknown:{n}"));
        let mut agent = agent(&net, wallet);
        let handover = agent.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
        assert!(matches!(handover.outcome, Outcome::Accepted | Outcome::AlreadyAccepted), "{handover:?}");
        assert_eq!((&handover.units[..], agent.wallet().receipts().len()), (&[(FOOD, units(1))][..], 1));
        // The goods go out once: whoever is told so for the second time hands out nothing.
        let path = format!("/operator/handed-over/{}", hex::encode(handover.visit.0));
        let told = site.operate(&site.distributor, &path, &[]);
        assert!(told.is_ok() || told.unwrap_err().code == "already-handed-over");
        assert_eq!(site.operate(&site.distributor, &path, &[]).unwrap_err().code, "already-handed-over");
        site.supervise("/operator/close-batch?insist=true", &[]).unwrap();
    }
    start_with(site, "commit-unknown:4");
    if let Err(problem) = site.supervise("/operator/close-round", &[]) {
        assert_eq!(problem.code, "no-round-open", "done before its answer");
    }
    site.kill();
    assert_eq!(accepted(site), [COMMITS, 0, 0]);
}

fn units(count: u64) -> annona_protocol::ids::Units {
    annona_protocol::ids::Units(count)
}

/// What is owed is promised once and paid out once, whichever commit is of unknown outcome.
#[test]
fn what_is_owed_is_collected_once() {
    const COMMITS: usize = 6;
    let net = net(COMMITS, 1);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let wallets: Vec<_> = (0..COMMITS).map(|at| drawn(&net, at, 1).into_wallet()).collect();
    net.open_sites(1);
    let site = &net.sites[0];
    let stock = |count| {
        site.kill();
        let service = net.prepared.sites[0].open(&passphrase(), None, SiteOptions::default()).unwrap();
        // One that ran out is still quoted: what is left of one unit after it was taken.
        service.set_stock([(FOOD, units(count))].into()).unwrap();
    };
    stock(1);
    for (n, wallet) in (0..).zip(wallets) {
        start_with(site, &format!("commit-unknown:{}", 1 + n));
        let mut agent = agent(&net, wallet);
        let handover = agent.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
        let holders: Vec<_> = agent.wallet().owed().map(|slip| slip.content.holder).collect();
        assert_eq!(holders.len(), usize::from(n > 0), "{handover:?}");
        for holder in holders {
            stock(1);
            start_with(site, &format!("commit-unknown:{}", 1 + n));
            let collected = agent.collect(&view, holder, &mut os()).unwrap();
            assert!(matches!(collected.outcome, Outcome::Accepted | Outcome::AlreadyAccepted));
            assert_eq!(collected.units, [(FOOD, units(1))]);
        }
    }
    site.kill();
    assert_eq!(accepted(site), [COMMITS, COMMITS - 1, COMMITS - 1]);
}

/// The second step again, at once and many times over, while the first is still being written.
#[test]
fn step_two_at_once_is_one_step() {
    struct Crowd<'a> {
        net: &'a Net,
        crowded: Mutex<usize>,
    }
    impl Link for Crowd<'_> {
        fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
            if matches!(endpoint, Endpoint::Session | Endpoint::Quote(_)) {
                return self.net.link().send(endpoint, body);
            }
            *self.crowded.lock().unwrap() += 1;
            let barrier = Barrier::new(8);
            let one = || {
                let link = self.net.link();
                barrier.wait();
                link.send(endpoint, body).unwrap()
            };
            let answers: Vec<_> = std::thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            match endpoint {
                Endpoint::Redeem(_) => {
                    let answers: Vec<_> =
                        answers.iter().map(|answer| RedeemResponse::decode(answer).unwrap()).collect();
                    let new = answers.iter().filter(|answer| answer.outcome == Outcome::Accepted);
                    assert_eq!(new.count(), 1);
                    assert!(answers.iter().all(|answer| answer.receipts == answers[0].receipts));
                }
                _ => assert!(answers.iter().all(|answer| *answer == answers[0])),
            }
            Ok(answers.into_iter().next().unwrap())
        }
    }
    let net = net(1, 1);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let link = Crowd { net: &net, crowded: Mutex::default() };
    let mut agent = Agent::new(Wallet::new(net.id()), (|_: &[u8]| Ok(())) as Forgetful, link, BACKOFF);
    agent.enrol(&programme, TicketKind::Enrol, ticket(&net, 0), &mut os()).unwrap();
    agent.roll_over(&view, &mut os()).unwrap();
    agent.draw(&view, keys(&programme, FOOD, ROUND, 1), &mut os()).unwrap();
    net.open_sites(1);
    agent.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
    net.parties().for_each(|party| assert!(party.kill()));
    assert_eq!((issued(&net), accepted(&net.sites[0])), ([1, 1, 1], [1, 0, 0]));
}

fn quote(site: &Party) -> Quote {
    let client = site.client();
    Quote::decode(&patiently("quote", || client.post("/v1/quote", &[])).unwrap()).unwrap()
}

fn sheet(site: &Party, bearer: &[u8]) -> RedeemResponse {
    let client = site.client();
    let path = format!("/v1/sheet?quote={}", hex::encode(quote(site).content.id.0));
    RedeemResponse::decode(&patiently("sheet", || client.post(&path, bearer)).unwrap()).unwrap()
}

/// Power fails just after "accepted": the sheet again is the same visit with the same receipts, and the goods go out once.
#[test]
fn a_sheet_survives_a_power_cut() {
    let net = net(1, 1);
    let agent = drawn(&net, 0, 1);
    net.open_sites(1);
    let site = &net.sites[0];
    let bearer = BearerVoucher::new(&agent.wallet().vouchers()[0]).encode();
    let first = sheet(site, &bearer);
    assert_eq!((first.outcome, &first.units[..]), (Outcome::Accepted, &[(FOOD, units(1))][..]));
    site.restart(None);
    let again = sheet(site, &bearer);
    assert_eq!(again, RedeemResponse { outcome: Outcome::AlreadyAccepted, ..first.clone() });
    let path = format!("/operator/handed-over/{}", hex::encode(again.visit.0));
    site.operate(&site.distributor, &path, &[]).unwrap();
    site.restart(None);
    assert_eq!(site.operate(&site.distributor, &path, &[]).unwrap_err().code, "already-handed-over");
    let last = sheet(site, &bearer);
    assert_eq!((last.outcome, last.units, last.receipts), (Outcome::AlreadyHandedOver, vec![], first.receipts));
    site.kill();
    assert_eq!(accepted(site), [1, 0, 0]);
}

/// Power fails on either side of the commit, before anybody is told.
#[test]
fn a_cut_beside_the_commit_is_one_effect() {
    let net = net(2, 1);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let wallets: Vec<_> = (0..2).map(|at| drawn(&net, at, 1).into_wallet()).collect();
    net.open_sites(1);
    let site = &net.sites[0];
    let size = |site: &Party| {
        let store = Store::open(&site.home, Role::Site).unwrap();
        store.read(|connection| Ok((LogState::load(connection)?.frontier.size(), Pending::count(connection)?))).unwrap()
    };
    for (point, wallet) in ["store-before-commit", "store-after-commit"].into_iter().zip(wallets) {
        site.kill();
        let before = size(site);
        // Commits of the start come first: the one that is meant is found by what it leaves behind.
        let mut n = 0;
        let mut agent = agent(&net, wallet);
        loop {
            n += 1;
            site.kill();
            if site.start(Some(&format!("{point}:{n}"))).is_err() {
                continue;
            }
            let direct = net.link();
            let quote = Quote::decode(&direct.send(Endpoint::Quote(NORTH), &[]).unwrap()).unwrap();
            let mut taken = Wallet::decode(&agent.wallet().encode()).unwrap();
            let task = taken.redeem(&view, &quote, Choice::All, &mut os()).unwrap();
            let answer = direct.send(Endpoint::Redeem(NORTH), &taken.outgoing(task).unwrap().body);
            assert!(matches!(answer, Err(LinkError::Lost { .. })), "commit {n} was the start's, and it did not fail");
            break;
        }
        site.kill();
        let after = size(site).1 - before.1;
        assert_eq!(after, u64::from(point == "store-after-commit"));
        site.start(None).unwrap();
        let handover = agent.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
        assert_eq!(handover.units, [(FOOD, units(1))]);
    }
    site.kill();
    assert_eq!(accepted(site), [2, 0, 0]);
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

fn code(error: TransportError) -> (u16, String) {
    match error {
        TransportError::Refused(problem) => (problem.status, problem.code),
        other => panic!("{other}"),
    }
}

/// A full disk refuses with a code that says so, loses nothing, and the same request is answered once there is room.
#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    with_disk("a_full_disk_loses_nothing", folder.path(), 12 * 1024, full_disk);
}

fn full_disk(disk: &Disk) {
    let mut net = net(2, 1);
    let mut agent = drawn(&net, 0, 1);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    net.issuer.kill();
    copy(&net.issuer.home, disk.path());
    net.issuer.home = disk.path().join("issuer");
    net.issuer.start(None).unwrap();
    disk.fill(true);
    let client = net.issuer.client();
    let mut other = Wallet::new(net.id());
    other.enrol(&programme, TicketKind::Enrol, ticket(&net, 1), &mut os()).unwrap();
    let body = other.outgoing(annona_wallet::Task::Credential).unwrap().body;
    // A write-ahead log may have room within the file that it has.
    let refused =
        (0..64).find_map(|_| client.post("/v1/enrol", &body).err().or_else(|| client.get("/readyz").err()).map(code));
    let (status, said) = refused.expect("the disk is full, and the server goes on");
    assert_eq!(status, 503, "{said}");
    assert!(["disk-full", "not-ready"].contains(&said.as_str()), "{said}");
    disk.fill(false);
    patiently("enrol", || client.post("/v1/enrol", &body)).unwrap();
    agent.refresh(&view, &mut os()).unwrap();
    net.issuer.kill();
    assert_eq!(issued(&net), [2, 1, 2]);
}

#[test]
fn packs_that_are_old_or_second_are_refused() {
    let net = net(1, 2);
    net.open_sites(1);
    let site = &net.sites[0];
    let pack = net.issuer.client().get("/v1/packs/1/1").unwrap();
    let refused = |pack: &[u8]| site.supervise(&site.open_path(), pack).unwrap_err().code;
    site.supervise(&site.open_path(), &pack).expect("the same pack again changes nothing");
    let key = net.prepared.issuer.secrets(&passphrase()).unwrap().log;
    let terms = OpeningPack::decode(&pack).unwrap().content;
    let second: OpeningPack = Signed::sign(PackTerms { size: terms.size + 1, ..terms.clone() }, &key);
    assert_eq!(refused(&second.encode()), "pack-differs");
    let strange = annona_node::authoring::signing_key(&mut os());
    let strange: OpeningPack = Signed::sign(terms, &strange);
    assert_eq!(refused(&strange.encode()), "pack-invalid");
    site.restart(None);
    site.supervise("/operator/close-round", &[]).unwrap();
    // The log is not empty any more: an officer types the code of the last day, as at the command line.
    assert_eq!(site.supervise("/operator/open", &pack).unwrap_err().code, "day-code-missing");
    let with = |code: &str| site.supervise(&format!("/operator/open?day_code={code}"), &pack).unwrap_err().code;
    let strange = annona_node::store::DayCode::of(&annona_protocol::log::TreeHash([7; 32])).to_string();
    assert_eq!(with(strange.trim_start_matches("DAY ")), "day-code");
    assert_eq!(with("yesterday"), "day-code-malformed");
    assert_eq!(site.supervise("/operator/open-without-pack/2", &[]).unwrap_err().code, "day-code-missing");
    assert_eq!(refused(&pack), "round-closed");
    net.issuer.supervise("/operator/rounds/1/close", &[]).unwrap();
    net.issuer.supervise("/operator/rounds/2/open", &[]).unwrap();
    net.open_sites(2);
    site.restart(None);
    assert_eq!(refused(&pack), "round-closed", "the old pack");
}

/// Answers every question for the date with another year.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static time_t shift(void) {
    const char *text = getenv("TEST_CLOCK");
    return text ? atoll(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, id, now);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) now->tv_sec = shift();
    return done;
}
int gettimeofday(struct timeval *now, void *zone) { now->tv_sec = shift(); now->tv_usec = 0; return 0; }
time_t time(time_t *at) { if (at) *at = shift(); return shift(); }
"#;

/// A site whose clock shows 1970, or 2100, serves over TLS as any other, also one whose clock jumps between.
#[test]
fn the_clock_does_not_matter() {
    let net = net(2, 1);
    let (programme, _) = net.programme(1);
    let view = programme.in_force(ROUND).unwrap();
    let mut wallets: Vec<_> = (0..2).map(|at| drawn(&net, at, 1).into_wallet()).collect();
    net.open_sites(1);
    let site = &net.sites[0];
    let folder = net.prepared.folder.path();
    let (source, shim) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    assert!(built.expect("a C compiler, which SQLite needs as well").success());
    for (seconds, year) in [("7", "1970"), ("4102444805", "2100")] {
        let variables = [("LD_PRELOAD", shim.display().to_string()), ("TEST_CLOCK", seconds.to_owned())];
        let date = Command::new("date").args(["-u", "+%Y"]).envs(variables.clone()).output().unwrap();
        assert_eq!(String::from_utf8(date.stdout).unwrap().trim(), year, "the clock is not changed");
        site.kill();
        let tls = ["--set", "listen.tls=true"].map(str::to_owned).to_vec();
        *site.more.lock().unwrap() =
            (tls, variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        site.start(None).unwrap();
        // Straight to it: the proxy does not understand TLS.
        let server =
            Server { url: format!("https://{}", site.address()), key: Some(PublicKey::of(&net.prepared.site_keys[0])) };
        let direct = Client::new(server, &Options::default()).unwrap();
        let link = HttpLink::new(net.issuer.client()).with_site(NORTH, direct);
        let mut agent = Agent::new(wallets.remove(0), (|_: &[u8]| Ok(())) as Forgetful, link, BACKOFF);
        let handover = agent.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
        assert_eq!((handover.outcome, handover.units), (Outcome::Accepted, vec![(FOOD, units(1))]));
    }
    site.kill();
    assert_eq!(accepted(site), [2, 0, 0]);
}
