//! Between sites and headquarters: logs go up, announcements, opening packs and cosigned checkpoints come down (spec 8.4).
//!
//! The same two steps over a connection or by a memory stick: [`headquarters::Headquarters`] is what a site sees of headquarters,
//! [`stick`] carries it in files. A package says whose log it is and which range it holds, and proves itself by the log's signed
//! checkpoint: it may come late, twice, out of order, or half written.

pub mod desk;
mod folder;
pub mod headquarters;
mod mirror;
mod package;
pub mod site;
pub mod stick;

pub use mirror::{Mirror, MirrorError, Received};
pub(crate) use package::MAX_BYTES;
pub use package::{Package, PackageError};
