//! What failed, as it is found. A log's owner can make every leaf of it false: what an auditor keeps in memory is bounded.

use std::collections::BTreeMap;

use super::{Check, Finding, Note, Party};

/// Findings of one check, party and log that are listed; more are counted.
pub(super) const LISTED: u64 = 10_000;

/// Findings in the order in which they come.
#[derive(Default)]
pub(super) struct Findings {
    listed: Vec<Finding>,
    /// By check, party and log, how many there are.
    counts: BTreeMap<(Check, Party, String), u64>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        let count = self.counts.entry((finding.check, finding.party, finding.log.clone())).or_default();
        *count += 1;
        if *count <= LISTED {
            self.listed.push(finding);
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// Whether a check has failed.
    pub(super) fn has(&self, check: Check) -> bool {
        self.counts.keys().any(|(known, ..)| *known == check)
    }

    /// All that are listed, by check, party, log and leaf: threads and sorters find them in any order. Then how many are not.
    pub(super) fn sorted(self) -> (Vec<Finding>, Vec<Note>) {
        let Self { mut listed, counts } = self;
        listed.sort_unstable();
        let more = |((check, party, log), count): ((Check, Party, String), u64)| {
            let count = count.checked_sub(LISTED).filter(|count| *count > 0)?;
            Some(Note::FindingsLeftOut { check, party, log, count })
        };
        (listed, counts.into_iter().filter_map(more).collect())
    }
}
