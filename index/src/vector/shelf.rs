//! The shelf of sealed segments: which files belong to the index, and the rules by which they are made, merged and dropped.
//!
//! A list names the segments; it is replaced as a whole after the files that it names are durable, and files that it does
//! not name are deleted. So whatever happens in between, the segments of one list are there, or are known to be damaged.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::clusters::{self, Clusters};
use super::files::replace;
use super::graph::{self, Graph};
use super::head::Origin;
use super::held::Held;
use super::segment::{Segment, path};
use super::snapshot::VectorSnapshot;
use crate::access::ClassNo;
use crate::error::{Error, Result};
use crate::rows::Rows;

/// When rows are sealed and merged, and from how many on part of them is searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The tail is sealed when it holds more rows than this.
    pub(crate) seal_rows: u32,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { seal_rows: SEAL_ROWS }
    }
}

impl Sizes {
    /// Segments with fewer rows are merged when there are [`MERGE_SEGMENTS`] of them.
    fn small(self) -> u32 {
        self.seal_rows.saturating_mul(4)
    }

    /// What the merges before the last one make.
    fn half(self) -> u32 {
        self.seal_rows.saturating_mul(8)
    }

    /// A segment holds at most so many rows. Fewer permitted ones are scanned: over 100,000 a probe took a tenth longer.
    pub(super) fn full(self) -> u32 {
        self.seal_rows.saturating_mul(16)
    }

    /// Whether the signs of so many permitted rows, and of so many that wait in the tail, take longer than they save: 256 and 4,096
    /// where segments are of the usual size.
    pub(super) fn are_few(self, permitted: u32, waiting: u32) -> bool {
        permitted <= self.seal_rows / 64 && waiting <= self.seal_rows / 4
    }

    /// A step of a walk takes as long as scanning so many rows: where a scan is cheaper, nothing is walked.
    pub(super) fn rows_per_step(self) -> f64 {
        ROWS_PER_STEP * f64::from(self.seal_rows) / f64::from(SEAL_ROWS)
    }
}

const SEAL_ROWS: u32 = 16_384;
/// Measured at 1,000,000 rows: 2 µs a step and 6 to 9 ns a row. Other sizes are for small directories that have all that large ones have.
const ROWS_PER_STEP: f64 = 300.0;
const MERGE_SEGMENTS: usize = 8;
/// A segment is written anew when more than this share of its rows, in percent, is dead or has moved.
const MAX_STALE_PERCENT: u64 = 20;
/// A segment that others may be merged with stays so long without clusters: where much is written it is soon replaced.
const YOUNG: Duration = Duration::from_secs(60);
/// A graph is built anew when one in so many rows is not in it, or in it and dead.
const GRAPH_LACKS_ONE_IN: u32 = 4;

/// The folder of segments, open for writing.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    origin: Origin,
    next: u32,
    pub(crate) sizes: Sizes,
}

/// Segments to be replaced by a new one of these rows.
#[derive(Debug, Default)]
pub(crate) struct Sealing {
    pub(super) rows: Vec<(ClassNo, u32)>,
    pub(super) replaced: Vec<u32>,
}

impl Shelf {
    /// Opens the segments in `dir` that belong to this catalog and are not ahead of `seq`. With `write`, all others and
    /// what a crash left are deleted.
    pub(crate) fn open(
        dir: &Path,
        catalog: &str,
        dimensions: usize,
        seq: u64,
        write: bool,
        sizes: Sizes,
    ) -> Result<(Shelf, Segments)> {
        let origin = Origin { catalog: catalog.to_owned(), dimensions, seq };
        let mut shelf = Shelf { dir: dir.to_owned(), origin, next: 1, sizes };
        let mut segments = Vec::new();
        for id in read_list(&std::fs::read_to_string(shelf.list()).unwrap_or_default()).unwrap_or_default() {
            match Segment::open(dir, id, &shelf.origin) {
                Ok(segment) => {
                    shelf.open_clusters(&segment, write);
                    segments.push(Arc::new(segment));
                }
                Err(error) => tracing::warn!(%error, "a segment of vectors cannot be used; it is made anew"),
            }
        }
        if write {
            let known: HashSet<u32> = segments.iter().map(|segment| segment.id()).collect();
            for file in std::fs::read_dir(dir).map_err(Error::io(dir))?.filter_map(|file| Some(file.ok()?.path())) {
                let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
                if name.starts_with("graph.") && name.ends_with(".new") {
                    std::fs::remove_file(&file).map_err(Error::io(&file))?;
                }
                let Some(number) = name.strip_prefix("signs-").or(name.strip_prefix("clusters-")) else { continue };
                let id = number.split('.').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
                shelf.next = shelf.next.max(id + 1);
                if !known.contains(&id) || name.ends_with(".new") {
                    std::fs::remove_file(&file).map_err(Error::io(&file))?;
                }
            }
        }
        let graph = shelf.open_graph(write);
        Ok((shelf, Segments { all: segments, graph }))
    }

    /// Writes the segment of a sealing and the list that names it; nothing to write gives none. `seq` is that of the view
    /// that the rows were taken from.
    pub(crate) fn seal(&mut self, from: &VectorSnapshot, sealing: &Sealing, seq: u64) -> Result<Option<NewSegment>> {
        self.origin.seq = seq;
        let mut made = None;
        if !sealing.rows.is_empty() {
            let id = self.next;
            self.next += 1;
            let segment = Segment::write(&self.dir, id, &self.origin, sealing.rows.clone(), |chunk, code| from.signs(chunk, code));
            made = Some(Arc::new(segment?));
        }
        let kept = from.segments().iter().map(|held| held.segment.id()).filter(|id| !sealing.replaced.contains(id));
        let ids: Vec<u32> = kept.chain(made.iter().map(|segment| segment.id())).collect();
        replace(&self.list(), &[list_of(&ids).as_bytes()])?;
        Ok(made.map(NewSegment))
    }

    /// Deletes the files of segments that the list no longer names; searches that still read them keep them open.
    pub(crate) fn delete(&self, sealing: &Sealing) {
        for id in &sealing.replaced {
            let path = path(&self.dir, *id);
            // It may have no clusters.
            let _ = std::fs::remove_file(clusters::path(&self.dir, *id));
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a segment that was replaced is left; the next open deletes it");
            }
        }
    }

    /// Opens the clusters of a segment, when they are there; damaged ones are deleted with `write`.
    fn open_clusters(&self, segment: &Segment, write: bool) {
        let path = clusters::path(&self.dir, segment.id());
        if !path.exists() {
            return;
        }
        match Clusters::open(segment, self.origin.dimensions) {
            Ok(clusters) => segment.set_clusters(clusters),
            Err(error) => {
                tracing::warn!(%error, "clusters of vectors cannot be used; they are built anew");
                if write {
                    let _ = std::fs::remove_file(&path);
                }
            }
        }
    }

    /// Opens the graph, when it is there; a damaged or foreign one is deleted with `write`.
    fn open_graph(&self, write: bool) -> Option<Arc<Graph>> {
        let path = graph::path(&self.dir);
        if !path.exists() {
            return None;
        }
        let opened = Graph::open(&self.dir, &self.origin);
        if let Err(error) = &opened {
            tracing::warn!(%error, "the graph of vectors cannot be used; it is built anew");
            if write {
                let _ = std::fs::remove_file(&path);
            }
        }
        opened.ok().map(Arc::new)
    }

    /// Where the graph is built of a snapshot whose view is at `seq`.
    pub(crate) fn graph_files(&self, seq: u64) -> GraphFiles {
        GraphFiles { dir: self.dir.clone(), origin: Origin { seq, ..self.origin.clone() } }
    }

    fn list(&self) -> PathBuf {
        self.dir.join("segments")
    }
}

/// Segments as they were opened, and their graph.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pub(super) all: Vec<Arc<Segment>>,
    pub(super) graph: Option<Arc<Graph>>,
}

/// A segment that was just written.
#[derive(Clone, Debug)]
pub(crate) struct NewSegment(pub(super) Arc<Segment>);

/// Where a graph is built.
#[derive(Debug)]
pub(crate) struct GraphFiles {
    dir: PathBuf,
    origin: Origin,
}

impl GraphFiles {
    /// Builds the graph of all rows that have clusters. `None` when `go_on` said no.
    pub(crate) fn build(&self, vectors: &VectorSnapshot, go_on: impl FnMut() -> bool) -> Result<Option<NewGraph>> {
        Ok(graph::build(&self.dir, &self.origin, vectors, go_on)?.map(|graph| NewGraph(Arc::new(graph))))
    }
}

/// A graph that was just built.
#[derive(Clone, Debug)]
pub(crate) struct NewGraph(pub(super) Arc<Graph>);

/// What is to be done next, when anything is.
pub(crate) fn plan(vectors: &VectorSnapshot, classes: &Rows<ClassNo>, sizes: Sizes) -> Option<Sealing> {
    if vectors.tail().len() > sizes.seal_rows {
        let rows = vectors.tail().chunks().filter_map(|chunk| Some((vectors.waiting(chunk, classes)?, chunk)));
        // Sizes that add up to a full segment when they are merged.
        let whole = [sizes.full(), sizes.half()];
        let size = whole.into_iter().find(|size| vectors.tail().len() >= *size).unwrap_or(sizes.seal_rows);
        return Some(Sealing { rows: rows.take(size as usize).collect(), replaced: Vec::new() });
    }
    let segments = || vectors.segments().iter();
    let mut small: Vec<&Held> = segments().filter(|held| held.segment.len() < sizes.small()).collect();
    if small.len() >= MERGE_SEGMENTS {
        small.sort_by_key(|held| held.segment.len());
        let mut sum = 0;
        let fitting = small.into_iter().take_while(|held| {
            sum += held.segment.len();
            sum <= sizes.full()
        });
        return Some(rewriting(&fitting.collect::<Vec<_>>(), classes));
    }
    let half = |held: &&Held| (sizes.small()..=sizes.half()).contains(&held.segment.len());
    let halves: Vec<&Held> = segments().filter(half).take(2).collect();
    if halves.len() == 2 {
        return Some(rewriting(&halves, classes));
    }
    let worn = |held: &&Held| u64::from(held.stale_rows()) * 100 > u64::from(held.segment.len()) * MAX_STALE_PERCENT;
    segments().find(worn).map(|held| rewriting(&[held], classes))
}

/// A segment that should have clusters.
#[derive(Clone, Debug)]
pub(crate) struct ClustersWanted(Arc<Segment>);

/// The segment that should have clusters first, of those that have none, and how long it can wait for them.
pub(crate) fn clusters_wanted(vectors: &VectorSnapshot, sizes: Sizes) -> Option<(ClustersWanted, Duration)> {
    let segments = vectors.segments().iter().map(|held| &held.segment);
    let bare = segments.filter(|segment| segment.len() >= sizes.seal_rows && segment.clusters().is_none());
    let wait = |segment: &Segment| if segment.len() > sizes.half() { Duration::ZERO } else { YOUNG.saturating_sub(segment.age()) };
    let first = bare.map(|segment| (wait(segment), segment)).min_by_key(|(wait, segment)| (*wait, Reverse(segment.len())));
    first.map(|(wait, segment)| (ClustersWanted(segment.clone()), wait))
}

impl ClustersWanted {
    /// Builds them; searches use them from then on. False when `go_on` said no.
    pub(crate) fn build(&self, vectors: &VectorSnapshot, go_on: impl FnMut() -> bool) -> Result<bool> {
        let built = clusters::build(&self.0, vectors, go_on)?;
        let done = built.is_some();
        built.into_iter().for_each(|clusters| self.0.set_clusters(clusters));
        Ok(done)
    }

    /// True while the segment is one of a snapshot's.
    pub(crate) fn is_in(&self, vectors: &VectorSnapshot) -> bool {
        vectors.segments().iter().any(|held| held.segment.id() == self.0.id())
    }
}

/// Whether a graph should be built, and how long it can wait: where much is written it would soon lack much again. Fewer rows than a
/// full segment holds are scanned as fast.
pub(crate) fn graph_wanted(vectors: &VectorSnapshot, sizes: Sizes) -> Option<Duration> {
    let clustered = || vectors.segments().iter().filter(|held| held.segment.clusters().is_some());
    let live = |held: &Held| held.segment.len() - held.stale_rows();
    let all: u32 = clustered().map(live).sum();
    let linked: u32 = clustered().filter(|held| held.is_linked()).map(live).sum();
    let dead = vectors.graph().map_or(0, |graph| graph.len().saturating_sub(linked));
    let lacks = |rows: u32| rows.saturating_mul(GRAPH_LACKS_ONE_IN) > all;
    let youngest = clustered().map(|held| held.segment.age()).min().unwrap_or_default();
    (all >= sizes.full() && (lacks(all - linked) || lacks(dead))).then(|| YOUNG.saturating_sub(youngest))
}

/// These segments become one of the rows that are still as they were sealed. A row that moved away and back is in a later
/// segment as well: it is stale in this one, although its class is that of then.
fn rewriting(segments: &[&Held], classes: &Rows<ClassNo>) -> Sealing {
    let mut sealing = Sealing::default();
    for held in segments {
        sealing.replaced.push(held.segment.id());
        let rows = (0..).zip(held.segment.chunks()).filter(|(at, _)| !held.is_stale(*at));
        let chunks = rows.map(|(_, chunk)| u32::from_le_bytes(*chunk));
        sealing.rows.extend(chunks.map(|chunk| (classes.get(chunk), chunk)));
    }
    sealing
}

/// The list of segments: a format, their numbers, and a checksum.
pub(super) fn list_of(ids: &[u32]) -> String {
    let body = ids.iter().fold("1\n".to_owned(), |body, id| body + &format!("{id}\n"));
    format!("{body}{}", blake3::hash(body.as_bytes()).to_hex())
}

fn read_list(text: &str) -> Option<Vec<u32>> {
    let end = text.rfind('\n')? + 1;
    let (body, hash) = text.split_at_checked(end)?;
    let numbers = body.strip_prefix("1\n")?;
    (hash == blake3::hash(body.as_bytes()).to_hex().as_str()).then_some(())?;
    numbers.lines().map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_as_it_was_written() {
        for ids in [vec![], vec![7], vec![1, 22, 333]] {
            assert_eq!(read_list(&list_of(&ids)), Some(ids));
        }
        assert_eq!(read_list(&list_of(&[1, 2]).replace('2', "3")), None);
        assert_eq!(read_list(""), None);
    }
}
