//! What a proxy and a server see of two draws of one wallet: nothing that says that they are one wallet's (spec 10.5).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod watched;

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use annona_protocol::signature::PublicKey;
use annona_transport::{AddressError, Client, Options, Server, TransportError, check_proxy};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use watched::{Proxy, exact};

struct Watched {
    proxy: Proxy,
    key: PublicKey,
    requests: mpsc::Receiver<Vec<u8>>,
    server: JoinHandle<()>,
}

fn read_request(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.extend(exact(stream, 1)?);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    exact(stream, length)?;
    Ok(request)
}

/// A server that would tie connections together if it could: it gives out TLS tickets, cookies, and tags of what it serves.
fn watched(connections: usize) -> Watched {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificate = CertificateParams::new(vec!["issuer.invalid".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    assert!(config.send_tls13_tickets > 0);
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel();
    let server = thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            sender.send(read_request(&mut stream).unwrap()).unwrap();
            let headers = "set-cookie: household=7; Max-Age=9999\r\netag: \"seven\"\r\n\
                           last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\ncache-control: max-age=60\r\n\
                           alt-svc: h2=\":443\"\r\nconnection: keep-alive\r\n";
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{headers}\r\nok").unwrap();
            stream.conn.send_close_notify();
            drop(stream.flush());
            drop(stream.sock.shutdown(Shutdown::Write));
        }
    });
    let proxy = Proxy::new(target);
    let key = PublicKey(pair.public_key_raw().try_into().unwrap());
    Watched { proxy, key, requests, server }
}

/// A head without the one line that says how long the message is.
fn head(request: &[u8]) -> Vec<String> {
    let text = String::from_utf8(request.to_vec()).unwrap();
    text.lines().filter(|line| !line.starts_with("content-length: ")).map(str::to_owned).collect()
}

#[test]
fn two_draws_have_nothing_in_common() {
    let watched = watched(6);
    let options = Options { socks_proxy: Some(watched.proxy.address().to_string()), ..Options::default() };
    let server = || Server { url: "https://issuer.invalid:8443".into(), key: Some(watched.key) };
    // Two draws, of different lengths, through one client: session, draw, session, draw. And the announcement before each.
    let client = Client::new(server(), &options).unwrap();
    for length in [3000, 4100] {
        client.get("/v1/announcement").unwrap();
        client.post("/v1/sessions", &vec![1; length / 100]).unwrap();
        client.post("/v1/draw", &vec![2; length]).unwrap();
    }
    watched.server.join().unwrap();
    let seen = watched.proxy.finish();
    let requests: Vec<Vec<u8>> = watched.requests.try_iter().collect();
    assert_eq!((seen.len(), requests.len()), (6, 6), "a connection a request");

    watched::assert_nothing_shared(&seen);
    let names = |kind: u8| seen.iter().all(|one| one.request[3] == kind);
    assert!(names(3), "the proxy resolves the name");

    for at in 0..3 {
        assert_eq!(head(&requests[at]), head(&requests[at + 3]));
    }
    for request in &requests {
        let text = String::from_utf8_lossy(request).to_ascii_lowercase();
        let names: BTreeSet<&str> = text.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
        let usual = ["accept", "content-length", "content-type", "host"];
        assert!(names.iter().all(|name| usual.contains(name)), "{names:?}");
    }
}

#[test]
fn a_proxy_is_host_and_port() {
    for proxy in ["127.0.0.1:9050", "[::1]:9050", "localhost:1"] {
        check_proxy(proxy).unwrap();
    }
    for proxy in ["", "9050", "127.0.0.1", "user@127.0.0.1:9050", "user:word@127.0.0.1:9050", "127.0.0.1:9050/x", "a:b"]
    {
        let refused = check_proxy(proxy);
        assert!(matches!(refused, Err(TransportError::Address(AddressError::Proxy))), "{proxy}: {refused:?}");
    }
}
