use proptest::prelude::*;

use super::*;

fn message(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at / 7 + at) as u8).collect()
}

fn complete(collector: &mut Collector, texts: &[Zeroizing<String>]) -> Vec<u8> {
    for text in &texts[..texts.len() - 1] {
        assert!(matches!(collector.add(text), Ok(Progress::Waiting { .. })));
    }
    match collector.add(&texts[texts.len() - 1]) {
        Ok(Progress::Complete(message)) => message.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_are_pinned() {
    assert_eq!(*split(b"Hello!!").unwrap()[0], "ANNONA1/M/%69 VD92EX0");
    let texts = split(&message(1201)).unwrap();
    assert_eq!(texts.len(), 3);
    let digest = hexadecimal(&digest(&message(1201)));
    for (at, text) in texts.iter().enumerate() {
        assert!(text.starts_with(&format!("ANNONA1/P/{}/3/{digest}/", at + 1)));
    }
    // 401, 401 and 399 bytes.
    assert_eq!(texts.iter().map(|text| text.len() - 31).collect::<Vec<_>>(), [602, 602, 599]);
    assert_eq!(hexadecimal(&super::digest(b"annona")), "F7ACAA9B8223E960");
}

#[test]
fn one_code_holds_640_bytes_and_no_code_is_larger() {
    for length in [1, 2, 639, 640] {
        let texts = split(&message(length)).unwrap();
        assert_eq!(texts.len(), 1, "{length}");
        assert_eq!(complete(&mut Collector::new(), &texts), message(length));
    }
    for (length, parts) in [(641, 2), (1200, 2), (1201, 3), (2500, 5), (MAX_MESSAGE, MAX_PARTS)] {
        let texts = split(&message(length)).unwrap();
        assert_eq!(texts.len(), parts, "{length}");
        assert!(texts.iter().all(|text| text.len() <= 970), "970 characters fill a code of 97 modules");
        assert_eq!(complete(&mut Collector::new(), &texts), message(length));
    }
    assert_eq!(split(&message(MAX_MESSAGE + 1)).unwrap_err(), FrameError::TooLong);
    assert_eq!(split(&[]).unwrap_err(), FrameError::Empty);
}

#[test]
fn parts_of_another_message_are_refused_and_change_nothing() {
    let (ours, other) = (split(&message(1500)).unwrap(), split(&message(1501)).unwrap());
    let mut collector = Collector::new();
    collector.add(&ours[1]).unwrap();
    assert_eq!(collector.add(&other[0]).unwrap_err(), FrameError::OtherMessage);
    assert_eq!(collector.add(&split(b"short").unwrap()[0]).unwrap_err(), FrameError::OtherMessage);
    // The same digest, but another number of parts.
    assert_eq!(collector.add(&ours[0].replace("P/1/3/", "P/1/4/")).unwrap_err(), FrameError::OtherMessage);
    // The same part with another content: the same digest again.
    let (head, _) = ours[1].rsplit_once('/').unwrap();
    assert_eq!(collector.add(&format!("{head}/000")).unwrap_err(), FrameError::Conflict);
    assert_eq!(collector.missing(), [1, 3]);
    assert!(matches!(collector.add(&ours[1]), Ok(Progress::Waiting { have: 1, of: 3 })), "a repeat");
    assert!(matches!(collector.add(&ours[2]), Ok(Progress::Waiting { have: 2, of: 3 })));
    assert!(matches!(collector.add(&ours[0]), Ok(Progress::Complete(whole)) if *whole == message(1500)));
    // Empty again: the other message may come.
    assert!(matches!(collector.add(&other[0]), Ok(Progress::Waiting { have: 1, of: 3 })));
    collector.clear();
    assert!(collector.missing().is_empty());
    assert!(matches!(collector.add(&ours[0]), Ok(Progress::Waiting { have: 1, of: 3 })));
}

#[test]
fn parts_that_make_up_no_message_are_refused() {
    let texts = split(&message(1500)).unwrap();
    let digest = hexadecimal(&digest(&message(1500)));
    let part = |n: usize, bytes: &[u8]| text::write(&format!("P/{n}/3/{digest}"), bytes);
    let whole = message(1500);
    let cases: [&[Zeroizing<String>]; 3] = [
        // A changed byte.
        &[texts[0].clone(), texts[1].clone(), part(3, &message(500))],
        // The right bytes, cut elsewhere.
        &[part(1, &whole[..499]), part(2, &whole[499..1000]), texts[2].clone()],
        // Parts in each other's place.
        &[part(1, &whole[500..1000]), part(2, &whole[..500]), texts[2].clone()],
    ];
    for texts in cases {
        let mut collector = Collector::new();
        collector.add(&texts[0]).unwrap();
        collector.add(&texts[1]).unwrap();
        assert_eq!(collector.add(&texts[2]).unwrap_err(), FrameError::Mismatch);
        assert!(collector.missing().is_empty(), "nothing is kept of it");
    }
    // A message that one code holds has no parts.
    let (short, digest) = (message(600), hexadecimal(&super::digest(&message(600))));
    let mut collector = Collector::new();
    collector.add(&text::write(&format!("P/1/2/{digest}"), &short[..300])).unwrap();
    let error = collector.add(&text::write(&format!("P/2/2/{digest}"), &short[300..])).unwrap_err();
    assert_eq!(error, FrameError::Mismatch);
}

#[test]
fn other_texts_are_refused() {
    let digest = "0123456789ABCDEF";
    let long = "0".repeat(base45::encoded_length(MAX_PART) + 3);
    for (text, error) in [
        ("", FrameError::NotAFrame),
        ("ANNONA1", FrameError::NotAFrame),
        ("ANNONA1/M", FrameError::NotAFrame),
        ("annona1/M/BB8", FrameError::NotAFrame),
        ("ANNONA1/X/BB8", FrameError::NotAFrame),
        ("ANNONA2/M/BB8", FrameError::Version),
        ("ANNONAX/M/BB8", FrameError::NotAFrame),
        ("ANNONA1/V/BB8", FrameError::OtherKind),
        ("ANNONA1/E/BB8", FrameError::OtherKind),
        ("ANNONA1/M/", FrameError::Damaged),
        ("ANNONA1/M/BB", FrameError::Damaged),
        ("ANNONA1/M/BB8 ", FrameError::Damaged),
        ("ANNONA1/P/1/3/BB8", FrameError::Damaged),
        (&format!("ANNONA1/P/0/3/{digest}/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/4/3/{digest}/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/1/1/{digest}/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/1/65/{digest}/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/01/3/{digest}/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/+1/3/{digest}/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/1/3/{}/BB8", digest.to_lowercase()), FrameError::Damaged),
        (&format!("ANNONA1/P/1/3/+{}/BB8", &digest[1..]), FrameError::Damaged),
        (&format!("ANNONA1/P/1/3/{digest}0/BB8"), FrameError::Damaged),
        (&format!("ANNONA1/P/1/3/{digest}/"), FrameError::Damaged),
        (&format!("ANNONA1/P/1/3/{digest}/{long}"), FrameError::Damaged),
    ] {
        assert_eq!(Collector::new().add(text).unwrap_err(), error, "{text}");
    }
    assert!(Collector::new().add(&format!("ANNONA1/P/1/3/{digest}/BB8")).is_ok());
}

#[test]
fn debug_output_shows_no_message() {
    let texts = split(&message(1500)).unwrap();
    let mut collector = Collector::new();
    collector.add(&texts[0]).unwrap();
    assert_eq!(format!("{collector:?}"), "Collector(1 of 3 parts, redacted)");
    assert_eq!(format!("{:?}", Progress::Complete(Zeroizing::new(vec![1]))), "Complete(1 bytes, redacted)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_come_in_any_order_and_repeated(
        bytes in proptest::collection::vec(any::<u8>(), 1..5000),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let texts = split(&bytes).unwrap();
        let mut collector = Collector::new();
        // Some at random, then all from the last to the first.
        let all = order.iter().map(|index| index.index(texts.len())).chain((0..texts.len()).rev());
        let mut seen = std::collections::BTreeSet::new();
        for at in all {
            seen.insert(at);
            match collector.add(&texts[at]).unwrap() {
                Progress::Waiting { have, of } => {
                    prop_assert_eq!((have, of), (seen.len(), texts.len()));
                }
                Progress::Complete(message) => {
                    prop_assert_eq!((&*message, seen.len()), (&bytes, texts.len()));
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "never complete");
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "(ANNONA1/)?[MPV]?/?[0-9A-Z $%*+./:-]{0,60}|ANNONA1/P/[0-9]{1,2}/[0-9]{1,2}/[0-9A-F]{16}/[0-9A-W]{3}|.{0,40}") {
        let mut collector = Collector::new();
        if let Ok(Progress::Complete(message)) = collector.add(&text) {
            prop_assert_eq!(&*split(&message).unwrap()[0], &text);
        }
    }

    #[test]
    fn a_changed_part_never_completes(length in 641usize..2000, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bytes = message(length);
        let texts = split(&bytes).unwrap();
        let (head, content) = texts[0].rsplit_once(&format!("{}/", hexadecimal(&digest(&bytes)))).unwrap();
        let mut part = base45::decode(content).unwrap();
        let at = at.index(part.len());
        part[at] ^= 1 << bit;
        let mut changed = format!("{head}{}/", hexadecimal(&digest(&bytes)));
        base45::encode_into(&part, &mut changed);
        let mut collector = Collector::new();
        for text in &texts[1..] {
            collector.add(text).unwrap();
        }
        prop_assert_eq!(collector.add(&changed).unwrap_err(), FrameError::Mismatch);
    }
}
