//! The holder proof: one Schnorr proof for all holder keys of a visit (spec 7.2).
//!
//! `z_i = H(context, all (k, P, R', s', y') in order, i)`; knowledge of `sum z_i p_i` for `sum z_i P_i`. The weights come after
//! all keys are fixed, so that nobody can choose a key that cancels another's.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{ShownVoucher, VoucherError};
use crate::{
    group::{self, EncodedPoint, GroupError, Point, PublicScalar, Scalar},
    programme::KeyEntry,
    registry,
    secret::{SecretScalar, hedged},
    transcript::{self, Transcript},
};

/// A Schnorr proof: 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderProof {
    pub(crate) commitment: EncodedPoint,
    pub(crate) response: PublicScalar,
}

/// The statement of a holder proof: a context and the vouchers, or bare holder keys.
pub(crate) struct HolderStatement {
    transcript: Transcript,
    holders: Vec<EncodedPoint>,
}

impl HolderStatement {
    /// Starts a statement; the context's transcript begins with the operation.
    pub(crate) fn new(context: Transcript) -> Self {
        Self { transcript: context, holders: Vec::new() }
    }

    /// Adds a voucher.
    pub(crate) fn voucher(&mut self, entry: &KeyEntry, voucher: &ShownVoucher) {
        self.transcript.append("k", &entry.id.canonical());
        self.transcript.append("P", &voucher.holder.0);
        self.transcript.append("R'", &voucher.r.0);
        self.transcript.append_scalar("s'", &voucher.s.0);
        self.transcript.append_scalar("y'", &voucher.y.0);
        self.holders.push(voucher.holder);
    }

    /// Adds a bare holder key.
    pub(crate) fn holder(&mut self, holder: EncodedPoint) {
        self.transcript.append("P", &holder.0);
        self.holders.push(holder);
    }

    fn weights(&mut self) -> Vec<Scalar> {
        let context = self.transcript.challenge_bytes("holders");
        (0..self.holders.len() as u32)
            .map(|i| {
                let input = [&context[..], &i.to_le_bytes()].concat();
                Scalar::from_bytes_mod_order_wide(&transcript::hash_wide(registry::HOLDER_WEIGHT, &input))
            })
            .collect()
    }

    fn challenge(&mut self, commitment: &EncodedPoint) -> Scalar {
        self.transcript.append("T", &commitment.0);
        self.transcript.challenge_scalar("challenge")
    }

    /// Proves knowledge of all secrets, given in the order of the holders.
    pub(crate) fn prove<'a, R: CryptoRng + ?Sized>(
        mut self,
        secrets: impl IntoIterator<Item = &'a SecretScalar>,
        rng: &mut R,
    ) -> HolderProof {
        let weights = self.weights();
        let witness: Zeroizing<Scalar> = Zeroizing::new(weights.iter().zip(secrets).map(|(z, p)| z * p.expose()).sum());
        let mut nonces = hedged(&[*witness], &self.transcript.clone().challenge_bytes("nonce"), rng);
        let nonce = Zeroizing::new(nonces.scalar());
        let commitment = EncodedPoint(group::multiply_base(&nonce).compress().to_bytes());
        let challenge = self.challenge(&commitment);
        HolderProof { commitment, response: PublicScalar(*nonce + challenge * *witness) }
    }

    /// Verifies: `z*G = T + c * sum z_i P_i`.
    ///
    /// # Errors
    /// [`VoucherError::Group`] for a holder key that is no point, [`VoucherError::Invalid`] otherwise.
    pub(crate) fn verify(mut self, proof: &HolderProof) -> Result<(), VoucherError> {
        let holders = self.holders.iter().map(EncodedPoint::decode).collect::<Result<Vec<_>, GroupError>>()?;
        if holders.is_empty() {
            return Err(VoucherError::Invalid);
        }
        let weights = self.weights();
        let challenge = self.challenge(&proof.commitment);
        let mut scalars = vec![proof.response.0];
        scalars.extend(weights.iter().map(|z| -(challenge * z)));
        let mut elements = vec![*Point::generator().element()];
        elements.extend(holders.iter().map(|holder| *holder.element()));
        let commitment = Point::encode(group::combine_vartime(&scalars, &elements))?;
        if EncodedPoint::from(commitment) == proof.commitment { Ok(()) } else { Err(VoucherError::Invalid) }
    }
}
