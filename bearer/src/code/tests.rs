use annona_protocol::fixture::{CASH, FOOD, Fixture, LOT};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

struct World {
    fixture: Fixture,
    vouchers: Vec<Voucher>,
    rng: ChaCha20Rng,
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let fixture = Fixture::new(&mut rng);
        let (credential, _) = fixture.enrol(LOT, 12, &[4, 1], &mut rng);
        let (credential, _) = fixture.roll_over(1, &credential, &mut rng);
        let keys = fixture.keys(1, &[(FOOD, 3), (CASH, 30)]);
        let (_, vouchers, _) = fixture.draw(1, &credential, keys, &mut rng);
        Self { fixture, vouchers, rng }
    }

    fn id(&self) -> ProgrammeId {
        self.fixture.programme.id()
    }
}

fn voucher(text: &str) -> Result<VoucherCode, CodeError> {
    match Code::parse(text)? {
        Code::Voucher(code) => Ok(code),
        _ => Err(CodeError::OtherKind),
    }
}

fn half(text: &str) -> HalfCode {
    match Code::parse(text).unwrap() {
        Code::Half(code) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_voucher_has_one_text_and_reads_back() {
    let world = World::new();
    for one in &world.vouchers {
        let text = VoucherCode::of(&world.id(), one).to_qr();
        assert!(text.starts_with("ANNONA1/V/") && text.len() == 220 && text.capacity() == 220);
        assert_eq!(*voucher(&text).unwrap().to_qr(), *text);
        let back = voucher(&text).unwrap().voucher(&world.fixture.programme).unwrap();
        assert_eq!(back.shown(), one.shown());
        assert_eq!(*VoucherCode::of(&world.id(), &back).to_qr(), *text, "the secret is there too");
    }
}

#[test]
fn each_changed_character_is_refused() {
    let world = World::new();
    let text = VoucherCode::of(&world.id(), &world.vouchers[0]).to_qr();
    for at in 10..text.len() {
        for other in ["0", "A", "Z", ":", " "].iter().filter(|other| !text[at..].starts_with(**other)) {
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            let read = voucher(&changed).and_then(|code| code.voucher(&world.fixture.programme));
            assert!(read.is_err(), "character {at}");
        }
    }
}

#[test]
fn other_texts_are_refused_by_name() {
    let world = World::new();
    let text = VoucherCode::of(&world.id(), &world.vouchers[0]).to_qr();
    let slip = KeySlip::from_seed(&world.id(), SecretBytes::new([7; 32])).to_qr();
    for (text, error) in [
        ("", CodeError::NotACode),
        ("https://aid.example.org", CodeError::NotACode),
        (&text.to_lowercase(), CodeError::NotACode),
        (&text.replace("ANNONA1", "ANNONA2"), CodeError::Version),
        (&text.replace("ANNONA1", "ANNONA"), CodeError::NotACode),
        (&text.replace("/V/", "/X/"), CodeError::NotACode),
        (&text.replace("/V/", "/M/"), CodeError::OtherKind),
        (&text.replace("/V/", "/E/"), CodeError::OtherKind),
        (&text.replace("/V/", "/K/"), CodeError::Damaged),
        (&slip.replace("/K/", "/V/"), CodeError::Damaged),
        (&text[..219], CodeError::Damaged),
        (&text[..217], CodeError::Damaged),
        (&format!("{}0", *text), CodeError::Damaged),
        (&format!("{}000", *text), CodeError::Damaged),
        (&format!("{}\n", *text), CodeError::Damaged),
        (&format!(" {}", *text), CodeError::NotACode),
        (&format!("ANNONA1/V/{}", ":".repeat(210)), CodeError::Damaged),
        // Scalars above the group order.
        (&format!("ANNONA1/V/{}", "FGW".repeat(70)), CodeError::Damaged),
    ] {
        assert_eq!(Code::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn a_voucher_of_another_programme_is_named_so() {
    let world = World::new();
    let other = Fixture::new(&mut ChaCha20Rng::seed_from_u64(6)).programme;
    let text = VoucherCode::of(&world.id(), &world.vouchers[0]).to_qr();
    assert_eq!(voucher(&text).unwrap().voucher(&other).unwrap_err(), CodeError::OtherProgramme);
    // With the other's mark on it, it is none of its vouchers.
    let forged = VoucherCode::of(&other.id(), &world.vouchers[0]).to_qr();
    assert_eq!(voucher(&forged).unwrap().voucher(&other).unwrap_err(), CodeError::Invalid);
    let mut bytes = base45::decode(&text[10..]).unwrap();
    bytes[8..12].copy_from_slice(&[0xff; 4]);
    let unknown = crate::text::write("V", &bytes);
    assert_eq!(voucher(&unknown).unwrap().voucher(&world.fixture.programme).unwrap_err(), CodeError::UnknownKey);
}

#[test]
fn a_split_voucher_needs_both_papers() {
    let mut world = World::new();
    let id = world.id();
    let (slip, other) = (KeySlip::random(&id, &mut world.rng), KeySlip::random(&id, &mut world.rng));
    let programme = &world.fixture.programme;
    for one in &world.vouchers {
        let text = slip.split(&id, one).to_qr();
        assert!(text.starts_with("ANNONA1/H/") && text.len() == 220);
        assert_eq!(*half(&text).to_qr(), *text);
        let Code::KeySlip(read) = Code::parse(&slip.to_qr()).unwrap() else { panic!("a key slip") };
        assert_eq!(read.join(half(&text), programme).unwrap().shown(), one.shown());
        // The sheet alone: half the secret is not the voucher's, whatever it is called.
        let alone = voucher(&text.replace("/H/", "/V/")).unwrap();
        assert_eq!(alone.voucher(programme).unwrap_err(), CodeError::Invalid);
        // A key slip of another sheet, or of another programme.
        assert_eq!(other.join(half(&text), programme).unwrap_err(), CodeError::OtherKeySlip);
        let foreign = KeySlip::from_seed(&ProgrammeId([1; 32]), SecretBytes::new(*slip.seed().expose()));
        assert_eq!(foreign.join(half(&text), programme).unwrap_err(), CodeError::OtherProgramme);
    }
}

/// The key slip alone says nothing of any voucher: it is made before there is one, from randomness only.
#[test]
fn a_key_slip_reads_back_and_depends_on_no_voucher() {
    let mut world = World::new();
    let slip = KeySlip::random(&world.id(), &mut world.rng);
    let text = slip.to_qr();
    assert!(text.starts_with("ANNONA1/K/") && text.len() == 70);
    let Code::KeySlip(read) = Code::parse(&text).unwrap() else { panic!("a key slip") };
    assert_eq!((*read.to_qr()).as_str(), text.as_str());
    assert_eq!(read.mark(), slip.mark());
    let kept = KeySlip::from_seed(&world.id(), SecretBytes::new(*slip.seed().expose()));
    assert_eq!(
        *kept.split(&world.id(), &world.vouchers[0]).to_qr(),
        *slip.split(&world.id(), &world.vouchers[0]).to_qr()
    );
    assert_ne!(KeySlip::random(&world.id(), &mut world.rng).mark(), slip.mark());
    assert_eq!(slip.mark().len(), 4);
}

#[test]
fn texts_are_pinned() {
    let slip = KeySlip::from_seed(&ProgrammeId([0xa5; 32]), SecretBytes::new([7; 32]));
    assert_eq!(*slip.to_qr(), "ANNONA1/K/F.KF.KF.KF.K:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0:*0");
    assert_eq!(slip.mark(), "JFYH");
}

#[test]
fn neither_debug_output_nor_errors_show_a_code() {
    let mut world = World::new();
    let text = VoucherCode::of(&world.id(), &world.vouchers[0]).to_qr();
    let slip = KeySlip::random(&world.id(), &mut world.rng);
    let shown =
        format!("{:?} {:?} {:?}", Code::parse(&text).unwrap(), slip, slip.split(&world.id(), &world.vouchers[0]),);
    let bytes = base45::decode(&text[10..]).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in [&bytes[12..44], &slip.seed().expose()[..]] {
        assert!(!shown.contains(&hex(secret)[..8]) && !shown.contains(&format!("{}, {}", secret[0], secret[1])));
    }
    assert!(shown.contains("redacted"));
    for error in [
        CodeError::NotACode,
        CodeError::OtherKind,
        CodeError::Version,
        CodeError::Damaged,
        CodeError::OtherProgramme,
        CodeError::UnknownKey,
        CodeError::Invalid,
        CodeError::OtherKeySlip,
    ] {
        assert!(error.code().starts_with("voucher_code_") && error.to_string().contains(": "));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(ANNONA1/)?[VHK]?/?[0-9A-Z $%*+./:-]{0,220}|ANNONA1/[VH]/[0-9A-W]{210}|ANNONA1/K/([0-9A-W]{2}[0-9A-V]){20}|.{0,40}") {
        match Code::parse(&text) {
            Ok(Code::Voucher(code)) => prop_assert_eq!(&*code.to_qr(), &text),
            Ok(Code::Half(code)) => prop_assert_eq!(&*code.to_qr(), &text),
            Ok(Code::KeySlip(slip)) => prop_assert_eq!(&*slip.to_qr(), &text),
            Err(_) => {}
        }
    }

    #[test]
    fn any_key_slip_reads_back(id: [u8; 32], seed: [u8; 32]) {
        let slip = KeySlip::from_seed(&ProgrammeId(id), SecretBytes::new(seed));
        let Ok(Code::KeySlip(read)) = Code::parse(&slip.to_qr()) else { panic!("a key slip") };
        prop_assert_eq!(*read.seed().expose(), seed);
    }
}
