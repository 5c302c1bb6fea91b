//! `annona-wallet completions` and `annona-wallet man`.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Arguments, Desk, Done, Problem, Report};

#[derive(Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> io::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "annona-wallet", &mut script);
        io::stdout().lock().write_all(&script)
    }
}

#[derive(Args)]
pub(super) struct Man {
    /// The folder; made if it is not there.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(&self, desk: &Desk) -> Done {
        fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), &self.folder))
            .map_err(Problem::Folder)?;
        let mut report = Report::default();
        let folder = self.folder.display().to_string();
        report.line(desk.say("man-written", &[("folder", folder.as_str().into())]));
        report.set("folder", &folder);
        Ok(report)
    }
}
