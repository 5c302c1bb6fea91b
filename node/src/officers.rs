//! Officers: their keys, and proposals that need t of n of them (spec 4.1, 6.2).
//!
//! A proposal is a manifest version with the voucher keys that it adds, or a ticket lot. It travels as a file from the office
//! to each officer, who reads [`Proposal::describe`], signs and sends it back; [`Proposal::merge`] collects signatures that
//! came by different ways, [`Proposal::approve`] makes of it what the issuer's log takes.
//!
//! ```text
//! file = "annona proposal 1\n" || postcard(Proposal)
//! ```
//!
//! An officer's program needs the version before as well, which decides who may sign; from it and the proposal's frontier it
//! checks that the added keys are all that the new key list adds.

mod describe;
mod key;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use annona_protocol::{
    ids::{LotId, ProgrammeId},
    log::{Frontier, TreeHash, leaf::LotLeaf},
    programme::{Header, KeyEntry, KeyId, ManifestError, OfficerSignature, SignedHeader},
    registry::tag,
    signature,
    wire::Message as _,
};
use serde::{Deserialize, Serialize};

pub use self::key::OfficerKey;
use crate::authoring::key_ids;

/// What officers are asked to sign, with the signatures so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    subject: Subject,
    /// Ascending by officer.
    signatures: Vec<OfficerSignature>,
}

/// What a proposal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A manifest version.
    Version {
        /// The header.
        header: Header,
        /// The frontier of the key list before it: the roots of its complete subtrees, the highest first.
        frontier: Vec<TreeHash>,
        /// The voucher keys that it adds, in order.
        added: Vec<KeyEntry>,
    },
    /// A ticket lot.
    Lot {
        /// The programme.
        programme: ProgrammeId,
        /// The lot; its terms are in the manifest.
        lot: LotId,
        /// How many tickets it has.
        count: u64,
        /// The root over the tickets' leaves.
        root: TreeHash,
    },
}

/// A proposal with enough signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approved {
    /// A manifest version and the keys that it adds.
    Version {
        /// The header with its signatures.
        signed: SignedHeader,
        /// The keys.
        added: Vec<KeyEntry>,
    },
    /// A ticket lot, as the log takes it.
    Lot(LotLeaf),
}

/// Why a proposal cannot be read, signed or approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// Not a proposal's file.
    #[error("this file is no proposal, or was damaged on its way: ask the office to send it again")]
    Malformed,
    /// Longer than any proposal.
    #[error("this file is longer than any proposal: check that it is the right one")]
    TooLong,
    /// A rule of manifests is broken.
    #[error("the proposed version breaks a rule: {0}; do not sign it, and tell the office")]
    Manifest(#[from] ManifestError),
    /// The key list is not the one before with the added keys, or a key stands for nothing in the manifest.
    #[error("the voucher keys of the proposal are not what its manifest lists: do not sign it, and tell the office")]
    Keys,
    /// For another programme, or after another version.
    #[error(
        "the proposal does not belong to this programme as it stands now: get the newest manifest, or a new proposal"
    )]
    Stale,
    /// A lot that the manifest does not have, or one without tickets.
    #[error("the manifest has no such ticket lot, or the lot is empty: add the lot to the programme's file first")]
    Lot,
    /// The key is none of the officers'.
    #[error("this key is no officer's of the version that decides: use the officer's key, or ask who the officers are")]
    NotAnOfficer,
    /// The officer has signed already.
    #[error("this officer has signed the proposal already: pass it on to another officer")]
    SignedTwice,
    /// A signature that does not hold, or signatures out of order.
    #[error("a signature on the proposal does not hold: ask the office for a clean copy")]
    Signature,
    /// Signatures for something else.
    #[error("the two files are different proposals: compare what they describe")]
    WrongProposal,
    /// Too few signatures.
    #[error("the proposal has {have} of {need} signatures: let more officers sign")]
    TooFew {
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: usize,
    },
}

impl ProposalError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "proposal_malformed",
            Self::TooLong => "proposal_too_long",
            Self::Manifest(_) => "proposal_manifest",
            Self::Keys => "proposal_keys",
            Self::Stale => "proposal_stale",
            Self::Lot => "proposal_lot",
            Self::NotAnOfficer => "proposal_not_an_officer",
            Self::SignedTwice => "proposal_signed_twice",
            Self::Signature => "proposal_signature",
            Self::WrongProposal => "proposal_differs",
            Self::TooFew { .. } => "proposal_too_few",
        }
    }
}

const MAGIC: &[u8] = b"annona proposal 1\n";

impl Proposal {
    /// The most bytes of a file: half a million keys.
    pub const MAX_BYTES: usize = 32 << 20;

    /// Proposes a manifest version that adds `added` to the key list `old`.
    pub fn version(header: Header, old: &[KeyEntry], added: Vec<KeyEntry>) -> Self {
        let frontier = old.iter().map(KeyEntry::leaf).collect::<Frontier>().nodes().to_vec();
        Self { subject: Subject::Version { header, frontier, added }, signatures: Vec::new() }
    }

    /// Proposes a ticket lot.
    pub fn lot(programme: ProgrammeId, lot: LotId, count: u64, root: TreeHash) -> Self {
        Self { subject: Subject::Lot { programme, lot, count, root }, signatures: Vec::new() }
    }

    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The officers who have signed, by their positions; of a checked proposal, in fact theirs.
    pub fn signed_by(&self) -> impl Iterator<Item = u8> {
        self.signatures.iter().map(|signature| signature.officer)
    }

    /// The programme.
    pub fn programme(&self) -> ProgrammeId {
        match &self.subject {
            Subject::Version { header, .. } => header.programme_id(),
            Subject::Lot { programme, .. } => *programme,
        }
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, MAGIC.to_vec()).expect("writing to memory cannot fail")
    }

    /// Reads a file. The content is not checked yet: [`Proposal::check`].
    ///
    /// # Errors
    /// [`ProposalError::Malformed`], [`ProposalError::TooLong`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProposalError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(ProposalError::TooLong);
        }
        let body = bytes.strip_prefix(MAGIC).ok_or(ProposalError::Malformed)?;
        let proposal: Self = postcard::from_bytes(body).map_err(|_| ProposalError::Malformed)?;
        // One file a proposal: postcard itself forgives trailing bytes and over-long numbers.
        if proposal.to_bytes() != bytes {
            return Err(ProposalError::Malformed);
        }
        if let Subject::Version { header, .. } = &proposal.subject
            && header.encode().len() > Header::MAX_BYTES
        {
            return Err(ProposalError::TooLong);
        }
        Ok(proposal)
    }

    /// Checks everything that an officer can check with the newest version before it in hand: none for a new programme.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn check(&self, previous: Option<&Header>) -> Result<(), ProposalError> {
        match &self.subject {
            Subject::Version { header, frontier, added } => {
                header.validate()?;
                match previous {
                    Some(previous) if header.previous != previous.hash() => return Err(ProposalError::Stale),
                    Some(previous) => header.follows(previous)?,
                    None if header.version != 0 => return Err(ProposalError::Stale),
                    None => {}
                }
                check_keys(header, previous, frontier, added)?;
            }
            Subject::Lot { programme, lot, count, .. } => {
                let manifest = previous.ok_or(ProposalError::Stale)?;
                if manifest.programme_id() != *programme {
                    return Err(ProposalError::Stale);
                }
                if manifest.lot(*lot).is_none() || *count == 0 {
                    return Err(ProposalError::Lot);
                }
            }
        }
        self.check_signatures(self.deciding(previous)?)
    }

    /// What it means, in plain words, with every difference to the version before.
    ///
    /// # Errors
    /// As [`Proposal::check`]: what does not hold is not described.
    pub fn describe(&self, previous: Option<&Header>) -> Result<String, ProposalError> {
        self.check(previous)?;
        Ok(describe::proposal(&self.subject, previous))
    }

    /// Adds an officer's signature, after every check.
    ///
    /// # Errors
    /// [`ProposalError::NotAnOfficer`], [`ProposalError::SignedTwice`], and as [`Proposal::check`].
    pub fn sign(&mut self, key: &OfficerKey, previous: Option<&Header>) -> Result<(), ProposalError> {
        self.check(previous)?;
        let public = key.public();
        let officers = &self.deciding(previous)?.officers;
        let place = officers.iter().position(|officer| *officer == public).ok_or(ProposalError::NotAnOfficer)?;
        let officer = u8::try_from(place).map_err(|_| ProposalError::NotAnOfficer)?;
        let (tag, message) = self.message();
        self.insert(OfficerSignature { officer, signature: key.sign(tag, &message) })
    }

    /// Takes over the signatures of another copy.
    ///
    /// # Errors
    /// [`ProposalError::WrongProposal`], and as [`Proposal::check`] for the copy; this proposal is unchanged then.
    pub fn merge(&mut self, other: &Self, previous: Option<&Header>) -> Result<(), ProposalError> {
        if self.subject != other.subject {
            return Err(ProposalError::WrongProposal);
        }
        other.check(previous)?;
        for signature in &other.signatures {
            // An officer's second signature says nothing new.
            let _ = self.insert(*signature);
        }
        Ok(())
    }

    /// How many signatures there are, and how many are needed.
    ///
    /// # Errors
    /// [`ProposalError::Stale`].
    pub fn progress(&self, previous: Option<&Header>) -> Result<(usize, usize), ProposalError> {
        Ok((self.signatures.len(), usize::from(self.deciding(previous)?.threshold)))
    }

    /// What the issuer's log takes, once enough officers have signed.
    ///
    /// # Errors
    /// [`ProposalError::TooFew`], and as [`Proposal::check`].
    pub fn approve(self, previous: Option<&Header>) -> Result<Approved, ProposalError> {
        self.check(previous)?;
        let (have, need) = self.progress(previous)?;
        if have < need {
            return Err(ProposalError::TooFew { have, need });
        }
        let signatures = self.signatures;
        Ok(match self.subject {
            Subject::Version { header, added, .. } => {
                Approved::Version { signed: SignedHeader { header, signatures }, added }
            }
            Subject::Lot { lot, count, root, .. } => Approved::Lot(LotLeaf { lot, count, root, signatures }),
        })
    }

    /// The version whose officers decide: the one before, or the genesis itself.
    fn deciding<'a>(&'a self, previous: Option<&'a Header>) -> Result<&'a Header, ProposalError> {
        match (&self.subject, previous) {
            (_, Some(previous)) => Ok(previous),
            (Subject::Version { header, .. }, None) => Ok(header),
            (Subject::Lot { .. }, None) => Err(ProposalError::Stale),
        }
    }

    /// What is signed.
    fn message(&self) -> (&'static str, Vec<u8>) {
        match &self.subject {
            Subject::Version { header, .. } => (tag::MANIFEST, header.hash().0.to_vec()),
            Subject::Lot { programme, lot, count, root } => {
                (tag::LOT, LotLeaf::signed_bytes(programme, *lot, *count, root))
            }
        }
    }

    fn insert(&mut self, signature: OfficerSignature) -> Result<(), ProposalError> {
        match self.signatures.binary_search_by_key(&signature.officer, |signed| signed.officer) {
            Ok(_) => Err(ProposalError::SignedTwice),
            Err(at) => {
                self.signatures.insert(at, signature);
                Ok(())
            }
        }
    }

    /// Distinct, ascending, valid.
    fn check_signatures(&self, deciding: &Header) -> Result<(), ProposalError> {
        if self.signatures.windows(2).any(|pair| pair[0].officer >= pair[1].officer) {
            return Err(ProposalError::Signature);
        }
        let (tag, message) = self.message();
        self.signatures.iter().try_for_each(|signed| {
            let key = deciding.officers.get(usize::from(signed.officer)).ok_or(ProposalError::Signature)?;
            signature::verify(tag, &message, key, &signed.signature).map_err(|_| ProposalError::Signature)
        })
    }
}

/// The new key list is the old with `added` behind it, and each of these stands for something.
fn check_keys(
    header: &Header,
    previous: Option<&Header>,
    frontier: &[TreeHash],
    added: &[KeyEntry],
) -> Result<(), ProposalError> {
    let old_size = previous.map_or(0, |previous| u64::from(previous.key_count));
    let mut list = Frontier::from_nodes(old_size, frontier.to_vec()).map_err(|_| ProposalError::Keys)?;
    let is_old = previous.is_none_or(|previous| list.root() == previous.key_root);
    for entry in added {
        list.append(entry.leaf()).map_err(|_| ProposalError::Keys)?;
    }
    let is_new = list.size() == u64::from(header.key_count) && list.root() == header.key_root;
    let points: HashSet<&[u8; 32]> = added.iter().map(|entry| entry.key.as_bytes()).collect();
    let ids: HashSet<&KeyId> = added.iter().map(|entry| &entry.id).collect();
    let are_distinct = points.len() == added.len() && ids.len() == added.len();
    if is_old && is_new && are_distinct && keys_are_usable(header, &ids) { Ok(()) } else { Err(ProposalError::Keys) }
}

fn keys_are_usable(header: &Header, ids: &HashSet<&KeyId>) -> bool {
    let rounds: HashSet<_> = ids.iter().map(|id| id.round).collect();
    if !rounds.iter().all(|round| header.plans(*round)) {
        return false;
    }
    let bound: HashSet<KeyId> = rounds.into_iter().flat_map(|round| key_ids(header, round)).collect();
    ids.iter().all(|id| {
        let is_any_site = id.site.is_none() && id.slot.is_none();
        bound.contains(id) || (is_any_site && header.line(id.line).is_some_and(|line| line.values.contains(&id.value)))
    })
}
