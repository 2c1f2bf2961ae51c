//! The best chunks of a segment, without scoring those that cannot be among them.
//!
//! A block-max variant of MaxScore (Turtle & Flood 1995; Ding & Suel 2011) over windows of documents. In each window every
//! word has a bound from its blocks (`blocks.rs` proves it). Words whose bounds together stay below the score to beat cannot
//! make a hit alone: the candidates are the permitted documents that have one of the others. The former are added to the sums of
//! candidates one word after the other, the greatest bound first, and before each word those are given up that cannot be hits
//! any more. Where few documents of a window are permitted, all are candidates. The bound of a document is always a sum of
//! positive numbers, never a difference, and a document is given up only when its bound is below the lowest score kept; so
//! ties are decided by order, and scores, which are summed in the order of the question's words, are those of the exhaustive
//! loop to the bit.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::schema::IndexRecordOption;

use super::blocks::{Cursor, SLACK, WordList, bound, least_ratio};
use super::bm25::contribution;
use super::few::ones;
use super::ranking::Ranking;
use super::readable::contains;
use super::segment::Segment;
use crate::error::Result;

/// Documents in a window.
const WINDOW: usize = 512;
const WORDS: usize = WINDOW / 64;
/// A window with at most so many permitted documents is looked up document by document.
const FEW: u32 = 8;

/// A kept chunk; the greatest is the worst.
#[derive(Clone, Copy, PartialEq)]
struct Kept {
    score: f32,
    order: u64,
    chunk: u32,
}

impl Eq for Kept {}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.order.cmp(&other.order)).then(self.chunk.cmp(&other.chunk))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best chunks so far.
pub(super) struct Best {
    limit: usize,
    /// Lower scores are of no use.
    floor: f32,
    kept: BinaryHeap<Kept>,
}

impl Best {
    pub(super) fn new(limit: usize, floor: f32) -> Best {
        Best { limit, floor, kept: BinaryHeap::with_capacity(limit.min(1_024) + 1) }
    }

    /// What a score must not be below.
    #[inline]
    pub(super) fn threshold(&self) -> f32 {
        // Those that are kept are not below the floor.
        if self.kept.len() < self.limit { self.floor } else { self.kept.peek().map_or(f32::MAX, |worst| worst.score) }
    }

    pub(super) fn offer(&mut self, score: f32, chunk: u32, order: u64) {
        if score < self.floor {
            return;
        }
        let new = Kept { score, order, chunk };
        if self.kept.len() < self.limit {
            self.kept.push(new);
        } else if let Some(mut worst) = self.kept.peek_mut()
            && new < *worst
        {
            *worst = new;
        }
    }

    pub(super) fn into_sorted(self) -> Vec<(u32, f32)> {
        self.kept.into_sorted_vec().into_iter().map(|kept| (kept.chunk, kept.score)).collect()
    }
}

/// A segment, the lists of the question's words in it, and which of its documents may be hits.
pub(super) struct Leaf<'a> {
    pub(super) segment: &'a Segment,
    pub(super) lists: &'a [Option<Arc<WordList>>],
    pub(super) bits: &'a [u64],
}

/// A word in a segment.
struct Scorer<'a> {
    segment: &'a Segment,
    list: &'a WordList,
    cursor: Option<Cursor>,
    weight: f32,
    /// The first block that reaches the window.
    block: usize,
    /// The most that it can add in the window.
    bound: f32,
    /// What it adds to documents of the window, where it was read, and which have it.
    added: Box<[f32; WINDOW]>,
    having: Docs,
}

impl Scorer<'_> {
    fn cursor(&mut self) -> Result<&mut Cursor> {
        if self.cursor.is_none() {
            self.cursor = Some(self.segment.open_list(self.list, IndexRecordOption::WithFreqs)?);
        }
        Ok(self.cursor.as_mut().expect("INVARIANT: it was just opened"))
    }

    /// Adds to `sums` what the word gives some documents of a window.
    fn add(&mut self, window: &Window<'_>, docs: &Docs, sums: &mut [f32; WINDOW]) -> Result<()> {
        let first = window.start as usize / 64;
        let list = self.list;
        if let Some(dense) = &list.dense {
            let members = dense.members.get(first..).unwrap_or_default();
            for (start, (docs, members)) in (window.start..).step_by(64).zip(docs.iter().zip(members)) {
                for bit in ones(docs & members) {
                    let doc = start + bit;
                    let frequency = match dense.frequency_of_member(doc) {
                        Some(frequency) => frequency,
                        None => self.cursor()?.frequency(doc),
                    };
                    self.note(window, doc, frequency, sums);
                }
            }
        } else if docs.iter().map(|word| word.count_ones()).sum::<u32>() <= FEW {
            for doc in documents(window.start, *docs) {
                let frequency = self.cursor()?.frequency(doc);
                if frequency > 0 {
                    self.note(window, doc, frequency, sums);
                }
            }
        } else {
            self.read(window, docs, sums)?;
        }
        Ok(())
    }

    /// The same by reading all postings of the window.
    fn read(&mut self, window: &Window<'_>, docs: &Docs, sums: &mut [f32; WINDOW]) -> Result<()> {
        self.cursor()?;
        let Some(mut cursor) = self.cursor.take() else { return Ok(()) };
        let mut at = cursor.seek(window.start);
        while let Some(&last) = cursor.docs().last() {
            let postings = cursor.docs().iter().zip(cursor.frequencies()).skip(at).take_while(|(doc, _)| **doc < window.end);
            for (&doc, &frequency) in postings {
                if contains(docs, doc.wrapping_sub(window.start)) {
                    self.note(window, doc, frequency, sums);
                }
            }
            if last >= window.end {
                break;
            }
            cursor.advance();
            at = 0;
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    #[inline]
    fn note(&mut self, window: &Window<'_>, doc: u32, frequency: u32, sums: &mut [f32; WINDOW]) {
        let offset = doc.wrapping_sub(window.start) as usize % WINDOW;
        let code = window.lengths.get(offset).copied().unwrap_or_default();
        let norm = window.norms.get(usize::from(code)).copied().unwrap_or_default();
        let added = contribution(self.weight, frequency, norm);
        if let (Some(sum), Some(slot), Some(having)) =
            (sums.get_mut(offset), self.added.get_mut(offset), self.having.get_mut(offset / 64))
        {
            *sum += added;
            *slot = added;
            *having |= 1 << (offset % 64);
        }
    }
}

/// A bit for each document of a window.
type Docs = [u64; WORDS];

/// Documents `start..end`, and which of them may be hits.
struct Window<'a> {
    start: u32,
    end: u32,
    bits: Docs,
    /// By document of the window.
    lengths: &'a [u8],
    /// By length code.
    norms: &'a [f32; 256],
}

/// Offers the best chunks of a segment to `best`.
pub(super) fn collect(
    ranking: &Ranking,
    leaf: &Leaf<'_>,
    best: &mut Best,
    wanted: &impl Fn(u32) -> bool,
    order: &impl Fn(u32) -> u64,
) -> Result<()> {
    let ratio = least_ratio(leaf.segment.spread, ranking.average);
    // In the order of the question's words, which is the order of sums.
    let mut scorers: Vec<Scorer<'_>> = leaf
        .lists
        .iter()
        .zip(&ranking.weights)
        .filter_map(|(list, weight)| {
            let list = list.as_deref()?;
            let (added, having) = (Box::new([0.0; WINDOW]), [0; WORDS]);
            Some(Scorer { segment: leaf.segment, list, cursor: None, weight: *weight, block: 0, bound: 0.0, added, having })
        })
        .collect();
    // By rising bound in the current window: the sum of bounds up to and with this word, and the word.
    let mut rising: Vec<(f32, usize)> = Vec::with_capacity(scorers.len());
    let mut sums = Box::new([0.0f32; WINDOW]);
    for (number, bits) in leaf.bits.chunks(WORDS).enumerate() {
        let Some(window) = window(ranking, leaf, number, bits) else { continue };
        rising.clear();
        for (at, scorer) in scorers.iter_mut().enumerate() {
            let least = scorer.list.least(&mut scorer.block, window.start, window.end);
            scorer.bound = least.map_or(0.0, |least| bound(scorer.weight, ratio, least));
            scorer.having = [0; WORDS];
            if least.is_some() {
                rising.push((scorer.bound, at));
            }
        }
        rising.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        for (bound, _) in &mut rising {
            sum += *bound;
            *bound = sum;
        }
        let essential = rising.partition_point(|(sum, _)| *sum < best.threshold());
        if essential == rising.len() {
            continue;
        }
        let permitted: u32 = window.bits.iter().map(|word| word.count_ones()).sum();
        let mut candidates = window.bits;
        let mut rest = rising.len();
        if permitted > FEW {
            candidates = [0; WORDS];
            for (_, word) in rising.get(essential..).unwrap_or_default() {
                let Some(scorer) = scorers.get_mut(*word) else { continue };
                scorer.add(&window, &window.bits, &mut sums)?;
                candidates.iter_mut().zip(&scorer.having).for_each(|(candidates, having)| *candidates |= having);
            }
            rest = essential;
        }
        // Word by word, those are given up that can no longer be a hit.
        while let Some(&(most, word)) = rest.checked_sub(1).and_then(|last| rising.get(last)) {
            give_up(&mut candidates, &sums, most, best.threshold());
            if candidates.iter().all(|word| *word == 0) {
                break;
            }
            rest -= 1;
            if let Some(scorer) = scorers.get_mut(word) {
                scorer.add(&window, &candidates, &mut sums)?;
            }
        }
        give_up(&mut candidates, &sums, 0.0, best.threshold());
        for doc in documents(window.start, candidates) {
            let Some(&chunk) = leaf.segment.chunks.get(doc as usize) else { continue };
            if !wanted(chunk) {
                continue;
            }
            let offset = doc - window.start;
            // A word that the document does not have adds nothing, to the bit.
            let added = scorers.iter().filter(|scorer| contains(&scorer.having, offset));
            let score = added.fold(0.0, |sum, scorer| sum + scorer.added.get(offset as usize).copied().unwrap_or_default());
            if score > 0.0 {
                best.offer(score, chunk, order(chunk));
            }
        }
        sums.fill(0.0);
    }
    Ok(())
}

/// Gives up the documents that have less than the threshold when `most` is added to their sums.
fn give_up(docs: &mut Docs, sums: &[f32; WINDOW], most: f32, threshold: f32) {
    for (word, sums) in docs.iter_mut().zip(sums.as_chunks::<64>().0) {
        let mut kept = 0;
        for bit in ones(*word) {
            let sum = sums.get(bit as usize).copied().unwrap_or_default();
            kept |= u64::from(sum * SLACK + most >= threshold) << bit;
        }
        *word = kept;
    }
}

/// The window of some words of the bitmap; `None` where nothing may be a hit.
fn window<'a>(ranking: &'a Ranking, leaf: &Leaf<'a>, number: usize, bits: &[u64]) -> Option<Window<'a>> {
    if bits.iter().all(|word| *word == 0) {
        return None;
    }
    let start = number * WINDOW;
    let end = leaf.segment.len().min(start + WINDOW);
    let mut all = [0; WORDS];
    all.iter_mut().zip(bits).for_each(|(all, bits)| *all = *bits);
    let lengths = leaf.segment.lengths.get(start..end).unwrap_or_default();
    Some(Window { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()?, bits: all, lengths, norms: &ranking.norms })
}

/// The documents of a bitmap, ascending.
fn documents(start: u32, bits: Docs) -> impl Iterator<Item = u32> {
    (0u32..).zip(bits).flat_map(move |(at, word)| ones(word).map(move |bit| start + at * 64 + bit))
}
