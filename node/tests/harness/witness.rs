//! A witness on loopback (C2SP tlog-witness): it remembers what it cosigned, and cosigns nothing that contradicts it.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use annona_protocol::log::{
    TreeHash, VerifierKey,
    merkle::{self, verify_consistency},
    note::{cosign, verify_checkpoint},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;

use super::proxy::read_message;

pub const NAME: &str = "witness.example";

pub struct Witness {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    key: SigningKey,
    logs: Vec<VerifierKey>,
    seen: Mutex<BTreeMap<String, (u64, TreeHash)>>,
    stop: AtomicBool,
}

impl Witness {
    pub fn new(key: SigningKey, logs: Vec<VerifierKey>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { key, logs, seen: Mutex::default(), stop: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if of_thread.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let shared = Arc::clone(&of_thread);
                // A server that was killed meanwhile does not read its answer.
                std::thread::spawn(move || drop(shared.serve(connection)));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What `[publish] witnesses` names.
    pub fn setting(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(NAME.to_owned(), self.url())])
    }

    /// The largest size that it cosigned of a log.
    pub fn size(&self, origin: &str) -> u64 {
        self.shared.seen.lock().unwrap().get(origin).map_or(0, |(size, _)| *size)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_secs(30)))?;
        let request = String::from_utf8(read_message(&mut client)?).unwrap();
        let (status, body) = self.answer(request.split_once("\r\n\r\n").unwrap().1);
        let head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        client.write_all((head + &body).as_bytes())
    }

    fn answer(&self, body: &str) -> (u16, String) {
        let (head, note) = body.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<TreeHash> =
            lines.map(|line| TreeHash(STANDARD.decode(line).unwrap().try_into().unwrap())).collect();
        let origin = note.lines().next().unwrap().to_owned();
        let Some(log) = self.logs.iter().find(|log| log.name() == origin) else { return (404, String::new()) };
        let Ok(verified) = verify_checkpoint(note.as_bytes(), log, &[], 0) else { return (403, String::new()) };
        let (size, root) = (verified.checkpoint().size(), verified.checkpoint().root());
        let mut seen = self.seen.lock().unwrap();
        let (known, before) = seen.get(&origin).copied().unwrap_or((0, merkle::root(&[])));
        if old > size {
            return (400, String::new());
        }
        if old != known || (size == known && root != before) {
            return (409, format!("{known}\n"));
        }
        if verify_consistency(old, &before, size, &root, &proof).is_err() {
            return (422, String::new());
        }
        seen.insert(origin, (size, root));
        (200, format!("{}\n", cosign(&self.key, NAME, 0, &verified).unwrap()))
    }
}
