//! What a source says of the programme: its manifest, with the key list and the announcement that belong to it.

use std::path::Path;

use annona_protocol::{
    audit::{keys_from_bytes, keys_to_bytes},
    log::{
        Checkpoint,
        leaf::{IssuerLeaf, Leaf as _},
        merkle::{self, verify_inclusion},
    },
    programme::{Announced, Announcement, KeyEntry, SignedHeader},
    wire::Message as _,
};
use annona_transport::{Client, TransportError};

use super::{
    FaultKind, MAX_ANNOUNCEMENT, Mirror, MirrorError, files, foreign,
    log::{self, Accusation},
    source::{MAX_BUNDLE, SourceError},
};
use crate::chain::Chain;

/// What a source says of the programme.
pub(super) struct Offer {
    pub(super) chain: Chain,
    pub(super) keys: Vec<KeyEntry>,
    /// The issuer's checkpoint.
    pub(super) note: Vec<u8>,
    pub(super) announcement: Option<Vec<u8>>,
}

/// How an offered key list stands to a manifest.
pub(super) enum Keys {
    /// It is the one that the newest version fixes.
    Fixed,
    /// It is that of an earlier version: the source was copied while it was written to, or has no list.
    Older,
    /// It is another.
    Foreign,
}

impl Offer {
    pub(super) fn keys(&self) -> Keys {
        let versions = self.chain.versions();
        // A list only grows, so it has to fit every version up to the one that it is of.
        match versions.iter().position(|version| version.header.key_count as usize > self.keys.len()) {
            _ if !begins(&self.keys, versions) => Keys::Foreign,
            Some(_) => Keys::Older,
            None => Keys::Fixed,
        }
    }

    /// Whether its manifest is the newest known.
    pub(super) fn is_of(&self, known: Option<&Chain>) -> bool {
        known.is_none_or(|known| known.versions().len() <= self.chain.versions().len())
    }
}

/// Whether the list is that of one of these versions, and grew into it.
fn begins(keys: &[KeyEntry], versions: &[SignedHeader]) -> bool {
    let leaves: Vec<_> = keys.iter().map(KeyEntry::leaf).collect();
    let (mut of, mut known) = (None, None);
    for header in versions.iter().map(|version| &version.header) {
        let Some(beginning) = leaves.get(..header.key_count as usize) else { break };
        if known != Some((header.key_count, header.key_root)) && merkle::root(beginning) != header.key_root {
            return false;
        }
        (of, known) = (Some(beginning.len()), Some((header.key_count, header.key_root)));
    }
    of == Some(keys.len())
}

impl Mirror<'_> {
    /// The issuer's announcement, from whoever answers: it verifies by itself.
    pub(super) fn web_offer(&mut self, url: &str) -> Result<Option<Offer>, MirrorError> {
        let options = annona_transport::Options { max_body: MAX_ANNOUNCEMENT, ..self.options.transport.clone() };
        let bytes = match Client::unpinned_announcement(url, &options) {
            Ok(bytes) => bytes,
            // What is too long to be one says so itself.
            Err(TransportError::TooLong { .. }) => {
                self.accuse_announcement(None)?;
                return Ok(None);
            }
            Err(error) => return Err(SourceError::from(error).into()),
        };
        self.announced(bytes)
    }

    pub(super) fn folder_offer(&mut self, folder: &Path) -> Result<Option<Offer>, MirrorError> {
        let read = |name: &str, limit| files::read_below(folder, name, limit).map_err(foreign);
        if let Some(bytes) = read("announcement.bin", MAX_ANNOUNCEMENT)? {
            return self.announced(bytes);
        }
        let Some(note) = read("logs/issuer/checkpoint", annona_protocol::log::note::MAX_NOTE_BYTES)? else {
            return Ok(None);
        };
        let keys = read("keys.bin", MAX_ANNOUNCEMENT)?.unwrap_or_default();
        let (Some(checkpoint), Ok(keys)) = (log::parsed(&note), keys_from_bytes(&keys)) else {
            self.accuse_announcement(None)?;
            return Ok(None);
        };
        let size = checkpoint.size().min(self.options.most);
        let fetch = |path: &str| read(&format!("logs/issuer/{path}"), MAX_BUNDLE).ok().flatten();
        let Ok(chain) = Chain::from_log(self.options.programme, fetch, size) else {
            self.accuse_announcement(None)?;
            return Ok(None);
        };
        Ok(Some(Offer { chain, keys, note, announcement: None }))
    }

    fn announced(&mut self, bytes: Vec<u8>) -> Result<Option<Offer>, MirrorError> {
        let announcement = Announcement::decode(&bytes).ok();
        let programme = self.options.programme;
        let chain = announcement.as_ref().and_then(|announcement| {
            if self.options.uncosigned {
                is_in_log(announcement).then_some(())?;
            } else {
                announcement.verify(programme).ok()?;
            }
            Chain::new(programme, announcement.versions.iter().map(|version| version.leaf.clone()).collect()).ok()
        });
        match (announcement, chain) {
            (Some(Announcement { checkpoint: note, keys, .. }), Some(chain)) => {
                Ok(Some(Offer { chain, keys, note, announcement: Some(bytes) }))
            }
            _ => {
                self.accuse_announcement(Some(bytes))?;
                Ok(None)
            }
        }
    }

    fn accuse_announcement(&mut self, offered: Option<Vec<u8>>) -> Result<(), MirrorError> {
        let accusation =
            Accusation { kind: FaultKind::Announcement, path: None, notes: Vec::new(), offered, proof: None };
        self.accuse(None, accusation)
    }

    /// Names a key list that no manifest version fixes.
    pub(super) fn accuse_keys(&mut self, keys: &[KeyEntry]) -> Result<(), MirrorError> {
        let offered = Some(keys_to_bytes(keys));
        let kind = FaultKind::KeysChanged;
        self.accuse(None, Accusation { kind, path: None, notes: Vec::new(), offered, proof: None })
    }

    /// An announcement only grows: one with fewer versions or openings does not replace ours, nor does the same with fewer
    /// witnesses.
    pub(super) fn take_announcement(&mut self, chain: &Chain, bytes: &[u8]) -> Result<(), MirrorError> {
        let own = files::read(&self.folder.join("announcement.bin"), MAX_ANNOUNCEMENT)?;
        let own = own.and_then(|own| weight(chain, &own));
        if let (Some(own), Some(new)) = (own, weight(chain, bytes)) {
            let shrinks = new.versions < own.versions || new.openings < own.openings;
            let is_same = (new.versions, new.openings) == (own.versions, own.openings);
            if shrinks || (is_same && own.is_cosigned && !new.is_cosigned) {
                return Ok(());
            }
        }
        self.put("announcement.bin", bytes, true)
    }
}

/// How much an announcement says.
struct Weight {
    versions: usize,
    openings: usize,
    is_cosigned: bool,
}

/// None for an announcement that is none of the issuer's log: it weighs nothing.
fn weight(chain: &Chain, bytes: &[u8]) -> Option<Weight> {
    let announcement = Announcement::decode(bytes).ok()?;
    let versions: Vec<_> = announcement.versions.iter().map(|version| version.leaf.clone()).collect();
    let issuer = chain.logs().into_iter().find(|log| log.site.is_none())?;
    chain.signed_by(&announcement.checkpoint, &issuer).ok()?;
    let own = Chain::new(chain.programme(), versions).ok()?;
    (is_in_log(&announcement) && chain.agrees(&own)).then(|| Weight {
        versions: announcement.versions.len(),
        openings: announcement.openings.len(),
        is_cosigned: chain.verify_checkpoint(&announcement.checkpoint, &issuer, false).is_ok(),
    })
}

/// Whether all leaves of an announcement lead to its checkpoint, each once. Who signed that is not looked at.
fn is_in_log(announcement: &Announcement) -> bool {
    let Some(checkpoint) = log::parsed(&announcement.checkpoint) else { return false };
    are_in(&checkpoint, &announcement.versions, |leaf| IssuerLeaf::Manifest(leaf.clone()))
        && are_in(&checkpoint, &announcement.openings, |leaf| IssuerLeaf::Open(*leaf))
}

fn are_in<T>(checkpoint: &Checkpoint, announced: &[Announced<T>], leaf: impl Fn(&T) -> IssuerLeaf) -> bool {
    announced.windows(2).all(|pair| pair[0].index < pair[1].index)
        && announced.iter().all(|one| {
            let hash = leaf(&one.leaf).tree_hash();
            verify_inclusion(&checkpoint.root(), &hash, one.index, checkpoint.size(), &one.path).is_ok()
        })
}
