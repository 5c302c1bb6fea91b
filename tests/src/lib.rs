//! What the tests and the fuzz targets share: valid samples of every message, and the body of every fuzz target; and the
//! generator of the test vectors.
//!
//! Links the protocol with `hazmat`: nothing that is shipped may depend on this crate.

pub mod fields;
pub mod fuzzing;
pub mod json;
pub mod kinds;
pub mod life;
pub mod page;
pub mod samples;
pub mod vectors;
