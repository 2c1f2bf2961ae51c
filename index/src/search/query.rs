//! What is asked, and its limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arrange::{Recency, Sort};
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
    /// How well the model of the vectors knows the query's language, 0 to 1; `None` is 1. Hybrid search relies on vectors as
    /// far as that.
    pub fluency: Option<f32>,
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
    /// The order of hits.
    pub sort: Sort,
    /// How scores fall with age, whatever the sources' policies say.
    pub recency: Option<Recency>,
    /// The most hits of one document.
    pub per_document: Option<usize>,
    /// Whether a passage that is nearly the same as a better hit is only named with that hit.
    pub collapse_duplicates: bool,
    /// 0 to 1: how much a hit should differ from those before it.
    pub diversity: f32,
    /// What is set for sources, by their ids.
    pub policies: Arc<BTreeMap<String, SourcePolicy>>,
}

/// What is set for one source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SourcePolicy {
    /// How scores of its passages fall with age.
    pub recency: Option<Recency>,
    /// After how many seconds without being seen in the source a document makes an answer carry a warning.
    pub stale_after_seconds: Option<u64>,
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
    /// True when more candidates than hits have to be looked at.
    pub(super) fn arranges(&self) -> bool {
        self.sort != Sort::Relevance
            || self.recency.is_some()
            || self.per_document.is_some()
            || self.collapse_duplicates
            || self.diversity > 0.0
            || self.policies.values().any(|policy| policy.recency.is_some())
    }

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
        if self.per_document == Some(0) {
            return Err(Error::invalid("per_document", "at least 1 is expected"));
        }
        if !(0.0..=1.0).contains(&self.diversity) {
            return Err(Error::invalid("diversity", "0 to 1 is expected"));
        }
        if self.diversity > 0.0 && self.sort != Sort::Relevance {
            return Err(Error::invalid("diversity", "it decides the order, so it goes with `sort` by relevance only"));
        }
        if let Some(recency) = &self.recency
            && (recency.half_life_seconds == 0 || !(0.0..=1.0).contains(&recency.weight))
        {
            return Err(Error::invalid("recency", "a half-life of at least one second and a weight of 0 to 1 are expected"));
        }
        if let Some(vector) = &self.vector {
            crate::vector::normalized(vector, dimensions)?;
        }
        Ok(())
    }
}
