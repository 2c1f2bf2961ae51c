//! Sources as the catalog keeps them.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Serialize;

use crate::access::SourceNo;
use crate::error::Result;
use crate::timestamp::Timestamp;

/// A connected system.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRecord {
    /// The id that documents and citations name.
    pub id: String,
    /// How it is connected: `push` or `folder`.
    pub kind: String,
    /// Who answers for it; empty when nobody was named.
    pub owner: String,
    /// What the connector needs to reach it, as JSON; never a secret.
    pub config: String,
    /// How many seconds an ACL holds after it was read; older ones are stale. `None` for ever.
    pub acl_max_age_seconds: Option<u32>,
    /// When it was first written to.
    pub created_at: Timestamp,
    /// When a sync last went through all of it.
    pub synced_at: Option<Timestamp>,
}

/// The number of a source.
pub(crate) fn find(db: &Connection, id: &str) -> Result<Option<SourceNo>> {
    Ok(db.prepare_cached("SELECT num FROM sources WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?)
}

/// The id of a source.
pub(crate) fn id(db: &Connection, num: SourceNo) -> Result<Option<String>> {
    Ok(db.prepare_cached("SELECT id FROM sources WHERE num = ?1")?.query_row([num], |row| row.get(0)).optional()?)
}

/// How many seconds the ACLs of a source hold after they were read.
pub(crate) fn acl_max_age(db: &Connection, num: SourceNo) -> Result<Option<u32>> {
    Ok(db.prepare_cached("SELECT acl_max_age FROM sources WHERE num = ?1")?.query_row([num], |row| row.get(0))?)
}

/// Sets how many seconds the ACLs of a source hold after they were read.
pub(crate) fn set_acl_max_age(tx: &Transaction<'_>, num: SourceNo, seconds: Option<u32>) -> Result<()> {
    tx.prepare_cached("UPDATE sources SET acl_max_age = ?2 WHERE num = ?1")?.execute((num, seconds))?;
    Ok(())
}

/// Makes a source that is written to from outside.
pub(crate) fn insert(tx: &Transaction<'_>, id: &str, now: Timestamp) -> Result<SourceNo> {
    tx.prepare_cached("INSERT INTO sources (id, kind, owner, config, created_at) VALUES (?1, 'push', '', '{}', ?2)")?
        .execute((id, now.0))?;
    Ok(SourceNo::try_from(tx.last_insert_rowid()).unwrap_or(SourceNo::MAX))
}

/// Records how a source is connected.
pub(crate) fn describe(tx: &Transaction<'_>, num: SourceNo, kind: &str, owner: &str, config: &str) -> Result<()> {
    tx.prepare_cached("UPDATE sources SET kind = ?2, owner = ?3, config = ?4 WHERE num = ?1")?
        .execute((num, kind, owner, config))?;
    Ok(())
}

/// Records that a sync went through all of a source.
pub(crate) fn synced(tx: &Transaction<'_>, num: SourceNo, now: Timestamp) -> Result<()> {
    tx.prepare_cached("UPDATE sources SET synced_at = ?2 WHERE num = ?1")?.execute((num, now.0))?;
    Ok(())
}

/// The ids of all sources, by their numbers.
pub(crate) fn names(db: &Connection) -> Result<HashMap<SourceNo, String>> {
    let mut statement = db.prepare_cached("SELECT num, id FROM sources")?;
    Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?)
}

/// Every source with its number.
pub(crate) fn all(db: &Connection) -> Result<Vec<(SourceNo, SourceRecord)>> {
    let mut statement =
        db.prepare("SELECT num, id, kind, owner, config, acl_max_age, created_at, synced_at FROM sources ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            SourceRecord {
                id: row.get(1)?,
                kind: row.get(2)?,
                owner: row.get(3)?,
                config: row.get(4)?,
                acl_max_age_seconds: row.get(5)?,
                created_at: Timestamp(row.get(6)?),
                synced_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
            },
        ))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
