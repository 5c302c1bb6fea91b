//! What a report takes from the manifest: the units of lines, what they are worth, and the most that a household can draw.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use annona_protocol::{
    audit::keys_from_bytes,
    ids::{LineId, ManifestHash, ProgrammeId, Round, SiteId},
    log::{
        leaf::IssuerLeaf,
        note::{Checkpoint, NoteError, SignedNote},
        tile::{TileKind, decode_bundle, paths},
    },
    programme::{Carry, Form, Header, KeyId, Line, Schema, SignedHeader, Worth},
    wire::Message as _,
};

/// Why the manifest of a folder cannot be read. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestReadError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}. Check that this is the published folder, and fetch the file again", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The checkpoint is no signed note.
    #[error("{}: {source}. Fetch the checkpoint again", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NoteError,
    },
    /// A bundle of entries is malformed.
    #[error("{} is cut off or too long. Fetch the log's tiles again", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
    },
}

/// Facts of a programme's manifest; none of a folder without a genesis.
#[derive(Clone, Debug, Default)]
pub struct ManifestFacts {
    versions: Vec<(ManifestHash, Header)>,
    in_force: BTreeMap<Round, usize>,
    /// What vouchers of the key list are worth, and where they are good.
    keys: BTreeMap<(LineId, Round), GoodAt>,
}

/// Values of vouchers, each with the site where they are good; nothing is any site.
type GoodAt = BTreeSet<(Option<SiteId>, u32)>;

impl ManifestFacts {
    /// Reads the control leaves of the issuer's log, a bundle at a time, and the key list. Versions count as far as the chain
    /// from the genesis holds; whether everything else does is for the audit to say.
    ///
    /// # Errors
    /// [`ManifestReadError`].
    pub fn read(folder: &Path, programme: ProgrammeId) -> Result<Self, ManifestReadError> {
        let log = folder.join("logs/issuer");
        let path = log.join("checkpoint");
        let checkpoint = read(&path)?;
        let parsed = SignedNote::parse(&checkpoint).and_then(|note| note.text().parse::<Checkpoint>());
        let size = parsed.map_err(|source| ManifestReadError::Checkpoint { path, source })?.size();
        let mut facts = Self::default();
        for tile in paths(size).take_while(|tile| tile.kind() == TileKind::Entries) {
            let path = log.join(tile.to_string());
            let path = if path.exists() { path } else { log.join(tile.full().to_string()) };
            let mut bytes = read(&path)?;
            let entries = decode_bundle(&bytes, tile.width()).or_else(|| {
                // A full bundle in place of a partial one: the log has grown since the checkpoint.
                let entries = decode_bundle(&bytes, tile.full().width());
                bytes.clear();
                entries
            });
            for entry in entries.ok_or(ManifestReadError::Bundle { path })?.iter().take(tile.width().into()) {
                facts.take(entry, programme);
            }
        }
        // An audit refuses a key list that is none.
        for key in
            fs::read(folder.join("keys.bin")).ok().and_then(|keys| keys_from_bytes(&keys).ok()).unwrap_or_default()
        {
            let KeyId { line, value, round, site, .. } = key.id;
            facts.keys.entry((line, round)).or_default().insert((site, value));
        }
        Ok(facts)
    }

    /// The facts of a chain of versions that is known to hold, each round under the newest.
    pub fn of(headers: &[Header]) -> Self {
        let versions: Vec<_> = headers.iter().map(|header| (header.hash(), header.clone())).collect();
        Self { versions, ..Self::default() }
    }

    fn take(&mut self, entry: &[u8], programme: ProgrammeId) {
        match IssuerLeaf::decode(entry) {
            Ok(IssuerLeaf::Manifest(signed)) if self.follows(&signed, programme) => {
                self.versions.push((signed.header.hash(), signed.header));
            }
            Ok(IssuerLeaf::Open(open)) => {
                if let Some(at) = self.versions.iter().position(|(hash, _)| *hash == open.manifest) {
                    self.in_force.entry(open.round).or_insert(at);
                }
            }
            _ => {}
        }
    }

    fn follows(&self, signed: &SignedHeader, programme: ProgrammeId) -> bool {
        let header = &signed.header;
        header.validate().is_ok()
            && match self.versions.last() {
                None => {
                    header.version == 0
                        && header.programme_id() == programme
                        && signed.verify_signatures(header).is_ok()
                }
                Some((_, previous)) => header.follows(previous).is_ok() && signed.verify_signatures(previous).is_ok(),
            }
    }

    fn latest(&self) -> Option<&Header> {
        self.versions.last().map(|(_, header)| header)
    }

    /// A line as the version in force for a round has it, or else the newest.
    pub fn line(&self, line: LineId, round: Round) -> Option<&Line> {
        let header = self.in_force.get(&round).and_then(|at| self.versions.get(*at)).map(|(_, header)| header);
        header.or_else(|| self.latest())?.line(line)
    }

    /// What vouchers of a line can be worth, in units, in a round and at a site: by the key list, or, where it has no key of the
    /// line and round, by any version of the manifest.
    pub fn values(&self, line: LineId, round: Round, site: SiteId) -> Vec<u64> {
        let good = |(of, _): &&(Option<SiteId>, u32)| of.is_none_or(|of| of == site);
        let listed = self.keys.get(&(line, round)).map(|keys| keys.iter().filter(good).map(|(_, value)| *value));
        let named = || self.versions.iter().filter_map(|(_, header)| header.line(line)).flat_map(|line| &line.values);
        let values: BTreeSet<u32> = match listed {
            Some(listed) => listed.collect(),
            None => named().copied().collect(),
        };
        values.into_iter().filter(|value| *value > 0).map(u64::from).collect()
    }

    /// What a unit of a line is called; empty if no manifest says so.
    pub fn unit(&self, line: LineId) -> &str {
        self.latest().and_then(|header| header.line(line)).map_or("", |line| &line.unit)
    }

    /// Whether what is not drawn of the line stays.
    pub fn carries(&self, line: LineId) -> bool {
        self.latest().and_then(|header| header.line(line)).is_some_and(|line| line.carry == Carry::Carry)
    }

    /// Whether the site is one of the programme's.
    pub fn has_site(&self, site: SiteId) -> bool {
        self.latest().is_some_and(|header| header.site(site).is_some())
    }

    /// The goods that a unit of the line stands for in a round. Of a line without `worth` a unit is a unit.
    pub fn worth(&self, line: LineId, round: Round) -> Vec<Worth> {
        let Some(line) = self.line(line, round) else { return Vec::new() };
        match line.worth_at(round) {
            [] => vec![Worth { item: line.name.clone(), amount: 1, measure: line.unit.clone() }],
            worth => worth.to_vec(),
        }
    }

    /// Every item that any version hands out, with its measure; sorted.
    pub fn items(&self) -> BTreeSet<(String, String)> {
        let mut items = BTreeSet::new();
        for (_, header) in &self.versions {
            for line in &header.lines {
                // Before its first entry, and where an entry is empty, a unit is a unit.
                let all = line.worth.first().is_some_and(|since| since.round <= header.policy.first_round)
                    && line.worth.iter().all(|since| !since.value.is_empty());
                let worth = line.worth.iter().flat_map(|since| &since.value);
                items.extend(worth.map(|worth| (worth.item.clone(), worth.measure.clone())));
                items.extend((!all).then(|| (line.name.clone(), line.unit.clone())));
            }
        }
        items
    }

    /// The rounds that were opened.
    pub fn rounds(&self) -> impl Iterator<Item = Round> + '_ {
        self.in_force.keys().copied()
    }

    /// The most units of a line that one credential can draw in a round, by schema, accrual and starting values (spec 4.1,
    /// 6.4); nothing without a manifest.
    ///
    /// A lapse line's balance is set anew each round; a credential that starts in the round has what its lot gives at once. Of
    /// a carry line everything that accrued up to the round may be drawn in it, and what the lot gave. An amend adds to
    /// neither in the round itself: it takes effect in the next (spec 10.4).
    pub fn household_maximum(&self, line: LineId, round: Round) -> Option<u64> {
        let header = self.latest()?;
        let schema = &header.schema;
        let line = header.line(line)?;
        let given = |lot: &annona_protocol::programme::LotTerms| {
            let balance = lot.start.balances.iter().find(|(id, _)| *id == line.id);
            balance.map_or(0, |(_, form)| maximum(form, schema))
        };
        let most = match line.carry {
            Carry::Lapse => {
                let starting = header.lots.iter().filter(|lot| lot.start.drawn == round).map(given).max().unwrap_or(0);
                maximum(&line.accrual_at(round), schema).max(starting)
            }
            Carry::Carry => {
                let starting = header.lots.iter().map(given).max().unwrap_or(0);
                maximum(&line.cumulative(header.policy.first_round, round), schema) + starting
            }
        };
        // No value of a credential reaches 2^width.
        u64::try_from(most.clamp(0, schema.limit() - 1)).ok()
    }
}

/// The largest value of a form over the schema's ranges.
fn maximum(form: &Form, schema: &Schema) -> i128 {
    form.terms.iter().fold(i128::from(form.constant), |sum, (at, coefficient)| {
        let range = schema.attributes.get(usize::from(*at)).map_or((0, 0), |attribute| (attribute.min, attribute.max));
        sum + i128::from(*coefficient) * i128::from(if *coefficient > 0 { range.1 } else { range.0 })
    })
}

fn read(path: &Path) -> Result<Vec<u8>, ManifestReadError> {
    fs::read(path).map_err(|source| ManifestReadError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use annona_protocol::fixture::{CASH, FOOD, Fixture, INFANT};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    /// Of the fixture: up to 15 members; cash 10 + 6 a member, and a lot that gives half of it in round 2.
    #[test]
    fn the_most_that_a_household_draws_comes_from_the_manifest() {
        let fixture = Fixture::new(&mut ChaCha20Rng::seed_from_u64(1));
        let facts = ManifestFacts::of(&[fixture.chain[1].header.clone()]);
        assert_eq!(facts.household_maximum(FOOD, Round(1)), Some(15));
        assert_eq!(facts.household_maximum(INFANT, Round(3)), Some(15));
        assert_eq!(facts.household_maximum(CASH, Round(1)), Some(100 + 50));
        assert_eq!(facts.household_maximum(CASH, Round(3)), Some(300 + 50));
        assert_eq!(facts.household_maximum(LineId(9), Round(1)), None);
        assert_eq!(ManifestFacts::default().household_maximum(FOOD, Round(1)), None);
    }
}
