//! What does caller-scoped BM25 cost beside a plain index that knows no permissions?
//!
//! Corpus: `passages-100k` (env `SIGHTLINE_DATA`, default `../shared/data/passages-100k`), 100,000 passages of product
//! documentation and 1,000 sentences as queries, of which the first 200 are asked. Each passage has one of 1,000 ACL classes
//! at random (seed 7); a caller of selectivity s reads that share of the classes, another set for each of 16 callers. The floor
//! is tantivy in the same process, on an index of the same terms, `TopDocs(10)` of an OR of the same words, no permissions,
//! asked alternately. `cold`: bitmaps and counts of the permit are forgotten before each query; `warm`: the query was asked
//! before. Writes: chunks per second in batches of 1,000, and single documents one by one, without vectors.
//!
//! Run: `cargo bench --bench keyword` (`SIZES=10000,100000` is the default; sizes beyond the corpus repeat it with a suffix:
//! `SIZES=1000000`). Raw figures go to `benches/runs/keyword.jsonl`; `RUNS` names another file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod corpus;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::{Caller, Engine, Mode, NewChunk, NewDocument, Options, Principal, Query, Timestamp, Write, analyzed};
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, TermQuery};
use tantivy::schema::{IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, Searcher, TantivyDocument, Term};

use corpus::{Passage, passage, passages};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CLASSES: usize = 1_000;
const CALLERS: usize = 16;
const QUERIES: usize = 200;
const BATCH: usize = 1_000;
const SELECTIVITIES: [f64; 8] = [100.0, 50.0, 25.0, 10.0, 5.0, 1.0, 0.1, 0.01];

fn main() {
    let data = corpus::folder();
    if !data.is_dir() {
        println!("skipped: {} is absent; name the corpus with SIGHTLINE_DATA", data.display());
        return;
    }
    let sizes = std::env::var("SIZES").unwrap_or_else(|_| "10000,100000".to_owned());
    let runs = std::env::var_os("RUNS").map_or_else(|| PathBuf::from("benches/runs/keyword.jsonl"), PathBuf::from);
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open(runs).unwrap();
    let mut note = |row: Value| {
        println!("{row}");
        writeln!(out, "{row}").unwrap();
    };
    let passages = passages(&data);
    let queries: Vec<Value> = serde_json::from_reader(std::fs::File::open(data.join("queries.json")).unwrap()).unwrap();
    let queries: Vec<String> = queries.iter().take(QUERIES).map(|query| query["text"].as_str().unwrap().to_owned()).collect();
    for size in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), &Options::default()).unwrap();
        note(fill(&engine, &passages, size));
        note(singles(&engine, &passages));
        // A background merge is taken over by a later checkpoint.
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(250));
            engine.checkpoint().unwrap();
        }
        let floor = Floor::new(&passages, size);
        for selectivity in SELECTIVITIES {
            for cold in [true, false] {
                for row in cell(&engine, &floor, &queries, size, selectivity, cold) {
                    note(row);
                }
            }
        }
    }
}

fn document(passages: &[Passage], number: usize, acl: Value) -> Write {
    let Passage { title, text } = passage(passages, number);
    let chunk = NewChunk { start: 0, end: text.len(), ..NewChunk::default() };
    Write::Put(Box::new(NewDocument {
        source: "bench".to_owned(),
        id: format!("d{number}"),
        title: Some(title),
        text,
        acl: Some(acl),
        chunks: vec![chunk],
        ..NewDocument::default()
    }))
}

fn user(selectivity: f64, caller: usize) -> Principal {
    Principal::parse(&format!("user:s{selectivity}-{caller}")).unwrap()
}

fn fill(engine: &Engine, passages: &[Passage], size: usize) -> Value {
    let mut dice = 7u64;
    let mut members = vec![Vec::new(); CLASSES];
    for selectivity in SELECTIVITIES.into_iter().filter(|selectivity| *selectivity >= 0.1) {
        for caller in 0..CALLERS {
            let mut classes: Vec<usize> = (0..CLASSES).collect();
            for at in 0..CLASSES {
                classes.swap(at, at + roll(&mut dice) as usize % (CLASSES - at));
            }
            for class in &classes[..(selectivity * CLASSES as f64 / 100.0).round() as usize] {
                members[*class].push(user(selectivity, caller));
            }
        }
    }
    let groups = members.into_iter().enumerate().map(|(class, members)| {
        let group = Principal::parse(&format!("group:c{class}")).unwrap();
        Write::SetGroup { group, members }
    });
    engine.write(groups.collect(), NOW).unwrap();
    let begun = Instant::now();
    for first in (0..size).step_by(BATCH) {
        let puts = (first..size.min(first + BATCH)).map(|number| {
            let mut allow = vec![format!("group:c{}", roll(&mut dice) as usize % CLASSES)];
            // One of ten thousand is also read by callers that read no class.
            if roll(&mut dice).is_multiple_of(10_000) {
                allow.extend((0..CALLERS).map(|caller| user(0.01, caller).to_string()));
            }
            document(passages, number, json!({ "allow": allow }))
        });
        engine.write(puts.collect(), NOW).unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    json!({ "engine": "sightline", "mode": "write", "size": size, "batch": BATCH, "seconds": seconds, "chunks_per_s": size as f64 / seconds })
}

/// Documents that are written one by one, each a replacement of one that is there.
fn singles(engine: &Engine, passages: &[Passage]) -> Value {
    let mut times = Vec::new();
    for number in 0..300 {
        let mut write = document(passages, number, json!({ "allow": [format!("group:c{}", number % CLASSES)] }));
        if let Write::Put(document) = &mut write {
            document.id = format!("single{}", number % 200);
        }
        let begun = Instant::now();
        engine.write(vec![write], NOW).unwrap();
        times.push(begun.elapsed());
    }
    let (p50, p99) = quantiles(times);
    json!({ "engine": "sightline", "mode": "write", "batch": 1, "p50_ms": p50, "p99_ms": p99 })
}

/// tantivy over the same terms.
struct Floor {
    searcher: Searcher,
    terms: tantivy::schema::Field,
    _dir: tempfile::TempDir,
}

impl Floor {
    fn new(passages: &[Passage], size: usize) -> Floor {
        let dir = tempfile::tempdir().unwrap();
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_tokenizer("whitespace").set_index_option(IndexRecordOption::WithFreqs);
        let terms = schema.add_text_field("terms", TextOptions::default().set_indexing_options(indexing));
        let index = Index::create_in_dir(dir.path(), schema.build()).unwrap();
        let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, 512 << 20).unwrap();
        for number in 0..size {
            let Passage { title, text } = passage(passages, number);
            let mut document = TantivyDocument::new();
            document.add_text(terms, analyzed(&format!("{title}\n{text}")).join(" "));
            writer.add_document(document).unwrap();
        }
        writer.commit().unwrap();
        writer.wait_merging_threads().unwrap();
        Floor { searcher: index.reader().unwrap().searcher(), terms, _dir: dir }
    }

    fn search(&self, text: &str) -> usize {
        let terms = analyzed(text).into_iter().map(|term| Term::from_field_text(self.terms, &term));
        let words =
            terms.map(|term| Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)) as Box<dyn tantivy::query::Query>);
        let query = BooleanQuery::union(words.collect());
        self.searcher.search(&query, &TopDocs::with_limit(10).order_by_score()).unwrap().len()
    }
}

fn cell(engine: &Engine, floor: &Floor, queries: &[String], size: usize, selectivity: f64, cold: bool) -> [Value; 2] {
    let callers: Vec<Caller> = (0..CALLERS).map(|caller| Caller::user(user(selectivity, caller)).unwrap()).collect();
    let ask = |at: usize| {
        let query = Query { text: queries[at].clone(), mode: Mode::Keyword, limit: 10, ..Query::default() };
        let caller = &callers[at % CALLERS];
        let begun = Instant::now();
        let found = engine.rank_chunks(caller, &query, NOW).unwrap().len();
        (begun.elapsed(), found)
    };
    // Permits, and for the warm case counts, are there before.
    queries.iter().enumerate().for_each(|(at, _)| {
        ask(at);
    });
    let (mut ours, mut plain, mut found) = (Vec::new(), Vec::new(), 0);
    for (at, text) in queries.iter().enumerate() {
        let begun = Instant::now();
        floor.search(text);
        plain.push(begun.elapsed());
        if cold {
            engine.forget_counts();
        }
        let (time, hits) = ask(at);
        ours.push(time);
        found += hits;
    }
    let ((p50, p99), (plain_p50, plain_p99)) = (quantiles(ours), quantiles(plain));
    let row = |engine: &str, p50: f64, p99: f64| {
        json!({ "engine": engine, "mode": "keyword", "size": size, "acl": "random", "selectivity": selectivity,
            "cache": if cold { "cold" } else { "warm" }, "p50_ms": p50, "p99_ms": p99 })
    };
    let mut own = row("sightline", p50, p99);
    own["ratio"] = json!((p50 / plain_p50 * 100.0).round() / 100.0);
    own["ratio_p99"] = json!((p99 / plain_p99 * 100.0).round() / 100.0);
    own["hits"] = json!(found as f64 / queries.len() as f64);
    [row("tantivy", plain_p50, plain_p99), own]
}

/// Median and 99th percentile, in milliseconds.
fn quantiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |share: f64| (times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6).round() / 1e3;
    (at(0.5), at(0.99))
}

fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
