//! Roots and proofs from the hashes of tiles, in O(log^2 n) reads: nothing here reads a whole log.

use annona_protocol::log::{
    Frontier, TreeHash,
    merkle::{self, empty_root, node_hash},
    tile::TILE_WIDTH,
};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Hashes of a log at the levels of its tiles: leaf hashes at level 0, roots of full tiles of the level below above it.
pub trait Hashes {
    /// Why hashes cannot be read.
    type Error;

    /// `count` hashes of a level, from a position on. All are complete: the caller asks for none beyond the log's size.
    ///
    /// # Errors
    /// Also if there are fewer.
    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<TreeHash>, Self::Error>;
}

/// The root of the complete subtree over the leaves `index << height .. (index + 1) << height`.
fn node<H: Hashes>(hashes: &H, height: u32, index: u64) -> Result<TreeHash, H::Error> {
    let (level, rest) = (height / 8, height % 8);
    let level = u8::try_from(level).expect("a tree has at most 63 levels of nodes");
    Ok(merkle::root(&hashes.hashes(level, index << rest, 1 << rest)?))
}

/// The roots of the complete subtrees of a range that begins where a split of RFC 6962 does, largest first.
fn nodes<H: Hashes>(hashes: &H, start: u64, end: u64) -> Result<Vec<TreeHash>, H::Error> {
    let (mut at, mut nodes) = (start, Vec::new());
    for height in (0..63).rev().filter(|height| (end - start) >> height & 1 == 1) {
        nodes.push(node(hashes, height, at >> height)?);
        at += 1 << height;
    }
    Ok(nodes)
}

fn range_root<H: Hashes>(hashes: &H, start: u64, end: u64) -> Result<TreeHash, H::Error> {
    let nodes = nodes(hashes, start, end)?;
    Ok(nodes.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root))
}

/// The frontier of the first `size` leaves.
///
/// # Errors
/// That of the hashes.
pub fn frontier<H: Hashes>(hashes: &H, size: u64) -> Result<Frontier, H::Error> {
    Ok(Frontier::from_nodes(size, nodes(hashes, 0, size)?).expect("one node for each bit of a size below 2^63"))
}

/// The root of the first `size` leaves.
///
/// # Errors
/// That of the hashes.
pub fn root<H: Hashes>(hashes: &H, size: u64) -> Result<TreeHash, H::Error> {
    range_root(hashes, 0, size)
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The inclusion proof of leaf `index`, below `size`, as `merkle::inclusion_proof` gives it.
///
/// # Errors
/// That of the hashes.
pub fn inclusion<H: Hashes>(hashes: &H, index: u64, size: u64) -> Result<Vec<TreeHash>, H::Error> {
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_root(hashes, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(hashes, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The consistency proof from `old`, at most `size`, as `merkle::consistency_proof` gives it.
///
/// # Errors
/// That of the hashes.
pub fn consistency<H: Hashes>(hashes: &H, old: u64, size: u64) -> Result<Vec<TreeHash>, H::Error> {
    if old == 0 || old >= size {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range_root(hashes, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(hashes, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        proof.push(range_root(hashes, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hashes of a store: rows `entries` and `tile_roots`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a>(pub &'a Connection);

impl Hashes for Rows<'_> {
    type Error = rusqlite::Error;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<TreeHash>, rusqlite::Error> {
        let sql = match level {
            0 => "SELECT hash FROM entries WHERE at >= ?2 AND at < ?3 AND ?1 = 0 ORDER BY at",
            _ => "SELECT hash FROM tile_roots WHERE level = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
        };
        let hashes = self
            .0
            .prepare_cached(sql)?
            .query_map(params![level, from, from + count], |row| Ok(TreeHash(row.get(0)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        if hashes.len() as u64 == count { Ok(hashes) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
    }
}

/// Fills in up to `limit` missing roots of full tiles of a log of this size. True once none is missing.
///
/// # Errors
/// The store's.
pub fn fill(connection: &Connection, size: u64, limit: u64) -> rusqlite::Result<bool> {
    let width = u64::from(TILE_WIDTH);
    let mut left = limit;
    for level in 1..8u8 {
        let wanted = size >> (8 * u32::from(level));
        let last: Option<u64> = connection
            .prepare_cached("SELECT max(at) FROM tile_roots WHERE level = ?1")?
            .query_row([level], |row| row.get(0))
            .optional()?
            .flatten();
        for at in last.map_or(0, |last| last + 1)..wanted {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            let root = merkle::root(&Rows(connection).hashes(level - 1, at * width, width)?);
            connection
                .prepare_cached("INSERT INTO tile_roots VALUES (?1, ?2, ?3)")?
                .execute(params![level, at, root.0])?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use annona_protocol::log::merkle::leaf_hash;

    use super::*;

    /// Hashes of leaves in memory, level by level.
    struct Memory(Vec<Vec<TreeHash>>);

    impl Memory {
        fn new(leaves: Vec<TreeHash>) -> Self {
            let mut levels = vec![leaves];
            while let Some(below) = levels.last().filter(|below| below.len() >= 256) {
                levels.push(below.chunks_exact(256).map(merkle::root).collect());
            }
            Self(levels)
        }
    }

    impl Hashes for Memory {
        type Error = ();

        fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<TreeHash>, ()> {
            let (from, count) = (from as usize, count as usize);
            self.0.get(usize::from(level)).and_then(|level| level.get(from..from + count)).map(<[_]>::to_vec).ok_or(())
        }
    }

    /// Every proof equals that of the reference, which hashes all leaves.
    #[test]
    fn proofs_from_tiles_are_those_from_leaves() {
        let leaves: Vec<TreeHash> = (0..70_000u32).map(|at| leaf_hash(&at.to_le_bytes())).collect();
        let memory = Memory::new(leaves.clone());
        for size in [0u64, 1, 2, 3, 7, 255, 256, 257, 511, 1000, 65_535, 65_536, 65_537, 70_000] {
            let known = &leaves[..size as usize];
            assert_eq!(root(&memory, size).unwrap(), merkle::root(known), "root of {size}");
            assert_eq!(frontier(&memory, size).unwrap(), known.iter().copied().collect::<Frontier>());
            for other in [0, 1, 2, 3, 100, 255, 256, 300, 32_768, 65_535, 65_536, 69_999] {
                if other < size {
                    let proof = inclusion(&memory, other, size).unwrap();
                    assert_eq!(proof, merkle::inclusion_proof(known, other).unwrap(), "{other} in {size}");
                }
                if other <= size {
                    let proof = consistency(&memory, other, size).unwrap();
                    assert_eq!(proof, merkle::consistency_proof(known, other).unwrap(), "{other} to {size}");
                }
            }
        }
        assert_eq!(root(&memory, 70_001), Err(()), "nothing is made up");
    }
}
