//! Requests as anybody may send them, byte by byte: our own client sends only good ones.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than any limit of a server under test.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MESSAGE: (&str, &str) = ("content-type", "application/octet-stream");
pub const JSON: (&str, &str) = ("content-type", "application/json");

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> String {
        match self.header("annona-code") {
            Some(code) => code.to_owned(),
            None => self.json()["code"].as_str().unwrap().to_owned(),
        }
    }

    pub fn retry_after(&self) -> u32 {
        self.header("retry-after").expect("says when to come back").parse().unwrap()
    }
}

pub fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The head of a request.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: test.invalid\r\n{lines}\r\n")
}

/// Sends a request on a connection of its own.
pub fn send(server: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let length = body.len().to_string();
    let mut all = vec![("connection", "close"), ("content-length", &length)];
    all.extend(headers);
    let mut stream = connect(server);
    stream.write_all(&[head(method, path, &all).as_bytes(), body].concat()).unwrap();
    read(&mut stream).unwrap()
}

pub fn get(server: SocketAddr, path: &str) -> Reply {
    send(server, "GET", path, &[], &[])
}

/// One whole answer.
pub fn read(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut reply = Reply { status, head, body: bytes[end + 4..].to_vec() };
            let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
            while reply.body.len() < length {
                let read = stream.read(&mut chunk)?;
                assert!(read > 0, "an answer was cut");
                reply.body.extend_from_slice(&chunk[..read]);
            }
            return Ok(reply);
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}
