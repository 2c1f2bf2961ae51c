//! Searching vectors: the nearest chunks that the caller may read.
//!
//! The fast way compares sign codes of the permitted rows, keeps [`MIN_CANDIDATES`] or [`CANDIDATES_PER_RESULT`] for each
//! result wanted, ranks those by int8 codes and the best of them by their full vectors. Candidates are cut over all rows
//! together and ties are broken by the chunks' order, so the answer depends on nothing but the permitted rows. When nothing
//! had to be cut, and when asked to, the answer is exact: see [`super::exact`].
//!
//! Where the caller may read much, part of the rows is enough: what a walk of the [`super::graph`] finds, or, of rows that it does not
//! hold, what the nearest [`super::clusters`] have.

use std::ops::Range;

use super::clusters::{Probe, probe, read_nearest};
use super::cut::{Judged, descending};
use super::exact::Exact;
use super::graph::{Graph, walk};
use super::held::Held;
use super::quantize::QueryCode;
use super::scan::{Near, STEP_ROWS};
use super::snapshot::VectorSnapshot;
use crate::access::{Bits, ClassNo};
use crate::rows::Rows;

/// Candidates that the sign codes leave, at least. With 800, recall@10 was 0.982 in the worst case measured (1,000,000 perturbed
/// passages, of which the half was permitted that the query is not about), too close to the promised 0.98; with 675, 0.978 where it
/// was a tenth.
const MIN_CANDIDATES: usize = 1_200;
/// Candidates that the sign codes leave for each result that is wanted.
const CANDIDATES_PER_RESULT: usize = 8;
/// Candidates that follow each other by distance and of which none may be among the results that matter most, at least, before
/// the others are left out.
const PATIENCE: usize = 256;
/// Segments of which the caller may read at least one row in so many are probed. Where it is one in four, scanning them is as
/// fast and finds more (measured at 1,000,000 rows).
const PROBED_FROM_ONE_IN: u32 = 3;
/// A walk begins at the best rows of so many clusters, and at so many rows.
const FIRST_CLUSTERS: usize = 256;
const BEGINNINGS: usize = 128;
/// It keeps so many rows that the caller may read, at least, as far as chance goes.
const MIN_WIDTH: usize = 96;
/// Permission and query are at odds where it finds so many times fewer.
const AVOIDED: f64 = 2.0;
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
        let parts = self.parts(scope);
        let rows = parts.iter().map(|part| part.rows).sum();
        if self.sizes().are_few(rows, self.tail().len()) {
            let mut few = Vec::new();
            self.each_row(scope, &parts, |chunks, admits| {
                few.extend((0..).zip(chunks).filter(|(place, chunk)| admits(*place, **chunk)).map(|(_, chunk)| *chunk));
            });
            return self.nearest(&few, query, limit, scope.order);
        }
        let code = QueryCode::new(query);
        if exact {
            let mut search = Exact::new(self, query, &code, limit);
            self.each_row(scope, &parts, |chunks, admits| search.offer(chunks, admits));
            return search.finish(scope.order);
        }
        let keep = MIN_CANDIDATES.max(CANDIDATES_PER_RESULT * limit);

        let walked = self.walked(scope, &code, depth, &parts);
        let scanned = |part: &&Part<'_>| !part.held.is_linked() || !matches!(walked, Some(Walk::Found(_)));
        let is_probed = |part: &Part<'_>| !part.held.is_linked() || walked.is_none();
        let (mut candidates, whole) = self.near(scope, &code, keep, depth, parts.iter().filter(scanned), is_probed);

        let mut search = Exact::new(self, query, &code, limit);
        if let Some(Walk::Found(mut walked)) = walked {
            search.offer(&walked, |_, _| true);
            walked.sort_unstable();
            candidates.retain(|(_, chunk)| walked.binary_search(chunk).is_err());
        }
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

    /// The segments, with the rows that the caller may read.
    pub(super) fn parts(&self, scope: &Scope<'_>) -> Vec<Part<'_>> {
        let count = scope.permitted.iter().count();
        let part = |held| Part::new(held, held.segment.permitted(scope.permitted, count));
        self.segments().iter().map(part).collect()
    }

    /// What a walk of the graph finds. `None` where there is none, or the caller may read so little of it that a scan is cheaper.
    fn walked(&self, scope: &Scope<'_>, code: &QueryCode, depth: Depth, parts: &[Part<'_>]) -> Option<Walk> {
        let graph = self.graph()?;
        let linked = || parts.iter().filter(|part| part.held.is_linked());
        let permitted: u32 = linked().map(|part| part.rows).sum();
        let all: u32 = linked().map(|part| part.held.segment.len()).sum();
        let share = f64::from(permitted) / f64::from(all.max(1));
        let width = (MIN_WIDTH.max(depth.count() + depth.count() / 2) as f64 / share) as usize;
        if width as f64 * self.sizes().rows_per_step() > f64::from(permitted) {
            return None;
        }
        match self.walk_of(graph, scope, code, width, linked(), permitted)? {
            Walk::Found(found) if found.len() < depth.count() => Some(Walk::AtOdds),
            walked => Some(walked),
        }
    }

    /// What a walk finds of these parts, which the graph holds and of which so many rows are permitted.
    pub(super) fn walk_of<'a>(
        &'a self,
        graph: &Graph,
        scope: &Scope<'_>,
        code: &QueryCode,
        width: usize,
        linked: impl Iterator<Item = &'a Part<'a>>,
        permitted: u32,
    ) -> Option<Walk> {
        let probe = |part: &'a Part<'a>| Some(Probe::new(part.held, part.held.segment.clusters()?, &part.permitted));
        let probes: Vec<Probe<'_>> = linked.map(probe).collect::<Option<_>>()?;
        let mut near = Near::new(scope, code, BEGINNINGS);
        if !read_nearest(&probes, permitted, code, FIRST_CLUSTERS, &mut near) {
            return Some(Walk::AtOdds);
        }
        let (from, _) = near.finish();
        let mut found = walk(graph, self, code, from.into_iter().map(|(_, chunk)| chunk), width);
        found.retain(|chunk| scope.admits(Some(scope.classes.get(*chunk)), *chunk));
        let all: u32 = probes.iter().map(|probe| probe.held.segment.len()).sum();
        let expected = width as f64 * f64::from(permitted) / f64::from(all.max(1));
        Some(if found.len() as f64 * AVOIDED < expected { Walk::AtOdds } else { Walk::Found(found) })
    }

    /// The `keep` permitted rows whose signs are closest to the query, and whether they are all permitted rows. Where the caller
    /// may read much of a part that `is_probed`, they are those of the clusters that matter.
    fn near<'a>(
        &'a self,
        scope: &Scope<'_>,
        code: &QueryCode,
        keep: usize,
        depth: Depth,
        parts: impl Iterator<Item = &'a Part<'a>>,
        is_probed: impl Fn(&Part<'_>) -> bool,
    ) -> (Vec<Judged>, bool) {
        let mut near = Near::new(scope, code, keep);
        let (mut probes, mut probed) = (Vec::new(), Vec::new());
        for part in parts {
            match part.held.segment.clusters() {
                Some(clusters) if is_probed(part) && part.rows.saturating_mul(PROBED_FROM_ONE_IN) >= part.held.segment.len() => {
                    probes.push(Probe::new(part.held, clusters, &part.permitted));
                    probed.push(part);
                }
                _ => scan(&mut near, part.held, code, &part.permitted),
            }
        }
        for page in self.tail().pages() {
            near.scan(code, page.blocks(), 0..page.chunks().len() as u32, |row| {
                let chunk = *page.chunks().get(row as usize)?;
                scope.admits(self.waiting(chunk, scope.classes), chunk).then_some(chunk)
            });
        }
        let rows = probed.iter().map(|part| part.rows).sum();
        if rows < self.sizes().full() || !probe(self, &probes, rows, code, depth, &mut near) {
            probed.iter().for_each(|part| scan(&mut near, part.held, code, &part.permitted));
        }
        near.finish()
    }

    /// Hands out the chunks of all rows that may be permitted, in pieces, with whether a chunk of a piece, by its place and
    /// number, is.
    fn each_row(&self, scope: &Scope<'_>, parts: &[Part<'_>], mut each: impl FnMut(&[u32], &dyn Fn(usize, u32) -> bool)) {
        let mut piece = Vec::new();
        for Part { held, permitted, .. } in parts {
            for rows in permitted {
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

/// What came of a walk.
#[derive(Debug)]
pub(super) enum Walk {
    /// The nearest permitted rows.
    Found(Vec<u32>),
    /// The caller may read little of what is near the query.
    AtOdds,
}

/// A segment, with the rows that the caller may read.
pub(super) struct Part<'a> {
    held: &'a Held,
    permitted: Vec<Range<u32>>,
    /// How many those are.
    pub(super) rows: u32,
}

impl<'a> Part<'a> {
    fn new(held: &'a Held, permitted: Vec<Range<u32>>) -> Part<'a> {
        Part { held, rows: permitted.iter().map(|rows| rows.end - rows.start).sum(), permitted }
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
