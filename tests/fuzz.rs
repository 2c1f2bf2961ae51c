//! Hostile inputs for every decoder: `make fuzz SECONDS=60 SEED=1 TARGET=name`.
//!
//! Each target runs in a process of its own with bounded memory, so that a stack that overflows, an allocation that fails
//! and an input that never ends are findings too. A finding is written to `tests/fuzz/regressions`, from where
//! `make test` replays it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "it/fuzz/mod.rs"]
mod fuzz;
#[path = "it/oracle"]
mod oracle {
    #[allow(dead_code, reason = "shared with the integration tests")]
    pub(crate) mod dice;
}

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fuzz::{Run, Target, Verdict};

/// An input that takes longer ends its process.
const STUCK: Duration = Duration::from_secs(20);
/// The address space of a process.
const MAX_KIB: u64 = 6 << 20;
/// One run reports at most so many findings of a target.
const MAX_FINDINGS: u64 = 10;

fn main() {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let number = |name: &str, default: u64| text(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, seed) = (number("SECONDS", 60), number("SEED", 1));
    let mut targets = fuzz::targets();
    if let (Some(name), Some(current)) = (text("FUZZ_CHILD"), text("FUZZ_CURRENT")) {
        let target = targets.into_iter().find(|target| target.name == name).unwrap();
        return child(&target, seed, Duration::from_millis(number("MILLISECONDS", 1_000)), Path::new(&current));
    }
    if let Some(name) = text("TARGET") {
        let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
        assert!(names.contains(&name.as_str()), "TARGET is one of {}", names.join(", "));
        targets.retain(|target| target.name == name);
    }
    let (mut inputs, mut findings) = (0, 0);
    let share = Duration::from_secs(seconds) / targets.len() as u32;
    for target in &targets {
        let started = Instant::now();
        let tally = supervise(target, seed, share);
        let rate = tally.inputs as f64 / started.elapsed().as_secs_f64();
        println!(
            "{}: {} inputs, {rate:.0} a second, {} taken, {} findings",
            target.name, tally.inputs, tally.taken, tally.findings
        );
        inputs += tally.inputs;
        findings += tally.findings;
    }
    println!("{inputs} inputs, {} targets, {findings} findings", targets.len());
    std::process::exit(i32::from(findings > 0));
}

/// What a target did.
#[derive(Default)]
struct Tally {
    inputs: u64,
    /// Those that the decoder took for whole; others were refused.
    taken: u64,
    findings: u64,
}

impl Tally {
    /// Reads what a child printed last.
    fn read(line: &str) -> Option<Tally> {
        let mut numbers = line.split(' ').map(|number| number.parse().ok());
        Some(Tally { inputs: numbers.next()??, taken: numbers.next()??, findings: numbers.next()?? })
    }
}

/// Runs a target in child processes until its time is over.
fn supervise(target: &Target, seed: u64, share: Duration) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    let dir = tempfile::tempdir().unwrap();
    let current = dir.path().join("current");
    for turn in 0.. {
        let left = share.saturating_sub(started.elapsed());
        if (turn > 0 && left < Duration::from_millis(200)) || tally.findings >= MAX_FINDINGS {
            break;
        }
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -v {MAX_KIB}; exec \"$0\"")])
            .arg(std::env::current_exe().unwrap())
            .env("FUZZ_CHILD", target.name)
            .env("FUZZ_CURRENT", &current)
            .env("MILLISECONDS", left.as_millis().to_string())
            .env("SEED", (seed + turn * 1_000_003).to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        if let (true, Some(last)) = (output.status.success(), printed.lines().last().and_then(Tally::read)) {
            tally.inputs += last.inputs;
            tally.taken += last.taken;
            tally.findings += last.findings;
            break;
        }
        // The number of inputs so far stands before the input.
        let bytes = std::fs::read(&current).unwrap_or_default();
        let (made, input) = bytes.split_first_chunk::<8>().map_or((0, &[][..]), |(made, rest)| (u64::from_le_bytes(*made), rest));
        tally.inputs += made;
        tally.findings += 1 + printed.lines().filter(|line| line.starts_with("finding ")).count() as u64;
        report(target.name, input, &format!("the process ended with {}", output.status));
    }
    tally
}

/// Checks inputs until the time is over, and prints how many they were, were taken, and were findings.
fn child(target: &Target, seed: u64, time: Duration, current: &Path) {
    let started = Instant::now();
    let current = File::create(current).unwrap();
    let under_way = std::sync::Arc::new(AtomicU64::new(0));
    let watched = under_way.clone();
    std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = watched.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > STUCK {
                std::process::abort();
            }
        }
    });
    let mut run = Run::new(target, seed);
    let mut said = BTreeSet::new();
    let mut seeds = run.mutator.seeds().to_vec();
    seeds.extend(fuzz::regressions(target.name).into_iter().map(|file| std::fs::read(file).unwrap()));
    let (mut inputs, mut taken, mut findings) = (0u64, 0u64, 0u64);
    while started.elapsed() < time && findings < MAX_FINDINGS {
        let input = seeds.pop().unwrap_or_else(|| run.mutator.next());
        current.write_all_at(&inputs.to_le_bytes(), 0).unwrap();
        current.write_all_at(&input, 8).unwrap();
        current.set_len(8 + input.len() as u64).unwrap();
        inputs += 1;
        under_way.store(inputs, Ordering::Relaxed);
        match run.check(&input) {
            Verdict::Refused => {}
            Verdict::Whole => {
                taken += 1;
                run.mutator.keep(input);
            }
            // The same place is told once, whatever it says of the input.
            Verdict::Finding(why) => {
                if said.insert(why.lines().next().unwrap_or_default().to_owned()) {
                    findings += 1;
                    println!("finding {findings}");
                    report(target.name, &input, &why);
                }
            }
        }
    }
    println!("{inputs} {taken} {findings}");
}

/// Writes a finding where it is replayed from, and says so.
fn report(target: &str, input: &[u8], why: &str) {
    let dir = fuzz::regressions_of(target);
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join(&blake3::hash(input).to_hex()[..16]);
    std::fs::write(&file, input).unwrap();
    eprintln!("{target}: {}: {}", file.display(), why.chars().take(1_000).collect::<String>());
}
