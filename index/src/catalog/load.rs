//! Reads the whole catalog into the tables that live in memory, once, at open.

use std::ops::Range;

use rusqlite::Connection;

use super::{directory, intern, sources};
use crate::access::{Access, ClassNo};
use crate::error::Result;

/// What memory keeps of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkRow {
    pub(crate) num: u32,
    pub(crate) ordinal: u32,
    pub(crate) class: ClassNo,
    pub(crate) tokens: u32,
    pub(crate) vector: i64,
    /// Milliseconds; `None` where the source gave none.
    pub(crate) modified_at: Option<i64>,
    pub(crate) ingested_at: i64,
    pub(crate) source: u32,
}

/// The access tables.
pub(crate) fn access(db: &Connection) -> Result<Access> {
    let mut access = Access::default();
    let most = |sql: &str| db.query_row(sql, [], |row| row.get::<_, Option<u32>>(0));
    access.reserve(most("SELECT max(num) FROM rules")?.unwrap_or(0), most("SELECT max(num) FROM classes")?.unwrap_or(0));
    for (number, source) in sources::all(db)? {
        access.add_source(number, &source.id);
        access.set_max_age(number, source.acl_max_age_seconds);
    }
    intern::rules(db, |number, source, rule| access.add_rule(number, source, &rule))?;
    intern::all_labels(db, |number, labels| access.add_labels(number, &labels))?;
    intern::classes(db, |number, class| access.add_class(number, class))?;
    directory::containers(db, |source, id, rule| access.set_container(source, id, Some(rule)))?;
    directory::aliases(db, |source, alias, canonical| access.set_alias(source, alias, Some(canonical)))?;
    directory::memberships(db, |group, member| access.add_member(group, member))?;
    Ok(access)
}

/// One more than the highest number of a chunk.
pub(crate) fn chunks_end(db: &Connection) -> Result<u32> {
    Ok(db.query_row("SELECT coalesce(max(num) + 1, 0) FROM chunks", [], |row| row.get(0))?)
}

/// Calls `each` with every chunk of these numbers and its document's id, in the order of their numbers.
pub(crate) fn chunks(db: &Connection, numbers: Range<u32>, mut each: impl FnMut(ChunkRow, &str)) -> Result<()> {
    let mut statement = db.prepare(
        "SELECT c.num, c.ordinal, coalesce(s.class, d.class), c.tokens, c.vector, d.modified_at, d.ingested_at, \
         d.source, d.id FROM chunks c JOIN documents d ON d.num = c.doc \
         LEFT JOIN sections s ON s.doc = c.doc AND s.version = c.version AND s.ordinal = c.section \
         WHERE c.num >= ?1 AND c.num < ?2 ORDER BY c.num",
    )?;
    let mut rows = statement.query([numbers.start, numbers.end])?;
    while let Some(row) = rows.next()? {
        let chunk = ChunkRow {
            num: row.get(0)?,
            ordinal: row.get(1)?,
            class: row.get(2)?,
            tokens: row.get(3)?,
            vector: row.get(4)?,
            modified_at: row.get(5)?,
            ingested_at: row.get(6)?,
            source: row.get(7)?,
        };
        each(chunk, row.get_ref(8)?.as_str().unwrap_or_default());
    }
    Ok(())
}
