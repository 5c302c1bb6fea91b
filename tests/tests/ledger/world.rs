//! The real thing: an issuer, two sites and some wallets, with nothing in their stores but what the protocol asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use annona_protocol::{
    cohort::{CohortMember, CohortSum},
    credential::Credential,
    draw::RoundKeys,
    fixture::{CASH as CASH_LINE, FOOD as FOOD_LINE, Fixture, INFANT as INFANT_LINE, SITE, SLOTTED},
    ids::{KeyIndex, LineId, Round, SiteId, Slot},
    log::leaf::{IssuerLeaf, LotLeaf, OwedLeaf, SiteLeaf},
    programme::Header,
    secret::SecretScalar,
    slip::OwedSlip,
    slots::Slots,
    ticket::TicketUse,
    voucher::{Mark, Voucher},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{
    manifest::programme,
    model::{CASH, Counts, Household, Kind, LIMIT, Model, add},
};

pub(crate) const LINES: [LineId; 3] = [FOOD_LINE, INFANT_LINE, CASH_LINE];
/// Where vouchers are redeemed: two sites, the second with two slots.
pub(crate) const PLACES: [(SiteId, Option<Slot>); 3] =
    [(SITE, None), (SLOTTED, Some(Slot(0))), (SLOTTED, Some(Slot(1)))];

pub(crate) struct Held {
    pub(crate) kind: Kind,
    pub(crate) voucher: Voucher,
}

pub(crate) struct Wallet {
    pub(crate) credential: Credential,
    /// Credentials whose serial is spent: what a backup would bring back.
    pub(crate) old: Vec<Credential>,
    pub(crate) hand: Vec<Held>,
    /// Vouchers that were swapped for others in this round, and kept.
    pub(crate) swapped: Vec<Held>,
}

/// A redeemed visit.
pub(crate) struct Visit {
    pub(crate) who: usize,
    pub(crate) place: usize,
    pub(crate) round: u32,
    pub(crate) vouchers: Vec<(Held, u32)>,
    /// The slip for what was out of stock.
    pub(crate) slip: Option<usize>,
    pub(crate) voided: bool,
}

pub(crate) struct OwedUnits {
    pub(crate) site: usize,
    pub(crate) round: u32,
    pub(crate) line: usize,
    pub(crate) units: i64,
    pub(crate) slip: OwedSlip,
    pub(crate) leaf: OwedLeaf,
    pub(crate) secret: SecretScalar,
    pub(crate) open: bool,
}

/// What the issuer stores: every spent serial with the request and its answer, used tickets, swapped vouchers.
#[derive(Default)]
pub(crate) struct IssuerStore {
    pub(crate) spent: HashMap<[u8; 32], (Vec<u8>, Vec<u8>)>,
    pub(crate) tickets: HashMap<[u8; 32], Vec<u8>>,
    pub(crate) swapped: BTreeSet<Mark>,
}

/// What a site stores: how often each voucher was accepted and whether it still is, and what its pack told.
#[derive(Default)]
pub(crate) struct SiteStore {
    pub(crate) accepted: HashMap<Mark, (u32, bool)>,
    pub(crate) swapped: BTreeSet<Mark>,
}

/// Totals by voucher kind, counted from the leaves alone.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) drawn: Counts,
    pub(crate) redeemed: Counts,
    pub(crate) swapped_out: Counts,
    pub(crate) swapped_in: Counts,
    pub(crate) owed: [i64; 3],
    pub(crate) collected: [i64; 3],
}

pub(crate) struct World {
    pub(crate) fixture: Fixture,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) model: Model,
    pub(crate) round_keys: BTreeMap<u32, RoundKeys>,
    pub(crate) wallets: Vec<Wallet>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) slips: Vec<OwedUnits>,
    pub(crate) issuer: IssuerStore,
    pub(crate) sites: [SiteStore; 2],
    /// Whether the round's swaps are over and its sites open.
    pub(crate) frozen: bool,
    pub(crate) published: Published,
    pub(crate) leaves: Vec<IssuerLeaf>,
    pub(crate) lots: Vec<LotLeaf>,
    pub(crate) sums: Vec<CohortSum>,
}

/// The kind of voucher that a key is for.
fn kind_of(fixture: &Fixture, at: KeyIndex) -> Kind {
    let id = fixture.programme.key(at).expect("listed").id;
    let place = PLACES.iter().position(|place| (Some(place.0), place.1) == (id.site, id.slot)).expect("a place");
    let line = LINES.iter().position(|line| *line == id.line).expect("a line");
    Kind { line, value: id.value, round: id.round.0, place }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (fixture, model) = programme(&mut rng);
        let mut world = Self {
            fixture,
            rng,
            model,
            round_keys: BTreeMap::new(),
            wallets: Vec::new(),
            visits: Vec::new(),
            slips: Vec::new(),
            issuer: IssuerStore::default(),
            sites: Default::default(),
            frozen: false,
            published: Published::default(),
            leaves: Vec::new(),
            lots: Vec::new(),
            sums: Vec::new(),
        };
        world.open_keys();
        world
    }

    /// Derives the voucher secrets of the round.
    pub(crate) fn open_keys(&mut self) {
        let now = self.model.now;
        self.round_keys.insert(now, self.fixture.secrets(now));
    }

    pub(crate) fn slots(&mut self) -> Slots {
        Slots::random(32, &mut self.rng)
    }

    /// Some household, one that has vouchers if there is any.
    pub(crate) fn holder(&self, at: usize) -> usize {
        let holds = |who: &usize| !self.wallets[*who].hand.is_empty() || !self.wallets[*who].swapped.is_empty();
        let holders: Vec<usize> = (0..self.wallets.len()).filter(holds).collect();
        if holders.is_empty() { at % self.wallets.len() } else { holders[at % holders.len()] }
    }

    pub(crate) fn kind(&self, at: KeyIndex) -> Kind {
        kind_of(&self.fixture, at)
    }

    /// Logs a leaf of the issuer and counts it.
    pub(crate) fn log(&mut self, leaf: IssuerLeaf) {
        match &leaf {
            IssuerLeaf::Draw(draw) => {
                for (at, count) in &draw.keys {
                    add(&mut self.published.drawn, kind_of(&self.fixture, *at), (*count).into());
                }
            }
            IssuerLeaf::Swap(swap) => {
                for old in &swap.old {
                    add(&mut self.published.swapped_out, kind_of(&self.fixture, old.shown.key), 1);
                }
                for (at, count) in &swap.new {
                    add(&mut self.published.swapped_in, kind_of(&self.fixture, *at), (*count).into());
                }
            }
            _ => {}
        }
        self.leaves.push(leaf);
    }

    /// Logs a leaf of a site and counts it.
    pub(crate) fn log_site(&mut self, leaf: &SiteLeaf) {
        let line = |id: &LineId| LINES.iter().position(|line| line == id).expect("a line");
        match leaf {
            SiteLeaf::Voucher(leaf) => {
                add(&mut self.published.redeemed, kind_of(&self.fixture, leaf.voucher.shown.key), 1)
            }
            SiteLeaf::Void(leaf) => add(&mut self.published.redeemed, kind_of(&self.fixture, leaf.mark.key), -1),
            SiteLeaf::Owed(owed) => {
                owed.lines.iter().for_each(|(id, units)| self.published.owed[line(id)] += units.0 as i64);
            }
            SiteLeaf::OwedVoided(voided) => {
                let slip = self.slips.iter().find(|slip| slip.leaf.holder == voided.holder).expect("a slip");
                let lines = slip.leaf.lines.clone();
                lines.iter().for_each(|(id, units)| self.published.owed[line(id)] -= units.0 as i64);
            }
            SiteLeaf::Collected(collected) => {
                let slip = self.slips.iter().find(|slip| slip.leaf.holder == collected.holder).expect("a slip");
                let lines = slip.leaf.lines.clone();
                lines.iter().for_each(|(id, units)| self.published.collected[line(id)] += units.0 as i64);
            }
            SiteLeaf::Batch(_) | SiteLeaf::Statement(_) => {}
        }
    }

    /// Credentials and totals are the model's.
    pub(crate) fn check(&self) {
        self.model.check();
        for (wallet, household) in self.wallets.iter().zip(&self.model.households) {
            self.check_wallet(wallet, household);
        }
        let Published { drawn, redeemed, swapped_out, swapped_in, owed, collected } = &self.published;
        assert_eq!(drawn, &self.model.drawn);
        assert_eq!(redeemed, &self.model.redeemed);
        assert_eq!(swapped_out, &self.model.swapped_out);
        assert_eq!(swapped_in, &self.model.swapped_in);
        assert_eq!((owed, collected), (&self.model.owed, &self.model.collected));
    }

    fn check_wallet(&self, wallet: &Wallet, household: &Household) {
        let arity = self.fixture.programme.parameters().arity();
        let values: Vec<i64> = (2..=arity).filter_map(|at| wallet.credential.value(at)).collect();
        assert_eq!(values, self.model.values_of(household), "{household:?}");
        let schema = self.fixture.programme.schema();
        let debit = wallet.credential.value(schema.state(CASH as u8)).expect("a coordinate");
        let left = self.model.accrued_to(household) - debit;
        assert!((0..LIMIT).contains(&left) && debit.abs() < LIMIT, "{left} left, {debit} debited");
        let mut hand = Counts::new();
        wallet.hand.iter().for_each(|held| add(&mut hand, held.kind, 1));
        assert_eq!(hand, household.hand);
        assert_eq!(
            wallet.hand.iter().map(|held| held.voucher.shown().mark()).collect::<BTreeSet<_>>().len(),
            wallet.hand.len()
        );
    }

    /// At the end: all leaves verify, and what the opened cohorts grant in public covers what was drawn.
    pub(crate) fn audit(&mut self) {
        let Self { fixture, leaves, lots, rng, .. } = self;
        assert!(fixture.issuer_leaves_hold(leaves, lots, leaves, rng), "a leaf does not verify");
        let header = fixture.programme.latest().clone();
        for round in 1..=self.model.now {
            for (line, terms) in header.lines.iter().enumerate() {
                let bound: i128 = self.sums.iter().map(|sum| self.granted(sum, &header, line, round)).sum();
                let first = if line == CASH { 1 } else { round };
                let of = |kind: &Kind| kind.line == line && (first..=round).contains(&kind.round);
                let drawn: i64 = self
                    .published
                    .drawn
                    .iter()
                    .filter(|(kind, _)| of(kind))
                    .map(|(kind, count)| i64::from(kind.value) * count)
                    .sum();
                assert!(i128::from(drawn) <= bound, "{} in round {round}: {drawn} of {bound}", terms.name);
            }
        }
    }

    /// What a class grants of a line in (lapse) or up to (carry) a round: by its opened sum, by the model if it is too small.
    fn granted(&self, sum: &CohortSum, header: &Header, line: usize, round: u32) -> i128 {
        let class = sum.class();
        let members: Vec<_> = self
            .model
            .grants
            .iter()
            .filter(|grant| (grant.amend, grant.expires, grant.drawn) == (class.amend, class.expires.0, class.drawn.0))
            .collect();
        assert_eq!(members.len() as u64, sum.count());
        let expected: i64 = members.iter().map(|grant| self.model.granted_by(grant, line, round)).sum();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let Ok(opening) = sum.open(&self.fixture.programme, 0, 1, &mut rng) else { return expected.into() };
        let (terms, first) = (&header.lines[line], header.policy.first_round);
        let state = i128::from(opening.states[usize::from(terms.state)]);
        let bound = if round < class.drawn.0 {
            0
        } else if line == CASH {
            let through = Round(round.min(class.expires.0).max(class.drawn.0));
            opening.evaluate(&terms.cumulative(first, through), &header.schema) - state
        } else if round == class.drawn.0 {
            state
        } else if round <= class.expires.0 {
            opening.evaluate(&terms.accrual_at(Round(round)), &header.schema)
        } else {
            0
        };
        assert_eq!(bound, i128::from(expected), "the opened sum of {class:?} grants what its members were granted");
        bound
    }

    /// Approves a ticket: a lot leaf of its own.
    pub(crate) fn approve(&mut self, ticket: &TicketUse) {
        self.lots.push(self.fixture.lot_leaf(ticket));
    }

    /// Adds the opening of an enrolment or amend to its cohort.
    pub(crate) fn add_member(&mut self, member: &CohortMember) {
        if !self.sums.iter().any(|sum| sum.class() == member.class()) {
            self.sums.push(CohortSum::new(member.class(), self.fixture.programme.schema()));
        }
        self.sums.iter_mut().filter(|sum| sum.class() == member.class()).for_each(|sum| sum.add(member));
    }
}
