//! Redeem, void, collect, surrender: vouchers at a site (spec 7).
//!
//! The server names first: the wallet answers a signed quote of the manifest in force, and reveals nothing for lines that are
//! not quoted or for another site. Idempotence is by the exact set of `(k, P)`: the caller inserts all marks in one durable
//! transaction, all or nothing.

mod response;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    group::EncodedPoint,
    ids::{KeyIndex, LineId, QuoteId, SiteId, Slot, Units},
    log::leaf::{CollectedLeaf, OwedLeaf, VoidLeaf, VoucherLeaf},
    programme::{InForce, KeyEntry, MAX_VOUCHERS},
    registry::{self, operation},
    secret::SecretScalar,
    signature::BadSignature,
    slip::{OwedSlip, Place, Quote, RefusalCode},
    transcript::Transcript,
    voucher::{HolderProof, HolderStatement, LoggedVoucher, Mark, PreparedKey, ShownVoucher, Voucher, VoucherError},
    wire::message,
};

pub use response::{Outcome, RedeemResponse, ResponseError};

/// A request to redeem vouchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedeemRequest {
    /// The quote that is answered.
    pub quote: QuoteId,
    /// A fresh holder key, for an owed slip should stock run out.
    pub spare: EncodedPoint,
    /// The vouchers.
    pub vouchers: Vec<ShownVoucher>,
    /// One proof for all holder keys.
    pub proof: HolderProof,
}

message!(RedeemRequest, REDEEM_REQUEST, 20 * 1024);

/// A voucher on paper: whoever holds the sheet holds the voucher. Replayable before its first use (threats, sheet).
#[derive(Serialize, Deserialize)]
pub struct BearerVoucher {
    /// `p`.
    secret: SecretScalar,
    /// The voucher.
    pub shown: ShownVoucher,
}

message!(BearerVoucher, BEARER, 256);

impl std::fmt::Debug for BearerVoucher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BearerVoucher(key {}, redacted)", self.shown.key)
    }
}

/// Why a wallet does not answer a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    /// The quote is not signed by the site, or names another programme, round or manifest than the one in force.
    #[error("the quote is not this site's for the manifest in force")]
    Quote(#[from] BadSignature),
    /// A voucher is bound to another site or round.
    #[error("a voucher is not for this site and round")]
    Voucher,
    /// A line is not quoted.
    #[error("line {0} is not quoted")]
    Line(LineId),
    /// No vouchers, or too many.
    #[error("no vouchers, or more than one visit takes")]
    Count,
}

/// A refusal with the vouchers at fault, so that the rest can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// The vouchers at fault; all, if no one is.
    pub marks: Vec<Mark>,
}

/// The context that holder proofs at a place bind: operation, programme, site, round, manifest.
fn place_context(operation: u8, place: &Place) -> Transcript {
    let mut transcript = Transcript::new(registry::TRANSCRIPT_HOLDER);
    transcript.append("operation", &[operation]);
    transcript.append("programme", &place.programme.0);
    transcript.append_u64("site", place.site.0.into());
    transcript.append_u64("round", place.round.0.into());
    transcript.append("manifest", &place.manifest.0);
    transcript
}

pub(crate) fn redeem_context(
    place: &Place,
    quote: &QuoteId,
    spare: &EncodedPoint,
    units: &BTreeMap<LineId, Units>,
) -> Transcript {
    let mut transcript = place_context(operation::REDEEM, place);
    transcript.append("quote", &quote.0);
    transcript.append("spare", &spare.0);
    for (line, units) in units {
        transcript.append_u64("line", line.0.into());
        transcript.append_u64("units", units.0);
    }
    transcript
}

/// Units by line of a list of keys.
fn units_of<'a>(entries: impl IntoIterator<Item = &'a KeyEntry>) -> BTreeMap<LineId, Units> {
    let mut units: BTreeMap<LineId, Units> = BTreeMap::new();
    for entry in entries {
        // At most 128 vouchers of 32-bit values: no overflow.
        units.entry(entry.id.line).or_default().0 += u64::from(entry.id.value);
    }
    units
}

impl RedeemRequest {
    /// Answers a quote with vouchers. The wallet stores the request before sending it.
    ///
    /// # Errors
    /// [`QuoteError`]: nothing is revealed then.
    pub fn new<R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        quote: &Quote,
        vouchers: &[&Voucher],
        spare: &SecretScalar,
        rng: &mut R,
    ) -> Result<Self, QuoteError> {
        let place = quote.content.place;
        quote.verify(&place.site_key(view)?)?;
        if vouchers.is_empty() || vouchers.len() > MAX_VOUCHERS {
            return Err(QuoteError::Count);
        }
        let entries = vouchers
            .iter()
            .map(|voucher| view.key(voucher.key()).ok_or(QuoteError::Voucher))
            .collect::<Result<Vec<_>, _>>()?;
        for entry in &entries {
            if entry.id.round != view.round || entry.id.site.is_some_and(|site| site != place.site) {
                return Err(QuoteError::Voucher);
            }
            if !quote.content.lines.contains(&entry.id.line) {
                return Err(QuoteError::Line(entry.id.line));
            }
        }
        let spare = holder_key(spare);
        let context = redeem_context(&place, &quote.content.id, &spare, &units_of(entries.iter().copied()));
        let mut statement = HolderStatement::new(context);
        entries.iter().zip(vouchers).for_each(|(entry, voucher)| statement.voucher(entry, &voucher.shown));
        let proof = statement.prove(vouchers.iter().map(|voucher| &voucher.secret), rng);
        let vouchers = vouchers.iter().map(|voucher| voucher.shown).collect();
        Ok(Self { quote: quote.content.id, spare, vouchers, proof })
    }
}

/// `P = p*G`.
pub fn holder_key(secret: &SecretScalar) -> EncodedPoint {
    EncodedPoint(crate::group::multiply_base(secret.expose()).compress().to_bytes())
}

/// The prepared public keys of a site and round: made once, shared by every [`Counter`] of them.
#[derive(Clone, Debug)]
pub struct CounterKeys(Arc<HashMap<KeyIndex, PreparedKey>>);

impl CounterKeys {
    /// Prepares the keys that the version in force lists for its round and a site.
    pub fn new(view: &InForce<'_>, site: SiteId) -> Self {
        let listed = view.programme.keys().iter().take(view.header.key_count as usize);
        let keys = (0u32..)
            .zip(listed)
            .filter(|(_, entry)| entry.id.round == view.round && entry.id.site.is_none_or(|own| own == site))
            .map(|(at, entry)| (KeyIndex(at), PreparedKey::new(entry)))
            .collect();
        Self(Arc::new(keys))
    }
}

/// A counter: a site's view of a round with its prepared keys. Public keys only.
#[derive(Debug)]
pub struct Counter<'a> {
    view: InForce<'a>,
    place: Place,
    slots: Vec<Slot>,
    keys: CounterKeys,
}

impl<'a> Counter<'a> {
    /// Prepares the keys of a site and round; `slots` are the counter's own where the site has slots.
    pub fn new(view: InForce<'a>, place: Place, slots: Vec<Slot>) -> Self {
        Self::with_keys(view, place, slots, CounterKeys::new(&view, place.site))
    }

    /// A counter with keys that were prepared for the same view and site.
    pub fn with_keys(view: InForce<'a>, place: Place, slots: Vec<Slot>, keys: CounterKeys) -> Self {
        Self { view, place, slots, keys }
    }

    /// Where the counter stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Verifies a visit with public keys only: every voucher, then the one holder proof.
    ///
    /// # Errors
    /// [`Refusal`] with all vouchers at fault.
    pub fn verify(&self, quote: &Quote, request: &RedeemRequest) -> Result<VerifiedVisit, Refusal> {
        let all: Vec<Mark> = request.vouchers.iter().map(ShownVoucher::mark).collect();
        let refuse = |code| Err(Refusal { code, marks: all.clone() });
        if quote.content.place != self.place || quote.content.id != request.quote {
            return refuse(RefusalCode::QuoteUnknown);
        }
        let distinct: HashSet<&Mark> = all.iter().collect();
        if all.is_empty() || all.len() > MAX_VOUCHERS || distinct.len() != all.len() || request.spare.decode().is_err()
        {
            return refuse(RefusalCode::Malformed);
        }
        let checked: Vec<_> = request.vouchers.iter().map(|shown| self.check(quote, shown)).collect();
        if let Some(code) = checked.iter().find_map(|result| result.as_ref().err()).copied() {
            let at_fault = checked.iter().zip(&all).filter(|(result, _)| result.as_ref().err() == Some(&code));
            return Err(Refusal { code, marks: at_fault.map(|(_, mark)| *mark).collect() });
        }
        let (entries, vouchers): (Vec<&KeyEntry>, Vec<LoggedVoucher>) =
            checked.into_iter().filter_map(Result::ok).unzip();
        let units = units_of(entries.iter().copied());
        let mut statement = HolderStatement::new(redeem_context(&self.place, &request.quote, &request.spare, &units));
        entries.iter().zip(&vouchers).for_each(|(entry, voucher)| statement.voucher(entry, &voucher.shown));
        if statement.verify(&request.proof).is_err() {
            return refuse(RefusalCode::HolderInvalid);
        }
        Ok(VerifiedVisit { vouchers, units, spare: request.spare })
    }

    /// Verifies a voucher that carries its own secret: a printed sheet.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify_bearer(&self, quote: &Quote, bearer: &BearerVoucher) -> Result<VerifiedVisit, Refusal> {
        let mark = bearer.shown.mark();
        let refuse = |code| Refusal { code, marks: vec![mark] };
        let (entry, voucher) = self.check(quote, &bearer.shown).map_err(refuse)?;
        // A secret of zero would make the identity the holder.
        if bearer.shown.holder.decode().is_err() || holder_key(&bearer.secret) != bearer.shown.holder {
            return Err(refuse(RefusalCode::HolderInvalid));
        }
        Ok(VerifiedVisit { vouchers: vec![voucher], units: units_of([entry]), spare: bearer.shown.holder })
    }

    fn check(&self, quote: &Quote, shown: &ShownVoucher) -> Result<(&'a KeyEntry, LoggedVoucher), RefusalCode> {
        let entry = self.view.key(shown.key).ok_or(RefusalCode::KeyUnknown)?;
        if entry.id.round != self.place.round {
            return Err(RefusalCode::OtherRound);
        }
        if entry.id.site.is_some_and(|site| site != self.place.site) {
            return Err(RefusalCode::OtherSite);
        }
        if entry.id.slot.is_some_and(|slot| !self.slots.contains(&slot)) {
            return Err(RefusalCode::OtherSlot);
        }
        if !quote.content.lines.contains(&entry.id.line) {
            return Err(RefusalCode::LineNotQuoted);
        }
        let key = self.keys.0.get(&shown.key).ok_or(RefusalCode::KeyUnknown)?;
        let logged = key.verify(shown).map_err(|_| RefusalCode::VoucherInvalid)?;
        Ok((entry, logged))
    }

    /// Verifies a void of a whole visit.
    ///
    /// # Errors
    /// [`Refusal`] with the marks whose proof does not hold.
    pub fn verify_void(&self, request: &VoidRequest) -> Result<Vec<VoidLeaf>, Refusal> {
        let bad: Vec<Mark> = request
            .voids
            .iter()
            .filter(|leaf| verify_void(&self.view, &self.place, leaf).is_err())
            .map(|leaf| leaf.mark)
            .collect();
        let distinct: HashSet<Mark> = request.voids.iter().map(|leaf| leaf.mark).collect();
        if request.voids.is_empty() || distinct.len() != request.voids.len() || request.voids.len() > MAX_VOUCHERS {
            return Err(Refusal { code: RefusalCode::Malformed, marks: distinct.into_iter().collect() });
        }
        if bad.is_empty() {
            Ok(request.voids.clone())
        } else {
            Err(Refusal { code: RefusalCode::HolderInvalid, marks: bad })
        }
    }
}

/// A visit that verified: what the site's transaction needs.
#[must_use]
#[derive(Debug)]
pub struct VerifiedVisit {
    vouchers: Vec<LoggedVoucher>,
    units: BTreeMap<LineId, Units>,
    spare: EncodedPoint,
}

impl VerifiedVisit {
    /// The spent marks, inserted all or nothing.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.vouchers.iter().map(|voucher| voucher.shown.mark())
    }

    /// What to hand over.
    pub fn units(&self) -> &BTreeMap<LineId, Units> {
        &self.units
    }

    /// The holder key for an owed slip.
    pub fn spare(&self) -> EncodedPoint {
        self.spare
    }

    /// The log leaves, `number` giving each mark's acceptance number.
    pub fn leaves(&self, mut number: impl FnMut(&Mark) -> u32) -> Vec<VoucherLeaf> {
        self.vouchers
            .iter()
            .map(|voucher| VoucherLeaf { number: number(&voucher.shown.mark()), voucher: *voucher })
            .collect()
    }
}

impl BearerVoucher {
    /// A voucher for paper.
    pub fn new(voucher: &Voucher) -> Self {
        Self { secret: voucher.secret.duplicate(), shown: voucher.shown }
    }
}

// --- Void ---------------------------------------------------------------------------------------------------------------

/// A request to void a visit: every acceptance of it, each with a proof of its own, so that log leaves link nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidRequest {
    /// One entry a voucher.
    pub voids: Vec<VoidLeaf>,
}

message!(VoidRequest, VOID_REQUEST, 20 * 1024);

fn void_statement(
    view: &InForce<'_>,
    place: &Place,
    mark: &Mark,
    number: u32,
) -> Result<HolderStatement, VoucherError> {
    let entry = view.key(mark.key).ok_or(VoucherError::UnknownKey)?;
    let mut transcript = place_context(operation::VOID, place);
    transcript.append("k", &entry.id.canonical());
    transcript.append_u64("number", number.into());
    let mut statement = HolderStatement::new(transcript);
    statement.holder(mark.holder);
    Ok(statement)
}

/// Verifies the holder's proof of a void.
///
/// # Errors
/// [`VoucherError`].
pub fn verify_void(view: &InForce<'_>, place: &Place, leaf: &VoidLeaf) -> Result<(), VoucherError> {
    void_statement(view, place, &leaf.mark, leaf.number)?.verify(&leaf.holder)
}

impl VoidRequest {
    /// Agrees to void acceptances of a visit, given with their numbers.
    ///
    /// # Errors
    /// [`VoucherError::UnknownKey`] for a voucher that is not of this view.
    pub fn new<R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        place: &Place,
        accepted: &[(&Voucher, u32)],
        rng: &mut R,
    ) -> Result<Self, VoucherError> {
        let voids = accepted
            .iter()
            .map(|(voucher, number)| {
                let mark = voucher.shown.mark();
                let holder = void_statement(view, place, &mark, *number)?.prove([&voucher.secret], rng);
                Ok(VoidLeaf { mark, number: *number, holder })
            })
            .collect::<Result<_, VoucherError>>()?;
        Ok(Self { voids })
    }
}

// --- Owed slips ---------------------------------------------------------------------------------------------------------

/// A request to collect what an owed slip promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectRequest {
    /// The holder's key on the slip.
    pub holder: EncodedPoint,
    /// The proof.
    pub proof: HolderProof,
}

message!(CollectRequest, COLLECT_REQUEST, 512);

/// The slip's own place and lines are bound, and the round in which it is collected: the site's log alone suffices to check it.
fn collect_statement(place: &Place, owed: &OwedLeaf) -> HolderStatement {
    let mut transcript = place_context(operation::COLLECT, place);
    transcript.append_u64("owed round", owed.round.0.into());
    for (line, units) in &owed.lines {
        transcript.append_u64("line", line.0.into());
        transcript.append_u64("units", units.0);
    }
    let mut statement = HolderStatement::new(transcript);
    statement.holder(owed.holder);
    statement
}

impl CollectRequest {
    /// Collects on a slip, at `place`: the slip's site, in the round that is open now.
    ///
    /// # Errors
    /// [`BadSignature`] if the slip is not the site's, or the place another site.
    pub fn new<R: CryptoRng + ?Sized>(
        slip_view: &InForce<'_>,
        slip: &OwedSlip,
        place: &Place,
        secret: &SecretScalar,
        rng: &mut R,
    ) -> Result<Self, BadSignature> {
        let owed = slip.verify(&slip.content.place.site_key(slip_view)?)?;
        if owed.place.site != place.site || owed.holder != holder_key(secret) {
            return Err(BadSignature);
        }
        let leaf = OwedLeaf { round: owed.place.round, lines: owed.lines.clone(), holder: owed.holder };
        Ok(Self { holder: owed.holder, proof: collect_statement(place, &leaf).prove([secret], rng) })
    }

    /// Verifies the proof against the logged slip; the caller marks the slip collected, once.
    ///
    /// # Errors
    /// [`VoucherError`].
    pub fn verify(&self, place: &Place, owed: &OwedLeaf) -> Result<CollectedLeaf, VoucherError> {
        let leaf = CollectedLeaf { round: place.round, holder: self.holder, proof: self.proof };
        verify_collected(place, owed, &leaf)?;
        Ok(leaf)
    }
}

/// Verifies the holder's proof of a collection.
///
/// # Errors
/// [`VoucherError`].
pub fn verify_collected(place: &Place, owed: &OwedLeaf, leaf: &CollectedLeaf) -> Result<(), VoucherError> {
    if leaf.holder != owed.holder || leaf.round != place.round {
        return Err(VoucherError::Invalid);
    }
    collect_statement(place, owed).verify(&leaf.proof)
}

// --- Surrender ----------------------------------------------------------------------------------------------------------

/// An unspent voucher, published after the round with the holder's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surrender {
    /// The voucher.
    pub voucher: LoggedVoucher,
    /// The proof.
    pub proof: HolderProof,
}

message!(Surrender, SURRENDER, 512);

fn surrender_statement(view: &InForce<'_>, shown: &ShownVoucher) -> Result<HolderStatement, VoucherError> {
    let entry = view.key(shown.key).filter(|entry| entry.id.round == view.round).ok_or(VoucherError::UnknownKey)?;
    let mut transcript = Transcript::new(registry::TRANSCRIPT_HOLDER);
    transcript.append("operation", &[operation::SURRENDER]);
    transcript.append("programme", &view.programme.id().0);
    transcript.append_u64("round", view.round.0.into());
    transcript.append("manifest", &view.hash.0);
    let mut statement = HolderStatement::new(transcript);
    statement.voucher(entry, shown);
    Ok(statement)
}

impl Surrender {
    /// Gives up a voucher in public.
    ///
    /// # Errors
    /// [`VoucherError::UnknownKey`] for a voucher of another round.
    pub fn new<R: CryptoRng + ?Sized>(
        view: &InForce<'_>,
        voucher: &Voucher,
        rng: &mut R,
    ) -> Result<Self, VoucherError> {
        let entry = view.key(voucher.key()).ok_or(VoucherError::UnknownKey)?;
        let logged = crate::voucher::verify(entry, &voucher.shown)?;
        let proof = surrender_statement(view, &voucher.shown)?.prove([&voucher.secret], rng);
        Ok(Self { voucher: logged, proof })
    }

    /// Verifies voucher and proof by themselves.
    ///
    /// # Errors
    /// [`VoucherError`].
    pub fn verify(&self, view: &InForce<'_>) -> Result<Mark, VoucherError> {
        let shown = &self.voucher.shown;
        let entry = view.key(shown.key).ok_or(VoucherError::UnknownKey)?;
        if crate::voucher::verify(entry, shown)? != self.voucher {
            return Err(VoucherError::Invalid);
        }
        surrender_statement(view, shown)?.verify(&self.proof)?;
        Ok(shown.mark())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{
        fixture::{self, Fixture},
        group::{self, PublicScalar, Scalar},
        slip::{QuoteTerms, Signed},
        voucher,
    };

    /// A sheet whose holder key is the identity is refused, even with a true signature over it (spec 3.1).
    #[test]
    fn bearer_of_the_identity_is_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let fixture = Fixture::new(&mut rng);
        let view = fixture.view(1);
        let place = Place::new(&view, fixture::SITE);
        let terms = QuoteTerms { place, id: Default::default(), lines: vec![fixture::FOOD] };
        let quote = Signed::sign(terms, &fixture.site_logs[0]);
        let counter = Counter::new(view, place, Vec::new());
        let key = fixture.keys(1, &[(fixture::FOOD, 1)])[0].0;
        let x = fixture.masters[0].derive(view.key(key).unwrap().id).unwrap().x;
        // The signer signs what it likes: R' = G, Y' = X, s' = 1 + c'x.
        let bearer = |secret: Scalar| {
            let point = |scalar: &Scalar| EncodedPoint(group::multiply_base(scalar).compress().to_bytes());
            let (holder, r, y) = (point(&secret), point(&Scalar::ONE), Scalar::ONE);
            let c = voucher::challenge(&view.key(key).unwrap().key, &r, &point(x.expose()), &holder);
            let shown =
                ShownVoucher { key, holder, r, s: PublicScalar(Scalar::ONE + c * x.expose()), y: PublicScalar(y) };
            BearerVoucher { secret: SecretScalar::new(secret), shown }
        };
        assert!(counter.verify_bearer(&quote, &bearer(Scalar::from(7u64))).is_ok());
        let refusal = counter.verify_bearer(&quote, &bearer(Scalar::ZERO)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::HolderInvalid);
    }
}
