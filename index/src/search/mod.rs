//! Search: candidates from keywords and vectors over what the caller may read, fused, re-checked and cited.

mod fuse;
mod nearest;
mod query;
mod rank;
mod run;

pub use query::{Filter, MAX_LIMIT, MAX_NEIGHBORS, MAX_QUERY_BYTES, Mode, Query};
pub use run::{Hit, RankedDocument, Results, Scores, Warning};
