//! Permission cases as data: `tests/permissions/*.yaml` says who sees what, and this runs it.
//!
//! A case is complete: for every caller each document and section is either in `sees` or in `must_not_see`. What is seen
//! is asked for in every way that an engine can be asked: by a word that everything has, by a word that only this has, by
//! its id, and by a citation of it that somebody else was given. `tests/permissions/README.md` explains the format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sightline_index::{
    Caller, Engine, Error, Guard, Mode, NewChunk, NewDocument, NewSection, Opened, Options, Principal, Query, Timestamp, Write,
};
use tempfile::TempDir;

/// Every passage has this word.
const COMMON: &str = "harbour";
const DEFAULT_TIME: &str = "2026-01-01T00:00:00Z";
const DEFAULT_SOURCE: &str = "wiki";

#[derive(Deserialize)]
struct Case {
    case: String,
    /// For the reader.
    #[serde(default, rename = "because")]
    _because: String,
    #[serde(flatten)]
    first: Step,
    #[serde(default)]
    then: Vec<Step>,
}

/// What is written, in this order, and what is seen afterwards.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Step {
    /// The time from here on.
    at: Option<String>,
    groups: BTreeMap<String, Vec<String>>,
    join: BTreeMap<String, Vec<String>>,
    leave: BTreeMap<String, Vec<String>>,
    delete_groups: Vec<String>,
    /// By `source/user:ID` of the source: the user who is meant; `null` ends it.
    aliases: BTreeMap<String, Option<String>>,
    /// By source: how many seconds an ACL holds; `null` for ever.
    acl_max_age: BTreeMap<String, Option<u32>>,
    /// Documents that a sync found as they are stored.
    verify: Vec<String>,
    containers: BTreeMap<String, Option<Value>>,
    delete_containers: Vec<String>,
    documents: BTreeMap<String, Document>,
    acls: BTreeMap<String, Option<Value>>,
    delete: Vec<String>,
    callers: BTreeMap<String, Expectation>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    acl: Option<Value>,
    labels: BTreeMap<String, String>,
    /// Names and ACLs.
    sections: BTreeMap<String, Value>,
    /// What the ACL must be read as: `known`, `unknown`, `invalid` or `overflow`.
    state: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expectation {
    /// Groups that the credentials assert.
    groups: Vec<String>,
    /// Sources that the key is narrowed to.
    key_sources: Option<Vec<String>>,
    /// Labels that the key is narrowed to.
    key_labels: BTreeMap<String, String>,
    sees: Vec<String>,
    must_not_see: Vec<String>,
}

#[test]
fn permission_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/permissions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let (mut cases, mut failures) = (0, Vec::new());
    for path in &files {
        let file = path.file_name().unwrap().to_str().unwrap();
        let read = read(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut names = BTreeSet::new();
        for case in &read {
            cases += 1;
            let mut run = Run::new(format!("{file}: {}", case.case));
            if !names.insert(&case.case) {
                run.fail("two cases of this file have this name".to_owned());
            }
            run.case(case);
            failures.append(&mut run.failures);
        }
    }
    assert!(failures.is_empty(), "{} of {cases} cases went wrong:\n{}", failures.len(), failures.join("\n"));
    assert!(cases >= 70, "only {cases} cases in {} files were found", files.len());
}

/// A runner that finds nothing wrong with anything would pass every case.
#[test]
fn wrong_cases_are_found_out() {
    let failures = |callers: &str| {
        let text = format!("- case: a\n  documents:\n    a: {{ acl: {{ allow: [user:ana] }} }}\n  callers:\n    {callers}\n");
        let mut run = Run::new("here".to_owned());
        run.case(&read(&text).unwrap()[0]);
        run.failures.join("\n")
    };
    assert_eq!(failures("user:ana: { sees: [a] }"), "");
    for (callers, named) in [
        ("user:ana: { must_not_see: [a] }", "user:ana: a: is seen"),
        ("user:bo: { sees: [a] }", "user:bo: a: is not seen"),
        ("user:bo: {}", "user:bo: a: is named neither"),
        ("user:bo: { must_not_see: [a, b] }", "user:bo: b: there is no such"),
        ("user:ana: { sees: [a], must_not_see: [a] }", "user:ana: a: is named both"),
    ] {
        assert!(failures(callers).contains(named), "{callers}: {}", failures(callers));
    }
    for wrong in
        ["- case: a\n  dokuments: {}", "- case: a\n  callers: {user:a: {see: []}}", "- case: a\n  delete: []\n  delete: []"]
    {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

/// Reads a file; a key that is there twice or is not known is an error.
fn read(text: &str) -> Result<Vec<Case>, String> {
    let value: yaml_serde::Value = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    let cases: Vec<Case> = yaml_serde::from_value(value).map_err(|error| error.to_string())?;
    for case in &cases {
        for step in std::iter::once(&case.first).chain(&case.then) {
            if let Some(unknown) = step.unknown.keys().next() {
                return Err(format!("{}: `{unknown}` is not a field", case.case));
            }
        }
    }
    Ok(cases)
}

/// A directory in memory where there is such a place.
pub(crate) fn scratch() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap()
}

/// One case that is being run.
struct Run {
    name: String,
    dir: TempDir,
    engine: Option<Engine>,
    now: Timestamp,
    /// Sections of each document that was ever put.
    documents: BTreeMap<String, Vec<String>>,
    /// Citations that somebody was given, by what they cite.
    tokens: BTreeMap<String, String>,
    failures: Vec<String>,
}

impl Run {
    fn new(name: String) -> Run {
        let dir = scratch();
        let engine = Some(Engine::open(dir.path(), &Options::default()).unwrap());
        let now = Timestamp::parse(DEFAULT_TIME).unwrap();
        Run { name, dir, engine, now, documents: BTreeMap::new(), tokens: BTreeMap::new(), failures: Vec::new() }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn fail(&mut self, what: String) {
        self.failures.push(format!("  {}: {what}", self.name));
    }

    fn case(&mut self, case: &Case) {
        self.step(&case.first);
        let name = self.name.clone();
        for (number, step) in (1..).zip(&case.then) {
            self.name = format!("{name}: then {number}");
            self.step(step);
        }
        // What was seen last is seen after a restart too.
        self.engine = None;
        self.engine = Some(Engine::open(self.dir.path(), &Options::default()).unwrap());
        self.name += ": after a restart";
        self.check(&case.then.last().unwrap_or(&case.first).callers);
    }

    fn step(&mut self, step: &Step) {
        if let Some(at) = &step.at {
            self.now = Timestamp::parse(at).unwrap_or_else(|| panic!("{}: `{at}` is not a time", self.name));
        }
        for (group, members) in &step.groups {
            self.write(Write::SetGroup { group: principal(group), members: principals(members) });
        }
        for (group, members) in &step.join {
            self.write(Write::ChangeGroup { group: principal(group), add: principals(members), remove: vec![] });
        }
        for (group, members) in &step.leave {
            self.write(Write::ChangeGroup { group: principal(group), add: vec![], remove: principals(members) });
        }
        for group in &step.delete_groups {
            self.write(Write::DeleteGroup { group: principal(group) });
        }
        for (name, canonical) in &step.aliases {
            let (source, alias) = place(name);
            self.write(Write::SetAlias { source, alias: principal(&alias), canonical: canonical.as_deref().map(principal) });
        }
        for (source, seconds) in &step.acl_max_age {
            self.write(Write::SetAclMaxAge { source: source.clone(), seconds: *seconds });
        }
        for name in &step.verify {
            let (source, id) = place(name);
            self.write(Write::Verify { source, ids: vec![id] });
        }
        for (name, acl) in &step.containers {
            let (source, id) = place(name);
            self.write(Write::SetContainer { source, id, acl: acl.as_ref().map(expanded) });
        }
        for name in &step.delete_containers {
            let (source, id) = place(name);
            self.write(Write::DeleteContainer { source, id });
        }
        for (name, document) in &step.documents {
            self.documents.insert(name.clone(), document.sections.keys().cloned().collect());
            let state = self.write(Write::Put(Box::new(new_document(name, document))));
            if let Some(expected) = document.state.as_ref().filter(|expected| state.as_ref() != Some(*expected)) {
                self.fail(format!("{name}: its acl is {}, not {expected}", state.unwrap_or_default()));
            }
        }
        for (name, acl) in &step.acls {
            let (source, id) = place(name);
            self.write(Write::SetAcl { source, id, acl: acl.as_ref().map(expanded) });
        }
        for name in &step.delete {
            let (source, id) = place(name);
            self.write(Write::Delete { source, id });
        }
        if step.callers.is_empty() {
            self.fail("it has no callers".to_owned());
        }
        self.check(&step.callers);
    }

    /// Writes, and returns the state of the ACL.
    fn write(&mut self, write: Write) -> Option<String> {
        match self.engine().write(vec![write], self.now) {
            Ok(receipts) => receipts[0].acl.as_ref().map(|(state, _)| format!("{state:?}").to_lowercase()),
            Err(error) => {
                self.fail(format!("a write was refused: {error}"));
                None
            }
        }
    }

    fn check(&mut self, callers: &BTreeMap<String, Expectation>) {
        let all: BTreeSet<String> = self.documents.iter().flat_map(|(name, sections)| units(name, sections)).collect();
        for (who, expected) in callers {
            self.check_complete(who, expected, &all);
            self.check_search(who, expected);
            self.check_documents(who, expected);
        }
        // Only now are all citations known that somebody was given.
        for (who, expected) in callers {
            for hidden in expected.must_not_see.iter().filter(|hidden| all.contains(*hidden)) {
                let Some(token) = self.tokens.get(hidden) else { continue };
                if !matches!(
                    self.engine().citation(&caller(who, expected), token, self.now),
                    Err(Error::NotFound) | Ok(Opened { text: None, .. })
                ) {
                    self.fail(format!("{who}: {hidden}: is seen through a citation"));
                }
            }
        }
    }

    fn check_complete(&mut self, who: &str, expected: &Expectation, all: &BTreeSet<String>) {
        for unit in all {
            match (expected.sees.contains(unit), expected.must_not_see.contains(unit)) {
                (true, true) => self.fail(format!("{who}: {unit}: is named both in sees and in must_not_see")),
                (false, false) => self.fail(format!("{who}: {unit}: is named neither in sees nor in must_not_see")),
                _ => {}
            }
        }
        for unit in expected.sees.iter().chain(&expected.must_not_see).filter(|unit| !all.contains(*unit)) {
            self.fail(format!("{who}: {unit}: there is no such document or section"));
        }
    }

    fn check_search(&mut self, who: &str, expected: &Expectation) {
        let found = self.search(who, expected, COMMON);
        let distinct: BTreeSet<&String> = found.iter().collect();
        if distinct.len() < found.len() {
            self.fail(format!("{who}: a passage is found twice: {found:?}"));
        }
        for unit in expected.sees.iter().filter(|unit| !found.contains(unit)) {
            self.fail(format!("{who}: {unit}: is not seen by a search"));
        }
        for unit in found.iter().filter(|unit| !expected.sees.contains(unit)) {
            self.fail(format!("{who}: {unit}: is seen by a search"));
        }
        for unit in &expected.sees {
            let found = self.search(who, expected, &word_of(unit));
            if found != [unit.clone()] {
                self.fail(format!("{who}: {unit}: is not seen by a search for its own word, but {found:?}"));
            }
        }
        for unit in &expected.must_not_see {
            let found = self.search(who, expected, &word_of(unit));
            if !found.is_empty() {
                self.fail(format!("{who}: {unit}: is seen by a search for its own word: {found:?}"));
            }
        }
    }

    fn search(&mut self, who: &str, expected: &Expectation, words: &str) -> Vec<String> {
        let query = Query { text: words.to_owned(), mode: Mode::Keyword, limit: 1000, ..Query::default() };
        let results = self.engine().search(&caller(who, expected), &query, self.now).unwrap();
        let mut found = Vec::new();
        for hit in results.hits {
            let document = match hit.citation.source.as_str() {
                DEFAULT_SOURCE => hit.citation.document.clone(),
                source => format!("{source}/{}", hit.citation.document),
            };
            let unit = match &hit.citation.location.section {
                Some(section) => format!("{document}#{section}"),
                None => document,
            };
            if !hit.text.contains(&word_of(&unit)) {
                self.fail(format!("{who}: {unit}: is cited for `{}`", hit.text));
            }
            self.tokens.insert(unit.clone(), hit.citation.token);
            found.push(unit);
        }
        found
    }

    fn check_documents(&mut self, who: &str, expected: &Expectation) {
        for (name, sections) in self.documents.clone() {
            let (source, id) = place(&name);
            let document = match self.engine().document(&caller(who, expected), &source, &id, None, self.now) {
                Ok(document) => Some(document),
                Err(Error::NotFound) => None,
                Err(error) => panic!("{}: {error}", self.name),
            };
            for unit in units(&name, &sections) {
                let read = document.as_ref().is_some_and(|document| document.text.contains(&word_of(&unit)));
                let listed = match unit.split_once('#') {
                    None => document.is_some(),
                    Some((_, section)) => {
                        document.iter().flat_map(|document| &document.sections).any(|listed| listed.name == section)
                    }
                };
                let seen = expected.sees.contains(&unit);
                if seen && !(read && listed) {
                    self.fail(format!("{who}: {unit}: is not seen by its id"));
                }
                if !seen && (read || listed) {
                    self.fail(format!("{who}: {unit}: is seen by its id"));
                }
            }
        }
    }
}

/// What can be seen of a document: itself, and each of its sections.
fn units(name: &str, sections: &[String]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(sections.iter().map(|section| format!("{name}#{section}"))).collect()
}

/// A word that stands in this document or section alone.
fn word_of(unit: &str) -> String {
    format!("w{}", &blake3::hash(unit.as_bytes()).to_hex()[..16])
}

/// Source and id: `crm/card`, or `plan` for one of the default source.
fn place(name: &str) -> (String, String) {
    let (source, id) = name.split_once('/').unwrap_or((DEFAULT_SOURCE, name));
    (source.to_owned(), id.to_owned())
}

fn new_document(name: &str, document: &Document) -> NewDocument {
    let (source, id) = place(name);
    let mut text = format!("{COMMON} {}", word_of(name));
    let mut chunks = vec![NewChunk { start: 0, end: text.len(), ..NewChunk::default() }];
    let mut sections = Vec::new();
    for (section, acl) in &document.sections {
        text.push('\n');
        let start = text.len();
        text += &format!("{COMMON} {}", word_of(&format!("{name}#{section}")));
        chunks.push(NewChunk { start, end: text.len(), ..NewChunk::default() });
        sections.push(NewSection { name: section.clone(), start, end: text.len(), acl: expanded(acl) });
    }
    let (acl, labels) = (document.acl.as_ref().map(expanded), document.labels.clone());
    NewDocument { source, id, mime: "text/plain".to_owned(), text, acl, labels, sections, chunks, ..NewDocument::default() }
}

/// `user:ana`, or `public`; after a space, words that tell callers apart who are the same person.
fn caller(who: &str, expected: &Expectation) -> Caller {
    let name = who.split_once(' ').map_or(who, |(name, _)| name);
    let caller = match name {
        "public" => Caller::public(),
        user => Caller::user(principal(user)).unwrap_or_else(|| panic!("`{who}` is not a caller")),
    };
    let guard = Guard { sources: expected.key_sources.clone(), labels: expected.key_labels.clone() };
    caller.with_groups(principals(&expected.groups)).with_guard(guard)
}

fn principal(name: &str) -> Principal {
    let name = &repeated(name);
    Principal::parse(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn principals(names: &[String]) -> Vec<Principal> {
    names.iter().map(|name| principal(name)).collect()
}

/// `user:{x*256}` stands for an id of 256 times `x`, and in a list `user:{1..500}` stands for 500 users.
fn expanded(acl: &Value) -> Value {
    match acl {
        Value::String(text) => Value::String(repeated(text)),
        Value::Array(items) => Value::Array(items.iter().flat_map(several).collect()),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), expanded(value))).collect(),
        other => other.clone(),
    }
}

fn several(item: &Value) -> Vec<Value> {
    let range = item.as_str().and_then(|text| {
        let (before, rest) = text.split_once('{')?;
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        Some((before, first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?, after))
    });
    match range {
        Some((before, range, after)) => range.map(|number| Value::String(format!("{before}{number}{after}"))).collect(),
        None => vec![expanded(item)],
    }
}

fn repeated(text: &str) -> String {
    let parts = text.split_once('{').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once('}')?;
        let (piece, times) = inside.split_once('*')?;
        Some(format!("{before}{}{after}", piece.repeat(times.parse().ok()?)))
    });
    parts.unwrap_or_else(|| text.to_owned())
}
