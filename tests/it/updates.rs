//! What a write does beside what it says: a document that is being replaced is always found, in the version before or
//! after, and a permission change writes no index file.

use std::sync::atomic::{AtomicBool, Ordering};

use sightline_index::{Caller, Engine, Mode, NewChunk, NewDocument, Options, Principal, Query, Timestamp, Write};

use crate::permissions::scratch;

const VERSIONS: usize = 200;

fn put(engine: &Engine, number: usize) {
    let text = format!("harbour plan number{number}");
    let chunk = NewChunk { start: 0, end: text.len(), ..NewChunk::default() };
    let document = NewDocument {
        source: "wiki".to_owned(),
        id: "plan".to_owned(),
        text,
        acl: Some(serde_json::json!({ "allow": ["public"] })),
        chunks: vec![chunk],
        ..NewDocument::default()
    };
    engine.write(vec![Write::Put(Box::new(document))], Timestamp(1_000)).unwrap();
}

#[test]
fn a_document_is_never_missing_while_it_is_replaced() {
    let dir = scratch();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    put(&engine, 0);
    let done = AtomicBool::new(false);
    let searches: usize = std::thread::scope(|scope| {
        let searcher = scope.spawn(|| {
            let query = Query { text: "harbour".to_owned(), mode: Mode::Keyword, limit: 5, ..Query::default() };
            let mut searches = 0;
            while !done.load(Ordering::Acquire) {
                let found = engine.search(&Caller::public(), &query, Timestamp(1_000)).unwrap();
                assert_eq!(found.hits.len(), 1, "search {searches}");
                searches += 1;
            }
            searches
        });
        (1..=VERSIONS).for_each(|number| put(&engine, number));
        done.store(true, Ordering::Release);
        searcher.join().unwrap()
    });
    assert!(searches > VERSIONS, "only {searches} searches ran beside {VERSIONS} versions");
}

/// Names, sizes and times of the index files.
fn index_files(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut files = Vec::new();
    for folder in ["keyword", "vectors"] {
        for entry in std::fs::read_dir(dir.join(folder)).into_iter().flatten() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            files.push((entry.path(), metadata.len(), metadata.modified().unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_permission_change_writes_no_index_file() {
    let dir = scratch();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    (0..5).for_each(|number| put(&engine, number));
    let found = |engine: &Engine| {
        let query = Query { text: "harbour".to_owned(), mode: Mode::Keyword, limit: 5, ..Query::default() };
        engine.search(&Caller::public(), &query, Timestamp(1_000)).unwrap().hits.len()
    };
    assert_eq!(found(&engine), 1);
    let before = index_files(dir.path());
    assert!(!before.is_empty());
    let (source, id) = ("wiki".to_owned(), "plan".to_owned());
    let group = Principal::parse("group:eng").unwrap();
    let acl = |acl: serde_json::Value| Some(acl);
    for write in [
        Write::SetContainer {
            source: source.clone(),
            id: "top".to_owned(),
            acl: acl(serde_json::json!({ "allow": ["group:eng"] })),
        },
        Write::SetAcl { source: source.clone(), id, acl: acl(serde_json::json!({ "parent": "top" })) },
        Write::ChangeGroup { group, add: vec![Principal::parse("user:ana").unwrap()], remove: vec![] },
        Write::SetContainer { source, id: "top".to_owned(), acl: acl(serde_json::json!({ "allow": ["user:bo"] })) },
    ] {
        engine.write(vec![write], Timestamp(1_000)).unwrap();
    }
    assert_eq!(found(&engine), 0);
    assert_eq!(index_files(dir.path()), before);
}
