//! A dishonest site's owed slips and round statements.

use annona_protocol::{
    audit::{
        Check,
        forge::{batches, falsify_holder, site_event},
        testing::Block,
    },
    fixture::{CASH, SITE, SLOTTED},
    group::{EncodedPoint, Point},
    ids::{LineId, Round, Units},
    log::leaf::{CollectedLeaf, OwedLeaf, OwedVoidedLeaf, SiteLeaf},
    slip::StatementTerms,
};

use super::{harness::*, vouchers::push};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "owed-past-redeemed",
        how: "A site writes an owed slip of 500 cash, where 50 were redeemed, so that goods leave later.",
        named: "round and line of the excess",
        run: owed_past_redeemed,
    },
    Manipulation {
        name: "owed-of-no-line",
        how: "A site owes units of a line that the manifest does not have.",
        named: "the slip",
        run: owed_of_no_line,
    },
    Manipulation {
        name: "owed-slip-repeated",
        how: "A site logs an owed slip again in its next batch, so that it can be collected once more.",
        named: "the second slip",
        run: owed_again,
    },
    Manipulation {
        name: "owed-slip-left-out",
        how: "A site drops an owed slip and keeps its collection.",
        named: "the collection",
        run: owed_left_out,
    },
    Manipulation {
        name: "owed-slip-voided-and-collected",
        how: "A site voids an owed slip that is collected.",
        named: "the collection",
        run: voided_and_collected,
    },
    Manipulation {
        name: "void-of-no-owed-slip",
        how: "A site voids an owed slip that it never wrote.",
        named: "the void",
        run: void_of_no_slip,
    },
    Manipulation {
        name: "collected-without-the-holder",
        how: "A site logs a collection with a holder's proof that it made up.",
        named: "the collection",
        run: collected_without_holder,
    },
    Manipulation {
        name: "collected-twice",
        how: "A site logs a collection again in its next batch.",
        named: "the second collection",
        run: collected_twice,
    },
    Manipulation {
        name: "collected-at-another-site",
        how: "A site logs the collection of a slip that the other site wrote.",
        named: "the collection",
        run: collected_elsewhere,
    },
    Manipulation {
        name: "collected-before-it-was-owed",
        how: "A site writes the owed slip after its collection, when the round is stated.",
        named: "the collection; the slip",
        run: collected_before,
    },
    Manipulation {
        name: "statement-inflated",
        how: "A site states one unit more than its log has.",
        named: "the statement",
        run: || {
            stated(Check::StatementTotals, 1, |terms| {
                of_north(terms, 1).into_iter().for_each(|terms| terms.units[0].1.0 += 1)
            })
        },
    },
    Manipulation {
        name: "statement-hides-a-void",
        how: "A site leaves its voids out of its statement.",
        named: "the statement",
        run: || {
            stated(Check::StatementTotals, 1, |terms| {
                of_north(terms, 1).into_iter().for_each(|terms| terms.voids.clear())
            })
        },
    },
    Manipulation {
        name: "statement-hides-a-debt",
        how: "A site leaves what it owes out of its statement.",
        named: "the statement",
        run: || {
            stated(Check::StatementTotals, 1, |terms| {
                of_north(terms, 1).into_iter().for_each(|terms| terms.owed.clear())
            })
        },
    },
    Manipulation {
        name: "statement-hides-a-collection",
        how: "A site leaves what was collected out of its statement.",
        named: "the statement",
        run: || {
            stated(Check::StatementTotals, 2, |terms| {
                of_north(terms, 2).into_iter().for_each(|terms| terms.collected.clear())
            })
        },
    },
    Manipulation {
        name: "statement-with-a-gap",
        how: "A site states a size one below that of the log before the statement.",
        named: "the statement",
        run: || {
            stated(Check::StatementPosition, 1, |terms| {
                of_north(terms, 1).into_iter().for_each(|terms| terms.size -= 1)
            })
        },
    },
    Manipulation {
        name: "statement-over-another-log",
        how: "A site states the root of a log that it does not publish.",
        named: "the statement",
        run: || {
            stated(Check::StatementPosition, 1, |terms| {
                of_north(terms, 1).into_iter().for_each(|terms| terms.root.0[0] ^= 1)
            })
        },
    },
    Manipulation {
        name: "statement-for-another-site",
        how: "A site signs its statement as the other site's.",
        named: "the statement",
        run: || {
            stated(Check::StatementInvalid, 1, |terms| {
                of_north(terms, 1).into_iter().for_each(|terms| terms.place.site = SLOTTED)
            })
        },
    },
    Manipulation {
        name: "statement-altered-after-signing",
        how: "A site alters a statement that it has signed.",
        named: "the statement",
        run: altered_after_signing,
    },
    Manipulation {
        name: "statement-repeated",
        how: "A site states a round twice.",
        named: "the second statement",
        run: repeated,
    },
];

fn is_owed(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Owed(_))
}

fn is_collected(leaf: &SiteLeaf) -> bool {
    matches!(leaf, SiteLeaf::Collected(_))
}

/// The owed slip of the true story: 5 cash of round 1.
fn owed() -> OwedLeaf {
    let SiteLeaf::Owed(leaf) = site_event(&mut story().draft.clone(), 0, 0, is_owed).clone() else {
        unreachable!("an owed slip")
    };
    leaf
}

/// Its collection, in round 2.
fn collected() -> SiteLeaf {
    let leaf = site_event(&mut story().draft.clone(), 0, 1, is_collected).clone();
    assert!(matches!(leaf, SiteLeaf::Collected(CollectedLeaf { round: Round(2), .. })));
    leaf
}

fn owed_past_redeemed() -> Caught {
    let slip = OwedLeaf { lines: vec![(CASH, Units(500))], ..owed() };
    let published = publish(|draft| *site_event(draft, 0, 0, is_owed) = SiteLeaf::Owed(slip));
    // The holder collected another slip than this one.
    let at = logged(&published, NORTH, &collected());
    let excess = Row::site(Check::OwedPastRedeemed, NORTH).round(1).stake(CASH, 500 - 50);
    caught(&published, &[excess], &[Row::site(Check::CollectedInvalid, NORTH).at(at).round(2)])
}

fn owed_of_no_line() -> Caught {
    let holder = EncodedPoint::from(Point::generator());
    let slip = SiteLeaf::Owed(OwedLeaf { lines: vec![(LineId(9), Units(1))], holder, ..owed() });
    let published = publish(|draft| push(draft, NORTH, 0, slip.clone()));
    let at = logged(&published, NORTH, &slip);
    let follows = [Row::site(Check::OwedPastRedeemed, NORTH).round(1).stake(LineId(9), 1)];
    caught(&published, &[Row::site(Check::OwedInvalid, NORTH).at(at).round(1)], &follows)
}

fn owed_again() -> Caught {
    let slip = SiteLeaf::Owed(owed());
    let published = publish(|draft| {
        draft.sites[0].1.insert(1, Block::Batch(Round(1), vec![slip.clone()]));
        // The site states its one debt.
        draft.statement = Some(|terms| terms.owed.iter_mut().for_each(|row| row.1 = Units(5)));
    });
    let at = again(&published.sites[0].1, &slip);
    caught(&published, &[Row::site(Check::OwedInvalid, NORTH).at(at).round(1)], &[])
}

fn owed_left_out() -> Caught {
    let published = publish(|draft| batches(&mut draft.sites[0].1).swap_remove(0).retain(|leaf| !is_owed(leaf)));
    let at = logged(&published, NORTH, &collected());
    caught(&published, &[Row::site(Check::CollectedUnmatched, NORTH).at(at).round(2)], &[])
}

fn voided_and_collected() -> Caught {
    let void = SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: owed().holder });
    let published = publish(|draft| push(draft, NORTH, 0, void));
    let at = logged(&published, NORTH, &collected());
    caught(&published, &[Row::site(Check::CollectedUnmatched, NORTH).at(at).round(2)], &[])
}

fn void_of_no_slip() -> Caught {
    let void = SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: owed().holder });
    let published = publish(|draft| push(draft, RIVER, 0, void.clone()));
    let at = logged(&published, RIVER, &void);
    caught(&published, &[Row::site(Check::OwedVoidUnmatched, RIVER).at(at)], &[])
}

fn collected_without_holder() -> Caught {
    let mut leaf = collected();
    falsify_holder(&mut leaf);
    let published = publish(|draft| *site_event(draft, 0, 1, is_collected) = leaf.clone());
    let at = logged(&published, NORTH, &leaf);
    caught(&published, &[Row::site(Check::CollectedInvalid, NORTH).at(at).round(2)], &[])
}

fn collected_twice() -> Caught {
    let published = publish(|draft| {
        // Before the statement of round 2, which says so.
        draft.sites[0].1.insert(3, Block::Batch(Round(2), vec![collected()]));
    });
    let at = again(&published.sites[0].1, &collected());
    caught(&published, &[Row::site(Check::CollectedUnmatched, NORTH).at(at).round(2)], &[])
}

fn collected_elsewhere() -> Caught {
    let published = publish(|draft| push(draft, RIVER, 1, collected()));
    let at = logged(&published, RIVER, &collected());
    caught(&published, &[Row::site(Check::CollectedUnmatched, RIVER).at(at).round(2)], &[])
}

fn collected_before() -> Caught {
    let slip = SiteLeaf::Owed(owed());
    let published = publish(|draft| {
        batches(&mut draft.sites[0].1).swap_remove(0).retain(|leaf| !is_owed(leaf));
        draft.sites[0].1.push(Block::Batch(Round(2), vec![slip.clone()]));
    });
    let (at, written) = (logged(&published, NORTH, &collected()), logged(&published, NORTH, &slip));
    let late = |check| Row::site(check, NORTH).at(written).round(1);
    let rows = [
        Row::site(Check::CollectedInvalid, NORTH).at(at).round(2),
        late(Check::LeafRound),
        late(Check::AfterStatement),
    ];
    // When round 2 was stated there was nothing to collect.
    let follows = [Row::site(Check::StatementTotals, NORTH).at(statements(&published, NORTH)[1]).round(2)];
    caught(&published, &rows, &follows)
}

/// What the first site states of a round, if it is that.
fn of_north(terms: &mut StatementTerms, round: u32) -> Option<&mut StatementTerms> {
    Some(terms).filter(|terms| (terms.place.site, terms.place.round) == (SITE, Round(round)))
}

/// Edits statements before they are signed: the first site's of this round is named.
fn stated(check: Check, round: u32, edit: fn(&mut StatementTerms)) -> Caught {
    let published = publish(|draft| draft.statement = Some(edit));
    let at = statements(&published, NORTH)[round as usize - 1];
    caught(&published, &[Row::site(check, NORTH).at(at).round(round)], &[])
}

fn altered_after_signing() -> Caught {
    let published = publish(|draft| {
        draft.signed = Some(|signed| {
            let place = signed.content.place;
            signed.content.size += u64::from((place.site, place.round) == (SITE, Round(1)));
        });
    });
    let at = statements(&published, NORTH)[0];
    caught(&published, &[Row::site(Check::StatementInvalid, NORTH).at(at).round(1)], &[])
}

fn repeated() -> Caught {
    let published = publish(|draft| draft.sites[0].1.insert(2, Block::Statement(Round(1))));
    let at = statements(truth(), NORTH)[0] + 1;
    caught(&published, &[Row::site(Check::StatementRepeated, NORTH).at(at).round(1)], &[])
}
