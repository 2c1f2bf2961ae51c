//! A sealed segment: the sign codes of many rows, sorted by ACL class, in one file that never changes.
//!
//! Rows of one class stand together (a run), so a search reads those of the classes it may read and no others. A row knows
//! the class that it had when the segment was sealed; whoever searches asks for the class that it has now. The file is
//! derived: a damaged or foreign one is deleted, and its rows wait in the tail until they are sealed again.
//!
//! Layout, little-endian: a head (`head`; its numbers are rows and runs), then by run its class, by run its first row with one more entry for the end, by row its
//! chunk, zeros up to a multiple of 64, and the sign codes in blocks as `kernels` wants them.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use memmap2::Mmap;

use super::clusters::Clusters;
use super::files::{map, replace, warm};
use super::head::{HEAD_BYTES, Kind, Origin, body_hash, head_of, read_head, verify_body};
use super::kernels::BLOCK_ROWS;
use super::quantize;
use crate::access::{Bits, ClassNo, DEAD};
use crate::error::{Error, Result};

const KIND: Kind = (b"SLSIGNS\n", 1);

/// A sealed segment, open for searching.
#[derive(Debug)]
pub(super) struct Segment {
    id: u32,
    path: PathBuf,
    bytes: Mmap,
    rows: u32,
    runs: usize,
    opened: Instant,
    /// Come when they have been built.
    clusters: OnceLock<Clusters>,
}

impl Segment {
    /// Writes the segment of these rows and opens it. `signs` appends the sign code of a chunk.
    pub(super) fn write(
        dir: &Path,
        id: u32,
        origin: &Origin,
        mut rows: Vec<(ClassNo, u32)>,
        mut signs: impl FnMut(u32, &mut Vec<u64>) -> Result<()>,
    ) -> Result<Segment> {
        rows.sort_unstable();
        let mut starts = Vec::new();
        for (at, (class, _)) in (0u32..).zip(&rows) {
            if starts.last().is_none_or(|(last, _)| last != class) {
                starts.push((*class, at));
            }
        }
        let count = u32::try_from(rows.len()).expect("INVARIANT: a segment holds fewer than 2^32 rows");
        let mut body: Vec<u8> = starts.iter().flat_map(|(class, _)| class.to_le_bytes()).collect();
        body.extend(starts.iter().map(|(_, start)| start).chain([&count]).flat_map(|start| start.to_le_bytes()));
        body.extend(rows.iter().flat_map(|(_, chunk)| chunk.to_le_bytes()));
        body.resize(body.len().next_multiple_of(64), 0);
        let mut code = Vec::new();
        for block in rows.chunks(BLOCK_ROWS) {
            code.clear();
            for (_, chunk) in block {
                signs(*chunk, &mut code)?;
            }
            quantize::push_block(&code, origin.dimensions, &mut body);
        }
        let head = head_of(KIND, origin, [count, starts.len() as u32], &blake3::hash(&body));
        replace(&path(dir, id), &[&head, &body])?;
        Segment::open(dir, id, origin)
    }

    /// Opens a segment of this catalog and dimension that is not ahead of the sequence; its head and length are checked.
    pub(super) fn open(dir: &Path, id: u32, origin: &Origin) -> Result<Segment> {
        let path = path(dir, id);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let bytes = map(&file, &path)?;
        let [rows, runs] = read_head(&path, &bytes, KIND, origin)?;
        let segment =
            Segment { id, rows, runs: runs as usize, opened: Instant::now(), bytes, path: path.clone(), clusters: OnceLock::new() };
        let whole = segment.blocks_at() + quantize::blocks_bytes(segment.rows as usize, origin.dimensions);
        if segment.bytes.len() != whole {
            return Err(Error::corrupt(path.display().to_string(), "its length is not what its head says"));
        }
        Ok(segment)
    }

    /// How long ago it was sealed, or opened.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Checks every byte.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the body is not what was written.
    pub(super) fn verify(&self) -> Result<()> {
        verify_body(&self.path, &self.bytes)?;
        self.clusters().map_or(Ok(()), Clusters::verify)
    }

    /// Brings it and its clusters into memory.
    pub(super) fn warm(&self) {
        warm(&self.bytes);
        self.clusters().into_iter().for_each(Clusters::warm);
    }

    /// Its number, which is never used again.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// The folder that it is kept in.
    pub(super) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The BLAKE3 hash of its body.
    pub(super) fn hash(&self) -> &[u8] {
        body_hash(&self.bytes)
    }

    /// Its clusters, when it has any.
    pub(super) fn clusters(&self) -> Option<&Clusters> {
        self.clusters.get()
    }

    /// Gives it its clusters.
    pub(super) fn set_clusters(&self, clusters: Clusters) {
        // Only the upkeep thread builds them, and only where there are none.
        let _ = self.clusters.set(clusters);
    }

    /// How many rows it holds.
    pub(super) fn len(&self) -> u32 {
        self.rows
    }

    /// The chunk of each row.
    #[inline]
    pub(super) fn chunks(&self) -> &[[u8; 4]] {
        self.numbers(2 * self.runs + 1, self.rows as usize)
    }

    /// The sign codes, in blocks.
    #[inline]
    pub(super) fn blocks(&self) -> &[u8] {
        self.bytes.get(self.blocks_at()..).unwrap_or_default()
    }

    /// The runs, by class: the class and its rows.
    pub(super) fn runs(&self) -> impl Iterator<Item = (ClassNo, Range<u32>)> + '_ {
        self.classes().iter().zip(self.starts().windows(2)).map(|(class, bounds)| {
            let bound = |at: usize| bounds.get(at).map_or(0, |bound| u32::from_le_bytes(*bound));
            (u32::from_le_bytes(*class), bound(0)..bound(1))
        })
    }

    /// The rows whose class is in `permitted`, which holds `count` classes; runs that touch are one range. Costs the smaller
    /// of the two numbers of classes.
    pub(super) fn permitted(&self, permitted: &Bits, count: usize) -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        let mut add = |rows: Range<u32>| match ranges.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => ranges.push(rows),
        };
        if count.saturating_mul(8) >= self.runs {
            self.runs().filter(|(class, _)| permitted.contains(*class)).for_each(|(_, rows)| add(rows));
            return ranges;
        }
        let (classes, starts) = (self.classes(), self.starts());
        let start = |at: usize| starts.get(at).map_or(0, |start| u32::from_le_bytes(*start));
        for class in permitted.iter() {
            if let Ok(at) = classes.binary_search_by_key(&class, |class| u32::from_le_bytes(*class)) {
                add(start(at)..start(at + 1));
            }
        }
        ranges
    }

    /// The class that a row was sealed with.
    pub(super) fn class_of(&self, at: u32) -> ClassNo {
        let run = self.starts().partition_point(|start| u32::from_le_bytes(*start) <= at);
        run.checked_sub(1).and_then(|run| self.classes().get(run)).map_or(DEAD, |class| u32::from_le_bytes(*class))
    }

    fn classes(&self) -> &[[u8; 4]] {
        self.numbers(0, self.runs)
    }

    fn starts(&self) -> &[[u8; 4]] {
        self.numbers(self.runs, self.runs + 1)
    }

    /// `count` numbers of the body, from the one at `first`.
    #[inline]
    fn numbers(&self, first: usize, count: usize) -> &[[u8; 4]] {
        let bytes = self.bytes.get(HEAD_BYTES + first * 4..HEAD_BYTES + (first + count) * 4);
        bytes.unwrap_or_default().as_chunks().0
    }

    fn blocks_at(&self) -> usize {
        HEAD_BYTES + ((2 * self.runs + 1 + self.rows as usize) * 4).next_multiple_of(64)
    }
}

/// Where a segment is kept.
pub(super) fn path(dir: &Path, id: u32) -> PathBuf {
    dir.join(format!("signs-{id:08}.seg"))
}
