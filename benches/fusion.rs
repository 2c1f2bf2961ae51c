//! Which way of putting keyword and vector scores together ranks best, over all collections with one setting?
//!
//! For each collection in BEIR layout: the candidates of a hybrid search (the best 200 of either half, each with both scores),
//! ranked by several formulas, and nDCG@10 of documents at their best passage. `rrf` is reciprocal rank with k = 60, `minmax`
//! a convex combination of scores scaled between the candidates' lowest and highest, `z` of standard scores, `max` of scores
//! divided by the highest, `standout` the same with a weight by query, from how far each half's best stands out, `engine` the same
//! with weight 0.5 times how well the model knows the query's language. The number is the vectors' weight.
//!
//! Run: `cargo bench --bench fusion` (`SIGHTLINE_DATA` names a folder of collections, `SETS` those to take, `KEEP` a folder for
//! the data directories, so that a second run embeds nothing). Raw figures go to `benches/runs/fusion.jsonl`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use sightline::eval::{self, Collection, Measures};
use sightline_index::{Caller, Engine, MAX_LIMIT, Options, Query, Timestamp};
use sightline_ingest::{Embedder, Limits, Pipeline, Sandbox};

const SETS: &str = "scifact,xquad/en,xquad/de,xquad/zh,xquad/ar,jsquad/valid,cmrc2018/dev";
/// Candidates of each half.
const DEPTH: usize = 200;

/// A passage found by either half.
struct Candidate {
    document: String,
    keyword: f32,
    vector: f32,
    /// What the engine gave it.
    score: f32,
}

type Formula = Box<dyn Fn(&[Candidate]) -> Vec<f32>>;

fn main() {
    let data = std::env::var_os("SIGHTLINE_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let Some(model) = Embedder::find(None).filter(|_| data.is_dir()) else {
        println!("skipped: {} or the model is absent; see the head of benches/fusion.rs", data.display());
        return;
    };
    let embedder = Arc::new(Embedder::open(&model, 2).unwrap());
    let formulas = formulas();
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open("benches/runs/fusion.jsonl").unwrap();
    let sets = std::env::var("SETS").unwrap_or_else(|_| SETS.to_owned());
    println!("{:<16}{}", "", formulas.iter().map(|(name, _)| format!("{name:>13}")).collect::<String>());
    for name in sets.split(',') {
        let collection = Collection::read(&data.join(name), name).unwrap();
        let candidates = candidates(&collection, embedder.clone(), name);
        let mut row = json!({ "collection": name, "queries": candidates.len() });
        let mut line = format!("{name:<16}");
        for (formula, score) in &formulas {
            let measured = candidates.iter().filter_map(|(query, found)| {
                let ranking = ranked(found, &score(found));
                Measures::of(ranking.iter().map(String::as_str), &collection.judgements[query])
            });
            let measured: Vec<Measures> = measured.collect();
            let ndcg = Measures::mean(measured.iter()).ndcg_10;
            line += &format!("{ndcg:>13.4}");
            row[formula] = json!((ndcg * 1e4).round() / 1e4);
        }
        println!("{line}");
        writeln!(out, "{row}").unwrap();
    }
}

fn formulas() -> Vec<(String, Formula)> {
    let mut all: Vec<(String, Formula)> = vec![
        ("keyword".to_owned(), Box::new(|found| found.iter().map(|candidate| candidate.keyword).collect())),
        ("vector".to_owned(), Box::new(|found| found.iter().map(|candidate| candidate.vector).collect())),
        ("rrf".to_owned(), Box::new(reciprocal_ranks)),
    ];
    for weight in [0.4, 0.5, 0.6] {
        all.push((format!("minmax {weight}"), Box::new(move |found| mix(found, weight, min_max))));
        all.push((format!("z {weight}"), Box::new(move |found| mix(found, weight, standard))));
        all.push((format!("max {weight}"), Box::new(move |found| mix(found, weight, by_highest))));
    }
    all.push(("standout 0.5".to_owned(), Box::new(|found| mix(found, standout(found, 0.5), by_highest))));
    all.push(("engine".to_owned(), Box::new(|found| found.iter().map(|candidate| candidate.score).collect())));
    all
}

/// By query: the candidates that the engine would fuse.
fn candidates(collection: &Collection, embedder: Arc<Embedder>, name: &str) -> BTreeMap<String, Vec<Candidate>> {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("KEEP").map(|folder| Path::new(&folder).join(name.replace('/', "-")));
    let dir = kept.unwrap_or_else(|| temporary.path().to_owned());
    let engine = Engine::open(&dir, &Options { model: Some(embedder.model().clone()), ..Options::default() }).unwrap();
    let pipeline = Pipeline::new(Arc::new(engine), Some(embedder), Limits::default(), Sandbox::in_process());
    eval::ingest(&pipeline, collection, |_| {}).unwrap();
    let judged = collection.queries.iter().filter(|query| collection.judgements.contains_key(&query.id));
    let of = |query: &str| {
        let mut asked = Query { text: query.to_owned(), limit: MAX_LIMIT, exact: true, ..Query::default() };
        pipeline.embed_query(&mut asked);
        let hits = pipeline.engine().search(&Caller::public(), &asked, Timestamp::now()).unwrap().hits;
        let found = hits.into_iter().map(|hit| Candidate {
            document: hit.citation.document,
            keyword: hit.scores.keyword.unwrap_or(0.0),
            vector: hit.scores.vector.unwrap_or(-1.0),
            score: hit.score,
        });
        best_of_each(found.collect())
    };
    judged.map(|query| (query.id.clone(), of(&query.text))).collect()
}

fn best_of_each(found: Vec<Candidate>) -> Vec<Candidate> {
    let keyword = best(&found, |candidate| candidate.keyword);
    let vector = best(&found, |candidate| candidate.vector);
    let keep: HashSet<usize> = keyword.into_iter().filter(|at| found[*at].keyword > 0.0).chain(vector).collect();
    found.into_iter().enumerate().filter(|(at, _)| keep.contains(at)).map(|(_, candidate)| candidate).collect()
}

fn best(found: &[Candidate], score: impl Fn(&Candidate) -> f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| score(&found[*b]).total_cmp(&score(&found[*a])));
    order.truncate(DEPTH);
    order
}

/// Documents at their best passage.
fn ranked(found: &[Candidate], scores: &[f32]) -> Vec<String> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut seen = HashSet::new();
    let documents = order.into_iter().map(|at| found[at].document.clone());
    documents.filter(|document| seen.insert(document.clone())).take(10).collect()
}

fn mix(found: &[Candidate], weight: f32, scale: impl Fn(Vec<f32>) -> Vec<f32>) -> Vec<f32> {
    let keyword = scale(found.iter().map(|candidate| candidate.keyword).collect());
    let vector = scale(found.iter().map(|candidate| candidate.vector).collect());
    keyword.into_iter().zip(vector).map(|(words, meaning)| (1.0 - weight) * words + weight * meaning).collect()
}

fn min_max(scores: Vec<f32>) -> Vec<f32> {
    let low = scores.iter().copied().fold(f32::MAX, f32::min);
    let high = scores.iter().copied().fold(f32::MIN, f32::max);
    scores.into_iter().map(|score| (score - low) / (high - low).max(f32::MIN_POSITIVE)).collect()
}

fn standard(scores: Vec<f32>) -> Vec<f32> {
    let (mean, deviation) = moments(&scores);
    scores.into_iter().map(|score| (score - mean) / deviation).collect()
}

fn by_highest(scores: Vec<f32>) -> Vec<f32> {
    let high = scores.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    scores.into_iter().map(|score| score.max(0.0) / high).collect()
}

fn moments(scores: &[f32]) -> (f32, f32) {
    let count = scores.len().max(1) as f32;
    let mean = scores.iter().sum::<f32>() / count;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt().max(1e-6))
}

/// The vectors' weight for one query.
fn standout(found: &[Candidate], weight: f32) -> f32 {
    let of = |score: &dyn Fn(&Candidate) -> f32| {
        let scores: Vec<f32> = best(found, score).into_iter().take(100).map(|at| score(&found[at])).collect();
        let (mean, deviation) = moments(&scores);
        (scores.first().copied().unwrap_or(0.0) - mean) / deviation
    };
    let (words, meaning) = (of(&|candidate| candidate.keyword), of(&|candidate| candidate.vector));
    weight * meaning / (weight * meaning + (1.0 - weight) * words).max(1e-6)
}

fn reciprocal_ranks(found: &[Candidate]) -> Vec<f32> {
    let mut scores = vec![0.0; found.len()];
    for order in [best(found, |candidate| candidate.keyword), best(found, |candidate| candidate.vector)] {
        for (rank, at) in (1u16..).zip(order) {
            scores[at] += 1.0 / (60.0 + f32::from(rank));
        }
    }
    scores
}
