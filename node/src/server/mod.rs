//! The issuer's and a site's HTTP servers, around [`crate::service`].
//!
//! [`issuer::run`] and [`site::run`] start one; [`Running`] is what they give. Every request passes the same edge: rates, a bound
//! on what is worked on and what waits, limits of size and time, one place for refusals ([`problem`]). There is no access log.

mod app;
pub mod config;
mod drain;
mod files;
pub mod issuer;
mod limits;
mod metrics;
mod openapi;
pub mod operators;
pub mod problem;
mod serve;
pub mod site;
pub mod telemetry;
mod tls;

pub use config::Config;
pub use serve::{Running, ServeError};
pub use tls::TlsError;
