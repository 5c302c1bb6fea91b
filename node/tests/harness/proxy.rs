//! A way to a server that goes wrong: it loses requests, loses answers, delivers twice at once, delays. Every connection carries
//! one request, as our clients open them.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// How often what happens, in a thousand requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lose_request: u32,
    pub lose_answer: u32,
    pub twice: u32,
    pub delay: u32,
}

impl Faults {
    pub const NONE: Self = Self { lose_request: 0, lose_answer: 0, twice: 0, delay: 0 };
    pub const MANY: Self = Self { lose_request: 80, lose_answer: 120, twice: 150, delay: 100 };
}

/// How often each happened.
#[derive(Debug, Default)]
pub struct Counts {
    pub requests: AtomicU64,
    pub lost_requests: AtomicU64,
    pub lost_answers: AtomicU64,
    pub twice: AtomicU64,
}

/// A proxy with an address of its own, whatever happens to the server behind it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    faults: Mutex<Faults>,
    rng: Mutex<ChaCha20Rng>,
    stop: AtomicBool,
    counts: Counts,
}

impl Proxy {
    pub fn new(seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            faults: Mutex::new(Faults::NONE),
            rng: Mutex::new(ChaCha20Rng::seed_from_u64(seed)),
            stop: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if of_thread.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let shared = Arc::clone(&of_thread);
                // Errors are what the proxy is for: the client sees a connection that ends.
                std::thread::spawn(move || drop(shared.carry(connection)));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn point_to(&self, target: Option<SocketAddr>) {
        *self.shared.target.lock().unwrap() = target;
    }

    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap() = faults;
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_secs(30)))?;
        let request = read_message(&mut client)?;
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let faults = *self.faults.lock().unwrap();
        let mut roll = {
            let mut rng = self.rng.lock().unwrap();
            [rng.next_u32() % 1000, rng.next_u32() % 40]
        };
        let mut happens = |rate: u32| {
            let due = roll[0] < rate;
            roll[0] = roll[0].wrapping_sub(rate);
            due
        };
        if happens(faults.lose_request) {
            self.counts.lost_requests.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if happens(faults.lose_answer) {
            self.counts.lost_answers.fetch_add(1, Ordering::Relaxed);
            return self.forward(&request).map(drop);
        }
        if happens(faults.twice) {
            self.counts.twice.fetch_add(1, Ordering::Relaxed);
            let (first, second) = std::thread::scope(|scope| {
                let second = scope.spawn(|| self.forward(&request));
                (self.forward(&request), second.join().unwrap())
            });
            // Whichever came back: both have to say the same.
            return client.write_all(&first.or(second)?);
        }
        if happens(faults.delay) {
            std::thread::sleep(Duration::from_millis(roll[1].into()));
        }
        client.write_all(&self.forward(&request)?)
    }

    fn forward(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let target = self.target.lock().unwrap().ok_or(io::ErrorKind::ConnectionRefused)?;
        let mut server = TcpStream::connect(target)?;
        server.set_read_timeout(Some(Duration::from_secs(30)))?;
        server.write_all(request)?;
        let answer = read_message(&mut server)?;
        server.shutdown(Shutdown::Both).ok();
        Ok(answer)
    }
}

/// One HTTP message with a content length, or none.
pub fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            let length = content_length(&bytes[..head]);
            if bytes.len() >= head + 4 + length {
                return Ok(bytes);
            }
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0)
}
