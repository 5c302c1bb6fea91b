//! What an agency's headquarters and a distribution site run.
//!
//! So far: [`caseload`] reads an agency's registration export, [`ticket_code`] prints and reads the codes on the paper
//! tickets that households enrol with. No server yet.
#![forbid(unsafe_code)]

pub mod caseload;
pub mod ticket_code;
