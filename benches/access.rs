//! What do permissions cost, and how does that grow?
//!
//! Three questions: the permit of a user in 500 nested groups, cold and warm, over more and more ACL classes and chunks; a
//! folder's ACL change over more and more documents, beside the bare durable write of one row; the memory of the tables
//! when every chunk has a class of its own. Synthetic ACLs, seed 1. Run: `cargo bench --bench access` (`CHUNKS=1000000` is
//! the default of the largest case); raw figures go to `benches/runs/access.jsonl`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_index::{Caller, Engine, NewChunk, NewDocument, Options, Principal, Timestamp, Write};

/// Counts live heap bytes of Rust code; what SQLite allocates and what is mapped is not in it.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const BATCH: usize = 2_000;
const ROUNDS: usize = 30;

fn main() {
    let most: usize = std::env::var("CHUNKS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open("benches/runs/access.jsonl").unwrap();
    let mut note = |row: Value| {
        println!("{row}");
        writeln!(out, "{row}").unwrap();
    };
    println!("permit of a user in 500 nested groups (goal at 20,000 classes and 1,000,000 chunks: < 1 ms cold, < 10 us warm)");
    for (classes, chunks) in [(1_000, most / 100), (5_000, most / 10), (20_000, most / 10), (20_000, most), (100_000, most / 10)] {
        note(permit(classes, chunks));
    }
    println!("a folder's ACL change (goal: the cost of the fsync, whatever it covers)");
    for documents in [1_000, 10_000, 100_000] {
        note(folder_change(documents));
    }
    println!("memory with a class for every chunk (goal at 1,000,000: < 100 MB)");
    for chunks in [most / 100, most / 10, most] {
        note(memory(chunks));
    }
}

fn permit(classes: usize, chunks: usize) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), false);
    // Group n is a member of group n / 2: a user in the last 250 is in some 500, nested up to nine deep.
    let inner = (0..250).map(|n| {
        let mut members: Vec<Principal> = (1..500).filter(|m| m / 2 == n).map(|m| principal(&format!("group:g{m}"))).collect();
        members.push(principal("user:ana"));
        group(n, members)
    });
    let leaves = (250..500).map(|n| group(n, vec![principal("user:ana")]));
    engine.write(inner.chain(leaves).collect(), NOW).unwrap();
    let mut dice = 1u64;
    // Each class allows three of 5,000 groups, a tenth of which the user is in.
    let acls: Vec<Value> = (0..classes)
        .map(|_| json!({ "allow": (0..3).map(|_| format!("group:g{}", roll(&mut dice) % 5_000)).collect::<Vec<_>>() }))
        .collect();
    fill(&engine, chunks, |number| acls[number % classes].clone());
    let ana = Caller::user(principal("user:ana")).unwrap();
    let mut cold = Vec::new();
    for round in 0..ROUNDS {
        // Any change of the directory makes permits anew.
        engine.write(vec![group(9_999, vec![principal(&format!("user:u{round}"))])], NOW).unwrap();
        let begun = Instant::now();
        std::hint::black_box(engine.permit_of(&ana, NOW));
        cold.push(begun.elapsed());
    }
    let begun = Instant::now();
    for _ in 0..10_000 {
        std::hint::black_box(engine.permit_of(&ana, NOW));
    }
    let warm = begun.elapsed() / 10_000;
    json!({ "bench": "permit", "classes": classes, "chunks": chunks, "admitted": engine.permit_of(&ana, NOW).len(),
        "cold_us": micros(median(cold)), "warm_us": micros(warm) })
}

fn folder_change(documents: usize) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), false);
    fill(&engine, documents, |_| json!({ "parent": "top" }));
    let change = |round: usize| {
        let acl = json!({ "allow": ["everyone", format!("user:u{round}")] });
        let begun = Instant::now();
        engine.write(vec![Write::SetContainer { source: "s".to_owned(), id: "top".to_owned(), acl: Some(acl) }], NOW).unwrap();
        begun.elapsed()
    };
    let changes: Vec<Duration> = (0..ROUNDS).map(change).collect();
    json!({ "bench": "folder_change", "documents": documents, "change_us": micros(median(changes)), "bare_write_us": micros(bare_write(dir.path())) })
}

/// One row in a database with the same settings on the same disk.
fn bare_write(dir: &Path) -> Duration {
    let db = rusqlite::Connection::open(dir.join("bare.sqlite")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.execute_batch("CREATE TABLE t (a INTEGER)").unwrap();
    let write = |round: usize| {
        let begun = Instant::now();
        db.execute("INSERT INTO t VALUES (?1)", [round]).unwrap();
        begun.elapsed()
    };
    median((0..ROUNDS).map(write).collect())
}

fn memory(chunks: usize) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), false);
    let begun = Instant::now();
    fill(&engine, chunks, |number| json!({ "allow": [format!("user:u{}", number % 5_000), format!("group:g{}", number / 5_000)] }));
    let written = begun.elapsed();
    drop(engine);
    let before = LIVE.load(Ordering::Relaxed);
    let begun = Instant::now();
    let engine = open(dir.path(), true);
    let opened = begun.elapsed();
    let bytes = LIVE.load(Ordering::Relaxed) - before;
    drop(engine);
    json!({ "bench": "memory", "chunks": chunks, "classes": chunks, "mb": bytes as f64 / 1e6, "bytes_per_chunk": bytes / chunks.max(1),
        "open_s": opened.as_secs_f64(), "ingest_chunks_per_s": chunks as f64 / written.as_secs_f64() })
}

fn open(dir: &Path, read_only: bool) -> Engine {
    Engine::open(dir, &Options { model: None, read_only, ..Options::default() }).unwrap()
}

/// One document with one chunk for every number.
fn fill(engine: &Engine, chunks: usize, acl: impl Fn(usize) -> Value) {
    for first in (0..chunks).step_by(BATCH) {
        let puts = (first..chunks.min(first + BATCH)).map(|number| {
            let text = format!("w{} w{}", number % 97, number % 1_009);
            let chunk = NewChunk { start: 0, end: text.len(), ..NewChunk::default() };
            let (source, id) = ("s".to_owned(), format!("d{number}"));
            Write::Put(Box::new(NewDocument {
                source,
                id,
                text,
                acl: Some(acl(number)),
                chunks: vec![chunk],
                ..NewDocument::default()
            }))
        });
        engine.write(puts.collect(), NOW).unwrap();
    }
}

fn group(number: usize, members: Vec<Principal>) -> Write {
    Write::SetGroup { group: principal(&format!("group:g{number}")), members }
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}

fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e8).round() / 100.0
}
