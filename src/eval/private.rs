//! Permission-aware evaluation: the judged queries asked as callers who may read a part, and the proof that what they may
//! not read changes nothing.
//!
//! For each caller a private engine is made that holds only what they may read, readable by all, so that no permission plays
//! a part in it. Its rankings and scores must be those that the caller gets of the engine that holds everything: by
//! keywords, and with an exact comparison of vectors. The vectors are those that the evaluation has made.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use sightline_index::{Caller, Engine, Error, Mode, NewDocument, Options, Principal, Timestamp, Write};
use sightline_ingest::Pipeline;

use super::EvalError;
use super::ask::{Asked, Questions};
use super::callers::{Asker, Assignment};
use super::collection::{Collection, Judged};
use super::ingest::{SOURCE, open_to_all, prepare};
use super::measure::Measures;
use super::run::Ranked;

/// How many passages a search returns when nothing is said; the depth of the recall that is reported.
const PASSAGES: usize = 10;
const BATCH_DOCUMENTS: usize = 1_000;

/// How a caller fared.
#[derive(Clone, Debug, Serialize)]
pub struct CallerReport {
    /// Who asked.
    pub caller: String,
    /// Documents that they may read.
    pub readable: usize,
    /// Their share of the collection.
    pub share: f64,
    /// Queries for which they may read a relevant document. All are asked, these are measured.
    pub judged: usize,
    /// Queries for which they may not.
    pub skipped: usize,
    /// By mode.
    pub modes: Vec<CallerMode>,
    /// Of the documents of the ten passages that an exact comparison of vectors finds, the share that a search finds which
    /// is not exact; absent without a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector_recall_10: Option<f64>,
}

/// How one mode fared for a caller, vectors compared exactly.
#[derive(Clone, Debug, Serialize)]
pub struct CallerMode {
    /// The mode.
    pub mode: Mode,
    /// nDCG@10 for the caller, over the judged queries and what they may read.
    pub ndcg_10: f64,
    /// The same of the private engine.
    pub private_ndcg_10: f64,
    /// Queries that were asked of both.
    pub asked: usize,
    /// Those whose documents, order and scores were equal.
    pub equal: usize,
    /// The first that was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<Differing>,
}

/// Where two rankings that must be equal part.
#[derive(Clone, Debug, Serialize)]
pub struct Differing {
    /// The query.
    pub query: String,
    /// The rank, from 1.
    pub rank: usize,
    /// What the caller gets there.
    pub caller: Option<Ranked>,
    /// What the private engine has there.
    pub private: Option<Ranked>,
}

impl CallerReport {
    /// True when every ranking was that of the private engine.
    pub fn is_equal(&self) -> bool {
        self.modes.iter().all(|mode| mode.equal == mode.asked)
    }
}

/// Asks the judged queries as at most `count` callers, and of a private engine for each. The collection must be ingested.
pub fn ask_callers(
    pipeline: &Pipeline,
    collection: &Collection,
    questions: &Questions<'_>,
    count: usize,
) -> Result<Vec<CallerReport>, EvalError> {
    let documents = with_vectors(pipeline, collection)?;
    let assignment = Assignment::new(collection, count);
    let model = pipeline.engine().model().cloned();
    let options = Options { model, ..Options::default() };
    let whole = Holding::new(&options)?;
    let groups = assignment.groups.iter().map(|(group, members)| set_group(group, members));
    whole.engine.write(groups.collect(), Timestamp::now())?;
    whole.put(documents.iter().map(|document| (document, assignment.acls.get(&document.id).cloned())))?;
    let mut reports = Vec::new();
    let mut drawn: Vec<HashSet<String>> = Vec::new();
    for asker in &assignment.askers {
        if reports.len() == count {
            break;
        }
        let readable = readable(&whole.engine, asker, collection)?;
        if asker.readable.is_none() {
            if drawn.contains(&readable) {
                continue;
            }
            drawn.push(readable.clone());
        }
        let private = Holding::new(&options)?;
        let theirs = documents.iter().filter(|document| readable.contains(&document.id));
        private.put(theirs.map(|document| (document, Some(open_to_all()))))?;
        let modes = questions.modes.iter();
        let modes = modes.map(|mode| both(&whole.engine, &private.engine, asker, &readable, questions, *mode));
        let modes = modes.collect::<Result<_, _>>()?;
        let judged = questions.all.iter().filter(|asked| measured(&[], asked, &readable).is_some()).count();
        reports.push(CallerReport {
            caller: asker.name.clone(),
            readable: readable.len(),
            share: readable.len() as f64 / collection.documents.len().max(1) as f64,
            judged,
            skipped: questions.all.len() - judged,
            modes,
            vector_recall_10: recall(&whole.engine, &private.engine, asker, questions)?,
        });
    }
    Ok(reports)
}

/// An engine in a directory of its own, which goes with it.
struct Holding {
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl Holding {
    fn new(options: &Options) -> Result<Holding, EvalError> {
        let dir = tempfile::tempdir().map_err(|source| EvalError::File { path: PathBuf::from("a temporary directory"), source })?;
        Ok(Holding { engine: Engine::open(dir.path(), options)?, _dir: dir })
    }

    fn put<'a>(&self, documents: impl Iterator<Item = (&'a NewDocument, Option<Value>)>) -> Result<(), EvalError> {
        let mut batch = Vec::new();
        for (document, acl) in documents {
            batch.push(Write::Put(Box::new(NewDocument { acl, ..document.clone() })));
            if batch.len() == BATCH_DOCUMENTS {
                self.engine.write(std::mem::take(&mut batch), Timestamp::now())?;
            }
        }
        self.engine.write(batch, Timestamp::now())?;
        self.engine.settle();
        Ok(())
    }
}

fn set_group(group: &Principal, members: &[Principal]) -> Write {
    Write::SetGroup { group: group.clone(), members: members.to_vec() }
}

/// The documents as they were ingested, with the values of their vectors.
fn with_vectors(pipeline: &Pipeline, collection: &Collection) -> Result<Vec<NewDocument>, EvalError> {
    let mut documents = Vec::with_capacity(collection.documents.len());
    prepare(pipeline, collection, |mut document| {
        let vectors = document.chunks.iter_mut().filter_map(|chunk| chunk.vector.as_mut());
        let mut vectors: Vec<_> = vectors.filter(|vector| vector.values.is_none()).collect();
        let keys: Vec<[u8; 32]> = vectors.iter().map(|vector| vector.key).collect();
        for (vector, kept) in vectors.iter_mut().zip(pipeline.engine().kept_vectors(&keys)?) {
            vector.values = kept.map(Into::into);
        }
        documents.push(document);
        Ok(())
    })?;
    Ok(documents)
}

fn readable(engine: &Engine, asker: &Asker, collection: &Collection) -> Result<HashSet<String>, EvalError> {
    if let Some(readable) = &asker.readable {
        return Ok(readable.clone());
    }
    let mut readable = HashSet::new();
    for document in &collection.documents {
        match engine.document(&asker.caller, SOURCE, &document.id, None, Timestamp::now()) {
            Ok(document) => drop(readable.insert(document.id)),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(readable)
}

/// Measures a ranking by the judgements of what the caller may read; `None` where nothing of it is relevant.
fn measured(ranking: &[Ranked], asked: &Asked<'_>, readable: &HashSet<String>) -> Option<Measures> {
    let judged: Judged =
        asked.judged.iter().filter(|(id, _)| readable.contains(*id)).map(|(id, score)| (id.clone(), *score)).collect();
    Measures::of(ranking.iter().map(|(document, _)| document.as_str()), &judged)
}

/// Asks both engines in one mode.
fn both(
    whole: &Engine,
    private: &Engine,
    asker: &Asker,
    readable: &HashSet<String>,
    questions: &Questions<'_>,
    mode: Mode,
) -> Result<CallerMode, EvalError> {
    let (mut theirs, mut private_ones) = (Vec::new(), Vec::new());
    let mut report = CallerMode { mode, ndcg_10: 0.0, private_ndcg_10: 0.0, asked: questions.all.len(), equal: 0, differs: None };
    for asked in &questions.all {
        let ranking = asked.rank_all(whole, &asker.caller, mode, true)?;
        let expected = asked.rank_all(private, &Caller::public(), mode, true)?;
        theirs.extend(measured(&ranking, asked, readable));
        private_ones.extend(measured(&expected, asked, readable));
        match parting(&ranking, &expected) {
            None => report.equal += 1,
            Some(at) if report.differs.is_none() => {
                let (caller, private) = (ranking.get(at).cloned(), expected.get(at).cloned());
                report.differs = Some(Differing { query: asked.question.id.clone(), rank: at + 1, caller, private });
            }
            Some(_) => {}
        }
    }
    report.ndcg_10 = Measures::mean(theirs.iter()).ndcg_10;
    report.private_ndcg_10 = Measures::mean(private_ones.iter()).ndcg_10;
    Ok(report)
}

/// The first place at which rankings differ in document or score, to the bit.
fn parting(one: &[Ranked], other: &[Ranked]) -> Option<usize> {
    let same = |at: &usize| match (one.get(*at), other.get(*at)) {
        (Some((a, a_score)), Some((b, b_score))) => a == b && a_score.to_bits() == b_score.to_bits(),
        (None, None) => true,
        _ => false,
    };
    (0..one.len().max(other.len())).find(|at| !same(at))
}

/// How much of the exact answer a vector search finds that is not exact, as deep as an answer shows.
fn recall(whole: &Engine, private: &Engine, asker: &Asker, questions: &Questions<'_>) -> Result<Option<f64>, EvalError> {
    if !questions.modes.contains(&Mode::Vector) {
        return Ok(None);
    }
    let (mut found, mut wanted) = (0, 0);
    for asked in &questions.all {
        let near = asked.rank(whole, &asker.caller, Mode::Vector, false, PASSAGES)?;
        let exact = asked.rank(private, &Caller::public(), Mode::Vector, true, PASSAGES)?;
        let near: HashSet<&String> = near.iter().map(|(document, _)| document).collect();
        found += exact.iter().filter(|(document, _)| near.contains(document)).count();
        wanted += exact.len();
    }
    Ok((wanted > 0).then(|| found as f64 / wanted as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_part_where_a_document_a_score_or_the_length_differs() {
        let ranking =
            |pairs: &[(&str, f32)]| -> Vec<Ranked> { pairs.iter().map(|(id, score)| ((*id).to_owned(), *score)).collect() };
        let one = ranking(&[("a", 2.0), ("b", 1.0)]);
        assert_eq!(parting(&one, &one), None);
        assert_eq!(parting(&one, &ranking(&[("a", 2.0), ("c", 1.0)])), Some(1));
        assert_eq!(parting(&one, &ranking(&[("a", 2.0f32.next_up()), ("b", 1.0)])), Some(0));
        assert_eq!(parting(&one, &one[..1]), Some(1));
        assert_eq!(parting(&[], &one), Some(0));
    }
}
