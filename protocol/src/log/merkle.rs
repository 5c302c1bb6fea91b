//! Merkle trees of RFC 6962 section 2.1 over SHA-256, as C2SP `tlog-tiles` requires.
//!
//! ```text
//! MTH({})      = SHA-256()
//! MTH({d})     = SHA-256(0x00 || d)
//! MTH(D[0:n])  = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n])),   k the largest power of two below n
//! ```
//!
//! Everything but [`leaf_hash`] works on leaf hashes, so that a caller hashes each entry once. Provers take the leaves;
//! verifiers take sizes and hashes from anyone and never panic. Proofs are RFC 6962's, checked as in RFC 9162 section
//! 2.1.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The largest size of a tree: sizes above it are refused, so that no arithmetic on sizes overflows.
pub const MAX_SIZE: u64 = (1 << 63) - 1;

/// A SHA-256 hash of a leaf, of a node or of a whole tree: 32 bytes, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TreeHash(pub [u8; 32]);

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> TreeHash {
    TreeHash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    TreeHash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the tree without leaves: `SHA-256()`.
pub fn empty_root() -> TreeHash {
    TreeHash(Sha256::new().finalize().into())
}

/// The root of the tree over these leaf hashes.
pub fn root(leaves: &[TreeHash]) -> TreeHash {
    leaves.iter().copied().collect::<Frontier>().root()
}

/// The proof that leaf `index` is in the tree over `leaves`: the siblings on its path, from the leaf up (RFC 6962
/// section 2.1.1). At most 63 hashes; `None` if there is no such leaf.
pub fn inclusion_proof(leaves: &[TreeHash], index: u64) -> Option<Vec<TreeHash>> {
    let index = usize::try_from(index).ok().filter(|&index| index < leaves.len())?;
    let (mut range, mut proof) = (0..leaves.len(), Vec::new());
    while range.len() > 1 {
        let middle = range.start + split(range.len());
        if index < middle {
            proof.push(root(&leaves[middle..range.end]));
            range.end = middle;
        } else {
            proof.push(root(&leaves[range.start..middle]));
            range.start = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Checks that `leaf` is leaf `index` of the tree with this `size` and `root`. The root is the caller's, from a
/// verified checkpoint, never the prover's.
///
/// # Errors
/// [`MerkleError::Index`], [`MerkleError::ProofLength`] or [`MerkleError::Root`].
pub fn verify_inclusion(
    root: &TreeHash,
    leaf: &TreeHash,
    index: u64,
    size: u64,
    proof: &[TreeHash],
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Index { index, size });
    }
    // `node` and `last` are the positions, at the height reached, of the path and of the tree's last node.
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(MerkleError::ProofLength);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // The last node of a level without a sibling is passed up unchanged.
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(MerkleError::ProofLength);
    }
    if hash == *root { Ok(()) } else { Err(MerkleError::Root) }
}

/// The proof that the tree over the first `old_size` of these leaves is a prefix of the tree over all (RFC 6962 section
/// 2.1.2). Empty if the sizes are equal or `old_size` is zero; `None` if `old_size` is more than there are leaves.
pub fn consistency_proof(leaves: &[TreeHash], old_size: u64) -> Option<Vec<TreeHash>> {
    let old = usize::try_from(old_size).ok().filter(|&old| old <= leaves.len())?;
    if old == 0 || old == leaves.len() {
        return Some(Vec::new());
    }
    let (mut range, mut proof) = (0..leaves.len(), Vec::new());
    while range.end != old {
        let middle = range.start + split(range.len());
        if old <= middle {
            proof.push(root(&leaves[middle..range.end]));
            range.end = middle;
        } else {
            proof.push(root(&leaves[range.start..middle]));
            range.start = middle;
        }
    }
    // A verifier knows this subtree already if it is the whole old tree.
    if range.start != 0 {
        proof.push(root(&leaves[range]));
    }
    proof.reverse();
    Some(proof)
}

/// Checks that the tree of `old_size` and `old_root` is a prefix of the tree of `new_size` and `new_root`.
///
/// # Errors
/// [`MerkleError::Shrinks`], [`MerkleError::ProofLength`], [`MerkleError::OldRoot`] or [`MerkleError::Root`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &TreeHash,
    new_size: u64,
    new_root: &TreeHash,
    proof: &[TreeHash],
) -> Result<(), MerkleError> {
    if old_size > new_size {
        return Err(MerkleError::Shrinks { old_size, new_size });
    }
    if old_size == 0 && *old_root != empty_root() {
        return Err(MerkleError::OldRoot);
    }
    if old_size == 0 || old_size == new_size {
        return match (proof.is_empty(), old_size == new_size && old_root != new_root) {
            (false, _) => Err(MerkleError::ProofLength),
            (true, true) => Err(MerkleError::Root),
            (true, false) => Ok(()),
        };
    }
    // The path of the old tree's last complete subtree: the old tree itself if its size is a power of two.
    let height = old_size.trailing_zeros();
    let (mut node, mut last) = ((old_size - 1) >> height, (new_size - 1) >> height);
    let mut siblings = proof.iter();
    let start = if node == 0 { old_root } else { siblings.next().ok_or(MerkleError::ProofLength)? };
    let (mut old, mut new) = (*start, *start);
    for sibling in siblings {
        if last == 0 {
            return Err(MerkleError::ProofLength);
        }
        if node % 2 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last == 0, old == *old_root, new == *new_root) {
        (false, _, _) => Err(MerkleError::ProofLength),
        (true, false, _) => Err(MerkleError::OldRoot),
        (true, true, false) => Err(MerkleError::Root),
        (true, true, true) => Ok(()),
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// The right edge of a growing tree: the roots of its complete subtrees, largest first. Holds at most 63 hashes
/// whatever the size, so a log is hashed as it streams by.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<TreeHash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a tree again from its size and [`Frontier::nodes`].
    ///
    /// # Errors
    /// [`MerkleError::Frontier`] if a tree of this size has another number of complete subtrees, or is above
    /// [`MAX_SIZE`].
    pub fn from_nodes(size: u64, nodes: Vec<TreeHash>) -> Result<Self, MerkleError> {
        if size > MAX_SIZE || nodes.len() != size.count_ones() as usize {
            return Err(MerkleError::Frontier { size, nodes: nodes.len() });
        }
        Ok(Self { size, nodes })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees: one for each bit set in the size, the highest first.
    pub fn nodes(&self) -> &[TreeHash] {
        &self.nodes
    }

    /// Adds the next leaf hash.
    ///
    /// # Errors
    /// [`MerkleError::Full`] at [`MAX_SIZE`] leaves; the frontier stays as it was.
    pub fn append(&mut self, leaf: TreeHash) -> Result<(), MerkleError> {
        if self.size >= MAX_SIZE {
            return Err(MerkleError::Full);
        }
        let complete = self.nodes.len() - self.size.trailing_ones() as usize;
        let merged = self.nodes.drain(complete..).rev().fold(leaf, |right, left| node_hash(&left, &right));
        self.nodes.push(merged);
        self.size += 1;
        Ok(())
    }

    /// The root of the tree so far.
    pub fn root(&self) -> TreeHash {
        self.nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

impl FromIterator<TreeHash> for Frontier {
    /// The frontier over these leaf hashes.
    fn from_iter<I: IntoIterator<Item = TreeHash>>(leaves: I) -> Self {
        let mut frontier = Self::new();
        for leaf in leaves {
            frontier.append(leaf).expect("2^63 leaves are more than any program reaches from zero");
        }
        frontier
    }
}

/// Why a proof, or a frontier, does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MerkleError {
    /// The tree has no such leaf.
    #[error("no leaf {index} in a tree of {size}")]
    Index {
        /// The leaf asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The new tree is smaller than the old.
    #[error("a tree of {old_size} leaves cannot become one of {new_size}")]
    Shrinks {
        /// The size of the old tree.
        old_size: u64,
        /// The size of the new tree.
        new_size: u64,
    },
    /// The proof has more or fewer hashes than these sizes call for.
    #[error("the proof has the wrong length")]
    ProofLength,
    /// The proof leads to another root of the old tree.
    #[error("the proof does not lead to the old root")]
    OldRoot,
    /// The proof leads to another root of the (new) tree.
    #[error("the proof does not lead to the root")]
    Root,
    /// The number of nodes is not that of a frontier of this size.
    #[error("{nodes} nodes are no frontier of a tree of {size} leaves")]
    Frontier {
        /// The size claimed.
        size: u64,
        /// The number of nodes given.
        nodes: usize,
    },
    /// The tree cannot hold one more leaf.
    #[error("the tree is full")]
    Full,
}

#[cfg(test)]
mod tests;
