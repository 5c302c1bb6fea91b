//! The real programs: found beside this one, run as an office and a site run them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use annona_transport::{Client, Options, Server};
use anyhow::Context as _;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    node: PathBuf,
    audit: PathBuf,
}

/// A passphrase of one party, in its processes' environment and nowhere else.
#[derive(Clone)]
pub(crate) struct Passphrase(String);

impl Passphrase {
    /// Sixteen random bytes: no work factor has to protect them.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        rand_core::Rng::fill_bytes(&mut crate::os_rng(), &mut bytes);
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// For key files that the demo itself opens: it also plays the dishonest.
    pub(crate) fn key(&self) -> annona_node::keys::Passphrase {
        annona_node::keys::Passphrase::new(self.0.clone())
    }
}

impl Tools {
    /// The programs beside this one.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("this program does not know where it is")?;
        // Tests run from `deps/`.
        let mut folder = own.parent().context("a program is in a folder")?;
        if folder.ends_with("deps") {
            folder = folder.parent().context("a build has a folder")?;
        }
        let found = |name: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
            anyhow::ensure!(path.exists(), "{} is missing: build the whole workspace first", path.display());
            Ok(path)
        };
        Ok(Self { node: found("annona-node")?, audit: found("annona-audit")? })
    }

    fn command(&self, program: &Path, passphrase: Option<&Passphrase>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env_remove("ANNONA_PASSPHRASE");
        if let Some(Passphrase(text)) = passphrase {
            command.env("ANNONA_PASSPHRASE", text);
        }
        command
    }

    /// Runs `annona-node` and gives what it printed.
    pub(crate) fn node(&self, passphrase: &Passphrase, arguments: &[&str]) -> anyhow::Result<String> {
        finished(self.command(&self.node, Some(passphrase), arguments), arguments)
    }

    /// Runs `annona-audit` and gives what it printed.
    pub(crate) fn audit(&self, arguments: &[&str]) -> anyhow::Result<String> {
        finished(self.command(&self.audit, None, arguments), arguments)
    }

    /// Starts a server of `annona-node` that writes its address to a file.
    pub(crate) fn serve(&self, passphrase: &Passphrase, arguments: &[&str], at: &Path) -> anyhow::Result<Running> {
        Running::start(self.command(&self.node, Some(passphrase), arguments), at)
    }

    /// Starts a server of `annona-audit`.
    pub(crate) fn serve_audit(&self, arguments: &[&str], at: &Path) -> anyhow::Result<Running> {
        Running::start(self.command(&self.audit, None, arguments), at)
    }
}

fn finished(mut command: Command, arguments: &[&str]) -> anyhow::Result<String> {
    let output = command.output().context("a program does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`{}` failed: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8(output.stdout).context("a program prints text")?.trim().to_owned())
}

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(mut command: Command, at: &Path) -> anyhow::Result<Self> {
        if at.exists() {
            std::fs::remove_file(at)?;
        }
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("a server does not start")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(address) = std::fs::read_to_string(at)
                && address.ends_with('\n')
            {
                // What it logs goes nowhere: it must not block on a full pipe.
                let mut log = child.stderr.take().context("it was asked for")?;
                std::thread::spawn(move || drop(std::io::copy(&mut log, &mut std::io::sink())));
                return Ok(Self { child, address: address.trim().to_owned() });
            }
            if let Some(status) = child.try_wait()? {
                let mut said = String::new();
                child.stderr.take().context("it was asked for")?.read_to_string(&mut said)?;
                anyhow::bail!("a server ended with {status}: {}", said.trim());
            }
            anyhow::ensure!(Instant::now() < deadline, "a server did not start within {} s", PATIENCE.as_secs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `http://` and its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client without a token.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(Server { url: self.url(), key: None }, &Options::default())?)
    }

    /// Stops it as a service manager does, and waits until it has ended well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "a server ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `stop` there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
