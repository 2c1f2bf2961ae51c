//! A question over what a caller may read: its words looked up, weighed and ready to score.
//!
//! Document frequencies are counted over readable chunks; requirements and exclusions narrow which chunks are hits and change
//! no score.

use std::sync::Arc;

use tantivy::schema::IndexRecordOption;

use super::blocks::{Cursor, WordList};
use super::bm25::{contribution, norms};
use super::clause::eligible;
use super::index::KeywordSnapshot;
use super::query::Question;
use super::readable::{Readable, contains};
use super::segment::Segment;
use super::top::{Best, Leaf, collect};
use crate::error::Result;

/// A question that is ready to be answered.
pub(crate) struct Ranking {
    pub(super) average: f32,
    /// By length code.
    pub(super) norms: Box<[f32; 256]>,
    /// By word of the question: idf times how often it is asked for.
    pub(super) weights: Vec<f32>,
    parts: Vec<Part>,
    readable: Arc<Readable>,
}

/// A question in one segment.
struct Part {
    segment: Arc<Segment>,
    /// By word of the question; empty where nothing of the segment is readable.
    lists: Vec<Option<Arc<WordList>>>,
    /// Where the question narrows what may be a hit.
    eligible: Option<Vec<u64>>,
}

impl Ranking {
    /// Looks up a question's words and counts them over what is readable.
    pub(crate) fn new(snapshot: &KeywordSnapshot, question: &Question, readable: Arc<Readable>) -> Result<Ranking> {
        let names: Vec<String> = question.words.iter().map(|(word, _)| word.name()).collect();
        let mut df = vec![0u64; names.len()];
        let mut parts = Vec::with_capacity(snapshot.segments.len());
        for (segment, admitted) in snapshot.segments.iter().zip(&readable.parts) {
            let mut part = Part { segment: segment.clone(), lists: Vec::new(), eligible: None };
            if admitted.count > 0 {
                for (((word, _), name), df) in question.words.iter().zip(&names).zip(&mut df) {
                    let list = segment.list(word)?;
                    if let Some(list) = &list {
                        *df += u64::from(admitted.df(segment, name, list)?);
                    }
                    part.lists.push(list);
                }
                if question.constrains() {
                    part.eligible = Some(eligible(segment, question, &admitted.bits)?);
                }
            }
            parts.push(part);
        }
        let corpus = readable.corpus;
        let weights = question.words.iter().zip(df).map(|((_, repeats), df)| corpus.idf(df) * *repeats as f32).collect();
        let average = corpus.average_length();
        Ok(Ranking { average, norms: Box::new(norms(average)), weights, parts, readable })
    }

    /// The best `limit` chunks that have one of the words, for which `wanted` holds, best first; equal scores by `order`.
    pub(crate) fn top(&self, limit: usize, wanted: impl Fn(u32) -> bool, order: impl Fn(u32) -> u64) -> Result<Vec<(u32, f32)>> {
        let mut best = Best::new(limit);
        let mut parts: Vec<_> = self.parts.iter().zip(&self.readable.parts).filter(|(_, admitted)| admitted.count > 0).collect();
        // What most of the hits come from raises the threshold soonest.
        parts.sort_by_key(|(_, admitted)| std::cmp::Reverse(admitted.count));
        for (part, admitted) in parts {
            let bits = part.eligible.as_ref().unwrap_or(&admitted.bits);
            collect(self, &Leaf { segment: &part.segment, lists: &part.lists, bits }, &mut best, &wanted, &order)?;
        }
        Ok(best.into_sorted())
    }

    /// The scores of some chunks; 0 for one that has none of the words or is not readable.
    pub(crate) fn scores(&self, chunks: &[u32]) -> Result<Vec<f32>> {
        let mut scores = vec![0.0; chunks.len()];
        let mut order: Vec<(u32, &mut f32)> = chunks.iter().copied().zip(&mut scores).collect();
        order.sort_unstable_by_key(|(chunk, _)| *chunk);
        let mut at = usize::MAX;
        let mut cursors: Vec<Option<Cursor>> = Vec::new();
        for (chunk, score) in order {
            let Some((place, doc)) = self.find(chunk) else { continue };
            let Some(part) = self.parts.get(place) else { continue };
            if at != place {
                at = place;
                let open = |list: &Option<Arc<WordList>>| {
                    list.as_ref().map(|list| part.segment.open_list(list, IndexRecordOption::WithFreqs)).transpose()
                };
                cursors = part.lists.iter().map(open).collect::<Result<_>>()?;
            }
            let norm = self.norm(&part.segment, doc);
            for (weight, cursor) in self.weights.iter().zip(&mut cursors) {
                let frequency = cursor.as_mut().map_or(0, |cursor| cursor.frequency(doc));
                if frequency > 0 {
                    *score += contribution(*weight, frequency, norm);
                }
            }
        }
        Ok(scores)
    }

    /// True when a readable chunk has what the question requires and nothing that it excludes.
    pub(crate) fn admits(&self, chunk: u32) -> bool {
        self.find(chunk).is_some_and(|(place, doc)| {
            self.parts.get(place).is_some_and(|part| part.eligible.as_ref().is_none_or(|bits| contains(bits, doc)))
        })
    }

    /// The segment and document of a readable chunk.
    fn find(&self, chunk: u32) -> Option<(usize, u32)> {
        let place = self.parts.partition_point(|part| part.segment.chunks.last().is_some_and(|last| *last < chunk));
        let doc = self.parts.get(place)?.segment.doc(chunk)?;
        self.readable.parts.get(place)?.contains(doc).then_some((place, doc))
    }

    #[inline]
    pub(super) fn norm(&self, segment: &Segment, doc: u32) -> f32 {
        let code = segment.lengths.get(doc as usize).copied().unwrap_or_default();
        self.norms.get(usize::from(code)).copied().unwrap_or_default()
    }
}
