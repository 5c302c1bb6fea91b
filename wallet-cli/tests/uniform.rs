//! Uniform draws by the real program against a real issuer: what its log shows, what a proxy sees, and a telephone that is switched
//! off, shown and used in between.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "aid/between.rs"]
mod between;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "aid/office.rs"]
mod office;
#[path = "../../transport/tests/watched/mod.rs"]
mod watched;

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use aid::{Aid, PIN, received, run, units};
use annona_protocol::{log::leaf::IssuerLeaf, programme::TicketKind};
use between::{Between, Exchange};
use harness::{Plan, prepare};
use serde_json::Value;

const UNIFORM: [&str; 4] = ["draw", "--site", "1", "--uniform"];

/// What a ticket's household is due.
fn due(ticket: u64) -> BTreeMap<u64, u64> {
    let members = 1 + ticket % 8;
    let all = BTreeMap::from([(1, members), (2, members), (3, ticket % 2), (4, 10 + 6 * members)]);
    all.into_iter().filter(|(_, units)| *units > 0).collect()
}

fn held(aid: &Aid, wallet: &str) -> BTreeMap<u64, u64> {
    units(&aid.wallet(wallet, &["show"], "", None).json()["collect"][0]["units"])
}

fn joined(aid: &Aid, wallet: &str, ticket: usize) {
    aid.make(wallet);
    aid.enrol(wallet, ticket).json();
}

/// Line and value of each draw in the issuer's log; all of one voucher, at the first site.
fn draws(aid: &mut Aid) -> Vec<(u64, u64)> {
    let leaves = aid.leaves();
    let service = aid.prepared.issuer.open(&harness::passphrase(), None).unwrap();
    let of_draw = |leaf: &IssuerLeaf| match leaf {
        IssuerLeaf::Draw(leaf) => {
            assert!(matches!(leaf.keys[..], [(_, 1)]), "{:?}", leaf.keys);
            let id = service.with_programme(|programme| programme.key(leaf.keys[0].0).unwrap().id);
            assert_eq!(id.site.map(|site| site.0), Some(1));
            Some((u64::from(id.line.0), u64::from(id.value)))
        }
        _ => None,
    };
    leaves.iter().filter_map(of_draw).collect()
}

/// A household of eight and one of two: the log has draws of one voucher, of the same values for both but for what is left over.
#[test]
fn the_log_shows_draws_of_one_voucher_of_the_same_values() {
    let mut aid = Aid::new(8);
    let mut vouchers = 0;
    for (wallet, ticket) in [("large", 7), ("small", 1)] {
        joined(&aid, wallet, ticket);
        let drawn = aid.wallet(wallet, &UNIFORM, "", None).json();
        assert_eq!((&drawn["drawn"], &drawn["rolled_over"]), (&drawn["draws"], &true.into()));
        assert_eq!(held(&aid, wallet), due(ticket as u64));
        let shown = aid.wallet(wallet, &["show"], "", None).json();
        assert_eq!((units(&shown["draw"]), &shown["unfinished"]), (BTreeMap::new(), &Value::Array(Vec::new())));
        vouchers += drawn["drawn"].as_u64().unwrap();
        let again = aid.wallet(wallet, &UNIFORM, "", None).json();
        assert_eq!((&again["drawn"], &again["draws"], &again["rolled_over"]), (&0.into(), &0.into(), &false.into()));
    }
    let site = aid.open_site();
    let url = format!("http://{}", site.address);
    aid.wallet("large", &["redeem", "--site", "1", "--site-url", &url], "", None).json();
    assert_eq!(received(&aid, "large"), due(7));

    let draws = draws(&mut aid);
    assert_eq!(draws.len() as u64, vouchers);
    let mut counts: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    draws.iter().for_each(|draw| *counts.entry(*draw).or_default() += 1);
    // Food and soap for ten, infant food for two, and cash in tens: five and two of them, with 8 and 2 left over.
    let expected = [((1, 1), 10), ((2, 1), 10), ((3, 1), 2), ((4, 10), 7), ((4, 5), 1), ((4, 2), 2), ((4, 1), 1)];
    assert_eq!(counts, BTreeMap::from(expected));
    // Lines are mixed: their order says nothing.
    let lines: Vec<u64> = draws.iter().map(|(line, _)| *line).collect();
    assert!(!lines[..vouchers as usize / 2].is_sorted(), "{lines:?}");
}

/// At once, people are told what that means; spread, they are not.
#[test]
fn the_program_says_what_uniform_draws_do_not_hide() {
    let aid = Aid::new(2);
    joined(&aid, "wallet", 1);
    let path = aid.path("wallet");
    let told = |more: &[&str]| {
        let told = run(&[&UNIFORM, more, &["--wallet", path.to_str().unwrap()]].concat(), "", None);
        assert_eq!(told.code, Some(0), "{told:?}");
        told.out
    };
    let spread = told(&["--line", "food=2", "--within", "1ms"]);
    assert!(spread.contains("2 draws of one voucher each") && !spread.contains("one address"), "{spread}");
    let at_once = told(&[]);
    assert!(at_once.contains("6 draws") && at_once.contains("saw one address draw 6 times"), "{at_once}");
    let error = |more: &[&str]| aid.wallet("wallet", &[&["draw"], more].concat(), "", None);
    for wrong in [&["--within", "soon"][..], &["--within", "32d"], &["--beyond-words"]] {
        assert_eq!(error(wrong).code, Some(2), "{wrong:?}");
    }
}

/// The draws of one wallet through a proxy such as Tor's: the announcement comes once, and nothing ties the rest together.
#[test]
fn a_proxy_sees_nothing_that_uniform_draws_share() {
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
    aid.wallet("wallet", &["enrol"], &format!("{bare}/{}", origin.to_ascii_uppercase()), None).json();
    assert_eq!(aid.wallet("wallet", &UNIFORM, "", None).json()["drawn"], 8);
    let seen = proxy.finish();
    // Announcement twice and the ticket; announcement and roll-over; eight times session and draw.
    assert_eq!(seen.len(), 3 + 2 + 16);
    watched::assert_nothing_shared(&seen);
}

/// Killed at one save after the other, in the midst of its draws, and gone on with by either command: it draws what is due, once.
#[test]
fn a_uniform_draw_killed_again_and_again_draws_what_is_due() {
    let mut aid = Aid::new(5);
    joined(&aid, "wallet", 4);
    let mut kills = 0;
    loop {
        // Five saves further each time, at another point of the save.
        let fault = format!("{}:{}", ["vault-rename", "vault-saved", "vault-save"][kills % 3], 5 + kills % 2);
        if aid.wallet("wallet", &UNIFORM, "", Some(&fault)).code.is_some() {
            break;
        }
        kills += 1;
        if kills % 3 == 1 {
            // Cut short as well.
            aid.wallet("wallet", &["resume"], "", Some("vault-saved:4"));
        }
        assert!(kills < 50);
    }
    assert!(kills > 4, "{kills}");
    assert_eq!(held(&aid, "wallet"), due(4));
    let mut counts: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    draws(&mut aid).into_iter().for_each(|draw| *counts.entry(draw).or_default() += 1);
    assert_eq!(counts, BTreeMap::from([((1, 1), 5), ((2, 1), 5), ((4, 10), 4)]));
}

/// What is left is drawn by `resume`, or at once if that is wanted; a plain draw does not bring it about by mistake.
#[test]
fn what_is_left_is_gone_on_with_or_drawn_in_another_way() {
    let aid = Aid::new(4);
    for (wallet, ticket) in [("resumed", 1), ("instead", 2)] {
        joined(&aid, wallet, ticket);
        assert_eq!(aid.wallet(wallet, &UNIFORM, "", Some("vault-saved:11")).code, None);
        assert_eq!(aid.wallet(wallet, &["draw"], "", None).error(), (1, "draws-left".into(), String::new()));
        let other = [&UNIFORM[..], &["--line", "food=1"]].concat();
        assert_eq!(aid.wallet(wallet, &other, "", None).error().1, "draws-left");
    }
    let resumed = aid.wallet("resumed", &["resume"], "", None).json();
    assert_eq!((&resumed["draws_left"], held(&aid, "resumed")), (&0.into(), due(1)));
    assert_eq!(aid.wallet("resumed", &["draw"], "", None).json()["drawn"], 0);
    let instead = aid.wallet("instead", &["draw", "--instead"], "", None).json();
    assert!(instead["drawn"].as_u64().unwrap() > 3);
    assert_eq!(held(&aid, "instead"), due(2));
}

/// Killed after the last draw of a list: it is done, and in nobody's way.
#[test]
fn a_list_that_is_done_stands_in_no_way() {
    let aid = Aid::new(8);
    let one = [&UNIFORM[..], &["--line", "food=1"]].concat();
    let mut done = 0;
    for save in 1..8 {
        let wallet = format!("wallet-{save}");
        joined(&aid, &wallet, save);
        aid.wallet(&wallet, &["draw", "--site", "1", "--line", "cash=1"], "", None).json();
        let killed = aid.wallet(&wallet, &one, "", Some(&format!("vault-saved:{save}"))).code.is_none();
        if !killed || !held(&aid, &wallet).contains_key(&1) {
            continue;
        }
        done += 1;
        let ended = aid.wallet(&wallet, &["draw"], "", None);
        assert!(ended.json()["drawn"].as_u64().unwrap() > 0, "{ended:?}");
        assert_eq!(held(&aid, &wallet), due(save as u64));
    }
    assert!(done > 0);
}

/// A list of a round that was closed is given up when the person asks for the next; the next round's is drawn as usual, with the cash that was left.
#[test]
fn a_list_of_a_closed_round_is_given_up() {
    let aid = office::open_office(2, 3, &[]).0;
    joined(&aid, "wallet", 1);
    assert_eq!(aid.wallet("wallet", &UNIFORM, "", Some("vault-saved:11")).code, None);
    aid.next_round(1);
    let closed = aid.wallet("wallet", &UNIFORM, "", None).error();
    assert_eq!(closed, (1, "refused".into(), "round-not-open".into()));
    // Whoever says so has signed nothing: the list stays until the person asks for the round that was announced.
    assert_eq!(aid.wallet("wallet", &["draw"], "", None).error().1, "draws-left");
    let before = units(&aid.wallet("wallet", &["show", "--round", "1"], "", None).json()["collect"][0]["units"]);
    let drawn = aid.wallet("wallet", &[&UNIFORM[..], &["--round", "2"]].concat(), "", None).json();
    assert_eq!((&drawn["round"], &drawn["rolled_over"]), (&2.into(), &true.into()));
    let shown = aid.wallet("wallet", &["show"], "", None).json();
    let collect = shown["collect"].as_array().unwrap();
    let second = collect.iter().find(|place| place["round"] == 2).unwrap();
    let mut due = due(1);
    // Cash of both rounds, less what was drawn of the first.
    due.insert(4, 2 * 22 - before.get(&4).copied().unwrap_or_default());
    assert_eq!(units(&second["units"]), due);
    assert_eq!(units(&shown["draw"]), BTreeMap::new());
}

/// Recovery words bring so many draws back: more are not made without a word.
#[test]
fn more_draws_than_words_bring_back_are_refused() {
    let aid = Aid::new(4);
    let path = aid.path("wallet");
    run(&["--json", "new", "--words", "--work-factor", "2", path.to_str().unwrap()], "", None).json();
    aid.enrol("wallet", 3).json();
    assert_eq!(aid.wallet("wallet", &UNIFORM, "", None).error(), (1, "words-too-few".into(), String::new()));
    let told = run(&[&UNIFORM[..], &["--wallet", path.to_str().unwrap()]].concat(), "", None);
    assert!(told.err.contains("14 more draws") && told.err.contains("bring back 7"), "{told:?}");
    let some = aid.wallet("wallet", &[&UNIFORM[..], &["--line", "food=4"]].concat(), "", None).json();
    assert_eq!((&some["drawn"], &some["words_cover_the_next"]), (&4.into(), &true.into()));
    let all = aid.wallet("wallet", &[&UNIFORM[..], &["--beyond-words"]].concat(), "", None).json();
    assert_eq!((&all["drawn"], &all["words_cover_the_next"]), (&10.into(), &false.into()));
    assert_eq!((&some["words_cover_the_last"], &all["words_cover_the_last"]), (&true.into(), &false.into()));
    assert_eq!(held(&aid, "wallet"), due(3));
}

/// A program that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// While draws wait for their moments the wallet is shown and used; switched off, the rest is drawn later.
#[test]
fn a_wallet_is_used_while_its_draws_wait() {
    let aid = Aid::new(4);
    joined(&aid, "wallet", 3);
    let first = aid.wallet("wallet", &["draw", "--site", "1", "--line", "cash=4"], "", None).json();
    assert_eq!(first["rolled_over"], true);
    let (asked, announcements) = mpsc::channel();
    let between = Between::new(aid.issuer.address, move |exchange: Exchange<'_>| {
        let answer = exchange.answer()?;
        exchange.wallet.write_all(&answer)?;
        asked.send(exchange.line).map_err(std::io::Error::other)
    });
    // The wallet of a copy that knows the issuer by the way in between.
    aid.make("watched");
    let slip = aid.slip_of(&aid.prepared.codes[2], TicketKind::Enrol, &between.url());
    aid.wallet("watched", &["enrol"], &slip, None).json();
    aid.wallet("watched", &["draw", "--site", "1", "--line", "cash=4"], "", None).json();
    while announcements.try_recv().is_ok() {}

    // Of so many moments in a month none is in the next minutes, but for one time in some ten thousand.
    let spread = [&UNIFORM[..], &["--within", "31d"]].concat();
    let path = aid.path("watched");
    let mut command = Command::new(env!("CARGO_BIN_EXE_annona-wallet"));
    command.args(["--json", "--wallet", path.to_str().unwrap()]).args(&spread).env("ANNONA_PASSPHRASE", PIN);
    let waiting = Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    assert_eq!(announcements.recv().unwrap(), "GET /v1/announcement");
    // It has the file open until its plan is made.
    let left = loop {
        let resumed = aid.wallet("watched", &["resume"], "", None);
        if resumed.code == Some(0) {
            break resumed.json()["draws_left"].as_u64().unwrap();
        }
        assert_eq!(resumed.error().1, "file-in-use");
    };
    // Three of food and of soap; of cash two tens, and four.
    assert_eq!(left, 3 + 3 + 2 + 2);
    assert_eq!(held(&aid, "watched"), BTreeMap::from([(4, 4)]));
    let site = aid.wallet("watched", &["give"], "", None).json();
    assert!(site["codes"].as_array().is_some());
    drop(waiting);

    // `resume` does not send what was to be spread; the same command does, and so does one without a time.
    let resumed = aid.wallet("watched", &["resume"], "", None).json();
    assert_eq!((&resumed["draws_left"], announcements.try_recv().is_ok()), (&left.into(), false));
    let rest = aid.wallet("watched", &[&UNIFORM[..], &["--within", "50ms"]].concat(), "", None).json();
    assert_eq!((&rest["drawn"], &rest["draws"]), (&left.into(), &left.into()));
    let lines: Vec<String> = announcements.try_iter().collect();
    assert_eq!(lines.len() as u64, 1 + 2 * left, "the announcement once");
    assert_eq!(lines.iter().filter(|line| line.contains("announcement")).count(), 1);
}
