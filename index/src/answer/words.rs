//! The words of a claim or a sentence, and what each of them is to a check: a number, a name, a content word, or a word that
//! any text may have.
//!
//! Terms are those of keyword search, stemmed as the passage's language is.

use std::ops::Range;

use super::function_words::{FRAME, FUNCTION, FUNCTION_CHARS, NEGATIONS, NUMBERS, UNITS, UNNEGATED};
use crate::keyword::{Language, fold, terms_in};

pub(super) use crate::keyword::is_paired;

/// A negation reaches so many content words on either side, within its clause.
const NEGATION_REACH: usize = 3;

/// What a word is to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Any text may have it.
    Function,
    /// It speaks of the text and not of its matter: `according`, `document`.
    Frame,
    Content,
    /// Must stand in what is cited.
    Name,
    /// Must stand in what is cited, near the words that it stands near in the claim.
    Number,
}

/// A word of a text.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) term: String,
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
    /// Of a script without spaces, where a term is a pair of characters.
    pub(super) unspaced: bool,
    /// Counts the clauses of the text.
    clause: usize,
}

impl Word {
    /// True for what has to be supported.
    pub(super) fn counts(&self) -> bool {
        matches!(self.kind, Kind::Content | Kind::Name | Kind::Number)
    }
}

/// The words of a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) all: Vec<Word>,
    /// For each negation its bytes, and the places in `all` of the content words that it reaches.
    pub(super) negations: Vec<(Range<usize>, Vec<usize>)>,
}

/// Reads the words of a text in a language.
pub(super) fn read(text: &str, language: Language) -> Words {
    let mut words = Words::default();
    let mut negating = Vec::new();
    let (mut clause, mut end) = (0, 0);
    for term in terms_in(text, language) {
        let between = text.get(end..term.span.start).unwrap_or_default();
        if between.contains([',', ';', ':', '.', '!', '?', '(', ')', '—', '–', '，', '。', '；', '、', '：']) {
            clause += 1;
        }
        let raw = text.get(term.span.clone()).unwrap_or_default();
        let initial = words.all.is_empty();
        let unspaced = raw.starts_with(is_paired);
        end = term.span.end;
        let (kind, term_text) = classify(raw, term.text, text.get(..term.span.start).unwrap_or_default(), initial);
        if is_negation(text, raw, &term.span) {
            negating.push((term.span.clone(), words.all.len(), clause));
        }
        words.all.push(Word { term: term_text, span: term.span, kind, unspaced, clause });
    }
    add_units(text, &mut words.all);
    negating.dedup_by(|next, last| next.0.start < last.0.end);
    for (span, at, clause) in negating {
        let reached = reach(&words.all, at, clause);
        words.negations.push((span, reached));
    }
    words
}

fn classify(raw: &str, term: String, before: &str, initial: bool) -> (Kind, String) {
    let lower = fold(raw);
    if raw.starts_with(is_paired) {
        return (unspaced_kind(raw), term);
    }
    if let Some((_, number)) = NUMBERS.iter().find(|(word, _)| *word == lower) {
        return (Kind::Number, (*number).to_owned());
    }
    if lower.bytes().any(|byte| byte.is_ascii_digit()) {
        return match number(&lower) {
            Some(number) if is_negative(before) => (Kind::Number, format!("-{number}")),
            Some(number) => (Kind::Number, number),
            None => (Kind::Name, term),
        };
    }
    if FUNCTION.contains(&lower.as_str()) {
        return (Kind::Function, term);
    }
    if FRAME.contains(&lower.as_str()) {
        return (Kind::Frame, term);
    }
    if let Some((_, unit)) = UNITS.iter().find(|(word, _)| *word == lower) {
        return (Kind::Content, (*unit).to_owned());
    }
    let mut chars = raw.chars();
    let first = chars.next().is_some_and(char::is_uppercase);
    let rest = chars.any(char::is_uppercase);
    let is_name = rest || (first && !initial) || raw.contains(['_', '.']);
    (if is_name { Kind::Name } else { Kind::Content }, term)
}

/// A pair of characters is a function word when one of them mostly is.
fn unspaced_kind(raw: &str) -> Kind {
    let function = |c: char| matches!(c, '\u{3040}'..='\u{309f}') || FUNCTION_CHARS.contains(c);
    let digits = || raw.chars().filter(|c| is_paired_digit(*c));
    match raw.chars().any(function) {
        true => Kind::Function,
        // A single one is more often an article.
        false if digits().any(|c| c != '一') => Kind::Number,
        false => Kind::Content,
    }
}

fn is_paired_digit(c: char) -> bool {
    "〇零一二三四五六七八九十百千万萬億亿两兩".contains(c)
}

/// A number in one form: `1,000` and `1.000` are `1000`, `3,50` is `3.5`, `5th` is `5`.
fn number(text: &str) -> Option<String> {
    let text = ["st", "nd", "rd", "th"].iter().find_map(|ordinal| text.strip_suffix(ordinal)).unwrap_or(text);
    let marks = |c: char| matches!(c, ',' | '.' | '\'' | '’' | '٬' | '_');
    if !text.chars().all(|c| c.is_ascii_digit() || marks(c)) || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let groups: Vec<&str> = text.split(marks).collect();
    let (first, rest) = groups.split_first()?;
    let grouped = !rest.is_empty() && first.len() <= 3 && *first != "0" && rest.iter().all(|group| group.len() == 3);
    if grouped {
        return Some(groups.concat());
    }
    let (whole, fraction) = match rest {
        [] => (*first, ""),
        // The last sign is the decimal one, when those before it group.
        [groups @ .., fraction] if groups.iter().all(|group| group.len() == 3) => {
            let whole = [&[*first], groups].concat().concat();
            return Some(decimal(&whole, fraction));
        }
        _ => return Some(text.to_owned()),
    };
    Some(decimal(whole, fraction))
}

fn decimal(whole: &str, fraction: &str) -> String {
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

fn is_negative(before: &str) -> bool {
    let mut before = before.chars().rev();
    matches!(before.next(), Some('-' | '−')) && before.next().is_none_or(|c| c.is_whitespace() || c == '(')
}

/// Signs that are units stand for words: `€71` has `eur` beside the number.
fn add_units(text: &str, words: &mut Vec<Word>) {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word.kind == Kind::Number {
            let sign = |c: Option<char>| {
                Some(match c? {
                    '€' => "eur",
                    '$' => "usd",
                    '£' => "gbp",
                    '¥' | '￥' => "jpy",
                    '%' | '％' => "percent",
                    '°' => "degree",
                    _ => return None,
                })
            };
            let skip = |c: &char| matches!(*c, ' ' | '\u{a0}' | '\u{202f}' | '-' | '−');
            let before = text.get(..word.span.start).unwrap_or_default().chars().rev().find(|c| !skip(c));
            let after = text.get(word.span.end..).unwrap_or_default().chars().find(|c| !skip(c));
            if let Some(unit) = sign(before).or_else(|| sign(after)) {
                let unit = Word { term: unit.to_owned(), kind: Kind::Content, ..word.clone() };
                words.insert(at + 1, unit);
                at += 1;
            }
        }
        at += 1;
    }
}

/// The content words that a negation reaches: in its clause, or, where that has none, wherever they are nearest.
fn reach(words: &[Word], at: usize, clause: usize) -> Vec<usize> {
    let near = |is_near: &dyn Fn(&Word) -> bool| -> Vec<usize> {
        let (before, after) = words.split_at_checked(at).unwrap_or_default();
        let reached = |(_, word): &(usize, &Word)| word.counts() && is_near(word);
        let after = (at + 1..).zip(after.iter().skip(1)).filter(reached).take(NEGATION_REACH);
        let before = before.iter().enumerate().rev().filter(reached).take(NEGATION_REACH);
        after.chain(before).map(|(at, _)| at).collect()
    };
    let found = near(&|word| word.clause == clause);
    if found.is_empty() { near(&|_| true) } else { found }
}

/// True for a word that denies. `no` before a number is an abbreviation.
fn is_negation(text: &str, raw: &str, span: &Range<usize>) -> bool {
    let after = text.get(span.end..).unwrap_or_default();
    if raw.starts_with(is_paired) {
        let upto = text.get(..text.floor_char_boundary(text.len().min(span.end + 12))).unwrap_or_default();
        let from = text.floor_char_boundary(span.start.saturating_sub(6));
        let near = upto.get(from..).unwrap_or_default();
        let near = UNNEGATED.iter().fold(near.to_owned(), |near, word| near.replace(word, "　"));
        return raw.chars().any(|c| "不没沒無无非未".contains(c) && near.contains(c))
            || (raw.starts_with(['な', 'ま', 'ず'])
                && ["ない", "なかった", "なく", "ません", "ずに"]
                    .iter()
                    .any(|form| text.get(span.start..).is_some_and(|rest| rest.starts_with(form))));
    }
    let lower = fold(raw);
    if lower.ends_with("nt") && (raw.ends_with("n't") || raw.ends_with("n’t")) {
        return true;
    }
    let next = after.trim_start_matches(['.', ' ', '\u{a0}']);
    match lower.as_str() {
        "no" if next.starts_with(|c: char| c.is_ascii_digit()) && after.starts_with('.') => false,
        "not" | "nicht" if ["only", "nur"].iter().any(|word| next.starts_with(word)) => false,
        word => NEGATIONS.contains(&word) || (word.starts_with("kein") && word.len() <= 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, kind: Kind) -> Vec<String> {
        let words = read(text, Language::of(text));
        words.all.into_iter().filter(|word| word.kind == kind).map(|word| word.term).collect()
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, expected) in [
            ("1,000 and 1.000 and 1'000", vec!["1000", "1000", "1000"]),
            ("3.50 or 3,5", vec!["3.5", "3.5"]),
            ("1.234,50 and 1,234.5", vec!["1234.5", "1234.5"]),
            ("ten on the 5th, zwölf", vec!["10", "5", "12"]),
            ("-40 and 2026-11-05", vec!["-40", "2026", "11", "5"]),
            ("0.05 007", vec!["0.05", "7"]),
        ] {
            assert_eq!(of(text, Kind::Number), expected, "{text}");
        }
        assert_eq!(of("It costs €71 or 5 %.", Kind::Content), ["cost", "eur", "percent"]);
    }

    #[test]
    fn names_are_told_from_words() {
        assert_eq!(
            of("The board met Ana Berg about HTTP, SKU-7b and node_name.", Kind::Name),
            ["ana", "berg", "http", "sku", "7b", "node_name"]
        );
        assert_eq!(of("According to the document, the board met.", Kind::Content), ["board", "met"]);
    }

    #[test]
    fn negations_reach_what_they_deny() {
        let denied = |text: &str| -> Vec<Vec<String>> {
            let words = read(text, Language::of(text));
            words.negations.iter().map(|(_, reached)| reached.iter().map(|at| words.all[*at].term.clone()).collect()).collect()
        };
        assert_eq!(denied("Receipts are not needed, but kept."), [["need", "receipt"]]);
        assert_eq!(denied("They can't park. No. 5 is free. Not only cars."), [["park"]]);
        assert_eq!(denied("Die Zulage wird nicht gezahlt, wenn sie keine Belege haben.").len(), 2);
        assert_eq!((denied("他们不同意").len(), denied("他们不能报销").len(), denied("支払われない").len()), (0, 1, 1));
    }
}
