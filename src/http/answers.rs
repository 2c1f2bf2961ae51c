//! `POST /v1/answers/check`: an answer against the passages that it cites.

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use sightline_index::{Answer, AnswerReport, Timestamp};

use super::Shared;
use super::allowed::{Allowed, ToSearch};
use super::body;
use super::errors::Problem;
use crate::config::age;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/answers/check", post(check))
}

/// What is to be checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckBody {
    answer: String,
    /// A list of tokens, of which the first is `[1]`, or of objects with `marker` and `token`, or an object from marker to
    /// token.
    #[serde(default)]
    citations: Value,
    #[serde(default)]
    max_age: Option<String>,
    #[serde(default)]
    strict: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkedToken {
    marker: String,
    token: String,
}

async fn check(State(service): State<Shared>, caller: Allowed<ToSearch>, request: Request) -> Result<Json<AnswerReport>, Problem> {
    let place = service.searches.enter()?;
    let asked: CheckBody = body::json(request, service.config().max_request_body_bytes).await?;
    let answer = asked.answer()?;
    let caller = caller.caller().clone();
    Ok(Json(place.run(move || service.engine().check_answer(&caller, &answer, Timestamp::now())).await?))
}

impl CheckBody {
    fn answer(self) -> Result<Answer, Problem> {
        let wrong = || Problem::bad_request("invalid_field", "max_age: a number and one of s, m, h, d, w, such as `90d`");
        let max_age = self.max_age.as_deref().map(|text| age(text).ok_or_else(wrong)).transpose()?;
        Ok(Answer { text: self.answer, citations: citations(self.citations)?, max_age, strict: self.strict })
    }
}

fn citations(given: Value) -> Result<Vec<(String, String)>, Problem> {
    let wrong = || {
        let detail = "citations: a list of tokens or of {\"marker\", \"token\"}, or an object from marker to token, is expected";
        Problem::bad_request("invalid_field", detail)
    };
    match given {
        Value::Null => Ok(Vec::new()),
        Value::Object(by_marker) => {
            by_marker.into_iter().map(|(marker, token)| Ok((marker, token.as_str().ok_or_else(wrong)?.to_owned()))).collect()
        }
        Value::Array(list) => (1..)
            .zip(list)
            .map(|(number, item): (usize, Value)| match item {
                Value::String(token) => Ok((number.to_string(), token)),
                Value::Object(_) => body::object(item).map(|MarkedToken { marker, token }| (marker, token)),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}
