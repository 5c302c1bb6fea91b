//! Rounds that pass while a household does nothing, by the real program against a real issuer and site: what comes back from
//! words, what lapses, what stays, and what an amend pays.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "aid/office.rs"]
mod office;

use std::{collections::BTreeMap, fs};

use aid::{Aid, received, run, units};
use annona_protocol::programme::TicketKind;
use office::{close_site, open_office, open_office_with_a_short_ticket};
use serde_json::Value;

const PLENTY: &[u8] = br#"{"1":1000,"2":1000,"3":1000,"4":1000}"#;

fn due(list: [(u64, u64); 4]) -> BTreeMap<u64, u64> {
    BTreeMap::from(list)
}

/// A wallet with words that has enrolled with the second ticket: two members, one of them under two.
fn with_words(aid: &Aid, wallet: &str) -> String {
    let path = aid.path(wallet);
    let made = run(&["--json", "new", "--words", "--work-factor", "2", path.to_str().unwrap()], "", None).json();
    aid.enrol(wallet, 1).json();
    let words: Vec<&str> = made["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.join(" ")
}

fn draw(aid: &Aid, wallet: &str, more: &[&str]) -> Value {
    aid.wallet(wallet, &[&["draw", "--site", "1"], more].concat(), "", None).json()
}

fn held(aid: &Aid, wallet: &str) -> BTreeMap<u64, u64> {
    units(&aid.wallet(wallet, &["show"], "", None).json()["collect"][0]["units"])
}

/// The household does nothing in three rounds, and then its phone is lost: the words bring the credential back, the roll-over goes
/// on, what lapses is one round's, and cash is that of all four.
#[test]
fn words_bring_a_wallet_back_after_three_idle_rounds() {
    let mut aid = open_office(2, 5, &[]).0;
    let words = with_words(&aid, "lost");
    draw(&aid, "lost", &[]);
    let first = due([(1, 2), (2, 2), (3, 1), (4, 22)]);
    assert_eq!(held(&aid, "lost"), first);
    // The first round's visit is another story: its vouchers lapse with the round, and the credential says nothing of them.
    (1..5).for_each(|round| aid.next_round(round));
    fs::remove_file(aid.path("lost")).unwrap();

    let (id, issuer) = (hex::encode(aid.prepared.id.0), format!("http://{}", aid.issuer.address));
    let path = aid.path("found");
    let restore = ["--json", "restore", "--work-factor", "2", path.to_str().unwrap()];
    let found = run(&[&restore[..], &["--programme", &id, "--issuer", &issuer]].concat(), &words, None).json();
    // Enrolment, roll-over and draw; the vouchers of a round that is closed are deleted.
    assert_eq!((&found["messages"], &found["credential"], &found["vouchers"]), (&3.into(), &true.into(), &0.into()));
    let shown = aid.wallet("found", &["show"], "", None).json();
    let now = due([(1, 2), (2, 2), (3, 1), (4, 4 * 22)]);
    assert_eq!((shown["round"].as_u64(), units(&shown["draw"])), (Some(5), now.clone()));
    let drawn = draw(&aid, "found", &[]);
    assert_eq!((drawn["round"].as_u64(), drawn["rolled_over"].as_bool()), (Some(5), Some(true)));
    assert_eq!((held(&aid, "found"), draw(&aid, "found", &[])["drawn"].as_u64()), (now.clone(), Some(0)));

    let site = aid.open_site_in(5, PLENTY);
    let url = format!("http://{}", site.address);
    aid.wallet("found", &["redeem", "--site", "1", "--site-url", &url], "", None).json();
    assert_eq!(received(&aid, "found"), now);
    let [handed, owed, _] = close_site(&site);
    assert_eq!((handed.into_iter().collect(), owed.len()), (now, 0));
    drop(site);
    // One roll-over jumps over the idle rounds.
    assert_eq!(aid.logged(), [1, 2, 2, 0, 0]);
}

/// An amend after rounds in which nothing was drawn: what is available stays to the unit, whatever the new attributes would have
/// granted; they count from the next round.
#[test]
fn an_amend_after_missed_rounds_pays_nothing_extra() {
    for (amended, next) in
        [([6, 2], due([(1, 6), (2, 6), (3, 2), (4, 46)])), ([1, 1], due([(1, 1), (2, 1), (3, 1), (4, 16)]))]
    {
        let (mut aid, tickets) = open_office(2, 5, &[amended]);
        with_words(&aid, "wallet");
        draw(&aid, "wallet", &["--line", "food=1", "--line", "cash=7"]);
        (1..4).for_each(|round| aid.next_round(round));
        // Of round 1 a ration is left, which lapsed; of cash all but seven.
        let before = due([(1, 2), (2, 2), (3, 1), (4, 4 * 22 - 7)]);
        assert_eq!(units(&aid.wallet("wallet", &["show"], "", None).json()["draw"]).len(), 4);
        let slip = aid.amend_slip(&tickets[0]);
        let amend = aid.wallet("wallet", &["amend"], &slip, None).json();
        assert_eq!(amend["round"], 4);
        let shown = aid.wallet("wallet", &["show"], "", None).json();
        assert_eq!(units(&shown["draw"]), before, "{amended:?}");
        // The ticket is used up, in this wallet as in another one.
        assert_eq!(aid.wallet("wallet", &["amend"], &slip, None).error().2, "ticket-used");
        assert!(draw(&aid, "wallet", &["--line", "cash=81"])["drawn"].as_u64().unwrap() > 0);
        for more in [["--line", "cash=1"], ["--line", "food=3"]] {
            let refused = aid.wallet("wallet", &[&["draw", "--site", "1"], &more[..]].concat(), "", None).error();
            assert_eq!(refused, (1, "uncovered".into(), String::new()));
        }
        draw(&aid, "wallet", &[]);

        // From the next round on the new attributes count, on every line.
        aid.next_round(4);
        draw(&aid, "wallet", &[]);
        let collect = aid.wallet("wallet", &["show"], "", None).json()["collect"].clone();
        let of_round = |round: u64| {
            collect.as_array().unwrap().iter().find(|place| place["round"].as_u64() == Some(round)).unwrap()
        };
        assert_eq!(units(&of_round(4)["units"]), before, "{amended:?}");
        assert_eq!(units(&of_round(5)["units"]), next, "{amended:?}");
        let [enrolled, rolled, _, _, amends] = aid.logged();
        assert_eq!((enrolled, rolled, amends), (1, 3, 1));
    }
}

/// A credential draws in its last round and in none after it, and a round that was closed gives nothing more.
#[test]
fn what_has_expired_or_was_closed_gives_nothing() {
    let (mut aid, short) = open_office_with_a_short_ticket(2);
    aid.make("short");
    let slip = aid.slip_of(&short, TicketKind::Enrol, &format!("http://{}", aid.issuer.address));
    aid.wallet("short", &["enrol"], &slip, None).json();
    aid.make("long");
    aid.enrol("long", 0).json();
    assert_eq!(aid.wallet("short", &["show"], "", None).json()["expires"], 1);
    draw(&aid, "short", &["--line", "cash=1"]);
    draw(&aid, "long", &["--line", "cash=1"]);
    aid.next_round(1);
    // What it shows is of the announcement that it knows, until it asks.
    assert_eq!(aid.wallet("long", &["show"], "", None).json()["round"], 1);
    let closed = aid.wallet("long", &["draw", "--site", "1", "--round", "1"], "", None).error();
    assert_eq!((closed.0, &*closed.1, &*closed.2), (1, "refused", "round-not-open"));
    assert_eq!(draw(&aid, "long", &[])["rolled_over"], true);
    // The wallet does not ask for what it is not due.
    let expired = aid.wallet("short", &["draw", "--site", "1", "--line", "cash=1"], "", None).error();
    assert_eq!(expired, (1, "uncovered".into(), String::new()));
    let unasked = aid.wallet("short", &["draw", "--site", "1", "--round", "3"], "", None).error();
    assert_eq!(unasked, (2, "round-not-open".into(), String::new()));
    assert_eq!(aid.logged(), [2, 3, 3, 0, 0]);
}
