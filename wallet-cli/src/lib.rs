//! What a beneficiary holds: a credential, vouchers, receipts, and every request that has not been answered yet.
//!
//! [`Wallet`] is a state machine without I/O. An operation changes the state and leaves a message to send; the caller makes the
//! state durable ([`Wallet::encode`]), sends what [`Wallet::outgoing`] gives, and hands the answer to [`Wallet::absorb`] or the
//! refusal to [`Wallet::refused`]. Killed anywhere in between, the decoded state sends the same bytes again.
//!
//! ```text
//! prepare --> encode, make durable --> outgoing --> send --> absorb | refused --> encode, make durable
//!                   ^                                 |
//!                   +---------- lost: same bytes -----+
//! ```
//!
//! Nothing is given up before its answer verifies: a show's contexts until one answer does, vouchers until their receipts do
//! (spec 5.4, 7.3, 8.3). [`Agent`] runs this over a [`Link`] with retries; [`HttpLink`] is the link to real servers.
#![forbid(unsafe_code)]

mod agent;
mod backoff;
mod error;
mod http;
mod logs;
mod omission;
mod outgoing;
mod pace;
mod parcel;
mod phrase;
mod plan;
mod receipts;
mod recovery;
mod restore;
mod secret;
mod show;
mod singles;
mod swap;
mod visit;
mod wallet;

pub use agent::{Agent, AgentError, Link, LinkError, Persist, Resumed};
pub use backoff::Backoff;
pub use error::WalletError;
pub use http::HttpLink;
pub use logs::{Drawn, Kept, LogError, WholeLog, covering, made_up};
pub use outgoing::{Endpoint, Event, Handover, Next, Outgoing, Refusal, Task};
pub use pace::Pace;
pub use parcel::{Medium, Parcel};
pub use phrase::{Phrase, PhraseError};
pub use plan::most_drawn;
pub use recovery::SEALED_MESSAGES;
pub use restore::{RestoreError, Restored};
pub use singles::{MOST_SINGLES, Manner, Singles, common_value, plan_singles};
pub use visit::Choice;
pub use wallet::{Wallet, WalletFileError};
