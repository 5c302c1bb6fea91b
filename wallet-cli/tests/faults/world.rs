//! An issuer and sites over real stores on disk, and a link to them that loses, repeats, changes and refuses as a test says.

#[path = "../../../node/tests/world/mod.rs"]
mod parties;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    ops::Deref,
    path::PathBuf,
    rc::Rc,
};

use annona_node::{
    service::{
        issuer::{IssuerError, IssuerService},
        site::{SiteError, SiteOptions, SiteService},
    },
    store::{Role, Store},
};
use annona_protocol::{
    bucket::LEAST_MINIMUM,
    draw::DrawRequest,
    group::PublicScalar,
    ids::{Digest, LineId, Round, SiteId, Units},
    log::leaf::IssuerLeaf,
    programme::{InForce, Programme},
    slip::OpeningPack,
    ticket::TicketCode,
    wire::{Message, request_digest},
};
use annona_wallet::{Agent, Backoff, Endpoint, Link, LinkError, Refusal, Wallet};
pub(crate) use parties::COUNTER;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub(crate) const FOOD: LineId = LineId(1);
pub(crate) const CASH: LineId = LineId(4);
pub(crate) const NORTH: SiteId = SiteId(1);
pub(crate) const SOUTH: SiteId = SiteId(2);

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) struct World {
    parties: parties::World,
    programme: Programme,
    homes: Cell<usize>,
}

impl Deref for World {
    type Target = parties::World;

    fn deref(&self) -> &parties::World {
        &self.parties
    }
}

impl World {
    /// Two sites, round 1 open, two tickets: four members, one child.
    pub(crate) fn new() -> Self {
        let parties = parties::world_of(2);
        Self { programme: parties.programme(), parties, homes: Cell::new(0) }
    }

    pub(crate) fn programme(&self) -> &Programme {
        &self.programme
    }

    pub(crate) fn view(&self) -> InForce<'_> {
        self.programme.in_force(Round(1)).unwrap()
    }

    pub(crate) fn ticket(&self, at: usize) -> TicketCode {
        TicketCode::from_bytes(*self.codes[at].expose())
    }

    /// The first site, after the freeze.
    pub(crate) fn site(&self, food: u64, cash: u64) -> Site {
        self.site_with(&self.pack(), food, cash)
    }

    /// Freezes the round: the first site's pack.
    pub(crate) fn pack(&self) -> OpeningPack {
        self.issuer.freeze(Round(1)).unwrap().remove(0)
    }

    /// A store of the first site that has seen no visit.
    pub(crate) fn site_with(&self, pack: &OpeningPack, food: u64, cash: u64) -> Site {
        self.homes.set(self.homes.get() + 1);
        let home = self.parties.homes.path().join(format!("north-{}", self.homes.get()));
        let key = &self.site_keys[0];
        SiteService::create(&home, self.programme.id(), &self.announcement(), NORTH, key).unwrap();
        let site = Site::open(home, key);
        site.open_round(&pack.encode()).unwrap();
        let mut stock: BTreeMap<LineId, Units> =
            self.view().header.lines.iter().map(|line| (line.id, Units(1000))).collect();
        stock.extend([(FOOD, Units(food)), (CASH, Units(cash))]);
        site.set_stock(stock).unwrap();
        site
    }

    /// How many enrolments, roll-overs, draws and swaps the issuer has logged.
    pub(crate) fn logged(&self) -> [usize; 4] {
        self.issuer.close_batch().unwrap();
        let mut counts = [0; 4];
        for entry in parties::entries(self.issuer.store()) {
            match IssuerLeaf::decode(&entry).unwrap() {
                IssuerLeaf::Enrol(_) => counts[0] += 1,
                IssuerLeaf::RollOver(_) => counts[1] += 1,
                IssuerLeaf::Draw(_) => counts[2] += 1,
                IssuerLeaf::Swap(_) => counts[3] += 1,
                _ => {}
            }
        }
        counts
    }
}

/// What the issuer's log has.
pub(crate) fn entries(world: &World) -> Vec<Vec<u8>> {
    parties::entries(world.issuer.store())
}

/// The first site.
pub(crate) struct Site {
    home: PathBuf,
    service: SiteService,
}

impl Deref for Site {
    type Target = SiteService;

    fn deref(&self) -> &SiteService {
        &self.service
    }
}

impl Site {
    fn open(home: PathBuf, key: &ed25519_dalek::SigningKey) -> Self {
        let store = Store::open(&home, Role::Site).unwrap();
        let service = SiteService::open(store, key.clone(), SiteOptions::default()).unwrap();
        Self { home, service }
    }

    /// Stops, as a kill would, and starts again from its disk: quotes are gone.
    pub(crate) fn restarted(self) -> Self {
        let Self { home, service } = self;
        let key = service.key().clone();
        drop(service);
        Self::open(home, &key)
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
    pub(crate) issuer: &'a IssuerService,
    pub(crate) site: Option<&'a Site>,
    rng: RefCell<ChaCha20Rng>,
    /// Which message has which fault, counted from 0.
    pub(crate) faults: RefCell<BTreeMap<usize, Fault>>,
    pub(crate) count: Cell<usize>,
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
    pub(crate) fn new(issuer: &'a IssuerService, site: Option<&'a Site>, seed: u64) -> Self {
        Self {
            issuer,
            site,
            rng: RefCell::new(rng(seed)),
            faults: RefCell::default(),
            count: Cell::new(0),
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
            Endpoint::Quote(_) => return self.at_site(|site| Ok(site.quote(COUNTER, rng)?.encode())),
            Endpoint::Redeem(_) => return self.at_site(|site| Ok(site.redeem(body)?.encode())),
            Endpoint::Collect(_) => return self.at_site(|site| Ok(site.collect(body)?.encode())),
            Endpoint::SlotDirectory => issuer.slot_directory(LEAST_MINIMUM).map(|directory| directory.encode()),
            Endpoint::Slots(bucket, after) => {
                issuer.slot_bucket(&bucket, after.as_ref(), LEAST_MINIMUM).map(|bucket| bucket.encode())
            }
            Endpoint::Amend => unreachable!("no test amends"),
        };
        answer.map_err(|error| match &error {
            IssuerError::SessionGone(word) => refusal(error.code(), Some(word.encode())),
            _ => refusal(error.code(), None),
        })
    }

    fn at_site(&self, act: impl FnOnce(&Site) -> Result<Vec<u8>, SiteError>) -> Result<Vec<u8>, LinkError> {
        act(self.site.unwrap()).map_err(|error| match &error {
            SiteError::Refused(slip) => refusal(error.code(), Some(slip.encode())),
            _ => refusal(error.code(), None),
        })
    }

    /// Uses the session of a draw up with a show that does not verify.
    fn lose_session(&self, body: &[u8]) {
        let mut request = DrawRequest::decode(body).unwrap();
        request.show.serial = PublicScalar(request.show.serial.0 + request.show.serial.0);
        assert!(self.act(Endpoint::Draw, &request.encode()).is_err());
    }
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
