//! `sightline demo`: the main job on the sample company, end to end and over HTTP.
//!
//! It ingests an earlier state of the company and then the present one, serves it, asks each question as two callers, and
//! shows what each got and from where. A second run finds everything stored and is quick.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use sightline_index::{Caller, Guard, KeyRing, Mode, NewKey, Principal, Query, Scope, Timestamp};
use sightline_ingest::{FolderOptions, Pipeline, sync_folder};

use super::ingest::{self, Teller};
use super::{open, output, serve};
use crate::config::Config;
use crate::error::Error;
use crate::http::Service;

const SOURCE: &str = "halden";
/// Keeps the citation of the superseded text over runs, in the data directory.
const SUPERSEDED: &str = "demo-citation";
const KEY_DAYS: i64 = 1;
const ANSWER_SECONDS: u64 = 30;
const PASSAGE_LINES: usize = 6;

/// Ingests the sample company, asks four questions as different callers, and keeps serving.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The folder of the sample company
    #[arg(default_value = "demo")]
    folder: PathBuf,
    /// End after the questions
    #[arg(long)]
    once: bool,
    /// Address and port to listen on [default: 127.0.0.1:8600]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Questions {
    question: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    ask: String,
    #[serde(rename = "as")]
    caller: String,
    expect: String,
    also: String,
    also_expect: String,
    forbid: String,
    say: String,
}

impl Demo {
    pub(super) fn run(self, mut config: Config) -> Result<ExitCode, Error> {
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        let path = self.folder.join("questions.toml");
        let text = std::fs::read_to_string(&path).map_err(Error::io(path.display().to_string()))?;
        let questions: Questions = toml::from_str(&text).map_err(|error| Error::Demo(format!("{}: {error}", path.display())))?;
        let key = key(&config)?;
        let pipeline = open::pipeline(&config, config.embedder_instances, false)?;
        company(&pipeline, &self.folder, &config.data)?;
        let superseded = std::fs::read_to_string(config.data.join(SUPERSEDED)).ok();
        let reranker = open::reranker(&config, None)?;
        let served = serve::Running::start(Arc::new(Service::new(pipeline, config).with_reranker(reranker)))?;
        let client = Client::new(format!("http://{}", served.address()), key);
        let told = tell(&client, &questions.question, superseded.as_deref());
        if told.is_err() || self.once {
            served.stop()?;
            return told;
        }
        output::print(&format!("\nserving http://{} until Ctrl-C; a key for your own questions:\n\n", served.address()))?;
        output::print(&format!(
            "  curl -s http://{}/v1/search -H 'Authorization: Bearer {}' -H 'Sightline-User: user:ana@halden.example' \\\n    \
             -H 'Content-Type: application/json' -d '{{\"query\": \"who approves a purchase of EUR 20,000\"}}'\n",
            served.address(),
            client.key
        ))?;
        served.wait()?;
        told
    }
}

/// Ingests the earlier state, where it is not yet superseded, and the present one.
fn company(pipeline: &Pipeline, folder: &Path, data: &Path) -> Result<(), Error> {
    let options = |part: &str| FolderOptions {
        root: folder.join(part),
        source: SOURCE.to_owned(),
        owner: "user:conor@halden.example".to_owned(),
        directory: Some(folder.join("directory.json")),
        ..FolderOptions::default()
    };
    if pipeline.engine().heads(SOURCE, "", 1)?.is_empty() {
        sync_folder(pipeline, &options("earlier"), Timestamp::now, |_| {})?;
        let ana = Principal::parse("user:ana@halden.example").ok().and_then(Caller::user).unwrap_or_default();
        let query = Query { text: "daily allowance abroad".to_owned(), mode: Mode::Keyword, limit: 1, ..Query::default() };
        let found = pipeline.engine().search(&ana, &query, Timestamp::now())?;
        if let Some(hit) = found.hits.first() {
            let path = data.join(SUPERSEDED);
            std::fs::write(&path, &hit.citation.token).map_err(Error::io(path.display().to_string()))?;
        }
    }
    let teller = Teller::new();
    let report = sync_folder(pipeline, &options("company"), Timestamp::now, |progress| teller.tell(progress))?;
    teller.end();
    output::print(&format!("Halden Instruments, ingested\n{}", ingest::summary(SOURCE, &report)))?;
    for failure in &report.failures {
        output::print(&format!("failed      {}: {}\n", failure.item, failure.detail))?;
    }
    for (state, count) in pipeline.engine().stats()?.withheld {
        output::print(&format!("withheld    {count} with an acl that is {state}\n"))?;
    }
    Ok(())
}

/// A key that may search in the name of users, for a day.
fn key(config: &Config) -> Result<String, Error> {
    let now = Timestamp::now();
    let key = NewKey {
        owner: "demo".to_owned(),
        purpose: "questions of the demo".to_owned(),
        scopes: BTreeSet::from([Scope::Search, Scope::AssertUser]),
        guard: Guard::default(),
        expires_at: Some(Timestamp(now.0 + KEY_DAYS * 86_400_000)),
    };
    Ok(KeyRing::open(&config.data)?.create(&key, now)?.1)
}

/// Asks everything and says whether each answer was as expected.
fn tell(client: &Client, questions: &[Question], superseded: Option<&str>) -> Result<ExitCode, Error> {
    let colours = output::colours();
    let mut wrong = Vec::new();
    for (number, question) in (1..).zip(questions) {
        output::print(&format!("\n{}\n   {}\n", output::bold(&format!("{number}. {}", question.ask), colours), question.say))?;
        let asked = [(&question.caller, &question.expect, None), (&question.also, &question.also_expect, Some(&question.forbid))];
        for (caller, expect, forbid) in asked {
            let answer = client.search(caller, &question.ask)?;
            let hits = answer.get("hits").and_then(Value::as_array).cloned().unwrap_or_default();
            output::print(&format!("\n   {} gets\n{}", output::bold(caller, colours), describe(hits.first(), colours)))?;
            let documents: Vec<&str> = hits.iter().filter_map(|hit| hit.pointer("/citation/document")?.as_str()).collect();
            if documents.first().copied().unwrap_or_default() != expect {
                wrong.push(format!("question {number}: {caller} got {:?} first, not {expect}", documents.first()));
            }
            if let Some(forbid) = forbid.filter(|forbid| documents.contains(&forbid.as_str())) {
                wrong.push(format!("question {number}: {caller} was shown {forbid}"));
            }
        }
    }
    if let Some(token) = superseded {
        let opened = client.get(&format!("/v1/citations/{token}"), "user:ana@halden.example")?;
        let status = opened.get("status").and_then(Value::as_str).unwrap_or("not found");
        let text = opened.get("text").and_then(Value::as_str).unwrap_or_default();
        let heading = output::bold("A citation taken before the travel policy was changed, opened now", colours);
        output::print(&format!("\n{heading}\n   it is {status}, and still says:\n{}", shortened(text, &[], colours)))?;
        if status != "superseded" {
            wrong.push(format!("the earlier citation is {status}, not superseded"));
        }
    }
    if wrong.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Error::Demo(wrong.join("; "))) }
}

fn describe(hit: Option<&Value>, colours: bool) -> String {
    let Some(hit) = hit else { return "   nothing\n".to_owned() };
    let text = |pointer: &str| hit.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| hit.pointer(pointer).and_then(Value::as_u64);
    let mut place = format!("{}/{}", text("/citation/source"), text("/citation/document"));
    if let Some(page) = number("/citation/location/page") {
        place += &format!(", page {page}");
    }
    let headings = hit.pointer("/citation/location/headings").and_then(Value::as_array);
    let headings: Vec<&str> = headings.into_iter().flatten().filter_map(Value::as_str).collect();
    if !headings.is_empty() {
        place += &format!(", {}", headings.join(" › "));
    }
    if let (Some(version), Some(start), Some(end)) =
        (number("/citation/version"), number("/citation/span/start"), number("/citation/span/end"))
    {
        place += &format!(", version {version}, bytes {start} to {end}");
    }
    let why: Vec<&str> = hit.get("why").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let highlights: Vec<[usize; 2]> =
        hit.get("highlights").cloned().and_then(|spans| serde_json::from_value(spans).ok()).unwrap_or_default();
    format!("   from {}\n   because {}\n{}", output::tame(&place), why.join(", "), shortened(text("/text"), &highlights, colours))
}

fn shortened(text: &str, highlights: &[[usize; 2]], colours: bool) -> String {
    let passage = output::passage(text, highlights, colours, "   | ");
    let mut lines: Vec<&str> = passage.lines().take(PASSAGE_LINES).collect();
    if passage.lines().count() > PASSAGE_LINES {
        lines.push("   | …");
    }
    lines.join("\n") + "\n"
}

/// A client of the API, as an app would be.
struct Client {
    base: String,
    key: String,
    agent: ureq::Agent,
}

impl Client {
    fn new(base: String, key: String) -> Client {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(ANSWER_SECONDS)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Client { base, key, agent }
    }

    fn search(&self, caller: &str, question: &str) -> Result<Value, Error> {
        let mut request =
            self.agent.post(format!("{}/v1/search", self.base)).header("authorization", format!("Bearer {}", self.key));
        if caller != "public" {
            request = request.header("sightline-user", caller);
        }
        let answer = request.send_json(json!({ "query": question, "limit": 5, "why": true }));
        answer.and_then(|mut answer| answer.body_mut().read_json()).map_err(|error| Error::Demo(error.to_string()))
    }

    fn get(&self, path: &str, caller: &str) -> Result<Value, Error> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("authorization", format!("Bearer {}", self.key));
        let answer = request.header("sightline-user", caller).call();
        answer.and_then(|mut answer| answer.body_mut().read_json()).map_err(|error| Error::Demo(error.to_string()))
    }
}
