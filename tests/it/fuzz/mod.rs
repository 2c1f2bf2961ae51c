//! Hostile and damaged inputs: every decoder with what must hold of its answers, over mutated inputs.
//!
//! `make fuzz` runs the targets for long, each in a process of its own. The test below replays what once failed, from
//! `tests/fuzz/regressions`, and runs each target for a moment.

mod access;
mod answers;
mod files;
mod folder;
mod http;
mod mutation;
mod search;
mod settings;
mod text;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutation::Mutator;
use tempfile::TempDir;

/// An input that takes longer is a finding.
pub(crate) const SLOW: Duration = Duration::from_secs(2);

/// Reads an input and panics where a property does not hold; true when the input was taken for whole.
pub(crate) type Check = Box<dyn FnMut(&[u8]) -> bool>;

/// A decoder and what must hold of its answers.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Words that lead into it.
    words: &'static [&'static str],
    /// Inputs to begin with.
    seeds: fn() -> Vec<Vec<u8>>,
    start: fn() -> Check,
    /// What it keeps is made anew after so many inputs.
    fresh_after: u64,
    /// Inputs of the short run.
    short: u64,
    max_bytes: usize,
}

const QUICK: Target = Target {
    name: "",
    words: &[],
    seeds: Vec::new,
    start: || Box::new(|_| false),
    fresh_after: u64::MAX,
    short: 2_000,
    max_bytes: 16 << 10,
};

/// All of them.
pub(crate) fn targets() -> Vec<Target> {
    [
        access::targets(),
        answers::targets(),
        settings::targets(),
        folder::targets(),
        http::targets(),
        search::targets(),
        text::targets(),
        files::targets(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs one target.
pub(crate) struct Run<'a> {
    target: &'a Target,
    check: Option<Check>,
    since_fresh: u64,
    pub(crate) mutator: Mutator,
}

/// What an input did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refused,
    Whole,
    /// A property does not hold, or it took too long.
    Finding(String),
}

impl<'a> Run<'a> {
    pub(crate) fn new(target: &'a Target, seed: u64) -> Run<'a> {
        let mutator = Mutator::new(seed, (target.seeds)(), target.words, target.max_bytes);
        Run { target, check: None, since_fresh: 0, mutator }
    }

    /// Checks one input.
    pub(crate) fn check(&mut self, input: &[u8]) -> Verdict {
        if self.since_fresh >= self.target.fresh_after {
            self.check = None;
        }
        let check = match &mut self.check {
            Some(check) => check,
            none => {
                self.since_fresh = 0;
                none.insert((self.target.start)())
            }
        };
        self.since_fresh += 1;
        let started = Instant::now();
        let verdict = match quietly(|| check(input)) {
            Ok(true) => Verdict::Whole,
            Ok(false) => Verdict::Refused,
            Err(said) => {
                self.check = None;
                return Verdict::Finding(said);
            }
        };
        // A machine that does other things is not a slow input: it has to be slow twice.
        if started.elapsed() > SLOW {
            let again = Instant::now();
            let _verdict = quietly(|| check(input));
            if again.elapsed() > SLOW {
                return Verdict::Finding(format!("it takes {:?}", again.elapsed()));
            }
        }
        verdict
    }
}

thread_local! {
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `check`; a panic is an error with its message and place.
fn quietly(check: impl FnOnce() -> bool) -> Result<bool, String> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    thread_local! {
        static LISTENING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if LISTENING.get() {
                SAID.set(Some(info.to_string()));
            } else {
                loud(info);
            }
        }));
    });
    LISTENING.set(true);
    let result = catch_unwind(AssertUnwindSafe(check));
    LISTENING.set(false);
    result.map_err(|_| SAID.take().unwrap_or_default())
}

/// Where the inputs are kept that once failed a target.
pub(crate) fn regressions_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions").join(target)
}

/// The inputs that once failed a target.
pub(crate) fn regressions(target: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(regressions_of(target)).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// A folder that is fast where the machine has one.
fn scratch() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap()
}

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

#[test]
fn what_once_failed_and_a_moment_of_each_target() {
    let mut findings = Vec::new();
    let (mut replayed, mut made) = (0, 0);
    for target in targets() {
        let started = Instant::now();
        let mut run = Run::new(&target, 1);
        for file in regressions(target.name) {
            replayed += 1;
            if let Verdict::Finding(said) = run.check(&std::fs::read(&file).unwrap()) {
                findings.push(format!("{}: {said}", file.display()));
            }
        }
        for seed in run.mutator.seeds().to_vec() {
            if let Verdict::Finding(said) = run.check(&seed) {
                findings.push(format!("{}, a seed, {:?}: {said}", target.name, String::from_utf8_lossy(&seed)));
            }
        }
        for _ in 0..target.short {
            let input = run.mutator.next();
            made += 1;
            match run.check(&input) {
                Verdict::Finding(said) => findings.push(format!("{}: {:?}: {said}", target.name, String::from_utf8_lossy(&input))),
                Verdict::Whole => run.mutator.keep(input),
                Verdict::Refused => {}
            }
        }
        eprintln!("{}: {:?}", target.name, started.elapsed());
    }
    eprintln!("{replayed} replayed, {made} made");
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}
