//! Manipulated files, logs, manifests and rounds (spec 9.1, 9.2).

use ed25519_dalek::SigningKey;

use super::*;
use crate::{
    fixture::{LATE_LOT, next_version, sign_header},
    log::leaf::{CloseLeaf, OpenLeaf},
    programme::SignedHeader,
    slip::Signed,
    wire::Message,
};

#[test]
fn checkpoint_of_another_key() {
    let (_, report) = republished(|published| {
        let log = &mut published.sites[0].1;
        let stranger = SigningKey::from_bytes(&[3; 32]);
        log.checkpoint = checkpoint(&STORY.fixture, &log.name, &stranger, &log.entries);
    });
    assert_eq!(rows(&report), [(Check::CheckpointInvalid, NORTH, None)]);
}

#[test]
fn checkpoint_without_a_witness() {
    let (_, report) = republished(|published| {
        let note = String::from_utf8(published.issuer.checkpoint.clone()).unwrap();
        let lines: Vec<&str> = note.lines().filter(|line| !line.contains("witness")).collect();
        published.issuer.checkpoint = (lines.join("\n") + "\n").into_bytes();
    });
    assert_eq!(rows(&report), [(Check::CheckpointWitnesses, ISSUER, None)]);
}

#[test]
fn entry_cut_off() {
    let (_, report) = republished(|published| drop(published.sites[1].1.entries.pop()));
    assert_eq!(rows(&report), [(Check::LogSize, RIVER, None)]);
    assert_eq!(report.notes.iter().filter(|note| matches!(note, Note::StatementMissing { .. })).count(), 0);
}

#[test]
fn entry_replaced_after_the_checkpoint() {
    // The last statement of the second site, which has nothing in it, is replaced by the first's.
    let (published, report) = republished(|published| {
        let other = published.sites[0].1.entries.last().unwrap().clone();
        *published.sites[1].1.entries.last_mut().unwrap() = other;
    });
    let last = published.sites[1].1.entries.len() as u64 - 1;
    assert_eq!(rows(&report), [(Check::LogRoot, RIVER, None), (Check::StatementInvalid, RIVER, Some(last))]);
}

#[test]
fn malformed_leaf() {
    let (published, report) = republished(|published| {
        let entries = &mut published.sites[0].1.entries;
        let mut longer = entries[0].clone();
        longer.push(0);
        entries.push(longer);
        sign_again(published);
    });
    let last = Some(published.sites[0].1.entries.len() as u64 - 1);
    assert_eq!(rows(&report), [(Check::LeafMalformed, NORTH, last), (Check::BatchMissing, NORTH, last)]);
}

#[test]
fn malformed_control_leaf() {
    let (published, report) = republished(|published| {
        let mut close = published.issuer.entries[5].clone();
        close.truncate(4);
        published.issuer.entries.push(close);
        sign_again(published);
    });
    let last = Some(published.issuer.entries.len() as u64 - 1);
    assert_eq!(rows(&report), [(Check::LeafMalformed, ISSUER, last)]);
}

#[test]
fn batch_out_of_order() {
    let (_, report) = republished(|published| {
        published.sites[0].1.entries.swap(0, 1);
        sign_again(published);
    });
    let statements = positions(&STORY.draft.publish(&STORY, &mut rng()).sites[0].1, |leaf: &SiteLeaf| {
        matches!(leaf, SiteLeaf::Statement(_))
    });
    let mut expected = vec![(Check::BatchUnsorted, NORTH, Some(1))];
    expected.extend(statements.iter().map(|at| (Check::StatementPosition, NORTH, Some(*at))));
    assert_eq!(rows(&report), expected);
}

#[test]
fn batch_number_left_out() {
    let (published, report) = tampered(|draft| {
        draft.header = Some(|header| header.number += u32::from(header.round == Round(2)));
    });
    let headers = |log: &PublishedLog| {
        positions(log, |leaf: &SiteLeaf| leaf.as_batch().is_some_and(|header| header.round == Round(2)))
    };
    let issuer = positions(&published.issuer, |leaf: &IssuerLeaf| {
        leaf.as_batch().is_some_and(|header| header.round == Round(2))
    });
    let expected = [
        (Check::BatchHeader, ISSUER, Some(issuer[0])),
        (Check::BatchHeader, NORTH, Some(headers(&published.sites[0].1)[0])),
        (Check::BatchHeader, RIVER, Some(headers(&published.sites[1].1)[0])),
    ];
    assert_eq!(rows(&report), expected);
}

#[test]
fn batch_range_too_short() {
    let (_, report) = tampered(|draft| draft.header = Some(|header| header.start += u64::from(header.start == 0)));
    let checks: Vec<_> = rows(&report).into_iter().map(|(check, party, _)| (check, party)).collect();
    assert_eq!(checks, [(Check::BatchHeader, NORTH), (Check::BatchHeader, RIVER)]);
}

#[test]
fn rounds_of_batches_that_go_back() {
    let (_, report) = tampered(|draft| draft.sites[1].1.push(Block::Batch(Round(1), Vec::new())));
    let checks: Vec<_> = rows(&report).into_iter().map(|(check, party, _)| (check, party)).collect();
    assert_eq!(checks, [(Check::BatchHeader, RIVER)]);
}

#[test]
fn event_in_no_batch() {
    let mut moved = None;
    let (published, report) = tampered(|draft| {
        let events = batches(&mut draft.issuer).swap_remove(3);
        let at = events.iter().position(|leaf| matches!(leaf, IssuerLeaf::RollOver(_))).unwrap();
        let leaf = events.remove(at);
        moved = Some(leaf.clone());
        let open = draft.issuer.iter().position(|block| matches!(block, Block::Freeze(Round(2)))).unwrap();
        draft.issuer.insert(open, Block::Control(leaf));
    });
    assert_eq!(rows(&report), [(Check::BatchMissing, ISSUER, issued(&published, &moved.unwrap()))]);
}

#[test]
fn log_not_published() {
    let (_, report) = republished(|published| drop(published.sites.pop()));
    assert_eq!(rows(&report), [(Check::LogMissing, RIVER, None)]);
}

#[test]
fn log_of_another_name() {
    let (_, report) = republished(|published| published.sites[1].1.name.push('x'));
    assert_eq!(rows(&report), [(Check::LogUnknown, RIVER, None), (Check::LogMissing, RIVER, None)]);
}

#[test]
fn log_published_twice() {
    let (_, report) = republished(|published| published.sites.push(published.sites[0].clone()));
    assert_eq!(rows(&report), [(Check::LogUnknown, NORTH, None)]);
}

#[test]
fn another_programme() {
    let published = STORY.draft.publish(&STORY, &mut rng());
    let report = audit(ProgrammeId([9; 32]), &published, &mut rng(), &|_| {});
    assert_eq!(rows(&report), [(Check::GenesisInvalid, ISSUER, Some(0))]);
    assert_eq!(report.notes, [Note::NothingElseChecked]);
    assert!(report.verified().is_err());
}

/// Appends a version after the fixture's last.
fn with_version(edit: impl FnOnce(&mut SignedHeader)) -> Vec<Row> {
    let fixture = &STORY.fixture;
    let next = next_version(&fixture.chain[1].header, fixture.programme.keys());
    let mut signed = sign_header(next, &fixture.officers);
    edit(&mut signed);
    let (_, report) = tampered(|draft| draft.issuer.push(Block::Control(IssuerLeaf::Manifest(signed))));
    rows(&report)
}

/// The position of the leaf that [`with_version`] appends.
fn appended() -> Option<u64> {
    Some(STORY.draft.publish(&STORY, &mut rng()).issuer.entries.len() as u64)
}

#[test]
fn version_that_officers_did_not_sign() {
    assert_eq!(with_version(|_| {}), []);
    let rows = with_version(|signed| signed.signatures.truncate(1));
    assert_eq!(rows, [(Check::ManifestSignatures, ISSUER, appended())]);
}

#[test]
fn version_that_does_not_follow() {
    let officers = &STORY.fixture.officers;
    let rows = with_version(|signed| {
        signed.header.version += 1;
        *signed = sign_header(signed.header.clone(), officers);
    });
    assert_eq!(rows, [(Check::ManifestInvalid, ISSUER, appended())]);
}

#[test]
fn version_that_changes_a_planned_accrual() {
    let officers = &STORY.fixture.officers;
    let rows = with_version(|signed| {
        signed.header.lines[0].accrual[0].value.constant += 1;
        *signed = sign_header(signed.header.clone(), officers);
    });
    assert_eq!(rows, [(Check::ManifestInvalid, ISSUER, appended())]);
}

#[test]
fn version_with_another_key_list() {
    let officers = &STORY.fixture.officers;
    let rows = with_version(|signed| {
        signed.header.key_root.0[0] ^= 1;
        *signed = sign_header(signed.header.clone(), officers);
    });
    assert_eq!(rows, [(Check::KeyList, ISSUER, appended())]);
}

#[test]
fn keys_beyond_the_list() {
    let (_, report) = republished(|published| published.keys.push(published.keys[0]));
    assert_eq!(rows(&report), [(Check::KeyList, ISSUER, None)]);
}

#[test]
fn lot_that_officers_did_not_approve() {
    let mut late = None;
    let (published, report) = tampered(|draft| {
        for block in &mut draft.issuer {
            if let Block::Control(IssuerLeaf::Lot(lot)) = block
                && lot.lot == LATE_LOT
            {
                lot.count += 1;
            }
        }
        late = Some(issuer_event(draft, 3, |leaf| matches!(leaf, IssuerLeaf::Enrol(_))).clone());
    });
    let lot =
        positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Lot(lot) if lot.lot == LATE_LOT));
    let enrolled = issued(&published, &late.unwrap());
    let expected = [(Check::LotSignatures, ISSUER, Some(lot[0])), (Check::TicketOutsideLot, ISSUER, enrolled)];
    assert_eq!(rows(&report), expected);
}

#[test]
fn control_leaves_that_repeat_or_come_from_nowhere() {
    let manifest = STORY.fixture.chain[1].header.hash();
    let lot = STORY.draft.issuer.iter().find_map(|block| match block {
        Block::Control(IssuerLeaf::Lot(lot)) => Some(lot.clone()),
        _ => None,
    });
    let open = |round| IssuerLeaf::Open(OpenLeaf { round: Round(round), manifest });
    let close = |round| IssuerLeaf::Close(CloseLeaf { round: Round(round) });
    let genesis = IssuerLeaf::Manifest(STORY.fixture.chain[0].clone());
    let unknown = IssuerLeaf::Open(OpenLeaf { round: Round(3), manifest: crate::ids::ManifestHash([7; 32]) });
    let cases = [
        (IssuerLeaf::Lot(lot.unwrap()), Check::LotInvalid),
        (open(1), Check::OpenInvalid),
        (open(13), Check::OpenInvalid),
        (unknown, Check::OpenInvalid),
        (close(1), Check::CloseInvalid),
        (close(3), Check::CloseInvalid),
        (genesis, Check::ManifestInvalid),
    ];
    for (leaf, check) in cases {
        let (_, report) = tampered(|draft| draft.issuer.push(Block::Control(leaf)));
        assert_eq!(rows(&report), [(check, ISSUER, appended())]);
    }
    // Opened, and closed without a freeze. The sites had no packs and no work.
    let (_, report) = tampered(|draft| draft.issuer.extend([open(3), close(3)].map(Block::Control)));
    assert_eq!(rows(&report), [(Check::CloseInvalid, ISSUER, appended().map(|at| at + 1))]);
}

#[test]
fn freeze_that_repeats() {
    let (_, report) = tampered(|draft| draft.issuer.push(Block::Freeze(Round(2))));
    assert_eq!(rows(&report), [(Check::FreezeInvalid, ISSUER, appended())]);
}

#[test]
fn freeze_of_another_version() {
    let (published, report) = tampered(|draft| {
        draft.freeze = Some(|freeze| freeze.manifest.0[0] ^= u8::from(freeze.round == Round(1)));
    });
    let freezes = positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Freeze(_)));
    assert_eq!(rows(&report), [(Check::FreezeInvalid, ISSUER, Some(freezes[0]))]);
}

/// Moves a block of the issuer's log.
fn move_block(draft: &mut Draft, is: impl Fn(&Block<IssuerLeaf>) -> bool, behind: impl Fn(&Block<IssuerLeaf>) -> bool) {
    let from = draft.issuer.iter().position(is).unwrap();
    let block = draft.issuer.remove(from);
    let to = draft.issuer.iter().rposition(behind).unwrap();
    draft.issuer.insert(to + 1, block);
}

#[test]
fn events_before_their_round_opens() {
    let (published, report) = tampered(|draft| {
        move_block(
            draft,
            |block| matches!(block, Block::Control(IssuerLeaf::Open(open)) if open.round == Round(2)),
            |block| matches!(block, Block::Batch(Round(2), _)),
        );
    });
    let early = positions(&published.issuer, |leaf: &IssuerLeaf| match leaf {
        IssuerLeaf::RollOver(record) => record.round == Round(2),
        IssuerLeaf::Draw(leaf) => leaf.record.round == Round(2),
        _ => false,
    });
    assert_eq!(early.len(), 6);
    assert_eq!(rows(&report), early.iter().map(|at| (Check::RoundNotOpen, ISSUER, Some(*at))).collect::<Vec<_>>());
}

#[test]
fn round_that_never_opens() {
    let (_, report) = tampered(|draft| {
        draft.issuer.retain(|block| match block {
            Block::Control(IssuerLeaf::Open(open)) => open.round != Round(2),
            Block::Control(IssuerLeaf::Close(close)) => close.round != Round(2),
            Block::Freeze(round) => *round != Round(2),
            _ => true,
        });
        draft.sites.iter_mut().for_each(|(_, blocks)| {
            blocks.retain(|block| !matches!(block, Block::Batch(Round(2), _) | Block::Statement(Round(2))));
        });
    });
    let rows = rows(&report);
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|(check, party, _)| (*check, *party) == (Check::RoundNotOpen, ISSUER)));
}

#[test]
fn events_after_their_round_closes() {
    let (published, report) = tampered(|draft| {
        move_block(
            draft,
            |block| matches!(block, Block::Control(IssuerLeaf::Close(close)) if close.round == Round(1)),
            |block| matches!(block, Block::Freeze(Round(1))),
        );
    });
    let late = positions(&published.issuer, |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Amend(_)));
    assert_eq!(rows(&report), late.iter().map(|at| (Check::RoundClosed, ISSUER, Some(*at))).collect::<Vec<_>>());
}

#[test]
fn swap_after_the_freeze() {
    let mut swap = None;
    let (published, report) = tampered(|draft| {
        let events = batches(&mut draft.issuer).swap_remove(1);
        let at = events.iter().position(|leaf| matches!(leaf, IssuerLeaf::Swap(_))).unwrap();
        swap = Some(events.remove(at));
        batches(&mut draft.issuer).swap_remove(2).push(swap.clone().unwrap());
    });
    assert_eq!(rows(&report), [(Check::SwapAfterFreeze, ISSUER, issued(&published, &swap.unwrap()))]);
}

#[test]
fn packs() {
    let freezes = positions(&STORY.draft.publish(&STORY, &mut rng()).issuer, |leaf: &IssuerLeaf| {
        matches!(leaf, IssuerLeaf::Freeze(_))
    });
    let (first, second) = (Some(freezes[0]), Some(freezes[1]));
    // Kept back.
    let (_, report) = republished(|published| drop(published.packs.remove(0)));
    assert_eq!(rows(&report), [(Check::PackMissing, ISSUER, first)]);
    // None made for a site; the pack that was is not the freeze's.
    let (_, report) = tampered(|draft| draft.freeze = Some(|freeze| freeze.packs.truncate(1)));
    let expected = [
        (Check::PackMissing, ISSUER, first),
        (Check::PackMissing, ISSUER, second),
        (Check::PackDiffers, ISSUER, None),
        (Check::PackDiffers, ISSUER, None),
    ];
    assert_eq!(rows(&report), expected);
    // A swapped voucher is kept from the site.
    let (_, report) = tampered(|draft| draft.pack = Some(|pack| pack.swapped.clear()));
    assert_eq!(rows(&report), [(Check::PackSwapped, ISSUER, first)]);
    // Of another log.
    let (_, report) = tampered(|draft| draft.pack = Some(|pack| pack.root.0[0] ^= u8::from(pack.swapped.len() == 1)));
    assert_eq!(rows(&report), [(Check::PackInvalid, ISSUER, first)]);
    // A second pack for one site, and a file that is none.
    let (_, report) = republished(|published| {
        let mut terms = published.packs[0].content.clone();
        terms.swapped.clear();
        let second = Signed::sign(terms.clone(), &STORY.fixture.issuer_log);
        published.packs.push(second);
        published.packs.push(Signed::sign(terms, &STORY.fixture.site_logs[0]));
    });
    assert_eq!(rows(&report), [(Check::PackDiffers, ISSUER, None)]);
    assert!(report.notes.contains(&Note::PackIgnored { index: 5 }));
}

/// Every entry of every log, one bit flipped, is found by the checkpoint at least, and nothing panics.
#[test]
fn every_entry_flipped() {
    let published = STORY.draft.publish(&STORY, &mut rng());
    let logs = std::iter::once(&published.issuer).chain(published.sites.iter().map(|(_, log)| log));
    for (which, log) in logs.enumerate() {
        for at in 0..log.entries.len() {
            let mut flipped = published.clone();
            let log = if which == 0 { &mut flipped.issuer } else { &mut flipped.sites[which - 1].1 };
            let entry = &mut log.entries[at];
            let byte = (at * 31) % entry.len();
            entry[byte] ^= 1;
            let report = run(&flipped);
            let expected = |finding: &Finding| matches!(finding.check, Check::LogRoot | Check::GenesisInvalid);
            assert!(report.findings.iter().any(expected), "log {which} entry {at} byte {byte}");
        }
    }
    assert!(IssuerLeaf::decode(&published.issuer.entries[0]).is_ok());
}
