//! The file of a graph: neighbour lists of fixed length, mapped as they are.
//!
//! Layout, little-endian: a head of 128 bytes (magic, format, rows, upper levels, the row to begin at, BLAKE3 of the
//! segment, BLAKE3 of the body, BLAKE3 of the head before it); by row its 32 neighbours on the lowest level; then for each
//! upper level how many rows reach it, those rows ascending, and by each its 16 neighbours. Lists end at [`NONE`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::LINKS;
use crate::error::{Error, Result};
use crate::vector::files::map;
use crate::vector::segment::Segment;

const MAGIC: &[u8; 8] = b"SLGRAPH\n";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 128;
/// No neighbour.
const NONE: u32 = u32::MAX;

/// Neighbour lists while they are collected.
#[derive(Debug)]
pub(super) struct Lists {
    lowest: Vec<[u32; 2 * LINKS]>,
    upper: Vec<BTreeMap<u32, [u32; LINKS]>>,
    /// The row where searches begin.
    pub(super) entry: u32,
}

impl Lists {
    pub(super) fn new(rows: u32, upper_levels: usize) -> Lists {
        Lists { lowest: vec![[NONE; 2 * LINKS]; rows as usize], upper: vec![BTreeMap::new(); upper_levels], entry: 0 }
    }

    /// Sets the neighbours of a row on a level; there is room for the first of them.
    pub(super) fn set(&mut self, level: usize, at: u32, neighbours: impl Iterator<Item = u32>) {
        if let Some(upper) = level.checked_sub(1).and_then(|level| self.upper.get_mut(level)) {
            fill(upper.entry(at).or_insert([NONE; LINKS]), neighbours);
        } else if let Some(list) = self.lowest.get_mut(at as usize) {
            fill(list, neighbours);
        }
    }
}

fn fill(list: &mut [u32], neighbours: impl Iterator<Item = u32>) {
    list.iter_mut().zip(neighbours).for_each(|(place, neighbour)| *place = neighbour);
}

/// The graph of a segment, open for searching.
#[derive(Debug)]
pub(in crate::vector) struct Graph {
    path: PathBuf,
    bytes: Mmap,
    rows: u32,
    entry: u32,
    /// By upper level, lowest first: where its rows begin in the body, in numbers, and how many they are.
    upper: Vec<(usize, usize)>,
}

impl Graph {
    /// Writes the graph of a segment and opens it.
    pub(super) fn write(segment: &Segment, lists: &Lists) -> Result<Graph> {
        let mut body: Vec<u8> = Vec::with_capacity(lists.lowest.len() * 8 * LINKS);
        body.extend(lists.lowest.iter().flatten().flat_map(|row| row.to_le_bytes()));
        for level in &lists.upper {
            body.extend((level.len() as u32).to_le_bytes());
            body.extend(level.keys().chain(level.values().flatten()).flat_map(|row| row.to_le_bytes()));
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend(MAGIC);
        for number in [FORMAT, segment.len(), lists.upper.len() as u32, lists.entry] {
            head.extend(number.to_le_bytes());
        }
        head.extend(segment.hash());
        head.extend(blake3::hash(&body).as_bytes());
        head.resize(HEAD_BYTES - 32, 0);
        head.extend(blake3::hash(&head).as_bytes());
        let path = path(segment.dir(), segment.id());
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh).map_err(Error::io(&fresh))?;
        file.write_all(&head).and_then(|()| file.write_all(&body)).and_then(|()| file.sync_all()).map_err(Error::io(&fresh))?;
        std::fs::rename(&fresh, &path).map_err(Error::io(&path))?;
        File::open(segment.dir()).and_then(|dir| dir.sync_all()).map_err(Error::io(segment.dir()))?;
        Graph::open(segment)
    }

    /// Opens the graph of a segment; its head and length are checked.
    pub(in crate::vector) fn open(segment: &Segment) -> Result<Graph> {
        let path = path(segment.dir(), segment.id());
        let file = File::open(&path).map_err(Error::io(&path))?;
        let bytes = map(&file, &path)?;
        let wrong = |what: &str| Error::corrupt(path.display().to_string(), what);
        let head = bytes.get(..HEAD_BYTES).ok_or_else(|| wrong("it is too short"))?;
        let (hashed, rest) = head.split_at(HEAD_BYTES - 32);
        if *rest != *blake3::hash(hashed).as_bytes() {
            return Err(wrong("its head is damaged"));
        }
        let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        let known = head.starts_with(MAGIC) && number(8) == FORMAT && number(12) == segment.len();
        if !known || head.get(24..56) != Some(segment.hash()) {
            return Err(wrong("it belongs to another segment or release"));
        }
        let (rows, levels, entry) = (number(12), number(16), number(20));
        let mut graph = Graph { path: path.clone(), bytes, rows, entry, upper: Vec::new() };
        let mut at = rows as usize * 2 * LINKS;
        for _ in 0..levels {
            let count = graph.numbers(at, 1).first().ok_or_else(|| wrong("it is too short"))?;
            let count = u32::from_le_bytes(*count) as usize;
            graph.upper.push((at + 1, count));
            at += 1 + count * (1 + LINKS);
        }
        if graph.bytes.len() != HEAD_BYTES + at * 4 {
            return Err(wrong("its length is not what its head says"));
        }
        Ok(graph)
    }

    /// Checks every byte.
    pub(in crate::vector) fn verify(&self) -> Result<()> {
        let body = self.bytes.get(HEAD_BYTES..).unwrap_or_default();
        if self.bytes.get(56..88) == Some(blake3::hash(body).as_bytes().as_slice()) {
            return Ok(());
        }
        Err(Error::corrupt(self.path.display().to_string(), "its body is damaged; delete it while nothing is running"))
    }

    /// How many rows it connects.
    pub(super) fn len(&self) -> u32 {
        self.rows
    }

    /// The row where a search begins.
    pub(super) fn entry(&self) -> u32 {
        self.entry
    }

    /// How many levels are above the lowest.
    pub(super) fn upper_levels(&self) -> usize {
        self.upper.len()
    }

    /// The neighbours of a row on a level; the lowest is 0.
    #[inline]
    pub(super) fn neighbours(&self, level: usize, at: u32) -> impl Iterator<Item = u32> + '_ {
        let list = match level.checked_sub(1) {
            None => self.numbers(at as usize * 2 * LINKS, 2 * LINKS),
            Some(level) => self.upper.get(level).map_or(&[][..], |(first, count)| {
                let rows = self.numbers(*first, *count);
                let found = rows.binary_search_by_key(&at, |row| u32::from_le_bytes(*row));
                found.map_or(&[][..], |place| self.numbers(first + count + place * LINKS, LINKS))
            }),
        };
        list.iter().map(|row| u32::from_le_bytes(*row)).take_while(|row| *row != NONE)
    }

    /// `count` numbers of the body, from the one at `first`.
    #[inline]
    fn numbers(&self, first: usize, count: usize) -> &[[u8; 4]] {
        let bytes = self.bytes.get(HEAD_BYTES + first * 4..HEAD_BYTES + (first + count) * 4);
        bytes.unwrap_or_default().as_chunks().0
    }
}

/// Where the graph of a segment is kept.
pub(in crate::vector) fn path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("graph-{segment:08}.links"))
}
