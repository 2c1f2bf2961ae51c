//! Errors as clients see them: RFC 9457 problems. This is the one file that knows status codes.
//!
//! What a client is told and what the log is told are two things: an internal failure is logged in full and answered
//! without detail. What is absent and what may not be read is one problem, made in one place.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sightline_index::Error;
use sightline_ingest::{ExtractError, IngestError};

use crate::callers::Refusal;

/// A request that was not carried out, and why.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// For the log alone.
    cause: Option<String>,
}

/// The body of a problem.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}

/// A problem with one line of a batch, as its receipt has it.
#[derive(Serialize)]
pub(super) struct LineProblem {
    code: &'static str,
    status: u16,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), cause: None }
    }

    /// What the client sent cannot be meant so.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// It does not exist, or the caller may not read it; which of them is not told.
    pub fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "it does not exist, or you may not read it")
    }

    /// The settings name no model that answers.
    pub fn answers_disabled() -> Problem {
        let detail = "no model answers here; `[answers]` in the settings names one, and POST /v1/answers/check needs none";
        Problem::new(StatusCode::NOT_FOUND, "answers_disabled", detail)
    }

    /// No route has this path.
    pub fn no_route() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no_such_route", "the API has no such path")
    }

    /// The path has no such method.
    pub fn method_not_allowed() -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method; see `Allow`")
    }

    /// The body is larger than the server accepts.
    pub fn too_large(limit: usize) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("at most {limit} bytes are accepted"))
    }

    /// The body has a content type that the path does not take.
    pub fn unsupported_media_type(accepted: &str) -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", format!("send {accepted}"))
    }

    /// Too many requests of this kind wait already.
    pub fn overloaded() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests are waiting; try again in a second")
    }

    /// The request took longer than the server allows; a write may have been carried out.
    pub fn timed_out() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", "the request took too long; a write may have been carried out")
    }

    /// The server cannot answer now.
    pub fn not_ready() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the server cannot answer now")
    }

    /// Something failed that is not the client's doing. `cause` goes to the log.
    pub fn internal(cause: impl Into<String>) -> Problem {
        let detail = "the request failed here; the log has the reason under this request_id";
        Problem { cause: Some(cause.into()), ..Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail) }
    }

    /// The path takes only these methods, which are listed as in `Allow`.
    pub(super) fn only(methods: &'static str) -> Response {
        let mut response = Problem::method_not_allowed().into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        response
    }

    /// What the log is told.
    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The problem as part of a batch's receipt.
    pub(super) fn of_line(self) -> LineProblem {
        if let Some(cause) = &self.cause {
            tracing::error!(%cause, "a line of a batch failed");
        }
        LineProblem { code: self.code, status: self.status.as_u16(), detail: self.detail }
    }

    /// The answer, once the request's id is known.
    pub(super) fn response(&self, request_id: &str) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == "overloaded" {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Carries the problem out to `envelope`, which knows the request's id and writes the body.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, code) = match &refusal {
            Refusal::NoCredentials => (StatusCode::UNAUTHORIZED, "no_credentials"),
            Refusal::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong_credentials"),
            Refusal::NoIssuer => (StatusCode::UNAUTHORIZED, "no_issuer"),
            Refusal::MissingScope { .. } => (StatusCode::FORBIDDEN, "missing_scope"),
            Refusal::GroupsNotAllowed => (StatusCode::FORBIDDEN, "groups_not_allowed"),
            Refusal::OutsideGuard { .. } => (StatusCode::FORBIDDEN, "outside_guard"),
            Refusal::BadHeader { .. } => (StatusCode::BAD_REQUEST, "bad_header"),
            Refusal::Catalog(error) => return Problem::internal(error.to_string()),
        };
        Problem::new(status, code, refusal.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::NotFound => Problem::not_found(),
            Error::Invalid { field: "min_epoch", reason } => {
                Problem::new(StatusCode::CONFLICT, "epoch_not_reached", format!("min_epoch: {reason}"))
            }
            Error::Invalid { field, reason } => Problem::bad_request("invalid_field", format!("{field}: {reason}")),
            Error::NotReplaceable { .. } => Problem::new(StatusCode::FORBIDDEN, "outside_guard", error.to_string()),
            error if error.is_out_of_space() => {
                let detail = "the disk is full or cannot be written; the change was not stored";
                Problem { cause: Some(error.to_string()), ..Problem::new(StatusCode::INSUFFICIENT_STORAGE, "not_stored", detail) }
            }
            Error::NotStored { reason, .. } => {
                let detail = "the change was not stored; try again";
                Problem { cause: Some(reason), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_stored", detail) }
            }
            Error::Poisoned { .. } => {
                let detail = "writes are refused since an earlier failure; the server must be restarted";
                Problem {
                    cause: Some(error.to_string()),
                    ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "writes_refused", detail)
                }
            }
            error => Problem::internal(error.to_string()),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Problem {
        let (code, detail) = (error.code(), error.to_string());
        match error {
            IngestError::Index(error) => error.into(),
            IngestError::Extract(error) => {
                let status = match error {
                    ExtractError::Sandbox { .. } => return Problem::internal(detail),
                    ExtractError::Unsupported { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    ExtractError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    ExtractError::Empty => StatusCode::BAD_REQUEST,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Problem::new(status, code, detail)
            }
            IngestError::Embed(_) => {
                let told = "the embedding model failed; the document was not stored";
                Problem { cause: Some(detail), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, told) }
            }
            IngestError::NoHeading { .. } => Problem::bad_request(code, detail),
            IngestError::Folder { .. } | IngestError::Settings { .. } | IngestError::MassDelete { .. } => Problem::internal(detail),
        }
    }
}
