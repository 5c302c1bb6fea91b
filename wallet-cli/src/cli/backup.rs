//! `annona-wallet backup`.

use std::path::PathBuf;

use clap::Args;

use super::{Desk, Done, Report, show};

#[derive(Args)]
pub(super) struct Backup {
    /// The file to make.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        stored.vault.copy_to(&self.file, &stored.state.encode())?;
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
