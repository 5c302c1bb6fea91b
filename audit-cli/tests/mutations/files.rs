//! Whoever serves or carries the files: nothing can be signed, but everything altered, left out, copied and exchanged.

use std::{fs, path::PathBuf};

use annona_protocol::{
    audit::{
        Check, Party, PublishedLog,
        forge::positions,
        scramble::sign_again,
        testing::{Story, checkpoint},
    },
    fixture::signing_key,
    ids::{Round, SiteId},
    log::{
        leaf::{CloseLeaf, IssuerLeaf, Leaf, SiteLeaf},
        tile::encode_bundle,
    },
    voucher::Mark,
    wire::Message,
};

use super::{harness::*, vouchers::mark};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "entry-altered",
        how: "A server flips a bit in the signature of a site's last statement.",
        named: "the log; the statement",
        run: entry_altered,
    },
    Manipulation {
        name: "entry-replaced",
        how: "A server replaces the close of round 2 in the issuer's log by a copy of that of round 1.",
        named: "the log; the copy",
        run: entry_replaced,
    },
    Manipulation {
        name: "entries-exchanged",
        how: "A server exchanges two entries of a site's batch.",
        named: "the log; the first leaf out of order",
        run: entries_exchanged,
    },
    Manipulation {
        name: "log-cut-off",
        how: "A server drops the last entry of a log and keeps its checkpoint.",
        named: "the missing file",
        run: log_cut_off,
    },
    Manipulation {
        name: "entry-appended",
        how: "A server adds an entry to a log's last bundle and keeps the checkpoint.",
        named: "the file",
        run: entry_appended,
    },
    Manipulation {
        name: "hash-tile-altered",
        how: "A server alters a hash tile beside true entries.",
        named: "the file",
        run: || {
            refused(&["tile/0/", "does not match the files below it"], |folder| {
                let tile = folder.tile("logs/issuer/tile/0/000.p");
                let mut bytes = fs::read(&tile).expect("a tile");
                bytes[0] ^= 1;
                fs::write(tile, bytes).expect("written");
            })
        },
    },
    Manipulation {
        name: "hash-tile-left-out",
        how: "A server leaves out a hash tile.",
        named: "the file",
        run: || {
            refused(&["tile/0/", "is missing"], |folder| {
                fs::remove_file(folder.tile("logs/issuer/tile/0/000.p")).expect("removed");
            })
        },
    },
    Manipulation {
        name: "checkpoint-left-out",
        how: "A server leaves out a log's checkpoint.",
        named: "the file",
        run: || {
            refused(&["cannot read", "site-2/checkpoint"], |folder| {
                fs::remove_file(folder.path().join("logs/site-2/checkpoint")).expect("removed");
            })
        },
    },
    Manipulation {
        name: "checkpoint-altered",
        how: "A server writes another root into a checkpoint.",
        named: "the log",
        run: checkpoint_altered,
    },
    Manipulation {
        name: "checkpoint-of-another-key",
        how: "A stranger signs a site's log with a key of his own.",
        named: "the log",
        run: checkpoint_of_a_stranger,
    },
    Manipulation {
        name: "cosignature-left-out",
        how: "A server strips the witness's line from a checkpoint.",
        named: "the log",
        run: cosignature_left_out,
    },
    Manipulation {
        name: "log-withheld",
        how: "A server leaves out a site's log.",
        named: "the log",
        run: log_withheld,
    },
    Manipulation {
        name: "log-shown-twice",
        how: "A server publishes a site's log a second time, as if it were a later one.",
        named: "the log",
        run: log_shown_twice,
    },
    Manipulation {
        name: "logs-exchanged",
        how: "A server exchanges the folders of two sites' logs.",
        named: "both logs as unknown, both as missing",
        run: logs_exchanged,
    },
    Manipulation {
        name: "pack-withheld",
        how: "A server leaves out an opening pack.",
        named: "the freeze that fixes it",
        run: pack_withheld,
    },
    Manipulation { name: "key-added", how: "A server adds a key to the key list.", named: "the log", run: key_added },
    Manipulation {
        name: "key-list-cut-off",
        how: "A server cuts the key list off in the middle of a key.",
        named: "the key",
        run: || {
            refused(&["keys.bin", "is cut off"], |folder| {
                let path = folder.path().join("keys.bin");
                let bytes = fs::read(&path).expect("a key list");
                fs::write(path, &bytes[..bytes.len() - 1]).expect("written");
            })
        },
    },
    Manipulation {
        name: "keys-exchanged",
        how: "A server exchanges two keys of the key list, so that no version lists any.",
        named: "the version; what the issuer logs of its rounds; vouchers and voids, as the logs do not tell who is at fault",
        run: keys_exchanged,
    },
    Manipulation {
        name: "issuer-log-rewound",
        how: "A server, or the issuer, shows the issuer's log as it was before round 2 opened, beside newer logs of the sites.",
        named: "what sites log of round 2, as proof against the issuer",
        run: issuer_rewound,
    },
    Manipulation {
        name: "another-programme",
        how: "A server shows the true files of another programme.",
        named: "the genesis",
        run: another_programme,
    },
];

fn refused(parts: &[&str], edit: impl FnOnce(&Folder)) -> Caught {
    let folder = Folder::of(truth());
    edit(&folder);
    folder.refused(parts)
}

fn entry_altered() -> Caught {
    let mut published = truth().clone();
    let entries = &mut published.sites[1].1.entries;
    *entries.last_mut().and_then(|entry| entry.last_mut()).expect("a signature") ^= 1;
    let last = statements(&published, RIVER)[1];
    let rows = [Row::site(Check::LogRoot, RIVER), Row::site(Check::StatementInvalid, RIVER).at(last).round(2)];
    caught(&published, &rows, &[])
}

fn entry_replaced() -> Caught {
    let mut published = truth().clone();
    let close = |round| IssuerLeaf::Close(CloseLeaf { round: Round(round) });
    let at = issued(&published, &close(2));
    published.issuer.entries[usize::try_from(at).expect("short")] = close(1).encode();
    caught(&published, &[Row::issuer(Check::LogRoot), Row::issuer(Check::CloseInvalid).at(at)], &[])
}

fn entries_exchanged() -> Caught {
    let mut published = truth().clone();
    published.sites[1].1.entries.swap(0, 1);
    let rows = [Row::site(Check::LogRoot, RIVER), Row::site(Check::BatchUnsorted, RIVER).at(1)];
    let stated = (1..).zip(statements(&published, RIVER));
    let follows: Vec<_> =
        stated.map(|(round, at)| Row::site(Check::StatementPosition, RIVER).at(at).round(round)).collect();
    caught(&published, &rows, &follows)
}

fn log_cut_off() -> Caught {
    let mut published = truth().clone();
    published.sites[0].1.entries.pop();
    // Bundles are named after how many entries they have.
    Folder::of(&published).refused(&["site-1", "tile/entries/000.p/", "is missing"])
}

fn entry_appended() -> Caught {
    refused(&["tile/entries/000.p/", "is malformed"], |folder| {
        let mut entries = truth().sites[0].1.entries.clone();
        entries.push(entries[0].clone());
        let path: PathBuf = folder.tile("logs/site-1/tile/entries/000.p");
        fs::write(path, encode_bundle(&entries, 0).expect("short entries")).expect("written");
    })
}

fn checkpoint_altered() -> Caught {
    let mut published = truth().clone();
    let note = String::from_utf8(published.sites[1].1.checkpoint.clone()).expect("a note");
    let mut lines: Vec<&str> = note.split('\n').collect();
    let other = String::from_utf8(published.sites[0].1.checkpoint.clone()).expect("a note");
    lines[2] = other.split('\n').nth(2).expect("a root");
    published.sites[1].1.checkpoint = lines.join("\n").into_bytes();
    caught(&published, &[Row::site(Check::CheckpointInvalid, RIVER)], &[])
}

fn checkpoint_of_a_stranger() -> Caught {
    let mut published = truth().clone();
    let (log, stranger) = (&mut published.sites[0].1, signing_key(&mut rng()));
    log.checkpoint = checkpoint(&story().fixture, &log.name, &stranger, &log.entries);
    caught(&published, &[Row::site(Check::CheckpointInvalid, NORTH)], &[])
}

fn cosignature_left_out() -> Caught {
    let mut published = truth().clone();
    let note = String::from_utf8(published.issuer.checkpoint.clone()).expect("a note");
    let lines: Vec<&str> = note.split_inclusive('\n').filter(|line| !line.contains("witness")).collect();
    published.issuer.checkpoint = lines.concat().into_bytes();
    caught(&published, &[Row::issuer(Check::CheckpointWitnesses)], &[])
}

fn log_withheld() -> Caught {
    let mut published = truth().clone();
    published.sites.remove(1);
    caught(&published, &[Row::site(Check::LogMissing, RIVER)], &[])
}

fn log_shown_twice() -> Caught {
    let mut published = truth().clone();
    published.sites.push(published.sites[0].clone());
    caught(&published, &[Row::site(Check::LogUnknown, NORTH)], &[])
}

fn logs_exchanged() -> Caught {
    let mut published = truth().clone();
    let [north, river] = &mut published.sites[..] else { unreachable!("two sites") };
    std::mem::swap(&mut north.1, &mut river.1);
    let missing = [NORTH, RIVER].map(|site| Row::site(Check::LogMissing, site));
    let unknown = [(NORTH, RIVER), (RIVER, NORTH)]
        .map(|(party, log)| Row::site(Check::LogUnknown, log).party(Party::Site(party.0)));
    caught(&published, &[missing, unknown].concat(), &[])
}

fn pack_withheld() -> Caught {
    let mut published = truth().clone();
    let round = published.packs.remove(0).content.place.round;
    assert_eq!(round, Round(1));
    caught(&published, &[Row::issuer(Check::PackMissing).at(freezes(truth())[0]).round(1)], &[])
}

fn key_added() -> Caught {
    let mut published = truth().clone();
    published.keys.push(published.keys[0]);
    caught(&published, &[Row::issuer(Check::KeyList)], &[])
}

/// The leaves of a log that `row` makes a row of.
fn rows_of<L: Leaf>(log: &PublishedLog, row: impl Fn(u64, L) -> Option<Row>) -> Vec<Row> {
    let leaves = (0u64..).zip(&log.entries).filter_map(|(at, entry)| Some((at, L::decode(entry).ok()?)));
    leaves.filter_map(|(at, leaf)| row(at, leaf)).collect()
}

/// What cannot be judged of a site's log without the version in force, but vouchers: the issuer signed packs of these rounds.
fn unopened(site: (SiteId, usize), from: Round) -> Vec<Row> {
    rows_of(&truth().sites[site.1].1, |at, leaf: SiteLeaf| {
        let round = match leaf {
            SiteLeaf::Owed(leaf) => leaf.round,
            SiteLeaf::Collected(leaf) => leaf.round,
            SiteLeaf::Statement(leaf) => leaf.content.place.round,
            _ => return None,
        };
        let row = Row::site(Check::RoundNotOpen, site).party(Party::Issuer).at(at).round(round.0);
        (round >= from).then_some(row)
    })
}

fn keys_exchanged() -> Caught {
    let mut published = truth().clone();
    published.keys.swap(0, 1);
    let version = issued(truth(), &IssuerLeaf::Manifest(story().fixture.chain[1].clone()));
    let row = |check, at| Some(Row::issuer(check).at(at));
    let event = |at, round: Round| Some(Row::issuer(Check::RoundNotOpen).at(at).round(round.0));
    let mut follows = rows_of(&truth().issuer, |at, leaf: IssuerLeaf| match leaf {
        IssuerLeaf::Open(_) => row(Check::OpenInvalid, at),
        IssuerLeaf::Freeze(_) => row(Check::FreezeInvalid, at),
        IssuerLeaf::Close(_) => row(Check::CloseInvalid, at),
        IssuerLeaf::RollOver(record) => event(at, record.round),
        IssuerLeaf::Draw(leaf) => event(at, leaf.record.round),
        IssuerLeaf::Amend(leaf) => event(at, leaf.record.round),
        IssuerLeaf::Swap(leaf) => event(at, leaf.round),
        _ => None,
    });
    for site in [NORTH, RIVER] {
        let row = |check, at, mark: Mark| Some(Row::site(check, site).party(Party::Voucher).at(at).mark(&mark));
        follows.extend(unopened(site, Round(1)));
        follows.extend(rows_of(&truth().sites[site.1].1, |at, leaf: SiteLeaf| match leaf {
            SiteLeaf::Voucher(leaf) => row(Check::VoucherUnknownKey, at, mark(&leaf)),
            SiteLeaf::Void(leaf) => row(Check::VoidInvalid, at, leaf.mark),
            _ => None,
        }));
    }
    // No row names a site.
    caught(&published, &[Row::issuer(Check::KeyList).at(version)], &follows)
}

fn issuer_rewound() -> Caught {
    let mut published = truth().clone();
    let open = positions(
        &published.issuer,
        |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Open(open) if open.round == Round(2)),
    );
    published.issuer.entries.truncate(usize::try_from(open[0]).expect("short"));
    sign_again(story(), &mut published);
    let of_round_2 = |mark: &Mark| story().fixture.programme.key(mark.key).is_some_and(|key| key.id.round == Round(2));
    let mut rows = Vec::new();
    for site in [NORTH, RIVER] {
        rows.extend(unopened(site, Round(2)));
        for leaf in positions(&truth().sites[site.1].1, |_: &SiteLeaf| true) {
            let entry = &truth().sites[site.1].1.entries[usize::try_from(leaf).expect("short")];
            let Ok(SiteLeaf::Voucher(voucher)) = SiteLeaf::decode(entry) else { continue };
            let mark = mark(&voucher);
            if of_round_2(&mark) {
                rows.push(Row::site(Check::RoundNotOpen, site).party(Party::Issuer).at(leaf).of(&mark));
            }
        }
    }
    // Its packs are early then, and its draws awaited: notes.
    caught(&published, &rows, &[])
}

fn another_programme() -> Caught {
    let mut rng = rng();
    let other = Story::new(&mut rng);
    let published = other.draft.publish(&other, &mut rng);
    caught(&published, &[Row::issuer(Check::GenesisInvalid).at(0)], &[])
}
