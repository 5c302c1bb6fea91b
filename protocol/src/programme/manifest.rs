//! The manifest: what a programme is, signed by its officers, version by version (spec 6).

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use super::{form::Form, schema::Schema};
use crate::{
    group::Point,
    ids::{LineId, LotId, ManifestHash, ProgrammeId, Round, SiteId, Slot},
    log::{
        merkle::TreeHash,
        note::{self, KeyType, NoteError, VerifiedCheckpoint, VerifierKey},
    },
    registry,
    signature::{PublicKey, Signature},
    transcript,
    wire::{Message, message},
};

/// One version of a programme's public rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// 0 for the genesis, then counting up.
    pub version: u32,
    /// The hash of the version before; all zero in the genesis.
    pub previous: ManifestHash,
    /// The genesis' hash; all zero in the genesis itself.
    pub programme: ProgrammeId,
    /// The agency's name.
    pub agency: String,
    /// The programme's name.
    pub name: String,
    /// The shape of credentials. Constant.
    pub schema: Schema,
    /// The issuer's credential key `W`. Constant.
    pub issuer_key: Point,
    /// The issuer's log.
    pub issuer_log: LogKey,
    /// The officers who sign; the next version needs `threshold` of them.
    pub officers: Vec<PublicKey>,
    /// How many officers must sign.
    pub threshold: u8,
    /// Who cosigns checkpoints.
    pub witnesses: Vec<LogKey>,
    /// How many witnesses must have cosigned.
    pub witness_threshold: u8,
    /// Constants of the draw policy.
    pub policy: Policy,
    /// The last round that this version plans; rounds count from `policy.first_round`.
    pub last_round: Round,
    /// Item and cash lines, ascending by id.
    pub lines: Vec<Line>,
    /// Distribution sites, ascending by id.
    pub sites: Vec<Site>,
    /// Ticket lots, ascending by id.
    pub lots: Vec<LotTerms>,
    /// How many voucher keys the key list has at this version.
    pub key_count: u32,
    /// The RFC 6962 root of the key list at this version.
    pub key_root: TreeHash,
}

message!(Header, HEADER, 1 << 20);

/// Constants of the draw policy. All are constant for a programme, but `cohort_min` may grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The programme's first round, at least 1.
    pub first_round: Round,
    /// How many rounds a request may run ahead of the round in force.
    pub advance: u32,
    /// The smallest cohort whose sums may be opened.
    pub cohort_min: u32,
}

/// A log's name and Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKey {
    /// The origin line of checkpoints, or the name of a witness.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

impl LogKey {
    /// The key as signed notes name it.
    ///
    /// # Errors
    /// [`NoteError`] for keys that no manifest should hold.
    pub fn verifier(&self, key_type: KeyType) -> Result<VerifierKey, NoteError> {
        let bytes = VerifyingKey::from_bytes(&self.key.0).map_err(|_| NoteError::WeakKey)?;
        VerifierKey::new(&self.name, key_type, bytes)
    }
}

/// Text in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// BCP 47 language tag.
    pub language: String,
    /// The text.
    pub text: String,
}

/// A value that holds from a round on, until the next entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since<T> {
    /// The first round.
    pub round: Round,
    /// What holds.
    pub value: T,
}

/// What happens to what is not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carry {
    /// In kind: the balance is set anew each round.
    Lapse,
    /// Cash and savings: what accrued and was not drawn stays.
    Carry,
}

/// An item or cash line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The line's id.
    pub id: LineId,
    /// A short name: letters, digits and hyphens.
    pub name: String,
    /// Lapse or carry.
    pub carry: Carry,
    /// The state coordinate (0-based).
    pub state: u8,
    /// What accrues a round, ascending by round; nothing before the first entry.
    pub accrual: Vec<Since<Form>>,
    /// Forms that must be >= 0 to draw of this line, ascending by round. Lapse lines only.
    pub predicates: Vec<Since<Vec<Form>>>,
    /// Voucher values, ascending.
    pub values: Vec<u32>,
    /// What a unit is called.
    pub unit: String,
    /// What a unit is worth, ascending by round.
    pub worth: Vec<Since<Vec<Worth>>>,
    /// The line's name in the programme's languages.
    pub labels: Vec<Label>,
    /// The name of the line's pictogram.
    pub pictogram: String,
}

/// A part of what a unit is worth: 12 kg of cereals is `(cereals, 12000, g)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worth {
    /// The item.
    pub item: String,
    /// How much, in `measure`.
    pub amount: u64,
    /// The measure.
    pub measure: String,
}

/// A distribution site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The site's id.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// Counters groups with spent sets of their own; 0 for one shared spent set.
    pub slots: u8,
    /// The site's logs, oldest first: the last is current, a new one follows a loss.
    pub logs: Vec<LogKey>,
    /// The site's name in the programme's languages.
    pub labels: Vec<Label>,
}

/// What a ticket is for. Part of the ticket's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TicketKind {
    /// A new credential.
    Enrol,
    /// New attributes for an existing credential.
    Amend,
    /// A new credential for the leaving part of a household.
    Split,
}

/// The public terms of a ticket lot; its count and tickets are approved in the issuer's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotTerms {
    /// The lot's id.
    pub id: LotId,
    /// What its tickets are for.
    pub kind: TicketKind,
    /// Starting state of its credentials; ignored for amend lots.
    pub start: Start,
}

/// The state of a new credential (spec 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// `drawn`: the round before the first that the credential rolls over in.
    pub drawn: Round,
    /// What is available at once in round `drawn`, by line, ascending; every other line starts with nothing.
    pub balances: Vec<(LineId, Form)>,
}

/// The identity of a voucher key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId {
    /// The line.
    pub line: LineId,
    /// Units a voucher.
    pub value: u32,
    /// The round.
    pub round: Round,
    /// The site, or any.
    pub site: Option<SiteId>,
    /// The slot, or any.
    pub slot: Option<Slot>,
}

impl KeyId {
    /// The canonical encoding that hashes bind.
    pub fn canonical(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("writing to memory cannot fail")
    }
}

/// An entry of the programme's key list: `k -> X_k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// What the key stands for.
    pub id: KeyId,
    /// `X_k`.
    pub key: Point,
}

message!(KeyEntry, KEY_ENTRY, 256);

impl KeyEntry {
    /// The leaf hash in the key tree.
    pub fn leaf(&self) -> TreeHash {
        crate::log::merkle::leaf_hash(&self.encode())
    }
}

/// A header with its officers' signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// Signatures over the header's hash, ascending by officer position.
    pub signatures: Vec<OfficerSignature>,
}

message!(SignedHeader, SIGNED_HEADER, 1 << 20);

/// One officer's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficerSignature {
    /// Position in the officers list that decides.
    pub officer: u8,
    /// The signature.
    pub signature: Signature,
}

impl Header {
    /// Verifies a checkpoint of one of the programme's logs, cosigned by as many of this version's witnesses as it asks for.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn verify_checkpoint(&self, note: &[u8], log: &LogKey) -> Result<VerifiedCheckpoint, NoteError> {
        let witnesses = self.witnesses.iter().map(|witness| witness.verifier(KeyType::Witness));
        let witnesses = witnesses.collect::<Result<Vec<_>, _>>()?;
        note::verify_checkpoint(note, &log.verifier(KeyType::Log)?, &witnesses, self.witness_threshold.into())
    }

    /// The header's hash: what chains, signatures and statements bind.
    pub fn hash(&self) -> ManifestHash {
        ManifestHash(transcript::hash(registry::MANIFEST, &self.encode()))
    }

    /// The programme's id: the genesis' own hash.
    pub fn programme_id(&self) -> ProgrammeId {
        if self.version == 0 { ProgrammeId(self.hash().0) } else { self.programme }
    }

    /// Finds a line.
    pub fn line(&self, id: LineId) -> Option<&Line> {
        self.lines.binary_search_by_key(&id, |line| line.id).ok().map(|at| &self.lines[at])
    }

    /// Finds a site.
    pub fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.binary_search_by_key(&id, |site| site.id).ok().map(|at| &self.sites[at])
    }

    /// Finds a lot's terms.
    pub fn lot(&self, id: LotId) -> Option<&LotTerms> {
        self.lots.binary_search_by_key(&id, |lot| lot.id).ok().map(|at| &self.lots[at])
    }

    /// Whether `round` is planned.
    pub fn plans(&self, round: Round) -> bool {
        (self.policy.first_round..=self.last_round).contains(&round)
    }
}

fn at_round<T>(entries: &[Since<T>], round: Round) -> Option<&T> {
    entries.iter().take_while(|entry| entry.round <= round).last().map(|entry| &entry.value)
}

impl Line {
    /// What accrues in a round; the zero form before the first entry.
    pub fn accrual_at(&self, round: Round) -> Form {
        at_round(&self.accrual, round).cloned().unwrap_or_default()
    }

    /// The predicates of a round.
    pub fn predicates_at(&self, round: Round) -> &[Form] {
        at_round(&self.predicates, round).map_or(&[], Vec::as_slice)
    }

    /// What a unit is worth in a round.
    pub fn worth_at(&self, round: Round) -> &[Worth] {
        at_round(&self.worth, round).map_or(&[], Vec::as_slice)
    }

    /// `E_j(m, t)`: what has accrued from the first round to `through`, both included; zero before the first round.
    pub fn cumulative(&self, first: Round, through: Round) -> Form {
        let mut total = Form::default();
        for round in first.0..=through.0 {
            if through < first {
                break;
            }
            let form = self.accrual_at(Round(round));
            total.constant += form.constant;
            for (at, coefficient) in form.terms {
                match total.terms.binary_search_by_key(&at, |term| term.0) {
                    Ok(found) => total.terms[found].1 += coefficient,
                    Err(insert) => total.terms.insert(insert, (at, coefficient)),
                }
            }
        }
        total
    }
}
