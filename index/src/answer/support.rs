//! Whether passages support a claim: how much of it the best of their sentences say, and what of it nobody says.
//!
//! A claim is supported when enough of its words stand in at most three short runs of sentences, titles and headings, every
//! name is in what is cited, every number stands near the words that it stands near in the claim, and what is denied there is
//! denied here. The order of words is not looked at, and neither is the meaning: an antonym is a missing word, `may` and
//! `must` are the same, and two things in one sentence can change places unseen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::sentences::{blocks, sentences};
use super::words::{Kind, Word, Words, read};
use crate::keyword::Language;

/// This share of a claim's words must be found. A close paraphrase changes function words, which do not count; of ten others
/// two may be new.
const MIN_SUPPORT: f32 = 0.8;
/// Sentences that follow each other are evidence together, up to so many.
const RUN_SENTENCES: usize = 3;
/// A claim may be put together from so many places.
const MAX_RUNS: usize = 3;
/// Words on either side of a number that say what it counts.
const NEAR_WORDS: usize = 3;
/// They stand so many words away at most, function words among them.
const NEAR_REACH: usize = 10;
/// Words as long as this that begin alike are forms of one word.
const MIN_SHARED_BYTES: usize = 5;

/// A passage that was read for checking.
pub(super) struct Passage {
    language: Language,
    sentences: Vec<Sentence>,
    /// For each term the sentences that have it.
    places: BTreeMap<String, Vec<usize>>,
    /// Terms of its title and headings.
    context: BTreeSet<String>,
}

struct Sentence {
    span: Range<usize>,
    words: Words,
    terms: BTreeSet<String>,
}

/// What passages have of a claim.
#[derive(Clone, Debug, Default)]
pub(super) struct Support {
    /// The share of its words that they have.
    pub(super) share: f32,
    /// What must be there and is not, in bytes of the claim.
    pub(super) missing: Vec<Range<usize>>,
    /// The words that they do not have, in bytes of the claim, hard or not.
    pub(super) unsaid: Vec<Range<usize>>,
    /// The best places: which passage, and bytes of it.
    pub(super) evidence: Vec<(usize, Range<usize>)>,
}

impl Support {
    pub(super) fn is_enough(&self) -> bool {
        self.share >= MIN_SUPPORT && self.missing.is_empty()
    }
}

impl Passage {
    /// Reads a passage, and what stands above it.
    pub(super) fn read<'a>(text: &str, above: impl Iterator<Item = &'a str>) -> Passage {
        let language = Language::of(text);
        let mut passage = Passage { language, sentences: Vec::new(), places: BTreeMap::new(), context: BTreeSet::new() };
        for block in blocks(text, true) {
            for span in sentences(text, &block.span, &[]) {
                let words = read(text.get(span.clone()).unwrap_or_default(), language);
                let terms: BTreeSet<String> = words.all.iter().map(|word| word.term.clone()).collect();
                for term in &terms {
                    passage.places.entry(term.clone()).or_default().push(passage.sentences.len());
                }
                passage.sentences.push(Sentence { span, words, terms });
            }
        }
        for text in above {
            passage.context.extend(read(text, language).all.into_iter().map(|word| word.term));
        }
        passage
    }

    /// The sentences that have a word of a claim, or another form of it.
    fn places_of(&self, word: &Word) -> Vec<usize> {
        if let Some(places) = self.places.get(&word.term) {
            return places.clone();
        }
        if !self.may_vary(word) {
            return Vec::new();
        }
        let head = word.term.get(..word.term.floor_char_boundary(MIN_SHARED_BYTES)).unwrap_or_default();
        let alike = self.places.range(head.to_owned()..).take_while(|(term, _)| term.starts_with(head));
        alike.filter(|(term, _)| is_form_of(&word.term, term)).flat_map(|(_, places)| places.iter().copied()).collect()
    }

    fn stands_above(&self, word: &Word) -> bool {
        self.context.contains(&word.term) || (self.may_vary(word) && self.context.iter().any(|term| is_form_of(&word.term, term)))
    }

    /// True for a word that may stand in another form. A name may not, where only names are capitalized.
    fn may_vary(&self, word: &Word) -> bool {
        let inflected = word.kind == Kind::Content || (word.kind == Kind::Name && self.language.capitalizes_nouns());
        inflected && !word.unspaced && word.term.len() >= MIN_SHARED_BYTES
    }
}

/// True for words that share their beginning, and most of the longer one.
fn is_form_of(one: &str, other: &str) -> bool {
    let shared = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let longer = one.chars().count().max(other.chars().count());
    shared >= MIN_SHARED_BYTES && shared * 10 >= longer * 7
}

/// A sentence of a passage: the number of both.
type Place = (usize, usize);

/// A claim, and where its terms stand.
struct Reading {
    words: Words,
    /// For each word, which of the distinct terms it is.
    term: Vec<usize>,
    /// For each term the sentences that have it, in order.
    found: Vec<Vec<Place>>,
    /// For each term whether it stands in a title or heading.
    above: Vec<bool>,
}

/// What passages have of a claim. `passages` are those that it cites.
pub(super) fn support(claim: &str, passages: &[&Passage]) -> Support {
    let Some(first) = passages.first() else { return Support::default() };
    let words = read(claim, first.language);
    let mut distinct: HashMap<(&str, Kind), usize> = HashMap::new();
    let mut firsts: Vec<usize> = Vec::new();
    let mut term: Vec<usize> = Vec::with_capacity(words.all.len());
    for (at, word) in words.all.iter().enumerate() {
        term.push(*distinct.entry((&word.term, word.kind)).or_insert_with(|| {
            firsts.push(at);
            firsts.len() - 1
        }));
    }
    let (mut found, mut above) = (vec![Vec::new(); firsts.len()], vec![false; firsts.len()]);
    for (number, passage) in passages.iter().enumerate() {
        // A claim is stemmed as each passage is.
        let other = (passage.language != first.language).then(|| read(claim, passage.language));
        let all = &other.as_ref().unwrap_or(&words).all;
        for ((at, found), above) in firsts.iter().zip(&mut found).zip(&mut above) {
            let Some(word) = all.get(*at) else { continue };
            found.extend(passage.places_of(word).into_iter().map(|sentence| (number, sentence)));
            *above |= passage.stands_above(word);
        }
    }
    Reading { words, term, found, above }.judge(passages)
}

impl Reading {
    fn judge(&self, passages: &[&Passage]) -> Support {
        let (runs, said) = self.best_runs(passages);
        let mut support = Support::default();
        let (mut all, mut shared) = (0usize, 0usize);
        let mut unsaid_pairs = 0;
        for (at, word) in self.words.all.iter().enumerate() {
            let nowhere = self.places(at).is_empty() && !self.is_above(at);
            if !word.counts() {
                unsaid_pairs = 0;
                continue;
            }
            let is_said = self.is_above(at) || self.term.get(at).and_then(|term| said.get(*term)).is_some_and(|said| *said);
            all += 1;
            shared += usize::from(is_said);
            if !is_said {
                support.unsaid.push(word.span.clone());
            }
            // Two pairs of characters in a row that stand nowhere are a word that stands nowhere; one comes from the order.
            unsaid_pairs = if word.unspaced && nowhere { unsaid_pairs + 1 } else { 0 };
            let lost = match word.kind {
                Kind::Number => !self.number_is_said(at),
                Kind::Name => nowhere,
                _ => unsaid_pairs >= 2,
            };
            if lost {
                support.missing.push(word.span.clone());
            }
        }
        support.share = if all == 0 { 0.0 } else { shared as f32 / all as f32 };
        support.missing.extend(self.denials_that_differ(&runs, passages));
        support.missing.sort_by_key(|span| (span.start, span.end));
        support.missing.dedup();
        support.evidence = runs.into_iter().filter_map(|run| Some((run.passage, run.span(passages.get(run.passage)?)?))).collect();
        support
    }

    fn is_above(&self, at: usize) -> bool {
        self.term.get(at).and_then(|term| self.above.get(*term)).copied().unwrap_or_default()
    }

    /// The sentences that have a word.
    fn places(&self, at: usize) -> &[Place] {
        self.term.get(at).and_then(|term| self.found.get(*term)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The runs of sentences that together say most of the claim, each chosen for what it adds, and for each term whether
    /// they say it.
    fn best_runs(&self, passages: &[&Passage]) -> (Vec<Run>, Vec<bool>) {
        // How many words of the claim each term is.
        let mut weight = vec![0usize; self.found.len()];
        for (word, term) in self.words.all.iter().zip(&self.term) {
            weight.get_mut(*term).into_iter().for_each(|weight| *weight += usize::from(word.counts()));
        }
        let mut by_sentence: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (term, places) in self.found.iter().enumerate() {
            places.iter().for_each(|place| by_sentence.entry(*place).or_default().push(term));
        }
        let (mut runs, mut said): (Vec<Run>, Vec<bool>) = (Vec::new(), vec![false; weight.len()]);
        // The run that a term was last counted in.
        let (mut counted, mut number) = (vec![0usize; weight.len()], 0);
        for _ in 0..MAX_RUNS {
            let mut best: Option<Run> = None;
            for (passage, first) in by_sentence.keys() {
                number += 1;
                let sentences = passages.get(*passage).map_or(0, |passage| passage.sentences.len());
                let (mut gain, mut others) = (0, 0);
                for length in 1..=RUN_SENTENCES.min(sentences.saturating_sub(*first)) {
                    for term in by_sentence.get(&(*passage, first + length - 1)).into_iter().flatten() {
                        let (Some(counted), Some(false)) = (counted.get_mut(*term), said.get(*term)) else { continue };
                        if std::mem::replace(counted, number) != number {
                            let weight = weight.get(*term).copied().unwrap_or_default();
                            gain += weight;
                            others += usize::from(weight == 0);
                        }
                    }
                    // A longer run must add something; of equals the one with more of the claim's function words is taken.
                    let rank = |run: &Run| (run.gain, std::cmp::Reverse(run.length), run.others);
                    let run = Run { passage: *passage, first: *first, length, gain, others };
                    if gain > 0 && best.as_ref().is_none_or(|best| rank(&run) > rank(best)) {
                        best = Some(run);
                    }
                }
            }
            let Some(run) = best else { break };
            for sentence in run.first..run.first + run.length {
                for term in by_sentence.get(&(run.passage, sentence)).into_iter().flatten() {
                    said.get_mut(*term).into_iter().for_each(|said| *said = true);
                }
            }
            runs.push(run);
        }
        (runs, said)
    }

    /// A number counts when a sentence has it together with most of the words that say what it is in the claim: at least
    /// its unit, and half of those around it.
    fn number_is_said(&self, at: usize) -> bool {
        if self.is_above(at) {
            return true;
        }
        let content = |at: &usize| self.words.all.get(*at).is_some_and(|word| matches!(word.kind, Kind::Content | Kind::Name));
        let before = (at.saturating_sub(NEAR_REACH)..at).rev().filter(content).take(NEAR_WORDS);
        let after = (at + 1..=at + NEAR_REACH).filter(content).take(NEAR_WORDS);
        let near: Vec<usize> = before.chain(after).collect();
        let unit = Some(at + 1).filter(content);
        let says = |at: usize, place: &Place| self.is_above(at) || self.places(at).binary_search(place).is_ok();
        self.places(at).iter().any(|place| {
            let (passage, sentence) = *place;
            // What a number counts may stand in the sentence before.
            let has_unit = |unit| says(unit, place) || sentence.checked_sub(1).is_some_and(|before| says(unit, &(passage, before)));
            unit.is_none_or(has_unit) && near.iter().filter(|at| says(**at, place)).count() * 2 >= near.len()
        })
    }

    /// The negations of one side that the other does not have, in bytes of the claim. What a negation of the claim denies is
    /// looked for in the sentence that has most of it; what a sentence denies counts when no other says as much of the claim
    /// without denying it.
    fn denials_that_differ(&self, runs: &[Run], passages: &[&Passage]) -> Vec<Range<usize>> {
        let term = |at: &usize| self.words.all.get(*at).map(|word| word.term.as_str());
        let denied: Vec<(&Range<usize>, BTreeSet<&str>)> =
            self.words.negations.iter().map(|(span, reached)| (span, reached.iter().filter_map(term).collect())).collect();
        let claimed: BTreeSet<&str> = self.words.all.iter().filter(|word| word.counts()).map(|word| word.term.as_str()).collect();
        let sentences: Vec<&Sentence> = runs.iter().flat_map(|run| run.sentences(passages)).collect();
        let said =
            |sentence: &Sentence, terms: &BTreeSet<&str>| terms.iter().filter(|term| sentence.terms.contains(**term)).count();
        let mut differing = Vec::new();
        for (span, here) in &denied {
            let best = sentences.iter().max_by_key(|sentence| (said(sentence, here), said(sentence, &claimed)));
            if best.is_some_and(|sentence| said(sentence, here) > 0 && !sentence.denies(here)) {
                differing.push((*span).clone());
            }
        }
        for sentence in &sentences {
            for there in sentence.denied() {
                let shared: BTreeSet<&str> = there.intersection(&claimed).copied().collect();
                let answered = denied.iter().any(|(_, here)| !here.is_disjoint(&there));
                if shared.is_empty() || shared.len() * 3 < there.len() * 2 || answered {
                    continue;
                }
                let plain = sentences.iter().any(|other| {
                    let as_much = said(other, &shared) == shared.len() && said(other, &claimed) >= said(sentence, &claimed);
                    as_much && !other.denies(&shared)
                });
                if !plain {
                    // Nothing of the claim can be pointed at but a word that it asserts.
                    let asserted = self.words.all.iter().filter(|word| shared.contains(word.term.as_str()));
                    differing.extend(asserted.map(|word| word.span.clone()).take(1));
                }
            }
        }
        differing
    }
}

impl Sentence {
    /// What each of its negations reaches.
    fn denied(&self) -> impl Iterator<Item = BTreeSet<&str>> {
        let term = |at: &usize| self.words.all.get(*at).map(|word| word.term.as_str());
        self.words.negations.iter().map(move |(_, reached)| reached.iter().filter_map(term).collect())
    }

    /// True when it denies one of these terms.
    fn denies(&self, terms: &BTreeSet<&str>) -> bool {
        self.denied().any(|there| !there.is_disjoint(terms))
    }
}

/// Sentences of a passage that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    passage: usize,
    first: usize,
    length: usize,
    /// How many words of the claim it adds, and how many function words it shares with it.
    gain: usize,
    others: usize,
}

impl Run {
    fn sentences<'a>(&self, passages: &[&'a Passage]) -> &'a [Sentence] {
        let all = passages.get(self.passage).map(|passage| passage.sentences.as_slice()).unwrap_or_default();
        all.get(self.first..self.first + self.length).unwrap_or_default()
    }

    fn span(&self, passage: &Passage) -> Option<Range<usize>> {
        let sentences = passage.sentences.get(self.first..self.first + self.length)?;
        Some(sentences.first()?.span.start..sentences.last()?.span.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The daily allowance for trips abroad is EUR 71 for each full day. At home it is EUR 28.\n\nClaims are paid \
                        within ten days after Ana Berg has approved them. Alcohol is not reimbursed.";

    fn of(claim: &str) -> (bool, Vec<String>) {
        let passage = Passage::read(TEXT, ["Travel policy"].into_iter());
        let support = support(claim, &[&passage]);
        (support.is_enough(), support.missing.into_iter().map(|span| claim[span].to_owned()).collect())
    }

    #[test]
    fn close_paraphrases_are_supported() {
        for claim in [
            "The daily allowance for trips abroad is €71 per full day.",
            "According to the travel policy, claims will be paid within 10 days once approved by Ana Berg.",
            "For trips abroad, the allowance each day is EUR 71, and alcohol isn't reimbursed.",
        ] {
            assert_eq!(of(claim), (true, vec![]), "{claim}");
        }
    }

    #[test]
    fn what_nobody_says_is_missing() {
        for (claim, missing) in [
            ("The daily allowance for trips abroad is EUR 72.", vec!["72"]),
            ("The daily allowance for trips abroad is EUR 28.", vec!["28"]),
            ("The daily allowance for trips abroad is $71.", vec!["71"]),
            ("Claims are paid within ten weeks.", vec!["ten"]),
            ("Claims are paid after Bo Lund has approved them.", vec!["Bo", "Lund"]),
            ("Claims are not paid within ten days.", vec!["not"]),
            ("Alcohol is reimbursed.", vec!["Alcohol"]),
            ("Alcohol is never reimbursed.", vec![]),
        ] {
            let (enough, found) = of(claim);
            assert_eq!((enough, found), (missing.is_empty(), missing.into_iter().map(str::to_owned).collect()), "{claim}");
        }
        assert!(!of("The office in Lisbon is closed on Mondays.").0);
    }
}
