//! What the tests and the fuzz targets share: valid samples of every message, and the body of every fuzz target.
//!
//! Links the protocol with `hazmat`: nothing that is shipped may depend on this crate.

pub mod fields;
pub mod fuzzing;
pub mod json;
pub mod samples;
