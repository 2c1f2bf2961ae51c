//! Which segments are merged, and merging in the background.
//!
//! Only neighbours are merged, so that segments never overlap. A segment in a folder is also rewritten for the sake of its
//! dead chunks. The number of segments grows with the logarithm of the chunks, up to a size at which they stay as they are.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::index::Part;
use super::segment::Segment;
use crate::access::Bits;
use crate::error::{Error, Result};

/// So many neighbours of like size become one.
const RUN: usize = 4;
/// A segment of more chunks is made by no merge.
const MAX_SEGMENT_CHUNKS: usize = 1_000_000;
/// A segment is rewritten when one of so many of its chunks is dead.
const DEAD_SHARE: usize = 4;

/// Segments in memory of so many chunks are left for the next checkpoint.
const LARGE_IN_MEMORY: usize = 1_000;

/// The newest segments in memory, when they are small and of like size: each level holds up to three.
pub(super) fn in_memory(parts: &[Part]) -> Option<Range<usize>> {
    let level = |part: &Part| part.segment.len().max(1).ilog(RUN);
    let newest = parts.last().filter(|part| part.folder.is_none() && part.segment.len() < LARGE_IN_MEMORY)?;
    let run = parts.iter().rev().take_while(|part| part.folder.is_none() && level(part) <= level(newest)).count();
    (run >= RUN).then(|| parts.len() - run..parts.len())
}

/// The segments in folders that are best merged next.
pub(super) fn in_folders(parts: &[Part]) -> Option<Range<usize>> {
    let folders = parts.partition_point(|part| part.folder.is_some());
    let parts = parts.get(..folders)?;
    let like = parts.windows(RUN).enumerate().filter_map(|(at, run)| {
        let total: usize = run.iter().map(Part::living).sum();
        let largest = run.iter().map(Part::living).max()?;
        (total <= MAX_SEGMENT_CHUNKS && largest * 2 <= total).then_some((total, at))
    });
    let like = like.min().map(|(_, at)| at..at + RUN);
    like.or_else(|| parts.iter().position(|part| part.dead * DEAD_SHARE >= part.segment.len()).map(|at| at..at + 1))
}

/// A merge under way.
pub(super) struct Merging {
    parts: Vec<u64>,
    folder: String,
    thread: JoinHandle<Result<Option<Segment>>>,
}

impl Merging {
    /// Begins to merge into the empty folder `dir`.
    pub(super) fn start(parts: Vec<Arc<Segment>>, dead: Bits, dir: PathBuf, folder: String) -> Merging {
        let ids = parts.iter().map(|segment| segment.id).collect();
        let thread = std::thread::spawn(move || Segment::merge(&parts, &dead, Some(&dir)));
        Merging { parts: ids, folder, thread }
    }

    /// The folder that is being written.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// True when [`Merging::finish`] does not wait.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// The segments that were merged, the folder, and the segment that it holds, unless nothing of it lives.
    pub(super) fn finish(self) -> Result<(Vec<u64>, String, Option<Segment>)> {
        let merged = self.thread.join().map_err(|_| Error::corrupt("keyword merge", "its thread panicked"))??;
        Ok((self.parts, self.folder, merged))
    }
}
