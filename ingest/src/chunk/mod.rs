//! Chunking: a text becomes passages that fit the embedding model and can be cited.
//!
//! Guarantees: every character that is not white space is in exactly one chunk, chunks are in order and disjoint, and
//! none crosses the border of a named section, of a page or of a mail part, so that a citation names one page. Headings and paragraphs are followed where sizes
//! allow.

mod merge;
mod outline;
mod split;
mod weight;

#[cfg(test)]
mod tests;

use crate::extract::{Mark, MarkKind};
use merge::Piece;
use weight::weight_of;

/// How long chunks are, in characters as the embedding model feels them.
///
/// A model reads a fixed number of word pieces, so characters that are word pieces by themselves count more: 2.5 for a
/// Chinese, Japanese or Korean one, 2 for an ASCII punctuation mark, 1 for any other. The defaults suit a model that
/// reads 256 word pieces. Where the limits contradict each other, `max_chars` wins, then `target_chars`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Where a long section is cut, unless a paragraph or sentence ends nearby.
    pub target_chars: usize,
    /// No chunk is longer, except for a single character that is.
    pub max_chars: usize,
    /// A shorter piece joins its neighbour if the two are under the same heading.
    pub min_chars: usize,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { target_chars: 1200, max_chars: 1500, min_chars: 200 }
    }
}

/// A passage of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Where the passage begins, in bytes, at a character that is not white space.
    pub start: usize,
    /// Where the passage ends, in bytes, exclusive, after a character that is not white space.
    pub end: usize,
    /// The headings that the whole passage is under, outermost first. A passage that joins two short neighbouring
    /// sections names their common headings only, so that a citation never names a heading the answer is not under; a
    /// short introduction and the longer section that follows it are cited as the latter.
    pub headings: Vec<String>,
    /// The page on which the passage stands, counted from 1.
    pub page: Option<u32>,
    /// The mail part that the passage is in.
    pub part: Option<String>,
    /// The named section that the passage is in.
    pub section: Option<String>,
}

/// A named part of a document with its own ACL.
///
/// Spans should not overlap: a chunk carries one section's name, that of the span which begins last. An offset inside a
/// character is moved outwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SectionSpan {
    /// The section's name.
    pub name: String,
    /// Where the section begins, in bytes.
    pub start: usize,
    /// Where the section ends, in bytes, exclusive.
    pub end: usize,
}

/// Cuts a text into chunks.
///
/// It follows headings, then paragraphs, then lines and sentences, then words, in time linear in the text's length.
#[must_use]
pub(crate) fn chunk(text: &str, marks: &[Mark], sections: &[SectionSpan], limits: &ChunkLimits) -> Vec<Chunk> {
    let bounds = weight::Bounds::new(limits);
    let mut pieces = Vec::new();
    for block in outline::blocks(text, marks, sections) {
        for span in split::split(text, block.span, &bounds) {
            let Some(passage) = text.get(span.clone()) else {
                continue;
            };
            let Some(first) = passage.find(|c: char| !c.is_whitespace()) else {
                continue;
            };
            let start = span.start + first;
            let end = span.start + passage.trim_end().len();
            let weight = text.get(start..end).map_or(0, weight_of);
            pieces.push(Piece { start, end, weight, region: block.region, path: block.path.clone(), mixed: false });
        }
    }
    let mut places = outline::Places::new(text, marks, sections);
    let merged = merge::merge(pieces, &bounds).into_iter();
    merged
        .map(|piece| {
            places.advance(piece.start);
            Chunk {
                start: piece.start,
                end: piece.end,
                headings: piece.path.iter().filter_map(|mark| heading_of(marks.get(*mark)?)).collect(),
                page: places.page,
                part: places.part.map(str::to_owned),
                section: places.section().map(str::to_owned),
            }
        })
        .collect()
}

fn heading_of(mark: &Mark) -> Option<String> {
    match &mark.kind {
        MarkKind::Heading { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The span of the section under the heading with this text: from its line to the next heading of the same or a higher
/// level, the next mail part, or the end. White space around and between words does not matter; case does. `None` when
/// there is no such heading, or more than one: which of them an ACL is meant for must not be guessed.
#[must_use]
pub(crate) fn section_under_heading(text: &str, marks: &[Mark], heading: &str) -> Option<(usize, usize)> {
    let named = |mark: &Mark| match &mark.kind {
        MarkKind::Heading { level, text } if text.split_whitespace().eq(heading.split_whitespace()) => Some((mark.at, *level)),
        _ => None,
    };
    let mut rest = marks.iter();
    let (start, opened) = rest.by_ref().find_map(named)?;
    if rest.clone().any(|mark| named(mark).is_some()) {
        return None;
    }
    let end = rest.find_map(|mark| match &mark.kind {
        MarkKind::Heading { level, .. } if *level <= opened => Some(mark.at),
        MarkKind::Part(_) => Some(mark.at),
        _ => None,
    });
    Some((start, end.unwrap_or(text.len())))
}
