//! An issuer and two sites over real stores on disk, without servers.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests share it, and each uses a part"
)]

use std::collections::BTreeMap;

use annona_node::{
    authoring::{self, LOT, Officers, Parties, keys_of, signing_key},
    caseload::{Limits, SiteName},
    random::os as rng,
    service::{
        issuer::{Grant, IssuerSecrets, IssuerService, LotPlan},
        site::{CounterId, SiteError, SiteOptions, SiteService},
    },
    store::{Role, Store},
};
use annona_protocol::{
    credential::Credential,
    draw::{DrawContext, DrawResponse, RollOverContext, RollOverResponse, SessionRequest},
    enrol::{EnrolContext, EnrolResponse, TicketGrant},
    ids::{KeyIndex, LineId, Round, SiteId, Slot, Units},
    log::{
        leaf::{IssuerLeaf, LotLeaf},
        merkle::{self, inclusion_proof, leaf_hash},
        note::{Checkpoint, KeyType, VerifierKey, cosign, sign_checkpoint, verify_checkpoint},
    },
    programme::{
        Announced, Announcement, Header, KeyCounts, KeyId, LogKey, Programme, TicketKind, statement::make_change,
    },
    redeem::{RedeemRequest, RedeemResponse, VoidRequest},
    registry::tag,
    secret::SecretScalar,
    signature::PublicKey,
    slip::{Place, RefusalCode},
    slots::Slots,
    ticket::{TicketCode, TicketUse},
    voucher::{RoundMaster, SessionOffer, Voucher},
    wire::Message,
};
use ed25519_dalek::SigningKey;

pub const FOOD: LineId = LineId(1);
pub const CASH: LineId = LineId(4);
pub const ROUND: Round = Round(1);
pub const SITE: SiteId = SiteId(1);
pub const COUNTER: CounterId = CounterId(1);

pub struct World {
    pub homes: tempfile::TempDir,
    pub issuer: IssuerService,
    pub masters: BTreeMap<Round, RoundMaster>,
    pub secrets: Vec<u8>,
    pub codes: Vec<TicketCode>,
    pub site_keys: Vec<SigningKey>,
    pub witness: SigningKey,
    pub officers: Officers,
    /// The round that households draw in.
    pub round: Round,
}

/// Two sites, round 1 open, one ticket: four members, one child.
pub fn world() -> World {
    world_of(1)
}

/// The same with several tickets.
pub fn world_of(tickets: usize) -> World {
    world_with(tickets, 0)
}

/// The same where sites have slots.
pub fn world_with(tickets: usize, slots: u8) -> World {
    world_where(tickets, |header| header.sites.iter_mut().for_each(|site| site.slots = slots))
}

/// The same under another genesis.
pub fn world_where(tickets: usize, change: impl Fn(&mut Header)) -> World {
    world_until(tickets, Round(12), change)
}

/// The same with tickets that expire then.
pub fn world_until(tickets: usize, expires: Round, change: impl Fn(&mut Header)) -> World {
    let homes = tempfile::tempdir().unwrap();
    let rng = &mut rng();
    let site_keys: Vec<SigningKey> = (0..2).map(|_| signing_key(rng)).collect();
    let names = ["north", "south"].map(|name| SiteName::parse(name).unwrap());
    let sites: Vec<_> = names.into_iter().zip(site_keys.iter().map(PublicKey::of)).collect();
    let (secrets, officers) = (IssuerSecrets::generate(rng), Officers::generate(3, rng));
    let witness = signing_key(rng);
    let parties = Parties {
        issuer_key: secrets.credential.public(),
        issuer_log: PublicKey::of(&secrets.log),
        officers: &officers,
        witness: LogKey { name: "witness.example".into(), key: PublicKey::of(&witness) },
        sites: &sites,
    };
    let mut header = authoring::genesis(&parties, &Limits::default());
    change(&mut header);
    let genesis = officers.sign_header(header);
    let home = homes.path().join("issuer");
    let id = IssuerService::create(&home, &genesis, &secrets).unwrap();
    let bytes = secrets.to_bytes().to_vec();
    let issuer = IssuerService::open(Store::open(&home, Role::Issuer).unwrap(), secrets, &BTreeMap::new()).unwrap();

    let codes: Vec<TicketCode> = (0..tickets).map(|_| TicketCode::random(rng)).collect();
    let mut leaves: Vec<_> = codes
        .iter()
        .map(|code| {
            let hash = code.hash(&id, TicketKind::Enrol);
            (TicketUse::leaf(&hash, &[7; 32]), hash)
        })
        .collect();
    leaves.sort_unstable();
    let hashes: Vec<_> = leaves.iter().map(|(leaf, _)| *leaf).collect();
    let grants: Vec<Grant> = (0..)
        .zip(&leaves)
        .map(|(index, (_, hash))| {
            let path = inclusion_proof(&hashes, index).unwrap();
            let place = TicketUse { lot: LOT, hash: *hash, salt: [7; 32], index, path };
            Grant { grant: TicketGrant { place, expires, attributes: vec![4, 1] }, after: None }
        })
        .collect();
    let plan = LotPlan { lot: LOT, count: tickets as u64, root: merkle::root(&hashes) };
    issuer.import_lot(&plan, grants.into_iter(), rng).unwrap();
    let message = LotLeaf::signed_bytes(&id, LOT, plan.count, &plan.root);
    let signatures = officers.sign(tag::LOT, &message, 2);
    issuer.approve_lot(&LotLeaf { signatures, ..plan.unsigned() }).unwrap();

    let mut world = World {
        homes,
        issuer,
        masters: BTreeMap::new(),
        secrets: bytes,
        codes,
        site_keys,
        witness,
        officers,
        round: ROUND,
    };
    world.begin(ROUND, |_| {});
    world
}

pub fn slots() -> Slots {
    Slots::random(32, &mut rng())
}

pub fn entries(store: &Store) -> Vec<Vec<u8>> {
    store
        .read(|connection| {
            connection.prepare("SELECT entry FROM entries ORDER BY at")?.query_map([], |row| row.get(0))?.collect()
        })
        .unwrap()
}

/// The keys of all logs of a programme, the issuer's first.
pub fn log_keys(programme: &Programme) -> Vec<VerifierKey> {
    let header = programme.latest();
    std::iter::once(&header.issuer_log)
        .chain(header.sites.iter().flat_map(|site| &site.logs))
        .map(|log| log.verifier(KeyType::Log).unwrap())
        .collect()
}

/// A site that is open in round 1.
pub struct Open {
    pub site: SiteService,
    pub programme: Programme,
    pub round: Round,
}

impl World {
    /// A version with the keys of a round.
    pub fn prepare(&mut self, round: Round) {
        self.prepare_with(round, |_| {});
    }

    fn prepare_with(&mut self, round: Round, change: impl Fn(&mut Header)) {
        let master = RoundMaster::generate(&mut rng());
        let (header, keys) = self.issuer.with_programme(|programme| {
            let mut keys = authoring::round_keys(programme.latest(), &master, round).unwrap();
            if programme.latest().sites[0].slots > 0 {
                let anywhere = KeyId { line: CASH, value: 1, round, site: None, slot: None };
                keys.push(*master.derive(anywhere).unwrap().entry());
            }
            let mut next = authoring::with_keys(programme.latest(), programme.keys(), &keys);
            change(&mut next);
            (next, keys)
        });
        self.issuer.append_version(&self.officers.sign_header(header), &keys).unwrap();
        self.masters.insert(round, master);
    }

    pub fn programme(&self) -> Programme {
        self.issuer.with_programme(Clone::clone)
    }

    /// Stops the issuer, as a kill would, and starts it again from its disk.
    pub fn restart(self) -> Self {
        let Self { homes, issuer, masters, secrets, codes, site_keys, witness, officers, round } = self;
        drop(issuer);
        let store = Store::open(&homes.path().join("issuer"), Role::Issuer).unwrap();
        let issuer = IssuerService::open(store, IssuerSecrets::from_bytes(&secrets).unwrap(), &masters).unwrap();
        Self { homes, issuer, masters, secrets, codes, site_keys, witness, officers, round }
    }

    /// A version with the keys of another round, changed as the office likes, signed; and the round is open.
    pub fn begin(&mut self, round: Round, change: impl Fn(&mut Header)) {
        self.prepare_with(round, change);
        self.issuer.open_round(round, &self.masters[&round]).unwrap();
        self.round = round;
    }

    pub fn enrol(&self) -> Credential {
        self.enrol_with(0)
    }

    pub fn enrol_with(&self, ticket: usize) -> Credential {
        let code = TicketCode::from_bytes(*self.codes[ticket].expose());
        let programme = self.programme();
        let (context, request) = EnrolContext::new(&programme, TicketKind::Enrol, code, slots(), &mut rng()).unwrap();
        let answer = self.issuer.enrol(&request.encode(), &mut rng()).unwrap();
        context.finish(&programme, &EnrolResponse::decode(&answer).unwrap(), &mut rng()).unwrap()
    }

    pub fn roll_over(&self, credential: &Credential) -> Credential {
        let programme = self.programme();
        let view = programme.in_force(self.round).unwrap();
        let (context, request) = RollOverContext::new(&view, credential, slots(), &mut rng()).unwrap();
        let answer = self.issuer.roll_over(&request.encode(), &mut rng()).unwrap();
        context.finish(&view, &RollOverResponse::decode(&answer).unwrap(), &mut rng()).unwrap()
    }

    pub fn keys(&self, site: u16, units: &[(LineId, u64)]) -> KeyCounts {
        self.keys_on(site, None, units)
    }

    pub fn keys_on(&self, site: u16, slot: Option<Slot>, units: &[(LineId, u64)]) -> KeyCounts {
        let programme = self.programme();
        let view = programme.in_force(self.round).unwrap();
        let of = |line| {
            let mut keys = keys_of(programme.keys(), line, self.round, SiteId(site));
            keys.retain(|at| programme.key(*at).unwrap().id.slot == slot);
            keys
        };
        let mut list: KeyCounts =
            units.iter().flat_map(|(line, units)| make_change(&view, &of(*line), Units(*units)).unwrap()).collect();
        list.sort_unstable();
        list
    }

    pub fn session(&self, keys: &KeyCounts) -> SessionOffer {
        let request = SessionRequest { round: self.round, keys: keys.clone() };
        SessionOffer::decode(&self.issuer.open_session(&request.encode(), &mut rng()).unwrap()).unwrap()
    }

    /// A household that has drawn `units` at the first site.
    pub fn drawn(&self, units: &[(LineId, u64)]) -> (Credential, Vec<Voucher>) {
        self.drawn_with(0, units)
    }

    pub fn drawn_with(&self, ticket: usize, units: &[(LineId, u64)]) -> (Credential, Vec<Voucher>) {
        self.drawn_on(ticket, None, units)
    }

    pub fn drawn_on(&self, ticket: usize, slot: Option<Slot>, units: &[(LineId, u64)]) -> (Credential, Vec<Voucher>) {
        self.drawn_keys(ticket, self.keys_on(1, slot, units))
    }

    /// A household that has drawn so many units of cash for any site; only a world with slots has such vouchers.
    pub fn drawn_anywhere(&self, ticket: usize, units: u32) -> (Credential, Vec<Voucher>) {
        let programme = self.programme();
        let at = programme.keys().iter().position(|entry| entry.id.site.is_none()).unwrap();
        self.drawn_keys(ticket, vec![(KeyIndex(u32::try_from(at).unwrap()), units)])
    }

    fn drawn_keys(&self, ticket: usize, keys: KeyCounts) -> (Credential, Vec<Voucher>) {
        let credential = self.roll_over(&self.enrol_with(ticket));
        self.draw_keys(&credential, keys)
    }

    /// A draw at the first site.
    pub fn draw(
        &self,
        credential: &Credential,
        slot: Option<Slot>,
        units: &[(LineId, u64)],
    ) -> (Credential, Vec<Voucher>) {
        self.draw_keys(credential, self.keys_on(1, slot, units))
    }

    fn draw_keys(&self, credential: &Credential, keys: KeyCounts) -> (Credential, Vec<Voucher>) {
        let offer = self.session(&keys);
        let programme = self.programme();
        let view = programme.in_force(self.round).unwrap();
        let (context, request) = DrawContext::new(&view, credential, keys, &offer, slots(), &mut rng()).unwrap();
        let answer = self.issuer.draw(&request.encode(), &mut rng()).unwrap();
        context.finish(&view, &DrawResponse::decode(&answer).unwrap(), &mut rng()).unwrap()
    }

    pub fn announcement(&self) -> Vec<u8> {
        let entries = entries(self.issuer.store());
        let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let checkpoint = Checkpoint::new(authoring::ISSUER_LOG, leaves.len() as u64, merkle::root(&leaves)).unwrap();
        let key = self.issuer.log_key();
        let note = sign_checkpoint(key, authoring::ISSUER_LOG, &checkpoint).unwrap();
        let vkey = VerifierKey::new(authoring::ISSUER_LOG, KeyType::Log, key.verifying_key()).unwrap();
        let verified = verify_checkpoint(note.to_string().as_bytes(), &vkey, &[], 0).unwrap();
        let note = note.with_signature(cosign(&self.witness, "witness.example", 0, &verified).unwrap());
        let (mut versions, mut openings) = (Vec::new(), Vec::new());
        for (index, entry) in (0..).zip(&entries) {
            let path = inclusion_proof(&leaves, index).unwrap();
            match IssuerLeaf::decode(entry).unwrap() {
                IssuerLeaf::Manifest(leaf) => versions.push(Announced { leaf, index, path }),
                IssuerLeaf::Open(leaf) => openings.push(Announced { leaf, index, path }),
                _ => {}
            }
        }
        let checkpoint = note.to_string().into_bytes();
        Announcement { checkpoint, versions, openings, keys: self.programme().keys().to_vec() }.encode()
    }

    /// A site with its announcement, no round open.
    pub fn announced(&self, at: usize) -> SiteService {
        let (home, key) = (self.homes.path().join(format!("site-{at}")), self.site_keys[at].clone());
        let site = SiteId(u16::try_from(at).unwrap() + 1);
        SiteService::create(&home, self.programme().id(), &self.announcement(), site, &key).unwrap();
        SiteService::open(Store::open(&home, Role::Site).unwrap(), key, SiteOptions::default()).unwrap()
    }

    pub fn site(&self, at: usize, stock: u64) -> Open {
        let packs = self.issuer.freeze(self.round).unwrap();
        let site = self.announced(at);
        site.open_round(&packs[at].encode()).unwrap();
        site.set_stock(BTreeMap::from([(FOOD, Units(stock)), (CASH, Units(stock))])).unwrap();
        Open { site, programme: self.programme(), round: self.round }
    }

    pub fn restart_site(&self, at: usize, open: Open) -> Open {
        let Open { site, programme, round } = open;
        drop(site);
        let store = Store::open(&self.homes.path().join(format!("site-{at}")), Role::Site).unwrap();
        let site = SiteService::open(store, self.site_keys[at].clone(), SiteOptions::default()).unwrap();
        Open { site, programme, round }
    }
}

pub fn code(error: SiteError) -> RefusalCode {
    match error {
        SiteError::Refused(slip) => slip.content.code,
        other => panic!("{other}"),
    }
}

impl Open {
    pub fn place(&self) -> Place {
        Place::new(&self.programme.in_force(self.round).unwrap(), self.site.site())
    }

    pub fn request(&self, counter: CounterId, vouchers: &[&Voucher], spare: &SecretScalar) -> Vec<u8> {
        let quote = self.site.quote(counter, &mut rng()).unwrap();
        let view = self.programme.in_force(self.round).unwrap();
        RedeemRequest::new(&view, &quote, vouchers, spare, &mut rng()).unwrap().encode()
    }

    pub fn redeem_at(&self, counter: CounterId, vouchers: &[&Voucher]) -> Result<RedeemResponse, RefusalCode> {
        let request = self.request(counter, vouchers, &SecretScalar::random(&mut rng()));
        self.site.redeem(&request).map_err(|error| {
            if let SiteError::Refused(slip) = &error {
                slip.verify(&PublicKey::of(self.site.key())).expect("slips are signed");
            }
            code(error)
        })
    }

    pub fn redeem(&self, vouchers: &[&Voucher]) -> Result<RedeemResponse, RefusalCode> {
        self.redeem_at(COUNTER, vouchers)
    }

    pub fn void(&self, accepted: &[(&Voucher, u32)]) -> Result<usize, RefusalCode> {
        let view = self.programme.in_force(self.round).unwrap();
        let request = VoidRequest::new(&view, &self.place(), accepted, &mut rng()).unwrap();
        self.site.void(&request.encode()).map(|slip| slip.content.voided.len()).map_err(code)
    }
}
