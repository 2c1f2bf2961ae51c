//! A graph over all rows that have clusters: each is linked to rows that are like it, so that a search steps from row to row.
//!
//! It is for callers who may read much. Links are found among the clusters of the segments ([`mod@build`]), kept by chunk number
//! ([`mod@file`]), and followed from the best rows of the clusters that are nearest to the query ([`mod@walk`]): clusters alone need
//! one row in ten to be read, since questions are not much like any centre, and a graph alone misses passages that only their own
//! copies are linked to. It is derived, and one for all segments: four graphs of a quarter of the rows each take nearly four times as
//! long. What it does not hold, and whoever may read little, is searched without it.

mod build;
mod file;
mod walk;

pub(super) use build::build;
pub(super) use file::{Graph, path};
pub(super) use walk::walk;

/// Rows that a row is linked to, at most.
const LINKS: usize = 24;
/// Where there is no row.
const NONE: u32 = u32::MAX;
