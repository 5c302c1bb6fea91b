//! `annona-node site desk`: a counter that households reach by squares on screens, and the running server behind it.
//!
//! The bytes are those of the HTTP interface. What the server answers is durable before it is here, so nothing that is shown can
//! be lost; scanned again, a visit gets its answer again. The desk keeps nothing.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    thread,
    time::Duration,
};

use annona_bearer::{
    Backdrop,
    screen::{Heard, Scanner, Squares},
};
use annona_node::random;
use annona_protocol::{
    ids::{Digest, LineId, Units},
    redeem::{Outcome, RedeemResponse},
    registry::kind,
    signature::PublicKey,
    slip::{Quote, RefusalSlip},
    wire::Message as _,
};
use annona_transport::{Client, Options, Server, TransportError};
use annona_vault::{PassphraseSource, Questions, passphrase_by, write_same};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use rand_core::Rng as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{public_key, say, say_json};

/// Holds a distributor's token.
const TOKEN_VARIABLE: &str = "ANNONA_OPERATOR_TOKEN";
/// How often a message is sent that had no answer.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Shows a fresh quote: a household's telephone scans it first.
    Quote {
        #[command(flatten)]
        server: Running,
        /// The counter's number; 0 where there is one.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        counter: u32,
        #[command(flatten)]
        screen: Screen,
    },
    /// Takes a visit, or a collection of what is owed: reads the squares of a household's telephone from standard input, a text a
    /// line, and shows the site's answer, receipts or a signed refusal, for the telephone to scan.
    Visit {
        #[command(flatten)]
        server: Running,
        #[command(flatten)]
        screen: Screen,
    },
    /// The officer's tap: the goods of a visit go out now, once.
    HandOver {
        /// The visit, as `visit` said it: 64 hexadecimal digits.
        #[arg(value_parser = visit, value_name = "VISIT")]
        visit: Digest,
        /// The counter's number; 0 where there is one.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        counter: u32,
        #[command(flatten)]
        server: Running,
        /// Reads the distributor's token from this open file descriptor; without it from ANNONA_OPERATOR_TOKEN, or from the
        /// terminal.
        #[arg(long, value_name = "N")]
        token_fd: Option<u32>,
    },
}

/// The site's server.
#[derive(Args)]
pub(super) struct Running {
    /// The address of the site's running server, such as http://127.0.0.1:8441.
    #[arg(long, value_name = "URL")]
    running: String,
    /// The key of the site's log, 64 hexadecimal digits; not needed on this machine.
    #[arg(long, value_parser = public_key, value_name = "HEX")]
    server_key: Option<PublicKey>,
}

/// How squares are shown.
#[derive(Args)]
pub(super) struct Screen {
    /// Writes the squares as PNG files into this folder, in place of the terminal.
    #[arg(long, value_name = "FOLDER")]
    png: Option<PathBuf>,
    /// The terminal has dark text on a light ground.
    #[arg(long, conflicts_with = "png")]
    light: bool,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Quote { server, counter, screen } => {
            let answer = patiently(|| server.client()?.post(&format!("/v1/quote?counter={counter}"), &[]))?;
            let place =
                Quote::decode(&answer).context("the server's quote does not decode. Check the address")?.content.place;
            screen.show(&answer, json!({ "site": place.site.0, "round": place.round.0 }), &[])
        }
        Command::Visit { server, screen } => take_visit(server, screen),
        Command::HandOver { visit, counter, server, token_fd } => {
            let source = PassphraseSource::choose_from(*token_fd, TOKEN_VARIABLE);
            let token = passphrase_by(source, Questions { first: "The distributor's token: ", again: "" })?;
            // Named, so that a tap whose answer was lost is the same tap.
            let mut tap = [0; 16];
            random::os().fill_bytes(&mut tap);
            let (visit, tap) = (hex::encode(visit.0), hex::encode(tap));
            let path = format!("/operator/handed-over/{visit}?counter={counter}&tap={tap}");
            patiently(|| server.client().map(|client| client.with_token(token.expose()))?.post(&path, &[]))?;
            say("written down: hand out the goods")
        }
    }
}

fn take_visit(server: &Running, screen: &Screen) -> anyhow::Result<()> {
    let (request, path) = scanned()?;
    match patiently(|| server.client()?.post(path, &request)) {
        Ok(answer) => {
            let response =
                RedeemResponse::decode(&answer).context("the server's answer does not decode. Check the address")?;
            let (value, lines) = outcome(&response);
            screen.show(&answer, value, &lines)
        }
        Err(TransportError::Signed { body, .. }) => {
            let code = RefusalSlip::decode(&body)
                .context("the server's refusal does not decode. Check the address")?
                .content
                .code;
            let line = format!("REFUSED: {}. Hand out nothing, and show the household why:", code.code());
            screen.show(&body, json!({ "outcome": "refused", "reason": code.code() }), &[line])
        }
        Err(error) => Err(error.into()),
    }
}

/// What an officer does now.
fn outcome(response: &RedeemResponse) -> (Value, Vec<String>) {
    let (name, told) = match response.outcome {
        Outcome::Accepted => ("accepted", "accepted"),
        Outcome::AlreadyAccepted => ("accepted-before", "accepted before, and not handed over yet"),
        Outcome::AlreadyHandedOver => ("handed-over", "HANDED OVER BEFORE: hand out nothing"),
        Outcome::AcceptedAtCounter => ("other-counter", "ANOTHER COUNTER'S: hand out nothing"),
    };
    let visit = hex::encode(response.visit.0);
    let mut lines = vec![format!("{told}; the household's code is {}", &visit[..8])];
    lines.extend(response.units.iter().map(|(line, units)| format!("to hand out: {units} units of line {line}")));
    if !response.units.is_empty() {
        lines.push(format!("before the goods go out: annona-node site desk hand-over {visit}"));
    }
    let owed = response.owed.as_ref().map(|slip| slip.content.lines.clone()).unwrap_or_default();
    let value = json!({ "outcome": name, "visit": visit, "units": amounts(&response.units), "owed": amounts(&owed) });
    (value, lines)
}

fn amounts(list: &[(LineId, Units)]) -> Value {
    list.iter().map(|(line, units)| json!({ "line": line.0, "units": units.0 })).collect()
}

/// The message of a household's telephone, and where it goes. What else is scanned is named, and the next square may do.
fn scanned() -> anyhow::Result<(Zeroizing<Vec<u8>>, &'static str)> {
    let mut scanner = Scanner::new(io::stdin().lock());
    let mut last = None;
    loop {
        let wrong = match scanner.hear().context("cannot read standard input")? {
            Heard::Message(message) => match goes_to(&message) {
                Ok(path) => return Ok((message, path)),
                Err(wrong) => wrong.to_owned(),
            },
            Heard::Part { have, of } => {
                remark(format!("{have} of {of}"))?;
                continue;
            }
            Heard::Unusable(error) => error.to_string(),
            Heard::End => break,
        };
        remark(&wrong)?;
        last = Some(wrong);
    }
    let missing: Vec<String> = scanner.missing().iter().map(usize::to_string).collect();
    match last {
        _ if !missing.is_empty() => anyhow::bail!("squares are missing: {}. Scan them too", missing.join(", ")),
        Some(wrong) => anyhow::bail!(wrong),
        None => anyhow::bail!("nothing was scanned. Scan the squares of the household's telephone"),
    }
}

/// The path that takes a message, by its kind. The server checks what it says.
fn goes_to(message: &[u8]) -> Result<&'static str, &'static str> {
    match message.get(1) {
        Some(&kind::REDEEM_REQUEST) => Ok("/v1/redeem"),
        Some(&kind::COLLECT_REQUEST) => Ok("/v1/collect"),
        Some(&kind::QUOTE) => Err("these are the squares of a site's quote. Scan those of the household's telephone"),
        Some(&(kind::REDEEM_RESPONSE | kind::REFUSAL)) => {
            Err("these are the squares of a site's answer. Scan those of the household's telephone")
        }
        _ => Err("these are not the squares of a visit. Scan those of the household's telephone"),
    }
}

fn remark(line: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stderr(), "{line}").context("cannot write to standard error")
}

/// Asks again while nothing is decided: the same bytes get the same answer.
fn patiently(ask: impl Fn() -> Result<Vec<u8>, TransportError>) -> Result<Vec<u8>, TransportError> {
    let mut tries = 1;
    loop {
        match ask() {
            Err(error) if error.is_transient() && tries < TRIES => {
                thread::sleep(PAUSE);
                tries += 1;
            }
            done => return done,
        }
    }
}

impl Running {
    fn client(&self) -> Result<Client, TransportError> {
        let server = Server { url: self.running.clone(), key: self.server_key };
        Client::new(server, &Options::default())
    }
}

impl Screen {
    /// Shows a message behind what is told of it.
    fn show(&self, message: &[u8], mut value: Value, lines: &[String]) -> anyhow::Result<()> {
        let squares = Squares::of(message)?;
        let mut files = Vec::new();
        if let Some(folder) = &self.png {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}. Check the folder", folder.display()))?;
            for (name, image) in squares.images() {
                let file = folder.join(name);
                write_same(&file, &image)?;
                files.push(file.display().to_string());
            }
        }
        if self.json {
            value["squares"] = squares.texts().collect();
            value["files"] = files.into();
            return say_json(&value);
        }
        lines.iter().try_for_each(say)?;
        files.iter().try_for_each(say)?;
        if self.png.is_some() {
            return Ok(());
        }
        let backdrop = if self.light { Backdrop::Light } else { Backdrop::Dark };
        let symbols = squares.terminal(backdrop);
        let of = symbols.len();
        symbols.enumerate().try_for_each(|(at, symbol)| say(format!("{}square {} of {of}", *symbol, at + 1)))
    }
}

fn visit(text: &str) -> Result<Digest, &'static str> {
    let mut visit = [0; 32];
    hex::decode_to_slice(text, &mut visit).map_err(|_| "a visit has 64 hexadecimal digits; `desk visit` says it")?;
    Ok(Digest(visit))
}
