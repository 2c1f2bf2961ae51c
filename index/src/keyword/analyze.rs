//! Text to terms: Unicode words, folded, stemmed where the language is known, bigrams for scripts without spaces.
//!
//! The same function serves documents and queries. Changing what it yields means raising `ANALYSIS` in `index.rs`, so
//! that indexes are rebuilt.

use std::borrow::Cow;
use std::ops::Range;

use frostem::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;
use whatlang::Lang;

/// A term and the bytes of the text that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

/// The terms of a text, in order.
pub(crate) type Terms = Vec<Term>;

/// Terms are cut here, in bytes; nothing that a person types is longer.
const MAX_TERM_BYTES: usize = 160;
/// How much of a text is looked at to tell its language, in bytes.
const LANGUAGE_SAMPLE_BYTES: usize = 2_000;

/// How words are stemmed: the language of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language(Option<Algorithm>);

impl Language {
    /// The language of a text, as it is taken for searching.
    pub(crate) fn of(text: &str) -> Language {
        Language(algorithm_for(text))
    }

    /// True where nouns are written like names.
    pub(crate) fn capitalizes_nouns(self) -> bool {
        self.0 == Some(Algorithm::German)
    }
}

/// The terms of a text.
pub(crate) fn terms(text: &str) -> Terms {
    terms_in(text, Language::of(text))
}

/// The terms of a text, stemmed as one of this language.
pub(crate) fn terms_in(text: &str, language: Language) -> Terms {
    let stemmer = language.0.map(Stemmer::new);
    let mut terms = Vec::with_capacity(text.len() / 6);
    let mut previous: Option<(usize, char)> = None;
    for (start, word) in text.unicode_word_indices() {
        let first = word.chars().next().unwrap_or_default();
        if is_unspaced(first) {
            cjk(word, start, &mut previous, &mut terms);
        } else {
            previous = None;
            push(&mut terms, fold(word), start..start + word.len(), stemmer.as_ref());
        }
    }
    terms
}

/// The terms of a text, for measuring another engine on the same ones.
pub fn analyzed(text: &str) -> Vec<String> {
    terms(text).into_iter().map(|term| term.text).collect()
}

/// The spans of `text` whose terms are among those of a query, merged where they touch.
pub(crate) fn matches(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for term in terms(text).into_iter().filter(|term| wanted(&term.text)) {
        match spans.last_mut() {
            Some(last) if term.span.start <= last.end => last.end = last.end.max(term.span.end),
            _ => spans.push(term.span),
        }
    }
    spans
}

fn push(terms: &mut Terms, mut word: String, span: Range<usize>, stemmer: Option<&Stemmer>) {
    // Codes and numbers stand for themselves.
    if let Some(stemmer) = stemmer
        && word.chars().all(char::is_alphabetic)
    {
        word = stemmer.stem(&word).into_owned();
    }
    if word.len() > MAX_TERM_BYTES {
        word.truncate(word.floor_char_boundary(MAX_TERM_BYTES));
    }
    if !word.is_empty() {
        terms.push(Term { text: word, span });
    }
}

/// Pairs of neighbouring characters; a character alone between other scripts is a term of its own.
fn cjk(word: &str, start: usize, previous: &mut Option<(usize, char)>, terms: &mut Terms) {
    for (at, c) in word.char_indices() {
        let at = start + at;
        let end = at + c.len_utf8();
        let c = c.to_string().nfkc().next().unwrap_or(c);
        match *previous {
            Some((before, b)) if before + b.len_utf8() == at => {
                // The first character stood alone until now: the pair replaces it.
                if terms.last().is_some_and(|last| last.span == (before..at)) {
                    terms.pop();
                }
                terms.push(Term { text: [b, c].iter().collect(), span: before..end });
            }
            _ => terms.push(Term { text: c.to_string(), span: at..end }),
        }
        *previous = Some((at, c));
    }
}

/// Lower case without accents. Compatibility forms (full width, ligatures) become the plain ones.
pub(crate) fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase().replace('\'', "");
    }
    word.nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c) && !matches!(c, '\'' | '’'))
        .flat_map(char::to_lowercase)
        .flat_map(|c| match c {
            'ß' => Cow::Borrowed("ss").chars().collect::<Vec<_>>(),
            'ø' => vec!['o'],
            'ł' => vec!['l'],
            'æ' => vec!['a', 'e'],
            'œ' => vec!['o', 'e'],
            c => vec![c],
        })
        .collect()
}

/// True for scripts that are written without spaces between words.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF // Thai, Lao, Myanmar, Khmer
        | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9F // kana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x323AF) // Han
}

/// Common words of English that no other language of the Latin script uses much.
const ENGLISH: [&str; 16] =
    ["the", "and", "that", "with", "this", "from", "are", "which", "you", "your", "have", "been", "their", "when", "should", "not"];
/// One word of so many is among them in a text that is taken for English without further looking.
const ENGLISH_SHARE: usize = 16;
/// Shorter texts are not.
const ENGLISH_WORDS: usize = 24;

/// True for a text in which English words are so many that telling its language takes no statistics, which are dear.
fn is_plainly_english(text: &str) -> bool {
    if !text.is_ascii() {
        return false;
    }
    let (mut words, mut english) = (0, 0);
    for word in text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        words += 1;
        english += usize::from(word.len() <= 6 && ENGLISH.iter().any(|known| known.eq_ignore_ascii_case(word)));
    }
    words >= ENGLISH_WORDS && english * ENGLISH_SHARE >= words
}

/// The stemmer of the text's language. A text too short to tell is taken for English, the language of most code,
/// product names and queries; a wrong stem costs recall and never precision of exact words that stems keep apart.
fn algorithm_for(text: &str) -> Option<Algorithm> {
    let sample = text.get(..text.floor_char_boundary(LANGUAGE_SAMPLE_BYTES.min(text.len()))).unwrap_or(text);
    if is_plainly_english(sample) {
        return Some(Algorithm::English);
    }
    let detected = whatlang::detect(sample).filter(|info| info.is_reliable()).map(|info| info.lang());
    Some(match detected {
        None | Some(Lang::Eng) => Algorithm::English,
        Some(Lang::Ara) => Algorithm::Arabic,
        Some(Lang::Dan) => Algorithm::Danish,
        Some(Lang::Nld) => Algorithm::Dutch,
        Some(Lang::Fin) => Algorithm::Finnish,
        Some(Lang::Fra) => Algorithm::French,
        Some(Lang::Deu) => Algorithm::German,
        Some(Lang::Ell) => Algorithm::Greek,
        Some(Lang::Hun) => Algorithm::Hungarian,
        Some(Lang::Ita) => Algorithm::Italian,
        Some(Lang::Nob) => Algorithm::Norwegian,
        Some(Lang::Por) => Algorithm::Portuguese,
        Some(Lang::Ron) => Algorithm::Romanian,
        Some(Lang::Rus) => Algorithm::Russian,
        Some(Lang::Spa) => Algorithm::Spanish,
        Some(Lang::Swe) => Algorithm::Swedish,
        Some(Lang::Tam) => Algorithm::Tamil,
        Some(Lang::Tur) => Algorithm::Turkish,
        Some(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        terms(text).into_iter().map(|term| term.text).collect()
    }

    #[test]
    fn folds_stems_and_keeps_codes() {
        assert_eq!(words("Rotating the signing keys"), ["rotat", "the", "sign", "key"]);
        assert_eq!(words("CVE-2024-3094 v1.2.3 node_name"), ["cve", "2024", "3094", "v1.2.3", "node_name"]);
        assert_eq!(words("Café ÅNGSTRÖM"), ["cafe", "angstrom"]);
    }

    #[test]
    fn english_is_told_without_statistics_only_where_statistics_agree() {
        let english = "The report that you sent with your letter is in the folder, and the files from the office are not. \
                       When you have read this, the clerk should keep them.";
        let dutch = "De rapporten van het kantoor zijn in de map, en de brief die je met de post hebt gestuurd is er niet. \
                     Als je dit gelezen hebt, moet de klerk ze bewaren.";
        assert!(is_plainly_english(english) && !is_plainly_english(dutch) && !is_plainly_english("the and that"));
        assert_eq!(whatlang::detect(english).map(|info| info.lang()), Some(Lang::Eng));
    }

    #[test]
    fn scripts_without_spaces_become_pairs() {
        assert_eq!(words("東京都 Tokyo"), ["東京", "京都", "tokyo"]);
        assert_eq!(words("第1章"), ["第", "1", "章"]);
        for term in terms("人工知能の研究 and カタカナ") {
            assert!("人工知能の研究 and カタカナ".is_char_boundary(term.span.start));
        }
    }

    #[test]
    fn matches_are_spans_of_the_text() {
        let query = words("keys");
        let text = "The key is a KEY.";
        let spans = matches(text, |term| query.iter().any(|wanted| wanted == term));
        assert_eq!(spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(), ["key", "KEY"]);
    }
}
