//! The tail: sign codes of rows that no segment holds as they are now, in the order in which they came.
//!
//! Pages are shared with snapshots, so a write copies at most one of them.

use std::sync::Arc;

use super::kernels::BLOCK_ROWS;

/// Rows of a page.
const PAGE_ROWS: usize = 1_024;

/// The rows that wait to be sealed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    pages: Vec<Arc<Page>>,
    rows: u32,
}

/// Some rows of the tail.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    chunks: Vec<u32>,
    blocks: Vec<u8>,
}

impl Tail {
    /// How many rows it holds.
    pub(super) fn len(&self) -> u32 {
        self.rows
    }

    /// Appends a row with its sign code.
    pub(super) fn push(&mut self, chunk: u32, signs: &[u64]) {
        if self.pages.last().is_none_or(|page| page.chunks.len() == PAGE_ROWS) {
            self.pages.push(Arc::default());
        }
        let page = Arc::make_mut(self.pages.last_mut().expect("INVARIANT: there is a page with room"));
        let (block, row) = (page.chunks.len() / BLOCK_ROWS, page.chunks.len() % BLOCK_ROWS);
        let width = signs.len() * BLOCK_ROWS * 8;
        if row == 0 {
            page.blocks.resize((block + 1) * width, 0);
        }
        let words = page.blocks.get_mut(block * width..).unwrap_or_default().as_chunks_mut::<8>().0;
        for (word, sign) in words.iter_mut().skip(row).step_by(BLOCK_ROWS).zip(signs) {
            *word = sign.to_le_bytes();
        }
        page.chunks.push(chunk);
        self.rows += 1;
    }

    /// Its pages, in order.
    pub(super) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().map(Arc::as_ref)
    }

    /// The chunks of its rows, in order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages().flat_map(|page| page.chunks.iter().copied())
    }
}

impl Page {
    /// The chunk of each row.
    pub(super) fn chunks(&self) -> &[u32] {
        &self.chunks
    }

    /// The sign codes, in blocks; the last one may have room.
    pub(super) fn blocks(&self) -> &[u8] {
        &self.blocks
    }
}
