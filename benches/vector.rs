//! What does a vector search cost that sees only what its caller may read, and does it find what it should?
//!
//! Passages of `passages-100k` (384 dimensions), the first 10,000 of them, and 1,000,000 perturbed copies: each is a passage
//! of length 1 with gaussian noise of length 0.25 added, and the topic of that passage. Rows belong to 1,000 classes, at
//! random or by topic (k-means); a class is a group, and a caller is a user in some of the groups: drawn at random, or those
//! that the query is *not* about (`negative`). 0.01 % is a group of its own that every ten-thousandth row belongs to.
//! Recall@10 is against a comparison of all permitted rows in f32; a hit counts that scores no less than the tenth. Times
//! are of one thread over 100 queries, each asked once before, of `Engine::nearest`: permit, planning, search and ranking, without
//! reading texts.
//!
//! Run: `cargo bench --bench vector` (`SIGHTLINE_DATA` names the folder of the passages, `SIZES=10000,100000` chooses).
//! `SHARES=1,0.5` asks some of the callers. `KEEP=folder` keeps the data directories there and measures them again without filling them.
//! Raw figures go to `benches/runs/vector.jsonl`; `RUNS` names another file.
//! `EXPORT=folder` writes rows, classes, queries and callers there for others to measure, and waits for a line on stdin after
//! that and after every cell, so that they take turns: `make bench-peers`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod corpus;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Mode, Model, NewChunk, NewDocument, NewVector, Options, Principal, Query, Timestamp, Write, vector_key,
};

use corpus::{perturbed, roll, rows, unit};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CLASSES: usize = 1_000;
/// The class of every ten-thousandth row.
const RARE: usize = CLASSES;
const QUERIES: usize = 100;
const RESULTS: usize = 10;
const BATCH: usize = 2_000;
const PASSAGES: usize = 100_000;
const RANDOM: [f64; 8] = [1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001, 0.0001];
const NEGATIVE: [f64; 3] = [0.5, 0.1, 0.01];

fn main() {
    let data = corpus::folder();
    let (Some(passages), Some(queries)) = (rows(&data.join("vectors.i8.npy")), rows(&data.join("queries.f32.npy"))) else {
        println!("skipped: {} has no vectors.i8.npy and queries.f32.npy; name the folder in SIGHTLINE_DATA", data.display());
        return;
    };
    let queries: Vec<Vec<f32>> = queries.into_iter().take(QUERIES).collect();
    let sizes = std::env::var("SIZES").unwrap_or_else(|_| "10000,100000,1000000".to_owned());
    let runs = std::env::var_os("RUNS").map_or_else(|| PathBuf::from("benches/runs/vector.jsonl"), PathBuf::from);
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open(runs).unwrap();
    let mut note = |row: Value| {
        println!("{row}");
        writeln!(out, "{row}").unwrap();
    };
    let (centres, topics) = topics(&passages);
    for size in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        let base = Arc::new(stretched(&passages, size));
        let mut dice = 7u64;
        let random: Vec<usize> = (0..size).map(|row| rare_or(row, roll(&mut dice) as usize % CLASSES)).collect();
        let topical: Vec<usize> = (0..size).map(|row| rare_or(row, topics[row % PASSAGES])).collect();
        let drawn = RANDOM.map(|share| (share, (0..QUERIES).map(|query| drawn(query, share)).collect())).to_vec();
        let avoided = NEGATIVE.map(|share| (share, queries.iter().map(|query| avoided(query, &centres, share)).collect())).to_vec();
        let worlds =
            [World { acl: "random", classes: random, cells: drawn }, World { acl: "negative", classes: topical, cells: avoided }];
        if let Some(folder) = std::env::var_os("EXPORT") {
            export(Path::new(&folder), &base, &queries, &worlds);
            println!("{}", json!({ "exported": size }));
        }
        await_turn();
        worlds.iter().for_each(|world| measure(&base, &queries, world, &mut note));
    }
}

/// Who may read what: the class of each row, and by selectivity the classes of each query's caller.
struct World {
    acl: &'static str,
    classes: Vec<usize>,
    cells: Vec<(f64, Vec<Vec<usize>>)>,
}

/// Fills an engine, then asks every query as the caller of every cell.
fn measure(base: &Arc<Vec<Vec<f32>>>, queries: &[Vec<f32>], world: &World, note: &mut impl FnMut(Value)) {
    let World { acl, classes, cells } = world;
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("KEEP").map(|folder| PathBuf::from(folder).join(format!("{acl}-{}", base.len())));
    let dir = kept.unwrap_or_else(|| temporary.path().to_owned());
    let dir = dir.as_path();
    let there = dir.join("catalog.sqlite").exists();
    let before = memory();
    let begun = Instant::now();
    let model = Model { name: "bench".to_owned(), dimensions: base[0].len() };
    let options = Options { model: Some(model), ..Options::default() };
    let engine = Engine::open(dir, &options).unwrap();
    if !there {
        fill(&engine, base, classes);
    }
    let filled = begun.elapsed();
    if !there {
        groups(&engine, cells);
    }
    engine.settle();
    engine.checkpoint().unwrap();
    let settled = begun.elapsed();
    drop(engine);
    let begun = Instant::now();
    let engine = Engine::open(dir, &options).unwrap();
    let opened = begun.elapsed();
    engine.settle();
    let truth = truths(base, queries, classes, cells);
    let shares: Option<Vec<f64>> =
        std::env::var("SHARES").ok().map(|list| list.split(',').map(|share| share.parse().unwrap()).collect());
    let chosen = |share: f64| shares.as_ref().is_none_or(|shares| shares.contains(&share));
    for (at, (share, _)) in cells.iter().enumerate().filter(|(_, (share, _))| chosen(*share)) {
        for (mode, exact) in [("vector", false), ("exact", true)] {
            let mut times = Vec::new();
            let mut recall = 0f64;
            // What is asked before brings rows from the disk into memory, where those of the peers are from the start.
            let asked = || queries.iter().enumerate();
            let before = asked().filter(|_| !exact).map(|asked| (asked, false));
            for ((number, vector), timed) in before.chain(asked().map(|asked| (asked, true))) {
                let caller = Caller::user(principal(&user(at, number))).unwrap();
                let query = Query {
                    text: "q".to_owned(),
                    vector: Some(vector.clone()),
                    mode: Mode::Vector,
                    limit: RESULTS,
                    exact,
                    ..Query::default()
                };
                // The permit is made before: it is cached until access changes.
                engine.permit_of(&caller, NOW);
                let begun = Instant::now();
                let found = engine.nearest(&caller, &query, NOW).unwrap();
                let took = begun.elapsed();
                if !timed {
                    continue;
                }
                times.push(took);
                recall += truth[at][number].recall(&found, base, vector, classes, &cells[at].1[number]);
            }
            times.sort();
            note(json!({ "engine": "sightline", "mode": mode, "size": base.len(), "acl": acl, "selectivity": share,
                "recall": (recall / queries.len() as f64 * 1e4).round() / 1e4,
                "p50_ms": millis(times[times.len() / 2]), "p99_ms": millis(times[times.len() * 99 / 100]) }));
        }
        await_turn();
    }
    let after = memory();
    let grown = |name: &str| (after[name].saturating_sub(before[name])) / 1024;
    note(json!({ "engine": "sightline", "size": base.len(), "acl": acl, "ingest_s": filled.as_secs_f64(),
        "ingest_chunks_per_s": (base.len() as f64 / filled.as_secs_f64()).round(), "settled_s": settled.as_secs_f64(),
        "open_s": opened.as_secs_f64(), "disk_mb": disk(dir), "heap_mb": grown("RssAnon"), "mapped_mb": grown("RssFile") }));
}

/// Writes what is measured: `base.npy` and `queries.npy` (f32), `ACL.classes.npy` (u16) and `worlds.json` (by ACL, selectivity
/// and query the classes of the caller).
fn export(folder: &Path, base: &[Vec<f32>], queries: &[Vec<f32>], worlds: &[World]) {
    std::fs::create_dir_all(folder).unwrap();
    let floats = |rows: &[Vec<f32>], name: &str| {
        let shape = format!("{}, {}", rows.len(), rows[0].len());
        npy(&folder.join(name), "<f4", &shape, rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    };
    floats(base, "base.npy");
    floats(queries, "queries.npy");
    for World { acl, classes, .. } in worlds {
        let bytes = classes.iter().flat_map(|class| u16::try_from(*class).unwrap().to_le_bytes());
        npy(&folder.join(format!("{acl}.classes.npy")), "<u2", &format!("{},", classes.len()), bytes);
    }
    let cells: BTreeMap<&str, _> = worlds.iter().map(|world| (world.acl, &world.cells)).collect();
    std::fs::write(folder.join("worlds.json"), serde_json::to_vec(&cells).unwrap()).unwrap();
}

/// A NumPy file, version 1.0 of its format, in C order.
fn npy(path: &Path, kind: &str, shape: &str, values: impl Iterator<Item = u8>) {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    // The header ends on a multiple of 64 bytes, with a line feed.
    let width = (10 + header.len() + 1).next_multiple_of(64) - 11;
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&u16::try_from(width + 1).unwrap().to_le_bytes()).unwrap();
    writeln!(file, "{header:width$}").unwrap();
    values.for_each(|byte| file.write_all(&[byte]).unwrap());
    file.flush().unwrap();
}

/// Lets whoever asked for the export measure, until a line comes.
fn await_turn() {
    if std::env::var_os("EXPORT").is_some() {
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}

/// What a caller should find.
struct Truth {
    rows: usize,
    lowest: f32,
}

impl Truth {
    fn recall(&self, found: &[(u32, f32)], base: &[Vec<f32>], query: &[f32], classes: &[usize], readable: &[usize]) -> f64 {
        if self.rows == 0 {
            return if found.is_empty() { 1.0 } else { 0.0 };
        }
        let good = found.iter().filter(|(chunk, _)| {
            // Chunks are numbered from 1 in the order in which they were written.
            let row = *chunk as usize - 1;
            assert!(readable.contains(&classes[row]), "chunk {chunk} may not be read");
            dot(&base[row], query) >= self.lowest - 1e-6
        });
        good.count().min(self.rows) as f64 / self.rows as f64
    }
}

/// By cell and query: the score of the tenth best permitted row.
fn truths(base: &[Vec<f32>], queries: &[Vec<f32>], classes: &[usize], cells: &[(f64, Vec<Vec<usize>>)]) -> Vec<Vec<Truth>> {
    let one = |number: usize| -> Vec<Truth> {
        let scores: Vec<f32> = base.iter().map(|row| dot(row, &queries[number])).collect();
        let truth = |(_, callers): &(f64, Vec<Vec<usize>>)| {
            let mut readable = [false; CLASSES + 1];
            callers[number].iter().for_each(|class| readable[*class] = true);
            let mut best = Vec::new();
            for (score, class) in scores.iter().zip(classes).filter(|(_, class)| readable[**class]) {
                if best.len() < RESULTS || *score > best[best.len() - 1] {
                    let _ = class;
                    best.insert(best.partition_point(|other| other >= score), *score);
                    best.truncate(RESULTS);
                }
            }
            Truth { rows: best.len(), lowest: best.last().copied().unwrap_or(0.0) }
        };
        cells.iter().map(truth).collect()
    };
    let half = queries.len() / 2;
    let (mut by_query, rest) = std::thread::scope(|scope| {
        let rest = scope.spawn(|| (half..queries.len()).map(one).collect::<Vec<_>>());
        ((0..half).map(one).collect::<Vec<_>>(), rest.join().unwrap())
    });
    by_query.extend(rest);
    let mut cells: Vec<Vec<Truth>> = cells.iter().map(|_| Vec::new()).collect();
    for truths in by_query {
        cells.iter_mut().zip(truths).for_each(|(cell, truth)| cell.push(truth));
    }
    cells
}

/// One document with one chunk for every row.
fn fill(engine: &Engine, base: &Arc<Vec<Vec<f32>>>, classes: &[usize]) {
    for first in (0..base.len()).step_by(BATCH) {
        let puts = (first..base.len().min(first + BATCH)).map(|row| {
            let text = format!("w{} w{}", row % 97, row % 1_009);
            let values = Some(base[row].clone().into());
            let vector = Some(NewVector { key: vector_key("bench", &row.to_string()), values });
            let chunk = NewChunk { start: 0, end: text.len(), vector, ..NewChunk::default() };
            let acl = Some(json!({ "allow": [format!("group:c{}", classes[row])] }));
            let (source, id) = ("s".to_owned(), format!("d{row}"));
            Write::Put(Box::new(NewDocument { source, id, text, acl, chunks: vec![chunk], ..NewDocument::default() }))
        });
        engine.write(puts.collect(), NOW).unwrap();
    }
}

/// The groups of the classes, with the callers of all cells as members.
fn groups(engine: &Engine, cells: &[(f64, Vec<Vec<usize>>)]) {
    let mut members: BTreeMap<usize, Vec<Principal>> = BTreeMap::new();
    for (at, (_, callers)) in cells.iter().enumerate() {
        for (number, classes) in callers.iter().enumerate() {
            classes.iter().for_each(|class| members.entry(*class).or_default().push(principal(&user(at, number))));
        }
    }
    let set = |(class, members)| Write::SetGroup { group: principal(&format!("group:c{class}")), members };
    engine.write(members.into_iter().map(set).collect(), NOW).unwrap();
}

fn user(cell: usize, query: usize) -> String {
    format!("user:u{cell}-{query}")
}

/// Classes drawn at random.
fn drawn(query: usize, share: f64) -> Vec<usize> {
    if share * (CLASSES as f64) < 1.0 {
        return vec![RARE];
    }
    let mut dice = query as u64 * 977 + 13;
    let mut all: Vec<usize> = (0..CLASSES).collect();
    for at in 0..CLASSES {
        let other = at + roll(&mut dice) as usize % (CLASSES - at);
        all.swap(at, other);
    }
    all.truncate((share * CLASSES as f64).round() as usize);
    if share == 1.0 {
        all.push(RARE);
    }
    all
}

/// The classes that a query is least about.
fn avoided(query: &[f32], centres: &[Vec<f32>], share: f64) -> Vec<usize> {
    let mut far: Vec<(f32, usize)> = centres.iter().map(|centre| dot(centre, query)).zip(0..).collect();
    far.sort_by(|a, b| a.0.total_cmp(&b.0));
    far.into_iter().take((share * CLASSES as f64).round() as usize).map(|(_, class)| class).collect()
}

fn rare_or(row: usize, class: usize) -> usize {
    if row % 10_000 == 5_000 { RARE } else { class }
}

/// k-means over a sixth of the passages, then the topic of each.
fn topics(passages: &[Vec<f32>]) -> (Vec<Vec<f32>>, Vec<usize>) {
    let sample: Vec<&Vec<f32>> = passages.iter().step_by(6).collect();
    let mut centres: Vec<Vec<f32>> =
        sample.iter().step_by(sample.len() / CLASSES).take(CLASSES).map(|row| (*row).clone()).collect();
    for _ in 0..5 {
        let nearest = both(sample.len(), |at| closest(&centres, sample[at]));
        let mut sums = vec![vec![0f32; centres[0].len()]; CLASSES];
        for (row, class) in sample.iter().zip(&nearest) {
            sums[*class].iter_mut().zip(row.iter()).for_each(|(sum, value)| *sum += value);
        }
        for (centre, sum) in centres.iter_mut().zip(sums) {
            if sum.iter().any(|value| *value != 0.0) {
                *centre = unit(sum);
            }
        }
    }
    let topics = both(passages.len(), |at| closest(&centres, &passages[at]));
    (centres, topics)
}

fn closest(centres: &[Vec<f32>], row: &[f32]) -> usize {
    let scores = centres.iter().map(|centre| dot(centre, row)).zip(0..);
    scores.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
}

/// Computes for each number below `count`, on two threads.
fn both(count: usize, each: impl Fn(usize) -> usize + Sync) -> Vec<usize> {
    std::thread::scope(|scope| {
        let rest = scope.spawn(|| (count / 2..count).map(&each).collect::<Vec<_>>());
        let mut all: Vec<usize> = (0..count / 2).map(&each).collect();
        all.extend(rest.join().unwrap());
        all
    })
}

/// The first passages, or more than there are: copies with noise.
fn stretched(passages: &[Vec<f32>], size: usize) -> Vec<Vec<f32>> {
    if size <= passages.len() {
        return passages[..size].to_vec();
    }
    (0..size).map(|row| perturbed(&passages[row % passages.len()], row as u64)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Kilobytes of memory by kind.
fn memory() -> BTreeMap<String, u64> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    let mut known: BTreeMap<String, u64> = [("RssAnon".to_owned(), 0), ("RssFile".to_owned(), 0)].into();
    known.extend(lines.filter_map(|(name, value)| Some((name.to_owned(), value.trim().strip_suffix(" kB")?.trim().parse().ok()?))));
    known
}

/// Megabytes on disk, by the folder's first level.
fn disk(dir: &Path) -> BTreeMap<String, u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sizes = BTreeMap::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                pending.push(entry.path());
            } else {
                let name = entry.file_name().to_string_lossy().into_owned();
                let under = entry.path().parent().is_some_and(|parent| parent == dir);
                let kind =
                    if under { name } else { entry.path().parent().unwrap().file_name().unwrap().to_string_lossy().into_owned() };
                let kind = match (kind.as_str(), entry.path().extension().and_then(|ext| ext.to_str())) {
                    ("vectors", Some(extension)) => format!("vectors {extension}"),
                    _ => kind,
                };
                *sizes.entry(kind).or_default() += entry.metadata().unwrap().blocks() * 512;
            }
        }
    }
    sizes.into_iter().map(|(kind, bytes): (String, u64)| (kind, bytes / 1_000_000)).filter(|(_, size)| *size > 0).collect()
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
