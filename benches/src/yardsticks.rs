//! What the libraries cost by themselves, in this process and with the same backend.

use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek::{
    RistrettoPoint, Scalar,
    traits::{MultiscalarMul, VartimeMultiscalarMul},
};
use curve25519_dalek_bulletproofs::{ristretto::CompressedRistretto, scalar::Scalar as OldScalar};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey, verify_batch};
use merlin::Transcript;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use crate::{measure::Case, operations::Part, world};

const CURVE: &str = "curve25519-dalek 5";
const SIGNATURES: &str = "ed25519-dalek 3";
const RANGE: &str = "bulletproofs 5";
/// Bytes of a signed message: a voucher's own message is a 32-byte key.
const MESSAGE: usize = 32;

/// The processor's backend that curve25519-dalek 5 picks, by its own rule: what was compiled in and is detected.
#[allow(unexpected_cfgs)]
pub fn backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let avx512 = std::is_x86_feature_detected!("avx512ifma") && std::is_x86_feature_detected!("avx512vl");
        if cfg!(curve25519_dalek_backend = "avx512") && avx512 {
            return "avx512";
        }
        let serial = cfg!(any(curve25519_dalek_backend = "serial", curve25519_dalek_backend = "fiat"));
        if !serial && std::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "serial"
}

/// A random scalar.
pub fn scalar(rng: &mut ChaCha20Rng) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn half_scalar(rng: &mut ChaCha20Rng) -> Scalar {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes))
}

fn point(rng: &mut ChaCha20Rng) -> RistrettoPoint {
    RistrettoPoint::mul_base(&scalar(rng))
}

/// `scalar * G` from the precomputed table, constant time.
pub fn fixed_base() -> Case {
    let mut rng = world::rng(1);
    Case::new(CURVE, "fixed-base multiplication", move || scalar(&mut rng), |x| RistrettoPoint::mul_base(&x))
}

/// `scalar * point`, constant time: the unit of the bounds.
pub fn variable_base() -> Case {
    let mut rng = world::rng(2);
    Case::new(
        CURVE,
        "variable-base multiplication",
        move || (point(&mut rng), scalar(&mut rng)),
        |(point, scalar)| point * scalar,
    )
}

fn multiscalar(count: usize, short: bool) -> Case {
    let mut rng = world::rng(3);
    let points: Vec<_> = (0..count).map(|_| point(&mut rng)).collect();
    let bits = if short { "128-bit" } else { "full" };
    Case::batch(
        CURVE,
        format!("vartime multi-scalar, n = {count}, {bits}, a point"),
        count,
        move || (0..count).map(|_| if short { half_scalar(&mut rng) } else { scalar(&mut rng) }).collect::<Vec<_>>(),
        move |scalars| RistrettoPoint::vartime_multiscalar_mul(&scalars, &points),
    )
}

/// All operations of the curve library that the protocol leans on.
pub fn curve() -> Vec<Case> {
    let mut cases = vec![fixed_base(), variable_base()];
    let mut rng = world::rng(4);
    cases.push(Case::new(
        CURVE,
        "vartime double base",
        move || (scalar(&mut rng), point(&mut rng), scalar(&mut rng)),
        |(a, point, b)| RistrettoPoint::vartime_double_scalar_mul_basepoint(&a, &point, &b),
    ));
    let mut rng = world::rng(5);
    cases.push(Case::new(CURVE, "compress", move || point(&mut rng), |point| point.compress()));
    let mut rng = world::rng(6);
    cases.push(Case::new(CURVE, "decompress", move || point(&mut rng).compress(), |bytes| bytes.decompress()));
    let mut rng = world::rng(7);
    cases.push(Case::batch(
        CURVE,
        "double and compress, batch of 64, a point",
        64,
        move || (0..64).map(|_| point(&mut rng)).collect::<Vec<_>>(),
        |points| RistrettoPoint::double_and_compress_batch(&points),
    ));
    let mut rng = world::rng(8);
    cases.push(Case::batch(
        CURVE,
        "constant-time multi-scalar, n = 8, a point",
        8,
        move || (0..8).map(|_| (scalar(&mut rng), point(&mut rng))).unzip::<_, _, Vec<_>, Vec<_>>(),
        |(scalars, points)| RistrettoPoint::multiscalar_mul(&scalars, &points),
    ));
    for count in [64, 1024, 16384] {
        cases.extend([multiscalar(count, false), multiscalar(count, true)]);
    }
    cases
}

struct Signed {
    messages: Vec<[u8; MESSAGE]>,
    signatures: Vec<Signature>,
    keys: Vec<VerifyingKey>,
}

fn signed(count: usize) -> Signed {
    let mut rng = world::rng(9);
    let mut bytes = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let keys: Vec<_> = (0..count).map(|_| SigningKey::from_bytes(&bytes())).collect();
    let messages: Vec<_> = (0..count).map(|_| bytes()).collect();
    Signed {
        signatures: keys.iter().zip(&messages).map(|(key, message)| key.sign(message)).collect(),
        keys: keys.iter().map(SigningKey::verifying_key).collect(),
        messages,
    }
}

/// One signature.
pub fn sign() -> Case {
    let mut rng = world::rng(10);
    let key = SigningKey::from_bytes(&[8; 32]);
    let message = move || {
        let mut bytes = [0; MESSAGE];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    Case::new(SIGNATURES, "sign", message, move |message| key.sign(&message))
}

/// One verification.
pub fn verify() -> Case {
    let (set, mut at) = (signed(64), 0);
    let next = move || {
        at = (at + 1) % set.keys.len();
        (set.keys[at], set.messages[at], set.signatures[at])
    };
    Case::new(SIGNATURES, "verify", next, |(key, message, signature)| {
        assert!(key.verify(&message, &signature).is_ok());
    })
}

/// `count` signatures under distinct keys in one batch, a signature.
pub fn batch(count: usize) -> Case {
    let set = signed(count);
    Case::batch(
        SIGNATURES,
        format!("verify_batch of {count}, a signature"),
        count,
        || (),
        move |()| {
            let messages: Vec<&[u8]> = set.messages.iter().map(|message| &message[..]).collect();
            assert!(verify_batch(&messages, &set.signatures, &set.keys).is_ok());
        },
    )
}

/// All operations of the signature library.
pub fn signatures() -> Vec<Case> {
    let (set, mut at) = (signed(64), 0);
    let next = move || {
        at = (at + 1) % set.keys.len();
        (set.keys[at], set.messages[at], set.signatures[at])
    };
    let strict = Case::new(SIGNATURES, "verify_strict", next, |(key, message, signature)| {
        assert!(key.verify_strict(&message, &signature).is_ok());
    });
    vec![sign(), verify(), strict, batch(64), batch(1024)]
}

/// The range-proof crate's generator trait is of an older `rand_core`.
struct OldRng(ChaCha20Rng);

impl rand_core_bulletproofs::RngCore for OldRng {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core_bulletproofs::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl rand_core_bulletproofs::CryptoRng for OldRng {}

/// What the range-proof crate proves: its generators, made once.
#[derive(Clone)]
struct Prover {
    generators: BulletproofGens,
    pedersen: PedersenGens,
    width: usize,
}

impl Prover {
    fn new(width: usize, count: usize) -> Self {
        Self { generators: BulletproofGens::new(width, count), pedersen: PedersenGens::default(), width }
    }

    fn prove(&self, values: &[u64], blindings: &[OldScalar], rng: &mut OldRng) -> (Vec<u8>, Vec<CompressedRistretto>) {
        let mut transcript = Transcript::new(b"bench");
        let (proof, commitments) = RangeProof::prove_multiple_with_rng(
            &self.generators,
            &self.pedersen,
            &mut transcript,
            values,
            blindings,
            self.width,
            rng,
        )
        .expect("the values are in range");
        (proof.to_bytes(), commitments)
    }
}

fn old_scalar(rng: &mut ChaCha20Rng) -> OldScalar {
    OldScalar::from_bytes_mod_order(scalar(rng).to_bytes())
}

fn values(width: usize, count: usize, rng: &mut ChaCha20Rng) -> (Vec<u64>, Vec<OldScalar>) {
    (0..count).map(|_| (rng.next_u64() & ((1 << width) - 1), old_scalar(rng))).unzip()
}

/// The range-proof crate's prover, commitments included.
pub fn range_prove(width: usize, count: usize) -> Case {
    let (prover, mut inputs, mut nonces) = (Prover::new(width, count), world::rng(11), OldRng(world::rng(12)));
    Case::new(
        RANGE,
        format!("prove {width}-bit x{count}"),
        move || values(width, count, &mut inputs),
        move |(values, blindings)| prover.prove(&values, &blindings, &mut nonces),
    )
}

/// The range-proof crate's verifier, from bytes.
pub fn range_verify(width: usize, count: usize) -> Case {
    let (prover, mut inputs, mut nonces) = (Prover::new(width, count), world::rng(13), OldRng(world::rng(14)));
    let proofs: Vec<_> = (0..4)
        .map(|_| {
            let (values, blindings) = values(width, count, &mut inputs);
            prover.prove(&values, &blindings, &mut nonces)
        })
        .collect();
    let mut at = 0;
    let next = move || {
        at = (at + 1) % proofs.len();
        proofs[at].clone()
    };
    Case::new(RANGE, format!("verify {width}-bit x{count}"), next, move |(proof, commitments)| {
        let verified = RangeProof::from_bytes(&proof).and_then(|proof| {
            proof.verify_multiple_with_rng(
                &prover.generators,
                &prover.pedersen,
                &mut Transcript::new(b"bench"),
                &commitments,
                width,
                &mut nonces,
            )
        });
        assert!(verified.is_ok());
    })
}

/// All sizes of range proofs that the criteria name.
pub fn range() -> Vec<Case> {
    let sizes = [16, 32].into_iter().flat_map(|width| [1, 4, 8].map(|count| (width, count)));
    sizes.flat_map(|(width, count)| [range_prove(width, count), range_verify(width, count)]).collect()
}

/// All yardsticks.
pub fn all() -> Vec<Part> {
    vec![
        Part::new("libraries, curve", curve),
        Part::new("libraries, signatures", signatures),
        Part::new("libraries, range proofs", range),
    ]
}
