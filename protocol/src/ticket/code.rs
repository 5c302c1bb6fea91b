//! The code on a household's paper ticket: 80 random bits, printed so that they survive being read out and typed.
//!
//! `9X4C-0TQA-3ZK7-VE2M-7`: sixteen characters of Crockford's base 32 (no I, L, O, U), most significant first, and
//! Crockford's check character, the number modulo 37. Because 37 is a prime above 32, the check character exposes every
//! wrong character and every swap of two neighbours.
//!
//! A code is a bearer secret until its ticket is used: it is zeroized on drop, compared in constant time, and printed by
//! [`TicketCode::to_print`] alone.

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// An 80-bit ticket code. Serializes as its ten bytes, inside the request that spends it.
#[derive(Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct TicketCode([u8; Self::BYTES]);

impl TicketCode {
    /// The length in bytes.
    pub const BYTES: usize = 10;

    /// A fresh code.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut code = Self([0; Self::BYTES]);
        rng.fill_bytes(&mut code.0);
        code
    }

    /// Takes over the bytes of a code.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Borrows the bytes: the name marks every use of a secret.
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The printed form, 21 characters.
    pub fn to_print(&self) -> Zeroizing<String> {
        let number = self.number();
        let mut text = Zeroizing::new(String::with_capacity(PRINTED));
        for place in 0..DATA {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(symbol(*number >> (BITS * (DATA - 1 - place)) & 31));
        }
        text.push('-');
        text.push(symbol(*number % CHECK_MODULUS));
        text
    }

    /// Reads a code as people type it: in upper or lower case, with O for 0 and I or L for 1, with dashes and spaces
    /// anywhere or nowhere.
    ///
    /// # Errors
    /// Why it is no code, without any of it.
    pub fn parse(text: &str) -> Result<Self, TicketCodeError> {
        let mut number = Zeroizing::new(0u128);
        let mut check = None;
        for (place, character) in text.chars().filter(|character| !is_separator(*character)).enumerate() {
            let value = value(character).ok_or(TicketCodeError::Character)?;
            match place {
                0..DATA if value > 31 => return Err(TicketCodeError::Character),
                0..DATA => *number = *number << BITS | value,
                DATA => check = Some(value),
                _ => return Err(TicketCodeError::Length),
            }
        }
        match check {
            None => Err(TicketCodeError::Length),
            Some(check) if check != *number % CHECK_MODULUS => Err(TicketCodeError::Check),
            Some(_) => {
                let mut wide = Zeroizing::new(number.to_be_bytes());
                let mut code = Self([0; Self::BYTES]);
                code.0.copy_from_slice(&wide[UNUSED_BYTES..]);
                wide.zeroize();
                Ok(code)
            }
        }
    }

    /// The code as a number below 2^80.
    fn number(&self) -> Zeroizing<u128> {
        Zeroizing::new(self.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }
}

impl PartialEq for TicketCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TicketCode {}

impl fmt::Debug for TicketCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketCode(redacted)")
    }
}

/// Why a text is no ticket code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketCodeError {
    /// Too few or too many characters.
    #[error("a ticket code has 17 letters and digits, dashes aside: copy the whole code")]
    Length,
    /// A character that no code has.
    #[error("a ticket code has digits and letters except U, and may end in * ~ $ = or U: check it against the ticket")]
    Character,
    /// The check character does not match.
    #[error("the ticket code is mistyped: check it against the ticket, character by character")]
    Check,
}

impl TicketCodeError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length => "ticket_code_length",
            Self::Character => "ticket_code_character",
            Self::Check => "ticket_code_check",
        }
    }
}

/// Characters of data, 5 bits each.
const DATA: usize = 16;
const BITS: usize = 5;
const GROUP: usize = 4;
const PRINTED: usize = DATA + DATA / GROUP + 1;
const CHECK_MODULUS: u128 = 37;
const UNUSED_BYTES: usize = size_of::<u128>() - TicketCode::BYTES;

/// The first 32 stand for data, all for the check.
const ALPHABET: [char; CHECK_MODULUS as usize] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'M', 'N', 'P',
    'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z', '*', '~', '$', '=', 'U',
];

/// The character of a value below 37.
fn symbol(value: u128) -> char {
    ALPHABET[value as usize]
}

/// The value of a character, 0 to 36.
fn value(character: char) -> Option<u128> {
    let character = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    (0..).zip(ALPHABET).find(|(_, symbol)| *symbol == character).map(|(value, _)| value)
}

/// White space and the dashes that telephones put in place of a hyphen.
fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    fn codes(count: usize) -> impl Iterator<Item = TicketCode> {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        std::iter::repeat_with(move || TicketCode::random(&mut rng)).take(count)
    }

    /// Without dashes.
    fn characters(code: &TicketCode) -> Vec<char> {
        code.to_print().chars().filter(|character| *character != '-').collect()
    }

    fn parse(characters: &[char]) -> Result<TicketCode, TicketCodeError> {
        TicketCode::parse(&characters.iter().collect::<String>())
    }

    #[test]
    fn printed_codes_are_pinned() {
        let printed = |bytes| TicketCode::from_bytes(bytes).to_print().to_string();
        assert_eq!(printed([0; 10]), "0000-0000-0000-0000-0");
        assert_eq!(printed([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "0000-0000-0000-0001-1");
        // 2^36 = 1 mod 37, so 2^80 - 1 = 2^8 - 1 = 33.
        assert_eq!(printed([0xff; 10]), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-~");
        let counted = [0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf];
        assert_eq!(&printed(counted)[..19], "0123-4567-89AB-CDEF");
        // Every check character that is not data: 32 to 36.
        for (last, check) in (32..37).zip(['*', '~', '$', '=', 'U']) {
            let mut bytes = [0; 10];
            bytes[9] = last;
            assert_eq!(printed(bytes).chars().last(), Some(check));
        }
    }

    #[test]
    fn what_people_type_is_read() {
        for code in codes(200) {
            let printed = code.to_print();
            let bare: String = characters(&code).iter().collect();
            let mistaken: String = bare.chars().map(|c| if c == '0' { 'o' } else { c }).collect();
            for (one, letter) in [('1', 'i'), ('1', 'L'), ('1', 'I'), ('1', 'l')] {
                assert_eq!(
                    parse(&mistaken.replace(one, &letter.to_string()).chars().collect::<Vec<_>>()).unwrap(),
                    code
                );
            }
            for typed in [
                printed.to_string(),
                printed.to_lowercase(),
                bare.clone(),
                format!(" {}\r\n", printed.replace('-', " ")),
                printed.replace('-', "\u{2013}"),
                bare.chars().flat_map(|c| ['-', c, ' ']).collect(),
            ] {
                assert_eq!(TicketCode::parse(&typed).unwrap(), code);
            }
        }
    }

    #[test]
    fn the_example_of_the_documentation_holds() {
        let code = TicketCode::parse("9X4C-0TQA-3ZK7-VE2M-7").unwrap();
        assert_eq!(code.to_print().as_str(), "9X4C-0TQA-3ZK7-VE2M-7");
    }

    #[test]
    fn every_wrong_character_is_detected() {
        for code in codes(100) {
            let right = characters(&code);
            for place in 0..right.len() {
                for other in ALPHABET.into_iter().filter(|other| *other != right[place]) {
                    let mut wrong = right.clone();
                    wrong[place] = other;
                    assert!(parse(&wrong).is_err());
                }
            }
        }
    }

    #[test]
    fn every_swap_of_neighbours_is_detected() {
        for code in codes(1000) {
            let right = characters(&code);
            for place in 1..right.len() {
                let mut wrong = right.clone();
                wrong.swap(place - 1, place);
                assert_eq!(parse(&wrong).is_err(), right[place - 1] != right[place]);
            }
        }
    }

    #[test]
    fn every_lost_and_every_extra_character_is_detected() {
        for code in codes(100) {
            let right = characters(&code);
            for place in 0..right.len() {
                let mut wrong = right.clone();
                wrong.remove(place);
                assert!(parse(&wrong).is_err());
                let mut wrong = right.clone();
                wrong.insert(place, right[place]);
                assert!(parse(&wrong).is_err());
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, error) in [
            ("", TicketCodeError::Length),
            ("----", TicketCodeError::Length),
            ("0123-4567-89AB-CDEF", TicketCodeError::Length),
            ("0000-0000-0000-0000-00", TicketCodeError::Length),
            ("0000-0000-0000-000U-0", TicketCodeError::Character),
            ("0000-0000-0000-000*-0", TicketCodeError::Character),
            ("0000-0000-0000-000\u{0660}-0", TicketCodeError::Character),
            ("0000-0000-0000-000!-0", TicketCodeError::Character),
            ("0000-0000-0000-0000-1", TicketCodeError::Check),
        ] {
            assert_eq!(TicketCode::parse(text).err(), Some(error));
        }
    }

    #[test]
    fn nothing_but_to_print_shows_a_code() {
        for code in codes(20) {
            assert_eq!(format!("{code:?} {code:#?}"), "TicketCode(redacted) TicketCode(redacted)");
        }
        for error in [TicketCodeError::Length, TicketCodeError::Character, TicketCodeError::Check] {
            assert!(error.code().starts_with("ticket_code_"));
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn codes_differ_and_equality_holds_both_ways() {
        let all: Vec<_> = codes(1000).collect();
        assert_eq!(all.iter().map(|code| *code.expose()).collect::<HashSet<_>>().len(), 1000);
        for place in 0..TicketCode::BYTES {
            let mut bytes = *all[0].expose();
            assert_eq!(TicketCode::from_bytes(bytes), all[0]);
            bytes[place] ^= 1;
            assert_ne!(TicketCode::from_bytes(bytes), all[0]);
        }
    }

    #[test]
    fn a_dropped_code_leaves_zeros() {
        let mut code = TicketCode::from_bytes([0xa5; 10]);
        code.zeroize();
        assert_eq!(code.expose(), &[0; 10]);
        const fn zeroizes<T: ZeroizeOnDrop>() {}
        const { zeroizes::<TicketCode>() };
    }

    proptest! {
        #[test]
        fn printed_and_read_again(bytes: [u8; 10]) {
            let code = TicketCode::from_bytes(bytes);
            let printed = code.to_print();
            prop_assert_eq!(printed.len(), PRINTED);
            prop_assert_eq!(printed.capacity(), PRINTED);
            prop_assert_eq!(*TicketCode::parse(&printed).unwrap().expose(), bytes);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = TicketCode::parse(&text);
        }
    }
}
