//! Scans sign codes for the rows that are closest to a query.

use std::ops::Range;

use super::cut::{Judged, cut};
use super::kernels::{BLOCK_ROWS, Found, kernels};
use super::quantize::QueryCode;
use super::search::{AHEAD_ROWS, Scope};
use super::snapshot::VectorSnapshot;
use crate::prefetch::prefetch;

/// Rows that are scanned before the limit is tightened.
pub(super) const STEP_ROWS: u32 = 4_096;
/// How much of the rows that come next is asked for while others are scanned.
const MAX_AHEAD_BYTES: usize = 4_096;

/// The closest rows so far, cut over all that were scanned together, so that their order does not matter.
pub(super) struct Near<'a> {
    scope: &'a Scope<'a>,
    keep: usize,
    /// Rows beyond this distance are not among the closest.
    limit: u32,
    kept: Vec<Judged>,
    whole: bool,
    block_bytes: usize,
    found: Vec<Found>,
}

impl<'a> Near<'a> {
    /// Looks for the `keep` closest rows.
    pub(super) fn new(scope: &'a Scope<'a>, code: &QueryCode, keep: usize) -> Near<'a> {
        let block_bytes = code.planes.len() * BLOCK_ROWS * 8;
        Near { scope, keep, limit: u32::MAX, kept: Vec::with_capacity(2 * keep), whole: true, block_bytes, found: Vec::new() }
    }

    /// Scans some rows of `blocks`. `chunk_of` gives the chunk of a row, when the caller may read it.
    pub(super) fn scan(&mut self, code: &QueryCode, blocks: &[u8], rows: Range<u32>, chunk_of: impl Fn(u32) -> Option<u32>) {
        let mut found = std::mem::take(&mut self.found);
        let mut first = rows.start / BLOCK_ROWS as u32 * BLOCK_ROWS as u32;
        while first < rows.end {
            let end = rows.end.min(first + STEP_ROWS).next_multiple_of(BLOCK_ROWS as u32);
            (kernels().scan)(&code.planes, self.bytes(blocks, first..end), self.limit, &mut found);
            for row in found.drain(..) {
                let at = first + row.at;
                // The limit may have fallen since the row was found.
                if row.distance <= self.limit
                    && rows.contains(&at)
                    && let Some(chunk) = chunk_of(at).filter(|chunk| (self.scope.wanted)(*chunk))
                {
                    self.kept.push((row.distance, chunk));
                    if self.kept.len() >= 2 * self.keep {
                        self.tighten();
                    }
                }
            }
            first = end;
        }
        self.found = found;
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
        self.kept = kept;
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
        if self.kept.len() > self.keep {
            self.tighten();
        }
        (self.kept, self.whole)
    }

    fn tighten(&mut self) {
        cut(&mut self.kept, self.keep, self.scope.order);
        self.limit = self.kept.iter().map(|(distance, _)| *distance).max().unwrap_or(u32::MAX);
        self.whole = false;
    }

    /// The blocks of some rows, of which the first begins one.
    fn bytes<'b>(&self, blocks: &'b [u8], rows: Range<u32>) -> &'b [u8] {
        let at = |row: usize| row / BLOCK_ROWS * self.block_bytes;
        blocks.get(at(rows.start as usize)..at((rows.end as usize).next_multiple_of(BLOCK_ROWS))).unwrap_or_default()
    }
}
