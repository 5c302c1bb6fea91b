//! Storage cards of 8 KiB: vouchers under a PIN, and what became of them (spec bearer.md, 5).
//!
//! ```text
//! card  = bank 0 (4096 bytes) || bank 1 (4096 bytes)
//! bank  = "ANNONA1C" || u32 generation || u8 work factor || 3 zeros || salt (16) || nonce (24) || ciphertext (4040)
//! body  = programme (8) || u16 entries || entries (133 each) || zeros          4024 bytes in front of the tag
//! entry = u8 state || voucher parts (132)                                      0 held, 1 handed out: p is zeros
//! ```
//!
//! A write goes to the bank with the lower generation, and makes it the higher: a card that is pulled out in mid-write has its
//! other bank. The key is scrypt of the PIN; the first 56 bytes of a bank are authenticated with its body.
//!
//! A card computes nothing. Whoever copies it can try PINs, and has the vouchers once one fits.

use std::{fmt, ops::Range};

use annona_protocol::{
    ids::{KeyIndex, ProgrammeId},
    programme::Programme,
    voucher::{Voucher, VoucherParts},
};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::code::{CodeError, ProgrammeMark, refused};

const BANK: usize = Card::BYTES / 2;
const MAGIC: &[u8; 8] = b"ANNONA1C";
const HEAD: usize = 56;
const BODY: usize = BANK - HEAD - 16;
const ENTRY: usize = 1 + VoucherParts::BYTES;
const FIRST: usize = 10;

/// A card's content, opened with its PIN.
pub struct Card {
    programme: ProgrammeMark,
    generation: u32,
    salt: [u8; 16],
    work_factor: u8,
    entries: Vec<Entry>,
    /// The bank that it was opened from: the one that is known to be whole, and so never the next to be written.
    whole: Option<usize>,
}

/// A voucher on a card.
struct Entry {
    state: State,
    parts: Zeroizing<[u8; VoucherParts::BYTES]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Held = 0,
    HandedOut = 1,
}

/// Why a card cannot be read or written. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Not 8192 bytes.
    #[error("a card has 8192 bytes: read it again, whole")]
    Length,
    /// Neither bank is one of a card.
    #[error("this is no Annona card, or it was never written")]
    Foreign,
    /// Neither bank opens.
    #[error("the PIN does not open the card, or the card is damaged: try the PIN again")]
    Closed,
    /// A work factor that would take too much memory.
    #[error("the card asks for more memory than this program gives: it is damaged")]
    WorkFactor,
    /// The body is not one that a program of this version writes.
    #[error("the card's content is damaged or of a newer kind: update the program, or restore the vouchers otherwise")]
    Content,
    /// More vouchers than there is room for.
    #[error("a card holds {} vouchers, handed out or not: use another card, or a fresh one", Card::CAPACITY)]
    Full,
    /// Fewer than four characters.
    #[error("a PIN has at least four characters; six digits are better, a word is best")]
    ShortPin,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} vouchers, redacted)", self.entries.len())
    }
}

impl Card {
    /// The bytes of a card.
    pub const BYTES: usize = 8192;
    /// How many vouchers it has room for, handed out or not.
    pub const CAPACITY: usize = (BODY - FIRST) / ENTRY;
    /// scrypt's default cost: 2^15, 32 MiB for whoever opens the card, and for each guess.
    pub const WORK_FACTOR: u8 = 15;
    /// The most that is read: 2^18, 256 MiB.
    pub const MAX_WORK_FACTOR: u8 = 18;

    /// An empty card of a programme.
    ///
    /// # Errors
    /// [`CardError::WorkFactor`] outside 1 to [`Card::MAX_WORK_FACTOR`].
    pub fn new<R: CryptoRng + ?Sized>(
        programme: &ProgrammeId,
        work_factor: u8,
        rng: &mut R,
    ) -> Result<Self, CardError> {
        if !(1..=Self::MAX_WORK_FACTOR).contains(&work_factor) {
            return Err(CardError::WorkFactor);
        }
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        Ok(Self {
            programme: ProgrammeMark::of(programme),
            generation: 0,
            salt,
            work_factor,
            entries: Vec::new(),
            whole: None,
        })
    }

    /// Opens a card's image: the bank that was written last, or the other one if that write was cut off.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn open(image: &[u8], pin: &str) -> Result<Self, CardError> {
        if image.len() != Self::BYTES {
            return Err(CardError::Length);
        }
        let banks = image.chunks_exact(BANK).enumerate();
        let mut banks: Vec<(usize, Bank<'_>)> = banks.filter_map(|(at, bank)| Some((at, Bank::of(bank)?))).collect();
        if banks.is_empty() {
            return Err(CardError::Foreign);
        }
        banks.sort_by_key(|(_, bank)| std::cmp::Reverse(bank.generation()));
        let mut error = CardError::Closed;
        for (at, bank) in banks {
            match bank.open(pin) {
                Ok(card) => return Ok(Self { whole: Some(at), ..card }),
                Err(CardError::Closed) => {}
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    /// Adds vouchers.
    ///
    /// # Errors
    /// [`CardError::Full`]: none is added then.
    pub fn load(&mut self, vouchers: &[Voucher]) -> Result<(), CardError> {
        if self.entries.len() + vouchers.len() > Self::CAPACITY {
            return Err(CardError::Full);
        }
        let entry = |voucher| Entry { state: State::Held, parts: VoucherParts::of(voucher).to_bytes() };
        self.entries.extend(vouchers.iter().map(entry));
        Ok(())
    }

    /// The vouchers that were not handed out, verified.
    ///
    /// # Errors
    /// [`CodeError`]: [`CodeError::OtherProgramme`] for a card of another, the others for a voucher that does not hold.
    pub fn vouchers(&self, programme: &Programme) -> Result<Vec<Voucher>, CodeError> {
        self.programme.check(programme)?;
        let held = self.entries.iter().filter(|entry| entry.state == State::Held);
        held.map(|entry| {
            let parts = VoucherParts::from_bytes(&entry.parts).map_err(|_| CodeError::Damaged)?;
            parts.voucher(programme).map_err(|error| refused(&error, CodeError::Invalid))
        })
        .collect()
    }

    /// Keys of what is held, and of what was handed out.
    pub fn keys(&self) -> (Vec<KeyIndex>, Vec<KeyIndex>) {
        let of = |state| self.entries.iter().filter(move |entry| entry.state == state).map(Entry::key).collect();
        (of(State::Held), of(State::HandedOut))
    }

    /// A voucher's goods were handed out: its secret is wiped, its key stays for the record. `false` if it is not held here.
    pub fn hand_out(&mut self, voucher: &Voucher) -> bool {
        let parts = VoucherParts::of(voucher).to_bytes();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_held() && entry.parts == parts) else {
            return false;
        };
        entry.state = State::HandedOut;
        entry.parts[4..].fill(0);
        true
    }

    /// Forgets what was handed out, to make room.
    pub fn forget(&mut self) {
        self.entries.retain(Entry::is_held);
    }

    /// Writes the card over the bank of an image that it was not opened from, and says which bytes that are: the other bank keeps
    /// what was there before, and is not to be touched. After vouchers were handed out a second write wipes them there too.
    ///
    /// # Errors
    /// [`CardError::Length`], [`CardError::ShortPin`].
    pub fn write<R: CryptoRng + ?Sized>(
        &mut self,
        image: &mut [u8],
        pin: &str,
        rng: &mut R,
    ) -> Result<Range<usize>, CardError> {
        if image.len() != Self::BYTES {
            return Err(CardError::Length);
        }
        if pin.chars().count() < 4 {
            return Err(CardError::ShortPin);
        }
        let generations: Vec<Option<u32>> =
            image.chunks_exact(BANK).map(|bank| Bank::of(bank).map(|bank| bank.generation())).collect();
        // A torn write leaves a head that nobody vouches for: what opened decides, not what the heads say.
        let at = self.whole.map_or(usize::from(generations[1] < generations[0]), |whole| 1 - whole);
        // Behind any that the card has, of this program's or not.
        let newest = generations.iter().flatten().copied().max().unwrap_or_default().max(self.generation);
        self.generation = newest.checked_add(1).ok_or(CardError::Content)?;

        let mut bank = Vec::with_capacity(BANK);
        bank.extend_from_slice(MAGIC);
        bank.extend_from_slice(&self.generation.to_le_bytes());
        bank.extend_from_slice(&[self.work_factor, 0, 0, 0]);
        bank.extend_from_slice(&self.salt);
        let mut nonce = [0; 24];
        rng.fill_bytes(&mut nonce);
        bank.extend_from_slice(&nonce);
        let cipher = cipher(pin, &self.salt, self.work_factor)?;
        let payload = Payload { msg: &self.body(), aad: &bank };
        let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| CardError::Content)?;
        bank.extend_from_slice(&sealed);
        image[at * BANK..][..BANK].copy_from_slice(&bank);
        self.whole = Some(at);
        Ok(at * BANK..(at + 1) * BANK)
    }

    fn body(&self) -> Zeroizing<Vec<u8>> {
        let mut body = Zeroizing::new(vec![0; BODY]);
        body[..8].copy_from_slice(&self.programme.0);
        let count = u16::try_from(self.entries.len()).expect("bounded by the capacity");
        body[8..FIRST].copy_from_slice(&count.to_le_bytes());
        for (room, entry) in body[FIRST..].chunks_exact_mut(ENTRY).zip(&self.entries) {
            room[0] = entry.state as u8;
            room[1..].copy_from_slice(&entry.parts[..]);
        }
        body
    }
}

impl Entry {
    fn is_held(&self) -> bool {
        self.state == State::Held
    }

    fn key(&self) -> KeyIndex {
        KeyIndex(u32::from_le_bytes([self.parts[0], self.parts[1], self.parts[2], self.parts[3]]))
    }
}

/// A bank that bears the mark of one.
struct Bank<'a> {
    head: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Bank<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (head, sealed) = bytes.split_at(HEAD);
        head.starts_with(MAGIC).then_some(Self { head, sealed })
    }

    fn generation(&self) -> u32 {
        u32::from_le_bytes([self.head[8], self.head[9], self.head[10], self.head[11]])
    }

    fn open(&self, pin: &str) -> Result<Card, CardError> {
        let work_factor = self.head[12];
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.head[16..32]);
        let payload = Payload { msg: self.sealed, aad: self.head };
        let nonce = XNonce::from_slice(&self.head[32..HEAD]);
        let body = cipher(pin, &salt, work_factor)?.decrypt(nonce, payload).map_err(|_| CardError::Closed)?;
        let body = Zeroizing::new(body);
        let count = usize::from(u16::from_le_bytes([body[8], body[9]]));
        if count > Card::CAPACITY {
            return Err(CardError::Content);
        }
        let entries = body[FIRST..].chunks_exact(ENTRY).take(count).map(|room| {
            let state = match room[0] {
                0 => State::Held,
                1 => State::HandedOut,
                _ => return Err(CardError::Content),
            };
            let mut parts = Zeroizing::new([0; VoucherParts::BYTES]);
            parts.copy_from_slice(&room[1..]);
            Ok(Entry { state, parts })
        });
        let entries = entries.collect::<Result<_, _>>()?;
        let mut programme = [0; 8];
        programme.copy_from_slice(&body[..8]);
        Ok(Card {
            programme: ProgrammeMark(programme),
            generation: self.generation(),
            salt,
            work_factor,
            entries,
            whole: None,
        })
    }
}

fn cipher(pin: &str, salt: &[u8; 16], work_factor: u8) -> Result<XChaCha20Poly1305, CardError> {
    if !(1..=Card::MAX_WORK_FACTOR).contains(&work_factor) {
        return Err(CardError::WorkFactor);
    }
    let params = scrypt::Params::new(work_factor, 8, 1, 32).map_err(|_| CardError::WorkFactor)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(pin.as_bytes(), salt, &params, &mut key[..]).map_err(|_| CardError::WorkFactor)?;
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
mod tests;
