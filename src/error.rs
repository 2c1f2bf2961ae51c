//! What can go wrong in a command, as a person at a terminal is told.

use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed or refused.
    #[error(transparent)]
    Index(#[from] sightline_index::Error),
    /// Documents could not be ingested.
    #[error(transparent)]
    Ingest(#[from] sightline_ingest::IngestError),
    /// The model could not be loaded.
    #[error(transparent)]
    Embed(#[from] sightline_ingest::EmbedError),
    /// The re-ranker could not be loaded.
    #[error(transparent)]
    Rerank(#[from] sightline_ingest::RerankError),
    /// The settings are not understood.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A collection could not be evaluated.
    #[error(transparent)]
    Eval(#[from] crate::eval::EvalError),
    /// The sample company did not show what it should.
    #[error("the demo failed: {0}")]
    Demo(String),
    /// A file, a socket or a stream failed.
    #[error("{what}: {source}")]
    Io {
        /// What was touched.
        what: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The data directory is not there.
    #[error("{path} holds no Sightline data; name the right directory with --data")]
    NoData {
        /// The directory.
        path: PathBuf,
    },
}

impl Error {
    /// Wraps an I/O error with what it happened on.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}
