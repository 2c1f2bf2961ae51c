//! Reading documents, as one caller may.
//!
//! What they read of it is a [`Reading`]. What is absent and what is forbidden is [`Error::NotFound`].

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::Serialize;

use super::reading::{Reading, Wanted};
use super::{Engine, View, check_document_id};
use crate::access::{Caller, Permit, Rule};
use crate::catalog::{DocumentRecord, directory, documents, intern, meta, sources};
use crate::citation::{Freshness, Span};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// What a connector needs to know of a document that is already here.
#[derive(Clone, Debug)]
pub struct DocumentHead {
    /// The document's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The source's own version or etag.
    pub source_version: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its ACL as it was read last.
    pub rule: Rule,
}

/// A document as a caller may read it.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentText {
    /// The source's id.
    pub source: String,
    /// The document's id.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
    /// The extracted text that the caller may read.
    pub text: String,
    /// The sections in it, by their spans in `text`.
    pub sections: Vec<SectionText>,
    /// The media type of the original.
    pub mime: String,
    /// Where a person opens it.
    pub uri: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The version, counted over what the caller may read.
    pub version: u32,
    /// The source's own version or etag.
    pub source_version: Option<String>,
    /// blake3 of `text`, in hex.
    pub document_hash: String,
    /// When the source says it was modified.
    pub modified_at: Option<Timestamp>,
    /// When this version came in.
    pub ingested_at: Timestamp,
    /// When the source was last seen to have it so.
    pub verified_at: Timestamp,
    /// Whether this is the newest version.
    pub freshness: Freshness,
}

/// A section that the caller may read.
#[derive(Clone, Debug, Serialize)]
pub struct SectionText {
    /// Its name.
    pub name: String,
    /// Its bytes in the document's text.
    pub span: Span,
}

/// Counts for operators.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Documents that were not deleted.
    pub documents: u64,
    /// Of these, how many are withheld because of their own ACL, by state.
    pub withheld: BTreeMap<String, u64>,
    /// Live chunks.
    pub chunks: u64,
    /// Distinct vectors.
    pub vectors: u64,
    /// Bytes of extracted text, of all retained versions.
    pub text_bytes: u64,
    /// ACL classes.
    pub classes: u64,
    /// Groups in the directory.
    pub groups: u64,
    /// Counts every write.
    pub seq: u64,
    /// Counts every change that can alter visibility.
    pub epoch: u64,
}

impl Engine {
    /// A document as the caller may read it, in its newest version or an older one.
    pub fn document(&self, caller: &Caller, source: &str, id: &str, version: Option<u32>, now: Timestamp) -> Result<DocumentText> {
        self.read_permitted(caller, now, |db, permit, _| {
            let number = sources::find(db, source)?.ok_or(Error::NotFound)?;
            let document = DocumentRecord::by_id(db, number, id)?.filter(|document| document.deleted_at.is_none());
            let document = document.ok_or(Error::NotFound)?;
            let wanted = version.map_or(Wanted::Newest, Wanted::Numbered);
            let reading = Reading::open(db, permit, document, wanted)?.ok_or(Error::NotFound)?;
            let labels = documents::labels(db, reading.document.labels)?;
            Ok(DocumentText {
                sections: reading.sections().map(|(name, span)| SectionText { name: name.to_owned(), span }).collect(),
                text: reading.text.to_string(),
                document_hash: reading.hash(),
                freshness: reading.freshness(),
                version: reading.number(),
                ingested_at: reading.since(),
                source: reading.source,
                id: reading.document.id,
                title: reading.version.title,
                mime: reading.document.mime,
                uri: reading.document.uri,
                labels,
                source_version: reading.version.source_version,
                modified_at: reading.version.modified_at,
                verified_at: reading.document.verified_at,
            })
        })
    }

    /// Reads the catalog with a permit of the same moment. A write that is committed and not published yet, or that came
    /// between the two, may have stored what the older permit must not open.
    pub(super) fn read_permitted<T>(
        &self,
        caller: &Caller,
        now: Timestamp,
        read: impl Fn(&Connection, &Permit, &View) -> Result<T>,
    ) -> Result<T> {
        let mut held = None;
        loop {
            let (permit, view) = self.permit(caller, now);
            let (seq, found) = self.catalog.read(|db| Ok((meta::<i64>(db, "seq")?, read(db, &permit, &view))))?;
            if seq.unwrap_or_default().cast_unsigned() == view.seq {
                return found;
            }
            // Where writes are held, nothing is between commit and publication.
            if held.is_some() {
                self.writer()?.check()?;
                return Err(Error::NotFound);
            }
            held = Some(self.hold_writes().ok_or(Error::NotFound)?);
        }
    }

    /// What a connector needs to know of a document, by its id.
    pub fn head(&self, source: &str, id: &str) -> Result<Option<DocumentHead>> {
        check_document_id(id)?;
        self.catalog.read(|db| {
            let Some(source) = sources::find(db, source)? else { return Ok(None) };
            let document = DocumentRecord::by_id(db, source, id)?.filter(|document| document.deleted_at.is_none());
            document.map(|document| head(db, document)).transpose()
        })
    }

    /// Documents of a source by id, after `after`; at most `limit`.
    pub fn heads(&self, source: &str, after: &str, limit: u32) -> Result<Vec<DocumentHead>> {
        self.catalog.read(|db| {
            let Some(source) = sources::find(db, source)? else { return Ok(Vec::new()) };
            DocumentRecord::page(db, source, after, limit, false)?.into_iter().map(|document| head(db, document)).collect()
        })
    }

    /// The ids of a source's containers.
    pub fn containers(&self, source: &str) -> Result<Vec<String>> {
        self.catalog.read(|db| match sources::find(db, source)? {
            Some(source) => directory::container_ids(db, source),
            None => Ok(Vec::new()),
        })
    }

    /// Every group of the directory.
    pub fn groups(&self) -> Result<Vec<String>> {
        self.catalog.read(directory::groups)
    }

    /// The direct members of a group.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such group.
    pub fn group(&self, group: &str) -> Result<Vec<String>> {
        self.catalog.read(|db| directory::members(db, group))?.ok_or(Error::NotFound)
    }

    /// Which of these vectors are kept, so that they need not be made again.
    pub fn known_vectors(&self, keys: &[[u8; 32]]) -> Result<Vec<bool>> {
        self.catalog.read(|db| keys.iter().map(|key| Ok(documents::find_vector(db, key)?.is_some())).collect())
    }

    /// The vectors that are kept under these keys, for a second directory over the same texts.
    pub fn kept_vectors(&self, keys: &[[u8; 32]]) -> Result<Vec<Option<Vec<f32>>>> {
        self.catalog.read(|db| {
            let vector = |key| documents::find_vector(db, key)?.map_or(Ok(None), |num| documents::vector(db, num));
            keys.iter().map(vector).collect()
        })
    }

    /// Counts for operators.
    pub fn stats(&self) -> Result<Stats> {
        self.catalog.read(|db| {
            let count = |sql: &str| -> Result<u64> { Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned()) };
            let mut withheld = BTreeMap::new();
            let mut statement = db.prepare(
                "SELECT json_extract(r.body, '$.state'), count(*) FROM documents d JOIN rules r ON r.num = d.rule \
                 WHERE d.deleted_at IS NULL GROUP BY 1",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let state: String = row.get(0)?;
                if state != "known" {
                    withheld.insert(state, row.get::<_, i64>(1)?.cast_unsigned());
                }
            }
            Ok(Stats {
                documents: count("SELECT count(*) FROM documents WHERE deleted_at IS NULL")?,
                withheld,
                chunks: count("SELECT count(*) FROM chunks")?,
                vectors: count("SELECT count(*) FROM vectors")?,
                text_bytes: count("SELECT coalesce(sum(length(CAST(text AS BLOB))), 0) FROM versions")?,
                classes: count("SELECT count(*) FROM classes")?,
                groups: count("SELECT count(*) FROM groups")?,
                seq: meta::<i64>(db, "seq")?.unwrap_or_default().cast_unsigned(),
                epoch: meta::<i64>(db, "epoch")?.unwrap_or_default().cast_unsigned(),
            })
        })
    }
}

fn head(db: &Connection, document: DocumentRecord) -> Result<DocumentHead> {
    Ok(DocumentHead {
        rule: intern::rule_by_number(db, document.rule)?,
        labels: documents::labels(db, document.labels)?,
        id: document.id,
        version: document.version,
        source_version: document.source_version,
    })
}
