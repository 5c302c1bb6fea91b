//! What a beneficiary holds: a credential, vouchers, receipts.
//!
//! So far in memory, and talking to an issuer and a site through two traits that carry encoded messages. No storage, no
//! recovery and no transport yet: nothing here survives its process, and a lost answer is not retried.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use annona_protocol::{
    credential::Credential,
    draw::{DrawContext, DrawError, DrawResponse, RollOverContext, RollOverResponse, SessionRequest},
    enrol::{EnrolContext, EnrolError, EnrolResponse},
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    programme::{
        Carry, InForce, KeyCounts, Line, Programme, TicketKind,
        schema::{DRAWN, EXPIRES},
        statement::make_change,
    },
    redeem::{QuoteError, RedeemRequest},
    secret::SecretScalar,
    slip::{Quote, Receipt},
    slots::Slots,
    ticket::TicketCode,
    voucher::{SessionOffer, Voucher},
    wire::{DecodeError, Message},
};
use rand_core::CryptoRng;

/// Bytes of the sealed slots that a wallet without recovery words fills at random.
const SLOT_BYTES: usize = 256;

/// The issuer, as a wallet reaches it: encoded requests and answers.
pub trait IssuerLink {
    /// Why the issuer refused, or was not reached.
    type Error: std::error::Error + 'static;

    /// Sends an enrolment.
    ///
    /// # Errors
    /// The link's.
    fn enrol(&self, request: &[u8]) -> Result<Vec<u8>, Self::Error>;
    /// Sends a roll-over.
    ///
    /// # Errors
    /// The link's.
    fn roll_over(&self, request: &[u8]) -> Result<Vec<u8>, Self::Error>;
    /// Asks for a signing session.
    ///
    /// # Errors
    /// The link's.
    fn open_session(&self, request: &[u8]) -> Result<Vec<u8>, Self::Error>;
    /// Sends a draw.
    ///
    /// # Errors
    /// The link's.
    fn draw(&self, request: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// Why a wallet cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError<L: std::error::Error + 'static> {
    /// There is no credential yet.
    #[error("no credential: enrol first")]
    NotEnrolled,
    /// The issuer refused, or was not reached.
    #[error(transparent)]
    Link(L),
    /// An answer does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Enrolment.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Roll-over or draw.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// The manifest's voucher values cannot make up the units.
    #[error("the programme's voucher values do not make up {units} units of line {line}")]
    Change {
        /// The line.
        line: LineId,
        /// The units.
        units: Units,
    },
}

/// A wallet.
#[derive(Debug, Default)]
pub struct Wallet {
    credential: Option<Credential>,
    vouchers: Vec<Voucher>,
    receipts: Vec<Receipt>,
}

impl Wallet {
    /// Takes over a credential: a restored backup.
    pub fn with_credential(credential: Credential) -> Self {
        Self { credential: Some(credential), ..Self::default() }
    }

    /// The credential, if the wallet has enrolled.
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// Vouchers that were drawn and not redeemed.
    pub fn vouchers(&self) -> &[Voucher] {
        &self.vouchers
    }

    /// Receipts of what was redeemed.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Takes the receipts out.
    pub fn take_receipts(&mut self) -> Vec<Receipt> {
        std::mem::take(&mut self.receipts)
    }

    /// Turns a ticket into a credential.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn enrol<L: IssuerLink, R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        ticket: TicketCode,
        issuer: &L,
        rng: &mut R,
    ) -> Result<(), WalletError<L::Error>> {
        let slots = Slots::random(SLOT_BYTES, rng);
        let (context, request) = EnrolContext::new(programme, TicketKind::Enrol, ticket, slots, rng)?;
        let answer = issuer.enrol(&request.encode_secret()).map_err(WalletError::Link)?;
        let response = EnrolResponse::decode(&answer)?;
        let credential = context.finish(programme, &response, rng).map_err(|rejected| rejected.error)?;
        self.credential = Some(credential);
        Ok(())
    }

    /// Whether the credential has a roll-over to make in the round: it has not rolled over, and has not expired.
    pub fn may_roll_over(&self, round: Round) -> bool {
        let value = |at| self.credential.as_ref().and_then(|credential| credential.value(at));
        value(DRAWN).is_some_and(|drawn| drawn < round.0.into())
            && value(EXPIRES).is_some_and(|expires| expires >= round.0.into())
    }

    /// Rolls the credential over into the view's round.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn roll_over<L: IssuerLink, R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        issuer: &L,
        rng: &mut R,
    ) -> Result<(), WalletError<L::Error>> {
        let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
        let (context, request) = RollOverContext::new(view, credential, Slots::random(SLOT_BYTES, rng), rng)?;
        let answer = issuer.roll_over(&request.encode()).map_err(WalletError::Link)?;
        let response = RollOverResponse::decode(&answer)?;
        let credential = context.finish(view, &response, rng).map_err(|rejected| rejected.error)?;
        self.credential = Some(credential);
        Ok(())
    }

    /// What can be drawn now, by line: lines of which nothing can be drawn are left out.
    pub fn available(&self, view: &InForce<'_>) -> BTreeMap<LineId, Units> {
        let Some(credential) = &self.credential else { return BTreeMap::new() };
        view.header
            .lines
            .iter()
            .filter_map(|line| available(view, credential, line).map(|units| (line.id, units)))
            .collect()
    }

    /// The list of keys that draws everything available at a site.
    ///
    /// # Errors
    /// [`WalletError::Change`] if the voucher values do not make up the units.
    pub fn plan<L: std::error::Error>(&self, view: &InForce<'_>, site: SiteId) -> Result<KeyCounts, WalletError<L>> {
        let mut list = KeyCounts::new();
        for (line, units) in self.available(view) {
            let keys: Vec<KeyIndex> = (0u32..)
                .zip(view.programme.keys())
                .filter(|(_, entry)| {
                    (entry.id.line, entry.id.round, entry.id.site, entry.id.slot)
                        == (line, view.round, Some(site), None)
                })
                .map(|(at, _)| KeyIndex(at))
                .collect();
            list.extend(make_change(view, &keys, units).ok_or(WalletError::Change { line, units })?);
        }
        list.sort_unstable();
        Ok(list)
    }

    /// Draws a list of keys; an empty list refreshes the credential.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn draw<L: IssuerLink, R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        keys: KeyCounts,
        issuer: &L,
        rng: &mut R,
    ) -> Result<(), WalletError<L::Error>> {
        let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
        let slots = Slots::random(SLOT_BYTES, rng);
        let (context, request) = if keys.is_empty() {
            DrawContext::refresh(view, credential, slots, rng)?
        } else {
            let session = SessionRequest { round: view.round, keys: keys.clone() };
            let offer = issuer.open_session(&session.encode()).map_err(WalletError::Link)?;
            DrawContext::new(view, credential, keys, &SessionOffer::decode(&offer)?, slots, rng)?
        };
        let answer = issuer.draw(&request.encode()).map_err(WalletError::Link)?;
        let response = DrawResponse::decode(&answer)?;
        let (credential, vouchers) = context.finish(view, &response, rng).map_err(|rejected| rejected.error)?;
        self.credential = Some(credential);
        self.vouchers.extend(vouchers);
        Ok(())
    }

    /// Answers a quote with every voucher of its round. The vouchers stay until [`Wallet::collected`].
    ///
    /// # Errors
    /// [`QuoteError`]: nothing is revealed then.
    pub fn redeem<R: CryptoRng + ?Sized>(
        &self,
        view: &InForce<'_>,
        quote: &Quote,
        rng: &mut R,
    ) -> Result<RedeemRequest, QuoteError> {
        let of_round = |voucher: &&Voucher| view.key(voucher.key()).is_some_and(|entry| entry.id.round == view.round);
        let vouchers: Vec<&Voucher> = self.vouchers.iter().filter(of_round).collect();
        RedeemRequest::new(view, quote, &vouchers, &SecretScalar::random(rng), rng)
    }

    /// Takes receipts, and erases the vouchers that they are for.
    pub fn collected(&mut self, receipts: Vec<Receipt>) {
        self.vouchers.retain(|voucher| receipts.iter().all(|receipt| receipt.content.mark != voucher.shown().mark()));
        self.receipts.extend(receipts);
    }
}

/// What of a line can be drawn: the balance, or what accrued less the debit; nothing if a predicate fails.
fn available(view: &InForce<'_>, credential: &Credential, line: &Line) -> Option<Units> {
    let schema = &view.header.schema;
    let attributes: Vec<u64> = (0..schema.attributes.len())
        .map(|at| {
            credential.value(schema.attribute(u8::try_from(at).ok()?)).and_then(|value| u64::try_from(value).ok())
        })
        .collect::<Option<_>>()?;
    let state = i128::from(credential.value(schema.state(line.state))?);
    let passes = |form: &annona_protocol::programme::Form| form.evaluate(&attributes).is_some_and(|value| value >= 0);
    if !line.predicates_at(view.round).iter().all(passes) {
        return None;
    }
    let units = match line.carry {
        Carry::Lapse => state,
        Carry::Carry => line.cumulative(view.header.policy.first_round, view.round).evaluate(&attributes)? - state,
    };
    u64::try_from(units).ok().filter(|units| *units > 0).map(Units)
}
