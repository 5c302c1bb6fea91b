//! A kiosk that is killed while it prints: by the system, before every call that writes, names or removes a file, or says something.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and tells how far it is")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;

use std::{collections::BTreeMap, fs, process::Command};

use aid::{Aid, PIN, units};

/// Everything that changes a disk or says something.
const CALLS: [&str; 8] = ["write", "fsync", "rename", "renameat2", "link", "linkat", "unlink", "unlinkat"];

/// Runs the program and kills it before the n-th such call of a thread. Whether it was killed.
fn killed(aid: &Aid, wallet: &str, arguments: &[&str], call: &str, n: usize) -> bool {
    let mut command = Command::new("strace");
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    command.arg(env!("CARGO_BIN_EXE_annona-wallet")).args(["--json", "--wallet"]).arg(aid.path(wallet)).args(arguments);
    command.env("ANNONA_PASSPHRASE", PIN).env("LC_ALL", "C").env_remove("ANNONA_FAULT");
    let output = command.output().unwrap_or_else(|error| panic!("strace: {error}"));
    // It ends as its program did: the same signal, or the same status.
    match output.status.code() {
        None => true,
        code => {
            assert_eq!(code, Some(0), "{call} {n}: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
    }
}

/// Whole or split: the PDF is there whole or not at all, and every voucher is in the wallet, free or packed, once; the same command,
/// or the sheet again, comes to the end that it would have had.
#[test]
fn a_kiosk_killed_before_any_write_prints_whole_sheets_and_loses_no_voucher() {
    let aid = Aid::new(2);
    aid.make("whole");
    aid.enrol("whole", 1).json();
    assert_eq!(aid.wallet("whole", &["draw", "--site", "1"], "", None).json()["drawn"], 5);
    let due = BTreeMap::from([(1, 2), (2, 2), (3, 1), (4, 22)]);
    let mut kills: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for split in [false, true] {
        for call in CALLS {
            for n in 1.. {
                let kiosk = format!("{call}-{n}-{split}");
                fs::copy(aid.path("whole"), aid.path(&kiosk)).unwrap();
                let [sheet, key] = ["sheet", "key"].map(|name| aid.path(&format!("{kiosk}-{name}.pdf")));
                let mut print = vec!["print", sheet.to_str().unwrap()];
                if split {
                    print.extend(["--split", key.to_str().unwrap()]);
                }
                if !killed(&aid, &kiosk, &print, call, n) {
                    break;
                }
                *kills.entry((call, split)).or_default() += 1;
                let files = [&sheet, &key].map(|file| fs::read(file).ok());
                let shown = aid.wallet(&kiosk, &["show"], "", None).json();
                let packed = shown["packed"].as_array().unwrap().len();
                let free = shown["collect"].as_array().unwrap().first().map(|place| units(&place["units"]));
                // Nothing is on paper that is free in the wallet.
                assert_eq!(free, (packed == 0).then(|| due.clone()), "{kiosk}");
                assert!(packed == 1 || files.iter().all(Option::is_none), "{kiosk}");
                // Again, beside what may be there: the same to the byte.
                let [again, key] = ["again", "again-key"].map(|name| aid.path(&format!("{kiosk}-{name}.pdf")));
                let mut repeat = vec!["print", again.to_str().unwrap()];
                if split {
                    repeat.extend(["--split", key.to_str().unwrap()]);
                }
                if packed == 1 {
                    repeat.extend(["--again", "1"]);
                }
                assert_eq!(aid.wallet(&kiosk, &repeat, "", None).json()["vouchers"], 5, "{kiosk}");
                for (before, after) in files.iter().zip([&again, &key]) {
                    if let Some(before) = before {
                        assert!(*before == fs::read(after).unwrap(), "{kiosk}: half a sheet");
                    }
                }
                assert_eq!(aid.wallet(&kiosk, &["unpack", "1"], "", None).json()["vouchers"], 5, "{kiosk}");
                let shown = aid.wallet(&kiosk, &["show"], "", None).json();
                assert_eq!(units(&shown["collect"][0]["units"]), due, "{kiosk}");
            }
        }
    }
    eprintln!("killed: {kills:?}");
    for split in [false, true] {
        for call in ["write", "fsync"] {
            assert!(kills.get(&(call, split)).is_some_and(|times| *times > 3), "{call}, split: {split}: {kills:?}");
        }
        let named: usize =
            ["rename", "renameat2", "link", "linkat"].iter().filter_map(|it| kills.get(&(*it, split))).sum();
        assert!(named > 1, "{kills:?}");
    }
}
