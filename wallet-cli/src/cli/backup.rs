//! `annona-wallet backup`.

use std::path::PathBuf;

use annona_wallet::Wallet;
use clap::Args;
use zeroize::Zeroizing;

use super::{Desk, Done, Problem, Report, desk::Stored, show};

#[derive(Args)]
pub(super) struct Backup {
    /// The file to make.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The state with a wallet that asks first what the other did since.
fn copy(stored: &mut Stored) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let Some(membership) = &mut stored.state.membership else { return Ok(stored.state.encode()) };
    let backup = Wallet::decode(&membership.wallet)?.encode_backup();
    let own = std::mem::replace(&mut membership.wallet, backup);
    let bytes = stored.state.encode();
    stored.state.membership.as_mut().expect("as before").wallet = own;
    Ok(bytes)
}

impl Backup {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let copy = copy(&mut stored)?;
        stored.vault.copy_to(&self.file, &copy)?;
        let mut report = Report::default();
        let file = self.file.display().to_string();
        report.line(desk.say("backup-made", &[("file", file.as_str().into())]));
        report.line(desk.say("backup-old", &[]));
        report.set("file", &file);
        report.set("saves", stored.vault.saves());
        if stored.state.membership.is_some() {
            show::unfinished(desk, &stored.wallet()?, &mut report);
        }
        Ok(report)
    }
}
