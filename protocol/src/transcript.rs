//! Fiat-Shamir transcripts and hashing on BLAKE3 (spec 3.2). Sole user of the hash.
//!
//! A transcript is one BLAKE3 state in `derive_key` mode under a context of [`crate::registry`]. Every item is absorbed as
//!
//! ```text
//! u8 length of label || label || u32 little-endian length of bytes || bytes
//! ```
//!
//! so that no two sequences of items share an input. A challenge absorbs its own label as an item without bytes and reads
//! 64 XOF bytes of the state so far; later challenges depend on everything before them.

use blake3::Hasher;

use crate::group::{Point, Scalar};

/// A running transcript. Cheap to clone at a fork of a proof; a clone shares the past, not the future.
#[derive(Clone)]
pub struct Transcript {
    hasher: Hasher,
    /// Present while a test vector is being recorded.
    #[cfg(feature = "hazmat")]
    trace: Option<crate::hazmat::vectors::Tracer>,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transcript(..)")
    }
}

impl Transcript {
    /// Starts a transcript under a context of the registry and absorbs the protocol version.
    pub(crate) fn new(context: &'static str) -> Self {
        let mut transcript = Self {
            hasher: Hasher::new_derive_key(context),
            #[cfg(feature = "hazmat")]
            trace: crate::hazmat::vectors::Tracer::start(context),
        };
        transcript.append("version", &[crate::registry::VERSION]);
        transcript
    }

    /// Absorbs one item.
    ///
    /// # Panics
    /// If an item is longer than 4 GiB or a label than 255 bytes: both are fixed by the program.
    pub(crate) fn append(&mut self, label: &'static str, bytes: &[u8]) {
        let label_length = u8::try_from(label.len()).expect("labels are short literals");
        let length = u32::try_from(bytes.len()).expect("items are bounded by the wire limits");
        self.hasher.update(&[label_length]);
        self.hasher.update(label.as_bytes());
        self.hasher.update(&length.to_le_bytes());
        self.hasher.update(bytes);
        #[cfg(feature = "hazmat")]
        if let Some(trace) = &mut self.trace {
            trace.item(label, bytes);
        }
    }

    /// Absorbs an unsigned integer as 8 little-endian bytes.
    pub(crate) fn append_u64(&mut self, label: &'static str, value: u64) {
        self.append(label, &value.to_le_bytes());
    }

    /// Absorbs a point's encoding.
    pub(crate) fn append_point(&mut self, label: &'static str, point: &Point) {
        self.append(label, point.as_bytes());
    }

    /// Absorbs a public scalar's encoding.
    pub(crate) fn append_scalar(&mut self, label: &'static str, scalar: &Scalar) {
        self.append(label, scalar.as_bytes());
    }

    /// 64 bytes that depend on everything absorbed so far.
    pub(crate) fn challenge_bytes(&mut self, label: &'static str) -> [u8; 64] {
        self.append(label, &[]);
        let mut bytes = [0; 64];
        self.hasher.finalize_xof().fill(&mut bytes);
        #[cfg(feature = "hazmat")]
        if let Some(trace) = &mut self.trace {
            trace.challenge(&bytes);
        }
        bytes
    }

    /// A scalar that depends on everything absorbed so far: 64 bytes reduced modulo the group order.
    pub(crate) fn challenge_scalar(&mut self, label: &'static str) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.challenge_bytes(label))
    }

    /// A 32-byte digest of everything absorbed so far.
    pub(crate) fn digest(&mut self, label: &'static str) -> [u8; 32] {
        let bytes = self.challenge_bytes(label);
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[..32]);
        digest
    }
}

/// 32-byte hash of one byte string under a context. Callers frame what they concatenate.
pub(crate) fn hash(context: &'static str, bytes: &[u8]) -> [u8; 32] {
    let digest = blake3::derive_key(context, bytes);
    #[cfg(feature = "hazmat")]
    crate::hazmat::vectors::hashed(context, bytes, &digest);
    digest
}

/// 64 XOF bytes of one byte string under a context.
pub(crate) fn hash_wide(context: &'static str, bytes: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    Hasher::new_derive_key(context).update(bytes).finalize_xof().fill(&mut out);
    #[cfg(feature = "hazmat")]
    crate::hazmat::vectors::hashed(context, bytes, &out);
    out
}

/// A hash under one context whose key schedule is done once: for hashes on hot paths.
pub(crate) struct KeyedContext(Hasher, #[cfg(feature = "hazmat")] &'static str);

impl KeyedContext {
    pub(crate) fn new(context: &'static str) -> Self {
        Self(
            Hasher::new_derive_key(context),
            #[cfg(feature = "hazmat")]
            context,
        )
    }

    /// 64 XOF bytes of the concatenated parts. The parts have fixed lengths at each use.
    pub(crate) fn wide(&self, parts: &[&[u8]]) -> [u8; 64] {
        let mut hasher = self.0.clone();
        for part in parts {
            hasher.update(part);
        }
        let mut out = [0; 64];
        hasher.finalize_xof().fill(&mut out);
        #[cfg(feature = "hazmat")]
        crate::hazmat::vectors::hashed(self.1, &parts.concat(), &out);
        out
    }
}

/// A stream of pseudorandom bytes from one secret input: hedged nonces and batch weights.
pub(crate) struct ByteStream(blake3::OutputReader);

impl ByteStream {
    pub(crate) fn new(context: &'static str, parts: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new_derive_key(context);
        for part in parts {
            hasher.update(&u64::try_from(part.len()).expect("lengths fit 64 bits").to_le_bytes());
            hasher.update(part);
        }
        let reader = hasher.finalize_xof();
        zeroize::Zeroize::zeroize(&mut hasher);
        Self(reader)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    pub(crate) fn scalar(&mut self) -> Scalar {
        let mut wide = zeroize::Zeroizing::new([0u8; 64]);
        self.fill(&mut wide[..]);
        Scalar::from_bytes_mod_order_wide(&wide)
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}
