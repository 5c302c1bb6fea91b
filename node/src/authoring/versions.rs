//! An edited file as the next version, and the protocol's own verdict brought back to a place in the file.

use annona_protocol::{
    ids::Round,
    programme::{Constant, Form, Header, Line, ManifestError, Site},
};

use super::{
    draft::Draft,
    file::{At, File, From},
    problem::{DraftError, DraftProblem},
};

impl Draft {
    /// The file as the version after `previous`, with the same key list: keys are added by [`super::add_keys`].
    ///
    /// Lines that `previous` does not have take spares. The schema's shape and the issuer's keys are `previous`'s.
    ///
    /// # Errors
    /// [`DraftError`] at what may not change, or at where something is missing.
    pub fn next(&self, previous: &Header) -> Result<Header, DraftError> {
        self.check_constants(previous)?;
        let header = Header {
            version: previous.version.checked_add(1).ok_or_else(|| self.source.error(0, DraftProblem::NoVersion))?,
            previous: previous.hash(),
            programme: previous.programme_id(),
            schema: previous.schema.clone(),
            issuer_key: previous.issuer_key,
            issuer_log: previous.issuer_log.clone(),
            lines: self.lines_after(previous)?,
            key_count: previous.key_count,
            key_root: previous.key_root,
            ..self.common(previous.issuer_key, previous.issuer_log.key)
        };
        self.check_sites_and_lots(&header, previous)?;
        header.follows(previous).map_err(|error| self.placed(error))?;
        self.validated(header)
    }

    /// The header, if the protocol finds nothing wrong with it.
    pub(super) fn validated(&self, header: Header) -> Result<Header, DraftError> {
        match header.validate() {
            Ok(()) => Ok(header),
            Err(error) => Err(self.placed(error)),
        }
    }

    fn check_constants(&self, previous: &Header) -> Result<(), DraftError> {
        let file = &self.file;
        let (schema, rounds, policy) = (file.schema.get_ref(), file.rounds.get_ref(), file.policy.get_ref());
        self.fixed(*file.log.get_ref() == previous.issuer_log.name, &file.log, "the name of the issuer's log", "")?;
        self.fixed(*schema.width.get_ref() == previous.schema.width, &schema.width, "the width", "")?;
        self.fixed(*schema.spares.get_ref() == previous.schema.spares, &schema.spares, "the number of spares", "")?;
        for (at, old) in previous.schema.attributes.iter().enumerate() {
            let Some(raw) = file.attributes.get(at) else {
                let (what, id) = ("attribute", u32::try_from(at + 1).unwrap_or(u32::MAX));
                return Err(self.source.at(&file.schema, DraftProblem::Removed { what, id, advice: "" }));
            };
            self.fixed(self.schema.attributes[at] == *old, raw, "an attribute", "")?;
        }
        if let Some(extra) = file.attributes.get(previous.schema.attributes.len()) {
            let advice = " by removing this one: only a new programme can have more";
            return Err(self.source.at(extra, DraftProblem::Fixed { what: "the list of attributes", advice }));
        }
        let first = Round(*rounds.first.get_ref());
        self.fixed(first == previous.policy.first_round, &rounds.first, "the first round", "")?;
        let advice = ", or write a later one";
        self.fixed(Round(*rounds.last.get_ref()) >= previous.last_round, &rounds.last, "the last round", advice)?;
        self.fixed(*policy.advance.get_ref() == previous.policy.advance, &policy.advance, "`advance`", "")?;
        let advice = ", or write a larger one";
        let may_grow = *policy.cohort_min.get_ref() >= previous.policy.cohort_min;
        self.fixed(may_grow, &policy.cohort_min, "`cohort_min`", advice)
    }

    fn fixed<T>(&self, is_same: bool, at: &At<T>, what: &'static str, advice: &'static str) -> Result<(), DraftError> {
        if is_same { Ok(()) } else { Err(self.source.at(at, DraftProblem::Fixed { what, advice })) }
    }

    fn lines_after(&self, previous: &Header) -> Result<Vec<Line>, DraftError> {
        for old in &previous.lines {
            if !self.lines.iter().any(|line| line.id == old.id) {
                let advice = "; to end a line, let its accrual be \"0\" from a later round on";
                let problem = DraftProblem::Removed { what: "line", id: old.id.0.into(), advice };
                return Err(self.source.at(&self.file.name, problem));
            }
        }
        let schema = &previous.schema;
        let mut spares: Vec<u8> = (schema.lapse + schema.carry..schema.states())
            .filter(|state| previous.lines.iter().all(|line| line.state != *state))
            .rev()
            .collect();
        let mut lines = self.lines.clone();
        for line in &mut lines {
            let raw = line_of(&self.file, line);
            match previous.line(line.id) {
                Some(old) => {
                    self.fixed(line.name == old.name, &raw.name, "the name of a line", "")?;
                    self.fixed(line.carry == old.carry, &raw.kind, "the kind of a line", "")?;
                    line.state = old.state;
                    let accrues = |round| line.accrual_at(round) == old.accrual_at(round);
                    let at = |round| entry_at(raw.accrual.get_ref(), round).unwrap_or(raw.accrual.span().start);
                    self.planned(previous, accrues, at)?;
                    let allows = |round| line.predicates_at(round) == old.predicates_at(round);
                    let at = |round| {
                        let entries = raw.predicates.as_ref();
                        let fallback = entries.map_or(raw.name.span().start, |entries| entries.span().start);
                        entries.and_then(|entries| entry_at(entries.get_ref(), round)).unwrap_or(fallback)
                    };
                    self.planned(previous, allows, at)?;
                }
                None => {
                    line.state = spares.pop().ok_or_else(|| self.source.at(&raw.id, DraftProblem::NoSpare))?;
                    // Nothing accrues in rounds that could be drawn before the line was there.
                    let silent = |round| line.accrual_at(round) == Form::default();
                    let at = |round| entry_at(raw.accrual.get_ref(), round).unwrap_or(raw.accrual.span().start);
                    self.planned(previous, silent, at)?;
                }
            }
        }
        Ok(lines)
    }

    /// Nothing changes in a round that `previous` plans.
    fn planned(
        &self,
        previous: &Header,
        is_same: impl Fn(Round) -> bool,
        at: impl Fn(Round) -> usize,
    ) -> Result<(), DraftError> {
        let (first, last) = (previous.policy.first_round.0, previous.last_round.0);
        match (first..=last).find(|round| !is_same(Round(*round))) {
            None => Ok(()),
            Some(round) => {
                Err(self.source.error(at(Round(round)), DraftProblem::PlannedRound { round, next: last + 1 }))
            }
        }
    }

    fn check_sites_and_lots(&self, header: &Header, previous: &Header) -> Result<(), DraftError> {
        for old in &previous.sites {
            let removed = DraftProblem::Removed { what: "site", id: old.id.0.into(), advice: "" };
            let Some(new) = header.site(old.id) else {
                return Err(self.source.at(&self.file.name, removed));
            };
            let raw = site_of(&self.file, new);
            self.fixed(new.name == old.name, &raw.name, "the name of a site", ", and change its labels")?;
            self.fixed(new.slots == old.slots, &raw.slots, "the number of slots", "")?;
            let advice = ", and add new logs behind the old";
            self.fixed(new.logs.starts_with(&old.logs), &raw.logs, "a log of a site", advice)?;
        }
        for old in &previous.lots {
            let removed = DraftProblem::Removed { what: "lot", id: old.id.0, advice: "" };
            let Some(new) = header.lot(old.id) else {
                return Err(self.source.at(&self.file.name, removed));
            };
            let raw = self.file.lots.iter().find(|lot| *lot.get_ref().id.get_ref() == new.id.0);
            let raw = raw.expect("a lot of the header is one of the file");
            self.fixed(new == old, raw, "a ticket lot", ", and add another lot")?;
        }
        Ok(())
    }

    /// The protocol's verdict at the item that it is about.
    fn placed(&self, error: ManifestError) -> DraftError {
        let file = &self.file;
        let line = |id| file.lines.iter().find(|line| line.get_ref().id.get_ref() == id).map(|line| &line.get_ref().id);
        let site = |id| file.sites.iter().find(|site| site.get_ref().id.get_ref() == id).map(|site| &site.get_ref().id);
        let start = match &error {
            ManifestError::Schema | ManifestError::Changed(Constant::Schema) => Some(file.schema.span().start),
            ManifestError::Rounds | ManifestError::Changed(Constant::Rounds) => Some(file.rounds.span().start),
            ManifestError::Changed(Constant::Policy) => Some(file.policy.span().start),
            ManifestError::Keys => Some(file.officers.span().start),
            ManifestError::Line(id) | ManifestError::Form(id) | ManifestError::Changed(Constant::Line(id)) => {
                line(&id.0).map(|id| id.span().start)
            }
            ManifestError::Site(id) | ManifestError::Changed(Constant::Site(id)) => {
                site(&id.0).map(|id| id.span().start)
            }
            ManifestError::Lot(id) | ManifestError::Changed(Constant::Lot(id)) => {
                let lot = file.lots.iter().find(|lot| *lot.get_ref().id.get_ref() == id.0);
                lot.map(|lot| lot.get_ref().id.span().start)
            }
            _ => None,
        };
        self.source.error(start.unwrap_or(0), DraftProblem::Manifest(error))
    }
}

fn line_of<'a>(file: &'a File, line: &Line) -> &'a super::file::Line {
    let found = file.lines.iter().find(|raw| *raw.get_ref().id.get_ref() == line.id.0);
    found.expect("a line of a draft is one of its file").get_ref()
}

fn site_of<'a>(file: &'a File, site: &Site) -> &'a super::file::Site {
    let found = file.sites.iter().find(|raw| *raw.get_ref().id.get_ref() == site.id.0);
    found.expect("a site of a draft is one of its file").get_ref()
}

/// Where the entry stands that holds in a round.
fn entry_at<T>(entries: &[From<T>], round: Round) -> Option<usize> {
    entries.iter().rev().find(|entry| *entry.from.get_ref() <= round.0).map(|entry| entry.from.span().start)
}
