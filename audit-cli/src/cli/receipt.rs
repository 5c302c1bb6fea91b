//! `annona-audit receipt`.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use annona_audit::{
    evidence::{MAX_EVIDENCE_BYTES, OmissionProof},
    slips::{Desk, Paper, State, Verdict},
};
use annona_protocol::{ids::ProgrammeId, wire::Message as _};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use clap::Args;
use serde_json::{Value, json};

use super::{Done, Outcome, programme};

#[derive(Args)]
pub(super) struct Receipt {
    /// The published folder, such as a mirror.
    folder: PathBuf,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    /// What a household was given: receipts, owed slips, void slips and refusals, as a wallet exports them or as they are on the
    /// wire; a proof stands for its receipt.
    #[arg(value_name = "RECEIPT", required = true)]
    slips: Vec<PathBuf>,
    /// Writes the proof of the first receipt that was not honoured to this new file.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Prints what became of each as JSON.
    #[arg(long)]
    json: bool,
}

/// A slip with the file that it is in, and its place there from 1.
pub(super) type Filed = (PathBuf, usize, Paper);

/// Reads all slips of files.
pub(super) fn read(files: &[PathBuf], programme: ProgrammeId) -> Result<Vec<Filed>, Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for path in files {
        let bytes = super::evidence(path, MAX_EVIDENCE_BYTES)?;
        let papers = Paper::read(&bytes, programme).map_err(|error| format!("{}: {error}", path.display()))?;
        found.extend((1..).zip(papers).map(|(number, paper)| (path.clone(), number, paper)));
    }
    Ok(found)
}

/// Writes a proof to a file that is not there yet: it holds a receipt, which only its holder should pass on.
pub(super) fn write_proof(path: &Path, proof: &OmissionProof) -> Result<(), String> {
    let text = format!("{:#}\n", proof.to_json());
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| format!("cannot write {}: {error}. Choose another file", path.display()))
}

impl Receipt {
    pub(super) fn run(self) -> Done {
        let slips = read(&self.slips, self.programme)?;
        let desk = Desk::open(&self.folder, self.programme, slips.iter().map(|(_, _, paper)| paper))?;
        let verdicts: Vec<Verdict> = slips.iter().map(|(_, _, paper)| desk.judge(paper)).collect();
        let failed = |error: io::Error| format!("cannot write: {error}. Check where the output goes");
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", to_json(self.programme, &desk, &slips, &verdicts)).map_err(failed)?;
        } else {
            for ((path, number, paper), verdict) in slips.iter().zip(&verdicts) {
                let (place, path) = (paper.place(), path.display());
                write!(out, "{path} {number}: {} of site {}, round {}", paper.kind(), place.site, place.round)
                    .and_then(|()| match &verdict.log {
                        Some((log, size)) => writeln!(out, ": {}, of {log} with {size} leaves", verdict.why),
                        None => writeln!(out, ": {}", verdict.why),
                    })
                    .map_err(failed)?;
            }
        }
        let mut proofs = verdicts.iter().filter_map(|verdict| match &verdict.state {
            State::Broken(Some(proof)) => Some(proof),
            _ => None,
        });
        if let (Some(path), Some(proof)) = (&self.proof, proofs.next()) {
            write_proof(path, proof)?;
        }
        if verdicts.iter().any(|verdict| verdict.state.fails()) {
            return Ok(Outcome::Fails);
        }
        match verdicts.iter().find(|verdict| matches!(verdict.state, State::Foreign | State::Unavailable)) {
            Some(verdict) => Err(verdict.why.trim_end_matches('.').into()),
            None => Ok(Outcome::Holds),
        }
    }
}

fn to_json(programme: ProgrammeId, desk: &Desk<'_>, slips: &[Filed], verdicts: &[Verdict]) -> Value {
    let slips = slips.iter().zip(verdicts).map(|((path, number, paper), verdict)| {
        let place = paper.place();
        let leaves = verdict.leaves.iter().map(|leaf| {
            let path: Vec<String> = leaf.path.iter().map(|hash| BASE64.encode(hash.0)).collect();
            json!({ "leaf": leaf.index, "path": path })
        });
        json!({
            "file": path,
            "number": number,
            "kind": paper.kind(),
            "site": place.site.0,
            "round": place.round.0,
            "state": verdict.state.code(),
            "why": verdict.why,
            "log": verdict.log.as_ref().map(|(log, _)| log),
            "leaves": leaves.collect::<Vec<_>>(),
            "inclusion": verdict.inclusion.as_ref().map(|proof| BASE64.encode(proof.encode())),
            "omission": match &verdict.state {
                State::Broken(Some(proof)) => proof.to_json(),
                _ => Value::Null,
            },
        })
    });
    let slips: Vec<Value> = slips.collect();
    let checkpoints: serde_json::Map<String, Value> =
        desk.notes().map(|(log, note)| (log.to_owned(), note.into())).collect();
    json!({ "programme": programme.to_string(), "checkpoints": checkpoints, "slips": slips })
}
