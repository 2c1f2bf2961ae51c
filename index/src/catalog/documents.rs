//! Documents, versions, sections, chunks and vectors as the catalog keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use crate::access::{ClassNo, LabelsNo, RuleNo, SourceNo};
use crate::error::{Error, Result};
use crate::keyword::Language;
use crate::timestamp::Timestamp;

/// A row of `documents`.
#[derive(Clone, Debug)]
pub(crate) struct DocumentRecord {
    pub(crate) num: i64,
    pub(crate) source: SourceNo,
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) mime: String,
    pub(crate) labels: LabelsNo,
    pub(crate) rule: RuleNo,
    pub(crate) class: ClassNo,
    /// Hash of everything that makes a version; equal content is the same version.
    pub(crate) content: [u8; 32],
    /// Hash of how the content was cut into chunks, and of their vectors' keys.
    pub(crate) passages: [u8; 32],
    pub(crate) version: u32,
    pub(crate) source_version: Option<String>,
    pub(crate) modified_at: Option<Timestamp>,
    /// When its current version came in.
    pub(crate) ingested_at: Timestamp,
    pub(crate) acl_read_at: Timestamp,
    pub(crate) verified_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
}

const DOCUMENT: &str = "SELECT num, source, id, title, uri, mime, labels, rule, class, content, passages, version, \
                        source_version, modified_at, ingested_at, acl_read_at, verified_at, deleted_at FROM documents";

impl DocumentRecord {
    fn read(row: &Row<'_>) -> rusqlite::Result<DocumentRecord> {
        Ok(DocumentRecord {
            num: row.get(0)?,
            source: row.get(1)?,
            id: row.get(2)?,
            title: row.get(3)?,
            uri: row.get(4)?,
            mime: row.get(5)?,
            labels: row.get(6)?,
            rule: row.get(7)?,
            class: row.get(8)?,
            content: row.get(9)?,
            passages: row.get(10)?,
            version: row.get(11)?,
            source_version: row.get(12)?,
            modified_at: row.get::<_, Option<i64>>(13)?.map(Timestamp),
            ingested_at: Timestamp(row.get(14)?),
            acl_read_at: Timestamp(row.get(15)?),
            verified_at: Timestamp(row.get(16)?),
            deleted_at: row.get::<_, Option<i64>>(17)?.map(Timestamp),
        })
    }

    /// The document with this number.
    pub(crate) fn by_num(db: &Connection, num: i64) -> Result<Option<DocumentRecord>> {
        let mut statement = db.prepare_cached(&format!("{DOCUMENT} WHERE num = ?1"))?;
        Ok(statement.query_row([num], DocumentRecord::read).optional()?)
    }

    /// The document with this source and id, also when it was deleted.
    pub(crate) fn by_id(db: &Connection, source: SourceNo, id: &str) -> Result<Option<DocumentRecord>> {
        let mut statement = db.prepare_cached(&format!("{DOCUMENT} WHERE source = ?1 AND id = ?2"))?;
        Ok(statement.query_row((source, id), DocumentRecord::read).optional()?)
    }

    /// Documents of a source, by id, after `after`; at most `limit`. Deleted ones only when asked for.
    pub(crate) fn page(db: &Connection, source: SourceNo, after: &str, limit: u32, deleted: bool) -> Result<Vec<DocumentRecord>> {
        let mut statement = db.prepare_cached(&format!(
            "{DOCUMENT} WHERE source = ?1 AND id > ?2 AND (?4 OR deleted_at IS NULL) ORDER BY id LIMIT ?3"
        ))?;
        Ok(statement.query_map((source, after, limit, deleted), DocumentRecord::read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes the row; a `num` of 0 makes a new one. Returns its number.
    pub(crate) fn save(&self, tx: &Transaction<'_>) -> Result<i64> {
        let num = (self.num != 0).then_some(self.num);
        tx.prepare_cached(
            "INSERT OR REPLACE INTO documents (num, source, id, title, uri, mime, labels, rule, class, content, passages, \
             version, source_version, modified_at, ingested_at, acl_read_at, verified_at, deleted_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(rusqlite::params![
            num,
            self.source,
            self.id,
            self.title,
            self.uri,
            self.mime,
            self.labels,
            self.rule,
            self.class,
            self.content,
            self.passages,
            self.version,
            self.source_version,
            self.modified_at.map(|at| at.0),
            self.ingested_at.0,
            self.acl_read_at.0,
            self.verified_at.0,
            self.deleted_at.map(|at| at.0),
        ])?;
        Ok(tx.last_insert_rowid())
    }
}

/// Records that the source was asked at `now` and these documents and their ACLs were as stored.
pub(crate) fn verify(tx: &Transaction<'_>, source: SourceNo, ids: &[String], now: Timestamp) -> Result<()> {
    let mut statement =
        tx.prepare_cached("UPDATE documents SET verified_at = ?1, acl_read_at = ?1 WHERE source = ?2 AND id = ?3")?;
    for id in ids {
        statement.execute((now.0, source, id))?;
    }
    Ok(())
}

/// A row of `versions`.
#[derive(Clone, Debug)]
pub(crate) struct VersionRecord {
    pub(crate) version: u32,
    pub(crate) title: Option<String>,
    pub(crate) text: Arc<str>,
    pub(crate) text_hash: [u8; 32],
    pub(crate) source_version: Option<String>,
    pub(crate) modified_at: Option<Timestamp>,
    pub(crate) ingested_at: Timestamp,
    /// True where there was no document before.
    pub(crate) born: bool,
    /// Hash of title, media type and the text outside sections.
    pub(crate) main_hash: [u8; 32],
}

impl VersionRecord {
    /// The version of a document with this number.
    pub(crate) fn get(db: &Connection, doc: i64, version: u32) -> Result<Option<VersionRecord>> {
        let mut statement = db.prepare_cached(
            "SELECT version, title, text, text_hash, source_version, modified_at, ingested_at, born, main_hash FROM versions \
             WHERE doc = ?1 AND version = ?2",
        )?;
        let read = |row: &Row<'_>| {
            Ok(VersionRecord {
                version: row.get(0)?,
                title: row.get(1)?,
                text: row.get(2)?,
                text_hash: row.get(3)?,
                source_version: row.get(4)?,
                modified_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
                ingested_at: Timestamp(row.get(6)?),
                born: row.get(7)?,
                main_hash: row.get(8)?,
            })
        };
        Ok(statement.query_row((doc, version), read).optional()?)
    }

    /// When a version of a document came in; `None` where there is no such version.
    pub(crate) fn came_in(db: &Connection, doc: i64, version: u32) -> Result<Option<Timestamp>> {
        let mut statement = db.prepare_cached("SELECT ingested_at FROM versions WHERE doc = ?1 AND version = ?2")?;
        Ok(statement.query_row((doc, version), |row| row.get(0)).optional()?.map(Timestamp))
    }

    /// Calls `each` with (version, born, main hash, when it came in) of every version of a document, oldest first.
    pub(crate) fn each_of(db: &Connection, doc: i64, mut each: impl FnMut(u32, bool, [u8; 32], Timestamp)) -> Result<()> {
        let mut statement =
            db.prepare_cached("SELECT version, born, main_hash, ingested_at FROM versions WHERE doc = ?1 ORDER BY version")?;
        let mut rows = statement.query([doc])?;
        while let Some(row) = rows.next()? {
            each(row.get(0)?, row.get(1)?, row.get(2)?, Timestamp(row.get(3)?));
        }
        Ok(())
    }

    /// Records what the source says of a version that it still has.
    pub(crate) fn confirm(
        tx: &Transaction<'_>,
        (doc, version): (i64, u32),
        source_version: Option<&str>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        tx.prepare_cached("UPDATE versions SET source_version = ?3, modified_at = ?4 WHERE doc = ?1 AND version = ?2")?
            .execute((doc, version, source_version, modified_at.map(|at| at.0)))?;
        Ok(())
    }

    /// Adds the version to a document.
    pub(crate) fn insert(&self, tx: &Transaction<'_>, doc: i64) -> Result<()> {
        tx.prepare_cached(
            "INSERT INTO versions (doc, version, title, text, text_hash, source_version, modified_at, ingested_at, born, main_hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(rusqlite::params![
            doc,
            self.version,
            self.title,
            self.text,
            self.text_hash,
            self.source_version,
            self.modified_at.map(|at| at.0),
            self.ingested_at.0,
            self.born,
            self.main_hash,
        ])?;
        Ok(())
    }
}

/// A row of `sections`: a part of a version with its own, narrower rule.
#[derive(Clone, Debug)]
pub(crate) struct SectionRecord {
    pub(crate) version: u32,
    pub(crate) ordinal: u32,
    pub(crate) name: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) rule: RuleNo,
    pub(crate) class: ClassNo,
    /// Hash of name, text and place.
    pub(crate) hash: [u8; 32],
}

impl SectionRecord {
    /// The sections of a document, of one version or of all, in the order of the text.
    pub(crate) fn of(db: &Connection, doc: i64, version: Option<u32>) -> Result<Vec<SectionRecord>> {
        let mut statement = db.prepare_cached(
            "SELECT version, ordinal, name, start, end, rule, class, hash FROM sections \
             WHERE doc = ?1 AND version = coalesce(?2, version) ORDER BY version, ordinal",
        )?;
        let read = |row: &Row<'_>| {
            Ok(SectionRecord {
                version: row.get(0)?,
                ordinal: row.get(1)?,
                name: row.get(2)?,
                start: row.get(3)?,
                end: row.get(4)?,
                rule: row.get(5)?,
                class: row.get(6)?,
                hash: row.get(7)?,
            })
        };
        Ok(statement.query_map((doc, version), read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Adds or replaces the section.
    pub(crate) fn save(&self, tx: &Transaction<'_>, doc: i64) -> Result<()> {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO sections (doc, version, ordinal, name, start, end, rule, class, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((doc, self.version, self.ordinal, &self.name, self.start, self.end, self.rule, self.class, self.hash))?;
        Ok(())
    }
}

/// A row of `chunks`.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRecord {
    pub(crate) num: u32,
    pub(crate) doc: i64,
    pub(crate) version: u32,
    pub(crate) ordinal: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) section: Option<u32>,
    pub(crate) headings: Vec<String>,
    pub(crate) page: Option<u32>,
    pub(crate) part: Option<String>,
    pub(crate) tokens: u32,
    /// Whose stems are indexed; not known of chunks that came in under an older format.
    pub(crate) language: Option<Language>,
    /// 0 where there is no vector.
    pub(crate) vector: i64,
    pub(crate) seq: u64,
}

const CHUNK: &str = "SELECT num, doc, version, ordinal, start, end, section, headings, page, part, tokens, vector, seq, language \
    FROM chunks";

impl ChunkRecord {
    fn read(row: &Row<'_>) -> Result<ChunkRecord> {
        let headings: String = row.get(7)?;
        Ok(ChunkRecord {
            num: row.get(0)?,
            doc: row.get(1)?,
            version: row.get(2)?,
            ordinal: row.get(3)?,
            start: row.get(4)?,
            end: row.get(5)?,
            section: row.get(6)?,
            headings: serde_json::from_str(&headings).map_err(|error| Error::corrupt("chunk headings", error))?,
            page: row.get(8)?,
            part: row.get(9)?,
            tokens: row.get(10)?,
            vector: row.get(11)?,
            seq: row.get::<_, i64>(12)?.cast_unsigned(),
            language: row
                .get_ref(13)?
                .as_str_or_null()
                .map_err(|error| Error::corrupt("chunk language", error))?
                .map(Language::of_code),
        })
    }

    /// The chunk with this number.
    pub(crate) fn get(db: &Connection, num: u32) -> Result<Option<ChunkRecord>> {
        let mut statement = db.prepare_cached(&format!("{CHUNK} WHERE num = ?1"))?;
        let mut rows = statement.query([num])?;
        rows.next()?.map(ChunkRecord::read).transpose()
    }

    /// The chunks of a document's current version, in the order of the text.
    pub(crate) fn of(db: &Connection, doc: i64) -> Result<Vec<ChunkRecord>> {
        let mut statement = db.prepare_cached(&format!("{CHUNK} WHERE doc = ?1 ORDER BY ordinal"))?;
        let mut rows = statement.query([doc])?;
        let mut chunks = Vec::new();
        while let Some(row) = rows.next()? {
            chunks.push(ChunkRecord::read(row)?);
        }
        Ok(chunks)
    }

    /// Calls `each` with every chunk written after `seq`, in the order of their numbers, which is that of their writes.
    pub(crate) fn since(db: &Connection, seq: u64, mut each: impl FnMut(ChunkRecord) -> Result<()>) -> Result<()> {
        let mut before = db.prepare("SELECT num, seq FROM chunks ORDER BY num DESC")?;
        let mut rows = before.query([])?;
        let mut last = 0i64;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(1)? <= seq.cast_signed() {
                last = row.get(0)?;
                break;
            }
        }
        let mut statement = db.prepare(&format!("{CHUNK} WHERE num > ?1 ORDER BY num"))?;
        let mut rows = statement.query([last])?;
        while let Some(row) = rows.next()? {
            each(ChunkRecord::read(row)?)?;
        }
        Ok(())
    }

    /// Adds the chunk and returns its number; `num` is ignored.
    pub(crate) fn insert(&self, tx: &Transaction<'_>) -> Result<u32> {
        let headings = serde_json::to_string(&self.headings).map_err(|error| Error::corrupt("chunk headings", error))?;
        let num = tx
            .prepare_cached(
                "INSERT INTO chunks (doc, version, ordinal, start, end, section, headings, page, part, tokens, vector, seq, \
                 language) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .insert(rusqlite::params![
                self.doc,
                self.version,
                self.ordinal,
                self.start,
                self.end,
                self.section,
                headings,
                self.page,
                self.part,
                self.tokens,
                self.vector,
                self.seq.cast_signed(),
                self.language.map(Language::code),
            ])?;
        u32::try_from(num).map_err(|_| Error::corrupt("catalog", "more than 2^32 chunks"))
    }

    /// Forgets the chunks of a document.
    pub(crate) fn delete_of(tx: &Transaction<'_>, doc: i64) -> Result<()> {
        tx.prepare_cached("DELETE FROM chunks WHERE doc = ?1")?.execute([doc])?;
        Ok(())
    }
}

/// The number of the vector with this hash.
pub(crate) fn find_vector(db: &Connection, hash: &[u8; 32]) -> Result<Option<i64>> {
    Ok(db.prepare_cached("SELECT num FROM vectors WHERE hash = ?1")?.query_row([hash], |row| row.get(0)).optional()?)
}

/// Keeps a vector, as little-endian f32, and returns its number.
pub(crate) fn insert_vector(tx: &Transaction<'_>, hash: &[u8; 32], vector: &[f32]) -> Result<i64> {
    let data: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(tx.prepare_cached("INSERT INTO vectors (hash, data) VALUES (?1, ?2)")?.insert((hash, data))?)
}

/// The vector with this number.
pub(crate) fn vector(db: &Connection, num: i64) -> Result<Option<Vec<f32>>> {
    let data: Option<Vec<u8>> =
        db.prepare_cached("SELECT data FROM vectors WHERE num = ?1")?.query_row([num], |row| row.get(0)).optional()?;
    Ok(data.map(|data| data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

/// The labels with this number.
pub(crate) fn labels(db: &Connection, num: LabelsNo) -> Result<BTreeMap<String, String>> {
    let body: String = db.prepare_cached("SELECT body FROM labels WHERE num = ?1")?.query_row([num], |row| row.get(0))?;
    serde_json::from_str(&body).map_err(|error| Error::corrupt("labels", error))
}
