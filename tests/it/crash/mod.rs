//! Crashes: a process that writes from several threads, searches and checkpoints is killed at random moments, or before a
//! given operation on the disk; sometimes everything that was not flushed is lost with it. Afterwards the directory is
//! opened, and what is there must be what was acknowledged, in whole batches, and answer like the oracle.
//!
//! `make crash KILLS=500` runs many; its last line reads `N kills, N acknowledged, N lost, N torn`.

mod disk;
#[cfg(test)]
mod failing;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sightline_index::{Caller, Engine, Mode, NewDocument, Query, Timestamp, Write};

use crate::oracle::dice::Dice;
use crate::oracle::{self, Naive, Script};
use disk::{Control, Disk};

const WRITERS: usize = 3;
const SEARCHERS: usize = 2;
/// A directory is given up for a new one after this many crashes.
const CRASHES_OF_A_DIRECTORY: usize = 12;
/// The most writes of one thread between two crashes.
const WRITES: usize = 400;

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) acknowledged: u64,
    pub(crate) lost: u64,
    pub(crate) torn: u64,
    pub(crate) first: Option<String>,
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum Crash {
    /// Killed after so many milliseconds.
    After(u64),
    /// Killed before its nth operation on the disk.
    Before(i64),
    /// The same, and everything that was not flushed is lost.
    PowerLoss(i64),
}

/// Kills a process `kills` times.
pub(crate) fn run(kills: u64, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let mut dice = Dice(seed);
    let disk = Disk::new();
    let mut state = State::new(seed);
    while tally.kills < kills {
        if state.crashes == CRASHES_OF_A_DIRECTORY {
            state = State::new(seed + tally.kills);
        }
        let crash = match dice.below(3) {
            0 => Crash::After(dice.below(600) as u64),
            1 => Crash::Before(dice.below(8000) as i64),
            _ => Crash::PowerLoss(dice.below(8000) as i64),
        };
        state.crash(&disk, crash, &mut tally);
    }
    tally
}

/// Every operation on the disk in turn, from the first of a new directory on, each with loss of what was not flushed.
pub(crate) fn sweep(kills: u64, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let disk = Disk::new();
    for operation in 0..kills {
        let crash = if operation % 2 == 0 { Crash::PowerLoss(operation as i64) } else { Crash::Before(operation as i64) };
        State::new(seed).crash(&disk, crash, &mut tally);
    }
    tally
}

/// A directory that processes write to, and what it must hold.
struct State {
    dir: tempfile::TempDir,
    seed: u64,
    crashes: usize,
    scripts: Vec<Script>,
    /// How many writes of each script are there.
    written: Vec<u32>,
}

impl State {
    fn new(seed: u64) -> State {
        let scripts = (0..WRITERS).map(|writer| script(seed, writer)).collect();
        State { dir: tempfile::tempdir().unwrap(), seed, crashes: 0, scripts, written: vec![0; WRITERS] }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Lets a process write until it is killed, and checks what is there.
    fn crash(&mut self, disk: &Disk, crash: Crash, tally: &mut Tally) {
        std::fs::create_dir_all(self.data()).unwrap();
        let shadow = self.dir.path().join("shadow");
        let control = Control::new(&self.dir.path().join("control"));
        match crash {
            Crash::After(_) => {}
            Crash::Before(operation) | Crash::PowerLoss(operation) => control.kill_in(operation),
        }
        disk::shadow_of(&self.data(), &shadow);
        let from: Vec<String> = self.written.iter().map(u32::to_string).collect();
        let mut command = child("crash::child_of_a_crash_test");
        disk.under(&mut command, &self.data(), &shadow, &control);
        command.env("CRASH_DIR", self.data()).env("CRASH_SEED", self.seed.to_string()).env("CRASH_FROM", from.join(","));
        let acknowledged = watch(command, crash);
        tally.kills += 1;
        self.crashes += 1;
        tally.acknowledged +=
            acknowledged.iter().zip(&self.written).map(|(now, before)| u64::from(now.saturating_sub(*before))).sum::<u64>();
        if matches!(crash, Crash::PowerLoss(_)) {
            disk::lose_power(&self.data(), &shadow);
        }
        self.check(crash, &acknowledged, tally);
    }

    fn check(&mut self, crash: Crash, acknowledged: &[u32], tally: &mut Tally) {
        let mut note = |what: String| {
            tally.first.get_or_insert_with(|| format!("crash {} of seed {}, {crash:?}: {what}", self.crashes, self.seed));
        };
        let engine = oracle::open(&self.data());
        let wrong = engine.check_deep().unwrap();
        let mut naive = Naive::default();
        let mut torn = u64::from(!wrong.is_empty());
        for (writer, script) in self.scripts.iter_mut().enumerate() {
            let there = engine.head("marker", &format!("writer{writer}")).unwrap().map_or(0, |head| head.version);
            let acknowledged = acknowledged[writer].max(self.written[writer]);
            if there < acknowledged {
                tally.lost += u64::from(acknowledged - there);
                note(format!("writer {writer} was answered {acknowledged} writes, {there} are there"));
            }
            if there > acknowledged + 1 {
                torn += 1;
                note(format!("writer {writer} was answered {acknowledged} writes, {there} are there"));
            }
            for _ in self.written[writer]..there {
                script.next();
            }
            self.written[writer] = there.max(self.written[writer]);
            let of = script.naive();
            naive.documents.extend(of.documents.clone());
            naive.containers.extend(of.containers.clone());
            naive.groups.extend(of.groups.clone());
            naive.aliases.extend(of.aliases.clone());
            naive.max_ages.extend(of.max_ages.clone());
            naive.now = naive.now.max(of.now);
        }
        let compared = oracle::compare(engine, naive, self.seed + self.crashes as u64, 2);
        torn += compared.differences + compared.leaks;
        if let Some(first) = compared.first {
            note(first);
        }
        wrong.into_iter().for_each(note);
        tally.torn += torn;
    }
}

/// This program again, as the child of a crash test.
pub(crate) fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).stdout(Stdio::piped()).stdin(Stdio::null());
    command
}

/// Runs the child until it is dead, and returns the number of the last acknowledged write of each writer.
fn watch(mut command: Command, crash: Crash) -> Vec<u32> {
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let waiter = std::thread::spawn(move || {
        if let Crash::After(milliseconds) = crash {
            std::thread::sleep(Duration::from_millis(20 + milliseconds));
            // It may have ended by itself.
            let _ = child.kill();
        }
        child.wait().unwrap()
    });
    let mut acknowledged = vec![0; WRITERS];
    for line in lines.map_while(Result::ok) {
        // Lines of the test harness are not ours.
        let Some((writer, number)) = line.strip_prefix("ack ").and_then(|line| line.split_once(' ')) else { continue };
        acknowledged[writer.parse::<usize>().unwrap()] = number.parse().unwrap();
    }
    let status = waiter.join().unwrap();
    use std::os::unix::process::ExitStatusExt as _;
    assert!(status.signal() == Some(9) || status.success(), "the child failed: {status}");
    acknowledged
}

fn script(seed: u64, writer: usize) -> Script {
    Script::new(seed * 1_000 + writer as u64, &format!("writer{writer}."))
}

/// A document that nobody may read, whose version counts the writes of a writer.
fn marker(writer: usize, number: u32) -> Write {
    Write::Put(Box::new(NewDocument {
        source: "marker".to_owned(),
        id: format!("writer{writer}"),
        text: number.to_string(),
        ..NewDocument::default()
    }))
}

/// What the child does: writes, searches and checkpoints until it is killed or has had enough.
pub(crate) fn work() -> Option<()> {
    let dir = std::env::var_os("CRASH_DIR")?;
    let seed: u64 = std::env::var("CRASH_SEED").ok()?.parse().ok()?;
    let from: Vec<u32> = std::env::var("CRASH_FROM").ok()?.split(',').map(|number| number.parse().unwrap()).collect();
    // The test harness has begun a line.
    println!();
    let engine = oracle::open(Path::new(&dir));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (engine, from) = (&engine, from[writer]);
                scope.spawn(move || write(engine, script(seed, writer), writer, from))
            })
            .collect();
        for searcher in 0..SEARCHERS {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut dice = Dice(seed + searcher as u64);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let text = format!("k{} k{}", dice.below(4), dice.below(20));
                    let query = Query { text, limit: 10, mode: Mode::Keyword, ..Query::default() };
                    engine.search(&Caller::public(), &query, Timestamp(1_000)).unwrap();
                    if dice.chance(5) {
                        engine.checkpoint().unwrap();
                    }
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    Some(())
}

fn write(engine: &Engine, mut script: Script, writer: usize, from: u32) {
    (0..from).for_each(|_| drop(script.next()));
    for number in from + 1..=from + WRITES as u32 {
        let (write, now) = script.next();
        engine.write(vec![write, marker(writer, number)], now).unwrap();
        println!("ack {writer} {number}");
    }
}

#[test]
fn child_of_a_crash_test() {
    work();
}

#[test]
fn what_was_acknowledged_survives_kills_and_power_losses() {
    for tally in [run(24, 1), sweep(40, 2)] {
        eprintln!("{} kills, {} acknowledged", tally.kills, tally.acknowledged);
        assert_eq!((tally.lost, tally.torn), (0, 0), "{}", tally.first.unwrap_or_default());
    }
}
