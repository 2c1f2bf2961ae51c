//! From outside: a server that holds everything, and for each caller one that holds only what that caller may read, must
//! answer alike.
//!
//! After every few steps of a random history each caller's answers are compared as JSON. Left out is what differs between
//! any two engines, because it counts an engine's own writes or names its secrets: `query_id`, `took_ms`, `epoch`,
//! `request_id`, a citation's `token`, `version`, `ingested_at` and `verified_at`. A private engine counts a version also when
//! the caller was let in anew; so `version` is compared with a count of what changed that the caller may read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sightline_index::Scope;

use crate::http::{Answer, Server};
use crate::oracle::dice::Dice;
use crate::permissions::scratch;

const STEPS: usize = 200;
const STEPS_BETWEEN_COMPARISONS: usize = 8;
const SOURCES: [&str; 2] = ["wiki", "crm"];
const DOCUMENTS: usize = 10;
const GROUPS: usize = 4;
const CONTAINERS: usize = 4;
/// The last is the public.
const CALLERS: [Option<&str>; 5] = [Some("user:u0"), Some("user:u1"), Some("user:u2"), Some("user:u3"), None];
/// What differs between any two engines.
const INHERENT: [&str; 8] = ["query_id", "took_ms", "epoch", "request_id", "token", "version", "ingested_at", "verified_at"];

#[test]
fn a_server_answers_each_caller_like_one_that_holds_only_what_they_may_read() {
    let mut history = History::new(7);
    for step in 1..=STEPS {
        history.step();
        if step % STEPS_BETWEEN_COMPARISONS == 0 {
            history.bring_private_engines_up_to_date();
            history.compare();
        }
    }
    let History { hits, opened, hidden, .. } = history;
    println!("{hits} hits, {opened} documents opened, {hidden} probes of hidden documents");
    assert!(hits > 1_000 && opened > 500 && hidden > 1_000, "{hits} {opened} {hidden}: too little was compared");
}

/// A server and a key that may do everything there.
struct Place {
    server: Server,
    key: String,
}

impl Place {
    fn new() -> Place {
        let server = Server::over(scratch(), |_| {});
        let key = server.key(&[Scope::Search, Scope::Ingest, Scope::Admin, Scope::AssertUser]);
        Place { server, key }
    }

    fn change(&self, method: &str, path: &str, body: &Value) {
        let call = self.server.call(method, path).key(&self.key);
        // A body that the server has no use for would have it close the connection.
        let answer = if body.is_null() { call.send() } else { call.json(body).send() };
        assert!([200, 404].contains(&answer.status), "{method} {path}: {}", answer.body);
    }

    fn ask(&self, who: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let call = self.server.call(method, path).key(&self.key);
        let call = match who {
            Some(user) => call.header("sightline-user", user),
            None => call,
        };
        match body {
            Some(body) => call.json(body).send(),
            None => call.send(),
        }
    }
}

type Key = (String, String);

#[derive(Clone, Debug, PartialEq)]
struct Document {
    /// The body without `acl` and `sections`.
    body: Value,
    acl: Value,
    sections: Vec<Value>,
}

impl Document {
    /// What makes a version.
    fn content(&self) -> (Vec<Value>, Vec<(Value, Value)>) {
        let body = ["text", "title", "mime"].map(|field| self.body[field].clone());
        (body.to_vec(), self.sections.iter().map(|section| (section["name"].clone(), section["text"].clone())).collect())
    }

    fn put(&self) -> Value {
        let mut body = self.body.clone();
        body["acl"] = self.acl.clone();
        body["sections"] = json!(self.sections);
        body
    }
}

struct History {
    dice: Dice,
    whole: Place,
    private: Vec<Place>,
    /// What each private engine holds.
    held: Vec<BTreeMap<Key, Document>>,
    documents: BTreeMap<Key, Document>,
    /// What was put, each content once, and whether there was nothing before.
    versions: BTreeMap<Key, Vec<(Document, bool)>>,
    containers: BTreeMap<Key, Value>,
    groups: BTreeMap<String, BTreeSet<String>>,
    hits: usize,
    opened: usize,
    hidden: usize,
}

impl History {
    fn new(seed: u64) -> History {
        History {
            dice: Dice(seed),
            whole: Place::new(),
            private: CALLERS.iter().map(|_| Place::new()).collect(),
            held: CALLERS.iter().map(|_| BTreeMap::new()).collect(),
            documents: BTreeMap::new(),
            versions: BTreeMap::new(),
            containers: BTreeMap::new(),
            groups: BTreeMap::new(),
            hits: 0,
            opened: 0,
            hidden: 0,
        }
    }

    // The history.

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=39 => self.put(),
            40..=47 => self.delete(),
            48..=64 => self.set_acl(),
            65..=81 => self.set_container(),
            82..=83 => self.delete_container(),
            _ => self.set_group(),
        }
    }

    fn put(&mut self) {
        let key = self.key();
        let mut document = self.document();
        if let Some(known) = self.documents.get(&key).filter(|_| self.dice.chance(50)) {
            // One section or the rest changes; to some callers nothing does.
            let mut known = known.clone();
            match known.sections.len() {
                0 => known.body = document.body,
                number => known.sections[self.dice.below(number)]["text"] = document.body["text"].clone(),
            }
            document = known;
        }
        self.whole.change("PUT", &path(&key), &document.put());
        let born = !self.documents.contains_key(&key);
        let versions = self.versions.entry(key.clone()).or_default();
        match versions.last_mut() {
            Some((last, _)) if !born && last.content() == document.content() => *last = document.clone(),
            _ => versions.push((document.clone(), born)),
        }
        self.documents.insert(key, document);
    }

    fn delete(&mut self) {
        let key = self.key();
        self.whole.change("DELETE", &path(&key), &Value::Null);
        self.documents.remove(&key);
    }

    fn set_acl(&mut self) {
        let key = self.key();
        let acl = self.acl(true);
        self.whole.change("PUT", &format!("{}/acl", path(&key)), &acl);
        if let Some(document) = self.documents.get_mut(&key) {
            document.acl = acl;
        }
    }

    /// Containers and groups are the same everywhere: they are no documents, and a caller's rights come from them.
    fn everywhere(&self, method: &str, path: &str, body: &Value) {
        for place in std::iter::once(&self.whole).chain(&self.private) {
            place.change(method, path, body);
        }
    }

    fn set_container(&mut self) {
        let (source, id) = (self.source(), self.container());
        let acl = self.acl(true);
        self.everywhere("PUT", &format!("/v1/containers/{source}/{id}"), &acl);
        self.containers.insert((source, id), acl);
    }

    fn delete_container(&mut self) {
        let (source, id) = (self.source(), self.container());
        self.everywhere("DELETE", &format!("/v1/containers/{source}/{id}"), &Value::Null);
        self.containers.remove(&(source, id));
    }

    fn set_group(&mut self) {
        let group = format!("g{}", self.dice.below(GROUPS));
        let members: BTreeSet<String> = (0..self.dice.below(3))
            .map(|_| {
                let number = self.dice.below(GROUPS);
                if self.dice.chance(60) { format!("user:u{number}") } else { format!("group:g{number}") }
            })
            .collect();
        self.everywhere("PUT", &format!("/v1/groups/{group}"), &json!({ "members": members }));
        self.groups.insert(format!("group:{group}"), members);
    }

    fn source(&mut self) -> String {
        (*self.dice.pick(&SOURCES)).to_owned()
    }

    fn container(&mut self) -> String {
        format!("folder{}", self.dice.below(CONTAINERS))
    }

    fn key(&mut self) -> Key {
        (self.source(), format!("doc{}", self.dice.below(DOCUMENTS)))
    }

    fn acl(&mut self, nested: bool) -> Value {
        let mut principals = |most: usize| -> Vec<String> {
            (0..self.dice.below(most + 1))
                .map(|_| match self.dice.below(10) {
                    0..=3 => format!("user:u{}", self.dice.below(CALLERS.len() - 1)),
                    4..=7 => format!("group:g{}", self.dice.below(GROUPS)),
                    8 => "everyone".to_owned(),
                    _ => "public".to_owned(),
                })
                .collect()
        };
        let mut acl = json!({ "allow": principals(5) });
        let deny = principals(1);
        if self.dice.chance(15) {
            acl["deny"] = json!(deny);
        }
        if nested && self.dice.chance(40) {
            acl["parent"] = json!(self.container());
            acl["inherit"] = json!(self.dice.chance(80));
        }
        if self.dice.chance(5) {
            acl["alow"] = json!(["public"]);
        }
        acl
    }

    fn document(&mut self) -> Document {
        let markdown = self.dice.chance(60);
        let mut body = json!({
            "mime": if markdown { "text/markdown" } else { "text/plain" },
            "uri": format!("https://example.org/{}", self.dice.below(1_000)),
            "modified_at": format!("2026-01-{:02}T00:00:00Z", 1 + self.dice.below(28)),
            "version": format!("etag-{}", self.dice.below(1_000)),
            "labels": { "dept": *self.dice.pick(&["hr", "eng"]) },
            "text": self.text(markdown),
        });
        if self.dice.chance(50) {
            body["title"] = json!(format!("Title {}", self.words(2)));
        }
        let sections = (0..self.dice.below(4))
            .map(|number| json!({ "name": format!("section {number}"), "text": self.text(markdown), "acl": self.acl(false) }))
            .collect();
        Document { body, acl: self.acl(true), sections }
    }

    fn text(&mut self, markdown: bool) -> String {
        let mut text = String::new();
        for _ in 0..=self.dice.below(3) {
            if markdown && self.dice.chance(70) {
                text += &format!("{} {}\n\n", "#".repeat(1 + self.dice.below(3)), self.words(2));
            }
            text += &format!("{}\n\n", self.words(12));
        }
        text
    }

    fn words(&mut self, most: usize) -> String {
        let words: Vec<String> = (0..=self.dice.below(most))
            .map(|_| {
                // Few common words, many rare ones.
                let spread = *self.dice.pick(&[3, 12, 60]);
                format!("k{}", self.dice.below(spread))
            })
            .collect();
        words.join(" ")
    }

    // The definition.

    fn principals(&self, who: Option<&str>) -> BTreeSet<String> {
        let mut mine: BTreeSet<String> = ["public".to_owned()].into();
        if let Some(user) = who {
            mine.extend([user.to_owned(), "everyone".to_owned()]);
        }
        loop {
            let before = mine.len();
            for (group, members) in &self.groups {
                if members.iter().any(|member| mine.contains(member)) {
                    mine.insert(group.clone());
                }
            }
            if mine.len() == before {
                return mine;
            }
        }
    }

    fn admits(&self, source: &str, acl: &Value, mine: &BTreeSet<String>) -> bool {
        let named = |acl: &Value, list: &str| {
            acl[list].as_array().is_some_and(|names| names.iter().any(|name| mine.contains(name.as_str().unwrap())))
        };
        let (mut allowed, mut at) = (false, acl);
        for _ in 0..=CONTAINERS {
            if at.get("alow").is_some() || named(at, "deny") {
                return false;
            }
            allowed |= named(at, "allow");
            let Some(parent) = at.get("parent") else { return allowed };
            let Some(container) = self.containers.get(&(source.to_owned(), parent.as_str().unwrap().to_owned())) else {
                return false;
            };
            if at["inherit"] == false {
                return allowed;
            }
            at = container;
        }
        // Longer than there are containers is a cycle.
        false
    }

    /// What a caller may read of everything.
    fn visible(&self, who: Option<&str>) -> BTreeMap<Key, Document> {
        let mine = self.principals(who);
        let mut visible = BTreeMap::new();
        for (key, document) in &self.documents {
            if self.admits(&key.0, &document.acl, &mine) {
                let mut document = document.clone();
                document.sections.retain(|section| self.admits(&key.0, &section["acl"], &mine));
                visible.insert(key.clone(), document);
            }
        }
        visible
    }

    /// How many versions of a document a caller can tell apart.
    fn count_versions(&self, who: Option<&str>, key: &Key) -> usize {
        let mine = self.principals(who);
        let mut before = None;
        let mut count = 0;
        for (document, born) in &self.versions[key] {
            let mut document = document.clone();
            document.sections.retain(|section| self.admits(&key.0, &section["acl"], &mine));
            let content = Some(document.content());
            count += usize::from(*born || before != content);
            before = content;
        }
        count
    }

    fn bring_private_engines_up_to_date(&mut self) {
        for (at, who) in CALLERS.iter().enumerate() {
            let visible = self.visible(*who);
            for key in self.held[at].keys().filter(|key| !visible.contains_key(*key)) {
                self.private[at].change("DELETE", &path(key), &Value::Null);
            }
            for (key, document) in visible.iter().filter(|(key, document)| self.held[at].get(*key) != Some(*document)) {
                self.private[at].change("PUT", &path(key), &document.put());
            }
            self.held[at] = visible;
        }
    }

    // What is compared.

    fn compare(&mut self) {
        for (at, who) in CALLERS.iter().enumerate() {
            for question in self.questions() {
                let (whole, private) = self.both(at, "POST", "/v1/search", Some(&question));
                self.hits += whole["hits"].as_array().map_or(0, Vec::len);
                same(&whole, &private, &format!("{who:?} asked {question}"));
            }
            for source in SOURCES {
                let never = self.whole.ask(*who, "GET", &path(&(source.to_owned(), "never".to_owned())), None);
                for number in 0..DOCUMENTS {
                    let key = (source.to_owned(), format!("doc{number}"));
                    let (whole, private) = self.both(at, "GET", &path(&key), None);
                    same(&whole, &private, &format!("{who:?} opened {key:?}"));
                    match self.held[at].contains_key(&key) {
                        true => {
                            self.opened += 1;
                            let version = &self.whole.ask(*who, "GET", &path(&key), None).value()["version"];
                            assert_eq!(version, self.count_versions(*who, &key), "{who:?} opened {key:?}");
                        }
                        false => self.compare_with_never_existed(*who, &key, &never),
                    }
                }
            }
            for path in ["/v1/documents/wiki/doc0?version=0", "/v1/documents/wiki", "/v1/citations/AAAA", "/v1/citations/"] {
                let (whole, private) = self.both(at, "GET", path, None);
                same(&whole, &private, &format!("{who:?} asked for {path}"));
            }
        }
    }

    fn questions(&mut self) -> Vec<Value> {
        let narrow = [
            json!({}),
            json!({ "filter": { "sources": [self.source()] } }),
            json!({ "filter": { "labels": { "dept": "hr" } } }),
            json!({ "filter": { "modified_after": "2026-01-14T00:00:00Z" } }),
            json!({ "filter": { "sources": ["none"] } }),
            json!({ "query": "" }),
            json!({ "limit": 0 }),
            json!({ "filter": { "source": "wiki" } }),
        ];
        // Not recency: the two are not asked in the same second.
        let arranged = [
            json!({}),
            json!({ "sort": "modified_at" }),
            json!({ "duplicates": "collapse" }),
            json!({ "per_document": 1, "duplicates": "collapse" }),
            json!({ "diversity": 0.6 }),
            json!({}),
        ];
        (0..8)
            .map(|_| {
                let mut question = json!({
                    "query": self.words(3), "mode": *self.dice.pick(&["keyword", "hybrid"]), "limit": *self.dice.pick(&[3, 100]),
                    "why": true, "neighbors": self.dice.below(3),
                });
                if self.dice.chance(10) {
                    question["query"] = json!(format!("\"{}\" {}", self.words(2), self.words(1)));
                }
                for options in [&narrow[..], &arranged[..]] {
                    question.as_object_mut().unwrap().extend(self.dice.pick(options).as_object().unwrap().clone());
                }
                question
            })
            .collect()
    }

    /// The two answers without what is inherent, with their status.
    fn both(&self, at: usize, method: &str, path: &str, body: Option<&Value>) -> (Value, Value) {
        let comparable = |answer: Answer| {
            let mut value = answer.value();
            forget_inherent(&mut value);
            value["status code"] = json!(answer.status);
            value
        };
        let ask = |place: &Place| comparable(place.ask(CALLERS[at], method, path, body));
        (ask(&self.whole), ask(&self.private[at]))
    }

    /// On one server, what is hidden and what never was are the same bytes, headers included.
    fn compare_with_never_existed(&mut self, who: Option<&str>, key: &Key, never: &Answer) {
        self.hidden += 1;
        for version in ["", "?version=1"] {
            let hidden = self.whole.ask(who, "GET", &format!("{}{version}", path(key)), None);
            assert_eq!(hidden.observable(), never.observable(), "{who:?} probed {key:?}{version}");
        }
    }
}

/// Fails with the first place where the answers differ.
fn same(whole: &Value, private: &Value, what: &str) {
    if let Some(difference) = difference(whole, private) {
        panic!("{what}: {difference}\nthe whole engine answered {whole:#}\nthe private one {private:#}");
    }
}

fn difference(a: &Value, b: &Value) -> Option<String> {
    let inside = |at: String, found: Option<String>| found.map(|found| format!("{at}{found}"));
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(name, a)| inside(format!(".{name}"), difference(a, b.get(name)?)))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| inside(format!("[{at}]"), difference(a, b)))
        }
        _ if a == b => None,
        _ => Some(format!(" is {a} in the whole engine and {b} in the private one")),
    }
}

fn path((source, id): &Key) -> String {
    format!("/v1/documents/{source}/{id}")
}

fn forget_inherent(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !INHERENT.contains(&name.as_str()));
            fields.values_mut().for_each(forget_inherent);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_inherent),
        _ => {}
    }
}
