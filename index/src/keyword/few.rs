//! What a permit that admits few documents of a segment has of each word.
//!
//! Where few documents are permitted, they drive: the postings of a word among them are its *excerpt*, taken from postings in the
//! order of classes ([`super::by_class`]) where the word is asked for again and again, and kept where taking it is dear. A search
//! costs what the permit admits, whatever the segment holds: it adds up the excerpts of the question's words in their order,
//! which is the exhaustive loop over what may be read.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use tantivy::schema::IndexRecordOption;

use super::bm25::contribution;
use super::by_class::{Order, Permitted};
use super::kept::{Bytes, Kept, Room};
use super::lists::{Documents, WordList};
use super::packed::Packed;
use super::ranking::Ranking;
use super::readable::{contains, insert};
use super::segment::Segment;
use super::top::Best;
use crate::error::Result;

/// A permit that admits at most one of so many documents admits few: reading what it admits is faster than pruning.
const SHARE: usize = 8;
/// A word in so many times as many documents as are permitted, or fewer, gets postings by class when it is first asked for: that
/// costs as much as looking for the permitted ones.
const AT_ONCE: usize = 4;
/// What the excerpts of all permits may take, in bytes.
pub(super) const MAX_BYTES: usize = if cfg!(test) { 32 << 10 } else { 12 << 20 };
/// What those of one permit in one segment may take, in bytes, and in bytes for each permitted document. Words that do not fit are
/// asked for again, and then have postings by class.
const MAX_PART_BYTES: usize = 256 << 10;
const MAX_BYTES_PER_DOC: usize = 64;
/// Where runs have more postings, taking an excerpt again costs little more than reading it, and it is not kept.
const MIN_POSTINGS_PER_RUN: usize = 8;
/// Places are smaller, so that one and a frequency are kept in 32 bits.
const MAX_DOCS: usize = 1 << 24;
/// A frequency of so many or more is kept apart.
const MANY: u32 = 255;

/// The permitted documents of a segment.
pub(super) struct Few {
    /// Those of runs, as these go, and then the others, ascending; a document's *place* is its index here.
    docs: Vec<u32>,
    /// By place: the code of its length.
    lengths: Vec<u8>,
    by_class: Option<Runs>,
    /// The first place of the others.
    others: usize,
    bits: OnceLock<Vec<u64>>,
    excerpts: Kept<Excerpt>,
}

/// Runs of documents in the order of classes.
struct Runs {
    order: Arc<Order>,
    /// Positions, ascending.
    runs: Vec<Range<u32>>,
    /// By run: its first place.
    firsts: Vec<u32>,
}

/// The postings of a word among the permitted documents.
#[derive(Default)]
pub(super) struct Excerpt {
    /// Places, ascending, each with a frequency of at most [`MANY`] in its lowest byte.
    postings: Vec<u32>,
    /// By place, ascending: frequencies of [`MANY`] or more.
    many: Vec<(u32, u32)>,
}

impl Few {
    /// True when so many documents of a segment are few.
    pub(super) fn are(segment: &Segment, count: usize) -> bool {
        count * SHARE <= segment.len() && count < MAX_DOCS
    }

    /// What a permit admits, as classes tell.
    pub(super) fn by_class(segment: &Segment, permitted: Permitted, room: &Arc<Room>) -> Few {
        let Permitted { order, runs, others } = permitted;
        let mut docs = Vec::with_capacity(runs.iter().map(ExactSizeIterator::len).sum::<usize>() + others.len());
        let mut lengths = Vec::with_capacity(docs.capacity());
        let mut firsts = Vec::with_capacity(runs.len());
        for run in &runs {
            firsts.push(docs.len() as u32);
            docs.extend_from_slice(order.docs(run));
            lengths.extend_from_slice(order.lengths(run));
        }
        let first_other = docs.len();
        docs.extend_from_slice(&others);
        lengths.extend(others.iter().map(|doc| segment.length(*doc)));
        Few::new(docs, lengths, Some(Runs { order, runs, firsts }), first_other, room)
    }

    /// These documents, which ascend.
    pub(super) fn ascending(segment: &Segment, docs: Vec<u32>, room: &Arc<Room>) -> Few {
        let lengths = docs.iter().map(|doc| segment.length(*doc)).collect();
        Few::new(docs, lengths, None, 0, room)
    }

    fn new(docs: Vec<u32>, lengths: Vec<u8>, by_class: Option<Runs>, others: usize, room: &Arc<Room>) -> Few {
        let excerpts = Kept::sharing(MAX_PART_BYTES + MAX_BYTES_PER_DOC * docs.len(), room);
        Few { docs, lengths, by_class, others, bits: OnceLock::new(), excerpts }
    }

    /// True when both are the same documents at the same places.
    pub(super) fn same(&self, other: &Few) -> bool {
        let order = |few: &Few| few.by_class.as_ref().map(|runs| Arc::as_ptr(&runs.order));
        order(self) == order(other) && self.docs == other.docs
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let bits = self.bits.get().map_or(0, |bits| bits.len() * 8);
        let runs = self.by_class.as_ref().map_or(0, |runs| runs.runs.len() * (size_of::<Range<u32>>() + 4));
        self.docs.len() * 5 + runs + bits + self.excerpts.bytes()
    }

    /// What its excerpts take, in bytes.
    pub(super) fn excerpt_bytes(&self) -> usize {
        self.excerpts.bytes()
    }

    /// Forgets its excerpts.
    pub(super) fn forget(&self) {
        self.excerpts.clear();
    }

    /// The documents as a bitmap.
    pub(super) fn bits(&self, segment: &Segment) -> &[u64] {
        self.bits.get_or_init(|| {
            let mut bits = vec![0u64; segment.len().div_ceil(64)];
            self.docs.iter().for_each(|doc| insert(&mut bits, *doc));
            bits
        })
    }

    /// The place of a document; `None` when it is not permitted.
    pub(super) fn place(&self, doc: u32) -> Option<u32> {
        let in_run = self.by_class.as_ref().and_then(|Runs { order, runs, firsts }| {
            let position = order.position(doc)?;
            let at = runs.partition_point(|run| run.end <= position);
            let run = runs.get(at).filter(|run| run.contains(&position))?;
            Some(firsts.get(at)? + (position - run.start))
        });
        in_run.or_else(|| {
            let others = self.docs.get(self.others..).unwrap_or_default();
            others.binary_search(&doc).ok().and_then(|at| u32::try_from(self.others + at).ok())
        })
    }

    /// The excerpt of a word, remembered under `name` where it is worth it; `list` says where its postings are.
    pub(super) fn excerpt(
        &self,
        segment: &Segment,
        name: &str,
        list: impl FnOnce() -> Result<Option<Arc<WordList>>>,
    ) -> Result<Arc<Excerpt>> {
        let uses = match self.excerpts.get(name) {
            Ok(known) => return Ok(known),
            Err(uses) => uses,
        };
        let mut found = Excerpt::default();
        let known = self.by_class.as_ref().map_or(Err(uses), |runs| runs.order.known(name));
        let (mut packed, asked) = known.map_or_else(|asked| (None, asked), |packed| (Some(packed), 0));
        let list = if packed.is_none() || self.others < self.docs.len() { list()? } else { None };
        if let (None, Some(runs), Some(list)) = (&packed, &self.by_class, &list) {
            let at_once = list.len as usize <= self.docs.len() * AT_ONCE;
            packed = runs.order.list(segment, (name, asked), list, at_once)?;
        }
        let mut from = 0;
        if let (Some(packed), Some(runs)) = (packed, &self.by_class) {
            runs.read(&packed, &mut found);
            if self.others == self.docs.len() && found.len() > runs.runs.len() * MIN_POSTINGS_PER_RUN {
                return Ok(Arc::new(found));
            }
            from = self.others;
        }
        if let Some(list) = list.filter(|_| from < self.docs.len()) {
            self.read(segment, &list, from, &mut found)?;
        }
        found.postings.shrink_to_fit();
        let excerpt = Arc::new(found);
        self.excerpts.keep(name, &excerpt, uses);
        Ok(excerpt)
    }

    /// Reads the postings of a word where they are stored, for the documents from a place on.
    fn read(&self, segment: &Segment, list: &WordList, from: usize, found: &mut Excerpt) -> Result<()> {
        let docs = || self.docs.iter().copied().zip(0u32..).skip(from);
        match &list.documents {
            Documents::Dense(dense) => found.extend(docs().map(|(doc, place)| (place, dense.frequency(doc)))),
            Documents::Sparse(postings) => {
                let mut cursor = segment.open_list(postings, IndexRecordOption::WithFreqs)?;
                let mut postings: Vec<(u32, u32)> = Vec::new();
                if self.docs.len() - from < list.blocks() {
                    let mut docs: Vec<(u32, u32)> = docs().collect();
                    if from < self.others {
                        docs.sort_unstable();
                    }
                    postings.extend(docs.into_iter().map(|(doc, place)| (place, cursor.frequency(doc))));
                } else {
                    let bits = self.bits(segment);
                    while !cursor.docs().is_empty() {
                        let read = cursor.docs().iter().zip(cursor.frequencies()).filter(|(doc, _)| contains(bits, **doc));
                        let placed = read.filter_map(|(doc, frequency)| Some((self.place(*doc)?, *frequency)));
                        postings.extend(placed.filter(|(place, _)| *place as usize >= from));
                        cursor.advance();
                    }
                }
                if from < self.others {
                    postings.sort_unstable();
                }
                found.extend(postings.into_iter());
            }
        }
        Ok(())
    }

    /// Offers the best chunks of a segment to `best`, those of `eligible` documents where a question narrows them; `excerpts` are
    /// by word of the question.
    pub(super) fn collect(
        &self,
        ranking: &Ranking,
        (segment, eligible): (&Segment, Option<&[u64]>),
        excerpts: &[Arc<Excerpt>],
        best: &mut Best,
        wanted: impl Fn(u32) -> bool,
        order: impl Fn(u32) -> u64,
    ) {
        let mut scores = vec![0.0f32; self.docs.len()];
        for (excerpt, weight) in excerpts.iter().zip(&ranking.weights) {
            for posting in &excerpt.postings {
                let (place, frequency) = excerpt.read(*posting);
                if let (Some(score), Some(length)) = (scores.get_mut(place as usize), self.lengths.get(place as usize)) {
                    let norm = ranking.norms.get(usize::from(*length)).copied().unwrap_or_default();
                    *score += contribution(*weight, frequency, norm);
                }
            }
        }
        // A phrase leaves so few that nothing else would give the others up.
        if let Some(eligible) = eligible {
            scores.iter_mut().zip(&self.docs).filter(|(_, doc)| !contains(eligible, **doc)).for_each(|(score, _)| *score = 0.0);
        }
        let threshold = best.threshold().max(f32::MIN_POSITIVE);
        let mut likely: Vec<(f32, u32)> = scores.into_iter().zip(0..).filter(|(score, _)| *score >= threshold).collect();
        // The best come first, so that few others are looked at.
        if best.limit() < likely.len() {
            likely.select_nth_unstable_by(best.limit(), |a, b| b.0.total_cmp(&a.0));
        }
        let (first, rest) = likely.split_at(best.limit().min(likely.len()));
        for likely in [first, rest] {
            let threshold = best.threshold();
            let likely = likely.iter().filter(|(score, _)| *score >= threshold);
            let chunks = likely.filter_map(|(score, place)| {
                let doc = *self.docs.get(*place as usize)?;
                Some((*score, *segment.chunks.get(doc as usize)?))
            });
            // What is far apart in memory is read at once, and not one after the other.
            let chunks: Vec<_> = chunks.collect();
            let hits = chunks.into_iter().filter(|(_, chunk)| wanted(*chunk));
            let hits: Vec<_> = hits.map(|(score, chunk)| (score, chunk, order(chunk))).collect();
            hits.into_iter().for_each(|(score, chunk, order)| best.offer(score, chunk, order));
        }
    }
}

impl Runs {
    /// Reads the postings of a word.
    fn read(&self, packed: &Packed, found: &mut Excerpt) {
        // As many as there are if they are spread evenly.
        let places: usize = self.runs.iter().map(ExactSizeIterator::len).sum();
        let expected = packed.len as u64 * places as u64 / self.order.len().max(1) as u64;
        found.postings.reserve(places.min(expected as usize / 4 * 5 + 64));
        packed.read(&self.runs, |which, positions, frequencies| {
            let (Some(run), Some(first)) = (self.runs.get(which), self.firsts.get(which)) else { return };
            let places = || positions.iter().map(|position| first.wrapping_add(position.wrapping_sub(run.start)));
            found.postings.extend(places().zip(frequencies).map(|(place, frequency)| place << 8 | (*frequency).min(MANY)));
            if frequencies.iter().fold(0, |most, frequency| most.max(*frequency)) >= MANY {
                found.many.extend(places().zip(frequencies.iter().copied()).filter(|(_, frequency)| *frequency >= MANY));
            }
        });
    }
}

impl Excerpt {
    /// How many permitted documents have the word.
    pub(super) fn len(&self) -> usize {
        self.postings.len()
    }

    /// How often the document at a place has the word.
    pub(super) fn frequency(&self, place: u32) -> u32 {
        let found = self.postings.binary_search_by_key(&place, |posting| posting >> 8).ok();
        found.and_then(|at| self.postings.get(at)).map_or(0, |posting| self.read(*posting).1)
    }

    /// Place and frequency of a posting.
    #[inline]
    fn read(&self, posting: u32) -> (u32, u32) {
        let (place, frequency) = (posting >> 8, posting & MANY);
        if frequency < MANY {
            return (place, frequency);
        }
        let many = self.many.binary_search_by_key(&place, |(place, _)| *place).ok().and_then(|at| self.many.get(at));
        (place, many.map_or(frequency, |(_, frequency)| *frequency))
    }

    /// Adds places, which ascend, with how often each has the word, which may be never.
    fn extend(&mut self, postings: impl Iterator<Item = (u32, u32)>) {
        self.postings.reserve(postings.size_hint().0);
        for (place, frequency) in postings {
            if frequency > 0 {
                self.postings.push(place << 8 | frequency.min(MANY));
            }
            if frequency >= MANY {
                self.many.push((place, frequency));
            }
        }
    }
}

impl Bytes for Excerpt {
    fn bytes(&self) -> usize {
        size_of::<Excerpt>() + self.postings.capacity() * 4 + self.many.capacity() * 8
    }
}
