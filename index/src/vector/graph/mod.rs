//! A graph beside a large segment: for each row its nearest rows, so that a search steps towards the query.
//!
//! It is an HNSW graph (Malkov & Yashunin, 2018). The `hnsw_rs` crate builds it ([`mod@build`]); what is kept is a flat file of
//! neighbour lists ([`mod@file`]) with a search of our own ([`mod@walk`]). It is derived from the segment and belongs to it alone:
//! without it the segment is scanned.

mod build;
mod file;
mod walk;

pub(super) use build::build;
pub(super) use file::{Graph, path};
pub(super) use walk::{Walk, walk};

/// Segments with fewer rows have no graph, which today is all of them: with four graphs of 262,144 rows a walk over 1,000,000
/// rows took what the scan took (2.5 and 2.7 ms) and found less (recall@10 0.987 and 0.997), and each graph cost a core for
/// four minutes. What a walk costs hardly grows with the rows, so larger segments would need theirs.
pub(super) const MIN_GRAPH_ROWS: u32 = 1_048_576;
/// Neighbours of a row on the upper levels; twice as many on the lowest.
const LINKS: usize = 16;
/// Candidates that are considered as neighbours of a row.
const BUILD_CANDIDATES: usize = 150;
