//! Request bytes at rest: some carry ticket codes and masks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Bytes that are wiped when they are dropped.
pub(crate) struct SecretVec(pub(crate) Zeroizing<Vec<u8>>);

impl From<Zeroizing<Vec<u8>>> for SecretVec {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl Serialize for SecretVec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretVec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}
