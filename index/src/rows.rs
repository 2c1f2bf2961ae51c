//! A growable array in pages that snapshots share: cloning it is cheap, and a write copies one page, not the array.
//!
//! It holds what a search reads for every candidate (a chunk's class, for instance), so a read is two array reads.

use std::sync::Arc;

const PAGE_ROWS: usize = 1024;
/// Pages are grouped, so that a clone after a write copies `rows / (1024 * 256)` pointers and not one per page.
const GROUP_PAGES: usize = 256;

type Page<T> = [T; PAGE_ROWS];
type Group<T> = Vec<Arc<Page<T>>>;

/// Rows of `T` by a dense number; rows never written read as `T::default()`.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    groups: Vec<Arc<Group<T>>>,
}

impl<T: Copy + Default> Default for Rows<T> {
    fn default() -> Self {
        Rows { groups: Vec::new() }
    }
}

impl<T: Copy + Default> Rows<T> {
    /// The row with this number.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> T {
        let row = row as usize;
        let page = row / PAGE_ROWS;
        self.groups
            .get(page / GROUP_PAGES)
            .and_then(|group| group.get(page % GROUP_PAGES))
            .and_then(|page| page.get(row % PAGE_ROWS))
            .copied()
            .unwrap_or_default()
    }

    /// The row with this number, for writing; copies its page when a snapshot shares it.
    pub(crate) fn get_mut(&mut self, row: u32) -> &mut T {
        let row = row as usize;
        let page = row / PAGE_ROWS;
        while self.groups.len() <= page / GROUP_PAGES {
            self.groups.push(Arc::default());
        }
        let group = Arc::make_mut(self.groups.get_mut(page / GROUP_PAGES).expect("INVARIANT: the group was just made"));
        while group.len() <= page % GROUP_PAGES {
            group.push(Arc::new([T::default(); PAGE_ROWS]));
        }
        let page = Arc::make_mut(group.get_mut(page % GROUP_PAGES).expect("INVARIANT: the page was just made"));
        page.get_mut(row % PAGE_ROWS).expect("INVARIANT: a page holds PAGE_ROWS rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut rows = Rows::<u32>::default();
        *rows.get_mut(5) = 1;
        *rows.get_mut(700_000) = 2;
        let before = rows.clone();
        *rows.get_mut(5) = 3;
        assert_eq!((before.get(5), rows.get(5)), (1, 3));
        assert_eq!((before.get(700_000), before.get(699_999), before.get(9_000_000)), (2, 0, 0));
    }
}
