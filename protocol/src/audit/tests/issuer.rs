//! A dishonest issuer: enrolments, shows, swaps, cohorts (spec 9.3, 9.4).

use super::*;
use crate::{
    fixture::{next_version, sign_header},
    group::Scalar,
    log::leaf::EnrolLeaf,
    programme::TicketKind,
};

fn freezes(published: &Published) -> Vec<u64> {
    positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Freeze(_)))
}

fn is_enrol(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Enrol(_))
}

fn is_draw(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Draw(_))
}

fn is_roll_over(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::RollOver(_))
}

fn is_amend(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Amend(_))
}

fn is_swap(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Swap(_))
}

/// Edits the first event of a batch that `is` says, and gives all findings and the event's position.
fn event(batch: usize, is: fn(&IssuerLeaf) -> bool, edit: impl FnOnce(&mut IssuerLeaf)) -> (Option<u64>, Report) {
    let mut edited = None;
    let (published, report) = tampered(|draft| {
        let leaf = issuer_event(draft, batch, is);
        edit(leaf);
        edited = Some(leaf.clone());
    });
    (issued(&published, &edited.unwrap()), report)
}

fn enrolment(leaf: &mut IssuerLeaf) -> &mut EnrolLeaf {
    let IssuerLeaf::Enrol(leaf) = leaf else { panic!("an enrolment") };
    leaf
}

#[test]
fn ticket_of_no_lot() {
    let (at, report) = event(0, is_enrol, |leaf| enrolment(leaf).ticket.salt[0] ^= 1);
    let freeze = freezes(&STORY.draft.publish(&STORY, &mut rng()))[0];
    // Outside any lot it is no member of the cohort, and its roll-over is one too many.
    let expected = [Check::TicketOutsideLot, Check::RollOversPastEnrolled, Check::OpeningCount];
    assert_eq!(rows(&report).iter().map(|row| row.0).collect::<Vec<_>>(), expected);
    assert_eq!(rows(&report)[0], (Check::TicketOutsideLot, ISSUER, at));
    assert_eq!(rows(&report)[2], (Check::OpeningCount, ISSUER, Some(freeze)));
}

#[test]
fn ticket_of_another_kind() {
    let (at, report) = event(0, is_enrol, |leaf| enrolment(leaf).kind = TicketKind::Split);
    assert_eq!(rows(&report), [(Check::TicketKind, ISSUER, at)]);
}

#[test]
fn ticket_used_twice() {
    let (published, report) = tampered(|draft| {
        let again = issuer_event(draft, 0, is_enrol).clone();
        batches(&mut draft.issuer).swap_remove(1).push(again);
    });
    let [(check, party, Some(at))] = rows(&report)[..] else { panic!("{report:?}") };
    assert_eq!((check, party), (Check::TicketReused, ISSUER));
    let last = positions(&published.issuer, is_enrol);
    assert!(at > last[3]);
}

#[test]
fn proofs_that_do_not_hold() {
    let (at, report) = event(0, is_enrol, falsify);
    assert_eq!(rows(&report), [(Check::EnrolmentInvalid, ISSUER, at)]);
    let (at, report) = event(1, is_roll_over, falsify);
    assert_eq!(rows(&report), [(Check::RollOverInvalid, ISSUER, at)]);
    let (at, report) = event(1, is_draw, falsify);
    assert_eq!(rows(&report), [(Check::DrawInvalid, ISSUER, at)]);
    let (at, report) = event(2, is_amend, falsify);
    assert_eq!(rows(&report), [(Check::AmendInvalid, ISSUER, at)]);
}

/// Two false leaves in one chunk are both found, and no other.
#[test]
fn several_false_proofs_at_once() {
    let mut edited = Vec::new();
    let (published, report) = tampered(|draft| {
        for leaf in batches(&mut draft.issuer).swap_remove(1).iter_mut().filter(|leaf| is_roll_over(leaf)).take(2) {
            let IssuerLeaf::RollOver(record) = leaf else { unreachable!() };
            record.proof.responses[0].0 += Scalar::ONE;
            edited.push(leaf.clone());
        }
    });
    let mut expected: Vec<Row> =
        edited.iter().map(|leaf| (Check::RollOverInvalid, ISSUER, issued(&published, leaf))).collect();
    expected.sort_unstable();
    assert_eq!(rows(&report), expected);
}

/// The issuer writes more vouchers into a draw than the household proved.
#[test]
fn draw_with_vouchers_added() {
    let (at, report) = event(1, is_draw, |leaf| {
        let IssuerLeaf::Draw(leaf) = leaf else { panic!("a draw") };
        leaf.keys[0].1 += 2;
        leaf.answers.extend(leaf.answers.clone().iter().cycle().take(2));
    });
    assert!(rows(&report).contains(&(Check::DrawInvalid, ISSUER, at)));
    // The first household has 4 units of food; two more vouchers of 4 are past what all were granted.
    let past: Vec<_> = report.findings.iter().filter(|finding| finding.check == Check::DrawnPastGranted).collect();
    assert_eq!((past.len(), past[0].round, past[0].line), (1, Some(Round(1)), Some(FOOD)));
    assert_eq!((past[0].party, past[0].units), (ISSUER, Units(12 + 8 - 13)));
}

#[test]
fn draw_of_another_rounds_keys() {
    let keys = STORY.fixture.keys(3, &[(FOOD, 4)]);
    let (at, report) = event(1, is_draw, |leaf| {
        let IssuerLeaf::Draw(leaf) = leaf else { panic!("a draw") };
        leaf.keys = keys;
        leaf.answers.truncate(1);
    });
    assert!(rows(&report).contains(&(Check::DrawInvalid, ISSUER, at)));
}

/// The issuer gives a household more than its ticket says, in an amend.
#[test]
fn amend_with_another_sum() {
    let (at, report) = event(2, is_amend, amend_otherwise);
    let freeze = freezes(&STORY.draft.publish(&STORY, &mut rng()))[1];
    let expected = [(Check::AmendInvalid, ISSUER, at), (Check::OpeningInvalid, ISSUER, Some(freeze))];
    assert_eq!(rows(&report), expected);
}

#[test]
fn swap_without_the_holder() {
    let (at, report) = event(1, is_swap, falsify);
    let freeze = freezes(&STORY.draft.publish(&STORY, &mut rng()))[0];
    // What was not swapped does not belong into the pack.
    let expected = [(Check::PackSwapped, ISSUER, Some(freeze)), (Check::SwapInvalid, ISSUER, at)];
    assert_eq!(rows(&report), expected);
}

#[test]
fn swap_into_more() {
    let more = STORY.fixture.keys(1, &[(FOOD, 4)]);
    let (at, report) = event(1, is_swap, |leaf| {
        let IssuerLeaf::Swap(leaf) = leaf else { panic!("a swap") };
        leaf.new = more;
    });
    assert!(rows(&report).contains(&(Check::SwapNotConserved, ISSUER, at)));
}

#[test]
fn swap_twice() {
    let mut again = None;
    let (published, report) = tampered(|draft| {
        let leaf = issuer_event(draft, 1, is_swap).clone();
        let freeze = draft.issuer.iter().position(|block| matches!(block, Block::Freeze(_))).unwrap();
        draft.issuer.insert(freeze, Block::Batch(Round(1), vec![leaf.clone()]));
        again = Some(leaf);
    });
    let swaps = positions(&published.issuer, |leaf: &IssuerLeaf| Some(leaf) == again.as_ref());
    let expected = [(Check::SessionReused, ISSUER, Some(swaps[1])), (Check::DoubleSwap, ISSUER, Some(swaps[1]))];
    assert_eq!(rows(&report), expected);
}

#[test]
fn draw_logged_twice() {
    let mut again = None;
    let (published, report) = tampered(|draft| {
        let leaf =
            issuer_event(draft, 1, |leaf| matches!(leaf, IssuerLeaf::Draw(leaf) if leaf.keys.len() == 2)).clone();
        batches(&mut draft.issuer).swap_remove(2).push(leaf.clone());
        again = Some(leaf);
    });
    let draws = positions(&published.issuer, |leaf: &IssuerLeaf| Some(leaf) == again.as_ref());
    let rows = rows(&report);
    assert!(rows.contains(&(Check::SerialReused, ISSUER, Some(draws[1]))));
    assert!(rows.contains(&(Check::SessionReused, ISSUER, Some(draws[1]))));
}

/// Two credentials with one `e`: their holder could combine them into any attribute value.
#[test]
fn one_e_for_two_credentials() {
    let (published, report) = tampered(|draft| {
        let events = batches(&mut draft.issuer).swap_remove(1);
        let mut shows = events.iter_mut().filter(|leaf| is_roll_over(leaf));
        let (Some(one), Some(two)) = (shows.next(), shows.next()) else { panic!("two roll-overs") };
        reuse_e(two, one);
    });
    let rows = rows(&report);
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [Check::RollOverInvalid, Check::EReused]);
    let shows = positions(&published.issuer, is_roll_over);
    assert!(rows.iter().all(|row| row.1 == ISSUER && shows.contains(&row.2.unwrap())));
}

/// A ghost: it rolls over and draws with true proofs, and was never enrolled in the log.
#[test]
fn household_from_nowhere() {
    let (published, report) = tampered(|draft| {
        // The first household: 4 members, one child.
        batches(&mut draft.issuer).swap_remove(0).remove(0);
    });
    let last = positions(&published.issuer, is_roll_over);
    let rows = rows(&report);
    let first = rows.iter().find(|row| row.0 == Check::RollOversPastEnrolled).unwrap();
    assert!(first.1 == ISSUER && last.contains(&first.2.unwrap()));
    let past: Vec<_> = report.findings.iter().filter(|finding| finding.check == Check::DrawnPastGranted).collect();
    let units = |round, line| {
        past.iter().find(|one| (one.round, one.line) == (Some(Round(round)), Some(line))).map(|one| one.units)
    };
    // Food: 12 drawn, 2 + 6 + 1 granted. Cash: 90 drawn, 30 + 6 * 9 granted.
    assert_eq!(units(1, FOOD), Some(Units(3)));
    assert_eq!(units(1, CASH), Some(Units(6)));
    assert!(past.iter().all(|finding| finding.party == ISSUER));
    assert_eq!(rows.len(), past.len() + 1);
}

#[test]
fn openings() {
    let freezes = freezes(&STORY.draft.publish(&STORY, &mut rng()));
    let [first, second, third] = [freezes[0], freezes[1], freezes[2]].map(Some);
    let with = |edit: fn(&mut crate::log::leaf::FreezeLeaf)| rows(&tampered(|draft| draft.freeze = Some(edit)).1);
    // Another count; the members are bounded by the maximum then.
    let found = with(|freeze| freeze.openings.iter_mut().for_each(|opening| opening.count += 1));
    assert_eq!(found, [(Check::OpeningCount, ISSUER, first), (Check::OpeningCount, ISSUER, second)]);
    // More than was granted, or less.
    let found = with(|freeze| freeze.openings.iter_mut().for_each(|opening| opening.forms[0].1 += 1));
    assert_eq!(found, [(Check::OpeningInvalid, ISSUER, first), (Check::OpeningInvalid, ISSUER, second)]);
    let found = with(|freeze| freeze.openings.iter_mut().for_each(|opening| opening.states[2] -= 1));
    assert_eq!(found, [(Check::OpeningInvalid, ISSUER, first), (Check::OpeningInvalid, ISSUER, second)]);
    // A member left out by the range, so that the rest could be told apart.
    let found = with(|freeze| freeze.openings.iter_mut().for_each(|opening| opening.from += 1));
    let expected = [
        (Check::OpeningRange, ISSUER, first),
        (Check::OpeningRange, ISSUER, second),
        (Check::ClassUnopened, ISSUER, first),
        (Check::ClassUnopened, ISSUER, second),
        (Check::ClassUnopened, ISSUER, second),
        (Check::ClassUnopened, ISSUER, third),
        (Check::ClassUnopened, ISSUER, third),
    ];
    assert_eq!(found, expected);
    // A class kept closed, to hide what was granted.
    let found = with(|freeze| freeze.openings.retain(|opening| !opening.class.amend));
    let expected = [(Check::ClassUnopened, ISSUER, second), (Check::ClassUnopened, ISSUER, third)];
    assert_eq!(found, expected);
}

/// A cohort below the manifest's minimum says too much about its members.
#[test]
fn cohort_too_small() {
    let fixture = &STORY.fixture;
    let mut next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    next.policy.cohort_min = 3;
    let next = sign_header(next, &fixture.officers);
    let (published, report) = tampered(|draft| draft.issuer.insert(2, Block::Control(IssuerLeaf::Manifest(next))));
    let freezes = freezes(&published);
    // The first cohort has four members; its opening binds the version before, which is found too.
    let expected =
        [(Check::CohortTooSmall, ISSUER, Some(freezes[1])), (Check::OpeningInvalid, ISSUER, Some(freezes[0]))];
    assert_eq!(rows(&report), expected);
}

/// Issuer and household together: a hundred members where the schema allows fifteen. All proofs hold.
#[test]
fn attributes_beyond_the_schema() {
    let mut rng = ChaCha20Rng::seed_from_u64(77);
    let mut story = Story::new(&mut rng);
    enrol_as(&mut story, 3, 12, &[100, 0], &mut rng);
    let published = story.draft.publish(&story, &mut rng);
    let report = audit(story.fixture.programme.id(), &published, &mut rng, &|_| {});
    let freeze = freezes(&published)[0];
    assert_eq!(rows(&report), [(Check::OpeningBeyondSchema, ISSUER, Some(freeze))]);
}
