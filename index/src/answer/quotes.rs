//! Quotes: what an answer puts in quotation marks, and whether a passage says it.
//!
//! Equal are runs of white space, the variants of quotation marks and dashes, and a comma or full stop before the closing
//! mark; `…`, `...` and `[...]` leave something out. Nothing else is: one other letter, digit, sign, case or accent, and it is
//! no quote. A quote begins and ends where words do.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::words::is_paired;

/// What is shorter is a word in quotation marks.
const MIN_QUOTE_WORDS: usize = 3;
/// The same for scripts without spaces, in characters.
const MIN_QUOTE_UNSPACED: usize = 6;
/// So many of its words in so many hundredths must stand together for a passage to be said to say something close.
const NEAR_PERCENT: usize = 60;
/// A quote that leaves out more often is not looked for.
const MAX_ELISIONS: usize = 16;

/// What stands in quotation marks in some text, without the marks, in order.
pub(super) fn find(text: &str, block: &Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(char, usize)> = None;
    let mut before: Option<char> = None;
    let body = text.get(block.clone()).unwrap_or_default();
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let at = block.start + at;
        let after = chars.peek().map(|(_, c)| *c);
        match open {
            Some((opening, start)) if closes(opening, c, before) => {
                found.push(start..at);
                open = None;
            }
            None if opens(c, before, after) => open = Some((c, at + c.len_utf8())),
            // A mark that opens is a clearer beginning than one that may have been an inch.
            Some(('"', _)) if matches!(c, '“' | '„' | '«' | '「') => open = Some((c, at + c.len_utf8())),
            _ => {}
        }
        before = Some(c);
    }
    found
}

fn opens(c: char, before: Option<char>, after: Option<char>) -> bool {
    match c {
        '“' | '„' | '«' | '»' | '「' | '『' => true,
        '"' | '＂' => !before.is_some_and(|c| c.is_alphanumeric() && !is_paired(c)) && after.is_some_and(|c| !c.is_whitespace()),
        _ => false,
    }
}

fn closes(opening: char, c: char, before: Option<char>) -> bool {
    match opening {
        '“' => matches!(c, '”' | '"'),
        '„' => matches!(c, '“' | '”' | '"'),
        '«' => c == '»',
        '»' => c == '«',
        '「' => c == '」',
        '『' => c == '』',
        _ => matches!(c, '"' | '＂') && before.is_some_and(|c| !c.is_whitespace()),
    }
}

/// True for a quote, false for a word in quotation marks.
pub(super) fn is_long_enough(quote: &str) -> bool {
    let unspaced = quote.chars().filter(|c| is_paired(*c)).count();
    unspaced >= MIN_QUOTE_UNSPACED || quote.unicode_words().filter(|word| !word.starts_with(is_paired)).count() >= MIN_QUOTE_WORDS
}

/// A text in which what counts as equal is the same, with the way back to its bytes.
pub(super) struct Plain {
    text: String,
    /// For each byte of `text`, the bytes of what it stands for.
    from: Vec<Range<usize>>,
}

impl Plain {
    pub(super) fn of(text: &str) -> Plain {
        let mut plain = Plain { text: String::with_capacity(text.len()), from: Vec::with_capacity(text.len()) };
        for (at, c) in text.char_indices() {
            let from = at..at + c.len_utf8();
            match c {
                '“' | '”' | '„' | '‟' | '«' | '»' | '「' | '」' | '『' | '』' | '＂' => plain.push("\"", from),
                '‘' | '’' | '‚' | '‛' => plain.push("'", from),
                '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => plain.push("-", from),
                '…' => plain.push("...", from),
                c if c.is_whitespace() => {
                    if !plain.text.is_empty() && !plain.text.ends_with(' ') {
                        plain.push(" ", from);
                    }
                }
                c => plain.push(c.encode_utf8(&mut [0; 4]), from),
            }
        }
        plain
    }

    fn push(&mut self, text: &str, from: Range<usize>) {
        self.text.push_str(text);
        self.from.resize(self.text.len(), from);
    }

    /// The bytes of the original.
    fn original(&self, span: Range<usize>) -> Range<usize> {
        let of = |byte: usize| self.from.get(byte).cloned().unwrap_or_default();
        of(span.start).start..of(span.end.saturating_sub(1)).end
    }

    /// Where these words stand after `from`, in bytes of the plain text; neither side cuts a word.
    fn position(&self, wanted: &str, from: usize) -> Option<Range<usize>> {
        let mut from = from;
        loop {
            let start = from + self.text.get(from..)?.find(wanted)?;
            let end = start + wanted.len();
            if !cuts_word(&self.text, start) && !cuts_word(&self.text, end) {
                return Some(start..end);
            }
            from = start + self.text.get(start..)?.chars().next().map_or(1, char::len_utf8);
        }
    }
}

fn cuts_word(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at_checked(at).unwrap_or_default();
    let wordly = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_paired(c));
    wordly(before.chars().next_back()) && wordly(after.chars().next())
}

/// Where a passage says these words, in its bytes.
pub(super) fn verbatim(quote: &str, passage: &Plain) -> Option<Range<usize>> {
    let quote = Plain::of(quote).text;
    let quote = quote.trim();
    let whole = passage.position(quote, 0).or_else(|| passage.position(quote.strip_suffix(['.', ',', '。', '、'])?, 0));
    if let Some(found) = whole {
        return Some(passage.original(found));
    }
    let elided = quote.replace("[...]", "...").replace("(...)", "...");
    let parts: Vec<&str> = elided.split("...").map(str::trim).filter(|part| !part.is_empty()).collect();
    if !elided.contains("...") || parts.is_empty() || parts.len() > MAX_ELISIONS {
        return None;
    }
    let last = parts.len() - 1;
    let mut found: Option<Range<usize>> = None;
    for (number, part) in parts.iter().enumerate() {
        let from = found.as_ref().map_or(0, |found| found.end);
        let stripped = part.strip_suffix(['.', ',', '。', '、']).filter(|part| number == last && !part.is_empty());
        let place = passage.position(part, from).or_else(|| passage.position(stripped?, from))?;
        found = Some(found.map_or(place.start, |found| found.start)..place.end);
    }
    found.map(|found| passage.original(found))
}

/// What a passage says instead of a quote, when it says something close: so many words together that most of the quote's are
/// among them.
pub(super) fn nearest(quote: &str, passage: &str) -> Option<(usize, Range<usize>)> {
    let wanted: Vec<&str> = quote.unicode_words().collect();
    let said: Vec<(usize, &str)> = passage.unicode_word_indices().collect();
    let mut missing = std::collections::HashMap::new();
    wanted.iter().for_each(|word| *missing.entry(*word).or_insert(0i64) += 1);
    let mut shared = 0usize;
    let mut best: Option<(usize, Range<usize>)> = None;
    for end in 0..said.len() {
        if let Some(count) = said.get(end).and_then(|(_, word)| missing.get_mut(word)) {
            *count -= 1;
            shared += usize::from(*count >= 0);
        }
        let first = (end + 1).saturating_sub(wanted.len());
        if let Some(gone) = first.checked_sub(1).filter(|_| end >= wanted.len())
            && let Some(count) = said.get(gone).and_then(|(_, word)| missing.get_mut(word))
        {
            *count += 1;
            shared -= usize::from(*count > 0);
        }
        if best.as_ref().is_none_or(|(most, _)| shared > *most)
            && let (Some((start, _)), Some((last, word))) = (said.get(first), said.get(end))
        {
            best = Some((shared, *start..last + word.len()));
        }
    }
    best.filter(|(shared, _)| shared * 100 >= wanted.len() * NEAR_PERCENT && *shared > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSAGE: &str = "Claims are paid within ten days — or sooner.\nAna’s “rule” is:  no receipt, no money. Often daily.";

    fn said(quote: &str) -> Option<&'static str> {
        verbatim(quote, &Plain::of(PASSAGE)).map(|span| &PASSAGE[span])
    }

    #[test]
    fn quotes_are_found_between_marks_of_all_kinds() {
        let text = "A \"one two three\" b “four five six” c „sieben acht neun“ d «dix onze douze» e 「一二三四五六」 a 5\" pipe, \"no\" “x y”";
        let found: Vec<&str> =
            find(text, &(0..text.len())).into_iter().map(|span| &text[span]).filter(|quote| is_long_enough(quote)).collect();
        assert_eq!(found, ["one two three", "four five six", "sieben acht neun", "dix onze douze", "一二三四五六"]);
    }

    #[test]
    fn equal_is_what_is_written_so() {
        assert_eq!(said("paid within ten days"), Some("paid within ten days"));
        assert_eq!(said("ten days - or sooner."), Some("ten days — or sooner."));
        assert_eq!(said("sooner. Ana's \"rule\" is: no receipt,"), Some("sooner.\nAna’s “rule” is:  no receipt,"));
        assert_eq!(said("are paid within ten."), Some("are paid within ten"));
        for wrong in ["paid within two days", "Paid within ten days", "paid within ten dáys", "paid, within ten days", "ten daily"]
        {
            assert_eq!(said(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_left_out_keeps_its_order() {
        assert_eq!(said("Claims are … within ten days"), Some("Claims are paid within ten days"));
        assert_eq!(said("Claims [...] sooner."), Some("Claims are paid within ten days — or sooner."));
        assert_eq!(said("within ten days ... Claims are"), None);
        assert_eq!(said("..."), None);
    }

    #[test]
    fn what_is_close_is_shown() {
        let near = |quote: &str| nearest(quote, PASSAGE).map(|(_, span)| &PASSAGE[span]);
        assert_eq!(near("paid within two days"), Some("paid within ten days"));
        assert_eq!(near("nothing of the kind here"), None);
    }
}
