//! The form of logs: a site or an issuer that signs a log which is none.

use annona_protocol::{
    audit::{
        Check,
        forge::{batches, issuer_event, positions},
        scramble::sign_again,
        testing::{Block, checkpoint},
    },
    ids::Round,
    log::leaf::{BatchHeader, IssuerLeaf, Leaf, SiteLeaf},
    wire::Message,
};

use super::{harness::*, issuer::is_roll_over};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "log-under-another-name",
        how: "A site signs its log under a name that the manifest does not have.",
        named: "the log of this name as unknown; the site's log as missing",
        run: renamed,
    },
    Manipulation {
        name: "leaf-not-canonical",
        how: "A site appends a leaf with a byte behind its end.",
        named: "the leaf",
        run: not_canonical,
    },
    Manipulation {
        name: "control-leaf-cut-off",
        how: "An issuer appends a control leaf that ends too early.",
        named: "the leaf",
        run: cut_off,
    },
    Manipulation {
        name: "leaf-of-another-log",
        how: "A site appends a leaf of the issuer's log.",
        named: "the leaf",
        run: of_another_log,
    },
    Manipulation {
        name: "batch-in-order-of-visits",
        how: "A site leaves a batch in the order in which people came.",
        named: "the first leaf out of order",
        run: in_order_of_visits,
    },
    Manipulation {
        name: "batch-number-skipped",
        how: "A site leaves out a batch number, as if a batch had been lost.",
        named: "the batch header",
        run: || header(|header| header.number += 1),
    },
    Manipulation {
        name: "batch-over-another-range",
        how: "A site lets a batch begin at a leaf that is in none of its batches.",
        named: "the batch header",
        run: || header(|header| header.start -= 1),
    },
    Manipulation {
        name: "batch-of-an-earlier-round",
        how: "A site closes a batch of round 1 behind those of round 2.",
        named: "the batch header",
        run: || header(|header| header.round = Round(1)),
    },
    Manipulation {
        name: "event-in-no-batch",
        how: "An issuer logs a roll-over by itself, so that its time shows.",
        named: "the roll-over",
        run: in_no_batch,
    },
];

fn renamed() -> Caught {
    let (mut published, fixture) = (truth().clone(), &story().fixture);
    let log = &mut published.sites[1].1;
    log.name.push_str("-2");
    log.checkpoint = checkpoint(fixture, &log.name, &fixture.site_logs[1], &log.entries);
    let name = log.name.clone();
    caught(&published, &[Row::site(Check::LogUnknown, RIVER).log(&name), Row::site(Check::LogMissing, RIVER)], &[])
}

/// Appends an entry to the first site's log, and expects it to be malformed.
fn malformed(entry: Vec<u8>) -> Caught {
    let mut published = truth().clone();
    let entries = &mut published.sites[0].1.entries;
    let at = entries.len() as u64;
    entries.push(entry);
    sign_again(story(), &mut published);
    // It stands in no batch either.
    let follows = [Row::site(Check::BatchMissing, NORTH).at(at)];
    caught(&published, &[Row::site(Check::LeafMalformed, NORTH).at(at)], &follows)
}

fn not_canonical() -> Caught {
    let mut entry = truth().sites[0].1.entries[0].clone();
    entry.push(0);
    malformed(entry)
}

fn of_another_log() -> Caught {
    let event = issuer_event(&mut story().draft.clone(), 1, is_roll_over).clone();
    malformed(event.encode())
}

fn cut_off() -> Caught {
    let mut published = truth().clone();
    let lots = positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Lot(_)));
    let entries = &mut published.issuer.entries;
    let mut entry = entries[usize::try_from(lots[0]).expect("short")].clone();
    entry.pop();
    let at = entries.len() as u64;
    entries.push(entry);
    sign_again(story(), &mut published);
    caught(&published, &[Row::issuer(Check::LeafMalformed).at(at)], &[])
}

fn in_order_of_visits() -> Caught {
    let mut start = 0;
    let published = publish(|draft| {
        let blocks = &mut draft.sites[0].1;
        let at = blocks.iter().rposition(|block| matches!(block, Block::Batch(..))).expect("a batch");
        let Block::Batch(round, mut events) = blocks.remove(at) else { unreachable!("a batch") };
        // Visits are in descending order of hashes here, so that the second leaf is the first to be wrong.
        events.sort_by_key(Leaf::tree_hash);
        events.reverse();
        // Behind the first batch, its header, and its statement.
        start = batches(blocks)[0].len() as u64 + 2;
        let end = start + events.len() as u64;
        let header = SiteLeaf::Batch(BatchHeader { number: 2, round, start, end });
        let leaves: Vec<_> = events.into_iter().chain([header]).map(Block::Control).collect();
        blocks.splice(at..at, leaves);
    });
    caught(&published, &[Row::site(Check::BatchUnsorted, NORTH).at(start + 1)], &[])
}

/// Closes an empty batch behind the second site's log, with something wrong in its header.
fn header(edit: fn(&mut BatchHeader)) -> Caught {
    let end = truth().sites[1].1.entries.len() as u64;
    let mut header = BatchHeader { number: 3, round: Round(2), start: end, end };
    let with = |header| publish(|draft| draft.sites[1].1.push(Block::Control(SiteLeaf::Batch(header))));
    Folder::of(&with(header)).assert_verified();
    edit(&mut header);
    caught(&with(header), &[Row::site(Check::BatchHeader, RIVER).at(end)], &[])
}

fn in_no_batch() -> Caught {
    let leaf = issuer_event(&mut story().draft.clone(), 3, is_roll_over).clone();
    let published = publish(|draft| {
        batches(&mut draft.issuer).swap_remove(3).retain(|known| *known != leaf);
        let freeze = draft.issuer.iter().position(|block| matches!(block, Block::Freeze(Round(2))));
        draft.issuer.insert(freeze.expect("a freeze"), Block::Control(leaf.clone()));
    });
    caught(&published, &[Row::issuer(Check::BatchMissing).at(issued(&published, &leaf))], &[])
}
