//! Receipts proven in or out of a log, and proofs that do not hold.

use super::*;
use crate::{
    audit::receipt::{Inclusion, Omission, ReceiptError},
    log::{
        leaf::VoucherLeaf,
        merkle::{TreeHash, leaf_hash, root},
        note::Checkpoint,
    },
    slip::{Place, Receipt, ReceiptTerms, Signed},
};

struct Case {
    entries: Vec<Vec<u8>>,
    leaves: Vec<TreeHash>,
    checkpoint: Checkpoint,
}

fn case(edit: impl FnOnce(&mut Draft)) -> Case {
    let (published, _) = tampered(edit);
    let log = published.sites[0].1.clone();
    let leaves: Vec<_> = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let checkpoint = Checkpoint::new(&log.name, leaves.len() as u64, root(&leaves)).unwrap();
    Case { entries: log.entries, leaves, checkpoint }
}

/// The receipt of a leaf of the first site.
fn receipt(leaf: &VoucherLeaf, round: u32, batch: u32) -> Receipt {
    let place = Place::new(&STORY.fixture.view(round), SITE);
    let mark = leaf.voucher.shown.mark();
    let promised = SiteLeaf::Voucher(*leaf).tree_hash();
    let terms = ReceiptTerms { place, mark, number: leaf.number, leaf: promised, batch, pending: false };
    Signed::sign(terms, &STORY.fixture.site_logs[0])
}

fn vouchers(batch: usize) -> Vec<VoucherLeaf> {
    let mut draft = STORY.draft.clone();
    let events = batches(&mut draft.sites[0].1).swap_remove(batch).clone();
    events.into_iter().filter_map(|leaf| if let SiteLeaf::Voucher(leaf) = leaf { Some(leaf) } else { None }).collect()
}

fn newest() -> &'static Header {
    STORY.fixture.programme.latest()
}

#[test]
fn every_receipt_is_included() {
    let case = case(|_| {});
    for (round, batch) in [(1, 1), (2, 2)] {
        for leaf in vouchers(batch as usize - 1) {
            let receipt = receipt(&leaf, round, batch);
            let proof = Inclusion::find(&receipt, &case.entries, &case.leaves).unwrap();
            assert_eq!(proof.verify(newest(), &case.checkpoint), Ok(()));
            assert_eq!(Omission::find(&receipt, &case.entries, &case.leaves), Err(ReceiptError::Included));
            assert_eq!(Inclusion::decode(&proof.encode()).as_ref(), Ok(&proof));
        }
    }
}

#[test]
fn every_omission_is_proven() {
    for (round, batch) in [(1, 1), (2, 2)] {
        for leaf in vouchers(batch as usize - 1) {
            let case = case(|draft| {
                batches(&mut draft.sites[0].1)
                    .swap_remove(batch as usize - 1)
                    .retain(|known| *known != SiteLeaf::Voucher(leaf));
            });
            let receipt = receipt(&leaf, round, batch);
            assert_eq!(Inclusion::find(&receipt, &case.entries, &case.leaves), Err(ReceiptError::Omitted));
            let proof = Omission::find(&receipt, &case.entries, &case.leaves).unwrap();
            assert_eq!(proof.verify(newest(), &case.checkpoint), Ok(()));
            assert_eq!(Omission::decode(&proof.encode()).as_ref(), Ok(&proof));
        }
    }
}

/// A round of two batches, or of none: the run of its batches must be whole.
#[test]
fn omission_over_several_batches() {
    let lost = vouchers(0)[0];
    let two = case(|draft| {
        let blocks = &mut draft.sites[0].1;
        let events = batches(blocks).swap_remove(0);
        events.retain(|leaf| *leaf != SiteLeaf::Voucher(lost));
        let rest = events.split_off(2);
        blocks.insert(1, Block::Batch(Round(1), rest));
    });
    let promised = receipt(&lost, 1, 2);
    let proof = Omission::find(&promised, &two.entries, &two.leaves).unwrap();
    assert_eq!((proof.gaps.len(), proof.verify(newest(), &two.checkpoint)), (2, Ok(())));
    let mut partial = proof.clone();
    partial.gaps.remove(0);
    assert_eq!(partial.verify(newest(), &two.checkpoint), Err(ReceiptError::Batches));
    let mut partial = proof.clone();
    partial.gaps.pop();
    assert_eq!(partial.verify(newest(), &two.checkpoint), Err(ReceiptError::Batches));

    // The promised third batch never came; a batch of the next round proves it.
    let third = receipt(&lost, 1, 3);
    let proof = Omission::find(&third, &two.entries, &two.leaves).unwrap();
    assert!(proof.after.is_some());
    assert_eq!(proof.verify(newest(), &two.checkpoint), Ok(()));
    let mut open = proof.clone();
    open.after = None;
    assert_eq!(open.verify(newest(), &two.checkpoint), Err(ReceiptError::Batches));

    // A promise by a batch that was closed in the round before: broken when it was made.
    let past = receipt(&vouchers(1)[0], 2, 1);
    let proof = Omission::find(&past, &two.entries, &two.leaves).unwrap();
    assert_eq!((proof.gaps.len(), proof.verify(newest(), &two.checkpoint)), (0, Ok(())));
    let mut moved = proof.clone();
    moved.receipt = receipt(&vouchers(1)[0], 2, 3);
    assert_eq!(moved.verify(newest(), &two.checkpoint), Err(ReceiptError::Batches));

    // The last round may still get its batch.
    let later = receipt(&vouchers(1)[0], 2, 9);
    let empty = case(|draft| batches(&mut draft.sites[0].1).swap_remove(1).clear());
    assert_eq!(Omission::find(&later, &empty.entries, &empty.leaves), Err(ReceiptError::NotDue));
    // An empty batch holds nothing.
    let gone = receipt(&vouchers(1)[0], 2, 2);
    let proof = Omission::find(&gone, &empty.entries, &empty.leaves).unwrap();
    assert_eq!(proof.verify(newest(), &empty.checkpoint), Ok(()));
}

/// Nobody can accuse a site of what it did not promise, or did.
#[test]
fn false_accusations() {
    let (true_case, leaf) = (case(|_| {}), vouchers(0)[0]);
    let lost = case(|draft| {
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|known| *known != SiteLeaf::Voucher(leaf));
    });
    let promised = receipt(&leaf, 1, 1);
    let proof = Omission::find(&promised, &lost.entries, &lost.leaves).unwrap();
    // Of another log.
    assert!(matches!(proof.verify(newest(), &true_case.checkpoint), Err(ReceiptError::Merkle(_))));
    // Of a site that signed nothing, or something else.
    let mut edited = proof.clone();
    edited.receipt = Signed::sign(promised.content, &STORY.fixture.site_logs[1]);
    assert!(matches!(edited.verify(newest(), &lost.checkpoint), Err(ReceiptError::Signature(_))));
    let mut edited = proof.clone();
    edited.receipt.content.leaf.0[31] ^= 1;
    assert!(matches!(edited.verify(newest(), &lost.checkpoint), Err(ReceiptError::Signature(_))));
    let other = Checkpoint::new("elsewhere", lost.checkpoint.size(), lost.checkpoint.root()).unwrap();
    assert_eq!(proof.verify(newest(), &other), Err(ReceiptError::Place));

    // With the leaf in the log, no two neighbours enclose it: try all pairs.
    let donor = Omission::find(&receipt(&vouchers(1)[0], 1, 1), &true_case.entries, &true_case.leaves).unwrap();
    let header = donor.gaps[0].batch.clone();
    let place = |index: u64| crate::audit::receipt::Placed {
        index,
        leaf: true_case.leaves[index as usize],
        path: crate::log::merkle::inclusion_proof(&true_case.leaves, index).unwrap(),
    };
    let range = header.header.start..=header.header.end;
    let ends = || std::iter::once(None).chain(range.clone().map(Some));
    for below in ends() {
        for above in ends() {
            let gap =
                crate::audit::receipt::Gap { batch: header.clone(), below: below.map(place), above: above.map(place) };
            let forged = Omission { receipt: promised.clone(), before: None, gaps: vec![gap], after: None };
            assert_eq!(forged.verify(newest(), &true_case.checkpoint), Err(ReceiptError::Batches));
        }
    }
}

#[test]
fn inclusion_elsewhere_or_too_late() {
    let leaf = vouchers(0)[0];
    let late = case(|draft| {
        let blocks = &mut draft.sites[0].1;
        batches(blocks).swap_remove(0).retain(|known| *known != SiteLeaf::Voucher(leaf));
        blocks.insert(1, Block::Batch(Round(1), vec![SiteLeaf::Voucher(leaf)]));
    });
    // In the second batch, though the first was promised.
    let promised = receipt(&leaf, 1, 1);
    assert_eq!(Inclusion::find(&promised, &late.entries, &late.leaves), Err(ReceiptError::Omitted));
    assert!(Omission::find(&promised, &late.entries, &late.leaves).unwrap().verify(newest(), &late.checkpoint).is_ok());
    let proof = Inclusion::find(&receipt(&leaf, 1, 2), &late.entries, &late.leaves).unwrap();
    let mut relabelled = proof.clone();
    relabelled.receipt = promised;
    assert_eq!(relabelled.verify(newest(), &late.checkpoint), Err(ReceiptError::Omitted));
    let mut moved = proof.clone();
    moved.index -= 1;
    assert!(moved.verify(newest(), &late.checkpoint).is_err());
}
