//! Published logs changed at random and signed again, for tests that hold two audits against each other.

use super::{Published, PublishedLog, testing::Story, testing::checkpoint};

/// A change of one log.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Which log: the issuer's is 0.
    pub log: u8,
    /// Which leaf.
    pub leaf: u16,
    /// What is done: see [`Change::apply`].
    pub how: u8,
    /// Another leaf, or a bit of it.
    pub other: u16,
}

impl Change {
    /// Flips a bit of a leaf; drops, repeats or moves it; swaps it with another; copies it into another log.
    pub fn apply(&self, published: &mut Published) {
        let Published { issuer, sites, .. } = published;
        let mut logs: Vec<&mut PublishedLog> =
            std::iter::once(issuer).chain(sites.iter_mut().map(|(_, log)| log)).collect();
        let (count, log) = (logs.len(), usize::from(self.log) % logs.len());
        let size = logs[log].entries.len();
        if size == 0 {
            return;
        }
        let (leaf, other) = (usize::from(self.leaf) % size, usize::from(self.other) % size);
        let entries = &mut logs[log].entries;
        match self.how % 6 {
            0 => {
                let bits = 8 * entries[leaf].len();
                let bit = usize::from(self.other) % bits.max(1);
                entries[leaf].iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            1 => drop(entries.remove(leaf)),
            2 => entries.insert(other, entries[leaf].clone()),
            3 => {
                let moved = entries.remove(leaf);
                entries.insert(other.min(entries.len()), moved);
            }
            4 => entries.swap(leaf, other),
            _ => {
                let copied = entries[leaf].clone();
                let to = &mut logs[(log + 1) % count].entries;
                to.insert(other.min(to.len()), copied);
            }
        }
    }
}

/// Signs every log again, as its owner would.
pub fn sign_again(story: &Story, published: &mut Published) {
    let fixture = &story.fixture;
    let issuer = &mut published.issuer;
    issuer.checkpoint = checkpoint(fixture, &issuer.name, &fixture.issuer_log, &issuer.entries);
    for ((_, log), key) in published.sites.iter_mut().zip(&fixture.site_logs) {
        log.checkpoint = checkpoint(fixture, &log.name, key, &log.entries);
    }
}
