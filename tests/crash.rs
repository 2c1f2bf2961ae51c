//! Many crashes: `make crash KILLS=500 SEED=1`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/crash/mod.rs"]
mod crash;
#[path = "it/oracle/mod.rs"]
mod oracle;

fn main() {
    if crash::work().is_some() {
        return;
    }
    let setting = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (kills, seed) = (setting("KILLS", 500), setting("SEED", 1));
    let (random, swept) = (crash::run(kills - kills / 4, seed), crash::sweep(kills / 4, seed));
    for first in [&random.first, &swept.first].into_iter().flatten() {
        eprintln!("{first}");
    }
    println!(
        "{} kills, {} acknowledged, {} lost, {} torn",
        random.kills + swept.kills,
        random.acknowledged + swept.acknowledged,
        random.lost + swept.lost,
        random.torn + swept.torn
    );
    std::process::exit(i32::from(random.lost + random.torn + swept.lost + swept.torn > 0));
}
