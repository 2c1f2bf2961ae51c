//! The `sightline` program. Exit codes: 0 done, 1 failed, 2 usage.

use std::process::ExitCode;

use clap::Parser as _;
use sightline::cli::{self, Cli};

fn main() -> ExitCode {
    // A hostile file is read here: before any thread, setting or log is there to be harmed.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == cli::EXTRACT_CHILD) {
        let done = sightline_ingest::run_child(std::io::stdin().lock(), std::io::stdout().lock());
        return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
