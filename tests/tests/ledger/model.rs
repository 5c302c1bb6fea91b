//! The reference: households, balances and rounds as plain integers. It knows no cryptography and no type of the protocol.

use std::collections::BTreeMap;

/// Lines, as positions.
pub(crate) const FOOD: usize = 0;
/// See [`FOOD`]. Needs an infant in the household to be drawn.
pub(crate) const INFANT: usize = 1;
/// See [`FOOD`]. What is left carries over.
pub(crate) const CASH: usize = 2;
/// `2^16`: every amount of a line stays below.
pub(crate) const LIMIT: i64 = 1 << 16;
/// The most vouchers of one draw.
pub(crate) const MOST_VOUCHERS: i64 = 128;
/// The values of vouchers, by line.
pub(crate) const VALUES: [&[u32]; 3] = [&[1, 5], &[1, 2], &[1, 10, 100, 1000]];

/// Units: a constant, so many a member, so many a child under two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) i64, pub(crate) i64, pub(crate) i64);

impl Rate {
    pub(crate) fn of(self, members: i64, infants: i64) -> i64 {
        self.0 + self.1 * members + self.2 * infants
    }

    fn most(self) -> i64 {
        self.of(15, 15)
    }
}

/// A kind of voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) line: usize,
    pub(crate) value: u32,
    pub(crate) round: u32,
    pub(crate) place: usize,
}

pub(crate) type Counts = BTreeMap<Kind, i64>;

#[derive(Clone, Debug)]
pub(crate) struct Household {
    pub(crate) members: i64,
    pub(crate) infants: i64,
    /// The last round that it may roll over into.
    pub(crate) expires: u32,
    /// The last round that it rolled over into.
    pub(crate) drawn: u32,
    /// What it may draw in round `drawn`.
    pub(crate) left: [i64; 3],
    /// Vouchers in its hand.
    pub(crate) hand: Counts,
}

/// What a ticket of a lot starts with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lot {
    pub(crate) drawn: u32,
    pub(crate) left: [Rate; 3],
}

/// An enrolment or amend, as the public bound sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) amend: bool,
    pub(crate) expires: u32,
    pub(crate) drawn: u32,
    pub(crate) members: i64,
    pub(crate) infants: i64,
    pub(crate) left: [i64; 3],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u32,
    /// What accrues, by line and round, from round 1 to the last that is planned.
    pub(crate) rates: [Vec<Rate>; 3],
    pub(crate) lots: BTreeMap<u32, Lot>,
    pub(crate) households: Vec<Household>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) drawn: Counts,
    pub(crate) redeemed: Counts,
    pub(crate) swapped_out: Counts,
    pub(crate) swapped_in: Counts,
    pub(crate) lapsed: Counts,
    /// Promised on slips and not voided, by line.
    pub(crate) owed: [i64; 3],
    pub(crate) collected: [i64; 3],
}

pub(crate) fn add(counts: &mut Counts, kind: Kind, more: i64) {
    let count = counts.entry(kind).or_default();
    *count += more;
    if *count == 0 {
        counts.remove(&kind);
    }
}

/// The fewest vouchers worth `units`: the largest values first.
pub(crate) fn change(line: usize, units: i64) -> Vec<(u32, i64)> {
    let mut left = units;
    let mut change = Vec::new();
    for value in VALUES[line].iter().rev() {
        let count = left / i64::from(*value);
        left %= i64::from(*value);
        if count > 0 {
            change.push((*value, count));
        }
    }
    assert_eq!(left, 0, "values of 1 make up everything");
    change
}

impl Model {
    pub(crate) fn planned(&self) -> u32 {
        self.rates[CASH].len() as u32
    }

    fn rate(&self, line: usize, round: u32) -> Rate {
        self.rates[line][round as usize - 1]
    }

    /// What accrues over rounds, both included.
    fn accrued(&self, line: usize, from: u32, to: u32, members: i64, infants: i64) -> i64 {
        (from..=to).map(|round| self.rate(line, round).of(members, infants)).sum()
    }

    /// Whether rounds with these rates of cash may be added; which lot would break, if it is not the line itself.
    pub(crate) fn may_plan(&self, cash: &[Rate]) -> Result<(), Option<u32>> {
        let total: i64 = self.rates[CASH].iter().chain(cash).map(|rate| rate.most()).sum();
        if total >= LIMIT {
            return Err(None);
        }
        let broken = self.lots.iter().find(|(_, lot)| lot.left[CASH].most() + total >= LIMIT);
        broken.map_or(Ok(()), |(lot, _)| Err(Some(*lot)))
    }

    pub(crate) fn may_enrol(&self, lot: u32, members: i64, infants: i64, expires: u32) -> bool {
        let lot = self.lots[&lot];
        (1..=15).contains(&members) && (0..=15).contains(&infants) && (lot.drawn == 0 || expires >= lot.drawn)
    }

    pub(crate) fn enrol(&mut self, lot: u32, members: i64, infants: i64, expires: u32) {
        let Lot { drawn, left } = self.lots[&lot];
        let left = left.map(|rate| rate.of(members, infants));
        self.households.push(Household { members, infants, expires, drawn, left, hand: Counts::new() });
        self.grants.push(Grant { amend: false, expires, drawn, members, infants, left });
    }

    pub(crate) fn may_roll_over(&self, who: usize) -> bool {
        let household = &self.households[who];
        household.drawn < self.now && self.now <= household.expires
    }

    pub(crate) fn roll_over(&mut self, who: usize) {
        let Household { members, infants, drawn, left, .. } = self.households[who];
        let missed = self.accrued(CASH, drawn + 1, self.now, members, infants);
        let fresh = |line| self.rate(line, self.now).of(members, infants);
        let left = [fresh(FOOD), fresh(INFANT), left[CASH] + missed];
        let now = self.now;
        let household = &mut self.households[who];
        (household.drawn, household.left) = (now, left);
    }

    /// Whether a list of vouchers for these units is short enough to be asked for at all.
    pub(crate) fn listable(units: &[i64; 3]) -> bool {
        let count: i64 = (0..3).flat_map(|line| change(line, units[line])).map(|(_, count)| count).sum();
        count <= MOST_VOUCHERS && units.iter().all(|units| *units < LIMIT)
    }

    pub(crate) fn may_draw(&self, who: usize, units: &[i64; 3]) -> bool {
        let household = &self.households[who];
        household.drawn == self.now
            && units.iter().zip(&household.left).all(|(units, left)| units <= left)
            && (units[INFANT] == 0 || household.infants >= 1)
    }

    pub(crate) fn draw(&mut self, who: usize, units: &[i64; 3], place: usize) {
        for (line, units) in units.iter().enumerate() {
            self.households[who].left[line] -= units;
            for (value, count) in change(line, *units) {
                let kind = Kind { line, value, round: self.now, place };
                add(&mut self.households[who].hand, kind, count);
                add(&mut self.drawn, kind, count);
            }
        }
    }

    pub(crate) fn may_amend(&self, who: usize) -> bool {
        self.households[who].drawn == self.now
    }

    pub(crate) fn may_use_amend_ticket(&self, members: i64, infants: i64, expires: u32) -> bool {
        (1..=15).contains(&members) && (0..=15).contains(&infants) && expires >= self.now
    }

    /// What is left of this round stays what it was.
    pub(crate) fn amend(&mut self, who: usize, members: i64, infants: i64, expires: u32) {
        let drawn = self.now;
        let household = &mut self.households[who];
        (household.members, household.infants, household.expires) = (members, infants, expires);
        self.grants.push(Grant { amend: true, expires, drawn, members, infants, left: [0; 3] });
    }

    pub(crate) fn swap(&mut self, who: usize, old: &[Kind], to: usize) {
        for kind in old {
            let new = Kind { place: to, ..*kind };
            add(&mut self.households[who].hand, *kind, -1);
            add(&mut self.households[who].hand, new, 1);
            add(&mut self.swapped_out, *kind, 1);
            add(&mut self.swapped_in, new, 1);
        }
    }

    pub(crate) fn redeem(&mut self, who: usize, vouchers: &[Kind]) {
        for kind in vouchers {
            add(&mut self.households[who].hand, *kind, -1);
            add(&mut self.redeemed, *kind, 1);
        }
    }

    pub(crate) fn void(&mut self, who: usize, vouchers: &[Kind]) {
        for kind in vouchers {
            add(&mut self.households[who].hand, *kind, 1);
            add(&mut self.redeemed, *kind, -1);
        }
    }

    pub(crate) fn advance(&mut self) {
        self.now += 1;
        for household in &mut self.households {
            for (kind, count) in std::mem::take(&mut household.hand) {
                add(&mut self.lapsed, kind, count);
            }
        }
    }

    /// The values of a credential from coordinate 2 on.
    pub(crate) fn values_of(&self, household: &Household) -> Vec<i64> {
        let Household { members, infants, expires, drawn, left, .. } = *household;
        let debit = self.accrued(CASH, 1, drawn, members, infants) - left[CASH];
        vec![expires.into(), drawn.into(), left[FOOD], left[INFANT], debit, 0, 0, members, infants]
    }

    /// What has accrued of cash to a household up to the round that it rolled over into last.
    pub(crate) fn accrued_to(&self, household: &Household) -> i64 {
        self.accrued(CASH, 1, household.drawn, household.members, household.infants)
    }

    /// The most that all grants together let households draw of a lapse line in a round, or of cash up to a round.
    pub(crate) fn granted(&self, line: usize, round: u32) -> i64 {
        self.grants.iter().map(|grant| self.granted_by(grant, line, round)).sum()
    }

    pub(crate) fn granted_by(&self, grant: &Grant, line: usize, round: u32) -> i64 {
        let Grant { expires, drawn, members, infants, left, .. } = *grant;
        match line {
            _ if round < drawn => 0,
            CASH => left[CASH] + self.accrued(CASH, drawn + 1, round.min(expires), members, infants),
            _ if round == drawn => left[line],
            _ if round <= expires => self.rate(line, round).of(members, infants),
            _ => 0,
        }
    }

    fn units(counts: &Counts, line: usize, rounds: std::ops::RangeInclusive<u32>) -> i64 {
        let of = |kind: &Kind| kind.line == line && rounds.contains(&kind.round);
        counts.iter().filter(|(kind, _)| of(kind)).map(|(kind, count)| i64::from(kind.value) * count).sum()
    }

    /// What must hold after every step.
    pub(crate) fn check(&self) {
        for household in &self.households {
            assert!(household.left.iter().all(|left| (0..LIMIT).contains(left)), "{household:?}");
        }
        // Voucher by voucher: what came in is in a hand, redeemed, swapped or lapsed.
        let mut balance = Counts::new();
        for (counts, sign) in
            [(&self.drawn, 1), (&self.swapped_in, 1), (&self.swapped_out, -1), (&self.redeemed, -1), (&self.lapsed, -1)]
        {
            assert!(counts.values().all(|count| *count > 0));
            counts.iter().for_each(|(kind, count)| add(&mut balance, *kind, sign * count));
        }
        for household in &self.households {
            household.hand.iter().for_each(|(kind, count)| add(&mut balance, *kind, -count));
        }
        assert!(balance.is_empty(), "vouchers appear or vanish: {balance:?}");
        for round in 1..=self.now {
            for line in [FOOD, INFANT, CASH] {
                let first = if line == CASH { 1 } else { round };
                let drawn = Self::units(&self.drawn, line, first..=round);
                let redeemed = Self::units(&self.redeemed, line, first..=round);
                let granted = self.granted(line, round);
                assert!(redeemed <= drawn && drawn <= granted, "{line} in {round}: {redeemed}, {drawn}, {granted}");
            }
        }
        assert!((0..3).all(|line| self.collected[line] <= self.owed[line]));
    }
}
