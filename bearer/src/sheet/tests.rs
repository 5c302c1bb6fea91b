use annona_protocol::{
    fixture::{FOOD, Fixture, LOT},
    secret::SecretBytes,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Code, NotOfTheSheet, Piece};

fn world() -> (Fixture, Vec<Voucher>) {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let fixture = Fixture::new(&mut rng);
    let (credential, _) = fixture.enrol(LOT, 12, &[7, 1], &mut rng);
    let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
    let keys = fixture.keys(1, &[(FOOD, 7)]);
    let (_, vouchers, _) = fixture.draw(1, &credential, keys, &mut rng);
    assert_eq!(vouchers.len(), 3);
    (fixture, vouchers)
}

fn text(agency: &str) -> SheetText {
    SheetText { language: "en".into(), agency: agency.into(), programme: "Programme".into() }
}

fn printed(line: &str) -> Printed {
    Printed { line: line.into(), pictogram: "food".into(), value: 1, unit: "kg".into(), site: None, round: Round(1) }
}

#[test]
fn letters_that_the_font_lacks_are_refused() {
    let (fixture, vouchers) = world();
    let id = fixture.programme.id();
    let sheet = |agency: &str, lines: [&str; 3]| {
        let vouchers: Vec<_> = vouchers.iter().zip(lines).map(|(voucher, line)| (voucher, printed(line))).collect();
        Sheet::whole(text(agency), &id, &vouchers).unwrap().pdf().map(drop)
    };
    assert_eq!(sheet("Agency", ["Food", "دقيق", "Їжа"]), Ok(()));
    assert_eq!(sheet("Agency", ["Food", "家庭", "Food"]), Err(SheetError::Letters { voucher: 2 }));
    assert_eq!(sheet("家庭", ["Food", "Food", "Food"]), Err(SheetError::Letters { voucher: 0 }));
    let seed = SecretBytes::new([1; 32]);
    let split = Sheet::split(text("家庭"), &id, seed, &[(&vouchers[0], printed("Food"))]).unwrap();
    assert_eq!(split.key_slip_pdf().unwrap().unwrap_err(), SheetError::Letters { voucher: 0 });
}

#[test]
fn a_sheet_has_one_to_as_many_vouchers_as_a_visit() {
    let (fixture, vouchers) = world();
    let id = fixture.programme.id();
    let of = |count: usize| {
        let vouchers: Vec<_> = (0..count).map(|_| (&vouchers[0], printed("Food"))).collect();
        Sheet::whole(text("Agency"), &id, &vouchers).map(drop)
    };
    assert_eq!((of(0), of(1), of(128), of(129)), (Err(SheetError::Count), Ok(()), Ok(()), Err(SheetError::Count)));
}

#[test]
fn a_sheet_is_done_when_every_code_was_scanned_back() {
    let (fixture, vouchers) = world();
    let id = fixture.programme.id();
    let list: Vec<_> = vouchers.iter().map(|voucher| (voucher, printed("Food"))).collect();
    let slip_text = KeySlip::from_seed(&id, SecretBytes::new([1; 32])).to_qr();
    let sheet = Sheet::split(text("Agency"), &id, SecretBytes::new([1; 32]), &list).unwrap();
    let codes: Vec<&str> = sheet.codes().collect();
    let mut waiting = sheet.to_scan();
    assert_eq!(waiting.add(codes[1]), Ok(Piece::Voucher(2)));
    assert_eq!(waiting.add(codes[1]), Ok(Piece::Voucher(2)), "as often as it comes");
    assert_eq!(waiting.missing(), [Piece::Voucher(1), Piece::Voucher(3), Piece::KeySlip]);
    assert_eq!(waiting.add(&slip_text), Ok(Piece::KeySlip));
    // The same voucher as a whole is none of a split sheet's codes.
    let whole = VoucherCode::of(&id, &vouchers[0]).to_qr();
    for other in ["", &codes[0][..219], &whole] {
        assert_eq!(waiting.add(other), Err(NotOfTheSheet));
    }
    assert_eq!((waiting.add(codes[2]), waiting.is_complete()), (Ok(Piece::Voucher(3)), false));
    assert_eq!((waiting.add(codes[0]), waiting.is_complete()), (Ok(Piece::Voucher(1)), true));

    // Of a whole sheet there is no key slip to wait for.
    let sheet = Sheet::whole(text("Agency"), &id, &list[..1]).unwrap();
    let mut waiting = sheet.to_scan();
    assert!(!waiting.is_complete() && waiting.add(&slip_text).is_err());
    assert_eq!((waiting.add(&whole), waiting.is_complete()), (Ok(Piece::Voucher(1)), true));
    assert!(matches!(Code::parse(sheet.codes().next().unwrap()), Ok(Code::Voucher(_))));
}

#[test]
fn debug_output_shows_no_voucher() {
    let (fixture, vouchers) = world();
    let sheet = Sheet::whole(text("Agency"), &fixture.programme.id(), &[(&vouchers[0], printed("Food"))]).unwrap();
    assert_eq!(format!("{sheet:?}"), "Sheet(1 vouchers, redacted)");
    assert_eq!(format!("{:?}", sheet.to_scan()), "Scanned(missing [Voucher(1)], redacted)");
}
