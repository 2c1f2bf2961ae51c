//! Sources to extracted text to chunks to vectors to writes: connectors, jobs, freshness.
//!
//! A [`Pipeline`] takes one document from bytes to the engine; [`sync_folder`] brings a whole folder. This crate knows
//! no HTTP server, holds no access rule, and only reads from sources.

mod chunk;
mod document;
mod embed;
mod extract;
mod folder;
mod pool;
mod rerank;
mod runtime;
mod unique;

pub use chunk::ChunkLimits;
pub use document::{Content, Incoming, IncomingSection, IngestError, Limits, Pipeline, SectionPlace};
pub use embed::{EmbedError, Embedder};
pub use extract::{ExtractError, ExtractLimits, Sandbox, mime_of, run_child};
pub use folder::{AclOrigin, FolderOptions, Progress, SyncReport, read_directory, sync_folder};
pub use rerank::{RerankError, Reranker};
pub use runtime::RuntimeError;
pub use unique::from_json;
