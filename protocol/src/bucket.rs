//! Buckets: how an issuer gives sealed slots out (spec 10.2).
//!
//! A wallet without its phone knows the ids of its slots, and must not tell the issuer which slots are its own. The slots of one
//! kind and round are cut into `2^depth` buckets by the first bits of their ids; a wallet fetches the whole bucket that an id of
//! its own falls into, whether or not there is such a slot.
//!
//! ```text
//! wallet                                  issuer
//!            <-- SlotDirectory --         depth of each round and kind
//! Bucket::of(kind, round, depth, id) -->
//!            <-- SlotBucket --            every slot of the bucket whose leaf is in the log
//! ```

use serde::{Deserialize, Serialize};

use crate::{ids::Round, wire::message};

/// The round that slots of an enrolment are filed under: it is made in no round, and programmes begin with round 1 or later.
pub const ENROLMENTS: Round = Round(0);
/// The least minimum that a wallet should accept: a programme that promises smaller crowds promises nothing.
pub const LEAST_MINIMUM: u32 = 8;
/// The most bits that buckets are cut by.
pub const MAX_DEPTH: u8 = 31;

/// Which of a message's two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotKind {
    /// Deleted at the round's close.
    Vouchers,
    /// Kept until the programme ends.
    Credential,
}

impl SlotKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Vouchers, Self::Credential];

    /// The kind's word in an address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vouchers => "vouchers",
            Self::Credential => "credential",
        }
    }

    /// Reads the word.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How an issuer's slots are cut into buckets now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotDirectory {
    /// Slots that a bucket has at least, on average over the buckets of its round and kind, if its depth is not 0.
    pub minimum: u32,
    /// Rounds that have slots in the log, ascending; [`ENROLMENTS`] first.
    pub rounds: Vec<SlotRound>,
}

message!(SlotDirectory, SLOT_DIRECTORY, 32 * 1024);

/// How the slots of a round are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRound {
    /// The round.
    pub round: Round,
    /// The depth of its voucher slots; none once they are deleted.
    pub vouchers: Option<u8>,
    /// The depth of its credential slots.
    pub credential: u8,
}

/// Why a directory is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Rounds out of order, or a depth above [`MAX_DEPTH`].
    #[error("the directory of slots is malformed")]
    Malformed,
    /// A minimum below [`LEAST_MINIMUM`].
    #[error("the issuer promises buckets of {minimum} slots only: a look-up would tell whose it is")]
    Minimum {
        /// What it promises.
        minimum: u32,
    },
    /// The buckets cannot be as large as promised: the log has too few leaves.
    #[error("the log is too small for the buckets that the issuer promises: a look-up would tell whose it is")]
    Depth,
}

impl SlotDirectory {
    /// The depth of a round's slots of a kind.
    pub fn depth(&self, kind: SlotKind, round: Round) -> Option<u8> {
        let found = self.rounds.iter().find(|found| found.round == round)?;
        match kind {
            SlotKind::Vouchers => found.vouchers,
            SlotKind::Credential => Some(found.credential),
        }
    }

    /// Checks the promise against the size of a log that witnesses have cosigned: every slot that is given out belongs to a leaf of
    /// its own. A wallet checks this before it asks for any bucket.
    ///
    /// # Errors
    /// [`DirectoryError`]; after [`DirectoryError::Depth`] a newer announcement may help.
    pub fn check(&self, log_size: u64) -> Result<(), DirectoryError> {
        if self.minimum < LEAST_MINIMUM {
            return Err(DirectoryError::Minimum { minimum: self.minimum });
        }
        if !self.rounds.is_sorted_by(|left, right| left.round < right.round) {
            return Err(DirectoryError::Malformed);
        }
        for kind in SlotKind::ALL {
            let mut promised = 0u64;
            for depth in self.rounds.iter().filter_map(|found| self.depth(kind, found.round)) {
                if depth > MAX_DEPTH {
                    return Err(DirectoryError::Malformed);
                }
                let least = if depth == 0 { 0 } else { u64::from(self.minimum) << depth };
                promised = promised.saturating_add(least);
            }
            if promised > log_size {
                return Err(DirectoryError::Depth);
            }
        }
        Ok(())
    }
}

/// The depth of so many slots: the largest at which a bucket has `minimum` of them on average; 0 if there are fewer than two times
/// the minimum.
pub fn depth_of(slots: u64, minimum: u32) -> u8 {
    (1..=MAX_DEPTH).take_while(|depth| slots >> depth >= u64::from(minimum.max(1))).last().unwrap_or_default()
}

/// Which bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Of this kind of slots.
    pub kind: SlotKind,
    /// Of this round.
    pub round: Round,
    /// How many bits of an id decide.
    pub depth: u8,
    /// These bits.
    pub number: u32,
}

impl Bucket {
    /// The bucket of that name; `None` if there is none.
    pub fn new(kind: SlotKind, round: Round, depth: u8, number: u32) -> Option<Self> {
        (depth <= MAX_DEPTH && number >> depth == 0).then_some(Self { kind, round, depth, number })
    }

    /// The bucket that an id falls into. `depth` is at most [`MAX_DEPTH`].
    pub fn of(kind: SlotKind, round: Round, depth: u8, id: &[u8; 32]) -> Self {
        Self { kind, round, depth, number: first_bits(id, depth.min(MAX_DEPTH)) }
    }

    /// Whether an id falls into it.
    pub fn contains(&self, id: &[u8; 32]) -> bool {
        first_bits(id, self.depth) == self.number
    }

    /// The lowest and the highest id that fall into it.
    pub fn range(&self) -> ([u8; 32], [u8; 32]) {
        let free = u32::MAX.checked_shr(self.depth.into()).unwrap_or_default();
        let first = self.number.checked_shl(32 - u32::from(self.depth)).unwrap_or_default();
        let (mut low, mut high) = ([0; 32], [u8::MAX; 32]);
        low[..4].copy_from_slice(&first.to_be_bytes());
        high[..4].copy_from_slice(&(first | free).to_be_bytes());
        (low, high)
    }

    /// Kind, round, depth and number, as in the bucket's address.
    pub fn path(&self) -> String {
        format!("{}/{}/{}/{}", self.kind.name(), self.round, self.depth, self.number)
    }
}

/// The first bits of an id as a number; at most 31.
fn first_bits(id: &[u8; 32], bits: u8) -> u32 {
    let first = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
    first.checked_shr(32 - u32::from(bits)).unwrap_or_default()
}

/// The slots of a bucket, or the part of them that fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotBucket {
    /// Ascending by id.
    pub slots: Vec<StoredSlot>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

message!(SlotBucket, SLOT_BUCKET, 4 * 1024 * 1024);

/// A slot as the issuer keeps it, with what its message came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSlot {
    /// The slot's id.
    pub id: [u8; 32],
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
    /// The entry of the issuer's log: an [`IssuerLeaf`](crate::log::leaf::IssuerLeaf) in its encoding.
    pub leaf: Vec<u8>,
    /// For the credential slot of an enrolment or amend the answer in its encoding, masked by what only the wallet knows; else
    /// empty.
    pub answer: Vec<u8>,
}

impl StoredSlot {
    /// The most bytes that the slot takes in a bucket's encoding.
    pub fn max_bytes(&self) -> usize {
        // Each length takes at most five bytes.
        self.id.len() + self.ciphertext.len() + self.leaf.len() + self.answer.len() + 3 * 5
    }
}

impl SlotBucket {
    /// Slots fit together whose [`StoredSlot::max_bytes`] are no more than this; one always does.
    pub const ROOM: usize = <Self as crate::wire::Message>::MAX_BYTES - 16;

    /// Whether this can be the part of a bucket behind `after`: ids ascend, and fall into it; and there is an end.
    pub fn is_of(&self, bucket: &Bucket, after: Option<&[u8; 32]>) -> bool {
        let ids = after.into_iter().chain(self.slots.iter().map(|slot| &slot.id));
        ids.is_sorted_by(|left, right| left < right)
            && self.slots.iter().all(|slot| bucket.contains(&slot.id))
            && !(self.more && self.slots.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: u32) -> [u8; 32] {
        let mut id = [0x55; 32];
        id[..4].copy_from_slice(&first.to_be_bytes());
        id
    }

    #[test]
    fn every_id_is_in_one_bucket_of_each_depth() {
        for depth in [0, 1, 3, 8, 13, MAX_DEPTH] {
            for first in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
                let id = id(first);
                let bucket = Bucket::of(SlotKind::Credential, Round(3), depth, &id);
                assert_eq!(Bucket::new(bucket.kind, bucket.round, depth, bucket.number), Some(bucket));
                assert!(bucket.contains(&id));
                let (low, high) = bucket.range();
                assert!(low <= id && id <= high && bucket.contains(&low) && bucket.contains(&high));
                for other in [bucket.number.wrapping_add(1), bucket.number ^ 1] {
                    if let Some(other) = Bucket::new(bucket.kind, bucket.round, depth, other)
                        && other != bucket
                    {
                        assert!(!other.contains(&id) && (other.range().0 > id || other.range().1 < id));
                    }
                }
            }
        }
        assert_eq!(Bucket::new(SlotKind::Vouchers, Round(1), 0, 1), None);
        assert_eq!(Bucket::new(SlotKind::Vouchers, Round(1), MAX_DEPTH + 1, 0), None);
        assert_eq!(Bucket::new(SlotKind::Vouchers, Round(7), 2, 3).unwrap().path(), "vouchers/7/2/3");
        assert_eq!(SlotKind::parse("credential"), Some(SlotKind::Credential));
        assert_eq!(SlotKind::parse("Vouchers"), None);
    }

    #[test]
    fn depths_keep_the_minimum_on_average() {
        for (slots, depth) in
            [(0, 0), (1, 0), (63, 0), (64, 1), (127, 1), (128, 2), (1 << 20, 15), (u64::MAX, MAX_DEPTH)]
        {
            assert_eq!(depth_of(slots, 32), depth, "{slots}");
        }
        assert_eq!(depth_of(5, 0), depth_of(5, 1));
    }

    #[test]
    fn a_promise_that_the_log_contradicts_is_not_believed() {
        let round = |round, vouchers, credential| SlotRound { round: Round(round), vouchers, credential };
        let directory = |rounds| SlotDirectory { minimum: 32, rounds };
        let honest = directory(vec![round(0, None, 1), round(1, None, 2), round(2, Some(2), 2)]);
        assert_eq!(honest.check(64 + 128 + 128), Ok(()));
        assert_eq!(honest.check(64 + 128 + 127), Err(DirectoryError::Depth));
        assert_eq!(directory(vec![round(1, Some(0), 0)]).check(0), Ok(()), "depth 0 promises nothing");
        assert_eq!(directory(vec![round(1, Some(3), 0)]).check(255), Err(DirectoryError::Depth));
        assert_eq!(directory(vec![round(1, None, MAX_DEPTH + 1)]).check(u64::MAX), Err(DirectoryError::Malformed));
        assert_eq!(directory(vec![round(2, None, 0), round(2, None, 0)]).check(9), Err(DirectoryError::Malformed));
        let small = SlotDirectory { minimum: LEAST_MINIMUM - 1, rounds: Vec::new() };
        assert_eq!(small.check(9), Err(DirectoryError::Minimum { minimum: LEAST_MINIMUM - 1 }));
        assert_eq!(honest.depth(SlotKind::Vouchers, Round(1)), None);
        assert_eq!(honest.depth(SlotKind::Vouchers, Round(2)), Some(2));
        assert_eq!(honest.depth(SlotKind::Credential, ENROLMENTS), Some(1));
        assert_eq!(honest.depth(SlotKind::Credential, Round(9)), None);
    }

    #[test]
    fn a_bucket_of_others_slots_or_without_an_end_is_seen() {
        let slot = |first| StoredSlot { id: id(first), ciphertext: vec![1], leaf: vec![2], answer: Vec::new() };
        let bucket = Bucket::of(SlotKind::Vouchers, Round(1), 1, &id(0));
        let answer = |slots: &[u32], more| SlotBucket { slots: slots.iter().copied().map(slot).collect(), more };
        assert!(answer(&[], false).is_of(&bucket, None) && answer(&[1, 2], true).is_of(&bucket, None));
        assert!(answer(&[2], false).is_of(&bucket, Some(&id(1))));
        for (slots, more, after) in [
            (&[2, 1][..], false, None),
            (&[1, 1], false, None),
            (&[1, u32::MAX], false, None),
            (&[1], false, Some(id(1))),
            (&[], true, None),
        ] {
            assert!(!answer(slots, more).is_of(&bucket, after.as_ref()), "{slots:?}");
        }
    }
}
