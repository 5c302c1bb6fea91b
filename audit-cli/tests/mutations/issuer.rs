//! A dishonest issuer's events: enrolments, shows, amends, swaps, vouchers outside of the log.

use annona_protocol::{
    audit::{
        Check, Published,
        forge::{amend_otherwise, batches, falsify, issuer_event, positions, reuse_e},
        testing::{Block, accepted},
    },
    fixture::{CASH, FOOD, INFANT},
    ids::Round,
    log::leaf::{IssuerLeaf, SiteLeaf},
    programme::TicketKind,
    redeem::Surrender,
};

use super::{harness::*, vouchers::push};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "ticket-of-no-lot",
        how: "An issuer enrols with a ticket that is in no approved lot.",
        named: "the enrolment",
        run: ticket_of_no_lot,
    },
    Manipulation {
        name: "ticket-of-another-kind",
        how: "An issuer uses an enrolment ticket for a split.",
        named: "the enrolment",
        run: ticket_of_another_kind,
    },
    Manipulation {
        name: "ticket-used-twice",
        how: "An issuer enrols twice with one ticket.",
        named: "the second enrolment",
        run: ticket_used_twice,
    },
    Manipulation {
        name: "enrolment-forged",
        how: "An issuer logs an enrolment whose proofs it made up.",
        named: "the enrolment",
        run: || falsified(0, is_enrol, Check::EnrolmentInvalid, None),
    },
    Manipulation {
        name: "enrolment-that-never-ends",
        how: "An issuer logs an enrolment with an expiry that no credential can have.",
        named: "the enrolment",
        run: never_ends,
    },
    Manipulation {
        name: "roll-over-forged",
        how: "An issuer logs a roll-over whose proofs it made up.",
        named: "the roll-over",
        run: || falsified(1, is_roll_over, Check::RollOverInvalid, Some(1)),
    },
    Manipulation {
        name: "draw-forged",
        how: "An issuer logs a draw whose proofs it made up.",
        named: "the draw",
        run: || falsified(1, is_draw, Check::DrawInvalid, Some(1)),
    },
    Manipulation {
        name: "amend-forged",
        how: "An issuer logs an amend whose proofs it made up.",
        named: "the amend",
        run: || falsified(2, is_amend, Check::AmendInvalid, Some(1)),
    },
    Manipulation {
        name: "amend-for-more-than-its-ticket",
        how: "An issuer adds another sum to a credential than the amend's ticket says.",
        named: "the amend; the freeze that opens its cohort",
        run: amend_for_more,
    },
    Manipulation {
        name: "draw-without-balance",
        how: "An issuer writes two vouchers more into a draw than the household proved to have.",
        named: "the draw; line and round of the excess",
        run: draw_without_balance,
    },
    Manipulation {
        name: "draw-of-another-rounds-keys",
        how: "An issuer writes keys of round 3 into a draw of round 1.",
        named: "the draw",
        run: draw_of_another_round,
    },
    Manipulation {
        name: "draw-answered-twice",
        how: "An issuer logs a household's draw a second time.",
        named: "the second draw",
        run: draw_answered_twice,
    },
    Manipulation {
        name: "draw-left-out",
        how: "An issuer drops all draws of a round after their vouchers were redeemed.",
        named: "round, line and units of each key",
        run: draws_left_out,
    },
    Manipulation {
        name: "serial-reused",
        how: "An issuer lets a credential roll over twice.",
        named: "the second roll-over",
        run: serial_reused,
    },
    Manipulation {
        name: "one-e-for-two-credentials",
        how: "An issuer gives two credentials one `e`, so that their holder can combine them.",
        named: "the roll-over; the later leaf with this `e`",
        run: one_e,
    },
    Manipulation {
        name: "household-without-enrolment",
        how: "An issuer lets a household roll over and draw that it never enrolled.",
        named: "the round's last roll-over; line and round of what was drawn past the grants",
        run: ghost,
    },
    Manipulation {
        name: "voucher-swapped-twice",
        how: "An issuer swaps one voucher twice.",
        named: "the second swap",
        run: swapped_twice,
    },
    Manipulation {
        name: "swap-without-the-holder",
        how: "An issuer swaps a voucher away without its holder's proof.",
        named: "the swap",
        run: swap_without_holder,
    },
    Manipulation {
        name: "swap-into-more",
        how: "An issuer swaps two units of food for four at another site.",
        named: "the swap",
        run: swap_into_more,
    },
    Manipulation {
        name: "minted-and-redeemed",
        how: "An issuer signs a voucher that no draw shows, and a site redeems it.",
        named: "round, line and units",
        run: minted,
    },
    Manipulation {
        name: "minted-and-surrendered",
        how: "An issuer signs a voucher that no draw shows; its holder surrenders it unused.",
        named: "round, line and units",
        run: minted_surrendered,
    },
];

pub(crate) fn is_enrol(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Enrol(_))
}

pub(crate) fn is_draw(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Draw(_))
}

pub(crate) fn is_roll_over(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::RollOver(_))
}

pub(crate) fn is_amend(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Amend(_))
}

pub(crate) fn is_swap(leaf: &IssuerLeaf) -> bool {
    matches!(leaf, IssuerLeaf::Swap(_))
}

/// Edits the first such event of a batch; gives what is published, and the event's place.
fn edited(batch: usize, is: fn(&IssuerLeaf) -> bool, edit: impl FnOnce(&mut IssuerLeaf)) -> (Published, u64) {
    let mut forged = None;
    let published = publish(|draft| {
        let leaf = issuer_event(draft, batch, is);
        edit(leaf);
        forged = Some(leaf.clone());
    });
    let at = issued(&published, &forged.expect("edited"));
    (published, at)
}

/// The last roll-over of round 1.
fn last_roll_over(published: &Published) -> u64 {
    let is = |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::RollOver(record) if record.round == Round(1));
    positions(&published.issuer, is).into_iter().max().expect("roll-overs")
}

fn falsified(batch: usize, is: fn(&IssuerLeaf) -> bool, check: Check, round: Option<u32>) -> Caught {
    let (published, at) = edited(batch, is, falsify);
    let row = Row::issuer(check).at(at);
    caught(&published, &[round.into_iter().fold(row, Row::round)], &[])
}

fn ticket_of_no_lot() -> Caught {
    let (published, at) = edited(0, is_enrol, |leaf| {
        let IssuerLeaf::Enrol(leaf) = leaf else { unreachable!("an enrolment") };
        leaf.ticket.salt[0] ^= 1;
    });
    // Outside of any lot it is no member of the cohort, and its roll-over is one too many.
    let follows = [
        Row::issuer(Check::RollOversPastEnrolled).at(last_roll_over(&published)).round(1),
        Row::issuer(Check::OpeningCount).at(freezes(&published)[0]),
    ];
    caught(&published, &[Row::issuer(Check::TicketOutsideLot).at(at)], &follows)
}

fn ticket_of_another_kind() -> Caught {
    let (published, at) = edited(0, is_enrol, |leaf| {
        let IssuerLeaf::Enrol(leaf) = leaf else { unreachable!("an enrolment") };
        leaf.kind = TicketKind::Split;
    });
    caught(&published, &[Row::issuer(Check::TicketKind).at(at)], &[])
}

fn never_ends() -> Caught {
    let (published, at) = edited(0, is_enrol, |leaf| {
        let IssuerLeaf::Enrol(leaf) = leaf else { unreachable!("an enrolment") };
        leaf.expires = Round(1 << 16);
    });
    // It is a class of its own, and missing from the one that is opened.
    let follows = [Row::issuer(Check::OpeningCount).at(freezes(&published)[0])];
    caught(&published, &[Row::issuer(Check::EnrolmentInvalid).at(at)], &follows)
}

fn ticket_used_twice() -> Caught {
    let leaf = issuer_event(&mut story().draft.clone(), 0, is_enrol).clone();
    let published = publish(|draft| batches(&mut draft.issuer).swap_remove(1).push(leaf.clone()));
    let at = again(&published.issuer, &leaf);
    caught(&published, &[Row::issuer(Check::TicketReused).at(at)], &[])
}

fn amend_for_more() -> Caught {
    let (published, at) = edited(2, is_amend, amend_otherwise);
    let opening = Row::issuer(Check::OpeningInvalid).at(freezes(&published)[1]);
    caught(&published, &[Row::issuer(Check::AmendInvalid).at(at).round(1), opening], &[])
}

fn draw_without_balance() -> Caught {
    let (published, at) = edited(1, is_draw, |leaf| {
        let IssuerLeaf::Draw(leaf) = leaf else { unreachable!("a draw") };
        leaf.keys[0].1 += 2;
        leaf.answers.extend_from_within(..2);
    });
    // Two vouchers of 4 more: 12 + 8 units of food are drawn, 13 were granted.
    let excess = Row::issuer(Check::DrawnPastGranted).round(1).stake(FOOD, 12 + 8 - 13);
    caught(&published, &[Row::issuer(Check::DrawInvalid).at(at).round(1), excess], &[])
}

fn draw_of_another_round() -> Caught {
    let (published, at) = edited(1, is_draw, |leaf| {
        let IssuerLeaf::Draw(leaf) = leaf else { unreachable!("a draw") };
        leaf.keys = story().fixture.keys(3, &[(FOOD, 4)]);
        leaf.answers.truncate(1);
    });
    // What the household redeemed was drawn nowhere now: food of 4, an infant's, cash of 20 and 10.
    let minted = |line, units| Row::issuer(Check::MintedPastDraws).round(1).stake(line, units);
    let follows = [minted(FOOD, 4), minted(INFANT, 1), minted(CASH, 20), minted(CASH, 10)];
    caught(&published, &[Row::issuer(Check::DrawInvalid).at(at).round(1)], &follows)
}

fn draw_answered_twice() -> Caught {
    let is_second = |leaf: &IssuerLeaf| matches!(leaf, IssuerLeaf::Draw(leaf) if leaf.keys.len() == 2);
    let leaf = issuer_event(&mut story().draft.clone(), 1, is_second).clone();
    let published = publish(|draft| batches(&mut draft.issuer).swap_remove(2).push(leaf.clone()));
    let at = again(&published.issuer, &leaf);
    // Its food counts twice: 12 + 2 units are drawn, 13 were granted. Of cash there is enough.
    let excess = Row::issuer(Check::DrawnPastGranted).round(1).stake(FOOD, 12 + 2 - 13);
    let row = |check| Row::issuer(check).at(at);
    caught(&published, &[row(Check::SerialReused), row(Check::SessionReused)], &[excess])
}

fn draws_left_out() -> Caught {
    let mut draft = story().draft.clone();
    let draws: Vec<_> = batches(&mut draft.issuer).swap_remove(3).drain(..).filter(is_draw).collect();
    let mut expected = Vec::new();
    let mut keys = std::collections::BTreeMap::new();
    for leaf in &draws {
        let IssuerLeaf::Draw(leaf) = leaf else { unreachable!("a draw") };
        leaf.keys.iter().for_each(|(key, count)| *keys.entry(*key).or_insert(0) += u64::from(*count));
    }
    // All of them were redeemed, but one, which was surrendered.
    for (key, count) in keys {
        let id = story().fixture.programme.key(key).expect("listed").id;
        let units = count * u64::from(id.value);
        expected.push(Row::issuer(Check::MintedPastDraws).round(2).stake(id.line, units));
    }
    let published = publish(|draft| batches(&mut draft.issuer).swap_remove(3).retain(|leaf| !is_draw(leaf)));
    caught(&published, &expected, &[])
}

fn serial_reused() -> Caught {
    let leaf = issuer_event(&mut story().draft.clone(), 1, is_roll_over).clone();
    let published = publish(|draft| batches(&mut draft.issuer).swap_remove(2).push(leaf.clone()));
    let at = again(&published.issuer, &leaf);
    // Five roll-overs of four households.
    let follows = [Row::issuer(Check::RollOversPastEnrolled).at(last_roll_over(&published)).round(1)];
    caught(&published, &[Row::issuer(Check::SerialReused).at(at)], &follows)
}

fn one_e() -> Caught {
    let (mut kept, mut forged) = (None, None);
    let published = publish(|draft| {
        let events = batches(&mut draft.issuer).swap_remove(1);
        let mut shows = events.iter_mut().filter(|leaf| is_roll_over(leaf));
        let (one, two) = (shows.next().expect("a roll-over"), shows.next().expect("a second"));
        reuse_e(two, one);
        (kept, forged) = (Some(one.clone()), Some(two.clone()));
    });
    let [kept, forged] = [kept, forged].map(|leaf| issued(&published, &leaf.expect("a leaf")));
    let rows =
        [Row::issuer(Check::RollOverInvalid).at(forged).round(1), Row::issuer(Check::EReused).at(kept.max(forged))];
    caught(&published, &rows, &[])
}

fn ghost() -> Caught {
    // The first household: four members, one child.
    let published = publish(|draft| drop(batches(&mut draft.issuer).swap_remove(0).remove(0)));
    let past = |line, units| Row::issuer(Check::DrawnPastGranted).round(1).stake(line, units);
    let rows = [
        Row::issuer(Check::RollOversPastEnrolled).at(last_roll_over(&published)).round(1),
        past(FOOD, 12 - (2 + 6 + 1)),
        past(CASH, 90 - (30 + 6 * (2 + 6 + 1))),
    ];
    caught(&published, &rows, &[])
}

fn swapped_twice() -> Caught {
    let leaf = issuer_event(&mut story().draft.clone(), 1, is_swap).clone();
    let IssuerLeaf::Swap(swap) = &leaf else { unreachable!("a swap") };
    let published = publish(|draft| {
        let freeze = draft.issuer.iter().position(|block| matches!(block, Block::Freeze(_))).expect("a freeze");
        draft.issuer.insert(freeze, Block::Batch(Round(1), vec![leaf.clone()]));
    });
    let at = again(&published.issuer, &leaf);
    let rows = [
        Row::issuer(Check::DoubleSwap).at(at).mark(&swap.old[0].shown.mark()),
        Row::issuer(Check::SessionReused).at(at),
    ];
    caught(&published, &rows, &[])
}

fn swap_without_holder() -> Caught {
    let (published, at) = edited(1, is_swap, falsify);
    // What was not swapped does not belong into the pack.
    let follows = [Row::issuer(Check::PackSwapped).at(freezes(&published)[0]).round(1)];
    caught(&published, &[Row::issuer(Check::SwapInvalid).at(at).round(1)], &follows)
}

fn swap_into_more() -> Caught {
    let (published, at) = edited(1, is_swap, |leaf| {
        let IssuerLeaf::Swap(leaf) = leaf else { unreachable!("a swap") };
        leaf.new = story().fixture.keys(1, &[(FOOD, 4)]);
    });
    // What was redeemed at the other site came from no swap now, and what was swapped does not belong into the pack.
    let follows = [
        Row::issuer(Check::PackSwapped).at(freezes(&published)[0]).round(1),
        Row::issuer(Check::MintedPastDraws).round(1).stake(FOOD, 2),
    ];
    caught(&published, &[Row::issuer(Check::SwapNotConserved).at(at).round(1)], &follows)
}

fn minted() -> Caught {
    let leaf = accepted(&story().fixture, &story().unlogged[0], 1);
    let published = publish(|draft| push(draft, NORTH, 0, SiteLeaf::Voucher(leaf)));
    caught(&published, &[Row::issuer(Check::MintedPastDraws).round(1).stake(FOOD, 1)], &[])
}

fn minted_surrendered() -> Caught {
    let view = story().fixture.view(1);
    let surrender = Surrender::new(&view, &story().unlogged[0], &mut rng()).expect("of round 1");
    let published = publish(|draft| draft.surrendered.push(surrender));
    caught(&published, &[Row::issuer(Check::MintedPastDraws).round(1).stake(FOOD, 1)], &[])
}
