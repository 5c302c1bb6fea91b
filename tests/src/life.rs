//! One life through the protocol with fixed seeds: every message, leaf and slip once, as bytes.

use annona_protocol::{
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
            AmendLeaf, CloseLeaf, DrawLeaf, EnrolLeaf, FreezeLeaf, IssuerLeaf, LotLeaf, OpenLeaf, OwedLeaf,
            OwedVoidedLeaf, ShowRecord, SiteLeaf, SwapLeaf, VoucherLeaf,
        },
        merkle::{self, TreeHash},
    },
    programme::{InForce, Label, OfficerSignature, SignedHeader, Since, TicketKind, Worth},
    redeem::{BearerVoucher, CollectRequest, Counter, RedeemRequest, Surrender, VoidRequest, holder_key},
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
    wire::Message,
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
    /// A refusal.
    pub refusal: RefusalSlip,
    /// An owed slip.
    pub owed: OwedSlip,
    /// Collecting it in round 2.
    pub collect: CollectRequest,
    /// Voiding a voucher.
    pub void: VoidRequest,
    /// The slip for it.
    pub void_slip: VoidSlip,
    /// A surrendered voucher.
    pub surrender: Surrender,
    /// The round's statement.
    pub statement: SiteStatement,
    /// The next round's pack.
    pub pack: OpeningPack,
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
        TicketUse::leaf(&TicketCode::new(*code).hash(&fixture.programme.id(), kind), salt)
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
            let hash = TicketCode::new(code).hash(&fixture.programme.id(), kind);
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
        EnrolContext::new(programme, TicketKind::Enrol, TicketCode::new(ticket.code), slots, rng).expect("well formed");
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
        AmendContext::new(&view, credential, TicketCode::new(ticket.code), Slots::random(48, rng), rng)
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

fn visit(fixture: &Fixture, vouchers: &[Voucher], rng: &mut ChaCha20Rng) -> Visit {
    let (view, next) = (fixture.view(1), fixture.view(2));
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
    let receipt = Signed::sign(ReceiptTerms { place, mark, number: 1, batch: 1, pending: false }, key);
    let refusal =
        Signed::sign(RefusalTerms { place, quote: id, code: RefusalCode::AlreadyRedeemed, marks: vec![mark] }, key);
    let owed = OwedTerms { place, lines: vec![(FOOD, Units(2))], holder: holder_key(&spare) };
    let owed = Signed::sign(owed, key);
    let collect = CollectRequest::new(&view, &owed, &Place::new(&next, SITE), &spare, rng).expect("the slip's holder");
    let void = VoidRequest::new(&view, &place, &[(&vouchers[1], 1)], rng).expect("listed");
    let void_slip = Signed::sign(VoidTerms { place, voided: vec![(mark, 1)] }, key);
    let surrender = Surrender::new(&view, &vouchers[0], rng).expect("of this round");
    let terms = StatementTerms {
        place,
        units: vec![(CASH, Units(30))],
        vouchers: vec![(vouchers[2].key(), 1)],
        voids: vec![(mark.key, 1)],
        owed: vec![(FOOD, Units(2))],
        collected: vec![(FOOD, Units(2))],
        size: 5,
        root: merkle::leaf_hash(b"a site's log"),
    };
    let statement = Signed::sign(terms, key);
    let terms = PackTerms {
        place,
        swapped: vec![vouchers[0].shown().mark()],
        size: 9,
        root: merkle::leaf_hash(b"the issuer's log"),
    };
    let pack = Signed::sign(terms, &fixture.issuer_log);
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
        refusal,
        owed,
        collect,
        void,
        void_slip,
        surrender,
        statement,
        pack,
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
        let visit = visit(&fixture, &vouchers, rng);
        // The issuer's log: two versions, two lots, an opening, ten events, the batch header; then this freeze.
        let opening = sum.open(&fixture.programme, 0, 16, rng).expect("two members are enough");
        let manifest = fixture.view(1).hash;
        let packs = vec![(SITE, visit.pack.digest())];
        let freeze = FreezeLeaf { round: Round(1), manifest, packs, openings: vec![opening] };
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
            fixture,
        }
    }

    /// The programme as a round sees it.
    pub fn view(&self, round: u32) -> InForce<'_> {
        self.fixture.view(round)
    }

    /// Event leaves of the issuer's log.
    pub fn issuer_events(&self) -> Vec<IssuerLeaf> {
        vec![
            IssuerLeaf::Enrol(self.enrol[0].leaf.clone()),
            IssuerLeaf::Enrol(self.enrol[1].leaf.clone()),
            IssuerLeaf::RollOver(self.roll_over.leaf.clone()),
            IssuerLeaf::RollOver(self.second_roll_over.leaf.clone()),
            IssuerLeaf::Draw(self.draw.leaf.clone()),
            IssuerLeaf::Draw(self.second_draws[0].1.leaf.clone()),
            IssuerLeaf::Draw(self.second_draws[1].1.leaf.clone()),
            IssuerLeaf::Draw(self.refresh.leaf.clone()),
            IssuerLeaf::Amend(self.amend.leaf.clone()),
            IssuerLeaf::Swap(self.swap.leaf.clone()),
        ]
    }

    /// Control leaves of the issuer's log, batch headers aside.
    pub fn issuer_controls(&self) -> Vec<IssuerLeaf> {
        let manifest = self.view(1).hash;
        let mut leaves: Vec<IssuerLeaf> =
            self.fixture.chain.iter().map(|signed| IssuerLeaf::Manifest(signed.clone())).collect();
        leaves.extend(self.lots.iter().map(|lot| IssuerLeaf::Lot(lot.leaf.clone())));
        leaves.push(IssuerLeaf::Open(OpenLeaf { round: Round(1), manifest }));
        leaves.push(IssuerLeaf::Freeze(self.freeze.clone()));
        leaves.push(IssuerLeaf::Close(CloseLeaf { round: Round(1) }));
        leaves
    }

    /// The slip's leaf in the site's log.
    pub fn owed_leaf(&self) -> OwedLeaf {
        let owed = &self.visit.owed.content;
        OwedLeaf { round: owed.place.round, lines: owed.lines.clone(), holder: owed.holder }
    }

    /// Event leaves of a site's log.
    pub fn site_events(&self) -> Vec<SiteLeaf> {
        let visit = &self.visit;
        let mut leaves: Vec<SiteLeaf> = visit.leaves.iter().map(|leaf| SiteLeaf::Voucher(*leaf)).collect();
        leaves.extend(visit.void.voids.iter().map(|leaf| SiteLeaf::Void(*leaf)));
        leaves.push(SiteLeaf::Owed(self.owed_leaf()));
        let collected = visit.collect.verify(&Place::new(&self.view(2), SITE), &self.owed_leaf()).expect("honest");
        leaves.push(SiteLeaf::Collected(collected));
        leaves.push(SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: visit.owed.content.holder }));
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
