//! The programme that is measured: eight lapse lines, two sites, real keys and proofs.

use annona_protocol::{
    credential::{Credential, IssuerKey},
    draw::{RollOverContext, RoundKeys, SessionRequest},
    fixture::{self, AMEND_LOT, Fixture, LOT, ROUNDS, SITE},
    group::Point,
    ids::{KeyIndex, LineId, QuoteId, Round},
    log::leaf::DrawLeaf,
    programme::{Form, InForce, KeyCounts, KeyEntry, Line, Programme, Since},
    redeem::Counter,
    slip::{Place, Quote, QuoteTerms, Signed},
    slots::Slots,
    voucher::{LoggedVoucher, PreparedKey, RoundMaster, SigningSession, Voucher},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// Lines of the programme.
pub const LINES: u16 = 8;
/// The attributes of every household: fifteen members, so that every line grants fifteen units a round.
pub const ATTRIBUTES: [u64; 2] = [15, 1];
/// The last round of every credential.
pub const EXPIRES: u32 = 12;
/// Bytes of each sealed slot of a request.
pub const SLOT_BYTES: usize = 64;

/// A programme with its secrets, a household, and what it drew.
#[derive(Debug)]
pub struct World {
    /// The programme.
    pub fixture: Fixture,
    /// Bits of every range-proven value.
    pub width: u8,
    /// The issuer's voucher secrets of round 1.
    pub secrets: RoundKeys,
    /// Not rolled over yet.
    pub enrolled: Credential,
    /// Rolled over into round 1.
    pub credential: Credential,
    /// Twelve vouchers of the first line, one unit each, of round 1.
    pub vouchers: Vec<Voucher>,
    /// The draw that gave them.
    pub leaf: DrawLeaf,
}

/// A generator of fixed seed: the same inputs in every run.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Random slots of the size that the figures assume.
pub fn slots(rng: &mut ChaCha20Rng) -> Slots {
    Slots::random(SLOT_BYTES, rng)
}

fn fixture(width: u8, rng: &mut ChaCha20Rng) -> Fixture {
    let issuer = IssuerKey::generate(rng);
    let [issuer_log, witness] = [fixture::signing_key(rng), fixture::signing_key(rng)];
    let site_logs = vec![fixture::signing_key(rng), fixture::signing_key(rng)];
    let officers: Vec<_> = (0..3).map(|_| fixture::signing_key(rng)).collect();
    let masters: Vec<RoundMaster> = (0..ROUNDS).map(|_| RoundMaster::generate(rng)).collect();
    let mut genesis = fixture::genesis(issuer.public(), &issuer_log, &site_logs, &officers, &witness);
    genesis.schema.width = width;
    genesis.schema.lapse = LINES as u8;
    genesis.schema.carry = 0;
    let model = genesis.lines[0].clone();
    genesis.lines = (0..LINES)
        .map(|at| Line {
            id: LineId(at + 1),
            name: format!("line-{at}"),
            state: at as u8,
            accrual: vec![Since { round: Round(1), value: Form { constant: 0, terms: vec![(0, 1)] } }],
            predicates: Vec::new(),
            ..model.clone()
        })
        .collect();
    genesis.lots.retain(|lot| [LOT, AMEND_LOT].contains(&lot.id));
    let keys: Vec<KeyEntry> =
        (1..).zip(&masters).flat_map(|(round, master)| fixture::round_keys(&genesis, master, Round(round))).collect();
    let next = fixture::next_version(&genesis, &keys);
    let chain = vec![fixture::sign_header(genesis, &officers), fixture::sign_header(next, &officers)];
    let mut programme = Programme::new(&chain, keys).expect("the programme is valid");
    let hash = chain[1].header.hash();
    for round in 1..=ROUNDS {
        programme.open_round(Round(round), hash).expect("planned");
    }
    Fixture { programme, chain, issuer, masters, officers, issuer_log, site_logs, witness }
}

impl World {
    /// A programme of `width` bits, for the rest of the process: cases borrow it.
    pub fn leak(width: u8) -> &'static Self {
        let rng = &mut rng(u64::from(width));
        let fixture = fixture(width, rng);
        let secrets = fixture.secrets(1);
        let (enrolled, _) = fixture.enrol(LOT, EXPIRES, &ATTRIBUTES, rng);
        let (credential, _) = fixture.roll_over(1, &enrolled, rng);
        let twelve = vec![(key(&fixture, 1, 1), 12)];
        let (_, vouchers, leaf) = fixture.draw(1, &credential, twelve, rng);
        Box::leak(Box::new(Self { fixture, width, secrets, enrolled, credential, vouchers, leaf }))
    }

    /// Round 1.
    pub fn view(&self) -> InForce<'_> {
        self.fixture.view(1)
    }

    /// One voucher of one unit of each of the first `lines` lines: as many range-proven values.
    pub fn keys(&self, lines: u16) -> KeyCounts {
        let mut keys: KeyCounts = (1..=lines).map(|line| (key(&self.fixture, line, 1), 1)).collect();
        keys.sort_unstable();
        keys
    }

    /// `count` vouchers of one key.
    pub fn one_key(&self, count: u32) -> KeyCounts {
        vec![(key(&self.fixture, 1, 1), count)]
    }

    /// Opens a session for a list of keys.
    pub fn open(&self, keys: &KeyCounts, rng: &mut ChaCha20Rng) -> SigningSession {
        let request = SessionRequest { round: Round(1), keys: keys.clone() };
        self.secrets.open(&self.view(), &request, rng).expect("listed")
    }

    /// The key entry of the twelve vouchers.
    pub fn entry(&self) -> &KeyEntry {
        self.view().key(self.vouchers[0].key()).expect("listed")
    }

    /// A quote of the first site for all lines.
    pub fn quote(&self) -> Quote {
        let lines = (1..=LINES).map(LineId).collect();
        let place = Place::new(&self.view(), SITE);
        Signed::sign(QuoteTerms { place, id: QuoteId([7; 16]), lines }, &self.fixture.site_logs[0])
    }

    /// The counter of the first site.
    pub fn counter(&self) -> Counter<'_> {
        Counter::new(self.view(), Place::new(&self.view(), SITE), Vec::new())
    }

    /// Distinct logged vouchers, of one key each for a line in turn.
    pub fn logged(&self, count: usize, rng: &mut ChaCha20Rng) -> Vec<LoggedVoucher> {
        let view = self.view();
        let (mut logged, keys) = (Vec::new(), self.keys(LINES));
        while logged.len() < count {
            let session = self.open(&keys, rng);
            let (blinded, challenges) =
                annona_protocol::hazmat::blind(&view, &keys, session.offer(), rng).expect("listed");
            let answers = session.answer(&challenges).expect("one a nonce");
            let entries: Vec<KeyEntry> = keys.iter().map(|(at, _)| *view.key(*at).expect("listed")).collect();
            let vouchers = blinded.unblind(&entries, &answers).expect("honest");
            logged.extend(vouchers.iter().zip(&entries).map(|(voucher, entry)| {
                annona_protocol::hazmat::verify_voucher(entry, voucher.shown()).expect("honest")
            }));
        }
        logged.truncate(count);
        logged
    }

    /// Distinct logged draws of `lines` values.
    pub fn draws(&self, count: usize, lines: u16, rng: &mut ChaCha20Rng) -> Vec<DrawLeaf> {
        (0..count).map(|_| self.fixture.draw(1, &self.credential, self.keys(lines), rng).2).collect()
    }

    /// Whether this credential may roll over into round 1: asserted once before timing.
    pub fn check(&self, rng: &mut ChaCha20Rng) {
        assert!(RollOverContext::new(&self.view(), &self.enrolled, slots(rng), rng).is_ok());
        assert!(RollOverContext::new(&self.view(), &self.credential, slots(rng), rng).is_err());
        let key = PreparedKey::new(self.entry());
        assert!(self.vouchers.iter().all(|voucher| key.verify(voucher.shown()).is_ok()));
        let _: &Point = &self.entry().key;
    }
}

fn key(fixture: &Fixture, line: u16, value: u32) -> KeyIndex {
    let found = (0u32..).zip(fixture.programme.keys()).find(|(_, entry)| {
        (entry.id.line, entry.id.value, entry.id.round, entry.id.site, entry.id.slot)
            == (LineId(line), value, Round(1), Some(SITE), None)
    });
    KeyIndex(found.expect("every line has vouchers of one unit").0)
}
