//! `spec/bearer.md`: its examples read back, and its numbers are the program's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use annona_bearer::{
    Code, Symbol,
    frames::{self, Collector, MAX_MESSAGE, MAX_PART, MAX_PARTS, MAX_SINGLE, Progress},
};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/bearer.md");
    fs::read_to_string(path).unwrap().replace('\n', " ")
}

/// The texts of the page that begin like a code and are no scheme.
fn examples() -> Vec<String> {
    let page = page();
    // A code may hold spaces, but neither three together nor a backtick.
    let texts = page.split("ANNONA1/").skip(1).map(|rest| rest.split(['`', '<']).next().unwrap());
    texts.filter(|rest| rest.len() > 2).map(|rest| format!("ANNONA1/{}", rest.trim_end())).collect()
}

#[test]
fn examples_read_back() {
    let examples = examples();
    assert_eq!(examples.len(), 4, "{examples:?}");
    let mut kinds: Vec<String> = Vec::new();
    for example in examples {
        kinds.push(example[8..9].to_owned());
        match Code::parse(&example) {
            Ok(Code::Voucher(code)) => assert_eq!(*code.to_qr(), example),
            Ok(Code::Half(code)) => assert_eq!(*code.to_qr(), example),
            Ok(Code::KeySlip(slip)) => {
                assert_eq!(*slip.to_qr(), example);
                assert!(page().contains(&format!("its mark is `{}`", slip.mark())));
            }
            _ => {
                let Ok(Progress::Complete(message)) = Collector::new().add(&example) else { panic!("{example}") };
                assert_eq!(*message, b"Hello!!");
                assert_eq!(*frames::split(&message).unwrap()[0], example);
            }
        }
    }
    assert_eq!(kinds, ["V", "H", "K", "M"]);
}

#[test]
fn numbers_are_the_programs() {
    let page = page();
    assert_eq!(MAX_MESSAGE, 38_400);
    for number in [
        format!("A message of 1 to {MAX_SINGLE} bytes is one code"),
        "up to 38,400 bytes, goes in parts".to_owned(),
        format!("ceil(length / {MAX_PART})"),
        format!("2 to {MAX_PARTS} "),
        format!("at most {MAX_PARTS} parts of {MAX_PART} bytes"),
    ] {
        assert!(page.contains(&number), "{number}");
    }
    for (characters, modules, words) in [
        (220, 49, "140 bytes in 220 characters: a QR code of 49 modules"),
        (970, 97, "640 bytes are 970 characters, which fill a QR code of 97 modules"),
    ] {
        // The quiet zone is not counted.
        assert_eq!(Symbol::alphanumeric(&"A".repeat(characters)).unwrap().modules(), modules + 8);
        assert!(page.contains(words), "{words}");
    }
    assert!(Symbol::alphanumeric(&"A".repeat(971)).unwrap().modules() > 97 + 8, "it is full");
}

/// Writes examples for the page: `cargo test -p annona-bearer --test page -- --ignored --nocapture`.
#[test]
#[ignore = "a tool"]
fn examples_for_the_page() {
    use annona_bearer::{KeySlip, VoucherCode};
    use annona_protocol::{
        fixture::{FOOD, Fixture, LOT},
        secret::SecretBytes,
    };
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let fixture = Fixture::new(&mut rng);
    let (credential, _) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
    let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
    let keys = fixture.keys(1, &[(FOOD, 4)]);
    let (_, vouchers, _) = fixture.draw(1, &credential, keys, &mut rng);
    let id = fixture.programme.id();
    let slip = KeySlip::from_seed(&id, SecretBytes::new([7; 32]));
    println!("{}", *VoucherCode::of(&id, &vouchers[0]).to_qr());
    println!("{}", *slip.split(&id, &vouchers[0]).to_qr());
    println!("{} {}", *slip.to_qr(), slip.mark());
}
