//! `sightline eval`: how well each mode ranks a judged collection.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{open, output};
use crate::config::Config;
use crate::error::Error;
use crate::eval::{self, Collection, Report};

/// Ingests a judged collection and prints nDCG@10 and Recall@100 of each mode.
#[derive(Debug, Args)]
#[command(after_help = "A collection has corpus.jsonl, queries.jsonl and qrels/*.tsv, as the BEIR benchmark lays them out.\n\
    It is ingested into a directory of its own, which is deleted afterwards. With --data it is kept, so that a second run\n\
    embeds nothing; that directory must hold nothing else.\n\nExample:\n  sightline eval ./scifact --data ./scifact-data")]
pub(super) struct Eval {
    /// The collection
    collection: PathBuf,
    /// Print the measures as JSON
    #[arg(long)]
    json: bool,
}

impl Eval {
    /// `kept` is the data directory, where one is named on the command line.
    pub(super) fn run(self, config: &Config, kept: Option<PathBuf>) -> Result<ExitCode, Error> {
        let collection = Collection::read(&self.collection).map_err(eval::EvalError::from)?;
        let temporary = tempfile::tempdir().map_err(Error::io("a temporary directory"))?;
        let data = kept.unwrap_or_else(|| temporary.path().to_owned());
        let pipeline = open::pipeline(&Config { data, ..config.clone() }, config.embedder_instances, false)?;
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} documents  {elapsed} (eta {eta})");
        let bar = match (std::io::stderr().is_terminal(), style) {
            (true, Ok(style)) => ProgressBar::new(collection.documents.len() as u64).with_style(style),
            _ => ProgressBar::hidden(),
        };
        let seconds = eval::ingest(&pipeline, &collection, |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let report = eval::evaluate(&pipeline, &collection, seconds)?;
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&table(&report))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "documents {}, chunks {}, judged queries {}, ingested in {:.1} s\n\n\
         mode      nDCG@10  Recall@100  MRR@10  p50 ms\n",
        output::grouped(report.documents as u64),
        output::grouped(report.chunks),
        output::grouped(report.queries as u64),
        report.ingest_seconds,
    );
    for mode in &report.modes {
        let measures = &mode.measures;
        let name = format!("{:?}", mode.mode).to_lowercase();
        text += &format!(
            "{name:<9} {:>7.4}  {:>10.4}  {:>6.4}  {:>6.2}\n",
            measures.ndcg_10, measures.recall_100, measures.mrr_10, mode.p50_ms
        );
    }
    text
}
