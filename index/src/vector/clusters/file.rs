//! The file of clusters, mapped as it is.
//!
//! Layout, little-endian: a head of 128 bytes (magic, format, rows, clusters, margin as f32, BLAKE3 of the segment, BLAKE3 of
//! the body, BLAKE3 of the head before it); by cluster where its rows begin, with one more entry for the end; by place the row
//! of the segment; by cluster the int8 code of its centre, and its sign code in blocks; and by place the sign codes of the rows in
//! blocks. Zeros make codes and blocks begin at multiples of 64.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::vector::files::{map, replace, warm};
use crate::vector::kernels::BLOCK_ROWS;
use crate::vector::quantize;
use crate::vector::segment::Segment;

const MAGIC: &[u8; 8] = b"SLCLUST\n";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 128;

/// What a file is made of.
pub(super) struct Parts {
    /// The int8 codes of the centres.
    pub(super) centres: Vec<Vec<u8>>,
    /// By centre the rows of the segment that are nearest to it.
    pub(super) members: Vec<Vec<u32>>,
    /// How much higher than its centre a row scores that is among the nearest, at most.
    pub(super) margin: f32,
}

/// The clusters of a segment, open for searching.
#[derive(Debug)]
pub(in crate::vector) struct Clusters {
    path: PathBuf,
    bytes: Mmap,
    rows: u32,
    clusters: u32,
    margin: f32,
    code_bytes: usize,
    block_bytes: usize,
}

impl Clusters {
    /// Writes the clusters of a segment and opens them. `signs` appends the sign code of a row.
    pub(super) fn write(
        segment: &Segment,
        dimensions: usize,
        parts: &Parts,
        mut signs: impl FnMut(u32, &mut Vec<u64>) -> Result<()>,
    ) -> Result<Clusters> {
        let mut body: Vec<u8> = Vec::new();
        let mut start = 0u32;
        for members in &parts.members {
            body.extend(start.to_le_bytes());
            start += members.len() as u32;
        }
        body.extend(start.to_le_bytes());
        let rows: Vec<u32> = parts.members.iter().flatten().copied().collect();
        body.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
        body.resize(body.len().next_multiple_of(64), 0);
        body.extend(parts.centres.iter().flatten());
        body.resize(body.len().next_multiple_of(64), 0);
        let mut codes = Vec::new();
        for block in parts.centres.chunks(BLOCK_ROWS) {
            codes.clear();
            block.iter().for_each(|centre| quantize::encode_signs_of(&quantize::decode(centre, dimensions), &mut codes));
            quantize::push_block(&codes, dimensions, &mut body);
        }
        for block in rows.chunks(BLOCK_ROWS) {
            codes.clear();
            for row in block {
                signs(*row, &mut codes)?;
            }
            quantize::push_block(&codes, dimensions, &mut body);
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend(MAGIC);
        for number in [FORMAT, segment.len(), parts.members.len() as u32, parts.margin.to_bits()] {
            head.extend(number.to_le_bytes());
        }
        head.extend(segment.hash());
        head.extend(blake3::hash(&body).as_bytes());
        head.resize(HEAD_BYTES - 32, 0);
        head.extend(blake3::hash(&head).as_bytes());
        replace(&path(segment.dir(), segment.id()), &[&head, &body])?;
        Clusters::open(segment, dimensions)
    }

    /// Opens the clusters of a segment; their head and length are checked.
    pub(in crate::vector) fn open(segment: &Segment, dimensions: usize) -> Result<Clusters> {
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
        let margin = f32::from_bits(number(20));
        let code_bytes = quantize::code_bytes(dimensions);
        let block_bytes = quantize::blocks_bytes(1, dimensions);
        let clusters =
            Clusters { path: path.clone(), rows: number(12), clusters: number(16), margin, code_bytes, block_bytes, bytes };
        let whole = clusters.blocks_at() + quantize::blocks_bytes(clusters.rows as usize, dimensions);
        if clusters.bytes.len() != whole {
            return Err(wrong("its length is not what its head says"));
        }
        Ok(clusters)
    }

    /// Brings them into memory.
    pub(in crate::vector) fn warm(&self) {
        warm(&self.bytes);
    }

    /// Checks every byte.
    pub(in crate::vector) fn verify(&self) -> Result<()> {
        let body = self.bytes.get(HEAD_BYTES..).unwrap_or_default();
        if self.bytes.get(56..88) == Some(blake3::hash(body).as_bytes().as_slice()) {
            return Ok(());
        }
        Err(Error::corrupt(self.path.display().to_string(), "its body is damaged; delete it while nothing is running"))
    }

    /// How much higher than its centre a row scores that is among the nearest, at most; measured when they were built.
    pub(super) fn margin(&self) -> f32 {
        self.margin
    }

    /// The int8 code of a cluster's centre.
    #[inline]
    pub(in crate::vector) fn centre(&self, cluster: u32) -> Option<&[u8]> {
        let at = self.centres_at() + cluster as usize * self.code_bytes;
        (cluster < self.clusters).then(|| self.bytes.get(at..at + self.code_bytes)).flatten()
    }

    /// By cluster the sign codes of the centres, in blocks.
    pub(super) fn centre_blocks(&self) -> &[u8] {
        self.bytes.get(self.centre_blocks_at()..self.blocks_at()).unwrap_or_default()
    }

    /// The places of a cluster's rows.
    #[inline]
    pub(in crate::vector) fn places(&self, cluster: u32) -> Range<u32> {
        match self.numbers(cluster as usize, 2) {
            // The body is not checked at open, so these may be any numbers.
            [start, end] => u32::from_le_bytes(*start).min(self.rows)..u32::from_le_bytes(*end).min(self.rows),
            _ => 0..0,
        }
    }

    /// By place the row of the segment.
    #[inline]
    pub(in crate::vector) fn rows(&self) -> &[[u8; 4]] {
        self.numbers(self.clusters as usize + 1, self.rows as usize)
    }

    /// By place the sign codes, in blocks.
    #[inline]
    pub(super) fn blocks(&self) -> &[u8] {
        self.bytes.get(self.blocks_at()..).unwrap_or_default()
    }

    /// `count` numbers of the body, from the one at `first`.
    #[inline]
    fn numbers(&self, first: usize, count: usize) -> &[[u8; 4]] {
        let bytes = self.bytes.get(HEAD_BYTES + first * 4..HEAD_BYTES + (first + count) * 4);
        bytes.unwrap_or_default().as_chunks().0
    }

    fn centres_at(&self) -> usize {
        HEAD_BYTES + ((self.clusters as usize + 1 + self.rows as usize) * 4).next_multiple_of(64)
    }

    fn centre_blocks_at(&self) -> usize {
        (self.centres_at() + self.clusters as usize * self.code_bytes).next_multiple_of(64)
    }

    fn blocks_at(&self) -> usize {
        self.centre_blocks_at() + (self.clusters as usize).div_ceil(BLOCK_ROWS) * self.block_bytes
    }
}

/// Where the clusters of a segment are kept.
pub(in crate::vector) fn path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("clusters-{segment:08}.ivf"))
}
