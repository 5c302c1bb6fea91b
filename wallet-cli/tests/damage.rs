//! Files that were damaged, cut off, or put back: the wallet's, a backup, a card's image. The program says what is wrong, changes
//! nothing, and shows what an old copy can and cannot do.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "aid/office.rs"]
mod office;

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use aid::{Aid, Ended, run, run_with, units};
use office::close_site;

/// Positions over a range: both ends, and some between.
fn sampled(range: Range<usize>, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| range.start + at * (range.len() - 1) / (count - 1))
}

/// A bit of each such byte is changed: none goes unnoticed, and nothing is written.
fn flipped(path: &Path, whole: &[u8], parts: &[(Range<usize>, &[&str])], open: impl Fn() -> Ended) {
    for (range, codes) in parts {
        for at in sampled(range.clone(), 11) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << (at % 7);
            fs::write(path, &bytes).unwrap();
            let (exit, code, _) = open().error();
            assert!(exit == 2 && codes.contains(&&*code), "byte {at} of {range:?}: {code}");
            assert!(fs::read(path).unwrap() == bytes, "byte {at}: it was written to");
        }
    }
}

/// Where the parts of a wallet's file are (wallet.md, 1).
fn parts(bytes: &[u8]) -> [Range<usize>; 4] {
    let identity = u32::from_le_bytes(bytes[15..19].try_into().unwrap()) as usize;
    [0..15, 15..27, 27..27 + identity, 27 + identity..bytes.len()]
}

#[test]
fn every_part_of_a_wallets_file_and_of_a_backup_is_guarded() {
    let aid = Aid::new(2);
    aid.make("wallet");
    aid.enrol("wallet", 1).json();
    aid.wallet("wallet", &["draw", "--site", "1"], "", None).json();
    let backup = aid.path("backup");
    aid.wallet("wallet", &["backup", backup.to_str().unwrap()], "", None).json();
    for name in ["wallet", "backup"] {
        let path = aid.path(name);
        let whole = fs::read(&path).unwrap();
        let open = || aid.wallet(name, &["show"], "", None);
        let before = open().json();
        let [first, lengths, identity, state] = parts(&whole);
        assert_eq!(state.end, whole.len());
        let damaged: &[&str] = &["file-damaged"];
        flipped(
            &path,
            &whole,
            &[
                (first, &["file-foreign", "file-newer"]),
                (lengths, &["file-damaged", "file-cut-off", "wrong-passphrase"]),
                (identity, &["file-damaged", "wrong-passphrase", "work-factor"]),
                (state, damaged),
            ],
            open,
        );
        for length in [0, 1, 7, 14, 15, 20, 26, 27, 100, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(open().error(), (2, "file-cut-off".into(), String::new()), "{length} bytes");
        }
        fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert_eq!(open().error().1, "file-damaged");
        // Two files' halves, each of which is whole.
        aid.make("other");
        let other = fs::read(aid.path("other")).unwrap();
        let [.., identity, _] = parts(&whole);
        let [.., others] = parts(&other);
        let joined = [&whole[..19], &other[19..27], &whole[identity], &other[others]].concat();
        fs::write(&path, joined).unwrap();
        assert_eq!(open().error().1, "file-damaged", "another file's state");
        fs::remove_file(aid.path("other")).unwrap();
        fs::write(&path, &whole).unwrap();
        assert_eq!(open().json(), before, "and is still what it was");
    }
}

/// A backup opens with the PIN of its day, whatever the PIN is now.
#[test]
fn a_backup_has_the_pin_of_its_day() {
    let aid = Aid::new(1);
    aid.make("wallet");
    aid.enrol("wallet", 0).json();
    let path = |name: &str| aid.path(name).to_str().unwrap().to_owned();
    aid.wallet("wallet", &["backup", &path("before")], "", None).json();
    let changed = ["--json", "--wallet", &path("wallet"), "pin", "--work-factor", "2"];
    assert_eq!(run_with(&changed, "", None, &[("ANNONA_NEW_PASSPHRASE", "135790")]).json()["changed"], true);
    let show = |name: &str, pin: &str| {
        run_with(&["--json", "--wallet", &path(name), "show"], "", None, &[("ANNONA_PASSPHRASE", pin)])
    };
    let wrong = (2, "wrong-passphrase".to_owned(), String::new());
    assert_eq!((show("before", "135790").error(), show("wallet", "246810").error()), (wrong.clone(), wrong));
    assert_eq!(show("before", "246810").json()["name"], show("wallet", "135790").json()["name"]);
}

/// A card's image: every byte is guarded, or is not used; a torn or changed one never gives other vouchers.
#[test]
fn a_cards_image_is_guarded() {
    let aid = Aid::new(2);
    aid.make("wallet");
    aid.enrol("wallet", 1).json();
    aid.wallet("wallet", &["draw", "--site", "1"], "", None).json();
    let card = aid.path("card.bin");
    let of_card = |command: &str, pin: &str| {
        let path = aid.path("wallet");
        let quick: &[&str] = if command == "write" { &["--work-factor", "2", "--site", "1"] } else { &[] };
        let arguments = ["--json", "--wallet", path.to_str().unwrap(), "card", command, card.to_str().unwrap()];
        run_with(&[&arguments, quick].concat(), "", None, &[("ANNONA_CARD_PIN", pin)])
    };
    assert_eq!(of_card("write", "2468").json()["vouchers"], 5);
    let whole = fs::read(&card).unwrap();
    let before = of_card("show", "2468").json();
    assert_eq!(before["held"], 5);
    for pin in ["2469", "24680", "1111"] {
        assert_eq!(of_card("show", pin).error(), (2, "card-pin".into(), String::new()));
        assert_eq!(of_card("read", pin).error().1, "card-pin");
    }
    let mut noticed = 0;
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // The heads and what stands behind them byte by byte, then samples.
    for at in (0..64).step_by(3).chain(sampled(0..used, 40)).chain(sampled(0..whole.len(), 20)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&card, &bytes).unwrap();
        let shown = of_card("show", "2468");
        if shown.code == Some(0) {
            assert_eq!(shown.json(), before, "byte {at}");
        } else {
            let (exit, code, _) = shown.error();
            assert!(exit == 2 && ["card-damaged", "card-pin"].contains(&&*code), "byte {at}: {code}");
            noticed += 1;
        }
    }
    assert!(noticed > 30, "{noticed}");
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&card, &whole[..length]).unwrap();
        assert_eq!(of_card("show", "2468").error(), (2, "card-damaged".into(), String::new()), "{length} bytes");
    }
    fs::write(&card, &whole).unwrap();
    assert_eq!(of_card("read", "2468").json()["vouchers"], 5);
}

/// What an old copy of a wallet without recovery words can do: redeem vouchers that it has and nobody redeemed. What it cannot: use
/// the credential that was spent since, redeem twice, swap what was swapped.
#[test]
fn an_old_copy_does_nothing_twice() {
    let aid = Aid::new(2);
    aid.make("wallet");
    aid.enrol("wallet", 1).json();
    let path = |name: &str| aid.path(name);
    fs::copy(path("wallet"), path("enrolled")).unwrap();
    aid.wallet("wallet", &["draw", "--site", "1"], "", None).json();
    fs::copy(path("wallet"), path("drawn")).unwrap();
    aid.wallet("wallet", &["swap", "--from", "1", "--to", "2", "--line", "food=2"], "", None).json();
    aid.wallet("wallet", &["swap", "--from", "2", "--to", "1"], "", None).json();

    // The credential of the first copy is spent: it draws nothing, also when it tries again.
    let spent = (1, "refused".to_owned(), "spent".to_owned());
    for _ in 0..2 {
        assert_eq!(aid.wallet("enrolled", &["draw", "--site", "1"], "", None).error(), spent);
    }
    let told = run(&["draw", "--wallet", path("enrolled").to_str().unwrap(), "--site", "1"], "", None);
    assert!(told.code == Some(1) && !told.err.is_empty(), "{told:?}");
    assert_eq!(aid.wallet("enrolled", &["restore"], "", None).error(), (2, "no-words".into(), String::new()));
    // What was swapped away is not swapped again; the rest of the copy's vouchers is.
    let swap = ["swap", "--from", "1", "--to", "3", "--line", "food=2"];
    assert_eq!(aid.wallet("drawn", &swap, "", None).error(), spent);

    let site = aid.open_site();
    let url = format!("http://{}", site.address);
    let redeem = |wallet: &str, part: &str| {
        aid.wallet(wallet, &["redeem", "--site", "1", "--site-url", &url, "--part", part], "", None)
    };
    // The old copy is first with the cash, the new one with the soap.
    assert_eq!(redeem("drawn", "cash=22").json()["visit"]["outcome"], "accepted");
    assert_eq!(redeem("wallet", "soap=2").json()["visit"]["outcome"], "accepted");
    let refused = |reason: &str| (1, "refused".to_owned(), reason.to_owned());
    assert_eq!(redeem("wallet", "cash=2").error(), refused("already-redeemed"));
    assert_eq!(redeem("drawn", "food=2").error(), refused("swapped"));
    // The very same vouchers bring their receipts again, and the counter sees that.
    assert_eq!(redeem("drawn", "soap=2").json()["visit"]["outcome"], "accepted-before");
    // What the site named stays behind, marked; the rest goes.
    let rest = aid.wallet("wallet", &["redeem", "--site", "1"], "", None).json();
    assert_eq!(units(&rest["visit"]["units"]), BTreeMap::from([(1, 2), (3, 1)]));
    let [handed, ..] = close_site(&site);
    assert_eq!(BTreeMap::from_iter(handed), BTreeMap::from([(1, 2), (2, 2), (3, 1), (4, 22)]));
}
