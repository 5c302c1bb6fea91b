//! A SOCKS5 proxy that records what it sees of each connection, and what must not tie two connections together.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests share it, and each uses a part"
)]

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// The proxy: it carries one connection after the other to one server, whatever name it is asked for.
pub struct Proxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Proxy {
    pub fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            loop {
                let (stream, from) = listener.accept().unwrap();
                if stopped.load(Ordering::SeqCst) {
                    return seen;
                }
                seen.push(carry(stream, from, target).unwrap());
            }
        });
        Self { address, stop, thread }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw, connection by connection.
    pub fn finish(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap()
    }
}

/// Connections of one program have no more in common than those of two.
pub fn assert_nothing_shared(seen: &[Seen]) {
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
    for one in seen {
        for kind in [SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA, COOKIE] {
            assert!(one.hello.extension(kind).is_none(), "extension {kind}");
        }
        assert_eq!(one.hello.kinds(), seen[0].hello.kinds());
        // All but the key share, and the name which is the server's, stand there as a program's version has them.
        for (kind, content) in &one.hello.extensions {
            let constant = *kind == KEY_SHARE || seen[0].hello.extension(*kind) == Some(content);
            assert!(constant, "extension {kind}");
        }
    }
}

/// What the proxy saw of a connection.
pub struct Seen {
    /// What it offered: a greeting with the methods of authentication.
    pub methods: Vec<u8>,
    pub user: Vec<u8>,
    pub password: Vec<u8>,
    /// The connect request: command, name, port.
    pub request: Vec<u8>,
    pub from: SocketAddr,
    pub hello: Hello,
}

/// A ClientHello (RFC 8446, 4.1.2).
pub struct Hello {
    pub random: Vec<u8>,
    pub session: Vec<u8>,
    pub extensions: Vec<(u16, Vec<u8>)>,
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

const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const COOKIE: u16 = 44;
const KEY_SHARE: u16 = 51;

pub fn exact(stream: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
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
    // A name and its length, or an address of four bytes, one of which is read; and the port.
    let length = if request[3] == 3 { usize::from(request[4]) } else { 3 };
    request.extend(exact(&mut client, length + 2)?);
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
