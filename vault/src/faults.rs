//! Crashes on purpose, for tests of builds with debug assertions; nothing at all in a release build.
//!
//! `ANNONA_FAULT=<point>` or `<point>:<n>` names where: the process kills itself there (at the n-th time), as a power cut would.

/// Before a vault's new content is written.
pub(crate) const SAVE: &str = "vault-save";
/// After it is on the disk, before it has the vault's name.
pub(crate) const RENAME: &str = "vault-rename";
/// After it has the name.
pub(crate) const SAVED: &str = "vault-saved";

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

    pub(crate) fn at(point: &str) {
        if fault().is_some_and(|fault| fault.point == point && fault.left.fetch_sub(1, Ordering::Relaxed) == 1) {
            std::process::abort();
        }
    }
}

#[cfg(not(debug_assertions))]
mod enabled {
    #[inline(always)]
    pub(crate) fn at(_point: &str) {}
}

pub(crate) use enabled::at;
