//! What memory keeps of chunks, in a file that is written when a directory is closed, so that the next open need not read the
//! documents of the whole catalog.
//!
//! The file names the catalog, its sequence and the sums over the rows that it was made from, and ends with a checksum: it is read
//! only where the catalog has the very same rows, and anything else about it means that the catalog is read instead.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use rusqlite::Connection;

use super::state::{Count, FACTS_BYTES, Facts, View};
use crate::access::{ClassNo, DEAD};
use crate::catalog::{meta, sums};
use crate::error::{Error, Result};
use crate::rows::{PAGE_ROWS, Rows};

const FILE: &str = "chunk-tables";
const MAGIC: &[u8] = b"sightline chunk tables 1\n";
/// The tables whose rows say what memory keeps of chunks.
const SOURCES: [&str; 4] = ["sources", "documents", "sections", "chunks"];
/// Bytes of a chunk (class, facts), of a class (chunks, tokens), and of the checksum.
const CHUNK_BYTES: usize = 4 + FACTS_BYTES;
const COUNT_BYTES: usize = 12;
const SUM_BYTES: usize = 32;

/// What memory keeps of chunks.
pub(super) struct Tables {
    pub(super) classes: Rows<ClassNo>,
    pub(super) facts: Rows<Facts>,
    pub(super) counts: Rows<Count>,
    pub(super) end: u32,
}

/// The catalog and its rows, as a file names what it was made from. Who may write could, with much work, write rows of the same sum,
/// but not at the same sequence.
fn origin(db: &Connection, catalog: &str) -> Result<Vec<u8>> {
    let seq = meta::<i64>(db, "seq")?.unwrap_or_default();
    let mut origin = [MAGIC, catalog.as_bytes(), &seq.to_le_bytes()].concat();
    for table in SOURCES {
        origin.extend(sums::stored(db, table)?.unwrap_or_default().to_le_bytes());
    }
    Ok(origin)
}

/// The tables, where the file in `dir` is whole and of these very rows of this catalog. Any other is deleted with `write`.
pub(super) fn load(dir: &Path, db: &Connection, catalog: &str, write: bool) -> Result<Option<Tables>> {
    let origin = origin(db, catalog)?;
    let path = dir.join(FILE);
    let Ok(file) = File::open(&path) else { return Ok(None) };
    // What cannot be read is read from the catalog.
    let tables = file.metadata().and_then(|file_data| read(&file, file_data.len(), &origin)).ok().flatten();
    if tables.is_none() && write {
        // One that stays is refused again.
        let _ = std::fs::remove_file(&path);
    }
    Ok(tables)
}

fn read(file: &File, length: u64, origin: &[u8]) -> std::io::Result<Option<Tables>> {
    let mut file = Hashing { inner: BufReader::new(file), hasher: blake3::Hasher::new() };
    let (mut named, mut sizes) = (vec![0; origin.len()], [[0; 4]; 2]);
    file.fill(&mut named)?;
    sizes.iter_mut().try_for_each(|size| file.fill(size))?;
    let [end, classes] = sizes.map(u32::from_le_bytes);
    let expected = origin.len() + 8 + end as usize * CHUNK_BYTES + classes as usize * COUNT_BYTES + SUM_BYTES;
    if named != origin || length != expected as u64 {
        return Ok(None);
    }
    let mut tables = Tables { classes: Rows::default(), facts: Rows::default(), counts: Rows::default(), end };
    let mut page = [[0; CHUNK_BYTES]; PAGE_ROWS as usize];
    for first in (0..end).step_by(PAGE_ROWS as usize) {
        let rows = page.get_mut(..(end - first).min(PAGE_ROWS) as usize).unwrap_or_default();
        file.fill(rows.as_flattened_mut())?;
        for (chunk, row) in (first..).zip(rows) {
            let Some((class, facts)) = row.split_first_chunk::<4>() else { continue };
            *tables.classes.get_mut(chunk) = ClassNo::from_le_bytes(*class);
            *tables.facts.get_mut(chunk) = Facts::of_bytes(facts);
        }
    }
    let (mut chunks, mut tokens) = ([0; 4], [0; 8]);
    for class in 0..classes {
        file.fill(&mut chunks)?;
        file.fill(&mut tokens)?;
        *tables.counts.get_mut(class) = Count { chunks: u32::from_le_bytes(chunks), tokens: u64::from_le_bytes(tokens) };
    }
    let mut sum = [0; SUM_BYTES];
    file.inner.read_exact(&mut sum)?;
    Ok((file.hasher.finalize() == sum).then_some(tables))
}

/// Writes the file, unless it is there.
pub(super) fn save(dir: &Path, db: &Connection, catalog: &str, view: &View) -> Result<()> {
    let origin = origin(db, catalog)?;
    let (path, fresh) = (dir.join(FILE), dir.join("chunk-tables.new"));
    let mut named = vec![0; origin.len()];
    if File::open(&path).and_then(|mut file| file.read_exact(&mut named)).is_ok() && named == origin {
        return Ok(());
    }
    // It is not flushed: one that a crash cuts off has another checksum.
    let written = File::create(&fresh).and_then(|file| write(&file, &origin, view)).and_then(|()| std::fs::rename(&fresh, &path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        Error::io(&path)(error)
    })
}

fn write(file: &File, origin: &[u8], view: &View) -> std::io::Result<()> {
    let mut file = Hashing { inner: BufWriter::new(file), hasher: blake3::Hasher::new() };
    let highest = (0..view.end).map(|chunk| view.classes.get(chunk)).filter(|class| *class != DEAD).max();
    let classes = highest.map_or(0, |highest| highest + 1);
    file.put(&[origin, &view.end.to_le_bytes(), &classes.to_le_bytes()].concat())?;
    let mut page = Vec::with_capacity(PAGE_ROWS as usize * CHUNK_BYTES);
    for first in (0..view.end).step_by(PAGE_ROWS as usize) {
        page.clear();
        for chunk in first..view.end.min(first + PAGE_ROWS) {
            let class = view.classes.get(chunk);
            page.extend(class.to_le_bytes());
            page.extend(if class == DEAD { Facts::default() } else { view.facts.get(chunk) }.bytes());
        }
        file.put(&page)?;
    }
    for count in (0..classes).map(|class| view.counts.get(class)) {
        file.put(&count.chunks.to_le_bytes())?;
        file.put(&count.tokens.to_le_bytes())?;
    }
    let sum = file.hasher.finalize();
    file.inner.write_all(sum.as_bytes())?;
    file.inner.flush()
}

/// Hashes what is read or written.
struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T: Read> Hashing<T> {
    fn fill(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }
}

impl<T: Write> Hashing<T> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}
