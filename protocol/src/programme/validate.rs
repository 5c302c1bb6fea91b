//! Validation of a manifest version by itself, and against the version before it (spec 6.2).

use std::collections::HashSet;

use super::{
    form::Form,
    manifest::{Carry, Header, KeyEntry, Line, LogKey, SignedHeader, Since, Start},
};
use crate::{
    ids::{KeyIndex, LineId, LotId, ManifestHash, ProgrammeId, Round, SiteId},
    range::MAX_VALUES,
    registry::tag,
    signature,
};

/// The most coordinates of a credential.
pub const MAX_ARITY: usize = 64;

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The schema is too large, has no valid width, or an attribute range is empty or too wide.
    #[error("the schema is not usable")]
    Schema,
    /// Rounds are empty, start at 0 or exceed the width.
    #[error("the planned rounds are not usable")]
    Rounds,
    /// Officers or witnesses: none, repeated, an unusable key, or a threshold out of reach.
    #[error("officers, witnesses or a threshold are not usable")]
    Keys,
    /// A line repeats an id, a name or a state, or its state is not of the schema.
    #[error("line {0} is not usable")]
    Line(LineId),
    /// A form is malformed, negative where it must not be, or can exceed the width.
    #[error("a form of line {0} can leave its range")]
    Form(LineId),
    /// More values would have to be range-proven in one draw than a proof takes.
    #[error("a draw of all lines would need too many range proofs")]
    TooManyForms,
    /// A site is repeated, or has no log key.
    #[error("site {0} is not usable")]
    Site(SiteId),
    /// A lot is repeated or starts outside the programme.
    #[error("lot {0} is not usable")]
    Lot(LotId),
    /// The genesis lists keys or names a predecessor.
    #[error("the genesis is not a genesis")]
    Genesis,
    /// The chain is broken: version, predecessor or programme.
    #[error("the version does not follow its predecessor")]
    Chain,
    /// Something constant changed, or a past round was touched.
    #[error("the version changes what must stay: {0}")]
    Changed(Constant),
    /// Fewer than the threshold of valid officers' signatures.
    #[error("too few valid officers' signatures")]
    Signatures,
    /// The key list does not match the header's count and root.
    #[error("the key list does not match the manifest")]
    KeyList,
    /// A key repeats an id or a point, or names an unknown line, value, round, site or slot.
    #[error("voucher key {0} is not usable")]
    Key(KeyIndex),
    /// No version is in force for the round.
    #[error("no manifest is in force for round {0}")]
    NotInForce(Round),
    /// Another version is in force for the round already.
    #[error("another manifest is in force for round {0}")]
    InForce(Round),
    /// The version is not of this programme's chain.
    #[error("the manifest version is unknown")]
    Unknown,
}

/// What may not change along the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Constant {
    /// The schema.
    Schema,
    /// The issuer's key `W`.
    IssuerKey,
    /// The issuer's log.
    IssuerLog,
    /// Policy constants.
    Policy,
    /// Rounds taken away.
    Rounds,
    /// A line's identity, or its accrual or predicates in a round already planned.
    Line(LineId),
    /// A site's identity or past logs.
    Site(SiteId),
    /// A lot's terms.
    Lot(LotId),
    /// Keys taken away.
    KeyList,
}

impl std::fmt::Display for Constant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Schema => f.write_str("schema"),
            Self::IssuerKey => f.write_str("issuer key"),
            Self::IssuerLog => f.write_str("issuer log"),
            Self::Policy => f.write_str("policy"),
            Self::Rounds => f.write_str("planned rounds"),
            Self::Line(id) => write!(f, "line {id}"),
            Self::Site(id) => write!(f, "site {id}"),
            Self::Lot(id) => write!(f, "lot {id}"),
            Self::KeyList => f.write_str("key list"),
        }
    }
}

fn ensure(condition: bool, error: ManifestError) -> Result<(), ManifestError> {
    if condition { Ok(()) } else { Err(error) }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a log or witness can sign notes under the name.
fn is_log_name(name: &str) -> bool {
    crate::log::note::check_name(name).is_ok()
}

fn ascending<T: Ord + Copy>(ids: impl Iterator<Item = T>) -> Option<T> {
    let ids: Vec<T> = ids.collect();
    ids.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1])
}

fn since_is_ordered<T>(entries: &[Since<T>]) -> bool {
    entries.windows(2).all(|pair| pair[0].round < pair[1].round)
}

fn keys_are_usable(keys: &[LogKey]) -> bool {
    let distinct: HashSet<_> = keys.iter().map(|key| key.key).collect();
    distinct.len() == keys.len() && keys.iter().all(|key| key.key.is_valid() && is_log_name(&key.name))
}

impl Header {
    /// Checks everything that one version says by itself.
    ///
    /// # Errors
    /// The first [`ManifestError`] found.
    pub fn validate(&self) -> Result<(), ManifestError> {
        self.validate_schema()?;
        let limit = self.schema.limit();
        ensure(
            self.policy.first_round >= Round(1)
                && self.policy.first_round <= self.last_round
                && i128::from(self.last_round.0) < limit
                && self.last_round.0 - self.policy.first_round.0 < 1200
                && self.policy.cohort_min >= 2,
            ManifestError::Rounds,
        )?;
        let officers: HashSet<_> = self.officers.iter().collect();
        ensure(
            officers.len() == self.officers.len()
                && self.officers.len() <= usize::from(u8::MAX)
                && self.officers.iter().all(|key| key.is_valid())
                && (1..=self.officers.len()).contains(&usize::from(self.threshold))
                && usize::from(self.witness_threshold) <= self.witnesses.len()
                && keys_are_usable(&self.witnesses)
                && keys_are_usable(std::slice::from_ref(&self.issuer_log)),
            ManifestError::Keys,
        )?;
        self.validate_lines()?;
        self.validate_sites()?;
        self.validate_lots()?;
        let is_genesis = self.version == 0;
        let blank = self.previous == ManifestHash::default() && self.programme == ProgrammeId::default();
        ensure(
            is_genesis == blank
                && (!is_genesis || (self.key_count == 0 && self.key_root == crate::log::merkle::empty_root())),
            ManifestError::Genesis,
        )
    }

    fn validate_schema(&self) -> Result<(), ManifestError> {
        let schema = &self.schema;
        let states = usize::from(schema.lapse) + usize::from(schema.carry) + usize::from(schema.spares);
        let limit = 1u64 << schema.width.min(63);
        let names: HashSet<_> = schema.attributes.iter().map(|attribute| &attribute.name).collect();
        ensure(
            matches!(schema.width, 16 | 32)
                && 3 + states + schema.attributes.len() <= MAX_ARITY
                && names.len() == schema.attributes.len()
                && schema.attributes.iter().all(|attribute| {
                    is_name(&attribute.name) && attribute.min <= attribute.max && attribute.max < limit
                }),
            ManifestError::Schema,
        )
    }

    fn validate_lines(&self) -> Result<(), ManifestError> {
        if let Some(id) = ascending(self.lines.iter().map(|line| line.id)) {
            return Err(ManifestError::Line(id));
        }
        let (mut names, mut states, mut forms) = (HashSet::new(), HashSet::new(), 0);
        for line in &self.lines {
            let unique = names.insert(&line.name) && states.insert(line.state);
            // Lapse lines live on lapse coordinates or spares, carry lines on carry coordinates or spares.
            let spares_from = self.schema.lapse + self.schema.carry;
            let own = match line.carry {
                Carry::Lapse => line.state < self.schema.lapse,
                Carry::Carry => (self.schema.lapse..spares_from).contains(&line.state),
            };
            ensure(
                unique
                    && (own || (spares_from..self.schema.states()).contains(&line.state))
                    && is_name(&line.name)
                    && !line.values.is_empty()
                    && line.values[0] > 0
                    && line.values.windows(2).all(|pair| pair[0] < pair[1])
                    && since_is_ordered(&line.accrual)
                    && since_is_ordered(&line.predicates)
                    && since_is_ordered(&line.worth)
                    && (line.carry == Carry::Lapse || line.predicates.is_empty()),
                ManifestError::Line(line.id),
            )?;
            forms += 1 + line.predicates.iter().map(|entry| entry.value.len()).max().unwrap_or(0);
            self.validate_forms(line)?;
        }
        ensure(forms <= MAX_VALUES, ManifestError::TooManyForms)
    }

    fn validate_forms(&self, line: &Line) -> Result<(), ManifestError> {
        let limit = self.schema.limit();
        let bounded = |form: &Form| {
            form.is_well_formed(&self.schema)
                && i128::from(form.constant).abs() < limit
                && form.terms.iter().all(|(_, coefficient)| i128::from(*coefficient).abs() < limit)
                && form.maximum(&self.schema) < limit
        };
        let accrues = line.accrual.iter().all(|entry| entry.value.is_monotone() && bounded(&entry.value));
        let predicates = line.predicates.iter().flat_map(|entry| &entry.value).all(bounded);
        // Each round's form is bounded and there are at most 1,200 rounds: the sum fits an i64.
        let fits = accrues
            && (line.carry == Carry::Lapse
                || line.cumulative(self.policy.first_round, self.last_round).maximum(&self.schema) < limit);
        ensure(fits && predicates, ManifestError::Form(line.id))
    }

    fn validate_sites(&self) -> Result<(), ManifestError> {
        if let Some(id) = ascending(self.sites.iter().map(|site| site.id)) {
            return Err(ManifestError::Site(id));
        }
        let mut logs = HashSet::from([&self.issuer_log.name]);
        let mut keys = HashSet::from([self.issuer_log.key]);
        for site in &self.sites {
            let usable = !site.logs.is_empty()
                && site.slots <= 4
                && site.slots != 1
                && site.logs.iter().all(|log| log.key.is_valid() && is_log_name(&log.name))
                && site.logs.iter().all(|log| logs.insert(&log.name) && keys.insert(log.key));
            ensure(usable, ManifestError::Site(site.id))?;
        }
        Ok(())
    }

    fn validate_lots(&self) -> Result<(), ManifestError> {
        if let Some(id) = ascending(self.lots.iter().map(|lot| lot.id)) {
            return Err(ManifestError::Lot(id));
        }
        for lot in &self.lots {
            ensure(self.start_is_usable(&lot.start), ManifestError::Lot(lot.id))?;
        }
        Ok(())
    }

    /// A start's balances are of known lines, and leave every later `E_j - debit_j` below the width.
    fn start_is_usable(&self, start: &Start) -> bool {
        let first = self.policy.first_round;
        start.drawn.0.saturating_add(1) >= first.0
            && start.drawn <= self.last_round
            && ascending(start.balances.iter().map(|(line, _)| *line)).is_none()
            // Before its first round a credential holds nothing.
            && (start.drawn >= first || start.balances.is_empty())
            && start.balances.iter().all(|(id, form)| {
                self.line(*id).is_some_and(|line| {
                    let accrued_later = line.cumulative(first, self.last_round).maximum(&self.schema);
                    form.is_well_formed(&self.schema)
                        && form.is_monotone()
                        && match line.carry {
                            Carry::Lapse => form.maximum(&self.schema) < self.schema.limit(),
                            Carry::Carry => form.maximum(&self.schema) + accrued_later < self.schema.limit(),
                        }
                })
            })
    }

    /// Checks that this version may follow `previous`.
    ///
    /// # Errors
    /// [`ManifestError::Chain`] or [`ManifestError::Changed`].
    pub fn follows(&self, previous: &Self) -> Result<(), ManifestError> {
        ensure(
            Some(self.version) == previous.version.checked_add(1)
                && self.previous == previous.hash()
                && self.programme == previous.programme_id(),
            ManifestError::Chain,
        )?;
        let same = |condition, what| ensure(condition, ManifestError::Changed(what));
        same(self.schema == previous.schema, Constant::Schema)?;
        same(self.issuer_key == previous.issuer_key, Constant::IssuerKey)?;
        same(self.issuer_log == previous.issuer_log, Constant::IssuerLog)?;
        same(
            self.policy.first_round == previous.policy.first_round
                && self.policy.advance == previous.policy.advance
                && self.policy.cohort_min >= previous.policy.cohort_min,
            Constant::Policy,
        )?;
        same(self.last_round >= previous.last_round, Constant::Rounds)?;
        for old in &previous.lines {
            let kept = self.line(old.id).is_some_and(|new| {
                (&new.name, new.carry, new.state) == (&old.name, old.carry, old.state)
                    && (previous.policy.first_round.0..=previous.last_round.0).map(Round).all(|round| {
                        new.accrual_at(round) == old.accrual_at(round)
                            && new.predicates_at(round) == old.predicates_at(round)
                    })
            });
            same(kept, Constant::Line(old.id))?;
        }
        // A line on a spare accrues nothing in rounds that could be drawn before it existed.
        for new in self.lines.iter().filter(|line| previous.line(line.id).is_none()) {
            let silent = (previous.policy.first_round.0..=previous.last_round.0)
                .all(|round| new.accrual_at(Round(round)) == Form::default());
            same(silent, Constant::Line(new.id))?;
        }
        for old in &previous.sites {
            let kept = self
                .site(old.id)
                .is_some_and(|new| (&new.name, new.slots) == (&old.name, old.slots) && new.logs.starts_with(&old.logs));
            same(kept, Constant::Site(old.id))?;
        }
        for old in &previous.lots {
            same(self.lot(old.id) == Some(old), Constant::Lot(old.id))?;
        }
        same(self.key_count >= previous.key_count, Constant::KeyList)
    }

    /// Checks one key of the list against this version.
    pub(crate) fn key_is_usable(&self, entry: &KeyEntry) -> bool {
        let id = &entry.id;
        let site_fits = match (id.site, id.slot) {
            (None, slot) => slot.is_none(),
            (Some(site), slot) => self.site(site).is_some_and(|site| match slot {
                None => site.slots == 0,
                Some(slot) => slot.0 < site.slots,
            }),
        };
        site_fits && self.plans(id.round) && self.line(id.line).is_some_and(|line| line.values.contains(&id.value))
    }
}

impl SignedHeader {
    /// Checks the officers' signatures; `deciding` is the version before, or the genesis itself.
    ///
    /// # Errors
    /// [`ManifestError::Signatures`] unless at least the threshold of distinct officers signed, in ascending order, and every
    /// signature is valid.
    pub fn verify_signatures(&self, deciding: &Header) -> Result<(), ManifestError> {
        verify_officers(tag::MANIFEST, &self.header.hash().0, deciding, &self.signatures)
    }
}

/// Checks t-of-n officers' signatures over a message.
pub(crate) fn verify_officers(
    tag: &'static str,
    message: &[u8],
    deciding: &Header,
    signatures: &[super::manifest::OfficerSignature],
) -> Result<(), ManifestError> {
    let ordered = signatures.windows(2).all(|pair| pair[0].officer < pair[1].officer);
    ensure(ordered && signatures.len() >= usize::from(deciding.threshold), ManifestError::Signatures)?;
    signatures.iter().try_for_each(|signature| {
        let key = deciding.officers.get(usize::from(signature.officer)).ok_or(ManifestError::Signatures)?;
        signature::verify(tag, message, key, &signature.signature).map_err(|_| ManifestError::Signatures)
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::fixture::Fixture;

    /// Nobody's signature is checked before a header is validated: extreme numbers must not panic.
    #[test]
    fn extreme_rounds_are_refused() {
        let mut header = Fixture::new(&mut ChaCha20Rng::seed_from_u64(1)).chain[1].header.clone();
        header.lots[0].start.drawn = Round(u32::MAX);
        assert_eq!(header.validate(), Err(ManifestError::Lot(header.lots[0].id)));
        header.last_round = Round(u32::MAX);
        assert_eq!(header.validate(), Err(ManifestError::Rounds));
    }
}
