//! `POST /v1/documents/batch`: newline-delimited JSON in, one receipt per line out, in order, while lines still come in.
//!
//! Memory is bounded: by the length of a line, by the lines under way, and by the receipts that a client may leave
//! unread. Lines are worked on side by side, but never two of one document, so that the later line wins.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use sightline_index::{Timestamp, Write};
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
use line::{Line, Lines, Operation};

mod line;

const NDJSON: &str = "application/x-ndjson";

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

/// A line that is being worked on.
struct UnderWay {
    line: u64,
    source: Option<String>,
    id: Option<String>,
    result: JoinHandle<Result<ReceiptBody, Problem>>,
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
    async fn run(mut self, mut stream: BodyDataStream) {
        let pause = Duration::from_secs(self.service.config().request_timeout_seconds);
        let mut lines = Lines::new(self.service.config().max_request_body_bytes);
        let ended = loop {
            let part = tokio::select! {
                part = tokio::time::timeout(pause, stream.next()) => part,
                result = oldest(&mut self.under_way), if !self.under_way.is_empty() => {
                    if self.receipt(result).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let part = match part {
                Ok(Some(Ok(part))) => part,
                Ok(None) => break None,
                Ok(Some(Err(error))) => break Some(Problem::bad_request("broken_body", format!("the body broke off: {error}"))),
                Err(_) => break Some(Problem::timed_out()),
            };
            lines.push(&part);
            while let Some(line) = lines.next() {
                if self.take(line).await.is_err() {
                    return;
                }
            }
        };
        let last = match ended {
            None => lines.last(),
            Some(problem) => Some(Line { number: lines.number() + 1, read: Err(problem) }),
        };
        if let Some(line) = last
            && self.take(line).await.is_err()
        {
            return;
        }
        while !self.under_way.is_empty() {
            if self.answer().await.is_err() {
                return;
            }
        }
    }

    /// Begins the work of a line, when there is room for it and no earlier line of the same document is under way.
    async fn take(&mut self, line: Line) -> Result<(), Gone> {
        let (source, id) = match &line.read {
            Ok(operation) => operation.item(),
            Err(_) => (None, None),
        };
        let width = self.service.pipeline().width().max(1) * 2;
        let same = |other: &UnderWay| id.is_some() && other.id == id && other.source == source;
        while self.under_way.len() >= width || self.under_way.iter().any(same) {
            self.answer().await?;
        }
        let (service, reach) = (self.service.clone(), self.reach.clone());
        let result = tokio::spawn(async move {
            match line.read? {
                Operation::Put(incoming) => {
                    reach.put(&incoming.source, &incoming.labels)?;
                    let place = service.puts.wait().await?;
                    ReceiptBody::of(place.run(move || service.pipeline().put(*incoming, Timestamp::now())).await?)
                }
                Operation::Delete { source, id } => {
                    reach.change(&source)?;
                    let place = service.changes.wait().await?;
                    service.change(place, Write::Delete { source, id }).await
                }
            }
        });
        self.under_way.push_back(UnderWay { line: line.number, source, id, result });
        Ok(())
    }

    /// Waits for the oldest line under way and sends its receipt.
    async fn answer(&mut self) -> Result<(), Gone> {
        let result = oldest(&mut self.under_way).await;
        self.receipt(result).await
    }

    /// Sends the receipt of the oldest line under way, which ended so.
    async fn receipt(&mut self, result: Result<ReceiptBody, Problem>) -> Result<(), Gone> {
        let Some(UnderWay { line, source, id, .. }) = self.under_way.pop_front() else { return Ok(()) };
        let (receipt, error) = match result {
            Ok(receipt) => (Some(receipt), None),
            Err(problem) => (None, Some(problem.of_line())),
        };
        let receipt = LineReceipt { line, source, id, receipt, error };
        let mut bytes = serde_json::to_vec(&receipt).unwrap_or_default();
        bytes.push(b'\n');
        self.receipts.send(Ok(bytes.into())).await.map_err(|_| Gone)
    }
}

/// How the oldest line under way ends. It may be dropped and called again, as long as it has not answered.
async fn oldest(under_way: &mut VecDeque<UnderWay>) -> Result<ReceiptBody, Problem> {
    match under_way.front_mut() {
        Some(line) => {
            let ended = (&mut line.result).await;
            ended.unwrap_or_else(|error| Err(Problem::internal(format!("a line's task panicked: {error}"))))
        }
        None => std::future::pending().await,
    }
}
