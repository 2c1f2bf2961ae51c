//! The tantivy index of chunks: what is written to it, and the view of it that a search reads.
//!
//! Its commit payload names the analysis version, the catalog it belongs to and the sequence it has applied; the engine
//! replays the rest at open. Dead chunks may linger in it: the rows in memory, not tantivy, say what is alive.

use std::path::Path;
use std::sync::Arc;

use tantivy::columnar::Column;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::InvertedIndexReader;
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};

use super::analyze;
use crate::error::{Error, Result};

/// Raised when `analyze` yields other terms or the schema changes, so that older indexes are rebuilt.
const ANALYSIS: u32 = 1;
const WRITER_MEMORY_BYTES: usize = 64 << 20;
const WRITER_THREADS: usize = 1;
const ANALYZER: &str = "analyzed";

/// The index on disk, open for reading and perhaps for writing.
pub(crate) struct KeywordIndex {
    reader: IndexReader,
    writer: Option<IndexWriter>,
    fields: Fields,
    catalog: String,
    applied: u64,
}

#[derive(Clone, Copy)]
struct Fields {
    terms: Field,
    chunk: Field,
}

impl KeywordIndex {
    /// Opens the index in `dir`. One that belongs to another catalog or analysis, is ahead of `seq`, or cannot be read is
    /// emptied: `applied()` is 0 then and the engine replays everything.
    pub(crate) fn open(dir: &Path, catalog: &str, seq: u64, write: bool) -> Result<KeywordIndex> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        match KeywordIndex::try_open(dir, catalog, seq, write) {
            Ok(Some(index)) => Ok(index),
            Ok(None) | Err(Error::Keyword(_)) if write => {
                tracing::warn!(dir = %dir.display(), "the keyword index is missing or stale and is rebuilt from the catalog");
                std::fs::remove_dir_all(dir).map_err(Error::io(dir))?;
                std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
                KeywordIndex::try_open(dir, catalog, seq, write)?
                    .ok_or_else(|| Error::corrupt("keyword index", "it cannot be created"))
            }
            Ok(None) => Err(Error::corrupt("keyword index", "it must be rebuilt; open the data directory for writing once")),
            Err(error) => Err(error),
        }
    }

    fn try_open(dir: &Path, catalog: &str, seq: u64, write: bool) -> Result<Option<KeywordIndex>> {
        let mut builder = Schema::builder();
        let indexing = TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
        let fields = Fields {
            terms: builder.add_text_field("terms", TextOptions::default().set_indexing_options(indexing)),
            chunk: builder.add_u64_field("chunk", FAST | INDEXED),
        };
        let directory = tantivy::directory::MmapDirectory::open(dir).map_err(tantivy::TantivyError::from)?;
        let fresh = !Index::exists(&directory).map_err(tantivy::TantivyError::from)?;
        if fresh && !write {
            return Ok(None);
        }
        let index = Index::open_or_create(directory, builder.build())?;
        index.tokenizers().register(ANALYZER, TextAnalyzer::builder(WhitespaceTokenizer::default()).build());
        let payload = index.load_metas()?.payload;
        let applied = match payload.as_deref().map(|payload| read_payload(payload, catalog)) {
            Some(Some(applied)) if applied <= seq || !write => applied,
            None if fresh => 0,
            _ => return Ok(None),
        };
        let writer = write.then(|| index.writer_with_num_threads(WRITER_THREADS, WRITER_MEMORY_BYTES)).transpose()?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Some(KeywordIndex { reader, writer, fields, catalog: catalog.to_owned(), applied }))
    }

    /// The catalog sequence that the index reflects.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// Adds a chunk. `terms` are those of [`indexed_terms`].
    pub(crate) fn add(&self, chunk: u32, terms: &str) -> Result<()> {
        let mut document = TantivyDocument::new();
        document.add_text(self.fields.terms, terms);
        document.add_u64(self.fields.chunk, u64::from(chunk));
        self.writer()?.add_document(document)?;
        Ok(())
    }

    /// Lets the next merge drop a dead chunk.
    pub(crate) fn remove(&self, chunk: u32) -> Result<()> {
        self.writer()?.delete_term(Term::from_field_u64(self.fields.chunk, u64::from(chunk)));
        Ok(())
    }

    /// Makes what was added searchable and records that the index reflects `seq`.
    pub(crate) fn commit(&mut self, seq: u64) -> Result<()> {
        let payload = format!("{ANALYSIS} {} {seq}", self.catalog);
        let writer = self.writer.as_mut().ok_or_else(read_only)?;
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&payload);
        commit.commit()?;
        self.applied = seq;
        self.reader.reload()?;
        Ok(())
    }

    /// The chunks that the index still holds, alive or not.
    pub(crate) fn chunks(&self) -> Result<Vec<u32>> {
        let snapshot = self.snapshot()?;
        let mut chunks = Vec::new();
        for segment in snapshot.segments.iter() {
            chunks.extend(segment.reader.doc_ids_alive().map(|doc| segment.chunk(doc)));
        }
        Ok(chunks)
    }

    /// What a search reads: fixed until the next one is taken.
    pub(crate) fn snapshot(&self) -> Result<KeywordSnapshot> {
        let searcher = self.reader.searcher();
        let segments = searcher
            .segment_readers()
            .iter()
            .map(|reader| {
                Ok(Segment {
                    chunks: reader.fast_fields().u64("chunk")?,
                    postings: reader.inverted_index(self.fields.terms)?,
                    lengths: reader.get_fieldnorms_reader(self.fields.terms)?,
                    reader: reader.clone(),
                })
            })
            .collect::<tantivy::Result<Vec<_>>>()?;
        Ok(KeywordSnapshot { segments: segments.into(), terms: self.fields.terms })
    }

    fn writer(&self) -> Result<&IndexWriter> {
        self.writer.as_ref().ok_or_else(read_only)
    }
}

fn read_only() -> Error {
    Error::invalid("data", "the data directory is open for reading only")
}

fn read_payload(payload: &str, catalog: &str) -> Option<u64> {
    let mut words = payload.split(' ');
    let analysis: u32 = words.next()?.parse().ok()?;
    (analysis == ANALYSIS && words.next()? == catalog).then(|| words.next()?.parse().ok())?
}

/// What is indexed for a chunk: the terms of its title, of headings that its text does not begin with, and of its text,
/// parted by spaces; and their number.
pub(crate) fn indexed_terms(title: Option<&str>, headings: &[String], text: &str) -> (String, u32) {
    let mut context = String::new();
    for part in title.into_iter().chain(headings.iter().map(String::as_str)) {
        // The chunk under a heading begins with it.
        if !context.contains(part) && !text.get(..text.floor_char_boundary(part.len() + 8)).is_some_and(|head| head.contains(part))
        {
            context.push_str(part);
            context.push('\n');
        }
    }
    context.push_str(text);
    let terms = analyze::terms(&context);
    let count = u32::try_from(terms.len()).unwrap_or(u32::MAX);
    let mut joined = String::with_capacity(terms.len() * 6);
    for term in terms {
        joined.push_str(&term.text);
        joined.push(' ');
    }
    (joined, count)
}

/// One segment of the index, as a search reads it.
#[derive(Clone)]
pub(super) struct Segment {
    reader: tantivy::SegmentReader,
    chunks: Column<u64>,
    pub(super) postings: Arc<InvertedIndexReader>,
    pub(super) lengths: FieldNormReader,
}

impl Segment {
    /// The chunk that a tantivy document of this segment is.
    #[inline]
    pub(super) fn chunk(&self, doc: u32) -> u32 {
        u32::try_from(self.chunks.values.get_val(doc)).unwrap_or(u32::MAX)
    }
}

/// An unchanging view of the index.
#[derive(Clone)]
pub(crate) struct KeywordSnapshot {
    pub(super) segments: Arc<[Segment]>,
    pub(super) terms: Field,
}
