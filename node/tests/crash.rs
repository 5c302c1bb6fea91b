//! Servers are killed with `kill -9` at random moments and by faults at named points, wallets die, and the way between them
//! loses and doubles what it carries. In the end nothing is lost, nothing is counted twice, and everything is audited.
//!
//! `ANNONA_KILLS` says how many kills (60 by default), `ANNONA_SEED` repeats a run's choices.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and tells how far it is")]

mod harness;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use annona_node::{
    publisher::{export_issuer, export_site},
    random::os,
    service::site::SiteOptions,
};
use annona_protocol::{
    audit::{audit, receipt::Inclusion},
    draw::{DrawRequest, RollOverRequest},
    ids::{Digest, KeyIndex, LineId, Round, SiteId},
    log::{
        leaf::{IssuerLeaf, SiteLeaf},
        merkle::leaf_hash,
        note::{Checkpoint, SignedNote},
    },
    programme::{InForce, KeyCounts, Programme, TicketKind},
    redeem::RedeemResponse,
    slip::Receipt,
    ticket::TicketCode,
    voucher::Mark,
    wire::{Message as _, request_digest},
};
use annona_wallet::{Agent, AgentError, Backoff, Choice, Endpoint, HttpLink, Link, LinkError, Wallet};
use harness::{
    Plan, passphrase, prepare,
    process::{Net, PATIENCE, Party},
    proxy::Faults,
    site_id,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

const HOUSEHOLDS: usize = 6;
const SITES: usize = 3;
const ROUNDS: [Round; 2] = [Round(1), Round(2)];
/// Points at which a server ends itself: between a commit and its answer, between sort, tile and checkpoint.
const POINTS: [&str; 11] = [
    "store-before-commit",
    "store-after-commit",
    "commit-unknown",
    "batch-closed",
    "round-frozen",
    "round-closed",
    "publish-row",
    "publish-tile",
    "publish-tiles",
    "publish-note",
    "publish-checkpoint",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u32()).unwrap() % bound
}

/// What everybody saw.
#[derive(Default)]
struct Seen {
    kills: AtomicU64,
    aborts: AtomicU64,
    deaths: AtomicU64,
    batches: AtomicU64,
    done: AtomicBool,
    /// One answer for each request that burns something, whatever restarted in between.
    answers: Mutex<HashMap<Digest, Digest>>,
    /// One receipt for each voucher.
    receipts: Mutex<BTreeMap<Mark, Receipt>>,
    /// Every voucher that any wallet ever held, and its household.
    vouchers: Mutex<BTreeMap<Mark, usize>>,
}

impl Seen {
    /// Checks an answer against what was answered before.
    fn note(&self, endpoint: Endpoint, body: &[u8], answer: &[u8]) {
        // By what it burns: for a draw that is the serial, so that no two requests on it may be answered.
        let burned = match endpoint {
            Endpoint::Enrol => request_digest(body),
            Endpoint::RollOver => Digest(RollOverRequest::decode(body).unwrap().show.serial.0.to_bytes()),
            Endpoint::Draw => Digest(DrawRequest::decode(body).unwrap().show.serial.0.to_bytes()),
            Endpoint::Redeem(_) => {
                let mut known = self.receipts.lock().unwrap();
                for receipt in RedeemResponse::decode(answer).unwrap().receipts {
                    let before = known.insert(receipt.content.mark, receipt.clone());
                    assert!(before.is_none_or(|before| before == receipt), "a voucher got two receipts");
                }
                return;
            }
            _ => return,
        };
        let digest = request_digest(answer);
        let before = self.answers.lock().unwrap().insert(burned, digest);
        assert!(before.is_none_or(|before| before == digest), "one serial or ticket got two answers");
    }
}

/// A wallet's way, on which the wallet dies now and then.
struct Way<'a> {
    http: HttpLink,
    seen: &'a Seen,
    rng: Rc<RefCell<ChaCha20Rng>>,
}

/// One in so many steps is a wallet's last.
const LIFE: usize = 40;

fn dies(rng: &RefCell<ChaCha20Rng>, seen: &Seen) -> bool {
    let dies = below(&mut rng.borrow_mut(), LIFE) == 0;
    seen.deaths.fetch_add(dies.into(), Ordering::Relaxed);
    dies
}

impl Link for Way<'_> {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let answer = self.http.send(endpoint, body)?;
        self.seen.note(endpoint, body, &answer);
        // The answer came, and the wallet died before it could keep it.
        if dies(&self.rng, self.seen) {
            return Err(LinkError::Unusable { source: "the wallet died".into() });
        }
        Ok(answer)
    }
}

/// A household: what is on its device.
struct Household {
    number: usize,
    ticket: TicketCode,
    disk: Rc<RefCell<Vec<u8>>>,
    rng: Rc<RefCell<ChaCha20Rng>>,
}

/// The same, while no thread has it.
struct Resting {
    number: usize,
    ticket: [u8; 10],
    disk: Vec<u8>,
    seed: u64,
}

/// What wallets do in one part of the run.
#[derive(Clone, Copy)]
struct Part {
    draw: Round,
    redeem: Option<Round>,
}

type Done = bool;

impl Household {
    /// Takes up the wallet from its device and goes on until this part is done, or the wallet dies.
    fn live(&self, programme: &Programme, http: HttpLink, part: Part, seen: &Seen) -> Result<Done, AgentError> {
        let way = Way { http, seen, rng: Rc::clone(&self.rng) };
        let (disk, fate) = (Rc::clone(&self.disk), Rc::clone(&self.rng));
        let persist = |state: &[u8]| {
            // Before the state is durable, or just after: nothing is sent then.
            if dies(&fate, seen) {
                return Err(io::Error::other("the wallet died"));
            }
            *disk.borrow_mut() = state.to_vec();
            if dies(&fate, seen) { Err(io::Error::other("the wallet died")) } else { Ok(()) }
        };
        let backoff = Backoff { tries: 400, base: Duration::from_millis(10), most: Duration::from_millis(200) };
        let wallet = Wallet::decode(&self.disk.borrow()).unwrap();
        let mut agent = Agent::new(wallet, persist, way, backoff);
        let rng = &mut os();
        for (_, result) in agent.resume(programme, rng)? {
            match result {
                Ok(_) => {}
                // The site restarted before the visit: its vouchers are unspent, and go under a new quote below.
                Err(AgentError::Refused(refusal)) if refusal.code == "quote-unknown" => {}
                Err(error) => return Err(error),
            }
        }
        if agent.wallet().credential().is_none() {
            let ticket = TicketCode::from_bytes(*self.ticket.expose());
            agent.enrol(programme, TicketKind::Enrol, ticket, rng)?;
        }
        let view = programme.in_force(part.draw).unwrap();
        agent.roll_over(&view, rng)?;
        loop {
            let choice = below(&mut self.rng.borrow_mut(), 3);
            let lot = self.small_lot(agent.wallet(), &view);
            let due = part.redeem.and_then(|round| self.due(agent.wallet(), programme, round));
            match (lot, due) {
                (Some(keys), due) if choice > 0 || due.is_none() => drop(agent.draw(&view, keys, rng)?),
                (_, Some((mark, site))) => {
                    let redeem = programme.in_force(part.redeem.unwrap()).unwrap();
                    let handover = agent.redeem(&redeem, site, Choice::These(&[mark]), rng)?;
                    assert!(handover.owed.is_empty());
                }
                _ => return Ok(true),
            }
            let held = agent.wallet().vouchers().iter().map(|voucher| (voucher.shown().mark(), self.number));
            seen.vouchers.lock().unwrap().extend(held);
            if choice == 2 {
                agent.refresh(&view, rng)?;
            }
        }
    }

    /// A few vouchers of what is left, for a site of the day.
    fn small_lot(&self, wallet: &Wallet, view: &InForce<'_>) -> Option<KeyCounts> {
        let available: Vec<_> = wallet.available(view).into_iter().collect();
        if available.is_empty() {
            return None;
        }
        let rng = &mut *self.rng.borrow_mut();
        let (line, units) = available[below(rng, available.len())];
        let site = site_id(below(rng, SITES));
        let keys: Vec<(KeyIndex, u64)> = (0..)
            .zip(view.programme.keys())
            .filter(|(_, entry)| {
                let id = entry.id;
                (id.line, id.round, id.site, id.slot) == (line, view.round, Some(site), None)
                    && u64::from(id.value) <= units.0
            })
            .map(|(at, entry)| (KeyIndex(at), entry.id.value.into()))
            .collect();
        let (key, value) = keys[below(rng, keys.len())];
        let count = 1 + u32::from(units.0 >= 2 * value && below(rng, 2) == 0);
        Some(vec![(key, count)])
    }

    /// A voucher to redeem in this round, and where.
    fn due(&self, wallet: &Wallet, programme: &Programme, round: Round) -> Option<(Mark, SiteId)> {
        let mut due = wallet.vouchers().iter().map(|voucher| voucher.shown().mark());
        due.find_map(|mark| {
            let id = programme.key(mark.key).unwrap().id;
            (id.round == round).then_some((mark, id.site.unwrap()))
        })
    }

    /// Lives and dies until this part is done and enough servers were killed in it.
    fn lives(&self, net: &Net, programme: &Programme, part: Part, seen: &Seen, kills: u64) {
        let mut deadline = Instant::now() + PATIENCE;
        let mut before = seen.kills.load(Ordering::Relaxed);
        loop {
            match self.live(programme, net.link(), part, seen) {
                Ok(true) if seen.kills.load(Ordering::Relaxed) >= kills => return,
                Ok(_) => {
                    // Nothing left to draw: a new credential for the old one, so that there is something to lose.
                    let view = programme.in_force(part.draw).unwrap();
                    let (disk, way) =
                        (Rc::clone(&self.disk), Way { http: net.link(), seen, rng: Rc::clone(&self.rng) });
                    let persist = |state: &[u8]| {
                        *disk.borrow_mut() = state.to_vec();
                        Ok(())
                    };
                    let wallet = Wallet::decode(&self.disk.borrow()).unwrap();
                    let backoff =
                        Backoff { tries: 400, base: Duration::from_millis(10), most: Duration::from_millis(200) };
                    let refreshed = Agent::new(wallet, persist, way, backoff).refresh(&view, &mut os());
                    assert!(matches!(refreshed, Ok(()) | Err(AgentError::Link(_))), "{refreshed:?}");
                }
                // The wallet died, or a server was away for long.
                Err(AgentError::Persist { .. } | AgentError::Link(_) | AgentError::Unreached { .. }) => {}
                Err(error) => panic!("household {}: {error:?}", self.number),
            }
            let now = seen.kills.load(Ordering::Relaxed);
            if now > before {
                (before, deadline) = (now, Instant::now() + PATIENCE);
            }
            assert!(Instant::now() < deadline, "nothing goes on");
        }
    }
}

/// All households, a thread each, through one part of the run.
fn live_all(net: &Net, resting: &mut [Resting], programme: &Programme, part: Part, seen: &Seen, kills: u64) {
    thread::scope(|scope| {
        for rest in resting {
            scope.spawn(move || {
                let household = Household {
                    number: rest.number,
                    ticket: TicketCode::from_bytes(rest.ticket),
                    disk: Rc::new(RefCell::new(std::mem::take(&mut rest.disk))),
                    rng: Rc::new(RefCell::new(ChaCha20Rng::seed_from_u64(rest.seed))),
                };
                rest.seed += 1;
                // A panic must not leave the others waiting for kills that do not come.
                household.lives(net, programme, part, seen, kills);
                rest.disk = household.disk.take();
            });
        }
    });
}

/// Kills servers at random moments and starts them again, sometimes with a fault that ends them at a named point.
fn kill_all(net: &Net, seen: &Seen, seed: u64) {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let parties: Vec<&Party> = net.parties().collect();
    while !seen.done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10 + below(rng, 250) as u64));
        // The issuer does most of the work.
        let victim = parties[below(rng, 4) % parties.len()];
        let ran = victim.kill();
        seen.kills.fetch_add(ran.into(), Ordering::Relaxed);
        seen.aborts.fetch_add((!ran).into(), Ordering::Relaxed);
        start(victim, rng, seen);
        for party in &parties {
            if party.died() {
                party.kill();
                seen.aborts.fetch_add(1, Ordering::Relaxed);
                start(party, rng, seen);
            }
        }
        let kills = seen.kills.load(Ordering::Relaxed);
        if ran && kills.is_multiple_of(20) {
            eprintln!("{kills} kills, {} aborts", seen.aborts.load(Ordering::Relaxed));
        }
    }
}

fn start(party: &Party, rng: &mut ChaCha20Rng, seen: &Seen) {
    let fault = (below(rng, 2) == 0).then(|| {
        let point = POINTS[below(rng, POINTS.len())];
        format!("{point}:{}", 1 + below(rng, 12))
    });
    match party.start(fault.as_deref()) {
        Ok(()) => return,
        // The fault ended it before it listened: killed by a signal, or a commit of unknown outcome.
        Err(ended) => {
            assert!(fault.is_some() && matches!(ended.code, None | Some(75)), "{fault:?}: {ended:?}");
        }
    }
    seen.aborts.fetch_add(1, Ordering::Relaxed);
    party.start(None).unwrap_or_else(|ended| panic!("it does not start again: {ended:?}"));
}

/// Closes batches under load.
fn close_batches(net: &Net, seen: &Seen, seed: u64) {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    while !seen.done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(below(rng, 600) as u64));
        net.issuer.supervise("/operator/close-batch", &[]).unwrap();
        let site = &net.sites[below(rng, SITES)];
        match site.supervise("/operator/close-batch?insist=true", &[]) {
            Ok(_) => drop(seen.batches.fetch_add(1, Ordering::Relaxed)),
            Err(problem) => assert_eq!(problem.code, "no-round-open"),
        }
    }
}

/// An act that may have been done before its answer was lost: the refusal then says so.
fn act(party: &Party, path: &str, done: &str) {
    if let Err(problem) = party.supervise(path, &[]) {
        assert_eq!(problem.code, done, "{path}");
    }
}

#[test]
fn kills_lose_nothing() {
    let (kills, seed) = (number("ANNONA_KILLS", 60), number("ANNONA_SEED", u64::from(std::process::id())));
    eprintln!("ANNONA_SEED={seed}");
    let net = Net::start(prepare(Plan { tickets: HOUSEHOLDS, rounds: 2, advance: 1 }), SITES, seed);
    net.parties().for_each(|party| party.proxy.set(Faults::MANY));
    let seen = Seen::default();
    let empty = Wallet::new(net.id()).encode().to_vec();
    let mut resting: Vec<Resting> = (0..)
        .zip(&net.prepared.codes)
        .map(|(number, code)| Resting {
            number,
            ticket: *code.expose(),
            disk: empty.clone(),
            seed: seed.wrapping_mul(1000) + 100 * number as u64,
        })
        .collect();
    thread::scope(|scope| {
        let _end = End(&seen.done);
        scope.spawn(|| kill_all(&net, &seen, seed));
        scope.spawn(|| close_batches(&net, &seen, seed ^ 1));
        let [first, second] = ROUNDS;
        let (programme, _) = net.programme(1);
        live_all(&net, &mut resting, &programme, Part { draw: first, redeem: None }, &seen, kills / 3);
        net.open_sites(1);
        act(&net.issuer, "/operator/rounds/2/open", "round-not-open");
        let (programme, _) = net.programme(2);
        live_all(&net, &mut resting, &programme, Part { draw: second, redeem: Some(first) }, &seen, 2 * kills / 3);
        net.sites.iter().for_each(|site| act(site, "/operator/close-round", "no-round-open"));
        net.issuer.supervise("/operator/rounds/1/close", &[]).unwrap();
        net.open_sites(2);
        live_all(&net, &mut resting, &programme, Part { draw: second, redeem: Some(second) }, &seen, kills);
        net.sites.iter().for_each(|site| act(site, "/operator/close-round", "no-round-open"));
        net.issuer.supervise("/operator/rounds/2/close", &[]).unwrap();
    });
    for party in net.parties() {
        party.proxy.set(Faults::NONE);
        party.restart(None);
        party.kill();
    }
    eprintln!(
        "{} kills, {} aborts, {} deaths of wallets, {} batches of sites",
        seen.kills.load(Ordering::Relaxed),
        seen.aborts.load(Ordering::Relaxed),
        seen.deaths.load(Ordering::Relaxed),
        seen.batches.load(Ordering::Relaxed)
    );
    assert!(seen.kills.load(Ordering::Relaxed) >= kills);
    check(&net, &resting, &seen);
}

/// Ends the threads of a run, also after a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check(net: &Net, resting: &[Resting], seen: &Seen) {
    let folder = net.prepared.folder.path().join("public");
    let issuer = net.prepared.issuer.open(&passphrase(), None).unwrap();
    export_issuer(&issuer, &net.prepared.issuer.received(), &folder).unwrap();
    for home in &net.prepared.sites {
        export_site(&home.open(&passphrase(), None, SiteOptions::default()).unwrap(), &folder).unwrap();
    }
    let published = annona_audit::load(&folder).unwrap();
    let verified = audit(net.id(), &published, &mut os(), &|_| {}).verified();
    let totals = verified.unwrap_or_else(|report| panic!("{:#?}", report.findings)).totals().clone();

    // No session was answered twice, and no `y` came twice.
    let (mut sessions, mut nonces) = (BTreeSet::new(), BTreeSet::new());
    for entry in &published.issuer.entries {
        if let IssuerLeaf::Draw(leaf) = IssuerLeaf::decode(entry).unwrap() {
            assert!(leaf.keys.is_empty() || sessions.insert(leaf.session.0), "a session was answered twice");
            assert!(leaf.answers.iter().all(|answer| nonces.insert(answer.y.0.to_bytes())), "a `y` came twice");
        }
    }
    assert!(!sessions.is_empty());

    // Every household has all that it was entitled to, once: no credential, draw or voucher was lost.
    let programme = issuer.with_programme(Clone::clone);
    let receipts = seen.receipts.lock().unwrap();
    let vouchers = seen.vouchers.lock().unwrap();
    let mut kept = BTreeSet::new();
    for rest in resting {
        let wallet = Wallet::decode(&rest.disk).unwrap();
        assert!(wallet.vouchers().is_empty() && wallet.tasks().is_empty() && wallet.faults().is_empty());
        assert!(wallet.available(&programme.in_force(ROUNDS[1]).unwrap()).is_empty());
        let (members, infants) = (1 + rest.number as u64 % 8, rest.number as u64 % 2);
        // The lot's codes are in the order of its rows.
        let entitled = [(1, members), (2, members), (3, infants), (4, 10 + 6 * members)];
        let mut got: BTreeMap<(Round, LineId), u64> = BTreeMap::new();
        for receipt in wallet.receipts() {
            let mark = receipt.content.mark;
            assert_eq!(vouchers[&mark], rest.number);
            assert_eq!(receipts[&mark], *receipt);
            assert!(kept.insert(mark), "two receipts for one voucher");
            let id = programme.key(mark.key).unwrap().id;
            *got.entry((id.round, id.line)).or_default() += u64::from(id.value);
        }
        for (line, units) in entitled {
            // Cash that is not drawn in its round stays: here all of it is drawn in each.
            let got = ROUNDS.map(|round| got.get(&(round, LineId(line))).copied().unwrap_or_default());
            assert_eq!(got, [units; 2], "household {}, line {line}", rest.number);
        }
    }

    // Every receipt that any wallet saw is one that a wallet kept, and its leaf is in the log where it was promised.
    assert!(receipts.keys().eq(&kept) && vouchers.keys().eq(&kept));
    let mut accepted = 0;
    for (site, log) in &published.sites {
        let hashes: Vec<_> = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let checkpoint: Checkpoint = SignedNote::parse(&log.checkpoint).unwrap().text().parse().unwrap();
        for receipt in receipts.values().filter(|receipt| receipt.content.place.site == *site) {
            let inclusion = Inclusion::find(receipt, &log.entries, &hashes).unwrap();
            inclusion.verify(programme.latest(), &checkpoint).unwrap();
        }
        let leaves = log.entries.iter().filter(|entry| matches!(SiteLeaf::decode(entry), Ok(SiteLeaf::Voucher(_))));
        accepted += leaves.count();
    }
    assert_eq!(accepted, receipts.len(), "counted once each");
    let sum = |count: fn(&annona_protocol::audit::KeyTotals) -> u64| totals.vouchers.values().map(count).sum::<u64>();
    assert_eq!(
        [sum(|key| key.drawn), sum(|key| key.redeemed), sum(|key| key.voided)],
        [accepted as u64, accepted as u64, 0]
    );
    assert_eq!(totals.enrolments, HOUSEHOLDS as u64);
}
