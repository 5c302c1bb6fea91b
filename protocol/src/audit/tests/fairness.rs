//! Nobody is accused of what only another one can have done, or of what a copy of the logs does not have yet; nothing that stands
//! later makes good what was wrong; and a log full of errors is no way to stop an auditor.

use super::*;
use crate::{
    ids::SiteId,
    log::leaf::{CloseLeaf, CollectedLeaf, OpenLeaf, OwedLeaf, OwedVoidedLeaf},
    slip::{PackTerms, Place, Signed},
};

fn is_close(block: &Block<IssuerLeaf>, round: u32) -> bool {
    matches!(block, Block::Control(IssuerLeaf::Close(CloseLeaf { round: of })) if *of == Round(round))
}

/// A voucher was swapped, and its site's pack does not say so: the issuer's fault, and the site could not know.
#[test]
fn a_site_whose_pack_leaves_a_swap_out_is_not_accused() {
    let mut redeemed = None;
    let (published, report) = tampered(|draft| {
        draft.pack = Some(|terms| terms.swapped.clear());
        let old = batches(&mut draft.issuer)
            .into_iter()
            .flatten()
            .find_map(|leaf| if let IssuerLeaf::Swap(swap) = leaf { Some(swap.old[0]) } else { None });
        let leaf = SiteLeaf::Voucher(crate::log::leaf::VoucherLeaf { number: 1, voucher: old.unwrap() });
        batches(&mut draft.sites[0].1).swap_remove(0).push(leaf.clone());
        redeemed = Some(leaf);
    });
    let freeze = positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Freeze(_)))[0];
    let at = logged(&published, 0, &redeemed.unwrap());
    assert_eq!(
        rows(&report),
        [(Check::PackSwapped, ISSUER, Some(freeze)), (Check::SwappedAndRedeemed, Party::Voucher, at.first().copied())]
    );
}

/// A site has its pack before an auditor has the freeze. A pack of another programme is none.
#[test]
fn a_pack_of_a_round_that_is_not_frozen_here_accuses_nobody() {
    let fixture = &STORY.fixture;
    let pack = |programme, round| {
        let manifest = fixture.view(2).hash;
        let place = Place { programme, site: SITE, round: Round(round), manifest };
        let root = crate::log::merkle::root(&[]);
        Signed::sign(PackTerms { place, swapped: Vec::new(), size: 0, root }, &fixture.issuer_log)
    };
    let (_, report) = republished(|published| {
        published.packs.push(pack(fixture.programme.id(), 3));
        published.packs.push(pack(crate::ids::ProgrammeId([7; 32]), 2));
    });
    assert_eq!(rows(&report), []);
    assert!(report.notes.contains(&Note::PackEarly { index: 4, round: Round(3) }), "{:?}", report.notes);
    assert!(report.notes.contains(&Note::PackIgnored { index: 5 }));
    // Of a round that is frozen, a second one is what a dishonest issuer gives to one site.
    let (_, report) = republished(|published| published.packs.push(pack(fixture.programme.id(), 2)));
    assert_eq!(rows(&report), [(Check::PackDiffers, ISSUER, None)]);
}

/// Until a round is closed, its draws may wait in an open batch of the issuer.
#[test]
fn draws_that_are_not_logged_yet_accuse_nobody_before_the_close() {
    let without_draws = |draft: &mut Draft| {
        batches(&mut draft.issuer).swap_remove(3).retain(|leaf| !matches!(leaf, IssuerLeaf::Draw(_)));
    };
    let (_, report) = tampered(|draft| {
        without_draws(draft);
        draft.issuer.retain(|block| !is_close(block, 2));
    });
    assert_eq!(rows(&report), []);
    let awaited: u64 = report
        .notes
        .iter()
        .filter_map(|note| match note {
            Note::DrawsAwaited { round: Round(2), units, .. } => Some(units.0),
            _ => None,
        })
        .sum();
    assert_eq!(awaited, 9 + 64 + 1);
    // A round that is never closed is over when one opens that may not open beside it.
    let (_, report) = tampered(|draft| {
        without_draws(draft);
        draft.issuer.retain(|block| !is_close(block, 2));
        let advance = STORY.fixture.programme.latest().policy.advance;
        let manifest = STORY.fixture.chain[1].header.hash();
        draft.issuer.push(Block::Control(IssuerLeaf::Open(OpenLeaf { round: Round(2 + advance + 1), manifest })));
    });
    assert!(!report.findings.is_empty());
    assert!(rows(&report).iter().all(|row| *row == (Check::MintedPastDraws, ISSUER, None)), "{:?}", rows(&report));
    let (_, report) = tampered(without_draws);
    assert!(rows(&report).iter().all(|row| *row == (Check::MintedPastDraws, ISSUER, None)));
    assert!(!report.findings.is_empty());
}

/// With a copy of the issuer's log that ends before a round's opening, what a site logged of the round cannot be judged, and the
/// site is not accused of it.
#[test]
fn an_old_copy_of_the_issuers_log_accuses_no_site() {
    let (_, report) = republished(|published| {
        let opened = positions(
            &published.issuer,
            |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Open(open) if open.round == Round(2)),
        );
        published.issuer.entries.truncate(usize::try_from(opened[0]).unwrap());
        sign_again(published);
    });
    assert!(!report.findings.is_empty());
    for finding in &report.findings {
        assert!(!matches!(finding.party, Party::Site(_)), "{finding}");
    }
    // Round 2 of the story: seven vouchers, a collection, two statements.
    let unopened = report.findings.iter().filter(|finding| finding.check == Check::RoundNotOpen).count();
    assert!(unopened > 8, "{unopened}");
}

/// What a site lost its log after: `split` blocks are in the first log, the others in the second.
fn with_two_logs(
    split: usize,
    edit: impl FnOnce(&mut Vec<Block<SiteLeaf>>, &mut Vec<Block<SiteLeaf>>),
) -> (Published, Report) {
    use crate::{fixture::*, programme::LogKey, signature::PublicKey};
    let fixture = &STORY.fixture;
    let key = ed25519_dalek::SigningKey::from_bytes(&[41; 32]);
    let mut next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    next.sites[0].logs.push(LogKey { name: "annona.example/site/north-2".into(), key: PublicKey::of(&key) });
    let mut draft = STORY.draft.clone();
    draft.issuer.push(Block::Control(IssuerLeaf::Manifest(sign_header(next, &fixture.officers))));
    let mut second = draft.sites[0].1.split_off(split);
    edit(&mut draft.sites[0].1, &mut second);
    let mut published = draft.publish(&STORY, &mut rng());
    let entries = draft.publish_site(fixture, SITE, &key, &published.sites[0].1.entries, &second);
    let name = "annona.example/site/north-2".to_owned();
    let checkpoint = checkpoint(fixture, &name, &key, &entries);
    published.sites.push((SITE, PublishedLog { name, checkpoint, entries }));
    let report = run(&published);
    (published, report)
}

/// What a site stated in one log it cannot add to in another.
#[test]
fn a_statement_ends_a_round_in_the_sites_later_logs_too() {
    assert_eq!(rows(&with_two_logs(2, |_, _| {}).1), []);
    let mut moved = None;
    let (published, report) = with_two_logs(2, |first, second| {
        let leaf = batches(first)[0].remove(0);
        second.insert(0, Block::Batch(Round(1), vec![leaf.clone()]));
        moved = Some(leaf);
    });
    let at = positions(&published.sites[2].1, |leaf: &SiteLeaf| Some(leaf) == moved.as_ref());
    assert!(rows(&report).contains(&(Check::AfterStatement, NORTH, at.first().copied())), "{:?}", rows(&report));
}

/// A statement of nothing in a new log does not state what the old log has.
#[test]
fn a_statement_in_another_log_states_nothing_of_this_one() {
    let (_, report) = with_two_logs(1, |_, _| {});
    assert_eq!(rows(&report), []);
    let missing = Note::StatementMissing { site: SITE, round: Round(1) };
    assert!(report.notes.contains(&missing), "{:?}", report.notes);
}

/// Households that enrol after a round is closed have drawn nothing in it: a round that was overdrawn stays so.
#[test]
fn later_enrolments_do_not_make_good_an_overdrawn_round() {
    let (_, report) = tampered(|draft| {
        let mut of_rounds = batches(&mut draft.issuer);
        let enrolments = std::mem::take(of_rounds[0]);
        // After the close of round 1.
        of_rounds[3].extend(enrolments);
        draft.issuer.retain(|block| !matches!(block, Block::Batch(_, events) if events.is_empty()));
    });
    let past: Vec<_> = report.findings.iter().filter(|finding| finding.check == Check::DrawnPastGranted).collect();
    let units =
        |line: LineId| past.iter().filter(|found| found.line == Some(line)).map(|found| found.units.0).sum::<u64>();
    assert!(past.iter().all(|finding| (finding.party, finding.round) == (ISSUER, Some(Round(1)))), "{past:?}");
    assert_eq!([units(FOOD), units(INFANT), units(CASH)], [12, 1, 90]);
}

/// A batch of a round that no version plans shifts nothing from its site.
#[test]
fn a_batch_of_a_round_that_never_was_accuses_its_site() {
    let mut leaf = None;
    let (published, report) = tampered(|draft| {
        let mut unlisted = accepted(&STORY.fixture, &STORY.unlogged[0], 1);
        unlisted.voucher.shown.key = crate::ids::KeyIndex(u32::MAX);
        leaf = Some(SiteLeaf::Voucher(unlisted));
        draft.sites[0].1.push(Block::Batch(Round(4_000_000_000), leaf.clone().into_iter().collect()));
    });
    let at = logged(&published, 0, &leaf.unwrap())[0];
    assert_eq!(
        rows(&report),
        [(Check::RoundNotOpen, NORTH, Some(at + 1)), (Check::VoucherUnknownKey, NORTH, Some(at))]
    );
}

/// The void of an owed slip is a leaf of the slip's round ([8.1-M4]).
#[test]
fn a_slip_is_voided_in_its_own_round() {
    let mut voided = None;
    let (published, report) = tampered(|draft| {
        let north = &mut draft.sites[0].1;
        // The statement of round 1 comes after the batch of round 2, so that the void is not late.
        let statement = north.remove(1);
        north.insert(2, statement);
        let mut of_rounds = batches(north);
        let owed =
            of_rounds[0].iter().find_map(|leaf| if let SiteLeaf::Owed(owed) = leaf { Some(owed.holder) } else { None });
        let leaf = SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: owed.unwrap() });
        of_rounds[1].retain(|leaf| !matches!(leaf, SiteLeaf::Collected(_)));
        of_rounds[1].push(leaf.clone());
        voided = Some(leaf);
    });
    let at = logged(&published, 0, &voided.unwrap());
    assert_eq!(rows(&report), [(Check::LeafRound, NORTH, at.first().copied())]);
}

/// A slip of ten thousand lines, and two thousand collections of it: found, and kept once.
#[test]
fn a_slip_of_many_lines_is_no_way_to_fill_a_memory() {
    let many = (0..10_000u16).map(|line| (LineId(line), Units(1))).collect();
    let (published, report) = tampered(|draft| {
        let events = batches(&mut draft.sites[0].1).swap_remove(1);
        let collected = events
            .iter()
            .find_map(|leaf| if let SiteLeaf::Collected(leaf) = leaf { Some(*leaf) } else { None })
            .unwrap();
        let holder = crate::redeem::holder_key(&crate::secret::SecretScalar::random(&mut rng()));
        events.push(SiteLeaf::Owed(OwedLeaf { round: Round(2), lines: many, holder }));
        events.extend((0..2000u16).map(|number| {
            let mut proof = collected.proof;
            proof.commitment.0[..2].copy_from_slice(&number.to_be_bytes());
            SiteLeaf::Collected(CollectedLeaf { round: Round(2), holder, proof })
        }));
    });
    let of = |check| report.findings.iter().filter(|finding| finding.check == check).count();
    assert_eq!((of(Check::OwedInvalid), of(Check::CollectedInvalid)), (1, 2000));
    let (log, site): (&PublishedLog, SiteId) = (&published.sites[0].1, published.sites[0].0);
    assert_eq!(site, SITE);
    assert!(log.entries.len() > 2000);
    // None of its lines is in what the site owes.
    assert_eq!(report.totals.sites.values().map(|row| row.owed.0).sum::<u64>(), 5);
}

/// All leaves false: the first are listed, the others counted.
#[test]
fn findings_are_listed_up_to_a_limit() {
    let more = 5;
    let listed = super::super::findings::LISTED;
    let (_, report) = republished(|published| {
        let log = &mut published.sites[1].1;
        log.entries.extend((0..listed + more).map(|at| at.to_be_bytes().to_vec()));
        sign_again(published);
    });
    let malformed = report.findings.iter().filter(|finding| finding.check == Check::LeafMalformed).count();
    assert_eq!(malformed as u64, listed);
    let (party, log) = (RIVER, "annona.example/site/river".to_owned());
    let left_out = Note::FindingsLeftOut { check: Check::LeafMalformed, party, log, count: more };
    assert!(report.notes.contains(&left_out), "{:?}", report.notes);
}
