//! A copy on a second medium, row by row, committed before any answer leaves (spec 8.4-M8, M9).
//!
//! The second medium is a database of its own, attached to the writing connection; temporary triggers copy every change into
//! `m_<table>`. Both commit before a job is answered, the first one first: after a crash it may be one group ahead, never
//! behind. A store that is behind its second medium was rolled back; one that is ahead must have the medium's last group as its
//! own last but one. Groups have random names for that: two stores that went different ways may count the same.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// The file on the second medium.
const FILE: &str = "annona-copy.db";

/// Ends a group, in its transaction: its number, its name, and the name of the one before.
pub(super) const NEXT_GROUP: &str = "
    UPDATE main.meta SET value = (SELECT value FROM main.meta WHERE name = 'lineage') WHERE name = 'before';
    UPDATE main.meta SET value = randomblob(16) WHERE name = 'lineage';
    UPDATE main.meta SET value = value + 1 WHERE name = 'epoch';";

/// Where a store is in its history.
#[derive(PartialEq, Eq)]
struct At {
    epoch: i64,
    lineage: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
}

impl At {
    fn read(connection: &Connection, meta: &str) -> rusqlite::Result<Self> {
        let of = |name: &str| format!("(SELECT value FROM {meta} WHERE name = '{name}')");
        let sql = format!("SELECT coalesce({}, -1), {}, {}", of("epoch"), of("lineage"), of("before"));
        connection.query_row(&sql, [], |row| Ok(Self { epoch: row.get(0)?, lineage: row.get(1)?, before: row.get(2)? }))
    }

    /// Whether this is the state after one more group than `other`.
    fn follows(&self, other: &Self) -> bool {
        self.epoch == other.epoch + 1 && self.before.is_some() && self.before == other.lineage
    }
}

/// Whether the store has a second medium, wherever that is.
pub(super) fn is_expected(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM main.meta WHERE name = 'medium'")?.exists([])
}

/// Forgets that there is a second medium; `false` if there is none.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.execute("DELETE FROM main.meta WHERE name = 'medium'", [])? > 0)
}

/// The copy in a folder.
pub(super) fn file(folder: &Path) -> std::path::PathBuf {
    folder.join(FILE)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare(
            "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Columns of a table, and those of its primary key.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let (mut all, mut key) = (Vec::new(), Vec::new());
    let mut rows = connection.prepare("SELECT name, pk FROM pragma_table_info(?1, 'main')")?;
    let mut rows = rows.query([table])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if row.get::<_, u32>(1)? > 0 {
            key.push(name.clone());
        }
        all.push(name);
    }
    Ok((all, key))
}

/// Attaches the second medium to a connection and keeps it in step from here on.
///
/// # Errors
/// [`StoreError::RolledBack`] if the store is behind, [`StoreError::Diverged`] if it went another way;
/// [`StoreError::OtherMedium`] if the medium holds another store's copy, [`StoreError::MediumEmpty`] if it should hold one.
pub(super) fn attach(connection: &Connection, folder: &Path) -> Result<(), StoreError> {
    let missing = |_| StoreError::SecondMedium { path: folder.to_owned() };
    // An unmounted stick leaves an empty mount point behind: the folder has to say that it is ours.
    if !folder.join("annona-second-medium").exists() {
        return Err(StoreError::SecondMedium { path: folder.to_owned() });
    }
    let file = folder.join(FILE);
    let name = file.to_str().ok_or(StoreError::SecondMedium { path: folder.to_owned() })?;
    if !file.exists() {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        super::private_mode(&mut options);
        options.open(&file).map_err(|source| StoreError::File { path: file.clone(), source })?;
    }
    connection.execute("ATTACH DATABASE ?1 AS second", [name]).map_err(missing)?;
    connection
        .execute_batch(
            "PRAGMA second.journal_mode = TRUNCATE; PRAGMA second.synchronous = FULL; PRAGMA second.secure_delete = ON",
        )
        .map_err(missing)?;
    let known: bool = connection
        .query_row("SELECT count(*) FROM second.sqlite_schema WHERE name = 'm_meta'", [], |row| row.get(0))
        .map_err(missing)?;
    let tables = tables(connection)?;
    let expected = is_expected(connection)?;
    // The rows that the copy lacks: all of them, those of the last group, or none.
    let fill = if known {
        compare(connection, folder)?
    } else if expected {
        return Err(StoreError::MediumEmpty { path: folder.to_owned() });
    } else {
        true
    };
    // Tables and rows at once: a copy that was begun and cut off is no copy.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if !known {
        for (table, sql) in &tables {
            let sql = sql.replacen(&format!("CREATE TABLE {table}"), &format!("CREATE TABLE second.m_{table}"), 1);
            connection.execute_batch(&sql)?;
        }
    }
    if fill {
        for (table, _) in &tables {
            connection.execute_batch(&format!(
                "DELETE FROM second.m_{table}; INSERT INTO second.m_{table} SELECT * FROM main.{table}"
            ))?;
        }
    }
    connection.execute_batch("COMMIT")?;
    tables.iter().try_for_each(|(table, _)| follow(connection, table))?;
    if !expected {
        // After the copy is whole: a crash before this leaves a store that takes the same medium again.
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; INSERT INTO main.meta VALUES ('medium', 1); {NEXT_GROUP} COMMIT"
        ))?;
    }
    Ok(())
}

/// Whether the copy lacks the store's last group.
fn compare(connection: &Connection, folder: &Path) -> Result<bool, StoreError> {
    let value = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let id = |schema: &str| value(&format!("SELECT value FROM {schema} WHERE name = 'store'"));
    if id("main.meta")? != id("second.m_meta")? {
        return Err(StoreError::OtherMedium { path: folder.to_owned() });
    }
    let (store, copy) = (At::read(connection, "main.meta")?, At::read(connection, "second.m_meta")?);
    if store.epoch < copy.epoch {
        return Err(StoreError::RolledBack { path: folder.to_owned() });
    }
    let fill = store.follows(&copy);
    if fill || store == copy { Ok(fill) } else { Err(StoreError::Diverged { path: folder.to_owned() }) }
}

/// Triggers that repeat every change of a table on the second medium.
fn follow(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let (all, key) = columns(connection, table)?;
    let new = all.iter().map(|column| format!("NEW.{column}")).collect::<Vec<_>>().join(", ");
    let old = key.iter().map(|column| format!("{column} IS OLD.{column}")).collect::<Vec<_>>().join(" AND ");
    connection.execute_batch(&format!(
        "CREATE TEMP TRIGGER copy_insert_{table} AFTER INSERT ON main.{table}
             BEGIN INSERT OR REPLACE INTO m_{table} VALUES ({new}); END;
         CREATE TEMP TRIGGER copy_update_{table} AFTER UPDATE ON main.{table}
             BEGIN DELETE FROM m_{table} WHERE {old}; INSERT OR REPLACE INTO m_{table} VALUES ({new}); END;
         CREATE TEMP TRIGGER copy_delete_{table} AFTER DELETE ON main.{table}
             BEGIN DELETE FROM m_{table} WHERE {old}; END;"
    ))
}

/// Marks a folder as a second medium.
///
/// # Errors
/// [`StoreError::File`].
pub fn prepare(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("annona-second-medium");
    let text = "This folder keeps the copy of an Annona store. Do not remove it while the program runs.\n";
    std::fs::write(&path, text).map_err(|source| StoreError::File { path, source })
}

/// Fills an empty store from its copy.
pub(super) fn restore(connection: &Connection, folder: &Path) -> Result<(), StoreError> {
    let file = folder.join(FILE);
    let name = file.to_str().filter(|_| file.exists()).ok_or(StoreError::SecondMedium { path: folder.to_owned() })?;
    connection.execute("ATTACH DATABASE ?1 AS second", [name])?;
    let verdict: String = connection.query_row("PRAGMA second.integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict));
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for (table, _) in tables(connection)? {
        connection.execute_batch(&format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM second.m_{table}"
        ))?;
    }
    connection.execute_batch("COMMIT; DETACH DATABASE second")?;
    Ok(())
}
