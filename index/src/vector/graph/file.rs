//! The file of the graph, mapped as it is.
//!
//! Layout, little-endian: a head (`head`; its numbers are chunks and zero); by chunk its links, [`LINKS`] chunk numbers, the last ones [`NONE`] where it has fewer; and a bit
//! for each chunk that is linked, in words of 64.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{LINKS, NONE};
use crate::error::{Error, Result};
use crate::vector::files::{map, put_in_place, warm};
use crate::vector::head::{HEAD_BYTES, Kind, Origin, head_of, read_head, verify_body};

const KIND: Kind = (b"SLGRAPH\n", 1);

/// A graph, open for searching.
#[derive(Debug)]
pub(in crate::vector) struct Graph {
    path: PathBuf,
    bytes: Mmap,
    chunks: u32,
}

impl Graph {
    /// Writes a graph and opens it; the one that was there is replaced. `links` gives the links of each chunk in turn.
    pub(super) fn write(
        dir: &Path,
        origin: &Origin,
        linked: &[u64],
        chunks: u32,
        mut links: impl FnMut(u32) -> Result<Option<Vec<u32>>>,
    ) -> Result<Option<Graph>> {
        let path = path(dir);
        let fresh = path.with_extension("new");
        let file = File::create(&fresh).map_err(Error::io(&fresh))?;
        let mut body = Body { file: std::io::BufWriter::new(&file), hasher: blake3::Hasher::new(), len: 0 };
        let mut write = |bytes: &[u8]| body.write(bytes).map_err(Error::io(&fresh));
        write(&[0; HEAD_BYTES])?;
        for chunk in 0..chunks {
            let Some(mut links) = links(chunk)? else { return Ok(None) };
            links.resize(LINKS, NONE);
            write(&links.iter().flat_map(|chunk| chunk.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        write(&linked.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())?;
        let hash = body.finish().map_err(Error::io(&fresh))?;
        let head = head_of(KIND, origin, [chunks, 0], &hash);
        file.write_all_at(&head, 0).and_then(|()| file.sync_all()).map_err(Error::io(&fresh))?;
        put_in_place(&fresh, &path)?;
        Graph::open(dir, origin).map(Some)
    }

    /// Opens the graph of this catalog and dimension when it is not ahead of the sequence; its head and length are checked.
    pub(in crate::vector) fn open(dir: &Path, origin: &Origin) -> Result<Graph> {
        let path = path(dir);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let bytes = map(&file, &path)?;
        let [chunks, _] = read_head(&path, &bytes, KIND, origin)?;
        let graph = Graph { path: path.clone(), chunks, bytes };
        if graph.bytes.len() != graph.linked_at() + (graph.chunks as usize).div_ceil(64) * 8 {
            return Err(Error::corrupt(path.display().to_string(), "its length is not what its head says"));
        }
        Ok(graph)
    }

    /// Brings it into memory.
    pub(in crate::vector) fn warm(&self) {
        warm(&self.bytes);
    }

    /// Checks every byte.
    pub(in crate::vector) fn verify(&self) -> Result<()> {
        verify_body(&self.path, &self.bytes)
    }

    /// True when a chunk is linked.
    #[inline]
    pub(in crate::vector) fn holds(&self, chunk: u32) -> bool {
        let byte = self.bytes.get(self.linked_at() + chunk as usize / 8);
        chunk < self.chunks && byte.is_some_and(|byte| byte >> (chunk % 8) & 1 == 1)
    }

    /// How many chunks are linked.
    pub(in crate::vector) fn len(&self) -> u32 {
        let bits = self.bytes.get(self.linked_at()..).unwrap_or_default();
        bits.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The links of a chunk.
    #[inline]
    pub(super) fn links(&self, chunk: u32) -> &[[u8; 4]] {
        let at = HEAD_BYTES + chunk as usize * LINKS * 4;
        let links = (chunk < self.chunks).then(|| self.bytes.get(at..at + LINKS * 4)).flatten();
        links.unwrap_or_default().as_chunks().0
    }

    fn linked_at(&self) -> usize {
        HEAD_BYTES + self.chunks as usize * LINKS * 4
    }
}

/// Where the graph is kept.
pub(in crate::vector) fn path(dir: &Path) -> PathBuf {
    dir.join("graph.nsw")
}

/// A file that is written and hashed in one go; its head is not hashed.
struct Body<'a> {
    file: std::io::BufWriter<&'a File>,
    hasher: blake3::Hasher,
    len: usize,
}

impl Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.len > 0 {
            self.hasher.update(bytes);
        }
        self.len += bytes.len();
        self.file.write_all(bytes)
    }

    fn finish(mut self) -> std::io::Result<blake3::Hash> {
        self.file.flush()?;
        Ok(self.hasher.finalize())
    }
}
