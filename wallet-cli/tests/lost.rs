//! Lost phones, printed sheets, cards and gifts, by the real program against a real issuer and site.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Instant};

use aid::{Aid, received, run, units};
use harness::{process::PATIENCE, running::Server};
use serde_json::Value;

/// What the household of the second ticket is due: two members, one of them under two.
fn due() -> BTreeMap<u64, u64> {
    BTreeMap::from([(1, 2), (2, 2), (3, 1), (4, 22)])
}

/// A wallet with words that has drawn everything for the first site; the words.
fn drawn(aid: &Aid, wallet: &str) -> String {
    let path = aid.path(wallet);
    let made = run(&["--json", "new", "--words", "--work-factor", "2", path.to_str().unwrap()], "", None).json();
    let words: Vec<&str> = made["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words.len(), 24);
    aid.enrol(wallet, 1).json();
    assert_eq!(aid.wallet(wallet, &["draw", "--site", "1"], "", None).json()["drawn"], 5);
    words.join(" ")
}

/// Restores on another machine, from what stands on paper.
fn restore(aid: &Aid, wallet: &str, paper: &str, more: &[&str]) -> Value {
    let path = aid.path(wallet);
    let restore = ["--json", "restore", "--work-factor", "2", path.to_str().unwrap()];
    run(&[&restore, more].concat(), paper, None).json()
}

fn url(site: &Server) -> String {
    format!("http://{}", site.address)
}

fn redeem(aid: &Aid, wallet: &str, site: &Server, more: &[&str]) -> Value {
    let url = url(site);
    let command = [&["redeem", "--site", "1", "--site-url", &url], more].concat();
    aid.wallet(wallet, &command, "", None).json()["visit"].clone()
}

/// A whole life: enrol, draw, redeem a part, lose the phone, take everything back from the words on another machine, redeem the
/// rest. What was redeemed comes back too, and the site tells.
#[test]
fn a_lost_phone_is_restored_from_its_words_and_redeems_the_rest() {
    let aid = Aid::new(2);
    let words = drawn(&aid, "lost");
    assert_eq!(aid.wallet("lost", &["words"], "", None).json()["words"].as_array().unwrap().len(), 24);
    let envelope = aid.wallet("lost", &["words", "--envelope"], "", None).json()["envelope"].clone();
    let site = aid.open_site();
    assert_eq!(units(&redeem(&aid, "lost", &site, &["--part", "food=2", "--part", "cash=2"])["units"])[&1], 2);
    let before = received(&aid, "lost");
    fs::remove_file(aid.path("lost")).unwrap();

    let (id, issuer) = (hex::encode(aid.prepared.id.0), format!("http://{}", aid.issuer.address));
    let found = restore(&aid, "found", &words, &["--programme", &id, "--issuer", &issuer]);
    assert_eq!((&found["messages"], &found["credential"], &found["vouchers"]), (&3.into(), &true.into(), &5.into()));
    assert_eq!(aid.wallet("found", &["draw", "--site", "1"], "", None).json()["drawn"], 0);
    let rest = units(&redeem(&aid, "found", &site, &[])["units"]);
    let mut all = before;
    rest.into_iter().for_each(|(line, units)| *all.entry(line).or_default() += units);
    assert_eq!(all, due());

    // The envelope's square code needs nothing else; and words of nobody find nothing.
    let again = restore(&aid, "again", envelope.as_str().unwrap(), &[]);
    assert_eq!(again["messages"], 3);
    let nobody = "abandon ".repeat(23) + "art";
    let none = restore(&aid, "none", &nobody, &["--programme", &id, "--issuer", &issuer]);
    assert_eq!((&none["messages"], &none["credential"]), (&0.into(), &false.into()));
    let path = aid.path("wrong");
    let wrong = |words: &str| {
        let ended = run(&["--json", "restore", path.to_str().unwrap()], words, None);
        let error = ended.error();
        assert!(!path.exists() && !ended.err.contains("abandon") && !ended.out.contains("abandon"));
        error.1
    };
    assert_eq!(wrong(&"abandon ".repeat(24)), "words-together");
    assert_eq!(wrong(&"abandon ".repeat(23)), "words-count");
    assert_eq!(wrong(&("annona ".to_owned() + &"abandon ".repeat(23))), "words-unknown");
    assert_eq!(wrong(&words), "words-alone");
}

/// A backup goes on only after it asked what the wallet did since.
#[test]
fn a_backup_asks_first() {
    let aid = Aid::new(2);
    let path = aid.path("wallet");
    run(&["new", "--words", "--work-factor", "2", path.to_str().unwrap()], "", None);
    aid.enrol("wallet", 1).json();
    let copy = aid.path("copy");
    aid.wallet("wallet", &["backup", copy.to_str().unwrap()], "", None).json();
    assert_eq!(aid.wallet("wallet", &["draw", "--site", "1"], "", None).json()["drawn"], 5);
    assert_eq!(aid.wallet("copy", &["draw", "--site", "1"], "", None).error(), (2, "copied".into(), String::new()));
    aid.issuer.supervise("/operator/close-batch", &[], b"");
    let restored = aid.wallet("copy", &["restore"], "", None).json();
    assert_eq!((&restored["credential"], &restored["vouchers"]), (&true.into(), &5.into()));
    assert_eq!(aid.wallet("copy", &["draw", "--site", "1"], "", None).json()["drawn"], 0);
}

/// Receipts are proven by the site's public log and can be erased then; a restored wallet drops what the log shows as redeemed; a
/// log that was tampered with is noticed.
#[test]
fn a_check_reads_the_public_logs() {
    let aid = Aid::new(2);
    let words = drawn(&aid, "wallet");
    let site = aid.open_site();
    let url = url(&site);
    aid.wallet("wallet", &["site", "add", "1", &url], "", None).json();
    // The servers publish once their witness has cosigned.
    let deadline = Instant::now() + PATIENCE;
    let before = loop {
        let before = aid.wallet("wallet", &["check"], "", None).json();
        if before["crowds"][0]["crowd"] == 1 || Instant::now() > deadline {
            break before;
        }
    };
    assert_eq!((&before["witnesses"], &before["crowds"][0]["crowd"]), (&1.into(), &1.into()));
    redeem(&aid, "wallet", &site, &["--part", "food=2"]);
    let waiting = aid.wallet("wallet", &["receipts", "verify"], "", None).json();
    let checked = aid.wallet("wallet", &["check"], "", None).json();
    assert!(waiting.as_object().unwrap().keys().eq(checked.as_object().unwrap().keys()));
    assert_eq!(waiting["sites"], checked["sites"]);
    assert_eq!((&waiting["sites"][0]["included"], &waiting["broken"]), (&0.into(), &0.into()));
    site.supervise("/operator/close-batch?insist=true", &[], b"");
    let deadline = Instant::now() + PATIENCE;
    let kept = loop {
        let kept = aid.wallet("wallet", &["check", "--erase"], "", None).json();
        if kept["sites"][0]["included"] == 1 || Instant::now() > deadline {
            break kept;
        }
    };
    assert_eq!((&kept["sites"][0]["included"], &kept["erased"]), (&1.into(), &1.into()), "{kept}");
    assert_eq!(received(&aid, "wallet"), BTreeMap::new());

    let (id, issuer) = (hex::encode(aid.prepared.id.0), format!("http://{}", aid.issuer.address));
    restore(&aid, "found", &words, &["--programme", &id, "--issuer", &issuer]);
    aid.wallet("found", &["site", "add", "1", &url], "", None).json();
    let dropped = aid.wallet("found", &["check"], "", None).json();
    assert_eq!((&dropped["dropped"], &dropped["broken"]), (&1.into(), &0.into()));
    assert_eq!(units(&redeem(&aid, "found", &site, &[])["units"]), BTreeMap::from([(2, 2), (3, 1), (4, 22)]));

    // A folder in the place of the site: whole, and then with one byte changed.
    let folder = aid.path("published");
    let log = folder.join("logs/site-1");
    let published = aid.prepared.sites[0].path().join("published");
    harness::copy(&published, &log);
    let from = ["check", "--published", folder.to_str().unwrap()];
    assert_eq!(aid.wallet("found", &from, "", None).json()["broken"], 0);
    let entries = log.join("tile/entries");
    let bundle = fs::read_dir(&entries).unwrap().next().unwrap().unwrap().path();
    let bundle = if bundle.is_dir() { fs::read_dir(bundle).unwrap().next().unwrap().unwrap().path() } else { bundle };
    let mut bytes = fs::read(&bundle).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let tampered = aid.wallet("found", &from, "", None).json();
    assert_eq!(tampered["sites"][0]["log"], Value::Null, "{tampered}");
}

// --- Paper --------------------------------------------------------------------------------------------------------------

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What programs that are not ours read from a PDF's rendered pages.
fn scanned(pdf: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("page");
    tool("pdftoppm", &["-r", "150", "-gray", "-png", pdf.to_str().unwrap(), prefix.to_str().unwrap()]);
    let mut codes = Vec::new();
    for page in fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let options = ["--quiet", "--raw", "--nodbus", "-Sdisable", "-Sqrcode.enable", page.to_str().unwrap()];
        codes.extend(tool("zbarimg", &options).lines().map(str::to_owned));
    }
    codes
}

/// A sheet is printed, read back, and redeemed by who holds the paper; torn sheets come again, the same to the byte; of a split
/// sheet neither part is of use alone.
#[test]
fn a_printed_sheet_is_redeemed_from_its_paper() {
    for split in [false, true] {
        let aid = Aid::new(2);
        drawn(&aid, "kiosk");
        let (sheet, again, key) = (aid.path("sheet.pdf"), aid.path("again.pdf"), aid.path("key.pdf"));
        let more: &[&str] = if split { &["--split", key.to_str().unwrap()] } else { &[] };
        let printed = aid.wallet("kiosk", &[&["print", sheet.to_str().unwrap()], more].concat(), "", None).json();
        assert_eq!((&printed["number"], &printed["vouchers"]), (&1.into(), &5.into()));
        assert_eq!(aid.wallet("kiosk", &["print", again.to_str().unwrap()], "", None).error().1, "voucher-not-free");
        fs::rename(&key, aid.path("key-1.pdf")).ok();
        let repeat = [&["print", again.to_str().unwrap(), "--again", "1"], more].concat();
        aid.wallet("kiosk", &repeat, "", None).json();
        assert_eq!(fs::read(&sheet).unwrap(), fs::read(&again).unwrap());

        let mut codes = scanned(&sheet);
        assert_eq!(codes.len(), 5);
        let taker = |wallet: &str, codes: &[String]| {
            aid.make(wallet);
            aid.enrol(wallet, 0);
            aid.wallet(wallet, &["take"], &codes.join("\n"), None)
        };
        let some = aid.wallet("kiosk", &["read-back", "1"], &codes[1..].join("\n"), None);
        assert_eq!(some.code, Some(1), "nothing is erased before all was read");
        if split {
            assert_eq!(taker("thief", &codes).error().1, "key-slips");
            codes.extend(scanned(&key));
            assert_eq!(codes.len(), 6);
        }
        let all = aid.wallet("kiosk", &["read-back", "1"], &codes.join("\n"), None).json();
        assert_eq!((&all["missing"], &all["foreign"]), (&0.into(), &0.into()));
        assert_eq!(aid.wallet("kiosk", &["unpack", "1"], "", None).error().1, "no-parcel", "nothing is kept");

        let other = if split { "thief" } else { "counter" };
        let taken = if split { aid.wallet(other, &["take"], &codes.join("\n"), None) } else { taker(other, &codes) };
        assert_eq!(taken.json()["taken"], 5);
        let site = aid.open_site();
        let visit = redeem(&aid, other, &site, &[]);
        assert_eq!((&visit["outcome"], units(&visit["units"])), (&"accepted".into(), due()));
    }
}

/// Killed at every save, before, while and after it prints and reads back: the vouchers are in the wallet, packed, or on the
/// paper that was read; never nowhere.
#[test]
fn a_kiosk_killed_at_any_save_loses_no_voucher() {
    let aid = Aid::new(2);
    drawn(&aid, "whole");
    aid.make("empty");
    aid.enrol("empty", 0).json();
    for (point, n) in
        ["vault-save", "vault-rename", "vault-saved"].into_iter().flat_map(|point| [(point, 1), (point, 2)])
    {
        let (fault, kiosk, taker) = (format!("{point}:{n}"), format!("{point}-{n}"), format!("taker-{point}-{n}"));
        fs::copy(aid.path("whole"), aid.path(&kiosk)).unwrap();
        let sheet = aid.path(&format!("{kiosk}.pdf"));
        let print = ["print", sheet.to_str().unwrap()];
        aid.wallet(&kiosk, &print, "", Some(&fault));
        // Packed or not, nothing is printed before it is: the same command, or the sheet again.
        if !sheet.exists() && aid.wallet(&kiosk, &print, "", None).code != Some(0) {
            aid.wallet(&kiosk, &[&print[..], &["--again", "1"]].concat(), "", None).json();
        }
        let codes = scanned(&sheet).join("\n");
        if aid.wallet(&kiosk, &["read-back", "1"], &codes, Some(&fault)).code.is_none() {
            let again = aid.wallet(&kiosk, &["read-back", "1"], &codes, None);
            assert!(again.code == Some(0) || again.error().1 == "no-parcel", "{again:?}");
        }
        assert_eq!(aid.wallet(&kiosk, &["show"], "", None).json()["collect"], Value::Array(Vec::new()), "{fault}");
        // Any wallet of the programme takes them: the household's own, restored, too.
        fs::copy(aid.path("empty"), aid.path(&taker)).unwrap();
        assert_eq!(aid.wallet(&taker, &["take"], &codes, None).json()["taken"], 5, "{fault}");
    }
}

// --- Cards and gifts ----------------------------------------------------------------------------------------------------

#[test]
fn a_card_carries_vouchers_to_a_counter() {
    let aid = Aid::new(2);
    drawn(&aid, "kiosk");
    aid.make("counter");
    aid.enrol("counter", 0).json();
    let card = aid.path("card.bin");
    let with_pin = |wallet: &str, command: &str, pin: &str| {
        let path = aid.path(wallet);
        let quick: &[&str] = if command == "write" { &["--work-factor", "2", "--site", "1"] } else { &[] };
        let arguments = ["--json", "--wallet", path.to_str().unwrap(), "card", command, card.to_str().unwrap()];
        aid::run_with(&[&arguments, quick].concat(), "", None, &[("ANNONA_CARD_PIN", pin)])
    };
    assert_eq!(with_pin("kiosk", "write", "123").error().1, "card-short-pin");
    assert_eq!(with_pin("kiosk", "write", "2468").json()["vouchers"], 5);
    assert_eq!(fs::metadata(&card).unwrap().len(), 8192);
    let image = fs::read(&card).unwrap();
    assert_eq!(with_pin("counter", "read", "2469").error().1, "card-pin");
    assert_eq!(with_pin("counter", "show", "2468").json()["held"], 5);
    assert_eq!(with_pin("counter", "read", "2468").json()["vouchers"], 5);
    let shown = with_pin("counter", "show", "2468").json();
    assert_eq!((&shown["held"], &shown["handed_out"]), (&0.into(), &5.into()));
    let site = aid.open_site();
    assert_eq!(units(&redeem(&aid, "counter", &site, &[])["units"]), due());

    // An old copy of the card still opens: the site knows better.
    fs::write(&card, &image).unwrap();
    aid.make("late");
    aid.enrol("late", 0);
    let path = aid.path("counter");
    let stale = ["--json", "--wallet", path.to_str().unwrap(), "card", "read", card.to_str().unwrap()];
    let old = aid::run_with(&stale, "", None, &[("ANNONA_CARD_PIN", "2468")]).json();
    assert_eq!(old["vouchers"], 5);
    let visit = aid.wallet("counter", &["redeem", "--site", "1"], "", None);
    assert!(visit.code == Some(1) || units(&visit.json()["visit"]["units"]) == due(), "{visit:?}");
    for (bytes, code) in [(&image[1..], "card-damaged"), (&[0; 8192][..], "card-damaged")] {
        fs::write(&card, bytes).unwrap();
        assert_eq!(with_pin("counter", "show", "2468").error().1, code);
    }
}

/// A proxy collects: the giver's wallet erases what it gave, and takes back what nobody took.
#[test]
fn a_proxy_takes_what_it_is_given_and_collects() {
    let aid = Aid::new(2);
    drawn(&aid, "giver");
    aid.make("proxy");
    aid.enrol("proxy", 0).json();
    let gift = aid.wallet("giver", &["give", "--part", "food=2", "--part", "cash=2"], "", None).json();
    let codes: Vec<&str> = gift["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(aid.wallet("proxy", &["take"], &codes.join("\n"), None).json()["taken"], codes.len());
    assert_eq!(aid.wallet("proxy", &["take"], &codes.join("\n"), None).json()["held_before"], codes.len());
    let mut bent = codes[0].to_owned();
    let last = if bent.pop() == Some('0') { '1' } else { '0' };
    bent.push(last);
    let error = aid.wallet("proxy", &["take"], &bent, None).error().1;
    assert!(["code-damaged", "code-invalid"].contains(&&*error), "{error}");
    assert_eq!(aid.wallet("giver", &["give", "--done", "1"], "", None).json()["erased"], codes.len());
    let back = aid.wallet("giver", &["give"], "", None).json()["number"].as_u64().unwrap();
    assert!(aid.wallet("giver", &["unpack", &back.to_string()], "", None).json()["vouchers"].as_u64().unwrap() > 0);

    let site = aid.open_site();
    let given = units(&redeem(&aid, "proxy", &site, &[])["units"]);
    assert_eq!(given, BTreeMap::from([(1, 2), (4, 2)]));
    assert!(aid.wallet("proxy", &["received"], "", None).json()["vouchers"].as_u64().unwrap() > 0);
    assert_eq!(aid.wallet("proxy", &["received"], "", None).error(), (1, "no-visit".into(), String::new()));
    let rest = units(&redeem(&aid, "giver", &site, &[])["units"]);
    assert_eq!((rest[&4], rest.get(&1)), (20, None));
}
