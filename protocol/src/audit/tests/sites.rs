//! Dishonest sites, and vouchers from nowhere (spec 9.5, 9.6).

use super::*;
use crate::{
    group::Scalar,
    ids::KeyIndex,
    log::leaf::{OwedVoidedLeaf, VoucherLeaf},
    redeem::Surrender,
};

fn is_voucher(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Voucher(_))
}

fn is_void(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Void(_))
}

fn is_owed(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Owed(_))
}

fn is_collected(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Collected(_))
}

/// Edits the first event of a batch that `is` says, and gives its position and all findings.
fn event(
    site: usize,
    batch: usize,
    is: fn(&SiteLeaf) -> bool,
    edit: impl FnOnce(&mut SiteLeaf),
) -> (Option<u64>, Report) {
    let mut edited = None;
    let (published, report) = tampered(|draft| {
        let leaf = site_event(draft, site, batch, is);
        edit(leaf);
        edited = Some(leaf.clone());
    });
    (logged(&published, site, &edited.unwrap()).first().copied(), report)
}

/// Adds an event to a batch, and gives its positions and all findings.
fn added(site: usize, batch: usize, leaf: SiteLeaf) -> (Vec<u64>, Report) {
    let (published, report) = tampered(|draft| {
        batches(&mut draft.sites[site].1).swap_remove(batch).push(leaf.clone());
    });
    (logged(&published, site, &leaf), report)
}

/// Takes an event out of a batch.
fn removed(site: usize, batch: usize, is: fn(&SiteLeaf) -> bool) -> (Published, Report) {
    tampered(|draft| {
        let events = batches(&mut draft.sites[site].1).swap_remove(batch);
        let at = events.iter().position(is).unwrap();
        events.remove(at);
    })
}

/// The first event of a batch that `is` says.
fn original(site: usize, batch: usize, is: fn(&SiteLeaf) -> bool) -> SiteLeaf {
    site_event(&mut STORY.draft.clone(), site, batch, is).clone()
}

fn voucher(leaf: &mut SiteLeaf) -> &mut VoucherLeaf {
    let SiteLeaf::Voucher(leaf) = leaf else { panic!("a voucher") };
    leaf
}

#[test]
fn forged_vouchers() {
    let edits: [fn(&mut VoucherLeaf); 4] = [
        |leaf| leaf.voucher.shown.s.0 += Scalar::ONE,
        |leaf| leaf.voucher.shown.y.0 += Scalar::ONE,
        |leaf| leaf.voucher.y_point = leaf.voucher.shown.r,
        |leaf| leaf.voucher.shown.r.0 = [0; 32],
    ];
    for edit in edits {
        let (at, report) = event(1, 0, is_voucher, |leaf| edit(voucher(leaf)));
        assert_eq!(rows(&report), [(Check::VoucherInvalid, RIVER, at)]);
        assert!(report.findings[0].units > Units(0));
    }
}

/// A site that claims for people who never came: it has to make up holder keys.
#[test]
fn claim_for_a_no_show() {
    let (at, report) = event(0, 0, is_voucher, |leaf| {
        voucher(leaf).voucher.shown.holder = crate::group::EncodedPoint::from(crate::group::Point::generator());
    });
    assert_eq!(rows(&report), [(Check::VoucherInvalid, NORTH, at)]);
}

#[test]
fn voucher_of_an_unknown_key() {
    let (at, report) = event(0, 1, is_voucher, |leaf| voucher(leaf).voucher.shown.key = KeyIndex(u32::MAX));
    assert_eq!(rows(&report), [(Check::VoucherUnknownKey, NORTH, at)]);
}

/// A round that the issuer's log does not open: a forged voucher accuses the site, a true one the issuer, who alone can sign.
#[test]
fn voucher_of_a_round_that_is_not_open() {
    let keys = STORY.fixture.keys(3, &[(FOOD, 1)]);
    let (at, report) = event(0, 1, is_voucher, |leaf| voucher(leaf).voucher.shown.key = keys[0].0);
    assert_eq!(rows(&report), [(Check::LeafRound, NORTH, at), (Check::VoucherInvalid, NORTH, at)]);
    let voucher = mint(&STORY.fixture, 3, keys, &mut rng()).remove(0);
    let leaf = SiteLeaf::Voucher(accepted(&STORY.fixture, &voucher, 1));
    let (published, report) = tampered(|draft| draft.sites[0].1.push(Block::Batch(Round(3), vec![leaf.clone()])));
    let at = logged(&published, 0, &leaf).first().copied();
    // Draws of a round that is not closed may still come.
    assert_eq!(rows(&report), [(Check::RoundNotOpen, ISSUER, at)]);
    assert!(report.notes.iter().any(|note| matches!(note, Note::DrawsAwaited { round: Round(3), .. })));
}

/// What else a site logs of such a round accuses the site, unless the issuer signed its opening pack.
#[test]
fn slips_and_statements_of_a_round_that_is_not_open() {
    let SiteLeaf::Owed(mut slip) = original(0, 0, is_owed) else { panic!("an owed slip") };
    slip.round = Round(3);
    slip.holder = crate::group::EncodedPoint::from(crate::group::Point::generator());
    let (mut published, report) = tampered(|draft| {
        let leaf = SiteLeaf::Owed(slip);
        draft.sites[0].1.extend([Block::Batch(Round(3), vec![leaf]), Block::Statement(Round(3))]);
    });
    let end = STORY.draft.publish(&STORY, &mut rng()).sites[0].1.entries.len() as u64;
    let found = |party| [end, end + 2].map(|at| (Check::RoundNotOpen, party, Some(at)));
    assert_eq!(rows(&report), found(NORTH));
    let mut terms = published.packs[0].content.clone();
    terms.place = crate::slip::Place::new(&STORY.fixture.view(3), SITE);
    published.packs.push(crate::slip::Signed::sign(terms, &STORY.fixture.issuer_log));
    let report = run(&published);
    assert_eq!(rows(&report), found(ISSUER));
    assert!(report.notes.iter().any(|note| matches!(note, Note::PackEarly { round: Round(3), .. })));
}

/// An issuer's log that ends before round 2 was opened accuses nobody but the issuer.
#[test]
fn honest_sites_of_a_rewound_issuer() {
    let (mut published, _) = tampered(|_| {});
    let open = positions(
        &published.issuer,
        |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Open(open) if open.round == Round(2)),
    );
    published.issuer.entries.truncate(usize::try_from(open[0]).unwrap());
    sign_again(&mut published);
    let found = rows(&run(&published));
    assert!(found.iter().any(|row| row.0 == Check::RoundNotOpen));
    assert!(found.iter().all(|row| row.1 == ISSUER), "{found:?}");
}

/// One voucher under another key: `c'` binds the key.
#[test]
fn voucher_of_a_better_key() {
    let better = STORY.fixture.keys(1, &[(CASH, 50)])[0].0;
    let (at, report) = event(0, 0, is_voucher, |leaf| voucher(leaf).voucher.shown.key = better);
    assert_eq!(rows(&report), [(Check::VoucherInvalid, NORTH, at)]);
}

#[test]
fn double_redemption_at_one_site() {
    let mut again = original(0, 1, is_voucher);
    voucher(&mut again).number = 2;
    let (at, report) = added(0, 1, again);
    let rows = rows(&report);
    assert_eq!((rows.len(), rows[0].0, rows[0].1), (1, Check::DoubleRedemption, NORTH));
    // Which of the two in one batch is the second, the batch does not say.
    let first = logged(&STORY.draft.publish(&STORY, &mut rng()), 0, &original(0, 1, is_voucher));
    assert!(rows[0].2 == Some(at[0]) || rows[0].2 >= first.first().copied());
}

#[test]
fn double_redemption_under_one_number() {
    let again = original(0, 0, is_voucher);
    let (published, report) = tampered(|draft| {
        let blocks = &mut draft.sites[0].1;
        blocks.insert(1, Block::Batch(Round(1), vec![again.clone()]));
    });
    let at = logged(&published, 0, &again)[1];
    let expected = [(Check::DoubleRedemption, NORTH, Some(at)), (Check::AcceptanceNumber, NORTH, Some(at))];
    assert_eq!(rows(&report), expected);
}

/// Two different sites: the logs do not tell who is at fault, only that this voucher went twice.
#[test]
fn replay_at_another_site() {
    let (at, report) = added(1, 0, original(0, 0, is_voucher));
    let expected = [
        (Check::VoucherElsewhere, RIVER, at.first().copied()),
        (Check::DoubleRedemption, Party::Voucher, at.first().copied()),
    ];
    assert_eq!(rows(&report), expected);
}

#[test]
fn leaf_in_a_batch_of_another_round() {
    let mut moved = None;
    let (published, report) = tampered(|draft| {
        let leaf = batches(&mut draft.sites[1].1).swap_remove(0).remove(0);
        batches(&mut draft.sites[1].1).swap_remove(1).push(leaf.clone());
        moved = Some(leaf);
    });
    let at = logged(&published, 1, &moved.unwrap()).first().copied();
    assert_eq!(rows(&report), [(Check::LeafRound, RIVER, at), (Check::AfterStatement, RIVER, at)]);
}

#[test]
fn voids() {
    // Left out: the voucher went twice.
    let (_, report) = removed(0, 0, is_void);
    assert_eq!(rows(&report).iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(), [(Check::DoubleRedemption, NORTH)]);
    // Made up: the holder did not agree.
    let (at, report) = event(0, 0, is_void, |leaf| {
        let SiteLeaf::Void(leaf) = leaf else { panic!("a void") };
        leaf.number = 2;
    });
    let found = rows(&report);
    assert!(found.contains(&(Check::VoidInvalid, NORTH, at)) && found.len() == 2);
    // Of nothing: the acceptance that it cancels is not there.
    let SiteLeaf::Void(void) = original(0, 0, is_void) else { panic!("a void") };
    let (published, report) = tampered(|draft| {
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|leaf| {
            !matches!(leaf, SiteLeaf::Voucher(leaf) if leaf.voucher.shown.mark() == void.mark && leaf.number == 1)
        });
    });
    let at = logged(&published, 0, &SiteLeaf::Void(void)).first().copied();
    let other = positions(
        &published.sites[0].1,
        |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Voucher(leaf) if leaf.voucher.shown.mark() == void.mark),
    );
    let expected = [(Check::AcceptanceNumber, NORTH, other.first().copied()), (Check::VoidUnmatched, NORTH, at)];
    assert_eq!(rows(&report), expected);
    // Twice.
    let (published, report) = tampered(|draft| {
        draft.sites[0].1.insert(1, Block::Batch(Round(1), vec![SiteLeaf::Void(void)]));
    });
    let at = logged(&published, 0, &SiteLeaf::Void(void))[1];
    assert_eq!(rows(&report), [(Check::VoidUnmatched, NORTH, Some(at))]);
}

#[test]
fn owed_slips() {
    // More than the household gave vouchers for.
    let (at, report) = event(0, 0, is_owed, |leaf| {
        let SiteLeaf::Owed(leaf) = leaf else { panic!("an owed slip") };
        leaf.lines[0].1 = Units(500);
    });
    let expected = [Check::OwedPastRedeemed, Check::CollectedInvalid];
    assert_eq!(rows(&report).iter().map(|row| row.0).collect::<Vec<_>>(), expected);
    assert!(at.is_some() && rows(&report).iter().all(|row| row.1 == NORTH));
    // A line that there is not, and nothing of one.
    for lines in [vec![(LineId(9), Units(1))], vec![(CASH, Units(0))], Vec::new()] {
        let SiteLeaf::Owed(mut slip) = original(0, 0, is_owed) else { panic!("an owed slip") };
        slip.lines = lines;
        slip.holder = crate::group::EncodedPoint::from(crate::group::Point::generator());
        let (at, report) = added(0, 0, SiteLeaf::Owed(slip));
        assert!(rows(&report).contains(&(Check::OwedInvalid, NORTH, at.first().copied())));
    }
    // One holder key for two slips.
    let SiteLeaf::Owed(mut twice) = original(0, 0, is_owed) else { panic!("an owed slip") };
    twice.lines[0].1 = Units(4);
    let (_, report) = added(0, 0, SiteLeaf::Owed(twice));
    assert_eq!(rows(&report)[0].0, Check::OwedInvalid);
}

#[test]
fn collections() {
    // Without a slip.
    let at = logged(&removed(0, 0, is_owed).0, 0, &original(0, 1, is_collected)).first().copied();
    let (_, report) = removed(0, 0, is_owed);
    assert_eq!(rows(&report), [(Check::CollectedUnmatched, NORTH, at)]);
    // Without the holder.
    let (at, report) = event(0, 1, is_collected, |leaf| {
        let SiteLeaf::Collected(leaf) = leaf else { panic!("a collection") };
        leaf.proof.response.0 += Scalar::ONE;
    });
    assert_eq!(rows(&report), [(Check::CollectedInvalid, NORTH, at)]);
    // Twice.
    let again = original(0, 1, is_collected);
    let (published, report) = tampered(|draft| draft.sites[0].1.insert(4, Block::Batch(Round(2), vec![again.clone()])));
    let at = logged(&published, 0, &again)[1];
    let late = rows(&report);
    assert!(late.contains(&(Check::CollectedUnmatched, NORTH, Some(at))), "{late:?}");
    // Before the slip was written.
    let (published, report) = tampered(|draft| {
        let slip = original(0, 0, is_owed);
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|leaf| *leaf != slip);
        draft.sites[0].1.push(Block::Batch(Round(2), vec![slip]));
    });
    let at = logged(&published, 0, &again).first().copied();
    assert!(rows(&report).contains(&(Check::CollectedInvalid, NORTH, at)));
}

#[test]
fn voided_slips() {
    let SiteLeaf::Owed(slip) = original(0, 0, is_owed) else { panic!("an owed slip") };
    let void = SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: slip.holder });
    // A slip that was collected cannot have been voided.
    let (_, report) = added(0, 0, void.clone());
    let at = logged(&STORY.draft.publish(&STORY, &mut rng()), 0, &original(0, 1, is_collected))[0];
    assert_eq!(rows(&report), [(Check::CollectedUnmatched, NORTH, Some(at + 1))]);
    // A slip that there is not.
    let (at, report) = added(1, 0, void);
    assert_eq!(rows(&report), [(Check::OwedVoidUnmatched, RIVER, at.first().copied())]);
}

#[test]
fn redemption_after_the_statement() {
    let mut moved = None;
    let (published, report) = tampered(|draft| {
        let blocks = &mut draft.sites[0].1;
        let leaf = batches(blocks).swap_remove(0).remove(0);
        blocks.insert(2, Block::Batch(Round(1), vec![leaf.clone()]));
        moved = Some(leaf);
    });
    let at = logged(&published, 0, &moved.unwrap()).first().copied();
    assert_eq!(rows(&report), [(Check::AfterStatement, NORTH, at)]);
}

#[test]
fn statements() {
    let statements = positions(&STORY.draft.publish(&STORY, &mut rng()).sites[0].1, |leaf: &SiteLeaf| {
        matches!(leaf, SiteLeaf::Statement(_))
    });
    let first = Some(statements[0]);
    let of_first = |report: &Report| rows(report).into_iter().filter(|row| row.1 == NORTH).collect::<Vec<_>>();
    // Claims more than its log shows; says that nothing is owed; hides a void.
    let edits: [fn(&mut crate::slip::StatementTerms); 5] = [
        |terms| terms.units.iter_mut().take(1).for_each(|row| row.1 = Units(row.1.0 + 1)),
        |terms| terms.vouchers.iter_mut().take(1).for_each(|row| row.1 += 1),
        |terms| terms.owed.clear(),
        |terms| terms.voids.clear(),
        |terms| terms.collected.clear(),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let (_, report) = tampered(|draft| draft.statement = Some(edit));
        let expected = if index == 4 { Some(statements[1]) } else { first };
        assert!(of_first(&report).contains(&(Check::StatementTotals, NORTH, expected)));
        assert!(rows(&report).iter().all(|row| row.0 == Check::StatementTotals));
    }
    // Another log before it.
    let edits: [fn(&mut crate::slip::StatementTerms); 2] = [|terms| terms.size -= 1, |terms| terms.root.0[0] ^= 1];
    for edit in edits {
        let (_, report) = tampered(|draft| draft.statement = Some(edit));
        assert_eq!(
            of_first(&report),
            statements.iter().map(|at| (Check::StatementPosition, NORTH, Some(*at))).collect::<Vec<_>>()
        );
    }
    // Not signed by the site; of another site.
    let (_, report) = tampered(|draft| draft.signed = Some(|signed| signed.content.size += 1));
    assert!(of_first(&report).contains(&(Check::StatementInvalid, NORTH, first)));
    let (_, report) = tampered(|draft| draft.statement = Some(|terms| terms.place.site = SLOTTED));
    assert_eq!(
        of_first(&report),
        statements.iter().map(|at| (Check::StatementInvalid, NORTH, Some(*at))).collect::<Vec<_>>()
    );
    // Twice.
    let (_, report) = tampered(|draft| draft.sites[0].1.insert(2, Block::Statement(Round(1))));
    assert_eq!(rows(&report), [(Check::StatementRepeated, NORTH, Some(statements[0] + 1))]);
    // Not yet: no finding, but a note.
    let (_, report) = tampered(|draft| drop(draft.sites[0].1.pop()));
    assert_eq!(rows(&report), []);
    assert!(report.notes.contains(&Note::StatementMissing { site: SITE, round: Round(2) }));
}

fn swapped_away() -> SiteLeaf {
    let swap = issuer_event(&mut STORY.draft.clone(), 1, |leaf| matches!(leaf, IssuerLeaf::Swap(_))).clone();
    let IssuerLeaf::Swap(swap) = swap else { panic!("a swap") };
    SiteLeaf::Voucher(VoucherLeaf { number: 1, voucher: swap.old[0] })
}

#[test]
fn swapped_voucher_redeemed() {
    // The site's opening pack told it to refuse the voucher.
    let (at, report) = added(0, 0, swapped_away());
    assert_eq!(rows(&report), [(Check::SwappedAndRedeemed, NORTH, at.first().copied())]);
    assert_eq!(report.findings[0].units, Units(2));
    // A site without a pack could not know.
    let (_, report) = tampered(|draft| {
        draft.freeze = Some(|freeze| freeze.packs.retain(|(site, _)| *site != SITE));
        batches(&mut draft.sites[0].1).swap_remove(0).push(swapped_away());
    });
    assert!(
        report
            .findings
            .iter()
            .any(|finding| { (finding.check, finding.party) == (Check::SwappedAndRedeemed, Party::Voucher) })
    );
}

/// The issuer signs a voucher that no draw shows. Who redeems or surrenders it proves it.
#[test]
fn minted_voucher() {
    let leaf = accepted(&STORY.fixture, &STORY.unlogged[0], 1);
    let (_, report) = added(0, 0, SiteLeaf::Voucher(leaf));
    assert_eq!(rows(&report), [(Check::MintedPastDraws, ISSUER, None)]);
    assert_eq!((report.findings[0].line, report.findings[0].units), (Some(FOOD), Units(1)));
    let surrender = Surrender::new(&STORY.fixture.view(1), &STORY.unlogged[0], &mut rng()).unwrap();
    let (_, report) = tampered(|draft| draft.surrendered.push(surrender));
    assert_eq!(rows(&report), [(Check::MintedPastDraws, ISSUER, None)]);
    // Redeemed, voided and surrendered, it is still one voucher.
    let (_, report) = tampered(|draft| {
        draft.surrendered.push(surrender);
        batches(&mut draft.sites[0].1).swap_remove(0).push(SiteLeaf::Voucher(leaf));
    });
    assert_eq!(rows(&report), [(Check::MintedPastDraws, ISSUER, None)]);
}

/// A draw that the issuer leaves out of the log after its vouchers were redeemed.
#[test]
fn draw_left_out() {
    let (_, report) = tampered(|draft| {
        batches(&mut draft.issuer).swap_remove(3).retain(|leaf| !matches!(leaf, IssuerLeaf::Draw(_)));
    });
    let rows = rows(&report);
    // Food 6 as 2 + 4 and 3 as 1 + 2, cash 50 and 14 as 10 + 2 + 2, and the surrendered one: eight keys, each past its draws.
    assert!(!rows.is_empty() && rows.iter().all(|row| *row == (Check::MintedPastDraws, ISSUER, None)), "{rows:?}");
    let units: u64 = report.findings.iter().map(|finding| finding.units.0).sum();
    assert_eq!(units, 9 + 64 + 1);
}

/// Surrenders that prove nothing accuse nobody.
#[test]
fn surrenders_that_prove_nothing() {
    let mut bad = STORY.draft.surrendered[0];
    bad.proof.response.0 += Scalar::ONE;
    let redeemed = STORY.draft.surrendered[0];
    let (_, report) = tampered(|draft| draft.surrendered.extend([bad, redeemed]));
    assert_eq!(rows(&report), []);
    assert!(report.notes.contains(&Note::SurrenderIgnored { index: 1 }));
}

/// A site lost its log, and has a new one since round 2; the witnesses changed at the same time. The old log stays cosigned by
/// the old witnesses, a slip of it is collected in the new one, and what either log lacks is found.
#[test]
fn log_that_replaced_another() {
    let fixture = &STORY.fixture;
    let (published, key) = replace_log(&STORY, |_| {}, &mut rng());
    let report = run(&published);
    assert_eq!(rows(&report), []);
    assert_eq!(report.totals.redeemed().collect::<Vec<_>>(), Story::redeemed());
    assert_eq!(report.totals.sites[&(Round(2), SITE, CASH)].collected, Units(5));
    let (old, leaves) = (published.sites[0].1.name.clone(), published.sites[0].1.entries.len() as u64);
    assert!(report.notes.contains(&Note::LogReplaced { site: SITE, name: old, leaves }), "{:?}", report.notes);

    // The newest log needs the newest witnesses, and the old one must be there.
    let mut by_old = published.clone();
    let log = &mut by_old.sites[2].1;
    log.checkpoint = checkpoint(fixture, &log.name, &key, &log.entries);
    assert_eq!(rows(&run(&by_old)), [(Check::CheckpointWitnesses, NORTH, None)]);
    let mut without = published.clone();
    without.sites.remove(0);
    let found = rows(&run(&without));
    assert!(
        found.contains(&(Check::LogMissing, NORTH, None)) && found.iter().any(|row| row.0 == Check::CollectedUnmatched)
    );
    // One voucher in both logs of a site: its own spent set.
    let leaf = original(0, 0, is_voucher);
    let (twice, _) = replace_log(&STORY, |second| batches(second)[0].push(leaf), &mut rng());
    let found: Vec<_> = rows(&run(&twice)).into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(found, [(Check::LeafRound, NORTH), (Check::DoubleRedemption, NORTH), (Check::AfterStatement, NORTH)]);
}
