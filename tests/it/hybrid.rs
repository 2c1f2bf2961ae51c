//! Hybrid search finds the best of all that a caller may read without scoring all of it.

use serde_json::json;
use sightline_index::{
    Caller, Engine, Mode, Model, NewChunk, NewDocument, NewVector, Options, Principal, Query, Timestamp, Write, vector_key,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// As many as one search may return, so that one that wants all leaves nothing out.
const CHUNKS: usize = 1_000;
const DIMENSIONS: usize = 8;

fn noise(seed: usize) -> usize {
    blake3::hash(&seed.to_le_bytes()).as_bytes().iter().take(4).fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn vector(seed: usize) -> Vec<f32> {
    (0..DIMENSIONS).map(|at| (noise(seed * 64 + at) % 2_001) as f32 - 1_000.5).collect()
}

/// Some words are in most texts, some in few.
fn text(seed: usize, words: usize) -> String {
    let word = |at: usize| {
        let (kind, which) = (noise(seed * 64 + at), noise(seed * 64 + 32 + at));
        format!("w{}", which % [3, 12, 200][kind % 3])
    };
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

fn put(number: usize) -> Write {
    let text = format!("d{number} {}", text(number, 4 + number % 20));
    // Some have no vector; of each six two are equal.
    let values = Some(vector(number - usize::from(number % 6 == 5)).into());
    let vector = (!number.is_multiple_of(5)).then(|| NewVector { key: vector_key("test", &number.to_string()), values });
    let chunk = NewChunk { start: 0, end: text.len(), vector, ..NewChunk::default() };
    let reader = ["user:ana", "user:ben", "everyone"][number % 3];
    let (source, id, acl) = ("s".to_owned(), format!("d{number}"), Some(json!({ "allow": [reader] })));
    Write::Put(Box::new(NewDocument { source, id, text, acl, chunks: vec![chunk], ..NewDocument::default() }))
}

#[test]
fn fewer_hits_are_the_first_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let model = Some(Model { name: "test".to_owned(), dimensions: DIMENSIONS });
    let engine = Engine::open(dir.path(), &Options { model, ..Options::default() }).unwrap();
    engine.write((0..CHUNKS).map(put).collect(), NOW).unwrap();
    for user in ["user:ana", "user:ben"] {
        let caller = Caller::user(Principal::parse(user).unwrap()).unwrap();
        for seed in 0..60 {
            let seed = 10_000 + seed;
            let ask = |limit: usize| {
                let query = Query {
                    text: text(seed, 2 + seed % 7),
                    vector: Some(vector(seed)),
                    mode: Mode::Hybrid,
                    limit,
                    exact: true,
                    fluency: [None, Some(0.2)][seed % 2],
                    ..Query::default()
                };
                engine.rank_chunks(&caller, &query, NOW).unwrap()
            };
            let all = ask(CHUNKS);
            assert!(all.len() > CHUNKS / 2);
            for limit in [1, 10, 40] {
                assert_eq!(ask(limit), all[..limit], "{user}, query {seed}, {limit} hits");
            }
        }
    }
}

/// What matches no word and means the contrary scores 0; the nearest of it come first all the same.
#[test]
fn of_what_does_not_fit_the_nearest_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let model = Some(Model { name: "test".to_owned(), dimensions: DIMENSIONS });
    let engine = Engine::open(dir.path(), &Options { model, ..Options::default() }).unwrap();
    let away = |number: usize| vector(number).into_iter().map(|value| -value.abs()).collect::<Vec<f32>>();
    let put = |number: usize| {
        let vector = Some(NewVector { key: vector_key("test", &number.to_string()), values: Some(away(number).into()) });
        let chunks = vec![NewChunk { start: 0, end: 4, vector, ..NewChunk::default() }];
        let (id, acl) = (format!("d{number}"), Some(json!({ "allow": ["everyone"] })));
        Write::Put(Box::new(NewDocument {
            source: "s".to_owned(),
            id,
            text: "word".to_owned(),
            acl,
            chunks,
            ..NewDocument::default()
        }))
    };
    engine.write((0..100).map(put).collect(), NOW).unwrap();
    let caller = Caller::user(Principal::parse("user:ana").unwrap()).unwrap();
    let ask = |mode: Mode, limit: usize| {
        let vector = Some(vec![1.0; DIMENSIONS]);
        let query = Query { text: "absent".to_owned(), vector, mode, limit, ..Query::default() };
        let found = engine.rank_chunks(&caller, &query, NOW).unwrap();
        found.into_iter().map(|(chunk, _)| chunk).collect::<Vec<_>>()
    };
    let nearest = ask(Mode::Vector, 100);
    assert_eq!(nearest.len(), 100);
    for limit in [1, 10, 70, 100] {
        assert_eq!(ask(Mode::Hybrid, limit), nearest[..limit], "{limit} hits");
    }
}
