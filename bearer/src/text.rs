//! What the texts of all codes have in common: `ANNONA1/<kind>/<rest>`.

use zeroize::Zeroizing;

use crate::base45;

pub(crate) const PREFIX: &str = "ANNONA";
pub(crate) const VERSION: &str = "1";

/// Why a text is none of ours.
pub(crate) enum Foreign {
    /// Not the text of any code.
    Other,
    /// Of a later version.
    Newer,
}

/// The kind and the rest of a text.
pub(crate) fn open(text: &str) -> Result<(&str, &str), Foreign> {
    let rest = text.strip_prefix(PREFIX).ok_or(Foreign::Other)?;
    let (version, rest) = rest.split_once('/').ok_or(Foreign::Other)?;
    if version != VERSION {
        let is_number = (1..=4).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if is_number { Foreign::Newer } else { Foreign::Other });
    }
    rest.split_once('/').ok_or(Foreign::Other)
}

/// `ANNONA1/<head>/<bytes in base 45>`.
pub(crate) fn write(head: &str, bytes: &[u8]) -> Zeroizing<String> {
    let length = PREFIX.len() + VERSION.len() + head.len() + 2 + base45::encoded_length(bytes.len());
    let mut text = Zeroizing::new(String::with_capacity(length));
    for part in [PREFIX, VERSION, "/", head, "/"] {
        text.push_str(part);
    }
    base45::encode_into(bytes, &mut text);
    text
}
