//! What stands between a wallet and a server: it sees each request and each answer, and does with them as a test says.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::harness::proxy::read_message;

/// A request with the way to its answer.
pub(crate) struct Exchange<'a> {
    /// Its method and path.
    pub(crate) line: String,
    /// All its bytes.
    pub(crate) request: Vec<u8>,
    pub(crate) wallet: &'a mut TcpStream,
    /// Whom it goes to.
    pub(crate) server: SocketAddr,
}

impl Exchange<'_> {
    /// Sends so many bytes of the request, and gives the answer if that was all.
    pub(crate) fn forward(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(self.server)?;
        server.write_all(&self.request[..bytes])?;
        if bytes < self.request.len() { Ok(Vec::new()) } else { read_message(&mut server) }
    }

    /// The answer to the request as it is.
    pub(crate) fn answer(&self) -> io::Result<Vec<u8>> {
        self.forward(self.request.len())
    }

    /// The answer with another body, which the test makes of the true one.
    pub(crate) fn answer_with(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
        let answer = self.answer()?;
        let at = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)? + 4;
        let (head, body) = answer.split_at(at);
        let head = String::from_utf8_lossy(head).into_owned();
        let body = if head.starts_with("HTTP/1.1 200") { change(body.to_vec()) } else { body.to_vec() };
        let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
        let head: String = lines.map(|line| format!("{line}\r\n")).collect();
        self.wallet.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())?;
        self.wallet.write_all(&body)
    }

    pub(crate) fn body(&self) -> &[u8] {
        let at = self.request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        &self.request[at..]
    }
}

/// A server's address for wallets.
pub(crate) struct Between {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Between {
    /// One request after the other goes through `act`. Its errors are connections that end, as a wallet that was killed causes.
    pub(crate) fn new(
        server: SocketAddr,
        mut act: impl FnMut(Exchange<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if of_thread.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut wallet) = connection else { continue };
                let Ok(request) = read_message(&mut wallet) else { continue };
                let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                let line = line.trim_end_matches(" HTTP/1.1").to_owned();
                drop(act(Exchange { line, request, wallet: &mut wallet, server }));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
