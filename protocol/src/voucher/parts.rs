//! A voucher taken apart for paper, whole or in two halves (spec bearer.md).
//!
//! ```text
//! parts = u32 key position || p || R' || s' || y'         integers little-endian, scalars below the group order
//! h     = H64(seed || programme id || u32 key position || R' || s' || y') mod l
//! half  = the same with p - h in place of p
//! ```
//!
//! `P` is left out: it is `p*G`. What is read back becomes a [`Voucher`] only by verifying, so no invalid one exists. `R'` is
//! as unique to a voucher as `P` is, so that no two halves of one seed share their `h`.

use std::fmt;

use zeroize::Zeroizing;

use super::{ShownVoucher, Voucher, VoucherError, verify};
use crate::{
    group::{self, EncodedPoint, GroupError, Point, PublicScalar, Scalar},
    ids::{KeyIndex, ProgrammeId},
    programme::Programme,
    registry,
    secret::{SecretBytes, SecretScalar},
    transcript,
};

/// What a printed voucher holds: everything of it but `P`. Not verified.
pub struct VoucherParts {
    key: KeyIndex,
    secret: SecretScalar,
    r: EncodedPoint,
    s: PublicScalar,
    y: PublicScalar,
}

/// The same with half of `p`: of no use without the seed that it was split with.
pub struct HalfParts(VoucherParts);

impl VoucherParts {
    /// The length of the encoding.
    pub const BYTES: usize = 4 + 4 * 32;

    /// Takes a copy of a voucher apart.
    pub fn of(voucher: &Voucher) -> Self {
        let ShownVoucher { key, r, s, y, .. } = voucher.shown;
        Self { key, secret: voucher.secret.duplicate(), r, s, y }
    }

    /// Puts the voucher together and verifies it, against any key that the programme ever listed.
    ///
    /// # Errors
    /// [`VoucherError`].
    pub fn voucher(self, programme: &Programme) -> Result<Voucher, VoucherError> {
        let entry = programme.key(self.key).ok_or(VoucherError::UnknownKey)?;
        let holder = Point::encode(group::multiply_base(self.secret.expose()))?.into();
        let shown = ShownVoucher { key: self.key, holder, r: self.r, s: self.s, y: self.y };
        verify(entry, &shown)?;
        Ok(Voucher { secret: self.secret, shown })
    }

    /// Splits `p`: the half that is returned, and `seed`, are each of no use alone.
    pub fn split(self, seed: &SecretBytes, programme: &ProgrammeId) -> HalfParts {
        let other = self.other_half(seed, programme);
        let secret = SecretScalar::new(self.secret.expose() - *other);
        HalfParts(Self { secret, ..self })
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        let (key, rest) = bytes.split_at_mut(4);
        key.copy_from_slice(&self.key.0.to_le_bytes());
        let fields = [self.secret.expose().as_bytes(), &self.r.0, self.s.0.as_bytes(), self.y.0.as_bytes()];
        for (to, from) in rest.chunks_exact_mut(32).zip(fields) {
            to.copy_from_slice(from);
        }
        bytes
    }

    /// Reads the encoding: the one that [`VoucherParts::to_bytes`] writes.
    ///
    /// # Errors
    /// [`GroupError::NotAScalar`].
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, GroupError> {
        let field = |at: usize| -> Zeroizing<[u8; 32]> {
            let mut field = Zeroizing::new([0; 32]);
            field.copy_from_slice(&bytes[4 + 32 * at..36 + 32 * at]);
            field
        };
        let [a, b, c, d, ..] = *bytes;
        Ok(Self {
            key: KeyIndex(u32::from_le_bytes([a, b, c, d])),
            secret: SecretScalar::new(PublicScalar::decode(*field(0))?.0),
            r: EncodedPoint(*field(1)),
            s: PublicScalar::decode(*field(2))?,
            y: PublicScalar::decode(*field(3))?,
        })
    }

    /// `h`.
    fn other_half(&self, seed: &SecretBytes, programme: &ProgrammeId) -> Zeroizing<Scalar> {
        let mut input = Zeroizing::new(Vec::with_capacity(64 + Self::BYTES));
        input.extend_from_slice(seed.expose());
        input.extend_from_slice(&programme.0);
        input.extend_from_slice(&self.key.0.to_le_bytes());
        for field in [&self.r.0, self.s.0.as_bytes(), self.y.0.as_bytes()] {
            input.extend_from_slice(field);
        }
        let wide = Zeroizing::new(transcript::hash_wide(registry::BEARER_HALF, &input));
        Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide))
    }
}

impl HalfParts {
    /// Adds the other half. With another seed the result does not verify.
    pub fn join(self, seed: &SecretBytes, programme: &ProgrammeId) -> VoucherParts {
        let other = self.0.other_half(seed, programme);
        let secret = SecretScalar::new(self.0.secret.expose() + *other);
        VoucherParts { secret, ..self.0 }
    }

    /// The encoding, as long as that of whole parts.
    pub fn to_bytes(&self) -> Zeroizing<[u8; VoucherParts::BYTES]> {
        self.0.to_bytes()
    }

    /// Reads the encoding.
    ///
    /// # Errors
    /// [`GroupError::NotAScalar`].
    pub fn from_bytes(bytes: &[u8; VoucherParts::BYTES]) -> Result<Self, GroupError> {
        VoucherParts::from_bytes(bytes).map(Self)
    }
}

impl fmt::Debug for VoucherParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoucherParts(key {}, redacted)", self.key)
    }
}

impl fmt::Debug for HalfParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HalfParts(key {}, redacted)", self.0.key)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::fixture::{CASH, FOOD, Fixture, LOT};

    struct World {
        fixture: Fixture,
        vouchers: Vec<Voucher>,
        rng: ChaCha20Rng,
    }

    fn world() -> World {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let fixture = Fixture::new(&mut rng);
        let (credential, _) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
        let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
        let keys = fixture.keys(1, &[(FOOD, 3), (CASH, 30)]);
        let (_, vouchers, _) = fixture.draw(1, &credential, keys, &mut rng);
        World { fixture, vouchers, rng }
    }

    #[test]
    fn parts_become_the_voucher_that_they_are_of() {
        let World { fixture, vouchers, .. } = world();
        for voucher in &vouchers {
            let bytes = VoucherParts::of(voucher).to_bytes();
            let back = VoucherParts::from_bytes(&bytes).unwrap().voucher(&fixture.programme).unwrap();
            assert_eq!(back.shown, voucher.shown);
            assert_eq!(back.secret.expose(), voucher.secret.expose());
        }
    }

    /// Every bit counts: a changed encoding is refused, when it is read or when it is verified.
    #[test]
    fn changed_parts_are_refused() {
        let World { fixture, vouchers, .. } = world();
        let bytes = VoucherParts::of(&vouchers[0]).to_bytes();
        for bit in 0..8 * VoucherParts::BYTES {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = VoucherParts::from_bytes(&changed);
            assert!(read.is_err() || read.unwrap().voucher(&fixture.programme).is_err(), "bit {bit}");
        }
        let mut zero = bytes.clone();
        zero[4..36].fill(0);
        let error = VoucherParts::from_bytes(&zero).unwrap().voucher(&fixture.programme).unwrap_err();
        assert_eq!(error, VoucherError::Group(GroupError::Identity));
        let other = Fixture::new(&mut ChaCha20Rng::seed_from_u64(8));
        let error = VoucherParts::from_bytes(&bytes).unwrap().voucher(&other.programme).unwrap_err();
        assert_eq!(error, VoucherError::Invalid);
    }

    #[test]
    fn two_halves_make_a_voucher_and_one_does_not() {
        let World { fixture, vouchers, mut rng } = world();
        let (programme, id) = (&fixture.programme, fixture.programme.id());
        let (seed, other) = (SecretBytes::random(&mut rng), SecretBytes::random(&mut rng));
        for voucher in &vouchers {
            let half = || HalfParts::from_bytes(&VoucherParts::of(voucher).split(&seed, &id).to_bytes()).unwrap();
            let joined = half().join(&seed, &id).voucher(programme).unwrap();
            assert_eq!(joined.shown, voucher.shown);
            assert_eq!(half().join(&other, &id).voucher(programme).unwrap_err(), VoucherError::Invalid);
            assert_eq!(
                half().join(&seed, &ProgrammeId([1; 32])).voucher(programme).unwrap_err(),
                VoucherError::Invalid
            );
            // The half taken for the whole.
            assert_eq!(half().0.voucher(programme).unwrap_err(), VoucherError::Invalid);
        }
    }

    /// Halves of one seed differ from each other as secrets do: what one voucher's two halves tell, tells nothing of the next.
    #[test]
    fn no_two_vouchers_share_a_half() {
        let World { fixture, vouchers, mut rng } = world();
        let (id, seed) = (fixture.programme.id(), SecretBytes::random(&mut rng));
        let halves: Vec<_> = vouchers.iter().map(|voucher| VoucherParts::of(voucher).other_half(&seed, &id)).collect();
        for (at, half) in halves.iter().enumerate() {
            assert!(halves[..at].iter().all(|before| **before != **half));
            let moved = VoucherParts { key: KeyIndex(1 + vouchers[at].key().0), ..VoucherParts::of(&vouchers[at]) };
            assert_ne!(*moved.other_half(&seed, &id), **half, "the key's position is bound");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let World { fixture, vouchers, mut rng } = world();
        let parts = VoucherParts::of(&vouchers[0]);
        assert_eq!(format!("{parts:?}"), format!("VoucherParts(key {}, redacted)", vouchers[0].key()));
        let half = parts.split(&SecretBytes::random(&mut rng), &fixture.programme.id());
        assert_eq!(format!("{half:?}"), format!("HalfParts(key {}, redacted)", vouchers[0].key()));
    }
}
