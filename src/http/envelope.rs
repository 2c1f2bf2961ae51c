//! What every request goes through: an id, a time limit, a net for panics, the body of a problem, a line in the log.
//!
//! Neither bodies nor queries nor credentials are logged.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::task::JoinSet;

use super::Shared;
use super::drain::SharedBody;
use super::errors::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub(super) async fn envelope(State(service): State<Shared>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let request_id = fresh_id("req");
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let body = SharedBody::take(&mut request);
    // The task ends with the set, so that a client that hangs up does not leave work behind.
    let mut task = JoinSet::new();
    task.spawn(next.run(request));
    let mut response = match task.join_next().await {
        Some(Ok(response)) => response,
        Some(Err(error)) => Problem::internal(format!("a handler panicked: {error}")).into_response(),
        None => Problem::internal("a handler vanished").into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(cause) = problem.cause() {
            tracing::error!(request_id, %method, path, cause, "a request failed");
        }
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.response(&request_id);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if let Some(body) = body {
            tokio::spawn(body.drain(service.config().max_request_body_bytes));
        }
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let elapsed = milliseconds(begun);
    tracing::debug!(request_id, %method, path, status = response.status().as_u16(), elapsed, "request");
    response
}

/// Bounds the time of a request that is answered as a whole.
pub(super) async fn limit_time(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(service.config().request_timeout_seconds);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timed_out().into_response(),
    }
}

/// An id that is not used again, such as `req_3f…`.
pub(super) fn fresh_id(prefix: &str) -> String {
    let mut bytes = [0u8; 12];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::warn!("the system has no random numbers; request ids repeat");
    }
    bytes.iter().fold(format!("{prefix}_"), |id, byte| id + &format!("{byte:02x}"))
}

/// Whole milliseconds since `begun`, rounded up: coarse, so that an answer does not tell by its microseconds how much was
/// passed over for it.
pub(super) fn milliseconds(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1e3).ceil()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use sightline_index::{Engine, Options};
    use sightline_ingest::{Limits, Pipeline, Sandbox};

    use super::*;
    use crate::config::Config;
    use crate::http::Service;

    #[test]
    fn a_panic_is_a_problem_and_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), &Options::default()).unwrap());
        let pipeline = Pipeline::new(engine, None, Limits::default(), Sandbox::in_process());
        let service = Arc::new(Service::new(pipeline, Config::default()));
        let worker = service.clone();
        let works = async move || worker.searches.enter()?.run(|| -> Result<String, Problem> { panic!("a secret") }).await;
        let app = axum::Router::new()
            .route("/handler", get(async || -> String { panic!("a secret") }))
            .route("/worker", get(works))
            .layer(axum::middleware::from_fn_with_state(service.clone(), envelope));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        for path in ["handler", "worker"] {
            let mut answer = agent.get(format!("http://{address}/{path}")).call().unwrap();
            assert_eq!((answer.status().as_u16(), answer.headers().contains_key(REQUEST_ID)), (500, true));
            let problem = answer.body_mut().read_to_string().unwrap();
            assert!(problem.contains("\"internal\"") && !problem.contains("secret"), "{problem}");
        }
    }
}
