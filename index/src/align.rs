//! Where a passage of an older text stands in a newer one.
//!
//! First its very words are looked for; else a diff by words maps its start and end through, in large texts within the lines
//! that a diff by lines gives. A passage of which less than half is left is not found. Time is bounded: what is too large for
//! a diff is looked for by its very words alone.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};
use unicode_segmentation::UnicodeSegmentation;

/// Of so many places where the same words stand, the best is chosen; later ones are not looked at.
const MAX_OCCURRENCES: usize = 4_096;
/// How much before and after a passage tells one occurrence from another, in bytes.
const CONTEXT_BYTES: usize = 256;
/// Texts of more lines are not compared.
const MAX_LINES: usize = 100_000;
/// Texts are compared by words up to this size, in bytes; on hostile ones that takes half a second.
const MAX_REGION_BYTES: usize = 64 << 10;

/// Finds the bytes of `new` that are what the bytes `span` of `old` have become. They begin and end between characters.
pub(crate) fn align(old: &str, span: Range<usize>, new: &str) -> Option<Range<usize>> {
    let passage = old.get(span.clone()).filter(|passage| letters(passage) > 0)?;
    verbatim(old, &span, passage, new).or_else(|| map_through(old, span, new))
}

/// The occurrence of the passage that has most of the same text before and after it; of equals, the one that lies where
/// the passage lay, counted from the start or the end.
fn verbatim(old: &str, span: &Range<usize>, passage: &str, new: &str) -> Option<Range<usize>> {
    let (before, after) = (bytes_before(old, span.start), bytes_after(old, span.end));
    let whole_words = !cuts_word(old, span.start) && !cuts_word(old, span.end);
    // They may overlap, so each search begins one character after the last.
    let step = passage.chars().next().map_or(1, char::len_utf8);
    let next = |from: usize| new.get(from..)?.find(passage).map(|at| from + at);
    let occurrences = std::iter::successors(next(0), |last| next(last + step)).take(MAX_OCCURRENCES);
    let whole = occurrences
        .map(|start| start..start + passage.len())
        .filter(|found| !whole_words || !(cuts_word(new, found.start) || cuts_word(new, found.end)));
    whole.max_by_key(|found| {
        let same_before =
            before.iter().rev().zip(bytes_before(new, found.start).iter().rev()).take_while(|(one, other)| one == other);
        let same_after = after.iter().zip(bytes_after(new, found.end)).take_while(|(one, other)| one == other);
        let moved = found.start.abs_diff(span.start).min((new.len() - found.end).abs_diff(old.len() - span.end));
        (same_before.count() + same_after.count(), std::cmp::Reverse(moved))
    })
}

fn bytes_before(text: &str, end: usize) -> &[u8] {
    text.as_bytes().get(end.saturating_sub(CONTEXT_BYTES)..end).unwrap_or_default()
}

fn bytes_after(text: &str, start: usize) -> &[u8] {
    text.as_bytes().get(start..text.len().min(start + CONTEXT_BYTES)).unwrap_or_default()
}

/// True where a word goes on across this place.
fn cuts_word(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at_checked(at).unwrap_or_default();
    let wordly = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    wordly(before.chars().next_back()) && wordly(after.chars().next())
}

fn map_through(old: &str, span: Range<usize>, new: &str) -> Option<Range<usize>> {
    if old.len().max(new.len()) <= MAX_REGION_BYTES {
        return map_words(old, span, new);
    }
    let (olds, news) = (pieces(old.split_inclusive('\n')), pieces(new.split_inclusive('\n')));
    if olds.len().max(news.len()) > MAX_LINES {
        return None;
    }
    let first = olds.partition_point(|line| line.end <= span.start);
    let last = olds.partition_point(|line| line.start < span.end);
    let (from, to) = Changes::between(old, &olds, new, &news).surround(first..last);
    let (old_region, new_region) = (bytes_of(&olds, from)?, bytes_of(&news, to)?);
    if old_region.len().max(new_region.len()) > MAX_REGION_BYTES {
        return None;
    }
    let inside = span.start.checked_sub(old_region.start)?..span.end.checked_sub(old_region.start)?;
    let found = map_words(old.get(old_region)?, inside, new.get(new_region.clone())?)?;
    Some(new_region.start + found.start..new_region.start + found.end)
}

/// Maps a passage through a diff by words. At least half of the letters of what it was must be left, and they must be at
/// least half of what it has become: with less a reader would not take it for the same passage. Letters and not words are
/// counted, so that articles and the like, which any two texts share, count for little.
fn map_words(old: &str, span: Range<usize>, new: &str) -> Option<Range<usize>> {
    let (olds, news) = (words(old), words(new));
    let changes = Changes::between(old, &olds, new, &news);
    let first = olds.partition_point(|word| word.end <= span.start);
    let last = olds.partition_point(|word| word.start < span.end);
    let found = bytes_of(&news, changes.map(first..last))?;
    let weight = |word: &Range<usize>| letters(old.get(word.clone()).unwrap_or_default());
    let words = olds.iter().enumerate().take(last).skip(first);
    let (mut all, mut kept) = (0, 0);
    for (at, word) in words {
        all += weight(word);
        kept += if changes.keeps(at) { weight(word) } else { 0 };
    }
    let become_ = letters(new.get(found.clone())?);
    (kept > 0 && kept * 2 >= all.max(become_)).then_some(found)
}

/// Words and signs. Space between them does not count, since texts are wrapped anew.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = pieces(text.split_word_bounds());
    words.retain(|word| text.get(word.clone()).is_some_and(|word| !word.trim().is_empty()));
    words
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphanumeric()).count()
}

/// The bytes of consecutive pieces of a text.
fn pieces<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<Range<usize>> {
    let mut end = 0;
    let piece = |piece: &str| {
        let start = end;
        end += piece.len();
        start..end
    };
    pieces.map(piece).collect()
}

/// The bytes from the first to the last of these pieces; `None` for no piece.
fn bytes_of(pieces: &[Range<usize>], range: Range<usize>) -> Option<Range<usize>> {
    let of = pieces.get(range)?;
    Some(of.first()?.start..of.last()?.end)
}

/// What changed between two sequences of pieces: (those of the old, those of the new that stand in their place).
struct Changes(Vec<(Range<usize>, Range<usize>)>);

impl Changes {
    fn between(old: &str, olds: &[Range<usize>], new: &str, news: &[Range<usize>]) -> Changes {
        let mut input = InternedInput::default();
        input.update_before(olds.iter().map(|piece| old.get(piece.clone()).unwrap_or_default()));
        input.update_after(news.iter().map(|piece| new.get(piece.clone()).unwrap_or_default()));
        let mut diff = Diff::compute(Algorithm::Myers, &input);
        // What was added between two equal signs goes after the first, so that it does not count as part of what ends there.
        diff.postprocess_no_heuristic(&input);
        let wide = |range: Range<u32>| range.start as usize..range.end as usize;
        Changes(diff.hunks().map(|hunk| (wide(hunk.before), wide(hunk.after))).collect())
    }

    /// The change that takes this old piece away.
    fn of(&self, piece: usize) -> Option<&(Range<usize>, Range<usize>)> {
        self.0.get(self.0.partition_point(|(before, _)| before.end <= piece)).filter(|(before, _)| before.start <= piece)
    }

    fn keeps(&self, piece: usize) -> bool {
        self.of(piece).is_none()
    }

    /// Where an old piece that was kept stands among the new ones.
    fn place(&self, piece: usize) -> usize {
        let before = self.0.partition_point(|(before, _)| before.end <= piece);
        let last = before.checked_sub(1).and_then(|at| self.0.get(at));
        last.map_or(piece, |(before, after)| after.end + (piece - before.end))
    }

    /// Old pieces, with whole changes at both ends, and the new ones that stand in their place.
    fn surround(&self, range: Range<usize>) -> (Range<usize>, Range<usize>) {
        let (from, start) = match self.of(range.start) {
            Some((before, after)) => (before.start, after.start),
            None => (range.start, self.place(range.start)),
        };
        let last = range.end.saturating_sub(1).max(range.start);
        let (to, end) = match self.of(last) {
            Some((before, after)) => (before.end, after.end),
            None => (last + 1, self.place(last) + 1),
        };
        (from..to, start..end)
    }

    /// The new pieces that stand in the place of old ones. A change that goes over an end of the range is left out: how
    /// much of it belongs to the range cannot be told.
    fn map(&self, range: Range<usize>) -> Range<usize> {
        let last = range.end.saturating_sub(1).max(range.start);
        let start = match self.of(range.start) {
            Some((before, after)) if before.start < range.start => after.end,
            Some((_, after)) => after.start,
            None => self.place(range.start),
        };
        let end = match self.of(last) {
            Some((before, after)) if before.end > range.end => after.start,
            Some((_, after)) => after.end,
            None => self.place(last) + 1,
        };
        start..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSAGE: &str = "Receipts are due within ten days; later ones need a director's word.";

    fn found<'a>(old: &str, passage: &str, new: &'a str) -> Option<&'a str> {
        let start = old.find(passage).unwrap();
        align(old, start..start + passage.len(), new).map(|span| &new[span])
    }

    #[test]
    fn a_changed_passage_is_found_where_it_stood() {
        let old = format!("# Travel\n\nGo by train.\n\n{PASSAGE}\n\nAsk Ana.\n");
        let changed = PASSAGE.replace("ten", "fourteen");
        assert_eq!(found(&old, PASSAGE, &old.replace("ten", "fourteen")), Some(changed.as_str()));
        let wrapped = "Receipts are due\nwithin ten working days; later\nones need a director's word.";
        assert_eq!(found(&old, PASSAGE, &format!("# Trips\n\n{wrapped} Always.\n\nAsk Bo.\n")), Some(wrapped));
        assert_eq!(found(&old, PASSAGE, "# Travel\n\nGo by train.\n\nReceipts may be lost.\n\nAsk Ana.\n"), None);
        assert_eq!(found(&old, PASSAGE, ""), None);
        let grown = PASSAGE.replace("days", &format!("days{}", " or whatever is agreed".repeat(40)));
        assert_eq!(found(&old, PASSAGE, &old.replace(PASSAGE, &grown)), None);
        let (old, new) = ("日当は七十一ユーロです。領収書は十日以内に。", "日当は七十五ユーロです。領収書は十日以内に。");
        assert_eq!(found(old, "日当は七十一ユーロです。", new), Some("日当は七十五ユーロです。"));
    }

    #[test]
    fn of_several_places_the_one_in_the_same_context_is_taken() {
        let (old, new) = ("A\nsee below\nB\nsee below\nC\n", "A\nsee below\nX\nB\nsee below\nC\nD\nsee below\n");
        let second = old.rfind("see").unwrap();
        assert_eq!(align(old, second..second + 9, new), Some(16..25));
        assert_eq!(align(old, 2..11, new), Some(2..11));
        assert_eq!(align("a cat\n", 2..5, "concatenate\n"), None);
    }

    #[test]
    fn the_cost_is_bounded() {
        // A passage in a text too large for words is found by its lines.
        let filler = |from: usize| (from..from + 20_000).map(|line| format!("line {line}\n")).collect::<String>();
        let old = [filler(0).as_str(), PASSAGE, "\n", &filler(30_000)].concat();
        let changed = PASSAGE.replace("ten", "nine");
        assert_eq!(found(&old, PASSAGE, &[filler(100).as_str(), &changed, "\n", &filler(30_000)].concat()), Some(changed.as_str()));

        let started = std::time::Instant::now();
        let lines = |seed: usize| (0..MAX_LINES).map(|line| format!("{}\n", (line * seed) % 9_973)).collect::<String>();
        let (old, new) = (lines(7), lines(11));
        let _found = align(&old, 500_000..500_100, &new);
        let (old, new) = ("a b ".repeat(MAX_REGION_BYTES / 4), "b a c ".repeat(MAX_REGION_BYTES / 6));
        let _found = align(&old, 5_000..9_000, &new);
        let many = "x".repeat(1 << 20);
        let _found = align(&many, 0..1, &"xy".repeat(1 << 20));
        // Half a second where nothing else runs.
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    }

    /// Sentences of words that no other text has.
    fn text(alphabet: &'static str, most: usize) -> impl Strategy<Value = String> {
        let word = prop::collection::vec(prop::sample::select(alphabet.chars().collect::<Vec<_>>()), 2..8);
        let word = word.prop_map(|letters| letters.into_iter().collect::<String>());
        let sentence = prop::collection::vec(word, 1..9).prop_map(|words| words.join(" ") + ".");
        let end = prop::sample::select(vec![" ", "\n", "\n\n"]);
        prop::collection::vec((sentence, end), 1..most)
            .prop_map(|sentences| sentences.into_iter().map(|(sentence, end)| sentence + end).collect())
    }

    const OURS: &str = "aeioubcdéß日本語";
    const THEIRS: &str = "klmnprst中文ø";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_same_words_are_found_wherever_they_went(
            before in text(OURS, 8), passage in text("xyzw漢ü", 4), after in text(OURS, 8),
            new_before in text(THEIRS, 8), new_after in text(THEIRS, 8),
        ) {
            let old = [before.as_str(), &passage, &after].concat();
            let new = [new_before.as_str(), &passage, &new_after].concat();
            let found = align(&old, before.len()..before.len() + passage.len(), &new);
            prop_assert_eq!(found, Some(new_before.len()..new_before.len() + passage.len()));
        }

        #[test]
        fn one_changed_word_moves_no_end(
            before in text(OURS, 6), head in text("xyzw漢ü", 3), tail in text("xyzw漢ü", 3), after in text(OURS, 6),
            new_before in text(OURS, 6),
        ) {
            let (passage, changed) = (format!("{head}was {tail}"), format!("{head}is {tail}"));
            let old = [before.as_str(), &passage, &after].concat();
            let new = [new_before.as_str(), &changed, &after].concat();
            let found = align(&old, before.len()..before.len() + passage.len(), &new);
            prop_assert_eq!(found.and_then(|span| new.get(span)).map(str::trim), Some(changed.trim()));
        }

        #[test]
        fn whatever_is_found_slices(old in text("ab日é \n", 6), new in text("ab日é \n", 6), at in any::<(prop::sample::Index, prop::sample::Index)>()) {
            let (a, b) = (old.floor_char_boundary(at.0.index(old.len() + 1)), old.floor_char_boundary(at.1.index(old.len() + 1)));
            let span = a.min(b)..a.max(b);
            if let Some(found) = align(&old, span.clone(), &new) {
                prop_assert!(new.get(found).is_some_and(|text| letters(text) > 0));
            }
            if old[span.clone()].chars().any(char::is_alphanumeric) {
                prop_assert_eq!(align(&old, span.clone(), &old), Some(span));
            }
        }

        #[test]
        fn an_unrelated_text_has_nothing_of_it(old in text(OURS, 8), new in text(THEIRS, 8), from in any::<prop::sample::Index>()) {
            let start = old.floor_char_boundary(from.index(old.len()));
            prop_assert_eq!(align(&old, start..old.len(), &new), None);
        }
    }
}
