//! What a permit that admits few documents of a segment has of each word.
//!
//! Where few documents are permitted, they drive: the postings of a word among them are its *excerpt*, which is taken once
//! and kept. From then on a search costs what the permit admits, whatever the segment holds: it adds up the excerpts of the
//! question's words in their order, which is the exhaustive loop over what may be read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tantivy::schema::IndexRecordOption;

use super::bm25::contribution;
use super::lists::{Cursor, Documents, Postings, WordList};
use super::ranking::Ranking;
use super::readable::contains;
use super::segment::Segment;
use super::top::Best;
use crate::error::Result;

/// A permit that admits at most one of so many documents admits few: even its first search is faster so.
const SHARE: usize = 12;
/// The same for a permit that is searched with often: it pays for excerpts once, and is three times as fast from then on.
const SHARE_OFTEN: usize = 8;
/// What the excerpts of all permits may take, in bytes.
const MAX_BYTES: usize = 128 << 20;
/// What those of one permit in one segment may take, in bytes, and in bytes for each permitted document: room for all words.
const MAX_PART_BYTES: usize = 512 << 10;
const MAX_BYTES_PER_DOC: usize = 512;
/// Places are smaller, so that one and a frequency are kept in 32 bits.
const MAX_DOCS: u32 = 1 << 24;
/// A frequency of so many or more is kept apart.
const MANY: u32 = 255;

/// The permitted documents of a segment.
pub(super) struct Few {
    /// Ascending; a document's *place* is its index here.
    docs: Vec<u32>,
    /// By place: the code of its length.
    lengths: Vec<u8>,
    /// By word of the bitmap: how many documents come before it.
    ranks: Vec<u32>,
    excerpts: Mutex<Excerpts>,
    used: Arc<Used>,
}

/// The bytes that the excerpts of all permits take.
#[derive(Default)]
pub(super) struct Used(AtomicUsize);

#[derive(Default)]
struct Excerpts {
    known: HashMap<Box<str>, Arc<Excerpt>>,
    bytes: usize,
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
    /// True when so many documents of a segment are few for a permit that is, or is not, searched with `often`.
    pub(super) fn are(segment: &Segment, count: u32, often: bool) -> bool {
        let share = if often { SHARE_OFTEN } else { SHARE };
        count as usize * share <= segment.len() && count < MAX_DOCS
    }

    /// The documents of a bitmap, `count` in number.
    pub(super) fn new(segment: &Segment, bits: &[u64], count: u32, used: &Arc<Used>) -> Few {
        let mut docs = Vec::with_capacity(count as usize);
        let mut ranks = Vec::with_capacity(bits.len());
        for (start, word) in (0u32..).step_by(64).zip(bits) {
            ranks.push(u32::try_from(docs.len()).unwrap_or(u32::MAX));
            docs.extend(ones(*word).map(|bit| start + bit));
        }
        let lengths = docs.iter().map(|doc| segment.lengths.get(*doc as usize).copied().unwrap_or_default()).collect();
        Few { docs, lengths, ranks, excerpts: Mutex::default(), used: used.clone() }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.docs.len() * 5 + self.ranks.len() * 4 + self.excerpts.lock().bytes
    }

    /// The excerpt of a word, remembered under `name`; `list` says where its postings are.
    pub(super) fn excerpt(
        &self,
        segment: &Segment,
        bits: &[u64],
        name: &str,
        list: impl FnOnce() -> Result<Option<Arc<WordList>>>,
    ) -> Result<Arc<Excerpt>> {
        if let Some(known) = self.excerpts.lock().known.get(name) {
            return Ok(known.clone());
        }
        let excerpt = Arc::new(match list()? {
            Some(list) => self.read(segment, bits, &list)?,
            None => Excerpt::default(),
        });
        self.keep(name, &excerpt);
        Ok(excerpt)
    }

    fn keep(&self, name: &str, excerpt: &Arc<Excerpt>) {
        let bytes = excerpt.bytes() + name.len() + 64;
        let mut excerpts = self.excerpts.lock();
        let full = |own: usize| {
            own + bytes > MAX_PART_BYTES + MAX_BYTES_PER_DOC * self.docs.len()
                || self.used.0.load(Ordering::Relaxed) + bytes > MAX_BYTES
        };
        if full(excerpts.bytes) {
            self.used.0.fetch_sub(excerpts.bytes, Ordering::Relaxed);
            *excerpts = Excerpts::default();
        }
        if !full(0) && excerpts.known.insert(name.into(), excerpt.clone()).is_none() {
            excerpts.bytes += bytes;
            self.used.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn read(&self, segment: &Segment, bits: &[u64], list: &WordList) -> Result<Excerpt> {
        let mut found = Excerpt::default();
        let open = |postings: &Postings| segment.open_list(postings, IndexRecordOption::WithFreqs);
        match &list.documents {
            Documents::Dense(dense) if self.docs.len() > bits.len() => {
                for ((word, rank), (members, admitted)) in (0u32..).zip(&self.ranks).zip(dense.members.iter().zip(bits)) {
                    for bit in ones(members & admitted) {
                        let doc = word * 64 + bit;
                        let place = rank + (admitted & ((1 << bit) - 1)).count_ones();
                        found.push(place, dense.frequency_of(doc));
                    }
                }
            }
            Documents::Dense(dense) => {
                for (place, doc) in (0..).zip(&self.docs) {
                    found.push(place, dense.frequency(*doc));
                }
            }
            Documents::Sparse(postings) if self.docs.len() < list.blocks() => {
                let mut cursor = open(postings)?;
                for (place, doc) in (0..).zip(&self.docs) {
                    found.push(place, cursor.frequency(*doc));
                }
            }
            Documents::Sparse(postings) => self.scan(bits, &mut open(postings)?, &mut found),
        }
        found.postings.shrink_to_fit();
        Ok(found)
    }

    /// Reads all postings that are left.
    fn scan(&self, bits: &[u64], cursor: &mut Cursor, found: &mut Excerpt) {
        while !cursor.docs().is_empty() {
            for (doc, frequency) in cursor.docs().iter().zip(cursor.frequencies()) {
                if contains(bits, *doc) {
                    found.push(self.place(bits, *doc), *frequency);
                }
            }
            cursor.advance();
        }
    }

    /// The place of a permitted document.
    #[inline]
    pub(super) fn place(&self, bits: &[u64], doc: u32) -> u32 {
        let at = doc as usize / 64;
        let before = bits.get(at).map_or(0, |word| (word & ((1 << (doc % 64)) - 1)).count_ones());
        self.ranks.get(at).map_or(0, |rank| rank + before)
    }

    /// Offers the best chunks of a segment to `best`; `excerpts` are by word of the question.
    pub(super) fn collect(
        &self,
        ranking: &Ranking,
        segment: &Segment,
        excerpts: &[Arc<Excerpt>],
        best: &mut Best,
        may_be_hit: impl Fn(u32, u32) -> bool,
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
        for (score, doc) in scores.into_iter().zip(&self.docs) {
            if score > 0.0
                && score >= best.threshold()
                && let Some(chunk) = segment.chunks.get(*doc as usize)
                && may_be_hit(*doc, *chunk)
            {
                best.offer(score, *chunk, order(*chunk));
            }
        }
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        self.used.0.fetch_sub(self.excerpts.get_mut().bytes, Ordering::Relaxed);
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

    #[inline]
    fn push(&mut self, place: u32, frequency: u32) {
        if frequency > 0 {
            self.postings.push(place << 8 | frequency.min(MANY));
        }
        if frequency >= MANY {
            self.many.push((place, frequency));
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Excerpt>() + self.postings.capacity() * 4 + self.many.capacity() * 8
    }
}

/// The bits of a word that are set, ascending.
#[inline]
pub(super) fn ones(word: u64) -> Ones {
    Ones(word)
}

/// See [`ones`].
pub(super) struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit)
    }
}
