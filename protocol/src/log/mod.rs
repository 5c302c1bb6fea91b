//! Transparency logs (spec 8): RFC 6962 Merkle trees, C2SP tiles, signed and witnessed checkpoints. All pure functions.
//!
//! [`merkle`] hashes and proves, [`tile`] lays a log out as static files and reads it back, [`note`] signs what a log
//! says of itself. Nothing here depends on what a leaf contains.

pub mod leaf;
pub mod merkle;
pub mod note;
pub mod tile;

pub use merkle::{Frontier, MerkleError, TreeHash};
pub use note::{Checkpoint, KeyType, NoteError, NoteSignature, SignedNote, VerifiedCheckpoint, VerifierKey};
pub use tile::{Tile, TileError, TilePath};
