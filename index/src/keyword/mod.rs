//! Keyword search: analysis, the tantivy index of chunks, and BM25 over what the caller may read.
//!
//! The index is derived from the catalog. It knows nothing of documents or ACLs: one tantivy document is one chunk, and
//! every posting is checked against the permit while it is scored.

mod analyze;
mod bm25;
mod index;

pub(crate) use analyze::{matches, terms};
pub(crate) use bm25::{Collected, Corpus, collect};
pub(crate) use index::{KeywordIndex, KeywordSnapshot, indexed_terms};
