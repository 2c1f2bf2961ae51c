//! A document that is being replaced is always found, in the version before or after.

use std::sync::atomic::{AtomicBool, Ordering};

use sightline_index::{Caller, Engine, Mode, NewChunk, NewDocument, Options, Query, Timestamp, Write};

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
