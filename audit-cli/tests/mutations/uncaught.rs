//! What an audit of one folder cannot catch. Each verifies: an entry that came to be caught would fail here, and move to the others.

use annona_protocol::{
    audit::{
        Published,
        forge::{batches, inflate, issuer_event, mint, positions, site_event},
        testing::{Block, Story, accepted},
    },
    fixture::FOOD,
    ids::Round,
    log::leaf::{IssuerLeaf, SiteLeaf},
    redeem::Surrender,
    slip::{Place, RefusalCode, RefusalTerms, Signed},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

use super::{
    harness::*,
    issuer::is_swap,
    vouchers::{first, is_voucher, mark, push},
};

/// Something that verifies although somebody cheats.
pub(crate) struct Uncaught {
    pub(crate) name: &'static str,
    pub(crate) how: &'static str,
    /// Why an audit cannot see it.
    pub(crate) why: &'static str,
    /// Who else can.
    pub(crate) seen: &'static str,
    pub(crate) run: fn(),
}

pub(crate) const ALL: &[Uncaught] = &[
    Uncaught {
        name: "household-on-paper",
        how: "A caseworker enrols a household that does not exist, and draws and redeems for it.",
        why: "its leaves are those of a household: no identity is in the logs",
        seen: "lots are counted and approved by officers; opened sums against surveys",
        run: household_on_paper,
    },
    Uncaught {
        name: "household-made-larger",
        how: "A caseworker enrols a household of one as one of fifteen, which the schema allows.",
        why: "attributes are hidden, and within their ranges",
        seen: "opened sums against surveys",
        run: household_made_larger,
    },
    Uncaught {
        name: "no-show-filled",
        how: "An issuer signs a second voucher for a drawn one that nobody redeemed, and a site claims it.",
        why: "of each key no more vouchers exist in the logs than were drawn",
        seen: "the household, if it surrenders its voucher; stock counts",
        run: no_show_filled,
    },
    Uncaught {
        name: "refused-and-claimed",
        how: "A site refuses a voucher, keeps what it was shown, and logs it as redeemed.",
        why: "refusal slips are in holders' hands, not in the logs",
        seen: "a complaint desk: the signed refusal beside the leaf",
        run: refused_and_claimed,
    },
    Uncaught {
        name: "surrender-withheld",
        how: "An issuer signs a voucher that no draw shows; a server withholds its holder's surrender.",
        why: "what is not published is not counted",
        seen: "the holder, and whoever mirrors surrendered vouchers",
        run: surrender_withheld,
    },
    Uncaught {
        name: "older-state",
        how: "A server shows all logs as they were at the end of round 1.",
        why: "the logs were like that once, and all of it was signed",
        seen: "whoever has a newer copy: `mirror`, witnesses; wallets, by receipts",
        run: older_state,
    },
    Uncaught {
        name: "statement-withheld",
        how: "A site does not state a round.",
        why: "a round may be unfinished; the audit notes it",
        seen: "the note; the agency",
        run: statement_withheld,
    },
    Uncaught {
        name: "swap-answered-falsely",
        how: "An issuer logs a swap's answers that give no vouchers.",
        why: "the answers to a swap are bound by no proof of the issuer",
        seen: "the wallet, which keeps offer and challenge: with the leaf they convict the issuer",
        run: swap_answered_falsely,
    },
    Uncaught {
        name: "batches-of-one",
        how: "A site closes a batch behind every leaf, so that the order of visits shows.",
        why: "the manifest has no least size of batches",
        seen: "whoever looks at the sizes of batches",
        run: batches_of_one,
    },
];

fn assert_verified(published: &Published) -> Value {
    Folder::of(published).assert_verified()
}

/// Redeemed units of food at the first site in round 1.
fn food(report: &Value) -> Option<u64> {
    let rows = report["totals"].as_array()?;
    let here = |row: &&Value| row["round"] == 1 && row["site"] == 1 && row["line_name"] == "food";
    rows.iter().find(here)?["redeemed"].as_u64()
}

fn household_on_paper() {
    let story = story();
    let published = publish(|draft| {
        batches(&mut draft.issuer).swap_remove(1).push(story.unlogged_draw.clone());
        push(draft, NORTH, 0, SiteLeaf::Voucher(accepted(&story.fixture, &story.unlogged[0], 1)));
    });
    let more = |published| food(&assert_verified(published)).expect("a row");
    assert_eq!(more(&published), more(truth()) + 1);
}

fn household_made_larger() {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    let mut story = Story::new(&mut rng);
    inflate(&mut story, 15, &mut rng);
    assert_verified(&story.draft.publish(&story, &mut rng));
}

fn no_show_filled() {
    let fixture = &story().fixture;
    let nobody_came = first(NORTH, 0);
    let key = mark(&nobody_came).key;
    assert_eq!(fixture.keys(1, &[(FOOD, 4)]), [(key, 1)]);
    let minted = mint(fixture, 1, vec![(key, 1)], &mut rng()).remove(0);
    let published = publish(|draft| {
        *site_event(draft, 0, 0, is_voucher) = SiteLeaf::Voucher(accepted(fixture, &minted, 1));
    });
    let report = assert_verified(&published);
    assert_eq!(food(&report), food(&assert_verified(truth())));
}

fn refused_and_claimed() {
    let fixture = &story().fixture;
    let kept = mark(&first(NORTH, 0));
    let terms = RefusalTerms {
        place: Place::new(&fixture.view(1), NORTH.0),
        quote: Default::default(),
        code: RefusalCode::VoucherInvalid,
        marks: vec![kept],
    };
    let slip = Signed::sign(terms, &fixture.site_logs[0]);
    assert_verified(truth());
    // What convicts the site: its word that it refused the voucher, and its leaf that it took it.
    let log = &truth().sites[0].1;
    let key = fixture.programme.latest().sites[0].logs[0].key;
    assert!(slip.verify(&key).is_ok());
    let taken = positions(log, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Voucher(leaf) if mark(leaf) == kept));
    assert_eq!(taken.len(), 1);
}

fn surrender_withheld() {
    let view = story().fixture.view(1);
    let surrender = Surrender::new(&view, &story().unlogged[0], &mut rng()).expect("of round 1");
    let published = publish(|draft| draft.surrendered.push(surrender));
    let folder = Folder::of(&published);
    assert_eq!(folder.verify().0, Some(1), "with the surrender it is caught");
    std::fs::remove_file(folder.path().join("surrendered/1.bin")).expect("a file");
    folder.assert_verified();
}

fn older_state() {
    let mut published = publish(|draft| {
        let is_open = |block: &Block<IssuerLeaf>| matches!(block, Block::Control(IssuerLeaf::Open(open)) if open.round == Round(2));
        let at = draft.issuer.iter().position(is_open).expect("round 2 opens");
        draft.issuer.truncate(at);
        draft.sites.iter_mut().for_each(|(_, blocks)| blocks.truncate(2));
        draft.surrendered.clear();
    });
    published.packs.retain(|pack| pack.content.place.round == Round(1));
    let report = assert_verified(&published);
    assert_eq!(food(&report), food(&assert_verified(truth())));
}

fn statement_withheld() {
    let published = publish(|draft| drop(draft.sites[0].1.pop()));
    let report = assert_verified(&published);
    let notes: Vec<_> = report["notes"].as_array().expect("notes").iter().filter_map(Value::as_str).collect();
    assert!(notes.contains(&"site 1 has not stated round 2"), "{notes:?}");
}

fn swap_answered_falsely() {
    let published = publish(|draft| {
        let IssuerLeaf::Swap(leaf) = issuer_event(draft, 1, is_swap) else { unreachable!("a swap") };
        // Of a draw that is in no log.
        let IssuerLeaf::Draw(draw) = &story().unlogged_draw else { unreachable!("a draw") };
        leaf.answers[0] = draw.answers[0];
    });
    assert_verified(&published);
}

fn batches_of_one() {
    let published = publish(|draft| {
        let blocks = &mut draft.sites[0].1;
        let Block::Batch(round, events) = blocks.remove(0) else { unreachable!("a batch") };
        // What belongs together stays in order: acceptances, then voids and slips.
        blocks.splice(0..0, events.into_iter().map(|leaf| Block::Batch(round, vec![leaf])));
    });
    assert_verified(&published);
    let headers = positions(&published.sites[0].1, |leaf: &SiteLeaf| matches!(leaf, SiteLeaf::Batch(_)));
    assert!(headers.len() > 5);
}
