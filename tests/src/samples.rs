//! One valid sample of every message, from one programme and one household's life, the same bytes in every run.

use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    bucket::{SlotBucket, SlotDirectory, SlotRound, StoredSlot},
    cohort::{CohortClass, CohortSum},
    credential::Credential,
    draw::{AmendContext, DrawContext, RollOverContext, SessionGone, SessionRequest},
    enrol::{EnrolContext, EnrolRequest, IssuedEnrol, TicketGrant},
    fixture::{AMEND_LOT, CASH, FOOD, Fixture, INFANT, LOT, SITE, SLOTTED},
    ids::{Digest, LineId, QuoteId, Round, SessionId, Slot, Units},
    log::{
        leaf::{
            BatchHeader, CloseLeaf, CollectedLeaf, FreezeLeaf, IssuerLeaf, LotLeaf, OpenLeaf, OwedLeaf, OwedVoidedLeaf,
            ShowRecord, SiteLeaf, VoidLeaf, VoucherLeaf, close_batch,
        },
        merkle::{TreeHash, leaf_hash, root},
        note::{Checkpoint, KeyType, VerifierKey, cosign, sign_checkpoint, verify_checkpoint},
        tile::{paths, tiles_for},
    },
    programme::TicketKind,
    redeem::{
        BearerVoucher, CollectRequest, Counter, Outcome, RedeemRequest, RedeemResponse, Surrender, VoidRequest,
        holder_key,
    },
    secret::SecretScalar,
    slip::{
        OwedSlip, OwedTerms, PackTerms, Place, Quote, QuoteTerms, ReceiptTerms, RefusalCode, RefusalTerms, Signed,
        StatementTerms, VoidTerms,
    },
    slots::Slots,
    swap::SwapContext,
    ticket::TicketCode,
    voucher::{Mark, SigningSession, Voucher},
    wire::{Message, request_digest},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// The length of the sealed slots' ciphertexts, in bytes.
pub const SLOT_BYTES: usize = 64;

/// An encoded message.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The registry's name of the kind in lower case, then the variant if the kind has several.
    pub name: String,
    /// The kind.
    pub kind: u8,
    /// The encoding.
    pub bytes: Vec<u8>,
}

/// A request with what its sender keeps and what it is answered, all encoded.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the wallet keeps.
    pub context: Vec<u8>,
    /// What it sends.
    pub request: Vec<u8>,
    /// What it gets.
    pub response: Vec<u8>,
}

/// All samples, with what it takes to verify them.
#[derive(Debug)]
pub struct Samples {
    /// The programme.
    pub fixture: Fixture,
    /// The samples.
    pub all: Vec<Sample>,
    /// The enrolment of the household.
    pub enrol: Exchange,
    /// What its ticket grants.
    pub grant: TicketGrant,
    /// Its roll-over.
    pub roll_over: Exchange,
    /// The credential that it draws with, encoded.
    pub credential: Vec<u8>,
    /// Its draw of four range-proven values.
    pub draw: Exchange,
    /// The draw's session, not answered yet.
    pub draw_session: SigningSession,
    /// The amend.
    pub amend: Exchange,
    /// What the amend's ticket grants.
    pub amend_grant: TicketGrant,
    /// The swap.
    pub swap: Exchange,
    /// The swap's session, not answered yet.
    pub swap_session: SigningSession,
    /// The quote of the first site.
    pub quote: Quote,
    /// The owed slip of the visit.
    pub owed: OwedSlip,
    /// Its leaf.
    pub owed_leaf: OwedLeaf,
    /// Approvals of all tickets' lots.
    pub lots: Vec<LotLeaf>,
    /// The members of the opened cohorts.
    pub members: Vec<IssuerLeaf>,
    /// The site's log that holds the receipt's leaf.
    pub kept: Checkpoint,
    /// The one that lacks it.
    pub broken: Checkpoint,
}

struct Maker {
    fixture: Fixture,
    rng: ChaCha20Rng,
    all: Vec<Sample>,
    lots: Vec<LotLeaf>,
    members: Vec<IssuerLeaf>,
    /// Enrolments, then amends.
    sums: [CohortSum; 2],
}

impl Samples {
    /// Makes all samples, with a generator of a fixed seed.
    ///
    /// # Panics
    /// If the protocol is at fault.
    pub fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let fixture = Fixture::new(&mut rng);
        let class = |amend, drawn| CohortClass { amend, expires: Round(12), drawn: Round(drawn) };
        let sums = [class(false, 0), class(true, 1)].map(|class| CohortSum::new(class, fixture.programme.schema()));
        Maker { fixture, rng, all: Vec::new(), lots: Vec::new(), members: Vec::new(), sums }.make()
    }

    /// The first sample of a name.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, name: &str) -> &Sample {
        self.all.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("no sample {name}"))
    }

    /// Valid inputs of a fuzz target.
    ///
    /// # Panics
    /// If the samples do not decode.
    pub fn corpus(&self, target: &str) -> Vec<Vec<u8>> {
        let key = VerifierKey::new("annona.example/issuer", KeyType::Log, self.fixture.issuer_log.verifying_key());
        let witness = VerifierKey::new("witness.example", KeyType::Witness, self.fixture.witness.verifying_key());
        let (key, witness) = (key.expect("a usable name"), witness.expect("a usable name"));
        let entries: Vec<&[u8]> = self.all.iter().map(|sample| sample.bytes.as_slice()).take(20).collect();
        let leaves: Vec<TreeHash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let checkpoint = Checkpoint::new(key.name(), entries.len() as u64, root(&leaves)).expect("not empty");
        let texts = |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect();
        match target {
            "checkpoint" => texts(&[checkpoint.to_string()]),
            "note" => {
                let note = sign_checkpoint(&self.fixture.issuer_log, key.name(), &checkpoint).expect("its own");
                let verified = verify_checkpoint(note.to_string().as_bytes(), &key, &[], 0).expect("just signed");
                let line = cosign(&self.fixture.witness, witness.name(), 1_700_000_000, &verified).expect("in time");
                texts(&[note.to_string(), note.with_signature(line).to_string()])
            }
            "verifier_key" => texts(&[key.to_string(), witness.to_string()]),
            "tile_path" => {
                let paths = paths(3 << 16).step_by(97).map(|path| path.to_string());
                texts(&paths.chain(["tile/0/x001/x234/067.p/8".to_owned()]).collect::<Vec<_>>())
            }
            "log_files" => {
                let tiles = tiles_for(&entries).expect("short entries");
                let sized = |content: Vec<u8>| [&(entries.len() as u16).to_le_bytes()[..], &content].concat();
                // One hash as both bundle and tile of a log of one entry cannot be: the empty log can.
                tiles.into_iter().map(|tile| sized(tile.content)).chain([vec![0, 0]]).collect()
            }
            "ticket_code" => {
                let printed = annona_protocol::ticket::TicketCode::from_bytes([7; 10]).to_print();
                texts(&[printed.to_string(), printed.to_lowercase().replace('-', " ")])
            }
            "caseload" => texts(&[
                "case_id,document_no,phone,site,members,under_two,pregnant_or_lactating,months_registered\n\
                 HH-1,D1,+1,north,4,1,0,12\nHH-2,\"D,2\",\"a \"\"b\"\"\",river,15,0,1,3\n"
                    .to_owned(),
                "\u{feff}site,members,under_two,months_registered,pregnant_or_lactating,case_id,document_no,phone\r\nnorth,1,0,1,1,a,b,c\r\n"
                    .to_owned(),
            ]),
            "key_counts" => self.corpus("session_request"),
            message => {
                let of_kind = |sample: &&Sample| sample.name.split(' ').next() == Some(message);
                self.all.iter().filter(of_kind).map(|sample| sample.bytes.clone()).collect()
            }
        }
    }
}

impl Default for Samples {
    fn default() -> Self {
        Self::new()
    }
}

impl Maker {
    fn add<M: Message>(&mut self, name: &str, message: &M) -> Vec<u8> {
        let bytes = message.encode();
        self.all.push(Sample { name: name.to_owned(), kind: M::KIND, bytes: bytes.clone() });
        bytes
    }

    fn buckets(&mut self) {
        let round = |round, vouchers| SlotRound { round: Round(round), vouchers, credential: 3 };
        self.add("slot_directory", &SlotDirectory { minimum: 32, rounds: vec![round(0, None), round(300, Some(4))] });
        let slot =
            |id| StoredSlot { id: [id; 32], ciphertext: vec![0x61; 40], leaf: vec![0x62; 130], answer: vec![0x63] };
        self.add("slot_bucket", &SlotBucket { slots: vec![slot(1), slot(2)], more: true });
    }

    fn slots(&mut self) -> Slots {
        Slots::random(SLOT_BYTES, &mut self.rng)
    }

    fn manifest(&mut self) {
        let signed = self.fixture.chain[1].clone();
        self.add("header", &signed.header);
        self.add("signed_header", &signed);
        let entry = self.fixture.programme.keys()[42];
        self.add("key_entry", &entry);
        let announcement = self.fixture.announcement();
        self.add("announcement", &announcement);
        self.add("issuer_leaf manifest", &IssuerLeaf::Manifest(signed));
    }

    fn enrol(&mut self) -> (Exchange, TicketGrant, Credential) {
        let code = TicketCode::random(&mut self.rng);
        let grant = self.fixture.grant(LOT, TicketKind::Enrol, &code, 12, &[4, 1]);
        let slots = self.slots();
        let Self { fixture, rng, .. } = self;
        let (context, request) =
            EnrolContext::new(&fixture.programme, TicketKind::Enrol, code, slots, rng).expect("well formed");
        let (context, request) = (context.encode(), request.encode());
        let verified = EnrolRequest::decode(&request).expect("round trip");
        let verified = verified.verify(&fixture.programme, rng).expect("honest");
        let IssuedEnrol { response, leaf, member } =
            verified.issue(&fixture.programme, &fixture.issuer, &grant, rng).expect("fits");
        let kept = EnrolContext::decode(&context).expect("round trip");
        let credential = kept.finish(&fixture.programme, &response, rng).expect("honest");
        self.sums[0].add(&member);
        self.lots.push(self.fixture.lot_leaf(&grant.place));
        self.members.push(IssuerLeaf::Enrol(leaf));
        (Exchange { context, request, response: response.encode() }, grant, credential)
    }

    fn roll_over(&mut self, credential: &Credential) -> (Exchange, ShowRecord, Credential) {
        let slots = self.slots();
        let Self { fixture, rng, .. } = self;
        let view = fixture.view(1);
        let (context, request) = RollOverContext::new(&view, credential, slots, rng).expect("may roll over");
        let (context, encoded) = (context.encode(), request.encode());
        let verified = request.verify(&view, &fixture.issuer, rng).expect("honest");
        let (response, record) = verified.answer(&fixture.issuer, rng).expect("not degenerate");
        let kept = RollOverContext::decode(&context).expect("round trip");
        let credential = kept.finish(&view, &response, rng).expect("honest");
        let exchange = Exchange { context, request: encoded, response: response.encode() };
        (exchange, record, credential)
    }

    fn amend(&mut self, credential: &Credential, attributes: &[u64]) -> (Exchange, TicketGrant) {
        let code = TicketCode::random(&mut self.rng);
        let grant = self.fixture.grant(AMEND_LOT, TicketKind::Amend, &code, 12, attributes);
        let slots = self.slots();
        let Self { fixture, rng, .. } = self;
        let view = fixture.view(1);
        let (context, request) = AmendContext::new(&view, credential, code, slots, rng).expect("rolled over");
        let (context, encoded) = (context.encode(), request.encode());
        let verified = request.verify(&view, &fixture.issuer, rng).expect("honest");
        let issued = verified.answer(&view, &fixture.issuer, &grant, rng).expect("fits");
        let exchange = Exchange { context, request: encoded, response: issued.response.encode() };
        self.sums[1].add(&issued.member);
        self.lots.push(self.fixture.lot_leaf(&grant.place));
        self.members.push(IssuerLeaf::Amend(issued.leaf));
        (exchange, grant)
    }

    /// Opens the same session twice: one to answer, one to keep.
    fn sessions(&mut self, keys: &SessionRequest) -> [SigningSession; 2] {
        let mut twin = self.rng.clone();
        let secrets = self.fixture.secrets(1);
        let view = self.fixture.view(1);
        let first = secrets.open(&view, keys, &mut self.rng).expect("listed");
        [first, secrets.open(&view, keys, &mut twin).expect("listed")]
    }

    fn make(mut self) -> Samples {
        self.manifest();
        let (enrol, grant, credential) = self.enrol();
        let (_, _, second) = self.enrol();
        let (roll_over, record, credential) = self.roll_over(&credential);
        self.add("issuer_leaf roll-over", &IssuerLeaf::RollOver(record));
        let (_, _, second) = self.roll_over(&second);
        let stored = self.add("stored_credential", &credential);

        // One value each for food and cash, two for infants: balance and predicate.
        let keys = self.fixture.keys(1, &[(FOOD, 3), (INFANT, 1), (CASH, 10)]);
        let session_request = SessionRequest { round: Round(1), keys: keys.clone() };
        self.add("session_request", &session_request);
        let [session, draw_session] = self.sessions(&session_request);
        self.add("session_offer", session.offer());
        let slots = self.slots();
        let Self { fixture, rng, .. } = &mut self;
        let view = fixture.view(1);
        let (context, request) =
            DrawContext::new(&view, &credential, keys, session.offer(), slots, rng).expect("covered");
        let (context, encoded) = (context.encode(), request.encode());
        let verified = request.verify(&view, &fixture.issuer, Some(&session), rng).expect("honest");
        let serial = verified.serial();
        let (response, leaf) = verified.answer(&fixture.issuer, Some(session), rng).expect("not degenerate");
        let kept = DrawContext::decode(&context).expect("round trip");
        let (credential, vouchers) = kept.finish(&view, &response, rng).expect("honest");
        let draw = Exchange { context, request: encoded, response: response.encode() };
        let gone = SessionGone::sign(fixture.programme.id(), SessionId([5; 16]), serial, &fixture.issuer_log);
        self.add("issuer_leaf draw", &IssuerLeaf::Draw(leaf));
        self.add("session_gone", &gone);
        self.buckets();
        self.add("stored_voucher", &vouchers[0]);

        let (amend, amend_grant) = self.amend(&credential, &[6, 2]);
        self.amend(&second, &[3, 0]);
        let (swap, swap_session) = self.swap(&vouchers[0]);
        for (kind, exchange) in
            [("enrol", &enrol), ("roll_over", &roll_over), ("draw", &draw), ("amend", &amend), ("swap", &swap)]
        {
            for (name, bytes) in [
                (format!("{kind}_request"), &exchange.request),
                (format!("{kind}_response"), &exchange.response),
                (format!("pending_{kind}"), &exchange.context),
            ] {
                self.all.push(Sample { name, kind: bytes[1], bytes: bytes.clone() });
            }
        }
        self.issuer_controls();
        let (quote, owed, owed_leaf, visit) = self.site(&vouchers);
        let [kept, broken] = self.receipts(&visit);
        let Self { fixture, all, lots, members, .. } = self;
        Samples {
            fixture,
            all,
            enrol,
            grant,
            roll_over,
            credential: stored,
            draw,
            draw_session,
            amend,
            amend_grant,
            swap,
            swap_session,
            quote,
            owed,
            owed_leaf,
            lots,
            members,
            kept,
            broken,
        }
    }

    fn swap(&mut self, old: &Voucher) -> (Exchange, SigningSession) {
        let value = self.fixture.programme.key(old.key()).expect("listed").id.value;
        let keys = self.fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(FOOD, value.into())]);
        let [session, twin] = self.sessions(&SessionRequest { round: Round(1), keys: keys.clone() });
        let slots = self.slots();
        let Self { fixture, rng, .. } = self;
        let view = fixture.view(1);
        let (context, request) =
            SwapContext::new(&view, vec![old], keys, session.offer(), slots, rng).expect("conserved");
        let encoded = request.encode();
        let (response, leaf) = request.verify(&view, &session).expect("honest").answer(session).expect("same session");
        let exchange = Exchange { context: context.encode(), request: encoded, response: response.encode() };
        self.add("issuer_leaf swap", &IssuerLeaf::Swap(leaf));
        (exchange, twin)
    }

    fn issuer_controls(&mut self) {
        let manifest = self.fixture.view(1).hash;
        let openings = {
            let Self { fixture, rng, sums, .. } = self;
            sums.iter().map(|sum| sum.open(&fixture.programme, 3, 9, rng).expect("two members")).collect()
        };
        let packs = vec![(SITE, Digest([1; 32])), (SLOTTED, Digest([2; 32]))];
        let lot = self.lots[0].clone();
        let (enrol, amend) = (self.members[0].clone(), self.members[2].clone());
        self.add("issuer_leaf enrol", &enrol);
        self.add("issuer_leaf amend", &amend);
        self.add("issuer_leaf lot", &IssuerLeaf::Lot(lot));
        self.add("issuer_leaf open", &IssuerLeaf::Open(OpenLeaf { round: Round(1), manifest }));
        self.add("issuer_leaf freeze", &IssuerLeaf::Freeze(FreezeLeaf { round: Round(1), manifest, packs, openings }));
        self.add("issuer_leaf close", &IssuerLeaf::Close(CloseLeaf { round: Round(1) }));
        let batch = BatchHeader { number: 2, round: Round(1), start: 300, end: 310 };
        self.add("issuer_leaf batch", &IssuerLeaf::Batch(batch));
        self.add("site_leaf batch", &SiteLeaf::Batch(batch));
    }

    fn site(&mut self, vouchers: &[Voucher]) -> (Quote, OwedSlip, OwedLeaf, Vec<VoucherLeaf>) {
        let place = Place::new(&self.fixture.view(1), SITE);
        let key = self.fixture.site_logs[0].clone();
        let quote = Signed::sign(QuoteTerms { place, id: QuoteId([7; 16]), lines: vec![FOOD, INFANT, CASH] }, &key);
        let spare = SecretScalar::random(&mut self.rng);
        let (request, visit, void, collect, owed, owed_leaf, collected, surrender) = {
            let Self { fixture, rng, .. } = self;
            let view = fixture.view(1);
            let shown: Vec<&Voucher> = vouchers.iter().take(4).collect();
            let request = RedeemRequest::new(&view, &quote, &shown, &spare, rng).expect("quoted");
            let counter = Counter::new(view, place, Vec::new());
            let visit = counter.verify(&quote, &request).expect("honest").leaves(|_| 1);
            let accepted: Vec<(&Voucher, u32)> = shown.iter().map(|voucher| (*voucher, 1)).collect();
            let void = VoidRequest::new(&view, &place, &accepted, rng).expect("of this view");
            let owed = OwedTerms { place, lines: vec![(CASH, Units(10))], holder: holder_key(&spare) };
            let owed_leaf = OwedLeaf { round: Round(1), lines: owed.lines.clone(), holder: owed.holder };
            let owed = Signed::sign(owed, &key);
            let collect = CollectRequest::new(&view, &owed, &place, &spare, rng).expect("the holder's");
            let collected: CollectedLeaf = collect.verify(&place, &owed_leaf).expect("honest");
            let surrender = Surrender::new(&view, &vouchers[1], rng).expect("of this round");
            (request, visit, void, collect, owed, owed_leaf, collected, surrender)
        };
        let marks: Vec<Mark> = vouchers.iter().map(|voucher| voucher.shown().mark()).collect();
        let void_leaf: VoidLeaf = void.voids[0];
        self.add("quote", &quote);
        self.add("redeem_request", &request);
        self.add("void_request", &void);
        self.add("collect_request", &collect);
        self.add("owed_slip", &owed);
        self.add("bearer", &BearerVoucher::new(&vouchers[0]));
        self.add("surrender", &surrender);
        let receipt =
            ReceiptTerms { place, mark: marks[0], number: 1, leaf: TreeHash([5; 32]), batch: 300, pending: false };
        self.add("receipt", &Signed::sign(receipt, &key));
        let sign = |leaf: &VoucherLeaf| {
            let (mark, hash) = (leaf.voucher.shown.mark(), leaf_hash(&SiteLeaf::Voucher(*leaf).encode()));
            Signed::sign(ReceiptTerms { place, mark, number: 1, leaf: hash, batch: 300, pending: false }, &key)
        };
        let response = RedeemResponse {
            outcome: Outcome::Accepted,
            visit: request_digest(&request.encode()),
            units: vec![(FOOD, Units(3)), (INFANT, Units(1))],
            receipts: visit.iter().map(sign).collect(),
            owed: Some(owed.clone()),
        };
        self.add("redeem_response", &response);
        let refusal =
            RefusalTerms { place, quote: QuoteId([7; 16]), code: RefusalCode::AlreadyRedeemed, marks: marks.clone() };
        self.add("refusal", &Signed::sign(refusal, &key));
        let voided = marks.iter().map(|mark| (*mark, 1)).collect();
        self.add("void_slip", &Signed::sign(VoidTerms { place, voided }, &key));
        let root = TreeHash([3; 32]);
        let units = |pairs: &[(LineId, u64)]| pairs.iter().map(|(line, units)| (*line, Units(*units))).collect();
        let statement = StatementTerms {
            place,
            units: units(&[(FOOD, 3), (CASH, 10)]),
            vouchers: marks.iter().map(|mark| (mark.key, 1)).collect(),
            voids: vec![(marks[0].key, 1)],
            owed: units(&[(CASH, 10)]),
            collected: units(&[(CASH, 10)]),
            size: 300,
            root,
        };
        let statement = Signed::sign(statement, &key);
        self.add("statement", &statement);
        let pack = PackTerms { place, swapped: marks, size: 310, root };
        let issuer = self.fixture.issuer_log.clone();
        self.add("pack", &Signed::sign(pack, &issuer));
        self.add("site_leaf statement", &SiteLeaf::Statement(statement));
        self.add("site_leaf voucher", &SiteLeaf::Voucher(visit[0]));
        self.add("site_leaf void", &SiteLeaf::Void(void_leaf));
        self.add("site_leaf owed", &SiteLeaf::Owed(owed_leaf.clone()));
        self.add("site_leaf collected", &SiteLeaf::Collected(collected));
        self.add("site_leaf owed-voided", &SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: owed_leaf.holder }));
        (quote, owed, owed_leaf, visit)
    }

    /// A receipt's proofs, against a log with its leaf and one without.
    fn receipts(&mut self, visit: &[VoucherLeaf]) -> [Checkpoint; 2] {
        let place = Place::new(&self.fixture.view(1), SITE);
        let events: Vec<SiteLeaf> = visit.iter().map(|leaf| SiteLeaf::Voucher(*leaf)).collect();
        let (mark, leaf) = (visit[0].voucher.shown.mark(), leaf_hash(&events[0].encode()));
        let terms = ReceiptTerms { place, mark, number: 1, leaf, batch: 1, pending: false };
        let receipt = Signed::sign(terms, &self.fixture.site_logs[0]);
        let log = |events: &[SiteLeaf]| {
            let entries = close_batch(events, 1, Round(1), 0);
            let leaves: Vec<TreeHash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            (entries, leaves)
        };
        let (kept, broken) = (log(&events), log(&events[1..]));
        self.add("inclusion", &Inclusion::find(&receipt, &kept.0, &kept.1).expect("logged"));
        self.add("omission", &Omission::find(&receipt, &broken.0, &broken.1).expect("not logged"));
        [kept, broken].map(|(_, leaves)| {
            Checkpoint::new("annona.example/site/north", leaves.len() as u64, root(&leaves)).expect("not empty")
        })
    }
}
