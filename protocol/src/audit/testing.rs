//! A true set of published files, and the means to make it false: two rounds, two sites, swap, amends, void, owed slip,
//! surrender. Behind `hazmat` like the fixture that it grows from.
//!
//! A [`Draft`] holds leaves before they are logged. Whoever edits it plays a dishonest issuer or site that then signs
//! consistent logs: [`Draft::publish`] sorts batches, opens cohorts, makes packs and statements, and signs checkpoints.

use std::collections::{BTreeMap, HashMap};

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;

use super::{Published, PublishedLog, statement};
use crate::{
    cohort::{CohortClass, CohortMember, CohortSum},
    credential::Credential,
    draw::{AmendContext, SessionRequest},
    enrol::{EnrolContext, TicketGrant},
    fixture::{AMEND_LOT, CASH, FOOD, Fixture, INFANT, LATE_LOT, LOT, SITE, SLOTTED},
    ids::{KeyIndex, LineId, LotId, Round, SiteId, Slot, TicketHash, Units},
    log::{
        leaf::{
            CloseLeaf, CohortOpening, FreezeLeaf, IssuerLeaf, Leaf, LotLeaf, OpenLeaf, OwedLeaf, SiteLeaf, VoucherLeaf,
            close_batch,
        },
        merkle::{self, leaf_hash},
        note::{self, Checkpoint},
    },
    programme::{OfficerSignature, TicketKind},
    redeem::{CollectRequest, Surrender, VoidRequest, holder_key},
    registry::tag,
    secret::SecretScalar,
    signature,
    slip::{OpeningPack, OwedTerms, PackTerms, Place, Signed, StatementTerms},
    slots::Slots,
    swap::SwapContext,
    ticket::{TicketCode, TicketUse},
    voucher::Voucher,
    wire::Message,
};

/// A part of a log that is to be.
#[derive(Clone, Debug)]
pub enum Block<L> {
    /// A control leaf as it is.
    Control(L),
    /// Event leaves of one batch.
    Batch(Round, Vec<L>),
    /// The issuer's freeze of a round, made when it is published.
    Freeze(Round),
    /// A site's statement of a round, made when it is published.
    Statement(Round),
}

type Edit<T> = Option<fn(&mut T)>;

/// Leaves before they are logged, and what is done to what is made from them.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The issuer's log.
    pub issuer: Vec<Block<IssuerLeaf>>,
    /// The sites' logs.
    pub sites: Vec<(SiteId, Vec<Block<SiteLeaf>>)>,
    /// Surrendered vouchers.
    pub surrendered: Vec<Surrender>,
    /// Edits packs before they are signed.
    pub pack: Edit<PackTerms>,
    /// Edits freezes before they are logged.
    pub freeze: Edit<FreezeLeaf>,
    /// Edits statements before they are signed.
    pub statement: Edit<StatementTerms>,
    /// Edits signed statements.
    pub signed: Edit<Signed<StatementTerms>>,
    /// Edits batch headers.
    pub header: Edit<crate::log::leaf::BatchHeader>,
}

/// A programme's life, with every secret of it.
#[derive(Debug)]
pub struct Story {
    /// The programme.
    pub fixture: Fixture,
    /// The true draft.
    pub draft: Draft,
    /// What each ticket added to its cohort.
    pub(crate) members: HashMap<TicketHash, CohortMember>,
    /// A household whose draw of round 1 is in no log.
    pub unlogged: Vec<Voucher>,
    /// The leaf that it would have.
    pub unlogged_draw: IssuerLeaf,
}

/// Tickets of a lot, each with its place.
struct Lot {
    leaf: LotLeaf,
    tickets: Vec<(TicketCode, TicketUse)>,
}

impl Lot {
    fn new<R: CryptoRng + ?Sized>(fixture: &Fixture, lot: LotId, kind: TicketKind, count: u64, rng: &mut R) -> Self {
        let programme = fixture.programme.id();
        let mut codes: Vec<_> = (0..count)
            .map(|_| {
                let code = TicketCode::random(rng);
                let mut salt = [0; 32];
                rng.fill_bytes(&mut salt);
                let hash = code.hash(&programme, kind);
                (TicketUse::leaf(&hash, &salt), code, hash, salt)
            })
            .collect();
        codes.sort_by_key(|(leaf, ..)| *leaf);
        let leaves: Vec<_> = codes.iter().map(|(leaf, ..)| *leaf).collect();
        let root = merkle::root(&leaves);
        let tickets = (0u64..)
            .zip(codes)
            .map(|(index, (_, code, hash, salt))| {
                let path = merkle::inclusion_proof(&leaves, index).expect("a leaf of the lot");
                (code, TicketUse { lot, hash, salt, index, path })
            })
            .collect();
        let signed = LotLeaf::signed_bytes(&programme, lot, count, &root);
        let signatures = (0u8..)
            .zip(&fixture.officers)
            .take(2)
            .map(|(officer, key)| OfficerSignature { officer, signature: signature::sign(tag::LOT, &signed, key) })
            .collect();
        Self { leaf: LotLeaf { lot, count, root, signatures }, tickets }
    }

    fn take(&mut self, attributes: &[u64]) -> (TicketCode, TicketGrant) {
        let (code, place) = self.tickets.pop().expect("the story uses as many tickets as it makes");
        (code, TicketGrant { place, expires: Round(12), attributes: attributes.to_vec() })
    }
}

fn enrol<R: CryptoRng + ?Sized>(
    fixture: &Fixture,
    (code, grant): (TicketCode, TicketGrant),
    members: &mut HashMap<TicketHash, CohortMember>,
    rng: &mut R,
) -> (Credential, IssuerLeaf) {
    let (programme, slots) = (&fixture.programme, Slots::random(64, rng));
    let (context, request) = EnrolContext::new(programme, TicketKind::Enrol, code, slots, rng).expect("well formed");
    let verified = request.verify(programme, rng).expect("honest");
    let issued = verified.issue(programme, &fixture.issuer, &grant, rng).expect("the grant fits");
    let credential = context.finish(programme, &issued.response, rng).expect("honest");
    members.insert(grant.place.hash, issued.member);
    (credential, IssuerLeaf::Enrol(issued.leaf))
}

fn amend<R: CryptoRng + ?Sized>(
    fixture: &Fixture,
    round: u32,
    credential: &Credential,
    (code, grant): (TicketCode, TicketGrant),
    members: &mut HashMap<TicketHash, CohortMember>,
    rng: &mut R,
) -> (Credential, IssuerLeaf) {
    let (view, slots) = (fixture.view(round), Slots::random(64, rng));
    let (context, request) = AmendContext::new(&view, credential, code, slots, rng).expect("rolled over");
    let verified = request.verify(&view, &fixture.issuer, rng).expect("honest");
    let issued = verified.answer(&view, &fixture.issuer, &grant, rng).expect("the grant fits");
    let credential = context.finish(&view, &issued.response, rng).expect("honest");
    members.insert(grant.place.hash, issued.member);
    (credential, IssuerLeaf::Amend(issued.leaf))
}

fn swap<R: CryptoRng + ?Sized>(
    fixture: &Fixture,
    round: u32,
    old: &Voucher,
    new: Vec<(KeyIndex, u32)>,
    rng: &mut R,
) -> (Vec<Voucher>, IssuerLeaf) {
    let view = fixture.view(round);
    let request = SessionRequest { round: Round(round), keys: new.clone() };
    let session = fixture.secrets(round).open(&view, &request, rng).expect("listed");
    let slots = Slots::random(64, rng);
    let (context, request) = SwapContext::new(&view, vec![old], new, session.offer(), slots, rng).expect("conserved");
    let verified = request.verify(&view, &session).expect("honest");
    let (response, leaf) = verified.answer(session).expect("the verified session");
    (context.finish(&view, &response).expect("honest"), IssuerLeaf::Swap(leaf))
}

impl Story {
    /// Tells the story.
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let fixture = Fixture::new(rng);
        let manifest = fixture.chain[1].header.hash();
        let mut members = HashMap::new();
        let mut regular = Lot::new(&fixture, LOT, TicketKind::Enrol, 4, rng);
        let mut late = Lot::new(&fixture, LATE_LOT, TicketKind::Enrol, 1, rng);
        let mut changes = Lot::new(&fixture, AMEND_LOT, TicketKind::Amend, 2, rng);
        let lots = [&regular, &late, &changes].map(|lot| Block::Control(IssuerLeaf::Lot(lot.leaf.clone())));
        let open = |round| Block::Control(IssuerLeaf::Open(OpenLeaf { round: Round(round), manifest }));
        let close = |round| Block::Control(IssuerLeaf::Close(CloseLeaf { round: Round(round) }));
        let mut issuer: Vec<_> =
            fixture.chain.iter().map(|signed| Block::Control(IssuerLeaf::Manifest(signed.clone()))).collect();
        issuer.extend(lots);
        issuer.push(open(1));

        // Three households enrol and roll over into round 1; a fourth is there for the tests that need it.
        let [a, b, c, d] =
            [[4, 1], [2, 0], [6, 2], [1, 0]].map(|who| enrol(&fixture, regular.take(&who), &mut members, rng));
        let enrolments = vec![a.1, b.1, c.1, d.1];
        let [a, b, c, d] = [a.0, b.0, c.0, d.0].map(|credential| fixture.roll_over(1, &credential, rng));
        let mut shows: Vec<_> = [a.1, b.1, c.1, d.1].into_iter().map(IssuerLeaf::RollOver).collect();
        let mut draw = |round, credential: &Credential, keys| {
            let (credential, vouchers, leaf) = fixture.draw(round, credential, keys, rng);
            shows.push(IssuerLeaf::Draw(leaf));
            (credential, vouchers)
        };
        let (a, of_a) = draw(1, &a.0, fixture.keys(1, &[(FOOD, 4), (INFANT, 1), (CASH, 30)]));
        let (b, of_b) = draw(1, &b.0, fixture.keys(1, &[(FOOD, 2), (CASH, 20)]));
        let at_river = fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(FOOD, 6), (CASH, 40)]);
        let (c, of_c) = draw(1, &c.0, at_river);
        let (_, unlogged) = draw(1, &d.0, fixture.keys(1, &[(FOOD, 1)]));
        let unlogged_draw = shows.pop().expect("the draw above");
        let (swapped, swap_leaf) = swap(
            &fixture,
            1,
            find(&fixture, &of_b, FOOD),
            fixture.keys_at(1, SLOTTED, Some(Slot(1)), &[(FOOD, 2)]),
            rng,
        );
        issuer.push(Block::Batch(Round(1), enrolments));
        issuer.push(Block::Batch(Round(1), shows.into_iter().chain([swap_leaf]).collect()));
        issuer.push(Block::Freeze(Round(1)));

        let (mut north, mut river) = (Vec::new(), Vec::new());
        let accept = |voucher: &Voucher, number| SiteLeaf::Voucher(accepted(&fixture, voucher, number));
        // The cash of the first household is taken twice, with a void between.
        let again = find(&fixture, &of_a, CASH);
        let view = fixture.view(1);
        let place = Place::new(&view, SITE);
        let void = VoidRequest::new(&view, &place, &[(again, 1)], rng).expect("a key of the view").voids[0];
        let mut events: Vec<_> = of_a.iter().map(|voucher| accept(voucher, 1)).collect();
        events.extend([accept(again, 2), SiteLeaf::Void(void)]);
        // The second household's cash was there in part only.
        let secret = SecretScalar::random(rng);
        let lines = vec![(CASH, Units(5))];
        let owed = OwedLeaf { round: Round(1), lines: lines.clone(), holder: holder_key(&secret) };
        let slip = Signed::sign(OwedTerms { place, lines, holder: owed.holder }, &fixture.site_logs[0]);
        events.extend([accept(find(&fixture, &of_b, CASH), 1), SiteLeaf::Owed(owed.clone())]);
        north.extend([Block::Batch(Round(1), events), Block::Statement(Round(1))]);
        let events = of_c.iter().chain(&swapped).map(|voucher| accept(voucher, 1)).collect();
        river.extend([Block::Batch(Round(1), events), Block::Statement(Round(1))]);

        // Two households change in round 1, and get more in round 2. One arrives late.
        let (a, amend_a) = amend(&fixture, 1, &a, changes.take(&[6, 2]), &mut members, rng);
        let (b, amend_b) = amend(&fixture, 1, &b, changes.take(&[3, 1]), &mut members, rng);
        issuer.extend([Block::Batch(Round(1), vec![amend_a, amend_b]), open(2), close(1)]);
        let (late, enrolled) = enrol(&fixture, late.take(&[3, 1]), &mut members, rng);
        let mut shows = vec![enrolled];
        let [a, b, _c] = [a, b, c].map(|credential| {
            let (credential, record) = fixture.roll_over(2, &credential, rng);
            shows.push(IssuerLeaf::RollOver(record));
            credential
        });
        let mut draw = |credential: &Credential, units: &[(LineId, u64)]| {
            let (_, vouchers, leaf) = fixture.draw(2, credential, fixture.keys(2, units), rng);
            shows.push(IssuerLeaf::Draw(leaf));
            vouchers
        };
        let of_a = draw(&a, &[(FOOD, 6), (CASH, 50)]);
        let of_b = draw(&b, &[(INFANT, 1)]);
        let of_late = draw(&late, &[(FOOD, 3), (CASH, 14)]);
        issuer.extend([Block::Batch(Round(2), shows), Block::Freeze(Round(2)), close(2), Block::Freeze(Round(2))]);

        // One voucher is never redeemed, and surrendered.
        let view = fixture.view(2);
        let surrendered = vec![Surrender::new(&view, &of_b[0], rng).expect("of round 2")];
        let place = Place::new(&view, SITE);
        let request = CollectRequest::new(&fixture.view(1), &slip, &place, &secret, rng).expect("the site's slip");
        let collected = request.verify(&place, &owed).expect("honest");
        let events = of_a.iter().chain(&of_late).map(|voucher| accept(voucher, 1));
        let events = events.chain([SiteLeaf::Collected(collected)]).collect();
        north.extend([Block::Batch(Round(2), events), Block::Statement(Round(2))]);
        river.extend([Block::Batch(Round(2), Vec::new()), Block::Statement(Round(2))]);

        let sites = vec![(SITE, north), (SLOTTED, river)];
        let draft =
            Draft { issuer, sites, surrendered, pack: None, freeze: None, statement: None, signed: None, header: None };
        Self { fixture, draft, members, unlogged, unlogged_draw }
    }

    /// What is granted and redeemed in the true story: units by round, site and line.
    pub fn redeemed() -> Vec<(Round, SiteId, LineId, Units)> {
        [
            (1, SITE, FOOD, 4),
            (1, SITE, INFANT, 1),
            (1, SITE, CASH, 50),
            (1, SLOTTED, FOOD, 8),
            (1, SLOTTED, CASH, 40),
            (2, SITE, FOOD, 9),
            (2, SITE, CASH, 64),
        ]
        .map(|(round, site, line, units)| (Round(round), site, line, Units(units)))
        .into()
    }
}

/// The first voucher of a line.
fn find<'a>(fixture: &Fixture, vouchers: &'a [Voucher], line: LineId) -> &'a Voucher {
    let of_line = |voucher: &&Voucher| fixture.programme.key(voucher.key()).is_some_and(|entry| entry.id.line == line);
    vouchers.iter().find(of_line).expect("the story drew it")
}

/// The leaf of an accepted voucher.
pub fn accepted(fixture: &Fixture, voucher: &Voucher, number: u32) -> VoucherLeaf {
    let entry = fixture.programme.key(voucher.key()).expect("a listed key");
    let voucher = crate::voucher::verify(entry, voucher.shown()).expect("a true voucher");
    VoucherLeaf { number, voucher }
}

/// Appends a batch.
fn append_batch<L: Leaf>(
    entries: &mut Vec<Vec<u8>>,
    events: &[L],
    number: u32,
    round: Round,
    edit: Edit<crate::log::leaf::BatchHeader>,
) {
    entries.extend(close_batch(events, number, round, entries.len() as u64));
    if let (Some(edit), Some(last)) = (edit, entries.last_mut()) {
        let mut header = *L::decode(last).expect("just encoded").as_batch().expect("a header");
        edit(&mut header);
        *last = L::batch(header).encode();
    }
}

/// Signs and cosigns the checkpoint of a log.
pub fn checkpoint(fixture: &Fixture, name: &str, key: &SigningKey, entries: &[Vec<u8>]) -> Vec<u8> {
    checkpoint_by(("witness.example", &fixture.witness), name, key, entries)
}

/// Signs a checkpoint, cosigned by a witness of this name and key.
pub fn checkpoint_by(witness: (&str, &SigningKey), name: &str, key: &SigningKey, entries: &[Vec<u8>]) -> Vec<u8> {
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let checkpoint = Checkpoint::new(name, leaves.len() as u64, merkle::root(&leaves)).expect("a usable name");
    let note = note::sign_checkpoint(key, name, &checkpoint).expect("a usable name");
    let public = note::VerifierKey::new(name, note::KeyType::Log, key.verifying_key()).expect("a usable name");
    let verified = note::verify_checkpoint(note.to_string().as_bytes(), &public, &[], 0).expect("just signed");
    let cosignature = note::cosign(witness.1, witness.0, 1, &verified).expect("a usable time");
    note.with_signature(cosignature).to_string().into_bytes()
}

impl Draft {
    /// Signs and publishes everything.
    pub fn publish<R: CryptoRng + ?Sized>(&self, story: &Story, rng: &mut R) -> Published {
        let fixture = &story.fixture;
        let header = fixture.programme.latest();
        let (issuer, packs) = self.publish_issuer(story, rng);
        let checkpoint_of = |name: &str, key, entries: Vec<Vec<u8>>| PublishedLog {
            name: name.into(),
            checkpoint: checkpoint(fixture, name, key, &entries),
            entries,
        };
        let sites = self
            .sites
            .iter()
            .map(|(site, blocks)| {
                let at = header.sites.iter().position(|known| known.id == *site).expect("a site of the fixture");
                let (name, key) = (&header.sites[at].logs[0].name, &fixture.site_logs[at]);
                (*site, checkpoint_of(name, key, self.publish_site(fixture, *site, key, &[], blocks)))
            })
            .collect();
        Published {
            issuer: checkpoint_of(&header.issuer_log.name, &fixture.issuer_log, issuer),
            sites,
            keys: fixture.programme.keys().to_vec(),
            packs,
            surrendered: self.surrendered.clone(),
        }
    }

    fn publish_issuer<R: CryptoRng + ?Sized>(&self, story: &Story, rng: &mut R) -> (Vec<Vec<u8>>, Vec<OpeningPack>) {
        let (mut entries, mut packs, mut number) = (Vec::new(), Vec::new(), 0);
        let mut frozen: Vec<Round> = Vec::new();
        let mut opened: BTreeMap<CohortClass, u64> = BTreeMap::new();
        for block in &self.issuer {
            match block {
                Block::Control(leaf) => entries.push(leaf.encode()),
                Block::Batch(round, events) => {
                    number += 1;
                    append_batch(&mut entries, events, number, *round, self.header);
                }
                Block::Freeze(round) => {
                    let made = if frozen.contains(round) { Vec::new() } else { self.packs(story, *round, &entries) };
                    frozen.push(*round);
                    let listed = made.iter().map(|pack| (pack.content.place.site, pack.digest())).collect();
                    let openings = story.open(&entries, &mut opened, rng);
                    let manifest = story.fixture.view(round.0).hash;
                    let mut leaf = FreezeLeaf { round: *round, manifest, packs: listed, openings };
                    self.freeze.into_iter().for_each(|edit| edit(&mut leaf));
                    entries.push(IssuerLeaf::Freeze(leaf).encode());
                    packs.extend(made);
                }
                Block::Statement(_) => {}
            }
        }
        (entries, packs)
    }

    fn packs(&self, story: &Story, round: Round, entries: &[Vec<u8>]) -> Vec<OpeningPack> {
        let (view, fixture) = (story.fixture.view(round.0), &story.fixture);
        let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let swaps = entries.iter().filter_map(|entry| match IssuerLeaf::decode(entry) {
            Ok(IssuerLeaf::Swap(leaf)) => Some(leaf.old),
            _ => None,
        });
        let marks: Vec<_> = swaps.flatten().map(|old| old.shown.mark()).collect();
        let pack = |site: SiteId| {
            let here = |at: &KeyIndex| {
                fixture.programme.key(*at).is_some_and(|key| (key.id.site, key.id.round) == (Some(site), round))
            };
            let mut swapped: Vec<_> = marks.iter().filter(|mark| here(&mark.key)).copied().collect();
            swapped.sort();
            swapped.dedup();
            let (size, root) = (entries.len() as u64, merkle::root(&hashes));
            let mut terms = PackTerms { place: Place::new(&view, site), swapped, size, root };
            self.pack.into_iter().for_each(|edit| edit(&mut terms));
            Signed::sign(terms, &fixture.issuer_log)
        };
        vec![pack(SITE), pack(SLOTTED)]
    }

    /// The entries of a site's log; `replaced` are those of its earlier logs.
    pub fn publish_site(
        &self,
        fixture: &Fixture,
        site: SiteId,
        key: &SigningKey,
        replaced: &[Vec<u8>],
        blocks: &[Block<SiteLeaf>],
    ) -> Vec<Vec<u8>> {
        let (mut entries, mut number) = (Vec::new(), 0);
        for block in blocks {
            match block {
                Block::Control(leaf) => entries.push(leaf.encode()),
                Block::Batch(round, events) => {
                    number += 1;
                    append_batch(&mut entries, events, number, *round, self.header);
                }
                Block::Statement(round) => {
                    let mut terms =
                        statement(&fixture.view(round.0), site, replaced, &entries).expect("leaves of the draft");
                    self.statement.into_iter().for_each(|edit| edit(&mut terms));
                    let mut signed = Signed::sign(terms, key);
                    self.signed.into_iter().for_each(|edit| edit(&mut signed));
                    entries.push(SiteLeaf::Statement(signed).encode());
                }
                Block::Freeze(_) => {}
            }
        }
        entries
    }
}

impl Story {
    /// Opens every class that has enough members since its last opening.
    fn open<R: CryptoRng + ?Sized>(
        &self,
        entries: &[Vec<u8>],
        opened: &mut BTreeMap<CohortClass, u64>,
        rng: &mut R,
    ) -> Vec<CohortOpening> {
        let programme = &self.fixture.programme;
        let mut sums: BTreeMap<CohortClass, CohortSum> = BTreeMap::new();
        for (at, entry) in (0u64..).zip(entries) {
            let ticket = match IssuerLeaf::decode(entry) {
                Ok(IssuerLeaf::Enrol(leaf)) => leaf.ticket.hash,
                Ok(IssuerLeaf::Amend(leaf)) => leaf.ticket.hash,
                _ => continue,
            };
            let Some(member) = self.members.get(&ticket) else { continue };
            let class = member.class();
            if opened.get(&class).is_none_or(|to| *to <= at) {
                sums.entry(class).or_insert_with(|| CohortSum::new(class, programme.schema())).add(member);
            }
        }
        let to = entries.len() as u64;
        let ready = sums.into_values().filter(|sum| sum.count() >= u64::from(programme.latest().policy.cohort_min));
        ready
            .map(|sum| {
                let from = opened.insert(sum.class(), to).unwrap_or(0);
                sum.open(programme, from, to, rng).expect("enough members")
            })
            .collect()
    }
}
