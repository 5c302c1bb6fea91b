//! What an audit of one folder cannot catch. Each verifies: an entry that came to be caught would fail here, and move to the others.

use annona_protocol::{
    audit::{
        Published,
        forge::{batches, enrol_as, issuer_event, mint, positions, site_event},
        testing::{Block, Story, accepted},
    },
    fixture::{CASH, FOOD, LOT},
    ids::{Round, Units},
    log::leaf::{IssuerLeaf, OwedLeaf, SiteLeaf},
    redeem::{CollectRequest, Surrender, holder_key},
    secret::SecretScalar,
    slip::{OwedTerms, Place, RefusalCode, RefusalTerms, Signed},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::Value;

use super::{
    control::{manifest, next, open},
    harness::*,
    issuer::{is_roll_over, is_swap},
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
        name: "expiry-mislabelled",
        how: "An issuer gives one household of a class an earlier expiry than its leaf says, and another a later one.",
        why: "an opening proves expiries in sum",
        seen: "each wallet, which compares its own leaf (protocol.md, 4.2)",
        run: expiry_mislabelled,
    },
    Uncaught {
        name: "household-left-out",
        how: "An issuer drops enrolment and roll-over of a household whose vouchers nobody redeemed.",
        why: "the log is that of a programme without the household",
        seen: "the household's wallet, which looks for its enrolment (protocol.md, 4.2)",
        run: household_left_out,
    },
    Uncaught {
        name: "absent-household-drawn-for",
        how: "An issuer rolls a credential of its own over in place of a household that stays away, draws on it, and a runner redeems.",
        why: "roll-overs are counted, not linked, and amends leave room in the bound",
        seen: "the room is printed: counted beside granted at most; households that come late, and are one too many",
        run: absent_household,
    },
    Uncaught {
        name: "no-show-filled",
        how: "An issuer signs a second voucher for a drawn one that nobody redeemed, and a site claims it.",
        why: "of each key no more vouchers exist in the logs than were drawn",
        seen: "the household, if it surrenders its voucher; stock counts",
        run: no_show_filled,
    },
    Uncaught {
        name: "owed-to-itself",
        how: "A site writes an owed slip to a key of its own, though it handed over everything, and collects it.",
        why: "holders' keys are random: nobody sees whose they are",
        seen: "stock counts; a household that was given no slip",
        run: owed_to_itself,
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
        name: "round-under-an-older-version",
        how: "An issuer opens a round under the version before the newest, so that what officers changed since is not in force.",
        why: "a version of the chain that plans the round may be in force; planned accruals are the same in all",
        seen: "everybody who reads the opening: wallets, sites, officers",
        run: older_version,
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
    enrol_as(&mut story, 3, 12, &[15, 0], &mut rng);
    assert_verified(&story.draft.publish(&story, &mut rng));
}

fn expiry_mislabelled() {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    let mut story = Story::new(&mut rng);
    // Their leaves say 12. The attributes are the story's.
    enrol_as(&mut story, 2, 13, &[6, 2], &mut rng);
    enrol_as(&mut story, 3, 11, &[1, 0], &mut rng);
    let report = assert_verified(&story.draft.publish(&story, &mut rng));
    assert_eq!(report["drawn"], assert_verified(truth())["drawn"], "the bounds are those of the story");
}

fn household_left_out() {
    let published = publish(|draft| {
        // The fourth household drew nothing that is in the log.
        drop(batches(&mut draft.issuer).swap_remove(0).remove(3));
        let shows = batches(&mut draft.issuer).swap_remove(1);
        let fourth = shows.iter().enumerate().filter(|(_, leaf)| is_roll_over(leaf)).nth(3).map(|(at, _)| at);
        drop(shows.remove(fourth.expect("four roll-overs")));
    });
    assert_eq!(assert_verified(&published)["enrolments"], 4);
}

fn absent_household() {
    let (fixture, mut rng) = (&story().fixture, rng());
    // A household of fifteen that is in no log.
    let (ghost, _) = fixture.enrol(LOT, 12, &[15, 0], &mut rng);
    let (ghost, record) = fixture.roll_over(2, &ghost, &mut rng);
    let (_, vouchers, draw) = fixture.draw(2, &ghost, fixture.keys(2, &[(FOOD, 15)]), &mut rng);
    let published = publish(|draft| {
        batches(&mut draft.issuer).swap_remove(3).extend([IssuerLeaf::RollOver(record), IssuerLeaf::Draw(draw)]);
        let redeemed = vouchers.iter().map(|voucher| SiteLeaf::Voucher(accepted(fixture, voucher, 1)));
        batches(&mut draft.sites[0].1).swap_remove(1).extend(redeemed);
    });
    let report = assert_verified(&published);
    let drawn = |report: &Value| {
        let rows = report["drawn"].as_array().expect("rows");
        let food = rows.iter().find(|row| row["round"] == 2 && row["line"] == FOOD.0).expect("a row");
        (food["counted"].as_u64(), food["granted_at_most"].as_u64())
    };
    let (before, granted) = drawn(&assert_verified(truth()));
    assert_eq!(drawn(&report), (before.map(|units| units + 15), granted));
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

fn owed_to_itself() {
    let (fixture, mut rng) = (&story().fixture, rng());
    let (secret, lines) = (SecretScalar::random(&mut rng), vec![(CASH, Units(40))]);
    let owed = OwedLeaf { round: Round(1), lines: lines.clone(), holder: holder_key(&secret) };
    let [first, second] = [1, 2].map(|round| Place::new(&fixture.view(round), NORTH.0));
    let slip = Signed::sign(OwedTerms { place: first, lines, holder: owed.holder }, &fixture.site_logs[0]);
    let request = CollectRequest::new(&fixture.view(1), &slip, &second, &secret, &mut rng).expect("the site's slip");
    let collected = request.verify(&second, &owed).expect("the site holds the key");
    let published = publish(|draft| {
        push(draft, NORTH, 0, SiteLeaf::Owed(owed));
        push(draft, NORTH, 1, SiteLeaf::Collected(collected));
    });
    assert_verified(&published);
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

fn older_version() {
    let published = publish(|draft| {
        let newest = IssuerLeaf::Manifest(next(|header| header.threshold = 3));
        draft.issuer.extend([newest, open(3, manifest())].map(Block::Control));
    });
    assert_verified(&published);
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
