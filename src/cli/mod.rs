//! The command line: one file per command, each with its arguments and a `run`.
//!
//! Results go to standard output, everything else to standard error. Secrets never come from arguments.

mod access;
mod backup;
mod demo;
mod doctor;
mod eval;
mod group;
mod ingest;
mod key;
mod open;
mod output;
mod search;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::error::Error;

/// The first argument of the process that reads hostile files; it is not a command for people.
pub const EXTRACT_CHILD: &str = "extract-child";
/// Which log lines are shown, such as `debug` or `sightline=debug`.
const LOG_VARIABLE: &str = "SIGHTLINE_LOG";

/// Permission-aware retrieval: every caller sees only what the source lets them see, and every result cites its line.
#[derive(Debug, Parser)]
#[command(name = "sightline", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// Settings that every command takes.
#[derive(Debug, Args)]
struct Settings {
    /// The data directory [default: ./sightline-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The file of settings [default: ./sightline.toml where it is present]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API
    Serve(serve::Serve),
    /// Bring a source to what a folder holds now
    Ingest(ingest::Ingest),
    /// Search as a user would, beside a running server
    Search(search::Search),
    /// Show and change groups and their members
    #[command(subcommand)]
    Group(group::Group),
    /// Explain and review who sees what
    #[command(subcommand)]
    Access(access::Access),
    /// Make, list and revoke API keys, also beside a running server
    #[command(subcommand)]
    Key(key::Key),
    /// Check the data directory and the model
    Doctor(doctor::Doctor),
    /// Take a consistent copy of the data, also beside a running server
    Backup(backup::BackupTo),
    /// Make a data directory from a backup
    Restore(backup::Restore),
    /// Measure how well a judged collection is ranked
    Eval(eval::Eval),
    /// Show the main job on the sample company
    Demo(demo::Demo),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What a person is told when the command failed.
    pub fn run(self) -> Result<ExitCode, Error> {
        log(if matches!(self.command, Command::Serve(_)) { "info" } else { "warn" });
        let mut config = Config::load(self.settings.config.as_deref())?;
        if let Some(data) = &self.settings.data {
            config.data.clone_from(data);
        }
        match self.command {
            Command::Serve(command) => command.run(config),
            Command::Ingest(command) => command.run(&config),
            Command::Search(command) => command.run(&config),
            Command::Group(command) => command.run(&config),
            Command::Access(command) => command.run(&config),
            Command::Key(command) => command.run(&config),
            Command::Doctor(command) => command.run(&config),
            Command::Backup(command) => command.run(&config),
            Command::Restore(command) => command.run(&config),
            Command::Eval(command) => command.run(&config, self.settings.data.as_deref()),
            Command::Demo(command) => command.run(config),
        }
    }
}

fn log(default: &str) {
    let asked = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(if asked.is_empty() { default } else { &asked }).unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
