//! Clusters beside a sealed segment: its rows once more, grouped by the centre that they are nearest to, so that a search reads
//! the groups that are near the query and no others.
//!
//! This is an inverted file (IVF; Jégou, Douze & Schmid, 2011) over sign codes. [`mod@build`] finds the centres by spherical
//! k-means, [`mod@file`] keeps them, and [`mod@probe`] decides while it searches how many clusters it has to read. It is derived
//! from the segment and belongs to it alone: without it the segment is scanned.
//!
//! A graph (HNSW) was built and measured before. It steps from row to row, so it reads memory at random, needs more steps the
//! more is hidden, and takes a core over twenty times as long to build (figures in ARCHITECTURE.md).

mod build;
mod file;
mod probe;

pub(super) use build::build;
pub(super) use file::{Clusters, path};
pub(super) use probe::{Probe, probe};

/// Rows of a cluster, on average.
const CLUSTER_ROWS: u32 = 64;
