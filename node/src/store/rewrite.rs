//! Files of a store that appear whole, and files that are rewritten.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{Role, StoreError, connect, schema};
use crate::faults;

/// Where SQLite puts its temporary files is a setting of the whole process.
static TEMPORARY: Mutex<()> = Mutex::new(());

/// The name of a store while it is being made.
pub(super) fn part(path: &Path) -> PathBuf {
    with(path, ".part")
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes a store that was half made.
pub(super) fn remove(part: &Path) -> Result<(), StoreError> {
    for path in [part.to_owned(), with(part, "-wal"), with(part, "-shm"), with(part, "-journal")] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes a store under another name.
pub(super) fn make<E: From<StoreError>>(
    part: &Path,
    role: Role,
    fill: impl FnOnce(&Connection) -> Result<(), E>,
) -> Result<(), E> {
    let connection = connect(part, true)?;
    schema::create(&connection, role)?;
    faults::at("store-made");
    fill(&connection)?;
    connection.execute_batch("PRAGMA main.wal_checkpoint(TRUNCATE)").map_err(StoreError::from)?;
    connection.close().map_err(|(_, error)| StoreError::from(error))?;
    Ok(())
}

/// Gives a store its name.
pub(super) fn publish(part: &Path, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    File::open(part).and_then(|file| file.sync_all()).map_err(failed)?;
    faults::at("store-filled");
    fs::rename(part, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Rewrites a database that nobody else uses now, through a temporary file beside `store`. SQLite takes its name away as soon as
/// it is open, and the database changes in one transaction.
pub(super) fn vacuum(database: &Path, store: &Path) -> Result<(), StoreError> {
    let is_copy = database != store;
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // Not the writing connection: with the place of temporary tables its triggers would go.
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    let journal = if is_copy { "TRUNCATE" } else { "WAL" };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = {journal}; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -16384;"
    ))?;
    let _one = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = store.parent().and_then(Path::to_str).filter(|folder| !folder.is_empty()) {
        connection.pragma_update(None, "temp_store_directory", folder)?;
        connection.execute_batch("PRAGMA temp_store = FILE")?;
    } else {
        connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    }
    faults::at("store-rewriting");
    let done = connection.execute_batch("VACUUM");
    drop(connection.pragma_update(None, "temp_store_directory", ""));
    done?;
    faults::at("store-rewritten");
    if !is_copy {
        connection.execute_batch("PRAGMA main.wal_checkpoint(TRUNCATE)")?;
    }
    Ok(())
}
