//! `annona-audit mirror`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::atomic::AtomicBool,
    time::Duration,
};

use annona_audit::{
    mirror::{Options, Outcome as Mirrored, mirror},
    print::{self, clean},
};
use annona_protocol::ids::{ProgrammeId, SiteId};
use clap::Args;
use serde_json::{Value, json};

use super::{Done, Outcome, programme};

#[derive(Args)]
pub(super) struct Mirror {
    /// The mirror's folder, made if it is missing.
    folder: PathBuf,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    #[command(flatten)]
    sources: Sources,
    /// Prints what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// Where to copy from, and what to accept: the same for `watch`.
#[derive(Args)]
pub(super) struct Sources {
    /// The issuer's server.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// A site's server. May be given more than once.
    #[arg(long = "site", value_name = "ID=URL", value_parser = site)]
    sites: Vec<(SiteId, String)>,
    /// A published folder, such as an export on a memory stick, or another mirror. May be given more than once.
    #[arg(long = "from", value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// A SOCKS5 proxy for all servers, such as Tor's.
    #[arg(long, value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// Fetches what is here already again, and compares it.
    #[arg(long)]
    recheck: bool,
    /// Takes checkpoints that no witness cosigned: for a witness, who is to cosign them.
    #[arg(long)]
    uncosigned: bool,
    /// The most leaves of a log that are taken.
    #[arg(long, value_name = "LEAVES", default_value_t = 100_000_000)]
    most: u64,
    /// Until an answer is whole.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

fn site(text: &str) -> Result<(SiteId, String), &'static str> {
    let (id, url) = text.split_once('=').ok_or("write the site's number, `=`, and its address")?;
    Ok((SiteId(id.parse().map_err(|_| "a site has a number, which the manifest names")?), url.to_owned()))
}

impl Mirror {
    pub(super) fn run(self) -> Done {
        let outcome = mirror(&self.folder, &self.sources.options(self.programme), &AtomicBool::new(false))?;
        let mut out = io::stdout().lock();
        let written =
            if self.json { writeln!(out, "{}", print::json(&to_json(&outcome))) } else { text(&outcome, &mut out) };
        written.map_err(|error| format!("cannot write: {error}. Check where the output goes"))?;
        if !outcome.faults.is_empty() {
            return Ok(Outcome::Fails);
        }
        match outcome.unreached.into_iter().next() {
            Some((source, error)) => Err(format!("{source}: {error}").into()),
            None => Ok(Outcome::Holds),
        }
    }
}

impl Sources {
    pub(super) fn options(&self, programme: ProgrammeId) -> Options {
        Options {
            programme,
            issuer: self.issuer.clone(),
            sites: self.sites.clone(),
            folders: self.folders.clone(),
            transport: annona_transport::Options {
                timeout: Duration::from_secs(self.timeout.max(1)),
                socks_proxy: self.proxy.clone(),
                ..annona_transport::Options::default()
            },
            recheck: self.recheck,
            uncosigned: self.uncosigned,
            most: self.most,
        }
    }
}

/// A line an item; a source chooses the names in it.
fn text(outcome: &Mirrored, out: &mut impl io::Write) -> io::Result<()> {
    let mut line = |text: String| writeln!(out, "{}", clean(&text));
    for log in &outcome.logs {
        let new = match log.size.saturating_sub(log.before) {
            0 if log.before == log.size => "nothing new".to_owned(),
            count => format!("{count} new"),
        };
        line(format!("{} {}: {} leaves, {new}", log.log, log.origin, log.size))?;
    }
    for file in &outcome.added {
        line(format!("{file}: new"))?;
    }
    for fault in &outcome.faults {
        let evidence =
            fault.evidence.as_ref().map_or("none, as there is much already".into(), |path| path.display().to_string());
        let (code, meaning, path) = (fault.kind.code(), fault.kind.meaning(), fault.path.as_deref().unwrap_or("-"));
        line(format!("{code} {} {} {path}: {meaning}; evidence: {evidence}", fault.log, fault.origin))?;
    }
    outcome.unreached.iter().try_for_each(|(source, error)| line(format!("not reached {source}: {error}")))
}

fn to_json(outcome: &Mirrored) -> Value {
    json!({
        "logs": outcome.logs.iter().map(|log| json!({
            "log": log.log, "origin": log.origin, "before": log.before, "size": log.size,
        })).collect::<Vec<_>>(),
        "added": outcome.added,
        "faults": outcome.faults.iter().map(|fault| json!({
            "code": fault.kind.code(), "meaning": fault.kind.meaning(), "log": fault.log, "origin": fault.origin,
            "path": fault.path, "evidence": fault.evidence,
        })).collect::<Vec<_>>(),
        "unreached": outcome.unreached.iter().map(|(source, error)| json!({
            "source": source, "why": error.to_string(),
        })).collect::<Vec<_>>(),
    })
}
