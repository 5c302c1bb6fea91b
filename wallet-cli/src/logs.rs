//! Whole logs: whether receipts were kept, which vouchers are spent, and how large the crowd is (spec 8.3, 10.2).
//!
//! A wallet reads a log whole or not at all: a request for one leaf would tell whose it is.

use std::collections::{BTreeMap, BTreeSet};

use annona_protocol::{
    audit::receipt::{Inclusion, Omission, ReceiptError},
    ids::{KeyIndex, Round},
    log::{
        leaf::{IssuerLeaf, SiteLeaf},
        note::{Checkpoint, NoteError},
        tile::{LogContents, TileError, read_entries},
    },
    programme::{Header, LogKey, MAX_VOUCHERS},
    voucher::Mark,
    wire::{DecodeError, Message as _},
};

use crate::Wallet;

/// A log, read whole under a checkpoint that the programme's witnesses cosigned.
#[derive(Debug)]
pub struct WholeLog {
    checkpoint: Checkpoint,
    note: String,
    contents: LogContents,
}

/// Why a log is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no checkpoint.
    #[error("no checkpoint there: nothing has been published yet, or the address is another's")]
    NoCheckpoint,
    /// The checkpoint is not the log's, or too few witnesses cosigned it.
    #[error("the log's checkpoint does not hold: {0}")]
    Checkpoint(#[from] NoteError),
    /// A file is missing or malformed.
    #[error("the log cannot be read: {0}")]
    Tile(#[from] TileError),
    /// The entries are not those that the checkpoint is of.
    #[error("the log's entries are not those that were signed: keep the files, an audit has to see them")]
    Root,
    /// An entry is no leaf of such a log.
    #[error("entry {index} of the log is malformed")]
    Leaf {
        /// Its position.
        index: u64,
        /// Why.
        source: DecodeError,
    },
}

/// What a site's log says of a receipt.
#[derive(Debug)]
pub enum Kept {
    /// The log holds the leaf, with a proof for whoever asks.
    Included(Box<Inclusion>),
    /// The promised batch is not closed, or not published.
    NotDue,
    /// The log should hold the leaf and does not: the proof convicts the site.
    Broken(Box<Omission>),
}

impl WholeLog {
    /// Reads a log through `fetch`, which gives the file at a path below the log's address, and checks it against its checkpoint.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read(fetch: impl Fn(&str) -> Option<Vec<u8>>, log: &LogKey, newest: &Header) -> Result<Self, LogError> {
        let note = fetch("checkpoint").ok_or(LogError::NoCheckpoint)?;
        let verified = newest.verify_checkpoint(&note, log)?;
        let (checkpoint, note) = (verified.checkpoint().clone(), verified.note().to_string());
        let contents = read_entries(fetch, checkpoint.size())?;
        if contents.root == checkpoint.root() { Ok(Self { checkpoint, note, contents }) } else { Err(LogError::Root) }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as it was signed and cosigned.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// What becomes of a receipt.
    ///
    /// # Errors
    /// [`ReceiptError`] for a receipt of another log.
    pub fn kept(&self, receipt: &annona_protocol::slip::Receipt, newest: &Header) -> Result<Kept, ReceiptError> {
        let LogContents { entries, leaves, .. } = &self.contents;
        match Inclusion::find(receipt, entries, leaves) {
            Ok(proof) => proof.verify(newest, &self.checkpoint).map(|()| Kept::Included(Box::new(proof))),
            Err(ReceiptError::Omitted) => match Omission::find(receipt, entries, leaves) {
                Ok(proof) => proof.verify(newest, &self.checkpoint).map(|()| Kept::Broken(Box::new(proof))),
                Err(ReceiptError::NotDue) => Ok(Kept::NotDue),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The vouchers that a site's log shows as redeemed: acceptances less voids.
    ///
    /// # Errors
    /// [`LogError::Leaf`].
    pub fn redeemed(&self) -> Result<BTreeSet<Mark>, LogError> {
        let mut acceptances: BTreeMap<Mark, i64> = BTreeMap::new();
        for (index, entry) in (0u64..).zip(&self.contents.entries) {
            match SiteLeaf::decode(entry).map_err(|source| LogError::Leaf { index, source })? {
                SiteLeaf::Voucher(leaf) => *acceptances.entry(leaf.voucher.shown.mark()).or_default() += 1,
                SiteLeaf::Void(leaf) => *acceptances.entry(leaf.mark).or_default() -= 1,
                _ => {}
            }
        }
        Ok(acceptances.into_iter().filter(|(_, count)| *count > 0).map(|(mark, _)| mark).collect())
    }

    /// What was drawn in a round, by the issuer's log.
    ///
    /// # Errors
    /// [`LogError::Leaf`].
    pub fn drawn(&self, round: Round) -> Result<Drawn, LogError> {
        let mut drawn = Drawn::default();
        for (index, entry) in (0u64..).zip(&self.contents.entries) {
            match IssuerLeaf::decode(entry).map_err(|source| LogError::Leaf { index, source })? {
                // None has more vouchers, or none ([5.3-M1]): such a leaf brought nobody anything, and a refresh neither.
                IssuerLeaf::Draw(leaf)
                    if leaf.record.round == round && (1..=MAX_VOUCHERS as u64).contains(&vouchers(&leaf.keys)) =>
                {
                    *drawn.lists.entry(leaf.keys.into_iter().collect()).or_default() += 1;
                }
                IssuerLeaf::Swap(leaf) if leaf.round == round => drawn.swapped += 1,
                _ => {}
            }
        }
        Ok(drawn)
    }
}

/// The draws of a round, by the keys that they asked for.
#[derive(Debug, Default)]
pub struct Drawn {
    lists: BTreeMap<BTreeMap<KeyIndex, u32>, usize>,
    /// How many swaps there were: whoever swapped may hold something else than was drawn.
    pub swapped: usize,
}

impl Drawn {
    /// How many draws there were.
    pub fn draws(&self) -> usize {
        self.lists.values().sum()
    }

    /// How many draws asked for exactly these keys.
    pub fn same(&self, keys: &[(KeyIndex, u32)]) -> usize {
        self.lists.get(&keys.iter().copied().collect()).copied().unwrap_or_default()
    }

    /// Draws of several vouchers by what they brought of those that are held, and how many they are. Draws that brought none are
    /// left out.
    pub fn within(&self, held: &BTreeMap<KeyIndex, u32>) -> BTreeMap<BTreeMap<KeyIndex, u32>, usize> {
        let mut all = BTreeMap::<_, usize>::new();
        for (list, draws) in self.lists.iter().filter(|(list, _)| !is_single(list)) {
            let part = |(key, count): (&KeyIndex, &u32)| Some((*key, *list.get(key)?.min(count)));
            let brought: BTreeMap<KeyIndex, u32> = held.iter().filter_map(part).collect();
            if !brought.is_empty() {
                *all.entry(brought).or_default() += draws;
            }
        }
        all
    }

    /// Draws of one voucher each, of the keys that are held.
    pub fn singly(&self, held: &BTreeMap<KeyIndex, u32>) -> BTreeMap<KeyIndex, usize> {
        let draws = |key: &KeyIndex| Some((*key, *self.lists.get(&BTreeMap::from([(*key, 1)]))?));
        held.keys().filter_map(draws).collect()
    }
}

/// How many vouchers a list is of.
fn vouchers(keys: &[(KeyIndex, u32)]) -> u64 {
    keys.iter().map(|(_, count)| u64::from(*count)).sum()
}

/// Whether a draw asked for one voucher.
fn is_single(list: &BTreeMap<KeyIndex, u32>) -> bool {
    list.values().map(|count| u64::from(*count)).sum::<u64>() == 1
}

/// The crowd in which a visit that shows these vouchers hides, never too large: draws of several vouchers ([`Drawn::within`]) that
/// brought at least these, or, for one voucher alone, the households that must have made its single draws ([`Drawn::singly`]), as
/// one can draw `most` of the key in the round. The larger of the two, not their sum: a household may have drawn in both ways. Single
/// draws are in no crowd of more vouchers, as nobody knows which are one household's.
pub fn covering<'a>(
    shown: &BTreeMap<KeyIndex, u32>,
    within: impl IntoIterator<Item = (&'a BTreeMap<KeyIndex, u32>, u64)>,
    singly: &BTreeMap<KeyIndex, u64>,
    most: impl FnOnce(KeyIndex) -> Option<u64>,
) -> u64 {
    let covers = |list: &BTreeMap<KeyIndex, u32>| shown.iter().all(|(key, count)| list.get(key) >= Some(count));
    let whole = within.into_iter().filter(|(list, _)| covers(list)).map(|(_, draws)| draws);
    let mut parts = shown.iter().filter(|(_, count)| **count > 0);
    let households = match (parts.next(), parts.next()) {
        (Some((key, 1)), None) => singly.get(key).zip(most(*key).filter(|most| *most > 0)),
        _ => None,
    };
    let households = households.map_or(0, |(draws, most)| draws.div_ceil(most));
    whole.fold(0, u64::saturating_add).max(households)
}

/// How often single draws ([`Drawn::singly`]) make up these vouchers, at most: so many households there are only if none made more of
/// them than it needs.
pub fn made_up(shown: &BTreeMap<KeyIndex, u32>, singly: &BTreeMap<KeyIndex, u64>) -> u64 {
    let draws = |key: &KeyIndex| singly.get(key).copied().unwrap_or_default();
    let parts = shown.iter().filter(|(_, count)| **count > 0);
    parts.map(|(key, count)| draws(key) / u64::from(*count)).min().unwrap_or_default()
}

impl Wallet {
    /// Erases vouchers that a restore brought back and a site's log shows as redeemed. No others: the vouchers of a visit whose goods
    /// never came bring them still. Gives their number.
    pub fn drop_redeemed(&mut self, redeemed: &BTreeSet<Mark>) -> usize {
        let in_no_visit = |mark: &Mark| !self.visits.iter().any(|visit| visit.shows(mark));
        let gone: BTreeSet<Mark> =
            self.restored.iter().filter(|mark| redeemed.contains(mark) && in_no_visit(mark)).copied().collect();
        self.vouchers.retain(|voucher| !gone.contains(&voucher.shown().mark()));
        self.restored.retain(|mark| !gone.contains(mark));
        gone.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lists: &[(&[(u32, u32)], usize)]) -> Drawn {
        let list = |keys: &[(u32, u32)]| keys.iter().map(|(key, count)| (KeyIndex(*key), *count)).collect();
        Drawn { lists: lists.iter().map(|(keys, count)| (list(keys), *count)).collect(), swapped: 0 }
    }

    /// The crowd, and how often single draws make it up, where a household can draw four of a key.
    fn crowd(drawn: &Drawn, shown: &[(u32, u32)]) -> (u64, u64) {
        let shown = shown.iter().map(|(key, count)| (KeyIndex(*key), *count)).collect();
        let (within, singly) = (drawn.within(&shown), drawn.singly(&shown));
        let singly = singly.into_iter().map(|(key, draws)| (key, draws as u64)).collect();
        let within = within.iter().map(|(list, draws)| (list, *draws as u64));
        (covering(&shown, within, &singly, |_| Some(4)), made_up(&shown, &singly))
    }

    #[test]
    fn single_draws_of_one_household_are_no_crowd() {
        let all = drawn(&[(&[(1, 2), (2, 1)], 5), (&[(1, 1)], 42), (&[(2, 1)], 4), (&[(1, 2)], 3)]);
        // Forty-two single draws are eleven households' at least, and may be of no more.
        assert_eq!(crowd(&all, &[(1, 1)]), (11, 42));
        // Fewer than those that drew several vouchers, of whom they may be.
        assert_eq!(crowd(&all, &[(2, 1)]), (5, 4));
        // Of two vouchers one household may have made all of them.
        assert_eq!(crowd(&all, &[(1, 2)]), (8, 21));
        assert_eq!(crowd(&all, &[(1, 2), (2, 1)]), (5, 4));
        assert_eq!(crowd(&all, &[(1, 3), (2, 1)]), (0, 4));
        assert_eq!(crowd(&all, &[(2, 5)]), (0, 0));
        assert_eq!(crowd(&all, &[(3, 1)]), (0, 0));
        // Twenty draws of one voucher by five households, of four each.
        assert_eq!(crowd(&drawn(&[(&[(1, 1)], 20)]), &[(1, 1)]), (5, 20));
        // Draws of several vouchers are as before.
        let whole = drawn(&[(&[(1, 2), (2, 1)], 5), (&[(1, 4)], 2)]);
        let numbers = [&[(1, 2)][..], &[(1, 3)], &[(1, 1), (2, 1)]].map(|shown| crowd(&whole, shown));
        assert_eq!(numbers, [(7, 0), (2, 0), (5, 0)]);
    }
}
