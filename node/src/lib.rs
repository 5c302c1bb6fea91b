//! What an agency's headquarters and a distribution site run.
//!
//! [`store`] keeps everything in one SQLite file with group commit; [`service`] answers requests on top of it. [`caseload`] and
//! [`authoring`] are the issuer's office. [`issuer`], [`site`] and [`publish`] are the same parties in memory, for tests.
#![forbid(unsafe_code)]

pub mod authoring;
pub mod caseload;
mod faults;
pub mod issuer;
pub mod publish;
pub mod publisher;
pub mod random;
pub mod service;
pub mod site;
pub mod store;
pub mod witness;
