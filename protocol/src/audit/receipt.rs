//! Receipts against a site's log: proof of inclusion, and proof of omission that anyone can check (spec 8.3).
//!
//! A receipt promises a leaf by the close of a batch. *Inclusion*: the leaf's path, and the header of the batch that it is in.
//! *Omission*: for every batch of the receipt's round up to the promised one, its header and the two neighbours, adjacent and in
//! order, between which the leaf would stand. Batches of a round are adjacent (an audit finds a log whose rounds go back), so
//! the run is complete if the headers before and after it are of other rounds, or it ends with the promised batch. A promise by a
//! batch of an earlier round is broken as such.

use serde::{Deserialize, Serialize};

use crate::{
    log::{
        leaf::{BatchHeader, Leaf, SiteLeaf},
        merkle::{self, MerkleError, TreeHash},
        note::Checkpoint,
    },
    programme::Header,
    signature::BadSignature,
    slip::Receipt,
    wire::{DecodeError, Message, message},
};

/// A leaf hash with its place in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The leaf's position.
    pub index: u64,
    /// Its hash.
    pub leaf: TreeHash,
    /// The inclusion path.
    pub path: Vec<TreeHash>,
}

/// A batch header with the path of its leaf, which stands at the header's `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedHeader {
    /// The header.
    pub header: BatchHeader,
    /// The inclusion path.
    pub path: Vec<TreeHash>,
}

/// Proof that a receipt was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// The receipt.
    pub receipt: Receipt,
    /// The position of its leaf.
    pub index: u64,
    /// The leaf's path.
    pub path: Vec<TreeHash>,
    /// The header of the leaf's batch.
    pub batch: PlacedHeader,
}

message!(Inclusion, INCLUSION);

/// A batch that the leaf is not in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The batch's header.
    pub batch: PlacedHeader,
    /// The last leaf of the batch below the missing one; none if that would be the first.
    pub below: Option<Placed>,
    /// The first leaf of the batch above the missing one; none if that would be the last.
    pub above: Option<Placed>,
}

/// Proof that a receipt was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    /// The receipt.
    pub receipt: Receipt,
    /// The batch before the first of the round; none if that is the log's first.
    pub before: Option<PlacedHeader>,
    /// Every batch of the round, up to the promised one, ascending.
    pub gaps: Vec<Gap>,
    /// The batch after the last of the round, if the promised batch does not exist.
    pub after: Option<PlacedHeader>,
}

// A gap for each batch of a round: some 8,000 of them.
message!(Omission, OMISSION, 1 << 24);

/// Why a proof cannot be made, or does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The receipt is of another programme, of no site of it, or of another log than the checkpoint.
    #[error("the receipt is of another programme or log")]
    Place,
    /// The receipt's signature does not hold: the site never promised this.
    #[error("the receipt is not signed by the site")]
    Signature(#[from] BadSignature),
    /// A path does not lead to the checkpoint's root.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// An entry of the log is no leaf.
    #[error("leaf {index} of the log is malformed")]
    Leaf {
        /// Its position.
        index: u64,
        /// Why.
        source: DecodeError,
    },
    /// The leaf is in no batch up to the promised one.
    #[error("the log does not hold the leaf by the promised batch")]
    Omitted,
    /// The leaf is in the log: nothing was omitted.
    #[error("the log holds the leaf by the promised batch")]
    Included,
    /// The promised batch is not closed yet.
    #[error("the promised batch is not closed yet: ask again later")]
    NotDue,
    /// Batches or neighbours do not prove what they should.
    #[error("the batches shown do not prove the omission")]
    Batches,
}

/// A site's log, as far as proofs need it: leaf hashes and batches.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    leaves: &'a [TreeHash],
    headers: Vec<BatchHeader>,
}

impl<'a> Batches<'a> {
    /// A log of these leaf hashes, and all batch headers among its leaves in their order.
    pub fn new(leaves: &'a [TreeHash], headers: Vec<BatchHeader>) -> Self {
        Self { leaves, headers }
    }

    fn read(entries: &[Vec<u8>], leaves: &'a [TreeHash]) -> Result<Self, ReceiptError> {
        let mut headers = Vec::new();
        for (index, entry) in (0u64..).zip(entries) {
            let leaf = SiteLeaf::decode(entry).map_err(|source| ReceiptError::Leaf { index, source })?;
            headers.extend(leaf.as_batch());
        }
        Ok(Self { leaves, headers })
    }

    fn path(&self, index: u64) -> Result<Vec<TreeHash>, ReceiptError> {
        let size = self.leaves.len() as u64;
        merkle::inclusion_proof(self.leaves, index).ok_or(MerkleError::Index { index, size }.into())
    }

    fn header(&self, header: BatchHeader) -> Result<PlacedHeader, ReceiptError> {
        Ok(PlacedHeader { header, path: self.path(header.end)? })
    }

    fn placed(&self, index: u64) -> Result<Placed, ReceiptError> {
        let path = self.path(index)?;
        Ok(Placed { index, leaf: self.leaves[index as usize], path })
    }

    /// The leaf hashes of a batch, if the header's range is in the log.
    fn batch(&self, header: &BatchHeader) -> Result<&'a [TreeHash], ReceiptError> {
        let range = usize::try_from(header.start).ok().zip(usize::try_from(header.end).ok());
        range.and_then(|(start, end)| self.leaves.get(start..end)).ok_or(ReceiptError::Batches)
    }
}

impl Inclusion {
    /// Finds the receipt's leaf in a whole log, given as its entries and their leaf hashes.
    ///
    /// # Errors
    /// [`ReceiptError::Omitted`] if it is in no batch up to the promised one.
    pub fn find(receipt: &Receipt, entries: &[Vec<u8>], leaves: &[TreeHash]) -> Result<Self, ReceiptError> {
        Self::find_in(receipt, &Batches::read(entries, leaves)?)
    }

    /// Finds the receipt's leaf in a whole log, as [`Inclusion::find`].
    ///
    /// # Errors
    /// [`ReceiptError::Omitted`] if it is in no batch up to the promised one.
    pub fn find_in(receipt: &Receipt, log: &Batches<'_>) -> Result<Self, ReceiptError> {
        let due = log.headers.iter().filter(|header| header.number <= receipt.content.batch);
        for header in due {
            if let Some(offset) = log.batch(header)?.iter().position(|leaf| *leaf == receipt.content.leaf) {
                let index = header.start + offset as u64;
                let path = log.path(index)?;
                return Ok(Self { receipt: receipt.clone(), index, path, batch: log.header(*header)? });
            }
        }
        Err(ReceiptError::Omitted)
    }

    /// Verifies the proof under a verified checkpoint of the site's log and the newest manifest version.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(&self, newest: &Header, checkpoint: &Checkpoint) -> Result<(), ReceiptError> {
        check_receipt(&self.receipt, newest, checkpoint)?;
        let terms = &self.receipt.content;
        let header = self.batch.verify(checkpoint)?;
        if header.number > terms.batch || !(header.start..header.end).contains(&self.index) {
            return Err(ReceiptError::Omitted);
        }
        merkle::verify_inclusion(&checkpoint.root(), &terms.leaf, self.index, checkpoint.size(), &self.path)?;
        Ok(())
    }
}

impl Omission {
    /// Proves that a whole log, given as its entries and their leaf hashes, lacks the receipt's leaf.
    ///
    /// # Errors
    /// [`ReceiptError::Included`] if the leaf is there, [`ReceiptError::NotDue`] if the promised batch may still come.
    pub fn find(receipt: &Receipt, entries: &[Vec<u8>], leaves: &[TreeHash]) -> Result<Self, ReceiptError> {
        Self::find_in(receipt, &Batches::read(entries, leaves)?)
    }

    /// Proves that a whole log lacks the receipt's leaf, as [`Omission::find`].
    ///
    /// # Errors
    /// [`ReceiptError::Included`] if the leaf is there, [`ReceiptError::NotDue`] if the promised batch may still come.
    pub fn find_in(receipt: &Receipt, log: &Batches<'_>) -> Result<Self, ReceiptError> {
        let terms = &receipt.content;
        let of_round = |header: &&BatchHeader| header.round == terms.place.round && header.number <= terms.batch;
        let first = log.headers.partition_point(|header| header.round < terms.place.round);
        let run: Vec<&BatchHeader> = log.headers[first..].iter().take_while(of_round).collect();
        let after = log.headers.get(first + run.len());
        // A promise by a batch of an earlier round was broken when it was made.
        let passed = log.headers[..first].last().is_some_and(|header| header.number >= terms.batch);
        let last_is_promised = passed || run.last().is_some_and(|header| header.number == terms.batch);
        let after = match after.filter(|header| header.round > terms.place.round) {
            _ if last_is_promised => None,
            Some(header) => Some(log.header(*header)?),
            None => return Err(ReceiptError::NotDue),
        };
        let gaps = run
            .into_iter()
            .map(|header| {
                let batch = log.batch(header)?;
                let Err(offset) = batch.binary_search(&terms.leaf) else { return Err(ReceiptError::Included) };
                let at = header.start + offset as u64;
                let below = (offset > 0).then(|| log.placed(at - 1)).transpose()?;
                let above = (offset < batch.len()).then(|| log.placed(at)).transpose()?;
                Ok(Gap { batch: log.header(*header)?, below, above })
            })
            .collect::<Result<_, _>>()?;
        let before = first.checked_sub(1).map(|index| log.header(log.headers[index])).transpose()?;
        Ok(Self { receipt: receipt.clone(), before, gaps, after })
    }

    /// Verifies the proof under a verified checkpoint of the site's log and the newest manifest version: the site broke its
    /// promise.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(&self, newest: &Header, checkpoint: &Checkpoint) -> Result<(), ReceiptError> {
        check_receipt(&self.receipt, newest, checkpoint)?;
        let terms = &self.receipt.content;
        let round = terms.place.round;
        // The number of the next batch in the run; the log's first is 1.
        let mut next = 1u32;
        let mut passed = false;
        if let Some(before) = &self.before {
            let header = before.verify(checkpoint)?;
            ensure(header.round < round)?;
            passed = header.number >= terms.batch;
            next = header.number.checked_add(1).ok_or(ReceiptError::Batches)?;
        }
        for gap in &self.gaps {
            let header = gap.batch.verify(checkpoint)?;
            ensure(header.number == next && header.round == round && header.number <= terms.batch)?;
            gap.verify(&terms.leaf, checkpoint)?;
            next = next.checked_add(1).ok_or(ReceiptError::Batches)?;
        }
        let last_is_promised = passed || self.gaps.last().is_some_and(|gap| gap.batch.header.number == terms.batch);
        match &self.after {
            None => ensure(last_is_promised),
            Some(after) => {
                let header = after.verify(checkpoint)?;
                ensure(header.number == next && header.round > round)
            }
        }
    }
}

fn ensure(condition: bool) -> Result<(), ReceiptError> {
    if condition { Ok(()) } else { Err(ReceiptError::Batches) }
}

/// The receipt is of the checkpoint's log, and signed with that log's key.
fn check_receipt(receipt: &Receipt, newest: &Header, checkpoint: &Checkpoint) -> Result<(), ReceiptError> {
    let place = &receipt.content.place;
    let site = newest.site(place.site).filter(|_| place.programme == newest.programme_id());
    let log = site.and_then(|site| site.logs.iter().find(|log| log.name == checkpoint.origin()));
    receipt.verify(&log.ok_or(ReceiptError::Place)?.key)?;
    Ok(())
}

impl PlacedHeader {
    fn verify(&self, checkpoint: &Checkpoint) -> Result<&BatchHeader, ReceiptError> {
        let leaf = SiteLeaf::batch(self.header).tree_hash();
        merkle::verify_inclusion(&checkpoint.root(), &leaf, self.header.end, checkpoint.size(), &self.path)?;
        Ok(&self.header)
    }
}

impl Gap {
    /// The neighbours are in the tree, adjacent, and enclose the missing leaf; an edge of the batch stands for a missing one.
    fn verify(&self, missing: &TreeHash, checkpoint: &Checkpoint) -> Result<(), ReceiptError> {
        let header = &self.batch.header;
        for placed in self.below.iter().chain(&self.above) {
            let (root, size) = (checkpoint.root(), checkpoint.size());
            merkle::verify_inclusion(&root, &placed.leaf, placed.index, size, &placed.path)?;
        }
        let ordered = self.below.as_ref().is_none_or(|below| below.leaf < *missing)
            && self.above.as_ref().is_none_or(|above| *missing < above.leaf);
        // Where the missing leaf would stand, as either neighbour says.
        let after = self.below.as_ref().map_or(Some(header.start), |below| below.index.checked_add(1));
        let until = self.above.as_ref().map_or(header.end, |above| above.index);
        let inside = self.below.as_ref().is_none_or(|below| below.index >= header.start)
            && self.above.as_ref().is_none_or(|above| above.index < header.end);
        ensure(ordered && inside && header.start <= header.end && after == Some(until))
    }
}
