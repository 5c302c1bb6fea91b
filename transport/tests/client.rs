//! The client against a server of the test's own, on this machine: keys, dates, limits, lost answers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use annona_protocol::signature::PublicKey;
use annona_transport::{AddressError, Client, Options, Problem, Server, TransportError};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};

/// What the server does with a request that it has read: the bytes that it answers; none to hang up.
type Answer = fn(&str) -> Option<Vec<u8>>;

/// A server that answers a number of connections, one request each.
struct Peer {
    address: SocketAddr,
    key: PublicKey,
    requests: mpsc::Receiver<String>,
    thread: JoinHandle<()>,
}

fn response(status: &str, headers: &str, body: &[u8]) -> Option<Vec<u8>> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    Some([head.as_bytes(), body].concat())
}

fn pair() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

fn public(pair: &KeyPair) -> PublicKey {
    PublicKey(pair.public_key_raw().try_into().unwrap())
}

/// A certificate of a key for another name, in 1999.
fn tls(certified: &KeyPair, signing: &KeyPair, versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConfig {
    let mut params = CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(1999, 1, 1), date_time_ymd(1999, 1, 2));
    let certificate = params.self_signed(certified).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![certificate.der().clone()], key);
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver)
}

/// Reads one request: the head, and as much of a body as it says.
fn read(stream: &mut impl Read) -> std::io::Result<String> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(head + &String::from_utf8_lossy(&body))
}

fn serve(stream: &mut (impl Read + Write), answer: Answer, requests: &mpsc::Sender<String>) {
    let Ok(request) = read(stream) else { return };
    let bytes = answer(&request);
    requests.send(request).unwrap();
    // A client that has read enough hangs up.
    drop(bytes.map(|bytes| stream.write_all(&bytes).and_then(|()| stream.flush())));
}

impl Peer {
    fn new(config: ServerConfig, key: PublicKey, connections: usize, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        let config = Arc::new(config);
        let thread = thread::spawn(move || {
            for _ in 0..connections {
                let (stream, _) = listener.accept().unwrap();
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
                serve(&mut stream, answer, &sender);
                stream.conn.send_close_notify();
                drop(stream.flush());
                drop(stream.sock.shutdown(Shutdown::Write));
            }
        });
        Self { address, key, requests, thread }
    }

    fn secure(connections: usize, answer: Answer) -> Self {
        let pair = pair();
        Self::new(tls(&pair, &pair, &[&TLS13]), public(&pair), connections, answer)
    }

    fn client(&self, key: PublicKey, options: &Options) -> Client {
        let server = Server { url: format!("https://{}", self.address), key: Some(key) };
        Client::new(server, options).unwrap()
    }

    /// The requests that came, once all connections are through.
    fn finish(self) -> Vec<String> {
        self.thread.join().unwrap();
        self.requests.try_iter().collect()
    }
}

fn echo(request: &str) -> Option<Vec<u8>> {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    response("200 OK", "", body.as_bytes())
}

#[test]
fn the_right_key_is_enough_though_name_and_dates_are_wrong() {
    let peer = Peer::secure(2, echo);
    let client = peer.client(peer.key, &Options::default());
    assert_eq!(client.post("/v1/draw", b"message").unwrap(), b"message");
    assert_eq!(client.get("/healthz").unwrap(), b"");
    let requests = peer.finish();
    // Two requests, two connections, and nothing in a head that tells one client from another.
    assert_eq!(requests.len(), 2);
    let names: Vec<&str> = requests[0].lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert_eq!(names, ["content-type", "content-length", "accept", "host"]);
    assert!(requests[0].starts_with("POST /v1/draw HTTP/1.1\r\n") && requests[1].starts_with("GET /healthz "));
}

#[test]
fn another_key_is_refused_before_anything_is_sent() {
    let peer = Peer::secure(1, echo);
    let client = peer.client(public(&pair()), &Options::default());
    let error = client.post("/v1/draw", b"message").unwrap_err();
    assert!(matches!(error, TransportError::WrongKey { .. }), "{error:?}");
    assert!(error.is_transient());
    assert!(peer.finish().is_empty());
}

/// A wallet with its ticket and nothing else: the one document that verifies by itself comes from anybody, over TLS 1.3 with a
/// signed handshake, and from no other path.
#[test]
fn an_announcement_is_taken_from_whoever_answers() {
    let fetch = |peer: &Peer| Client::unpinned_announcement(&format!("https://{}", peer.address), &Options::default());
    let peer = Peer::secure(1, |_| response("200 OK", "", b"announcement"));
    assert_eq!(fetch(&peer).unwrap(), b"announcement");
    let requests = peer.finish();
    assert!(requests.len() == 1 && requests[0].starts_with("GET /v1/announcement HTTP/1.1\r\n"));
    let (owner, thief) = (pair(), pair());
    let unsigned = Peer::new(tls(&owner, &thief, &[&TLS13]), public(&owner), 1, echo);
    assert!(matches!(fetch(&unsigned), Err(TransportError::WrongKey { .. })));
    let old = Peer::new(tls(&owner, &owner, &[&TLS12]), public(&owner), 1, echo);
    assert!(matches!(fetch(&old), Err(TransportError::Unreachable { .. })));
    assert!(unsigned.finish().is_empty() && old.finish().is_empty());
    let plain = Client::unpinned_announcement("http://issuer.example", &Options::default()).unwrap_err();
    assert!(matches!(plain, TransportError::Address(AddressError::Plain)));
}

/// A certificate is public: whoever shows the right one must also sign with its key.
#[test]
fn the_right_certificate_without_its_key_is_refused() {
    let (owner, thief) = (pair(), pair());
    let peer = Peer::new(tls(&owner, &thief, &[&TLS13]), public(&owner), 1, echo);
    let error = peer.client(peer.key, &Options::default()).get("/").unwrap_err();
    assert!(matches!(error, TransportError::WrongKey { .. }), "{error:?}");
    assert!(peer.finish().is_empty());
}

#[test]
fn tls_1_2_and_plain_servers_are_refused() {
    let pair = pair();
    let old = Peer::new(tls(&pair, &pair, &[&TLS12]), public(&pair), 1, echo);
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let plain = Client::new(Server { url, key: Some(old.key) }, &Options::default()).unwrap();
    for client in [old.client(old.key, &Options::default()), plain] {
        let error = client.get("/").unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    }
    assert!(old.finish().is_empty());
    thread.join().unwrap();
}

#[test]
fn nobody_there_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server { url: format!("https://{address}"), key: Some(PublicKey([1; 32])) };
    let error = Client::new(server, &Options::default()).unwrap().get("/").unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn an_answer_that_is_dropped_or_cut_is_lost() {
    let answers: [Answer; 3] = [
        |_| None,
        |_| Some(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
        |_| Some(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec()),
    ];
    for answer in answers {
        let peer = Peer::secure(1, answer);
        let error = peer.client(peer.key, &Options::default()).post("/v1/draw", b"message").unwrap_err();
        assert!(matches!(error, TransportError::AnswerLost { .. }) && error.is_transient(), "{error:?}");
        assert_eq!(peer.finish().len(), 1);
    }
}

#[test]
fn an_answer_that_never_comes_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server { url: format!("http://{}", listener.local_addr().unwrap()), key: None };
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let error = Client::new(server, &options).unwrap().get("/").unwrap_err();
    assert!(matches!(error, TransportError::AnswerLost { .. }), "{error:?}");
}

#[test]
fn an_oversized_answer_is_refused() {
    let peer = Peer::secure(3, |request| match request.split(' ').nth(1) {
        Some("/fits") => response("200 OK", "", &[7; 100]),
        Some("/long") => response("200 OK", "", &[7; 101]),
        _ => response("404 Not Found", "", &[7; 101]),
    });
    let client = peer.client(peer.key, &Options { max_body: 100, ..Options::default() });
    assert_eq!(client.get("/fits").unwrap(), [7; 100]);
    for path in ["/long", "/missing"] {
        assert!(matches!(client.get(path), Err(TransportError::TooLong { limit: 100 })), "{path}");
    }
    peer.finish();
}

#[test]
fn a_redirect_is_a_refusal() {
    let peer = Peer::secure(1, |_| response("307 Temporary Redirect", "location: /elsewhere\r\n", b""));
    let error = peer.client(peer.key, &Options::default()).post("/v1/draw", b"message").unwrap_err();
    let TransportError::Refused(problem) = error else { panic!("{error:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (307, ""));
    assert_eq!(peer.finish().len(), 1, "nobody follows");
}

#[test]
fn problems_and_signed_refusals_are_told_apart() {
    let peer = Peer::secure(3, |request| match request.split(' ').nth(1) {
        Some("/busy") => response(
            "503 Service Unavailable",
            "content-type: application/problem+json\r\nretry-after: 7\r\n",
            br#"{"type":"about:blank","title":"too many\u001b[2J sessions","status":503,"code":"busy"}"#,
        ),
        Some("/gone") => {
            response("409 Conflict", "content-type: application/octet-stream\r\nannona-code: session-gone\r\n", b"word")
        }
        _ => response("500 Internal Server Error", "content-type: text/html\r\n", b"<html>"),
    });
    let client = peer.client(peer.key, &Options::default());
    let busy = client.get("/busy").unwrap_err();
    assert!(busy.is_transient() && busy.retry_after() == Some(7));
    let TransportError::Refused(problem) = busy else { panic!("{busy:?}") };
    assert_eq!((problem.code.as_str(), problem.title.as_str()), ("busy", "too many[2J sessions"));
    let gone = client.get("/gone").unwrap_err();
    assert!(!gone.is_transient());
    let TransportError::Signed { status, code, body } = gone else { panic!("{gone:?}") };
    assert_eq!((status, code.as_str(), &body[..]), (409, "session-gone", &b"word"[..]));
    let TransportError::Refused(fault) = client.get("/fault").unwrap_err() else { panic!("refused") };
    assert_eq!(*fault, Problem { status: 500, ..Problem::default() });
    peer.finish();
}

/// No wallet's names reach a resolver or a server but through the proxy.
#[test]
fn a_socks_proxy_is_used_and_resolves_names() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).unwrap();
        // With a user and a password: `capture.rs` looks at them.
        stream.write_all(&[5, 2]).unwrap();
        let mut start = [0; 2];
        stream.read_exact(&mut start).unwrap();
        let mut user = vec![0; usize::from(start[1]) + 1];
        stream.read_exact(&mut user).unwrap();
        let mut password = vec![0; usize::from(*user.last().unwrap())];
        stream.read_exact(&mut password).unwrap();
        stream.write_all(&[1, 0]).unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut name = vec![0; usize::from(head[4])];
        stream.read_exact(&mut name).unwrap();
        (hello, head, String::from_utf8(name).unwrap())
    });
    let server = Server { url: "https://site.invalid:8443".into(), key: Some(PublicKey([1; 32])) };
    let options = Options { socks_proxy: Some(address.to_string()), ..Options::default() };
    let error = Client::new(server, &options).unwrap().get("/").unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    let (hello, head, name) = thread.join().unwrap();
    // Version 5, connect, by name.
    assert_eq!((hello[2], &head[..4], name.as_str()), (2, &[5, 1, 0, 3][..], "site.invalid"));
}

#[test]
fn addresses_that_would_leak_are_refused() {
    let key = Some(PublicKey([1; 32]));
    let proxied = Options { socks_proxy: Some("127.0.0.1:9050".into()), ..Options::default() };
    let check = |url: &str, key, options: &Options| match Client::new(Server { url: url.into(), key }, options) {
        Ok(_) => None,
        Err(TransportError::Address(error)) => Some(error),
        Err(other) => panic!("{other:?}"),
    };
    let plain = Options::default();
    for url in ["http://127.0.0.1:80", "http://localhost:8080/", "http://[::1]:8080", "https://site.example"] {
        assert_eq!(check(url, key, &plain), None, "{url}");
    }
    assert_eq!(check("https://site.example", None, &plain), Some(AddressError::Key));
    for url in ["http://site.example", "http://192.0.2.1", "http://127.0.0.1.example", "http://localhost.example"] {
        assert_eq!(check(url, key, &plain), Some(AddressError::Plain), "{url}");
    }
    assert_eq!(check("http://127.0.0.1:80", key, &proxied), Some(AddressError::Plain));
    for url in [
        "",
        "site.example",
        "ftp://site.example",
        "https://a:b@site.example",
        "https://site.example/path",
        "https://site.example/?q",
    ] {
        assert_eq!(check(url, key, &plain), Some(AddressError::Origin), "{url}");
    }
}
