//! Slips against the published logs: what became of a site's signed word (spec/audit.md 4).
//!
//! Nobody is accused of what may still come: a batch or round that is not closed, a log that ended, a copy that is old.

use std::{collections::BTreeMap, path::Path};

use annona_protocol::{
    audit::receipt::{Batches, Inclusion, Omission, ReceiptError},
    ids::{ProgrammeId, Round},
    log::{TreeHash, merkle},
    slip::{OpeningPack, OwedSlip, Place, Receipt, RefusalCode, RefusalSlip, VoidSlip},
    voucher::Mark,
    wire::Message as _,
};

use crate::{
    chain::{Chain, NamedLog},
    evidence::OmissionProof,
    mirror::{MAX_ANNOUNCEMENT, MirrorError, WAITING, chain_of, files},
};

mod index;
mod paper;

pub use index::SiteLogError;
use index::{SiteLog, Wanted};
pub use paper::{EXPORT, Paper, PaperError};

/// What became of a slip.
#[derive(Debug)]
#[non_exhaustive]
pub enum State {
    /// The log bears it out.
    Kept,
    /// What it promises may still come.
    Pending,
    /// The log should bear it out and does not. With a proof for whoever asks, if it is a receipt and the log keeps its form.
    Broken(Option<Box<OmissionProof>>),
    /// No log of the site signed it: it promises nothing.
    Unsigned,
    /// It is of another programme.
    Foreign,
    /// No copy of the log or the manifest is here that holds and goes far enough.
    Unavailable,
    /// Logs do not say.
    Silent,
}

impl State {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Pending => "pending",
            Self::Broken(_) => "broken",
            Self::Unsigned => "unsigned",
            Self::Foreign => "foreign",
            Self::Unavailable => "unavailable",
            Self::Silent => "silent",
        }
    }

    /// Whether the slip will never be borne out, or is none.
    pub fn fails(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Unsigned)
    }
}

/// A leaf with its path under the log's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafAt {
    /// Its position.
    pub index: u64,
    /// The inclusion path.
    pub path: Vec<TreeHash>,
}

/// What is said of a slip.
#[derive(Debug)]
#[must_use = "a slip that was judged is worth its verdict"]
pub struct Verdict {
    /// What became of it.
    pub state: State,
    /// The same in words.
    pub why: String,
    /// The log that signed it, with the size that was looked at.
    pub log: Option<(String, u64)>,
    /// The leaves that bear it out.
    pub leaves: Vec<LeafAt>,
    /// The proof of a receipt that was kept.
    pub inclusion: Option<Box<Inclusion>>,
}

impl Verdict {
    fn new(state: State, why: impl Into<String>) -> Self {
        Self { state, why: why.into(), log: None, leaves: Vec::new(), inclusion: None }
    }
}

/// A programme's published folder, as far as slips need it.
#[derive(Debug)]
pub struct Desk<'a> {
    folder: &'a Path,
    chain: Chain,
    /// Logs of the sites that slips name, by their names.
    logs: BTreeMap<String, Result<SiteLog, SiteLogError>>,
}

impl<'a> Desk<'a> {
    /// Reads the manifest and the logs of every site that a slip names.
    ///
    /// # Errors
    /// [`MirrorError`] if the folder has no manifest of the programme. A log that cannot be used is said of its slips.
    pub fn open<'p>(
        folder: &'a Path,
        programme: ProgrammeId,
        papers: impl IntoIterator<Item = &'p Paper> + Clone,
    ) -> Result<Self, MirrorError> {
        let chain = chain_of(folder, programme)?.ok_or(MirrorError::NoManifest)?;
        let wanted = Wanted::of(papers.clone());
        let mut logs = BTreeMap::new();
        for log in chain.logs() {
            if papers.clone().into_iter().any(|paper| Some(paper.place().site) == log.site) {
                logs.insert(log.key.name.clone(), SiteLog::read(folder, &chain, log, &wanted));
            }
        }
        Ok(Self { folder, chain, logs })
    }

    /// The checkpoints that slips were held against.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.logs.iter().filter_map(|(name, log)| Some((name.as_str(), log.as_ref().ok()?.note.as_str())))
    }

    /// What became of a slip. A proof of omission in it was verified.
    pub fn judge(&self, paper: &Paper) -> Verdict {
        let place = paper.place();
        if place.programme != self.chain.programme() {
            return Verdict::new(State::Foreign, "it is of another programme. Give that programme's id and folder");
        }
        let Some(named) = self.signer(paper) else {
            // A newer version may name the log that signed.
            if self.chain.versions().iter().all(|version| version.header.hash() != place.manifest) {
                let why = "it names a manifest version that this copy lacks, and no log of this copy signed it. Mirror it again";
                return Verdict::new(State::Unavailable, why);
            }
            return Verdict::new(State::Unsigned, "no log of the site signed it: it promises nothing");
        };
        let log = match self.logs.get(&named.key.name) {
            Some(Ok(log)) => log,
            Some(Err(error)) => {
                let why = format!("{}: {error}", named.key.name);
                return Verdict::new(State::Unavailable, why);
            }
            None => return Verdict::new(State::Unavailable, SiteLogError::Absent.to_string()),
        };
        let verdict = match paper {
            Paper::Receipt(slip) => self.receipt(slip, log),
            Paper::Owed(slip) => self.owed(slip, log),
            Paper::Void(slip) => void(slip, log),
            Paper::Refusal(slip) => self.refusal(slip, log),
        };
        Verdict { log: Some((named.key.name.clone(), log.checkpoint.size())), ..verdict }
    }

    /// The log whose key signed a slip: a site signs with that of its log of the day.
    fn signer(&self, paper: &Paper) -> Option<NamedLog> {
        let of_site = self.chain.logs().into_iter().filter(|log| log.site == Some(paper.place().site));
        of_site.into_iter().find(|log| {
            let key = &log.key.key;
            match paper {
                Paper::Receipt(slip) => slip.verify(key).is_ok(),
                Paper::Owed(slip) => slip.verify(key).is_ok(),
                Paper::Void(slip) => slip.verify(key).is_ok(),
                Paper::Refusal(slip) => slip.verify(key).is_ok(),
            }
        })
    }

    fn receipt(&self, slip: &Receipt, log: &SiteLog) -> Verdict {
        let (newest, terms) = (self.chain.newest(), &slip.content);
        let batches = Batches::new(&log.leaves, log.headers.clone());
        match Inclusion::find_in(slip, &batches) {
            Ok(proof) if proof.verify(newest, &log.checkpoint).is_ok() => {
                let why = format!("honoured: leaf {}, batch {}", proof.index, proof.batch.header.number);
                let leaves = vec![LeafAt { index: proof.index, path: proof.path.clone() }];
                return Verdict { leaves, inclusion: Some(Box::new(proof)), ..Verdict::new(State::Kept, why) };
            }
            _ => {}
        }
        match Omission::find_in(slip, &batches) {
            Ok(omission) if omission.verify(newest, &log.checkpoint).is_ok() => {
                let late = log.leaves.iter().position(|leaf| *leaf == terms.leaf);
                let why = match late {
                    Some(at) => {
                        format!("not honoured: promised by batch {}, and logged later, at leaf {at}", terms.batch)
                    }
                    None => format!(
                        "not honoured: promised by batch {}, and in no batch of the round up to it",
                        terms.batch
                    ),
                };
                let proof = OmissionProof::new(&self.chain, &log.named, &log.note, omission);
                match proof.verify_file(self.chain.programme()) {
                    Ok(()) => Verdict::new(State::Broken(Some(Box::new(proof))), why),
                    Err(_) => Verdict::new(
                        State::Broken(None),
                        format!(
                            "{why}. The round has so many batches that the proof of omission is too large to be read: \
                             show this log instead"
                        ),
                    ),
                }
            }
            Err(ReceiptError::NotDue) if log.is_stated(terms.place.round) => Verdict::new(
                State::Broken(None),
                format!(
                    "not honoured: round {} is stated, and batch {} that was promised never came. There is no proof of omission \
                     without that batch or one of a later round",
                    terms.place.round, terms.batch
                ),
            ),
            Err(ReceiptError::NotDue) => waiting(
                log,
                format!(
                    "until batch {} is closed; {} are. At the latest with round {}",
                    terms.batch,
                    log.closed(),
                    terms.place.round
                ),
            ),
            _ => Verdict::new(
                State::Broken(None),
                format!(
                    "not honoured: promised by batch {}, and in no batch. The log breaks its own form, so there is no proof of \
                     omission: `annona-audit verify` names the leaf",
                    terms.batch
                ),
            ),
        }
    }

    fn owed(&self, slip: &OwedSlip, log: &SiteLog) -> Verdict {
        let terms = &slip.content;
        let round = terms.place.round;
        let same = log
            .owed
            .get(&terms.holder)
            .into_iter()
            .flatten()
            .find(|(at, leaf)| leaf.round == round && leaf.lines == terms.lines && log.is_in_batch(*at));
        let Some((at, _)) = same else {
            return missing(log, round, "what it owes");
        };
        let of_site = || self.logs.values().flatten().filter(|other| other.named.site == log.named.site);
        let collected = of_site().find_map(|other| Some((&other.named.key.name, *other.collected.get(&terms.holder)?)));
        let mut verdict = kept(log, [*at]);
        if let Some(at) = log.owed_voided.get(&terms.holder) {
            verdict.why += &format!("; voided with its visit, at leaf {at}");
        } else if let Some((name, at)) = collected {
            verdict.why += &format!("; collected, at leaf {at} of {name}");
        } else {
            verdict.why += "; not collected";
        }
        verdict
    }

    fn refusal(&self, slip: &RefusalSlip, log: &SiteLog) -> Verdict {
        let terms = &slip.content;
        match terms.code {
            RefusalCode::AlreadyRedeemed if !terms.marks.is_empty() => {
                let at =
                    terms.marks.iter().map(|mark| log.accepted.get(mark).copied().filter(|at| log.is_in_batch(*at)));
                match at.collect::<Option<Vec<u64>>>() {
                    Some(at) => kept(log, at),
                    None if self.chain.logs().iter().filter(|other| other.site == log.named.site).count() > 1 => {
                        Verdict::new(
                            State::Silent,
                            "another log of the site may have held the acceptance that it speaks of",
                        )
                    }
                    None => missing(log, terms.place.round, "the acceptance that it speaks of"),
                }
            }
            RefusalCode::Swapped if !terms.marks.is_empty() => self.swapped(slip),
            code => Verdict::new(State::Silent, format!("refused as {}: no log says whether that was so", code.code())),
        }
    }

    /// The opening packs of the place list what a site must refuse as swapped.
    fn swapped(&self, slip: &RefusalSlip) -> Verdict {
        let place = &slip.content.place;
        let Ok(packs) = packs(self.folder, &self.chain, place) else {
            return Verdict::new(State::Unavailable, "the folder's packs cannot be read. Mirror it again");
        };
        let lists = |pack: &OpeningPack, mark: &Mark| pack.content.swapped.contains(mark);
        if packs.is_empty() {
            Verdict::new(State::Pending, "the folder has no opening pack of this site and round")
        } else if slip.content.marks.iter().all(|mark| packs.iter().any(|pack| lists(pack, mark))) {
            Verdict::new(State::Kept, "honoured: the opening pack lists the vouchers as swapped")
        } else {
            // The issuer may have given the site another pack than it published.
            Verdict::new(
                State::Silent,
                "the opening pack here does not list the vouchers as swapped: ask the site for the pack that it had",
            )
        }
    }
}

/// The packs of a place that the issuer signed.
fn packs(folder: &Path, chain: &Chain, place: &Place) -> Result<Vec<OpeningPack>, MirrorError> {
    let mut packs = Vec::new();
    for path in [files::list_below(folder, "packs")?, files::list_below(folder, WAITING)?].concat() {
        let bytes = files::read(&path, MAX_ANNOUNCEMENT)?.unwrap_or_default();
        packs.extend(
            OpeningPack::decode(&bytes)
                .ok()
                .filter(|pack| pack.content.place == *place && pack.verify(&chain.newest().issuer_log.key).is_ok()),
        );
    }
    Ok(packs)
}

fn void(slip: &VoidSlip, log: &SiteLog) -> Verdict {
    let at = slip.content.voided.iter().map(|which| log.voids.get(which).copied().filter(|at| log.is_in_batch(*at)));
    match at.collect::<Option<Vec<u64>>>() {
        Some(at) => kept(log, at),
        None => missing(log, slip.content.place.round, "every void that it acknowledges"),
    }
}

fn kept(log: &SiteLog, at: impl IntoIterator<Item = u64>) -> Verdict {
    let path = |index| Some(LeafAt { index, path: merkle::inclusion_proof(&log.leaves, index)? });
    let leaves: Vec<LeafAt> = at.into_iter().filter_map(path).collect();
    let numbers: Vec<String> = leaves.iter().map(|leaf| leaf.index.to_string()).collect();
    let word = if numbers.len() == 1 { "leaf" } else { "leaves" };
    Verdict { leaves, ..Verdict::new(State::Kept, format!("honoured: {word} {}", numbers.join(", "))) }
}

/// A slip that names no batch is due when its round is over.
fn missing(log: &SiteLog, round: Round, what: &str) -> Verdict {
    if log.is_over(round) {
        Verdict::new(
            State::Broken(None),
            format!("not honoured: round {round} is over, and the log does not hold {what}"),
        )
    } else {
        waiting(log, format!("until round {round} is over"))
    }
}

/// What is not due yet. A log that was replaced does not say where it ended, so a copy of it may have been cut off.
fn waiting(log: &SiteLog, until: String) -> Verdict {
    if log.named.is_current {
        Verdict::new(State::Pending, format!("pending {until}"))
    } else {
        Verdict::new(
            State::Unavailable,
            "this copy of the replaced log ends before it was due. Get the whole log from a folder; if none has more, logs \
             cannot tell whether the site lost it or withheld it: ask the officers who signed the new log",
        )
    }
}
