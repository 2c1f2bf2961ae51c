//! The best chunks of a segment, without scoring those that cannot be among them.
//!
//! A block-max variant of MaxScore (Turtle & Flood 1995; Ding & Suel 2011) over windows of documents. In each window every
//! word has a bound from its blocks (`blocks.rs` proves it). Words whose bounds together stay below the score to beat cannot
//! make a hit alone: only the postings of the others are read, for permitted documents, and a document is looked up in the
//! former only while it can still be a hit. Where few documents of a window are permitted, each is looked up in all words
//! by the same rule. The bound of a document is always a sum of positive numbers, never a difference, and a document is given
//! up only when its bound is below the lowest score kept; so ties are decided by order, and scores, which are summed in the order
//! of the question's words, are those of the exhaustive loop to the bit.

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
    kept: BinaryHeap<Kept>,
}

impl Best {
    pub(super) fn new(limit: usize) -> Best {
        Best { limit, kept: BinaryHeap::with_capacity(limit.min(1_024) + 1) }
    }

    /// What a score must not be below.
    #[inline]
    pub(super) fn threshold(&self) -> f32 {
        if self.kept.len() < self.limit { 0.0 } else { self.kept.peek().map_or(f32::MAX, |worst| worst.score) }
    }

    pub(super) fn offer(&mut self, score: f32, chunk: u32, order: u64) {
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
    having: [u64; WORDS],
}

impl Scorer<'_> {
    fn cursor(&mut self) -> Result<&mut Cursor> {
        if self.cursor.is_none() {
            self.cursor = Some(self.segment.open_list(self.list, IndexRecordOption::WithFreqs)?);
        }
        Ok(self.cursor.as_mut().expect("INVARIANT: it was just opened"))
    }

    /// How often a document has the word.
    #[inline]
    fn frequency(&mut self, doc: u32) -> Result<u32> {
        if let Some(frequency) = self.list.dense.as_ref().and_then(|dense| dense.frequency(doc)) {
            return Ok(frequency);
        }
        Ok(self.cursor()?.frequency(doc))
    }

    /// Reads the postings of permitted documents of a window, and adds to `sums` what they score.
    fn read(&mut self, window: &Window, lengths: &[u8], norms: &[f32; 256], sums: &mut [f32; WINDOW]) -> Result<()> {
        let weight = self.weight;
        self.having = [0; WORDS];
        self.cursor()?;
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        let mut at = cursor.seek(window.start);
        loop {
            let docs = cursor.docs();
            let Some(&last) = docs.last() else { return Ok(()) };
            let postings = docs.iter().zip(cursor.frequencies()).skip(at).take_while(|(doc, _)| **doc < window.end);
            for (&doc, &frequency) in postings {
                let offset = doc.wrapping_sub(window.start) as usize % WINDOW;
                let (word, bit) = (offset / 64, 1u64 << (offset % 64));
                if window.bits.get(word).is_none_or(|bits| bits & bit == 0) {
                    continue;
                }
                let code = lengths.get(offset).copied().unwrap_or_default();
                let norm = norms.get(usize::from(code)).copied().unwrap_or_default();
                let added = contribution(weight, frequency, norm);
                if let (Some(sum), Some(slot), Some(having)) =
                    (sums.get_mut(offset), self.added.get_mut(offset), self.having.get_mut(word))
                {
                    *sum += added;
                    *slot = added;
                    *having |= bit;
                }
            }
            if last >= window.end {
                return Ok(());
            }
            cursor.advance();
            at = 0;
        }
    }
}

/// Documents `start..end`, and which of them may be hits.
struct Window {
    start: u32,
    end: u32,
    bits: [u64; WORDS],
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
    let mut found = vec![0.0f32; scorers.len()];
    for (number, bits) in leaf.bits.chunks(WORDS).enumerate() {
        let Some(window) = window(leaf, number, bits) else { continue };
        rising.clear();
        for (at, scorer) in scorers.iter_mut().enumerate() {
            let least = scorer.list.least(&mut scorer.block, window.start, window.end);
            scorer.bound = least.map_or(0.0, |least| bound(scorer.weight, ratio, least));
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
        let read = if permitted <= FEW { rising.len() } else { essential };
        let touched = read_window(ranking, leaf, &mut scorers, rising.get(read..).unwrap_or_default(), &window, &mut sums)?;
        let candidates = if permitted <= FEW { window.bits } else { touched };
        for doc in documents(window.start, candidates) {
            let offset = (doc - window.start) as usize % WINDOW;
            let sum = sums.get_mut(offset).map_or(0.0, std::mem::take);
            let beaten = |sum: f32, rest: usize, best: &Best| {
                let rest = rest.checked_sub(1).and_then(|last| rising.get(last)).map_or(0.0, |(rest, _)| *rest);
                sum * SLACK + rest < best.threshold()
            };
            let Some(&chunk) = leaf.segment.chunks.get(doc as usize) else { continue };
            if beaten(sum, read, best) || !wanted(chunk) {
                continue;
            }
            found.fill(0.0);
            let norm = ranking.norm(leaf.segment, doc);
            let mut upper = sum;
            let mut rest = read;
            while rest > 0 && !beaten(upper, rest, best) {
                rest -= 1;
                let Some(&(_, word)) = rising.get(rest) else { continue };
                let Some(scorer) = scorers.get_mut(word) else { continue };
                let frequency = scorer.frequency(doc)?;
                if frequency > 0 {
                    let added = contribution(scorer.weight, frequency, norm);
                    upper += added;
                    found.get_mut(word).into_iter().for_each(|found| *found = added);
                }
            }
            if rest > 0 || beaten(upper, 0, best) {
                continue;
            }
            for (_, word) in rising.get(read..).unwrap_or_default() {
                let Some(scorer) = scorers.get(*word) else { continue };
                if contains(&scorer.having, offset as u32) {
                    let added = scorer.added.get(offset).copied().unwrap_or_default();
                    found.get_mut(*word).into_iter().for_each(|found| *found = added);
                }
            }
            // A word that the document does not have adds nothing, to the bit.
            let score = found.iter().fold(0.0, |sum, added| sum + added);
            if score > 0.0 {
                best.offer(score, chunk, order(chunk));
            }
        }
    }
    Ok(())
}

/// Reads the postings of some words in a window; what is returned are the documents that have one.
fn read_window(
    ranking: &Ranking,
    leaf: &Leaf<'_>,
    scorers: &mut [Scorer<'_>],
    words: &[(f32, usize)],
    window: &Window,
    sums: &mut [f32; WINDOW],
) -> Result<[u64; WORDS]> {
    let lengths = leaf.segment.lengths.get(window.start as usize..window.end as usize).unwrap_or_default();
    let mut touched = [0; WORDS];
    for (_, word) in words {
        let Some(scorer) = scorers.get_mut(*word) else { continue };
        scorer.read(window, lengths, &ranking.norms, sums)?;
        touched.iter_mut().zip(&scorer.having).for_each(|(touched, having)| *touched |= having);
    }
    Ok(touched)
}

/// The window of some words of the bitmap; `None` where nothing may be a hit.
fn window(leaf: &Leaf<'_>, number: usize, bits: &[u64]) -> Option<Window> {
    if bits.iter().all(|word| *word == 0) {
        return None;
    }
    let start = number * WINDOW;
    let end = leaf.segment.len().min(start + WINDOW);
    let mut all = [0; WORDS];
    all.iter_mut().zip(bits).for_each(|(all, bits)| *all = *bits);
    Some(Window { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()?, bits: all })
}

/// The documents of a bitmap, ascending.
fn documents(start: u32, bits: [u64; WORDS]) -> impl Iterator<Item = u32> {
    (0u32..).zip(bits).flat_map(move |(at, word)| ones(word).map(move |bit| start + at * 64 + bit))
}
