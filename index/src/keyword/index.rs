//! The index of chunks: immutable segments, oldest first, and what a search reads of them.
//!
//! New chunks become a small segment in memory, searchable at once and without touching the disk; small segments are merged
//! as they come, so that few remain. A checkpoint writes what is in memory as one segment in a folder of its own and then,
//! in one rename, a manifest that names analysis version, catalog, the sequence that the folders reflect, and the folders.
//! What came after that sequence is replayed from the catalog at open. Folders are merged in the background.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::analyze::{self, Language};
use super::bm25::Corpus;
use super::by_class::SORTED_FROM;
use super::merge::{self, Merging};
use super::readable::{Permits, Readable};
use super::segment::{FIELD_GAP, Segment};
use crate::access::{Bits, ClassNo, Permit};
use crate::error::{Error, Result};
use crate::rows::Rows;

/// Raised when `analyze` yields other terms or the layout changes, so that older indexes are rebuilt.
const ANALYSIS: u32 = 4;
const MANIFEST: &str = "manifest.json";
/// How many added chunks become a segment, at most; and how many are kept in memory while many are added.
const MAX_PENDING_CHUNKS: usize = 8_192;
const MAX_MEMORY_CHUNKS: usize = 32_768;

/// How often the terms of a title are counted.
pub(super) const TITLE_WEIGHT: usize = 1;
/// How often the terms of a heading are counted.
pub(super) const HEADING_WEIGHT: usize = 1;

/// The index, open for reading and perhaps for writing.
pub(crate) struct KeywordIndex {
    dir: PathBuf,
    catalog: String,
    applied: u64,
    /// Those in folders come first.
    parts: Vec<Part>,
    pending: Vec<(u32, String)>,
    dead: Bits,
    merging: Option<Merging>,
    merge_failed: bool,
    permits: Arc<Permits>,
    next_folder: u64,
}

/// A segment of the index.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    /// The folder that holds it; `None` in memory.
    pub(super) folder: Option<String>,
    pub(super) dead: usize,
}

impl Part {
    pub(super) fn living(&self) -> usize {
        self.segment.len().saturating_sub(self.dead)
    }
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    analysis: u32,
    catalog: String,
    applied: u64,
    folders: Vec<String>,
    /// BLAKE3 of the others, in hex.
    #[serde(default)]
    sum: String,
}

impl Manifest {
    fn computed_sum(&self) -> String {
        let fields = format!("{:?}", (self.analysis, &self.catalog, self.applied, &self.folders));
        blake3::hash(fields.as_bytes()).to_string()
    }
}

impl KeywordIndex {
    /// Opens the index in `dir`. One that belongs to another catalog or analysis, is ahead of `seq`, or cannot be read is
    /// emptied: `applied()` is 0 then and the engine replays everything. The caller names the dead by [`Self::remove`].
    pub(crate) fn open(dir: &Path, catalog: &str, seq: u64, write: bool) -> Result<KeywordIndex> {
        let known = KeywordIndex::try_open(dir, catalog, seq, write);
        let index = match known {
            Ok(Some(index)) => index,
            Ok(None) | Err(_) if write => {
                if dir.exists() {
                    tracing::warn!(dir = %dir.display(), "the keyword index is stale or damaged and is rebuilt from the catalog");
                    std::fs::remove_dir_all(dir).map_err(Error::io(dir))?;
                }
                std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
                let index = KeywordIndex::of(dir, catalog, 0, Vec::new());
                index.write_manifest(0)?;
                index
            }
            // Beside the process that writes, what is missing is made in memory.
            Ok(None) => KeywordIndex::of(dir, catalog, 0, Vec::new()),
            Err(error) => return Err(error),
        };
        if write {
            index.remove_other_folders()?;
        }
        Ok(index)
    }

    fn of(dir: &Path, catalog: &str, applied: u64, parts: Vec<Part>) -> KeywordIndex {
        let numbers = parts.iter().filter_map(|part| part.folder.as_deref()?.strip_prefix('s')?.parse::<u64>().ok());
        KeywordIndex {
            next_folder: numbers.max().map_or(1, |last| last + 1),
            dir: dir.to_owned(),
            catalog: catalog.to_owned(),
            applied,
            parts,
            pending: Vec::new(),
            dead: Bits::default(),
            merging: None,
            merge_failed: false,
            permits: Arc::new(Permits::new(SORTED_FROM)),
        }
    }

    fn try_open(dir: &Path, catalog: &str, seq: u64, write: bool) -> Result<Option<KeywordIndex>> {
        let path = dir.join(MANIFEST);
        let manifest = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| Error::corrupt("keyword manifest", error))?;
        let known = manifest.analysis == ANALYSIS && manifest.catalog == catalog && manifest.sum == manifest.computed_sum();
        if !known || (write && manifest.applied > seq) {
            return Ok(None);
        }
        let open = |folder: String| {
            let segment = Arc::new(Segment::open(&dir.join(&folder))?);
            Ok(Part { segment, folder: Some(folder), dead: 0 })
        };
        let parts = manifest.folders.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Some(KeywordIndex::of(dir, catalog, manifest.applied, parts)))
    }

    /// Sorts segments of so many chunks and more by class, from now on.
    pub(crate) fn sort_from(&mut self, chunks: usize) {
        self.permits = Arc::new(Permits::new(chunks));
    }

    /// The catalog sequence that the index on disk reflects.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// Adds a chunk with a higher number than any before. `terms` are those of [`indexed_terms`].
    pub(crate) fn add(&mut self, chunk: u32, terms: String) -> Result<()> {
        self.pending.push((chunk, terms));
        if self.pending.len() >= MAX_PENDING_CHUNKS {
            self.publish()?;
        }
        Ok(())
    }

    /// Lets the next merge drop a dead chunk.
    pub(crate) fn remove(&mut self, chunk: u32) {
        let at = self.parts.partition_point(|part| part.segment.chunks.last().is_some_and(|last| *last < chunk));
        if self.dead.insert(chunk)
            && let Some(part) = self.parts.get_mut(at).filter(|part| part.segment.doc(chunk).is_some())
        {
            part.dead += 1;
        }
    }

    /// Makes what was added part of the next snapshot.
    pub(crate) fn publish(&mut self) -> Result<()> {
        match self.finish_merge(false) {
            Err(error) if error.is_out_of_space() => tracing::warn!(%error, "the keyword index keeps the files that it merged"),
            finished => finished?,
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.sort_by_key(|(chunk, _)| *chunk);
        let segment = Arc::new(Segment::build(&self.pending)?);
        self.pending.clear();
        let dead = self.dead_in(&segment);
        self.parts.push(Part { segment, folder: None, dead });
        while let Some(run) = merge::in_memory(&self.parts) {
            let merged = self.merge_run(run.clone(), None)?;
            self.parts.splice(run, merged);
        }
        Ok(())
    }

    /// Writes what is in memory, and records that the index on disk reflects `seq`.
    pub(crate) fn checkpoint(&mut self, seq: u64) -> Result<()> {
        self.publish()?;
        if self.applied < seq {
            self.flush()?;
            self.parts.retain(|part| part.living() > 0);
            self.write_manifest(seq)?;
            self.applied = seq;
        }
        if self.merging.is_none()
            && !self.merge_failed
            && let Some(run) = merge::in_folders(&self.parts)
        {
            let folder = self.folder()?;
            let parts = self.parts.get(run).unwrap_or_default().iter().map(|part| part.segment.clone()).collect();
            self.merging = Some(Merging::start(parts, self.dead.clone(), self.dir.join(&folder), folder));
        }
        Ok(())
    }

    /// Writes what is in memory into a folder that no manifest names yet.
    fn flush(&mut self) -> Result<()> {
        let start = self.parts.partition_point(|part| part.folder.is_some());
        let run = start..self.parts.len();
        if !run.is_empty() {
            let folder = self.folder()?;
            let merged = self.merge_run(run.clone(), Some(folder))?;
            self.parts.splice(run, merged);
        }
        Ok(())
    }

    fn merge_run(&self, run: std::ops::Range<usize>, folder: Option<String>) -> Result<Option<Part>> {
        let segments: Vec<_> = self.parts.get(run).unwrap_or_default().iter().map(|part| part.segment.clone()).collect();
        let path = folder.as_ref().map(|folder| self.dir.join(folder));
        let merged = Segment::merge(&segments, &self.dead, path.as_deref())?;
        Ok(merged.map(|segment| Part { segment: Arc::new(segment), folder, dead: 0 }))
    }

    /// Puts the segment that was merged in the background in the place of its parts.
    fn finish_merge(&mut self, wait: bool) -> Result<()> {
        let Some(merging) = self.merging.take_if(|merging| wait || merging.is_finished()) else { return Ok(()) };
        let (ids, folder, merged) = match merging.finish() {
            Ok(merged) => merged,
            Err(error) => {
                // Its parts are as they were; a disk that failed once is not tried again before the next open.
                tracing::warn!(%error, "segments of the keyword index could not be merged");
                self.merge_failed = true;
                return Ok(());
            }
        };
        // Parts of which nothing lives may have been dropped meanwhile.
        let Some(first) = self.parts.iter().position(|part| ids.contains(&part.segment.id)) else { return Ok(()) };
        self.parts.retain({
            let mut at = 0;
            move |part| {
                at += 1;
                at - 1 == first || !ids.contains(&part.segment.id)
            }
        });
        let merged = merged.map(|segment| {
            let dead = self.dead_in(&segment);
            Part { segment: Arc::new(segment), folder: Some(folder), dead }
        });
        self.parts.splice(first..=first, merged);
        self.write_manifest(self.applied)?;
        self.remove_other_folders()
    }

    fn dead_in(&self, segment: &Segment) -> usize {
        segment.chunks.iter().filter(|chunk| self.dead.contains(**chunk)).count()
    }

    fn folder(&mut self) -> Result<String> {
        let folder = format!("s{}", self.next_folder);
        self.next_folder += 1;
        let path = self.dir.join(&folder);
        std::fs::create_dir_all(&path).map_err(Error::io(&path))?;
        Ok(folder)
    }

    fn write_manifest(&self, applied: u64) -> Result<()> {
        let folders = self.parts.iter().filter_map(|part| part.folder.clone()).collect();
        let mut manifest = Manifest { analysis: ANALYSIS, catalog: self.catalog.clone(), applied, folders, sum: String::new() };
        manifest.sum = manifest.computed_sum();
        let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::corrupt("keyword manifest", error))?;
        let (path, new) = (self.dir.join(MANIFEST), self.dir.join("manifest.new"));
        let mut file = File::create(&new).map_err(Error::io(&new))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(Error::io(&new))?;
        std::fs::rename(&new, &path).map_err(Error::io(&path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(Error::io(&self.dir))
    }

    /// Removes folders that hold no part of the index and are not being written.
    fn remove_other_folders(&self) -> Result<()> {
        let used = |name: &str| {
            self.parts.iter().any(|part| part.folder.as_deref() == Some(name))
                || self.merging.as_ref().is_some_and(|merging| merging.folder() == name)
        };
        for entry in std::fs::read_dir(&self.dir).map_err(Error::io(&self.dir))? {
            let entry = entry.map_err(Error::io(&self.dir))?;
            if entry.path().is_dir() && !used(&entry.file_name().to_string_lossy()) {
                std::fs::remove_dir_all(entry.path()).map_err(Error::io(entry.path()))?;
            }
        }
        Ok(())
    }

    /// The chunks that the index still holds, alive or not.
    pub(crate) fn chunks(&self) -> Vec<u32> {
        self.parts.iter().flat_map(|part| &part.segment.chunks).copied().collect()
    }

    /// Keeps memory within bounds while a catalog is replayed, where nothing is published.
    pub(crate) fn spill(&mut self) -> Result<()> {
        let in_memory = self.parts.iter().filter(|part| part.folder.is_none()).map(|part| part.segment.len()).sum::<usize>();
        if in_memory >= MAX_MEMORY_CHUNKS { self.flush() } else { Ok(()) }
    }

    /// What a search reads: fixed until the next one is taken.
    pub(crate) fn snapshot(&self) -> KeywordSnapshot {
        let segments = self.parts.iter().map(|part| part.segment.clone()).collect();
        KeywordSnapshot { segments, permits: self.permits.clone() }
    }
}

impl Drop for KeywordIndex {
    /// Waits for a merge in the background: its folder is not to be written to after the directory is given up.
    fn drop(&mut self) {
        if let Some(merging) = self.merging.take() {
            drop(merging.finish());
        }
    }
}

/// What is indexed for a chunk.
pub(crate) struct Indexed {
    pub(crate) terms: String,
    /// How many terms there are.
    pub(crate) count: u32,
    /// The language whose stems they are.
    pub(crate) language: Language,
}

/// What is indexed for a chunk: the terms of its title, of headings that its text does not begin with, of its text, and its
/// identifiers, parted by spaces, and by [`FIELD_GAP`] where another field begins; and their number. Terms of titles and headings stand
/// there as often as they count. The language is told where it is not `known`: an index that is made anew is in the languages that the
/// catalog says, as highlights are.
pub(crate) fn indexed_terms(title: Option<&str>, headings: &[String], text: &str, known: Option<Language>) -> Indexed {
    let mut context = String::new();
    let mut parts = Vec::new();
    let titles = title.into_iter().map(|title| (title, TITLE_WEIGHT));
    for (part, weight) in titles.chain(headings.iter().map(|heading| (heading.as_str(), HEADING_WEIGHT))) {
        // The chunk under a heading begins with it.
        if !context.contains(part) && !text.get(..text.floor_char_boundary(part.len() + 8)).is_some_and(|head| head.contains(part))
        {
            context.push_str(part);
            context.push('\n');
            parts.push((context.len(), weight));
        }
    }
    context.push_str(text);
    parts.push((context.len(), 1));
    let language = known.unwrap_or_else(|| Language::of(&context));
    let mut joined = String::with_capacity(context.len() + parts.len());
    let (mut count, mut length, mut begin) = (0u32, 0u32, 0);
    let mut end_part = |joined: &mut String, length: u32, weight: usize| {
        joined.push(FIELD_GAP);
        let end = joined.len();
        (1..weight).for_each(|_| joined.extend_from_within(begin..end));
        begin = joined.len();
        count = count.saturating_add(length.saturating_mul(weight as u32));
    };
    let mut parts = parts.into_iter().peekable();
    analyze::each_term(&context, language, |term, span| {
        while let Some((_, weight)) = parts.next_if(|(end, _)| *end <= span.start) {
            end_part(&mut joined, std::mem::take(&mut length), weight);
        }
        joined.push_str(term);
        joined.push(' ');
        length += 1;
    });
    parts.for_each(|(_, weight)| end_part(&mut joined, std::mem::take(&mut length), weight));
    // A field of their own: phrases do not reach into it.
    for identifier in analyze::identifiers(&context) {
        joined.push_str(&identifier.text);
        joined.push(' ');
        count = count.saturating_add(1);
    }
    Indexed { terms: joined, count, language }
}

/// An unchanging view of the index.
#[derive(Clone)]
pub(crate) struct KeywordSnapshot {
    pub(super) segments: Arc<[Arc<Segment>]>,
    permits: Arc<Permits>,
}

impl KeywordSnapshot {
    /// What a permit admits of the index under `rows`; `corpus` counts the chunks that it admits.
    pub(crate) fn readable(&self, permit: &Permit, rows: &Rows<ClassNo>, corpus: impl FnOnce() -> Corpus) -> Arc<Readable> {
        self.permits.get(permit, &self.segments, rows, corpus)
    }

    /// Forgets what was counted for permits.
    pub(crate) fn forget_permits(&self) {
        self.permits.clear();
    }
}
