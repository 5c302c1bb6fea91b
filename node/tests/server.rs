//! The issuer's and a site's servers as strangers, careless clients and officers meet them: over sockets, in this process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use annona_node::sync::{MirrorError, Received};
use annona_node::{
    random::os as rng,
    server::{self, Config, config::Level, operators, operators::Role, telemetry},
    service::issuer::IssuerService,
    store::StoreError,
};
use annona_protocol::{
    bucket::{Bucket, ENROLMENTS, SlotBucket, SlotDirectory, SlotKind, SlotRound},
    enrol::EnrolContext,
    ids::Round,
    programme::TicketKind,
    signature::PublicKey,
    slots::Slots,
    ticket::{TicketCode, TicketSlip},
    voucher::RoundMaster,
    wire::Message as _,
};
use annona_transport::{AddressError, Client, Options, TransportError};
use annona_wallet::{Agent, Backoff, Endpoint, HttpLink, Link as _, LinkError, Wallet};
use harness::{
    Plan, Prepared,
    http::{self, JSON, MESSAGE, Reply, connect, get, send},
    passphrase, prepare,
    running::{Events, Server, Tokens, add_operators, bearer, open_site},
};
use serde_json::Value;

const PLAN: Plan = Plan { tickets: 2, rounds: 1, advance: 0 };
/// Well formed, and nobody's.
const JUNK: &str = "Bearer annona-token-00000000000000000000000000000000000000000000000000000000000000aa";
const CASEWORKER: usize = 0;
const DISTRIBUTOR: usize = 1;
const SUPERVISOR: usize = 2;

/// What the program around an issuer's server would do, as far as a test wants it.
#[derive(Default)]
struct Bare {
    /// Tells that an announcement is asked for, and waits for leave to answer.
    held: Option<Mutex<(Sender<()>, Receiver<()>)>>,
    /// What it announces in place of a word.
    announces: Option<Vec<u8>>,
}

impl server::issuer::Hooks for Bare {
    fn log_grew(&self) {}

    fn announcement(&self) -> Option<Vec<u8>> {
        if let Some(held) = &self.held {
            let held = held.lock().unwrap();
            held.0.send(()).unwrap();
            held.1.recv().unwrap();
        }
        Some(self.announces.clone().unwrap_or_else(|| b"announced".to_vec()))
    }

    fn master(&self, _: Round) -> Option<RoundMaster> {
        None
    }

    fn round_closed(&self, _: Round) {}

    fn receive_log(&self, _: &[u8]) -> Result<Received, MirrorError> {
        Err(MirrorError::Foreign)
    }

    fn log_state(&self, _: &str) -> Result<Received, MirrorError> {
        Err(MirrorError::Foreign)
    }
}

/// An issuer's server without a publisher, whose service the test keeps.
struct Alone {
    _prepared: Prepared,
    service: Arc<IssuerService>,
    running: Option<server::Running>,
    address: SocketAddr,
    tokens: Tokens,
}

impl Alone {
    fn new(hooks: Bare, configure: impl FnOnce(&mut Config)) -> Self {
        let prepared = prepare(PLAN);
        let service = Arc::new(prepared.issuer.open(&passphrase(), None).unwrap());
        let tokens = add_operators(service.store());
        let mut config = Config::issuer_defaults();
        config.listen.address.set_port(0);
        configure(&mut config);
        let running = server::issuer::run(Arc::clone(&service), &config, Arc::new(hooks)).unwrap();
        let address = running.address();
        Self { _prepared: prepared, service, running: Some(running), address, tokens }
    }

    fn status(&self, token: &str) -> Reply {
        send(self.address, "GET", "/operator/status", &[("authorization", token)], &[])
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown();
            drop(running.join());
        }
    }
}

/// Every problem is one of ours: its type, its code, its status and when to come back.
fn assert_refused_in_our_words(reply: &Reply, about: &str) {
    if reply.head.contains("annona-code") {
        assert_eq!(reply.header("content-type"), Some(MESSAGE.1), "{about}");
    } else {
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{about}: {reply:?}");
        let problem = reply.json();
        assert_eq!(problem["status"], reply.status, "{about}");
        assert_eq!(problem["type"], format!("urn:annona:problem:{}", problem["code"].as_str().unwrap()), "{about}");
    }
    if matches!(reply.status, 408 | 429 | 503) {
        assert!(reply.retry_after() > 0, "{about}");
    }
}

/// Paths of a template with good, hostile and hardly possible parameters.
fn paths(template: &str) -> Vec<String> {
    let visit = "ab".repeat(32);
    let values =
        ["1", "0", "4294967295", "4294967296", "-1", "x", "%00", "..%2f..%2fannona.db", "%ff", &visit, "AB", "0/000"];
    let mut paths = Vec::new();
    let Some(start) = template.find('{') else { return vec![template.to_owned()] };
    let end = template.find('}').unwrap();
    for value in values {
        let mut path = format!("{}{value}{}", &template[..start], &template[end + 1..]);
        // All others take the same value.
        while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
            path = format!("{}{value}{}", &path[..start], &path[end + 1..]);
        }
        paths.push(path);
    }
    paths
}

/// Sends rubbish of every kind to every operation of the served document. Gives how many requests that were.
fn attack(server: SocketAddr, tokens: &Tokens) -> usize {
    let document = get(server, "/openapi.json").json();
    let magic = b"ANNA\x01\x10".as_slice();
    let bodies: [&[u8]; 5] = [&[], &[0], &[0xff; 3000], magic, b"{\"1\": -1}"];
    let people = [None, Some("Basic x"), Some(JUNK), Some(&*tokens[0]), Some(&*tokens[1]), Some(&*tokens[2])];
    let queries = ["", "?counter=1&counter=2", "?quote=zz&insist=perhaps&counter=-1", "?%ff"];
    let mut count = 0;
    for (template, operations) in document["paths"].as_object().unwrap() {
        assert!(!template.contains('*'), "{template} is no path of OpenAPI");
        for path in paths(template) {
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
                let operation = &operations[method.to_lowercase()];
                if operation.is_null() {
                    let reply = send(server, method, &path, &[], &[]);
                    let is_known = reply.status == 405 && reply.header("allow").is_some() || reply.status == 404;
                    assert!(is_known, "{method} {path}: {reply:?}");
                    count += 1;
                    continue;
                }
                for person in people {
                    // A right token does what it says: once for each way to say it is enough.
                    for (body, query) in bodies.iter().zip(queries.iter().cycle()) {
                        for media in [MESSAGE, JSON] {
                            let mut headers = vec![media];
                            headers.extend(person.map(|person| ("authorization", person)));
                            let path = format!("{path}{query}");
                            let about =
                                format!("{method} {path} {headers:?} {}", hex::encode(&body[..body.len().min(9)]));
                            let reply = send(server, method, &path, &headers, body);
                            count += 1;
                            assert!(reply.status < 500, "{about}: {reply:?}");
                            let described = &operation["responses"][reply.status.to_string()];
                            assert!(!described.is_null(), "{about}: {} is not in the document", reply.status);
                            if reply.status >= 400 {
                                assert_refused_in_our_words(&reply, &about);
                            } else {
                                let sent = reply.header("content-type");
                                let types = described["content"].as_object();
                                assert_eq!(sent.is_some(), types.is_some(), "{about}: {reply:?}");
                                assert!(
                                    sent.is_none_or(|sent| types.unwrap().contains_key(sent)),
                                    "{about}: {reply:?}"
                                );
                            }
                            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{about}");
                        }
                    }
                }
            }
        }
    }
    count
}

#[test]
fn rubbish_on_every_route_is_refused_and_nothing_breaks() {
    let prepared = prepare(PLAN);
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    let site = prepared.start_site(issuer.address, &witness, |_| ());
    assert!(attack(site.address, &site.tokens) > 1000);
    assert!(attack(issuer.address, &issuer.tokens) > 1000);
    for server in [&issuer, &site] {
        for path in ["/", "//", "/v1", "/v1/", "/operator", "/%2e%2e/annona.db", "/log/../annona.db", "/log/tile/"] {
            let reply = get(server.address, path);
            assert_eq!((reply.status, &*reply.code()), (404, "not-found"), "{path}");
        }
        let long = format!("/{}", "x".repeat(64 * 1024));
        assert!(matches!(get(server.address, &long).status, 414 | 431));
        assert_eq!(get(server.address, "/readyz").status, 200);
    }
}

#[test]
fn tokens_have_their_roles_from_when_they_are_added_until_they_are_revoked() {
    let issuer = Alone::new(Bare::default(), |_| ());
    let tell = |reply: Reply| (reply.status, if reply.status < 400 { String::new() } else { reply.code() });
    let ok = (200, String::new());
    let nobody = (401, "token-missing".to_owned());
    let other = (403, "role".to_owned());
    assert_eq!(tell(get(issuer.address, "/operator/status")), nobody);
    assert_eq!(get(issuer.address, "/operator/status").header("www-authenticate"), Some("Bearer"));
    for token in [JUNK, "", "Bearer", "Bearer x", issuer.tokens[SUPERVISOR].trim_start_matches("Bearer ")] {
        assert_eq!(tell(issuer.status(token)), nobody, "{token}");
    }
    assert_eq!(tell(issuer.status(&issuer.tokens[CASEWORKER])), ok);
    assert_eq!(tell(issuer.status(&issuer.tokens[DISTRIBUTOR])), other);
    assert_eq!(tell(issuer.status(&issuer.tokens[SUPERVISOR])), ok);
    let close = |token: &str| send(issuer.address, "POST", "/operator/close-batch", &[("authorization", token)], &[]);
    assert_eq!(tell(close(&issuer.tokens[CASEWORKER])), other);
    assert_eq!(tell(close(&issuer.tokens[SUPERVISOR])), ok);

    let store = issuer.service.store();
    let added = bearer(&operators::add(store, "Amina", Role::Supervisor, &mut rng()).unwrap());
    assert_eq!(operators::list(store).unwrap()[0].name, "Amina");
    assert_eq!(tell(issuer.status(&added)), ok);
    operators::revoke(store, "Amina").unwrap();
    assert_eq!(tell(issuer.status(&added)), nobody);
    assert_eq!(tell(close(&added)), nobody);
    assert_eq!(operators::list(store).unwrap().len(), 3);
}

/// A supervisor's phone is stolen in mid-distribution: its token is taken away, and the store copied, while the server serves.
#[test]
fn a_token_is_revoked_and_the_store_copied_while_it_serves() {
    let issuer = Alone::new(Bare::default(), |_| ());
    let act = |token: &str, path: &str| send(issuer.address, "POST", path, &[("authorization", token)], &[]);
    let stolen = bearer(&operators::add(issuer.service.store(), "Omar", Role::Supervisor, &mut rng()).unwrap());
    let [caseworker, _, supervisor] = &issuer.tokens;
    let revoke = "/operator/operators/Omar/revoke";
    assert_eq!(issuer.status(&stolen).status, 200);
    assert_eq!(act(caseworker, revoke).status, 403);
    assert_eq!(act(supervisor, revoke).status, 204);
    assert_eq!((issuer.status(&stolen).status, act(&stolen, "/operator/backup").status), (401, 401));
    assert_eq!(act(supervisor, revoke).status, 404, "there is no Omar any more");

    assert_eq!(act(caseworker, "/operator/backup").status, 403);
    let copied = act(supervisor, "/operator/backup");
    assert_eq!(copied.status, 200);
    let file = copied.json()["file"].as_str().unwrap().to_owned();
    let copy = issuer.service.store().path().with_file_name("backups").join(file);
    let copy = rusqlite::Connection::open(copy).unwrap();
    let operators: u64 = copy.query_row("SELECT count(*) FROM operators", [], |row| row.get(0)).unwrap();
    assert_eq!(operators, 3);
}

#[test]
fn too_long_a_body_is_refused_and_the_refusal_arrives() {
    let issuer = Alone::new(Bare::default(), |_| ());
    let body = vec![7; 900 * 1024];
    let token = ("authorization", &*issuer.tokens[SUPERVISOR]);
    // Often, as a reset would be a matter of luck.
    for _ in 0..20 {
        let reply = send(issuer.address, "POST", "/v1/surrender", &[MESSAGE], &body);
        assert_eq!((reply.status, &*reply.code()), (413, "too-long"));
        // Nor do other refusals that leave a body unread get lost.
        assert_eq!(send(issuer.address, "POST", "/operator/approve", &[MESSAGE], &body).status, 401);
        assert_eq!(send(issuer.address, "POST", "/v1/surrender", &[], &body).status, 415);
        assert_eq!(send(issuer.address, "POST", "/v1/nothing", &[MESSAGE], &body).status, 404);
        assert_eq!(send(issuer.address, "POST", "/operator/close-batch", &[token], &body).status, 200);
    }
    // Without a length nobody knows before that it is too long.
    let mut stream = connect(issuer.address);
    let head = http::head("POST", "/v1/surrender", &[MESSAGE, ("transfer-encoding", "chunked")]);
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..10 {
        stream.write_all(&[b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let reply = http::read(&mut stream).unwrap();
    assert_eq!((reply.status, &*reply.code()), (413, "too-long"));
    // Who asks before it sends is told before it sends.
    let mut stream = connect(issuer.address);
    let headers = [MESSAGE, ("content-length", "900000"), ("expect", "100-continue")];
    stream.write_all(http::head("POST", "/v1/surrender", &headers).as_bytes()).unwrap();
    assert_eq!(http::read(&mut stream).unwrap().status, 413);
    // A length that no memory has does not make the server reserve it.
    let mut stream = connect(issuer.address);
    let headers = [MESSAGE, ("content-length", "9223372036854775807")];
    stream.write_all(http::head("POST", "/v1/surrender", &headers).as_bytes()).unwrap();
    assert_eq!(http::read(&mut stream).unwrap().status, 413);
}

#[test]
fn who_sends_slowly_is_cut_off_and_holds_up_nobody() {
    let issuer = Alone::new(Bare::default(), |config| {
        config.limits.head_seconds = 1;
        config.limits.body_seconds = 1;
        config.limits.workers = 1;
        config.limits.queue = 0;
        // One address is many here.
        config.limits.peer_connections = 0;
    });
    let mut slow_heads: Vec<TcpStream> = (0..50).map(|_| connect(issuer.address)).collect();
    for stream in &mut slow_heads {
        stream.write_all(b"GET /v1/announcement HTTP/1.1\r\nhost: x\r\n").unwrap();
    }
    let mut slow_bodies: Vec<TcpStream> = (0..50).map(|_| connect(issuer.address)).collect();
    let head = http::head("POST", "/v1/surrender", &[MESSAGE, ("content-length", "100")]);
    for stream in &mut slow_bodies {
        stream.write_all(&[head.as_bytes(), b"half"].concat()).unwrap();
    }
    // The only place is free all the while.
    assert_eq!(get(issuer.address, "/v1/announcement").status, 200);
    for mut stream in slow_heads {
        let mut rest = Vec::new();
        // Closed, or reset: it ends.
        drop(stream.read_to_end(&mut rest));
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    for mut stream in slow_bodies {
        let reply = http::read(&mut stream).unwrap();
        assert_eq!((reply.status, &*reply.code()), (408, "slow"));
        assert!(reply.retry_after() > 0);
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest));
        assert!(rest.is_empty());
    }
    assert_eq!(get(issuer.address, "/v1/announcement").status, 200);
}

#[test]
fn tls_shows_the_pinned_key_and_nothing_else_is_let_in() {
    let issuer = Alone::new(Bare::default(), |config| config.listen.tls = true);
    let url = issuer.running.as_ref().unwrap().origin();
    assert!(url.starts_with("https://127.0.0.1:"));
    let client =
        |key| Client::new(annona_transport::Server { url: url.clone(), key: Some(key) }, &Options::default()).unwrap();
    let key = PublicKey::of(issuer.service.log_key());
    // The certificate is of another name than the address: the key is what counts.
    assert_eq!(client(key).get("/v1/announcement").unwrap(), b"announced");
    let token = issuer.tokens[SUPERVISOR].trim_start_matches("Bearer ");
    assert!(!client(key).with_token(token).get("/operator/status").unwrap().is_empty());
    match client(key).post("/v1/enrol", b"rubbish") {
        Err(TransportError::Refused(problem)) => assert_eq!((problem.status, &*problem.code), (400, "malformed")),
        other => panic!("{other:?}"),
    }
    let wrong = PublicKey::of(&annona_node::authoring::signing_key(&mut rng()));
    assert!(matches!(client(wrong).get("/healthz"), Err(TransportError::WrongKey { .. })));
    let keyless = annona_transport::Server { url: url.clone(), key: None };
    assert!(matches!(Client::new(keyless, &Options::default()), Err(TransportError::Address(AddressError::Key))));
    // Plain http gets no HTTP back.
    let mut stream = connect(issuer.address);
    stream.write_all(http::head("GET", "/healthz", &[]).as_bytes()).unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

/// [4.1-M8]: a ticket slip and nothing else. Whoever stands in between can give the true announcement, and gets nothing for it; a
/// false one is no programme.
#[test]
fn a_ticket_slip_is_all_that_a_first_visit_needs() {
    let prepared = prepare(PLAN);
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |config| config.listen.tls = true);
    let slip_for = |url: &str| {
        let code = TicketCode::from_bytes(*prepared.codes[0].expose());
        let server = Some(url.to_owned());
        let slip = TicketSlip { kind: TicketKind::Enrol, code, programme: prepared.id, server };
        TicketSlip::parse(&slip.to_qr().unwrap()).unwrap()
    };
    let url = format!("https://{}", issuer.address);
    let announcement = Client::unpinned_announcement(&url, &Options::default()).unwrap();

    // In between, with the key of another programme's issuer.
    let between =
        Alone::new(Bare { announces: Some(announcement), ..Bare::default() }, |config| config.listen.tls = true);
    let slip = slip_for(&between.running.as_ref().unwrap().origin());
    let link = HttpLink::first(slip.programme, slip.server.as_deref().unwrap(), &Options::default()).unwrap();
    let asked: [Result<_, LinkError>; 2] =
        [link.programme(slip.programme).map(drop), link.send(Endpoint::Enrol, slip.code.expose()).map(drop)];
    for refused in asked {
        let LinkError::Lost { source, .. } = refused.unwrap_err() else { panic!("something was sent") };
        assert!(matches!(source.downcast_ref(), Some(TransportError::WrongKey { .. })), "{source}");
    }
    let other = between._prepared.id;
    let false_one = HttpLink::first(other, &url, &Options::default());
    assert!(matches!(false_one, Err(LinkError::Unusable { .. })), "the announcement of another programme");

    let slip = slip_for(&url);
    let link = HttpLink::first(slip.programme, slip.server.as_deref().unwrap(), &Options::default()).unwrap();
    let programme = link.programme(slip.programme).unwrap();
    let persist = |_: &[u8]| -> std::io::Result<()> { Ok(()) };
    let mut agent = Agent::new(Wallet::new(slip.programme), persist, &link, Backoff::instant(1));
    agent.enrol(&programme, slip.kind, slip.code, &mut rng()).unwrap();
    assert!(agent.wallet().credential().is_some());
}

/// Waits until nobody listens any more, by asking.
fn until_closed(server: SocketAddr) {
    while TcpStream::connect(server).is_ok() {
        thread::yield_now();
    }
}

#[test]
fn a_stop_lets_requests_in_flight_end_and_the_store_can_be_opened_again() {
    let prepared = prepare(PLAN);
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    let mut site = prepared.start_site(issuer.address, &witness, |_| ());
    // Leave to go on means that the handler reads: the request is in flight.
    let mut stream = connect(site.address);
    let token = ("authorization", &*site.tokens[SUPERVISOR]);
    let headers = [JSON, token, ("content-length", "10"), ("expect", "100-continue")];
    stream.write_all(http::head("POST", "/operator/stock", &headers).as_bytes()).unwrap();
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{\"1\"").unwrap();
    // This one has begun to ask, and nothing more.
    let mut late = connect(site.address);
    late.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n").unwrap();
    // Its connection is accepted once a later one is answered.
    assert_eq!(get(site.address, "/readyz").status, 200);

    let node = site.node.take().unwrap();
    node.server().shutdown();
    until_closed(site.address);
    late.write_all(b"\r\n").unwrap();
    let refused = http::read(&mut late).unwrap();
    assert_eq!((refused.status, &*refused.code()), (503, "not-ready"));
    assert!(refused.retry_after() > 0);
    stream.write_all(b": 777}").unwrap();
    assert_eq!(http::read(&mut stream).unwrap().status, 204);
    node.stop().unwrap();

    let again = prepared.sites[0].open(&passphrase(), None, Config::site_defaults().site_options()).unwrap();
    assert_eq!(again.status().unwrap().stock[&1], 777);
}

#[test]
fn who_asks_too_fast_is_told_when_to_come_back_and_officers_pass() {
    let issuer = Alone::new(Bare::default(), |config| {
        config.rates.peer_per_second = 1;
        config.rates.peer_burst = 3;
    });
    assert_eq!(get(issuer.address, "/v1/announcement").status, 200);
    let refused = (0..1000).map(|_| get(issuer.address, "/v1/announcement")).find(|reply| reply.status != 200).unwrap();
    assert_eq!((refused.status, &*refused.code()), (429, "rate"));
    assert!(refused.retry_after() > 0);
    assert_refused_in_our_words(&refused, "rate");
    for _ in 0..20 {
        assert_eq!(issuer.status(&issuer.tokens[SUPERVISOR]).status, 200);
        // Whether it runs is not a question of rates.
        assert_eq!(get(issuer.address, "/healthz").status, 200);
    }
    assert!((0..1000).any(|_| issuer.status(JUNK).status == 429));
}

#[test]
fn a_full_queue_says_so_and_a_flood_of_strangers_does_not_keep_officers_out() {
    let (asked, asking) = channel();
    let (go, leave) = channel();
    let hooks = Bare { held: Some(Mutex::new((asked, leave))), ..Bare::default() };
    let issuer = Alone::new(hooks, |config| {
        config.limits.workers = 1;
        config.limits.queue = 0;
        // One address is many here.
        config.limits.peer_connections = 0;
        config.rates.peer_per_second = 0;
        config.rates.per_second = 0;
    });
    let address = issuer.address;
    let first = thread::spawn(move || get(address, "/v1/announcement"));
    asking.recv().unwrap();
    let refused = get(address, "/v1/announcement");
    assert_eq!((refused.status, &*refused.code()), (503, "overloaded"));
    assert!(refused.retry_after() > 0);
    assert_eq!(issuer.status(&issuer.tokens[SUPERVISOR]).status, 200);
    go.send(()).unwrap();
    assert_eq!(first.join().unwrap().body, b"announced");

    // The store is held up, so every question after its health waits, until nobody else may.
    let (holding, held) = channel();
    let (release, released) = channel::<()>();
    let service = Arc::clone(&issuer.service);
    let holder = thread::spawn(move || {
        service
            .store()
            .write(move |_| {
                holding.send(()).unwrap();
                released.recv().unwrap();
                Ok::<_, StoreError>(())
            })
            .unwrap()
            .unwrap();
    });
    held.recv().unwrap();
    let (answered, answers) = channel();
    let askers: Vec<_> = (0..200)
        .map(|_| {
            let answered = answered.clone();
            thread::spawn(move || answered.send(get(address, "/readyz")).unwrap())
        })
        .collect();
    let full = answers.recv().unwrap();
    assert_eq!((full.status, &*full.code()), (503, "overloaded"));
    assert_eq!(issuer.status(JUNK).status, 503);
    assert_eq!(issuer.status(&issuer.tokens[SUPERVISOR]).status, 200);
    assert_eq!(get(address, "/healthz").status, 200);
    release.send(()).unwrap();
    for asker in askers {
        asker.join().unwrap();
    }
    holder.join().unwrap();
    drop(answered);
    for reply in answers {
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    }
    assert_eq!(get(address, "/readyz").status, 200);
}

fn metrics(server: &Server) -> String {
    let headers = [("authorization", &*server.tokens[SUPERVISOR])];
    let reply = send(server.address, "GET", "/metrics", &headers, &[]);
    assert_eq!(reply.status, 200, "{reply:?}");
    String::from_utf8(reply.body).unwrap()
}

fn requests(text: &str, route: &str) -> u64 {
    let of_route = |line: &&str| line.starts_with(&format!("annona_requests_total{{route=\"{route}\""));
    text.lines().filter(of_route).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_sites_numbers_stand_still_until_its_batch_closes_and_an_issuers_do_not() {
    let prepared = prepare(PLAN);
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    let site = prepared.start_site(issuer.address, &witness, |_| ());
    open_site(&issuer, &site);
    let before = metrics(&site);
    for _ in 0..5 {
        assert_eq!(send(site.address, "POST", "/v1/quote", &[], &[]).status, 200);
        assert_eq!(send(site.address, "POST", "/v1/redeem", &[MESSAGE], b"rubbish").status, 422);
    }
    assert_eq!(metrics(&site), before);
    let closed = site.supervise("/operator/close-batch?insist=true", &[], &[]).json();
    assert_eq!(closed["leaves"], 0);
    let after = metrics(&site);
    assert_eq!((requests(&after, "/v1/quote"), requests(&after, "/v1/redeem")), (5, 5), "{after}");

    let before = requests(&metrics(&issuer), "/v1/draw");
    assert_eq!(send(issuer.address, "POST", "/v1/draw", &[MESSAGE], b"rubbish").status, 400);
    assert_eq!(requests(&metrics(&issuer), "/v1/draw"), before + 1);
    for server in [&issuer, &site] {
        assert_eq!(get(server.address, "/metrics").status, 401);
        let text = metrics(server);
        assert!(text.ends_with("# EOF\n"));
        // Only what is counted by route and code: nobody's address, token or number.
        assert!(!text.contains("127.0.0.1") && !text.contains("annona-token"), "{text}");
    }
}

#[test]
fn the_log_is_served_once_it_is_cosigned_and_nothing_beside_it() {
    let prepared = prepare(PLAN);
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    let checkpoint = get(issuer.address, "/log/checkpoint");
    assert_eq!(checkpoint.status, 200, "{checkpoint:?}");
    assert_eq!(checkpoint.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = String::from_utf8(checkpoint.body).unwrap();
    assert!(text.starts_with("annona.example/food-and-cash/issuer\n") && text.contains("\u{2014} witness.example "));
    let size: u64 = text.lines().nth(1).unwrap().parse().unwrap();
    assert!((2..256).contains(&size), "{text}");
    let tile = get(issuer.address, &format!("/log/tile/0/000.p/{size}"));
    assert_eq!((tile.status, tile.body.len() as u64), (200, 32 * size));
    assert!(tile.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(get(issuer.address, &format!("/log/tile/entries/000.p/{size}")).status, 200);
    let secrets = ["annona.db", "keys/issuer.age", "lock", "published/checkpoint"];
    for secret in secrets {
        for up in ["..", "%2e%2e", ".%2E", "..%2f..", "0/..", "entries/../..", "%2e%2e%2f"] {
            for prefix in ["/log/", "/log/tile/", "/log/tile/0/", "/log//", "/"] {
                let path = format!("{prefix}{up}/{secret}");
                let reply = get(issuer.address, &path);
                assert_eq!((reply.status, &*reply.code()), (404, "not-found"), "{path}");
            }
        }
    }
    // Another spelling of a tile is no tile.
    for path in
        ["/log/tile/00/000", "/log/tile/0/0%30%30", "/log/tile/0/000.p/0", "/log/tile/0/000.p/256", "/log/tile/64/000"]
    {
        assert_eq!(get(issuer.address, path).status, 404, "{path}");
    }

    // Without its witness nothing newer is served, and the server runs all the same.
    let alone = Alone::new(Bare::default(), |_| ());
    assert_eq!(get(alone.address, "/log/checkpoint").status, 404);
    assert_eq!(get(alone.address, "/log/tile/0/000").status, 404);
}

#[test]
fn events_tell_nothing_of_whoever_asked() {
    let events = Events::default();
    let writer = events.clone();
    tracing::subscriber::set_global_default(telemetry::subscriber(Level::Info, move || writer.clone())).unwrap();
    let prepared = prepare(PLAN);
    let witness = prepared.start_witness();
    let mut issuer = prepared.start_issuer(&witness, |_| ());
    let mut site = prepared.start_site(issuer.address, &witness, |_| ());
    open_site(&issuer, &site);
    let visit = "cd".repeat(32);
    for token in [JUNK, &site.tokens[DISTRIBUTOR]] {
        let path = format!("/operator/handed-over/{visit}");
        assert!(send(site.address, "POST", &path, &[("authorization", token)], &[]).status >= 400);
    }
    let ticket = hex::encode(prepared.codes[0].expose());
    send(issuer.address, "POST", "/v1/enrol", &[MESSAGE, ("user-agent", "Amina's telephone")], ticket.as_bytes());
    send(issuer.address, "GET", &format!("/{ticket}?{visit}"), &[], &[]);
    site.supervise("/operator/close-batch?insist=true", &[], &[]);
    site.supervise("/operator/close-round", &[], &[]);
    site.stop();
    issuer.stop();
    let text = events.text();
    for expected in
        ["started", "round frozen", "round opened", "batch closed", "round closed", "log published", "stopped"]
    {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    let names = ["timestamp", "level", "message", "code", "leaves", "round", "size", "have", "need"];
    for line in text.lines() {
        let Value::Object(event) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        for (name, value) in &event {
            assert!(names.contains(&&**name), "an event has a field {name}: {line}");
            let is_fixed = value.is_u64() || matches!(&**name, "timestamp" | "level" | "message" | "code");
            assert!(is_fixed, "{line}");
        }
        let digits = line.split(|letter: char| !letter.is_ascii_hexdigit()).map(str::len).max().unwrap();
        assert!(digits < 16, "{line}");
    }
    let port = format!(":{}", site.address.port());
    for secret in ["127.0.0.1", "annona-token", "Bearer", "telephone", &*ticket, &*visit, &*port] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

/// What a wallet that restores asks for: the directory, then whole buckets; nothing else is there.
#[test]
fn slots_come_by_the_bucket_over_http() {
    let alone = Alone::new(Bare::default(), |_| {});
    let empty = get(alone.address, "/v1/slots");
    assert_eq!(SlotDirectory::decode(&empty.body).unwrap(), SlotDirectory { minimum: 32, rounds: Vec::new() });
    let code = TicketCode::from_bytes(*alone._prepared.codes[0].expose());
    let sent = Slots::random(64, &mut rng());
    let (_, request) = alone
        .service
        .with_programme(|programme| EnrolContext::new(programme, TicketKind::Enrol, code, sent.clone(), &mut rng()))
        .unwrap();
    let answer = send(alone.address, "POST", "/v1/enrol", &[MESSAGE], &request.encode());
    assert_eq!(answer.status, 200, "{answer:?}");
    let path =
        |kind, depth, number| format!("/v1/slots/{}", Bucket::new(kind, ENROLMENTS, depth, number).unwrap().path());
    let refused = |path: &str, status, code: &str| {
        let reply = get(alone.address, path);
        assert_refused_in_our_words(&reply, path);
        assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{path}");
    };
    refused(&path(SlotKind::Credential, 0, 0), 404, "bucket-unknown");
    alone.service.close_batch().unwrap();

    let directory = get(alone.address, "/v1/slots");
    assert_eq!(directory.header("cache-control"), Some("no-store"));
    assert_eq!(directory.header("content-type"), Some(MESSAGE.1));
    let round = SlotRound { round: ENROLMENTS, vouchers: Some(0), credential: 0 };
    assert_eq!(SlotDirectory::decode(&directory.body).unwrap().rounds, [round]);
    for (kind, slot, with) in
        [(SlotKind::Vouchers, &sent.vouchers, &[][..]), (SlotKind::Credential, &sent.credential, &answer.body)]
    {
        let reply = get(alone.address, &path(kind, 0, 0));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(MESSAGE.1)));
        let found = SlotBucket::decode(&reply.body).unwrap();
        assert_eq!((found.slots.len(), found.more), (1, false));
        let found = &found.slots[0];
        assert_eq!((found.id, &found.ciphertext, &*found.answer), (slot.id, &slot.ciphertext, with));
        let behind = get(alone.address, &format!("{}?after={}", path(kind, 0, 0), hex::encode(slot.id)));
        assert_eq!(SlotBucket::decode(&behind.body).unwrap(), SlotBucket { slots: Vec::new(), more: false });
    }
    for path in [
        &path(SlotKind::Credential, 1, 0),
        "/v1/slots/credential/0/0/1",
        "/v1/slots/credential/0/32/0",
        "/v1/slots/credential/1/0/0",
        "/v1/slots/credential/4294967295/0/0",
        "/v1/slots/Credential/0/0/0",
    ] {
        refused(path, 404, "bucket-unknown");
    }
    refused("/v1/slots/credential/0/x/0", 400, "bad-request");
    refused("/v1/slots/credential/0/0/0?after=zz", 400, "bad-request");
    refused(&format!("/v1/slots/{}", hex::encode(sent.credential.id)), 404, "not-found");
}
