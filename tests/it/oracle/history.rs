//! Random histories: what is written, and when. What is compared after each step is in `compare`.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Error, Filter, Freshness, Guard, Mode as EngineMode, Model, NewChunk, NewDocument, NewSection, NewVector,
    Opened, Options, Outcome, Principal, Query, Timestamp, Write, vector_key,
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
    /// Hits that are the best by the definition, of searches that may miss some, and how many of them were missed.
    pub(crate) best: u64,
    pub(crate) missed: u64,
    /// Passages that were superseded, and found in the newest version.
    pub(crate) renewed: u64,
    /// The first difference, for a person.
    pub(crate) first: Option<String>,
}

const USERS: usize = 6;
const GROUPS: usize = 7;
const CONTAINERS: usize = 7;
/// So few that rows are sealed, moved and merged all the time.
const SEAL_ROWS: u32 = 12;

/// What a history is about.
#[derive(Clone, Copy)]
struct World {
    documents: usize,
    /// Puts before the first step.
    filled: usize,
    /// Documents that everyone may read, in percent; others have ACLs of all kinds.
    open: usize,
    seal_rows: u32,
    /// Steps after which what is done in the background is waited for, in percent.
    settled: usize,
}

/// Few documents, and of each caller few.
const NARROW: World = World { documents: 40, filled: 0, open: 0, seal_rows: SEAL_ROWS, settled: 1 };
/// So many that callers may read, of segments so small, that clusters are probed and a graph is walked.
const WIDE: World = World { documents: 150, filled: 300, open: 70, seal_rows: 4, settled: 4 };

const SOURCES: usize = 3;

struct History {
    world: World,
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

/// Runs one history of `operations` steps in a temporary directory; every other seed's is wide.
pub(crate) fn run(seed: u64, operations: u64) -> Tally {
    // Memory-backed where there is such a place: the history is about meaning, not about disks.
    let shared = Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap();
    let mut history = History::new(seed, "");
    history.world = if seed.is_multiple_of(2) { WIDE } else { NARROW };
    history.dir = dir.path().to_owned();
    history.engine = Some(open_sized(dir.path(), history.world.seal_rows));
    if operations > 0 {
        (0..history.world.filled).for_each(|_| history.put());
    }
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
    open_sized(dir, SEAL_ROWS)
}

fn open_sized(dir: &Path, seal_rows: u32) -> Engine {
    let model = Model { name: "grid".to_owned(), dimensions: DIMENSIONS };
    Engine::open(dir, &Options { model: Some(model), seal_rows: Some(seal_rows), ..Options::default() }).unwrap()
}

impl History {
    fn new(seed: u64, name: &str) -> History {
        History {
            world: NARROW,
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
        if self.dice.chance(self.world.settled) {
            self.checkpoint();
        }
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
            97 | 98 => self.reopen(),
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
        // Often one of two, so that documents come back to where they were.
        let usual = [json!({"allow": ["everyone"]}), json!({"allow": ["user:u1"]})];
        let acl = if self.dice.chance(50) { Some(self.dice.pick(&usual).clone()) } else { self.acl(true) };
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
        self.engine = Some(open_sized(&self.dir, self.world.seal_rows));
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
        self.engine = Some(open_sized(&self.dir, self.world.seal_rows));
    }

    // What things are made of.

    fn source(&mut self) -> String {
        let number = self.dice.below(SOURCES);
        format!("{}{}", self.name, ["wiki", "mail", "crm"][number])
    }

    fn key(&mut self) -> Key {
        (self.source(), format!("doc/{}", self.dice.below(self.world.documents / SOURCES)))
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
        if self.dice.chance(self.world.open) {
            return Some(json!({ "allow": ["everyone"] }));
        }
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
}

struct NewVersion {
    version: Version,
    acl: Option<Value>,
    labels: BTreeMap<String, String>,
    modified: i64,
}

/// What makes a version: everything but ACLs and how it is cut.
fn same_content(a: &Version, b: &Version) -> bool {
    let spans = |version: &Version| (0..version.sections.len()).map(|at| version.section_span(at)).collect::<Vec<_>>();
    let names = |version: &Version| version.sections.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    a.title == b.title && a.text() == b.text() && spans(a) == spans(b) && names(a) == names(b)
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}
