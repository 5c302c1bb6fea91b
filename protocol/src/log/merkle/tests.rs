use proptest::prelude::*;

use super::*;

/// The inputs and roots of the certificate-transparency project's Merkle tree tests.
const ENTRIES: [&[u8]; 8] =
    [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", b"PQRSTUVW", b"`abcdefghijklmno"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const SIZES: [usize; 17] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65];

fn vector_leaves() -> Vec<TreeHash> {
    ENTRIES.iter().map(|entry| leaf_hash(entry)).collect()
}

fn leaves(count: usize) -> Vec<TreeHash> {
    (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
}

fn hex(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

fn largest_power_below(size: usize) -> usize {
    (0..).map(|bit| 1usize << bit).take_while(|&power| power < size).last().expect("size is above 1")
}

/// MTH of RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let k = largest_power_below(leaves.len());
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

/// PATH of section 2.1.1.
fn naive_path(index: usize, leaves: &[TreeHash]) -> Vec<TreeHash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = largest_power_below(leaves.len());
    let (mut path, sibling) = if index < k {
        (naive_path(index, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(index - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of section 2.1.2.
fn naive_subproof(old: usize, leaves: &[TreeHash], whole: bool) -> Vec<TreeHash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = largest_power_below(leaves.len());
    let (mut proof, sibling) = if old <= k {
        (naive_subproof(old, &leaves[..k], whole), naive_root(&leaves[k..]))
    } else {
        (naive_subproof(old - k, &leaves[k..], false), naive_root(&leaves[..k]))
    };
    proof.push(sibling);
    proof
}

/// Every way to damage a proof that a verifier must notice.
fn damaged(proof: &[TreeHash]) -> Vec<Vec<TreeHash>> {
    let mut all = Vec::new();
    for position in 0..proof.len() {
        for (byte, bit) in [(0, 1), (31, 0x80)] {
            let mut changed = proof.to_vec();
            changed[position].0[byte] ^= bit;
            all.push(changed);
        }
        let mut without = proof.to_vec();
        without.remove(position);
        all.push(without);
        if position > 0 && proof[position] != proof[position - 1] {
            let mut swapped = proof.to_vec();
            swapped.swap(position, position - 1);
            all.push(swapped);
        }
    }
    for extra in [empty_root(), *proof.last().unwrap_or(&empty_root())] {
        let mut longer = proof.to_vec();
        longer.push(extra);
        all.push(longer);
        let mut longer = proof.to_vec();
        longer.insert(0, extra);
        all.push(longer);
    }
    all
}

#[test]
fn known_roots() {
    let leaves = vector_leaves();
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves[..size]).to_string(), *expected);
    }
}

#[test]
fn known_inclusion_proofs() {
    let all = vector_leaves();
    let cases: [(u64, usize, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ];
    for (index, size, expected) in cases {
        let proof = inclusion_proof(&all[..size], index).expect("leaf in range");
        assert_eq!(hex(&proof), expected);
    }
}

#[test]
fn known_consistency_proofs() {
    let all = vector_leaves();
    let cases: [(u64, usize, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (old, size, expected) in cases {
        let proof = consistency_proof(&all[..size], old).expect("sizes in range");
        assert_eq!(hex(&proof), expected);
    }
}

#[test]
fn roots_agree_with_the_recursive_definition() {
    for size in SIZES.into_iter().chain([255, 256, 257]) {
        assert_eq!(root(&leaves(size)), naive_root(&leaves(size)), "size {size}");
    }
}

#[test]
fn inclusion_at_every_index_and_damaged_proofs_fail() {
    for size in SIZES {
        let leaves = leaves(size);
        let tree = root(&leaves);
        assert_eq!(inclusion_proof(&leaves, size as u64), None);
        for index in 0..size {
            let (at, count) = (index as u64, size as u64);
            let proof = inclusion_proof(&leaves, at).expect("leaf in range");
            assert_eq!(proof, naive_path(index, &leaves));
            assert_eq!(verify_inclusion(&tree, &leaves[index], at, count, &proof), Ok(()));
            for bad in damaged(&proof) {
                assert!(verify_inclusion(&tree, &leaves[index], at, count, &bad).is_err(), "{index} of {size}");
            }
            for other in (0..size).filter(|&other| other != index) {
                assert!(verify_inclusion(&tree, &leaves[index], other as u64, count, &proof).is_err());
                assert!(verify_inclusion(&tree, &leaves[other], at, count, &proof).is_err());
            }
            assert_eq!(
                verify_inclusion(&tree, &leaves[index], count, count, &proof),
                Err(MerkleError::Index { index: count, size: count })
            );
            let mut wrong = tree;
            wrong.0[7] ^= 4;
            assert_eq!(verify_inclusion(&wrong, &leaves[index], at, count, &proof), Err(MerkleError::Root));
        }
    }
}

#[test]
fn consistency_of_every_pair_and_damaged_proofs_fail() {
    for size in SIZES {
        let leaves = leaves(size);
        let (tree, count) = (root(&leaves), size as u64);
        assert_eq!(consistency_proof(&leaves, count + 1), None);
        for old in 0..=size {
            let (prefix, old_count) = (root(&leaves[..old]), old as u64);
            let proof = consistency_proof(&leaves, old_count).expect("old size in range");
            if old > 0 {
                assert_eq!(proof, naive_subproof(old, &leaves, true));
            }
            assert_eq!(verify_consistency(old_count, &prefix, count, &tree, &proof), Ok(()), "{old} to {size}");
            for bad in damaged(&proof) {
                assert!(verify_consistency(old_count, &prefix, count, &tree, &bad).is_err(), "{old} to {size}");
            }
            let mut wrong = prefix;
            wrong.0[0] ^= 1;
            assert!(verify_consistency(old_count, &wrong, count, &tree, &proof).is_err());
            let mut wrong = tree;
            wrong.0[31] ^= 1;
            // Everything is consistent with the empty tree; nothing else with a changed root.
            let unbound = old == 0 && size > 0;
            assert_eq!(verify_consistency(old_count, &prefix, count, &wrong, &proof).is_ok(), unbound);
        }
    }
}

#[test]
fn a_tree_cannot_shrink() {
    let leaves = leaves(5);
    let (old, new) = (root(&leaves), root(&leaves[..4]));
    assert_eq!(verify_consistency(5, &old, 4, &new, &[]), Err(MerkleError::Shrinks { old_size: 5, new_size: 4 }));
}

#[test]
fn a_leaf_is_not_a_node() {
    let leaves = leaves(2);
    let inner = [&[1][..], &leaves[0].0, &leaves[1].0].concat();
    assert_ne!(leaf_hash(&inner), root(&leaves));
    assert_ne!(leaf_hash(&inner[1..]), root(&leaves));
}

#[test]
fn frontier_is_taken_up_again() {
    let leaves = leaves(130);
    for size in 0..=leaves.len() {
        let mut frontier: Frontier = leaves[..size].iter().copied().collect();
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(frontier.root(), naive_root(&leaves[..size]));
        frontier = Frontier::from_nodes(frontier.size(), frontier.nodes().to_vec()).expect("nodes of a frontier");
        for leaf in &leaves[size..] {
            frontier.append(*leaf).expect("room for a leaf");
        }
        assert_eq!(frontier.root(), naive_root(&leaves));
    }
}

#[test]
fn frontier_of_the_wrong_shape_is_refused() {
    let nodes = leaves(64);
    assert_eq!(Frontier::from_nodes(3, nodes[..1].to_vec()), Err(MerkleError::Frontier { size: 3, nodes: 1 }));
    assert!(Frontier::from_nodes(u64::MAX, nodes.clone()).is_err());
    let mut full = Frontier::from_nodes(MAX_SIZE, nodes[..63].to_vec()).expect("the largest frontier");
    let before = full.clone();
    assert_eq!(full.append(nodes[0]), Err(MerkleError::Full));
    assert_eq!(full, before);
}

#[test]
fn hashes_show_as_hexadecimal_and_compare_by_bytes() {
    let (one, two) = (TreeHash([1; 32]), TreeHash([2; 32]));
    assert_eq!(one.to_string(), "01".repeat(32));
    assert!(one < two && one != two && one == TreeHash([1; 32]));
    assert_eq!(postcard::to_stdvec(&one).expect("in memory"), [1; 32]);
}

proptest! {
    /// Larger trees, one random proof of each kind.
    #[test]
    fn proofs_of_random_trees(size in 1usize..600, index in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let (tree, at, count) = (root(&leaves), index.index(size), size as u64);
        let proof = inclusion_proof(&leaves, at as u64).expect("leaf in range");
        prop_assert_eq!(verify_inclusion(&tree, &leaves[at], at as u64, count, &proof), Ok(()));
        for bad in damaged(&proof) {
            prop_assert!(verify_inclusion(&tree, &leaves[at], at as u64, count, &bad).is_err());
        }
        let proof = consistency_proof(&leaves, at as u64).expect("old size in range");
        let prefix = root(&leaves[..at]);
        prop_assert_eq!(verify_consistency(at as u64, &prefix, count, &tree, &proof), Ok(()));
        for bad in damaged(&proof) {
            prop_assert!(verify_consistency(at as u64, &prefix, count, &tree, &bad).is_err());
        }
    }

    /// No sizes and no proof make a verifier panic or accept.
    #[test]
    fn verifiers_survive_anything(
        a in any::<u64>(),
        b in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(TreeHash), 0..70),
    ) {
        let hash = TreeHash([7; 32]);
        prop_assert!(verify_inclusion(&hash, &TreeHash([8; 32]), a, b, &proof).is_err());
        prop_assert!(verify_consistency(a, &hash, b, &TreeHash([8; 32]), &proof).is_err());
        prop_assert!(verify_inclusion(&hash, &hash, a, u64::MAX, &proof).is_err());
        prop_assert!(verify_consistency(a, &hash, u64::MAX, &TreeHash([8; 32]), &proof).is_err());
    }
}
