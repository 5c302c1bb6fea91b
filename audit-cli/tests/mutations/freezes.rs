//! What a freeze fixes: opening packs, and the sums of cohorts.

use annona_protocol::{
    audit::{
        Check,
        forge::enrol_as,
        testing::{Block, Draft, Story},
    },
    ids::Round,
    log::leaf::{CohortOpening, FreezeLeaf, IssuerLeaf, SiteLeaf},
    slip::Signed,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    control::next,
    harness::*,
    vouchers::{first, mark},
};

pub(crate) const ALL: &[Manipulation] = &[
    Manipulation {
        name: "pack-not-made",
        how: "An issuer fixes no opening pack for a site that has keys in the round.",
        named: "the freeze; the pack that it does not fix",
        run: pack_not_made,
    },
    Manipulation {
        name: "second-opening-pack",
        how: "An issuer signs a second opening pack for a site, without its swapped vouchers.",
        named: "the round",
        run: second_pack,
    },
    Manipulation {
        name: "pack-hides-a-swap",
        how: "An issuer leaves a swapped voucher out of a site's opening pack, so that it is good twice.",
        named: "the freeze",
        run: || pack(Check::PackSwapped, |draft| draft.pack = Some(|pack| pack.swapped.clear())),
    },
    Manipulation {
        name: "pack-refuses-a-true-voucher",
        how: "An issuer lists a voucher as swapped that was not, so that a site refuses its holder.",
        named: "the freeze",
        run: || {
            // The swapped voucher's pack is the first site's, and the voucher that is refused, too.
            pack(Check::PackSwapped, |draft| {
                draft.pack = Some(|pack| {
                    if !pack.swapped.is_empty() {
                        pack.swapped.push(mark(&first(NORTH, 0)));
                        pack.swapped.sort();
                    }
                });
                // The site obeys.
                let refused = SiteLeaf::Voucher(first(NORTH, 0));
                let Block::Batch(_, events) = &mut draft.sites[0].1[0] else { unreachable!("a batch") };
                events.retain(|leaf| *leaf != refused);
            })
        },
    },
    Manipulation {
        name: "pack-of-another-log",
        how: "An issuer signs an opening pack over a log that it does not publish.",
        named: "the freeze",
        run: || {
            pack(Check::PackInvalid, |draft| {
                draft.pack = Some(|pack| pack.root.0[0] ^= u8::from(pack.swapped.len() == 1));
            })
        },
    },
    Manipulation {
        name: "cohort-count-raised",
        how: "An issuer opens a cohort with one household more than the log has.",
        named: "the freeze",
        run: || first_freeze(Check::OpeningCount, |freeze| cohort(freeze).into_iter().for_each(|one| one.count += 1)),
    },
    Manipulation {
        name: "cohort-sum-that-is-not-the-sum",
        how: "An issuer opens a cohort with one member more than its households have.",
        named: "the freeze",
        run: || {
            first_freeze(Check::OpeningInvalid, |freeze| cohort(freeze).into_iter().for_each(|one| one.forms[0].1 += 1))
        },
    },
    Manipulation {
        name: "cohort-debit-lowered",
        how: "An issuer opens a cohort with less drawn of its cash than its households began with.",
        named: "the freeze",
        run: || {
            first_freeze(Check::OpeningInvalid, |freeze| cohort(freeze).into_iter().for_each(|one| one.states[2] -= 1))
        },
    },
    Manipulation {
        name: "household-left-out-of-its-cohort",
        how: "An issuer lets a cohort's range begin behind the first leaf, so that single households can be told.",
        named: "the freeze",
        run: left_out,
    },
    Manipulation {
        name: "class-kept-closed",
        how: "An issuer never opens the amends, so that nobody sees what they granted.",
        named: "both freezes of the round",
        run: kept_closed,
    },
    Manipulation {
        name: "cohort-too-small",
        how: "An issuer opens a cohort of two although the newest version asks for three.",
        named: "the freeze",
        run: too_small,
    },
    Manipulation {
        name: "household-beyond-the-schema",
        how: "An issuer and a household agree on a hundred members where the schema allows fifteen; all proofs hold.",
        named: "the freeze that opens its cohort",
        run: beyond_schema,
    },
];

fn pack_not_made() -> Caught {
    let published = publish(|draft| {
        draft.freeze = Some(|freeze| freeze.packs.truncate(if freeze.round == Round(1) { 1 } else { 2 }));
    });
    let rows =
        [Row::issuer(Check::PackMissing).at(freezes(&published)[0]).round(1), Row::issuer(Check::PackDiffers).round(1)];
    caught(&published, &rows, &[])
}

fn second_pack() -> Caught {
    let mut published = truth().clone();
    let mut terms = published.packs[0].content.clone();
    assert_eq!((terms.place.round, terms.swapped.len()), (Round(1), 1));
    terms.swapped.clear();
    published.packs.push(Signed::sign(terms, &story().fixture.issuer_log));
    caught(&published, &[Row::issuer(Check::PackDiffers).round(1)], &[])
}

/// Edits the pack of round 1 that has a swapped voucher: its freeze is named.
fn pack(check: Check, edit: impl FnOnce(&mut Draft)) -> Caught {
    let published = publish(edit);
    caught(&published, &[Row::issuer(check).at(freezes(&published)[0]).round(1)], &[])
}

/// Edits the freeze of round 1, which opens the first cohort; an edit leaves the others alone.
fn first_freeze(check: Check, edit: fn(&mut FreezeLeaf)) -> Caught {
    let published = publish(|draft| draft.freeze = Some(edit));
    caught(&published, &[Row::issuer(check).at(freezes(&published)[0])], &[])
}

/// The first cohort, in the freeze of round 1 only.
fn cohort(freeze: &mut FreezeLeaf) -> Option<&mut CohortOpening> {
    freeze.openings.first_mut().filter(|opening| !opening.class.amend && freeze.round == Round(1))
}

fn left_out() -> Caught {
    let published = publish(|draft| {
        draft.freeze = Some(|freeze| {
            if freeze.round == Round(1) {
                freeze.openings.iter_mut().for_each(|opening| opening.from += 1);
            }
        });
    });
    let [first, ..] = freezes(&published);
    // The class stays unopened at each freeze.
    let follows = freezes(&published).map(|at| Row::issuer(Check::ClassUnopened).at(at));
    caught(&published, &[Row::issuer(Check::OpeningRange).at(first)], &follows)
}

fn kept_closed() -> Caught {
    let published =
        publish(|draft| draft.freeze = Some(|freeze| freeze.openings.retain(|opening| !opening.class.amend)));
    let [_, second, closing] = freezes(&published);
    caught(&published, &[second, closing].map(|at| Row::issuer(Check::ClassUnopened).at(at)), &[])
}

fn too_small() -> Caught {
    let signed = next(|header| header.policy.cohort_min = 3);
    let published = publish(|draft| draft.issuer.insert(2, Block::Control(IssuerLeaf::Manifest(signed))));
    let [first, second, _] = freezes(&published);
    // The first cohort is large enough; its opening binds the version before, which is found too.
    let follows = [Row::issuer(Check::OpeningInvalid).at(first)];
    caught(&published, &[Row::issuer(Check::CohortTooSmall).at(second)], &follows)
}

fn beyond_schema() -> Caught {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    // The same story, told again, as its fourth household's secrets change.
    let mut story = Story::new(&mut rng);
    enrol_as(&mut story, 3, 12, &[100, 0], &mut rng);
    let published = story.draft.publish(&story, &mut rng);
    caught(&published, &[Row::issuer(Check::OpeningBeyondSchema).at(freezes(&published)[0])], &[])
}
