//! Chunks of any size find the same; a log that changes while it is read is no audit; what is remembered is worth nothing else.

use std::{
    borrow::Cow,
    collections::HashMap,
    convert::Infallible,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;

use super::{
    super::scramble::{Change, sign_again},
    *,
};

fn published() -> Published {
    STORY.draft.publish(&STORY, &mut rng())
}

/// Audits with chunks of these widths, and a memory.
fn streamed<W: Workspace<Error = Infallible>>(published: &Published, chunks: Chunks, workspace: &W) -> Report {
    let programme = STORY.fixture.programme.id();
    audit_streamed(programme, published, workspace, chunks, &mut rng(), &|_| {}).unwrap()
}

fn chunks(hashes: u64, issuer: u64, site: u64) -> Chunks {
    Chunks { hashes, issuer, site, waiting: 1 }
}

/// Remembers in memory. Tests lie to it.
#[derive(Default)]
struct Notebook(Mutex<HashMap<(String, u64), Vec<u8>>>, Mutex<Vec<(String, u64)>>);

impl Workspace for Notebook {
    type Error = Infallible;
    type Sorter<const N: usize> = Vec<[u8; N]>;

    fn sorter<const N: usize>(&self) -> Vec<[u8; N]> {
        Vec::new()
    }

    fn remembers(&self) -> bool {
        true
    }

    fn recall(&self, log: &str, chunk: u64, statement: &[u8]) -> Recall {
        let known = self.0.lock().unwrap();
        let held = known.get(&(log.to_owned(), chunk)).is_some_and(|known| known == statement);
        if held { Recall::Held } else { Recall::Unknown }
    }

    fn keep(&self, log: &str, chunk: u64, statement: &[u8]) {
        self.0.lock().unwrap().insert((log.to_owned(), chunk), statement.to_vec());
        self.1.lock().unwrap().push((log.to_owned(), chunk));
    }
}

/// What was recalled and what was verified.
fn counts(report: &Report) -> (u64, u64) {
    let mut counted = report.notes.iter().filter_map(|note| match note {
        Note::Remembered { recalled, verified } => Some((*recalled, *verified)),
        _ => None,
    });
    counted.next_back().unwrap()
}

/// The report without what is said of memory.
fn without_memory(mut report: Report) -> Report {
    report.notes.retain(|note| !matches!(note, Note::Remembered { .. }));
    report
}

#[test]
fn chunks_of_any_width_find_the_same() {
    let published = published();
    let expected = run(&published);
    let leaves = expected.leaves;
    for width in (0..7).flat_map(|k| [(1u64 << k) - 1, 1 << k, (1 << k) + 1]).chain([leaves, u64::MAX]) {
        assert_eq!(streamed(&published, chunks(width, width, width), &InMemory), expected, "{width}");
    }
}

fn change() -> impl Strategy<Value = Change> {
    any::<(u8, u16, u8, u16)>().prop_map(|(log, leaf, how, other)| Change { log, leaf, how, other })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Findings, notes and totals do not depend on how a log is cut, nor on what was remembered of a true one.
    #[test]
    fn random_changes_are_found_alike(
        changes in prop::collection::vec(change(), 1..4), signed: bool, widths in (1u64..6, 1u64..6, 1u64..6),
    ) {
        let mut published = published();
        let notebook = Notebook::default();
        let widths = chunks(widths.0, widths.1, widths.2);
        drop(streamed(&published, widths, &notebook));
        changes.iter().for_each(|change| change.apply(&mut published));
        if signed {
            sign_again(&STORY, &mut published);
        }
        let expected = run(&published);
        prop_assert_eq!(&streamed(&published, widths, &InMemory), &expected);
        prop_assert_eq!(&without_memory(streamed(&published, widths, &notebook)), &expected);
        // Once more, with what was remembered of the changed one.
        prop_assert_eq!(&without_memory(streamed(&published, widths, &notebook)), &expected);
    }
}

#[test]
fn what_was_proven_is_not_verified_again() {
    let (published, notebook) = (published(), Notebook::default());
    let widths = chunks(4, 4, 4);
    let first = streamed(&published, widths, &notebook);
    let (recalled, verified) = counts(&first);
    assert!(recalled == 0 && verified > 20, "{verified}");
    let second = streamed(&published, widths, &notebook);
    assert_eq!(counts(&second), (verified, 0));
    assert_eq!(without_memory(second), without_memory(first));
}

/// A log that grew: only its tail is verified.
#[test]
fn only_the_tail_of_a_longer_log_is_verified() {
    let (mut published, notebook) = (published(), Notebook::default());
    let widths = chunks(4, 4, 4);
    let entries = published.sites[0].1.entries.clone();
    let cut =
        positions(&published.sites[0].1, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Statement(_)))[0] as usize + 1;
    published.sites[0].1.entries.truncate(cut);
    sign_again(&STORY, &mut published);
    let (_, before) = counts(&streamed(&published, widths, &notebook));
    notebook.1.lock().unwrap().clear();
    published.sites[0].1.entries = entries;
    sign_again(&STORY, &mut published);
    let report = streamed(&published, widths, &notebook);
    let (recalled, verified) = counts(&report);
    assert!(recalled > 0 && recalled <= before && verified > 0, "{recalled} {verified}");
    let name = &published.sites[0].1.name;
    let again = notebook.1.lock().unwrap().clone();
    assert!(!again.is_empty() && again.iter().all(|(log, chunk)| log == name && *chunk >= cut as u64 / 4), "{again:?}");
    assert_eq!(report.findings, []);
}

/// A chunk with a false proof is never remembered, whatever its neighbours are.
#[test]
fn a_false_leaf_is_found_every_time() {
    let mut draft = STORY.draft.clone();
    let SiteLeaf::Voucher(leaf) = site_event(&mut draft, 1, 0, |leaf| matches!(leaf, SiteLeaf::Voucher(_))) else {
        panic!("a voucher")
    };
    leaf.voucher.shown.s.0 += crate::group::Scalar::ONE;
    let (published, notebook) = (draft.publish(&STORY, &mut rng()), Notebook::default());
    for _ in 0..3 {
        let report = streamed(&published, chunks(4, 4, 4), &notebook);
        assert_eq!(rows(&report).len(), 1);
        assert_eq!(rows(&report)[0].0, Check::VoucherInvalid);
    }
}

/// A log that is another one when it is read again.
struct Fickle {
    entries: Vec<Vec<u8>>,
    /// The reading from which on a bit of a leaf is flipped.
    from: usize,
    leaf: u64,
    readings: AtomicUsize,
}

impl Entries for Fickle {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [Vec<u8>]>, Infallible> {
        let mut read = self.entries[range.start as usize..range.end as usize].to_vec();
        if range.contains(&self.leaf) && self.readings.fetch_add(1, Ordering::Relaxed) >= self.from {
            read[(self.leaf - range.start) as usize][2] ^= 1;
        }
        Ok(Cow::Owned(read))
    }
}

#[test]
fn a_log_that_changes_while_it_is_read_is_named() {
    let published = published();
    // The genesis is read three times, every other leaf twice.
    for (log, leaf, from) in [(0, 0, 1), (0, 0, 2), (0, 9, 1), (1, 2, 1), (2, 0, 1)] {
        let fickle = |index: usize, known: &PublishedLog| {
            let from = if index == log { from } else { usize::MAX };
            let readings = AtomicUsize::new(0);
            let entries = Fickle { entries: known.entries.clone(), from, leaf, readings };
            PublishedLog { name: known.name.clone(), checkpoint: known.checkpoint.clone(), entries }
        };
        let streamed = Published {
            issuer: fickle(0, &published.issuer),
            sites: (1..).zip(&published.sites).map(|(index, (site, log))| (*site, fickle(index, log))).collect(),
            keys: published.keys.clone(),
            packs: published.packs.clone(),
            surrendered: published.surrendered.clone(),
        };
        let programme = STORY.fixture.programme.id();
        let name = [&published.issuer, &published.sites[0].1, &published.sites[1].1][log].name.clone();
        let audited = audit_streamed(programme, &streamed, &InMemory, Chunks::default(), &mut rng(), &|_| {});
        assert_eq!(audited, Err(AuditError::Changed { log: name }), "log {log} leaf {leaf}");
    }
}
