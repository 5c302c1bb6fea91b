//! `annona-audit compare`.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use annona_audit::{
    compare::compare,
    evidence::{MAX_EVIDENCE_BYTES, SplitView},
    print::{self, clean},
};
use annona_protocol::ids::ProgrammeId;
use clap::Args;
use serde_json::json;

use super::{Done, Outcome, programme};

#[derive(Args)]
pub(super) struct Compare {
    /// Two mirrors of one programme.
    #[arg(value_name = "FOLDER", num_args = 2, required_unless_present = "verify_proof")]
    folders: Vec<PathBuf>,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    /// Writes the proof of the first split view to this file.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Checks such a proof instead: status 0 if the log did sign two histories, 1 if the file does not prove it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["folders", "proof"])]
    verify_proof: Option<PathBuf>,
    /// Prints what differs as JSON.
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(super) fn run(self) -> Done {
        if let Some(path) = &self.verify_proof {
            return self.verify(path);
        }
        let [left, right] = &self.folders[..] else { return Err("give two folders".into()) };
        let found = compare(left, right, self.programme)?;
        let failed = |error: io::Error| format!("cannot write: {error}. Check where the output goes");
        let mut out = io::stdout().lock();
        if self.json {
            let splits: Vec<_> = found.splits.iter().map(SplitView::to_json).collect();
            let logs: Vec<_> =
                found.logs.iter().map(|(log, left, right)| json!({"log": log, "sizes": [left, right]})).collect();
            let value = json!({"logs": logs, "splits": splits, "differs": found.differs});
            writeln!(out, "{}", print::json(&value)).map_err(failed)?;
        } else {
            for (log, left, right) in &found.logs {
                writeln!(out, "{}: {left} and {right} leaves", clean(log)).map_err(failed)?;
            }
            for what in &found.differs {
                writeln!(out, "{} differs", clean(what)).map_err(failed)?;
            }
            for split in &found.splits {
                let split = print::json(&split.to_json());
                writeln!(out, "split view; the log signed both of these:\n{split}").map_err(failed)?;
            }
        }
        if let (Some(path), Some(split)) = (&self.proof, found.splits.first()) {
            let text = format!("{:#}\n", split.to_json());
            fs::write(path, text)
                .map_err(|error| format!("cannot write {}: {error}. Choose another file", path.display()))?;
        }
        Ok(if found.splits.is_empty() && found.differs.is_empty() { Outcome::Holds } else { Outcome::Fails })
    }

    fn verify(&self, path: &std::path::Path) -> Done {
        let bytes = super::evidence(path, MAX_EVIDENCE_BYTES)?;
        let mut out = io::stdout().lock();
        match SplitView::from_json(&bytes)?.verify(self.programme) {
            Ok(sides) => writeln!(
                out,
                "proven: {} signed {} leaves with root {} and {} leaves with root {}",
                clean(&sides.log),
                sides.smaller.size(),
                sides.smaller.root(),
                sides.larger.size(),
                sides.larger.root()
            )?,
            Err(error) => {
                writeln!(out, "not proven: {}", clean(&error.to_string()))?;
                return Ok(Outcome::Fails);
            }
        }
        Ok(Outcome::Holds)
    }
}
