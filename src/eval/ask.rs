//! Judged queries with their vectors, and how an engine is asked them.

use sightline_index::{Caller, Engine, MAX_LIMIT, Mode, Query, Timestamp};
use sightline_ingest::Pipeline;
use unicode_normalization::UnicodeNormalization as _;

use super::EvalError;
use super::collection::{Collection, Judged, Question};
use super::measure::Measures;
use super::run::Ranked;

/// How many documents of a ranking are judged.
pub(super) const DEPTH: usize = 100;

/// A judged query.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) question: &'a Question,
    pub(super) judged: &'a Judged,
    /// With its vector, where a model made one.
    query: Query,
}

/// The queries that are evaluated: those for which a document is relevant.
#[derive(Debug)]
pub struct Questions<'a> {
    pub(super) all: Vec<Asked<'a>>,
    /// The modes that can answer; without a model keywords alone.
    pub(super) modes: &'static [Mode],
}

impl<'a> Questions<'a> {
    /// Embeds the judged queries of a collection, side by side.
    pub fn embed(pipeline: &Pipeline, collection: &'a Collection) -> Result<Questions<'a>, EvalError> {
        let mut all: Vec<Asked<'a>> = Vec::new();
        for question in &collection.queries {
            let judged = collection.judgements.get(&question.id);
            let judged = judged.filter(|judged| judged.values().any(|score| *score > 0));
            all.extend(judged.map(|judged| Asked {
                question,
                judged,
                query: Query { text: question.text.clone(), ..Query::default() },
            }));
        }
        let share = all.len().div_ceil(pipeline.width()).max(1);
        std::thread::scope(|scope| {
            for part in all.chunks_mut(share) {
                scope.spawn(move || part.iter_mut().for_each(|asked| pipeline.embed_query(&mut asked.query)));
            }
        });
        let modes: &[Mode] = match all.iter().filter(|asked| asked.query.vector.is_some()).count() {
            0 => &[Mode::Keyword],
            embedded if embedded == all.len() => &[Mode::Keyword, Mode::Vector, Mode::Hybrid],
            _ => {
                let failed = all.iter().find(|asked| asked.query.vector.is_none());
                let id = failed.map(|asked| asked.question.id.clone()).unwrap_or_default();
                return Err(EvalError::NotEmbedded { id });
            }
        };
        Ok(Questions { all, modes })
    }
}

impl Asked<'_> {
    /// The best documents and the score of each one's best passage, of the best `passages`.
    pub(super) fn rank(
        &self,
        engine: &Engine,
        caller: &Caller,
        mode: Mode,
        exact: bool,
        passages: usize,
    ) -> Result<Vec<Ranked>, EvalError> {
        let query = Query { limit: passages, exact, ..self.query(mode) };
        let ranked = engine.rank_documents(caller, &query, DEPTH, Timestamp::now()).map_err(|error| self.failed(error))?;
        Ok(ranked.into_iter().map(|document| (document.id, document.score)).collect())
    }

    /// As [`Asked::rank`], as deep as a search may go.
    pub(super) fn rank_all(&self, engine: &Engine, caller: &Caller, mode: Mode, exact: bool) -> Result<Vec<Ranked>, EvalError> {
        self.rank(engine, caller, mode, exact, MAX_LIMIT)
    }

    /// Whether the passage that a search shows first holds one of the answers; `None` where none is known.
    pub(super) fn answered(&self, engine: &Engine, caller: &Caller, mode: Mode) -> Result<Option<bool>, EvalError> {
        let answers: Vec<String> = self.question.answers().map(plain).filter(|answer| !answer.is_empty()).collect();
        if answers.is_empty() {
            return Ok(None);
        }
        let query = Query { limit: 1, ..self.query(mode) };
        let results = engine.search(caller, &query, Timestamp::now()).map_err(|error| self.failed(error))?;
        let passage = results.hits.first().map(|hit| plain(&hit.text)).unwrap_or_default();
        Ok(Some(answers.iter().any(|answer| passage.contains(answer))))
    }

    /// Measures a ranking of this query.
    pub(super) fn measure(&self, ranking: &[Ranked]) -> Measures {
        let measured = Measures::of(ranking.iter().map(|(document, _)| document.as_str()), self.judged);
        measured.expect("INVARIANT: a query is asked only when something is relevant")
    }

    fn query(&self, mode: Mode) -> Query {
        Query { mode, ..self.query.clone() }
    }

    fn failed(&self, error: sightline_index::Error) -> EvalError {
        EvalError::Query { id: self.question.id.clone(), error }
    }
}

/// Text in which width, composition and white space make no difference (NFKC).
fn plain(text: &str) -> String {
    let text: String = text.nfkc().collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn width_and_white_space_make_no_difference() {
        assert_eq!(plain(" ２００７\u{a0}年\n e\u{301}"), "2007 年 é");
    }
}
