//! `POST /v1/documents/batch`: newline-delimited JSON in, one receipt per line out, in order, while lines still come in.
//!
//! Lines are extracted and embedded side by side, and written in their order: whatever is ready at the front goes into
//! one transaction. Memory is bounded: by the bytes of the lines under way, and by the receipts that a client may leave
//! unread.

mod group;
mod line;

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use sightline_index::Write;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::allowed::{Allowed, ToIngest};
use super::body;
use super::errors::{LineProblem, Problem};
use super::receipt::ReceiptBody;
use crate::callers::Reach;
use group::write_group;
use line::{Line, Lines, Operation};

const NDJSON: &str = "application/x-ndjson";
/// The most lines under way, and so the most that one transaction takes.
const MAX_LINES_UNDER_WAY: usize = 64;
/// The most bytes of lines under way, in largest accepted bodies.
const MAX_BODIES_UNDER_WAY: usize = 2;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/v1/documents/batch", post(batch))
}

async fn batch(State(service): State<Shared>, app: Allowed<ToIngest>, request: Request) -> Result<Response, Problem> {
    let media_type = body::media_type(request.headers());
    if !["", NDJSON, "application/ndjson", "application/jsonl", "application/json", "text/plain"].contains(&media_type.as_str()) {
        return Err(Problem::unsupported_media_type("content-type: application/x-ndjson"));
    }
    let (sender, receiver) = mpsc::channel(service.config().max_batch_receipts_waiting);
    let work = Work { reach: app.reach(), service, receipts: sender, under_way: VecDeque::new() };
    tokio::spawn(work.run(request.into_body().into_data_stream()));
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

/// The receipt of one line.
#[derive(Serialize)]
struct LineReceipt {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    receipt: Option<ReceiptBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<LineProblem>,
}

/// A line that is being prepared, or waits to be written.
struct UnderWay {
    line: u64,
    bytes: usize,
    source: Option<String>,
    id: Option<String>,
    prepared: JoinHandle<Result<Write, Problem>>,
}

/// The receiver of the receipts is gone.
struct Gone;

/// One batch.
struct Work {
    service: Shared,
    reach: Reach,
    receipts: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
    under_way: VecDeque<UnderWay>,
}

impl Work {
    /// Works until the lines end or nobody reads the receipts any more.
    async fn run(mut self, mut stream: BodyDataStream) {
        let pause = Duration::from_secs(self.service.config().request_timeout_seconds);
        let mut lines = Lines::new(self.service.config().max_request_body_bytes);
        let mut ended = false;
        while !(ended && self.under_way.is_empty()) {
            while self.has_room()
                && let Some(line) = lines.next()
            {
                self.begin(line);
            }
            tokio::select! {
                part = tokio::time::timeout(pause, stream.next()), if !ended && self.has_room() => {
                    let last = match part {
                        Ok(Some(Ok(part))) => {
                            lines.push(&part);
                            continue;
                        }
                        Ok(None) => lines.last(),
                        Ok(Some(Err(error))) => {
                            Some(lines.broken(Problem::bad_request("broken_body", format!("the body broke off: {error}"))))
                        }
                        Err(_) => Some(lines.broken(Problem::timed_out())),
                    };
                    ended = true;
                    last.into_iter().for_each(|line| self.begin(line));
                }
                prepared = first(&mut self.under_way), if !self.under_way.is_empty() => {
                    if self.write(prepared).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        let bytes: usize = self.under_way.iter().map(|line| line.bytes).sum();
        self.under_way.len() < MAX_LINES_UNDER_WAY && bytes < self.service.config().max_request_body_bytes * MAX_BODIES_UNDER_WAY
    }

    /// Begins to prepare a line.
    fn begin(&mut self, line: Line) {
        let Line { number, bytes, read } = line;
        let (source, id) = match &read {
            Ok(operation) => operation.item(),
            Err(_) => (None, None),
        };
        let (service, reach) = (self.service.clone(), self.reach.clone());
        let prepared = tokio::spawn(async move {
            match read? {
                Operation::Put(mut incoming) => {
                    reach.put(&incoming.source, &incoming.labels)?;
                    incoming.replaces = reach.replaces();
                    let place = service.puts.wait().await?;
                    let (document, _) = place.run(move || service.pipeline().prepare(*incoming)).await?;
                    Ok(Write::Put(Box::new(document)))
                }
                Operation::Delete { source, id } => {
                    reach.change(&source)?;
                    Ok(Write::Delete { source, id })
                }
            }
        });
        self.under_way.push_back(UnderWay { line: number, bytes, source, id, prepared });
    }

    /// Writes the first line, which is prepared, with those behind it that are prepared too, and sends their receipts.
    async fn write(&mut self, mut prepared: Result<Write, Problem>) -> Result<(), Gone> {
        let mut lines = Vec::new();
        let mut writes = Vec::new();
        while let Some(line) = self.under_way.pop_front() {
            lines.push((line.line, line.source, line.id));
            writes.push(prepared);
            if !self.under_way.front().is_some_and(|next| next.prepared.is_finished()) {
                break;
            }
            prepared = first(&mut self.under_way).await;
        }
        let results = write_group(&self.service, writes).await;
        for ((line, source, id), result) in lines.into_iter().zip(results) {
            let (receipt, error) = match result {
                Ok(receipt) => (Some(receipt), None),
                Err(problem) => (None, Some(problem.of_line())),
            };
            let receipt = LineReceipt { line, source, id, receipt, error };
            let mut bytes = serde_json::to_vec(&receipt).unwrap_or_default();
            bytes.push(b'\n');
            self.receipts.send(Ok(bytes.into())).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}

/// The first line under way, once it is prepared. It may be dropped and called again, as long as it has not answered.
async fn first(under_way: &mut VecDeque<UnderWay>) -> Result<Write, Problem> {
    match under_way.front_mut() {
        Some(line) => {
            let prepared = (&mut line.prepared).await;
            prepared.unwrap_or_else(|error| Err(Problem::internal(format!("a line's task panicked: {error}"))))
        }
        None => std::future::pending().await,
    }
}
