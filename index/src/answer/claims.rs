//! An answer to its claims: the sentences that say something, each with the markers that stand in it or directly after it.
//!
//! No claims are sentences of function words, and, when they have no number, negation, quote or marker, questions and short
//! headings. A line that ends with a colon is claimed together with the list below it.

use std::collections::HashSet;
use std::ops::Range;

use super::markers::{self, Markers};
use super::sentences::{Block, Kind, blocks, sentences};
use super::{quotes, words};
use crate::keyword::Language;

/// A longer heading is a claim.
const MAX_HEADING_WORDS: usize = 8;

/// A sentence that claims something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Its bytes in the answer, without markers after it.
    pub(super) span: Range<usize>,
    /// Each once, in order.
    pub(super) markers: Vec<String>,
    /// What it puts in quotation marks, in bytes of the answer.
    pub(super) quotes: Vec<Range<usize>>,
}

/// What an answer claims.
pub(super) struct Claims {
    pub(super) sentences: Vec<Sentence>,
    /// The answer without its markers; bytes keep their places.
    pub(super) blanked: String,
    /// The markers of the answer that are not declared, each once.
    pub(super) undefined: Vec<String>,
}

/// Reads the claims of an answer.
pub(super) fn claims(answer: &str, declared: &HashSet<&str>) -> Claims {
    let markers = markers::find(answer, declared);
    let blanked = markers::blank(answer, &markers);
    let blocks = blocks(&blanked, false);
    let mut found: Vec<Sentence> = Vec::new();
    // The line before a list, which is claimed with all of the list's markers.
    let mut lead: Option<Sentence> = None;
    for (number, block) in blocks.iter().enumerate() {
        // Markers after a block, up to the next, belong to it.
        let until = blocks.get(number + 1).map_or(answer.len(), |next| next.span.start);
        let next = blocks.get(number + 1).map(|block| block.kind);
        let from = if number == 0 { 0 } else { block_start(answer, &markers, block) };
        let mut of_block = read_block(&blanked, &markers, block, from, until);
        if block.kind == Kind::Item {
            if let Some(lead) = &mut lead {
                lead.markers.extend(of_block.iter().flat_map(|(sentence, _)| sentence.markers.iter().cloned()));
            }
        } else {
            found.extend(lead.take().filter(|lead| says_something(&blanked, lead)));
        }
        let leads = |sentence: &Sentence| {
            next == Some(Kind::Item)
                && sentence.markers.is_empty()
                && blanked.get(sentence.span.clone()).is_some_and(|text| text.ends_with([':', '：']))
        };
        if block.kind != Kind::Item && of_block.last().is_some_and(|(sentence, _)| leads(sentence)) {
            lead = of_block.pop().map(|(sentence, _)| sentence);
        }
        let kept = of_block.into_iter().filter(|(sentence, kind)| is_claim(&blanked, sentence, *kind));
        found.extend(kept.map(|(sentence, _)| sentence));
    }
    found.extend(lead.filter(|lead| says_something(&blanked, lead)));
    found.sort_by_key(|sentence| sentence.span.start);
    found.iter_mut().for_each(|sentence| keep_first(&mut sentence.markers));
    let mut undefined: Vec<String> =
        markers.into_iter().flat_map(|markers| markers.names).filter(|name| !declared.contains(name.as_str())).collect();
    keep_first(&mut undefined);
    Claims { sentences: found, blanked, undefined }
}

/// Where the markers begin that stand directly before a block, in its line.
fn block_start(answer: &str, markers: &[Markers], block: &Block) -> usize {
    let line = answer.get(..block.span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let first = markers.iter().find(|markers| markers.span.start >= line).map_or(line, |markers| markers.span.start);
    first.min(block.span.start)
}

fn read_block(blanked: &str, markers: &[Markers], block: &Block, from: usize, until: usize) -> Vec<(Sentence, Kind)> {
    let quotes = quotes::find(blanked, &block.span);
    let spans = sentences(blanked, &block.span, &quotes);
    let first = markers.partition_point(|markers| markers.span.start < from);
    let ours = markers.iter().skip(first).take_while(|markers| markers.span.start < until);
    let mut read: Vec<(Sentence, Kind)> = Vec::new();
    for span in &spans {
        let text = blanked.get(span.clone()).unwrap_or_default();
        let start = span.start + (text.len() - text.trim_start().len());
        let trimmed = start..start + text.trim().len();
        let inside = quotes.iter().filter(|quote| span.start <= quote.start && quote.end <= span.end);
        let quotes =
            inside.filter(|quote| quotes::is_long_enough(blanked.get((*quote).clone()).unwrap_or_default())).cloned().collect();
        read.push((Sentence { span: trimmed, markers: Vec::new(), quotes }, block.kind));
    }
    let ours: Vec<&Markers> = ours.collect();
    // An answer that puts its markers before sentences does so at the beginning of the block too.
    let before = ours.first().is_some_and(|markers| read.first().is_some_and(|(first, _)| markers.span.end <= first.span.start));
    for markers in ours {
        let at = spans.partition_point(|span| span.end <= markers.span.start).min(read.len().saturating_sub(1));
        let after = read.get(at).is_some_and(|(sentence, _)| sentence.span.end <= markers.span.start);
        let at = if before && after && at + 1 < read.len() { at + 1 } else { at };
        if let Some((sentence, _)) = read.get_mut(at) {
            sentence.markers.extend(markers.names.iter().cloned());
        }
    }
    read
}

/// True for a sentence that has a word of its own.
fn says_something(text: &str, sentence: &Sentence) -> bool {
    let text = text.get(sentence.span.clone()).unwrap_or_default();
    words::read(text, Language::of(text)).all.iter().any(words::Word::counts)
}

fn is_claim(text: &str, sentence: &Sentence, kind: Kind) -> bool {
    if !says_something(text, sentence) {
        return false;
    }
    let text = text.get(sentence.span.clone()).unwrap_or_default();
    let asks = text.ends_with(['?', '？']);
    let bold = text.starts_with("**") && text.trim_end_matches(':').ends_with("**");
    if !(asks || kind == Kind::Heading || bold) || !sentence.markers.is_empty() || !sentence.quotes.is_empty() {
        return true;
    }
    let words = words::read(text, Language::of(text));
    let numbered = words.all.iter().any(|word| word.kind == words::Kind::Number);
    numbered || !words.negations.is_empty() || (!asks && words.all.len() > MAX_HEADING_WORDS)
}

fn keep_first(names: &mut Vec<String>) {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Vec<(&str, Vec<String>)> {
        let declared = ["1", "2", "3"].into();
        let claims = claims(answer, &declared);
        claims.sentences.into_iter().map(|sentence| (&answer[sentence.span], sentence.markers)).collect()
    }

    fn is(answer: &str, expected: &[(&str, &[&str])]) {
        let expected: Vec<(&str, Vec<String>)> =
            expected.iter().map(|(text, markers)| (*text, markers.iter().map(|name| (*name).to_owned()).collect())).collect();
        assert_eq!(read(answer), expected, "{answer}");
    }

    #[test]
    fn markers_go_with_their_sentences() {
        is(
            "It costs 5 [1]. It rains.[2][3] It snows. [1, 2]",
            &[("It costs 5 [1].", &["1"]), ("It rains.", &["2", "3"]), ("It snows.", &["1", "2"])],
        );
        is("[1] It costs five. [2] It rains.", &[("It costs five.", &["1"]), ("It rains.", &["2"])]);
        is("It costs five.\n\n[1]\n\nIt rains [2].", &[("It costs five.", &["1"]), ("It rains [2].", &["2"])]);
        is("它值五元。[1]下雨了【2】。", &[("它值五元。", &["1"]), ("下雨了【2】。", &["2"])]);
    }

    #[test]
    fn what_claims_nothing_is_left_out() {
        is(
            "# Travel\n\nHere is what I found:\n\nIn short, yes. What does it cost?\n\n**Costs**\n\nIt costs five [1].\n\nI hope this helps!",
            &[("It costs five [1].", &["1"])],
        );
        is("# It never costs anything", &[("It never costs anything", &[])]);
        is("# It costs 7\nDid you know that it costs 9?", &[("It costs 7", &[]), ("Did you know that it costs 9?", &[])]);
    }

    #[test]
    fn a_line_before_a_list_is_claimed_with_the_list() {
        is(
            "Guests pay for:\n- meals [1]\n- boats [2]\n\nBoats leave daily [3].",
            &[("Guests pay for:", &["1", "2"]), ("meals", &["1"]), ("boats", &["2"]), ("Boats leave daily [3].", &["3"])],
        );
        is("| Item | Price |\n|---|---|\n| Boat | 5 [1] |", &[("| Boat | 5 [1] |", &["1"])]);
    }
}
