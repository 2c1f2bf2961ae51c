//! Brings a catalog of an older format to the present one, in one transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{FORMAT, meta, set_meta, sums};
use crate::engine::{main_hash, section_hash};
use crate::error::Result;

/// Migrates step by step. A process that is killed leaves the old format.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    // Tables are made anew under other names, which foreign tools may be reading.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let found: u32 = meta(&tx, "format")?.unwrap_or_default();
    tracing::info!(found, to = FORMAT, "migrating the catalog");
    if found == 1 {
        count_versions_per_caller(&tx)?;
    }
    // Format 3: the language that a chunk is indexed in. Of older chunks it is told when they are shown.
    tx.execute_batch("ALTER TABLE chunks ADD COLUMN language TEXT")?;
    set_meta(&tx, "format", &FORMAT)?;
    sums::store_all(&tx)?;
    Ok(tx.commit()?)
}

/// Format 2: hashes of the parts of a version; what a document is cut into is no part of its content. Deletions are not
/// known of old versions, only that the first had none before it.
fn count_versions_per_caller(tx: &Transaction<'_>) -> Result<()> {
    tx.execute_batch(
        "CREATE TABLE sums (tbl TEXT PRIMARY KEY, sum BLOB NOT NULL) STRICT, WITHOUT ROWID;
         ALTER TABLE documents ADD COLUMN passages BLOB NOT NULL DEFAULT x'';
         UPDATE documents SET passages = zeroblob(32);
         ALTER TABLE sections ADD COLUMN hash BLOB NOT NULL DEFAULT x'';
         ALTER TABLE versions RENAME TO versions_1;
         CREATE TABLE versions (
             num INTEGER PRIMARY KEY AUTOINCREMENT,
             doc INTEGER NOT NULL,
             version INTEGER NOT NULL,
             title TEXT,
             text_hash BLOB NOT NULL,
             source_version TEXT,
             modified_at INTEGER,
             ingested_at INTEGER NOT NULL,
             born INTEGER NOT NULL,
             main_hash BLOB NOT NULL,
             text TEXT NOT NULL,
             UNIQUE (doc, version)
         ) STRICT;
         INSERT INTO versions SELECT num, doc, version, title, text_hash, source_version, modified_at, ingested_at,
             version = 1, zeroblob(32), text FROM versions_1 ORDER BY num;
         DROP TABLE versions_1;",
    )?;
    let mut versions = tx.prepare(
        "SELECT v.num, v.doc, v.version, v.title, d.mime, v.text, d.version = v.version \
         FROM versions v JOIN documents d ON d.num = v.doc",
    )?;
    let mut rows = versions.query([])?;
    while let Some(row) = rows.next()? {
        let (doc, version): (i64, u32) = (row.get(1)?, row.get(2)?);
        let (title, mime, text): (Option<String>, String, String) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let mut sections = tx.prepare_cached("SELECT ordinal, name, start, end FROM sections WHERE doc = ?1 AND version = ?2")?;
        let sections = sections
            .query_map((doc, version), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<Vec<(u32, String, usize, usize)>>>()?;
        let mut before = 0;
        let mut content = Vec::new();
        for (ordinal, name, start, end) in &sections {
            let hash = section_hash(name, start - before, text.get(*start..*end).unwrap_or_default());
            before += end - start;
            content.extend(hash);
            tx.prepare_cached("UPDATE sections SET hash = ?4 WHERE doc = ?1 AND version = ?2 AND ordinal = ?3")?
                .execute((doc, version, ordinal, hash))?;
        }
        let main = main_hash(title.as_deref(), &mime, &text, sections.iter().map(|section| (section.2, section.3)));
        tx.prepare_cached("UPDATE versions SET main_hash = ?2 WHERE num = ?1")?.execute((row.get::<_, i64>(0)?, main))?;
        if row.get::<_, bool>(6)? {
            let content = crate::engine::content_hash(&main, &content);
            tx.prepare_cached("UPDATE documents SET content = ?2 WHERE num = ?1")?.execute((doc, content))?;
        }
    }
    Ok(())
}
