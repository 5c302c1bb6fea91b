//! Manifest versions, lots and rounds: a dishonest issuer, or an agency with some of its officers.

use annona_protocol::{
    audit::{
        Check, Published,
        forge::{batches, issuer_event, positions},
        scramble::sign_again,
        testing::Block,
    },
    fixture::{LATE_LOT, next_version, sign_header},
    ids::{LotId, ManifestHash, Round},
    log::leaf::{CloseLeaf, IssuerLeaf, LotLeaf, OpenLeaf},
    programme::{Header, OfficerSignature, SignedHeader},
    registry::tag,
    signature,
    wire::Message,
};

use super::{
    harness::*,
    issuer::{is_amend, is_draw, is_enrol, is_swap},
};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "genesis-replaced",
        how: "An agency replaces the genesis by one that names it differently.",
        named: "the genesis",
        run: genesis_replaced,
    },
    Manipulation {
        name: "manifest-replaced-halfway",
        how: "An agency replaces its manifest between two rounds by another version of the same number.",
        named: "the second version of this number",
        run: manifest_replaced,
    },
    Manipulation {
        name: "manifest-version-skipped",
        how: "An agency logs version 3 after version 1.",
        named: "the version",
        run: || version(Check::ManifestInvalid, |header| header.version += 1),
    },
    Manipulation {
        name: "planned-accrual-changed",
        how: "An agency changes what a line gives in rounds that were planned before.",
        named: "the version",
        run: || version(Check::ManifestInvalid, |header| header.lines[0].accrual[0].value.constant += 1),
    },
    Manipulation {
        name: "manifest-not-signed",
        how: "An issuer logs a version that fewer officers signed than are needed.",
        named: "the version",
        run: || {
            let mut signed = next(|_| {});
            signed.signatures.truncate(1);
            appended(IssuerLeaf::Manifest(signed), Check::ManifestSignatures)
        },
    },
    Manipulation {
        name: "manifest-of-other-keys",
        how: "Officers sign a version whose key list is not the one that is published.",
        named: "the version",
        run: || version(Check::KeyList, |header| header.key_root.0[0] ^= 1),
    },
    Manipulation {
        name: "lot-enlarged",
        how: "An issuer logs a lot with one ticket more than officers approved.",
        named: "the lot",
        run: lot_enlarged,
    },
    Manipulation {
        name: "lot-approved-twice",
        how: "An issuer logs an approved lot a second time.",
        named: "the second leaf",
        run: || appended(IssuerLeaf::Lot(lot(LATE_LOT)), Check::LotInvalid),
    },
    Manipulation {
        name: "lot-not-in-the-manifest",
        how: "Officers approve a lot that the manifest does not have.",
        named: "the lot",
        run: || appended(IssuerLeaf::Lot(lot_of_officers(LotId(9))), Check::LotInvalid),
    },
    Manipulation {
        name: "round-opened-twice",
        how: "An issuer opens a round a second time.",
        named: "the second opening",
        run: || appended(open(1, manifest()), Check::OpenInvalid),
    },
    Manipulation {
        name: "round-not-planned",
        how: "An issuer opens a round behind the last one of the manifest.",
        named: "the opening",
        run: || appended(open(13, manifest()), Check::OpenInvalid),
    },
    Manipulation {
        name: "round-of-a-secret-version",
        how: "An issuer opens a round under a manifest version that its log does not have.",
        named: "the opening",
        run: || appended(open(3, ManifestHash([7; 32])), Check::OpenInvalid),
    },
    Manipulation {
        name: "round-opened-afterwards",
        how: "An issuer logs the opening of round 2 behind its roll-overs and draws.",
        named: "each of them",
        run: opened_afterwards,
    },
    Manipulation {
        name: "round-frozen-twice",
        how: "An issuer freezes a round a third time, after freeze and closing freeze.",
        named: "the third freeze",
        run: frozen_twice,
    },
    Manipulation {
        name: "round-frozen-under-another-version",
        how: "An issuer freezes a round under another version than it opened it with.",
        named: "the freeze",
        run: frozen_otherwise,
    },
    Manipulation {
        name: "round-closed-without-a-freeze",
        how: "An issuer closes a round that was never frozen.",
        named: "the close",
        run: closed_unfrozen,
    },
    Manipulation {
        name: "drawn-after-the-close",
        how: "An issuer logs a draw of a round behind its close, when its keys are said to be gone.",
        named: "the draw",
        run: drawn_late,
    },
    Manipulation {
        name: "amended-after-the-close",
        how: "An issuer logs amends of a round behind its close.",
        named: "each amend",
        run: amended_late,
    },
    Manipulation {
        name: "swapped-after-the-freeze",
        how: "An issuer swaps a voucher when sites have their opening packs already.",
        named: "the swap",
        run: swapped_late,
    },
];

/// The position behind the true log.
fn end() -> u64 {
    truth().issuer.entries.len() as u64
}

pub(crate) fn manifest() -> ManifestHash {
    story().fixture.chain[1].header.hash()
}

pub(crate) fn open(round: u32, manifest: ManifestHash) -> IssuerLeaf {
    IssuerLeaf::Open(OpenLeaf { round: Round(round), manifest })
}

/// A version after the last, signed by as many officers as are needed.
pub(crate) fn next(edit: impl FnOnce(&mut Header)) -> SignedHeader {
    let fixture = &story().fixture;
    let mut header = next_version(&fixture.chain[1].header, fixture.programme.keys());
    edit(&mut header);
    sign_header(header, &fixture.officers)
}

/// A control leaf at the end of the issuer's log.
fn appended(leaf: IssuerLeaf, check: Check) -> Caught {
    let published = publish(|draft| draft.issuer.push(Block::Control(leaf)));
    caught(&published, &[Row::issuer(check).at(end())], &[])
}

fn version(check: Check, edit: fn(&mut Header)) -> Caught {
    appended(IssuerLeaf::Manifest(next(edit)), check)
}

fn genesis_replaced() -> Caught {
    let mut published = truth().clone();
    let fixture = &story().fixture;
    let mut genesis = fixture.chain[0].header.clone();
    genesis.agency = "Another Agency".into();
    published.issuer.entries[0] = IssuerLeaf::Manifest(sign_header(genesis, &fixture.officers)).encode();
    sign_again(story(), &mut published);
    caught(&published, &[Row::issuer(Check::GenesisInvalid).at(0)], &[])
}

fn manifest_replaced() -> Caught {
    let fixture = &story().fixture;
    let mut header = fixture.chain[1].header.clone();
    header.name = "Another Programme".into();
    let leaf = IssuerLeaf::Manifest(sign_header(header, &fixture.officers));
    let published = publish(|draft| {
        let is_open = |block: &Block<IssuerLeaf>| matches!(block, Block::Control(IssuerLeaf::Open(open)) if open.round == Round(2));
        let at = draft.issuer.iter().position(is_open).expect("round 2 opens");
        draft.issuer.insert(at, Block::Control(leaf.clone()));
    });
    caught(&published, &[Row::issuer(Check::ManifestInvalid).at(issued(&published, &leaf))], &[])
}

/// A lot of the true story.
fn lot(id: LotId) -> LotLeaf {
    let lots = story().draft.issuer.iter().filter_map(|block| match block {
        Block::Control(IssuerLeaf::Lot(lot)) => Some(lot.clone()),
        _ => None,
    });
    lots.into_iter().find(|lot| lot.lot == id).expect("a lot of the story")
}

/// One that officers approve, with the tickets of a true one.
fn lot_of_officers(id: LotId) -> LotLeaf {
    let (fixture, LotLeaf { count, root, .. }) = (&story().fixture, lot(LATE_LOT));
    let signed = LotLeaf::signed_bytes(&fixture.programme.id(), id, count, &root);
    let officers = (0u8..).zip(&fixture.officers).take(2);
    let signatures = officers
        .map(|(officer, key)| OfficerSignature { officer, signature: signature::sign(tag::LOT, &signed, key) })
        .collect();
    LotLeaf { lot: id, count, root, signatures }
}

fn lot_enlarged() -> Caught {
    let leaf = LotLeaf { count: lot(LATE_LOT).count + 1, ..lot(LATE_LOT) };
    let published = publish(|draft| {
        for block in &mut draft.issuer {
            if matches!(block, Block::Control(IssuerLeaf::Lot(lot)) if lot.lot == LATE_LOT) {
                *block = Block::Control(IssuerLeaf::Lot(leaf.clone()));
            }
        }
    });
    // The lot counts for nothing, and so its ticket is of none.
    let enrolled = issued(&published, issuer_event(&mut story().draft.clone(), 3, is_enrol));
    let at = issued(&published, &IssuerLeaf::Lot(leaf));
    caught(
        &published,
        &[Row::issuer(Check::LotSignatures).at(at)],
        &[Row::issuer(Check::TicketOutsideLot).at(enrolled)],
    )
}

/// Moves a block of the issuer's log behind another.
fn moved(is: impl Fn(&Block<IssuerLeaf>) -> bool, behind: impl Fn(&Block<IssuerLeaf>) -> bool) -> Published {
    publish(|draft| {
        let block = draft.issuer.remove(draft.issuer.iter().position(is).expect("such a block"));
        let to = draft.issuer.iter().rposition(behind).expect("such a block");
        draft.issuer.insert(to + 1, block);
    })
}

fn opened_afterwards() -> Caught {
    let published = moved(
        |block| matches!(block, Block::Control(IssuerLeaf::Open(open)) if open.round == Round(2)),
        |block| matches!(block, Block::Batch(Round(2), _)),
    );
    let early = positions(&published.issuer, |leaf: &IssuerLeaf| match leaf {
        IssuerLeaf::RollOver(record) => record.round == Round(2),
        IssuerLeaf::Draw(leaf) => leaf.record.round == Round(2),
        _ => false,
    });
    let rows: Vec<_> = early.iter().map(|at| Row::issuer(Check::RoundNotOpen).at(*at).round(2)).collect();
    caught(&published, &rows, &[])
}

fn frozen_twice() -> Caught {
    let published = publish(|draft| draft.issuer.push(Block::Freeze(Round(2))));
    caught(&published, &[Row::issuer(Check::FreezeInvalid).at(end())], &[])
}

fn frozen_otherwise() -> Caught {
    let published = publish(|draft| {
        draft.freeze = Some(|freeze| freeze.manifest.0[0] ^= u8::from(freeze.round == Round(1)));
    });
    caught(&published, &[Row::issuer(Check::FreezeInvalid).at(freezes(&published)[0])], &[])
}

fn closed_unfrozen() -> Caught {
    let close = IssuerLeaf::Close(CloseLeaf { round: Round(3) });
    let published = publish(|draft| draft.issuer.extend([open(3, manifest()), close.clone()].map(Block::Control)));
    caught(&published, &[Row::issuer(Check::CloseInvalid).at(issued(&published, &close))], &[])
}

fn drawn_late() -> Caught {
    let leaf = issuer_event(&mut story().draft.clone(), 1, is_draw).clone();
    let published = publish(|draft| {
        batches(&mut draft.issuer).swap_remove(1).retain(|known| *known != leaf);
        let is_close = |block: &Block<IssuerLeaf>| matches!(block, Block::Control(IssuerLeaf::Close(close)) if close.round == Round(1));
        let close = draft.issuer.iter().position(is_close).expect("round 1 closes");
        draft.issuer.insert(close + 1, Block::Batch(Round(1), vec![leaf.clone()]));
    });
    caught(&published, &[Row::issuer(Check::RoundClosed).at(issued(&published, &leaf)).round(1)], &[])
}

fn amended_late() -> Caught {
    let published = moved(
        |block| matches!(block, Block::Control(IssuerLeaf::Close(close)) if close.round == Round(1)),
        |block| matches!(block, Block::Freeze(Round(1))),
    );
    let late = positions(&published.issuer, is_amend);
    let rows: Vec<_> = late.iter().map(|at| Row::issuer(Check::RoundClosed).at(*at).round(1)).collect();
    caught(&published, &rows, &[])
}

fn swapped_late() -> Caught {
    let leaf = issuer_event(&mut story().draft.clone(), 1, is_swap).clone();
    let published = publish(|draft| {
        batches(&mut draft.issuer).swap_remove(1).retain(|known| *known != leaf);
        batches(&mut draft.issuer).swap_remove(2).push(leaf.clone());
    });
    let at = issued(&published, &leaf);
    caught(&published, &[Row::issuer(Check::SwapAfterFreeze).at(at).round(1)], &[])
}
