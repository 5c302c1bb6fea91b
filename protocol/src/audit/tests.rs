//! A true story passes with the right totals; every manipulation of it is found, by name, leaf and party.

use std::sync::LazyLock;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{testing::*, *};
use crate::{fixture::*, ids::*, log::leaf::*};

static STORY: LazyLock<Story> = LazyLock::new(|| Story::new(&mut ChaCha20Rng::seed_from_u64(11)));

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(12)
}

fn run(published: &Published) -> Report {
    audit(STORY.fixture.programme.id(), published, &mut rng(), &|_| {})
}

#[test]
fn the_true_story_passes() {
    let published = STORY.draft.publish(&STORY, &mut rng());
    let report = run(&published);
    assert_eq!(report.findings, []);
    let verified = report.verified().unwrap();
    assert_eq!(verified.totals().redeemed().collect::<Vec<_>>(), Story::redeemed());
}
