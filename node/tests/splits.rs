//! A household that parts: both lots by the program's commands, and their tickets over HTTP (spec 10.4).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use annona_node::{home::IssuerHome, officers::Proposal, random::os as rng};
use annona_protocol::{
    credential::Credential,
    draw::{AmendContext, AmendResponse, RollOverContext, RollOverResponse},
    enrol::{EnrolContext, EnrolResponse},
    ids::Round,
    programme::{Programme, TicketKind},
    slots::Slots,
    ticket::{TicketCode, TicketSlip},
    wire::Message as _,
};
use harness::{
    PASSPHRASE, Plan, Prepared,
    http::{MESSAGE, Reply, send},
    passphrase, prepare_where, sign,
};

const LOTS: &str = "[[lots]]\nid = 2\nkind = \"amend\"\nstart = { drawn = 0 }\n\n\
                    [[lots]]\nid = 3\nkind = \"split\"\nstart = { drawn = 1 }\n\n\
                    [[lots]]\nid = 4\nkind = \"split\"\nstart = { drawn = 1 }\n\n[witnesses]";

fn slots() -> Slots {
    Slots::random(32, &mut rng())
}

/// `issuer tickets import CASES --lot LOT` and more; the slips are `LOT.csv`.
fn import(prepared: &Prepared, cases: &str, lot: u32, more: &[&str]) -> Output {
    let folder = prepared.folder.path();
    fs::write(folder.join("cases.csv"), cases).unwrap();
    Command::new(env!("CARGO_BIN_EXE_annona-node"))
        .current_dir(folder)
        .env("ANNONA_PASSPHRASE", PASSPHRASE)
        .args(["issuer", "tickets", "import", "cases.csv", "--expires", "12", "--home"])
        .arg(prepared.issuer.path())
        .args(["--lot", &lot.to_string(), "--slips", &format!("{lot}.csv"), "--proposal", &format!("{lot}.proposal")])
        .args(more)
        .output()
        .unwrap()
}

#[track_caller]
fn refused(output: &Output, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(word), "{said}");
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn codes(folder: &Path, lot: u32) -> Vec<TicketCode> {
    let mut reader = csv::Reader::from_path(folder.join(format!("{lot}.csv"))).unwrap();
    reader.records().map(|record| TicketSlip::parse(&record.unwrap()[3]).unwrap().code).collect()
}

fn copy(code: &TicketCode) -> TicketCode {
    TicketCode::from_bytes(*code.expose())
}

/// [10.4-M1]: the part that leaves gets its credential when the household's amend has been made, and not before.
#[test]
fn a_split_ticket_waits_for_its_amend() {
    let plan = Plan { tickets: 1, rounds: 1, advance: 0 };
    let prepared = prepare_where(plan, |text| text.replace("[witnesses]", LOTS));
    let folder = prepared.folder.path();
    let splits = "case_id,leaves,members,under-two\nHH-1b,HH-1,1,0\nHH-2b,HH-2,2,1\n";
    let after = ["--after", "2.csv", "--map", "after=leaves"];

    // Two lots at the same desk.
    refused(&import(&prepared, splits, 3, &after), "the amends' slips cannot be read");
    done(&import(&prepared, "case_id,members,under-two\nHH-1,3,0\nHH-2,2,0\n", 2, &[]));
    refused(&import(&prepared, splits, 3, &[]), "give --after with the CSV of the amends' slips, or --independent");
    refused(&import(&prepared, splits, 3, &["--map", "after=leaves", "--independent"]), "give --after");
    refused(&import(&prepared, splits, 3, &["--after", "2.csv"]), "lacks `after` (for after)");
    refused(&import(&prepared, splits, 1, &after), "lot 1 is of no splits");
    refused(&import(&prepared, splits, 3, &["--after", "cases.csv", "--map", "after=leaves"]), "holds no slips");
    let strange = import(&prepared, &splits.replace("HH-2,", "HH-9,"), 3, &after);
    refused(&strange, "line 3, column B (after): is no case of the amends' slips");
    assert!(!String::from_utf8_lossy(&strange.stderr).contains("HH-"), "no line of the caseload is quoted");
    assert!(!folder.join("3.csv").exists(), "what was refused wrote nothing");
    done(&import(&prepared, splits, 3, &after));
    done(&import(&prepared, "case_id,members,under-two\nHH-7,5,1\n", 4, &["--independent"]));

    let service = prepared.issuer.open(&passphrase(), None).unwrap();
    for lot in 2..=4 {
        let before = service.with_programme(|programme| programme.latest().clone());
        let proposal = Proposal::from_bytes(&fs::read(folder.join(format!("{lot}.proposal"))).unwrap()).unwrap();
        IssuerHome::approve(&service, sign(proposal, &prepared.officers, Some(&before))).unwrap();
    }
    let programme = service.with_programme(Clone::clone);
    drop(service);
    let (amends, splits, arrivals) = (codes(folder, 2), codes(folder, 3), codes(folder, 4));

    let witness = prepared.start_witness();
    let server = prepared.start_issuer(&witness, |_| {});
    let post = |path: &str, body: &[u8]| send(server.address, "POST", path, &[MESSAGE], body);
    let enrol = |kind, code: &TicketCode| {
        let (context, request) = EnrolContext::new(&programme, kind, copy(code), slots(), &mut rng()).unwrap();
        (context, post("/v1/enrol", &request.encode()))
    };
    let early = |reply: &Reply| (reply.status, reply.json()["code"].as_str() == Some("ticket-early")) == (409, true);
    assert_eq!(enrol(TicketKind::Split, &arrivals[0]).1.status, 200, "new arrivals wait for nobody");

    let (context, reply) = enrol(TicketKind::Enrol, &prepared.codes[0]);
    let credential = context.finish(&programme, &EnrolResponse::decode(&reply.body).unwrap(), &mut rng()).unwrap();
    let credential = roll_over(&programme, &credential, &post);
    assert!(early(&enrol(TicketKind::Split, &splits[0]).1));

    let view = programme.in_force(Round(1)).unwrap();
    let (context, request) = AmendContext::new(&view, &credential, copy(&amends[0]), slots(), &mut rng()).unwrap();
    let reply = post("/v1/amend", &request.encode());
    assert_eq!(reply.status, 200, "{reply:?}");
    context.finish(&view, &AmendResponse::decode(&reply.body).unwrap(), &mut rng()).unwrap();

    let (context, reply) = enrol(TicketKind::Split, &splits[0]);
    assert_eq!(reply.status, 200, "{reply:?}");
    context.finish(&programme, &EnrolResponse::decode(&reply.body).unwrap(), &mut rng()).unwrap();
    assert!(early(&enrol(TicketKind::Split, &splits[1]).1), "another household's amend is not theirs");
}

fn roll_over(programme: &Programme, credential: &Credential, post: &impl Fn(&str, &[u8]) -> Reply) -> Credential {
    let view = programme.in_force(Round(1)).unwrap();
    let (context, request) = RollOverContext::new(&view, credential, slots(), &mut rng()).unwrap();
    let reply = post("/v1/roll-over", &request.encode());
    assert_eq!(reply.status, 200, "{reply:?}");
    context.finish(&view, &RollOverResponse::decode(&reply.body).unwrap(), &mut rng()).unwrap()
}
