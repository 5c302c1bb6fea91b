//! Blind signing, both sides (spec 5.2, 5.3).
//!
//! **The nonce rule.** `(a, y)` live in memory only, in a [`SigningSession`] that can neither be cloned nor serialized, and
//! that answering consumes. Two answers for one `(a, y)` reveal the key: the type makes the second one unwritable, and a
//! retry gets the stored bytes of the first.

use std::{fmt, sync::Arc};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{ShownVoucher, Voucher, VoucherSecret, challenge};
use crate::{
    group::{self, Element, EncodedPoint, GroupError, Point, PublicScalar, Scalar},
    ids::{Digest, KeyIndex, SessionId},
    programme::{KeyCounts, KeyEntry},
    recovery::voucher_secrets,
    registry,
    secret::{SecretBytes, SecretScalar},
    transcript,
    wire::message,
};

/// The signer's first message for one voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// `R`.
    pub r: Point,
    /// `Y`.
    pub y: Point,
}

/// The signer's first message: a session and a commitment a voucher, in the order of the requested keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOffer {
    /// The session.
    pub session: SessionId,
    /// One commitment a voucher.
    pub commitments: Vec<Commitment>,
}

message!(SessionOffer, SESSION_OFFER);

/// The signer's second message for one voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// `s`.
    pub s: PublicScalar,
    /// `y`.
    pub y: PublicScalar,
}

/// Nonces of one signature.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Nonce {
    a: Scalar,
    y: Scalar,
    /// `y*x`.
    yx: Scalar,
}

/// An open session of the issuer: the nonces of its signatures.
///
/// Neither `Clone` nor `Serialize`, and consumed by [`SigningSession::answer`]:
///
/// ```compile_fail
/// fn twice(session: annona_protocol::voucher::SigningSession) {
///     let first = session.answer(&[]);
///     let second = session.answer(&[]);
/// }
/// ```
pub struct SigningSession {
    offer: SessionOffer,
    keys: KeyCounts,
    nonces: Vec<Nonce>,
}

impl fmt::Debug for SigningSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSession({} nonces, redacted)", self.nonces.len())
    }
}

impl SigningSession {
    /// Opens a session for `keys`: `secrets` are the voucher secrets, one a voucher, in order.
    ///
    /// `rng` must be the operating system's generator: nonces that repeat after a fork or a restored snapshot reveal keys.
    pub fn open<R: CryptoRng + ?Sized>(keys: KeyCounts, secrets: &[Arc<VoucherSecret>], rng: &mut R) -> Self {
        debug_assert_eq!(keys.iter().map(|(_, count)| *count as usize).sum::<usize>(), secrets.len());
        let mut session = SessionId::default();
        rng.fill_bytes(&mut session.0);
        let nonces: Vec<Nonce> = secrets
            .iter()
            .map(|secret| {
                let (a, y) = (SecretScalar::random(rng), SecretScalar::random(rng));
                Nonce { a: *a.expose(), y: *y.expose(), yx: y.expose() * secret.x.expose() }
            })
            .collect();
        // R and Y = y*x*G are both multiples of G; halves are doubled while encoding.
        let halves: Vec<Element> = nonces
            .iter()
            .flat_map(|nonce| [nonce.a, nonce.yx])
            .map(|scalar| group::multiply_base(&Zeroizing::new(scalar.div_by_2())))
            .collect();
        let encodings = group::encode_doubled(&halves);
        let commitments = halves
            .chunks_exact(2)
            .zip(encodings.chunks_exact(2))
            .map(|(half, encoding)| Commitment {
                r: Point::from_half(&half[0], encoding[0]),
                y: Point::from_half(&half[1], encoding[1]),
            })
            .collect();
        Self { offer: SessionOffer { session, commitments }, keys, nonces }
    }

    /// A session without nonces, that can verify requests and answer none: for test vectors.
    #[cfg(feature = "hazmat")]
    pub fn verifying_only(offer: SessionOffer, keys: KeyCounts) -> Self {
        Self { offer, keys, nonces: Vec::new() }
    }

    /// What goes to the holder.
    pub fn offer(&self) -> &SessionOffer {
        &self.offer
    }

    /// The keys and counts that the session was opened for.
    pub fn keys(&self) -> &[(KeyIndex, u32)] {
        &self.keys
    }

    /// Answers one challenge a voucher: `s = a + c*x*y`. Consumes the session, whatever the outcome.
    ///
    /// # Errors
    /// [`UnblindError::Count`] unless there is one challenge a nonce.
    pub fn answer(self, challenges: &[PublicScalar]) -> Result<Vec<Answer>, UnblindError> {
        if challenges.len() != self.nonces.len() {
            return Err(UnblindError::Count);
        }
        Ok(self
            .nonces
            .iter()
            .zip(challenges)
            .map(|(nonce, c)| Answer { s: PublicScalar(nonce.a + c.0 * nonce.yx), y: PublicScalar(nonce.y) })
            .collect())
    }
}

/// Why an offer or an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnblindError {
    /// Not one entry a voucher.
    #[error("the issuer's message has another number of vouchers")]
    Count,
    /// `y = 0`, `Y != y*X` or `s*G != R + c*Y`.
    #[error("the issuer's answer does not verify")]
    Invalid,
    /// A computed point is the identity.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// The holder's secrets of one signature, until the answer verifies.
#[derive(Serialize, Deserialize)]
pub(crate) struct Blinded {
    key: KeyIndex,
    secret: SecretScalar,
    r1: SecretScalar,
    g: SecretScalar,
    holder: EncodedPoint,
    r_prime: EncodedPoint,
    commitment: Commitment,
    c: PublicScalar,
}

impl Blinded {
    pub(crate) fn key(&self) -> KeyIndex {
        self.key
    }

    /// `R'`, which a slot keeps, as no one else has it.
    pub(crate) fn r_prime(&self) -> EncodedPoint {
        self.r_prime
    }
}

impl fmt::Debug for Blinded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blinded(key {}, redacted)", self.key)
    }
}

/// Blinds a whole offer: the holder's secrets and the challenges to send, one a voucher. `seed` is fresh for each attempt: all
/// secrets come from it, so that 32 sealed bytes bring them back (spec 10.1).
pub(crate) fn blind(
    keys: &[(KeyIndex, KeyEntry)],
    offer: &SessionOffer,
    seed: &SecretBytes,
) -> Result<(Vec<Blinded>, Vec<PublicScalar>), UnblindError> {
    if keys.len() != offer.commitments.len() {
        return Err(UnblindError::Count);
    }
    let secrets = voucher_secrets(seed, &offer.session, keys.len());
    let generator = Point::generator();
    let halves: Vec<Element> = secrets
        .iter()
        .zip(&offer.commitments)
        .flat_map(|([p, r1, r2, g], commitment)| {
            let half = |scalar: &Scalar| Zeroizing::new(scalar.div_by_2());
            let g_r2 = Zeroizing::new(g.expose() * r2.expose());
            let scalars = Zeroizing::new([*half(r1.expose()), *half(g.expose()), *half(&g_r2)]);
            let elements = [*generator.element(), *commitment.r.element(), *commitment.y.element()];
            // A third term costs less than a multiplication of its own, even of the generator.
            let r_prime = group::combine(&*scalars, &elements);
            let y_prime = group::multiply(commitment.y.element(), &half(g.expose()));
            [group::multiply_base(&half(p.expose())), r_prime, y_prime]
        })
        .collect();
    let encodings = group::encode_doubled(&halves);
    let (mut states, mut challenges) = (Vec::new(), Vec::new());
    for (((at, entry), [secret, r1, r2, g]), (commitment, encoding)) in
        keys.iter().zip(secrets).zip(offer.commitments.iter().zip(encodings.chunks_exact(3)))
    {
        let [holder, r_prime, y_prime] = [0, 1, 2].map(|i| EncodedPoint(encoding[i]));
        let c = PublicScalar(challenge(&entry.key, &r_prime, &y_prime, &holder) + r2.expose());
        challenges.push(c);
        states.push(Blinded { key: *at, secret, r1, g, holder, r_prime, commitment: *commitment, c });
    }
    Ok((states, challenges))
}

/// Checks all answers and unblinds them.
///
/// # Errors
/// [`UnblindError`]; the secrets are kept by the caller, who may get another answer.
pub(crate) fn unblind(
    states: &[Blinded],
    entries: &[KeyEntry],
    answers: &[Answer],
) -> Result<Vec<Voucher>, UnblindError> {
    if states.len() != answers.len() || states.len() != entries.len() {
        return Err(UnblindError::Count);
    }
    states
        .iter()
        .zip(entries)
        .zip(answers)
        .map(|((state, entry), Answer { s, y })| {
            // s, y, c, R, Y are known to the issuer: nothing secret decides here.
            let y_point = group::combine_vartime(&[y.0], &[*entry.key.element()]);
            let balanced = group::double_base_vartime(&-state.c.0, state.commitment.y.element(), &s.0);
            if y.0 == Scalar::ZERO
                || y_point != *state.commitment.y.element()
                || balanced != *state.commitment.r.element()
            {
                return Err(UnblindError::Invalid);
            }
            let shown = ShownVoucher {
                key: state.key,
                holder: state.holder,
                r: state.r_prime,
                s: PublicScalar(state.g.expose() * s.0 + state.r1.expose()),
                y: PublicScalar(state.g.expose() * y.0),
            };
            Ok(Voucher { secret: state.secret.duplicate(), shown })
        })
        .collect()
}

/// The digest of all `(X, R, Y, c)` of a session, in order (spec 5.3).
pub(crate) fn challenges_digest(
    entries: &[KeyEntry],
    commitments: &[Commitment],
    challenges: &[PublicScalar],
) -> Digest {
    let mut bytes = Vec::with_capacity(128 * entries.len());
    for ((entry, commitment), c) in entries.iter().zip(commitments).zip(challenges) {
        bytes.extend_from_slice(entry.key.as_bytes());
        bytes.extend_from_slice(commitment.r.as_bytes());
        bytes.extend_from_slice(commitment.y.as_bytes());
        bytes.extend_from_slice(c.0.as_bytes());
    }
    Digest(transcript::hash(registry::CHALLENGES, &bytes))
}

/// The digest of all `(s, y)` of an answer, in order (spec 5.3).
pub(crate) fn answers_digest(answers: &[Answer]) -> Digest {
    let mut bytes = Vec::with_capacity(64 * answers.len());
    for answer in answers {
        bytes.extend_from_slice(answer.s.0.as_bytes());
        bytes.extend_from_slice(answer.y.0.as_bytes());
    }
    Digest(transcript::hash(registry::ANSWERS, &bytes))
}
