//! What a segment knows of a word: where its postings are, and of one that many documents have, what [`super::dense`] keeps.
//!
//! The latter is made on the first use of the word by one pass over its postings, independent of any caller, and kept within a
//! bound.

use std::sync::Arc;

use tantivy::TantivyError;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;

use super::bm25::norms;
use super::dense::Dense;
use super::kept::Bytes;
use super::packed::{Packed, PackedCursor};
use super::segment::Spread;
use crate::error::Result;

/// Postings that tantivy decodes at once.
pub(super) const POSTINGS: usize = 128;

/// A word in one segment.
pub(super) struct WordList {
    /// How many documents have the word, alive or not.
    pub(super) len: u32,
    /// Which ones.
    pub(super) documents: Documents,
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
    /// Of several terms that count as one word.
    Merged(Arc<Packed>),
}

impl WordList {
    /// The list of a term of the dictionary.
    pub(super) fn stored(reader: &InvertedIndexReader, info: TermInfo, lengths: &[u8], spread: Spread) -> Result<WordList> {
        WordList::new(info.doc_freq, Postings::Stored(info), reader, lengths, spread)
    }

    /// The list of several terms as one word.
    pub(super) fn merged(reader: &InvertedIndexReader, postings: Packed, lengths: &[u8], spread: Spread) -> Result<WordList> {
        WordList::new(postings.len, Postings::Merged(Arc::new(postings)), reader, lengths, spread)
    }

    /// Where the documents are many, the postings are read and given up.
    fn new(len: u32, postings: Postings, reader: &InvertedIndexReader, lengths: &[u8], spread: Spread) -> Result<WordList> {
        let Some(mut dense) = Dense::room(len, lengths.len()) else {
            return Ok(WordList { len, documents: Documents::Sparse(postings) });
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
        Ok(WordList { len, documents: Documents::Dense(dense) })
    }

    /// How many blocks of postings there are.
    pub(super) fn blocks(&self) -> usize {
        self.len as usize / POSTINGS + 1
    }
}

impl Bytes for WordList {
    fn bytes(&self) -> usize {
        let documents = match &self.documents {
            Documents::Dense(dense) => dense.bytes(),
            Documents::Sparse(Postings::Merged(packed)) => packed.bytes(),
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
            Postings::Merged(packed) => {
                Cursor::Merged(Box::new(PackedCursor::new(packed.clone(), option != IndexRecordOption::Basic)))
            }
        })
    }
}

/// Moves forward over the blocks of a list.
pub(super) enum Cursor {
    /// Over tantivy's.
    Stored(Box<BlockSegmentPostings>),
    /// Over those of several terms.
    Merged(Box<PackedCursor>),
}

impl Cursor {
    /// The documents of the block, ascending; empty at the end.
    #[inline]
    pub(super) fn docs(&self) -> &[u32] {
        match self {
            Cursor::Stored(postings) => postings.docs(),
            Cursor::Merged(packed) => packed.numbers(),
        }
    }

    /// Their frequencies, where they were asked for.
    #[inline]
    pub(super) fn frequencies(&self) -> &[u32] {
        match self {
            Cursor::Stored(postings) => postings.freqs(),
            Cursor::Merged(packed) => packed.frequencies(),
        }
    }

    /// Moves to the next block.
    #[inline]
    pub(super) fn advance(&mut self) {
        match self {
            Cursor::Stored(postings) => postings.advance(),
            Cursor::Merged(packed) => packed.advance(),
        }
    }

    /// Moves to the block that has the first document not before `target`, and says where in it that one is.
    #[inline]
    pub(super) fn seek(&mut self, target: u32) -> usize {
        match self {
            Cursor::Stored(postings) => postings.seek(target),
            Cursor::Merged(packed) => packed.seek(target),
        }
    }

    /// How often a document has the word; documents are asked for in ascending order.
    #[inline]
    pub(super) fn frequency(&mut self, doc: u32) -> u32 {
        let at = self.seek(doc);
        if self.docs().get(at) == Some(&doc) { self.frequencies().get(at).copied().unwrap_or_default() } else { 0 }
    }
}
