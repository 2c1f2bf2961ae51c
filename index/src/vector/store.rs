//! Vectors on disk: row `n` is the vector of chunk `n`, as little-endian f32, and beside it row `n` of its int8 code.
//!
//! Both are derived from the catalog. A marker file names the catalog and the sequence that the rows reflect; it is written
//! after the rows are on disk, and whatever it does not cover is written again at open. Codes that are missing are made
//! from the rows.

use std::path::{Path, PathBuf};

use super::files::{FILE_ROWS, RowFiles, RowMap, replace};
use super::quantize;
use crate::error::{Error, Result};

/// The format that the marker names; 1 had no codes.
const FORMAT: u32 = 2;

/// The rows of all chunks, open for writing.
#[derive(Debug)]
pub(crate) struct VectorStore {
    dir: PathBuf,
    catalog: String,
    dimensions: usize,
    rows: RowFiles,
    codes: RowFiles,
    applied: u64,
    /// Room for one row and one code.
    room: (Vec<u8>, Vec<u8>),
}

/// The rows that were in a store at one moment, and their codes.
pub(crate) struct Stored {
    pub(super) dimensions: usize,
    pub(super) rows: RowMap,
    pub(super) codes: RowMap,
}

impl VectorStore {
    /// Opens the rows in `dir`. Rows of another catalog or dimension, or that are ahead of `seq`, are deleted when `write`
    /// is set, and `applied()` is 0 then.
    pub(crate) fn open(dir: &Path, catalog: &str, dimensions: usize, seq: u64, write: bool) -> Result<VectorStore> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut store = VectorStore {
            dir: dir.to_owned(),
            catalog: catalog.to_owned(),
            dimensions,
            rows: RowFiles::new(dir, ("rows", "f32"), dimensions * 4),
            codes: RowFiles::new(dir, ("codes", "i8"), quantize::code_bytes(dimensions)),
            applied: 0,
            room: Default::default(),
        };
        let marker = std::fs::read_to_string(store.marker()).unwrap_or_default();
        match read_marker(&marker, catalog, dimensions) {
            Some((format, applied)) if applied <= seq || !write => {
                store.rows.open_all()?;
                store.open_codes(format == FORMAT, write)?;
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

    /// The number of values in a vector.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Writes the vector of a chunk; a search that starts later reads it.
    pub(crate) fn put(&mut self, chunk: u32, vector: &[f32]) -> Result<()> {
        debug_assert_eq!(vector.len(), self.dimensions);
        let (row, code) = &mut self.room;
        row.clear();
        row.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
        code.clear();
        quantize::encode(vector, code);
        self.rows.put(chunk, row)?;
        self.codes.put(chunk, code)
    }

    /// Makes the rows durable and records that they reflect `seq`.
    pub(crate) fn checkpoint(&mut self, seq: u64) -> Result<()> {
        self.rows.sync()?;
        self.codes.sync()?;
        replace(&self.marker(), &[format!("{FORMAT} {} {} {seq}", self.catalog, self.dimensions).as_bytes()])?;
        self.applied = seq;
        Ok(())
    }

    /// What a search reads of it.
    pub(crate) fn stored(&self) -> Stored {
        Stored { dimensions: self.dimensions, rows: self.rows.map(), codes: self.codes.map() }
    }

    /// Opens the codes of the rows; where they are missing a writer makes them, and a reader does without.
    fn open_codes(&mut self, known: bool, write: bool) -> Result<()> {
        while self.codes.len() < self.rows.len() {
            if known && self.codes.next_is_whole() {
                self.codes.grow()?;
            } else if write {
                self.encode_file()?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Makes the next file of codes from the rows.
    fn encode_file(&mut self) -> Result<()> {
        let first = u32::try_from(self.codes.len()).unwrap_or(u32::MAX).saturating_mul(FILE_ROWS);
        tracing::info!(first, "making the codes of vectors");
        let rows = self.rows.map();
        let (mut vector, mut code) = (Vec::new(), Vec::new());
        for chunk in first..first.saturating_add(FILE_ROWS) {
            let row = rows.get(chunk).unwrap_or_default();
            vector.clear();
            vector.extend(row.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)));
            if vector.iter().any(|value| *value != 0.0) {
                code.clear();
                quantize::encode(&vector, &mut code);
                self.codes.put(chunk, &code)?;
            }
        }
        if self.codes.len() as u64 * u64::from(FILE_ROWS) <= u64::from(first) {
            self.codes.grow()?;
        }
        Ok(())
    }

    fn marker(&self) -> PathBuf {
        self.dir.join("applied")
    }
}

/// The format and the sequence that a marker names.
fn read_marker(marker: &str, catalog: &str, dimensions: usize) -> Option<(u32, u64)> {
    let words: Vec<&str> = marker.split(' ').collect();
    match words.as_slice() {
        [format @ ("1" | "2"), known, width, seq] if *known == catalog && *width == dimensions.to_string() => {
            Some((format.parse().ok()?, seq.parse().ok()?))
        }
        _ => None,
    }
}

/// The inner product of a row of little-endian bytes with `query`; on little-endian machines a plain load.
#[inline]
pub(super) fn dot_le(row: &[u8], query: &[f32]) -> f32 {
    let (row, _) = row.as_chunks::<4>();
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
