//! Recovery: what a lost wallet gets back from its words, the issuer's slots and the log (spec 10.1, 10.2).
//!
//! ```text
//! words -> seed --PRF(kind, round, index)--> id of a slot, key of a slot
//! slot of a credential:  mask of the answer, and r*, serial*, values of the credential that the message asked for
//! slot of vouchers:      the seed of p, r1, r2, g of each voucher, and R' of each
//! leaf of the log:       C*, A*, e* and the issuer's proof; keys and (s, y) of all vouchers
//! ```
//!
//! A slot is made before the answer, and holds secrets only; the leaf has what the issuer added, with its proofs. A restore
//! checks the leaf as an audit does, so that an issuer cannot hand a tagged credential to whoever restores (P6).
//!
//! The secrets of two messages are independent, and those of a message's two slots too: the slot that is kept does not open the
//! vouchers.

mod envelope;

use std::fmt;

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use rand_core::CryptoRng;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    bucket::SlotKind,
    credential::{Credential, IssuedCommitment, Unsigned},
    draw::{AmendResponse, accumulate_amend, accumulate_draw, accumulate_roll_over, positions},
    enrol::{EnrolContext, EnrolResponse},
    group::{self, Accumulator, EncodedPoint, Point, PublicScalar, Scalar},
    ids::{ProgrammeId, Round, SessionId},
    log::leaf::{IssuerLeaf, ShowRecord},
    programme::{InForce, KeyCounts, Programme},
    registry,
    secret::{SecretBytes, SecretScalar, Weights},
    slots::{SHARED_ID_BYTES, SealedSlot, Slots},
    swap::accumulate_swap,
    transcript::{self, ByteStream},
    voucher::{self, Answer, Mark, ShownVoucher, Voucher},
    wire::Message as _,
};

pub use envelope::{Envelope, EnvelopeError};

/// Bytes that XChaCha20-Poly1305 adds to what it seals: nonce and tag.
const OVERHEAD: usize = 24 + 16;
/// Bytes of a slot's content in front of its padding: its length.
const LENGTH: usize = 4;

/// Why a slot brings nothing back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The leaf is of another kind than the slot, of a round that is not in force, or has other lists than the slot.
    #[error("a sealed slot and its entry in the log are not of one message: restore from another server or later")]
    Mismatch,
    /// The leaf's proofs do not hold, or the answer is not what they prove.
    #[error("an entry in the issuer's log does not verify: keep it, an audit has to see it")]
    Invalid,
}

// --- Keys ---------------------------------------------------------------------------------------------------------------

/// What recovery words stand for: 32 bytes, in one programme.
pub struct RecoveryKeys {
    seed: SecretBytes,
    programme: ProgrammeId,
}

impl fmt::Debug for RecoveryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKeys(redacted)")
    }
}

impl RecoveryKeys {
    /// The keys of a seed in a programme: the same words serve several, unlinkably.
    pub fn new(seed: SecretBytes, programme: ProgrammeId) -> Self {
        Self { seed, programme }
    }

    /// The id of a slot. Both of a message begin with the same bytes, those of its voucher slot.
    pub fn id(&self, kind: SlotKind, round: Round, index: u32) -> [u8; 32] {
        let own = |kind| transcript::hash(registry::SLOT_ID, &self.input(kind, round, index));
        let (mut id, shared) = (own(kind), own(SlotKind::Vouchers));
        id[..SHARED_ID_BYTES].copy_from_slice(&shared[..SHARED_ID_BYTES]);
        id
    }

    /// `seed || programme || kind || round || index`, the last two as `u32`.
    fn input(&self, kind: SlotKind, round: Round, index: u32) -> Zeroizing<Vec<u8>> {
        let mut input = Zeroizing::new(Vec::with_capacity(32 + 32 + 1 + 4 + 4));
        input.extend_from_slice(self.seed.expose());
        input.extend_from_slice(&self.programme.0);
        input.push(kind as u8);
        input.extend_from_slice(&round.0.to_le_bytes());
        input.extend_from_slice(&index.to_le_bytes());
        input
    }

    fn cipher(&self, kind: SlotKind, round: Round, index: u32) -> XChaCha20Poly1305 {
        let key = Zeroizing::new(transcript::hash(registry::SLOT_KEY, &self.input(kind, round, index)));
        XChaCha20Poly1305::new((&*key).into())
    }

    pub(crate) fn seal<R: CryptoRng + ?Sized>(
        &self,
        round: Round,
        index: u32,
        contents: &Contents<'_>,
        rng: &mut R,
    ) -> Slots {
        let mut slot = |kind, content: Zeroizing<Vec<u8>>| {
            let id = self.id(kind, round, index);
            let mut ciphertext = vec![0; 24];
            rng.fill_bytes(&mut ciphertext);
            let payload = Payload { msg: &contents.padded(&content), aad: &id };
            let sealed = self.cipher(kind, round, index).encrypt(XNonce::from_slice(&ciphertext), payload);
            ciphertext.extend(sealed.expect("a slot is far below the cipher's limit"));
            SealedSlot { id, ciphertext }
        };
        Slots {
            vouchers: slot(SlotKind::Vouchers, contents.vouchers()),
            credential: slot(SlotKind::Credential, contents.credential()),
        }
    }

    /// Opens a credential's slot; nothing if it is another wallet's, was changed, or seals no credential, as in a swap.
    pub fn open_credential(&self, round: Round, index: u32, ciphertext: &[u8]) -> Option<SealedCredential> {
        let content = self.open(SlotKind::Credential, round, index, ciphertext)?;
        let (mask, unsigned): (_, Option<Unsigned>) = postcard::from_bytes(&content).ok()?;
        Some(SealedCredential { mask, unsigned: unsigned? })
    }

    /// Opens a voucher slot; nothing if it is another wallet's or was changed.
    pub fn open_vouchers(&self, round: Round, index: u32, ciphertext: &[u8]) -> Option<SealedVouchers> {
        let content = self.open(SlotKind::Vouchers, round, index, ciphertext)?;
        let (seed, r_primes) = postcard::from_bytes(&content).ok()?;
        Some(SealedVouchers { seed, r_primes })
    }

    fn open(&self, kind: SlotKind, round: Round, index: u32, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = ciphertext.split_at_checked(24)?;
        let payload = Payload { msg: sealed, aad: &self.id(kind, round, index) };
        let padded = self.cipher(kind, round, index).decrypt(XNonce::from_slice(nonce), payload).ok()?;
        let padded = Zeroizing::new(padded);
        let (length, content) = padded.split_first_chunk::<LENGTH>()?;
        let content = content.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        Some(Zeroizing::new(content.to_vec()))
    }
}

// --- What is sealed -----------------------------------------------------------------------------------------------------

/// What a message's slots seal.
pub(crate) struct Contents<'a> {
    /// The number of a credential's coordinates.
    pub(crate) arity: u8,
    pub(crate) mask: Option<&'a SecretBytes>,
    pub(crate) unsigned: Option<&'a Unsigned>,
    /// The seed behind the vouchers' secrets, and `R'` of each.
    pub(crate) vouchers: Option<(&'a SecretBytes, Vec<EncodedPoint>)>,
}

impl Contents<'_> {
    /// The length of each ciphertext: it depends on the schema and the number of vouchers, both public, and nothing else.
    pub(crate) fn ciphertext_bytes(&self) -> usize {
        ciphertext_bytes(self.arity, self.vouchers.as_ref().map_or(0, |(_, r_primes)| r_primes.len()))
    }

    fn credential(&self) -> Zeroizing<Vec<u8>> {
        self.encode(&(self.mask, self.unsigned))
    }

    fn vouchers(&self) -> Zeroizing<Vec<u8>> {
        match &self.vouchers {
            Some((seed, r_primes)) => self.encode(&(seed, r_primes)),
            None => self.encode(&([0u8; 32], Vec::<EncodedPoint>::new())),
        }
    }

    fn encode(&self, content: &impl Serialize) -> Zeroizing<Vec<u8>> {
        // Of the full length from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(vec![0; self.ciphertext_bytes()]);
        let length = postcard::to_slice(content, &mut bytes).expect("the length has room for any content").len();
        bytes.truncate(length);
        bytes
    }

    fn padded(&self, content: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![0; self.ciphertext_bytes() - OVERHEAD]);
        let length = u32::try_from(content.len()).expect("a slot is short");
        bytes[..LENGTH].copy_from_slice(&length.to_le_bytes());
        bytes[LENGTH..][..content.len()].copy_from_slice(content);
        bytes
    }
}

/// Bytes of a slot's ciphertext in a message that asks for so many vouchers, of credentials with `arity` coordinates.
pub fn ciphertext_bytes(arity: u8, vouchers: usize) -> usize {
    // 128 holds the length, seed or mask, r*, serial*, marks of options and lists; a value has at most 10 bytes.
    OVERHEAD + 128 + 10 * usize::from(arity) + 32 * vouchers
}

/// `p, r1, r2, g` of a session's vouchers, in order: a stream of scalars from a seed that is fresh for each attempt.
pub(crate) fn voucher_secrets(seed: &SecretBytes, session: &SessionId, count: usize) -> Vec<[SecretScalar; 4]> {
    let mut stream = ByteStream::new(registry::VOUCHER_SECRETS, &[seed.expose(), &session.0]);
    (0..count).map(|_| std::array::from_fn(|_| SecretScalar::new(stream.scalar()))).collect()
}

// --- What comes back ----------------------------------------------------------------------------------------------------

/// A credential as its holder sealed it before the issuer's answer.
#[derive(Debug)]
pub struct SealedCredential {
    mask: Option<SecretBytes>,
    unsigned: Unsigned,
}

/// Vouchers as their holder sealed them before the issuer's answer.
pub struct SealedVouchers {
    seed: SecretBytes,
    r_primes: Vec<EncodedPoint>,
}

impl fmt::Debug for SealedVouchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedVouchers({}, redacted)", self.r_primes.len())
    }
}

/// The serial that a leaf spends: that of the credential before the one that the leaf makes.
pub fn serial_spent(leaf: &IssuerLeaf) -> Option<PublicScalar> {
    match leaf {
        IssuerLeaf::RollOver(record) => Some(record.show.serial),
        IssuerLeaf::Draw(leaf) => Some(leaf.record.show.serial),
        IssuerLeaf::Amend(leaf) => Some(leaf.record.show.serial),
        _ => None,
    }
}

/// The old vouchers that a leaf gives up for new ones.
pub fn swapped(leaf: &IssuerLeaf) -> impl Iterator<Item = Mark> + '_ {
    let old = if let IssuerLeaf::Swap(leaf) = leaf { leaf.old.as_slice() } else { &[] };
    old.iter().map(|voucher| voucher.shown.mark())
}

impl SealedCredential {
    /// The credential that the message brought, once its leaf verifies as an audit verifies it. `answer` is the stored answer of
    /// an enrolment or amend, whose masked part the log does not have.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn complete<R: CryptoRng + ?Sized>(
        self,
        programme: &Programme,
        leaf: &IssuerLeaf,
        answer: &[u8],
        rng: &mut R,
    ) -> Result<Credential, RecoveryError> {
        let view = |round| programme.in_force(round).map_err(|_| RecoveryError::Mismatch);
        let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
        let credential = match leaf {
            IssuerLeaf::Enrol(leaf) => {
                let answer = EnrolResponse::decode(answer).map_err(|_| RecoveryError::Invalid)?;
                let mask = self.mask.ok_or(RecoveryError::Mismatch)?;
                let context =
                    EnrolContext::recovered(leaf.kind, leaf.ticket.hash, mask, leaf.commitment, self.unsigned);
                let finished = context.finish(programme, &answer, rng);
                return finished.map_err(|_| RecoveryError::Invalid).and_then(|it| checked(programme, it));
            }
            IssuerLeaf::RollOver(record) => {
                let checked = accumulate_roll_over(&view(record.round)?, record, &mut weights, &mut accumulator);
                checked.map_err(|_| RecoveryError::Invalid)?;
                refreshed(self.unsigned, record, None)?
            }
            IssuerLeaf::Draw(leaf) => {
                let checked = accumulate_draw(&view(leaf.record.round)?, leaf, &mut weights, &mut accumulator);
                checked.map_err(|_| RecoveryError::Invalid)?;
                refreshed(self.unsigned, &leaf.record, None)?
            }
            IssuerLeaf::Amend(leaf) => {
                let view = view(leaf.record.round)?;
                let checked = accumulate_amend(&view, leaf, &mut weights, &mut accumulator);
                checked.map_err(|_| RecoveryError::Invalid)?;
                let answer = AmendResponse::decode(answer).map_err(|_| RecoveryError::Invalid)?;
                let mask = self.mask.ok_or(RecoveryError::Mismatch)?;
                let (rho, values) =
                    answer.granted(&view, &mask, &leaf.ticket.hash).map_err(|_| RecoveryError::Invalid)?;
                refreshed(self.unsigned, &leaf.record, Some((&leaf.added, rho, &values)))?
            }
            _ => return Err(RecoveryError::Mismatch),
        };
        accumulator.verify().map_err(|_| RecoveryError::Invalid)?;
        checked(programme, credential)
    }
}

impl SealedVouchers {
    /// The vouchers that the message brought, each verified under its key.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn complete<R: CryptoRng + ?Sized>(
        self,
        programme: &Programme,
        leaf: &IssuerLeaf,
        rng: &mut R,
    ) -> Result<Vec<Voucher>, RecoveryError> {
        let view = |round| programme.in_force(round).map_err(|_| RecoveryError::Mismatch);
        match leaf {
            IssuerLeaf::Draw(leaf) => {
                self.vouchers(&view(leaf.record.round)?, &leaf.session, &leaf.keys, &leaf.answers)
            }
            IssuerLeaf::Swap(leaf) => {
                let view = view(leaf.round)?;
                let (mut weights, mut accumulator) = (Weights::new(rng), Accumulator::new());
                let checked = accumulate_swap(&view, leaf, &mut weights, &mut accumulator);
                checked.map_err(|_| RecoveryError::Invalid)?;
                accumulator.verify().map_err(|_| RecoveryError::Invalid)?;
                self.vouchers(&view, &leaf.session, &leaf.new, &leaf.answers)
            }
            _ if self.r_primes.is_empty() => Ok(Vec::new()),
            _ => Err(RecoveryError::Mismatch),
        }
    }

    fn vouchers(
        self,
        view: &InForce<'_>,
        session: &SessionId,
        keys: &KeyCounts,
        answers: &[Answer],
    ) -> Result<Vec<Voucher>, RecoveryError> {
        // The counts are the log's: checked before a list of that many entries is made.
        view.units(keys).map_err(|_| RecoveryError::Mismatch)?;
        let entries = positions(view, keys).map_err(|_| RecoveryError::Mismatch)?;
        if entries.len() != self.r_primes.len() || entries.len() != answers.len() {
            return Err(RecoveryError::Mismatch);
        }
        let secrets = voucher_secrets(&self.seed, session, entries.len());
        let parts = entries.iter().zip(secrets).zip(self.r_primes.iter().zip(answers));
        parts
            .map(|(((key, entry), [secret, r1, _, g]), (r, Answer { s, y }))| {
                let holder =
                    Point::encode(group::multiply_base(secret.expose())).map_err(|_| RecoveryError::Invalid)?;
                let shown = ShownVoucher {
                    key: *key,
                    holder: EncodedPoint(*holder.as_bytes()),
                    r: *r,
                    s: PublicScalar(g.expose() * s.0 + r1.expose()),
                    y: PublicScalar(g.expose() * y.0),
                };
                voucher::verify(entry, &shown).map_err(|_| RecoveryError::Invalid)?;
                Ok(Voucher { secret, shown })
            })
            .collect()
    }
}

fn refreshed(
    unsigned: Unsigned,
    record: &ShowRecord,
    added: Option<(&Point, Scalar, &[i64])>,
) -> Result<Credential, RecoveryError> {
    let (point, rho, values) =
        added.map_or((None, Scalar::ZERO, &[][..]), |(point, rho, values)| (Some(point), rho, values));
    let b =
        IssuedCommitment::b(&record.show.commitment, point.map(Point::element)).map_err(|_| RecoveryError::Invalid)?;
    Ok(unsigned.complete(&rho, values, record.a, record.e.0, b))
}

/// `B` is that of these secrets: the leaf is of the message that the slot came with.
fn checked(programme: &Programme, credential: Credential) -> Result<Credential, RecoveryError> {
    if credential.opens(programme.parameters()) { Ok(credential) } else { Err(RecoveryError::Mismatch) }
}

#[cfg(test)]
mod tests;
