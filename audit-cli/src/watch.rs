//! Mirrors and verifies again and again, and says what changed (spec/audit.md 3.1).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use annona_protocol::audit::{Check, Finding, Note, Report};
use serde_json::{Value, json};

use crate::{
    LoadError, VerifyError,
    mirror::{self, Fault, LogState, MirrorError, Options, Outcome, SourceError, chain_of, evidence_of},
    print,
};

/// One thing that changed since the round before.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A log is here for the first time, or grew.
    Log(LogState),
    /// Another file is new, below the folder.
    File(String),
    /// A log, or whoever serves it, did wrong.
    Fault(Fault),
    /// Evidence of earlier runs is in the folder: so many files.
    Evidence(usize),
    /// A source cannot be reached or used.
    Unreached {
        /// The source.
        source: String,
        /// Why.
        why: String,
    },
    /// A source that could not be reached was.
    Reached(String),
    /// Everything holds, of so many leaves.
    Verified(u64),
    /// Something does not hold that did before, or that is new.
    Finding(Finding),
    /// What did not hold does now: so many findings of the round before are gone.
    Settled(usize),
    /// The audit says what accuses nobody.
    Note(Note),
    /// The folder cannot be verified yet.
    Unverified(String),
}

impl Event {
    /// The stable name of the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::File(_) => "file",
            Self::Fault(_) => "fault",
            Self::Evidence(_) => "evidence",
            Self::Unreached { .. } => "unreached",
            Self::Reached(_) => "reached",
            Self::Verified(_) => "verified",
            Self::Finding(_) => "finding",
            Self::Settled(_) => "settled",
            Self::Note(_) => "note",
            Self::Unverified(_) => "unverified",
        }
    }

    /// An object of one line.
    pub fn to_json(&self) -> Value {
        let mut value = match self {
            Self::Log(LogState { log, origin, before, size }) => {
                json!({ "log": log, "origin": origin, "before": before, "size": size })
            }
            Self::File(file) => json!({ "file": file }),
            Self::Fault(fault) => json!({
                "code": fault.kind.code(), "meaning": fault.kind.meaning(), "log": fault.log, "origin": fault.origin,
                "path": fault.path, "evidence": fault.evidence,
            }),
            Self::Evidence(files) => json!({ "files": files }),
            Self::Unreached { source, why } => json!({ "source": source, "why": why }),
            Self::Reached(source) => json!({ "source": source }),
            Self::Verified(leaves) => json!({ "leaves": leaves }),
            Self::Finding(finding) => print::finding(finding),
            Self::Settled(count) => json!({ "findings": count }),
            Self::Note(note) => json!({ "note": note.to_string() }),
            Self::Unverified(why) => json!({ "why": why }),
        };
        value["event"] = self.name().into();
        value
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Log(LogState { log, origin, before, size }) => {
                format!("{log} {origin}: {size} leaves, {} new", size.saturating_sub(*before))
            }
            Self::File(file) => format!("{file}: new"),
            Self::Fault(Fault { kind, log, origin, path, evidence }) => {
                let evidence = evidence
                    .as_ref()
                    .map_or_else(|| "none, as there is much already".into(), |path| path.display().to_string());
                let path = path.as_deref().unwrap_or("-");
                format!("{} {log} {origin} {path}: {}; evidence: {evidence}", kind.code(), kind.meaning())
            }
            Self::Evidence(files) => format!("evidence of earlier runs: {files} files"),
            Self::Unreached { source, why } => format!("not reached {source}: {why}"),
            Self::Reached(source) => format!("reached again {source}"),
            Self::Verified(leaves) => format!("verified: {leaves} leaves"),
            Self::Finding(finding) => format!("NOT VERIFIED: {finding}"),
            Self::Settled(count) => format!("settled: {count} findings of before"),
            Self::Note(note) => format!("note: {note}"),
            Self::Unverified(why) => format!("not verified yet: {why}"),
        };
        // Names are a stranger's.
        f.write_str(&print::clean(&text))
    }
}

/// Why watching ended. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The folder, or a site that the manifest does not name.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The auditor's own machine: memory, threads, cache, temporary files.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// What a watch knows of the rounds before.
#[derive(Debug, Default)]
pub struct Watch {
    folder: PathBuf,
    is_started: bool,
    is_stale: bool,
    unreached: BTreeMap<String, String>,
    faults: BTreeSet<String>,
    findings: BTreeSet<Finding>,
    notes: BTreeSet<String>,
    has_fault: bool,
    /// The issuer's log, if what is here of it may be older than those of the sites.
    older_issuer: Option<String>,
    /// What was not verified, as was said.
    unverified: Option<String>,
}

impl Watch {
    /// A watch of this mirror, which a round makes if it is missing.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, is_stale: true, ..Self::default() }
    }

    /// Whether a fault was named, or something does not hold now.
    pub fn has_failed(&self) -> bool {
        self.has_fault || !self.findings.is_empty()
    }

    /// Whether a source could not be reached in the last round, or nothing could be verified.
    pub fn is_incomplete(&self) -> bool {
        self.is_stale || !self.unreached.is_empty()
    }

    /// Whether something is to be verified: a file changed, or nothing was verified yet.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Copies what is new. None if it was told to stop before a fault was found.
    ///
    /// # Errors
    /// [`WatchError::Mirror`] for what no later round mends: the disk, a damaged mirror, a site that is none.
    pub fn mirror(&mut self, options: &Options, stop: &AtomicBool) -> Result<Option<Vec<Event>>, WatchError> {
        let mut events = Vec::new();
        if !self.is_started {
            self.is_started = true;
            let files = evidence_of(&self.folder)?.len();
            events.extend((files > 0).then_some(Event::Evidence(files)));
        }
        let outcome = match mirror::mirror(&self.folder, options, stop) {
            Ok(outcome) => outcome,
            Err(MirrorError::Source(SourceError::Stopped)) => return Ok(None),
            Err(error @ (MirrorError::File(_) | MirrorError::Damaged { .. } | MirrorError::NoSite { .. })) => {
                return Err(error.into());
            }
            // The manifest of the mirror itself; a source's may be another in a later round.
            Err(error @ MirrorError::Chain(_)) if chain_of(&self.folder, options.programme).is_err() => {
                return Err(error.into());
            }
            // Nobody answered, or another mirror is at work: later.
            Err(error) => {
                let source = self.folder.display().to_string();
                Outcome { unreached: vec![(source, error)], ..Outcome::default() }
            }
        };
        let Outcome { logs, added, faults, unreached } = outcome;
        for log in logs.into_iter().filter(|log| log.before != log.size) {
            self.is_stale = true;
            events.push(Event::Log(log));
        }
        for file in added {
            self.is_stale = true;
            events.push(Event::File(file));
        }
        for fault in faults {
            self.has_fault = true;
            let about = format!("{:?} {} {:?} {:?}", fault.kind, fault.log, fault.path, fault.evidence);
            if self.faults.insert(about) {
                events.push(Event::Fault(fault));
            }
        }
        // Who was not asked any more was neither reached nor not.
        if stop.load(Ordering::SeqCst) {
            return Ok(Some(events));
        }
        let unreached: BTreeMap<String, String> =
            unreached.into_iter().map(|(source, error)| (source, error.to_string())).collect();
        for (source, why) in &unreached {
            if !self.unreached.contains_key(source) {
                events.push(Event::Unreached { source: source.clone(), why: why.clone() });
            }
        }
        let again = self.unreached.keys().filter(|source| !unreached.contains_key(*source));
        events.extend(again.map(|source| Event::Reached(source.clone())));
        self.older_issuer = if self.is_issuer_behind(options, &unreached) {
            chain_of(&self.folder, options.programme)?.map(|chain| chain.newest().issuer_log.name.clone())
        } else {
            None
        };
        self.unreached = unreached;
        Ok(Some(events))
    }

    /// Whether the issuer's log here may be older than those of the sites: who has it was not reached.
    fn is_issuer_behind(&self, options: &Options, unreached: &BTreeMap<String, String>) -> bool {
        let is_missing = |source: &String| unreached.contains_key(source);
        match &options.issuer {
            _ if is_missing(&self.folder.display().to_string()) => true,
            Some(url) => is_missing(url),
            None => options.folders.iter().any(|folder| is_missing(&folder.display().to_string())),
        }
    }

    /// Takes what an audit of the folder said.
    ///
    /// # Errors
    /// [`WatchError::Verify`] for what no later round mends: this machine's memory, threads or cache.
    pub fn verified(&mut self, report: Result<Report, VerifyError>) -> Result<Vec<Event>, WatchError> {
        let mut report = match report {
            Ok(report) => report,
            // What is not here yet, or was written to meanwhile.
            Err(error @ (VerifyError::Load(_) | VerifyError::Changed { .. })) => {
                return Ok(vec![Event::Unverified(without_end(&error))]);
            }
            Err(error) => return Err(error.into()),
        };
        let mut events = Vec::new();
        // The opening may be in what the issuer could not be asked for.
        let all = report.findings.len();
        let may_open = |finding: &Finding| {
            finding.check == Check::RoundNotOpen
                && self.older_issuer.as_ref().is_some_and(|log| *log != finding.log)
                // What was said when the issuer did answer is not settled by its silence.
                && !self.findings.contains(finding)
        };
        report.findings.retain(|finding| !may_open(finding));
        let held = all - report.findings.len();
        self.is_stale = held > 0;
        if held > 0 {
            let why = format!("the issuer was not reached, whose log here does not open what {held} leaves need");
            if self.unverified.as_ref() != Some(&why) {
                events.push(Event::Unverified(why.clone()));
            }
            self.unverified = Some(why);
        } else {
            self.unverified = None;
        }
        for note in report.notes {
            // How many leaves a note counts changes with every round.
            if self.notes.insert(note.to_string()) {
                events.push(Event::Note(note));
            }
        }
        let leaves = report.leaves;
        let findings: BTreeSet<Finding> = report.findings.into_iter().collect();
        let gone = self.findings.difference(&findings).count();
        events.extend((gone > 0).then_some(Event::Settled(gone)));
        events.extend(findings.difference(&self.findings).cloned().map(Event::Finding));
        if findings.is_empty() && held == 0 {
            events.push(Event::Verified(leaves));
        }
        self.findings = findings;
        Ok(events)
    }
}

fn without_end(error: &VerifyError) -> String {
    match error {
        VerifyError::Load(LoadError::Read { path, .. }) => format!("{} is not here", path.display()),
        error => error.to_string(),
    }
}
