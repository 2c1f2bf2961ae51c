//! Revocations race searches: a search that began after a revocation was answered does not return what was revoked, and
//! one that began after a grant was answered does.
//!
//! `REVOCATIONS=10000` sets how many revocations of each kind are made; the default keeps `make test` short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::{Caller, Engine, Error, Mode, NewChunk, NewDocument, Options, Principal, Query, Timestamp, Write};

use crate::permissions::scratch;

const SEARCHERS: usize = 8;
const SOURCE: &str = "wiki";
const START: i64 = 1_000_000;
/// Documents beside the one that is revoked.
const OTHERS: usize = 6;

/// Between two probes of one searcher, once the change at hand was checked.
const PAUSE: Duration = Duration::from_millis(1);

/// How a document is taken from a caller and given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    DocumentAcl,
    Container,
    GroupMember,
    NestedGroup,
    Deletion,
    GrantEnd,
    ContainerMoved,
}

/// The ways to get at a document.
const PROBES: [&str; 3] = ["search", "document", "citation"];

#[test]
fn document_acls() {
    race(Kind::DocumentAcl);
}

#[test]
fn containers() {
    race(Kind::Container);
}

#[test]
fn group_members() {
    race(Kind::GroupMember);
}

#[test]
fn nested_groups() {
    race(Kind::NestedGroup);
}

#[test]
fn deletions() {
    race(Kind::Deletion);
}

#[test]
fn grants_that_end() {
    race(Kind::GrantEnd);
}

#[test]
fn containers_that_move() {
    race(Kind::ContainerMoved);
}

fn revocations() -> u32 {
    std::env::var("REVOCATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

fn race(kind: Kind) {
    let count = revocations();
    let begun = Instant::now();
    let dir = scratch();
    let course = Course::new(kind, Engine::open(dir.path(), &Options::default()).unwrap());
    let checks = std::thread::scope(|threads| {
        let searchers: Vec<_> = (0..SEARCHERS)
            .map(|number| {
                let course = &course;
                threads.spawn(move || course.search_until_stopped(number))
            })
            .collect();
        let stop = StopAtEnd(&course.stopped);
        for _ in 0..count {
            course.change(false);
            course.change(true);
        }
        drop(stop);
        searchers.into_iter().map(|searcher| searcher.join().unwrap()).sum::<u64>()
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{kind:?}: {count} revocations and grants, {checks} racing probes that had to be right, {seconds:.1} s");
}

/// Also when the writer panics the searchers end.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What writer and searchers share. Changes are numbered; after an even one the caller may see the document.
struct Course {
    kind: Kind,
    engine: Engine,
    ana: Caller,
    now: AtomicI64,
    /// A citation of the document, from before the race.
    token: String,
    /// The last change whose write began.
    begun: AtomicU64,
    /// The last change whose write was answered.
    answered: AtomicU64,
    /// By probe: the last change that a searcher saw done right.
    verified: [AtomicU64; 3],
    stopped: AtomicBool,
}

impl Course {
    fn new(kind: Kind, engine: Engine) -> Course {
        let everyone = json!({ "allow": ["everyone"] });
        let mut writes: Vec<Write> = (0..OTHERS).map(|number| put(&format!("other{number}"), everyone.clone())).collect();
        writes.push(set_container("open", json!({ "allow": ["user:ana"] })));
        writes.push(set_container("closed", json!({})));
        engine.write(writes, Timestamp(START)).unwrap();
        let acl = match kind {
            Kind::DocumentAcl | Kind::Deletion | Kind::GrantEnd => json!({ "allow": ["user:ana"] }),
            Kind::Container | Kind::ContainerMoved => json!({ "parent": "folder" }),
            Kind::GroupMember | Kind::NestedGroup => json!({ "allow": ["group:outer"] }),
        };
        engine.write(vec![put("target", acl)], Timestamp(START)).unwrap();
        let course = Course {
            kind,
            engine,
            ana: Caller::user(principal("user:ana")).unwrap(),
            now: AtomicI64::new(START),
            token: String::new(),
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            verified: Default::default(),
            stopped: AtomicBool::new(false),
        };
        if kind == Kind::NestedGroup {
            let group = Write::SetGroup { group: principal("group:inner"), members: vec![principal("user:ana")] };
            course.engine.write(vec![group], Timestamp(START)).unwrap();
        }
        course.write(true);
        let results = course.engine.search(&course.ana, &query(), course.now()).unwrap();
        let token = results.hits.into_iter().find(|hit| hit.citation.document == "target").unwrap().citation.token;
        Course { token, ..course }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(SeqCst))
    }

    /// Gives or takes, checks at once, and waits until searchers have checked each probe too.
    fn change(&self, open: bool) {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        self.write(open);
        self.answered.store(number, SeqCst);
        for (probe, name) in PROBES.iter().enumerate() {
            let seen = self.sees(probe);
            assert_eq!(seen, open, "{:?}, change {number}: right after it was answered, {name}", self.kind);
        }
        while !self.stopped.load(SeqCst) && self.verified.iter().any(|verified| verified.load(SeqCst) < number) {
            std::thread::yield_now();
        }
        assert!(!self.stopped.load(SeqCst), "{:?}, change {number}: a searcher found something wrong", self.kind);
    }

    fn write(&self, open: bool) {
        let choose = |opened: Value, closed: Value| if open { opened } else { closed };
        let group = |group: &str, member: &str| {
            let member = vec![principal(member)];
            let (add, remove) = if open { (member, vec![]) } else { (vec![], member) };
            Write::ChangeGroup { group: principal(group), add, remove }
        };
        let write = match (self.kind, open) {
            (Kind::DocumentAcl, _) => set_acl(choose(json!({ "allow": ["user:ana"] }), json!({ "allow": ["user:bo"] }))),
            (Kind::Container, _) => set_container("folder", choose(json!({ "allow": ["user:ana"] }), json!({}))),
            (Kind::ContainerMoved, _) => {
                set_container("folder", choose(json!({ "parent": "open" }), json!({ "parent": "closed" })))
            }
            (Kind::GroupMember, _) => group("group:outer", "user:ana"),
            (Kind::NestedGroup, _) => group("group:outer", "group:inner"),
            (Kind::Deletion, true) => put("target", json!({ "allow": ["user:ana"] })),
            (Kind::Deletion, false) => Write::Delete { source: SOURCE.to_owned(), id: "target".to_owned() },
            (Kind::GrantEnd, true) => {
                let until = Timestamp(self.now.load(SeqCst) + 1_000).to_string();
                set_acl(json!({ "grants": [{ "principal": "user:ana", "until": until }] }))
            }
            (Kind::GrantEnd, false) => {
                // Nothing is written: time passes.
                self.now.fetch_add(1_000, SeqCst);
                return;
            }
        };
        self.engine.write(vec![write], self.now()).unwrap();
    }

    fn search_until_stopped(&self, number: usize) -> u64 {
        let mut checks = 0;
        let stop = StopAtEnd(&self.stopped);
        for probe in (0..PROBES.len()).cycle().skip(number) {
            if self.stopped.load(SeqCst) {
                break;
            }
            let before = self.answered.load(SeqCst);
            let seen = self.sees(probe);
            // Only where no other change had begun when the answer came was there one right answer.
            if self.begun.load(SeqCst) == before {
                let open = before.is_multiple_of(2);
                assert_eq!(seen, open, "{:?}: a {} that began after change {before}", self.kind, PROBES[probe]);
                self.verified[probe].fetch_max(before, SeqCst);
                checks += 1;
                if self.verified.iter().all(|verified| verified.load(SeqCst) >= before) {
                    // Where threads are more than cores, the writer must come to its next change.
                    std::thread::sleep(PAUSE);
                }
            }
        }
        std::mem::forget(stop);
        checks
    }

    /// Whether the caller gets at the document's text.
    fn sees(&self, probe: usize) -> bool {
        let now = self.now();
        match probe {
            0 => {
                let results = self.engine.search(&self.ana, &query(), now).unwrap();
                assert!(results.hits.len() >= OTHERS, "{} of the others are gone", OTHERS - results.hits.len());
                results.hits.iter().any(|hit| hit.citation.document == "target")
            }
            1 => match self.engine.document(&self.ana, SOURCE, "target", None, now) {
                Ok(document) => document.text.contains("harbour"),
                Err(Error::NotFound) => false,
                Err(error) => panic!("{error}"),
            },
            _ => match self.engine.citation(&self.ana, &self.token, now) {
                Ok(opened) => opened.text.is_some(),
                Err(Error::NotFound) => false,
                Err(error) => panic!("{error}"),
            },
        }
    }
}

/// What is written after a caller was shut out is never read by them, however a read and the writes interleave.
#[test]
fn text_that_came_after_a_revocation_is_never_read() {
    // Each round indexes twice, which takes its time; a thousand rounds meet every interleaving many times.
    let rounds = revocations().min(1_000);
    let dir = scratch();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    let (open, closed) = (json!({ "allow": ["user:ana"] }), json!({}));
    let under = json!({ "parent": "folder" });
    engine.write(vec![set_container("folder", open.clone()), put("target", under.clone())], Timestamp(START)).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let ana = Caller::user(principal("user:ana")).unwrap();
    std::thread::scope(|threads| {
        let readers: Vec<_> = (0..SEARCHERS)
            .map(|number| {
                let (engine, ana, stopped) = (&engine, &ana, stopped.clone());
                threads.spawn(move || {
                    let stop = StopAtEnd(&stopped);
                    while !stopped.load(SeqCst) {
                        let secret = match number % 2 {
                            0 => engine
                                .document(ana, SOURCE, "target", None, Timestamp(START))
                                .is_ok_and(|d| d.text.contains("secret")),
                            _ => {
                                let hits = engine.search(ana, &query(), Timestamp(START)).unwrap().hits;
                                hits.iter().any(|hit| hit.text.contains("secret"))
                            }
                        };
                        assert!(!secret, "the {} shows what was written when the folder was closed", PROBES[1 - number % 2]);
                        std::thread::sleep(PAUSE / 10);
                    }
                    std::mem::forget(stop);
                })
            })
            .collect();
        let stop = StopAtEnd(&stopped);
        for round in 0..rounds {
            let secret = document("target", &format!("harbour secret {round}"), under.clone());
            let harmless = document("target", &format!("harbour again {round}"), under.clone());
            let writes = match round % 2 {
                // In one batch, and one by one.
                0 => vec![vec![set_container("folder", closed.clone()), secret]],
                _ => vec![vec![set_container("folder", closed.clone())], vec![secret]],
            };
            for writes in writes.into_iter().chain([vec![harmless, set_container("folder", open.clone())]]) {
                engine.write(writes, Timestamp(START)).unwrap();
            }
            if stopped.load(SeqCst) {
                break;
            }
        }
        drop(stop);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

fn query() -> Query {
    Query { text: "harbour".to_owned(), mode: Mode::Keyword, limit: 2 * OTHERS, ..Query::default() }
}

fn put(id: &str, acl: Value) -> Write {
    document(id, &format!("harbour {id}"), acl)
}

fn document(id: &str, text: &str, acl: Value) -> Write {
    Write::Put(Box::new(NewDocument {
        source: SOURCE.to_owned(),
        id: id.to_owned(),
        mime: "text/plain".to_owned(),
        text: text.to_owned(),
        acl: Some(acl),
        chunks: vec![NewChunk { start: 0, end: text.len(), ..NewChunk::default() }],
        ..NewDocument::default()
    }))
}

fn set_acl(acl: Value) -> Write {
    Write::SetAcl { source: SOURCE.to_owned(), id: "target".to_owned(), acl: Some(acl) }
}

fn set_container(id: &str, acl: Value) -> Write {
    Write::SetContainer { source: SOURCE.to_owned(), id: id.to_owned(), acl: Some(acl) }
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}
