//! What an agency's headquarters and a distribution site run.
//!
//! So far in memory and in one process, behind the same messages that servers will carry: [`caseload`] reads an agency's
//! registration export, [`authoring`] makes a programme of it, [`issuer`] and [`site`] answer requests, [`publish`] writes what
//! anyone may audit. No server and no durable storage yet: nothing here survives its process.
#![forbid(unsafe_code)]

pub mod authoring;
pub mod caseload;
pub mod issuer;
pub mod keys;
pub mod officers;
pub mod publish;
pub mod site;
pub mod slips;
pub mod tickets;
