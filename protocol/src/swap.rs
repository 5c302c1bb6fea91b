//! Swap: old vouchers for new of the same lines, values, round and counts, unlinkably (spec 5.6).
//!
//! For a voucher that somebody else may hold too, or a site that is gone. An offline site cannot know of a swap, so swaps of a
//! round end at its freeze, which is checked inside the swap's transaction.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    Rejected,
    draw::positions,
    group::{Accumulator, PublicScalar},
    ids::{Digest, KeyIndex, LineId, Round, SessionId},
    log::leaf::SwapLeaf,
    programme::{InForce, KeyCounts, KeyEntry, KeyListError, MAX_VOUCHERS},
    recovery::Contents,
    registry::{self, operation},
    secret::{SecretBytes, Weights},
    slots::{Sealing, Slots},
    transcript::Transcript,
    voucher::{
        Answer, Blinded, HolderProof, HolderStatement, LoggedVoucher, SessionOffer, ShownVoucher, SigningSession,
        UnblindError, Voucher, VoucherError, blind, challenges_digest, unblind,
    },
    wire::message,
};

/// A wallet's request to swap vouchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapRequest {
    /// The round of all vouchers.
    pub round: Round,
    /// The signing session.
    pub session: SessionId,
    /// The old vouchers, ascending by mark.
    pub old: Vec<ShownVoucher>,
    /// One proof for all old holder keys.
    proof: HolderProof,
    /// New keys and counts, ascending.
    pub new: KeyCounts,
    /// `c`, one a new voucher.
    challenges: Vec<PublicScalar>,
    /// Sealed slots for recovery.
    pub slots: Slots,
}

message!(SwapRequest, SWAP_REQUEST);

/// The issuer's answer to a swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapResponse {
    /// `(s, y)`, one a new voucher.
    answers: Vec<Answer>,
}

message!(SwapResponse, SWAP_RESPONSE, 16 * 1024);

/// What the wallet keeps of a swap.
#[derive(Debug, Serialize, Deserialize)]
pub struct SwapContext {
    blinded: Vec<Blinded>,
}

message!(SwapContext, PENDING_SWAP);

/// Why a swap is refused, by either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// Not ascending, a voucher twice, too many, slots out of shape, or another round.
    #[error("the request is malformed")]
    Malformed,
    /// Lines, values and counts differ between old and new.
    #[error("a swap must keep line, value, round and count")]
    NotConserved,
    /// The session is another one, or was opened for other keys.
    #[error("the signing session does not belong to this request")]
    Session,
    /// The list of keys.
    #[error(transparent)]
    Keys(#[from] KeyListError),
    /// An old voucher or the holder proof.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
    /// The issuer's commitments or signatures.
    #[error(transparent)]
    Unblind(#[from] UnblindError),
}

/// Counts of vouchers by line and value.
fn shape<'a>(entries: impl IntoIterator<Item = &'a KeyEntry>) -> BTreeMap<(LineId, u32), usize> {
    let mut shape = BTreeMap::new();
    for entry in entries {
        *shape.entry((entry.id.line, entry.id.value)).or_default() += 1;
    }
    shape
}

/// The keys of old vouchers, after checking order, round and conservation against the new list.
fn check_lists<'a>(
    view: &InForce<'a>,
    old: &[ShownVoucher],
    new: &[(KeyIndex, u32)],
) -> Result<Vec<&'a KeyEntry>, SwapError> {
    let ascending = old.windows(2).all(|pair| pair[0].mark() < pair[1].mark());
    if !ascending || old.is_empty() || old.len() > MAX_VOUCHERS {
        return Err(SwapError::Malformed);
    }
    let entries = old
        .iter()
        .map(|voucher| match view.key(voucher.key) {
            Some(entry) if entry.id.round == view.round => Ok(entry),
            Some(_) => Err(SwapError::Keys(KeyListError::Round)),
            None => Err(SwapError::Voucher(VoucherError::UnknownKey)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    view.units(new)?;
    if shape(entries.iter().copied()) != shape(&view.expand(new)?) {
        return Err(SwapError::NotConserved);
    }
    Ok(entries)
}

#[allow(clippy::too_many_arguments)]
fn statement(
    view: &InForce<'_>,
    session: &SessionId,
    entries: &[&KeyEntry],
    old: &[ShownVoucher],
    new: &[(KeyIndex, u32)],
    challenges: &Digest,
    slots: &Digest,
) -> HolderStatement {
    let mut transcript = Transcript::new(registry::TRANSCRIPT_HOLDER);
    transcript.append("operation", &[operation::SWAP]);
    transcript.append("programme", &view.programme.id().0);
    transcript.append_u64("round", view.round.0.into());
    transcript.append("manifest", &view.hash.0);
    transcript.append("session", &session.0);
    for (at, count) in new {
        let entry = view.key(*at).expect("checked with the list");
        transcript.append("key", &entry.id.canonical());
        transcript.append_u64("count", (*count).into());
    }
    transcript.append("challenges", &challenges.0);
    transcript.append("slots", &slots.0);
    let mut statement = HolderStatement::new(transcript);
    entries.iter().zip(old).for_each(|(entry, voucher)| statement.voucher(entry, voucher));
    statement
}

impl SwapContext {
    /// Prepares a swap with a session's commitments. Both context and request must be stored before sending.
    ///
    /// # Errors
    /// [`SwapError`].
    pub fn new<'s, R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        mut old: Vec<&Voucher>,
        new: KeyCounts,
        offer: &SessionOffer,
        sealing: impl Into<Sealing<'s>>,
        rng: &mut R,
    ) -> Result<(Self, SwapRequest), SwapError> {
        old.sort_by_key(|voucher| voucher.shown.mark());
        let shown: Vec<ShownVoucher> = old.iter().map(|voucher| voucher.shown).collect();
        let entries = check_lists(view, &shown, &new)?;
        let targets = positions(view, &new)?;
        let seed = SecretBytes::random(rng);
        let (blinded, challenges) = blind(&targets, offer, &seed)?;
        let arity = view.programme.parameters().arity();
        let vouchers = Some((&seed, blinded.iter().map(Blinded::r_prime).collect()));
        let contents = Contents { arity, mask: None, unsigned: None, vouchers };
        let slots = sealing.into().slots(view.round, &contents, rng);
        if !slots.is_well_formed() {
            return Err(SwapError::Malformed);
        }
        let target_entries: Vec<KeyEntry> = targets.into_iter().map(|(_, entry)| entry).collect();
        let digest = challenges_digest(&target_entries, &offer.commitments, &challenges);
        let statement = statement(view, &offer.session, &entries, &shown, &new, &digest, &slots.digest());
        let proof = statement.prove(old.iter().map(|voucher| &voucher.secret), rng);
        let request =
            SwapRequest { round: view.round, session: offer.session, old: shown, proof, new, challenges, slots };
        Ok((Self { blinded }, request))
    }

    /// Checks the answer and gives the new vouchers.
    ///
    /// # Errors
    /// [`Rejected`] gives the context back.
    pub fn finish(
        self,
        view: &InForce<'_>,
        response: &SwapResponse,
    ) -> Result<Vec<Voucher>, Rejected<Self, SwapError>> {
        let entries: Option<Vec<KeyEntry>> = self.blinded.iter().map(|state| view.key(state.key()).copied()).collect();
        let result = match entries {
            Some(entries) => unblind(&self.blinded, &entries, &response.answers).map_err(SwapError::from),
            None => Err(KeyListError::Unknown.into()),
        };
        result.map_err(|error| Rejected { context: Box::new(self), error })
    }
}

/// A swap whose vouchers and proof hold.
#[must_use]
#[derive(Debug)]
pub struct VerifiedSwap {
    request: SwapRequest,
    old: Vec<LoggedVoucher>,
    challenges: Digest,
}

impl SwapRequest {
    /// Verifies old vouchers, conservation and the holder proof. `session` is the open session that the request names.
    ///
    /// # Errors
    /// [`SwapError`].
    pub fn verify(self, view: &InForce<'_>, session: &SigningSession) -> Result<VerifiedSwap, SwapError> {
        if self.round != view.round || !self.slots.is_well_formed() {
            return Err(SwapError::Malformed);
        }
        if session.offer().session != self.session || session.keys() != self.new {
            return Err(SwapError::Session);
        }
        let entries = check_lists(view, &self.old, &self.new)?;
        if session.offer().commitments.len() != self.challenges.len() {
            return Err(UnblindError::Count.into());
        }
        let old = entries
            .iter()
            .zip(&self.old)
            .map(|(entry, shown)| crate::voucher::verify(entry, shown))
            .collect::<Result<Vec<_>, _>>()?;
        let targets = view.expand(&self.new)?;
        let challenges = challenges_digest(&targets, &session.offer().commitments, &self.challenges);
        statement(view, &self.session, &entries, &self.old, &self.new, &challenges, &self.slots.digest())
            .verify(&self.proof)?;
        Ok(VerifiedSwap { request: self, old, challenges })
    }
}

impl VerifiedSwap {
    /// The old vouchers' marks, inserted all or nothing into the swapped set.
    pub fn marks(&self) -> impl Iterator<Item = crate::voucher::Mark> + '_ {
        self.old.iter().map(|voucher| voucher.shown.mark())
    }

    /// Answers, consuming the session. The caller checks the freeze, inserts all marks, marks the session used, stores the
    /// response and queues the leaf in one transaction.
    ///
    /// # Errors
    /// [`SwapError::Session`] for another session than was verified.
    pub fn answer(self, session: SigningSession) -> Result<(SwapResponse, SwapLeaf), SwapError> {
        if session.offer().session != self.request.session {
            return Err(SwapError::Session);
        }
        let answers = session.answer(&self.request.challenges)?;
        let leaf = SwapLeaf {
            round: self.request.round,
            session: self.request.session,
            old: self.old,
            holder: self.request.proof,
            new: self.request.new,
            challenges: self.challenges,
            slots: self.request.slots.digest(),
            answers: answers.clone(),
        };
        Ok((SwapResponse { answers }, leaf))
    }
}

/// Checks a logged swap: its lists and holder proof at once, its old vouchers through `accumulator`.
pub(crate) fn accumulate_swap(
    view: &InForce<'_>,
    leaf: &SwapLeaf,
    weights: &mut Weights,
    accumulator: &mut Accumulator,
) -> Result<(), SwapError> {
    let shown: Vec<ShownVoucher> = leaf.old.iter().map(|voucher| voucher.shown).collect();
    let entries = check_lists(view, &shown, &leaf.new)?;
    if leaf.answers.len() != leaf.old.len() || leaf.round != view.round {
        return Err(SwapError::Malformed);
    }
    crate::voucher::accumulate(&leaf.old, |at| view.key(at), weights, accumulator)?;
    statement(view, &leaf.session, &entries, &shown, &leaf.new, &leaf.challenges, &leaf.slots).verify(&leaf.holder)?;
    Ok(())
}
