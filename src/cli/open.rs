//! Opening what commands work on: the engine, the model, and the way of documents between them.

use std::path::Path;
use std::sync::Arc;

use sightline_index::{Engine, Options};
use sightline_ingest::{Embedder, Limits, Pipeline, Reranker, Sandbox};

use super::EXTRACT_CHILD;
use crate::config::Config;
use crate::error::Error;

/// The model, `instances` times; `None` when the settings turn it off or there is none.
pub(super) fn embedder(config: &Config, instances: usize) -> Result<Option<Arc<Embedder>>, Error> {
    if config.embedder_instances == 0 {
        return Ok(None);
    }
    #[cfg(feature = "hub")]
    if let Some(name) = config.model.as_ref().and_then(|model| model.to_str()?.strip_prefix("hub:")) {
        return Ok(Some(Arc::new(Embedder::from_hub(name, instances)?)));
    }
    let Some(dir) = Embedder::find(config.model.as_deref()) else {
        tracing::warn!(
            "no embedding model was found; only keywords are searched (run `make model`, or name one with SIGHTLINE_MODEL)"
        );
        return Ok(None);
    };
    Ok(Some(Arc::new(Embedder::open(&dir, instances)?)))
}

/// The re-ranker, `instances` times or as the settings say; `None` when they name none.
pub(super) fn reranker(config: &Config, instances: Option<usize>) -> Result<Option<Arc<Reranker>>, Error> {
    let Some(dir) = &config.reranker else { return Ok(None) };
    let instances = instances.or(config.reranker_instances).unwrap_or(config.embedder_instances);
    let model = Embedder::find(config.model.as_deref());
    Ok(Some(Arc::new(Reranker::open(dir, model.as_deref(), instances)?)))
}

/// The engine without a model: for reading beside a running server, or for changes that need no vectors.
pub(super) fn engine(config: &Config, read_only: bool) -> Result<Engine, Error> {
    if read_only && !config.data.exists() {
        return Err(Error::NoData { path: config.data.clone() });
    }
    Ok(Engine::open(&config.data, &Options { model: None, read_only, ..Options::default() })?)
}

/// The engine with the model, and the way of documents between them.
pub(super) fn pipeline(config: &Config, instances: usize, read_only: bool) -> Result<Pipeline, Error> {
    if read_only && !config.data.exists() {
        return Err(Error::NoData { path: config.data.clone() });
    }
    pipeline_with(&config.data, embedder(config, instances)?, read_only)
}

/// The engine over a data directory with a model that may serve several.
pub(super) fn pipeline_with(data: &Path, embedder: Option<Arc<Embedder>>, read_only: bool) -> Result<Pipeline, Error> {
    let model = embedder.as_ref().map(|embedder| embedder.model().clone());
    let engine = Engine::open(data, &Options { model, read_only, ..Options::default() })?;
    Ok(Pipeline::new(Arc::new(engine), embedder, Limits::default(), sandbox()?))
}

/// Hostile files are read by this program in a process of its own.
fn sandbox() -> Result<Sandbox, Error> {
    let program = std::env::current_exe().map_err(Error::io("this program's path"))?;
    Ok(Sandbox::new(program, vec![EXTRACT_CHILD.into()]))
}
