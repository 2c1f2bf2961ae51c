//! Clusters beside a sealed segment: its rows once more, grouped by the centre that they are nearest to, so that a search reads
//! the groups that are near the query and no others.
//!
//! This is an inverted file (IVF; Jégou, Douze & Schmid, 2011) over sign codes. [`mod@build`] finds the centres by spherical
//! k-means, [`mod@file`] keeps them, and [`mod@probe`] decides while it searches how many clusters it has to read. It is derived
//! from the segment and belongs to it alone: without it the segment is scanned.
//!
//! Where all rows of a segment are in the graph, a search reads the nearest clusters only to begin a walk there (`graph`).

mod build;
mod file;
mod probe;

pub(super) use build::build;
pub(super) use file::{Clusters, path};
pub(super) use probe::{Probe, probe, read_nearest};

/// Rows of a cluster, on average.
const CLUSTER_ROWS: u32 = 64;
