//! Tables, their versions, and whose file it is.
//!
//! Tables whose rows say something about a visit or a draw are `WITHOUT ROWID` under random keys: no row number counts them.

use std::{fs::File, io::Read as _, path::Path};

use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The issuer's.
    Issuer,
    /// A site's.
    Site,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Site => "site",
        }
    }
}

/// "Anno": the file is ours.
const APPLICATION: i64 = 0x416e_6e6f;

/// What both have: the log, and who wrote the file.
const COMMON: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- Groups are counted, and each has a random name: a copy that has another name for a group is not of this store's past.
INSERT INTO meta VALUES ('epoch', 0), ('lineage', randomblob(16)), ('before', x'');
-- Event leaves of the open batch, under their leaf hashes.
CREATE TABLE pending (hash BLOB PRIMARY KEY, round INTEGER NOT NULL, leaf BLOB NOT NULL) WITHOUT ROWID;
-- The log: entry and leaf hash by position.
CREATE TABLE entries (at INTEGER PRIMARY KEY, hash BLOB NOT NULL, entry BLOB NOT NULL);
CREATE TABLE log_state (one INTEGER PRIMARY KEY CHECK (one = 1), frontier BLOB NOT NULL, batches INTEGER NOT NULL);
INSERT INTO log_state VALUES (1, x'', 0);
-- Sizes that were or will be signed, each with its one root; the note once it is cosigned.
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note BLOB);
-- Roots of full tiles of the level below: level and position.
CREATE TABLE tile_roots (level INTEGER, at INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, at)) WITHOUT ROWID;
-- The programme as it was published: versions, keys, rounds.
CREATE TABLE versions (version INTEGER PRIMARY KEY, signed BLOB NOT NULL);
CREATE TABLE voucher_keys (at INTEGER PRIMARY KEY, entry BLOB NOT NULL);
-- frozen, closed: 0 or 1. closing: its closing freeze was made. without_pack: opened by a supervisor without its pack.
CREATE TABLE rounds (round INTEGER PRIMARY KEY, manifest BLOB NOT NULL, frozen INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0, closing INTEGER NOT NULL DEFAULT 0, without_pack INTEGER NOT NULL DEFAULT 0);
CREATE TABLE packs (round INTEGER, site INTEGER, pack BLOB NOT NULL, PRIMARY KEY (round, site)) WITHOUT ROWID;
CREATE TABLE operators (token BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL) WITHOUT ROWID;
";

const ISSUER: &str = "
-- approved: 0 until the officers' signatures are in.
CREATE TABLE lots (lot INTEGER PRIMARY KEY, count INTEGER NOT NULL, root BLOB NOT NULL, approved INTEGER NOT NULL DEFAULT 0);
-- An unused ticket has a sealed grant; a used one the digest of its request and the masked answer.
CREATE TABLE tickets (hash BLOB PRIMARY KEY, lot INTEGER NOT NULL, grant_sealed BLOB, after BLOB, request BLOB, response BLOB,
    CHECK ((grant_sealed IS NULL) <> (request IS NULL))) WITHOUT ROWID;
-- Answers go when the programme ends; that a serial, a ticket or a swap was used stays.
CREATE TABLE serials (serial BLOB PRIMARY KEY, request BLOB NOT NULL, response BLOB) WITHOUT ROWID;
-- Used sessions, until their round closes.
CREATE TABLE sessions (session BLOB PRIMARY KEY, round INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE swapped (key INTEGER, holder BLOB, PRIMARY KEY (key, holder)) WITHOUT ROWID;
CREATE TABLE swaps (request BLOB PRIMARY KEY, response BLOB) WITHOUT ROWID;
-- kind: 0 vouchers (deleted when the round closes), 1 credential (when the programme ends). round: 0 for enrolments. leaf: the hash
-- of the message's entry, with which the slot is given out. ticket: for the credential slots whose answer goes with them.
CREATE TABLE slots (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, round INTEGER NOT NULL, ciphertext BLOB NOT NULL,
    leaf BLOB NOT NULL, ticket BLOB) WITHOUT ROWID;
CREATE INDEX slots_by_round ON slots (round, kind, id);
CREATE INDEX entries_by_hash ON entries (hash);
-- How many slots have their leaf in the log.
CREATE TABLE slot_counts (round INTEGER, kind INTEGER, slots INTEGER NOT NULL, PRIMARY KEY (round, kind)) WITHOUT ROWID;
-- What waits to be opened, by class: where its range starts, how many, their running sum, sealed. A backup has no sums; a store
-- that was made from it cannot open those classes.
CREATE TABLE cohorts (class BLOB PRIMARY KEY, start INTEGER NOT NULL, members INTEGER NOT NULL, sealed BLOB) WITHOUT ROWID;
CREATE TABLE surrendered (key INTEGER, holder BLOB, surrender BLOB NOT NULL, PRIMARY KEY (key, holder)) WITHOUT ROWID;
";

const SITE: &str = "
-- Acceptances of earlier batches; `number` is the last one's. leaf: the hash that its receipt promises;
-- provisional: accepted before the opening pack came. due: units that its visit handed over for it; the rest is owed.
CREATE TABLE spent (key INTEGER, holder BLOB, number INTEGER NOT NULL, batch INTEGER NOT NULL, leaf BLOB NOT NULL,
    counter INTEGER NOT NULL, voided INTEGER NOT NULL, handed INTEGER NOT NULL, provisional INTEGER NOT NULL,
    due INTEGER NOT NULL, PRIMARY KEY (key, holder)) WITHOUT ROWID;
-- Acceptances of the open batch, with the visit that groups them; moved to `spent` in the order of keys when it closes.
CREATE TABLE fresh (key INTEGER, holder BLOB, number INTEGER NOT NULL, batch INTEGER NOT NULL, leaf BLOB NOT NULL,
    counter INTEGER NOT NULL, voided INTEGER NOT NULL, handed INTEGER NOT NULL, provisional INTEGER NOT NULL,
    due INTEGER NOT NULL, visit BLOB NOT NULL, PRIMARY KEY (key, holder)) WITHOUT ROWID;
CREATE TRIGGER fresh_not_spent BEFORE INSERT ON fresh
    WHEN EXISTS (SELECT 1 FROM spent WHERE key = NEW.key AND holder = NEW.holder AND voided = 0)
    BEGIN SELECT RAISE(ABORT, 'spent'); END;
-- Visits of the open batch: the answer given, whether goods went, and the random name of the desk's tap. Gone when the batch closes.
CREATE TABLE visits (visit BLOB PRIMARY KEY, counter INTEGER NOT NULL, handed INTEGER NOT NULL, answer BLOB NOT NULL,
    tap BLOB) WITHOUT ROWID;
-- How often officers stepped in: acts by round and counter, no visit.
CREATE TABLE acts (round INTEGER, act TEXT, counter INTEGER, count INTEGER NOT NULL, PRIMARY KEY (round, act, counter))
    WITHOUT ROWID;
-- Owed slips: 0 open, 1 collected, 2 voided, 3 handed over to the site's main store, which pays it.
CREATE TABLE owed (holder BLOB PRIMARY KEY, round INTEGER NOT NULL, leaf BLOB NOT NULL, state INTEGER NOT NULL,
    collected_round INTEGER, handed INTEGER NOT NULL DEFAULT 0, tap BLOB) WITHOUT ROWID;
CREATE TABLE swapped (round INTEGER, key INTEGER, holder BLOB, PRIMARY KEY (round, key, holder)) WITHOUT ROWID;
CREATE TABLE stock (line INTEGER PRIMARY KEY, units INTEGER NOT NULL CHECK (units >= 0));
-- Totals of a round by key, for its statement.
CREATE TABLE totals (round INTEGER, key INTEGER, redeemed INTEGER NOT NULL DEFAULT 0, voided INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (round, key)) WITHOUT ROWID;
-- Units by line: owed (not voided) and collected.
CREATE TABLE owed_totals (round INTEGER, line INTEGER, owed INTEGER NOT NULL DEFAULT 0, collected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (round, line)) WITHOUT ROWID;
";

/// Step n makes version n + 1 of version n. Steps that were released never change.
const MIGRATIONS: [fn(Role) -> String; 1] = [|role| {
    COMMON.to_owned()
        + match role {
            Role::Issuer => ISSUER,
            Role::Site => SITE,
        }
}];

pub(super) fn create(connection: &Connection, role: Role) -> Result<(), StoreError> {
    connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION}"))?;
    apply(connection, role, 0)?;
    connection.execute("INSERT INTO meta VALUES ('role', ?1)", [role.name()])?;
    // Tells stores apart from copies of others: random, says nothing.
    connection.execute("INSERT INTO meta VALUES ('store', random())", [])?;
    Ok(())
}

/// Looks at the first bytes of the file, before SQLite opens it and perhaps writes beside it.
pub(super) fn check_header(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut header = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) if header.starts_with(b"SQLite format 3\0") => {}
        Ok(()) => return Err(StoreError::Foreign { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(StoreError::Foreign { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    }
    let application = u32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    if i64::from(application) == APPLICATION { Ok(()) } else { Err(StoreError::Foreign { path: path.to_owned() }) }
}

pub(super) fn migrate(connection: &Connection, path: &Path, role: Role) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let whose: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE name = 'role'", [], |row| row.get(0))
        .optional()
        .map_err(|_| StoreError::Foreign { path: path.to_owned() })?;
    match whose {
        Some(whose) if whose == role.name() => {}
        Some(found) => return Err(StoreError::Role { found }),
        None => return Err(StoreError::Foreign { path: path.to_owned() }),
    }
    // Made before the first release, under the same number.
    if !connection.prepare("SELECT 1 FROM meta WHERE name = 'lineage'")?.exists([])? {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    apply(connection, role, found)
}

fn apply(connection: &Connection, role: Role, from: i64) -> Result<(), StoreError> {
    for (step, version) in MIGRATIONS.iter().zip(1..).skip(usize::try_from(from).unwrap_or_default()) {
        // A version and its step in one transaction: a crash leaves the version before.
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {}; PRAGMA user_version = {version}; COMMIT", step(role)))?;
    }
    Ok(())
}

/// Takes out of a copy what must never be in a backup.
pub(super) fn strip_for_backup(copy: &Connection) -> rusqlite::Result<()> {
    copy.execute("INSERT OR REPLACE INTO meta VALUES ('backup', 1)", [])?;
    let has_cohorts: bool =
        copy.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'cohorts'", [], |row| row.get(0))?;
    if has_cohorts {
        // Where ranges start and how many wait is in the log for all to see.
        copy.execute_batch("UPDATE cohorts SET sealed = NULL")?;
    }
    Ok(())
}
