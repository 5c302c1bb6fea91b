use annona_protocol::{
    fixture::{CASH, FOOD, Fixture, LOT},
    wire::Message as _,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;

const PIN: &str = "294817";
const QUICK: u8 = 1;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn drawn() -> (Fixture, Vec<Voucher>) {
    let mut rng = rng(1);
    let fixture = Fixture::new(&mut rng);
    let (credential, _) = fixture.enrol(LOT, 12, &[9, 3], &mut rng);
    let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
    let (_, vouchers, _) = fixture.draw(1, &credential, fixture.keys(1, &[(FOOD, 9), (CASH, 55)]), &mut rng);
    (fixture, vouchers)
}

/// A card with all vouchers, as it was written once.
fn loaded() -> (Fixture, Vec<Voucher>, Vec<u8>) {
    let (fixture, vouchers) = drawn();
    let mut image = vec![0xff; Card::BYTES];
    let mut card = Card::new(&fixture.programme.id(), QUICK, &mut rng(2)).unwrap();
    card.load(&vouchers).unwrap();
    card.write(&mut image, PIN, &mut rng(3)).unwrap();
    (fixture, vouchers, image)
}

fn encoded(vouchers: &[Voucher]) -> Vec<Vec<u8>> {
    vouchers.iter().map(|voucher| voucher.encode_secret().to_vec()).collect()
}

#[test]
fn a_card_gives_back_what_it_was_given_and_tells_what_went() {
    let (fixture, vouchers, mut image) = loaded();
    let mut card = Card::open(&image, PIN).unwrap();
    assert_eq!(encoded(&card.vouchers(&fixture.programme).unwrap()), encoded(&vouchers));
    assert!(card.hand_out(&vouchers[1]) && !card.hand_out(&vouchers[1]));
    card.write(&mut image, PIN, &mut rng(4)).unwrap();

    let card = Card::open(&image, PIN).unwrap();
    let left: Vec<Voucher> = [&vouchers[..1], &vouchers[2..]].concat_vouchers();
    assert_eq!(encoded(&card.vouchers(&fixture.programme).unwrap()), encoded(&left));
    let (held, gone) = card.keys();
    assert_eq!((held.len(), gone), (vouchers.len() - 1, vec![vouchers[1].key()]));
    let mut card = card;
    card.forget();
    assert_eq!(card.keys().1, []);
}

trait Concat {
    fn concat_vouchers(&self) -> Vec<Voucher>;
}

impl Concat for [&[Voucher]; 2] {
    fn concat_vouchers(&self) -> Vec<Voucher> {
        self.iter().copied().flatten().map(Voucher::duplicate).collect()
    }
}

/// A write that is cut off after any byte leaves the card as it was before or as it is after.
#[test]
fn a_card_pulled_out_in_mid_write_has_its_other_bank() {
    let (fixture, vouchers, before) = loaded();
    let mut card = Card::open(&before, PIN).unwrap();
    assert!(card.hand_out(&vouchers[0]));
    let mut after = before.clone();
    card.write(&mut after, PIN, &mut rng(5)).unwrap();
    let changed: Vec<usize> = (0..Card::BYTES).filter(|at| before[*at] != after[*at]).collect();
    assert!(changed.iter().all(|at| *at >= BANK), "the first bank stays");
    for written in (BANK..=Card::BYTES).step_by(7).chain([BANK + 1, BANK + HEAD, Card::BYTES - 1, Card::BYTES]) {
        let torn = [&after[..written], &before[written..]].concat();
        let held = Card::open(&torn, PIN).unwrap().vouchers(&fixture.programme).unwrap().len();
        let whole = torn == after;
        assert_eq!(held, vouchers.len() - usize::from(whole), "{written}");
    }
    // And the next write goes to the first bank again, behind both.
    let mut card = Card::open(&after, PIN).unwrap();
    let mut third = after.clone();
    card.write(&mut third, PIN, &mut rng(6)).unwrap();
    assert!(third[BANK..] == after[BANK..] && third[..BANK] != after[..BANK]);
    assert_eq!(Card::open(&third, PIN).unwrap().generation, 3);
}

/// Torn twice in a row, after the head of the bank was written: the bank that opened is never the one that is written.
#[test]
fn a_card_torn_twice_has_its_vouchers() {
    let (fixture, vouchers, before) = loaded();
    let mut image = before;
    for written in [56, 100, 4000, 12] {
        let mut card = Card::open(&image, PIN).unwrap();
        let mut after = image.clone();
        let range = card.write(&mut after, PIN, &mut rng(5)).unwrap();
        assert_eq!(range.len(), BANK);
        let torn = range.start + written;
        image[range.start..torn].copy_from_slice(&after[range.start..torn]);
        let held = Card::open(&image, PIN).unwrap().vouchers(&fixture.programme).unwrap();
        assert_eq!(held.len(), vouchers.len(), "{written}");
    }
}

#[test]
fn what_does_not_open_says_why() {
    let (_, _, image) = loaded();
    assert_eq!(Card::open(&image, "294818").unwrap_err(), CardError::Closed);
    assert_eq!(Card::open(&image[1..], PIN).unwrap_err(), CardError::Length);
    assert_eq!(Card::open(&[0; Card::BYTES], PIN).unwrap_err(), CardError::Foreign);
    for at in [8, 11, 13, 16, 31, 32, 55, HEAD, BANK / 2, BANK - 1] {
        let mut flipped = image.clone();
        flipped[at] ^= 1;
        assert_eq!(Card::open(&flipped, PIN).unwrap_err(), CardError::Closed, "byte {at}");
    }
    let mut greedy = image.clone();
    greedy[12] = 30;
    assert_eq!(Card::open(&greedy, PIN).unwrap_err(), CardError::WorkFactor);
    let mut short = image;
    let mut card = Card::new(&ProgrammeId::default(), QUICK, &mut rng(7)).unwrap();
    assert_eq!(card.write(&mut short, "123", &mut rng(7)).unwrap_err(), CardError::ShortPin);
    assert_eq!(card.write(&mut short[1..], PIN, &mut rng(7)).unwrap_err(), CardError::Length);
    assert_eq!(Card::new(&ProgrammeId::default(), 19, &mut rng(7)).unwrap_err(), CardError::WorkFactor);
}

/// An old copy of a card opens: only the site's spent set and the log know better. A copy of one bank does not make it newer.
#[test]
fn an_old_copy_opens_and_cannot_pass_for_a_newer_one() {
    let (fixture, vouchers, old) = loaded();
    let mut card = Card::open(&old, PIN).unwrap();
    let mut new = old.clone();
    assert!(card.hand_out(&vouchers[0]));
    card.write(&mut new, PIN, &mut rng(8)).unwrap();
    assert_eq!(Card::open(&old, PIN).unwrap().vouchers(&fixture.programme).unwrap().len(), vouchers.len());
    let mut forged = new.clone();
    forged[8..12].copy_from_slice(&9u32.to_le_bytes());
    let held = Card::open(&forged, PIN).unwrap().vouchers(&fixture.programme).unwrap().len();
    assert_eq!(held, vouchers.len() - 1, "the generation is authenticated: the other bank is taken");
}

#[test]
fn a_card_has_room_for_thirty_vouchers_of_its_programme() {
    let (fixture, vouchers, _) = loaded();
    assert_eq!(Card::CAPACITY, 30);
    let many: Vec<Voucher> = vouchers.iter().cycle().take(Card::CAPACITY).map(Voucher::duplicate).collect();
    let mut image = vec![0; Card::BYTES];
    let mut card = Card::new(&fixture.programme.id(), QUICK, &mut rng(9)).unwrap();
    card.load(&many).unwrap();
    assert_eq!(card.load(&many[..1]).unwrap_err(), CardError::Full);
    card.write(&mut image, PIN, &mut rng(9)).unwrap();
    assert_eq!(Card::open(&image, PIN).unwrap().vouchers(&fixture.programme).unwrap().len(), 30);
    let mut other = Card::new(&ProgrammeId([1; 32]), QUICK, &mut rng(9)).unwrap();
    other.load(&many[..1]).unwrap();
    assert_eq!(other.vouchers(&fixture.programme).unwrap_err(), CodeError::OtherProgramme);
}

/// Nothing of a voucher, a PIN or a programme stands on the card in the clear.
#[test]
fn a_card_without_its_pin_shows_nothing() {
    let (fixture, vouchers, image) = loaded();
    let has = |part: &[u8]| image.windows(part.len()).any(|window| window == part);
    for voucher in &vouchers {
        let parts = VoucherParts::of(voucher).to_bytes();
        assert!(!parts[4..].chunks_exact(32).any(|field| has(&field[..8])));
    }
    assert!(!has(&fixture.programme.id().0[..8]) && !has(PIN.as_bytes()));
}
