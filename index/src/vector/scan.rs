//! Scans sign codes for the rows that are closest to a query.

use std::ops::Range;

use super::cut::{Judged, cut};
use super::kernels::{BLOCK_ROWS, Found, WORD_DIMENSIONS, kernels};
use super::quantize::QueryCode;
use super::search::{AHEAD_ROWS, Scope};
use super::snapshot::VectorSnapshot;
use crate::prefetch::prefetch;

/// Rows that are scanned before the limit is tightened, at most.
pub(super) const STEP_ROWS: u32 = 4_096;
/// At first it is tightened after fewer, one in so many of the rows scanned so far: of 100,000 rows some 7,000 are kept for a while, where
/// 6,500 must be.
const STEP_SHARE: u32 = 4;
const MIN_STEP_ROWS: u32 = 256;
/// How many times as many as are asked for are kept for a while.
const ROOM: usize = 4;
/// How much of the rows that come next is asked for while others are scanned.
const MAX_AHEAD_BYTES: usize = 4_096;
/// The weights of the planes of a query add up to so much.
const MOST_PER_DIMENSION: usize = 15;

/// The closest rows so far, cut over all that were scanned together, so that their order does not matter.
pub(super) struct Near<'a> {
    scope: &'a Scope<'a>,
    keep: usize,
    kept: Vec<Judged>,
    /// Rows beyond this distance are not among the closest.
    limit: u32,
    /// How many rows are kept at each distance up to the limit, and in all.
    counts: Vec<u32>,
    within: usize,
    whole: bool,
    scanned: u32,
    block_bytes: usize,
    found: Vec<Found>,
}

impl<'a> Near<'a> {
    /// Looks for the `keep` closest rows.
    pub(super) fn new(scope: &'a Scope<'a>, code: &QueryCode, keep: usize) -> Near<'a> {
        let most = code.planes.len() * WORD_DIMENSIONS * MOST_PER_DIMENSION;
        Near {
            scope,
            keep: keep.max(1),
            kept: Vec::with_capacity(2 * keep),
            limit: most as u32,
            counts: vec![0; most + 1],
            within: 0,
            whole: true,
            scanned: 0,
            block_bytes: code.planes.len() * BLOCK_ROWS * 8,
            found: Vec::new(),
        }
    }

    /// Scans some rows of `blocks`. `chunk_of` gives the chunk of a row, when the caller may read it.
    pub(super) fn scan(&mut self, code: &QueryCode, blocks: &[u8], rows: Range<u32>, chunk_of: impl Fn(u32) -> Option<u32>) {
        let mut found = std::mem::take(&mut self.found);
        let mut first = rows.start / BLOCK_ROWS as u32 * BLOCK_ROWS as u32;
        while first < rows.end {
            let step = (self.scanned / STEP_SHARE).clamp(MIN_STEP_ROWS, STEP_ROWS);
            let end = rows.end.min(first + step).next_multiple_of(BLOCK_ROWS as u32);
            (kernels().scan)(&code.planes, self.bytes(blocks, first..end), self.limit, &mut found);
            for row in found.drain(..) {
                let at = first + row.at;
                // The limit may have fallen since the row was found.
                if row.distance <= self.limit
                    && rows.contains(&at)
                    && let Some(chunk) = chunk_of(at).filter(|chunk| (self.scope.wanted)(*chunk))
                {
                    self.keep(row.distance, chunk);
                }
            }
            self.scanned += end - first;
            first = end;
        }
        self.found = found;
    }

    #[inline]
    fn keep(&mut self, distance: u32, chunk: u32) {
        self.kept.push((distance, chunk));
        self.counts.get_mut(distance as usize).into_iter().for_each(|count| *count += 1);
        self.within += 1;
        if self.kept.len() <= self.keep {
            return;
        }
        self.whole = false;
        while self.limit > 0
            && let Some(farthest) = self.counts.get(self.limit as usize)
            && self.within - *farthest as usize >= self.keep
        {
            self.within -= *farthest as usize;
            self.limit -= 1;
        }
        if self.kept.len() >= ROOM * self.keep {
            self.cut();
        }
    }

    /// Asks for rows that are scanned next: the processor cannot know where they are.
    pub(super) fn prefetch(&self, blocks: &[u8], rows: &Range<u32>) {
        let bytes = self.bytes(blocks, rows.start / BLOCK_ROWS as u32 * BLOCK_ROWS as u32..rows.end);
        prefetch(bytes.get(..MAX_AHEAD_BYTES).unwrap_or(bytes));
    }

    /// The closest rows so far, and some more.
    pub(super) fn kept(&self) -> &[Judged] {
        &self.kept
    }

    /// Takes back what was found since these were kept.
    pub(super) fn restore(&mut self, kept: Vec<Judged>) {
        self.limit = self.counts.len() as u32 - 1;
        self.counts.fill(0);
        self.within = 0;
        self.kept.clear();
        kept.into_iter().for_each(|(distance, chunk)| self.keep(distance, chunk));
    }

    /// Notes that not every row was scanned.
    pub(super) fn left_out(&mut self) {
        self.whole = false;
    }

    /// What the `count` closest rows so far score by their int8 codes.
    pub(super) fn judged(&self, vectors: &VectorSnapshot, code: &QueryCode, count: usize) -> Vec<f32> {
        let mut closest = self.kept.clone();
        cut(&mut closest, count, self.scope.order);
        let mut ahead = closest.iter().skip(AHEAD_ROWS);
        let score = |(_, chunk): &Judged| {
            prefetch(ahead.next().and_then(|(_, chunk)| vectors.code(*chunk)).unwrap_or_default());
            vectors.code(*chunk).map_or(f32::NEG_INFINITY, |row| code.estimate(row).0 as f32)
        };
        closest.iter().map(score).collect()
    }

    /// The closest rows, in no particular order, and whether they are all there are.
    pub(super) fn finish(mut self) -> (Vec<Judged>, bool) {
        self.cut();
        (self.kept, self.whole)
    }

    /// Keeps as many as are asked for.
    fn cut(&mut self) {
        cut(&mut self.kept, self.keep, self.scope.order);
        // What was cut at a lower distance than the limit was none, and what lies beyond it was not counted any more.
        let cut = self.within.saturating_sub(self.kept.len());
        self.counts.get_mut(self.limit as usize).into_iter().for_each(|count| *count -= cut as u32);
        self.within -= cut;
    }

    /// The blocks of some rows, of which the first begins one.
    fn bytes<'b>(&self, blocks: &'b [u8], rows: Range<u32>) -> &'b [u8] {
        let at = |row: usize| row / BLOCK_ROWS * self.block_bytes;
        blocks.get(at(rows.start as usize)..at((rows.end as usize).next_multiple_of(BLOCK_ROWS))).unwrap_or_default()
    }
}
