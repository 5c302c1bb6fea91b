//! The mutation test of the audit: a true published folder, cheated with in every way that is known, by the real program.
//!
//! Whoever cheats signs what he can sign: a dishonest issuer or site logs are consistent, so that only the cheat itself can
//! give it away. Each manipulation says all findings that it leads to, with party, log, leaf, round, line, units and voucher;
//! one more or one less fails. `spec/audit.md`, 8, lists them, and what no audit catches.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod control;
mod files;
mod form;
mod freezes;
mod harness;
mod histories;
mod issuer;
mod slips;
mod uncaught;
mod vouchers;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::catch_unwind,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use annona_protocol::audit::Check;
use harness::{Caught, Folder, Manipulation, truth};
use uncaught::Uncaught;

/// All manipulations, in the order of the page.
fn all() -> Vec<&'static Manipulation> {
    [files::ALL, form::ALL, control::ALL, freezes::ALL, issuer::ALL, vouchers::ALL, slips::ALL, histories::ALL]
        .into_iter()
        .flatten()
        .collect()
}

/// What caught each of them, or what was not as expected.
static CAUGHT: LazyLock<Vec<Result<Caught, String>>> = LazyLock::new(|| {
    let (all, next) = (all(), AtomicUsize::new(0));
    let caught = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((at, manipulation)) = numbered(&all, &next) {
            let result = catch_unwind(manipulation.run).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("{}: {}", manipulation.name, text.unwrap_or("no message"))
            });
            caught.lock().unwrap().insert(at, result);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    caught.into_inner().unwrap().into_values().collect()
});

/// The next manipulation, and its number.
fn numbered<'a>(all: &[&'a Manipulation], next: &AtomicUsize) -> Option<(usize, &'a Manipulation)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((at, all.get(at)?))
}

/// Checks that no manipulation of a folder reaches by the program, with the reason.
const UNREACHED: &[(Check, &str)] = &[(
    Check::LogSize,
    "the program reads as many entries as the checkpoint says; with fewer the folder is refused, status 2",
)];

/// The page, as far as it is held against this test.
const PAGE: &str = include_str!("../../../spec/audit.md");

/// The table below a heading of the page.
fn table(heading: &str) -> Vec<&'static str> {
    let section = PAGE.split(heading).nth(1).expect("the heading").split("\n##").next().unwrap();
    section.lines().filter(|line| line.starts_with("| `")).collect()
}

fn row(manipulation: &Manipulation, caught: &Caught) -> String {
    let list = |checks: &[Check]| {
        let each = checks.iter().map(|check| format!("`{}` {}", check.code(), check.number()));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut by = format!("{}{}", list(&caught.checks), caught.other);
    if !caught.follows.is_empty() {
        by = format!("{by}; then {}", list(&caught.follows));
    }
    let parties = caught.parties.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let named =
        if parties.is_empty() { manipulation.named.into() } else { format!("{parties}: {}", manipulation.named) };
    format!("| `{}` | {} | {by} | {named} |", manipulation.name, manipulation.how)
}

/// The rows of a table are these.
fn assert_table(heading: &str, rows: &[String]) {
    let page = table(heading);
    let wrong: Vec<_> = rows.iter().zip(&page).filter(|(row, page)| row != page).map(|(row, _)| row.as_str()).collect();
    assert!(wrong.is_empty() && rows.len() == page.len(), "{heading} is to have:\n{}", rows.join("\n"));
}

#[test]
fn the_true_folder_verifies() {
    Folder::of(truth()).assert_verified();
}

#[test]
fn every_manipulation_is_caught() {
    let missed: Vec<_> = CAUGHT.iter().filter_map(|caught| caught.as_ref().err()).map(String::as_str).collect();
    assert!(missed.is_empty() && CAUGHT.len() == all().len(), "not as expected:\n{}", missed.join("\n"));
}

/// The page lists every manipulation, with what caught it and whom that named.
#[test]
fn the_page_lists_them() {
    let rows: Vec<_> =
        all().into_iter().zip(&*CAUGHT).filter_map(|(one, caught)| Some(row(one, caught.as_ref().ok()?))).collect();
    assert_table("### 8.2 ", &rows);
    let names: BTreeSet<_> = all().iter().map(|one| one.name).chain(uncaught::ALL.iter().map(|one| one.name)).collect();
    assert_eq!(names.len(), all().len() + uncaught::ALL.len(), "names are distinct");
    assert!(all().len() >= 50, "{}", all().len());
}

/// Every check names some manipulation, or it is said why none can.
#[test]
fn every_check_is_reached() {
    let reached: BTreeSet<_> = CAUGHT.iter().flatten().flat_map(|caught| caught.checks.iter().copied()).collect();
    let unreached: Vec<_> = Check::ALL.iter().copied().filter(|check| !reached.contains(check)).collect();
    assert_eq!(unreached, UNREACHED.iter().map(|(check, _)| *check).collect::<Vec<_>>());
    for (check, why) in UNREACHED {
        assert!(PAGE.contains(&format!("`{}` {}: {why}.", check.code(), check.number())), "{check}");
    }
}

/// No cheat of a site's is held against the issuer or the other site, and none of the issuer's against a site. What a server alters
/// looks like the deed of whoever signs such files.
#[test]
fn nobody_else_is_accused() {
    let mut judged = 0;
    for (one, caught) in all().into_iter().zip(CAUGHT.iter().flatten()) {
        let accused: Vec<&str> =
            caught.accused.iter().map(String::as_str).filter(|party| *party != "voucher").collect();
        let is_just = match one.how.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["A", "site"] => matches!(accused[..], ["site-1" | "site-2"]),
            // A server that may be the issuer's.
            ["An", "issuer" | "agency"] | ["Officers", _] | ["A", "server,"] => accused == ["issuer"],
            ["A", "server" | "stranger"] => continue,
            _ => panic!("who cheats in {}?", one.name),
        };
        assert!(is_just, "{}: {accused:?}", one.name);
        judged += 1;
    }
    assert!(judged >= 50, "{judged}");
}

/// What the page says cannot be caught verifies.
#[test]
fn what_cannot_be_caught_verifies() {
    let caught: Vec<_> =
        uncaught::ALL.iter().filter(|one| catch_unwind(one.run).is_err()).map(|one| one.name).collect();
    assert!(caught.is_empty(), "these do not verify: {caught:?}");
    let row = |one: &Uncaught| format!("| `{}` | {} | {} | {} |", one.name, one.how, one.why, one.seen);
    assert_table("### 8.3 ", &uncaught::ALL.iter().map(row).collect::<Vec<_>>());
}
