//! `sightline eval`: how well each mode ranks judged collections, against a saved run, and for callers who read a part.

mod table;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sightline_ingest::Embedder;

use super::{open, output};
use crate::config::Config;
use crate::error::Error;
use crate::eval::{self, Average, Collection, Questions, Report, Run};

/// Ingests judged collections and prints nDCG@10, Recall@10 and @100 and MRR@10 of each mode.
#[derive(Debug, Args)]
#[command(after_help = "A collection has corpus.jsonl, queries.jsonl and qrels/*.tsv, as the BEIR benchmark lays them out.\n\
    Where queries carry metadata.answers, answer@1 is the share whose first passage holds one of them.\n\
    A collection is ingested into a directory of its own, which is deleted afterwards. With --data it is kept, so that a\n\
    second run embeds nothing; that directory must hold nothing else. Of several collections each gets a folder in it.\n\n\
    With --callers the queries are also asked as callers who may read a part: by acl.jsonl and directory.json of the\n\
    collection, else all of it, 50, 10 and 1 % at random, and all but what is relevant to half of the queries. For each\n\
    caller an engine that holds nothing else must rank and score the same; where one does not, the exit code is 1.\n\n\
    Examples:\n  sightline eval ./scifact --data ./scifact-data --save before.json\n  \
    sightline eval ./scifact --data ./scifact-data --against before.json --diff 5\n  \
    sightline eval ./scifact --callers 5")]
pub(super) struct Eval {
    /// The collections
    #[arg(required = true, value_name = "DIR")]
    collections: Vec<PathBuf>,
    /// Keep the rankings and measures of this run, as JSON
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a run that was saved
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Show the queries of each mode whose nDCG@10 changed most
    #[arg(long, value_name = "N", requires = "against", default_value_t = 0)]
    diff: usize,
    /// Write each mode's rankings into this folder, for trec_eval
    #[arg(long, value_name = "FOLDER")]
    trec: Option<PathBuf>,
    /// Also ask as this many callers who may read a part, and compare with an engine that holds only that
    #[arg(long, value_name = "N", default_value_t = 0)]
    callers: usize,
    /// Print the measures as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    collections: &'a [Report],
    average: &'a [Average],
}

impl Eval {
    /// `kept` is the data directory, where one is named on the command line.
    pub(super) fn run(self, config: &Config, kept: Option<&Path>) -> Result<ExitCode, Error> {
        let before = self.against.as_deref().map(Run::read).transpose()?;
        let mut collections = Vec::new();
        for (dir, name) in self.collections.iter().zip(names(&self.collections)?) {
            let collection = Collection::read(dir, &name).map_err(eval::EvalError::from)?;
            // Refused now rather than after everything has been embedded.
            if let Some((run, path)) = before.as_ref().zip(self.against.as_deref()) {
                eval::saved(run, path, &collection)?;
            }
            collections.push(collection);
        }
        let embedder = open::embedder(config, config.embedder_instances)?;
        let mut reports = Vec::new();
        for collection in &collections {
            let kept = kept.map(|kept| if collections.len() > 1 { kept.join(&collection.name) } else { kept.to_owned() });
            reports.push(self.report(collection, before.as_ref(), embedder.clone(), kept)?);
        }
        let model = embedder.map(|embedder| embedder.model().name.clone());
        let run = Run::of(model, &reports);
        self.save.as_deref().map(|path| run.save(path)).transpose()?;
        self.trec.as_deref().map(|folder| run.save_trec(folder)).transpose()?;
        let average = if reports.len() > 1 { eval::average(&reports) } else { Vec::new() };
        if self.json {
            output::print_json(&Printed { collections: &reports, average: &average })?;
        } else {
            output::print(&table::all(&reports, &average, before.as_ref().zip(self.against.as_deref())))?;
        }
        let equal = reports.iter().flat_map(|report| &report.callers).flatten().all(eval::CallerReport::is_equal);
        Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn report(
        &self,
        collection: &Collection,
        before: Option<&Run>,
        embedder: Option<Arc<Embedder>>,
        kept: Option<PathBuf>,
    ) -> Result<Report, Error> {
        let temporary = tempfile::tempdir().map_err(Error::io("a temporary directory"))?;
        let data = kept.unwrap_or_else(|| temporary.path().to_owned());
        let pipeline = open::pipeline_with(&data, embedder, false)?;
        let bar = bar(collection);
        let seconds = eval::ingest(&pipeline, collection, |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let questions = Questions::embed(&pipeline, collection)?;
        let mut report = eval::evaluate(&pipeline, collection, &questions, seconds)?;
        if let Some((run, path)) = before.zip(self.against.as_deref()) {
            let saved = eval::saved(run, path, collection)?;
            report.against = Some(eval::compare(&report, saved, path, collection, &questions, self.diff)?);
        }
        if self.callers > 0 {
            report.callers = Some(eval::ask_callers(&pipeline, collection, &questions, self.callers)?);
        }
        Ok(report)
    }
}

fn bar(collection: &Collection) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} documents  {elapsed} (eta {eta})");
    match (std::io::stderr().is_terminal(), style) {
        (true, Ok(style)) => {
            let bar = ProgressBar::new(collection.documents.len() as u64).with_style(style);
            bar.with_prefix(output::tame_line(&collection.name))
        }
        _ => ProgressBar::hidden(),
    }
}

/// What collections are called: their paths below the folder that holds them all.
fn names(dirs: &[PathBuf]) -> Result<Vec<String>, Error> {
    let full = dirs.iter().map(|dir| dir.canonicalize().map_err(Error::io(dir.display().to_string())));
    let full: Vec<PathBuf> = full.collect::<Result<_, _>>()?;
    let above = |dir: &PathBuf| dir.parent().unwrap_or(dir).to_owned();
    let mut shared = full.first().map(above).unwrap_or_default();
    while !full.iter().all(|dir| above(dir).starts_with(&shared)) && shared.pop() {}
    Ok(full.iter().map(|dir| dir.strip_prefix(&shared).unwrap_or(dir).display().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_called_by_what_tells_them_apart() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = ["set/one", "set/more/two", "other/one"].map(|dir| folder.path().join(dir));
        dirs.iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
        let [one, two, other] = &dirs;
        assert_eq!(names(std::slice::from_ref(one)).unwrap(), ["one"]);
        assert_eq!(names(&[one.clone(), two.clone()]).unwrap(), ["one", "more/two"]);
        assert_eq!(names(&dirs).unwrap(), ["set/one", "set/more/two", "other/one"]);
        assert_eq!(names(&[one.join("../one"), other.clone()]).unwrap(), ["set/one", "other/one"]);
        assert!(names(&[folder.path().join("absent")]).unwrap_err().to_string().contains("absent"));
    }
}
