//! The report on an answer, from the passages that its citations opened: a pure function.
//!
//! A claim is judged by what its sources say now: a superseded passage counts as what it has become, and what only the older
//! text says is outdated. A quote is judged by the passage as it was cited.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::claims::{Sentence, claims};
use super::quotes::{Plain, nearest, verbatim};
use super::report::*;
use super::support::{Passage, Support, support};
use super::{Answer, MAX_CITATIONS_OF_A_CLAIM, MAX_CLAIM_BYTES, MAX_CLAIMS};
use crate::citation::{Citation, Freshness, Span};
use crate::engine::Opened;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// How often, in one answer, a claim that its citations do not support is held against another citation. Beyond that it is
/// unsupported all the same, and it is not said where it belongs.
const MAX_ELSEWHERE: usize = 2_000;

/// A passage as it was cited and as it stands now.
struct Cited {
    /// `None` when it can not be read.
    old: Option<Text>,
    /// What it has become, when it is superseded.
    newer: Option<Text>,
    state: CitationState,
}

struct Text {
    text: String,
    /// Its title and headings.
    above: Vec<String>,
    plain: Plain,
    passage: Passage,
}

impl Text {
    fn read(text: &str, citation: &Citation) -> Text {
        let above: Vec<String> = citation.title.iter().chain(&citation.location.headings).cloned().collect();
        let passage = Passage::read(text, above.iter().map(String::as_str));
        Text { text: text.to_owned(), plain: Plain::of(text), passage, above }
    }
}

impl Cited {
    fn read(opened: Option<&Opened>) -> Cited {
        let Some(opened) = opened else { return Cited { old: None, newer: None, state: CitationState::NotFound } };
        let newer = opened.newer.as_ref().map(|newer| Text::read(&newer.text, &newer.citation));
        let state = match opened.citation.freshness {
            Freshness::Current => CitationState::Current,
            Freshness::Superseded => CitationState::Superseded,
            Freshness::Deleted => CitationState::Deleted,
        };
        Cited { old: opened.text.as_ref().map(|text| Text::read(text, &opened.citation)), newer, state }
    }

    /// What the source says now.
    fn now(&self) -> Option<&Text> {
        if self.state == CitationState::Superseded { self.newer.as_ref() } else { self.old.as_ref() }
    }
}

/// Judges an answer.
///
/// # Errors
/// [`Error::Invalid`] for an answer of too many sentences, or with too many markers at one.
pub(super) fn judge(answer: &Answer, opened: Vec<Option<Opened>>, epoch: u64, now: Timestamp) -> Result<AnswerReport> {
    let names: Vec<&str> = answer.citations.iter().map(|(marker, _)| marker.as_str()).collect();
    let declared: HashSet<&str> = names.iter().copied().collect();
    let read = claims(&answer.text, &declared);
    check_bounds(&read.sentences)?;
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut cited: Vec<Cited> = Vec::with_capacity(opened.len());
    let mut same: Vec<usize> = Vec::with_capacity(opened.len());
    for ((_, token), opened) in answer.citations.iter().zip(&opened) {
        // A token that stands for several markers is read once.
        let at = *known.entry(token).or_insert_with(|| {
            cited.push(Cited::read(opened.as_ref()));
            cited.len() - 1
        });
        same.push(at);
    }
    let number: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let judge = Judge { answer: &answer.text, blanked: &read.blanked, names: &names, number, cited: &cited, same: &same };
    let mut problems = Problems { strict: answer.strict, list: Vec::new(), elsewhere: MAX_ELSEWHERE };
    let claims: Vec<Claim> =
        read.sentences.iter().enumerate().map(|(at, sentence)| judge.claim(at, sentence, &mut problems)).collect();

    let used: HashSet<&str> = claims.iter().flat_map(|claim| claim.markers.iter().map(String::as_str)).collect();
    let citations: Vec<CitationCheck> = answer
        .citations
        .iter()
        .zip(opened)
        .zip(&same)
        .map(|(((marker, token), opened), at)| {
            let stale = opened.as_ref().is_some_and(|opened| is_stale(&opened.citation, answer, now));
            let state = cited.get(*at).map_or(CitationState::NotFound, |cited| cited.state);
            let (citation, newer) = opened.map_or((None, None), |opened| (Some(opened.citation), opened.newer));
            CitationCheck {
                marker: marker.clone(),
                token: token.clone(),
                state,
                citation,
                newer,
                stale,
                cited: used.contains(marker.as_str()),
            }
        })
        .collect();
    citations.iter().for_each(|citation| problems.of_citation(citation));
    for marker in read.undefined {
        let detail = format!("the answer has [{marker}], and no citation was given for it");
        problems.add(ProblemCode::MarkerUndefined, None, Some(marker), detail);
    }
    let verdict = if problems.list.iter().any(|problem| problem.fails) { Verdict::Fail } else { Verdict::Pass };
    Ok(AnswerReport { epoch, verdict, claims, citations, problems: problems.list })
}

fn check_bounds(sentences: &[Sentence]) -> Result<()> {
    if sentences.len() > MAX_CLAIMS {
        return Err(Error::invalid("answer", format!("{} sentences, at most {MAX_CLAIMS} are allowed", sentences.len())));
    }
    if sentences.iter().any(|sentence| sentence.markers.len() > MAX_CITATIONS_OF_A_CLAIM) {
        return Err(Error::invalid("answer", format!("a sentence may cite at most {MAX_CITATIONS_OF_A_CLAIM} passages")));
    }
    if sentences.iter().any(|sentence| sentence.span.len() > MAX_CLAIM_BYTES) {
        return Err(Error::invalid("answer", format!("a sentence may have at most {MAX_CLAIM_BYTES} bytes")));
    }
    Ok(())
}

fn is_stale(citation: &Citation, answer: &Answer, now: Timestamp) -> bool {
    let age = answer.max_age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    age.is_some_and(|age| now.0.saturating_sub(citation.verified_at.0) > age)
}

struct Problems {
    strict: bool,
    list: Vec<Problem>,
    /// How often more a claim is looked for elsewhere.
    elsewhere: usize,
}

impl Problems {
    fn add(&mut self, code: ProblemCode, claim: Option<usize>, marker: Option<String>, detail: impl Into<String>) {
        self.list.push(Problem { code, fails: self.strict || code.fails(), claim, marker, detail: detail.into() });
    }

    fn of_citation(&mut self, citation: &CitationCheck) {
        let mut add = |code, detail: &str| self.add(code, None, Some(citation.marker.clone()), detail);
        match citation.state {
            CitationState::NotFound => {
                add(ProblemCode::CitationNotFound, "there is no such citation, or you may not read what it cites");
            }
            CitationState::Deleted if citation.cited => add(ProblemCode::CitationDeleted, "the document was deleted"),
            CitationState::Superseded if citation.cited => {
                add(ProblemCode::CitationSuperseded, "the document has a newer version");
            }
            _ => {}
        }
        if citation.stale && citation.cited {
            add(ProblemCode::SourceStale, "the source was last seen to have it longer ago than `max_age`");
        }
        if !citation.cited {
            add(ProblemCode::CitationUnused, "no sentence cites it");
        }
    }
}

struct Judge<'a> {
    answer: &'a str,
    blanked: &'a str,
    names: &'a [&'a str],
    /// The place of each marker in `names`.
    number: HashMap<&'a str, usize>,
    cited: &'a [Cited],
    /// For each marker, the place of its passage in `cited`.
    same: &'a [usize],
}

impl Judge<'_> {
    fn claim(&self, at: usize, sentence: &Sentence, problems: &mut Problems) -> Claim {
        let text = self.blanked.get(sentence.span.clone()).unwrap_or_default();
        let ours: Vec<usize> = sentence.markers.iter().filter_map(|marker| self.number.get(marker.as_str()).copied()).collect();
        let (found, verdict) = self.judge(text, &ours);
        let quotes: Vec<Quote> = sentence.quotes.iter().map(|span| self.quote(span, &ours)).collect();
        for quote in quotes.iter().filter(|quote| !quote.verbatim) {
            let detail = match &quote.nearest {
                Some(nearest) => format!("no passage cited here says \"{}\"; the nearest is \"{nearest}\"", quote.text),
                None => format!("no passage cited here says \"{}\"", quote.text),
            };
            problems.add(ProblemCode::QuoteNotVerbatim, Some(at), quote.marker.clone(), detail);
        }
        self.note(at, text, &ours, verdict, &found, problems);
        let misquoted = verdict == ClaimVerdict::Supported && quotes.iter().any(|quote| !quote.verbatim);
        let part = |span: &Range<usize>| text.get(span.clone()).unwrap_or_default().to_owned();
        let unsaid: BTreeSet<(usize, usize)> =
            found.unsaid.iter().chain(&found.missing).map(|span| (span.start, span.end)).collect();
        let evidence = found.evidence.iter().filter_map(|(number, span)| {
            Some(Evidence { marker: (*self.names.get(*number)?).to_owned(), span: Span { start: span.start, end: span.end } })
        });
        Claim {
            text: self.answer.get(sentence.span.clone()).unwrap_or_default().to_owned(),
            span: Span { start: sentence.span.start, end: sentence.span.end },
            markers: sentence.markers.clone(),
            verdict: if misquoted { ClaimVerdict::Misquoted } else { verdict },
            support: (found.share * 100.0).round() / 100.0,
            missing: unsaid.into_iter().map(|(start, end)| part(&(start..end))).collect(),
            evidence: evidence.collect(),
            quotes,
        }
    }

    /// What the cited passages have of a claim, by the numbers of their markers.
    fn judge(&self, text: &str, ours: &[usize]) -> (Support, ClaimVerdict) {
        if ours.is_empty() {
            return (Support::default(), ClaimVerdict::Uncited);
        }
        let now = self.support(text, ours, Cited::now);
        if now.is_enough() {
            return (now, ClaimVerdict::Supported);
        }
        if ours.iter().all(|number| self.passage(*number).is_none_or(|cited| cited.old.is_none())) {
            return (now, ClaimVerdict::Unreadable);
        }
        let superseded =
            ours.iter().any(|number| self.passage(*number).is_some_and(|cited| cited.state == CitationState::Superseded));
        let outdated = superseded && self.support(text, ours, |cited| cited.old.as_ref()).is_enough();
        (now, if outdated { ClaimVerdict::Outdated } else { ClaimVerdict::Unsupported })
    }

    fn passage(&self, number: usize) -> Option<&Cited> {
        self.cited.get(*self.same.get(number)?)
    }

    fn support<'a>(&'a self, text: &str, numbers: &[usize], read: impl Fn(&'a Cited) -> Option<&'a Text>) -> Support {
        let readable: Vec<(usize, &Text)> =
            numbers.iter().filter_map(|number| Some((*number, read(self.passage(*number)?)?))).collect();
        let passages: Vec<&Passage> = readable.iter().map(|(_, text)| &text.passage).collect();
        let mut support = support(text, &passages);
        for (number, _) in &mut support.evidence {
            *number = readable.get(*number).map_or(*number, |(marker, _)| *marker);
        }
        support
    }

    /// Says what is wrong with a claim.
    fn note(&self, at: usize, text: &str, ours: &[usize], verdict: ClaimVerdict, found: &Support, problems: &mut Problems) {
        let name = |number: usize| self.names.get(number).map(|name| (*name).to_owned());
        match verdict {
            ClaimVerdict::Supported | ClaimVerdict::Misquoted => {}
            ClaimVerdict::Uncited => problems.add(ProblemCode::ClaimUncited, Some(at), None, "the sentence cites nothing"),
            ClaimVerdict::Outdated => {
                let superseded =
                    |number: &usize| self.passage(*number).is_some_and(|cited| cited.state == CitationState::Superseded);
                let marker = ours.iter().copied().find(superseded).and_then(name);
                problems.add(ProblemCode::CitationSuperseded, Some(at), marker, "only an older version of the source says so");
                // What is wrong here is not a hint.
                problems.list.last_mut().into_iter().for_each(|problem| problem.fails = true);
            }
            ClaimVerdict::Unsupported | ClaimVerdict::Unreadable => {
                let others: Vec<usize> =
                    (0..self.names.len()).filter(|number| !ours.contains(number)).take(problems.elsewhere).collect();
                problems.elsewhere -= others.len();
                let says = |number: &usize| self.support(text, &[*number], Cited::now).is_enough();
                if let Some(elsewhere) = others.into_iter().find(says).and_then(name) {
                    let detail = format!("what is cited here does not say so; [{elsewhere}] does");
                    problems.add(ProblemCode::CitationElsewhere, Some(at), Some(elsewhere), detail);
                    return;
                }
                let lost: Vec<&str> = found.missing.iter().filter_map(|span| text.get(span.clone())).collect();
                let detail = match lost.as_slice() {
                    [] => format!("what is cited here has {:.0} % of its words", found.share * 100.0),
                    lost => format!("what is cited here does not have it so: {}", lost.join(", ")),
                };
                let marker = if let [only] = ours { name(*only) } else { None };
                problems.add(ProblemCode::ClaimUnsupported, Some(at), marker, detail);
            }
        }
    }

    fn quote(&self, span: &Range<usize>, ours: &[usize]) -> Quote {
        let text = self.blanked.get(span.clone()).unwrap_or_default();
        let mut quote = Quote {
            text: self.answer.get(span.clone()).unwrap_or_default().to_owned(),
            span: Span { start: span.start, end: span.end },
            verbatim: false,
            marker: None,
            at: None,
            nearest: None,
        };
        let readable = || ours.iter().filter_map(|number| Some((*number, self.passage(*number)?.old.as_ref()?)));
        let name = |number: usize| self.names.get(number).map(|name| (*name).to_owned());
        for (number, passage) in readable() {
            let at = verbatim(text, &passage.plain);
            let above = at.is_none() && passage.above.iter().any(|above| verbatim(text, &Plain::of(above)).is_some());
            if at.is_some() || above {
                quote.verbatim = true;
                quote.marker = name(number);
                quote.at = at.map(|at| Span { start: at.start, end: at.end });
                return quote;
            }
        }
        let near = readable().filter_map(|(number, passage)| Some((number, passage, nearest(text, &passage.text)?)));
        let best = near.max_by_key(|(number, _, (shared, _))| (*shared, std::cmp::Reverse(*number)));
        if let Some((number, passage, (_, at))) = best {
            quote.marker = name(number);
            quote.nearest = passage.text.get(at).map(str::to_owned);
        }
        quote
    }
}
