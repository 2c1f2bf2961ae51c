//! Builds a graph with `hnsw_rs`, from one thread, and takes its neighbour lists out.
//!
//! Read in the source of 0.3.5: inserting in parallel can deadlock, and its dumps end the process when they are damaged, so
//! neither is used. It keeps some 4 KB a row while it builds.

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;

use super::file::{Graph, Lists};
use super::{BUILD_CANDIDATES, LINKS};
use crate::error::Result;
use crate::vector::quantize;
use crate::vector::segment::Segment;
use crate::vector::snapshot::VectorSnapshot;

const MAX_LEVELS: usize = 16;
/// Rows between two questions whether to go on.
const PACE_ROWS: u32 = 256;
/// Rows are inserted in steps of this prime, since neighbours in a segment share their readers and often their topic.
const STRIDE: u64 = 1_000_003;

/// Compares int8 codes.
#[derive(Clone, Copy, Debug, Default)]
struct CodeDistance;

impl Distance<u8> for CodeDistance {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        quantize::distance(a, b)
    }
}

/// Builds the graph of a segment and writes its file. `None` when `go_on` said no, or a row has no code.
pub(in crate::vector) fn build(
    segment: &Segment,
    vectors: &VectorSnapshot,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<Graph>> {
    let rows = segment.len();
    let graph = Hnsw::<u8, CodeDistance>::new(LINKS, rows as usize, MAX_LEVELS, BUILD_CANDIDATES, CodeDistance);
    for step in 0..rows {
        if step % PACE_ROWS == 0 && !go_on() {
            return Ok(None);
        }
        let at = (u64::from(step) * STRIDE % u64::from(rows)) as u32;
        let chunk = segment.chunks().get(at as usize).map(|chunk| u32::from_le_bytes(*chunk));
        let Some(code) = chunk.and_then(|chunk| vectors.code(chunk)) else { return Ok(None) };
        graph.insert_slice((code, at as usize));
    }
    Graph::write(segment, &lists(&graph, rows)).map(Some)
}

/// The neighbour lists of a graph, nearest first.
fn lists(graph: &Hnsw<'_, u8, CodeDistance>, rows: u32) -> Lists {
    let points = graph.get_point_indexation();
    let top = graph.get_max_level_observed();
    let mut lists = Lists::new(rows, usize::from(top));
    for level in 0..=top {
        for point in points.get_layer_iterator(usize::from(level)) {
            let at = point.get_origin_id() as u32;
            let by_level = point.get_neighborhood_id();
            for (on, neighbours) in (0..=level).zip(by_level) {
                // A list may name rows that do not reach up to its level; there they lead nowhere.
                let mut reaching: Vec<_> = neighbours.into_iter().filter(|neighbour| neighbour.p_id.0 >= on).collect();
                reaching.sort_by(|a, b| a.get_distance().total_cmp(&b.get_distance()));
                lists.set(usize::from(on), at, reaching.iter().map(|neighbour| neighbour.get_origin_id() as u32));
            }
            if level == top {
                lists.entry = at;
            }
        }
    }
    lists
}
