//! The documents of a segment by class, and the postings of words in that order, so that what a permit admits is read without
//! asking every document or posting.
//!
//! A class is a run of *positions*. A document that has another class than when all were sorted stays where it is: its position
//! is left out of its run, and it is listed under its new class.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use tantivy::schema::IndexRecordOption;

use super::kept::Kept;
use super::lists::{Documents, WordList};
use super::packed::Packed;
use super::readable::ones;
use super::segment::Segment;
use crate::access::{Bits, ClassNo, DEAD};
use crate::error::Result;
use crate::rows::{PAGE_ROWS, Rows};

/// In a segment of fewer documents every one is asked, where nothing else is set.
pub(super) const SORTED_FROM: usize = 8_192;
/// When one of so many documents is not where it was sorted, they are sorted again.
const MOVED_SHARE: usize = 8;
/// When one of so many documents is admitted, or more, asking every one is as fast.
const MOST: usize = 3;
/// What postings by class may take, in bytes, and in bytes for each document, where lists of words leave them room.
const MAX_LIST_BYTES: usize = 256 << 10;
const MAX_LIST_BYTES_PER_DOC: usize = 64;
/// What a posting takes, or less.
const BYTES_PER_POSTING: usize = 2;
/// Where one of so many documents has a word, its postings are brought in order by way of all positions.
const SCATTERED_SHARE: usize = 16;
/// The position of a document that was dead when all were sorted.
const NOWHERE: u32 = u32::MAX;

/// The documents of a segment, sorted when they are first needed.
#[derive(Default)]
pub(super) struct ByClass(Mutex<Option<Arc<Sorted>>>);

/// The living documents of a segment by the classes that they have under some rows.
#[derive(Clone)]
struct Sorted {
    rows: Rows<ClassNo>,
    order: Arc<Order>,
    /// Positions of documents that have left the class they were sorted by.
    left: BTreeSet<u32>,
    /// Living documents that have another class than they were sorted by.
    arrived: BTreeSet<(ClassNo, u32)>,
}

/// Documents in the order of the classes that they once had, and of words their postings in that order.
pub(super) struct Order {
    /// Ascending classes, each with where its documents begin; and the end.
    starts: Vec<(ClassNo, u32)>,
    /// By position; those of one class ascend.
    docs: Vec<u32>,
    /// By position: the code of the document's length.
    lengths: Vec<u8>,
    /// By document.
    positions: Vec<u32>,
    lists: Kept<Packed>,
}

/// What a permit admits of a segment.
pub(super) struct Permitted {
    pub(super) order: Arc<Order>,
    /// Positions, ascending.
    pub(super) runs: Vec<Range<u32>>,
    /// Documents that are in none of the runs, ascending.
    pub(super) others: Vec<u32>,
}

impl ByClass {
    /// What a permit admits; `None` where asking every document costs no more.
    pub(super) fn admitted(&self, segment: &Segment, permit: &Bits, rows: &Rows<ClassNo>) -> Option<Permitted> {
        let permitted = self.sorted(segment, rows).permitted(permit);
        (permitted.count() * MOST <= segment.len()).then_some(permitted)
    }

    /// The documents by class under these rows.
    fn sorted(&self, segment: &Segment, rows: &Rows<ClassNo>) -> Arc<Sorted> {
        let mut known = self.0.lock();
        let fits = known.as_mut().is_some_and(|sorted| sorted.rows.same(rows) || Arc::make_mut(sorted).follow(segment, rows));
        let sorted = known.take().filter(|_| fits).unwrap_or_else(|| Arc::new(Sorted::new(segment, rows)));
        *known = Some(sorted.clone());
        sorted
    }
}

impl Sorted {
    fn new(segment: &Segment, rows: &Rows<ClassNo>) -> Sorted {
        let order = Arc::new(Order::new(segment, rows));
        Sorted { rows: rows.clone(), order, left: BTreeSet::new(), arrived: BTreeSet::new() }
    }

    /// Notes what is different under other rows; false when too much is.
    fn follow(&mut self, segment: &Segment, rows: &Rows<ClassNo>) -> bool {
        let (Some(first), Some(last)) = (segment.chunks.first(), segment.chunks.last()) else { return true };
        let pages = first / PAGE_ROWS..=last / PAGE_ROWS;
        for page in rows.changed(&self.rows).into_iter().filter(|page| pages.contains(page)) {
            let docs = segment.docs_of_page(page);
            let chunks = segment.chunks.get(docs.clone()).unwrap_or_default();
            for (doc, chunk) in (docs.start as u32..).zip(chunks) {
                let (was, is) = (self.rows.get(*chunk), rows.get(*chunk));
                if was != is {
                    self.moved(doc, was, is);
                }
            }
            if (self.left.len() + self.arrived.len()) * MOVED_SHARE > segment.len() {
                return false;
            }
        }
        self.rows = rows.clone();
        true
    }

    /// Notes that a document has another class than before.
    fn moved(&mut self, doc: u32, was: ClassNo, is: ClassNo) {
        let position = self.order.position(doc);
        let sorted_by = position.map_or(DEAD, |position| self.order.class_at(position));
        self.arrived.remove(&(was, doc));
        if is != DEAD && is != sorted_by {
            self.arrived.insert((is, doc));
        }
        match position {
            Some(position) if is == sorted_by => drop(self.left.remove(&position)),
            Some(position) => drop(self.left.insert(position)),
            None => {}
        }
    }

    fn permitted(&self, permit: &Bits) -> Permitted {
        let mut runs: Vec<Range<u32>> = Vec::new();
        let mut add = |run: Range<u32>| match runs.last_mut().filter(|before| before.end == run.start) {
            Some(before) => before.end = run.end,
            None if run.is_empty() => {}
            None => runs.push(run),
        };
        for run in self.order.runs(permit) {
            let mut start = run.start;
            for left in self.left.range(run.clone()) {
                add(start..*left);
                start = left + 1;
            }
            add(start..run.end);
        }
        let mut others: Vec<u32> = match permit.iter().nth(self.arrived.len() / 8) {
            Some(_) => self.arrived.iter().filter(|(class, _)| permit.contains(*class)).map(|(_, doc)| *doc).collect(),
            None => {
                permit.iter().flat_map(|class| self.arrived.range((class, 0)..=(class, u32::MAX))).map(|(_, doc)| *doc).collect()
            }
        };
        others.sort_unstable();
        Permitted { order: self.order.clone(), runs, others }
    }
}

impl Order {
    fn new(segment: &Segment, rows: &Rows<ClassNo>) -> Order {
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
        let mut positions = vec![NOWHERE; segment.len()];
        for ((doc, class), position) in (0u32..).zip(classes()).zip(&mut positions).filter(|((_, class), _)| *class != DEAD) {
            *position = next(&mut places, class);
            if let Some(at) = docs.get_mut(*position as usize) {
                *at = doc;
            }
        }
        let lengths = docs.iter().map(|doc| segment.length(*doc)).collect();
        let most = MAX_LIST_BYTES + MAX_LIST_BYTES_PER_DOC * segment.len();
        Order { starts, docs, lengths, positions, lists: Kept::sharing(most, &segment.room) }
    }

    /// How many positions there are.
    pub(super) fn len(&self) -> usize {
        self.docs.len()
    }

    /// The documents at some positions.
    pub(super) fn docs(&self, run: &Range<u32>) -> &[u32] {
        self.docs.get(run.start as usize..run.end as usize).unwrap_or_default()
    }

    /// The codes of their lengths.
    pub(super) fn lengths(&self, run: &Range<u32>) -> &[u8] {
        self.lengths.get(run.start as usize..run.end as usize).unwrap_or_default()
    }

    /// Where a document is; `None` when it was dead.
    #[inline]
    pub(super) fn position(&self, doc: u32) -> Option<u32> {
        self.positions.get(doc as usize).copied().filter(|position| *position != NOWHERE)
    }

    fn class_at(&self, position: u32) -> ClassNo {
        let after = self.starts.partition_point(|(_, start)| *start <= position);
        after.checked_sub(1).and_then(|at| self.starts.get(at)).map_or(DEAD, |(class, _)| *class)
    }

    /// Where the documents of permitted classes are. Costs the smaller of the two numbers of classes.
    fn runs(&self, permit: &Bits) -> Vec<Range<u32>> {
        let run = |at: usize| match self.starts.get(at..at + 2) {
            Some([(_, start), (_, end)]) => *start..*end,
            _ => 0..0,
        };
        let own = self.starts.len() - 1;
        if permit.iter().nth(own / 8).is_some() {
            let classes = self.starts.iter().take(own).enumerate();
            return classes.filter(|(_, (class, _))| permit.contains(*class)).map(|(at, _)| run(at)).collect();
        }
        permit.iter().filter_map(|class| self.starts.binary_search_by_key(&class, |(class, _)| *class).ok()).map(run).collect()
    }

    /// The postings of a word by position, if they are kept under its `name`; else how often they were asked for.
    pub(super) fn known(&self, name: &str) -> std::result::Result<Arc<Packed>, u32> {
        self.lists.get(name)
    }

    /// The postings of a word by position, which was asked for `uses` times; kept from now on under its `name`. `None` when there
    /// is no room, and, unless they are wanted `at_once`, when the word is asked for the first time, since most words are asked
    /// for once.
    pub(super) fn list(
        &self,
        segment: &Segment,
        (name, uses): (&str, u32),
        list: &WordList,
        at_once: bool,
    ) -> Result<Option<Arc<Packed>>> {
        if !at_once && uses < 2 || !self.lists.has_room(list.len as usize * BYTES_PER_POSTING, uses) {
            return Ok(None);
        }
        let packed = Arc::new(self.packed(segment, list)?);
        self.lists.keep(name, &packed, uses);
        Ok(Some(packed))
    }

    fn packed(&self, segment: &Segment, list: &WordList) -> Result<Packed> {
        if list.len as usize * SCATTERED_SHARE >= self.docs.len() {
            let mut frequencies = vec![0u32; self.docs.len()];
            self.postings(segment, list, |position, frequency| {
                if let Some(at) = frequencies.get_mut(position as usize) {
                    *at = frequency;
                }
            })?;
            return Ok(Packed::new((0u32..).zip(frequencies).filter(|(_, frequency)| *frequency > 0)));
        }
        let mut postings = Vec::with_capacity(list.len as usize);
        self.postings(segment, list, |position, frequency| postings.push((position, frequency)))?;
        postings.sort_unstable();
        Ok(Packed::new(postings))
    }

    /// Calls `each` with position and frequency of every posting of a word.
    fn postings(&self, segment: &Segment, list: &WordList, mut each: impl FnMut(u32, u32)) -> Result<()> {
        let mut place = |doc, frequency| self.position(doc).into_iter().for_each(|position| each(position, frequency));
        match &list.documents {
            Documents::Dense(dense) => {
                for (start, members) in (0u32..).step_by(64).zip(&dense.members) {
                    ones(*members).map(|bit| start + bit).for_each(|doc| place(doc, dense.frequency_of(doc)));
                }
            }
            Documents::Sparse(postings) => {
                let mut cursor = segment.open_list(postings, IndexRecordOption::WithFreqs)?;
                while !cursor.docs().is_empty() {
                    cursor.docs().iter().zip(cursor.frequencies()).for_each(|(doc, frequency)| place(*doc, *frequency));
                    cursor.advance();
                }
            }
        }
        Ok(())
    }
}

impl Permitted {
    /// How many documents there are.
    pub(super) fn count(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum::<usize>() + self.others.len()
    }

    /// The documents: by position, and then the others.
    pub(super) fn docs(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|run| self.order.docs(run)).chain(&self.others).copied()
    }
}

/// The number of a class, which is one more from then on.
fn next(numbers: &mut [u32], class: ClassNo) -> u32 {
    numbers.get_mut(class as usize).map_or(0, |number| std::mem::replace(number, *number + 1))
}
