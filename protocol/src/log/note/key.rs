//! Named Ed25519 keys of logs and witnesses, their ids and their text form (`signed-note`, "Verifier keys").

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{NoteError, NoteSignature, SignedNote};
use crate::signature::is_canonical;

/// How a key signs notes: the type byte of `signed-note`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 0x01: a log, signs the text.
    Log,
    /// 0x04: a witness, signs a time and the text.
    Witness,
}

impl KeyType {
    /// The type byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }
}

/// The first four bytes of `SHA-256(name || 0x0a || type || public key)`: says which key signed, proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// The id of a key under a name.
    fn of(name: &str, key_type: KeyType, key: &VerifyingKey) -> Self {
        let hash = Sha256::new().chain_update(name).chain_update([b'\n', key_type.byte()]).chain_update(key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A named key that verifies notes. Shown, parsed and serialized as a `vkey`: `name+key id+base64(type || key)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifierKey {
    name: String,
    key_type: KeyType,
    key: VerifyingKey,
}

impl VerifierKey {
    /// A key under a name. The name is not empty and holds no space, no control character and no `+`; a URL without its
    /// scheme is recommended. A log's key bears the origin of the log.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] or [`NoteError::WeakKey`].
    pub fn new(name: &str, key_type: KeyType, key: VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        if key.is_weak() || !is_canonical(key.as_bytes()) {
            return Err(NoteError::WeakKey);
        }
        Ok(Self { name: name.to_owned(), key_type, key })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the key signs.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The Ed25519 key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The key's id under its name.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.name, self.key_type, &self.key)
    }

    /// The lines of a note that claim to be by this key.
    pub(super) fn lines_of<'a>(&self, note: &'a SignedNote) -> impl Iterator<Item = &'a NoteSignature> {
        let id = self.id();
        note.signatures().iter().filter(move |line| line.key_id() == id && line.name() == self.name)
    }

    /// Verifies a signature that claims to be by this key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
        Signature::from_slice(signature)
            .and_then(|signature| self.key.verify_strict(message, &signature))
            .map_err(|_| NoteError::Signature { key: self.id() })
    }

    /// Requires a type of key.
    pub(super) fn expect_type(&self, expected: KeyType) -> Result<(), NoteError> {
        if self.key_type == expected { Ok(()) } else { Err(NoteError::KeyType { key: self.id(), expected }) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.key_type.byte()], &self.key.as_bytes()[..]].concat();
        write!(f, "{}+{}+{}", self.name, self.id(), BASE64.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::KeyText)?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::KeyText)?;
        let key = BASE64.decode(key).map_err(|source| NoteError::KeyBase64 { source })?;
        let (&key_type, key) = key.split_first().ok_or(NoteError::KeyText)?;
        let key_type = [KeyType::Log, KeyType::Witness].into_iter().find(|known| known.byte() == key_type);
        let key_type = key_type.ok_or(NoteError::UnknownKeyType)?;
        let key = VerifyingKey::try_from(key).map_err(|_| NoteError::KeyText)?;
        let key = Self::new(name, key_type, key)?;
        if key.id().to_string() == id { Ok(key) } else { Err(NoteError::KeyId) }
    }
}

impl TryFrom<String> for VerifierKey {
    type Error = NoteError;

    fn try_from(text: String) -> Result<Self, NoteError> {
        text.parse()
    }
}

impl From<VerifierKey> for String {
    fn from(key: VerifierKey) -> Self {
        key.to_string()
    }
}

/// The rule for names of keys.
pub(crate) fn check_name(name: &str) -> Result<(), NoteError> {
    let refused = |character: char| character.is_whitespace() || character < ' ' || character == '+';
    if name.is_empty() || name.contains(refused) { Err(NoteError::KeyName) } else { Ok(()) }
}
