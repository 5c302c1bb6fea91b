//! A programme: its manifest chain, its voucher keys, and which version is in force for which round (spec 6).

pub mod announcement;
pub mod form;
pub mod manifest;
pub mod schema;
pub mod statement;
pub mod validate;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    credential::Parameters,
    ids::{KeyIndex, LineId, ManifestHash, ProgrammeId, Round, Units},
    log::merkle,
};
pub use announcement::{Announced, Announcement, AnnouncementError};
pub use form::Form;
pub use manifest::*;
pub use schema::{Attribute, Schema};
pub use validate::{Constant, ManifestError};

/// A validated manifest chain with its key list.
#[derive(Clone, Debug)]
pub struct Programme {
    id: ProgrammeId,
    versions: Vec<(ManifestHash, Header)>,
    parameters: Arc<Parameters>,
    keys: Vec<KeyEntry>,
    index: HashMap<KeyId, KeyIndex>,
    in_force: BTreeMap<Round, usize>,
}

/// A programme as one round sees it: the version in force, and the round.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    /// The programme.
    pub programme: &'a Programme,
    /// The version in force.
    pub header: &'a Header,
    /// Its hash.
    pub hash: ManifestHash,
    /// The round, called `now` in statements.
    pub round: Round,
}

impl Programme {
    /// Validates a chain from its genesis, with the key list of its last version.
    ///
    /// # Errors
    /// The first [`ManifestError`] found.
    pub fn new(chain: &[SignedHeader], keys: Vec<KeyEntry>) -> Result<Self, ManifestError> {
        let genesis = &chain.first().ok_or(ManifestError::Chain)?.header;
        genesis.validate()?;
        if genesis.version != 0 {
            return Err(ManifestError::Genesis);
        }
        let mut programme = Self {
            id: genesis.programme_id(),
            versions: Vec::new(),
            parameters: Arc::new(Parameters::new(genesis.programme_id(), &genesis.schema)),
            keys: Vec::new(),
            index: HashMap::new(),
            in_force: BTreeMap::new(),
        };
        for signed in chain {
            let until = signed.header.key_count as usize;
            let new_keys = keys.get(programme.keys.len()..until).ok_or(ManifestError::KeyList)?;
            programme.append(signed, new_keys)?;
        }
        if programme.keys.len() == keys.len() { Ok(programme) } else { Err(ManifestError::KeyList) }
    }

    /// Appends a version with the keys that it adds to the list.
    ///
    /// # Errors
    /// [`ManifestError`]; the programme is unchanged then.
    pub fn append(&mut self, signed: &SignedHeader, new_keys: &[KeyEntry]) -> Result<(), ManifestError> {
        let header = &signed.header;
        header.validate()?;
        match self.versions.last() {
            None => signed.verify_signatures(header)?,
            Some((_, previous)) => {
                header.follows(previous)?;
                signed.verify_signatures(previous)?;
            }
        }
        let leaves: Vec<_> = self.keys.iter().chain(new_keys).map(KeyEntry::leaf).collect();
        if leaves.len() != header.key_count as usize || merkle::root(&leaves) != header.key_root {
            return Err(ManifestError::KeyList);
        }
        let mut points: HashSet<_> = self.keys.iter().map(|entry| *entry.key.as_bytes()).collect();
        let mut index = self.index.clone();
        for (offset, entry) in new_keys.iter().enumerate() {
            let at = KeyIndex((self.keys.len() + offset) as u32);
            let fresh = points.insert(*entry.key.as_bytes()) && index.insert(entry.id, at).is_none();
            if !fresh || !header.key_is_usable(entry) {
                return Err(ManifestError::Key(at));
            }
        }
        self.index = index;
        self.keys.extend_from_slice(new_keys);
        self.versions.push((header.hash(), header.clone()));
        Ok(())
    }

    /// Fixes the version in force for a round, once: what the round's opening leaf says (spec 6.3).
    ///
    /// # Errors
    /// [`ManifestError::InForce`] if another version is, [`ManifestError::Unknown`] for a foreign hash,
    /// [`ManifestError::Rounds`] for a round that the version does not plan.
    pub fn open_round(&mut self, round: Round, manifest: ManifestHash) -> Result<(), ManifestError> {
        let at = self.versions.iter().position(|(hash, _)| *hash == manifest).ok_or(ManifestError::Unknown)?;
        if !self.versions[at].1.plans(round) {
            return Err(ManifestError::Rounds);
        }
        match self.in_force.insert(round, at) {
            Some(before) if before != at => {
                self.in_force.insert(round, before);
                Err(ManifestError::InForce(round))
            }
            _ => Ok(()),
        }
    }

    /// The programme as `round` sees it.
    ///
    /// # Errors
    /// [`ManifestError::NotInForce`] before the round was opened.
    pub fn in_force(&self, round: Round) -> Result<InForce<'_>, ManifestError> {
        let at = *self.in_force.get(&round).ok_or(ManifestError::NotInForce(round))?;
        let (hash, header) = &self.versions[at];
        Ok(InForce { programme: self, header, hash: *hash, round })
    }

    /// The same programme under another id, issuer key and generators.
    #[cfg(test)]
    pub(crate) fn tampered(&self, id: ProgrammeId, issuer_key: crate::group::Point, parameters: Parameters) -> Self {
        let mut programme = Self { id, parameters: Arc::new(parameters), ..self.clone() };
        programme.versions.iter_mut().for_each(|(_, header)| header.issuer_key = issuer_key);
        programme
    }

    /// The programme's id: the hash of its genesis.
    pub fn id(&self) -> ProgrammeId {
        self.id
    }

    /// The newest version.
    pub fn latest(&self) -> &Header {
        &self.versions.last().expect("a programme has a genesis").1
    }

    /// A version's header by its hash.
    pub fn version(&self, hash: &ManifestHash) -> Option<&Header> {
        self.versions.iter().find(|(known, _)| known == hash).map(|(_, header)| header)
    }

    /// The credential parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.versions[0].1.schema
    }

    /// An entry of the key list.
    pub fn key(&self, at: KeyIndex) -> Option<&KeyEntry> {
        self.keys.get(at.0 as usize)
    }

    /// All entries of the key list.
    pub fn keys(&self) -> &[KeyEntry] {
        &self.keys
    }

    /// The position of a key.
    pub fn key_index(&self, id: &KeyId) -> Option<KeyIndex> {
        self.index.get(id).copied()
    }
}

/// A list of voucher keys with counts, as a request names it: strictly ascending, counts not zero.
pub type KeyCounts = Vec<(KeyIndex, u32)>;

/// The most vouchers that one request may ask for or show.
pub const MAX_VOUCHERS: usize = 128;

/// Why a list of keys and counts is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyListError {
    /// Not ascending, a zero count, or too many vouchers.
    #[error("the list of keys is malformed or too long")]
    Shape,
    /// A key that the version in force does not list.
    #[error("a voucher key is not listed by the manifest in force")]
    Unknown,
    /// A key of another round.
    #[error("a voucher key is of another round")]
    Round,
    /// The units of a line exceed the width.
    #[error("too many units of one line")]
    Units,
}

impl<'a> InForce<'a> {
    /// Looks up a key that the version in force lists.
    pub fn key(&self, at: KeyIndex) -> Option<&'a KeyEntry> {
        if at.0 < self.header.key_count { self.programme.key(at) } else { None }
    }

    /// Checks a request's list of keys and returns the units of each line that it asks for, ascending by line.
    ///
    /// # Errors
    /// [`KeyListError`].
    pub fn units(&self, keys: &[(KeyIndex, u32)]) -> Result<BTreeMap<LineId, Units>, KeyListError> {
        let total: u64 = keys.iter().map(|(_, count)| u64::from(*count)).sum();
        let ascending = keys.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !ascending || keys.iter().any(|(_, count)| *count == 0) || total > MAX_VOUCHERS as u64 {
            return Err(KeyListError::Shape);
        }
        let mut units = BTreeMap::new();
        for (at, count) in keys {
            let entry = self.key(*at).ok_or(KeyListError::Unknown)?;
            if entry.id.round != self.round {
                return Err(KeyListError::Round);
            }
            let more = u64::from(entry.id.value).checked_mul(u64::from(*count)).ok_or(KeyListError::Units)?;
            let sum: &mut Units = units.entry(entry.id.line).or_default();
            *sum = sum.checked_add(Units(more)).ok_or(KeyListError::Units)?;
            if i128::from(sum.0) >= self.header.schema.limit() {
                return Err(KeyListError::Units);
            }
        }
        Ok(units)
    }

    /// The points of a list of keys, one a voucher, in order; of a list that [`InForce::units`] has checked.
    pub(crate) fn expand(&self, keys: &[(KeyIndex, u32)]) -> Result<Vec<KeyEntry>, KeyListError> {
        let mut expanded = Vec::new();
        for (at, count) in keys {
            let entry = self.key(*at).ok_or(KeyListError::Unknown)?;
            expanded.extend(std::iter::repeat_n(*entry, *count as usize));
        }
        Ok(expanded)
    }
}
