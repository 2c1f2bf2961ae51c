//! `sightline backup` and `sightline restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sightline_index::{Timestamp, backup, restore};

use super::output::{self, grouped};
use crate::config::Config;
use crate::error::Error;

/// Takes a consistent copy of the data; works beside a running server.
#[derive(Debug, Args)]
#[command(
    after_help = "The copy holds everything, secrets included; keep it like the data itself. Indexes are not copied: they are\n\
    rebuilt at `sightline restore`."
)]
pub(super) struct BackupTo {
    /// A new folder
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Makes a data directory from a backup.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The folder that `sightline backup` made
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl BackupTo {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        if !config.data.exists() {
            return Err(Error::NoData { path: config.data.clone() });
        }
        let taken = backup(&config.data, &self.folder, Timestamp::now())?;
        if self.json {
            output::print_json(&taken)?;
        } else {
            let (documents, bytes) = (grouped(taken.documents), grouped(taken.bytes));
            output::print(&format!("{documents} documents, {bytes} bytes, every write up to {}\n", taken.seq))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        let (backup, stats) = restore(&self.folder, &config.data)?;
        if self.json {
            output::print_json(&json!({ "backup": backup, "stats": stats }))?;
        } else {
            let (documents, chunks) = (grouped(stats.documents), grouped(stats.chunks));
            let place = config.data.display();
            output::print(&format!("{documents} documents and {chunks} chunks, as of {}, are in {place}\n", backup.taken_at))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
