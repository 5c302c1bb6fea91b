//! An issuer and a site over real stores on disk, with requests made beforehand: what `--bin load` asks of them.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use annona_node::{
    authoring::{self, LOT, Officers, Parties, keys_of, signing_key},
    caseload::{Limits, SiteName},
    service::{
        issuer::{Grant, IssuerSecrets, IssuerService, LotPlan},
        site::{CounterId, SiteOptions, SiteService},
    },
    store::{Role, Store},
};
use annona_protocol::{
    credential::Credential,
    draw::{DrawContext, DrawRequest, RollOverContext, RollOverResponse, RoundKeys, SessionRequest},
    enrol::{EnrolContext, EnrolResponse, TicketGrant},
    hazmat,
    ids::{LineId, Round, SiteId, Units},
    log::{
        leaf::{IssuerLeaf, LotLeaf},
        merkle::{self, inclusion_proof, leaf_hash},
        note::{Checkpoint, KeyType, VerifierKey, cosign, sign_checkpoint, verify_checkpoint},
    },
    programme::{Announced, Announcement, Header, InForce, KeyCounts, KeyEntry, LogKey, Programme, TicketKind},
    redeem::{Counter, RedeemRequest},
    registry::tag,
    secret::SecretScalar,
    signature::PublicKey,
    slip::{Place, Quote},
    ticket::{TicketCode, TicketUse},
    voucher::{RoundMaster, SessionOffer, SigningSession, Voucher},
    wire::Message as _,
};
use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use tempfile::TempDir;

use crate::world;

/// Vouchers of a visit, each of another key.
pub const VOUCHERS: usize = 6;
/// Lines of a draw: as many values are range-proven.
pub const VALUES: u16 = 4;

const ROUND: Round = Round(1);
const SITE: SiteId = SiteId(1);
const EXPIRES: Round = Round(12);
const WITNESS: &str = "witness.example";
/// More than any run hands out.
const STOCK: Units = Units(1 << 50);

/// A programme whose first round is open at its issuer and at its one site.
#[derive(Debug)]
pub struct Node {
    /// The issuer.
    pub issuer: Arc<IssuerService>,
    /// The site.
    pub site: Arc<SiteService>,
    programme: Programme,
    keys: RoundKeys,
    secrets: IssuerSecrets,
    codes: Vec<TicketCode>,
    seeds: AtomicU64,
    setup: Setup,
    homes: TempDir,
}

/// The parties that only set the programme up.
#[derive(Debug)]
struct Setup {
    officers: Officers,
    witness: SigningKey,
    site_key: SigningKey,
}

impl Node {
    /// Makes both stores below `folder`, and as many enrolment tickets as draws will be asked for.
    ///
    /// # Errors
    /// If a folder cannot be made there.
    ///
    /// # Panics
    /// If a party refuses what an honest one asks.
    pub fn new(folder: &Path, tickets: usize) -> io::Result<Self> {
        Self::with(folder, tickets, |_| ())
    }

    /// The same of a programme that is changed before it begins.
    ///
    /// # Errors
    /// If a folder cannot be made there.
    ///
    /// # Panics
    /// If a party refuses what an honest one asks.
    pub fn with(folder: &Path, tickets: usize, change: impl FnOnce(&mut Header)) -> io::Result<Self> {
        let homes = tempfile::tempdir_in(folder)?;
        let rng = &mut world::rng(u64::MAX);
        let setup =
            Setup { officers: Officers::generate(3, rng), witness: signing_key(rng), site_key: signing_key(rng) };
        let secrets = IssuerSecrets::generate(rng);
        let own = IssuerSecrets::from_bytes(&secrets.to_bytes()).expect("its own encoding");
        let sites = [(SiteName::parse("north").expect("a name"), PublicKey::of(&setup.site_key))];
        let parties = Parties {
            issuer_key: secrets.credential.public(),
            issuer_log: PublicKey::of(&secrets.log),
            officers: &setup.officers,
            witness: LogKey { name: WITNESS.into(), key: PublicKey::of(&setup.witness) },
            sites: &sites,
        };
        let mut genesis = authoring::genesis(&parties, &Limits::default());
        change(&mut genesis);
        let genesis = setup.officers.sign_header(genesis);
        let home = homes.path().join("issuer");
        IssuerService::create(&home, &genesis, &secrets).expect("an empty folder");
        let store = Store::open(&home, Role::Issuer).expect("just made");
        let issuer = IssuerService::open(store, secrets, &BTreeMap::new()).expect("just made");

        let codes = setup.import(&issuer, tickets, rng);
        let master = setup.open(&issuer, ROUND, rng);
        let programme = issuer.with_programme(Clone::clone);
        let keys = RoundKeys::derive(&view(&programme), &master).expect("the master of the listed keys");
        let site = setup.site(&homes.path().join("site"), &issuer, &programme);
        let (issuer, site, seeds) = (Arc::new(issuer), Arc::new(site), AtomicU64::new(1));
        Ok(Self { issuer, site, programme, keys, secrets: own, codes, seeds, setup, homes })
    }

    /// Closes a round at the issuer and opens the next; the site stays where it is.
    ///
    /// # Panics
    /// If the round is not the one that is open, or the last.
    pub fn next_round(&mut self, round: Round) {
        // The first was frozen for the site's pack.
        if round != ROUND {
            self.issuer.freeze(round).expect("the round is open");
        }
        self.issuer.close_round(round).expect("the round is frozen");
        self.setup.open(&self.issuer, Round(round.0 + 1), &mut self.rng());
        self.programme = self.issuer.with_programme(Clone::clone);
    }

    /// The programme.
    pub fn programme(&self) -> &Programme {
        &self.programme
    }

    /// What the issuer announces now.
    pub fn announcement(&self) -> Vec<u8> {
        self.setup.announcement(&self.issuer, &self.programme)
    }

    /// The enrolment tickets that nobody has used.
    pub fn tickets(&mut self) -> Vec<TicketCode> {
        std::mem::take(&mut self.codes)
    }

    /// Where the stores are.
    pub fn folder(&self) -> &Path {
        self.homes.path()
    }

    /// Visits of [`VOUCHERS`] vouchers that nobody redeemed yet, with their quotes. A site remembers 4096 quotes.
    ///
    /// # Panics
    /// Never for an honest site.
    pub fn visits(&self, count: usize) -> Vec<(Quote, RedeemRequest)> {
        let keys = self.visit_keys();
        self.many(count, |rng| {
            let vouchers = self.mint(&keys, rng);
            let quote = self.site.quote(CounterId(0), rng).expect("the round is open");
            let spare = SecretScalar::random(rng);
            let shown: Vec<&Voucher> = vouchers.iter().collect();
            let request = RedeemRequest::new(&self.view(), &quote, &shown, &spare, rng).expect("its own site's quote");
            (quote, request)
        })
    }

    /// The same, as they are sent.
    pub fn redemptions(&self, count: usize) -> Vec<Vec<u8>> {
        self.visits(count).into_iter().map(|(_, request)| request.encode()).collect()
    }

    /// A counter of the site, without its store.
    pub fn counter(&self) -> Counter<'_> {
        Counter::new(self.view(), Place::new(&self.view(), SITE), Vec::new())
    }

    /// Draws of households that are enrolled and rolled over, each with a session of the issuer's.
    ///
    /// # Panics
    /// If there are fewer tickets left.
    pub fn draws(&mut self, count: usize) -> Vec<Vec<u8>> {
        let codes = self.codes.split_off(self.codes.len().checked_sub(count).expect("a ticket a draw"));
        let (this, keys) = (&*self, self.draw_keys());
        codes
            .into_par_iter()
            .map(|code| {
                let rng = &mut this.rng();
                let credential = this.household(code, rng);
                let request = SessionRequest { round: ROUND, keys: keys.clone() }.encode();
                let offer = this.issuer.open_session(&request, rng).expect("the round is open");
                let offer = SessionOffer::decode(&offer).expect("the issuer's encoding");
                this.draw(&credential, &keys, &offer, rng).encode()
            })
            .collect()
    }

    /// Draws of one household, each with a session that no server knows: for [`Node::answer`].
    ///
    /// # Panics
    /// Without a ticket left.
    pub fn loose_draws(&mut self, count: usize) -> Vec<(DrawRequest, SigningSession)> {
        let code = self.codes.pop().expect("a ticket");
        let credential = self.household(code, &mut self.rng());
        let keys = self.draw_keys();
        self.many(count, |rng| {
            let request = SessionRequest { round: ROUND, keys: keys.clone() };
            let session = self.keys.open(&self.view(), &request, rng).expect("listed keys");
            (self.draw(&credential, &keys, session.offer(), rng), session)
        })
    }

    /// What an issuer computes for a draw, without its store.
    ///
    /// # Panics
    /// If the draw is not honest.
    pub fn answer(&self, (request, session): (DrawRequest, SigningSession)) -> Vec<u8> {
        let rng = &mut annona_node::random::os();
        let verified = request.verify(&self.view(), &self.secrets.credential, Some(&session), rng).expect("honest");
        verified.answer(&self.secrets.credential, Some(session), rng).expect("honest").0.encode()
    }

    fn view(&self) -> InForce<'_> {
        view(&self.programme)
    }

    fn rng(&self) -> ChaCha20Rng {
        world::rng(self.seeds.fetch_add(1, Ordering::Relaxed))
    }

    /// Many of a thing, on all cores.
    fn many<T: Send>(&self, count: usize, make: impl Fn(&mut ChaCha20Rng) -> T + Sync) -> Vec<T> {
        (0..count).into_par_iter().map(|_| make(&mut self.rng())).collect()
    }

    fn visit_keys(&self) -> KeyCounts {
        let lines = (1..=VALUES).flat_map(|line| keys_of(self.programme.keys(), LineId(line), ROUND, SITE));
        lines.take(VOUCHERS).map(|at| (at, 1)).collect()
    }

    fn draw_keys(&self) -> KeyCounts {
        let first =
            |line| *keys_of(self.programme.keys(), LineId(line), ROUND, SITE).first().expect("every line has keys");
        (1..=VALUES).map(|line| (first(line), 1)).collect()
    }

    /// Vouchers without a draw: the blind signature alone.
    fn mint(&self, keys: &KeyCounts, rng: &mut ChaCha20Rng) -> Vec<Voucher> {
        let view = self.view();
        let request = SessionRequest { round: ROUND, keys: keys.clone() };
        let session = self.keys.open(&view, &request, rng).expect("listed keys");
        let (blinded, challenges) = hazmat::blind(&view, keys, session.offer(), rng).expect("listed keys");
        let answers = session.answer(&challenges).expect("one a nonce");
        let entries: Vec<KeyEntry> = keys.iter().map(|(at, _)| *view.key(*at).expect("listed")).collect();
        blinded.unblind(&entries, &answers).expect("honest")
    }

    fn household(&self, code: TicketCode, rng: &mut ChaCha20Rng) -> Credential {
        let (programme, view) = (&self.programme, self.view());
        let (context, request) =
            EnrolContext::new(programme, TicketKind::Enrol, code, world::slots(rng), rng).expect("an honest wallet");
        let answer = self.issuer.enrol(&request.encode(), rng).expect("an imported ticket");
        let answer = EnrolResponse::decode(&answer).expect("the issuer's encoding");
        let credential = context.finish(programme, &answer, rng).expect("an honest issuer");
        let (context, request) =
            RollOverContext::new(&view, &credential, world::slots(rng), rng).expect("an honest wallet");
        let answer = self.issuer.roll_over(&request.encode(), rng).expect("its first round");
        let answer = RollOverResponse::decode(&answer).expect("the issuer's encoding");
        context.finish(&view, &answer, rng).expect("an honest issuer")
    }

    fn draw(&self, from: &Credential, keys: &KeyCounts, offer: &SessionOffer, rng: &mut ChaCha20Rng) -> DrawRequest {
        let slots = world::slots(rng);
        DrawContext::new(&self.view(), from, keys.clone(), offer, slots, rng).expect("it covers one unit a line").1
    }
}

fn view(programme: &Programme) -> InForce<'_> {
    programme.in_force(ROUND).expect("round 1 is open")
}

impl Setup {
    /// Imports and approves a lot of tickets of the same household: four members, one under two.
    fn import(&self, issuer: &IssuerService, tickets: usize, rng: &mut ChaCha20Rng) -> Vec<TicketCode> {
        const SALT: [u8; 32] = [7; 32];
        let id = issuer.with_programme(Programme::id);
        let codes: Vec<TicketCode> = (0..tickets).map(|_| TicketCode::random(rng)).collect();
        let hashes = codes.iter().map(|code| code.hash(&id, TicketKind::Enrol));
        let mut leaves: Vec<_> = hashes.map(|hash| (TicketUse::leaf(&hash, &SALT), hash)).collect();
        leaves.sort_unstable();
        let tree: Vec<_> = leaves.iter().map(|(leaf, _)| *leaf).collect();
        let grants: Vec<Grant> = (0..)
            .zip(&leaves)
            .map(|(index, (_, hash))| {
                let path = inclusion_proof(&tree, index).expect("in the tree");
                let place = TicketUse { lot: LOT, hash: *hash, salt: SALT, index, path };
                Grant { grant: TicketGrant { place, expires: EXPIRES, attributes: vec![4, 1] }, after: None }
            })
            .collect();
        let plan = LotPlan { lot: LOT, count: tickets as u64, root: merkle::root(&tree) };
        issuer.import_lot(&plan, grants.into_iter(), rng).expect("a new lot");
        let message = LotLeaf::signed_bytes(&id, LOT, plan.count, &plan.root);
        let signatures = self.officers.sign(tag::LOT, &message, 2);
        issuer.approve_lot(&LotLeaf { signatures, ..plan.unsigned() }).expect("two officers signed");
        codes
    }

    /// Publishes the keys of a round and opens it.
    fn open(&self, issuer: &IssuerService, round: Round, rng: &mut ChaCha20Rng) -> RoundMaster {
        let master = RoundMaster::generate(rng);
        let (header, keys) = issuer.with_programme(|programme| {
            let keys = authoring::round_keys(programme.latest(), &master, round).expect("no degenerate key");
            (authoring::with_keys(programme.latest(), programme.keys(), &keys), keys)
        });
        issuer.append_version(&self.officers.sign_header(header), &keys).expect("two officers signed");
        issuer.open_round(round, &master).expect("planned");
        master
    }

    /// The site, in round 1, with more in stock than it can hand out.
    fn site(&self, home: &Path, issuer: &IssuerService, programme: &Programme) -> SiteService {
        let packs = issuer.freeze(ROUND).expect("the round is open");
        let announcement = self.announcement(issuer, programme);
        SiteService::create(home, programme.id(), &announcement, SITE, &self.site_key).expect("an empty folder");
        let store = Store::open(home, Role::Site).expect("just made");
        let site = SiteService::open(store, self.site_key.clone(), SiteOptions::default()).expect("just made");
        site.open_round(&packs[0].encode()).expect("its own pack");
        site.set_stock(programme.latest().lines.iter().map(|line| (line.id, STOCK)).collect())
            .expect("lines of the programme");
        site
    }

    fn announcement(&self, issuer: &IssuerService, programme: &Programme) -> Vec<u8> {
        let read = issuer.store().read(|connection| {
            let mut rows = connection.prepare("SELECT entry FROM entries ORDER BY at")?;
            rows.query_map([], |row| row.get(0))?.collect::<Result<Vec<Vec<u8>>, _>>()
        });
        let entries = read.expect("the store is ours");
        let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let origin = authoring::ISSUER_LOG;
        let checkpoint = Checkpoint::new(origin, leaves.len() as u64, merkle::root(&leaves)).expect("an origin");
        let key = issuer.log_key();
        let note = sign_checkpoint(key, origin, &checkpoint).expect("a name");
        let log = VerifierKey::new(origin, KeyType::Log, key.verifying_key()).expect("a name");
        let verified = verify_checkpoint(note.to_string().as_bytes(), &log, &[], 0).expect("just signed");
        let note = note.with_signature(cosign(&self.witness, WITNESS, 0, &verified).expect("a name"));
        let (mut versions, mut openings) = (Vec::new(), Vec::new());
        for (index, entry) in (0..).zip(&entries) {
            let path = inclusion_proof(&leaves, index).expect("in the log");
            match IssuerLeaf::decode(entry).expect("the issuer's encoding") {
                IssuerLeaf::Manifest(leaf) => versions.push(Announced { leaf, index, path }),
                IssuerLeaf::Open(leaf) => openings.push(Announced { leaf, index, path }),
                _ => {}
            }
        }
        let checkpoint = note.to_string().into_bytes();
        Announcement { checkpoint, versions, openings, keys: programme.keys().to_vec() }.encode()
    }
}
