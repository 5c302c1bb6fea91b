//! Visits without a network between telephone and counter: the real wallet and the real site's desk, square by square, read from
//! images by a decoder that is not ours.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aid;
#[path = "../../node/tests/harness/mod.rs"]
mod harness;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use aid::{Aid, Ended, received, units};
use annona_bearer::screen::Squares;
use annona_protocol::{
    ids::{ManifestHash, ProgrammeId, Round, SiteId},
    slip::{Place, Quote, Signed},
    wire::Message as _,
};
use harness::{Plan, http, prepare_where, running::Server};
use serde_json::Value;

/// The node's program. Built as `cargo test --workspace` builds it for a test of its own: nothing is left to do then.
static NODE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_BIN_EXE_annona-wallet")).parent().unwrap().to_owned();
    let build = ["test", "--quiet", "--locked", "--offline", "--workspace", "--no-run", "--test", "office"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success(), "annona-node does not build");
    let program = folder.join("annona-node");
    assert!(program.exists(), "{} is not there", program.display());
    program
});

/// A command of the counter's desk.
fn desk(site: &Server, arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(&*NODE);
    command.args(["site", "desk"]).args(arguments).args(["--running", &format!("http://{}", site.address)]);
    let token = site.tokens[1].trim_start_matches("Bearer ");
    command.env("ANNONA_OPERATOR_TOKEN", token).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The squares that a command showed, as texts.
fn squares(report: &Value) -> Vec<String> {
    report["squares"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What a scanner writes that is held to these squares.
fn scan(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text}\n")).collect()
}

fn quoted(site: &Server) -> String {
    scan(&squares(&desk(site, &["quote", "--json"], "").json()))
}

/// The texts of images, by zbar.
fn photographed(files: &Value) -> Vec<String> {
    let read = |file: &Value| {
        let options = ["--quiet", "--raw", "--nodbus", "-Sdisable", "-Sqrcode.enable"];
        let output = match Command::new("zbarimg").args(options).arg(file.as_str().unwrap()).output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!("zbarimg is missing. As root run:\n    apt-get install -y zbar-tools\nand try again")
            }
            Err(error) => panic!("zbarimg: {error}"),
        };
        assert!(output.status.success(), "{file}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        let first = lines.next().unwrap().to_owned();
        assert_eq!(lines.next(), None, "one square in an image");
        first
    };
    files.as_array().unwrap().iter().map(read).collect()
}

/// A wallet that has drawn everything for the first site.
fn drawn(aid: &Aid, wallet: &str, ticket: usize) -> BTreeMap<u64, u64> {
    aid.make(wallet);
    aid.enrol(wallet, ticket).json();
    let due = units(&aid.wallet(wallet, &["show"], "", None).json()["draw"]);
    assert!(aid.wallet(wallet, &["draw", "--site", "1"], "", None).json()["drawn"].as_u64().unwrap() > 0);
    due
}

/// The report of a visit that was shown and waits for its answer.
fn shown(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(75), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// Nine people, all in vouchers of one unit of food and soap: more squares than one, both ways. All goes by images that another
/// project's program reads, in another order and repeated.
#[test]
fn a_family_of_nine_visits_by_squares_alone() {
    let aid = {
        // One more than the plan's households of up to eight have.
        let prepared = prepare_where(Plan { tickets: 8, rounds: 1, advance: 0 }, |text| {
            let one = text.replacen("values = [1, 2, 4, 8]", "values = [1]", 2);
            one.replacen("is = \"members\"", "is = \"1 + members\"", 2)
        });
        let witness = prepared.start_witness();
        let issuer = prepared.start_issuer(&witness, |_| ());
        Aid { prepared, witness, issuer, folder: tempfile::tempdir().unwrap() }
    };
    let due = drawn(&aid, "wallet", 7);
    assert_eq!((due[&1], due[&2]), (9, 9));
    let site = aid.open_site();

    let folder = aid.path("squares");
    let png = folder.to_str().unwrap();
    let quote = desk(&site, &["quote", "--json", "--png", png], "").json();
    assert_eq!((quote["site"].as_u64(), quote["round"].as_u64()), (Some(1), Some(1)));
    let texts = photographed(&quote["files"]);
    assert_eq!(texts, squares(&quote));

    let asked = shown(&aid.wallet("wallet", &["redeem", "--qr", "--png", png], &scan(&texts), None));
    assert_eq!((&asked["visit"], &asked["unfinished"][0]["task"]), (&Value::Null, &"visit".into()));
    let mut request = photographed(&asked["files"]);
    assert!((4..10).contains(&request.len()), "{} squares", request.len());
    assert_eq!(request, squares(&asked));
    // From the last to the first, each twice, with some of what else lies about.
    request.reverse();
    let mut scanned = Vec::new();
    for text in &request {
        scanned.extend([text.clone(), texts[0].clone(), text.clone(), "https://example.org".into()]);
    }
    // Whole messages that are no visit, and then the visit.
    let answer = desk(&site, &["visit", "--json", "--png", png], &(scan(&texts) + &scan(&scanned))).json();
    assert_eq!(answer["outcome"], "accepted");
    assert_eq!(units(&answer["units"]), due);
    let mut receipts = photographed(&answer["files"]);
    assert!((6..16).contains(&receipts.len()), "{} squares", receipts.len());
    receipts.rotate_left(3);
    receipts.push(receipts[0].clone());

    // The officer's tap is that of any visit: once.
    let visit = answer["visit"].as_str().unwrap();
    let tapped = desk(&site, &["hand-over", visit], "");
    assert_eq!(tapped.code, Some(0), "{tapped:?}");
    let again = desk(&site, &["hand-over", visit], "");
    assert!(again.code == Some(2) && again.err.contains("already-handed-over"), "{again:?}");

    let done = aid.wallet("wallet", &["redeem", "--qr", "--answer"], &scan(&receipts), None).json();
    assert_eq!(units(&done["visit"]["units"]), due);
    assert_eq!((&done["visit"]["code"], &done["visit"]["outcome"]), (&visit.into(), &"accepted".into()));
    assert_eq!(received(&aid, "wallet"), due);
    println!("squares: quote 1, visit {}, receipts {}", request.len(), receipts.len() - 1);
}

/// People see what programs do: one command that shows and scans, in a terminal of either colour.
#[test]
fn one_command_shows_and_scans() {
    let aid = Aid::new(2);
    let due = drawn(&aid, "wallet", 1);
    let site = aid.open_site();
    let path = aid.path("wallet");
    let visit = ["redeem", "--qr", "--wallet", path.to_str().unwrap()];
    let first = aid::run(&visit, &quoted(&site), None);
    assert_eq!(first.code, Some(75), "{first:?}");
    assert!(
        first.out.contains('█') && first.out.contains("1 / 2") && first.err.contains("Hold these squares"),
        "{first:?}"
    );
    assert!(first.err.contains("These squares are for north-gate, round 1."), "{first:?}");
    // The same squares again, and with the colours turned round.
    let dark = aid::run(&visit, "", None);
    assert!(dark.err.contains("The visit to north-gate, round 1, was begun before"), "{dark:?}");
    // For another site, or if it was drawn for another since, they are not shown.
    let south = [&visit[..], &["--site", "2"]].concat();
    assert!(!aid::run(&south, "", None).out.contains('█'));
    aid.make("moved");
    fs::copy(&path, aid.path("moved")).unwrap();
    aid.wallet("moved", &["draw", "--site", "2"], "", None).json();
    assert_eq!(aid.wallet("moved", &["redeem", "--qr"], "", None).error().1, "which-site");
    assert_eq!(
        shown(&aid.wallet("moved", &["redeem", "--qr", "--site", "1"], "", None))["unfinished"][0]["task"],
        "visit"
    );
    assert_eq!(dark.out, first.out);
    let light = aid::run(&[&visit[..], &["--light"]].concat(), "", None);
    let modules = |text: &str| -> String {
        let is_row = |line: &&str| line.chars().all(|c| "█▀▄ ".contains(c)) && line.chars().count() > 60;
        text.lines().filter(is_row).flat_map(str::chars).collect()
    };
    let turned = |c: char| match c {
        '█' => ' ',
        ' ' => '█',
        '▀' => '▄',
        _ => '▀',
    };
    assert!(modules(&dark.out).chars().count() > 4_000);
    assert_eq!(modules(&light.out), modules(&dark.out).chars().map(turned).collect::<String>());
    // With the answer behind: the counter's desk has scanned what the first command showed.
    let asked = shown(&aid.wallet("wallet", &["redeem", "--qr"], "", None));
    let answer = desk(&site, &["visit", "--json"], &scan(&squares(&asked))).json();
    let done = aid::run(&visit, &(quoted(&site) + &scan(&squares(&answer))), None);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("took your vouchers") && done.out.contains("You get now"), "{done:?}");
    assert_eq!(received(&aid, "wallet"), due);
    assert_eq!(aid.wallet("wallet", &["redeem", "--qr", "--answer"], "", None).error().1, "qr-not-asked");
    assert_eq!(aid.wallet("wallet", &["redeem", "--qr"], &quoted(&site), None).error().1, "nothing-to-redeem");
}

/// The phone is switched off at every save of every step; the counter's desk may be asked again at any time.
#[test]
fn a_phone_that_is_switched_off_between_squares_loses_nothing() {
    let aid = Aid::new(2);
    let due = drawn(&aid, "first", 1);
    let site = aid.open_site();
    let mut answered = Vec::new();
    for point in ["vault-rename", "vault-saved"] {
        for save in 1.. {
            let wallet = format!("{point}-{save}");
            fs::copy(aid.path("first"), aid.path(&wallet)).unwrap();
            let fault = format!("{point}:{save}");
            let quote = quoted(&site);
            let asked = aid.wallet(&wallet, &["redeem", "--qr"], &quote, Some(&fault));
            let killed = asked.code.is_none();
            let asked = if killed { aid.wallet(&wallet, &["redeem", "--qr"], &quote, None) } else { asked };
            let request = squares(&shown(&asked));
            // Shown again it is the same, whatever is scanned with it.
            assert_eq!(squares(&shown(&aid.wallet(&wallet, &["redeem", "--qr"], &quoted(&site), None))), request);
            answered.push((wallet, request));
            if !killed {
                assert!(save > 1, "{point}: nothing was saved");
                break;
            }
        }
    }
    // Copies of one wallet: its vouchers are accepted once, and each copy gets the receipts.
    let mut first = None;
    for (wallet, request) in &answered {
        let answer = desk(&site, &["visit", "--json"], &scan(request)).json();
        let outcome = answer["outcome"].as_str().unwrap().to_owned();
        assert_eq!(outcome, if first.is_none() { "accepted" } else { "accepted-before" });
        let receipts = scan(&squares(&answer));
        // Killed with the answer in hand: it is scanned again.
        for point in ["vault-rename", "vault-saved"] {
            for save in 1.. {
                let copy = format!("{wallet}-{point}-{save}");
                fs::copy(aid.path(wallet), aid.path(&copy)).unwrap();
                let fault = format!("{point}:{save}");
                let command = ["redeem", "--qr", "--answer"];
                let ended = aid.wallet(&copy, &command, &receipts, Some(&fault));
                if ended.code.is_none() {
                    let again = aid.wallet(&copy, &command, &receipts, None);
                    assert!(again.code == Some(0) || again.error().1 == "qr-not-asked", "{again:?}");
                }
                assert_eq!(received(&aid, &copy), due, "{copy}");
                if ended.code.is_some() {
                    break;
                }
            }
        }
        first.get_or_insert(receipts);
    }
    assert!(answered.len() > 3);
}

/// Whatever else is scanned is named, and reveals nothing.
#[test]
fn what_is_no_quote_of_a_known_place_is_refused_by_name() {
    let aid = Aid::new(2);
    drawn(&aid, "wallet", 1);
    let site = aid.open_site();
    let error = |input: &str| {
        let ended = aid.wallet("wallet", &["redeem", "--qr"], input, None);
        assert!(!ended.out.contains("\"squares\""), "{ended:?}");
        let (exit, code, reason) = ended.error();
        assert_eq!(reason, "");
        (exit, code)
    };
    let told = |code: &str, exit: i32| (exit, code.to_owned());
    assert_eq!(error(""), told("qr-nothing", 75));
    assert_eq!(error("https://example.org\n"), told("frames-foreign", 2));
    assert_eq!(error("ANNONA1/V/000\n"), told("frames-kind", 2));
    assert_eq!(error("ANNONA2/M/000\n"), told("frames-version", 2));
    assert_eq!(error("ANNONA1/M/0\n"), told("frames-damaged", 2));
    let long = |byte: u8, length| {
        let squares = Squares::of(&vec![byte; length]).unwrap();
        squares.texts().map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, two) = (long(1, 1500), long(2, 1500));
    assert_eq!(error(&scan(&one[..2])), told("qr-missing", 75));
    assert_eq!(error(&scan(&[one[0].clone(), two[1].clone()])), told("frames-other-message", 2));
    let other = two[1].rsplit_once('/').unwrap().1;
    let head = one[1].rsplit_once('/').unwrap().0;
    let changed = format!("{head}/{other}");
    assert_eq!(error(&scan(&[one[1].clone(), changed.clone()])), told("frames-conflict", 2));
    assert_eq!(error(&scan(&[one[0].clone(), changed, one[2].clone()])), told("frames-mismatch", 2));
    assert_eq!(error(&scan(&one)), told("quote-foreign", 2));

    // Quotes: the real one, and what others could show in its place.
    let bytes = http::send(site.address, "POST", "/v1/quote", &[], &[]).body;
    let real = Quote::decode(&bytes).unwrap();
    let texts =
        |quote: &Quote| scan(&Squares::of(&quote.encode()).unwrap().texts().map(str::to_owned).collect::<Vec<_>>());
    let signed = |change: &dyn Fn(&mut Place), key: usize| {
        let mut terms = real.content.clone();
        change(&mut terms.place);
        texts(&Signed::sign(terms, &aid.prepared.site_keys[key]))
    };
    assert_eq!(error(&signed(&|_| (), 1)), told("quote-false", 1));
    assert_eq!(error(&signed(&|place| place.site = SiteId(77), 0)), told("quote-false", 1));
    assert_eq!(error(&signed(&|place| place.programme = ProgrammeId([7; 32]), 0)), told("quote-programme", 1));
    assert_eq!(error(&signed(&|place| place.manifest = ManifestHash([7; 32]), 0)), told("quote-manifest", 1));
    assert_eq!(error(&signed(&|place| place.round = Round(2), 0)), told("round-not-open", 2));
    // Another site's own quote: not the one that was drawn for, so it has to be named; and then the wallet has nothing for it.
    let other = signed(&|place| place.site = SiteId(2), 1);
    assert_eq!(error(&other), told("quote-site", 1));
    let asked = |site: &str| aid.wallet("wallet", &["redeem", "--qr", "--site", site], &other, None).error().1;
    assert_eq!((asked("1"), asked("2")), ("quote-site".into(), "nothing-to-redeem".into()));
    let mut flipped = real.clone();
    flipped.content.id.0[5] ^= 1;
    assert_eq!(error(&texts(&flipped)), told("quote-false", 1));
    assert!(aid.wallet("wallet", &["show"], "", None).json()["unfinished"].as_array().unwrap().is_empty());

    // The desk names what is not a visit's, too.
    for (input, named) in [
        (String::new(), "nothing was scanned"),
        ("hello\n".into(), "not a message's code"),
        (scan(&one[..1]), "squares are missing: 2, 3"),
        (texts(&real), "a site's quote"),
        (scan(&one), "not the squares of a visit"),
    ] {
        let ended = desk(&site, &["visit"], &input);
        assert!(ended.code == Some(2) && ended.err.contains(named), "{named}: {ended:?}");
    }
}

/// An answer of somebody else's visit, a damaged one, and a signed refusal.
#[test]
fn answers_are_checked_and_a_refusal_comes_by_squares() {
    let aid = Aid::new(4);
    let due = drawn(&aid, "mine", 1);
    drawn(&aid, "other", 3);
    let mut site = aid.open_site();
    let ask =
        |wallet: &str, site: &Server| squares(&shown(&aid.wallet(wallet, &["redeem", "--qr"], &quoted(site), None)));
    let (mine, others) = (ask("mine", &site), ask("other", &site));
    let theirs = desk(&site, &["visit", "--json"], &scan(&others)).json();
    let answer = |input: &str| aid.wallet("mine", &["redeem", "--qr", "--answer"], input, None);
    assert_eq!(answer(&scan(&squares(&theirs))).error(), (1, "qr-answer".into(), String::new()));
    assert_eq!(answer(&scan(&mine)).error().1, "qr-foreign");
    assert_eq!(answer("").error(), (75, "qr-nothing".into(), String::new()));
    assert_eq!(answer(&scan(&squares(&theirs)[..1])).error().1, "qr-missing");
    assert_eq!(answer(&quoted(&site)).error().1, "qr-nothing");

    // The counter's machine starts anew: it knows the quote no more, and signs that.
    site.stop();
    let home = &aid.prepared.sites[0];
    let mut config = annona_node::server::Config::site_defaults();
    config.listen.address = ([127, 0, 0, 1], 0).into();
    config.publish.witnesses = aid.witness.setting();
    let service = home.open(&harness::passphrase(), None, config.site_options()).unwrap();
    let node = annona_node::runner::Node::site(home.published(), service, &config).unwrap();
    let site = Server { address: node.server().address(), node: Some(node), tokens: site.tokens.clone() };
    let refused = desk(&site, &["visit", "--json"], &scan(&mine)).json();
    assert_eq!((&refused["outcome"], &refused["reason"]), (&"refused".into(), &"quote-unknown".into()));
    assert_eq!(answer(&scan(&squares(&refused))).error(), (1, "refused".into(), "quote-unknown".into()));
    // The same vouchers go under a new quote.
    let again = ask("mine", &site);
    assert_ne!(again, mine);
    let accepted = desk(&site, &["visit", "--json"], &scan(&again)).json();
    assert_eq!(units(&answer(&scan(&squares(&accepted))).json()["visit"]["units"]), due);
    assert_eq!(received(&aid, "mine"), due);
}

/// What was not in stock is collected by squares, too.
#[test]
fn what_is_owed_is_collected_by_squares() {
    let aid = Aid::new(2);
    let due = drawn(&aid, "wallet", 1);
    let site = aid.open_site_with(br#"{"1":1,"2":100,"3":100,"4":5}"#);
    let asked = shown(&aid.wallet("wallet", &["redeem", "--qr"], &quoted(&site), None));
    let answer = desk(&site, &["visit", "--json"], &scan(&squares(&asked))).json();
    let visit =
        aid.wallet("wallet", &["redeem", "--qr", "--answer"], &scan(&squares(&answer)), None).json()["visit"].clone();
    let owed = units(&visit["owed"]);
    assert_eq!(owed, units(&answer["owed"]));
    assert_eq!(owed.keys().collect::<Vec<_>>(), [&1, &4]);
    site.supervise("/operator/stock", &[http::JSON], br#"{"1":100,"2":100,"3":100,"4":100}"#);
    assert_eq!(aid.wallet("wallet", &["collect", "--qr", "--answer"], "", None).error().1, "qr-not-asked");
    let asked = shown(&aid.wallet("wallet", &["collect", "--qr"], &quoted(&site), None));
    assert_eq!(squares(&shown(&aid.wallet("wallet", &["collect", "--qr"], "", None))), squares(&asked));
    let answer = desk(&site, &["visit", "--json"], &scan(&squares(&asked))).json();
    let done = aid.wallet("wallet", &["collect", "--qr", "--answer"], &scan(&squares(&answer)), None).json();
    assert_eq!(units(&done["visits"][0]["units"]), owed);
    let tapped = desk(&site, &["hand-over", answer["visit"].as_str().unwrap()], "");
    assert_eq!(tapped.code, Some(0), "{tapped:?}");
    assert_eq!(aid.wallet("wallet", &["collect", "--qr"], "", None).error().1, "nothing-owed");
    let mut all = units(&visit["units"]);
    owed.iter().for_each(|(line, units)| *all.entry(*line).or_default() += units);
    assert_eq!(all, due);
}
