//! `annona-audit omission`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use annona_audit::{
    evidence::{MAX_EVIDENCE_BYTES, OmissionProof},
    slips::{Desk, Paper, State},
};
use annona_protocol::ids::ProgrammeId;
use clap::Args;

use super::{Done, Outcome, programme, receipt};

#[derive(Args)]
pub(super) struct Omission {
    /// The published folder, such as a mirror.
    #[arg(required_unless_present = "verify", requires = "receipt")]
    folder: Option<PathBuf>,
    /// A file with one receipt, as a wallet exports it or as it is on the wire.
    #[arg(requires = "output")]
    receipt: Option<PathBuf>,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    /// Where the proof goes: a new file of mode 0600.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which receipt of the file is meant, from 1.
    #[arg(long, value_name = "N", default_value_t = 1)]
    number: usize,
    /// Checks such a proof instead: status 0 if the site did break its word, 1 if the file does not prove it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["folder", "receipt", "output", "number"])]
    verify: Option<PathBuf>,
}

impl Omission {
    pub(super) fn run(self) -> Done {
        let mut out = io::stdout().lock();
        if let Some(path) = &self.verify {
            return verify(path, self.programme, &mut out);
        }
        let (Some(folder), Some(path), Some(output)) = (&self.folder, &self.receipt, &self.output) else {
            return Err("give a folder, a receipt and --output".into());
        };
        let slips = receipt::read(std::slice::from_ref(path), self.programme)?;
        let found = self.number.checked_sub(1).and_then(|at| slips.get(at));
        let Some((_, _, paper)) = found else {
            return Err(format!("{} has {} slips. Give a --number of one", path.display(), slips.len()).into());
        };
        if !matches!(paper, Paper::Receipt(_)) {
            let why = "only receipts name a batch, without which no omission is proven. See `annona-audit receipt`";
            return Err(format!("{} of the file is no receipt: {why}", self.number).into());
        }
        let desk = Desk::open(folder, self.programme, [paper])?;
        let verdict = desk.judge(paper);
        match &verdict.state {
            State::Broken(Some(proof)) => {
                receipt::write_proof(output, proof)?;
                writeln!(out, "{}; the proof is in {}", verdict.why, output.display())?;
                Ok(Outcome::Holds)
            }
            State::Foreign | State::Unavailable => Err(verdict.why.into()),
            State::Broken(None) => {
                writeln!(out, "no proof: {}", verdict.why)?;
                Ok(Outcome::Fails)
            }
            _ => {
                writeln!(out, "no omission: {}", verdict.why)?;
                Ok(Outcome::Fails)
            }
        }
    }
}

fn verify(path: &Path, programme: ProgrammeId, out: &mut impl io::Write) -> Done {
    let bytes = super::evidence(path, MAX_EVIDENCE_BYTES)?;
    let proof = OmissionProof::from_json(&bytes)?;
    match proof.verify(programme) {
        Ok(checkpoint) => {
            let terms = &proof.omission.receipt.content;
            writeln!(
                out,
                "proven: site {} promised a leaf of round {} by batch {}, and its log {} of {} leaves does not hold it there",
                terms.place.site,
                terms.place.round,
                terms.batch,
                checkpoint.origin(),
                checkpoint.size()
            )?;
            Ok(Outcome::Holds)
        }
        Err(error) => {
            writeln!(out, "not proven: {error}")?;
            Ok(Outcome::Fails)
        }
    }
}
