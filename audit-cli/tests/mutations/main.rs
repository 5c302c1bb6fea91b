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
mod issuer;
mod slips;
mod vouchers;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use harness::{Caught, Folder, Manipulation, truth};

/// All manipulations, in the order of the page.
fn all() -> Vec<&'static Manipulation> {
    [files::ALL, form::ALL, control::ALL, freezes::ALL, issuer::ALL, vouchers::ALL, slips::ALL].into_iter().flatten().collect()
}

/// What caught each of them; none if the expectation of it failed.
static CAUGHT: LazyLock<Vec<Option<Caught>>> = LazyLock::new(|| {
    let (all, next) = (all(), AtomicUsize::new(0));
    let caught: Mutex<Vec<Option<Caught>>> = Mutex::new(all.iter().map(|_| None).collect());
    let work = || {
        while let Some((at, manipulation)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, all.get(at)?))) {
            // The panic's message is printed where it happens.
            match catch_unwind(AssertUnwindSafe(manipulation.run)) {
                Ok(found) => caught.lock().unwrap()[at] = Some(found),
                Err(_) => println!("^ {}", manipulation.name),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    caught.into_inner().unwrap()
});

#[test]
fn the_true_folder_verifies() {
    Folder::of(truth()).assert_verified();
}

#[test]
fn every_manipulation_is_caught() {
    let missed: Vec<_> = all().iter().zip(&*CAUGHT).filter(|(_, caught)| caught.is_none()).map(|(one, _)| one.name).collect();
    assert!(missed.is_empty(), "not as expected: {missed:?}");
}
