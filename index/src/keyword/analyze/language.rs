//! Which language a text is in, and the stems of its words.
//!
//! Scripts choose before languages do: a Latin word in a Russian or Chinese text is stemmed as English. A text whose language
//! cannot be told is taken for the commonest of its script; a wrong stem costs recall, and what a query means by a word is
//! asked for in several forms where its language is unsure.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use frostem::{Algorithm, Stemmer};
use whatlang::Lang;

/// How much of a text is looked at to tell its language, in bytes.
const SAMPLE_BYTES: usize = 2_000;
/// Half of the stems that a thread remembers of a language at most, and of words of how many bytes at most.
const MAX_REMEMBERED: usize = 4_096;
const MAX_REMEMBERED_BYTES: usize = 32;
/// Common words of English.
const ENGLISH: [&str; 40] = [
    "all", "and", "any", "are", "as", "at", "be", "been", "by", "can", "for", "from", "has", "have", "if", "in", "into", "is",
    "it", "more", "new", "not", "of", "on", "or", "other", "should", "that", "the", "their", "this", "to", "use", "used", "when",
    "which", "will", "with", "you", "your",
];
/// Common words of other languages in the Latin script that English texts hardly have.
const FOREIGN: [&str; 121] = [
    "aan", "ang", "att", "au", "auch", "auf", "aus", "az", "bei", "bir", "bu", "ca", "che", "com", "con", "cu", "da", "dan",
    "dans", "das", "dat", "de", "del", "della", "dem", "den", "der", "des", "det", "di", "die", "din", "do", "dos", "du", "een",
    "ei", "ein", "eine", "einem", "einen", "el", "em", "en", "er", "est", "ett", "het", "hogy", "ikke", "il", "ile", "ini", "inte",
    "ist", "itu", "ja", "jag", "je", "jest", "ke", "la", "le", "les", "los", "mit", "na", "nach", "ne", "nem", "ng", "nicht",
    "nie", "niet", "non", "nos", "nu", "och", "og", "oli", "op", "os", "pas", "per", "por", "pour", "que", "qui", "sa", "sau",
    "se", "si", "sich", "som", "sono", "su", "sur", "til", "um", "uma", "un", "una", "und", "une", "untuk", "van", "ve", "vom",
    "von", "voor", "w", "wie", "wird", "wurde", "wurden", "y", "yang", "z", "ze", "zijn", "zu",
];
/// The longest of them, in bytes.
const MAX_COMMON_BYTES: usize = 7;
/// Both, packed and ascending.
static COMMON: LazyLock<(Vec<u64>, Vec<u64>)> = LazyLock::new(|| {
    let sorted = |words: &[&str]| words.iter().map(|word| packed(word.as_bytes())).collect::<BTreeSet<u64>>().into_iter().collect();
    (sorted(&ENGLISH), sorted(&FOREIGN))
});
/// A text is taken for English without further looking when it has so many words, so many of them common English ones, and so many of
/// these for each foreign one.
const ENGLISH_WORDS: (usize, usize, usize) = (12, 3, 4);

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

/// True for a text in which English words are so many that telling its language takes no statistics, which are dear: of 1,761
/// pieces of texts in 35 other languages, their accents left out, none is taken for English, and of passages of software manuals 92 %.
fn is_plainly_english(text: &str) -> bool {
    // Dashes, quotes and signs are of every language.
    if text.chars().any(|c| !c.is_ascii() && c.is_alphabetic()) {
        return false;
    }
    let (mut words, mut english, mut foreign) = (0, 0, 0);
    for word in text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        words += 1;
        if word.len() <= MAX_COMMON_BYTES {
            let word = packed(word.as_bytes());
            english += usize::from(COMMON.0.binary_search(&word).is_ok());
            foreign += usize::from(COMMON.1.binary_search(&word).is_ok());
        }
    }
    words >= ENGLISH_WORDS.0 && english >= ENGLISH_WORDS.1 && english >= foreign * ENGLISH_WORDS.2
}

/// A short word in lower case as a number.
fn packed(word: &[u8]) -> u64 {
    word.iter().fold(0, |packed, byte| packed << 8 | u64::from(byte.to_ascii_lowercase()))
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
    fn stem<R>(&mut self, word: &str, found: impl FnOnce(&str) -> R) -> R {
        if let Some(stem) = self.recent.get(word) {
            return found(stem);
        }
        let (word, stem) = match self.older.remove_entry(word) {
            Some(known) => known,
            None => (word.into(), self.stemmer.stem(word).into()),
        };
        let found = found(&stem);
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
    /// Hands out the stem of a folded word of a text in this language, as it is indexed. `found` is not to stem words itself.
    pub(super) fn stem<R>(self, word: &str, found: impl FnOnce(&str) -> R) -> R {
        let language = match self {
            Language::Sure(language) => Some(language),
            Language::Unsure(_) => None,
        };
        stem_in(language, word, |stem| found(stem.unwrap_or(word)))
    }

    /// What a folded word of a query may be indexed as, the likeliest first, each once.
    pub(super) fn forms(self, word: &str) -> Vec<String> {
        let stem_as = |language| stem_in(language, word, |stem| stem.map(str::to_owned));
        let mut forms = vec![self.stem(word, str::to_owned)];
        let mut add = |form: String| {
            if !forms.contains(&form) {
                forms.push(form);
            }
        };
        match self {
            Language::Sure(_) => add(stem_as(None).unwrap_or_else(|| word.to_owned())),
            Language::Unsure(guess) => {
                if let Some(stem) = guess.and_then(|guess| stem_as(Some(guess))) {
                    add(stem);
                }
                // Texts of languages without a stemmer keep their words as they are.
                add(word.to_owned());
            }
        }
        forms
    }
}

/// Hands out the stem of a folded word in a language, else in the commonest of its script; `None` where there is none.
fn stem_in<R>(language: Option<Lang>, word: &str, found: impl FnOnce(Option<&str>) -> R) -> R {
    let Some(algorithm) = algorithm_for(language, word) else { return found(None) };
    KNOWN.with_borrow_mut(|all| {
        if !all.iter().any(|known| known.algorithm == algorithm) {
            all.push(Known { algorithm, stemmer: Stemmer::new(algorithm), recent: HashMap::new(), older: HashMap::new() });
        }
        match all.iter_mut().find(|known| known.algorithm == algorithm) {
            Some(known) => known.stem(word, |stem| found(Some(stem))),
            None => found(None),
        }
    })
}

fn algorithm_for(language: Option<Lang>, word: &str) -> Option<Algorithm> {
    // Codes and numbers stand for themselves.
    if !word.chars().all(char::is_alphabetic) {
        return None;
    }
    let script = Script::of(word)?;
    language.map_or_else(|| Some(script.default_algorithm()), |language| script.algorithm(language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_is_told_without_statistics_only_where_statistics_agree() {
        assert!(ENGLISH.iter().chain(&FOREIGN).all(|word| word.len() <= MAX_COMMON_BYTES));
        let english = [
            "The report that you sent with your letter is in the folder, and the files from the office are not.",
            "Enables an administrator to terminate an instance of a service. The syntax shown is language neutral.",
        ];
        let others = [
            "De rapporten van het kantoor zijn in de map, en de brief die je met de post hebt gestuurd is er niet.",
            "In Doctor Who and the Daleks in the Seven Keys to Doomsday spielte Trevor Martin die Rolle, die er auch sonst hatte.",
            "Il rapporto che hai spedito con la lettera non si trova in ufficio, per cui chiedo di mandare una copia del documento.",
            "El informe que nos envio con su carta no se encuentra en la carpeta, y los archivos de la oficina tampoco.",
        ];
        for text in english {
            let told = whatlang::detect(text).unwrap();
            assert!(is_plainly_english(text) && told.lang() == Lang::Eng, "{text}");
        }
        assert!(others.iter().all(|text| !is_plainly_english(text)) && !is_plainly_english("the and that of to"));
    }

    #[test]
    fn words_are_stemmed_by_script_and_language() {
        let russian = "Серверы компании находятся в Москве, и все сотрудники знают, как работают эти servers и keys.";
        let language = Language::of(russian);
        assert_eq!(language, Language::Sure(Lang::Rus));
        assert_eq!([language.stem("серверы", str::to_owned), language.stem("servers", str::to_owned)], ["сервер", "server"]);
        let polish = Language::of("Wszystkie umowy z dostawcami są przechowywane w dziale prawnym i nie wolno ich wynosić.");
        assert_eq!(polish.stem("umowy", str::to_owned), "umowy");
    }

    #[test]
    fn a_query_asks_for_every_form_that_its_words_may_have() {
        let language = Language::Unsure(Some(Lang::Deu));
        assert_eq!(language.forms("verteidigungen"), ["verteidigungen", "verteid"]);
        assert_eq!(language.forms("servers"), ["server", "serv", "servers"]);
        let english = Language::Sure(Lang::Eng);
        assert_eq!(english.forms("servers"), ["server"]);
        let polish = Language::Sure(Lang::Pol);
        assert_eq!(polish.forms("servers"), ["servers", "server"]);
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
                assert_eq!(language.stem(&word, str::to_owned), fresh.stem(&word));
            }
        }
    }
}
