//! Histories: logs that a site or an agency signs twice, cuts off or replaces, and receipts that are not honoured. Most verify one
//! by one; what catches them is a second copy, or a receipt.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    thread,
};

use annona_audit::{chain::Chain, evidence::OmissionProof};
use annona_protocol::{
    audit::{
        Check, Published,
        forge::{batches, replace_log},
        receipt::{Inclusion, Omission, ReceiptError},
        testing::{Block, checkpoint},
    },
    ids::Round,
    log::{
        leaf::{IssuerLeaf, Leaf, SiteLeaf, VoucherLeaf},
        merkle::leaf_hash,
    },
    slip::{Place, Receipt, ReceiptTerms, Signed},
};
use serde_json::Value;

use super::{
    control::next,
    harness::*,
    vouchers::{first, mark},
};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "two-roots-at-one-size",
        how: "A site signs two logs of one size: one ends with its statement, one with an empty batch.",
        named: "the log, with a proof for everybody",
        run: two_roots,
    },
    Manipulation {
        name: "log-forked",
        how: "A site shows one auditor a log that goes on from an earlier state, without a household's voucher.",
        named: "the log, with a proof for everybody",
        run: forked,
    },
    Manipulation {
        name: "issuer-log-forked",
        how: "An issuer shows one auditor a log that ends with a batch in place of the closing freeze.",
        named: "the log, with a proof for everybody",
        run: issuer_forked,
    },
    Manipulation {
        name: "manifest-forked",
        how: "Officers sign two versions of one number, and the issuer shows each to another auditor.",
        named: "the manifest; the log, with a proof for everybody",
        run: manifest_forked,
    },
    Manipulation {
        name: "log-rewound",
        how: "A site signs its log anew as it was before round 2, and serves that.",
        named: "the log, with the two checkpoints",
        run: rewound,
    },
    Manipulation {
        name: "receipt-not-honoured",
        how: "A site gives a receipt, and leaves the acceptance out of its log.",
        named: "the receipt's leaf, with a proof for everybody",
        run: || broken(|_, _| {}),
    },
    Manipulation {
        name: "receipt-honoured-late",
        how: "A site gives a receipt for a batch, and logs the acceptance in a later one.",
        named: "the receipt's leaf, with a proof for everybody",
        run: || broken(|blocks, leaf| blocks.insert(1, Block::Batch(Round(1), vec![SiteLeaf::Voucher(leaf)]))),
    },
    Manipulation {
        name: "voucher-in-both-logs-of-a-site",
        how: "A site that lost its log accepts in the new one what it had accepted in the old.",
        named: "the acceptance in the new log",
        run: in_both_logs,
    },
    Manipulation {
        name: "replaced-log-withheld",
        how: "A site that has a new log does not publish the old one.",
        named: "the old log; the collection of a slip that it had",
        run: old_log_withheld,
    },
    Manipulation {
        name: "new-log-by-old-witnesses",
        how: "A site has its new log cosigned by a witness that the newest version does not name.",
        named: "the new log",
        run: by_old_witness,
    },
];

/// Both folders verify; `compare` says what differs, and gives a proof of the split view.
fn compared(other: &Published, split: &str, differs: &[&str], party: &str, code: &'static str) -> Caught {
    // Cohort openings are made with the same generator, so that nothing else differs.
    let folders = [&publish(|_| {}), other].map(Folder::of);
    folders.iter().for_each(|folder| drop(folder.assert_verified()));
    let proof = folders[0].path().join("proof.json");
    let proof = proof.to_str().expect("a path in UTF-8");
    let [left, right] = folders.each_ref().map(Folder::text);
    let output = program(&["compare", left, right, "--json", "--proof", proof]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("a comparison");
    assert_eq!(output.status.code(), Some(1));
    let splits: Vec<_> = found["splits"].as_array().expect("splits").iter().map(|split| &split["log"]).collect();
    assert_eq!(splits, [split]);
    assert_eq!(found["differs"], Value::from(differs.to_vec()));
    assert_eq!(program(&["compare", "--verify-proof", proof]).status.code(), Some(0));
    Caught::otherwise(code, &[party])
}

fn two_roots() -> Caught {
    let other = publish(|draft| {
        let blocks = &mut draft.sites[0].1;
        blocks.pop();
        blocks.push(Block::Batch(Round(2), Vec::new()));
    });
    let [left, right] = [truth(), &other].map(|published| &published.sites[0].1);
    assert_eq!(left.entries.len(), right.entries.len());
    compared(&other, &left.name, &[], "site-1", "`compare`: split view")
}

fn forked() -> Caught {
    let leaf = SiteLeaf::Voucher(first(NORTH, 1));
    let other = publish(|draft| batches(&mut draft.sites[0].1).swap_remove(1).retain(|known| *known != leaf));
    compared(&other, &truth().sites[0].1.name, &[], "site-1", "`compare`: split view")
}

fn issuer_forked() -> Caught {
    // The closing freeze is gone, and an empty batch in its place.
    let other = publish(|draft| {
        assert!(matches!(draft.issuer.pop(), Some(Block::Freeze(Round(2)))));
        draft.issuer.push(Block::Batch(Round(2), Vec::new()));
    });
    compared(&other, &truth().issuer.name, &[], "issuer", "`compare`: split view")
}

fn manifest_forked() -> Caught {
    let with = |name: &str| {
        let name = name.to_owned();
        let signed = next(|header| header.name = name);
        publish(|draft| draft.issuer.push(Block::Control(IssuerLeaf::Manifest(signed))))
    };
    let folders = ["One name", "Another name"].map(|name| Folder::of(&with(name)));
    folders.iter().for_each(|folder| drop(folder.assert_verified()));
    let [left, right] = folders.each_ref().map(Folder::text);
    let output = program(&["compare", left, right, "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("a comparison");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(found["differs"], Value::from(vec!["manifest"]));
    assert_eq!(found["splits"][0]["log"], truth().issuer.name.as_str());
    Caught::otherwise("`compare`: `manifest`, split view", &["issuer"])
}

/// Serves the first site's log of a folder as a node does.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a connection"));
            let (mut line, mut rest) = (String::new(), String::new());
            reader.read_line(&mut line).expect("a request");
            while reader.read_line(&mut rest).is_ok_and(|read| read > 2) {
                rest.clear();
            }
            let below = line.split(' ').nth(1).and_then(|path| path.strip_prefix("/log/")).map(str::to_owned);
            let found = below.and_then(|below| fs::read(folder.join("logs/site-1").join(below)).ok());
            let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
            let body = found.unwrap_or_default();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // Whoever asked may be gone.
            drop(stream.write_all(&[head.as_bytes(), &body].concat()));
        }
    });
    url
}

fn rewound() -> Caught {
    // The issuer's log is newer than the site's: nothing in the folder says that the site had more.
    let other = publish(|draft| drop(draft.sites[0].1.drain(2..)));
    let served = Folder::of(&other);
    drop(served.assert_verified());
    let mirror = Folder::of(truth());
    let site = format!("1={}", serve(served.path().to_owned()));
    let output = program(&["mirror", mirror.text(), "--site", &site, "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("what was mirrored");
    assert_eq!(output.status.code(), Some(1), "{found:#}");
    let faults = found["faults"].as_array().expect("faults");
    assert_eq!((faults.len(), &faults[0]["code"], &faults[0]["log"]), (1, &"went-back".into(), &"site-1".into()));
    mirror.assert_verified();
    Caught::otherwise("`mirror`: `went-back`", &["site-1"])
}

/// A receipt of the first site for its first voucher, by the close of its first batch.
fn receipt(leaf: &VoucherLeaf) -> Receipt {
    let fixture = &story().fixture;
    let place = Place::new(&fixture.view(1), NORTH.0);
    let promised = SiteLeaf::Voucher(*leaf).tree_hash();
    let terms = ReceiptTerms { place, mark: mark(leaf), number: leaf.number, leaf: promised, batch: 1, pending: false };
    Signed::sign(terms, &fixture.site_logs[0])
}

/// The leaf that a receipt promises is not in its batch. The folder verifies; the receipt proves the omission to anybody.
fn broken(then: fn(&mut Vec<Block<SiteLeaf>>, VoucherLeaf)) -> Caught {
    let leaf = first(NORTH, 0);
    let receipt = receipt(&leaf);
    let proof = |published: &Published| {
        let log = &published.sites[0].1;
        let leaves: Vec<_> = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
        Omission::find(&receipt, &log.entries, &leaves)
    };
    assert_eq!(proof(truth()), Err(ReceiptError::Included));
    let published = publish(|draft| {
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|known| *known != SiteLeaf::Voucher(leaf));
        then(&mut draft.sites[0].1, leaf);
    });
    let folder = Folder::of(&published);
    drop(folder.assert_verified());
    let log = &published.sites[0].1;
    let leaves: Vec<_> = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(Inclusion::find(&receipt, &log.entries, &leaves), Err(ReceiptError::Omitted));
    let programme = story().fixture.programme.id();
    let chain = Chain::new(programme, story().fixture.chain.clone()).expect("the story's versions");
    let named = chain.log(&log.name).expect("a log of the manifest");
    let note = String::from_utf8(log.checkpoint.clone()).expect("a note");
    let proven = OmissionProof::new(&chain, &named, &note, proof(&published).expect("an omission"));
    let read = OmissionProof::from_json(proven.to_json().to_string().as_bytes()).expect("what was written");
    assert_eq!(read.verify(programme).expect("proven").origin(), log.name);
    assert_eq!(read.omission.receipt, receipt);
    Caught::otherwise("receipt: proof of omission", &["site-1"])
}

fn in_both_logs() -> Caught {
    let leaf = SiteLeaf::Voucher(first(NORTH, 0));
    let (published, _) = replace_log(story(), |second| batches(second).swap_remove(0).push(leaf.clone()), &mut rng());
    let log = &published.sites[2].1;
    let at = only(log, |known: &SiteLeaf| *known == leaf);
    let row = |check| Row::site(check, NORTH).log(&log.name).at(at);
    let double = row(Check::DoubleRedemption).of(&mark(&first(NORTH, 0)));
    let late = row(Check::AfterStatement).round(1);
    caught(&published, &[double, row(Check::LeafRound).round(1), late], &[])
}

fn old_log_withheld() -> Caught {
    let (mut published, _) = replace_log(story(), |_| {}, &mut rng());
    Folder::of(&published).assert_verified();
    published.sites.remove(0);
    let log = &published.sites[1].1;
    let row = |check| Row::site(check, NORTH).log(&log.name).round(2);
    let collected = only(log, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Collected(_)));
    let stated = only(log, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Statement(_)));
    let rows = [Row::site(Check::LogMissing, NORTH), row(Check::CollectedUnmatched).at(collected)];
    // The statement counts what was collected.
    caught(&published, &rows, &[row(Check::StatementTotals).at(stated)])
}

fn by_old_witness() -> Caught {
    let (mut published, key) = replace_log(story(), |_| {}, &mut rng());
    let log = &mut published.sites[2].1;
    log.checkpoint = checkpoint(&story().fixture, &log.name, &key, &log.entries);
    let name = log.name.clone();
    caught(&published, &[Row::site(Check::CheckpointWitnesses, NORTH).log(&name)], &[])
}
