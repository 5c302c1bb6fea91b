//! The `bulletproofs` crate itself, bound to an older curve25519-dalek: values cross as canonical bytes. The oracle of the
//! tests and the yardstick of the benches.

use std::sync::LazyLock;

use bulletproofs::{BulletproofGens, PedersenGens};
use curve25519_dalek_bulletproofs::ristretto::CompressedRistretto;
#[cfg(test)]
use curve25519_dalek_bulletproofs::scalar::Scalar as OldScalar;

use super::{MAX_VALUES, MAX_WIDTH, RangeError, RangeProof, merlin, padded};
#[cfg(test)]
use crate::secret::SecretScalar;
use crate::{group::Point, registry, transcript::ByteStream};

static GENERATORS: LazyLock<(BulletproofGens, PedersenGens)> =
    LazyLock::new(|| (BulletproofGens::new(MAX_WIDTH, MAX_VALUES), PedersenGens::default()));

/// The crate's generator trait is of an older `rand_core`.
struct OldRng(ByteStream);

impl rand_core_bulletproofs::RngCore for OldRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core_bulletproofs::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

impl rand_core_bulletproofs::CryptoRng for OldRng {}

/// The crate's own proof of the same values, blindings and randomness.
#[cfg(test)]
pub(super) fn prove_by_crate(
    width: usize,
    values: &[u64],
    blindings: &[SecretScalar],
    seed: &[u8; 64],
    nonces: ByteStream,
) -> (RangeProof, Vec<Point>) {
    let (mut values, count) = (values.to_vec(), values.len());
    values.resize(padded(count), 0);
    let mut blindings: Vec<OldScalar> =
        blindings.iter().map(|blinding| OldScalar::from_bytes_mod_order(blinding.expose().to_bytes())).collect();
    blindings.resize(padded(count), OldScalar::ZERO);
    let (proof, commitments) = bulletproofs::RangeProof::prove_multiple_with_rng(
        &GENERATORS.0,
        &GENERATORS.1,
        &mut merlin(seed),
        &values,
        &blindings,
        width,
        &mut OldRng(nonces),
    )
    .unwrap();
    let commitments = commitments.iter().take(count).map(|point| Point::decode(point.to_bytes()).unwrap()).collect();
    (RangeProof(proof.to_bytes()), commitments)
}

/// The crate's own verdict on a proof.
///
/// # Errors
/// [`RangeError::Malformed`] if the crate refuses.
pub fn verify_by_crate<R: rand_core::CryptoRng + ?Sized>(
    width: usize,
    commitments: &[Point],
    proof: &RangeProof,
    seed: &[u8; 64],
    rng: &mut R,
) -> Result<(), RangeError> {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    let mut encoded: Vec<_> = commitments.iter().map(|point| CompressedRistretto(*point.as_bytes())).collect();
    encoded.resize(padded(encoded.len()), CompressedRistretto([0; 32]));
    bulletproofs::RangeProof::from_bytes(&proof.0)
        .and_then(|proof| {
            proof.verify_multiple_with_rng(
                &GENERATORS.0,
                &GENERATORS.1,
                &mut merlin(seed),
                &encoded,
                width,
                &mut OldRng(ByteStream::new(registry::BATCH_WEIGHTS, &[&bytes])),
            )
        })
        .map_err(|_| RangeError::Malformed)
}
