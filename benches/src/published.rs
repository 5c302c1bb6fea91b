//! Large published folders that are true in every respect, for the audit to be measured on.
//!
//! Four sites, four rounds, four lapse lines of fifteen units a household and round. Every household enrols, and rolls over
//! and draws in each round; every voucher is redeemed once, at the site it is bound to. All of it comes from the wallet's,
//! the issuer's and the counter's real code, with fixed seeds, and is streamed to disk.

use std::{
    collections::BTreeMap,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::keys_to_bytes,
    cohort::CohortSum,
    credential::{Credential, IssuerKey},
    draw::{DrawContext, RoundKeys, SessionRequest},
    enrol::{EnrolContext, IssuedEnrol, TicketGrant},
    fixture::{self, Fixture, LOT},
    ids::{KeyIndex, LineId, LotId, ProgrammeId, Round, SiteId, Units},
    log::{
        leaf::{
            CloseLeaf, DrawLeaf, FreezeLeaf, IssuerLeaf, Leaf, LotLeaf, OpenLeaf, ShowRecord, SiteLeaf, VoucherLeaf,
            close_batch,
        },
        merkle,
    },
    programme::{
        Form, InForce, KeyCounts, KeyEntry, KeyId, Line, LogKey, LotTerms, OfficerSignature, Programme, Since, Site,
        TicketKind,
    },
    registry::tag,
    signature::{self, PublicKey},
    slip::{PackTerms, Place, Signed, StatementTerms},
    ticket::{TicketCode, TicketUse},
    voucher::{PreparedKey, RoundMaster},
    wire::Message,
};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use rayon::prelude::*;

use self::log::{LogWriter, write};
use crate::world::{EXPIRES, rng, slots};

pub mod log;

/// Rounds, and draws of each household.
pub const ROUNDS: u32 = 4;
/// Sites.
pub const SITES: u16 = 4;
const LINES: u16 = 4;
/// Units of each line that a household gets in a round: as many as it has members.
const MEMBERS: u64 = 15;
/// The most vouchers of a draw: all of one unit.
pub const MOST: u64 = LINES as u64 * MEMBERS;
/// Tickets of a lot.
const LOT_SIZE: u64 = 1000;
/// Events of a batch, and households that are served in one go.
const BATCH: usize = 20_000;
const GO: usize = 256;
const WITNESS: &str = "witness.example";

/// How much is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Draws, in all rounds together; each round has a quarter.
    pub draws: u64,
    /// Vouchers, drawn and redeemed.
    pub vouchers: u64,
}

/// Why a size cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// Rounds would differ.
    #[error("{ROUNDS} rounds cannot share the draws: give a multiple of {ROUNDS}, 8 at least")]
    Draws,
    /// Draws would differ, or exceed what a household gets.
    #[error("a draw has 4 to {MOST} vouchers, and all draws the same number: give a multiple of the draws")]
    Vouchers,
}

impl Size {
    /// Households that draw in each round.
    fn households(self) -> u64 {
        self.draws / u64::from(ROUNDS)
    }

    fn each(self) -> u64 {
        self.vouchers / self.draws
    }

    /// Whether the size can be made.
    ///
    /// # Errors
    /// [`SizeError`].
    pub fn check(self) -> Result<Self, SizeError> {
        if !self.draws.is_multiple_of(ROUNDS.into()) || self.draws < 8 {
            return Err(SizeError::Draws);
        }
        let fits = self.vouchers.is_multiple_of(self.draws) && (LINES.into()..=MOST).contains(&self.each());
        if fits { Ok(self) } else { Err(SizeError::Vouchers) }
    }
}

/// A folder that was generated.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The published files.
    pub published: PathBuf,
    /// The programme's id.
    pub programme: ProgrammeId,
    /// Whether it was there already.
    pub cached: bool,
}

/// The folder of a size below `cache`: generated, unless it is there with the same parameters and from the same code.
///
/// # Errors
/// Those of the disk, and [`SizeError`].
pub fn folder(cache: &Path, size: Size, progress: &mut dyn FnMut(u64)) -> Result<Folder, Box<dyn Error>> {
    size.check()?;
    let home = cache.join(format!("draws-{}-vouchers-{}", size.draws, size.vouchers));
    let (published, stamp) = (home.join("published"), home.join("stamp"));
    let programme = fixture().programme.id();
    let wanted = format!("draws {} vouchers {} code {}\n", size.draws, size.vouchers, code(cache, size)?);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(Folder { published, programme, cached: true });
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    generate(&published, size, progress)?;
    // Last, so that a folder that was left half done is made anew.
    write(&stamp, wanted.as_bytes())?;
    Ok(Folder { published, programme, cached: false })
}

/// The version of the code, as far as published files show it: the roots of a small folder with the same seeds.
fn code(cache: &Path, size: Size) -> Result<String, Box<dyn Error>> {
    let small = Size { draws: 8, vouchers: 8 * size.each() };
    fs::create_dir_all(cache)?;
    let folder = tempfile::tempdir_in(cache)?;
    let root = generate(folder.path(), small, &mut |_| {})?;
    Ok(root.0.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a published folder, and says how many draws are done. Gives the root of the issuer's log and of the first site's.
fn generate(folder: &Path, size: Size, progress: &mut dyn FnMut(u64)) -> Result<merkle::TreeHash, Box<dyn Error>> {
    let fixture = fixture();
    let mut writer = Writer::new(folder, &fixture, size)?;
    writer.enrol()?;
    for round in 1..=ROUNDS {
        writer.round(round, progress)?;
    }
    Ok(writer.finish()?)
}

fn fixture() -> Fixture {
    let rng = &mut rng(4242);
    let issuer = IssuerKey::generate(rng);
    let [issuer_log, witness] = [fixture::signing_key(rng), fixture::signing_key(rng)];
    let site_logs: Vec<_> = (0..SITES).map(|_| fixture::signing_key(rng)).collect();
    let officers: Vec<_> = (0..3).map(|_| fixture::signing_key(rng)).collect();
    let masters: Vec<RoundMaster> = (0..ROUNDS).map(|_| RoundMaster::generate(rng)).collect();
    let mut genesis = fixture::genesis(issuer.public(), &issuer_log, &site_logs, &officers, &witness);
    genesis.schema.lapse = LINES as u8;
    genesis.schema.carry = 0;
    let line = genesis.lines[0].clone();
    genesis.lines = (1..=LINES)
        .map(|at| Line {
            id: LineId(at),
            name: format!("line-{at}"),
            state: at as u8 - 1,
            accrual: vec![Since { round: Round(1), value: Form { constant: 0, terms: vec![(0, 1)] } }],
            values: vec![1, 2, 4, 8],
            ..line.clone()
        })
        .collect();
    genesis.sites = (1..)
        .zip(&site_logs)
        .map(|(at, key)| Site {
            id: SiteId(at),
            name: format!("site-{at}"),
            slots: 0,
            logs: vec![LogKey { name: format!("annona.example/site/{at}"), key: PublicKey::of(key) }],
            labels: Vec::new(),
        })
        .collect();
    // As many lots as the largest folder needs.
    let lot = genesis.lots.iter().find(|lot| lot.id == LOT).expect("a lot of the fixture").clone();
    genesis.lots = (1..=100).map(|id| LotTerms { id: LotId(id), ..lot.clone() }).collect();
    let keys: Vec<KeyEntry> =
        (1..).zip(&masters).flat_map(|(round, master)| round_keys(&genesis, master, Round(round))).collect();
    let next = fixture::next_version(&genesis, &keys);
    let chain = vec![fixture::sign_header(genesis, &officers), fixture::sign_header(next, &officers)];
    let mut programme = Programme::new(&chain, keys).expect("the programme is valid");
    let hash = chain[1].header.hash();
    for round in 1..=ROUNDS {
        programme.open_round(Round(round), hash).expect("planned");
    }
    Fixture { programme, chain, issuer, masters, officers, issuer_log, site_logs, witness }
}

fn round_keys(header: &annona_protocol::programme::Header, master: &RoundMaster, round: Round) -> Vec<KeyEntry> {
    let mut keys = Vec::new();
    for site in &header.sites {
        for line in &header.lines {
            for value in &line.values {
                let id = KeyId { line: line.id, value: *value, round, site: Some(site.id), slot: None };
                keys.push(*master.derive(id).expect("not zero").entry());
            }
        }
    }
    keys
}

/// A household between rounds.
struct Household {
    number: u64,
    credential: Credential,
}

/// What a household does in a round.
struct Visit {
    roll_over: ShowRecord,
    draw: DrawLeaf,
    vouchers: Vec<VoucherLeaf>,
}

/// What serves a round.
struct Serving<'a> {
    fixture: &'a Fixture,
    round: u32,
    view: InForce<'a>,
    secrets: RoundKeys,
    prepared: BTreeMap<KeyIndex, PreparedKey>,
    /// The key list of a draw at each site.
    lists: Vec<KeyCounts>,
}

impl<'a> Serving<'a> {
    fn new(fixture: &'a Fixture, round: u32, each: u64) -> Self {
        let view = fixture.view(round);
        let listed = (0u32..).zip(fixture.programme.keys()).filter(|(_, entry)| entry.id.round == Round(round));
        let prepared = listed.map(|(at, entry)| (KeyIndex(at), PreparedKey::new(entry))).collect();
        let lists = (1..=SITES).map(|site| key_list(fixture, round, SiteId(site), each)).collect();
        Self { fixture, round, view, secrets: fixture.secrets(round), prepared, lists }
    }

    fn serve(&self, household: &mut Household) -> Visit {
        let Self { fixture, round, view, .. } = self;
        let rng = &mut household_rng(household.number, *round);
        let (credential, roll_over) = fixture.roll_over(*round, &household.credential, rng);
        let keys = &self.lists[site_of(household.number)];
        let request = SessionRequest { round: Round(*round), keys: keys.clone() };
        let session = self.secrets.open(view, &request, rng).expect("listed keys");
        let (context, request) =
            DrawContext::new(view, &credential, keys.clone(), session.offer(), slots(rng), rng).expect("granted");
        let verified = request.verify(view, &fixture.issuer, Some(&session), rng).expect("honest");
        let (response, draw) = verified.answer(&fixture.issuer, Some(session), rng).expect("not degenerate");
        let (credential, vouchers) = context.finish(view, &response, rng).expect("honest");
        household.credential = credential;
        let vouchers = vouchers
            .iter()
            .map(|voucher| {
                let voucher = self.prepared[&voucher.key()].verify(voucher.shown()).expect("honest");
                VoucherLeaf { number: 1, voucher }
            })
            .collect();
        Visit { roll_over, draw, vouchers }
    }
}

fn site_of(household: u64) -> usize {
    (household % u64::from(SITES)) as usize
}

/// One generator a household and round: the same folder on any number of cores.
fn household_rng(household: u64, round: u32) -> ChaCha20Rng {
    rng(household * 100 + u64::from(round))
}

/// `each` vouchers over all lines, of one and two units, in what a household gets.
fn key_list(fixture: &Fixture, round: u32, site: SiteId, each: u64) -> KeyCounts {
    let mut list = KeyCounts::new();
    for line in 0..LINES {
        let count = each / u64::from(LINES) + u64::from(u64::from(line) < each % u64::from(LINES));
        let twos = count.min(MEMBERS - count);
        for (value, count) in [(1, count - twos), (2, twos)] {
            let id = KeyId { line: LineId(line + 1), value, round: Round(round), site: Some(site), slot: None };
            let key = fixture.programme.key_index(&id).expect("every site has all keys");
            list.extend((count > 0).then_some((key, count as u32)));
        }
    }
    list.sort_unstable();
    list
}

/// Writes all logs.
struct Writer<'a> {
    folder: &'a Path,
    fixture: &'a Fixture,
    size: Size,
    issuer: LogWriter,
    sites: Vec<LogWriter>,
    households: Vec<Household>,
    cohort: Option<CohortSum>,
    packs: usize,
    done: u64,
}

impl<'a> Writer<'a> {
    fn new(folder: &'a Path, fixture: &'a Fixture, size: Size) -> io::Result<Self> {
        let header = fixture.programme.latest();
        let log = |folder_name: String, log: &LogKey, key| {
            LogWriter::new(folder.join("logs").join(folder_name), &log.name, key)
        };
        let mut issuer = log("issuer".into(), &header.issuer_log, &fixture.issuer_log);
        let sites = header.sites.iter().zip(&fixture.site_logs);
        let sites = sites.map(|(site, key)| log(format!("site-{}", site.id), &site.logs[0], key)).collect();
        for signed in &fixture.chain {
            issuer.append(IssuerLeaf::Manifest(signed.clone()).encode())?;
        }
        write(&folder.join("keys.bin"), &keys_to_bytes(fixture.programme.keys()))?;
        Ok(Self { folder, fixture, size, issuer, sites, households: Vec::new(), cohort: None, packs: 0, done: 0 })
    }

    /// Approves the lots, opens round 1, and enrols every household.
    fn enrol(&mut self) -> Result<(), Box<dyn Error>> {
        let count = self.size.households();
        let mut tickets = Vec::new();
        for (lot, first) in (1..).zip((0..count).step_by(LOT_SIZE as usize)) {
            let (leaf, of_lot) = make_lot(self.fixture, LotId(lot), LOT_SIZE.min(count - first));
            self.issuer.append(IssuerLeaf::Lot(leaf).encode())?;
            tickets.extend(of_lot);
        }
        self.open(1)?;
        let mut numbered: Vec<_> = (0..count).zip(tickets).collect();
        while !numbered.is_empty() {
            let part: Vec<_> = numbered.drain(..BATCH.min(numbered.len())).collect();
            let enrolled: Vec<(Household, IssuedEnrol)> =
                part.into_par_iter().map(|(number, ticket)| enrol(self.fixture, number, ticket)).collect();
            let mut leaves = Vec::with_capacity(enrolled.len());
            for (household, issued) in enrolled {
                let schema = self.fixture.programme.schema();
                let class = issued.member.class();
                self.cohort.get_or_insert_with(|| CohortSum::new(class, schema)).add(&issued.member);
                leaves.push(IssuerLeaf::Enrol(issued.leaf));
                self.households.push(household);
            }
            append_batch(&mut self.issuer, &leaves, 1)?;
        }
        Ok(())
    }

    fn open(&mut self, round: u32) -> io::Result<()> {
        let manifest = self.fixture.view(round).hash;
        self.issuer.append(IssuerLeaf::Open(OpenLeaf { round: Round(round), manifest }).encode())
    }

    /// A round from its opening to its close, at the issuer and all sites.
    fn round(&mut self, round: u32, progress: &mut dyn FnMut(u64)) -> Result<(), Box<dyn Error>> {
        if round > 1 {
            self.open(round)?;
        }
        let serving = Serving::new(self.fixture, round, self.size.each());
        let (mut shows, mut redeemed) = (Vec::new(), vec![Vec::new(); usize::from(SITES)]);
        let mut counted = vec![BTreeMap::new(); usize::from(SITES)];
        let mut households = std::mem::take(&mut self.households);
        for part in households.chunks_mut(GO) {
            let visits: Vec<Visit> = part.par_iter_mut().map(|household| serving.serve(household)).collect();
            for (household, visit) in part.iter().zip(visits) {
                shows.extend([IssuerLeaf::RollOver(visit.roll_over), IssuerLeaf::Draw(visit.draw)]);
                let site = site_of(household.number);
                for leaf in visit.vouchers {
                    *counted[site].entry(leaf.voucher.shown.key).or_insert(0u64) += 1;
                    redeemed[site].push(SiteLeaf::Voucher(leaf));
                }
            }
            self.done += part.len() as u64;
            progress(self.done);
            if shows.len() >= BATCH {
                append_batch(&mut self.issuer, &std::mem::take(&mut shows), round)?;
            }
            for (log, events) in self.sites.iter_mut().zip(&mut redeemed).filter(|(_, events)| events.len() >= BATCH) {
                append_batch(log, &std::mem::take(events), round)?;
            }
        }
        self.households = households;
        append_batch(&mut self.issuer, &shows, round)?;
        self.freeze(&serving.view)?;
        self.issuer.append(IssuerLeaf::Close(CloseLeaf { round: Round(round) }).encode())?;
        for (at, (events, vouchers)) in redeemed.iter().zip(counted).enumerate() {
            append_batch(&mut self.sites[at], events, round)?;
            self.state(at, &serving.view, vouchers)?;
        }
        Ok(())
    }

    /// The opening packs, the cohort's opening in the first round, and the freeze that fixes both.
    fn freeze(&mut self, view: &InForce<'_>) -> Result<(), Box<dyn Error>> {
        let (size, root) = (self.issuer.size(), self.issuer.root());
        let mut listed = Vec::new();
        for site in &view.header.sites {
            let terms = PackTerms { place: Place::new(view, site.id), swapped: Vec::new(), size, root };
            let pack = Signed::sign(terms, &self.fixture.issuer_log);
            listed.push((site.id, pack.digest()));
            write(&self.folder.join("packs").join(format!("{:04}.bin", self.packs)), &pack.encode())?;
            self.packs += 1;
        }
        let opening = self.cohort.take().map(|sum| sum.open(&self.fixture.programme, 0, size, &mut rng(7)));
        let openings = opening.transpose()?.into_iter().collect();
        let leaf = FreezeLeaf { round: view.round, manifest: view.hash, packs: listed, openings };
        self.issuer.append(IssuerLeaf::Freeze(leaf).encode())?;
        Ok(())
    }

    /// A site's statement of a round.
    fn state(&mut self, at: usize, view: &InForce<'_>, vouchers: BTreeMap<KeyIndex, u64>) -> io::Result<()> {
        let log = &mut self.sites[at];
        let mut units: BTreeMap<LineId, Units> = BTreeMap::new();
        for (key, count) in &vouchers {
            let id = view.key(*key).expect("a drawn key").id;
            units.entry(id.line).or_default().0 += count * u64::from(id.value);
        }
        let terms = StatementTerms {
            place: Place::new(view, view.header.sites[at].id),
            units: units.into_iter().collect(),
            vouchers: vouchers.into_iter().collect(),
            voids: Vec::new(),
            owed: Vec::new(),
            collected: Vec::new(),
            size: log.size(),
            root: log.root(),
        };
        log.append(SiteLeaf::Statement(Signed::sign(terms, &self.fixture.site_logs[at])).encode())
    }

    fn finish(self) -> io::Result<merkle::TreeHash> {
        let witness = (WITNESS, &self.fixture.witness);
        let mut root = self.issuer.root();
        self.issuer.finish(witness)?;
        for site in self.sites {
            root = merkle::node_hash(&root, &site.root());
            site.finish(witness)?;
        }
        Ok(root)
    }
}

fn append_batch<L: Leaf>(log: &mut LogWriter, events: &[L], round: u32) -> io::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let number = log.next_batch();
    close_batch(events, number, Round(round), log.size()).into_iter().try_for_each(|entry| log.append(entry))
}

/// A lot of tickets, approved by the officers.
fn make_lot(fixture: &Fixture, lot: LotId, count: u64) -> (LotLeaf, Vec<(TicketCode, TicketUse)>) {
    let programme = fixture.programme.id();
    let rng = &mut rng(1_000_000_000 + u64::from(lot.0));
    let mut codes: Vec<_> = (0..count)
        .map(|_| {
            let code = TicketCode::random(rng);
            let mut salt = [0; 32];
            rng.fill_bytes(&mut salt);
            let hash = code.hash(&programme, TicketKind::Enrol);
            (TicketUse::leaf(&hash, &salt), code, hash, salt)
        })
        .collect();
    codes.sort_by_key(|(leaf, ..)| *leaf);
    let leaves: Vec<_> = codes.iter().map(|(leaf, ..)| *leaf).collect();
    let root = merkle::root(&leaves);
    let signed = LotLeaf::signed_bytes(&programme, lot, count, &root);
    let signatures = (0u8..)
        .zip(&fixture.officers)
        .take(2)
        .map(|(officer, key)| OfficerSignature { officer, signature: signature::sign(tag::LOT, &signed, key) })
        .collect();
    let tickets = (0u64..)
        .zip(codes)
        .map(|(index, (_, code, hash, salt))| {
            let path = merkle::inclusion_proof(&leaves, index).expect("a leaf of the lot");
            (code, TicketUse { lot, hash, salt, index, path })
        })
        .collect();
    (LotLeaf { lot, count, root, signatures }, tickets)
}

fn enrol(fixture: &Fixture, number: u64, (code, place): (TicketCode, TicketUse)) -> (Household, IssuedEnrol) {
    let (programme, rng) = (&fixture.programme, &mut household_rng(number, 0));
    let (context, request) =
        EnrolContext::new(programme, TicketKind::Enrol, code, slots(rng), rng).expect("well formed");
    let grant = TicketGrant { place, expires: Round(EXPIRES), attributes: vec![MEMBERS, 1] };
    let verified = request.verify(programme, rng).expect("honest");
    let issued = verified.issue(programme, &fixture.issuer, &grant, rng).expect("the grant fits");
    let credential = context.finish(programme, &issued.response, rng).expect("honest");
    (Household { number, credential }, issued)
}
