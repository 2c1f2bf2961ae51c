//! Random histories: what is written, when, and what is compared after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Error, Filter, Freshness, Guard, Mode as EngineMode, Model, NewChunk, NewDocument, NewSection, NewVector,
    Options, Outcome, Principal, Query, Timestamp, Write, vector_key,
};

use super::dice::Dice;
use super::naive::{DIMENSIONS, Document, Key, Mode, Naive, Part, Passage, Question, Version, Who};

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) comparisons: u64,
    pub(crate) hits: u64,
    pub(crate) differences: u64,
    pub(crate) leaks: u64,
    /// The first difference, for a person.
    pub(crate) first: Option<String>,
}

const USERS: usize = 6;
const GROUPS: usize = 7;
const CONTAINERS: usize = 7;
const DOCUMENTS: usize = 40;
/// So few that rows are sealed, moved and merged all the time.
const SEAL_ROWS: u32 = 12;

const SOURCES: usize = 3;

struct History {
    dice: Dice,
    dir: std::path::PathBuf,
    /// Without one, writes go to the script.
    engine: Option<Engine>,
    script: Option<Write>,
    /// Begins the names of sources and groups.
    name: String,
    naive: Naive,
    /// Citations handed out: token, document, the first of the versions that are one to the caller, text.
    tokens: Vec<(String, Key, usize, String)>,
    /// The token of each passage, by document, version and the passage's place in it.
    token_of: BTreeMap<(Key, usize, usize), String>,
    tally: Tally,
}

/// Runs one history of `operations` steps in a temporary directory.
pub(crate) fn run(seed: u64, operations: u64) -> Tally {
    // Memory-backed where there is such a place: the history is about meaning, not about disks.
    let shared = Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap();
    let mut history = History::new(seed, "");
    history.dir = dir.path().to_owned();
    history.engine = Some(open(dir.path()));
    for _ in 0..operations {
        history.step();
        history.compare();
    }
    if operations > 0 {
        history.check();
    }
    history.tally
}

/// The writes of a history that has no engine, and what holds after each.
pub(crate) struct Script(History);

impl Script {
    /// Scripts of other names write to other sources and groups.
    pub(crate) fn new(seed: u64, name: &str) -> Script {
        Script(History::new(seed, name))
    }

    /// The next write, and when it is made.
    pub(crate) fn next(&mut self) -> (Write, Timestamp) {
        loop {
            self.0.step();
            if let Some(write) = self.0.script.take() {
                return (write, Timestamp(self.0.naive.now));
            }
        }
    }

    /// What holds after the writes so far.
    pub(crate) fn naive(&self) -> &Naive {
        &self.0.naive
    }
}

/// Compares what every caller gets from the engine with the definition, `rounds` times.
pub(crate) fn compare(engine: Engine, naive: Naive, seed: u64, rounds: u64) -> Tally {
    let mut history = History { engine: Some(engine), naive, ..History::new(seed, "") };
    (0..rounds).for_each(|_| history.compare());
    history.tally
}

pub(crate) fn open(dir: &Path) -> Engine {
    let model = Model { name: "grid".to_owned(), dimensions: DIMENSIONS };
    Engine::open(dir, &Options { model: Some(model), seal_rows: Some(SEAL_ROWS), ..Options::default() }).unwrap()
}

impl History {
    fn new(seed: u64, name: &str) -> History {
        History {
            dice: Dice(seed),
            dir: std::path::PathBuf::new(),
            engine: None,
            script: None,
            name: name.to_owned(),
            naive: Naive { now: 1_000, ..Naive::default() },
            tokens: Vec::new(),
            token_of: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// What became of it; `None` in a script.
    fn write(&mut self, write: Write) -> Option<Outcome> {
        if self.engine.is_none() {
            self.script = Some(write);
            return None;
        }
        let before = self.engine().epoch();
        let receipts = self.engine().write(vec![write], Timestamp(self.naive.now)).unwrap();
        assert!(receipts[0].epoch >= before);
        Some(receipts[0].outcome)
    }

    fn step(&mut self) {
        self.tally.operations += 1;
        match self.dice.below(100) {
            0..=22 => self.put(),
            23..=28 => self.edit(),
            29..=32 => self.delete(),
            33..=34 => self.set_alias(),
            35 => self.set_max_age(),
            36..=37 => self.verify(),
            38..=51 => self.set_acl(),
            52..=66 => self.set_container(),
            67..=70 => self.delete_container(),
            71..=79 => self.set_group(),
            80..=90 => self.change_group(),
            91..=92 => self.delete_group(),
            93..=96 => self.naive.now += 1_000 * (1 + self.dice.below(60) as i64),
            98 => self.reopen(),
            97 => self.checkpoint(),
            _ => self.rebuild(),
        }
    }

    fn put(&mut self) {
        let key = self.key();
        let document =
            NewVersion { version: self.version(), acl: self.acl(true), labels: self.labels(), modified: self.modified() };
        self.put_version(key, document);
    }

    /// Puts a known document again with one thing changed, or nothing.
    fn edit(&mut self) {
        let live: Vec<Key> = self.live();
        if live.is_empty() {
            return;
        }
        let key = self.dice.pick(&live).clone();
        let known = self.naive.documents[&key].clone();
        let mut document = NewVersion {
            version: known.versions.last().unwrap().clone(),
            acl: known.acl.clone(),
            labels: known.labels.clone(),
            modified: known.modified,
        };
        match self.dice.below(6) {
            4 | 5 => {
                // One section or the rest, and what is hidden from some may be all that changes.
                let parts: Vec<_> = document.version.passages.iter().map(|passage| passage.section).collect();
                let part = *self.dice.pick(&parts);
                let words = self.words(12).join(" ");
                let passage = document.version.passages.iter_mut().find(|passage| passage.section == part).unwrap();
                passage.text = words;
            }
            0 => document.acl = self.acl(true),
            1 => document.labels = self.labels(),
            2 => document.version = self.version(),
            _ => {
                for section in 0..document.version.sections.len() {
                    document.version.sections[section].1 = self.acl(false).unwrap_or_else(|| json!({}));
                }
            }
        }
        self.put_version(key, document);
    }

    fn put_version(&mut self, key: Key, new: NewVersion) {
        let (text, spans) = new.version.text();
        let sections = new.version.sections.iter().enumerate().filter_map(|(at, (name, acl))| {
            let (start, end) = new.version.section_span(at)?;
            Some(NewSection { name: name.clone(), start, end, acl: acl.clone() })
        });
        let chunks = new.version.passages.iter().zip(spans).map(|(passage, (start, end))| NewChunk {
            start,
            end,
            headings: passage.heading.iter().cloned().collect(),
            vector: passage
                .vector
                .as_ref()
                .map(|vector| NewVector { key: vector_key("grid", &format!("{vector:?}")), values: Some(vector.clone().into()) }),
            ..NewChunk::default()
        });
        let document = NewDocument {
            source: key.0.clone(),
            id: key.1.clone(),
            title: new.version.title.clone(),
            mime: "text/plain".to_owned(),
            text,
            modified_at: Some(Timestamp(new.modified)),
            labels: new.labels.clone(),
            acl: new.acl.clone(),
            sections: sections.collect(),
            chunks: chunks.collect(),
            ..NewDocument::default()
        };
        self.write(Write::Put(Box::new(document)));
        let now = self.naive.now;
        let known = self.naive.documents.entry(key).or_insert_with(|| Document {
            acl: None,
            read_at: 0,
            labels: BTreeMap::new(),
            modified: 0,
            versions: Vec::new(),
            deleted: true,
        });
        let same = !known.deleted && known.versions.last().is_some_and(|last| same_content(last, &new.version));
        let (born, came_in) = match known.versions.last() {
            // The content is the same version; its sections may have other ACLs.
            Some(last) if same => (last.born, last.came_in),
            _ => (known.deleted, now),
        };
        if same {
            known.versions.pop();
        }
        known.versions.push(Version { born, came_in, ..new.version });
        known.acl = new.acl;
        known.read_at = now;
        known.labels = new.labels;
        known.modified = new.modified;
        known.deleted = false;
    }

    fn delete(&mut self) {
        let key = self.key();
        let outcome = self.write(Write::Delete { source: key.0.clone(), id: key.1.clone() });
        match self.naive.documents.get_mut(&key).filter(|document| !document.deleted) {
            Some(document) => {
                document.deleted = true;
                assert!(outcome.is_none_or(|outcome| outcome == Outcome::Deleted));
            }
            None => assert!(outcome.is_none_or(|outcome| outcome == Outcome::Missing)),
        }
    }

    fn set_acl(&mut self) {
        let key = self.key();
        let acl = self.acl(true);
        let outcome = self.write(Write::SetAcl { source: key.0.clone(), id: key.1.clone(), acl: acl.clone() });
        let now = self.naive.now;
        match self.naive.documents.get_mut(&key).filter(|document| !document.deleted) {
            Some(document) => (document.acl, document.read_at) = (acl, now),
            None => assert!(outcome.is_none_or(|outcome| outcome == Outcome::Missing)),
        }
    }

    fn set_container(&mut self) {
        let key = (self.source(), self.container());
        let acl = self.acl(true);
        self.write(Write::SetContainer { source: key.0.clone(), id: key.1.clone(), acl: acl.clone() });
        self.naive.containers.insert(key, acl);
    }

    fn delete_container(&mut self) {
        let key = (self.source(), self.container());
        self.write(Write::DeleteContainer { source: key.0.clone(), id: key.1.clone() });
        self.naive.containers.remove(&key);
    }

    fn set_group(&mut self) {
        let group = self.group();
        let members: BTreeSet<String> = (0..self.dice.below(4)).map(|_| self.member()).collect();
        self.write(Write::SetGroup { group: principal(&group), members: members.iter().map(|member| principal(member)).collect() });
        self.naive.groups.insert(group, members);
    }

    fn change_group(&mut self) {
        let group = self.group();
        let add: Vec<String> = (0..self.dice.below(3)).map(|_| self.member()).collect();
        let known: Vec<String> = self.naive.groups.get(&group).into_iter().flatten().cloned().collect();
        let remove: Vec<String> = known.into_iter().filter(|member| self.dice.chance(40) && !add.contains(member)).collect();
        let parse = |names: &[String]| names.iter().map(|name| principal(name)).collect();
        self.write(Write::ChangeGroup { group: principal(&group), add: parse(&add), remove: parse(&remove) });
        let members = self.naive.groups.entry(group).or_default();
        members.extend(add);
        members.retain(|member| !remove.contains(member));
    }

    fn delete_group(&mut self) {
        let group = self.group();
        self.write(Write::DeleteGroup { group: principal(&group) });
        self.naive.groups.remove(&group);
    }

    fn set_alias(&mut self) {
        let (source, alias) = (self.source(), format!("user:u{}", self.dice.below(USERS)));
        let canonical = self.dice.chance(60).then(|| format!("user:u{}", self.dice.below(USERS)));
        self.write(Write::SetAlias {
            source: source.clone(),
            alias: principal(&alias),
            canonical: canonical.as_deref().map(principal),
        });
        match canonical {
            Some(canonical) => self.naive.aliases.insert((source, alias), canonical),
            None => self.naive.aliases.remove(&(source, alias)),
        };
    }

    fn set_max_age(&mut self) {
        let source = self.source();
        let seconds = self.dice.chance(60).then(|| 1 + self.dice.below(900) as u32);
        self.write(Write::SetAclMaxAge { source: source.clone(), seconds });
        match seconds {
            Some(seconds) => self.naive.max_ages.insert(source, i64::from(seconds)),
            None => self.naive.max_ages.remove(&source),
        };
    }

    /// The source says that some documents are as stored.
    fn verify(&mut self) {
        let source = self.source();
        let mut keys = self.live();
        keys.retain(|key| key.0 == source && self.dice.chance(60));
        self.write(Write::Verify { source, ids: keys.iter().map(|key| key.1.clone()).collect() });
        for key in keys {
            self.naive.documents.get_mut(&key).unwrap().read_at = self.naive.now;
        }
    }

    /// Writes the indexes, and waits for what is done in the background.
    fn checkpoint(&mut self) {
        if let Some(engine) = &self.engine {
            engine.checkpoint().unwrap();
            engine.settle();
        }
    }

    fn reopen(&mut self) {
        if self.engine.is_none() {
            return;
        }
        self.engine = None;
        self.engine = Some(open(&self.dir));
    }

    /// Loses the derived indexes.
    fn rebuild(&mut self) {
        if self.engine.is_none() {
            return;
        }
        self.engine = None;
        for folder in ["keyword", "vectors"] {
            if self.dice.chance(60) {
                std::fs::remove_dir_all(self.dir.join(folder)).unwrap();
            }
        }
        self.engine = Some(open(&self.dir));
    }

    // What things are made of.

    fn source(&mut self) -> String {
        let number = self.dice.below(SOURCES);
        format!("{}{}", self.name, ["wiki", "mail", "crm"][number])
    }

    fn key(&mut self) -> Key {
        (self.source(), format!("doc/{}", self.dice.below(DOCUMENTS / SOURCES)))
    }

    fn container(&mut self) -> String {
        format!("folder{}", self.dice.below(CONTAINERS))
    }

    fn group(&mut self) -> String {
        format!("group:{}g{}", self.name, self.dice.below(GROUPS))
    }

    fn member(&mut self) -> String {
        if self.dice.chance(50) { format!("user:u{}", self.dice.below(USERS)) } else { self.group() }
    }

    fn principal(&mut self) -> String {
        match self.dice.below(10) {
            0..=3 => format!("user:u{}", self.dice.below(USERS)),
            4..=7 => self.group(),
            8 => "everyone".to_owned(),
            _ => "public".to_owned(),
        }
    }

    fn principals(&mut self, most: usize) -> Vec<String> {
        (0..self.dice.below(most + 1)).map(|_| self.principal()).collect()
    }

    /// Mostly well-formed ACLs, some that must withhold. Sections name no parent.
    fn acl(&mut self, nested: bool) -> Option<Value> {
        let mut acl = json!({ "allow": self.principals(3) });
        if self.dice.chance(25) {
            acl["deny"] = json!(self.principals(1));
        }
        if nested && self.dice.chance(60) {
            acl["parent"] = json!(self.container());
        }
        if self.dice.chance(20) {
            acl["inherit"] = json!(self.dice.chance(40));
        }
        if self.dice.chance(20) {
            let until = self.naive.now / 1000 + self.dice.below(240) as i64 - 20;
            let until = format!("1970-01-01T00:{:02}:{:02}Z", (until.max(0) / 60) % 60, until.max(0) % 60);
            acl["grants"] = json!([{ "principal": self.principal(), "until": until }]);
        }
        match self.dice.below(40) {
            0 => return None,
            1 => acl["alow"] = json!(["everyone"]),
            2 => acl["allow"] = json!("everyone"),
            3 => acl["deny"] = json!(["somebody"]),
            4 => acl["grants"] = json!([{ "principal": "everyone", "until": "later" }]),
            5 => acl["inherit"] = json!("no"),
            _ => {}
        }
        Some(acl)
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        if self.dice.chance(60) {
            labels.insert("dept".to_owned(), (*self.dice.pick(&["hr", "eng"])).to_owned());
        }
        labels
    }

    fn modified(&mut self) -> i64 {
        self.dice.below(100) as i64 * 1_000
    }

    fn words(&mut self, most: usize) -> Vec<String> {
        (0..1 + self.dice.below(most))
            .map(|_| {
                // Few common words, many rare ones.
                let spread = [4, 20, 200][self.dice.below(3)];
                format!("k{}", self.dice.below(spread))
            })
            .collect()
    }

    /// A query: mostly plain words.
    fn parts(&mut self) -> Vec<Part> {
        let plain = |word: String| Part { sign: None, words: vec![word], quoted: false, prefix: false };
        let mut parts: Vec<Part> = self.words(4).into_iter().map(plain).collect();
        while self.dice.chance(20) {
            let sign = *self.dice.pick(&[None, Some('+'), Some('-')]);
            let part = match self.dice.below(3) {
                0 => Part { sign, words: self.words(2), quoted: true, prefix: false },
                1 => Part { sign, words: vec![format!("k{}", 10 + self.dice.below(15))], quoted: false, prefix: true },
                _ => Part { sign, words: vec![self.words(1).remove(0)], quoted: false, prefix: false },
            };
            let at = self.dice.below(parts.len() + 1);
            parts.insert(at, part);
        }
        parts
    }

    /// Of length 1, with components whose products are exact, so that ties are real and sums have no rounding.
    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSIONS).map(|_| if self.dice.chance(50) { 0.25 } else { -0.25 }).collect()
    }

    fn version(&mut self) -> Version {
        let title = self.dice.chance(70).then(|| format!("t{}", self.dice.below(30)));
        let sections: Vec<(String, Value)> = (0..self.dice.below(3))
            .map(|at| (format!("section {at}"), self.acl(false).unwrap_or_else(|| json!({ "allow": ["everyone"] }))))
            .collect();
        let mut passages = Vec::new();
        let mut add = |history: &mut History, section| {
            passages.push(Passage {
                text: history.words(12).join(" "),
                heading: history.dice.chance(30).then(|| format!("h{}", history.dice.below(9))),
                section,
                vector: history.dice.chance(90).then(|| history.vector()),
            });
        };
        for _ in 0..=self.dice.below(3) {
            add(self, None);
        }
        for section in 0..sections.len() {
            for _ in 0..=self.dice.below(2) {
                add(self, Some(section));
            }
            if self.dice.chance(50) {
                add(self, None);
            }
        }
        Version { title, passages, sections, born: false, came_in: 0 }
    }

    fn live(&self) -> Vec<Key> {
        self.naive.documents.iter().filter(|(_, document)| !document.deleted).map(|(key, _)| key.clone()).collect()
    }

    fn callers(&mut self) -> Vec<Who> {
        let mut all = vec![Who::default()];
        all.extend((0..USERS).map(|user| Who { user: Some(format!("user:u{user}")), ..Who::default() }));
        let guarded = self.dice.below(USERS);
        all.push(Who {
            user: Some(format!("user:u{guarded}")),
            groups: vec![self.group()],
            sources: self.dice.chance(50).then(|| vec![self.source()]),
            labels: if self.dice.chance(50) { self.labels() } else { BTreeMap::new() },
        });
        all
    }

    // What is compared.

    fn compare(&mut self) {
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
            };
            self.compare_search(&who, &question);
            let key = self.key();
            self.compare_document(&who, &key);
            self.compare_explanation(&who, &key);
            if !self.tokens.is_empty() {
                let at = self.dice.below(self.tokens.len());
                self.compare_citation(&who, at);
            }
        }
    }

    fn compare_search(&mut self, who: &Who, question: &Question) {
        self.tally.comparisons += 1;
        let query = Query {
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
            ..Query::default()
        };
        let expected = self.naive.search(who, question);
        let found = self.engine().search(&caller(who), &query, Timestamp(self.naive.now)).unwrap();
        self.tally.hits += found.hits.len() as u64;
        for hit in &found.hits {
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
        let describe = |key: &Key, ordinal: usize, scores: (f32, Option<f32>, Option<f32>)| {
            let document = &self.naive.documents[key];
            let version = document.versions.last().unwrap();
            let text = self.naive.text(who, key, version);
            let passage = version.passages[ordinal].text.clone();
            let runs = self.naive.runs(who, key, document);
            let since = document.versions[runs.last().unwrap().0].came_in;
            (key.clone(), (runs.len(), since), passage, blake3::hash(text.as_bytes()).to_string(), bits(scores))
        };
        let expected: Vec<_> =
            expected.iter().map(|hit| describe(&hit.key, hit.ordinal, (hit.score, hit.keyword, hit.vector))).collect();
        let got: Vec<_> = found
            .hits
            .iter()
            .map(|hit| {
                let citation = &hit.citation;
                let key = (citation.source.clone(), citation.document.clone());
                let scores = bits((hit.score, hit.scores.keyword, hit.scores.vector));
                let version = (citation.version as usize, citation.ingested_at.0);
                (key, version, hit.text.clone(), citation.document_hash.clone(), scores)
            })
            .collect();
        if expected != got {
            self.tally.differences += 1;
            self.note(format!("{who:?} asked {:?} {:?}\nexpected {expected:#?}\ngot {got:#?}", question.mode, question.parts));
        }
        for hit in &found.hits {
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
            (Some((text, freshness, number)), Ok((found, citation)))
                if text == found && freshness == citation.freshness && number == citation.version as usize => {}
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

    /// The catalog's rows are what was written, and the indexes what the catalog says.
    fn check(&mut self) {
        let wrong = self.engine().check_deep().unwrap();
        self.tally.differences += wrong.len() as u64;
        wrong.into_iter().for_each(|line| self.note(line));
    }

    fn note(&mut self, difference: String) {
        let operations = self.tally.operations;
        self.tally.first.get_or_insert_with(|| format!("after operation {operations}: {difference}"));
    }
}

struct NewVersion {
    version: Version,
    acl: Option<Value>,
    labels: BTreeMap<String, String>,
    modified: i64,
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

/// What makes a version: everything but ACLs and how it is cut.
fn same_content(a: &Version, b: &Version) -> bool {
    let spans = |version: &Version| (0..version.sections.len()).map(|at| version.section_span(at)).collect::<Vec<_>>();
    let names = |version: &Version| version.sections.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    a.title == b.title && a.text() == b.text() && spans(a) == spans(b) && names(a) == names(b)
}

fn bits(scores: (f32, Option<f32>, Option<f32>)) -> (u32, Option<u32>, Option<u32>) {
    (scores.0.to_bits(), scores.1.map(f32::to_bits), scores.2.map(f32::to_bits))
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}

fn caller(who: &Who) -> Caller {
    let caller = match &who.user {
        None => Caller::public(),
        Some(user) => Caller::user(principal(user)).unwrap().with_groups(who.groups.iter().map(|group| principal(group))),
    };
    caller.with_guard(Guard { sources: who.sources.clone(), labels: who.labels.clone() })
}
