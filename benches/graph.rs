//! What would a graph over the rows cost, and what does it find, when only some rows are permitted?
//!
//! Sightline links rows in its own way and begins from clusters; this is how `hnsw_rs` has it: 16 links, 200 candidates while
//! building, vectors in f32, and a filter that is asked of each row. The first `SIZES` passages of `passages-100k` (10,000 unless
//! named), random permits. Recall@10 is against a comparison of all permitted rows.
//!
//! Run: `SIZES=100000 cargo bench --bench graph` (`SIGHTLINE_DATA` names the folder of the passages). One JSON line per cell.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod corpus;

use std::time::Instant;

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;
use serde_json::json;

use corpus::{roll, rows};

const QUERIES: usize = 100;
const RESULTS: usize = 10;
const SHARES: [f64; 5] = [1.0, 0.5, 0.25, 0.1, 0.01];

/// One less the cosine of vectors of length 1. (`DistDot` ends the process where rounding makes that negative.)
#[derive(Clone, Copy, Default)]
struct Cosine;

impl Distance<f32> for Cosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

fn main() {
    let data = corpus::folder();
    let (Some(passages), Some(queries)) = (rows(&data.join("vectors.i8.npy")), rows(&data.join("queries.f32.npy"))) else {
        println!("skipped: {} has no vectors.i8.npy and queries.f32.npy; name the folder in SIGHTLINE_DATA", data.display());
        return;
    };
    for size in std::env::var("SIZES").unwrap_or_else(|_| "10000".to_owned()).split(',') {
        let base = &passages[..size.parse::<usize>().unwrap().min(passages.len())];
        let begun = Instant::now();
        let graph = Hnsw::<f32, Cosine>::new(16, base.len(), 16, 200, Cosine);
        base.iter().enumerate().for_each(|(row, vector)| graph.insert_slice((vector, row)));
        println!("{}", json!({ "engine": "hnsw_rs", "size": base.len(), "build_s": begun.elapsed().as_secs_f64() }));
        for share in SHARES {
            for effort in [64, 256] {
                measure(&graph, base, &queries[..QUERIES], share, effort);
            }
        }
    }
}

fn measure(graph: &Hnsw<'_, f32, Cosine>, base: &[Vec<f32>], queries: &[Vec<f32>], share: f64, effort: usize) {
    let mut dice = 11;
    let mut found = 0;
    let mut times = Vec::new();
    for query in queries {
        let permitted: Vec<bool> = base.iter().map(|_| (roll(&mut dice) as f64) < share * 2f64.powi(31)).collect();
        let mut scores: Vec<f32> =
            base.iter().zip(&permitted).filter(|(_, permitted)| **permitted).map(|(row, _)| dot(row, query)).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let worst = scores[RESULTS - 1];
        let admits = |row: &usize| permitted[*row];
        let begun = Instant::now();
        let hits = graph.search_filter(query, RESULTS, effort, Some(&admits));
        times.push(begun.elapsed());
        found += hits.iter().filter(|hit| dot(&base[hit.d_id], query) >= worst - 1e-6).count();
    }
    times.sort();
    let millis = |at: usize| times[at].as_secs_f64() * 1e3;
    println!(
        "{}",
        json!({ "engine": format!("hnsw_rs ef{effort}"), "mode": "vector", "size": base.len(), "acl": "random",
        "selectivity": share, "recall": found as f64 / (QUERIES * RESULTS) as f64,
        "p50_ms": millis(times.len() / 2), "p99_ms": millis(times.len() * 99 / 100) })
    );
}
