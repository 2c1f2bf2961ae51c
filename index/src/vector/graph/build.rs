//! Links every row that has a cluster to rows that are like it.
//!
//! Candidates are the rows of clusters near its own, all of them, and one in eight of those of more clusters, since a row whose
//! nearest rows are copies of it would be linked to nothing else (the upper layers of HNSW serve the same end). Of
//! the nearest candidates those are left out that another link leads to (the rule of HNSW and of Vamana; Subramanya et al.,
//! "DiskANN", 2019, with their slack). Then every row is linked back from the rows that it is linked to, as far as there is room.
//! All is read from int8 codes, cluster by cluster, so that most of it is in the processor's cache: a walk for every row, as
//! HNSW is built, takes several times as long.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::file::{Graph, path};
use super::{LINKS, NONE};
use crate::error::{Error, Result};
use crate::vector::files::map;
use crate::vector::head::Origin;
use crate::vector::quantize::Values;
use crate::vector::snapshot::VectorSnapshot;

/// One chunk in so many is a candidate, and how many links are found among those.
const LEVELS: [(u32, usize); 2] = [(1, 10), (8, 6)];
/// Links that are found before rows are linked back.
const FORWARD: usize = 16;
/// Clusters whose rows are candidates of the first level; of those near a cluster, those that are nearest to the row.
const NEAR_CLUSTERS: usize = 16;
const CLOSE_CLUSTERS: usize = 48;
/// The nearest candidates of a level.
const CANDIDATES: usize = 48;
/// A candidate is left out when a link is so many times closer to it than the row (distances are squared).
const SLACK: f32 = 1.1;
/// Rows that would like to be linked back which are considered.
const MAX_INCOMING: usize = 256;
/// Links back are collected for so many chunks at a time, or a sixteenth of all.
const PIECE: u32 = 65_536;

/// A cluster of a segment: the int8 code of its centre, and the chunks of its rows.
struct Cluster<'a> {
    centre: &'a [u8],
    chunks: Vec<u32>,
}

/// Builds the graph of the rows that have clusters and writes its file. `None` when `go_on` said no, or there are no such rows.
pub(in crate::vector) fn build(
    dir: &Path,
    origin: &Origin,
    vectors: &VectorSnapshot,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<Graph>> {
    let clusters = clusters(vectors);
    if clusters.is_empty() {
        return Ok(None);
    }
    let chunks = clusters.iter().flat_map(|cluster| &cluster.chunks).max().map_or(0, |last| last + 1);
    let mut linked = vec![0u64; (chunks as usize).div_ceil(64)];
    for chunk in clusters.iter().flat_map(|cluster| &cluster.chunks) {
        linked.get_mut(*chunk as usize / 64).into_iter().for_each(|word| *word |= 1 << (chunk % 64));
    }
    let forward = Forward::create(dir, chunks)?;
    let mut work = Work { vectors, scored: Vec::new(), kept: Vec::new() };
    for (number, cluster) in clusters.iter().enumerate() {
        let near = near(&clusters, number);
        for (chunk, links) in work.links_of(cluster, &clusters, &near) {
            forward.put(chunk, &links)?;
        }
        if !go_on() {
            return Ok(None);
        }
    }
    let forward = forward.map()?;
    let piece = PIECE.max(chunks / 16);
    let mut incoming = Vec::new();
    Graph::write(dir, origin, &linked, chunks, |chunk| {
        if chunk % piece == 0 {
            incoming = forward.incoming(chunk, chunks.min(chunk.saturating_add(piece)));
        }
        let from = incoming.partition_point(|(target, _)| *target < chunk);
        let to = incoming.partition_point(|(target, _)| *target <= chunk);
        let links = work.linked_back(chunk, forward.links(chunk).collect(), incoming.get(from..to).unwrap_or_default());
        Ok((chunk % 64 != 0 || go_on()).then_some(links))
    })
}

/// The clusters of all segments, also with the rows that have died or moved since, for a row can move back. None where a code is
/// missing.
fn clusters(vectors: &VectorSnapshot) -> Vec<Cluster<'_>> {
    let mut all = Vec::new();
    for held in vectors.segments() {
        let Some(clusters) = held.segment.clusters() else { continue };
        for number in 0.. {
            let Some(centre) = clusters.centre(number) else { break };
            let places = clusters.places(number);
            let rows = clusters.rows().get(places.start as usize..places.end as usize).unwrap_or_default();
            let chunk = |row: &[u8; 4]| held.segment.chunks().get(u32::from_le_bytes(*row) as usize);
            let chunks: Vec<u32> = rows.iter().filter_map(chunk).map(|chunk| u32::from_le_bytes(*chunk)).collect();
            if chunks.iter().any(|chunk| vectors.code(*chunk).is_none()) {
                return Vec::new();
            }
            if !chunks.is_empty() {
                all.push(Cluster { centre, chunks });
            }
        }
    }
    all
}

/// The clusters nearest to one, itself among them, nearest first.
fn near(clusters: &[Cluster<'_>], own: usize) -> Vec<u32> {
    let Some(centre) = clusters.get(own).map(|cluster| Values::new(cluster.centre)) else { return Vec::new() };
    let mut scored: Vec<(f32, u32)> = clusters.iter().map(|cluster| centre.product(cluster.centre)).zip(0..).collect();
    keep_best(&mut scored, NEAR_CLUSTERS * LEVELS.last().map_or(1, |level| level.0 as usize));
    scored.into_iter().map(|(_, cluster)| cluster).collect()
}

/// Keeps the highest, in order.
fn keep_best(scored: &mut Vec<(f32, u32)>, count: usize) {
    if scored.len() > count {
        scored.select_nth_unstable_by(count, |a, b| b.0.total_cmp(&a.0));
        scored.truncate(count);
    }
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
}

/// True for one chunk in so many, which jump.
fn is_drawn(chunk: u32, every: u32) -> bool {
    (chunk.wrapping_mul(0x9e37_79b9) >> 16).is_multiple_of(every)
}

/// The codes of rows, and room to compare them.
struct Work<'a> {
    vectors: &'a VectorSnapshot,
    scored: Vec<(f32, u32)>,
    kept: Vec<Values>,
}

impl Work<'_> {
    /// The rows of a cluster, each with its links.
    fn links_of(&mut self, own: &Cluster<'_>, clusters: &[Cluster<'_>], near: &[u32]) -> Vec<(u32, Vec<u32>)> {
        let values = |chunk: &u32| Some(Values::new(self.vectors.code(*chunk)?));
        let rows: Vec<Values> = own.chunks.iter().filter_map(values).collect();
        let mut links: Vec<(u32, Vec<u32>)> = own.chunks.iter().map(|chunk| (*chunk, Vec::with_capacity(FORWARD))).collect();
        let members = |cluster: &u32| clusters.get(*cluster as usize).map_or(&[][..], |cluster| &cluster.chunks);
        for (every, wanted) in LEVELS {
            let drawn = near.iter().take(NEAR_CLUSTERS * every as usize).flat_map(members).copied();
            let pool: Vec<u32> = drawn.filter(|chunk| every > 1 && is_drawn(*chunk, every)).collect();
            for (row, (chunk, links)) in rows.iter().zip(&mut links) {
                self.scored.clear();
                if every == 1 {
                    let centre =
                        |cluster: u32| clusters.get(cluster as usize).map_or(f32::MIN, |cluster| row.product(cluster.centre));
                    let mut close: Vec<(f32, u32)> =
                        near.iter().take(CLOSE_CLUSTERS).map(|cluster| (centre(*cluster), *cluster)).collect();
                    keep_best(&mut close, NEAR_CLUSTERS);
                    for (_, cluster) in close {
                        self.scored.extend(scores(self.vectors, row, members(&cluster)));
                    }
                } else {
                    self.scored.extend(scores(self.vectors, row, &pool));
                }
                self.scored.retain(|(_, candidate)| candidate != chunk);
                keep_best(&mut self.scored, CANDIDATES);
                self.choose(links, links.len() + wanted);
            }
        }
        links
    }

    /// The links of a chunk and, as far as there is room, those back.
    fn linked_back(&mut self, chunk: u32, mut links: Vec<u32>, incoming: &[(u32, u32)]) -> Vec<u32> {
        let Some(row) = self.vectors.code(chunk).map(Values::new) else { return links };
        let every = incoming.len().div_ceil(MAX_INCOMING).max(1);
        let sources: Vec<u32> = incoming.iter().step_by(every).map(|(_, source)| *source).collect();
        self.scored.clear();
        self.scored.extend(scores(self.vectors, &row, &sources));
        keep_best(&mut self.scored, MAX_INCOMING);
        self.choose(&mut links, LINKS);
        links
    }

    /// Adds what was scored to `links`, best first, up to so many of them, without those that another one added here leads to.
    fn choose(&mut self, links: &mut Vec<u32>, count: usize) {
        self.kept.clear();
        for (product, candidate) in self.scored.drain(..) {
            if links.len() >= count {
                break;
            }
            let Some(code) = self.vectors.code(candidate).filter(|_| !links.contains(&candidate)) else { continue };
            if self.kept.iter().all(|kept| SLACK * (1.0 - kept.product(code)) > 1.0 - product) {
                self.kept.push(Values::new(code));
                links.push(candidate);
            }
        }
    }
}

/// How alike a row and others are.
fn scores<'v>(vectors: &'v VectorSnapshot, row: &'v Values, chunks: &'v [u32]) -> impl Iterator<Item = (f32, u32)> + 'v {
    chunks.iter().filter_map(|chunk| Some((row.product(vectors.code(*chunk)?), *chunk)))
}

/// The links of all chunks before they are linked back, in a file that goes when they are.
struct Forward {
    path: PathBuf,
    file: File,
    chunks: u32,
}

/// The same once all are written.
struct Mapped {
    bytes: Mmap,
    forward: Forward,
}

impl Forward {
    fn create(dir: &Path, chunks: u32) -> Result<Forward> {
        let path = path(dir).with_extension("forward.new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(Error::io(&path))?;
        file.set_len(u64::from(chunks) * FORWARD as u64 * 4).map_err(Error::io(&path))?;
        Ok(Forward { path, file, chunks })
    }

    /// Links are kept with one added, since what was not written reads as zeros.
    fn put(&self, chunk: u32, links: &[u32]) -> Result<()> {
        let bytes: Vec<u8> = links.iter().flat_map(|link| link.wrapping_add(1).to_le_bytes()).collect();
        self.file.write_all_at(&bytes, u64::from(chunk) * FORWARD as u64 * 4).map_err(Error::io(&self.path))
    }

    fn map(self) -> Result<Mapped> {
        Ok(Mapped { bytes: map(&self.file, &self.path)?, forward: self })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // What is left is deleted at the next open.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Mapped {
    fn links(&self, chunk: u32) -> impl Iterator<Item = u32> + '_ {
        let at = chunk as usize * FORWARD * 4;
        let bytes = self.bytes.get(at..at + FORWARD * 4).unwrap_or_default();
        bytes.as_chunks().0.iter().map(|link| u32::from_le_bytes(*link).wrapping_sub(1)).take_while(|link| *link != NONE)
    }

    /// Who is linked to the chunks from `first` to before `end`: target and source, sorted.
    fn incoming(&self, first: u32, end: u32) -> Vec<(u32, u32)> {
        let sources = 0..self.forward.chunks;
        let all = sources.flat_map(|source| self.links(source).map(move |target| (target, source)));
        let mut found: Vec<(u32, u32)> = all.filter(|(target, _)| (first..end).contains(target)).collect();
        found.sort_unstable();
        found
    }
}
