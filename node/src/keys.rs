//! Secrets at rest: files encrypted under a passphrase, and where the passphrase comes from.

pub use annona_vault::{
    KeyFileError, MAX_SECRET_BYTES, MAX_WORK_FACTOR, MIN_PASSPHRASE_CHARACTERS, PASSPHRASE_VARIABLE, Passphrase,
    PassphraseError, PassphraseSource, WORK_FACTOR, erase, new_passphrase, passphrase, read_secret, without_passphrase,
    write_new, write_new_with, write_secret,
};
