//! The test vectors: what goes in, and what comes out by the checks alone. `spec/vectors/README.md` describes the files.

pub mod check;

mod audits;
mod basics;
mod build;
mod logs;
mod messages;
mod programme;
mod shows;
mod vouchers;

pub use build::{Case, File, resolve};

use crate::life::World;

/// All files, the same each time.
pub fn files(world: &World) -> Vec<File> {
    let mut files = basics::files(world);
    files.extend(messages::files(world));
    files.extend(programme::files(world));
    files.extend(shows::files(world));
    files.extend(vouchers::files(world));
    files.extend(logs::files(world));
    files.push(audits::file(world));
    files
}
