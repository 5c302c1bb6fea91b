//! What a site did in a round, recomputed from its log: the figures of a round statement.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    group::EncodedPoint,
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    log::{
        leaf::{OwedLeaf, SiteLeaf, VoucherLeaf},
        merkle,
    },
    programme::InForce,
    slip::{Place, StatementTerms},
    voucher::Mark,
    wire::{DecodeError, Message},
};

/// The figures of a round at a site. Rows without units are left out of statements.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Account {
    units: BTreeMap<LineId, Units>,
    vouchers: BTreeMap<KeyIndex, u64>,
    voids: BTreeMap<KeyIndex, u64>,
    owed: BTreeMap<LineId, Units>,
    collected: BTreeMap<LineId, Units>,
}

fn add(units: &mut BTreeMap<LineId, Units>, line: LineId, more: u64) {
    let sum = units.entry(line).or_default();
    // Values have 32 bits: a log of 2^32 vouchers would be needed to get here.
    sum.0 = sum.0.saturating_add(more);
}

impl Account {
    /// An acceptance, voided or not.
    pub(super) fn accepted(&mut self, key: KeyIndex, line: LineId, value: u32, voided: bool) {
        if voided {
            *self.voids.entry(key).or_default() += 1;
        } else {
            *self.vouchers.entry(key).or_default() += 1;
            add(&mut self.units, line, value.into());
        }
    }

    /// An owed slip that was not voided.
    pub(super) fn owed(&mut self, slip: &OwedLeaf) {
        slip.lines.iter().for_each(|(line, units)| add(&mut self.owed, *line, units.0));
    }

    /// So many collections of a slip in the round.
    pub(super) fn collected(&mut self, slip: &OwedLeaf, times: u64) {
        slip.lines.iter().for_each(|(line, units)| add(&mut self.collected, *line, units.0.saturating_mul(times)));
    }

    /// What another account says of slips.
    pub(super) fn add_slips(&mut self, other: Self) {
        other.owed.into_iter().for_each(|(line, units)| add(&mut self.owed, line, units.0));
        other.collected.into_iter().for_each(|(line, units)| add(&mut self.collected, line, units.0));
    }

    /// Whether a statement says the same.
    pub(super) fn agrees(&self, terms: &StatementTerms) -> bool {
        let StatementTerms { place: _, units, vouchers, voids, owed, collected, size: _, root: _ } = terms;
        rows(&self.units) == *units
            && rows(&self.vouchers) == *vouchers
            && rows(&self.voids) == *voids
            && rows(&self.owed) == *owed
            && rows(&self.collected) == *collected
    }

    /// Lines of which more is owed than was redeemed, with the excess.
    pub(super) fn owed_past_redeemed(&self) -> impl Iterator<Item = (LineId, Units)> + '_ {
        self.owed.iter().filter_map(|(line, owed)| {
            let redeemed = self.units.get(line).map_or(0, |units| units.0);
            let excess = owed.0.checked_sub(redeemed).filter(|excess| *excess > 0)?;
            Some((*line, Units(excess)))
        })
    }
}

fn rows<K: Copy + Ord, V: Copy>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter().map(|(key, value)| (*key, *value)).collect()
}

/// The statement of a round over a whole site log, given as its entries so far: what the site signs next. `replaced` are the
/// entries of earlier logs of the site, whose owed slips may be collected in this one.
///
/// # Errors
/// [`DecodeError`] of the first entry that is no leaf of a site's log.
pub fn statement(
    view: &InForce<'_>,
    site: SiteId,
    replaced: &[Vec<u8>],
    entries: &[Vec<u8>],
) -> Result<StatementTerms, DecodeError> {
    let decode =
        |entries: &[Vec<u8>]| entries.iter().map(|entry| SiteLeaf::decode(entry)).collect::<Result<Vec<_>, _>>();
    let (earlier, leaves) = (decode(replaced)?, decode(entries)?);
    let voids: HashSet<(Mark, u32)> = leaves
        .iter()
        .filter_map(|leaf| if let SiteLeaf::Void(leaf) = leaf { Some((leaf.mark, leaf.number)) } else { None })
        .collect();
    let owed_voids: HashSet<EncodedPoint> = leaves
        .iter()
        .filter_map(|leaf| if let SiteLeaf::OwedVoided(leaf) = leaf { Some(leaf.holder) } else { None })
        .collect();
    let slips: HashMap<EncodedPoint, &OwedLeaf> = earlier
        .iter()
        .chain(&leaves)
        .filter_map(|leaf| if let SiteLeaf::Owed(leaf) = leaf { Some((leaf.holder, leaf)) } else { None })
        .collect();
    let mut account = Account::default();
    for leaf in &leaves {
        match leaf {
            SiteLeaf::Voucher(VoucherLeaf { number, voucher }) => {
                let mark = voucher.shown.mark();
                if let Some(entry) = view.key(mark.key).filter(|entry| entry.id.round == view.round) {
                    account.accepted(mark.key, entry.id.line, entry.id.value, voids.contains(&(mark, *number)));
                }
            }
            SiteLeaf::Owed(leaf) if leaf.round == view.round && !owed_voids.contains(&leaf.holder) => {
                account.owed(leaf)
            }
            SiteLeaf::Collected(leaf) if leaf.round == view.round => {
                slips.get(&leaf.holder).into_iter().for_each(|slip| account.collected(slip, 1));
            }
            _ => {}
        }
    }
    let hashes: Vec<_> = entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
    Ok(StatementTerms {
        place: Place::new(view, site),
        units: rows(&account.units),
        vouchers: rows(&account.vouchers),
        voids: rows(&account.voids),
        owed: rows(&account.owed),
        collected: rows(&account.collected),
        size: entries.len() as u64,
        root: merkle::root(&hashes),
    })
}

/// The rounds of the accounts that a log has something in.
pub(super) type Accounts = BTreeMap<Round, Account>;
