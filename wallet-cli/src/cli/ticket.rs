//! A ticket's text, or other secrets from paper: never arguments.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read, Write as _},
};

use annona_protocol::{
    ids::ProgrammeId,
    programme::TicketKind,
    ticket::{TicketCode, TicketSlip},
};
use clap::Args;
use zeroize::Zeroizing;

use super::{Desk, Problem};

/// More than any slip, envelope or list of words has.
const MAX_BYTES: usize = 1024;

/// More than all codes of the longest sheet have.
const MAX_LINES: usize = 64 * 1024;

/// Where a ticket's text comes from.
#[derive(Args)]
pub(super) struct Source {
    /// Reads the ticket's text from this open file descriptor; without it from standard input, or from the terminal.
    #[arg(long, value_name = "N")]
    ticket_fd: Option<u32>,
}

/// A ticket as its paper says it.
pub(super) struct Ticket {
    pub(super) code: TicketCode,
    /// What the square code says besides; nothing if the code was typed.
    pub(super) scanned: Option<Scanned>,
}

pub(super) struct Scanned {
    pub(super) kind: TicketKind,
    pub(super) programme: ProgrammeId,
    pub(super) server: Option<String>,
}

impl Source {
    /// The text of the square code, or the letters and digits below it.
    pub(super) fn read(&self, desk: &Desk) -> Result<Ticket, Problem> {
        let text = secret_text(desk, self.ticket_fd, "ask-ticket").map_err(Problem::TicketUnread)?;
        let text = text.trim();
        if !text.starts_with("ANNONA") {
            return Ok(Ticket { code: TicketCode::parse(text)?, scanned: None });
        }
        let TicketSlip { kind, code, programme, server } = TicketSlip::parse(text)?;
        Ok(Ticket { code, scanned: Some(Scanned { kind, programme, server }) })
    }
}

/// A line from a descriptor, from standard input, or from the terminal, which is asked with a message.
pub(super) fn secret_text(desk: &Desk, descriptor: Option<u32>, question: &str) -> io::Result<Zeroizing<String>> {
    if let Some(descriptor) = descriptor {
        return first_line(File::open(format!("/dev/fd/{descriptor}"))?);
    }
    if io::stdin().is_terminal() {
        write!(io::stderr(), "{} ", desk.say(question, &[]))?;
    }
    first_line(io::stdin().lock())
}

/// All lines of standard input, without those that are empty.
pub(super) fn secret_lines() -> io::Result<Vec<Zeroizing<String>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_LINES));
    io::stdin().lock().take(MAX_LINES as u64).read_to_end(&mut text)?;
    let text = std::str::from_utf8(&text).map_err(io::Error::other)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(|line| Zeroizing::new(line.to_owned())).collect())
}

/// Reads to the first line end, or to the end.
fn first_line(mut input: impl Read) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(vec![0; MAX_BYTES]);
    let mut length = 0;
    while length < line.len() && !line[..length].contains(&b'\n') {
        match input.read(&mut line[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let end = line[..length].iter().position(|byte| *byte == b'\n').unwrap_or(length);
    let text = std::str::from_utf8(&line[..end]).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.to_owned()))
}
