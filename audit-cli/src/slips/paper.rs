//! The files that slips come in.

use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    ids::ProgrammeId,
    registry::kind,
    slip::{OwedSlip, Place, Receipt, RefusalSlip, VoidSlip},
    wire::{DecodeError, Message},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use crate::evidence::{EvidenceError, OMISSION, OmissionProof};

/// The format of a wallet's export.
pub const EXPORT: &str = "annona-receipts-1";

/// What a site signed and a person holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paper {
    /// A voucher was accepted.
    Receipt(Receipt),
    /// Units are owed.
    Owed(OwedSlip),
    /// Acceptances were voided.
    Void(VoidSlip),
    /// A visit was refused.
    Refusal(RefusalSlip),
}

/// Why a file holds no slips. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaperError {
    /// Neither a message nor a file of messages.
    #[error("this is no slip, no export of a wallet and no proof of omission. Check which file it is")]
    Unknown,
    /// A slip does not decode.
    #[error("slip {number} does not decode: {source}. Export it again")]
    Slip {
        /// Its place in the file, from 1.
        number: usize,
        /// Why.
        source: DecodeError,
    },
    /// The export is of another programme.
    #[error("these are slips of another programme. Give that programme's id and folder")]
    Programme,
    /// The proof of omission.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

impl Paper {
    /// Reads the slips of a file: one message, a wallet's export, or a proof whose receipt is meant. Nothing of it is believed.
    ///
    /// # Errors
    /// [`PaperError`].
    pub fn read(bytes: &[u8], programme: ProgrammeId) -> Result<Vec<Self>, PaperError> {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            return match Self::decode(bytes) {
                Err(DecodeError::Kind { .. } | DecodeError::Version { .. }) => Err(PaperError::Unknown),
                one => Ok(vec![one.map_err(|source| PaperError::Slip { number: 1, source })?]),
            };
        };
        if value["format"] == OMISSION {
            return Ok(vec![Self::Receipt(OmissionProof::from_json(bytes)?.omission.receipt)]);
        }
        let slips = value["slips"].as_array().filter(|_| value["format"] == EXPORT).ok_or(PaperError::Unknown)?;
        if value["programme"].as_str() != Some(programme.to_string().as_str()) {
            return Err(PaperError::Programme);
        }
        (1..)
            .zip(slips)
            .map(|(number, slip)| {
                let bytes = slip.as_str().and_then(|text| BASE64.decode(text).ok()).ok_or(PaperError::Unknown)?;
                Self::decode(&bytes).map_err(|source| PaperError::Slip { number, source })
            })
            .collect()
    }

    /// Reads a message.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.get(1) {
            Some(&kind::OWED_SLIP) => OwedSlip::decode(bytes).map(Self::Owed),
            Some(&kind::VOID_SLIP) => VoidSlip::decode(bytes).map(Self::Void),
            Some(&kind::REFUSAL) => RefusalSlip::decode(bytes).map(Self::Refusal),
            Some(&kind::INCLUSION) => Inclusion::decode(bytes).map(|proof| Self::Receipt(proof.receipt)),
            Some(&kind::OMISSION) => Omission::decode(bytes).map(|proof| Self::Receipt(proof.receipt)),
            _ => Receipt::decode(bytes).map(Self::Receipt),
        }
    }

    /// What kind of slip it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Receipt(_) => "receipt",
            Self::Owed(_) => "owed",
            Self::Void(_) => "void",
            Self::Refusal(_) => "refusal",
        }
    }

    /// What it names.
    pub fn place(&self) -> &Place {
        match self {
            Self::Receipt(slip) => &slip.content.place,
            Self::Owed(slip) => &slip.content.place,
            Self::Void(slip) => &slip.content.place,
            Self::Refusal(slip) => &slip.content.place,
        }
    }
}
