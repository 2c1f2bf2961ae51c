//! `sightline doctor`: is the data directory sound, is the model there, and what was left out?

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use sightline_index::{Engine, Failure, Job, JobState, Stats};
use sightline_ingest::Embedder;

use super::open;
use super::output::{self, grouped, tame};
use crate::config::Config;
use crate::error::Error;

/// How many of the newest jobs are shown.
const SHOWN_JOBS: u32 = 5;

/// Checks the data directory and the model; works beside a running server. Exits with 1 when something is wrong.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Read every byte: are all rows as they were written, and do the indexes equal the catalog?
    #[arg(long)]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Findings {
    ok: bool,
    checks: Vec<Check>,
    stats: Option<Stats>,
    jobs: Vec<JobFindings>,
}

/// One check.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

/// A job with what failed in it.
#[derive(Serialize)]
struct JobFindings {
    #[serde(flatten)]
    job: Job,
    failures: Vec<Failure>,
}

impl Doctor {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        let mut checks = Vec::new();
        let (stats, jobs) = match open::engine(config, true) {
            Ok(engine) => {
                checks.push(Check { name: "data", ok: true, detail: format!("{} opens", config.data.display()) });
                checks.push(model(config, &engine));
                checks.extend(reranker(config));
                examine(&engine, self.deep, &mut checks)
            }
            Err(error) => {
                checks.push(Check { name: "data", ok: false, detail: error.to_string() });
                (None, Vec::new())
            }
        };
        let findings = Findings { ok: checks.iter().all(|check| check.ok), checks, stats, jobs };
        if self.json {
            output::print_json(&findings)?;
        } else {
            output::print(&report(&findings))?;
        }
        Ok(if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Is there a model, does it work, and is it the one whose vectors are stored?
fn model(config: &Config, engine: &Engine) -> Check {
    let check = |ok: bool, detail: String| Check { name: "model", ok, detail };
    let stored = engine.model();
    let embedder = match (open::embedder(config, 1), stored) {
        (Ok(Some(embedder)), _) => embedder,
        (Ok(None), None) => return check(true, "none, so only keywords are searched".to_owned()),
        (Ok(None), Some(stored)) => {
            return check(false, format!("the data holds vectors of `{}`, but no model was found", stored.name));
        }
        (Err(error), _) => return check(false, error.to_string()),
    };
    if let Some(stored) = stored.filter(|stored| *stored != embedder.model()) {
        return check(false, format!("the data holds vectors of `{}`, the model is `{}`", stored.name, embedder.model().name));
    }
    let place = Embedder::find(config.model.as_deref()).map(|dir| dir.display().to_string()).unwrap_or_default();
    match embedder.embed("a short text") {
        Ok(vector) => check(true, format!("{} in {place}, {} dimensions", embedder.model().name, vector.len())),
        Err(error) => check(false, error.to_string()),
    }
}

/// Does the re-ranker work, where the settings name one?
fn reranker(config: &Config) -> Option<Check> {
    let dir = config.reranker.as_ref()?;
    let check = |ok: bool, detail: String| Some(Check { name: "re-ranker", ok, detail });
    let scored = open::reranker(config, Some(1)).and_then(|reranker| match reranker {
        Some(reranker) => Ok(reranker.scores("a question", &["a short text"]).map(|_| ())?),
        None => Ok(()),
    });
    match scored {
        Ok(()) => check(true, format!("{} scores", dir.display())),
        Err(error) => check(false, error.to_string()),
    }
}

/// Counts and jobs, with a check for each.
fn examine(engine: &Engine, deep: bool, checks: &mut Vec<Check>) -> (Option<Stats>, Vec<JobFindings>) {
    let (name, found) = match deep {
        true => ("data and indexes", engine.check_deep()),
        false => ("catalog", engine.check_catalog()),
    };
    let check = |ok, detail| Check { name, ok, detail };
    checks.push(match found {
        Ok(wrong) if wrong.is_empty() && deep => {
            check(true, "every row is as written, and the indexes equal the catalog".to_owned())
        }
        Ok(wrong) if wrong.is_empty() => check(true, "its pages agree".to_owned()),
        Ok(wrong) => check(false, wrong.join("; ")),
        Err(error) => check(false, error.to_string()),
    });
    let stats = engine.stats().inspect_err(|error| {
        checks.push(Check { name: "counts", ok: false, detail: error.to_string() });
    });
    let jobs = engine.jobs(SHOWN_JOBS).and_then(|jobs| {
        jobs.into_iter().map(|job| Ok(JobFindings { failures: engine.failures(job.id)?, job })).collect::<Result<Vec<_>, _>>()
    });
    let jobs = match jobs {
        Ok(jobs) => jobs,
        Err(error) => {
            checks.push(Check { name: "jobs", ok: false, detail: error.to_string() });
            Vec::new()
        }
    };
    if let Some(JobFindings { job, failures }) = jobs.first() {
        let detail = match job.state {
            JobState::Failed => format!("job {} over {} failed: {}", job.id, job.source, reason(job)),
            JobState::Running => {
                format!("job {} over {} is under way or was cut off; running it again resumes it", job.id, job.source)
            }
            JobState::Done => format!("job {} over {} is done, {} items failed", job.id, job.source, failures.len()),
        };
        checks.push(Check { name: "last job", ok: job.state != JobState::Failed, detail });
    }
    (stats.ok(), jobs)
}

fn reason(job: &Job) -> &str {
    job.summary.get("error").and_then(serde_json::Value::as_str).unwrap_or("it was cut off")
}

fn report(findings: &Findings) -> String {
    let mut text = String::new();
    for Check { name, ok, detail } in &findings.checks {
        text += &format!("{}  {name}: {}\n", if *ok { "ok     " } else { "problem" }, tame(detail));
    }
    if let Some(stats) = &findings.stats {
        text += &format!(
            "\n{} documents, {} chunks, {} vectors, {} bytes of text, {} groups, epoch {}\n",
            grouped(stats.documents),
            grouped(stats.chunks),
            grouped(stats.vectors),
            grouped(stats.text_bytes),
            grouped(stats.groups),
            stats.epoch,
        );
        for (state, count) in &stats.withheld {
            text += &format!("withheld: {} documents with an acl that is {state}\n", grouped(*count));
        }
    }
    for JobFindings { job, failures } in &findings.jobs {
        let ended = job.ended_at.map_or_else(|| "not ended".to_owned(), |at| format!("ended {at}"));
        let state = match job.state {
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
        };
        text += &format!("\njob {} over {}: {state}, {ended}\n", job.id, tame(&job.source));
        for Failure { item, code, detail } in failures {
            text += &format!("  failed: {}: {} ({code})\n", output::tame_line(item), output::tame_line(detail));
        }
    }
    text
}
