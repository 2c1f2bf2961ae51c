//! Writes that share a transaction: each is answered for itself, and what one thread was answered it can read.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sightline_index::{Caller, Engine, Error, NewChunk, NewDocument, Options, Outcome, Principal, Query, Timestamp, Write};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn document(id: &str, text: &str) -> Write {
    Write::Put(Box::new(NewDocument {
        source: "s".to_owned(),
        id: id.to_owned(),
        text: text.to_owned(),
        acl: Some(json!({ "allow": ["public"] })),
        chunks: vec![NewChunk { start: 0, end: text.len(), ..NewChunk::default() }],
        ..NewDocument::default()
    }))
}

fn refused(id: &str) -> Write {
    let Write::Put(mut document) = document(id, "refused") else { unreachable!() };
    document.replaces = [("dept".to_owned(), "hr".to_owned())].into();
    Write::Put(document)
}

#[test]
fn many_threads_write_at_once_and_each_is_answered_for_itself() {
    const THREADS: usize = 16;
    const EACH: usize = 25;
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    engine.write(vec![document("taken", "taken")], NOW).unwrap();
    let refusals = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, refusals) = (&engine, &refusals);
            scope.spawn(move || {
                for number in 0..EACH {
                    let (id, word) = (format!("{thread}/{number}"), format!("word{thread}x{number}"));
                    // The second of a batch is refused, and the first with it.
                    let batch = engine.write(vec![document(&format!("never/{id}"), "never"), refused("taken")], NOW);
                    assert!(matches!(batch, Err(Error::NotReplaceable { .. })), "{batch:?}");
                    refusals.fetch_add(1, Ordering::Relaxed);
                    let receipts = engine.write(vec![document(&id, &word)], NOW).unwrap();
                    assert_eq!((receipts[0].outcome, receipts[0].version), (Outcome::Created, 1));
                    let query = Query { text: word, limit: 5, ..Query::default() };
                    let found = engine.search(&Caller::public(), &query, NOW).unwrap();
                    assert_eq!(found.hits.len(), 1, "{id}");
                    assert!(found.epoch >= receipts[0].epoch);
                }
            });
        }
    });
    assert_eq!(refusals.into_inner(), THREADS * EACH);
    assert_eq!(engine.stats().unwrap().documents as usize, THREADS * EACH + 1);
    let never = Query { text: "never".to_owned(), limit: 5, ..Query::default() };
    assert!(engine.search(&Caller::public(), &never, NOW).unwrap().hits.is_empty());
}

/// While one transaction is published the next may be committed; what searches see is nevertheless what came last.
#[test]
fn writes_are_published_in_the_order_of_their_commits() {
    const THREADS: usize = 6;
    const EACH: usize = 30;
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    engine.write(vec![document("contested", "contested")], NOW).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..EACH {
                    // Some have much to publish, others nothing but who may read one document.
                    let puts = (0..thread * 20).map(|at| document(&format!("{thread}/{number}/{at}"), "filler"));
                    let acl = json!({ "allow": [format!("user:{thread}-{number}")] });
                    let change = Write::SetAcl { source: "s".to_owned(), id: "contested".to_owned(), acl: Some(acl) };
                    engine.write(puts.chain([change]).collect(), NOW).unwrap();
                }
            });
        }
    });
    let readers = |engine: &Engine| -> Vec<String> {
        let all = (0..THREADS).flat_map(|thread| (0..EACH).map(move |number| format!("user:{thread}-{number}")));
        let reads = |user: &String| {
            let caller = Caller::user(Principal::parse(user).unwrap()).unwrap();
            let query = Query { text: "contested".to_owned(), limit: 5, ..Query::default() };
            !engine.search(&caller, &query, NOW).unwrap().hits.is_empty()
        };
        all.filter(reads).collect()
    };
    let before = readers(&engine);
    assert_eq!((before.len(), engine.check_deep().unwrap()), (1, Vec::new()));
    drop(engine);
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    assert_eq!(readers(&engine), before);
}

#[test]
fn each_of_several_writes_is_refused_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    let results = engine.write_each(vec![document("a", "mooring"), refused("a"), document("", "x"), document("b", "pier")], NOW);
    let results = results.unwrap();
    assert!(results[0].is_ok() && results[3].is_ok());
    assert!(matches!(results[1], Err(Error::NotReplaceable { .. })));
    assert!(matches!(results[2], Err(Error::Invalid { .. })));
    assert_eq!(engine.heads("s", "", 10).unwrap().len(), 2);
    let (first, last) = (results[0].as_ref().unwrap().seq, results[3].as_ref().unwrap().seq);
    assert_eq!(last, first + 1, "a refused write takes no number");
}
