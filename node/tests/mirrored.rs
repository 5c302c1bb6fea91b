//! `annona-audit mirror` against the real program: over TLS with the parties' keys, by name through a SOCKS proxy, and no further than
//! the right key; and a broken receipt that a wallet proves to an auditor.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use annona_audit::{
    Options as Verify,
    evidence::OmissionProof,
    mirror::{Options, Outcome, mirror},
    slips::{Desk, Paper, State},
    verify_folder,
};
use annona_node::random::os;
use annona_protocol::{
    group::EncodedPoint,
    ids::{KeyIndex, LineId, Round, SiteId},
    log::TreeHash,
    programme::{Announcement, Header, KeyEntry, LogKey, TicketKind},
    slip::{Place, Receipt, ReceiptTerms, Signed},
    ticket::TicketCode,
    voucher::Mark,
    wire::Message as _,
};
use annona_wallet::{Agent, Backoff, Choice, Kept, Wallet, WholeLog};
use harness::{
    Plan, prepare,
    process::{Net, PATIENCE, Party, patiently},
    site_id,
};

const NORTH: SiteId = SiteId(1);
const ROUND: Round = Round(1);

/// Everybody, with a household that redeemed a voucher at the first site, and a round that every site has closed.
struct Told {
    net: Net,
    receipt: Receipt,
}

impl Told {
    fn new() -> Self {
        let net = Net::start(prepare(Plan { tickets: 1, rounds: 1, advance: 0 }), 3, 17);
        let (programme, _) = net.programme(1);
        let view = programme.in_force(ROUND).unwrap();
        let backoff = Backoff { tries: 100, base: Duration::from_millis(10), most: Duration::from_millis(200) };
        let forget: fn(&[u8]) -> io::Result<()> = |_| Ok(());
        let mut agent = Agent::new(Wallet::new(net.id()), forget, net.link(), backoff);
        let ticket = TicketCode::from_bytes(*net.prepared.codes[0].expose());
        agent.enrol(&programme, TicketKind::Enrol, ticket, &mut os()).unwrap();
        agent.roll_over(&view, &mut os()).unwrap();
        let is_ours = |entry: &KeyEntry| {
            (entry.id.line, entry.id.round, entry.id.site, entry.id.value) == (LineId(1), ROUND, Some(NORTH), 1)
        };
        let at = programme.keys().iter().position(is_ours).unwrap();
        agent.draw(&view, vec![(KeyIndex(u32::try_from(at).unwrap()), 1)], &mut os()).unwrap();
        net.issuer.supervise("/operator/close-batch", &[]).unwrap();
        net.open_sites(1);
        agent.redeem(&view, NORTH, Choice::All, &mut os()).unwrap();
        net.sites[0].supervise("/operator/close-batch?insist=true", &[]).unwrap();
        net.sites.iter().for_each(|site| drop(site.supervise("/operator/close-round", &[]).unwrap()));
        let receipt = agent.wallet().receipts()[0].clone();
        let newest = programme.latest();
        let site = |at: usize| newest.site(site_id(at)).unwrap().logs.last().unwrap().clone();
        // What was logged is published a moment later.
        published(&net.issuer, &newest.issuer_log, newest, |log| log.drawn(ROUND).unwrap().draws() == 1);
        for (at, party) in net.sites.iter().enumerate() {
            let leaves = if at == 0 { 3 } else { 1 };
            published(party, &site(at), newest, |log| log.checkpoint().size() >= leaves);
        }
        Self { net, receipt }
    }
}

/// The log of a party once it says something.
fn published(party: &Party, key: &LogKey, newest: &Header, is: impl Fn(&WholeLog) -> bool) -> WholeLog {
    let client = party.client();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match WholeLog::read(|path| client.get(&format!("/log/{path}")).ok(), key, newest) {
            Ok(log) if is(&log) => return log,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a party again, with TLS.
fn with_tls(party: &Party) {
    party.kill();
    *party.more.lock().unwrap() = (["--set", "listen.tls=true"].map(str::to_owned).to_vec(), BTreeMap::new());
    party.start(None).unwrap();
}

fn port(party: &Party) -> String {
    party.address().rsplit_once(':').unwrap().1.to_owned()
}

/// Mirrors from these origins: the issuer's, then the sites'.
fn run(net: &Net, folder: &Path, origins: &[String], proxy: Option<String>) -> Outcome {
    let options = Options {
        programme: net.id(),
        issuer: Some(origins[0].clone()),
        sites: (0..).map(site_id).zip(origins[1..].iter().cloned()).collect(),
        folders: Vec::new(),
        transport: annona_transport::Options { socks_proxy: proxy, ..annona_transport::Options::default() },
        recheck: false,
        uncosigned: false,
        most: 1_000_000,
    };
    mirror(folder, &options, &AtomicBool::new(false)).unwrap()
}

/// The mirror has every log, and an audit has nothing to say against it.
fn assert_whole(net: &Net, folder: &Path, outcome: &Outcome) {
    assert!(outcome.faults.is_empty() && outcome.unreached.is_empty(), "{outcome:?}");
    assert_eq!(outcome.logs.len(), 4, "{outcome:?}");
    assert!(outcome.logs.iter().all(|log| log.size > 0), "{outcome:?}");
    let report = verify_folder(folder, net.id(), &Verify::default(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
}

/// A SOCKS5 proxy that resolves names itself: every name is this machine. Keeps whom it was asked for.
fn socks() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            let seen = Arc::clone(&seen);
            // A connection that breaks off is the client's affair.
            thread::spawn(move || drop(carry(client.unwrap(), &seen)));
        }
    });
    (address, asked)
}

fn carry(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    fn exact(client: &mut TcpStream, length: impl Into<usize>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.into()];
        client.read_exact(&mut bytes)?;
        Ok(bytes)
    }
    let count = exact(&mut client, 2u8)?[1];
    if exact(&mut client, count)?.contains(&2) {
        client.write_all(&[5, 2])?;
        let user = exact(&mut client, 2u8)?[1];
        exact(&mut client, user)?;
        let password = exact(&mut client, 1u8)?[0];
        exact(&mut client, password)?;
        client.write_all(&[1, 0])?;
    } else {
        client.write_all(&[5, 0])?;
    }
    let mut exact = |length: u8| exact(&mut client, length);
    let head = exact(4)?;
    let name = match head[3] {
        1 => exact(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        _ => {
            let length = exact(1)?[0];
            String::from_utf8(exact(length)?).unwrap()
        }
    };
    let port = exact(2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    asked.lock().unwrap().push(format!("{name}:{port}"));
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
    drop(io::copy(&mut server, &mut client));
    drop(client.shutdown(Shutdown::Both));
    up.join().unwrap();
    Ok(())
}

#[test]
fn a_mirror_over_tls_and_through_a_proxy() {
    let Told { net, .. } = Told::new();
    net.parties().for_each(with_tls);
    let home = tempfile::tempdir().unwrap();
    let parties: Vec<&Party> = net.parties().collect();
    let origins = |host: &str| [0, 1, 2, 3].map(|at| format!("https://{host}:{}", port(parties[at])));

    let folder = home.path().join("tls");
    let outcome = run(&net, &folder, &origins("127.0.0.1"), None);
    assert_whole(&net, &folder, &outcome);
    // Again: nothing is new.
    let again = run(&net, &folder, &origins("127.0.0.1"), None);
    assert!(again.added.is_empty() && again.logs.iter().all(|log| log.before == log.size), "{again:?}");

    // Names that nobody but the proxy can resolve: no name is asked for beside it.
    let folder = home.path().join("proxy");
    let (proxy, asked) = socks();
    let outcome = run(&net, &folder, &origins("annona.invalid"), Some(proxy));
    assert_whole(&net, &folder, &outcome);
    let asked = asked.lock().unwrap();
    for party in &parties {
        assert!(asked.contains(&format!("annona.invalid:{}", port(party))), "{asked:?}");
    }
    assert!(asked.iter().all(|name| name.starts_with("annona.invalid:")), "{asked:?}");
    drop(asked);

    // The sites' addresses exchanged: each shows a key that is not its log's, and nothing is taken from either.
    let folder = home.path().join("wrong");
    let mut exchanged = origins("127.0.0.1");
    exchanged.swap(1, 2);
    let outcome = run(&net, &folder, &exchanged, None);
    assert!(outcome.faults.is_empty(), "{outcome:?}");
    assert_eq!(outcome.unreached.len(), 2, "{outcome:?}");
    assert_eq!(outcome.logs.iter().map(|log| log.log.as_str()).collect::<Vec<_>>(), ["issuer", "site-3"]);
    // A plain address of a server that speaks TLS gives nothing either, and the others are copied.
    let mut plain = origins("127.0.0.1");
    plain[1] = format!("http://127.0.0.1:{}", port(parties[1]));
    let outcome = run(&net, &home.path().join("plain"), &plain, None);
    assert_eq!((outcome.unreached.len(), outcome.logs.len()), (1, 3), "{outcome:?}");
}

/// A site signs a receipt and logs nothing. What the household's wallet writes convinces an auditor who has the programme's id, and
/// the auditor's own copy says the same.
#[test]
fn a_wallet_proves_a_broken_receipt_to_an_auditor() {
    let Told { net, receipt } = Told::new();
    let client = net.issuer.client();
    let bytes = patiently("announcement", || client.get("/v1/announcement")).unwrap();
    let announcement = Announcement::decode(&bytes).unwrap();
    let programme = announcement.verify(net.id()).unwrap();
    let newest = programme.latest();
    let key = newest.site(NORTH).unwrap().logs.last().unwrap();
    let place = Place::new(&programme.in_force(ROUND).unwrap(), NORTH);
    let promise = |batch| {
        let mark = Mark { key: KeyIndex(0), holder: EncodedPoint([7; 32]) };
        let terms = ReceiptTerms { place, mark, number: 1, leaf: TreeHash([9; 32]), batch, pending: false };
        Signed::sign(terms, &net.prepared.site_keys[0])
    };
    let log = published(&net.sites[0], key, newest, |_| true);
    let versions: Vec<_> = announcement.versions.iter().map(|version| version.leaf.clone()).collect();

    let folder = tempfile::tempdir().unwrap();
    let origins: Vec<String> = net.parties().map(|party| party.proxy.url()).collect();
    assert_whole(&net, folder.path(), &run(&net, folder.path(), &origins, None));
    let judged = |paper: &Paper| Desk::open(folder.path(), net.id(), [paper]).unwrap().judge(paper).state;
    // The household's own receipt was kept. Of the others, the first batch is closed. A second one never came: the auditor reads
    // that the round is stated, the wallet goes on waiting.
    let mut proven = 0;
    for receipt in [receipt, promise(1), promise(2)] {
        let (kept, paper) = (log.kept(&receipt, newest).unwrap(), Paper::Receipt(receipt));
        match (kept, judged(&paper)) {
            (Kept::Broken(proof), State::Broken(Some(own))) => {
                let file = log.omission_file(net.id(), &versions, &proof);
                let read = OmissionProof::from_json(file.as_bytes()).unwrap();
                assert!(read.verify(net.id()).is_ok());
                assert_eq!(read.omission, own.omission);
                assert_eq!(Paper::read(file.as_bytes(), net.id()).unwrap(), [paper]);
                proven += 1;
            }
            (Kept::Included(_), State::Kept) => proven += 10,
            (Kept::NotDue, State::Broken(None)) => proven += 100,
            (kept, state) => panic!("wallet and auditor differ: {kept:?}, {state:?}"),
        }
    }
    assert_eq!(proven, 111, "one of each");
}
