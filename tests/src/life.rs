//! One life through the protocol with fixed seeds: every message, leaf and slip once, as bytes.

use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    cohort::{CohortClass, CohortSum},
    credential::Credential,
    draw::{
        AmendContext, AmendRequest, DrawContext, DrawRequest, RollOverContext, RollOverRequest, SessionGone,
        SessionRequest,
    },
    enrol::{EnrolContext, EnrolRequest, TicketGrant},
    fixture::{self, AMEND_LOT, CASH, FOOD, Fixture, INFANT, LOT, SITE, SLOTTED},
    group::PublicScalar,
    ids::{KeyIndex, LotId, QuoteId, Round, Slot, Units},
    log::{
        leaf::{
            AmendLeaf, CloseLeaf, DrawLeaf, EnrolLeaf, FreezeLeaf, IssuerLeaf, Leaf, LotLeaf, OpenLeaf, OwedLeaf,
            ShowRecord, SiteLeaf, SwapLeaf, VoucherLeaf, close_batch,
        },
        merkle::{self, TreeHash},
    },
    programme::{InForce, Label, OfficerSignature, SignedHeader, Since, TicketKind, Worth},
    redeem::{
        BearerVoucher, CollectRequest, Counter, Outcome, RedeemRequest, RedeemResponse, Surrender, VoidRequest,
        holder_key,
    },
    registry::tag,
    secret::SecretScalar,
    signature,
    slip::{
        OpeningPack, OwedSlip, OwedTerms, PackTerms, Place, Quote, QuoteTerms, Receipt, ReceiptTerms, RefusalCode,
        RefusalSlip, RefusalTerms, Signed, SiteStatement, StatementTerms, VoidSlip, VoidTerms,
    },
    slots::Slots,
    swap::{SwapContext, SwapRequest},
    ticket::{TicketCode, TicketUse},
    voucher::Voucher,
    wire::{Message, request_digest},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// A generator for one purpose: the seed's first bytes are the purpose's name.
pub fn rng(purpose: &str) -> ChaCha20Rng {
    let mut seed = [0; 32];
    seed.iter_mut().zip(purpose.bytes()).for_each(|(byte, letter)| *byte = letter);
    ChaCha20Rng::from_seed(seed)
}

/// A ticket of a lot.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The code on paper.
    pub code: [u8; 10],
    /// Its place in the lot.
    pub place: TicketUse,
}

/// An approved lot with all its tickets.
#[derive(Clone, Debug)]
pub struct Lot {
    /// What the officers signed.
    pub leaf: LotLeaf,
    /// The tickets, in the order of their leaves.
    pub tickets: Vec<Ticket>,
}

/// A move of request and answer, every part encoded.
#[derive(Clone, Debug)]
pub struct Exchange<L> {
    /// The wallet's context.
    pub context: Vec<u8>,
    /// The request.
    pub request: Vec<u8>,
    /// The response.
    pub response: Vec<u8>,
    /// The leaf.
    pub leaf: L,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// The programme with its secrets.
    pub fixture: Fixture,
    /// A lot of five enrolment tickets, and one of a single amend ticket.
    pub lots: [Lot; 2],
    /// Two enrolments.
    pub enrol: [Exchange<EnrolLeaf>; 2],
    /// The first household's roll-over into round 1.
    pub roll_over: Exchange<ShowRecord>,
    /// The session that its draw asks for, and the offer.
    pub session: [Vec<u8>; 2],
    /// Its draw: four values to prove.
    pub draw: Exchange<DrawLeaf>,
    /// The second household's roll-over.
    pub second_roll_over: Exchange<ShowRecord>,
    /// The second household's draws, each with its offer: three values, padded to four; one value, a key asked for twice.
    pub second_draws: [(Vec<u8>, Exchange<DrawLeaf>); 2],
    /// A refresh.
    pub refresh: Exchange<DrawLeaf>,
    /// An amend.
    pub amend: Exchange<AmendLeaf>,
    /// The offer for a swap.
    pub swap_offer: Vec<u8>,
    /// A swap of the first voucher.
    pub swap: Exchange<SwapLeaf>,
    /// The last credential.
    pub credential: Credential,
    /// The vouchers of the draw.
    pub vouchers: Vec<Voucher>,
    /// The vouchers of the swap.
    pub swapped: Vec<Voucher>,
    /// The two enrolments' opened sum.
    pub freeze: FreezeLeaf,
    /// The site's signed words and the wallet's requests at the site.
    pub visit: Visit,
    /// Event leaves of the issuer's log.
    pub events: Vec<IssuerLeaf>,
    /// The round's opening packs, one a site.
    pub packs: [OpeningPack; 2],
}

/// What happens at the site.
#[derive(Debug)]
pub struct Visit {
    /// The quote.
    pub quote: Quote,
    /// The spare holder key's secret.
    pub spare: SecretScalar,
    /// A redemption of all vouchers but the first.
    pub request: RedeemRequest,
    /// The leaves it leaves.
    pub leaves: Vec<VoucherLeaf>,
    /// A sheet.
    pub bearer: BearerVoucher,
    /// A receipt.
    pub receipt: Receipt,
    /// The answer to the redemption: the last line is owed in part.
    pub response: RedeemResponse,
    /// A refusal.
    pub refusal: RefusalSlip,
    /// An owed slip.
    pub owed: OwedSlip,
    /// Collecting it in round 3.
    pub collect: CollectRequest,
    /// Voiding a voucher.
    pub void: VoidRequest,
    /// The slip for it.
    pub void_slip: VoidSlip,
    /// A surrendered voucher.
    pub surrender: Surrender,
    /// A session that is gone.
    pub gone: SessionGone,
}

fn lot(fixture: &Fixture, id: LotId, kind: TicketKind, count: usize, rng: &mut ChaCha20Rng) -> Lot {
    let mut tickets: Vec<([u8; 10], [u8; 32])> = (0..count)
        .map(|_| {
            let (mut code, mut salt) = ([0; 10], [0; 32]);
            rng.fill_bytes(&mut code);
            rng.fill_bytes(&mut salt);
            (code, salt)
        })
        .collect();
    let leaf_of = |(code, salt): &([u8; 10], [u8; 32])| {
        TicketUse::leaf(&TicketCode::from_bytes(*code).hash(&fixture.programme.id(), kind), salt)
    };
    tickets.sort_by_key(leaf_of);
    let leaves: Vec<TreeHash> = tickets.iter().map(leaf_of).collect();
    let (count, root) = (leaves.len() as u64, merkle::root(&leaves));
    let bytes = LotLeaf::signed_bytes(&fixture.programme.id(), id, count, &root);
    let signatures = (0u8..)
        .zip(&fixture.officers)
        .take(2)
        .map(|(officer, key)| OfficerSignature { officer, signature: signature::sign(tag::LOT, &bytes, key) })
        .collect();
    let tickets = (0u64..)
        .zip(tickets)
        .map(|(index, (code, salt))| {
            let hash = TicketCode::from_bytes(code).hash(&fixture.programme.id(), kind);
            let path = merkle::inclusion_proof(&leaves, index).expect("the leaf is there");
            Ticket { code, place: TicketUse { lot: id, hash, salt, index, path } }
        })
        .collect();
    Lot { leaf: LotLeaf { lot: id, count, root, signatures }, tickets }
}

fn grant(ticket: &Ticket, attributes: &[u64]) -> TicketGrant {
    TicketGrant { place: ticket.place.clone(), expires: Round(12), attributes: attributes.to_vec() }
}

type Enrolled = (Credential, Exchange<EnrolLeaf>);

fn enrol(
    fixture: &Fixture,
    ticket: &Ticket,
    attributes: &[u64],
    sum: &mut CohortSum,
    rng: &mut ChaCha20Rng,
) -> Enrolled {
    let programme = &fixture.programme;
    let slots = Slots::random(48, rng);
    let (context, request) =
        EnrolContext::new(programme, TicketKind::Enrol, TicketCode::from_bytes(ticket.code), slots, rng)
            .expect("well formed");
    let (context, request) = (context.encode(), request.encode());
    let verified = EnrolRequest::decode(&request).expect("just encoded").verify(programme, rng).expect("honest");
    let issued = verified.issue(programme, &fixture.issuer, &grant(ticket, attributes), rng).expect("fits");
    sum.add(&issued.member);
    let waiting = EnrolContext::decode(&context).expect("just encoded");
    let credential = waiting.finish(programme, &issued.response, rng).expect("honest");
    (credential, Exchange { context, request, response: issued.response.encode(), leaf: issued.leaf })
}

fn roll_over(fixture: &Fixture, credential: &Credential, rng: &mut ChaCha20Rng) -> (Credential, Exchange<ShowRecord>) {
    let view = fixture.view(1);
    let (context, request) =
        RollOverContext::new(&view, credential, Slots::random(48, rng), rng).expect("may roll over");
    let (context, request) = (context.encode(), request.encode());
    let verified =
        RollOverRequest::decode(&request).expect("just encoded").verify(&view, &fixture.issuer, rng).expect("honest");
    let (response, leaf) = verified.answer(&fixture.issuer, rng).expect("not degenerate");
    let waiting = RollOverContext::decode(&context).expect("just encoded");
    let credential = waiting.finish(&view, &response, rng).expect("honest");
    (credential, Exchange { context, request, response: response.encode(), leaf })
}

type Drawn = (Credential, Vec<Voucher>, Option<[Vec<u8>; 2]>, Exchange<DrawLeaf>);

fn draw(fixture: &Fixture, credential: &Credential, keys: Vec<(KeyIndex, u32)>, rng: &mut ChaCha20Rng) -> Drawn {
    let view = fixture.view(1);
    let session_request = SessionRequest { round: Round(1), keys: keys.clone() };
    let session = (!keys.is_empty()).then(|| fixture.secrets(1).open(&view, &session_request, rng).expect("listed"));
    let slots = Slots::random(48, rng);
    let (context, request) = match &session {
        Some(session) => DrawContext::new(&view, credential, keys, session.offer(), slots, rng),
        None => DrawContext::refresh(&view, credential, slots, rng),
    }
    .expect("covered");
    let (context, request) = (context.encode(), request.encode());
    let messages = session.as_ref().map(|session| [session_request.encode(), session.offer().encode()]);
    let verified = DrawRequest::decode(&request)
        .expect("just encoded")
        .verify(&view, &fixture.issuer, session.as_ref(), rng)
        .expect("honest");
    let (response, leaf) = verified.answer(&fixture.issuer, session, rng).expect("not degenerate");
    let waiting = DrawContext::decode(&context).expect("just encoded");
    let (credential, vouchers) = waiting.finish(&view, &response, rng).expect("honest");
    (credential, vouchers, messages, Exchange { context, request, response: response.encode(), leaf })
}

fn amend(
    fixture: &Fixture,
    credential: &Credential,
    ticket: &Ticket,
    rng: &mut ChaCha20Rng,
) -> (Credential, Exchange<AmendLeaf>) {
    let view = fixture.view(1);
    let (context, request) =
        AmendContext::new(&view, credential, TicketCode::from_bytes(ticket.code), Slots::random(48, rng), rng)
            .expect("rolled over");
    let (context, request) = (context.encode(), request.encode());
    let verified =
        AmendRequest::decode(&request).expect("just encoded").verify(&view, &fixture.issuer, rng).expect("honest");
    let issued = verified.answer(&view, &fixture.issuer, &grant(ticket, &[6, 2]), rng).expect("fits");
    let waiting = AmendContext::decode(&context).expect("just encoded");
    let credential = waiting.finish(&view, &issued.response, rng).expect("honest");
    (credential, Exchange { context, request, response: issued.response.encode(), leaf: issued.leaf })
}

fn swap(fixture: &Fixture, old: &Voucher, rng: &mut ChaCha20Rng) -> (Vec<Voucher>, Vec<u8>, Exchange<SwapLeaf>) {
    let view = fixture.view(1);
    let entry = view.key(old.key()).expect("listed");
    let units = u64::from(entry.id.value);
    let new = fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(entry.id.line, units)]);
    let request = SessionRequest { round: Round(1), keys: new.clone() };
    let session = fixture.secrets(1).open(&view, &request, rng).expect("listed");
    let offer = session.offer().encode();
    let slots = Slots::random(48, rng);
    let (context, request) = SwapContext::new(&view, vec![old], new, session.offer(), slots, rng).expect("conserves");
    let (context, request) = (context.encode(), request.encode());
    let verified = SwapRequest::decode(&request).expect("just encoded").verify(&view, &session).expect("honest");
    let (response, leaf) = verified.answer(session).expect("the same session");
    let waiting = SwapContext::decode(&context).expect("just encoded");
    let vouchers = waiting.finish(&view, &response).expect("honest");
    (vouchers, offer, Exchange { context, request, response: response.encode(), leaf })
}

/// The issuer's log before the freeze: versions, lots, the round's opening, one batch.
fn before_freeze(fixture: &Fixture, lots: &[Lot; 2], events: &[IssuerLeaf]) -> Vec<Vec<u8>> {
    let mut leaves: Vec<IssuerLeaf> = fixture.chain.iter().map(|signed| IssuerLeaf::Manifest(signed.clone())).collect();
    leaves.extend(lots.iter().map(|lot| IssuerLeaf::Lot(lot.leaf.clone())));
    leaves.push(IssuerLeaf::Open(OpenLeaf { round: Round(1), manifest: fixture.view(1).hash }));
    let mut entries: Vec<Vec<u8>> = leaves.iter().map(Message::encode).collect();
    entries.extend(close_batch(events, 1, Round(1), entries.len() as u64));
    entries
}

/// The packs of round 1: the first site must refuse the swapped voucher.
fn packs(fixture: &Fixture, swapped: &Voucher, log: &[Vec<u8>]) -> [OpeningPack; 2] {
    let leaves: Vec<TreeHash> = log.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    let (size, root) = (leaves.len() as u64, merkle::root(&leaves));
    [(SITE, vec![swapped.shown().mark()]), (SLOTTED, Vec::new())].map(|(site, swapped)| {
        let terms = PackTerms { place: Place::new(&fixture.view(1), site), swapped, size, root };
        Signed::sign(terms, &fixture.issuer_log)
    })
}

fn visit(fixture: &Fixture, vouchers: &[Voucher], rng: &mut ChaCha20Rng) -> Visit {
    let (view, later) = (fixture.view(1), fixture.view(3));
    let (place, key) = (Place::new(&view, SITE), &fixture.site_logs[0]);
    let mut id = QuoteId::default();
    rng.fill_bytes(&mut id.0);
    let quote = Signed::sign(QuoteTerms { place, id, lines: vec![FOOD, INFANT, CASH] }, key);
    let spare = SecretScalar::random(rng);
    let shown: Vec<&Voucher> = vouchers[1..].iter().collect();
    let request = RedeemRequest::new(&view, &quote, &shown, &spare, rng).expect("quoted");
    let counter = Counter::new(view, place, Vec::new());
    let leaves = counter.verify(&quote, &request).expect("honest").leaves(|_| 1);
    let mark = vouchers[1].shown().mark();
    let sign = |leaf: &VoucherLeaf| {
        let (mark, hash) = (leaf.voucher.shown.mark(), SiteLeaf::Voucher(*leaf).tree_hash());
        Signed::sign(ReceiptTerms { place, mark, number: 1, leaf: hash, batch: 1, pending: false }, key)
    };
    let receipts: Vec<Receipt> = leaves.iter().map(sign).collect();
    let receipt = receipts[0].clone();
    let refusal =
        Signed::sign(RefusalTerms { place, quote: id, code: RefusalCode::AlreadyRedeemed, marks: vec![mark] }, key);
    let owed = OwedTerms { place, lines: vec![(CASH, Units(2))], holder: holder_key(&spare) };
    let owed = Signed::sign(owed, key);
    let response = RedeemResponse {
        outcome: Outcome::Accepted,
        visit: request_digest(&request.encode()),
        units: vec![(INFANT, Units(1)), (CASH, Units(28))],
        receipts,
        owed: Some(owed.clone()),
    };
    let collect = CollectRequest::new(&view, &owed, &Place::new(&later, SITE), &spare, rng).expect("the slip's holder");
    let void = VoidRequest::new(&view, &place, &[(&vouchers[1], 1)], rng).expect("listed");
    let void_slip = Signed::sign(VoidTerms { place, voided: vec![(mark, 1)] }, key);
    let surrender = Surrender::new(&view, &vouchers[0], rng).expect("of this round");
    let mut session = annona_protocol::ids::SessionId::default();
    rng.fill_bytes(&mut session.0);
    let serial = PublicScalar(annona_protocol::group::Scalar::from(7u64));
    let gone = SessionGone::sign(fixture.programme.id(), session, serial, &fixture.issuer_log);
    let bearer = BearerVoucher::new(&vouchers[1]);
    Visit {
        quote,
        spare,
        request,
        leaves,
        bearer,
        receipt,
        response,
        refusal,
        owed,
        collect,
        void,
        void_slip,
        surrender,
        gone,
    }
}

impl World {
    /// The same world each time.
    pub fn new() -> Self {
        let fixture = Fixture::new(&mut rng("programme"));
        let rng = &mut rng("tickets");
        let lots = [lot(&fixture, LOT, TicketKind::Enrol, 5, rng), lot(&fixture, AMEND_LOT, TicketKind::Amend, 1, rng)];
        let class = CohortClass { amend: false, expires: Round(12), drawn: Round(0) };
        let mut sum = CohortSum::new(class, fixture.programme.schema());
        let (credential, first) = enrol(&fixture, &lots[0].tickets[0], &[4, 1], &mut sum, rng);
        let (other, second) = enrol(&fixture, &lots[0].tickets[3], &[7, 2], &mut sum, rng);
        let (credential, rolled) = roll_over(&fixture, &credential, rng);
        let keys = fixture.keys(1, &[(FOOD, 4), (INFANT, 1), (CASH, 30)]);
        let (credential, vouchers, session, drawn) = draw(&fixture, &credential, keys, rng);
        let (other, second_roll_over) = roll_over(&fixture, &other, rng);
        let keys = fixture.keys(1, &[(FOOD, 3), (INFANT, 1)]);
        let (other, _, padded, padded_draw) = draw(&fixture, &other, keys, rng);
        let (_, _, single, single_draw) = draw(&fixture, &other, fixture.keys(1, &[(CASH, 40)]), rng);
        let [padded, single] = [padded, single].map(|session| session.expect("the draw asks for keys")[1].clone());
        let (credential, _, _, refresh) = draw(&fixture, &credential, Vec::new(), rng);
        let (credential, amended) = amend(&fixture, &credential, &lots[1].tickets[0], rng);
        let (swapped, swap_offer, swap) = swap(&fixture, &vouchers[0], rng);
        let events = vec![
            IssuerLeaf::Enrol(first.leaf.clone()),
            IssuerLeaf::Enrol(second.leaf.clone()),
            IssuerLeaf::RollOver(rolled.leaf.clone()),
            IssuerLeaf::RollOver(second_roll_over.leaf.clone()),
            IssuerLeaf::Draw(drawn.leaf.clone()),
            IssuerLeaf::Draw(padded_draw.leaf.clone()),
            IssuerLeaf::Draw(single_draw.leaf.clone()),
            IssuerLeaf::Draw(refresh.leaf.clone()),
            IssuerLeaf::Amend(amended.leaf.clone()),
            IssuerLeaf::Swap(swap.leaf.clone()),
        ];
        let before = before_freeze(&fixture, &lots, &events);
        let packs = packs(&fixture, &vouchers[0], &before);
        let visit = visit(&fixture, &vouchers, rng);
        let freeze = FreezeLeaf {
            round: Round(1),
            manifest: fixture.view(1).hash,
            packs: packs.iter().map(|pack| (pack.content.place.site, pack.digest())).collect(),
            openings: vec![sum.open(&fixture.programme, 0, before.len() as u64, rng).expect("two members are enough")],
        };
        Self {
            lots,
            enrol: [first, second],
            roll_over: rolled,
            session: session.expect("the draw asks for keys"),
            draw: drawn,
            second_roll_over,
            second_draws: [(padded, padded_draw), (single, single_draw)],
            refresh,
            amend: amended,
            swap_offer,
            swap,
            credential,
            vouchers,
            swapped,
            freeze,
            visit,
            events,
            packs,
            fixture,
        }
    }

    /// The programme as a round sees it.
    pub fn view(&self, round: u32) -> InForce<'_> {
        self.fixture.view(round)
    }

    /// Control leaves of the issuer's log after the batch.
    pub fn closing(&self) -> [IssuerLeaf; 3] {
        [
            IssuerLeaf::Freeze(self.freeze.clone()),
            IssuerLeaf::Close(CloseLeaf { round: Round(1) }),
            IssuerLeaf::Open(OpenLeaf { round: Round(3), manifest: self.view(3).hash }),
        ]
    }

    /// The issuer's whole log.
    pub fn issuer_log(&self) -> Vec<Vec<u8>> {
        let mut entries = before_freeze(&self.fixture, &self.lots, &self.events);
        entries.extend(self.closing().iter().map(Message::encode));
        entries
    }

    /// The first site's whole log: a batch of round 1, its statement, a batch of round 3.
    pub fn site_log(&self) -> Vec<Vec<u8>> {
        let collected = self.site_events();
        let (first, last) = collected.split_at(collected.len() - 1);
        let mut entries = close_batch(first, 1, Round(1), 0);
        entries.push(SiteLeaf::Statement(self.statement()).encode());
        entries.extend(close_batch(last, 2, Round(3), entries.len() as u64));
        entries
    }

    /// The round's statement over the log before it.
    pub fn statement(&self) -> SiteStatement {
        let visit = &self.visit;
        let events = self.site_events();
        let batch = close_batch(&events[..events.len() - 1], 1, Round(1), 0);
        let leaves: Vec<TreeHash> = batch.iter().map(|entry| merkle::leaf_hash(entry)).collect();
        let voided = visit.void.voids[0].mark.key;
        let mut kept: Vec<KeyIndex> =
            visit.leaves.iter().map(|leaf| leaf.voucher.shown.key).filter(|key| *key != voided).collect();
        kept.sort_unstable();
        let terms = StatementTerms {
            place: visit.receipt.content.place,
            units: vec![(CASH, Units(30))],
            vouchers: kept.into_iter().map(|key| (key, 1)).collect(),
            voids: vec![(voided, 1)],
            owed: vec![(CASH, Units(2))],
            collected: Vec::new(),
            size: leaves.len() as u64,
            root: merkle::root(&leaves),
        };
        Signed::sign(terms, &self.fixture.site_logs[0])
    }

    fn site_leaves(&self) -> (Vec<Vec<u8>>, Vec<TreeHash>) {
        let entries = self.site_log();
        let leaves = entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
        (entries, leaves)
    }

    /// Proof that the receipt's leaf is in the site's log.
    pub fn inclusion(&self) -> Inclusion {
        let (entries, leaves) = self.site_leaves();
        Inclusion::find(&self.visit.receipt, &entries, &leaves).expect("the site kept its word")
    }

    /// Proof that the leaf of a second acceptance is not, although a receipt promises it.
    pub fn omission(&self) -> Omission {
        let (entries, leaves) = self.site_leaves();
        let mut leaf = self.visit.leaves[0];
        leaf.number = 2;
        let terms = ReceiptTerms { number: 2, leaf: SiteLeaf::Voucher(leaf).tree_hash(), ..self.visit.receipt.content };
        let receipt = Signed::sign(terms, &self.fixture.site_logs[0]);
        Omission::find(&receipt, &entries, &leaves).expect("no such leaf")
    }

    /// The same for a round of which the log has no batch.
    pub fn omission_from_empty(&self) -> Omission {
        let (entries, leaves) = self.site_leaves();
        let place = Place::new(&self.view(2), SITE);
        let terms = ReceiptTerms { place, batch: 2, ..self.visit.receipt.content };
        let receipt = Signed::sign(terms, &self.fixture.site_logs[0]);
        Omission::find(&receipt, &entries, &leaves).expect("no such batch")
    }

    /// The slip's leaf in the site's log.
    pub fn owed_leaf(&self) -> OwedLeaf {
        let owed = &self.visit.owed.content;
        OwedLeaf { round: owed.place.round, lines: owed.lines.clone(), holder: owed.holder }
    }

    /// Event leaves of the first site's log; the last is of round 3, the others of round 1.
    pub fn site_events(&self) -> Vec<SiteLeaf> {
        let visit = &self.visit;
        let mut leaves: Vec<SiteLeaf> = visit.leaves.iter().map(|leaf| SiteLeaf::Voucher(*leaf)).collect();
        leaves.extend(visit.void.voids.iter().map(|leaf| SiteLeaf::Void(*leaf)));
        leaves.push(SiteLeaf::Owed(self.owed_leaf()));
        let collected = visit.collect.verify(&Place::new(&self.view(3), SITE), &self.owed_leaf()).expect("honest");
        leaves.push(SiteLeaf::Collected(collected));
        leaves
    }

    /// A header with every optional part filled.
    pub fn full_header(&self) -> SignedHeader {
        let mut header = self.fixture.chain[1].header.clone();
        let label = |language: &str, text: &str| Label { language: language.into(), text: text.into() };
        header.lines[0].labels = vec![label("en", "Food"), label("ar", "غذاء")];
        header.lines[0].worth = vec![Since {
            round: Round(1),
            value: vec![Worth { item: "cereals".into(), amount: 12_000, measure: "g".into() }],
        }];
        header.sites[0].labels = vec![label("en", "North gate")];
        fixture::sign_header(header, &self.fixture.officers)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
