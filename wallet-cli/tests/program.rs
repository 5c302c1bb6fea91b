//! The real program against a real issuer and site: a household's round, hostile tickets, and a phone that is switched off at every
//! moment.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "../../transport/tests/watched/mod.rs"]
mod watched;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use aid::{Aid, Ended, PIN, received, run, units};
use annona_protocol::{programme::TicketKind, slip::Receipt, wire::Message as _};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use harness::{Plan, http, prepare};
use serde_json::Value;

#[test]
fn a_household_enrols_draws_and_visits_twice() {
    let aid = Aid::new(2);
    aid.make("wallet");
    let wallet = |arguments: &[&str]| aid.wallet("wallet", arguments, "", None);
    assert_eq!(wallet(&["show"]).json()["programme"], Value::Null);
    assert_eq!(wallet(&["draw"]).error(), (2, "not-enrolled".into(), String::new()));

    assert_eq!(aid.enrol("wallet", 1).json()["name"], "Food and cash");
    assert_eq!(aid.enrol("wallet", 0).error().1, "already-enrolled");
    // Two members, one of them under two.
    let due = BTreeMap::from([(1, 2), (2, 2), (3, 1), (4, 22)]);
    assert_eq!(units(&wallet(&["show"]).json()["draw"]), due);
    assert_eq!(wallet(&["draw"]).error().1, "which-site");
    assert_eq!(wallet(&["draw", "--site", "nowhere"]).error().1, "unknown-site");
    assert_eq!(wallet(&["draw", "--site", "1", "--line", "food=3"]).error().1, "uncovered");
    let drawn = wallet(&["draw", "--site", "North-Gate", "--line", "food=2", "--line", "cash=7"]).json();
    assert_eq!((drawn["site"].as_u64(), drawn["drawn"].as_u64()), (Some(1), Some(3)));
    // The phone is switched off before the answer is kept: the same draw goes on, and is not made twice.
    let draw = ["draw", "--line", "cash=5"];
    let saves = (1..).find(|save| {
        let fault = format!("vault-rename:{save}");
        aid.wallet("wallet", &draw, "", Some(&fault)).code.is_some()
    });
    assert!(saves > Some(3));
    // The site is remembered; the rest comes, and then nothing.
    let rest = wallet(&["show"]).json();
    assert_eq!(units(&rest["draw"]), BTreeMap::from([(2, 2), (3, 1), (4, 10)]));
    assert_eq!(wallet(&["draw"]).json()["drawn"], 3);
    assert_eq!(wallet(&["draw"]).json()["drawn"], 0);
    let shown = wallet(&["show"]).json();
    assert_eq!((units(&shown["draw"]), units(&shown["collect"][0]["units"])), (BTreeMap::new(), due.clone()));
    assert_eq!((&shown["unfinished"], &shown["alike"]), (&Value::Array(Vec::new()), &Value::Null));

    // Fresh ones in the place of some; there and back again.
    assert_eq!(wallet(&["swap", "--line", "food=1"]).error().1, "no-change");
    assert_eq!(wallet(&["swap", "--line", "food=2"]).json()["swapped"], 1);
    assert_eq!(wallet(&["swap", "--to", "2"]).json()["swapped"], 7);
    assert_eq!(wallet(&["swap", "--to", "1"]).json()["from"], 2);
    assert_eq!(units(&wallet(&["show"]).json()["collect"][0]["units"]), due);
    let site = aid.open_site();
    let url = format!("http://{}", site.address);
    assert_eq!(wallet(&["redeem"]).error().1, "no-address");
    assert_eq!(wallet(&["redeem", "--site", "1", "--site-url", "not an address"]).error().1, "address");
    assert_eq!(wallet(&["redeem", "--site", "1", "--site-url", &url, "--part", "cash=4"]).error().1, "no-change");
    let part = wallet(&["redeem", "--site", "1", "--site-url", &url, "--part", "food=2", "--part", "cash=7"]).json();
    assert_eq!(part["visit"]["outcome"], "accepted");
    assert_eq!(units(&part["visit"]["units"]), BTreeMap::from([(1, 2), (4, 7)]));
    assert_eq!(part["visit"]["code"].as_str().unwrap().len(), 64);
    let rest = wallet(&["redeem"]).json();
    assert_eq!(units(&rest["visit"]["units"]), BTreeMap::from([(2, 2), (3, 1), (4, 15)]));
    assert_eq!(wallet(&["redeem"]).error(), (1, "nothing-to-redeem".into(), String::new()));
    assert_eq!(received(&aid, "wallet"), due);
    assert_eq!(wallet(&["collect"]).error().1, "nothing-owed");
    assert_eq!(wallet(&["site", "list"]).json()["sites"][0]["url"], url);

    assert_eq!(wallet(&["receipts", "--round", "2", "--erase"]).json()["erased"], 0);
    let file = aid.path("receipts.json");
    let export = ["receipts", "--export", file.to_str().unwrap()];
    assert_eq!(wallet(&export).json()["exported"], 7);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let exported: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(exported["format"], "annona-receipts-1");
    assert_eq!(exported["programme"], hex::encode(aid.prepared.id.0));
    for slip in exported["slips"].as_array().unwrap() {
        let receipt = Receipt::decode(&BASE64.decode(slip.as_str().unwrap()).unwrap()).unwrap();
        assert_eq!((receipt.content.place.site.0, receipt.content.place.round.0), (1, 1));
    }
    // What is there is not overwritten, and no empty file is written.
    assert_eq!(wallet(&export).error().1, "file-exists");
    let none = aid.path("none.json");
    assert_eq!(wallet(&["receipts", "--round", "2", "--export", none.to_str().unwrap()]).json()["exported"], 0);
    assert!(!none.exists());
    let erased = wallet(&["receipts", "--erase"]).json()["erased"].as_u64().unwrap();
    assert_eq!(erased, 7);
    assert_eq!(received(&aid, "wallet"), BTreeMap::new());
}

#[test]
fn wrong_tickets_are_refused_with_what_to_do() {
    let aid = Aid::new(1);
    aid.make("wallet");
    let enrol =
        |arguments: &[&str], text: &str| aid.wallet("wallet", &[&["enrol"], arguments].concat(), text, None).error();
    let good = aid.slip(0, TicketKind::Enrol);
    let code = |error: (i32, String, String)| error.1;
    assert_eq!(enrol(&[], ""), (2, "ticket-code-length".into(), String::new()));
    assert_eq!(code(enrol(&[], "9X4C-0TQA-3ZK7-VE2M-8")), "ticket-code-check");
    assert_eq!(code(enrol(&[], "9X4C-0TQA-3ZK7-VE2M-7")), "ticket-alone");
    assert_eq!(code(enrol(&[], &good[..30])), "ticket-slip-damaged");
    assert_eq!(code(enrol(&[], "ANNONA9/E/later")), "ticket-slip-version");
    assert_eq!(code(enrol(&[], &aid.slip(0, TicketKind::Amend))), "ticket-amends");
    let (bare, _) = good.rsplit_once("/HTTP").unwrap();
    assert_eq!(code(enrol(&[], bare)), "ticket-without-server");
    // Nobody is there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(enrol(&["--issuer", &format!("http://{nobody}")], bare), (75, "unreached".into(), String::new()));
    // Another programme's issuer.
    let programme = hex::encode([7; 32]);
    let here = format!("http://{}", aid.issuer.address);
    let foreign = enrol(&["--programme", &programme, "--issuer", &here], "9X4C-0TQA-3ZK7-VE2M-7");
    assert_eq!(code(foreign), "no-way");
    // A good code of nobody's ticket: the issuer's word, which stands.
    let programme = hex::encode(aid.prepared.id.0);
    let unknown = enrol(&["--programme", &programme, "--issuer", &here], "9X4C-0TQA-3ZK7-VE2M-7");
    assert_eq!(unknown, (1, "refused".into(), "ticket-unknown".into()));
    let told = run(&["enrol", "--wallet", aid.path("wallet").to_str().unwrap()], "9X4C-0TQA-3ZK7-VE2M-7", None);
    assert!(told.err.contains("does not know this ticket"), "{told:?}");
    // The right one is still welcome, and typed.
    let typed = aid.prepared.codes[0].to_print();
    assert_eq!(aid.wallet("wallet", &["enrol"], &typed, None).json()["agency"], "Example Relief");
    // A second wallet with the same ticket.
    aid.make("second");
    assert_eq!(aid.enrol("second", 0).error(), (1, "refused".into(), "ticket-used".into()));
    let amend = aid.wallet("wallet", &["amend"], &good, None).error();
    assert_eq!(amend.1, "ticket-enrols");
}

/// The points of a save at which power may fail: before the new state has the file's name, and after.
const POINTS: [&str; 2] = ["vault-rename", "vault-saved"];

/// Runs a command of a fresh copy of a wallet with the power failing at every save in turn, once before and once after the new
/// state is in place, until a run comes through. After each failure `resume`, and the command again.
fn killed_everywhere(
    aid: &Aid,
    stage: &str,
    from: impl Fn(usize) -> String,
    command: impl Fn(&str, usize, Option<&str>) -> Ended,
) -> Vec<String> {
    let mut wallets = Vec::new();
    for point in POINTS {
        let mut save = 1;
        loop {
            let at = wallets.len();
            let wallet = format!("{stage}-{at}");
            fs::copy(aid.path(&from(at)), aid.path(&wallet)).unwrap();
            let ended = command(&wallet, at, Some(&format!("{point}:{save}")));
            let killed = ended.code.is_none();
            if killed {
                if save % 2 == 0 {
                    aid.wallet(&wallet, &["resume"], "", None);
                }
                let again = command(&wallet, at, None);
                let done = again.code == Some(0)
                    || ["already-enrolled", "nothing-to-redeem"].contains(&again.error().1.as_str());
                assert!(done, "{stage}, {point}:{save}: {again:?}");
            } else {
                assert_eq!(ended.code, Some(0), "{stage}, {point}:{save}: {ended:?}");
            }
            wallets.push(wallet);
            if !killed {
                break;
            }
            save += 1;
        }
        assert!(save > 2, "{stage}, {point}: nothing was saved");
    }
    wallets
}

/// Each wallet gets in the end what it was due at first, once.
#[test]
fn a_phone_that_is_switched_off_at_any_save_loses_and_doubles_nothing() {
    let aid = Aid::new(48);
    aid.make("new");
    let enrolled = killed_everywhere(
        &aid,
        "enrolled",
        |_| "new".into(),
        |wallet, at, fault| aid.wallet(wallet, &["enrol"], &aid.slip(at, TicketKind::Enrol), fault),
    );
    // More wallets for the second part, each with a ticket of its own: a copied credential would be spent by its twin.
    let fresh = |at: usize| {
        let name = format!("fresh-{at}");
        aid.make(&name);
        assert_eq!(aid.enrol(&name, enrolled.len() + at).code, Some(0));
        name
    };
    let due = |wallet: &str| units(&aid.wallet(wallet, &["show"], "", None).json()["draw"]);
    let mut expected: BTreeMap<String, BTreeMap<u64, u64>> =
        enrolled.iter().map(|wallet| (wallet.clone(), due(wallet))).collect();
    let draw = ["draw", "--site", "1"];
    let drawn = killed_everywhere(&aid, "drawn", fresh, |wallet, _, fault| aid.wallet(wallet, &draw, "", fault));
    for wallet in &enrolled {
        assert!(aid.wallet(wallet, &draw, "", None).json()["drawn"].as_u64().unwrap() > 0);
    }
    for (at, wallet) in drawn.iter().enumerate() {
        expected.insert(wallet.clone(), due(&format!("fresh-{at}")));
    }
    let all: Vec<String> = expected.keys().cloned().collect();
    let site = aid.open_site();
    let url = format!("http://{}", site.address);
    let redeem = ["redeem", "--site", "1", "--site-url", url.as_str()];
    let redeemed = killed_everywhere(
        &aid,
        "redeemed",
        |at| all[at].clone(),
        |wallet, _, fault| aid.wallet(wallet, &redeem, "", fault),
    );
    for (at, wallet) in all.iter().enumerate() {
        let last = redeemed.get(at).unwrap_or(wallet);
        if last == wallet {
            assert_eq!(aid.wallet(wallet, &redeem, "", None).code, Some(0));
        }
        assert!(!expected[wallet].is_empty());
        assert_eq!(received(&aid, last), expected[wallet], "{wallet}");
    }
}

/// With TLS: the ticket's square code is all that the wallet knows of the issuer at first.
#[test]
fn a_ticket_leads_to_the_issuers_key() {
    let prepared = prepare(Plan { tickets: 1, rounds: 1, advance: 0 });
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |config| config.listen.tls = true);
    let origin = issuer.node.as_ref().unwrap().server().origin();
    assert!(origin.starts_with("https://"));
    let aid = Aid { prepared, witness, issuer, folder: tempfile::tempdir().unwrap() };
    aid.make("wallet");
    let slip = aid.slip(0, TicketKind::Enrol);
    let (bare, _) = slip.rsplit_once("/HTTP").unwrap();
    let enrolled = aid.wallet("wallet", &["enrol"], &format!("{bare}/{}", origin.to_ascii_uppercase()), None);
    assert_eq!(enrolled.json()["name"], "Food and cash");
    assert!(aid.wallet("wallet", &["draw", "--site", "1"], "", None).json()["drawn"].as_u64().unwrap() > 0);
}

/// Two draws of one wallet through a proxy such as Tor's.
#[test]
fn a_proxy_sees_nothing_that_two_draws_share() {
    let prepared = prepare(Plan { tickets: 2, rounds: 1, advance: 0 });
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |config| config.listen.tls = true);
    let origin = issuer.node.as_ref().unwrap().server().origin();
    let proxy = watched::Proxy::new(issuer.address);
    let aid = Aid { prepared, witness, issuer, folder: tempfile::tempdir().unwrap() };
    let path = aid.path("wallet");
    let address = proxy.address().to_string();
    let made = run(&["new", "--work-factor", "2", "--proxy", &address, path.to_str().unwrap()], "", None);
    assert_eq!(made.code, Some(0), "{made:?}");
    let slip = aid.slip(1, TicketKind::Enrol);
    let (bare, _) = slip.rsplit_once("/HTTP").unwrap();
    let slip = format!("{bare}/{}", origin.to_ascii_uppercase());
    assert_eq!(aid.wallet("wallet", &["enrol"], &slip, None).json()["name"], "Food and cash");
    for line in ["food=1", "cash=5"] {
        assert_eq!(aid.wallet("wallet", &["draw", "--site", "1", "--line", line], "", None).json()["drawn"], 1);
    }
    let seen = proxy.finish();
    // Announcement twice and the ticket; announcement, roll-over, session, draw; announcement, session, draw.
    assert_eq!(seen.len(), 10);
    watched::assert_nothing_shared(&seen);
}

#[test]
fn what_was_missing_is_collected_later() {
    let aid = Aid::new(2);
    aid.make("wallet");
    aid.enrol("wallet", 1).json();
    let due = units(&aid.wallet("wallet", &["show"], "", None).json()["draw"]);
    aid.wallet("wallet", &["draw", "--site", "1"], "", None).json();
    let site = aid.open_site_with(br#"{"1":1,"2":100,"3":100,"4":5}"#);
    let url = format!("http://{}", site.address);
    let visit = aid.wallet("wallet", &["redeem", "--site", "1", "--site-url", &url], "", None).json()["visit"].clone();
    let owed = units(&visit["owed"]);
    assert_eq!(owed.keys().collect::<Vec<_>>(), [&1, &4]);
    let mut all = units(&visit["units"]);
    owed.iter().for_each(|(line, units)| *all.entry(*line).or_default() += units);
    assert_eq!(all, due);
    assert_eq!(units(&aid.wallet("wallet", &["show"], "", None).json()["owed"][0]["units"]), owed);
    site.supervise("/operator/stock", &[http::JSON], br#"{"1":100,"2":100,"3":100,"4":100}"#);
    let collected = aid.wallet("wallet", &["collect"], "", None).json();
    assert_eq!(units(&collected["visits"][0]["units"]), owed);
    assert_eq!(aid.wallet("wallet", &["collect"], "", None).error().1, "nothing-owed");
}

#[test]
fn two_programs_do_not_share_a_wallet() {
    let aid = Aid::new(1);
    aid.make("wallet");
    let path = aid.path("wallet");
    let held = annona_vault::Vault::open(&path, &annona_vault::Passphrase::new(PIN.into())).unwrap();
    assert_eq!(aid.enrol("wallet", 0).error(), (75, "file-in-use".into(), String::new()));
    drop(held);
    assert_eq!(aid.enrol("wallet", 0).code, Some(0));
}

/// No name, line, ticket or address of the household's stands in the file.
#[test]
fn the_file_tells_nothing() {
    let aid = Aid::new(1);
    aid.make("wallet");
    aid.enrol("wallet", 0).json();
    let bytes = fs::read(aid.path("wallet")).unwrap();
    let found = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(found(b"annona-vault 1\n") && found(b"-> scrypt "));
    for text in [&b"Food and cash"[..], b"127.0.0.1", &aid.prepared.id.0, aid.prepared.codes[0].expose()] {
        assert!(!found(text));
    }
    let names = |folder: &Path| -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut names = names(aid.folder.path());
    names.sort_unstable();
    assert_eq!(names, [".wallet.lock", "wallet"]);
}
