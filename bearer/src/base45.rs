//! Base 45 (RFC 9285): bytes in the alphabet of QR codes' alphanumeric mode, two in three characters.
//!
//! Own code, because decoded vouchers are secrets and go to memory that is wiped. Decoding is strict: it reads exactly what
//! encoding writes. No text ends with a space, so none is lost by trimming: the last character of a group is at most `W`.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// The text is no base 45. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not base 45")]
pub struct NotBase45;

/// How many characters so many bytes take.
pub const fn encoded_length(bytes: usize) -> usize {
    bytes / 2 * 3 + bytes % 2 * 2
}

/// Appends bytes to a text; no secret is left behind if it has room for [`encoded_length`] more.
pub fn encode_into(bytes: &[u8], text: &mut String) {
    for group in bytes.chunks(2) {
        let (mut number, characters) = match group {
            [high, low] => (usize::from(u16::from_be_bytes([*high, *low])), 3),
            _ => (usize::from(group[0]), 2),
        };
        for _ in 0..characters {
            text.push(char::from(ALPHABET[number % 45]));
            number /= 45;
        }
    }
}

/// Reads a text back.
///
/// # Errors
/// [`NotBase45`] for characters, groups and lengths that no bytes give.
pub fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, NotBase45> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 3 * 2 + 1));
    for group in text.as_bytes().chunks(3) {
        let mut number = 0;
        for character in group.iter().rev() {
            let digit = ALPHABET.iter().position(|known| known == character).ok_or(NotBase45)?;
            number = number * 45 + digit;
        }
        match group.len() {
            3 => bytes.extend_from_slice(&u16::try_from(number).map_err(|_| NotBase45)?.to_be_bytes()),
            2 => bytes.push(u8::try_from(number).map_err(|_| NotBase45)?),
            _ => return Err(NotBase45),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        let mut text = String::new();
        encode_into(bytes, &mut text);
        text
    }

    /// RFC 9285, 4.3 and 4.4.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (bytes, text) in
            [("AB", "BB8"), ("Hello!!", "%69 VD92EX0"), ("base-45", "UJCLQE7W581"), ("ietf!", "QED8WEX0")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(*decode(text).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn what_no_bytes_give_is_refused() {
        // FGW is 65535; GGW, ::: are more; "5U" is 255 and "6U" more; one character alone; other characters.
        assert_eq!(*decode("FGW").unwrap(), [0xff, 0xff]);
        assert_eq!(*decode("U5").unwrap(), [0xff]);
        for text in ["GGW", ":::", "V5", "U6", "::", "A", "BB8A", "bb8", "BB8\n", "B_8", "ÀÀ", "BB8BB"] {
            assert!(decode(text).is_err(), "{text}");
        }
        assert!(decode("").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn bytes_read_back(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), encoded_length(bytes.len()));
            prop_assert!(!text.ends_with(' '));
            prop_assert_eq!(&*decode(&text).unwrap(), &bytes);
        }

        #[test]
        fn a_text_has_one_spelling(text in "[0-9A-Z $%*+./:-]{0,40}|.{0,20}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
