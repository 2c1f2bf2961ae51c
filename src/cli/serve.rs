//! `sightline serve`: the HTTP API over one data directory, until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sightline_index::Engine;
use tokio::net::TcpListener;

use super::{open, output};
use crate::config::Config;
use crate::error::Error;
use crate::http::{self, Service};

/// Serves the HTTP API.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sightline serve\n  sightline serve --data /srv/sightline --listen 127.0.0.1:8600\n\n\
    The server speaks plain HTTP; for other machines put a proxy with TLS before it.\n\
    SIGTERM or Ctrl-C ends it after the requests under way.")]
pub(super) struct Serve {
    /// Address and port to listen on [default: 127.0.0.1:8600]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

impl Serve {
    pub(super) fn run(self, mut config: Config) -> Result<ExitCode, Error> {
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        let pipeline = open::pipeline(&config, config.embedder_instances, false)?;
        let reranker = open::reranker(&config, None)?;
        let service = Service::new(pipeline, config).with_reranker(reranker).with_model()?;
        let running = Running::start(Arc::new(service))?;
        output::print(&format!("listening on http://{}\n", running.address()))?;
        running.wait()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A server under way.
pub(super) struct Running {
    runtime: tokio::runtime::Runtime,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    stop: tokio::sync::oneshot::Sender<()>,
    address: SocketAddr,
    engine: Arc<Engine>,
    grace: Duration,
}

impl Running {
    /// Listens and serves on threads of its own, until it is told to stop.
    pub(super) fn start(service: Arc<Service>) -> Result<Running, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::io("the async runtime"))?;
        let grace = Duration::from_secs(service.config().shutdown_grace_seconds);
        let engine = service.engine().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (served, address) = runtime.block_on(async {
            let wanted = service.config().listen.clone();
            let listener = TcpListener::bind(&wanted).await.map_err(Error::io(format!("cannot listen on {wanted}")))?;
            let bound = listener.local_addr().map_err(Error::io(wanted))?;
            warn_when_public(bound);
            let signal = stop_signal()?;
            let model = service.engine().model().map_or("none", |model| model.name.as_str());
            let reranker = service.config().reranker.as_ref().map_or("none".into(), |dir| dir.to_string_lossy());
            tracing::info!(%bound, data = %service.config().data.display(), model, %reranker, "ready");
            let stop = async move {
                tokio::select! {
                    () = signal => {}
                    Ok(()) = stopped => {}
                }
            };
            Ok::<_, Error>((tokio::spawn(http::serve(service, listener, stop)), bound))
        })?;
        Ok(Running { runtime, served, stop, address, engine, grace })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it after the requests under way.
    pub(super) fn stop(self) -> Result<(), Error> {
        let Running { runtime, served, stop, engine, grace, .. } = self;
        // It fails when a signal has ended the server already.
        let _ended = stop.send(());
        end(runtime, served, &engine, grace)
    }

    /// Waits until a signal ends it.
    pub(super) fn wait(self) -> Result<(), Error> {
        let Running { runtime, served, stop, engine, grace, .. } = self;
        let ended = end(runtime, served, &engine, grace);
        drop(stop);
        ended
    }
}

fn end(
    runtime: tokio::runtime::Runtime,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    engine: &Engine,
    grace: Duration,
) -> Result<(), Error> {
    let served = runtime.block_on(served).unwrap_or_else(|failed| Err(std::io::Error::other(failed)));
    // Work that nobody waits for any more may still write; it ends before the engine does.
    runtime.shutdown_timeout(grace);
    engine.checkpoint()?;
    tracing::info!("stopped");
    served.map_err(Error::io("the server"))
}

fn warn_when_public(address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "other machines can connect, and the server speaks plain HTTP; put a proxy with TLS before it");
    }
}

/// Completes at Ctrl-C or, on Unix, SIGTERM.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Error> {
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).map_err(Error::io("signals"))?
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _asked = tokio::signal::ctrl_c().await;
        tracing::info!("stopping");
    })
}
