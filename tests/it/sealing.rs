//! Vectors that are sealed into segments in the background are found as before, by whom they were found before.

use serde_json::json;
use sightline_index::{
    Caller, Engine, Mode, Model, NewChunk, NewDocument, NewVector, Options, Principal, Query, Timestamp, Write, vector_key,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// More than wait in the tail.
const CHUNKS: usize = 17_000;
const DIMENSIONS: usize = 16;

fn vector(seed: usize) -> Vec<f32> {
    (0..DIMENSIONS).map(|at| ((seed * 31 + at * 17) as f32 * 0.618).sin()).collect()
}

fn put(number: usize, reader: &str) -> Write {
    let text = format!("text {number}");
    // Every fourth is a copy of the one before, so that there are ties.
    let values = Some(vector(number - usize::from(number % 4 == 3)).into());
    let vector = Some(NewVector { key: vector_key("test", &text), values });
    let chunk = NewChunk { start: 0, end: text.len(), vector, ..NewChunk::default() };
    let (source, id, acl) = ("s".to_owned(), format!("d{number}"), Some(json!({ "allow": [reader] })));
    Write::Put(Box::new(NewDocument { source, id, text, acl, chunks: vec![chunk], ..NewDocument::default() }))
}

fn open(dir: &std::path::Path) -> Engine {
    let model = Some(Model { name: "test".to_owned(), dimensions: DIMENSIONS });
    Engine::open(dir, &Options { model, ..Options::default() }).unwrap()
}

/// The nearest of all rows that a user may read, asked exactly and not.
fn answers(engine: &Engine, user: &str) -> Vec<Vec<(u32, f32)>> {
    let caller = Caller::user(Principal::parse(user).unwrap()).unwrap();
    let ask = |(seed, exact): (usize, bool)| {
        let query =
            Query { text: "q".to_owned(), vector: Some(vector(seed)), mode: Mode::Vector, limit: 20, exact, ..Query::default() };
        engine.nearest(&caller, &query, NOW).unwrap()
    };
    (0..20).flat_map(|seed| [(seed, true), (seed, false)]).map(ask).collect()
}

fn segments(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(dir.join("vectors")).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "seg")).collect()
}

#[test]
fn sealing_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let readers = ["user:ana", "user:ben", "everyone"];
    for first in (0..CHUNKS).step_by(1_000) {
        engine.write((first..first + 1_000).map(|number| put(number, readers[number % 3])).collect(), NOW).unwrap();
        if first == 15_000 {
            engine.settle();
            assert!(segments(dir.path()).is_empty());
        }
    }
    // Before and after: what a search finds does not depend on whether the thread was faster.
    let (ana, ben) = (answers(&engine, "user:ana"), answers(&engine, "user:ben"));
    engine.settle();
    assert_eq!(segments(dir.path()).len(), 1);
    assert_eq!((answers(&engine, "user:ana"), answers(&engine, "user:ben")), (ana.clone(), ben.clone()));

    // A sealed row that takes another reader, and one that goes.
    let id = |chunk: u32| format!("d{}", chunk - 1);
    let (first, second) = (ana[0][0].0, ana[0][1].0);
    engine
        .write(vec![Write::SetAcl { source: "s".to_owned(), id: id(first), acl: Some(json!({ "allow": ["user:ben"] })) }], NOW)
        .unwrap();
    engine.write(vec![Write::Delete { source: "s".to_owned(), id: id(second) }], NOW).unwrap();
    let (ana, ben) = (answers(&engine, "user:ana"), answers(&engine, "user:ben"));
    assert!(ana.iter().flatten().all(|(chunk, _)| ![first, second].contains(chunk)));
    assert_eq!(ben[0][0].0, first);

    drop(engine);
    let engine = open(dir.path());
    assert_eq!((answers(&engine, "user:ana"), answers(&engine, "user:ben")), (ana.clone(), ben.clone()));
    assert_eq!(engine.check_deep().unwrap(), [""; 0]);
    drop(engine);

    // Damaged in its head: made again.
    let segment = segments(dir.path()).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let engine = open(dir.path());
    assert_eq!((answers(&engine, "user:ana"), answers(&engine, "user:ben")), (ana, ben));
    engine.settle();
    assert!(!segments(dir.path()).contains(&segment));
}
