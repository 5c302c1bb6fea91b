//! A witness that believes everything: C2SP add-checkpoint without its checks of consistency.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use annona_protocol::log::{
    VerifierKey,
    note::{cosign, verify_checkpoint},
};
use ed25519_dalek::SigningKey;

/// Its name in the sample programme.
pub const NAME: &str = "witness.example";

pub struct Witness {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    pub fn new(key: SigningKey, logs: Vec<VerifierKey>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A log that is refused says so in its test.
                drop(connection.and_then(|connection| answer(connection, &key, &logs)));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// What `[publish] witnesses` names.
    pub fn setting(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(NAME.to_owned(), format!("http://{}", self.address))])
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn answer(mut stream: TcpStream, key: &SigningKey, logs: &[VerifierKey]) -> io::Result<()> {
    let request = String::from_utf8(super::proxy::read_message(&mut stream)?).unwrap();
    let line = request.split_once("\r\n\r\n").and_then(|(_, body)| {
        let (_, note) = body.split_once("\n\n")?;
        let log = logs.iter().find(|log| note.starts_with(&format!("{}\n", log.name())))?;
        let verified = verify_checkpoint(note.as_bytes(), log, &[], 0).ok()?;
        Some(cosign(key, NAME, 1_900_000_000, &verified).unwrap().to_string())
    });
    let (status, body) =
        line.map_or(("404 Not Found", String::new()), |line| ("200 OK", format!("{}\n", line.trim_end())));
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
