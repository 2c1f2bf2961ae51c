//! A long random history against the oracle: `make torture OPS=100000 SEED=1`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, unused_imports, reason = "shared with the integration tests")]
#[path = "it/oracle/mod.rs"]
mod oracle;

/// Operations of one history; longer runs are several, so that all stay small enough to reach every corner.
const OPERATIONS: u64 = 2_000;

fn main() {
    let setting = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (mut left, mut seed) = (setting("OPS", 10_000), setting("SEED", 1));
    let mut total = oracle::run(0, 0);
    while left > 0 {
        let tally = oracle::run(seed, left.min(OPERATIONS));
        if let Some(first) = &tally.first {
            eprintln!("seed {seed}: {first}");
        }
        left -= tally.operations;
        total.operations += tally.operations;
        total.comparisons += tally.comparisons;
        total.hits += tally.hits;
        total.differences += tally.differences;
        total.leaks += tally.leaks;
        total.best += tally.best;
        total.missed += tally.missed;
        seed += 1;
        eprintln!(
            "{} operations, {} hits compared; where part is looked at, {} of {} were missed",
            total.operations, total.hits, total.missed, total.best
        );
    }
    println!(
        "{} operations, {} comparisons, {} differences, {} leaks",
        total.operations, total.comparisons, total.differences, total.leaks
    );
    std::process::exit(i32::from(total.differences + total.leaks > 0 || total.missed * 50 > total.best));
}
