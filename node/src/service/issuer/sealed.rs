//! Rows sealed at rest: grants of unused tickets, running cohort sums (spec 4.5-M8).

use annona_protocol::{
    cohort::{CohortClass, CohortSum},
    enrol::TicketGrant,
    ids::{Round, TicketHash},
    programme::Schema,
    secret::SecretScalar,
    ticket::TicketUse,
};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::IssuerError;

/// The key of sealed rows: 32 bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct StoreKey([u8; 32]);

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(redacted)")
    }
}

impl StoreKey {
    /// Takes over a key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The key's bytes, for an encrypted file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn seal<R: CryptoRng + ?Sized>(&self, row: &[u8], plain: &[u8], rng: &mut R) -> Vec<u8> {
        let mut nonce = [0; 24];
        rng.fill_bytes(&mut nonce);
        let payload = Payload { msg: plain, aad: row };
        let sealed = XChaCha20Poly1305::new(&self.0.into()).encrypt(XNonce::from_slice(&nonce), payload);
        [&nonce[..], &sealed.expect("a row is far shorter than the cipher's limit")].concat()
    }

    fn open(&self, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, IssuerError> {
        let (nonce, sealed) = sealed.split_first_chunk::<24>().ok_or(IssuerError::Sealed)?;
        XChaCha20Poly1305::new(&self.0.into())
            .decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: row })
            .map(Zeroizing::new)
            .map_err(|_| IssuerError::Sealed)
    }

    /// Seals a ticket's grant under its hash, in one length for all households of a lot.
    pub(super) fn seal_grant<R: CryptoRng + ?Sized>(&self, grant: &TicketGrant, rng: &mut R) -> Vec<u8> {
        // Fixed-width numbers: postcard's lengths would follow the values.
        let mut plain = Zeroizing::new(Vec::new());
        plain.extend_from_slice(&grant.expires.0.to_le_bytes());
        plain.extend_from_slice(&(grant.attributes.len() as u64).to_le_bytes());
        grant.attributes.iter().for_each(|attribute| plain.extend_from_slice(&attribute.to_le_bytes()));
        plain.extend(postcard::to_stdvec(&grant.place).expect("writing to memory cannot fail"));
        self.seal(&grant.place.hash.0, &plain, rng)
    }

    pub(super) fn open_grant(&self, hash: &TicketHash, sealed: &[u8]) -> Result<TicketGrant, IssuerError> {
        let plain = self.open(&hash.0, sealed)?;
        let parse = || -> Option<TicketGrant> {
            let (expires, rest) = plain.split_first_chunk()?;
            let (count, mut rest) = rest.split_first_chunk()?;
            let mut attributes = Vec::new();
            for _ in 0..u64::from_le_bytes(*count) {
                let (attribute, left) = rest.split_first_chunk()?;
                attributes.push(u64::from_le_bytes(*attribute));
                rest = left;
            }
            let place: TicketUse = postcard::from_bytes(rest).ok()?;
            Some(TicketGrant { place, expires: Round(u32::from_le_bytes(*expires)), attributes })
        };
        parse().ok_or(IssuerError::Sealed)
    }

    pub(super) fn seal_sum<R: CryptoRng + ?Sized>(&self, class: &[u8], sum: &CohortSum, rng: &mut R) -> Vec<u8> {
        let (count, rho, values) = sum.expose();
        // Padded to one length: sums of small numbers encode shorter. Reserved at once, so that no copy is left behind.
        let length = 48 + 10 * values.len();
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        let encoded =
            Zeroizing::new(postcard::to_stdvec(&(count, &rho, values)).expect("writing to memory cannot fail"));
        plain.extend_from_slice(&encoded);
        plain.resize(length, 0);
        self.seal(class, &plain, rng)
    }

    pub(super) fn open_sum(
        &self,
        class: CohortClass,
        row: &[u8],
        sealed: &[u8],
        schema: &Schema,
    ) -> Result<CohortSum, IssuerError> {
        let plain = self.open(row, sealed)?;
        let ((count, rho, values), _padding): ((u64, SecretScalar, Vec<i64>), _) =
            postcard::take_from_bytes(&plain).map_err(|_| IssuerError::Sealed)?;
        CohortSum::restore(class, count, &rho, &Zeroizing::new(values), schema).map_err(|_| IssuerError::Sealed)
    }
}
