//! A growable array in pages that snapshots share: cloning it is cheap, and a write copies one page, not the array.
//!
//! It holds what a search reads for every candidate (a chunk's class, for instance), so a read is two array reads.

use std::sync::Arc;

/// Rows in a page.
pub(crate) const PAGE_ROWS: u32 = 1024;
/// Pages are grouped, so that a clone after a write copies `rows / (1024 * 256)` pointers and not one per page.
const GROUP_PAGES: usize = 256;

type Page<T> = [T; PAGE_ROWS as usize];
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
        let page = row / PAGE_ROWS as usize;
        self.groups
            .get(page / GROUP_PAGES)
            .and_then(|group| group.get(page % GROUP_PAGES))
            .and_then(|page| page.get(row % PAGE_ROWS as usize))
            .copied()
            .unwrap_or_default()
    }

    /// The row with this number, for writing; copies its page when a snapshot shares it.
    pub(crate) fn get_mut(&mut self, row: u32) -> &mut T {
        let row = row as usize;
        let page = row / PAGE_ROWS as usize;
        while self.groups.len() <= page / GROUP_PAGES {
            self.groups.push(Arc::default());
        }
        let group = Arc::make_mut(self.groups.get_mut(page / GROUP_PAGES).expect("INVARIANT: the group was just made"));
        while group.len() <= page % GROUP_PAGES {
            group.push(Arc::new([T::default(); PAGE_ROWS as usize]));
        }
        let page = Arc::make_mut(group.get_mut(page % GROUP_PAGES).expect("INVARIANT: the page was just made"));
        page.get_mut(row % PAGE_ROWS as usize).expect("INVARIANT: a page holds PAGE_ROWS rows")
    }

    /// Rows with this number and higher ones were never written.
    pub(crate) fn end(&self) -> u32 {
        let pages = self.groups.last().map_or(0, |last| (self.groups.len() - 1) * GROUP_PAGES + last.len());
        u32::try_from(pages).unwrap_or(u32::MAX).saturating_mul(PAGE_ROWS)
    }

    /// A page of rows; `None` beyond the last one written.
    pub(crate) fn page(&self, page: u32) -> Option<&[T]> {
        let page = page as usize;
        Some(self.groups.get(page / GROUP_PAGES)?.get(page % GROUP_PAGES)?.as_slice())
    }

    /// True when both share all pages; false may be wrong, true never is.
    pub(crate) fn same(&self, other: &Rows<T>) -> bool {
        self.groups.len() == other.groups.len() && self.groups.iter().zip(&other.groups).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The pages that the two do not share, ascending. Other pages are equal.
    pub(crate) fn changed(&self, other: &Rows<T>) -> Vec<u32> {
        let mut changed = Vec::new();
        for at in 0..self.groups.len().max(other.groups.len()) {
            let (a, b) = (self.groups.get(at), other.groups.get(at));
            if let (Some(a), Some(b)) = (a, b)
                && Arc::ptr_eq(a, b)
            {
                continue;
            }
            for page in 0..GROUP_PAGES {
                let pages = (a.and_then(|group| group.get(page)), b.and_then(|group| group.get(page)));
                let shared = match pages {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    (None, None) => true,
                    _ => false,
                };
                if !shared {
                    changed.extend(u32::try_from(at * GROUP_PAGES + page));
                }
            }
        }
        changed
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
        assert_eq!((rows.changed(&before), before.same(&before.clone())), (vec![0], true));
        assert!(!rows.same(&before));
        assert_eq!((rows.end(), Rows::<u32>::default().end()), (700_000u32.next_multiple_of(PAGE_ROWS), 0));
    }
}
