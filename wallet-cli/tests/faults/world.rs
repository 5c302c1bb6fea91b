//! An issuer and a site in memory, and a link to them that loses, repeats, changes and refuses as a test says.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::Rc,
};

use annona_node::{
    authoring::{self, LOT, Officers, Parties, signing_key},
    caseload::{Limits, SiteName},
    issuer::{Issuer, IssuerError},
    publish::{Log, Witness},
    site::Site,
};
use annona_protocol::{
    credential::IssuerKey,
    draw::DrawRequest,
    group::PublicScalar,
    ids::{Digest, LineId, Round, SiteId, Units},
    log::leaf::{IssuerLeaf, OwedLeaf},
    programme::{InForce, Programme},
    redeem::{CollectRequest, Outcome, RedeemResponse},
    signature::PublicKey,
    slip::{OpeningPack, OwedSlip},
    swap::SwapError,
    ticket::TicketCode,
    wire::{Message, request_digest},
};
use annona_wallet::{Agent, Backoff, Endpoint, Link, LinkError, Refusal, Wallet};
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub(crate) const FOOD: LineId = LineId(1);
pub(crate) const CASH: LineId = LineId(4);
pub(crate) const NORTH: SiteId = SiteId(1);
pub(crate) const SOUTH: SiteId = SiteId(2);

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) struct World {
    pub(crate) issuer: Issuer,
    codes: Vec<[u8; 10]>,
    site_keys: Vec<SigningKey>,
}

impl World {
    /// Two sites, round 1 open, two tickets: four members, one child.
    pub(crate) fn new() -> Self {
        let rng = &mut rng(1);
        let site_keys: Vec<SigningKey> = (0..2).map(|_| signing_key(rng)).collect();
        let names = ["north", "south"].map(|name| SiteName::parse(name).unwrap());
        let sites: Vec<_> = names.into_iter().zip(site_keys.iter().map(PublicKey::of)).collect();
        let (key, log_key, officers) = (IssuerKey::generate(rng), signing_key(rng), Officers::generate(3, rng));
        let witness = Witness::new("witness.example", signing_key(rng), 0);
        let parties = Parties {
            issuer_key: key.public(),
            issuer_log: PublicKey::of(&log_key),
            officers: &officers,
            witness: witness.log_key(),
            sites: &sites,
        };
        let genesis = officers.sign_header(authoring::genesis(&parties, &Limits::default()));
        let mut issuer = Issuer::new(genesis, key, log_key, officers).unwrap();
        let codes = issuer.import_lot(LOT, vec![(Round(12), vec![4, 1]); 2], rng).unwrap();
        issuer.open_round(Round(1), rng).unwrap();
        Self { issuer, codes: codes.iter().map(|code| *code.expose()).collect(), site_keys }
    }

    pub(crate) fn programme(&self) -> &Programme {
        self.issuer.programme()
    }

    pub(crate) fn view(&self) -> InForce<'_> {
        self.programme().in_force(Round(1)).unwrap()
    }

    pub(crate) fn ticket(&self, at: usize) -> TicketCode {
        TicketCode::from_bytes(self.codes[at])
    }

    /// The first site, after the freeze.
    pub(crate) fn site(&self, food: u64, cash: u64) -> Site<'_> {
        self.site_with(&self.pack(), food, cash)
    }

    /// Freezes the round: the first site's pack.
    pub(crate) fn pack(&self) -> OpeningPack {
        self.issuer.freeze(Round(1), &mut rng(2)).unwrap().remove(0)
    }

    pub(crate) fn site_with(&self, pack: &OpeningPack, food: u64, cash: u64) -> Site<'_> {
        let mut stock: BTreeMap<LineId, Units> =
            self.view().header.lines.iter().map(|line| (line.id, Units(1000))).collect();
        stock.extend([(FOOD, Units(food)), (CASH, Units(cash))]);
        Site::open(self.view(), pack, self.site_keys[0].clone(), Log::default(), stock).unwrap()
    }

    /// How many enrolments, roll-overs, draws and swaps the issuer has logged.
    pub(crate) fn logged(&self) -> [usize; 4] {
        self.issuer.close_batch(Round(1)).unwrap();
        let mut counts = [0; 4];
        self.issuer.with_log(|log| {
            for entry in log.entries() {
                match IssuerLeaf::decode(entry).unwrap() {
                    IssuerLeaf::Enrol(_) => counts[0] += 1,
                    IssuerLeaf::RollOver(_) => counts[1] += 1,
                    IssuerLeaf::Draw(_) => counts[2] += 1,
                    IssuerLeaf::Swap(_) => counts[3] += 1,
                    _ => {}
                }
            }
        });
        counts
    }
}

/// What happens to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It does not arrive.
    LostBefore,
    /// It arrives; the answer does not.
    LostAfter,
    /// It arrives twice.
    Twice,
    /// A bit of the answer changes.
    Flipped,
    /// The server is busy.
    Busy,
    /// Refused without a look.
    Refused,
    /// Done, and said to be refused.
    Lied,
    /// A draw's session is gone.
    Gone,
}

/// The link.
pub(crate) struct Wire<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) site: Option<&'a Site<'a>>,
    rng: RefCell<ChaCha20Rng>,
    /// Which message has which fault, counted from 0.
    pub(crate) faults: RefCell<BTreeMap<usize, Fault>>,
    pub(crate) count: Cell<usize>,
    collected: RefCell<Vec<Digest>>,
    pub(crate) power: Rc<Power>,
    pub(crate) sent: RefCell<Vec<(Endpoint, Digest)>>,
}

/// Steps until the wallet is killed.
#[derive(Default)]
pub(crate) struct Power {
    pub(crate) steps: Cell<usize>,
    pub(crate) dies_at: Cell<Option<usize>>,
}

impl Power {
    /// One step further, or dead.
    fn step(&self) -> Result<(), LinkError> {
        let now = self.steps.get();
        self.steps.set(now + 1);
        if self.dies_at.get() == Some(now) { Err(LinkError::Unusable { source: "killed".into() }) } else { Ok(()) }
    }
}

pub(crate) fn refusal(code: &str, signed: Option<Vec<u8>>) -> LinkError {
    LinkError::Refused(Refusal { status: 409, code: code.into(), text: String::new(), signed })
}

fn lost() -> LinkError {
    LinkError::Lost { retry_after: None, source: "lost".into() }
}

impl<'a> Wire<'a> {
    pub(crate) fn new(issuer: &'a Issuer, site: Option<&'a Site<'a>>, seed: u64) -> Self {
        Self {
            issuer,
            site,
            rng: RefCell::new(rng(seed)),
            faults: RefCell::default(),
            count: Cell::new(0),
            collected: RefCell::default(),
            power: Rc::default(),
            sent: RefCell::default(),
        }
    }

    fn act(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (issuer, rng) = (self.issuer, &mut *self.rng.borrow_mut());
        let answer = match endpoint {
            Endpoint::Enrol => issuer.enrol(body, rng),
            Endpoint::RollOver => issuer.roll_over(body, rng),
            Endpoint::Session => issuer.open_session(body, rng),
            Endpoint::Draw => issuer.draw(body, rng),
            Endpoint::Swap => issuer.swap(body),
            Endpoint::Quote(_) => return Ok(self.site.unwrap().quote(rng).encode()),
            Endpoint::Redeem(_) => return self.redeem(body),
            Endpoint::Collect(_) => return self.collect(body),
            Endpoint::Amend => unreachable!("no test amends"),
        };
        answer.map_err(|error| match error {
            IssuerError::SessionGone(word) => refusal("session-gone", Some(word.encode())),
            IssuerError::Spent => refusal("spent", None),
            IssuerError::Swap(SwapError::Session) => refusal("swap-session-gone", None),
            _ => refusal("invalid", None),
        })
    }

    fn redeem(&self, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let accepted = self.site.unwrap().redeem(body).map_err(|slip| {
            let code = slip.content.code.code();
            refusal(code, Some(slip.encode()))
        })?;
        let response = RedeemResponse {
            outcome: Outcome::Accepted,
            visit: request_digest(body),
            units: accepted.units.into_iter().collect(),
            receipts: accepted.receipts,
            owed: accepted.owed,
        };
        Ok(response.encode())
    }

    /// The site of the first round does not collect: the test does, once for a slip.
    fn collect(&self, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let request = CollectRequest::decode(body).unwrap();
        let slip: OwedSlip = SLIP.with_borrow(|slip| slip.clone().unwrap());
        let terms = slip.content;
        let leaf = OwedLeaf { round: terms.place.round, lines: terms.lines.clone(), holder: terms.holder };
        request.verify(&terms.place, &leaf).unwrap();
        let first = !self.collected.borrow().contains(&Digest(request.holder.0));
        self.collected.borrow_mut().push(Digest(request.holder.0));
        let outcome = if first { Outcome::Accepted } else { Outcome::AlreadyAccepted };
        let (visit, receipts) = (Digest(request.holder.0), Vec::new());
        Ok(RedeemResponse { outcome, visit, units: terms.lines, receipts, owed: None }.encode())
    }

    /// Uses the session of a draw up with a show that does not verify.
    fn lose_session(&self, body: &[u8]) {
        let mut request = DrawRequest::decode(body).unwrap();
        request.show.serial = PublicScalar(request.show.serial.0 + request.show.serial.0);
        assert!(self.act(Endpoint::Draw, &request.encode()).is_err());
    }
}

thread_local! {
    /// The slip that is to be collected, for the link's side of the site.
    pub(crate) static SLIP: RefCell<Option<OwedSlip>> = const { RefCell::new(None) };
}

impl Link for Wire<'_> {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let at = self.count.get();
        self.count.set(at + 1);
        self.power.step()?;
        self.sent.borrow_mut().push((endpoint, request_digest(body)));
        let fault = self.faults.borrow().get(&at).copied().unwrap_or(Fault::None);
        match fault {
            Fault::LostBefore => return Err(lost()),
            Fault::Busy => return Err(refusal("in-flight", None)),
            Fault::Refused => return Err(refusal("invalid", None)),
            Fault::Gone if endpoint == Endpoint::Draw => self.lose_session(body),
            Fault::Twice => drop(self.act(endpoint, body)),
            _ => {}
        }
        let answer = self.act(endpoint, body);
        self.power.step()?;
        match fault {
            Fault::LostAfter => Err(lost()),
            Fault::Lied => Err(refusal("invalid", None)),
            Fault::Flipped => answer.map(|mut answer| {
                let at = answer.len() / 2;
                answer[at] ^= 0x10;
                answer
            }),
            _ => answer,
        }
    }
}

/// What survives: the last state that was made durable.
pub(crate) type Disk = Rc<RefCell<Vec<u8>>>;

/// An agent whose medium is the disk, killed as the link's power says: before and after each write too.
pub(crate) fn agent<'a, 'b>(
    disk: &Disk,
    wire: &'b Wire<'a>,
) -> Agent<impl FnMut(&[u8]) -> io::Result<()> + use<'a, 'b>, &'b Wire<'a>> {
    let wallet = Wallet::decode(&disk.borrow()).unwrap();
    let (disk, power) = (Rc::clone(disk), Rc::clone(&wire.power));
    let persist = move |state: &[u8]| {
        power.step().map_err(io::Error::other)?;
        *disk.borrow_mut() = state.to_vec();
        power.step().map_err(io::Error::other)
    };
    Agent::new(wallet, persist, wire, Backoff::instant(3))
}

pub(crate) fn disk(world: &World) -> Disk {
    Rc::new(RefCell::new(Wallet::new(world.programme().id()).encode().to_vec()))
}
