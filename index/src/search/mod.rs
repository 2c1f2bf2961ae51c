//! Search: candidates from keywords and vectors over what the caller may read, fused, re-ranked, arranged, re-checked and cited.

mod alike;
mod arrange;
mod fuse;
mod nearest;
mod query;
mod rank;
mod rerank;
mod run;

pub use arrange::{Recency, Sort};
pub use query::{Filter, MAX_LIMIT, MAX_NEIGHBORS, MAX_QUERY_BYTES, Mode, Query, SourcePolicy};
pub use rerank::{RERANK_CANDIDATES, Scorer};
pub use run::{Hit, RankedDocument, Results, Scores, Warning};
