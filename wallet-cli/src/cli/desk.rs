//! What all commands need first: the file, its passphrase, the language, the way to the network.

use std::{env, path::PathBuf, time::Duration};

use annona_transport::Options;
use annona_vault::{
    NEW_PASSPHRASE_VARIABLE, Passphrase, PassphraseSource, Questions, Vault, VaultError, new_passphrase_by,
    passphrase_by,
};
use annona_wallet::{Backoff, Wallet};

use super::{Global, Problem};
use crate::{
    state::{Membership, State},
    words::{Language, Places, Words},
};

/// The fewest characters of a wallet's PIN.
pub(super) const MIN_PIN_CHARACTERS: usize = 6;

/// The command's surroundings.
pub(super) struct Desk {
    pub(super) global: Global,
    pub(super) words: Words,
}

/// An open wallet file.
pub(super) struct Stored {
    pub(super) vault: Vault,
    pub(super) state: State,
}

impl Desk {
    pub(super) fn new(global: Global) -> Self {
        let language = global.language.unwrap_or_else(|| Language::of_environment(|name| env::var(name).ok()));
        Self { global, words: Words::new(language) }
    }

    pub(super) fn say(&self, id: &str, places: Places<'_>) -> String {
        self.words.say(id, places)
    }

    /// Asks for the PIN and opens the file. From here on the wallet's own language is spoken.
    pub(super) fn open(&mut self) -> Result<Stored, Problem> {
        let path = self.path()?;
        // Before somebody types a PIN for nothing.
        if let Err(source) = std::fs::metadata(&path) {
            return Err(VaultError::Read { path, source }.into());
        }
        let (vault, state) = Vault::open(&path, &self.ask()?)?;
        let state = State::decode(&state)?;
        let own = state.language.as_deref().and_then(Language::parse);
        if let Some(language) = own.filter(|_| self.global.language.is_none()) {
            self.words = Words::new(language);
        }
        Ok(Stored { vault, state })
    }

    fn path(&self) -> Result<PathBuf, Problem> {
        let named = || env::var_os("ANNONA_WALLET").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.global.wallet.clone().or_else(named).ok_or(Problem::NoFile)
    }

    fn ask(&self) -> Result<Passphrase, Problem> {
        let first = self.question("ask-pin");
        let questions = Questions { first: &first, again: "" };
        Ok(passphrase_by(PassphraseSource::choose(self.global.passphrase_fd), questions)?)
    }

    /// The PIN of a new wallet.
    pub(super) fn ask_new(&self) -> Result<Passphrase, Problem> {
        self.ask_new_from(PassphraseSource::choose(self.global.passphrase_fd))
    }

    /// The PIN that comes in the place of another.
    pub(super) fn ask_next(&self, descriptor: Option<u32>) -> Result<Passphrase, Problem> {
        self.ask_new_from(PassphraseSource::choose_from(descriptor, NEW_PASSPHRASE_VARIABLE))
    }

    fn ask_new_from(&self, source: PassphraseSource) -> Result<Passphrase, Problem> {
        let (first, again) = (self.question("ask-new-pin"), self.question("ask-pin-again"));
        Ok(new_passphrase_by(source, Questions { first: &first, again: &again }, MIN_PIN_CHARACTERS)?)
    }

    /// A message with room for what is typed behind it.
    fn question(&self, id: &str) -> String {
        self.words.say(id, &[]) + " "
    }

    /// How servers are reached: through the proxy named now, or else through the wallet's.
    pub(super) fn options(&self, state: &State) -> Options {
        let proxy = match self.global.proxy.as_deref() {
            Some("none") => None,
            Some(proxy) => Some(proxy.to_owned()),
            None => state.proxy.clone(),
        };
        let (connect_timeout, timeout) = match proxy {
            // Circuits take their time.
            Some(_) => (Duration::from_secs(60), Duration::from_secs(180)),
            None => (Duration::from_secs(10), Duration::from_secs(60)),
        };
        Options { connect_timeout, timeout, socks_proxy: proxy, ..Options::default() }
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff { tries: self.global.tries, ..Backoff::default() }
    }
}

impl Stored {
    pub(super) fn save(&mut self) -> Result<(), VaultError> {
        self.state.forget_crowds();
        self.vault.save(&self.state.encode())
    }

    /// Makes a changed wallet durable.
    pub(super) fn keep(&mut self, wallet: &Wallet) -> Result<(), Problem> {
        self.state.membership.as_mut().ok_or(Problem::NotEnrolled)?.wallet = wallet.encode();
        Ok(self.save()?)
    }

    pub(super) fn membership(&self) -> Result<&Membership, Problem> {
        self.state.membership.as_ref().ok_or(Problem::NotEnrolled)
    }

    pub(super) fn wallet(&self) -> Result<Wallet, Problem> {
        Ok(Wallet::decode(&self.membership()?.wallet)?)
    }
}
