//! What is compared after each step of a history: searches, documents, citations and explanations of every caller.

use std::cell::RefCell;
use std::sync::Arc;

use sightline_index::{Hit, Recency, Scorer, Sort, SourcePolicy};

use super::super::arranged::Arrangement;
use super::super::reranked;
use super::*;

impl History {
    pub(super) fn compare(&mut self) {
        let modes = [Mode::Keyword, Mode::Vector, Mode::Hybrid];
        for who in self.callers() {
            let question = Question {
                parts: self.parts(),
                vector: self.vector(),
                mode: *self.dice.pick(&modes),
                limit: *self.dice.pick(&[1, 5, 100]),
                sources: self.dice.chance(10).then(|| vec![self.source()]),
                labels: if self.dice.chance(10) { self.labels() } else { BTreeMap::new() },
                modified_after: self.dice.chance(10).then(|| self.dice.below(100) as i64),
                arrangement: if self.dice.chance(40) { self.arrangement() } else { Arrangement::default() },
                rerank: self.dice.chance(30),
            };
            if self.world.open > 0 && self.dice.chance(50) {
                let plain = Question { arrangement: Arrangement::default(), rerank: false, ..question };
                self.compare_approximate(&who, &plain);
            } else {
                self.compare_search(&who, &question);
            }
            let key = self.key();
            self.compare_document(&who, &key);
            self.compare_explanation(&who, &key);
            for _ in 0..3.min(self.tokens.len()) {
                let at = self.dice.below(self.tokens.len());
                self.compare_citation(&who, at);
            }
        }
    }

    fn arrangement(&mut self) -> Arrangement {
        let age = |dice: &mut Dice| (*dice.pick(&[1u64, 20, 400]), *dice.pick(&[0.0f32, 0.5, 1.0]));
        let newest_first = self.dice.chance(15);
        Arrangement {
            recency: self.dice.chance(25).then(|| age(&mut self.dice)),
            policies: if self.dice.chance(25) { [(self.source(), age(&mut self.dice))].into() } else { BTreeMap::new() },
            newest_first,
            per_document: self.dice.chance(30).then(|| 1 + self.dice.below(2)),
            collapse: self.dice.chance(30),
            diversity: if newest_first || self.dice.chance(60) { 0.0 } else { *self.dice.pick(&[0.3f32, 0.7, 1.0]) },
        }
    }

    fn compare_search(&mut self, who: &Who, question: &Question) {
        self.tally.comparisons += 1;
        let expected = self.naive.search(who, question);
        // What is given to score may be read.
        let unreadable = RefCell::new(Vec::new());
        let scorer = |words: &str, texts: &[&str]| {
            let hidden = texts.iter().filter(|text| !self.naive.reads(who, text.lines().last().unwrap()));
            unreadable.borrow_mut().extend(hidden.map(|text| (*text).to_owned()));
            Ok(texts.iter().map(|text| reranked::score(words, text)).collect())
        };
        let scorer = question.rerank.then_some(&scorer as &Scorer<'_>);
        let found = self
            .engine()
            .search_with(&caller(who), &query(question, self.world.open > 0), Timestamp(self.naive.now), scorer)
            .unwrap();
        for text in unreadable.into_inner() {
            self.tally.leaks += 1;
            self.note(format!("{who:?}: the re-ranker was given {text:?}"));
        }
        self.check_readable(who, &found.hits);
        let describe = |key: &Key, ordinal: usize, scores: [Option<f32>; 4], duplicates: &[Key]| {
            let document = &self.naive.documents[key];
            let version = document.versions.last().unwrap();
            let text = self.naive.text(who, key, version);
            let passage = version.passages[ordinal].text.clone();
            let runs = self.naive.runs(who, key, document);
            let since = document.versions[runs.last().unwrap().0].came_in;
            (
                key.clone(),
                (runs.len(), since),
                passage,
                blake3::hash(text.as_bytes()).to_string(),
                bits(scores),
                duplicates.to_vec(),
            )
        };
        let expected: Vec<_> = expected
            .iter()
            .map(|(hit, copies)| {
                let scores = [Some(hit.score), hit.keyword, hit.vector, hit.reranker];
                describe(&hit.key, hit.ordinal, scores, copies)
            })
            .collect();
        let got: Vec<_> = found
            .hits
            .iter()
            .map(|hit| {
                let citation = &hit.citation;
                let key = (citation.source.clone(), citation.document.clone());
                let scores = bits([Some(hit.score), hit.scores.keyword, hit.scores.vector, hit.scores.reranker]);
                let version = (citation.version as usize, citation.ingested_at.0);
                let copies: Vec<Key> = hit.duplicates.iter().map(|copy| (copy.source.clone(), copy.document.clone())).collect();
                (key, version, hit.text.clone(), citation.document_hash.clone(), scores, copies)
            })
            .collect();
        if expected != got {
            self.tally.differences += 1;
            let Question { mode, parts, arrangement, rerank, .. } = question;
            let at = expected.iter().zip(&got).take_while(|(expected, got)| expected == got).count();
            let counts = format!("{} hits, not {}", got.len(), expected.len());
            let hit = format!("hit {at} is {:?}, not {:?}", got.get(at), expected.get(at));
            self.note(format!("{who:?} asked {mode:?} {parts:?} {arrangement:?} {rerank}: {counts}; {hit}"));
        }
        self.check_citations(who, &found.hits);
    }

    /// Where part of the vectors is looked at, hits may be missed. All that come must be what the definition says of them.
    fn compare_approximate(&mut self, who: &Who, question: &Question) {
        self.tally.comparisons += 1;
        let found = self.engine().search(&caller(who), &query(question, false), Timestamp(self.naive.now)).unwrap();
        self.check_readable(who, &found.hits);
        let all = self.naive.search(who, &Question { limit: usize::MAX, ..question.clone() });
        let mut expected = all.iter().map(|(hit, _)| {
            let text = self.naive.passage(hit).text.clone();
            (hit.key.clone(), text, bits([hit.keyword, hit.vector, None, None]))
        });
        let best: Vec<_> = expected.by_ref().take(question.limit).collect();
        let others: Vec<_> = expected.collect();
        let got = found.hits.iter().map(|hit| {
            let key = (hit.citation.source.clone(), hit.citation.document.clone());
            (key, hit.text.clone(), bits([hit.scores.keyword, hit.scores.vector, None, None]))
        });
        let got: Vec<_> = got.collect();
        if got.len() != best.len() {
            self.tally.differences += 1;
            self.note(format!("{who:?} asked {:?} {:?}: {} hits, not {}", question.mode, question.parts, got.len(), best.len()));
        }
        if let Some(hit) = got.iter().find(|hit| !best.contains(hit) && !others.contains(hit)) {
            self.tally.differences += 1;
            self.note(format!("{who:?} asked {:?} {:?}: {hit:?} is none of the hits", question.mode, question.parts));
        }
        self.tally.best += best.len() as u64;
        self.tally.missed += best.iter().filter(|hit| !got.contains(hit)).count() as u64;
        self.check_citations(who, &found.hits);
    }

    /// The caller may read what the hits show.
    fn check_readable(&mut self, who: &Who, hits: &[Hit]) {
        self.tally.hits += hits.len() as u64;
        for hit in hits {
            let key = (hit.citation.source.clone(), hit.citation.document.clone());
            let document = self.naive.documents.get(&key).filter(|document| !document.deleted);
            let visible = document.is_some_and(|document| {
                let version = document.versions.last().unwrap();
                self.naive.may_read(who, &key, document) && self.naive.text(who, &key, version).contains(&hit.text)
            });
            if !visible {
                self.tally.leaks += 1;
                self.note(format!("{who:?} was shown {key:?}: {:?}", hit.text));
            }
        }
    }

    /// Spans slice the caller's text, and a passage keeps its token.
    fn check_citations(&mut self, who: &Who, hits: &[Hit]) {
        for hit in hits {
            let (citation, key) = (&hit.citation, (hit.citation.source.clone(), hit.citation.document.clone()));
            let Some(document) = self.naive.documents.get(&key).cloned() else { continue };
            let text = Some(self.naive.text(who, &key, document.versions.last().unwrap()));
            if text.as_deref().and_then(|text| text.get(citation.span.start..citation.span.end)) != Some(hit.text.as_str()) {
                self.tally.differences += 1;
                self.note(format!("{who:?}: the span of {key:?} does not slice to its text"));
            }
            let first = self.naive.runs(who, &key, &document).last().unwrap().0;
            // The same passage has the same token, whatever was hidden or edited around it.
            let (old, new) = (&document.versions[first], document.versions.last().unwrap());
            let place = place_of(&self.naive, who, &key, new, citation.span.start)
                .and_then(|rank| visible_passages(&self.naive, who, &key, old).nth(rank));
            if let Some(place) = place {
                let token = self.token_of.entry((key.clone(), first, place)).or_insert_with(|| citation.token.clone());
                if *token != citation.token {
                    self.tally.differences += 1;
                    self.note(format!("{who:?}: passage {place} of {key:?} version {first} has another token than before"));
                }
            }
            if self.tokens.len() < 500 {
                self.tokens.push((citation.token.clone(), key, first, hit.text.clone()));
            }
        }
    }

    fn compare_document(&mut self, who: &Who, key: &Key) {
        self.tally.comparisons += 1;
        let wanted = self.dice.chance(30).then(|| 1 + self.dice.below(4) as u32);
        let found = self.engine().document(&caller(who), &key.0, &key.1, wanted, Timestamp(self.naive.now));
        let document = self.naive.documents.get(key).filter(|document| !document.deleted);
        let expected = document.filter(|document| self.naive.may_read(who, key, document)).and_then(|document| {
            let runs = self.naive.runs(who, key, document);
            let number = wanted.map_or(runs.len(), |wanted| wanted as usize);
            let (first, last) = *runs.get(number - 1)?;
            let since = document.versions[first].came_in;
            Some((self.naive.text(who, key, &document.versions[last]), number, since, number == runs.len()))
        });
        match (expected, found) {
            (None, Err(Error::NotFound)) => {}
            (Some(expected), Ok(found))
                if expected
                    == (found.text.clone(), found.version as usize, found.ingested_at.0, found.freshness == Freshness::Current) => {
            }
            (None, Ok(found)) => {
                self.tally.leaks += 1;
                self.note(format!("{who:?} read {key:?}: {:?}", found.text));
            }
            (expected, found) => {
                self.tally.differences += 1;
                self.note(format!("{who:?} read {key:?}: {found:?}, not {expected:?}"));
            }
        }
    }

    /// The explanation's verdict is the definition's, and follows from the reasons that it gives.
    fn compare_explanation(&mut self, who: &Who, key: &Key) {
        self.tally.comparisons += 1;
        let document = self.naive.documents.get(key).filter(|document| !document.deleted);
        let expected = document.is_some_and(|document| self.naive.may_read(who, key, document));
        let found = self.engine().explain(&caller(who), &key.0, &key.1, Timestamp(self.naive.now)).unwrap();
        let reasoned = !found.grants.is_empty() && found.reasons.iter().all(|reason| reason.code == "grant_ended");
        if found.visible != expected || reasoned != expected {
            self.tally.differences += 1;
            self.note(format!("{who:?} and {key:?}: {found:#?}, not {expected}"));
        }
    }

    fn compare_citation(&mut self, who: &Who, at: usize) {
        self.tally.comparisons += 1;
        let (token, key, version, text) = self.tokens[at].clone();
        let document = &self.naive.documents[&key];
        let cited = &document.versions[version];
        let runs = self.naive.runs(who, &key, document);
        let run = runs.iter().position(|(first, last)| (*first..=*last).contains(&version)).unwrap();
        let open = self.naive.sections(who, &key, cited);
        let passage = cited.passages.iter().find(|passage| passage.text == text && passage.section.is_none_or(|at| open[at]));
        let hidden = cited.passages.iter().any(|passage| passage.text == text && passage.section.is_some_and(|at| !open[at]));
        if passage.is_some() && hidden {
            // The same words stand in an open and in a hidden section: which of them the token means is not modelled.
            return;
        }
        let expected = (self.naive.may_read(who, &key, document) && passage.is_some()).then(|| {
            if document.deleted {
                (None, Freshness::Deleted, run + 1)
            } else if run + 1 == runs.len() {
                (Some(text.clone()), Freshness::Current, run + 1)
            } else {
                (Some(text.clone()), Freshness::Superseded, run + 1)
            }
        });
        let found = self.engine().citation(&caller(who), &token, Timestamp(self.naive.now));
        match (expected, found) {
            (None, Err(Error::NotFound)) => {}
            (Some((text, freshness, number)), Ok(found))
                if (&text, freshness, number) == (&found.text, found.citation.freshness, found.citation.version as usize) =>
            {
                self.compare_newer(who, &key, &text.unwrap_or_default(), &found);
            }
            (None, Ok(found)) => {
                self.tally.leaks += 1;
                self.note(format!("{who:?} opened {key:?} version {version}: {found:?}"));
            }
            (expected, found) => {
                self.tally.differences += 1;
                self.note(format!("{who:?} opened {key:?} version {version}: {found:?}, not {expected:?}"));
            }
        }
    }

    /// What has become of a passage stands in the caller's newest text, with a citation that is current; a passage whose words
    /// still stand in the same part has become nothing else.
    fn compare_newer(&mut self, who: &Who, key: &Key, passage: &str, opened: &Opened) {
        let document = &self.naive.documents[key];
        let version = document.versions.last().unwrap();
        let text = self.naive.text(who, key, version);
        let Some(newer) = &opened.newer else {
            let open = self.naive.sections(who, key, version);
            let section = opened.citation.location.section.as_ref();
            let same_part = |other: &Passage| match (other.section, section) {
                (None, None) => true,
                (Some(at), Some(name)) => open[at] && version.sections[at].0 == *name,
                _ => false,
            };
            let stands = version.passages.iter().any(|other| other.text == passage && same_part(other));
            if opened.citation.freshness == Freshness::Superseded && stands {
                self.tally.differences += 1;
                self.note(format!("{who:?}: {passage:?} still stands in {key:?} and was not found"));
            }
            return;
        };
        let (span, now) = (newer.citation.span, Timestamp(self.naive.now));
        let again = self.engine().citation(&caller(who), &newer.citation.token, now).unwrap();
        let sliced = text.get(span.start..span.end) == Some(newer.text.as_str());
        let current = again.citation == newer.citation && again.citation.freshness == Freshness::Current;
        if opened.citation.freshness != Freshness::Superseded || !sliced || !current || again.text.as_ref() != Some(&newer.text) {
            self.tally.differences += 1;
            self.note(format!("{who:?}: {passage:?} of {key:?} has become {newer:?}, of {text:?}"));
        }
        self.tally.renewed += 1;
    }

    /// The catalog's rows are what was written, and the indexes what the catalog says.
    pub(super) fn check(&mut self) {
        let wrong = self.engine().check_deep().unwrap();
        self.tally.differences += wrong.len() as u64;
        wrong.into_iter().for_each(|line| self.note(line));
    }

    fn note(&mut self, difference: String) {
        let operations = self.tally.operations;
        self.tally.first.get_or_insert_with(|| format!("after operation {operations}: {difference}"));
    }
}

/// The question as the engine takes it.
fn query(question: &Question, exact: bool) -> Query {
    Query {
        text: question.parts.iter().map(Part::text).collect::<Vec<_>>().join(" "),
        vector: Some(question.vector.clone()),
        mode: match question.mode {
            Mode::Keyword => EngineMode::Keyword,
            Mode::Vector => EngineMode::Vector,
            Mode::Hybrid => EngineMode::Hybrid,
        },
        limit: question.limit,
        filter: Filter {
            sources: question.sources.clone(),
            labels: question.labels.clone(),
            modified_after: question.modified_after.map(|seconds| Timestamp(seconds * 1000)),
        },
        recency: question.arrangement.recency.map(recency),
        policies: Arc::new(question.arrangement.policies.iter().map(policy).collect()),
        sort: if question.arrangement.newest_first { Sort::ModifiedAt } else { Sort::Relevance },
        per_document: question.arrangement.per_document,
        collapse_duplicates: question.arrangement.collapse,
        diversity: question.arrangement.diversity,
        exact,
        ..Query::default()
    }
}

/// The places of the passages of a version that a caller may read.
fn visible_passages(naive: &Naive, who: &Who, key: &Key, version: &Version) -> impl Iterator<Item = usize> {
    let open = naive.sections(who, key, version);
    let visible = |passage: &Passage| passage.section.is_none_or(|section| open[section]);
    let places: Vec<usize> =
        version.passages.iter().enumerate().filter(|(_, passage)| visible(passage)).map(|(at, _)| at).collect();
    places.into_iter()
}

/// Which of the passages that the caller may read starts at this byte of their text.
fn place_of(naive: &Naive, who: &Who, key: &Key, version: &Version, start: usize) -> Option<usize> {
    let open = naive.sections(who, key, version);
    let hidden: Vec<(usize, usize)> =
        open.iter().enumerate().filter(|(_, open)| !**open).filter_map(|(at, _)| version.section_span(at)).collect();
    let (_, spans) = version.text();
    let start_of = |at: usize| {
        let before: usize = hidden.iter().filter(|(_, end)| *end <= spans[at].0).map(|(start, end)| end - start).sum();
        spans[at].0 - before
    };
    visible_passages(naive, who, key, version).position(|at| start_of(at) == start)
}

fn bits(scores: [Option<f32>; 4]) -> [Option<u32>; 4] {
    scores.map(|score| score.map(f32::to_bits))
}

fn recency((half_life_seconds, weight): (u64, f32)) -> Recency {
    Recency { half_life_seconds, weight }
}

fn policy((source, age): (&String, &(u64, f32))) -> (String, SourcePolicy) {
    (source.clone(), SourcePolicy { recency: Some(recency(*age)), ..SourcePolicy::default() })
}

fn caller(who: &Who) -> Caller {
    let caller = match &who.user {
        None => Caller::public(),
        Some(user) => Caller::user(principal(user)).unwrap().with_groups(who.groups.iter().map(|group| principal(group))),
    };
    caller.with_guard(Guard { sources: who.sources.clone(), labels: who.labels.clone() })
}
