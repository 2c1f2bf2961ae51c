//! Lets a client that is still sending read an early answer.
//!
//! A connection that is closed while the body arrives is reset, and the client then sees a broken pipe in place of the
//! 401 or 413. So after a refusal the rest of the body is read and dropped, up to a bound. It is not read where the
//! client waits for `100 Continue`: that one has not begun to send.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use parking_lot::Mutex;
use tokio_stream::{Stream, StreamExt as _};

const DRAIN_SECONDS: u64 = 5;
/// How many times the largest accepted body is read and dropped.
const DRAIN_BODIES: usize = 8;

/// A body that can be read to its end after its request is gone.
#[derive(Clone)]
pub(super) struct SharedBody(Arc<Mutex<BodyDataStream>>);

impl SharedBody {
    /// Takes the body of a request and leaves a reader of it in its place. `None` where there is nothing to drain.
    pub(super) fn take(request: &mut Request) -> Option<SharedBody> {
        if request.headers().contains_key(header::EXPECT) || axum::body::HttpBody::is_end_stream(request.body()) {
            return None;
        }
        let body = std::mem::take(request.body_mut());
        let shared = SharedBody(Arc::new(Mutex::new(body.into_data_stream())));
        *request.body_mut() = Body::from_stream(shared.clone());
        Some(shared)
    }

    /// Reads and drops what is left, up to some bodies of `max_body_bytes`.
    pub(super) async fn drain(mut self, max_body_bytes: usize) {
        let max_bytes = max_body_bytes.saturating_mul(DRAIN_BODIES);
        let rest = async move {
            let mut seen = 0;
            while let Some(Ok(bytes)) = self.next().await {
                seen += bytes.len();
                if seen > max_bytes {
                    break;
                }
            }
        };
        // Slower than this, and the client keeps its broken pipe.
        let _late = tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS), rest).await;
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.lock()).poll_next(context)
    }
}
