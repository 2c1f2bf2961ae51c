//! Searching vectors: the nearest chunks that the caller may read.
//!
//! The fast way compares sign codes of the permitted rows, keeps [`MIN_CANDIDATES`] or [`CANDIDATES_PER_RESULT`] for each
//! result wanted, ranks those by int8 codes and the best of them by their full vectors. Candidates are cut over all rows
//! together and ties are broken by the chunks' order, so the answer depends on nothing but the permitted rows. When nothing
//! had to be cut, and when asked to, the answer is exact: see [`super::exact`].

use std::ops::Range;

use super::cut::{Judged, cut, descending};
use super::exact::Exact;
use super::graph::walk;
use super::held::Held;
use super::kernels::{BLOCK_ROWS, Found, kernels, prefetch};
use super::planner;
use super::quantize::QueryCode;
use super::snapshot::VectorSnapshot;
use crate::access::{Bits, ClassNo};
use crate::rows::Rows;

/// Candidates that the sign codes leave, at least. With 800, recall@10 was 0.982 in the worst case measured (1,000,000 perturbed
/// passages, of which the half was permitted that the query is not about), too close to the promised 0.98.
const MIN_CANDIDATES: usize = 1_200;
/// Candidates that the sign codes leave for each result that is wanted.
const CANDIDATES_PER_RESULT: usize = 8;
/// Candidates that the int8 codes leave, at least.
const MIN_FINALISTS: usize = 64;
/// Candidates that the int8 codes leave for each result that is wanted.
const FINALISTS_PER_RESULT: usize = 4;
/// Rows that are scanned before the limit is tightened.
const STEP_ROWS: u32 = 4_096;
/// How much of the next run is asked for while one is scanned.
const MAX_RUN_AHEAD_BYTES: usize = 4_096;
/// Rows whose bytes are asked for ahead.
pub(super) const AHEAD_ROWS: usize = 8;

/// Which rows a search may find.
pub(crate) struct Scope<'a> {
    /// The classes that the caller may read and the filter admits.
    pub(crate) permitted: &'a Bits,
    /// The class of each chunk now.
    pub(crate) classes: &'a Rows<ClassNo>,
    /// Breaks ties.
    pub(crate) order: &'a dyn Fn(u32) -> u64,
    /// What else must hold of a chunk.
    pub(crate) wanted: &'a dyn Fn(u32) -> bool,
}

impl Scope<'_> {
    fn admits(&self, class: Option<ClassNo>, chunk: u32) -> bool {
        class.is_some_and(|class| self.permitted.contains(class)) && (self.wanted)(chunk)
    }
}

impl VectorSnapshot {
    /// The `limit` chunks nearest to a query of length 1, best first, with their scores; equal scores by the scope's order.
    /// With `exact` they are those of a comparison with every vector, else at least 98 of 100 are (measured).
    pub(crate) fn search(&self, scope: &Scope<'_>, query: &[f32], limit: usize, exact: bool) -> Vec<(u32, f32)> {
        if query.len() != self.dimensions() || limit == 0 {
            return Vec::new();
        }
        let code = QueryCode::new(query);
        if exact {
            let mut search = Exact::new(self, query, &code, limit);
            self.each_row(scope, |chunks, admits| search.offer(chunks, admits));
            return search.finish(scope.order);
        }
        let keep = MIN_CANDIDATES.max(CANDIDATES_PER_RESULT * limit);
        let Near { kept: mut candidates, whole, walked, .. } = self.near(scope, &code, keep, limit);
        if whole {
            let mut search = Exact::new(self, query, &code, limit);
            let chunks: Vec<u32> = candidates.into_iter().map(|(_, chunk)| chunk).collect();
            search.offer(&chunks, |_, _| true);
            return search.finish(scope.order);
        }
        self.judge(&mut candidates, query, &code);
        candidates.extend(walked);
        cut(&mut candidates, MIN_FINALISTS.max(FINALISTS_PER_RESULT * limit), scope.order);
        self.scored(candidates.into_iter().map(|(_, chunk)| chunk), query, limit, scope.order)
    }

    /// The nearest of some chunks that have vectors, exactly; equal scores by `order`.
    pub(crate) fn nearest(&self, chunks: &[u32], query: &[f32], limit: usize, order: impl Fn(u32) -> u64) -> Vec<(u32, f32)> {
        if query.len() != self.dimensions() || limit == 0 {
            return Vec::new();
        }
        let code = QueryCode::new(query);
        let mut search = Exact::new(self, query, &code, limit);
        search.offer(chunks, |_, _| true);
        search.finish(order)
    }

    /// These chunks by their full vectors, the best `limit` of them, best first.
    pub(super) fn scored(
        &self,
        chunks: impl Iterator<Item = u32>,
        query: &[f32],
        limit: usize,
        order: impl Fn(u32) -> u64,
    ) -> Vec<(u32, f32)> {
        let mut scored: Vec<(u32, u64, u32, f32)> = chunks
            .filter_map(|chunk| self.similarity(chunk, query).map(|score| (chunk, score)))
            .map(|(chunk, score)| (descending(score), order(chunk), chunk, score))
            .collect();
        scored.sort_unstable_by_key(|(judged, order, chunk, _)| (*judged, *order, *chunk));
        scored.into_iter().take(limit).map(|(_, _, chunk, score)| (chunk, score)).collect()
    }

    /// The `keep` permitted rows whose signs are closest to the query among the segments that are scanned, and what was found
    /// in the others.
    fn near<'a>(&self, scope: &'a Scope<'a>, code: &QueryCode, keep: usize, results: usize) -> Near<'a> {
        let kept = Vec::with_capacity(2 * keep);
        let mut near = Near { scope, keep, limit: u32::MAX, kept, whole: true, walked: Vec::new() };
        let mut found: Vec<Found> = Vec::new();
        let block_bytes = code.planes.len() * BLOCK_ROWS * 8;
        let count = scope.permitted.iter().count();
        for held in self.segments() {
            let segment = &held.segment;
            let (chunks, blocks) = (segment.chunks(), segment.blocks());
            let permitted = segment.permitted(scope.permitted, count);
            if let Some(found) = self.walked(held, &permitted, scope, code, results) {
                near.walked.extend(found);
                near.whole = false;
                continue;
            }
            let mut coming = permitted.iter().skip(1);
            for rows in &permitted {
                // The processor cannot know where the next run is.
                if let Some(next) = coming.next() {
                    let start = next.start as usize / BLOCK_ROWS * block_bytes;
                    let end = (next.end as usize).div_ceil(BLOCK_ROWS) * block_bytes;
                    prefetch(blocks.get(start..end.min(start + MAX_RUN_AHEAD_BYTES)).unwrap_or_default());
                }
                let mut first = rows.start / BLOCK_ROWS as u32 * BLOCK_ROWS as u32;
                while first < rows.end {
                    let end = rows.end.min(first + STEP_ROWS).next_multiple_of(BLOCK_ROWS as u32);
                    let bytes = first as usize / BLOCK_ROWS * block_bytes..end as usize / BLOCK_ROWS * block_bytes;
                    (kernels().scan)(&code.planes, blocks.get(bytes).unwrap_or_default(), near.limit, &mut found);
                    for row in found.drain(..) {
                        let at = first + row.at;
                        if let Some(chunk) = chunks.get(at as usize).filter(|_| rows.contains(&at)) {
                            let chunk = u32::from_le_bytes(*chunk);
                            near.add(row.distance, chunk, |chunk| !held.is_stale(at) && (scope.wanted)(chunk));
                        }
                    }
                    first = end;
                }
            }
        }
        for page in self.tail().pages() {
            (kernels().scan)(&code.planes, page.blocks(), near.limit, &mut found);
            for row in found.drain(..) {
                if let Some(chunk) = page.chunks().get(row.at as usize) {
                    near.add(row.distance, *chunk, |chunk| scope.admits(self.waiting(chunk, scope.classes), chunk));
                }
            }
        }
        near.finish();
        near
    }

    /// What a walk through the graph of a segment found, as judged by int8 codes; `None` where it is to be scanned.
    fn walked(
        &self,
        held: &Held,
        permitted: &[Range<u32>],
        scope: &Scope<'_>,
        code: &QueryCode,
        results: usize,
    ) -> Option<Vec<Judged>> {
        let segment = &held.segment;
        let graph = segment.graph()?;
        let rows = permitted.iter().map(|rows| rows.end - rows.start).sum();
        let limits = planner::plan(self, segment, graph, rows, results)?;
        let mut bits = Bits::with_len(segment.len() as usize);
        permitted.iter().for_each(|rows| bits.insert_range(rows.clone()));
        let admits = |at: u32, chunk: u32| !held.is_stale(at) && (scope.wanted)(chunk);
        walk(self, segment, graph, code, limits, &bits, admits).0
    }

    /// Judges candidates by their int8 codes.
    fn judge(&self, candidates: &mut [Judged], query: &[f32], code: &QueryCode) {
        let ahead: Vec<u32> = candidates.iter().skip(AHEAD_ROWS).map(|(_, chunk)| *chunk).collect();
        let mut ahead = ahead.into_iter();
        for (judged, chunk) in candidates {
            prefetch(ahead.next().and_then(|chunk| self.code(chunk)).unwrap_or_default());
            let score = match self.code(*chunk) {
                Some(row) => code.estimate(row).0 as f32,
                None => self.similarity(*chunk, query).unwrap_or(f32::NEG_INFINITY),
            };
            *judged = descending(score);
        }
    }

    /// Hands out the chunks of all rows that may be permitted, in pieces, with whether a chunk of a piece, by its place and
    /// number, is.
    fn each_row(&self, scope: &Scope<'_>, mut each: impl FnMut(&[u32], &dyn Fn(usize, u32) -> bool)) {
        let count = scope.permitted.iter().count();
        let mut piece = Vec::with_capacity(STEP_ROWS as usize);
        for held in self.segments() {
            for rows in held.segment.permitted(scope.permitted, count) {
                let chunks = held.segment.chunks().get(rows.start as usize..rows.end as usize).unwrap_or_default();
                for (first, chunks) in (rows.start..).step_by(STEP_ROWS as usize).zip(chunks.chunks(STEP_ROWS as usize)) {
                    piece.clear();
                    piece.extend(chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)));
                    each(&piece, &|place, chunk| !held.is_stale(first + place as u32) && (scope.wanted)(chunk));
                }
            }
        }
        for page in self.tail().pages() {
            let permitted = |chunk: &&u32| scope.admits(self.waiting(**chunk, scope.classes), **chunk);
            piece.clear();
            piece.extend(page.chunks().iter().filter(permitted));
            each(&piece, &|_, _| true);
        }
    }
}

/// The closest rows so far.
struct Near<'a> {
    scope: &'a Scope<'a>,
    keep: usize,
    /// Rows beyond this distance are not among the closest.
    limit: u32,
    kept: Vec<Judged>,
    /// Whether no row was left out.
    whole: bool,
    /// Rows found by walking, as judged by their int8 codes.
    walked: Vec<Judged>,
}

impl Near<'_> {
    #[inline]
    fn add(&mut self, distance: u32, chunk: u32, admits: impl FnOnce(u32) -> bool) {
        // The limit may have fallen since the row was found.
        if distance <= self.limit && admits(chunk) {
            self.kept.push((distance, chunk));
            if self.kept.len() >= 2 * self.keep {
                self.tighten();
            }
        }
    }

    fn tighten(&mut self) {
        cut(&mut self.kept, self.keep, self.scope.order);
        self.limit = self.kept.iter().map(|(distance, _)| *distance).max().unwrap_or(u32::MAX);
        self.whole = false;
    }

    fn finish(&mut self) {
        if self.kept.len() > self.keep {
            self.tighten();
        }
    }
}
