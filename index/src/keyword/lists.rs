//! What a segment knows of a word: where its postings are, and of one that many documents have, what [`super::dense`] keeps.
//!
//! The latter is made on the first use of the word by one pass over its postings, independent of any caller, and kept within a
//! bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;
use tantivy::TantivyError;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;

use super::bm25::norms;
use super::dense::Dense;
use super::segment::Spread;
use crate::error::Result;

/// Postings that tantivy decodes at once.
pub(super) const POSTINGS: usize = 128;
/// What the lists of one segment may take, in bytes, and in bytes for each of its chunks; beyond it they are made anew.
const MAX_LIST_BYTES: usize = 1 << 20;
const MAX_LIST_BYTES_PER_CHUNK: usize = 128;

/// A word in one segment.
pub(super) struct WordList {
    /// How many documents have the word, alive or not.
    pub(super) len: u32,
    /// Which ones.
    pub(super) documents: Documents,
    /// Asked for again since unused lists were last dropped.
    used: AtomicBool,
}

/// The documents of a word.
pub(super) enum Documents {
    /// They are many.
    Dense(Dense),
    /// They are few.
    Sparse(Postings),
}

/// Where the postings are.
pub(super) enum Postings {
    Stored(TermInfo),
    /// Documents and frequencies of several terms that count as one word.
    Merged(Arc<[u32]>, Arc<[u32]>),
}

impl WordList {
    /// The list of a term of the dictionary.
    pub(super) fn stored(reader: &InvertedIndexReader, info: TermInfo, lengths: &[u8], spread: Spread) -> Result<WordList> {
        WordList::new(info.doc_freq, Postings::Stored(info), reader, lengths, spread)
    }

    /// The list of several terms as one word: ascending documents, and how often each has one of them.
    pub(super) fn merged(
        reader: &InvertedIndexReader,
        docs: Vec<u32>,
        frequencies: Vec<u32>,
        lengths: &[u8],
        spread: Spread,
    ) -> Result<WordList> {
        let len = u32::try_from(docs.len()).unwrap_or(u32::MAX);
        WordList::new(len, Postings::Merged(docs.into(), frequencies.into()), reader, lengths, spread)
    }

    /// Where the documents are many, the postings are read and given up.
    fn new(len: u32, postings: Postings, reader: &InvertedIndexReader, lengths: &[u8], spread: Spread) -> Result<WordList> {
        let Some(mut dense) = Dense::room(len, lengths.len()) else {
            return Ok(WordList { len, documents: Documents::Sparse(postings), used: AtomicBool::default() });
        };
        let norms = norms(spread.average);
        let mut cursor = postings.open(reader, IndexRecordOption::WithFreqs)?;
        while !cursor.docs().is_empty() {
            for (&doc, &frequency) in cursor.docs().iter().zip(cursor.frequencies()) {
                let code = lengths.get(doc as usize).copied().unwrap_or_default();
                dense.insert(doc, frequency, norms.get(usize::from(code)).copied().unwrap_or_default());
            }
            cursor.advance();
        }
        Ok(WordList { len, documents: Documents::Dense(dense), used: AtomicBool::default() })
    }

    /// How many blocks of postings there are.
    pub(super) fn blocks(&self) -> usize {
        self.len as usize / POSTINGS + 1
    }

    fn bytes(&self) -> usize {
        let documents = match &self.documents {
            Documents::Dense(dense) => dense.bytes(),
            Documents::Sparse(Postings::Merged(docs, _)) => docs.len() * 8,
            Documents::Sparse(Postings::Stored(_)) => 0,
        };
        size_of::<WordList>() + documents
    }
}

impl Postings {
    /// A cursor over the blocks.
    pub(super) fn open(&self, reader: &InvertedIndexReader, option: IndexRecordOption) -> Result<Cursor> {
        Ok(match self {
            Postings::Stored(info) => {
                Cursor::Stored(Box::new(reader.read_block_postings_from_terminfo(info, option).map_err(TantivyError::from)?))
            }
            Postings::Merged(docs, frequencies) => Cursor::Merged { docs: docs.clone(), frequencies: frequencies.clone(), at: 0 },
        })
    }
}

/// Moves forward over the blocks of a list.
pub(super) enum Cursor {
    /// Over tantivy's.
    Stored(Box<BlockSegmentPostings>),
    /// Over those of several terms, from `at`.
    Merged { docs: Arc<[u32]>, frequencies: Arc<[u32]>, at: usize },
}

impl Cursor {
    /// The documents of the block, ascending; empty at the end.
    #[inline]
    pub(super) fn docs(&self) -> &[u32] {
        match self {
            Cursor::Stored(postings) => postings.docs(),
            Cursor::Merged { docs, at, .. } => docs.get(*at..docs.len().min(at + POSTINGS)).unwrap_or_default(),
        }
    }

    /// Their frequencies, where they were asked for.
    #[inline]
    pub(super) fn frequencies(&self) -> &[u32] {
        match self {
            Cursor::Stored(postings) => postings.freqs(),
            Cursor::Merged { frequencies, at, .. } => {
                frequencies.get(*at..frequencies.len().min(at + POSTINGS)).unwrap_or_default()
            }
        }
    }

    /// Moves to the next block.
    #[inline]
    pub(super) fn advance(&mut self) {
        match self {
            Cursor::Stored(postings) => postings.advance(),
            Cursor::Merged { docs, at, .. } => *at = docs.len().min(*at + POSTINGS),
        }
    }

    /// Moves to the block that has the first document not before `target`, and says where in it that one is.
    #[inline]
    pub(super) fn seek(&mut self, target: u32) -> usize {
        match self {
            Cursor::Stored(postings) => postings.seek(target),
            Cursor::Merged { docs, at, .. } => {
                let to = docs.partition_point(|doc| *doc < target);
                if to >= *at + POSTINGS {
                    *at = to / POSTINGS * POSTINGS;
                }
                to.saturating_sub(*at)
            }
        }
    }

    /// How often a document has the word; documents are asked for in ascending order.
    #[inline]
    pub(super) fn frequency(&mut self, doc: u32) -> u32 {
        let at = self.seek(doc);
        if self.docs().get(at) == Some(&doc) { self.frequencies().get(at).copied().unwrap_or_default() } else { 0 }
    }
}

/// The lists of a segment, by the names of their words.
pub(super) struct Lists {
    known: RwLock<HashMap<Box<str>, Arc<WordList>>>,
    bytes: AtomicUsize,
    most: usize,
}

impl Lists {
    /// For a segment of so many chunks.
    pub(super) fn new(chunks: usize) -> Lists {
        let most = MAX_LIST_BYTES + MAX_LIST_BYTES_PER_CHUNK * chunks;
        Lists { known: RwLock::default(), bytes: AtomicUsize::new(0), most }
    }

    /// The list of a word, made by `read` on first use.
    pub(super) fn get(&self, name: &str, read: impl FnOnce() -> Result<Option<WordList>>) -> Result<Option<Arc<WordList>>> {
        if let Some(list) = self.known.read().get(name) {
            list.used.store(true, Ordering::Relaxed);
            return Ok(Some(list.clone()));
        }
        let Some(list) = read()?.map(Arc::new) else { return Ok(None) };
        let bytes = name.len() + 64 + list.bytes();
        let mut known = self.known.write();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.most {
            // Those that were not asked for since the last time go; where that is not enough, all do.
            known.retain(|_, list| list.used.swap(false, Ordering::Relaxed));
            let mut left = known.iter().map(|(name, list)| name.len() + 64 + list.bytes()).sum::<usize>();
            if left > self.most / 4 * 3 {
                known.clear();
                left = 0;
            }
            self.bytes.store(left + bytes, Ordering::Relaxed);
        }
        known.insert(name.into(), list.clone());
        Ok(Some(list))
    }
}
