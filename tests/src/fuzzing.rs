//! The bodies of all fuzz targets: no input panics, and what decodes has no second encoding.
//!
//! A target is named after its message kind in lower case, or after the text or file format that it reads.

use std::{fmt::Write as _, sync::LazyLock};

use annona_node::caseload::{Caseload, Limits};
use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    bucket::{SlotBucket, SlotDirectory},
    credential::Credential,
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse, SessionGone, SessionRequest,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    fixture::Fixture,
    log::{
        leaf::{IssuerLeaf, SiteLeaf},
        note::{Checkpoint, SignedNote, VerifierKey},
        tile::{TilePath, fsck, read_log},
    },
    programme::{Header, KeyEntry, MAX_VOUCHERS, SignedHeader, announcement::Announcement},
    redeem::{BearerVoucher, CollectRequest, RedeemRequest, RedeemResponse, Surrender, VoidRequest},
    registry::kind,
    slip::{OpeningPack, OwedSlip, Quote, Receipt, RefusalSlip, SiteStatement, VoidSlip},
    swap::{SwapContext, SwapRequest, SwapResponse},
    ticket::TicketCode,
    voucher::{SessionOffer, Voucher},
    wire::{DecodeError, Message},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::fields::{Node, tree};

/// What tests do with a kind of message without knowing its type.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// The kind.
    pub kind: u8,
    /// The longest accepted encoding, in bytes.
    pub max_bytes: usize,
    /// Decodes, and encodes the result.
    pub recode: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
    /// Decodes into named fields.
    pub fields: fn(&[u8]) -> Result<Node, DecodeError>,
}

impl Codec {
    const fn of<T: Message>() -> Self {
        Self {
            kind: T::KIND,
            max_bytes: T::MAX_BYTES,
            recode: |bytes| T::decode(bytes).map(|message| message.encode()),
            fields: |bytes| T::decode(bytes).map(|message| tree(&message)),
        }
    }

    /// The kind's name in the registry.
    ///
    /// # Panics
    /// If the registry does not list the kind.
    pub fn name(&self) -> &'static str {
        kind::ALL.iter().find(|(_, number)| *number == self.kind).expect("every kind is registered").0
    }
}

/// Every message type.
pub const CODECS: &[Codec] = &[
    Codec::of::<Header>(),
    Codec::of::<SignedHeader>(),
    Codec::of::<KeyEntry>(),
    Codec::of::<OpeningPack>(),
    Codec::of::<Announcement>(),
    Codec::of::<EnrolRequest>(),
    Codec::of::<EnrolResponse>(),
    Codec::of::<SessionRequest>(),
    Codec::of::<SessionOffer>(),
    Codec::of::<RollOverRequest>(),
    Codec::of::<RollOverResponse>(),
    Codec::of::<DrawRequest>(),
    Codec::of::<DrawResponse>(),
    Codec::of::<AmendRequest>(),
    Codec::of::<AmendResponse>(),
    Codec::of::<SwapRequest>(),
    Codec::of::<SwapResponse>(),
    Codec::of::<SessionGone>(),
    Codec::of::<SlotDirectory>(),
    Codec::of::<SlotBucket>(),
    Codec::of::<Quote>(),
    Codec::of::<RedeemRequest>(),
    Codec::of::<VoidRequest>(),
    Codec::of::<CollectRequest>(),
    Codec::of::<Receipt>(),
    Codec::of::<RefusalSlip>(),
    Codec::of::<OwedSlip>(),
    Codec::of::<VoidSlip>(),
    Codec::of::<BearerVoucher>(),
    Codec::of::<Surrender>(),
    Codec::of::<SiteStatement>(),
    Codec::of::<RedeemResponse>(),
    Codec::of::<IssuerLeaf>(),
    Codec::of::<SiteLeaf>(),
    Codec::of::<Inclusion>(),
    Codec::of::<Omission>(),
    Codec::of::<Credential>(),
    Codec::of::<Voucher>(),
    Codec::of::<EnrolContext>(),
    Codec::of::<RollOverContext>(),
    Codec::of::<DrawContext>(),
    Codec::of::<AmendContext>(),
    Codec::of::<SwapContext>(),
];

/// Says whether an input decodes.
type Body = fn(&[u8]) -> bool;

/// Targets that are not a message kind.
const FORMATS: &[(&str, Body)] = &[
    ("caseload", caseload),
    ("checkpoint", checkpoint),
    ("key_counts", key_counts),
    ("log_files", log_files),
    ("note", note),
    ("ticket_code", ticket_code),
    ("tile_path", tile_path),
    ("verifier_key", verifier_key),
];

/// The names of all targets, messages first.
pub fn targets() -> Vec<String> {
    let messages = CODECS.iter().map(|codec| codec.name().to_lowercase());
    messages.chain(FORMATS.iter().map(|(name, _)| (*name).to_owned())).collect()
}

/// Runs a target on one input, and says whether the input decodes.
///
/// # Panics
/// If there is no such target, and if the input shows a fault.
pub fn run(target: &str, data: &[u8]) -> bool {
    if let Some((_, body)) = FORMATS.iter().find(|(name, _)| *name == target) {
        return body(data);
    }
    let codec = CODECS.iter().find(|codec| codec.name().eq_ignore_ascii_case(target));
    let codec = codec.unwrap_or_else(|| panic!("{target} is no fuzz target"));
    let Ok(encoded) = (codec.recode)(data) else { return false };
    assert!(encoded == data, "{target} has a second encoding");
    true
}

fn note(data: &[u8]) -> bool {
    let Ok(note) = SignedNote::parse(data) else { return false };
    assert_eq!(note.to_string().as_bytes(), data, "a note has a second encoding");
    true
}

/// Text parsers whose result shows as what was parsed.
fn text<T: std::str::FromStr + std::fmt::Display>(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(parsed) = text.parse::<T>() else { return false };
    assert_eq!(parsed.to_string(), text, "a text has a second spelling");
    true
}

fn checkpoint(data: &[u8]) -> bool {
    text::<Checkpoint>(data)
}

fn tile_path(data: &[u8]) -> bool {
    text::<TilePath>(data)
}

fn verifier_key(data: &[u8]) -> bool {
    text::<VerifierKey>(data)
}

/// The first two bytes are the log's size, the rest is what every file contains.
fn log_files(data: &[u8]) -> bool {
    let Some((size, content)) = data.split_first_chunk() else { return false };
    let size = u64::from(u16::from_le_bytes(*size) % 1024);
    let fetch = |_: &str| Some(content.to_vec());
    let faults = fsck(fetch, size, 4);
    match read_log(fetch, size) {
        Ok(contents) => {
            assert!(faults.is_empty());
            assert_eq!(contents.entries.len() as u64, size);
            true
        }
        Err(fault) => {
            assert_eq!(faults.first(), Some(&fault));
            false
        }
    }
}

/// People may spell a code in many ways; the printed way is one.
fn ticket_code(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(code) = TicketCode::parse(text) else { return false };
    let printed = code.to_print();
    let again = TicketCode::parse(&printed).expect("a printed code is a code");
    assert!(again == code && *again.to_print() == *printed, "a code reads back as another");
    true
}

/// A file may be spelled in many ways; one that holds the same households reads back as the same.
fn caseload(data: &[u8]) -> bool {
    let Ok(caseload) = Caseload::parse(data, &Limits::default()) else { return false };
    assert!(!caseload.households().is_empty());
    let written = write_caseload(&caseload);
    let again = Caseload::parse(written.as_bytes(), &Limits::default()).expect("what was read can be read again");
    assert_eq!(write_caseload(&again), written, "a caseload reads back as another");
    true
}

fn write_caseload(caseload: &Caseload) -> String {
    let mut text =
        "case_id,document_no,phone,site,members,under_two,pregnant_or_lactating,months_registered\n".to_owned();
    let quoted = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
    for household in caseload.households() {
        let (identifiers, attributes) = (household.identifiers(), household.attributes());
        writeln!(
            text,
            "{},{},{},{},{},{},0,{}",
            quoted(identifiers.case_id()),
            quoted(identifiers.document_no()),
            quoted(identifiers.phone()),
            quoted(attributes.site.as_str()),
            attributes.members,
            attributes.under_two,
            attributes.months_registered,
        )
        .expect("writing to memory cannot fail");
    }
    text
}

/// A list of keys and counts as a session request brings it, against a manifest.
fn key_counts(data: &[u8]) -> bool {
    static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| Fixture::new(&mut ChaCha20Rng::seed_from_u64(1)));
    let Ok(request) = SessionRequest::decode(data) else { return false };
    let view = FIXTURE.view(1);
    let Ok(units) = view.units(&request.keys) else { return false };
    let count: u64 = request.keys.iter().map(|(_, count)| u64::from(*count)).sum();
    assert!(count <= MAX_VOUCHERS as u64);
    assert!(units.values().all(|units| i128::from(units.0) < view.header.schema.limit()));
    true
}
