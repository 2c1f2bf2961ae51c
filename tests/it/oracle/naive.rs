//! The naive engine: a list of documents, ACLs evaluated as CONTRACT.md defines them, BM25, cosine and fusion computed by
//! their formulas over the caller's passages. No index, no cache, nothing shared with the engine but the vocabulary.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::arranged::Arrangement;

pub(crate) const DIMENSIONS: usize = 16;
const CANDIDATES: usize = 200;
const MAX_CANDIDATES: usize = 3_200;
/// How often the words of titles, headings and texts count.
const FIELD_WEIGHTS: [usize; 3] = [1, 1, 1];

#[derive(Clone, Debug)]
pub(crate) struct Passage {
    pub(crate) text: String,
    pub(crate) heading: Option<String>,
    pub(crate) section: Option<usize>,
    pub(crate) vector: Option<Vec<f32>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) title: Option<String>,
    pub(crate) passages: Vec<Passage>,
    /// Name and ACL.
    pub(crate) sections: Vec<(String, Value)>,
    /// Whether there was no document before it.
    pub(crate) born: bool,
    /// When it came in, in milliseconds.
    pub(crate) came_in: i64,
}

pub(crate) const GAP: &str = "\n\n";

impl Version {
    /// The text, and the span of each passage in it.
    pub(crate) fn text(&self) -> (String, Vec<(usize, usize)>) {
        let mut text = String::new();
        let mut spans = Vec::new();
        for passage in &self.passages {
            if !text.is_empty() {
                text.push_str(GAP);
            }
            spans.push((text.len(), text.len() + passage.text.len()));
            text.push_str(&passage.text);
        }
        (text, spans)
    }

    /// The span of a section: its passages are neighbours.
    pub(crate) fn section_span(&self, section: usize) -> Option<(usize, usize)> {
        let (_, spans) = self.text();
        let of = self.passages.iter().zip(spans).filter(|(passage, _)| passage.section == Some(section)).map(|(_, span)| span);
        of.fold(None, |all: Option<(usize, usize)>, span| Some(all.map_or(span, |all| (all.0.min(span.0), all.1.max(span.1)))))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) acl: Option<Value>,
    /// When the ACL was read, in milliseconds.
    pub(crate) read_at: i64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) modified: i64,
    /// Version 1 is the first.
    pub(crate) versions: Vec<Version>,
    pub(crate) deleted: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) sources: Option<Vec<String>>,
    pub(crate) labels: BTreeMap<String, String>,
}

pub(crate) type Key = (String, String);

#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) documents: BTreeMap<Key, Document>,
    pub(crate) containers: BTreeMap<Key, Option<Value>>,
    pub(crate) groups: BTreeMap<String, BTreeSet<String>>,
    /// By source and the source's own user: whom they stand for.
    pub(crate) aliases: BTreeMap<Key, String>,
    /// By source, in seconds.
    pub(crate) max_ages: BTreeMap<String, i64>,
    /// Milliseconds.
    pub(crate) now: i64,
}

/// Who a caller is.
struct Mine {
    user: Option<String>,
    principals: BTreeSet<String>,
}

/// A passage that a caller may read.
pub(crate) struct Seen<'a> {
    pub(crate) key: &'a Key,
    pub(crate) document: &'a Document,
    pub(crate) ordinal: usize,
    pub(crate) passage: &'a Passage,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) key: Key,
    pub(crate) ordinal: usize,
    pub(crate) score: f32,
    pub(crate) keyword: Option<f32>,
    pub(crate) vector: Option<f32>,
    pub(crate) reranker: Option<f32>,
    order: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Keyword,
    Vector,
    Hybrid,
}

/// A part of a query: a word, or words in quotes.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) sign: Option<char>,
    pub(crate) words: Vec<String>,
    pub(crate) quoted: bool,
    /// A single word with an asterisk after it.
    pub(crate) prefix: bool,
}

impl Part {
    /// As a person writes it.
    pub(crate) fn text(&self) -> String {
        let sign = self.sign.map(String::from).unwrap_or_default();
        let words = self.words.join(" ");
        let words = if self.quoted { format!("\"{words}\"") } else { words };
        format!("{sign}{words}{}", if self.prefix { "*" } else { "" })
    }

    /// Its words as they rank: what is excluded does not.
    fn ranking(&self) -> Vec<Word> {
        let words = self.words.iter().filter(|_| self.sign != Some('-'));
        words.map(|word| Word { text: word.clone(), prefix: self.prefix }).collect()
    }

    /// Whether fields have it, side by side.
    fn stands_in(&self, fields: &[Vec<String>]) -> bool {
        fields.iter().any(|field| {
            field.windows(self.words.len()).any(|window| {
                window.iter().zip(&self.words).all(|(a, b)| if self.prefix { a.starts_with(b.as_str()) } else { a == b })
            })
        })
    }

    /// `strict` is whether quotes without a sign require.
    fn admits(&self, fields: &[Vec<String>], strict: bool) -> bool {
        match self.sign {
            Some('-') => !self.stands_in(fields),
            Some(_) => self.stands_in(fields),
            None => !strict || !self.quoted || self.stands_in(fields),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Word {
    text: String,
    prefix: bool,
}

impl Word {
    fn means(&self, other: &str) -> bool {
        if self.prefix { other.starts_with(&self.text) } else { other == self.text }
    }
}

#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) parts: Vec<Part>,
    pub(crate) vector: Vec<f32>,
    pub(crate) mode: Mode,
    pub(crate) limit: usize,
    pub(crate) sources: Option<Vec<String>>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Seconds.
    pub(crate) modified_after: Option<i64>,
    pub(crate) arrangement: Arrangement,
    pub(crate) rerank: bool,
}

impl Naive {
    /// Whether a name in an ACL of a source means the caller.
    fn means(&self, source: &str, name: &str, mine: &Mine) -> bool {
        match self.aliases.get(&(source.to_owned(), name.to_owned())) {
            Some(canonical) => mine.user.as_ref() == Some(canonical),
            None => mine.principals.contains(name),
        }
    }

    /// Whether the document's ACL is older than its source allows; ages count in sixteenths of the limit.
    fn stale(&self, key: &Key, document: &Document) -> bool {
        self.max_ages.get(&key.0).is_some_and(|max_age| {
            let step = (max_age / 16).max(1);
            let read_at = (document.read_at / 1000 / step * step).max(1);
            (read_at + max_age) * 1000 <= self.now
        })
    }

    fn mine(&self, who: &Who) -> Mine {
        Mine { user: who.user.clone(), principals: self.principals(who) }
    }

    /// Every principal of a caller, by repeating the definition until nothing is added.
    fn principals(&self, who: &Who) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = ["public".to_owned()].into();
        if let Some(user) = &who.user {
            all.insert("everyone".to_owned());
            all.insert(user.clone());
            all.extend(who.groups.iter().cloned());
        }
        loop {
            let more: Vec<String> = self
                .groups
                .iter()
                .filter(|(group, members)| !all.contains(*group) && members.iter().any(|member| all.contains(member)))
                .map(|(group, _)| group.clone())
                .collect();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// (allowed, denied) by an ACL and what it inherits; `None` withholds.
    fn evaluate(&self, source: &str, acl: Option<&Value>, mine: &Mine, above: &mut Vec<String>) -> Option<(bool, bool)> {
        let acl = acl?.as_object()?;
        let mut allowed = false;
        let mut denied = false;
        for (field, value) in acl {
            match field.as_str() {
                "allow" => allowed |= names(value)?.iter().any(|name| self.means(source, name, mine)),
                "deny" => denied |= names(value)?.iter().any(|name| self.means(source, name, mine)),
                "inherit" => {
                    value.as_bool()?;
                }
                "parent" => {
                    value.as_str()?;
                }
                "grants" => {
                    for grant in value.as_array()? {
                        let fields = grant.as_object()?;
                        if fields.len() != 2 {
                            return None;
                        }
                        let principal = principal(fields.get("principal")?)?;
                        let until = time_of(fields.get("until")?.as_str()?)?;
                        allowed |= self.means(source, &principal, mine) && self.now < until;
                    }
                }
                _ => return None,
            }
        }
        if let Some(parent) = acl.get("parent").and_then(Value::as_str) {
            let inherited = self.containers.get(&(source.to_owned(), parent.to_owned()))?;
            if acl.get("inherit").is_none_or(|inherit| inherit == true) {
                if above.iter().any(|id| id == parent) {
                    return None;
                }
                above.push(parent.to_owned());
                let (more_allowed, more_denied) = self.evaluate(source, inherited.as_ref(), mine, above)?;
                allowed |= more_allowed;
                denied |= more_denied;
            }
        }
        Some((allowed, denied))
    }

    fn admits(&self, source: &str, acl: Option<&Value>, mine: &Mine) -> bool {
        matches!(self.evaluate(source, acl, mine, &mut Vec::new()), Some((true, false)))
    }

    /// Whether a caller may read the document, apart from its sections.
    pub(crate) fn may_read(&self, who: &Who, key: &Key, document: &Document) -> bool {
        who.sources.as_ref().is_none_or(|sources| sources.contains(&key.0))
            && who.labels.iter().all(|(label, value)| document.labels.get(label) == Some(value))
            && !self.stale(key, document)
            && self.admits(&key.0, document.acl.as_ref(), &self.mine(who))
    }

    /// Which sections of a version a caller may read who may read the document.
    pub(crate) fn sections(&self, who: &Who, key: &Key, version: &Version) -> Vec<bool> {
        let mine = self.mine(who);
        version.sections.iter().map(|(_, acl)| self.admits(&key.0, Some(acl), &mine)).collect()
    }

    /// The text of a version as a caller may read it.
    pub(crate) fn text(&self, who: &Who, key: &Key, version: &Version) -> String {
        let (text, _) = version.text();
        let open = self.sections(who, key, version);
        let mut visible = String::new();
        let mut from = 0;
        for (section, open) in open.iter().enumerate() {
            let Some((start, end)) = version.section_span(section) else { continue };
            if !open {
                visible.push_str(&text[from..start]);
                from = end;
            }
        }
        visible + &text[from..]
    }

    /// What of a version a caller can tell apart: its title, its text, and the names and places of its sections.
    fn content(&self, who: &Who, key: &Key, version: &Version) -> (Option<String>, String, Vec<(String, usize, usize)>) {
        let open = self.sections(who, key, version);
        let spans: Vec<_> = (0..version.sections.len()).map(|at| version.section_span(at).unwrap()).collect();
        let hidden_before = |start: usize| -> usize {
            spans.iter().zip(&open).filter(|((_, end), open)| !**open && *end <= start).map(|((start, end), _)| end - start).sum()
        };
        let sections = version.sections.iter().zip(&spans).zip(&open).filter(|(_, open)| **open).map(|(((name, _), span), _)| {
            let before = hidden_before(span.0);
            (name.clone(), span.0 - before, span.1 - before)
        });
        (version.title.clone(), self.text(who, key, version), sections.collect())
    }

    /// A caller's versions: the first and last of those that are one to them, counted from 0.
    pub(crate) fn runs(&self, who: &Who, key: &Key, document: &Document) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (at, version) in document.versions.iter().enumerate() {
            let alike = at > 0 && self.content(who, key, version) == self.content(who, key, &document.versions[at - 1]);
            match runs.last_mut() {
                Some(run) if alike && !version.born => run.1 = at,
                _ => runs.push((at, at)),
            }
        }
        runs
    }

    fn seen(&self, who: &Who) -> Vec<Seen<'_>> {
        let mut all = Vec::new();
        for (key, document) in &self.documents {
            if document.deleted || !self.may_read(who, key, document) {
                continue;
            }
            let Some(version) = document.versions.last() else { continue };
            let open = self.sections(who, key, version);
            for (ordinal, passage) in version.passages.iter().enumerate() {
                if passage.section.is_none_or(|section| open[section]) {
                    all.push(Seen { key, document, ordinal, passage });
                }
            }
        }
        all
    }

    /// The answer by the formulas, each hit with its duplicates. Where nothing has what is quoted, the words alone count.
    pub(crate) fn search(&self, who: &Who, question: &Question) -> Vec<(Hit, Vec<Key>)> {
        let arranged = !question.arrangement.is_default();
        let needed = if arranged { CANDIDATES.max(question.limit) } else { question.limit };
        let mut depth = needed.max(question.reranked().unwrap_or(0));
        loop {
            let strict = self.candidates(who, question, true, depth);
            let candidates = if strict.is_empty() { self.candidates(who, question, false, depth) } else { strict };
            let found = candidates.len();
            let (first, others) = self.rerank(question, candidates);
            let shown = self.arrange(&question.arrangement, first, others, question.limit);
            if !arranged || shown.len() >= question.limit || found < depth || depth >= MAX_CANDIDATES {
                return shown;
            }
            depth = MAX_CANDIDATES.min(depth * 4);
        }
    }

    /// Whether a caller may read a passage with this text.
    pub(crate) fn reads(&self, who: &Who, text: &str) -> bool {
        self.seen(who).iter().any(|seen| seen.passage.text == text)
    }

    pub(super) fn passage(&self, hit: &Hit) -> &Passage {
        &self.documents[&hit.key].versions.last().unwrap().passages[hit.ordinal]
    }

    /// The best `depth` of all that may be read.
    fn candidates(&self, who: &Who, question: &Question, strict: bool, depth: usize) -> Vec<Hit> {
        let seen = self.seen(who);
        let fields: Vec<Vec<Vec<String>>> = seen.iter().map(|seen| indexed_fields(seen)).collect();
        let words: Vec<Vec<String>> = fields.iter().map(|fields| counted_words(fields)).collect();
        let asked: Vec<Word> = question.parts.iter().flat_map(Part::ranking).collect();
        let wanted = |seen: &Seen<'_>| {
            question.sources.as_ref().is_none_or(|sources| sources.contains(&seen.key.0))
                && question.labels.iter().all(|(label, value)| seen.document.labels.get(label) == Some(value))
                && question.modified_after.is_none_or(|after| seen.document.modified.div_euclid(1000) > after)
        };
        let scored: Vec<Hit> = seen
            .iter()
            .enumerate()
            .filter(|(at, seen)| wanted(seen) && question.parts.iter().all(|part| part.admits(&fields[*at], strict)))
            .map(|(at, seen)| Hit {
                key: seen.key.clone(),
                ordinal: seen.ordinal,
                score: 0.0,
                keyword: bm25(&words, at, &asked),
                vector: seen.passage.vector.as_ref().map(|vector| dot(vector, &question.vector)),
                reranker: None,
                order: order(seen.key, seen.ordinal),
            })
            .collect();
        match question.mode {
            Mode::Keyword => {
                let found = scored.into_iter().filter_map(|hit| Some(Hit { score: hit.keyword?, vector: None, ..hit }));
                best(found, depth)
            }
            Mode::Vector => {
                let found = scored.into_iter().filter_map(|hit| Some(Hit { score: hit.vector?, keyword: None, ..hit }));
                best(found, depth)
            }
            Mode::Hybrid => {
                let most_words = highest(scored.iter().filter_map(|hit| hit.keyword));
                let most_meaning = highest(scored.iter().filter_map(|hit| hit.vector));
                let found = scored.into_iter().filter(|hit| hit.keyword.is_some() || hit.vector.is_some());
                let fused = found.map(|hit| {
                    let words = share(hit.keyword.unwrap_or(0.0), most_words);
                    let meaning = share(hit.vector.unwrap_or(0.0).max(0.0), most_meaning);
                    Hit { score: (1.0 - 0.5) * words + 0.5 * meaning, ..hit }
                });
                best(fused, depth)
            }
        }
    }
}

fn names(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(principal).collect()
}

fn principal(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let id = text.strip_prefix("user:").or_else(|| text.strip_prefix("group:"));
    let fine = text == "everyone" || text == "public" || id.is_some_and(|id| !id.is_empty() && id.len() <= 256);
    fine.then(|| text.to_owned())
}

/// Times of the histories are `1970-01-01T00:MM:SSZ`.
fn time_of(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("1970-01-01T00:")?.strip_suffix('Z')?;
    let (minutes, seconds) = rest.split_once(':')?;
    Some((minutes.parse::<i64>().ok()? * 60 + seconds.parse::<i64>().ok()?) * 1000)
}

/// Title, heading and text: the histories use words that analysis leaves as they are, and titles and headings that do not
/// occur in texts.
fn indexed_fields(seen: &Seen<'_>) -> Vec<Vec<String>> {
    let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let title = seen.document.versions.last().and_then(|version| version.title.clone()).unwrap_or_default();
    vec![split(&title), split(&seen.passage.heading.clone().unwrap_or_default()), split(&seen.passage.text)]
}

/// The words of fields, each as often as it counts.
fn counted_words(fields: &[Vec<String>]) -> Vec<String> {
    fields.iter().zip(FIELD_WEIGHTS).flat_map(|(field, weight)| std::iter::repeat_n(field, weight)).flatten().cloned().collect()
}

/// Robertson & Zaragoza 2009, k1 = 0.9, b = 0.4, idf = ln(1 + (N − df + ½) / (df + ½)); `None` without any of the words.
fn bm25(corpus: &[Vec<String>], at: usize, query: &[Word]) -> Option<f32> {
    let (k1, b) = (0.9f32, 0.4f32);
    let n = corpus.len() as f64;
    let average = (corpus.iter().map(Vec::len).sum::<usize>() as f64 / n).max(1.0) as f32;
    let norm = k1 * (1.0 - b + b * corpus[at].len() as f32 / average);
    let mut score = None;
    let mut done: Vec<&Word> = Vec::new();
    for word in query {
        if done.contains(&word) {
            continue;
        }
        done.push(word);
        let repeats = query.iter().filter(|other| *other == word).count() as f32;
        let frequency = corpus[at].iter().filter(|other| word.means(other)).count() as f32;
        if frequency > 0.0 {
            let df = corpus.iter().filter(|words| words.iter().any(|other| word.means(other))).count() as f64;
            let idf = (1.0 + (n - df + 0.5) / (df + 0.5)).ln() as f32;
            score = Some(score.unwrap_or(0.0) + idf * repeats * frequency * (k1 + 1.0) / (frequency + norm));
        }
    }
    score
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Equal scores are ordered by a hash of source and document, then by the passage's place.
fn order(key: &Key, ordinal: usize) -> u64 {
    let mut bytes = (key.0.len() as u64).to_le_bytes().to_vec();
    bytes.extend(key.0.as_bytes());
    bytes.extend(key.1.as_bytes());
    let hash = u64::from_le_bytes(blake3::hash(&bytes).as_bytes()[..8].try_into().unwrap());
    hash << 20 | ordinal as u64
}

/// Of equal scores, the nearer come first.
pub(super) fn best(hits: impl Iterator<Item = Hit>, limit: usize) -> Vec<Hit> {
    let mut hits: Vec<Hit> = hits.collect();
    let cosine = |hit: &Hit| hit.vector.unwrap_or(f32::NEG_INFINITY);
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(cosine(b).total_cmp(&cosine(a))).then(a.order.cmp(&b.order)));
    hits.truncate(limit);
    hits
}

fn highest(scores: impl Iterator<Item = f32>) -> f32 {
    scores.fold(0.0, f32::max)
}

fn share(score: f32, highest: f32) -> f32 {
    if highest > 0.0 { score / highest } else { 0.0 }
}
