//! Which language a text is in, and the stems of its words.
//!
//! Scripts choose before languages do: a Latin word in a Russian or Chinese text is stemmed as English. A text whose language
//! cannot be told is taken for the commonest of its script; a wrong stem costs recall, and what a query means by a word is
//! asked for in several forms where its language is unsure.

use std::cell::RefCell;
use std::collections::HashMap;

use frostem::{Algorithm, Stemmer};
use whatlang::Lang;

/// How much of a text is looked at to tell its language, in bytes.
const SAMPLE_BYTES: usize = 2_000;
/// Half of the stems that a thread remembers of a language at most, and of words of how many bytes at most.
const MAX_REMEMBERED: usize = 4_096;
const MAX_REMEMBERED_BYTES: usize = 32;
/// Common words of English that no other language of the Latin script uses much.
const ENGLISH: [&str; 16] =
    ["the", "and", "that", "with", "this", "from", "are", "which", "you", "your", "have", "been", "their", "when", "should", "not"];
/// One word of so many is among them in a text that is taken for English without further looking.
const ENGLISH_SHARE: usize = 16;
/// Shorter texts are not.
const ENGLISH_WORDS: usize = 24;

/// What is known of a text's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Sure(Lang),
    /// The likeliest; `None` where there is nothing to tell it by.
    Unsure(Option<Lang>),
}

impl Language {
    /// The language of a text, as it is taken for searching.
    pub(crate) fn of(text: &str) -> Language {
        let sample = text.get(..text.floor_char_boundary(SAMPLE_BYTES.min(text.len()))).unwrap_or(text);
        if is_plainly_english(sample) {
            return Language::Sure(Lang::Eng);
        }
        match whatlang::detect(sample) {
            Some(info) if info.is_reliable() => Language::Sure(info.lang()),
            other => Language::Unsure(other.map(|info| info.lang())),
        }
    }
}

impl Language {
    /// ISO 639-3, or nothing where it is unsure: what decides how the words of a text are stemmed.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Language::Sure(language) => language.code(),
            Language::Unsure(_) => "",
        }
    }

    /// The language with this code.
    pub(crate) fn of_code(code: &str) -> Language {
        Lang::from_code(code).map_or(Language::Unsure(None), Language::Sure)
    }

    /// True where nouns are written like names.
    pub(crate) fn capitalizes_nouns(self) -> bool {
        self == Language::Sure(Lang::Deu)
    }
}

/// True for a text in which English words are so many that telling its language takes no statistics, which are dear.
fn is_plainly_english(text: &str) -> bool {
    // Dashes, quotes and signs are of every language.
    if text.chars().any(|c| !c.is_ascii() && c.is_alphabetic()) {
        return false;
    }
    let (mut words, mut english) = (0, 0);
    for word in text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        words += 1;
        english += usize::from(word.len() <= 6 && ENGLISH.iter().any(|known| known.eq_ignore_ascii_case(word)));
    }
    words >= ENGLISH_WORDS && english * ENGLISH_SHARE >= words
}

/// Scripts whose languages have stemmers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Cyrillic,
    Greek,
    Arabic,
    Tamil,
}

impl Script {
    fn of(word: &str) -> Option<Script> {
        Some(match u32::from(word.chars().next()?) {
            0x41..=0x24F | 0x1E00..=0x1EFF => Script::Latin,
            0x370..=0x3FF => Script::Greek,
            0x400..=0x52F => Script::Cyrillic,
            0x600..=0x6FF => Script::Arabic,
            0xB80..=0xBFF => Script::Tamil,
            _ => return None,
        })
    }

    fn written(self) -> whatlang::Script {
        match self {
            Script::Latin => whatlang::Script::Latin,
            Script::Cyrillic => whatlang::Script::Cyrillic,
            Script::Greek => whatlang::Script::Greek,
            Script::Arabic => whatlang::Script::Arabic,
            Script::Tamil => whatlang::Script::Tamil,
        }
    }

    /// The language of a text in this script that cannot be told.
    fn default_algorithm(self) -> Algorithm {
        match self {
            Script::Latin => Algorithm::English,
            Script::Cyrillic => Algorithm::Russian,
            Script::Greek => Algorithm::Greek,
            Script::Arabic => Algorithm::Arabic,
            Script::Tamil => Algorithm::Tamil,
        }
    }

    /// How a language stems words of this script: `None` for one of the script that has no stemmer.
    fn algorithm(self, language: Lang) -> Option<Algorithm> {
        if !self.written().langs().contains(&language) {
            return Some(self.default_algorithm());
        }
        Some(match language {
            Lang::Eng => Algorithm::English,
            Lang::Ara => Algorithm::Arabic,
            Lang::Dan => Algorithm::Danish,
            Lang::Nld => Algorithm::Dutch,
            Lang::Fin => Algorithm::Finnish,
            Lang::Fra => Algorithm::French,
            Lang::Deu => Algorithm::German,
            Lang::Ell => Algorithm::Greek,
            Lang::Hun => Algorithm::Hungarian,
            Lang::Ita => Algorithm::Italian,
            Lang::Nob => Algorithm::Norwegian,
            Lang::Por => Algorithm::Portuguese,
            Lang::Ron => Algorithm::Romanian,
            Lang::Rus => Algorithm::Russian,
            Lang::Spa => Algorithm::Spanish,
            Lang::Swe => Algorithm::Swedish,
            Lang::Tam => Algorithm::Tamil,
            Lang::Tur => Algorithm::Turkish,
            _ => return None,
        })
    }
}

/// A stemmer, and what it made of words that came before: texts have the same words again and again.
struct Known {
    algorithm: Algorithm,
    stemmer: Stemmer,
    recent: HashMap<Box<str>, Box<str>>,
    /// Those that were recent before; they are forgotten when as many others have come.
    older: HashMap<Box<str>, Box<str>>,
}

thread_local! {
    /// Those that the thread has used.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

impl Known {
    fn stem(&mut self, word: &str) -> String {
        if let Some(stem) = self.recent.get(word) {
            return stem.to_string();
        }
        let (word, stem) = match self.older.remove_entry(word) {
            Some(known) => known,
            None => (word.into(), self.stemmer.stem(word).into()),
        };
        let found = stem.to_string();
        if word.len() <= MAX_REMEMBERED_BYTES {
            if self.recent.len() >= MAX_REMEMBERED {
                self.older = std::mem::take(&mut self.recent);
            }
            self.recent.insert(word, stem);
        }
        found
    }
}

impl Language {
    /// The stem of a folded word of a text in this language, as it is indexed.
    pub(super) fn stem(self, word: String) -> String {
        let language = match self {
            Language::Sure(language) => Some(language),
            Language::Unsure(_) => None,
        };
        stem_in(language, &word).unwrap_or(word)
    }

    /// What a folded word of a query may be indexed as, the likeliest first, each once.
    pub(super) fn forms(self, word: String) -> Vec<String> {
        let mut forms = vec![self.stem(word.clone())];
        let mut add = |form: String| {
            if !forms.contains(&form) {
                forms.push(form);
            }
        };
        match self {
            Language::Sure(_) => add(stem_in(None, &word).unwrap_or(word)),
            Language::Unsure(guess) => {
                if let Some(stem) = guess.and_then(|guess| stem_in(Some(guess), &word)) {
                    add(stem);
                }
                // Texts of languages without a stemmer keep their words as they are.
                add(word);
            }
        }
        forms
    }
}

/// The stem of a folded word in a language, else in the commonest of its script; `None` where there is none.
fn stem_in(language: Option<Lang>, word: &str) -> Option<String> {
    // Codes and numbers stand for themselves.
    if !word.chars().all(char::is_alphabetic) {
        return None;
    }
    let script = Script::of(word)?;
    let algorithm = language.map_or_else(|| Some(script.default_algorithm()), |language| script.algorithm(language))?;
    KNOWN.with_borrow_mut(|all| {
        if let Some(known) = all.iter_mut().find(|known| known.algorithm == algorithm) {
            return Some(known.stem(word));
        }
        let mut known = Known { algorithm, stemmer: Stemmer::new(algorithm), recent: HashMap::new(), older: HashMap::new() };
        let stem = known.stem(word);
        all.push(known);
        Some(stem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn words_are_stemmed_by_script_and_language() {
        let russian = "Серверы компании находятся в Москве, и все сотрудники знают, как работают эти servers и keys.";
        let language = Language::of(russian);
        assert_eq!(language, Language::Sure(Lang::Rus));
        assert_eq!([language.stem("серверы".to_owned()), language.stem("servers".to_owned())], ["сервер", "server"]);
        let polish = Language::of("Wszystkie umowy z dostawcami są przechowywane w dziale prawnym i nie wolno ich wynosić.");
        assert_eq!(polish.stem("umowy".to_owned()), "umowy");
    }

    #[test]
    fn a_query_asks_for_every_form_that_its_words_may_have() {
        let language = Language::Unsure(Some(Lang::Deu));
        assert_eq!(language.forms("verteidigungen".to_owned()), ["verteidigungen", "verteid"]);
        assert_eq!(language.forms("servers".to_owned()), ["server", "serv", "servers"]);
        let english = Language::Sure(Lang::Eng);
        assert_eq!(english.forms("servers".to_owned()), ["server"]);
        let polish = Language::Sure(Lang::Pol);
        assert_eq!(polish.forms("servers".to_owned()), ["servers", "server"]);
    }

    /// More words than are remembered, each more than once.
    #[test]
    fn remembered_stems_are_those_of_the_stemmer() {
        let language = Language::Sure(Lang::Eng);
        let fresh = Stemmer::new(Algorithm::English);
        let letters = |number: usize| number.to_string().bytes().map(|digit| char::from(digit + 49)).collect::<String>();
        for number in (0..MAX_REMEMBERED).chain(0..2 * MAX_REMEMBERED) {
            for ending in ["s", "ing"] {
                let word = letters(number) + ending;
                assert_eq!(language.stem(word.clone()), fresh.stem(&word));
            }
        }
    }
}
