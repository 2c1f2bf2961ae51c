//! Reads the clusters that can hold one of the nearest permitted rows.
//!
//! A row that is among the nearest hardly ever scores more than its centre and a margin, which was measured when the clusters
//! were built. So clusters are read from the nearest on until a centre and the margin score less than the worst of the results
//! so far. How far that is depends on what the caller may read: where permission and query are at odds (the caller may read
//! everything but what the query is about) it soon shows that most clusters would have to be read, and all permitted rows are
//! scanned instead.

use std::ops::Range;

use super::{CLUSTER_ROWS, Clusters};
use crate::access::Bits;
use crate::prefetch::prefetch;
use crate::vector::held::Held;
use crate::vector::kernels::kernels;
use crate::vector::quantize::QueryCode;
use crate::vector::scan::Near;
use crate::vector::search::{AHEAD_ROWS, Depth};
use crate::vector::snapshot::VectorSnapshot;

/// Clusters that are read before it is judged how many are needed.
const FIRST_CLUSTERS: usize = 32;
/// One in so many clusters is read, at most.
const MAX_SHARE: usize = 5;
/// Permission and query are at odds where the caller may read so many times fewer of the rows near the query than of all.
const AVOIDED: u64 = 2;
/// Of so many times as many clusters as are wanted, the nearest by their signs, the int8 codes of the centres are looked at.
const CLOSER: usize = 4;
/// How many times as many are read before it is judged again.
const GROWTH: usize = 4;
/// Candidates that are judged by their int8 codes to learn what the results score so far, at least.
const MIN_JUDGED: usize = 64;

/// A segment that can be probed.
pub(in crate::vector) struct Probe<'a> {
    pub(in crate::vector) held: &'a Held,
    clusters: &'a Clusters,
    /// The rows that the caller may read.
    permitted: Bits,
}

impl<'a> Probe<'a> {
    /// A segment with the rows that the caller may read.
    pub(in crate::vector) fn new(held: &'a Held, clusters: &'a Clusters, permitted: &[Range<u32>]) -> Probe<'a> {
        let mut bits = Bits::with_len(held.segment.len() as usize);
        permitted.iter().for_each(|rows| bits.insert_range(rows.clone()));
        Probe { held, clusters, permitted: bits }
    }
}

/// A cluster that was not read yet.
#[derive(Clone, Copy, Debug)]
struct Unread {
    /// What a row of it can score.
    reach: f32,
    segment: u32,
    cluster: u32,
}

/// Adds the rows of the clusters that matter. False, with nothing added, when that would be more rows than the `permitted_rows`
/// that the caller may read in these segments, or clusters that were never judged, or leaves fewer than are asked for.
pub(in crate::vector) fn probe(
    vectors: &VectorSnapshot,
    probes: &[Probe<'_>],
    permitted_rows: u32,
    code: &QueryCode,
    depth: Depth,
    near: &mut Near<'_>,
) -> bool {
    let before = near.kept().to_vec();
    let mut unread = nearest_clusters(probes, code, MAX_SHARE);
    let farthest = unread.iter().map(|cluster| cluster.reach).fold(f32::INFINITY, f32::min);
    let mut step = FIRST_CLUSTERS;
    let mut rows_read = 0;
    let mut next = Vec::with_capacity(step);
    while !unread.is_empty() {
        let rest = unread.len().saturating_sub(step);
        if rest > 0 {
            unread.select_nth_unstable_by(rest, |a, b| a.reach.total_cmp(&b.reach));
        }
        next.clear();
        next.extend(unread.drain(rest..));
        rows_read += read_all(probes, &mut next, code, near);
        let worst = worst_result(vectors, code, depth.sure(), near);
        unread.retain(|cluster| cluster.reach >= worst);
        let needed = rows_read + unread.len() as u32 * CLUSTER_ROWS;
        let avoided = step == FIRST_CLUSTERS && are_avoided(probes, &next, rows_read, permitted_rows);
        if avoided || depth.is_thorough() && farthest >= worst || needed > permitted_rows {
            near.restore(before);
            return false;
        }
        step *= GROWTH;
    }
    if near.kept().len() < depth.count() {
        near.restore(before);
        return false;
    }
    near.left_out();
    true
}

/// Adds the rows of the `count` nearest clusters. False where permission and query are at odds.
pub(in crate::vector) fn read_nearest(
    probes: &[Probe<'_>],
    permitted_rows: u32,
    code: &QueryCode,
    count: usize,
    near: &mut Near<'_>,
) -> bool {
    let all: usize = probes.iter().map(|probe| probe.held.segment.len().div_ceil(CLUSTER_ROWS) as usize).sum();
    let mut nearest = nearest_clusters(probes, code, (all / (CLOSER * count).max(1)).max(1));
    if nearest.len() > count {
        nearest.select_nth_unstable_by(count, |a, b| b.reach.total_cmp(&a.reach));
        nearest.truncate(count);
    }
    let rows_read = read_all(probes, &mut nearest, code, near);
    !are_avoided(probes, &nearest, rows_read, permitted_rows)
}

/// True where the caller may read much less of these clusters than of all.
fn are_avoided(probes: &[Probe<'_>], read: &[Unread], rows_read: u32, permitted_rows: u32) -> bool {
    let all_rows: u32 = probes.iter().map(|probe| probe.held.segment.len()).sum();
    if permitted_rows == all_rows {
        return false;
    }
    let permitted: u32 = read.iter().map(|cluster| permitted_in(probes, *cluster)).sum();
    u64::from(permitted) * u64::from(all_rows) * AVOIDED < u64::from(permitted_rows) * u64::from(rows_read)
}

/// The clusters that are nearest by the signs of their centres, about one in so many, judged by the centres' int8 codes.
fn nearest_clusters(probes: &[Probe<'_>], code: &QueryCode, one_in: usize) -> Vec<Unread> {
    let mut unread = Vec::new();
    let mut found = Vec::new();
    let mut limit = u32::MAX;
    for (segment, Probe { clusters, .. }) in (0u32..).zip(probes) {
        (kernels().scan)(&code.planes, clusters.centre_blocks(), limit, &mut found);
        if limit == u32::MAX {
            // The first segment says how near the nearest are; the others are much like it.
            let count = found.len() / one_in;
            if count < found.len() {
                found.select_nth_unstable_by_key(count, |found| found.distance);
            }
            limit = found.get(count).map_or(u32::MAX, |found| found.distance);
            found.truncate(count + 1);
            found.sort_unstable_by_key(|found| found.at);
        }
        let mut ahead = found.iter().skip(AHEAD_ROWS);
        for cluster in found.iter().map(|found| found.at) {
            prefetch(ahead.next().and_then(|found| clusters.centre(found.at)).unwrap_or_default());
            let Some(centre) = clusters.centre(cluster) else { continue };
            unread.push(Unread { reach: code.estimate(centre).0 as f32 + clusters.margin(), segment, cluster });
        }
        found.clear();
    }
    unread
}

/// Reads these clusters, in the order of memory; returns how many rows they have.
fn read_all(probes: &[Probe<'_>], clusters: &mut [Unread], code: &QueryCode, near: &mut Near<'_>) -> u32 {
    // Clusters that are near each other follow each other in memory.
    clusters.sort_unstable_by_key(|cluster| (cluster.segment, cluster.cluster));
    let mut runs = clusters.chunk_by(|a, b| a.segment == b.segment && b.cluster == a.cluster + 1).peekable();
    let mut rows = 0;
    while let Some(run) = runs.next() {
        runs.peek().into_iter().for_each(|next| ask_for(probes, next, near));
        rows += read(probes, run, code, near);
    }
    rows
}

/// Asks for the rows that are read next: the processor cannot know where they are.
fn ask_for(probes: &[Probe<'_>], run: &[Unread], near: &Near<'_>) {
    let Some((Probe { clusters, .. }, places)) = places(probes, run) else { return };
    near.prefetch(clusters.blocks(), &places);
    prefetch(clusters.rows().get(places.start as usize..places.end as usize).unwrap_or_default());
}

/// Reads clusters that follow each other; returns how many rows they have.
fn read(probes: &[Probe<'_>], run: &[Unread], code: &QueryCode, near: &mut Near<'_>) -> u32 {
    let Some((Probe { held, clusters, permitted }, places)) = places(probes, run) else { return 0 };
    let (rows, chunks) = (clusters.rows(), held.segment.chunks());
    let count = places.len() as u32;
    near.scan(code, clusters.blocks(), places, |place| {
        let row = u32::from_le_bytes(*rows.get(place as usize)?);
        let chunk = chunks.get(row as usize).filter(|_| permitted.contains(row) && !held.is_stale(row))?;
        Some(u32::from_le_bytes(*chunk))
    });
    count
}

/// Where the rows of clusters that follow each other are.
fn places<'p, 'a>(probes: &'p [Probe<'a>], run: &[Unread]) -> Option<(&'p Probe<'a>, Range<u32>)> {
    let (first, last) = (run.first()?, run.last()?);
    let probe = probes.get(first.segment as usize)?;
    Some((probe, probe.clusters.places(first.cluster).start..probe.clusters.places(last.cluster).end))
}

/// How many rows of a cluster the caller may read.
fn permitted_in(probes: &[Probe<'_>], cluster: Unread) -> u32 {
    let Some((Probe { clusters, permitted, .. }, places)) = places(probes, &[cluster]) else { return 0 };
    let rows = clusters.rows().get(places.start as usize..places.end as usize).unwrap_or_default();
    rows.iter().filter(|row| permitted.contains(u32::from_le_bytes(**row))).count() as u32
}

/// What the worst of the results scores when nothing better is found; the lowest number where there are too few.
fn worst_result(vectors: &VectorSnapshot, code: &QueryCode, results: usize, near: &Near<'_>) -> f32 {
    let mut scores = near.judged(vectors, code, results.max(MIN_JUDGED));
    if results == 0 || scores.len() < results {
        return f32::NEG_INFINITY;
    }
    let (_, worst, _) = scores.select_nth_unstable_by(results - 1, |a, b| b.total_cmp(a));
    *worst
}
