//! A log over a real store without a service, a real witness, and a verifier that is not ours.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests share it, and each uses a part"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use annona_audit::witness::{Listen, Options, Server, Witness, WitnessKey, serve};
use annona_node::{
    publisher::{LogOwner, LogTerms},
    store::{LogState, Role, Store, StoreError},
    witness::WitnessClient,
};
use annona_protocol::{
    ids::Round,
    log::{
        KeyType, NoteError, VerifierKey,
        leaf::{BatchHeader, SiteLeaf},
    },
};
use ed25519_dalek::{Signature, SigningKey, Verifier as _};
use tlog_tiles::{Hash, HashReader as _, Tile, TileHashReader, TileReader};

pub const ORIGIN: &str = "annona.example/test";
pub const WITNESS: &str = "witness.example";

pub fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub fn witness_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

pub fn vkey() -> VerifierKey {
    VerifierKey::new(ORIGIN, KeyType::Log, log_key().verifying_key()).unwrap()
}

pub struct Plain {
    pub store: Store,
    pub key: SigningKey,
    pub threshold: usize,
}

impl Plain {
    /// Opens the store of a folder, or makes it.
    pub fn open(home: &Path) -> Self {
        let store = match Store::open(home, Role::Site) {
            Err(StoreError::Missing { .. }) => Store::create(home, Role::Site).unwrap(),
            opened => opened.unwrap(),
        };
        Self { store, key: log_key(), threshold: 1 }
    }

    /// Appends leaves that are all different; those of another `fork` are others.
    pub fn grow(&self, count: u64, fork: u32) {
        self.store
            .write(move |connection| {
                let mut log = LogState::load(connection)?;
                for _ in 0..count {
                    let at = log.frontier.size();
                    let header = BatchHeader { number: fork, round: Round(1), start: at, end: at };
                    log.append(connection, &SiteLeaf::Batch(header))?;
                }
                Ok::<_, rusqlite::Error>(())
            })
            .unwrap()
            .unwrap();
    }
}

impl LogOwner for Plain {
    fn store(&self) -> &Store {
        &self.store
    }

    fn log_key(&self) -> &SigningKey {
        &self.key
    }

    fn terms(&self) -> Result<LogTerms, NoteError> {
        let witness = VerifierKey::new(WITNESS, KeyType::Witness, witness_key().verifying_key())?;
        Ok(LogTerms { log: vkey(), witnesses: vec![witness], threshold: self.threshold })
    }
}

/// A witness that serves on this machine, and a client of it.
pub fn witness(key: SigningKey, logs: Vec<VerifierKey>, state: &Path) -> (Server, WitnessClient) {
    let key = WitnessKey::from_seed(WITNESS, key.as_bytes()).unwrap();
    let options = Options { state: state.to_owned(), logs, logs_file: None };
    let witness = Arc::new(Witness::open(key, options).unwrap());
    let key = witness.verifier_key();
    let server = serve(witness, Listen::default()).unwrap();
    let client = WitnessClient::new(key, &format!("http://{}", server.address())).unwrap();
    (server, client)
}

/// A cosignature, checked with nothing of ours.
struct Cosignature {
    id: u32,
    key: ed25519_dalek::VerifyingKey,
}

impl signed_note::Verifier for Cosignature {
    fn name(&self) -> &str {
        WITNESS
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let time = u64::from_be_bytes(*time);
        let signed = [format!("cosignature/v1\ntime {time}\n").as_bytes(), message].concat();
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        time % 86_400 == 0 && self.key.verify(&signed, &signature).is_ok()
    }
}

struct Folder(PathBuf);

impl TileReader for Folder {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let path = tile.path();
            let path = self.0.join(format!("tile/{}", path.strip_prefix("tile/8/").unwrap()));
            fs::read(&path).map_err(|_| tlog_tiles::Error::InvalidInput(path.display().to_string()))
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// Verifies a published log in full with the crates `signed_note` and `tlog_tiles`: the log's signature, the cosignature, every
/// tile, an inclusion proof of every entry of the bundles (of each 97th in large logs), consistency with smaller sizes.
pub fn third_party(folder: &Path, log: &VerifierKey, witness: &SigningKey) -> Result<u64, String> {
    let failed = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let bytes = fs::read(folder.join("checkpoint")).map_err(|e| failed(&e))?;
    let note = signed_note::Note::from_bytes(&bytes).map_err(|e| failed(&e))?;
    let mut public = vec![4];
    public.extend(witness.verifying_key().as_bytes());
    let cosignature = Cosignature { id: signed_note::key_id(WITNESS, &public), key: witness.verifying_key() };
    let standard = signed_note::StandardVerifier::new(&log.to_string()).map_err(|e| failed(&e))?;
    let verifiers = signed_note::VerifierList::new(vec![Box::new(standard), Box::new(cosignature)]);
    let (verified, _) = note.verify(&verifiers).map_err(|e| failed(&e))?;
    if verified.len() != 2 {
        return Err(format!("{} signatures", verified.len()));
    }
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|e| failed(&e))?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    if checkpoint.origin() != log.name() {
        return Err("origin".into());
    }
    if size == 0 {
        return Ok(0);
    }
    let reader = Folder(folder.to_owned());
    let hashes = TileHashReader::new(size, root, &reader);
    let step = if size > 2000 { 97 } else { 1 };
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let path = Tile::new(8, 0, bundle, width as u32, false).path();
        let path = format!("tile/entries/{}", path.strip_prefix("tile/8/0/").unwrap());
        let content = fs::read(folder.join(&path)).map_err(|e| failed(&e))?;
        let mut rest = &content[..];
        for at in bundle * 256..bundle * 256 + width {
            let (length, after) = rest.split_first_chunk::<2>().ok_or("bundle")?;
            let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or("bundle")?;
            rest = after;
            if at % step == 0 || at + 1 == size {
                let proof = tlog_tiles::prove_record(size, at, &hashes).map_err(|e| failed(&e))?;
                tlog_tiles::check_record(&proof, size, root, at, tlog_tiles::record_hash(entry))
                    .map_err(|e| failed(&e))?;
            }
        }
        if !rest.is_empty() {
            return Err("bytes after a bundle".into());
        }
    }
    for old in [1, 2, 3, 255, 256, 257, 65_536].into_iter().filter(|old| *old < size) {
        let before: Hash = tlog_tiles::tree_hash(old, &hashes).map_err(|e| failed(&e))?;
        let proof = tlog_tiles::prove_tree(size, old, &hashes).map_err(|e| failed(&e))?;
        tlog_tiles::check_tree(&proof, size, root, old, before).map_err(|e| failed(&e))?;
    }
    // Every hash of every level, so that a flipped byte has no place to hide.
    let all: Vec<u64> =
        (0..size).step_by(if size > 2000 { 256 } else { 1 }).map(|at| tlog_tiles::stored_hash_index(0, at)).collect();
    hashes.read_hashes(&all).map_err(|e| failed(&e))?;
    Ok(size)
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
