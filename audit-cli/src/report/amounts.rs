//! Which amounts vouchers can make up: sums of values, which anybody reads in the manifest and the key list.
//!
//! Such sums are a numerical semigroup. It is kept as its Apéry set: for each remainder modulo the smallest value, the least sum
//! that has it (J. C. Rosales, P. A. García-Sánchez, "Numerical Semigroups", 2009, chapter 1).

use super::network::{Cell, UNBOUNDED};

/// The largest smallest value of which the set is made. Of a larger one an amount is known to be movable to nothing else, so
/// that more is withheld.
const MOST: u64 = 4096;

/// Sums of values.
#[derive(Clone, Debug)]
pub(super) struct Amounts {
    smallest: u64,
    second: u64,
    /// By remainder modulo the smallest value; empty beyond [`MOST`].
    least: Vec<Option<u64>>,
}

impl Amounts {
    /// The sums of these values, which are not 0 and at least one.
    pub(super) fn of(values: &[u64]) -> Self {
        let mut values = values.to_vec();
        values.sort_unstable();
        values.dedup();
        let smallest = values.first().copied().unwrap_or(1).max(1);
        let second = values.get(1).map_or(2 * smallest, |next| (2 * smallest).min(*next));
        let mut least = vec![None; if smallest <= MOST { smallest as usize } else { 0 }];
        if let Some(zero) = least.first_mut() {
            *zero = Some(0);
            for value in values {
                relax(&mut least, smallest, value);
            }
        }
        Self { smallest, second, least }
    }

    /// The two smallest sums that are not zero.
    pub(super) fn smallest(&self) -> (u64, u64) {
        (self.smallest, self.second)
    }

    fn has(&self, amount: u64) -> bool {
        let least = self.least.get((amount % self.smallest) as usize).copied().flatten();
        least.is_some_and(|least| least <= amount)
    }

    /// A cell of so many units. It can move within the run of sums that it is in, every whole number of which is one: of values
    /// of which the smallest divides all, these are all sums.
    pub(super) fn cell(&self, value: u64) -> Cell {
        if value == 0 {
            return Cell { value, least: 0, low: 0, high: 0 };
        }
        let (mut low, mut high) = (value, value);
        if self.has(value) {
            // From the largest gap on there is every number.
            let all = self.least.iter().copied().try_fold(0, |most, least| least.map(|least| most.max(least)));
            let from = all.map(|most| (most + 1).saturating_sub(self.smallest).max(1));
            match from.filter(|from| *from <= value) {
                Some(from) => (low, high) = (from, UNBOUNDED),
                None => {
                    while low > 1 && self.has(low - 1) {
                        low -= 1;
                    }
                    while self.has(high + 1) {
                        high += 1;
                    }
                }
            }
        }
        Cell { value, least: self.smallest.min(value), low, high }
    }
}

/// Takes one more value into the set: along each cycle of remainders, twice, as the least of it may be anywhere.
fn relax(least: &mut [Option<u64>], smallest: u64, value: u64) {
    let cycles = divisor(smallest, value);
    for start in 0..cycles {
        let mut at = start as usize;
        for _ in 0..2 * (smallest / cycles) {
            let next = ((at as u64 + value % smallest) % smallest) as usize;
            if let Some(sum) = least[at].map(|sum| sum.saturating_add(value)) {
                least[next] = Some(least[next].map_or(sum, |known| known.min(sum)));
            }
            at = next;
        }
    }
}

/// The greatest common divisor.
pub(super) fn divisor(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { divisor(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sums counted up one by one.
    #[test]
    fn sums_are_those_of_the_values() {
        for values in [&[1u64][..], &[5], &[1, 2, 4], &[3, 5], &[2, 5], &[4, 6], &[6, 9, 20], &[7, 11, 13]] {
            let amounts = Amounts::of(values);
            let mut sums = vec![true];
            for at in 1..300usize {
                sums.push(values.iter().any(|value| at.checked_sub(*value as usize).is_some_and(|rest| sums[rest])));
                assert_eq!(amounts.has(at as u64), sums[at], "{values:?} {at}");
            }
            let mut not_zero = (1..300u64).filter(|at| sums[*at as usize]);
            assert_eq!(amounts.smallest(), (not_zero.next().unwrap(), not_zero.next().unwrap()));
            for value in (1..100).filter(|value| sums[*value as usize]) {
                let Cell { low, high, least, .. } = amounts.cell(value);
                assert!(low >= 1 && (low..=high.min(250)).all(|at| sums[at as usize]), "{values:?} {value}");
                assert!(low == 1 || !sums[low as usize - 1], "{values:?} {value}: the run begins there");
                assert!(high == UNBOUNDED || !sums[high as usize + 1], "{values:?} {value}: the run ends there");
                assert_eq!(least, amounts.smallest().0);
            }
        }
        // Nothing of a size that is never met.
        let Cell { low, high, .. } = Amounts::of(&[1 << 31, (1 << 31) + 1]).cell(1 << 32);
        assert_eq!((low, high), (1 << 32, 1 << 32));
    }
}
