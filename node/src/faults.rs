//! Crashes and failures on purpose, for tests of builds with debug assertions; nothing at all in a release build.
//!
//! `ANNONA_FAULT=<point>` or `<point>:<n>` names where: the process kills itself there (at the n-th time), as a power cut
//! would. The point `commit-unknown` makes a commit that succeeded look like one that failed, `commit-lost` the other way
//! round is not needed: a full disk does it.

#[cfg(debug_assertions)]
mod enabled {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    struct Fault {
        point: String,
        left: AtomicU64,
    }

    fn fault() -> Option<&'static Fault> {
        static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
        FAULT
            .get_or_init(|| {
                let text = std::env::var("ANNONA_FAULT").ok()?;
                let (point, count) = text.split_once(':').unwrap_or((&text, "1"));
                Some(Fault { point: point.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
            })
            .as_ref()
    }

    fn due(point: &str) -> bool {
        fault().is_some_and(|fault| fault.point == point && fault.left.fetch_sub(1, Ordering::Relaxed) == 1)
    }

    pub(crate) fn at(point: &str) {
        if due(point) {
            std::process::abort();
        }
    }

    pub(crate) fn commit_outcome(outcome: rusqlite::Result<()>) -> rusqlite::Result<()> {
        let failed = || rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        outcome?;
        if due("commit-unknown") { Err(rusqlite::Error::SqliteFailure(failed(), None)) } else { Ok(()) }
    }
}

#[cfg(not(debug_assertions))]
mod enabled {
    #[inline(always)]
    pub(crate) fn at(_point: &str) {}

    #[inline(always)]
    pub(crate) fn commit_outcome(outcome: rusqlite::Result<()>) -> rusqlite::Result<()> {
        outcome
    }
}

pub(crate) use enabled::{at, commit_outcome};
