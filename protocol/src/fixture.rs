//! A small programme with all its keys, for tests, vectors and benches. Behind `hazmat`: never in a release.
//!
//! Lines: `food` (lapse, one unit a member), `infant` (lapse, one unit a child under two, at least one), `cash` (carry,
//! 10 + 6 a member). Attributes: `members` 1..=15, `under-two` 0..=15. Two sites, the second with two slots.

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;

use crate::{
    credential::{Credential, IssuerKey},
    draw::{DrawContext, RollOverContext, RoundKeys, SessionRequest},
    enrol::{EnrolContext, IssuedEnrol, TicketGrant},
    group::Point,
    ids::{KeyIndex, LineId, LotId, ManifestHash, ProgrammeId, Round, SiteId, Slot, Units},
    log::{
        leaf::{DrawLeaf, ShowRecord},
        merkle,
    },
    programme::{
        Attribute, Carry, Form, Header, InForce, KeyEntry, KeyId, Line, LogKey, LotTerms, OfficerSignature, Policy,
        Programme, Schema, SignedHeader, Since, Site, Start, TicketKind, statement::make_change,
    },
    registry::tag,
    signature::{self, PublicKey},
    slots::Slots,
    ticket::{TicketCode, TicketUse},
    voucher::{RoundMaster, Voucher},
};

mod announcement;
mod leaves;

/// The lines' ids.
pub const FOOD: LineId = LineId(1);
/// See [`FOOD`].
pub const INFANT: LineId = LineId(2);
/// See [`FOOD`].
pub const CASH: LineId = LineId(3);
/// The lot of regular tickets.
pub const LOT: LotId = LotId(1);
/// A supplementary lot: arrivals in round 2, half a cash round at once.
pub const LATE_LOT: LotId = LotId(2);
/// The lot of amend tickets.
pub const AMEND_LOT: LotId = LotId(3);
/// A site with one spent set.
pub const SITE: SiteId = SiteId(1);
/// A site with two slots.
pub const SLOTTED: SiteId = SiteId(2);
/// Rounds that have keys.
pub const ROUNDS: u32 = 3;

/// A programme with every secret of it.
#[derive(Debug)]
pub struct Fixture {
    /// The validated programme, rounds 1 to [`ROUNDS`] open.
    pub programme: Programme,
    /// Its chain.
    pub chain: Vec<SignedHeader>,
    /// The issuer's credential key.
    pub issuer: IssuerKey,
    /// The round masters, round 1 first.
    pub masters: Vec<RoundMaster>,
    /// Officers' keys.
    pub officers: Vec<SigningKey>,
    /// The issuer's log key.
    pub issuer_log: SigningKey,
    /// The sites' log keys, by site.
    pub site_logs: Vec<SigningKey>,
    /// The witness' key.
    pub witness: SigningKey,
}

fn form(constant: i64, terms: &[(u8, i64)]) -> Form {
    Form { constant, terms: terms.to_vec() }
}

fn since<T>(value: T) -> Vec<Since<T>> {
    vec![Since { round: Round(1), value }]
}

fn line(id: LineId, name: &str, carry: Carry, state: u8, accrual: Form, predicates: Vec<Form>, values: &[u32]) -> Line {
    Line {
        id,
        name: name.into(),
        carry,
        state,
        accrual: since(accrual),
        predicates: if predicates.is_empty() { Vec::new() } else { since(predicates) },
        values: values.to_vec(),
        unit: "unit".into(),
        worth: Vec::new(),
        labels: Vec::new(),
        pictogram: name.into(),
    }
}

/// A signing key from the generator.
pub fn signing_key<R: CryptoRng + ?Sized>(rng: &mut R) -> SigningKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

/// The genesis header for a fixture's keys.
pub fn genesis(
    issuer_key: Point,
    issuer_log: &SigningKey,
    sites: &[SigningKey],
    officers: &[SigningKey],
    witness: &SigningKey,
) -> Header {
    let log = |name: &str, key: &SigningKey| LogKey { name: name.into(), key: PublicKey::of(key) };
    let site = |id: SiteId, name: &str, slots, key| Site {
        id,
        name: name.into(),
        slots,
        logs: vec![log(&format!("annona.example/site/{name}"), key)],
        labels: Vec::new(),
    };
    Header {
        version: 0,
        previous: ManifestHash::default(),
        programme: ProgrammeId::default(),
        agency: "Test Agency".into(),
        name: "Test Programme".into(),
        schema: Schema {
            width: 16,
            lapse: 2,
            carry: 1,
            spares: 2,
            attributes: vec![
                Attribute { name: "members".into(), min: 1, max: 15 },
                Attribute { name: "under-two".into(), min: 0, max: 15 },
            ],
        },
        issuer_key,
        issuer_log: log("annona.example/issuer", issuer_log),
        officers: officers.iter().map(PublicKey::of).collect(),
        threshold: 2,
        witnesses: vec![log("witness.example", witness)],
        witness_threshold: 1,
        policy: Policy { first_round: Round(1), advance: 0, cohort_min: 2 },
        last_round: Round(12),
        lines: vec![
            line(FOOD, "food", Carry::Lapse, 0, form(0, &[(0, 1)]), Vec::new(), &[1, 2, 4, 8]),
            line(INFANT, "infant", Carry::Lapse, 1, form(0, &[(1, 1)]), vec![form(-1, &[(1, 1)])], &[1, 2, 4, 8]),
            line(CASH, "cash", Carry::Carry, 2, form(10, &[(0, 6)]), Vec::new(), &[1, 2, 5, 10, 20, 50]),
        ],
        sites: vec![site(SITE, "north", 0, &sites[0]), site(SLOTTED, "river", 2, &sites[1])],
        lots: vec![
            LotTerms { id: LOT, kind: TicketKind::Enrol, start: Start { drawn: Round(0), balances: Vec::new() } },
            LotTerms {
                id: LATE_LOT,
                kind: TicketKind::Enrol,
                start: Start {
                    drawn: Round(2),
                    balances: vec![(FOOD, form(0, &[(0, 1)])), (CASH, form(5, &[(0, 3)]))],
                },
            },
            LotTerms { id: AMEND_LOT, kind: TicketKind::Amend, start: Start { drawn: Round(0), balances: Vec::new() } },
        ],
        key_count: 0,
        key_root: merkle::empty_root(),
    }
}

/// Signs a header with the first officers, as many as the threshold.
pub fn sign_header(header: Header, officers: &[SigningKey]) -> SignedHeader {
    let hash = header.hash();
    let signatures = (0u8..)
        .zip(officers)
        .take(usize::from(header.threshold))
        .map(|(officer, key)| OfficerSignature { officer, signature: signature::sign(tag::MANIFEST, &hash.0, key) })
        .collect();
    SignedHeader { header, signatures }
}

/// All keys of a round: every line and value, for the first site and both slots of the second.
pub fn round_keys(header: &Header, master: &RoundMaster, round: Round) -> Vec<KeyEntry> {
    let places = [(SITE, None), (SLOTTED, Some(Slot(0))), (SLOTTED, Some(Slot(1)))];
    let mut keys = Vec::new();
    for (site, slot) in places {
        for line in &header.lines {
            for value in &line.values {
                let id = KeyId { line: line.id, value: *value, round, site: Some(site), slot };
                keys.push(*master.derive(id).expect("not zero").entry());
            }
        }
    }
    keys
}

impl Fixture {
    /// A fresh programme.
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let issuer = IssuerKey::generate(rng);
        let [issuer_log, witness] = [signing_key(rng), signing_key(rng)];
        let site_logs = vec![signing_key(rng), signing_key(rng)];
        let officers: Vec<SigningKey> = (0..3).map(|_| signing_key(rng)).collect();
        let masters: Vec<RoundMaster> = (0..ROUNDS).map(|_| RoundMaster::generate(rng)).collect();
        let genesis = genesis(issuer.public(), &issuer_log, &site_logs, &officers, &witness);
        let keys: Vec<KeyEntry> =
            (1..).zip(&masters).flat_map(|(round, master)| round_keys(&genesis, master, Round(round))).collect();
        let next = next_version(&genesis, &keys);
        let chain = vec![sign_header(genesis, &officers), sign_header(next, &officers)];
        let mut programme = Programme::new(&chain, keys).expect("the fixture's manifest is valid");
        let hash = chain[1].header.hash();
        for round in 1..=ROUNDS {
            programme.open_round(Round(round), hash).expect("planned");
        }
        Self { programme, chain, issuer, masters, officers, issuer_log, site_logs, witness }
    }

    /// The programme as a round sees it.
    pub fn view(&self, round: u32) -> InForce<'_> {
        self.programme.in_force(Round(round)).expect("open")
    }

    /// The issuer's secrets of a round.
    pub fn secrets(&self, round: u32) -> RoundKeys {
        RoundKeys::derive(&self.view(round), &self.masters[round as usize - 1])
            .expect("the masters are the listed ones")
    }

    /// The key list that draws `units` by line at the first site in a round.
    pub fn keys(&self, round: u32, units: &[(LineId, u64)]) -> Vec<(KeyIndex, u32)> {
        self.keys_at(round, SITE, None, units)
    }

    /// The key list that draws `units` by line at a site and slot.
    pub fn keys_at(
        &self,
        round: u32,
        site: SiteId,
        slot: Option<Slot>,
        units: &[(LineId, u64)],
    ) -> Vec<(KeyIndex, u32)> {
        let view = self.view(round);
        let mut list: Vec<(KeyIndex, u32)> = units
            .iter()
            .flat_map(|(line, units)| {
                let keys: Vec<KeyIndex> = (0u32..)
                    .zip(self.programme.keys())
                    .filter(|(_, entry)| {
                        (entry.id.line, entry.id.round, entry.id.site, entry.id.slot)
                            == (*line, Round(round), Some(site), slot)
                    })
                    .map(|(at, _)| KeyIndex(at))
                    .collect();
                make_change(&view, &keys, Units(*units)).expect("values of 1 make up everything")
            })
            .collect();
        list.sort_unstable();
        list
    }

    /// A grant for a ticket that is alone in its lot.
    pub fn grant(
        &self,
        lot: LotId,
        kind: TicketKind,
        code: &TicketCode,
        expires: u32,
        attributes: &[u64],
    ) -> TicketGrant {
        let place =
            TicketUse { lot, hash: code.hash(&self.programme.id(), kind), salt: [9; 32], index: 0, path: Vec::new() };
        TicketGrant { place, expires: Round(expires), attributes: attributes.to_vec() }
    }

    /// Enrols a household.
    pub fn enrol<R: CryptoRng + ?Sized>(
        &self,
        lot: LotId,
        expires: u32,
        attributes: &[u64],
        rng: &mut R,
    ) -> (Credential, IssuedEnrol) {
        let code = TicketCode::random(rng);
        let grant = self.grant(lot, TicketKind::Enrol, &code, expires, attributes);
        let slots = Slots::random(64, rng);
        let (context, request) =
            EnrolContext::new(&self.programme, TicketKind::Enrol, code, slots, rng).expect("well formed");
        let verified = request.verify(&self.programme, rng).expect("honest");
        let issued = verified.issue(&self.programme, &self.issuer, &grant, rng).expect("fits");
        let credential = context.finish(&self.programme, &issued.response, rng).expect("honest");
        (credential, issued)
    }

    /// Rolls a credential over into a round.
    pub fn roll_over<R: CryptoRng + ?Sized>(
        &self,
        round: u32,
        credential: &Credential,
        rng: &mut R,
    ) -> (Credential, ShowRecord) {
        let view = self.view(round);
        let (context, request) =
            RollOverContext::new(&view, credential, Slots::random(64, rng), rng).expect("may roll over");
        let verified = request.verify(&view, &self.issuer, rng).expect("honest");
        let (response, record) = verified.answer(&self.issuer, rng).expect("not degenerate");
        (context.finish(&view, &response, rng).expect("honest"), record)
    }

    /// Draws a key list.
    pub fn draw<R: CryptoRng + ?Sized>(
        &self,
        round: u32,
        credential: &Credential,
        keys: Vec<(KeyIndex, u32)>,
        rng: &mut R,
    ) -> (Credential, Vec<Voucher>, DrawLeaf) {
        let view = self.view(round);
        let request = SessionRequest { round: Round(round), keys: keys.clone() };
        // A refresh asks for nothing and has no session.
        let session = (!keys.is_empty()).then(|| self.secrets(round).open(&view, &request, rng).expect("listed"));
        let slots = Slots::random(64, rng);
        let (context, request) = match &session {
            Some(session) => DrawContext::new(&view, credential, keys, session.offer(), slots, rng),
            None => DrawContext::refresh(&view, credential, slots, rng),
        }
        .expect("covered");
        let verified = request.verify(&view, &self.issuer, session.as_ref(), rng).expect("honest");
        let (response, leaf) = verified.answer(&self.issuer, session, rng).expect("not degenerate");
        let (credential, vouchers) = context.finish(&view, &response, rng).expect("honest");
        (credential, vouchers, leaf)
    }
}

/// The version after a header, with a key list.
pub fn next_version(previous: &Header, keys: &[KeyEntry]) -> Header {
    let leaves: Vec<_> = keys.iter().map(KeyEntry::leaf).collect();
    Header {
        version: previous.version + 1,
        previous: previous.hash(),
        programme: previous.programme_id(),
        key_count: keys.len() as u32,
        key_root: merkle::root(&leaves),
        ..previous.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        draw::{AmendContext, accumulate_amend, accumulate_draw, accumulate_roll_over},
        group::Accumulator,
        redeem::{Counter, RedeemRequest},
        secret::{SecretScalar, Weights},
        slip::{Place, QuoteTerms, Signed},
        swap::{SwapContext, accumulate_swap},
    };
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    /// A whole life: enrol, roll over, draw, redeem, swap, amend, and everything again from the log alone.
    #[test]
    fn life() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let fixture = Fixture::new(&mut rng);
        let (mut weights, mut log) = (Weights::new(&mut rng), Accumulator::new());
        let view = fixture.view(1);

        let (credential, issued) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
        issued.leaf.accumulate(&fixture.programme, &mut weights, &mut log).unwrap();
        let (credential, record) = fixture.roll_over(1, &credential, &mut rng);
        accumulate_roll_over(&view, &record, &mut weights, &mut log).unwrap();
        let schema = fixture.programme.schema().clone();
        let values = |credential: &Credential| [0, 1, 2].map(|at| credential.value(schema.state(at)).unwrap());
        assert_eq!(values(&credential), [4, 1, 0]);

        let keys = fixture.keys(1, &[(FOOD, 4), (INFANT, 1), (CASH, 30)]);
        let (credential, vouchers, leaf) = fixture.draw(1, &credential, keys, &mut rng);
        accumulate_draw(&view, &leaf, &mut weights, &mut log).unwrap();
        assert_eq!(values(&credential), [0, 0, 30]);
        assert_eq!(vouchers.len(), 1 + 1 + 2);

        let place = Place::new(&view, SITE);
        let quote = Signed::sign(
            QuoteTerms { place, id: Default::default(), lines: vec![FOOD, INFANT, CASH] },
            &fixture.site_logs[0],
        );
        let counter = Counter::new(view, place, Vec::new());
        let spare = SecretScalar::random(&mut rng);
        let shown: Vec<&Voucher> = vouchers.iter().collect();
        let request = RedeemRequest::new(&view, &quote, &shown, &spare, &mut rng).unwrap();
        let visit = counter.verify(&quote, &request).unwrap();
        assert_eq!(visit.units()[&CASH], Units(30));
        let leaves = visit.leaves(|_| 1);
        crate::voucher::accumulate(leaves.iter().map(|leaf| &leaf.voucher), |at| view.key(at), &mut weights, &mut log)
            .unwrap();

        // Swap one voucher of the first site for one of the second's first slot.
        let (old, at) = (&vouchers[0], fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(FOOD, 4)]));
        let request = SessionRequest { round: Round(1), keys: at.clone() };
        let session = fixture.secrets(1).open(&view, &request, &mut rng).unwrap();
        let slots = Slots::random(64, &mut rng);
        let (context, request) = SwapContext::new(&view, vec![old], at, session.offer(), slots, &mut rng).unwrap();
        let (response, leaf) = request.verify(&view, &session).unwrap().answer(session).unwrap();
        assert_eq!(context.finish(&view, &response).unwrap().len(), 1);
        accumulate_swap(&view, &leaf, &mut weights, &mut log).unwrap();

        // The household grows in round 1; from round 2 on it gets more.
        let code = TicketCode::random(&mut rng);
        let grant = fixture.grant(AMEND_LOT, TicketKind::Amend, &code, 12, &[6, 2]);
        let (context, request) =
            AmendContext::new(&view, &credential, code, Slots::random(64, &mut rng), &mut rng).unwrap();
        let verified = request.verify(&view, &fixture.issuer, &mut rng).unwrap();
        let issued = verified.answer(&view, &fixture.issuer, &grant, &mut rng).unwrap();
        let credential = context.finish(&view, &issued.response, &mut rng).unwrap();
        accumulate_amend(&view, &issued.leaf, &mut weights, &mut log).unwrap();
        // Four cash units were left of round 1: E(6 members, 1) = 46, less 4.
        assert_eq!(values(&credential), [0, 0, 42]);

        let (credential, record) = fixture.roll_over(2, &credential, &mut rng);
        accumulate_roll_over(&fixture.view(2), &record, &mut weights, &mut log).unwrap();
        assert_eq!(values(&credential), [6, 2, 42]);
        let keys = fixture.keys(2, &[(FOOD, 6), (INFANT, 2), (CASH, 50)]);
        let (credential, _, leaf) = fixture.draw(2, &credential, keys, &mut rng);
        accumulate_draw(&fixture.view(2), &leaf, &mut weights, &mut log).unwrap();
        assert_eq!(values(&credential), [0, 0, 92]);
        assert_eq!(log.verify(), Ok(()));
    }
}
