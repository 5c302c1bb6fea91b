//! What an agency's headquarters and a distribution site run.
//!
//! [`store`] keeps everything in one SQLite file with group commit; [`service`] answers requests on top of it; [`server`] brings
//! them over HTTP; [`publisher`] signs and publishes the logs. [`caseload`] and [`authoring`] are the issuer's office.
#![forbid(unsafe_code)]

pub mod authoring;
pub mod caseload;
mod faults;
pub mod home;
pub mod keys;
pub mod officers;
pub mod publisher;
pub mod random;
pub mod runner;
pub mod server;
pub mod service;
pub mod slips;
pub mod store;
pub mod sync;
pub mod tickets;
pub mod witness;
