//! A programme set up on disk as an office does it, for tests that run the real program.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests share it, and each uses a part"
)]

pub mod http;
pub mod process;
pub mod proxy;
pub mod running;
pub mod witness;

use std::{
    fs,
    path::{Path, PathBuf},
};

use annona_node::{
    authoring::{Draft, SAMPLE},
    home::{IssuerHome, SiteHome},
    keys::Passphrase,
    officers::{OfficerKey, Proposal},
    random::os as rng,
    service::issuer::{Grant, LotPlan},
    tickets::{PreparedLot, TicketRow},
};
use annona_protocol::{
    ids::{LotId, ProgrammeId, Round, SiteId},
    log::note::{KeyType, VerifierKey},
    programme::Header,
    ticket::TicketCode,
};
use ed25519_dalek::SigningKey;

pub const PASSPHRASE: &str = "correct horse battery staple";
/// Fast enough for tests.
pub const QUICK: u8 = 2;

pub fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE.into())
}

/// What a test wants.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub tickets: usize,
    pub rounds: u32,
    /// How many rounds may be open at once, less one.
    pub advance: u32,
}

/// A programme with three sites, its rounds prepared and the first one open; nothing runs yet.
pub struct Prepared {
    pub folder: tempfile::TempDir,
    pub issuer: IssuerHome,
    pub sites: Vec<SiteHome>,
    pub site_keys: Vec<SigningKey>,
    pub witness: SigningKey,
    pub officers: Vec<OfficerKey>,
    pub id: ProgrammeId,
    pub codes: Vec<TicketCode>,
}

pub fn sign(mut proposal: Proposal, officers: &[OfficerKey], before: Option<&Header>) -> Proposal {
    for officer in &officers[..2] {
        proposal.sign(officer, before).unwrap();
    }
    proposal
}

/// The sample programme with the keys of this test.
fn authored(plan: Plan, sites: &[SigningKey], witness: &SigningKey, officers: &[OfficerKey]) -> String {
    let mut text = SAMPLE.replace("advance = 0", &format!("advance = {}", plan.advance));
    for (at, key) in (1..).zip(sites) {
        let start = text.find(&format!("annona.example/food-and-cash/site-{at}+")).unwrap();
        let end = start + text[start..].find('"').unwrap();
        let name = format!("annona.example/food-and-cash/site-{at}");
        let vkey = VerifierKey::new(&name, KeyType::Log, key.verifying_key()).unwrap();
        text.replace_range(start..end, &vkey.to_string());
    }
    let start = text.find("witness.example+").unwrap();
    let end = start + text[start..].find('"').unwrap();
    let vkey = VerifierKey::new("witness.example", KeyType::Witness, witness.verifying_key()).unwrap();
    text.replace_range(start..end, &vkey.to_string());
    let start = text.find("keys = [\n").unwrap();
    text.truncate(start);
    let keys: Vec<String> = officers.iter().map(|key| format!("\"{}\"", hex::encode(key.public().0))).collect();
    text + &format!("keys = [{}]\n", keys.join(", "))
}

pub fn prepare(plan: Plan) -> Prepared {
    prepare_where(plan, |text| text)
}

/// The same with another programme's file.
pub fn prepare_where(plan: Plan, change: impl FnOnce(String) -> String) -> Prepared {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let officers: Vec<OfficerKey> = (0..3).map(|_| OfficerKey::generate(&mut rng())).collect();
    let sites: Vec<SiteHome> = (1..=3).map(|at| SiteHome::new(&path(&format!("site-{at}")))).collect();
    let site_keys: Vec<SigningKey> = sites.iter().map(|site| site.make_key(&passphrase(), QUICK).unwrap()).collect();
    let witness = annona_node::authoring::signing_key(&mut rng());
    let text = change(authored(plan, &site_keys, &witness, &officers));
    let draft = Draft::parse(&text, "programme.toml").unwrap();

    let issuer = IssuerHome::new(&path("issuer"));
    let genesis = issuer.init(&draft, &passphrase(), QUICK).unwrap();
    let id = issuer.begin(sign(genesis, &officers, None), &passphrase()).unwrap();
    let service = issuer.open(&passphrase(), None).unwrap();
    let header = service.with_programme(|programme| programme.latest().clone());
    let terms = header.lot(LotId(1)).unwrap();
    let row = |at: usize| TicketRow { expires: Round(12), attributes: vec![1 + at as u64 % 8, at as u64 % 2] };
    let rows = (0..plan.tickets).map(row).collect();
    let lot = PreparedLot::new(id, &header.schema, terms, rows, &mut rng()).unwrap();
    let planned = LotPlan { lot: lot.lot(), count: lot.count(), root: lot.root() };
    let grants = lot.grants().map(|grant| Grant { grant, after: None });
    service.import_lot(&planned, grants, &mut rng()).unwrap();
    IssuerHome::approve(&service, sign(lot.proposal(), &officers, Some(&header))).unwrap();
    for round in 1..=plan.rounds {
        let before = service.with_programme(|programme| programme.latest().clone());
        let proposal = issuer.prepare_round(&service, Round(round), None, &passphrase(), QUICK).unwrap();
        IssuerHome::approve(&service, sign(proposal, &officers, Some(&before))).unwrap();
    }
    issuer.open_round(&service, Round(1), &passphrase()).unwrap();
    let codes = lot.codes().iter().map(|code| TicketCode::from_bytes(*code.expose())).collect();
    drop(service);
    Prepared { folder, issuer, sites, site_keys, witness, officers, id, codes }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub fn site_id(at: usize) -> SiteId {
    SiteId(u16::try_from(at).unwrap() + 1)
}
