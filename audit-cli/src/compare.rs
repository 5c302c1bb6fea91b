//! Two mirrors of one programme: whether both were shown one history (spec/audit.md 3).

use std::{collections::BTreeMap, path::Path};

use annona_protocol::{
    audit::keys_from_bytes,
    ids::{ProgrammeId, Round, SiteId},
    slip::OpeningPack,
    wire::Message as _,
};

use crate::{
    chain::Chain,
    evidence::SplitView,
    mirror::{MAX_ANNOUNCEMENT, MirrorError, chain_of, files, log},
};

/// What two mirrors differ in, beyond one being older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Logs that both have, with their sizes.
    pub logs: Vec<(String, u64, u64)>,
    /// Proofs of logs that signed two histories.
    pub splits: Vec<SplitView>,
    /// Other things that differ: `manifest`, `keys.bin`, packs.
    pub differs: Vec<String>,
}

/// Compares two mirrors.
///
/// # Errors
/// [`MirrorError`] if one is none, or is damaged.
pub fn compare(left: &Path, right: &Path, programme: ProgrammeId) -> Result<Comparison, MirrorError> {
    let chain = |folder| chain_of(folder, programme)?.ok_or(MirrorError::NoManifest);
    let chains: [Chain; 2] = [chain(left)?, chain(right)?];
    let mut found = Comparison::default();
    if !chains[0].agrees(&chains[1]) {
        found.differs.push("manifest".into());
    }
    let newest = if chains[0].versions().len() < chains[1].versions().len() { &chains[1] } else { &chains[0] };
    for named in newest.logs() {
        let read = |folder: &Path| log::held(newest, &named, &folder.join("logs").join(&named.folder));
        let (Some(left), Some(right)) = (read(left)?, read(right)?) else { continue };
        let sizes = (left.checkpoint.size(), right.checkpoint.size());
        found.logs.push((named.key.name.clone(), sizes.0, sizes.1));
        let (smaller, larger) = if sizes.0 <= sizes.1 { (left, right) } else { (right, left) };
        let of_smaller = (smaller.note.as_str(), smaller.checkpoint.size(), smaller.checkpoint.root());
        found.splits.extend(SplitView::find(newest, &named, of_smaller, (&larger.note, &larger.leaves)));
    }
    let keys = |folder: &Path| -> Result<_, MirrorError> {
        let path = folder.join("keys.bin");
        let bytes = files::read(&path, MAX_ANNOUNCEMENT)?.unwrap_or_default();
        keys_from_bytes(&bytes).map_err(|_| MirrorError::Damaged { path })
    };
    if keys(left)?.iter().zip(&keys(right)?).any(|(left, right)| left != right) {
        found.differs.push("keys.bin".into());
    }
    let (left, right) = (packs(left)?, packs(right)?);
    for ((round, site), pack) in &left {
        if right.get(&(*round, *site)).is_some_and(|other| other != pack) {
            found.differs.push(format!("the pack of round {round} and site {site}"));
        }
    }
    Ok(found)
}

/// The encoded packs of a place, usually one.
type Packs = BTreeMap<(Round, SiteId), Vec<Vec<u8>>>;

fn packs(folder: &Path) -> Result<Packs, MirrorError> {
    let mut packs = Packs::new();
    for path in files::list_below(folder, "packs")? {
        let bytes = files::read(&path, MAX_ANNOUNCEMENT)?.unwrap_or_default();
        let pack = OpeningPack::decode(&bytes).map_err(|_| MirrorError::Damaged { path })?;
        packs.entry((pack.content.place.round, pack.content.place.site)).or_default().push(bytes);
    }
    packs.values_mut().for_each(|packs| packs.sort());
    Ok(packs)
}
