//! A true story passes with the right totals; every manipulation of it is found, by name, leaf and party.
//!
//! Manipulators sign consistent logs of what they made up, so that only the manipulation itself can give them away. Tests name
//! *all* findings: a check that also fires elsewhere would show.

mod fairness;
mod issuer;
mod logs;
mod receipts;
mod sites;
mod stream;

use std::sync::LazyLock;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{forge::*, testing::*, *};
use crate::{
    fixture::{CASH, FOOD, INFANT, SITE, SLOTTED},
    ids::{LineId, Round},
    log::leaf::{IssuerLeaf, Leaf, SiteLeaf},
};

static STORY: LazyLock<Story> = LazyLock::new(|| Story::new(&mut ChaCha20Rng::seed_from_u64(11)));

const NORTH: Party = Party::Site(SITE);
const RIVER: Party = Party::Site(SLOTTED);
const ISSUER: Party = Party::Issuer;

/// A finding, as far as tests compare it.
type Row = (Check, Party, Option<u64>);

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(12)
}

fn run(published: &Published) -> Report {
    audit(STORY.fixture.programme.id(), published, &mut rng(), &|_| {})
}

fn rows(report: &Report) -> Vec<Row> {
    let mut rows: Vec<Row> =
        report.findings.iter().map(|finding| (finding.check, finding.party, finding.leaf)).collect();
    rows.sort_unstable();
    rows
}

/// Publishes an edited story, and audits it.
fn tampered(edit: impl FnOnce(&mut Draft)) -> (Published, Report) {
    let mut draft = STORY.draft.clone();
    edit(&mut draft);
    let published = draft.publish(&STORY, &mut rng());
    let report = run(&published);
    (published, report)
}

/// Publishes the story, edits what is published, and audits it.
fn republished(edit: impl FnOnce(&mut Published)) -> (Published, Report) {
    let mut published = STORY.draft.publish(&STORY, &mut rng());
    edit(&mut published);
    let report = run(&published);
    (published, report)
}

/// The one position of a leaf of the issuer's log.
fn issued(published: &Published, leaf: &IssuerLeaf) -> Option<u64> {
    let found = positions(&published.issuer, |known: &IssuerLeaf| known == leaf);
    assert_eq!(found.len(), 1);
    found.first().copied()
}

/// The positions of a leaf in a site's log.
fn logged(published: &Published, site: usize, leaf: &SiteLeaf) -> Vec<u64> {
    positions(&published.sites[site].1, |known: &SiteLeaf| known == leaf)
}

/// Signs a published log again, as its owner would.
fn sign_again(published: &mut Published) {
    scramble::sign_again(&STORY, published);
}

#[test]
fn the_true_story_passes() {
    let (published, report) = tampered(|_| {});
    assert_eq!(report.findings, []);
    let verified = report.verified().unwrap();
    let totals = verified.totals();
    assert_eq!(totals.redeemed().collect::<Vec<_>>(), Story::redeemed());
    let leaves =
        published.issuer.entries.len() + published.sites[0].1.entries.len() + published.sites[1].1.entries.len();
    assert_eq!(verified.leaves(), leaves as u64);
    assert_eq!((totals.enrolments, totals.amends), (5, 2));
    // One late household is alone in its class.
    let alone = matches!(verified.notes(), [Note::BoundByMaximum { class, count: 1 }] if class.drawn == Round(2));
    assert!(alone, "{:?}", verified.notes());

    let drawn = |round, line: LineId| totals.drawn[&(Round(round), line)];
    let row =
        |drawn, bounded, granted| DrawnTotals { drawn: Units(drawn), bounded: Units(bounded), granted: Units(granted) };
    // 4 + 2 + 6 + 1 members; one child, none, two, none.
    assert_eq!(drawn(1, FOOD), row(12, 12, 13));
    assert_eq!(drawn(1, INFANT), row(1, 1, 3));
    // 10 a household and 6 a member: 40 + 6 * 13.
    assert_eq!(drawn(1, CASH), row(90, 90, 118));
    // The old grants of two amended households still count; the late one counts with 15 members: 13 + 9 + 15.
    assert_eq!(drawn(2, FOOD), row(9, 9, 37));
    assert_eq!(drawn(2, INFANT), row(1, 1, 3 + 3));
    // 2 * 118, 20 + 6 * 9, 5 + 3 * 15.
    assert_eq!(drawn(2, CASH), row(64, 154, 236 + 74 + 50));

    let site = |round, site, line| totals.sites[&(Round(round), site, line)];
    let cash = site(1, SITE, CASH);
    assert_eq!((cash.voided, cash.owed, cash.collected), (Units(10), Units(5), Units(0)));
    assert_eq!(site(2, SITE, CASH).collected, Units(5));
    assert_eq!(totals.swapped[&(Round(1), FOOD)], Units(2));
    let sum = |column: fn(&KeyTotals) -> u64| totals.vouchers.values().map(column).sum::<u64>();
    assert_eq!([sum(|key| key.swapped_in), sum(|key| key.swapped_out), sum(|key| key.surrendered)], [1, 1, 1]);
    assert_eq!(sum(|key| key.drawn), sum(|key| key.redeemed) + sum(|key| key.surrendered));
    assert_eq!(sum(|key| key.voided), 1);
}

#[test]
fn progress_ends_at_the_total() {
    let published = STORY.draft.publish(&STORY, &mut rng());
    let most = std::sync::Mutex::new((0, 0));
    let report = audit(STORY.fixture.programme.id(), &published, &mut rng(), &|progress| {
        let mut most = most.lock().unwrap();
        *most = (most.0.max(progress.done), progress.total);
    });
    assert_eq!(most.into_inner().unwrap(), (report.leaves, report.leaves));
}

#[test]
fn keys_round_trip_and_are_strict() {
    let keys = STORY.fixture.programme.keys();
    let bytes = keys_to_bytes(keys);
    assert_eq!(keys_from_bytes(&bytes).unwrap(), keys);
    assert_eq!(keys_from_bytes(&bytes[..bytes.len() - 1]), Err(KeysError::Truncated { index: keys.len() - 1 }));
    let mut longer = bytes.clone();
    longer[1] += 1;
    assert!(matches!(keys_from_bytes(&longer), Err(KeysError::Entry { index: 0, .. })));
}

#[test]
fn findings_are_one_line() {
    let (_, report) = republished(|published| published.packs.clear());
    for finding in &report.findings {
        let line = finding.to_string();
        assert!(line.starts_with("pack-missing [9.2.13] issuer annona.example/issuer leaf "), "{line}");
        assert!(!line.contains('\n'));
    }
    assert_eq!(report.findings.len(), 4);
}
