//! What does a whole search cost, apart from embedding the query: both halves, fusion, passages and citations?
//!
//! Texts and vectors of `passages-100k`; beyond 100,000 they are repeated, texts with a word of their own and vectors
//! perturbed by gaussian noise of length 0.25. 200 queries, each a sentence with its vector; the caller reads a share of 1,000
//! ACL classes at random. `words` is the keyword half alone, 200 candidates; `rank` is what fusion gives, without texts; `search`
//! is what an application gets, 10 hits. `recall` compares the best 10 with those of an exact search. Times are of five passes over
//! the queries; one before them is not counted. QPS is of one and of two threads. `ingest`: chunks a second with texts and vectors
//! from two writing threads, searchable when answered. `memory`: what the heap has grown by since the data was opened, and which
//! mapped files are in memory, by the endings of their names: signs and clusters (`seg`, `ivf`), int8 codes (`i8`), full vectors
//! (`f32`), keywords (the others). `growth` asks callers who may read so many chunks, whatever is stored: all sizes in turn, pass
//! after pass, so that a slow spell is every size's; `first words` is the keyword half of a caller of whose permit nothing is remembered.
//!
//! Run: `cargo bench --bench hybrid` (`SIZES=100000` is the default, `SHARES=0.1` asks one caller, `QUERIES=1000` all sentences
//! that there are, `SIGHTLINE_DATA` names the folder of the passages); `SIZES=10000,100000,1000000` for growth. `KEEP=folder` keeps
//! the data directories there and measures them again without filling them. Raw figures go to `benches/runs/hybrid.jsonl`;
//! `RUNS` names another file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod corpus;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Mode, Model, NewChunk, NewDocument, NewVector, Options, Principal, Query, Timestamp, Write, vector_key,
};

use corpus::{Passage, passage, passages, perturbed, rows};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CLASSES: usize = 1_000;
const QUERIES: usize = 200;
const WRITERS: usize = 2;
const BATCH: usize = 1_000;
const DIMENSIONS: usize = 384;
const SELECTIVITIES: [f64; 5] = [1.0, 0.5, 0.1, 0.01, 0.001];
/// What each half brings to the fusion.
const CANDIDATES: usize = 200;
/// Chunks that the callers may read whose times are to stay flat while more is stored.
const PERMITTED: [usize; 2] = [1_000, 10_000];
const PASSES: usize = 10;
/// Passes over the questions that are counted, for the times of one share.
const COUNTED: usize = 5;

type Question = (String, Vec<f32>);
type Ask = fn(&Engine, &Caller, &Question);

struct Corpus {
    texts: Vec<Passage>,
    vectors: Vec<Vec<f32>>,
}

fn main() {
    let data = corpus::folder();
    if !data.is_dir() {
        println!("skipped: {} is absent; name the folder of the passages with SIGHTLINE_DATA", data.display());
        return;
    }
    let corpus = Corpus { texts: passages(&data), vectors: rows(&data.join("vectors.i8.npy")).unwrap() };
    let questions: Vec<Value> = serde_json::from_reader(std::fs::File::open(data.join("queries.json")).unwrap()).unwrap();
    let questions: Vec<Question> = questions
        .iter()
        .map(|question| question["text"].as_str().unwrap().to_owned())
        .zip(rows(&data.join("queries.f32.npy")).unwrap())
        .take(std::env::var("QUERIES").map_or(QUERIES, |queries| queries.parse().unwrap()))
        .collect();
    let runs = std::env::var_os("RUNS").map_or_else(|| PathBuf::from("benches/runs/hybrid.jsonl"), PathBuf::from);
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open(runs).unwrap();
    let mut note = |row: Value| {
        println!("{row}");
        writeln!(out, "{row}").unwrap();
    };
    let mut opened: Vec<(usize, Engine, Folder)> = Vec::new();
    for size in std::env::var("SIZES").unwrap_or_else(|_| "100000".to_owned()).split(',') {
        let size: usize = size.parse().unwrap();
        let dir = Folder::of(size);
        let options = Options { model: Some(Model { name: "bench".to_owned(), dimensions: DIMENSIONS }), ..Options::default() };
        if !dir.filled() {
            let engine = Engine::open(dir.path(), &options).unwrap();
            note(fill(&engine, &corpus, size));
            engine.checkpoint().unwrap();
            engine.settle();
        }
        let (heap, _) = resident(dir.path());
        let begun = Instant::now();
        let engine = Engine::open(dir.path(), &options).unwrap();
        note(json!({ "engine": "sightline", "mode": "open", "size": size, "seconds": begun.elapsed().as_secs_f64() }));
        engine.settle();
        let shares = std::env::var("SHARES").map(|shares| shares.split(',').map(|share| share.parse().unwrap()).collect());
        for share in shares.unwrap_or_else(|_| SELECTIVITIES.to_vec()) {
            measure(&engine, &questions, size, share, &mut note);
        }
        let (after, mapped) = resident(dir.path());
        note(
            json!({ "engine": "sightline", "mode": "memory", "size": size, "heap_mb": after.saturating_sub(heap), "mapped_mb": mapped }),
        );
        opened.push((size, engine, dir));
    }
    if opened.len() > 1 {
        PERMITTED.iter().for_each(|permitted| growth(&opened, &questions, *permitted, &mut note));
    }
}

/// Where the data is: a folder that is kept, or one that is not.
enum Folder {
    Kept(PathBuf),
    Brief(tempfile::TempDir),
}

impl Folder {
    fn of(size: usize) -> Folder {
        match std::env::var_os("KEEP") {
            Some(kept) => Folder::Kept(PathBuf::from(kept).join(format!("hybrid-{size}"))),
            None => Folder::Brief(tempfile::tempdir().unwrap()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Brief(folder) => folder.path(),
        }
    }

    fn filled(&self) -> bool {
        self.path().join("catalog.sqlite").exists()
    }
}

/// Megabytes of the heap, and those of mapped files that are in memory, by the endings of their names.
fn resident(dir: &Path) -> (u64, BTreeMap<String, u64>) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let heap = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).map_or(0, kilobytes);
    let mut mapped: BTreeMap<String, u64> = BTreeMap::new();
    let mut kind = None;
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap_or_default().lines() {
        if let Some(bytes) = line.strip_prefix("Rss:") {
            kind.iter().for_each(|kind: &String| *mapped.entry(kind.clone()).or_default() += kilobytes(bytes));
        } else if line.contains(" r--") {
            let name = line.find('/').map(|at| Path::new(&line[at..])).filter(|name| name.starts_with(dir));
            kind = name.and_then(|name| Some(name.extension()?.to_string_lossy().into_owned()));
        } else if line.split(' ').next().is_some_and(|word| word.contains('-')) {
            kind = None;
        }
    }
    (heap / 1024, mapped.into_iter().map(|(kind, kilobytes)| (kind, kilobytes / 1024)).collect())
}

fn kilobytes(field: &str) -> u64 {
    field.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Puts one document for each passage, from two threads.
fn fill(engine: &Engine, corpus: &Corpus, size: usize) -> Value {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..WRITERS {
            scope.spawn(move || {
                for first in (thread * BATCH..size).step_by(WRITERS * BATCH) {
                    let puts = (first..size.min(first + BATCH)).map(|number| document(corpus, number));
                    engine.write(puts.collect(), NOW).unwrap();
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    json!({ "engine": "sightline", "mode": "ingest", "size": size, "seconds": seconds, "chunks_per_s": (size as f64 / seconds).round() })
}

fn document(corpus: &Corpus, number: usize) -> Write {
    let Passage { title, text } = passage(&corpus.texts, number);
    let known = &corpus.vectors[number % corpus.vectors.len()];
    let values = if number < corpus.vectors.len() { known.clone() } else { perturbed(known, number as u64) };
    let vector = Some(NewVector { key: vector_key("bench", &number.to_string()), values: Some(values.into()) });
    let chunk = NewChunk { start: 0, end: text.len(), vector, ..NewChunk::default() };
    Write::Put(Box::new(NewDocument {
        source: "bench".to_owned(),
        id: format!("d{number}"),
        title: Some(title),
        text,
        acl: Some(json!({ "allow": [format!("group:c{}", number * 7_919 % CLASSES)] })),
        chunks: vec![chunk],
        ..NewDocument::default()
    }))
}

/// A user who is made a member of the groups of a share of the classes.
fn reader(engine: &Engine, share: f64) -> Caller {
    let user = Principal::parse(&format!("user:reads{share}")).unwrap();
    // Classes are spread over the numbers, so any run of them is a random share of the passages.
    let groups = (0..(share * CLASSES as f64).round() as usize).map(|class| Principal::parse(&format!("group:c{class}")).unwrap());
    let members = vec![user.clone()];
    engine.write(groups.map(|group| Write::SetGroup { group, members: members.clone() }).collect(), NOW).unwrap();
    Caller::user(user).unwrap()
}

fn query((text, vector): &Question) -> Query {
    Query { text: text.clone(), vector: Some(vector.clone()), mode: Mode::Hybrid, limit: 10, ..Query::default() }
}

/// What is measured: the halves as the fusion asks for them, what it gives, and the whole search.
const PARTS: [(&str, Ask); 4] = [
    ("words", |engine, caller, (text, _)| {
        let query = Query { text: text.clone(), mode: Mode::Keyword, limit: CANDIDATES, ..Query::default() };
        drop(engine.rank_chunks(caller, &query, NOW).unwrap());
    }),
    ("nearest", |engine, caller, question| {
        drop(engine.nearest(caller, &Query { mode: Mode::Vector, ..query(question) }, NOW).unwrap());
    }),
    ("rank", |engine, caller, question| drop(engine.rank_chunks(caller, &query(question), NOW).unwrap())),
    ("search", |engine, caller, question| drop(engine.search(caller, &query(question), NOW).unwrap())),
];

/// The keyword half when nothing is remembered of the caller's permit.
const FIRST: (&str, Ask) = ("first words", |engine, caller, question| {
    engine.forget_counts();
    PARTS[0].1(engine, caller, question);
});

/// How long each question takes.
fn times(engine: &Engine, caller: &Caller, questions: &[Question], ask: Ask) -> Vec<Duration> {
    let one = |question| {
        let begun = Instant::now();
        ask(engine, caller, question);
        begun.elapsed()
    };
    questions.iter().map(one).collect()
}

/// The time in milliseconds that so many of a hundred stay below.
fn percentile(times: &mut [Duration], part: usize) -> f64 {
    times.sort();
    times[times.len() * part / 100].as_secs_f64() * 1e3
}

fn measure(engine: &Engine, questions: &[Question], size: usize, share: f64, note: &mut impl FnMut(Value)) {
    let caller = reader(engine, share);
    let exact = |question| Query { exact: true, ..query(question) };
    let found = questions.iter().map(|question| {
        let best = engine.rank_chunks(&caller, &exact(question), NOW).unwrap();
        let found = engine.rank_chunks(&caller, &query(question), NOW).unwrap();
        let kept = best.iter().filter(|(chunk, _)| found.iter().any(|(found, _)| found == chunk)).count();
        kept as f64 / best.len().max(1) as f64
    });
    let recall = found.sum::<f64>() / questions.len() as f64;
    note(
        json!({ "engine": "sightline", "mode": "hybrid rank", "size": size, "acl": "random", "selectivity": share, "recall": recall }),
    );
    for (part, ask) in PARTS {
        times(engine, &caller, questions, ask);
        let mut times: Vec<Duration> = (0..COUNTED).flat_map(|_| times(engine, &caller, questions, ask)).collect();
        note(json!({ "engine": "sightline", "mode": format!("hybrid {part}"), "size": size, "acl": "random", "selectivity": share,
            "p50_ms": percentile(&mut times, 50), "p99_ms": percentile(&mut times, 99) }));
    }
    for threads in [1, 2] {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| questions.iter().for_each(|question| drop(engine.search(&caller, &query(question), NOW).unwrap())));
            }
        });
        let qps = (threads * questions.len()) as f64 / begun.elapsed().as_secs_f64();
        note(json!({ "engine": "sightline", "mode": "hybrid search", "size": size, "acl": "random", "selectivity": share,
            "threads": threads, "qps": qps.round() }));
    }
}

/// The same number of permitted chunks out of more and more.
fn growth(opened: &[(usize, Engine, Folder)], questions: &[Question], permitted: usize, note: &mut impl FnMut(Value)) {
    let callers: Vec<Caller> = opened.iter().map(|(size, engine, _)| reader(engine, permitted as f64 / *size as f64)).collect();
    for (part, ask) in PARTS.into_iter().chain([FIRST]) {
        let mut taken = vec![Vec::new(); opened.len()];
        for pass in 0..=PASSES {
            for (((_, engine, _), caller), taken) in opened.iter().zip(&callers).zip(&mut taken) {
                let times = times(engine, caller, questions, ask);
                if pass > 0 {
                    taken.extend(times);
                }
            }
        }
        let smallest = percentile(&mut taken[0], 50);
        for ((size, ..), taken) in opened.iter().zip(&mut taken) {
            let p50 = percentile(taken, 50);
            note(json!({ "engine": "sightline", "mode": format!("growth {part}"), "size": size, "permitted": permitted,
                "p50_ms": p50, "p99_ms": percentile(taken, 99), "ratio": p50 / smallest }));
        }
    }
}
