//! The catalog: a SQLite database that holds everything acknowledged. The indexes are derived from it.
//!
//! A write is acknowledged when its transaction is committed with `synchronous=FULL` in WAL mode. One connection writes;
//! readers take connections from a small pool.

pub(crate) mod directory;
pub(crate) mod documents;
pub(crate) mod intern;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod load;
mod migrate;
pub(crate) mod sources;
pub(crate) mod sums;

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, Transaction};

use crate::error::{Error, Result};

pub(crate) use documents::{ChunkRecord, DocumentRecord, SectionRecord, VersionRecord};

pub use jobs::{Failure, Job, JobState};
pub use keys::{KeyRecord, NewKey, Scope};

pub use sources::SourceRecord;

/// The catalog format that this release writes.
pub(crate) const FORMAT: u32 = 3;
/// The log is taken into the file when it has so many pages of 4 KiB. Commits touch the same pages again and again, so the more
/// of them the log holds, the less is written: with 1,000, the default, ingest took a seventh longer.
const MAX_LOG_PAGES: u32 = 16_384;
const MAX_IDLE_READERS: usize = 16;
/// What a connection may keep of the file, in KiB. A reader's is emptied by every write, and the operating system keeps the file.
const WRITER_CACHE_KIB: i64 = 65_536;
const READER_CACHE_KIB: i64 = 2_048;
const BUSY_TIMEOUT_MS: u32 = 10_000;

/// The open catalog of one data directory.
#[derive(Debug)]
pub(crate) struct Catalog {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Catalog {
    /// Opens the catalog at `path`, creating it when it does not exist and `create` is set.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Catalog> {
        let catalog = Catalog { path: path.to_owned(), idle: Mutex::default() };
        if !create && !path.exists() {
            return Err(Error::invalid("data", format!("{} holds no Sightline data", path.display())));
        }
        if create {
            catalog.found()?;
        }
        let found: Option<u32> = catalog.read(|db| meta(db, "format"))?;
        match found {
            Some(FORMAT) => Ok(catalog),
            Some(found) if found > 0 && found < FORMAT && create => {
                migrate::migrate(&mut catalog.connect()?)?;
                Ok(catalog)
            }
            Some(found) if found > 0 && found < FORMAT => Err(Error::OlderFormat { found, supported: FORMAT }),
            Some(found) if found > FORMAT => Err(Error::NewerFormat { found, supported: FORMAT }),
            _ => Err(Error::corrupt(path.display().to_string(), "it is not a Sightline catalog")),
        }
    }

    /// Makes the tables where there are none: in a new file, or in one whose making was cut off.
    fn found(&self) -> Result<()> {
        let mut connection = self.connect()?;
        if !is_empty(&connection)? {
            return Ok(());
        }
        let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if is_empty(&tx)? {
            tx.execute_batch(include_str!("schema.sql"))?;
            set_meta(&tx, "format", &FORMAT)?;
            set_meta(&tx, "seq", &0)?;
            set_meta(&tx, "epoch", &0)?;
            let mut secret = [0u8; 32];
            getrandom::fill(&mut secret).map_err(|error| Error::corrupt("random source", error))?;
            set_meta(&tx, "secret", &secret.as_slice())?;
            sums::store_all(&tx)?;
        }
        tx.commit()?;
        // The file's name is durable before anything in it is acknowledged.
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))
    }

    /// A connection of its own, for the writer.
    pub(crate) fn connect(&self) -> Result<Connection> {
        self.connect_with(WRITER_CACHE_KIB)
    }

    fn connect_with(&self, cache_kib: i64) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(std::time::Duration::from_millis(u64::from(BUSY_TIMEOUT_MS)))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        connection.pragma_update(None, "wal_autocheckpoint", MAX_LOG_PAGES)?;
        // A plan does not depend on the values bound, so that statements are compiled once.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(connection)
    }

    /// Closes it; nothing is left beside the file.
    pub(crate) fn close(self) -> Result<()> {
        for connection in self.idle.into_inner() {
            connection.pragma_update(None, "journal_mode", "DELETE")?;
            connection.close().map_err(|(_, error)| error)?;
        }
        Ok(())
    }

    /// Runs `f` in one read transaction of a connection that is not kept.
    pub(crate) fn read_apart<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut connection = self.connect_with(READER_CACHE_KIB)?;
        f(&*connection.transaction()?)
    }

    /// Runs `f` in one read transaction, so that everything it reads is of one moment.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect_with(READER_CACHE_KIB)?,
        };
        let result = {
            let tx = connection.transaction()?;
            f(&tx)
        };
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE_READERS {
            idle.push(connection);
        }
        result
    }
}

fn is_empty(db: &Connection) -> Result<bool> {
    Ok(db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0)
}

/// Reads one value of the `meta` table.
pub(crate) fn meta<T: rusqlite::types::FromSql>(db: &Connection, key: &str) -> Result<Option<T>> {
    Ok(db.prepare_cached("SELECT value FROM meta WHERE key = ?")?.query_row([key], |row| row.get(0)).optional()?)
}

/// Writes one value of the `meta` table.
pub(crate) fn set_meta(tx: &Transaction<'_>, key: &str, value: &dyn ToSql) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute((key, value))?;
    Ok(())
}
