//! `POST /v1/answers`: search, ask the model, check what it says, answer.
//!
//! A sentence reaches the client only after the check supports it; others are marked as withheld. When the model fails, the
//! passages alone are the answer, with a warning. What was sent before stays true: each sentence was checked by itself.

use std::convert::Infallible;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use sightline_index::{
    Answer, AnswerReport, Caller, Claim, ClaimVerdict, Hit, MAX_CITATIONS, Mode, Query, Results, Timestamp, Verdict, Warning,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::allowed::{Allowed, ToSearch};
use super::body;
use super::envelope::{fresh_id, milliseconds};
use super::errors::Problem;
use super::search::{self, SearchBody};
use crate::answering::{Model, ModelError, messages};

/// Events that wait for a client that reads slowly.
const MAX_EVENTS_WAITING: usize = 64;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/answers", post(answer))
}

/// What is answered.
#[derive(Serialize)]
struct AnswerBody {
    query_id: String,
    took_ms: f64,
    epoch: u64,
    mode: Mode,
    /// The sentences that were supported; absent when there is none.
    answer: Option<String>,
    /// The check of all that the model said; absent when it failed.
    report: Option<AnswerReport>,
    /// The passages that it was given; the first is `[1]`.
    hits: Vec<Hit>,
    warnings: Vec<Warning>,
}

/// A sentence that was checked.
#[derive(Serialize)]
struct ClaimEvent<'a> {
    index: usize,
    /// It is not supported, and so it is not sent.
    withheld: bool,
    verdict: ClaimVerdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<&'a Claim>,
}

async fn answer(State(service): State<Shared>, caller: Allowed<ToSearch>, request: Request) -> Result<Response, Problem> {
    let begun = Instant::now();
    let place = service.answers.enter()?;
    let Some(settings) = service.config().answers.as_ref().filter(|_| service.model.is_some()) else {
        return Err(Problem::answers_disabled());
    };
    let mut asked: Value = body::json(request, service.config().max_request_body_bytes).await?;
    let stream = match asked.as_object_mut().and_then(|fields| fields.remove("stream")) {
        None => false,
        Some(stream) => stream.as_bool().ok_or_else(|| Problem::bad_request("invalid_field", "stream: true or false"))?,
    };
    let now = Timestamp::now();
    let asked = body::object::<SearchBody>(asked)?;
    let rerank = asked.rerank;
    let mut query = asked.query(now, service.policies())?;
    query.limit = query.limit.min(settings.passages).min(MAX_CITATIONS);
    let caller = caller.caller().clone();
    if !stream {
        let work = move || Work { service, caller, now, rerank, sent: 0, events: None }.run(query, begun);
        return Ok(Json(place.run(work).await?).into_response());
    }
    let (events, receiver) = mpsc::channel(MAX_EVENTS_WAITING);
    tokio::spawn(async move {
        let failing = events.clone();
        let work = move || {
            let mut work = Work { service, caller, now, rerank, sent: 0, events: Some(events) };
            let body = work.run(query, begun)?;
            work.send("citations", &body.hits.iter().map(|hit| &hit.citation).collect::<Vec<_>>());
            work.send("done", &body);
            Ok::<(), Problem>(())
        };
        if let Err(problem) = place.run(work).await {
            // The status was sent; what is left to say is that there is no answer.
            tracing::error!(cause = problem.cause(), "an answer failed while it was streamed");
            let _gone = failing.send(Ok(event("error", &json!({ "code": "internal" })))).await;
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// One answer on its way.
struct Work {
    service: Shared,
    caller: Caller,
    now: Timestamp,
    /// Whether to re-rank, where the request says.
    rerank: Option<bool>,
    /// How many claims were sent.
    sent: usize,
    /// Absent when the answer is sent whole.
    events: Option<mpsc::Sender<Result<Bytes, Infallible>>>,
}

impl Work {
    fn run(&mut self, query: Query, begun: Instant) -> Result<AnswerBody, Problem> {
        let question = query.text.clone();
        let Results { epoch, mode, hits, mut warnings } =
            search::run(&self.service, &self.caller, query, self.rerank, self.now)?.results;
        let warn = |code, detail: &str| Warning { code, source: None, detail: detail.to_owned() };
        let service = self.service.clone();
        let mut report = None;
        if hits.is_empty() {
            warnings.push(warn("no_passages", "nothing that you may read matches; no model was asked"));
        } else if let Some(model) = &service.model {
            match self.ask(model, &question, &hits)? {
                Ok(checked) => report = Some(checked),
                Err(error) => {
                    tracing::warn!(%error, "no answer of the model");
                    warnings.push(warn("model_unavailable", "the model gave no whole answer; these are the passages alone"));
                }
            }
        }
        let answer = report.as_ref().map(supported).filter(|text| !text.is_empty());
        if report.as_ref().is_some_and(|report| report.claims.iter().any(|claim| !stands(claim))) {
            warnings.push(warn("claims_withheld", "the model said more than the passages support; `report` has it"));
        } else if report.as_ref().is_some_and(|report| report.verdict == Verdict::Fail) {
            warnings.push(warn("answer_has_problems", "every sentence is supported, and something else is wrong; `report` has it"));
        }
        Ok(AnswerBody { query_id: fresh_id("a"), took_ms: milliseconds(begun), epoch, mode, answer, report, hits, warnings })
    }

    /// Asks the model, and checks what it says as it comes.
    fn ask(&mut self, model: &Model, question: &str, hits: &[Hit]) -> Result<Result<AnswerReport, ModelError>, Problem> {
        let citations = (1..).zip(hits).map(|(number, hit): (usize, _)| (number.to_string(), hit.citation.token.clone()));
        let mut draft = Answer { citations: citations.collect(), ..Answer::default() };
        let mut failed = None;
        let asked = model.answer(&messages(question, hits), |piece| {
            draft.text.push_str(piece);
            if self.events.is_none() {
                return true;
            }
            // A sentence is complete when the next one has begun.
            let is_end = piece.contains(['.', '!', '?', '。', '！', '？', '\n', ']', '】']);
            if is_end && !draft.text.trim().is_empty() {
                match self.service.engine().check_answer(&self.caller, &draft, Timestamp::now()) {
                    Ok(report) => return self.send_claims(&report, 1),
                    Err(error) => failed = Some(error),
                }
            }
            failed.is_none() && self.events.as_ref().is_some_and(|events| !events.is_closed())
        });
        if failed.is_some() {
            // It is out of bounds, which no honest answer is.
            return Ok(Err(ModelError::TooLong));
        }
        if let Err(error) = asked {
            return Ok(Err(error));
        }
        if draft.text.trim().is_empty() {
            return Ok(Err(ModelError::Garbage));
        }
        let Ok(report) = self.service.engine().check_answer(&self.caller, &draft, Timestamp::now()) else {
            return Ok(Err(ModelError::TooLong));
        };
        self.send_claims(&report, 0);
        Ok(Ok(report))
    }

    /// Sends the claims that were not sent, except for the last ones, to which more may come. False when nobody listens.
    fn send_claims(&mut self, report: &AnswerReport, except: usize) -> bool {
        let ready = report.claims.len().saturating_sub(except);
        for (index, claim) in report.claims.iter().enumerate().take(ready).skip(self.sent) {
            let withheld = !stands(claim);
            let event = ClaimEvent { index, withheld, verdict: claim.verdict, claim: (!withheld).then_some(claim) };
            if !self.send("claim", &event) {
                return false;
            }
        }
        self.sent = self.sent.max(ready);
        true
    }

    fn send(&self, name: &str, data: &impl Serialize) -> bool {
        self.events.as_ref().is_none_or(|events| events.blocking_send(Ok(event(name, data))).is_ok())
    }
}

/// A server-sent event. JSON has no line breaks of its own.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// True for a claim that may be shown as supported.
fn stands(claim: &Claim) -> bool {
    claim.verdict == ClaimVerdict::Supported
}

/// The claims that stand, with their markers.
fn supported(report: &AnswerReport) -> String {
    let written = |claim: &Claim| {
        let absent = claim.markers.iter().filter(|marker| !claim.text.contains(&format!("[{marker}]")));
        absent.fold(claim.text.clone(), |text, marker| format!("{text} [{marker}]"))
    };
    let standing: Vec<String> = report.claims.iter().filter(|claim| stands(claim)).map(written).collect();
    standing.join(" ")
}
