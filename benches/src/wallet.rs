//! What a household waits for: whole operations of the wallet, over an issuer and a site in this process.
//!
//! An operation is everything that [`annona_wallet::Agent`] does for it: requests and proofs, answers and their verification, and
//! each state made durable in the encrypted file. Processor time of the wallet's thread counts, less what the servers take of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use annona_bearer::{Printed, Sheet, SheetText};
use annona_node::{authoring::keys_of, random, service::site::CounterId};
use annona_protocol::{
    bucket::LEAST_MINIMUM,
    ids::{LineId, Round, SiteId},
    programme::{Announcement, Carry, Form, Header, KeyCounts, Line, Since, TicketKind},
    ticket::TicketCode,
    voucher::Voucher,
    wire::Message as _,
};
use annona_vault::{Passphrase, Vault};
use annona_wallet::{Agent, Backoff, Choice, Endpoint, Link, LinkError, Persist, Wallet};

use crate::{measure::processor_time, node::Node};

/// Lines of the programme: as many values can be range-proven by a draw.
pub const LINES: u16 = 8;
/// Vouchers of a draw.
pub const DRAWN: u32 = 12;
/// Vouchers of a visit.
pub const REDEEMED: usize = 6;
/// Vouchers of a printed sheet.
pub const PRINTED: usize = 24;
/// Rounds that a restore brings back.
pub const RESTORED: u32 = 12;

const SITE: SiteId = SiteId(1);
/// The words of the household that loses its wallet.
const LOST: u32 = u32::MAX;

/// Processor time of one run of an operation, in nanoseconds.
pub type Sample = f64;

/// An issuer, a site, and a folder for wallets' files.
#[derive(Debug)]
pub struct Bench {
    node: Node,
    tickets: RefCell<Vec<TicketCode>>,
    folder: PathBuf,
    wallets: Cell<u32>,
}

/// What the servers used of the thread's processor time.
type Elsewhere = Rc<Cell<Duration>>;

struct Way<'a> {
    node: &'a Node,
    elsewhere: Elsewhere,
}

impl Link for Way<'_> {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let before = processor_time();
        let (issuer, site, rng) = (&self.node.issuer, &self.node.site, &mut random::os());
        let answer: Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> = match endpoint {
            Endpoint::Enrol => issuer.enrol(body, rng).map_err(Into::into),
            Endpoint::RollOver => issuer.roll_over(body, rng).map_err(Into::into),
            Endpoint::Session => issuer.open_session(body, rng).map_err(Into::into),
            Endpoint::Draw => issuer.draw(body, rng).map_err(Into::into),
            Endpoint::Swap => issuer.swap(body).map_err(Into::into),
            Endpoint::Amend => issuer.amend(body, rng).map_err(Into::into),
            Endpoint::SlotDirectory => {
                issuer.slot_directory(LEAST_MINIMUM).map(|directory| directory.encode()).map_err(Into::into)
            }
            Endpoint::Slots(bucket, after) => issuer
                .slot_bucket(&bucket, after.as_ref(), LEAST_MINIMUM)
                .map(|bucket| bucket.encode())
                .map_err(Into::into),
            Endpoint::Quote(_) => site.quote(CounterId(0), rng).map(|quote| quote.encode()).map_err(Into::into),
            Endpoint::Redeem(_) => site.redeem(body).map(|answer| answer.encode()).map_err(Into::into),
            Endpoint::Collect(_) => site.collect(body).map(|answer| answer.encode()).map_err(Into::into),
        };
        let used = processor_time().saturating_sub(before);
        self.elsewhere.set(self.elsewhere.get() + used);
        answer.map_err(|source| LinkError::Unusable { source })
    }
}

/// A wallet's file.
struct File(Vault);

impl Persist for File {
    fn persist(&mut self, state: &[u8]) -> io::Result<()> {
        self.0.save(state).map_err(io::Error::other)
    }
}

type Household<'a> = Agent<File, Way<'a>>;

/// Eight lines in kind, each with 24 units a household and round.
fn lines(header: &mut Header) {
    let model = header.lines[0].clone();
    let form = Form { constant: PRINTED as i64, terms: Vec::new() };
    header.schema.lapse = u8::try_from(LINES).expect("a few");
    header.schema.carry = 0;
    header.lines = (0..LINES)
        .map(|at| Line {
            id: LineId(at + 1),
            name: format!("line-{at}"),
            state: u8::try_from(at).expect("a few"),
            carry: Carry::Lapse,
            accrual: vec![Since { round: Round(1), value: form.clone() }],
            predicates: Vec::new(),
            ..model.clone()
        })
        .collect();
}

impl Bench {
    /// Makes all stores and files below a folder, for so many households.
    ///
    /// # Errors
    /// If a folder cannot be made there.
    pub fn new(folder: &std::path::Path, households: usize) -> io::Result<Self> {
        let mut node = Node::with(folder, households, lines)?;
        let tickets = RefCell::new(node.tickets());
        let folder = node.folder().to_owned();
        Ok(Self { node, tickets, folder, wallets: Cell::new(0) })
    }

    /// Seals and opens a file as `new` and every command do.
    ///
    /// # Panics
    /// If the disk fails.
    pub fn open_file(&self, work_factor: u8) -> Sample {
        let path = self.path();
        let passphrase = Passphrase::new("246810".into());
        drop(Vault::create(&path, &passphrase, work_factor, &[7; 4096]).expect("a new file"));
        let before = processor_time();
        let (_, state) = Vault::open(&path, &passphrase).expect("its own passphrase");
        let used = processor_time().saturating_sub(before);
        drop(state);
        nanoseconds(used)
    }

    /// Verifies the announcement in a file, as every command does.
    ///
    /// # Panics
    /// Never for an honest issuer.
    pub fn read_announcement(&self) -> Sample {
        let bytes = self.node.announcement();
        let id = self.node.programme().id();
        let before = processor_time();
        let programme = Announcement::decode(&bytes).expect("its own").verify(id).expect("honest");
        let used = processor_time().saturating_sub(before);
        assert!(!programme.keys().is_empty(), "a round is open");
        nanoseconds(used)
    }

    /// A ticket becomes a credential.
    ///
    /// # Panics
    /// As all operations here: if a party refuses what an honest one asks, or without a ticket left.
    pub fn enrol(&self) -> Sample {
        let ticket = self.ticket();
        let (mut household, elsewhere) = self.household();
        let programme = self.node.programme();
        timed(&elsewhere, || {
            household.enrol(programme, TicketKind::Enrol, ticket, &mut random::os()).expect("honest");
        })
    }

    /// Into the round.
    ///
    /// # Panics
    /// As [`Bench::enrol`].
    pub fn roll_over(&self) -> Sample {
        let ticket = self.ticket();
        let (mut household, elsewhere) = self.household();
        let programme = self.node.programme();
        household.enrol(programme, TicketKind::Enrol, ticket, &mut random::os()).expect("honest");
        let view = programme.in_force(Round(1)).expect("open");
        timed(&elsewhere, || household.roll_over(&view, &mut random::os()).expect("honest"))
    }

    /// Twelve vouchers of so many lines.
    ///
    /// # Panics
    /// As [`Bench::enrol`].
    pub fn draw(&self, values: u16) -> Sample {
        let keys = self.keys(values, DRAWN);
        let (mut household, elsewhere) = self.rolled_over();
        let view = self.node.programme().in_force(Round(1)).expect("open");
        timed(&elsewhere, || {
            let drawn = household.draw(&view, keys, &mut random::os()).expect("honest");
            assert_eq!(drawn, DRAWN as usize, "all of them");
        })
    }

    /// A visit with six vouchers, from its quote to its receipts.
    ///
    /// # Panics
    /// As [`Bench::enrol`].
    pub fn redeem(&self) -> Sample {
        let keys = self.keys(1, u32::try_from(REDEEMED).expect("a few"));
        let (mut household, elsewhere) = self.rolled_over();
        let view = self.node.programme().in_force(Round(1)).expect("open");
        household.draw(&view, keys, &mut random::os()).expect("honest");
        timed(&elsewhere, || {
            let handover = household.redeem(&view, SITE, Choice::All, &mut random::os()).expect("honest");
            assert!(!handover.units.is_empty(), "the goods");
        })
    }

    /// A sheet of 24 vouchers as a PDF.
    ///
    /// # Panics
    /// As [`Bench::enrol`].
    pub fn print(&self) -> Sample {
        let keys = self.keys(1, u32::try_from(PRINTED).expect("a few"));
        let (mut household, elsewhere) = self.rolled_over();
        let programme = self.node.programme();
        let view = programme.in_force(Round(1)).expect("open");
        household.draw(&view, keys, &mut random::os()).expect("honest");
        let header = programme.latest();
        timed(&elsewhere, || {
            let vouchers: Vec<(&Voucher, Printed)> = household
                .wallet()
                .vouchers()
                .iter()
                .map(|voucher| {
                    let id = programme.key(voucher.key()).expect("listed").id;
                    let line = header.line(id.line).expect("listed");
                    let printed = Printed {
                        line: line.name.clone(),
                        pictogram: line.pictogram.clone(),
                        value: id.value,
                        unit: line.unit.clone(),
                        site: Some("north".to_owned()),
                        round: id.round,
                    };
                    (voucher, printed)
                })
                .collect();
            let text =
                SheetText { language: "en".into(), agency: header.agency.clone(), programme: header.name.clone() };
            let sheet = Sheet::whole(text, &programme.id(), &vouchers).expect("a sheet's number of vouchers");
            assert!(sheet.pdf().expect("its fonts are built in").len() > PRINTED, "a page");
        })
    }

    /// Lives so many rounds with recovery words, and gives what a restore can be timed with.
    ///
    /// # Panics
    /// As [`Bench::enrol`].
    pub fn live(&mut self) {
        let ticket = self.ticket();
        let path = self.path();
        let mut state = new_wallet(&self.node, LOST).encode();
        for round in 1..=RESTORED {
            let keys = self.keys_of_round(Round(round), LINES, DRAWN);
            let vault = Vault::create(&path.with_extension(round.to_string()), &passphrase(), 1, &state);
            let (mut household, _) = agent(&self.node, Wallet::decode(&state).expect("its own"), vault.expect("new"));
            let programme = self.node.programme();
            if round == 1 {
                let ticket = TicketCode::from_bytes(*ticket.expose());
                household.enrol(programme, TicketKind::Enrol, ticket, &mut random::os()).expect("honest");
            }
            let view = programme.in_force(Round(round)).expect("open");
            household.roll_over(&view, &mut random::os()).expect("honest");
            household.draw(&view, keys, &mut random::os()).expect("honest");
            state = household.into_wallet().encode();
            if round < RESTORED {
                self.node.next_round(Round(round));
            }
        }
        self.node.issuer.close_batch().expect("the store is ours");
    }

    /// A wallet that was lost comes back from its words, after [`Bench::live`].
    ///
    /// # Panics
    /// As [`Bench::enrol`].
    pub fn restore(&self) -> Sample {
        let vault = Vault::create(&self.path(), &passphrase(), 1, &[]).expect("a new file");
        let (mut household, elsewhere) = agent(&self.node, new_wallet(&self.node, LOST), vault);
        let (log_size, _) = self.node.issuer.log_counts().expect("the store is ours");
        let programme = self.node.programme();
        timed(&elsewhere, || {
            let restored = household.restore(programme, log_size, &mut random::os()).expect("honest");
            // The enrolment; a roll-over and a draw a round; the vouchers of the round that is open.
            assert_eq!(restored.messages, 1 + 2 * RESTORED as usize, "all of them");
            assert_eq!((restored.credential, restored.vouchers), (true, DRAWN as usize), "all of it");
        })
    }

    fn ticket(&self) -> TicketCode {
        self.tickets.borrow_mut().pop().expect("a ticket a household")
    }

    fn path(&self) -> PathBuf {
        self.wallets.set(self.wallets.get() + 1);
        self.folder.join(format!("wallet-{}", self.wallets.get()))
    }

    fn household(&self) -> (Household<'_>, Elsewhere) {
        let vault = Vault::create(&self.path(), &passphrase(), 1, &[]).expect("a new file");
        agent(&self.node, new_wallet(&self.node, self.wallets.get()), vault)
    }

    fn rolled_over(&self) -> (Household<'_>, Elsewhere) {
        let ticket = self.ticket();
        let (mut household, elsewhere) = self.household();
        let programme = self.node.programme();
        household.enrol(programme, TicketKind::Enrol, ticket, &mut random::os()).expect("honest");
        household.roll_over(&programme.in_force(Round(1)).expect("open"), &mut random::os()).expect("honest");
        (household, elsewhere)
    }

    fn keys(&self, values: u16, vouchers: u32) -> KeyCounts {
        self.keys_of_round(Round(1), values, vouchers)
    }

    /// So many vouchers of the smallest value, spread over so many lines.
    fn keys_of_round(&self, round: Round, values: u16, vouchers: u32) -> KeyCounts {
        let keys = self.node.programme().keys();
        let mut counts = BTreeMap::new();
        for at in 0..vouchers {
            let line = LineId(1 + u16::try_from(at).expect("a few") % values);
            *counts.entry(keys_of(keys, line, round, SITE)[0]).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new("246810".into())
}

/// A wallet with recovery words of its own.
fn new_wallet(node: &Node, number: u32) -> Wallet {
    let mut wallet = Wallet::new(node.programme().id());
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    wallet.set_words(&seed).expect("it has none");
    wallet
}

fn agent(node: &Node, wallet: Wallet, vault: Vault) -> (Household<'_>, Elsewhere) {
    let elsewhere = Elsewhere::default();
    let way = Way { node, elsewhere: Rc::clone(&elsewhere) };
    (Agent::new(wallet, File(vault), way, Backoff::instant(1)), elsewhere)
}

/// The wallet's own share of what its thread used.
fn timed(elsewhere: &Elsewhere, operation: impl FnOnce()) -> Sample {
    elsewhere.set(Duration::ZERO);
    let before = processor_time();
    operation();
    nanoseconds(processor_time().saturating_sub(before).saturating_sub(elsewhere.get()))
}

fn nanoseconds(time: Duration) -> Sample {
    time.as_nanos() as f64
}
