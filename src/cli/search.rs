//! `sightline search`: what a user would be answered, beside a running server.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use sightline_index::{Caller, Hit, Mode, Principal, Query, Recency, Sort, Timestamp};

use super::open;
use super::output::{self, bold, passage, tame};
use crate::config::{Config, RecencySettings};
use crate::error::Error;
use crate::ranked::{self, Ranked};

/// Searches as a user would. Without --as only what is public is searched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sightline search \"how do I rotate the signing key\" --as user:ana@example.com\n  \
    sightline search \"travel policy\" --as user:bo@example.com --mode keyword --why --json")]
pub(super) struct Search {
    /// The question or the words
    query: String,
    /// The user to search as, such as user:ana@example.com
    #[arg(long = "as", value_name = "USER", value_parser = user)]
    user: Option<Caller>,
    /// Groups of the user beside those in the directory
    #[arg(long, value_name = "GROUP,…", value_delimiter = ',', value_parser = super::group::name, requires = "user")]
    groups: Vec<Principal>,
    /// hybrid, keyword or vector
    #[arg(long, default_value = "hybrid", value_parser = mode)]
    mode: Mode,
    /// The most hits, 1 to 100
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Only this source; may be repeated
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// relevance, or modified_at for the newest of the best first
    #[arg(long, default_value = "relevance", value_parser = sort)]
    sort: Sort,
    /// Let half of a score's weight fall with each such age, for instance 90d
    #[arg(long, value_name = "AGE", value_parser = recency)]
    recency: Option<Recency>,
    /// The most hits of one document
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    per_document: Option<u16>,
    /// Name passages that are nearly the same only with the best of them
    #[arg(long)]
    collapse: bool,
    /// Leave out the re-ranker, where one is configured
    #[arg(long)]
    no_rerank: bool,
    /// Say why each hit is visible
    #[arg(long)]
    why: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Search {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode, Error> {
        let one = usize::from(self.mode != Mode::Keyword && config.embedder_instances > 0);
        let pipeline = match one {
            0 => open::pipeline(&Config { embedder_instances: 0, ..config.clone() }, 0, true)?,
            one => open::pipeline(config, one, true)?,
        };
        let reranker = if self.no_rerank { None } else { open::reranker(config, Some(1))? };
        let mut query = Query {
            text: self.query,
            mode: self.mode,
            limit: usize::from(self.limit),
            why: self.why,
            sort: self.sort,
            recency: self.recency,
            per_document: self.per_document.map(usize::from),
            collapse_duplicates: self.collapse,
            policies: Arc::new(config.policies()),
            ..Query::default()
        };
        pipeline.embed_query(&mut query);
        query.filter.sources = Some(self.source).filter(|sources| !sources.is_empty());
        let caller = self.user.unwrap_or_default().with_groups(self.groups);
        let ranked = ranked::search(pipeline.engine(), reranker.as_deref(), None, &caller, &query, Timestamp::now())?;
        if self.json {
            output::print_json(&ranked)?;
        } else {
            output::print(&answer(&ranked, output::colours()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn user(text: &str) -> Result<Caller, String> {
    Caller::user(Principal::parse(text)?).ok_or_else(|| "a user is expected, such as user:ana@example.com".to_owned())
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "hybrid" => Ok(Mode::Hybrid),
        "keyword" => Ok(Mode::Keyword),
        "vector" => Ok(Mode::Vector),
        _ => Err("hybrid, keyword or vector is expected".to_owned()),
    }
}

fn sort(text: &str) -> Result<Sort, String> {
    match text {
        "relevance" => Ok(Sort::Relevance),
        "modified_at" => Ok(Sort::ModifiedAt),
        _ => Err("relevance or modified_at is expected".to_owned()),
    }
}

fn recency(text: &str) -> Result<Recency, String> {
    RecencySettings { half_life: text.to_owned(), weight: None }.read().map_err(str::to_owned)
}

fn answer(ranked: &Ranked, colours: bool) -> String {
    let results = &ranked.results;
    let mut text = String::new();
    for (place, hit) in results.hits.iter().enumerate() {
        text += &printed(place + 1, hit, colours);
    }
    if results.hits.is_empty() {
        text += "nothing found that this caller may read\n";
    }
    if let Some(took) = ranked.rerank_ms {
        text += &format!("re-ranked in {took:.0} ms\n");
    }
    for warning in &results.warnings {
        text += &format!("warning: {} ({})\n", warning.detail, warning.code);
    }
    text
}

fn printed(place: usize, hit: &Hit, colours: bool) -> String {
    let citation = &hit.citation;
    let title = citation.title.as_deref().unwrap_or(&citation.document);
    let location = &citation.location;
    let mut places = vec![format!("{}/{} v{}", citation.source, citation.document, citation.version)];
    if !location.headings.is_empty() {
        places.push(location.headings.join(" › "));
    }
    places.extend(location.page.map(|page| format!("page {page}")));
    places.extend(location.section.as_ref().map(|section| format!("section {section}")));
    places.extend(location.part.clone());
    places.push(format!("bytes {}–{}", citation.span.start, citation.span.end));
    let mut text = format!("{place}. {}  {:.4}\n   {}\n", bold(title, colours), hit.score, tame(&places.join(" · ")));
    if let Some(uri) = &citation.uri {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "   {}", tame(uri));
    }
    text += &passage(&hit.text, &hit.highlights, colours, "   │ ");
    for copy in &hit.duplicates {
        let _infallible = writeln!(text, "   also in {}", tame(&format!("{}/{} v{}", copy.source, copy.document, copy.version)));
    }
    if let Some(why) = &hit.why {
        let _infallible = writeln!(text, "   why: {}", tame(&why.join(", ")));
    }
    text + "\n"
}
