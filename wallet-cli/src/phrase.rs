//! Recovery words: 32 random bytes as the 24 words of BIP-39's English list (spec 10.1).

use std::fmt;

use bip39::{Language, Mnemonic};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

/// What the words stand for. In `Debug` as nothing.
pub struct Phrase(Zeroizing<[u8; 32]>);

/// Why words are no recovery words. Says which, and never what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// Another number of words.
    #[error("{0} words: there are 24, in their order")]
    Count(usize),
    /// A word that is not in the list.
    #[error("word {0} is not one of the recovery words: look at the paper again, the first four letters are enough")]
    Word(usize),
    /// All words exist, but not together.
    #[error("the words do not belong together: one is another, or two are exchanged")]
    Checksum,
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(redacted)")
    }
}

impl Phrase {
    /// How many words there are.
    pub const WORDS: usize = 24;

    /// Fresh words.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        Self(seed)
    }

    /// The words of a seed, as from an envelope.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    /// The seed, for [`Wallet::set_words`](crate::Wallet::set_words).
    pub fn seed(&self) -> &[u8; 32] {
        &self.0
    }

    /// The words, in order.
    pub fn words(&self) -> Vec<&'static str> {
        Mnemonic::from_entropy(&self.0[..]).expect("32 bytes are 24 words").words().collect()
    }

    /// Reads words as people type them: in any case, with any spaces or commas between them, each at least by its first four
    /// letters.
    ///
    /// # Errors
    /// [`PhraseError`].
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let lower = Zeroizing::new(text.to_lowercase());
        let typed: Vec<&str> =
            lower.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
        if typed.len() != Self::WORDS {
            return Err(PhraseError::Count(typed.len()));
        }
        let list = Language::English.word_list();
        let mut whole = Zeroizing::new(String::with_capacity(9 * Self::WORDS));
        for (at, word) in typed.iter().enumerate() {
            // No two words of the list share their first four letters.
            let is = |known: &&&str| **known == *word || word.len() >= 4 && known.starts_with(word);
            let known = list.iter().find(is).ok_or(PhraseError::Word(at + 1))?;
            whole.push_str(known);
            whole.push(' ');
        }
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, whole.trim_end());
        let (mut bytes, length) = mnemonic.map_err(|_| PhraseError::Checksum)?.to_entropy_array();
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&bytes[..length.min(32)]);
        bytes.zeroize();
        Ok(Self(seed))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    /// The vectors of BIP-39 for 32 bytes.
    #[test]
    fn words_are_those_of_bip_39() {
        let same = ["zoo"; 23].join(" ") + " vote";
        assert_eq!(Phrase::from_seed(&[255; 32]).words().join(" "), same);
        assert_eq!(Phrase::from_seed(&[0; 32]).words().join(" "), ["abandon"; 23].join(" ") + " art");
        assert_eq!(Phrase::parse(&same).unwrap().seed(), &[255; 32]);
    }

    #[test]
    fn words_are_read_as_people_type_them() {
        let phrase = Phrase::random(&mut rand_chacha::ChaCha20Rng::seed_from_u64(5));
        let words = phrase.words();
        let short: Vec<String> =
            words.iter().map(|word| word.chars().take(4).collect::<String>().to_uppercase()).collect();
        for text in [words.join(" "), short.join(", "), format!("  {}\n", words.join("\n"))] {
            assert_eq!(Phrase::parse(&text).unwrap().seed(), phrase.seed());
        }
        assert_eq!(Phrase::parse(&words[1..].join(" ")).unwrap_err(), PhraseError::Count(23));
        let mut other = words.clone();
        other[6] = "annona";
        assert_eq!(Phrase::parse(&other.join(" ")).unwrap_err(), PhraseError::Word(7));
        other[6] = "ab";
        assert_eq!(Phrase::parse(&other.join(" ")).unwrap_err(), PhraseError::Word(7), "two letters are not enough");
        let wrong = ["abandon"; 24].join(" ");
        assert_eq!(Phrase::parse(&wrong).unwrap_err(), PhraseError::Checksum);
    }
}
