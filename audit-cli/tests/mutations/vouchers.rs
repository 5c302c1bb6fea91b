//! A dishonest site's vouchers and voids.

use annona_protocol::{
    audit::{
        Check, Party,
        forge::{batches, falsify_holder, issuer_event, positions, site_event},
        testing::{Block, Draft},
    },
    fixture::{CASH, FOOD, SITE},
    group::{EncodedPoint, Point, Scalar},
    ids::{KeyIndex, Round, SiteId},
    log::leaf::{IssuerLeaf, SiteLeaf, VoidLeaf, VoucherLeaf},
    voucher::Mark,
};

use super::harness::*;

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "voucher-forged",
        how: "A site logs a voucher whose signature it made up.",
        named: "the voucher's leaf",
        run: || altered(RIVER, 0, |leaf| leaf.voucher.shown.s.0 += Scalar::ONE),
    },
    Manipulation {
        name: "no-show-claimed",
        how: "A site claims for a household that never came, and makes up the holder's key.",
        named: "the voucher's leaf",
        run: || altered(NORTH, 0, |leaf| leaf.voucher.shown.holder = EncodedPoint::from(Point::generator())),
    },
    Manipulation {
        name: "voucher-under-a-better-key",
        how: "A site logs a food voucher under a key of 50 cash.",
        named: "the voucher's leaf",
        run: || altered(NORTH, 0, |leaf| leaf.voucher.shown.key = story().fixture.keys(1, &[(CASH, 50)])[0].0),
    },
    Manipulation {
        name: "key-absent-from-the-manifest",
        how: "A site logs a voucher of a key that no manifest version lists.",
        named: "the voucher's leaf",
        run: key_absent,
    },
    Manipulation {
        name: "voucher-redeemed-twice",
        how: "A site logs a second acceptance of a voucher without a void.",
        named: "the later acceptance",
        run: redeemed_twice,
    },
    Manipulation {
        name: "voucher-copied-into-a-later-batch",
        how: "A site repeats an acceptance, number and all, in its next batch.",
        named: "the copy",
        run: copied,
    },
    Manipulation {
        name: "voucher-reused-at-another-site",
        how: "A site logs a voucher that was accepted at the other site.",
        named: "the acceptance there; for the double, the voucher, as the logs do not tell who is at fault",
        run: reused_elsewhere,
    },
    Manipulation {
        name: "acceptance-number-skipped",
        how: "A site numbers the only acceptance of a voucher 2, as if one had been voided.",
        named: "the acceptance",
        run: number_skipped,
    },
    Manipulation {
        name: "void-left-out",
        how: "A site drops the void between two acceptances of a voucher.",
        named: "the later acceptance",
        run: void_left_out,
    },
    Manipulation {
        name: "void-without-holder-proof",
        how: "A site voids an acceptance with the holder's proof of another void.",
        named: "the void",
        run: void_without_holder,
    },
    Manipulation {
        name: "void-with-a-false-proof",
        how: "A site alters the holder's proof of a void, so that the voucher counts twice.",
        named: "the void, and the later acceptance",
        run: void_falsified,
    },
    Manipulation {
        name: "void-at-another-site",
        how: "A site logs a void that a holder agreed to at the other site.",
        named: "the void",
        run: void_elsewhere,
    },
    Manipulation {
        name: "void-of-nothing",
        how: "A site drops the acceptance that a void cancels, and keeps void and second acceptance.",
        named: "the void, and the acceptance whose number has none before it",
        run: void_of_nothing,
    },
    Manipulation {
        name: "acceptance-voided-twice",
        how: "A site repeats a void in its next batch.",
        named: "the second void",
        run: voided_twice,
    },
    Manipulation {
        name: "swapped-and-redeemed",
        how: "A site accepts a voucher that was swapped away, against its opening pack.",
        named: "the acceptance",
        run: || {
            let leaf = swapped_away();
            let published = publish(|draft| push(draft, NORTH, 0, SiteLeaf::Voucher(leaf)));
            let at = logged(&published, NORTH, &SiteLeaf::Voucher(leaf));
            caught(&published, &[Row::site(Check::SwappedAndRedeemed, NORTH).at(at).of(&mark(&leaf))], &[])
        },
    },
    Manipulation {
        name: "swapped-and-redeemed-without-a-pack",
        how: "An issuer makes no pack for a site, and the holder of a swapped voucher redeems the old one there.",
        named: "the freeze; the voucher, as the site was not warned",
        run: unwarned,
    },
    Manipulation {
        name: "voucher-in-a-batch-of-another-round",
        how: "A site puts a voucher of round 1 into a batch of round 2, behind its statement.",
        named: "the voucher's leaf",
        run: other_round,
    },
    Manipulation {
        name: "claimed-after-the-statement",
        how: "A site logs a voucher of a round that it has stated.",
        named: "the voucher's leaf",
        run: after_statement,
    },
];

pub(crate) fn is_voucher(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Voucher(_))
}

fn is_void(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Void(_))
}

pub(crate) fn mark(leaf: &VoucherLeaf) -> Mark {
    leaf.voucher.shown.mark()
}

/// The first voucher of a batch of the true story.
pub(crate) fn first((_, site): (SiteId, usize), batch: usize) -> VoucherLeaf {
    let SiteLeaf::Voucher(leaf) = *site_event(&mut story().draft.clone(), site, batch, is_voucher) else {
        unreachable!("a voucher")
    };
    leaf
}

/// The void of the true story.
fn void() -> VoidLeaf {
    let SiteLeaf::Void(leaf) = *site_event(&mut story().draft.clone(), 0, 0, is_void) else { unreachable!("a void") };
    leaf
}

/// Adds an event to a site's batch.
pub(crate) fn push(draft: &mut Draft, (_, site): (SiteId, usize), batch: usize, leaf: SiteLeaf) {
    batches(&mut draft.sites[site].1).swap_remove(batch).push(leaf);
}

/// The positions of the acceptances of a mark.
fn acceptances(published: &annona_protocol::audit::Published, site: usize, of: &Mark) -> Vec<u64> {
    positions(&published.sites[site].1, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Voucher(leaf) if mark(leaf) == *of))
}

/// A site alters its first voucher: that is not what the issuer signed.
fn altered(site: (SiteId, usize), batch: usize, edit: fn(&mut VoucherLeaf)) -> Caught {
    let mut forged = first(site, batch);
    edit(&mut forged);
    let published = publish(|draft| {
        *site_event(draft, site.1, batch, is_voucher) = SiteLeaf::Voucher(forged);
    });
    let at = logged(&published, site, &SiteLeaf::Voucher(forged));
    caught(&published, &[Row::site(Check::VoucherInvalid, site).at(at).of(&mark(&forged))], &[])
}

fn key_absent() -> Caught {
    let mut forged = first(NORTH, 1);
    forged.voucher.shown.key = KeyIndex(u32::MAX);
    let published = publish(|draft| *site_event(draft, 0, 1, is_voucher) = SiteLeaf::Voucher(forged));
    let at = logged(&published, NORTH, &SiteLeaf::Voucher(forged));
    caught(&published, &[Row::site(Check::VoucherUnknownKey, NORTH).at(at).mark(&mark(&forged))], &[])
}

fn redeemed_twice() -> Caught {
    let mut second = first(NORTH, 1);
    second.number = 2;
    let published = publish(|draft| push(draft, NORTH, 1, SiteLeaf::Voucher(second)));
    // A batch does not say which of its leaves came first.
    let at = acceptances(&published, 0, &mark(&second))[1];
    caught(&published, &[Row::site(Check::DoubleRedemption, NORTH).at(at).of(&mark(&second))], &[])
}

fn copied() -> Caught {
    let copy = first(NORTH, 0);
    let published = publish(|draft| {
        draft.sites[0].1.insert(1, Block::Batch(Round(1), vec![SiteLeaf::Voucher(copy)]));
    });
    let at = again(&published.sites[0].1, &SiteLeaf::Voucher(copy));
    let row = |check| Row::site(check, NORTH).at(at).of(&mark(&copy));
    caught(&published, &[row(Check::DoubleRedemption), row(Check::AcceptanceNumber)], &[])
}

fn reused_elsewhere() -> Caught {
    let leaf = first(NORTH, 0);
    let published = publish(|draft| push(draft, RIVER, 0, SiteLeaf::Voucher(leaf)));
    let at = logged(&published, RIVER, &SiteLeaf::Voucher(leaf));
    let row = |check| Row::site(check, RIVER).at(at).of(&mark(&leaf));
    caught(&published, &[row(Check::VoucherElsewhere), row(Check::DoubleRedemption).party(Party::Voucher)], &[])
}

fn number_skipped() -> Caught {
    let mut leaf = first(RIVER, 0);
    leaf.number = 2;
    let published = publish(|draft| *site_event(draft, 1, 0, is_voucher) = SiteLeaf::Voucher(leaf));
    let at = logged(&published, RIVER, &SiteLeaf::Voucher(leaf));
    caught(&published, &[Row::site(Check::AcceptanceNumber, RIVER).at(at).of(&mark(&leaf))], &[])
}

fn void_left_out() -> Caught {
    let published = publish(|draft| batches(&mut draft.sites[0].1).swap_remove(0).retain(|leaf| !is_void(leaf)));
    let of = void().mark;
    let at = acceptances(&published, 0, &of)[1];
    caught(&published, &[Row::site(Check::DoubleRedemption, NORTH).at(at).of(&of)], &[])
}

fn void_without_holder() -> Caught {
    let mut forged = void();
    forged.mark = mark(&first(NORTH, 0));
    assert_ne!(forged, void());
    let leaf = SiteLeaf::Void(forged);
    let published = publish(|draft| push(draft, NORTH, 0, leaf.clone()));
    let at = logged(&published, NORTH, &leaf);
    caught(&published, &[Row::site(Check::VoidInvalid, NORTH).at(at).of(&forged.mark)], &[])
}

fn void_falsified() -> Caught {
    let mut leaf = SiteLeaf::Void(void());
    falsify_holder(&mut leaf);
    let published = publish(|draft| *site_event(draft, 0, 0, is_void) = leaf.clone());
    let of = void().mark;
    let (at, second) = (logged(&published, NORTH, &leaf), acceptances(&published, 0, &of)[1]);
    let row = |check| Row::site(check, NORTH).of(&of);
    caught(&published, &[row(Check::VoidInvalid).at(at), row(Check::DoubleRedemption).at(second)], &[])
}

fn void_elsewhere() -> Caught {
    let leaf = SiteLeaf::Void(void());
    let published = publish(|draft| push(draft, RIVER, 0, leaf.clone()));
    let row = |check| Row::site(check, RIVER).at(logged(&published, RIVER, &leaf)).of(&void().mark);
    caught(&published, &[row(Check::VoidInvalid), row(Check::VoidUnmatched)], &[])
}

fn void_of_nothing() -> Caught {
    let of = void().mark;
    let published = publish(|draft| {
        let first = |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Voucher(leaf) if mark(leaf) == of && leaf.number == 1);
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|leaf| !first(leaf));
    });
    let (at, other) = (logged(&published, NORTH, &SiteLeaf::Void(void())), acceptances(&published, 0, &of)[0]);
    let row = |check| Row::site(check, NORTH).of(&of);
    caught(&published, &[row(Check::VoidUnmatched).at(at), row(Check::AcceptanceNumber).at(other)], &[])
}

fn voided_twice() -> Caught {
    let leaf = SiteLeaf::Void(void());
    let published = publish(|draft| draft.sites[0].1.insert(1, Block::Batch(Round(1), vec![leaf.clone()])));
    let at = again(&published.sites[0].1, &leaf);
    caught(&published, &[Row::site(Check::VoidUnmatched, NORTH).at(at).of(&void().mark)], &[])
}

/// The voucher that the true story swaps away.
fn swapped_away() -> VoucherLeaf {
    let is_swap = |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Swap(_));
    let IssuerLeaf::Swap(swap) = issuer_event(&mut story().draft.clone(), 1, is_swap).clone() else {
        unreachable!("a swap")
    };
    VoucherLeaf { number: 1, voucher: swap.old[0] }
}

fn unwarned() -> Caught {
    let leaf = swapped_away();
    let published = publish(|draft| {
        draft.freeze = Some(|freeze| freeze.packs.retain(|(site, _)| freeze.round != Round(1) || *site != SITE));
        push(draft, NORTH, 0, SiteLeaf::Voucher(leaf));
    });
    let at = logged(&published, NORTH, &SiteLeaf::Voucher(leaf));
    let redeemed = Row::site(Check::SwappedAndRedeemed, NORTH).party(Party::Voucher).at(at).of(&mark(&leaf));
    let freeze = freezes(&published)[0];
    caught(
        &published,
        &[redeemed, Row::issuer(Check::PackMissing).at(freeze).round(1)],
        &[Row::issuer(Check::PackDiffers).round(1)],
    )
}

fn other_round() -> Caught {
    let leaf = SiteLeaf::Voucher(first(RIVER, 0));
    let published = publish(|draft| {
        batches(&mut draft.sites[1].1).swap_remove(0).retain(|known| *known != leaf);
        push(draft, RIVER, 1, leaf.clone());
    });
    let at = logged(&published, RIVER, &leaf);
    let row = |check| Row::site(check, RIVER).at(at).round(1);
    caught(&published, &[row(Check::LeafRound), row(Check::AfterStatement)], &[])
}

fn after_statement() -> Caught {
    let leaf = SiteLeaf::Voucher(first(NORTH, 0));
    let published = publish(|draft| {
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|known| *known != leaf);
        draft.sites[0].1.insert(2, Block::Batch(Round(1), vec![leaf.clone()]));
    });
    let at = logged(&published, NORTH, &leaf);
    caught(&published, &[Row::site(Check::AfterStatement, NORTH).at(at).round(1)], &[])
}

/// An expectation that is not met fails: one finding more or less, another party, log, leaf, round, line, voucher or other units.
#[test]
fn wrong_expectations_fail() {
    let mut forged = first(RIVER, 0);
    forged.voucher.shown.s.0 += Scalar::ONE;
    let published = publish(|draft| *site_event(draft, 1, 0, is_voucher) = SiteLeaf::Voucher(forged));
    let (folder, of) = (Folder::of(&published), mark(&forged));
    let row = Row::site(Check::VoucherInvalid, RIVER).at(logged(&published, RIVER, &SiteLeaf::Voucher(forged))).of(&of);
    let only = std::slice::from_ref(&row);
    folder.caught(only, &[]);
    let other = mark(&first(NORTH, 0));
    let wrong: [&[Row]; 10] = [
        &[],
        &[row.clone(), row.clone()],
        &[row.clone().party(Party::Issuer)],
        &[row.clone().log("elsewhere")],
        &[row.clone().at(0).at(u64::MAX)],
        &[row.clone().round(2)],
        &[row.clone().stake(CASH, units(&of))],
        &[row.clone().stake(FOOD, units(&of) + 1)],
        &[row.clone().mark(&other)],
        &[Row::site(Check::VoucherElsewhere, RIVER).of(&of)],
    ];
    for rows in wrong {
        assert!(std::panic::catch_unwind(|| folder.caught(rows, &[])).is_err(), "{rows:?}");
    }
    assert!(std::panic::catch_unwind(|| folder.caught(only, only)).is_err());
    assert!(std::panic::catch_unwind(|| Folder::of(truth()).refused(&[])).is_err());
    assert!(std::panic::catch_unwind(|| folder.assert_verified()).is_err());
}

/// Food vouchers are what is forged above, so that `voucher-under-a-better-key` says what it does.
#[test]
fn the_first_voucher_is_food() {
    let key = mark(&first(NORTH, 0)).key;
    assert_eq!(story().fixture.programme.key(key).map(|entry| entry.id.line), Some(FOOD));
}
