//! Copies of one wallet that race, by the real program against a real issuer and site: of each serial and each voucher one copy
//! wins, the other goes on where the winner is, and nothing is lost or doubled.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "aid/office.rs"]
mod office;

use std::{collections::BTreeMap, fs, thread};

use aid::{Aid, Ended, run, units};
use office::{close_site, open_office};
use serde_json::Value;

/// What the household of the second ticket is due: two members, one of them under two.
fn due() -> BTreeMap<u64, u64> {
    BTreeMap::from([(1, 2), (2, 2), (3, 1), (4, 22)])
}

/// Two copies of a wallet with words that has rolled over, and drawn if that is wanted.
fn copies(aid: &Aid, drawn: bool) -> [&'static str; 2] {
    let path = aid.path("left");
    run(&["--json", "new", "--words", "--work-factor", "2", path.to_str().unwrap()], "", None).json();
    aid.enrol("left", 1).json();
    let draw: &[&str] = &["draw", "--site", "1"];
    aid.wallet("left", if drawn { draw } else { &["draw", "--site", "1", "--line", "cash=2"] }, "", None).json();
    fs::copy(&path, aid.path("right")).unwrap();
    ["left", "right"]
}

fn command(aid: &Aid, wallet: &str, arguments: &[&str]) -> Value {
    aid.wallet(wallet, arguments, "", None).json()
}

/// Two programs at the same time, which start together.
fn at_once(aid: &Aid, runs: [(&str, &[&str], &str); 2]) -> [Ended; 2] {
    let start = std::sync::Barrier::new(2);
    let path = |wallet: &str| aid.path(wallet).to_str().unwrap().to_owned();
    let runs = runs.map(|(wallet, arguments, input)| (path(wallet), arguments, input));
    thread::scope(|scope| {
        let start = &start;
        let threads = runs.map(|(path, arguments, input)| {
            scope.spawn(move || {
                start.wait();
                run(&[&["--json", "--tries", "6", "--wallet", &path], arguments].concat(), input, None)
            })
        });
        threads.map(|thread| thread.join().unwrap())
    })
}

/// Which of two runs was answered: the other one lost, and was told why.
fn winner(ended: &[Ended; 2], reasons: &[&str]) -> usize {
    let winner = ended.iter().position(|ended| ended.code == Some(0)).unwrap_or_else(|| panic!("{ended:?}"));
    let (code, kind, reason) = ended[1 - winner].error();
    assert_eq!((code, &*kind), (1, "refused"), "{ended:?}");
    assert!(reasons.contains(&&*reason), "{ended:?}");
    winner
}

fn held(aid: &Aid, wallet: &str, site: u64) -> BTreeMap<u64, u64> {
    let shown = command(aid, wallet, &["show"]);
    let places = shown["collect"].as_array().unwrap();
    let at = places.iter().find(|place| place["site"].as_u64() == Some(site));
    at.map(|place| units(&place["units"])).unwrap_or_default()
}

/// [P7] One copy draws, the other amends: one of them is answered. The loser adopts what the winner's slot holds, and does its own.
#[test]
fn a_draw_against_an_amend_has_one_winner() {
    // One after the other in either order, and both at once.
    for order in [Some(0), Some(1), None] {
        let (mut aid, tickets) = open_office(2, 1, &[[6, 2]]);
        let wallets = copies(&aid, false);
        let slip = aid.amend_slip(&tickets[0]);
        let runs: [(&str, &[&str], &str); 2] =
            [(wallets[0], &["draw", "--site", "1"], ""), (wallets[1], &["amend"], &slip)];
        let single = |(wallet, arguments, input): (&str, &[&str], &str)| aid.wallet(wallet, arguments, input, None);
        let ended = match order {
            None => at_once(&aid, runs),
            Some(first) => {
                let mut ended = [single(runs[first]), single(runs[1 - first])];
                if first == 1 {
                    ended.reverse();
                }
                ended
            }
        };
        let winner = winner(&ended, &["spent", "slot-exists"]);
        assert!(order.is_none_or(|first| first == winner), "{ended:?}");
        let loser = 1 - winner;
        // It shows nothing more before it has asked the slots.
        let (code, kind, _) = single(runs[loser]).error();
        assert!(code != 0 && ["copied", "refused", "refresh-due"].contains(&&*kind), "{kind}");
        aid.close_batch();
        let restored = command(&aid, wallets[loser], &["restore"]);
        assert_eq!(restored["credential"], true, "{restored}");
        assert!(restored["vouchers"].as_u64().unwrap() > 0 || winner == 1, "{restored}");
        assert_eq!(single(runs[loser]).code, Some(0));
        // Whoever was first: the draw was made once, of the old attributes; the ticket was used once.
        let holder = wallets[loser];
        assert_eq!(command(&aid, holder, &["draw", "--site", "1"])["drawn"], 0);
        assert_eq!(held(&aid, holder, 1), due(), "order {order:?}, winner {winner}");
        assert_eq!(aid.wallet(holder, &["amend"], &slip, None).error().2, "ticket-used");
        // The winner has fallen behind now, and goes on the same way.
        let behind = wallets[winner];
        let (code, kind, _) = aid.wallet(behind, &["amend"], &slip, None).error();
        assert!((code, &*kind) == (1, "refused"), "{kind}");
        let logged = aid.logged();
        assert_eq!((logged[0], logged[1], logged[4]), (1, 1, 1));
    }
}

/// Two copies draw everything at once: drawn once, and both hold the same vouchers in the end.
#[test]
fn copies_that_draw_at_once_draw_once() {
    let mut aid = open_office(2, 1, &[]).0;
    let wallets = copies(&aid, false);
    let draw: &[&str] = &["draw", "--site", "1"];
    let ended = at_once(&aid, [(wallets[0], draw, ""), (wallets[1], draw, "")]);
    let winner = winner(&ended, &["spent", "slot-exists"]);
    aid.close_batch();
    let loser = wallets[1 - winner];
    assert_eq!(command(&aid, loser, &["restore"])["credential"], true);
    for wallet in wallets {
        assert_eq!(held(&aid, wallet, 1), due());
    }
    assert_eq!(command(&aid, loser, draw)["drawn"], 0);
    // They are the same vouchers: a site takes them once.
    let site = aid.open_site();
    let url = format!("http://{}", site.address);
    let redeem = ["redeem", "--site", "1", "--site-url", &url];
    assert_eq!(units(&command(&aid, loser, &redeem)["visit"]["units"]), due());
    // The counter sees that this was accepted before.
    assert_eq!(command(&aid, wallets[winner], &redeem)["visit"]["outcome"], "accepted-before");
    let [handed, ..] = close_site(&site);
    assert_eq!(handed.into_iter().collect::<BTreeMap<_, _>>(), due());
    drop(site);
    assert_eq!(aid.logged()[2], 2, "two draws: before the copy, and of one copy");
}

/// Two copies swap the same vouchers for those of different sites at once.
#[test]
fn copies_that_swap_at_once_swap_once() {
    let mut aid = open_office(2, 1, &[]).0;
    let wallets = copies(&aid, true);
    let swaps: [&[&str]; 2] = [&["swap", "--from", "1", "--to", "2"], &["swap", "--from", "1", "--to", "3"]];
    let ended = at_once(&aid, [(wallets[0], swaps[0], ""), (wallets[1], swaps[1], "")]);
    let winner = winner(&ended, &["spent", "voucher-spent", "already-swapped", "slot-exists"]);
    aid.close_batch();
    let loser = wallets[1 - winner];
    let restored = command(&aid, loser, &["restore"]);
    assert_eq!(restored["vouchers"], ended[winner].json()["swapped"]);
    let site = [2, 3][winner];
    for wallet in wallets {
        let places: Vec<_> = (1..=3).map(|site| held(&aid, wallet, site)).collect();
        assert_eq!(places.iter().filter(|place| !place.is_empty()).count(), 1, "{places:?}");
        assert_eq!(held(&aid, wallet, site), due());
    }
    // And goes on: to the site that it wanted.
    command(&aid, loser, &["swap", "--from", &site.to_string(), "--to", "1"]);
    assert_eq!(held(&aid, loser, 1), due());
    assert_eq!(aid.logged()[3], 2);
}

/// Two copies redeem at once: the goods are handed out once. What overlaps is told apart from what does not.
#[test]
fn copies_that_redeem_at_once_get_the_goods_once() {
    for parts in [[None, None], [Some("cash=2"), None], [Some("food=2"), Some("cash=2")]] {
        let aid = Aid::new(2);
        let wallets = copies(&aid, true);
        let site = aid.open_site();
        let url = format!("http://{}", site.address);
        let visit = |part: Option<&'static str>| {
            let mut arguments = vec!["redeem", "--site", "1", "--site-url", url.as_str()];
            part.into_iter().for_each(|part| arguments.extend(["--part", part]));
            arguments
        };
        let [left, right] = parts.map(visit);
        let ended = at_once(&aid, [(wallets[0], &left, ""), (wallets[1], &right, "")]);
        assert!(ended.iter().any(|ended| ended.code == Some(0)), "{ended:?}");
        for (ended, wallet) in ended.iter().zip(wallets) {
            if ended.code != Some(0) {
                let (code, kind, reason) = ended.error();
                assert_eq!((code, &*kind, &*reason), (1, "refused", "already-redeemed"), "{wallet}");
            }
        }
        // Each shows what it still holds; the site refuses what it knows, by name.
        for wallet in wallets {
            for _ in 0..2 {
                let again = aid.wallet(wallet, &visit(None), "", None);
                if again.code != Some(0) {
                    let (code, kind, reason) = again.error();
                    assert_eq!(code, 1, "{again:?}");
                    assert!(kind == "nothing-to-redeem" || reason == "already-redeemed", "{again:?}");
                }
            }
        }
        let [handed, owed, _] = close_site(&site);
        assert_eq!((handed.into_iter().collect::<BTreeMap<_, _>>(), owed.len()), (due(), 0), "{parts:?}");
    }
}
