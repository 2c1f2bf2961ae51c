//! The documents of a segment by class, so that what a permit admits is found without asking every document.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::segment::Segment;
use crate::access::{Bits, ClassNo, DEAD};
use crate::rows::{PAGE_ROWS, Rows};

/// In a segment of fewer documents every one is asked.
const MIN_DOCS: usize = if cfg!(test) { 100 } else { 8_192 };
/// When more than one of so many pages has changed since the documents were sorted, they are sorted again.
const STALE_SHARE: usize = 8;
/// When one of so many documents is admitted, or more, asking every one is as fast.
const MOST: usize = 3;

/// The documents of a segment, sorted when they are first needed.
#[derive(Default)]
pub(super) struct ByClass(Mutex<Option<Arc<Sorted>>>);

/// The living documents of a segment by the classes that they had under some rows.
struct Sorted {
    rows: Rows<ClassNo>,
    /// Ascending classes, each with where its documents begin; and the end.
    starts: Vec<(ClassNo, u32)>,
    /// By class; those of one ascend.
    docs: Vec<u32>,
}

/// What a permit admits of a segment, as far as classes tell.
pub(super) struct Permitted {
    pub(super) bits: Vec<u64>,
    /// Documents that may have another class now: all others are as `bits` says.
    pub(super) changed: Vec<Range<usize>>,
}

impl ByClass {
    /// What a permit admits; `None` where asking every document costs no more.
    pub(super) fn admitted(&self, segment: &Segment, permit: &Bits, rows: &Rows<ClassNo>) -> Option<Permitted> {
        if segment.len() < MIN_DOCS {
            return None;
        }
        let (first, last) = (segment.chunks.first()? / PAGE_ROWS, segment.chunks.last()? / PAGE_ROWS);
        let pages = (last - first) as usize + 1;
        let mut known = self.0.lock();
        let fresh = known.clone().and_then(|sorted| {
            let mut changed = rows.changed(&sorted.rows);
            changed.retain(|page| (first..=last).contains(page));
            (changed.len() <= pages.div_ceil(STALE_SHARE)).then_some((sorted, changed))
        });
        let (sorted, changed) = fresh.unwrap_or_else(|| {
            let sorted = Arc::new(Sorted::new(segment, rows));
            *known = Some(sorted.clone());
            (sorted, Vec::new())
        });
        drop(known);
        let ranges = sorted.permitted(permit);
        let count: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        if count * MOST > segment.len() {
            return None;
        }
        let mut bits = vec![0u64; segment.len().div_ceil(64)];
        for doc in ranges.into_iter().flat_map(|docs| sorted.docs.get(docs).unwrap_or_default()) {
            if let Some(word) = bits.get_mut(*doc as usize / 64) {
                *word |= 1 << (doc % 64);
            }
        }
        Some(Permitted { bits, changed: changed.into_iter().map(|page| segment.docs_of_page(page)).collect() })
    }
}

impl Sorted {
    fn new(segment: &Segment, rows: &Rows<ClassNo>) -> Sorted {
        let classes = || segment.chunks.iter().map(|chunk| rows.get(*chunk));
        // A counting sort: how many a class has, where they begin, and then where the next one goes.
        let mut places = vec![0u32; classes().max().map_or(0, |most| most as usize + 1)];
        for class in classes().filter(|class| *class != DEAD) {
            next(&mut places, class);
        }
        let mut starts = Vec::new();
        let mut sum = 0;
        for (class, place) in (0..).zip(&mut places) {
            let docs = std::mem::replace(place, sum);
            if docs > 0 {
                starts.push((class, sum));
                sum += docs;
            }
        }
        starts.push((ClassNo::MAX, sum));
        let mut docs = vec![0u32; sum as usize];
        for (doc, class) in (0u32..).zip(classes()).filter(|(_, class)| *class != DEAD) {
            if let Some(at) = docs.get_mut(next(&mut places, class) as usize) {
                *at = doc;
            }
        }
        Sorted { rows: rows.clone(), starts, docs }
    }

    /// Where the documents of permitted classes are. Costs the smaller of the two numbers of classes.
    fn permitted(&self, permit: &Bits) -> Vec<Range<usize>> {
        let range = |at: usize| match self.starts.get(at..at + 2) {
            Some([(_, start), (_, end)]) => *start as usize..*end as usize,
            _ => 0..0,
        };
        let own = self.starts.len() - 1;
        if permit.iter().take(own / 8 + 1).count() > own / 8 {
            let classes = self.starts.iter().take(own).enumerate();
            return classes.filter(|(_, (class, _))| permit.contains(*class)).map(|(at, _)| range(at)).collect();
        }
        permit.iter().filter_map(|class| self.starts.binary_search_by_key(&class, |(class, _)| *class).ok()).map(range).collect()
    }
}

/// The number of a class, which is one more from then on.
fn next(numbers: &mut [u32], class: ClassNo) -> u32 {
    numbers.get_mut(class as usize).map_or(0, |number| std::mem::replace(number, *number + 1))
}
