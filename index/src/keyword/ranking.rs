//! A question over what a caller may read: its words looked up, weighed and ready to score.
//!
//! Document frequencies are counted over readable chunks; requirements and exclusions narrow which chunks are hits and change
//! no score.

use std::sync::Arc;

use tantivy::schema::IndexRecordOption;

use super::bm25::{contribution, norms};
use super::clause::eligible;
use super::few::Excerpt;
use super::index::KeywordSnapshot;
use super::lists::{Cursor, Documents, POSTINGS, WordList};
use super::query::Question;
use super::readable::{Admitted, Part as Permitted, Readable, contains, count, numbers};
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
    words: Words,
    /// Where the question narrows what may be a hit.
    eligible: Option<Vec<u64>>,
}

/// By word of a question: its postings in one segment.
enum Words {
    /// Where nothing is readable.
    Unread,
    /// Where few documents are: the postings among them.
    Few(Vec<Arc<Excerpt>>),
    Many(Vec<Option<Arc<WordList>>>),
}

impl Words {
    /// Looks up the words, and adds to `df` how many readable documents have each.
    fn read(question: &Question, names: &[String], segment: &Segment, admitted: &Permitted, df: &mut [u64]) -> Result<Words> {
        if admitted.count == 0 {
            return Ok(Words::Unread);
        }
        let words = question.words.iter().map(|(word, _)| word).zip(names);
        let here = words.clone().map(|(word, name)| segment.here(word, name)).collect::<Result<Vec<_>>>()?;
        let words = words.zip(&here).map(|((word, name), here)| match here {
            Some(here) => (&here.word, &here.name),
            None => (word, name),
        });
        match &admitted.documents {
            Admitted::Few(few) => {
                let mut excerpts = Vec::with_capacity(names.len());
                for ((word, name), df) in words.zip(df) {
                    let excerpt = few.excerpt(segment, name, || segment.list(word, name))?;
                    *df += excerpt.len() as u64;
                    excerpts.push(excerpt);
                }
                Ok(Words::Few(excerpts))
            }
            Admitted::Many(many) => {
                let all = admitted.count == segment.len();
                let mut lists = Vec::with_capacity(names.len());
                for ((word, name), df) in words.zip(df) {
                    let list = segment.list(word, name)?;
                    if let Some(list) = &list {
                        *df += u64::from(if all { list.len } else { many.df(segment, name, list)? });
                    }
                    lists.push(list);
                }
                Ok(Words::Many(lists))
            }
        }
    }
}

impl Ranking {
    /// Looks up a question's words and counts them over what is readable.
    pub(crate) fn new(snapshot: &KeywordSnapshot, question: &Question, readable: Arc<Readable>) -> Result<Ranking> {
        let names: Vec<String> = question.words.iter().map(|(word, _)| word.name()).collect();
        let mut df = vec![0u64; names.len()];
        let mut parts = Vec::with_capacity(snapshot.segments.len());
        for (segment, admitted) in snapshot.segments.iter().zip(&readable.parts) {
            let words = Words::read(question, &names, segment, admitted, &mut df)?;
            let narrowed = question.constrains() && admitted.count > 0;
            let eligible = narrowed.then(|| eligible(segment, question, admitted.bits(segment))).transpose()?;
            parts.push(Part { segment: segment.clone(), words, eligible });
        }
        let corpus = readable.corpus;
        let weights = question.words.iter().zip(df).map(|((_, repeats), df)| corpus.idf(df) * *repeats as f32).collect();
        let average = corpus.average_length();
        Ok(Ranking { average, norms: Box::new(norms(average)), weights, parts, readable })
    }

    /// The best `limit` chunks that have one of the words, score at least `floor`, and for which `wanted` holds, best first;
    /// equal scores by `order`.
    pub(crate) fn top(
        &self,
        limit: usize,
        floor: f32,
        wanted: impl Fn(u32) -> bool,
        order: impl Fn(u32) -> u64,
    ) -> Result<Vec<(u32, f32)>> {
        let mut best = Best::new(limit, floor);
        let mut parts: Vec<_> = self.parts.iter().zip(&self.readable.parts).filter(|(_, admitted)| admitted.count > 0).collect();
        // What most of the hits come from raises the threshold soonest.
        parts.sort_by_key(|(_, admitted)| std::cmp::Reverse(admitted.count));
        for (part, admitted) in parts {
            match (&part.words, &admitted.documents) {
                (Words::Many(lists), _) => {
                    let bits = part.eligible.as_deref().unwrap_or_else(|| admitted.bits(&part.segment));
                    collect(self, &Leaf { segment: &part.segment, lists, bits }, &mut best, &wanted, &order)?;
                }
                (Words::Few(excerpts), Admitted::Few(few)) => {
                    let narrowed = (&*part.segment, part.eligible.as_deref());
                    few.collect(self, narrowed, excerpts, &mut best, &wanted, &order);
                }
                _ => {}
            }
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
            let (Some(part), Some(admitted)) = (self.parts.get(place), self.readable.parts.get(place)) else { continue };
            let norm = self.norm(&part.segment, doc);
            if let (Words::Few(excerpts), Admitted::Few(few)) = (&part.words, &admitted.documents) {
                let Some(place) = few.place(doc) else { continue };
                for (weight, excerpt) in self.weights.iter().zip(excerpts) {
                    add(score, *weight, excerpt.frequency(place), norm);
                }
                continue;
            }
            let Words::Many(lists) = &part.words else { continue };
            if at != place {
                at = place;
                let open = |list: &Option<Arc<WordList>>| match list.as_ref().map(|list| &list.documents) {
                    Some(Documents::Sparse(postings)) => part.segment.open_list(postings, IndexRecordOption::WithFreqs).map(Some),
                    _ => Ok(None),
                };
                cursors = lists.iter().map(open).collect::<Result<_>>()?;
            }
            for ((weight, list), cursor) in self.weights.iter().zip(lists).zip(&mut cursors) {
                let frequency = match list.as_ref().map(|list| &list.documents) {
                    Some(Documents::Dense(dense)) => dense.frequency(doc),
                    _ => cursor.as_mut().map_or(0, |cursor| cursor.frequency(doc)),
                };
                add(score, *weight, frequency, norm);
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

    /// The readable chunks that have what the question requires and nothing that it excludes; `None` when it does neither, or
    /// they are more than `most`.
    pub(crate) fn admitted(&self, most: usize) -> Option<Vec<u32>> {
        let mut chunks = Vec::new();
        for part in self.parts.iter().zip(&self.readable.parts).filter(|(_, admitted)| admitted.count > 0).map(|(part, _)| part) {
            let bits = part.eligible.as_ref()?;
            if chunks.len() + count(bits) > most {
                return None;
            }
            chunks.extend(numbers(bits).filter_map(|doc| part.segment.chunks.get(doc as usize)));
        }
        Some(chunks)
    }

    /// The segment and document of a readable chunk.
    fn find(&self, chunk: u32) -> Option<(usize, u32)> {
        let place = self.parts.partition_point(|part| part.segment.chunks.last().is_some_and(|last| *last < chunk));
        let doc = self.parts.get(place)?.segment.doc(chunk)?;
        self.readable.parts.get(place)?.contains(doc).then_some((place, doc))
    }

    /// What a word adds to the scores of up to [`POSTINGS`] documents that have it as often as `frequencies` say.
    #[inline]
    pub(super) fn contributions(&self, segment: &Segment, weight: f32, docs: &[u32], frequencies: &[u32]) -> [f32; POSTINGS] {
        let mut scores = [0.0; POSTINGS];
        for (norm, doc) in scores.iter_mut().zip(docs) {
            *norm = self.norm(segment, *doc);
        }
        for (score, frequency) in scores.iter_mut().zip(frequencies).take(docs.len()) {
            *score = contribution(weight, *frequency, *score);
        }
        scores
    }

    #[inline]
    pub(super) fn norm(&self, segment: &Segment, doc: u32) -> f32 {
        self.norms.get(usize::from(segment.length(doc))).copied().unwrap_or_default()
    }
}

/// Adds what a word scores to a sum.
#[inline]
fn add(score: &mut f32, weight: f32, frequency: u32, norm: f32) {
    if frequency > 0 {
        *score += contribution(weight, frequency, norm);
    }
}
