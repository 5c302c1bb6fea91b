use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use proptest::prelude::*;

use super::*;

/// The example of the documentation of golang.org/x/mod/sumdb/note, where the format comes from.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_LINE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// A checkpoint signed with golang.org/x/mod/sumdb/note and cosigned with github.com/transparency-dev/formats v0.1.1.
const FORMATS_LOG: &str = "example.com/vector-log+4516a1da+ARGkVJ4QEa2MOOLGBO6i7NVSJ1FQ97tIX+w+Ku0RZ6Em";
const FORMATS_WITNESS: &str = "witness.example.com/vector+416f103d+BK/QmJFVP3SKJOqAMhFxBQPtylo3sjwWibyFDAlZKK8B";
const FORMATS_WITNESS_SECRET: &str = "BJEX3xv88eoQIKT4E+GkxZcXaJCYlQfi/GJ3NDFmZIW8";
const FORMATS_LOG_SECRET: &str = "ARnX7cNOLM36CVoVFnmyY1Yp3SE+vpow5cbV4Sw8rjRE";
const FORMATS_NOTE: &str = "example.com/vector-log\n1234\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n\n\
    — example.com/vector-log RRah2qlLrSlk6J8DA1HmNewppUM15Quhs5cAIb1KjBsV3otVirJTW8AFVsQtJkTW1Zny7GuoAxZpI6bUPcpM68QOIgE=\n\
    — witness.example.com/vector QW8QPQAAAABqwLUbDdj7sDNRIVjmjYgqFI6y4UJhPg/UAA8J8wAdqSd3q4PedRhkgXA4xFN/Jg5uWn7ZkBA+H/UHQs5d9hITdXmQAA==\n";
const FORMATS_TIME: u64 = 1_791_014_171;

/// The example of tlog-cosignature, whose keys are not published.
const SPEC_NOTE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

const ORIGIN: &str = "log.example/issuer";

fn secret(text: &str) -> SigningKey {
    let bytes = BASE64.decode(text).expect("base64");
    SigningKey::from_bytes(&bytes[1..].try_into().expect("32 bytes"))
}

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn log_key() -> VerifierKey {
    VerifierKey::new(ORIGIN, KeyType::Log, signing_key(1).verifying_key()).expect("a good key")
}

fn witness_name(number: u8) -> String {
    format!("witness.example/{number}")
}

fn witness(number: u8) -> VerifierKey {
    let key = signing_key(100 + number).verifying_key();
    VerifierKey::new(&witness_name(number), KeyType::Witness, key).expect("a good key")
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 42, TreeHash([9; 32])).expect("a good checkpoint")
}

fn signed() -> SignedNote {
    sign_checkpoint(&signing_key(1), ORIGIN, &checkpoint()).expect("the log's name")
}

fn cosigned(number: u8, time: u64) -> NoteSignature {
    let verified = verify(&signed().to_string(), &[], 0).expect("signed by the log");
    cosign(&signing_key(100 + number), &witness_name(number), time, &verified).expect("a good time")
}

fn verify(note: &str, witnesses: &[VerifierKey], threshold: usize) -> Result<VerifiedCheckpoint, NoteError> {
    verify_checkpoint(note.as_bytes(), &log_key(), witnesses, threshold)
}

fn key(text: &str) -> VerifierKey {
    text.parse().expect("a good key")
}

#[test]
fn go_example() {
    let signer = key(GO_KEY);
    assert_eq!((signer.name(), signer.key_type()), ("PeterNeumann", KeyType::Log));
    assert_eq!(signer.id(), KeyId([0xc7, 0x4f, 0x20, 0xa3]));
    assert_eq!(signer.to_string(), GO_KEY);
    let note = sign(&secret(GO_SECRET), "PeterNeumann", GO_TEXT.into()).expect("a good name");
    let text = format!("{GO_TEXT}\n{GO_LINE}");
    assert_eq!(note.to_string(), text);
    assert_eq!(SignedNote::parse(text.as_bytes()), Ok(note.clone()));
    signer.verify(GO_TEXT.as_bytes(), note.signatures()[0].signature()).expect("the published signature");
}

#[test]
fn formats_example() {
    let (log, witness) = (key(FORMATS_LOG), key(FORMATS_WITNESS));
    assert_eq!(witness.key_type(), KeyType::Witness);
    let verified =
        verify_checkpoint(FORMATS_NOTE.as_bytes(), &log, std::slice::from_ref(&witness), 1).expect("published");
    assert_eq!((verified.checkpoint().origin(), verified.checkpoint().size()), ("example.com/vector-log", 1234));
    assert_eq!(verified.cosignatures(), [Cosignature { witness: witness.clone(), time: FORMATS_TIME }]);
    let alone =
        sign_checkpoint(&secret(FORMATS_LOG_SECRET), log.name(), verified.checkpoint()).expect("the log's name");
    let line = cosign(&secret(FORMATS_WITNESS_SECRET), witness.name(), FORMATS_TIME, &verified).expect("a good time");
    assert_eq!(alone.with_signature(line).to_string(), FORMATS_NOTE);
}

#[test]
fn specification_example() {
    let note = SignedNote::parse(SPEC_NOTE.as_bytes()).expect("published");
    assert_eq!(note.to_string(), SPEC_NOTE);
    let checkpoint: Checkpoint = note.text().parse().expect("published");
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_string(), note.text());
    let line = &note.signatures()[1];
    assert_eq!((line.name(), line.key_id()), ("witness.example.com/w1", KeyId([0x8d, 0x66, 0xcf, 0x3f])));
    assert_eq!((line.signature().len(), &line.signature()[..8]), (72, &1_679_315_147u64.to_be_bytes()[..]));
    assert_eq!(
        cosigned_message(1_679_315_147, note.text()),
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

#[test]
fn other_spellings_of_a_key_are_refused() {
    for (text, expected) in [
        ("", NoteError::KeyText),
        ("PeterNeumann", NoteError::KeyText),
        ("PeterNeumann+c74f20a3", NoteError::KeyText),
        ("PeterNeumann+c74f20a3+", NoteError::KeyText),
        ("PeterNeumann+c74f20a3+AQ==", NoteError::KeyText),
        (&GO_KEY.replace("20a3", "20a4"), NoteError::KeyId),
        (&GO_KEY.replace("c74f", "C74F"), NoteError::KeyId),
        (&GO_KEY.replace("c74f", "0c74f"), NoteError::KeyId),
        (&GO_KEY.replace("Peter", "peter"), NoteError::KeyId),
        (&GO_KEY.replace("Peter", "Peter "), NoteError::KeyName),
        (&GO_KEY.replace("PeterNeumann", ""), NoteError::KeyName),
        (&GO_KEY.replace("+ARpc", "+BBpc"), NoteError::KeyId),
        (&GO_KEY.replace("+ARpc", "+Ahpc"), NoteError::UnknownKeyType),
    ] {
        assert_eq!(text.parse::<VerifierKey>(), Err(expected), "{text}");
    }
    for text in [format!("{GO_KEY}="), format!("{GO_KEY}\n"), format!(" {GO_KEY}"), GO_KEY[..GO_KEY.len() - 1].into()] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text}");
    }
}

#[test]
fn every_bit_of_a_key_counts() {
    for position in 0..GO_KEY.len() {
        for bit in 0..8 {
            let mut bytes = GO_KEY.as_bytes().to_vec();
            bytes[position] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }
}

#[test]
fn weak_and_doubly_encoded_keys_are_refused() {
    let weak = VerifyingKey::from_bytes(&{
        let mut identity = [0; 32];
        identity[0] = 1;
        identity
    });
    assert_eq!(VerifierKey::new("w", KeyType::Witness, weak.expect("a point")), Err(NoteError::WeakKey));
    let mut points = 0;
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            let Ok(key) = VerifyingKey::from_bytes(&bytes) else { continue };
            assert_eq!(VerifierKey::new("w", KeyType::Log, key), Err(NoteError::WeakKey));
            points += usize::from(!key.is_weak());
        }
    }
    assert!(points > 0, "some of these are not of small order");
}

#[test]
fn keys_are_told_apart_by_name_type_and_key() {
    let key = |name, key_type, seed| VerifierKey::new(name, key_type, signing_key(seed).verifying_key()).expect("good");
    let one = key("a", KeyType::Log, 1);
    assert_eq!(one, key("a", KeyType::Log, 1));
    for other in [key("b", KeyType::Log, 1), key("a", KeyType::Witness, 1), key("a", KeyType::Log, 2)] {
        assert_ne!(one, other);
        assert_ne!(one.id(), other.id());
    }
    let bytes = postcard::to_stdvec(&one).expect("in memory");
    assert_eq!(bytes[1..], *one.to_string().as_bytes());
    assert_eq!(postcard::from_bytes(&bytes), Ok(one));
    assert!(postcard::from_bytes::<VerifierKey>(b"\x03a+b").is_err());
}

#[test]
fn checkpoints_have_one_spelling() {
    let good = checkpoint().to_string();
    assert_eq!(good.parse(), Ok(checkpoint()));
    let root = BASE64.encode([9; 32]);
    for (text, expected) in [
        (String::new(), NoteError::CheckpointLines),
        (good.trim_end().into(), NoteError::CheckpointLines),
        (format!("{good}\n"), NoteError::CheckpointLines),
        (format!("{good}extension\n"), NoteError::CheckpointLines),
        (format!("{ORIGIN}\n42\n"), NoteError::CheckpointLines),
        (format!("\n42\n{root}\n"), NoteError::Origin),
        (format!("a\tb\n42\n{root}\n"), NoteError::Origin),
        (good.replace("42", "042"), NoteError::Size),
        (good.replace("42", "00"), NoteError::Size),
        (good.replace("42", "+42"), NoteError::Size),
        (good.replace("42", "-42"), NoteError::Size),
        (good.replace("42", " 42"), NoteError::Size),
        (good.replace("42", "42\r"), NoteError::Size),
        (good.replace("42", "0x42"), NoteError::Size),
        (good.replace("42", ""), NoteError::Size),
        (good.replace("42", "18446744073709551616"), NoteError::Size),
        (good.replace("42", "0"), NoteError::EmptyRoot),
        (good.replace(&root, "CQkJ"), NoteError::RootLength),
    ] {
        assert_eq!(text.parse::<Checkpoint>(), Err(expected), "{text}");
    }
    for bad in [&root[1..], &root[..43], &format!("{root}="), &root.replace('C', "-"), &format!("{root} ")] {
        let error = good.replace(&root, bad).parse::<Checkpoint>().expect_err("not base64");
        assert!(matches!(error, NoteError::RootBase64 { .. }), "{bad}");
    }
    let empty = Checkpoint::new(ORIGIN, 0, empty_root()).expect("the empty log");
    assert_eq!(empty.to_string().parse(), Ok(empty));
    assert_eq!(Checkpoint::new("a\nb", 1, empty_root()), Err(NoteError::Origin));
    let other = Checkpoint::new(ORIGIN, 43, TreeHash([9; 32])).expect("a good checkpoint");
    assert_ne!(checkpoint(), other);
}

#[test]
fn malformed_notes_are_refused() {
    let good = signed().to_string();
    let line = good.lines().last().expect("a signature").to_owned();
    let (head, base64) = line.rsplit_once(' ').expect("a signature");
    for (text, expected) in [
        (String::new(), NoteError::NoSignatures),
        ("text\n".into(), NoteError::NoSignatures),
        (signed().text().into(), NoteError::NoSignatures),
        (format!("{}\n", signed().text()), NoteError::NoSignatures),
        (good.trim_end().into(), NoteError::NoSignatures),
        (good.replace("\n\n", "\n"), NoteError::NoSignatures),
        (format!("{good}\n"), NoteError::NoSignatures),
        (format!("{good}x\n"), NoteError::Line),
        (good.replace('\n', "\r\n"), NoteError::ControlCharacter),
        (good.replace("42", "4\t2"), NoteError::ControlCharacter),
        (good.replace("42", "4\x002"), NoteError::ControlCharacter),
        (good.replace('—', "-"), NoteError::Line),
        (good.replace('—', "–"), NoteError::Line),
        (good.replace("— ", "—"), NoteError::Line),
        (good.replace("— ", " — "), NoteError::Line),
        (good.replace("— ", "—  "), NoteError::KeyName),
        (good.replace("— log", "— l+og"), NoteError::KeyName),
        (good.replace("— log", "— l\u{2003}og"), NoteError::KeyName),
        (good.replace(&line, head), NoteError::Line),
        (good.replace(base64, "AAAAAA=="), NoteError::Line),
        (good.replace(base64, ""), NoteError::Line),
        (good.replace(&line, &format!("{line}\n").repeat(101)), NoteError::NoSignatures),
        (good.replace(&line, &[&line[..]; 101].join("\n")), NoteError::TooManySignatures),
        (format!("{}{good}", "a".repeat(MAX_NOTE_BYTES)), NoteError::TooLong),
    ] {
        assert_eq!(SignedNote::parse(text.as_bytes()), Err(expected), "{text}");
    }
    for bad in [&base64[1..], &format!("{base64}="), &base64.replace('=', ""), &format!("{base64} "), "!!!!"] {
        let error = SignedNote::parse(good.replace(base64, bad).as_bytes()).expect_err("not base64");
        assert!(matches!(error, NoteError::LineBase64 { .. }), "{bad}");
    }
    let mut bytes = good.into_bytes();
    bytes[2] = 0xff;
    assert!(matches!(SignedNote::parse(&bytes), Err(NoteError::NotUtf8 { .. })));
}

/// The last empty line separates the text, so a text may hold empty lines and even signature lines.
#[test]
fn the_last_empty_line_ends_the_text() {
    let text = format!("poem\n\n{GO_LINE}\nmore\n");
    let note = SignedNote::parse(format!("{text}\n{GO_LINE}").as_bytes()).expect("well-formed");
    assert_eq!(note.text(), text);
    assert_eq!(note.signatures().len(), 1);
    let note = SignedNote::parse(format!("a\n\n\n{GO_LINE}").as_bytes()).expect("well-formed");
    assert_eq!(note.text(), "a\n\n");
}

#[test]
fn the_log_alone_suffices_without_threshold() {
    let verified = verify(&signed().to_string(), &[], 0).expect("signed by the log");
    assert_eq!(verified.checkpoint(), &checkpoint());
    assert_eq!(verified.note(), &signed());
    assert_eq!(verified.cosignatures(), []);
}

#[test]
fn the_log_must_sign() {
    let line = signed().signatures()[0].clone();
    let with = |line: String| format!("{}\n{line}\n", checkpoint());
    let renamed = NoteSignature { name: "log.example/other".into(), ..line.clone() };
    let mut other_id = line.clone();
    other_id.key_id.0[3] ^= 1;
    let by_witness = cosigned(1, 7);
    for unknown in [renamed, other_id, by_witness] {
        assert_eq!(verify(&with(unknown.to_string()), &[witness(1)], 0), Err(NoteError::NotSignedByLog));
    }
    let another = VerifierKey::new(ORIGIN, KeyType::Log, signing_key(2).verifying_key()).expect("a good key");
    let outcome = verify_checkpoint(signed().to_string().as_bytes(), &another, &[], 0);
    assert_eq!(outcome, Err(NoteError::NotSignedByLog));
}

#[test]
fn a_false_signature_refuses_the_note() {
    let note = signed().with_signature(cosigned(1, 7));
    let (log, first) = (log_key().id(), witness(1).id());
    for (position, known, key) in
        [(0, 0, log), (0, 63, log), (1, 8, first), (1, 71, first), (1, 7, first), (1, 3, first)]
    {
        let mut bad = note.clone();
        bad.signatures[position].signature[known] ^= 1;
        assert_eq!(verify(&bad.to_string(), &[witness(1)], 0), Err(NoteError::Signature { key }), "{position} {known}");
    }
    for cut in [0, 1] {
        let mut bad = note.clone();
        bad.signatures[cut].signature.pop();
        assert!(matches!(verify(&bad.to_string(), &[witness(1)], 0), Err(NoteError::Signature { .. })));
        let mut bad = note.clone();
        bad.signatures[cut].signature.push(0);
        assert!(matches!(verify(&bad.to_string(), &[witness(1)], 0), Err(NoteError::Signature { .. })));
        let mut bad = note.clone();
        bad.signatures[cut].signature.truncate(1);
        assert!(matches!(verify(&bad.to_string(), &[witness(1)], 0), Err(NoteError::Signature { .. })));
    }
    let bad = note.to_string().replace("42", "43");
    assert_eq!(verify(&bad, &[], 0), Err(NoteError::Signature { key: log }));
    // The same bad line by a key that is not asked about is ignored.
    let mut bad = note;
    bad.signatures[1].signature[20] ^= 1;
    assert_eq!(verify(&bad.to_string(), &[witness(2)], 0).map(|verified| verified.cosignatures().len()), Ok(0));
}

#[test]
fn witnesses_are_counted_once() {
    let note = [cosigned(1, 50), cosigned(1, 70), cosigned(1, 60), cosigned(2, 5)];
    let note = note.into_iter().fold(signed(), SignedNote::with_signature);
    let lines = note.to_string();
    let twice = format!("{lines}{}\n{}\n", cosigned(2, 5), signed().signatures()[0]);
    let both = [witness(1), witness(2), witness(1)];
    for text in [&lines, &twice] {
        let verified = verify(text, &both, 2).expect("two witnesses");
        let times: Vec<_> = verified.cosignatures().iter().map(|line| (line.witness.clone(), line.time)).collect();
        assert_eq!(times, [(witness(1), 70), (witness(2), 5)]);
        assert_eq!(verify(text, &both, 3), Err(NoteError::TooFewWitnesses { found: 2, threshold: 3 }));
    }
    assert_eq!(verify(&lines, &[witness(3)], 1), Err(NoteError::TooFewWitnesses { found: 0, threshold: 1 }));
    assert_eq!(SignedNote::parse(twice.as_bytes()).expect("well-formed").to_string(), twice);
    assert_eq!(note.clone().with_signature(cosigned(2, 5)), note);
}

/// One key under two names is one witness, and the log is no witness of itself.
#[test]
fn a_key_is_one_witness_under_any_name() {
    let verified = verify(&signed().to_string(), &[], 0).expect("signed by the log");
    let alias = VerifierKey::new("alias.example/1", KeyType::Witness, witness(1).key().to_owned()).expect("a good key");
    let own = VerifierKey::new("own.example/1", KeyType::Witness, log_key().key().to_owned()).expect("a good key");
    let lines = [
        cosigned(1, 5),
        cosign(&signing_key(101), alias.name(), 5, &verified).expect("a good time"),
        cosign(&signing_key(1), own.name(), 5, &verified).expect("a good time"),
    ];
    let note = lines.into_iter().fold(signed(), SignedNote::with_signature).to_string();
    let outcome = verify(&note, &[witness(1), alias, own], 2);
    assert_eq!(outcome, Err(NoteError::TooFewWitnesses { found: 1, threshold: 2 }));
}

#[test]
fn keys_of_the_wrong_type_are_refused() {
    let text = signed().to_string();
    let expected = NoteError::KeyType { key: witness(1).id(), expected: KeyType::Log };
    assert_eq!(verify_checkpoint(text.as_bytes(), &witness(1), &[], 0), Err(expected));
    let expected = NoteError::KeyType { key: log_key().id(), expected: KeyType::Witness };
    assert_eq!(verify(&text, &[witness(1), log_key()], 0), Err(expected));
}

#[test]
fn another_logs_checkpoint_is_refused() {
    let other = Checkpoint::new("log.example/other", 42, TreeHash([9; 32])).expect("a good checkpoint");
    assert_eq!(sign_checkpoint(&signing_key(1), ORIGIN, &other), Err(NoteError::OriginMismatch));
    let note = sign(&signing_key(1), ORIGIN, other.to_string()).expect("a good name");
    assert_eq!(verify(&note.to_string(), &[], 0), Err(NoteError::OriginMismatch));
    let spaced = Checkpoint::new("a log", 42, TreeHash([9; 32])).expect("a good checkpoint");
    assert_eq!(sign_checkpoint(&signing_key(1), "a log", &spaced), Err(NoteError::KeyName));
    let poem = sign(&signing_key(1), ORIGIN, "no checkpoint\n".into()).expect("a good name");
    assert_eq!(verify(&poem.to_string(), &[], 0), Err(NoteError::CheckpointLines));
}

#[test]
fn times_of_cosignatures_are_bound_and_bounded() {
    let verified = verify(&signed().to_string(), &[], 0).expect("signed by the log");
    let cosign_at = |time| cosign(&signing_key(101), &witness_name(1), time, &verified);
    assert_eq!(cosign_at(MAX_TIME + 1), Err(NoteError::Time));
    for time in [0, MAX_TIME] {
        let note = signed().with_signature(cosign_at(time).expect("in range"));
        let verified = verify(&note.to_string(), &[witness(1)], 1).expect("cosigned");
        assert_eq!(verified.cosignatures()[0].time, time);
        let mut bad = note;
        bad.signatures[1].signature[0] ^= 0x80;
        assert_eq!(verify(&bad.to_string(), &[witness(1)], 1), Err(NoteError::Time));
    }
}

/// The witness's signature does not serve as the log's, nor the other way round.
#[test]
fn signatures_do_not_change_roles() {
    let plain = signing_key(101).sign(checkpoint().to_string().as_bytes()).to_bytes();
    let mut line = cosigned(1, 5);
    line.signature[8..].copy_from_slice(&plain);
    let note = signed().with_signature(line).to_string();
    assert_eq!(verify(&note, &[witness(1)], 1), Err(NoteError::Signature { key: witness(1).id() }));
    let verified = verify(&signed().to_string(), &[], 0).expect("signed by the log");
    let cosignature = cosign(&signing_key(1), ORIGIN, 5, &verified).expect("a good time");
    let key_id = log_key().id();
    let forged = NoteSignature { key_id, name: ORIGIN.into(), signature: cosignature.signature[8..].to_vec() };
    let note = SignedNote { text: checkpoint().to_string(), signatures: vec![forged] };
    assert_eq!(verify(&note.to_string(), &[], 0), Err(NoteError::Signature { key: key_id }));
}

#[test]
fn every_bit_of_a_cosigned_note_counts() {
    let text = signed().with_signature(cosigned(1, 5)).to_string();
    for position in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[position] ^= 1 << bit;
            assert!(verify_checkpoint(&bytes, &log_key(), &[witness(1)], 1).is_err(), "byte {position} bit {bit}");
        }
        assert!(verify_checkpoint(&text.as_bytes()[..position], &log_key(), &[witness(1)], 1).is_err());
    }
}

proptest! {
    /// Whatever parses is written back byte for byte.
    #[test]
    fn parsers_survive_anything(
        text in "[a-z\\n ]{0,20}\n\n(— [a-z.]{0,5} [A-Za-z0-9+/]{0,12}={0,2}\n){0,3}.?",
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        for input in [text.as_bytes(), &bytes] {
            if let Ok(note) = SignedNote::parse(input) {
                prop_assert_eq!(note.to_string().into_bytes(), input);
                prop_assert!(note.text().parse::<Checkpoint>().is_err());
            }
        }
        prop_assert!(text.parse::<VerifierKey>().is_err());
    }

    #[test]
    fn checkpoints_round_trip(origin in "[!-~é]{1,30}", size in 1u64.., root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint::new(&origin, size, TreeHash(root)).expect("a good checkpoint");
        prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }
}
