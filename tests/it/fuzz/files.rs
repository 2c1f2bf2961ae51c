//! Files of a data directory that were damaged: opening it is an error, or names the damage when asked, or answers as before.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params_from_iter};
use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Mode, Model, NewChunk, NewDocument, NewVector, Options, Principal, Query, Stats, Timestamp, Write, backup,
    restore, vector_key,
};
use tempfile::TempDir;

use super::mutation::{damage, edits};
use super::{QUICK, Target, scratch};
use crate::oracle::dice::Dice;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DIMENSIONS: usize = 16;
/// As few wait to be sealed, and sixteen times as many have a graph.
const SEAL_ROWS: u32 = 25;

pub(super) fn targets() -> Vec<Target> {
    let file = |name, start| Target { name, seeds: edits, start, short: 10, max_bytes: 96, ..QUICK };
    vec![
        file("keyword-manifest", || {
            damaged("keyword/manifest.json", 60, &["s1", "\"s1\",", "..", "/", "[]", "\"applied\":0,", "null"])
        }),
        file("vectors-applied", || damaged("vectors/applied", 60, &[" ", "1 ", "2 ", "16", "-", "+"])),
        file("vectors-list", || damaged("vectors/segments", 500, &["\n", "1\n", "2\n", "1", "-"])),
        file("vectors-segment", || damaged("vectors/signs-00000001.seg", 500, &["SLSIGNS\n"])),
        file("vectors-clusters", || damaged("vectors/clusters-00000001.ivf", 500, &["SLCLUST\n"])),
        file("vectors-graph", || damaged("vectors/graph.nsw", 500, &["SLGRAPH\n"])),
        file("chunk-tables", || damaged("chunk-tables", 60, &["sightline chunk tables 1\n"])),
        file("backup-manifest", backups),
        file("catalog", catalogs),
    ]
}

fn open(dir: &Path) -> Result<Engine, sightline_index::Error> {
    let model = Model { name: "grid".to_owned(), dimensions: DIMENSIONS };
    Engine::open(dir, &Options { model: Some(model), seal_rows: Some(SEAL_ROWS), ..Options::default() })
}

fn vector(dice: &mut Dice) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| dice.below(1000) as f32 / 500.0 - 1.0).collect()
}

fn put(number: usize, dice: &mut Dice) -> Write {
    let text = format!("mooring d{number} w{} w{}", dice.below(50), dice.below(500));
    let values = vector(dice);
    let vector = Some(NewVector { key: vector_key("grid", &format!("{values:?}")), values: Some(values.into()) });
    let reader = if number.is_multiple_of(3) { "user:ana" } else { "public" };
    Write::Put(Box::new(NewDocument {
        source: "s".to_owned(),
        id: number.to_string(),
        acl: Some(json!({ "allow": [reader] })),
        chunks: vec![NewChunk { start: 0, end: text.len(), vector, ..NewChunk::default() }],
        text,
        ..NewDocument::default()
    }))
}

/// A data directory with some documents, of which some were changed and one was deleted.
fn made(documents: usize) -> TempDir {
    let dir = scratch();
    let engine = open(dir.path()).unwrap();
    let mut dice = Dice(1);
    for first in (0..documents).step_by(2_000) {
        engine.write((first..documents.min(first + 2_000)).map(|number| put(number, &mut dice)).collect(), NOW).unwrap();
    }
    engine.checkpoint().unwrap();
    engine.write((0..10).map(|number| put(number * 2, &mut dice)).collect(), NOW).unwrap();
    engine.write(vec![Write::Delete { source: "s".to_owned(), id: "7".to_owned() }], NOW).unwrap();
    let members = vec![Principal::parse("user:ana").unwrap()];
    engine.write(vec![Write::SetGroup { group: Principal::parse("group:eng").unwrap(), members }], NOW).unwrap();
    engine.settle();
    engine.checkpoint().unwrap();
    drop(engine);
    dir
}

/// What callers find.
fn observe(engine: &Engine) -> Value {
    let mut dice = Dice(2);
    let ana = Caller::user(Principal::parse("user:ana").unwrap()).unwrap();
    let mut seen = Vec::new();
    for caller in [&Caller::public(), &ana] {
        for text in ["mooring", "w3 w4", "d5", "\"mooring d12\""] {
            let query = Query { text: text.to_owned(), vector: Some(vector(&mut dice)), limit: 40, ..Query::default() };
            seen.push(json!(engine.nearest(caller, &query, NOW).unwrap()));
            let hits = engine.search(caller, &Query { mode: Mode::Keyword, limit: 6, ..query }, NOW).unwrap().hits;
            seen.extend(hits.into_iter().map(|hit| json!([hit.citation, hit.text, hit.score])));
        }
    }
    json!(seen)
}

/// Copies a data directory. Rows are linked: what is written to them again is what stands in them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let to = to.join(name);
        if path.is_dir() {
            copy(&path, &to);
        } else if name.starts_with("rows-") || name.starts_with("codes-") {
            fs::hard_link(&path, to).unwrap();
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// The file at `place` is damaged as the input says.
fn damaged(place: &'static str, documents: usize, words: &'static [&'static str]) -> super::Check {
    let whole = made(documents);
    let file = fs::read(whole.path().join(place)).unwrap();
    let before = observe(&open(whole.path()).unwrap());
    Box::new(move |input| {
        let wrong = damage(&file, input, words);
        if wrong == file {
            return false;
        }
        let dir = scratch();
        copy(whole.path(), dir.path());
        fs::write(dir.path().join(place), wrong).unwrap();
        let Ok(engine) = open(dir.path()) else { return false };
        if !engine.check_deep().unwrap().is_empty() {
            return false;
        }
        assert!(observe(&engine) == before, "the answers changed, and nobody noticed");
        true
    })
}

fn backups() -> super::Check {
    let (data, place) = (made(60), scratch());
    let from = place.path().join("backup");
    backup(data.path(), &from, NOW).unwrap();
    let counts = |stats: &Stats| (stats.documents, stats.chunks, stats.seq, stats.epoch);
    let before = counts(&open(data.path()).unwrap().stats().unwrap());
    let manifest = fs::read(from.join("backup.json")).unwrap();
    Box::new(move |input| {
        let _kept = (&data, &place);
        fs::write(from.join("backup.json"), damage(&manifest, input, &["\"format\": 1,", "null", "-", "1e9", "\"", "}"])).unwrap();
        let dir = scratch();
        let Ok((_, stats)) = restore(&from, &dir.path().join("data")) else {
            assert!(!dir.path().join("data/catalog.sqlite").exists(), "refused, and left there");
            return false;
        };
        assert_eq!(counts(&stats), before);
        true
    })
}

/// The input names a table, a row, a column and a value; whoever edits the catalog so is noticed.
fn catalogs() -> super::Check {
    let whole: TempDir = made(60);
    Box::new(move |input| {
        let Some(([table, row, column, kind], value)) = input.split_first_chunk::<4>() else { return false };
        let dir = scratch();
        copy(whole.path(), dir.path());
        let path: PathBuf = dir.path().join("catalog.sqlite");
        let what = {
            let db = Connection::open(&path).unwrap();
            let names = |sql: &str| -> Vec<String> {
                db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            };
            let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name");
            let table = &tables[*table as usize % tables.len()];
            let columns = names(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
            let column = &columns[*column as usize % columns.len()];
            let rows: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            if rows == 0 {
                return false;
            }
            let row = i64::from(*row) % rows;
            let all = format!("\"{}\"", columns.join("\", \""));
            let old: Vec<Cell> = db
                .query_row(&format!("SELECT {all} FROM {table} LIMIT 1 OFFSET {row}"), [], |row| {
                    (0..columns.len()).map(|at| row.get(at)).collect()
                })
                .unwrap();
            let at = columns.iter().position(|name| name == column).unwrap();
            // A table without rows has the sum of nothing, which may as well be missing.
            if table == "sums" && old.contains(&Cell::Blob(vec![0; 16])) {
                return false;
            }
            let number =
                value.first_chunk::<8>().map_or(i64::from(value.first().copied().unwrap_or(0)), |bytes| i64::from_le_bytes(*bytes));
            let new = match (&old[at], kind % 4) {
                (_, 0) => Cell::Null,
                (Cell::Integer(old), 1) => Cell::Integer(old.wrapping_add(number)),
                (Cell::Text(old), 1) => {
                    Cell::Text(String::from_utf8_lossy(&damage(old.as_bytes(), value, &["user:bo", "{", "\""])).into_owned())
                }
                (Cell::Blob(old), 1) => Cell::Blob(damage(old, value, &[])),
                (Cell::Integer(_), _) => Cell::Integer(number),
                (Cell::Text(_), _) => Cell::Text(String::from_utf8_lossy(value).into_owned()),
                (_, _) => Cell::Blob(value.to_vec()),
            };
            if new == old[at] {
                return false;
            }
            let what = format!("{table}.{column} of row {row}: {:?} became {new:?}", old[at]);
            let these = columns.iter().map(|name| format!("\"{name}\" IS ?")).collect::<Vec<_>>().join(" AND ");
            let changed = match kind % 16 {
                15 => db.execute(&format!("DELETE FROM {table} WHERE {these}"), params_from_iter(old)),
                _ => db.execute(
                    &format!("UPDATE {table} SET \"{column}\" = ? WHERE {these}"),
                    params_from_iter([new].into_iter().chain(old)),
                ),
            };
            // What the schema refuses is no damage.
            if changed != Ok(1) {
                return false;
            }
            what
        };
        let Ok(engine) = open(dir.path()) else { return true };
        assert!(engine.check_deep().map_or(true, |wrong| !wrong.is_empty()), "not noticed: {what}");
        true
    })
}
