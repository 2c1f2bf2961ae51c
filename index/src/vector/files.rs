//! Rows of one length by chunk number, in memory-mapped files that grow by whole files, so that a writer never moves what a
//! search reads.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Rows of one file.
pub(super) const FILE_ROWS: u32 = 65_536;
/// Bytes of a page, or of a part of one where pages are larger.
const PAGE_BYTES: usize = 4_096;

/// The files of one kind of row, open for writing.
#[derive(Debug)]
pub(super) struct RowFiles {
    dir: PathBuf,
    /// What their names begin and end with.
    name: (&'static str, &'static str),
    row_bytes: usize,
    files: Vec<(File, Arc<Mmap>)>,
}

/// What a search reads. Rows of chunks that came later may appear in it; no permit of the search admits them.
#[derive(Clone, Debug, Default)]
pub(super) struct RowMap {
    row_bytes: usize,
    files: Arc<[Arc<Mmap>]>,
}

impl RowFiles {
    /// No files yet.
    pub(super) fn new(dir: &Path, name: (&'static str, &'static str), row_bytes: usize) -> RowFiles {
        RowFiles { dir: dir.to_owned(), name, row_bytes, files: Vec::new() }
    }

    /// Opens the files that are there. A file that is too short is filled with zeros.
    pub(super) fn open_all(&mut self) -> Result<()> {
        while self.path(self.files.len()).exists() {
            self.grow()?;
        }
        Ok(())
    }

    /// True when the next file is there with all its rows.
    pub(super) fn next_is_whole(&self) -> bool {
        std::fs::metadata(self.path(self.files.len())).is_ok_and(|file| file.len() == self.file_bytes())
    }

    /// How many files are open.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Makes the next file, or opens it when it is there.
    pub(super) fn grow(&mut self) -> Result<()> {
        let path = self.path(self.files.len());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(Error::io(&path))?;
        file.set_len(self.file_bytes()).map_err(Error::io(&path))?;
        let rows = map(&file, &path)?;
        self.files.push((file, Arc::new(rows)));
        Ok(())
    }

    /// Writes a row; a search that starts later reads it.
    pub(super) fn put(&mut self, chunk: u32, row: &[u8]) -> Result<()> {
        debug_assert_eq!(row.len(), self.row_bytes);
        let at = (chunk / FILE_ROWS) as usize;
        while self.files.len() <= at {
            self.grow()?;
        }
        let (file, _) = self.files.get(at).expect("INVARIANT: the file was just made");
        let offset = u64::from(chunk % FILE_ROWS) * self.row_bytes as u64;
        file.write_all_at(row, offset).map_err(Error::io(self.path(at)))
    }

    /// Makes the rows durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.files.iter().enumerate().try_for_each(|(at, (file, _))| file.sync_data().map_err(Error::flush(self.path(at))))
    }

    /// What a search reads.
    pub(super) fn map(&self) -> RowMap {
        RowMap { row_bytes: self.row_bytes, files: self.files.iter().map(|(_, rows)| rows.clone()).collect() }
    }

    fn file_bytes(&self) -> u64 {
        u64::from(FILE_ROWS) * self.row_bytes as u64
    }

    fn path(&self, file: usize) -> PathBuf {
        self.dir.join(format!("{}-{file:05}.{}", self.name.0, self.name.1))
    }
}

impl RowMap {
    /// Brings all rows into memory, file by file as long as `go_on` says so.
    pub(super) fn warm(&self, go_on: impl Fn() -> bool) {
        self.files.iter().take_while(|_| go_on()).for_each(|rows| warm(rows));
    }

    /// The row of a chunk.
    #[inline]
    pub(super) fn get(&self, chunk: u32) -> Option<&[u8]> {
        let start = (chunk % FILE_ROWS) as usize * self.row_bytes;
        self.files.get((chunk / FILE_ROWS) as usize)?.get(start..start + self.row_bytes)
    }
}

/// Writes a file in place of the one that is there: after a crash it is the old one or the new one, whole.
pub(super) fn replace(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh).map_err(Error::io(&fresh))?;
    parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all()).map_err(Error::io(&fresh))?;
    put_in_place(&fresh, path)
}

/// Gives a file that is whole and on disk its name.
pub(super) fn put_in_place(fresh: &Path, path: &Path) -> Result<()> {
    std::fs::rename(fresh, path).map_err(Error::io(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))
}

/// Reads a byte of every page, so that the first searches do not wait for pages one after the other.
pub(super) fn warm(bytes: &[u8]) {
    bytes.iter().step_by(PAGE_BYTES).for_each(|byte| _ = std::hint::black_box(*byte));
}

/// Maps a file of the data directory.
pub(super) fn map(file: &File, path: &Path) -> Result<Mmap> {
    #[expect(unsafe_code, reason = "memory maps are unsafe to make; see SAFETY")]
    // SAFETY: the file belongs to the process that holds the lock of the data directory, is never shortened while it is
    // mapped, and a row is written before any search may read it.
    unsafe { Mmap::map(file) }.map_err(Error::io(path))
}
