//! A disk that is full, cannot be written, or fails to flush: writes are refused with a reason, reads go on, and nothing
//! acknowledged is lost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};

use serde_json::json;
use sightline_index::{Caller, Engine, Error, NewChunk, NewDocument, NewVector, Query, Timestamp, Write, vector_key};

use super::child;
use super::disk::{self, Control, Disk};
use crate::oracle;
use crate::oracle::naive::DIMENSIONS;

const NOW: Timestamp = Timestamp(1_000);

/// An engine in a process of its own, over a disk that fails on command.
struct Place {
    dir: tempfile::TempDir,
    control: Control,
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _disk: Disk,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let (data, shadow) = (dir.path().join("data"), dir.path().join("shadow"));
        std::fs::create_dir_all(&data).unwrap();
        let control = Control::new(&dir.path().join("control"));
        let disk = Disk::new();
        disk::shadow_of(&data, &shadow);
        let mut command = child("crash::failing::child_over_a_failing_disk");
        disk.under(&mut command, &data, &shadow, &control);
        let mut process = command.env("FAILING_DIR", &data).stdin(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Place { dir, control, process, input, output, _disk: disk }
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the child is gone");
            if let Some(answer) = line.strip_prefix("= ") {
                return answer.trim().to_owned();
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends the process and opens what is left, perhaps after a power loss.
    fn reopen(mut self, power_loss: bool) -> (tempfile::TempDir, Engine) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        if power_loss {
            disk::lose_power(&self.data(), &self.dir.path().join("shadow"));
        }
        let engine = oracle::open(&self.data());
        (self.dir, engine)
    }
}

/// A document; with `vectors`, each word of it but two is a passage that has one, so that they take a good part of the room.
fn document(number: usize, vectors: bool) -> Write {
    // Random letters, so that nothing can be made small.
    let mut dice = oracle::dice::Dice(number as u64);
    let filler: String = (0..400).map(|_| format!("f{} ", dice.below(1_000_000))).collect();
    let text = format!("mooring m{number} {filler}");
    let words = text.split_ascii_whitespace().skip(2).filter(|_| vectors);
    let mut chunks = vec![NewChunk { start: 0, end: text.len() - filler.len(), ..NewChunk::default() }];
    for (start, word) in words.map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word)) {
        let values: Vec<f32> = (0..DIMENSIONS).map(|_| 0.5 + dice.below(100) as f32).collect();
        let vector = Some(NewVector { key: vector_key("grid", &format!("{number} {start}")), values: Some(values.into()) });
        chunks.push(NewChunk { start, end: start + word.len(), vector, ..NewChunk::default() });
    }
    Write::Put(Box::new(NewDocument {
        source: "s".to_owned(),
        id: format!("{number:05}"),
        acl: Some(json!({ "allow": ["public"] })),
        chunks,
        text,
        ..NewDocument::default()
    }))
}

fn found(engine: &Engine, words: &str) -> usize {
    let query = Query { text: words.to_owned(), limit: 1000, ..Query::default() };
    engine.search(&Caller::public(), &query, NOW).unwrap().hits.len()
}

#[test]
fn child_over_a_failing_disk() {
    let Some(dir) = std::env::var_os("FAILING_DIR") else { return };
    // The test harness has begun a line.
    println!();
    let engine = oracle::open(Path::new(&dir));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let answer = match line.split_once(' ') {
            Some((put, number)) => match engine.write(vec![document(number.parse().unwrap(), put == "put-vectors")], NOW) {
                Ok(_) => "stored".to_owned(),
                Err(error) if error.is_out_of_space() => format!("full: {error}"),
                Err(error @ Error::Poisoned { .. }) => format!("refused: {error}"),
                Err(error) => format!("failed: {error}"),
            },
            _ => found(&engine, "mooring").to_string(),
        };
        println!("= {answer}");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again() {
    let mut place = Place::new();
    for number in 0..20 {
        assert_eq!(place.ask(&format!("put {number}")), "stored");
    }
    place.control.space(0);
    for number in 20..24 {
        let answer = place.ask(&format!("put {number}"));
        assert!(answer.starts_with("full: "), "{answer}");
        assert_eq!(place.ask("search"), "20");
    }
    place.control.space(-1);
    assert_eq!(place.ask("put 20"), "stored");
    assert_eq!(place.ask("search"), "21");
    let (_dir, engine) = place.reopen(true);
    assert_eq!((found(&engine, "mooring"), found(&engine, "m20"), found(&engine, "m21")), (21, 1, 0));
}

#[test]
fn wherever_a_disk_runs_full_nothing_acknowledged_is_lost() {
    for step in 0..12 {
        let mut place = Place::new();
        let mut stored: Vec<usize> = Vec::new();
        for number in 0..4 {
            assert_eq!(place.ask(&format!("put-vectors {number}")), "stored");
            stored.push(number);
        }
        place.control.space(step * 37_000);
        for number in 4..12 {
            let answer = place.ask(&format!("put-vectors {number}"));
            assert!(answer == "stored" || answer.starts_with("full: "), "{answer}");
            if answer == "stored" {
                stored.push(number);
            }
            assert_eq!(place.ask("search"), stored.len().to_string(), "{answer}");
        }
        // As soon as there is room again, it goes on.
        place.control.space(-1);
        assert_eq!(place.ask("put-vectors 12"), "stored");
        stored.push(12);
        let (_dir, engine) = place.reopen(step % 2 == 0);
        for number in stored {
            assert_eq!(found(&engine, &format!("m{number}")), 1, "{number} was acknowledged");
        }
        engine.write(vec![document(99, true)], NOW).unwrap();
    }
}

#[test]
fn after_a_failed_flush_writes_are_refused_until_it_is_opened_again() {
    for flush in 0..4 {
        let mut place = Place::new();
        for number in 0..3 {
            assert_eq!(place.ask(&format!("put {number}")), "stored");
        }
        place.control.fail_sync_in(flush);
        let answers: Vec<String> = (3..9).map(|number| place.ask(&format!("put {number}"))).collect();
        let stored = 3 + answers.iter().take_while(|answer| *answer == "stored").count();
        assert!(stored < 9, "no flush failed: {answers:?}");
        assert!(answers[stored - 3..].iter().all(|answer| answer.starts_with("refused: ")), "{answers:?}");
        assert_eq!(place.ask("search"), stored.to_string());
        let (_dir, engine) = place.reopen(true);
        // The write whose flush failed may be there; it was not acknowledged.
        assert!((stored..=stored + 1).contains(&found(&engine, "mooring")), "{stored}");
        for number in 0..stored {
            assert_eq!(found(&engine, &format!("m{number}")), 1);
        }
        engine.write(vec![document(99, true)], NOW).unwrap();
    }
}
