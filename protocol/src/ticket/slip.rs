//! What the QR code of a paper ticket says: the code, what it is for, and which programme it belongs to (spec 4.1).
//!
//! ```text
//! ANNONA1/E/9X4C0TQA3ZK7VE2M/<52 characters: programme id>/HTTPS://AID.EXAMPLE.ORG:8443
//! ```
//!
//! Five parts behind slashes: format and version; the kind (`E` enrol, `A` amend, `S` split); the ticket code, 16
//! characters; the programme id, 52 characters; and, if the slip names a server, its origin. Code and id are written in
//! Crockford's base 32, five bits a character, most significant first; the last character of an id holds one bit of it and
//! four zero bits. Everything is in the alphabet of QR codes' alphanumeric mode (but an IPv6 address's brackets), so the
//! code stays small. There is exactly one text for a slip, and [`TicketSlip::parse`] accepts no other.
//!
//! The programme id is the hash of the genesis: a wallet that scans its ticket takes its first manifest from nobody's word.

use std::net::{Ipv4Addr, Ipv6Addr};

use zeroize::{Zeroize, Zeroizing};

use super::TicketCode;
use crate::{ids::ProgrammeId, programme::TicketKind};

/// What the QR code of a ticket says. The code in it is a bearer secret.
#[derive(Debug, PartialEq, Eq)]
pub struct TicketSlip {
    /// What the ticket is for.
    pub kind: TicketKind,
    /// Its code.
    pub code: TicketCode,
    /// The programme.
    pub programme: ProgrammeId,
    /// The issuer's origin, in lower case, such as `https://aid.example.org:8443`: `https` with a host and perhaps a port, or
    /// `http` on this machine's own address. No path.
    pub server: Option<String>,
}

/// Why a text is no ticket slip, or a slip has no text. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketSlipError {
    /// Not the text of any slip.
    #[error("this is not the code of an Annona ticket: scan the square code on the ticket")]
    NotASlip,
    /// A slip of a later version.
    #[error("this ticket is of a newer kind than this program reads: update the program")]
    Version,
    /// A part of the text is missing, too long, or has characters that it cannot have.
    #[error("the ticket's code is damaged: scan it again, or type the letters and digits printed below it")]
    Damaged,
    /// The server is not an origin.
    #[error(
        "the server is not an address such as https://aid.example.org or https://aid.example.org:8443: give it without a path"
    )]
    Server,
}

impl TicketSlipError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotASlip => "ticket_slip_foreign",
            Self::Version => "ticket_slip_version",
            Self::Damaged => "ticket_slip_damaged",
            Self::Server => "ticket_slip_server",
        }
    }
}

impl TicketSlip {
    /// The most bytes of a text.
    pub const MAX_BYTES: usize = 96 + Self::MAX_SERVER_BYTES;
    /// The most bytes of a server's origin.
    pub const MAX_SERVER_BYTES: usize = 160;

    /// The text for the QR code.
    ///
    /// # Errors
    /// [`TicketSlipError::Server`].
    pub fn to_qr(&self) -> Result<Zeroizing<String>, TicketSlipError> {
        let mut text = Zeroizing::new(String::with_capacity(Self::MAX_BYTES));
        text.push_str(PREFIX);
        text.push_str(VERSION);
        text.push('/');
        text.push(kind_letter(self.kind));
        text.push('/');
        encode(self.code.expose(), &mut text);
        text.push('/');
        encode(&self.programme.0, &mut text);
        if let Some(server) = &self.server {
            encode_origin(server, &mut text).map_err(|()| TicketSlipError::Server)?;
        }
        Ok(text)
    }

    /// Reads the text of a QR code: exactly what [`TicketSlip::to_qr`] writes.
    ///
    /// # Errors
    /// [`TicketSlipError`].
    pub fn parse(text: &str) -> Result<Self, TicketSlipError> {
        let rest = text.strip_prefix(PREFIX).ok_or(TicketSlipError::NotASlip)?;
        let (version, rest) = rest.split_once('/').ok_or(TicketSlipError::NotASlip)?;
        if version != VERSION {
            let is_number = (1..=4).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if is_number { TicketSlipError::Version } else { TicketSlipError::NotASlip });
        }
        if text.len() > Self::MAX_BYTES {
            return Err(TicketSlipError::Damaged);
        }
        let mut parts = rest.splitn(4, '/');
        let kind = parts.next().and_then(kind_of).ok_or(TicketSlipError::Damaged)?;
        let mut code = decode::<{ TicketCode::BYTES }>(parts.next()).ok_or(TicketSlipError::Damaged)?;
        let programme = ProgrammeId(decode(parts.next()).ok_or(TicketSlipError::Damaged)?);
        let server = parts.next().map(decode_origin).transpose().map_err(|()| TicketSlipError::Server)?;
        let slip = Self { kind, code: TicketCode::from_bytes(code), programme, server };
        code.zeroize();
        Ok(slip)
    }
}

const PREFIX: &str = "ANNONA";
const VERSION: &str = "1";

const KINDS: [TicketKind; 3] = [TicketKind::Enrol, TicketKind::Amend, TicketKind::Split];

fn kind_letter(kind: TicketKind) -> char {
    match kind {
        TicketKind::Enrol => 'E',
        TicketKind::Amend => 'A',
        TicketKind::Split => 'S',
    }
}

fn kind_of(text: &str) -> Option<TicketKind> {
    KINDS.into_iter().find(|kind| text.chars().eq([kind_letter(*kind)]))
}

/// The data characters of ticket codes.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Five bits a character, zero bits behind the last.
pub(crate) fn encode(bytes: &[u8], text: &mut String) {
    let bits = bytes.len() * 8;
    for first in (0..bits).step_by(5) {
        let value = (first..first + 5).fold(0, |value, bit| value << 1 | bit_at(bytes, bit));
        text.push(char::from(ALPHABET[usize::from(value)]));
    }
}

fn bit_at(bytes: &[u8], bit: usize) -> u8 {
    bytes.get(bit / 8).map_or(0, |byte| byte >> (7 - bit % 8) & 1)
}

/// Exactly `N` bytes, upper case only, the bits behind the last byte zero.
pub(crate) fn decode<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    let text = text?.as_bytes();
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, character) in text.iter().enumerate() {
        let value = ALPHABET.iter().position(|symbol| symbol == character)?;
        for place in 0..5 {
            let (bit, set) = (at * 5 + place, value >> (4 - place) & 1 == 1);
            match bytes.get_mut(bit / 8) {
                Some(byte) if set => *byte |= 1 << (7 - bit % 8),
                None if set => return None,
                _ => {}
            }
        }
    }
    Some(bytes)
}

/// A slash and the origin in upper case.
pub(crate) fn encode_origin(server: &str, text: &mut String) -> Result<(), ()> {
    if !is_origin(server) {
        return Err(());
    }
    text.push('/');
    text.extend(server.chars().map(|character| character.to_ascii_uppercase()));
    Ok(())
}

/// What [`encode_origin`] wrote behind the slash.
pub(crate) fn decode_origin(upper: &str) -> Result<String, ()> {
    let server = upper.to_ascii_lowercase();
    let is_upper = server.to_ascii_uppercase() == upper;
    if is_upper && is_origin(&server) { Ok(server) } else { Err(()) }
}

/// `https://host[:port]`, or `http://` with a loopback host. Lower case, no default port, no trailing slash.
fn is_origin(text: &str) -> bool {
    if text.len() > TicketSlip::MAX_SERVER_BYTES {
        return false;
    }
    let (authority, plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(authority), _) => (authority, false),
        (None, Some(authority)) => (authority, true),
        (None, None) => return false,
    };
    let (host, port) = match authority.rfind(':') {
        // A colon inside an IPv6 address is not a port's.
        Some(at) if !authority.ends_with(']') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    };
    let default_port = if plain { "80" } else { "443" };
    let port_fits = port.is_none_or(|port| {
        port != default_port
            && !port.starts_with('0')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    });
    port_fits && if plain { is_loopback(host) } else { is_host(host) }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets, each as it is usually written.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == inner);
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let is_numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.split('.').all(label) && (!is_numeric || host.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slip(server: Option<&str>) -> TicketSlip {
        TicketSlip {
            kind: TicketKind::Enrol,
            code: TicketCode::parse("9X4C-0TQA-3ZK7-VE2M-7").unwrap(),
            programme: ProgrammeId([0xa5; 32]),
            server: server.map(str::to_owned),
        }
    }

    /// A frozen example: the text must not change while the version is 1.
    #[test]
    fn texts_are_pinned() {
        let id = "MPJTB9D5MPJTB9D5MPJTB9D5MPJTB9D5MPJTB9D5MPJTB9D5MPJG";
        assert_eq!(*slip(None).to_qr().unwrap(), format!("ANNONA1/E/9X4C0TQA3ZK7VE2M/{id}"));
        let text = slip(Some("https://aid.example.org:8443")).to_qr().unwrap();
        assert_eq!(*text, format!("ANNONA1/E/9X4C0TQA3ZK7VE2M/{id}/HTTPS://AID.EXAMPLE.ORG:8443"));
        for (kind, letter) in KINDS.into_iter().zip(['E', 'A', 'S']) {
            let text = TicketSlip { kind, ..slip(None) }.to_qr().unwrap();
            assert_eq!(text.chars().nth(8), Some(letter));
        }
    }

    /// The alphanumeric mode of QR codes: 5.5 bits a character in place of 8.
    #[test]
    fn texts_fit_the_alphanumeric_mode() {
        let text = slip(Some("https://aid-1.example.org:8443")).to_qr().unwrap();
        assert!(text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase() || " $%*+-./:".contains(c)));
    }

    #[test]
    fn servers_are_origins() {
        for server in [
            "https://aid.example.org",
            "https://aid.example.org:8443",
            "https://10.0.0.7",
            "https://[2001:db8::1]:8443",
            "https://[2001:db8::1]",
            "https://abcdefghij234567.onion",
            "http://127.0.0.1:7000",
            "http://localhost:7000",
            "http://[::1]:7000",
        ] {
            let text = slip(Some(server)).to_qr().unwrap();
            assert_eq!(TicketSlip::parse(&text), Ok(slip(Some(server))), "{server}");
        }
        for server in [
            "",
            "https://",
            "https://:8443",
            "https://aid.example.org/",
            "https://aid.example.org/path",
            "https://aid.example.org:443",
            "https://aid.example.org:0443",
            "https://aid.example.org:0",
            "https://aid.example.org:65536",
            "https://aid.example.org:",
            "https://AID.example.org",
            "https://user@aid.example.org",
            "https://aid..example.org",
            "https://-aid.example.org",
            "https://1.2.3",
            "https://1.2.3.400",
            "https://[2001:DB8::1]",
            "https://[2001:0db8::1]",
            "https://[::1",
            "https://aid.example.org?x=1",
            "https://aid example.org",
            "https://aid.exa\u{0440}mple.org",
            "https://aid.example.org\n",
            "http://aid.example.org",
            "http://127.0.0.1:80",
            "ftp://aid.example.org",
            "aid.example.org",
        ] {
            assert_eq!(slip(Some(server)).to_qr().unwrap_err(), TicketSlipError::Server, "{server}");
            let base = slip(None).to_qr().unwrap();
            let text = format!("{}/{}", *base, server.to_ascii_uppercase());
            // A lower-case host is no other origin, so its upper-case text reads as the canonical one.
            if server.to_ascii_lowercase() == server {
                assert_eq!(TicketSlip::parse(&text), Err(TicketSlipError::Server), "{server}");
            }
        }
        let long = format!("https://{}.example.org", vec!["a"; 80].join("."));
        assert_eq!(slip(Some(&long)).to_qr().unwrap_err(), TicketSlipError::Server);
    }

    /// No slip has a second text: every text that is one character off is refused or is another slip.
    #[test]
    fn every_change_is_noticed() {
        let text = slip(Some("https://aid.example.org:8443")).to_qr().unwrap();
        for at in 0..text.len() {
            assert_ne!(TicketSlip::parse(&text[..at]).ok(), Some(slip(Some("https://aid.example.org:8443"))));
            for other in ['0', '1', 'A', 'I', 'L', 'O', 'U', 'a', '/', ' ', '\0', '~'] {
                let changed: String =
                    text.char_indices().map(|(place, c)| if place == at { other } else { c }).collect();
                if let Ok(read) = TicketSlip::parse(&changed) {
                    assert_eq!(*read.to_qr().unwrap(), changed);
                    assert_eq!(read == slip(Some("https://aid.example.org:8443")), changed == *text);
                }
            }
        }
        for (text, error) in [
            ("", TicketSlipError::NotASlip),
            ("https://example.org", TicketSlipError::NotASlip),
            ("ANNONA", TicketSlipError::NotASlip),
            ("ANNONA1", TicketSlipError::NotASlip),
            ("ANNONAX/E", TicketSlipError::NotASlip),
            ("ANNONA2/anything", TicketSlipError::Version),
            ("ANNONA01/E", TicketSlipError::Version),
            ("annona1/e", TicketSlipError::NotASlip),
            ("ANNONA1/", TicketSlipError::Damaged),
            ("ANNONA1/E", TicketSlipError::Damaged),
            ("ANNONA1/EE/", TicketSlipError::Damaged),
        ] {
            assert_eq!(TicketSlip::parse(text), Err(error), "{text}");
        }
        // The bits behind an id are zero; white space is no part of a text.
        let bare = slip(None).to_qr().unwrap();
        assert_eq!(TicketSlip::parse(&format!("{}H", &bare[..bare.len() - 1])), Err(TicketSlipError::Damaged));
        assert!(
            TicketSlip::parse(&format!(" {}", *bare)).is_err() && TicketSlip::parse(&format!("{}\n", *bare)).is_err()
        );
    }

    #[test]
    fn a_slip_keeps_its_code_from_debug_output() {
        assert!(!format!("{:?}", slip(None)).contains("9X4C"));
    }

    proptest! {
        #[test]
        fn every_slip_reads_back(code: [u8; 10], programme: [u8; 32], kind in 0usize..3, port in 1024u16..) {
            let slip = || TicketSlip {
                kind: KINDS[kind],
                code: TicketCode::from_bytes(code),
                programme: ProgrammeId(programme),
                server: Some(format!("https://aid.example.org:{port}")),
            };
            prop_assert_eq!(TicketSlip::parse(&slip().to_qr().unwrap()), Ok(slip()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(ANNONA1/)?[EAS]?/?[0-9A-Z/:.\\[\\]]{0,120}|.{0,40}") {
            if let Ok(slip) = TicketSlip::parse(&text) {
                prop_assert_eq!(&*slip.to_qr().unwrap(), &text);
            }
        }
    }
}
