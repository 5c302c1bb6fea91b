//! `annona-wallet new`.

use std::path::PathBuf;

use annona_protocol::secret::SecretBytes;
use annona_vault::{VAULT_WORK_FACTOR, Vault};
use clap::Args;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::{Desk, Done, Report, words};
use crate::state::State;

#[derive(Args)]
pub(super) struct New {
    /// The file to make.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    cost: Cost,
    /// Makes recovery words and prints them once: who loses the phone takes the wallet back with them, and so can whoever finds them.
    #[arg(long)]
    words: bool,
}

/// How hard a PIN is to guess for whoever has the file.
#[derive(Args)]
pub(super) struct Cost {
    /// scrypt's cost as a power of two: one more doubles the time to open the file, and to guess.
    #[arg(long, value_name = "LOG2", default_value_t = VAULT_WORK_FACTOR)]
    pub(super) work_factor: u8,
}

impl New {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let state = State {
            language: desk.global.language.map(|language| language.tag().to_owned()),
            proxy: desk.global.proxy.clone().filter(|proxy| proxy != "none"),
            words: self.words.then(|| SecretBytes::random(&mut UnwrapErr(SysRng))),
            membership: None,
            crowds: Vec::new(),
        };
        // A proxy that cannot be used is found now.
        if let Some(proxy) = &state.proxy {
            annona_transport::check_proxy(proxy)?;
        }
        if self.file.symlink_metadata().is_ok() {
            return Err(annona_vault::VaultError::Exists(self.file).into());
        }
        let pin = desk.ask_new()?;
        let vault = Vault::create(&self.file, &pin, self.cost.work_factor, &state.encode())?;
        let mut report = Report::default();
        let file = vault.path().display().to_string();
        report.line(desk.say("new-made", &[("file", file.as_str().into())]));
        report.line(desk.say("new-next", &[]));
        report.set("file", &file);
        if let Some(seed) = &state.words {
            words::tell(desk, seed, &mut report);
        }
        Ok(report)
    }
}
