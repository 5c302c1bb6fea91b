//! Opening packs and surrendered vouchers.
//!
//! Once its round is frozen in the mirror's copy of the issuer's log, a pack is one of the published folder. Before that it waits in
//! `.mirror/packs`, as nobody can say which one the freeze will fix. Audits read it there: it clears the site that opened by it.

use std::{collections::BTreeMap, path::Path};

use annona_protocol::{
    audit::keys_from_bytes,
    ids::{Digest, Round, SiteId},
    log::{
        leaf::{FreezeLeaf, IssuerLeaf, MAX_LEAF_BYTES, OpenLeaf},
        merkle::leaf_hash,
        note::MAX_NOTE_BYTES,
        tile::{TileKind, decode_bundle, paths},
    },
    programme::Programme,
    redeem::Surrender,
    slip::OpeningPack,
    wire::Message as _,
};

use super::{
    FaultKind, MAX_ANNOUNCEMENT, MAX_MESSAGE, Mirror, MirrorError, files, foreign,
    log::{self, Accusation},
    source::{MAX_BUNDLE, Source},
};
use crate::chain::Chain;

/// The most packs for one place beyond the one that the freeze fixes: one shows that there is another.
const MAX_OTHERS: usize = 1;
/// The most packs of one place that wait for their freeze, and of all.
const MAX_WAITING: (usize, usize) = (2, 1024);
/// Where they wait.
pub(crate) const WAITING: &str = ".mirror/packs";

/// What the issuer's log here says of rounds.
#[derive(Default)]
struct Facts {
    openings: Vec<OpenLeaf>,
    /// The digests of packs by round, as the first freeze of each fixes them.
    freezes: BTreeMap<Round, Vec<(SiteId, Digest)>>,
}

/// What a pack is to a mirror.
enum Kind {
    /// The one that a freeze fixes.
    Fixed,
    /// Of a round that is not frozen here yet.
    Early,
    /// Another one for a place of a frozen round.
    Other,
    /// Not the issuer's, or of another programme.
    Foreign,
}

impl Mirror<'_> {
    /// The packs of all folders, of every freeze from the issuer's server, and those that waited; the folders' surrendered
    /// vouchers.
    pub(super) fn take_files(&mut self, chain: &Chain) -> Result<(), MirrorError> {
        let options = self.options;
        let facts = self.facts()?;
        for folder in &options.folders {
            let taken = self.packs_of(chain, &facts, folder);
            let taken = taken.and_then(|()| self.surrendered_of(chain, &facts, folder));
            taken.or_else(|error| self.missed(&folder.display().to_string(), error))?;
        }
        if let Some(url) = &options.issuer {
            let taken = self.packs_from(chain, &facts, url);
            taken.or_else(|error| self.missed(url, error))?;
        }
        for path in files::list(&self.folder.join(WAITING))? {
            let bytes = files::read(&path, MAX_MESSAGE)?.unwrap_or_default();
            if matches!(self.kind(chain, &facts, &bytes), (_, Kind::Early)) {
                continue;
            }
            self.take_pack(chain, &facts, &bytes)?;
            files::remove(&path)?;
        }
        Ok(())
    }

    fn packs_of(&mut self, chain: &Chain, facts: &Facts, folder: &Path) -> Result<(), MirrorError> {
        for path in files::list_below(folder, "packs").map_err(foreign)?.into_iter().filter(|path| is_message(path)) {
            if let Some(bytes) = files::read(&path, MAX_MESSAGE).map_err(foreign)? {
                self.take_pack(chain, facts, &bytes)?;
            }
        }
        Ok(())
    }

    fn packs_from(&mut self, chain: &Chain, facts: &Facts, url: &str) -> Result<(), MirrorError> {
        let log = chain.logs().remove(0);
        let source = Source::web(url, log.key.key, &self.options.transport)?;
        for (round, packs) in &facts.freezes {
            for (site, digest) in packs {
                let is_fixed = |bytes: &[u8]| OpeningPack::decode(bytes).is_ok_and(|pack| pack.digest() == *digest);
                let own = files::read(&self.folder.join(pack_name(*round, *site)), MAX_MESSAGE)?;
                if own.is_some_and(|own| is_fixed(&own)) {
                    continue;
                }
                let bytes = source.message(&format!("/v1/packs/{}/{}", round.0, site.0))?;
                let Some(bytes) = bytes else { continue };
                if !is_fixed(&bytes) && matches!(self.kind(chain, facts, &bytes), (_, Kind::Fixed | Kind::Early)) {
                    // True, but of another place than the server was asked for.
                    self.accuse_pack(&bytes)?;
                } else {
                    self.take_pack(chain, facts, &bytes)?;
                }
            }
        }
        Ok(())
    }

    fn facts(&self) -> Result<Facts, MirrorError> {
        let mut facts = Facts::default();
        let folder = self.folder.join("logs/issuer");
        let Some(note) = files::read(&folder.join("checkpoint"), MAX_NOTE_BYTES)? else { return Ok(facts) };
        let size = log::parsed(&note).map_or(0, |checkpoint| checkpoint.size());
        for path in paths(size).take_while(|path| path.kind() == TileKind::Entries) {
            let bytes = files::read(&folder.join(path.to_string()), MAX_BUNDLE)?;
            let entries = bytes.and_then(|bytes| decode_bundle(&bytes, path.width()));
            let entries = entries.ok_or_else(|| MirrorError::Damaged { path: folder.clone() })?;
            for entry in entries.iter().filter(|entry| entry.len() <= MAX_LEAF_BYTES) {
                match IssuerLeaf::decode(entry) {
                    Ok(IssuerLeaf::Open(leaf)) => facts.openings.push(leaf),
                    Ok(IssuerLeaf::Freeze(FreezeLeaf { round, packs, .. })) => {
                        facts.freezes.entry(round).or_insert(packs);
                    }
                    _ => {}
                }
            }
        }
        Ok(facts)
    }

    fn kind(&self, chain: &Chain, facts: &Facts, bytes: &[u8]) -> (Option<OpeningPack>, Kind) {
        let Ok(pack) = OpeningPack::decode(bytes) else { return (None, Kind::Foreign) };
        let place = pack.content.place;
        let header = chain.newest();
        let is_own = place.programme == self.options.programme && pack.verify(&header.issuer_log.key).is_ok();
        let kind = match facts.freezes.get(&place.round) {
            _ if !is_own => Kind::Foreign,
            None => Kind::Early,
            Some(listed) if listed.contains(&(place.site, pack.digest())) => Kind::Fixed,
            Some(_) if header.site(place.site).is_none() => Kind::Foreign,
            Some(_) => Kind::Other,
        };
        (Some(pack), kind)
    }

    /// Keeps a pack that the issuer signed, also a second one for the same place: the audit has to see both.
    fn take_pack(&mut self, chain: &Chain, facts: &Facts, bytes: &[u8]) -> Result<(), MirrorError> {
        let (Some(pack), kind) = self.kind(chain, facts, bytes) else { return self.accuse_pack(bytes) };
        let name = pack_name(pack.content.place.round, pack.content.place.site);
        match kind {
            Kind::Fixed => {
                // What came here before there was a freeze.
                if let Some(own) = files::read(&self.folder.join(&name), MAX_MESSAGE)?
                    && own != bytes
                {
                    self.put_other("packs", &name, &own, MAX_OTHERS)?;
                }
                self.put(&name, bytes, true)
            }
            Kind::Early => {
                let waiting = files::list(&self.folder.join(WAITING))?.len();
                if waiting < MAX_WAITING.1 { self.put_other(WAITING, &name, bytes, MAX_WAITING.0) } else { Ok(()) }
            }
            Kind::Other => {
                self.accuse_pack(bytes)?;
                self.put_other("packs", &name, bytes, MAX_OTHERS)
            }
            Kind::Foreign => self.accuse_pack(bytes),
        }
    }

    fn accuse_pack(&mut self, bytes: &[u8]) -> Result<(), MirrorError> {
        let kind = FaultKind::PackDiffers;
        let offered = Some(bytes.to_vec());
        self.accuse(None, Accusation { kind, path: None, notes: Vec::new(), offered, proof: None })
    }

    /// Keeps a pack beside the one of this name, under a name with its hash, unless there are `most` already.
    fn put_other(&mut self, folder: &str, name: &str, bytes: &[u8], most: usize) -> Result<(), MirrorError> {
        let stem = name.trim_start_matches("packs/").trim_end_matches("bin");
        let hash = leaf_hash(bytes).to_string();
        let is_other = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(stem).is_some_and(|rest| rest != "bin")
        };
        let others = files::list(&self.folder.join(folder))?.into_iter().filter(|path| is_other(path)).count();
        let name = format!("{folder}/{stem}{}.bin", &hash[..16]);
        match folder {
            _ if others >= most => Ok(()),
            WAITING => Ok(files::replace(&self.folder.join(name), bytes)?),
            _ => self.put(&name, bytes, false),
        }
    }

    /// The surrendered vouchers of a folder that verify, one file a voucher: a stranger can write any number of others.
    fn surrendered_of(&mut self, chain: &Chain, facts: &Facts, folder: &Path) -> Result<(), MirrorError> {
        let paths = files::list_below(folder, "surrendered").map_err(foreign)?;
        let mut programme = None;
        for path in paths.into_iter().filter(|path| is_message(path)) {
            let bytes = files::read(&path, MAX_MESSAGE).map_err(foreign)?.unwrap_or_default();
            let Ok(surrender) = Surrender::decode(&bytes) else { continue };
            let mark = surrender.voucher.shown.mark();
            // Named by the voucher: what a stick calls it is a stranger's text.
            let named = [&mark.key.0.to_be_bytes()[..], &mark.holder.0].concat();
            let name = format!("surrendered/{}.bin", leaf_hash(&named));
            if self.folder.join(&name).exists() {
                continue;
            }
            let programme = match &mut programme {
                Some(programme) => programme,
                none => none.insert(self.programme(chain, facts)?),
            };
            let round = programme.key(mark.key).map(|entry| entry.id.round);
            let view = round.and_then(|round| programme.in_force(round).ok());
            if view.is_some_and(|view| surrender.verify(&view).is_ok()) {
                self.put(&name, &bytes, false)?;
            }
        }
        Ok(())
    }

    /// The programme as the mirror has it.
    fn programme(&self, chain: &Chain, facts: &Facts) -> Result<Programme, MirrorError> {
        let no_keys = || MirrorError::NoKeys { path: self.folder.to_owned() };
        let bytes = files::read(&self.folder.join("keys.bin"), MAX_ANNOUNCEMENT)?.ok_or_else(no_keys)?;
        let keys = keys_from_bytes(&bytes).map_err(|_| no_keys())?;
        let mut programme = Programme::new(chain.versions(), keys).map_err(|_| no_keys())?;
        for OpenLeaf { round, manifest } in &facts.openings {
            // A false opening opens nothing: the audit names it.
            let _refused = programme.open_round(*round, *manifest);
        }
        Ok(programme)
    }
}

fn is_message(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "bin")
}

fn pack_name(round: Round, site: SiteId) -> String {
    format!("packs/round-{}-site-{}.bin", round.0, site.0)
}
