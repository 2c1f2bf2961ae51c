//! What is asked, and its limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// The longest query, in bytes.
pub const MAX_QUERY_BYTES: usize = 8 << 10;
/// The most hits that one search returns.
pub const MAX_LIMIT: usize = 1000;
/// The most neighbouring chunks on each side of a hit.
pub const MAX_NEIGHBORS: u32 = 10;

/// Which halves of the index answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Keywords and vectors, fused.
    #[default]
    Hybrid,
    /// BM25 alone.
    Keyword,
    /// Vectors alone.
    Vector,
}

/// One question.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The words; `"exact phrase"`, `+required`, `-excluded` and `prefix*` are understood.
    pub text: String,
    /// Their vector. Without one, hybrid degrades to keyword with a warning.
    pub vector: Option<Vec<f32>>,
    /// Which halves answer.
    pub mode: Mode,
    /// The most hits to return, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// What to leave out beside what the caller may not read.
    pub filter: Filter,
    /// The lowest epoch that the answer may be of.
    pub min_epoch: Option<u64>,
    /// Whether to say why each hit is visible.
    pub why: bool,
    /// Whether vectors are compared exactly, which costs more; else at least 98 of 100 results are those of an exact comparison.
    pub exact: bool,
    /// How many chunks before and after a hit to return with it, within its section.
    pub neighbors: u32,
}

/// Narrows a search. It changes which hits are returned and never how they are scored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these sources.
    pub sources: Option<Vec<String>>,
    /// Only documents with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Only documents modified after this time, to the second; where the source gave no time, when they came in counts.
    pub modified_after: Option<Timestamp>,
}

impl Query {
    /// Refuses what is out of bounds.
    pub(super) fn check(&self, dimensions: usize) -> Result<()> {
        if self.text.trim().is_empty() {
            return Err(Error::invalid("query", "it is empty; ask something"));
        }
        if self.text.len() > MAX_QUERY_BYTES {
            return Err(Error::invalid("query", format!("{} bytes, at most {MAX_QUERY_BYTES} are allowed", self.text.len())));
        }
        if self.limit == 0 || self.limit > MAX_LIMIT {
            return Err(Error::invalid("limit", format!("1 to {MAX_LIMIT} are allowed")));
        }
        if self.neighbors > MAX_NEIGHBORS {
            return Err(Error::invalid("neighbors", format!("at most {MAX_NEIGHBORS} are allowed")));
        }
        if let Some(vector) = &self.vector {
            crate::vector::normalized(vector, dimensions)?;
        }
        Ok(())
    }
}
