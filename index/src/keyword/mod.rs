//! Keyword search: analysis, the index of chunks, and BM25 over what the caller may read.
//!
//! The index is derived from the catalog. It knows nothing of documents or ACLs: what a permit admits is a bitmap over it,
//! made from the classes of chunks. Scores and statistics come from permitted chunks alone.

mod analyze;
mod bm25;
mod bounds;
mod by_class;
mod clause;
mod dense;
mod few;
mod index;
mod kept;
mod lists;
mod merge;
mod packed;
mod query;
mod ranking;
mod readable;
mod segment;
#[cfg(test)]
mod tests;
mod top;
mod verify;

#[doc(hidden)]
pub use analyze::analyzed;
pub(crate) use analyze::{Language, fold, is_paired, matches, terms_in, words};
pub(crate) use bm25::Corpus;
pub(crate) use index::{Indexed, KeywordIndex, KeywordSnapshot, indexed_terms};
pub(crate) use query::{Question, plain_words};
pub(crate) use ranking::Ranking;
pub(crate) use verify::{Fingerprints, fingerprints};
