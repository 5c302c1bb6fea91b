//! Secret files as operators, power cuts and others on the machine meet them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use age::secrecy::ExposeSecret as _;

use super::*;

mod vaults;

/// Fast enough for tests.
const QUICK: u8 = 2;

fn words(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_secret_reads_back_and_nobody_else_reads_it() {
    let folder = folder();
    let path = folder.path().join("issuer.age");
    for (at, secret) in [&b""[..], b"secret", &[7; MAX_SECRET_BYTES]].into_iter().enumerate() {
        let path = folder.path().join(format!("{at}.age"));
        write_secret(&path, secret, &words("correct horse"), QUICK).unwrap();
        assert_eq!(**read_secret(&path, &words("correct horse")).unwrap(), *secret);
        assert_eq!(mode(&path), 0o600);
    }
    write_secret(&path, b"the secret itself", &words("correct horse"), QUICK).unwrap();
    let sealed = fs::read(&path).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    assert!(!sealed.windows(10).any(|window| window == b"the secret"));
    // No temporary file is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn nothing_is_overwritten() {
    let folder = folder();
    let path = folder.path().join("issuer.age");
    write_secret(&path, b"first", &words("a"), QUICK).unwrap();
    let again = write_secret(&path, b"second", &words("a"), QUICK);
    assert!(matches!(again, Err(KeyFileError::Exists(_))));
    assert!(matches!(write_new(&path, b"third"), Err(KeyFileError::Exists(_))));
    assert_eq!(**read_secret(&path, &words("a")).unwrap(), *b"first");
    // A link that leads nowhere is not followed.
    let link = folder.path().join("link.age");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
    assert!(matches!(write_secret(&link, b"x", &words("a"), QUICK), Err(KeyFileError::Exists(_))));
    assert!(matches!(write_new(&link, b"x"), Err(KeyFileError::Exists(_))));
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let folder = folder();
    let path = folder.path().join("slips.csv");
    let error = write_new_with(&path, |file| {
        file.write_all(b"half of it")?;
        Err(io::Error::other("disk full"))
    });
    assert!(matches!(error, Err(KeyFileError::Write { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = folder.path().join("missing/issuer.age");
    assert!(matches!(write_secret(&nowhere, b"x", &words("a"), QUICK), Err(KeyFileError::Write { .. })));
}

#[test]
fn wrong_passphrases_and_damaged_files_are_told_apart() {
    let folder = folder();
    let path = folder.path().join("issuer.age");
    write_secret(&path, &[9; 100], &words("right"), QUICK).unwrap();
    assert!(matches!(read_secret(&path, &words("wrong")), Err(KeyFileError::Passphrase(_))));
    let sealed = fs::read(&path).unwrap();
    let reading = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_secret(&path, &words("right"))
    };
    for cut in [0, 10, sealed.len() / 2, sealed.len() - 1] {
        assert!(matches!(reading(&sealed[..cut]), Err(KeyFileError::Damaged(_))), "cut at {cut}");
    }
    let mut longer = sealed.clone();
    longer.push(0);
    assert!(matches!(reading(&longer), Err(KeyFileError::Damaged(_))));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let error = reading(&changed).expect_err("every byte is authenticated");
        let kind =
            matches!(error, KeyFileError::Damaged(_) | KeyFileError::Passphrase(_) | KeyFileError::WorkFactor { .. });
        assert!(kind, "byte {at}: {error}");
    }
    assert!(matches!(reading(b"not an age file"), Err(KeyFileError::Damaged(_))));
    assert_eq!(**reading(&sealed).unwrap(), [9; 100]);
}

/// An age file for a key pair is none of ours, and one that asks for hours of work is refused before it.
#[test]
fn foreign_and_costly_files_are_refused() {
    let folder = folder();
    let path = folder.path().join("issuer.age");
    write_secret(&path, b"x", &words("right"), QUICK).unwrap();
    let header = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    let line = header.lines().nth(1).unwrap().to_owned();
    assert!(line.ends_with(" 2"));
    let costly = [line.trim_end_matches('2'), "40"].concat();
    let sealed = fs::read(&path).unwrap();
    let at = sealed.windows(line.len()).position(|window| window == line.as_bytes()).unwrap();
    let bytes = [&sealed[..at], costly.as_bytes(), &sealed[at + line.len()..]].concat();
    fs::write(&path, bytes).unwrap();
    let error = read_secret(&path, &words("right"));
    assert!(matches!(error, Err(KeyFileError::WorkFactor { work_factor: 40, .. })), "{error:?}");
    for work_factor in [0, MAX_WORK_FACTOR + 1, u8::MAX] {
        let error = write_secret(&folder.path().join("new.age"), b"x", &words("a"), work_factor);
        assert!(matches!(error, Err(KeyFileError::WorkFactor { .. })));
    }
    let long = vec![0; MAX_SECRET_BYTES + 1];
    assert!(matches!(write_secret(&folder.path().join("new.age"), &long, &words("a"), 1), Err(KeyFileError::TooLong)));
}

#[test]
fn files_that_others_can_read_are_refused() {
    let folder = folder();
    let path = folder.path().join("issuer.age");
    write_secret(&path, b"x", &words("a"), QUICK).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(read_secret(&path, &words("a")), Err(KeyFileError::Permissions(_))), "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(read_secret(&path, &words("a")).is_ok());
    assert!(matches!(read_secret(folder.path(), &words("a")), Err(KeyFileError::NotASecret(_))));
    assert!(matches!(read_secret(&folder.path().join("none"), &words("a")), Err(KeyFileError::Read { .. })));
}

#[test]
fn an_erased_file_is_overwritten_and_gone() {
    let folder = folder();
    let (path, witness) = (folder.path().join("round-1.age"), folder.path().join("same-blocks"));
    write_secret(&path, b"x", &words("a"), QUICK).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    // A second name of the same blocks shows what became of them.
    fs::hard_link(&path, &witness).unwrap();
    erase(&path).unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read(&witness).unwrap(), vec![0; usize::try_from(length).unwrap()]);
    assert!(matches!(erase(&path), Err(KeyFileError::Write { .. })));
    assert!(matches!(erase(folder.path()), Err(KeyFileError::NotASecret(_))));
}

#[test]
fn a_descriptor_gives_its_first_line() {
    let folder = folder();
    let path = folder.path().join("words");
    let read = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let file = File::open(&path).unwrap();
        let descriptor = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
        passphrase(PassphraseSource::Descriptor(descriptor)).map(|words| words.secret().expose_secret().to_owned())
    };
    assert_eq!(read(b"four random words\n").unwrap(), "four random words");
    assert_eq!(read(b"four random words").unwrap(), "four random words");
    assert_eq!(read(b" spaces stay \r\nnext line\n").unwrap(), " spaces stay ");
    assert_eq!(read(&[b'x'; 1024]).unwrap().len(), 1024);
    assert!(matches!(read(b""), Err(PassphraseError::Empty)));
    assert!(matches!(read(b"\nsecond"), Err(PassphraseError::Empty)));
    assert!(matches!(read(&[b'x'; 1025]), Err(PassphraseError::TooLong)));
    assert!(matches!(read(&[b'x'; 100_000]), Err(PassphraseError::TooLong)));
    assert!(matches!(read(b"\xff\xfe\n"), Err(PassphraseError::NotText)));
    let closed = passphrase(PassphraseSource::Descriptor(987_654));
    assert!(matches!(closed, Err(PassphraseError::Descriptor { descriptor: 987_654, .. })));
}

#[test]
fn a_new_passphrase_is_not_short() {
    let folder = folder();
    let path = folder.path().join("words");
    let new = |content: &str| {
        fs::write(&path, content).unwrap();
        let file = File::open(&path).unwrap();
        let descriptor = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
        new_passphrase(PassphraseSource::Descriptor(descriptor))
    };
    assert!(new("twelve chars").is_ok());
    assert!(matches!(new("eleven char"), Err(PassphraseError::TooShort { .. })));
    // Characters count, not bytes.
    assert!(new("дванадцять слів").is_ok() && matches!(new("слово"), Err(PassphraseError::TooShort { .. })));
}

#[test]
fn a_passphrase_reaches_neither_children_nor_debug_output() {
    let mut command = Command::new("true");
    without_passphrase(&mut command);
    assert!(command.get_envs().any(|(name, value)| name == PASSPHRASE_VARIABLE && value.is_none()));
    let shown = format!("{:?}", words("correct horse"));
    assert!(!shown.contains("horse"), "{shown}");
}
