//! Reads what a programme published, and prints what an audit says of it.
//!
//! ```text
//! logs/issuer/{checkpoint, tile/...}       the issuer's log, as C2SP tlog-tiles
//! logs/site-<id>/{checkpoint, tile/...}    a site's log; a later log of the same site in logs/site-<id>.<n>
//! keys.bin                                 the key list, as `annona_protocol::audit::keys_to_bytes` writes it
//! packs/*.bin                              opening packs; those of a mirror's .mirror/packs too
//! surrendered/*.bin                        surrendered vouchers; may be absent
//! ```
//!
//! All checks are in `annona_protocol::audit`; this crate reads files and writes text. It never links the node.
//!
//! [`mirror`], [`mod@compare`] and [`watch`] get what is read, [`slips`] holds receipts against it. [`witness`] is the other half of a donor's
//! work: it cosigns the checkpoints of logs that only ever grow.
#![forbid(unsafe_code)]

pub mod chain;
pub mod compare;
pub mod evidence;
mod load;
pub mod mirror;
pub mod print;
pub mod report;
pub mod slips;
mod verify;
pub mod watch;
pub mod witness;

pub use load::{LoadError, load};
pub use verify::{CacheError, CacheOptions, Options, VerifyError, default_key, verify_folder};
