//! Privacy-preserving distribution of humanitarian aid: the Annona protocol.
#![forbid(unsafe_code)]

pub mod group;
pub mod ids;
pub mod log;
pub mod range;
pub mod registry;
pub mod secret;
pub mod transcript;
pub mod wire;
