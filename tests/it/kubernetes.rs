//! A real organization: 1,647 documents with the ownership that their project gave them, 830 groups, 1,907 users. What
//! each of them sees is compared with an evaluation straight from the files. Skipped where `../shared/data/kubernetes` is
//! not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use sightline_index::{
    Caller, Engine, Error, Filter, MAX_LIMIT, Mode, NewChunk, NewDocument, Options, Principal, Query, Timestamp, Write,
};

use crate::permissions::scratch;

const SOURCE: &str = "kubernetes";
const NOW: Timestamp = Timestamp(1_000);
/// No search returns more hits than this, so the documents are asked for in parts.
const PART: usize = MAX_LIMIT;

#[test]
fn every_user_sees_what_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/kubernetes");
    if !folder.is_dir() {
        println!("SKIPPED: {} is not there", folder.display());
        return;
    }
    let begun = Instant::now();
    let corpus = Corpus::read(&folder);
    let dir = scratch();
    let engine = corpus.engine(dir.path());
    println!(
        "{} documents and {} groups written in {:.1} s",
        corpus.acls.len(),
        corpus.groups.len(),
        begun.elapsed().as_secs_f64()
    );

    let begun = Instant::now();
    let (mut seen, mut callers) = (0, 0);
    let users = corpus.users();
    assert_eq!((corpus.acls.len(), users.len()), (1_647, 1_907));
    let nobody = "user:somebody-else".to_owned();
    for user in users.iter().chain([&nobody]).map(Some).chain([None]) {
        let expected = corpus.visible(user);
        let found = corpus.found(&engine, user);
        assert_eq!(found, expected, "{user:?}: seen and not allowed {:?}", found.difference(&expected).collect::<Vec<_>>());
        seen += found.len();
        callers += 1;
    }
    println!("{callers} callers × {} documents, {seen} seen, in {:.1} s", corpus.acls.len(), begun.elapsed().as_secs_f64());
    assert!(seen > 50_000, "{seen} seen: the comparison compares little");

    // The same by id, for some callers: asking for each document takes several times longer than searching.
    let begun = Instant::now();
    for user in users.iter().step_by(97).chain([&nobody]).map(Some).chain([None]) {
        let expected = corpus.visible(user);
        let read = |id: &&String| match engine.document(&caller(user), SOURCE, id, None, NOW) {
            Ok(_) => true,
            Err(Error::NotFound) => false,
            Err(error) => panic!("{error}"),
        };
        let found: BTreeSet<String> = corpus.acls.keys().filter(read).cloned().collect();
        assert_eq!(found, expected, "{user:?}");
    }
    println!("by id, for every 97th user, in {:.1} s", begun.elapsed().as_secs_f64());
}

struct Corpus {
    /// Allowed principals by document; these ACLs have nothing else.
    acls: BTreeMap<String, BTreeSet<String>>,
    /// Members by group.
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl Corpus {
    fn read(folder: &Path) -> Corpus {
        let lines = std::fs::read_to_string(folder.join("acl.jsonl")).unwrap();
        let names = |list: &Value| list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let acls = lines
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["acl"].as_object().unwrap().keys().collect::<Vec<_>>(), ["allow"]);
                (line["_id"].as_str().unwrap().to_owned(), names(&line["acl"]["allow"]))
            })
            .collect();
        let directory: Value = serde_json::from_slice(&std::fs::read(folder.join("directory.json")).unwrap()).unwrap();
        let groups = directory.as_object().unwrap().iter().map(|(group, members)| (group.clone(), names(members))).collect();
        Corpus { acls, groups }
    }

    fn engine(&self, dir: &Path) -> Engine {
        let engine = Engine::open(dir, &Options::default()).unwrap();
        let groups = self.groups.iter().map(|(group, members)| Write::SetGroup {
            group: principal(group),
            members: members.iter().map(|member| principal(member)).collect(),
        });
        let documents = self.acls.iter().enumerate().map(|(number, (id, allow))| {
            let text = format!("harbour {id}");
            Write::Put(Box::new(NewDocument {
                source: SOURCE.to_owned(),
                id: id.clone(),
                mime: "text/plain".to_owned(),
                labels: [("part".to_owned(), (number / PART).to_string())].into(),
                acl: Some(serde_json::json!({ "allow": allow })),
                chunks: vec![NewChunk { start: 0, end: text.len(), ..NewChunk::default() }],
                text,
                ..NewDocument::default()
            }))
        });
        engine.write(groups.chain(documents).collect(), NOW).unwrap();
        engine
    }

    fn users(&self) -> BTreeSet<String> {
        let all = self.groups.values().chain(self.acls.values()).flatten();
        all.filter(|name| name.starts_with("user:")).cloned().collect()
    }

    /// By the definition: the groups of the user until nothing is added, then each ACL.
    fn visible(&self, user: Option<&String>) -> BTreeSet<String> {
        let mut mine: BTreeSet<&str> = ["public"].into();
        if let Some(user) = user {
            mine.extend(["everyone", user.as_str()]);
        }
        loop {
            let before = mine.len();
            for (group, members) in &self.groups {
                if members.iter().any(|member| mine.contains(member.as_str())) {
                    mine.insert(group);
                }
            }
            if mine.len() == before {
                break;
            }
        }
        let allowed = self.acls.iter().filter(|(_, allow)| allow.iter().any(|name| mine.contains(name.as_str())));
        allowed.map(|(id, _)| id.clone()).collect()
    }

    fn found(&self, engine: &Engine, user: Option<&String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for part in 0..=self.acls.len() / PART {
            let labels = [("part".to_owned(), part.to_string())].into();
            let query = Query {
                text: "harbour".to_owned(),
                mode: Mode::Keyword,
                limit: MAX_LIMIT,
                filter: Filter { labels, ..Filter::default() },
                ..Query::default()
            };
            let results = engine.search(&caller(user), &query, NOW).unwrap();
            found.extend(results.hits.into_iter().map(|hit| hit.citation.document));
        }
        found
    }
}

fn caller(user: Option<&String>) -> Caller {
    user.map_or_else(Caller::public, |user| Caller::user(principal(user)).unwrap())
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}
