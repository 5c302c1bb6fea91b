//! Recovery words: which slot seals which message (spec 10.1).

use std::collections::BTreeMap;

use annona_protocol::{ids::Round, recovery::RecoveryKeys, secret::SecretBytes, slots::Sealing};
use serde::{Deserialize, Serialize};

use crate::{Wallet, WalletError};

/// How many messages of a round recovery words bring back: a restore looks for so many, whether or not they were sent. Further
/// messages of a round are sealed at random, as those of a wallet without words.
pub const SEALED_MESSAGES: u32 = 8;

/// What an issuer says of a slot's id that it has.
pub(crate) const SLOT_TAKEN: &str = "slot-exists";

/// The words' seed, and how many messages of each round have used it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Recovery {
    seed: SecretBytes,
    used: BTreeMap<Round, u32>,
}

/// The keys and index of the next message, if it is sealed.
pub(crate) struct Seal(Option<(RecoveryKeys, u32)>);

impl Seal {
    pub(crate) fn sealing(&self) -> Sealing<'_> {
        self.0.as_ref().map_or(Sealing::Random, |(keys, index)| Sealing::Sealed { keys, index: *index })
    }
}

impl Wallet {
    /// Gives the wallet recovery words: the 32 bytes that they stand for. Only what is done from now on comes back.
    ///
    /// # Errors
    /// [`WalletError::HasWords`] if it has some.
    pub fn set_words(&mut self, seed: &[u8; 32]) -> Result<(), WalletError> {
        if self.recovery.is_some() {
            return Err(WalletError::HasWords);
        }
        self.recovery = Some(Recovery { seed: SecretBytes::new(*seed), used: BTreeMap::new() });
        Ok(())
    }

    /// Whether the wallet has recovery words.
    pub fn has_words(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether recovery words would bring a message of a round back that is not sent yet.
    pub(crate) fn covers_message(&self, round: Round, index: u32) -> bool {
        let used = |recovery: &Recovery| recovery.used.get(&round).copied().unwrap_or_default();
        self.recovery.as_ref().is_some_and(|recovery| (used(recovery)..SEALED_MESSAGES).contains(&index))
    }

    /// Whether recovery words would bring the next message of a round back.
    pub fn is_covered(&self, round: Round) -> bool {
        self.seal(round).0.is_some()
    }

    /// Whether messages of a round were made that recovery words do not bring back.
    pub fn is_beyond_words(&self, round: Round) -> bool {
        let used = self.recovery.as_ref().and_then(|recovery| recovery.used.get(&round));
        used.is_some_and(|used| *used > SEALED_MESSAGES)
    }

    pub(crate) fn recovery_keys(&self) -> Option<RecoveryKeys> {
        let recovery = self.recovery.as_ref()?;
        Some(RecoveryKeys::new(SecretBytes::new(*recovery.seed.expose()), self.programme))
    }

    /// How to seal the next message of a round.
    pub(crate) fn seal(&self, round: Round) -> Seal {
        let index = self.recovery.as_ref().and_then(|recovery| recovery.used.get(&round)).copied().unwrap_or_default();
        Seal(self.recovery_keys().filter(|_| index < SEALED_MESSAGES).map(|keys| (keys, index)))
    }

    /// The next message was made: its index is not used again, whatever becomes of it.
    pub(crate) fn sealed(&mut self, round: Round) {
        self.sealed_before(round, 1 + self.recovery.as_ref().and_then(|it| it.used.get(&round)).copied().unwrap_or(0));
    }

    /// Indices of a round below this one are used.
    pub(crate) fn sealed_before(&mut self, round: Round, index: u32) {
        if let Some(recovery) = &mut self.recovery {
            let used = recovery.used.entry(round).or_default();
            *used = index.max(*used);
        }
    }

    pub(crate) fn is_current(&self) -> Result<(), WalletError> {
        if self.copied { Err(WalletError::Copied) } else { Ok(()) }
    }
}
