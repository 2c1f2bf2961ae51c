//! The exact answer without reading every vector.
//!
//! Each row's int8 code gives an interval that its score is in. A row whose interval ends below the `limit`-th highest
//! beginning of an interval cannot be among the best; all others are scored by their full vectors.

use super::cut::Judged;
use super::quantize::QueryCode;
use super::search::AHEAD_ROWS;
use super::snapshot::VectorSnapshot;
use crate::prefetch::prefetch;

/// Rows that are kept before those that cannot win any more are dropped.
const ROOM: usize = 4_096;

/// Candidates that are considered at a time.
const PIECE: usize = 64;

/// An exact search under way.
pub(super) struct Exact<'a> {
    vectors: &'a VectorSnapshot,
    query: &'a [f32],
    code: &'a QueryCode,
    limit: usize,
    kept: Vec<Interval>,
    /// The `limit`-th highest lower end among the rows seen when it was last computed.
    floor: f64,
    room: usize,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    low: f64,
    high: f64,
    chunk: u32,
}

impl<'a> Exact<'a> {
    /// Looks for the best `limit` rows.
    pub(super) fn new(vectors: &'a VectorSnapshot, query: &'a [f32], code: &'a QueryCode, limit: usize) -> Exact<'a> {
        let room = ROOM.max(4 * limit);
        Exact { vectors, query, code, limit, kept: Vec::new(), floor: f64::NEG_INFINITY, room }
    }

    /// Considers rows; `admits` is asked only of those that can win, by their place in `chunks` and their number.
    pub(super) fn offer(&mut self, chunks: &[u32], admits: impl Fn(usize, u32) -> bool) {
        let mut ahead = chunks.iter().skip(AHEAD_ROWS);
        for (place, chunk) in chunks.iter().enumerate() {
            prefetch(ahead.next().and_then(|chunk| self.vectors.code(*chunk)).unwrap_or_default());
            let (estimate, error) = self.vectors.code(*chunk).map_or((0.0, f64::INFINITY), |row| self.code.estimate(row));
            if estimate + error >= self.floor && admits(place, *chunk) {
                self.kept.push(Interval { low: estimate - error, high: estimate + error, chunk: *chunk });
                if self.kept.len() >= self.room {
                    self.drop_losers();
                    // Where many rows are alike few can be dropped; the work stays proportional to the rows.
                    self.room = self.room.max(2 * self.kept.len());
                }
            }
        }
    }

    /// Considers candidates, the closest by their signs first, until `patience` of them in a row cannot be among the best `sure`.
    /// Those that are equally close are considered together, so that it does not matter in which order they came.
    pub(super) fn offer_by_distance(&mut self, candidates: &mut [Judged], patience: usize, sure: usize) {
        candidates.sort_unstable_by_key(|(distance, _)| *distance);
        let mut chunks = Vec::new();
        let mut in_vain = 0;
        for alike in candidates.chunk_by(|a, b| a.0 == b.0) {
            chunks.extend(alike.iter().map(|(_, chunk)| *chunk));
            if chunks.len() >= PIECE {
                let before = self.kept.len();
                self.offer(&chunks, |_, _| true);
                let highest = self.kept.get(before..).unwrap_or(&self.kept).iter().map(|kept| kept.high).fold(f64::MIN, f64::max);
                self.drop_losers();
                in_vain = if highest >= self.lowest_of(sure) { 0 } else { in_vain + chunks.len() };
                if in_vain >= patience {
                    return;
                }
                chunks.clear();
            }
        }
        self.offer(&chunks, |_, _| true);
    }

    /// The best rows with their scores, best first; equal scores by `order`.
    pub(super) fn finish(mut self, order: impl Fn(u32) -> u64) -> Vec<(u32, f32)> {
        self.drop_losers();
        let chunks: Vec<u32> = self.kept.iter().map(|kept| kept.chunk).collect();
        self.vectors.scored(&chunks, self.query, self.limit, order)
    }

    fn drop_losers(&mut self) {
        let floor = self.lowest_of(self.limit).max(self.floor);
        self.floor = floor;
        self.kept.retain(|kept| kept.high >= floor);
    }

    /// The `count`-th highest lower end of what is kept; the lowest number where less is kept.
    fn lowest_of(&mut self, count: usize) -> f64 {
        let Some(at) = count.checked_sub(1).filter(|at| *at < self.kept.len()) else { return f64::NEG_INFINITY };
        let (_, last, _) = self.kept.select_nth_unstable_by(at, |a, b| b.low.total_cmp(&a.low));
        last.low
    }
}
