//! The embedded store of an issuer or a site: one SQLite file, one writing thread, group commit (spec 5.4, 7.3, 8.4).
//!
//! Everything that must happen together happens in one job of [`Store::write`]: a job runs in a savepoint of the group's
//! transaction, its refusal undoes itself and nothing else, and no job is answered before the group is durable. WAL,
//! `synchronous=FULL`; deleted content is overwritten, and the write-ahead log is truncated when a batch closes.

mod day_code;
mod log;
mod rewrite;
mod schema;
mod second_medium;
mod writer;

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use annona_vault::{Lock, LockError};
pub use day_code::DayCode;
pub use log::{LogState, Pending};
use rusqlite::{Connection, OpenFlags, backup::Backup};
pub use schema::Role;
pub use second_medium::prepare as prepare_second_medium;
use writer::Writer;

/// Why the store cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it.
    #[error("{} is in use by another process. Stop that one first, or talk to it through its operator address", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// There is no store yet.
    #[error("there is no store in {}. Run `init` first, or check the folder", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// There is a store already.
    #[error("{} holds a store already. Choose another folder: nothing is overwritten", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Not a store of ours.
    #[error("{} is not a store of this program. Check the folder; nothing was changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "the store has schema {found}, this program knows up to {known}. Install the newer program; nothing was changed"
    )]
    Newer {
        /// The schema found.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// An issuer's store where a site's is expected, or the other way round.
    #[error("the store belongs to {found}. Check the folder")]
    Role {
        /// Whose it is.
        found: String,
    },
    /// The file is damaged.
    #[error("the store is damaged: {0}. Do not go on with it: restore a backup and run `recover`")]
    Damaged(String),
    /// No space left: nothing was changed.
    #[error("the disk is full: nothing was changed. Free some space and try again")]
    Full,
    /// A commit whose outcome is unknown; the store has been opened again, and what it says now holds.
    #[error("the disk failed while committing: ask again")]
    Unknown,
    /// Something else reads the file.
    #[error(
        "the write-ahead log could not be emptied because something reads the store. Stop that, and close the batch again"
    )]
    Read,
    /// The job's group was not done: nothing of it holds.
    #[error("nothing was changed: {0}. The same may be tried again")]
    NothingDone(#[source] Arc<StoreError>),
    /// The writing thread is gone.
    #[error("the store has stopped. Start the program again")]
    Stopped,
    /// The second medium is not there.
    #[error("the second medium {} is not there. Plug it in; a new one has to be prepared first", path.display())]
    SecondMedium {
        /// The folder.
        path: PathBuf,
    },
    /// The second medium holds another store's copy.
    #[error("the second medium {} holds the copy of another store. Plug in the right one", path.display())]
    OtherMedium {
        /// The folder.
        path: PathBuf,
    },
    /// The store is older than its copy.
    #[error("this store is older than its copy in {}: it was rolled back. Set it aside and run `recover`", path.display())]
    RolledBack {
        /// The folder.
        path: PathBuf,
    },
    /// Neither is the other's past.
    #[error(
        "this store and its copy in {} went different ways: the store was rolled back, or ran without its medium. Set the store aside, keep it, and run `recover`",
        path.display()
    )]
    Diverged {
        /// The folder.
        path: PathBuf,
    },
    /// The store has a second medium, and was opened without it.
    #[error(
        "this store has a second medium. Give its folder; if it is lost for good, a supervisor runs `detach-medium`"
    )]
    MediumExpected,
    /// The store has a second medium, and this is an empty one.
    #[error(
        "the second medium {} is empty, and this store has one with a copy. Plug in the right one; if it is lost for good, a supervisor runs `detach-medium`",
        path.display()
    )]
    MediumEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The store does not know the checkpoint of a day code.
    #[error("the store does not hold what the day code stands for: it was rolled back, or the code is another store's")]
    DayCode,
    /// A round is opened without the code of the last day.
    #[error("this is not the first day: the log has {size} leaves. Type the code of the last day")]
    DayCodeMissing {
        /// The log's size.
        size: u64,
    },
    /// What was typed is no code.
    #[error("this is no day code: it begins with DAY and has 17 characters. Type it again")]
    DayCodeMalformed,
    /// A file beside the database.
    #[error("cannot use {}: {source}. Check its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that SQLite says.
    #[error("the store failed: {0}. Check the disk, then start the program again")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Full
                | Self::Unknown
                | Self::Locked { .. }
                | Self::Stopped
                | Self::NothingDone(_)
                | Self::SecondMedium { .. }
        )
    }
}

/// An open store. Holds the folder's lock.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    second: Option<PathBuf>,
    writer: Writer,
    reader: Mutex<Connection>,
    /// For reads that take their time: opened by the first one. Taken after `reader`, where both are held.
    apart: Mutex<Option<Connection>>,
    _lock: Lock,
}

/// The database below a home folder.
pub fn database(home: &Path) -> PathBuf {
    home.join("annona.db")
}

impl Store {
    /// Makes a new store in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one.
    pub fn create(home: &Path, role: Role) -> Result<Self, StoreError> {
        Self::create_with(home, role, |_| Ok(()))
    }

    /// The same with first rows: the file has its name once it is whole, so that a crash leaves no store that cannot be used.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one; what `fill` says.
    pub fn create_with<E: From<StoreError>>(
        home: &Path,
        role: Role,
        fill: impl FnOnce(&Connection) -> Result<(), E>,
    ) -> Result<Self, E> {
        make_private(home)?;
        let path = database(home);
        let lock = lock(home)?;
        if path.exists() {
            return Err(StoreError::Exists { path: home.to_owned() }.into());
        }
        let part = rewrite::part(&path);
        // What a crash left behind.
        rewrite::remove(&part)?;
        let made = rewrite::make(&part, role, fill).and_then(|()| Ok(rewrite::publish(&part, &path)?));
        if let Err(error) = made {
            rewrite::remove(&part)?;
            return Err(error);
        }
        Ok(Self::start(path, None, lock)?)
    }

    /// Makes a store anew from its copy on a second medium.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one: set it aside first.
    pub fn recover(home: &Path, role: Role, second: &Path) -> Result<(), StoreError> {
        Self::create_with(home, role, |connection| second_medium::restore(connection, second)).map(drop)
    }

    /// Opens a store: locks the folder, checks whose store it is, migrates an older schema, checks the file quickly.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(home: &Path, role: Role) -> Result<Self, StoreError> {
        Self::open_with(home, role, None)
    }

    /// The same, with a copy on a second medium that every answer waits for.
    ///
    /// # Errors
    /// [`StoreError::RolledBack`] if the store is older than its copy, [`StoreError::Diverged`] if neither is the other's past;
    /// [`StoreError::MediumExpected`] without the medium of a store that has one.
    pub fn open_with(home: &Path, role: Role, second: Option<&Path>) -> Result<Self, StoreError> {
        let (path, lock) = Self::checked(home, role, second.is_none())?;
        Self::start(path, second.map(Path::to_owned), lock)
    }

    /// Lets a store forget its second medium: from here on its answers are on one disk only. A supervisor's decision, for a
    /// medium that is lost. `false` if it had none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn detach_medium(home: &Path, role: Role) -> Result<bool, StoreError> {
        let (path, lock) = Self::checked(home, role, false)?;
        let store = Self::start(path, None, lock)?;
        Ok(store.write(second_medium::forget)??)
    }

    /// The file of a folder that is fit to be opened, and the folder's lock.
    fn checked(home: &Path, role: Role, alone: bool) -> Result<(PathBuf, Lock), StoreError> {
        let path = database(home);
        if !path.exists() {
            return Err(StoreError::Missing { path: home.to_owned() });
        }
        let lock = lock(home)?;
        schema::check_header(&path)?;
        let connection = connect(&path, false)?;
        schema::migrate(&connection, &path, role)?;
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(verdict));
        }
        if alone && second_medium::is_expected(&connection)? {
            return Err(StoreError::MediumExpected);
        }
        Ok((path, lock))
    }

    fn start(path: PathBuf, second: Option<PathBuf>, lock: Lock) -> Result<Self, StoreError> {
        let writer = Writer::start(path.clone(), second.clone())?;
        let reader = Mutex::new(connect(&path, false)?);
        let store = Self { path, second, writer, reader, apart: Mutex::default(), _lock: lock };
        store.compact_if_due();
        Ok(store)
    }

    /// The second medium, if there is one.
    pub fn second_medium(&self) -> Option<&Path> {
        self.second.as_deref()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a job in a savepoint of the next group's transaction and waits until the group is durable.
    ///
    /// # Errors
    /// The outer error is the store's: nothing of the job holds, but after [`StoreError::Unknown`] it may. The inner one is the
    /// job's own refusal.
    pub fn write<T, E, F>(&self, job: F) -> Result<Result<T, E>, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<rusqlite::Error> + Send + 'static,
    {
        self.writer.write(job)
    }

    /// Reads what is committed, on the second medium too.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] while a commit's fate is unknown: the file, or the second medium, cannot be opened again.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let doubt = self.writer.doubt.hold();
        if *doubt { Err(StoreError::Unknown) } else { Ok(read(&reader)?) }
    }

    /// The same, of one moment, without keeping others from reading meanwhile; only those who read like this wait for each other.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_apart<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut apart = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        if apart.is_none() {
            let connection = connect(&self.path, false)?;
            connection.execute_batch("PRAGMA cache_size=-8192")?;
            *apart = Some(connection);
        }
        let connection = apart.as_mut().expect("it was opened");
        let moment = {
            let doubt = self.writer.doubt.hold();
            if *doubt {
                return Err(StoreError::Unknown);
            }
            let moment = connection.transaction()?;
            // What the transaction sees is fixed by the first row that it reads.
            moment.query_row("SELECT count(*) FROM log_state", [], |_| Ok(()))?;
            moment
        };
        Ok(read(&moment)?)
    }

    /// Moves everything into the database file and truncates the write-ahead log, so that it keeps no order of what came when.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn truncate_wal(&self) -> Result<(), StoreError> {
        self.empty_wal()?;
        self.compact_if_due();
        Ok(())
    }

    /// Nobody reads: the readers have no transaction open between calls, and holding them keeps one from starting.
    fn quiet(&self) -> (MutexGuard<'_, Connection>, MutexGuard<'_, Option<Connection>>) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        (reader, self.apart.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn empty_wal(&self) -> Result<(), StoreError> {
        let _quiet = self.quiet();
        self.writer.alone_with(|connection| {
            let busy: bool = connection.query_row("PRAGMA main.wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy { Err(StoreError::Read) } else { Ok(()) }
        })
    }

    /// Says, in a job that forgets something, that the files are to be rewritten after it.
    pub(crate) fn compact_later(connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('compact', 1)", []).map(drop)
    }

    /// Rewrites the files if that is due: rows stand in the order of their keys then, and free pages are gone. What fails is tried
    /// again when a batch closes, and at the next start.
    pub fn compact_if_due(&self) {
        let due = self.read(|connection| connection.prepare("SELECT 1 FROM meta WHERE name = 'compact'")?.exists([]));
        if !due.unwrap_or(false) {
            return;
        }
        if let Err(error) = self.compact() {
            tracing::error!(code = "not-compacted", error = %error, "the store was not rewritten: it may show an order");
        }
    }

    /// Rewrites the file, and the copy on the second medium. Through a temporary file beside the store that has no name: a crash
    /// leaves nothing of it, and the store as it was.
    ///
    /// # Errors
    /// [`StoreError::Full`] without room for two more copies.
    pub fn compact(&self) -> Result<(), StoreError> {
        {
            let _quiet = self.quiet();
            let (path, second) = (self.path.clone(), self.second.clone());
            self.writer.alone_with(move |_| {
                rewrite::vacuum(&path, &path)?;
                second.map_or(Ok(()), |folder| rewrite::vacuum(&second_medium::file(&folder), &path))
            })?;
        }
        // Last: until here a crash has it done again.
        self.write(|connection| connection.execute("DELETE FROM meta WHERE name = 'compact'", []).map(drop))??;
        self.empty_wal()
    }

    /// The size of the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_size(&self) -> Result<u64, StoreError> {
        self.read(|connection| Ok(LogState::load(connection)?.frontier.size()))
    }

    /// Checks every page and every index.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the first fault.
    pub fn check(&self) -> Result<(), StoreError> {
        let verdict: String =
            self.read(|connection| connection.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)))?;
        if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged(verdict)) }
    }

    /// Whether this was a backup, and nobody has compared it since with what the party published (spec 8.4-M9).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_uncompared(&self) -> Result<bool, StoreError> {
        self.read(|connection| connection.prepare("SELECT 1 FROM meta WHERE name = 'backup'")?.exists([]))
    }

    /// Writes down that the store was compared.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn was_compared(&self) -> Result<(), StoreError> {
        Ok(self.write(|connection| connection.execute("DELETE FROM meta WHERE name = 'backup'", []).map(drop))??)
    }

    /// Copies the store while it is in use. What must not be in a backup (running cohort sums, spec 4.5) is left out; the copy
    /// knows that it is one.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the target exists.
    pub fn backup(&self, target: &Path) -> Result<(), StoreError> {
        if target.exists() {
            return Err(StoreError::Exists { path: target.to_owned() });
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private_mode(&mut options);
        options.open(target).map_err(|source| StoreError::File { path: target.to_owned(), source })?;
        let mut copy = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        {
            let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            Backup::new(&reader, &mut copy)?.run_to_completion(1024, Duration::ZERO, None)?;
        }
        copy.execute_batch("PRAGMA secure_delete=ON")?;
        schema::strip_for_backup(&copy)?;
        copy.execute_batch("PRAGMA journal_mode=DELETE; VACUUM")?;
        Ok(())
    }
}

impl Store {
    /// The same into `backups/` of the folder, under a name of its own, which is returned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn backup_beside(&self) -> Result<String, StoreError> {
        let folder = self.path.with_file_name("backups");
        make_private(&folder)?;
        let mut name = [0; 8];
        rand_core::Rng::fill_bytes(&mut crate::random::os(), &mut name);
        let name = format!("annona-{}.db", hex::encode(name));
        let made = self.backup(&folder.join(&name));
        if made.is_err() {
            // Half a copy is none.
            drop(std::fs::remove_file(folder.join(&name)));
        }
        made.map(|()| name)
    }
}

fn make_private(home: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: home.to_owned(), source };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(home).map_err(failed)
}

fn private_mode(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

/// One process a folder.
fn lock(home: &Path) -> Result<Lock, StoreError> {
    Lock::take(&home.join("lock")).map_err(|error| match error {
        LockError::File { path, source } => StoreError::File { path, source },
        _ => StoreError::Locked { path: home.to_owned() },
    })
}

fn connect(path: &Path, create: bool) -> Result<Connection, StoreError> {
    if create {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private_mode(&mut options);
        options.open(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Pages are moved from the write-ahead log once 64 MiB wait: the same ones change with every visit of a batch, at whose close
    // the log is emptied anyway.
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;
         PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA cache_size=-65536;
         PRAGMA wal_autocheckpoint=16384;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
