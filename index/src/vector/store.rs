//! Vectors on disk: row `n` of the file is the vector of chunk `n`, as little-endian f32.
//!
//! The file is derived from the catalog and grows by whole segments of rows, so that a search maps what it reads and a
//! writer never moves it. A marker file names the catalog and the sequence that the rows reflect; it is written after
//! the rows are on disk, and whatever it does not cover is written again at open.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Rows of one file.
const SEGMENT_ROWS: u32 = 65_536;

/// The rows of all chunks, open for writing.
#[derive(Debug)]
pub(crate) struct VectorStore {
    dir: PathBuf,
    catalog: String,
    dimensions: usize,
    segments: Vec<Segment>,
    applied: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    file: Arc<File>,
    rows: Arc<Mmap>,
}

/// What a search reads. Rows of chunks that came later may appear in it; no permit of the search admits them.
#[derive(Clone, Debug, Default)]
pub(crate) struct VectorSnapshot {
    dimensions: usize,
    segments: Arc<[Arc<Mmap>]>,
}

impl VectorStore {
    /// Opens the rows in `dir`. Rows of another catalog or dimension, or that are ahead of `seq`, are deleted when `write`
    /// is set, and `applied()` is 0 then.
    pub(crate) fn open(dir: &Path, catalog: &str, dimensions: usize, seq: u64, write: bool) -> Result<VectorStore> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut store =
            VectorStore { dir: dir.to_owned(), catalog: catalog.to_owned(), dimensions, segments: Vec::new(), applied: 0 };
        let marker = std::fs::read_to_string(store.marker()).unwrap_or_default();
        match read_marker(&marker, catalog, dimensions) {
            Some(applied) if applied <= seq || !write => {
                while store.path(store.segments.len()).exists() {
                    store.grow()?;
                }
                store.applied = applied;
            }
            _ if !write => {}
            _ => {
                std::fs::remove_dir_all(dir).map_err(Error::io(dir))?;
                std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
            }
        }
        Ok(store)
    }

    /// The catalog sequence that the rows on disk reflect.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// Writes the vector of a chunk; a search that starts later reads it.
    pub(crate) fn put(&mut self, chunk: u32, vector: &[f32]) -> Result<()> {
        debug_assert_eq!(vector.len(), self.dimensions);
        let at = (chunk / SEGMENT_ROWS) as usize;
        while self.segments.len() <= at {
            self.grow()?;
        }
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        let offset = u64::from(chunk % SEGMENT_ROWS) * self.row_bytes();
        let segment = self.segments.get(at).expect("INVARIANT: the segment was just made");
        segment.file.write_all_at(&bytes, offset).map_err(Error::io(self.path(at)))
    }

    /// Makes the rows durable and records that they reflect `seq`.
    pub(crate) fn checkpoint(&mut self, seq: u64) -> Result<()> {
        for (at, segment) in self.segments.iter().enumerate() {
            segment.file.sync_data().map_err(Error::io(self.path(at)))?;
        }
        let (marker, fresh) = (self.marker(), self.dir.join("applied.new"));
        let mut file = File::create(&fresh).map_err(Error::io(&fresh))?;
        file.write_all(format!("1 {} {} {seq}", self.catalog, self.dimensions).as_bytes()).map_err(Error::io(&fresh))?;
        file.sync_all().map_err(Error::io(&fresh))?;
        std::fs::rename(&fresh, &marker).map_err(Error::io(&marker))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(Error::io(&self.dir))?;
        self.applied = seq;
        Ok(())
    }

    /// What a search reads.
    pub(crate) fn snapshot(&self) -> VectorSnapshot {
        VectorSnapshot { dimensions: self.dimensions, segments: self.segments.iter().map(|segment| segment.rows.clone()).collect() }
    }

    /// Makes the next segment, or opens it when its file is there; a short file is filled with zeros.
    fn grow(&mut self) -> Result<()> {
        let path = self.path(self.segments.len());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(Error::io(&path))?;
        file.set_len(u64::from(SEGMENT_ROWS) * self.row_bytes()).map_err(Error::io(&path))?;
        #[expect(unsafe_code, reason = "memory maps are unsafe to make; see SAFETY")]
        // SAFETY: the file belongs to this process alone (the data directory is locked), is never shortened while it is
        // mapped, and a row is written before any search may read it.
        let rows = unsafe { Mmap::map(&file) }.map_err(Error::io(&path))?;
        self.segments.push(Segment { file: Arc::new(file), rows: Arc::new(rows) });
        Ok(())
    }

    fn row_bytes(&self) -> u64 {
        self.dimensions as u64 * 4
    }

    fn path(&self, segment: usize) -> PathBuf {
        self.dir.join(format!("rows-{segment:05}.f32"))
    }

    fn marker(&self) -> PathBuf {
        self.dir.join("applied")
    }
}

fn read_marker(marker: &str, catalog: &str, dimensions: usize) -> Option<u64> {
    let words: Vec<&str> = marker.split(' ').collect();
    match words.as_slice() {
        ["1", known, width, seq] if *known == catalog && *width == dimensions.to_string() => seq.parse().ok(),
        _ => None,
    }
}

impl VectorSnapshot {
    /// The number of values in a vector; 0 without a model.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The inner product of a chunk's vector with `query`; `None` when the chunk has no row.
    #[inline]
    pub(crate) fn similarity(&self, chunk: u32, query: &[f32]) -> Option<f32> {
        let rows = self.segments.get((chunk / SEGMENT_ROWS) as usize)?;
        let width = self.dimensions * 4;
        let start = (chunk % SEGMENT_ROWS) as usize * width;
        let row = rows.get(start..start + width)?;
        let (row, _) = row.as_chunks::<4>();
        Some(dot_le(row, query))
    }
}

/// The inner product with a row of little-endian bytes; on little-endian machines a plain load.
#[inline]
fn dot_le(row: &[[u8; 4]], query: &[f32]) -> f32 {
    let mut values = [0f32; 64];
    let mut sum = 0f32;
    for (row, query) in row.chunks(64).zip(query.chunks(64)) {
        for (value, bytes) in values.iter_mut().zip(row) {
            *value = f32::from_le_bytes(*bytes);
        }
        sum += super::dot(values.get(..row.len()).unwrap_or_default(), query);
    }
    sum
}
