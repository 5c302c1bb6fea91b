//! `annona-wallet pin`.

use clap::Args;

use super::{Desk, Done, Report, new::Cost};

#[derive(Args)]
pub(super) struct Pin {
    /// Reads the new PIN or passphrase from this open file descriptor; without it from ANNONA_NEW_PASSPHRASE, or from the terminal.
    #[arg(long, value_name = "N")]
    new_passphrase_fd: Option<u32>,
    #[command(flatten)]
    cost: Cost,
}

impl Pin {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let next = desk.ask_next(self.new_passphrase_fd)?;
        stored.vault.change_passphrase(&next, self.cost.work_factor, &stored.state.encode())?;
        let mut report = Report::default();
        report.line(desk.say("pin-changed", &[]));
        report.set("changed", true);
        Ok(report)
    }
}
