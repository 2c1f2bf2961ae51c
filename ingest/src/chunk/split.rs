//! Cutting a block that is too long, at the best place near the target size.
//!
//! One forward scan per cut, never further than the maximum plus the minimum; a cut lies at least half a target
//! further, so the whole is linear in the text: 32 MiB take about a second. (`text-splitter` 0.33 looks at the remaining
//! text again for each piece: 6 s for one MiB without spaces and 22 s for one MiB of Japanese, measured, and quadratic.)

use std::ops::Range;

use super::weight::{Bounds, is_cjk, weight};

/// Splits a span of a text into spans that cover it, each at most `bounds.max` heavy.
pub(super) fn split(text: &str, span: Range<usize>, bounds: &Bounds) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut candidates = Vec::new();
    let mut start = span.start;
    while let Some(rest) = text.get(start..span.end) {
        let Some(length) = next_cut(rest, bounds, &mut candidates) else {
            break;
        };
        spans.push(start..start + length);
        start += length;
    }
    spans.push(start..span.end);
    spans
}

/// How good a place for a cut is; the best of those in reach is taken, of equals the nearest to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Character,
    Word,
    Clause,
    /// A line's end that is likely no more than where a paragraph was wrapped.
    Wrap,
    Sentence,
    /// The end of a line that is a unit: of an item, a row, a line of code.
    Line,
    Paragraph,
}

struct Candidate {
    /// Offset of the character that would begin the next piece.
    at: usize,
    /// The weight before it.
    weight: usize,
    rank: Rank,
}

/// The length of the first piece of `rest`; `None` when all of it fits into one.
fn next_cut(rest: &str, bounds: &Bounds, candidates: &mut Vec<Candidate>) -> Option<usize> {
    candidates.clear();
    let mut total = 0;
    let mut ended = true;
    let mut seen = Seen::default();
    for (at, character) in rest.char_indices() {
        if total > bounds.max + bounds.min {
            ended = false;
            break;
        }
        if let Some(rank) = seen.rank_before(character)
            && at > 0
            && total <= bounds.max
        {
            candidates.push(Candidate { at, weight: total, rank });
        }
        total += weight(character);
        seen.push(character);
    }
    if total <= bounds.max {
        return None;
    }
    // Towards the end of the block, two balanced pieces rather than a full one and a scrap.
    let (aim, upper) = if ended { (total / 2, bounds.max.min(total - bounds.min)) } else { (bounds.target, bounds.max) };
    let lower = aim.min(bounds.target / 2);
    let best = candidates
        .iter()
        .filter(|candidate| (lower..=upper).contains(&candidate.weight))
        .max_by_key(|candidate| (candidate.rank, std::cmp::Reverse(candidate.weight.abs_diff(aim))));
    let cut = best.or(candidates.last()).map(|candidate| candidate.at);
    // Without any candidate the text is one long run of combining characters, or one character over the maximum.
    cut.or_else(|| forced_cut(rest, bounds))
}

fn forced_cut(rest: &str, bounds: &Bounds) -> Option<usize> {
    let mut total = 0;
    let over = rest.char_indices().find(|(at, character)| {
        total += weight(*character);
        *at > 0 && total > bounds.max
    });
    over.map(|(at, _)| at)
}

/// What the scan remembers of the text before a place.
#[derive(Default)]
struct Seen {
    /// The last character that is neither white space nor a closing mark.
    word: Option<char>,
    /// The last character that is not white space.
    visible: Option<char>,
    /// The last character.
    last: Option<char>,
    /// Line breaks since the last visible character.
    breaks: usize,
}

impl Seen {
    fn push(&mut self, character: char) {
        if character.is_whitespace() {
            // In `\r\n` the second one counts.
            self.breaks += usize::from(character == '\n' || character == '\u{2029}');
        } else {
            self.breaks = 0;
            self.visible = Some(character);
            if !is_closing(character) {
                self.word = Some(character);
            }
        }
        self.last = Some(character);
    }

    /// The rank of a cut before the next character; `None` where none is possible. White space begins no piece.
    fn rank_before(&self, next: char) -> Option<Rank> {
        if next.is_whitespace() || extends(next) || self.last == Some('\u{200d}') {
            return None;
        }
        let last = self.last?;
        let word = self.word.unwrap_or(last);
        if !last.is_whitespace() {
            return Some(self.rank_within_line(last, word, next));
        }
        Some(match self.breaks {
            0 if ends_sentence(word) && !next.is_lowercase() => Rank::Sentence,
            0 if matches!(word, ',' | ';' | ':') => Rank::Clause,
            0 => Rank::Word,
            1 if last != '\n' || is_marker(next) || self.visible.is_some_and(ends_line) => Rank::Line,
            1 => Rank::Wrap,
            _ => Rank::Paragraph,
        })
    }

    /// Without white space between: only scripts that have none there can be cut well.
    fn rank_within_line(&self, last: char, word: char, next: char) -> Rank {
        let wide = is_cjk(last) || is_cjk(next);
        if !wide || is_closing(next) || ends_sentence(next) || is_pause(next) {
            Rank::Character
        } else if is_cjk(word) && ends_sentence(word) {
            Rank::Sentence
        } else if is_pause(last) {
            Rank::Clause
        } else {
            Rank::Word
        }
    }
}

fn ends_sentence(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '．' | '｡' | '؟' | '۔' | '।')
}

fn is_pause(character: char) -> bool {
    matches!(character, '、' | '，' | '；' | '：' | '､')
}

fn is_closing(character: char) -> bool {
    matches!(character, ')' | ']' | '"' | '\'' | '’' | '”' | '»' | '」' | '』' | '）' | '】' | '》' | '〉')
}

/// Whether a line that ends in this character was most likely not wrapped there.
fn ends_line(character: char) -> bool {
    !character.is_alphanumeric() && !matches!(character, ',' | '-' | '–' | '—' | '，' | '、')
}

/// Whether a line that begins with this character begins an item, a row or a block.
fn is_marker(character: char) -> bool {
    matches!(character, '-' | '*' | '+' | '#' | '|' | '>' | '•' | '·' | '<' | '{' | '}' | '[') || character.is_ascii_digit()
}

/// Whether a character joins the one before it: combining marks, joiners, variation selectors, skin tones.
fn extends(character: char) -> bool {
    matches!(u32::from(character),
        0x0300..=0x036F | 0x0483..=0x0489 | 0x0591..=0x05BD | 0x0610..=0x061A | 0x064B..=0x065F | 0x093A..=0x094F
        | 0x0E31..=0x0E3A | 0x0E47..=0x0E4E | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x200C | 0x200D | 0x20D0..=0x20FF
        | 0x3099..=0x309A | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F | 0xFF9E..=0xFF9F | 0x1F3FB..=0x1F3FF
        | 0xE0020..=0xE007F | 0xE0100..=0xE01EF)
}
