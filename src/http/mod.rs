//! The HTTP API: one router per resource, and what all requests go through.
//!
//! Handlers translate; they decide nothing. Which caller a request has is decided in [`crate::callers`], what a caller
//! may see in the engine, and which status code an error has in `errors`.

mod access;
mod admin;
mod allowed;
mod answering;
mod answers;
mod batch;
mod body;
mod citations;
mod containers;
mod documents;
mod drain;
mod envelope;
mod errors;
mod groups;
mod health;
mod incoming;
mod lane;
mod path;
mod receipt;
mod search;
mod service;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

pub use errors::Problem;
pub use service::Service;

type Shared = Arc<Service>;

/// Every route of the API.
pub fn router(service: Arc<Service>) -> Router {
    let answered_whole = Router::new()
        .merge(search::router())
        .merge(documents::router())
        .merge(containers::router())
        .merge(groups::router())
        .merge(citations::router())
        .merge(answers::router())
        .merge(answering::router())
        .merge(access::router())
        .merge(admin::router())
        .merge(health::router())
        .fallback(async || Problem::no_route())
        .layer(from_fn_with_state(service.clone(), envelope::limit_time));
    Router::new()
        .merge(batch::router())
        .merge(answered_whole)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn_with_state(service.clone(), envelope::envelope))
        .with_state(service)
}

/// Serves until `shutdown` completes, then lets requests under way end within the configured grace.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let grace = Duration::from_secs(service.config().shutdown_grace_seconds);
    let (begin, begun) = tokio::sync::oneshot::channel();
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps delaying small packets");
        }
    });
    let server = axum::serve(listener, router(service)).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens any more when the server failed.
        let _gone = begin.send(());
    });
    let overdue = async move {
        match begun.await {
            Ok(()) => tokio::time::sleep(grace).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = overdue => {
            tracing::warn!(seconds = grace.as_secs(), "requests under way were cut off");
            Ok(())
        }
    }
}
