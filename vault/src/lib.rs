//! Secrets at rest, under a passphrase.
//!
//! A **secret file** ([`write_secret`], [`read_secret`]) is written once: a server's keys. A **vault** ([`Vault`]) is a state that is
//! saved again and again: a wallet's. Both are age files inside, appear whole or not at all, and are readable by their owner only.
//! scrypt makes a passphrase dear to guess, for whoever has the file as for its owner: see [`Vault`] for what a PIN is worth.
#![forbid(unsafe_code)]

mod faults;
mod files;
mod lock;
mod passphrase;
mod secret;
#[cfg(test)]
mod tests;
mod vault;

pub use files::{erase, write_new, write_new_with, write_same};
pub use lock::{Lock, LockError};
pub use passphrase::{
    MIN_PASSPHRASE_CHARACTERS, NEW_PASSPHRASE_VARIABLE, PASSPHRASE_VARIABLE, Passphrase, PassphraseError,
    PassphraseSource, Questions, new_passphrase, new_passphrase_by, passphrase, passphrase_by, without_passphrase,
};
pub use secret::{KeyFileError, MAX_SECRET_BYTES, MAX_WORK_FACTOR, WORK_FACTOR, read_secret, write_secret};
pub use vault::{MAX_STATE_BYTES, Resting, VAULT_WORK_FACTOR, Vault, VaultError};
