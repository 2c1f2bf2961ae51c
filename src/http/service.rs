//! What all handlers share: the engine, the way into it, the settings and the lanes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use sightline_index::{Engine, SourcePolicy, Timestamp, Write};
use sightline_ingest::{Pipeline, Reranker};

use super::errors::Problem;
use super::lane::{Lane, Place};
use super::receipt::ReceiptBody;
use crate::answering::Model;
use crate::callers::Identity;
use crate::config::{Config, ConfigError};

/// The running service. It holds the engine open as long as it lives.
#[derive(Debug)]
pub struct Service {
    pipeline: Pipeline,
    reranker: Option<Arc<Reranker>>,
    config: Config,
    policies: Arc<BTreeMap<String, SourcePolicy>>,
    /// Absent when the settings name none.
    pub(super) model: Option<Model>,
    pub(super) searches: Lane,
    /// Answers of a model, which take long.
    pub(super) answers: Lane,
    pub(super) puts: Lane,
    pub(super) changes: Lane,
    /// Looking up keys, which is short and not bounded by waiting.
    lookups: Lane,
}

impl Service {
    /// A service over an open engine, without a model that answers.
    pub fn new(pipeline: Pipeline, config: Config) -> Service {
        let lane = |running: usize| Lane::new(running, config.max_waiting_requests);
        Service {
            model: None,
            searches: lane(config.max_concurrent_searches),
            answers: lane(config.answers.as_ref().map_or(1, |answers| answers.max_concurrent)),
            puts: lane(config.max_concurrent_puts),
            changes: lane(config.max_concurrent_changes),
            lookups: lane(config.max_concurrent_searches),
            policies: Arc::new(config.policies()),
            pipeline,
            reranker: None,
            config,
        }
    }

    /// The service with the model of its settings, when they name one.
    ///
    /// # Errors
    /// When the key of the model's endpoint cannot be read.
    pub fn with_model(mut self) -> Result<Service, ConfigError> {
        self.model = self.config.answers.as_ref().map(Model::new).transpose()?;
        Ok(self)
    }

    /// The same service, whose searches are re-ranked unless they say otherwise.
    pub fn with_reranker(self, reranker: Option<Arc<Reranker>>) -> Service {
        Service { reranker, ..self }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        self.pipeline.engine()
    }

    /// The way in for documents.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// What re-ranks searches.
    pub(super) fn reranker(&self) -> Option<&Reranker> {
        self.reranker.as_deref()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What searches obey for single sources.
    pub(super) fn policies(&self) -> Arc<BTreeMap<String, SourcePolicy>> {
        self.policies.clone()
    }

    /// Identifies the sender of a request, as the keys stand now.
    pub(super) async fn identify(self: &Arc<Self>, headers: &HeaderMap) -> Result<Identity, Problem> {
        let (service, headers) = (self.clone(), headers.clone());
        let look_up = move || Identity::of(service.engine(), &headers, service.config.allow_asserted_groups, Timestamp::now());
        self.lookups.wait().await?.run(look_up).await
    }

    /// Carries out one change that is neither a document nor costly, and answers with its receipt.
    pub(super) async fn change(self: &Arc<Self>, place: Place, write: Write) -> Result<ReceiptBody, Problem> {
        let service = self.clone();
        let receipts = place.run(move || service.engine().write(vec![write], Timestamp::now())).await?;
        let receipt = receipts.into_iter().next().ok_or_else(|| Problem::internal("a write had no receipt"))?;
        ReceiptBody::of(receipt)
    }
}
