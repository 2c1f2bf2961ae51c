//! Text to blocks (paragraphs, list items, headings, rows of tables) and blocks to sentences.
//!
//! Where it is not clear that a sentence ends, it does not: a claim that is too long has more to be supported, not less.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// A sentence never ends after these, in lower case and without the last dot.
const ABBREVIATIONS: &[&str] = &[
    "abs", "abb", "approx", "art", "bzw", "ca", "cf", "chap", "co", "corp", "dept", "dr", "e.g", "ed", "eg", "eq", "est", "etc",
    "evtl", "fig", "ggf", "gov", "hr", "i.e", "ie", "inc", "inkl", "jr", "kap", "lt", "ltd", "max", "min", "mr", "mrs", "ms", "no",
    "nos", "nr", "p", "pp", "prof", "rd", "resp", "s", "sec", "sog", "sr", "st", "std", "str", "u.a", "usw", "v", "vgl", "vol",
    "vs", "z.b", "zzgl",
];

/// A longer line is no title, in bytes.
const MAX_TITLE_BYTES: usize = 48;

/// What stands together in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Paragraph,
    Heading,
    Item,
    Row,
}

/// The blocks of a text in Markdown or plain text, without the signs that mark them. With `titles` a short line without a
/// full stop stands alone, as titles of plain texts do.
pub(super) fn blocks(text: &str, titles: bool) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut after_title = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let quoted = line.trim_start_matches([' ', '\t', '>']);
        let (kind, body) = kind_of(quoted);
        let body = body.trim();
        if !body.chars().any(char::is_alphanumeric) {
            // A rule below a row makes it the head of a table, below a line a heading.
            if let Some(last) = blocks.last_mut().filter(|_| open && is_rule(body))
                && (last.kind == Kind::Row || body.starts_with(['=', '-']))
            {
                last.kind = Kind::Heading;
            }
            open = open && !body.is_empty() && !is_rule(body);
            continue;
        }
        let offset = body.as_ptr() as usize - line.as_ptr() as usize;
        let span = start + offset..start + offset + body.len();
        match blocks.last_mut() {
            Some(last) if open && !after_title && kind == Kind::Paragraph && matches!(last.kind, Kind::Paragraph | Kind::Item) => {
                last.span.end = span.end;
            }
            _ => blocks.push(Block { span, kind }),
        }
        after_title = titles && body.len() <= MAX_TITLE_BYTES && body.ends_with(char::is_alphanumeric);
        open = true;
    }
    blocks
}

/// True for a line that only separates.
fn is_rule(line: &str) -> bool {
    line.len() >= 3 && line.chars().all(|c| matches!(c, '-' | '=' | '|' | ':' | ' ' | '*' | '_'))
}

/// What a line begins, and the line without the signs for it.
fn kind_of(line: &str) -> (Kind, &str) {
    let hashes = line.trim_start_matches('#');
    if hashes.len() < line.len() && hashes.starts_with(' ') {
        return (Kind::Heading, hashes);
    }
    if line.starts_with('|') {
        return (Kind::Row, line);
    }
    if let Some(item) = ["- ", "* ", "+ ", "• ", "– ", "・"].iter().find_map(|sign| line.strip_prefix(sign)) {
        return (Kind::Item, item.strip_prefix("[ ] ").or_else(|| item.strip_prefix("[x] ")).unwrap_or(item));
    }
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let item = digits.strip_prefix(". ").or_else(|| digits.strip_prefix(") "));
    match item.filter(|_| (1..=3).contains(&(line.len() - digits.len()))) {
        Some(item) => (Kind::Item, item),
        None => (Kind::Paragraph, line),
    }
}

/// The sentences of a block, which together are all of it. None ends inside one of the spans `whole`, which are in order.
pub(super) fn sentences(text: &str, block: &Range<usize>, whole: &[Range<usize>]) -> Vec<Range<usize>> {
    // A break of a line ends no sentence.
    let flat: String = text.get(block.clone()).unwrap_or_default().replace(['\n', '\r', '\t'], " ");
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let (mut open, mut day) = (false, false);
    for (at, piece) in flat.split_sentence_bound_indices() {
        let span = block.start + at..block.start + at + piece.len();
        match sentences.last_mut() {
            Some(last) if open || (day && begins_with_month(piece)) => last.end = span.end,
            _ => sentences.push(span.clone()),
        }
        let next = whole.partition_point(|whole| whole.end <= span.end);
        let inside = whole.get(next).is_some_and(|whole| whole.start < span.end);
        day = ends_with_day(piece);
        open = inside || goes_on(piece) || !piece.chars().any(char::is_alphanumeric);
    }
    // What has no words belongs to what stands before it.
    if open && sentences.len() > 1 && sentences.last().is_some_and(|last| !has_words(text, last)) {
        let last = sentences.pop().map_or(block.end, |last| last.end);
        sentences.iter_mut().next_back().into_iter().for_each(|before| before.end = last);
    }
    sentences
}

fn has_words(text: &str, span: &Range<usize>) -> bool {
    text.get(span.clone()).is_some_and(|text| text.chars().any(char::is_alphanumeric))
}

/// True after an abbreviation or an initial: what follows belongs to the same sentence.
fn goes_on(piece: &str) -> bool {
    let Some(word) = last_word(piece) else { return false };
    let initials = word.split('.').all(|letter| letter.chars().count() == 1 && letter.chars().all(char::is_uppercase));
    initials || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// True after a number with a dot that may be the day of a German date.
fn ends_with_day(piece: &str) -> bool {
    last_word(piece).is_some_and(|word| word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()))
}

fn begins_with_month(piece: &str) -> bool {
    ["Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"]
        .iter()
        .any(|month| piece.starts_with(month))
}

/// The word before the full stop.
fn last_word(piece: &str) -> Option<&str> {
    let piece = piece.trim_end().strip_suffix('.')?;
    piece.rsplit([' ', '(', '[', '\u{a0}', '"']).next().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        let all = blocks(text, false).into_iter().flat_map(|block| sentences(text, &block.span, &[]));
        all.map(|span| text[span].trim()).collect()
    }

    #[test]
    fn sentences_end_where_it_is_clear() {
        assert_eq!(
            split("It is 3.5 km, e.g. by Dr. Lee on 3. Mai 2026. See No. 5! J. R. Smith\nagrees… 今日は。明日も？"),
            ["It is 3.5 km, e.g. by Dr. Lee on 3. Mai 2026.", "See No. 5!", "J. R. Smith\nagrees… 今日は。", "明日も？"]
        );
        let text = "He said \"Stop. Now. Go.\" Then he went.";
        assert_eq!(sentences(text, &(0..text.len()), std::slice::from_ref(&(8..24))).len(), 2);
    }

    #[test]
    fn blocks_are_told_apart() {
        let text = "# Head\nOne\ntwo.\n\n- item\n  goes on\n2. next\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nTitle\n=====\n";
        let found: Vec<_> = blocks(text, false).into_iter().map(|block| (text[block.span].to_owned(), block.kind)).collect();
        let expected = [
            ("Head", Kind::Heading),
            ("One\ntwo.", Kind::Paragraph),
            ("item\n  goes on", Kind::Item),
            ("next\n> quoted", Kind::Item),
            ("| a | b |", Kind::Heading),
            ("| 1 | 2 |", Kind::Row),
            ("Title", Kind::Heading),
        ];
        let titled: Vec<_> = blocks("7. Not at sea\nIf a team\nmust.", true).into_iter().map(|block| block.span).collect();
        assert_eq!(titled, [3..13, 14..23, 24..29]);
        assert_eq!(found, expected.map(|(text, kind)| (text.to_owned(), kind)));
    }
}
