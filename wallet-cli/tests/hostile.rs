//! Issuers and sites that lie, against the real program: it refuses with the code that wallet.md names, shows nothing more than
//! it had shown, changes nothing that it holds, and goes on once it is told the truth.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "aid/between.rs"]
mod between;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "aid/office.rs"]
mod office;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aid::{Aid, Ended, run};
use annona_node::{home::IssuerHome, random::os as rng};
use annona_protocol::{
    credential::IssuerKey,
    enrol::{EnrolRequest, TicketGrant},
    ids::{LotId, ManifestHash, ProgrammeId, Round, SiteId},
    log::TreeHash,
    programme::{Announcement, TicketKind},
    slip::{Place, Quote, Signed},
    ticket::TicketUse,
    wire::Message as _,
};
use between::Between;
use ed25519_dalek::SigningKey;
use harness::{Plan, copy, passphrase, prepare, running::Server, sign};
use office::open_office;
use serde_json::Value;

/// What is done to the answer's body of requests to a path; it also sees the request's.
type Lie = Arc<dyn Fn(&[u8], Vec<u8>) -> Vec<u8> + Send + Sync>;

#[derive(Default)]
struct Told {
    lie: Option<(String, Lie)>,
    /// Method, path and body of each request.
    seen: Vec<(String, Vec<u8>)>,
    server: Option<SocketAddr>,
}

/// A way to a server on which it is made to lie.
struct Liar {
    way: Between,
    told: Arc<Mutex<Told>>,
}

impl Liar {
    fn new(server: SocketAddr) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let of_way = Arc::clone(&told);
        let way = Between::new(server, move |mut exchange| {
            let body = exchange.body().to_vec();
            let lie = {
                let mut told = of_way.lock().unwrap();
                told.seen.push((exchange.line.clone(), body.clone()));
                exchange.server = told.server.unwrap_or(exchange.server);
                told.lie.clone().filter(|(path, _)| exchange.line.split(' ').nth(1) == Some(path))
            };
            exchange.answer_with(|answer| lie.map_or_else(|| answer.clone(), |(_, lie)| lie(&body, answer.clone())))
        });
        Self { way, told }
    }

    fn lie(&self, path: &str, lie: impl Fn(&[u8], Vec<u8>) -> Vec<u8> + Send + Sync + 'static) {
        self.told.lock().unwrap().lie = Some((path.to_owned(), Arc::new(lie)));
    }

    fn tell_the_truth(&self) {
        self.told.lock().unwrap().lie = None;
    }

    /// Forgets what was seen.
    fn seen(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.told.lock().unwrap().seen)
    }
}

/// An announcement that is changed on the way.
fn announce(change: impl Fn(&mut Announcement) + Send + Sync + 'static) -> impl Fn(&[u8], Vec<u8>) -> Vec<u8> {
    move |_, answer| {
        let mut announcement = Announcement::decode(&answer).unwrap();
        change(&mut announcement);
        announcement.encode()
    }
}

/// Without the witness's line.
fn uncosigned(note: &[u8]) -> Vec<u8> {
    let note = String::from_utf8(note.to_vec()).unwrap();
    let kept: Vec<&str> = note.split_inclusive('\n').filter(|line| !line.contains("witness.example")).collect();
    assert!(kept.len() < note.lines().count());
    kept.concat().into_bytes()
}

/// A command once: each answer that does not hold is one.
fn once(aid: &Aid, wallet: &str, arguments: &[&str], input: &str) -> Ended {
    let path = aid.path(wallet);
    run(&[&["--json", "--tries", "1", "--wallet", path.to_str().unwrap()], arguments].concat(), input, None)
}

/// What a person has: everything that `show` tells but what is under way.
fn holdings(aid: &Aid, wallet: &str) -> Value {
    let mut shown = aid.wallet(wallet, &["show"], "", None).json();
    for about in ["unfinished", "refresh_due"] {
        shown.as_object_mut().unwrap().remove(about);
    }
    shown
}

// --- The issuer ---------------------------------------------------------------------------------------------------------

/// What is not the programme's, not in the log, or seen by no witness, is no announcement: nothing of the ticket is shown.
#[test]
fn a_false_announcement_ends_an_enrolment_before_the_ticket_is_shown() {
    let aid = Aid::new(2);
    let liar = Liar::new(aid.issuer.address);
    let slip = aid.slip_of(&aid.prepared.codes[0], TicketKind::Enrol, &liar.way.url());
    aid.make("wallet");
    let other = prepare(Plan { tickets: 1, rounds: 1, advance: 0 });
    let witness = other.start_witness();
    let server = other.start_issuer(&witness, |_| ());
    let foreign = harness::http::get(server.address, "/v1/announcement").body;

    let cases: Vec<(&str, Lie)> = vec![
        ("no cosignature", Arc::new(announce(|it| it.checkpoint = uncosigned(&it.checkpoint)))),
        ("no signature", Arc::new(announce(|it| it.checkpoint.truncate(it.checkpoint.len() / 2)))),
        ("a version that is not signed", Arc::new(announce(|it| it.versions[1].leaf.header.name.push('s')))),
        ("a version that is not in the log", Arc::new(announce(|it| it.versions[1].index += 1))),
        ("a path", Arc::new(announce(|it| it.openings[0].path[0] = TreeHash([7; 32])))),
        ("a round that was not opened", Arc::new(announce(|it| it.openings[0].leaf.round = Round(2)))),
        ("a key", Arc::new(announce(|it| it.keys.swap(0, 1)))),
        ("no versions", Arc::new(announce(|it| it.versions.clear()))),
        ("another programme's", Arc::new(move |_: &[u8], _| foreign.clone())),
        ("no announcement", Arc::new(|_: &[u8], _| b"<html>".to_vec())),
    ];
    for (name, lie) in cases {
        liar.told.lock().unwrap().lie = Some(("/v1/announcement".into(), lie));
        let error = once(&aid, "wallet", &["enrol"], &slip).error();
        assert_eq!(error, (2, "no-way".into(), String::new()), "{name}");
        let seen = liar.seen();
        assert!(!seen.is_empty() && seen.iter().all(|(line, _)| line == "GET /v1/announcement"), "{name}: {seen:?}");
        assert_eq!(aid.wallet("wallet", &["show"], "", None).json()["programme"], Value::Null, "{name}");
    }
    liar.tell_the_truth();
    assert_eq!(once(&aid, "wallet", &["enrol"], &slip).json()["name"], "Food and cash");

    // The same for a wallet that knows the programme.
    let before = holdings(&aid, "wallet");
    liar.lie("/v1/announcement", announce(|it| it.checkpoint = uncosigned(&it.checkpoint)));
    liar.seen();
    for command in [&["draw", "--site", "1"][..], &["swap", "--to", "2"], &["check"]] {
        assert_eq!(once(&aid, "wallet", command, "").error(), (2, "no-way".into(), String::new()));
    }
    assert!(liar.seen().iter().all(|(line, _)| line == "GET /v1/announcement"));
    assert_eq!(holdings(&aid, "wallet"), before);
    // A log that no witness has seen, or with a byte changed.
    liar.lie("/log/checkpoint", |_, note| uncosigned(&note));
    assert_eq!(once(&aid, "wallet", &["check"], "").error().1, "log-false");
    liar.tell_the_truth();
    let size = once(&aid, "wallet", &["check"], "").json()["issuer_log"].as_u64().unwrap();
    liar.lie(&format!("/log/tile/entries/000.p/{size}"), |_, mut entries| {
        let middle = entries.len() / 2;
        entries[middle] ^= 1;
        entries
    });
    assert_eq!(once(&aid, "wallet", &["check"], "").error().1, "log-false");
}

/// An issuer that goes on in two ways, both signed by its officers and cosigned: a wallet that knows one refuses the other.
#[test]
fn a_manifest_that_contradicts_the_known_one_is_refused() {
    let prepared = prepare(Plan { tickets: 1, rounds: 1, advance: 1 });
    let second = IssuerHome::new(&prepared.folder.path().join("second"));
    copy(prepared.issuer.path(), second.path());
    // Each draws keys for the second round of its own.
    for home in [&prepared.issuer, &second] {
        let service = home.open(&passphrase(), None).unwrap();
        let before = service.with_programme(|programme| programme.latest().clone());
        let proposal = home.prepare_round(&service, Round(2), None, &passphrase(), harness::QUICK).unwrap();
        IssuerHome::approve(&service, sign(proposal, &prepared.officers, Some(&before))).unwrap();
        home.open_round(&service, Round(2), &passphrase()).unwrap();
    }
    let witness = prepared.start_witness();
    let issuer = prepared.start_issuer(&witness, |_| ());
    let mut aid = Aid { prepared, witness, issuer, folder: tempfile::tempdir().unwrap() };
    aid.announced(|announcement| announcement.openings.len() == 2);
    let liar = Liar::new(aid.issuer.address);
    aid.make("wallet");
    let slip = aid.slip_of(&aid.prepared.codes[0], TicketKind::Enrol, &liar.way.url());
    once(&aid, "wallet", &["enrol"], &slip).json();
    once(&aid, "wallet", &["draw", "--site", "1", "--line", "cash=1"], "").json();
    let before = holdings(&aid, "wallet");

    let first = aid.issuer.address;
    aid.issuer.stop();
    aid.prepared.issuer = second;
    // Another witness has not seen the first.
    aid.witness = aid.prepared.start_witness();
    aid.issuer = aid.prepared.start_issuer(&aid.witness, |_| ());
    aid.announced(|announcement| announcement.openings.len() == 2);
    assert_ne!(first, aid.issuer.address);
    liar.told.lock().unwrap().server = Some(aid.issuer.address);
    liar.seen();
    for command in [&["draw", "--site", "1"][..], &["swap", "--to", "2"], &["check"]] {
        assert_eq!(once(&aid, "wallet", command, "").error(), (1, "contradiction".into(), String::new()));
    }
    assert!(liar.seen().iter().all(|(line, _)| line == "GET /v1/announcement"));
    assert_eq!(holdings(&aid, "wallet"), before);
}

/// Changed answers: a bit of every part (so of each proof), an end that is missing, one that is too much, another's answer.
fn changed(answer: &[u8], case: usize) -> Option<Vec<u8>> {
    const PARTS: usize = 9;
    let mut bytes = answer.to_vec();
    match case {
        0 => bytes.truncate(bytes.len() - 1),
        1 => bytes.push(0),
        2 => bytes.clear(),
        _ if case < 3 + PARTS => {
            let at = (case - 3) * (bytes.len() - 1) / (PARTS - 1);
            bytes[at] ^= 1 << (case % 8);
        }
        _ => return None,
    }
    Some(bytes)
}

/// A wrong proof in any answer of the issuer's: nothing is taken, the same bytes go again, and the true answer still counts.
#[test]
fn an_issuer_with_a_wrong_proof_gets_nowhere() {
    let (aid, tickets) = open_office(2, 1, &[[6, 2]]);
    let liar = Liar::new(aid.issuer.address);
    let enrol = aid.slip_of(&aid.prepared.codes[1], TicketKind::Enrol, &liar.way.url());
    let amend = aid.slip_of(&tickets[0], TicketKind::Amend, &liar.way.url());
    aid.make("wallet");
    let steps: [(&str, &[&str], &str); 5] = [
        ("/v1/enrol", &["enrol"], &enrol),
        ("/v1/roll-over", &["draw", "--site", "1"], ""),
        ("/v1/draw", &["draw", "--site", "1"], ""),
        ("/v1/amend", &["amend"], &amend),
        ("/v1/swap", &["swap", "--from", "1", "--to", "2"], ""),
    ];
    for (path, command, input) in steps {
        let mut before = None;
        for case in 0.. {
            let Some(_) = changed(b"any", case) else { break };
            // Before the first attempt nothing is under way.
            if case == 1 || (case == 0 && path != "/v1/enrol") {
                before = Some(holdings(&aid, "wallet"));
            }
            liar.lie(path, move |_, answer| changed(&answer, case).unwrap());
            let error = once(&aid, "wallet", command, input).error();
            assert_eq!(error, (1, "answer-false".into(), String::new()), "{path}, {case}");
            let shown = aid.wallet("wallet", &["show"], "", None).json();
            assert_eq!(shown["unfinished"].as_array().unwrap().len(), 1, "{path}, {case}");
            // A roll-over's refusal comes before the draw that it is for; a draw's after the roll-over.
            if path != "/v1/draw" || case > 0 {
                assert!(before.as_ref().is_none_or(|before| *before == holdings(&aid, "wallet")), "{path}, {case}");
            } else {
                before = Some(holdings(&aid, "wallet"));
            }
        }
        let sent: Vec<Vec<u8>> =
            liar.seen().into_iter().filter(|(line, _)| line.ends_with(path)).map(|it| it.1).collect();
        assert!(sent.len() > 10 && sent.iter().all(|body| *body == sent[0]), "{path}: the same bytes, and no others");
        liar.tell_the_truth();
        if path == "/v1/roll-over" {
            // It goes on by itself, and no further.
            assert_eq!(once(&aid, "wallet", &["resume"], "").json()["resumed"][0]["outcome"], "credential");
        } else {
            once(&aid, "wallet", command, input).json();
        }
    }
    let shown = holdings(&aid, "wallet");
    assert_eq!(aid::units(&shown["collect"][0]["units"])[&4], 22);
}

/// An issuer that signs what it does not say: another state than the ticket's (a tag), under another key, for another lot, another
/// household's answer.
#[test]
fn an_issuer_that_tags_a_household_is_refused() {
    let aid = Aid::new(3);
    let liar = Liar::new(aid.issuer.address);
    let slip = |at: usize| aid.slip_of(&aid.prepared.codes[at], TicketKind::Enrol, &liar.way.url());
    aid.make("wallet");
    aid.make("other");
    let programme = {
        let announcement = harness::http::get(aid.issuer.address, "/v1/announcement").body;
        Announcement::decode(&announcement).unwrap().verify(aid.prepared.id).unwrap()
    };
    let secrets = Arc::new(aid.prepared.issuer.secrets(&passphrase()).unwrap());
    // What an issuer with its own keys answers to a request, for a grant of its choice.
    let answer = move |request: &[u8], own_key: bool, expires: u32, attributes: [u64; 2]| {
        let verified = EnrolRequest::decode(request).unwrap().verify(&programme, &mut rng()).unwrap();
        let place = TicketUse { lot: LotId(1), hash: verified.ticket(), salt: [7; 32], index: 0, path: Vec::new() };
        let grant = TicketGrant { place, expires: Round(expires), attributes: attributes.to_vec() };
        let stranger = IssuerKey::generate(&mut rng());
        let key = if own_key { &secrets.credential } else { &stranger };
        verified.issue(&programme, key, &grant, &mut rng()).unwrap().response
    };
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&kept);
    liar.lie("/v1/enrol", move |_, answer| {
        keeps.lock().unwrap().clone_from(&answer);
        answer
    });
    once(&aid, "other", &["enrol"], &slip(1)).json();
    let others = kept.lock().unwrap().clone();

    let make = answer.clone();
    let tagged: Lie = Arc::new(move |request: &[u8], _| {
        // The credential says 9 members; the household is told 1.
        let mut bytes = make(request, true, 12, [9, 0]).encode();
        let at = bytes.len() - 16;
        bytes[at] ^= 9 ^ 1;
        bytes
    });
    let make = answer.clone();
    let short: Lie = Arc::new(move |request: &[u8], _| {
        // It expires with round 3 and says 12.
        let mut response = make(request, true, 3, [1, 0]);
        response.expires = Round(12);
        response.encode()
    });
    let make = answer.clone();
    let other_lot: Lie = Arc::new(move |request: &[u8], _| {
        let mut response = make(request, true, 12, [1, 0]);
        response.lot = LotId(2);
        response.encode()
    });
    let make = answer.clone();
    let outside: Lie = Arc::new(move |request: &[u8], _| {
        // More members than the schema has, by what is told.
        let mut bytes = make(request, true, 12, [1, 0]).encode();
        let at = bytes.len() - 15;
        bytes[at] ^= 1;
        bytes
    });
    let make = answer.clone();
    let another_key: Lie = Arc::new(move |request: &[u8], _| make(request, false, 12, [1, 0]).encode());
    let anothers: Lie = Arc::new(move |_: &[u8], _| others.clone());
    for (name, lie) in [
        ("tagged", tagged),
        ("short", short),
        ("another lot", other_lot),
        ("outside the schema", outside),
        ("another W", another_key),
        ("another's", anothers),
    ] {
        liar.told.lock().unwrap().lie = Some(("/v1/enrol".into(), lie));
        let error = once(&aid, "wallet", &["enrol"], &slip(0)).error();
        assert_eq!(error, (1, "answer-false".into(), String::new()), "{name}");
        assert_eq!(holdings(&aid, "wallet")["expires"], Value::Null, "{name}");
    }
    // The same helper with the true terms is taken: the refusals are due to the lies.
    let make = answer.clone();
    liar.lie("/v1/enrol", move |request, _| make(request, true, 12, [1, 0]).encode());
    once(&aid, "wallet", &["enrol"], &slip(0)).json();
    assert_eq!(holdings(&aid, "wallet")["expires"], 12);
}

// --- The site -----------------------------------------------------------------------------------------------------------

/// A household that has drawn, and a site.
fn drawn() -> (Aid, Server) {
    let aid = Aid::new(2);
    aid.make("wallet");
    aid.enrol("wallet", 1).json();
    aid.wallet("wallet", &["draw", "--site", "1"], "", None).json();
    let site = aid.open_site();
    (aid, site)
}

/// A quote for another place, or in another's name: the wallet shows no voucher.
#[test]
fn a_site_with_a_wrong_quote_sees_no_voucher() {
    let (aid, site) = drawn();
    let liar = Liar::new(site.address);
    let url = liar.way.url();
    let redeem = ["redeem", "--site", "1", "--site-url", &url];
    let before = holdings(&aid, "wallet");
    let keys: Vec<SigningKey> = aid.prepared.site_keys.clone();
    let issuer = aid.prepared.issuer_key();
    let signed = |key: &SigningKey, change: fn(&mut Place)| -> Lie {
        let key = key.clone();
        Arc::new(move |_: &[u8], answer| {
            let mut terms = Quote::decode(&answer).unwrap().content;
            change(&mut terms.place);
            Signed::sign(terms, &key).encode()
        })
    };
    let flipped = |at: usize| -> Lie {
        Arc::new(move |_: &[u8], mut answer: Vec<u8>| {
            let at = at * (answer.len() - 1) / 8;
            answer[at] ^= 4;
            answer
        })
    };
    let mut cases: Vec<(String, Lie)> = vec![
        ("signed by another site".into(), signed(&keys[1], |_| ())),
        ("signed by the issuer".into(), signed(&issuer, |_| ())),
        ("of another programme".into(), signed(&keys[0], |place| place.programme = ProgrammeId([7; 32]))),
        ("of another manifest".into(), signed(&keys[0], |place| place.manifest = ManifestHash([7; 32]))),
        ("of another site".into(), signed(&keys[0], |place| place.site = SiteId(2))),
        ("of another site, by its key".into(), signed(&keys[1], |place| place.site = SiteId(2))),
        ("of another round".into(), signed(&keys[0], |place| place.round = Round(2))),
        ("empty".into(), Arc::new(|_: &[u8], _| Vec::new())),
    ];
    cases.extend((0..=8).map(|at| (format!("flipped at {at} eighths"), flipped(at))));
    for (name, lie) in cases {
        liar.told.lock().unwrap().lie = Some(("/v1/quote".into(), lie));
        let error = once(&aid, "wallet", &redeem, "").error();
        assert_eq!(error, (1, "answer-false".into(), String::new()), "{name}");
        let seen = liar.seen();
        assert!(seen.iter().all(|(line, body)| line == "POST /v1/quote" && body.is_empty()), "{name}: {seen:?}");
        assert_eq!(holdings(&aid, "wallet"), before, "{name}");
        assert_eq!(aid.wallet("wallet", &["show"], "", None).json()["unfinished"], serde_json::json!([]), "{name}");
    }
    // A true quote re-signed by the true key is taken.
    liar.told.lock().unwrap().lie = Some(("/v1/quote".into(), signed(&keys[0], |_| ())));
    assert_eq!(once(&aid, "wallet", &redeem, "").json()["visit"]["outcome"], "accepted");
}

/// An answer to a visit whose receipts, units or slip do not hold: the vouchers stay, and the same bytes bring the true one.
#[test]
fn a_site_with_a_false_receipt_gets_no_voucher_erased() {
    let (aid, site) = drawn();
    let liar = Liar::new(site.address);
    let url = liar.way.url();
    let redeem = ["redeem", "--site", "1", "--site-url", &url];
    let before = holdings(&aid, "wallet");
    for case in 0.. {
        let Some(_) = changed(b"any", case) else { break };
        liar.lie("/v1/redeem", move |_, answer| changed(&answer, case).unwrap());
        let error = once(&aid, "wallet", &redeem, "").error();
        assert_eq!(error, (1, "answer-false".into(), String::new()), "{case}");
        assert_eq!(holdings(&aid, "wallet"), before, "{case}");
    }
    let sent: Vec<_> = liar.seen().into_iter().filter(|(line, _)| line == "POST /v1/redeem").map(|it| it.1).collect();
    assert!(sent.len() > 10 && sent.iter().all(|body| *body == sent[0]), "the same bytes, and no others");
    liar.tell_the_truth();
    let visit = once(&aid, "wallet", &redeem, "").json()["visit"].clone();
    assert_eq!(visit["outcome"], "accepted-before");
    assert_eq!(aid::received(&aid, "wallet")[&4], 22);
}

/// Whoever answers at a site's address without the site's key is not spoken to; nor is one that speaks no TLS.
#[test]
fn a_server_without_the_sites_key_is_not_spoken_to() {
    let (aid, _) = drawn();
    let before = holdings(&aid, "wallet");
    let other = prepare(Plan { tickets: 1, rounds: 1, advance: 0 });
    let witness = other.start_witness();
    let issuer = other.start_issuer(&witness, |config| config.listen.tls = true);
    let https = format!("https://{}", issuer.address);
    let redeem = ["redeem", "--site", "1", "--site-url", &https];
    // Whoever stands in between may be gone later: the same command again may do, and the detail says what is wrong now.
    let refused = once(&aid, "wallet", &redeem, "");
    assert_eq!(refused.error(), (75, "unreached".into(), String::new()));
    let detail = serde_json::from_str::<Value>(&refused.out).unwrap()["error"]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("key"), "{detail}");
    // Nor is one that speaks no TLS.
    let plain = format!("https://{}", aid.issuer.address);
    let error = once(&aid, "wallet", &["redeem", "--site", "1", "--site-url", &plain], "").error();
    assert_eq!(error, (75, "unreached".into(), String::new()));
    assert_eq!(holdings(&aid, "wallet"), before);
    // And an address of another kind is refused before anything is sent.
    let error = once(&aid, "wallet", &["redeem", "--site", "1", "--site-url", "http://192.0.2.1:80"], "").error();
    assert_eq!(error, (2, "address".into(), String::new()));
    assert_eq!(holdings(&aid, "wallet"), before);
}
