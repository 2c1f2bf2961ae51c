//! The query language of keywords: plain words, `"exact phrase"`, `+required`, `-excluded` and `prefix*`.
//!
//! An operator counts only where a word begins. What does not parse (an unclosed quote, a lone sign, a prefix of less than
//! three characters) is read as plain words; nothing is an error. A phrase is a requirement; one without a plus is dropped
//! where nothing meets it, since people also quote names and titles. Words of phrases and required words rank like others; what is excluded does not rank. A signed word that is several terms
//! (`+CVE-2024-3094`) means them side by side; it also ranks as a whole. A signed number (`-40`) is plain; `-"40"` is not.

use std::ops::Range;

use super::analyze::{self, Asked};

/// The shortest prefix, in characters.
const MIN_PREFIX_CHARS: usize = 3;
/// How many requirements and exclusions a query may have; further ones are plain words.
const MAX_CLAUSES: usize = 64;
/// At most this many different words of a query rank; the rest are ignored.
const MAX_QUERY_WORDS: usize = 512;

/// A word that ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A term.
    Term(String),
    /// Any of these terms, the forms that a word may have been indexed in: they count as one.
    Any(Vec<String>),
    /// Every term that begins with `prefix`, and `stem`, its own stem: they count as one.
    Prefix { prefix: String, stem: String },
}

impl Word {
    /// True when the word means this term.
    pub(crate) fn means(&self, term: &str) -> bool {
        match self {
            Word::Term(own) => own == term,
            Word::Any(forms) => forms.iter().any(|form| form == term),
            Word::Prefix { prefix, stem } => term.starts_with(prefix) || term == stem,
        }
    }

    /// The word with these forms.
    pub(super) fn of(mut forms: Vec<String>) -> Word {
        match (forms.len(), forms.pop()) {
            (1, Some(term)) => Word::Term(term),
            (_, last) => {
                forms.extend(last);
                Word::Any(forms)
            }
        }
    }

    /// What its counts are remembered under; no term holds a space.
    pub(super) fn name(&self) -> String {
        match self {
            Word::Term(term) => term.clone(),
            Word::Any(forms) => format!("  {}", forms.join(" ")),
            Word::Prefix { prefix, stem } => format!(" {prefix} {stem}"),
        }
    }
}

/// What a chunk must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clause {
    /// Words at consecutive positions of one field, each in any of its forms.
    Phrase(Vec<Vec<String>>),
    /// Any term of a prefix.
    Prefix(Word),
}

/// A query as keywords read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// What ranks, in the order of the query, each once with how often it is asked for.
    pub(crate) words: Vec<(Word, u32)>,
    /// Phrases without a sign: required, unless nothing has them all.
    pub(crate) quoted: Vec<Clause>,
    pub(crate) required: Vec<Clause>,
    pub(crate) excluded: Vec<Clause>,
}

impl Question {
    /// Reads a query.
    pub(crate) fn parse(text: &str) -> Question {
        let operators = operators(text);
        let mut plain = text.to_owned();
        operators.iter().for_each(|operator| operator.blank_signs(&mut plain));
        let mut question = Question::default();
        let mut clauses: Vec<Vec<Vec<String>>> = vec![Vec::new(); operators.len()];
        let operator_at = |start: usize| {
            let at = operators.partition_point(|operator| operator.body.end <= start);
            operators.get(at).filter(|operator| operator.body.start <= start).map(|operator| (at, operator))
        };
        for Asked { forms, span } in analyze::asked(&plain) {
            let Some((at, operator)) = operator_at(span.start) else {
                question.rank(Word::of(forms));
                continue;
            };
            if operator.sign != Some('-') {
                let word = match forms.first() {
                    Some(stem) if operator.prefix => operator.prefix_word(&plain, stem),
                    _ => Word::of(forms.clone()),
                };
                question.rank(word);
            }
            clauses.get_mut(at).into_iter().for_each(|words| words.push(forms.clone()));
        }
        for identifier in analyze::identifiers(&plain) {
            if operator_at(identifier.span.start).is_none_or(|(_, operator)| operator.sign != Some('-')) {
                question.rank(Word::Term(identifier.text));
            }
        }
        for (operator, words) in operators.iter().zip(clauses) {
            let Some(first) = words.first().and_then(|forms| forms.first()) else { continue };
            let clause = match operator.prefix {
                true => Clause::Prefix(operator.prefix_word(&plain, first)),
                false => Clause::Phrase(words),
            };
            match operator.sign {
                Some('-') => question.excluded.push(clause),
                Some(_) => question.required.push(clause),
                None if operator.prefix => {}
                None => question.quoted.push(clause),
            }
        }
        question
    }

    fn rank(&mut self, word: Word) {
        if let Some((_, repeats)) = self.words.iter_mut().find(|(known, _)| *known == word) {
            *repeats += 1;
        } else if self.words.len() < MAX_QUERY_WORDS {
            self.words.push((word, 1));
        }
    }

    /// True when some chunks are out of the question whatever their score.
    pub(crate) fn constrains(&self) -> bool {
        self.must().next().is_some() || !self.excluded.is_empty()
    }

    /// What a chunk must have.
    pub(super) fn must(&self) -> impl Iterator<Item = &Clause> {
        self.quoted.iter().chain(&self.required)
    }

    /// The question without the phrases that have no sign, for when nothing has them; `None` without such a phrase.
    pub(crate) fn relaxed(&self) -> Option<Question> {
        (!self.quoted.is_empty()).then(|| Question { quoted: Vec::new(), ..self.clone() })
    }

    /// True when a term of a text is one that ranked it.
    pub(crate) fn means(&self, term: &str) -> bool {
        self.words.iter().any(|(word, _)| word.means(term))
    }
}

/// The words of a query as a person would say them: without signs, and without what is excluded.
pub(crate) fn plain_words(text: &str) -> String {
    let mut plain = text.to_owned();
    for operator in operators(text) {
        match operator.sign {
            Some('-') => blank(&mut plain, operator.whole),
            _ => operator.blank_signs(&mut plain),
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Puts a space in the place of each byte, so that others stay where they are.
fn blank(text: &mut String, range: Range<usize>) {
    text.replace_range(range.clone(), &" ".repeat(range.len()));
}

/// A stretch of a query that is not plain words.
struct Operator {
    /// With its signs.
    whole: Range<usize>,
    /// Without them.
    body: Range<usize>,
    sign: Option<char>,
    prefix: bool,
}

impl Operator {
    fn blank_signs(&self, text: &mut String) {
        blank(text, self.whole.start..self.body.start);
        blank(text, self.body.end..self.whole.end);
    }

    fn prefix_word(&self, plain: &str, stem: &str) -> Word {
        let prefix = analyze::fold(plain.get(self.body.clone()).unwrap_or_default());
        Word::Prefix { prefix, stem: stem.to_owned() }
    }
}

fn operators(text: &str) -> Vec<Operator> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty() && found.len() < MAX_CLAUSES) {
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            at += blank;
            continue;
        }
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let operator = operator(rest, word);
        let Some(mut operator) = operator else {
            at += word;
            continue;
        };
        for range in [&mut operator.whole, &mut operator.body] {
            *range = range.start + at..range.end + at;
        }
        at = operator.whole.end;
        found.push(operator);
    }
    found
}

/// The operator that `rest` begins with; its first word is `word` bytes long.
fn operator(rest: &str, word: usize) -> Option<Operator> {
    let sign = rest.chars().next().filter(|c| matches!(c, '+' | '-'));
    let start = usize::from(sign.is_some());
    let begin = rest.get(start..)?.chars().next()?;
    if begin == '"' {
        let length = rest.get(start + 1..)?.find('"')?;
        let body = start + 1..start + 1 + length;
        return Some(Operator { whole: 0..body.end + 1, body, sign, prefix: false });
    }
    let own = rest.get(start..word)?;
    if let Some(body) = own.strip_suffix('*').filter(|body| is_prefix(body)) {
        return Some(Operator { whole: 0..word, body: start..start + body.len(), sign, prefix: true });
    }
    // `+1` and `-40` are numbers of plain language; a number that is meant is quoted.
    let signed = sign.is_some() && begin.is_alphanumeric() && own.chars().any(char::is_alphabetic);
    signed.then_some(Operator { whole: 0..word, body: start..word, sign, prefix: false })
}

/// A prefix is one word of a script with spaces.
fn is_prefix(body: &str) -> bool {
    let terms = analyze::asked(body);
    body.chars().count() >= MIN_PREFIX_CHARS
        && body.chars().all(|c| (c.is_alphanumeric() && !analyze::is_paired(c)) || matches!(c, '_' | '\'' | '.'))
        && body.ends_with(char::is_alphanumeric)
        && matches!(terms.as_slice(), [term] if term.span == (0..body.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(text: &str) -> Word {
        Word::Term(text.to_owned())
    }

    fn phrase(words: &[&str]) -> Clause {
        Clause::Phrase(words.iter().map(|word| vec![(*word).to_owned()]).collect())
    }

    /// With the likeliest forms alone.
    fn parsed(text: &str) -> Question {
        let mut question = Question::parse(text);
        for clause in question.quoted.iter_mut().chain(&mut question.required).chain(&mut question.excluded) {
            if let Clause::Phrase(words) = clause {
                words.iter_mut().for_each(|forms| forms.truncate(1));
            }
        }
        for (word, _) in &mut question.words {
            if let Word::Any(forms) = word {
                *word = term(&forms[0]);
            }
        }
        question
    }

    fn words(text: &str) -> Vec<Word> {
        parsed(text).words.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn operators_are_read() {
        let question = parsed("rotate +\"signing key\" -draft -\"old keys\" +harbour auth* +v1.2.3 -tmp*");
        let auth = Word::Prefix { prefix: "auth".to_owned(), stem: "auth".to_owned() };
        let ranked: Vec<&Word> = question.words.iter().map(|(word, _)| word).collect();
        assert_eq!(ranked, [&term("rotat"), &term("sign"), &term("key"), &term("harbour"), &auth, &term("v1.2.3")]);
        assert_eq!(question.required, [phrase(&["sign", "key"]), phrase(&["harbour"]), phrase(&["v1.2.3"])]);
        assert!(question.quoted.is_empty() && question.relaxed().is_none());
        let tmp = Clause::Prefix(Word::Prefix { prefix: "tmp".to_owned(), stem: "tmp".to_owned() });
        assert_eq!(question.excluded, [phrase(&["draft"]), phrase(&["old", "key"]), tmp]);
        let quoted = parsed("\"東京都\" -b");
        assert_eq!(quoted.quoted, [phrase(&["東京", "京都"])]);
        assert_eq!(quoted.relaxed().map(|question| (question.constrains(), question.must().count())), Some((true, 0)));
        assert_eq!(parsed("-\"40\" +7z").excluded, [phrase(&["40"])]);
        let identifier = parsed("+CVE-2024-3094 -INV/7");
        assert_eq!(identifier.required, [phrase(&["cve", "2024", "3094"])]);
        assert_eq!(identifier.words.last(), Some(&(term("cve-2024-3094"), 1)));
    }

    #[test]
    fn words_are_said_without_signs_and_without_what_is_excluded() {
        let said =
            plain_words("  rotate +\"signing  key\" -draft \"old keys\" -\"très vieux\" auth* -tmp* at -40 well-known 5\" pipe");
        assert_eq!(said, "rotate signing key old keys auth at -40 well-known 5\" pipe");
        assert_eq!(plain_words("-draft -\"東京\""), "");
    }

    #[test]
    fn everything_else_is_plain() {
        for text in [
            "say \"hello",
            "a - b",
            "well-known",
            "+ plus",
            "ab* c",
            "5\" pipe",
            "\"\"",
            "**bold**",
            "x -",
            "- +\"",
            "東京都*",
            "by +1 at -40.5",
        ] {
            let question = Question::parse(text);
            assert!(!question.constrains(), "{text}: {question:?}");
            let mut plain = Vec::new();
            for found in analyze::terms(text) {
                if !plain.contains(&term(&found.text)) {
                    plain.push(term(&found.text));
                }
            }
            assert_eq!(words(text), plain, "{text}");
        }
    }

    #[test]
    fn nothing_panics() {
        for text in ["+", "-", "*", "\"", "+\"é\"", "-日本", "+\u{301}", "aaa*\u{3000}+b", "+\"a\"\"b\"", "é*", "ééé* -ßß*"]
        {
            Question::parse(text);
        }
    }
}
