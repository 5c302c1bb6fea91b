//! Makes a programme of a caseload: lines, sites, lots, officers' signatures.
//!
//! One programme so far, a general food ration near 2,100 kcal a person a day with soap, a blend for infants, and cash.

use annona_protocol::{
    group::Point,
    ids::{KeyIndex, LineId, LotId, ManifestHash, ProgrammeId, Round, SiteId},
    log::merkle,
    programme::{
        Attribute, Carry, Form, Header, KeyEntry, KeyId, Label, Line, LogKey, LotTerms, OfficerSignature, Policy,
        Schema, SignedHeader, Since, Site, Start, TicketKind, Worth,
    },
    registry::tag,
    signature::{self, PublicKey},
    voucher::RoundMaster,
};
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;

use crate::caseload::{Limits, SiteName};

/// The lot of the caseload's tickets.
pub const LOT: LotId = LotId(1);
/// The round before the first: where regular credentials start.
const BEFORE: Round = Round(0);
/// Monthly rounds of the programme.
pub const ROUNDS: u32 = 12;

/// Voucher values of cash, and of items.
const CASH_VALUES: [u32; 6] = [1, 2, 5, 10, 20, 50];
const ITEM_VALUES: [u32; 4] = [1, 2, 4, 8];

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

fn label(language: &str, text: &str) -> Label {
    Label { language: language.into(), text: text.into() }
}

fn since_start<T>(value: T) -> Vec<Since<T>> {
    vec![Since { round: Round(1), value }]
}

fn worth(items: &[(&str, u64, &str)]) -> Vec<Since<Vec<Worth>>> {
    let worth = |(item, amount, measure): &(&str, u64, &str)| Worth {
        item: (*item).into(),
        amount: *amount,
        measure: (*measure).into(),
    };
    since_start(items.iter().map(worth).collect())
}

const MEMBERS: u8 = 0;
const UNDER_TWO: u8 = 1;

fn lines() -> Vec<Line> {
    let members = |by| Form { constant: 0, terms: vec![(MEMBERS, by)] };
    let under_two = Form { constant: 0, terms: vec![(UNDER_TWO, 1)] };
    let at_least_one = Form { constant: -1, terms: vec![(UNDER_TWO, 1)] };
    vec![
        Line {
            id: LineId(1),
            name: "food".into(),
            carry: Carry::Lapse,
            state: 0,
            accrual: since_start(members(1)),
            predicates: Vec::new(),
            values: ITEM_VALUES.to_vec(),
            unit: "person-ration".into(),
            worth: worth(&[("cereals", 12_000, "g"), ("pulses", 1_800, "g"), ("oil", 900, "g"), ("salt", 150, "g")]),
            labels: vec![
                label("en", "food ration"),
                label("fr", "ration alimentaire"),
                label("ar", "حصة غذائية"),
                label("uk", "продуктовий набір"),
            ],
            pictogram: "food".into(),
        },
        Line {
            id: LineId(2),
            name: "soap".into(),
            carry: Carry::Lapse,
            state: 1,
            accrual: since_start(members(1)),
            predicates: Vec::new(),
            values: ITEM_VALUES.to_vec(),
            unit: "person-share".into(),
            worth: worth(&[("soap", 450, "g")]),
            labels: vec![label("en", "soap"), label("fr", "savon"), label("ar", "صابون"), label("uk", "мило")],
            pictogram: "soap".into(),
        },
        Line {
            id: LineId(3),
            name: "infant".into(),
            carry: Carry::Lapse,
            state: 2,
            accrual: since_start(under_two),
            predicates: since_start(vec![at_least_one]),
            values: ITEM_VALUES.to_vec(),
            unit: "child-ration".into(),
            worth: worth(&[("fortified blend", 3_000, "g")]),
            labels: vec![
                label("en", "infant food"),
                label("fr", "aliment pour nourrissons"),
                label("ar", "غذاء الرضع"),
                label("uk", "дитяче харчування"),
            ],
            pictogram: "infant".into(),
        },
        Line {
            id: LineId(4),
            name: "cash".into(),
            carry: Carry::Carry,
            state: 3,
            accrual: since_start(Form { constant: 10, terms: vec![(MEMBERS, 6)] }),
            predicates: Vec::new(),
            values: CASH_VALUES.to_vec(),
            unit: "unit of currency".into(),
            worth: worth(&[("currency", 100, "hundredths")]),
            labels: vec![label("en", "cash"), label("fr", "argent"), label("ar", "نقد"), label("uk", "готівка")],
            pictogram: "cash".into(),
        },
    ]
}

/// The genesis of the food-and-cash programme: no keys, and its hash is the programme's id.
pub fn genesis(parties: &Parties<'_>, limits: &Limits) -> Header {
    let sites = (1u16..)
        .zip(parties.sites)
        .map(|(id, (name, key))| Site {
            id: SiteId(id),
            name: name.as_str().into(),
            slots: 0,
            logs: vec![LogKey { name: site_log(SiteId(id)), key: *key }],
            labels: vec![label("und", name.as_str())],
        })
        .collect();
    Header {
        version: 0,
        previous: ManifestHash::default(),
        programme: ProgrammeId::default(),
        agency: "Example Relief".into(),
        name: "Food and cash".into(),
        schema: Schema {
            width: 16,
            lapse: 3,
            carry: 1,
            spares: 2,
            attributes: vec![
                Attribute { name: "members".into(), min: 1, max: limits.members_max.into() },
                Attribute { name: "under-two".into(), min: 0, max: limits.under_two_max.into() },
            ],
        },
        issuer_key: parties.issuer_key,
        issuer_log: LogKey { name: ISSUER_LOG.into(), key: parties.issuer_log },
        officers: parties.officers.public(),
        threshold: 2,
        witnesses: vec![parties.witness.clone()],
        witness_threshold: 1,
        policy: Policy { first_round: Round(1), advance: 0, cohort_min: 50 },
        last_round: Round(ROUNDS),
        lines: lines(),
        sites,
        lots: vec![LotTerms { id: LOT, kind: TicketKind::Enrol, start: Start { drawn: BEFORE, balances: Vec::new() } }],
        key_count: 0,
        key_root: merkle::empty_root(),
    }
}

/// The keys of a round: every line and value at every site.
pub fn round_keys(header: &Header, master: &RoundMaster, round: Round) -> Option<Vec<KeyEntry>> {
    let mut keys = Vec::new();
    for site in &header.sites {
        for line in &header.lines {
            for value in &line.values {
                let id = KeyId { line: line.id, value: *value, round, site: Some(site.id), slot: None };
                keys.push(*master.derive(id)?.entry());
            }
        }
    }
    Some(keys)
}

/// The version after `previous` that adds keys to the list.
pub fn with_keys(previous: &Header, old: &[KeyEntry], added: &[KeyEntry]) -> Header {
    let leaves: Vec<_> = old.iter().chain(added).map(KeyEntry::leaf).collect();
    Header {
        version: previous.version + 1,
        previous: previous.hash(),
        programme: previous.programme_id(),
        key_count: u32::try_from(leaves.len()).expect("a key list is far below 2^32 entries"),
        key_root: merkle::root(&leaves),
        ..previous.clone()
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
