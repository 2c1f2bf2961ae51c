//! This evaluation against a saved run of the same collection: differences, whether they may be chance, and which queries
//! changed.

use std::path::Path;

use serde::Serialize;
use sightline_index::Mode;

use super::ask::Questions;
use super::collection::Collection;
use super::measure::{MEASURES, Measures};
use super::run::{CollectionRun, ModeRun, QueryRun, Ranked, Run};
use super::significance::p_value;
use super::{EvalError, Report};

/// How many documents of a changed ranking are shown.
const TOP: usize = 3;
/// Values that differ by less are the same: a file keeps them to the bit, sums in another order do not.
const ROUNDING: f64 = 1e-12;

/// How one mode differs from the saved run.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The mode.
    pub mode: Mode,
    /// By measure.
    pub measures: Vec<Difference>,
    /// The queries whose nDCG@10 changed most, as many as were asked for.
    pub changed: Vec<Change>,
}

/// How one measure differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The measure.
    pub measure: &'static str,
    /// Its mean in the saved run.
    pub before: f64,
    /// Its mean now.
    pub now: f64,
    /// By how much it grew.
    pub difference: f64,
    /// How probable a difference as large is if the two were the same: a paired two-sided randomization test.
    pub p_value: f64,
    /// Queries that are better now.
    pub wins: usize,
    /// Queries that are as they were.
    pub ties: usize,
    /// Queries that are worse now.
    pub losses: usize,
}

/// A query whose nDCG@10 changed.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The query.
    pub query: String,
    /// What it asks.
    pub text: String,
    /// Its nDCG@10 in the saved run.
    pub before: f64,
    /// Its nDCG@10 now.
    pub now: f64,
    /// Where the relevant documents stood and stand, from 1; absent beyond the kept 100.
    pub relevant: Vec<Moved>,
    /// The documents that are ranked first now.
    pub top: Vec<Top>,
}

/// Where a relevant document stood and stands.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// The document.
    pub document: String,
    /// Its rank in the saved run.
    pub before: Option<usize>,
    /// Its rank now.
    pub now: Option<usize>,
}

/// A document that is ranked first.
#[derive(Clone, Debug, Serialize)]
pub struct Top {
    /// The document.
    pub document: String,
    /// Its title; may be empty.
    pub title: String,
}

/// The saved run of a collection, from a file that may hold others.
///
/// # Errors
/// [`EvalError::OtherCollection`] when there is none.
pub fn saved<'a>(run: &'a Run, path: &Path, collection: &Collection) -> Result<&'a CollectionRun, EvalError> {
    run.collection(&collection.blake3).ok_or_else(|| EvalError::OtherCollection {
        path: path.to_owned(),
        saved: run.collections.iter().map(|saved| format!("`{}`", saved.name)).collect::<Vec<_>>().join(", "),
        name: collection.name.clone(),
    })
}

/// Compares a report with a saved run, mode by mode; modes that only one of them has are left out.
pub fn compare(
    report: &Report,
    saved: &CollectionRun,
    path: &Path,
    collection: &Collection,
    questions: &Questions<'_>,
    changes: usize,
) -> Result<Vec<Comparison>, EvalError> {
    let mut comparisons = Vec::new();
    for now in report.modes.iter().map(|mode| &mode.run) {
        let Some(before) = saved.modes.iter().find(|before| before.mode == now.mode) else { continue };
        let pairs = pairs(before, now, path)?;
        let measures = (0..).zip(MEASURES).filter_map(|(at, measure)| difference(measure, at, &pairs)).collect();
        comparisons.push(Comparison { mode: now.mode, measures, changed: changed(&pairs, collection, questions, changes) });
    }
    Ok(comparisons)
}

struct Pair<'a> {
    query: &'a str,
    before: &'a QueryRun,
    now: &'a QueryRun,
}

impl Pair<'_> {
    fn moved(&self) -> f64 {
        self.now.measures.ndcg_10 - self.before.measures.ndcg_10
    }
}

fn pairs<'a>(before: &'a ModeRun, now: &'a ModeRun, path: &Path) -> Result<Vec<Pair<'a>>, EvalError> {
    let missing = |query: &str| {
        let detail = format!("mode {} has no query `{query}`, which the collection has", super::name_of(before.mode));
        EvalError::Run { path: path.to_owned(), detail }
    };
    let pair = |(query, now): (&'a String, &'a QueryRun)| {
        let before = before.queries.get(query).ok_or_else(|| missing(query))?;
        Ok(Pair { query, before, now })
    };
    now.queries.iter().map(pair).collect()
}

/// The difference of one measure, over the queries that have it in both runs.
fn difference(measure: &'static str, at: usize, pairs: &[Pair<'_>]) -> Option<Difference> {
    let value = |measures: &Measures| measures.values().get(at).copied().flatten();
    let both = |pair: &Pair<'_>| Some((value(&pair.before.measures)?, value(&pair.now.measures)?));
    let values: Vec<(f64, f64)> = pairs.iter().filter_map(both).collect();
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let differences: Vec<f64> =
        values.iter().map(|(before, now)| now - before).map(|by| if by.abs() < ROUNDING { 0.0 } else { by }).collect();
    let wins = differences.iter().filter(|by| **by > 0.0).count();
    let losses = differences.iter().filter(|by| **by < 0.0).count();
    Some(Difference {
        measure,
        before: values.iter().map(|(before, _)| before).sum::<f64>() / count,
        now: values.iter().map(|(_, now)| now).sum::<f64>() / count,
        difference: differences.iter().sum::<f64>() / count,
        p_value: p_value(&differences),
        wins,
        ties: differences.len() - wins - losses,
        losses,
    })
}

fn changed(pairs: &[Pair<'_>], collection: &Collection, questions: &Questions<'_>, limit: usize) -> Vec<Change> {
    let mut moved: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.moved().abs() >= ROUNDING).collect();
    moved.sort_by(|a, b| b.moved().abs().total_cmp(&a.moved().abs()).then_with(|| a.query.cmp(b.query)));
    moved.into_iter().take(limit).filter_map(|pair| change(pair, collection, questions)).collect()
}

fn change(pair: &Pair<'_>, collection: &Collection, questions: &Questions<'_>) -> Option<Change> {
    let asked = questions.all.iter().find(|asked| asked.question.id == pair.query)?;
    let rank = |ranking: &[Ranked], id: &str| ranking.iter().position(|(document, _)| document == id).map(|at| at + 1);
    let relevant = asked.judged.iter().filter(|(_, score)| **score > 0).map(|(document, _)| Moved {
        before: rank(&pair.before.ranking, document),
        now: rank(&pair.now.ranking, document),
        document: document.clone(),
    });
    let top = pair.now.ranking.iter().take(TOP).map(|(id, _)| Top {
        title: collection.documents.iter().find(|document| document.id == *id).map_or_else(String::new, |it| it.title.clone()),
        document: id.clone(),
    });
    Some(Change {
        query: pair.query.to_owned(),
        text: asked.question.text.clone(),
        before: pair.before.measures.ndcg_10,
        now: pair.now.measures.ndcg_10,
        relevant: relevant.collect(),
        top: top.collect(),
    })
}
