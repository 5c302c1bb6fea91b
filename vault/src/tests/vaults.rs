//! Vaults as their owners, thieves and power cuts meet them.

use super::{super::*, QUICK, folder, mode, words};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

fn create(path: &Path, state: &[u8]) -> Vault {
    Vault::create(path, &words("123456"), QUICK, state).unwrap()
}

fn open(path: &Path) -> Result<(Vault, Vec<u8>), VaultError> {
    Vault::open(path, &words("123456")).map(|(vault, state)| (vault, state.to_vec()))
}

#[test]
fn a_vault_is_saved_and_opened_again() {
    let folder = folder();
    let path = folder.path().join("wallet");
    let mut vault = create(&path, b"first");
    for state in [&b""[..], b"second", &[7; 100_000]] {
        vault.save(state).unwrap();
        assert_eq!(mode(&path), 0o600);
    }
    assert_eq!(vault.saves(), 4);
    drop(vault);
    let (vault, state) = open(&path).unwrap();
    assert_eq!((vault.saves(), state), (4, vec![7; 100_000]));
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"annona-vault 1\n") && !bytes.windows(6).any(|window| window == [7; 6]));
    // The file and its lock.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert!(!format!("{vault:?}").contains("AGE-SECRET"));
}

/// Scrypt's work is in opening, not in saving.
#[test]
fn a_save_leaves_the_sealed_identity_as_it_is() {
    let folder = folder();
    let path = folder.path().join("wallet");
    let mut vault = create(&path, b"first");
    let identity =
        |bytes: &[u8]| bytes[27..27 + u32::from_le_bytes(bytes[15..19].try_into().unwrap()) as usize].to_vec();
    let before = fs::read(&path).unwrap();
    vault.save(b"other").unwrap();
    let after = fs::read(&path).unwrap();
    assert_eq!(identity(&before), identity(&after));
    assert_ne!(before, after);
    // States of about one size give files of one size, but for the few bytes of chance that age puts into a header.
    assert!(before.len().abs_diff(after.len()) < 1024);
}

#[test]
fn one_process_at_a_time_opens_a_vault() {
    let folder = folder();
    let path = folder.path().join("wallet");
    let vault = create(&path, b"state");
    assert!(matches!(open(&path), Err(VaultError::Locked(_))));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(open(&link), Err(VaultError::Locked(_))), "also by another name");
    drop(vault);
    assert!(open(&path).is_ok());
}

#[test]
fn a_vault_behind_a_link_is_saved_where_it_is() {
    let folder = folder();
    let (path, link) = (folder.path().join("wallet"), folder.path().join("link"));
    drop(create(&path, b"state"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    open(&link).unwrap().0.save(b"next").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(open(&path).unwrap().1, b"next");
}

#[test]
fn wrong_cut_changed_and_foreign_vaults_are_told_apart() {
    let folder = folder();
    let path = folder.path().join("wallet");
    drop(create(&path, b"state"));
    assert!(matches!(Vault::open(&path, &words("654321")), Err(VaultError::Passphrase(_))));
    let sealed = fs::read(&path).unwrap();
    let reading = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        open(&path).map(|(_, state)| state)
    };
    for cut in (0..30).chain([100, sealed.len() / 2, sealed.len() - 1]) {
        let error = reading(&sealed[..cut]).unwrap_err();
        assert!(matches!(error, VaultError::Truncated { .. }), "cut at {cut}: {error}");
    }
    assert!(matches!(reading(&[&sealed[..], b"x"].concat()), Err(VaultError::Damaged(_))));
    assert!(matches!(reading(b"annona-vault 2\nwhatever"), Err(VaultError::Version(_))));
    assert!(matches!(reading(b"a letter"), Err(VaultError::NotAVault(_))));
    assert!(matches!(reading(b"age-encryption.org/v1\n-> scrypt"), Err(VaultError::NotAVault(_))));
    let identity_ends = 27 + u32::from_le_bytes(sealed[15..19].try_into().unwrap()) as usize;
    // Of the long tail of the state every 61st byte.
    let places = (0..identity_ends + 300).chain((identity_ends + 300..sealed.len()).step_by(61));
    for at in places {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let error = reading(&changed).expect_err("every byte counts");
        let fits = match at {
            0..15 => matches!(error, VaultError::NotAVault(_) | VaultError::Version(_)),
            15..27 => {
                matches!(error, VaultError::Damaged(_) | VaultError::Truncated { .. } | VaultError::Passphrase(_))
            }
            _ if at < identity_ends => {
                matches!(error, VaultError::Damaged(_) | VaultError::Passphrase(_) | VaultError::WorkFactor { .. })
            }
            _ => matches!(error, VaultError::Damaged(_)),
        };
        assert!(fits, "byte {at}: {error:?}");
    }
    assert_eq!(reading(&sealed).unwrap(), b"state");
}

#[test]
fn files_and_folders_that_others_can_change_are_refused() {
    let folder = folder();
    let path = folder.path().join("wallet");
    drop(create(&path, b"state"));
    let permit = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602] {
        permit(&path, mode);
        assert!(matches!(open(&path), Err(VaultError::Permissions(_))), "{mode:o}");
    }
    permit(&path, 0o600);
    for mode in [0o770, 0o702, 0o777] {
        permit(folder.path(), mode);
        assert!(matches!(open(&path), Err(VaultError::Folder(_))), "{mode:o}");
        let new = Vault::create(&folder.path().join("new"), &words("123456"), QUICK, b"");
        assert!(matches!(new, Err(VaultError::Folder(_))));
    }
    // In a folder such as /tmp others make files, and replace none.
    for mode in [0o1777, 0o755, 0o700] {
        permit(folder.path(), mode);
        assert!(open(&path).is_ok(), "{mode:o}");
    }
    assert!(matches!(open(folder.path()), Err(VaultError::NotAVault(_))));
    assert!(matches!(open(&folder.path().join("none")), Err(VaultError::Read { .. })));
}

#[test]
fn a_changed_passphrase_opens_and_the_old_one_does_not() {
    let folder = folder();
    let (path, copy) = (folder.path().join("wallet"), folder.path().join("copy"));
    let mut vault = create(&path, b"state");
    vault.copy_to(&copy, b"state").unwrap();
    assert!(matches!(vault.copy_to(&copy, b"state"), Err(VaultError::Exists(_))));
    vault.change_passphrase(&words("five random words"), QUICK, b"state").unwrap();
    vault.save(b"later").unwrap();
    drop(vault);
    assert!(matches!(open(&path), Err(VaultError::Passphrase(_))));
    assert_eq!(*Vault::open(&path, &words("five random words")).unwrap().1, b"later");
    assert_eq!(open(&copy).unwrap().1, b"state", "the copy keeps its passphrase");
    assert_eq!(mode(&copy), 0o600);
}

/// While a vault rests others use the file; it wakes without the passphrase, to what the file holds by then.
#[test]
fn a_resting_vault_lets_others_in_and_wakes_to_what_they_did() {
    let folder = folder();
    let path = folder.path().join("wallet");
    let mut vault = create(&path, b"state");
    vault.save(b"one").unwrap();
    let resting = vault.rest();
    {
        let (mut other, state) = open(&path).unwrap();
        assert_eq!(state, b"one");
        assert!(matches!(resting.wake(), Err(VaultError::Locked(_))));
        other.save(b"two").unwrap();
    }
    let (mut vault, state) = resting.wake().unwrap();
    assert_eq!((&state[..], vault.saves()), (&b"two"[..], 3));
    assert!(matches!(open(&path), Err(VaultError::Locked(_))));
    vault.save(b"three").unwrap();
    drop(vault);
    assert_eq!(open(&path).unwrap().1, b"three");
    // Under another passphrase it does not wake.
    let (mut other, state) = Vault::open(&path, &words("123456")).unwrap();
    other.change_passphrase(&words("654321"), QUICK, &state).unwrap();
    drop(other);
    assert!(matches!(resting.wake(), Err(VaultError::Passphrase(_))));
    assert!(!format!("{resting:?}").contains("AGE-SECRET-KEY"));
    fs::write(&path, b"annona-vault 1\n").unwrap();
    assert!(matches!(resting.wake(), Err(VaultError::Truncated { .. })));
}

#[test]
fn a_save_that_fails_keeps_what_was_there() {
    let folder = folder();
    let path = folder.path().join("wallet");
    let mut vault = create(&path, b"state");
    // A folder in the place of the new file.
    let part = folder.path().join(".wallet.part");
    fs::create_dir(&part).unwrap();
    assert!(matches!(vault.save(b"next"), Err(VaultError::Write { .. })));
    assert!(matches!(vault.save(&vec![0; MAX_STATE_BYTES + 1]), Err(VaultError::TooLong)));
    fs::remove_dir(&part).unwrap();
    // What a power cut left, and what somebody else put there, is not written through.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
    vault.save(b"next").unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"mine");
    drop(vault);
    assert_eq!(open(&path).unwrap().1, b"next");
}

#[test]
fn work_factors_are_bounded() {
    let folder = folder();
    for work_factor in [0, MAX_WORK_FACTOR + 1] {
        let new = Vault::create(&folder.path().join("new"), &words("123456"), work_factor, b"");
        assert!(matches!(new, Err(VaultError::WorkFactor { .. })));
    }
}
