//! What an audit says: findings, notes, totals, and the verdict as a type.

use std::{collections::BTreeMap, fmt};

use super::Check;
use crate::{
    cohort::CohortClass,
    ids::{KeyIndex, LineId, ProgrammeId, Round, SiteId, Units},
    voucher::Mark,
};

/// Who answers for a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// The agency's issuer.
    Issuer,
    /// A distribution site.
    Site(SiteId),
    /// The voucher only: the logs do not tell whether a site or the holder is at fault.
    Voucher,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("issuer"),
            Self::Site(site) => write!(f, "site-{site}"),
            Self::Voucher => f.write_str("voucher"),
        }
    }
}

/// A check that failed. Shown in one line. Sorts by check, party, log and leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// Who answers for it.
    pub party: Party,
    /// The log's name.
    pub log: String,
    /// The leaf's position in the log, where one leaf is at fault.
    pub leaf: Option<u64>,
    /// The round, where known.
    pub round: Option<Round>,
    /// The line whose units are at stake.
    pub line: Option<LineId>,
    /// Units at stake, 0 if the finding moves none.
    pub units: Units,
    /// The voucher, where one is at fault.
    pub mark: Option<Mark>,
}

impl Finding {
    pub(crate) fn new(check: Check, party: Party, log: &str) -> Self {
        Self { check, party, log: log.to_owned(), leaf: None, round: None, line: None, units: Units(0), mark: None }
    }

    pub(crate) fn at(self, leaf: u64) -> Self {
        Self { leaf: Some(leaf), ..self }
    }

    pub(crate) fn round(self, round: Round) -> Self {
        Self { round: Some(round), ..self }
    }

    pub(crate) fn stake(self, line: LineId, units: Units) -> Self {
        Self { line: Some(line), units, ..self }
    }

    pub(crate) fn of(self, party: Party) -> Self {
        Self { party, ..self }
    }

    pub(crate) fn mark(self, mark: Mark) -> Self {
        Self { mark: Some(mark), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {} {}", self.check, self.check.number(), self.party, self.log)?;
        match self.leaf {
            Some(leaf) => write!(f, " leaf {leaf}")?,
            None => f.write_str(" leaf -")?,
        }
        if let Some(round) = self.round {
            write!(f, " round {round}")?;
        }
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, " units {}", self.units)
    }
}

/// Something to know that accuses nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Members of a class are in no opened cohort: their grants are bounded by the maximum that the manifest allows.
    BoundByMaximum {
        /// The class.
        class: CohortClass,
        /// How many members.
        count: u64,
    },
    /// A site has redeemed in a round and has not stated it yet.
    StatementMissing {
        /// The site.
        site: SiteId,
        /// The round.
        round: Round,
    },
    /// A site goes on with another log: what it accepted after the end of this one is in no log.
    LogReplaced {
        /// The site.
        site: SiteId,
        /// The log's name.
        name: String,
        /// How many leaves it has.
        leaves: u64,
    },
    /// A published surrender does not verify, and is ignored.
    SurrenderIgnored {
        /// Its position in the published list.
        index: usize,
    },
    /// A published file is no opening pack of this issuer, and is ignored.
    PackIgnored {
        /// Its position in the published list.
        index: usize,
    },
    /// With a memory of earlier audits: how many leaves' proofs were known to hold, and how many were verified now.
    Remembered {
        /// Leaves whose proofs were verified by an earlier audit.
        recalled: u64,
        /// Leaves whose proofs were verified now.
        verified: u64,
    },
    /// What was remembered of a part of a log was not written by this auditor: the part was verified again.
    MemoryTampered {
        /// The log's name.
        log: String,
        /// The part's first leaf.
        from: u64,
        /// One past its last.
        to: u64,
    },
    /// More findings of one kind than are listed.
    FindingsLeftOut {
        /// The check.
        check: Check,
        /// Who answers for them.
        party: Party,
        /// The log's name.
        log: String,
        /// How many are not listed.
        count: u64,
    },
    /// More vouchers are redeemed, swapped out or surrendered than were drawn until now, of a round that is not closed: its draws
    /// may wait in an open batch, or be in a newer copy of the issuer's log.
    DrawsAwaited {
        /// The round.
        round: Round,
        /// The line.
        line: LineId,
        /// Units beyond what was drawn.
        units: Units,
    },
    /// A pack of a round that is not frozen in this copy of the issuer's log: nothing fixes it yet.
    PackEarly {
        /// Its position in the published list.
        index: usize,
        /// The round.
        round: Round,
    },
    /// What was proven could not be kept for the next audit.
    MemoryNotKept,
    /// The issuer's log has no usable genesis: nothing could be checked.
    NothingElseChecked,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BoundByMaximum { class, count } => {
                let what = if class.amend { "amends" } else { "enrolments" };
                write!(
                    f,
                    "{count} {what} (drawn {}, expires {}) are in no opened cohort: bounded by the maximum",
                    class.drawn, class.expires
                )
            }
            Self::StatementMissing { site, round } => write!(f, "site {site} has not stated round {round}"),
            Self::LogReplaced { site, name, leaves } => write!(
                f,
                "log {name} of site {site} ends at {leaves} leaves and was replaced: what was accepted after is in no log"
            ),
            Self::SurrenderIgnored { index } => write!(f, "surrender {index} does not verify and is ignored"),
            Self::PackIgnored { index } => write!(f, "pack {index} is none of this issuer and is ignored"),
            Self::Remembered { recalled, verified } => {
                write!(f, "the proofs of {recalled} leaves were verified by an earlier audit, those of {verified} now")
            }
            Self::MemoryTampered { log, from, to } => write!(
                f,
                "TAMPERED CACHE: what it said of leaves {from} to {to} of {log} was not written by this auditor; they were verified again"
            ),
            Self::FindingsLeftOut { check, party, log, count } => {
                write!(f, "{count} more findings {check} of {party} in {log} are not listed")
            }
            Self::DrawsAwaited { round, line, units } => write!(
                f,
                "{units} units of line {line} in round {round} were redeemed beyond what was drawn in this copy of the issuer's log: \
                 their draws must be there when the round is closed"
            ),
            Self::PackEarly { index, round } => {
                write!(f, "pack {index} is of round {round}, which is not frozen in this copy of the issuer's log")
            }
            Self::MemoryNotKept => {
                f.write_str("the cache could not be written: what was verified now will be verified again")
            }
            Self::NothingElseChecked => f.write_str("without a genesis nothing could be checked"),
        }
    }
}

/// What happened to the vouchers of a key. All counts are of vouchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeyTotals {
    /// Signed in draws.
    pub drawn: u64,
    /// Signed in swaps.
    pub swapped_in: u64,
    /// Given up in swaps.
    pub swapped_out: u64,
    /// Redeemed and not voided.
    pub redeemed: u64,
    /// Voided acceptances.
    pub voided: u64,
    /// Surrendered, and neither redeemed nor swapped.
    pub surrendered: u64,
}

/// What was drawn of a line, beside its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DrawnTotals {
    /// Units drawn in the round.
    pub drawn: Units,
    /// What the bound is held against: the round's draws for a lapse line, all draws up to the round for a carry line.
    pub bounded: Units,
    /// An upper bound of what was granted, from the opened cohorts.
    pub granted: Units,
}

/// What a site did with a line in a round, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SiteTotals {
    /// Redeemed and not voided.
    pub redeemed: Units,
    /// Voided.
    pub voided: Units,
    /// Promised on owed slips that were not voided.
    pub owed: Units,
    /// Collected on owed slips in the round.
    pub collected: Units,
}

/// Everything that the logs add up to. Only valid leaves count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// By round, site and line.
    pub sites: BTreeMap<(Round, SiteId, LineId), SiteTotals>,
    /// By round and line.
    pub drawn: BTreeMap<(Round, LineId), DrawnTotals>,
    /// Swapped units by round and line.
    pub swapped: BTreeMap<(Round, LineId), Units>,
    /// By voucher key.
    pub vouchers: BTreeMap<KeyIndex, KeyTotals>,
    /// Enrolments, splits included.
    pub enrolments: u64,
    /// Amends.
    pub amends: u64,
}

impl Totals {
    /// Redeemed and not voided units by round, site and line; rows without units are left out.
    pub fn redeemed(&self) -> impl Iterator<Item = (Round, SiteId, LineId, Units)> + '_ {
        self.sites
            .iter()
            .filter(|(_, totals)| totals.redeemed > Units(0))
            .map(|((round, site, line), totals)| (*round, *site, *line, totals.redeemed))
    }
}

/// Names of the newest manifest version, for people.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Names {
    /// The agency.
    pub agency: String,
    /// The programme.
    pub programme: String,
    /// Sites.
    pub sites: BTreeMap<SiteId, String>,
    /// Lines.
    pub lines: BTreeMap<LineId, String>,
}

/// The result of an audit: ask [`Report::verified`] for the verdict.
#[must_use = "an audit is worth its verdict: call `verified`"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The programme.
    pub programme: ProgrammeId,
    /// Names for people; empty without a genesis.
    pub names: Names,
    /// Every check that failed.
    pub findings: Vec<Finding>,
    /// What accuses nobody.
    pub notes: Vec<Note>,
    /// The totals, of valid leaves only.
    pub totals: Totals,
    /// How many leaves were read.
    pub leaves: u64,
}

/// Totals of an audit without a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedTotals {
    names: Names,
    notes: Vec<Note>,
    totals: Totals,
    leaves: u64,
}

impl Report {
    /// The verdict: the totals if every check held, the report otherwise.
    ///
    /// # Errors
    /// The report itself if it has findings.
    pub fn verified(self) -> Result<VerifiedTotals, Box<Self>> {
        if self.findings.is_empty() {
            let Self { names, notes, totals, leaves, .. } = self;
            Ok(VerifiedTotals { names, notes, totals, leaves })
        } else {
            Err(Box::new(self))
        }
    }
}

impl VerifiedTotals {
    /// Names for people.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What accuses nobody.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The totals.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How many leaves were read.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }
}
