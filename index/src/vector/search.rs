//! Searching vectors: the nearest chunks that the caller may read.
//!
//! The fast way compares sign codes of the permitted rows, keeps [`MIN_CANDIDATES`] or [`CANDIDATES_PER_RESULT`] for each
//! result wanted, ranks those by int8 codes and the best of them by their full vectors. Candidates are cut over all rows
//! together and ties are broken by the chunks' order, so the answer depends on nothing but the permitted rows. When nothing
//! had to be cut, and when asked to, the answer is exact: see [`super::exact`].

use std::ops::Range;

use super::clusters::{Probe, probe};
use super::cut::{Judged, descending};
use super::exact::Exact;
use super::held::Held;
use super::quantize::QueryCode;
use super::scan::{Near, STEP_ROWS};
use super::snapshot::VectorSnapshot;
use crate::access::{Bits, ClassNo};
use crate::rows::Rows;

/// Candidates that the sign codes leave, at least. With 800, recall@10 was 0.982 in the worst case measured (1,000,000 perturbed
/// passages, of which the half was permitted that the query is not about), too close to the promised 0.98.
const MIN_CANDIDATES: usize = 1_200;
/// Candidates that the sign codes leave for each result that is wanted.
const CANDIDATES_PER_RESULT: usize = 8;
/// Candidates that follow each other by distance and of which none may be among the results that matter most, at least, before
/// the others are left out.
const PATIENCE: usize = 256;
/// Segments of which the caller may read at least one row in so many are probed. Where it is one in four, scanning them is as
/// fast and finds more (measured at 1,000,000 rows).
const PROBED_FROM_ONE_IN: u32 = 3;
/// Fewer permitted rows than these are scanned: over 100,000 a probe took a tenth longer than the scan.
const MIN_PROBED_ROWS: u32 = 262_144;
/// Rows whose bytes are asked for ahead.
pub(super) const AHEAD_ROWS: usize = 8;

/// How many rows a search gives, and how sure they must be the nearest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth {
    /// So many results.
    Results(usize),
    /// So many candidates to be ranked by something else as well. The best `sure` matter most: of the others more may be missed.
    /// Where a query is near nothing in particular, none is looked for in the clusters that are far from it.
    Candidates { count: usize, sure: usize },
}

impl Depth {
    /// How many rows it gives.
    pub(crate) fn count(self) -> usize {
        match self {
            Depth::Results(count) | Depth::Candidates { count, .. } => count,
        }
    }

    /// The best so many matter most.
    pub(super) fn sure(self) -> usize {
        match self {
            Depth::Results(count) => count,
            Depth::Candidates { count, sure } => sure.min(count),
        }
    }

    /// Whether a row that is far from all centres may be missed.
    pub(super) fn is_thorough(self) -> bool {
        matches!(self, Depth::Results(_))
    }
}

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
    /// The chunks nearest to a query of length 1, best first, with their scores; equal scores by the scope's order.
    /// With `exact` they are those of a comparison with every vector, else at least 98 of 100 results are (measured).
    pub(crate) fn search(&self, scope: &Scope<'_>, query: &[f32], depth: Depth, exact: bool) -> Vec<(u32, f32)> {
        let limit = depth.count();
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

        let (mut candidates, whole) = self.near(scope, &code, keep, depth);

        let mut search = Exact::new(self, query, &code, limit);
        if whole {
            let chunks: Vec<u32> = candidates.into_iter().map(|(_, chunk)| chunk).collect();
            search.offer(&chunks, |_, _| true);
        } else {
            search.offer_by_distance(&mut candidates, PATIENCE.max(limit), depth.sure());
        }
        search.finish(scope.order)
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
    pub(super) fn scored(&self, chunks: &[u32], query: &[f32], limit: usize, order: impl Fn(u32) -> u64) -> Vec<(u32, f32)> {
        let scores = chunks.iter().zip(self.similarities(chunks, query));
        let mut scored: Vec<(u32, u64, u32, f32)> =
            scores.filter_map(|(chunk, score)| Some((descending(score?), order(*chunk), *chunk, score?))).collect();
        scored.sort_unstable_by_key(|(judged, order, chunk, _)| (*judged, *order, *chunk));
        scored.into_iter().take(limit).map(|(_, _, chunk, score)| (chunk, score)).collect()
    }

    /// The `keep` permitted rows whose signs are closest to the query, and whether they are all permitted rows. Where the caller
    /// may read much, they are those of the clusters that matter.
    fn near(&self, scope: &Scope<'_>, code: &QueryCode, keep: usize, depth: Depth) -> (Vec<Judged>, bool) {
        let mut near = Near::new(scope, code, keep);
        let count = scope.permitted.iter().count();
        let mut probes = Vec::new();
        let mut probed = 0;
        for held in self.segments() {
            let permitted = held.segment.permitted(scope.permitted, count);
            let rows: u32 = permitted.iter().map(|rows| rows.end - rows.start).sum();
            match held.segment.clusters() {
                Some(clusters) if rows.saturating_mul(PROBED_FROM_ONE_IN) >= held.segment.len() => {
                    probes.push((Probe::new(held, clusters, &permitted), permitted));
                    probed += rows;
                }
                _ => scan(&mut near, held, code, &permitted),
            }
        }
        for page in self.tail().pages() {
            near.scan(code, page.blocks(), 0..page.chunks().len() as u32, |row| {
                let chunk = *page.chunks().get(row as usize)?;
                scope.admits(self.waiting(chunk, scope.classes), chunk).then_some(chunk)
            });
        }
        let (probes, permitted): (Vec<Probe<'_>>, Vec<_>) = probes.into_iter().unzip();
        if probed < MIN_PROBED_ROWS || !probe(self, &probes, probed, code, depth, &mut near) {
            probes.iter().zip(&permitted).for_each(|(probe, permitted)| scan(&mut near, probe.held, code, permitted));
        }
        near.finish()
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

/// Scans these rows of a segment.
fn scan(near: &mut Near<'_>, held: &Held, code: &QueryCode, permitted: &[Range<u32>]) {
    let (chunks, blocks) = (held.segment.chunks(), held.segment.blocks());
    let mut coming = permitted.iter().skip(1);
    for rows in permitted {
        coming.next().into_iter().for_each(|next| near.prefetch(blocks, next));
        near.scan(code, blocks, rows.clone(), |at| {
            let chunk = chunks.get(at as usize).filter(|_| !held.is_stale(at))?;
            Some(u32::from_le_bytes(*chunk))
        });
    }
}
