//! How many share what a visit shows, by the real program against a real issuer and site: numbers that are counted from the draws
//! of a few households.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use aid::{Aid, Ended, received, run};
use annona_bearer::screen::Squares;
use harness::http;
use serde_json::{Value, json};

/// Six households: what each draws, and where.
const DRAWS: [(&str, &str, &[&str]); 6] = [
    ("wallet", "1", &["food=1", "cash=5"]),
    ("same", "1", &["food=1", "cash=5"]),
    ("more", "1", &["food=1", "cash=15"]),
    ("less", "1", &["cash=5"]),
    // One voucher of two units: it cannot show what has one unit.
    ("other", "1", &["food=2", "cash=5"]),
    ("elsewhere", "2", &["food=1", "cash=5"]),
];
/// Who can show one unit of food and a five: the first three.
const BOTH: u64 = 3;
/// Who drew just these.
const SAME: u64 = 2;
/// Draws of several vouchers that brought a five. The single draw of the fifth household may be one of theirs.
const FIVE: u64 = 4;

/// Long enough for a slow machine; nothing waits for it if all goes well.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    aid: Aid,
}

impl World {
    fn new() -> Self {
        let aid = Aid::new(8);
        for (at, (wallet, site, lines)) in DRAWS.iter().enumerate() {
            aid.make(wallet);
            aid.enrol(wallet, at + 1).json();
            draw(&aid, wallet, site, lines);
        }
        Self { aid }
    }

    fn json(&self, wallet: &str, arguments: &[&str]) -> Value {
        self.aid.wallet(wallet, arguments, "", None).json()
    }

    /// Closes the issuer's batch, and checks until the crowd is this one, as the server publishes once its witness has cosigned.
    /// Gives what was found and how long the log is.
    fn check(&self, wallet: &str, crowd: u64) -> (Value, u64) {
        self.aid.issuer.supervise("/operator/close-batch", &[], b"");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.aid.wallet(wallet, &["check"], "", None);
            if ended.code == Some(0) {
                let found = ended.json();
                if found["crowds"][0]["crowd"] == crowd {
                    return (found["crowds"].clone(), found["issuer_log"].as_u64().unwrap());
                }
            }
            assert!(Instant::now() < deadline, "{ended:?}");
        }
    }

    /// As people read it.
    fn told(&self, wallet: &str, arguments: &[&str]) -> Ended {
        let path = self.aid.path(wallet);
        run(&[&["--tries", "1", "--wallet", path.to_str().unwrap()], arguments].concat(), "", None)
    }
}

fn draw(aid: &Aid, wallet: &str, site: &str, lines: &[&str]) {
    let asked: Vec<&str> = lines.iter().flat_map(|line| ["--line", line]).collect();
    let drawn = aid.wallet(wallet, &[&["draw", "--site", site], &asked[..]].concat(), "", None).json();
    assert!(drawn["drawn"].as_u64().unwrap() >= lines.len() as u64, "{drawn}");
}

/// A visit to the first site.
fn redeem<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["redeem", "--site", "1", "--site-url", url], more].concat()
}

#[test]
fn show_tells_the_crowd_that_the_last_check_counted() {
    let world = World::new();
    // Before the first check nobody knows, and it says so.
    assert_eq!(world.json("wallet", &["show"])["alike"], Value::Null);
    let unknown = world.told("wallet", &["show"]).out;
    assert!(unknown.contains("is not known") && unknown.contains("annona-wallet check"), "{unknown}");

    let (found, log) = world.check("wallet", BOTH);
    assert_eq!(found, json!([{ "site": 1, "round": 1, "crowd": BOTH, "at_most": 0, "same": SAME }]));
    let alike = json!([{ "site": 1, "round": 1, "crowd": BOTH, "at_most": 0, "same": SAME, "log": log }]);
    assert_eq!(world.json("wallet", &["show"])["alike"], alike);
    let shown = world.told("wallet", &["show"]).out;
    for text in [
        format!("what you hold for north-gate in round 1: {BOTH}."),
        format!("at {log} entries"),
        format!("exactly that: {SAME}."),
        "That is few".to_owned(),
    ] {
        assert!(shown.contains(&text), "{text}: {shown}");
    }
    // Others see their own numbers.
    assert_eq!(world.check("less", FIVE).0[0]["same"], 1);
    let elsewhere = world.json("elsewhere", &["check"]);
    assert_eq!(elsewhere["crowds"], json!([{ "site": 2, "round": 1, "crowd": 1, "at_most": 0, "same": 1 }]));

    // Of what was drawn since, the number says nothing, until the next check.
    draw(&world.aid, "wallet", "1", &["cash=1"]);
    assert_eq!(world.json("wallet", &["show"])["alike"], Value::Null);
    let (found, longer) = world.check("wallet", 0);
    // No single draw brought all three vouchers.
    assert_eq!((&found[0]["same"], longer >= log), (&0.into(), true));
    let alike = world.json("wallet", &["show"])["alike"][0].clone();
    assert_eq!((&alike["crowd"], &alike["log"]), (&0.into(), &longer.into()));
    let checked = world.told("wallet", &["check"]).out;
    assert!(checked.contains("no single draw"), "{checked}");
}

#[test]
fn a_visit_tells_its_crowd_before_it_shows_anything_and_can_be_split() {
    let world = World::new();
    let site = world.aid.open_site();
    let url = format!("http://{}", site.address);
    let error = |more: &[&str]| {
        let (exit, code, _) = world.aid.wallet("wallet", &redeem(&url, more), "", None).error();
        (exit, code)
    };
    let told = |code: &str| (1, code.to_owned());
    assert_eq!(error(&["--hide-among", "1"]), told("crowd-unknown"));
    world.check("wallet", BOTH);
    assert_eq!(error(&["--hide-among", "4"]), told("small-crowd"));
    assert_eq!(error(&["--hide-among", "4", "--part", "food=1"]), told("small-crowd"));
    assert_eq!(error(&["--hide-among", "5", "--part", "cash=5"]), told("small-crowd"));
    // Nothing was begun.
    assert!(world.json("wallet", &["show"])["unfinished"].as_array().unwrap().is_empty());
    assert!(received(&world.aid, "wallet").is_empty());

    // The number is told although the site is not there; and how to split, with the number of the part.
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let unreached = world.told("wallet", &redeem(&format!("http://{nobody}"), &[]));
    assert_eq!(unreached.code, Some(75), "{unreached:?}");
    let whole = format!("this visit shows to north-gate in round 1, as your last `check` found it: {BOTH}.");
    let part = format!("--part cash=5 alone is what {FIVE} draws brought");
    assert!(unreached.err.contains(&whole) && unreached.err.contains(&part), "{unreached:?}");

    // In two visits, each with the number of what it shows.
    let first = world.json("wallet", &redeem(&url, &["--hide-among", "4", "--part", "cash=5"]));
    assert_eq!((&first["alike"], &first["visit"]["units"][0]["units"]), (&FIVE.into(), &5.into()));
    // What is left is a part of what the check looked at, and no longer what anybody asked for.
    let left = world.json("wallet", &["show"])["alike"][0].clone();
    assert_eq!((&left["crowd"], &left["same"]), (&BOTH.into(), &Value::Null));
    let second = world.told("wallet", &redeem(&url, &[]));
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.err.contains(&whole) && second.err.contains("That is few") && !second.err.contains("alone"));
    assert_eq!(received(&world.aid, "wallet").into_iter().collect::<Vec<_>>(), [(1, 1), (4, 5)]);

    // The number went with the vouchers: when they come back, nobody knows it.
    world.json("wallet", &["received", "--not"]);
    assert_eq!(world.json("wallet", &["show"])["alike"], Value::Null);
    assert_eq!(error(&["--hide-among", "1"]), told("crowd-unknown"));

    // Unknown is said, and does not keep a visit from going on.
    let unknown = world.told("same", &redeem(&url, &[]));
    assert!(unknown.code == Some(0) && unknown.err.contains("is not known"), "{unknown:?}");
}

#[test]
fn a_visit_by_squares_tells_its_crowd_too() {
    let world = World::new();
    let site = world.aid.open_site();
    let quote = || -> String {
        let body = http::send(site.address, "POST", "/v1/quote", &[], &[]).body;
        Squares::of(&body).unwrap().texts().map(|text| format!("{text}\n")).collect()
    };
    let visit = |more: &[&str]| world.aid.wallet("more", &[&["redeem", "--qr"], more].concat(), &quote(), None);
    world.check("more", 1);
    let refused = visit(&["--hide-among", "2"]);
    assert_eq!(refused.error(), (1, "small-crowd".into(), String::new()));
    assert!(!refused.out.contains("squares"), "{refused:?}");
    let shown = |ended: Ended| -> Value {
        assert_eq!(ended.code, Some(75), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    let first = shown(visit(&["--hide-among", "4", "--part", "cash=5"]));
    assert_eq!(first["alike"], FIVE);
    // What was shown is shown again, whatever it hides among.
    let again = shown(visit(&["--hide-among", "100"]));
    assert_eq!((&again["alike"], &again["squares"]), (&Value::Null, &first["squares"]));
}
