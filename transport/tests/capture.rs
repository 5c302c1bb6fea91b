//! What a proxy and a server see of two draws of one wallet: nothing that says that they are one wallet's (spec 10.5).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
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

/// What the proxy saw of a connection.
struct Seen {
    /// What it offered: a greeting with the methods of authentication.
    methods: Vec<u8>,
    user: Vec<u8>,
    password: Vec<u8>,
    /// The connect request: command, name, port.
    request: Vec<u8>,
    from: SocketAddr,
    hello: Hello,
}

/// A ClientHello (RFC 8446, 4.1.2).
struct Hello {
    random: Vec<u8>,
    session: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    fn parse(record: &[u8]) -> Self {
        // Handshake record; ClientHello; version.
        assert_eq!((record[0], record[5]), (22, 1));
        let mut rest = &record[11..];
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at(length);
            rest = tail;
            head.to_vec()
        };
        let number = |bytes: Vec<u8>| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        let random = take(32);
        let length = number(take(1));
        let session = take(length);
        let length = number(take(2));
        let _suites = take(length);
        let length = number(take(1));
        let _compression = take(length);
        let mut left = number(take(2));
        let mut extensions = Vec::new();
        while left > 0 {
            let (kind, length) = (number(take(2)), number(take(2)));
            extensions.push((u16::try_from(kind).unwrap(), take(length)));
            left -= 4 + length;
        }
        Self { random, session, extensions }
    }

    fn extension(&self, kind: u16) -> Option<&[u8]> {
        self.extensions.iter().find(|(known, _)| *known == kind).map(|(_, content)| content.as_slice())
    }

    fn kinds(&self) -> BTreeSet<u16> {
        self.extensions.iter().map(|(kind, _)| *kind).collect()
    }
}

const SERVER_NAME: u16 = 0;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const COOKIE: u16 = 44;
const KEY_SHARE: u16 = 51;

fn exact(stream: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A SOCKS5 proxy (RFC 1928, 1929) that records one connection and leads it to a server, whatever name it asks for.
fn carry(mut client: TcpStream, from: SocketAddr, target: SocketAddr) -> io::Result<Seen> {
    let head = exact(&mut client, 2)?;
    let methods = exact(&mut client, head[1].into())?;
    client.write_all(&[5, 2])?;
    let length = exact(&mut client, 2)?[1];
    let user = exact(&mut client, length.into())?;
    let length = exact(&mut client, 1)?[0];
    let password = exact(&mut client, length.into())?;
    client.write_all(&[1, 0])?;
    let mut request = exact(&mut client, 5)?;
    let length = request[4];
    request.extend(exact(&mut client, usize::from(length) + 2)?);
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])?;
    let mut record = exact(&mut client, 5)?;
    let length = u16::from_be_bytes([record[3], record[4]]);
    record.extend(exact(&mut client, length.into())?);
    let hello = Hello::parse(&record);

    let mut server = TcpStream::connect(target)?;
    server.write_all(&record)?;
    let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
    let back = thread::spawn(move || {
        drop(io::copy(&mut down, &mut up));
        drop(up.shutdown(Shutdown::Write));
    });
    drop(io::copy(&mut client, &mut server));
    drop(server.shutdown(Shutdown::Write));
    back.join().unwrap();
    Ok(Seen { methods, user, password, request, from, hello })
}

struct Watched {
    proxy: SocketAddr,
    key: PublicKey,
    requests: mpsc::Receiver<Vec<u8>>,
    server: JoinHandle<()>,
    watcher: JoinHandle<Vec<Seen>>,
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let watcher = thread::spawn(move || {
        let connection = |_| {
            let (stream, from) = listener.accept().unwrap();
            carry(stream, from, target).unwrap()
        };
        (0..connections).map(connection).collect()
    });
    let key = PublicKey(pair.public_key_raw().try_into().unwrap());
    Watched { proxy, key, requests, server, watcher }
}

/// A head without the one line that says how long the message is.
fn head(request: &[u8]) -> Vec<String> {
    let text = String::from_utf8(request.to_vec()).unwrap();
    text.lines().filter(|line| !line.starts_with("content-length: ")).map(str::to_owned).collect()
}

#[test]
fn two_draws_have_nothing_in_common() {
    let watched = watched(6);
    let options = Options { socks_proxy: Some(watched.proxy.to_string()), ..Options::default() };
    let server = || Server { url: "https://issuer.invalid:8443".into(), key: Some(watched.key) };
    // Two draws, of different lengths, through one client: session, draw, session, draw. And the announcement before each.
    let client = Client::new(server(), &options).unwrap();
    for length in [3000, 4100] {
        client.get("/v1/announcement").unwrap();
        client.post("/v1/sessions", &vec![1; length / 100]).unwrap();
        client.post("/v1/draw", &vec![2; length]).unwrap();
    }
    watched.server.join().unwrap();
    let seen = watched.watcher.join().unwrap();
    let requests: Vec<Vec<u8>> = watched.requests.try_iter().collect();
    assert_eq!((seen.len(), requests.len()), (6, 6), "a connection a request");

    let distinct = |values: Vec<Vec<u8>>| {
        assert!(values.iter().all(|value| !value.is_empty()));
        values.iter().collect::<BTreeSet<_>>().len() == values.len()
    };
    assert!(distinct(seen.iter().map(|one| one.user.clone()).collect()));
    assert!(distinct(seen.iter().map(|one| one.password.clone()).collect()));
    assert!(seen.iter().all(|one| one.methods == [2]), "never a connection without a password");
    assert!(seen.iter().all(|one| one.request == seen[0].request && one.user.len() == seen[0].user.len()));
    assert!(distinct(seen.iter().map(|one| one.from.port().to_be_bytes().to_vec()).collect()));

    assert!(distinct(seen.iter().map(|one| one.hello.random.clone()).collect()));
    assert!(distinct(seen.iter().map(|one| one.hello.session.clone()).collect()), "random, and no session's");
    assert!(distinct(seen.iter().map(|one| one.hello.extension(KEY_SHARE).unwrap().to_vec()).collect()));
    for one in &seen {
        for kind in [SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA, COOKIE] {
            assert!(one.hello.extension(kind).is_none(), "extension {kind}");
        }
        assert_eq!(one.hello.kinds(), seen[0].hello.kinds());
        // All but the key share, and the name which is the server's, stand there as a program's version has them.
        for (kind, content) in &one.hello.extensions {
            let constant = *kind == KEY_SHARE || seen[0].hello.extension(*kind) == Some(content);
            assert!(constant, "extension {kind}");
        }
        assert!(one.hello.extension(SERVER_NAME).is_some());
    }

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
