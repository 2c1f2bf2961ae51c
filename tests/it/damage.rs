//! Backups, deep checks, and bits that flip.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sightline_index::{
    Caller, Engine, Error, Model, NewChunk, NewDocument, NewVector, Options, Principal, Query, Timestamp, Write, backup, restore,
    vector_key,
};

use crate::oracle::dice::Dice;
use crate::permissions::scratch;
use crate::program;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DIMENSIONS: usize = 16;

fn open(dir: &Path) -> Result<Engine, Error> {
    let model = Model { name: "grid".to_owned(), dimensions: DIMENSIONS };
    Engine::open(dir, &Options { model: Some(model), ..Options::default() })
}

fn vector(dice: &mut Dice) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| dice.below(1000) as f32 / 500.0 - 1.0).collect()
}

fn document(number: usize, dice: &mut Dice) -> Write {
    let mut text = String::new();
    let mut chunks = Vec::new();
    for part in 0..4 {
        let start = text.len();
        text += &format!("mooring d{number} p{part} w{} w{}", dice.below(50), dice.below(500));
        let values = vector(dice);
        let key = vector_key("grid", &format!("{values:?}"));
        let vector = Some(NewVector { key, values: Some(values.into()) });
        chunks.push(NewChunk { start, end: text.len(), vector, ..NewChunk::default() });
        text.push('\n');
    }
    let reader = if number.is_multiple_of(3) { "user:ana" } else { "public" };
    Write::Put(Box::new(NewDocument {
        source: "s".to_owned(),
        id: format!("{number}"),
        acl: Some(json!({ "allow": [reader] })),
        text,
        chunks,
        ..NewDocument::default()
    }))
}

/// A directory with documents of which some were changed and deleted.
fn make(dir: &Path) {
    let engine = open(dir).unwrap();
    let mut dice = Dice(1);
    for number in 0..60 {
        engine.write(vec![document(number, &mut dice)], NOW).unwrap();
    }
    engine.checkpoint().unwrap();
    for number in 0..20 {
        engine.write(vec![document(number * 2, &mut dice)], NOW).unwrap();
    }
    engine.write(vec![Write::Delete { source: "s".to_owned(), id: "7".to_owned() }], NOW).unwrap();
    engine.checkpoint().unwrap();
}

/// Everything that callers can see.
fn observe(engine: &Engine) -> Value {
    let mut dice = Dice(2);
    let ana = Caller::user(Principal::parse("user:ana").unwrap()).unwrap();
    let mut seen = Vec::new();
    for caller in [&Caller::public(), &ana] {
        for text in ["mooring", "w3 w4", "d5", "\"p1 w7\"", "w10 w11 w12"] {
            let query = Query { text: text.to_owned(), vector: Some(vector(&mut dice)), limit: 300, ..Query::default() };
            let hits = engine.search(caller, &query, NOW).unwrap().hits;
            seen.extend(hits.into_iter().map(|hit| json!([hit.citation.document, hit.text, hit.score, hit.citation])));
        }
        for number in 0..60 {
            seen.push(json!(engine.document(caller, "s", &number.to_string(), None, NOW).ok().map(|document| document.text)));
        }
    }
    json!(seen)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn a_bit_that_flips_is_noticed_or_changes_nothing() {
    const FLIPS_OF_A_FILE: usize = 6;
    let whole = scratch();
    make(whole.path());
    let before = {
        let engine = open(whole.path()).unwrap();
        assert_eq!(engine.check_deep().unwrap(), [""; 0]);
        observe(&engine)
    };
    let mut all = Vec::new();
    files(whole.path(), &mut all);
    all.sort();
    let mut dice = Dice(3);
    let (mut noticed, mut harmless) = (0, 0);
    for file in &all {
        let bytes = fs::read(file).unwrap();
        // Rows are written into large files; what is beyond the last is not ours yet.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for _ in 0..FLIPS_OF_A_FILE.min(used) {
            let dir = scratch();
            copy(whole.path(), dir.path());
            let (at, bit) = (dice.below(used), dice.below(8));
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            fs::write(dir.path().join(file.strip_prefix(whole.path()).unwrap()), damaged).unwrap();
            let what = format!("bit {bit} of byte {at} of {}", file.strip_prefix(whole.path()).unwrap().display());
            let checked = catch_unwind(AssertUnwindSafe(|| {
                let engine = open(dir.path())?;
                let wrong = engine.check_deep()?;
                if wrong.is_empty() {
                    assert!(observe(&engine) == before, "{what} changed what is seen and was not noticed");
                }
                Ok::<bool, Error>(wrong.is_empty())
            }));
            match checked {
                Ok(Ok(true)) => harmless += 1,
                Ok(Ok(false) | Err(_)) => noticed += 1,
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    assert!(!said.contains("was not noticed"), "{said}");
                    noticed += 1;
                }
            }
        }
    }
    eprintln!("{} files, {noticed} flips noticed, {harmless} changed nothing", all.len());
    assert!(noticed > 30, "{noticed}");
}

#[test]
fn a_backup_taken_while_a_server_writes_is_of_one_moment() {
    let (data, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = open(data.path()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(1);
            // Two documents at a time, which say the same.
            for number in 0..200 {
                let seed = Dice(dice.below(1 << 30) as u64);
                let pair = [number * 2, number * 2 + 1].map(|number| document(number, &mut Dice(seed.0)));
                engine.write(pair.into(), NOW).unwrap();
                if number == 100 {
                    done.store(true, std::sync::atomic::Ordering::SeqCst);
                }
            }
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            std::thread::yield_now();
        }
        backup(data.path(), &place.path().join("b"), NOW).unwrap();
    });
    let restored = place.path().join("data");
    let (taken, stats) = restore(&place.path().join("b"), &restored).unwrap();
    assert_eq!(taken.documents, stats.documents);
    assert!(stats.documents >= 202 && stats.documents.is_multiple_of(2), "{}", stats.documents);
    let copy = open(&restored).unwrap();
    assert_eq!(copy.check_deep().unwrap(), [""; 0]);
    assert_eq!(copy.stats().unwrap().seq, taken.seq);
    // The token of a citation is good in the copy.
    let query = Query { text: "d5".to_owned(), limit: 1, ..Query::default() };
    let hit = engine.search(&Caller::public(), &query, NOW).unwrap().hits.remove(0);
    assert_eq!(copy.citation(&Caller::public(), &hit.citation.token, NOW).unwrap().text, Some(hit.text));
}

#[test]
fn backup_and_restore_from_the_command_line() {
    let (data, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(data.path());
    let seen = observe(&open(data.path()).unwrap());
    let (copy, restored) = (place.path().join("copy"), place.path().join("restored"));
    let taken = program::json(data.path(), &["backup", copy.to_str().unwrap(), "--json"]);
    assert_eq!(taken["documents"], 59);
    for command in ["backup", "restore"] {
        // Neither writes over what is there.
        let refused = program::sightline(data.path(), &[command, copy.to_str().unwrap()]).output().unwrap();
        assert!(!refused.status.success(), "{command}");
    }
    let report = program::json(&restored, &["restore", copy.to_str().unwrap(), "--json"]);
    assert_eq!(report["backup"]["seq"], report["stats"]["seq"]);
    // The model of this data is no file, which doctor also says.
    let doctor = program::sightline(&restored, &["doctor", "--deep", "--json"]).output().unwrap();
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let deep = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "data and indexes").unwrap();
    assert_eq!(deep["ok"], true, "{doctor}");
    assert_eq!(observe(&open(&restored).unwrap()), seen);

    let catalog = copy.join("catalog.sqlite");
    let mut bytes = fs::read(&catalog).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&catalog, bytes).unwrap();
    let again = place.path().join("again");
    let refused = program::sightline(&again, &["restore", copy.to_str().unwrap()]).output().unwrap();
    assert!(!refused.status.success() && !again.join("catalog.sqlite").exists());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("manifest"), "{refused:?}");
}

#[test]
fn tables_of_chunks_are_read_where_they_are_of_the_very_rows_of_the_catalog() {
    let data = scratch();
    make(data.path());
    let file = data.path().join("chunk-tables");
    let shown = |id: &str| {
        let engine = open(data.path()).unwrap();
        let query = Query { text: format!("d{id}"), limit: 300, ..Query::default() };
        let hits = engine.search(&Caller::public(), &query, NOW).unwrap().hits;
        (hits.iter().any(|hit| hit.citation.document == id), engine.check_deep().unwrap())
    };
    assert_eq!(shown("1"), (true, vec![]));
    let before = fs::read(&file).unwrap();
    // Unless something is written, the file stays as it is.
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    drop(open(data.path()).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
    let hide = Write::SetAcl { source: "s".to_owned(), id: "1".to_owned(), acl: Some(json!({ "allow": ["user:ana"] })) };
    open(data.path()).unwrap().write(vec![hide], NOW).unwrap();
    let after = fs::read(&file).unwrap();
    assert!(after != before && !shown("1").0);
    // Of an earlier moment, cut off, or empty: the catalog is read.
    for other in [&before[..], &after[..after.len() - 40], &[]] {
        fs::write(&file, other).unwrap();
        assert_eq!(shown("1"), (false, vec![]));
        assert!(fs::read(&file).unwrap() == after);
    }
    // Of another catalog.
    let other = scratch();
    make(other.path());
    fs::copy(other.path().join("chunk-tables"), &file).unwrap();
    assert_eq!(shown("1"), (false, vec![]));
    // A class that changed by itself in the catalog shows nothing that the file does not, and is noticed.
    let catalog = rusqlite::Connection::open(data.path().join("catalog.sqlite")).unwrap();
    let public: i64 = catalog.query_row("SELECT class FROM documents WHERE id = '5'", [], |row| row.get(0)).unwrap();
    assert_eq!(catalog.execute("UPDATE documents SET class = ?1 WHERE id = '1'", [public]).unwrap(), 1);
    drop(catalog);
    let (shown, wrong) = shown("1");
    assert!(!shown && wrong.iter().any(|line| line.contains("kept in memory otherwise")), "{wrong:?}");
}

#[test]
fn a_stored_rule_that_cannot_be_read_withholds_and_the_rest_opens() {
    let data = scratch();
    make(data.path());
    let catalog = rusqlite::Connection::open(data.path().join("catalog.sqlite")).unwrap();
    // As an earlier release stored a grant until a time that cannot be written.
    let grant = r#"{"state":"known","allow":["public"],"grants":[{"principal":"public","until":"invalid time"}],"inherit":true}"#;
    let changed = catalog.execute("UPDATE rules SET body = ?1 WHERE body LIKE '%public%'", [grant]).unwrap();
    assert_eq!(changed, 1);
    drop(catalog);
    let engine = open(data.path()).unwrap();
    let ana = Caller::user(Principal::parse("user:ana").unwrap()).unwrap();
    let query = Query { text: "mooring".to_owned(), limit: 300, ..Query::default() };
    let found = |caller: &Caller| engine.search(caller, &query, NOW).unwrap().hits.len();
    assert_eq!((found(&Caller::public()), found(&ana)), (0, 20 * 4));
    assert_eq!(engine.access_report(NOW, NOW).unwrap().withheld.len(), 1);
    assert_eq!(engine.check_deep().unwrap(), ["rows of the table `rules` are not what was written"]);
}
