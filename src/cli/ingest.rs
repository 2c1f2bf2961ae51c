//! `sightline ingest`: brings a source to what a folder holds now.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sightline_index::{Principal, Timestamp};
use sightline_ingest::{AclOrigin, FolderOptions, Progress, SyncReport, sync_folder};

use super::open;
use super::output::{self, grouped};
use crate::config::Config;
use crate::error::Error;

/// How often progress is told where there is no terminal.
const TELL_SECONDS: u64 = 10;

/// Brings a source to what a folder holds now: new and changed files come in, files that are gone are deleted.
#[derive(Debug, Args)]
#[command(after_help = "Who may read what comes from `.sightline.toml` files in the folders, or from --acl, or from --posix.\n\
    A file without a rule is stored and shown to nobody.\n\n\
    Examples:\n  sightline ingest ./handbook --source handbook --allow everyone\n  \
    sightline ingest ./dump --source tickets --acl acl.jsonl --directory directory.json\n  \
    sightline ingest /srv/share --source share --posix --owner ops@example.com")]
pub(super) struct Ingest {
    /// The folder
    folder: PathBuf,
    /// The source's id, which citations name
    #[arg(long, value_name = "NAME")]
    source: String,
    /// A file of lines {"_id": "path", "acl": {…}}; a file that it does not name is withheld
    #[arg(long, value_name = "FILE", conflicts_with = "posix")]
    acl: Option<PathBuf>,
    /// Take owner, group and mode of the files
    #[arg(long)]
    posix: bool,
    /// A principal that may read everything that inherits from the top folder, such as group:staff or everyone
    #[arg(long, value_name = "PRINCIPAL", value_parser = Principal::parse, conflicts_with_all = ["acl", "posix"])]
    allow: Vec<Principal>,
    /// A JSON object of groups and their members, to bring into the directory
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// Who answers for the source
    #[arg(long, value_name = "OWNER", default_value = "")]
    owner: String,
    /// Delete documents even when most of the source is gone
    #[arg(long)]
    allow_mass_delete: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Ingest {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        let acls = match (self.acl, self.posix) {
            (Some(list), _) => AclOrigin::List(list),
            (None, true) => AclOrigin::Posix,
            (None, false) => AclOrigin::Manifests,
        };
        let options = FolderOptions {
            root: self.folder,
            source: self.source,
            owner: self.owner,
            acls,
            allow: self.allow.iter().map(Principal::to_string).collect(),
            directory: self.directory,
            allow_mass_delete: self.allow_mass_delete,
        };
        let pipeline = open::pipeline(config, config.embedder_instances, false)?;
        let teller = Teller::new();
        let report = sync_folder(&pipeline, &options, Timestamp::now, |progress| teller.tell(progress))?;
        teller.end();
        for failure in &report.failures {
            eprintln!("failed: {}: {} ({})", output::tame_line(&failure.item), output::tame_line(&failure.detail), failure.code);
        }
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&summary(&options.source, &report))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn summary(source: &str, report: &SyncReport) -> String {
    let count = |number: usize| grouped(number as u64);
    let pace = report.chunks as f64 / report.seconds.max(0.001);
    format!(
        "source      {source}\n\
         files       {} ({} of other formats left out)\n\
         ingested    {} ({} new, {} changed)\n\
         unchanged   {}\n\
         deleted     {}\n\
         failed      {}\n\
         chunks      {} ({} embedded)\n\
         seconds     {:.1} ({pace:.1} chunks/s)\n",
        count(report.files),
        count(report.skipped),
        count(report.created + report.updated),
        count(report.created),
        count(report.updated),
        count(report.unchanged),
        count(report.deleted),
        count(report.failures.len()),
        count(report.chunks),
        count(report.embedded),
        report.seconds,
    )
}

/// Tells how far a sync has come: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Teller {
    bar: Option<ProgressBar>,
    told: std::cell::Cell<Instant>,
}

impl Teller {
    pub(super) fn new() -> Teller {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files  {msg}  {elapsed} (eta {eta})");
        let bar = std::io::stderr().is_terminal().then(|| match style {
            Ok(style) => ProgressBar::new(0).with_style(style),
            Err(_) => ProgressBar::new(0),
        });
        Teller { bar, told: std::cell::Cell::new(Instant::now()) }
    }

    pub(super) fn tell(&self, progress: &Progress) {
        let Progress { files, done, chunks, embedded, failed } = *progress;
        if let Some(bar) = &self.bar {
            bar.set_length(files as u64);
            bar.set_position(done as u64);
            bar.set_message(format!("{chunks} chunks, {failed} failed"));
        } else if self.told.get().elapsed() >= Duration::from_secs(TELL_SECONDS) {
            eprintln!("{done}/{files} files, {chunks} chunks, {embedded} embedded, {failed} failed");
            self.told.set(Instant::now());
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
