//! The crash matrix: the real program is killed at every write and at every message of every command of a household's life, against
//! a real issuer and site. In the end each household has what it was due, once, and the issuer's log and the site's statement say
//! the same.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and tells how far it is")]

mod aid;
#[path = "aid/between.rs"]
mod between;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;
#[path = "aid/office.rs"]
mod office;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use aid::{Aid, Ended, PIN, received, run, units};
use annona_protocol::{programme::TicketKind, ticket::TicketCode};
use between::{Between, Exchange};
use harness::{http, running::Server};
use office::{close_site, open_office};

/// Where a program is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At a save: when the new file is on the disk, and when it has its name. Before it is written is when the last message was.
    Save(&'static str),
    /// A message has left and not arrived.
    Lost,
    /// Half a message has arrived.
    Torn,
    /// The message has arrived; nothing of its answer has come.
    Unanswered,
    /// Half of the answer has come.
    HalfAnswered,
}

const MOMENTS: [Moment; 6] = [
    Moment::Save("vault-rename"),
    Moment::Save("vault-saved"),
    Moment::Lost,
    Moment::Torn,
    Moment::Unanswered,
    Moment::HalfAnswered,
];

/// The program that runs, and at which of its messages it is killed.
#[derive(Default)]
struct Victim {
    child: Option<Child>,
    moment: Option<(Moment, usize)>,
    messages: usize,
}

type Shared = Arc<Mutex<Victim>>;

/// Between the wallets and a server.
fn way(victim: &Shared, server: SocketAddr) -> Between {
    let victim = Arc::clone(victim);
    Between::new(server, move |exchange: Exchange<'_>| {
        let moment = {
            let mut victim = victim.lock().unwrap();
            victim.messages += 1;
            let now = victim.messages;
            victim.moment.and_then(|(moment, at)| (at == now).then_some(moment))
        };
        let half = exchange.request.len() / 2;
        let answer = match moment {
            Some(Moment::Lost) => Vec::new(),
            Some(Moment::Torn) => exchange.forward(half)?,
            _ => exchange.answer()?,
        };
        match moment {
            Some(Moment::HalfAnswered) => exchange.wallet.write_all(&answer[..answer.len() / 2])?,
            None | Some(Moment::Save(_)) => return exchange.wallet.write_all(&answer),
            _ => {}
        }
        let mut victim = victim.lock().unwrap();
        let child = victim.child.as_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        Ok(())
    })
}

/// A programme, its ways, and the wallets in its folder.
struct Stage {
    aid: Aid,
    victim: Shared,
    issuer: Between,
    site: Option<(Server, Between)>,
}

impl Stage {
    fn new(wallets: usize, amends: &[[u64; 2]]) -> (Self, Vec<TicketCode>) {
        let (aid, tickets) = open_office(wallets, 1, amends);
        let victim = Shared::default();
        let issuer = way(&victim, aid.issuer.address);
        (Self { aid, victim, issuer, site: None }, tickets)
    }

    fn open_site(&mut self) {
        let site = self.aid.open_site();
        let way = way(&self.victim, site.address);
        self.site = Some((site, way));
    }

    /// A command of a wallet, which is killed at the n-th such moment.
    fn run(&self, wallet: &str, arguments: &[&str], input: &str, moment: Option<(Moment, usize)>) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annona-wallet"));
        command.args(["--json", "--tries", "2", "--wallet"]).arg(self.aid.path(wallet)).args(arguments);
        command.env("ANNONA_PASSPHRASE", PIN).env("LC_ALL", "C").env_remove("ANNONA_FAULT");
        if let Some((Moment::Save(point), at)) = moment {
            command.env("ANNONA_FAULT", format!("{point}:{at}"));
        }
        let (mut stdin, mut stdout, mut stderr) = {
            let mut victim = self.victim.lock().unwrap();
            let pipes = || (Stdio::piped(), Stdio::piped(), Stdio::piped());
            let (input, output, error) = pipes();
            let mut child = command.stdin(input).stdout(output).stderr(error).spawn().unwrap();
            let taken = (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
            (victim.child, victim.moment, victim.messages) = (Some(child), moment, 0);
            taken
        };
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        let (mut out, mut err) = (String::new(), String::new());
        stdout.read_to_string(&mut out).unwrap();
        stderr.read_to_string(&mut err).unwrap();
        let code = {
            let mut victim = self.victim.lock().unwrap();
            victim.moment = None;
            victim.child.as_mut().unwrap().wait().unwrap().code()
        };
        Ended { code, out, err }
    }

    /// A command that is killed, resumed if the case is even, and given again until it is done. Whether it was killed.
    fn killed(&self, wallet: &str, step: &Step<'_>, moment: Moment, at: usize) -> bool {
        let arguments: Vec<&str> = step.command.split(' ').collect();
        let first = self.run(wallet, &arguments, step.input, Some((moment, at)));
        let case = format!("{}: {moment:?} {at}", step.command);
        if first.code.is_some() {
            assert_eq!(first.code, Some(0), "{case}: {first:?}");
            return false;
        }
        if at.is_multiple_of(2) {
            let resumed = self.run(wallet, &["resume"], "", None);
            let settled = resumed.code == Some(0) || resumed.error().1 == "not-enrolled";
            assert!(settled, "{case}: {resumed:?}");
        }
        let again = self.run(wallet, &arguments, step.input, None);
        let done = again.code == Some(0) || {
            let (_, code, reason) = again.error();
            step.done.contains(&&*code) || step.done.contains(&&*reason)
        };
        assert!(done, "{case}: {again:?}");
        true
    }
}

/// A command of a household's life, and how it says that it was done before.
struct Step<'a> {
    command: &'a str,
    input: &'a str,
    done: &'a [&'a str],
}

/// How many moments of a kind a command can have at most; each life ends earlier.
const MOST: usize = 12;

#[test]
fn a_program_killed_at_any_write_or_message_loses_and_doubles_nothing() {
    let (mut stage, tickets) = Stage::new(2 * MOMENTS.len() * MOST, &vec![[6, 2]; MOMENTS.len() * MOST]);
    let issuer = stage.issuer.url();
    // Each life is one household's, killed at the n-th such moment of every command; the next n until none is killed.
    let mut lives: Vec<(Moment, usize)> = Vec::new();
    let mut killed: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    let mut count = |name: &'static str, moment: Moment, was: bool| {
        let kind = MOMENTS.iter().position(|known| *known == moment).unwrap();
        *killed.entry((name, kind)).or_default() += usize::from(was);
        was
    };
    let ticket = |life: usize| 2 * life + 1;
    for moment in MOMENTS {
        for at in 1..=MOST {
            let life = lives.len();
            let wallet = format!("life-{life}");
            lives.push((moment, at));
            stage.aid.make(&wallet);
            let enrol = stage.aid.slip_of(&stage.aid.prepared.codes[ticket(life)], TicketKind::Enrol, &issuer);
            let amend = stage.aid.slip_of(&tickets[life], TicketKind::Amend, &issuer);
            let step = |command, input, done| Step { command, input, done };
            let mut any = false;
            for (name, step) in [
                ("enrol", step("enrol", &*enrol, &["already-enrolled"][..])),
                // Into the round, and everything.
                ("draw", step("draw --site 1", "", &[])),
                ("amend", step("amend", &amend, &["ticket-used"])),
                // There and back; done before, there is nothing left.
                ("swap", step("swap --from 1 --to 2", "", &["voucher-not-free"])),
                ("swap back", step("swap --from 2 --to 1", "", &["voucher-not-free"])),
            ] {
                any |= count(name, moment, stage.killed(&wallet, &step, moment, at));
            }
            if !any {
                break;
            }
        }
    }
    stage.open_site();
    let url = stage.site.as_ref().unwrap().1.url();
    let redeem = format!("redeem --site 1 --site-url {url}");
    let mut owed_units = 0;
    for (life, (moment, at)) in lives.iter().enumerate() {
        let wallet = format!("life-{life}");
        let server = &stage.site.as_ref().unwrap().0;
        // Of every household's cash one unit is missing at first.
        let due = household(ticket(life));
        let short = format!(r#"{{"1":1000,"2":1000,"3":1000,"4":{}}}"#, due[&4] - 1);
        server.supervise("/operator/stock", &[http::JSON], short.as_bytes());
        let visit = Step { command: &redeem, input: "", done: &["nothing-to-redeem"] };
        count("redeem", *moment, stage.killed(&wallet, &visit, *moment, *at));
        server.supervise("/operator/stock", &[http::JSON], br#"{"1":1000,"2":1000,"3":1000,"4":1000}"#);
        let collect = Step { command: "collect --site 1", input: "", done: &["nothing-owed"] };
        count("collect", *moment, stage.killed(&wallet, &collect, *moment, *at));
        owed_units += 1;
    }
    eprintln!("{} lives; killed: {killed:?}", lives.len());
    // Every command was killed at every kind of moment, and no life was too short for it.
    let commands: BTreeSet<&str> = killed.keys().map(|(name, _)| *name).collect();
    assert_eq!((commands.len(), killed.len()), (7, 7 * MOMENTS.len()));
    for ((command, kind), times) in &killed {
        let of_kind = lives.iter().filter(|(moment, _)| *moment == MOMENTS[*kind]).count();
        assert!((1..of_kind).contains(times), "{command}, {:?}: {times} of {of_kind}", MOMENTS[*kind]);
    }

    let mut all: BTreeMap<u64, u64> = BTreeMap::new();
    for (life, case) in lives.iter().enumerate() {
        let wallet = format!("life-{life}");
        let due = household(ticket(life));
        assert_eq!(received(&stage.aid, &wallet), due, "{case:?}");
        let shown = stage.aid.wallet(&wallet, &["show"], "", None).json();
        assert_eq!(
            (units(&shown["draw"]), shown["collect"].as_array().unwrap().len()),
            (BTreeMap::new(), 0),
            "{case:?}"
        );
        assert_eq!(
            (units(&shown["owed"]), &shown["unfinished"]),
            (BTreeMap::new(), &serde_json::json!([])),
            "{case:?}"
        );
        due.into_iter().for_each(|(line, units)| *all.entry(line).or_default() += units);
    }
    let (server, _) = stage.site.take().unwrap();
    let [handed, owed, collected] = close_site(&server);
    assert_eq!(handed.into_iter().collect::<BTreeMap<_, _>>(), all);
    assert_eq!((owed, collected), (vec![(4, owed_units)], vec![(4, owed_units)]));
    let [enrolled, rolled, draws, swaps, amends] = stage.aid.logged();
    let lives = lives.len();
    assert_eq!([enrolled, rolled, draws, swaps, amends], [lives, lives, lives, 2 * lives, lives]);
}

/// Of many draws of one voucher each every run is killed, at another kind of moment and another message each time, until one comes
/// through; every fourth time `resume` goes on, and is killed too.
#[test]
fn uniform_draws_killed_at_every_kind_of_moment_draw_what_is_due() {
    let (mut stage, _) = Stage::new(8, &[]);
    let issuer = stage.issuer.url();
    stage.aid.make("family");
    // Eight members, one of them under two: 17 units in kind, and 58 of cash in eight vouchers.
    let slip = stage.aid.slip_of(&stage.aid.prepared.codes[7], TicketKind::Enrol, &issuer);
    stage.aid.wallet("family", &["enrol"], &slip, None).json();
    let mut killed = BTreeMap::new();
    for run in 0.. {
        assert!(run < 100, "it does not come to an end");
        let kind = run % MOMENTS.len();
        let at = 2 + run / MOMENTS.len() + usize::from(matches!(MOMENTS[kind], Moment::Save(_)));
        let command: &[&str] = if run % 4 == 3 { &["resume"] } else { &["draw", "--site", "1", "--uniform"] };
        let ended = stage.run("family", command, "", Some((MOMENTS[kind], at)));
        if ended.code.is_none() {
            *killed.entry(kind).or_insert(0) += 1;
            continue;
        }
        assert_eq!(ended.code, Some(0), "{ended:?}");
        if command[0] == "draw" {
            break;
        }
    }
    assert_eq!(killed.len(), MOMENTS.len(), "{killed:?}");
    let shown = stage.aid.wallet("family", &["show"], "", None).json();
    assert_eq!(units(&shown["collect"][0]["units"]), household(7));
    assert_eq!((units(&shown["draw"]), &shown["unfinished"]), (BTreeMap::new(), &serde_json::json!([])));
    let vouchers = shown["collect"][0]["vouchers"].as_array().unwrap().len();
    assert_eq!(vouchers, 8 + 8 + 1 + 8);
    assert_eq!(stage.aid.logged(), [1, 1, vouchers, 0, 0]);
}

/// A wallet with words that has drawn, its backup, and its words.
fn with_words(stage: &Stage, ticket: usize) -> String {
    let (aid, path) = (&stage.aid, stage.aid.path("wallet"));
    let made = run(&["--json", "new", "--words", "--work-factor", "2", path.to_str().unwrap()], "", None).json();
    let words: Vec<&str> = made["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let slip = aid.slip_of(&aid.prepared.codes[ticket], TicketKind::Enrol, &stage.issuer.url());
    aid.wallet("wallet", &["enrol"], &slip, None).json();
    aid.wallet("wallet", &["backup", aid.path("backup").to_str().unwrap()], "", None).json();
    aid.wallet("wallet", &["draw", "--site", "1"], "", None).json();
    words.join(" ")
}

/// A restore, of a backup or from words alone, that is killed at every write and message and run again brings everything back.
#[test]
fn a_restore_killed_at_any_write_or_message_brings_everything_back() {
    let (stage, _) = Stage::new(2, &[]);
    let words = with_words(&stage, 1);
    stage.aid.close_batch();
    let (id, issuer) = (hex::encode(stage.aid.prepared.id.0), stage.issuer.url());
    for from_words in [false, true] {
        for moment in MOMENTS {
            let mut kills = 0;
            for at in 1.. {
                let wallet = format!("{from_words}-{moment:?}-{at}").replace(['"', '(', ')'], "");
                let path = stage.aid.path(&wallet);
                let lost =
                    ["restore", path.to_str().unwrap(), "--work-factor", "2", "--programme", &id, "--issuer", &issuer];
                let (command, input): (&[&str], &str) = if from_words { (&lost, &words) } else { (&["restore"], "") };
                if !from_words {
                    std::fs::copy(stage.aid.path("backup"), &path).unwrap();
                }
                let killed = stage.run(&wallet, command, input, Some((moment, at))).code.is_none();
                if killed {
                    kills += 1;
                    // The file goes on by itself, if it came to know its programme; a new one begins again.
                    let again = stage.run(&wallet, &["restore"], "", None);
                    if again.code != Some(0) {
                        assert!(
                            from_words && ["not-enrolled", "file-unreadable"].contains(&&*again.error().1),
                            "{again:?}"
                        );
                        drop(std::fs::remove_file(&path));
                        stage.run(&wallet, command, input, None).json();
                    }
                }
                let shown = stage.aid.wallet(&wallet, &["show"], "", None).json();
                assert_eq!(units(&shown["collect"][0]["units"]), household(1), "{wallet}");
                assert_eq!((units(&shown["draw"]), shown["drawn"].as_u64()), (BTreeMap::new(), Some(1)), "{wallet}");
                if !killed {
                    break;
                }
                assert!(at < 30, "{wallet}: it does not come to an end");
            }
            assert!(kills > 0, "{moment:?}");
        }
    }
}

/// Gifts and cards that are killed at every save, on the giver's and the taker's side: each voucher is with one of them or on its
/// way, and in the end the taker redeems all of them, once.
#[test]
fn gifts_and_cards_killed_at_any_save_lose_and_double_nothing() {
    let (mut stage, _) = Stage::new(2, &[]);
    let slip = stage.aid.slip_of(&stage.aid.prepared.codes[1], TicketKind::Enrol, &stage.issuer.url());
    stage.aid.make("giver");
    stage.aid.wallet("giver", &["enrol"], &slip, None).json();
    stage.aid.wallet("giver", &["draw", "--site", "1"], "", None).json();
    stage.aid.make("taker");
    let other = stage.aid.slip_of(&stage.aid.prepared.codes[0], TicketKind::Enrol, &stage.issuer.url());
    stage.aid.wallet("taker", &["enrol"], &other, None).json();
    let held = |wallet: &str| units_held(&stage.aid, wallet);
    let (all, nothing) = (household(1), BTreeMap::new());
    let mut last = String::new();
    for (point, at) in
        ["vault-save", "vault-rename", "vault-saved"].into_iter().flat_map(|point| [(point, 1), (point, 2)])
    {
        let case = format!("{point}-{at}");
        let [giver, taker] = ["giver", "taker"].map(|of| {
            let wallet = format!("{of}-{case}");
            std::fs::copy(stage.aid.path(of), stage.aid.path(&wallet)).unwrap();
            wallet
        });
        let fault = format!("{point}:{at}");
        let run = |wallet: &str, command: &[&str], input: &str, fault: Option<&str>| {
            let path = stage.aid.path(wallet);
            let arguments = [&["--json", "--wallet", path.to_str().unwrap()], command].concat();
            aid::run_with(&arguments, input, fault, &[("ANNONA_CARD_PIN", "2468")])
        };
        // Killed before it was packed, it is given anew; afterwards its codes are shown again.
        run(&giver, &["give"], "", Some(&fault));
        let gift = run(&giver, &["give", "--again", "1"], "", None);
        let gift = if gift.code == Some(0) { gift } else { run(&giver, &["give"], "", None) }.json();
        let codes: Vec<&str> = gift["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(held(&giver), nothing, "{case}");
        run(&taker, &["take"], &codes.join("\n"), Some(&fault));
        run(&taker, &["take"], &codes.join("\n"), None).json();
        assert_eq!(held(&taker), all, "{case}");
        if run(&giver, &["give", "--done", "1"], "", Some(&fault)).code.is_none() {
            let again = run(&giver, &["give", "--done", "1"], "", None);
            assert!(again.code == Some(0) || again.error().1 == "no-parcel", "{case}: {again:?}");
        }
        assert_eq!(run(&giver, &["unpack", "1"], "", None).error().1, "no-parcel", "{case}");

        // And back by a card.
        let card = stage.aid.path(&format!("{case}.card"));
        let card = card.to_str().unwrap();
        let write = ["card", "write", card, "--work-factor", "2", "--site", "1"];
        if run(&taker, &write, "", Some(&fault)).code.is_none() && held(&taker) == nothing {
            // Packed: on the card or not, it is taken back and written again.
            let unpacked = run(&taker, &["unpack", "1"], "", None);
            assert!(unpacked.code == Some(0) || unpacked.error().1 == "no-parcel", "{case}: {unpacked:?}");
        }
        if held(&taker) != nothing {
            run(&taker, &write, "", None).json();
        }
        assert_eq!(held(&taker), nothing, "{case}");
        run(&giver, &["card", "read", card], "", Some(&fault));
        run(&giver, &["card", "read", card], "", None).json();
        assert_eq!(held(&giver), all, "{case}");
        assert_eq!(run(&giver, &["card", "show", card], "", None).json()["held"], 0, "{case}");
        last = giver;
    }
    // All of them are copies of the same vouchers: the site takes them once, and hands over once.
    stage.open_site();
    let url = stage.site.as_ref().unwrap().1.url();
    let redeem = ["redeem", "--site", "1", "--site-url", &*url];
    stage.aid.wallet(&last, &redeem, "", None).json();
    assert_eq!(received(&stage.aid, &last), all);
    let stale = stage.aid.wallet("giver", &redeem, "", None).json();
    assert_eq!(stale["visit"]["outcome"], "accepted-before");
    let (server, _) = stage.site.take().unwrap();
    let [handed, owed, _] = close_site(&server);
    assert_eq!((handed.into_iter().collect(), owed.len()), (all, 0));
}

fn units_held(aid: &Aid, wallet: &str) -> BTreeMap<u64, u64> {
    let shown = aid.wallet(wallet, &["show"], "", None).json();
    shown["collect"].as_array().unwrap().first().map(|place| units(&place["units"])).unwrap_or_default()
}

/// What a ticket's household is due in the first round: an amend counts from the next one.
fn household(ticket: usize) -> BTreeMap<u64, u64> {
    let members = 1 + ticket as u64 % 8;
    BTreeMap::from([(1, members), (2, members), (3, ticket as u64 % 2), (4, 10 + 6 * members)])
}
