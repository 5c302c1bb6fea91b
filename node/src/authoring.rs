//! Makes a programme: from a TOML file that an agency writes, to manifest versions and their voucher keys.
//!
//! [`Draft::parse`] reads the file, [`Draft::genesis`] and [`Draft::next`] make versions of it; [`SAMPLE`] is such a file, a
//! general food ration near 2,100 kcal a person a day with soap, a blend for infants, and cash. [`genesis`] makes that
//! programme for a caseload, for the demo and tests.

mod draft;
mod file;
mod forms;
mod problem;
mod reader;
mod source;
#[cfg(test)]
mod tests;
mod versions;

use annona_protocol::{
    group::Point,
    ids::{KeyIndex, LineId, LotId, Round, SiteId, Slot},
    log::merkle,
    programme::{Header, KeyEntry, KeyId, Label, LogKey, OfficerSignature, SignedHeader, Site},
    registry::tag,
    signature::{self, PublicKey},
    voucher::RoundMaster,
};
pub use draft::{Draft, MAX_FILE_BYTES};
use ed25519_dalek::SigningKey;
pub use forms::{FormProblem, write_condition, write_sum};
pub use problem::{DraftError, DraftProblem};
use rand_core::CryptoRng;

use crate::caseload::{Limits, SiteName};

/// The lot of the caseload's tickets.
pub const LOT: LotId = LotId(1);
/// Monthly rounds of the programme.
pub const ROUNDS: u32 = 12;

/// The food-and-cash programme as an agency would write it.
pub const SAMPLE: &str = include_str!("../samples/food-and-cash.toml");

/// The keys that author and run a programme. Redacted in `Debug`, and wiped on drop by the key type.
#[derive(Debug)]
pub struct Officers(Vec<SigningKey>);

/// A fresh Ed25519 key.
pub fn signing_key<R: CryptoRng + ?Sized>(rng: &mut R) -> SigningKey {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    SigningKey::from_bytes(&seed)
}

impl Officers {
    /// `count` officers.
    pub fn generate<R: CryptoRng + ?Sized>(count: u8, rng: &mut R) -> Self {
        Self((0..count).map(|_| signing_key(rng)).collect())
    }

    fn public(&self) -> Vec<PublicKey> {
        self.0.iter().map(PublicKey::of).collect()
    }

    /// The signatures of the first `threshold` officers.
    pub fn sign(&self, tag: &'static str, message: &[u8], threshold: u8) -> Vec<OfficerSignature> {
        (0u8..)
            .zip(&self.0)
            .take(usize::from(threshold))
            .map(|(officer, key)| OfficerSignature { officer, signature: signature::sign(tag, message, key) })
            .collect()
    }

    /// Signs a header.
    pub fn sign_header(&self, header: Header) -> SignedHeader {
        let signatures = self.sign(tag::MANIFEST, &header.hash().0, header.threshold);
        SignedHeader { header, signatures }
    }
}

/// What the genesis names beside the programme itself.
#[derive(Debug)]
pub struct Parties<'a> {
    /// `W`.
    pub issuer_key: Point,
    /// The issuer's log key.
    pub issuer_log: PublicKey,
    /// Who signs; two of them must.
    pub officers: &'a Officers,
    /// Who cosigns checkpoints; one of them must.
    pub witness: LogKey,
    /// Sites in the order of their ids, with their log keys.
    pub sites: &'a [(SiteName, PublicKey)],
}

/// The origin of the issuer's log.
pub const ISSUER_LOG: &str = "annona.example/food-and-cash/issuer";

/// The origin of a site's log.
pub fn site_log(site: SiteId) -> String {
    format!("annona.example/food-and-cash/site-{site}")
}

/// The genesis of the food-and-cash programme: no keys, and its hash is the programme's id.
///
/// The programme is [`SAMPLE`]'s, with the parties' keys and sites and the caseload's limits in place of the example's.
pub fn genesis(parties: &Parties<'_>, limits: &Limits) -> Header {
    let draft = Draft::parse(SAMPLE, "food-and-cash.toml").expect("the sample is tested");
    let mut header = draft.genesis(parties.issuer_key, parties.issuer_log).expect("the sample is tested");
    let maxima = [limits.members_max, limits.under_two_max];
    for (attribute, max) in header.schema.attributes.iter_mut().zip(maxima) {
        attribute.max = max.into();
    }
    header.officers = parties.officers.public();
    header.witnesses = vec![parties.witness.clone()];
    header.sites = (1u16..)
        .zip(parties.sites)
        .map(|(id, (name, key))| Site {
            id: SiteId(id),
            name: name.as_str().into(),
            slots: 0,
            logs: vec![LogKey { name: site_log(SiteId(id)), key: *key }],
            labels: vec![Label { language: "und".into(), text: name.as_str().into() }],
        })
        .collect();
    header
}

/// Every key that a round can have: each line and value at each slot of each site, ascending by site and slot.
pub fn key_ids(header: &Header, round: Round) -> Vec<KeyId> {
    let mut ids = Vec::new();
    for site in &header.sites {
        let slots: Vec<Option<Slot>> = match site.slots {
            0 => vec![None],
            slots => (0..slots).map(|slot| Some(Slot(slot))).collect(),
        };
        for slot in slots {
            for line in &header.lines {
                let of_value = |value: &u32| KeyId { line: line.id, value: *value, round, site: Some(site.id), slot };
                ids.extend(line.values.iter().map(of_value));
            }
        }
    }
    ids
}

/// The keys of a round: [`key_ids`] with their public points, or nothing if one is degenerate.
pub fn round_keys(header: &Header, master: &RoundMaster, round: Round) -> Option<Vec<KeyEntry>> {
    key_ids(header, round).into_iter().map(|id| master.derive(id).map(|secret| *secret.entry())).collect()
}

/// The version after `previous` that adds keys to the list and changes nothing else.
pub fn with_keys(previous: &Header, old: &[KeyEntry], added: &[KeyEntry]) -> Header {
    let next = Header {
        version: previous.version + 1,
        previous: previous.hash(),
        programme: previous.programme_id(),
        ..previous.clone()
    };
    add_keys(next, old, added)
}

/// A version that [`Draft::next`] made, with keys added to the list `old`.
pub fn add_keys(next: Header, old: &[KeyEntry], added: &[KeyEntry]) -> Header {
    let leaves: Vec<_> = old.iter().chain(added).map(KeyEntry::leaf).collect();
    Header {
        key_count: u32::try_from(leaves.len()).expect("a key list is far below 2^32 entries"),
        key_root: merkle::root(&leaves),
        ..next
    }
}

/// The positions of a line's keys for a round and site.
pub fn keys_of(keys: &[KeyEntry], line: LineId, round: Round, site: SiteId) -> Vec<KeyIndex> {
    (0u32..)
        .zip(keys)
        .filter(|(_, entry)| (entry.id.line, entry.id.round, entry.id.site) == (line, round, Some(site)))
        .map(|(at, _)| KeyIndex(at))
        .collect()
}
