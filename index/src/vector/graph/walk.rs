//! Steps through a graph towards a query.
//!
//! Rows that the caller may not read are stepped through and never returned. The walk ends when the nearest row not yet
//! looked at is farther than the worst of enough permitted ones, or gives up when it has cost what a scan would.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Graph;
use crate::access::Bits;
use crate::vector::cut::descending;
use crate::vector::kernels::prefetch;
use crate::vector::quantize::QueryCode;
use crate::vector::segment::Segment;
use crate::vector::snapshot::VectorSnapshot;

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::vector) struct Walk {
    /// Permitted rows that are looked for.
    pub(in crate::vector) wanted: usize,
    /// Rows that are looked at, at most.
    pub(in crate::vector) budget: usize,
}

/// The nearest permitted rows as (judged, chunk), and how many rows were looked at; `None` in place of rows when the budget
/// did not suffice. `admits` is asked of rows and their chunks that `permitted` holds.
pub(in crate::vector) fn walk(
    vectors: &VectorSnapshot,
    segment: &Segment,
    graph: &Graph,
    code: &QueryCode,
    limits: Walk,
    permitted: &Bits,
    admits: impl Fn(u32, u32) -> bool,
) -> (Option<Vec<(u32, u32)>>, usize) {
    let chunks = segment.chunks();
    let chunk_of = |at: u32| chunks.get(at as usize).map_or(u32::MAX, |chunk| u32::from_le_bytes(*chunk));
    let row_of = |at: u32| vectors.code(chunk_of(at)).unwrap_or_default();
    let judge = |at: u32| descending(code.estimate(row_of(at)).0 as f32);
    let mut nearest = (judge(graph.entry()), graph.entry());
    for level in (1..=graph.upper_levels()).rev() {
        while let Some(next) = graph.neighbours(level, nearest.1).map(|at| (judge(at), at)).min().filter(|next| *next < nearest) {
            nearest = next;
        }
    }
    let mut seen = Bits::with_len(graph.len() as usize);
    seen.insert(nearest.1);
    let mut open = BinaryHeap::from([Reverse(nearest)]);
    let mut found: BinaryHeap<(u32, u32)> = BinaryHeap::with_capacity(limits.wanted + 1);
    let take = |found: &mut BinaryHeap<(u32, u32)>, (judged, at): (u32, u32)| {
        if permitted.contains(at) && admits(at, chunk_of(at)) {
            found.push((judged, chunk_of(at)));
            if found.len() > limits.wanted {
                found.pop();
            }
        }
    };
    take(&mut found, nearest);
    let mut looked_at = 1;
    let mut fresh = Vec::with_capacity(64);
    while let Some(Reverse((judged, at))) = open.pop() {
        let worst = if found.len() < limits.wanted { u32::MAX } else { found.peek().map_or(u32::MAX, |worst| worst.0) };
        if judged > worst {
            break;
        }
        if looked_at > limits.budget {
            return (None, looked_at);
        }
        fresh.clear();
        fresh.extend(graph.neighbours(0, at).filter(|at| seen.insert(*at)));
        fresh.iter().for_each(|at| prefetch(row_of(*at)));
        looked_at += fresh.len();
        for at in &fresh {
            let next = (judge(*at), *at);
            if found.len() < limits.wanted || found.peek().is_some_and(|worst| next.0 < worst.0) {
                open.push(Reverse(next));
                take(&mut found, next);
            }
        }
    }
    (Some(found.into_vec()), looked_at)
}
