//! Printed vouchers, their halves, and key slips as texts (spec bearer.md, 1 and 2).

use std::fmt;

use annona_protocol::{
    ids::ProgrammeId,
    programme::Programme,
    registry,
    secret::SecretBytes,
    voucher::{HalfParts, Voucher, VoucherError, VoucherParts},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    base45,
    text::{self, Foreign},
};

/// How much of a programme's id a code carries.
const PROGRAMME: usize = 8;

/// The first bytes of a programme's id. They tell a holder whose programme a code is of; they prove nothing and need not, for a
/// voucher verifies under the keys of its own programme and no other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProgrammeMark(pub(crate) [u8; PROGRAMME]);

/// A printed voucher: whoever reads it can redeem it. Not verified.
#[derive(Debug)]
pub struct VoucherCode {
    programme: ProgrammeMark,
    parts: VoucherParts,
}

/// Half of a printed voucher: of no use without the sheet's [`KeySlip`].
#[derive(Debug)]
pub struct HalfCode {
    programme: ProgrammeMark,
    parts: HalfParts,
}

/// The other halves of all vouchers of one split sheet.
#[derive(Debug)]
pub struct KeySlip {
    programme: ProgrammeMark,
    seed: SecretBytes,
}

/// What a scanned text may be.
#[derive(Debug)]
#[non_exhaustive]
pub enum Code {
    /// A voucher.
    Voucher(VoucherCode),
    /// Half a voucher.
    Half(HalfCode),
    /// A key slip.
    KeySlip(KeySlip),
}

/// Why a text is no code, or a code no voucher. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Not the text of a voucher, half or key slip.
    #[error("this is not the code of an Annona voucher: scan a square of the voucher sheet, or of its key slip")]
    NotACode,
    /// Another kind of Annona's codes.
    #[error(
        "this is another code of Annona, a ticket or a message: scan a square of the voucher sheet, or of its key slip"
    )]
    OtherKind,
    /// A code of a later version.
    #[error("this code is of a newer kind than this program reads: update the program")]
    Version,
    /// A part of the text is missing, too long, or cannot be.
    #[error("the code is damaged: scan it again, flat and in good light")]
    Damaged,
    /// Of another programme.
    #[error("the code is of another programme: look at the programme's name on the sheet")]
    OtherProgramme,
    /// Under a key that the programme does not list.
    #[error(
        "the voucher's key is not listed by the programme: fetch the newest announcement and scan the voucher again"
    )]
    UnknownKey,
    /// The voucher does not verify.
    #[error("the voucher does not verify: nobody issued it, or its code was changed")]
    Invalid,
    /// The joined halves do not verify.
    #[error("sheet and key slip do not fit: compare the marks on both")]
    OtherKeySlip,
}

impl CodeError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotACode => "voucher_code_foreign",
            Self::OtherKind => "voucher_code_kind",
            Self::Version => "voucher_code_version",
            Self::Damaged => "voucher_code_damaged",
            Self::OtherProgramme => "voucher_code_programme",
            Self::UnknownKey => "voucher_code_key",
            Self::Invalid => "voucher_code_invalid",
            Self::OtherKeySlip => "voucher_code_key_slip",
        }
    }
}

impl Code {
    /// Reads the text of a QR code: exactly what `to_qr` writes.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let (kind, rest) = text::open(text).map_err(|foreign| match foreign {
            Foreign::Other => CodeError::NotACode,
            Foreign::Newer => CodeError::Version,
        })?;
        match kind {
            VoucherCode::KIND => Ok(Self::Voucher(VoucherCode::from_base45(rest)?)),
            HalfCode::KIND => Ok(Self::Half(HalfCode::from_base45(rest)?)),
            KeySlip::KIND => Ok(Self::KeySlip(KeySlip::from_base45(rest)?)),
            "E" | "A" | "S" | "M" | "P" => Err(CodeError::OtherKind),
            _ => Err(CodeError::NotACode),
        }
    }
}

impl VoucherCode {
    const KIND: &'static str = "V";

    /// The code of a voucher.
    pub fn of(programme: &ProgrammeId, voucher: &Voucher) -> Self {
        Self { programme: ProgrammeMark::of(programme), parts: VoucherParts::of(voucher) }
    }

    /// The text for the QR code: 220 characters.
    pub fn to_qr(&self) -> Zeroizing<String> {
        text::write(Self::KIND, &join(self.programme, &self.parts.to_bytes()[..]))
    }

    /// The voucher, verified under the programme's own keys.
    ///
    /// # Errors
    /// [`CodeError::OtherProgramme`], [`CodeError::UnknownKey`], [`CodeError::Invalid`].
    pub fn voucher(self, programme: &Programme) -> Result<Voucher, CodeError> {
        self.programme.check(programme)?;
        self.parts.voucher(programme).map_err(|error| refused(&error, CodeError::Invalid))
    }

    fn from_base45(text: &str) -> Result<Self, CodeError> {
        let (programme, bytes) = divide(text)?;
        let parts = VoucherParts::from_bytes(&bytes).map_err(|_| CodeError::Damaged)?;
        Ok(Self { programme, parts })
    }
}

impl HalfCode {
    const KIND: &'static str = "H";

    /// The text for the QR code: 220 characters.
    pub fn to_qr(&self) -> Zeroizing<String> {
        text::write(Self::KIND, &join(self.programme, &self.parts.to_bytes()[..]))
    }

    fn from_base45(text: &str) -> Result<Self, CodeError> {
        let (programme, bytes) = divide(text)?;
        let parts = HalfParts::from_bytes(&bytes).map_err(|_| CodeError::Damaged)?;
        Ok(Self { programme, parts })
    }
}

impl KeySlip {
    const KIND: &'static str = "K";

    /// A fresh key slip, for one sheet. `rng` must be the operating system's.
    pub fn random<R: CryptoRng + ?Sized>(programme: &ProgrammeId, rng: &mut R) -> Self {
        Self::from_seed(programme, SecretBytes::random(rng))
    }

    /// A key slip that was kept: to print the same sheet again.
    pub fn from_seed(programme: &ProgrammeId, seed: SecretBytes) -> Self {
        Self { programme: ProgrammeMark::of(programme), seed }
    }

    /// The seed, for an encrypted store.
    pub fn seed(&self) -> &SecretBytes {
        &self.seed
    }

    /// The half of a voucher that goes onto the sheet.
    pub fn split(&self, programme: &ProgrammeId, voucher: &Voucher) -> HalfCode {
        let parts = VoucherParts::of(voucher).split(&self.seed, programme);
        HalfCode { programme: ProgrammeMark::of(programme), parts }
    }

    /// Puts a half and this key slip together.
    ///
    /// # Errors
    /// [`CodeError::OtherProgramme`], [`CodeError::UnknownKey`]; [`CodeError::OtherKeySlip`] if the voucher does not verify.
    pub fn join(&self, half: HalfCode, programme: &Programme) -> Result<Voucher, CodeError> {
        half.programme.check(programme)?;
        self.programme.check(programme)?;
        let parts = half.parts.join(&self.seed, &programme.id());
        parts.voucher(programme).map_err(|error| refused(&error, CodeError::OtherKeySlip))
    }

    /// Four letters and digits that stand on sheet and key slip, for people: 20 bits of a hash of the seed, which tell nothing
    /// of it.
    pub fn mark(&self) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let hash = blake3::derive_key(registry::BEARER_MARK, self.seed.expose());
        hash.iter().take(4).map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
    }

    /// The text for the QR code: 70 characters.
    pub fn to_qr(&self) -> Zeroizing<String> {
        text::write(Self::KIND, &join(self.programme, &self.seed.expose()[..]))
    }

    fn from_base45(text: &str) -> Result<Self, CodeError> {
        let (programme, bytes) = divide(text)?;
        Ok(Self { programme, seed: SecretBytes::new(*bytes) })
    }
}

impl ProgrammeMark {
    pub(crate) fn of(programme: &ProgrammeId) -> Self {
        let mut mark = [0; PROGRAMME];
        mark.copy_from_slice(&programme.0[..PROGRAMME]);
        Self(mark)
    }

    pub(crate) fn check(self, programme: &Programme) -> Result<(), CodeError> {
        if self == Self::of(&programme.id()) { Ok(()) } else { Err(CodeError::OtherProgramme) }
    }
}

impl fmt::Debug for ProgrammeMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn join(programme: ProgrammeMark, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut joined = Zeroizing::new(Vec::with_capacity(PROGRAMME + bytes.len()));
    joined.extend_from_slice(&programme.0);
    joined.extend_from_slice(bytes);
    joined
}

/// The reverse of [`join`], for a content of a fixed length.
fn divide<const N: usize>(text: &str) -> Result<(ProgrammeMark, Zeroizing<[u8; N]>), CodeError> {
    // Nothing longer is decoded.
    if text.len() != base45::encoded_length(PROGRAMME + N) {
        return Err(CodeError::Damaged);
    }
    let bytes = base45::decode(text).map_err(|_| CodeError::Damaged)?;
    let (programme, content) = bytes.split_first_chunk().ok_or(CodeError::Damaged)?;
    if content.len() != N {
        return Err(CodeError::Damaged);
    }
    let mut array = Zeroizing::new([0; N]);
    array.copy_from_slice(content);
    Ok((ProgrammeMark(*programme), array))
}

pub(crate) fn refused(error: &VoucherError, otherwise: CodeError) -> CodeError {
    match error {
        VoucherError::UnknownKey => CodeError::UnknownKey,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests;
