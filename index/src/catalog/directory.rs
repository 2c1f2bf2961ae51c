//! Groups, members and containers as the catalog keeps them.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::access::{RuleNo, SourceNo};
use crate::error::Result;
use crate::timestamp::Timestamp;

/// Makes a group; true when it is new.
pub(crate) fn add_group(tx: &Transaction<'_>, group: &str) -> Result<bool> {
    Ok(tx.prepare_cached("INSERT OR IGNORE INTO groups (id) VALUES (?1)")?.execute([group])? > 0)
}

/// Forgets a group and its members; true when it existed.
pub(crate) fn delete_group(tx: &Transaction<'_>, group: &str) -> Result<bool> {
    tx.prepare_cached("DELETE FROM members WHERE grp = ?1")?.execute([group])?;
    Ok(tx.prepare_cached("DELETE FROM groups WHERE id = ?1")?.execute([group])? > 0)
}

/// Takes all members out of a group.
pub(crate) fn clear_group(tx: &Transaction<'_>, group: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM members WHERE grp = ?1")?.execute([group])?;
    Ok(())
}

/// Puts a member into a group.
pub(crate) fn add_member(tx: &Transaction<'_>, group: &str, member: &str) -> Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO members (grp, member) VALUES (?1, ?2)")?.execute([group, member])?;
    Ok(())
}

/// Takes a member out of a group.
pub(crate) fn remove_member(tx: &Transaction<'_>, group: &str, member: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM members WHERE grp = ?1 AND member = ?2")?.execute([group, member])?;
    Ok(())
}

/// The direct members of a group, sorted; `None` when there is no such group.
pub(crate) fn members(db: &Connection, group: &str) -> Result<Option<Vec<String>>> {
    let exists = db.prepare_cached("SELECT 1 FROM groups WHERE id = ?1")?.exists([group])?;
    let mut statement = db.prepare_cached("SELECT member FROM members WHERE grp = ?1 ORDER BY member")?;
    let members = statement.query_map([group], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(exists.then_some(members))
}

/// Every group, sorted.
pub(crate) fn groups(db: &Connection) -> Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT id FROM groups ORDER BY id")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Every membership as (group, member).
pub(crate) fn memberships(db: &Connection, mut each: impl FnMut(&str, &str)) -> Result<()> {
    let mut statement = db.prepare("SELECT grp, member FROM members")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row.get_ref(0)?.as_str().unwrap_or_default(), row.get_ref(1)?.as_str().unwrap_or_default());
    }
    Ok(())
}

/// Gives a container its rule.
pub(crate) fn set_container(tx: &Transaction<'_>, source: SourceNo, id: &str, rule: RuleNo, now: Timestamp) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO containers (source, id, rule, read_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute((source, id, rule, now.0))?;
    Ok(())
}

/// The rule of a container, and when it was read.
pub(crate) fn container(db: &Connection, source: SourceNo, id: &str) -> Result<Option<(RuleNo, Timestamp)>> {
    let mut statement = db.prepare_cached("SELECT rule, read_at FROM containers WHERE source = ?1 AND id = ?2")?;
    Ok(statement.query_row((source, id), |row| Ok((row.get(0)?, Timestamp(row.get(1)?)))).optional()?)
}

/// Maps a source's user id to the canonical one, or ends that with `None`.
pub(crate) fn set_alias(tx: &Transaction<'_>, source: SourceNo, alias: &str, canonical: Option<&str>) -> Result<()> {
    match canonical {
        Some(canonical) => tx
            .prepare_cached("INSERT OR REPLACE INTO aliases (source, alias, canonical) VALUES (?1, ?2, ?3)")?
            .execute((source, alias, canonical))?,
        None => tx.prepare_cached("DELETE FROM aliases WHERE source = ?1 AND alias = ?2")?.execute((source, alias))?,
    };
    Ok(())
}

/// Whom a source's user id stands for.
pub(crate) fn alias(db: &Connection, source: SourceNo, alias: &str) -> Result<Option<String>> {
    let mut statement = db.prepare_cached("SELECT canonical FROM aliases WHERE source = ?1 AND alias = ?2")?;
    Ok(statement.query_row((source, alias), |row| row.get(0)).optional()?)
}

/// Every alias as (source, alias, canonical).
pub(crate) fn aliases(db: &Connection, mut each: impl FnMut(SourceNo, &str, &str)) -> Result<()> {
    let mut statement = db.prepare("SELECT source, alias, canonical FROM aliases")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, row.get_ref(1)?.as_str().unwrap_or_default(), row.get_ref(2)?.as_str().unwrap_or_default());
    }
    Ok(())
}

/// Forgets a container; true when it existed.
pub(crate) fn delete_container(tx: &Transaction<'_>, source: SourceNo, id: &str) -> Result<bool> {
    Ok(tx.prepare_cached("DELETE FROM containers WHERE source = ?1 AND id = ?2")?.execute((source, id))? > 0)
}

/// The ids of a source's containers.
pub(crate) fn container_ids(db: &Connection, source: SourceNo) -> Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT id FROM containers WHERE source = ?1 ORDER BY id")?;
    Ok(statement.query_map([source], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Every container as (source, id, rule).
pub(crate) fn containers(db: &Connection, mut each: impl FnMut(SourceNo, &str, RuleNo)) -> Result<()> {
    let mut statement = db.prepare("SELECT source, id, rule FROM containers")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, row.get_ref(1)?.as_str().unwrap_or_default(), row.get(2)?);
    }
    Ok(())
}
