//! The log's rows: pending leaves, batches, positions (spec 8.1, 8.4-M7).
//!
//! All functions run inside a job of [`super::Store::write`]: membership and positions of a batch are fixed in one transaction.

use annona_protocol::{
    ids::Round,
    log::{
        Frontier, TreeHash,
        leaf::{BatchHeader, Leaf},
        merkle::leaf_hash,
    },
};
use rusqlite::{Connection, params};

/// Size, root and last batch of a log.
#[derive(Clone, Debug)]
pub struct LogState {
    /// The right edge of the tree.
    pub frontier: Frontier,
    /// How many batches were closed.
    pub batches: u32,
}

/// Leaves that wait for their batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending;

impl Pending {
    /// Queues an event leaf; a leaf that waits already is an error of the caller's uniqueness rules, and is refused.
    pub fn queue<L: Leaf>(connection: &Connection, round: Round, leaf: &L) -> rusqlite::Result<TreeHash> {
        debug_assert!(!leaf.is_control());
        let entry = leaf.encode();
        let hash = leaf_hash(&entry);
        connection
            .prepare_cached("INSERT INTO pending VALUES (?1, ?2, ?3)")?
            .execute(params![hash.0, round.0, entry])?;
        Ok(hash)
    }

    /// How many leaves wait.
    pub fn count(connection: &Connection) -> rusqlite::Result<u64> {
        connection.prepare_cached("SELECT count(*) FROM pending")?.query_row([], |row| row.get(0))
    }
}

impl LogState {
    /// The log as the transaction sees it.
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let size: u64 = connection
            .prepare_cached("SELECT coalesce(max(at) + 1, 0) FROM entries")?
            .query_row([], |row| row.get(0))?;
        let (nodes, batches): (Vec<u8>, u32) = connection
            .prepare_cached("SELECT frontier, batches FROM log_state")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let nodes = nodes.as_chunks().0.iter().copied().map(TreeHash).collect();
        let frontier = Frontier::from_nodes(size, nodes).map_err(|error| damaged(Box::new(error)))?;
        Ok(Self { frontier, batches })
    }

    /// The number of the batch that is open now.
    pub fn open_batch(&self) -> u32 {
        self.batches + 1
    }

    /// Appends a control leaf.
    pub fn append<L: Leaf>(&mut self, connection: &Connection, leaf: &L) -> rusqlite::Result<u64> {
        debug_assert!(leaf.is_control());
        let entry = leaf.encode();
        let at = self.push(connection, leaf_hash(&entry), &entry)?;
        self.store(connection)?;
        Ok(at)
    }

    /// Closes the batch: what waits is appended in the order of leaf hashes, behind it the header. Nothing happens for an empty
    /// batch. Returns how many leaves it had.
    pub fn close_batch<L: Leaf>(&mut self, connection: &Connection, round: Round) -> rusqlite::Result<u64> {
        let start = self.frontier.size();
        let mut waiting = connection.prepare_cached("SELECT hash, leaf FROM pending ORDER BY hash")?;
        let mut rows = waiting.query([])?;
        while let Some(row) = rows.next()? {
            let hash = TreeHash(row.get(0)?);
            self.push(connection, hash, &row.get::<_, Vec<u8>>(1)?)?;
        }
        let end = self.frontier.size();
        if end == start {
            return Ok(0);
        }
        self.batches += 1;
        let header = L::batch(BatchHeader { number: self.batches, round, start, end }).encode();
        self.push(connection, leaf_hash(&header), &header)?;
        connection.execute("DELETE FROM pending", [])?;
        self.store(connection)?;
        Ok(end - start)
    }

    fn push(&mut self, connection: &Connection, hash: TreeHash, entry: &[u8]) -> rusqlite::Result<u64> {
        let at = self.frontier.size();
        self.frontier.append(hash).map_err(|error| damaged(Box::new(error)))?;
        connection.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3)")?.execute(params![at, hash.0, entry])?;
        Ok(at)
    }

    fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        let nodes: Vec<u8> = self.frontier.nodes().iter().flat_map(|node| node.0).collect();
        connection
            .prepare_cached("UPDATE log_state SET frontier = ?1, batches = ?2")?
            .execute(params![nodes, self.batches])?;
        Ok(())
    }
}

fn damaged(error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error)
}
