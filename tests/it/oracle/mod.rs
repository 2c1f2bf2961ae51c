//! The oracle: random histories run against the engine and against the naive engine, compared after each step, hit by hit
//! and bit by bit, for every caller.

mod arranged;
pub(crate) mod dice;
mod history;
pub(crate) mod naive;
mod reranked;

pub(crate) use history::{Script, compare, open, run};
pub(crate) use naive::Naive;

/// Bounded runs with fixed seeds; `make torture` runs longer ones.
#[test]
fn random_histories_agree_with_the_definition() {
    let mut renewed = 0;
    for seed in 1..=4 {
        let tally = run(seed, 400);
        assert_eq!((tally.differences, tally.leaks), (0, 0), "seed {seed}: {}", tally.first.unwrap_or_default());
        // Those of wide histories look at part of the rows.
        assert!(
            tally.missed * 50 <= tally.best && (seed % 2 == 1 || tally.best > 1_000),
            "seed {seed}: {} of {} hits were missed",
            tally.missed,
            tally.best
        );
        assert!(tally.hits > 1_000, "seed {seed} compared too little: {} hits", tally.hits);
        renewed += tally.renewed;
    }
    assert!(renewed > 5, "{renewed} passages were found in newer versions");
}
