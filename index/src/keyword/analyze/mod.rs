//! Text to terms: Unicode words, folded, stemmed where the language is known, pairs of characters for scripts without
//! spaces, and identifiers (`CVE-2024-3094`) as a whole beside their parts.
//!
//! The same rules serve documents and queries. Changing what they yield means raising `ANALYSIS` in `index.rs`, so
//! that indexes are rebuilt.

mod fold;
mod language;

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

pub(crate) use fold::{fold, is_paired};
pub(crate) use language::Language;

/// A term and the bytes of the text that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

/// The terms of a text, in order.
pub(crate) type Terms = Vec<Term>;

/// A word of a query: what it may be indexed as, the likeliest first, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) forms: Vec<String>,
    pub(super) span: Range<usize>,
}

/// Terms are cut here, in bytes; nothing that a person types is longer.
const MAX_TERM_BYTES: usize = 160;
/// The most parts of an identifier.
const MAX_IDENTIFIER_PARTS: usize = 8;

/// The terms of a text.
pub(crate) fn terms(text: &str) -> Terms {
    terms_in(text, Language::of(text))
}

/// The terms of a text, stemmed as one of this language.
pub(crate) fn terms_in(text: &str, language: Language) -> Terms {
    let mut terms = Vec::with_capacity(text.len() / 6);
    each_term(text, language, |term, span| terms.push(Term { text: term.to_owned(), span }));
    terms
}

/// Finds the terms of a text, in order. `found` is not to look for terms itself.
pub(super) fn each_term(text: &str, language: Language, mut found: impl FnMut(&str, Range<usize>)) {
    let mut found = |term: &str, span| {
        if !term.is_empty() {
            found(term, span);
        }
    };
    each_word(text, |word, span| match word {
        Word::Spaced(word) => language.stem(word, |stem| found(cut(stem), span)),
        Word::Pair(pair) => found(&pair, span),
    });
}

/// The words of a query, in order.
pub(super) fn asked(text: &str) -> Vec<Asked> {
    let language = Language::of(text);
    let mut asked = Vec::new();
    each_word(text, |word, span| {
        let mut forms: Vec<String> = match word {
            Word::Spaced(word) => language.forms(word).iter().map(|form| cut(form).to_owned()).collect(),
            Word::Pair(pair) => vec![pair],
        };
        forms.retain(|form| !form.is_empty());
        if !forms.is_empty() {
            asked.push(Asked { forms, span });
        }
    });
    asked
}

/// The words of a text, folded and stemmed, in order.
pub(crate) fn words(text: &str) -> Vec<String> {
    terms(text).into_iter().map(|term| term.text).collect()
}

/// Every term of a text, for measuring another engine on the same ones.
pub fn analyzed(text: &str) -> Vec<String> {
    terms(text).into_iter().chain(identifiers(text)).map(|term| term.text).collect()
}

/// The spans of a text in this language whose terms are among those of a query, merged where they touch.
pub(crate) fn matches(text: &str, language: Language, wanted: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    each_term(text, language, |term, span| match spans.last_mut() {
        _ if !wanted(term) => {}
        Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
        _ => spans.push(span),
    });
    spans
}

/// What a text consists of before stems.
enum Word<'a> {
    /// A folded word of a script with spaces.
    Spaced(&'a str),
    /// Two neighbouring characters of another script, or one alone.
    Pair(String),
}

fn each_word(text: &str, mut found: impl FnMut(Word<'_>, Range<usize>)) {
    let mut folded = String::new();
    // A character that stands alone until its neighbour comes.
    let mut alone: Option<(usize, char)> = None;
    let mut paired: Option<(usize, char)> = None;
    for (start, word) in text.unicode_word_indices() {
        if !word.starts_with(is_paired) {
            if let Some((at, c)) = alone.take() {
                found(Word::Pair(c.to_string()), at..at + length_at(text, at));
            }
            paired = None;
            fold::fold_into(word, &mut folded);
            found(Word::Spaced(&folded), start..start + word.len());
            continue;
        }
        for (offset, written) in word.char_indices() {
            let at = start + offset;
            let c = written.to_string().nfkc().next().unwrap_or(written);
            match paired {
                Some((before, b)) if before + length_at(text, before) == at => {
                    alone = None;
                    found(Word::Pair([b, c].iter().collect()), before..at + written.len_utf8());
                }
                _ => {
                    if let Some((at, c)) = alone.take() {
                        found(Word::Pair(c.to_string()), at..at + length_at(text, at));
                    }
                    alone = Some((at, c));
                }
            }
            paired = Some((at, c));
        }
    }
    if let Some((at, c)) = alone {
        found(Word::Pair(c.to_string()), at..at + length_at(text, at));
    }
}

/// The length of the character at a byte, as it is written.
fn length_at(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

fn cut(term: &str) -> &str {
    term.get(..term.floor_char_boundary(MAX_TERM_BYTES)).unwrap_or(term)
}

/// The identifiers of a text: words with a digit among them that single signs join, such as `CVE-2024-3094`, `10.1/x7` or
/// `INV/2024/7`. Each is one term beside those of its parts, whichever signs join it, so that a passage with the whole ranks
/// before passages with its parts.
pub(crate) fn identifiers(text: &str) -> Terms {
    let mut found = Terms::new();
    for token in text.split_whitespace() {
        if token.contains(is_joiner) && token.bytes().any(|byte| byte.is_ascii_digit()) {
            let start = token.as_ptr().addr() - text.as_ptr().addr();
            identifiers_of(token, |term| found.push(Term { span: start + term.span.start..start + term.span.end, ..term }));
        }
    }
    found
}

/// Those in a text without white space.
fn identifiers_of(token: &str, mut found: impl FnMut(Term)) {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut end_run = |parts: &mut Vec<Range<usize>>| {
        if let (Some(first), Some(last), true) = (parts.first(), parts.last(), (2..=MAX_IDENTIFIER_PARTS).contains(&parts.len())) {
            let span = first.start..last.end;
            let whole = token.get(span.clone()).unwrap_or_default();
            if whole.bytes().any(|byte| byte.is_ascii_digit()) {
                let parts: Vec<String> = whole.split(is_joiner).map(fold).collect();
                found(Term { text: cut(&parts.join("-")).to_owned(), span });
            }
        }
        parts.clear();
    };
    for (start, word) in token.unicode_word_indices() {
        let between = parts.last().and_then(|last| token.get(last.end..start));
        if !between.is_some_and(|between| between.len() == 1 && between.starts_with(is_joiner)) {
            end_run(&mut parts);
        }
        if word.starts_with(is_paired) {
            end_run(&mut parts);
        } else {
            parts.push(start..start + word.len());
        }
    }
    end_run(&mut parts);
}

fn is_joiner(c: char) -> bool {
    matches!(c, '-' | '_' | '/' | '.' | ':' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_stems_and_keeps_codes() {
        assert_eq!(words("Rotating the signing keys"), ["rotat", "the", "sign", "key"]);
        assert_eq!(words("CVE-2024-3094 v1.2.3 node_name"), ["cve", "2024", "3094", "v1.2.3", "node_name"]);
        assert_eq!(words("Café ÅNGSTRÖM"), ["cafe", "angstrom"]);
    }

    #[test]
    fn identifiers_are_terms_of_their_own() {
        let found = |text: &str| identifiers(text).into_iter().map(|term| term.text).collect::<Vec<_>>();
        assert_eq!(found("see CVE-2024-3094, INV/2024/7 and cve:2024:3094."), ["cve-2024-3094", "inv-2024-7", "cve-2024-3094"]);
        assert_eq!(found("a well-known 5 - 6, v1.2.3 and x--1"), Vec::<String>::new());
        assert_eq!(found("1-2-3-4-5-6-7-8-9 第1-2章 IL-6"), ["1-2", "il-6"]);
    }

    #[test]
    fn scripts_without_spaces_become_pairs() {
        assert_eq!(words("東京都 Tokyo"), ["東京", "京都", "tokyo"]);
        assert_eq!(words("第1章"), ["第", "1", "章"]);
        assert_eq!(words("한국은 나"), ["한국", "국은", "나"]);
        let text = "人工知能の研究 and カタカナ ｶﾀｶﾅ";
        for term in terms(text) {
            assert!(text.get(term.span).is_some());
        }
    }

    #[test]
    fn matches_are_spans_of_the_text() {
        let query = words("keys");
        let text = "The key is a KEY.";
        let spans = matches(text, Language::of(text), |term| query.iter().any(|wanted| wanted == term));
        assert_eq!(spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(), ["key", "KEY"]);
    }
}
