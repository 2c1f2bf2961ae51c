//! `sightline serve`: the HTTP API over one data directory, until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
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
        let grace = Duration::from_secs(config.shutdown_grace_seconds);
        let engine = pipeline.engine().clone();
        let service = Arc::new(Service::new(pipeline, config));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::io("the async runtime"))?;
        let served = runtime.block_on(listen_and_serve(service));
        // Work that nobody waits for any more may still write; it ends before the engine does.
        runtime.shutdown_timeout(grace);
        engine.checkpoint()?;
        served.map(|()| ExitCode::SUCCESS)
    }
}

async fn listen_and_serve(service: Arc<Service>) -> Result<(), Error> {
    let address = service.config().listen.clone();
    let listener = TcpListener::bind(&address).await.map_err(Error::io(format!("cannot listen on {address}")))?;
    let bound = listener.local_addr().map_err(Error::io(address))?;
    warn_when_public(bound);
    let stop = stop_signal()?;
    output::print(&format!("listening on http://{bound}\n"))?;
    let model = service.engine().model().map_or("none", |model| model.name.as_str());
    tracing::info!(%bound, data = %service.config().data.display(), model, "ready");
    http::serve(service, listener, stop).await.map_err(Error::io("the server"))?;
    tracing::info!("stopped");
    Ok(())
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
