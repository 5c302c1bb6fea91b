//! The day's checkpoint code: what an officer writes down when the day closes, and types when the next one opens (spec 8.4-M9).
//!
//! Ten bytes of a log's root in the alphabet and with the checksum of ticket codes. A store that does not know the root was
//! rolled back, or is another one.

use annona_protocol::{log::TreeHash, ticket::TicketCode};
use rusqlite::OptionalExtension as _;

use super::{LogState, Store, StoreError};

/// The code of a log's newest root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCode([u8; 10]);

impl DayCode {
    /// The code of a root.
    pub fn of(root: &TreeHash) -> Self {
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&root.0[..10]);
        Self(bytes)
    }

    /// Reads what was typed; `None` if it is no code.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("DAY").unwrap_or(text);
        TicketCode::parse(text).ok().map(|code| Self(*code.expose()))
    }
}

impl std::fmt::Display for DayCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not secret: a root is public.
        write!(f, "DAY {}", TicketCode::from_bytes(self.0).to_print().as_str())
    }
}

impl Store {
    /// The code of the log as it stands. The root is kept, so that the code is known later.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn day_code(&self) -> Result<DayCode, StoreError> {
        self.write(|connection| {
            let frontier = LogState::load(connection)?.frontier;
            connection.execute(
                "INSERT OR IGNORE INTO checkpoints (size, root) VALUES (?1, ?2)",
                rusqlite::params![frontier.size(), frontier.root().0],
            )?;
            Ok::<_, rusqlite::Error>(DayCode::of(&frontier.root()))
        })?
        .map_err(StoreError::from)
    }

    /// Checks what an officer typed before a round opens: the code of the last day, or nothing while the log is empty. A store
    /// that was made from a backup counts as compared by a code.
    ///
    /// # Errors
    /// [`StoreError::DayCodeMissing`], [`StoreError::DayCodeMalformed`], [`StoreError::DayCode`].
    pub fn check_day(&self, typed: Option<&str>) -> Result<(), StoreError> {
        let Some(typed) = typed else {
            let size = self.log_size()?;
            return if size == 0 { Ok(()) } else { Err(StoreError::DayCodeMissing { size }) };
        };
        self.check_day_code(&DayCode::parse(typed).ok_or(StoreError::DayCodeMalformed)?)?;
        if self.is_uncompared()? { self.was_compared() } else { Ok(()) }
    }

    /// Checks that the store holds what a code stands for.
    ///
    /// # Errors
    /// [`StoreError::DayCode`].
    pub fn check_day_code(&self, code: &DayCode) -> Result<(), StoreError> {
        let found = self.read(|connection| {
            connection
                .query_row("SELECT 1 FROM checkpoints WHERE substr(root, 1, 10) = ?1", [code.0], |_| Ok(()))
                .optional()
        })?;
        found.ok_or(StoreError::DayCode)
    }
}
